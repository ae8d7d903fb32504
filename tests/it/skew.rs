//! Write skew: transactions that are right one by one and would miss each other. One lane's transaction is held open
//! in its middle while another lane writes; each test fails without the lock, or without the second try, that it names.

use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::Duration,
};

use flowtrail::{
    model::{Offset, Partition},
    pipeline::{decode::decode, merge::Fold},
    postgres::{self, Batch, LastRecord, Progress, Session, Written},
    proto::v1::{FlowDeleted, FlowEvent, HistoryEvent, Phase, Rewind, StepEvent, history_event::Event},
};
use prost::Message as _;
use tokio_postgres::Client;

use crate::{
    rows,
    servers::{self, until},
};

fn flow(id: &str, run: i64, original: &str) -> Event {
    Event::Flow(FlowEvent {
        flow_instance_id: id.into(),
        run,
        phase: Phase::Opened.into(),
        rerun_of_flow_instance_id: original.into(),
        ..FlowEvent::default()
    })
}

fn step(id: &str, step_id: &str, execution: i64) -> Event {
    Event::Step(StepEvent {
        flow_instance_id: id.into(),
        step_id: step_id.into(),
        execution,
        phase: Phase::Closed.into(),
        ..StepEvent::default()
    })
}

/// Writes events as one batch, the way a lane does.
async fn write(session: &mut Session, events: impl IntoIterator<Item = Event>) {
    static OFFSET: AtomicI64 = AtomicI64::new(0);
    let mut fold = Fold::default();
    for event in events {
        let value = HistoryEvent { event: Some(event) }.encode_to_vec();
        fold.extend(decode(None, Some(&value.into()), 1 << 20, None).unwrap().events);
    }
    let number = OFFSET.fetch_add(1, Ordering::Relaxed);
    let progress = Progress {
        // A partition of its own, so that only the rows can get in each other's way.
        partition: Partition { topic: format!("skew-{number}").into(), number: 0 },
        from: None,
        next: Offset(1),
        last: Some(LastRecord { offset: Offset(0), time: None, hash: [0; 16] }),
    };
    let batch = Batch { fold, progress: vec![progress], ..Batch::default() };
    let written = postgres::write(session, "skew", &batch)
        .await
        .unwrap_or_else(|e| panic!("{}", postgres::sentence(&e.error)));
    assert!(matches!(written, Written::Stored(_)), "{written:?}");
}

/// A transaction of another lane, open, with the lock that every lane takes and what it has written so far.
async fn other_lane(url: &str, wrote: &str) -> Client {
    let client = servers::connect(url).await;
    let key = i32::from_be_bytes(*b"ftlw");
    let lock = format!(
        "SELECT pg_advisory_xact_lock_shared({key}, 'steps'::regclass::oid::bigint::bit(32)::integer)"
    );
    client.batch_execute("BEGIN").await.unwrap();
    client.batch_execute(&lock).await.unwrap();
    client.batch_execute(wrote).await.unwrap();
    client
}

/// Waits until a session of this database waits for a lock.
async fn until_somebody_waits(watch: &Client) {
    until("a session waits for a lock", || async {
        let sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
        let waiting: i64 = watch.query_one(sql, &[]).await.unwrap().get(0);
        if waiting > 0 { Ok(()) } else { Err("nobody waits".to_owned()) }
    })
    .await;
}

async fn number(client: &Client, sql: &str) -> i64 {
    client.query_one(sql, &[]).await.unwrap().get(0)
}

/// Runs one batch against an open transaction of another lane, which commits once the batch waits for it.
async fn race(url: &str, wrote: &str, events: Vec<Event>) -> Client {
    race_of(servers::session(url).await, url, wrote, events).await
}

/// The same, with a session of the batch's own.
async fn race_of(mut session: Session, url: &str, wrote: &str, events: Vec<Event>) -> Client {
    let watch = servers::connect(url).await;
    let other = other_lane(url, wrote).await;
    let writing = tokio::spawn(async move { write(&mut session, events).await });
    until_somebody_waits(&watch).await;
    other.batch_execute("COMMIT").await.unwrap();
    writing.await.unwrap();
    watch
}

