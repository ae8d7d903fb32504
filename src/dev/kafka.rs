//! The stack's Kafka: one node, broker and controller in one process, on 127.0.0.1 only.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use tracing::debug;

use super::cache::Cache;
use super::data_dir::remove;
use super::download::DownloadError;
use super::process::{Launch, Process, StopSignal};
use super::server::{Program, ServerError, free_port};
use super::{artifact, java};

/// Kept in the stack's folder while Kafka runs.
pub(super) const PID_FILE: &str = "kafka.pid";
/// Kafka's folder in the stack's.
const NAME: &str = "kafka";
/// Where the topics are. Kafka runs in its own folder and is given relative names: a list of folders is separated by
/// commas, which a name may hold.
const TOPICS: &str = "topics";
/// Says that the topics' folder was prepared to the end.
const FORMATTED: &str = "formatted";
const PROPERTIES: &str = "server.properties";
const LOG_PROPERTIES: &str = "log4j2.properties";
/// What Kafka logs.
const LOG: &str = "kafka.log";
/// What Java prints.
const CONSOLE: &str = "console.log";
/// How long one attempt to see whether it answers may take.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);
/// How long preparing the topics' folder may take; a second or two is usual.
const FORMAT_TIMEOUT: Duration = Duration::from_mins(2);
/// A small heap, and the collector that costs least on a machine with few processors.
const JAVA_OPTIONS: [&str; 5] = [
    "-Xmx512m",
    "-Xms256m",
    "-XX:+UseSerialGC",
    "-Djava.awt.headless=true",
    "-Dlog4j2.configurationFile=log4j2.properties",
];

/// 16 MiB of payload, and room for the key, the headers and the batch around it.
const MESSAGE_MAX_BYTES: &str = "17825792";

const SETTINGS: [(&str, &str); 26] = [
    ("process.roles", "broker,controller"),
    ("node.id", "1"),
    ("controller.listener.names", "CONTROLLER"),
    ("listener.security.protocol.map", "CLIENT:PLAINTEXT,CONTROLLER:PLAINTEXT"),
    ("inter.broker.listener.name", "CLIENT"),
    ("log.dirs", TOPICS),
    ("auto.create.topics.enable", "false"),
    // One node holds the only copy of everything.
    ("default.replication.factor", "1"),
    ("min.insync.replicas", "1"),
    ("offsets.topic.replication.factor", "1"),
    ("transaction.state.log.replication.factor", "1"),
    ("transaction.state.log.min.isr", "1"),
    ("share.coordinator.state.topic.replication.factor", "1"),
    ("share.coordinator.state.topic.min.isr", "1"),
    // Fifty partitions each by default, all of which would be made at the first use.
    ("offsets.topic.num.partitions", "4"),
    ("transaction.state.log.num.partitions", "4"),
    ("share.coordinator.state.topic.num.partitions", "1"),
    // After a crash the node must wait until its former self counts as gone: 9 seconds by default.
    ("broker.session.timeout.ms", "3000"),
    ("broker.heartbeat.interval.ms", "500"),
    ("group.initial.rebalance.delay.ms", "0"),
    ("message.max.bytes", MESSAGE_MAX_BYTES),
    ("replica.fetch.max.bytes", MESSAGE_MAX_BYTES),
    ("num.network.threads", "2"),
    ("num.io.threads", "4"),
    // 128 MiB of the heap by default, for topics far larger than a local one.
    ("log.cleaner.dedupe.buffer.size", "16777216"),
    ("log.cleaner.threads", "1"),
];

const LOG_SETTINGS: &str = "\
status = error
appender.file.type = RollingFile
appender.file.name = file
appender.file.fileName = kafka.log
appender.file.filePattern = kafka.log.%i
appender.file.layout.type = PatternLayout
appender.file.layout.pattern = %d{ISO8601} %p %m (%c{1})%n
appender.file.policies.type = Policies
appender.file.policies.size.type = SizeBasedTriggeringPolicy
appender.file.policies.size.size = 16MB
appender.file.strategy.type = DefaultRolloverStrategy
appender.file.strategy.max = 2
rootLogger.level = info
rootLogger.appenderRef.file.ref = file
";

