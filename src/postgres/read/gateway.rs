//! What the gateway asks before it writes.

use tokio_postgres::{Error, Transaction, types::Type};

/// More apps than this are not asked for: there are as many rows as users times apps.
const MOST_APPS: i64 = 100_000;

/// The greatest execution of any step of a flow, shown or superseded; nothing if no step of it is stored.
pub async fn greatest_execution(moment: &Transaction<'_>, flow: &str) -> Result<Option<i64>, Error> {
    let sql = "SELECT greatest((SELECT max(execution) FROM steps WHERE flowinstanceid = $1), \
               (SELECT max(execution) FROM ft_superseded_step WHERE flowinstanceid = $1))";
    moment.query_typed_one(sql, &[(&flow, Type::TEXT)]).await?.try_get(0)
}

/// The user of a flow instance; nothing if it is not stored, or says none.
pub async fn user_of(moment: &Transaction<'_>, flow: &str) -> Result<Option<String>, Error> {
    let sql = "SELECT userid FROM flowstate WHERE flowinstanceid = $1";
    let row = moment.query_typed_opt(sql, &[(&flow, Type::TEXT)]).await?;
    Ok(row.map(|row| row.try_get(0)).transpose()?.flatten())
}

/// User and app of those whose history is not to be kept.
pub async fn switched_off(moment: &Transaction<'_>) -> Result<Vec<(String, String)>, Error> {
    let sql = "SELECT userid, appname FROM appstate WHERE NOT persistenceenabled LIMIT $1";
    let rows = moment.query_typed(sql, &[(&MOST_APPS, Type::INT8)]).await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}
