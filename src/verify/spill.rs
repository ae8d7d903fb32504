//! Records by flow, in bounded memory: buckets by the hash of the flow, which go to files when there is too much of them.

use std::{
    fs::{self, File},
    hash::{BuildHasher as _, Hash},
    io::{self, BufReader, Read, Seek as _, SeekFrom, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use bytes::{BufMut as _, Bytes, BytesMut};
use rustc_hash::FxBuildHasher;

/// How many buckets there are. Each may be a file that is open.
const BUCKETS: usize = 64;
const BUCKET_BITS: u32 = BUCKETS.trailing_zeros();

/// What is read from a file at a time, and how large the memory is that records share.
const BLOCK: usize = 64 << 10;

/// A record, or the mere note that something is stored of a flow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// [`hash`] of what it belongs to.
    pub(super) hash: u64,
    /// Number of the stretch it was read from; `None`: `key` is the id of a flow of which something is stored.
    pub(super) stretch: Option<u32>,
    /// Its offset.
    pub(super) offset: i64,
    /// Its timestamp in ms since 1970; 0 if it has none.
    pub(super) time: i64,
    /// Its key, empty if it has none.
    pub(super) key: Bytes,
    /// Its value.
    pub(super) payload: Bytes,
}

/// Bytes before key and value: both lengths, hash, stretch, offset, time.
const HEAD: usize = 4 + 4 + 8 + 4 + 8 + 8;
const NO_STRETCH: u32 = u32::MAX;

/// What things are told apart by, in and between buckets.
pub(super) fn hash(thing: impl Hash) -> u64 {
    FxBuildHasher.hash_one(thing)
}

/// Buckets in the making.
#[derive(Debug)]
pub(super) struct Spill {
    buckets: Vec<Bucket>,
    /// Bytes in memory.
    held: usize,
    /// More than this is written to files.
    most: usize,
    folder: PathBuf,
}

/// Records of a part of the flows.
#[derive(Debug, Default)]
pub(super) struct Bucket {
    file: Option<File>,
    /// Bytes in the file.
    spilled: u64,
    held: Vec<u8>,
}

/// A bucket could not be written or read.
#[derive(Debug, thiserror::Error)]
#[error("cannot keep records in {}: {source}; name a folder with more room by --spill-dir", folder.display())]
pub struct SpillError {
    folder: PathBuf,
    source: io::Error,
}

impl Spill {
    /// Keeps at most about so many bytes in memory. The files are in that folder, have no name, and are gone with the
    /// process.
    pub(super) fn new(folder: &Path, most: usize) -> Self {
        let buckets = (0..BUCKETS).map(|_| Bucket::default()).collect();
        Self { buckets, held: 0, most, folder: folder.to_owned() }
    }

    /// Adds a record.
    pub(super) fn add(&mut self, entry: &Entry) -> Result<(), SpillError> {
        let place = usize::try_from(entry.hash >> (u64::BITS - BUCKET_BITS)).unwrap_or(0);
        if let Some(bucket) = self.buckets.get_mut(place) {
            self.held += bucket.put(entry);
        }
        if self.held > self.most { self.write_out() } else { Ok(()) }
    }

    fn write_out(&mut self) -> Result<(), SpillError> {
        self.held = 0;
        let written = self.buckets.iter_mut().try_for_each(|bucket| bucket.write_out(&self.folder));
        written.map_err(|source| SpillError { folder: self.folder.clone(), source })
    }

    /// Bytes that were written to files.
    pub(super) fn spilled(&self) -> u64 {
        self.buckets.iter().map(|bucket| bucket.spilled).sum()
    }

    /// The buckets, all that is in them.
    pub(super) fn into_buckets(self) -> Vec<Bucket> {
        self.buckets
    }

    /// Buckets that are added to again.
    pub(super) fn of(buckets: Vec<Bucket>, folder: &Path, most: usize) -> Self {
        let held = buckets.iter().map(|bucket| bucket.held.len()).sum();
        Self { buckets, held, most, folder: folder.to_owned() }
    }
}

impl Bucket {
    /// Says how many bytes it took.
    fn put(&mut self, entry: &Entry) -> usize {
        let length = |bytes: &Bytes| u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        self.held.put_u32(length(&entry.key));
        self.held.put_u32(length(&entry.payload));
        self.held.put_u64(entry.hash);
        self.held.put_u32(entry.stretch.unwrap_or(NO_STRETCH));
        self.held.put_i64(entry.offset);
        self.held.put_i64(entry.time);
        self.held.put_slice(&entry.key);
        self.held.put_slice(&entry.payload);
        HEAD + entry.key.len() + entry.payload.len()
    }

    fn write_out(&mut self, folder: &Path) -> io::Result<()> {
        if self.held.is_empty() {
            return Ok(());
        }
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(nameless(folder)?),
        };
        file.seek(SeekFrom::End(0))?;
        file.write_all(&self.held)?;
        self.spilled += u64::try_from(self.held.len()).unwrap_or(0);
        // Its memory is given back: the next use of it may be another bucket's.
        self.held = Vec::new();
        Ok(())
    }

    /// Bytes in it.
    pub(super) fn bytes(&self) -> u64 {
        self.spilled + u64::try_from(self.held.len()).unwrap_or(0)
    }

    /// Goes through the entries whose hash is wanted, in the order in which they were added. Blocks.
    pub(super) fn read(
        &mut self,
        is_wanted: impl Fn(u64) -> bool,
        mut take: impl FnMut(Entry),
    ) -> io::Result<()> {
        if let Some(file) = &mut self.file {
            file.seek(SeekFrom::Start(0))?;
            each(BufReader::with_capacity(BLOCK, file), &is_wanted, &mut take)?;
        }
        each(&self.held[..], &is_wanted, &mut take)
    }
}

