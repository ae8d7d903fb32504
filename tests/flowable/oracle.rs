//! An engine's own history rows beside the views.

use std::{collections::BTreeMap, fs, path::Path};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value};
use tokio_postgres::Client;

/// How far the engine's clock may go between two looks at it.
const SLACK: SignedDuration = SignedDuration::from_secs(1);

/// Rows by their ids.
type Rows = BTreeMap<String, Map<String, Value>>;

/// A table of the engine's.
struct Table {
    name: &'static str,
    /// Columns that are not kept: null in the view.
    not_kept: &'static [&'static str],
}

const TABLES: [Table; 4] = [
    Table { name: "act_hi_procinst", not_kept: &["rev_"] },
    Table { name: "act_hi_actinst", not_kept: &["rev_"] },
    Table { name: "act_hi_taskinst", not_kept: &["rev_"] },
    Table { name: "act_hi_varinst", not_kept: &["rev_", "bytearray_id_"] },
];

/// Compares all rows that the engine has written to a folder with the views, and gives how many there are in each. Fails
/// with every difference.
pub async fn compare(client: &Client, folder: &Path) -> Vec<usize> {
    let mut differences = Vec::new();
    let mut counts = Vec::new();
    for table in &TABLES {
        let wanted = wanted(table.name, folder);
        let found = found(table.name, client).await;
        for (id, row) in &wanted {
            match found.get(id) {
                None => differences.push(format!("{} has no {row:?}", table.name)),
                Some(found) => differences.extend(different(table, row, found)),
            }
        }
        let extra = found.iter().filter(|(id, _)| !wanted.contains_key(*id));
        differences.extend(extra.map(|(_, row)| format!("{} should not have {row:?}", table.name)));
        counts.push(wanted.len());
    }
    assert!(differences.is_empty(), "{} differences:\n{}", differences.len(), differences.join("\n"));
    counts
}

/// Every row of every view, whole.
pub async fn everything(client: &Client) -> Vec<Rows> {
    let mut all = Vec::new();
    for table in &TABLES {
        all.push(found(table.name, client).await);
    }
    all
}

fn wanted(table: &str, folder: &Path) -> Rows {
    let text = fs::read_to_string(folder.join(format!("{table}.ndjson"))).unwrap();
    let rows = text.lines().map(|line| serde_json::from_str::<Map<String, Value>>(line).unwrap());
    // They are recorded only where somebody asks for them.
    let rows = rows.filter(|row| row.get("act_type_") != Some(&Value::from("sequenceFlow")));
    rows.map(|row| (row["id_"].as_str().unwrap().to_owned(), row)).collect()
}

async fn found(table: &str, client: &Client) -> Rows {
    let rows = client.query(&format!("SELECT id_, to_jsonb(v) FROM flowable.{table} v"), &[]).await.unwrap();
    let rows = rows.into_iter().map(|row| (row.get(0), row.get::<_, Value>(1)));
    rows.map(|(id, row)| (id, row.as_object().unwrap().clone())).collect()
}

fn different(table: &Table, wanted: &Map<String, Value>, found: &Map<String, Value>) -> Vec<String> {
    let compared = wanted.iter().filter(|(column, _)| !table.not_kept.contains(&column.as_str()));
    // The last change of a variable is kept, whole.
    let is_changed = table.name == "act_hi_varinst" && wanted["create_time_"] != wanted["last_updated_time_"];
    let compared = compared.filter(|(column, _)| !(is_changed && *column == "create_time_"));
    let differ = compared.filter(|(column, value)| {
        // Of a new task the engine asks its clock once more, after the jar has.
        let is_near = table.name == "act_hi_taskinst" && *column == "last_updated_time_";
        found.get(*column).is_none_or(|found| !is_same(value, found, is_near))
    });
    let told = differ.map(|(column, value)| {
        let found = found.get(column).unwrap_or(&Value::Null);
        format!("{} {} {column} is {found} and not {value}", table.name, wanted["id_"])
    });
    told.collect()
}

/// Whether they are the same value, times to within what the engine's clock may have gone where that is enough.
fn is_same(wanted: &Value, found: &Value, is_near: bool) -> bool {
    match (time(wanted), time(found)) {
        (Some(wanted), Some(found)) => {
            wanted == found || is_near && wanted.duration_since(found).abs() < SLACK
        }
        // A number is the same with and without a fraction of zero.
        _ if wanted.is_number() => wanted.as_f64() == found.as_f64() && wanted.as_i64() == found.as_i64(),
        _ => wanted == found,
    }
}

/// A time, with its zone or without: it is UTC.
fn time(value: &Value) -> Option<Timestamp> {
    let text = value.as_str()?;
    format!("{}Z", text.trim_end_matches('Z')).parse().ok()
}
