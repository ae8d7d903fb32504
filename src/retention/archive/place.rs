//! Where an archive is: a folder, or a bucket of object storage.
//!
//! Both hold files below a folder for each day; a file is there as a whole or not at all. What is done here waits for the
//! disk or the network.

use std::{
    fmt,
    fs::{self, File},
    io::{self, BufRead as _, BufReader, Read, Write as _},
    path::{Path, PathBuf},
};

use flate2::bufread::MultiGzDecoder;

#[cfg(feature = "object-storage")]
use super::bucket::Bucket;
use crate::proto::v1::HistoryEvent;

/// Ends of names of files that hold flows.
pub(in crate::retention) const ARCHIVED: &str = ".ndjson.gz";

/// End of the name of a file that is being written. Nobody reads it, and whoever writes the same file writes over it.
const PARTIAL: &str = ".partial";

/// An archive.
#[derive(Debug)]
pub(in crate::retention) enum Place {
    /// A folder, which may not be there yet.
    Folder(PathBuf),
    /// A part of a bucket.
    #[cfg(feature = "object-storage")]
    Bucket(Bucket),
}

/// Files of an archive.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::retention) struct Listed {
    /// Their names below the place, in order.
    pub(in crate::retention) archived: Vec<String>,
    /// How many others whoever wrote them did not finish.
    pub(in crate::retention) unfinished: u64,
}

impl Place {
    /// The place that `retention.archive` names.
    pub(in crate::retention) fn of(setting: &str) -> io::Result<Self> {
        if let Some(folder) = setting.strip_prefix("file://") {
            return Ok(Self::Folder(folder.into()));
        }
        if !setting.contains("://") {
            return Ok(Self::Folder(setting.into()));
        }
        #[cfg(feature = "object-storage")]
        return Bucket::of(setting).map(Self::Bucket);
        #[cfg(not(feature = "object-storage"))]
        Err(io::Error::other("this flowtrail was built without the feature object-storage"))
    }

    /// All files that are there; none where nothing is.
    pub(in crate::retention) fn list(&self) -> io::Result<Listed> {
        match self {
            Self::Folder(folder) => files_below(folder),
            #[cfg(feature = "object-storage")]
            Self::Bucket(bucket) => Ok(Listed { archived: bucket.list(ARCHIVED)?, unfinished: 0 }),
        }
    }

    /// The bytes of a file.
    fn open(&self, name: &str) -> io::Result<Box<dyn Read>> {
        match self {
            Self::Folder(folder) => Ok(Box::new(File::open(folder.join(name))?)),
            #[cfg(feature = "object-storage")]
            Self::Bucket(bucket) => Ok(Box::new(io::Cursor::new(bucket.get(name)?))),
        }
    }

    /// The text of a file.
    pub(in crate::retention) fn text(
        &self,
        name: &str,
    ) -> io::Result<MultiGzDecoder<BufReader<Box<dyn Read>>>> {
        self.open(name).map(|file| MultiGzDecoder::new(BufReader::new(file)))
    }

    /// Reads a file line by line; a line comes with its end.
    pub(in crate::retention) fn each_line(
        &self,
        name: &str,
        mut see: impl FnMut(&[u8], &HistoryEvent) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut lines = BufReader::new(self.text(name)?);
        let mut line = Vec::new();
        while lines.read_until(b'\n', &mut line)? > 0 {
            see(&line, &serde_json::from_slice(&line)?)?;
            line.clear();
        }
        Ok(())
    }

    /// Keeps a file, in the place of the one of that name if there is one. Once it is done the file outlives a loss of power.
    #[cfg_attr(
        not(feature = "object-storage"),
        expect(clippy::needless_pass_by_value, reason = "a bucket takes them without a copy")
    )]
    pub(in crate::retention) fn put(&self, name: &str, bytes: Vec<u8>) -> io::Result<()> {
        match self {
            Self::Folder(folder) => put(folder, name, &bytes),
            #[cfg(feature = "object-storage")]
            Self::Bucket(bucket) => bucket.put(name, bytes),
        }
    }

    /// Removes a file.
    pub(in crate::retention) fn remove(&self, name: &str) -> io::Result<()> {
        match self {
            Self::Folder(folder) => {
                let path = folder.join(name);
                fs::remove_file(&path)?;
                sync_folder_of(&path)
            }
            #[cfg(feature = "object-storage")]
            Self::Bucket(bucket) => bucket.remove(name),
        }
    }
}

/// As a sentence names it.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(folder) => folder.display().fmt(f),
            #[cfg(feature = "object-storage")]
            Self::Bucket(bucket) => bucket.fmt(f),
        }
    }
}

fn files_below(folder: &Path) -> io::Result<Listed> {
    let mut listed = Listed::default();
    for day in entries(folder)? {
        let path = folder.join(&day);
        if !path.is_dir() {
            continue;
        }
        for file in entries(&path)? {
            listed.unfinished += u64::from(file.ends_with(PARTIAL));
            if file.ends_with(ARCHIVED) {
                listed.archived.push(format!("{day}/{file}"));
            }
        }
    }
    listed.archived.sort_unstable();
    Ok(listed)
}

/// Names of what is in a folder. None that is written here is anything but UTF-8.
fn entries(folder: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
}

fn put(folder: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap_or(folder))?;
    let partial = folder.join(format!("{name}{PARTIAL}"));
    let written = || -> io::Result<()> {
        let mut file = File::create(&partial)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&partial, &path)
    };
    if let Err(error) = written() {
        // It is worth nothing, and stays if it has to.
        let _ = fs::remove_file(&partial);
        return Err(error);
    }
    sync_folder_of(&path)?;
    File::open(folder)?.sync_all()
}

/// Without that a loss of power may take back what became of a name.
fn sync_folder_of(path: &Path) -> io::Result<()> {
    File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
}
