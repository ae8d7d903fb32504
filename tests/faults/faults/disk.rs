//! A disk that is full: the database lies on a tmpfs of its own.

use std::{
    fs::{self, File},
    io::{Read as _, Seek as _, SeekFrom, Write as _},
    os::unix::fs::chown,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use tokio::process::Command;

use super::{Prepared, Recovered};
use crate::{
    scene::{Scene, connect},
    servers::is_root,
    stack::Servers,
};

const TABLESPACE: &str = "small";
/// Of every 200 000 records; they take some two thirds of it.
const SIZE: i64 = 64 << 20;
/// Once it was full.
const LARGER: &str = "8g";
/// How long it may take until Postgres has noticed.
const PATIENCE: Duration = Duration::from_mins(1);

fn mount_point(folder: &Path) -> PathBuf {
    folder.join("small-disk")
}

/// Mounts it and moves the database there; says why, where that can't be done.
pub async fn prepare(scene: &mut Scene) -> Prepared {
    let (folder, servers) = (mount_point(&scene.servers.folder()), scene.servers);
    if !is_root() {
        return Ok(Some("only root may mount a tmpfs".to_owned()));
    }
    clear(servers).await?;
    fs::create_dir_all(&folder)?;
    let size = format!("size={}", SIZE * (scene.topic.records() / 200_000).max(1));
    let mounted = mount(&["-t", "tmpfs", "-o", &size, "tmpfs"], &folder).await?;
    if let Some(reason) = mounted {
        return Ok(Some(format!("a tmpfs can't be mounted here: {reason}")));
    }
    let tables = folder.join("tables");
    fs::create_dir(&tables)?;
    let (user, group) = servers.postgres_account()?;
    chown(&tables, Some(user), Some(group))?;
    let admin = connect(&servers.database("postgres")).await?;
    let sql = format!("CREATE TABLESPACE {TABLESPACE} LOCATION '{}'", tables.display());
    admin.batch_execute(&sql).await?;
    scene.recreate(&format!("TABLESPACE {TABLESPACE}")).await?;
    Ok(None)
}

/// Fills it to the last byte, waits until Postgres says so, and makes room.
pub async fn full(scene: &mut Scene) -> Recovered {
    let folder = mount_point(&scene.servers.folder());
    let filler = folder.join("filler");
    let said_before = fs::metadata(scene.servers.postgres_log())?.len();
    let mut file = File::create(&filler)?;
    for size in [1 << 20, 1 << 10, 1] {
        while file.write_all(&vec![1; size]).is_ok() {}
    }
    drop(file);
    let began = Instant::now();
    loop {
        let mut log = File::open(scene.servers.postgres_log())?;
        log.seek(SeekFrom::Start(said_before))?;
        let mut said = Vec::new();
        log.read_to_end(&mut said)?;
        if String::from_utf8_lossy(&said).contains("ERROR:  53100") {
            break;
        }
        ensure!(began.elapsed() < PATIENCE, "Postgres does not say 53100");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    scene.collectors[0].says("53100").await?;
    let before = scene.until_still().await?;
    fs::remove_file(&filler)?;
    let larger = mount(&["-o", &format!("remount,size={LARGER}"), "tmpfs"], &folder).await?;
    ensure!(larger.is_none(), "it can't be made larger: {larger:?}");
    Ok(Some(scene.recovery(Instant::now(), &before).await?))
}

/// Takes it away, if it is there; the database is gone by then.
pub async fn clear(servers: &Servers) -> anyhow::Result<()> {
    let admin = connect(&servers.database("postgres")).await?;
    let dropped = admin.batch_execute(&format!("DROP TABLESPACE IF EXISTS {TABLESPACE}")).await;
    unmount(&servers.folder()).await?;
    Ok(dropped?)
}

/// Leaves no mount behind, whatever became of the servers.
pub async fn unmount(folder: &Path) -> anyhow::Result<()> {
    let folder = mount_point(folder);
    if is_mounted(&folder)? {
        let done = Command::new("umount").arg("-l").arg(&folder).status().await?;
        ensure!(done.success(), "{} can't be unmounted", folder.display());
    }
    Ok(())
}

fn is_mounted(folder: &Path) -> anyhow::Result<bool> {
    let name = folder.to_str().context("a folder with a name in UTF-8")?;
    let mounts = fs::read_to_string("/proc/self/mounts")?;
    Ok(mounts.lines().any(|line| line.split(' ').nth(1) == Some(name)))
}

/// Why it could not be done, if so.
async fn mount(options: &[&str], folder: &Path) -> anyhow::Result<Option<String>> {
    let Ok(done) = Command::new("mount").args(options).arg(folder).output().await else {
        return Ok(Some("there is no program `mount`".to_owned()));
    };
    let said = String::from_utf8_lossy(&done.stderr).trim().to_owned();
    Ok((!done.status.success()).then_some(said))
}
