//! Our tables beside those of the state service that they are to take the place of: `flowtrail flogo compare`.
//!
//! Both databases are read as of one moment each, the instances of a window in the order of their ids, some at a time, so
//! that memory is bounded whatever the window holds. Why a difference is to be expected, [`crate::flogo::compare`] says.

use std::{cmp::Ordering, collections::BTreeMap, vec};

use serde::Serialize;
use tokio_postgres::{Client, IsolationLevel, Transaction};

use crate::{
    flogo::compare::{self as judge, Difference, Kind, Reason, Row},
    postgres::read::compare::{Side, Window},
};

/// Instances whose rows are read at once.
const BATCH: usize = 200;

/// A statement failed.
#[derive(Debug, thiserror::Error)]
pub enum CompareError {
    /// In our own database.
    #[error("our database")]
    Here(#[source] tokio_postgres::Error),
    /// In the other one.
    #[error("the other database")]
    There(#[source] tokio_postgres::Error),
}

/// What was compared and found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Instances that either has.
    pub flows: u64,
    /// Steps that either has, of instances that both have.
    pub steps: u64,
    /// Differences that nothing explains.
    pub unexplained: u64,
    /// Those that are to be expected, by why.
    pub explained: BTreeMap<Reason, u64>,
}

/// Compares the instances of a window, and hands over each difference, by instance, those of its steps behind its own.
///
/// The steps of an instance that only one of them has are not looked at. What says only that an instance goes on while it is
/// looked at is no difference.
pub async fn compare(
    (here, there): (&mut Client, &mut Client),
    window: Window,
    found: impl FnMut(Difference),
) -> Result<Report, CompareError> {
    let here = Side::ours(moment(here).await.map_err(CompareError::Here)?);
    let there = Side::theirs(moment(there).await.map_err(CompareError::There)?);
    here.open_ids(window).await.map_err(CompareError::Here)?;
    there.open_ids(window).await.map_err(CompareError::There)?;
    let mut ids = Ids { here: Vec::new().into_iter().peekable(), there: Vec::new().into_iter().peekable() };
    let mut comparing = Comparing { here, there, report: Report::default(), found };
    loop {
        let batch = ids.next(&comparing.here, &comparing.there).await?;
        if batch.is_empty() {
            return Ok(comparing.report);
        }
        comparing.batch(&batch).await?;
    }
}

async fn moment(client: &mut Client) -> Result<Transaction<'_>, tokio_postgres::Error> {
    client.build_transaction().isolation_level(IsolationLevel::RepeatableRead).read_only(true).start().await
}

/// Ids of the window that are read and not compared yet, of each side.
struct Ids {
    here: std::iter::Peekable<vec::IntoIter<String>>,
    there: std::iter::Peekable<vec::IntoIter<String>>,
}

impl Ids {
    /// The next ids that either side has, ascending; none at the end.
    async fn next(&mut self, here: &Side<'_>, there: &Side<'_>) -> Result<Vec<String>, CompareError> {
        let mut batch = Vec::with_capacity(BATCH);
        while batch.len() < BATCH {
            if self.here.peek().is_none() {
                self.here = here.next_ids().await.map_err(CompareError::Here)?.into_iter().peekable();
            }
            if self.there.peek().is_none() {
                self.there = there.next_ids().await.map_err(CompareError::There)?.into_iter().peekable();
            }
            let order = order(self.here.peek(), self.there.peek());
            let Some(order) = order else { break };
            let here = (order != Ordering::Greater).then(|| self.here.next()).flatten();
            let there = (order != Ordering::Less).then(|| self.there.next()).flatten();
            batch.extend(here.or(there));
        }
        Ok(batch)
    }
}

/// Which of two comes first; nothing at the end of both.
fn order<K: Ord>(here: Option<K>, there: Option<K>) -> Option<Ordering> {
    match (here, there) {
        (Some(here), Some(there)) => Some(here.cmp(&there)),
        (Some(_), None) => Some(Ordering::Less),
        (None, Some(_)) => Some(Ordering::Greater),
        (None, None) => None,
    }
}

