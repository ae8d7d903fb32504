//! The views for people: what they say, and that they only grow.

use tokio_postgres::Client;

use super::{connect, old_database, rows, servers};

/// The answer to a question that has one row.
async fn one(client: &Client, sql: &str) -> Vec<String> {
    let found = rows::texts(client, &format!("SELECT unnest(ARRAY[{sql}]::text[])")).await;
    found.into_iter().map(|value| value.unwrap_or_else(|| "-".to_owned())).collect()
}

async fn filled(sql: &str) -> Client {
    let client = connect(&servers::database().await).await;
    client.batch_execute(sql).await.unwrap();
    client
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn views_that_were_there_keep_their_columns_in_their_places() {
    let columns = "SELECT concat_ws(' ', c.relname, a.attnum, a.attname, format_type(a.atttypid, a.atttypmod))
        FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid WHERE c.relkind = 'v' AND c.relname LIKE 'ftv\\_%'";
    let (_, before) = old_database(3).await;
    let now = rows::texts(&connect(&servers::database().await).await, columns).await;
    let before = rows::texts(&before, columns).await;
    assert_eq!(before.len(), 12 + 10);
    for column in before {
        assert!(now.contains(&column), "{column:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flow_shows_its_duration_as_a_number_its_lineage_and_its_steps_by_status() {
    let client = filled(
        "INSERT INTO flowstate (flowinstanceid, hostid, starttime, endtime, rerunofflowinstanceid) VALUES
            ('a', '', '2026-01-01 00:00:00', '2026-01-01 00:00:01.5', NULL),
            ('second', '', '2026-01-01 02:00', NULL, 'a'), ('first', '', '2026-01-01 01:00', NULL, 'a');
         INSERT INTO ft_run (flowinstanceid, run, phase, hostid) VALUES ('a', 1, 2, ''), ('a', 2, 2, '');
         INSERT INTO steps (flowinstanceid, stepid, status) VALUES
            ('a', '0', 'Completed'), ('a', '1', 'Completed'), ('a', '2', 'Failed'), ('a', '3', NULL)",
    )
    .await;
    let said = "SELECT ARRAY[durationms::text, reruns::text, runs::text, steps::text, stepsbystatus::text, duration::text]
        FROM ftv_flow WHERE flowinstanceid = ";
    assert_eq!(
        one(&client, &format!("({said} 'a')")).await,
        ["1500", "{first,second}", "2", "4", r#"{"": 1, "Failed": 1, "Completed": 2}"#, "00:00:01.5"]
    );
    assert_eq!(one(&client, &format!("({said} 'first')")).await, ["-", "{}", "1", "0", "-", "-"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn payloads_are_json_where_they_are_json_and_nothing_where_not() {
    let client = filled(
        "INSERT INTO steps (flowinstanceid, stepid, stepdata, input, output, error, misc) VALUES ('f', '0',
            convert_to('{\"order\": {\"lines\": [7, \"ä\"]}}', 'UTF8'), 'plain text', '\\xff00', '', NULL);
         INSERT INTO steps (flowinstanceid, stepid, stepdata, input, output, error, misc) VALUES ('f', '1',
            convert_to('{\"nul\": \"\\u0000\"}', 'UTF8'), '{\"cut\": ', '12.50', '\"word\"', repeat('[', 100000)::bytea)",
    )
    .await;
    let said = "SELECT ARRAY[data->'order'->'lines'->>1, data::text, input::text, output::text, error::text, misc::text]
        FROM ftv_step WHERE stepid = ";
    let data = r#"{"order": {"lines": [7, "ä"]}}"#;
    assert_eq!(one(&client, &format!("({said} '0')")).await, ["ä", data, "-", "-", "-", "-"]);
    assert_eq!(one(&client, &format!("({said} '1')")).await, ["-", "-", "-", "12.50", "\"word\"", "-"]);
}

/// How long ended runs took, in seconds, and since when others run: a flow of which enough have ended, one of which too few
/// have, and one whose app is not known.
const RUNNING: &str = "
    INSERT INTO flowstate (flowinstanceid, hostid, appname, flowname, phase, starttime, endtime)
        SELECT 'done' || n, '', 'shop', 'order', 2, start, start + n * interval '1 s'
        FROM generate_series(1, 100) n, (SELECT now() AT TIME ZONE 'UTC' - interval '1 day' AS start) s;
    INSERT INTO flowstate (flowinstanceid, hostid, appname, flowname, phase, starttime, endtime)
        SELECT 'rare' || n, '', 'shop', 'rare', 2, start, start + interval '1 s'
        FROM generate_series(1, 19) n, (SELECT now() AT TIME ZONE 'UTC' - interval '1 day' AS start) s;
    INSERT INTO flowstate (flowinstanceid, hostid, appname, flowname, phase, starttime) VALUES
        ('slow', '', 'shop', 'order', 1, now() AT TIME ZONE 'UTC' - interval '100 s'),
        ('quick', '', 'shop', 'order', 0, now() AT TIME ZONE 'UTC' - interval '10 s'),
        ('unjudged', '', 'shop', 'rare', 1, now() AT TIME ZONE 'UTC' - interval '1 hour'),
        ('nameless', '', NULL, NULL, 1, now() AT TIME ZONE 'UTC' - interval '1 hour');
    INSERT INTO steps (flowinstanceid, stepid, taskname, phase) VALUES
        ('slow', '0', 'Check', 2), ('slow', '1', 'Pay', 1), ('slow', '2', 'Ship', 0)";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_runs_longer_than_99_of_100_before_it_is_stuck() {
    let client = filled(RUNNING).await;
    let running =
        rows::texts(&client, "SELECT flowinstanceid FROM ftv_running ORDER BY runningms DESC, 1").await;
    assert_eq!(running.into_iter().flatten().collect::<Vec<_>>(), ["nameless", "unjudged", "slow", "quick"]);
    // Between the 99th and the 100th of 1 to 100 s, as SQL's percentile_cont is defined: 1 + 0.99 · 99.
    let stuck = "SELECT ARRAY[flowinstanceid, p99ms::text, sample::text, opentasks::text, (runningms > 100000)::text]";
    assert_eq!(
        one(&client, &format!("({stuck} FROM ftv_stuck)")).await,
        ["slow", "99010", "100", "{Pay,Ship}", "true"]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failures_of_seven_days_come_with_the_step_that_failed_last() {
    let client = filled(
        "INSERT INTO flowstate (flowinstanceid, hostid, status, error, starttime, endtime)
            SELECT id, '', status, error, start, start + interval '250 ms' FROM (VALUES
                ('steps', 'Failed', NULL, interval '1 day'), ('flow', 'Broken', '{\"code\": 7}'::bytea, interval '2 days'),
                ('old', 'Failed', NULL, interval '8 days'), ('good', 'Completed', NULL, interval '1 day')
            ) f(id, status, error, age), LATERAL (SELECT now() AT TIME ZONE 'UTC' - age AS start) s;
         INSERT INTO steps (flowinstanceid, stepid, taskname, status, error, starttime) VALUES
            ('steps', '0', 'Check', 'Completed', NULL, '2026-01-01 01:00'),
            ('steps', '1', 'Pay', 'Failed', NULL, '2026-01-01 02:00'),
            ('steps', '2', 'Refund', 'Failed', '{\"why\": \"closed\"}', '2026-01-01 03:00'),
            ('steps', '3', 'Mail', 'Completed', NULL, '2026-01-01 04:00'), ('good', '0', 'Pay', 'Failed', NULL, NULL)",
    )
    .await;
    let said =
        "SELECT concat_ws(' ', flowinstanceid, durationms, stepid, taskname, error) FROM ftv_recent_failure
        ORDER BY starttime DESC";
    let found: Vec<String> = rows::texts(&client, said).await.into_iter().flatten().collect();
    assert_eq!(found, [r#"steps 250 2 Refund {"why": "closed"}"#, r#"flow 250 {"code": 7}"#]);
}
