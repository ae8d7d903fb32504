//! Emptied tables that are to be filled: the one index that may wait until they are.

use tokio_postgres::{Client, Error};

/// Whether the history holds any row.
pub async fn holds_rows(client: &Client) -> Result<bool, Error> {
    let sql = "SELECT EXISTS (SELECT FROM steps) OR EXISTS (SELECT FROM flowstate) OR EXISTS (SELECT FROM ft_variable)";
    client.query_one(sql, &[]).await?.try_get(0)
}

/// Takes away the index by which flows are listed, newest first. Keys, and what batches look up, stay: without them a
/// collector would read whole tables. Locks nobody out, and takes a role that owns the table.
pub async fn put_off_list_index(client: &Client) -> Result<(), Error> {
    client.batch_execute("DROP INDEX CONCURRENTLY IF EXISTS ft_flowstate_start").await
}

/// Makes that index again, beside whoever writes. What is left of an attempt that was broken off goes first.
pub async fn make_list_index(client: &Client) -> Result<(), Error> {
    let sql =
        "SELECT indisvalid AND indisready FROM pg_index WHERE indexrelid = to_regclass('ft_flowstate_start')";
    let found = client.query_opt(sql, &[]).await?;
    match found.map(|row| row.try_get::<_, bool>(0)).transpose()? {
        Some(true) => return Ok(()),
        Some(false) => put_off_list_index(client).await?,
        None => {}
    }
    let sql = "CREATE INDEX CONCURRENTLY ft_flowstate_start ON flowstate (starttime, flowinstanceid)";
    client.batch_execute(sql).await
}
