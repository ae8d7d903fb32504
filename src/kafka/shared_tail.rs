//! One reader of what comes onto a topic, for any number of listeners; it runs while there is one.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::{sync::broadcast, task::spawn_blocking};
use tokio_util::sync::CancellationToken;

use super::tail::{self, Record};
use crate::config;

/// What listeners get of a record; nothing where they have no use for it.
type Read<T> = Box<dyn Fn(&Record) -> Vec<T> + Send + Sync>;

/// What comes onto a topic from now on. A clone is the same.
pub(crate) struct SharedTail<T> {
    shared: Arc<Shared<T>>,
}

/// Somebody who listens.
#[derive(Debug)]
pub(crate) struct Listening<T> {
    /// What comes. A listener that is further behind than the tail keeps is told how much it missed.
    pub(crate) receiver: broadcast::Receiver<T>,
    /// By partition the offset of the first record that it gets, if its topic had that many partitions by then.
    pub(crate) positions: BTreeMap<i32, i64>,
}

struct Shared<T> {
    kafka: config::Kafka,
    topic: String,
    /// Things that a listener may be behind.
    behind: usize,
    read: Read<T>,
    stop: CancellationToken,
    /// There while the topic is read, or is about to be.
    running: Mutex<Option<Running<T>>>,
    /// Only one at a time begins to read.
    beginning: tokio::sync::Mutex<()>,
}

struct Running<T> {
    sender: broadcast::Sender<T>,
    positions: BTreeMap<i32, i64>,
}

impl<T: Clone + Send + 'static> SharedTail<T> {
    /// Of this topic until `stop`. Nothing is read before somebody listens; a listener may be `behind` things behind.
    pub(crate) fn new(
        kafka: &config::Kafka,
        topic: &str,
        behind: usize,
        stop: CancellationToken,
        read: impl Fn(&Record) -> Vec<T> + Send + Sync + 'static,
    ) -> Self {
        let (kafka, topic, read) = (kafka.clone(), topic.to_owned(), Box::new(read));
        let (running, beginning) = (Mutex::default(), tokio::sync::Mutex::default());
        Self { shared: Arc::new(Shared { kafka, topic, behind, read, stop, running, beginning }) }
    }

    /// Its topic.
    pub(crate) fn topic(&self) -> &str {
        &self.shared.topic
    }

    /// Ends with the tail.
    pub(crate) fn stop(&self) -> &CancellationToken {
        &self.shared.stop
    }

    /// Listens from now on; a sentence says why that can't be.
    pub(crate) async fn listen(&self) -> Result<Listening<T>, String> {
        let _one = self.shared.beginning.lock().await;
        if let Some(running) = &*self.shared.running() {
            return Ok(running.listen());
        }
        let (sender, receiver) = broadcast::channel(self.shared.behind);
        *self.shared.running() = Some(Running { sender, positions: BTreeMap::new() });
        let shared = self.shared.clone();
        let begun = spawn_blocking(move || {
            let of_thread = shared.clone();
            tail::follow(&shared.kafka, &shared.topic, move |record| of_thread.take(record.as_ref()))
                .map_err(|error| error.to_string())
        });
        let begun = begun.await.unwrap_or_else(|_| Err("this server is stopping".to_owned()));
        let mut running = self.shared.running();
        let ends = match begun {
            Ok(ends) => ends,
            Err(why) => {
                *running = None;
                return Err(why);
            }
        };
        let Some(running) = &mut *running else { return Err("the topic is not read any more".to_owned()) };
        // What the thread has read since then is in the receiver.
        for (partition, end) in &ends {
            running.positions.entry(*partition).or_insert(*end);
        }
        Ok(Listening { receiver, positions: ends })
    }
}

impl<T: Clone> Running<T> {
    fn listen(&self) -> Listening<T> {
        Listening { receiver: self.sender.subscribe(), positions: self.positions.clone() }
    }
}

impl<T> Shared<T> {
    fn running(&self) -> MutexGuard<'_, Option<Running<T>>> {
        // A panic elsewhere leaves it whole: every change to it is one assignment.
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Passes a record on, if there is one; says whether anybody listens.
    fn take(&self, record: Option<&Record>) -> bool {
        let things = record.map(|record| (self.read)(record)).unwrap_or_default();
        // Under the lock: whoever comes meanwhile finds this reader, or begins another, and knows where it joins in.
        let mut place = self.running();
        let Some(running) = &mut *place else { return false };
        if let Some(record) = record {
            running.positions.insert(record.partition, record.offset.saturating_add(1));
        }
        for thing in things {
            // Whoever went away is noticed below.
            let _ = running.sender.send(thing);
        }
        let is_wanted = running.sender.receiver_count() > 0 && !self.stop.is_cancelled();
        if !is_wanted {
            *place = None;
        }
        is_wanted
    }
}

impl<T> Clone for SharedTail<T> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<T> fmt::Debug for SharedTail<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedTail").field("topic", &self.shared.topic).finish_non_exhaustive()
    }
}
