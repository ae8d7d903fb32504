//! Tables in partitions: the same columns, keys, rows.

use flowtrail::{doctor::Verdict, schema::SchemaError};
use tokio_postgres::Client;

use super::{
    PATIENCE, SEED, collect_all, connect, described, empty_database, exported, publish, rows, schema, servers,
};
use crate::doctor;

/// Partitions of each table here.
const PARTITIONS: usize = 4;

async fn parted_database() -> (String, Client) {
    let url = empty_database().await;
    let mut client = connect(&url).await;
    schema::update(&mut client, PATIENCE, PARTITIONS).await.unwrap();
    (url, client)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parted_tables_hold_the_same_rows_and_each_flow_in_one_partition() {
    let mut config = servers::config(3).await;
    for recording in ["recorded.jsonl", "reruns.jsonl"] {
        publish(&config, recording, &["--shuffle", "--duplicate-percent", "20"]).await;
    }
    collect_all(&config).await;
    let whole = servers::connect_to(&config).await;
    let topics = config.kafka.topics.clone();
    let (url, client) = parted_database().await;
    config = servers::config_of(&url).await;
    config.kafka.topics = topics;
    collect_all(&config).await;
    assert_eq!(rows::flows(&client).await, rows::flows(&whole).await);
    assert_eq!(rows::steps(&client).await, rows::steps(&whole).await);
    assert_eq!(schema::validate(&client).await.unwrap(), []);

    let used = "SELECT count(DISTINCT tableoid)::text FROM steps";
    assert_eq!(rows::texts(&client, used).await, [Some(PARTITIONS.to_string())]);
    let torn = "SELECT flowinstanceid FROM steps GROUP BY 1 HAVING count(DISTINCT tableoid) > 1";
    assert_eq!(rows::texts(&client, torn).await, [None; 0]);

    // Read once more by another group: nothing changes, so nothing is written.
    let before = versions(&client).await;
    config.kafka.group = servers::unique("group");
    collect_all(&config).await;
    assert_eq!(versions(&client).await, before);
}

/// Every version of every row of the parted tables as it lies on disk.
async fn versions(client: &Client) -> Vec<Option<String>> {
    let sql = "SELECT concat_ws(' ', tableoid, ctid, xmin, flowinstanceid, stepid) FROM steps
        UNION ALL SELECT concat_ws(' ', tableoid, ctid, xmin, flowinstanceid) FROM flowstate ORDER BY 1";
    rows::texts(client, sql).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_that_are_there_are_not_parted_and_parted_ones_are_left_so() {
    let url = empty_database().await;
    let mut client = connect(&url).await;
    client.batch_execute(SEED).await.unwrap();
    let before = described(&client).await;
    let refused = schema::update(&mut client, PATIENCE, PARTITIONS).await;
    assert!(matches!(refused, Err(SchemaError::OnePiece)), "{refused:?}");
    assert_eq!(described(&client).await, before);
    let (_, mut client) = parted_database().await;
    assert!(schema::update(&mut client, PATIENCE, 0).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_index_of_parted_tables_that_was_broken_off_is_made_again() {
    let (_, mut client) = parted_database().await;
    let whole = described(&client).await;
    let broken = "DELETE FROM ft_schema_change WHERE number = 4; DROP INDEX ft_flowstate_open;
        CREATE INDEX ft_flowstate_open ON ONLY flowstate (starttime) WHERE phase < 2;
        CREATE INDEX ft_flowstate_open_flowstate_p0 ON flowstate_p0 (starttime) WHERE phase < 2;
        ALTER INDEX ft_flowstate_open ATTACH PARTITION ft_flowstate_open_flowstate_p0;
        CREATE INDEX ft_flowstate_open_flowstate_p1 ON flowstate_p1 (starttime) WHERE phase < 2;
        UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'ft_flowstate_open_flowstate_p1'::regclass";
    client.batch_execute(broken).await.unwrap();
    assert_eq!(schema::update(&mut client, PATIENCE, 0).await.unwrap().len(), 1);
    assert_eq!(described(&client).await, whole);
    assert_eq!(schema::differences(&client).await.unwrap(), []);
}

/// What somebody did to an index of parted tables, and what is said of it.
const DAMAGES: [(&str, &str); 4] = [
    ("ALTER TABLE steps DROP CONSTRAINT steps_pkey", "steps has no UNIQUE INDEX on (flowinstanceid, stepid)"),
    ("DROP INDEX ft_flowstate_original", "flowstate has no INDEX on (rerunofflowinstanceid)"),
    // One of another partition is there already, and one is half made.
    (
        "DROP INDEX ft_steps_rerun; CREATE INDEX ON steps_p1 (flowinstanceid) WHERE rerun;
         CREATE INDEX half ON steps_p2 (flowinstanceid) WHERE rerun;
         UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'half'::regclass",
        "steps has no INDEX on (flowinstanceid)",
    ),
    // Broken off in the middle: attached, attached and not valid, made and not attached, not made.
    (
        "DROP INDEX ft_flowstate_open; CREATE INDEX ft_flowstate_open ON ONLY flowstate (starttime) WHERE phase < 2;
         CREATE INDEX one ON flowstate_p0 (starttime) WHERE phase < 2; ALTER INDEX ft_flowstate_open ATTACH PARTITION one;
         CREATE INDEX two ON flowstate_p1 (starttime) WHERE phase < 2; ALTER INDEX ft_flowstate_open ATTACH PARTITION two;
         UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'two'::regclass;
         CREATE INDEX three ON flowstate_p2 (starttime) WHERE phase < 2",
        "index ft_flowstate_open on flowstate (starttime) is not valid",
    ),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_advice_for_an_index_of_parted_tables_mends_it() {
    let (url, client) = parted_database().await;
    let config = servers::config_of(&url).await;
    for (damage, said) in DAMAGES {
        client.batch_execute(damage).await.unwrap();
        let found = schema::differences(&client).await.unwrap();
        let [difference] = found.as_slice() else { panic!("{damage}: {found:?}") };
        assert!(difference.said.contains(said), "{damage}: {difference:?}");
        let looked = doctor::examine(&config).await;
        let advice = doctor::of(&looked, "postgres.indexes")[0].advice.clone().unwrap();
        assert!(advice.starts_with(&difference.mend), "{damage}: {advice}");
        for statement in difference.mend.split("; ") {
            client.batch_execute(statement).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
        }
        assert_eq!(schema::differences(&client).await.unwrap(), [], "{}", difference.mend);
    }
    doctor::assert_says(&doctor::examine(&config).await, "postgres.indexes", Verdict::Ok, &[]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_psql_makes_of_the_export_for_parted_tables_is_what_update_makes() {
    let Some(psql) = exported::psql() else { return };
    let url = empty_database().await;
    let create = exported::of(&["--create"], PARTITIONS).await;
    assert_eq!(exported::run(&psql, &url, &create).await, (0, String::new()));
    let client = connect(&url).await;
    assert_eq!(described(&client).await, described(&parted_database().await.1).await);
    assert_eq!(schema::validate(&client).await.unwrap(), []);
}
