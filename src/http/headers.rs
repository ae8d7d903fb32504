//! Headers that every answer has, so that a browser makes nothing of it but what it is.

use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderName, HeaderValue, header},
    middleware::{self, Next},
    response::Response,
};

/// By name, where an answer does not have one of its own. What is stored is nobody's to keep, and no page of another site
/// may show or use any of it.
const HEADERS: [(HeaderName, &str); 4] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CACHE_CONTROL, "no-store"),
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
    ),
];

/// Whoever has come by TLS once is to do so for two years.
const ONLY_TLS: &str = "max-age=63072000";

/// Adds them, over TLS the one that keeps browsers to it as well.
pub(super) fn on_every_answer(router: Router, over_tls: bool) -> Router {
    router.layer(middleware::from_fn_with_state(over_tls, add))
}

async fn add(State(over_tls): State<bool>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let only_tls = over_tls.then_some((header::STRICT_TRANSPORT_SECURITY, ONLY_TLS));
    for (name, value) in HEADERS.into_iter().chain(only_tls) {
        response.headers_mut().entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}
