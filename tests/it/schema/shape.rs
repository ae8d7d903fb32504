//! Tables that somebody changed by hand.

use serde_json::Value;

use super::{super::program::configured, connect, program, refused, rows, schema, servers};
use flowtrail::schema::SchemaError;

/// The list that tables are compared with, as the program has it.
const COLUMNS: &str = include_str!("../../../src/schema/columns.txt");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_columns_that_are_looked_for_are_those_that_the_changes_make() {
    let client = connect(&servers::database().await).await;
    assert_eq!(schema::differences(&client).await.unwrap(), []);
    let sql = "SELECT c.relname || '.' || a.attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
        WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND a.attnum > 0";
    let mut made: Vec<String> = rows::texts(&client, sql).await.into_iter().flatten().collect();
    let listed = COLUMNS.lines().filter(|line| !line.starts_with('#'));
    let mut listed: Vec<String> = listed.map(|line| line.split(' ').nth(1).unwrap().to_owned()).collect();
    made.sort();
    listed.sort();
    assert_eq!(listed, made);
}

/// What somebody did, what is said of it, and whether batches would be refused for it.
const DAMAGES: [(&str, &str, bool); 12] = [
    ("ALTER TABLE ft_run DROP COLUMN traceid", "ft_run has no column traceid text", true),
    ("ALTER TABLE ft_run ALTER COLUMN phase TYPE integer", "ft_run.phase is integer and not smallint", true),
    (
        "ALTER TABLE ft_run ALTER COLUMN error TYPE text USING error::text",
        "ft_run.error is text and not bytea",
        true,
    ),
    ("ALTER TABLE ft_run ALTER COLUMN traceid SET NOT NULL", "ft_run.traceid is not null", true),
    ("ALTER TABLE steps ALTER COLUMN phase DROP DEFAULT", "steps.phase is without default 2", true),
    ("ALTER TABLE ft_gap ALTER COLUMN id DROP IDENTITY", "ft_gap.id is without a number of its own", true),
    (
        "ALTER TABLE ft_offset ALTER COLUMN nextoffset DROP NOT NULL",
        "ft_offset.nextoffset is null allowed",
        true,
    ),
    (
        "ALTER TABLE steps DROP CONSTRAINT steps_pkey",
        "steps has no UNIQUE INDEX on (flowinstanceid, stepid)",
        true,
    ),
    ("DROP INDEX ft_flowstate_start", "flowstate has no INDEX on (starttime, flowinstanceid)", false),
    (
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'ft_flowstate_original'::regclass",
        "index ft_flowstate_original on flowstate (rerunofflowinstanceid) is not valid",
        false,
    ),
    ("ALTER TABLE steps ADD COLUMN theirs text NOT NULL", "steps.theirs is not flowtrail's", true),
    ("CREATE UNIQUE INDEX theirs ON steps (flowinstanceid)", "theirs on steps (flowinstanceid) is not", true),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_somebody_changed_is_named_and_what_is_advised_mends_it() {
    let client = connect(&servers::database().await).await;
    for (damage, said, breaks) in DAMAGES {
        client.batch_execute(damage).await.unwrap();
        let found = schema::differences(&client).await.unwrap();
        let [difference] = found.as_slice() else { panic!("{damage}: {found:?}") };
        assert!(difference.said.contains(said) && difference.breaks == breaks, "{damage}: {difference:?}");
        match schema::validate(&client).await {
            Ok(slowing) => assert!(!breaks && slowing == found, "{damage}"),
            Err(SchemaError::Differs(breaking)) => assert!(breaks && breaking == found, "{damage}"),
            Err(error) => panic!("{damage}: {error}"),
        }
        let mend = difference.mend.replace("drop the constraint or index", "DROP INDEX");
        client.batch_execute(&mend).await.unwrap_or_else(|error| panic!("{mend}: {error}"));
        assert_eq!(schema::differences(&client).await.unwrap(), [], "{mend}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_others_add_for_themselves_is_no_difference() {
    let client = connect(&servers::database().await).await;
    let more = "ALTER TABLE steps ADD COLUMN note text; ALTER TABLE steps ADD COLUMN seen boolean NOT NULL DEFAULT false;
        CREATE INDEX theirs ON steps (starttime); CREATE UNIQUE INDEX wider ON steps (stepid, flowinstanceid, taskname);
        CREATE TABLE theirs_too (id integer)";
    client.batch_execute(more).await.unwrap();
    assert_eq!(schema::differences(&client).await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn validate_ends_with_3_and_servers_refuse_what_breaks_batches_and_warn_of_what_slows() {
    let config = servers::config(1).await;
    let client = servers::connect_to(&config).await;
    let validate =
        async || program::run(&mut configured(&config, ["schema", "validate", "--format", "json"])).await;
    let found = |said: &str| -> Vec<Value> { serde_json::from_str(said).unwrap() };
    let ran = validate().await;
    assert_eq!((ran.code, found(&ran.stdout)), (0, vec![]));

    client.batch_execute("DROP INDEX ft_flowstate_start").await.unwrap();
    let ran = validate().await;
    assert_eq!((ran.code, &found(&ran.stdout)[0]["effect"]), (3, &"slows".into()));
    let mut collector = program::Process::collect(&config).await;
    drop(collector.child.kill().await);

    client.batch_execute("ALTER TABLE steps DROP COLUMN input CASCADE").await.unwrap();
    let ran = validate().await;
    let effects: Vec<Value> = found(&ran.stdout).iter().map(|found| found["effect"].clone()).collect();
    assert_eq!((ran.code, effects), (3, vec!["slows".into(), "breaks".into()]));
    for server in [["collect", "--http", "127.0.0.1:0"], ["serve", "--listen", "127.0.0.1:0"]] {
        let said = refused(&config, &server).await;
        assert!(said.contains("ALTER TABLE steps ADD COLUMN input bytea"), "{said}");
        assert!(said.contains("flowtrail schema validate"), "{said}");
    }

    client.batch_execute("DELETE FROM ft_schema_change WHERE number > 3").await.unwrap();
    let ran = validate().await;
    assert_eq!((ran.code, &found(&ran.stdout)[0]["mend"]), (3, &"run `flowtrail schema update`".into()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_that_somebody_has_locked_are_looked_at_all_the_same() {
    let url = servers::database().await;
    let (client, other) = (connect(&url).await, connect(&url).await);
    let lock = "BEGIN; LOCK TABLE steps, flowstate, ft_offset, ft_rewind, ft_audit IN ACCESS EXCLUSIVE MODE";
    other.batch_execute(lock).await.unwrap();
    client.batch_execute("SET lock_timeout = '1s'").await.unwrap();
    assert_eq!(schema::validate(&client).await.unwrap(), []);
}
