//! Who asks.

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, StatusCode, request::Parts},
    response::Response,
};

use super::reads::plain_text;

/// Header in which a Flogo app, and what stands before it, says for whom it asks.
const USER_HEADER: &str = "username";

/// Who asks, as found by whoever looked at the request before its handler. Where a request carries this extension, its
/// header is not believed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Caller {
    /// The user; nothing where that is not known.
    pub user: Option<String>,
}

/// The user in whose name a request is made. Without one the answer is 401, in plain text as Flogo's service gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User(pub String);

/// The user that the headers name; nothing where they name none.
pub fn user_of(headers: &HeaderMap) -> Option<String> {
    let user = std::str::from_utf8(headers.get(USER_HEADER)?.as_bytes()).ok()?;
    (!user.is_empty()).then(|| user.to_owned())
}

impl<S: Sync> FromRequestParts<S> for User {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Response> {
        let user = match parts.extensions.get::<Caller>() {
            Some(caller) => caller.user.clone(),
            None => user_of(&parts.headers),
        };
        user.map(Self).ok_or_else(|| {
            plain_text(StatusCode::UNAUTHORIZED, "unauthorized, please provide user information")
        })
    }
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    async fn user(caller: Option<Caller>, header: &str) -> Option<String> {
        let mut request = Request::builder().header("UserName", header);
        if let Some(caller) = caller {
            request = request.extension(caller);
        }
        let (mut parts, ()) = request.body(()).unwrap().into_parts();
        User::from_request_parts(&mut parts, &()).await.ok().map(|User(user)| user)
    }

    #[tokio::test]
    async fn the_header_counts_only_where_nobody_looked_before() {
        let ann = || Some("ann".to_owned());
        assert_eq!(user(None, "ann").await, ann());
        assert_eq!(user(None, "").await, None);
        assert_eq!(user(Some(Caller { user: ann() }), "eve").await, ann());
        assert_eq!(user(Some(Caller { user: None }), "eve").await, None);
    }
}
