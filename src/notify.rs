//! What a service manager is told of a server: that it is ready, that it lives, that it stops. The words are those of
//! systemd's `sd_notify`: datagrams to the socket that `NOTIFY_SOCKET` names.
//!
//! Ready is what `/readyz` says, and alive is what `/livez` says, so that a manager restarts what a probe would.

use std::{
    env,
    ffi::{OsStr, OsString},
    fmt::Write as _,
    io,
    os::unix::{ffi::OsStrExt as _, net::UnixDatagram},
    process,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio_util::sync::CancellationToken;

use crate::{
    clock,
    http::{Health, Report, Status},
    sentence::quotable,
};

/// How often it is looked whether there is something to say; more often where the manager wants more beats.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Why a manager that wants to be told can't be.
#[derive(Debug, thiserror::Error)]
#[error("{variable} is \"{value}\", which can't be used")]
pub struct NotifyError {
    variable: &'static str,
    value: String,
    source: io::Error,
}

/// The manager that started this process.
#[derive(Debug)]
pub struct Manager {
    socket: UnixDatagram,
    /// How long it waits for a beat before it ends us; nothing where it does not wait for any.
    patience: Option<Duration>,
    said: Said,
}

/// What the manager knows already.
#[derive(Debug, Default)]
struct Said {
    ready: bool,
    status: String,
}

impl Manager {
    /// The manager that the environment of this process names; nothing if nobody wants to be told.
    pub fn of_environment() -> Result<Option<Self>, NotifyError> {
        Self::of(|name| env::var_os(name).filter(|value| !value.is_empty()))
    }

    fn of(variable: impl Fn(&'static str) -> Option<OsString>) -> Result<Option<Self>, NotifyError> {
        let Some(address) = variable("NOTIFY_SOCKET") else { return Ok(None) };
        let socket = connect(&address).map_err(wrong("NOTIFY_SOCKET", &address))?;
        // A process that was started by the one that is watched inherits the words and is not meant by them.
        let for_another = variable("WATCHDOG_PID").is_some_and(|pid| pid != *process::id().to_string());
        let patience = match variable("WATCHDOG_USEC").filter(|_| !for_another) {
            Some(value) => Some(micros(&value).map_err(wrong("WATCHDOG_USEC", &value))?),
            None => None,
        };
        Ok(Some(Self { socket, patience, said: Said::default() }))
    }

    /// Tells it how this process is until `stop`, and then that it stops.
    ///
    /// It never waits for the manager: what can't be delivered is said again the next time.
    pub async fn follow(mut self, health: Arc<Health>, stop: CancellationToken) {
        let every = self.patience.map_or(LOOK_EVERY, |patience| LOOK_EVERY.min(patience / 3));
        let looking = async {
            let mut ticks = tokio::time::interval(every);
            // After a pause one beat is as good as many.
            ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                self.tell(&health, clock::monotonic());
            }
        };
        let _ = stop.run_until_cancelled(looking).await;
        // A manager that is gone has no use for it.
        let _ = self.socket.send(b"STOPPING=1");
    }

    fn tell(&mut self, health: &Health, now: Instant) {
        let (ready, alive) = (health.readiness(), health.liveness(now));
        let (words, said) = self.said.next(&ready, &alive, self.patience.is_some());
        if words.is_empty() || self.socket.send(words.as_bytes()).is_ok() {
            self.said = said;
        }
    }
}

impl Said {
    /// The words that are due, as lines, and what the manager knows once it has them.
    fn next(&self, ready: &Report, alive: &Report, watched: bool) -> (String, Self) {
        let next = Self { ready: self.ready || ready.status == Status::Ok, status: sentence(ready, alive) };
        let mut words = String::new();
        if next.ready && !self.ready {
            words.push_str("READY=1\n");
        }
        if next.status != self.status {
            // Writing to a string does not fail.
            let _ = writeln!(words, "STATUS={}", next.status);
        }
        if watched && alive.status == Status::Ok {
            words.push_str("WATCHDOG=1\n");
        }
        (words, next)
    }
}

/// What is wrong, or that nothing is; on one line, or the reason's second line would be taken for a word.
fn sentence(ready: &Report, alive: &Report) -> String {
    let failed = ready.checks.iter().chain(&alive.checks).filter(|check| check.status == Status::Fail);
    let reasons: Vec<String> = failed
        .map(|check| format!("{}: {}", check.name, quotable(check.reason.as_deref().unwrap_or("not known"))))
        .collect();
    if reasons.is_empty() { "at work".to_owned() } else { reasons.join("; ") }
}

fn connect(address: &OsStr) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    match address.as_bytes().strip_prefix(b"@") {
        None => socket.connect(address)?,
        Some(name) => socket.connect_addr(&abstract_address(name)?)?,
    }
    Ok(socket)
}

#[cfg(target_os = "linux")]
fn abstract_address(name: &[u8]) -> io::Result<std::os::unix::net::SocketAddr> {
    use std::os::linux::net::SocketAddrExt as _;
    std::os::unix::net::SocketAddr::from_abstract_name(name)
}