struct Comparing<'a, F> {
    here: Side<'a>,
    there: Side<'a>,
    report: Report,
    found: F,
}

impl<F: FnMut(Difference)> Comparing<'_, F> {
    /// An instance may have begun within the window by one side only, so both are asked for all of them.
    async fn batch(&mut self, ids: &[String]) -> Result<(), CompareError> {
        let here = self.here.flows(ids).await.map_err(CompareError::Here)?;
        let there = self.there.flows(ids).await.map_err(CompareError::There)?;
        let (mut here, mut there) = (here.into_iter().peekable(), there.into_iter().peekable());
        let (mut both, mut in_flight) = (Vec::new(), Vec::new());
        while let Some(order) = order(here.peek().map(|r| &r.flow), there.peek().map(|r| &r.flow)) {
            self.report.flows += 1;
            let own = (order != Ordering::Greater).then(|| here.next()).flatten();
            let other = (order != Ordering::Less).then(|| there.next()).flatten();
            match (own, other) {
                (Some(own), Some(other)) => {
                    if own.is_open() && other.is_open() {
                        in_flight.push(own.flow.clone());
                    }
                    for difference in judge::differences(&own, &other) {
                        self.tell(difference);
                    }
                    both.push(own.flow);
                }
                (Some(own), None) => self.tell(Difference::of(&own, Kind::Here, None)),
                (None, Some(other)) => {
                    let deleted = self.here.is_deleted(&other.flow).await.map_err(CompareError::Here)?;
                    self.tell(Difference::of(&other, Kind::There, deleted.then_some(Reason::Deleted)));
                }
                (None, None) => break,
            }
        }
        self.steps(&both, &in_flight).await
    }

    async fn steps(&mut self, ids: &[String], in_flight: &[String]) -> Result<(), CompareError> {
        self.here.open_steps(ids).await.map_err(CompareError::Here)?;
        self.there.open_steps(ids).await.map_err(CompareError::There)?;
        let (mut here, mut there) = (Vec::new().into_iter().peekable(), Vec::new().into_iter().peekable());
        loop {
            if here.peek().is_none() {
                here = self.here.next_steps().await.map_err(CompareError::Here)?.into_iter().peekable();
            }
            if there.peek().is_none() {
                there = self.there.next_steps().await.map_err(CompareError::There)?.into_iter().peekable();
            }
            let Some(order) = order(here.peek().map(key), there.peek().map(key)) else { break };
            self.report.steps += 1;
            let own = (order != Ordering::Greater).then(|| here.next()).flatten();
            let other = (order != Ordering::Less).then(|| there.next()).flatten();
            self.step(own, other, in_flight).await?;
        }
        self.here.close_steps().await.map_err(CompareError::Here)?;
        self.there.close_steps().await.map_err(CompareError::There)
    }

    async fn step(
        &mut self,
        own: Option<Row>,
        other: Option<Row>,
        in_flight: &[String],
    ) -> Result<(), CompareError> {
        match (own, other) {
            (Some(own), Some(other)) => {
                for difference in judge::differences(&own, &other) {
                    self.tell(difference);
                }
            }
            // The two were not looked at in the same moment.
            (Some(row), None) | (None, Some(row)) if in_flight.binary_search(&row.flow).is_ok() => {}
            (Some(own), None) => self.tell(Difference::of(&own, Kind::Here, own.reason_to_be_missing())),
            (None, Some(other)) => {
                let step = other.step.as_deref().unwrap_or_default();
                let superseded = self.here.is_superseded(&other.flow, step).await;
                let reason = superseded.map_err(CompareError::Here)?.then_some(Reason::Superseded);
                self.tell(Difference::of(&other, Kind::There, reason));
            }
            (None, None) => {}
        }
        Ok(())
    }

    fn tell(&mut self, difference: Difference) {
        match difference.reason {
            Some(reason) => *self.report.explained.entry(reason).or_default() += 1,
            None => self.report.unexplained += 1,
        }
        (self.found)(difference);
    }
}

fn key(row: &Row) -> (&str, Option<&str>) {
    (&row.flow, row.step.as_deref())
}
