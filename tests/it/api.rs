//! The API by the real program, over tables that a collector filled from recorded traffic.

use std::fmt::Write as _;

use flowtrail::config::Config;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::{
    collecting::collect_all,
    http_client::{Answer, ask},
    program::{Process, publish},
    servers,
};

mod contract;
mod flows;
mod messages;
mod operations;
mod over;
mod rerun;
mod scale;
mod steps;
mod variables;

/// Recorded instances; all ids end alike.
fn id(beginning: &str) -> String {
    format!("{beginning}f3de9dc7a3cc13f48d62a898ec63b")
}

/// A server over a database of its own.
struct Serving {
    config: Config,
    process: Process,
}

impl Serving {
    /// Over what a collector made of a recording.
    async fn recorded(recording: &str) -> Self {
        let config = config().await;
        publish(&config, recording, &[]).await;
        collect_all(&config).await;
        Self::over(config).await
    }

    async fn over(config: Config) -> Self {
        let process = Process::serve(&config, &[]).await;
        Self { config, process }
    }

    async fn ask(&self, request: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let (method, path) = request.split_once(' ').unwrap();
        ask(&self.process.address, &format!("{method} /api/v1{path}"), headers, body.as_bytes()).await
    }

    /// The answer to a question that has one.
    async fn get(&self, path: &str) -> Value {
        let answer = self.ask(&format!("GET {path}"), &[], "").await;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        answer.json()
    }

    /// The code and the sentence of a problem.
    async fn problem(&self, path: &str) -> (u16, String) {
        let answer = self.ask(&format!("GET {path}"), &[], "").await;
        assert!(answer.head.contains("content-type: application/problem+json"), "{path}: {answer:?}");
        let problem = answer.json();
        assert_eq!((&problem["type"], &problem["status"]), (&json!("about:blank"), &json!(answer.status)));
        (answer.status, problem["detail"].as_str().unwrap().to_owned())
    }
}

async fn config() -> Config {
    let mut config = servers::config(3).await;
    config.gateway.topic.clone_from(&config.kafka.topics[0]);
    config
}

/// The first six characters of the ids of a list.
fn ids(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|one| &one["id"].as_str().unwrap()[..6]).collect()
}

/// Status line and headers of an answer, in lower case, whatever its body is.
async fn head(address: &str, request: &str, headers: &[(&str, &str)]) -> String {
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let mut head = format!("{request} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n");
    for (name, value) in headers {
        write!(head, "{name}: {value}\r\n").unwrap();
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    tokio::time::timeout(servers::PATIENCE, stream.read_to_end(&mut bytes))
        .await
        .expect("no answer")
        .unwrap();
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").expect("no head");
    String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase()
}
