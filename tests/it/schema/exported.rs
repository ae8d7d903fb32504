//! The changes as SQL, run by psql as a DBA would.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
};

use tokio::{io::AsyncWriteExt as _, process::Command};

use super::{
    CHANGES, SEED, connect, described, empty_database, nobody_applies, old_database, program, rows, schema,
    servers,
};
use crate::program::{configured, flowtrail};

/// psql, where there is one.
pub fn psql() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found =
        std::env::split_paths(&path).map(|folder| folder.join("psql")).find(|program| program.is_file());
    if found.is_none() {
        eprintln!("SKIPPED: there is no psql on this machine; install the package postgresql-client");
    }
    found
}

/// Runs a script to its end or its first error; gives the exit code and what psql complained of.
pub async fn run(psql: &Path, url: &str, script: &str) -> (i32, String) {
    let mut command = Command::new(psql);
    command.args(["--no-psqlrc", "--quiet", "--set", "ON_ERROR_STOP=1", "--file", "-", url]);
    command.env("PGOPTIONS", "-c client_min_messages=warning");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(script.as_bytes()).await.unwrap();
    drop(input);
    let ended = child.wait_with_output().await.unwrap();
    (ended.status.code().unwrap(), String::from_utf8(ended.stderr).unwrap())
}

async fn exported(arguments: &[&str]) -> String {
    of(arguments, 0).await
}

/// The script for tables in so many partitions.
pub async fn of(arguments: &[&str], partitions: usize) -> String {
    let mut command = flowtrail(["schema", "export"]);
    program::done(command.args(arguments).env("FLOWTRAIL_SCHEMA__PARTITIONS", partitions.to_string())).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_psql_makes_of_the_export_is_what_update_makes() {
    let Some(psql) = psql() else { return };
    let wanted = described(&connect(&servers::database().await).await).await;
    let url = empty_database().await;
    assert_eq!(run(&psql, &url, &exported(&["--create"]).await).await, (0, String::new()));
    let client = connect(&url).await;
    assert_eq!(described(&client).await, wanted);
    assert_eq!(schema::validate(&client).await.unwrap(), []);
    nobody_applies(&client).await.unwrap();
    let recorded = "SELECT concat_ws(' ', number, name, needs, encode(checksum, 'hex')) FROM ft_schema_change ORDER BY number";
    let updated = connect(&servers::database().await).await;
    assert_eq!(rows::texts(&client, recorded).await, rows::texts(&updated, recorded).await);

    for known in 1..CHANGES.len() {
        let (url, client) = old_database(known).await;
        let upgrade = exported(&["--upgrade-from", &known.to_string()]).await;
        assert_eq!(run(&psql, &url, &upgrade).await, (0, String::new()), "from {known}");
        assert_eq!(described(&client).await, wanted, "from {known}");
        assert_eq!(schema::validate(&client).await.unwrap(), [], "from {known}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_takes_tables_of_the_go_service_over_and_is_refused_where_it_does_not_fit() {
    let Some(psql) = psql() else { return };
    let url = empty_database().await;
    let client = connect(&url).await;
    let older = SEED.replace("flowinput             bytea,", "").replace("flowoutput            bytea,", "");
    assert!(older.len() < SEED.len());
    client.batch_execute(&older).await.unwrap();
    let create = exported(&["--create"]).await;
    assert_eq!(run(&psql, &url, &create).await, (0, String::new()));
    assert_eq!(schema::validate(&client).await.unwrap(), []);

    // Once more, or from another change than it is at: nothing is done, and why is said.
    let before = described(&client).await;
    for script in [create, exported(&["--upgrade-from", "2"]).await] {
        let (code, said) = run(&psql, &url, &script).await;
        assert!(code != 0 && said.contains("this database is not at schema change"), "{said}");
    }
    // While another instance is at it, too.
    let (url, other) = old_database(2).await;
    let lock = i64::from_be_bytes(*b"flowtrai");
    other.execute("SELECT pg_advisory_lock($1)", &[&lock]).await.unwrap();
    let (code, said) = run(&psql, &url, &exported(&["--upgrade-from", "2"]).await).await;
    assert!(code != 0 && said.contains("another instance applies schema changes"), "{said}");
    assert_eq!(described(&client).await, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_needs_no_database_and_a_change_that_is_not_there_is_wrong_usage() {
    assert!(exported(&["--create"]).await.contains("CREATE TABLE IF NOT EXISTS steps"));
    for wrong in
        [&["--upgrade-from", "99"][..], &["--upgrade-from", "0"], &[], &["--create", "--upgrade-from", "1"]]
    {
        let ran = program::run(flowtrail(["schema", "export"]).args(wrong)).await;
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{wrong:?}: {ran:?}");
    }
    // What it says is what is asked of a database: none here.
    let config = servers::config_of("postgres://nobody@127.0.0.1:9/none").await;
    program::done(&mut configured(&config, ["schema", "export", "--create"])).await;
}
