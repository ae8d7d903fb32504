//! Rows of Flogo's own state service beside rows of ours, and why they differ.
//!
//! Both write the tables `flowstate` and `steps` of what the same apps post, and much of what they write differently is
//! known, and meant ([`reason`]). What is left says that one of them lacks something.

mod reason;
#[cfg(test)]
mod tests;

use serde::Serialize;

pub use self::reason::Reason;

/// A row of either table.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Flow instance.
    pub flow: String,
    /// The step, where it is a row of `steps`.
    pub step: Option<String>,
    /// Ours only: the instance ran more than once, or the step has executions that do not show.
    pub has_earlier: bool,
    /// Columns by name, in the table's order.
    pub columns: Vec<(&'static str, Value)>,
}

/// What a column holds.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Nothing.
    Null,
    /// Text.
    Text(String),
    /// µs since 1970, UTC.
    Time(i64),
    /// A count.
    Number(i64),
    /// Yes or no.
    Flag(bool),
    /// Bytes.
    Bytes(Payload),
}

/// Bytes, as far as they are at hand.
#[derive(Debug, Clone, PartialEq)]
pub struct Payload {
    /// How many.
    pub length: i64,
    /// Their digest.
    pub sha256: Vec<u8>,
    /// Themselves, unless they are many.
    pub bytes: Option<Vec<u8>>,
}

/// What becomes of a row in the comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// It is here and not there.
    Here,
    /// It is there and not here.
    There,
    /// It is in both, and a column differs.
    Column,
}

/// Something that is not the same in both.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Difference {
    /// `flowstate` or `steps`.
    pub table: &'static str,
    /// Flow instance.
    pub flow: String,
    /// The step, in `steps`.
    pub step: Option<String>,
    /// Where the row is.
    pub kind: Kind,
    /// The column, where the row is in both.
    pub column: Option<&'static str>,
    /// What the column holds here. Payloads are told by size and digest, never shown.
    pub here: Option<String>,
    /// What it holds there.
    pub there: Option<String>,
    /// Why that is to be expected; nothing: it is not.
    pub reason: Option<Reason>,
}

/// What differs between a row of ours and the other service's row of the same key, column by column.
pub fn differences(here: &Row, there: &Row) -> Vec<Difference> {
    let differing = here.columns.iter().filter(|(column, value)| !value.says_the_same(there.value(column)));
    let difference = |(column, value): &(&'static str, Value)| Difference {
        column: Some(column),
        here: Some(value.shown()),
        there: Some(there.value(column).shown()),
        reason: reason::of_column(column, here, there),
        ..Difference::of(here, Kind::Column, None)
    };
    differing.map(difference).collect()
}

impl Difference {
    /// A row that only one of the two has.
    pub fn of(row: &Row, kind: Kind, reason: Option<Reason>) -> Self {
        Self {
            table: if row.step.is_some() { "steps" } else { "flowstate" },
            flow: row.flow.clone(),
            step: row.step.clone(),
            kind,
            column: None,
            here: None,
            there: None,
            reason,
        }
    }
}

impl Row {
    fn value(&self, column: &str) -> &Value {
        self.columns.iter().find(|(name, _)| *name == column).map_or(&Value::Null, |(_, value)| value)
    }

    fn text(&self, column: &str) -> &str {
        if let Value::Text(text) = self.value(column) { text } else { "" }
    }

    /// Whether this row of `flowstate` says that the instance goes on.
    pub fn is_open(&self) -> bool {
        matches!(self.text("status"), "" | "Created" | "Started")
    }

    /// Why the other service may not have this step of ours.
    pub fn reason_to_be_missing(&self) -> Option<Reason> {
        reason::of_missing_step(self)
    }
}

impl Value {
    /// The other service writes empty text where it has none.
    fn says_the_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Bytes(one), Self::Bytes(other)) => one.sha256 == other.sha256,
            _ => self == other || (self.is_nothing() && other.is_nothing()),
        }
    }

    fn is_nothing(&self) -> bool {
        match self {
            Self::Null => true,
            Self::Text(text) => text.is_empty(),
            Self::Bytes(payload) => payload.length == 0,
            Self::Time(_) | Self::Number(_) | Self::Flag(_) => false,
        }
    }

    fn shown(&self) -> String {
        match self {
            Self::Null => "null".to_owned(),
            Self::Text(text) => format!("\"{text}\""),
            Self::Time(micros) => jiff::Timestamp::from_microsecond(*micros)
                .map_or_else(|_| "infinity".to_owned(), |time| format!("{time:.6}")),
            Self::Number(number) => number.to_string(),
            Self::Flag(flag) => flag.to_string(),
            Self::Bytes(Payload { length, sha256, .. }) => match sha256[..] {
                [first, second, third, ..] => format!("{length} bytes {first:02x}{second:02x}{third:02x}"),
                _ => format!("{length} bytes"),
            },
        }
    }
}
