//! The same rows come of what is posted without waiting, in whatever order it arrives.

use std::{collections::BTreeMap, time::Duration};

use flowtrail::{
    config::Config,
    kafka::client,
    proto::v1::{HistoryEvent, Phase, history_event::Event},
};
use prost::Message as _;
use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
    error::KafkaError,
    message::Message as _,
};
use tokio::task::spawn_blocking;

use crate::{
    app::{Posting, Recording},
    expected::{CALLED, CHILD, DETACHED},
    scene::Scene,
    topics,
};

/// How long Kafka may take to answer.
const ASK: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn steps_that_nobody_waits_for_become_the_same_rows() {
    let Some(scene) = recorded(Posting::Asynchronous).await else { return };
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ends_before_steps_and_steps_from_the_last_to_the_first_become_the_same_rows() {
    let Some(scene) = recorded(Posting::Reversed).await else { return };
    let config = scene.config.clone();
    scene.end().await;
    let order = order_of_arrival(&config).await;
    assert_eq!(order.len(), CALLED.len() + 2);
    for (flow, words) in order {
        let place = |word: &str| words.iter().position(|found| found == word).unwrap();
        assert!(place("end") < place("0"), "{flow} came in order: {words:?}");
    }
}

async fn recorded(posting: Posting) -> Option<Scene> {
    let mut scene = Scene::set(Recording::Debugger, posting).await?;
    for flow in CALLED {
        scene.run(flow).await;
    }
    scene.run(&DETACHED).await;
    scene.arrives(&CHILD).await;
    Some(scene)
}

/// Of each flow what the topic holds, in that order: `start`, `end`, and the numbers of steps.
async fn order_of_arrival(config: &Config) -> BTreeMap<String, Vec<String>> {
    let ends = topics::ends(config).await;
    let config = config.clone();
    let read = move || {
        let own = [("group.id", "order-of-arrival"), ("enable.partition.eof", "true")];
        let consumer: BaseConsumer = client::settings(&config.kafka, &[], &own).create().unwrap();
        let mut list = TopicPartitionList::new();
        for (partition, _) in &ends {
            list.add_partition_offset(&config.kafka.topics[0], *partition, Offset::Beginning).unwrap();
        }
        consumer.assign(&list).unwrap();
        let (mut order, mut unread) = (BTreeMap::<String, Vec<String>>::new(), ends.len());
        while unread > 0 {
            match consumer.poll(ASK).expect("Kafka does not answer") {
                Ok(record) => {
                    let (flow, word) = event(record.payload().unwrap());
                    order.entry(flow).or_default().push(word);
                }
                Err(KafkaError::PartitionEOF(_)) => unread -= 1,
                Err(error) => panic!("{error}"),
            }
        }
        order
    };
    spawn_blocking(read).await.unwrap()
}

fn event(payload: &[u8]) -> (String, String) {
    match HistoryEvent::decode(payload).unwrap().event.unwrap() {
        Event::Flow(flow) => {
            let word = if flow.phase() == Phase::Closed { "end" } else { "start" };
            (flow.flow_instance_id, word.to_owned())
        }
        Event::Step(step) => (step.flow_instance_id, step.step_id),
        other => panic!("nobody posted {other:?}"),
    }
}
