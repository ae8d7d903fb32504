//! What is done to collectors.

use std::time::Instant;

use anyhow::{Context as _, ensure};

use super::{Prepared, Recovered};
use crate::{
    program,
    scene::{Offsets, Scene},
};

/// What is stored now; Postgres is there.
async fn now(scene: &mut Scene) -> anyhow::Result<Offsets> {
    scene.offsets().await.context("Postgres does not answer")
}

pub async fn killed(scene: &mut Scene) -> Recovered {
    let since = Instant::now();
    scene.collectors.remove(0).kill().await?;
    let before = now(scene).await?;
    scene.collect().await?;
    Ok(Some(scene.recovery(since, &before).await?))
}

pub async fn terminated(scene: &mut Scene) -> Recovered {
    let since = Instant::now();
    scene.collectors.remove(0).terminate().await?;
    let before = now(scene).await?;
    scene.collect().await?;
    Ok(Some(scene.recovery(since, &before).await?))
}

/// The frozen one goes on while there is something left that it could spoil.
pub async fn zombie(scene: &mut Scene, before: Offsets) -> Recovered {
    let since = Instant::now();
    scene.collectors[0].signal("STOP").await;
    scene.collect().await?;
    let recovery = scene.recovery(since, &before).await?;
    let stored: i64 = now(scene).await?.values().sum();
    scene.collectors[0].signal("CONT").await;
    ensure!(scene.growing || stored < scene.topic.records(), "all was stored before it went on");
    Ok(Some(recovery))
}

/// Small batches that take their time: others can join while there is something left to be shared.
pub async fn slow_down(scene: &mut Scene) -> Prepared {
    scene.config().collector.batch_rows = 200;
    let sql = "
        CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.02); RETURN NULL; END $$;
        CREATE TRIGGER slow BEFORE UPDATE ON ft_offset FOR EACH STATEMENT EXECUTE FUNCTION slow()";
    scene.connect().await?.batch_execute(sql).await?;
    Ok(None)
}

pub async fn one_three_one(scene: &mut Scene) -> Recovered {
    scene.collect().await?;
    scene.collect().await?;
    let began = Instant::now();
    for number in 0..3 {
        while partitions(&scene.collectors[number].address).await == 0 {
            scene.collectors[number].runs()?;
            ensure!(began.elapsed().as_secs() < 60, "collector {number} gets no partition");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }
    let stored: i64 = now(scene).await?.values().sum();
    scene.is_amid(stored)?;
    scene.connect().await?.batch_execute("DROP TRIGGER slow ON ft_offset").await?;
    let since = Instant::now();
    for _ in 0..2 {
        scene.collectors.remove(0).terminate().await?;
    }
    let before = now(scene).await?;
    Ok(Some(scene.recovery(since, &before).await?))
}

/// How many partitions a collector has, by its metrics.
async fn partitions(address: &str) -> usize {
    let (status, metrics) = program::get(address, "/metrics").await;
    assert_eq!(status, 200);
    metrics.lines().filter(|line| line.starts_with("flowtrail_kafka_lag_records{")).count()
}
