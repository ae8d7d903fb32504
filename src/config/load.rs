//! Lays the sources over each other: flags over environment over file over a file of Flogo's over defaults.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use secrecy::{ExposeSecret as _, SecretString};

use super::{
    Config,
    environment::{self, Environment},
    error::{ConfigError, Origin, Problem},
    file,
    flogo::{self, Ignored},
    sessions,
    settings::{self, LIBRDKAFKA, RERUN_APPS, Raw, SETTINGS, librdkafka_name},
};
use crate::{redaction::Rules, retention::Policies};

/// Read where no other file is named and it is there.
const FILE_NAME: &str = "flowtrail.toml";

/// How alike two names must be for the one to be suggested for the other, from 0 to 1.
const ALIKE: f64 = 0.85;

/// What the command line says about the configuration.
#[derive(Debug, Clone, Default)]
pub struct Flags {
    /// The file to read; it must exist.
    pub file: Option<PathBuf>,
    /// A configuration of Flogo's state service to read; it must exist.
    pub flogo_file: Option<PathBuf>,
    /// Settings that a flag gave a value.
    pub settings: Vec<Flag>,
}

/// A setting that a flag gave a value.
#[derive(Debug, Clone)]
pub struct Flag {
    /// `section.key`
    pub key: &'static str,
    /// The flag as it is written, `--database-url`.
    pub name: &'static str,
    /// The value as it was typed.
    pub value: SecretString,
}

/// A configuration, and where each of its values came from.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The values.
    pub config: Config,
    /// The file that was read, if one was.
    pub file: Option<PathBuf>,
    /// The configuration of Flogo's state service that was read, if one was.
    pub flogo_file: Option<PathBuf>,
    /// Fields of that file that change nothing.
    pub ignored: Vec<Ignored>,
    pub(super) origins: BTreeMap<String, Origin>,
}

impl Loaded {
    /// Where the value of `section.key` came from.
    pub fn origin(&self, key: &str) -> &Origin {
        self.origins.get(key).unwrap_or(&Origin::Default)
    }
}

/// One value of one source.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) raw: Raw,
    pub(super) origin: Origin,
}

/// Gathers the configuration. `folder` is where a file that nobody named is looked for.
///
/// Every problem of every source is in the error, each in one sentence; none of them holds a secret.
pub fn load(flags: &Flags, environment: &Environment, folder: &Path) -> Result<Loaded, ConfigError> {
    let mut problems = Vec::new();
    let flogo_file = flags.flogo_file.clone().or_else(|| named(environment, "FLOWTRAIL_FLOGO_CONFIG"));
    let flogo = flogo_file.as_deref().map(|path| flogo::read(path, &mut problems)).transpose()?;
    let flogo::Read { mut entries, ignored } = flogo.unwrap_or_default();
    let path = file_to_read(flags, environment, folder);
    entries.extend(path.as_deref().map(file::read).transpose()?.unwrap_or_default());
    entries.extend(environment::read(environment, &mut problems));
    entries.extend(flags.settings.iter().map(|flag| Entry {
        key: flag.key.to_owned(),
        raw: Raw::Text(flag.value.expose_secret().to_owned()),
        origin: Origin::Flag(flag.name),
    }));
    if !entries.iter().any(|entry| entry.key == "postgres.url") {
        entries.extend(environment::libpq(environment, &mut problems));
    }

    let mut loaded =
        Loaded { config: Config::default(), file: path, flogo_file, ignored, origins: BTreeMap::new() };
    for Entry { key, raw, origin } in entries {
        match write(&mut loaded.config, &key, raw) {
            Ok(()) => {
                loaded.origins.insert(key, origin);
            }
            Err(message) => problems.push(Problem { key, message, origin }),
        }
    }
    problems.extend(sessions::bound(&mut loaded).err());
    // Whether a rule needs a salt shows when both were read, in whatever order.
    if let Err(why) = Rules::compile(&loaded.config.redaction) {
        let key = "redaction.rules".to_owned();
        let origin = loaded.origin(&key).clone();
        problems.push(Problem { key, message: why.to_string(), origin });
    }
    if let Err(why) = Policies::compile(&loaded.config.retention.policies) {
        let key = "retention.policies".to_owned();
        let origin = loaded.origin(&key).clone();
        problems.push(Problem { key, message: why.to_string(), origin });
    }
    if problems.is_empty() { Ok(loaded) } else { Err(ConfigError::Problems(problems)) }
}

