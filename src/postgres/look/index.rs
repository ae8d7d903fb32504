//! Indexes that the tables have to have, and those they have.

use std::sync::LazyLock;

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
        index.table == self.table && self.does(index)
    }

    /// As [`WantedIndex::fits`], of whatever table.
    fn does(&self, index: &Index) -> bool {
        let rows = match (self.rows, index.rows.as_deref()) {
            (Some(wanted), Some(found)) => found.is_empty() || found == wanted,
            (wanted, found) => wanted == found,
        };
        rows && index.columns == self.columns && index.unique >= self.unique
    }

    /// What it is, as `UNIQUE INDEX on (flowinstanceid, stepid)`.
    pub fn described(&self) -> String {
        format!("{} on ({}){}", self.kind(), self.columns, self.condition())
    }

    /// The statement that makes it, called like that, for a table or a partition, beside those who write.
    fn beside_writers(&self, name: &str, table: &str) -> String {
        format!("CREATE {} CONCURRENTLY{name} ON {table} ({}){}", self.kind(), self.columns, self.condition())
    }

    fn kind(&self) -> &'static str {
        if self.unique { "UNIQUE INDEX" } else { "INDEX" }
    }

    fn condition(&self) -> String {
        self.rows.map(|rows| format!(" WHERE {rows}")).unwrap_or_default()
    }
}

/// All that the schema changes make.
pub const WANTED_INDEXES: [WantedIndex; 29] = [
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
    unique("ft_variable", "flowinstanceid, scope, name"),
    WantedIndex {
        rows: Some("((scope ~~ '@step:%'::text) OR (scope ~~ '@task:%'::text))"),
        unique: false,
        ..unique("ft_variable", "scope")
    },
    WantedIndex {
        rows: Some("(variableid IS NOT NULL)"),
        unique: false,
        ..unique("ft_variable", "variableid")
    },
    WantedIndex { rows: Some("rerun"), unique: false, ..unique("steps", "flowinstanceid") },
    unique("steps", "flowinstanceid, stepid"),
    // Steps of Flowable's: their `misc` begins with the type of the activity.
    WantedIndex {
        rows: Some(r"(substr(misc, 1, 16) = '\x7b22616374697669747954797065223a'::bytea)"),
        unique: false,
        ..unique("steps", "starttime")
    },
];

/// An index as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Index {
    /// Its name.
    pub name: String,
    /// Its table or partition.
    pub table: String,
    /// Its columns, as Postgres writes them.
    pub columns: String,
    /// Which rows are in it, as Postgres writes it; all if there is nothing, and empty text if that was not asked.
    pub rows: Option<String>,
    /// Whether it holds each key once.
    pub unique: bool,
    /// Whether queries may use it and rows are put into it. One whose making was broken off is not; nor is one of a table in
    /// partitions as long as a partition has none that is attached to it.
    pub valid: bool,
    /// The index of a table in partitions that this one, of a partition, is attached to.
    pub part_of: Option<String>,
}

/// The indexes of some tables, and the partitions of those that have any.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Indexes {
    /// All indexes, in the order of tables and names; also those of partitions.
    pub there: Vec<Index>,
    /// Tables in partitions, each with the name of one.
    pub partitions: Vec<(String, String)>,
}

/// The question for indexes of the tables `$1` and of their partitions, with how columns and condition of an index are asked for.
pub(crate) fn question(columns: &str, rows: &str) -> String {
    format!(
        "WITH ours AS (
            SELECT c.oid, c.relname::text AS name, NULL::text AS whole FROM pg_class c
                WHERE c.oid IN (SELECT to_regclass(t)::oid FROM unnest($1::text[]) t)
            UNION ALL SELECT h.inhrelid, h.inhrelid::regclass::text, c.relname::text FROM pg_inherits h
                JOIN pg_class c ON c.oid = h.inhparent AND c.relkind = 'p'
                WHERE c.oid IN (SELECT to_regclass(t)::oid FROM unnest($1::text[]) t)
        )
        SELECT o.name, o.whole, CASE WHEN o.whole IS NULL THEN i.relname::text ELSE i.oid::regclass::text END,
            {columns}, {rows}, x.indisunique, x.indisvalid AND x.indisready,
            (SELECT w.relname::text FROM pg_inherits h JOIN pg_class w ON w.oid = h.inhparent WHERE h.inhrelid = i.oid)
        FROM ours o LEFT JOIN (pg_index x JOIN pg_class i ON i.oid = x.indexrelid) ON x.indrelid = o.oid ORDER BY 1, 3"
    )
}

