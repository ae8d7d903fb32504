//! Stops servers that an earlier run left behind, and nobody else's.

use std::fs;
use std::io;
use std::path::Path;
use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use tracing::info;

use super::identity::{self, Identity};
use super::process::{POLL, StopSignal};
use super::{kafka, postgres, postgres_home};
use crate::clock;

/// How long a server may take to stop before it is made to. A busy Kafka or a large checkpoint takes a few seconds.
pub(super) const STOP_TIMEOUT: Duration = Duration::from_secs(20);

/// Stops whatever an earlier run in this folder left running. The caller holds the folder's lock, so that nothing of what
/// is found can belong to a run that goes on.
pub(super) fn stop_all(data_dir: &Path) -> io::Result<()> {
    stop_server(&data_dir.join(kafka::PID_FILE), StopSignal::Terminate)?;
    stop_server(&data_dir.join(postgres::PID_FILE), StopSignal::Interrupt)?;
    if let Some(home) = postgres_home::existing(data_dir) {
        stop_sessions(&home.join(postgres_home::CLUSTER))?;
    }
    Ok(())
}

fn stop_server(pid_file: &Path, stop: StopSignal) -> io::Result<()> {
    if let Some(left) = Identity::read(pid_file).filter(Identity::is_alive) {
        info!(pid = left.pid, "stopping a server that an earlier run left behind");
        left.signal(Signal::CONT);
        left.signal(stop.signal());
        if !has_ended(&left, STOP_TIMEOUT) {
            left.signal(Signal::KILL);
            if !has_ended(&left, STOP_TIMEOUT) {
                return Err(io::Error::other(format!(
                    "process {} of an earlier run can't be killed",
                    left.pid
                )));
            }
        }
    }
    super::data_dir::remove(pid_file)
}

/// Sessions outlive a Postgres that was killed by a moment, or for as long as they are paused; while one lives, a new
/// server refuses to open the data. They are known by their program and their working folder.
pub(super) fn stop_sessions(cluster: &Path) -> io::Result<()> {
    let sessions: Vec<_> = identity::all().filter(|pid| is_postgres_in(*pid, cluster)).collect();
    for session in sessions.into_iter().filter_map(Identity::of) {
        info!(pid = session.pid, "ending a Postgres process that an earlier run left behind");
        session.signal(Signal::KILL);
        if !has_ended(&session, STOP_TIMEOUT) {
            return Err(io::Error::other(format!("Postgres process {} can't be killed", session.pid)));
        }
    }
    Ok(())
}

/// Whether the process is a Postgres that works in `cluster`; a shell that someone opened there is not.
fn is_postgres_in(pid: u32, cluster: &Path) -> bool {
    let is_postgres =
        fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim_end() == "postgres");
    is_postgres && fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|dir| dir == cluster)
}

fn has_ended(process: &Identity, timeout: Duration) -> bool {
    let deadline = clock::monotonic() + timeout;
    while process.is_alive() {
        if clock::monotonic() > deadline {
            return false;
        }
        thread::sleep(POLL);
    }
    true
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command};

    use super::*;

    struct Running(Child);

    impl Drop for Running {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    fn sleeper() -> Running {
        Running(Command::new("sleep").arg("600").spawn().unwrap())
    }

    #[test]
    fn a_leftover_is_stopped_and_its_file_removed() {
        let dir = tempfile::tempdir().unwrap();
        let pid_file = dir.path().join(kafka::PID_FILE);
        let mut left = sleeper();
        Identity::of(left.0.id()).unwrap().write(&pid_file).unwrap();
        stop_all(dir.path()).unwrap();
        assert!(left.0.wait().is_ok_and(|status| !status.success()));
        assert!(!pid_file.exists());
    }

    #[test]
    fn a_stranger_who_has_the_number_now_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let pid_file = dir.path().join(kafka::PID_FILE);
        let mut stranger = sleeper();
        fs::write(&pid_file, format!("{}\nan earlier boot 17\n", stranger.0.id())).unwrap();
        stop_all(dir.path()).unwrap();
        assert!(stranger.0.try_wait().unwrap().is_none());
        assert!(!pid_file.exists());
    }
}
