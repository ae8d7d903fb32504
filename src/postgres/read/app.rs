//! Apps that were switched on or off.

use jiff::Timestamp;
use serde::Serialize;
use tokio_postgres::{Client, Error};

use super::{text, time};

/// Whether an app's history is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AppState {
    /// User who runs it; may be empty.
    pub user: String,
    /// App.
    pub app: String,
    /// Version of the app that was switched last.
    pub version: Option<String>,
    /// Whether its history is kept; nothing where another writer did not say.
    pub kept: Option<bool>,
    /// When it was switched.
    pub since: Option<Timestamp>,
}

/// Those that were ever switched, by app and user; ten thousand at most.
pub async fn app_states(client: &Client) -> Result<Vec<AppState>, Error> {
    let sql = "SELECT userid, appname, appversion, persistenceenabled, at FROM appstate \
               ORDER BY appname, userid LIMIT 10000";
    let rows = client.query_typed(sql, &[]).await?;
    let app = |row| {
        Ok(AppState {
            user: text(row, "userid")?.unwrap_or_default(),
            app: text(row, "appname")?.unwrap_or_default(),
            version: text(row, "appversion")?,
            kept: row.try_get("persistenceenabled")?,
            since: time(row, "at")?,
        })
    };
    rows.iter().map(app).collect()
}
