//! Each way by which a broker can know a collector.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use flowtrail::clock;
use serde_json::json;

use super::{PASSWORD, Secure, all_flows_are_stored, database, secure};
use crate::{
    certificates::write,
    collecting::Collecting,
    doctor::{examine, of},
    program::publish,
};

/// A token as Kafka's own handler for tests takes it: signed by nobody.
fn token(user: &str) -> String {
    let piece = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let now = clock::now().as_second();
    let claims = json!({ "sub": user, "iat": now, "exp": now + 600 });
    format!("{}.{}.", piece(json!({ "alg": "none" })), piece(claims))
}

/// Collects what is on the topic by this listener and log-in.
async fn collects(secure: &Secure, listener: &str, log_in: &[(&str, &str)]) {
    let database = database().await;
    let config = secure.by(listener, &database, log_in);
    let findings = examine(&config).await;
    let rights = of(&findings, "kafka.rights");
    assert!(rights.iter().all(|finding| finding.verdict == flowtrail::doctor::Verdict::Ok), "{findings:#?}");
    let collecting = Collecting::start(&config);
    all_flows_are_stored(&database).await;
    collecting.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_is_known_by_certificate_password_or_token() {
    let secure = secure().await;
    publish(&secure.administrator(&database().await), "recorded.jsonl", &[]).await;
    let (certificate, key) = (secure.path("collect.crt"), secure.path("collect.key"));
    let certificate =
        [("ssl.certificate.location", certificate.as_str()), ("ssl.key.location", key.as_str())];
    let from = format!("file={}", write(secure.folder.path(), "token", &token("collect")));
    let by_password = |mechanism| {
        [("sasl.mechanism", mechanism), ("sasl.username", "collect"), ("sasl.password", PASSWORD)]
    };
    let by_token = [("sasl.mechanism", "OAUTHBEARER"), ("sasl.oauthbearer.config", from.as_str())];
    collects(secure, "TLS", &certificate).await;
    for mechanism in ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] {
        collects(secure, "SASL", &by_password(mechanism)).await;
    }
    collects(secure, "SASL", &by_token).await;
}
