//! Taking over the tables of the Go service where they lie.
//!
//! Its older versions made `flowstate` without the columns of re-runs, input and output; these are added, as nullable columns,
//! which rewrites no row. All else that differs is reported with the statement that mends it, and left alone: to rewrite a
//! history table takes hours, and a table that only happens to have the same name is somebody else's.

use tokio_postgres::Client;

use super::{
    SchemaError, failed,
    shape::{self, Column},
};
use crate::postgres::look::{WANTED_INDEXES, WantedIndex};

/// The change that makes these tables where they are not there.
pub(super) const CHANGE: i32 = 1;

/// Adds what older versions lack; to be run before the change, in its transaction.
pub(super) const SQL: &str = include_str!("sql/adopt.sql");

/// The tables of the Go service.
const TABLES: [&str; 3] = ["appstate", "flowstate", "steps"];

/// Refuses tables that differ in more than what [`SQL`] adds. Where there are none there is nothing to refuse.
pub(super) async fn check(client: &Client) -> Result<(), SchemaError> {
    let sql = "SELECT t FROM unnest($1::text[]) t WHERE to_regclass(t) IS NOT NULL";
    let rows = client.query(sql, &[&TABLES.as_slice()]).await;
    let rows = rows.map_err(failed("looking for tables to take over"))?;
    let there: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    let is_there = |table: &str| there.iter().any(|there| there == table);
    let columns: Vec<Column<'static>> = shape::wanted()
        .filter(|(change, column)| *change == CHANGE && is_there(column.table))
        .map(|(_, column)| column)
        .collect();
    let keys: Vec<&WantedIndex> =
        WANTED_INDEXES.iter().filter(|index| index.unique && is_there(index.table)).collect();
    let mut found = shape::compare(client, &columns, &keys).await?;
    found.retain(|difference| !difference.mend.contains(" ADD COLUMN ") || !is_added(&difference.object));
    if found.is_empty() { Ok(()) } else { Err(SchemaError::Foreign(found)) }
}

/// Whether the column is one that [`SQL`] adds.
fn is_added(object: &str) -> bool {
    object.strip_prefix("flowstate.").is_some_and(|name| SQL.contains(&format!("IF NOT EXISTS {name} ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_older_versions_lack_is_added_and_nothing_else() {
        for name in ["rerunofflowinstanceid", "flowinput", "flowoutput", "reruncount"] {
            assert!(is_added(&format!("flowstate.{name}")), "{name}");
        }
        for object in ["flowstate.status", "flowstate.flow", "steps.flowinput", "steps.rerun"] {
            assert!(!is_added(object), "{object}");
        }
    }
}
