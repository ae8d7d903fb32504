//! The local stack's folder: whose it is, who uses it now, and how it is emptied.

use std::env;
use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process;

use super::leftover;
use super::postgres_home;

/// Says that a folder was made by flowtrail; without it nothing in a folder is touched.
const MARKER: &str = "flowtrail-dev";
const MARKER_TEXT: &str =
    "This folder belongs to `flowtrail dev`, which may empty it (`flowtrail dev --reset`).\n";
const LOCK: &str = "lock";
/// What `reset` removes, besides the marker and the lock. Nothing else in the folder is flowtrail's.
const CONTENT: [&str; 7] =
    ["dev.json", "kafka", "kafka.pid", "postgres", "postgres.pid", "postgres.log", "spool"];

/// Why the folder can't be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// It holds something, and flowtrail did not put it there.
    #[error("{} holds files that flowtrail did not put there; name an empty or a new folder instead", path.display())]
    NotOurs {
        /// The folder.
        path: PathBuf,
    },
    /// Another process runs a stack in it.
    #[error("{} is in use by another flowtrail (process {owner}); stop that one or name another folder", path.display())]
    InUse {
        /// The folder.
        path: PathBuf,
        /// The other's process id.
        owner: String,
    },
    /// No default could be found.
    #[error(
        "no folder for the local stack: neither HOME nor XDG_DATA_HOME nor FLOWTRAIL_DATA_DIR is set; name one"
    )]
    NoDefault,
    /// It could not be read or written.
    #[error("could not use {}; check its permissions or name another folder", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl DataDirError {
    pub(super) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }
}

/// A folder that is flowtrail's and locked by this process for as long as this lives.
#[derive(Debug)]
pub(super) struct DataDir {
    path: PathBuf,
    _lock: File,
}

/// Where the stack lives if nothing else is said: `$FLOWTRAIL_DATA_DIR`, else `$XDG_DATA_HOME/flowtrail/dev`, else
/// `~/.local/share/flowtrail/dev`.
pub fn default_data_dir() -> Result<PathBuf, DataDirError> {
    let var = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    var("FLOWTRAIL_DATA_DIR")
        .or_else(|| Some(var("XDG_DATA_HOME")?.join("flowtrail/dev")))
        .or_else(|| Some(var("HOME")?.join(".local/share/flowtrail/dev")))
        .ok_or(DataDirError::NoDefault)
}

/// Stops what an earlier run may have left running in `path` and removes everything that flowtrail made there, wherever
/// the database lies. A folder that doesn't exist is fine; one that isn't flowtrail's is refused untouched.
pub fn reset(path: &Path) -> Result<(), DataDirError> {
    if !path.exists() || is_empty(path)? {
        return Ok(());
    }
    let dir = DataDir::open(path)?;
    leftover::stop_all(dir.path()).map_err(DataDirError::io(dir.path()))?;
    postgres_home::remove_elsewhere(dir.path())?;
    for name in CONTENT {
        let path = dir.path().join(name);
        remove(&path).map_err(DataDirError::io(&path))?;
    }
    remove_if_bare(dir.path()).map_err(DataDirError::io(dir.path()))
}

/// Removes the folder unless the user keeps something of their own in it; then it stays, and stays flowtrail's.
fn remove_if_bare(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name();
        if name != MARKER && name != LOCK {
            return Ok(());
        }
    }
    fs::remove_dir_all(dir)
}

impl DataDir {
    /// Takes a folder that is new, empty or flowtrail's, and locks it.
    pub(super) fn open(path: &Path) -> Result<Self, DataDirError> {
        fs::create_dir_all(path).map_err(DataDirError::io(path))?;
        // One folder has one name: the name that the servers were started with is compared later.
        let path = path.canonicalize().map_err(DataDirError::io(path))?;
        let marker = path.join(MARKER);
        if !marker.exists() {
            if !is_empty(&path)? {
                return Err(DataDirError::NotOurs { path });
            }
            fs::write(&marker, MARKER_TEXT).map_err(DataDirError::io(&marker))?;
        }
        let lock = lock(&path)?;
        Ok(Self { path, _lock: lock })
    }

    /// The folder's one true name.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

fn lock(dir: &Path) -> Result<File, DataDirError> {
    let path = dir.join(LOCK);
    let opened = File::options().create(true).truncate(false).read(true).write(true).open(&path);
    let mut file = opened.map_err(DataDirError::io(&path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut owner = String::new();
            let _ = file.read_to_string(&mut owner);
            return Err(DataDirError::InUse { path: dir.to_owned(), owner: owner.trim().to_owned() });
        }
        Err(TryLockError::Error(error)) => return Err(DataDirError::io(&path)(error)),
    }
    let written = file.set_len(0).and_then(|()| writeln!(file, "{}", process::id()));
    written.map_err(DataDirError::io(&path))?;
    Ok(file)
}

fn is_empty(path: &Path) -> Result<bool, DataDirError> {
    Ok(fs::read_dir(path).map_err(DataDirError::io(path))?.next().is_none())
}

/// Removes a file or a folder with all in it; symbolic links are removed, not followed.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    let outcome = match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    outcome.or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
}

/// Writes a file that only its owner may read, so that it is either the old one or the new one.
pub(super) fn write_private(path: &Path, content: &[u8]) -> io::Result<()> {
    let scratch = path.with_extension("new");
    remove(&scratch)?;
    let mut file = File::options().create_new(true).write(true).mode(0o600).open(&scratch)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&scratch, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_is_not_ours_is_refused_and_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("thesis.tex"), "years of work").unwrap();
        fs::create_dir(dir.path().join("kafka")).unwrap();
        for outcome in [reset(dir.path()), DataDir::open(dir.path()).map(drop)] {
            assert!(matches!(outcome, Err(DataDirError::NotOurs { .. })), "{outcome:?}");
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    }

    #[test]
    fn reset_removes_what_flowtrail_made_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        drop(DataDir::open(&data).unwrap());
        fs::create_dir_all(data.join("kafka/logs")).unwrap();
        fs::write(data.join("dev.json"), "{}").unwrap();
        fs::write(data.join("mine.txt"), "kept").unwrap();
        reset(&data).unwrap();
        assert!(
            data.join("mine.txt").exists() && !data.join("kafka").exists() && !data.join("dev.json").exists()
        );
        fs::remove_file(data.join("mine.txt")).unwrap();
        reset(&data).unwrap();
        assert!(!data.exists());
        reset(&data).unwrap();
    }

    #[test]
    fn the_second_user_of_a_folder_is_told_who_the_first_is() {
        let dir = tempfile::tempdir().unwrap();
        let first = DataDir::open(dir.path()).unwrap();
        let error = DataDir::open(dir.path()).unwrap_err().to_string();
        assert!(
            error.contains(&format!("in use by another flowtrail (process {})", process::id())),
            "{error}"
        );
        drop(first);
        DataDir::open(dir.path()).unwrap();
    }
}
