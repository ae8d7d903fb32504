//! `flowtrail dev`, from an empty folder to servers that are gone again.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use flowtrail::{config::Config, dev, metrics};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader},
    process::{Child, ChildStdout, Command},
    sync::Mutex,
    task::spawn_blocking,
    time::timeout,
};

use crate::{
    program::{configured, flowtrail, get, send},
    rows,
    servers::{self, PATIENCE, connect, until},
    topics,
};

/// One at a time: each starts a Kafka and a Postgres of its own.
static TURN: Mutex<()> = Mutex::const_new(());

/// How long it may take until all is up; packaged servers are fetched first.
const UP: Duration = Duration::from_mins(5);

/// Metrics that are there once the sample has been stored; the others begin with what they count.
const BUSY: [metrics::Metric; 13] = [
    metrics::EVENTS_CONSUMED,
    metrics::ROWS_WRITTEN,
    metrics::EVENTS_MERGED,
    metrics::BATCH_ROWS,
    metrics::BATCH_BYTES,
    metrics::STAGE_DURATION,
    metrics::LAG_RECORDS,
    metrics::LAG_SECONDS,
    metrics::VISIBLE_LATENCY,
    metrics::REBALANCES,
    metrics::BUILD_INFO,
    metrics::PROCESS_CPU,
    metrics::PROCESS_MEMORY,
];

/// A folder of its own, with nothing in it.
async fn folder(name: &str) -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    reset(&dir).await;
    dir
}

async fn reset(dir: &Path) {
    let dir = dir.to_owned();
    spawn_blocking(move || dev::reset(&dir).unwrap()).await.unwrap();
}

/// `flowtrail dev` that is up.
struct Dev {
    child: Child,
    stdout: BufReader<ChildStdout>,
    /// What `dev.json` says.
    info: Value,
}

impl Dev {
    async fn start(mut command: Command, dir: &Path, more: &[&str]) -> Self {
        let log = dir.with_extension("log");
        command.arg("--data-dir").arg(dir).args([
            "--kafka-port",
            "0",
            "--postgres-port",
            "0",
            "--gateway-port",
            "0",
            "--http-port",
            "0",
        ]);
        command.args(more).stdout(Stdio::piped()).stderr(fs::File::create(&log).unwrap());
        let mut child = command.spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        timeout(UP, stdout.read_line(&mut line)).await.expect("it is not up").unwrap();
        assert!(line.ends_with('\n'), "it ended: {}", fs::read_to_string(&log).unwrap());
        let info: Value = serde_json::from_slice(&fs::read(dir.join("dev.json")).unwrap()).unwrap();
        let (kafka, postgres, http) = (text(&info["kafka"]), text(&info["postgres"]), text(&info["http"]));
        let gateway = text(&info["gateway"]);
        let wanted = format!("kafka {kafka}  postgres {postgres}  http {http}  gateway {gateway}");
        assert_eq!(line, format!("flowtrail is up: {wanted}\n"));
        assert!(http.starts_with("http://127.0.0.1:"), "{info}");
        assert_eq!(info["pids"]["dev"], child.id().unwrap());
        Self { child, stdout, info }
    }

    fn http(&self) -> &str {
        text(&self.info["http"]).strip_prefix("http://").unwrap()
    }

    /// Names of the processes that `dev.json` lists.
    fn names(&self) -> Vec<&str> {
        self.info["pids"].as_object().unwrap().keys().map(String::as_str).collect()
    }

    async fn until_ready(&self) {
        until("/readyz answers 200", async || match get(self.http(), "/readyz").await {
            (200, _) => Ok(()),
            other => Err(format!("{other:?}")),
        })
        .await;
    }

