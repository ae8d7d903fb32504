//! Answers to writes: empty, or an error as the Go service gives it.

use axum::{
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse as _, Response},
};

use super::recorder::NotKept;
use crate::{flogo, sentence::with_causes};

/// What a caller is told to wait before it tries again, in seconds.
const RETRY_AFTER: &str = "1";

/// Whether the caller does not want to wait for its answer's meaning: it takes 202 for 200.
pub(super) fn is_async(headers: &HeaderMap) -> bool {
    headers.get("Async-Calling").is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"true"))
}

/// The event is kept.
pub(super) fn kept(headers: &HeaderMap) -> Response {
    if is_async(headers) { StatusCode::ACCEPTED } else { StatusCode::OK }.into_response()
}

/// `{"code":…,"message":…}`
pub(super) fn error(code: StatusCode, message: &str) -> Response {
    let body = serde_json::json!({ "code": code.as_u16(), "message": message }).to_string();
    let mut response = (code, [(header::CONTENT_TYPE, "application/json")], body).into_response();
    if matches!(code, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS) {
        response.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from_static(RETRY_AFTER));
    }
    response
}

/// The body or the path is no event.
pub(super) fn no_event(why: &flogo::Error) -> Response {
    error(StatusCode::BAD_REQUEST, &with_causes(why))
}

/// The event is of a user whom the caller may not name.
pub(super) fn of_another_user() -> Response {
    error(StatusCode::FORBIDDEN, OF_ANOTHER_USER)
}

/// Why an event of another user is refused.
pub(super) const OF_ANOTHER_USER: &str = "user_id names another user than this token is for";

/// The event is not kept.
pub(super) fn not_kept(why: &NotKept) -> Response {
    error(code_of(why), &why.to_string())
}

/// The status that says why an event is not kept.
pub(super) fn code_of(why: &NotKept) -> StatusCode {
    match why {
        NotKept::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        NotKept::OverQuota => StatusCode::TOO_MANY_REQUESTS,
        NotKept::Away(_) | NotKept::NoRoom(_) | NotKept::Refused(_) => StatusCode::SERVICE_UNAVAILABLE,
    }
}
