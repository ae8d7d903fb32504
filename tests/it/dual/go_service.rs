//! Stands for Flogo's own state service on Postgres: takes what apps post, and writes what that service writes of it.
//!
//! It shares nothing with flowtrail but the seed's tables. Each request is a few statements that look at nothing else, which
//! is why an end before its start is lost there, and a start that comes again opens a finished flow.

use std::sync::{Arc, Mutex};

use axum::{
    Router,
    body::{self, Bytes},
    extract::{Request, State},
    http::{Method, StatusCode},
};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio_postgres::{Client, types::ToSql};

use crate::servers;

const SEED: &str = include_str!("../../fixtures/seed.sql");

/// The service, until the test ends.
pub struct GoService {
    /// Where it listens, `http://host:port`.
    pub url: String,
    /// Its database.
    pub database: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

/// A request that it got.
#[derive(Debug, Clone, PartialEq)]
pub struct Asked {
    /// Method and path.
    pub request: String,
    pub user: Option<String>,
    pub token: Option<String>,
    pub body: String,
}

struct Shared {
    client: tokio::sync::Mutex<Client>,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl GoService {
    pub async fn start() -> Self {
        let database = servers::empty_database().await;
        let client = servers::connect(&database).await;
        client.batch_execute(SEED).await.unwrap();
        let asked = Arc::<Mutex<Vec<Asked>>>::default();
        let shared = Arc::new(Shared { client: client.into(), asked: asked.clone() });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(take).with_state(shared);
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, database, asked }
    }

    /// What it was asked so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

async fn take(State(shared): State<Arc<Shared>>, request: Request) -> StatusCode {
    let (parts, body) = request.into_parts();
    let body = body::to_bytes(body, usize::MAX).await.unwrap();
    let header = |name: &str| parts.headers.get(name).map(|value| value.to_str().unwrap().to_owned());
    let path = parts.uri.path_and_query().unwrap().as_str().to_owned();
    shared.asked.lock().unwrap().push(Asked {
        request: format!("{} {path}", parts.method),
        user: header("username"),
        token: header("authorization"),
        body: String::from_utf8(body.to_vec()).unwrap(),
    });
    let client = shared.client.lock().await;
    let path: Vec<_> = path.split('/').skip(2).collect();
    match (&parts.method, path.as_slice()) {
        (&Method::POST, ["instances", "start"]) => start(&client, &json(&body)).await,
        (&Method::POST, ["instances", "end"]) => end(&client, &json(&body)).await,
        (&Method::POST, ["instances", "steps"]) => return step(&client, &body).await,
        (&Method::DELETE, ["instances", flow, "step", number]) => {
            let delete =
                "DELETE FROM steps WHERE flowinstanceid = $1 AND stepid::integer >= $2::text::integer";
            execute(&client, delete, &[flow, number]).await;
        }
        // Answered, and nothing is done.
        (&Method::POST, ["instances", "snapshot"]) | (&Method::DELETE, ["instances", _]) => {}
        _ => return StatusCode::NOT_FOUND,
    }
    StatusCode::OK
}

fn json(body: &Bytes) -> Value {
    serde_json::from_slice(body).unwrap()
}

async fn execute(client: &Client, sql: &str, values: &[&(dyn ToSql + Sync)]) {
    client.execute(sql, values).await.unwrap();
}

fn text<'a>(of: &'a Value, field: &str) -> &'a str {
    of[field].as_str().unwrap()
}

/// As Go's encoder writes it; what could be markup it escapes.
fn go(value: &Value, none: &str) -> Vec<u8> {
    let text = if value.is_null() { none.to_owned() } else { value.to_string() };
    text.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026").into_bytes()
}

