//! The words of the domain: ids and positions, events that were checked, rows that Postgres holds.

mod event;
mod ids;
mod row;
mod state;
mod time;

pub use event::{AppSwitch, Event};
pub use ids::{FlowId, MAX_ID_BYTES, Offset, Partition, StepId};
pub use row::{AppRow, Phase, RunRow, StepRow, VariableRow};
pub use state::RunState;
pub use time::Micros;
pub(crate) use time::millis;

/// Text of an event: UTF-8, mostly a slice of the record that it came in. A clone shares the bytes.
pub type Text = bytestring::ByteString;
