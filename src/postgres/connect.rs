//! Sessions with Postgres: TLS as `sslmode` wants it, bounded in time, and errors that say what to do.

use std::{fmt::Write as _, sync::Arc, time::Duration};

use rustls::{ClientConfig, RootCertStore, client::WebPkiServerVerifier};
use thiserror::Error;
use tokio::time::timeout;
use tokio_postgres::{Client, Socket, config::Host, error::SqlState, tls::MakeTlsConnect};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::{
    config::{self, ConfigError, Connection, Pem, Verify},
    tls::{certificates, refusal::Refusal},
};

mod password;

/// Does the talking for a [`Client`]; it has to be polled for the client to get on, and ends with the session.
pub type Driver = tokio_postgres::Connection<Socket, <Tls as MakeTlsConnect<Socket>>::Stream>;

/// Why Postgres can't be used, as one sentence that names where, and what to do. It never holds a password.
#[derive(Debug, Error)]
pub enum PostgresError {
    /// The configuration names no database, or not in a way that can be read.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The certificates to trust can't be had.
    #[error("cannot use the certificates {}: {reason}; check sslrootcert", path.as_deref().unwrap_or("of this machine"))]
    Certificates {
        /// The file that was named; the machine's own where none was.
        path: Option<String>,
        /// Why.
        reason: String,
    },
    /// The certificate by which the server is to know us can't be had.
    #[error("cannot use the client certificate {path}: {reason}; check sslcert and sslkey")]
    ClientCertificate {
        /// The file that was named.
        path: String,
        /// Why.
        reason: String,
    },
    /// The password can't be had from where it is kept.
    #[error(
        "cannot use the password in {path}: {reason}; check postgres.password_file, or passfile in the connection string"
    )]
    Password {
        /// The file that was named.
        path: String,
        /// Why.
        reason: String,
    },
    /// No session could be had in time.
    #[error("cannot connect to {place} within {} s; is it reachable from here?", limit.as_secs_f64())]
    Timeout {
        /// Host, port, database and user.
        place: String,
        /// How long was waited.
        limit: Duration,
    },
    /// No session could be had.
    #[error("cannot connect to {place}: {reason}; {advice}")]
    Connect {
        /// Host, port, database and user.
        place: String,
        /// What the server or the network said.
        reason: String,
        /// What to do about it.
        advice: String,
        /// The driver's error. Its words are in `reason`.
        error: tokio_postgres::Error,
    },
    /// A statement failed.
    #[error("{place}: {reason}; {advice}")]
    Statement {
        /// Host, port, database and user.
        place: String,
        /// What the server or the network said.
        reason: String,
        /// What to do about it.
        advice: String,
        /// The driver's error. Its words are in `reason`.
        error: tokio_postgres::Error,
    },
}

impl PostgresError {
    /// The sentence for a statement that failed in a session with this database.
    pub fn of_statement(postgres: &config::Postgres, error: tokio_postgres::Error) -> Self {
        let place = postgres.connection().map_or_else(|_| "Postgres".to_owned(), |driver| place(&driver));
        Self::Statement { place, reason: reason(&error), advice: advice(&error), error }
    }
}

/// Opens a session and drives it in a task of its own, which ends when the client is dropped.
///
/// For commands that run and end. A server opens sessions with [`open`] and drives them under its own tracker.
pub async fn connect(postgres: &config::Postgres, application: &str) -> Result<Client, PostgresError> {
    let (client, driver) = open(postgres, application).await?;
    tokio::spawn(async move {
        if let Err(error) = driver.await {
            // Whoever uses the client gets an error too, and says so.
            tracing::debug!(error = reason(&error), "the session with Postgres ended");
        }
    });
    Ok(client)
}

