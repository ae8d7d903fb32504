//! The environment as a layer of configuration.
//!
//! `FLOWTRAIL_SECTION__KEY` names a setting: `FLOWTRAIL_KAFKA__GROUP` is `kafka.group`. Under
//! `FLOWTRAIL_KAFKA__LIBRDKAFKA__` one underscore stands for a dot and two for an underscore:
//! `…__SASL_PASSWORD` is `sasl.password`, `…__LOG__LEVEL` is `log_level`. With `_FILE` behind the name of a secret,
//! the value is the path of a file that holds it. An empty variable counts as unset.

use std::{collections::BTreeMap, ffi::OsString, path::Path};

use super::{
    error::{Origin, Problem},
    file, is_secret,
    load::{Entry, suggestion},
    settings::{LIBRDKAFKA, Raw, SETTINGS, librdkafka_name},
};

/// Environment variables by name. Handed in, so that tests need not change the process's own.
pub type Environment = BTreeMap<OsString, OsString>;

/// Names that begin with `FLOWTRAIL_` and are read elsewhere.
pub const READ_ELSEWHERE: [&str; 10] = [
    "FLOWTRAIL_CONFIG",
    "FLOWTRAIL_FLOGO_CONFIG",
    "FLOWTRAIL_COMPARE_WITH",
    "FLOWTRAIL_LOG",
    "FLOWTRAIL_LOG_FORMAT",
    "FLOWTRAIL_CACHE_DIR",
    "FLOWTRAIL_DATA_DIR",
    "FLOWTRAIL_DEV_PACKAGED",
    "FLOWTRAIL_MAVEN_URL",
    "FLOWTRAIL_PYPI_FILES_URL",
];

const PREFIX: &str = "FLOWTRAIL_";
const FILE_SUFFIX: &str = "_FILE";

/// Names that others gave to settings of ours.
const COMMON: [(&str, &str); 4] = [
    ("KAFKA_BOOTSTRAP_SERVERS", "kafka.bootstrap_servers"),
    ("DATABASE_URL", "postgres.url"),
    ("OTEL_EXPORTER_OTLP_ENDPOINT", "telemetry.otlp_endpoint"),
    ("OTEL_SERVICE_NAME", "telemetry.service_name"),
];

/// libpq's names, and those of the same thing in a connection string.
const LIBPQ: [(&str, &str); 8] = [
    ("PGHOST", "host"),
    ("PGPORT", "port"),
    ("PGUSER", "user"),
    ("PGPASSWORD", "password"),
    ("PGPASSFILE", "passfile"),
    ("PGDATABASE", "dbname"),
    ("PGSSLMODE", "sslmode"),
    ("PGSSLROOTCERT", "sslrootcert"),
];

/// What the environment says, the more specific names last.
pub(super) fn read(environment: &Environment, problems: &mut Vec<Problem>) -> Vec<Entry> {
    let mut entries = Vec::new();
    for (name, key) in COMMON {
        entries.extend(value(environment, name, problems).map(|text| entry(key, text, name)));
        entries.extend(secret_file(environment, name, key, problems));
    }
    let ours = environment.keys().filter_map(|name| name.to_str()).filter(|name| name.starts_with(PREFIX));
    for name in ours.filter(|name| !READ_ELSEWHERE.contains(name) && !is_service_link(name)) {
        let Some(key) = key_of(name) else {
            let base = name.strip_suffix(FILE_SUFFIX).filter(|base| takes_file(base));
            match base.and_then(|base| key_of(base).map(|key| (base, key))) {
                Some((base, key)) => entries.extend(secret_file(environment, base, &key, problems)),
                None => problems.push(unknown(name)),
            }
            continue;
        };
        entries.extend(value(environment, name, problems).map(|text| entry(&key, text, name)));
    }
    entries
}

/// What libpq's variables say, as a connection string; used only where there is no other.
pub(super) fn libpq(environment: &Environment, problems: &mut Vec<Problem>) -> Option<Entry> {
    let mut words = Vec::new();
    let mut names = Vec::new();
    for (name, word) in LIBPQ {
        if let Some(text) = value(environment, name, problems) {
            words.push(super::connection::word(word, &text));
            names.push(name);
        }
    }
    // A password alone says nothing about which database is meant.
    if !names.contains(&"PGHOST") {
        return None;
    }
    Some(entry("postgres.url", words.join(" "), &names.join(", ")))
}

