//! Sends traces with the HTTP client that is here anyway.

use std::{
    future::{self, Future},
    io::Read as _,
    pin::Pin,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use ureq::Agent;

use crate::{clock, telemetry::Seldom};

/// How long one request may take: OTLP's own default.
const LIMIT: Duration = Duration::from_secs(10);

/// No receiver has more to say than this many bytes.
const MOST_ANSWER: u64 = 64 << 10;

/// A client that blocks, for the exporter's own thread.
#[derive(Debug)]
pub(super) struct Sender {
    agent: Agent,
    trouble: Mutex<Seldom>,
}

impl Sender {
    pub(super) fn new() -> Self {
        let config = Agent::config_builder().timeout_global(Some(LIMIT)).http_status_as_error(false).build();
        Self { agent: Agent::new_with_config(config), trouble: Mutex::default() }
    }

    fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (head, body) = request.into_parts();
        let answer = self.agent.run(Request::from_parts(head, &body[..]))?;
        let (head, body) = answer.into_parts();
        let mut said = Vec::new();
        body.into_reader().take(MOST_ANSWER).read_to_end(&mut said)?;
        Ok(Response::from_parts(head, Bytes::from(said)))
    }

    /// Says seldom why traces don't arrive; the exporter itself says nothing.
    fn note(&self, sent: &Result<Response<Bytes>, HttpError>) {
        let why = match sent {
            Ok(answer) if answer.status().is_success() => return,
            Ok(answer) => format!("the receiver answered {}", answer.status()),
            Err(error) => error.to_string(),
        };
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        if trouble.is_due("send", clock::monotonic()) {
            tracing::warn!(
                event = "traces_not_sent",
                why,
                "traces can't be sent; events are stored all the same"
            );
        }
    }
}

impl HttpClient for Sender {
    fn send_bytes<'me, 'sent>(
        &'me self,
        request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'sent>>
    where
        'me: 'sent,
        Self: 'sent,
    {
        let sent = self.send(request);
        self.note(&sent);
        Box::pin(future::ready(sent))
    }
}
