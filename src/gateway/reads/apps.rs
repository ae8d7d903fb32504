//! Apps: their flows, their versions, and whether their history is to be kept.

use axum::{
    extract::{Path, Query, State},
    response::Response,
};

use super::{Asked, Reads, Trouble, instances};
use crate::{
    gateway::caller::User,
    postgres::read::flogo::{self, Wanted},
};

/// `["flowName"]`
pub(super) async fn flows(
    State(reads): State<Reads>,
    User(user): User,
    asked: Query<Vec<(String, String)>>,
) -> Response {
    let wanted = match instances::of_app(&Asked::of(asked), user) {
        Ok(wanted) => wanted,
        Err(trouble) => return reads.refused("", &trouble),
    };
    let names = async {
        let mut reader = reads.pool.get().await?;
        Ok::<_, Trouble>(flogo::flow_names(&reader.moment().await?, &wanted).await?)
    };
    reads.answered("Getting flow names error:", names.await)
}

/// `["1.0.0"]`
pub(super) async fn versions(
    State(reads): State<Reads>,
    User(user): User,
    Path(app): Path<String>,
) -> Response {
    let wanted = Wanted { user, app: Some(app), ..Wanted::default() };
    let versions = async {
        let mut reader = reads.pool.get().await?;
        Ok::<_, Trouble>(flogo::app_versions(&reader.moment().await?, &wanted).await?)
    };
    reads.answered("Getting app version error:", versions.await)
}

/// A JSON string: `"true"`, `"false"`, or `""` where it was never switched.
pub(super) async fn state(State(reads): State<Reads>, User(user): User, Path(app): Path<String>) -> Response {
    let state = async {
        let mut reader = reads.pool.get().await?;
        let kept = flogo::app_state(&reader.moment().await?, &user, &app).await?;
        Ok::<_, Trouble>(kept.map(|kept| kept.to_string()).unwrap_or_default())
    };
    reads.answered("Getting getAppState error:", state.await)
}
