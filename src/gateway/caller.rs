//! Who asks.

use axum::{
    extract::FromRequestParts,
    http::{StatusCode, request::Parts},
};

/// The user whose history is asked for or changed: header `username`, as Flogo's tools send it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User(pub String);

impl<S: Sync> FromRequestParts<S> for User {
    /// 401 as plain text, as the Go service answers who does not name a user.
    type Rejection = (StatusCode, &'static str);

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let name = parts.headers.get("username").and_then(|value| value.to_str().ok());
        let name = name.filter(|name| !name.is_empty());
        name.map(|name| Self(name.to_owned())).ok_or((
            StatusCode::UNAUTHORIZED,
            "header `username` is missing: it names the user whose history is meant",
        ))
    }
}
