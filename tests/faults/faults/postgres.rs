//! What is done to Postgres and to the way to it.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use flowtrail::dev::Server;

use super::Recovered;
use crate::{
    proxy::Mode,
    scene::{Offsets, Scene},
    stack::run,
};

/// First half of the key of the law's advisory lock; the second is the `steps` table.
const LAW: &str = "SELECT pg_advisory_lock(x'66746c77'::int, 'steps'::regclass::oid::bigint::bit(32)::int)";

pub async fn killed(scene: &mut Scene, before: Offsets) -> Recovered {
    let since = Instant::now();
    scene.servers.postgres(Server::kill).await?;
    scene.servers.postgres(run).await?;
    Ok(Some(scene.recovery(since, &before).await?))
}

pub async fn restarted(scene: &mut Scene, before: Offsets) -> Recovered {
    let since = Instant::now();
    scene.servers.postgres(Server::stop).await?;
    scene.servers.postgres(run).await?;
    Ok(Some(scene.recovery(since, &before).await?))
}

pub async fn stopped(scene: &mut Scene, length: Duration, before: Offsets) -> Recovered {
    scene.servers.postgres(Server::pause).await?;
    tokio::time::sleep(length).await;
    scene.servers.postgres(Server::resume).await?;
    Ok(Some(scene.recovery(Instant::now(), &before).await?))
}

pub async fn cut(scene: &mut Scene) -> Recovered {
    scene.servers.postgres_proxy.cut().await;
    let before = scene.until_still().await?;
    scene.servers.postgres_proxy.set(Mode::Pass);
    Ok(Some(scene.recovery(Instant::now(), &before).await?))
}

pub async fn stalled(scene: &mut Scene, length: Duration) -> Recovered {
    let began = Instant::now();
    scene.servers.postgres_proxy.set(Mode::Hang);
    let before = scene.until_still().await?;
    tokio::time::sleep(length.saturating_sub(began.elapsed())).await;
    scene.servers.postgres_proxy.set(Mode::Pass);
    Ok(Some(scene.recovery(Instant::now(), &before).await?))
}

pub async fn slow(scene: &mut Scene, before: Offsets) -> Recovered {
    scene.servers.postgres_proxy.set(Mode::Slow(Duration::from_millis(10)));
    Ok(Some(scene.recovery(Instant::now(), &before).await?))
}

pub async fn table_locked(scene: &mut Scene) -> Recovered {
    let client = scene.connect().await?;
    client.batch_execute("BEGIN; LOCK TABLE steps IN ACCESS EXCLUSIVE MODE").await?;
    let before = scene.until_still().await?;
    scene.collectors.first_mut().context("a collector")?.says("a batch could not be stored yet").await?;
    client.batch_execute("COMMIT").await?;
    Ok(Some(scene.recovery(Instant::now(), &before).await?))
}

pub async fn law_locked(scene: &mut Scene) -> Recovered {
    let client = scene.connect().await?;
    client.batch_execute(LAW).await?;
    let before = scene.until_still().await?;
    client.batch_execute("SELECT pg_advisory_unlock_all()").await?;
    Ok(Some(scene.recovery(Instant::now(), &before).await?))
}
