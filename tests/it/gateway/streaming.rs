//! Steps as they are posted, to everybody who listens.

use futures_util::StreamExt as _;
use tokio::net::TcpStream;
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{Message, protocol::frame::coding::CloseCode},
};

use super::*;
use crate::servers::PATIENCE;

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

async fn listen(serving: &Serving) -> Socket {
    connect_async(format!("ws://{}/v1/stream/steps", serving.address)).await.unwrap().0
}

/// The next message that is no ping.
async fn next(socket: &mut Socket) -> Message {
    let message = async {
        loop {
            match socket.next().await.expect("the connection is gone").unwrap() {
                Message::Ping(_) => {}
                message => return message,
            }
        }
    };
    tokio::time::timeout(PATIENCE, message).await.expect("nothing comes")
}

fn step(number: usize, filling: usize) -> Value {
    json!({ "id": number, "flowId": "f", "flowChanges": {}, "filling": "x".repeat(filling) })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_reader_gets_every_step_from_when_it_came() {
    let config = config(3).await;
    let serving = Serving::start(&config).await;
    serving.post("/v1/instances/steps", &step(0, 0)).await;
    let (mut one, mut other) = (listen(&serving).await, listen(&serving).await);
    // A flow's start is no step.
    serving.post("/v1/instances/start", &json!({ "flow_instance_id": "f" })).await;
    serving.post("/v1/instances/steps", &step(1, 0)).await;
    for socket in [&mut one, &mut other] {
        assert_eq!(next(socket).await, Message::Text(step(1, 0).to_string().into()));
    }
    drop(one);
    serving.post("/v1/instances/steps", &step(2, 0)).await;
    assert_eq!(next(&mut other).await, Message::Text(step(2, 0).to_string().into()));
    drop(other);
    // Whoever comes when nobody is left begins anew.
    let mut late = listen(&serving).await;
    serving.post("/v1/instances/steps", &step(3, 0)).await;
    assert_eq!(next(&mut late).await, Message::Text(step(3, 0).to_string().into()));
    drop(serving);
    let Message::Close(Some(farewell)) = next(&mut late).await else { panic!("no farewell") };
    assert_eq!((farewell.code, farewell.reason.as_str()), (CloseCode::Away, "this server is stopping"));
}

/// It reads nothing while more is posted than the server keeps for it and the connection holds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_is_slow_is_told_what_it_missed_and_holds_nobody_up() {
    let config = config(1).await;
    let serving = Serving::start(&config).await;
    let (mut slow, mut quick) = (listen(&serving).await, listen(&serving).await);
    let count = 3_000;
    let reading = tokio::spawn(async move {
        for number in 0..count {
            let Message::Text(text) = next(&mut quick).await else { panic!("closed at {number}") };
            assert_eq!(serde_json::from_str::<Value>(&text).unwrap()["id"], number);
        }
    });
    // One after the other, so that their order is known.
    for number in 0..count {
        assert_eq!(serving.post("/v1/instances/steps", &step(number, 10_000)).await.status, 200);
    }
    reading.await.unwrap();
    let mut seen = 0;
    let farewell = loop {
        match next(&mut slow).await {
            Message::Text(_) => seen += 1,
            Message::Close(farewell) => break farewell.unwrap(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(farewell.code, CloseCode::Policy);
    assert!(seen < count && farewell.reason.starts_with("too slow: "), "{seen}: {farewell:?}");
}
