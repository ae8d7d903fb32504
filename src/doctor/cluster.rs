//! Whether Kafka and the topics are fit: version, copies, cleanup, sizes, rights, the group.

use std::{collections::BTreeMap, time::Duration};

use super::{
    Finding, judged,
    unit::{bytes, count, span},
};
use crate::{
    config::Config,
    kafka::look::{Facts, Group, Right, Standing, Topic},
};

pub(super) const REACHABLE: &str = "kafka.reachable";
pub(super) const NOT_REACHED: &str = "start it or correct KAFKA_BOOTSTRAP_SERVERS and [kafka.librdkafka]; a running \
                                      collector waits for it and loses nothing";

/// By request and version, the first release whose brokers understand it; the newest first.
const RELEASES: [(i16, i16, &str, u32); 10] = [
    (2, 11, "4.2", 402),
    (1, 18, "4.1", 401),
    (3, 13, "4.0", 400),
    (1, 17, "3.9", 309),
    (10, 5, "3.8", 308),
    (1, 16, "3.7", 307),
    (1, 15, "3.5", 305),
    (1, 13, "3.1", 301),
    (10, 4, "3.0", 300),
    (3, 9, "2.4", 204),
];
/// Brokers from here on are what flowtrail is meant for.
const MEANT_FROM: u32 = 300;
/// The newer group protocol is there from here on.
const NEWER_PROTOCOL_FROM: u32 = 400;

/// Retention below which a night without Postgres loses history, and below which an hour does.
const RETENTION_WARN: Duration = Duration::from_hours(24);
const RETENTION_FAIL: Duration = Duration::from_hours(1);

pub(super) fn judge(facts: &Facts, config: &Config) -> Vec<Finding> {
    let brokers = i64::try_from(facts.brokers.len()).unwrap_or(i64::MAX);
    let said = format!("{}: {}", count(brokers, "broker"), facts.brokers.join(", "));
    let mut found = vec![Finding::ok(REACHABLE, said), version(&facts.protocol, facts.newer_protocol)];
    if facts.has_patterns && facts.topics.is_empty() {
        let why =
            "which topics fit the pattern only a member of the group learns, and the group has read none yet";
        found.push(Finding::skipped("kafka.topic", why));
    }
    for topic in &facts.topics {
        found.push(standing("kafka.topic", topic));
        if topic.standing == Standing::There {
            found.push(copies(topic, facts.brokers.len()));
            found.extend(of_settings(topic, facts, config));
        }
    }
    if let Some(letters) = &facts.letters {
        found.push(standing("kafka.dead_letter_topic", letters));
    }
    found.extend(facts.rights.iter().map(|(right, may)| of_right(right, may, config)));
    found.push(judged("kafka.group", &facts.group, |group| of_group(group, facts, config)));
    found
}

fn version(protocol: &BTreeMap<i16, i16>, newer_protocol: bool) -> Finding {
    const CHECK: &str = "kafka.version";
    if protocol.is_empty() {
        return Finding::skipped(CHECK, "the brokers did not say what they are able to do");
    }
    let speaks = |request: i16, version: i16| protocol.get(&request).is_some_and(|newest| *newest >= version);
    let known = RELEASES.iter().find(|(request, version, ..)| speaks(*request, *version));
    let (said, number) = known.map_or_else(
        || ("the brokers speak a protocol older than Kafka 2.4's".to_owned(), 0),
        |(.., name, number)| (format!("the brokers speak the protocol of Kafka {name}"), *number),
    );
    if newer_protocol && number < NEWER_PROTOCOL_FROM {
        let advice = "upgrade the brokers to 4.0, or take group.protocol out of [kafka.librdkafka]";
        Finding::fail(CHECK, format!("{said}, and group.protocol = \"consumer\" needs 4.0"), advice)
    } else if number < MEANT_FROM {
        Finding::warn(
            CHECK,
            said,
            "upgrade the brokers; flowtrail is tested with 4.1 and meant for 3.0 and newer",
        )
    } else {
        Finding::ok(CHECK, said)
    }
}

fn standing(check: &'static str, topic: &Topic) -> Finding {
    let name = &topic.name;
    let finding = match &topic.standing {
        Standing::There => {
            let partitions = i64::try_from(topic.partitions.len()).unwrap_or(i64::MAX);
            Finding::ok(check, format!("topic {name} has {}", count(partitions, "partition")))
        }
        Standing::Missing => Finding::fail(
            check,
            format!("there is no topic {name}"),
            "create it, or correct kafka.topics; collectors don't start without it",
        ),
        Standing::Forbidden => Finding::fail(
            check,
            format!("this user may not see topic {name}"),
            format!("allow it Describe and Read on topic {name}"),
        ),
        Standing::Broken(why) => {
            Finding::fail(check, format!("topic {name}: {why}"), "look at the brokers' logs")
        }
    };
    finding.of(name)
}

