//! Every setting once: its name, where it is kept, and what it may be.

use std::{collections::BTreeMap, time::Duration};

use rdkafka::ClientConfig;
use secrecy::SecretString;

use crate::rerun::Runtime;

use super::{
    Choice, Config,
    check::{
        check_brokers, check_claim, check_group, check_listen, check_one_topic, check_optional_topic,
        check_service, check_source, check_topic,
    },
    connection::Connection,
    is_secret,
    redaction::{self, RedactionRule},
    retention::{self, RetentionPolicy, check_archive},
};

/// librdkafka's own settings lie under this name.
pub(super) const LIBRDKAFKA: &str = "kafka.librdkafka";

/// Where apps are asked lies under this name, by the app's own.
pub(super) const RERUN_APPS: &str = "rerun.apps";

/// A value as it was written, before anything is known about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Raw {
    /// Text; from the environment and from flags everything is text.
    Text(String),
    /// A whole number.
    Whole(i64),
    /// `true`, `false` and numbers with a fraction, as they are written.
    Word(String),
    /// A list of text.
    List(Vec<String>),
    /// A list of tables.
    Tables(Vec<BTreeMap<String, Raw>>),
    /// Something no setting takes.
    Other(&'static str),
}

/// What a count may be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Range {
    from: u64,
    to: u64,
    /// What is counted, in the plural.
    pub(super) unit: &'static str,
}

