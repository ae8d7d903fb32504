//! The gateway: what Flogo apps post to their state service goes to Kafka, and what they ask is answered from Postgres
//! ([`reads`]).
//!
//! A request becomes an event ([`crate::flogo`]), and is answered once the event is kept ([`recorder`]): Kafka has
//! it, or a synced file of the [`spool`], from which [`drain`] moves it to Kafka. [`routes`] has the requests, [`bulk`]
//! the one that carries many, [`apps`] which apps are switched off, [`quota`] how much each may post. [`also`] sends on what is kept to another such service.

use std::{sync::Arc, time::Duration};

use axum::{
    body::{self, Body},
    http::{HeaderMap, StatusCode},
    response::Response,
};
use bytes::Bytes;

use self::{also::Also, apps::Apps, quota::Quota};
use crate::{clock, metrics, postgres::Pool, proto::v1::HistoryEvent, redaction::Rules};

pub mod also;
pub mod apps;
pub mod bulk;
pub mod caller;
pub mod drain;
mod own;
pub mod quota;
pub mod reads;
pub mod recorder;
pub mod routes;
pub mod spool;
pub mod stream;

mod answer;

pub use self::recorder::{Kept, NotKept, Recorder};

/// What a request may cost.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// From its first byte to its answer. An app that records hangs for as long as its recorder does.
    pub deadline: Duration,
    /// Bytes of a body.
    pub body_bytes: usize,
}

/// What the requests work with.
#[derive(Debug)]
pub struct Gateway {
    /// Keeps events.
    pub recorder: Recorder,
    /// The way to another service that gets every write too, if there is one.
    pub also: Option<Also>,
    /// Asked which executions of a flow are known.
    pub pool: Pool,
    /// Which apps are switched off.
    pub apps: Apps,
    /// How much an app may post.
    pub quota: Quota,
    /// What a request may cost.
    pub limits: Limits,
    /// What is masked before an event is kept.
    pub rules: Option<Arc<Rules>>,
}

impl Gateway {
    /// The other service, if a request with these headers is to go there too.
    fn also_for(&self, headers: &HeaderMap) -> Option<&Also> {
        self.also.as_ref().filter(|_| !Also::is_repeat(headers))
    }

    /// Keeps an event, with what nobody is to read masked, unless its app is switched off; says whether it is kept. One that
    /// is beyond the quota of its app is refused.
    async fn keep(&self, mut event: HistoryEvent) -> Result<bool, NotKept> {
        if self.apps.is_off(&event) {
            metrics::gateway_switched_off();
            return Ok(false);
        }
        if self.quota.admit(&event, clock::monotonic()).is_err() {
            metrics::gateway_over_quota();
            return Err(NotKept::OverQuota);
        }
        if let Some(rules) = &self.rules {
            rules.redact(&mut event);
        }
        self.recorder.keep(event).await.map(|_| true)
    }
}

/// A body within the limit, or what is answered to who sent it.
async fn whole(body: Body, most: usize) -> Result<Bytes, Response> {
    body::to_bytes(body, most).await.map_err(|error| {
        let is_too_long =
            std::error::Error::source(&error).is_some_and(|cause| cause.to_string().contains("limit"));
        if is_too_long {
            let message = format!("the body is longer than {most} bytes (gateway.max_body_bytes)");
            answer::error(StatusCode::PAYLOAD_TOO_LARGE, &message)
        } else {
            answer::error(StatusCode::BAD_REQUEST, &format!("the body ended early: {error}"))
        }
    })
}
