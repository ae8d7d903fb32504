//! What an error of Postgres means for the batch that met it.

use std::error::Error as _;

use tokio_postgres::{Error, error::SqlState};

/// What to do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It passes: an outage, a lock, a full disk, a conflict. The same batch is tried again, and nothing is lost.
    Retry,
    /// A row is refused for what it holds. Trying again would end the same.
    Reject,
    /// Something a person has to put right: a missing table, a missing right.
    Halt,
}

impl Fault {
    /// The class as `flowtrail_postgres_errors_total{class}` counts it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Reject => "reject",
            Self::Halt => "halt",
        }
    }

    /// Judges an error: by SQLSTATE where Postgres answered, as an outage where it did not.
    pub fn of(error: &Error) -> Self {
        error.code().map_or(Self::Retry, Self::of_state)
    }

    /// Judges a SQLSTATE (`PostgreSQL` documentation, appendix A).
    fn of_state(state: &SqlState) -> Self {
        let code = state.code();
        let class = code.get(..2).unwrap_or_default();
        match (class, code) {
            // Data exception; not-null and check violation; program limit exceeded.
            ("22" | "54", _) | (_, "23502" | "23514") => Self::Reject,
            // Connection, transaction rollback, insufficient resources, operator intervention; lock not available,
            // read-only transaction (a standby), lost session.
            ("08" | "40" | "53" | "57", _) | (_, "55P03" | "25006" | "25P03") => Self::Retry,
            _ => Self::Halt,
        }
    }
}

/// Postgres's own words in one line, with the SQLSTATE; for errors on the way, what went wrong there. The detail of a
/// refused row is left out, since it quotes the row.
pub fn sentence(error: &Error) -> String {
    if let Some(refused) = error.as_db_error() {
        let quotes_none = Fault::of_state(refused.code()) != Fault::Reject;
        let detail = refused.detail().filter(|_| quotes_none);
        let detail = detail.map(|detail| format!("; {detail}")).unwrap_or_default();
        return format!("{}{detail} (SQLSTATE {})", refused.message(), refused.code().code());
    }
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(code: &str) -> Fault {
        Fault::of_state(&SqlState::from_code(code))
    }

    #[test]
    fn an_outage_is_tried_again_and_never_rejects() {
        for code in ["08006", "53100", "53200", "53300", "55P03", "57P01", "57014", "25006", "40001", "40P01"]
        {
            assert_eq!(of(code), Fault::Retry, "{code}");
        }
    }

    #[test]
    fn bad_data_is_rejected() {
        for code in ["22021", "22P02", "22003", "23502", "23514", "54000"] {
            assert_eq!(of(code), Fault::Reject, "{code}");
        }
    }

    #[test]
    fn what_a_person_has_to_put_right_halts() {
        for code in ["42P01", "42501", "42703", "3D000", "28P01", "XX000"] {
            assert_eq!(of(code), Fault::Halt, "{code}");
        }
    }
}
