//! Questions that are none, or mean harm.

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_user_an_app_or_a_version_nothing_is_told() {
    let serving = Serving::over(&servers::config_of(&servers::database().await).await).await;
    let nobody = (401, "unauthorized, please provide user information");
    for path in
        ["/v1/instances", "/v1/instances/x/details", "/v1/flows", "/v1/apps/a/versions", "/v1/app/state/a"]
    {
        assert_eq!(serving.ask_as(&[], path).await.sentence(), nobody, "{path}");
        assert_eq!(serving.ask_as(&[("username", "")], path).await.sentence(), nobody, "{path}");
    }
    for path in ["/v1/instances", "/v1/flows"] {
        let answer = serving.ask(&format!("{path}?version=1")).await;
        assert_eq!(answer.sentence(), (400, "Please provide app name"));
        let answer = serving.ask(&format!("{path}?app=a&version=")).await;
        assert_eq!(answer.sentence(), (400, "Please provide app version"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_value_is_never_part_of_a_statement() {
    let (config, serving) = recorded("recorded.jsonl").await;
    for question in [
        "/v1/instances?app=x'%20or%20'1'='1&version=1.4.2",
        "/v1/instances?app=history-harness&version=1.4.2'%20or%20'1'='1",
        &format!("/v1/instances?{APP}&flow='%20or%20'1'='1"),
        &format!("/v1/instances?{APP}&flowinstanceid=x'%20or%20'1'='1"),
    ] {
        assert_eq!(serving.ask(question).await.body, r#"{"Count":0,"FlowData":null}"#, "{question}");
    }
    let user = [("username", "x' or '1'='1")];
    assert_eq!(serving.ask_as(&user, &format!("/v1/instances?{APP}")).await.json()["Count"], 0);
    assert_eq!(serving.ask_as(&user, "/v1/apps/history-harness/versions").await.body, "[]");
    let path = "/v1/instances/x'%20or%20'1'='1/steps/status";
    assert_eq!(serving.ask(path).await.body, "[]");
    let client = servers::connect_to(&config).await;
    assert_eq!(rows::count(&client, "flowstate").await, 16);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_postgres_can_not_read_is_the_callers_fault() {
    let serving = Serving::over(&servers::config_of(&servers::database().await).await).await;
    for (question, why) in [
        ("&interval=soon", "invalid input syntax for type interval"),
        ("&interval=1%20day'%20or%20true%20--", "invalid input syntax for type interval"),
        ("&interval=9999999%20years", "timestamp out of range"),
        ("&startTime=yesterdayish&endTime=2026-01-01", "invalid input syntax for type timestamp"),
        ("&status=%00", "invalid byte sequence"),
        ("&offset=-1&limit=1", "offset is not a number: -1"),
        ("&offset=0&limit=ten", "limit is not a number: ten"),
        ("&limit=99999999999999999999", "limit is not a number"),
    ] {
        let answer = serving.ask(&format!("/v1/instances?{APP}{question}")).await;
        let (code, sentence) = answer.sentence();
        assert_eq!(code, 400, "{question}: {sentence}");
        assert!(sentence.starts_with("Getting flow instance error:"), "{sentence}");
        assert!(sentence.contains(why), "{question}: {sentence}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_of_another_runtime_is_named_and_does_no_harm() {
    let config = servers::config_of(&servers::database().await).await;
    let client = servers::connect_to(&config).await;
    let insert = "INSERT INTO steps (flowinstanceid, stepid, taskname, stepdata) VALUES
        ('other', 'a-1', 'Approve', NULL), ('other', '3', 'Approve', convert_to('[1', 'UTF8'))";
    client.batch_execute(insert).await.unwrap();
    let serving = Serving::over(&config).await;
    for rest in ["steps", "steps/tasks", "snapshot", "snapshot/3", "step/3/taskdata", "step/a-1/taskdata"] {
        let answer = serving.ask(&format!("/v1/instances/other/{rest}")).await;
        let (code, sentence) = answer.sentence();
        assert!(code == 500 && sentence.contains("holds no step of Flogo"), "{rest}: {sentence}");
    }
    let statuses = serving.ask("/v1/instances/other/steps/status").await.json();
    assert_eq!((&statuses[0]["stepId"], &statuses[1]["stepId"]), (&json!("3"), &json!("a-1")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_too_large_for_one_answer_is_refused() {
    let config = servers::config_of(&servers::database().await).await;
    let client = servers::connect_to(&config).await;
    // 80 steps of 1 MB, which hardly take any room.
    let insert = r#"INSERT INTO steps (flowinstanceid, stepid, stepdata)
        SELECT 'large', n::text, convert_to('{"id":1,"x":"' || repeat('x', 1000000) || '"}', 'UTF8')
        FROM generate_series(0, 79) n"#;
    client.batch_execute(insert).await.unwrap();
    let serving = Serving::over(&config).await;
    let answer = serving.ask("/v1/instances/large/steps").await;
    assert_eq!(answer.sentence(), (500, "get steps error:there are more than 64 MiB of it"));
    assert_eq!(serving.ask("/v1/instances/large/steps/status").await.code, 200);
}
