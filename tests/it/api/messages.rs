//! What Kafka has of a flow, and what comes onto the topic while somebody listens.

use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    time::timeout,
};

use super::{Serving, id};
use crate::{
    program::{configured, line_with, publish},
    rows, servers,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flow_leads_to_its_messages_and_says_what_became_of_them() {
    let serving = Serving::recorded("recorded.jsonl").await;
    let client = servers::connect_to(&serving.config).await;
    let flow = id("3ac");
    let found = serving.get(&format!("/flows/{flow}/messages")).await;
    let messages = found["messages"].as_array().unwrap();
    // A start, an end, and the steps.
    let steps =
        rows::texts(&client, &format!("SELECT stepid FROM steps WHERE flowinstanceid = '{flow}'")).await;
    assert_eq!(of_kind(messages, "step").len(), steps.len(), "{found:#}");
    assert_eq!(of_kind(messages, "flow").len(), 2);
    assert!(messages.iter().all(|message| message["topic"] == *serving.config.kafka.topics[0]));
    assert!(
        messages.iter().all(|message| message["shown"] == "shown" || message["kind"] == "snapshot"),
        "{found:#}"
    );
    assert_eq!((&found["stopped"], found["searched"].as_array().unwrap().len()), (&Value::Null, 1));
    let offsets: Vec<i64> = messages.iter().map(|message| message["offset"].as_i64().unwrap()).collect();
    assert!(offsets.is_sorted());
    let of_step = serving.get(&format!("/flows/{flow}/steps/1/messages?all_partitions=true")).await;
    assert_eq!(of_step["messages"], json!(messages.iter().filter(|m| m["step"] == "1").collect::<Vec<_>>()));
    assert_eq!(of_step["searched"].as_array().unwrap().len(), 3);

    // Once more: what closed it has been said, so this is late. It shows all the same.
    publish(&serving.config, "recorded.jsonl", &[]).await;
    let again = serving.get(&format!("/flows/{flow}/messages")).await;
    let again = again["messages"].as_array().unwrap();
    assert_eq!(again.len(), 2 * messages.len());
    let late = again.iter().filter(|message| message["late"] == true).count();
    assert_eq!(late, steps.len() + 2, "the start and the end too");
    let (status, _) = serving.problem(&format!("/flows/{flow}/messages?topic=nowhere")).await;
    assert_eq!(status, 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_of_a_re_run_say_which_executions_were_superseded() {
    let serving = Serving::recorded("reruns.jsonl").await;
    let client = servers::connect_to(&serving.config).await;
    let sql = "SELECT flowinstanceid FROM ft_superseded_step GROUP BY 1 ORDER BY 1 LIMIT 1";
    let flow = rows::texts(&client, sql).await.pop().flatten().unwrap();
    let sql = format!(
        "SELECT stepid || '@' || execution FROM ft_superseded_step WHERE flowinstanceid = '{flow}' ORDER BY 1"
    );
    let stored: Vec<String> = rows::texts(&client, &sql).await.into_iter().flatten().collect();
    let found = serving.get(&format!("/flows/{flow}/messages")).await;
    let messages = found["messages"].as_array().unwrap();
    let superseded = messages.iter().filter(|m| m["shown"] == "superseded" && m["kind"] == "step");
    let mut told: Vec<String> =
        superseded.map(|m| format!("{}@{}", m["step"].as_str().unwrap(), m["execution"])).collect();
    told.sort();
    told.dedup();
    assert_eq!(told, stored);
}

fn of_kind<'a>(messages: &'a [Value], kind: &str) -> Vec<&'a Value> {
    messages.iter().filter(|message| message["kind"] == kind).collect()
}

/// A client of the events.
struct Listener {
    lines: Lines<BufReader<OwnedReadHalf>>,
    /// Closing it would end the connection.
    _out: OwnedWriteHalf,
}

/// One event as it came.
#[derive(Debug, Default)]
struct Came {
    id: String,
    event: String,
    data: Value,
}

impl Listener {
    /// Connects, and waits until the server has begun to answer, by when it listens.
    async fn connect(serving: &Serving, query: &str, last: Option<&str>) -> Self {
        let (read, mut out) = TcpStream::connect(&serving.process.address).await.unwrap().into_split();
        let last = last.map(|last| format!("last-event-id: {last}\r\n")).unwrap_or_default();
        let request = format!("GET /api/v1/events{query} HTTP/1.1\r\nhost: x\r\n{last}\r\n");
        out.write_all(request.as_bytes()).await.unwrap();
        let mut lines = BufReader::new(read).lines();
        assert!(line_with(&mut lines, "HTTP/1.1").await.contains("200"));
        line_with(&mut lines, "text/event-stream").await;
        Self { lines, _out: out }
    }

    /// The next event that has data.
    async fn next(&mut self) -> Came {
        let mut came = Came::default();
        let reading = async {
            while let Some(line) = self.lines.next_line().await.unwrap() {
                match line.split_once(": ") {
                    Some(("id", id)) => id.clone_into(&mut came.id),
                    Some(("event", event)) => event.clone_into(&mut came.event),
                    Some(("data", data)) => came.data = serde_json::from_str(data).unwrap(),
                    _ if came.data.is_null() => {}
                    // Lines of the chunks come between; an empty one ends an event.
                    _ if line.is_empty() => return,
                    _ => {}
                }
            }
            panic!("the stream ended");
        };
        timeout(servers::PATIENCE, reading).await.expect("no event");
        came
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_listens_gets_what_is_posted_and_who_comes_back_what_was_missed() {
    let serving = Serving::over(super::config().await).await;
    let mut listener = Listener::connect(&serving, "?failed=true&kind=flow", None).await;
    publish(&serving.config, "recorded.jsonl", &[]).await;
    let mut failed = Vec::new();
    let mut last = String::new();
    for _ in 0..3 {
        let came = listener.next().await;
        assert_eq!((came.event.as_str(), &came.data["state"]), ("flow", &json!("failed")));
        failed.push(came.data["id"].as_str().unwrap()[..6].to_owned());
        last = came.id;
    }
    failed.sort();
    assert_eq!(failed, ["32cf3d", "37cf3d", "3acf3d"]);
    drop(listener);

    // What came while it was away is there, each record once, with how far that is.
    publish(&serving.config, "recorded.jsonl", &[]).await;
    let mut listener = Listener::connect(&serving, "?failed=true&kind=flow", Some(&last)).await;
    let mut again = Vec::new();
    for _ in 0..3 {
        again.push(listener.next().await.data["id"].as_str().unwrap()[..6].to_owned());
    }
    again.sort();
    assert_eq!(again, failed);
    // And then what comes.
    publish(&serving.config, "recorded.jsonl", &[]).await;
    let came = listener.next().await;
    assert!(failed.contains(&came.data["id"].as_str().unwrap()[..6].to_owned()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_comes_back_from_too_far_is_told_how_much_was_missed() {
    let serving = Serving::over(super::config().await).await;
    let topic = serving.config.kafka.topics[0].clone();
    let mut command = configured(&serving.config, ["publish", "--synthetic", "12000", "--topic", &topic]);
    crate::program::done(&mut command).await;
    let ends = crate::topics::ends(&serving.config).await;
    let total: i64 = ends.iter().map(|(_, end)| end).sum();
    let share = 10_000 / i64::try_from(ends.len()).unwrap();
    let kept: i64 = ends.iter().map(|(_, end)| (*end).min(share)).sum();
    let last: Vec<String> = ends.iter().map(|(number, _)| format!("{topic}:{number}:0")).collect();
    let mut listener = Listener::connect(&serving, "", Some(&last.join(","))).await;
    let first = listener.next().await;
    assert_eq!((first.event.as_str(), &first.data), ("missed", &json!({"events": total - kept})));
    let second = listener.next().await;
    assert!(
        second.data["offset"].as_i64().unwrap() >= ends.iter().map(|(_, end)| end - share).min().unwrap()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_reads_too_slowly_is_told_how_much_was_missed_and_then_gets_what_comes() {
    let serving = Serving::over(super::config().await).await;
    let topic = serving.config.kafka.topics[0].clone();
    let mut listener = Listener::connect(&serving, "", None).await;
    // More than fits into what the system keeps for a connection, while nobody reads.
    let published: u64 = 100_000;
    let count = published.to_string();
    let mut command = configured(&serving.config, ["publish", "--synthetic", &count, "--topic", &topic]);
    crate::program::done(&mut command).await;
    let (mut got, mut missed) = (0, 0);
    while got + missed < published {
        let came = listener.next().await;
        match came.event.as_str() {
            "missed" => missed += came.data["events"].as_u64().unwrap(),
            _ => got += 1,
        }
    }
    assert_eq!(got + missed, published);
    assert!(missed > 0, "it kept all of them");
    publish(&serving.config, "recorded.jsonl", &[]).await;
    assert_ne!(listener.next().await.event, "missed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_listen_and_the_next_one_gets_in_when_one_of_them_goes() {
    let serving = Serving::over(super::config().await).await;
    let mut listeners = Vec::new();
    for _ in 0..100 {
        listeners.push(Listener::connect(&serving, "", None).await);
    }
    let refused = serving.ask("GET /events", &[], "").await;
    assert_eq!(refused.status, 503, "{refused:?}");
    listeners.pop();
    // Which the server learns when it next has something to say to it.
    let topic = serving.config.kafka.topics[0].clone();
    servers::until("there is room", async || {
        let mut command = configured(&serving.config, ["publish", "--synthetic", "10", "--topic", &topic]);
        crate::program::done(&mut command).await;
        let mut stream = TcpStream::connect(&serving.process.address).await.unwrap();
        stream.write_all(b"GET /api/v1/events HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        let mut lines = BufReader::new(stream).lines();
        let head = line_with(&mut lines, "HTTP/1.1").await;
        if head.contains("200") { Ok(()) } else { Err(head) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_terminal_shows_what_comes_onto_the_topic() {
    let config = super::config().await;
    let mut command =
        configured(&config, ["flow", "tail", "--kind", "flow", "--failed", "--format", "ndjson"]);
    let mut child = command
        .args(["--topic", &config.kafka.topics[0]])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap()).lines();
    line_with(&mut said, "listening to").await;
    publish(&config, "recorded.jsonl", &[]).await;
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    for _ in 0..3 {
        let line = timeout(servers::PATIENCE, lines.next_line()).await.unwrap().unwrap().unwrap();
        let posted: Value = serde_json::from_str(&line).unwrap();
        assert_eq!((&posted["kind"], &posted["state"]), (&json!("flow"), &json!("failed")));
    }
}
