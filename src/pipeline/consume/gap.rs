//! Records that Kafka no longer has, or no longer the same ones, where some are not stored yet. None is skipped in silence.

use std::sync::Arc;

use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::{ASK, Consume, ConsumeError};
use crate::{
    clock,
    config::OnGap,
    kafka::{Lease, Start, broker::Broker},
    metrics,
    model::Offset,
    postgres::{Database, Gap},
};

/// How a gap came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// The topic's retention, or somebody who deleted records, was faster than the collector.
    Retention,
    /// The topic was created again, or lost its end: the stored offset lies behind its end, or what is there is another
    /// record than the one that was stored.
    Recreated,
}

impl Cause {
    fn name(self) -> &'static str {
        match self {
            Self::Retention => "retention",
            Self::Recreated => "recreated",
        }
    }
}

/// Where a partition stands to what Kafka has of it.
#[derive(Debug, PartialEq, Eq)]
enum Standing {
    /// Kafka has what is to be read next.
    Fine,
    /// Only the record that was stored last is gone; what comes after it is there.
    OnlyTheLast,
    /// Records are gone.
    Gone(Cause),
}

/// Judges a partition that wants `next` and has begun at `position`, of which Kafka has `first..end`.
fn standing(position: i64, next: i64, first: i64, end: i64) -> Standing {
    if next > end {
        Standing::Gone(Cause::Recreated)
    } else if next < first {
        Standing::Gone(Cause::Retention)
    } else if position < first {
        Standing::OnlyTheLast
    } else {
        Standing::Fine
    }
}

impl<B: Broker, D: Database> Consume<B, D> {
    /// What an error of a poll means.
    pub(super) fn judge(&mut self, error: &KafkaError) -> Result<(), ConsumeError> {
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange) => {
                self.out_of_range(error)
            }
            Some(RDKafkaErrorCode::Fatal) => Err(ConsumeError::Fatal(error.to_string())),
            _ => {
                if self.trouble.is_due(&error.to_string(), clock::monotonic()) {
                    tracing::warn!(event = "kafka_error", %error, "Kafka reported an error; librdkafka goes on by itself");
                }
                Ok(())
            }
        }
    }

    /// The error does not say which partition it is about, so all are looked at.
    fn out_of_range(&mut self, error: &KafkaError) -> Result<(), ConsumeError> {
        // It may be about one that waits, and then comes again once it is read.
        let mut explained = !self.with.assignment.waiting().is_empty();
        for lease in self.with.assignment.leases() {
            let (next, checked) = self.readings.next(&lease, &self.with.assignment);
            let position = lease.start.position().filter(|_| !checked).map_or(next, |position| position.0);
            let Some((first, end)) = self.has(&lease) else { continue };
            match standing(position, next, first, end) {
                Standing::Fine => continue,
                Standing::OnlyTheLast => self.begin_again(&lease.partition, Start::at(lease.start.base)),
                Standing::Gone(cause) => self.met_gap(&lease, cause, next, (first, end))?,
            }
            explained = true;
        }
        if explained { Ok(()) } else { Err(ConsumeError::Fatal(error.to_string())) }
    }

    /// At the offset of the record that was stored last there is another one.
    pub(super) fn another_record(&mut self, lease: &Arc<Lease>) -> Result<(), ConsumeError> {
        let (next, _) = self.readings.next(lease, &self.with.assignment);
        let (first, end) = self.has(lease).unwrap_or((0, next));
        self.met_gap(lease, Cause::Recreated, next, (first, end))
    }

    /// What is to be read next may lie behind the end, which librdkafka would wait for in silence.
    pub(super) fn look_behind(&mut self, lease: &Arc<Lease>) -> Result<(), ConsumeError> {
        let (next, _) = self.readings.next(lease, &self.with.assignment);
        match self.has(lease) {
            Some((first, end)) if next > end => self.met_gap(lease, Cause::Recreated, next, (first, end)),
            _ => Ok(()),
        }
    }

    /// First and end offset that Kafka has of a partition.
    fn has(&self, lease: &Lease) -> Option<(i64, i64)> {
        self.with.consumer.watermarks(&lease.partition).ok()
    }

    /// Counts and keeps a gap; then ends, or goes on with what Kafka has, as configured.
    fn met_gap(
        &mut self,
        lease: &Arc<Lease>,
        cause: Cause,
        next: i64,
        (first, end): (i64, i64),
    ) -> Result<(), ConsumeError> {
        lease.end();
        metrics::gap(cause.name());
        let partition = lease.partition.clone();
        let found = ConsumeError::Gap { partition: partition.clone(), cause, next, first, end };
        let gap = Gap { partition, cause: cause.name(), from: next, to: first, detail: found.to_string() };
        let kept = async { tokio::time::timeout(ASK, self.with.store.keep_gap(&gap)).await };
        let kept = match self.with.runtime.block_on(kept) {
            Ok(kept) => kept,
            Err(_) => Err("Postgres does not answer".to_owned()),
        };
        if let Err(reason) = &kept {
            tracing::warn!(event = "gap_not_kept", partition = %lease.partition, reason, "a gap could not be kept in ft_gap");
        }
        match (self.with.on_gap, kept) {
            (OnGap::Halt, _) => return Err(found),
            // Met again once Postgres answers, and kept then.
            (OnGap::Continue, Err(_)) => self.with.assignment.wait(&lease.partition),
            (OnGap::Continue, Ok(())) => {
                tracing::error!(event = "records_lost", partition = %lease.partition, next, first, end, cause = cause.name(), "records are lost");
                self.begin_again(&lease.partition, Start::after_gap(lease.stored(), Offset(first)));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_is_told_from_a_last_record_that_is_gone() {
        assert_eq!(standing(9, 10, 0, 20), Standing::Fine);
        assert_eq!(standing(10, 10, 0, 10), Standing::Fine, "at the end");
        assert_eq!(standing(9, 10, 10, 20), Standing::OnlyTheLast);
        assert_eq!(standing(9, 10, 11, 20), Standing::Gone(Cause::Retention));
        assert_eq!(standing(9, 10, 0, 9), Standing::Gone(Cause::Recreated));
    }
}
