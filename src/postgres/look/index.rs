//! Indexes that the tables have to have, and those they have.

use tokio_postgres::types::Type;

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

/// All that the schema changes make, but for those that only people's lists use.
pub const WANTED_INDEXES: [WantedIndex; 21] = [
    unique("appstate", "userid, appname"),
    unique("flowstate", "flowinstanceid"),
    WantedIndex {
        rows: Some("(rerunofflowinstanceid IS NOT NULL)"),
        unique: false,
        ..unique("flowstate", "rerunofflowinstanceid")
    },
    WantedIndex { unique: false, ..unique("flowstate", "starttime, flowinstanceid") },
    unique("ft_audit", "id"),
    unique("ft_dead_letter", "id"),
    unique("ft_dead_letter", "topic, partition, recordoffset, payloadhash"),
    unique("ft_gap", "id"),
    unique("ft_offset", "consumergroup, topic, partition"),
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

impl Look {
    /// Indexes of our tables.
    pub(super) async fn indexes(&self) -> Answer<Vec<Index>> {
        let tables: Vec<&str> = WANTED_INDEXES.iter().map(|index| index.table).collect();
        let sql = "SELECT i.relname::text, c.relname::text,
                (SELECT string_agg(pg_get_indexdef(x.indexrelid, k, true), ', ' ORDER BY k)
                    FROM generate_series(1, x.indnkeyatts) k),
                pg_get_expr(x.indpred, x.indrelid), x.indisunique, x.indisvalid AND x.indisready
            FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_class c ON c.oid = x.indrelid
            WHERE x.indrelid IN (SELECT to_regclass(t) FROM unnest($1::text[]) t) ORDER BY 2, 1";
        let rows = self.ask(sql, &[(&tables, Type::TEXT_ARRAY)]).await?;
        let read = |row: tokio_postgres::Row| Index {
            name: row.get(0),
            table: row.get(1),
            columns: row.get(2),
            rows: row.get(3),
            unique: row.get(4),
            valid: row.get(5),
        };
        Ok(rows.into_iter().map(read).collect())
    }
}
