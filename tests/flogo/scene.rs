//! One test's app, gateway, collector, topic and database.

use std::collections::BTreeMap;

use flowtrail::config::Config;
use serde_json::{Value, json};
use tokio::task::spawn_blocking;
use tokio_postgres::Client;

use crate::{
    app::{App, Posting, Recording},
    asking,
    beside::Beside,
    collecting,
    expected::Flow,
    http::Answer,
    program::configured,
    servers::{self, until},
    stored::{self, Instance},
    toolchain,
};

/// Everything between an app and its rows, running.
pub struct Scene {
    pub config: Config,
    pub client: Client,
    pub app: App,
    /// Address of the gateway.
    pub gateway: String,
    recording: Recording,
    collector: Beside,
    serving: Beside,
    _spool: tempfile::TempDir,
    /// What must be stored of each instance; nothing else may be.
    stored: BTreeMap<String, Instance>,
}

impl Scene {
    /// Starts everything; none if there is no app, because there is no Go.
    pub async fn set(recording: Recording, posting: Posting) -> Option<Self> {
        let program = spawn_blocking(toolchain::app).await.unwrap()?;
        // More than one partition, so that order holds within a flow only.
        let config = servers::config(3).await;
        let client = servers::connect_to(&config).await;
        let mut collect = configured(&config, ["collect", "--http", "127.0.0.1:0"]);
        let (collector, _) = Beside::start("the collector", &mut collect, "address=").await;
        let topic = &config.kafka.topics[0];
        let mut serve = configured(&config, ["serve", "--listen", "127.0.0.1:0", "--topic", topic]);
        // As for a real app, whose client loses what is not taken: on a busy machine Kafka may be slow.
        let spool = tempfile::tempdir().unwrap();
        serve.arg("--spool-dir").arg(spool.path());
        let (serving, line) = Beside::start("the gateway", &mut serve, "address=").await;
        let gateway = line.split_once("address=").unwrap().1.split_whitespace().next().unwrap().to_owned();
        let app = App::start(program, &gateway, recording, posting).await;
        let stored = BTreeMap::new();
        Some(Self { config, client, app, gateway, recording, collector, serving, stored, _spool: spool })
    }

    /// Runs a flow and waits until it is stored as expected. Gives the id of the instance.
    pub async fn run(&mut self, flow: &Flow) -> String {
        if let Some((gate, refusals)) = flow.gate {
            self.app.close_gate(gate, refusals).await;
        }
        let answer = self.app.run(flow.name, &serde_json::from_str(flow.input).unwrap()).await;
        assert_answer(&answer, flow.answer);
        self.arrives(flow).await
    }

    /// Waits until an instance that was not known is stored as expected. Gives its id.
    pub async fn arrives(&mut self, flow: &Flow) -> String {
        until(&format!("one new instance of {}", flow.name), async || {
            let new = self.unknown(flow.name).await;
            if new.len() == 1 {
                return Ok(());
            }
            Err(format!("new are {new:?}; refused was {}", self.app.refusals().await))
        })
        .await;
        let id = self.unknown(flow.name).await.remove(0);
        let once = Instance::once(flow, &self.app.name, self.recording.has_steps());
        self.holds(&id, once).await;
        id
    }

    /// The ids of a flow's instances that no test has looked at yet.
    async fn unknown(&self, flow: &str) -> Vec<String> {
        let mut ids = stored::ids(&self.client, flow).await;
        ids.retain(|id| !self.stored.contains_key(id));
        ids
    }

    /// Waits until this and nothing else is stored of an instance.
    pub async fn holds(&mut self, id: &str, wanted: Instance) {
        until(&format!("what must be stored of {id}"), async || {
            let found = stored::instance(&self.client, id).await;
            if found.as_ref() == Some(&wanted) {
                Ok(())
            } else {
                Err(format!("{found:#?}\nis not\n{wanted:#?}"))
            }
        })
        .await;
        self.stored.insert(id.to_owned(), wanted);
    }

    /// Reads what is at a path of the gateway.
    pub async fn read(&self, path: &str) -> Value {
        let answer = asking::get(&self.gateway, path).await;
        assert_eq!(answer.status, 200, "GET {path}: {answer:?}");
        answer.json()
    }

    /// Lets everything come to an end and looks at all of it once more: what came late must not have changed anything, and
    /// there must be no rows but those that were expected.
    pub async fn end(self) {
        assert_eq!(self.app.refusals().await, json!([]));
        self.app.end().await;
        self.serving.end().await;
        collecting::until_stored(&self.config).await;
        for (id, wanted) in &self.stored {
            assert_eq!(stored::instance(&self.client, id).await.as_ref(), Some(wanted), "{id}");
        }
        let instances = i64::try_from(self.stored.len()).unwrap();
        for (table, rows) in
            [("flowstate", instances), ("ft_dead_letter", 0), ("ft_gap", 0), ("ft_tombstone", 0)]
        {
            assert_eq!(stored::count(&self.client, table).await, rows, "{table}");
        }
        self.collector.end().await;
    }
}

/// Compares as JSON where that is what is expected.
fn assert_answer(answer: &Answer, (status, body): (u16, &str)) {
    assert_eq!(answer.status, status, "{answer:?}");
    match serde_json::from_str::<Value>(body) {
        Ok(wanted) => assert_eq!(answer.json(), wanted),
        Err(_) => assert_eq!(answer.body.trim_end(), body),
    }
}
