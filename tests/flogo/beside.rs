//! Programs that run beside a test.

use std::{
    process::Stdio,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
    task::JoinHandle,
    time::timeout,
};

use crate::{
    program::{line_with, send},
    servers::PATIENCE,
};

/// A program that runs until it is told to end; killed when it is dropped.
pub struct Beside {
    name: &'static str,
    child: Child,
    said: Arc<Mutex<String>>,
    reading: JoinHandle<()>,
}

impl Beside {
    /// Starts the program and waits for a line of its log that holds these words. Gives that line too.
    pub async fn start(name: &'static str, command: &mut Command, ready: &str) -> (Self, String) {
        let spawned =
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = spawned.spawn().unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
        let line = line_with(&mut log, ready).await;
        let said = Arc::new(Mutex::new(String::new()));
        let kept = said.clone();
        // Read to its end: a program whose log nobody reads stops when the pipe is full.
        let reading = tokio::spawn(async move {
            while let Ok(Some(line)) = log.next_line().await {
                let mut kept = kept.lock().unwrap();
                kept.push_str(&line);
                kept.push('\n');
            }
        });
        (Self { name, child, said, reading }, line)
    }

    /// Tells it to end, waits until it has, and fails unless it says that all went well.
    pub async fn end(mut self) {
        send(self.child.id().expect("it has ended by itself"), "TERM").await;
        let status = timeout(PATIENCE, self.child.wait()).await.expect("it does not end").unwrap();
        timeout(PATIENCE, &mut self.reading).await.expect("its log does not end").unwrap();
        assert!(status.success(), "{} ended with {status}:\n{}", self.name, self.said.lock().unwrap());
    }
}

/// What it said belongs to a failure.
impl Drop for Beside {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{} said:\n{}", self.name, self.said.lock().unwrap());
        }
    }
}
