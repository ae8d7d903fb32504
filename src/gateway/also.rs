//! Every write once more, to the state service that this one is to take the place of.
//!
//! While both run, each request that changes history is sent on as it came, once it is kept here. Nobody waits for that:
//! whatever the other service answers, or does not, changes no answer of ours. What is said of one instance goes by one
//! sender, in the order in which it was kept, since Flogo's service loses an end that overtakes its start. Nothing is sent
//! twice, since that service counts a repeated re-run twice.
//!
//! What waits is bounded, by number and by bytes; beyond that, requests are dropped. Each is counted by what became of it
//! (`flowtrail_gateway_also_total`).

use std::{
    hash::BuildHasher as _,
    io::Read as _,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header::CONTENT_TYPE, request::Parts};
use bytes::Bytes;
use rustc_hash::FxBuildHasher;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    task::spawn_blocking,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use ureq::Agent;

use crate::{
    clock, metrics,
    sentence::{quotable, with_causes},
    telemetry::Seldom,
};

/// Requests to the other service at once. It takes each by itself, on a connection that is kept.
const SENDERS: usize = 8;

/// Requests that wait for one sender.
const MOST_WAITING: usize = 2_048;

/// Bytes of bodies that wait for all senders.
const MOST_BYTES: usize = 64 << 20;

/// How long the other service may take over a request: as long as Flogo's gives a connection.
const PATIENCE: Duration = Duration::from_secs(15);

/// How long a connection may rest before it is used again. Flogo's service closes one after 15 seconds, and a request that
/// meets that would be lost.
const REST: Duration = Duration::from_secs(5);

/// How long the end of this process waits for what is still to be sent.
const GRACE: Duration = Duration::from_secs(2);

/// As much of an answer as is read.
const MOST_ANSWER: u64 = 64 << 10;

/// Headers that go along. A token for this service is none of the other's business.
const HEADERS: [&str; 3] = ["username", "async-calling", "content-type"];

/// Header of what is sent on. It is not sent on again, so that two services which name each other, or one that names itself,
/// do not repeat a request for ever.
const MARK: &str = "flowtrail-also";

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Repeat {
    method: Method,
    /// With the query.
    path: String,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: Bytes,
}

impl Repeat {
    /// Of a request that has come whole.
    pub fn new(request: &Parts, body: Bytes) -> Self {
        let uri = &request.uri;
        let path = uri.path_and_query().map_or(uri.path(), |path| path.as_str());
        Self::to(request.method.clone(), path, &request.headers, body)
    }

    /// Of a part of a request, which by itself would have been posted to this path.
    pub fn posted(path: &str, headers: &HeaderMap, body: Bytes) -> Self {
        let mut repeat = Self::to(Method::POST, path, headers, body);
        repeat.headers.retain(|(name, _)| *name != CONTENT_TYPE);
        repeat.headers.push((CONTENT_TYPE, HeaderValue::from_static("application/json")));
        repeat
    }

    fn to(method: Method, path: &str, headers: &HeaderMap, body: Bytes) -> Self {
        let kept = HEADERS.iter().map(|name| HeaderName::from_static(name));
        let headers = kept.filter_map(|name| headers.get(&name).cloned().map(|value| (name, value)));
        Self { method, path: path.to_owned(), headers: headers.collect(), body }
    }
}

/// The way to the other service. What is passed on goes by [`Senders`].
#[derive(Debug)]
pub struct Also {
    queues: Vec<mpsc::Sender<Waiting>>,
    room: Arc<Semaphore>,
    losses: Arc<Losses>,
}

/// Sends what was passed on.
#[derive(Debug)]
pub struct Senders {
    queues: Vec<mpsc::Receiver<Waiting>>,
    /// Without a slash at its end.
    base: Arc<str>,
    losses: Arc<Losses>,
}

/// A request that is still to be sent, and its share of the room.
#[derive(Debug)]
struct Waiting {
    repeat: Repeat,
    _room: OwnedSemaphorePermit,
}