/// From Postgres 18 on it waits for whoever has locked one of the tables.
static QUESTION: LazyLock<String> = LazyLock::new(|| {
    let columns = "(SELECT string_agg(pg_get_indexdef(x.indexrelid, k, true), ', ' ORDER BY k)
            FROM generate_series(1, x.indnkeyatts) k)";
    question(columns, "pg_get_expr(x.indpred, x.indrelid)")
});

impl Indexes {
    /// What [`question`] is answered.
    pub(crate) fn of(rows: &[Row]) -> Self {
        let mut found = Self::default();
        for row in rows {
            let table: String = row.get(0);
            let partition = row.get::<_, Option<String>>(1).map(|whole| (whole, table.clone()));
            found.partitions.extend(partition);
            found.there.extend(row.get::<_, Option<String>>(2).map(|name| Index {
                name,
                table,
                columns: row.get(3),
                rows: row.get(4),
                unique: row.get(5),
                valid: row.get(6),
                part_of: row.get(7),
            }));
        }
        found.partitions.sort_unstable();
        found.partitions.dedup();
        found
    }

    /// The statements after which a wanted index is there and valid, each to be run by itself. They are for a wanted index that
    /// is not: there is none, or one that is not valid.
    ///
    /// Others may write meanwhile. Of a table in partitions, Postgres makes an index `CONCURRENTLY` only partition by partition;
    /// only the last statement, which takes these together, waits for those who write and lets them wait for a moment.
    pub fn mending(&self, wanted: &WantedIndex) -> Vec<String> {
        let broken = self.there.iter().find(|index| wanted.fits(index)).map(|index| index.name.as_str());
        let of_table = self.partitions.iter().filter(|(table, _)| table == wanted.table);
        let partitions: Vec<&str> = of_table.map(|(_, partition)| partition.as_str()).collect();
        match broken {
            _ if !partitions.is_empty() => {
                let mut statements = self.mending_parts(wanted, &partitions, broken);
                if broken.is_none() {
                    let (kind, table, columns) = (wanted.kind(), wanted.table, wanted.columns);
                    // It takes in the indexes of partitions that it finds.
                    statements.push(format!("CREATE {kind} ON {table} ({columns}){}", wanted.condition()));
                }
                statements
            }
            Some(name) => vec![format!("REINDEX INDEX CONCURRENTLY {name}")],
            None => vec![wanted.beside_writers("", wanted.table)],
        }
    }

    /// Makes what the partitions lack, and attaches it to the index of the whole where there is one.
    fn mending_parts(&self, wanted: &WantedIndex, partitions: &[&str], whole: Option<&str>) -> Vec<String> {
        let mut statements = Vec::new();
        for partition in partitions {
            let mine = |index: &&Index| index.table == *partition && wanted.does(index);
            let free = |index: &&Index| mine(index) && index.part_of.is_none();
            let attached =
                |index: &&Index| mine(index) && whole.is_some() && index.part_of.as_deref() == whole;
            let there = self.there.iter();
            let found = there.clone().find(attached).or_else(|| there.clone().find(free));
            let name = match (found, whole) {
                (Some(index), _) => {
                    if !index.valid {
                        statements.push(format!("REINDEX INDEX CONCURRENTLY {}", index.name));
                    }
                    index.name.clone()
                }
                (None, Some(whole)) => {
                    let name = format!("{whole}_{partition}");
                    statements.push(wanted.beside_writers(&format!(" {name}"), partition));
                    name
                }
                (None, None) => {
                    statements.push(wanted.beside_writers("", partition));
                    continue;
                }
            };
            // Also of one that is attached: then Postgres looks whether the whole is valid by now.
            statements.extend(whole.map(|whole| format!("ALTER INDEX {whole} ATTACH PARTITION {name}")));
        }
        statements
    }
}

impl Look {
    /// Indexes of our tables.
    pub(super) async fn indexes(&self) -> Answer<Indexes> {
        let tables: Vec<&str> = WANTED_INDEXES.iter().map(|index| index.table).collect();
        let rows = self.ask(&QUESTION, &[(&tables, Type::TEXT_ARRAY)]).await?;
        Ok(Indexes::of(&rows))
    }
}
