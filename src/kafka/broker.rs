//! What the pipeline asks of a member of the consumer group. librdkafka's consumer answers it; so does the simulation.

use std::time::Duration;

use bytes::Bytes;
use rdkafka::{
    Offset as Position, TopicPartitionList,
    consumer::{BaseConsumer, CommitMode, Consumer as _, RebalanceProtocol},
    error::{KafkaError, KafkaResult},
    message::{BorrowedMessage, Header, Headers as _, Message as _},
};

use super::rebalance::{GroupContext, position};
use crate::model::{Offset, Partition};

/// How long a seek or a question to the broker may take.
const ASK: Duration = Duration::from_secs(5);

/// A record in the memory of whoever read it.
pub(crate) trait Record {
    /// Name of its topic.
    fn topic(&self) -> &str;
    /// Number of its partition.
    fn partition(&self) -> i32;
    /// Its offset.
    fn offset(&self) -> Offset;
    /// Its timestamp in ms since 1970.
    fn time(&self) -> Option<i64>;
    /// Its key.
    fn key(&self) -> Option<&[u8]>;
    /// Its value.
    fn payload(&self) -> Option<&[u8]>;
    /// Its headers, in order.
    fn headers(&self) -> Vec<(String, Option<Bytes>)>;

    /// A header's value; of several the last.
    fn header(&self, name: &str) -> Option<Bytes> {
        self.headers().into_iter().rev().find(|(key, _)| key == name)?.1
    }
}

/// A member of the group. Rebalances are answered while it polls, and change the
/// [`Assignment`](super::rebalance::Assignment).
pub(crate) trait Broker {
    /// What it reads.
    type Record<'a>: Record
    where
        Self: 'a;

    /// The next record, or an error, if there is one within this time.
    fn poll(&self, wait: Duration) -> Option<Result<Self::Record<'_>, KafkaError>>;

    /// Stops reading partitions for a while.
    fn pause(&self, partitions: &[Partition]) -> KafkaResult<()>;

    /// Reads on.
    fn resume(&self, partitions: &[Partition]) -> KafkaResult<()>;

    /// Reads a partition on from another offset (`None`: from the beginning). `others` are the partitions beside it,
    /// and where they are.
    fn move_to(
        &self,
        partition: &Partition,
        to: Option<Offset>,
        others: impl FnOnce() -> Vec<(Partition, Offset)>,
    ) -> KafkaResult<()>;

    /// Writes group offsets; waits for it, or doesn't.
    fn commit(&self, offsets: &[(Partition, Offset)], wait: bool) -> KafkaResult<()>;

    /// Finds out whether a partition that ended at `end` has no record from `from` on; tells later, from anywhere. Where
    /// that can't be found out, it is no.
    fn is_hollow(
        &self,
        partition: &Partition,
        from: Offset,
        end: Offset,
        tell: impl FnOnce(bool) + Send + 'static,
    );

    /// First offset of a partition, and the one after its last.
    fn watermarks(&self, partition: &Partition) -> KafkaResult<(i64, i64)>;
}

impl Record for BorrowedMessage<'_> {
    fn topic(&self) -> &str {
        rdkafka::Message::topic(self)
    }

    fn partition(&self) -> i32 {
        rdkafka::Message::partition(self)
    }

    fn offset(&self) -> Offset {
        Offset(rdkafka::Message::offset(self))
    }

    fn time(&self) -> Option<i64> {
        self.timestamp().to_millis()
    }

    fn key(&self) -> Option<&[u8]> {
        rdkafka::Message::key(self)
    }

    fn payload(&self) -> Option<&[u8]> {
        rdkafka::Message::payload(self)
    }

    fn headers(&self) -> Vec<(String, Option<Bytes>)> {
        let header =
            |header: Header<'_, &[u8]>| (header.key.to_owned(), header.value.map(Bytes::copy_from_slice));
        rdkafka::Message::headers(self).map_or_else(Vec::new, |headers| headers.iter().map(header).collect())
    }
}

impl Broker for BaseConsumer<GroupContext> {
    type Record<'a> = BorrowedMessage<'a>;

    fn poll(&self, wait: Duration) -> Option<Result<BorrowedMessage<'_>, KafkaError>> {
        BaseConsumer::poll(self, wait)
    }

    fn pause(&self, partitions: &[Partition]) -> KafkaResult<()> {
        rdkafka::consumer::Consumer::pause(self, &list(partitions))
    }

    fn resume(&self, partitions: &[Partition]) -> KafkaResult<()> {
        rdkafka::consumer::Consumer::resume(self, &list(partitions))
    }

    fn move_to(
        &self,
        partition: &Partition,
        to: Option<Offset>,
        others: impl FnOnce() -> Vec<(Partition, Offset)>,
    ) -> KafkaResult<()> {
        let sought = self.seek(&partition.topic, partition.number, position(to), ASK);
        // librdkafka has stopped a partition that was out of range, and seeks none that is stopped.
        sought.or_else(|_| take_anew(self, partition, to, others))
    }

    fn commit(&self, offsets: &[(Partition, Offset)], wait: bool) -> KafkaResult<()> {
        let mut list = TopicPartitionList::new();
        for (partition, offset) in offsets {
            list.add_partition_offset(&partition.topic, partition.number, Position::Offset(offset.0))?;
        }
        let mode = if wait { CommitMode::Sync } else { CommitMode::Async };
        rdkafka::consumer::Consumer::commit(self, &list, mode)
    }

    fn is_hollow(
        &self,
        partition: &Partition,
        from: Offset,
        end: Offset,
        tell: impl FnOnce(bool) + Send + 'static,
    ) {
        let (looker, partition) = (self.context().looker.clone(), partition.clone());
        // librdkafka blocks.
        self.context().runtime.spawn_blocking(move || tell(looker.is_hollow(&partition, from, end)));
    }

    fn watermarks(&self, partition: &Partition) -> KafkaResult<(i64, i64)> {
        self.fetch_watermarks(&partition.topic, partition.number, ASK)
    }
}

/// Gives a partition out of librdkafka's hands and into them again, at another offset. The group sees nothing of it.
fn take_anew(
    consumer: &BaseConsumer<GroupContext>,
    partition: &Partition,
    to: Option<Offset>,
    others: impl FnOnce() -> Vec<(Partition, Offset)>,
) -> KafkaResult<()> {
    let mut one = TopicPartitionList::new();
    one.add_partition_offset(&partition.topic, partition.number, position(to))?;
    if matches!(consumer.rebalance_protocol(), RebalanceProtocol::Cooperative) {
        consumer.incremental_unassign(&one)?;
        return consumer.incremental_assign(&one);
    }
    // The older protocol knows whole assignments only.
    for (other, next) in others() {
        one.add_partition_offset(&other.topic, other.number, Position::Offset(next.0))?;
    }
    consumer.assign(&one)
}

fn list(partitions: &[Partition]) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    for partition in partitions {
        list.add_partition(&partition.topic, partition.number);
    }
    list
}
