//! What operators ask.

use std::time::Duration;

use axum::{
    Json,
    extract::{Path, Query, State},
};
use serde::{Deserialize, Serialize};
use tokio::task::spawn_blocking;
use utoipa::{IntoParams, ToSchema};

use super::{
    Answer, Api,
    asked::{self, Piece},
    trouble::{Problems, Trouble},
};
use crate::{
    clock,
    config::{self, InForce},
    gateway::caller::Scope,
    kafka::{
        client,
        lag::{self, LagError, PartitionLag, Topics},
    },
    postgres::read::{
        self, AppliedChange, Backend, Content, Cutoff, GapFound, Letter, LetterFilter, LetterSummary, Note,
        Stored,
    },
    schema::CHANGES,
};

/// How long Kafka may take to tell the lag.
const LAG: Duration = Duration::from_secs(5);

/// Bytes of a dead letter that are shown.
const MOST_LETTER: usize = 4 << 20;

/// What belongs to no user is not for who is for one.
pub(super) fn for_all(Scope(only): &Scope) -> Result<(), Trouble> {
    if only.is_some() { Err(Trouble::NotForOneUser) } else { Ok(()) }
}

/// Lag of the configured group.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Lag {
    /// Consumer group.
    group: String,
    /// By partition.
    partitions: Vec<PartitionLag>,
}

/// How far the configured group is behind, by Kafka's account.
#[utoipa::path(get, path = "/operations/lag", tag = "operations", responses((status = 200, body = Lag), Problems))]
pub(super) async fn show_lag(State(api): State<Api>, scope: Scope) -> Answer<Lag> {
    for_all(&scope)?;
    let group = api.shared.config.kafka.group.clone();
    Ok(Json(Lag { group, partitions: lag_of(&api).await? }))
}

/// Lag of the configured group; nothing where it has committed nothing.
pub(super) async fn lag_of(api: &Api) -> Result<Vec<PartitionLag>, Trouble> {
    let kafka = &api.shared.config.kafka;
    let is_pattern = kafka.topics.iter().any(|topic| topic.starts_with('^'));
    let topics = if is_pattern { Topics::Committed } else { Topics::Named(kafka.topics.clone()) };
    let permit = api.shared.readers.clone().try_acquire_owned();
    let permit = permit.map_err(|_| Trouble::Busy("as many ask Kafka as may; ask again later"))?;
    let (client, group) = (client::settings(kafka, &[], &[]), kafka.group.clone());
    let read = spawn_blocking(move || {
        let _permit = permit;
        lag::read(&client, &group, &topics, LAG)
    });
    match read.await.map_err(|error| Trouble::Own(error.to_string()))? {
        Ok(partitions) => Ok(partitions),
        Err(LagError::NothingCommitted { .. }) => Ok(Vec::new()),
        Err(error) => Err(Trouble::Kafka(error.to_string())),
    }
}

/// What is stored of partitions.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Progress {
    /// By group and partition.
    partitions: Vec<Stored>,
}

/// How far all groups have stored all partitions, by the database's account.
#[utoipa::path(get, path = "/operations/progress", tag = "operations", responses((status = 200, body = Progress), Problems))]
pub(super) async fn progress(State(api): State<Api>, scope: Scope) -> Answer<Progress> {
    for_all(&scope)?;
    let mut reader = api.shared.pool.get().await?;
    Ok(Json(Progress { partitions: read::progress(&reader.short_moment().await?).await? }))
}

/// flowtrail's sessions with Postgres.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Lanes {
    /// By name and process.
    sessions: Vec<Backend>,
}

/// flowtrail's sessions with Postgres: each lane of a collector has one.
#[utoipa::path(get, path = "/operations/lanes", tag = "operations", responses((status = 200, body = Lanes), Problems))]
pub(super) async fn lanes(State(api): State<Api>, scope: Scope) -> Answer<Lanes> {
    for_all(&scope)?;
    let mut reader = api.shared.pool.get().await?;
    Ok(Json(Lanes { sessions: read::backends(&reader.short_moment().await?).await? }))
}

/// Gaps.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Gaps {
    /// The newest first.
    gaps: Vec<GapFound>,
    /// The place of the next piece; null at the end.
    next: Option<String>,
}

/// Stretches of partitions that Kafka no longer had when they were to be read.
#[utoipa::path(get, path = "/operations/gaps", tag = "operations", params(Piece), responses((status = 200, body = Gaps), Problems))]
pub(super) async fn gaps(State(api): State<Api>, scope: Scope, Query(piece): Query<Piece>) -> Answer<Gaps> {
    for_all(&scope)?;
    let limit = piece.limit(50, 500)?;
    let mut reader = api.shared.pool.get().await?;
    let gaps = read::gaps(&reader.short_moment().await?, piece.number()?, limit).await?;
    let next = next(limit, &gaps, |gap| gap.id);
    Ok(Json(Gaps { gaps, next }))
}

/// The audit.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Audit {
    /// The newest first.
    notes: Vec<Note>,
    /// The place of the next piece; null at the end.
    next: Option<String>,
}

/// What people had flowtrail do.
#[utoipa::path(get, path = "/operations/audit", tag = "operations", params(Piece), responses((status = 200, body = Audit), Problems))]
pub(super) async fn audit(State(api): State<Api>, scope: Scope, Query(piece): Query<Piece>) -> Answer<Audit> {
    for_all(&scope)?;
    let limit = piece.limit(50, 500)?;
    let mut reader = api.shared.pool.get().await?;
    let notes = read::notes(&reader.short_moment().await?, piece.number()?, limit).await?;
    let next = next(limit, &notes, |note| note.id);
    Ok(Json(Audit { notes, next }))
}