fn copies(topic: &Topic, brokers: usize) -> Finding {
    const CHECK: &str = "kafka.replication";
    let name = &topic.name;
    let numbers = |of: &dyn Fn(&crate::kafka::look::Partition) -> bool| {
        let numbers: Vec<String> =
            topic.partitions.iter().filter(|p| of(p)).map(|p| p.number.to_string()).collect();
        (!numbers.is_empty()).then(|| numbers.join(", "))
    };
    let wanted =
        topic.settings.as_ref().ok().and_then(|settings| settings.get("min.insync.replicas")?.parse().ok());
    let wanted: usize = wanted.unwrap_or(1);
    let least = topic.partitions.iter().map(|partition| partition.replicas).min().unwrap_or(0);
    let finding = if let Some(numbers) = numbers(&|partition| !partition.has_leader) {
        Finding::fail(
            CHECK,
            format!("{name}: partition {numbers} has no leader and can't be read or written"),
            "bring back the brokers that hold it",
        )
    } else if let Some(numbers) = numbers(&|partition| partition.in_sync < wanted) {
        Finding::fail(
            CHECK,
            format!(
                "{name}: partition {numbers} has fewer copies in sync than min.insync.replicas = {wanted}: producers are refused"
            ),
            "bring back the brokers that hold the others",
        )
    } else if let Some(numbers) = numbers(&|partition| partition.in_sync < partition.replicas) {
        Finding::warn(
            CHECK,
            format!("{name}: partition {numbers} has copies that are not in sync"),
            "look for a broker that is down or slow",
        )
    } else if least == 1 && brokers > 1 {
        Finding::warn(
            CHECK,
            format!("{name} has one copy of some partitions: a lost disk loses what is not stored yet"),
            "raise the replication factor with kafka-reassign-partitions.sh",
        )
    } else {
        let copies = i64::try_from(least).unwrap_or(i64::MAX);
        let copies = if copies == 1 { "1 copy".to_owned() } else { format!("{copies} copies") };
        Finding::ok(CHECK, format!("{name}: {copies} of every partition, all in sync"))
    };
    finding.of(name)
}

fn of_settings(topic: &Topic, facts: &Facts, config: &Config) -> Vec<Finding> {
    let name = topic.name.as_str();
    let findings = match &topic.settings {
        Ok(settings) => {
            vec![
                cleanup(name, settings),
                retention(name, settings),
                message_size(name, settings, facts, config),
            ]
        }
        Err(why) => ["kafka.cleanup", "kafka.retention", "kafka.message_size"]
            .map(|check| {
                let allow = format!("allow this user DescribeConfigs on topic {name} to have it looked at");
                Finding::skipped(check, format!("the settings of {name} can't be read: {why}; {allow}"))
            })
            .to_vec(),
    };
    findings.into_iter().map(|finding| finding.of(name)).collect()
}

fn alter(topic: &str, setting: &str) -> String {
    format!("kafka-configs.sh --alter --entity-type topics --entity-name {topic} --add-config {setting}")
}

fn cleanup(topic: &str, settings: &BTreeMap<String, String>) -> Finding {
    const CHECK: &str = "kafka.cleanup";
    let Some(policy) = settings.get("cleanup.policy") else {
        return Finding::skipped(CHECK, format!("{topic} tells no cleanup.policy"));
    };
    if policy.split(',').any(|word| word.trim() == "compact") {
        return Finding::fail(
            CHECK,
            format!(
                "{topic}: cleanup.policy = {policy}: of each flow Kafka keeps the last event only, and what was not \
                     stored by then is lost without a gap to be seen"
            ),
            alter(topic, "cleanup.policy=delete"),
        );
    }
    Finding::ok(CHECK, format!("{topic}: cleanup.policy = {policy}"))
}

/// How long Kafka keeps a record by time; none is for ever. And whether it keeps all by size.
pub(super) fn kept(settings: &BTreeMap<String, String>) -> (Option<Duration>, bool) {
    let number = |name: &str| settings.get(name).and_then(|value| value.parse::<i64>().ok()).unwrap_or(-1);
    let time = u64::try_from(number("retention.ms")).ok().map(Duration::from_millis);
    (time, number("retention.bytes") < 0)
}

fn retention(topic: &str, settings: &BTreeMap<String, String>) -> Finding {
    const CHECK: &str = "kafka.retention";
    let (time, any_size) = kept(settings);
    let by_size = settings.get("retention.bytes").filter(|_| !any_size).and_then(|bytes| bytes.parse().ok());
    let by_size =
        by_size.map_or_else(String::new, |size| format!(", and no more than {} of a partition", bytes(size)));
    let Some(time) = time else {
        return Finding::ok(CHECK, format!("{topic} keeps records for ever{by_size}"));
    };
    let said = format!("{topic} keeps records for {}{by_size}", span(time));
    let advice = alter(topic, "retention.ms=604800000");
    if time < RETENTION_FAIL {
        Finding::fail(CHECK, format!("{said}: an outage that is longer loses history"), advice)
    } else if time < RETENTION_WARN {
        Finding::warn(CHECK, format!("{said}: a night without Postgres loses history"), advice)
    } else {
        Finding::ok(CHECK, said)
    }
}

