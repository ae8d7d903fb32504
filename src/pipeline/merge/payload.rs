//! Rows without what they carry: of flows whose payloads are not kept any more. Pure.
//!
//! It does not matter when events come, or how often: the rows of a flow, stripped, are what its stripped events make.
//! But for two cases: of two ends of one execution that differ in their payloads and their errors only, the error may be
//! either's; and of two events of one revision of a variable, the id and the times.

use super::{FlowFold, FlowTables};
use crate::model::{StepRow, VariableRow};

impl FlowFold {
    /// Whether a run, an execution or a variable below this number carries a payload. An error is none: it says why something ended so.
    pub fn has_payloads_below(&self, before: i64) -> bool {
        let has_payload =
            |row: &StepRow| [&row.input, &row.output, &row.data, &row.misc].into_iter().any(Option::is_some);
        self.runs.range(..before).any(|(_, row)| row.input.is_some() || row.output.is_some())
            || self.steps.iter().any(|((_, execution), row)| *execution < before && has_payload(row))
            || self
                .variables
                .values()
                .any(|row| row.run < before && (row.value.is_some() || row.misc.is_some()))
    }

    /// The same without the payloads of runs, executions and variables below this number. Snapshots have no number, and stay.
    #[must_use]
    pub fn without_payloads_below(mut self, before: i64) -> Self {
        for (_, row) in self.runs.range_mut(..before) {
            (row.input, row.output) = (None, None);
        }
        for ((_, execution), row) in &mut self.steps {
            if *execution < before {
                (row.input, row.output, row.data, row.misc) = (None, None, None, None);
            }
        }
        strip_variables(self.variables.values_mut(), before);
        self
    }
}

impl FlowTables {
    /// The same of what is stored: it may not have been stripped yet.
    pub fn strip_payloads_below(&mut self, before: i64) {
        let bare = |row: &mut StepRow| (row.input, row.output, row.data, row.misc) = (None, None, None, None);
        let shown = self.steps.values_mut().filter(|(execution, _)| *execution < before);
        shown.for_each(|(_, row)| bare(row));
        let superseded = self.superseded.iter_mut().filter(|((_, execution), _)| *execution < before);
        superseded.for_each(|(_, row)| bare(row));
        for (_, row) in self.runs.range_mut(..before) {
            (row.input, row.output) = (None, None);
        }
        strip_variables(self.variables.values_mut(), before);
        // The input that is shown is the least run's.
        let is_least_bare = self.runs.keys().next().is_some_and(|run| *run < before);
        if let Some(shown) = &mut self.shown {
            if shown.run < before {
                shown.row.output = None;
            }
            if shown.run < before || is_least_bare {
                shown.row.input = None;
            }
        }
    }
}

fn strip_variables<'a>(variables: impl Iterator<Item = &'a mut Box<VariableRow>>, before: i64) {
    for row in variables.filter(|row| row.run < before) {
        (row.value, row.misc) = (None, None);
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::model::{Phase, StepId};

    fn fold(execution: i64, data: Option<&'static str>) -> FlowFold {
        let bytes = |text: Option<&'static str>| text.map(|text| Bytes::from_static(text.as_bytes()));
        let row = StepRow {
            phase: Phase::Closed,
            task: Some("task".into()),
            flow_name: None,
            subflow: None,
            parent_step: None,
            misc: bytes(data),
            rerun: false,
            start: None,
            input: bytes(data),
            end: None,
            status: Some("Failed".into()),
            output: bytes(data),
            error: bytes(Some("why")),
            data: bytes(data),
        };
        let key = (StepId::held("1".into()), execution);
        FlowFold { steps: [(key, Box::new(row))].into(), ..FlowFold::default() }
    }

    #[test]
    fn below_the_mark_all_goes_but_the_error_and_what_is_told_of_it() {
        assert!(fold(4, Some("x")).has_payloads_below(5));
        assert_eq!(fold(4, Some("x")).without_payloads_below(5), fold(4, None));
        assert!(!fold(4, None).has_payloads_below(5));
        assert!(!fold(5, Some("x")).has_payloads_below(5));
        assert_eq!(fold(5, Some("x")).without_payloads_below(5), fold(5, Some("x")));
    }

    #[test]
    fn what_was_stripped_stays_so_whatever_stripped_event_comes_again() {
        let mut stored = fold(4, None);
        stored.join(fold(4, Some("x")).without_payloads_below(5));
        assert_eq!(stored, fold(4, None));
    }
}
