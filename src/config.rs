//! Configuration: one struct per section; flags over environment over file over a file of Flogo's over defaults.
//!
//! [`load`] gathers all five, refuses what it does not know, checks every value, and lists every problem at once.
//! [`Loaded`] remembers where each value came from, which is what `flowtrail config print` shows.

use std::collections::BTreeMap;

use secrecy::{ExposeSecret as _, SecretString};

mod check;
mod connection;
mod environment;
mod error;
mod file;
mod flogo;
mod flowable;
mod load;
mod pem;
mod print;
mod redact;
mod redaction;
mod retention;
mod sessions;
mod settings;
mod tables;

pub(crate) use self::check::{check_service, check_source};
pub use self::{
    connection::{Connection, Verify},
    environment::{Environment, READ_ELSEWHERE},
    error::{ConfigError, Origin, Problem},
    flogo::Ignored,
    flowable::Flowable,
    load::{Flag, Flags, Loaded, load},
    pem::{ClientCertificate, Pem},
    print::{InForce, Printed, ignored, in_force, printed, to_toml},
    redact::{is_secret, redact_url},
    redaction::{Redaction, RedactionAction, RedactionRule, RedactionTarget},
    retention::{Retention, RetentionPolicy, Share},
    sessions::LEAST_SESSIONS,
};

/// Everything that can be configured.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// How to reach Kafka.
    pub kafka: Kafka,
    /// How to reach Postgres.
    pub postgres: Postgres,
    /// How events become rows.
    pub collector: Collector,
    /// Where health and metrics are served.
    pub http: Http,
    /// How what apps post over HTTP becomes events.
    pub gateway: Gateway,
    /// What nobody is to read.
    pub redaction: Redaction,
    /// Where apps are asked to run an instance again.
    pub rerun: Rerun,
    /// How long what is kept.
    pub retention: Retention,
    /// How records are read that Flowable engines wrote themselves.
    pub flowable: Flowable,
    /// Where traces are sent.
    pub telemetry: Telemetry,
    /// What to do about tables that are not as wanted.
    pub schema: Schema,
}

/// `[kafka]`
#[derive(Debug, Clone)]
pub struct Kafka {
    /// Brokers to begin with, `host:port,…`.
    pub bootstrap_servers: String,
    /// Topics to read; an entry that begins with `^` is a regular expression.
    pub topics: Vec<String>,
    /// Consumer group of the collectors; also the key of their offsets in Postgres.
    pub group: String,
    /// librdkafka's own settings by their own names; they win over what flowtrail sets, but for the few it needs.
    pub librdkafka: BTreeMap<String, SecretString>,
}

/// `[postgres]`
#[derive(Debug, Clone, Default)]
pub struct Postgres {
    /// `postgres://user:password@host:port/dbname?…`, or libpq's `host=… user=…`.
    pub url: Option<SecretString>,
    /// File that holds the password instead, and is read again for every session; empty: none.
    pub password_file: String,
    /// How many sessions one collector and one server have together at most, each at most half of them; 0: no limit.
    /// Lanes and the server's sessions are lowered to it when the configuration is loaded.
    pub max_sessions: usize,
}

/// `[collector]`
#[derive(Debug, Clone)]
pub struct Collector {
    /// Lanes, each with a database session of its own. A partition belongs to one lane.
    pub lanes: usize,
    /// A batch holds at most this many rows.
    pub batch_rows: usize,
    /// A batch holds at most about this many bytes.
    pub batch_bytes: usize,
    /// How long an idle lane waits for more before it writes, in milliseconds.
    pub linger_ms: u64,
    /// How many bytes of records may wait before a lane, its full channel included.
    pub lane_buffer_bytes: usize,
    /// A payload field above this many bytes is cut, and its message kept as a dead letter.
    pub max_payload_bytes: usize,
    /// Topic that dead letters are put on as well; empty: none.
    pub dead_letter_topic: String,
    /// So many apps have rows and bytes of their own among the metrics, the first that come; 0: none.
    pub metric_apps: usize,
    /// The same of users, whose names are then in the metrics.
    pub metric_users: usize,
    /// What to do where Kafka no longer has records that are not stored yet.
    pub on_gap: OnGap,
    /// How often Kafka's group offset follows the stored one, in milliseconds.
    pub group_offset_interval_ms: u64,
    /// How long a shutdown may take to finish what is under way, in milliseconds.
    pub shutdown_timeout_ms: u64,
    /// How long records may wait without any progress before `/livez` fails, in milliseconds.
    pub stall_after_ms: u64,
}

