//! Why a server's certificate is refused, in words for whoever has to mend it.

use std::{error, fmt, io};

use jiff::Timestamp;
use rustls::{CertificateError, Error, pki_types::UnixTime};

/// What is wrong with a server's certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Its time is over; since when, where that is known.
    Ended(Option<Timestamp>),
    /// Its time has not come; when it does, where that is known.
    NotYet(Option<Timestamp>),
    /// It is for other names than the one by which the server was asked for.
    OtherName {
        /// The name by which the server was asked for, where that is known.
        asked: Option<String>,
        /// The names that it has.
        has: Vec<String>,
    },
    /// It was signed by an authority that is not trusted here.
    UnknownAuthority,
    /// Something else, in the words of rustls.
    Other(String),
}

impl Refusal {
    /// The refusal in an error or in what caused it, if that is what it is about.
    pub(crate) fn of(error: &(dyn error::Error + 'static)) -> Option<Self> {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(Error::InvalidCertificate(why)) = error.downcast_ref() {
                return Some(Self::from(why));
            }
            // What an I/O error holds is not among its sources.
            let held = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
            next = held.map_or_else(|| error.source(), |held| Some(held));
        }
        None
    }

    /// What to do about it, where `authorities` is the setting that names the authorities to trust.
    pub(crate) fn advice(&self, authorities: &str) -> String {
        match self {
            Self::Ended(_) => "have the server's certificate renewed".to_owned(),
            Self::NotYet(_) => "see whether the clocks here and there are right".to_owned(),
            Self::OtherName { .. } => "connect by a name that the certificate has".to_owned(),
            Self::UnknownAuthority => format!("name the authority that signed it in {authorities}"),
            Self::Other(_) => format!("check the server's certificate, and {authorities}"),
        }
    }
}

impl From<&CertificateError> for Refusal {
    fn from(error: &CertificateError) -> Self {
        match error {
            CertificateError::Expired => Self::Ended(None),
            CertificateError::ExpiredContext { not_after, .. } => Self::Ended(timestamp(*not_after)),
            CertificateError::NotValidYet => Self::NotYet(None),
            CertificateError::NotValidYetContext { not_before, .. } => Self::NotYet(timestamp(*not_before)),
            CertificateError::NotValidForName => Self::OtherName { asked: None, has: Vec::new() },
            CertificateError::NotValidForNameContext { expected, presented } => Self::OtherName {
                asked: Some(expected.to_str().into_owned()),
                has: presented.iter().map(|name| bare(name).to_owned()).collect(),
            },
            // An authority of the same name whose key has not signed it.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => Self::UnknownAuthority,
            other => Self::Other(other.to_string()),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ended(Some(when)) => write!(f, "the server's certificate ended at {when}"),
            Self::Ended(None) => f.write_str("the server's certificate has ended"),
            Self::NotYet(Some(when)) => write!(f, "the server's certificate begins at {when} only"),
            Self::NotYet(None) => f.write_str("the server's certificate has not begun yet"),
            Self::OtherName { asked, has } => {
                let has = if has.is_empty() { "other names".to_owned() } else { has.join(", ") };
                write!(f, "the server's certificate is for {has}")?;
                asked.as_ref().map_or(Ok(()), |asked| write!(f, ", not for {asked}"))
            }
            Self::UnknownAuthority => {
                f.write_str("the server's certificate was signed by an authority that is not trusted here")
            }
            Self::Other(why) => write!(f, "the server's certificate is refused: {why}"),
        }
    }
}

fn timestamp(time: UnixTime) -> Option<Timestamp> {
    i64::try_from(time.as_secs()).ok().and_then(|seconds| Timestamp::from_second(seconds).ok())
}

/// `db` of `DnsName("db")`, as rustls writes a name.
fn bare(name: &str) -> &str {
    let inner = name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')'));
    inner.unwrap_or(name).trim_matches('"')
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rustls::pki_types::ServerName;

    use super::*;

    #[test]
    fn each_refusal_says_what_is_wrong() {
        let at = |seconds| UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        let ended = CertificateError::ExpiredContext { time: at(1), not_after: at(1_600_000_000) };
        let other = CertificateError::NotValidForNameContext {
            expected: ServerName::try_from("db").unwrap(),
            presented: vec!["DnsName(\"elsewhere\")".to_owned(), "IpAddress(10.0.0.1)".to_owned()],
        };
        for (error, said) in [
            (ended, "the server's certificate ended at 2020-09-13T12:26:40Z"),
            (other, "the server's certificate is for elsewhere, 10.0.0.1, not for db"),
            (CertificateError::NotValidForName, "the server's certificate is for other names"),
            (
                CertificateError::UnknownIssuer,
                "the server's certificate was signed by an authority that is not trusted here",
            ),
        ] {
            assert_eq!(Refusal::from(&error).to_string(), said);
        }
    }

    #[test]
    fn a_refusal_is_found_below_other_errors() {
        let inner = Error::InvalidCertificate(CertificateError::UnknownIssuer);
        let error = io::Error::other(io::Error::other(inner));
        assert_eq!(Refusal::of(&error), Some(Refusal::UnknownAuthority));
        assert_eq!(Refusal::of(&io::Error::other("away")), None);
    }
}
