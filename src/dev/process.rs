//! One server as a process: started under a watchdog, stopped with a deadline, never left behind.
//!
//! Three things see to that. Each server has a *watchdog*, a small shell script that reads from a pipe only flowtrail
//! holds: when flowtrail is gone, even by SIGKILL, it stops the server. Each has a *pid file*, by which the next run finds
//! what the watchdog could not stop. And a server begins only after both are in place: until then its process is a shell
//! that waits for a word, and ends if the word can't come.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use tracing::warn;

use super::account::Account;
use super::identity::{self, Identity};
use super::leftover::{self, STOP_TIMEOUT};
use crate::clock;

const WATCHDOG: &str = include_str!("watchdog.sh");
/// How often a wait looks.
pub(super) const POLL: Duration = Duration::from_millis(20);
/// A log is put aside at the start of a server when it is longer than this.
const LOG_LIMIT: u64 = 16 << 20;

/// How a server is asked to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StopSignal {
    /// Postgres: end all sessions and shut down.
    Interrupt,
    /// Kafka: the usual request.
    Terminate,
}

impl StopSignal {
    pub(super) fn signal(self) -> Signal {
        match self {
            Self::Interrupt => Signal::INT,
            Self::Terminate => Signal::TERM,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Interrupt => "INT",
            Self::Terminate => "TERM",
        }
    }
}

/// All that is needed to start a server.
#[derive(Debug)]
pub(super) struct Launch {
    /// The program.
    pub(super) program: PathBuf,
    /// Its arguments.
    pub(super) args: Vec<OsString>,
    /// Its working folder.
    pub(super) dir: PathBuf,
    /// Who it runs as, if not as this process does.
    pub(super) account: Option<Account>,
    /// Where its output goes.
    pub(super) log: PathBuf,
    /// Where its identity is kept while it runs.
    pub(super) pid_file: PathBuf,
    /// How it is asked to stop.
    pub(super) stop: StopSignal,
}

/// A running server. Dropping it stops it.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    stop: StopSignal,
    pid_file: PathBuf,
    watchdog: Child,
    leash: Option<ChildStdin>,
    status: Option<ExitStatus>,
}

impl Process {
    /// Starts the server; whether it does its work is another question.
    pub(super) fn start(launch: &Launch) -> io::Result<Self> {
        let log = open_log(&launch.log)?;
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "read -r go && exec \"$@\" </dev/null", "flowtrail-dev"]);
        command.arg(&launch.program).args(&launch.args);
        quiet(&mut command, &launch.dir, launch.account);
        command.stdin(Stdio::piped()).stdout(log.try_clone()?).stderr(log);
        let mut child = command.spawn()?;
        let go = child.stdin.take();
        let mut watchdog = match watch(child.id(), launch.stop) {
            Ok(watchdog) => watchdog,
            Err(error) => {
                // Closing the pipe ends the shell that waits for the word.
                drop(go);
                let _ = child.wait();
                return Err(error);
            }
        };
        let leash = watchdog.stdin.take();
        let pid_file = launch.pid_file.clone();
        // From here on, dropping `process` ends both.
        let process = Self { child, stop: launch.stop, pid_file, watchdog, leash, status: None };
        let identity = Identity::of(process.pid()).ok_or_else(|| io::Error::other("it ended at once"))?;
        identity.write(&process.pid_file)?;
        if let Some(mut go) = go {
            writeln!(go, "go")?;
        }
        Ok(process)
    }

    /// Runs a program that prepares a server's folder to its end, under the same care: one that was left half-way would
    /// write into the folder that the next start prepares anew. On failure says what the program's log tells.
    pub(super) fn run(launch: &Launch, timeout: Duration) -> io::Result<Result<(), String>> {
        let mut process = Self::start(launch)?;
        if !process.wait(timeout) {
            return Ok(Err(format!("it had not finished after {} s", timeout.as_secs())));
        }
        let done = process.ended().is_some_and(|status| status.success());
        Ok(if done { Ok(()) } else { Err(telling_line(&launch.log)) })
    }

    /// The server's process id.
    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it has.
    pub(super) fn ended(&mut self) -> Option<ExitStatus> {
        if self.status.is_none() {
            self.status = self.child.try_wait().ok().flatten();
        }
        self.status
    }

    /// Asks it to stop, and after a deadline makes it.
    pub(super) fn stop(&mut self) {
        if self.ended().is_none() {
            self.signal_all(Signal::CONT);
            identity::send(self.pid(), self.stop.signal());
            if !self.wait(STOP_TIMEOUT) {
                warn!(pid = self.pid(), "it did not stop within {STOP_TIMEOUT:?} and is killed");
                self.kill();
            }
        }
        self.forget();
    }

    /// Ends it and its children at once, as a crash of the machine would.
    pub(super) fn kill(&mut self) {
        if self.ended().is_none() {
            // Stopped first, so that it can't start another child, nor tell its children to tidy up.
            identity::send(self.pid(), Signal::STOP);
            for child in identity::children(self.pid()) {
                identity::send(child, Signal::KILL);
            }
            identity::send(self.pid(), Signal::KILL);
            self.status = self.child.wait().ok();
        }
        self.forget();
    }

    /// Holds it and its children where they are.
    pub(super) fn pause(&mut self) {
        if self.ended().is_none() {
            self.signal_all(Signal::STOP);
        }
    }

    /// Lets it and its children go on.
    pub(super) fn resume(&mut self) {
        if self.ended().is_none() {
            self.signal_all(Signal::CONT);
        }
    }

    /// The server's own number can't be another's: it has not been waited for.
    fn signal_all(&self, signal: Signal) {
        identity::send(self.pid(), signal);
        for child in identity::children(self.pid()) {
            identity::send(child, signal);
        }
    }

    /// Whether it ended in time.
    fn wait(&mut self, timeout: Duration) -> bool {
        let deadline = clock::monotonic() + timeout;
        while self.ended().is_none() {
            if clock::monotonic() > deadline {
                return false;
            }
            thread::sleep(POLL);
        }
        true
    }

    /// Ends the watchdog and removes the pid file: there is nothing left to stop.
    fn forget(&mut self) {
        if let Some(mut leash) = self.leash.take() {
            let _ = writeln!(leash, "released");
            drop(leash);
            let _ = self.watchdog.wait();
            let _ = fs::remove_file(&self.pid_file);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.stop();
    }
}

