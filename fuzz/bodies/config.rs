//! A configuration file, the environment, and a secret among them.

use std::{
    ffi::{OsStr, OsString},
    fs,
    os::unix::ffi::OsStrExt as _,
    path::Path,
};

use flowtrail::config::{ConfigError, Environment, Flag, Flags, Loaded, Printed, load, printed, to_toml};
use tempfile::TempDir;
use toml::{Value, de::DeTable};

use super::{AT_LEAST, bounded, memory::peak, sentence};

/// What must not be seen in anything that is said or shown.
const SECRET: &str = "correct-horse-battery-staple";
/// The line between the sections of an input.
const BETWEEN: &[u8] = b"\n%%\n";
/// How much memory each byte may cost: of a few of them, there is a sentence about where they stand and what is wrong.
const TIMES: usize = 96;

thread_local! {
    static FOLDER: TempDir = TempDir::new().unwrap();
}

/// A letter for where the secret is put, and what stands beside it there; `%%`; a file; `%%`; variables, a line each.
/// The value of a variable that names a file is what is in that file.
pub fn config(input: &[u8]) {
    // With the secret in it, it could stand anywhere.
    if String::from_utf8_lossy(input).contains(SECRET) {
        return;
    }
    let (secret, rest) = split(input, BETWEEN);
    let (file, variables) = split(rest, BETWEEN);
    FOLDER.with(|folder| {
        let mut given = Given::default();
        given.file.extend_from_slice(file);
        for (number, line) in variables.split(|byte| *byte == b'\n').enumerate() {
            let (name, value) = split(line, b"=");
            given.set(name, value, &folder.path().join(number.to_string()));
        }
        if let Some((place, beside)) = secret.split_first() {
            given.hide(*place, &String::from_utf8_lossy(beside), &folder.path().join("secret"));
        }
        given.check(folder.path(), input.len());
    });
}

fn split<'a>(bytes: &'a [u8], between: &[u8]) -> (&'a [u8], &'a [u8]) {
    let at = bytes.windows(between.len()).position(|window| window == between).unwrap_or(bytes.len());
    let (before, rest) = bytes.split_at(at);
    (before, rest.get(between.len()..).unwrap_or_default())
}

#[derive(Default)]
struct Given {
    file: Vec<u8>,
    environment: Environment,
    flags: Flags,
    /// The secret is anywhere in the file, which is not to be TOML.
    is_no_toml: bool,
}

impl Given {
    fn set(&mut self, name: &[u8], value: &[u8], file: &Path) {
        let name = OsStr::from_bytes(name).to_owned();
        if name.is_empty() || name == "FLOWTRAIL_CONFIG" {
            return;
        }
        let value = if name.as_bytes().ends_with(b"_FILE") {
            fs::write(file, value).unwrap();
            file.as_os_str().to_owned()
        } else {
            OsStr::from_bytes(value).to_owned()
        };
        self.environment.insert(name, value);
    }

    fn variable(&mut self, name: &str, value: String) {
        self.environment.insert(name.into(), OsString::from(value));
    }

    /// Puts the secret where a password is, with `beside` next to it.
    fn hide(&mut self, place: u8, beside: &str, file: &Path) {
        let flag = |value: String| Flag { key: "postgres.url", name: "--database-url", value: value.into() };
        match place {
            b'a' => {
                self.first(&format!(
                    "postgres.url = {}",
                    quoted(&format!("postgres://ann:{SECRET}{beside}"))
                ));
            }
            b'b' => self.first(&format!(
                "kafka.librdkafka.{} = {}",
                quoted(&format!("{beside}password")),
                quoted(SECRET)
            )),
            b'c' => self.variable("DATABASE_URL", format!("postgres://ann:{beside}{SECRET}@db/flows")),
            b'd' => {
                self.variable("FLOWTRAIL_POSTGRES__URL", format!("postgres://ann:{SECRET}{beside}@db/flows"));
            }
            b'e' => self.variable("FLOWTRAIL_POSTGRES__URL", format!("host=db password={SECRET}{beside}")),
            b'f' => self.variable("FLOWTRAIL_POSTGRES__URL", format!("host=db password='{SECRET}{beside}")),
            b'g' => self.flags.settings.push(flag(format!("postgres://db/flows?password={SECRET}{beside}"))),
            b'h' => self.flags.settings.push(flag(format!("postgres://ann:{SECRET}{beside}"))),
            b'i' => {
                self.variable("PGHOST", "db".to_owned());
                self.variable("PGPASSWORD", format!("{beside}{SECRET}"));
            }
            b'j' => self.variable("FLOWTRAIL_KAFKA__LIBRDKAFKA__SASL_PASSWORD", format!("{SECRET}{beside}")),
            b'k' => self.variable("FLOWTRAIL_KAFKA__LIBRDKAFKA__SSL_KEY_PEM", format!("{beside}{SECRET}")),
            b'l' => {
                fs::write(file, format!("postgres://ann:{SECRET}{beside}")).unwrap();
                self.environment.insert("DATABASE_URL_FILE".into(), file.into());
            }
            b'n' => self.first(&format!("redaction.salt = {}", quoted(&format!("{beside}{SECRET}")))),
            b'm' => {
                self.first(&format!("{beside}{SECRET}\" = ["));
                self.is_no_toml = true;
            }
            _ => {}
        }
    }

