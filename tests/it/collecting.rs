//! A collector that runs within the test.

use std::sync::Arc;

use flowtrail::{
    collector::{self, CollectError, Shown},
    config::Config,
};
use tokio::task::JoinHandle;
use tokio_postgres::Client;
use tokio_util::sync::CancellationToken;

use crate::{
    servers::{self, PATIENCE, until},
    topics,
};

/// A collector in a task. Dropping it lets it go on until the test ends.
pub struct Collecting {
    stop: CancellationToken,
    task: JoinHandle<Result<(), CollectError>>,
    /// What it shows of itself.
    pub shown: Shown,
}

impl Collecting {
    pub fn start(config: &Config) -> Self {
        let stop = CancellationToken::new();
        let shown = Shown { health: collector::health(config), lag: Arc::default() };
        let (config, seen, told) = (config.clone(), shown.clone(), stop.clone());
        let task = tokio::spawn(async move { Box::pin(collector::run(&config, seen, told)).await });
        Self { stop, task, shown }
    }

    /// Tells it to stop, and waits until it has.
    pub async fn stop(self) {
        self.stop.cancel();
        self.ended().await.unwrap();
    }

    /// Drops it in the middle of whatever it does.
    pub async fn abort(self) {
        self.task.abort();
        assert!(self.task.await.is_err_and(|error| error.is_cancelled()), "it had ended before");
    }

    /// How it ended by itself.
    pub async fn ended(self) -> Result<(), CollectError> {
        tokio::time::timeout(PATIENCE, self.task).await.expect("the collector does not end").unwrap()
    }
}

/// Collects until everything on the topic is stored, then stops.
pub async fn collect_all(config: &Config) {
    let mut collecting = Collecting::start(config);
    tokio::select! {
        () = until_stored(config) => {}
        ended = &mut collecting.task => panic!("the collector ended by itself: {ended:?}"),
    }
    collecting.stop().await;
}

/// Waits until `ft_offset` is at the end of each partition that holds anything.
pub async fn until_stored(config: &Config) {
    let client = servers::connect_to(config).await;
    let ends: Vec<_> = topics::ends(config).await.into_iter().filter(|(_, end)| *end > 0).collect();
    until("everything is stored", async || {
        let stored = stored(&client, config).await;
        if stored == ends { Ok(()) } else { Err(format!("stored {stored:?} of {ends:?}")) }
    })
    .await;
}

/// Next offsets of the group's partitions, as `ft_offset` has them.
pub async fn stored(client: &Client, config: &Config) -> Vec<(i32, i64)> {
    let sql = "SELECT partition, nextoffset FROM ft_offset WHERE consumergroup = $1 AND topic = $2 ORDER BY partition";
    let rows = client.query(sql, &[&config.kafka.group, &config.kafka.topics[0]]).await.unwrap();
    rows.into_iter().map(|row| (row.get(0), row.get(1))).collect()
}

/// Sets the stored offset of a partition by hand.
pub async fn set_offset(client: &Client, config: &Config, partition: i32, next: i64) {
    let sql =
        "UPDATE ft_offset SET nextoffset = $4 WHERE consumergroup = $1 AND topic = $2 AND partition = $3";
    let (group, topic) = (&config.kafka.group, &config.kafka.topics[0]);
    assert_eq!(client.execute(sql, &[group, topic, &partition, &next]).await.unwrap(), 1);
}
