//! A Prometheus of the test's own, as Debian has it.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use serde_json::Value;
use tempfile::TempDir;

use crate::{http_client::ask, servers::until};

/// Finds a program on the path. Where there is none the test can't be made, which in CI is a failure.
pub(super) fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found =
        std::env::split_paths(&path).map(|folder| folder.join(name)).find(|program| program.is_file());
    if found.is_none() {
        let reason = format!("there is no {name} on this machine; install the package prometheus");
        assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "{reason}");
        eprintln!("SKIPPED: {reason}");
    }
    found
}

/// A port that nobody has for now.
pub(super) fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A running Prometheus. Ends with the test.
pub(super) struct Prometheus {
    child: Child,
    address: String,
    _folder: TempDir,
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What is scraped: name of the job, and address.
pub(super) type Job<'a> = (&'a str, &'a str);

impl Prometheus {
    /// Scrapes these four times a second, and looks at the rules as often.
    pub(super) async fn start(program: &Path, jobs: &[Job<'_>], rules: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut settings = "global: {scrape_interval: 250ms, evaluation_interval: 250ms}\n\
            rule_files: [rules.yml]\nscrape_configs:\n"
            .to_owned();
        for (job, address) in jobs {
            writeln!(settings, "  - {{job_name: {job}, static_configs: [{{targets: ['{address}']}}]}}")
                .unwrap();
        }
        fs::write(folder.path().join("rules.yml"), rules).unwrap();
        fs::write(folder.path().join("prometheus.yml"), settings).unwrap();
        let address = format!("127.0.0.1:{}", free_port());
        let child = Command::new(program)
            .current_dir(folder.path())
            .args(["--config.file=prometheus.yml", "--storage.tsdb.path=data", "--log.level=error"])
            .arg(format!("--web.listen-address={address}"))
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let prometheus = Self { child, address, _folder: folder };
        until("Prometheus is ready", async || {
            let stream = tokio::net::TcpStream::connect(&prometheus.address).await;
            drop(stream.map_err(|error| error.to_string())?);
            match ask(&prometheus.address, "GET /-/ready", &[], b"").await {
                answer if answer.status == 200 => Ok(()),
                answer => Err(answer.body),
            }
        })
        .await;
        prometheus
    }

    /// The series that an expression gives now, or Prometheus' words on why it is none.
    pub(super) async fn query(&self, expression: &str) -> Result<Vec<Value>, String> {
        let mut body = "query=".to_owned();
        for byte in expression.bytes() {
            write!(body, "%{byte:02x}").unwrap();
        }
        let form = ("content-type", "application/x-www-form-urlencoded");
        let answer = ask(&self.address, "POST /api/v1/query", &[form], body.as_bytes()).await.json();
        match answer["data"]["result"].as_array() {
            Some(series) => Ok(series.clone()),
            None => Err(answer["error"].to_string()),
        }
    }

    /// The value of the one series that an expression gives.
    pub(super) async fn value(&self, expression: &str) -> Option<f64> {
        let series = self.query(expression).await.unwrap();
        series.first()?["value"][1].as_str()?.parse().ok()
    }

    /// Names of the alerts that are going off, in order, each once.
    pub(super) async fn firing(&self) -> Vec<String> {
        let answer = ask(&self.address, "GET /api/v1/alerts", &[], b"").await.json();
        let alerts = answer["data"]["alerts"].as_array().unwrap();
        let firing = alerts.iter().filter(|alert| alert["state"] == "firing");
        let mut names: Vec<_> =
            firing.map(|alert| alert["labels"]["alertname"].as_str().unwrap().to_owned()).collect();
        names.sort();
        names.dedup();
        names
    }
}
