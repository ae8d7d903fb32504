//! What systemd hears of a real collector, through a real socket.

use std::path::Path;

use tokio::{net::UnixDatagram, time::timeout};

use crate::{
    program::{self, Process, get},
    servers::{self, PATIENCE, until},
    traffic::{send, traffic},
};

/// How long systemd would wait for a beat; they come three times as often.
const WATCHDOG_MICROS: u32 = 300_000;

/// The end of a service manager.
struct Manager {
    socket: UnixDatagram,
    _folder: tempfile::TempDir,
}

impl Manager {
    fn listen() -> (Self, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        (Self { socket: UnixDatagram::bind(&path).unwrap(), _folder: folder }, path)
    }

    /// The next datagram.
    async fn hears(&self) -> String {
        let mut bytes = [0; 4_000];
        let length = timeout(PATIENCE, self.socket.recv(&mut bytes)).await.expect("nothing is said").unwrap();
        String::from_utf8(bytes[..length].to_vec()).unwrap()
    }

    /// The first datagram that holds these words; those before it are gone.
    async fn hears_of(&self, words: &str) -> String {
        let found = async {
            loop {
                let said = self.hears().await;
                if said.contains(words) {
                    return said;
                }
            }
        };
        timeout(PATIENCE, found).await.unwrap_or_else(|_| panic!("{words} is not said"))
    }
}

fn managed(mut command: tokio::process::Command, socket: &Path) -> tokio::process::Command {
    command.env("NOTIFY_SOCKET", socket).env("WATCHDOG_USEC", WATCHDOG_MICROS.to_string());
    command
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_manager_hears_that_a_collector_is_ready_lives_stalls_recovers_and_stops() {
    let config = servers::config(1).await;
    let (manager, socket) = Manager::listen();
    let mut command = program::configured(&config, ["collect", "--http", "127.0.0.1:0"]);
    command.env("FLOWTRAIL_COLLECTOR__STALL_AFTER_MS", "1000");
    let collector = Process::start(managed(command, &socket)).await;

    let ready = manager.hears_of("READY=1\n").await;
    assert_eq!(get(&collector.address, "/readyz").await.0, 200, "{ready}");
    for _ in 0..3 {
        manager.hears_of("WATCHDOG=1\n").await;
    }

    // Nobody gets past this lock, and for ten seconds nobody knows that it is the database that is to blame.
    let client = servers::connect_to(&config).await;
    client.batch_execute("BEGIN; LOCK TABLE steps IN ACCESS EXCLUSIVE MODE").await.unwrap();
    send(&config, &traffic(61, 200), 0).await.unwrap();
    let stalled = manager.hears_of("nothing was stored for").await;
    assert!(stalled.starts_with("STATUS=") && !stalled.contains("WATCHDOG=1"), "{stalled}");
    assert_eq!(get(&collector.address, "/livez").await.0, 503);
    client.batch_execute("COMMIT").await.unwrap();
    // While it stalled there was no beat between what was said of it, second by second.
    let mut said = manager.hears().await;
    while said.contains("nothing was stored for") {
        assert!(!said.contains("WATCHDOG=1"), "{said}");
        said = manager.hears().await;
    }
    assert!(said.contains("STATUS=") && said.contains("WATCHDOG=1"), "{said}");

    assert_eq!(collector.end("TERM").await, Some(0));
    manager.hears_of("STOPPING=1").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_manager_hears_of_a_server_and_one_that_is_not_there_is_no_reason_not_to_serve() {
    let config = servers::config(1).await;
    let (manager, socket) = Manager::listen();
    let command = program::configured(&config, ["serve", "--listen", "127.0.0.1:0"]);
    let mut command = managed(command, &socket);
    command.args(["--topic", &config.kafka.topics[0]]);
    let server = Process::start(command).await;
    manager.hears_of("READY=1\n").await;
    assert_eq!(server.end("TERM").await, Some(0));
    manager.hears_of("STOPPING=1").await;

    let command = program::configured(&config, ["serve", "--listen", "127.0.0.1:0"]);
    let mut command = managed(command, Path::new("/nowhere/notify"));
    command.args(["--topic", &config.kafka.topics[0]]);
    let server = Process::start(command).await;
    until("it serves", async || {
        let status = get(&server.address, "/readyz").await.0;
        if status == 200 { Ok(()) } else { Err(status.to_string()) }
    })
    .await;
    assert_eq!(server.end("TERM").await, Some(0));
}
