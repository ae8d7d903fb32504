//! What is done to the broker and to the way to it.

use std::time::{Duration, Instant};

use flowtrail::dev::Server;

use super::Recovered;
use crate::{proxy::Mode, scene::Scene, stack::run};

pub async fn killed(scene: &mut Scene) -> Recovered {
    away(scene, Server::kill).await
}

pub async fn restarted(scene: &mut Scene) -> Recovered {
    away(scene, Server::stop).await
}

async fn away(scene: &mut Scene, end: fn(&Server)) -> Recovered {
    scene.servers.broker(end).await?;
    let before = scene.until_still().await?;
    scene.servers.broker(run).await?;
    Ok(Some(scene.recovery(Instant::now(), &before).await?))
}

pub async fn cut(scene: &mut Scene) -> Recovered {
    scene.servers.kafka_proxy.cut().await;
    let before = scene.until_still().await?;
    scene.servers.kafka_proxy.set(Mode::Pass);
    Ok(Some(scene.recovery(Instant::now(), &before).await?))
}

pub async fn stalled(scene: &mut Scene, length: Duration) -> Recovered {
    let began = Instant::now();
    scene.servers.kafka_proxy.set(Mode::Hang);
    let before = scene.until_still().await?;
    tokio::time::sleep(length.saturating_sub(began.elapsed())).await;
    scene.servers.kafka_proxy.set(Mode::Pass);
    Ok(Some(scene.recovery(Instant::now(), &before).await?))
}
