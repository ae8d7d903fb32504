//! The oracle, which is Python and shares nothing with `src/`: what the tables have to hold of a topic, and how what they
//! hold differs from that.

use std::{collections::BTreeMap, path::Path, process::Stdio};

use anyhow::{Context as _, ensure};
use futures_util::TryStreamExt as _;
use serde::Deserialize;
use tokio::{
    fs::{self, File},
    io::{AsyncWriteExt as _, BufWriter},
    process::Command,
};
use tokio_postgres::Client;

use crate::topic::Topic;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/faults/oracle");
/// What flowtrail keeps of its own work, which no topic says anything about. Offsets are looked at by themselves.
const OWN: [&str; 4] = ["ft_audit", "ft_offset", "ft_retention_cutoff", "ft_schema_change"];

/// What a topic is made of.
#[derive(Debug, Deserialize)]
pub struct Contents {
    /// Rows that each table has to have.
    pub rows: BTreeMap<String, u64>,
    /// Dead letters by reason.
    pub dead_letters: BTreeMap<String, u64>,
}

/// How what is stored differs from what has to be.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Difference {
    /// Rows that are there.
    pub rows: u64,
    pub lost: u64,
    pub doubled: u64,
    pub wrong: u64,
    /// The first few that differ.
    pub examples: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Table {
    columns: Vec<String>,
    query: String,
}

/// Has the oracle read a topic's dump.
pub async fn expect(topic: &Topic) -> anyhow::Result<Contents> {
    let (limit, records) = (topic.max_payload.to_string(), topic.records());
    let arguments = [topic.dump.as_os_str(), topic.expected.as_os_str(), topic.name.as_ref(), limit.as_ref()];
    let contents: Contents = python("expected.py", arguments).await?;
    ensure!(contents.rows.values().sum::<u64>() > 0, "the oracle expects nothing of {records} records");
    Ok(contents)
}

/// Compares every row of every table of a database with what the oracle expects.
pub async fn compare(client: &Client, topic: &Topic, folder: &Path) -> anyhow::Result<Difference> {
    let tables: BTreeMap<String, Table> = python("tables.py", [""; 0]).await?;
    knows_every_column(client, &tables).await?;
    fs::create_dir_all(folder).await?;
    for (name, table) in &tables {
        let mut file = BufWriter::new(File::create(folder.join(name)).await?);
        let rows = client.copy_out(&format!("COPY ({}) TO STDOUT", table.query)).await?;
        let mut rows = std::pin::pin!(rows);
        while let Some(chunk) = rows.try_next().await? {
            file.write_all(&chunk).await?;
        }
        file.flush().await?;
    }
    let difference = python("compare.py", [topic.expected.as_os_str(), folder.as_os_str()]).await?;
    fs::remove_dir_all(folder).await?;
    Ok(difference)
}

/// A table or column that is added to the schema has to be added to the oracle, too.
async fn knows_every_column(client: &Client, tables: &BTreeMap<String, Table>) -> anyhow::Result<()> {
    let sql = "SELECT table_name::text, column_name::text FROM information_schema.columns JOIN information_schema.tables
        USING (table_schema, table_name) WHERE table_schema = 'public' AND table_type = 'BASE TABLE'";
    // Numbers, clocks and sentences of our own, which are no part of the law.
    let own = ["id", "detail", "consumergroup", "keptat", "foundat"];
    let rows = client.query(sql, &[]).await?;
    let mut found = 0;
    for row in &rows {
        let (table, column): (String, String) = (row.get(0), row.get(1));
        if OWN.contains(&table.as_str()) {
            continue;
        }
        let known = &tables.get(&table).with_context(|| format!("the oracle has no table {table}"))?.columns;
        let is_own = ["ft_dead_letter", "ft_gap"].contains(&table.as_str()) && own.contains(&column.as_str());
        ensure!(is_own || known.contains(&column), "the oracle has no column {table}.{column}");
        found += usize::from(known.contains(&column));
    }
    let known: usize = tables.values().map(|table| table.columns.len()).sum();
    ensure!(found == known, "the oracle has {known} columns, the database {found} of them");
    Ok(())
}

/// Runs a script of the oracle and reads what it prints.
async fn python<T: serde::de::DeserializeOwned, A: AsRef<std::ffi::OsStr>>(
    script: &str,
    arguments: impl IntoIterator<Item = A>,
) -> anyhow::Result<T> {
    let mut command = Command::new("python3");
    command.arg("-B").arg(Path::new(FOLDER).join(script)).args(arguments);
    let output = command.stderr(Stdio::inherit()).output().await.context("python3 can't be run")?;
    ensure!(output.status.success(), "{script} ended with {}", output.status);
    serde_json::from_slice(&output.stdout).with_context(|| format!("what {script} prints"))
}
