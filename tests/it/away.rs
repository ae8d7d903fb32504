//! Postgres is away while the group gives partitions out and takes them back, whichever protocol the group speaks.

use std::time::Instant;

use flowtrail::{config::Config, http::Status, publish::Record};
use futures_util::SinkExt as _;
use secrecy::ExposeSecret as _;

use crate::{
    collecting::{Collecting, collect_all, stored, until_stored},
    groups::{Protocol, until_members},
    program::{Process, get},
    proxy::{Mode, Proxy, through_a_proxy},
    servers::{self, until},
    sharing::until_it_has_partitions,
    topics,
    traffic::{assert_stored, send, traffic},
};

/// A topic of which the first records are stored, by a collector that reaches Postgres through a proxy.
struct Scene {
    config: Config,
    proxy: Proxy,
    kept: Collecting,
    records: Vec<Record>,
}

/// So many records are stored before Postgres goes away.
const FIRST: usize = 1_000;

impl Scene {
    async fn begin(protocol: Protocol, seed: u64) -> Self {
        let mut config = servers::config(4).await;
        config.collector.batch_rows = 200;
        protocol.set(&mut config);
        let records = traffic(seed, 3_000);
        send(&config, &records[..FIRST], 0).await.unwrap();
        let (proxied, proxy) = through_a_proxy(&config).await;
        let kept = Collecting::start(&proxied);
        until_stored(&config).await;
        Self { config, proxy, kept, records }
    }

    async fn take_postgres_away(&self, how: Mode) {
        match how {
            Mode::Refuse => self.proxy.cut().await,
            other => self.proxy.set(other),
        }
    }

    async fn send_the_rest(&self) {
        send(&self.config, &self.records[FIRST..], 0).await.unwrap();
    }

    async fn stored(&self) -> Vec<(i32, i64)> {
        stored(&servers::connect_to(&self.config).await, &self.config).await
    }
}

fn assert_alive(collecting: &Collecting) {
    assert_eq!(collecting.shown.health.liveness(Instant::now()).status, Status::Ok);
}

/// The other member leaves, and all of its partitions come to the one whose Postgres is away.
async fn given_partitions_while_postgres_is_away(protocol: Protocol, away: Mode) {
    let scene = Scene::begin(protocol, 22).await;
    let config = &scene.config;
    let alone = until_members(config, 1).await;
    assert_eq!(alone.protocol, protocol);
    let other = Collecting::start(config);
    until_members(config, 2).await;
    until_it_has_partitions(&other).await;

    scene.take_postgres_away(away).await;
    other.stop().await;
    assert_eq!(until_members(config, 1).await.members, alone.members);
    scene.send_the_rest().await;
    assert_ne!(scene.stored().await, topics::ends(config).await);
    assert_alive(&scene.kept);

    scene.proxy.set(Mode::Pass);
    until_stored(config).await;
    let still = until_members(config, 1).await;
    assert_eq!(still.members, alone.members, "it left the group in between");
    scene.kept.stop().await;
    assert_stored(config, &scene.records).await;
}

/// A row of `steps` in binary COPY: as many fields as the statement names, here two.
fn first_row_of_a_copy() -> bytes::Bytes {
    let mut row = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0".to_vec();
    row.extend_from_slice(&2_i16.to_be_bytes());
    for field in ["frozen", "1"] {
        row.extend_from_slice(&i32::try_from(field.len()).unwrap().to_be_bytes());
        row.extend_from_slice(field.as_bytes());
    }
    row.into()
}

