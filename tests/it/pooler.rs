//! Behind a real PgBouncer: a session pool is fine, a transaction pool is refused with a sentence.

use std::{
    fs,
    os::unix::{fs::PermissionsExt as _, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use flowtrail::{config, postgres};
use tokio_postgres::Config;

use crate::servers::{self, until};

/// A PgBouncer in front of a database; ends with the test.
pub struct Pooler {
    child: Child,
    pub url: String,
}

impl Drop for Pooler {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn program() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    folders.map(|folder| folder.join("pgbouncer")).find(|program| program.is_file())
}

pub async fn pooler(program: &Path, database: &str, mode: &str) -> Pooler {
    let server: Config = database.parse().unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let file = std::env::temp_dir().join(format!("{}-{port}.ini", servers::unique("pgbouncer")));
    let (name, user) = (server.get_dbname().unwrap(), server.get_user().unwrap());
    let password = String::from_utf8(server.get_password().unwrap().to_vec()).unwrap();
    let settings = format!(
        "[databases]\n{name} = host=127.0.0.1 port={} dbname={name} user={user} password={password}\n\
         [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\n\
         pool_mode = {mode}\nignore_startup_parameters = extra_float_digits\n",
        server.get_ports()[0]
    );
    fs::write(&file, settings).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let mut command = Command::new(program);
    command.arg("-q").arg(&file).stdout(Stdio::null()).stderr(Stdio::null());
    if servers::is_root() {
        // It refuses to run as root.
        command.uid(65534).gid(65534);
    }
    let child = command.spawn().unwrap();
    let pooler = Pooler { child, url: format!("postgres://{user}@127.0.0.1:{port}/{name}?sslmode=disable") };
    until("PgBouncer answers", || async {
        tokio_postgres::connect(&pooler.url, tokio_postgres::NoTls)
            .await
            .map(|_| ())
            .map_err(|e| e.to_string())
    })
    .await;
    fs::remove_file(&file).unwrap();
    pooler
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_pool_is_told_from_a_session_pool_and_from_no_pool() {
    let Some(program) = program() else {
        eprintln!("SKIPPED: there is no pgbouncer on this machine; install the package pgbouncer");
        return;
    };
    let database = servers::database().await;
    let keeps = async |url: &str| {
        postgres::keeps_sessions(&config::Postgres { url: Some(url.into()), ..config::Postgres::default() })
            .await
            .unwrap_or_else(|e| panic!("{e}"))
    };
    assert!(keeps(&database).await, "no pool");
    let session = pooler(&program, &database, "session").await;
    assert!(keeps(&session.url).await, "session pool");
    let transaction = pooler(&program, &database, "transaction").await;
    assert!(!keeps(&transaction.url).await, "transaction pool");
}