async fn start(client: &Client, flow: &Value) {
    let original = text(flow, "original_instance_id");
    let count = "UPDATE flowstate SET reruncount = reruncount + 1 WHERE flowinstanceid = $1";
    execute(client, count, &[&original]).await;
    let insert = "INSERT INTO flowstate (flowinstanceid, userid, appname, appversion, flowname, hostid, starttime, endtime, \
            status, flowinput, flowoutput, reruncount, rerunofflowinstanceid) \
        VALUES ($1, $2, $3, $4, $5, $6, $7::text::timestamp, $8::text::timestamp, $9, $10, '', 0, $11) \
        ON CONFLICT (flowinstanceid) DO UPDATE SET hostid = excluded.hostid, flowname = excluded.flowname, \
            userid = excluded.userid, status = excluded.status, flowinput = excluded.flowinput, \
            flowoutput = excluded.flowoutput, reruncount = excluded.reruncount, starttime = excluded.starttime, \
            endtime = excluded.endtime";
    let input = go(&flow["flow_inputs"], "{}");
    let [id, user, app, version] =
        ["flow_instance_id", "user_id", "app_name", "app_version"].map(|name| text(flow, name));
    let [name, host, start, end] =
        ["flow_name", "host_id", "start_time", "end_time"].map(|name| text(flow, name));
    let status = text(flow, "flow_stats");
    let values: [&(dyn ToSql + Sync); 11] =
        [&id, &user, &app, &version, &name, &host, &start, &end, &status, &input, &original];
    execute(client, insert, &values).await;
}

async fn end(client: &Client, flow: &Value) {
    let update = "UPDATE flowstate SET endtime = $2::text::timestamp, status = $3, flowoutput = $4, executiontime = \
        trim_scale(round(extract(epoch FROM $2::text::timestamp - starttime) * 1000, 3))::text WHERE flowinstanceid = $1";
    let [id, end, status] = ["flow_instance_id", "end_time", "flow_stats"].map(|name| text(flow, name));
    execute(client, update, &[&id, &end, &status, &go(&flow["flow_outputs"], "null")]).await;
}

/// Of which flow and task a step is, and in which status: nothing without changes.
fn task(step: &Value) -> Option<(String, String, String, &'static str)> {
    let changes = step["flowChanges"].as_object().unwrap();
    let mut numbers: Vec<u32> = changes.keys().map(|number| number.parse().unwrap()).collect();
    numbers.sort_unstable();
    let number = match numbers.as_slice() {
        [] => return None,
        [one] => one,
        [outer, inner, ..] if changes[&inner.to_string()]["newFlow"] == true => outer,
        [_, inner, ..] => inner,
    };
    let change = &changes[&number.to_string()];
    let mut task = change["taskId"].as_str().unwrap_or_default().to_owned();
    let mut status = if change["newFlow"] == true { "Started" } else { "" };
    for (name, changed) in change["tasks"].as_object().into_iter().flatten() {
        let ended = match changed["status"].as_i64().unwrap_or_default() {
            30 => "Waiting",
            40 => "Completed",
            100 => "Failed",
            _ => continue,
        };
        (task, status) = (name.clone(), ended);
    }
    let flow = change["flowURI"].as_str().unwrap_or_default().rsplit(':').next().unwrap().to_owned();
    Some((number.to_string(), flow, task, status))
}

async fn step(client: &Client, body: &Bytes) -> StatusCode {
    let step = json(body);
    let Some((number, flow, task, status)) = task(&step) else { return StatusCode::INTERNAL_SERVER_ERROR };
    let insert = "INSERT INTO steps (flowinstanceid, stepid, taskname, status, starttime, endtime, stepdata, subflowid, \
            flowname, rerun) \
        VALUES ($1, $2, $3, $4, $5::text::timestamp, $6::text::timestamp, $7, $8, $9, $10) \
        ON CONFLICT (flowinstanceid, stepid) DO UPDATE SET status = excluded.status, starttime = excluded.starttime, \
            endtime = excluded.endtime, stepdata = excluded.stepdata";
    let (id, rerun) = (step["id"].to_string(), step["rerun"].as_bool().unwrap());
    let [of, start, end] = ["flowId", "starttime", "endtime"].map(|name| text(&step, name));
    let data = &body[..];
    let values: [&(dyn ToSql + Sync); 10] =
        [&of, &id, &task, &status, &start, &end, &data, &number, &flow, &rerun];
    execute(client, insert, &values).await;
    StatusCode::OK
}
