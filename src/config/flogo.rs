//! A configuration of Flogo's state service as a layer of ours.
//!
//! There are two forms, told apart by their names: what the vendor's documentation posts (`dbHost` and its kin, all
//! values text), and the file of the open-source service (`port`, `exposeRecorder`, `persistence`). Each field either
//! says something here or is named as ignored, with the reason. An empty value says nothing, as there.

use std::{fmt, path::Path};

use serde_json::{Map, Value};

use super::{
    error::{ConfigError, Origin, Problem},
    file,
    load::{Entry, suggestion},
    settings::Raw,
};
use crate::sentence::quotable;

mod database;
mod value;

use self::database::Database;

/// A field that changes nothing here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ignored {
    /// Its name in the file, `persistence.maxidleconnection`.
    pub field: String,
    /// Why it has no use.
    pub why: String,
}

/// `maxidleconnection (…)`. On one line, whatever the file holds.
impl fmt::Display for Ignored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", quotable(&self.field), quotable(&self.why))
    }
}

/// What a field is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum About {
    Type,
    Host,
    Port,
    Database,
    User,
    Password,
    MostSessions,
    Tls,
    TlsMode,
    Authorities,
    ClientCertificate,
    ClientKey,
    ServicePort,
    Record,
    /// Something that flowtrail does without, for this reason.
    Nothing(&'static str),
    /// As [`About::Nothing`], if it is switched on.
    NothingIfOn(&'static str),
}

const LABEL: &str = "it is a label";
const UNREAD: &str = "the state service does not look at it either";
const PLAIN_HTTP: &str = "flowtrail serve speaks plain HTTP; a proxy before it can speak TLS";
const KEPT_OPEN: &str = "a session is kept for as long as it works";
const WAITED_FOR: &str = "an outage is waited for, however long it lasts, with growing pauses";

/// All that either form is known to hold.
const FIELDS: [(&str, About); 40] = [
    ("dbType", About::Type),
    ("dbHost", About::Host),
    ("dbPort", About::Port),
    ("dbName", About::Database),
    ("dbUser", About::User),
    ("dbPass", About::Password),
    ("dbMaxOpenConnection", About::MostSessions),
    ("dbMaxIdleConnection", About::Nothing(KEPT_OPEN)),
    ("dbConnMaxLifetime", About::Nothing(KEPT_OPEN)),
    ("dbMaxConnectAttempts", About::Nothing(WAITED_FOR)),
    ("dbConnectionRetryDelay", About::Nothing(WAITED_FOR)),
    ("appType", About::Nothing("all apps are taken")),
    ("exposeRecorder", About::Record),
    ("port", About::ServicePort),
    ("streamingStep", About::NothingIfOn("flowtrail serve has no stream of steps")),
    ("enableTLS", About::NothingIfOn(PLAIN_HTTP)),
    ("certFile", About::Nothing(PLAIN_HTTP)),
    ("keyFile", About::Nothing(PLAIN_HTTP)),
    ("persistence.type", About::Type),
    ("persistence.name", About::Nothing(LABEL)),
    ("persistence.description", About::Nothing(LABEL)),
    ("persistence.host", About::Host),
    ("persistence.port", About::Port),
    ("persistence.databaseName", About::Database),
    ("persistence.user", About::User),
    ("persistence.password", About::Password),
    ("persistence.databaseUrl", About::Nothing(UNREAD)),
    ("persistence.sslmode", About::Nothing(UNREAD)),
    ("persistence.maxopenconnection", About::MostSessions),
    ("persistence.maxidleconnection", About::Nothing(KEPT_OPEN)),
    ("persistence.connmaxlifetime", About::Nothing(KEPT_OPEN)),
    ("persistence.maxconnectattempts", About::Nothing(WAITED_FOR)),
    ("persistence.connectionretrydelay", About::Nothing(WAITED_FOR)),
    ("persistence.tlsEnable", About::Tls),
    ("persistence.tlsMode", About::TlsMode),
    // Of releases before 2023.
    ("persistence.tlsconfig", About::Tls),
    ("persistence.tlsparam", About::TlsMode),
    ("persistence.cacert", About::Authorities),
    ("persistence.clientcert", About::ClientCertificate),
    ("persistence.clientkey", About::ClientKey),
];

/// The names by which the service's own file is known.
const OF_THE_SERVICE: [&str; 3] = ["persistence", "port", "exposeRecorder"];

/// What was read of a file.
#[derive(Debug, Default)]
pub(super) struct Read {
    /// What it says, in our words.
    pub(super) entries: Vec<Entry>,
    /// What has no use here, in the file's order.
    pub(super) ignored: Vec<Ignored>,
}

/// Reads a file in either form. What is wrong with its fields is added to `problems`, without any value of theirs that
/// could be a secret; an error is that it can't be read at all, or is not JSON.
pub(super) fn read(path: &Path, problems: &mut Vec<Problem>) -> Result<Read, ConfigError> {
    let text =
        file::text(path).map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
    parse(path, &text, problems)
}

fn parse(path: &Path, text: &str, problems: &mut Vec<Problem>) -> Result<Read, ConfigError> {
    let no_object = |message: String| ConfigError::Json { path: path.to_owned(), message };
    let whole = match serde_json::from_str(text) {
        Ok(Value::Object(whole)) => whole,
        Ok(other) => return Err(no_object(format!("it is {}", value::kind(&other)))),
        // What the parser says of plain JSON names a place and quotes nothing.
        Err(error) => return Err(no_object(error.to_string())),
    };
    let is_the_services = OF_THE_SERVICE.iter().any(|name| whole.contains_key(*name));
    let mut file = File { path, said: Vec::new(), read: Read::default(), problems };
    file.sort(whole);
    if file.said.is_empty() && !is_the_services {
        file.complain(
            "file",
            "want a configuration of Flogo's state service: dbHost and its kin, or persistence",
        );
        return Ok(file.read);
    }
    file.database();
    file.most_sessions();
    file.listen();
    file.record(is_the_services);
    Ok(file.read)
}

/// A field that says something.
#[derive(Debug)]
struct Said {
    field: &'static str,
    about: About,
    value: Value,
}

struct File<'a> {
    path: &'a Path,
    said: Vec<Said>,
    read: Read,
    problems: &'a mut Vec<Problem>,
}

