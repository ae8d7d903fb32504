//! Finds a Go to build with: the machine's, if it is recent enough, else a packaged one. The stack needs none; the tests
//! that build a Flogo app do.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tracing::{debug, info};

use super::artifact::{self, GO_VERSION, Runtime};
use super::cache::Cache;
use super::download::DownloadError;
use super::{archive, find};

/// Go 1.25 is the first that a test's app builds with.
const LEAST: u32 = 25;

/// The path of a `go` of version 1.25 or later. One that is fetched is kept in the user's cache, whole and checked.
///
/// Blocks, for as long as 70 MB take to arrive if the machine has none.
pub fn go() -> Result<PathBuf, DownloadError> {
    match installed() {
        Some(go) => Ok(go),
        None => fetched(&Cache::of_user(true)?),
    }
}

fn installed() -> Option<PathBuf> {
    find::on_path("go").find(|go| {
        let minor = version(go);
        info!(go = %go.display(), minor, least = LEAST, "found Go");
        minor.is_some_and(|minor| minor >= LEAST)
    })
}

fn version(go: &Path) -> Option<u32> {
    // Its own version, not that of a toolchain which a project asks for.
    let output =
        Command::new(go).args(["env", "GOVERSION"]).env("GOTOOLCHAIN", "local").stdin(Stdio::null()).output();
    let output = output.inspect_err(|error| debug!(go = %go.display(), %error, "not a Go")).ok()?;
    parse_minor(&String::from_utf8_lossy(&output.stdout))
}

/// The number after `go1.` in what `go env GOVERSION` says: 26 for `go1.26.8`, 25 for `go1.25rc1`.
fn parse_minor(said: &str) -> Option<u32> {
    let rest = said.strip_prefix("go1.")?;
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

fn fetched(cache: &Cache) -> Result<PathBuf, DownloadError> {
    let (os, arch) = (env::consts::OS, env::consts::ARCH);
    let no_package = DownloadError::NoPackage { what: "Go", least: format!("1.{LEAST}"), os, arch };
    let artifact = artifact::runtime(Runtime::Go, os, arch).ok_or(no_package)?;
    let folder = format!("go-{GO_VERSION}-{os}-{arch}");
    let home = cache.unpacked(&folder, "Go", &artifact, archive::go_toolchain)?;
    Ok(home.join("bin/go"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_minor_version_is_read_from_what_go_says() {
        assert_eq!(parse_minor("go1.26.8\n"), Some(26));
        assert_eq!(parse_minor("go1.25rc1\n"), Some(25));
        assert_eq!(parse_minor("go1.19\n"), Some(19));
        assert_eq!(parse_minor("devel go1.27-abcdef\n"), None);
        assert_eq!(parse_minor(""), None);
    }

    #[test]
    fn there_is_a_go_for_linux_and_a_sentence_elsewhere() {
        for arch in ["x86_64", "aarch64"] {
            let go = artifact::runtime(Runtime::Go, "linux", arch).unwrap();
            assert!(go.name.contains(GO_VERSION) && go.url.contains("/golang.org/toolchain/@v/"), "{go:?}");
        }
        assert_eq!(artifact::runtime(Runtime::Go, "plan9", "x86_64"), None);
    }
}
