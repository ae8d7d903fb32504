//! A connection to a server that a test can take away or make long, without doing so to the other tests.

#[path = "trips.rs"]
mod trips;

use std::{pin::pin, sync::Arc, thread, time::Duration};

use flowtrail::config::Config;
use secrecy::ExposeSecret as _;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::{mpsc, watch},
    time::{Instant, timeout},
};
use tokio_util::task::TaskTracker;

use self::trips::{Line, Trips};

/// What becomes of connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// They work.
    Pass,
    /// They stay open and carry nothing, as behind a network that swallows packets.
    Hang,
    /// They are cut, and new ones are refused.
    Refuse,
    /// They work, and whatever is sent arrives so much later, in either direction: an answer takes twice as long.
    Slow(Duration),
}

/// Ports are taken from these: below those that systems give to outgoing connections, one of which could otherwise take
/// the port of a proxy that refuses for a while.
const PORTS: std::ops::Range<u16> = 15_000..32_000;

/// Pieces of up to 64 kB that are on their way in one direction: as much as a slow network holds.
const IN_FLIGHT: usize = 256;

/// How long it may take until connections are cut.
const PATIENCE: Duration = Duration::from_mins(1);

/// A port of 127.0.0.1 that nobody listens on now.
pub fn free_port() -> u16 {
    let is_free = |port: &u16| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok();
    std::iter::repeat_with(|| rand::random_range(PORTS)).take(100).find(is_free).expect("no port is free")
}

/// The same database, through a proxy.
pub async fn through_a_proxy(config: &Config) -> (Config, Proxy) {
    let url = config.postgres.url.as_ref().unwrap().expose_secret();
    let proxy = Proxy::before(url).await;
    let mut config = config.clone();
    config.postgres.url = Some(proxy.url(url).into());
    (config, proxy)
}

/// What stands before the port of a database's URL, the port, and what stands behind it.
fn parts(url: &str) -> (&str, u16, &str) {
    let (before, rest) = url.rsplit_once(':').expect("the URL has a port");
    let (port, name) = rest.split_once('/').expect("the URL ends with a database");
    (before, port.parse().expect("the URL has a port"), name)
}

/// Listens on a port of its own until it is dropped.
#[derive(Debug)]
pub struct Proxy {
    mode: watch::Sender<Mode>,
    port: u16,
    open: TaskTracker,
    trips: Arc<Trips>,
}

impl Proxy {
    pub async fn to(port: u16) -> Self {
        let own = free_port();
        let listener = TcpListener::bind(("127.0.0.1", own)).await.unwrap();
        let (mode, seen) = watch::channel(Mode::Pass);
        let (open, trips) = (TaskTracker::new(), Arc::default());
        tokio::spawn(serve(listener, (own, port), seen, open.clone(), Arc::clone(&trips)));
        Self { mode, port: own, open, trips }
    }

    /// To the server that the URL of a database names.
    pub async fn before(url: &str) -> Self {
        Self::to(parts(url).1).await
    }

    /// The URL of a database, through this proxy.
    pub fn url(&self, direct: &str) -> String {
        let (before, _, name) = parts(direct);
        format!("{before}:{}/{name}", self.port)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }

    /// How often Postgres was waited for through it.
    pub fn trips(&self) -> &Trips {
        &self.trips
    }

    /// Cuts all connections and refuses new ones; returns when none is left.
    pub async fn cut(&self) {
        self.set(Mode::Refuse);
        self.open.close();
        timeout(PATIENCE, self.open.wait()).await.expect("connections stay open");
        self.open.reopen();
    }
}

