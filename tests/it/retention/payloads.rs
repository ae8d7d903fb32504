//! Payloads go before the rows that they belong to, and stay away.

use flowtrail::{
    proto::v1::{FlowEvent, FlowStatus, HistoryEvent, history_event::Event},
    retention::plan::{Removes, plan},
};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{
    Client, Config, Duration, Made, Path, Raw, collect_all, configured, done, files_below, of_database,
    options, policy, program, put, read_again, removed, rows, servers, verified,
};

/// Flows go after 14 days, their payloads after 2.
async fn config() -> Config {
    let mut config = servers::config(1).await;
    config.retention.policies = vec![policy("all", &[], 14)];
    config.retention.policies[0].payloads_after = Some(Duration::from_hours(48));
    config.retention.batch_flows = 2;
    config
}

/// What a flow says, with a payload in every field that has one, and an error at its end.
fn said(made: &Made) -> Vec<HistoryEvent> {
    let mut events = made.events();
    for event in events.iter_mut().filter_map(|event| event.event.as_mut()) {
        match event {
            Event::Flow(FlowEvent { ended_at: Some(_), output, error, .. }) => {
                *output = "{\"out\": 1}".into();
                *error = "flow failed".into();
            }
            Event::Step(step) => {
                step.input = "{\"in\": 2}".into();
                step.output = "{\"out\": 2}".into();
                step.misc = "{\"more\": 2}".into();
                step.error = "step failed".into();
            }
            _ => {}
        }
    }
    events
}

/// The same without what needs the exclusive lock: each step ran once, and nothing was rewound.
pub(super) fn said_plainly(made: &Made) -> Vec<HistoryEvent> {
    let mut events = said(made);
    events.retain(|event| match event.event.as_ref().unwrap() {
        Event::Rewind(_) => false,
        Event::Step(step) => step.execution < made.run + 3,
        _ => true,
    });
    events
}

pub(super) async fn publish(config: &Config, events: impl IntoIterator<Item = HistoryEvent>) {
    put(config, &events.into_iter().map(|event| Raw::of(&event)).collect::<Vec<_>>()).await;
}

/// Every row of flows as it is to be once its payloads are gone: these columns are null, and no other is another.
pub(super) fn stripped(mut rows: Value) -> Value {
    let columns = |table: &str| match table {
        "steps" | "ft_superseded_step" => &["stepdata", "input", "output", "misc"][..],
        "flowstate" | "ft_run" => &["flowinput", "flowoutput"],
        "ft_variable" => &["value", "misc"],
        _ => &[],
    };
    for (table, rows) in rows.as_object_mut().unwrap() {
        for row in rows.as_object_mut().unwrap().values_mut() {
            for column in columns(table) {
                let value = row.get_mut(*column).unwrap_or_else(|| panic!("{table} shows no {column}"));
                *value = Value::Null;
            }
        }
    }
    rows
}

/// Bytes of the snapshots of flows.
async fn snapshot_bytes(client: &Client, prefix: &str) -> Vec<Option<String>> {
    let sql = format!(
        "SELECT DISTINCT octet_length(data)::text FROM ft_snapshot WHERE flowinstanceid LIKE '{prefix}%' ORDER BY 1"
    );
    rows::texts(client, &sql).await
}