/// Opens a session within the connect timeout, the log-in included. Dropping the future abandons the attempt.
///
/// `application` is the `application_name` of the session where the connection string gives none.
pub async fn open(postgres: &config::Postgres, application: &str) -> Result<(Client, Driver), PostgresError> {
    let mut target = postgres.target()?;
    if target.driver.get_application_name().is_none() {
        target.driver.application_name(application);
    }
    if let Some(password) = password::read(postgres, &target)? {
        target.driver.password(password);
    }
    let limit = target.driver.get_connect_timeout().copied().unwrap_or(Duration::from_secs(10));
    let tls = tls(&target)?;
    // The driver's own limit ends with the TCP handshake.
    match timeout(limit, target.driver.connect(tls)).await {
        Ok(Ok(session)) => Ok(session),
        Ok(Err(error)) => Err(PostgresError::Connect {
            place: place(&target.driver),
            reason: reason(&error),
            advice: advice(&error),
            error,
        }),
        Err(_) => Err(PostgresError::Timeout { place: place(&target.driver), limit }),
    }
}

/// TLS by rustls.
#[derive(Clone)]
pub struct Tls(MakeRustlsConnect);

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}

impl MakeTlsConnect<Socket> for Tls {
    type Stream = <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream;
    type TlsConnect = <MakeRustlsConnect as MakeTlsConnect<Socket>>::TlsConnect;
    type Error = <MakeRustlsConnect as MakeTlsConnect<Socket>>::Error;

    fn make_tls_connect(&mut self, host: &str) -> Result<Self::TlsConnect, Self::Error> {
        // The driver asks for every session, a socket in the file system included, which has no host and no TLS.
        let host = if host.is_empty() { "localhost" } else { host };
        MakeTlsConnect::<Socket>::make_tls_connect(&mut self.0, host)
    }
}

fn tls(target: &Connection) -> Result<Tls, PostgresError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| certificates(target, &error))?;
    let verifier = if target.verify == Verify::Nothing {
        certificates::accept_any(&provider)
    } else {
        let roots = Arc::new(roots(target)?);
        let verifier = WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&provider))
            .build()
            .map_err(|error| certificates(target, &error))?;
        if target.verify == Verify::Host { verifier } else { certificates::any_host(verifier) }
    };
    let builder = builder.dangerous().with_custom_certificate_verifier(verifier);
    let config = match &target.client {
        None => builder.with_no_client_auth(),
        Some(client) => {
            let refuse = |at: &Pem, reason: &dyn std::fmt::Display| PostgresError::ClientCertificate {
                path: at.to_string(),
                reason: reason.to_string(),
            };
            let chain = certificates::read(&client.chain).map_err(|error| refuse(&client.chain, &error))?;
            let key = certificates::read_key(&client.key).map_err(|error| refuse(&client.key, &error))?;
            builder.with_client_auth_cert(chain, key).map_err(|error| refuse(&client.chain, &error))?
        }
    };
    Ok(Tls(MakeRustlsConnect::new(config)))
}

