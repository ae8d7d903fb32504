//! Sources of events for a topic, and the way of events onto it.
//!
//! A [`Record`] comes from a file ([`source`], [`flowable`]) or a database
//! ([`database`]) or is made up ([`synthetic`]), may be mixed up on purpose
//! ([`disorder`]), and is put on a topic by [`send()`].

pub mod database;
pub mod disorder;
pub mod flowable;
pub(crate) mod pace;
pub mod send;
pub mod source;
pub mod synthetic;

use crate::proto::v1::{HistoryEvent, history_event::Event};

pub use send::{Options, Sent, send};
pub use synthetic::{Synthetic, SyntheticOptions};

/// One event on its way to a topic.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// The record's key: the flow instance id, or `user/app`.
    pub key: String,
    /// What happened.
    pub event: HistoryEvent,
    /// The partition it goes to; nothing leaves that to the producer's partitioner.
    pub partition: Option<i32>,
}

impl From<HistoryEvent> for Record {
    fn from(event: HistoryEvent) -> Self {
        Self { key: key(&event), event, partition: None }
    }
}

/// The key that an event's record has, of several that of the first; empty for an event that says nothing.
pub fn key(event: &HistoryEvent) -> String {
    match &event.event {
        Some(Event::Flow(e)) => e.flow_instance_id.clone(),
        Some(Event::Step(e)) => e.flow_instance_id.clone(),
        Some(Event::Rewind(e)) => e.flow_instance_id.clone(),
        Some(Event::FlowDeleted(e)) => e.flow_instance_id.clone(),
        Some(Event::Snapshot(e)) => e.flow_instance_id.clone(),
        Some(Event::Variable(e)) => e.flow_instance_id.clone(),
        Some(Event::Several(e)) => e.events.first().map(key).unwrap_or_default(),
        Some(Event::App(e)) => format!("{}/{}", e.user_id, e.app_name),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_the_flow_or_the_user_and_app() {
        let key_of = |json: &str| key(&serde_json::from_str(json).unwrap());
        assert_eq!(key_of(r#"{"flow":{"flowInstanceId":"f"}}"#), "f");
        assert_eq!(key_of(r#"{"rewind":{"flowInstanceId":"f"}}"#), "f");
        assert_eq!(key_of(r#"{"app":{"userId":"u","appName":"a"}}"#), "u/a");
        assert_eq!(key_of("{}"), "");
    }
}
