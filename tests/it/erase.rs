//! What somebody has erased is nowhere: in no table, dead letter or file of the archive; and nothing brings it back.

use std::{
    collections::BTreeSet,
    fs::File,
    io::{BufReader, Read as _},
    path::Path,
    time::Duration,
};

use flate2::bufread::MultiGzDecoder;
use flowtrail::{
    config::Config,
    proto::v1::{
        FlowEvent, HistoryEvent, Phase, Rewind, Snapshot, StepEvent, VariableEvent, history_event::Event,
    },
    retention::{
        erasure::{Erasure, Whose, erase},
        run::run as retain,
    },
};
use prost::Message as _;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;
use tokio_postgres::Client;
use tokio_util::sync::CancellationToken;

use crate::{
    collecting::{Collecting, collect_all, set_offset, stored, until_stored},
    law::of_database,
    program::{self, configured, done},
    retention::policy,
    rows, servers,
    topics::{Raw, put},
    verify::{options, verified},
};

/// No field may be longer.
const LONGEST: usize = 4_096;

/// A flow to make events of. Its payloads hold `secret of <id>`.
#[derive(Debug, Clone, Copy)]
struct Told {
    id: &'static str,
    user: &'static str,
    run: i64,
    days_ago: i64,
    original: &'static str,
}

impl Told {
    fn new(id: &'static str, user: &'static str) -> Self {
        Self { id, user, run: 0, days_ago: 1, original: "" }
    }

    /// Two steps, one of which began twice, one with a field that is too long, a snapshot, a rewind and a variable.
    fn events(&self) -> Vec<HistoryEvent> {
        let seconds = jiff::Timestamp::now().as_second() - self.days_ago * 86_400;
        let at = |after: i64| Some(pbjson_types::Timestamp { seconds: seconds + after, nanos: 1_000 });
        let secret = format!("{{\"it\": \"secret of {}\"}}", self.id);
        let id = self.id.to_owned();
        let run = Event::Flow(FlowEvent {
            flow_instance_id: id.clone(),
            run: self.run,
            phase: Phase::Closed.into(),
            status_word: "Completed".to_owned(),
            user_id: self.user.to_owned(),
            app_name: "shop".to_owned(),
            rerun_of_flow_instance_id: self.original.to_owned(),
            started_at: at(0),
            ended_at: at(9),
            input: secret.clone().into(),
            output: secret.clone().into(),
            ..FlowEvent::default()
        });
        let step = |step: &str, execution: i64, input: String| {
            Event::Step(StepEvent {
                flow_instance_id: id.clone(),
                step_id: step.to_owned(),
                execution: self.run + execution,
                phase: Phase::Closed.into(),
                started_at: at(execution),
                ended_at: at(execution + 1),
                data: secret.clone().into(),
                input: input.into(),
                ..StepEvent::default()
            })
        };
        let long = secret.repeat(LONGEST / secret.len() + 1);
        let steps = [
            step("1", 1, String::new()),
            step("2", 2, String::new()),
            step("2", 3, String::new()),
            step("3", 4, long),
        ];
        let rewind = Rewind { flow_instance_id: id.clone(), from_step: Some(2), before: self.run + 3 };
        let snapshot =
            Snapshot { flow_instance_id: id.clone(), step_id: "1".to_owned(), data: secret.clone().into() };
        let variable = VariableEvent {
            flow_instance_id: id.clone(),
            run: self.run,
            name: "total".to_owned(),
            value: secret.clone().into(),
            ..VariableEvent::default()
        };
        let others = [Event::Rewind(rewind), Event::Snapshot(snapshot), Event::Variable(variable)];
        let events = [run].into_iter().chain(steps).chain(others);
        events.map(|event| HistoryEvent { event: Some(event) }).collect()
    }

    fn records(&self) -> Vec<Raw> {
        self.events().iter().map(Raw::of).collect()
    }
}

/// Messages that can't be read, by their keys.
fn unreadable() -> [Raw; 2] {
    ["gone-a", "stays-a"].map(|key| {
        let value = [b"\xff secret of ", key.as_bytes()].concat();
        Raw { key: Some(key.as_bytes().to_vec()), value: Some(value), ..Raw::default() }
    })
}

