//! Against a database that refuses every row with a mark in it, whatever it was merged from.

use std::{collections::BTreeSet, sync::Arc};

use proptest::{collection::vec, prelude::*};
use prost::Message as _;

use super::*;
use crate::{
    kafka::{Lease, Start},
    model::{Offset, Partition},
    pipeline::merge::FlowFold,
    proto::v1::{AppEvent, FlowEvent, HistoryEvent, StepEvent, history_event::Event as Wire},
};

const LIMITS: Limits = Limits { rows: 100, bytes: 1 << 20, payload_bytes: 1 << 20 };

/// Greater than any other name here, so that no merge hides it.
const MARK: &str = "~";

/// What the database says of the place of a refused row.
#[derive(Debug, Clone, Copy)]
enum Hint {
    Nothing,
    Right,
    Wrong,
}

/// A record: which of four flows or of two apps, which step, whether it is marked. Flows of odd number have runs only.
fn event((unit, step, marked): (u8, u8, bool)) -> HistoryEvent {
    let name = |plain: &str| if marked { MARK.to_owned() } else { plain.to_owned() };
    let id = format!("f{unit}");
    let event = match unit {
        0 | 2 => Wire::Step(StepEvent {
            flow_instance_id: id,
            step_id: step.to_string(),
            task_name: name("task"),
            ..StepEvent::default()
        }),
        1 | 3 => {
            Wire::Flow(FlowEvent { flow_instance_id: id, app_name: name("app"), ..FlowEvent::default() })
        }
        _ => Wire::App(AppEvent { app_name: id, app_version: name("1"), ..AppEvent::default() }),
    };
    HistoryEvent { event: Some(event) }
}

fn records(events: &[(u8, u8, bool)]) -> Vec<Envelope> {
    let partition = Partition { topic: "t".into(), number: 0 };
    let lease = Arc::new(Lease::new(partition, 1, 0, Start::at(None)));
    let record = |(number, of): (usize, &(u8, u8, bool))| Envelope {
        lease: lease.clone(),
        offset: Offset(i64::try_from(number).unwrap()),
        time: None,
        key: None,
        payload: Some(event(*of).encode_to_vec().into()),
        headers: Vec::new(),
        told: None,
    };
    events.iter().enumerate().map(record).collect()
}

fn is_marked(fold: &FlowFold) -> bool {
    fold.steps.values().any(|row| row.task.as_deref() == Some(MARK))
        || fold.runs.values().any(|row| row.app.as_deref() == Some(MARK))
}

/// Takes a piece unless a row of it is marked.
fn judge(piece: &Fold, hint: Hint) -> Result<(), Refusal> {
    let flow = piece.flows.iter().find(|(_, fold)| is_marked(fold)).map(|(flow, _)| flow.clone());
    let app = piece.apps.values().any(|row| row.version.as_deref() == Some(MARK));
    if flow.is_none() && !app {
        return Ok(());
    }
    let flow = match hint {
        Hint::Nothing => None,
        Hint::Right => flow,
        Hint::Wrong => Some(FlowId::new("elsewhere".into())),
    };
    Err(Refusal { sqlstate: Some("23514".into()), sentence: "no".into(), flow })
}

/// Sifts: what is stored, the offsets of the dead letters, and how many pieces were tried.
fn sift(events: &[(u8, u8, bool)], hint: Hint) -> (Vec<Fold>, Vec<i64>, usize) {
    let records = records(events);
    let refusal = Refusal { sqlstate: None, sentence: "no".into(), flow: None };
    let mut sieve = Sieve::new(records, LIMITS, None, refusal);
    let (mut stored, mut pieces) = (Vec::new(), 0);
    while let Some(piece) = sieve.next() {
        pieces += 1;
        match judge(&piece, hint) {
            Ok(()) => {
                stored.push(piece);
                sieve.stored();
            }
            Err(refusal) => sieve.refused(refusal),
        }
    }
    let (rest, records, letters) = sieve.finish();
    assert_eq!(judge(&rest, hint), Ok(()), "what remains is taken");
    assert_eq!(records.len() + letters.len(), events.len());
    (stored, letters.into_iter().map(|letter| letter.offset.0).collect(), pieces)
}

fn hint() -> impl Strategy<Value = Hint> {
    prop_oneof![Just(Hint::Nothing), Just(Hint::Right), Just(Hint::Wrong)]
}

