//! Consumer groups as the broker knows them: which protocol they speak, and who is in them.
//!
//! librdkafka does not tell a group of the newer protocol from one of the older, nor its members, so the broker is
//! asked in its own tongue: Kafka's protocol guide has the layout of `ListGroups` and `ConsumerGroupDescribe`.

use std::sync::Mutex;

use flowtrail::{config::Config, kafka::client};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::spawn_blocking,
};

use crate::servers::{PATIENCE, until};

/// What members and broker speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// The older one, with the assignor `cooperative-sticky`.
    CooperativeSticky,
    /// The newer one of KIP-848.
    Consumer,
}

impl Protocol {
    /// Makes the members of a configuration speak it.
    pub fn set(self, config: &mut Config) {
        if self == Self::Consumer {
            config.kafka.librdkafka.insert("group.protocol".to_owned(), "consumer".into());
        }
    }
}

/// A settled group.
#[derive(Debug)]
pub struct Group {
    pub protocol: Protocol,
    /// Ids of the members.
    pub members: Vec<String>,
}

/// Waits until the group is settled and has so many members.
pub async fn until_members(config: &Config, count: usize) -> Group {
    let found = Mutex::new(None);
    until("the group has its members", async || match describe(config).await {
        Ok(group) if group.members.len() == count => {
            *found.lock().unwrap() = Some(group);
            Ok(())
        }
        other => Err(format!("{other:?}")),
    })
    .await;
    found.into_inner().unwrap().unwrap()
}

async fn describe(config: &Config) -> Result<Group, String> {
    match kind(config).await?.as_str() {
        "classic" => older(config).await,
        "consumer" => newer(config).await,
        other => panic!("the group is of the type {other}"),
    }
}

async fn older(config: &Config) -> Result<Group, String> {
    let config = config.clone();
    let ask = move || {
        let consumer: BaseConsumer = client::settings(&config.kafka, &[], &[]).create().unwrap();
        let list = consumer.fetch_group_list(Some(&config.kafka.group), PATIENCE).unwrap();
        let group = &list.groups()[0];
        if group.state() != "Stable" {
            return Err(group.state().to_owned());
        }
        assert_eq!(group.protocol(), "cooperative-sticky");
        let members = group.members().iter().map(|member| member.id().to_owned()).collect();
        Ok(Group { protocol: Protocol::CooperativeSticky, members })
    };
    spawn_blocking(ask).await.unwrap()
}

/// `ListGroups`, version 5: the type of the group.
async fn kind(config: &Config) -> Result<String, String> {
    // No filter by state, none by type.
    let mut answer = ask(config, (16, 5), &[1, 1, 0]).await;
    answer.skip(4);
    assert_eq!(answer.short(), 0, "an error of the broker");
    for _ in 0..answer.length() {
        let (id, _protocol_type, _state, kind) = (answer.text(), answer.text(), answer.text(), answer.text());
        answer.tags();
        if id.as_ref() == Some(&config.kafka.group) {
            return Ok(kind.unwrap());
        }
    }
    Err("no such group".to_owned())
}

/// `ConsumerGroupDescribe`, version 0.
async fn newer(config: &Config) -> Result<Group, String> {
    let id = config.kafka.group.as_bytes();
    let mut request = vec![2, u8::try_from(id.len() + 1).unwrap()];
    request.extend_from_slice(id);
    // No authorised operations.
    request.extend([0, 0]);
    let mut answer = ask(config, (69, 0), &request).await;
    answer.skip(4);
    assert_eq!(answer.length(), 1);
    let (error, _message, _id, state) = (answer.short(), answer.text(), answer.text(), answer.text());
    let state = state.unwrap();
    if (error, state.as_str()) != (0, "Stable") {
        return Err(format!("{state}, error {error}"));
    }
    // The epochs of the group and its assignment.
    answer.skip(8);
    let _assignor = answer.text();
    let members = (0..answer.length()).map(|_| answer.member()).collect();
    Ok(Group { protocol: Protocol::Consumer, members })
}

/// Asks the broker, and gives what comes after the header of its answer.
pub async fn ask(config: &Config, (api, version): (i16, i16), body: &[u8]) -> Answer {
    let mut request = Vec::new();
    request.extend(api.to_be_bytes());
    request.extend(version.to_be_bytes());
    // The number of the request, no name of the client, no tagged fields.
    request.extend([0, 0, 0, 1, 255, 255, 0]);
    request.extend_from_slice(body);
    let mut stream = TcpStream::connect(&config.kafka.bootstrap_servers).await.unwrap();
    stream.write_i32(i32::try_from(request.len()).unwrap()).await.unwrap();
    stream.write_all(&request).await.unwrap();
    let mut bytes = vec![0; usize::try_from(stream.read_i32().await.unwrap()).unwrap()];
    stream.read_exact(&mut bytes).await.unwrap();
    let mut answer = Answer { bytes, at: 0 };
    answer.skip(4);
    answer.tags();
    answer
}

/// What is left to read of an answer.
pub struct Answer {
    bytes: Vec<u8>,
    at: usize,
}

impl Answer {
    fn take(&mut self, length: usize) -> &[u8] {
        self.at += length;
        &self.bytes[self.at - length..self.at]
    }

    pub fn skip(&mut self, length: usize) {
        self.take(length);
    }

    pub fn short(&mut self) -> i16 {
        i16::from_be_bytes(self.take(2).try_into().unwrap())
    }

    fn varint(&mut self) -> usize {
        let byte = usize::from(self.take(1)[0]);
        if byte < 128 { byte } else { byte - 128 + (self.varint() << 7) }
    }

    /// Of a list.
    pub fn length(&mut self) -> usize {
        self.varint() - 1
    }

    pub fn text(&mut self) -> Option<String> {
        let length = self.varint().checked_sub(1)?;
        Some(String::from_utf8(self.take(length).to_vec()).unwrap())
    }

    fn tags(&mut self) {
        for _ in 0..self.varint() {
            self.varint();
            let length = self.varint();
            self.skip(length);
        }
    }

    /// The id of a member.
    fn member(&mut self) -> String {
        let (id, _instance, _rack) = (self.text(), self.text(), self.text());
        // Its epoch.
        self.skip(4);
        let (_client, _host) = (self.text(), self.text());
        for _ in 0..self.length() {
            self.text();
        }
        let _regex = self.text();
        // What it has, and what it is to have.
        for _ in 0..2 {
            for _ in 0..self.length() {
                self.skip(16);
                self.text();
                let partitions = self.length();
                self.skip(4 * partitions);
                self.tags();
            }
            self.tags();
        }
        self.tags();
        id.unwrap()
    }
}
