//! What Postgres refuses for what it holds, and which flow that was of.

use tokio_postgres::Error;

use super::fault::{Fault, sentence};
use crate::model::FlowId;

/// A batch that can't be written as it is: a row is refused for what it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// SQLSTATE.
    pub sqlstate: Option<String>,
    /// Postgres's words, without the row's values.
    pub sentence: String,
    /// The flow that holds the refused row, where Postgres said.
    pub flow: Option<FlowId>,
}

/// Why a batch is not written.
#[derive(Debug)]
pub struct WriteError {
    /// What Postgres, or the way to it, said.
    pub error: Error,
    /// The flow of the row that a `COPY` stopped at.
    flow: Option<FlowId>,
}

impl From<Error> for WriteError {
    fn from(error: Error) -> Self {
        Self { error, flow: None }
    }
}

impl WriteError {
    /// An error of a `COPY`, whose rows are of these flows, in order.
    pub(super) fn of_copy<'a>(error: Error, mut flows: impl Iterator<Item = &'a FlowId>) -> Self {
        let context = error.as_db_error().and_then(|refused| refused.where_());
        let flow = context.and_then(copied_row).and_then(|row| flows.nth(row)).cloned();
        Self { error, flow }
    }

    /// What is to be done about it.
    pub fn fault(&self) -> Fault {
        Fault::of(&self.error)
    }

    /// It as the refusal of a row.
    pub fn into_refusal(self) -> Refusal {
        let sqlstate = self.error.code().map(|state| state.code().to_owned());
        Refusal { sqlstate, sentence: sentence(&self.error), flow: self.flow }
    }
}

/// Number, from 0, of the row that a `COPY` stopped at. The context has a line for each thing that was going on; that of
/// the `COPY` is "COPY steps, line 17, column status", with the words of the server's language, so that only the
/// number after the first comma is relied on.
fn copied_row(context: &str) -> Option<usize> {
    let (_, place) = context.lines().find_map(|line| line.strip_prefix("COPY "))?.split_once(", ")?;
    let digits = |part: &str| part.parse::<usize>().ok();
    let line = place.split(|letter: char| !letter.is_ascii_digit()).find_map(digits)?;
    line.checked_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_row_is_found_in_the_context_of_a_copy() {
        assert_eq!(copied_row("COPY steps, line 17, column status"), Some(16));
        assert_eq!(copied_row("COPY steps, line 1"), Some(0));
        assert_eq!(copied_row("COPY steps, Zeile 20000: »x«"), Some(19_999));
        let trigger = "PL/pgSQL function refuse() line 3 at RAISE\nCOPY flowstate, line 2";
        assert_eq!(copied_row(trigger), Some(1));
        assert_eq!(copied_row("SQL statement \"UPDATE x\", line 3"), None);
        assert_eq!(copied_row("COPY steps"), None);
        assert_eq!(copied_row("COPY steps, line 0"), None);
    }
}
