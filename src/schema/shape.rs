//! The tables as they are beside what the changes made them.

use std::sync::LazyLock;

use tokio_postgres::{Client, Row};

use super::{SchemaError, failed};
use crate::postgres::look::{Index, Indexes, WANTED_INDEXES, WantedIndex, question};

const COLUMNS: &str = include_str!("columns.txt");

/// Something about the tables that is not as the changes made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The table, with the column or the columns of the index that it is about.
    pub object: String,
    /// What was found and what is wanted.
    pub said: String,
    /// A statement that mends it, or what else to do.
    pub mend: String,
    /// Whether batches would be refused or stored wrongly. If not, questions are slow.
    pub breaks: bool,
}

/// What is not as the changes of this program made it, in the order of tables and columns. What is there besides is only a
/// difference if rows would be refused for it.
///
/// Reads the catalogue, for which nobody needs a right and waits for no lock: so defaults and conditions of indexes are looked
/// for, not at. Only means something where all changes are applied.
pub async fn differences(client: &Client) -> Result<Vec<Difference>, SchemaError> {
    let wanted: Vec<Column<'static>> = wanted().map(|(_, column)| column).collect();
    let wanted_indexes: Vec<&WantedIndex> = WANTED_INDEXES.iter().collect();
    compare(client, &wanted, &wanted_indexes).await
}

/// As [`differences`], for some of the columns and indexes.
pub(super) async fn compare(
    client: &Client,
    wanted: &[Column<'static>],
    wanted_indexes: &[&WantedIndex],
) -> Result<Vec<Difference>, SchemaError> {
    let mut tables: Vec<&str> = wanted.iter().map(|column| column.table).collect();
    tables.dedup();
    tables.sort_unstable();
    tables.dedup();
    let rows = client.query(FOUND, &[&tables]).await.map_err(failed("reading the columns of the tables"))?;
    let found: Vec<Found> = rows.iter().map(Found::of).collect();
    let rows = client
        .query(INDEXES.as_str(), &[&tables])
        .await
        .map_err(failed("reading the indexes of the tables"))?;
    let indexes = Indexes::of(&rows);
    let (gone, tables): (Vec<&str>, Vec<&str>) =
        tables.into_iter().partition(|table| found.iter().all(|column| column.table != *table));
    let mut differences: Vec<Difference> = gone.into_iter().map(no_table).collect();
    for table in tables {
        let of_table: Vec<&Column<'_>> = wanted.iter().filter(|column| column.table == table).collect();
        differences.extend(of_table.iter().filter_map(|column| missing_or_altered(column, &found)));
        let there = found.iter().filter(|column| column.table == table);
        differences.extend(there.filter_map(|column| foreign(column, &of_table)));
        let of_table: Vec<&WantedIndex> =
            wanted_indexes.iter().copied().filter(|index| index.table == table).collect();
        differences.extend(of_table.iter().filter_map(|index| no_index(index, &indexes)));
        let there = indexes.there.iter().filter(|index| index.table == table);
        differences.extend(there.filter_map(|index| too_narrow(index, &of_table)));
    }
    Ok(differences)
}

/// A column as a change makes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Column<'a> {
    pub(super) table: &'a str,
    pub(super) name: &'a str,
    kind: &'a str,
    not_null: bool,
    default: Option<&'a str>,
}

/// All columns, each with the number of the change that makes it.
pub(super) fn wanted() -> impl Iterator<Item = (i32, Column<'static>)> {
    COLUMNS.lines().filter_map(|line| {
        let (number, line) = line.split_once(' ')?;
        let (name, definition) = line.split_once(' ')?;
        Some((number.parse().ok()?, Column::of(name, definition)?))
    })
}

impl<'a> Column<'a> {
    fn of(name: &'a str, definition: &'a str) -> Option<Self> {
        let (table, name) = name.split_once('.')?;
        let (rest, default) = match definition.split_once(" default ") {
            Some((rest, default)) => (rest, Some(default)),
            None => (definition, None),
        };
        let kind = rest.strip_suffix(" not null");
        Some(Self { table, name, kind: kind.unwrap_or(rest), not_null: kind.is_some(), default })
    }

    fn given(&self) -> Given {
        match self.default {
            None => Given::Nothing,
            Some(IDENTITY) => Given::Identity,
            Some(_) => Given::Default,
        }
    }

