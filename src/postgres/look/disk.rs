//! Sizes, and the room that is left where the data lies, if that is this machine.

use std::{
    fs::File,
    io::Read as _,
    path::{Path, PathBuf},
};

use rustix::fs::statvfs;

use super::{Answer, Look};

/// Sizes and room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    /// The size of this database.
    pub database_bytes: u64,
    /// Room where the data lies; why not, if that can't be seen from here.
    pub room: Result<Vec<Room>, String>,
}

/// Room on a file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Room {
    /// What lies there.
    pub path: PathBuf,
    /// How large it is.
    pub total_bytes: u64,
    /// How much of it Postgres may still use.
    pub free_bytes: u64,
}

impl Look {
    pub(super) async fn disk(&self) -> Answer<Disk> {
        let size: i64 = self.ask_one("SELECT pg_database_size(current_database())").await?.get(0);
        Ok(Disk { database_bytes: u64::try_from(size).unwrap_or_default(), room: self.room().await })
    }

    /// The folder's name alone proves nothing: the one of this name here may be another server's. What is compared is the
    /// number that every cluster has of its own, which begins the control file.
    async fn room(&self) -> Result<Vec<Room>, String> {
        let sql = "SELECT current_setting('data_directory'), system_identifier FROM pg_control_system()";
        let row = self.ask_one(sql).await.map_err(|why| {
            format!("only a superuser or a member of pg_monitor is told where the data lies ({why})")
        })?;
        let (folder, identifier): (String, i64) = (row.get(0), row.get(1));
        let folder = PathBuf::from(folder);
        if identifier_of(&folder) != Some(identifier) {
            return Err("the data lies on another machine, or this user may not look at it".to_owned());
        }
        // The log may lie on a disk of its own.
        let (data, log) = (room(folder.clone())?, room(folder.join("pg_wal"))?);
        Ok(if data.1 == log.1 { vec![data.0] } else { vec![data.0, log.0] })
    }
}

/// Room on the file system of a folder, and which file system that is.
fn room(path: PathBuf) -> Result<(Room, u64), String> {
    let found = statvfs(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let room = Room {
        total_bytes: found.f_blocks.saturating_mul(found.f_frsize),
        free_bytes: found.f_bavail.saturating_mul(found.f_frsize),
        path,
    };
    Ok((room, found.f_fsid))
}

fn identifier_of(folder: &Path) -> Option<i64> {
    let mut number = [0; 8];
    File::open(folder.join("global/pg_control")).ok()?.read_exact(&mut number).ok()?;
    Some(i64::from_ne_bytes(number))
}
