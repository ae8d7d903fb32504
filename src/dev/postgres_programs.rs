//! Finds the programs of a Postgres: an installed one, if there is one that fits, else a packaged one.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tracing::info;

use super::account::Account;
use super::artifact::{self, POSTGRES_MAJOR, Runtime};
use super::cache::Cache;
use super::download::DownloadError;
use super::postgres::PostgresError;
use super::{archive, find};

/// The oldest major version that flowtrail is tested with.
const LEAST: u32 = 14;
/// Where systems keep Postgres: folders with a folder for each major version.
const INSTALLED: [&str; 5] =
    ["/usr/lib/postgresql", "/usr", "/opt/homebrew/opt", "/usr/local/opt", "/Library/PostgreSQL"];
/// Where root unpacks programs that the account Postgres runs as must be able to read.
const ROOT_CACHE: &str = "/var/cache/flowtrail";

/// The programs of one Postgres.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Programs {
    /// The folder of `postgres` and `initdb`.
    pub(super) bin: PathBuf,
    /// Their major version.
    pub(super) major: u32,
}

/// What is looked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted<'a> {
    /// The database that is there already, and the major version that made it.
    pub(super) made_by: Option<(&'a Path, u32)>,
    /// Leave the machine's own alone.
    pub(super) packaged: bool,
    /// The packaged one of this major version and no other.
    pub(super) major: Option<u32>,
    /// Who must be able to run them, if not this process.
    pub(super) account: Option<Account>,
}

/// The programs that fit: of the version that made the database, if there is one; else the one on `PATH`, else the newest
/// installed, else the packaged one.
pub(super) fn find(cache: &Cache, wanted: Wanted<'_>) -> Result<Programs, PostgresError> {
    let reachable =
        |programs: &Programs| wanted.account.is_none_or(|account| account.can_reach(&programs.bin));
    let packaged = wanted.packaged || wanted.major.is_some();
    let mut installed = if packaged { Vec::new() } else { installed() };
    installed.retain(|programs| programs.major >= LEAST && reachable(programs));
    let majors: Vec<u32> = installed.iter().map(|programs| programs.major).collect();
    let chosen = installed.into_iter().find(|p| wanted.made_by.is_none_or(|(_, major)| p.major == major));
    if let Some(programs) = chosen {
        info!(bin = %programs.bin.display(), major = programs.major, "found Postgres");
        return Ok(programs);
    }
    let to_fetch = wanted.major.unwrap_or(POSTGRES_MAJOR);
    if let Some((path, major)) = wanted.made_by.filter(|(_, major)| *major != to_fetch) {
        return Err(PostgresError::OtherMajor {
            path: path.to_owned(),
            major,
            found: listed(&majors, to_fetch),
        });
    }
    fetched(cache, to_fetch, wanted.account)
}

/// What is installed: that on `PATH` first, then the newer before the older.
fn installed() -> Vec<Programs> {
    let on_path = find::on_path("postgres").filter_map(|postgres| programs(&postgres));
    let mut elsewhere: Vec<_> = INSTALLED
        .iter()
        .flat_map(|parent| fs::read_dir(parent).into_iter().flatten())
        .filter_map(Result::ok)
        .filter(|entry| is_version_dir(&entry.file_name().to_string_lossy()))
        .filter_map(|entry| programs(&entry.path().join("bin/postgres")))
        .collect();
    elsewhere.sort_by_key(|programs| std::cmp::Reverse(programs.major));
    on_path.chain(elsewhere).collect()
}

/// Whether a folder's name says that one version of Postgres lies in it: `15`, `pgsql-15`, `postgresql@15`.
fn is_version_dir(name: &str) -> bool {
    let number =
        ["pgsql-", "postgresql@"].iter().find_map(|prefix| name.strip_prefix(prefix)).unwrap_or(name);
    !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
}

/// The programs beside a `postgres`, following links, or none if `initdb` isn't there.
fn programs(postgres: &Path) -> Option<Programs> {
    let postgres = postgres.canonicalize().ok()?;
    let bin = postgres.parent()?.to_owned();
    if !find::is_program(&postgres) || !find::is_program(&bin.join("initdb")) {
        return None;
    }
    let output = Command::new(&postgres).arg("--version").stdin(Stdio::null()).output().ok()?;
    let major = parse_major(&String::from_utf8_lossy(&output.stdout))?;
    Some(Programs { bin, major })
}

/// The major version in what `postgres --version` says: 15 for `postgres (PostgreSQL) 15.13 (Debian 15.13-0)`.
fn parse_major(said: &str) -> Option<u32> {
    let (_, version) = said.split_once("(PostgreSQL) ")?;
    version.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

fn fetched(cache: &Cache, major: u32, account: Option<Account>) -> Result<Programs, PostgresError> {
    let (os, arch) = (env::consts::OS, env::consts::ARCH);
    let no_package = DownloadError::NoPackage { what: "Postgres", least: LEAST.to_string(), os, arch };
    let artifact = artifact::runtime(Runtime::Postgres(major), os, arch).ok_or(no_package)?;
    let cache = reachable_cache(cache, account)?;
    let version = artifact::postgres_version(&artifact.name).unwrap_or(&artifact.name);
    let folder = format!("postgres-{version}-{os}-{arch}");
    let home = cache.unpacked(&folder, "Postgres", &artifact, archive::postgres_jar)?;
    let bin = home.join("bin");
    match account {
        Some(account) if !account.can_reach(&bin) => {
            Err(PostgresError::Unreachable { path: bin, uid: account.uid })
        }
        _ => Ok(Programs { bin, major }),
    }
}

/// The user's cache, or root's common one if the account could not enter that.
fn reachable_cache(cache: &Cache, account: Option<Account>) -> Result<Cache, PostgresError> {
    let Some(account) = account else { return Ok(cache.clone()) };
    fs::create_dir_all(cache.dir()).map_err(PostgresError::home(cache.dir()))?;
    if account.can_reach(cache.dir()) {
        return Ok(cache.clone());
    }
    let common = Path::new(ROOT_CACHE);
    super::postgres_home::make_reachable(common).map_err(PostgresError::home(common))?;
    Ok(cache.at(common))
}

fn listed(majors: &[u32], packaged: u32) -> String {
    let mut names: Vec<String> = majors.iter().map(u32::to_string).collect();
    names.push(format!("{packaged} packaged"));
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_version_is_read_from_what_postgres_says() {
        assert_eq!(parse_major("postgres (PostgreSQL) 15.13 (Debian 15.13-0+deb12u1)\n"), Some(15));
        assert_eq!(parse_major("postgres (PostgreSQL) 18devel\n"), Some(18));
        assert_eq!(parse_major("postgres: command not found"), None);
    }

    #[test]
    fn folders_of_one_version_are_told_from_others() {
        for name in ["15", "pgsql-16", "postgresql@17"] {
            assert!(is_version_dir(name), "{name}");
        }
        for name in ["bin", "pgsql-", "postgresql", "lib32"] {
            assert!(!is_version_dir(name), "{name}");
        }
    }

    #[test]
    fn a_database_of_a_version_that_is_not_there_is_one_clear_sentence() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::of_user(false).unwrap().at(dir.path());
        let wanted =
            Wanted { made_by: Some((Path::new("/data"), 16)), packaged: true, major: None, account: None };
        let error = find(&cache, wanted).unwrap_err().to_string();
        assert!(error.contains("/data was made by Postgres 16") && error.contains("17 packaged"), "{error}");
    }
}
