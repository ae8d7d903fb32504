//! In whose name a request is made.

use axum::{
    extract::FromRequestParts,
    http::{StatusCode, request::Parts},
    response::Response,
};

use super::reads::plain_text;
use crate::{
    http::{Caller, access},
    proto::v1::{HistoryEvent, history_event::Event},
};

/// The user whose history is meant: the only one that the caller may name, or else whom the header `username` names, as
/// Flogo's tools send it.
///
/// Refused in plain text, as Flogo's service does it: 401 without a user, 403 with another one than the caller may name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User(pub String);

impl<S: Sync> FromRequestParts<S> for User {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Response> {
        let named = access::user_of(&parts.headers);
        let only = parts.extensions.get::<Caller>().and_then(|caller| caller.user.clone());
        match (only, named) {
            (Some(only), Some(named)) if only != named => Err(plain_text(
                StatusCode::FORBIDDEN,
                "header username names another user than this token is for",
            )),
            (Some(user), _) | (None, Some(user)) => Ok(Self(user)),
            (None, None) => {
                Err(plain_text(StatusCode::UNAUTHORIZED, "unauthorized, please provide user information"))
            }
        }
    }
}

/// The only user whose history the caller may see and change; nothing where it may all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope(pub Option<String>);

impl Scope {
    /// Whether the caller may post this. Only a flow's start and end name a user; a step is let through.
    pub fn allows(&self, event: &HistoryEvent) -> bool {
        match (&self.0, &event.event) {
            (Some(only), Some(Event::Flow(flow))) => flow.user_id == *only,
            _ => true,
        }
    }
}

impl<S: Sync> FromRequestParts<S> for Scope {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(Self(parts.extensions.get::<Caller>().and_then(|caller| caller.user.clone())))
    }
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    async fn user(caller: Option<Caller>, header: &str) -> Result<String, u16> {
        let mut request = Request::builder().header("UserName", header);
        if let Some(caller) = caller {
            request = request.extension(caller);
        }
        let (mut parts, ()) = request.body(()).unwrap().into_parts();
        let user = User::from_request_parts(&mut parts, &()).await;
        user.map(|User(user)| user).map_err(|refusal| refusal.status().as_u16())
    }

    #[tokio::test]
    async fn the_header_names_a_user_unless_the_caller_is_for_one_alone() {
        let ann = || Ok("ann".to_owned());
        let for_all = || Some(Caller { name: "t".to_owned(), roles: Vec::new(), user: None });
        let for_ann = || for_all().map(|caller| Caller { user: Some("ann".to_owned()), ..caller });
        assert_eq!(user(None, "ann").await, ann());
        assert_eq!(user(None, "").await, Err(401));
        assert_eq!(user(for_all(), "ann").await, ann());
        assert_eq!(user(for_all(), "").await, Err(401));
        assert_eq!(user(for_ann(), "").await, ann());
        assert_eq!(user(for_ann(), "ann").await, ann());
        assert_eq!(user(for_ann(), "eve").await, Err(403));
    }
}
