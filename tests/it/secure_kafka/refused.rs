//! What is said where a broker, or who asks it, is not who it should be.

use std::time::Duration;

use flowtrail::{config::Config, kafka::admin::Admin};
use futures_util::future::join_all;

use super::{TOPIC, secure};
use crate::program::{configured, run};

/// Long enough for a broker to refuse.
const SOON: Duration = Duration::from_secs(4);

async fn said(config: &Config) -> String {
    let asked = Admin::new(&config.kafka).unwrap().topic(TOPIC, SOON).await;
    asked.expect_err("it was let in").to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_can_not_be_trusted_and_one_that_refuses_us_are_told_in_one_sentence() {
    let secure = secure().await;
    let config = Config::default();
    let stranger = secure.path("stranger.pem");
    let (unknown, unknown_key) = (secure.path("unknown.crt"), secure.path("unknown.key"));
    let wrong = |mechanism| {
        secure.by(
            "SASL",
            &config,
            &[("sasl.mechanism", mechanism), ("sasl.username", "collect"), ("sasl.password", "x")],
        )
    };
    let in_plain = [
        ("security.protocol", "SASL_PLAINTEXT"),
        ("sasl.mechanism", "PLAIN"),
        ("sasl.username", "x"),
        ("sasl.password", "x"),
    ];
    let mut distrusting = secure.user("collect", &config);
    distrusting.kafka.librdkafka.insert("ssl.ca.location".to_owned(), stranger.into());
    let cases = [
        (secure.by("ENDED", &config, &[]), "the server's certificate ended at 20", "renewed"),
        (
            secure.by("OTHER", &config, &[]),
            "the server's certificate is for elsewhere, not for 127.0.0.1",
            "connect by a name that the certificate has",
        ),
        (
            distrusting,
            "was signed by an authority that is not trusted here",
            "name the authority that signed it in ssl.ca.location",
        ),
        (
            secure.by("TLS", &config, &[]),
            "the broker wants a certificate of ours",
            "check ssl.certificate.location",
        ),
        (
            secure.by(
                "TLS",
                &config,
                &[("ssl.certificate.location", &unknown), ("ssl.key.location", &unknown_key)],
            ),
            "not one that it trusts",
            "check ssl.certificate.location",
        ),
        (wrong("PLAIN"), "SASL", "check sasl.mechanism and its user, password or token"),
        (wrong("SCRAM-SHA-512"), "SASL", "check sasl.mechanism and its user, password or token"),
        (
            secure.by(
                "SASL",
                &config,
                &[("sasl.mechanism", "OAUTHBEARER"), ("sasl.oauthbearer.config", "file=/nowhere/token")],
            ),
            "the token in /nowhere/token (sasl.oauthbearer.config) can't be read",
            "check sasl.mechanism and its user, password or token",
        ),
        (secure.by("SASL", &config, &in_plain), "transport failure", "and security.protocol right"),
    ];
    let sentences = join_all(cases.iter().map(|(config, ..)| said(config))).await;
    for ((config, what, advice), sentence) in cases.iter().zip(&sentences) {
        assert!(sentence.contains(what) && sentence.contains(advice), "{sentence}\nwanted {what} … {advice}");
        assert!(sentence.contains(&config.kafka.bootstrap_servers) && !sentence.contains('\n'), "{sentence}");
    }
    let collector = secure.by("OTHER", &super::database().await, &[]);
    let ran = run(&mut configured(&collector, ["collect", "--http", "127.0.0.1:0"])).await;
    assert!(ran.code == 1 && ran.stderr.contains("is for elsewhere, not for 127.0.0.1"), "{ran:?}");
}
