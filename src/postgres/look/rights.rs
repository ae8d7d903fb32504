//! Rights that a collector needs, and those that this user lacks.

use tokio_postgres::types::Type;

use super::{Answer, Look};

/// Which rights a collector uses on which table. People's commands use more: `flowtrail deadletter` reads and deletes
/// dead letters and writes `ft_audit`, `flowtrail retention` deletes from most tables and writes its cut-offs, `flowtrail schema update` owns the tables.
pub const NEEDED_RIGHTS: [(&str, &[&str]); 14] = [
    ("steps", &["SELECT", "INSERT", "UPDATE", "DELETE"]),
    ("flowstate", &["SELECT", "INSERT", "UPDATE", "DELETE"]),
    ("appstate", &["SELECT", "INSERT", "UPDATE"]),
    ("ft_superseded_step", &["SELECT", "INSERT", "UPDATE", "DELETE"]),
    ("ft_run", &["SELECT", "INSERT", "UPDATE", "DELETE"]),
    ("ft_rewind", &["SELECT", "INSERT", "DELETE"]),
    ("ft_tombstone", &["SELECT", "INSERT", "UPDATE"]),
    ("ft_payload_mark", &["SELECT", "DELETE"]),
    ("ft_snapshot", &["SELECT", "INSERT", "DELETE"]),
    ("ft_variable", &["SELECT", "INSERT", "UPDATE", "DELETE"]),
    ("ft_offset", &["SELECT", "INSERT", "UPDATE"]),
    ("ft_gap", &["SELECT", "INSERT"]),
    ("ft_schema_change", &["SELECT"]),
    ("ft_dead_letter", &["SELECT", "INSERT", "DELETE"]),
];

/// Rights that are missing on a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// The table.
    pub table: String,
    /// The rights; none if there is no such table, or none that this user sees.
    pub rights: Vec<String>,
}

impl Look {
    /// Tables on which this user lacks rights.
    pub(super) async fn missing_rights(&self) -> Answer<Vec<Missing>> {
        let pairs =
            NEEDED_RIGHTS.iter().flat_map(|(table, rights)| rights.iter().map(move |right| (*table, *right)));
        let (tables, rights): (Vec<&str>, Vec<&str>) = pairs.unzip();
        let sql = "SELECT t, r, to_regclass(t) IS NULL FROM unnest($1::text[], $2::text[]) u(t, r)
            WHERE has_table_privilege(to_regclass(t), r) IS NOT TRUE";
        let rows = self.ask(sql, &[(&tables, Type::TEXT_ARRAY), (&rights, Type::TEXT_ARRAY)]).await?;
        let mut missing: Vec<Missing> = Vec::new();
        for row in rows {
            let (table, right, is_gone): (String, String, bool) = (row.get(0), row.get(1), row.get(2));
            if missing.last().is_none_or(|last| last.table != table) {
                missing.push(Missing { table, rights: Vec::new() });
            }
            if let Some(last) = missing.last_mut().filter(|_| !is_gone) {
                last.rights.push(right);
            }
        }
        Ok(missing)
    }
}
