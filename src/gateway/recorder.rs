//! Keeps an event before its request is answered: on the topic, or in the spool while Kafka is away.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use bytes::Bytes;
use prost::Message as _;

use super::spool::{Refused, Spool};
use crate::{
    kafka::confirmed::{ConfirmedProducer, Position, Unconfirmed},
    metrics,
    proto::v1::HistoryEvent,
    publish::Record,
};

/// Where an event is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// All replicas in sync have it.
    OnTopic(Position),
    /// It is synced to the disk, and goes to Kafka from there.
    Spooled,
}

/// Why an event is not kept, or perhaps not.
#[derive(Debug, thiserror::Error)]
pub enum NotKept {
    /// Kafka is away, and there is no spool.
    #[error("{0}; try again later")]
    Away(String),
    /// Kafka is away, and the spool takes no more.
    #[error("Kafka is away and {0}; try again later")]
    NoRoom(Refused),
    /// The app of the flow posts more than it may.
    #[error(
        "the app has posted more than its share (gateway.quota_per_app), so this flow can't begin; try again later"
    )]
    OverQuota,
    /// Larger than the topic takes.
    #[error("the event is larger than the topic takes (max.message.bytes)")]
    TooLarge,
    /// Kafka refuses what is written now, whoever asks again: somebody has to mend it.
    #[error("Kafka refuses it: {0}")]
    Refused(String),
}

/// Keeps events.
#[derive(Debug)]
pub struct Recorder {
    producer: ConfirmedProducer,
    spool: Option<Spool>,
    /// How long Kafka is waited for before the spool is taken.
    patience: Duration,
    /// Kafka did not take the last event. While that is so, nobody waits for it but who drains the spool.
    away: AtomicBool,
}

impl Recorder {
    /// With a spool, Kafka is waited for no longer than `patience`; without, as long as the producer waits.
    pub fn new(producer: ConfirmedProducer, spool: Option<Spool>, patience: Duration) -> Self {
        Self { producer, spool, patience, away: AtomicBool::new(false) }
    }

    /// Keeps an event, and says where.
    ///
    /// After an error it may be on the topic all the same: repeating the request changes nothing then. The same holds
    /// if the future is dropped.
    pub async fn keep(&self, event: HistoryEvent) -> Result<Kept, NotKept> {
        let record = Record::from(event);
        let payload = Bytes::from(record.event.encode_to_vec());
        match &self.spool {
            None => self.to_topic(&record.key, &payload).await.map_err(NotKept::from),
            Some(spool) => self.to_either(spool, record.key, payload).await,
        }
    }

    async fn to_either(&self, spool: &Spool, key: String, payload: Bytes) -> Result<Kept, NotKept> {
        let was_away = self.is_away();
        if !was_away {
            match tokio::time::timeout(self.patience, self.to_topic(&key, &payload)).await {
                Ok(Ok(kept)) => return Ok(kept),
                // Whatever else it is may pass, or be mended; the event must not be lost meanwhile.
                Ok(Err(Unconfirmed::TooLarge)) => return Err(NotKept::TooLarge),
                Ok(Err(Unconfirmed::Busy)) => {}
                Ok(Err(_)) | Err(_) => self.away.store(true, Ordering::Relaxed),
            }
        }
        match spool.append(key.clone(), payload.clone()).await {
            Ok(()) => {
                metrics::gateway_spooled();
                Ok(Kept::Spooled)
            }
            // Perhaps Kafka is back, and the spool has not found out.
            Err(refused) if was_away => {
                let tried = tokio::time::timeout(self.patience, self.to_topic(&key, &payload)).await;
                tried.ok().and_then(Result::ok).ok_or(NotKept::NoRoom(refused))
            }
            Err(refused) => Err(NotKept::NoRoom(refused)),
        }
    }

    /// Puts a record on the topic.
    pub(super) async fn to_topic(&self, key: &str, payload: &[u8]) -> Result<Kept, Unconfirmed> {
        let position = self.producer.send(key, payload).await?;
        if self.is_away() {
            self.away.store(false, Ordering::Relaxed);
        }
        Ok(Kept::OnTopic(position))
    }

    /// Whether Kafka did not take the last event that was tried.
    pub fn is_away(&self) -> bool {
        self.away.load(Ordering::Relaxed)
    }

    /// Whether the spool takes events while Kafka is away.
    pub fn has_room(&self) -> bool {
        self.spool.as_ref().is_some_and(|spool| !spool.is_full())
    }

    /// Where events wait for Kafka, if there is such a place.
    pub fn spool(&self) -> Option<&Spool> {
        self.spool.as_ref()
    }

    /// The topic that it keeps events on.
    pub fn topic(&self) -> &str {
        self.producer.topic()
    }
}

impl From<Unconfirmed> for NotKept {
    fn from(why: Unconfirmed) -> Self {
        match why {
            Unconfirmed::TooLarge => Self::TooLarge,
            Unconfirmed::Refused(why) => Self::Refused(why),
            Unconfirmed::Away(_) | Unconfirmed::Busy => Self::Away(why.to_string()),
        }
    }
}

#[cfg(test)]
mod tests;
