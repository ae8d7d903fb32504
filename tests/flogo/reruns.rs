//! Recorded instances run again by the app, from what the gateway answers: the rows say what ran when, and what a re-run
//! gives is right, which it is only if the state that it began with was.

use serde_json::json;

use crate::{
    answers,
    app::{Posting, Recording},
    expected::{Flow, GATED, LOOP, PARENT, SHUT, SUBFLOW_HANDLED},
    scene::Scene,
    stored::{self, Instance},
};

const FAILED: (&str, &str) = ("Failed", r#"{"code":0}"#);
/// [`SHUT`] once its gate is open: 10 × 1.2 × 2.
pub const PASSED: (&str, &str) = ("Completed", r#"{"code":200,"data":{"after":24}}"#);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rerun_from_the_beginning_is_an_instance_of_its_own_and_counted_three_times() {
    let Some(mut scene) = Scene::set(Recording::Debugger, Posting::Synchronous).await else { return };
    let original = scene.run(&SHUT).await;
    let mut reruns = Vec::new();
    for count in 1..=3 {
        let id = scene.app.run_again(&original).await;
        assert!(id != original && !reruns.contains(&id), "{id} is not new");
        scene.holds(&id, rerun_of(&original, &scene.app.name)).await;
        reruns.push(id);
        scene.holds(&original, counted(Instance::once(&SHUT, &scene.app.name, true), count)).await;
    }
    answers::lineage(&scene, &original, &reruns).await;

    // A re-run of a re-run names that, and counts there.
    let last = scene.app.run_again(&reruns[2]).await;
    scene.holds(&last, rerun_of(&reruns[2], &scene.app.name)).await;
    scene.holds(&reruns[2], counted(rerun_of(&original, &scene.app.name), 1)).await;
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reruns_from_an_activity_keep_the_instance_and_what_ran_before_them() {
    let Some(mut scene) = Scene::set(Recording::Debugger, Posting::Synchronous).await else { return };
    rerun_from_the_gate(&mut scene).await;
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_rerun_that_fails_earlier_nothing_stays_behind_the_failure() {
    let Some(mut scene) = Scene::set(Recording::Debugger, Posting::Synchronous).await else { return };
    let id = scene.run(&GATED).await;
    let once = Instance::once(&GATED, &scene.app.name, true);
    scene.app.close_gate("open", 1).await;
    scene.app.run_again_from(&id, (3, "Gate"), json!({})).await;
    let superseded = "
        3 Gate       Completed  gated 0
        4 AfterGate  Completed  gated 0
        5 Return     Completed  gated 0";
    let runs = ["Completed", "Failed"];
    scene.holds(&id, once.again(FAILED, &rerun_after(&SHUT, 3), superseded, &runs)).await;
    // One that the app asked for, and one for each of the two runs, which the step of the re-run implies.
    assert_eq!(stored::count(&scene.client, "ft_rewind WHERE n = 3").await, 3);
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn so_they_do_in_step_mode() {
    let Some(mut scene) = Scene::set(Recording::Step, Posting::Synchronous).await else { return };
    rerun_from_the_gate(&mut scene).await;
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn so_they_do_when_every_step_comes_after_its_end() {
    let Some(mut scene) = Scene::set(Recording::Full, Posting::Reversed).await else { return };
    rerun_from_the_gate(&mut scene).await;
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rerun_after_a_loop_knows_all_rounds_and_one_of_the_loop_begins_with_none() {
    let Some(mut scene) = Scene::set(Recording::Debugger, Posting::Synchronous).await else { return };
    let id = scene.run(&LOOP).await;
    let once = Instance::once(&LOOP, &scene.app.name, true);
    let completed = (LOOP.status, LOOP.output);

    scene.app.run_again_from(&id, (6, "After"), json!({})).await;
    let steps = rerun_after(&LOOP, 6);
    let superseded = "
        6 After   Completed  loop 0
        7 Return  Completed  loop 0";
    scene.holds(&id, once.clone().again(completed, &steps, superseded, &["Completed"; 2])).await;

    scene.app.run_again_from(&id, (2, "Each"), json!({})).await;
    let steps = rerun_after(&LOOP, 2);
    let superseded = "
        2 Each    Started    loop 0
        3 Each    Started    loop 0
        4 Each    Started    loop 0
        5 Each    Completed  loop 0
        6 After   Completed  loop 0
        6 After   Completed  loop 0 rerun
        7 Return  Completed  loop 0
        7 Return  Completed  loop 0 rerun";
    scene.holds(&id, once.clone().again(completed, &steps, superseded, &["Completed"; 3])).await;

    // The engine does not say what the tasks of a re-run give, so this one's rounds are known from the first run.
    scene.app.run_again_from(&id, (6, "After"), json!({})).await;
    let superseded = "
        2 Each    Started    loop 0
        3 Each    Started    loop 0
        4 Each    Started    loop 0
        5 Each    Completed  loop 0
        6 After   Completed  loop 0
        6 After   Completed  loop 0 rerun
        6 After   Completed  loop 0 rerun
        7 Return  Completed  loop 0
        7 Return  Completed  loop 0 rerun
        7 Return  Completed  loop 0 rerun";
    scene.holds(&id, once.again(completed, &steps, superseded, &["Completed"; 4])).await;
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rerun_from_a_call_of_a_subflow_takes_other_inputs_and_gives_what_they_make() {
    let Some(mut scene) = Scene::set(Recording::Debugger, Posting::Synchronous).await else { return };
    let id = scene.run(&PARENT).await;
    let once = Instance::once(&PARENT, &scene.app.name, true);

    scene.app.run_again_from(&id, (6, "After"), json!({})).await;
    let superseded = "
        6 After   Completed  parent 0
        7 Return  Completed  parent 0";
    let after = once.clone().again(
        (PARENT.status, PARENT.output),
        &rerun_after(&PARENT, 6),
        superseded,
        &["Completed"; 2],
    );
    scene.holds(&id, after).await;

    scene.app.run_again_from(&id, (2, "CallChild"), json!({"n": 5})).await;
    let (steps, output) = (rerun_after(&PARENT, 2), r#"{"code":200,"data":{"doubled":10}}"#);
    let superseded = "
        2 CallChild    Waiting    parent 0
        3 Double       Completed  child  1
        4 ChildReturn  Completed  child  1
        5 CallChild    Completed  parent 0
        6 After        Completed  parent 0
        6 After        Completed  parent 0 rerun
        7 Return       Completed  parent 0
        7 Return       Completed  parent 0 rerun";
    scene.holds(&id, once.clone().again(("Completed", output), &steps, superseded, &["Completed"; 3])).await;

    scene.app.run_again_from(&id, (2, "CallChild"), json!({"n": 6})).await;
    let output = r#"{"code":200,"data":{"doubled":12}}"#;
    let superseded = "
        2 CallChild    Waiting    parent 0
        2 CallChild    Waiting    parent 0 rerun
        3 Double       Completed  child  1
        3 Double       Completed  child  1 rerun
        4 ChildReturn  Completed  child  1
        4 ChildReturn  Completed  child  1 rerun
        5 CallChild    Completed  parent 0
        5 CallChild    Completed  parent 0 rerun
        6 After        Completed  parent 0
        6 After        Completed  parent 0 rerun
        6 After        Completed  parent 0 rerun
        7 Return       Completed  parent 0
        7 Return       Completed  parent 0 rerun
        7 Return       Completed  parent 0 rerun";
    scene.holds(&id, once.again(("Completed", output), &steps, superseded, &["Completed"; 4])).await;
    scene.end().await;
}

/// Were steps counted by their place, one that is left out because nothing changes in it would shift all later ones.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rerun_after_a_subflow_that_failed_knows_its_error() {
    let Some(mut scene) = Scene::set(Recording::Debugger, Posting::Synchronous).await else { return };
    let id = scene.run(&SUBFLOW_HANDLED).await;
    answers::state_before(&scene, &id, 7, ("_E.CallFailing", "_A.Recover")).await;
    scene.app.run_again_from(&id, (7, "Recover"), json!({})).await;
    let superseded = "
        7 Recover  Completed  subhandled 0
        8 Return   Completed  subhandled 0";
    let ended = (SUBFLOW_HANDLED.status, SUBFLOW_HANDLED.output);
    let steps = rerun_after(&SUBFLOW_HANDLED, 7);
    let wanted = Instance::once(&SUBFLOW_HANDLED, &scene.app.name, true).again(
        ended,
        &steps,
        superseded,
        &["Completed"; 2],
    );
    scene.holds(&id, wanted).await;
    scene.end().await;
}

/// Flogo's open-source tester numbers the step that it begins with and the first that runs alike, and names no original.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_tester_goes_on_with_is_an_instance_of_its_own_whose_step_0_came_twice() {
    let Some(mut scene) = Scene::set(Recording::Debugger, Posting::Synchronous).await else { return };
    let shut = scene.run(&SHUT).await;
    let snapshot = scene.read(&format!("/v1/instances/{shut}/snapshot/2")).await;
    let state = json!({
        "id": shut, "status": 100, "flowUri": snapshot["flowURI"], "attrs": snapshot["attrs"],
        "tasks": [{"id": "Gate", "status": 20}],
        "workQueue": [{"id": 1, "taskID": "Gate", "subFlowId": 0}],
    });
    let new = scene.app.go_on_from(state).await;
    assert_ne!(new, shut);
    let (status, output) = PASSED;
    let steps = "
        0 Gate       Completed  gated 0
        1 AfterGate  Completed  gated 0
        2 Return     Completed  gated 0";
    let mut wanted =
        Instance::once(&Flow { input: "{}", status, output, steps, ..GATED }, &scene.app.name, true);
    // The engine says only that a flow begins: the task is in its queue already.
    wanted.superseded = vec!["0 - Started gated 0".to_owned()];
    scene.holds(&new, wanted).await;
    scene.end().await;
}

/// From the activity that failed, which fails once more; from there again; from one before it; and then from the beginning,
/// which still has the inputs of the first run.
async fn rerun_from_the_gate(scene: &mut Scene) {
    let id = scene.run(&Flow { gate: Some(("shut", 2)), ..SHUT }).await;
    let once = Instance::once(&SHUT, &scene.app.name, true);

    scene.app.run_again_from(&id, (3, "Gate"), json!({})).await;
    let superseded = "3 Gate Failed gated 0";
    let wanted = once.clone().again(FAILED, &rerun_after(&SHUT, 3), superseded, &["Failed"; 2]);
    scene.holds(&id, wanted).await;

    scene.app.run_again_from(&id, (3, "Gate"), json!({})).await;
    let superseded = "
        3 Gate  Failed  gated 0
        3 Gate  Failed  gated 0 rerun";
    let runs = ["Failed", "Failed", "Completed"];
    scene.holds(&id, once.clone().again(PASSED, &rerun_after(&GATED, 3), superseded, &runs)).await;
    answers::rerun_from(scene, &id, 3).await;

    scene.app.run_again_from(&id, (2, "LogTotal"), json!({})).await;
    let superseded = "
        2 LogTotal   Completed  gated 0
        3 Gate       Failed     gated 0
        3 Gate       Failed     gated 0 rerun
        3 Gate       Completed  gated 0 rerun
        4 AfterGate  Completed  gated 0 rerun
        5 Return     Completed  gated 0 rerun";
    let runs = ["Failed", "Failed", "Completed", "Completed"];
    let wanted = once.again(PASSED, &rerun_after(&GATED, 2), superseded, &runs);
    scene.holds(&id, wanted.clone()).await;
    answers::rerun_from(scene, &id, 2).await;

    let new = scene.app.run_again(&id).await;
    scene.holds(&new, rerun_of(&id, &scene.app.name)).await;
    scene.holds(&id, counted(wanted, 1)).await;
}

/// [`SHUT`] run again from the beginning once its gate is open.
pub fn rerun_of(original: &str, app: &str) -> Instance {
    let (status, output) = PASSED;
    let mut rerun = Instance::once(&Flow { input: SHUT.input, status, output, ..GATED }, app, true);
    rerun.flow["rerunofflowinstanceid"] = original.into();
    rerun
}

fn counted(mut instance: Instance, reruns: u32) -> Instance {
    instance.flow["reruncount"] = reruns.into();
    instance
}

/// The steps of a flow, those from a number on marked as of a re-run.
fn rerun_after(flow: &Flow, first: usize) -> String {
    let lines = flow.steps.lines().filter(|line| !line.trim().is_empty()).enumerate();
    let marked =
        lines.map(|(number, line)| if number < first { line.to_owned() } else { format!("{line} rerun") });
    marked.collect::<Vec<_>>().join("\n")
}
