//! The changes, in order.

use sha2::{Digest, Sha256};

/// One numbered change.
#[derive(Debug, Clone, Copy)]
pub struct Change {
    /// Its number, from 1 without holes.
    pub number: i32,
    /// What it is about.
    pub name: &'static str,
    /// A program works on tables with this change if it knows at least the change of this number.
    pub needs: i32,
    /// The index that the change makes beside those who write, if that is what it does. Then `sql` is one
    /// `CREATE INDEX CONCURRENTLY`, which Postgres runs outside of a transaction only; all others run in one.
    pub index: Option<&'static str>,
    /// The statements.
    pub sql: &'static str,
}

/// All changes this program knows, in order.
pub const CHANGES: &[Change] = &[
    Change {
        number: 1,
        name: "flow_history",
        needs: 1,
        index: None,
        sql: include_str!("sql/0001_flow_history.sql"),
    },
    Change {
        number: 2,
        name: "merge_law",
        needs: 1,
        index: None,
        sql: include_str!("sql/0002_merge_law.sql"),
    },
    Change {
        number: 3,
        name: "bookkeeping",
        needs: 1,
        index: None,
        sql: include_str!("sql/0003_bookkeeping.sql"),
    },
    Change {
        number: 4,
        name: "open_flows",
        needs: 1,
        index: Some("ft_flowstate_open"),
        sql: include_str!("sql/0004_open_flows.sql"),
    },
    Change {
        number: 5,
        name: "flows_by_name",
        needs: 1,
        index: Some("ft_flowstate_name"),
        sql: include_str!("sql/0005_flows_by_name.sql"),
    },
    Change { number: 6, name: "views", needs: 1, index: None, sql: include_str!("sql/0006_views.sql") },
    Change {
        number: 7,
        name: "retention_marks",
        needs: 1,
        index: None,
        sql: include_str!("sql/0007_retention_marks.sql"),
    },
    Change {
        number: 8,
        name: "variables",
        needs: 1,
        index: None,
        sql: include_str!("sql/0008_variables.sql"),
    },
    Change {
        number: 9,
        name: "flowable_views",
        needs: 1,
        index: None,
        sql: include_str!("sql/0009_flowable_views.sql"),
    },
    Change {
        number: 10,
        name: "flowable_steps",
        needs: 1,
        index: Some("ft_steps_flowable"),
        sql: include_str!("sql/0010_flowable_steps.sql"),
    },
    Change {
        number: 11,
        name: "parts_by_scope",
        needs: 1,
        index: Some("ft_variable_thing"),
        sql: include_str!("sql/0011_parts_by_scope.sql"),
    },
    Change {
        number: 12,
        name: "variables_by_id",
        needs: 1,
        index: Some("ft_variable_id"),
        sql: include_str!("sql/0012_variables_by_id.sql"),
    },
];

/// The number of the last change this program knows.
pub(super) fn last_known() -> i32 {
    CHANGES.last().map_or(0, |change| change.number)
}

impl Change {
    /// SHA-256 of the text with its line ends and trailing blanks made alike, so that a checkout can't change it.
    pub(super) fn checksum(&self) -> Vec<u8> {
        checksum(self.sql)
    }
}

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

    #[test]
    fn changes_are_numbered_from_1_without_holes() {
        let numbers: Vec<i32> = CHANGES.iter().map(|change| change.number).collect();
        assert_eq!(numbers, (1..=last_known()).collect::<Vec<_>>());
        assert!(CHANGES.iter().all(|change| change.needs <= change.number));
    }

    #[test]
    fn line_ends_do_not_change_a_checksum_and_a_letter_does() {
        assert_eq!(checksum("a\nb\n"), checksum("a \r\nb"));
        assert_ne!(checksum("a\nb\n"), checksum("a\nc\n"));
    }

    #[test]
    fn what_runs_outside_of_a_transaction_is_one_statement_that_makes_the_named_index() {
        for change in CHANGES {
            let Some(name) = change.index else {
                assert!(!change.sql.contains("CONCURRENTLY"), "{}", change.name);
                continue;
            };
            let statement: String = change.sql.lines().filter(|line| !line.starts_with("--")).collect();
            assert!(statement.starts_with(&format!("CREATE INDEX CONCURRENTLY {name} ON ")), "{statement}");
            assert_eq!((statement.matches(';').count(), statement.ends_with(';')), (1, true), "{statement}");
        }
    }
}
