//! The two large tables in partitions, for those who want them so from the beginning.
//!
//! A flow instance lies in one partition whole: partitions are by the hash of `flowinstanceid`, which every key begins with. Keys,
//! columns and the merge law are the same. Tables that are there are not taken apart.

use std::fmt::Write as _;

use tokio_postgres::Client;

use super::{
    SchemaError,
    changes::{CHANGES, Change},
    failed,
};

/// The tables that are parted.
const TABLES: [&str; 2] = ["flowstate", "steps"];

/// SQL that makes the tables as change 1 does, but in so many partitions; nothing for none. To be run before that change, which
/// finds them then.
pub(super) fn tables(partitions: usize) -> String {
    let mut sql = String::new();
    if partitions == 0 {
        return sql;
    }
    for table in TABLES {
        let columns = CHANGES.first().and_then(|change| {
            let (_, rest) = change.sql.split_once(&format!("CREATE TABLE IF NOT EXISTS {table} ("))?;
            rest.split_once("\n);")
        });
        let columns = columns.map_or("", |(columns, _)| columns);
        // Writing to a string does not fail.
        let _ = writeln!(sql, "CREATE TABLE {table} ({columns}\n) PARTITION BY HASH (flowinstanceid);");
        for number in 0..partitions {
            let _ = writeln!(
                sql,
                "CREATE TABLE {table}_p{number} PARTITION OF {table}\n    \
                 FOR VALUES WITH (MODULUS {partitions}, REMAINDER {number});\n\
                 COMMENT ON TABLE {table}_p{number} IS 'Part of {table}.';"
            );
        }
    }
    sql
}

/// An index of a parted table, made part by part: there it can't be made beside writers as a whole.
#[derive(Debug)]
pub(super) struct Parts<'a> {
    index: &'a str,
    table: &'a str,
    /// Columns, and which rows are in it.
    rest: &'a str,
}

impl<'a> Parts<'a> {
    /// What a change says of its index, if that is of a table that may lie in partitions.
    pub(super) fn of(change: &'a Change) -> Option<Self> {
        let index = change.index?;
        let (_, statement) = change.sql.split_once(&format!("CREATE INDEX CONCURRENTLY {index} ON "))?;
        let (table, rest) = statement.trim().trim_end_matches(';').split_once(' ')?;
        TABLES.contains(&table).then_some(Self { index, table, rest })
    }

    /// The partitions of its table; none where it is one piece.
    pub(super) async fn partitions(&self, client: &Client) -> Result<Vec<String>, tokio_postgres::Error> {
        let sql = "SELECT inhrelid::regclass::text FROM pg_inherits JOIN pg_class c ON c.oid = inhparent
            WHERE inhparent = to_regclass($1) AND c.relkind = 'p' ORDER BY 1";
        Ok(client.query(sql, &[&self.table]).await?.iter().map(|row| row.get(0)).collect())
    }

    /// Partitions of a table that [`tables`] has made.
    pub(super) fn made(&self, partitions: usize) -> Vec<String> {
        (0..partitions).map(|number| format!("{}_p{number}", self.table)).collect()
    }

    /// Makes the index of the whole, which is valid once all of its parts are attached. Takes no time.
    pub(super) fn whole(&self) -> String {
        let Self { index, table, rest } = self;
        format!("CREATE INDEX IF NOT EXISTS {index} ON ONLY {table} {rest};\n")
    }

    /// The name of the index of one partition.
    pub(super) fn name(&self, partition: &str) -> String {
        format!("{}_{partition}", self.index)
    }

    /// Makes the index of one partition beside writers.
    pub(super) fn part(&self, partition: &str) -> String {
        format!("CREATE INDEX CONCURRENTLY {} ON {partition} {};\n", self.name(partition), self.rest)
    }

    /// Makes the index of a partition a part of the whole; does nothing where it is.
    pub(super) fn attach(&self, partition: &str) -> String {
        format!("ALTER INDEX {} ATTACH PARTITION {};\n", self.index, self.name(partition))
    }
}

/// Refuses to part tables that are there.
pub(super) async fn check(client: &Client) -> Result<(), SchemaError> {
    let sql = "SELECT count(*) FROM unnest($1::text[]) t WHERE to_regclass(t) IS NOT NULL";
    let there = client.query_one(sql, &[&TABLES.as_slice()]).await;
    let there: i64 = there.map_err(failed("looking for tables to take over"))?.get(0);
    if there == 0 { Ok(()) } else { Err(SchemaError::OnePiece) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_tables_have_their_columns_and_so_many_partitions() {
        let sql = tables(3);
        for table in TABLES {
            assert!(sql.contains(&format!("CREATE TABLE {table} (\n    flowinstanceid")), "{sql}");
            assert_eq!(sql.matches(&format!("PARTITION OF {table}\n")).count(), 3, "{sql}");
        }
        assert_eq!((sql.matches("PARTITION BY HASH (flowinstanceid);").count(), tables(0).as_str()), (2, ""));
    }

    #[test]
    fn every_index_that_is_made_beside_writers_can_be_made_part_by_part() {
        let of_parted_table = |change: &&Change| {
            change.index.is_some()
                && TABLES.iter().any(|table| change.sql.contains(&format!(" ON {table} (")))
        };
        let changes: Vec<&Change> = CHANGES.iter().filter(of_parted_table).collect();
        assert_eq!(changes.len(), 3);
        for change in changes {
            let parts = Parts::of(change).unwrap();
            assert!(parts.rest.starts_with('('), "{parts:?}");
        }
    }
}
