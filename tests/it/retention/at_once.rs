//! What retention would take away as soon as a flow has ended is not stored in the first place.

use flowtrail::proto::v1::{FlowStatus, HistoryEvent, history_event::Event};

use super::{
    Client, Config, Duration, Made, collect_all, held, of_database, options,
    payloads::{publish, said_plainly, stripped},
    policy, read_again, removed, rows, servers, verified,
};

/// Failures stay; of the rest a quarter, by the id.
async fn sampling() -> Config {
    let mut config = servers::config(1).await;
    let mut sampled = policy("sampled", &[], 0);
    sampled.keep = Some("25%".parse().unwrap());
    config.retention.policies = vec![policy("failures", &["failed"], 90), sampled];
    config
}

fn flows(prefix: &str, status: FlowStatus) -> Vec<Made> {
    (0..40).map(|number| Made::new(&format!("{prefix}-{number}"), 1, status)).collect()
}

/// Those of the ids that are in the sample, as docs/retention.md tells it in SQL.
async fn sample(client: &Client, flows: &[Made]) -> Vec<String> {
    const SQL: &str = "SELECT id FROM unnest($1::text[]) AS u(id) \
        WHERE ('x' || encode(substring(sha256(convert_to(id, 'UTF8')) FOR 4), 'hex'))::bit(32)::bigint < 0.25 * 4294967296 \
        ORDER BY id COLLATE \"C\"";
    let ids: Vec<&str> = flows.iter().map(|flow| flow.id.as_str()).collect();
    client.query(SQL, &[&ids]).await.unwrap().iter().map(|row| row.get(0)).collect()
}

async fn no_difference(config: &Config) {
    let (_, found) = verified(config, options(config)).await;
    assert!(found.is_empty(), "{found:#?}");
}

