//! Client settings, logging and errors that all clients of librdkafka share.

use std::{
    collections::BTreeMap,
    error, fmt,
    sync::{Arc, Mutex, PoisonError},
};

use rdkafka::{
    ClientConfig, ClientContext, Statistics,
    client::OAuthToken,
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, ConsumerContext},
    error::{KafkaError, RDKafkaErrorCode},
    message::DeliveryResult,
    producer::ProducerContext,
};
use secrecy::ExposeSecret;

use super::{handshake, token};
use crate::config;

/// Why Kafka did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No broker answered in time.
    #[error("cannot reach Kafka at {servers}: {reason}; {advice}")]
    Unreachable {
        /// The configured brokers.
        servers: String,
        /// What librdkafka last said about them, or what is wrong with a certificate.
        reason: String,
        /// What to do about it.
        advice: String,
    },
    /// librdkafka does not take a setting. The value is left out, as it may be a secret.
    #[error("Kafka setting `{key}`: {reason}")]
    Setting {
        /// Name of the setting.
        key: String,
        /// What librdkafka says about it.
        reason: String,
    },
    /// No client could be made of settings that are right one by one.
    #[error("Kafka settings do not fit together: {0}")]
    Settings(String),
    /// A topic that is to be read is not there.
    #[error(
        "topic {topic} does not exist on {servers}, or this user may not see it; create it, or let `flowtrail publish --partitions` do so, \
         or name another under kafka.topics"
    )]
    NoTopic {
        /// Its name.
        topic: String,
        /// The configured brokers.
        servers: String,
    },
    /// The broker refused to make the topic.
    #[error("cannot create topic {topic}: {reason}")]
    Create {
        /// Its name.
        topic: String,
        /// What the broker said.
        reason: String,
    },
    /// Anything else, named by what was being done.
    #[error("cannot {doing}: {reason}")]
    Other {
        /// What was being done.
        doing: &'static str,
        /// What librdkafka or the broker said.
        reason: String,
    },
}

impl Error {
    /// An error of making a client.
    pub(crate) fn creating(error: KafkaError) -> Self {
        match error {
            KafkaError::ClientConfig(_, reason, key, _) => Self::Setting { key, reason },
            KafkaError::ClientCreation(reason) => Self::Settings(reason),
            other => Self::other("make a Kafka client", &other),
        }
    }

    /// An error of a request; what means that no broker answers is told apart.
    pub(crate) fn asking(doing: &'static str, error: &KafkaError, context: &Context) -> Self {
        match error.rdkafka_error_code() {
            Some(
                code @ (RDKafkaErrorCode::BrokerTransportFailure
                | RDKafkaErrorCode::OperationTimedOut
                | RDKafkaErrorCode::AllBrokersDown
                | RDKafkaErrorCode::Resolve
                | RDKafkaErrorCode::Authentication
                | RDKafkaErrorCode::MessageTimedOut),
            ) => context.unreachable(&words(code)),
            _ => Self::other(doing, error),
        }
    }

    pub(crate) fn other(doing: &'static str, error: &KafkaError) -> Self {
        Self::Other { doing, reason: error.rdkafka_error_code().map_or_else(|| error.to_string(), words) }
    }
}

/// librdkafka's settings: `defaults`, over them what `[kafka.librdkafka]` says, over that what the client `needs`.
///
/// The only place where secrets of `[kafka.librdkafka]` are exposed.
pub fn settings(kafka: &config::Kafka, defaults: &[(&str, &str)], needs: &[(&str, &str)]) -> ClientConfig {
    let mut settings = ClientConfig::new();
    settings.set("bootstrap.servers", &kafka.bootstrap_servers).set("client.id", "flowtrail");
    for (key, value) in defaults {
        settings.set(*key, *value);
    }
    for (key, value) in &kafka.librdkafka {
        settings.set(key, value.expose_secret());
    }
    for (key, value) in needs {
        settings.set(*key, *value);
    }
    settings
}

