//! The stack's Postgres: made with `initdb` the first time, on 127.0.0.1 only, with a password of its own.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret, SecretString};
use tokio_postgres::error::SqlState;
use tokio_postgres::{Config, NoTls};
use tracing::debug;

use super::cache::Cache;
use super::data_dir::{remove, write_private};
use super::download::DownloadError;
use super::leftover;
use super::postgres_home::{CLUSTER, Home};
use super::postgres_programs::{self, Programs, Wanted};
use super::process::{Launch, Process, StopSignal};
use super::server::{Program, ServerError};

/// Kept in the stack's folder while Postgres runs.
pub(super) const PID_FILE: &str = "postgres.pid";
const LOG: &str = "postgres.log";
/// The user, a superuser, and the database.
const NAME: &str = "flowtrail";
const PASSWORD: &str = "password";
/// A cluster that `initdb` has not finished.
const UNFINISHED: &str = "data.new";
/// How long one attempt to see whether it answers may take.
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long `initdb` may take; a second or two is usual.
const INIT_TIMEOUT: Duration = Duration::from_mins(2);

/// For a developer's machine that is also used to measure: caches that hold a test load, checkpoints not too often, and
/// everything that makes writes durable as it is by default. The caller's own come later and win.
const SETTINGS: [&str; 10] = [
    "listen_addresses=127.0.0.1",
    // The path of a socket has a limit of about 100 bytes, which the stack's folder may exceed.
    "unix_socket_directories=",
    "max_connections=200",
    "shared_buffers=256MB",
    "max_wal_size=2GB",
    "checkpoint_timeout=15min",
    "logging_collector=off",
    "log_line_prefix=%m [%p] ",
    "log_timezone=UTC",
    "timezone=UTC",
];

/// Why Postgres could not be prepared.
#[derive(Debug, thiserror::Error)]
pub enum PostgresError {
    /// It could not be fetched.
    #[error(transparent)]
    Download(#[from] DownloadError),
    /// Root found nobody to run it as.
    #[error(
        "Postgres does not run as root, and there is no user `postgres` or `nobody`; add one or run as another user"
    )]
    NoAccount,
    /// The account that Postgres runs as can't enter a folder it needs.
    #[error("user {uid}, whom Postgres runs as, cannot enter {}; make it and the folders above it passable", path.display())]
    Unreachable {
        /// The folder.
        path: PathBuf,
        /// The account's number.
        uid: u32,
    },
    /// The database was made by a version that is not at hand.
    #[error(
        "the database in {} was made by Postgres {major}, which was not found (found: {found}); \
         install that, or begin anew with `flowtrail dev --reset`", path.display()
    )]
    OtherMajor {
        /// The database's folder.
        path: PathBuf,
        /// The version that made it.
        major: u32,
        /// The versions that were found.
        found: String,
    },
    /// `initdb` failed.
    #[error("initdb could not make a database in {}: {said}; see {}", path.display(), log.display())]
    Init {
        /// The database's folder.
        path: PathBuf,
        /// The line of its log that tells most.
        said: String,
        /// Its log.
        log: PathBuf,
    },
    /// A file or folder could not be read or written.
    #[error("could not use {}; check its permissions and the space left", path.display())]
    Home {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl PostgresError {
    pub(super) fn home(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Home { path, source }
    }
}

/// What is needed to run the stack's Postgres.
#[derive(Debug)]
pub(super) struct Postgres {
    data_dir: PathBuf,
    home: Home,
    programs: Programs,
    password: SecretString,
    port: u16,
    settings: Vec<(String, String)>,
}

impl Postgres {
    /// Finds or fetches the programs and makes the database if there is none yet. `packaged`, `major`: whether only packaged
    /// programs will do, and of which major version.
    pub(super) fn new(
        data_dir: &Path,
        cache: &Cache,
        (packaged, major): (bool, Option<u32>),
        port: u16,
        settings: Vec<(String, String)>,
    ) -> Result<Self, PostgresError> {
        let home = Home::open(data_dir)?;
        let cluster = home.cluster();
        let made_by = major_of(&cluster)?;
        let made_by = made_by.map(|major| (cluster.as_path(), major));
        let wanted = Wanted { made_by, packaged, major, account: home.account };
        let programs = postgres_programs::find(cache, wanted)?;
        let password_file = home.dir.join(PASSWORD);
        if made_by.is_none() {
            make_database(data_dir, &home, &programs, &password_file)?;
        }
        let password = fs::read_to_string(&password_file).map_err(PostgresError::home(&password_file))?;
        let data_dir = data_dir.to_owned();
        Ok(Self { data_dir, home, programs, password: password.into(), port, settings })
    }

    /// How clients reach the database. Holds the password.
    pub(super) fn url(&self) -> SecretString {
        // Made of characters that need no escape in an URL.
        let password = self.password.expose_secret();
        format!("postgres://{NAME}:{password}@127.0.0.1:{}/{NAME}", self.port).into()
    }

    /// Connects; the first time, makes the database.
    async fn probe(&self) -> Result<(), tokio_postgres::Error> {
        let mut config = Config::new();
        config.host("127.0.0.1").port(self.port).user(NAME).password(self.password.expose_secret());
        config.connect_timeout(PROBE_TIMEOUT);
        match execute(config.clone().dbname(NAME), "SELECT").await {
            Err(error) if error.code() == Some(&SqlState::UNDEFINED_DATABASE) => {
                execute(config.dbname("postgres"), &format!("CREATE DATABASE {NAME}")).await
            }
            outcome => outcome,
        }
    }
}

async fn execute(config: &Config, sql: &str) -> Result<(), tokio_postgres::Error> {
    let (client, connection) = config.connect(NoTls).await?;
    let connection = tokio::spawn(connection);
    let outcome = client.batch_execute(sql).await;
    drop(client);
    // Ends now that its client is gone; waited for so that it isn't cut off with the runtime.
    let _ = connection.await;
    outcome
}

impl Program for Postgres {
    fn name(&self) -> &'static str {
        "Postgres"
    }

    fn port(&self) -> u16 {
        self.port
    }

    fn prepare(&self) -> Result<Launch, ServerError> {
        let cluster = self.home.cluster();
        // A Postgres that was killed may have sessions that are just about to notice.
        leftover::stop_sessions(&cluster).map_err(PostgresError::home(&cluster))?;
        if cfg!(target_os = "linux") {
            // Nothing of it runs, for certain. Postgres would only compare numbers, and refuse to start if the one in this
            // file were a stranger's by now.
            let pid_file = cluster.join("postmaster.pid");
            remove(&pid_file).map_err(PostgresError::home(&pid_file))?;
        }
        let mut args: Vec<OsString> =
            vec!["-D".into(), cluster.into(), "-p".into(), self.port.to_string().into()];
        let given = self.settings.iter().map(|(name, value)| format!("{name}={value}"));
        for setting in SETTINGS.iter().map(ToString::to_string).chain(given) {
            args.extend(["-c".into(), setting.into()]);
        }
        Ok(Launch {
            program: self.programs.bin.join("postgres"),
            args,
            dir: self.home.dir.clone(),
            account: self.home.account,
            log: self.log(),
            pid_file: self.data_dir.join(PID_FILE),
            stop: StopSignal::Interrupt,
        })
    }

    fn is_ready(&self) -> bool {
        // On a thread of its own, because the caller's may already belong to a runtime, which forbids a second one.
        let outcome = thread::scope(|scope| {
            let probe = scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
                let within = async { tokio::time::timeout(PROBE_TIMEOUT, self.probe()).await };
                runtime.block_on(within)?.map_err(io::Error::other)
            });
            probe.join().unwrap_or_else(|_| Err(io::Error::other("the probe panicked")))
        });
        outcome.inspect_err(|error| debug!(%error, "Postgres is not ready yet")).is_ok()
    }

    fn log(&self) -> PathBuf {
        self.data_dir.join(LOG)
    }
}

