//! Users who have the rights of `deploy/acl.sh` and no others.

use flowtrail::doctor::Verdict;
use futures_util::{StreamExt as _, future::join_all};
use serde_json::json;
use tokio_tungstenite::connect_async;

use super::{LETTERS, TARGET, TOPIC, all_flows_are_stored, database, secure, succeeds};
use crate::{
    collecting::Collecting,
    doctor::{examine, of},
    http_client::ask,
    program::{Process, configured, done, publish, run},
    servers::{self, PATIENCE, until},
    topics::{self, Raw},
};

const COLLECT: [&str; 3] = ["collect", "--http", "127.0.0.1:0"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_user_of_the_script_can_do_its_work_and_one_without_rights_is_told_what_it_lacks() {
    let secure = secure().await;
    let database = database().await;
    let administrator = secure.administrator(&database);
    publish(&administrator, "recorded.jsonl", &[]).await;
    topics::put(&administrator, &[Raw { value: Some(b"\0".to_vec()), ..Raw::default() }]).await;
    let user = |name: &str| {
        let mut config = secure.user(name, &database);
        TOPIC.clone_into(&mut config.gateway.topic);
        config
    };

    let nobody = user("nobody");
    let into_topic = ["replay", "--into-topic", TARGET];
    let commands = [&COLLECT[..], &["lag"], &["verify"], &into_topic];
    let refused = join_all(commands.map(async |command| run(&mut configured(&nobody, command)).await)).await;
    for ran in refused {
        assert!(ran.code == 1 && ran.stderr.contains("or this user may not see it"), "{ran:?}");
    }
    let tool = "org.apache.kafka.tools.AclCommand";
    let read = ["--add", "--allow-principal", "User:nobody", "--operation", "Read", "--topic", TOPIC];
    succeeds(secure.tool(tool).args(read));
    // That a right on the group may still come is no reason to end.
    let mut waiting = Process::start(configured(&nobody, COLLECT)).await;
    assert!(waiting.says("kafka_error").await.contains("Group authorization failed"));
    drop(waiting);

    let mut collector = user("collect");
    LETTERS.clone_into(&mut collector.collector.dead_letter_topic);
    let findings = examine(&collector).await;
    for check in ["kafka.topic", "kafka.dead_letter_topic", "kafka.cleanup", "kafka.rights"] {
        let found = of(&findings, check);
        assert!(found.iter().all(|finding| finding.verdict == Verdict::Ok), "{found:#?}");
    }
    let collecting = Collecting::start(&collector);
    all_flows_are_stored(&database).await;
    let mut letters = administrator.clone();
    letters.kafka.topics = vec![LETTERS.to_owned()];
    until("a dead letter is on its topic", async || match topics::ends(&letters).await[0].1 {
        0 => Err("none".to_owned()),
        _ => Ok(()),
    })
    .await;
    collecting.stop().await;

    let (look, replay) = (user("look"), user("replay"));
    let dry_run = ["replay", "--into", "postgres", "--dry-run"];
    let commands = [(&look, &["lag"][..]), (&look, &["verify"]), (&look, &dry_run)];
    let replays = [(&replay, &["replay", "--into", "postgres"][..]), (&replay, &into_topic)];
    let working = commands.into_iter().chain(replays);
    join_all(working.map(async |(config, command)| done(&mut configured(config, command)).await)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_with_its_rights_of_the_script_records_and_shows_what_is_recorded() {
    let secure = secure().await;
    let mut config = secure.user("serve", &database().await);
    TOPIC.clone_into(&mut config.gateway.topic);
    let serving = Process::serve(&config, &[]).await;
    let address = &serving.address;
    let (mut steps, _) = connect_async(format!("ws://{address}/v1/stream/steps")).await.unwrap();
    let step = json!({ "id": 1, "flowId": servers::unique("posted"), "flowChanges": {} }).to_string();
    let headers = [("content-type", "application/json")];
    let posted = ask(address, "POST /v1/instances/steps", &headers, step.as_bytes()).await;
    assert_eq!(posted.status, 200, "{posted:?}");
    let seen = async {
        while let Some(message) = steps.next().await {
            if message.unwrap().to_text().unwrap() == step {
                return;
            }
        }
        panic!("the connection is gone");
    };
    tokio::time::timeout(PATIENCE, seen).await.expect("the step does not come");
}
