//! A Kafka that wants to know who asks: TLS, each way to log in, and users with the rights of `deploy/acl.sh` only.

use std::{
    collections::BTreeMap, fs, net::TcpListener, os::unix::fs::PermissionsExt as _, path::Path,
    process::Command, sync::OnceLock,
};

use flowtrail::{
    config::Config,
    dev::{self, Stack, StackOptions},
    kafka::admin::Admin,
};
use tempfile::TempDir;
use tokio::task::spawn_blocking;

use crate::{
    certificates::{Authority, write},
    rows,
    servers::{self, PATIENCE, until},
};

mod log_in;
mod refused;
mod rights;

/// Password of every user.
const PASSWORD: &str = "correct horse";

/// Topics that users have rights on.
const TOPIC: &str = "flow.history";
const LETTERS: &str = "flow.letters";
const TARGET: &str = "flow.copy";

/// A listener: its name, its protocol, and which certificate it shows.
const LISTENERS: [(&str, &str, &str); 4] = [
    ("TLS", "SSL", "server"),
    ("SASL", "SASL_SSL", "server"),
    ("ENDED", "SSL", "ended"),
    ("OTHER", "SSL", "other"),
];

const USERS: [&str; 5] = ["collect", "serve", "replay", "look", "nobody"];

/// The broker, what its clients need, and how an administrator reaches it.
pub struct Secure {
    stack: Stack,
    ports: BTreeMap<&'static str, u16>,
    folder: TempDir,
}

/// The one broker of these tests.
pub async fn secure() -> &'static Secure {
    static SECURE: OnceLock<Secure> = OnceLock::new();
    servers::bootstrap_servers().await;
    spawn_blocking(|| SECURE.get_or_init(Secure::start)).await.unwrap()
}

impl Secure {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        certificates(folder.path());
        let names = ["CLIENT", "CONTROLLER"].into_iter().chain(LISTENERS.map(|(name, ..)| name));
        let ports: BTreeMap<_, _> = names.zip(free_ports()).collect();
        let mut options = StackOptions::new(Path::new(env!("CARGO_TARGET_TMPDIR")).join("secure-kafka"));
        options.postgres = Some(servers::stack().database_url().clone());
        options.kafka_port = ports["CLIENT"];
        options.kafka_settings = settings(&ports, folder.path());
        dev::reset(&options.data_dir).unwrap();
        let stack = Stack::start(&options).unwrap_or_else(|error| panic!("{error}"));
        let secure = Self { stack, ports, folder };
        secure.prepare();
        secure
    }

    /// Users with passwords for SCRAM, topics, and the rights of the script.
    fn prepare(&self) {
        // Kafka alters one of a user's secrets at a time.
        for mechanism in ["SCRAM-SHA-256", "SCRAM-SHA-512"] {
            let secret = format!("{mechanism}=[password={PASSWORD}]");
            let user =
                ["--alter", "--entity-type", "users", "--entity-name", "collect", "--add-config", &secret];
            succeeds(self.tool("kafka.admin.ConfigCommand").args(user));
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let admin = Admin::new(&self.administrator(&Config::default()).kafka).unwrap();
            for topic in [TOPIC, LETTERS, TARGET] {
                admin.ensure_topic(topic, 1, &[], PATIENCE).await.unwrap();
            }
        });
        self.script();
    }

    /// Runs `deploy/acl.sh` for the users of these tests.
    fn script(&self) {
        let tool = self.tool("org.apache.kafka.tools.AclCommand");
        let words = std::iter::once(tool.get_program()).chain(tool.get_args());
        let words: Vec<String> = words.map(|word| format!("'{}'", word.to_str().unwrap())).collect();
        let wrapper =
            write(self.folder.path(), "kafka-acls.sh", &format!("exec {} \"$@\"\n", words.join(" ")));
        fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755)).unwrap();
        let mut script = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/acl.sh"));
        script.env("KAFKA_ACLS", format!("sh {wrapper}")).env("LETTERS", LETTERS).env("TARGET", TARGET);
        for user in USERS {
            script.env(user.to_uppercase(), format!("User:{user}"));
        }
        succeeds(&mut script);
    }

    /// One of Kafka's own programs, as an administrator runs it: by the Java and the jars of the broker.
    fn tool(&self, class: &str) -> Command {
        let pid = self.stack.kafka().unwrap().pid().unwrap();
        let line = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap();
        let words: Vec<&str> = line.split('\0').collect();
        let jars = words[words.iter().position(|word| *word == "-cp").unwrap() + 1];
        let mut command = Command::new(fs::read_link(format!("/proc/{pid}/exe")).unwrap());
        command.args(["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp", jars, class]);
        command.args(["--bootstrap-server", self.stack.bootstrap_servers()]);
        command
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    /// As an administrator reaches it, who may do everything.
    pub fn administrator(&self, config: &Config) -> Config {
        let mut config = config.clone();
        self.stack.bootstrap_servers().clone_into(&mut config.kafka.bootstrap_servers);
        config.kafka.topics = vec![TOPIC.to_owned()];
        "flowtrail".clone_into(&mut config.kafka.group);
        config
    }

    /// By one of the listeners, with these settings, trusting the authority that signed its certificate.
    pub fn by(&self, listener: &str, config: &Config, settings: &[(&str, &str)]) -> Config {
        let mut config = self.administrator(config);
        config.kafka.bootstrap_servers = format!("127.0.0.1:{}", self.ports[listener]);
        let (_, protocol, _) = LISTENERS.iter().find(|(name, ..)| *name == listener).unwrap();
        let authority = self.path("authority.pem");
        let all = [("security.protocol", *protocol), ("ssl.ca.location", &authority)];
        for (name, value) in all.iter().chain(settings) {
            config.kafka.librdkafka.insert((*name).to_owned(), (*value).into());
        }
        config
    }

    /// As a user with a password.
    pub fn user(&self, user: &str, config: &Config) -> Config {
        let log_in = [("sasl.mechanism", "PLAIN"), ("sasl.username", user), ("sasl.password", PASSWORD)];
        self.by("SASL", config, &log_in)
    }
}

