//! Rights on a Kafka that asks for them.

use std::path::Path;

use flowtrail::{
    config::Config,
    dev::{self, Stack, StackOptions},
    doctor::Verdict,
    kafka::admin::Admin,
};
use tokio::task::spawn_blocking;

use super::{assert_says, examine, of};
use crate::{
    groups, servers,
    servers::PATIENCE,
    topics::{self, Raw, put},
};

/// Kinds of things and what may be done with them, by Kafka's numbers.
const TOPIC: u8 = 2;
const GROUP: u8 = 3;
const READ: u8 = 3;
const WRITE: u8 = 4;
const DESCRIBE: u8 = 8;
const DESCRIBE_CONFIGS: u8 = 10;

/// Who a client is that does not say.
const ANYBODY: &str = "User:ANONYMOUS";
const SOMEBODY_ELSE: &str = "User:else";

/// A Kafka that knows rights. Where nothing is said of a thing, everybody may do everything with it; its own controller,
/// which has to know it for somebody else, has a name and a password.
async fn start(config: &Config) -> Stack {
    let plain = "org.apache.kafka.common.security.plain.PlainLoginModule required \
                 username=\"controller\" password=\"x\" user_controller=\"x\";";
    let mut options = StackOptions::new(Path::new(env!("CARGO_TARGET_TMPDIR")).join("doctor-rights"));
    options.postgres.clone_from(&config.postgres.url);
    options.kafka_settings = [
        ("authorizer.class.name", "org.apache.kafka.metadata.authorizer.StandardAuthorizer"),
        ("allow.everyone.if.no.acl.found", "true"),
        // A question must not make a topic.
        ("auto.create.topics.enable", "true"),
        ("super.users", "User:controller"),
        ("listener.security.protocol.map", "CLIENT:PLAINTEXT,CONTROLLER:SASL_PLAINTEXT"),
        ("sasl.mechanism.controller.protocol", "PLAIN"),
        ("listener.name.controller.sasl.enabled.mechanisms", "PLAIN"),
        ("listener.name.controller.plain.sasl.jaas.config", plain),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    let start = move || {
        dev::reset(&options.data_dir).unwrap();
        Stack::start(&options).unwrap_or_else(|error| panic!("{error}"))
    };
    spawn_blocking(start).await.unwrap()
}

/// Lets somebody do something (`CreateAcls`, version 3).
async fn allow(config: &Config, who: &str, what: u8, (kind, name): (u8, &str)) {
    let text = |text: &str| [&[u8::try_from(text.len() + 1).unwrap()], text.as_bytes()].concat();
    // One of them; a name as it is written; from everywhere; allowed.
    let request = [&[2, kind][..], &text(name), &[3], &text(who), &text("*"), &[what, 3, 0, 0]].concat();
    let mut answer = groups::ask(config, (30, 3), &request).await;
    answer.skip(4);
    assert_eq!(answer.length(), 1);
    let (error, message) = (answer.short(), answer.text());
    assert_eq!(error, 0, "{message:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_right_that_is_missing_on_kafka_is_named_and_none_is_when_all_are_there() {
    let mut config = servers::config(1).await;
    let stack = start(&config).await;
    config.kafka.bootstrap_servers = stack.bootstrap_servers().to_owned();
    config.kafka.topics = vec!["history".to_owned()];
    config.collector.dead_letter_topic = "letters".to_owned();
    let found = examine(&config).await;
    assert_says(&found, "kafka.topic", Verdict::Fail, &["no topic history"]);
    assert_says(&found, "kafka.dead_letter_topic", Verdict::Fail, &["no topic letters"]);
    let admin = Admin::new(&config.kafka).unwrap();
    // What the question had made would have been made before this one.
    admin.ensure_topic("later", 1, &[], PATIENCE).await.unwrap();
    assert_eq!(admin.topic("history", PATIENCE).await.unwrap(), None);
    for topic in ["history", "letters"] {
        admin.ensure_topic(topic, 1, &[], PATIENCE).await.unwrap();
    }
    put(&config, &[Raw { key: Some(b"k".to_vec()), value: Some(b"v".to_vec()), ..Raw::default() }]).await;
    let found = examine(&config).await;
    assert!(of(&found, "kafka.rights").iter().all(|finding| finding.verdict == Verdict::Ok), "{found:#?}");
    assert_eq!(of(&found, "kafka.rights").len(), 4);
    let (topic, letters, group) =
        ((TOPIC, "history"), (TOPIC, "letters"), (GROUP, config.kafka.group.as_str()));

    // Now it is said who may: somebody else.
    allow(&config, SOMEBODY_ELSE, READ, topic).await;
    let found = examine(&config).await;
    assert_says(
        &found,
        "kafka.topic",
        Verdict::Fail,
        &["may not see topic history", "Describe and Read on topic"],
    );

    allow(&config, ANYBODY, DESCRIBE, topic).await;
    allow(&config, SOMEBODY_ELSE, READ, group).await;
    allow(&config, ANYBODY, DESCRIBE, letters).await;
    let found = examine(&config).await;
    assert_says(&found, "kafka.topic", Verdict::Ok, &["history"]);
    assert_says(
        &found,
        "kafka.rights",
        Verdict::Fail,
        &["may not read topic history", "--operation Read --topic history"],
    );
    let describe = format!("--operation Describe --group {}", group.1);
    let read = format!("--operation Read --group {}", group.1);
    assert_says(&found, "kafka.rights", Verdict::Fail, &["may not look at group", &describe]);
    assert_says(&found, "kafka.rights", Verdict::Fail, &["may not join group", &read]);
    assert_says(
        &found,
        "kafka.rights",
        Verdict::Fail,
        &["may not put dead letters", "--operation Write --topic letters"],
    );
    assert_says(&found, "kafka.cleanup", Verdict::Skipped, &["DescribeConfigs on topic history"]);
    assert_says(&found, "producers.partitioner", Verdict::Skipped, &["can't be read"]);

    allow(&config, ANYBODY, DESCRIBE, group).await;
    let found = examine(&config).await;
    let fails = of(&found, "kafka.rights").into_iter().filter(|finding| finding.verdict == Verdict::Fail);
    let read_group = format!("Read on group {}", group.1);
    let fails: Vec<&str> = fails.map(|finding| finding.subject.as_str()).collect();
    assert_eq!(fails, ["Read on topic history", read_group.as_str(), "Write on topic letters"]);

    for (what, of) in [(READ, topic), (DESCRIBE_CONFIGS, topic), (READ, group), (WRITE, letters)] {
        allow(&config, ANYBODY, what, of).await;
    }
    let found = examine(&config).await;
    assert!(of(&found, "kafka.rights").iter().all(|finding| finding.verdict == Verdict::Ok), "{found:#?}");
    assert_says(&found, "kafka.cleanup", Verdict::Ok, &[]);
    let mut letters = config.clone();
    letters.kafka.topics = vec!["letters".to_owned()];
    allow(&config, ANYBODY, READ, (TOPIC, "letters")).await;
    assert_eq!(topics::ends(&letters).await, [(0, 0)]);
    spawn_blocking(|| drop(stack)).await.unwrap();
}
