//! What the engine's recording modes leave: flows always, steps and snapshots as the mode says.

use crate::{
    app::{Posting, Recording},
    expected::{BIG_ORDER, Flow, LOOP, NESTED, SHUT, SUBFLOW_FAILS},
    scene::Scene,
    servers::until,
    stored,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_recording_off_there_are_flows_only() {
    let Some(scene) = recorded(Recording::Off).await else { return };
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_step_mode_steps_come_without_inputs_but_with_outputs() {
    let Some(scene) = recorded(Recording::Step).await else { return };
    assert_eq!(inputs(&scene).await, 0);
    assert_eq!(output(&scene).await, r#"{"detail":{"factor":1.2,"value":250},"result":300}"#);
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_debugger_mode_steps_come_with_inputs_and_outputs() {
    let Some(scene) = recorded(Recording::Debugger).await else { return };
    assert!(inputs(&scene).await > 0);
    assert_eq!(output(&scene).await, r#"{"detail":{"factor":1.2,"value":250},"result":300}"#);
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_full_mode_there_is_a_snapshot_before_each_step() {
    let Some(scene) = recorded(Recording::Full).await else { return };
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_snapshot_mode_there_are_snapshots_and_no_steps() {
    let Some(scene) = recorded(Recording::Snapshot).await else { return };
    scene.end().await;
}

/// Flows of different kinds, recorded in a mode; snapshots are looked at here, flows and steps by the scene.
async fn recorded(recording: Recording) -> Option<Scene> {
    let mut scene = Scene::set(recording, Posting::Synchronous).await?;
    for flow in [&BIG_ORDER, &NESTED, &SUBFLOW_FAILS, &LOOP, &SHUT] {
        let id = scene.run(flow).await;
        assert_snapshots(&scene, flow, &id, recording).await;
    }
    Some(scene)
}

/// One before each step. A snapshot holds the main flow only, so it changes with that flow's steps, and those of one
/// content are kept once. The last is of a flow that has ended.
async fn assert_snapshots(scene: &Scene, flow: &Flow, id: &str, recording: Recording) {
    let steps = flow.steps.lines().filter(|line| line.ends_with(" 0")).count();
    let wanted = if recording.has_snapshots() { i64::try_from(steps).unwrap() } else { 0 };
    let ended = if flow.status == "Failed" { "700" } else { "500" };
    let sql = "SELECT count(*), count(*) FILTER (WHERE convert_from(data, 'UTF8')::json->>'status' = $2) \
        FROM ft_snapshot WHERE flowinstanceid = $1";
    until(&format!("snapshots of {}", flow.name), async || {
        let row = scene.client.query_one(sql, &[&id, &ended]).await.unwrap();
        let found: (i64, i64) = (row.get(0), row.get(1));
        let wanted = (wanted, i64::from(wanted > 0));
        if found == wanted { Ok(()) } else { Err(format!("{found:?}, not {wanted:?}")) }
    })
    .await;
}

/// How many steps have an input.
async fn inputs(scene: &Scene) -> i64 {
    stored::count(&scene.client, "steps WHERE input IS NOT NULL").await
}

/// What the first task of the order gave.
async fn output(scene: &Scene) -> String {
    let sql = "SELECT convert_from(output, 'UTF8') FROM steps WHERE taskname = 'CalcTotal' AND stepid = '1' \
        AND flowinstanceid = (SELECT flowinstanceid FROM flowstate WHERE flowname = 'order')";
    scene.client.query_one(sql, &[]).await.unwrap().get(0)
}
