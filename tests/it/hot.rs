//! One partition with a long backlog, of one flow at that, does not keep the others waiting for its end.

use flowtrail::proto::v1::{HistoryEvent, Phase, StepEvent, history_event::Event};

use crate::{
    collecting::collect_all,
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