fn sorted(mut ids: Vec<String>) -> Vec<String> {
    ids.sort_unstable();
    ids
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_sample_the_rest_leaves_marks_and_no_rows_and_stays_away() {
    let config = sampling().await;
    let client = servers::connect_to(&config).await;
    let (completed, failed) = (flows("a", FlowStatus::Completed), flows("b", FlowStatus::Failed));
    let mut kept = sample(&client, &completed).await;
    assert!((3..20).contains(&kept.len()), "{kept:?}");
    let left_out = completed.len() - kept.len();
    kept.extend(failed.iter().map(|flow| flow.id.clone()));
    let kept = sorted(kept);
    let events: Vec<HistoryEvent> =
        completed.iter().chain(&failed).flat_map(said_without_snapshots).collect();
    publish(&config, events.clone()).await;
    collect_all(&config).await;
    assert_eq!(sorted(held(&client).await), kept);
    let marks = "SELECT count(*)::text FROM ft_tombstone WHERE before IS NOT NULL AND removedat IS NOT NULL";
    assert_eq!(rows::texts(&client, marks).await, [Some(left_out.to_string())]);
    no_difference(&config).await;

    // A step that began before the end, and came after it; and all of it once more.
    publish(&config, events.iter().filter_map(a_second_later)).await;
    read_again(&config, &client).await;
    assert_eq!(sorted(held(&client).await), kept);
    assert_eq!(removed(&config).await.flows, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flow_that_came_in_pieces_is_stored_and_goes_with_the_next_run() {
    let config = sampling().await;
    let client = servers::connect_to(&config).await;
    let flows = flows("a", FlowStatus::Completed);
    let kept = sample(&client, &flows).await;
    let said: Vec<Vec<HistoryEvent>> = flows.iter().map(said_without_snapshots).collect();
    publish(&config, said.iter().flatten().filter(|event| opens(event)).cloned()).await;
    collect_all(&config).await;
    publish(&config, said.iter().flatten().filter(|event| !opens(event)).cloned()).await;
    collect_all(&config).await;
    assert_eq!(held(&client).await.len(), flows.len());
    no_difference(&config).await;
    removed(&config).await;
    assert_eq!(sorted(held(&client).await), sorted(kept));
    no_difference(&config).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_another_collector_stored_of_a_flow_while_it_was_left_out_goes_with_the_next_run() {
    let config = sampling().await;
    let client = servers::connect_to(&config).await;
    publish(&config, flows("a", FlowStatus::Completed).iter().flat_map(said_without_snapshots)).await;
    collect_all(&config).await;
    let stump = "INSERT INTO steps (flowinstanceid, stepid, execution, phase) \
        SELECT flowinstanceid, '7', before - 1, 2 FROM ft_tombstone";
    assert!(client.execute(stump, &[]).await.unwrap() > 0);
    removed(&config).await;
    assert_eq!(rows::texts(&client, "SELECT stepid FROM steps WHERE stepid = '7'").await, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn payloads_that_would_go_at_once_are_not_stored_and_those_of_before_go_with_the_next_run() {
    let plain = servers::config(1).await;
    let mut config = servers::config(1).await;
    let mut bare = policy("bare", &["completed"], 90);
    bare.payloads_after = Some(Duration::ZERO);
    config.retention.policies = vec![bare];
    let (whole, failed) =
        (Made::new("whole", 1, FlowStatus::Completed), Made::new("failed", 1, FlowStatus::Failed));
    let pieces = Made::new("pieces", 1, FlowStatus::Completed);
    let first: Vec<HistoryEvent> = [&whole, &failed]
        .into_iter()
        .flat_map(said_plainly)
        .chain(said_plainly(&pieces).into_iter().take(2))
        .collect();
    let second: Vec<HistoryEvent> = said_plainly(&pieces).into_iter().skip(2).collect();
    for config in [&plain, &config] {
        publish(config, first.clone()).await;
        collect_all(config).await;
        publish(config, second.clone()).await;
        collect_all(config).await;
    }
    let (all, kept) = (servers::connect_to(&plain).await, servers::connect_to(&config).await);
    assert_eq!(of_database(&kept, "whole").await, stripped(of_database(&all, "whole").await));
    assert_eq!(of_database(&kept, "failed").await, of_database(&all, "failed").await);
    no_difference(&config).await;
    // Its opening was stored before it was known how it would end.
    assert_ne!(of_database(&kept, "pieces").await, stripped(of_database(&all, "pieces").await));
    removed(&config).await;
    assert_eq!(of_database(&kept, "pieces").await, stripped(of_database(&all, "pieces").await));
    read_again(&config, &kept).await;
    for id in ["whole", "pieces"] {
        assert_eq!(of_database(&kept, id).await, stripped(of_database(&all, id).await));
    }
    no_difference(&config).await;
}

/// Numbered by their starts, as Flogo's are.
fn said_without_snapshots(made: &Made) -> Vec<HistoryEvent> {
    let mut events = said_plainly(made);
    events.retain(|event| !matches!(event.event, Some(Event::Snapshot(_))));
    for event in &mut events {
        match event.event.as_mut().unwrap() {
            Event::Flow(flow) => flow.run = micros(flow.started_at.as_ref()),
            Event::Step(step) => step.execution = micros(step.started_at.as_ref()),
            Event::Variable(variable) => variable.run = micros(variable.created_at.as_ref()),
            _ => unreachable!("nothing else is said"),
        }
    }
    events
}

fn opens(event: &HistoryEvent) -> bool {
    matches!(&event.event, Some(Event::Flow(flow)) if flow.ended_at.is_none())
}

/// The first step of a flow that did not fail, run again a second later.
fn a_second_later(event: &HistoryEvent) -> Option<HistoryEvent> {
    let mut event = event.clone();
    match event.event.as_mut()? {
        Event::Step(step) if step.step_id == "1" && step.flow_instance_id.starts_with('a') => {
            step.started_at.as_mut()?.seconds += 1;
            step.execution += 1_000_000;
        }
        _ => return None,
    }
    Some(event)
}

fn micros(time: Option<&pbjson_types::Timestamp>) -> i64 {
    let time = time.unwrap();
    time.seconds * 1_000_000 + i64::from(time.nanos) / 1_000
}
