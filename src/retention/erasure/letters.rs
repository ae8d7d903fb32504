//! Which dead letters are of flows that are to be erased. Pure.

use std::collections::HashSet;

use crate::{
    model::Event,
    pipeline::decode::{decode, foreign::Foreign},
    postgres::read::Letter,
};

/// What a dead letter is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Subject {
    /// A message of a flow, which names the user of a run where it says one.
    Flow {
        /// Flow instance.
        flow: String,
        /// User, where the message is of a run.
        user: Option<String>,
    },
    /// The switch of an app: no flow's.
    App,
    /// A message that can't be read.
    Unreadable,
}

/// What a letter is about, by its message: one thing of each event, or that it can't be read.
pub(super) fn subjects(letter: &Letter, foreign: &Foreign) -> Vec<Subject> {
    let message = letter.message(foreign);
    // No limit: what was cut is of its flow all the same.
    match decode(letter.key.as_deref(), message.as_ref(), usize::MAX, None) {
        Ok(decoded) => decoded.events.iter().map(subject).collect(),
        Err(_) => vec![Subject::Unreadable],
    }
}

fn subject(event: &Event) -> Subject {
    let user = match event {
        Event::App(_) => return Subject::App,
        Event::Flow { row, .. } => row.user.as_ref().map(ToString::to_string),
        _ => None,
    };
    event.flow().map_or(Subject::Unreadable, |flow| Subject::Flow { flow: flow.as_str().to_owned(), user })
}

/// Whether a letter is of one of these flows: a message that can be read, of the one that it belongs to, or one of those,
/// whichever others it names; one that can't, of the one that is its key, and of each whose id stands in it.
pub(super) fn is_of(letter: &Letter, flows: &HashSet<String>, foreign: &Foreign) -> bool {
    subjects(letter, foreign).iter().any(|subject| match subject {
        Subject::Flow { flow, .. } => flows.contains(flow),
        Subject::App => false,
        Subject::Unreadable => {
            let text = |bytes: Option<&Vec<u8>>| {
                bytes.map(|bytes| String::from_utf8_lossy(bytes).into_owned()).unwrap_or_default()
            };
            let said = text(letter.payload.as_ref());
            flows.contains(&text(letter.key.as_ref()))
                || flows.iter().any(|flow| said.contains(flow.as_str()))
        }
    })
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;
    use crate::{
        postgres::read::LetterSummary,
        proto::v1::{AppEvent, FlowEvent, HistoryEvent, StepEvent, history_event::Event as Wire},
    };

    fn letter(key: &str, payload: Option<Vec<u8>>) -> Letter {
        let summary = LetterSummary {
            id: 1,
            kept_at: None,
            reason: "refused".to_owned(),
            sqlstate: None,
            detail: None,
            topic: "t".to_owned(),
            partition: 0,
            offset: 0,
            time: None,
            bytes: None,
            group: "g".to_owned(),
        };
        Letter { summary, key: Some(key.as_bytes().to_vec()), payload, headers: None }
    }

    fn message(event: Wire) -> Vec<u8> {
        HistoryEvent { event: Some(event) }.encode_to_vec()
    }

    fn is_of_f(letter: &Letter) -> bool {
        is_of(letter, &HashSet::from(["f".to_owned(), "long-id".to_owned()]), &Foreign::default())
    }

    #[test]
    fn a_message_belongs_to_the_flow_that_it_is_stored_under() {
        let step = |flow: &str| StepEvent {
            flow_instance_id: flow.to_owned(),
            step_id: "1".to_owned(),
            ..StepEvent::default()
        };
        assert!(is_of_f(&letter("elsewhere", Some(message(Wire::Step(step("f")))))));
        assert!(is_of_f(&letter("f", Some(message(Wire::Step(step("")))))));
        // One that only names it, as a re-run does, is another flow's.
        let rerun = FlowEvent {
            flow_instance_id: "other".to_owned(),
            rerun_of_flow_instance_id: "long-id".to_owned(),
            ..FlowEvent::default()
        };
        assert!(!is_of_f(&letter("f", Some(message(Wire::Flow(rerun))))));
    }

    #[test]
    fn a_message_that_cannot_be_read_belongs_to_its_key_and_to_whom_it_names() {
        assert!(is_of_f(&letter("f", None)));
        assert!(is_of_f(&letter("", Some(b"{\"flowInstanceId\": \"long-id\", \xff".to_vec()))));
        assert!(!is_of_f(&letter("other", Some(b"\xff\xff".to_vec()))));
    }

    #[test]
    fn a_switch_is_no_flows_and_a_run_names_its_user() {
        let switch =
            AppEvent { user_id: "f".to_owned(), app_name: "long-id".to_owned(), ..AppEvent::default() };
        assert!(!is_of_f(&letter("f", Some(message(Wire::App(switch))))));
        let run =
            FlowEvent { flow_instance_id: "f".to_owned(), user_id: "ann".to_owned(), ..FlowEvent::default() };
        let wanted = Subject::Flow { flow: "f".to_owned(), user: Some("ann".to_owned()) };
        assert_eq!(subjects(&letter("f", Some(message(Wire::Flow(run)))), &Foreign::default()), [wanted]);
    }
}
