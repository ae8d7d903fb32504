//! How a flow or a step stands, whatever words its runtime has for it.

use serde::Serialize;
use utoipa::ToSchema;

/// How a flow or a step stands: the same few words for every runtime, to colour and to count by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum RunState {
    /// It goes on.
    Running,
    /// It goes on, and waits for something.
    Waiting,
    /// It ended well.
    Completed,
    /// It failed.
    Failed,
    /// It was ended before its end.
    Cancelled,
    /// It ended, or so it seems, with a status that says none of these.
    Other,
}

impl RunState {
    /// The state of a status in the runtime's own word, in letters of any case, of a phase (0 opened, 1 running, 2 closed), and
    /// of whether there is an error.
    ///
    /// *Failed* is a status `Failed` or an error, whatever else is said: the one rule, which SQL has as
    /// `postgres::read::FAILED`. A status that says how it ended decides next, then the phase: what is closed does not go on,
    /// such as Flogo's step in which a task was started.
    pub fn of(status: Option<&str>, phase: Option<i16>, has_error: bool) -> Self {
        let status = status.unwrap_or_default().to_ascii_lowercase();
        // What other programs write has no phase of its own and counts as closed.
        let is_open = phase.is_some_and(|phase| phase < 2);
        match status.as_str() {
            _ if has_error => Self::Failed,
            "failed" => Self::Failed,
            "completed" => Self::Completed,
            "cancelled" | "canceled" | "terminated" => Self::Cancelled,
            "waiting" | "scheduled" | "suspended" => Self::Waiting,
            _ if is_open => Self::Running,
            _ => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_follows_from_error_then_status_then_phase() {
        let of = |status, phase, has_error| RunState::of(status, phase, has_error);
        assert_eq!(of(Some("FAILED"), Some(2), false), RunState::Failed);
        assert_eq!(of(Some("Completed"), Some(2), true), RunState::Failed, "an error is a failure");
        assert_eq!(of(Some("completed"), Some(2), false), RunState::Completed);
        assert_eq!(of(Some("Cancelled"), Some(2), false), RunState::Cancelled);
        assert_eq!(of(Some("Waiting"), Some(2), false), RunState::Waiting);
        assert_eq!(of(Some("Started"), Some(0), false), RunState::Running);
        assert_eq!(of(Some("Started"), Some(2), false), RunState::Other, "the step is over, its task is not");
        assert_eq!(
            of(Some("Started"), None, false),
            RunState::Other,
            "what the Go service wrote counts as closed"
        );
        assert_eq!(of(Some("17"), Some(1), false), RunState::Running);
        assert_eq!(of(Some("Skipped"), Some(2), false), RunState::Other);
        assert_eq!(of(None, None, false), RunState::Other);
    }
}
