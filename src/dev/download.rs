//! Fetches pinned files, a few at a time. A file is either whole and checked, or not there.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use sha2::{Digest, Sha256};
use tracing::debug;
use ureq::Agent;
use ureq::tls::{RootCerts, TlsConfig};

use super::artifact::Artifact;
use super::progress::Progress;
use crate::hex::hex;

/// Files fetched at once: enough to hide latency for many small jars, few enough to be polite to a public registry.
const PARALLEL: usize = 4;
/// Attempts for each file before a download fails.
const ATTEMPTS: u32 = 3;
/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
/// How long nothing may arrive.
const READ_TIMEOUT: Duration = Duration::from_secs(30);
/// Files that end so are unfinished. A new download removes those that an interrupted one left.
const PARTIAL: &str = "part";

/// Why a file could not be had.
#[derive(Debug, thiserror::Error)]
pub enum DownloadError {
    /// The registry could not be reached, or said no.
    #[error(
        "could not fetch {url}: {reason}; check the network (HTTPS_PROXY is honoured, \
         FLOWTRAIL_MAVEN_URL, FLOWTRAIL_PYPI_FILES_URL and GOPROXY name mirrors) and try again"
    )]
    Fetch {
        /// What was asked for.
        url: String,
        /// What went wrong, in a few words.
        reason: String,
    },
    /// What came is not the file that this version of flowtrail was tested with.
    #[error(
        "{url} is not the file expected (sha-256 {found} instead of {wanted}); \
         a proxy or mirror may have altered it: try again, or from another network"
    )]
    Checksum {
        /// What was asked for.
        url: String,
        /// The checksum of what came.
        found: String,
        /// The pinned checksum.
        wanted: String,
    },
    /// The cache could not be written.
    #[error(
        "could not write {}; free some space or name another folder with FLOWTRAIL_CACHE_DIR", path.display()
    )]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A fetched archive could not be unpacked.
    #[error("could not unpack {url} into {}; free some space and try again", path.display())]
    Unpack {
        /// Where the archive came from.
        url: String,
        /// The folder it was unpacked into.
        path: PathBuf,
        /// What the system or the archive's reader said.
        #[source]
        source: io::Error,
    },
    /// Nobody packs this program for this machine.
    #[error("there is no packaged {what} for {os} on {arch}; install {what} {least} or later")]
    NoPackage {
        /// `Java`, `Postgres` or `Go`.
        what: &'static str,
        /// The oldest version that does.
        least: String,
        /// The machine's system.
        os: &'static str,
        /// The machine's architecture.
        arch: &'static str,
    },
    /// There is no place for a cache.
    #[error(
        "no folder for downloads: neither HOME nor XDG_CACHE_HOME nor FLOWTRAIL_CACHE_DIR is set; set one"
    )]
    NoCacheDir,
}

impl DownloadError {
    pub(super) fn write(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Write { path, source }
    }
}

/// Fetches `artifacts` into `folder`. On success every file is there, whole and with the right checksum; on failure
/// those that arrived stay, so that the next attempt fetches the rest.
///
/// The caller holds the cache's lock: unfinished files found here are nobody's.
pub(super) fn fetch_all(
    folder: &Path,
    artifacts: &[Artifact],
    progress: &Progress,
) -> Result<(), DownloadError> {
    fs::create_dir_all(folder).map_err(DownloadError::write(folder))?;
    remove_partial(folder);
    let agent = agent();
    let queue = Mutex::new(artifacts.iter());
    let failure = Mutex::new(None);
    thread::scope(|scope| {
        for _ in 0..PARALLEL.min(artifacts.len()) {
            scope.spawn(|| {
                while let Some(artifact) = next(&queue, &failure) {
                    if let Err(error) = fetch(&agent, folder, artifact, progress) {
                        lock(&failure).get_or_insert(error);
                    }
                }
            });
        }
    });
    failure.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner).map_or(Ok(()), Err)
}

fn next<'a>(
    queue: &Mutex<std::slice::Iter<'a, Artifact>>,
    failure: &Mutex<Option<DownloadError>>,
) -> Option<&'a Artifact> {
    if lock(failure).is_some() {
        return None;
    }
    lock(queue).next()
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn agent() -> Agent {
    // The system's certificates, because company proxies are known to those only.
    let tls = TlsConfig::builder().root_certs(RootCerts::PlatformVerifier).build();
    Agent::config_builder()
        .tls_config(tls)
        .timeout_connect(Some(CONNECT_TIMEOUT))
        .timeout_recv_response(Some(READ_TIMEOUT))
        .timeout_per_read(Some(READ_TIMEOUT))
        .user_agent(concat!("flowtrail/", env!("CARGO_PKG_VERSION")))
        .build()
        .into()
}

