//! `flowtrail serve`, wired together: requests → Kafka, and what is stored → answers.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use axum::Router;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    clock,
    config::{Config, SchemaMode},
    gateway::{
        Gateway, Recorder,
        apps::Apps,
        drain,
        routes::Limits,
        spool::{OpenError, Spool},
    },
    http::{Condition, Health},
    kafka::{admin::Admin, client, confirmed::ConfirmedProducer},
    postgres::{
        Pool,
        connect::{self, PostgresError},
    },
    redaction::{RuleError, Rules},
    schema::{self, SchemaError},
};

/// How often Kafka is asked whether it is there.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// How long Kafka may take to say so.
const KAFKA_LIMIT: Duration = Duration::from_secs(3);

/// Name of its sessions with Postgres.
const APPLICATION: &str = "flowtrail-serve";

/// Why it does not start.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The tables are not as wanted.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// What is configured for Postgres is no address.
    #[error(transparent)]
    Postgres(#[from] PostgresError),
    /// The Kafka client can't be made.
    #[error(transparent)]
    Kafka(#[from] client::Error),
    /// What is to be masked can't be told.
    #[error(transparent)]
    Redaction(#[from] RuleError),
    /// The spool can't be used.
    #[error(transparent)]
    Spool(#[from] OpenError),
}

/// What answers requests, and what has to run beside it.
#[derive(Debug)]
pub struct Server {
    gateway: Arc<Gateway>,
    admin: Admin,
    health: Arc<Health>,
    spool_dir: Option<PathBuf>,
}

impl Server {
    /// Opens the spool and looks at the tables, if Postgres answers. Neither Kafka nor Postgres has to be there: an
    /// app's history is taken all the same.
    pub async fn open(config: &Config) -> Result<Self, ServerError> {
        look_at_tables(config).await?;
        let wanted = &config.gateway;
        let deadline = Duration::from_millis(wanted.deadline_ms);
        let spool_dir = (!wanted.spool_dir.is_empty()).then(|| PathBuf::from(&wanted.spool_dir));
        let spool = spool_dir.as_deref().map(|folder| open_spool(folder, wanted.spool_bytes)).transpose()?;
        let producer = ConfirmedProducer::new(&config.kafka, &wanted.topic, deadline)?;
        // What Kafka has not confirmed by then has to get to the disk within the same deadline.
        let recorder = Recorder::new(producer, spool, deadline / 2);
        let gateway = Arc::new(Gateway {
            recorder,
            pool: Pool::new(&config.postgres, APPLICATION, wanted.sessions),
            apps: Apps::new(wanted.enforce_appstate),
            limits: Limits { deadline, body_bytes: wanted.max_body_bytes },
            rules: Rules::compile(&config.redaction)?,
        });
        let health = Arc::new(Health::new(&[Condition::Kafka], Duration::from_mins(1), clock::monotonic()));
        Ok(Self { gateway, admin: Admin::new(&config.kafka)?, health, spool_dir })
    }

    /// The requests that it answers.
    pub fn router(&self) -> Router {
        crate::gateway::router(self.gateway.clone())
    }

    /// Ready while events can be kept. Reads need Postgres as well, and say so themselves.
    pub fn health(&self) -> &Arc<Health> {
        &self.health
    }

    /// Runs beside the requests until `stop`, under `tasks`.
    pub fn start(self, stop: &CancellationToken, tasks: &TaskTracker) {
        let Self { gateway, admin, health, spool_dir } = self;
        let (apps, until) = (gateway.clone(), stop.clone());
        tasks.spawn(Box::pin(async move { apps.apps.follow(&apps.pool, until).await }));
        let (drained, until) = (gateway.clone(), stop.clone());
        tasks.spawn(Box::pin(async move {
            if let (Some(spool), Some(folder)) = (drained.recorder.spool(), spool_dir) {
                drain::drain(&drained.recorder, spool, &folder, until).await;
            }
        }));
        let until = stop.clone();
        tasks.spawn(async move { look_at_kafka(&gateway, &admin, &health, until).await });
    }
}

fn open_spool(folder: &Path, limit: u64) -> Result<Spool, OpenError> {
    let (spool, found) = Spool::open(folder, limit)?;
    let folder = folder.display();
    if found.bytes > 0 {
        tracing::info!(event = "spool_found", %folder, bytes = found.bytes, "events of an earlier process wait in the spool");
    }
    if found.torn > 0 {
        tracing::info!(
            event = "spool_torn",
            %folder,
            bytes = found.torn,
            "a write that a crash cut off was removed; nobody was told that it was kept"
        );
    }
    if found.damaged > 0 {
        tracing::error!(
            event = "spool_damaged",
            %folder,
            segments = found.damaged,
            "events in the spool can't be read; the files are kept beside it as *.damaged"
        );
    }
    Ok(spool)
}

/// Refuses tables that are not as wanted. Postgres may be away: then nobody knows, and reads will say so.
async fn look_at_tables(config: &Config) -> Result<(), ServerError> {
    config.postgres.target().map_err(PostgresError::from)?;
    let client = match connect::connect(&config.postgres, APPLICATION).await {
        Ok(client) => client,
        Err(why) => {
            let why = why.to_string();
            tracing::warn!(
                event = "tables_not_looked_at",
                why,
                "Postgres can't be asked; events are taken all the same"
            );
            return Ok(());
        }
    };
    // Changing tables is a collector's business.
    if config.schema.mode != SchemaMode::None {
        schema::validate(&client).await?;
    }
    Ok(())
}

async fn look_at_kafka(gateway: &Gateway, admin: &Admin, health: &Health, stop: CancellationToken) {
    let looking = async {
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        loop {
            ticks.tick().await;
            if gateway.recorder.has_room() {
                health.met(Condition::Kafka);
            }
            let topic = gateway.recorder.topic();
            let trouble = match admin.topic(topic, KAFKA_LIMIT).await {
                Ok(Some(_)) => None,
                Ok(None) => {
                    Some(format!("topic {topic} does not exist; create it, or name another as gateway.topic"))
                }
                Err(error) => Some(error.to_string()),
            };
            match trouble {
                Some(why) if !gateway.recorder.has_room() => health.unmet(Condition::Kafka, why),
                _ => health.met(Condition::Kafka),
            }
        }
    };
    let _ = stop.run_until_cancelled(looking).await;
}
