//! The state service's questions over real tables: recorded traffic, re-runs, hostile values, and Postgres away.

use flowtrail::{
    config::{self, Config},
    gateway::reads::{self, Reads},
    http,
    postgres::{Pool, PoolError},
};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{collecting::collect_all, http_client::ask, pooler, program::publish, rows, servers};

mod hostile;
mod pool;
mod reruns;

const RECORDED: &str = include_str!("../fixtures/flogo/recorded.jsonl");

/// Recorded instances; all ids end alike.
fn id(beginning: &str) -> String {
    format!("{beginning}f3de9dc7a3cc13f48d62a898ec63b")
}

/// The answer to one question.
#[derive(Debug)]
struct Answer {
    code: u16,
    content_type: String,
    body: String,
}

impl Answer {
    #[track_caller]
    fn json(&self) -> Value {
        assert_eq!((self.code, self.content_type.as_str()), (200, "application/json"), "{self:?}");
        serde_json::from_str(&self.body).unwrap()
    }

    /// A code and the sentence of a plain text.
    #[track_caller]
    fn sentence(&self) -> (u16, &str) {
        assert_eq!(self.content_type, "text/plain; charset=utf-8", "{self:?}");
        (self.code, self.body.strip_suffix('\n').unwrap())
    }
}

/// A server within the test, which ends with it.
struct Serving {
    address: String,
    stop: CancellationToken,
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Serving {
    async fn start(pool: Pool) -> Self {
        let stop = CancellationToken::new();
        let routes = reads::routes(Reads::new(pool));
        let address = http::serve("127.0.0.1:0", routes, stop.clone(), &TaskTracker::new()).await.unwrap();
        Self { address: address.to_string(), stop }
    }

    /// Over the database of a configuration.
    async fn over(config: &Config) -> Self {
        Self::start(Pool::new(&config.postgres, "test-reads", 4)).await
    }

    /// As the user whose app was recorded.
    async fn ask(&self, path: &str) -> Answer {
        self.ask_as(&[("username", "lab-user")], path).await
    }

    async fn ask_as(&self, user: &[(&str, &str)], path: &str) -> Answer {
        let answer = ask(&self.address, &format!("GET {path}"), user, b"").await;
        let content_type = answer.head.lines().find_map(|line| line.strip_prefix("content-type: "));
        let content_type = content_type.unwrap_or_default().to_owned();
        Answer { code: answer.status, content_type, body: answer.body }
    }
}

/// The tables as the collector fills them from a recording, and a server over them.
async fn recorded(recording: &str) -> (Config, Serving) {
    let config = servers::config(3).await;
    publish(&config, recording, &[]).await;
    collect_all(&config).await;
    let serving = Serving::over(&config).await;
    (config, serving)
}

/// Ids of a list of instances, the first six characters of each.
fn ids(list: &Value) -> Vec<&str> {
    let flows = list["FlowData"].as_array().map_or(&[][..], Vec::as_slice);
    flows.iter().map(|flow| &flow["id"].as_str().unwrap()[..6]).collect()
}

const APP: &str = "app=history-harness&version=1.4.2";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn instances_are_listed_narrowed_and_cut_into_pages() {
    let (_config, serving) = recorded("recorded.jsonl").await;
    let list = async |more: &str| serving.ask(&format!("/v1/instances?{APP}{more}")).await.json();

    let all = list("").await;
    assert_eq!(all["Count"], 16);
    // The newest first.
    let newest = ["2fcf3d", "30cf3d", "31cf3d", "32cf3d", "33cf3d", "34cf3d", "35cf3d", "36cf3d"];
    let oldest = ["37cf3d", "38cf3d", "39cf3d", "3acf3d", "3bcf3d", "3ccf3d", "3dcf3d", "3ecf3d"];
    assert_eq!(ids(&all), [newest, oldest].concat());
    let wanted = json!({
        "id": id("3ec"), "flowName": "order", "hostid": "lab-host", "flowStatus": "Completed", "flowInputs": {},
        "starttime": "2026-11-21T20:28:27.494225Z", "endtime": "2026-11-21T20:28:27.505492Z",
        "executiontime": "11.267", "rerunCount": 0, "originalInstanceId": "",
    });
    assert_eq!(all["FlowData"][15], wanted);

    let narrowed: [(&str, &[&str]); 9] = [
        ("&status=Failed", &["32cf3d", "37cf3d", "3acf3d"]),
        ("&flow=order", &["3dcf3d", "3ecf3d"]),
        ("&host=lab-host&flow=fork", &["2fcf3d"]),
        ("&flowinstanceid=3acf3de9dc7a3cc13f48d62a898ec63b", &["3acf3d"]),
        ("&flow=order&interval=100%20years", &["3dcf3d", "3ecf3d"]),
        ("&flow=order&interval=-100%20years", &[]),
        // Both ends count, to the microsecond.
        ("&startTime=2026-11-21T20:28:27.518680Z&endTime=2026-11-21T20:28:27.546190Z", &["3ccf3d", "3dcf3d"]),
        ("&startTime=2026-11-21%2022:28:27.9%2B02:00&endTime=2026-11-22", &["2fcf3d"]),
        ("&host=elsewhere", &[]),
    ];
    for (more, wanted) in narrowed {
        let found = list(more).await;
        assert_eq!((ids(&found).as_slice(), &found["Count"]), (wanted, &json!(wanted.len())), "{more}");
    }
    assert_eq!(list("&startTime=2030-01-01").await["Count"], 16, "one end by itself does not narrow");

    let page = list("&offset=1&limit=2").await;
    assert_eq!((ids(&page), &page["Count"]), (vec!["30cf3d", "31cf3d"], &json!(16)));
    assert_eq!(ids(&list("&offset=14").await).len(), 2);
    assert_eq!(list("&offset=16&limit=5").await, json!({"Count": 16, "FlowData": null}));
    let none = serving.ask("/v1/instances?app=other&version=1.4.2").await;
    assert_eq!(none.body, r#"{"Count":0,"FlowData":null}"#);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_instance_tells_its_details_its_status_and_its_steps() {
    let (config, serving) = recorded("recorded.jsonl").await;
    let client = servers::connect_to(&config).await;
    let flow = id("3ec");
    let get = async |rest: &str| serving.ask(&format!("/v1/instances/{flow}/{rest}")).await;

    let wanted = json!({
        "id": flow, "flowURI": "res://flow:order", "flowName": "order", "flowStatus": "Completed",
        "flowInputs": {"amount": 250, "orderId": "o-1"}, "rerunCount": 0, "originalInstanceId": "",
    });
    assert_eq!(get(&format!("details?{APP}&host=lab-host")).await.json(), wanted);
    assert_eq!(get("details").await.json(), wanted);
    let unknown = (500, "get flow details error: ");
    assert_eq!(get("details?app=other").await.sentence(), unknown);
    assert_eq!(serving.ask_as(&[("username", "eve")], "/v1/instances/x/details").await.sentence(), unknown);

    for (beginning, status) in [("3ec", "500"), ("3ac", "700")] {
        let answer = serving.ask(&format!("/v1/instances/{}/status", id(beginning))).await;
        assert_eq!(answer.body, format!(r#"{{"status":"{status}"}}"#));
    }
    let unknown = serving.ask("/v1/instances/unknown/status").await;
    assert_eq!((unknown.code, unknown.body.as_str()), (404, ""));

    // In order, each with the bytes that are stored.
    let ordered = format!(
        "SELECT convert_from(stepdata, 'UTF8') FROM steps WHERE flowinstanceid = '{}' ORDER BY stepid::int",
        id("35c")
    );
    let stored: Vec<String> = rows::texts(&client, &ordered).await.into_iter().flatten().collect();
    assert_eq!(stored.len(), 11);
    let steps = serving.ask(&format!("/v1/instances/{}/steps", id("35c"))).await;
    assert_eq!(steps.body, format!("[{}]", stored.join(",")));
    // And what is stored is what was posted.
    let posted = RECORDED.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let posted = posted.map(|line| line["body"].clone()).filter(|body| body["flowId"] == id("35c").as_str());
    let by_number = |step: &Value| step["id"].as_i64().unwrap();
    let mut posted: Vec<_> = posted.collect();
    posted.sort_by_key(by_number);
    assert_eq!(steps.json(), Value::Array(posted));

    for (question, what) in [("steps", "get steps error:"), ("steps/tasks", "get tasks error:")] {
        let answer = serving.ask(&format!("/v1/instances/nobody/{question}")).await;
        let wanted = format!("{what}step for flow instance [nobody] not found");
        assert_eq!(answer.sentence(), (500, wanted.as_str()));
    }
    assert_eq!(serving.ask("/v1/instances/nobody/steps/status").await.body, "[]");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn steps_are_told_by_task_and_by_how_they_ended() {
    let (_config, serving) = recorded("recorded.jsonl").await;
    let get = async |flow: &str, rest: &str| serving.ask(&format!("/v1/instances/{}/{rest}", id(flow))).await;

    let tasks = get("37c", "steps/tasks").await.json();
    let named: Vec<Vec<&str>> = tasks
        .as_array()
        .unwrap()
        .iter()
        .map(|step| step.as_array().unwrap().iter().map(|task| task["id"].as_str().unwrap()).collect())
        .collect();
    let wanted: [&[&str]; 7] =
        [&["Before"], &["Before"], &["CallFailing", ""], &["Double"], &["ChildThrow"], &[], &["CallFailing"]];
    assert_eq!(named, wanted);

    let statuses = get("37c", "steps/status").await.json();
    assert_eq!(
        statuses[1],
        json!({
            "stepId": "2", "status": "Failed", "taskName": "CallFailing", "flowname": "subfail", "rerun": "false",
            "subflowid": "0", "starttime": "2026-11-21T20:28:27.745422Z",
        })
    );
    let in_short = |statuses: &Value| -> Vec<String> {
        let step = |step: &Value| format!("{} {}", step["stepId"], step["status"]).replace('"', "");
        statuses.as_array().unwrap().iter().map(step).collect()
    };
    assert_eq!(in_short(&statuses), ["1 Completed", "2 Failed", "3 Completed", "4 Failed"]);
    // Two rounds, each with a subflow of its own, and the end of the loop; ten comes after nine.
    let wanted = [
        "1 Completed",
        "2 Completed",
        "3 Completed",
        "5 Completed",
        "6 Completed",
        "7 Completed",
        "9 Completed",
        "10 Completed",
    ];
    assert_eq!(in_short(&get("35c", "steps/status").await.json()), wanted);
    assert_eq!(
        in_short(&get("36c", "steps/status").await.json())[1..4],
        ["2 ", "3 ", "4 "],
        "rounds of a loop"
    );

    let failed = get("37c", "failedtask").await.json();
    assert_eq!(failed, json!({"flowInstanceId": id("37c"), "stepId": "4", "taskName": "ChildThrow"}));
    let none = get("3ec", "failedtask").await.json();
    assert_eq!(none, json!({"flowInstanceId": id("3ec"), "stepId": "", "taskName": ""}));

    // Each round's own end answers, under the number that was asked for.
    for (step, doubled) in [(1, 10), (5, 12)] {
        let data = get("35c", &format!("step/{step}/taskdata?taskName=EachChild")).await.json();
        assert_eq!((&data[0]["stepId"], &data[0]["status"]), (&json!(step), &json!("Completed")));
        assert_eq!(data[0]["output"], json!({"doubled": doubled}));
    }
    let plain = get("3ec", "step/1/taskdata").await.json();
    assert_eq!((&plain[0]["id"], &plain[0]["output"]["result"]), (&json!("CalcTotal"), &json!(300)));
    let wrong = get("3ec", "step/1/taskdata?taskName=Return").await;
    assert_eq!(wrong.sentence(), (500, "get tasks error:No step data found for matching input"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_state_of_an_instance_after_each_step() {
    let (config, serving) = recorded("recorded.jsonl").await;
    let get =
        async |flow: &str, rest: &str| serving.ask(&format!("/v1/instances/{flow}/snapshot{rest}")).await;

    let after_two_rounds = get(&id("36c"), "/3").await.json();
    assert_eq!(after_two_rounds["attrs"]["_A.Each"].as_array().unwrap().len(), 2);
    // A step without changes shifts nothing.
    assert_eq!(get(&id("37c"), "/5").await.json()["status"], 100);
    assert_eq!(get(&id("37c"), "/6").await.json()["status"], 700);
    let whole = get(&id("3cc"), "").await.json();
    assert_eq!(whole, get(&id("3cc"), "/7").await.json());
    assert_eq!((&whole["id"], &whole["flowURI"]), (&json!(id("3cc")), &json!("res://flow:parent")));
    assert!(whole["attrs"].get("_A.Double.result").is_none(), "{whole}");
    assert_eq!(whole["subflows"][0]["attrs"]["_A.Double.result"], 42);

    for (step, message) in [
        ("5", "invalid stepId: 5, only 5 exists"),
        ("9999999999", "invalid stepId: 9999999999, only 5 exists"),
        ("-2", "invalid stepId: -2"),
        ("x", "invalid stepId: x"),
        ("99999999999999999999", "invalid stepId: 99999999999999999999"),
        ("1.0", "invalid stepId: 1.0"),
    ] {
        let answer = get(&id("3ec"), &format!("/{step}")).await;
        assert_eq!((answer.code, answer.content_type.as_str()), (400, "application/json"), "{answer:?}");
        let body: Value = serde_json::from_str(&answer.body).unwrap();
        assert_eq!(body, json!({"code": 400, "message": message}));
    }
    let unknown = "step for flow instance [nobody] not found";
    assert_eq!(
        get("nobody", "").await.sentence(),
        (500, format!("get getSnapshot error:{unknown}").as_str())
    );
    let wanted = format!("get getSnapshotAtStep error:{unknown}");
    assert_eq!(get("nobody", "/0").await.sentence(), (500, wanted.as_str()));

    // An engine that records snapshots only: the furthest is answered as it was posted.
    let client = servers::connect_to(&config).await;
    let furthest = r#"{"id":"snap","flowURI":"res://flow:s", "status":500}"#;
    for (hash, data) in [("a", r#"{"id":"snap","status":100,"attrs":{"a":1}}"#), ("b", furthest)] {
        let insert = "INSERT INTO ft_snapshot VALUES ('snap', '', $1, $2)";
        client.execute(insert, &[&hash.as_bytes(), &data.as_bytes()]).await.unwrap();
    }
    assert_eq!(get("snap", "").await.body, furthest);
    assert_eq!(get("snap", "/0").await.code, 500);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn apps_tell_their_flows_their_versions_and_their_state() {
    let (config, serving) = recorded("recorded.jsonl").await;
    let flows = serving.ask(&format!("/v1/flows?{APP}&host=lab-host")).await.json();
    let wanted = [
        "child", "detached", "errlink", "fail", "fork", "gated", "handled", "loop", "nested", "order",
        "parent", "retry", "subfail", "subloop",
    ];
    assert_eq!(flows, json!(wanted));
    assert_eq!(serving.ask("/v1/flows?app=other&version=1").await.body, "[]");
    assert_eq!(serving.ask("/v1/apps/history-harness/versions").await.body, r#"["1.4.2"]"#);
    assert_eq!(serving.ask("/v1/apps/other/versions").await.body, "[]");

    let client = servers::connect_to(&config).await;
    let switched = "INSERT INTO appstate (userid, appname, persistenceenabled) VALUES
        ('lab-user', 'on', true), ('lab-user', 'off app', false), ('eve', 'hers', true)";
    client.batch_execute(switched).await.unwrap();
    for (app, state) in [("on", "true"), ("off%20app", "false"), ("hers", ""), ("unknown", "")] {
        assert_eq!(serving.ask(&format!("/v1/app/state/{app}")).await.json(), json!(state), "{app}");
    }

    let healthy = json!({
        "smVersion": "2.0", "connected": true, "tablesExists": true, "message": "", "status": true,
    });
    assert_eq!(serving.ask("/v1/health").await.json(), healthy);
}
