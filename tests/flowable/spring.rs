//! A Spring Boot app that has the jar on its class path, and no code for it.

use tokio::{process::Command, task::spawn_blocking};

use crate::{collecting::collect_all, jar, program, servers};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_spring_boot_app_records_by_its_environment_alone() {
    if spawn_blocking(jar::jar).await.unwrap().is_none() {
        return;
    }
    let config = servers::config(3).await;
    let mut app = Command::new("java");
    app.args(["-Xmx384m", "-XX:+UseSerialGC", "-cp"]).arg(jar::boot_class_path()).arg("boot.App");
    app.env("FLOWTRAIL_BOOTSTRAP_SERVERS", &config.kafka.bootstrap_servers);
    app.env("FLOWTRAIL_TOPIC", &config.kafka.topics[0]).env("FLOWTRAIL_SOURCE", "shop").kill_on_drop(true);
    program::done(&mut app).await;
    collect_all(&config).await;
    let client = servers::connect_to(&config).await;
    // The instance of the transaction that was rolled back is not there.
    let sql =
        "SELECT source_, business_key_, proc_def_id_, end_act_id_, state_ FROM flowable.act_hi_procinst";
    let rows = client.query(sql, &[]).await.unwrap();
    assert_eq!(rows.len(), 1);
    let columns: Vec<String> = (0..5).map(|column| rows[0].get(column)).collect();
    assert_eq!(columns[..2], ["shop", "kept"]);
    assert!(columns[2].starts_with("order:1:"), "{columns:?}");
    assert_eq!(columns[3..], ["end", "completed"]);
    let steps = "SELECT string_agg(act_id_, ' ' ORDER BY start_time_, transaction_order_) FROM flowable.act_hi_actinst";
    let steps: String = client.query_one(steps, &[]).await.unwrap().get(0);
    assert_eq!(steps, "start pick end");
}
