//! The rights that `deploy/grants.sql` gives, in a database that gives none by itself.

use std::collections::BTreeSet;

use flowtrail::{config::Config, postgres::look::NEEDED_RIGHTS};
use secrecy::ExposeSecret as _;
use tokio_postgres::{Client, error::SqlState};

use super::{collect_all, connect, program, publish, rows, schema, servers};
use crate::{
    program::configured,
    topics::{self, Raw},
};

const GRANTS: &str = include_str!("../../../deploy/grants.sql");

/// A user in one of the roles, and the configuration with it.
async fn member(owner: &Client, config: &Config, role: &str) -> Config {
    let name = servers::unique("member").replace('-', "_");
    owner.batch_execute(&format!("CREATE USER {name} PASSWORD 'x' IN ROLE {role}")).await.unwrap();
    let (_, server) = config.postgres.url.as_ref().unwrap().expose_secret().rsplit_once('@').unwrap();
    let mut config = config.clone();
    config.postgres.url = Some(format!("postgres://{name}:x@{server}").into());
    config
}

/// Rights of a role on tables, as `right table`.
async fn rights(owner: &Client, role: &str) -> BTreeSet<String> {
    let sql = format!(
        "SELECT r || ' ' || c.relname FROM pg_class c,
            unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER']) r
        WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND has_table_privilege('{role}', c.oid, r)"
    );
    rows::texts(owner, &sql).await.into_iter().flatten().collect()
}

/// Statements that none of them may run, as they change tables.
const CHANGING: [&str; 5] = [
    "CREATE TABLE theirs (id integer)",
    "ALTER TABLE steps ADD COLUMN theirs text",
    "TRUNCATE steps",
    "DROP VIEW ftv_flow",
    "INSERT INTO ft_schema_change (number, name, checksum, needs) VALUES (99, '', '', 1)",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_documented_grants_are_enough_for_each_command_and_change_no_table() {
    let config = servers::config(1).await;
    let owner = servers::connect_to(&config).await;
    let database = rows::texts(&owner, "SELECT current_database()::text").await[0].clone().unwrap();
    let closed = format!(
        "REVOKE ALL ON DATABASE {database} FROM PUBLIC; REVOKE ALL ON SCHEMA public FROM PUBLIC;
        REVOKE ALL ON ALL FUNCTIONS IN SCHEMA public FROM PUBLIC"
    );
    owner.batch_execute(&closed).await.unwrap();
    // Twice, as after an update.
    owner.batch_execute(GRANTS).await.unwrap();
    owner.batch_execute(GRANTS).await.unwrap();
    let needed = NEEDED_RIGHTS
        .iter()
        .flat_map(|(table, rights)| rights.iter().map(move |right| format!("{right} {table}")));
    assert_eq!(rights(&owner, "flowtrail_collect").await, needed.collect());

    let collector = member(&owner, &config, "flowtrail_collect").await;
    let (reader, server) =
        (member(&owner, &config, "flowtrail_read").await, member(&owner, &config, "flowtrail_serve").await);
    let operator = member(&owner, &config, "flowtrail_operate").await;
    publish(&config, "recorded.jsonl", &[]).await;
    publish(&config, "reruns.jsonl", &[]).await;
    topics::put(&config, &[Raw { value: Some(b"\0".to_vec()), ..Raw::default() }]).await;
    collect_all(&collector).await;
    assert_eq!(
        (rows::count(&owner, "flowstate").await, rows::count(&owner, "ft_dead_letter").await),
        (16 + 7, 1)
    );
    for mine in [&collector, &reader, &server, &operator] {
        program::done(&mut configured(mine, ["schema", "validate"])).await;
        program::done(&mut configured(mine, ["schema", "update"])).await;
    }
    for mine in [&reader, &server, &operator] {
        let flows =
            program::done(&mut configured(mine, ["flow", "list", "--limit", "100", "--format", "ndjson"]))
                .await;
        assert_eq!(flows.lines().count(), 16 + 7);
        program::done(&mut configured(mine, ["verify"])).await;
        let client = servers::connect_to(mine).await;
        let flowable =
            ["procinst", "actinst", "taskinst", "varinst"].map(|view| format!("flowable.act_hi_{view}"));
        let ours =
            ["ftv_flow", "ftv_step", "ftv_running", "ftv_stuck", "ftv_recent_failure"].map(str::to_owned);
        for view in ours.into_iter().chain(flowable) {
            client.execute(&format!("SELECT * FROM {view}"), &[]).await.unwrap();
        }
    }
    program::done(&mut configured(&operator, ["deadletter", "drop", "1", "--yes"])).await;
    assert_eq!((rows::count(&owner, "ft_dead_letter").await, rows::count(&owner, "ft_audit").await), (0, 1));
    let policies = r#"[{"name":"all","age":"9999d","payloads_after":"1s"}]"#;
    let mut command = configured(&operator, ["retention", "run", "--yes"]);
    program::done(command.env("FLOWTRAIL_RETENTION__POLICIES", policies)).await;
    let bare = "SELECT bool_and(removedat IS NOT NULL)::text FROM ft_payload_mark";
    assert_eq!(rows::texts(&owner, bare).await, [Some("true".to_owned())]);
    let first = rows::texts(&owner, "SELECT min(flowinstanceid) FROM flowstate").await[0].clone().unwrap();
    let erase = ["flow", "erase", &first, "--yes"];
    for mine in [&collector, &reader, &server] {
        assert_eq!(program::run(&mut configured(mine, erase)).await.code, 1);
    }
    program::done(&mut configured(&operator, erase)).await;
    assert_eq!(rows::count(&owner, "flowstate").await, 16 + 7 - 1);
    for mine in [&collector, &reader, &server, &operator] {
        let client = connect(mine.postgres.url.as_ref().unwrap().expose_secret()).await;
        for statement in CHANGING {
            let refused = client.batch_execute(statement).await.unwrap_err();
            assert_eq!(refused.code(), Some(&SqlState::INSUFFICIENT_PRIVILEGE), "{statement}");
        }
    }
    assert_eq!(schema::differences(&owner).await.unwrap(), []);
}