proptest! {
    #[test]
    fn all_but_the_refused_is_stored_once_and_the_refused_are_dead_letters_once(
        events in vec((0u8..6, 0u8..3, prop::bool::weighted(0.2)), 2..60),
        hint in hint(),
    ) {
        prop_assume!(events.iter().any(|(_, _, marked)| *marked));
        let (stored, letters, pieces) = sift(&events, hint);
        let marked: Vec<i64> =
            (0i64..).zip(&events).filter(|(_, (_, _, marked))| *marked).map(|(offset, _)| offset).collect();
        prop_assert_eq!(&letters, &marked);

        let plain: BTreeSet<_> = events.iter().filter(|(_, _, marked)| !*marked).copied().collect();
        let mut keys = Vec::new();
        for piece in &stored {
            for (flow, fold) in &piece.flows {
                keys.extend(fold.steps.keys().map(|(step, _)| format!("{flow}/{step}")));
                keys.extend(fold.runs.keys().map(|_| flow.to_string()));
            }
            keys.extend(piece.apps.keys().map(|(_, app)| app.to_string()));
        }
        keys.sort();
        keys.dedup();
        let mut wanted: Vec<String> = plain
            .iter()
            .map(|(unit, step, _)| if matches!(unit, 0 | 2) { format!("f{unit}/{step}") } else { format!("f{unit}") })
            .collect();
        wanted.sort();
        wanted.dedup();
        prop_assert_eq!(keys, wanted);

        // A binary search for each of the refused.
        let depth = usize::try_from(events.len().ilog2()).unwrap() + 3;
        prop_assert!(pieces <= marked.len() * 2 * depth, "{pieces} pieces for {} refused", marked.len());
    }
}

#[test]
fn one_refused_row_among_many_flows_is_found_at_once_when_postgres_names_it() {
    let mut events: Vec<_> = (0..200_u16).map(|number| (u8::from(number % 2 == 1), 1, false)).collect();
    events.push((2, 1, true));
    events.push((3, 1, false));
    let (_, letters, pieces) = sift(&events, Hint::Right);
    assert_eq!(letters, [200]);
    let (_, _, without) = sift(&events, Hint::Nothing);
    assert!(pieces < without, "{pieces} pieces with the place, {without} without");
}

#[test]
fn letters_say_what_postgres_said() {
    let mut sieve = Sieve::new(
        records(&[(0, 0, true), (0, 1, false)]),
        LIMITS,
        None,
        Refusal { sqlstate: None, sentence: "of the whole".into(), flow: None },
    );
    while let Some(piece) = sieve.next() {
        match judge(&piece, Hint::Right) {
            Ok(()) => sieve.stored(),
            Err(refusal) => sieve.refused(refusal),
        }
    }
    let (_, _, letters) = sieve.finish();
    assert_eq!(letters.len(), 1);
    assert_eq!((letters[0].reason, letters[0].detail.as_str()), ("refused", "no"));
    assert_eq!(letters[0].sqlstate.as_deref(), Some("23514"));
}

#[test]
fn of_a_record_of_several_events_those_that_are_not_refused_are_stored() {
    let several = |of: &[(u8, u8, bool)]| {
        let events = of.iter().map(|of| event(*of)).collect();
        let several = crate::proto::v1::Several { events };
        HistoryEvent { event: Some(Wire::Several(several)) }.encode_to_vec().into()
    };
    let mut records = records(&[(0, 0, false); 3]);
    records[0].payload = Some(several(&[(0, 1, false), (1, 0, true), (2, 1, true), (2, 2, false)]));
    records[1].payload = Some(several(&[(3, 0, true)]));
    let refusal = Refusal { sqlstate: None, sentence: "no".into(), flow: None };
    let mut sieve = Sieve::new(records, LIMITS, None, refusal);
    while let Some(piece) = sieve.next() {
        match judge(&piece, Hint::Nothing) {
            Ok(()) => sieve.stored(),
            Err(refusal) => sieve.refused(refusal),
        }
    }
    let (fold, rest, letters) = sieve.finish();
    assert_eq!(judge(&fold, Hint::Nothing), Ok(()));
    let mut stored: Vec<String> = fold
        .flows
        .iter()
        .flat_map(|(flow, fold)| fold.steps.keys().map(move |(step, _)| format!("{flow}/{step}")))
        .collect();
    stored.sort();
    assert_eq!(stored, ["f0/0", "f0/1", "f2/2"]);
    let offsets = |records: Vec<i64>| records;
    assert_eq!(offsets(letters.iter().map(|letter| letter.offset.0).collect()), [0, 1]);
    assert_eq!(offsets(rest.iter().map(|record| record.offset.0).collect()), [0, 2]);
}
