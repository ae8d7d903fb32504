//! A Postgres that is not who it should be, and one whose password changes.

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown},
};

use flowtrail::{config, postgres::connect};
use secrecy::ExposeSecret as _;
use tokio::task::spawn_blocking;

use crate::{
    certificates::{Authority, Pair, write},
    doctor::own::Own,
    program::{Process, configured, publish},
    rows,
    servers::{self, until},
};

impl Own {
    /// Has the server show this certificate to whoever connects from now on.
    async fn show(&self, name: &str, pair: &Pair) {
        let folder = self.folder().await;
        let owner = fs::metadata(&folder).unwrap();
        let (certificate, key) = (format!("{name}.crt"), format!("{name}.key"));
        for (file, text) in [(&certificate, &pair.certificate), (&key, &pair.key)] {
            let path = write(&folder, file, text);
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            if servers::is_root() {
                chown(&path, Some(owner.uid()), Some(owner.gid())).unwrap();
            }
        }
        self.set(&[("ssl_cert_file", &certificate), ("ssl_key_file", &key), ("ssl", "on")]).await;
    }
}

async fn connected(url: String) -> Result<(), String> {
    let postgres = config::Postgres { url: Some(url.into()), ..config::Postgres::default() };
    connect::connect(&postgres, "flowtrail-test").await.map(drop).map_err(|error| error.to_string())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_can_not_be_trusted_is_told_in_one_sentence_that_says_what_is_wrong() {
    let own = Own::start("postgres-trust", &[]).await;
    let (authority, stranger) = (Authority::new("authority"), Authority::new("stranger"));
    let folder = tempfile::tempdir().unwrap();
    let trusted = write(folder.path(), "authority.pem", &authority.pem());
    let url = own.config.postgres.url.as_ref().unwrap().expose_secret();
    let mark = if url.contains('?') { '&' } else { '?' };
    let with = |mode: &str| format!("{url}{mark}sslmode={mode}&sslrootcert={trusted}");
    own.show("right", &authority.server("127.0.0.1")).await;
    connected(with("verify-full")).await.unwrap();
    for (name, pair, said, advice) in [
        ("other", authority.server("elsewhere"), "is for elsewhere, not for 127.0.0.1", "connect by a name"),
        ("ended", authority.ended("127.0.0.1"), "certificate ended at 20", "renewed"),
        ("unknown", stranger.server("127.0.0.1"), "an authority that is not trusted here", "in sslrootcert"),
    ] {
        own.show(name, &pair).await;
        let sentence = connected(with("verify-full")).await.unwrap_err();
        assert!(sentence.starts_with("cannot connect to Postgres at 127.0.0.1:"), "{sentence}");
        assert!(sentence.contains(said) && sentence.contains(advice), "{sentence}");
        // For what is not looked at nobody is refused.
        assert_eq!(connected(with("verify-ca")).await.is_ok(), name == "other", "{name}");
        connected(format!("{url}{mark}sslmode=require")).await.unwrap();
    }
    spawn_blocking(|| drop(own)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_in_a_file_is_exchanged_without_a_restart() {
    let own = Own::start("postgres-password", &[]).await;
    let role = "CREATE ROLE rotating LOGIN SUPERUSER PASSWORD 'first'";
    own.client.batch_execute(role).await.unwrap();
    let url = own.config.postgres.url.as_ref().unwrap().expose_secret();
    let (_, server) = url.rsplit_once('@').unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = write(folder.path(), "password", "first\n");
    let mut config = own.config.clone();
    config.postgres.url = Some(format!("postgres://rotating@{server}").into());
    let mut command = configured(&config, ["collect", "--http", "127.0.0.1:0"]);
    command.env("FLOWTRAIL_POSTGRES__PASSWORD_FILE", &file);
    let collecting = Process::start(command).await;
    let flows = async |wanted: i64| {
        until("the flows are stored", async || match rows::count(&own.client, "flowstate").await {
            count if count == wanted => Ok(()),
            count => Err(format!("{count} flows")),
        })
        .await;
    };
    publish(&own.config, "recorded.jsonl", &[]).await;
    flows(16).await;
    let exchange = "ALTER ROLE rotating PASSWORD 'second';
        SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'rotating'";
    write(folder.path(), "password", "second");
    own.client.batch_execute(exchange).await.unwrap();
    publish(&own.config, "reruns.jsonl", &[]).await;
    flows(16 + 7).await;
    drop(collecting);

    let mark = if server.contains('?') { '&' } else { '?' };
    let passfile = write(folder.path(), "pgpass", "127.0.0.1:*:*:rotating:second\n");
    connected(format!("postgres://rotating@{server}{mark}passfile={passfile}")).await.unwrap();
    write(folder.path(), "pgpass", "elsewhere:*:*:*:second\n");
    let sentence =
        connected(format!("postgres://rotating@{server}{mark}passfile={passfile}")).await.unwrap_err();
    assert!(sentence.contains(&passfile) && sentence.contains("no line in it fits"), "{sentence}");
    spawn_blocking(|| drop(own)).await.unwrap();
}
