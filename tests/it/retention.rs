//! Flows that have been kept long enough go, with all that is theirs, and do not come back; nothing else goes.

use std::{path::Path, time::Duration};

use flowtrail::{
    config::{Config, RetentionPolicy},
    proto::v1::{
        FlowDeleted, FlowEvent, FlowStatus, HistoryEvent, Phase, Rewind, Snapshot, StepEvent, StepStatus,
        VariableEvent, history_event::Event,
    },
    retention::{
        plan::plan,
        run::{Removed, run},
        schedule,
    },
};
use serde_json::Value;
use tempfile::TempDir;
use tokio_postgres::Client;
use tokio_util::sync::CancellationToken;

use crate::{
    collecting::{Collecting, collect_all, set_offset, stored, until_stored},
    law::of_database,
    program::{self, configured, done},
    rows,
    servers::{self, until},
    topics::{Raw, ends, put},
    verify::{options, verified},
};

mod at_once;
mod objects;
mod payloads;

const DAY: i64 = 86_400;

/// A flow to make events of.
#[derive(Debug, Clone)]
struct Made {
    id: String,
    run: i64,
    days_ago: i64,
    status: FlowStatus,
    app: &'static str,
    original: String,
}

impl Made {
    fn new(id: &str, days_ago: i64, status: FlowStatus) -> Self {
        let original = String::new();
        Self { id: id.to_owned(), run: 0, days_ago, status, app: "shop", original }
    }

    /// Two steps, one of which began twice, a snapshot, a variable, and a rewind.
    fn events(&self) -> Vec<HistoryEvent> {
        let seconds = jiff::Timestamp::now().as_second() - self.days_ago * DAY;
        let at = |after: i64| Some(pbjson_types::Timestamp { seconds: seconds + after, nanos: 1_000 });
        let flow = |phase: Phase, ended_at| {
            Event::Flow(FlowEvent {
                flow_instance_id: self.id.clone(),
                run: self.run,
                phase: phase.into(),
                status: self.status.into(),
                app_name: self.app.to_owned(),
                flow_name: "pay".to_owned(),
                host_id: "h".to_owned(),
                rerun_of_flow_instance_id: self.original.clone(),
                started_at: at(0),
                ended_at,
                input: "{\"in\": 1}".into(),
                ..FlowEvent::default()
            })
        };
        let step = |step: &str, execution: i64| {
            Event::Step(StepEvent {
                flow_instance_id: self.id.clone(),
                step_id: step.to_owned(),
                execution: self.run + execution,
                phase: Phase::Closed.into(),
                status: StepStatus::Completed.into(),
                task_name: "task".to_owned(),
                started_at: at(execution),
                ended_at: at(execution + 1),
                data: vec![b'x'; 1_000].into(),
                ..StepEvent::default()
            })
        };
        let id = self.id.clone();
        let rewind = Rewind { flow_instance_id: id.clone(), from_step: Some(2), before: self.run + 3 };
        let snapshot = Snapshot { flow_instance_id: id.clone(), step_id: "1".to_owned(), data: "{}".into() };
        let variable = VariableEvent {
            flow_instance_id: id,
            run: self.run,
            name: "total".to_owned(),
            r#type: "long".to_owned(),
            value: "41".into(),
            created_at: at(0),
            misc: "{}".into(),
            ..VariableEvent::default()
        };
        let mut events = vec![flow(Phase::Opened, None), step("1", 1), step("2", 2), step("2", 3)];
        events.extend([Event::Rewind(rewind), Event::Snapshot(snapshot), Event::Variable(variable)]);
        if self.status != FlowStatus::Started {
            events.push(flow(Phase::Closed, at(10)));
        }
        events.into_iter().map(|event| HistoryEvent { event: Some(event) }).collect()
    }
}

pub fn policy(name: &str, statuses: &[&str], days: u64) -> RetentionPolicy {
    RetentionPolicy {
        name: name.to_owned(),
        app: "*".to_owned(),
        flow: "*".to_owned(),
        statuses: statuses.iter().map(|&status| status.to_owned()).collect(),
        unfinished: false,
        age: Duration::from_hours(24 * days),
        payloads_after: None,
        keep: None,
    }
}

/// Failures stay for 90 days, the rest for 14.
async fn config() -> Config {
    let mut config = servers::config(1).await;
    config.retention.policies = vec![policy("failures", &["failed"], 90), policy("rest", &[], 14)];
    // Several batches and chunks, so that their seams are met.
    config.retention.batch_flows = 2;
    config
}

