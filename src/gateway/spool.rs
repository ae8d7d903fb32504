//! A folder that holds events while Kafka is away.
//!
//! What [`Spool::append`] has answered is on the disk (written and synced) and survives a crash of the process and of
//! the machine. The events lie in numbered segments; a segment is removed as a whole once Kafka has acknowledged all
//! of it, so a crash in between puts some of it on the topic twice, which changes no row. The spool never holds more
//! than its limit: what would exceed it is refused.
//!
//! One process owns the folder, by a lock on the file `lock` in it.

use std::{
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use tokio::sync::{Notify, mpsc, oneshot};

mod segment;
mod writer;

pub use self::segment::Entry;
use self::segment::Segment;

/// Appends that may wait for the disk at once. Beyond that the caller waits.
const QUEUE: usize = 1_024;

/// Why a spool can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error("{} is in use by another process; give each `flowtrail serve` a gateway.spool_dir of its own", .0.display())]
    InUse(PathBuf),
    /// The folder or a file in it can't be read or written.
    #[error("cannot use {} as a spool (gateway.spool_dir)", path.display())]
    Io {
        /// The folder or the file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Why an event was not kept.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// It would hold more than it may.
    #[error("the spool is full")]
    Full,
    /// The disk did not take it.
    #[error("the spool can't be written: {0}")]
    Io(String),
}

/// What was found in the folder when it was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Found {
    /// Bytes of the segments that wait.
    pub bytes: u64,
    /// Bytes behind the last whole event of the newest segment: a write that a crash cut off, answered to nobody.
    pub torn: u64,
    /// Segments with events that can't be read; each is kept beside what could be, as `NAME.damaged`.
    pub damaged: usize,
}

/// Events on their way to Kafka, by way of the disk.
#[derive(Debug)]
pub struct Spool {
    orders: mpsc::Sender<Order>,
    held: Arc<Held>,
    limit: u64,
    /// Held open for its lock.
    _lock: File,
}

/// Bytes that count against the limit, and a bell for who waits for some.
#[derive(Debug, Default)]
struct Held {
    bytes: AtomicU64,
    grown: Notify,
}

/// What the thread that owns the files is asked.
#[derive(Debug)]
enum Order {
    Append { entry: Entry, answer: oneshot::Sender<Result<(), Refused>> },
    Oldest { answer: oneshot::Sender<io::Result<Option<Segment>>> },
    Remove { segment: Segment, answer: oneshot::Sender<io::Result<()>> },
}

/// A segment that nothing is appended to any more, and what it holds.
#[derive(Debug)]
pub struct Waiting {
    segment: Segment,
    /// Its events, oldest first; taken out as Kafka acknowledges them.
    pub entries: Vec<Entry>,
}

impl Spool {
    /// Opens the folder, makes it if it is not there, and starts the thread that owns its files.
    ///
    /// Blocks for as long as it takes to read what the folder holds.
    pub fn open(folder: &Path, limit: u64) -> Result<(Self, Found), OpenError> {
        let at = |path: &Path| {
            let path = path.to_owned();
            move |source| OpenError::Io { path, source }
        };
        fs::create_dir_all(folder).map_err(at(folder))?;
        let lock_path = folder.join("lock");
        let lock = File::create(&lock_path).map_err(at(&lock_path))?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => OpenError::InUse(folder.to_owned()),
            TryLockError::Error(source) => OpenError::Io { path: lock_path, source },
        })?;
        let (segments, found) = segment::find(folder).map_err(at(folder))?;
        let held = Arc::new(Held::default());
        held.bytes.store(found.bytes, Ordering::Relaxed);
        if found.bytes > 0 {
            held.grown.notify_one();
        }
        let (orders, inbox) = mpsc::channel(QUEUE);
        writer::start(folder.to_owned(), segments, held.clone(), inbox).map_err(at(folder))?;
        Ok((Self { orders, held, limit, _lock: lock }, found))
    }

    /// Keeps an event; answered once it is synced to the disk. Dropping the future keeps it or not, nobody knows.
    pub async fn append(&self, key: String, payload: Bytes) -> Result<(), Refused> {
        let gone = || Refused::Io("its thread has ended".to_owned());
        // The place in the queue comes first: whoever gives up waiting for it has counted nothing yet.
        let place = self.orders.reserve().await.map_err(|_| gone())?;
        let entry = Entry { key, payload };
        let size = entry.size();
        let before = self.held.bytes.fetch_add(size, Ordering::Relaxed);
        if before + size > self.limit {
            self.held.bytes.fetch_sub(size, Ordering::Relaxed);
            return Err(Refused::Full);
        }
        let (answer, kept) = oneshot::channel();
        // From here on the thread counts the bytes back if it can't keep them.
        place.send(Order::Append { entry, answer });
        kept.await.unwrap_or_else(|_| Err(gone()))
    }

    /// Bytes that it holds.
    pub fn bytes(&self) -> u64 {
        self.held.bytes.load(Ordering::Relaxed)
    }

    /// Whether it is so full that most events would be refused.
    pub fn is_full(&self) -> bool {
        self.bytes() > self.limit / 100 * 99
    }

    /// Waits until it holds something. Cancel-safe.
    pub async fn filled(&self) {
        while self.bytes() == 0 {
            self.held.grown.notified().await;
        }
    }

    /// The oldest segment with what it holds; nothing is appended to it from now on. Nothing if all is done.
    pub async fn oldest(&self) -> io::Result<Option<Waiting>> {
        let (answer, found) = oneshot::channel();
        self.order(Order::Oldest { answer }, found).await?.map_or(Ok(None), |segment| {
            let entries = segment.read()?;
            Ok(Some(Waiting { segment, entries }))
        })
    }

    /// Forgets a segment, all of which is on the topic.
    pub async fn remove(&self, done: Waiting) -> io::Result<()> {
        let (answer, removed) = oneshot::channel();
        self.order(Order::Remove { segment: done.segment, answer }, removed).await
    }

    async fn order<T>(&self, order: Order, answer: oneshot::Receiver<io::Result<T>>) -> io::Result<T> {
        let gone = || io::Error::other("the spool's thread has ended");
        self.orders.send(order).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}

#[cfg(test)]
mod tests;
