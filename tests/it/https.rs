//! What a client of our servers gets: TLS with the certificate of now, headers, and no more than its share.

use std::{path::Path, sync::Arc, time::Duration};

use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;

use crate::{
    certificates::{Authority, Pair, write},
    http_client::ask,
    program::{Process, configured},
    servers::{self, PATIENCE},
};

const REQUEST: &[u8] = b"GET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";

/// Asks over TLS, trusting this authority.
async fn over_tls(address: &str, authority: &Authority) -> std::io::Result<String> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.pem().as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let tls = TlsConnector::from(Arc::new(tls.with_root_certificates(roots).with_no_client_auth()));
    let stream = TcpStream::connect(address).await?;
    let mut stream = tls.connect(ServerName::try_from("127.0.0.1").unwrap(), stream).await?;
    stream.write_all(REQUEST).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer.to_ascii_lowercase())
}

fn put(folder: &Path, pair: &Pair) -> [String; 2] {
    [write(folder, "tls.key", &pair.key), write(folder, "tls.crt", &pair.certificate)]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_certificate_is_shown_without_a_restart_and_one_that_can_not_be_used_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let (old, new) = (Authority::new("old"), Authority::new("new"));
    let [key, certificate] = put(folder.path(), &old.server("127.0.0.1"));
    let config = servers::config(1).await;
    let mut command = configured(&config, ["serve", "--listen", "127.0.0.1:0"]);
    command.env("FLOWTRAIL_HTTP__TLS_KEY_FILE", key).env("FLOWTRAIL_HTTP__TLS_CERT_FILE", certificate);
    let mut serving = Process::start(command).await;
    let address = serving.address.clone();
    let answer = over_tls(&address, &old).await.unwrap();
    assert!(answer.starts_with("http/1.1 200"), "{answer}");
    for header in
        ["strict-transport-security: max-age=", "x-content-type-options: nosniff", "cache-control: no-store"]
    {
        assert!(answer.contains(header), "{answer}");
    }
    put(folder.path(), &new.server("127.0.0.1"));
    serving.says("certificate_read").await;
    assert!(over_tls(&address, &new).await.unwrap().starts_with("http/1.1 200"));
    assert!(over_tls(&address, &old).await.is_err());
    write(folder.path(), "tls.key", &old.server("127.0.0.1").key);
    serving.says("certificate_not_read").await;
    assert!(over_tls(&address, &new).await.unwrap().starts_with("http/1.1 200"));
    // Without TLS nobody is told anything.
    let mut plain = TcpStream::connect(&address).await.unwrap();
    plain.write_all(REQUEST).await.unwrap();
    let mut answer = Vec::new();
    let _ = timeout(PATIENCE, plain.read_to_end(&mut answer)).await.expect("it stays open");
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
    assert_eq!(serving.end("TERM").await, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_has_so_many_connections_and_so_long_a_head_and_each_answer_its_headers() {
    let config = servers::config(1).await;
    let mut command = configured(&config, ["collect", "--http", "127.0.0.1:0"]);
    command.env("FLOWTRAIL_HTTP__MAX_CONNECTIONS", "1");
    let collecting = Process::start(command).await;
    let address = &collecting.address;
    for path in ["/", "/livez", "/metrics", "/nothing"] {
        let answer = ask(address, &format!("GET {path}"), &[], b"").await;
        for header in [
            "x-content-type-options: nosniff",
            "referrer-policy: no-referrer",
            "content-security-policy: default-src 'none'",
            "cache-control: no-store",
        ] {
            assert!(answer.head.contains(header), "{path}: {answer:?}");
        }
        assert!(!answer.head.contains("strict-transport"), "{answer:?}");
    }
    let long = "x".repeat(200_000);
    assert_eq!(ask(address, "GET /livez", &[("long", &long)], b"").await.status, 431);

    let silent = TcpStream::connect(address).await.unwrap();
    let mut waiting = TcpStream::connect(address).await.unwrap();
    waiting.write_all(REQUEST).await.unwrap();
    let mut first = [0];
    let early = timeout(Duration::from_millis(300), waiting.read_exact(&mut first)).await;
    assert!(early.is_err(), "two connections at once");
    drop(silent);
    timeout(PATIENCE, waiting.read_exact(&mut first)).await.expect("it is not its turn").unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_can_be_reached_from_elsewhere_shows_metrics_where_that_is_wished() {
    let config = servers::config(1).await;
    for (open, status) in [("false", 401), ("true", 200)] {
        let mut command = configured(&config, ["collect", "--http", "0.0.0.0:0"]);
        command.env("FLOWTRAIL_HTTP__OPEN_METRICS", open);
        let collecting = Process::start(command).await;
        let address = collecting.address.replace("0.0.0.0", "127.0.0.1");
        assert_eq!(ask(&address, "GET /livez", &[], b"").await.status, 200);
        let answer = ask(&address, "GET /metrics", &[], b"").await;
        assert_eq!(answer.status, status, "{answer:?}");
        assert!(status == 200 || answer.body.contains("http.open_metrics"), "{answer:?}");
    }
}
