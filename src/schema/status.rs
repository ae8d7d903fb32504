//! Which changes are applied, and whether a program can work with that.

use tokio_postgres::Client;

use super::{
    SchemaError,
    changes::{CHANGES, last_known},
    failed,
};

/// How a change stands in a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It was applied.
    Applied,
    /// It is still to be applied.
    Pending,
    /// It was applied with another text than this program has.
    Altered,
    /// It was applied by a newer program; this one does not know it.
    Unknown,
}

impl State {
    /// The word people read.
    pub fn name(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Pending => "pending",
            Self::Altered => "altered",
            Self::Unknown => "unknown",
        }
    }
}

/// A change and how it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Its number.
    pub number: i32,
    /// What it is about.
    pub name: String,
    /// How it stands.
    pub state: State,
    /// When it was applied, RFC 3339.
    pub applied_at: Option<String>,
    /// What a program has to know to work with it.
    needs: i32,
}

/// How all changes stand, known ones and unknown ones, in order. A database without tables is one where all are pending.
pub async fn status(client: &Client) -> Result<Vec<Status>, SchemaError> {
    let applied = applied(client).await?;
    let known = CHANGES.iter().map(|change| {
        let row = applied.iter().find(|row| row.number == change.number);
        let state = match row {
            None => State::Pending,
            Some(row) if row.checksum == change.checksum() => State::Applied,
            Some(_) => State::Altered,
        };
        Status {
            number: change.number,
            name: change.name.to_owned(),
            state,
            applied_at: row.map(|row| row.at.clone()),
            needs: change.needs,
        }
    });
    let newer = applied.iter().filter(|row| row.number > last_known()).map(|row| Status {
        number: row.number,
        name: row.name.clone(),
        state: State::Unknown,
        applied_at: Some(row.at.clone()),
        needs: row.needs,
    });
    Ok(known.chain(newer).collect())
}

/// Whether a program whose last change is the last known one can work with what was found.
pub(super) fn check(found: &[Status]) -> Result<(), SchemaError> {
    if let Some(altered) = found.iter().find(|status| status.state == State::Altered) {
        return Err(SchemaError::Altered { number: altered.number, name: altered.name.clone() });
    }
    let here = found.iter().filter(|status| status.state != State::Pending);
    let last = here.clone().map(|status| status.number).max().unwrap_or(0);
    if here.map(|status| status.needs).max().unwrap_or(0) > last_known() {
        return Err(SchemaError::Ahead { found: last, known: last_known() });
    }
    if found.iter().any(|status| status.state == State::Pending) {
        return Err(SchemaError::Behind { found: last, wanted: last_known() });
    }
    Ok(())
}

struct Applied {
    number: i32,
    name: String,
    checksum: Vec<u8>,
    needs: i32,
    at: String,
}

async fn applied(client: &Client) -> Result<Vec<Applied>, SchemaError> {
    let there = client.query_one("SELECT to_regclass('ft_schema_change') IS NOT NULL", &[]).await;
    if !there.map_err(failed("looking for ft_schema_change"))?.get::<_, bool>(0) {
        return Ok(Vec::new());
    }
    let select = r#"SELECT number, name, checksum, needs,
        to_char(appliedat AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')
        FROM ft_schema_change ORDER BY number"#;
    let rows = client.query(select, &[]).await.map_err(failed("reading ft_schema_change"))?;
    let read = |row: tokio_postgres::Row| Applied {
        number: row.get(0),
        name: row.get(1),
        checksum: row.get(2),
        needs: row.get(3),
        at: row.get(4),
    };
    Ok(rows.into_iter().map(read).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(number: i32, state: State, needs: i32) -> Status {
        Status { number, name: String::new(), state, applied_at: None, needs }
    }

    #[test]
    fn newer_tables_are_taken_if_what_they_need_is_known() {
        let known = CHANGES.iter().map(|change| at(change.number, State::Applied, 1));
        let newer =
            |needs| known.clone().chain([at(last_known() + 1, State::Unknown, needs)]).collect::<Vec<_>>();
        assert!(check(&newer(last_known())).is_ok());
        assert!(matches!(check(&newer(last_known() + 1)), Err(SchemaError::Ahead { .. })));
    }

    #[test]
    fn missing_and_altered_changes_are_refused() {
        let found = [at(1, State::Applied, 1), at(2, State::Pending, 1)];
        assert!(matches!(check(&found), Err(SchemaError::Behind { found: 1, .. })));
        assert!(matches!(check(&[at(1, State::Altered, 1)]), Err(SchemaError::Altered { number: 1, .. })));
    }
}