#[tokio::test(flavor = "multi_thread")]
async fn two_runs_that_open_at_once_are_both_kept_and_the_greater_is_shown() {
    let url = servers::database().await;
    let other =
        "INSERT INTO flowstate (flowinstanceid, run, phase, hostid, reruncount) VALUES ('f', 10, 0, '', 0)";
    let client = race(&url, other, vec![flow("f", 20, "")]).await;
    assert_eq!(number(&client, "SELECT run FROM flowstate").await, 20);
    assert_eq!(number(&client, "SELECT count(*) FROM ft_run").await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_executions_that_open_at_once_are_both_kept_and_the_greater_is_shown() {
    let url = servers::database().await;
    let other = "INSERT INTO steps (flowinstanceid, stepid, execution, phase) VALUES ('f', '1', 20, 2)";
    let client = race(&url, other, vec![step("f", "1", 10)]).await;
    assert_eq!(number(&client, "SELECT execution FROM steps").await, 20);
    assert_eq!(number(&client, "SELECT execution FROM ft_superseded_step").await, 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_row_from_two_lanes_at_once_is_merged_not_raced() {
    let url = servers::database().await;
    let other = "INSERT INTO steps (flowinstanceid, stepid, execution, phase, taskname) VALUES ('f', '1', 10, 0, 't')";
    let client = race(&url, other, vec![step("f", "1", 10)]).await;
    assert_eq!(number(&client, "SELECT count(*) FROM steps WHERE phase = 2 AND taskname = 't'").await, 1);
    assert_eq!(number(&client, "SELECT count(*) FROM ft_superseded_step").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_straggler_does_not_survive_its_rewind() {
    let url = servers::database().await;
    let other = "INSERT INTO steps (flowinstanceid, stepid, execution, phase) VALUES ('f', '3', 10, 2)";
    let rewind = Rewind { flow_instance_id: "f".into(), from_step: Some(2), before: 11 };
    let client = race(&url, other, vec![Event::Rewind(rewind)]).await;
    assert_eq!(number(&client, "SELECT count(*) FROM steps").await, 0);
    assert_eq!(number(&client, "SELECT count(*) FROM ft_superseded_step").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_beside_the_deletion_of_its_flow_is_deleted() {
    let url = servers::database().await;
    let other = "INSERT INTO steps (flowinstanceid, stepid, execution, phase) VALUES ('f', '3', 10, 2)";
    let deleted = FlowDeleted { flow_instance_id: "f".into(), before: None };
    let client = race(&url, other, vec![Event::FlowDeleted(deleted)]).await;
    assert_eq!(number(&client, "SELECT count(*) FROM steps").await, 0);
    assert_eq!(number(&client, "SELECT count(*) FROM ft_tombstone").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_original_that_opens_beside_its_rerun_counts_it() {
    let url = servers::database().await;
    let other =
        "INSERT INTO flowstate (flowinstanceid, run, phase, hostid, reruncount) VALUES ('x', 0, 0, '', 0)";
    let client = race(&url, other, vec![flow("y", 0, "x")]).await;
    assert_eq!(
        number(&client, "SELECT reruncount::bigint FROM flowstate WHERE flowinstanceid = 'x'").await,
        1
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn reruns_from_two_lanes_at_once_are_both_counted() {
    let url = servers::database().await;
    let client = servers::connect(&url).await;
    let mut lanes = [servers::session(&url).await, servers::session(&url).await];
    for round in 0..40 {
        let original = format!("x{round}");
        let work = lanes.iter_mut().enumerate().map(|(lane, session)| {
            write(session, [flow(&format!("y{round}-{lane}"), 0, &original), flow(&original, 0, "")])
        });
        futures_util::future::join_all(work).await;
    }
    let counted = number(&client, "SELECT count(*) FROM flowstate WHERE reruncount = 2").await;
    assert_eq!(counted, 40);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rerun_that_is_deleted_is_counted_no_more() {
    let url = servers::database().await;
    let client = servers::connect(&url).await;
    let mut session = servers::session(&url).await;
    write(&mut session, [flow("x", 0, "")]).await;
    write(&mut session, [flow("y", 5, "x")]).await;
    let count = "SELECT reruncount::bigint FROM flowstate WHERE flowinstanceid = 'x'";
    assert_eq!(number(&client, count).await, 1);
    write(&mut session, [Event::FlowDeleted(FlowDeleted { flow_instance_id: "y".into(), before: Some(6) })])
        .await;
    assert_eq!(number(&client, count).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_batch_that_meets_a_row_on_its_way_straight_into_the_table_is_staged_instead() {
    let url = servers::database().await;
    let other = "INSERT INTO steps (flowinstanceid, stepid, execution, phase, taskname) VALUES ('f00000', '1', 10, 0, 't')";
    let large = |flow: usize| {
        let Event::Step(step) = step(&format!("f{flow:05}"), "1", 10) else { unreachable!() };
        Event::Step(StepEvent { data: vec![b'x'; 1000].into(), ..step })
    };
    let client = race(&url, other, (0..10_000).map(large).collect()).await;
    assert_eq!(number(&client, "SELECT count(*) FROM steps WHERE length(stepdata) = 1000").await, 10_000);
    assert_eq!(number(&client, "SELECT count(*) FROM steps WHERE taskname = 't'").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_another_lane_moves_after_it_was_found_is_changed_all_the_same() {
    for stages_all in [false, true] {
        move_a_row_after_it_was_found(stages_all).await;
    }
}

/// A session that stages what changes however little that is, or one as it comes.
async fn session(url: &str, stages_all: bool) -> Session {
    let session = servers::session(url).await;
    if stages_all { session.staging_all() } else { session }
}

async fn move_a_row_after_it_was_found(stages_all: bool) {
    let url = servers::database().await;
    let (watch, mut session) = (servers::connect(&url).await, session(&url, stages_all).await);
    let opened = |step_id: &str| {
        let Event::Step(step) = step("f", step_id, 10) else { unreachable!() };
        Event::Step(StepEvent { phase: Phase::Opened.into(), ..step })
    };
    write(&mut session, [opened("1"), opened("2"), flow("f", 10, "")]).await;
    // Steps are found, and then the new flow's row has to wait.
    let other = other_lane(&url, "LOCK TABLE flowstate IN SHARE MODE").await;
    let closed = [step("f", "1", 10), step("f", "2", 10), flow("g", 10, "")];
    let writing = tokio::spawn(async move { write(&mut session, closed).await });
    until_somebody_waits(&watch).await;
    watch.batch_execute("UPDATE steps SET taskname = 'moved' WHERE stepid = '1'").await.unwrap();
    other.batch_execute("COMMIT").await.unwrap();
    writing.await.unwrap();
    let closed = "SELECT count(*) FROM steps WHERE phase = 2";
    assert_eq!(number(&watch, closed).await, 2);
    assert_eq!(number(&watch, "SELECT count(*) FROM steps WHERE taskname = 'moved'").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_says_nothing_new_writes_nothing_however_many_and_large_the_steps_are() {
    let url = servers::database().await;
    let (watch, mut session) = (servers::connect(&url).await, servers::session(&url).await);
    let sized = |number: usize, output: usize| {
        let Event::Step(step) = step("f", &number.to_string(), 10) else { unreachable!() };
        Event::Step(StepEvent { output: vec![b'x'; output].into(), ..step })
    };
    // More than are looked for by flow, and some larger than what is compared outside of Postgres.
    let steps = || (0..300).map(|number| sized(number, if number % 50 == 7 { 10_000 } else { 10 }));
    write(&mut session, steps().chain([flow("f", 10, "")])).await;
    let before = rows::versions(&watch).await;
    write(&mut session, steps().chain([flow("f", 10, "")])).await;
    // What says less is nothing new either.
    let Event::Step(less) = step("f", "8", 10) else { unreachable!() };
    write(&mut session, [Event::Step(StepEvent { phase: Phase::Running.into(), ..less })]).await;
    assert_eq!(rows::versions(&watch).await, before);
    // Two of them change, a small and a large one.
    write(
        &mut session,
        (0..300).map(|number| sized(number, if number == 9 { 11 } else { 10 })).chain([sized(57, 10_001)]),
    )
    .await;
    let after = rows::versions(&watch).await;
    assert_eq!(after.iter().filter(|row| !before.contains(row)).count(), 2);
    let lengths = "SELECT count(*) FROM steps WHERE (stepid, length(output)) IN (('9', 11), ('57', 10001))";
    assert_eq!(number(&watch, lengths).await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_lane_is_just_writing_into_a_row_is_not_overwritten() {
    for stages_all in [false, true] {
        write_what_another_lane_is_just_writing(stages_all).await;
    }
}

async fn write_what_another_lane_is_just_writing(stages_all: bool) {
    let url = servers::database().await;
    let mut lane = session(&url, stages_all).await;
    let Event::Step(step_10) = step("f", "1", 10) else { unreachable!() };
    let opened = Event::Step(StepEvent { phase: Phase::Opened.into(), ..step_10 });
    write(&mut lane, [opened, flow("f", 10, "")]).await;
    let other = "UPDATE steps SET taskname = 't'; UPDATE flowstate SET appname = 'a'";
    let Event::Flow(run) = flow("f", 10, "") else { unreachable!() };
    let closed = Event::Flow(FlowEvent { phase: Phase::Closed.into(), ..run });
    let client = race_of(lane, &url, other, vec![step("f", "1", 10), closed]).await;
    assert_eq!(number(&client, "SELECT count(*) FROM steps WHERE phase = 2 AND taskname = 't'").await, 1);
    assert_eq!(number(&client, "SELECT count(*) FROM flowstate WHERE phase = 2 AND appname = 'a'").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_stored_of_many_flows_with_few_steps_and_of_others_comes_in_one_go() {
    let url = servers::database().await;
    let (watch, mut session) = (servers::connect(&url).await, servers::session(&url).await);
    let steps = || {
        (0..2_000).flat_map(|number| {
            let (id, count) = (format!("f{number}"), if number % 2 == 0 { 2 } else { 6 });
            (0..count).map(move |step_id| {
                let Event::Step(step) = step(&id, &step_id.to_string(), 10) else { unreachable!() };
                Event::Step(StepEvent { output: vec![b'x'; 500].into(), ..step })
            })
        })
    };
    write(&mut session, steps()).await;
    let before = rows::versions(&watch).await;
    let again = write(&mut session, steps());
    tokio::time::timeout(Duration::from_secs(30), again).await.expect("it is answered");
    assert_eq!(rows::versions(&watch).await, before);
}
