//! Several collectors in one group share the partitions, whichever protocol the group speaks.

use flowtrail::publish::{Record, Synthetic, SyntheticOptions};

use crate::{
    collecting::{Collecting, stored, until_stored},
    groups::{Protocol, until_members},
    rows, servers, topics,
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

/// Half of the partitions are of the one lane, half of the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lane_that_is_slow_but_moves_does_not_set_the_pace_of_the_others() {
    let mut config = servers::config(2).await;
    config.collector.lanes = 2;
    // A batch takes a second, and makes room in the lane's buffer for more than is read in one go.
    config.collector.batch_rows = 500;
    config.collector.lane_buffer_bytes = 128 << 10;
    // No flow is run again: those that are take a lock alone, for which lanes do wait for each other.
    let alone = SyntheticOptions { seed: 35, rerun_percent: 0.0, ..SyntheticOptions::default() };
    let records: Vec<Record> = Synthetic::new(alone).take(60_000).collect();
    send(&config, &records, 0).await.unwrap();
    let client = servers::connect_to(&config).await;
    let slow = "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(1); RETURN new; END $$;
        CREATE TRIGGER slow BEFORE UPDATE ON ft_offset FOR EACH ROW WHEN (new.partition = 0) EXECUTE FUNCTION slow()";
    client.batch_execute(slow).await.unwrap();
    let ends = topics::ends(&config).await;
    let collecting = Collecting::start(&config);
    servers::until("the quick lane is done", async || {
        let quick = stored(&client, &config).await.into_iter().find(|(partition, _)| *partition == 1);
        if quick == Some(ends[1]) { Ok(()) } else { Err(format!("{quick:?} of {ends:?}")) }
    })
    .await;
    let slow = stored(&client, &config).await[0].1;
    assert!(slow < ends[0].1 / 2, "the slow lane has stored {slow} of {}: it set the pace", ends[0].1);
    client.batch_execute("DROP TRIGGER slow ON ft_offset").await.unwrap();
    until_stored(&config).await;
    collecting.stop().await;
    assert_stored(&config, &records).await;
}
