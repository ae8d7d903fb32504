//! `docs/recovery.md`, where nothing else tries it: the statement that skips records, and how they come back.

use flowtrail::{
    config::Config,
    proto::v1::{FlowEvent, HistoryEvent, history_event::Event},
};

use crate::{
    collecting::collect_all,
    program::{configured, done, run},
    rows, servers,
    topics::{Raw, put},
};

const PAGE: &str = include_str!("../../docs/recovery.md");

fn flow(name: &str) -> Raw {
    let flow = FlowEvent { flow_instance_id: name.to_owned(), ..FlowEvent::default() };
    Raw::of(&HistoryEvent { event: Some(Event::Flow(flow)) })
}

/// The page's statement, which is of partition 3 and goes on at 1201, for partition 0 and what comes next there.
fn skipping(config: &Config, next: i64) -> String {
    let (_, statement) = PAGE.split_once("```sql\n").unwrap();
    let (statement, _) = statement.split_once("```").unwrap();
    let (topic, group) = (format!("'{}'", config.kafka.topics[0]), format!("'{}'", config.kafka.group));
    let place = format!("0, {next}");
    let here = [("'flowtrail'", &group), ("'flow.history'", &topic), ("3, 1201", &place)];
    here.into_iter().fold(statement.to_owned(), |statement, (there, here)| {
        assert_eq!(statement.matches(there).count(), 1, "{there}");
        statement.replace(there, here)
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_that_are_skipped_by_hand_are_no_gap_and_come_back_by_a_replay() {
    let config = servers::config(1).await;
    let client = servers::connect_to(&config).await;
    let flows = async || rows::texts(&client, "SELECT flowinstanceid FROM flowstate ORDER BY 1").await;
    let named = |names: &[&str]| -> Vec<_> { names.iter().map(|name| Some((*name).to_owned())).collect() };
    put(&config, &[flow("a"), flow("b")]).await;
    collect_all(&config).await;
    put(&config, &[flow("c"), flow("d"), flow("e")]).await;

    client.batch_execute(&skipping(&config, 3)).await.unwrap();
    collect_all(&config).await;
    assert_eq!(flows().await, named(&["a", "b", "d", "e"]));
    assert_eq!(rows::texts(&client, "SELECT cause FROM ft_gap").await, []);

    let verify = run(&mut configured(&config, ["verify", "--since", "0:2", "--until", "0:3"])).await;
    assert_eq!(verify.code, 3, "{verify:?}");
    done(&mut configured(&config, ["replay", "--into", "postgres", "--since", "0:2", "--until", "0:3"]))
        .await;
    assert_eq!(flows().await, named(&["a", "b", "c", "d", "e"]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partition_of_which_nothing_is_stored_yet_is_skipped_by_the_same_statement() {
    let config = servers::config(1).await;
    let client = servers::connect_to(&config).await;
    put(&config, &[flow("a"), flow("b")]).await;
    client.batch_execute(&skipping(&config, 1)).await.unwrap();
    collect_all(&config).await;
    assert_eq!(rows::texts(&client, "SELECT flowinstanceid FROM flowstate").await, [Some("b".to_owned())]);
}
