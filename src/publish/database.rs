//! The history that a Flowable engine keeps itself, out of its PostgreSQL database.
//!
//! Rows are read by their keys, a page at a time, with no transaction that lasts: an engine at work is not held up. What changes
//! while they are read is read as it is then, and what is published of it later wins.

use std::collections::VecDeque;

use tokio::runtime::Handle;

use super::{
    Record,
    flowable::Source,
    source::{Cause, Error, Place},
};
use crate::{
    config,
    flowable::{self, Engine},
    postgres::{
        connect::{self, PostgresError},
        flowable as tables,
        flowable::Table,
    },
    proto::v1::HistoryEvent,
};

/// Name of the session.
const APPLICATION: &str = "flowtrail-publish";

/// Why a database is not read.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Postgres does not answer, or refuses.
    #[error(transparent)]
    Postgres(#[from] PostgresError),
    /// There are no such tables.
    #[error("the database has no table ACT_HI_PROCINST where it is looked for (search_path)")]
    NoTables,
}

/// The records of an engine's tables: processes, activities, tasks, variables.
pub struct Database {
    runtime: Handle,
    engine: tables::Engine,
    source: Source,
    /// Tables that are still to be read, with their statements, the next one last.
    rest: Vec<(Table, String)>,
    /// The last row that was read of the table.
    after: String,
    ready: VecDeque<Result<Record, Error>>,
    failed: bool,
}

impl Database {
    /// Opens the database of an engine whose JVM had that time zone.
    pub async fn open(postgres: &config::Postgres, zone: &str, source: Source) -> Result<Self, OpenError> {
        let client = connect::connect(postgres, APPLICATION).await?;
        let failed = |error| PostgresError::of_statement(postgres, error);
        let engine = tables::Engine::new(client, zone).await.map_err(failed)?;
        let mut rest = Vec::new();
        for table in Table::ALL {
            rest.extend(engine.statement(table).await.map_err(failed)?.map(|sql| (table, sql)));
        }
        if rest.first().is_none_or(|(table, _)| *table != Table::Processes) {
            return Err(OpenError::NoTables);
        }
        rest.reverse();
        let (runtime, ready) = (Handle::current(), VecDeque::new());
        Ok(Self { runtime, engine, source, rest, after: String::new(), ready, failed: false })
    }

    fn read_page(&mut self) {
        let Some((table, statement)) = self.rest.last() else { return };
        let page = match self.runtime.block_on(self.engine.page(statement, &self.after)) {
            Ok(page) => page,
            Err(error) => {
                self.failed = true;
                let cause = Cause::Database(error).into();
                let source_name = table.name().to_uppercase();
                let place = Place::Row(format!("behind {:?}", self.after));
                return self.ready.push_back(Err(Error { source_name, place, cause }));
            }
        };
        let table = *table;
        if let Some((id, _)) = page.last() {
            self.after.clone_from(id);
        } else {
            self.rest.pop();
            self.after.clear();
        }
        let engine = Engine { source: &self.source.name, sequence_flows: self.source.sequence_flows };
        for (id, element) in page {
            let events = flowable::element(engine, element.as_bytes());
            match events {
                Ok(events) => {
                    let record = |event: HistoryEvent| Ok(Record::from(event));
                    self.ready.extend(events.into_iter().map(record));
                }
                Err(error) => self.ready.push_back(Err(Error {
                    source_name: table.name().to_uppercase(),
                    place: Place::Row(id),
                    cause: Cause::Flowable(error).into(),
                })),
            }
        }
    }
}

impl Iterator for Database {
    type Item = Result<Record, Error>;

    /// Blocks; not to be called where tasks run.
    fn next(&mut self) -> Option<Self::Item> {
        while self.ready.is_empty() && !self.rest.is_empty() && !self.failed {
            self.read_page();
        }
        self.ready.pop_front()
    }
}

impl std::fmt::Debug for Database {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Database").field("after", &self.after).finish_non_exhaustive()
    }
}