async fn config(archive: &TempDir) -> Config {
    let mut config = servers::config(1).await;
    config.collector.max_payload_bytes = LONGEST;
    config.retention.batch_flows = 1;
    config.retention.policies = vec![policy("all", &[], 14)];
    archive.path().join("archive").to_str().unwrap().clone_into(&mut config.retention.archive);
    config
}

/// Tables of which a row holds a text, as it is or as bytes are shown.
async fn tables_with(client: &Client, text: &str) -> BTreeSet<String> {
    let bytes = text.bytes().fold(String::new(), |bytes, byte| format!("{bytes}{byte:02x}"));
    let tables = "SELECT tablename::text FROM pg_tables WHERE schemaname = 'public'";
    let mut found = BTreeSet::new();
    for table in rows::texts(client, tables).await.into_iter().flatten() {
        let held = rows::texts(client, &format!("SELECT t::text FROM {table} t")).await;
        if held.into_iter().flatten().any(|row| row.contains(text) || row.contains(&bytes)) {
            found.insert(table);
        }
    }
    found
}

fn set(tables: &[&str]) -> BTreeSet<String> {
    tables.iter().map(|&table| table.to_owned()).collect()
}

/// The lines of all files of the archive, in the order of days and files.
fn archived(config: &Config) -> Vec<String> {
    let mut files: Vec<_> = std::fs::read_dir(Path::new(&config.retention.archive))
        .unwrap()
        .flat_map(|day| std::fs::read_dir(day.unwrap().path()).unwrap())
        .map(|file| file.unwrap().path())
        .collect();
    files.sort_unstable();
    let mut text = String::new();
    for file in files {
        let file = BufReader::new(File::open(file).unwrap());
        MultiGzDecoder::new(file).read_to_string(&mut text).unwrap();
    }
    text.lines().map(str::to_owned).collect()
}

async fn read_again(config: &Config, client: &Client) {
    for (partition, _) in stored(client, config).await {
        set_offset(client, config, partition, 0).await;
    }
    collect_all(config).await;
}

fn command(config: &Config, arguments: &[&str]) -> Command {
    let mut command = configured(config, ["flow", "erase"]);
    command.args(arguments).env("USER", "night");
    command.env("FLOWTRAIL_RETENTION__ARCHIVE", &config.retention.archive);
    command
}

/// Anneliese's flows, of which one is in the archive alone, and two of others.
async fn stored_and_archived(config: &Config) {
    let told = [
        Told { original: "stays-a", ..Told::new("gone-a", "anneliese") },
        Told { run: 1_000, ..Told::new("gone-b", "anneliese") },
        Told { run: 2_000, ..Told::new("gone-b", "bob") },
        Told { days_ago: 20, ..Told::new("gone-old", "anneliese") },
        Told { days_ago: 20, ..Told::new("stays-old", "bob") },
        Told::new("stays-a", "bob"),
    ];
    let records: Vec<Raw> = told.iter().flat_map(Told::records).chain(unreadable()).collect();
    put(config, &records).await;
    collect_all(config).await;
    let removed = Box::pin(retain(config, "night", &CancellationToken::new(), |_| {})).await.unwrap();
    assert_eq!((removed.flows, removed.archived), (2, 2));
}

