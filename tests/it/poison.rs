//! Rows that Postgres refuses for what they hold: each is kept as a dead letter, once, and everything else is stored.
//! What passes by itself (an outage, a full disk, a lock) makes no dead letter.

use std::collections::BTreeMap;

use flowtrail::{
    config::Config,
    kafka::client,
    proto::v1::{AppEvent, HistoryEvent, history_event::Event},
    publish::Record,
};
use prost::Message as _;
use rdkafka::{
    Message as _, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
    error::KafkaError,
    message::{Header, Headers as _},
};
use tokio_postgres::Client;

use crate::{
    collecting::{Collecting, collect_all, set_offset, until_stored},
    rows,
    servers::{self, PATIENCE, until},
    topics::{Raw, ends, put},
    traffic::{assert_stored, send, traffic},
};

/// A name that Postgres is told to refuse. It is greater than any other, so that no merge hides it.
const MARK: &str = "~refused";

/// Marks an event; says whether it has a name to mark.
fn mark(event: &mut HistoryEvent) -> bool {
    match &mut event.event {
        Some(Event::Step(step)) => step.task_name = MARK.into(),
        Some(Event::Flow(flow)) => flow.app_name = MARK.into(),
        Some(Event::App(app)) => app.app_version = MARK.into(),
        _ => return false,
    }
    true
}

/// Marks every so-manieth record; gives those that are marked and those that are not.
pub fn poison(mut records: Vec<Record>, every: usize) -> (Vec<Record>, Vec<Record>, Vec<Record>) {
    let (mut marked, mut plain) = (Vec::new(), Vec::new());
    for (number, record) in records.iter_mut().enumerate() {
        let is_marked = number % every == every / 2 && mark(&mut record.event);
        if is_marked { marked.push(record.clone()) } else { plain.push(record.clone()) }
    }
    (records, marked, plain)
}

/// Refuses marked rows by a constraint; `COPY` then says which row it was.
pub async fn refuse_by_constraint(client: &Client) {
    for table in ["steps", "ft_superseded_step"] {
        let sql = format!("ALTER TABLE {table} ADD CONSTRAINT unmarked CHECK (taskname <> '{MARK}')");
        client.batch_execute(&sql).await.unwrap();
    }
    for table in ["flowstate", "ft_run"] {
        let sql = format!("ALTER TABLE {table} ADD CONSTRAINT unmarked CHECK (appname <> '{MARK}')");
        client.batch_execute(&sql).await.unwrap();
    }
    let sql = format!("ALTER TABLE appstate ADD CONSTRAINT unmarked CHECK (appversion <> '{MARK}')");
    client.batch_execute(&sql).await.unwrap();
}

/// Refuses marked rows of `steps` at the end of a statement, when `COPY` no longer knows the row.
async fn refuse_by_late_trigger(client: &Client) {
    let sql = format!(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN
                IF new.taskname = '{MARK}' THEN
                    RAISE EXCEPTION 'no' USING ERRCODE = '22023';
                END IF;
                RETURN NULL;
            END $$;
        CREATE TRIGGER refuse AFTER INSERT OR UPDATE ON steps FOR EACH ROW EXECUTE FUNCTION refuse();
        CREATE TRIGGER refuse AFTER INSERT OR UPDATE ON ft_superseded_step FOR EACH ROW EXECUTE FUNCTION refuse()"
    );
    client.batch_execute(&sql).await.unwrap();
}

/// Exactly these records are dead letters, byte for byte, with this SQLSTATE.
pub async fn assert_letters(client: &Client, marked: &[Record], sqlstate: &str) {
    let sql = "SELECT payload, recordkey, reason, sqlstate FROM ft_dead_letter";
    let found = client.query(sql, &[]).await.unwrap();
    let mut letters: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    for row in &found {
        let said: (String, Option<String>) = (row.get(2), row.get(3));
        assert_eq!(said, ("refused".to_owned(), Some(sqlstate.to_owned())));
        letters.push((row.get(1), row.get(0)));
    }
    let record = |record: &Record| (record.key.clone().into_bytes(), record.event.encode_to_vec());
    let mut wanted: Vec<_> = marked.iter().map(record).collect();
    letters.sort();
    wanted.sort();
    assert_eq!(letters.len(), wanted.len());
    assert!(letters == wanted, "other messages are dead letters than those that were refused");
}