    /// What stands behind its name where it is made.
    fn definition(&self) -> String {
        let null = if self.not_null { " NOT NULL" } else { "" };
        let default = self.default.map_or_else(String::new, |default| match default {
            IDENTITY => " GENERATED ALWAYS AS IDENTITY".to_owned(),
            value => format!(" DEFAULT {value}"),
        });
        format!("{}{null}{default}", self.kind)
    }
}

/// What stands for a default where the column numbers its rows itself.
const IDENTITY: &str = "identity";

/// A column that is there.
#[derive(Debug)]
struct Found {
    table: String,
    name: String,
    kind: String,
    not_null: bool,
    default: Given,
}

/// What a column gets that a row says nothing of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Given {
    Nothing,
    Default,
    Identity,
}

/// What the default is is not asked: from Postgres 18 on, an expression is shown only once whoever has locked the table is done.
const FOUND: &str = "SELECT c.relname::text, a.attname::text, format_type(a.atttypid, a.atttypmod), a.attnotnull,
        a.atthasdef, a.attidentity <> ''
    FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
    WHERE a.attrelid IN (SELECT to_regclass(t) FROM unnest($1::text[]) t) AND a.attnum > 0 AND NOT a.attisdropped
    ORDER BY c.relname, a.attnum";

impl Found {
    fn of(row: &Row) -> Self {
        Self {
            table: row.get(0),
            name: row.get(1),
            kind: row.get(2),
            not_null: row.get(3),
            default: match (row.get(4), row.get(5)) {
                (_, true) => Given::Identity,
                (true, false) => Given::Default,
                (false, false) => Given::Nothing,
            },
        }
    }
}

/// As [`FOUND`], so without the condition, of which the definition speaks too.
static INDEXES: LazyLock<String> = LazyLock::new(|| {
    let columns = "(SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum) FROM pg_attribute a
            WHERE a.attrelid = x.indexrelid AND a.attnum <= x.indnkeyatts)";
    question(columns, "CASE WHEN x.indpred IS NOT NULL THEN '' END")
});

fn no_table(table: &str) -> Difference {
    Difference {
        object: table.to_owned(),
        said: format!("there is no table {table}, or not on this user's search_path"),
        mend: "restore it; `flowtrail schema export --create` prints how it is made".to_owned(),
        breaks: true,
    }
}

fn missing_or_altered(wanted: &Column<'_>, found: &[Found]) -> Option<Difference> {
    let Column { table, name, kind, not_null, default } = *wanted;
    let object = format!("{table}.{name}");
    let Some(column) = found.iter().find(|column| column.table == table && column.name == name) else {
        let said = format!("{table} has no column {name} {}", wanted.definition());
        let mend = format!("ALTER TABLE {table} ADD COLUMN {name} {}", wanted.definition());
        return Some(Difference { object, said, mend, breaks: true });
    };
    let (mut is, mut mend) = (Vec::new(), Vec::new());
    if column.kind != kind {
        is.push(format!("{} and not {kind}", column.kind));
        mend.push(format!("TYPE {kind} USING {}", converted(name, &column.kind, kind)));
    }
    if column.not_null != not_null {
        is.push(if not_null { "null allowed" } else { "not null" }.to_owned());
        mend.push(if not_null { "SET NOT NULL" } else { "DROP NOT NULL" }.to_owned());
    }
    // A default of somebody else does no harm where flowtrail gives a value.
    if default.is_some() && column.default != wanted.given() {
        let (wanted, statement) = match default {
            Some(IDENTITY) => {
                ("a number of its own".to_owned(), "ADD GENERATED ALWAYS AS IDENTITY".to_owned())
            }
            other => {
                let value = other.unwrap_or_default();
                (format!("default {value}"), format!("SET DEFAULT {value}"))
            }
        };
        is.push(format!("without {wanted}"));
        mend.push(statement);
    }
    if is.is_empty() {
        return None;
    }
    let actions: Vec<String> = mend.iter().map(|action| format!("ALTER COLUMN {name} {action}")).collect();
    Some(Difference {
        said: format!("{object} is {}", is.join(", ")),
        mend: format!("ALTER TABLE {table} {}", actions.join(", ")),
        object,
        breaks: true,
    })
}

/// How a value of one type becomes one of another.
fn converted(name: &str, from: &str, to: &str) -> String {
    let is_text = from == "text" || from.starts_with("character") || from.starts_with("json");
    match to {
        "bytea" if is_text => format!("convert_to({name}::text, 'UTF8')"),
        "text" if from == "bytea" => format!("convert_from({name}, 'UTF8')"),
        "timestamp without time zone" if from.ends_with("with time zone") => {
            format!("{name} AT TIME ZONE 'UTC'")
        }
        _ => format!("{name}::{to}"),
    }
}