/// The other service at this address, `http://host:port`, and who sends to it.
pub fn to(base: &str) -> (Also, Senders) {
    let losses = Arc::<Losses>::default();
    let (queues, waiting) = (0..SENDERS).map(|_| mpsc::channel(MOST_WAITING)).unzip();
    let room = Arc::new(Semaphore::new(MOST_BYTES));
    let senders =
        Senders { queues: waiting, base: base.trim_end_matches('/').into(), losses: losses.clone() };
    (Also { queues, room, losses }, senders)
}

impl Also {
    /// Whether a request with these headers was sent on already.
    pub fn is_repeat(headers: &HeaderMap) -> bool {
        headers.contains_key(MARK)
    }

    /// Has a request sent on, behind all others that were passed on under the same name; drops it where there is no room.
    pub fn pass_on(&self, name: &str, repeat: Repeat) {
        let queues = u64::try_from(self.queues.len()).unwrap_or(1);
        let place = FxBuildHasher.hash_one(name) % queues;
        let queue = usize::try_from(place).ok().and_then(|place| self.queues.get(place));
        // A request without a body takes some memory too.
        let size = u32::try_from(repeat.body.len() + repeat.path.len()).unwrap_or(u32::MAX);
        let room = self.room.clone().try_acquire_many_owned(size);
        let (Some(queue), Ok(room)) = (queue, room) else {
            return self.losses.dropped("too many bytes wait");
        };
        if queue.try_send(Waiting { repeat, _room: room }).is_err() {
            self.losses.dropped("too many requests wait");
        }
    }
}

impl Senders {
    /// Sends until `stop`, and what waits then for two seconds more; the rest is dropped.
    pub fn start(self, stop: &CancellationToken, tasks: &TaskTracker) {
        for queue in self.queues {
            let sender =
                Sender { queue, agent: agent(), base: self.base.clone(), losses: self.losses.clone() };
            let stop = stop.clone();
            tasks.spawn(async move { sender.run(&stop).await });
        }
    }
}

fn agent() -> Agent {
    let config = Agent::config_builder()
        .timeout_global(Some(PATIENCE))
        .max_idle_age(REST)
        .http_status_as_error(false)
        // A request is sent to where it is to go, or not at all.
        .max_redirects(0)
        .build();
    Agent::new_with_config(config)
}

/// Sends one request after the other.
struct Sender {
    queue: mpsc::Receiver<Waiting>,
    agent: Agent,
    base: Arc<str>,
    losses: Arc<Losses>,
}

impl Sender {
    async fn run(mut self, stop: &CancellationToken) {
        let enough = async {
            stop.cancelled().await;
            tokio::time::sleep(GRACE).await;
        };
        tokio::select! {
            () = self.send_all(stop) => {}
            () = enough => {}
        }
        self.queue.close();
        while self.queue.try_recv().is_ok() {
            self.losses.dropped("this process ended");
        }
    }

    /// Until `stop`, and then until nothing waits.
    async fn send_all(&mut self, stop: &CancellationToken) {
        loop {
            let waiting = tokio::select! {
                biased;
                waiting = self.queue.recv() => waiting,
                () = stop.cancelled() => None,
            };
            let Some(Waiting { repeat, _room }) = waiting else { return };
            let (agent, base) = (self.agent.clone(), self.base.clone());
            let sent = spawn_blocking(move || send(&agent, &base, &repeat)).await;
            self.losses.count(sent.unwrap_or_else(|_| Err(Loss::Failed("it was given up".to_owned()))));
        }
    }
}

/// Why the other service has not got a request.
enum Loss {
    /// It said no.
    Refused(String),
    /// It is not there, or not in time. It may have got it all the same.
    Failed(String),
}

