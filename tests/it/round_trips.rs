//! How often a batch waits for Postgres. Over a connection on which an answer takes milliseconds, that is the time which
//! most batches take, and whoever awaits one statement after the other makes it longer without any other test seeing it.

use std::time::Duration;

use flowtrail::{
    model::{Offset, Partition},
    pipeline::{decode::decode, merge::Fold},
    postgres::{self, Batch, LastRecord, Progress, Session, Written},
    proto::v1::{FlowEvent, HistoryEvent, Phase, StepEvent, VariableEvent, history_event::Event},
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
/// Flows whose rows are too many to be replaced in one go.
const MANY: u32 = 200;
/// Flows whose rows are not.
const FEW: u32 = 20;
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
const MANY_CHANGE: u32 = 1 + 2 * 2 + 1 + 1 + 1;
/// The look-up; both tables are changed at once; offsets; `COMMIT`.
const FEW_CHANGE: u32 = 4;
/// What new flows take, and once more for both tables to be changed.
const NEW_AND_FEW_CHANGE: u32 = FIRST + 1;
/// What new flows take, and once more for variables, however many there are.
const WITH_VARIABLES: u32 = FIRST + 1;

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_waits_for_postgres_as_seldom_as_the_protocol_lets_it_however_many_flows_it_has() {
    use Phase::{Closed, Opened};
    let url = servers::database().await;
    let proxy = Proxy::before(&url).await;
    let mut lane = Lane { session: servers::session(&proxy.url(&url)).await, batches: 0 };
    for name in ["a", "b", "c"] {
        lane.write([(name, FLOWS, Opened)]).await;
    }
    proxy.trips().take();
    proxy.set(Mode::Slow(ONE_WAY));
    // Not looked at: the first batch of each kind, which prepares statements, and batches 2, 3, 5 and 9, before which
    // plans are made anew.
    let trips = async |lane: &mut Lane, flows: &[(&str, u32, Phase)]| {
        lane.write(flows.iter().copied()).await;
        proxy.trips().take()
    };
    assert_eq!(trips(&mut lane, &[("d", FLOWS, Opened)]).await, [FIRST], "new flows");
    lane.write([("e", FLOWS, Opened)]).await;
    proxy.trips().take();
    assert_eq!(trips(&mut lane, &[("e", FLOWS, Opened)]).await, [AGAIN], "flows that are stored already");
    trips(&mut lane, &[("a", MANY, Closed)]).await;
    assert_eq!(trips(&mut lane, &[("b", MANY, Closed)]).await, [MANY_CHANGE], "many flows go on");
    trips(&mut lane, &[("c", FEW, Closed)]).await;
    assert_eq!(trips(&mut lane, &[("d", FEW, Closed)]).await, [FEW_CHANGE], "few flows go on");
    let both = [("e", FEW, Closed), ("f", FLOWS, Opened)];
    assert_eq!(trips(&mut lane, &both).await, [NEW_AND_FEW_CHANGE], "few go on beside new ones");
    lane.write_with_variables("g").await;
    proxy.trips().take();
    lane.write_with_variables("h").await;
    assert_eq!(proxy.trips().take(), [WITH_VARIABLES], "new flows with variables");
}

/// A session and how many batches it has written.
struct Lane {
    session: Session,
    batches: i64,
}

impl Lane {
    /// Writes what so many flows of some names say at a phase, the way a lane does.
    async fn write(&mut self, flows: impl IntoIterator<Item = (&str, u32, Phase)>) {
        let of = |(name, flows, phase)| {
            (0..flows).flat_map(move |flow| events(format!("{name}-{flow}"), flow, phase))
        };
        self.write_events(flows.into_iter().flat_map(of)).await;
    }

    /// Writes what as many new flows say as a full batch has, each with a variable.
    async fn write_with_variables(&mut self, name: &str) {
        let of = |flow| {
            let flow_instance_id = format!("{name}-{flow}");
            let variable = VariableEvent {
                flow_instance_id: flow_instance_id.clone(),
                name: "v".to_owned(),
                ..VariableEvent::default()
            };
            events(flow_instance_id, flow, Phase::Opened).chain([Event::Variable(variable)])
        };
        self.write_events((0..FLOWS).flat_map(of)).await;
    }

    async fn write_events(&mut self, events: impl Iterator<Item = Event>) {
        let mut fold = Fold::default();
        for event in events {
            let value = HistoryEvent { event: Some(event) }.encode_to_vec();
            fold.extend(decode(None, Some(&value.into()), 1 << 20, None).unwrap().events);
        }
        let before = self.batches;
        self.batches += 1;
        let progress = Progress {
            partition: Partition { topic: "trips".into(), number: 0 },
            from: (before > 0).then_some(Offset(before)),
            next: Offset(self.batches),
            last: Some(LastRecord { offset: Offset(before), time: None, hash: [0; 16] }),
        };
        let batch = Batch { fold, progress: vec![progress], ..Batch::default() };
        let written = postgres::write(&mut self.session, "trips", &batch).await.unwrap();
        assert!(matches!(written, Written::Stored(_)), "{written:?}");
    }
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
