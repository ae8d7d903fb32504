//! `flowtrail replay --into-topic`: each record once, in order, whatever happens to the process.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use flowtrail::{
    config::Config,
    kafka::client,
    replay::{self, BY_HEADER, FROM_HEADER, ids::fresh_id},
};
use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
    error::{KafkaError, RDKafkaErrorCode},
    message::{Header, Headers as _, Message as _},
};
use serde_json::json;
use tokio::{process::Command, task::spawn_blocking};

use super::{ran, told};
use crate::{
    collecting::{collect_all, stored},
    program::{configured, send as interrupt},
    rows,
    servers::{self, until},
    topics::{Raw, ends, group_offsets, put},
    traffic::{send, traffic},
};

/// How long Kafka may take to answer.
const ASK: Duration = Duration::from_secs(20);

/// A record as a reader sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    partition: i32,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    time: Option<i64>,
    headers: Vec<(String, Option<Vec<u8>>)>,
}

impl Seen {
    fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(known, _)| known == name);
        let value = found.and_then(|(_, value)| value.as_deref());
        std::str::from_utf8(value.unwrap_or_else(|| panic!("no {name}: {self:?}"))).unwrap()
    }
}

/// All that is committed on a topic by now, of each partition in order. More may come meanwhile: where it comes all the time,
/// Kafka never says that this is the end.
async fn read(config: &Config, topic: &str) -> Vec<Seen> {
    let (config, topic) = (config.clone(), topic.to_owned());
    let read = move || {
        let own = [
            ("group.id", "reader"),
            ("enable.partition.eof", "true"),
            ("isolation.level", "read_committed"),
            ("auto.offset.reset", "earliest"),
        ];
        let consumer: BaseConsumer = client::settings(&config.kafka, &[], &own).create().unwrap();
        let metadata = consumer.fetch_metadata(Some(&topic), ASK).unwrap();
        let (mut left, mut list) = (BTreeMap::new(), TopicPartitionList::new());
        for partition in metadata.topics()[0].partitions() {
            left.insert(partition.id(), consumer.fetch_watermarks(&topic, partition.id(), ASK).unwrap().1);
            list.add_partition_offset(&topic, partition.id(), Offset::Beginning).unwrap();
        }
        consumer.assign(&list).unwrap();
        let mut seen = Vec::new();
        while !left.is_empty() {
            match consumer.poll(ASK).expect("Kafka does not answer") {
                Ok(message) if left.get(&message.partition()).is_none_or(|end| message.offset() >= *end) => {
                    left.remove(&message.partition());
                }
                Ok(message) => seen.push(Seen {
                    partition: message.partition(),
                    key: message.key().map(<[u8]>::to_vec),
                    value: message.payload().map(<[u8]>::to_vec),
                    time: message.timestamp().to_millis(),
                    headers: message.headers().map_or_else(Vec::new, |headers| {
                        let header = |header: Header<'_, &[u8]>| {
                            (header.key.to_owned(), header.value.map(<[u8]>::to_vec))
                        };
                        headers.iter().map(header).collect()
                    }),
                }),
                Err(KafkaError::PartitionEOF(partition)) => {
                    left.remove(&partition);
                }
                // It connects again; whoever waits gives up by itself.
                Err(KafkaError::MessageConsumption(
                    RDKafkaErrorCode::AllBrokersDown | RDKafkaErrorCode::BrokerTransportFailure,
                )) => {}
                Err(error) => panic!("{error}"),
            }
        }
        seen
    };
    spawn_blocking(read).await.unwrap()
}

/// Offsets where records came from, by partition there.
fn origins(config: &Config, seen: &[Seen]) -> BTreeSet<(i32, i64)> {
    let origin = |seen: &Seen| {
        let (partition, offset) = seen.header(FROM_HEADER).split_once('@').unwrap();
        let number = partition.strip_prefix(&config.kafka.topics[0]).unwrap();
        (number.trim_matches(['[', ']']).parse().unwrap(), offset.parse().unwrap())
    };
    let origins: BTreeSet<_> = seen.iter().map(origin).collect();
    assert_eq!(origins.len(), seen.len(), "a record was copied twice");
    origins
}

