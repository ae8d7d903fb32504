//! A server that knows its clients by certificates, as `sslcert` and `sslkey` give them and as Flogo's files do.

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown},
    path::Path,
    process::Command,
};

use flowtrail::{
    config::{self, Environment, Flags, load},
    postgres::connect::{self, PostgresError},
};
use serde_json::json;
use tempfile::TempDir;
use tokio::task::spawn_blocking;

use crate::{doctor::own::Own, rows, servers};

/// An authority, and a server and a client that it vouches for.
const CERTIFICATES: &str = "
set -e
new() { openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout $1.key -subj /CN=$1 $2 $3 $4; }
new authority -x509 -out authority.pem
for name in server client; do
    new $name -out $name.csr
    echo subjectAltName=IP:127.0.0.1 > $name.ext
    openssl x509 -req -in $name.csr -CA authority.pem -CAkey authority.key -CAcreateserial -extfile $name.ext -out $name.pem
done";

fn certificates() -> Option<TempDir> {
    let folder = tempfile::tempdir().unwrap();
    let made = Command::new("sh").args(["-c", CERTIFICATES]).current_dir(&folder).output().unwrap();
    if made.status.code() == Some(127) {
        eprintln!("SKIPPED: there is no openssl on this machine; install the package openssl");
        return None;
    }
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    Some(folder)
}

/// Has the server speak TLS, and ask its clients for certificates.
async fn with_tls(own: &Own, made: &Path) {
    let folder = own.folder().await;
    let owner = fs::metadata(&folder).unwrap();
    for (from, to) in
        [("server.pem", "server.crt"), ("server.key", "server.key"), ("authority.pem", "authority.crt")]
    {
        let to = folder.join(to);
        fs::copy(made.join(from), &to).unwrap();
        fs::set_permissions(&to, fs::Permissions::from_mode(0o600)).unwrap();
        if servers::is_root() {
            chown(&to, Some(owner.uid()), Some(owner.gid())).unwrap();
        }
    }
    own.set(&[("ssl_ca_file", "authority.crt"), ("ssl", "on")]).await;
}

/// Whom the server takes us for, and whether what is said is encrypted.
async fn known_as(postgres: &config::Postgres) -> Result<Option<String>, PostgresError> {
    let client = connect::connect(postgres, "flowtrail-test").await?;
    let sql = "SELECT client_dn FROM pg_stat_ssl WHERE pid = pg_backend_pid() AND ssl";
    let known = rows::texts(&client, sql).await;
    assert_eq!(known.len(), 1, "not encrypted");
    Ok(known[0].clone())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_knows_us_by_the_certificate_that_was_given() {
    let Some(made) = certificates() else { return };
    let own = Own::start("client-certificate", &[]).await;
    with_tls(&own, made.path()).await;
    let path = |name: &str| made.path().join(name).to_str().unwrap().to_owned();
    let text = |name: &str| fs::read_to_string(path(name)).unwrap();
    let url: tokio_postgres::Config =
        secrecy::ExposeSecret::expose_secret(own.config.postgres.url.as_ref().unwrap()).parse().unwrap();
    let by_file = |authority: String, chain: String, key: String| {
        let tokio_postgres::config::Host::Tcp(host) = &url.get_hosts()[0] else { panic!("no host") };
        let password = url.get_password().map_or("unused", |password| std::str::from_utf8(password).unwrap());
        let content = json!({"port": 9190, "persistence": {"type": "postgres", "host": host, "port": url.get_ports()[0],
            "databaseName": url.get_dbname(), "user": url.get_user(), "password": password, "tlsEnable": true,
            "tlsMode": "VerifyFull", "cacert": authority, "clientcert": chain, "clientkey": key}});
        let file = made.path().join("config.json");
        fs::write(&file, content.to_string()).unwrap();
        let flags = Flags { flogo_file: Some(file), ..Flags::default() };
        load(&flags, &Environment::new(), Path::new("/nowhere")).unwrap().config.postgres
    };
    let files = by_file(path("authority.pem"), path("client.pem"), path("client.key"));
    assert_eq!(known_as(&files).await.unwrap().as_deref(), Some("/CN=client"));
    let texts = by_file(text("authority.pem"), text("client.pem"), text("client.key"));
    assert_eq!(known_as(&texts).await.unwrap().as_deref(), Some("/CN=client"));
    assert_eq!(known_as(&by_file(text("authority.pem"), String::new(), String::new())).await.unwrap(), None);

    let stranger = by_file(text("client.pem"), text("client.pem"), text("client.key"));
    assert!(matches!(known_as(&stranger).await, Err(PostgresError::Connect { .. })), "not its authority");
    for (chain, key) in
        [("client.pem", "server.key"), ("client.key", "client.key"), ("none.pem", "client.key")]
    {
        let error = known_as(&by_file(text("authority.pem"), path(chain), path(key))).await.unwrap_err();
        let said = error.to_string();
        assert!(said.contains(&path(chain)) && said.contains("check sslcert and sslkey"), "{said}");
    }
    spawn_blocking(|| drop(own)).await.unwrap();
}
