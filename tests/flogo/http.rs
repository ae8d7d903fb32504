//! HTTP as the tests use it: one request, and whatever is answered.

use std::time::Duration;

use serde_json::Value;
use tokio::task::spawn_blocking;
use ureq::{Agent, http::Request};

/// A flow answers when it has ended, and a re-run when that has.
const PATIENCE: Duration = Duration::from_secs(30);
/// Who asks, in every request.
pub const USER: &str = "ann";

/// An answer of whatever status.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub body: String,
}

impl Answer {
    /// The body, which has to be JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// `GET`, as the user.
pub async fn get(url: &str) -> Answer {
    send("GET", url, String::new()).await
}

/// `POST` of JSON, as the user.
pub async fn post(url: &str, body: String) -> Answer {
    send("POST", url, body).await
}

async fn send(method: &'static str, url: &str, body: String) -> Answer {
    let request = Request::builder()
        .method(method)
        .uri(url)
        .header("username", USER)
        .header("content-type", "application/json")
        .body(body)
        .unwrap();
    spawn_blocking(move || {
        // The programs are on this machine; a proxy that it may have is not asked.
        let settings =
            Agent::config_builder().proxy(None).http_status_as_error(false).timeout_global(Some(PATIENCE));
        let mut answered = Agent::from(settings.build()).run(request).unwrap();
        let body = answered.body_mut().read_to_string().unwrap();
        Answer { status: answered.status().as_u16(), body }
    })
    .await
    .unwrap()
}
