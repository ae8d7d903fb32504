//! Sessions for servers that answer questions: a bounded number of them, shared by all requests.

use std::{fmt, time::Duration};

use deadpool::{
    Runtime,
    managed::{self, Metrics, RecycleError, RecycleResult, TimeoutType},
};
use serde_json::Value;
use tokio_postgres::{Client, Error, IsolationLevel, Transaction};

use super::{
    audit::audit,
    connect::{self, PostgresError},
};
use crate::config;

/// How long a request waits for a session that is free, or for a new one. Beyond it a person has given up.
const WAIT: Duration = Duration::from_secs(5);

/// How long a session that was used before may take to show that it still answers.
const CHECK: Duration = Duration::from_secs(1);

/// Bounds a statement of a [`Reader::moment`], and reads times without a zone as UTC, which the tables hold. A pooler may
/// hand the server session to another client after each transaction, so nothing is ever set that outlives one.
const SETTINGS: &str = "SET LOCAL statement_timeout = '10s'; SET LOCAL timezone = 'UTC'";

/// The same for a [`Reader::short_moment`].
const SHORT: &str = "SET LOCAL statement_timeout = '5s'; SET LOCAL timezone = 'UTC'";

/// Why there is no session, as one sentence without a password.
#[derive(Debug, thiserror::Error)]
pub enum PoolError {
    /// None became free in time.
    #[error("all {size} sessions with Postgres were busy for {} s; try again later", WAIT.as_secs())]
    Busy {
        /// How many there are.
        size: usize,
    },
    /// A new one was wanted and Postgres did not give it in time.
    #[error("Postgres gave no session within {} s; is it reachable from here?", WAIT.as_secs())]
    Slow,
    /// A new one was wanted and can't be had.
    #[error(transparent)]
    Away(#[from] PostgresError),
    /// [`Pool::close`] was called.
    #[error("this server is stopping")]
    Closed,
}

/// Sessions with Postgres that are opened when they are wanted and kept for the next request. A clone is the same pool.
#[derive(Clone)]
pub struct Pool {
    sessions: managed::Pool<Opener>,
}

impl Pool {
    /// At most `size` sessions, at least one; none is opened yet, so Postgres may be away.
    ///
    /// `application` is their `application_name`.
    ///
    /// # Panics
    ///
    /// Never: the runtime that the time limits need is given.
    pub fn new(postgres: &config::Postgres, application: &'static str, size: usize) -> Self {
        let opener = Opener { postgres: postgres.clone(), application };
        let sessions = managed::Pool::builder(opener)
            .max_size(size.max(1))
            .wait_timeout(Some(WAIT))
            .create_timeout(Some(WAIT))
            .recycle_timeout(Some(CHECK))
            .runtime(Runtime::Tokio1)
            .build()
            .expect("time limits have a runtime");
        Self { sessions }
    }

    /// A session that has just answered. Goes back when it is dropped; one that broke is closed then or at the next call.
    ///
    /// Waits five seconds for one to be free, one second for each that turns out to be broken, and five for a new one.
    /// Dropping the future gives up the place in the queue.
    pub async fn get(&self) -> Result<Reader, PoolError> {
        match Box::pin(self.sessions.get()).await {
            Ok(session) => Ok(Reader { session }),
            Err(managed::PoolError::Backend(error)) => Err(PoolError::Away(error)),
            Err(managed::PoolError::Timeout(TimeoutType::Wait)) => {
                Err(PoolError::Busy { size: self.sessions.status().max_size })
            }
            Err(managed::PoolError::Closed) => Err(PoolError::Closed),
            Err(_) => Err(PoolError::Slow),
        }
    }

    /// Closes the sessions that are not in use, and each of the others when it is given back.
    pub fn close(&self) {
        self.sessions.close();
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("sessions", &self.sessions.status()).finish()
    }
}

/// A session of a [`Pool`], for one request.
pub struct Reader {
    session: managed::Object<Opener>,
}

impl Reader {
    /// Begins a transaction that sees the tables as of one moment, can't write, and whose statements end with an error
    /// after ten seconds each. Dropping it ends it.
    ///
    /// Ask by `query_typed`: a prepared statement would stay on the server, and behind a pooler on somebody else's.
    pub async fn moment(&mut self) -> Result<Transaction<'_>, Error> {
        self.moment_with(SETTINGS).await
    }

    /// The same, but a statement ends after five seconds: for questions that people wait for, each of which has limits of its
    /// own besides.
    pub async fn short_moment(&mut self) -> Result<Transaction<'_>, Error> {
        self.moment_with(SHORT).await
    }

    async fn moment_with(&mut self, settings: &str) -> Result<Transaction<'_>, Error> {
        let builder = self.session.build_transaction().isolation_level(IsolationLevel::RepeatableRead);
        let moment = builder.read_only(true).start().await?;
        moment.batch_execute(settings).await?;
        Ok(moment)
    }

    /// Notes in the audit what somebody does, as [`audit()`] does.
    pub async fn note(&self, actor: &str, action: &str, object: &str, detail: &Value) -> Result<i64, Error> {
        audit(&self.session, actor, action, object, detail).await
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").field("closed", &self.session.is_closed()).finish()
    }
}

/// Opens sessions, and looks whether one that was used before still answers.
struct Opener {
    postgres: config::Postgres,
    application: &'static str,
}

impl managed::Manager for Opener {
    type Type = Client;
    type Error = PostgresError;

    async fn create(&self) -> Result<Client, PostgresError> {
        // Kept apart: opening is rare, and its state is 16 kB that every request would carry.
        Box::pin(connect::connect(&self.postgres, self.application)).await
    }

    async fn recycle(&self, session: &mut Client, _: &Metrics) -> RecycleResult<PostgresError> {
        // Also slow where a request was given up whose statement still runs: then it is closed, and another is opened.
        let answered = session.check_connection().await;
        answered.map_err(|error| RecycleError::Backend(PostgresError::of_statement(&self.postgres, error)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_server_that_is_not_there_is_a_sentence_without_the_password() {
        let postgres = config::Postgres {
            url: Some("postgres://ann:hunter2@127.0.0.1:1/flows".into()),
            ..config::Postgres::default()
        };
        let pool = Pool::new(&postgres, "test", 2);
        let error = pool.get().await.unwrap_err();
        assert!(matches!(error, PoolError::Away(_)), "{error:?}");
        assert!(error.to_string().contains("127.0.0.1:1") && !format!("{error:?}").contains("hunter2"));
        pool.close();
        assert!(matches!(pool.get().await.unwrap_err(), PoolError::Closed));
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_says_nothing_is_given_up() {
        let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("postgres://ann@{}/flows?connect_timeout=60", silent.local_addr().unwrap());
        let pool =
            Pool::new(&config::Postgres { url: Some(url.into()), ..config::Postgres::default() }, "test", 1);
        assert!(matches!(pool.get().await.unwrap_err(), PoolError::Slow));
    }
}
