//! Each flow once, recorded as Flogo's own recorder does it.

use crate::{
    answers,
    app::{Posting, Recording},
    expected::{self, CALLED, CHILD, DETACHED},
    scene::Scene,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_flow_of_a_real_app_is_stored_and_answered_as_it_ran() {
    let Some(mut scene) = Scene::set(Recording::Debugger, Posting::Synchronous).await else { return };
    let mut ids = Vec::new();
    for flow in CALLED {
        ids.push((flow, scene.run(flow).await));
    }
    ids.push((&DETACHED, scene.run(&DETACHED).await));
    ids.push((&CHILD, scene.arrives(&CHILD).await));

    let id = |wanted: &expected::Flow| {
        ids.iter().find(|(flow, _)| std::ptr::eq(*flow, wanted)).map(|(_, id)| id.as_str()).unwrap()
    };
    answers::list_all(&scene, &ids).await;
    answers::details(&scene, id(&expected::BIG_ORDER)).await;
    answers::task(&scene, id(&expected::BIG_ORDER)).await;
    answers::statuses(&scene, id(&expected::PARENT)).await;
    answers::failed_task(&scene, id(&expected::SHUT)).await;
    answers::snapshots(&scene, id(&expected::LOOP)).await;
    for (flow, id) in &ids {
        answers::steps(&scene, flow, id).await;
    }
    scene.end().await;
}
