//! Why a broker's certificate is refused. librdkafka says only that it is, so the brokers are shaken hands with once more.

use std::{
    io,
    net::{TcpStream, ToSocketAddrs as _},
    sync::Arc,
    time::Duration,
};

use rustls::{ClientConfig, ClientConnection, RootCertStore, pki_types::ServerName};
use secrecy::ExposeSecret as _;

use crate::{
    config::{self, Pem},
    tls::{certificates, refusal::Refusal},
};

/// How long each broker has for each step.
const PATIENCE: Duration = Duration::from_secs(2);

/// Brokers that are tried; one that can be reached is enough.
const MOST: usize = 3;

/// What is wrong with the certificate of the first broker that shows one; nothing where that can't be found out, or where
/// rustls finds nothing wrong.
pub(super) fn why_refused(kafka: &config::Kafka) -> Option<Refusal> {
    let setting = |name: &str| kafka.librdkafka.get(name).map(|value| value.expose_secret().to_owned());
    let mut roots = RootCertStore::empty();
    match setting("ssl.ca.pem").or_else(|| setting("ssl.ca.location")) {
        Some(given) => roots.add_parsable_certificates(certificates::read(&Pem::from(given)).ok()?),
        None => roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs),
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().ok()?;
    let tls = Arc::new(tls.with_root_certificates(roots).with_no_client_auth());
    let any_name = setting("ssl.endpoint.identification.algorithm").is_some_and(|word| word == "none");
    let brokers = kafka.bootstrap_servers.split(',').take(MOST);
    brokers
        .filter_map(|broker| shake_hands(broker.trim(), &tls).err())
        .filter_map(|error| Refusal::of(&error))
        .find(|refusal| !(any_name && matches!(refusal, Refusal::OtherName { .. })))
}

fn shake_hands(broker: &str, tls: &Arc<ClientConfig>) -> io::Result<()> {
    let broker = broker.split_once("://").map_or(broker, |(_, address)| address);
    let (host, _) = broker.rsplit_once(':').ok_or(io::ErrorKind::InvalidInput)?;
    let address = broker.to_socket_addrs()?.next().ok_or(io::ErrorKind::NotFound)?;
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let name = ServerName::try_from(host).map_err(io::Error::other)?;
    let mut connection = ClientConnection::new(tls.clone(), name).map_err(io::Error::other)?;
    while connection.is_handshaking() {
        connection.complete_io(&mut stream)?;
    }
    Ok(())
}
