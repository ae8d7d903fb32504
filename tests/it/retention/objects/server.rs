//! A real S3 server, versitygw, built with Go. Its objects are files that a test can look at without it.

use std::{
    env,
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::Stdio,
};

use flowtrail::{config::Config, dev};
use tempfile::TempDir;
use tokio::{
    net::TcpStream,
    process::{Child, Command},
    sync::OnceCell,
};

use super::super::files_below;
use crate::{program::configured, proxy::free_port, servers::until};

pub const SECRET: &str = "a-secret-that-nobody-is-told";
const KEY: &str = "ARCHIVIST";
const BUCKET: &str = "history";
const PREFIX: &str = "flows/old";

/// Where archives are.
pub const URL: &str = "s3://history/flows/old";

/// A server with one bucket, ended when it is dropped.
pub struct Server {
    program: &'static Path,
    folder: TempDir,
    port: u16,
    child: Option<Child>,
}

impl Server {
    /// Starts one; none if this machine has no Go or no modules and they can't be had.
    pub async fn start() -> Option<Self> {
        let program = program().await?;
        let folder = TempDir::new().unwrap();
        std::fs::create_dir_all(folder.path().join("objects").join(BUCKET)).unwrap();
        std::fs::create_dir(folder.path().join("attributes")).unwrap();
        let mut server = Self { program, folder, port: free_port(), child: None };
        server.run().await;
        Some(server)
    }

    /// Starts it where it was, with what it held.
    pub async fn run(&mut self) {
        let mut command = Command::new(self.program);
        command.args(["--quiet", "--port", &format!("127.0.0.1:{}", self.port)]);
        command.env("ROOT_ACCESS_KEY_ID", KEY).env("ROOT_SECRET_ACCESS_KEY", SECRET);
        command.args(["posix", "--sidecar"]).arg(self.folder.path().join("attributes"));
        command.arg(self.folder.path().join("objects"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true);
        self.child = Some(command.spawn().unwrap());
        let answers = async || {
            let connected = TcpStream::connect(("127.0.0.1", self.port)).await;
            connected.map(drop).map_err(|error| error.to_string())
        };
        until("the S3 server answers", answers).await;
    }

    /// Ends it as a loss of power does.
    pub async fn kill(&mut self) {
        self.child.take().unwrap().kill().await.unwrap();
    }

    /// `flowtrail` with an archive there.
    pub fn command(&self, config: &Config, arguments: &[&str]) -> Command {
        let mut command = configured(config, arguments);
        command
            .env("FLOWTRAIL_RETENTION__ARCHIVE", URL)
            .env("FLOWTRAIL_RETENTION__BATCH_FLOWS", config.retention.batch_flows.to_string())
            .env("FLOWTRAIL_RETENTION__POLICIES", r#"[{"name":"all","age":"14d"}]"#)
            .env("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{}", self.port))
            .env("AWS_REGION", "us-east-1")
            .env("AWS_ACCESS_KEY_ID", KEY)
            .env("AWS_SECRET_ACCESS_KEY", SECRET);
        command
    }

    /// Its objects below the archive, as files.
    pub fn objects(&self) -> Vec<String> {
        let archive = self.folder.path().join("objects").join(BUCKET).join(PREFIX);
        if archive.is_dir() { files_below(&archive) } else { Vec::new() }
    }
}

/// Built once, by the first test that needs it.
async fn program() -> Option<&'static Path> {
    static PROGRAM: OnceCell<Option<PathBuf>> = OnceCell::const_new();
    let program = PROGRAM.get_or_init(|| async { tokio::task::spawn_blocking(build).await.unwrap() }).await;
    program.as_deref()
}

fn build() -> Option<PathBuf> {
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join("versitygw");
    let built = dev::go().map_err(|error| error.to_string()).and_then(|go| {
        let mut command = std::process::Command::new(go);
        command.env("GOTOOLCHAIN", "local").env("GOFLAGS", "-mod=readonly").env_remove("GOROOT");
        command.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/objects"));
        command.args(["build", "-buildvcs=false", "-ldflags=-s -w", "-o"]).arg(&program);
        let ended = command.arg("github.com/versity/versitygw/cmd/versitygw").output().unwrap();
        ended.status.success().then_some(program).ok_or(String::from_utf8_lossy(&ended.stderr).into_owned())
    });
    match built {
        Ok(program) => Some(program),
        Err(reason) if env::var("CI").is_ok_and(|ci| ci == "true") => panic!("{reason}"),
        Err(reason) => {
            // Past the capture of a test's output: that of a test that passes is not shown.
            let _ = writeln!(io::stderr(), "SKIPPED: there is no S3 server: {reason}");
            None
        }
    }
}
