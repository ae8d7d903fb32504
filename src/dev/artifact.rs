//! What the local stack and the tests beside it fetch: each file pinned by address, length and SHA-256.

use std::env;

/// Kafka's version, as its folder in the cache is named.
pub(super) const KAFKA_VERSION: &str = "4.1.0";
/// The packaged Java's version, as its folder in the cache is named.
pub(super) const JAVA_VERSION: &str = "25.0.2";
/// The packaged Go's version, as its folder in the cache is named.
pub(super) const GO_VERSION: &str = "1.26.8";
/// The packaged Postgres's major version where none is asked for: which data folders it can open.
pub(super) const POSTGRES_MAJOR: u32 = 17;

const KAFKA_JARS: &str = include_str!("kafka-jars.txt");
const RUNTIMES: &str = include_str!("runtimes.txt");

/// One file to fetch. Its bytes are known in advance, so it may come from any mirror.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Artifact {
    /// The file's name, without a folder.
    pub(super) name: String,
    /// Where it is fetched from.
    pub(super) url: String,
    /// Its length.
    pub(super) bytes: u64,
    /// Its SHA-256 in lower-case hexadecimal digits.
    pub(super) sha256: String,
}

/// Which packaged program a machine lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Runtime {
    Java,
    /// Of this major version.
    Postgres(u32),
    Go,
}

impl Runtime {
    fn word(self) -> &'static str {
        match self {
            Self::Java => "java",
            Self::Postgres(_) => "postgres",
            Self::Go => "go",
        }
    }

    fn registry(self) -> Registry {
        match self {
            Self::Java => Registry::Pypi,
            Self::Postgres(_) => Registry::MavenCentral,
            Self::Go => Registry::GoProxy,
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Registry {
    MavenCentral,
    Pypi,
    GoProxy,
}

impl Registry {
    /// Where the registry is; a mirror can be named, since every file is checked against its checksum.
    fn base(self) -> String {
        let (variable, default) = match self {
            Self::MavenCentral => ("FLOWTRAIL_MAVEN_URL", "https://repo1.maven.org/maven2"),
            Self::Pypi => ("FLOWTRAIL_PYPI_FILES_URL", "https://files.pythonhosted.org"),
            Self::GoProxy => ("GOPROXY", "https://proxy.golang.org"),
        };
        let named = env::var(variable).ok().filter(|value| !value.is_empty());
        let base = match self {
            // A list of proxies and words such as `direct`.
            Self::GoProxy => named.as_deref().and_then(|list| {
                list.split([',', '|']).find(|entry| entry.starts_with("https:") || entry.starts_with("http:"))
            }),
            Self::MavenCentral | Self::Pypi => named.as_deref(),
        };
        base.unwrap_or(default).trim_end_matches('/').to_owned()
    }
}

/// The jars of a Kafka broker, all of which belong on its class path.
pub(super) fn kafka_jars() -> Vec<Artifact> {
    let base = Registry::MavenCentral.base();
    rows(KAFKA_JARS).filter_map(|row| kafka_jar(&base, &row)).collect()
}

/// The packaged runtime for a system and architecture (as `std::env::consts` names them), if there is one.
pub(super) fn runtime(what: Runtime, os: &str, arch: &str) -> Option<Artifact> {
    rows(RUNTIMES).find_map(|row| {
        let [word, row_os, row_arch, path, bytes, sha256] = row.as_slice() else { return None };
        let name = path.rsplit('/').next()?;
        let is_wanted = match what {
            Runtime::Java | Runtime::Go => true,
            Runtime::Postgres(major) => postgres_version(name)?.starts_with(&format!("{major}.")),
        };
        if (*word, *row_os, *row_arch) != (what.word(), os, arch) || !is_wanted {
            return None;
        }
        Some(Artifact {
            name: name.to_owned(),
            url: format!("{}/{path}", what.registry().base()),
            bytes: bytes.parse().ok()?,
            sha256: (*sha256).to_owned(),
        })
    })
}

/// Postgres's own version in the name of its file: `17.11` of `…-linux-amd64-17.11.0.jar`.
pub(super) fn postgres_version(name: &str) -> Option<&str> {
    let (_, version) = name.strip_suffix(".jar")?.rsplit_once('-')?;
    version.rsplit_once('.').map(|(version, _package)| version)
}

fn kafka_jar(base: &str, row: &[&str]) -> Option<Artifact> {
    let [group, artifact, version, bytes, sha256] = row else { return None };
    let name = format!("{artifact}-{version}.jar");
    Some(Artifact {
        url: format!("{base}/{group}/{artifact}/{version}/{name}"),
        name,
        bytes: bytes.parse().ok()?,
        sha256: (*sha256).to_owned(),
    })
}

fn rows(list: &'static str) -> impl Iterator<Item = Vec<&'static str>> {
    let lines = list.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty());
    lines.map(|line| line.split_whitespace().collect())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn is_sha256(text: &str) -> bool {
        text.len() == 64 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    }

    #[test]
    fn every_line_of_the_jar_list_is_understood_and_names_a_file_of_its_own() {
        let jars = kafka_jars();
        assert_eq!(jars.len(), rows(KAFKA_JARS).count());
        assert_eq!(jars.iter().map(|jar| &jar.name).collect::<BTreeSet<_>>().len(), jars.len());
        assert!(jars.iter().all(|jar| jar.bytes > 0 && is_sha256(&jar.sha256)));
        let broker = jars.iter().find(|jar| jar.name == format!("kafka_2.13-{KAFKA_VERSION}.jar")).unwrap();
        assert!(
            broker.url.ends_with("/org/apache/kafka/kafka_2.13/4.1.0/kafka_2.13-4.1.0.jar"),
            "{}",
            broker.url
        );
    }

    #[test]
    fn there_is_a_java_and_a_postgres_for_each_supported_machine() {
        for os in ["linux", "macos"] {
            for arch in ["x86_64", "aarch64"] {
                let java = runtime(Runtime::Java, os, arch).unwrap();
                assert!(java.name.contains(JAVA_VERSION) && is_sha256(&java.sha256), "{java:?}");
                let postgres = runtime(Runtime::Postgres(POSTGRES_MAJOR), os, arch).unwrap();
                assert_eq!(
                    (postgres_version(&postgres.name), is_sha256(&postgres.sha256)),
                    (Some("17.11"), true)
                );
            }
        }
        assert_eq!(runtime(Runtime::Java, "plan9", "x86_64"), None);
    }

    #[test]
    fn there_is_a_postgres_of_each_version_that_tests_run_on() {
        let names: BTreeSet<String> = (14..=18)
            .map(|major| runtime(Runtime::Postgres(major), "linux", "x86_64").unwrap())
            .inspect(|found| assert!(is_sha256(&found.sha256), "{found:?}"))
            .map(|found| postgres_version(&found.name).unwrap().split('.').next().unwrap().to_owned())
            .collect();
        assert_eq!(names.into_iter().collect::<Vec<_>>(), ["14", "15", "16", "17", "18"]);
        assert_eq!(runtime(Runtime::Postgres(1), "linux", "x86_64"), None);
    }
}
