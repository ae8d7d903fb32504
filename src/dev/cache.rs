//! The folder of what was fetched: one per user, shared by all runs and by two at once.

use std::env;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tracing::debug;

use super::artifact::Artifact;
use super::download::{self, DownloadError};
use super::progress::Progress;

/// A cache folder. What is in it is complete: files and folders are moved into place whole.
#[derive(Debug, Clone)]
pub(super) struct Cache {
    dir: PathBuf,
    draw: bool,
}

impl Cache {
    /// The user's cache: `$FLOWTRAIL_CACHE_DIR`, else `$XDG_CACHE_HOME/flowtrail`, else `~/.cache/flowtrail`.
    /// `draw`: whether downloads may draw a progress bar.
    pub(super) fn of_user(draw: bool) -> Result<Self, DownloadError> {
        let var = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let dir = var("FLOWTRAIL_CACHE_DIR")
            .or_else(|| Some(var("XDG_CACHE_HOME")?.join("flowtrail")))
            .or_else(|| Some(var("HOME")?.join(".cache/flowtrail")));
        Ok(Self { dir: dir.ok_or(DownloadError::NoCacheDir)?, draw })
    }

    /// A cache in another folder, for what another account must be able to read.
    pub(super) fn at(&self, dir: &Path) -> Self {
        Self { dir: dir.to_owned(), draw: self.draw }
    }

    /// The folder itself; it need not exist yet.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The files of `artifacts`, in `folder` of this cache; fetches those that are missing or of another length.
    pub(super) fn files(
        &self,
        folder: &str,
        what: &str,
        artifacts: &[Artifact],
    ) -> Result<Vec<PathBuf>, DownloadError> {
        let dir = self.dir.join(folder);
        if !missing(&dir, artifacts).is_empty() {
            let _lock = self.lock()?;
            // Looked at again, because another process may have fetched them while this one waited for the lock.
            let missing = missing(&dir, artifacts);
            if !missing.is_empty() {
                let progress = Progress::begin(what, missing.iter().map(|a| a.bytes).sum(), self.draw);
                download::fetch_all(&dir, &missing, &progress)?;
                progress.done();
            }
        }
        Ok(artifacts.iter().map(|artifact| dir.join(&artifact.name)).collect())
    }

    /// `artifact` unpacked by `unpack` into `folder` of this cache. The folder appears whole or not at all.
    pub(super) fn unpacked(
        &self,
        folder: &str,
        what: &str,
        artifact: &Artifact,
        unpack: fn(&Path, &Path) -> io::Result<()>,
    ) -> Result<PathBuf, DownloadError> {
        let dir = self.dir.join(folder);
        if dir.exists() {
            return Ok(dir);
        }
        let _lock = self.lock()?;
        if dir.exists() {
            return Ok(dir);
        }
        let scratch = self.dir.join(format!("{folder}.unpacking"));
        remove_dir(&scratch).map_err(DownloadError::write(&scratch))?;
        let progress = Progress::begin(what, artifact.bytes, self.draw);
        download::fetch_all(&scratch, std::slice::from_ref(artifact), &progress)?;
        progress.done();
        let archive = scratch.join(&artifact.name);
        let content = scratch.join("content");
        fs::create_dir(&content).map_err(DownloadError::write(&content))?;
        unpack(&archive, &content).map_err(|source| DownloadError::Unpack {
            url: artifact.url.clone(),
            path: content.clone(),
            source,
        })?;
        open_to_all(&content).map_err(DownloadError::write(&content))?;
        fs::rename(&content, &dir).map_err(DownloadError::write(&dir))?;
        remove_dir(&scratch).map_err(DownloadError::write(&scratch))?;
        Ok(dir)
    }

    /// Held while something is fetched, so that two processes don't fetch the same. Ends with the file, also when the
    /// process is killed.
    fn lock(&self) -> Result<File, DownloadError> {
        fs::create_dir_all(&self.dir).map_err(DownloadError::write(&self.dir))?;
        let path = self.dir.join("lock");
        let opened = File::options().create(true).truncate(false).write(true).open(&path);
        let file = opened.map_err(DownloadError::write(&path))?;
        if file.try_lock().is_err() {
            debug!(cache = %self.dir.display(), "waiting for another download to end");
            file.lock().map_err(DownloadError::write(&path))?;
        }
        Ok(file)
    }
}

fn missing(dir: &Path, artifacts: &[Artifact]) -> Vec<Artifact> {
    let is_there = |a: &Artifact| {
        fs::metadata(dir.join(&a.name)).is_ok_and(|found| found.is_file() && found.len() == a.bytes)
    };
    artifacts.iter().filter(|artifact| !is_there(artifact)).cloned().collect()
}

fn remove_dir(dir: &Path) -> io::Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        outcome => outcome,
    }
}

/// Lets everyone look into `dir` and the folders below it: a strict umask must not hide the programs from the account
/// that runs them.
fn open_to_all(dir: &Path) -> io::Result<()> {
    fs::set_permissions(dir, fs::Permissions::from_mode(0o755))?;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            open_to_all(&entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unreachable(name: &str, bytes: u64) -> Artifact {
        // Port 9 of the loopback: an attempt to fetch it fails.
        let url = format!("http://127.0.0.1:9/{name}");
        Artifact { name: name.to_owned(), url, bytes, sha256: "0".repeat(64) }
    }

    #[test]
    fn a_file_of_the_right_length_is_not_fetched_again() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("jars")).unwrap();
        fs::write(dir.path().join("jars/a.jar"), "four").unwrap();
        let cache = Cache { dir: dir.path().to_owned(), draw: false };
        assert_eq!(
            cache.files("jars", "jars", &[unreachable("a.jar", 4)]).unwrap(),
            [dir.path().join("jars/a.jar")]
        );
        assert_eq!(missing(&dir.path().join("jars"), &[unreachable("a.jar", 5)]).len(), 1);
    }

    #[test]
    fn an_archive_that_cannot_be_had_leaves_no_folder_that_looks_complete() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache { dir: dir.path().to_owned(), draw: false };
        let error = cache.unpacked("java", "Java", &unreachable("java.whl", 4), |_, _| Ok(())).unwrap_err();
        assert!(error.to_string().contains("127.0.0.1:9/java.whl"), "{error}");
        assert!(!dir.path().join("java").exists());
    }
}
