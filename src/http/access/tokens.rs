//! The file of tokens: what each may do, by its hash.
//!
//! ```toml
//! [[token]]
//! name = "shop"                        # for audits and logs
//! roles = ["record", "read"]           # read, record, operate
//! user = "ann"                         # optional: only this user's history
//! expires = "2027-06-30T00:00:00Z"     # optional
//! sha256 = "9c56cc51b374c3ba…"         # of the token; the token itself is nowhere
//! ```
//!
//! The file is read again when it changes, so a token is exchanged by adding the new one, and taking the old one away once
//! nobody uses it. A file that can't be read changes nothing: the tokens that were known stay.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{PoisonError, RwLock},
    time::{Duration, SystemTime},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tokio_util::sync::CancellationToken;

use super::{Caller, Role};
use crate::{hex::hex, sentence::with_causes};

/// How often the file is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// What a token begins with, so that it is known for one wherever it turns up.
pub(super) const PREFIX: &str = "ft_";

/// Bytes of chance in a token: far too many to be guessed, so a plain hash of it can be kept.
const SECRET_BYTES: usize = 32;

/// Why there are no tokens.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file can't be read.
    #[error("cannot read the tokens in {} (http.tokens_file)", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file says something that is no token.
    #[error("{}: {why}", path.display())]
    Wrong {
        /// The file.
        path: PathBuf,
        /// What, and where.
        why: String,
    },
}

/// A token as the file has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Name for audits and logs; several may have the same.
    pub name: String,
    /// What it may do.
    pub roles: Vec<Role>,
    /// The only user whose history it reaches.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// When it ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
    /// SHA-256 of the token, 64 hexadecimal digits.
    pub sha256: String,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Listed {
    #[serde(default)]
    token: Vec<Entry>,
}

/// The tokens that are known.
#[derive(Debug)]
pub struct Tokens {
    path: PathBuf,
    known: RwLock<Known>,
}

#[derive(Debug)]
struct Known {
    tokens: Vec<([u8; 32], Entry)>,
    changed: Option<SystemTime>,
}

impl Tokens {
    /// Reads the file.
    pub fn read(path: PathBuf) -> Result<Self, Error> {
        let known = RwLock::new(known(&path)?);
        Ok(Self { path, known })
    }

    /// Whom a token stands for; nothing where it is not known or has expired.
    ///
    /// Takes as long for a token that is nearly right as for any other.
    pub fn caller(&self, token: &str, now: Timestamp) -> Option<Caller> {
        let asked = Sha256::digest(token.as_bytes());
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let mut found = None;
        for (hash, entry) in &known.tokens {
            let differing =
                hash.iter().zip(&asked).fold(0, |differing, (one, other)| differing | (one ^ other));
            if differing == 0 {
                found = Some(entry);
            }
        }
        let entry = found.filter(|entry| entry.expires.is_none_or(|expires| now < expires))?;
        let Entry { name, roles, user, .. } = entry.clone();
        Some(Caller { name, roles, user })
    }

    /// Follows the file until `stop`.
    pub async fn follow(&self, stop: CancellationToken) {
        let following = async {
            let mut ticks = tokio::time::interval(LOOK_EVERY);
            loop {
                ticks.tick().await;
                self.look();
            }
        };
        let _ = stop.run_until_cancelled(following).await;
    }

    /// Reads the file again if it has changed.
    pub(super) fn look(&self) {
        let before = self.known.read().unwrap_or_else(PoisonError::into_inner).changed;
        let changed = changed(&self.path);
        if changed == before {
            return;
        }
        let now = known(&self.path);
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        match now {
            Ok(Known { tokens, .. }) => *known = Known { tokens, changed },
            Err(error) => {
                known.changed = changed;
                let why = with_causes(&error);
                tracing::error!(
                    event = "tokens_not_read",
                    why,
                    "the file of tokens has changed and can't be read; the old ones hold"
                );
                return;
            }
        }
        let count = known.tokens.len();
        drop(known);
        tracing::info!(event = "tokens_read", count, "the file of tokens has changed");
    }
}

fn changed(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).and_then(|metadata| metadata.modified()).ok()
}

fn known(path: &Path) -> Result<Known, Error> {
    let changed = changed(path);
    let mut tokens = Vec::new();
    for entry in entries(path)? {
        let hash = hash_of(&entry.sha256).ok_or_else(|| Error::Wrong {
            path: path.to_owned(),
            why: format!("sha256 of token {:?} is not 64 hexadecimal digits", entry.name),
        })?;
        tokens.push((hash, entry));
    }
    Ok(Known { tokens, changed })
}

/// What a file of tokens lists.
pub fn entries(path: &Path) -> Result<Vec<Entry>, Error> {
    let text = fs::read_to_string(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
    let wrong = |error: toml::de::Error| {
        let line =
            error.span().map_or(1, |span| text.get(..span.start).unwrap_or(&text).lines().count().max(1));
        Error::Wrong {
            path: path.to_owned(),
            why: format!("line {line}: {}", error.message().replace('\n', ", ")),
        }
    };
    toml::from_str::<Listed>(&text).map(|listed| listed.token).map_err(wrong)
}

fn hash_of(digits: &str) -> Option<[u8; 32]> {
    let mut hash = [0; 32];
    let digits = digits.as_bytes();
    if digits.len() != 2 * hash.len() || !digits.is_ascii() {
        return None;
    }
    for (byte, pair) in hash.iter_mut().zip(digits.chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(hash)
}

/// A new token, and the digits of its hash.
pub fn make() -> (String, String) {
    let secret: [u8; SECRET_BYTES] = rand::random();
    let token = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(secret));
    let digits = hex(&Sha256::digest(token.as_bytes()));
    (token, digits)
}

/// What is put behind the end of a file of tokens to add one.
pub fn block(entry: &Entry) -> Result<String, toml::ser::Error> {
    toml::to_string(&Listed { token: vec![entry.clone()] })
}