fn send(agent: &Agent, base: &str, repeat: &Repeat) -> Result<(), Loss> {
    let Repeat { method, path, headers, body } = repeat;
    let mut request =
        ureq::http::Request::builder().method(method).uri(format!("{base}{path}")).header(MARK, "1");
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let failed = |error: &dyn std::error::Error| Loss::Failed(with_causes(error));
    let answered = if body.is_empty() && method != Method::POST {
        agent.run(request.body(()).map_err(|error| failed(&error))?)
    } else {
        agent.run(request.body(&body[..]).map_err(|error| failed(&error))?)
    };
    let answer = answered.map_err(|error| failed(&error))?;
    let (status, mut said) = (answer.status(), Vec::new());
    // Read to its end, so that the connection can be used again.
    let read = answer.into_body().into_reader().take(MOST_ANSWER).read_to_end(&mut said);
    if !status.is_success() {
        let said = String::from_utf8_lossy(&said);
        return Err(Loss::Refused(format!(
            "{method} {}: {status} {}",
            quotable(path),
            quotable(said.trim())
        )));
    }
    read.map(drop).map_err(|error| failed(&error))
}

/// Counts what became of requests, and says seldom what was lost.
#[derive(Debug, Default)]
struct Losses(Mutex<Seldom>);

impl Losses {
    fn count(&self, sent: Result<(), Loss>) {
        match sent {
            Ok(()) => metrics::gateway_also("sent"),
            Err(Loss::Refused(why)) => self.lost("refused", &why),
            Err(Loss::Failed(why)) => self.lost("failed", &why),
        }
    }

    fn dropped(&self, why: &str) {
        self.lost("dropped", why);
    }

    fn lost(&self, outcome: &'static str, why: &str) {
        metrics::gateway_also(outcome);
        let mut seldom = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if seldom.is_due(outcome, clock::monotonic()) {
            tracing::warn!(
                event = "also_lost",
                outcome,
                why,
                "the other state service has not got a request"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repeat(path: &str, body: &Bytes) -> Repeat {
        Repeat::posted(path, &HeaderMap::new(), body.clone())
    }

    /// What waits, queue by queue.
    fn waiting(senders: &mut Senders) -> Vec<Vec<String>> {
        let queues = senders.queues.iter_mut();
        let paths = |queue: &mut mpsc::Receiver<Waiting>| {
            std::iter::from_fn(|| queue.try_recv().ok()).map(|waiting| waiting.repeat.path).collect()
        };
        queues.map(paths).filter(|paths: &Vec<_>| !paths.is_empty()).collect()
    }

    #[test]
    fn what_is_said_of_one_instance_waits_in_one_queue_and_the_instances_share_several() {
        let (also, mut senders) = to("http://old:9190/");
        assert_eq!(&*senders.base, "http://old:9190");
        for path in ["/start", "/steps", "/end"] {
            also.pass_on("f", repeat(path, &Bytes::new()));
        }
        assert_eq!(waiting(&mut senders), [["/start", "/steps", "/end"]]);
        for number in 0..1_000 {
            also.pass_on(&format!("flow-{number}"), repeat("/start", &Bytes::new()));
        }
        let queues = waiting(&mut senders);
        assert!(queues.len() == SENDERS && queues.iter().all(|queue| queue.len() > 50));
    }

    #[test]
    fn so_much_waits_and_no_more_until_there_is_room_again() {
        let (also, mut senders) = to("http://old:9190");
        let large = Bytes::from(vec![b'x'; MOST_BYTES / 2 - 100]);
        for path in ["/one", "/two", "/dropped"] {
            also.pass_on("f", repeat(path, &large));
        }
        assert_eq!(waiting(&mut senders), [["/one", "/two"]]);
        for _ in 0..=MOST_WAITING {
            also.pass_on("f", repeat("/small", &Bytes::new()));
        }
        assert_eq!(waiting(&mut senders)[0].len(), MOST_WAITING);
    }

    #[test]
    fn the_user_goes_along_and_a_token_does_not() {
        let request = axum::http::Request::post("/v1/instances/start?a=b")
            .header("UserName", "ann")
            .header("Authorization", "Bearer hunter2")
            .header("Async-Calling", "true");
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let repeat = Repeat::new(&parts, Bytes::from_static(b"{}"));
        assert_eq!((repeat.method.as_str(), repeat.path.as_str()), ("POST", "/v1/instances/start?a=b"));
        let headers = [("username", "ann"), ("async-calling", "true")];
        let headers =
            headers.map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        assert_eq!(repeat.headers, headers);
    }
}