/// Why Kafka could not be prepared.
#[derive(Debug, thiserror::Error)]
pub enum KafkaError {
    /// It, or a Java to run it, could not be fetched.
    #[error(transparent)]
    Download(#[from] DownloadError),
    /// Its folder could not be prepared by its own tool.
    #[error("Kafka's storage tool could not prepare {}: {said}; see {}", path.display(), log.display())]
    Format {
        /// The folder.
        path: PathBuf,
        /// The line of its log that tells most.
        said: String,
        /// Its log.
        log: PathBuf,
    },
    /// A file or folder could not be read or written.
    #[error("could not use {}; check its permissions and the space left", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl KafkaError {
    fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }
}

/// What is needed to run the stack's Kafka.
#[derive(Debug)]
pub(super) struct Kafka {
    data_dir: PathBuf,
    dir: PathBuf,
    java: PathBuf,
    class_path: OsString,
    port: u16,
    settings: Vec<(String, String)>,
}

impl Kafka {
    /// Finds or fetches Java and the jars.
    pub(super) fn new(
        data_dir: &Path,
        cache: &Cache,
        packaged: bool,
        port: u16,
        settings: Vec<(String, String)>,
    ) -> Result<Self, KafkaError> {
        let java = java::find(cache, packaged)?;
        let folder = format!("kafka-{}", artifact::KAFKA_VERSION);
        let jars = cache.files(&folder, "Kafka", &artifact::kafka_jars())?;
        let class_path = jars.iter().map(|jar| jar.as_os_str()).collect::<Vec<_>>().join(":".as_ref());
        let (data_dir, dir) = (data_dir.to_owned(), data_dir.join(NAME));
        Ok(Self { data_dir, dir, java, class_path, port, settings })
    }

    /// How clients reach it.
    pub(super) fn bootstrap_servers(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Written anew at each start, because ports may differ. The controller is found by a fixed list of voters, not by the
    /// address that was stored when the folder was made.
    fn properties(&self, controller_port: u16) -> String {
        let client = self.bootstrap_servers();
        let ports = [
            ("listeners", format!("CLIENT://{client},CONTROLLER://127.0.0.1:{controller_port}")),
            ("advertised.listeners", format!("CLIENT://{client}")),
            ("controller.quorum.voters", format!("1@127.0.0.1:{controller_port}")),
        ];
        let fixed = SETTINGS.iter().map(|(name, value)| (*name, *value));
        let ports = ports.iter().map(|(name, value)| (*name, value.as_str()));
        let given = self.settings.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        // Of two lines for one name the later counts.
        fixed.chain(ports).chain(given).fold(String::new(), |mut text, (name, value)| {
            // Writing to a String can't fail.
            let _ = writeln!(text, "{name}={}", value.replace('\\', "\\\\").replace('\n', "\\n"));
            text
        })
    }

    /// Java with these arguments, in Kafka's folder.
    fn launch(&self, args: Vec<OsString>) -> Launch {
        Launch {
            program: self.java.clone(),
            args,
            dir: self.dir.clone(),
            account: None,
            log: self.dir.join(CONSOLE),
            pid_file: self.data_dir.join(PID_FILE),
            stop: StopSignal::Terminate,
        }
    }

    /// Prepares the topics' folder the first time; again if that was interrupted, when it can't hold anything yet.
    fn format(&self) -> Result<(), KafkaError> {
        let formatted = self.dir.join(FORMATTED);
        if formatted.exists() {
            return Ok(());
        }
        let topics = self.dir.join(TOPICS);
        remove(&topics).map_err(KafkaError::io(&topics))?;
        let options: [OsString; 3] = ["-Xmx256m".into(), "-XX:TieredStopAtLevel=1".into(), "-cp".into()];
        let tool =
            ["kafka.tools.StorageTool", "format", "-t", &cluster_id(), "-c", PROPERTIES].map(OsString::from);
        let args = options.into_iter().chain([self.class_path.clone()]).chain(tool).collect();
        let outcome = Process::run(&self.launch(args), FORMAT_TIMEOUT).map_err(KafkaError::io(&self.java))?;
        outcome.map_err(|said| KafkaError::Format { path: topics, said, log: self.dir.join(CONSOLE) })?;
        fs::write(&formatted, "").map_err(KafkaError::io(&formatted))
    }
}

impl Program for Kafka {
    fn name(&self) -> &'static str {
        "Kafka"
    }

