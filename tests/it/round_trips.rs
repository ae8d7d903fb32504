//! How often a batch waits for Postgres. Over a connection on which an answer takes milliseconds, that is the time which
//! most batches take, and whoever awaits one statement after the other makes it longer without any other test seeing it.

use std::time::Duration;

use flowtrail::{
    model::{Offset, Partition},
    pipeline::{decode::decode, merge::Fold},
    postgres::{self, Batch, LastRecord, Progress, Session, Written},
    proto::v1::{FlowEvent, HistoryEvent, Phase, StepEvent, history_event::Event},
};
use prost::Message as _;

use crate::{
    proxy::{Mode, Proxy},
    servers,
};

/// How much later bytes arrive, each way. Far longer than it takes to send a few statements one behind the other, even on
/// a machine that is busy: see [`Trips`](crate::proxy) for why.
const ONE_WAY: Duration = Duration::from_millis(50);

/// Flows of a batch: more than a full one has.
const FLOWS: u32 = 2_000;
/// Of these so many go on: few enough for a session to empty its temp tables as it commits.
const GO_ON: u32 = 200;
/// Steps of a flow of a batch. Of flows with few, only these are looked up, of flows with more, all; there are both.
const STEPS: [u32; 2] = [1, 4];

/// What the protocol asks for, given that a `COPY` begins only where nothing before it can have failed (a driver that is
/// refused one loses the connection), that Postgres has to say that it takes rows before the driver hands it some, and
/// that the transaction is committed only if the offsets were what they are expected to be:
///
/// 1. `BEGIN`, the lock, and all that is looked up;
/// 2. the savepoint, and the `COPY` of steps begins;
/// 3. rows, and their end;
/// 4. the `COPY` of flows begins;
/// 5. rows, and their end;
/// 6. offsets;
/// 7. `COMMIT`.
const FIRST: u32 = 7;
/// The look-up, offsets, `COMMIT`.
const AGAIN: u32 = 3;
/// The look-up; two staged tables, each a `COPY` that begins and ends; both tables are changed at once; offsets; rows are
/// unstaged, and `COMMIT`.
const CHANGED: u32 = 1 + 2 * 2 + 1 + 1 + 1;

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_waits_for_postgres_as_seldom_as_the_protocol_lets_it_however_many_flows_it_has() {
    let url = servers::database().await;
    let proxy = Proxy::before(&url).await;
    let mut session = servers::session(&proxy.url(&url)).await;
    // The first batch of each kind prepares statements. Plans are made anew before batches 2, 3 and 5; none of those that
    // are looked at is one of them.
    for (number, batch) in (1..).zip(["a", "b", "c", "first", "d", "first"]) {
        if number == 4 {
            proxy.trips().take();
            proxy.set(Mode::Slow(ONE_WAY));
        }
        write(&mut session, number, (batch, FLOWS), Phase::Opened).await;
        match number {
            4 => assert_eq!(proxy.trips().take(), [FIRST], "of new flows"),
            6 => assert_eq!(proxy.trips().take().last(), Some(&AGAIN), "of flows that are stored already"),
            _ => {}
        }
    }
    write(&mut session, 7, ("a", GO_ON), Phase::Closed).await;
    write(&mut session, 8, ("b", GO_ON), Phase::Closed).await;
    assert_eq!(proxy.trips().take().last(), Some(&CHANGED), "of flows that go on");
}

/// Writes what so many flows say at a phase, the way a lane does.
async fn write(session: &mut Session, number: i64, (batch, flows): (&str, u32), phase: Phase) {
    let mut fold = Fold::default();
    for event in (0..flows).flat_map(|flow| events(format!("{batch}-{flow}"), flow, phase)) {
        let value = HistoryEvent { event: Some(event) }.encode_to_vec();
        fold.add(decode(None, Some(&value.into()), 1 << 20).unwrap().event);
    }
    let progress = Progress {
        partition: Partition { topic: "trips".into(), number: 0 },
        from: (number > 1).then_some(Offset(number - 1)),
        next: Offset(number),
        last: Some(LastRecord { offset: Offset(number - 1), time: None, hash: [0; 16] }),
    };
    let batch = Batch { fold, progress: vec![progress], ..Batch::default() };
    let written = postgres::write(session, "trips", &batch).await.unwrap();
    assert!(matches!(written, Written::Stored(_)), "{written:?}");
}

fn events(flow_id: String, flow: u32, phase: Phase) -> impl Iterator<Item = Event> {
    let steps = if flow.is_multiple_of(2) { STEPS[0] } else { STEPS[1] };
    let opened_or_closed =
        FlowEvent { flow_instance_id: flow_id.clone(), phase: phase.into(), ..FlowEvent::default() };
    let step = move |step: u32| {
        Event::Step(StepEvent {
            flow_instance_id: flow_id.clone(),
            step_id: step.to_string(),
            phase: phase.into(),
            ..StepEvent::default()
        })
    };
    std::iter::once(Event::Flow(opened_or_closed)).chain((0..steps).map(step))
}