fn file_to_read(flags: &Flags, environment: &Environment, folder: &Path) -> Option<PathBuf> {
    flags.file.clone().or_else(|| named(environment, "FLOWTRAIL_CONFIG")).or_else(|| {
        let usual = folder.join(FILE_NAME);
        // Shown as it would be typed.
        usual.is_file().then(|| usual.strip_prefix(".").map_or_else(|_| usual.clone(), Path::to_path_buf))
    })
}

/// The path that a variable holds.
fn named(environment: &Environment, variable: &str) -> Option<PathBuf> {
    environment.get(std::ffi::OsStr::new(variable)).filter(|path| !path.is_empty()).map(PathBuf::from)
}

fn write(config: &mut Config, key: &str, raw: Raw) -> Result<(), String> {
    if let Some(name) = librdkafka_name(key) {
        return settings::write_librdkafka(config, name, raw);
    }
    if let Some(app) = key.strip_prefix(RERUN_APPS).and_then(|rest| rest.strip_prefix('.')) {
        return settings::write_rerun_app(config, app, raw);
    }
    if let Some(setting) = settings::find(key) {
        return (setting.slot)(config).write(raw);
    }
    let is_section = [LIBRDKAFKA, "rerun", RERUN_APPS].contains(&key)
        || SETTINGS.iter().any(|setting| setting.key.starts_with(&format!("{key}.")));
    match raw {
        Raw::Other("a section") if is_section => Ok(()),
        _ if is_section => Err("this is a section, not a setting".to_owned()),
        _ => Err(format!("no such setting{}", suggestion(key, SETTINGS.iter().map(|setting| setting.key)))),
    }
}

