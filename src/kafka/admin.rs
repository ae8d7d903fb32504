//! Topics: look at them, create them.

use std::{sync::Arc, time::Duration};

use rdkafka::{
    admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication},
    error::RDKafkaErrorCode,
    producer::{BaseProducer, Producer as _},
};
use tokio::{
    task::{JoinError, spawn_blocking},
    time,
};

use super::{
    client::{self, Context, Error},
    producer::MAX_MESSAGE_BYTES,
};
use crate::{clock, config};

/// How often a topic that was just created is looked for.
const CREATED_TOPIC_POLL: Duration = Duration::from_millis(50);

/// How long a client that got no answer is asked why: a poll of no length would see one event only.
const ERRORS_POLL: Duration = Duration::from_millis(50);

/// How long the brokers may take to tell a topic's settings.
const DESCRIBE: Duration = Duration::from_secs(10);

/// A topic as the brokers describe it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Topic {
    /// How many partitions it has.
    pub partitions: i32,
    /// Whether it was created by the call that returned this.
    pub created: bool,
}

/// A client that describes and creates topics.
pub struct Admin {
    /// Asks for metadata: unlike an `AdminClient` it lets its errors be read, see [`Self::topic`].
    asking: Arc<BaseProducer<Context>>,
    changing: AdminClient<Context>,
    by_token: bool,
    context: Context,
}

impl std::fmt::Debug for Admin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Admin").field("context", &self.context).finish_non_exhaustive()
    }
}

impl Admin {
    /// Makes the client. It connects when it is first asked something.
    pub fn new(kafka: &config::Kafka) -> Result<Self, Error> {
        let context = Context::new(kafka);
        let settings = client::settings(kafka, &[], &[]);
        Ok(Self {
            asking: Arc::new(settings.create_with_context(context.clone()).map_err(Error::creating)?),
            by_token: client::logs_in_by_token(&settings),
            changing: settings.create_with_context(context.clone()).map_err(Error::creating)?,
            context,
        })
    }

    /// The topic of this name, or nothing where there is none. Never creates it, whatever the broker is set to.
    pub async fn topic(&self, name: &str, timeout: Duration) -> Result<Option<Topic>, Error> {
        let (asking, context, name) = (Arc::clone(&self.asking), self.context.clone(), name.to_owned());
        let answer = spawn_blocking(move || {
            // What logs in by tokens asks for a new one here.
            asking.poll(Duration::ZERO);
            // Asking for one topic by name would let the broker create it, so all are asked for.
            let metadata = asking.client().fetch_metadata(None, timeout).map_err(|error| {
                // Its errors wait to be read.
                asking.poll(ERRORS_POLL);
                Error::asking("ask Kafka for its topics", &error, &context)
            })?;
            let topic =
                metadata.topics().iter().find(|topic| topic.name() == name && topic.error().is_none());
            Ok(topic.filter(|topic| topic.partitions().iter().all(|p| p.leader() >= 0)).map(|topic| Topic {
                partitions: i32::try_from(topic.partitions().len()).unwrap_or(i32::MAX),
                created: false,
            }))
        });
        let ended =
            |error: JoinError| Error::Other { doing: "ask Kafka for its topics", reason: error.to_string() };
        answer.await.map_err(ended)?
    }

    /// Whether Kafka keeps every record of a topic until its time is over, and compacts none away.
    pub async fn keeps_every_record(&self, topic: &str) -> Result<bool, Error> {
        const DOING: &str = "read a topic's settings";
        if self.by_token {
            return Ok(false);
        }
        let options = AdminOptions::new().request_timeout(Some(DESCRIBE));
        let answer = self.changing.describe_configs(&[ResourceSpecifier::Topic(topic)], &options).await;
        let answer = answer.map_err(|error| Error::asking(DOING, &error, &self.context))?;
        let policy = answer.into_iter().flatten().find_map(|found| {
            let policy = found.entries.into_iter().find(|entry| entry.name == "cleanup.policy");
            policy.and_then(|entry| entry.value)
        });
        // Who may not see it can't say so.
        Ok(policy.is_some_and(|policy| !policy.contains("compact")))
    }

    /// The topic of this name, which is created with `partitions` partitions and `configs` where it is missing; an
    /// existing one is left as it is. Replication is the broker's default. Returns once every partition has a leader.
    pub async fn ensure_topic(
        &self,
        name: &str,
        partitions: i32,
        configs: &[(&str, &str)],
        timeout: Duration,
    ) -> Result<Topic, Error> {
        if let Some(topic) = self.topic(name, timeout).await? {
            return Ok(topic);
        }
        if self.by_token {
            return Err(Error::Create { topic: name.to_owned(), reason: client::NO_ADMIN.to_owned() });
        }
        let max_message_bytes = MAX_MESSAGE_BYTES.to_string();
        let mut topic = NewTopic::new(name, partitions, TopicReplication::Fixed(-1))
            .set("max.message.bytes", &max_message_bytes);
        topic.config.extend_from_slice(configs);
        let options = AdminOptions::new().operation_timeout(Some(timeout)).request_timeout(Some(timeout));
        let results = self.changing.create_topics([&topic], &options).await;
        let results = results.map_err(|error| Error::asking("create a topic", &error, &self.context))?;
        for (topic, reason) in results.into_iter().filter_map(Result::err) {
            // Someone else was faster.
            if reason != RDKafkaErrorCode::TopicAlreadyExists {
                return Err(Error::Create { topic, reason: client::words(reason) });
            }
        }
        self.wait_for(name, timeout).await
    }

    async fn wait_for(&self, name: &str, timeout: Duration) -> Result<Topic, Error> {
        let deadline = clock::monotonic() + timeout;
        loop {
            if let Some(topic) = self.topic(name, timeout).await? {
                return Ok(Topic { created: true, ..topic });
            }
            if clock::monotonic() >= deadline {
                return Err(self.context.unreachable("a topic that was created does not show"));
            }
            time::sleep(CREATED_TOPIC_POLL).await;
        }
    }
}
