//! The servers that all tests share: started by the first test that needs them, ended with the process, however that
//! ends (a watchdog of the stack sees to it).

use std::{
    path::Path,
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use flowtrail::{
    config::{self, Config},
    dev::{self, Stack, StackOptions},
    kafka::admin::Admin,
    postgres::Session,
    schema, telemetry,
};
use secrecy::ExposeSecret as _;
use tokio_postgres::{Client, NoTls};

/// How long a test waits for something to happen before it fails.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// The one Kafka and the one Postgres. Blocks while they start.
pub fn stack() -> &'static Stack {
    static STACK: OnceLock<Stack> = OnceLock::new();
    STACK.get_or_init(|| {
        // What the library logs, for a person who looks for a bug.
        if let Ok(levels) = std::env::var("IT_LOG") {
            telemetry::init(Some(&levels), telemetry::LogFormat::default()).unwrap();
        }
        let data_dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("stack");
        // Of an earlier run; a test begins with nothing.
        dev::reset(&data_dir).unwrap();
        let mut options = StackOptions::new(data_dir);
        // Each version that is supported; by itself the machine's own.
        options.postgres_major = std::env::var("IT_POSTGRES").ok().map(|major| major.parse().unwrap());
        // It would rest for 15 seconds between one look and the next.
        options.kafka_settings.push(("log.cleaner.backoff.ms".to_owned(), "250".to_owned()));
        options.postgres_settings.push(("fsync".to_owned(), "off".to_owned()));
        options.postgres_settings.push(("max_connections".to_owned(), "300".to_owned()));
        Stack::start(&options).unwrap_or_else(|error| panic!("{error}"))
    })
}

/// A name that no other test of this run has.
pub fn unique(what: &str) -> String {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    format!("{what}-{}", NUMBER.fetch_add(1, Ordering::Relaxed))
}

/// A configuration for the shared servers: a database, a topic and a group of its own.
pub async fn config(partitions: i32) -> Config {
    let mut config = config_of(&database().await).await;
    config.kafka.topics = vec![topic(partitions).await];
    config
}

/// A configuration for the shared Kafka and this database, with a group of its own.
pub async fn config_of(database: &str) -> Config {
    Config {
        kafka: config::Kafka {
            bootstrap_servers: bootstrap_servers().await,
            group: unique("group"),
            ..config::Kafka::default()
        },
        postgres: config::Postgres { url: Some(database.into()), ..config::Postgres::default() },
        ..Config::default()
    }
}

pub async fn bootstrap_servers() -> String {
    tokio::task::spawn_blocking(|| stack().bootstrap_servers().to_owned()).await.unwrap()
}

/// A topic of its own.
pub async fn topic(partitions: i32) -> String {
    topic_with(partitions, &[]).await
}

/// A topic of its own, with settings.
pub async fn topic_with(partitions: i32, settings: &[(&str, &str)]) -> String {
    let name = unique("topic");
    make_topic(&name, partitions, settings).await;
    name
}

/// Makes a topic of this name.
pub async fn make_topic(name: &str, partitions: i32, settings: &[(&str, &str)]) {
    let kafka = config::Kafka { bootstrap_servers: bootstrap_servers().await, ..config::Kafka::default() };
    Admin::new(&kafka).unwrap().ensure_topic(name, partitions, settings, PATIENCE).await.unwrap();
}

/// A database of its own with all tables, empty; in so many partitions as `IT_PARTITIONS` says.
pub async fn database() -> String {
    let url = empty_database().await;
    let partitions = std::env::var("IT_PARTITIONS").map_or(0, |partitions| partitions.parse().unwrap());
    schema::update(&mut connect(&url).await, PATIENCE, partitions).await.unwrap();
    url
}

/// A database of its own without tables. It sorts text by a language, not by bytes, so that a comparison that forgot
/// to ask for bytes shows; a database of Postgres 14 can't by a language that every machine has.
pub async fn empty_database() -> String {
    let base =
        tokio::task::spawn_blocking(|| stack().database_url().expose_secret().to_owned()).await.unwrap();
    let name = unique("it").replace('-', "_");
    let client = connect(&base).await;
    let version = "SELECT current_setting('server_version_num')::integer";
    let version: i32 = client.query_one(version, &[]).await.unwrap().get(0);
    let locale = if version < 150_000 { "" } else { " LOCALE_PROVIDER icu ICU_LOCALE 'und'" };
    client.batch_execute(&format!("CREATE DATABASE {name} TEMPLATE template0{locale}")).await.unwrap();
    let (server, _) = base.rsplit_once('/').unwrap();
    format!("{server}/{name}")
}

/// A plain connection to the database of a configuration.
pub async fn connect_to(config: &Config) -> Client {
    connect(config.postgres.url.as_ref().unwrap().expose_secret()).await
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

/// Whether the tests run as root, as which some servers refuse to run.
pub fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|me| std::os::unix::fs::MetadataExt::uid(&me) == 0)
}

/// Waits until a condition holds, and fails with what it last said if it never does.
pub async fn until<F: Future<Output = Result<(), String>>>(what: &str, mut condition: impl FnMut() -> F) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let Err(last) = condition().await else { return };
        assert!(Instant::now() < deadline, "{what} did not come true in {} s: {last}", PATIENCE.as_secs());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
