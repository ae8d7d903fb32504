//! Which fields of an event are payloads. Ids, names, times and statuses are not: rows are found and merged by them.

use bytes::Bytes;

use super::{Looked, Rules};
use crate::proto::{sliced, v1};

/// A message of the contract, some of whose fields are payloads.
pub(crate) trait Redact {
    /// Masks them.
    fn redact(&mut self, rules: &Rules) -> Looked;
}

/// The contract's messages come twice: as they are written, and as they are read.
macro_rules! redact {
    ($contract:ident) => {
        impl Redact for $contract::HistoryEvent {
            fn redact(&mut self, rules: &Rules) -> Looked {
                use $contract::history_event::Event;
                match &mut self.event {
                    Some(Event::Flow(flow)) => flow.redact(rules),
                    Some(Event::Step(step)) => step.redact(rules),
                    Some(Event::Snapshot(snapshot)) => snapshot.redact(rules),
                    Some(Event::Variable(variable)) => variable.redact(rules),
                    Some(Event::Several(several)) => several.redact(rules),
                    Some(Event::Rewind(_) | Event::FlowDeleted(_) | Event::App(_)) | None => Looked::IntoAll,
                }
            }
        }

        impl Redact for $contract::FlowEvent {
            fn redact(&mut self, rules: &Rules) -> Looked {
                rules.fields(self.app_name.as_ref(), [&mut self.input, &mut self.output, &mut self.error])
            }
        }

        impl Redact for $contract::StepEvent {
            fn redact(&mut self, rules: &Rules) -> Looked {
                let Self { data, input, output, error, misc, .. } = self;
                rules.fields(b"", [data, input, output, error, misc])
            }
        }

        impl Redact for $contract::VariableEvent {
            fn redact(&mut self, rules: &Rules) -> Looked {
                rules.variable(self.name.as_ref(), &mut self.value, &mut self.misc)
            }
        }

        impl Redact for $contract::Snapshot {
            fn redact(&mut self, rules: &Rules) -> Looked {
                rules.fields(b"", [&mut self.data])
            }
        }
    };
}

impl Redact for v1::Several {
    fn redact(&mut self, rules: &Rules) -> Looked {
        let looked = self.events.iter_mut().map(|event| event.redact(rules));
        looked.fold(Looked::IntoAll, |all, one| if one == Looked::NotIntoAll { one } else { all })
    }
}

/// Events that are still encoded: they are masked once they were taken apart, and nothing of them is told before that.
impl Redact for Bytes {
    fn redact(&mut self, _rules: &Rules) -> Looked {
        self.clear();
        Looked::NotIntoAll
    }
}

redact!(v1);
redact!(sliced);
