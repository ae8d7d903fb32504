//! The databases of a run: fresh ones, copies of filled ones, and connections to them.

use anyhow::Context as _;
use flowtrail::schema;
use tokio_postgres::{Client, NoTls};

use crate::SCHEMA_PATIENCE;

/// The server, and the databases made there.
pub(crate) struct Databases {
    pub(crate) url: String,
    pub(crate) partitions: usize,
}

impl Databases {
    /// Makes a database with all tables, empty, and has everything on disk that was written before.
    pub(crate) async fn create(&self, name: &str) -> anyhow::Result<String> {
        let url = self.create_empty(name).await?;
        let mut client = connect(&url).await?;
        schema::update(&mut client, SCHEMA_PATIENCE, self.partitions).await?;
        client.batch_execute("CHECKPOINT").await?;
        Ok(url)
    }

    /// Makes a database without tables.
    pub(crate) async fn create_empty(&self, name: &str) -> anyhow::Result<String> {
        connect(&self.url).await?.batch_execute(&format!("CREATE DATABASE {name}")).await?;
        self.url_of(name)
    }

    /// Copies a database that nobody is connected to, file by file.
    pub(crate) async fn copy_of(&self, template: &str, name: &str) -> anyhow::Result<String> {
        let admin = connect(&self.url).await?;
        // Postgres 14 copies so without being told.
        let has_others = "SELECT current_setting('server_version_num')::int >= 150000";
        let strategy = if admin.query_one(has_others, &[]).await?.get(0) { "STRATEGY file_copy" } else { "" };
        admin.batch_execute(&format!("CREATE DATABASE {name} TEMPLATE {template} {strategy}")).await?;
        admin.batch_execute("CHECKPOINT").await?;
        self.url_of(name)
    }

    pub(crate) fn url_of(&self, name: &str) -> anyhow::Result<String> {
        let (server, _) = self.url.rsplit_once('/').context("the stack's URL ends with a database")?;
        Ok(format!("{server}/{name}"))
    }

    pub(crate) async fn remove(&self, name: &str) -> anyhow::Result<()> {
        let admin = connect(&self.url).await?;
        Ok(admin.batch_execute(&format!("DROP DATABASE {name} WITH (FORCE)")).await?)
    }
}

/// A plain connection.
pub(crate) async fn connect(url: &str) -> anyhow::Result<Client> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}