fn entry(key: &str, text: String, name: &str) -> Entry {
    Entry { key: key.to_owned(), raw: Raw::Text(text), origin: Origin::Environment(name.to_owned()) }
}

fn value(environment: &Environment, name: &str, problems: &mut Vec<Problem>) -> Option<String> {
    let raw = environment.get(std::ffi::OsStr::new(name)).filter(|raw| !raw.is_empty())?;
    let text = raw.to_str().map(str::to_owned);
    if text.is_none() {
        problems.push(problem(name, name, "the value is not UTF-8"));
    }
    text
}

fn problem(name: &str, key: &str, message: impl Into<String>) -> Problem {
    Problem { key: key.to_owned(), message: message.into(), origin: Origin::Environment(name.to_owned()) }
}

/// The content of the file that `NAME_FILE` names, without the line end behind it.
fn secret_file(
    environment: &Environment,
    name: &str,
    key: &str,
    problems: &mut Vec<Problem>,
) -> Option<Entry> {
    let file_name = format!("{name}{FILE_SUFFIX}");
    let path = value(environment, &file_name, problems)?;
    if value(environment, name, problems).is_some() {
        problems.push(problem(&file_name, key, format!("{name} is set too; set one of them")));
        return None;
    }
    match file::text(Path::new(&path)) {
        Ok(text) => Some(entry(key, text.trim_end_matches(['\n', '\r']).to_owned(), &file_name)),
        Err(error) => {
            problems.push(problem(&file_name, key, format!("cannot read {path}: {error}")));
            None
        }
    }
}

/// Only what can be a secret is read from a file; some of librdkafka's names end in `.file` themselves.
fn takes_file(name: &str) -> bool {
    let Some(key) = key_of(name) else { return false };
    librdkafka_name(&key).map_or(matches!(key.as_str(), "postgres.url" | "redaction.salt"), is_secret)
}

/// The setting that a variable names, if there is one; librdkafka's own names are not checked here.
fn key_of(name: &str) -> Option<String> {
    let rest = name.strip_prefix(PREFIX)?;
    if let Some(dotted) = rest.strip_prefix("KAFKA__LIBRDKAFKA__") {
        if name.strip_suffix(FILE_SUFFIX).is_some_and(takes_file) {
            return None;
        }
        let dotted = dotted.to_ascii_lowercase().replace("__", "\n").replace('_', ".").replace('\n', "_");
        return Some(format!("{LIBRDKAFKA}.{dotted}"));
    }
    SETTINGS.iter().find(|setting| variable(setting.key) == name).map(|setting| setting.key.to_owned())
}

/// The variable that names a setting.
pub(super) fn variable(key: &str) -> String {
    format!("{PREFIX}{}", key.replacen('.', "__", 1).to_ascii_uppercase())
}

fn unknown(name: &str) -> Problem {
    let known = SETTINGS.iter().map(|setting| variable(setting.key)).chain(READ_ELSEWHERE.map(str::to_owned));
    problem(name, name, format!("no such setting{}", suggestion(name, known)))
}

