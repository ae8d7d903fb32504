//! A part of a bucket of object storage: S3 and what speaks it, Google Cloud Storage, Azure.
//!
//! Credentials, region and endpoint are what the environment says in the providers' own names, or what the machine is given
//! by its cloud. Objects are put in one request each, so that none is ever there by half and nothing is left of one that
//! failed.

use std::{error::Error as _, fmt, io, thread, time::Duration};

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use object_store::{
    Error, ObjectStore, ObjectStoreExt as _, ObjectStoreScheme, RetryConfig, aws::AmazonS3Builder,
    azure::MicrosoftAzureBuilder, client::HttpError, gcp::GoogleCloudStorageBuilder, path::Path,
};
use tokio::runtime;

use super::http::Connector;
use crate::sentence::quotable;

/// A request that gets no answer, or one that says to come again, is repeated so often and for so long.
const RETRIES: usize = 4;
const RETRY_FOR: Duration = Duration::from_secs(30);

/// A place for objects.
pub(in crate::retention) struct Bucket {
    store: Box<dyn ObjectStore>,
    prefix: Path,
    /// Its URL.
    name: String,
}

impl Bucket {
    /// The one that a URL names, which is not asked yet.
    pub(super) fn of(url: &str) -> io::Result<Self> {
        let name = url.trim_end_matches('/').to_owned();
        let parsed = url.parse().map_err(|_| io::Error::other("that is no URL"))?;
        let (scheme, prefix) = ObjectStoreScheme::parse(&parsed).map_err(|error| refused(&error.into()))?;
        let retry = RetryConfig { max_retries: RETRIES, retry_timeout: RETRY_FOR, ..RetryConfig::default() };
        let store = match scheme {
            ObjectStoreScheme::AmazonS3 => {
                let builder = AmazonS3Builder::from_env().with_url(url).with_retry(retry);
                made(builder.with_http_connector(Connector).build())?
            }
            ObjectStoreScheme::GoogleCloudStorage => {
                let builder = GoogleCloudStorageBuilder::from_env().with_url(url).with_retry(retry);
                made(builder.with_http_connector(Connector).build())?
            }
            ObjectStoreScheme::MicrosoftAzure => {
                let builder = MicrosoftAzureBuilder::from_env().with_url(url).with_retry(retry);
                made(builder.with_http_connector(Connector).build())?
            }
            _ => return Err(io::Error::other("that is no object storage")),
        };
        Ok(Self { store, prefix, name })
    }

    /// Names of objects with that end, in order.
    pub(super) fn list(&self, end: &str) -> io::Result<Vec<String>> {
        let prefix = (!self.prefix.as_ref().is_empty()).then_some(&self.prefix);
        let found = wait(self.store.list(prefix).try_collect::<Vec<_>>())?;
        let below = found.iter().filter_map(|object| {
            let parts = object.location.prefix_match(&self.prefix)?;
            Some(parts.map(|part| part.as_ref().to_owned()).collect::<Vec<_>>().join("/"))
        });
        let mut names: Vec<String> = below.filter(|name| name.ends_with(end)).collect();
        names.sort_unstable();
        Ok(names)
    }

    pub(super) fn get(&self, name: &str) -> io::Result<Bytes> {
        let location = self.location(name);
        wait(async { self.store.get(&location).await?.bytes().await })
    }

    pub(super) fn put(&self, name: &str, bytes: Vec<u8>) -> io::Result<()> {
        wait(self.store.put(&self.location(name), bytes.into())).map(drop)
    }

    pub(super) fn remove(&self, name: &str) -> io::Result<()> {
        wait(self.store.delete(&self.location(name)))
    }

    fn location(&self, name: &str) -> Path {
        name.split('/').filter(|part| !part.is_empty()).fold(self.prefix.clone(), Path::join)
    }
}

impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// Without the store, which knows credentials.
impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Bucket").field(&self.name).finish()
    }
}

fn made<S: ObjectStore>(store: Result<S, Error>) -> io::Result<Box<dyn ObjectStore>> {
    Ok(Box::new(store.map_err(|error| refused(&error))?))
}

/// Waits for an answer on a thread of its own, so that it does not matter whether the caller's belongs to a runtime.
fn wait<T: Send>(asking: impl Future<Output = Result<T, Error>> + Send) -> io::Result<T> {
    let answer = thread::scope(|scope| {
        let asking = scope.spawn(|| {
            // For the rests between tries.
            let runtime = runtime::Builder::new_current_thread().enable_time().build()?;
            runtime.block_on(asking).map_err(|error| refused(&error))
        });
        asking.join()
    });
    answer.unwrap_or_else(|_| Err(io::Error::other("the request died; this is a defect of flowtrail")))
}

/// What went wrong in one sentence. Answers are not quoted beyond their code: they hold names of keys and what was signed.
fn refused(error: &Error) -> io::Error {
    let said = error.to_string();
    let code =
        said.split_once("<Code>").and_then(|(_, rest)| rest.split_once("</Code>")).map(|(code, _)| code);
    let behind = code.map(|code| format!(" ({})", quotable(code))).unwrap_or_default();
    match (error, code) {
        (Error::PermissionDenied { .. } | Error::Unauthenticated { .. }, _) => {
            return io::Error::new(io::ErrorKind::PermissionDenied, format!("access is denied{behind}"));
        }
        (Error::NotFound { .. }, Some("NoSuchBucket" | "ContainerNotFound")) => {
            return io::Error::new(io::ErrorKind::NotFound, "there is no such bucket");
        }
        (Error::NotFound { .. }, None | Some("NoSuchKey" | "BlobNotFound")) => {
            return io::Error::new(io::ErrorKind::NotFound, "there is no such object, or no such bucket");
        }
        _ => {}
    }
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(away) = error.downcast_ref::<HttpError>() {
            let why = away.source().map_or_else(|| away.to_string(), ToString::to_string);
            return io::Error::other(format!("the object storage does not answer: {}", quotable(&why)));
        }
        cause = error.source();
    }
    match code {
        Some(_) => io::Error::other(format!("the object storage refuses{behind}")),
        None => io::Error::other(quotable(said.split('<').next().unwrap_or_default()).into_owned()),
    }
}