    /// Ends it and waits until nothing of it runs; gives its exit code.
    async fn end(mut self, signal: &str, dir: &Path) -> Option<i32> {
        send(self.child.id().unwrap(), signal).await;
        let mut rest = String::new();
        timeout(PATIENCE, self.stdout.read_to_string(&mut rest)).await.expect("it goes on").unwrap();
        assert_eq!(rest, "", "more than one line");
        let code = self.child.wait().await.unwrap().code();
        let pids: Vec<u64> =
            self.info["pids"].as_object().unwrap().values().filter_map(Value::as_u64).collect();
        until("nothing of it runs", async || {
            let left = processes()
                .into_iter()
                .filter(|(pid, line)| pids.contains(pid) || line.contains(dir.to_str().unwrap()));
            let left: Vec<_> = left.collect();
            if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
        })
        .await;
        code
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

/// All processes but those that have ended and were not noticed yet, with their command lines.
fn processes() -> Vec<(u64, String)> {
    let entries = fs::read_dir("/proc").expect("a system with /proc").flatten();
    let process = |entry: fs::DirEntry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        let line = fs::read(entry.path().join("cmdline")).ok()?;
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        (!line.is_empty()).then_some((pid, line))
    };
    entries.filter_map(process).collect()
}

/// The recorded flows, and all flows.
async fn flows(url: &str) -> (i64, i64) {
    let client = connect(url).await;
    let recorded =
        rows::count(&client, "flowstate WHERE appname = 'history-harness' AND status <> 'Created'").await;
    (recorded, rows::count(&client, "flowstate").await)
}

async fn until_sample_arrives(url: &str) {
    until("the recorded flows are there and more come", async || match flows(url).await {
        (16, all) if all > 20 => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    let (_, before) = flows(url).await;
    until("still more come", async || {
        let (_, now) = flows(url).await;
        if now > before { Ok(()) } else { Err(format!("{now}")) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dev_brings_everything_up_with_sample_traffic_and_takes_it_down_again() {
    let _turn = TURN.lock().await;
    let dir = folder("dev-whole").await;
    let first = Dev::start(flowtrail(["dev"]), &dir, &["--sample-rate", "200"]).await;
    assert_eq!(first.names(), ["dev", "kafka", "postgres"]);
    let url = text(&first.info["postgres"]).to_owned();
    until_sample_arrives(&url).await;
    first.until_ready().await;
    assert_eq!(get(first.http(), "/livez").await.0, 200);
    let (_, page) = get(first.http(), "/metrics").await;
    for metric in BUSY {
        assert!(page.contains(&format!("# HELP {} ", metric.name)), "no {} in\n{page}", metric.name);
    }
    assert_eq!(first.end("TERM", &dir).await, Some(0));
    assert!(!dir.join("dev.json").exists());

    // What was stored is there at the next start; killed without a word, its servers go too.
    let second = Dev::start(flowtrail(["dev"]), &dir, &["--no-sample", "--no-collect"]).await;
    let (recorded, all) = flows(text(&second.info["postgres"])).await;
    assert!(recorded == 16 && all > 20, "{recorded} {all}");
    assert_eq!(second.end("KILL", &dir).await, None);
    reset(&dir).await;
    assert!(!dir.exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dev_comes_up_without_the_machines_own_java_and_postgres() {
    let _turn = TURN.lock().await;
    let dir = folder("dev-packaged").await;
    let mut command = flowtrail(["dev"]);
    command.env("FLOWTRAIL_DEV_PACKAGED", "1");
    let packaged = Dev::start(command, &dir, &["--sample-rate", "200"]).await;
    until_sample_arrives(text(&packaged.info["postgres"])).await;
    for (pid, line) in processes() {
        if packaged.info["pids"]["kafka"] == pid || packaged.info["pids"]["postgres"] == pid {
            let program = line.split(' ').next().unwrap();
            let own = ["/usr/", "/opt/", "java", "postgres"].iter().any(|place| program.starts_with(place));
            assert!(!own, "the machine's own: {line}");
        }
    }
    assert_eq!(packaged.end("INT", &dir).await, Some(0));
    reset(&dir).await;
}

async fn beside_servers_that_run() -> Config {
    let mut config = servers::config_of(&servers::empty_database().await).await;
    config.kafka.topics = vec![servers::unique("dev-topic")];
    config
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dev_uses_the_servers_it_is_given_and_starts_none() {
    let config = beside_servers_that_run().await;
    let dir = folder("dev-given").await;
    let given = Dev::start(configured(&config, ["dev"]), &dir, &["--sample-rate", "200"]).await;
    assert_eq!(given.names(), ["dev"]);
    assert_eq!(given.info["kafka"], config.kafka.bootstrap_servers);
    until_sample_arrives(text(&given.info["postgres"])).await;
    assert_eq!(topics::ends(&config).await.len(), 6);
    assert_eq!(given.end("TERM", &dir).await, Some(0));
    reset(&dir).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_sample_and_collector_dev_makes_topic_and_tables_and_leaves_them_empty() {
    let config = beside_servers_that_run().await;
    let dir = folder("dev-quiet").await;
    let quiet = Dev::start(configured(&config, ["dev"]), &dir, &["--no-sample", "--no-collect"]).await;
    assert_eq!(get(quiet.http(), "/livez").await.0, 200);
    assert!(topics::ends(&config).await.iter().all(|(_, end)| *end == 0));
    assert_eq!(flows(text(&quiet.info["postgres"])).await, (0, 0));
    assert_eq!(quiet.end("TERM", &dir).await, Some(0));
    reset(&dir).await;
}
