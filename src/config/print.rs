//! The configuration that is in force, for people to read: secrets masked, and where each value came from.

use std::fmt::Write as _;

use secrecy::ExposeSecret as _;
use serde::Serialize;
use toml::Value;
use utoipa::ToSchema;

use super::{
    Config,
    flogo::Ignored,
    is_secret,
    load::Loaded,
    redact::{MASK, redact_url},
    redaction,
    settings::{LIBRDKAFKA, RERUN_APPS, SETTINGS, Slot},
};
use crate::sentence::quotable;

/// One setting as it is shown.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Printed {
    /// `section.key`
    pub key: String,
    /// The value, masked where it is a secret; nothing where none is set.
    pub value: Option<Value>,
    /// Where the value came from.
    pub origin: String,
}

/// One setting, wherever its value came from.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct InForce {
    /// `section.key`
    pub key: String,
    /// The value, masked where it is a secret; nothing where none is set.
    #[schema(value_type = Option<serde_json::Value>)]
    pub value: Option<Value>,
}

/// Every setting and librdkafka's own that were set, in the order of the sections.
pub fn printed(loaded: &Loaded) -> Vec<Printed> {
    let printed = |InForce { key, value }| Printed { origin: loaded.origin(&key).to_string(), key, value };
    in_force(&loaded.config).into_iter().map(printed).collect()
}

/// The same of a configuration of which nobody knows any more where it came from.
pub fn in_force(config: &Config) -> Vec<InForce> {
    let mut of_slots = config.clone();
    let mut all: Vec<InForce> = SETTINGS
        .iter()
        .map(|setting| InForce { key: setting.key.to_owned(), value: shown((setting.slot)(&mut of_slots)) })
        .collect();
    all.extend(config.kafka.librdkafka.iter().map(|(name, value)| {
        let value = if is_secret(name) { MASK } else { value.expose_secret() };
        InForce { key: format!("{LIBRDKAFKA}.{name}"), value: Some(Value::String(value.to_owned())) }
    }));
    all.extend(config.rerun.apps.iter().map(|(app, address)| InForce {
        key: format!("{RERUN_APPS}.{app}"),
        value: Some(Value::String(address.clone())),
    }));
    all
}

/// Fields of a configuration of Flogo's state service that change nothing, with the reason where others have their origin.
pub fn ignored(loaded: &Loaded) -> Vec<Printed> {
    let file = loaded.flogo_file.as_ref().map(|file| file.display().to_string()).unwrap_or_default();
    let printed = |ignored: &Ignored| Printed {
        key: quotable(&ignored.field).into_owned(),
        value: None,
        origin: quotable(&format!("{file}, ignored: {}", ignored.why)).into_owned(),
    };
    loaded.ignored.iter().map(printed).collect()
}

fn shown(slot: Slot<'_>) -> Option<Value> {
    let number = |count: i64| Some(Value::Integer(count));
    match slot {
        Slot::Size(count, _) => number(i64::try_from(*count).unwrap_or(i64::MAX)),
        Slot::Long(count, _) => number(i64::try_from(*count).unwrap_or(i64::MAX)),
        Slot::Text(text, _) => Some(Value::String(text.clone())),
        Slot::List(entries, _) => Some(Value::Array(entries.iter().cloned().map(Value::String).collect())),
        Slot::Url(url) => url.as_ref().map(|url| Value::String(redact_url(url.expose_secret()).into_owned())),
        Slot::Choice(choice) => Some(Value::String(choice.word().to_owned())),
        Slot::Switch(on) => Some(Value::Boolean(*on)),
        Slot::Secret(secret, _) => secret.as_ref().map(|_| Value::String(MASK.to_owned())),
        Slot::Rules(rules) => Some(redaction::shown(rules)),
    }
}

