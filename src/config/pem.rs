//! Certificates and keys as a connection string gives them.

use std::{fmt, path::PathBuf};

/// How every block of PEM begins. No path holds it.
const BEGIN: &str = "-----BEGIN ";

/// Certificates, or a key, as PEM: in a file, or the text itself. Neither is read or checked yet.
#[derive(Clone, PartialEq, Eq)]
pub enum Pem {
    /// The file that holds them.
    File(PathBuf),
    /// The text. It may be a key, so it is shown to nobody.
    Text(String),
}

impl From<String> for Pem {
    fn from(value: String) -> Self {
        if is_text(&value) { Self::Text(value) } else { Self::File(value.into()) }
    }
}

/// Whether it is the text itself and no path.
pub(super) fn is_text(value: &str) -> bool {
    value.contains(BEGIN)
}

impl fmt::Display for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Text(_) => f.write_str("in the configuration"),
        }
    }
}

impl fmt::Debug for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Text(_) => f.write_str("Text(…)"),
        }
    }
}

/// By which certificate Postgres is to know us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The certificate, and those behind it up to an authority that the server trusts.
    pub chain: Pem,
    /// Its key, without a passphrase.
    pub key: Pem,
}
