//! The real binary, in an environment that says nothing about Kafka, Postgres or flowtrail.

use std::{ffi::OsStr, path::Path, process::Stdio};

use flowtrail::config::Config;
use secrecy::ExposeSecret as _;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    net::TcpStream,
    process::{Child, ChildStderr, Command},
    time::timeout,
};

use crate::servers::PATIENCE;

/// Prefixes of variables that would change what the program does.
const FOREIGN: [&str; 6] = ["AWS_", "FLOWTRAIL_", "KAFKA_", "DATABASE_URL", "PG", "RUST_LOG"];
/// Where downloads come from and are kept: as on the machine, so that nothing is fetched twice.
const KEPT: [&str; 3] = ["FLOWTRAIL_CACHE_DIR", "FLOWTRAIL_MAVEN_URL", "FLOWTRAIL_PYPI_FILES_URL"];

/// The binary with its arguments, killed when the test drops it.
pub fn flowtrail<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_flowtrail"));
    command.args(arguments).current_dir(env!("CARGO_TARGET_TMPDIR")).stdin(Stdio::null()).kill_on_drop(true);
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if FOREIGN.iter().any(|prefix| text.starts_with(prefix)) && !KEPT.contains(&&*text) {
            command.env_remove(&name);
        }
    }
    command
}

/// The binary with the servers, the group and the topic of a configuration.
pub fn configured<A: AsRef<OsStr>>(config: &Config, arguments: impl IntoIterator<Item = A>) -> Command {
    let mut command = flowtrail(arguments);
    let url = config.postgres.url.as_ref().unwrap().expose_secret();
    command
        .env("KAFKA_BOOTSTRAP_SERVERS", &config.kafka.bootstrap_servers)
        .env("DATABASE_URL", url)
        .env("FLOWTRAIL_KAFKA__GROUP", &config.kafka.group)
        .env("FLOWTRAIL_KAFKA__TOPICS", config.kafka.topics.join(","))
        .env("FLOWTRAIL_COLLECTOR__BATCH_ROWS", config.collector.batch_rows.to_string())
        .env("FLOWTRAIL_COLLECTOR__LANE_BUFFER_BYTES", config.collector.lane_buffer_bytes.to_string())
        .env("FLOWTRAIL_COLLECTOR__SHUTDOWN_TIMEOUT_MS", config.collector.shutdown_timeout_ms.to_string())
        .env("FLOWTRAIL_COLLECTOR__MAX_PAYLOAD_BYTES", config.collector.max_payload_bytes.to_string());
    for (name, value) in &config.kafka.librdkafka {
        let name = name.replace('_', "__").replace('.', "_").to_uppercase();
        command.env(format!("FLOWTRAIL_KAFKA__LIBRDKAFKA__{name}"), value.expose_secret());
    }
    command
}

/// How the program ended, and what it said.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

/// Runs it to its end.
pub async fn run(command: &mut Command) -> Ran {
    let ended = timeout(PATIENCE, command.output()).await.expect("the program does not end").unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let (stdout, stderr) = (text(ended.stdout), text(ended.stderr));
    Ran { code: ended.status.code().expect("it was killed"), stdout, stderr }
}

/// Runs it to its end, which has to be a good one; gives what it printed.
pub async fn done(command: &mut Command) -> String {
    let ran = run(command).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    ran.stdout
}

/// Puts a file of the repository on the topic, by `flowtrail publish`.
pub async fn publish(config: &Config, recording: &str, more: &[&str]) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/flogo").join(recording);
    let mut command = configured(config, ["publish", "--from", "flogo-recording"]);
    done(command.arg(file).args(more)).await;
}

/// A collector as a process of its own.
pub struct Process {
    pub child: Child,
    log: Lines<BufReader<ChildStderr>>,
    /// Where it serves health and metrics.
    pub address: String,
}

impl Process {
    /// Starts `flowtrail collect` and waits until it says where it serves.
    pub async fn collect(config: &Config) -> Self {
        Self::start(configured(config, ["collect", "--http", "127.0.0.1:0"])).await
    }

    /// Starts `flowtrail serve` with more arguments, and waits until it says where.
    pub async fn serve(config: &Config, more: &[&str]) -> Self {
        let mut command = configured(config, ["serve", "--listen", "127.0.0.1:0"]);
        command.args(["--topic", &config.gateway.topic]).args(more);
        Self::start(command).await
    }

    /// Starts a server and waits until it says where it serves.
    pub async fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
        let line = line_with(&mut log, "address=").await;
        let address = line.split_once("address=").unwrap().1.split_whitespace().next().unwrap().to_owned();
        Self { child, log, address }
    }

    /// Waits for a line of its log.
    pub async fn says(&mut self, what: &str) -> String {
        line_with(&mut self.log, what).await
    }

    /// Sends it a signal by name and waits until it has ended. Its log is read to the end.
    pub async fn end(mut self, signal: &str) -> Option<i32> {
        send(self.child.id().unwrap(), signal).await;
        let drained = async { while let Ok(Some(_)) = self.log.next_line().await {} };
        timeout(PATIENCE, drained).await.expect("it goes on");
        self.child.wait().await.unwrap().code()
    }
}

/// The next line that holds these words.
pub async fn line_with<R: AsyncRead + Unpin>(lines: &mut Lines<BufReader<R>>, what: &str) -> String {
    let mut before = String::new();
    let found = async {
        while let Some(line) = lines.next_line().await.unwrap() {
            if line.contains(what) {
                return line;
            }
            before.push_str(&line);
            before.push('\n');
        }
        panic!("it ended before it said {what}:\n{before}")
    };
    timeout(PATIENCE, found).await.unwrap_or_else(|_| panic!("it does not say {what}"))
}

/// Sends a signal to a process that the test started.
pub async fn send(pid: u32, signal: &str) {
    let sent = Command::new("kill").args(["-s", signal, &pid.to_string()]).status().await.unwrap();
    assert!(sent.success(), "no process {pid}");
}

/// `GET path`: status and body.
pub async fn get(address: &str, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}
