//! `dev.json`: where a running stack is, for scripts and for people who connect their own tools.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::data_dir::{remove, write_private};

const NAME: &str = "dev.json";

/// What `dev.json` says. It holds the database's password, so that only its owner may read it.
#[derive(Clone, Serialize)]
pub struct DevInfo {
    /// Kafka's bootstrap servers.
    pub kafka: String,
    /// The database's URL, with its password.
    pub postgres: String,
    /// Where flowtrail itself is served.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http: Option<String>,
    /// Where the API of Flogo's state service is served.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gateway: Option<String>,
    /// Process ids by name.
    pub pids: BTreeMap<String, u32>,
}

impl DevInfo {
    /// Where the file is for a stack in `data_dir`.
    pub fn path(data_dir: &Path) -> PathBuf {
        data_dir.join(NAME)
    }

    /// Writes the file so that a reader finds either the old one or this one, whole. Only its owner may read it.
    pub fn write(&self, data_dir: &Path) -> io::Result<()> {
        let mut text = serde_json::to_vec_pretty(self)?;
        text.push(b'\n');
        write_private(&Self::path(data_dir), &text)
    }

    /// Removes the file: what it names doesn't run any more.
    pub fn remove(data_dir: &Path) -> io::Result<()> {
        remove(&Self::path(data_dir))
    }
}

impl std::fmt::Debug for DevInfo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut all = f.debug_struct("DevInfo");
        all.field("kafka", &self.kafka)
            .field("http", &self.http)
            .field("gateway", &self.gateway)
            .field("pids", &self.pids)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_file_is_replaced_whole_and_is_its_owners_alone() {
        let dir = tempfile::tempdir().unwrap();
        let mut info = DevInfo {
            kafka: "127.0.0.1:9092".to_owned(),
            postgres: "postgres://flowtrail:secret@127.0.0.1:5432/flowtrail".to_owned(),
            http: None,
            gateway: None,
            pids: BTreeMap::from([("kafka".to_owned(), 7)]),
        };
        info.write(dir.path()).unwrap();
        info.http = Some("http://127.0.0.1:9464".to_owned());
        info.write(dir.path()).unwrap();
        let path = DevInfo::path(dir.path());
        let read: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        assert_eq!(
            read,
            serde_json::json!({
                "kafka": "127.0.0.1:9092",
                "postgres": "postgres://flowtrail:secret@127.0.0.1:5432/flowtrail",
                "http": "http://127.0.0.1:9464",
                "pids": { "kafka": 7 },
            })
        );
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        assert!(!format!("{info:?}").contains("secret"));
        DevInfo::remove(dir.path()).unwrap();
        DevInfo::remove(dir.path()).unwrap();
    }
}
