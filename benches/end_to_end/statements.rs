//! Where Postgres spends its time on a drain, statement by statement: `pg_stat_statements` of the database.

use std::fmt::Write as _;

use tokio_postgres::Client;

/// Settings of a server that counts statements.
pub(crate) const SETTINGS: [(&str, &str); 2] =
    [("shared_preload_libraries", "pg_stat_statements"), ("pg_stat_statements.track_utility", "on")];

/// As much of a statement as is shown.
const WIDTH: usize = 110;

/// Begins to count. The extension comes with the server's own package.
pub(crate) async fn begin(client: &Client) -> anyhow::Result<()> {
    client.batch_execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements").await?;
    client.query("SELECT pg_stat_statements_reset()", &[]).await?;
    Ok(())
}

/// The statements that took longest, as a table.
pub(crate) async fn table(client: &Client) -> anyhow::Result<String> {
    const SQL: &str = "SELECT total_exec_time, calls, rows, query, sum(total_exec_time) OVER () \
        FROM pg_stat_statements WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database()) \
            AND query NOT LIKE '%clock_timestamp()%' ORDER BY 1 DESC LIMIT 32";
    let mut text = "       ms    calls       rows  µs/call  statement\n".to_owned();
    for row in client.query(SQL, &[]).await? {
        let (ms, calls, rows): (f64, i64, i64) = (row.get(0), row.get(1), row.get(2));
        let query: String = row.get::<_, &str>(3).split_whitespace().collect::<Vec<_>>().join(" ");
        let query: String = query.chars().take(WIDTH).collect();
        let each = ms * 1_000.0 / f64::from(i32::try_from(calls).unwrap_or(i32::MAX));
        writeln!(text, "{ms:>9.1} {calls:>8} {rows:>10} {each:>8.0}  {query}")?;
    }
    Ok(text)
}