/// The same as TOML, each value with a comment saying where it came from.
pub fn to_toml(loaded: &Loaded) -> String {
    let mut text = String::new();
    let mut section = "";
    let all = printed(loaded);
    for Printed { key, value, origin } in &all {
        let own = |section: &'static str| Some((section, key.strip_prefix(section)?.strip_prefix('.')?));
        let (new_section, name) = match own(LIBRDKAFKA).or_else(|| own(RERUN_APPS)) {
            Some((section, name)) => (section, Value::String(name.to_owned()).to_string()),
            None => {
                key.split_once('.').map_or(("", key.clone()), |(section, name)| (section, name.to_owned()))
            }
        };
        if section != new_section {
            let gap = if section.is_empty() { "" } else { "\n" };
            section = new_section;
            text.push_str(gap);
            let _ = writeln!(text, "[{section}]");
        }
        let _ = match value {
            Some(value) => writeln!(text, "{name} = {value} # {origin}"),
            None => writeln!(text, "# {name} is not set"),
        };
    }
    for (number, Printed { key, origin, .. }) in ignored(loaded).iter().enumerate() {
        let gap = if number == 0 { "\n" } else { "" };
        let _ = writeln!(text, "{gap}# {key}: {origin}");
    }
    text
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::{Environment, Flags, load};
    use super::*;

    fn loaded(pairs: &[(&str, &str)]) -> Loaded {
        let environment: Environment =
            pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        load(&Flags::default(), &environment, Path::new("/nowhere")).unwrap()
    }

    #[test]
    fn what_is_printed_is_toml_that_says_the_same() {
        let loaded = loaded(&[
            ("FLOWTRAIL_KAFKA__GROUP", "it's \"quoted\""),
            ("FLOWTRAIL_KAFKA__LIBRDKAFKA__SOCKET_TIMEOUT_MS", "5000"),
            ("FLOWTRAIL_REDACTION__RULES", r#"[{"key":"*a*"},{"app":"b","path":"$[\"c\"]"}]"#),
        ]);
        let text = to_toml(&loaded);
        let table: toml::Table = text.parse().unwrap();
        assert_eq!(table["kafka"]["group"].as_str(), Some("it's \"quoted\""));
        assert_eq!(table["kafka"]["librdkafka"]["socket.timeout.ms"].as_str(), Some("5000"));
        assert_eq!(table["redaction"]["rules"][0]["key"].as_str(), Some("*a*"));
        assert_eq!(table["redaction"]["rules"][1]["path"].as_str(), Some("$[\"c\"]"));
        assert_eq!(table["collector"]["batch_rows"].as_integer(), Some(20_000));
        assert!(text.contains("# environment FLOWTRAIL_KAFKA__GROUP"), "{text}");
        assert!(text.contains("listen = \"127.0.0.1:9464\" # default"), "{text}");
        assert!(text.contains("# url is not set"), "{text}");
    }

    #[test]
    fn no_secret_is_printed() {
        let loaded = loaded(&[
            ("DATABASE_URL", "postgres://ann:hunter2@db/flows"),
            ("FLOWTRAIL_KAFKA__LIBRDKAFKA__SASL_PASSWORD", "hunter2"),
            ("FLOWTRAIL_KAFKA__LIBRDKAFKA__SSL_KEY_PEM", "hunter2"),
            ("FLOWTRAIL_KAFKA__LIBRDKAFKA__SASL_USERNAME", "ann"),
            ("FLOWTRAIL_REDACTION__SALT", "hunter2, hunter2 and hunter2"),
        ]);
        let text = to_toml(&loaded);
        let json = serde_json::to_string(&printed(&loaded)).unwrap();
        assert!(!text.contains("hunter2") && !json.contains("hunter2"), "{text}\n{json}");
        assert!(text.contains("url = \"postgres://ann:***@db/flows\" # environment DATABASE_URL"), "{text}");
        assert!(text.contains("\"sasl.password\" = \"***\""), "{text}");
        assert!(text.contains("\"sasl.username\" = \"ann\""), "{text}");
    }
}
