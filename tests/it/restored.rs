//! A database that is put back to what it was in an older backup, while Kafka's group offset stays where it was: the
//! collector catches up by itself, for it goes by the offsets that came back with the rows.

use flowtrail::config::Config;
use secrecy::ExposeSecret as _;
use tokio_postgres::Client;

use crate::{
    collecting::{collect_all, stored, until_stored},
    program::Process,
    proxy::{Mode, through_a_proxy},
    rows,
    servers::{self, until},
    topics,
    traffic::{assert_stored, send, traffic},
};

/// A whole copy of a database. Nobody may be connected while it is taken or put back.
struct Backup {
    /// The database's name; the copy's has `_backup` behind it.
    name: String,
    /// A connection to another database of the server.
    beside: Client,
}

impl Backup {
    async fn take(config: &Config) -> Self {
        let url = config.postgres.url.as_ref().unwrap().expose_secret();
        let (server, name) = url.rsplit_once('/').unwrap();
        let beside = servers::connect(&format!("{server}/postgres")).await;
        let backup = Self { name: name.to_owned(), beside };
        backup.disconnect_everybody().await;
        let copy = format!("CREATE DATABASE {name}_backup TEMPLATE {name}");
        backup.beside.batch_execute(&copy).await.unwrap();
        backup
    }

    /// Puts the copy in the place of the database, as if nothing had been stored since.
    async fn restore(&self) {
        self.disconnect_everybody().await;
        let name = &self.name;
        let swap = format!(
            "BEGIN; ALTER DATABASE {name} RENAME TO {name}_lost; ALTER DATABASE {name}_backup RENAME TO {name}; COMMIT"
        );
        self.beside.batch_execute(&swap).await.unwrap();
    }

    async fn disconnect_everybody(&self) {
        let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = $1";
        until("nobody is connected", async || {
            match self.beside.query_one(end, &[&self.name]).await.unwrap().get::<_, i64>(0) {
                0 => Ok(()),
                sessions => Err(format!("{sessions} sessions")),
            }
        })
        .await;
    }
}

async fn until_group_offset_is_at_the_end(config: &Config) {
    let ends = topics::ends(config).await;
    until("the group offset is at the end", async || {
        let group = topics::group_offsets(config).await;
        if group == ends { Ok(()) } else { Err(format!("{group:?} of {ends:?}")) }
    })
    .await;
}

/// Of every partition the database lacks records that the group offset calls stored.
async fn assert_group_offset_is_ahead(config: &Config, client: &Client) {
    let (group, stored) = (topics::group_offsets(config).await, stored(client, config).await);
    assert_eq!(group.len(), stored.len());
    for (ahead, behind) in group.iter().zip(&stored) {
        assert!(ahead.0 == behind.0 && ahead.1 > behind.1, "group {group:?}, stored {stored:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_restored_from_an_older_backup_catches_up_though_the_group_offset_is_far_ahead() {
    let config = servers::config(4).await;
    let records = traffic(41, 6_000);
    let (older, newer) = records.split_at(2_000);
    send(&config, older, 0).await.unwrap();
    collect_all(&config).await;
    let backup = Backup::take(&config).await;
    send(&config, newer, 0).await.unwrap();
    collect_all(&config).await;
    until_group_offset_is_at_the_end(&config).await;

    backup.restore().await;
    let client = servers::connect_to(&config).await;
    assert_group_offset_is_ahead(&config, &client).await;
    collect_all(&config).await;
    until_group_offset_is_at_the_end(&config).await;
    assert_stored(&config, &records).await;
    assert_eq!(rows::count(&client, "ft_dead_letter").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_restored_under_a_running_collector_is_noticed_and_catches_up() {
    let config = servers::config(4).await;
    let records = traffic(42, 6_000);
    let (older, rest) = records.split_at(2_000);
    let (newer, last) = rest.split_at(3_000);
    let (proxied, proxy) = through_a_proxy(&config).await;
    let mut process = Process::collect(&proxied).await;
    send(&config, older, 0).await.unwrap();
    until_stored(&config).await;
    // Nobody reaches the database for as long as it takes to copy it.
    proxy.cut().await;
    let backup = Backup::take(&config).await;
    proxy.set(Mode::Pass);
    send(&config, newer, 0).await.unwrap();
    until_stored(&config).await;
    until_group_offset_is_at_the_end(&config).await;

    let sending = send(&config, last, 2_000);
    proxy.cut().await;
    backup.restore().await;
    let client = servers::connect_to(&config).await;
    assert_group_offset_is_ahead(&config, &client).await;
    proxy.set(Mode::Pass);
    // A lane that writes notices it, or whoever compares now and then.
    process.says("reading goes on from it").await;
    sending.await.unwrap();
    until_stored(&config).await;
    until_group_offset_is_at_the_end(&config).await;
    assert_eq!(process.end("TERM").await, Some(0));
    assert_stored(&config, &records).await;
    assert_eq!(rows::count(&client, "ft_dead_letter").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_put_back_under_an_idle_collector_is_noticed_though_nothing_is_written() {
    let config = servers::config(2).await;
    let records = traffic(43, 2_000);
    let (older, newer) = records.split_at(1_000);
    send(&config, older, 0).await.unwrap();
    collect_all(&config).await;
    let backup = Backup::take(&config).await;
    let mut process = Process::collect(&config).await;
    send(&config, newer, 0).await.unwrap();
    until_stored(&config).await;
    until_group_offset_is_at_the_end(&config).await;

    backup.restore().await;
    process.says("less is stored than was").await;
    until_stored(&config).await;
    until_group_offset_is_at_the_end(&config).await;
    assert_eq!(process.end("TERM").await, Some(0));
    assert_stored(&config, &records).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_takes_no_sessions_while_it_is_put_back_is_waited_for() {
    let config = servers::config(2).await;
    let records = traffic(44, 2_000);
    let (older, newer) = records.split_at(1_000);
    send(&config, older, 0).await.unwrap();
    collect_all(&config).await;
    let backup = Backup::take(&config).await;
    let mut process = Process::collect(&config).await;
    until("it has been connected", async || {
        let sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = $1 AND application_name = 'flowtrail-offsets'";
        match backup.beside.query_one(sql, &[&backup.name]).await.unwrap().get::<_, i64>(0) {
            0 => Err("nobody".to_owned()),
            _ => Ok(()),
        }
    })
    .await;
    send(&config, &newer[..1], 0).await.unwrap();
    until_stored(&config).await;
    let closed = format!("ALTER DATABASE {} ALLOW_CONNECTIONS false", backup.name);
    backup.beside.batch_execute(&closed).await.unwrap();
    backup.disconnect_everybody().await;
    send(&config, &newer[1..], 0).await.unwrap();
    process.says("not currently accepting connections").await;

    backup.restore().await;
    until_stored(&config).await;
    assert_eq!(process.end("TERM").await, Some(0));
    assert_stored(&config, &records).await;
}
