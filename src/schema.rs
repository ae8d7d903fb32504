//! The tables, and the numbered changes that make them.
//!
//! Changes only go forward. Each is applied in one transaction of its own and recorded in `ft_schema_change` with the
//! SHA-256 of its text, so that an empty database and an old one end in the same tables. One instance applies at a
//! time: the others wait by trying a session advisory lock, which Postgres frees when its holder is gone.

use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio_postgres::Client;

use crate::clock;

/// One numbered change.
#[derive(Debug, Clone, Copy)]
pub struct Change {
    /// Its number, from 1 without holes.
    pub number: i32,
    /// What it is about.
    pub name: &'static str,
    /// A program works on tables with this change if it knows at least the change of this number.
    pub needs: i32,
    /// The statements.
    pub sql: &'static str,
}

/// All changes this program knows, in order.
pub const CHANGES: &[Change] = &[
    Change {
        number: 1,
        name: "flow_history",
        needs: 1,
        sql: include_str!("schema/sql/0001_flow_history.sql"),
    },
    Change { number: 2, name: "merge_law", needs: 1, sql: include_str!("schema/sql/0002_merge_law.sql") },
    Change { number: 3, name: "bookkeeping", needs: 1, sql: include_str!("schema/sql/0003_bookkeeping.sql") },
    Change {
        number: 7,
        name: "retention_marks",
        needs: 1,
        sql: include_str!("schema/sql/0007_retention_marks.sql"),
    },
];

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

/// Why the tables are not as wanted, or can't be made so.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// Changes are missing.
    #[error(
        "the database is at schema change {found} and flowtrail needs {wanted}; run `flowtrail schema update`"
    )]
    Behind {
        /// The last change applied, 0 if none.
        found: i32,
        /// The last change this program knows.
        wanted: i32,
    },
    /// A newer program made changes this one can't work with.
    #[error(
        "the database is at schema change {found}, made by a newer flowtrail, and this one knows only {known}; \
         run the newer one"
    )]
    Ahead {
        /// The last change applied.
        found: i32,
        /// The last change this program knows.
        known: i32,
    },
    /// An applied change has another text.
    #[error(
        "schema change {number} ({name}) was applied with another text than this flowtrail has; \
         use the flowtrail that applied it, or restore the database"
    )]
    Altered {
        /// Its number.
        number: i32,
        /// What it is about.
        name: String,
    },
    /// Somebody else is applying changes.
    #[error("another instance has been applying schema changes for {} s; try again when it is done", .0.as_secs())]
    Busy(Duration),
    /// Postgres refused a statement.
    #[error("{doing}: {}", crate::postgres::sentence(source))]
    Postgres {
        /// What was being done.
        doing: String,
        /// Postgres's own words.
        source: tokio_postgres::Error,
    },
}

fn failed(doing: impl Into<String>) -> impl FnOnce(tokio_postgres::Error) -> SchemaError {
    let doing = doing.into();
    move |source| SchemaError::Postgres { doing, source }
}

