//! Where the database lies: in the stack's folder, or elsewhere if the account that Postgres runs as can't reach that.
//!
//! Elsewhere is `/var/lib/flowtrail/dev-HASH`, only ever used by root; `postgres` in the stack's folder is then a symbolic
//! link to it, and a file in it says which folder it belongs to, so that neither is mistaken for another's.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::account::{self, Account};
use super::data_dir::{self, DataDirError};
use super::leftover;
use super::postgres::PostgresError;
use crate::hex::hex;

/// The database's folder or a link to it, in the stack's folder.
const NAME: &str = "postgres";
/// What `initdb` makes, in the database's folder.
pub(super) const CLUSTER: &str = "data";
/// Where root keeps databases for folders that only root can enter. Not under `/var/tmp`, which is emptied by age.
const ELSEWHERE: &str = "/var/lib/flowtrail";
const BELONGS_TO: &str = "belongs-to";

/// The database's folder and who owns the data in it.
#[derive(Debug)]
pub(super) struct Home {
    /// The folder.
    pub(super) dir: PathBuf,
    /// Who Postgres runs as, if not as this process does.
    pub(super) account: Option<Account>,
}

impl Home {
    /// The database's folder of this stack; made, still without a database in it, if there is none yet.
    pub(super) fn open(data_dir: &Path) -> Result<Self, PostgresError> {
        let local = data_dir.join(NAME);
        if !account::is_root() {
            fs::create_dir_all(&local).map_err(PostgresError::home(&local))?;
            return Ok(Self { dir: local, account: None });
        }
        // Root keeps to the account that the data belongs to: Postgres accepts no other.
        let owner = fs::metadata(local.join(CLUSTER)).ok().and_then(|cluster| Account::owner(&cluster));
        let account = owner.or_else(Account::for_postgres).ok_or(PostgresError::NoAccount)?;
        let dir = place(data_dir, &local, account)?;
        if !account.can_reach(&dir) {
            return Err(PostgresError::Unreachable { path: dir, uid: account.uid });
        }
        Ok(Self { dir, account: Some(account) })
    }

    /// Where the database is.
    pub(super) fn cluster(&self) -> PathBuf {
        self.dir.join(CLUSTER)
    }

    /// Makes an empty folder in this one that only the data's owner can enter.
    pub(super) fn create_private_dir(&self, name: &str) -> Result<PathBuf, PostgresError> {
        let dir = self.dir.join(name);
        data_dir::remove(&dir).map_err(PostgresError::home(&dir))?;
        fs::DirBuilder::new().mode(0o700).create(&dir).map_err(PostgresError::home(&dir))?;
        self.give_away(&dir)?;
        Ok(dir)
    }

    /// Lets the data's owner have a file or folder.
    pub(super) fn give_away(&self, path: &Path) -> Result<(), PostgresError> {
        let Some(account) = self.account else { return Ok(()) };
        chown(path, Some(account.uid), Some(account.gid)).map_err(PostgresError::home(path))
    }
}

/// The database's folder by its true name, if there is one.
pub(super) fn existing(data_dir: &Path) -> Option<PathBuf> {
    data_dir.join(NAME).canonicalize().ok()
}

/// Removes the database if it lies elsewhere. One that belongs to another folder is left alone.
pub(super) fn remove_elsewhere(data_dir: &Path) -> Result<(), DataDirError> {
    let dir = elsewhere(data_dir);
    if belongs_to(&dir, data_dir) {
        data_dir::remove(&dir).map_err(DataDirError::io(&dir))?;
    }
    Ok(())
}

/// Decides where the database lies, once: what is there already stays where it is.
fn place(data_dir: &Path, local: &Path, account: Account) -> Result<PathBuf, PostgresError> {
    let is_link = fs::symlink_metadata(local).is_ok_and(|found| found.is_symlink());
    if !is_link && (local.exists() || account.can_reach(data_dir)) {
        make_reachable(local).map_err(PostgresError::home(local))?;
        return Ok(local.to_owned());
    }
    let dir = elsewhere(data_dir);
    if is_link && belongs_to(&dir, data_dir) {
        return Ok(dir);
    }
    if dir.exists() {
        // Its folder was removed by hand, and the link with it: what lies here is nobody's.
        leftover::stop_sessions(&dir.join(CLUSTER)).map_err(PostgresError::home(&dir))?;
        data_dir::remove(&dir).map_err(PostgresError::home(&dir))?;
    }
    make_elsewhere(data_dir, local, &dir).map_err(PostgresError::home(&dir))?;
    Ok(dir)
}

fn make_elsewhere(data_dir: &Path, link: &Path, dir: &Path) -> io::Result<()> {
    make_reachable(Path::new(ELSEWHERE))?;
    make_reachable(dir)?;
    fs::write(dir.join(BELONGS_TO), data_dir.as_os_str().as_bytes())?;
    data_dir::remove(link)?;
    symlink(dir, link)
}

/// Makes a folder that others may pass through, whatever the umask.
pub(super) fn make_reachable(dir: &Path) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    fs::set_permissions(dir, fs::Permissions::from_mode(0o755))
}

fn elsewhere(data_dir: &Path) -> PathBuf {
    let hash = Sha256::digest(data_dir.as_os_str().as_bytes());
    Path::new(ELSEWHERE).join(format!("dev-{}", hex(hash.get(..8).unwrap_or_default())))
}

fn belongs_to(dir: &Path, data_dir: &Path) -> bool {
    fs::read(dir.join(BELONGS_TO)).is_ok_and(|owner| owner == data_dir.as_os_str().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_elsewhere_belongs_to_one_folder_only() {
        let dir = tempfile::tempdir().unwrap();
        let (one, other) = (Path::new("/root/one"), Path::new("/root/other"));
        assert_ne!(elsewhere(one), elsewhere(other));
        assert!(!belongs_to(dir.path(), one));
        fs::write(dir.path().join(BELONGS_TO), "/root/one").unwrap();
        assert!(belongs_to(dir.path(), one) && !belongs_to(dir.path(), other));
    }
}