fn roots(target: &Connection) -> Result<RootCertStore, PostgresError> {
    let mut roots = RootCertStore::empty();
    if let Some(given) = &target.root_cert {
        for certificate in certificates::read(given).map_err(|error| certificates(target, &error))? {
            roots.add(certificate).map_err(|error| certificates(target, &error))?;
        }
    } else {
        // A machine's store often holds a few that can't be read; what counts is that there are others.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    }
    if roots.is_empty() {
        return Err(certificates(target, &"there are none"));
    }
    Ok(roots)
}

fn certificates(target: &Connection, reason: &dyn std::fmt::Display) -> PostgresError {
    let path = target.root_cert.as_ref().map(ToString::to_string);
    PostgresError::Certificates { path, reason: reason.to_string() }
}

/// `Postgres at db:5432 (database flows) as ann`.
fn place(driver: &tokio_postgres::Config) -> String {
    let hosts = driver.get_hosts().iter().map(|host| match host {
        Host::Tcp(name) => name.clone(),
        #[cfg(unix)]
        Host::Unix(path) => path.display().to_string(),
    });
    let mut hosts: Vec<String> = hosts.collect();
    if hosts.is_empty() {
        hosts = driver.get_hostaddrs().iter().map(ToString::to_string).collect();
    }
    let port = |number: usize| driver.get_ports().get(number).or_else(|| driver.get_ports().first());
    let places = hosts.iter().enumerate().map(|(number, host)| match port(number) {
        Some(port) => format!("{host}:{port}"),
        None => format!("{host}:5432"),
    });
    let mut place = format!("Postgres at {}", places.collect::<Vec<_>>().join(","));
    if let Some(name) = driver.get_dbname() {
        let _ = write!(place, " (database {name})");
    }
    if let Some(user) = driver.get_user() {
        let _ = write!(place, " as {user}");
    }
    place
}

/// What the server said, or what went wrong on the way to it, in one line.
pub fn reason(error: &tokio_postgres::Error) -> String {
    if let Some(refused) = error.as_db_error() {
        return refused.message().replace('\n', " ");
    }
    if let Some(refusal) = Refusal::of(error) {
        return refusal.to_string();
    }
    let mut said = Vec::new();
    let mut cause: Option<&(dyn std::error::Error + 'static)> = std::error::Error::source(error);
    while let Some(current) = cause {
        let words = current.to_string();
        let words = words.split_once(" (os error").map_or(words.as_str(), |(words, _)| words).to_owned();
        if said.last() != Some(&words) {
            said.push(words);
        }
        cause = current.source();
    }
    if said.is_empty() { error.to_string() } else { said.join(": ") }
}

/// What a person can do about it.
fn advice(error: &tokio_postgres::Error) -> String {
    match Refusal::of(error) {
        Some(refusal) => refusal.advice("sslrootcert"),
        None => general_advice(error).to_owned(),
    }
}

fn general_advice(error: &tokio_postgres::Error) -> &'static str {
    let Some(state) = error.code() else {
        let on_the_way = error.to_string();
        return if on_the_way.contains("TLS") {
            "check sslmode, sslrootcert and sslcert in the connection string"
        } else if on_the_way == "invalid configuration" || on_the_way == "authentication error" {
            "check user and password in DATABASE_URL or postgres.url"
        } else {
            "is it running, and reachable from here?"
        };
    };
    let state = state.clone();
    if [SqlState::INVALID_PASSWORD, SqlState::INVALID_AUTHORIZATION_SPECIFICATION].contains(&state) {
        "check user and password in DATABASE_URL or postgres.url"
    } else if state == SqlState::INVALID_CATALOG_NAME {
        "create the database, or name another in DATABASE_URL or postgres.url"
    } else if [SqlState::UNDEFINED_TABLE, SqlState::UNDEFINED_COLUMN].contains(&state) {
        "run `flowtrail schema update`"
    } else if state == SqlState::INSUFFICIENT_PRIVILEGE {
        "grant this user the right, or connect as another"
    } else if state == SqlState::TOO_MANY_CONNECTIONS {
        "raise max_connections, or use fewer lanes"
    } else if state == SqlState::CANNOT_CONNECT_NOW {
        "wait until it has started"
    } else {
        "see the server's log"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn postgres(url: &str) -> config::Postgres {
        config::Postgres { url: Some(url.into()), ..config::Postgres::default() }
    }

    #[tokio::test]
    async fn a_server_that_is_not_there_is_named_without_the_password() {
        let error = connect(&postgres("postgres://ann:hunter2@127.0.0.1:1/flows"), "test").await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot connect to Postgres at 127.0.0.1:1 (database flows) as ann: Connection refused; \
             is it running, and reachable from here?"
        );
        assert!(!format!("{error:?}").contains("hunter2"));
    }

    #[tokio::test]
    async fn a_server_that_says_nothing_is_given_up() {
        // Takes the TCP connection and then keeps silent.
        let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("postgres://ann@{}/flows?connect_timeout=1", silent.local_addr().unwrap());
        let error = connect(&postgres(&url), "test").await.unwrap_err();
        assert!(matches!(error, PostgresError::Timeout { .. }), "{error}");
    }

    #[tokio::test]
    async fn certificates_that_are_not_there_are_named() {
        let url = "postgres://ann@127.0.0.1:1/flows?sslmode=verify-full&sslrootcert=/nowhere/ca.pem";
        let error = connect(&postgres(url), "test").await.unwrap_err();
        assert!(error.to_string().contains("/nowhere/ca.pem"), "{error}");
    }
}