fn each(
    mut from: impl Read,
    is_wanted: &impl Fn(u64) -> bool,
    take: &mut impl FnMut(Entry),
) -> io::Result<()> {
    let mut block = BytesMut::new();
    let mut head = [0; HEAD];
    loop {
        match from.read_exact(&mut head) {
            Ok(()) => {}
            // Entries are written whole, so a file ends where one does.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            Err(error) => return Err(error),
        }
        let mut fields = &head[..];
        let (key, payload) = (bytes::Buf::get_u32(&mut fields), bytes::Buf::get_u32(&mut fields));
        let hash = bytes::Buf::get_u64(&mut fields);
        let stretch = bytes::Buf::get_u32(&mut fields);
        let (offset, time) = (bytes::Buf::get_i64(&mut fields), bytes::Buf::get_i64(&mut fields));
        let length = u64::from(key) + u64::from(payload);
        if !is_wanted(hash) {
            io::copy(&mut from.by_ref().take(length), &mut io::sink())?;
            continue;
        }
        let length = usize::try_from(length).map_err(io::Error::other)?;
        if block.capacity() < length {
            block = BytesMut::with_capacity(length.max(BLOCK));
        }
        block.resize(length, 0);
        from.read_exact(&mut block)?;
        let mut payload = block.split().freeze();
        let key = payload.split_to(usize::try_from(key).map_err(io::Error::other)?);
        take(Entry { hash, stretch: Some(stretch).filter(|n| *n != NO_STRETCH), offset, time, key, payload });
    }
}

/// A file that is gone once it is closed, however the process ends.
fn nameless(folder: &Path) -> io::Result<File> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let path = folder.join(format!("flowtrail-verify-{}-{number}", std::process::id()));
    // What is in it is the history of flows: nobody else is to open it while it has a name.
    let file = File::options().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
    fs::remove_file(&path)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries() -> Vec<Entry> {
        let entry = |number: u32| Entry {
            hash: hash(number % 7),
            stretch: Some(number).filter(|number| number % 5 != 0),
            offset: i64::from(number) - 3,
            time: -i64::from(number),
            key: Bytes::from(vec![b'k'; usize::try_from(number % 3).unwrap()]),
            payload: Bytes::from(number.to_string().repeat(usize::try_from(number % 40 * 100).unwrap())),
        };
        (0..500).map(entry).collect()
    }

    fn all(spill: Spill, is_wanted: impl Fn(u64) -> bool) -> Vec<Entry> {
        let mut found = Vec::new();
        for mut bucket in spill.into_buckets() {
            bucket.read(&is_wanted, |entry| found.push(entry)).unwrap();
        }
        found
    }

    #[test]
    fn what_is_put_in_comes_out_in_order_whether_it_was_written_to_files_or_not() {
        let folder = tempfile::tempdir().unwrap();
        for most in [0, 10_000, usize::MAX] {
            let mut spill = Spill::new(folder.path(), most);
            for entry in &entries() {
                spill.add(entry).unwrap();
            }
            assert_eq!(spill.spilled() > 0, most < usize::MAX, "{most}");
            assert!(spill.held <= most.max(1), "{} bytes in memory, {most} allowed", spill.held);
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "a file has a name");
            let mut wanted = entries();
            let mut found = all(spill, |_| true);
            found.sort_by_key(|entry| entry.offset);
            wanted.sort_by_key(|entry| entry.offset);
            assert_eq!(found, wanted, "{most}");
        }
    }

    #[test]
    fn entries_that_are_not_wanted_are_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let mut spill = Spill::new(folder.path(), 5_000);
        for entry in &entries() {
            spill.add(entry).unwrap();
        }
        let one = hash(3_u32);
        let found = all(spill, |found| found == one);
        assert_eq!(found, entries().into_iter().filter(|entry| entry.hash == one).collect::<Vec<_>>());
    }

    #[test]
    fn a_folder_that_is_not_there_is_named() {
        let mut spill = Spill::new(Path::new("/nowhere/at all"), 0);
        let error = spill.add(&entries()[1]).unwrap_err().to_string();
        assert!(error.contains("/nowhere/at all") && error.contains("--spill-dir"), "{error}");
    }
}
