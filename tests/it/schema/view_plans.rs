//! What docs/sql.md shows is answered by indexes, however many steps there are.

use std::time::Instant;

use serde_json::Value;

use super::{connect, servers};

const GUIDE: &str = include_str!("../../../docs/sql.md");

/// Steps of the test, ten to a flow. `.ci/long` takes ten million.
const STEPS: i64 = 100_000;

/// Statements that fill the tables with so many flows of ten steps each, over a hundred days until now.
pub fn filler(flows: i64) -> String {
    format!(
        "INSERT INTO flowstate (flowinstanceid, appname, flowname, hostid, userid, status, phase, starttime, endtime,
                rerunofflowinstanceid)
            SELECT md5(n::text), 'app' || n % 20, 'flow' || n % 200, 'host', 'user',
                CASE WHEN open THEN 'Started' WHEN n % 100 = 1 THEN 'Failed' ELSE 'Completed' END,
                CASE WHEN open THEN 1 ELSE 2 END, start,
                CASE WHEN NOT open THEN start + n % 97 * interval '1 ms' END, CASE WHEN n % 500 = 3 THEN md5((n + 1)::text) END
            -- A hundred days of them, in the order in which they came.
            FROM generate_series(1, {flows}) n,
                LATERAL (SELECT n > {flows} - 50 AS open,
                    now() AT TIME ZONE 'UTC' - ({flows} - n) * interval '100 days' / {flows} AS start) s;
         INSERT INTO steps (flowinstanceid, stepid, taskname, flowname, status, phase, starttime, endtime, stepdata)
            SELECT f.flowinstanceid, s::text, 'task' || s, f.flowname, f.status, f.phase, f.starttime, f.endtime, '{{\"a\": 1}}'
            FROM flowstate f, generate_series(0, 9) s"
    )
}

/// Statements of the guide that ask the views.
fn statements() -> Vec<&'static str> {
    let blocks = GUIDE.split("```sql\n").skip(1).filter_map(|block| block.split_once("```"));
    let blocks = blocks.flat_map(|(block, _)| block.split(";\n")).map(str::trim);
    let found: Vec<&str> = blocks.filter(|statement| statement.contains(" ftv_")).collect();
    assert!(found.len() >= 8, "{found:?}");
    found
}

/// Tables that a plan reads whole.
pub fn read_whole(plan: &Value) -> Vec<&str> {
    let below = plan["Plans"].as_array().into_iter().flatten().flat_map(read_whole);
    let own = (plan["Node Type"] == "Seq Scan").then(|| plan["Relation Name"].as_str().unwrap());
    own.into_iter().chain(below).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_examples_of_the_guide_read_no_history_table_whole() {
    let client = connect(&servers::database().await).await;
    let steps = std::env::var("IT_SQL_STEPS").map_or(STEPS, |steps| steps.parse().unwrap());
    client.batch_execute(&filler(steps / 10)).await.unwrap();
    client.batch_execute("VACUUM ANALYZE").await.unwrap();
    println!("| statement, on {steps} steps | ms |\n| --- | --- |");
    for statement in statements() {
        let explain = format!("EXPLAIN (ANALYZE, FORMAT JSON) {statement}");
        let began = Instant::now();
        let plan: Value = client.query_one(&explain, &[]).await.unwrap().get(0);
        println!("| `{}` | {} |", statement.replace('\n', " "), began.elapsed().as_millis());
        // Nothing is in the tables of other runs and of what was superseded.
        let mut whole = read_whole(&plan[0]["Plan"]);
        whole.retain(|table| is_of("steps", table) || is_of("flowstate", table));
        assert_eq!(whole, [""; 0], "{statement}\n{plan:#}");
    }
}

/// The test above can fail.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_statement_that_reads_a_table_whole_is_found_out() {
    let client = connect(&servers::database().await).await;
    client.batch_execute(&filler(2_000)).await.unwrap();
    client.batch_execute("ANALYZE").await.unwrap();
    let explain = "EXPLAIN (FORMAT JSON) SELECT * FROM ftv_flow WHERE hostid = 'host' OR appname IN
        (SELECT taskname FROM ftv_step WHERE subflowid = 'x')";
    let plan: Value = client.query_one(explain, &[]).await.unwrap().get(0);
    let whole = read_whole(&plan[0]["Plan"]);
    for wanted in ["steps", "flowstate"] {
        assert!(whole.iter().any(|table| is_of(wanted, table)), "{wanted}: {whole:?}");
    }
}

/// Whether it is the table, or a partition of it.
fn is_of(table: &str, name: &str) -> bool {
    name == table || name.strip_prefix(table).is_some_and(|rest| rest.starts_with("_p"))
}
