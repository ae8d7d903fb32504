//! Ids and positions; each is its own type, so that one can't be passed for another.

use std::{borrow::Borrow, fmt, sync::Arc};

use super::Text;

/// The longest id that is taken, in bytes. A key of two such ids fits a B-tree entry of Postgres (2 704 bytes).
pub const MAX_ID_BYTES: usize = 1024;

/// A flow instance id: at most [`MAX_ID_BYTES`] of UTF-8 without NUL, never empty. Ordered by bytes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FlowId(Text);

/// A step id within its flow instance: at most [`MAX_ID_BYTES`] of UTF-8 without NUL, never empty.
/// Ordered by bytes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StepId(Text);

impl FlowId {
    /// Takes an id that decode has checked.
    pub(crate) fn new(id: Text) -> Self {
        debug_assert!(!id.is_empty() && id.len() <= MAX_ID_BYTES && !id.contains('\0'), "{id:?}");
        Self(id)
    }

    /// Takes an id that a table holds, whoever wrote it.
    pub(crate) fn held(id: Text) -> Self {
        Self(id)
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for FlowId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl StepId {
    /// Takes an id that a table holds, whoever wrote it.
    pub(crate) fn held(id: Text) -> Self {
        Self(id)
    }

    /// Takes an id that decode has checked.
    pub(crate) fn new(id: Text) -> Self {
        debug_assert!(!id.is_empty() && id.len() <= MAX_ID_BYTES && !id.contains('\0'), "{id:?}");
        Self(id)
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The id as a number: it is one iff it is 1–18 ASCII digits, so that it fits a `bigint`.
    /// Only a numbered step is reached by a rewind from a step.
    pub fn number(&self) -> Option<i64> {
        let digits = (1..=18).contains(&self.0.len()) && self.0.bytes().all(|b| b.is_ascii_digit());
        digits.then(|| self.0.parse().ok()).flatten()
    }
}

impl fmt::Display for FlowId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for StepId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A topic and the number of one of its partitions.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Partition {
    /// Topic name.
    pub topic: Arc<str>,
    /// Partition number, from 0.
    pub number: i32,
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[{}]", self.topic, self.number)
    }
}

/// A position in a partition, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Offset(pub i64);

impl Offset {
    /// The position after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_id_is_a_number_iff_it_is_1_to_18_ascii_digits() {
        let number = |id: &str| StepId::new(id.into()).number();
        assert_eq!(number("0"), Some(0));
        assert_eq!(number("02"), Some(2));
        assert_eq!(number("999999999999999999"), Some(999_999_999_999_999_999));
        assert_eq!(number("9999999999999999999"), None);
        assert_eq!(number("-1"), None);
        assert_eq!(number("+1"), None);
        assert_eq!(number("1\n"), None);
        assert_eq!(number("٣"), None);
        assert_eq!(number("x"), None);
    }
}
