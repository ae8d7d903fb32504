//! A handle on one server of the stack: start it, stop it, and do to it what an outage would.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::ExitStatus;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use tracing::info;

use super::kafka::KafkaError;
use super::postgres::PostgresError;
use super::process::{Launch, POLL, Process, telling_line};
use crate::clock;

/// Ports taken for servers that may have any. Below those that systems give to outgoing connections: while a server is
/// down, one of these could take its port, or, connecting to it, even be answered by itself.
const PORTS: std::ops::Range<u16> = 15_000..32_000;
/// Tries to find a free one among them.
const PORT_TRIES: u32 = 100;

/// Why a server doesn't run.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// Kafka could not be prepared.
    #[error(transparent)]
    Kafka(#[from] KafkaError),
    /// Postgres could not be prepared.
    #[error(transparent)]
    Postgres(#[from] PostgresError),
    /// Another program listens where it should.
    #[error(
        "port {port} on 127.0.0.1 is taken by another program; stop that or choose another port for {name}"
    )]
    PortTaken {
        /// `Kafka` or `Postgres`.
        name: &'static str,
        /// The port.
        port: u16,
    },
    /// The process could not be started.
    #[error("could not start {name}")]
    Spawn {
        /// `Kafka` or `Postgres`.
        name: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// It ended instead of getting ready.
    #[error("{name} ended before it was ready ({status}): {said}; see {}", log.display())]
    Ended {
        /// `Kafka` or `Postgres`.
        name: &'static str,
        /// How it ended.
        status: ExitStatus,
        /// The line of its log that tells most.
        said: String,
        /// Its log.
        log: PathBuf,
    },
    /// It runs but does not answer.
    #[error("{name} was not ready after {} s; see {}", waited.as_secs(), log.display())]
    NotReady {
        /// `Kafka` or `Postgres`.
        name: &'static str,
        /// How long it was given.
        waited: Duration,
        /// Its log.
        log: PathBuf,
    },
}

/// What differs between the servers.
pub(super) trait Program: fmt::Debug + Send + Sync {
    /// What people call it.
    fn name(&self) -> &'static str;
    /// The port it listens on.
    fn port(&self) -> u16;
    /// Puts its folder in order and says how it is started. Nothing of an earlier run is running.
    fn prepare(&self) -> Result<Launch, ServerError>;
    /// Whether it does what a client asks. Returns within a few seconds.
    fn is_ready(&self) -> bool;
    /// The log that says why it does not run.
    fn log(&self) -> PathBuf;
}

/// One server of the stack. All of it blocks; a server that is dropped stops.
///
/// Its address stays the same when it is started again.
#[derive(Debug)]
pub struct Server {
    program: Box<dyn Program>,
    timeout: Duration,
    process: Mutex<Option<Process>>,
}

impl Server {
    /// Starts the server; `timeout` is what it has each time until it must be ready.
    pub(super) fn launch(program: Box<dyn Program>, timeout: Duration) -> Result<Self, ServerError> {
        let server = Self { program, timeout, process: Mutex::new(None) };
        server.start()?;
        Ok(server)
    }

    /// Starts the server and waits until it answers clients. Does nothing if it runs.
    pub fn start(&self) -> Result<(), ServerError> {
        let mut process = self.process();
        if process.as_mut().is_some_and(|process| process.ended().is_none()) {
            return Ok(());
        }
        *process = None;
        let name = self.program.name();
        let began = clock::monotonic();
        let launch = self.program.prepare()?;
        if !is_free(self.program.port()) {
            return Err(ServerError::PortTaken { name, port: self.program.port() });
        }
        let mut started = Process::start(&launch).map_err(|source| ServerError::Spawn { name, source })?;
        self.wait_until_ready(&mut started)?;
        let millis = began.elapsed().as_millis();
        info!(pid = started.pid(), port = self.program.port(), millis, "{name} is ready");
        *process = Some(started);
        Ok(())
    }

    /// Stops the server as an operator would, so that all it has acknowledged is on disk. Does nothing if it doesn't run.
    pub fn stop(&self) {
        if let Some(mut process) = self.process().take() {
            process.stop();
        }
    }

    /// Ends the server and its sessions without warning, as a crash would; `start` brings it back.
    pub fn kill(&self) {
        if let Some(mut process) = self.process().take() {
            process.kill();
        }
    }

    /// Stops the server's time: connections stay open, nothing is answered.
    pub fn pause(&self) {
        if let Some(process) = self.process().as_mut() {
            process.pause();
        }
    }

    /// Ends a `pause`.
    pub fn resume(&self) {
        if let Some(process) = self.process().as_mut() {
            process.resume();
        }
    }

    /// The server's process id, if it runs.
    pub fn pid(&self) -> Option<u32> {
        let mut process = self.process();
        let process = process.as_mut()?;
        process.ended().is_none().then(|| process.pid())
    }

    /// Whether the server's process runs. One that ended by itself does not.
    pub fn is_running(&self) -> bool {
        self.pid().is_some()
    }

    /// The port it listens on, on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.program.port()
    }

    /// What people call it: `Kafka` or `Postgres`.
    pub fn name(&self) -> &'static str {
        self.program.name()
    }

    /// Its log, for an error message.
    pub fn log(&self) -> PathBuf {
        self.program.log()
    }

    fn wait_until_ready(&self, process: &mut Process) -> Result<(), ServerError> {
        let name = self.program.name();
        let log = self.program.log();
        let deadline = clock::monotonic() + self.timeout;
        loop {
            if let Some(status) = process.ended() {
                let said = telling_line(&log);
                return Err(ServerError::Ended { name, status, said, log });
            }
            if is_open(self.program.port()) && self.program.is_ready() {
                return Ok(());
            }
            if clock::monotonic() > deadline {
                return Err(ServerError::NotReady { name, waited: self.timeout, log });
            }
            thread::sleep(POLL);
        }
    }

    /// A panic elsewhere leaves the process itself as it was, so that the lock's poison means nothing here.
    fn process(&self) -> MutexGuard<'_, Option<Process>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A port on 127.0.0.1 that nobody listens on now.
pub(super) fn free_port() -> io::Result<u16> {
    let tries = (0..PORT_TRIES).map(|_| rand::random_range(PORTS));
    if let Some(port) = tries.into_iter().find(|port| is_free(*port)) {
        return Ok(port);
    }
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

fn is_open(port: u16) -> bool {
    TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_not_free() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        assert!(!is_free(listener.local_addr().unwrap().port()));
        let port = free_port().unwrap();
        assert!(is_free(port));
    }
}