/// A configuration with a database of its own.
pub async fn database() -> Config {
    servers::config_of(&servers::database().await).await
}

/// Waits for the flows of `recorded.jsonl`. Other tests put them on the topic as well, which adds nothing.
async fn all_flows_are_stored(database: &Config) {
    let client = servers::connect_to(database).await;
    until("all flows are stored", async || match rows::count(&client, "flowstate").await {
        16 => Ok(()),
        count => Err(format!("{count} flows")),
    })
    .await;
}

fn certificates(folder: &Path) {
    let authority = Authority::new("authority");
    let stranger = Authority::new("stranger");
    write(folder, "authority.pem", &authority.pem());
    write(folder, "stranger.pem", &stranger.pem());
    let server = |name, pair: crate::certificates::Pair| {
        write(folder, name, &format!("{}{}", pair.key, pair.certificate));
    };
    server("server.pem", authority.server("127.0.0.1"));
    server("ended.pem", authority.ended("127.0.0.1"));
    server("other.pem", authority.server("elsewhere"));
    for (name, client) in [("collect", authority.client("collect")), ("unknown", stranger.client("collect"))]
    {
        write(folder, &format!("{name}.crt"), &client.certificate);
        write(folder, &format!("{name}.key"), &client.key);
    }
}

/// Ports below those that systems give to outgoing connections, free a moment ago.
fn free_ports() -> impl Iterator<Item = u16> {
    let mut port = 15_000 + u16::try_from(std::process::id() % 16_000).unwrap();
    std::iter::repeat_with(move || {
        port += 1;
        while TcpListener::bind(("127.0.0.1", port)).is_err() {
            port += 1;
        }
        port
    })
}

fn settings(ports: &BTreeMap<&str, u16>, folder: &Path) -> Vec<(String, String)> {
    let at = |names: &mut dyn Iterator<Item = &str>| {
        let listeners = names.map(|name| format!("{name}://127.0.0.1:{}", ports[name]));
        listeners.collect::<Vec<_>>().join(",")
    };
    let login = "org.apache.kafka.common.security";
    let passwords = USERS.map(|user| format!("user_{user}=\"{PASSWORD}\"")).join(" ");
    let protocols = LISTENERS.map(|(name, protocol, _)| format!(",{name}:{protocol}")).concat();
    let mut settings: Vec<(String, String)> = [
        ("listeners", at(&mut ports.keys().copied())),
        ("advertised.listeners", at(&mut ports.keys().copied().filter(|name| *name != "CONTROLLER"))),
        ("controller.quorum.voters", format!("1@127.0.0.1:{}", ports["CONTROLLER"])),
        ("listener.security.protocol.map", format!("CLIENT:PLAINTEXT,CONTROLLER:PLAINTEXT{protocols}")),
        ("authorizer.class.name", "org.apache.kafka.metadata.authorizer.StandardAuthorizer".to_owned()),
        ("super.users", "User:ANONYMOUS".to_owned()),
        ("listener.name.tls.ssl.client.auth", "required".to_owned()),
        ("listener.name.tls.ssl.principal.mapping.rules", "RULE:^CN=(.*)$/$1/".to_owned()),
        ("listener.name.sasl.sasl.enabled.mechanisms", "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER".to_owned()),
        (
            "listener.name.sasl.plain.sasl.jaas.config",
            format!("{login}.plain.PlainLoginModule required {passwords};"),
        ),
        ("listener.name.sasl.scram-sha-256.sasl.jaas.config", format!("{login}.scram.ScramLoginModule required;")),
        ("listener.name.sasl.scram-sha-512.sasl.jaas.config", format!("{login}.scram.ScramLoginModule required;")),
        (
            "listener.name.sasl.oauthbearer.sasl.jaas.config",
            format!("{login}.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub=\"broker\";"),
        ),
        (
            "listener.name.sasl.oauthbearer.sasl.server.callback.handler.class",
            format!("{login}.oauthbearer.internals.unsecured.OAuthBearerUnsecuredValidatorCallbackHandler"),
        ),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into();
    let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    for (listener, _, certificate) in LISTENERS {
        let listener = listener.to_lowercase();
        for (name, value) in [
            ("keystore.type", "PEM".to_owned()),
            ("keystore.location", path(&format!("{certificate}.pem"))),
            ("truststore.type", "PEM".to_owned()),
            ("truststore.location", path("authority.pem")),
        ] {
            settings.push((format!("listener.name.{listener}.ssl.{name}"), value));
        }
    }
    settings
}

fn succeeds(command: &mut Command) {
    let output = command.output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&said));
}
