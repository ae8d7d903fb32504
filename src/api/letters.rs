//! Dead letters, retried and dropped.

use axum::{Extension, Json, extract::State};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    Answer, Api, operations,
    trouble::{Problems, Trouble},
};
use crate::{
    gateway::caller::Scope,
    http::Caller,
    pipeline::retry::{Reading, retry},
    postgres::{
        Removal, Session, connect,
        read::{self, LetterFilter},
        remove_letters,
    },
};

/// Letters of one request.
const MOST: usize = 1_000;

/// Letters that are held in memory at once; each may be as large as a record.
const AT_ONCE: usize = 10;

/// `application_name` of the sessions that write.
const APPLICATION: &str = "flowtrail-serve";

/// Which dead letters.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct Which {
    /// Their numbers; at most a thousand.
    #[schema(max_items = 1000)]
    ids: Vec<i64>,
}

/// What became of them.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(super) struct Done {
    /// How many are done with.
    done: u64,
    /// Those that stay.
    left: Vec<Left>,
}

/// A dead letter that stays.
#[derive(Debug, Serialize, ToSchema)]
struct Left {
    /// Its number.
    id: i64,
    /// Why.
    why: String,
}

impl Which {
    fn checked(&self) -> Result<(), Trouble> {
        if self.ids.len() <= MOST {
            return Ok(());
        }
        Err(Trouble::parameter("ids", format!("want at most {MOST} numbers, not {}", self.ids.len())))
    }
}

/// Stores dead letters that can be stored now, and removes them. Rows are idempotent: a request that was cut off is repeated.
#[utoipa::path(
    post, path = "/operations/deadletters/retry", tag = "operations", request_body = Which,
    responses((status = 200, body = Done), Problems)
)]
pub(super) async fn retry_letters(
    State(api): State<Api>,
    scope: Scope,
    Extension(caller): Extension<Caller>,
    Json(which): Json<Which>,
) -> Answer<Done> {
    operations::for_all(&scope)?;
    which.checked()?;
    let config = &api.shared.config;
    // Rows are written as a collector writes them; letters and audit with a commit that waits for the disk, which then
    // has the rows too.
    let client = Box::pin(connect::connect(&config.postgres, APPLICATION)).await.map_err(away)?;
    let writing = Box::pin(connect::connect(&config.postgres, APPLICATION)).await.map_err(away)?;
    let mut session = Session::prepare(writing).await?;
    let mut done = Done::default();
    let reading = Reading::of(config, api.shared.rules.clone());
    for ids in which.ids.chunks(AT_ONCE) {
        let filter = LetterFilter { ids: Some(ids.to_vec()), ..LetterFilter::default() };
        let letters = read::whole_letters(&client, &filter, i64::MIN, 1_000).await?;
        let retried = Box::pin(retry(&mut session, &letters, &reading)).await;
        let retried = retried.map_err(|error| Trouble::from(error.error))?;
        done.done += remove_letters(&client, &retried.stored, &caller.name, Removal::Retried).await?;
        done.left.extend(retried.left.into_iter().map(|(id, why)| Left { id, why }));
        let known: Vec<i64> = letters.iter().map(|letter| letter.summary.id).collect();
        done.left.extend(unknown(ids, &known));
    }
    Ok(Json(done))
}

/// Removes dead letters, for ever.
#[utoipa::path(
    post, path = "/operations/deadletters/drop", tag = "operations", request_body = Which,
    responses((status = 200, body = Done), Problems)
)]
pub(super) async fn drop_letters(
    State(api): State<Api>,
    scope: Scope,
    Extension(caller): Extension<Caller>,
    Json(which): Json<Which>,
) -> Answer<Done> {
    operations::for_all(&scope)?;
    which.checked()?;
    let client = Box::pin(connect::connect(&api.shared.config.postgres, APPLICATION)).await.map_err(away)?;
    let filter = LetterFilter { ids: Some(which.ids.clone()), ..LetterFilter::default() };
    let known = read::letters(&client, &filter, None, 1_000).await?;
    let known: Vec<i64> = known.iter().map(|letter| letter.id).collect();
    let done = remove_letters(&client, &known, &caller.name, Removal::Dropped).await?;
    Ok(Json(Done { done, left: unknown(&which.ids, &known).collect() }))
}

fn unknown<'a>(asked: &'a [i64], known: &'a [i64]) -> impl Iterator<Item = Left> + use<'a> {
    let unknown = asked.iter().filter(|id| !known.contains(id));
    unknown.map(|id| Left { id: *id, why: "there is no such dead letter".to_owned() })
}

fn away(error: connect::PostgresError) -> Trouble {
    Trouble::Pool(error.into())
}
