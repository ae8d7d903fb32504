//! What this user may do, found by trying it in a form that the brokers refuse for another reason, after its rights.

use std::{sync::atomic::Ordering, time::Duration};

use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{CommitMode, Consumer as _},
    error::{KafkaError, RDKafkaErrorCode},
    producer::{FutureProducer, FutureRecord},
    topic_partition_list::TopicPartitionListElem,
};

use super::{
    super::client::{self, Context},
    ANSWER, Answer, Look, Standing, Topic, words,
};
use crate::config;

/// Something that a collector does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Right {
    /// Read the records of a topic.
    ReadTopic(String),
    /// Look at the group and its offsets.
    DescribeGroup,
    /// Join the group and commit its offsets.
    ReadGroup,
    /// Put dead letters on their topic.
    WriteLetters,
}

/// A partition that no topic has: a commit of it is refused, and by then its rights were looked at.
const NO_PARTITION: i32 = 1_999_999_999;

impl Look {
    pub(super) fn rights(&self, topics: &[Topic]) -> Vec<(Right, Answer<bool>)> {
        let mut rights = Vec::new();
        let there: Vec<&Topic> = topics.iter().filter(|topic| topic.standing == Standing::There).collect();
        for topic in &there {
            let refused = client::words(RDKafkaErrorCode::TopicAuthorizationFailed);
            let may = match &topic.sample {
                Ok(_) => Ok(true),
                Err(why) if *why == refused => Ok(false),
                Err(why) => Err(why.clone()),
            };
            rights.push((Right::ReadTopic(topic.name.clone()), may));
        }
        let Some(any) = there.first() else { return rights };
        let described = self.may_describe_group(&any.name);
        // Who may read a group may look at it, so who may not look at it may not read it.
        let may_read = if described == Ok(false) { Ok(false) } else { self.may_commit(&any.name) };
        rights.extend([(Right::DescribeGroup, described), (Right::ReadGroup, may_read)]);
        rights
    }

    fn may_describe_group(&self, topic: &str) -> Answer<bool> {
        if !self.is_group_refused() {
            let mut one = TopicPartitionList::new();
            one.add_partition(topic, 0);
            let committed = self.consumer.committed_offsets(one, self.left());
            let described =
                committed.and_then(|list| list.elements().iter().try_for_each(TopicPartitionListElem::error));
            if !self.is_group_refused() {
                return allowed(described, RDKafkaErrorCode::GroupAuthorizationFailed);
            }
        }
        Ok(false)
    }

    /// Hears what waits to be heard.
    fn is_group_refused(&self) -> bool {
        while let Some(Err(error)) = self.consumer.poll(Duration::ZERO) {
            self.note(&error);
        }
        self.group_refused.load(Ordering::Relaxed)
    }

    /// Whether a commit would be taken. None is: the partition does not exist, and Kafka looks at the group's right first.
    fn may_commit(&self, topic: &str) -> Answer<bool> {
        let mut list = TopicPartitionList::new();
        let added = list.add_partition_offset(topic, NO_PARTITION, Offset::Offset(0));
        let committed = added.and_then(|()| self.consumer.commit(&list, CommitMode::Sync));
        match committed {
            Err(error) if error.rdkafka_error_code() == Some(RDKafkaErrorCode::UnknownTopicOrPartition) => {
                Ok(true)
            }
            // The group may be used; that the topic may not be read is said beside it.
            Err(error) if error.rdkafka_error_code() == Some(RDKafkaErrorCode::TopicAuthorizationFailed) => {
                Ok(true)
            }
            other => allowed(other, RDKafkaErrorCode::GroupAuthorizationFailed),
        }
    }
}

fn allowed(outcome: Result<(), KafkaError>, refused: RDKafkaErrorCode) -> Answer<bool> {
    match outcome {
        Ok(()) => Ok(true),
        Err(error) if error.rdkafka_error_code() == Some(refused) => Ok(false),
        Err(error) => Err(words(&error)),
    }
}

/// Whether a record would be taken. None is: every broker refuses a wish for two acknowledgements, and looks at the
/// topic's right first.
pub(super) async fn may_write(kafka: &config::Kafka, topic: &str) -> Answer<bool> {
    let needs = [
        ("acks", "2"),
        ("request.required.acks", "2"),
        ("enable.idempotence", "false"),
        ("retries", "0"),
        ("message.timeout.ms", "5000"),
    ];
    let made = client::settings(kafka, &[], &needs).create_with_context(Context::new(kafka));
    let producer: FutureProducer<Context> = made.map_err(|error| words(&error))?;
    let record = FutureRecord::<[u8], [u8]>::to(topic).payload(b"");
    match producer.send(record, ANSWER).await {
        Ok(_) => Ok(true),
        Err((error, _)) => match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::InvalidRequiredAcks) => Ok(true),
            _ => allowed(Err(error), RDKafkaErrorCode::TopicAuthorizationFailed),
        },
    }
}
