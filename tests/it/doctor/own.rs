//! Lines that a Postgres of their own has to be brought into: switched-off settings, replicas, slots, checksums.

use std::{
    fs,
    os::unix::{
        fs::{DirBuilderExt as _, MetadataExt as _},
        process::CommandExt as _,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use flowtrail::{
    config::Config,
    dev::{self, Stack, StackOptions},
    doctor::Verdict,
    schema,
};
use secrecy::ExposeSecret as _;
use serde_json::Value;
use tokio::task::spawn_blocking;
use tokio_postgres::Client;

use super::{assert_says, examine, of};
use crate::{
    program::{configured, run},
    rows,
    servers::{self, PATIENCE, until},
};

/// A Postgres whose settings nobody else minds, with the tables, beside the shared Kafka.
pub struct Own {
    pub stack: Stack,
    pub config: Config,
    pub client: Client,
}

impl Own {
    pub async fn start(name: &str, settings: &[(&str, &str)]) -> Self {
        let mut config = servers::config(1).await;
        let data_dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let mut options = StackOptions::new(&data_dir);
        options.kafka = Some(config.kafka.bootstrap_servers.clone());
        options.postgres_settings =
            settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let start = move || {
            dev::reset(&data_dir).unwrap();
            Stack::start(&options).unwrap_or_else(|error| panic!("{error}"))
        };
        let stack = spawn_blocking(start).await.unwrap();
        config.postgres.url = Some(stack.database_url().clone());
        let mut client = servers::connect_to(&config).await;
        schema::update(&mut client, PATIENCE, 0).await.unwrap();
        Self { stack, config, client }
    }

    pub async fn folder(&self) -> PathBuf {
        PathBuf::from(rows::texts(&self.client, "SHOW data_directory").await[0].clone().unwrap())
    }

    /// A program of this Postgres, as the account that the data belongs to. Not every package has all of them.
    async fn program(&self, name: &str) -> Option<Command> {
        let pid = self.stack.postgres().unwrap().pid().unwrap();
        let program = fs::read_link(format!("/proc/{pid}/exe")).unwrap().with_file_name(name);
        if !program.is_file() {
            eprintln!("SKIPPED: there is no {}", program.display());
            return None;
        }
        let mut command = Command::new(program);
        if servers::is_root() {
            let owner = fs::metadata(self.folder().await).unwrap();
            command.uid(owner.uid()).gid(owner.gid());
        }
        Some(command)
    }

    /// Changes settings of the running server, and waits until they are in force.
    pub async fn set(&self, settings: &[(&str, &str)]) {
        for (name, value) in settings {
            self.client.batch_execute(&format!("ALTER SYSTEM SET {name} = '{value}'")).await.unwrap();
        }
        self.client.batch_execute("SELECT pg_reload_conf()").await.unwrap();
        for (name, value) in settings {
            until("the setting is in force", async || {
                let now = rows::texts(&self.client, &format!("SHOW {name}")).await[0].clone().unwrap();
                if now == *value { Ok(()) } else { Err(format!("{name} = {now}")) }
            })
            .await;
        }
    }

    /// Has the server write so much of its log.
    async fn write_log(&self, mebibytes: u32) {
        let write =
            "SELECT pg_logical_emit_message(false, 'x', repeat('x', 1048576)) FROM generate_series(1, $1)";
        self.client.query(&write.replace("$1", &mebibytes.to_string()), &[]).await.unwrap();
    }
}

/// A replica. It ends when its standard input does: with the test, however that ends.
struct Replica {
    shell: Child,
    config: Config,
}

impl Drop for Replica {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        let _ = self.shell.wait();
    }
}

async fn replica(own: &Own) -> Option<Replica> {
    let url = own.config.postgres.url.as_ref().unwrap().expose_secret().to_owned();
    let folder = own.folder().await.with_file_name("replica");
    let mut copy = own.program("pg_basebackup").await?;
    copy.args(["--checkpoint=fast", "--write-recovery-conf", "--wal-method=stream", "--no-sync"]);
    copy.arg("-D").arg(&folder).arg("-d").arg(&url);
    // The folder's parent belongs to whoever runs the tests.
    if servers::is_root() {
        let owner = fs::metadata(own.folder().await).unwrap();
        fs::DirBuilder::new().mode(0o700).create(&folder).unwrap();
        std::os::unix::fs::chown(&folder, Some(owner.uid()), Some(owner.gid())).unwrap();
    }
    let copied = spawn_blocking(move || copy.output().unwrap()).await.unwrap();
    assert!(copied.status.success(), "{}", String::from_utf8_lossy(&copied.stderr));

    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let server = own.program("postgres").await?;
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", "\"$@\" </dev/null & read -r _; kill -INT $!; wait", "replica"]);
    shell.arg(server.get_program()).arg("-D").arg(&folder).args(["-p", &port.to_string()]);
    for setting in ["listen_addresses=127.0.0.1", "unix_socket_directories=", "max_connections=200"] {
        shell.args(["-c", setting]);
    }
    if servers::is_root() {
        let owner = fs::metadata(&folder).unwrap();
        shell.uid(owner.uid()).gid(owner.gid());
    }
    shell.current_dir(&folder).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut config = own.config.clone();
    let (head, tail) = url.rsplit_once(':').unwrap();
    let (_, name) = tail.split_once('/').unwrap();
    config.postgres.url = Some(format!("{head}:{port}/{name}").into());
    let replica = Replica { shell: shell.spawn().unwrap(), config };
    let url = replica.config.postgres.url.as_ref().unwrap().expose_secret();
    until("the replica answers", async || {
        tokio_postgres::connect(url, tokio_postgres::NoTls).await.map(drop).map_err(|error| error.to_string())
    })
    .await;
    Some(replica)
}