/// How all changes stand, known ones and unknown ones, in order.
pub async fn status(client: &Client) -> Result<Vec<Status>, SchemaError> {
    let applied = applied(client).await?;
    let known = CHANGES.iter().map(|change| {
        let row = applied.iter().find(|row| row.number == change.number);
        let state = match row {
            None => State::Pending,
            Some(row) if row.checksum == checksum(change.sql) => State::Applied,
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

/// Refuses tables this program can't work with, saying what was found and what is wanted.
pub async fn validate(client: &Client) -> Result<(), SchemaError> {
    check(&status(client).await?)?;
    Ok(())
}

/// Applies what is missing; waits up to `patience` while another instance does so. Says what it applied.
///
/// Dropping the future leaves every change either applied or not.
pub async fn update(client: &mut Client, patience: Duration) -> Result<Vec<&'static Change>, SchemaError> {
    lock(client, patience).await?;
    let outcome = apply_missing(client).await;
    let unlocked = client.query_one("SELECT pg_advisory_unlock($1)", &[&LOCK]).await;
    let outcome = outcome?;
    unlocked.map_err(failed("releasing the schema lock"))?;
    Ok(outcome)
}

/// Key of the advisory lock that one applying instance holds: "flowtrai" as bytes.
const LOCK: i64 = i64::from_be_bytes(*b"flowtrai");

/// How often a waiting instance tries the lock again.
const LOCK_POLL: Duration = Duration::from_millis(200);

async fn lock(client: &Client, patience: Duration) -> Result<(), SchemaError> {
    let since = clock::monotonic();
    loop {
        let row = client.query_one("SELECT pg_try_advisory_lock($1)", &[&LOCK]).await;
        if row.map_err(failed("taking the schema lock"))?.get::<_, bool>(0) {
            return Ok(());
        }
        if since.elapsed() >= patience {
            return Err(SchemaError::Busy(patience));
        }
        tokio::time::sleep(LOCK_POLL).await;
    }
}

async fn apply_missing(client: &mut Client) -> Result<Vec<&'static Change>, SchemaError> {
    let create = "CREATE TABLE IF NOT EXISTS ft_schema_change (
            number    integer PRIMARY KEY,
            name      text NOT NULL,
            checksum  bytea NOT NULL,
            needs     integer NOT NULL,
            appliedat timestamp with time zone NOT NULL DEFAULT now(),
            appliedby text NOT NULL DEFAULT current_user
        );
        COMMENT ON TABLE ft_schema_change IS 'Changes that made these tables what they are.';
        COMMENT ON COLUMN ft_schema_change.number IS 'Number of the change.';
        COMMENT ON COLUMN ft_schema_change.name IS 'What it is about.';
        COMMENT ON COLUMN ft_schema_change.checksum IS 'SHA-256 of its text.';
        COMMENT ON COLUMN ft_schema_change.needs IS 'A program works with it if it knows at least the change of this number.';
        COMMENT ON COLUMN ft_schema_change.appliedat IS 'When it was applied.';
        COMMENT ON COLUMN ft_schema_change.appliedby IS 'Database user who applied it.';";
    let found = status(client).await?;
    match check(&found) {
        Ok(()) => return Ok(Vec::new()),
        Err(SchemaError::Behind { .. }) => {}
        Err(error) => return Err(error),
    }
    client.batch_execute(create).await.map_err(failed("creating ft_schema_change"))?;
    let mut done = Vec::new();
    for change in CHANGES {
        if found.iter().any(|status| status.number == change.number && status.state == State::Pending) {
            apply(client, change).await?;
            done.push(change);
        }
    }
    Ok(done)
}

async fn apply(client: &mut Client, change: &Change) -> Result<(), SchemaError> {
    let doing = || failed(format!("applying schema change {} ({})", change.number, change.name));
    let transaction = client.transaction().await.map_err(doing())?;
    transaction.batch_execute(change.sql).await.map_err(doing())?;
    let insert = "INSERT INTO ft_schema_change (number, name, checksum, needs) VALUES ($1, $2, $3, $4)";
    let checksum = checksum(change.sql);
    transaction
        .execute(insert, &[&change.number, &change.name, &checksum, &change.needs])
        .await
        .map_err(doing())?;
    transaction.commit().await.map_err(doing())
}

/// The rule of [`validate`], on what was found.
fn check(found: &[Status]) -> Result<(), SchemaError> {
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

fn last_known() -> i32 {
    CHANGES.last().map_or(0, |change| change.number)
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

/// SHA-256 of the text with its line ends and trailing blanks made alike, so that a checkout can't change it.
fn checksum(sql: &str) -> Vec<u8> {
    let mut hash = Sha256::new();
    for line in sql.lines() {
        hash.update(line.trim_end());
        hash.update(b"\n");
    }
    hash.finalize().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(number: i32, state: State, needs: i32) -> Status {
        Status { number, name: String::new(), state, applied_at: None, needs }
    }

    #[test]
    fn changes_are_numbered_from_1_without_holes() {
        let numbers: Vec<i32> = CHANGES.iter().map(|change| change.number).collect();
        assert_eq!(numbers, (1..=last_known()).collect::<Vec<_>>());
    }

    #[test]
    fn line_ends_do_not_change_a_checksum_and_a_letter_does() {
        assert_eq!(checksum("a\nb\n"), checksum("a \r\nb"));
        assert_ne!(checksum("a\nb\n"), checksum("a\nc\n"));
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
