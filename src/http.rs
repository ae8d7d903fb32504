//! Health and metrics over HTTP.

use std::{io, net::SocketAddr, sync::Arc};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, Uri, header},
    response::{Html, IntoResponse, Response},
    routing::get,
};
use thiserror::Error;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{clock, config, metrics::Exposition};

pub mod access;
mod headers;
mod health;
mod serving;

pub use self::access::{Access, Caller, Role};
pub use self::health::{Check, Condition, Health, Report, Status};
pub use self::serving::Door;

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

/// Who may see the metrics of a server that listens there: nothing where everybody may, as on an address that is this machine's
/// alone; elsewhere who may read, unless `http.open_metrics` says otherwise.
pub async fn readers_of_metrics(http: &config::Http, listen: &str, access: &Access) -> Option<Access> {
    if http.open_metrics || is_local(listen).await { None } else { Some(access.or_nobody()) }
}

/// Whether an address is this machine's alone. One that can't be looked up counts for it: it can't be bound either.
pub(crate) async fn is_local(listen: &str) -> bool {
    let Ok(mut addresses) = tokio::net::lookup_host(listen).await else { return true };
    addresses.all(|address| address.ip().is_loopback())
}

/// What a collector serves: [`probes`] and a page that links them.
pub fn router(health: Arc<Health>, metrics: Exposition, readers: Option<&Access>) -> Router {
    probes(health, metrics, readers).route("/", get(async || Html(include_str!("http/index.html"))))
}

/// `/metrics` for its readers, or for everybody; `/livez`, `/readyz`, and an answer for every path that nothing else answers.
pub fn probes(health: Arc<Health>, metrics: Exposition, readers: Option<&Access>) -> Router {
    let served = Served { health, metrics };
    let shown = Router::new().route("/metrics", get(show_metrics)).with_state(served.clone());
    let shown = match readers {
        Some(readers) => readers.guard(shown, &[Role::Read]),
        None => shown,
    };
    Router::new()
        .route(
            "/livez",
            get(async |State(served): State<Served>| answer(&served.health.liveness(clock::monotonic()))),
        )
        .route("/readyz", get(async |State(served): State<Served>| answer(&served.health.readiness())))
        .method_not_allowed_fallback(async |uri: Uri| problem(StatusCode::METHOD_NOT_ALLOWED, &uri))
        .fallback(async |uri: Uri| problem(StatusCode::NOT_FOUND, &uri))
        .with_state(served)
        .merge(shown)
}

/// Binds `listen` without TLS and answers under `tasks` until `stop`. Gives the address that was bound.
pub async fn serve(
    listen: &str,
    router: Router,
    stop: CancellationToken,
    tasks: &TaskTracker,
) -> Result<SocketAddr, ServeError> {
    Door::default().open(listen, router, stop, tasks).await
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
        let router = router(Arc::clone(&health), metrics, None);
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