fn texts<const N: usize>(texts: [&str; N]) -> Vec<Option<String>> {
    texts.map(|text| Some(text.to_owned())).to_vec()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn payloads_go_before_their_rows_and_stay_away_when_the_topic_is_read_again() {
    let config = config().await;
    let client = servers::connect_to(&config).await;
    let of = |prefix: &str, days_ago| {
        (0..5)
            .map(move |n| Made::new(&format!("{prefix}-{n}"), days_ago, FlowStatus::Failed))
            .collect::<Vec<_>>()
    };
    publish(&config, of("bare-plain", 5).iter().flat_map(said_plainly)).await;
    publish(&config, of("bare-rewound", 13).iter().flat_map(said)).await;
    publish(&config, of("whole", 1).iter().chain(&of("goes", 15)).flat_map(said)).await;
    collect_all(&config).await;
    let [bare, whole] = [of_database(&client, "bare").await, of_database(&client, "whole").await];
    let wanted = stripped(bare.clone());
    assert_ne!(wanted, bare);

    let shares = plan(&config).await.unwrap();
    let told: Vec<_> = shares.iter().map(|share| (share.removes, share.flows, share.steps)).collect();
    assert_eq!(told, [(Removes::Flows, 5, 15), (Removes::Payloads, 10, 25)]);
    // A kilobyte of data in each step, which Postgres packs to what is left of it.
    assert!(shares[1].bytes > 25 * 30 && shares[1].bytes < shares[1].steps * 2_000, "{shares:?}");

    let done = removed(&config).await;
    assert_eq!((done.flows, done.bare), (5, 10), "{done:?}");
    assert_eq!(of_database(&client, "bare").await, wanted);
    assert_eq!(of_database(&client, "whole").await, whole);
    assert_eq!(snapshot_bytes(&client, "bare").await, texts(["0"]));
    assert_eq!(snapshot_bytes(&client, "whole").await, texts(["2"]));

    assert_eq!(plan(&config).await.unwrap(), []);
    assert_eq!(removed(&config).await.bare, 0);
    let noted = "SELECT detail ->> 'bare' FROM ft_audit WHERE action = 'retention.run' ORDER BY id";
    assert_eq!(rows::texts(&client, noted).await, texts(["10", "0"]));
    for again in [false, true] {
        if again {
            read_again(&config, &client).await;
        }
        assert_eq!(of_database(&client, "bare").await, wanted);
        assert_eq!(snapshot_bytes(&client, "bare").await, texts(["0"]));
        client.batch_execute("DELETE FROM ft_snapshot WHERE flowinstanceid LIKE 'goes%'").await.unwrap();
        let (_, found) = verified(&config, options(&config)).await;
        assert!(found.is_empty(), "{found:#?}");
    }
    // A payload that somebody put back is one that no event says any more.
    client
        .batch_execute(
            "UPDATE steps SET stepdata = 'x' WHERE flowinstanceid = 'bare-plain-1' AND stepid = '2'",
        )
        .await
        .unwrap();
    let (_, found) = verified(&config, options(&config)).await;
    let told: Vec<_> = found.iter().map(|found| (found.of.as_str(), found.row.key.step.as_deref())).collect();
    assert_eq!(told, [("bare-plain-1", Some("2"))], "{found:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_late_is_stored_without_its_payload_and_a_run_that_comes_later_whole() {
    let config = config().await;
    let client = servers::connect_to(&config).await;
    let first = Made { run: 1_000, ..Made::new("late", 5, FlowStatus::Failed) };
    let (late, rest): (Vec<_>, Vec<_>) = said_plainly(&first)
        .into_iter()
        .partition(|event| matches!(event.event.as_ref().unwrap(), Event::Step(step) if step.step_id == "1"));
    publish(&config, rest).await;
    collect_all(&config).await;
    assert_eq!(removed(&config).await.bare, 1);
    publish(&config, late).await;
    collect_all(&config).await;
    let steps = "SELECT concat_ws(' ', stepid, execution, status, convert_from(error, 'UTF8'), \
        num_nonnulls(stepdata, input, output, misc)) FROM steps ORDER BY 1";
    let of_first = ["1 1001 Completed step failed 0", "2 1002 Completed step failed 0"];
    assert_eq!(rows::texts(&client, steps).await, texts(of_first));

    let second = Made { run: 2_000, days_ago: 1, ..first };
    publish(&config, said_plainly(&second)).await;
    collect_all(&config).await;
    let of_second = ["1 2001 Completed step failed 4", "2 2002 Completed step failed 4"];
    assert_eq!(rows::texts(&client, steps).await, texts(of_second));
    let output = "SELECT run || ' ' || num_nonnulls(flowinput, flowoutput) FROM ft_run ORDER BY 1";
    assert_eq!(rows::texts(&client, output).await, texts(["1000 0", "2000 2"]));
    assert_eq!(removed(&config).await.bare, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_was_killed_between_mark_and_removal_is_finished_by_the_next() {
    let mut config = config().await;
    let client = servers::connect_to(&config).await;
    publish(&config, said(&Made::new("bare", 5, FlowStatus::Failed))).await;
    collect_all(&config).await;
    let wanted = stripped(of_database(&client, "bare").await);
    // By now no policy takes payloads any more.
    config.retention.policies[0].payloads_after = None;
    client
        .batch_execute("INSERT INTO ft_payload_mark (flowinstanceid, before) VALUES ('bare', 4)")
        .await
        .unwrap();
    assert_eq!(removed(&config).await.bare, 1);
    assert_eq!(of_database(&client, "bare").await, wanted);
    assert_eq!(removed(&config).await.bare, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn payloads_are_archived_before_they_go_and_come_back_from_there() {
    let folder = TempDir::new().unwrap();
    let mut config = config().await;
    config.retention.archive = folder.path().join("archive").to_str().unwrap().to_owned();
    let client = servers::connect_to(&config).await;
    publish(&config, said(&Made::new("bare", 5, FlowStatus::Failed))).await;
    collect_all(&config).await;
    let before = of_database(&client, "bare").await;
    let done_so_far = removed(&config).await;
    assert_eq!((done_so_far.bare, done_so_far.archived), (1, 1));

    let files = files_below(Path::new(&config.retention.archive));
    let lines = program::done(tokio::process::Command::new("zcat").args(&files)).await;
    let path = folder.path().join("all.ndjson");
    std::fs::write(&path, &lines).unwrap();
    done(configured(&config, ["retention", "readmit"]).args(&files)).await;
    done(configured(&config, ["publish", "--from", "json"]).arg(&path)).await;
    collect_all(&config).await;
    assert_eq!(of_database(&client, "bare").await, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_plan_tells_payloads_from_flows() {
    let mut config = config().await;
    publish(&config, said(&Made::new("bare", 5, FlowStatus::Failed))).await;
    collect_all(&config).await;
    config.retention.policies[0].name = "short".to_owned();
    let policies = json!([{ "name": "short", "age": "14d", "payloads_after": "2d" }]).to_string();
    let mut command = configured(&config, ["retention", "plan", "--format", "json"]);
    let shown = done(command.env("FLOWTRAIL_RETENTION__POLICIES", policies)).await;
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!((&shown[0]["removes"], &shown[0]["flows"]), (&json!("payloads"), &json!(1)), "{shown}");
}