/// Findings that fail, without those that the machine is to blame for.
fn failing(findings: &Value) -> Vec<&str> {
    let failing = findings.as_array().unwrap().iter().filter(|finding| finding["verdict"] == "fail");
    failing
        .map(|finding| finding["check"].as_str().unwrap())
        .filter(|check| *check != "postgres.disk")
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_switched_off_is_told_and_the_exit_code_says_whether_anything_fails() {
    let own = Own::start("doctor-settings", &[("max_connections", "20")]).await;
    let ran = run(&mut configured(&own.config, ["doctor", "--format", "json"])).await;
    let findings: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(failing(&findings), [""; 0], "{findings:#}");
    let full = findings.as_array().unwrap().iter().any(|finding| finding["verdict"] == "fail");
    assert_eq!(ran.code, if full { 3 } else { 0 }, "{ran:?}");
    let first = findings[0].as_object().unwrap();
    assert_eq!(first.keys().collect::<Vec<_>>(), ["check", "subject", "verdict", "said", "advice"]);
    let table = run(&mut configured(&own.config, ["doctor"])).await;
    assert!(table.stdout.starts_with("VERDICT") && table.stdout.contains("postgres.schema"), "{table:?}");
    assert!(full || table.stderr.starts_with("0 fail, "), "{table:?}");

    own.set(&[("full_page_writes", "off"), ("autovacuum", "off"), ("synchronous_standby_names", "nobody")])
        .await;
    let mut config = own.config.clone();
    config.collector.lanes = 30;
    let found = examine(&config).await;
    assert_says(&found, "postgres.durability", Verdict::Fail, &["full_page_writes off"]);
    assert_says(&found, "postgres.autovacuum", Verdict::Warn, &["autovacuum off"]);
    assert_says(&found, "postgres.synchronous", Verdict::Warn, &["'nobody'", "for ever"]);
    assert_says(&found, "postgres.checksums", Verdict::Warn, &["pg_checksums"]);
    assert_says(&found, "postgres.connections", Verdict::Fail, &["of 20", "max_connections", "needs 33"]);
    let ran = run(&mut configured(&own.config, ["doctor"])).await;
    assert_eq!(ran.code, 3, "{ran:?}");
    assert!(
        ran.stderr.contains("postgres.durability") && ran.stdout.contains("→ set full_page_writes"),
        "{ran:?}"
    );

    let Some(mut enable) = own.program("pg_checksums").await else { return };
    enable.args(["--enable", "--no-sync", "-D"]).arg(own.folder().await);
    let Own { stack, config, client } = own;
    drop(client);
    let stack = spawn_blocking(move || {
        let server = stack.postgres().unwrap();
        server.stop();
        let enabled = enable.output().unwrap();
        assert!(enabled.status.success(), "{}", String::from_utf8_lossy(&enabled.stderr));
        server.start().unwrap();
        stack
    });
    let stack = stack.await.unwrap();
    assert_says(&examine(&config).await, "postgres.checksums", Verdict::Ok, &["on"]);
    spawn_blocking(|| drop(stack)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_is_told_from_its_primary_and_what_lies_behind_is_measured() {
    let own = Own::start("doctor-replica", &[]).await;
    own.client.batch_execute("SELECT pg_create_physical_replication_slot('forgotten', true)").await.unwrap();
    assert_says(&examine(&own.config).await, "postgres.slots", Verdict::Ok, &[]);
    assert_says(&examine(&own.config).await, "postgres.replicas", Verdict::Ok, &["no replica"]);
    own.write_log(70).await;
    let found = examine(&own.config).await;
    assert_says(&found, "postgres.slots", Verdict::Warn, &["slot forgotten", "pg_drop_replication_slot"]);
    own.client.batch_execute("SELECT pg_drop_replication_slot('forgotten')").await.unwrap();
    assert_says(&examine(&own.config).await, "postgres.slots", Verdict::Ok, &[]);

    let Some(replica) = replica(&own).await else { return };
    let found = examine(&replica.config).await;
    assert_says(&found, "postgres.writable", Verdict::Fail, &["replica", "promote"]);
    assert_says(&found, "postgres.schema", Verdict::Ok, &[]);
    until("the primary sees its replica", async || {
        let found = examine(&own.config).await;
        match of(&found, "postgres.replicas")[0] {
            seen if seen.verdict == Verdict::Ok && seen.said.contains("streaming") => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    let behind = servers::connect_to(&replica.config).await;
    behind.batch_execute("SELECT pg_wal_replay_pause()").await.unwrap();
    own.write_log(70).await;
    let found = examine(&own.config).await;
    assert_says(&found, "postgres.replicas", Verdict::Warn, &["MiB behind", "failover"]);
    drop((behind, replica));
    spawn_blocking(|| drop(own)).await.unwrap();
}
