//! That the comparison finds what is wrong: rows that are taken away, added and changed by hand.

use anyhow::ensure;

use crate::{
    faults::DIRECT,
    matrix::{Form, Topics},
    pressure::Outcome,
    scene::Scene,
    stack::Servers,
};

/// What is done to a database in which everything is right, and how it is to be counted: one each.
const LOST: [&str; 3] = [
    "DELETE FROM steps WHERE ctid = (SELECT ctid FROM steps ORDER BY flowinstanceid LIMIT 1 OFFSET 10)",
    "DELETE FROM ft_run WHERE ctid = (SELECT ctid FROM ft_run LIMIT 1)",
    "DELETE FROM ft_dead_letter WHERE id = (SELECT min(id) FROM ft_dead_letter)",
];
const DOUBLED: [&str; 4] = [
    "INSERT INTO steps (flowinstanceid, stepid, status) VALUES ('none of it', '1', 'Completed')",
    "INSERT INTO ft_rewind SELECT flowinstanceid, n, before + 1 FROM ft_rewind ORDER BY before DESC LIMIT 1",
    "UPDATE flowstate SET reruncount = reruncount + 1
        WHERE flowinstanceid = (SELECT max(flowinstanceid) FROM flowstate)",
    // As it would be if the letter were kept once more: at its place, but another row.
    "INSERT INTO ft_dead_letter (topic, partition, recordoffset, payloadhash, reason, consumergroup)
        SELECT topic, partition, recordoffset, 'another', reason, consumergroup
        FROM ft_dead_letter ORDER BY id DESC LIMIT 1",
];
const WRONG: [&str; 5] = [
    "UPDATE steps SET status = lower(status) WHERE ctid = (SELECT ctid FROM steps WHERE phase = 2 LIMIT 1)",
    "UPDATE steps SET endtime = endtime + interval '1 microsecond'
        WHERE ctid = (SELECT ctid FROM steps WHERE endtime IS NOT NULL ORDER BY flowinstanceid DESC LIMIT 1)",
    "UPDATE flowstate SET flowinput = NULL
        WHERE flowinstanceid = (SELECT min(flowinstanceid) FROM flowstate WHERE flowinput IS NOT NULL)",
    "UPDATE ft_superseded_step SET stepdata = stepdata || 'x' WHERE ctid = (SELECT ctid FROM ft_superseded_step
        WHERE stepdata IS NOT NULL LIMIT 1)",
    "UPDATE appstate SET persistenceenabled = NOT persistenceenabled
        WHERE (userid, appname) = (SELECT userid, appname FROM appstate LIMIT 1)",
];

pub async fn prove(servers: &'static Servers, form: Form, topics: &Topics) -> anyhow::Result<Outcome> {
    let topic = &topics.plain;
    let mut scene = Scene::set(servers, topic, "none", DIRECT, form.seed).await?;
    scene.collect().await?;
    let difference = scene.finish().await?;
    let client = scene.connect().await?;
    for sql in LOST.iter().chain(&DOUBLED).chain(&WRONG) {
        ensure!(client.execute(*sql, &[]).await? == 1, "no row to be spoilt: {sql}");
    }
    let found = scene.compare().await?;
    let [lost, doubled, wrong] = [LOST.len(), DOUBLED.len(), WRONG.len()];
    let counted = [found.lost, found.doubled, found.wrong].map(usize::try_from);
    ensure!(
        counted == [Ok(lost), Ok(doubled), Ok(wrong)],
        "of rows that were spoilt the comparison found {found:?}"
    );
    scene.clear().await?;
    let text = format!(
        "In a database in which everything was right {lost} rows were taken away, {doubled} added or counted once more and \
         {wrong} changed in one column, and the comparison said exactly that.",
    );
    Ok(Outcome { events: topic.records(), at: None, recovery: None, difference, text })
}
