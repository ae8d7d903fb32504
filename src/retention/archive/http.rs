//! Requests to object storage, by the client that all other requests go by.

use std::{error::Error, io, time::Duration};

use http_body_util::BodyExt as _;
use object_store::{
    ClientOptions,
    client::{HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService},
};
use ureq::{
    Agent,
    http::{Method, Response},
    tls::{RootCerts, TlsConfig},
};

/// How long a connection may take, and how long nothing may come or go once there is one.
const CONNECT: Duration = Duration::from_secs(5);
const SILENCE: Duration = Duration::from_secs(30);

/// A whole answer is not longer: objects of the archive are far smaller.
const LONGEST: u64 = 1 << 30;

/// Makes clients.
#[derive(Debug)]
pub(super) struct Connector;

impl HttpConnector for Connector {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        let tls = TlsConfig::builder().root_certs(RootCerts::PlatformVerifier).build();
        let config = Agent::config_builder()
            .tls_config(tls)
            .http_status_as_error(false)
            .max_redirects(0)
            .timeout_connect(Some(CONNECT))
            .timeout_per_read(Some(SILENCE))
            .timeout_per_write(Some(SILENCE));
        Ok(HttpClient::new(Requests(Agent::new_with_config(config.build()))))
    }
}

/// Sends one request after the other.
#[derive(Debug)]
struct Requests(Agent);

#[async_trait::async_trait]
impl HttpService for Requests {
    /// Blocks its thread: who asks for objects has one for that.
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let (head, body) = request.into_parts();
        let body = body.collect().await?.to_bytes();
        let answered = if matches!(head.method, Method::PUT | Method::POST) {
            self.0.run(ureq::http::Request::from_parts(head, &body[..]))
        } else {
            self.0.run(ureq::http::Request::from_parts(head, ()))
        };
        let (head, mut body) = answered.map_err(failed)?.into_parts();
        let body = body.with_config().limit(LONGEST).read_to_vec().map_err(failed)?;
        Ok(Response::from_parts(head, body.into()))
    }
}

/// Tells what may be tried again from what may not.
fn failed(error: ureq::Error) -> HttpError {
    use io::ErrorKind::ConnectionRefused;

    let kind = match &error {
        ureq::Error::Timeout(_) => HttpErrorKind::Timeout,
        ureq::Error::HostNotFound | ureq::Error::ConnectionFailed => HttpErrorKind::Connect,
        ureq::Error::Io(cause) if cause.kind() == ConnectionRefused => HttpErrorKind::Connect,
        ureq::Error::Io(_) | ureq::Error::Protocol(_) => HttpErrorKind::Interrupted,
        _ => HttpErrorKind::Unknown,
    };
    let error: Box<dyn Error + Send + Sync> = Box::new(error);
    HttpError::new_boxed(kind, error)
}
