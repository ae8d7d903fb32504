//! Which database is meant, as a connection string.

use super::{About, File, Said, value};
use crate::config::connection::word;

/// What counts only once TLS is on.
const OF_TLS: [About; 4] = [About::TlsMode, About::Authorities, About::ClientCertificate, About::ClientKey];

/// Why it does not count before.
const NOT_ENCRYPTED: &str = "tlsEnable is not true, and without it the state service does not look at it";

/// A database.
#[derive(Debug, Default)]
pub(super) struct Database {
    /// libpq's `host=… user=…`.
    pub(super) url: String,
    /// The fields that were taken for it.
    pub(super) fields: Vec<&'static str>,
}

impl Database {
    /// Nothing where the file names none.
    pub(super) fn read(file: &mut File<'_>) -> Option<Self> {
        file.take(About::Type, |kind| {
            let kind = value::text(kind)?.to_ascii_lowercase();
            match kind.as_str() {
                "postgres" | "postgresql" => Ok(()),
                _ => Err("want postgres: flowtrail keeps history in Postgres and nowhere else".to_owned()),
            }
        });
        let mut found = Self::default();
        let host = file.take(About::Host, value::text);
        found.add("host", host);
        let port = file.take(About::Port, |port| value::port(port, 1));
        found.add("port", port.map(|(field, port)| (field, port.to_string())));
        for (name, about) in
            [("dbname", About::Database), ("user", About::User), ("password", About::Password)]
        {
            let said = file.take(about, value::text);
            found.add(name, said);
        }
        let about_a_database = |said: &&Said| {
            let named = [About::Host, About::Port, About::Database, About::User, About::Password, About::Tls];
            named.contains(&said.about) || OF_TLS.contains(&said.about)
        };
        let first = file.said.iter().find(about_a_database)?.field;
        if !file.said.iter().any(|said| said.about == About::Host) {
            let wanted = if first.starts_with("db") { "dbHost" } else { "persistence.host" };
            file.complain(wanted, "it is missing: want the host of the database");
        }
        found.encrypt(file);
        Some(found)
    }

    fn add(&mut self, name: &str, said: Option<(&'static str, String)>) {
        if let Some((field, text)) = said {
            self.fields.push(field);
            if !self.url.is_empty() {
                self.url.push(' ');
            }
            self.url.push_str(&word(name, &text));
        }
    }

    /// Without a word about TLS it is left to `sslmode=prefer`, which gets to every server that the state service gets to.
    fn encrypt(&mut self, file: &mut File<'_>) {
        let said = file.said.iter().any(|said| said.about == About::Tls);
        let enabled = file.take(About::Tls, value::switch);
        if let Some((field, true)) = enabled {
            let mode = file.take(About::TlsMode, mode);
            // What lib/pq takes for its default.
            self.add("sslmode", Some(mode.unwrap_or((field, "require".to_owned()))));
            for (name, about) in [
                ("sslrootcert", About::Authorities),
                ("sslcert", About::ClientCertificate),
                ("sslkey", About::ClientKey),
            ] {
                let said = file.take(about, value::pem);
                self.add(name, said);
            }
            return;
        }
        if let Some((field, false)) = enabled {
            self.add("sslmode", Some((field, "disable".to_owned())));
        }
        if said && enabled.is_none() {
            return;
        }
        let unused: Vec<&str> =
            file.said.iter().filter(|said| OF_TLS.contains(&said.about)).map(|said| said.field).collect();
        for field in unused {
            file.ignore(field, NOT_ENCRYPTED);
        }
    }
}

/// libpq's word for a mode. Flogo has two, written like `VerifyCA`.
fn mode(value: &serde_json::Value) -> Result<String, String> {
    let plain = value::text(value)?.to_ascii_lowercase().replace(['-', '_'], "");
    let word = match plain.as_str() {
        "verifyca" => "verify-ca",
        "verifyfull" => "verify-full",
        "require" => "require",
        "prefer" => "prefer",
        "disable" => "disable",
        _ => return Err("want VerifyCA, VerifyFull, require, prefer or disable".to_owned()),
    };
    Ok(word.to_owned())
}