/// By hand: each of the two has three steps; the execution that began again is superseded, and of gone-b all three of the
/// first run as well, and that run's own. A rewind for each of three runs; a snapshot, the same for both runs of gone-b; a
/// variable of each, of which gone-b's is the later run's; for each run a letter of what was too long, gone-old's too, and one
/// that can't be read; all eight events of gone-old.
fn planned() -> Value {
    json!({
        "flows": 3,
        "rows": { "flows": 2, "runs": 2, "steps": 6, "superseded": 6, "rewinds": 3, "snapshots": 2, "variables": 2 },
        "dead_letters": 5,
        "archived": 8,
        "unfinished_files": 0,
        "stopped": false,
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_erased_is_nowhere_and_no_replay_brings_it_back() {
    let archive = TempDir::new().unwrap();
    let config = config(&archive).await;
    let client = servers::connect_to(&config).await;
    stored_and_archived(&config).await;
    let holding = [
        "flowstate",
        "ft_dead_letter",
        "ft_run",
        "ft_snapshot",
        "ft_superseded_step",
        "ft_variable",
        "steps",
    ];
    assert_eq!(tables_with(&client, "secret of gone").await, set(&holding));
    let (before, others) = (rows::versions(&client).await, of_database(&client, "stays").await);
    let lines = archived(&config);
    assert_eq!(lines.len(), 16);

    let shown = done(&mut command(&config, &["--user", "anneliese", "--dry-run", "--format", "json"])).await;
    assert_eq!(serde_json::from_str::<Value>(&shown).unwrap(), planned());
    let unasked = program::run(&mut command(&config, &["--user", "anneliese"])).await;
    assert_eq!(unasked.code, 2, "{unasked:?}");
    assert_eq!((rows::versions(&client).await, archived(&config)), (before, lines.clone()));
    assert_eq!(rows::count(&client, "ft_dead_letter").await, 8);

    let ran =
        program::run(&mut command(&config, &["--user", "anneliese", "--yes", "--format", "json"])).await;
    assert_eq!(serde_json::from_str::<Value>(&ran.stdout).unwrap(), planned(), "{ran:?}");
    let said = format!("Kafka still holds their records on {}", config.kafka.topics[0]);
    assert!(ran.code == 0 && ran.stderr.contains(&said), "{ran:?}");

    assert_erased(&config, &client, &lines).await;
    let mut counted = others.clone();
    counted["flowstate"]["stays-a"]["reruncount"] = 0.into();
    assert_eq!(
        (&others["flowstate"]["stays-a"]["reruncount"], of_database(&client, "stays").await),
        (&1.into(), counted)
    );
    let (_, found) = verified(&config, options(&config)).await;
    assert!(found.is_empty(), "{found:#?}");

    read_again(&config, &client).await;
    assert_erased(&config, &client, &lines).await;
    assert_noted(&client).await;
    forget(&config).await;
    assert_erased(&config, &client, &lines).await;
}

/// Nothing of Anneliese's is left but marks and the note with ids, and what is of others is there.
async fn assert_erased(config: &Config, client: &Client, lines: &[String]) {
    for secret in ["secret of gone", "anneliese"] {
        assert_eq!(tables_with(client, secret).await, set(&[]), "{secret}");
    }
    assert_eq!(tables_with(client, "gone-").await, set(&["ft_audit", "ft_tombstone"]));
    let marks =
        "SELECT flowinstanceid FROM ft_tombstone WHERE before IS NULL AND removedat IS NOT NULL ORDER BY 1";
    assert_eq!(
        rows::texts(client, marks).await,
        ["gone-a", "gone-b", "gone-old"].map(|id| Some(id.to_owned()))
    );
    // What was too long of stays-a and stays-old, and what can't be read of stays-a.
    assert_eq!(rows::count(client, "ft_dead_letter").await, 3);
    let kept: Vec<String> = lines.iter().filter(|line| !line.contains("gone-")).cloned().collect();
    assert!(kept.len() == 8 && archived(config) == kept, "{:?}", archived(config));
}

/// Retention forgets what it removed itself, and not what was erased.
async fn forget(config: &Config) {
    let mut config = config.clone();
    config.retention.remember = Some(Duration::from_nanos(1));
    let removed = Box::pin(retain(&config, "night", &CancellationToken::new(), |_| {})).await.unwrap();
    assert_eq!(removed.forgotten, 1);
}

async fn assert_noted(client: &Client) {
    let sql = "SELECT detail::text FROM ft_audit WHERE action = 'flow.erase' AND object = 'flows' \
        AND actor LIKE 'night (%)'";
    let noted = rows::texts(client, sql).await;
    let [Some(noted)] = &noted[..] else { panic!("{noted:?}") };
    let noted: Value = serde_json::from_str(noted).unwrap();
    let ids = ["gone-a", "gone-b", "gone-old"];
    assert_eq!(noted, json!({ "by": "user", "flows": 3, "ids": ids, "erased": planned() }));
}

async fn erased(config: &Config, whose: &Whose, stop: &CancellationToken) -> Erasure {
    let on_progress = |_: &Erasure| stop.cancel();
    Box::pin(erase(config, "night", whose, stop, on_progress)).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_erasure_that_was_cut_off_is_finished_by_asking_once_more() {
    let archive = TempDir::new().unwrap();
    let config = config(&archive).await;
    let client = servers::connect_to(&config).await;
    stored_and_archived(&config).await;
    let hers = Whose::User("anneliese".to_owned());
    // It stops after the rows of one flow: all are marked by then, and the rest of what there was is gone.
    let partly = erased(&config, &hers, &CancellationToken::new()).await;
    assert!(partly.stopped && partly.rows.flows == 1 && partly.archived == 8, "{partly:?}");
    assert_eq!(rows::count(&client, "ft_tombstone").await, 4);
    assert_eq!(tables_with(&client, "anneliese").await, set(&["ft_run"]));

    let rest = Box::pin(erase(&config, "night", &hers, &CancellationToken::new(), |_| {})).await.unwrap();
    assert_eq!((rest.stopped, rest.flows, rest.rows.flows, rest.dead_letters), (false, 1, 1, 0));
    assert_eq!(tables_with(&client, "anneliese").await, set(&[]));
    assert_eq!(tables_with(&client, "secret of gone").await, set(&[]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_letter_of_an_erased_flow_is_not_stored_by_a_retry() {
    let archive = TempDir::new().unwrap();
    let config = config(&archive).await;
    let client = servers::connect_to(&config).await;
    let keep = "INSERT INTO ft_dead_letter (topic, partition, recordoffset, recordkey, payload, payloadhash, reason, consumergroup) \
        VALUES ('t', 0, $1, $2, $3, '\\x00', 'refused', 'g')";
    // Neither its key nor its message says whose it is, but the id stands in it.
    let torn = b"{\"flowInstanceId\": \"gone-a\", \"it\": \"secret of gone-a";
    client.execute(keep, &[&-1_i64, &&b"elsewhere"[..], &&torn[..]]).await.unwrap();
    // Nothing else is held of the flow so far: it is kept out all the same.
    done(&mut command(&config, &["gone-a", "--yes"])).await;
    assert_eq!(rows::count(&client, "ft_dead_letter").await, 0);
    let events = [Told::new("gone-a", "anneliese"), Told::new("stays-a", "bob")].map(|told| told.events());
    for (offset, event) in (0_i64..).zip(events.iter().flat_map(|events| &events[..3])) {
        let key = flowtrail::publish::key(event).into_bytes();
        client.execute(keep, &[&offset, &key, &event.encode_to_vec()]).await.unwrap();
    }
    done(&mut configured(&config, ["deadletter", "retry", "--all"])).await;
    assert_eq!(tables_with(&client, "secret of gone").await, set(&[]));
    assert_eq!(tables_with(&client, "secret of stays").await, set(&["flowstate", "steps"]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn collectors_and_an_erasure_at_the_same_time_leave_nothing() {
    let archive = TempDir::new().unwrap();
    let mut config = config(&archive).await;
    config.collector.batch_rows = 20;
    let client = servers::connect_to(&config).await;
    let records: Vec<Raw> = (0..60)
        .flat_map(|_| [Told::new("gone-a", "anneliese"), Told::new("stays-a", "bob")])
        .flat_map(|told| told.records())
        .chain(unreadable())
        .collect();
    put(&config, &records).await;
    collect_all(&config).await;
    let collecting = Collecting::start(&config);
    let gone = Whose::Flows(vec!["gone-a".to_owned()]);
    let stop = CancellationToken::new();
    let erasing = Box::pin(erase(&config, "night", &gone, &stop, |_| {}));
    let (erased, _) = tokio::join!(erasing, put(&config, &records));
    until_stored(&config).await;
    collecting.stop().await;
    let erased = erased.unwrap();
    assert_eq!((erased.flows, erased.stopped), (1, false));
    assert_eq!(tables_with(&client, "secret of gone").await, set(&[]));
    assert_eq!(tables_with(&client, "gone-").await, set(&["ft_audit", "ft_tombstone"]));
    assert_eq!(of_database(&client, "stays").await["steps"].as_object().unwrap().len(), 3);
}