    fn port(&self) -> u16 {
        self.port
    }

    fn prepare(&self) -> Result<Launch, ServerError> {
        fs::create_dir_all(&self.dir).map_err(KafkaError::io(&self.dir))?;
        let controller_port = free_port().map_err(KafkaError::io(&self.dir))?;
        for (name, text) in
            [(PROPERTIES, self.properties(controller_port)), (LOG_PROPERTIES, LOG_SETTINGS.to_owned())]
        {
            let path = self.dir.join(name);
            fs::write(&path, text).map_err(KafkaError::io(&path))?;
        }
        self.format()?;
        let mut args: Vec<OsString> = JAVA_OPTIONS.iter().map(Into::into).collect();
        // For people who look at the list of processes.
        let mut folder = OsString::from("-Dflowtrail.dev=");
        folder.push(&self.data_dir);
        args.extend([folder, "-cp".into(), self.class_path.clone(), "kafka.Kafka".into(), PROPERTIES.into()]);
        Ok(self.launch(args))
    }

    fn is_ready(&self) -> bool {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.bootstrap_servers());
        let answer = config
            .create::<BaseConsumer>()
            .and_then(|client| client.fetch_metadata(None, PROBE_TIMEOUT))
            .inspect_err(|error| debug!(%error, "Kafka is not ready yet"));
        answer.is_ok_and(|metadata| !metadata.brokers().is_empty())
    }

    fn log(&self) -> PathBuf {
        let log = self.dir.join(LOG);
        // Java itself may have failed before Kafka could log.
        if log.exists() { log } else { self.dir.join(CONSOLE) }
    }
}

/// A new cluster's name: 16 random bytes. It must not begin with a dash, which the storage tool would take for an option.
fn cluster_id() -> String {
    let mut bytes = rand::random::<[u8; 16]>();
    // The first character stands for the first six bits; without the highest it is a letter.
    bytes[0] &= 0x7f;
    debug_assert_ne!(bytes[0] >> 2, 0x3e, "the dash is character 62");
    URL_SAFE_NO_PAD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kafka(settings: &[(&str, &str)]) -> Kafka {
        Kafka {
            data_dir: PathBuf::from("/data"),
            dir: PathBuf::from("/data/kafka"),
            java: PathBuf::from("java"),
            class_path: OsString::new(),
            port: 19_092,
            settings: settings
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
        }
    }

    #[test]
    fn kafka_listens_on_the_loopback_only() {
        let properties = kafka(&[]).properties(19_093);
        let listeners = properties.lines().find(|line| line.starts_with("listeners=")).unwrap();
        assert_eq!(listeners, "listeners=CLIENT://127.0.0.1:19092,CONTROLLER://127.0.0.1:19093");
        assert!(properties.contains("\nadvertised.listeners=CLIENT://127.0.0.1:19092\n"));
    }

    #[test]
    fn a_given_setting_comes_last_and_keeps_its_characters() {
        let properties = kafka(&[("num.io.threads", "2"), ("odd", "a\\b\nc")]).properties(1);
        assert!(properties.ends_with("\nnum.io.threads=2\nodd=a\\\\b\\nc\n"), "{properties}");
    }

    #[test]
    fn a_cluster_id_has_22_characters_and_begins_with_a_letter() {
        for _ in 0..200 {
            let id = cluster_id();
            assert!(id.len() == 22 && id.starts_with(|c: char| c.is_ascii_alphabetic()), "{id}");
        }
    }
}
