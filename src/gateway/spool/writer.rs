//! The thread that owns a spool's files. Appends that wait at the same time share one sync.

use std::{
    collections::VecDeque,
    fs::{self, File},
    io::{self, Write as _},
    path::PathBuf,
    sync::{Arc, atomic::Ordering},
    thread,
};

use tokio::sync::{mpsc, oneshot};

use super::{
    Entry, Held, Order, Refused,
    segment::{self, Segment},
};

/// A segment that has reached this is closed. It bounds what a crash puts on the topic twice.
const SEGMENT_BYTES: u64 = 8 << 20;

/// Bytes that share one sync at most.
const SHARED_BYTES: usize = 4 << 20;

type Answer = oneshot::Sender<Result<(), Refused>>;

struct Writer {
    folder: PathBuf,
    /// Closed ones, oldest first.
    closed: VecDeque<Segment>,
    /// The one that is appended to.
    open: Option<(Segment, File)>,
    next: u64,
    held: Arc<Held>,
}

/// Starts it; it ends when nobody can give it orders any more.
pub(super) fn start(
    folder: PathBuf,
    segments: Vec<Segment>,
    held: Arc<Held>,
    inbox: mpsc::Receiver<Order>,
) -> io::Result<()> {
    let next = segments.last().map_or(1, |last| last.number + 1);
    let writer = Writer { folder, closed: segments.into(), open: None, next, held };
    thread::Builder::new().name("spool".to_owned()).spawn(move || writer.run(inbox)).map(drop)
}

impl Writer {
    fn run(mut self, mut inbox: mpsc::Receiver<Order>) {
        let mut next = inbox.blocking_recv();
        while let Some(order) = next.take() {
            match order {
                Order::Append { entry, answer } => {
                    let mut shared = vec![(entry, answer)];
                    let mut bytes = 0;
                    while bytes < SHARED_BYTES {
                        match inbox.try_recv() {
                            Ok(Order::Append { entry, answer }) => {
                                bytes += entry.payload.len();
                                shared.push((entry, answer));
                            }
                            Ok(other) => {
                                next = Some(other);
                                break;
                            }
                            Err(_) => break,
                        }
                    }
                    self.append(shared);
                }
                // Whoever asked may have gone; then nobody misses the answer.
                Order::Oldest { answer } => drop(answer.send(Ok(self.oldest()))),
                Order::Remove { segment, answer } => drop(answer.send(self.remove(&segment))),
            }
            if next.is_none() {
                next = inbox.blocking_recv();
            }
        }
    }

    fn append(&mut self, shared: Vec<(Entry, Answer)>) {
        let size: u64 = shared.iter().map(|(entry, _)| entry.size()).sum();
        let written = self.write(&shared);
        if written.is_ok() {
            self.held.grown.notify_one();
        } else {
            self.held.bytes.fetch_sub(size, Ordering::Relaxed);
        }
        let refusal = written.err().map(|error| error.to_string());
        for (_, answer) in shared {
            let _ = answer.send(refusal.clone().map_or(Ok(()), |why| Err(Refused::Io(why))));
        }
    }

    fn write(&mut self, shared: &[(Entry, Answer)]) -> io::Result<()> {
        let mut buffer = Vec::new();
        for (entry, _) in shared {
            entry.write(&mut buffer)?;
        }
        let (mut segment, mut file) = if let Some(open) = self.open.take() {
            open
        } else {
            let made = Segment::create(&self.folder, self.next)?;
            self.next += 1;
            made
        };
        if let Err(error) = file.write_all(&buffer).and_then(|()| file.sync_data()) {
            // Nobody knows what of it is on the disk. What was there before is, and nothing is appended to it again.
            let cut = file.set_len(segment.bytes).and_then(|()| file.sync_data());
            if segment.bytes > 0 {
                self.closed.push_back(segment);
            } else if cut.is_ok() {
                let _ = fs::remove_file(&segment.path);
            }
            return Err(error);
        }
        segment.bytes += segment::count(buffer.len());
        if segment.bytes >= SEGMENT_BYTES {
            self.closed.push_back(segment);
        } else {
            self.open = Some((segment, file));
        }
        Ok(())
    }

    fn oldest(&mut self) -> Option<Segment> {
        if self.closed.is_empty() {
            self.closed.extend(self.open.take().map(|(segment, _)| segment));
        }
        self.closed.front().cloned()
    }

    fn remove(&mut self, segment: &Segment) -> io::Result<()> {
        fs::remove_file(&segment.path)?;
        self.closed.retain(|other| other != segment);
        self.held.bytes.fetch_sub(segment.bytes, Ordering::Relaxed);
        File::open(&self.folder)?.sync_all()
    }
}