/// The major version that made the cluster, or none if there is no cluster.
fn major_of(cluster: &Path) -> Result<Option<u32>, PostgresError> {
    let path = cluster.join("PG_VERSION");
    match fs::read_to_string(&path) {
        Ok(text) => {
            let major = text.trim().parse().map_err(io::Error::other).map_err(PostgresError::home(&path))?;
            Ok(Some(major))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(PostgresError::home(&path)(error)),
    }
}

/// Makes the cluster under another name first, so that one with a name is whole.
fn make_database(
    data_dir: &Path,
    home: &Home,
    programs: &Programs,
    password_file: &Path,
) -> Result<(), PostgresError> {
    let password = URL_SAFE_NO_PAD.encode(rand::random::<[u8; 24]>());
    write_private(password_file, password.as_bytes()).map_err(PostgresError::home(password_file))?;
    // `initdb` runs as another account and could not read the file above.
    let handed_over = home.dir.join("initdb.password");
    write_private(&handed_over, password.as_bytes()).map_err(PostgresError::home(&handed_over))?;
    home.give_away(&handed_over)?;
    let unfinished = home.create_private_dir(UNFINISHED)?;
    let launch = initdb(data_dir, home, programs, &unfinished, &handed_over);
    let outcome = Process::run(&launch, INIT_TIMEOUT).map_err(PostgresError::home(&launch.program));
    remove(&handed_over).map_err(PostgresError::home(&handed_over))?;
    outcome?.map_err(|said| PostgresError::Init { path: unfinished.clone(), said, log: launch.log })?;
    let cluster = home.dir.join(CLUSTER);
    remove(&cluster).map_err(PostgresError::home(&cluster))?;
    fs::rename(&unfinished, &cluster).map_err(PostgresError::home(&cluster))
}

fn initdb(data_dir: &Path, home: &Home, programs: &Programs, cluster: &Path, password: &Path) -> Launch {
    // The locale `C` exists everywhere and sorts by bytes. Syncing is left to the first checkpoint: a database that a
    // power failure takes in its first seconds holds nothing.
    let fixed = ["--username", NAME, "--encoding=UTF8", "--locale=C", "--auth=scram-sha-256", "--no-sync"];
    let mut args: Vec<OsString> = fixed.iter().map(Into::into).collect();
    args.extend(["--pwfile".into(), password.into(), "-D".into(), cluster.into()]);
    Launch {
        program: programs.bin.join("initdb"),
        args,
        dir: home.dir.clone(),
        account: home.account,
        log: data_dir.join(LOG),
        pid_file: data_dir.join(PID_FILE),
        stop: StopSignal::Interrupt,
    }
}