/// What a collector does where Kafka no longer has records that are not stored yet. Either way it is counted and kept in
/// `ft_gap`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnGap {
    /// End with a sentence; nothing is skipped.
    Halt,
    /// Go on with what Kafka has.
    Continue,
}

/// `[http]`
#[derive(Debug, Clone)]
pub struct Http {
    /// Address to bind, `host:port`; port 0 takes a free one.
    pub listen: String,
    /// File of the tokens that `flowtrail serve` takes; empty: none.
    pub tokens_file: String,
    /// Whether whoever stands before `flowtrail serve` has checked who asks, and says it in the header `username`.
    pub trust_username_header: bool,
    /// Whether a collector's `/metrics` have the lag once more as `kafka_consumergroup_lag`, as `kafka_exporter` names it.
    pub consumergroup_lag: bool,
    /// Whether `/metrics` is shown to whoever asks on an address that is not this machine's alone.
    pub open_metrics: bool,
    /// Connections at a time; whoever comes beyond that waits.
    pub max_connections: usize,
    /// File of the certificate to serve TLS with, and those behind it; empty: no TLS. Read again when it changes.
    pub tls_cert_file: String,
    /// File of its key, without a passphrase.
    pub tls_key_file: String,
    /// Issuer of tokens of an identity provider, as they name it; empty: none are taken.
    pub oidc_issuer: String,
    /// Audience that such a token must be for.
    pub oidc_audience: String,
    /// Where the issuer's keys are; empty: where it says itself (`/.well-known/openid-configuration`).
    pub oidc_jwks_url: String,
    /// Claim that holds the roles, such as `realm_access.roles`.
    pub oidc_roles_claim: String,
    /// Claim that holds the only user whose history a token reaches; empty: a token reaches all.
    pub oidc_user_claim: String,
    /// How far the issuer's clock may differ from ours, in seconds.
    pub oidc_leeway_s: u64,
}

/// `[gateway]`
#[derive(Debug, Clone)]
pub struct Gateway {
    /// Address of `flowtrail serve`, `host:port`; port 0 takes a free one.
    pub listen: String,
    /// Topic that events are put on.
    pub topic: String,
    /// How long a request may take, in milliseconds.
    pub deadline_ms: u64,
    /// Bytes of a request's body.
    pub max_body_bytes: usize,
    /// Folder that keeps events while Kafka is away; empty: none, and such requests are refused.
    pub spool_dir: String,
    /// How many bytes that folder may hold.
    pub spool_bytes: u64,
    /// Whether events of an app that `appstate` has switched off are left out.
    pub enforce_appstate: bool,
    /// How many events a second each app may post; 0 is no limit.
    pub quota_per_app: u64,
    /// Sessions with Postgres that requests share.
    pub sessions: usize,
    /// Whether requests that change history are taken; if not, there are no such requests.
    pub record: bool,
    /// Address of another state service that every write is sent to as well, `http://host:port`; empty: none.
    pub also: String,
}

/// `[telemetry]`
#[derive(Debug, Clone)]
pub struct Telemetry {
    /// Address of a receiver of traces by OTLP over HTTP, without its `/v1/traces`, `http://host:port`; empty: none are made.
    pub otlp_endpoint: String,
    /// How many batches of a hundred are traced.
    pub sample_percent: u64,
    /// Name of this service in traces.
    pub service_name: String,
}

/// `[rerun]`
#[derive(Debug, Clone, Default)]
pub struct Rerun {
    /// By the app's name: where it is asked, as [`crate::rerun::Runtime`] reads it.
    pub apps: BTreeMap<String, String>,
}

/// `[schema]`
#[derive(Debug, Clone)]
pub struct Schema {
    /// What a server does at start about tables that are not as wanted.
    pub mode: SchemaMode,
    /// In how many partitions `steps` and `flowstate` are made where they are not there yet; 0 for none. Later it says only how
    /// many the exported SQL is for.
    pub partitions: usize,
}