fn message_size(topic: &str, settings: &BTreeMap<String, String>, facts: &Facts, config: &Config) -> Finding {
    const CHECK: &str = "kafka.message_size";
    let Some(most) = settings.get("max.message.bytes").and_then(|value| value.parse::<u64>().ok()) else {
        return Finding::skipped(CHECK, format!("{topic} tells no max.message.bytes"));
    };
    let field = u64::try_from(config.collector.max_payload_bytes).unwrap_or(u64::MAX);
    let said = format!("{topic} takes messages of up to {}", bytes(most));
    if let Some(receives) = facts.receive_max_bytes.filter(|receives| *receives < most) {
        let advice = format!("raise receive.message.max.bytes under [kafka.librdkafka] above {most}");
        let less = bytes(receives);
        return Finding::fail(
            CHECK,
            format!("{said} and a collector reads {less} at most: it would stop at one"),
            advice,
        );
    }
    if most < field {
        let advice = alter(topic, &format!("max.message.bytes={}", field.saturating_add(1 << 20)));
        let field = bytes(field);
        let said = format!(
            "{said}, though collector.max_payload_bytes would take {field}: Kafka refuses the runtime's larger ones"
        );
        return Finding::warn(CHECK, said, advice);
    }
    Finding::ok(CHECK, said)
}

fn of_right(right: &Right, may: &Result<bool, String>, config: &Config) -> Finding {
    const CHECK: &str = "kafka.rights";
    let (group, letters) = (&config.kafka.group, &config.collector.dead_letter_topic);
    let (what, operation, kind, name) = match right {
        Right::ReadTopic(topic) => (format!("read topic {topic}"), "Read", "topic", topic),
        Right::DescribeGroup => (format!("look at group {group}"), "Describe", "group", group),
        Right::ReadGroup => (format!("join group {group} and commit its offsets"), "Read", "group", group),
        Right::WriteLetters => (format!("put dead letters on topic {letters}"), "Write", "topic", letters),
    };
    let finding = match may {
        Ok(true) => Finding::ok(CHECK, format!("this user may {what}")),
        Ok(false) => Finding::fail(
            CHECK,
            format!("this user may not {what}"),
            format!(
                "kafka-acls.sh --add --allow-principal User:NAME --operation {operation} --{kind} {name}"
            ),
        ),
        Err(why) => Finding::skipped(CHECK, format!("whether this user may {what} can't be told: {why}")),
    };
    finding.of(format!("{operation} on {kind} {name}"))
}

fn of_group(group: &Group, facts: &Facts, config: &Config) -> Finding {
    const CHECK: &str = "kafka.group";
    let name = &config.kafka.group;
    let finding = if facts.newer_protocol {
        Finding::skipped(
            CHECK,
            format!("group {name} speaks the newer protocol, whose members can't be listed here"),
        )
    } else if group.members.is_empty() {
        Finding::warn(CHECK, format!("no collector is in group {name}"), "start one: flowtrail collect")
    } else if group.state != "Stable" {
        let said = format!("group {name} is in state {}", group.state);
        Finding::warn(
            CHECK,
            said,
            "look again in a moment; if it lasts, see the collectors' logs for what they wait for",
        )
    } else {
        owners(group, facts, name)
    };
    finding.of(name)
}

/// Whether every partition has a member that reads it.
fn owners(group: &Group, facts: &Facts, name: &str) -> Finding {
    const CHECK: &str = "kafka.group";
    let members = count(i64::try_from(group.members.len()).unwrap_or(i64::MAX), "member");
    let Some(owned) =
        group.members.iter().map(|member| member.partitions.as_ref()).collect::<Option<Vec<_>>>()
    else {
        return Finding::ok(
            CHECK,
            format!("group {name} has {members}; what each of them reads can't be told"),
        );
    };
    let is_owned = |topic: &str, number: i32| {
        owned.iter().any(|one| one.iter().any(|(t, n)| t == topic && *n == number))
    };
    let all = facts
        .topics
        .iter()
        .flat_map(|topic| topic.partitions.iter().map(|p| (topic.name.as_str(), p.number)));
    let (mut total, mut free) = (0_i64, Vec::new());
    for (topic, number) in all {
        total += 1;
        if !is_owned(topic, number) {
            free.push(format!("{topic}/{number}"));
        }
    }
    if !free.is_empty() {
        let said = format!("nobody in group {name} reads {}", free.join(", "));
        let advice = "see whether all collectors read the same kafka.topics, and what their logs say of those partitions";
        return Finding::fail(CHECK, said, advice);
    }
    let idle = owned.iter().filter(|partitions| partitions.is_empty()).count();
    let idle =
        if idle == 0 { String::new() } else { format!(", {idle} of them without a partition to read") };
    Finding::ok(CHECK, format!("{} read by {members} of group {name}{idle}", count(total, "partition")))
}

#[cfg(test)]
mod tests;