async fn publish(config: &Config, flows: &[Made]) {
    let records: Vec<Raw> = flows.iter().flat_map(Made::events).map(|event| Raw::of(&event)).collect();
    put(config, &records).await;
}

async fn removed(config: &Config) -> Removed {
    Box::pin(run(config, "night", &CancellationToken::new(), |_| {})).await.unwrap()
}

/// Ids of which anything is held, marks apart.
async fn held(client: &Client) -> Vec<String> {
    let tables =
        ["flowstate", "steps", "ft_superseded_step", "ft_run", "ft_rewind", "ft_snapshot", "ft_variable"];
    let ids = tables.map(|table| format!("SELECT flowinstanceid FROM {table}")).join(" UNION ");
    let rows = client.query(&format!("SELECT * FROM ({ids}) AS a ORDER BY 1"), &[]).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

/// Reads the whole topic again.
async fn read_again(config: &Config, client: &Client) {
    for (partition, _) in stored(client, config).await {
        set_offset(client, config, partition, 0).await;
    }
    collect_all(config).await;
}

/// Flows of all kinds: those that go are named so.
fn flows() -> Vec<Made> {
    use FlowStatus::{Cancelled, Completed, Failed, Started};

    let mut flows: Vec<Made> = (0..9).map(|n| Made::new(&format!("goes-{n}"), 15 + n, Completed)).collect();
    flows.push(Made::new("goes-failed", 91, Failed));
    flows.push(Made::new("goes-cancelled", 16, Cancelled));
    flows.push(Made { original: "stays-original".to_owned(), ..Made::new("goes-rerun", 15, Completed) });
    flows.push(Made::new("stays-young", 13, Completed));
    flows.push(Made::new("stays-failed", 89, Failed));
    flows.push(Made::new("stays-unfinished", 400, Started));
    flows.push(Made::new("stays-original", 13, Completed));
    flows
}

const STAY: [&str; 4] = ["stays-failed", "stays-original", "stays-unfinished", "stays-young"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_removed_is_whole_and_stays_away_when_the_topic_is_read_again() {
    let config = config().await;
    let client = servers::connect_to(&config).await;
    publish(&config, &flows()).await;
    collect_all(&config).await;
    let reruns = "SELECT reruncount::text FROM flowstate WHERE flowinstanceid = 'stays-original'";
    assert_eq!(rows::texts(&client, reruns).await, [Some("1".to_owned())]);
    let before = of_database(&client, "stays").await;

    let shares = plan(&config).await.unwrap();
    let told: Vec<_> = shares.iter().map(|share| (share.policy.as_str(), share.flows, share.steps)).collect();
    assert_eq!(told, [("failures", 1, 3), ("rest", 11, 33)]);
    assert!(shares.iter().all(|share| share.bytes > share.flows * 3_000), "{shares:?}");

    let done = removed(&config).await;
    assert_eq!((done.flows, done.steps, done.stopped), (12, 36, false), "{done:?}");
    assert_eq!(held(&client).await, STAY);
    // Its only re-run is gone.
    assert_eq!(rows::texts(&client, reruns).await, [Some("0".to_owned())]);
    let mut after = before;
    after["flowstate"]["stays-original"]["reruncount"] = 0.into();
    assert_eq!(of_database(&client, "stays").await, after);

    // A second run has nothing to do, and every run is noted.
    assert_eq!(removed(&config).await, Removed::default());
    let noted = "SELECT detail ->> 'flows' FROM ft_audit WHERE action = 'retention.run' AND actor LIKE 'night (%)' ORDER BY id";
    assert_eq!(rows::texts(&client, noted).await, [Some("12".to_owned()), Some("0".to_owned())]);

    let (report, found) = verified(&config, options(&config)).await;
    assert!(found.is_empty(), "{found:#?}");
    assert_eq!(report.removed_by_retention, 12);

    read_again(&config, &client).await;
    // Of what has no number a replay brings back: snapshots alone, until the mark is forgotten.
    let sql = "SELECT DISTINCT flowinstanceid FROM ft_snapshot WHERE flowinstanceid LIKE 'goes%'";
    let snapshots = client.query(sql, &[]).await.unwrap().len();
    client.batch_execute("DELETE FROM ft_snapshot WHERE flowinstanceid LIKE 'goes%'").await.unwrap();
    assert_eq!((held(&client).await, snapshots), (STAY.map(str::to_owned).to_vec(), 12));
    assert_eq!(of_database(&client, "stays").await, after);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_that_is_run_again_after_it_was_removed_is_kept_from_then_on() {
    let config = config().await;
    let client = servers::connect_to(&config).await;
    let first = Made { run: 1_000, ..Made::new("again", 20, FlowStatus::Completed) };
    publish(&config, std::slice::from_ref(&first)).await;
    collect_all(&config).await;
    assert_eq!(removed(&config).await.flows, 1);

    let second = Made { run: 2_000, days_ago: 1, ..first.clone() };
    // What was removed comes late and once more, around it.
    publish(&config, &[first.clone(), second, first]).await;
    collect_all(&config).await;
    let sql = "SELECT run::text FROM flowstate UNION ALL SELECT run::text FROM ft_run";
    assert_eq!(rows::texts(&client, sql).await, [Some("2000".to_owned())]);
    let sql = "SELECT stepid || '/' || execution FROM steps \
        UNION ALL SELECT stepid || '/' || execution FROM ft_superseded_step ORDER BY 1";
    let wanted = ["1/2001", "2/2002", "2/2003"].map(|key| Some(key.to_owned()));
    assert_eq!(rows::texts(&client, sql).await, wanted);
    assert_eq!(removed(&config).await.flows, 0);
    assert_eq!(rows::count(&client, "flowstate").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_was_killed_after_it_had_marked_flows_is_finished_by_the_next() {
    let config = config().await;
    let client = servers::connect_to(&config).await;
    publish(&config, &[Made::new("goes", 20, FlowStatus::Completed)]).await;
    collect_all(&config).await;
    // As a run leaves it that dies between its two transactions. By now no policy is for the flow any more.
    let mark = "INSERT INTO ft_tombstone (flowinstanceid, before, removedat) VALUES ('goes', 4, now())";
    client.batch_execute(mark).await.unwrap();
    let mut changed = config.clone();
    changed.retention.policies = vec![policy("all", &[], 9_999)];
    assert_eq!(removed(&changed).await.flows, 1);
    assert_eq!(held(&client).await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_one_at_a_time_removes_flows_and_who_is_told_to_stop_stops() {
    let config = config().await;
    let client = servers::connect_to(&config).await;
    publish(&config, &flows()).await;
    collect_all(&config).await;
    let stopped = CancellationToken::new();
    let partly = Box::pin(run(&config, "night", &stopped, |_| stopped.cancel())).await.unwrap();
    assert!(partly.stopped && partly.flows == 2, "{partly:?}");
    // All of that chunk are kept out already; the next run erases them.
    assert_eq!(rows::count(&client, "ft_tombstone").await, 8);
    assert_eq!(rows::count(&client, "ft_retention_cutoff").await, 0);

    let held_by = "SELECT pg_advisory_lock(1718907508, 'steps'::regclass::oid::bigint::bit(32)::integer)";
    client.batch_execute(held_by).await.unwrap();
    let refused = Box::pin(run(&config, "night", &CancellationToken::new(), |_| {})).await.unwrap_err();
    assert!(refused.to_string().starts_with("another flowtrail is removing flows"), "{refused}");
    client.batch_execute("SELECT pg_advisory_unlock_all()").await.unwrap();
    assert_eq!(removed(&config).await.flows, 10);
    assert_eq!(rows::count(&client, "ft_retention_cutoff").await, 2);
    assert_eq!(held(&client).await, STAY);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_archived_is_published_and_stored_as_it_was() {
    let folder = TempDir::new().unwrap();
    let mut config = config().await;
    config.retention.archive = folder.path().join("archive").to_str().unwrap().to_owned();
    let client = servers::connect_to(&config).await;
    let mut flows = flows();
    // An instance with two runs, both of them old.
    flows
        .extend([1_000, 2_000].map(|run| Made { run, ..Made::new("goes-twice", 30, FlowStatus::Completed) }));
    publish(&config, &flows).await;
    collect_all(&config).await;
    let before = of_database(&client, "").await;
    assert_eq!(before["ft_run"].as_object().unwrap().len(), 2);
    let snapshots = rows::count(&client, "ft_snapshot").await;

    let removed = removed(&config).await;
    assert_eq!((removed.flows, removed.archived), (13, 13), "{removed:?}");
    assert_eq!(held(&client).await, STAY);

    let files = files_below(Path::new(&config.retention.archive));
    assert!(files.iter().all(|file| file.ends_with(".ndjson.gz")), "{files:?}");
    let started = jiff::Timestamp::now() - Duration::from_hours(24 * 30);
    let day = started.strftime("%Y-%m-%d").to_string();
    assert!(files.iter().any(|file| file.contains(&format!("/{day}/"))), "{day} is not among {files:?}");

    // Another program reads the files.
    let lines = program::done(tokio::process::Command::new("zcat").args(&files)).await;
    let path = folder.path().join("all.ndjson");
    std::fs::write(&path, &lines).unwrap();
    let readmitted = program::run(configured(&config, ["retention", "readmit"]).args(&files)).await;
    assert!(readmitted.stderr.contains("13 of 13 flows"), "{readmitted:?}");
    done(configured(&config, ["publish", "--from", "json"]).arg(&path)).await;
    collect_all(&config).await;
    assert_eq!(of_database(&client, "").await, before);
    assert_eq!(rows::count(&client, "ft_snapshot").await, snapshots);
}

fn files_below(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let below = entries.flat_map(|path| {
        if path.is_dir() { files_below(&path) } else { vec![path.to_str().unwrap().to_owned()] }
    });
    below.collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_archived_stays() {
    let mut config = config().await;
    // A file stands where the folder should be.
    let file = tempfile::NamedTempFile::new().unwrap();
    config.retention.archive = file.path().to_str().unwrap().to_owned();
    let client = servers::connect_to(&config).await;
    publish(&config, &[Made::new("goes", 20, FlowStatus::Completed)]).await;
    collect_all(&config).await;
    let refused = Box::pin(run(&config, "night", &CancellationToken::new(), |_| {})).await.unwrap_err();
    assert!(refused.to_string().starts_with("cannot archive to"), "{refused}");
    assert_eq!(held(&client).await, ["goes"]);
    let noted = "SELECT detail ->> 'error' FROM ft_audit WHERE action = 'retention.run'";
    let noted = rows::texts(&client, noted).await;
    assert!(noted[0].as_ref().unwrap().starts_with("cannot archive to"), "{noted:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead_letters_notes_and_marks_go_by_their_age() {
    let mut config = config().await;
    let client = servers::connect_to(&config).await;
    let day = Duration::from_hours(24);
    config.retention.dead_letters = Some(day * 10);
    config.retention.audit = Some(day * 20);
    config.retention.remember = Some(day * 30);
    let old_and_young = "
        INSERT INTO ft_dead_letter (topic, partition, recordoffset, payloadhash, reason, consumergroup, keptat)
            SELECT 't', 0, n, '\\x00', 'undecodable', 'g', now() - n * interval '1 day' FROM unnest(ARRAY[9, 11, 12]) n;
        INSERT INTO ft_audit (at, actor, action, object)
            SELECT now() - n * interval '1 day', 'a', 'old', 'o' FROM unnest(ARRAY[19, 21]) n;
        INSERT INTO ft_tombstone (flowinstanceid, before, removedat)
            SELECT 'f' || n, 1, now() - n * interval '1 day' FROM unnest(ARRAY[29, 31]) n;
        INSERT INTO ft_tombstone (flowinstanceid, before) VALUES ('deleted', 1);
        INSERT INTO ft_snapshot (flowinstanceid, stepid, hash, data)
            SELECT f, '', sha256('x'), 'x' FROM unnest(ARRAY['f29', 'f31', 'deleted']) f";
    client.batch_execute(old_and_young).await.unwrap();
    let removed = removed(&config).await;
    assert_eq!((removed.dead_letters, removed.audit, removed.forgotten), (2, 1, 1), "{removed:?}");
    let left = "SELECT 'letter ' || recordoffset FROM ft_dead_letter UNION ALL SELECT 'mark ' || flowinstanceid \
        FROM ft_tombstone UNION ALL SELECT 'snapshot ' || flowinstanceid FROM ft_snapshot ORDER BY 1";
    let wanted = ["letter 9", "mark deleted", "mark f29", "snapshot deleted"].map(|it| Some(it.to_owned()));
    // That of f29 goes too: what is there of flows that were marked is erased once more.
    assert_eq!(rows::texts(&client, left).await, wanted);
    let notes = "SELECT count(*)::text FROM ft_audit WHERE action = 'old'";
    assert_eq!(rows::texts(&client, notes).await, [Some("1".to_owned())]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_runtime_deletes_after_it_was_removed_is_not_forgotten() {
    let mut config = config().await;
    let client = servers::connect_to(&config).await;
    publish(&config, &[Made::new("goes", 20, FlowStatus::Completed)]).await;
    collect_all(&config).await;
    assert_eq!(removed(&config).await.flows, 1);
    let deleted = FlowDeleted { flow_instance_id: "goes".to_owned(), before: None };
    put(&config, &[Raw::of(&HistoryEvent { event: Some(Event::FlowDeleted(deleted)) })]).await;
    collect_all(&config).await;
    config.retention.remember = Some(Duration::from_nanos(1));
    assert_eq!(removed(&config).await.forgotten, 0);
    let marks = "SELECT COALESCE(before::text, 'all') FROM ft_tombstone";
    assert_eq!(rows::texts(&client, marks).await, [Some("all".to_owned())]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn collectors_and_a_purge_at_the_same_time_end_in_the_same_rows() {
    let mut config = config().await;
    config.collector.batch_rows = 20;
    let client = servers::connect_to(&config).await;
    let old: Vec<Made> =
        (0..200).map(|n| Made::new(&format!("goes-{n}"), 20, FlowStatus::Completed)).collect();
    let new: Vec<Made> =
        (0..200).map(|n| Made::new(&format!("stays-{n}"), 1, FlowStatus::Completed)).collect();
    publish(&config, &old).await;
    collect_all(&config).await;
    // The same old events come again while flows are being removed, between others.
    let collecting = Collecting::start(&config);
    let mixed: Vec<Made> = old.iter().zip(&new).flat_map(|(old, new)| [old.clone(), new.clone()]).collect();
    let (removed, ()) = tokio::join!(removed(&config), publish(&config, &mixed));
    until_stored(&config).await;
    collecting.stop().await;
    assert_eq!(removed.flows, 200);
    let sql = "SELECT count(*) FROM (SELECT flowinstanceid FROM flowstate UNION ALL SELECT flowinstanceid FROM steps \
        UNION ALL SELECT flowinstanceid FROM ft_superseded_step UNION ALL SELECT flowinstanceid FROM ft_rewind \
        UNION ALL SELECT flowinstanceid FROM ft_run) AS a WHERE flowinstanceid LIKE $1";
    let count = async |which: &str| client.query_one(sql, &[&which]).await.unwrap().get::<_, i64>(0);
    assert_eq!((count("goes%").await, count("stays%").await), (0, 200 * 5));
    assert_eq!(ends(&config).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn collectors_run_it_when_it_is_due() {
    let mut config = config().await;
    config.retention.every = Some(Duration::from_secs(1));
    let client = servers::connect_to(&config).await;
    publish(&config, &flows()).await;
    collect_all(&config).await;
    let stop = CancellationToken::new();
    let [one, other] = [config.clone(), config.clone()].map(|config| {
        let stop = stop.clone();
        tokio::spawn(async move { schedule::keep(&config, &stop).await })
    });
    let gone = async || {
        let held = held(&client).await;
        if held == STAY { Ok(()) } else { Err(format!("{held:?}")) }
    };
    until("what is to go is gone", gone).await;
    stop.cancel();
    one.await.unwrap();
    other.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_shows_asks_and_removes() {
    let config = config().await;
    let client = servers::connect_to(&config).await;
    publish(&config, &flows()).await;
    collect_all(&config).await;
    let policies = r#"[{"name":"failures","statuses":["Failed"],"age":"90d"},{"name":"rest","age":"14d"}]"#;
    let command = |arguments: &[&str]| {
        let mut command = configured(&config, ["retention"]);
        command.args(arguments).env("FLOWTRAIL_RETENTION__POLICIES", policies);
        command
    };
    let shown = program::run(&mut command(&["plan"])).await;
    assert!(shown.stdout.starts_with("POLICY") && shown.stdout.lines().count() == 3, "{shown:?}");
    assert!(shown.stderr.contains("12 flows are to go"), "{shown:?}");
    let json = done(&mut command(&["run", "--dry-run", "--format", "json"])).await;
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(
        (&json[1]["policy"], &json[1]["app"], &json[1]["flows"]),
        (&"rest".into(), &"shop".into(), &11.into())
    );

    let unasked = program::run(&mut command(&["run"])).await;
    assert_eq!((unasked.code, held(&client).await.len()), (2, 16), "{unasked:?}");
    let ran: Value =
        serde_json::from_str(&done(&mut command(&["run", "--yes", "--format", "json"])).await).unwrap();
    assert_eq!((&ran["flows"], &ran["steps"]), (&12.into(), &36.into()));
    assert_eq!(held(&client).await, STAY);
}
