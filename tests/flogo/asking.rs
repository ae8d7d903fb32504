//! Requests of one user, with bodies of JSON.

use crate::http::{self, Answer};

/// Who asks, in every request.
pub const USER: &str = "ann";

/// `GET` of a path at an address.
pub async fn get(address: &str, path: &str) -> Answer {
    http::ask(address, &format!("GET {path}"), &[("username", USER)], b"").await
}

/// `POST` to a path at an address.
pub async fn post(address: &str, path: &str, body: &str) -> Answer {
    let headers = [("username", USER), ("content-type", "application/json")];
    http::ask(address, &format!("POST {path}"), &headers, body.as_bytes()).await
}
