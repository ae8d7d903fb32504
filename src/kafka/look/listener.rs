//! Hears what librdkafka says in its log only: why a broker can't be reached, and what the brokers are able to do.

use std::{
    collections::{BTreeMap, HashMap},
    error,
    sync::{Arc, Mutex, PoisonError},
};

use rdkafka::{
    ClientContext, Statistics, client::OAuthToken, config::RDKafkaLogLevel, consumer::ConsumerContext,
    error::KafkaError,
};

use super::super::{client::Context, token};

/// A consumer's context that remembers.
#[derive(Debug)]
pub(super) struct Listener {
    context: Context,
    /// By broker and request, the newest version of it.
    versions: Arc<Mutex<HashMap<String, BTreeMap<i16, i16>>>>,
}

impl Listener {
    pub(super) fn new(context: Context) -> Self {
        Self { context, versions: Arc::default() }
    }

    /// The last error.
    pub(super) fn words(&self) -> &Context {
        &self.context
    }

    /// By request, the newest version of it that all brokers understand that told theirs.
    pub(super) fn protocol(&self) -> BTreeMap<i16, i16> {
        let versions = self.versions.lock().unwrap_or_else(PoisonError::into_inner);
        let mut brokers = versions.values();
        let mut common = brokers.next().cloned().unwrap_or_default();
        for broker in brokers {
            common.retain(|request, _| broker.contains_key(request));
            for (request, version) in &mut common {
                *version = broker.get(request).map_or(*version, |other| (*version).min(*other));
            }
        }
        common
    }
}

impl ClientContext for Listener {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        if facility == "APIVERSION" {
            if let Some((broker, request, version)) = version(message) {
                let mut versions = self.versions.lock().unwrap_or_else(PoisonError::into_inner);
                versions.entry(broker.to_owned()).or_default().insert(request, version);
            }
            return;
        }
        self.context.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.context.error(error, reason);
    }

    fn stats(&self, _: Statistics) {}

    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn generate_oauth_token(&self, from: Option<&str>) -> Result<OAuthToken, Box<dyn error::Error>> {
        token::read(from)
    }
}

impl ConsumerContext for Listener {}

/// Broker, request and its newest version in `[thrd:…]: 127.0.0.1:9092/1:   ApiKey Fetch (1) Versions 4..18`.
fn version(message: &str) -> Option<(&str, i16, i16)> {
    let (head, tail) = message.split_once(" ApiKey ")?;
    let broker = head.trim_end().trim_end_matches(':').rsplit(' ').next()?;
    let (_, tail) = tail.split_once('(')?;
    let (request, tail) = tail.split_once(')')?;
    let (_, newest) = tail.rsplit_once("..")?;
    Some((broker, request.parse().ok()?, newest.trim().parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    #[test]
    fn the_log_is_read_for_what_brokers_are_able_to_do() {
        let listener = Listener::new(Context::new(&config::Kafka::default()));
        for line in [
            "[thrd:a:9092/bootstrap]: a:9092/1:   ApiKey Fetch (1) Versions 4..18",
            "[thrd:a:9092/bootstrap]: a:9092/1:   ApiKey Metadata (3) Versions 0..13",
            "[thrd:a:9092/bootstrap]: a:9092/1:   ApiKey Unknown-99? (99) Versions 0..0",
            "[thrd:b:9092/2]: b:9092/2:   ApiKey Fetch (1) Versions 0..16",
            "[thrd:b:9092/2]: b:9092/2:   ApiKey Metadata (3) Versions 0..13",
            "[thrd:b:9092/2]: b:9092/2: Broker API support:",
        ] {
            listener.log(RDKafkaLogLevel::Debug, "APIVERSION", line);
        }
        // Both understand Fetch 16; nothing is known of what one of them lacks.
        assert_eq!(listener.protocol().into_iter().collect::<Vec<_>>(), [(1, 16), (3, 13)]);
    }
}