/// A consumer that takes no part in a group and commits nothing, and what it needs besides: `more` wins.
///
/// It is told when a partition is read to its end, whatever was there, and never skips a thing.
pub(crate) fn lookers_settings(kafka: &config::Kafka, more: &[(&str, &str)]) -> ClientConfig {
    const LOOK: [(&str, &str); 7] = [
        ("enable.auto.commit", "false"),
        ("enable.auto.offset.store", "false"),
        // With this a topic may be asked for by its name: that it is missing does not make it.
        ("allow.auto.create.topics", "false"),
        ("auto.offset.reset", "error"),
        ("isolation.level", "read_committed"),
        ("enable.partition.eof", "true"),
        ("statistics.interval.ms", "0"),
    ];
    let needs = [&LOOK[..], &[("group.id", kafka.group.as_str())], more].concat();
    let mut settings = settings(kafka, &[], &needs);
    // Settings of members of a group.
    for name in
        ["group.protocol", "group.instance.id", "group.remote.assignor", "partition.assignment.strategy"]
    {
        settings.remove(name);
    }
    settings
}

/// What can't be done with a log-in by token: nobody hears an `AdminClient` ask for one.
pub(crate) const NO_ADMIN: &str = "not with sasl.mechanism = OAUTHBEARER";

/// Whether a client of these settings logs in by a token.
pub(crate) fn logs_in_by_token(settings: &ClientConfig) -> bool {
    let mechanism = settings.get("sasl.mechanism").or_else(|| settings.get("sasl.mechanisms"));
    mechanism == Some("OAUTHBEARER")
}

/// Lets a consumer that is to be asked before it reads log in, if it does so by a token: it asks for one when it is polled,
/// and until then it is connected to nobody.
pub(crate) fn log_in<C: ConsumerContext>(consumer: &BaseConsumer<C>) {
    // It reads nothing yet, so no record can be lost here.
    let _ = consumer.poll(std::time::Duration::ZERO);
}

/// What a client does with librdkafka's own words: logs at debug, and keeps the last error for a sentence of ours.
///
/// librdkafka would write to standard error otherwise. Clones share the last error.
#[derive(Clone)]
pub struct Context {
    kafka: Arc<config::Kafka>,
    last_error: Arc<Mutex<Option<String>>>,
}

impl Context {
    /// For a client of these settings.
    pub fn new(kafka: &config::Kafka) -> Self {
        Self { kafka: Arc::new(kafka.clone()), last_error: Arc::default() }
    }

    /// The brokers cannot be reached: because of the last error, or else of `fallback`.
    ///
    /// Blocks for some seconds at most where a certificate was refused, to find out why.
    pub fn unreachable(&self, fallback: &str) -> Error {
        let reason = self.last_error().unwrap_or_else(|| fallback.to_owned());
        let servers = self.kafka.bootstrap_servers.clone();
        let refusal =
            reason.contains("certificate verify failed").then(|| handshake::why_refused(&self.kafka));
        if let Some(refusal) = refusal.flatten() {
            let advice = refusal.advice("ssl.ca.location under [kafka.librdkafka]");
            return Error::Unreachable { servers, reason: refusal.to_string(), advice };
        }
        let (reason, advice) = if reason.contains("alert") && reason.contains("certificate") {
            let said = "the broker wants a certificate of ours, and we show none or not one that it trusts";
            (said.to_owned(), "check ssl.certificate.location and ssl.key.location under [kafka.librdkafka]")
        } else {
            let advice = advice(&reason);
            (reason, advice)
        };
        Error::Unreachable { servers, reason, advice: advice.to_owned() }
    }

    /// Keeps what librdkafka said, in its log maybe, as the last error.
    pub(crate) fn hear(&self, reason: &str) {
        *self.last_error.lock().unwrap_or_else(PoisonError::into_inner) = Some(plain(reason));
    }

    /// The last error that was not about one request.
    pub fn last_error(&self) -> Option<String> {
        self.last_error.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        // Why a connection fails some clients hear only here, as an event it has lost its words.
        if facility == "FAIL" {
            self.hear(message.rsplit("]: ").next().unwrap_or(message));
        }
        tracing::debug!(target: "librdkafka", ?level, facility, "{message}");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(target: "librdkafka", %error, "{reason}");
        // "1/1 brokers are down" says less than what came before it.
        if error.rdkafka_error_code() != Some(RDKafkaErrorCode::AllBrokersDown) {
            self.hear(reason);
        }
    }

    fn stats(&self, _: Statistics) {}

    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn generate_oauth_token(&self, from: Option<&str>) -> Result<OAuthToken, Box<dyn error::Error>> {
        token::read(from)
    }
}

/// For consumers outside of groups.
impl ConsumerContext for Context {}