/// Postgres waits for the next row of its COPY for as long as the connection lives; nobody else does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_is_frozen_amid_a_copy_does_not_hold_up_the_others_for_good() {
    let config = servers::config(2).await;
    let url = config.postgres.url.as_ref().unwrap().expose_secret();
    let frozen = servers::connect(&format!("{url}?application_name=flowtrail-collect")).await;
    let lock = "BEGIN; SELECT pg_advisory_xact_lock_shared(x'66746c77'::integer, 'steps'::regclass::oid::bigint::bit(32)::integer)";
    frozen.batch_execute(lock).await.unwrap();
    let mut copy = Box::pin(
        frozen.copy_in("COPY steps (flowinstanceid, stepid) FROM STDIN (FORMAT binary)").await.unwrap(),
    );
    copy.send(first_row_of_a_copy()).await.unwrap();

    // Some of the flows are run again, which takes the lock alone.
    let records = traffic(33, 1_500);
    send(&config, &records, 0).await.unwrap();
    collect_all(&config).await;
    assert_stored(&config, &records).await;
    assert!(frozen.is_closed(), "it was not in the way");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_given_partitions_while_postgres_refuses_stays_and_begins_when_it_answers() {
    given_partitions_while_postgres_is_away(Protocol::CooperativeSticky, Mode::Refuse).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_given_partitions_while_postgres_hangs_stays_and_begins_when_it_answers() {
    given_partitions_while_postgres_is_away(Protocol::CooperativeSticky, Mode::Hang).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_the_newer_protocol_a_member_given_partitions_while_postgres_refuses_stays() {
    given_partitions_while_postgres_is_away(Protocol::Consumer, Mode::Refuse).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_the_newer_protocol_a_member_given_partitions_while_postgres_hangs_stays() {
    given_partitions_while_postgres_is_away(Protocol::Consumer, Mode::Hang).await;
}

/// A member whose Postgres is away has batches of all partitions in hand when another one joins and gets half of them.
async fn joined_while_postgres_is_away(protocol: Protocol, away: Mode) {
    let scene = Scene::begin(protocol, 27).await;
    let config = &scene.config;
    let alone = until_members(config, 1).await;
    scene.take_postgres_away(away).await;
    scene.send_the_rest().await;
    let (before, ends) = (scene.stored().await, topics::ends(config).await);
    let joined = Collecting::start(config);
    let both = until_members(config, 2).await;
    assert_eq!(both.protocol, protocol);
    assert!(both.members.contains(&alone.members[0]), "the first left the group");
    until("what the second was given is stored", async || {
        let now = scene.stored().await;
        let (moved, at_rest): (Vec<_>, Vec<_>) = now.iter().partition(|next| !before.contains(next));
        let done = (moved.len(), at_rest.len()) == (2, 2) && moved.iter().all(|next| ends.contains(next));
        if done { Ok(()) } else { Err(format!("{now:?} of {ends:?}, {before:?} before")) }
    })
    .await;
    assert_alive(&scene.kept);

    scene.proxy.set(Mode::Pass);
    until_stored(config).await;
    assert_eq!(until_members(config, 2).await.members.len(), 2);
    joined.stop().await;
    scene.kept.stop().await;
    assert_stored(config, &scene.records).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_joins_while_anothers_postgres_refuses_takes_half_and_nothing_is_doubled() {
    joined_while_postgres_is_away(Protocol::CooperativeSticky, Mode::Refuse).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_joins_while_anothers_postgres_hangs_takes_half_and_nothing_is_doubled() {
    joined_while_postgres_is_away(Protocol::CooperativeSticky, Mode::Hang).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_the_newer_protocol_a_member_that_joins_while_anothers_postgres_refuses_takes_half() {
    joined_while_postgres_is_away(Protocol::Consumer, Mode::Refuse).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_the_newer_protocol_a_member_that_joins_while_anothers_postgres_hangs_takes_half() {
    joined_while_postgres_is_away(Protocol::Consumer, Mode::Hang).await;
}

/// Nobody can learn where the partitions begin, neither the member that joins nor the one that is there.
async fn joined_while_no_offset_can_be_read(protocol: Protocol) {
    let scene = Scene::begin(protocol, 28).await;
    let config = &scene.config;
    let client = servers::connect_to(config).await;
    client.batch_execute("BEGIN; LOCK TABLE ft_offset IN ACCESS EXCLUSIVE MODE").await.unwrap();
    scene.send_the_rest().await;
    let mut joined = Process::collect(config).await;
    // It answers the group at once, and takes what it is given without beginning to read.
    joined.says("paused=true").await;
    assert_eq!(until_members(config, 2).await.protocol, protocol);
    assert_eq!(get(&joined.address, "/livez").await.0, 200);
    assert_alive(&scene.kept);

    client.batch_execute("COMMIT").await.unwrap();
    until_stored(config).await;
    assert_eq!(joined.end("TERM").await, Some(0));
    scene.kept.stop().await;
    assert_stored(config, &scene.records).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_joins_while_no_offset_can_be_read_waits_and_then_begins() {
    joined_while_no_offset_can_be_read(Protocol::CooperativeSticky).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_the_newer_protocol_a_member_that_joins_while_no_offset_can_be_read_waits() {
    joined_while_no_offset_can_be_read(Protocol::Consumer).await;
}

/// Lanes are full and their partitions paused when the group gives half of them to another member, which then leaves.
async fn taken_back_while_paused(protocol: Protocol) {
    let mut config = servers::config(4).await;
    config.collector.lane_buffer_bytes = 4 << 10;
    config.collector.batch_rows = 100;
    protocol.set(&mut config);
    let records = traffic(29, 8_000);
    let (waiting, last) = records.split_at(7_500);
    let (proxied, proxy) = through_a_proxy(&config).await;
    let kept = Process::collect(&proxied).await;
    send(&config, &waiting[..FIRST], 0).await.unwrap();
    until_stored(&config).await;
    let alone = until_members(&config, 1).await;
    assert_eq!(alone.protocol, protocol);
    proxy.set(Mode::Hang);
    send(&config, &waiting[FIRST..], 0).await.unwrap();
    until("both lanes are paused", async || {
        let (_, metrics) = get(&kept.address, "/metrics").await;
        let pauses = metrics.lines().find_map(|line| line.strip_prefix("flowtrail_pauses_total "));
        if pauses == Some("2") { Ok(()) } else { Err(format!("{pauses:?}")) }
    })
    .await;

    let other = Collecting::start(&config);
    until_members(&config, 2).await;
    until_it_has_partitions(&other).await;
    proxy.set(Mode::Pass);
    until_stored(&config).await;
    other.stop().await;
    assert_eq!(until_members(&config, 1).await.members, alone.members);
    send(&config, last, 0).await.unwrap();
    until_stored(&config).await;
    assert_eq!(kept.end("TERM").await, Some(0));
    assert_stored(&config, &records).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn partitions_that_go_while_they_are_paused_are_read_when_they_come_back() {
    taken_back_while_paused(Protocol::CooperativeSticky).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_the_newer_protocol_partitions_that_go_while_they_are_paused_are_read_when_they_come_back() {
    taken_back_while_paused(Protocol::Consumer).await;
}
