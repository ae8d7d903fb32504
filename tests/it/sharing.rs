//! Several collectors in one group share the partitions, whichever protocol the group speaks.

use crate::{
    collecting::{Collecting, until_stored},
    groups::{Protocol, until_members},
    rows, servers,
    traffic::{assert_stored, send, traffic},
};

pub async fn until_it_has_partitions(collecting: &Collecting) {
    servers::until("it has partitions", async || {
        collecting.shown.lag.total_records().map(drop).ok_or_else(String::new)
    })
    .await;
}

/// One collector, then two, then the other one, while records keep coming.
async fn one_two_one(protocol: Protocol, seed: u64) {
    let mut config = servers::config(6).await;
    config.collector.batch_rows = 100;
    protocol.set(&mut config);
    let config = &config;
    let records = traffic(seed, 8_000);
    let (flowing, rest) = records.split_at(6_000);
    let sending = send(config, flowing, 1_000);
    let first = Collecting::start(config);
    until_it_has_partitions(&first).await;
    let second = Collecting::start(config);
    until_it_has_partitions(&second).await;
    assert_eq!(until_members(config, 2).await.protocol, protocol);
    assert!(first.shown.lag.total_records().is_some(), "the second took everything");
    first.stop().await;
    sending.await.unwrap();
    send(config, rest, 0).await.unwrap();
    until_stored(config).await;
    second.stop().await;
    assert_stored(config, &records).await;
    assert_eq!(rows::count(&servers::connect_to(config).await, "ft_dead_letter").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn collectors_that_come_and_go_share_partitions_and_lose_and_double_nothing() {
    one_two_one(Protocol::CooperativeSticky, 31).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_the_newer_group_protocol_they_share_partitions_as_well() {
    one_two_one(Protocol::Consumer, 32).await;
}
