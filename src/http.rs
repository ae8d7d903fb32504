//! Health and metrics over HTTP.

use std::{io, net::SocketAddr, sync::Arc};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, Uri, header},
    response::{Html, IntoResponse, Response},
    routing::get,
    serve::ListenerExt as _,
};
use thiserror::Error;
use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{clock, metrics::Exposition};

pub mod access;
mod health;

pub use self::access::{Access, Caller, Role};
pub use self::health::{Check, Condition, Health, Report, Status};

/// Prometheus' text format.
const METRICS_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Why nothing is served.
#[derive(Debug, Error)]
pub enum ServeError {
    /// The address can't be had.
    #[error("cannot listen on {listen}; set http.listen to a free address")]
    Bind {
        /// The address as it was configured.
        listen: String,
        /// Why.
        #[source]
        source: io::Error,
    },
}

#[derive(Debug, Clone)]
struct Served {
    health: Arc<Health>,
    metrics: Exposition,
}

/// What a collector serves: [`probes`] and a page that links them.
pub fn router(health: Arc<Health>, metrics: Exposition) -> Router {
    probes(health, metrics).route("/", get(async || Html(include_str!("http/index.html"))))
}

/// `/metrics`, `/livez`, `/readyz`, and an answer for every path that nothing else answers.
pub fn probes(health: Arc<Health>, metrics: Exposition) -> Router {
    Router::new()
        .route("/metrics", get(show_metrics))
        .route(
            "/livez",
            get(async |State(served): State<Served>| answer(&served.health.liveness(clock::monotonic()))),
        )
        .route("/readyz", get(async |State(served): State<Served>| answer(&served.health.readiness())))
        .method_not_allowed_fallback(async |uri: Uri| problem(StatusCode::METHOD_NOT_ALLOWED, &uri))
        .fallback(async |uri: Uri| problem(StatusCode::NOT_FOUND, &uri))
        .with_state(Served { health, metrics })
}

/// Binds `listen` and answers under `tasks` until `stop`. Gives the address that was bound.
pub async fn serve(
    listen: &str,
    router: Router,
    stop: CancellationToken,
    tasks: &TaskTracker,
) -> Result<SocketAddr, ServeError> {
    let bind = |source| ServeError::Bind { listen: listen.to_owned(), source };
    let listener = TcpListener::bind(listen).await.map_err(bind)?;
    let address = listener.local_addr().map_err(bind)?;
    let listener = listener.tap_io(|connection| {
        // An answer does not wait until the one before it is acknowledged. Where that can't be had it is late at worst.
        let _ = connection.set_nodelay(true);
    });
    tasks.spawn(async move {
        let stopped = stop.clone().cancelled_owned();
        let service = router.into_make_service_with_connect_info::<SocketAddr>();
        // A client that never finishes its request must not hold up the shutdown: dropping the server cuts it off.
        let serving = axum::serve(listener, service).with_graceful_shutdown(stopped);
        let grace = async {
            stop.cancelled().await;
            tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        };
        tokio::select! {
            ended = async { serving.await } => if let Err(error) = ended {
                tracing::error!(event = "http_ended", %error, "the HTTP server ended");
            },
            () = grace => {}
        }
    });
    Ok(address)
}

async fn show_metrics(State(served): State<Served>) -> Response {
    ([(header::CONTENT_TYPE, METRICS_TYPE)], served.metrics.render()).into_response()
}

fn answer(report: &Report) -> Response {
    let code = match report.status {
        Status::Ok => StatusCode::OK,
        Status::Fail => StatusCode::SERVICE_UNAVAILABLE,
    };
    json(code, "application/json", &serde_json::json!(report))
}

/// An error as RFC 9457 wants it.
fn problem(code: StatusCode, uri: &Uri) -> Response {
    let body = serde_json::json!({
        "type": "about:blank",
        "title": code.canonical_reason(),
        "status": code.as_u16(),
        "instance": uri.path(),
    });
    json(code, "application/problem+json", &body)
}

fn json(code: StatusCode, content_type: &'static str, body: &serde_json::Value) -> Response {
    // Whoever asks about health wants to know how it is now.
    let headers = [(header::CONTENT_TYPE, content_type), (header::CACHE_CONTROL, "no-store")];
    (code, headers, body.to_string()).into_response()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    async fn ask(address: SocketAddr, request: &str) -> String {
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let request = format!("{request} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn every_page_answers_and_the_server_stops() {
        let health =
            Arc::new(Health::new(&Condition::OF_A_COLLECTOR, Duration::from_secs(1), clock::monotonic()));
        let metrics = crate::metrics::install().unwrap();
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let router = router(Arc::clone(&health), metrics);
        let address = serve("127.0.0.1:0", router, stop.clone(), &tasks).await.unwrap();

        assert!(ask(address, "GET /").await.contains("href=\"/metrics\""));
        let answer = ask(address, "GET /metrics").await;
        assert!(
            answer.starts_with("HTTP/1.1 200") && answer.contains("flowtrail_build_info{version="),
            "{answer}"
        );
        assert!(ask(address, "GET /livez").await.starts_with("HTTP/1.1 200"));
        let answer = ask(address, "GET /readyz").await;
        assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("\"status\":\"fail\""), "{answer}");
        for condition in [Condition::Schema, Condition::Database, Condition::Group] {
            health.met(condition);
        }
        assert!(ask(address, "GET /readyz").await.starts_with("HTTP/1.1 200"));
        let answer = ask(address, "GET /nothing").await;
        assert!(
            answer.starts_with("HTTP/1.1 404") && answer.contains("application/problem+json"),
            "{answer}"
        );
        assert!(ask(address, "POST /metrics").await.starts_with("HTTP/1.1 405"));

        let taken = serve(&address.to_string(), Router::new(), stop.clone(), &tasks).await.unwrap_err();
        assert!(taken.to_string().contains(&address.to_string()));

        // A connection that says nothing does not hold up the end.
        let _silent = tokio::net::TcpStream::connect(address).await.unwrap();
        stop.cancel();
        tasks.close();
        tokio::time::timeout(Duration::from_secs(10), tasks.wait()).await.unwrap();
    }
}