/// Each record of the source is on the copy once, and those of one key are in order.
async fn assert_copied(config: &Config, topic: &str) {
    let (source, copy) = (read(config, &config.kafka.topics[0]).await, read(config, topic).await);
    let all: i64 = ends(config).await.iter().map(|(_, end)| end).sum();
    assert_eq!(i64::try_from(origins(config, &copy).len()).unwrap(), all);
    let by_key = |seen: &[Seen]| {
        let mut by_key: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for record in seen.iter().filter(|record| record.key.is_some()) {
            by_key.entry(record.key.clone()).or_default().push((record.value.clone(), record.time));
        }
        by_key
    };
    assert!(by_key(&source) == by_key(&copy));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_are_copied_as_they_are_and_say_where_they_came_from() {
    let config = servers::config(1).await;
    let topic = servers::topic(3).await;
    let records = [
        Raw {
            key: Some(b"a".to_vec()),
            value: Some(b"\x00one".to_vec()),
            headers: vec![("traceparent", Some(b"00-1")), ("traceparent", None)],
            ..Raw::default()
        },
        Raw { key: None, value: Some(b"two".to_vec()), ..Raw::default() },
        Raw { key: Some(b"a".to_vec()), value: None, ..Raw::default() },
    ];
    put(&config, &records).await;
    let source = read(&config, &config.kafka.topics[0]).await;
    let counted = told(&config, &["--into-topic", &topic, "--dry-run"]).await;
    assert_eq!((&counted["replayed"], read(&config, &topic).await.len()), (&json!(3), 0));

    let done = told(&config, &["--into-topic", &topic, "--name", "plain"]).await;
    assert_eq!((&done["replayed"], &done["group"]), (&json!(3), &json!("replay-plain")));
    let copy = read(&config, &topic).await;
    assert_eq!(copy.len(), source.len());
    for (offset, wanted) in source.into_iter().enumerate() {
        let from = format!("{}[0]@{offset}", config.kafka.topics[0]);
        let found = copy.iter().find(|seen| seen.header(FROM_HEADER) == from).unwrap();
        let mut wanted = Seen { partition: found.partition, ..wanted };
        wanted.headers.push((FROM_HEADER.to_owned(), Some(from.into_bytes())));
        wanted.headers.push((BY_HEADER.to_owned(), Some(b"replay-plain".to_vec())));
        assert_eq!(*found, wanted);
    }
}

/// Starts a replay that takes its time, and waits until some of it is committed.
async fn begun(config: &Config, topic: &str, arguments: &[&str]) -> tokio::process::Child {
    let mut command: Command = configured(config, ["replay"]);
    command.args(arguments).args(["--rate", "200"]).stderr(std::process::Stdio::piped());
    // Before it begins, or so much might be there by then that there is no more to come.
    let before = read(config, topic).await.len();
    let replaying = command.spawn().unwrap();
    until("some more of it is copied", async || {
        let copied = read(config, topic).await.len();
        if copied > before + 200 { Ok(()) } else { Err(format!("{copied} records")) }
    })
    .await;
    replaying
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_that_is_killed_leaves_no_half_and_no_doubles() {
    let config = servers::config(3).await;
    let topic = servers::topic(5).await;
    send(&config, &traffic(91, 12_000), 0).await.unwrap();
    let arguments = ["--into-topic", topic.as_str()];
    begun(&config, &topic, &arguments).await.kill().await.unwrap();
    let stopped = begun(&config, &topic, &arguments).await;
    interrupt(stopped.id().unwrap(), "INT").await;
    let stopped = tokio::time::timeout(servers::PATIENCE, stopped.wait_with_output()).await.unwrap().unwrap();
    let said = String::from_utf8(stopped.stderr).unwrap();
    assert!(stopped.status.code() == Some(1) && said.contains("stopped before the end"), "{said}");
    let copied = read(&config, &topic).await.len();
    let done = told(&config, &arguments).await;
    assert_eq!(u64::try_from(read(&config, &topic).await.len() - copied).unwrap(), done["replayed"]);
    assert!(done["partitions"].as_array().unwrap().iter().all(|part| part["resumed"] == true), "{done}");
    assert_copied(&config, &topic).await;

    let again = told(&config, &arguments).await;
    assert_eq!((&again["replayed"], &again["read"]["records"]), (&json!(0), &json!(0)));
    assert_copied(&config, &topic).await;
    // What has come since is copied, and nothing else.
    send(&config, &traffic(92, 300), 0).await.unwrap();
    assert!(told(&config, &arguments).await["replayed"].as_u64().unwrap() >= 300);
    assert_copied(&config, &topic).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_process_takes_over_from_the_first() {
    let config = servers::config(2).await;
    let topic = servers::topic(2).await;
    send(&config, &traffic(93, 8_000), 0).await.unwrap();
    let arguments = ["--into-topic", topic.as_str(), "--name", "handed-over"];
    let first = begun(&config, &topic, &arguments).await;
    told(&config, &arguments).await;
    let first = tokio::time::timeout(servers::PATIENCE, first.wait_with_output()).await.unwrap().unwrap();
    let said = String::from_utf8(first.stderr).unwrap();
    assert!(
        first.status.code() == Some(1) && said.contains("another process runs replay-handed-over"),
        "{said}"
    );
    assert_copied(&config, &topic).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn flows_that_are_replayed_as_new_ones_name_the_old_ones() {
    let config = servers::config(2).await;
    let records = traffic(94, 3_000);
    send(&config, &records, 0).await.unwrap();
    collect_all(&config).await;
    let client = servers::connect_to(&config).await;
    let [flows, steps] = [rows::count(&client, "flowstate").await, rows::count(&client, "steps").await];
    let offsets = (stored(&client, &config).await, group_offsets(&config).await);
    // Onto the topic that it reads: its own records are no part of what it replays, also if it is killed and goes on.
    let topic = config.kafka.topics[0].clone();
    let arguments = ["--into-topic", topic.as_str(), "--new-instance-ids", "--name", "anew"];
    begun(&config, &topic, &arguments).await.kill().await.unwrap();
    told(&config, &arguments).await;
    let copied = read(&config, &topic).await.len() - records.len();
    assert_eq!(copied, records.len());
    assert_eq!(told(&config, &arguments).await["replayed"], 0);
    assert!((stored(&client, &config).await, group_offsets(&config).await) == offsets);

    collect_all(&config).await;
    let now = [rows::count(&client, "flowstate").await, rows::count(&client, "steps").await];
    assert_eq!(now, [2 * flows, 2 * steps]);
    let sql = "SELECT n.flowinstanceid, o.flowinstanceid FROM flowstate n
        JOIN flowstate o ON n.rerunofflowinstanceid = o.flowinstanceid AND n.starttime = o.starttime
            AND n.status IS NOT DISTINCT FROM o.status AND n.flowname = o.flowname
        WHERE length(n.flowinstanceid) = 32 AND o.reruncount >= 1";
    let group = replay::group("anew");
    let pairs = client.query(sql, &[]).await.unwrap();
    let is_fresh = |row: &tokio_postgres::Row| row.get::<_, String>(0) == fresh_id(&group, row.get(1));
    assert_eq!(i64::try_from(pairs.iter().filter(|row| is_fresh(row)).count()).unwrap(), flows);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_can_not_be_done_is_said() {
    let config = servers::config(1).await;
    let missing = ran(&config, &["--into-topic", "nowhere-to-be-found"]).await;
    assert!(
        missing.code == 1 && missing.stderr.contains("nowhere-to-be-found does not exist"),
        "{missing:?}"
    );
    let mut own = config.clone();
    own.kafka.group = "replay-mine".to_owned();
    let own = ran(&own, &["--into", "postgres", "--name", "mine"]).await;
    assert!(own.code == 2 && own.stderr.contains("the group of the collectors"), "{own:?}");
    let neither = ran(&config, &[]).await;
    assert_eq!(neither.code, 2, "{neither:?}");
}
