//! `GET /v1/stream/steps`: each step as it is posted, over a WebSocket, from Kafka. Any number of readers get every step.
//!
//! One reader of the topic serves them all; it runs while there is somebody. A reader that is slow misses steps once it
//! is more than [`BEHIND`] of them behind: then its connection is closed, and says how many.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{
        State, WebSocketUpgrade,
        ws::{CloseFrame, Message, Utf8Bytes, WebSocket, close_code},
    },
    http::StatusCode,
    response::Response,
    routing::get,
};
use futures_util::{SinkExt as _, StreamExt as _, stream::SplitSink};
use tokio::{
    sync::broadcast::{self, error::RecvError},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use super::{caller::Scope, reads::plain_text};
use crate::{
    config,
    kafka::{
        shared_tail::{Listening, SharedTail},
        tail::Record,
    },
    model::Event,
    pipeline::decode::{decode, foreign::Foreign},
    redaction::Rules,
};

/// Steps that a reader may be behind.
const BEHIND: usize = 1_024;

/// A step longer than this is passed over: as many of them as a reader may be behind wait in memory.
const MOST_BYTES: usize = 64 << 10;

/// How long a reader may take to accept a step.
const PATIENCE: Duration = Duration::from_mins(1);

/// How often a silent connection is asked whether it is there.
const PING_EVERY: Duration = Duration::from_secs(20);

/// Where steps come from.
#[derive(Debug, Clone)]
pub struct Steps {
    tail: SharedTail<Utf8Bytes>,
}

impl Steps {
    /// Of this topic, masked by the rules, until `stop`. Nothing is read before somebody asks.
    pub fn new(
        kafka: &config::Kafka,
        topic: &str,
        rules: Option<Arc<Rules>>,
        foreign: Foreign,
        stop: CancellationToken,
    ) -> Self {
        let read = move |record: &Record| posted_steps(record, rules.as_deref(), &foreign);
        Self { tail: SharedTail::new(kafka, topic, BEHIND, stop, read) }
    }
}

/// The own JSON of the steps that the record is of, if they have some.
fn posted_steps(record: &Record, rules: Option<&Rules>, foreign: &Foreign) -> Vec<Utf8Bytes> {
    let value = foreign.contract(record.value.clone(), || record.source.clone());
    let Ok(decoded) = decode(record.key.as_deref(), value.as_ref(), MOST_BYTES, rules) else {
        return Vec::new();
    };
    let is_whole = !decoded.is_oversized();
    let step = |event| {
        let Event::Step { row, .. } = event else { return None };
        let data = row.data.filter(|data| is_whole && data.starts_with(b"{"))?;
        Utf8Bytes::try_from(data).ok()
    };
    decoded.events.into_iter().filter_map(step).collect()
}

/// The route.
pub fn routes(steps: Steps) -> Router {
    Router::new().route("/v1/stream/steps", get(stream)).with_state(steps)
}

async fn stream(State(steps): State<Steps>, Scope(only): Scope, upgrade: WebSocketUpgrade) -> Response {
    if only.is_some() {
        return plain_text(StatusCode::FORBIDDEN, "a step names no user, and this token is for one");
    }
    match steps.tail.listen().await {
        Ok(Listening { receiver, .. }) => {
            let stop = steps.tail.stop().clone();
            upgrade.on_upgrade(async move |socket| pass_on(socket, receiver, stop).await)
        }
        Err(why) => plain_text(StatusCode::SERVICE_UNAVAILABLE, &why),
    }
}

/// Passes steps on until either side ends it.
async fn pass_on(socket: WebSocket, mut receiver: broadcast::Receiver<Utf8Bytes>, stop: CancellationToken) {
    let (mut out, mut incoming) = socket.split();
    let mut pings = tokio::time::interval(PING_EVERY);
    let (code, reason) = loop {
        let message = tokio::select! {
            came = receiver.recv() => match came {
                Ok(posted) => Message::Text(posted),
                Err(RecvError::Lagged(missed)) => {
                    break (close_code::POLICY, format!("too slow: {missed} steps were missed"));
                }
                Err(RecvError::Closed) => break (close_code::RESTART, "the topic is not read any more".to_owned()),
            },
            _ = pings.tick() => Message::Ping(bytes::Bytes::new()),
            () = stop.cancelled() => break (close_code::AWAY, "this server is stopping".to_owned()),
            said = incoming.next() => match said {
                // A reader has nothing to say; pings are answered by the library.
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                Some(Ok(_)) => continue,
            },
        };
        if !accepts(&mut out, message).await {
            return;
        }
    };
    let farewell = Message::Close(Some(CloseFrame { code, reason: reason.into() }));
    if accepts(&mut out, farewell).await {
        // A connection that is closed before all of it was read is reset, and the farewell may be lost with that.
        let _ = timeout(PATIENCE, async { while let Some(Ok(_)) = incoming.next().await {} }).await;
    }
}

async fn accepts(out: &mut SplitSink<WebSocket, Message>, message: Message) -> bool {
    matches!(timeout(PATIENCE, out.send(message)).await, Ok(Ok(())))
}
