//! When all of a topic is in the tables: once the last events of each partition are.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use flowtrail::proto::v1::{HistoryEvent, Phase, history_event::Event};
use prost::Message as _;
use rdkafka::{
    ClientConfig, Message as _, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
};
use tokio_postgres::{Client, Statement, types::ToSql};

/// How long Kafka may be silent.
const SILENCE: Duration = Duration::from_secs(30);
/// Among so many events of a partition is each kind, unless there is none at all.
const TAIL: i64 = 1_000;

/// How many of the last events are in the tables. The input comes with the opening event alone, the end with the closing.
const LOOK: &str = "
SELECT (SELECT count(*) FROM unnest($1::text[], $2::text[]) AS m (flow, step)
        JOIN steps s ON s.flowinstanceid = m.flow AND s.stepid = m.step WHERE s.input IS NOT NULL)
    + (SELECT count(*) FROM unnest($3::text[], $4::text[]) AS m (flow, step)
        JOIN steps s ON s.flowinstanceid = m.flow AND s.stepid = m.step WHERE s.endtime IS NOT NULL)
    + (SELECT count(*) FROM unnest($5::text[]) AS m (flow)
        JOIN flowstate f ON f.flowinstanceid = m.flow WHERE f.flowinput IS NOT NULL)
    + (SELECT count(*) FROM unnest($6::text[]) AS m (flow)
        JOIN flowstate f ON f.flowinstanceid = m.flow WHERE f.endtime IS NOT NULL)";

/// The tables are empty when the statement is planned, and must not be read as a whole later.
const BY_INDEX: &str =
    "SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off; SET jit = off";

/// Keys of the last events of each kind, one of each partition.
#[derive(Debug, Default)]
pub(super) struct Marks {
    /// Flows, and steps.
    opened_steps: [Vec<String>; 2],
    closed_steps: [Vec<String>; 2],
    opened_flows: Vec<String>,
    closed_flows: Vec<String>,
}

/// Looks how many of them are stored.
pub(super) struct Look<'a> {
    marks: &'a Marks,
    client: &'a Client,
    statement: Statement,
}

impl Look<'_> {
    pub(super) async fn seen(&self) -> anyhow::Result<usize> {
        let Marks { opened_steps, closed_steps, opened_flows, closed_flows } = self.marks;
        let ([opened_in, opened], [closed_in, closed]) = (opened_steps, closed_steps);
        let keys: [&(dyn ToSql + Sync); 6] =
            [opened_in, opened, closed_in, closed, opened_flows, closed_flows];
        let seen: i64 = self.client.query_one(&self.statement, &keys).await?.get(0);
        Ok(usize::try_from(seen)?)
    }
}

impl Marks {
    /// How many there are.
    pub(super) fn count(&self) -> usize {
        let [opened, _] = &self.opened_steps;
        let [closed, _] = &self.closed_steps;
        opened.len() + closed.len() + self.opened_flows.len() + self.closed_flows.len()
    }

    /// Makes a session ready to look for them.
    pub(super) async fn prepare<'a>(&'a self, client: &'a Client) -> anyhow::Result<Look<'a>> {
        client.batch_execute(BY_INDEX).await?;
        Ok(Look { marks: self, client, statement: client.prepare(LOOK).await? })
    }

    /// Reads the end of each partition.
    pub(super) fn of_topic(bootstrap_servers: &str, topic: &str) -> anyhow::Result<Self> {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", bootstrap_servers)
            .set("group.id", "bench-marks")
            .set("enable.auto.commit", "false")
            .create()?;
        let metadata = consumer.fetch_metadata(Some(topic), SILENCE)?;
        let metadata = metadata.topics().first().context("no such topic")?;
        let mut marks = Self::default();
        for partition in metadata.partitions() {
            let (first, end) = consumer.fetch_watermarks(topic, partition.id(), SILENCE)?;
            let mut tail = TopicPartitionList::new();
            let begin = first.max(end - TAIL);
            tail.add_partition_offset(topic, partition.id(), Offset::Offset(begin))?;
            consumer.assign(&tail)?;
            let mut last = Last::default();
            let mut next = begin;
            while next < end {
                let record = consumer.poll(SILENCE).context("Kafka is silent")??;
                let event = HistoryEvent::decode(record.payload().unwrap_or_default())?;
                last.note(event);
                next = record.offset() + 1;
            }
            marks.add(last);
        }
        ensure!(marks.count() > 0, "there is nothing on {topic}");
        Ok(marks)
    }

    fn add(&mut self, last: Last) {
        for (to, key) in
            [(&mut self.opened_steps, last.opened_step), (&mut self.closed_steps, last.closed_step)]
        {
            let [flows, steps] = to;
            if let Some((flow, step)) = key {
                flows.push(flow);
                steps.push(step);
            }
        }
        self.opened_flows.extend(last.opened_flow);
        self.closed_flows.extend(last.closed_flow);
    }
}

/// The last events of a partition.
#[derive(Default)]
struct Last {
    opened_step: Option<(String, String)>,
    closed_step: Option<(String, String)>,
    opened_flow: Option<String>,
    closed_flow: Option<String>,
}

impl Last {
    fn note(&mut self, event: HistoryEvent) {
        match event.event {
            Some(Event::Step(step)) => {
                let key = Some((step.flow_instance_id, step.step_id));
                let closed = step.phase == i32::from(Phase::Closed);
                *(if closed { &mut self.closed_step } else { &mut self.opened_step }) = key;
            }
            Some(Event::Flow(flow)) => {
                let closed = flow.phase == i32::from(Phase::Closed);
                *(if closed { &mut self.closed_flow } else { &mut self.opened_flow }) =
                    Some(flow.flow_instance_id);
            }
            _ => {}
        }
    }
}