async fn serve(
    first: TcpListener,
    (own, target): (u16, u16),
    mut mode: watch::Receiver<Mode>,
    open: TaskTracker,
    trips: Arc<Trips>,
) {
    let mut listener = Some(first);
    loop {
        if *mode.borrow_and_update() == Mode::Refuse {
            listener = None;
        } else if listener.is_none() {
            listener = Some(TcpListener::bind(("127.0.0.1", own)).await.unwrap());
        }
        tokio::select! {
            changed = mode.changed() => if changed.is_err() { return },
            accepted = async { listener.as_ref().unwrap().accept().await }, if listener.is_some() => {
                let line = Line::of(Arc::clone(&trips));
                open.spawn(carry(accepted.unwrap().0, target, mode.clone(), line));
            }
        }
    }
}

async fn carry(client: TcpStream, target: u16, mode: watch::Receiver<Mode>, line: Line) {
    let Ok(server) = TcpStream::connect(("127.0.0.1", target)).await else { return };
    // Otherwise a small packet waits until the one before it is confirmed, which may be 40 ms.
    if client.set_nodelay(true).and_then(|()| server.set_nodelay(true)).is_err() {
        return;
    }
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    // Whichever ends first ends both.
    tokio::select! {
        () = pump(from_client, to_server, mode.clone(), (|bytes| line.asked(bytes), || ())) => {}
        () = pump(from_server, to_client, mode, (|_| (), || line.answered())) => {}
    }
}

/// Carries bytes one way, and says when some are taken and when some are handed on.
async fn pump(
    from: impl AsyncRead + Unpin,
    to: impl AsyncWrite + Unpin,
    mode: watch::Receiver<Mode>,
    (taken, handed_on): (impl Fn(&[u8]), impl Fn()),
) {
    let (due, held) = mpsc::channel(IN_FLIGHT);
    // Room for all of it too: to hand on piece by piece would take as long as a busy machine takes to switch threads.
    let (on, arrived) = mpsc::channel(IN_FLIGHT);
    thread::spawn(move || hold(held, &on));
    let mut writing = pin!(write(arrived, to, mode.clone(), handed_on));
    tokio::select! {
        // What was sent before the end arrives, unless the connection is cut.
        cut = read(from, due, mode, taken) => if !cut { writing.await },
        () = &mut writing => {}
    }
}

/// Holds bytes until they are due. A thread does, as the runtime's timers know whole milliseconds only.
fn hold(mut held: mpsc::Receiver<(Instant, Vec<u8>)>, on: &mpsc::Sender<Vec<u8>>) {
    while let Some((due, bytes)) = held.blocking_recv() {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        if on.blocking_send(bytes).is_err() {
            return;
        }
    }
}

/// Takes bytes in, with the time at which they are to arrive; says whether it was cut or came to its end.
async fn read(
    mut from: impl AsyncRead + Unpin,
    due: mpsc::Sender<(Instant, Vec<u8>)>,
    mut mode: watch::Receiver<Mode>,
    taken: impl Fn(&[u8]),
) -> bool {
    let mut buffer = vec![0; 1 << 16];
    loop {
        let delay = match mode.wait_for(|mode| *mode != Mode::Hang).await.map(|mode| *mode) {
            Ok(Mode::Pass) => Duration::ZERO,
            Ok(Mode::Slow(delay)) => delay,
            _ => return true,
        };
        tokio::select! {
            _ = mode.changed() => {}
            read = from.read(&mut buffer) => {
                let Ok(length @ 1..) = read else { return false };
                taken(&buffer[..length]);
                if due.send((Instant::now() + delay, buffer[..length].to_vec())).await.is_err() {
                    return true;
                }
            }
        }
    }
}

/// Hands bytes on.
async fn write(
    mut arrived: mpsc::Receiver<Vec<u8>>,
    mut to: impl AsyncWrite + Unpin,
    mut mode: watch::Receiver<Mode>,
    handed_on: impl Fn(),
) {
    while let Some(bytes) = arrived.recv().await {
        if mode.wait_for(|mode| *mode != Mode::Hang).await.is_err() {
            return;
        }
        // Before they are: whoever they are for may be faster than this.
        handed_on();
        if to.write_all(&bytes).await.is_err() {
            return;
        }
    }
}
