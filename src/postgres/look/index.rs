//! Indexes that the tables have to have, and those they have.

use tokio_postgres::{Row, types::Type};

use super::{Answer, Look};

/// An index that the schema changes made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WantedIndex {
    /// Its table.
    pub table: &'static str,
    /// Its columns, as Postgres writes them.
    pub columns: &'static str,
    /// Which rows are in it, as Postgres writes it; all if there is nothing.
    pub rows: Option<&'static str>,
    /// Whether batches rely on it for a row to be there once. Of the others they rely on the speed.
    pub unique: bool,
}

const fn unique(table: &'static str, columns: &'static str) -> WantedIndex {
    WantedIndex { table, columns, rows: None, unique: true }
}

impl WantedIndex {
    /// Whether an index does what this one is to do, whatever its name and whether it is valid.
    pub fn fits(&self, index: &Index) -> bool {
        index.table == self.table
            && index.columns == self.columns
            && index.rows.as_deref() == self.rows
            && index.unique >= self.unique
    }

    /// What it is, as `UNIQUE INDEX on (flowinstanceid, stepid)`.
    pub fn described(&self) -> String {
        format!("{} on ({}){}", self.kind(), self.columns, self.condition())
    }

    /// The statement that makes it beside those who write.
    pub fn statement(&self) -> String {
        format!(
            "CREATE {} CONCURRENTLY ON {} ({}){}",
            self.kind(),
            self.table,
            self.columns,
            self.condition()
        )
    }

    fn kind(&self) -> &'static str {
        if self.unique { "UNIQUE INDEX" } else { "INDEX" }
    }

    fn condition(&self) -> String {
        self.rows.map(|rows| format!(" WHERE {rows}")).unwrap_or_default()
    }
}

/// All that the schema changes make, but for those that only people's lists use.
pub const WANTED_INDEXES: [WantedIndex; 25] = [
    unique("appstate", "userid, appname"),
    unique("flowstate", "flowinstanceid"),
    WantedIndex {
        rows: Some("(rerunofflowinstanceid IS NOT NULL)"),
        unique: false,
        ..unique("flowstate", "rerunofflowinstanceid")
    },
    WantedIndex { unique: false, ..unique("flowstate", "starttime, flowinstanceid") },
    WantedIndex { rows: Some("(phase < 2)"), unique: false, ..unique("flowstate", "starttime") },
    WantedIndex { unique: false, ..unique("flowstate", "appname, flowname, starttime") },
    unique("ft_audit", "id"),
    unique("ft_dead_letter", "id"),
    unique("ft_dead_letter", "topic, partition, recordoffset, payloadhash"),
    unique("ft_gap", "id"),
    unique("ft_offset", "consumergroup, topic, partition"),
    unique("ft_payload_mark", "flowinstanceid"),
    WantedIndex {
        rows: Some("(removedat IS NULL)"),
        unique: false,
        ..unique("ft_payload_mark", "flowinstanceid")
    },
    unique("ft_retention_cutoff", "policy"),
    WantedIndex { rows: Some("(n IS NULL)"), ..unique("ft_rewind", "flowinstanceid, before") },
    WantedIndex { rows: Some("(n IS NOT NULL)"), ..unique("ft_rewind", "flowinstanceid, n, before") },
    WantedIndex { unique: false, ..unique("ft_rewind", "flowinstanceid") },
    unique("ft_run", "flowinstanceid, run"),
    unique("ft_schema_change", "number"),
    unique("ft_snapshot", "flowinstanceid, stepid, hash"),
    unique("ft_superseded_step", "flowinstanceid, stepid, execution"),
    unique("ft_tombstone", "flowinstanceid"),
    WantedIndex {
        rows: Some("(removedat IS NOT NULL)"),
        unique: false,
        ..unique("ft_tombstone", "removedat")
    },
    WantedIndex { rows: Some("rerun"), unique: false, ..unique("steps", "flowinstanceid") },
    unique("steps", "flowinstanceid, stepid"),
];

/// An index as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Index {
    /// Its name.
    pub name: String,
    /// Its table.
    pub table: String,
    /// Its columns, as Postgres writes them.
    pub columns: String,
    /// Which rows are in it, as Postgres writes it; all if there is nothing.
    pub rows: Option<String>,
    /// Whether it holds each key once.
    pub unique: bool,
    /// Whether queries may use it and rows are put into it. One whose making was broken off is not.
    pub valid: bool,
}

/// All indexes of some tables. From Postgres 18 on it waits for whoever has locked one of them.
const INDEXES: &str = "SELECT i.relname::text, c.relname::text,
        (SELECT string_agg(pg_get_indexdef(x.indexrelid, k, true), ', ' ORDER BY k)
            FROM generate_series(1, x.indnkeyatts) k),
        pg_get_expr(x.indpred, x.indrelid), x.indisunique, x.indisvalid AND x.indisready
    FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_class c ON c.oid = x.indrelid
    WHERE x.indrelid IN (SELECT to_regclass(t) FROM unnest($1::text[]) t) ORDER BY 2, 1";

impl Index {
    /// A row of name, table, columns, which rows, whether it is unique, whether it is valid.
    pub(crate) fn of(row: &Row) -> Self {
        Self {
            name: row.get(0),
            table: row.get(1),
            columns: row.get(2),
            rows: row.get(3),
            unique: row.get(4),
            valid: row.get(5),
        }
    }
}

impl Look {
    /// Indexes of our tables.
    pub(super) async fn indexes(&self) -> Answer<Vec<Index>> {
        let tables: Vec<&str> = WANTED_INDEXES.iter().map(|index| index.table).collect();
        let rows = self.ask(INDEXES, &[(&tables, Type::TEXT_ARRAY)]).await?;
        Ok(rows.iter().map(Index::of).collect())
    }
}
