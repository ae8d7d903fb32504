//! Which records of a slice are wanted. Pure.

use std::collections::HashSet;

use bytes::Bytes;

use crate::{
    model::{Event, Offset, Partition},
    pipeline::decode::{decode, foreign::Foreign},
};

/// What is wanted; everything, unless something is chosen.
#[derive(Debug, Clone, Default)]
pub(super) struct Filter {
    /// Records of these flows, and of what else is chosen.
    pub(super) flows: Option<HashSet<String>>,
    /// Switches of these apps, as `user/app`.
    pub(super) apps: HashSet<String>,
    /// Records that can't become rows, as `topic[partition]@offset`.
    pub(super) letters: HashSet<String>,
    /// Bytes of a payload field beyond which it is cut.
    pub(super) max_payload_bytes: usize,
    /// How records are read that are not the contract's own.
    pub(super) foreign: Foreign,
}

impl Filter {
    /// Whether every record is wanted, so that none needs to be looked at.
    pub(super) fn takes_all(&self) -> bool {
        self.flows.is_none()
    }

    /// Whether a record, whose value is in the contract's words, is wanted. The flow is the one that its event is stored under,
    /// whatever its key is; one of several events is wanted whole for one of them, or for one whose flow has yet to be found.
    pub(super) fn takes(
        &self,
        key: Option<&Bytes>,
        payload: Option<&Bytes>,
        place: impl FnOnce() -> Option<(Partition, Offset)>,
    ) -> bool {
        let Some(flows) = &self.flows else { return true };
        let is_wanted = |event: &Event| match event {
            Event::App(switch) => self.apps.contains(&format!("{}/{}", switch.user, switch.app)),
            event => event.flow().is_some_and(|flow| flows.contains(flow.as_str())),
        };
        match decode(key.map(|key| &key[..]), payload, self.max_payload_bytes, None) {
            Ok(decoded) => decoded.events.iter().any(is_wanted) || !decoded.missing().is_empty(),
            Err(_) if self.letters.is_empty() => false,
            Err(_) => place()
                .is_some_and(|(partition, offset)| self.letters.contains(&format!("{partition}@{offset}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;
    use crate::proto::v1::{AppEvent, HistoryEvent, StepEvent, history_event};

    fn bytes(event: history_event::Event) -> Bytes {
        HistoryEvent { event: Some(event) }.encode_to_vec().into()
    }

    fn step(flow: &str) -> Bytes {
        let step = StepEvent { flow_instance_id: flow.into(), step_id: "1".into(), ..StepEvent::default() };
        bytes(history_event::Event::Step(step))
    }

    fn filter(flows: &[&str]) -> Filter {
        let flows = Some(flows.iter().map(|flow| (*flow).to_owned()).collect());
        Filter { flows, max_payload_bytes: 1 << 20, ..Filter::default() }
    }

    fn takes(filter: &Filter, key: &'static str, payload: &Bytes) -> bool {
        let place = || Some((Partition { topic: "t".into(), number: 3 }, Offset(7)));
        filter.takes(Some(&Bytes::from_static(key.as_bytes())), Some(payload), place)
    }

    #[test]
    fn a_record_is_of_the_flow_that_its_payload_names_or_else_its_key() {
        let filter = filter(&["a"]);
        assert!(takes(&filter, "a", &step("a")));
        assert!(takes(&filter, "b", &step("a")));
        assert!(!takes(&filter, "a", &step("b")));
        assert!(takes(&filter, "a", &step("")));
    }

    #[test]
    fn switches_of_apps_and_what_can_not_be_read_are_wanted_only_by_name() {
        let app = AppEvent { user_id: "u".into(), app_name: "shop".into(), ..AppEvent::default() };
        let (app, garbage) = (bytes(history_event::Event::App(app)), Bytes::from_static(b"\xff\xff"));
        let mut filter = filter(&["a"]);
        assert!(!takes(&filter, "u/shop", &app) && !takes(&filter, "a", &garbage));
        filter.apps.insert("u/shop".to_owned());
        filter.letters.insert("t[3]@7".to_owned());
        assert!(takes(&filter, "u/shop", &app) && takes(&filter, "a", &garbage));
        filter.letters = ["t[3]@8".to_owned()].into();
        assert!(!takes(&filter, "a", &garbage));
    }

    #[test]
    fn nothing_is_left_out_where_nothing_is_chosen() {
        assert!(Filter::default().takes_all());
        assert!(takes(&Filter::default(), "x", &Bytes::from_static(b"\xff\xff")));
    }
}
