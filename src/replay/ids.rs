//! Fresh ids for instances that are replayed as instances of their own. Pure.

use bytes::Bytes;
use prost::Message as _;
use sha2::{Digest as _, Sha256};

use crate::{
    hex::hex,
    pipeline::decode::{decode, envelopes},
    proto::sliced::{HistoryEvent, history_event::Event as Wire},
};

/// The id that an instance gets in a replay: 32 hexadecimal digits of a hash of the replay's group and the old id, so that a
/// replay that goes on gives the same one again, and another replay another one.
pub fn fresh_id(group: &str, old: &str) -> String {
    let mut hash = Sha256::new();
    // The length keeps the two from running into each other.
    hash.update(u64::try_from(group.len()).unwrap_or(u64::MAX).to_be_bytes());
    hash.update(group);
    hash.update(old);
    let mut id = hex(&hash.finalize());
    id.truncate(32);
    id
}

/// A record's events, each under its instance's fresh id: key and value, as bare protobuf. Those that speak of no instance, or of
/// one that is not replayed, are left out.
///
/// Every event of a run names the old instance as the one that it re-runs, in the place of one that it named itself: that one
/// is known of the old instance. A parent gets its fresh id if it is replayed too, as `is_replayed` says. What the
/// runtime's own bytes say of ids stays.
pub(super) fn renamed(
    group: &str,
    key: Option<&[u8]>,
    payload: Option<&Bytes>,
    max_payload_bytes: usize,
    is_replayed: impl Fn(&str) -> bool,
) -> Vec<(String, Vec<u8>)> {
    let said = payload.and_then(|payload| envelopes(payload).ok()).unwrap_or_default();
    let is_alone = said.len() == 1;
    let renamed = |event: Result<HistoryEvent, _>| {
        let event = event.ok()?;
        let alone = event.encode_to_vec().into();
        // The old id is the one that the event is stored under.
        let decoded = decode(key.filter(|_| is_alone), Some(&alone), max_payload_bytes, None).ok()?;
        let old = decoded.events.first()?.flow()?.as_str();
        (is_alone || is_replayed(old)).then(|| under_fresh_id(group, old, event, &is_replayed))?
    };
    said.into_iter().filter_map(renamed).collect()
}

fn under_fresh_id(
    group: &str,
    old: &str,
    mut event: HistoryEvent,
    is_replayed: impl Fn(&str) -> bool,
) -> Option<(String, Vec<u8>)> {
    let fresh = fresh_id(group, old);
    let id = Bytes::from(fresh.clone());
    match event.event.as_mut()? {
        Wire::Flow(flow) => {
            flow.flow_instance_id = id;
            flow.rerun_of_flow_instance_id = Bytes::copy_from_slice(old.as_bytes());
            let parent = std::str::from_utf8(&flow.parent_flow_instance_id).unwrap_or_default();
            if !parent.is_empty() && is_replayed(parent) {
                flow.parent_flow_instance_id = fresh_id(group, parent).into();
            }
        }
        Wire::Step(step) => step.flow_instance_id = id,
        Wire::Rewind(rewind) => rewind.flow_instance_id = id,
        Wire::FlowDeleted(deleted) => deleted.flow_instance_id = id,
        Wire::Snapshot(snapshot) => snapshot.flow_instance_id = id,
        Wire::Variable(variable) => variable.flow_instance_id = id,
        Wire::App(_) | Wire::Several(_) => return None,
    }
    Some((fresh, event.encode_to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::v1::{AppEvent, FlowEvent, HistoryEvent, StepEvent, history_event::Event};

    fn renamed_event(event: Event, key: &str, replayed: &[&str]) -> Option<(String, Event)> {
        let payload = Bytes::from(HistoryEvent { event: Some(event) }.encode_to_vec());
        let is_replayed = |id: &str| replayed.contains(&id);
        let renamed = renamed("replay-x", Some(key.as_bytes()), Some(&payload), 1 << 20, is_replayed);
        let (key, value) = renamed.into_iter().next()?;
        Some((key, HistoryEvent::decode(&value[..]).unwrap().event.unwrap()))
    }

    #[test]
    fn an_id_is_fresh_for_each_replay_and_the_same_within_one() {
        assert_eq!(fresh_id("a", "f"), fresh_id("a", "f"));
        assert_ne!(fresh_id("a", "f"), fresh_id("b", "f"));
        assert_ne!(fresh_id("a", "bf"), fresh_id("ab", "f"));
        assert!(fresh_id("a", "f").len() == 32 && fresh_id("a", "f").bytes().all(|b| b.is_ascii_hexdigit()));
    }

    #[test]
    fn a_run_names_the_old_instance_and_keeps_all_else() {
        let flow = FlowEvent {
            flow_instance_id: "old".into(),
            run: 7,
            app_name: "shop".into(),
            rerun_of_flow_instance_id: "older".into(),
            parent_flow_instance_id: "parent".into(),
            input: Bytes::from_static(b"{}"),
            ..FlowEvent::default()
        };
        let (key, event) = renamed_event(Event::Flow(flow.clone()), "old", &[]).unwrap();
        let mut wanted = FlowEvent {
            flow_instance_id: fresh_id("replay-x", "old"),
            rerun_of_flow_instance_id: "old".into(),
            ..flow.clone()
        };
        assert_eq!((key, event), (fresh_id("replay-x", "old"), Event::Flow(wanted.clone())));
        let (_, event) = renamed_event(Event::Flow(flow), "old", &["parent"]).unwrap();
        wanted.parent_flow_instance_id = fresh_id("replay-x", "parent");
        assert_eq!(event, Event::Flow(wanted));
    }

    #[test]
    fn the_old_id_is_the_one_that_the_event_is_stored_under() {
        let step = StepEvent { step_id: "1".into(), ..StepEvent::default() };
        let (key, event) = renamed_event(Event::Step(step.clone()), "by key", &[]).unwrap();
        assert_eq!(key, fresh_id("replay-x", "by key"));
        assert_eq!(event, Event::Step(StepEvent { flow_instance_id: key, ..step }));
    }

    #[test]
    fn what_speaks_of_no_instance_has_no_fresh_id() {
        let app = AppEvent { app_name: "shop".into(), ..AppEvent::default() };
        assert_eq!(renamed_event(Event::App(app), "u/shop", &[]), None);
        assert!(renamed("x", None, Some(&Bytes::from_static(b"\xff")), 9, |_| true).is_empty());
    }
}
