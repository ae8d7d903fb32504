//! One partition with a long backlog, of one flow at that, does not keep the others waiting for its end; and whose traffic
//! it is can be seen.

use flowtrail::proto::v1::{FlowEvent, HistoryEvent, Phase, StepEvent, history_event::Event};

use crate::{
    collecting::{collect_all, until_stored},
    program::{Process, configured, get},
    servers,
    topics::{Raw, put},
};

const PARTITIONS: i32 = 8;

/// Steps of the hot flow: 36 MB, where a collector holds 6 MiB in the client, 2 MiB before each lane, and 4 MiB in a batch.
const BACKLOG: usize = 24_000;
const PAYLOAD: usize = 1_500;

fn step(flow: &str, number: usize, payload: usize, partition: i32) -> Raw {
    let step = StepEvent {
        flow_instance_id: flow.to_owned(),
        step_id: number.to_string(),
        phase: Phase::Closed.into(),
        data: vec![b'x'; payload].into(),
        ..StepEvent::default()
    };
    Raw { partition, ..Raw::of(&HistoryEvent { event: Some(Event::Step(step)) }) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_trickles_into_other_partitions_is_stored_before_half_of_a_backlog_is() {
    let config = servers::config(PARTITIONS).await;
    let client = servers::connect_to(&config).await;
    let backlog: Vec<Raw> = (0..BACKLOG).map(|number| step("hot", number, PAYLOAD, 0)).collect();
    put(&config, &backlog).await;
    // Two lanes: some of these are in that of the backlog.
    let others: Vec<Raw> = (1..PARTITIONS)
        .flat_map(|partition| {
            (0..5).map(move |number| step(&format!("cool-{partition}"), number, 10, partition))
        })
        .collect();
    put(&config, &others).await;
    collect_all(&config).await;
    // Numbers of transactions say what was written before what.
    let sql = "WITH row AS (SELECT flowinstanceid = 'hot' AS hot, xmin::text::bigint AS transaction FROM steps) \
        SELECT count(*) FILTER (WHERE hot), count(*) FILTER (WHERE NOT hot), \
            count(*) FILTER (WHERE hot AND transaction <= (SELECT max(transaction) FROM row WHERE NOT hot)) FROM row";
    let row = client.query_one(sql, &[]).await.unwrap();
    let [hot, others, before]: [usize; 3] =
        [0, 1, 2].map(|column| usize::try_from(row.get::<_, i64>(column)).unwrap());
    assert_eq!((hot, others), (BACKLOG, 7 * 5));
    assert!(before < BACKLOG / 2, "{before} steps of the hot flow were stored before the last of the others");
}

fn run(flow: &str, app: &str, user: &str) -> Raw {
    let run = FlowEvent {
        flow_instance_id: flow.to_owned(),
        app_name: app.to_owned(),
        user_id: user.to_owned(),
        phase: Phase::Opened.into(),
        ..FlowEvent::default()
    };
    Raw::of(&HistoryEvent { event: Some(Event::Flow(run)) })
}

/// Bytes of keys and values.
fn bytes(records: &[Raw]) -> usize {
    let sizes =
        records.iter().map(|record| [&record.key, &record.value].map(|part| part.as_ref().unwrap().len()));
    sizes.flatten().sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whose_the_traffic_is_stands_in_the_metrics_under_so_many_names_and_no_more() {
    let config = servers::config(1).await;
    let mut command = configured(&config, ["collect", "--http", "127.0.0.1:0"]);
    command.env("FLOWTRAIL_COLLECTOR__METRIC_APPS", "1").env("FLOWTRAIL_COLLECTOR__METRIC_USERS", "2");
    let process = Process::start(command).await;
    let first = [run("f", "shop", "anneliese"), step("f", 1, 100, 0), step("f", 2, 200, 0)];
    let second = [run("g", "bank", "bob"), step("g", 1, 300, 0), step("elsewhere", 1, 400, 0)];
    for records in [&first, &second] {
        put(&config, records).await;
        until_stored(&config).await;
    }
    let (_, metrics) = get(&process.address, "/metrics").await;
    let (known, nobodys) = second.split_at(2);
    for (series, count) in [
        ("app_rows_total{app=\"shop\"}", 3),
        ("app_bytes_total{app=\"shop\"}", bytes(&first)),
        ("app_rows_total{app=\"other\"}", 2),
        ("app_bytes_total{app=\"other\"}", bytes(known)),
        ("app_rows_total{app=\"unknown\"}", 1),
        ("app_bytes_total{app=\"unknown\"}", bytes(nobodys)),
        ("user_rows_total{user=\"anneliese\"}", 3),
        ("user_rows_total{user=\"bob\"}", 2),
    ] {
        let line = format!("flowtrail_{series} {count}");
        assert!(metrics.lines().any(|found| found == line), "no {line} in\n{metrics}");
    }
    assert_eq!(process.end("TERM").await, Some(0));
}
