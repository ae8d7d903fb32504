//! The servers that all tests share: started by the first test that needs them, ended with the process.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use flowtrail::{postgres::Session, schema};
use tokio_postgres::{Client, NoTls};

pub async fn database_url() -> String {
    std::env::var("FLOWTRAIL_TEST_DATABASE_URL").unwrap()
}

/// A database of its own with all tables, empty.
pub async fn database() -> String {
    let url = empty_database().await;
    schema::update(&mut connect(&url).await, Duration::from_secs(30)).await.unwrap();
    url
}

/// A database of its own without tables.
pub async fn empty_database() -> String {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let base = database_url().await;
    let name = format!("it_{}_{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
    connect(&base).await.batch_execute(&format!("CREATE DATABASE {name}")).await.unwrap();
    let (server, _) = base.rsplit_once('/').unwrap();
    format!("{server}/{name}")
}

/// A plain connection.
pub async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// A session as a lane has it.
pub async fn session(url: &str) -> Session {
    Session::prepare(connect(url).await).await.unwrap()
}