fn fetch(
    agent: &Agent,
    folder: &Path,
    artifact: &Artifact,
    progress: &Progress,
) -> Result<(), DownloadError> {
    let mut attempt = 1;
    loop {
        match fetch_once(agent, folder, artifact, progress) {
            Err(error @ (DownloadError::Fetch { .. } | DownloadError::Checksum { .. }))
                if attempt < ATTEMPTS =>
            {
                debug!(attempt, "{error}");
                thread::sleep(Duration::from_millis(500) * attempt);
                attempt += 1;
            }
            outcome => return outcome,
        }
    }
}

fn fetch_once(
    agent: &Agent,
    folder: &Path,
    artifact: &Artifact,
    progress: &Progress,
) -> Result<(), DownloadError> {
    let partial = folder.join(format!("{}.{PARTIAL}", artifact.name));
    let mut received = 0;
    let outcome = receive(agent, &partial, artifact, |bytes| {
        received += bytes;
        progress.add(bytes);
    });
    if let Err(error) = outcome {
        progress.take_back(received);
        // The file is nobody's now; were it to stay, the next download would remove it.
        let _ = fs::remove_file(&partial);
        return Err(error);
    }
    let path = folder.join(&artifact.name);
    fs::rename(&partial, &path).map_err(DownloadError::write(&path))
}

/// Writes the artifact to `path` and checks it; `arrived` hears of every piece.
fn receive(
    agent: &Agent,
    path: &Path,
    artifact: &Artifact,
    mut arrived: impl FnMut(u64),
) -> Result<(), DownloadError> {
    let failed = |reason: String| DownloadError::Fetch { url: artifact.url.clone(), reason };
    let response = agent.get(&artifact.url).call().map_err(|error| failed(error.to_string()))?;
    let mut body = response.into_body().into_reader();
    let mut file = File::create(path).map_err(DownloadError::write(path))?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 64 << 10];
    let mut total: u64 = 0;
    loop {
        let read = body.read(&mut buffer).map_err(|error| failed(error.to_string()))?;
        let piece = buffer.get(..read).unwrap_or_default();
        if piece.is_empty() {
            break;
        }
        let bytes = u64::try_from(piece.len()).unwrap_or(u64::MAX);
        total = total.saturating_add(bytes);
        if total > artifact.bytes {
            return Err(failed(format!("it is longer than the {} bytes expected", artifact.bytes)));
        }
        hash.update(piece);
        file.write_all(piece).map_err(DownloadError::write(path))?;
        arrived(bytes);
    }
    if total < artifact.bytes {
        return Err(failed(format!("it ended after {total} of {} bytes", artifact.bytes)));
    }
    let found = hex(&hash.finalize());
    if found != artifact.sha256 {
        let (url, wanted) = (artifact.url.clone(), artifact.sha256.clone());
        return Err(DownloadError::Checksum { url, found, wanted });
    }
    // Without this a power failure could leave a file of the right length and no content behind the rename.
    file.sync_all().map_err(DownloadError::write(path))
}

fn remove_partial(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        if path.extension().is_some_and(|extension| extension == PARTIAL) {
            let _ = fs::remove_file(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::net::TcpListener;

    use super::*;

    /// Answers every request with `body` under a header that promises `promised` bytes. Lives as long as the test.
    fn server(body: &'static [u8], promised: usize) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let lines = BufReader::new(stream.try_clone().unwrap()).lines();
                let _ = lines.map_while(Result::ok).take_while(|line| !line.is_empty()).count();
                let head =
                    format!("HTTP/1.1 200 OK\r\ncontent-length: {promised}\r\nconnection: close\r\n\r\n");
                let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body));
            }
        });
        format!("http://{address}/thing.jar")
    }

    fn artifact(url: String, bytes: u64) -> Artifact {
        let sha256 = hex(&Sha256::digest(b"content"));
        Artifact { name: "thing.jar".to_owned(), url, bytes, sha256 }
    }

    fn fetch_into(folder: &Path, artifact: Artifact) -> Result<(), DownloadError> {
        fetch_all(folder, &[artifact], &Progress::begin("a thing", 7, false))
    }

    #[test]
    fn a_whole_file_with_the_right_checksum_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("old.jar.part"), "half").unwrap();
        fetch_into(folder.path(), artifact(server(b"content", 7), 7)).unwrap();
        assert_eq!(fs::read(folder.path().join("thing.jar")).unwrap(), b"content");
        assert_eq!(
            fs::read_dir(folder.path()).unwrap().count(),
            1,
            "an interrupted download's rest is removed"
        );
    }

    #[test]
    fn an_altered_file_is_refused_and_nothing_stays() {
        let folder = tempfile::tempdir().unwrap();
        let error = fetch_into(folder.path(), artifact(server(b"contend", 7), 7)).unwrap_err();
        assert!(matches!(error, DownloadError::Checksum { .. }), "{error}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_broken_off_download_leaves_no_half_file_and_names_the_address() {
        let folder = tempfile::tempdir().unwrap();
        let url = server(b"cont", 7);
        let error = fetch_into(folder.path(), artifact(url.clone(), 7)).unwrap_err();
        assert!(error.to_string().contains(&url), "{error}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
