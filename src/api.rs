//! `/api/v1`: what people and tools ask about flows, and what operators ask. `docs/api.md` is the contract.
//!
//! A question is one read-only transaction with a time limit ([`Reader::short_moment`](crate::postgres::Reader)), bounded in the
//! rows that it looks at. A caller who is for one user sees that user's flows; all others are not there.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{MatchedPath, Request, State},
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
    routing::get,
};
use tokio::sync::Semaphore;
use tokio_postgres::Transaction;
use tokio_util::sync::CancellationToken;
use tower_http::compression::CompressionLayer;
use utoipa::OpenApi as _;
use utoipa_axum::{router::OpenApiRouter, routes};

use self::{asked::Known, posted::Posted, trouble::Trouble};
use crate::{
    config::Config,
    http::{Access, Role},
    kafka::{shared_tail::SharedTail, tail::Record},
    pipeline::decode::foreign::Foreign,
    postgres::{Pool, read},
    redaction::Rules,
};

mod asked;
mod compare;
mod etag;
mod events;
mod export;
mod flows;
mod freshness;
mod histogram;
mod letters;
mod me;
mod messages;
mod operations;
pub(crate) mod posted;
mod rerun;
mod stats;
mod steps;
mod timeline;
mod trouble;
mod variables;

/// Everything that is asked lies below this.
pub const BASE: &str = "/api/v1";

/// Events that a listener may be behind before it misses some; each is about 500 bytes, and all listeners share them.
const MOST_BEHIND: usize = 1_024;

/// Listeners at once.
const MOST_LISTENERS: usize = 100;

/// Readers of the topic at once: on two cores more would not be faster.
const MOST_READERS: usize = 4;

/// What answers are made from. A clone is the same.
#[derive(Debug, Clone)]
pub struct Api {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    pool: Pool,
    config: Config,
    freshness: freshness::Last,
    rules: Option<Arc<Rules>>,
    tail: SharedTail<Arc<Posted>>,
    /// Those who may listen to the tail at once.
    listeners: Arc<Semaphore>,
    /// Those who may read the topic at once, each with a client and a thread of its own.
    readers: Arc<Semaphore>,
}

/// An answer as JSON, or why there is none.
type Answer<T> = Result<Json<T>, Trouble>;

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "flowtrail",
        description = "The execution history of flow runtimes. docs/api.md says what the answers mean.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    tags((name = "flows"), (name = "one flow"), (name = "over many flows"), (name = "operations")),
)]
struct Documentation;

impl Api {
    /// Answers from the sessions of this pool, and from Kafka as it is configured.
    ///
    /// What `rules` name is masked in what comes from Kafka. Whoever listens is told when `stop` ends it.
    pub fn new(pool: Pool, config: &Config, rules: Option<Arc<Rules>>, stop: CancellationToken) -> Self {
        let (of_tail, topic) = (rules.clone(), config.gateway.topic.clone());
        let foreign = Foreign::of(&config.flowable);
        let read = move |record: &Record| {
            let posted = Posted::of(&topic, record, of_tail.as_deref(), &foreign);
            posted.into_iter().map(Arc::new).collect()
        };
        let tail = SharedTail::new(&config.kafka, &config.gateway.topic, MOST_BEHIND, stop, read);
        let (listeners, readers) = (Semaphore::new(MOST_LISTENERS), Semaphore::new(MOST_READERS));
        let (listeners, readers) = (Arc::new(listeners), Arc::new(readers));
        let freshness = freshness::Last::default();
        Self {
            shared: Arc::new(Shared {
                pool,
                config: config.clone(),
                rules,
                tail,
                listeners,
                readers,
                freshness,
            }),
        }
    }

    /// The routes, each for who has its role.
    pub fn routes(&self, access: &Access) -> Router {
        let (reads, _) = reading().split_for_parts();
        let document = document();
        let (known, document) = (Arc::new(Known::of(&document)), Arc::new(document));
        let told = move || async move { Json(document.as_ref().clone()) };
        let reads = reads.route(&format!("{BASE}/openapi.json"), get(told));
        let reads = reads.with_state(self.clone()).layer(middleware::from_fn(etag::tag));
        let operates = operating().split_for_parts().0.with_state(self.clone());
        access
            .guard(reads, &[Role::Read])
            .merge(access.guard(operates, &[Role::Operate]))
            .route_layer(middleware::from_fn_with_state(known, check_parameters))
            .route_layer(middleware::from_fn_with_state(Arc::default(), trouble::as_problem))
            .route_layer(CompressionLayer::new())
    }
}

/// The contract for programs, as JSON.
pub fn document() -> utoipa::openapi::OpenApi {
    let mut document = Documentation::openapi();
    document.merge(reading().into_openapi());
    document.merge(operating().into_openapi());
    document
}

/// What the role read may ask.
fn reading() -> OpenApiRouter<Api> {
    let routes = OpenApiRouter::new()
        .routes(routes!(flows::list))
        .routes(routes!(flows::counts))
        .routes(routes!(flows::detail))
        .routes(routes!(steps::list))
        .routes(routes!(steps::one))
        .routes(routes!(variables::list))
        .routes(routes!(timeline::timeline))
        .routes(routes!(me::me))
        .routes(routes!(freshness::freshness))
        .routes(routes!(messages::of_flow))
        .routes(routes!(messages::of_step))
        .routes(routes!(compare::compare))
        .routes(routes!(export::events))
        .routes(routes!(stats::stats))
        .routes(routes!(stats::grid))
        .routes(routes!(events::events))
        .routes(routes!(operations::show_lag))
        .routes(routes!(operations::progress))
        .routes(routes!(operations::lanes))
        .routes(routes!(operations::gaps))
        .routes(routes!(operations::letters))
        .routes(routes!(operations::letter))
        .routes(routes!(operations::retention))
        .routes(routes!(operations::schema))
        .routes(routes!(operations::audit))
        .routes(routes!(operations::configuration));
    OpenApiRouter::new().nest(BASE, routes)
}

/// What the role operate may do.
fn operating() -> OpenApiRouter<Api> {
    let routes = OpenApiRouter::new()
        .routes(routes!(letters::retry_letters))
        .routes(routes!(letters::drop_letters))
        .routes(routes!(rerun::rerun));
    OpenApiRouter::new().nest(BASE, routes)
}

async fn check_parameters(State(known): State<Arc<Known>>, request: Request, next: Next) -> Response {
    let path = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    match known.check(path.unwrap_or_default(), request.uri().query().unwrap_or_default()) {
        Ok(()) => next.run(request).await,
        Err(trouble) => trouble.into_response(),
    }
}

/// Whether a caller who may see this user's flows only, if one is given, may see that one: others are not there.
async fn look_whose(moment: &Transaction<'_>, only_user: Option<&str>, flow: &str) -> Result<(), Trouble> {
    let Some(user) = only_user else { return Ok(()) };
    if read::user_of(moment, flow).await?.is_some_and(|found| found == user) {
        return Ok(());
    }
    Err(no_flow(flow))
}

fn no_flow(flow: &str) -> Trouble {
    Trouble::NotThere(format!("flow {}", crate::sentence::quotable(flow)))
}
