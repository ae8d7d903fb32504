//! Collectors of this and of the version before, side by side on the newest tables.

use std::collections::BTreeMap;

use tokio::process::Command;
use tokio_postgres::Client;

use super::{CHANGES, collect_all, connect, old_database, publish, rows, servers};
use crate::{collecting::until_stored, program};

/// Columns by name, each with what a writer has to know of it.
async fn columns(client: &Client) -> BTreeMap<String, String> {
    let sql = "SELECT c.relname || '.' || a.attname, concat_ws('|', format_type(a.atttypid, a.atttypmod), a.attnotnull,
            a.attidentity, a.attgenerated, pg_get_expr(d.adbin, d.adrelid))
        FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
        LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
        WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'";
    let rows = client.query(sql, &[]).await.unwrap();
    rows.into_iter().map(|row| (row.get(0), row.get(1))).collect()
}

/// What could refuse a row or change it: keys, checks, triggers, rules, policies. Without names, for a key is one by any.
async fn limits(client: &Client) -> Vec<Option<String>> {
    let sql = "SELECT concat_ws('|', conrelid::regclass, pg_get_constraintdef(oid)) FROM pg_constraint
            WHERE connamespace = 'public'::regnamespace AND contype <> 'n'
        UNION ALL SELECT concat_ws('|', indrelid::regclass, pg_get_indexdef(indexrelid)) FROM pg_index
            JOIN pg_class c ON c.oid = indrelid WHERE c.relnamespace = 'public'::regnamespace AND indisunique
        UNION ALL SELECT concat_ws('|', tgrelid::regclass, tgname) FROM pg_trigger
        UNION ALL SELECT concat_ws('|', ev_class::regclass, rulename) FROM pg_rewrite
            JOIN pg_class c ON c.oid = ev_class WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'
        UNION ALL SELECT concat_ws('|', polrelid::regclass, polname) FROM pg_policy ORDER BY 1";
    rows::texts(client, sql).await
}

/// Expand, then contract: a program that knows the changes so far may go on beside the next one. Where a change says that it
/// needs a newer program, that is not promised.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_leaves_alone_what_the_program_before_it_reads_and_writes() {
    // The first version knew three.
    for (known, change) in CHANGES.iter().enumerate().skip(3) {
        let (before, after) = (old_database(known).await.1, old_database(known + 1).await.1);
        if change.needs == change.number {
            continue;
        }
        let (kept, now) = (columns(&before).await, columns(&after).await);
        for (name, definition) in &kept {
            assert_eq!(now.get(name), Some(definition), "{}: {name}", change.name);
        }
        let old_tables: Vec<&str> = kept.keys().map(|name| name.split('.').next().unwrap()).collect();
        let is_new = |name: &&String| {
            !kept.contains_key(*name) && old_tables.contains(&name.split('.').next().unwrap())
        };
        for name in now.keys().filter(is_new) {
            let parts: Vec<&str> = now[name].split('|').collect();
            assert!(parts[1] == "f" || parts.len() > 4, "{}: {name} has to be given", change.name);
        }
        let of_old = |limits: Vec<Option<String>>| -> Vec<String> {
            let is_old = |limit: &String| old_tables.contains(&limit.split('|').next().unwrap());
            limits.into_iter().flatten().filter(is_old).collect()
        };
        assert_eq!(of_old(limits(&after).await), of_old(limits(&before).await), "{}", change.name);
    }
}

/// With the binary of the version before, which `.ci/long` builds, as `IT_PREVIOUS`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_of_the_version_before_works_beside_this_one_on_the_newest_tables() {
    let Some(previous) = std::env::var_os("IT_PREVIOUS") else {
        eprintln!("SKIPPED: IT_PREVIOUS names no binary of the version before");
        return;
    };
    let mut config = servers::config(2).await;
    let of_this = program::Process::collect(&config).await;
    let of_previous = {
        let like = program::configured(&config, ["collect", "--http", "127.0.0.1:0"]);
        let mut command = Command::new(&previous);
        command.args(like.as_std().get_args()).kill_on_drop(true).env_clear();
        command.envs(like.as_std().get_envs().filter_map(|(name, value)| Some((name, value?))));
        program::Process::start(command).await
    };
    for recording in ["recorded.jsonl", "reruns.jsonl"] {
        publish(&config, recording, &["--shuffle"]).await;
    }
    until_stored(&config).await;
    let client = servers::connect_to(&config).await;
    let together = (rows::flows(&client).await, rows::steps(&client).await);
    assert_eq!((of_this.end("TERM").await, of_previous.end("TERM").await), (Some(0), Some(0)));

    // What one of this version makes of it alone.
    let topics = config.kafka.topics.clone();
    config = servers::config_of(&servers::database().await).await;
    config.kafka.topics = topics;
    collect_all(&config).await;
    let client = connect(secrecy::ExposeSecret::expose_secret(config.postgres.url.as_ref().unwrap())).await;
    assert_eq!(together, (rows::flows(&client).await, rows::steps(&client).await));
    assert_eq!(together.0.len(), 16 + 7);
}