/// A column of somebody else that refuses rows which know nothing of it.
fn foreign(found: &Found, wanted: &[&Column<'_>]) -> Option<Difference> {
    let Found { table, name, .. } = found;
    if !found.not_null || found.default != Given::Nothing || wanted.iter().any(|column| column.name == name) {
        return None;
    }
    Some(Difference {
        object: format!("{table}.{name}"),
        said: format!(
            "{table}.{name} is not flowtrail's, and not null without a default: every row is refused"
        ),
        mend: format!("ALTER TABLE {table} ALTER COLUMN {name} DROP NOT NULL"),
        breaks: true,
    })
}

fn no_index(wanted: &WantedIndex, found: &Indexes) -> Option<Difference> {
    let mut fitting = found.there.iter().filter(|index| wanted.fits(index)).peekable();
    let broken = fitting.peek().map(|index| index.name.as_str());
    if fitting.any(|index| index.valid) {
        return None;
    }
    let object = format!("{} ({})", wanted.table, wanted.columns);
    let said = match broken {
        Some(name) => format!("index {name} on {object} is not valid"),
        None => format!("{} has no {}", wanted.table, wanted.described()),
    };
    Some(Difference { object, said, mend: found.mending(wanted).join("; "), breaks: wanted.unique })
}

/// An index of somebody else that allows less rows than flowtrail writes.
fn too_narrow(found: &Index, wanted: &[&WantedIndex]) -> Option<Difference> {
    let holds =
        |columns: &str| columns.split(", ").all(|one| found.columns.split(", ").any(|other| one == other));
    let keys = || wanted.iter().filter(|index| index.unique);
    if !found.unique || keys().any(|key| key.fits(found) || key.rows.is_none() && holds(key.columns)) {
        return None;
    }
    let (name, object) = (&found.name, format!("{} ({})", found.table, found.columns));
    Some(Difference {
        said: format!(
            "{name} on {object} is not flowtrail's, and takes each of these once only: rows are refused"
        ),
        mend: format!("drop the constraint or index {name}"),
        object,
        breaks: true,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_the_columns_is_understood() {
        let lines = COLUMNS.lines().filter(|line| !line.starts_with('#'));
        assert_eq!(wanted().count(), lines.count());
        let phase = wanted().find(|(_, column)| (column.table, column.name) == ("steps", "phase")).unwrap();
        let kind = "smallint";
        assert_eq!(
            phase,
            (2, Column { table: "steps", name: "phase", kind, not_null: false, default: Some("2") })
        );
        let at = wanted().find(|(_, column)| (column.table, column.name) == ("ft_audit", "at")).unwrap().1;
        assert_eq!(at.definition(), "timestamp with time zone NOT NULL DEFAULT now()");
    }

    fn column(kind: &str, not_null: bool, default: Given) -> Found {
        Found { table: "t".to_owned(), name: "c".to_owned(), kind: kind.to_owned(), not_null, default }
    }

    /// What is said to mend a column that should be of the first definition.
    fn mend(wanted: &str, found: &[Found]) -> Option<String> {
        missing_or_altered(&Column::of("t.c", wanted).unwrap(), found).map(|difference| difference.mend)
    }

    #[test]
    fn a_column_that_differs_comes_with_the_statement_that_mends_it() {
        assert_eq!(mend("text", &[column("text", false, Given::Default)]), None);
        let said = |wanted, found| mend(wanted, &[found]).unwrap();
        assert_eq!(mend("text not null", &[]).unwrap(), "ALTER TABLE t ADD COLUMN c text NOT NULL");
        assert_eq!(
            said("bytea", column("text", true, Given::Nothing)),
            "ALTER TABLE t ALTER COLUMN c TYPE bytea USING convert_to(c::text, 'UTF8'), ALTER COLUMN c DROP NOT NULL"
        );
        assert_eq!(
            said("timestamp without time zone", column("timestamp with time zone", false, Given::Nothing)),
            "ALTER TABLE t ALTER COLUMN c TYPE timestamp without time zone USING c AT TIME ZONE 'UTC'"
        );
        assert_eq!(
            said("smallint default 2", column("smallint", false, Given::Nothing)),
            "ALTER TABLE t ALTER COLUMN c SET DEFAULT 2"
        );
    }
}