/// Where a setting is kept.
#[derive(Debug)]
pub(super) enum Slot<'a> {
    Size(&'a mut usize, Range),
    Long(&'a mut u64, Range),
    Text(&'a mut String, fn(&str) -> Result<(), String>),
    List(&'a mut Vec<String>, fn(&str) -> Result<(), String>),
    Url(&'a mut Option<SecretString>),
    Choice(&'a mut dyn Choice),
    Switch(&'a mut bool),
    Secret(&'a mut Option<SecretString>, fn(&str) -> Result<(), String>),
    Rules(&'a mut Vec<RedactionRule>),
    Policies(&'a mut Vec<RetentionPolicy>),
    /// Empty text is none.
    Span(&'a mut Option<Duration>),
}

/// One setting.
#[derive(Debug)]
pub(super) struct Setting {
    /// `section.key`
    pub(super) key: &'static str,
    /// Where it is kept, and what it may be.
    pub(super) slot: fn(&mut Config) -> Slot<'_>,
}

const fn range(from: u64, to: u64, unit: &'static str) -> Range {
    Range { from, to, unit }
}

/// All settings but librdkafka's own, in the order in which they are shown.
pub(super) const SETTINGS: [Setting; 63] = [
    Setting {
        key: "kafka.bootstrap_servers",
        slot: |c| Slot::Text(&mut c.kafka.bootstrap_servers, check_brokers),
    },
    Setting { key: "kafka.topics", slot: |c| Slot::List(&mut c.kafka.topics, check_topic) },
    Setting { key: "kafka.group", slot: |c| Slot::Text(&mut c.kafka.group, check_group) },
    Setting { key: "postgres.url", slot: |c| Slot::Url(&mut c.postgres.url) },
    Setting {
        key: "postgres.password_file",
        slot: |c| Slot::Text(&mut c.postgres.password_file, |_| Ok(())),
    },
    Setting {
        key: "postgres.max_sessions",
        slot: |c| Slot::Size(&mut c.postgres.max_sessions, range(0, 1_000_000, "sessions")),
    },
    Setting { key: "collector.lanes", slot: |c| Slot::Size(&mut c.collector.lanes, range(1, 64, "lanes")) },
    Setting {
        key: "collector.batch_rows",
        slot: |c| Slot::Size(&mut c.collector.batch_rows, range(1, 1_000_000, "rows")),
    },
    Setting {
        key: "collector.batch_bytes",
        slot: |c| Slot::Size(&mut c.collector.batch_bytes, range(1 << 10, 1 << 30, "bytes")),
    },
    Setting {
        key: "collector.linger_ms",
        slot: |c| Slot::Long(&mut c.collector.linger_ms, range(0, 10_000, "milliseconds")),
    },
    Setting {
        key: "collector.lane_buffer_bytes",
        slot: |c| Slot::Size(&mut c.collector.lane_buffer_bytes, range(1 << 10, 1 << 32, "bytes")),
    },
    Setting {
        key: "collector.max_payload_bytes",
        slot: |c| Slot::Size(&mut c.collector.max_payload_bytes, range(16, 1 << 28, "bytes")),
    },
    Setting {
        key: "collector.group_offset_interval_ms",
        slot: |c| Slot::Long(&mut c.collector.group_offset_interval_ms, range(100, 60_000, "milliseconds")),
    },
    Setting {
        key: "collector.shutdown_timeout_ms",
        slot: |c| Slot::Long(&mut c.collector.shutdown_timeout_ms, range(100, 600_000, "milliseconds")),
    },
    Setting {
        key: "collector.dead_letter_topic",
        slot: |c| Slot::Text(&mut c.collector.dead_letter_topic, check_optional_topic),
    },
    Setting {
        key: "collector.metric_apps",
        slot: |c| Slot::Size(&mut c.collector.metric_apps, range(0, 1_000, "apps")),
    },
    Setting {
        key: "collector.metric_users",
        slot: |c| Slot::Size(&mut c.collector.metric_users, range(0, 1_000, "users")),
    },
    Setting { key: "collector.on_gap", slot: |c| Slot::Choice(&mut c.collector.on_gap) },
    Setting {
        key: "collector.stall_after_ms",
        slot: |c| Slot::Long(&mut c.collector.stall_after_ms, range(1_000, 86_400_000, "milliseconds")),
    },
    Setting { key: "http.listen", slot: |c| Slot::Text(&mut c.http.listen, check_listen) },
    Setting { key: "http.tokens_file", slot: |c| Slot::Text(&mut c.http.tokens_file, |_| Ok(())) },
    Setting { key: "http.trust_username_header", slot: |c| Slot::Switch(&mut c.http.trust_username_header) },
    Setting { key: "http.consumergroup_lag", slot: |c| Slot::Switch(&mut c.http.consumergroup_lag) },
    Setting { key: "http.open_metrics", slot: |c| Slot::Switch(&mut c.http.open_metrics) },
    Setting {
        key: "http.max_connections",
        slot: |c| Slot::Size(&mut c.http.max_connections, range(1, 1_000_000, "connections")),
    },
    Setting { key: "http.tls_cert_file", slot: |c| Slot::Text(&mut c.http.tls_cert_file, |_| Ok(())) },
    Setting { key: "http.tls_key_file", slot: |c| Slot::Text(&mut c.http.tls_key_file, |_| Ok(())) },
    Setting { key: "http.oidc_issuer", slot: |c| Slot::Text(&mut c.http.oidc_issuer, check_service) },
    Setting { key: "http.oidc_audience", slot: |c| Slot::Text(&mut c.http.oidc_audience, |_| Ok(())) },
    Setting { key: "http.oidc_jwks_url", slot: |c| Slot::Text(&mut c.http.oidc_jwks_url, check_service) },
    Setting { key: "http.oidc_roles_claim", slot: |c| Slot::Text(&mut c.http.oidc_roles_claim, check_claim) },
    Setting { key: "http.oidc_user_claim", slot: |c| Slot::Text(&mut c.http.oidc_user_claim, |_| Ok(())) },
    Setting {
        key: "http.oidc_leeway_s",
        slot: |c| Slot::Long(&mut c.http.oidc_leeway_s, range(0, 600, "seconds")),
    },
    Setting { key: "gateway.listen", slot: |c| Slot::Text(&mut c.gateway.listen, check_listen) },
    Setting { key: "gateway.topic", slot: |c| Slot::Text(&mut c.gateway.topic, check_one_topic) },
    Setting {
        key: "gateway.deadline_ms",
        slot: |c| Slot::Long(&mut c.gateway.deadline_ms, range(10, 600_000, "milliseconds")),
    },
    Setting {
        key: "gateway.max_body_bytes",
        slot: |c| Slot::Size(&mut c.gateway.max_body_bytes, range(1 << 10, 1 << 28, "bytes")),
    },
    Setting { key: "gateway.spool_dir", slot: |c| Slot::Text(&mut c.gateway.spool_dir, |_| Ok(())) },
    Setting {
        key: "gateway.spool_bytes",
        slot: |c| Slot::Long(&mut c.gateway.spool_bytes, range(1 << 20, 1 << 44, "bytes")),
    },
    Setting { key: "gateway.enforce_appstate", slot: |c| Slot::Switch(&mut c.gateway.enforce_appstate) },
    Setting {
        key: "gateway.quota_per_app",
        slot: |c| Slot::Long(&mut c.gateway.quota_per_app, range(0, 1_000_000, "events")),
    },
    Setting {
        key: "gateway.sessions",
        slot: |c| Slot::Size(&mut c.gateway.sessions, range(1, 1_000, "sessions")),
    },
    Setting { key: "gateway.record", slot: |c| Slot::Switch(&mut c.gateway.record) },
    Setting { key: "gateway.also", slot: |c| Slot::Text(&mut c.gateway.also, check_service) },
    Setting { key: "redaction.rules", slot: |c| Slot::Rules(&mut c.redaction.rules) },
    Setting { key: "redaction.salt", slot: |c| Slot::Secret(&mut c.redaction.salt, redaction::check_salt) },
    Setting { key: "redaction.keep_unreadable", slot: |c| Slot::Switch(&mut c.redaction.keep_unreadable) },
    Setting { key: "retention.policies", slot: |c| Slot::Policies(&mut c.retention.policies) },
    Setting { key: "retention.dead_letters", slot: |c| Slot::Span(&mut c.retention.dead_letters) },
    Setting { key: "retention.audit", slot: |c| Slot::Span(&mut c.retention.audit) },
    Setting { key: "retention.remember", slot: |c| Slot::Span(&mut c.retention.remember) },
    Setting { key: "retention.archive", slot: |c| Slot::Text(&mut c.retention.archive, check_archive) },
    Setting { key: "retention.every", slot: |c| Slot::Span(&mut c.retention.every) },
    Setting {
        key: "retention.batch_flows",
        slot: |c| Slot::Size(&mut c.retention.batch_flows, range(1, 10_000, "flows")),
    },
    Setting { key: "flowable.source", slot: |c| Slot::Text(&mut c.flowable.source, check_source) },
    Setting { key: "flowable.sequence_flows", slot: |c| Slot::Switch(&mut c.flowable.sequence_flows) },
    Setting {
        key: "flowable.max_inflated_bytes",
        slot: |c| Slot::Size(&mut c.flowable.max_inflated_bytes, range(1 << 10, 1 << 28, "bytes")),
    },
    Setting { key: "flowable.hold", slot: |c| Slot::Span(&mut c.flowable.hold) },
    Setting {
        key: "telemetry.otlp_endpoint",
        slot: |c| Slot::Text(&mut c.telemetry.otlp_endpoint, check_service),
    },
    Setting {
        key: "telemetry.sample_percent",
        slot: |c| Slot::Long(&mut c.telemetry.sample_percent, range(0, 100, "batches of a hundred")),
    },
    Setting {
        key: "telemetry.service_name",
        slot: |c| Slot::Text(&mut c.telemetry.service_name, |_| Ok(())),
    },
    Setting { key: "schema.mode", slot: |c| Slot::Choice(&mut c.schema.mode) },
    Setting {
        key: "schema.partitions",
        slot: |c| Slot::Size(&mut c.schema.partitions, range(0, 256, "partitions")),
    },
];

/// The setting of that name.
pub(super) fn find(key: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.key == key)
}

/// The name under which librdkafka knows this key, if it is one of its own.
pub(super) fn librdkafka_name(key: &str) -> Option<&str> {
    key.strip_prefix(LIBRDKAFKA)?.strip_prefix('.')
}

impl Slot<'_> {
    /// Keeps the value, or says in one sentence what would have been right.
    pub(super) fn write(self, raw: Raw) -> Result<(), String> {
        match self {
            Self::Size(place, range) => {
                let count = range.count(&raw)?;
                *place = usize::try_from(count).map_err(|_| range.wanted())?;
            }
            Self::Long(place, range) => *place = range.count(&raw)?,
            Self::Text(place, check) => {
                let Raw::Text(text) = raw else { return Err("want text".to_owned()) };
                check(&text)?;
                *place = text;
            }
            Self::List(place, check) => *place = list(raw, check)?,
            Self::Url(place) => {
                let Raw::Text(url) = raw else { return Err("want a connection string".to_owned()) };
                Connection::parse(&url)?;
                *place = Some(SecretString::from(url));
            }
            Self::Switch(place) => {
                *place = match &raw {
                    Raw::Word(word) | Raw::Text(word) if word.trim() == "true" => true,
                    Raw::Word(word) | Raw::Text(word) if word.trim() == "false" => false,
                    _ => return Err("want true or false".to_owned()),
                };
            }
            Self::Secret(place, check) => {
                let Raw::Text(secret) = raw else { return Err("want text".to_owned()) };
                if !secret.is_empty() {
                    check(&secret)?;
                }
                *place = (!secret.is_empty()).then(|| SecretString::from(secret));
            }
            Self::Rules(place) => *place = redaction::rules(raw)?,
            Self::Policies(place) => *place = retention::policies(raw)?,
            Self::Span(place) => {
                let Raw::Text(text) = raw else { return Err("want a span like 36h, 14d or 12w".to_owned()) };
                *place = if text.is_empty() { None } else { Some(retention::read_span(&text)?) };
            }
            Self::Choice(place) => {
                let known = matches!(&raw, Raw::Text(word) if place.choose(word));
                if !known {
                    return Err(format!("want one of {}", place.words().join(", ")));
                }
            }
        }
        Ok(())
    }
}

impl Range {
    fn wanted(self) -> String {
        format!("want a whole number from {} to {} {}", self.from, self.to, self.unit)
    }

    fn count(self, raw: &Raw) -> Result<u64, String> {
        let (count, shown) = match raw {
            Raw::Whole(count) => (u64::try_from(*count).ok(), count.to_string()),
            Raw::Text(text) => (text.trim().replace('_', "").parse().ok(), format!("\"{}\"", text.trim())),
            Raw::Word(word) => (None, word.clone()),
            Raw::List(_) | Raw::Tables(_) => (None, "a list".to_owned()),
            Raw::Other(what) => (None, (*what).to_owned()),
        };
        count
            .filter(|count| (self.from..=self.to).contains(count))
            .ok_or_else(|| format!("{}, not {shown}", self.wanted()))
    }
}

fn list(raw: Raw, check: fn(&str) -> Result<(), String>) -> Result<Vec<String>, String> {
    let entries = match raw {
        Raw::List(entries) => entries,
        // In a regular expression a comma is an ordinary character: there the text is one entry.
        Raw::Text(text) if text.trim_start().starts_with('^') => vec![text.trim().to_owned()],
        Raw::Text(text) => {
            text.split(',').map(str::trim).filter(|entry| !entry.is_empty()).map(str::to_owned).collect()
        }
        _ => return Err("want a list of text".to_owned()),
    };
    if entries.is_empty() {
        return Err("want at least one entry".to_owned());
    }
    entries.iter().try_for_each(|entry| check(entry))?;
    Ok(entries)
}

/// Keeps one of librdkafka's own settings, if librdkafka knows it and takes the value.
pub(super) fn write_librdkafka(config: &mut Config, name: &str, raw: Raw) -> Result<(), String> {
    let value = match raw {
        Raw::Text(text) | Raw::Word(text) => text,
        Raw::Whole(number) => number.to_string(),
        Raw::List(entries) => entries.join(","),
        Raw::Tables(_) => return Err("want text, a number or true/false, not a list of tables".to_owned()),
        Raw::Other(what) => return Err(format!("want text, a number or true/false, not {what}")),
    };
    let mut alone = ClientConfig::new();
    alone.set(name, &value);
    match alone.create_native_config() {
        Ok(_) => {}
        // What librdkafka says of a wrong value quotes it.
        Err(_) if is_secret(name) => return Err("librdkafka doesn't take this name or its value".to_owned()),
        Err(rdkafka::error::KafkaError::ClientConfig(_, why, ..)) => return Err(lower_first(&why)),
        Err(error) => return Err(error.to_string()),
    }
    config.kafka.librdkafka.insert(name.to_owned(), SecretString::from(value));
    Ok(())
}

/// Keeps where an app is asked to run an instance again.
pub(super) fn write_rerun_app(config: &mut Config, app: &str, raw: Raw) -> Result<(), String> {
    let Raw::Text(address) = raw else { return Err("want text".to_owned()) };
    Runtime::parse(&address)?;
    config.rerun.apps.insert(app.to_owned(), address);
    Ok(())
}

fn lower_first(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map_or_else(String::new, |first| first.to_lowercase().chain(characters).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(key: &str, raw: Raw) -> Result<Config, String> {
        let mut config = Config::default();
        (find(key).unwrap().slot)(&mut config).write(raw).map(|()| config)
    }

    fn text(value: &str) -> Raw {
        Raw::Text(value.to_owned())
    }

    #[test]
    fn a_count_outside_its_range_is_refused_with_range_and_unit() {
        let message = write("collector.lanes", Raw::Whole(0)).unwrap_err();
        assert_eq!(message, "want a whole number from 1 to 64 lanes, not 0");
        for raw in [Raw::Whole(-1), Raw::Whole(65), text("two"), text(""), Raw::Word("1.5".to_owned())] {
            assert!(write("collector.lanes", raw.clone()).is_err(), "{raw:?}");
        }
        assert_eq!(write("collector.batch_rows", text("20_000")).unwrap().collector.batch_rows, 20_000);
    }

    #[test]
    fn topics_are_a_list_or_text_with_commas() {
        assert_eq!(write("kafka.topics", text("a, b")).unwrap().kafka.topics, ["a", "b"]);
        assert_eq!(write("kafka.topics", text("^a{1,2}$")).unwrap().kafka.topics, ["^a{1,2}$"]);
        for bad in ["", "a b", "a/b"] {
            assert!(write("kafka.topics", text(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn addresses_need_a_host_and_a_port_that_exists() {
        for good in ["a:9092", "a:1,b:2", "SSL://a:9093", "[::1]:9092", "a"] {
            assert!(write("kafka.bootstrap_servers", text(good)).is_ok(), "{good}");
        }
        for bad in ["", "a:", "a:99999", ":9092", "a:1,,b:2", "a:0"] {
            assert!(write("kafka.bootstrap_servers", text(bad)).is_err(), "{bad}");
        }
        assert!(write("http.listen", text("127.0.0.1:0")).is_ok());
        for bad in ["9464", ":9464", "localhost", "localhost:http"] {
            assert!(write("http.listen", text(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn another_service_is_an_address_that_tells_no_secret() {
        for good in ["", "http://old:9190", "https://old", "http://[::1]:9190/flogo"] {
            assert!(write("gateway.also", text(good)).is_ok(), "{good}");
        }
        for bad in
            ["old:9190", "http://", "http://:9190", "http://ann:x@old", "http://old/?a=b", "http://a b"]
        {
            assert!(write("gateway.also", text(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn librdkafka_is_asked_about_its_own_settings() {
        let mut config = Config::default();
        write_librdkafka(&mut config, "socket.timeout.ms", Raw::Whole(5000)).unwrap();
        assert!(config.kafka.librdkafka.contains_key("socket.timeout.ms"));
        let message = write_librdkafka(&mut config, "sasl.usernam", text("x")).unwrap_err();
        assert!(message.contains("sasl.usernam"), "{message}");
        assert!(write_librdkafka(&mut config, "socket.timeout.ms", text("hunter")).is_err());
        let message = write_librdkafka(&mut config, "sasl.passwort.token", text("hunter2")).unwrap_err();
        assert!(!message.contains("hunter2"));
    }
}
