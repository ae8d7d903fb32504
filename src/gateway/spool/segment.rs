//! A file of a spool: events one after the other, each behind its length and a check.
//!
//! An event is: length of what follows the check (4 bytes, little-endian), check (8 bytes: the first of the SHA-256 of what follows),
//! length of the key (4 bytes), key, payload.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use super::Found;

/// Ending of a segment's name.
const SUFFIX: &str = ".spool";

/// Length and check.
const HEAD: usize = 4 + 8;

/// A length in memory as one of a file.
pub(super) fn count(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

/// One event of a spool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The record's key.
    pub key: String,
    /// The encoded event.
    pub payload: Bytes,
}

impl Entry {
    /// Bytes it takes in a segment.
    pub(super) fn size(&self) -> u64 {
        count(HEAD + 4 + self.key.len() + self.payload.len())
    }

    /// Appends it as it stands in a segment. Fails if it is longer than 4 GiB.
    pub(super) fn write(&self, out: &mut Vec<u8>) -> io::Result<()> {
        let too_long = |_| io::Error::other("the event is too long for a spool");
        let key_length = u32::try_from(self.key.len()).map_err(too_long)?.to_le_bytes();
        let length = u32::try_from(4 + self.key.len() + self.payload.len()).map_err(too_long)?;
        let mut hasher = Sha256::new();
        for part in [&key_length[..], self.key.as_bytes(), &self.payload] {
            hasher.update(part);
        }
        out.extend_from_slice(&length.to_le_bytes());
        out.extend(hasher.finalize().iter().take(8));
        for part in [&key_length[..], self.key.as_bytes(), &self.payload] {
            out.extend_from_slice(part);
        }
        Ok(())
    }

    /// The first event of `bytes`, and what lies behind it; nothing if there is no whole one.
    fn read(bytes: &Bytes) -> Option<(Self, Bytes)> {
        let (length, rest) = bytes.split_first_chunk::<4>()?;
        let (check, rest) = rest.split_first_chunk::<8>()?;
        let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
        let body = rest.get(..length)?;
        if !Sha256::digest(body).starts_with(check) {
            return None;
        }
        let (key_length, rest) = body.split_first_chunk::<4>()?;
        let key = rest.get(..usize::try_from(u32::from_le_bytes(*key_length)).ok()?)?;
        let entry = Self {
            key: String::from_utf8(key.to_vec()).ok()?,
            payload: bytes.slice(HEAD + 4 + key.len()..HEAD + length),
        };
        Some((entry, bytes.slice(HEAD + length..)))
    }
}

/// A file of a spool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) number: u64,
    pub(super) path: PathBuf,
    /// Bytes of whole events.
    pub(super) bytes: u64,
}

impl Segment {
    /// Makes an empty one.
    pub(super) fn create(folder: &Path, number: u64) -> io::Result<(Self, File)> {
        let path = folder.join(format!("{number:012}{SUFFIX}"));
        let file = OpenOptions::new().append(true).create_new(true).open(&path)?;
        // Without this a crash of the machine may forget that the file is there.
        File::open(folder)?.sync_all()?;
        Ok((Self { number, path, bytes: 0 }, file))
    }

    /// What it holds.
    pub(super) fn read(&self) -> io::Result<Vec<Entry>> {
        let mut bytes = Vec::new();
        File::open(&self.path)?.take(self.bytes).read_to_end(&mut bytes)?;
        let entries = entries(bytes.into());
        let whole: u64 = entries.iter().map(Entry::size).sum();
        if whole == self.bytes {
            Ok(entries)
        } else {
            Err(io::Error::other(format!("{} has changed behind our back", self.path.display())))
        }
    }
}

/// Whole events from the beginning.
fn entries(mut bytes: Bytes) -> Vec<Entry> {
    let mut entries = Vec::new();
    while let Some((entry, rest)) = Entry::read(&bytes) {
        entries.push(entry);
        bytes = rest;
    }
    entries
}

/// The segments of a folder, oldest first; empty ones are removed.
///
/// What lies behind the last whole event of the newest segment is cut off: its write was never answered. In an older
/// one it is damage, and the whole file is kept as `NAME.damaged` before it is cut.
pub(super) fn find(folder: &Path) -> io::Result<(Vec<Segment>, Found)> {
    let mut numbered: Vec<(u64, PathBuf)> = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if let Some(number) = name.strip_suffix(SUFFIX).and_then(|number| number.parse().ok()) {
            numbered.push((number, path));
        }
    }
    numbered.sort_unstable();
    let (mut segments, mut found) = (Vec::new(), Found::default());
    let newest = numbered.last().map(|(number, _)| *number);
    for (number, path) in numbered {
        let bytes = fs::read(&path)?;
        let length = count(bytes.len());
        let whole: u64 = entries(bytes.into()).iter().map(Entry::size).sum();
        if whole < length {
            if Some(number) == newest {
                found.torn = length - whole;
            } else {
                found.damaged += 1;
                fs::copy(&path, path.with_extension("damaged"))?;
            }
            let file = OpenOptions::new().write(true).open(&path)?;
            file.set_len(whole)?;
            file.sync_all()?;
        }
        if whole == 0 {
            fs::remove_file(&path)?;
        } else {
            found.bytes += whole;
            segments.push(Segment { number, path, bytes: whole });
        }
    }
    Ok((segments, found))
}