impl File<'_> {
    /// Tells fields that say something from those that have no use.
    fn sort(&mut self, whole: Map<String, Value>) {
        for (name, value) in whole {
            match (name.as_str(), value) {
                ("persistence", Value::Object(inner)) => {
                    for (name, value) in inner {
                        self.sort_one(&format!("persistence.{name}"), value);
                    }
                }
                ("persistence", Value::Null) => {}
                ("persistence", other) => {
                    self.complain("persistence", &format!("want an object, not {}", value::kind(&other)));
                }
                (_, value) => self.sort_one(&name, value),
            }
        }
    }

    fn sort_one(&mut self, name: &str, value: Value) {
        let Some((field, about)) = FIELDS.into_iter().find(|(known, _)| *known == name) else {
            let like = suggestion(name, FIELDS.iter().map(|(known, _)| *known));
            return self.ignore(name, &format!("flowtrail knows no such field{like}"));
        };
        match about {
            About::Nothing(why) => self.ignore(name, why),
            _ if value.is_null() || value == "" => {}
            About::NothingIfOn(why) => match value::switch(&value) {
                Ok(true) => self.ignore(name, why),
                Ok(false) => {}
                Err(message) => self.complain(name, &message),
            },
            about => match self.said.iter().find(|said| said.about == about) {
                Some(other) => {
                    let message = format!("{} says the same thing; keep one of them", other.field);
                    self.complain(name, &message);
                }
                None => self.said.push(Said { field, about, value }),
            },
        }
    }

    /// What is said about something, if it is and can be read.
    fn take<T>(
        &mut self,
        about: About,
        read: impl FnOnce(&Value) -> Result<T, String>,
    ) -> Option<(&'static str, T)> {
        let (field, outcome) = {
            let said = self.said.iter().find(|said| said.about == about)?;
            (said.field, read(&said.value))
        };
        outcome.map_err(|message| self.complain(field, &message)).ok().map(|value| (field, value))
    }

    fn database(&mut self) {
        let before = self.problems.len();
        let found = Database::read(self);
        if self.problems.len() > before {
            return;
        }
        if let Some(Database { url, fields }) = found {
            self.enter("postgres.url", Raw::Text(url), &fields.join(", "));
        }
    }

    /// There, none and less than one mean no limit.
    fn most_sessions(&mut self) {
        if let Some((field, most)) = self.take(About::MostSessions, value::whole)
            && most > 0
        {
            self.enter("postgres.max_sessions", Raw::Whole(most), field);
        }
    }

    /// The port alone is theirs: they listen on every address, and whoever wants that has to say so.
    fn listen(&mut self) {
        if let Some((field, port)) = self.take(About::ServicePort, |port| value::port(port, 0)) {
            self.enter("gateway.listen", Raw::Text(format!("127.0.0.1:{port}")), field);
        }
    }

    /// Without a word the state service takes no posts. The vendor's form is of a service that always does.
    fn record(&mut self, is_the_services: bool) {
        let said = self.said.iter().any(|said| said.about == About::Record);
        match self.take(About::Record, value::switch) {
            Some((field, on)) => self.enter("gateway.record", Raw::Word(on.to_string()), field),
            None if is_the_services && !said => {
                self.enter("gateway.record", Raw::Word("false".to_owned()), "there is no exposeRecorder");
            }
            None => {}
        }
    }

    fn enter(&mut self, key: &str, raw: Raw, fields: &str) {
        let origin = self.origin(fields);
        self.read.entries.push(Entry { key: key.to_owned(), raw, origin });
    }

    fn ignore(&mut self, field: &str, why: &str) {
        self.read.ignored.push(Ignored { field: field.to_owned(), why: why.to_owned() });
    }

    fn complain(&mut self, field: &str, message: &str) {
        let origin = self.origin(field);
        self.problems.push(Problem { key: field.to_owned(), message: message.to_owned(), origin });
    }

    fn origin(&self, fields: &str) -> Origin {
        Origin::Flogo { path: self.path.to_owned(), fields: fields.to_owned() }
    }
}

#[cfg(test)]
mod tests;
