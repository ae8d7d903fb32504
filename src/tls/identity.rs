//! The certificate that a server shows, read again when its files change.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, SystemTime},
};

use rustls::ServerConfig;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::certificates;
use crate::config::Pem;

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Why there is no certificate to show.
#[derive(Debug, thiserror::Error)]
#[error("cannot serve TLS with {} and {}: {reason}; check http.tls_cert_file and http.tls_key_file", chain.display(), key.display())]
pub struct IdentityError {
    chain: PathBuf,
    key: PathBuf,
    reason: String,
}

/// A certificate with its key. A connection keeps the one that it began with.
#[derive(Debug)]
pub(crate) struct Identity {
    chain: PathBuf,
    key: PathBuf,
    known: RwLock<Known>,
}

#[derive(Debug)]
struct Known {
    tls: Arc<ServerConfig>,
    /// When the files that were last looked at had been changed.
    changed: [Option<SystemTime>; 2],
}

impl Identity {
    /// Reads both files: the certificate with those behind it up to the authority, and its key without a passphrase.
    pub(crate) fn read(chain: &Path, key: &Path) -> Result<Self, IdentityError> {
        let known = known(chain, key)?;
        Ok(Self { chain: chain.to_owned(), key: key.to_owned(), known: RwLock::new(known) })
    }

    /// Shakes hands with whoever connects now.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        self.known.read().unwrap_or_else(PoisonError::into_inner).tls.clone().into()
    }

    /// Follows the files until `stop`.
    pub(crate) async fn follow(&self, stop: CancellationToken) {
        let following = async {
            let mut ticks = tokio::time::interval(LOOK_EVERY);
            loop {
                ticks.tick().await;
                self.look();
            }
        };
        let _ = stop.run_until_cancelled(following).await;
    }

    /// Reads the files again if one has changed. Those that don't fit each other, as while the second is still to be written,
    /// leave what was.
    fn look(&self) {
        let before = self.known.read().unwrap_or_else(PoisonError::into_inner).changed;
        let changed = changed(&self.chain, &self.key);
        if changed == before {
            return;
        }
        let read = known(&self.chain, &self.key);
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        match read {
            Ok(now) => {
                *known = now;
                drop(known);
                tracing::info!(event = "certificate_read", "the certificate of this server has changed");
            }
            Err(error) => {
                known.changed = changed;
                drop(known);
                let why = error.reason;
                tracing::error!(
                    event = "certificate_not_read",
                    why,
                    "the certificate of this server has changed and can't be used; the old one is shown"
                );
            }
        }
    }
}

fn changed(chain: &Path, key: &Path) -> [Option<SystemTime>; 2] {
    [chain, key].map(|path| fs::metadata(path).and_then(|metadata| metadata.modified()).ok())
}

fn known(chain: &Path, key: &Path) -> Result<Known, IdentityError> {
    let refused = |reason: &dyn std::fmt::Display| IdentityError {
        chain: chain.to_owned(),
        key: key.to_owned(),
        reason: reason.to_string(),
    };
    // Before the files are read: a change amid that is seen at the next look.
    let changed = changed(chain, key);
    let certificates = certificates::read(&Pem::File(chain.to_owned())).map_err(|error| refused(&error))?;
    if certificates.is_empty() {
        return Err(refused(&"there is no certificate in the former"));
    }
    let private = certificates::read_key(&Pem::File(key.to_owned())).map_err(|error| refused(&error))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|tls| tls.with_no_client_auth().with_single_cert(certificates, private))
        .map_err(|error| refused(&error))?;
    Ok(Known { tls: Arc::new(tls), changed })
}
