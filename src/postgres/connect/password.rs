//! Passwords that are kept in files. They are read again for every session, so one is exchanged without a restart.

use std::{fs, path::Path};

use tokio_postgres::{Config, config::Host};

use super::PostgresError;
use crate::config::{self, Connection};

/// The password for a new session; nothing where no file is to say it, or the connection string does.
pub(super) fn read(
    postgres: &config::Postgres,
    target: &Connection,
) -> Result<Option<Vec<u8>>, PostgresError> {
    if !postgres.password_file.is_empty() {
        let path = Path::new(&postgres.password_file);
        let password = contents(path)?;
        return Ok(Some(password.trim_end_matches(['\r', '\n']).as_bytes().to_vec()));
    }
    match &target.pass_file {
        Some(path) if target.driver.get_password().is_none() => {
            let found = entry(&contents(path)?, &target.driver);
            let missing = || refused(path, "no line in it fits this host, port, database and user");
            found.map(|password| Some(password.into_bytes())).ok_or_else(missing)
        }
        _ => Ok(None),
    }
}

fn contents(path: &Path) -> Result<String, PostgresError> {
    fs::read_to_string(path).map_err(|error| refused(path, &error.to_string()))
}

fn refused(path: &Path, reason: &str) -> PostgresError {
    PostgresError::Password { path: path.display().to_string(), reason: reason.to_owned() }
}

/// The password of the first line `host:port:database:user:password` that fits, as libpq reads its `.pgpass`.
fn entry(text: &str, driver: &Config) -> Option<String> {
    let host = match driver.get_hosts().first()? {
        Host::Tcp(name) => name.as_str(),
        #[cfg(unix)]
        Host::Unix(_) => "localhost",
    };
    let port = driver.get_ports().first().map_or_else(|| "5432".to_owned(), ToString::to_string);
    let user = driver.get_user().unwrap_or_default();
    let wanted = [host, &port, driver.get_dbname().unwrap_or(user), user];
    text.lines().filter(|line| !line.starts_with('#')).find_map(|line| {
        let fields = fields(line);
        let (password, named) = fields.split_last()?;
        let fits = named.iter().zip(wanted).all(|(named, wanted)| named == "*" || named == wanted);
        (named.len() == wanted.len() && fits).then(|| password.clone())
    })
}

/// What stands between the first four colons, and the rest; a backslash takes the next character as it is.
fn fields(line: &str) -> Vec<String> {
    let (mut fields, mut field) = (Vec::new(), String::new());
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => field.extend(letters.next()),
            ':' if fields.len() < 4 => fields.push(std::mem::take(&mut field)),
            other => field.push(other),
        }
    }
    fields.push(field);
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_that_fits_has_the_password() {
        let text = "# db:5432:flows:ann:no\nother:5432:flows:ann:no\ndb:*:*:eve:no\ndb:5432:flows:ann:a\\:b\\\\c:d\n*:*:*:*:late\n";
        let driver = |url: &str| url.parse::<Config>().unwrap();
        assert_eq!(entry(text, &driver("postgres://ann@db/flows")).unwrap(), "a:b\\c:d");
        assert_eq!(entry(text, &driver("postgres://ann@db:6432/flows")).unwrap(), "late");
        assert_eq!(entry("db:5432:flows:ann", &driver("postgres://ann@db/flows")), None);
        assert_eq!(entry("", &driver("postgres://ann@db/flows")), None);
    }
}
