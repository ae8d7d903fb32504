//! `flowtrail rerun` asks the app: by its own endpoints, and by the open-source tester.

use std::{fs, path::PathBuf};

use serde_json::Value;

use crate::{
    app::{Posting, Recording},
    expected::{Flow, SHUT},
    program::{Ran, configured, run},
    reruns::{PASSED, rerun_of},
    scene::Scene,
    stored::{self, Instance},
};

/// A file that says where the app is asked.
fn apps(scene: &Scene, address: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("flowtrail.toml");
    fs::write(&file, format!("[rerun.apps]\n{:?} = {address:?}\n", scene.app.name)).unwrap();
    (folder, file)
}

async fn rerun(scene: &Scene, address: &str, flow: &str, more: &[&str]) -> Ran {
    let (_folder, file) = apps(scene, address);
    let mut command = configured(&scene.config, ["rerun", "--wait", "--format", "json", "--flow", flow]);
    run(command.arg("--config").arg(file).args(more)).await
}

fn instance(ran: &Ran) -> String {
    let outcome: Value = serde_json::from_str(&ran.stdout).unwrap();
    outcome["instance"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rerun_is_asked_for_waited_for_and_judged_from_the_command_line() {
    let Some(mut scene) = Scene::set(Recording::Debugger, Posting::Synchronous).await else { return };
    let app = scene.app.asked_at();
    let id = scene.run(&Flow { gate: Some(("shut", 2)), ..SHUT }).await;
    // The gate refuses once more, then it is open.
    let again = rerun(&scene, &app, &id, &["--from-failure"]).await;
    assert!(again.code == 1 && again.stderr.contains("the re-run ended as Failed"), "{again:?}");
    assert_eq!(instance(&again), id);
    let again = rerun(&scene, &app, &id, &["--from-failure"]).await;
    assert_eq!((again.code, instance(&again)), (0, id.clone()), "{again:?}");
    let anew = rerun(&scene, &app, &id, &[]).await;
    assert_eq!(anew.code, 0, "{anew:?}");
    let new = instance(&anew);
    scene.holds(&new, rerun_of(&id, &scene.app.name)).await;
    assert_eq!(stored::count(&scene.client, "ft_audit WHERE action = 'rerun'").await, 3);
    assert_eq!(stored::count(&scene.client, "ft_run").await, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_tester_is_told_the_state_and_runs_an_instance_of_its_own() {
    let Some(mut scene) = Scene::set(Recording::Debugger, Posting::Synchronous).await else { return };
    let tester = scene.app.tester_at();
    let shut = scene.run(&SHUT).await;
    let ran = rerun(&scene, &tester, &shut, &["--from-failure"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let (status, output) = PASSED;
    let steps = "
        0 Gate       Completed  gated 0
        1 AfterGate  Completed  gated 0
        2 Return     Completed  gated 0";
    let wanted = Flow { input: "{}", status, output, steps, ..SHUT };
    let mut wanted = Instance::once(&wanted, &scene.app.name, true);
    wanted.superseded = vec!["0 - Started gated 0".to_owned()];
    scene.holds(&instance(&ran), wanted).await;

    // From the start: the first task once more, with what the flow was given.
    let ran = rerun(&scene, &tester, &shut, &[]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let found = stored::instance(&scene.client, &instance(&ran)).await.unwrap();
    assert_eq!(found.flow["status"], "Completed");
    let output: Value = serde_json::from_str(PASSED.1).unwrap();
    assert_eq!(found.flow["flowoutput"], output);
}
