//! Connections: how many, over TLS or not, how long each may take over what it says, and the end of all of them.

use std::{io, net::SocketAddr, path::Path, pin::pin, sync::Arc, time::Duration};

use axum::{Router, extract::ConnectInfo};
use hyper::{Request, body::Incoming, server::conn::http1, service::Service as _};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinSet,
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{ServeError, headers};
use crate::{
    config,
    tls::identity::{Identity, IdentityError},
};

/// How long a connection has to shake hands.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// How long a client may take over the head of a request, and how long its connection may rest before the next.
const HEAD_TIME: Duration = Duration::from_mins(1);

/// Bytes of a head that is still to come to its end; with what is read at once it is twice that at most. Its headers are 100 at
/// most, as hyper has it.
const HEAD_BYTES: usize = 32 << 10;

/// How long requests that are being answered have once the server is told to stop.
const GRACE: Duration = Duration::from_secs(1);

/// How long to wait where the machine has no room for another connection.
const NO_ROOM: Duration = Duration::from_millis(100);

/// Where requests come in.
#[derive(Debug, Clone)]
pub struct Door {
    identity: Option<Arc<Identity>>,
    most_connections: usize,
}

/// Without TLS, with as many connections as by default.
impl Default for Door {
    fn default() -> Self {
        Self { identity: None, most_connections: config::Http::default().max_connections }
    }
}

impl Door {
    /// As it is configured; reads the certificate, if one is named.
    pub fn new(http: &config::Http) -> Result<Self, IdentityError> {
        let (chain, key) = (Path::new(&http.tls_cert_file), Path::new(&http.tls_key_file));
        let is_wanted = [chain, key].iter().any(|path| !path.as_os_str().is_empty());
        let identity = is_wanted.then(|| Identity::read(chain, key)).transpose()?.map(Arc::new);
        Ok(Self { identity, most_connections: http.max_connections })
    }

    /// Binds `listen` and answers under `tasks` until `stop`; what is being answered then has a second more. Gives the
    /// address that was bound.
    pub async fn open(
        self,
        listen: &str,
        router: Router,
        stop: CancellationToken,
        tasks: &TaskTracker,
    ) -> Result<SocketAddr, ServeError> {
        let bind = |source| ServeError::Bind { listen: listen.to_owned(), source };
        let listener = TcpListener::bind(listen).await.map_err(bind)?;
        let address = listener.local_addr().map_err(bind)?;
        if let Some(identity) = self.identity.clone() {
            let stop = stop.clone();
            tasks.spawn(async move { identity.follow(stop).await });
        }
        let router = headers::on_every_answer(router, self.identity.is_some());
        tasks.spawn(async move { self.accept(listener, router, stop).await });
        Ok(address)
    }

    async fn accept(self, listener: TcpListener, router: Router, stop: CancellationToken) {
        let room = Arc::new(Semaphore::new(self.most_connections));
        let mut connections = JoinSet::new();
        let accepting = async {
            loop {
                // Never closed. Beyond the limit whoever connects waits in the system's queue.
                let Ok(permit) = room.clone().acquire_owned().await else { return };
                let (stream, peer) = match listener.accept().await {
                    Ok(accepted) => accepted,
                    Err(error) => {
                        tracing::debug!(%error, "a connection can't be taken");
                        tokio::time::sleep(NO_ROOM).await;
                        continue;
                    }
                };
                let (router, stop, identity) = (router.clone(), stop.clone(), self.identity.clone());
                connections.spawn(async move {
                    attend(stream, peer, identity, router, stop).await;
                    drop(permit);
                });
                while connections.try_join_next().is_some() {}
            }
        };
        let _ = stop.run_until_cancelled(accepting).await;
        // A client that never finishes its request must not hold up the end: dropping its connection cuts it off.
        let _ = timeout(GRACE, async { while connections.join_next().await.is_some() {} }).await;
    }
}

async fn attend(
    stream: TcpStream,
    peer: SocketAddr,
    identity: Option<Arc<Identity>>,
    router: Router,
    stop: CancellationToken,
) {
    // An answer does not wait until the one before it is acknowledged. Where that can't be had it is late at worst.
    let _ = stream.set_nodelay(true);
    let Some(identity) = identity else { return converse(stream, peer, router, stop).await };
    let handshake = timeout(HANDSHAKE, identity.acceptor().accept(stream));
    let shaken = handshake.await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
    match shaken {
        Ok(stream) => converse(stream, peer, router, stop).await,
        Err(error) => tracing::debug!(%peer, %error, "no TLS with a client"),
    }
}

/// Answers the requests of one connection.
async fn converse<S>(stream: S, peer: SocketAddr, router: Router, stop: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let answers = TowerToHyperService::new(router);
    let service = hyper::service::service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        answers.call(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, %error, "a connection ended early");
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertifiedKey, generate_simple_self_signed};
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _, duplex},
        time::{Instant, sleep},
    };

    use super::*;

    const PEER: ([u8; 4], u16) = ([127, 0, 0, 1], 1);

    // The clock stands still but where everybody waits for it, so these tests take no time of anybody's.

    #[tokio::test(start_paused = true)]
    async fn who_takes_a_minute_over_a_head_is_cut_off_however_it_trickles() {
        let (mut client, server) = duplex(1024);
        let serving = tokio::spawn(converse(server, PEER.into(), Router::new(), CancellationToken::new()));
        let began = Instant::now();
        client.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
        for _ in 0..20 {
            if client.write_all(b"x: y\r\n").await.is_err() {
                break;
            }
            sleep(Duration::from_secs(7)).await;
        }
        serving.await.unwrap();
        let took = began.elapsed();
        assert!((HEAD_TIME..HEAD_TIME + Duration::from_secs(14)).contains(&took), "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_rests_for_a_minute_between_requests() {
        let (mut client, server) = duplex(1024);
        let serving = tokio::spawn(converse(server, PEER.into(), Router::new(), CancellationToken::new()));
        client.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        let mut answer = Vec::new();
        let began = Instant::now();
        client.read_to_end(&mut answer).await.unwrap();
        assert!(answer.starts_with(b"HTTP/1.1 404"));
        let took = began.elapsed();
        assert!((HEAD_TIME..HEAD_TIME + Duration::from_secs(1)).contains(&took), "{took:?}");
        serving.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn who_does_not_shake_hands_is_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let [chain, key] = ["chain", "key"].map(|name| folder.path().join(name));
        std::fs::write(&chain, cert.pem()).unwrap();
        std::fs::write(&key, signing_key.serialize_pem()).unwrap();
        let identity = Arc::new(Identity::read(&chain, &key).unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let _silent = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, peer) = listener.accept().await.unwrap();
        let began = Instant::now();
        attend(stream, peer, Some(identity), Router::new(), CancellationToken::new()).await;
        let took = began.elapsed();
        assert!((HANDSHAKE..HANDSHAKE + Duration::from_secs(1)).contains(&took), "{took:?}");
    }
}
