//! The tables, and the numbered changes that make them.
//!
//! Changes only go forward and each is recorded in `ft_schema_change` with the SHA-256 of its text, so that an empty database
//! and an old one end in the same tables ([`update`]). What people or other programs did to the tables since is told by
//! [`differences`]. [`create_sql`] and [`upgrade_sql`] give the same changes as text, for where only a DBA may change tables.

mod adopt;
mod changes;
mod export;
mod holder;
mod partition;
mod shape;
mod status;
mod update;

pub use self::{
    changes::{CHANGES, Change},
    export::{create_sql, upgrade_sql},
    holder::Holder,
    shape::{Difference, differences},
    status::{State, Status, status},
    update::{update, would_apply},
};

use std::time::Duration;

use tokio_postgres::Client;

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
    /// The changes were applied, and somebody changed the tables since.
    #[error("the tables are not as the schema changes made them: {}; `flowtrail schema validate` lists what to do", list(.0))]
    Differs(Vec<Difference>),
    /// Tables of these names are there, and flowtrail can't take them over as they are. Nothing was done to them.
    #[error("tables of these names are there and are not what flowtrail expects: {}. Then begin again", list(.0))]
    Foreign(Vec<Difference>),
    /// They are to be made in partitions, and are there in one piece.
    #[error(
        "schema.partitions says how tables are made, and they are there already; set it to 0, or begin with an empty database"
    )]
    OnePiece,
    /// Somebody else is applying changes.
    #[error("{} applies schema changes and was waited for for {} s; try again when it is done{}",
        holder.as_ref().map_or_else(|| "another instance".to_owned(), Holder::to_string), waited.as_secs(),
        holder.as_ref().map(|holder| format!(", or SELECT pg_terminate_backend({})", holder.pid)).unwrap_or_default())]
    Busy {
        /// How long it was waited for.
        waited: Duration,
        /// Who it is, if that can be told.
        holder: Option<Holder>,
    },
    /// Postgres refused a statement.
    #[error("{doing}: {}", crate::postgres::sentence(source))]
    Postgres {
        /// What was being done.
        doing: String,
        /// Postgres's own words.
        source: tokio_postgres::Error,
    },
}

/// Differences in one line, each with what mends it.
fn list(differences: &[Difference]) -> String {
    let words: Vec<String> =
        differences.iter().map(|difference| format!("{} ({})", difference.said, difference.mend)).collect();
    words.join("; ")
}

fn failed(doing: impl Into<String>) -> impl FnOnce(tokio_postgres::Error) -> SchemaError {
    let doing = doing.into();
    move |source| SchemaError::Postgres { doing, source }
}

/// Refuses tables this program can't work with, saying what was found and what is wanted. Asks two questions and changes
/// nothing; rights on the tables are not needed.
///
/// What only makes questions slow, as an index that is gone, is no reason to refuse; it is what is given back.
pub async fn validate(client: &Client) -> Result<Vec<Difference>, SchemaError> {
    status::check(&status(client).await?)?;
    let (breaking, slowing): (Vec<_>, Vec<_>) =
        differences(client).await?.into_iter().partition(|difference| difference.breaks);
    if breaking.is_empty() { Ok(slowing) } else { Err(SchemaError::Differs(breaking)) }
}