/// What a server does at start about tables that are not as wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SchemaMode {
    /// Refuse to start, saying what was found and what is wanted.
    Validate,
    /// Apply what is missing.
    Update,
    /// Look at nothing.
    None,
}

impl Postgres {
    /// What the driver needs to connect, with a connect timeout of 10 s where the address names none.
    ///
    /// Which certificates to trust is not in there: [`Postgres::target`] has both.
    pub fn connection(&self) -> Result<tokio_postgres::Config, ConfigError> {
        self.target().map(|target| target.driver)
    }

    /// What the driver needs to connect, and how far to trust the server's certificate.
    pub fn target(&self) -> Result<Connection, ConfigError> {
        let url = self.url.as_ref().ok_or_else(|| {
            ConfigError::of(
                "postgres.url",
                "no database is named: set DATABASE_URL, PGHOST, or url under [postgres]",
            )
        })?;
        Connection::parse(url.expose_secret()).map_err(|message| ConfigError::of("postgres.url", message))
    }
}

impl Collector {
    /// The most sessions with Postgres that a collector has at a time.
    pub fn sessions(&self) -> usize {
        sessions::of_collector(self.lanes)
    }
}

/// A value that is one of a few words.
trait Choice: std::fmt::Debug {
    /// All the words.
    fn words(&self) -> &'static [&'static str];
    /// The word of this value.
    fn word(&self) -> &'static str;
    /// Takes the value of a word; says whether there is one.
    fn choose(&mut self, word: &str) -> bool;
}

/// Makes an enum a [`Choice`], each value with its word in a configuration file.
macro_rules! choice {
    ($choice:ident { $($value:ident = $word:literal),* }) => {
        impl Choice for $choice {
            fn words(&self) -> &'static [&'static str] {
                &[$($word),*]
            }

            fn word(&self) -> &'static str {
                match self {
                    $(Self::$value => $word),*
                }
            }

            fn choose(&mut self, word: &str) -> bool {
                match word {
                    $($word => *self = Self::$value,)*
                    _ => return false,
                }
                true
            }
        }
    };
}

choice!(SchemaMode { Validate = "validate", Update = "update", None = "none" });
choice!(OnGap { Halt = "halt", Continue = "continue" });

impl Default for Kafka {
    fn default() -> Self {
        Self {
            bootstrap_servers: "127.0.0.1:9092".to_owned(),
            topics: vec!["flow.history".to_owned()],
            group: "flowtrail".to_owned(),
            librdkafka: BTreeMap::new(),
        }
    }
}

impl Default for Collector {
    fn default() -> Self {
        Self {
            lanes: 2,
            batch_rows: 20_000,
            batch_bytes: 4 << 20,
            linger_ms: 5,
            lane_buffer_bytes: 2 << 20,
            max_payload_bytes: 4 << 20,
            dead_letter_topic: String::new(),
            metric_apps: 50,
            metric_users: 0,
            on_gap: OnGap::Halt,
            group_offset_interval_ms: 1_000,
            shutdown_timeout_ms: 10_000,
            stall_after_ms: 120_000,
        }
    }
}

impl Default for Http {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:9464".to_owned(),
            tokens_file: String::new(),
            trust_username_header: false,
            consumergroup_lag: false,
            open_metrics: false,
            max_connections: 4_096,
            tls_cert_file: String::new(),
            tls_key_file: String::new(),
            oidc_issuer: String::new(),
            oidc_audience: String::new(),
            oidc_jwks_url: String::new(),
            oidc_roles_claim: "roles".to_owned(),
            oidc_user_claim: String::new(),
            oidc_leeway_s: 60,
        }
    }
}

impl Default for Gateway {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:9190".to_owned(),
            topic: "flow.history".to_owned(),
            deadline_ms: 5_000,
            max_body_bytes: 4 << 20,
            spool_dir: String::new(),
            spool_bytes: 1 << 30,
            enforce_appstate: false,
            quota_per_app: 0,
            sessions: 8,
            record: true,
            also: String::new(),
        }
    }
}

impl Default for Telemetry {
    fn default() -> Self {
        Self { otlp_endpoint: String::new(), sample_percent: 100, service_name: "flowtrail".to_owned() }
    }
}

impl Default for Schema {
    fn default() -> Self {
        Self { mode: SchemaMode::Validate, partitions: 0 }
    }
}