    fn first(&mut self, line: &str) {
        self.file.splice(0..0, format!("{line}\n").into_bytes());
    }

    fn check(mut self, folder: &Path, input_bytes: usize) {
        let file = folder.join("flowtrail.toml");
        fs::write(&file, &self.file).unwrap();
        self.flags.file = Some(file);
        let load = || load(&self.flags, &self.environment, folder);
        let loaded = bounded(parser(&self.file) + AT_LEAST + TIMES * input_bytes, load);
        assert_eq!(said(&loaded), said(&load()), "the same sources say the same");
        if self.is_no_toml && !matches!(loaded, Err(ConfigError::Syntax { .. })) {
            return;
        }
        hidden(&format!("{loaded:?} {:?}", self.flags));
        match &loaded {
            Ok(loaded) => {
                fits(loaded);
                hidden(&said_of(loaded));
                is_what_it_prints(loaded, folder);
            }
            Err(error) => {
                let sentences = error.sentences();
                assert!(!sentences.is_empty());
                for text in &sentences {
                    sentence::check(text, input_bytes);
                    hidden(text);
                }
                hidden(&error.to_string());
            }
        }
    }
}

/// What TOML's parser takes for itself. It goes by the length, but its tables are large; files have at most 1 MiB for it.
fn parser(file: &[u8]) -> usize {
    let (_, peak) = peak(|| std::str::from_utf8(file).is_ok_and(|text| DeTable::parse(text).is_ok()));
    assert!(peak <= (16 << 20) + 256 * file.len(), "{peak} bytes held");
    peak
}

/// Text as TOML writes it.
fn quoted(text: &str) -> String {
    Value::String(text.to_owned()).to_string()
}

fn said(loaded: &Result<Loaded, ConfigError>) -> Result<Vec<Printed>, Vec<String>> {
    loaded.as_ref().map(printed).map_err(ConfigError::sentences)
}

fn said_of(loaded: &Loaded) -> String {
    let target = loaded.config.postgres.url.is_some().then(|| loaded.config.postgres.target().unwrap());
    format!("{}{:?}{target:?}", to_toml(loaded), printed(loaded))
}

fn hidden(text: &str) {
    assert!(!text.contains(SECRET), "the secret is in {text}");
}

/// What `docs/configuration.md` promises of the values.
fn fits(loaded: &Loaded) {
    let c = &loaded.config.collector;
    assert!((1..=64).contains(&c.lanes) && (1..=1_000_000).contains(&c.batch_rows));
    assert!((1 << 10..=1 << 30).contains(&c.batch_bytes) && (16..=1 << 28).contains(&c.max_payload_bytes));
    assert!((1 << 10..=1_usize << 32).contains(&c.lane_buffer_bytes) && c.linger_ms <= 10_000);
    let topics = &loaded.config.kafka.topics;
    assert!(!topics.is_empty() && topics.iter().all(|topic| !topic.is_empty()), "{topics:?}");
    assert!((1..=255).contains(&loaded.config.kafka.group.len()));
}

/// What is printed is TOML, and loads as what it was printed of, but for the secrets.
fn is_what_it_prints(loaded: &Loaded, folder: &Path) {
    // What is printed in its place is too short for one, so that nobody hashes with it.
    if loaded.config.redaction.salt.is_some() {
        return;
    }
    let again = folder.join("again.toml");
    fs::write(&again, to_toml(loaded)).unwrap();
    let flags = Flags { file: Some(again), ..Flags::default() };
    let values = |loaded: &Loaded| -> Vec<_> {
        printed(loaded).into_iter().map(|Printed { key, value, .. }| (key, value)).collect()
    };
    let reloaded = load(&flags, &Environment::new(), folder);
    assert_eq!(values(&reloaded.unwrap()), values(loaded), "{}", to_toml(loaded));
}
