//! A connection to a server that a test can take away, without taking it from the other tests.

use std::{
    pin::pin,
    sync::{Arc, Weak},
    time::Duration,
};

use flowtrail::config::Config;
use secrecy::ExposeSecret as _;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::{mpsc, watch},
    time::Instant,
};

use crate::servers::until;

/// What becomes of connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// They work.
    Pass,
    /// They stay open and carry nothing, as behind a network that swallows packets.
    Hang,
    /// They are cut, and new ones are refused.
    Refuse,
    /// They work, and whatever is sent arrives so much later.
    Slow(Duration),
}

/// Ports are taken from these: below those that systems give to outgoing connections, one of which could otherwise take
/// the port of a proxy that refuses for a while.
const PORTS: std::ops::Range<u16> = 15_000..32_000;

/// A port of 127.0.0.1 that nobody listens on now.
pub fn free_port() -> u16 {
    let is_free = |port: &u16| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok();
    std::iter::repeat_with(|| rand::random_range(PORTS)).take(100).find(is_free).expect("no port is free")
}

/// The same database, through a proxy.
pub async fn through_a_proxy(config: &Config) -> (Config, Proxy) {
    let url = config.postgres.url.as_ref().unwrap().expose_secret();
    let (before, rest) = url.rsplit_once(':').unwrap();
    let (port, name) = rest.split_once('/').unwrap();
    let proxy = Proxy::to(port.parse().unwrap()).await;
    let mut config = config.clone();
    config.postgres.url = Some(format!("{before}:{}/{name}", proxy.port()).into());
    (config, proxy)
}

/// Listens on a port of its own until it is dropped.
pub struct Proxy {
    mode: watch::Sender<Mode>,
    port: u16,
    /// Held by every connection.
    open: Arc<()>,
}

impl Proxy {
    pub async fn to(port: u16) -> Self {
        let own = free_port();
        let listener = TcpListener::bind(("127.0.0.1", own)).await.unwrap();
        let (mode, seen) = watch::channel(Mode::Pass);
        let open = Arc::new(());
        tokio::spawn(serve(listener, own, port, seen, Arc::downgrade(&open)));
        Self { mode, port: own, open }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }

    /// Cuts all connections and refuses new ones; returns when none is left.
    pub async fn cut(&self) {
        self.set(Mode::Refuse);
        until("all connections are cut", async || match Arc::strong_count(&self.open) {
            1 => Ok(()),
            open => Err(format!("{} are open", open - 1)),
        })
        .await;
    }
}

async fn serve(first: TcpListener, own: u16, target: u16, mut mode: watch::Receiver<Mode>, open: Weak<()>) {
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
                let Some(open) = open.upgrade() else { return };
                let (accepted, mode) = (accepted.unwrap().0, mode.clone());
                tokio::spawn(async move {
                    carry(accepted, target, mode).await;
                    drop(open);
                });
            }
        }
    }
}

async fn carry(client: TcpStream, target: u16, mode: watch::Receiver<Mode>) {
    let Ok(server) = TcpStream::connect(("127.0.0.1", target)).await else { return };
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    // Whichever ends first ends both.
    tokio::select! {
        () = pump(from_client, to_server, mode.clone()) => {}
        () = pump(from_server, to_client, mode) => {}
    }
}

async fn pump(from: impl AsyncRead + Unpin, to: impl AsyncWrite + Unpin, mode: watch::Receiver<Mode>) {
    // As much as a slow network holds.
    let (due, arrived) = mpsc::channel(256);
    let mut writing = pin!(write(arrived, to, mode.clone()));
    tokio::select! {
        // What was sent before the end arrives, unless the connection is cut.
        cut = read(from, due, mode) => if !cut { writing.await },
        () = &mut writing => {}
    }
}

/// Takes bytes in, with the time at which they are to arrive; says whether it was cut or came to its end.
async fn read(
    mut from: impl AsyncRead + Unpin,
    due: mpsc::Sender<(Instant, Vec<u8>)>,
    mut mode: watch::Receiver<Mode>,
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
                if due.send((Instant::now() + delay, buffer[..length].to_vec())).await.is_err() {
                    return true;
                }
            }
        }
    }
}

/// Hands bytes on when it is time.
async fn write(
    mut arrived: mpsc::Receiver<(Instant, Vec<u8>)>,
    mut to: impl AsyncWrite + Unpin,
    mut mode: watch::Receiver<Mode>,
) {
    while let Some((due, bytes)) = arrived.recv().await {
        if due > Instant::now() {
            tokio::time::sleep_until(due).await;
        }
        if mode.wait_for(|mode| *mode != Mode::Hang).await.is_err() || to.write_all(&bytes).await.is_err() {
            return;
        }
    }
}
