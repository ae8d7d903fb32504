//! `flowtrail serve`, wired together: requests → Kafka, and what is stored → answers.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use axum::Router;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    api::Api,
    clock,
    config::{Config, SchemaMode},
    gateway::{
        Gateway, Limits, Recorder,
        also::{self, Senders},
        apps::Apps,
        drain,
        quota::Quota,
        reads::{self, Reads},
        routes,
        spool::{OpenError, Spool},
        stream::{self, Steps},
    },
    http::{self, Access, Condition, Health, Role, access::AccessError},
    kafka::{admin::Admin, client, confirmed::ConfirmedProducer},
    pipeline::decode::foreign::Foreign,
    postgres::{
        Pool,
        connect::{self, PostgresError},
    },
    redaction::{RuleError, Rules},
    schema::{self, SchemaError},
    viewer,
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
    /// Who may ask can't be told.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// Everybody could do everything.
    #[error(
        "{0} can be reached from elsewhere, and nobody checks who asks: name a file of tokens (http.tokens_file) or an \
         identity provider (http.oidc_issuer), or set http.trust_username_header behind a proxy that checks, or listen on 127.0.0.1"
    )]
    Unguarded(String),
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
    access: Access,
    admin: Admin,
    health: Arc<Health>,
    spool_dir: Option<PathBuf>,
    steps: Steps,
    api: Api,
    senders: Option<Senders>,
    record: bool,
    stop: CancellationToken,
}

impl Server {
    /// Opens the spool and looks at the tables, if Postgres answers. Neither Kafka nor Postgres has to be there: an
    /// app's history is taken all the same. It goes on until `stop`.
    pub async fn open(config: &Config, stop: CancellationToken) -> Result<Self, ServerError> {
        let access = Access::new(&config.http)?;
        if access.is_open() && !http::is_local(&config.gateway.listen).await {
            return Err(ServerError::Unguarded(config.gateway.listen.clone()));
        }
        look_at_tables(config).await?;
        let wanted = &config.gateway;
        let deadline = Duration::from_millis(wanted.deadline_ms);
        let spool_dir = (!wanted.spool_dir.is_empty()).then(|| PathBuf::from(&wanted.spool_dir));
        let spool = spool_dir.as_deref().map(|folder| open_spool(folder, wanted.spool_bytes)).transpose()?;
        let producer = ConfirmedProducer::new(&config.kafka, &wanted.topic, deadline)?;
        // What Kafka has not confirmed by then has to get to the disk within the same deadline.
        let recorder = Recorder::new(producer, spool, deadline / 2);
        let (also, senders) = (!wanted.also.is_empty()).then(|| also::to(&wanted.also)).unzip();
        let gateway = Arc::new(Gateway {
            recorder,
            also,
            pool: Pool::new(&config.postgres, APPLICATION, wanted.sessions),
            apps: Apps::new(wanted.enforce_appstate),
            quota: Quota::new(wanted.quota_per_app),
            limits: Limits { deadline, body_bytes: wanted.max_body_bytes },
            rules: Rules::compile(&config.redaction)?,
        });
        let foreign = Foreign::of(&config.flowable);
        let steps = Steps::new(&config.kafka, &wanted.topic, gateway.rules.clone(), foreign, stop.clone());
        // Who only answers questions does without Kafka.
        let conditions: &[Condition] = if wanted.record { &[Condition::Kafka] } else { &[] };
        let health = Arc::new(Health::new(conditions, Duration::from_mins(1), clock::monotonic()));
        let admin = Admin::new(&config.kafka)?;
        let api = Api::new(gateway.pool.clone(), config, gateway.rules.clone(), stop.clone());
        let record = wanted.record;
        Ok(Self { gateway, access, admin, health, spool_dir, steps, api, senders, record, stop })
    }

    /// The requests that it answers, each for who has the role; without `gateway.record` none that changes history.
    pub fn router(&self) -> Router {
        let (gateway, access) = (&self.gateway, &self.access);
        let reads = reads::routes(Reads::new(gateway.pool.clone())).merge(stream::routes(self.steps.clone()));
        let reads = access.guard(reads, &[Role::Read]).merge(self.api.routes(access)).merge(viewer::routes());
        if !self.record {
            return reads;
        }
        access
            .guard(routes::recording(gateway.clone()), &[Role::Record])
            .merge(access.guard(routes::operating(gateway.clone()), &[Role::Operate]))
            .merge(reads)
    }

    /// Who may ask.
    pub fn access(&self) -> &Access {
        &self.access
    }

    /// Ready while events can be kept. Reads need Postgres as well, and say so themselves.
    pub fn health(&self) -> &Arc<Health> {
        &self.health
    }

    /// Runs beside the requests, under `tasks`.
    pub fn start(self, tasks: &TaskTracker) {
        let Self { gateway, access, admin, health, spool_dir, senders, stop, .. } = self;
        if let Some(senders) = senders {
            senders.start(&stop, tasks);
        }
        let (apps, until) = (gateway.clone(), stop.clone());
        tasks.spawn(Box::pin(async move { apps.apps.follow(&apps.pool, until).await }));
        let (drained, until) = (gateway.clone(), stop.clone());
        tasks.spawn(Box::pin(async move {
            if let (Some(spool), Some(folder)) = (drained.recorder.spool(), spool_dir) {
                drain::drain(&drained.recorder, spool, &folder, until).await;
            }
        }));
        access.start(tasks, stop.clone());
        tasks.spawn(async move { look_at_kafka(&gateway, &admin, &health, stop).await });
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