#[cfg(not(target_os = "linux"))]
fn abstract_address(_: &[u8]) -> io::Result<std::os::unix::net::SocketAddr> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "only Linux has sockets without a file"))
}

fn micros(value: &OsStr) -> io::Result<Duration> {
    let micros = value.to_str().and_then(|text| text.parse().ok()).filter(|micros| *micros > 0);
    let no_number = || io::Error::new(io::ErrorKind::InvalidInput, "want a whole number of microseconds");
    micros.map(Duration::from_micros).ok_or_else(no_number)
}

fn wrong(variable: &'static str, value: &OsStr) -> impl FnOnce(io::Error) -> NotifyError {
    let value = quotable(&value.to_string_lossy()).into_owned();
    move |source| NotifyError { variable, value, source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Condition;

    const LIMIT: Duration = Duration::from_mins(1);

    #[cfg(target_os = "linux")]
    fn socket_of_its_own(what: &str) -> (UnixDatagram, String) {
        let name = format!("flowtrail-{what}-{}", process::id());
        let socket = UnixDatagram::bind_addr(&abstract_address(name.as_bytes()).unwrap()).unwrap();
        socket.set_nonblocking(true).unwrap();
        (socket, format!("@{name}"))
    }

    fn manager(variables: &[(&'static str, String)]) -> Result<Option<Manager>, NotifyError> {
        Manager::of(|name| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| OsString::from(value))
        })
    }

    #[cfg(target_os = "linux")]
    fn heard(socket: &UnixDatagram) -> Option<String> {
        let mut bytes = [0; 2_000];
        let length = socket.recv(&mut bytes).ok()?;
        Some(String::from_utf8(bytes[..length].to_vec()).unwrap())
    }

    #[test]
    fn nobody_is_told_where_nobody_asks() {
        assert!(manager(&[("WATCHDOG_USEC", "5000000".to_owned())]).unwrap().is_none());
    }

    #[test]
    fn a_socket_that_is_not_there_and_a_time_that_is_none_are_errors_that_name_the_variable() {
        let error = manager(&[("NOTIFY_SOCKET", "/nowhere/notify".to_owned())]).unwrap_err();
        assert_eq!(error.to_string(), "NOTIFY_SOCKET is \"/nowhere/notify\", which can't be used");
        for value in ["0", "soon", "-1"] {
            let (_socket, address) = socket_of_its_own("times");
            let variables = [("NOTIFY_SOCKET", address), ("WATCHDOG_USEC", value.to_owned())];
            let error = manager(&variables).unwrap_err();
            assert!(error.to_string().starts_with("WATCHDOG_USEC is "), "{error}");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn it_is_told_once_that_we_are_ready_and_of_each_change_and_beats_come_while_we_live() {
        let (socket, address) = socket_of_its_own("words");
        let pid = process::id().to_string();
        let variables =
            [("NOTIFY_SOCKET", address), ("WATCHDOG_USEC", "3000000".to_owned()), ("WATCHDOG_PID", pid)];
        let mut manager = manager(&variables).unwrap().unwrap();
        let start = clock::monotonic();
        let health = Health::new(&[Condition::Schema], LIMIT, start);
        let mut told = |health: &Health, now| {
            manager.tell(health, now);
            heard(&socket)
        };
        let waiting = "STATUS=schema: not looked at yet\nWATCHDOG=1\n";
        assert_eq!(told(&health, start).as_deref(), Some(waiting));
        health.met(Condition::Schema);
        assert_eq!(told(&health, start).as_deref(), Some("READY=1\nSTATUS=at work\nWATCHDOG=1\n"));
        assert_eq!(told(&health, start).as_deref(), Some("WATCHDOG=1\n"));

        // Nothing gets stored any more.
        health.note_lag(Some(5), start);
        let late = start + LIMIT + Duration::from_secs(1);
        let stalled = "STATUS=progress: 5 records wait and nothing was stored for 61 s\n";
        assert_eq!(told(&health, late).as_deref(), Some(stalled));
        assert_eq!(told(&health, late), None);

        health.note_progress(late);
        health.unmet(Condition::Schema, "gone\nREADY=1");
        assert_eq!(told(&health, late).as_deref(), Some("STATUS=schema: gone\\nREADY=1\nWATCHDOG=1\n"));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_watchdog_of_another_process_gets_no_beats() {
        let (socket, address) = socket_of_its_own("another");
        let variables = [
            ("NOTIFY_SOCKET", address),
            ("WATCHDOG_USEC", "3000000".to_owned()),
            ("WATCHDOG_PID", "1".to_owned()),
        ];
        let mut manager = manager(&variables).unwrap().unwrap();
        manager.tell(&Health::new(&[], LIMIT, clock::monotonic()), clock::monotonic());
        assert_eq!(heard(&socket).as_deref(), Some("READY=1\nSTATUS=at work\n"));
    }
}