async fn sum_of_offsets(config: &Config) -> i64 {
    ends(config).await.into_iter().map(|(_, end)| end).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_percent_of_refused_rows_become_dead_letters_and_all_others_are_stored() {
    let config = servers::config(3).await;
    let client = servers::connect_to(&config).await;
    refuse_by_constraint(&client).await;
    let (all, marked, plain) = poison(traffic(11, 4_000), 100);
    assert!(marked.len() > 30, "{} marked", marked.len());
    send(&config, &all, 0).await.unwrap();
    collect_all(&config).await;
    assert_stored(&config, &plain).await;
    assert_letters(&client, &marked, "23514").await;

    // The whole topic again: no letter twice, and nothing else.
    for (number, _) in ends(&config).await {
        set_offset(&client, &config, number, 0).await;
    }
    collect_all(&config).await;
    assert_stored(&config, &plain).await;
    assert_letters(&client, &marked, "23514").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_refused_without_a_place_is_found_by_halving() {
    let config = servers::config(2).await;
    let client = servers::connect_to(&config).await;
    refuse_by_late_trigger(&client).await;
    // In three deliveries, so that rows are met that are stored.
    let mut parts = traffic(12, 1_500);
    let mut marked = Vec::new();
    let mut plain = Vec::new();
    for _ in 0..3 {
        let part: Vec<Record> = parts.drain(..500).collect();
        let (all, of_steps) = {
            let (mut all, mut of_steps) = (part, Vec::new());
            for (number, record) in all.iter_mut().enumerate() {
                let is_step = matches!(record.event.event, Some(Event::Step(_)));
                if number % 40 == 7 && is_step && mark(&mut record.event) {
                    of_steps.push(record.clone());
                } else {
                    plain.push(record.clone());
                }
            }
            (all, of_steps)
        };
        marked.extend(of_steps);
        send(&config, &all, 0).await.unwrap();
        collect_all(&config).await;
    }
    assert!(marked.len() > 10, "{} marked", marked.len());
    assert_stored(&config, &plain).await;
    assert_letters(&client, &marked, "22023").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_refused_row_in_twenty_thousand_leaves_all_others_stored() {
    let config = servers::config(1).await;
    let client = servers::connect_to(&config).await;
    refuse_by_constraint(&client).await;
    let (all, marked, plain) = poison(traffic(13, 20_000), 30_000);
    assert_eq!(marked.len(), 1);
    send(&config, &all, 0).await.unwrap();
    collect_all(&config).await;
    assert_stored(&config, &plain).await;
    assert_letters(&client, &marked, "23514").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_whole_batch_may_be_refused_and_reading_goes_on() {
    let config = servers::config(1).await;
    let client = servers::connect_to(&config).await;
    refuse_by_constraint(&client).await;
    let mut all = traffic(14, 400);
    all.retain_mut(|record| mark(&mut record.event));
    let switch = AppEvent { app_name: "a".to_owned(), app_version: MARK.to_owned(), ..AppEvent::default() };
    let switch = HistoryEvent { event: Some(Event::App(switch)) };
    all.push(Record { key: "/a".to_owned(), event: switch, ..all[0].clone() });
    send(&config, &all, 0).await.unwrap();
    collect_all(&config).await;
    assert_letters(&client, &all, "23514").await;
    for table in ["steps", "flowstate", "appstate"] {
        assert_eq!(rows::count(&client, table).await, 0, "{table}");
    }
    let sound = traffic(15, 200);
    send(&config, &sound, 0).await.unwrap();
    collect_all(&config).await;
    assert_stored(&config, &sound).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_dies_while_it_sifts_loses_and_doubles_nothing() {
    let config = servers::config(1).await;
    let client = servers::connect_to(&config).await;
    refuse_by_constraint(&client).await;
    let (all, marked, plain) = poison(traffic(16, 3_000), 20);
    send(&config, &all, 0).await.unwrap();
    let end = sum_of_offsets(&config).await;
    let collecting = Collecting::start(&config);
    // Pieces are stored before their offsets.
    until("a piece is stored", async || match rows::count(&client, "steps").await {
        0 => Err("nothing is stored".to_owned()),
        _ => Ok(()),
    })
    .await;
    collecting.abort().await;
    let sql = "SELECT COALESCE(sum(nextoffset), 0)::bigint FROM ft_offset";
    let stored: i64 = client.query_one(sql, &[]).await.unwrap().get(0);
    assert!(stored < end, "it was through already");
    collect_all(&config).await;
    assert_stored(&config, &plain).await;
    assert_letters(&client, &marked, "23514").await;
}

/// Makes every row of `steps` fail as a row of `fault` says; none: they are taken.
const FAULTY: &str = "
CREATE TABLE fault (code text);
CREATE SEQUENCE met;
CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE found text;
    BEGIN
        SELECT code INTO found FROM fault;
        IF found IS NOT NULL THEN
            PERFORM nextval('met');
            RAISE EXCEPTION 'not now' USING ERRCODE = found;
        END IF;
        RETURN new;
    END $$;
CREATE TRIGGER fail BEFORE INSERT OR UPDATE ON steps FOR EACH ROW EXECUTE FUNCTION fail()";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_passes_by_itself_makes_no_dead_letter() {
    let config = servers::config(1).await;
    let client = servers::connect_to(&config).await;
    client.batch_execute(FAULTY).await.unwrap();
    let all = traffic(17, 300);
    let collecting = Collecting::start(&config);
    let mut met: BTreeMap<&str, i64> = BTreeMap::new();
    // A full disk, a lock, a standby, an administrator, a deadlock, memory, too many connections.
    let codes = ["53100", "55P03", "25006", "57P01", "40P01", "53200", "53300"];
    for (code, part) in codes.iter().zip(all.chunks(all.len().div_ceil(codes.len()))) {
        client.execute("INSERT INTO fault VALUES ($1)", &[code]).await.unwrap();
        let before: i64 = client.query_one("SELECT last_value FROM met", &[]).await.unwrap().get(0);
        send(&config, part, 0).await.unwrap();
        let seen = until_more(&client, before + 1).await;
        met.insert(code, seen - before);
        client.execute("DELETE FROM fault", &[]).await.unwrap();
        until_stored(&config).await;
    }
    collecting.stop().await;
    assert!(met.values().all(|times| *times > 0), "{met:?}");
    assert_eq!(rows::count(&client, "ft_dead_letter").await, 0);
    assert_stored(&config, &all).await;
}

/// Waits until rows have failed more often than that.
async fn until_more(client: &Client, than: i64) -> i64 {
    let read = async || client.query_one("SELECT last_value FROM met", &[]).await.unwrap().get::<_, i64>(0);
    until("a row fails", async || match read().await {
        seen if seen > than => Ok(()),
        seen => Err(format!("{seen} times")),
    })
    .await;
    read().await
}

/// Key, value and headers of what is on a topic of one partition.
pub async fn on_topic(config: &Config, topic: &str) -> Vec<(Option<Vec<u8>>, Option<Vec<u8>>, Vec<String>)> {
    let settings =
        [("group.id", "letters"), ("enable.partition.eof", "true"), ("enable.auto.commit", "false")];
    let consumer: BaseConsumer = client::settings(&config.kafka, &[], &settings).create().unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, 0, Offset::Beginning).unwrap();
    consumer.assign(&list).unwrap();
    let read = move || {
        let mut found = Vec::new();
        loop {
            match consumer.poll(PATIENCE).expect("the topic can't be read") {
                Ok(record) => {
                    let headers = record.headers().map_or_else(Vec::new, |headers| {
                        let value =
                            |header: Header<'_, &[u8]>| String::from_utf8_lossy(header.value.unwrap()).into();
                        headers.iter().filter(|header| header.key != "flowtrail_detail").map(value).collect()
                    });
                    found.push((
                        record.key().map(<[u8]>::to_vec),
                        record.payload().map(<[u8]>::to_vec),
                        headers,
                    ));
                }
                Err(KafkaError::PartitionEOF(_)) => return found,
                Err(error) => panic!("{error}"),
            }
        }
    };
    tokio::task::spawn_blocking(read).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead_letters_are_put_on_a_topic_too_if_one_is_configured() {
    let mut config = servers::config(1).await;
    let letters = servers::topic(1).await;
    config.collector.dead_letter_topic = letters.clone();
    let client = servers::connect_to(&config).await;
    refuse_by_constraint(&client).await;
    let (all, marked, plain) = poison(traffic(18, 500), 50);
    let garbage = Raw {
        key: Some(b"k".to_vec()),
        value: Some(b"\xff".to_vec()),
        headers: vec![("traceparent", Some(b"00-1"))],
        partition: 0,
    };
    put(&config, std::slice::from_ref(&garbage)).await;
    send(&config, &all, 0).await.unwrap();
    collect_all(&config).await;
    assert_stored(&config, &plain).await;

    let mut found = on_topic(&config, &letters).await;
    let topic = config.kafka.topics[0].clone();
    let of_garbage = ["00-1", "undecodable", &topic, "0", "0"].map(str::to_owned).to_vec();
    assert!(found.contains(&(garbage.key, garbage.value, of_garbage)), "{found:?}");
    found.retain(|(_, _, headers)| headers[0] == "refused");
    let mut payloads: Vec<Vec<u8>> = found.into_iter().filter_map(|(_, payload, _)| payload).collect();
    let mut wanted: Vec<Vec<u8>> = marked.iter().map(|record| record.event.encode_to_vec()).collect();
    payloads.sort();
    wanted.sort();
    assert!(payloads == wanted, "{} letters of {}", payloads.len(), wanted.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_of_dead_letters_that_is_read_itself_is_refused() {
    let mut config = servers::config(1).await;
    config.collector.dead_letter_topic = config.kafka.topics[0].clone();
    let ended = Collecting::start(&config).ended().await.unwrap_err().to_string();
    assert!(ended.contains("which is also read; name a topic of its own"), "{ended}");
}