/// Whether Kubernetes put it there for a service of the name `flowtrail…`, like `FLOWTRAIL_PORT_9464_TCP_ADDR`.
fn is_service_link(name: &str) -> bool {
    if name.contains("__") {
        return false;
    }
    let mut parts: Vec<&str> = name.split('_').collect();
    if name.ends_with("_SERVICE_HOST") || name.contains("_SERVICE_PORT") || parts.last() == Some(&"PORT") {
        return true;
    }
    parts.pop_if(|last| matches!(*last, "ADDR" | "PORT" | "PROTO"));
    matches!(parts.as_slice(), [.., "PORT", port, "TCP" | "UDP" | "SCTP"] if port.parse::<u16>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(pairs: &[(&str, &str)]) -> Environment {
        pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect()
    }

    fn keys(pairs: &[(&str, &str)]) -> (Vec<String>, Vec<String>) {
        let mut problems = Vec::new();
        let entries = read(&environment(pairs), &mut problems);
        (
            entries.into_iter().map(|entry| entry.key).collect(),
            problems.into_iter().map(|problem| problem.to_string()).collect(),
        )
    }

    #[test]
    fn every_setting_has_a_variable_of_its_own() {
        for setting in SETTINGS {
            assert_eq!(key_of(&variable(setting.key)).as_deref(), Some(setting.key));
        }
        assert_eq!(variable("collector.batch_rows"), "FLOWTRAIL_COLLECTOR__BATCH_ROWS");
    }

    #[test]
    fn one_underscore_is_a_dot_in_librdkafkas_names_and_two_are_an_underscore() {
        let key = |name: &str| key_of(&format!("FLOWTRAIL_KAFKA__LIBRDKAFKA__{name}")).unwrap();
        assert_eq!(key("SASL_PASSWORD"), "kafka.librdkafka.sasl.password");
        assert_eq!(key("LOG__LEVEL"), "kafka.librdkafka.log_level");
        assert_eq!(
            key("SASL_OAUTHBEARER_ASSERTION_FILE"),
            "kafka.librdkafka.sasl.oauthbearer.assertion.file"
        );
    }

    #[test]
    fn an_unknown_variable_is_a_problem_with_a_suggestion() {
        let (_, problems) = keys(&[("FLOWTRAIL_KAFKA__GRUOP", "x")]);
        assert_eq!(problems.len(), 1);
        assert!(problems[0].contains("did you mean FLOWTRAIL_KAFKA__GROUP?"), "{problems:?}");
        let (_, problems) = keys(&[("FLOWTRAIL_HTTP_LISTEN", "x")]);
        assert!(problems[0].contains("did you mean FLOWTRAIL_HTTP__LISTEN?"), "{problems:?}");
        assert_eq!(keys(&[("FLOWTRAIL_KAFKA__GROUP_FILE", "/x")]).1.len(), 1);
    }

    #[test]
    fn what_kubernetes_sets_for_a_service_named_flowtrail_is_left_alone() {
        let (keys, problems) = keys(&[
            ("FLOWTRAIL_SERVICE_HOST", "10.0.0.1"),
            ("FLOWTRAIL_SERVICE_PORT_METRICS", "9464"),
            ("FLOWTRAIL_PORT", "tcp://10.0.0.1:9464"),
            ("FLOWTRAIL_COLLECTOR_PORT_9464_TCP", "tcp://10.0.0.1:9464"),
            ("FLOWTRAIL_PORT_9464_TCP_PROTO", "tcp"),
            ("FLOWTRAIL_LOG", "debug"),
        ]);
        assert_eq!((keys, problems), (vec![], vec![]));
    }

    #[test]
    fn a_secret_is_read_from_a_file_without_its_line_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        std::fs::write(&path, "hunter2\n").unwrap();
        let path = path.to_str().unwrap();
        let name = "FLOWTRAIL_KAFKA__LIBRDKAFKA__SASL_PASSWORD";
        let file_name = format!("{name}_FILE");
        let mut problems = Vec::new();
        let entries = read(&environment(&[(&file_name, path)]), &mut problems);
        assert_eq!(entries[0].key, "kafka.librdkafka.sasl.password");
        assert_eq!(entries[0].raw, Raw::Text("hunter2".to_owned()));
        assert_eq!(entries[0].origin, Origin::Environment(file_name.clone()));

        assert_eq!(keys(&[("FLOWTRAIL_REDACTION__SALT_FILE", path)]).0, ["redaction.salt"]);
        assert_eq!(keys(&[("DATABASE_URL_FILE", path)]).0, ["postgres.url"]);
        assert_eq!(keys(&[("FLOWTRAIL_POSTGRES__URL_FILE", path)]).0, ["postgres.url"]);
        let both = keys(&[(&file_name, path), (name, "x")]).1;
        assert!(both[0].contains("set one of them"), "{both:?}");
        assert!(keys(&[("DATABASE_URL_FILE", "/nowhere/at/all")]).1[0].contains("cannot read /nowhere"));
    }

    #[test]
    fn libpqs_variables_make_a_connection_string() {
        let mut problems = Vec::new();
        let found =
            libpq(&environment(&[("PGHOST", "db"), ("PGPASSWORD", "a b"), ("PGPORT", "")]), &mut problems);
        let found = found.unwrap();
        assert_eq!(found.raw, Raw::Text("host=db password='a b'".to_owned()));
        assert_eq!(found.origin, Origin::Environment("PGHOST, PGPASSWORD".to_owned()));
        assert!(libpq(&environment(&[("PGPASSWORD", "x")]), &mut problems).is_none());
    }
}