fn watch(pid: u32, stop: StopSignal) -> io::Result<Child> {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", WATCHDOG, "flowtrail-dev-watchdog"]);
    quiet(&mut command, Path::new("/"), None);
    let mut watchdog = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    let seconds = leftover::STOP_TIMEOUT.as_secs();
    let told = watchdog.stdin.as_mut().map(|leash| writeln!(leash, "{pid} {} {seconds}", stop.word()));
    match told {
        Some(Err(error)) => {
            drop(watchdog.stdin.take());
            let _ = watchdog.wait();
            Err(error)
        }
        _ => Ok(watchdog),
    }
}

/// A process that a terminal's Ctrl-C doesn't reach before flowtrail has acted on it, in a folder it can enter.
fn quiet(command: &mut Command, dir: &Path, account: Option<Account>) {
    command.process_group(0).current_dir(dir).stdin(Stdio::null());
    if let Some(account) = account {
        command.uid(account.uid).gid(account.gid);
    }
    // Settings of the user's own database clients, and languages that an error message would be in.
    for name in ["PGDATA", "PGHOST", "PGPORT", "PGUSER", "PGDATABASE", "PGOPTIONS", "PGPASSWORD", "LANGUAGE"]
    {
        command.env_remove(name);
    }
    command.env("LC_ALL", "C");
}

fn open_log(path: &Path) -> io::Result<File> {
    if fs::metadata(path).is_ok_and(|found| found.len() > LOG_LIMIT) {
        fs::rename(path, path.with_extension("old.log"))?;
    }
    File::options().create(true).append(true).open(path)
}

/// The last line of a log that speaks of an error, else the last line.
pub(super) fn telling_line(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines = || text.lines().rev().filter(|line| !line.trim().is_empty()).take(200);
    let is_error = |line: &&str| {
        ["FATAL", "ERROR", "Error", "error:", "Exception"].iter().any(|word| line.contains(word))
    };
    lines().find(is_error).or_else(|| lines().next()).unwrap_or("it said nothing").trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_that_tells_most_is_the_last_error() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("postgres.log");
        assert_eq!(telling_line(&log), "it said nothing");
        fs::write(&log, "LOG: starting\nFATAL: could not open file\nLOG: shut down\n\n").unwrap();
        assert_eq!(telling_line(&log), "FATAL: could not open file");
        fs::write(&log, "LOG: starting\nLOG: shut down\n").unwrap();
        assert_eq!(telling_line(&log), "LOG: shut down");
    }
}
