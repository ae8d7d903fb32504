//! Answers that have not changed are not sent again.

use axum::{
    body::Body,
    extract::Request,
    http::{HeaderValue, StatusCode, header},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use sha2::{Digest as _, Sha256};

use crate::hex::hex;

/// Bytes of an answer that are looked at; a larger one is none that this server makes.
const MOST_BYTES: usize = 256 << 20;

/// Gives whole JSON answers a weak `ETag`, the hash of what they say, and 304 to who has them already.
pub(super) async fn tag(request: Request, next: Next) -> Response {
    let known = request.headers().get(header::IF_NONE_MATCH).cloned();
    let response = next.run(request).await;
    let content_type = response.headers().get(header::CONTENT_TYPE);
    if response.status() != StatusCode::OK || content_type.is_none_or(|kind| kind != "application/json") {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let Ok(body) = axum::body::to_bytes(body, MOST_BYTES).await else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let hash = hex(&Sha256::digest(&body));
    let tag = format!("W/\"{}\"", hash.get(..32).unwrap_or(&hash));
    let is_known =
        known.as_ref().and_then(|known| known.to_str().ok()).is_some_and(|known| matches(known, &tag));
    // Whoever keeps an answer has to ask whether it is still the same: history grows.
    parts.headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        parts.headers.insert(header::ETAG, tag);
    }
    if is_known {
        parts.status = StatusCode::NOT_MODIFIED;
        parts.headers.remove(header::CONTENT_LENGTH);
        parts.headers.remove(header::CONTENT_TYPE);
        return Response::from_parts(parts, Body::empty());
    }
    Response::from_parts(parts, body.into())
}

/// Whether one of the tags of `If-None-Match` is this one; weak and strong are the same there.
fn matches(known: &str, tag: &str) -> bool {
    let plain = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    known.split(',').any(|known| known.trim() == "*" || plain(known) == plain(tag))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_known_among_others_weak_or_strong() {
        assert!(
            matches("\"b\", W/\"a\"", "W/\"a\"") && matches("\"a\"", "W/\"a\"") && matches("*", "W/\"a\"")
        );
        assert!(!matches("W/\"b\"", "W/\"a\"") && !matches("", "W/\"a\""));
    }
}
