//! Rows as columns, by the names that they have in the database, and what differs between two of them.

use std::fmt;

use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::{
    hex::hex,
    model::{AppRow, Micros, RunRow, StepRow, VariableRow},
    sentence::quotable,
};

/// A column that is not as wanted. Payloads are told by their size and the beginning of their SHA-256, never shown.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct ColumnDifference {
    /// Name of the column.
    pub column: &'static str,
    /// What is stored.
    pub stored: String,
    /// What the events say.
    pub wanted: String,
}

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Value<'a> {
    Null,
    Text(&'a str),
    Bytes(&'a [u8]),
    Time(Micros),
    Number(i64),
    Flag(bool),
}

impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Text(text) => write!(f, "\"{}\"", quotable(text)),
            Self::Bytes(bytes) => {
                let digest: [u8; 32] = Sha256::digest(bytes).into();
                write!(f, "{} bytes {}", bytes.len(), hex(digest.first_chunk::<3>().unwrap_or(&[0; 3])))
            }
            Self::Time(time) => time.fmt(f),
            Self::Number(number) => number.fmt(f),
            Self::Flag(flag) => flag.fmt(f),
        }
    }
}

fn text(held: Option<&crate::model::Text>) -> Value<'_> {
    held.map_or(Value::Null, |text| Value::Text(text))
}

fn bytes(held: Option<&bytes::Bytes>) -> Value<'_> {
    held.map_or(Value::Null, |bytes| Value::Bytes(bytes))
}

fn time<'a>(held: Option<Micros>) -> Value<'a> {
    held.map_or(Value::Null, Value::Time)
}

pub(super) fn of_step(row: &StepRow) -> [(&'static str, Value<'_>); 14] {
    [
        ("phase", Value::Number(row.phase.number().into())),
        ("taskname", text(row.task.as_ref())),
        ("flowname", text(row.flow_name.as_ref())),
        ("subflowid", text(row.subflow.as_ref())),
        ("parentstepid", text(row.parent_step.as_ref())),
        ("misc", bytes(row.misc.as_ref())),
        ("rerun", Value::Flag(row.rerun)),
        ("starttime", time(row.start)),
        ("input", bytes(row.input.as_ref())),
        ("endtime", time(row.end)),
        ("status", text(row.status.as_ref())),
        ("output", bytes(row.output.as_ref())),
        ("error", bytes(row.error.as_ref())),
        ("stepdata", bytes(row.data.as_ref())),
    ]
}

pub(super) fn of_run(row: &RunRow) -> [(&'static str, Value<'_>); 16] {
    [
        ("phase", Value::Number(row.phase.number().into())),
        ("userid", text(row.user.as_ref())),
        ("appname", text(row.app.as_ref())),
        ("appversion", text(row.version.as_ref())),
        ("flowname", text(row.name.as_ref())),
        ("hostid", text(row.host.as_ref())),
        ("parentflowinstanceid", text(row.parent.as_ref())),
        ("parentflowname", text(row.parent_name.as_ref())),
        ("rerunofflowinstanceid", text(row.original.as_ref())),
        ("traceid", text(row.trace.as_ref())),
        ("starttime", time(row.start)),
        ("flowinput", bytes(row.input.as_ref())),
        ("endtime", time(row.end)),
        ("status", text(row.status.as_ref())),
        ("flowoutput", bytes(row.output.as_ref())),
        ("error", bytes(row.error.as_ref())),
    ]
}

pub(super) fn of_variable(row: &VariableRow) -> [(&'static str, Value<'_>); 9] {
    [
        ("run", Value::Number(row.run)),
        ("revision", Value::Number(row.revision)),
        ("removed", Value::Flag(row.removed)),
        ("type", text(row.kind.as_ref())),
        ("value", bytes(row.value.as_ref())),
        ("variableid", text(row.id.as_ref())),
        ("createdat", time(row.created)),
        ("updatedat", time(row.updated)),
        ("misc", bytes(row.misc.as_ref())),
    ]
}

pub(super) fn of_app(row: &AppRow) -> [(&'static str, Value<'_>); 3] {
    [
        ("at", time(row.at)),
        ("persistenceenabled", Value::Flag(!row.off)),
        ("appversion", text(row.version.as_ref())),
    ]
}

/// Adds the columns of two rows that differ.
pub(super) fn compare<'a>(
    stored: impl IntoIterator<Item = (&'static str, Value<'a>)>,
    wanted: impl IntoIterator<Item = (&'static str, Value<'a>)>,
    into: &mut Vec<ColumnDifference>,
) {
    let pairs = stored.into_iter().zip(wanted).filter(|((_, stored), (_, wanted))| stored != wanted);
    into.extend(pairs.map(|((column, stored), (_, wanted))| ColumnDifference {
        column,
        stored: stored.to_string(),
        wanted: wanted.to_string(),
    }));
}