/// `; did you mean …?`, where something known is like it.
pub(super) fn suggestion<T: AsRef<str>>(name: &str, known: impl IntoIterator<Item = T>) -> String {
    let alike = |known: &str| {
        let last = |name: &str| name.rsplit('.').next().unwrap_or_default().to_owned();
        let whole = strsim::normalized_damerau_levenshtein(name, known);
        // The right key in the wrong section.
        if name.contains('.') && last(name) == last(known) { whole.max(ALIKE) } else { whole }
    };
    let best = known
        .into_iter()
        .map(|known| (alike(known.as_ref()), known))
        .filter(|(likeness, _)| *likeness >= ALIKE)
        .max_by(|(one, _), (other, _)| one.total_cmp(other));
    best.map_or_else(String::new, |(_, known)| format!("; did you mean {}?", known.as_ref()))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn environment(pairs: &[(&str, &str)]) -> Environment {
        pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect()
    }

    fn flag(key: &'static str, value: &str) -> Flag {
        Flag { key, name: "--flag", value: value.into() }
    }

    fn folder_with(text: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(FILE_NAME), text).unwrap();
        folder
    }

    #[test]
    fn the_example_file_has_every_key_and_the_defaults() {
        let folder = folder_with(include_str!("../../deploy/flowtrail.toml"));
        let loaded = load(&Flags::default(), &environment(&[]), folder.path()).unwrap();
        for setting in SETTINGS {
            assert!(matches!(loaded.origin(setting.key), Origin::File { .. }), "{} is missing", setting.key);
        }
        let defaults = Config::default();
        assert_eq!(format!("{:?}", loaded.config.collector), format!("{:?}", defaults.collector));
        assert_eq!(loaded.config.kafka.topics, defaults.kafka.topics);
        assert_eq!(format!("{:?}", loaded.config.http), format!("{:?}", defaults.http));
        assert_eq!(format!("{:?}", loaded.config.gateway), format!("{:?}", defaults.gateway));
        assert_eq!(loaded.config.flowable, defaults.flowable);
        assert_eq!(format!("{:?}", loaded.config.retention), format!("{:?}", defaults.retention));
        assert_eq!(loaded.config.schema.mode, defaults.schema.mode);
    }

    #[test]
    fn flags_win_over_environment_over_file_over_defaults() {
        let folder =
            folder_with("[kafka]\ngroup = \"file\"\ntopics = [\"file\"]\nbootstrap_servers = \"file:1\"\n");
        let environment = environment(&[
            ("FLOWTRAIL_KAFKA__TOPICS", "env"),
            ("FLOWTRAIL_KAFKA__BOOTSTRAP_SERVERS", "env:1"),
            ("KAFKA_BOOTSTRAP_SERVERS", "common:1"),
        ]);
        let mut flags = Flags::default();
        let loaded = load(&flags, &environment, folder.path()).unwrap();
        assert_eq!(loaded.config.kafka.group, "file");
        assert_eq!(loaded.config.kafka.topics, ["env"]);
        assert_eq!(loaded.config.kafka.bootstrap_servers, "env:1");
        assert_eq!(loaded.config.http.listen, "127.0.0.1:9464");
        assert_eq!(*loaded.origin("http.listen"), Origin::Default);
        assert!(loaded.origin("kafka.group").to_string().ends_with("flowtrail.toml:2"));

        flags.settings.push(flag("kafka.bootstrap_servers", "flag:1"));
        let loaded = load(&flags, &environment, folder.path()).unwrap();
        assert_eq!(loaded.config.kafka.bootstrap_servers, "flag:1");
        assert_eq!(*loaded.origin("kafka.bootstrap_servers"), Origin::Flag("--flag"));
    }

    #[test]
    fn every_problem_is_listed_at_once() {
        let folder = folder_with(
            "colector = 1\n[kafka]\ngruop = \"x\"\n[collector]\nlanes = 0\nbatch_rows = \"many\"\n[kafka.librdkafka]\nno.such = 1\n",
        );
        let error =
            load(&Flags::default(), &environment(&[("FLOWTRAIL_SCHEMA__MODE", "maybe")]), folder.path());
        let sentences = error.unwrap_err().sentences();
        assert_eq!(sentences.len(), 6, "{sentences:#?}");
        let all = sentences.join("\n");
        for wanted in [
            "flowtrail.toml:3: kafka.gruop: no such setting; did you mean kafka.group?",
            "flowtrail.toml:5: collector.lanes: want a whole number from 1 to 64 lanes, not 0",
            "environment FLOWTRAIL_SCHEMA__MODE: schema.mode: want one of validate, update, none",
        ] {
            assert!(all.contains(wanted), "{wanted}\nnot in\n{all}");
        }
    }

    #[test]
    fn what_is_quoted_stays_on_its_line() {
        let folder = folder_with("\"a\\nb\" = 1\n[collector]\nlanes = \"1\\u001b[2J\"\n");
        let error = load(&Flags::default(), &environment(&[("FLOWTRAIL_\r", "x")]), folder.path());
        let sentences = error.unwrap_err().sentences();
        assert_eq!(sentences.len(), 3);
        assert!(!sentences.join("").contains(char::is_control), "{sentences:?}");
        assert!(
            sentences.iter().any(|sentence| sentence.ends_with("a\\nb: no such setting")),
            "{sentences:?}"
        );
    }

    #[test]
    fn rules_are_tables_or_inline_and_the_environment_has_them_as_json() {
        let tables = "[[redaction.rules]]\nkey = \"a\"\n\n[[redaction.rules]]\npath = \"$.b\"\n";
        let inline = "[redaction]\nrules = [{ key = \"a\" }, { path = \"$.b\" }]\n";
        let rules = |text: &str, pairs: &[(&str, &str)]| {
            let loaded = load(&Flags::default(), &environment(pairs), folder_with(text).path());
            loaded.unwrap().config.redaction.rules
        };
        assert_eq!(rules(tables, &[]).len(), 2);
        assert_eq!(rules(tables, &[]), rules(inline, &[]));
        let json = ("FLOWTRAIL_REDACTION__RULES", r#"[{"key":"a"},{"path":"$.b"}]"#);
        assert_eq!(rules("[[redaction.rules]]\nkey = \"other\"\n", &[json]), rules(tables, &[]));
    }

    #[test]
    fn rules_that_cannot_be_worked_with_are_a_problem_with_their_line() {
        let salt = ("FLOWTRAIL_REDACTION__SALT", "a salt of sixteen bytes or more");
        for (text, pairs, wanted) in [
            (
                "rules = [{ key = \"a\", action = \"hash\" }]",
                &[][..],
                "rule 1 hashes, which needs a key: set redaction.salt",
            ),
            ("rules = [{ key = \"a\" }, { path = \"a\" }]", &[salt], "rule 2: want a path like $.a.b"),
            (
                "rules = [{ key = \"a\" }, { kye = \"a\" }]",
                &[salt],
                "rule 2: no such key kye; a rule has app, path, key, action",
            ),
            ("rules = [{ key = [\"a\"] }]", &[salt], "rule 1: key: want text"),
            ("rules = [\"a\"]", &[salt], "want a list of rules"),
        ] {
            let folder = folder_with(&format!("[redaction]\n{text}\n"));
            let error = load(&Flags::default(), &environment(pairs), folder.path()).unwrap_err();
            let sentences = error.sentences();
            assert_eq!(sentences.len(), 1, "{sentences:?}");
            assert!(
                sentences[0].contains(&format!("flowtrail.toml:2: redaction.rules: {wanted}")),
                "{sentences:?}"
            );
        }
        let short = load(
            &Flags::default(),
            &environment(&[("FLOWTRAIL_REDACTION__SALT", "hunter2")]),
            Path::new("/nowhere"),
        );
        let said = short.unwrap_err().to_string();
        assert!(
            said.contains("redaction.salt: want 16 bytes or more") && !said.contains("hunter2"),
            "{said}"
        );
    }

    #[test]
    fn libpqs_variables_count_only_where_there_is_no_url() {
        let folder = tempfile::tempdir().unwrap();
        let mut pairs = vec![("PGHOST", "pg"), ("PGUSER", "ann")];
        let host = |pairs: &[(&str, &str)]| {
            let loaded = load(&Flags::default(), &environment(pairs), folder.path()).unwrap();
            loaded.config.postgres.connection().unwrap().get_hosts().to_vec()
        };
        assert_eq!(host(&pairs), [tokio_postgres::config::Host::Tcp("pg".to_owned())]);
        pairs.push(("DATABASE_URL", "postgres://other/x"));
        assert_eq!(host(&pairs), [tokio_postgres::config::Host::Tcp("other".to_owned())]);
    }

    #[test]
    fn a_file_that_was_named_must_be_there() {
        let flags = Flags { file: Some("/nowhere/flowtrail.toml".into()), ..Flags::default() };
        let error = load(&flags, &Environment::new(), Path::new(".")).unwrap_err();
        assert!(error.sentences()[0].contains("/nowhere/flowtrail.toml"));
    }

    #[test]
    fn no_secret_is_shown_by_debug_or_in_an_error() {
        let folder = folder_with(
            "[kafka.librdkafka]\nsasl.password = \"hunter2\"\n[postgres]\nurl = \"postgres://a:hunter2@db/x\"\n",
        );
        let loaded = load(&Flags::default(), &Environment::new(), folder.path()).unwrap();
        let settings = vec![flag("postgres.url", "postgres://a:hunter2@db:x/y")];
        let flags = Flags { settings, ..Flags::default() };
        let error = load(&flags, &environment(&[("PGPASSWORD", "hunter2")]), folder.path()).unwrap_err();
        let shown = format!("{loaded:?} {:?} {flags:?} {error} {error:?}", loaded.config.postgres.target());
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}
