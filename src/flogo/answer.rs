//! What is stored, as the answers that Flogo's flow state service gives.
//!
//! Names, order and spelling of the fields are that service's, the misspelt ones included; so is what is left out where
//! it is empty. Values of attributes, inputs and outputs are the JSON that was posted. Where the service answers
//! something else, `docs/flogo.md` says why.

mod change;
mod earlier;
mod flow_info;
mod snapshot;
mod statuses;
mod tasks;
#[cfg(test)]
mod tests;
mod words;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::value::RawValue;

pub use self::{
    change::Unreadable,
    flow_info::{FlowInfo, Instance, Instances},
    snapshot::{Snapshot, latest_posted, snapshot},
    statuses::{FailedTask, StepRow, StepStatus, failed_task, statuses},
    tasks::{Task, tasks, waits_for},
    words::flow_number,
};

/// One execution of a step, with the bytes that the engine posted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StepData {
    /// Step id.
    pub id: String,
    /// Number of the execution; the greatest is the latest.
    pub execution: i64,
    /// The posted step; empty where none was stored.
    pub data: Vec<u8>,
}

/// `GET /v1/instances/:id/status`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Status {
    /// The number in digits.
    pub status: String,
}

/// Puts steps into their order: ids that are numbers by number, then the others by text.
pub fn sort_by_id<T>(steps: &mut [T], id: impl Fn(&T) -> &str) {
    steps.sort_by(|one, other| order(id(one)).cmp(&order(id(other))));
}

fn order(id: &str) -> (i64, &str) {
    (number(id).unwrap_or(i64::MAX), id)
}

/// A step id that is a number: one to eighteen digits, as the merge law has it.
fn number(id: &str) -> Option<i64> {
    let digits = (1..=18).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_digit());
    if digits { id.parse().ok() } else { None }
}

/// One more than the greatest step id that is a number; 0 where there is none. Steps come in any order.
pub fn count_up_to_last(steps: &[StepData]) -> i64 {
    steps.iter().filter_map(|step| number(&step.id)).max().map_or(0, |last| last + 1)
}

/// The steps as they were posted, each with its bytes, in the order in which they are given.
pub fn steps(steps: &[StepData]) -> Result<Vec<&RawValue>, Unreadable> {
    steps.iter().map(change::posted).collect()
}

/// A time as Go writes it: RFC 3339 in UTC, without trailing zeros of the fraction.
fn time(time: Timestamp) -> String {
    time.to_string()
}