/// The place behind the last of a piece that is full.
fn next<T>(limit: u32, piece: &[T], number: impl Fn(&T) -> i64) -> Option<String> {
    let is_full = u32::try_from(piece.len()).is_ok_and(|count| count >= limit);
    piece.last().filter(|_| is_full).map(|last| number(last).to_string())
}

/// What retention has removed.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Retention {
    /// By policy.
    policies: Vec<Cutoff>,
}

/// What retention has removed.
#[utoipa::path(get, path = "/operations/retention", tag = "operations", responses((status = 200, body = Retention), Problems))]
pub(super) async fn retention(State(api): State<Api>, scope: Scope) -> Answer<Retention> {
    for_all(&scope)?;
    let mut reader = api.shared.pool.get().await?;
    Ok(Json(Retention { policies: read::cutoffs(&reader.short_moment().await?).await? }))
}

/// Changes of the tables.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Schema {
    /// Those that were applied, in order.
    changes: Vec<AppliedChange>,
    /// How many this server knows.
    known: usize,
}

/// Changes of the tables that were applied.
#[utoipa::path(get, path = "/operations/schema", tag = "operations", responses((status = 200, body = Schema), Problems))]
pub(super) async fn schema(State(api): State<Api>, scope: Scope) -> Answer<Schema> {
    for_all(&scope)?;
    let mut reader = api.shared.pool.get().await?;
    let changes = read::applied_changes(&reader.short_moment().await?).await?;
    Ok(Json(Schema { changes, known: CHANGES.len() }))
}

/// The configuration.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Configuration {
    /// Every setting, secrets masked.
    settings: Vec<InForce>,
}

/// The configuration as this server runs. Secrets are not in it.
#[utoipa::path(get, path = "/operations/configuration", tag = "operations", responses((status = 200, body = Configuration), Problems))]
pub(super) async fn configuration(State(api): State<Api>, scope: Scope) -> Answer<Configuration> {
    for_all(&scope)?;
    Ok(Json(Configuration { settings: config::in_force(&api.shared.config) }))
}

/// Dead letters.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DeadLetters {
    /// Without their payloads, the newest first.
    letters: Vec<LetterSummary>,
    /// How many there are of each reason, the most first.
    by_reason: Vec<ReasonCount>,
    /// The place of the next piece; null at the end.
    next: Option<String>,
}

/// How many dead letters have a reason.
#[derive(Debug, Serialize, ToSchema)]
struct ReasonCount {
    /// The reason.
    reason: String,
    /// How many.
    letters: i64,
}

/// Dead letters that match all of what is given.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub(super) struct NarrowLetters {
    /// Reasons, with commas between.
    reason: Option<String>,
    /// Topic that they came from.
    topic: Option<String>,
    /// Kept at or after: RFC 3339, a date, or how long ago, like -2h.
    since: Option<String>,
    /// Kept before.
    until: Option<String>,
}

/// Messages that could not become rows.
#[utoipa::path(
    get, path = "/operations/deadletters", tag = "operations", params(NarrowLetters, Piece),
    responses((status = 200, body = DeadLetters), Problems)
)]
pub(super) async fn letters(
    State(api): State<Api>,
    scope: Scope,
    Query(narrow): Query<NarrowLetters>,
    Query(piece): Query<Piece>,
) -> Answer<DeadLetters> {
    for_all(&scope)?;
    let (limit, now) = (piece.limit(50, 500)?, clock::now());
    let reasons = asked::list(narrow.reason.as_deref());
    let filter = LetterFilter {
        ids: None,
        reasons: (!reasons.is_empty()).then_some(reasons),
        topic: asked::given(narrow.topic),
        since: asked::time("since", narrow.since.as_deref(), now)?,
        until: asked::time("until", narrow.until.as_deref(), now)?,
    };
    let mut reader = api.shared.pool.get().await?;
    let moment = reader.short_moment().await?;
    let letters = read::letters(&moment, &filter, piece.number()?, limit).await?;
    let counts = read::count_letters(&moment, &filter).await?;
    let by_reason = counts.into_iter().map(|(reason, letters)| ReasonCount { reason, letters });
    let next = next(limit, &letters, |letter| letter.id);
    Ok(Json(DeadLetters { letters, by_reason: by_reason.collect(), next }))
}

/// A dead letter as it came.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct WholeLetter {
    /// Without its payload.
    letter: LetterSummary,
    /// Key of the record.
    key: Option<Content>,
    /// Value of the record.
    payload: Option<Content>,
    /// Headers in order: `[{"key": text, "value": base64 or null}]`.
    headers: Option<serde_json::Value>,
}

/// One message that could not become rows.
#[utoipa::path(
    get, path = "/operations/deadletters/{number}", tag = "operations",
    params(("number" = i64, Path, description = "Number of the dead letter.")),
    responses((status = 200, body = WholeLetter), Problems)
)]
pub(super) async fn letter(
    State(api): State<Api>,
    scope: Scope,
    Path(number): Path<i64>,
) -> Answer<WholeLetter> {
    for_all(&scope)?;
    let mut reader = api.shared.pool.get().await?;
    let moment = reader.short_moment().await?;
    let filter = LetterFilter { ids: Some(vec![number]), ..LetterFilter::default() };
    let mut found = read::whole_letters(&moment, &filter, i64::MIN, 1).await?;
    let Letter { summary, key, payload, headers } =
        found.pop().ok_or_else(|| Trouble::NotThere(format!("dead letter {number}")))?;
    let content = |stored: Option<Vec<u8>>| stored.map(|stored| Content::of(&stored, MOST_LETTER));
    Ok(Json(WholeLetter { letter: summary, key: content(key), payload: content(payload), headers }))
}
