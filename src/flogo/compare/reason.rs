//! Why a difference is to be expected. `docs/flogo.md` says the same of the answers that are made from these rows.

use serde::Serialize;
use serde_json::{Number, Value as Json};

use super::{Payload, Row, Value};

/// Both round times to µs, each from other digits.
const MOST_ROUNDED_AWAY: i64 = 1;
/// As milliseconds of a duration, with what a comparison of decimals takes.
const MOST_OF_A_DURATION: f64 = 0.0015;

/// A known way in which the other service differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// An instance in flight has an end there.
    InFlight,
    /// An end that came before its start, or a start that came again, leaves the instance open there.
    EndLost,
    /// Times and durations are rounded from other digits.
    Rounded,
    /// After a re-run from a step the input there is what the re-run posted: all attributes.
    RerunInput,
    /// A re-run that is posted again counts again there, and a re-run from a step begins at 0.
    RerunCount,
    /// The same JSON, written otherwise.
    SameJson,
    /// A column that is never written there.
    NeverWritten,
    /// A step without changes is refused there, and lost.
    EmptyStep,
    /// A task that has not ended, or was cancelled, has no status there.
    NoWord,
    /// Several tasks ended in the step: there it names any of them.
    SeveralTasks,
    /// The step ran more than once: there what came last shows, under the names of what came first.
    OtherExecution,
    /// A re-run superseded the step here.
    Superseded,
    /// The instance was deleted: there that deletes nothing.
    Deleted,
}

impl Reason {
    /// The same for people, in a few words.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::InFlight => "in flight: there it has an end from its start on",
            Self::EndLost => "its end came before its start, or its start again: there that opens it",
            Self::Rounded => "rounded from other digits",
            Self::RerunInput => "run again from a step: there the input is the re-run's",
            Self::RerunCount => "there re-runs are counted by the message",
            Self::SameJson => "the same JSON, written otherwise",
            Self::NeverWritten => "there the column is never written",
            Self::EmptyStep => "without changes: there it is refused",
            Self::NoWord => "a task that has not ended, or was cancelled: there it has no status",
            Self::SeveralTasks => "several tasks ended: there it names any of them",
            Self::OtherExecution => "it ran more than once: there the last message shows",
            Self::Superseded => "superseded by a re-run",
            Self::Deleted => "deleted: there that deletes nothing",
        }
    }
}

/// Why a column of a row of ours differs from the other service's.
pub(super) fn of_column(column: &str, here: &Row, there: &Row) -> Option<Reason> {
    let (own, other) = (here.value(column), there.value(column));
    let by_value = match (column, own, other) {
        ("misc" | "parentstepid" | "parentflowinstanceid" | "parentflowname", _, other)
            if other.is_nothing() =>
        {
            Some(Reason::NeverWritten)
        }
        (_, Value::Time(own), Value::Time(other))
            if own.abs_diff(*other) <= MOST_ROUNDED_AWAY.unsigned_abs() =>
        {
            Some(Reason::Rounded)
        }
        ("executiontime", Value::Text(own), Value::Text(other)) if are_near(own, other) => {
            Some(Reason::Rounded)
        }
        (_, Value::Bytes(own), Value::Bytes(other)) if are_same_json(own, other) => Some(Reason::SameJson),
        _ => None,
    };
    by_value.or_else(|| {
        if here.step.is_some() { of_step(column, here, there) } else { of_flow(column, here, there) }
    })
}

fn of_flow(column: &str, here: &Row, there: &Row) -> Option<Reason> {
    match column {
        "endtime" if here.is_open() && there.is_open() => Some(Reason::InFlight),
        // What an end brings.
        "endtime" | "status" | "executiontime" | "flowoutput" if !here.is_open() && there.is_open() => {
            Some(Reason::EndLost)
        }
        "flowinput" if here.has_earlier => Some(Reason::RerunInput),
        "reruncount" => match (here.value(column), there.value(column)) {
            (Value::Number(own), Value::Number(other)) if other > own || here.has_earlier => {
                Some(Reason::RerunCount)
            }
            _ => None,
        },
        _ => None,
    }
}

fn of_step(column: &str, here: &Row, there: &Row) -> Option<Reason> {
    let has_no_word = matches!(column, "status" | "taskname") && there.text("status").is_empty();
    if has_no_word && !matches!(here.text("status"), "Waiting" | "Completed" | "Failed") {
        return Some(Reason::NoWord);
    }
    if here.has_earlier {
        return Some(Reason::OtherExecution);
    }
    let is_choice = matches!(column, "status" | "taskname" | "subflowid" | "flowname");
    (is_choice && ended_tasks(here) > 1).then_some(Reason::SeveralTasks)
}

/// Why the other service may not have this step of ours.
pub(super) fn of_missing_step(here: &Row) -> Option<Reason> {
    let changes = step_data(here)?;
    let changes = changes.get("flowChanges")?;
    (changes.is_null() || changes.as_object().is_some_and(serde_json::Map::is_empty))
        .then_some(Reason::EmptyStep)
}

/// How many tasks the step's data says ended, in all flows that it changed.
fn ended_tasks(step: &Row) -> usize {
    let Some(data) = step_data(step) else { return 0 };
    let flows =
        data.get("flowChanges").and_then(Json::as_object).into_iter().flat_map(serde_json::Map::values);
    let tasks = flows.filter_map(|flow| flow.get("tasks")?.as_object()).flat_map(serde_json::Map::values);
    let statuses = tasks.filter_map(|task| task.get("status")?.as_i64());
    statuses.filter(|status| matches!(status, 30 | 40 | 100 | 110)).count()
}

fn step_data(step: &Row) -> Option<Json> {
    let Value::Bytes(payload) = step.value("stepdata") else { return None };
    serde_json::from_slice(payload.bytes.as_ref()?).ok()
}

fn are_near(one: &str, other: &str) -> bool {
    matches!((one.parse::<f64>(), other.parse::<f64>()), (Ok(one), Ok(other)) if (one - other).abs() < MOST_OF_A_DURATION)
}

fn are_same_json(one: &Payload, other: &Payload) -> bool {
    let read = |payload: &Payload| serde_json::from_slice::<Json>(payload.bytes.as_ref()?).ok();
    matches!((read(one), read(other)), (Some(one), Some(other)) if is_same(&one, &other))
}

/// As Go reads JSON: members in any order, and every number is a double.
fn is_same(one: &Json, other: &Json) -> bool {
    match (one, other) {
        (Json::Number(one), Json::Number(other)) => {
            let bits = |number: &Number| number.as_f64().map(f64::to_bits);
            bits(one) == bits(other)
        }
        (Json::Array(one), Json::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| is_same(one, other))
        }
        (Json::Object(one), Json::Object(other)) => {
            one.len() == other.len()
                && one.iter().all(|(name, one)| other.get(name).is_some_and(|other| is_same(one, other)))
        }
        _ => one == other,
    }
}
