//! Which step of one flow stands beside which of another, and what differs. Pure.

use std::collections::{HashMap, VecDeque};

use serde::Serialize;
use utoipa::ToSchema;

use crate::postgres::read::{HashedStep, StepLine};

/// Steps of two flows beside each other.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(in crate::api) struct Pair {
    /// How they compare.
    pub(in crate::api) what: What,
    /// What differs, of `status`, `input`, `output`, `error`, `flow`.
    fields: Vec<&'static str>,
    /// The step of this flow.
    here: Option<StepLine>,
    /// The step of the other.
    there: Option<StepLine>,
}

/// How two steps compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::api) enum What {
    /// They say the same, but for times.
    Same,
    /// They do not.
    Differs,
    /// The other flow has no such step.
    OnlyHere,
    /// Only the other flow has it.
    OnlyThere,
}

/// A step's place is that of its task: which subflow, which task, and how often the task came before.
fn task(step: &HashedStep) -> (Option<String>, Option<String>) {
    (step.line.subflow.clone(), step.line.task.clone())
}

/// The steps of two flows, each in its order.
pub(super) fn pairs(here: Vec<HashedStep>, there: Vec<HashedStep>) -> Vec<Pair> {
    let mut by_task: HashMap<_, VecDeque<usize>> = HashMap::new();
    for (place, step) in there.iter().enumerate() {
        by_task.entry(task(step)).or_default().push_back(place);
    }
    let mut there: Vec<Option<HashedStep>> = there.into_iter().map(Some).collect();
    let mut pairs = Vec::with_capacity(here.len().max(there.len()));
    for step in here {
        let place = by_task.get_mut(&task(&step)).and_then(VecDeque::pop_front);
        let other = place.and_then(|place| there.get_mut(place)).and_then(Option::take);
        pairs.push(pair(step, other));
    }
    let rest = there.into_iter().flatten();
    pairs.extend(rest.map(|step| Pair {
        what: What::OnlyThere,
        fields: Vec::new(),
        here: None,
        there: Some(step.line),
    }));
    pairs
}

fn pair(here: HashedStep, there: Option<HashedStep>) -> Pair {
    let Some(there) = there else {
        return Pair { what: What::OnlyHere, fields: Vec::new(), here: Some(here.line), there: None };
    };
    let same = [
        ("status", here.line.status == there.line.status),
        ("input", here.input == there.input),
        ("output", here.output == there.output),
        ("error", here.error == there.error),
        ("flow", here.line.flow == there.line.flow),
    ];
    let fields: Vec<_> =
        same.into_iter().filter_map(|(field, is_same)| (!is_same).then_some(field)).collect();
    let what = if fields.is_empty() { What::Same } else { What::Differs };
    Pair { what, fields, here: Some(here.line), there: Some(there.line) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::RunState;

    fn step(id: &str, task: &str, input: u8) -> HashedStep {
        let line = StepLine {
            id: id.to_owned(),
            task: Some(task.to_owned()),
            status: None,
            state: RunState::Completed,
            started: None,
            ended: None,
            duration_ms: None,
            rerun: false,
            execution: None,
            phase: None,
            flow: None,
            subflow: None,
            parent: None,
            input_bytes: None,
            output_bytes: None,
            error_bytes: None,
            data_bytes: None,
        };
        HashedStep { line, input: Some(vec![input]), output: None, error: None }
    }

    #[test]
    fn the_nth_step_of_a_task_stands_beside_the_nth_of_the_other_flow() {
        let here = vec![step("0", "log", 1), step("1", "log", 2), step("2", "call", 1), step("3", "end", 1)];
        let there =
            vec![step("0", "call", 1), step("1", "log", 1), step("2", "log", 9), step("3", "mail", 1)];
        let pairs = pairs(here, there);
        let id = |step: &Option<StepLine>| step.as_ref().map_or(String::new(), |step| step.id.clone());
        let told: Vec<_> = pairs.iter().map(|pair| (pair.what, id(&pair.here), id(&pair.there))).collect();
        let told: Vec<_> =
            told.iter().map(|(what, here, there)| (*what, here.as_str(), there.as_str())).collect();
        let wanted = [
            (What::Same, "0", "1"),
            (What::Differs, "1", "2"),
            (What::Same, "2", "0"),
            (What::OnlyHere, "3", ""),
            (What::OnlyThere, "", "3"),
        ];
        assert_eq!(told, wanted);
        assert_eq!(pairs[1].fields, ["input"]);
    }
}