/// For producers that only ask questions.
impl ProducerContext for Context {
    type DeliveryOpaque = ();

    fn delivery(&self, _: &DeliveryResult<'_>, (): ()) {}
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").field("servers", &self.kafka.bootstrap_servers).finish_non_exhaustive()
    }
}

/// What to do about brokers that can't be reached for this reason.
fn advice(reason: &str) -> &'static str {
    let says = |words: &[&str]| words.iter().any(|word| reason.contains(word));
    if says(&["SASL", "OAUTHBEARER", "Authentication", "authentication"]) {
        "check sasl.mechanism and its user, password or token under [kafka.librdkafka]"
    } else if says(&["SSL", "security.protocol", "certificate"]) {
        "check security.protocol and the ssl.… settings under [kafka.librdkafka]"
    } else {
        "is it running, are KAFKA_BOOTSTRAP_SERVERS and security.protocol right?"
    }
}

/// `sasl_ssl://host:9092/bootstrap: Connect to ipv4#… failed: Connection refused (after 0ms in state CONNECT)`
/// without what is only of use to librdkafka.
fn plain(reason: &str) -> String {
    let reason =
        reason.split_once(": ").filter(|(who, _)| who.contains('/')).map_or(reason, |(_, what)| what);
    let reason = reason.split(" (after ").next().unwrap_or(reason);
    let reason = reason.strip_prefix("Connect to ").map_or_else(
        || reason.to_owned(),
        |rest| rest.split_once(" failed: ").map_or(rest, |(_, why)| why).to_owned(),
    );
    let mut letters = reason.chars();
    let first_word_is_plain =
        reason.chars().take_while(|c| !c.is_whitespace()).skip(1).all(char::is_lowercase);
    match letters.next() {
        Some(first) if first_word_is_plain => first.to_lowercase().collect::<String>() + letters.as_str(),
        _ => reason,
    }
}

/// What an error code means, without its name: `Timed out in queue`.
pub(crate) fn words(code: RDKafkaErrorCode) -> String {
    let text = code.to_string();
    let inner = text.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')')).unwrap_or(&text);
    plain(inner.trim_start_matches("Local: ").trim_start_matches("Broker: "))
}

/// Reasons and how often each was met.
pub(crate) type Reasons = BTreeMap<String, u64>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_said_without_librdkafkas_addresses() {
        let refused = "127.0.0.1:9/bootstrap: Connect to ipv4#127.0.0.1:9 failed: Connection refused (after 0ms in state CONNECT)";
        assert_eq!(plain(refused), "connection refused");
        let name = "nowhere:9092/bootstrap: Failed to resolve 'nowhere:9092': Name or service not known (after 3ms in state CONNECT)";
        assert_eq!(plain(name), "failed to resolve 'nowhere:9092': Name or service not known");
        assert_eq!(plain("SASL authentication error"), "SASL authentication error");
    }

    #[test]
    fn an_error_code_is_said_in_words() {
        assert_eq!(words(RDKafkaErrorCode::MessageTimedOut), "message timed out");
        assert_eq!(words(RDKafkaErrorCode::InvalidTopic), "invalid topic");
    }

    #[test]
    fn settings_of_the_file_win_over_defaults_and_lose_to_needs() {
        let mut kafka = config::Kafka::default();
        for key in ["linger.ms", "acks", "sasl.password"] {
            kafka.librdkafka.insert(key.to_owned(), "7".into());
        }
        let settings = settings(&kafka, &[("linger.ms", "5"), ("client.id", "x")], &[("acks", "all")]);
        assert_eq!(settings.get("linger.ms"), Some("7"));
        assert_eq!(settings.get("acks"), Some("all"));
        assert_eq!(settings.get("client.id"), Some("x"));
        assert_eq!(settings.get("sasl.password"), Some("7"));
        assert_eq!(settings.get("bootstrap.servers"), Some("127.0.0.1:9092"));
    }

    #[test]
    fn a_wrong_setting_is_named_and_its_value_is_not() {
        let error = Error::creating(KafkaError::ClientConfig(
            rdkafka::types::RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN,
            "No such configuration property: \"sasl.pasword\"".to_owned(),
            "sasl.pasword".to_owned(),
            "secret".to_owned(),
        ));
        assert!(!format!("{error:?} {error}").contains("secret"));
        assert!(error.to_string().starts_with("Kafka setting `sasl.pasword`: No such"));
    }
}
