//! Records that are of flow instances not known yet: tried again every few seconds, for a while.
//!
//! Their dead letters are looked at while there are any, by one collector at a time, and by none while there are none: the lanes
//! say when they keep one. What is resolved is stored as `deadletter retry` stores it, and its letter goes without a note in the
//! audit, as nobody did anything. What is not within `flowable.hold` stays for a person.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use tokio_postgres::Client;
use tokio_util::sync::CancellationToken;

use crate::{
    clock,
    config::Config,
    metrics,
    pipeline::{
        Kept,
        group::UNRESOLVED,
        retry::{Reading, Retried, retry},
    },
    postgres::{
        Session,
        connect::{self, PostgresError},
        forget_letters, read,
        read::LetterFilter,
        takes_turn,
    },
    redaction::Rules,
    telemetry::Seldom,
};

/// Name of the sessions.
const APPLICATION: &str = "flowtrail-unresolved";

/// How long to wait between two rounds, if these are short; else four times as long as one took.
const PAUSE: Duration = Duration::from_secs(2);
const SHARE: u32 = 4;

/// As many letters are looked at together.
const PAGE: u32 = 500;

/// Tries them for so long each, until `stop`; `kept` tells when there are some. Whatever it is at is dropped then: rows are
/// idempotent, and a letter goes after them.
pub(super) async fn keep_trying(
    config: Config,
    hold: Duration,
    rules: Option<Arc<Rules>>,
    kept: Kept,
    stop: CancellationToken,
) {
    let mut trying =
        Trying { reading: Reading::of(&config, rules), config, hold, given_up_until: clock::now() };
    let mut trouble = Seldom::default();
    loop {
        let began = clock::monotonic();
        let Some(round) = stop.run_until_cancelled(Box::pin(trying.round())).await else { return };
        let is_waited_for = match round {
            Ok(left) => left > 0,
            Err(error) => {
                let reason = error.to_string();
                if trouble.is_due(&reason, clock::monotonic()) {
                    tracing::warn!(
                        event = "unresolved_not_tried",
                        reason,
                        "records of flow instances that were not known are not tried again for now"
                    );
                }
                true
            }
        };
        let pause = PAUSE.max(SHARE * began.elapsed());
        let wait = async {
            if !is_waited_for {
                kept.wait().await;
            }
            tokio::time::sleep(pause).await;
        };
        if stop.run_until_cancelled(wait).await.is_none() {
            return;
        }
    }
}

struct Trying {
    config: Config,
    reading: Reading,
    hold: Duration,
    /// Letters that were kept so long before this are told to be given up.
    given_up_until: Timestamp,
}

impl Trying {
    /// Looks at all letters once; says how many are still held.
    async fn round(&mut self) -> Result<u64, PostgresError> {
        let postgres = self.config.postgres.clone();
        let failed = |error| PostgresError::of_statement(&postgres, error);
        let client = connect::connect(&postgres, APPLICATION).await?;
        let now = clock::now();
        let since = now.checked_sub(self.hold).unwrap_or(Timestamp::MIN);
        let filter = LetterFilter {
            reasons: Some(vec![UNRESOLVED.to_owned()]),
            since: Some(since),
            ..LetterFilter::default()
        };
        if !takes_turn(&client).await.map_err(failed)? {
            // Whoever has it tries these too.
            return held(&client, &filter).await.map_err(failed);
        }
        let mut session = None;
        let (mut after, mut left) = (i64::MIN, 0);
        loop {
            let page = read::whole_letters(&client, &filter, after, PAGE).await.map_err(failed)?;
            let Some(last) = page.last() else { break };
            after = last.summary.id;
            let session = if let Some(session) = &mut session {
                session
            } else {
                let writing = connect::connect(&postgres, APPLICATION).await?;
                session.insert(Session::prepare(writing).await.map_err(failed)?)
            };
            let retried = retry(session, &page, &self.reading).await.map_err(|error| failed(error.error))?;
            let Retried { stored, left: still } = retried;
            forget_letters(&client, &stored).await.map_err(failed)?;
            metrics::unresolved("resolved", count(stored.len()));
            left += count(still.len());
        }
        self.give_up(&client, since).await.map_err(failed)?;
        Ok(left)
    }

    /// Counts letters that came to be too old since the last round.
    async fn give_up(&mut self, client: &Client, since: Timestamp) -> Result<(), tokio_postgres::Error> {
        let from = self.given_up_until.checked_sub(self.hold).unwrap_or(Timestamp::MIN);
        let filter = LetterFilter {
            reasons: Some(vec![UNRESOLVED.to_owned()]),
            since: Some(from),
            until: Some(since),
            ..LetterFilter::default()
        };
        let given_up = held(client, &filter).await?;
        self.given_up_until = since.checked_add(self.hold).unwrap_or(Timestamp::MAX);
        if given_up > 0 {
            metrics::unresolved("given_up", given_up);
            tracing::warn!(
                event = "unresolved_given_up",
                records = given_up,
                hold_s = self.hold.as_secs(),
                "it never became known which flow instances records are of; their dead letters stay"
            );
        }
        Ok(())
    }
}

async fn held(client: &Client, filter: &LetterFilter) -> Result<u64, tokio_postgres::Error> {
    let counted = read::count_letters(client, filter).await?;
    Ok(counted.iter().map(|(_, count)| count.unsigned_abs()).sum())
}

fn count(letters: usize) -> u64 {
    u64::try_from(letters).unwrap_or(u64::MAX)
}
