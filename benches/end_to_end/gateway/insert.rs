//! The rival: a service of the same requests that makes one row of each, committed by Postgres before it is answered.
//!
//! It reads bodies by the same functions as the gateway, and does with a row what Flogo's state service does: a start
//! takes the place of the instance's row, an end changes it, a step takes the place of its own. Statements are prepared,
//! sessions kept, commits as durable as Postgres makes them by default. It is a process of its own.

use std::{
    io::{self, Write as _},
    net::SocketAddr,
    process::Stdio,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use anyhow::Context as _;
use axum::{Router, body::Bytes, extract::State, http::StatusCode, routing::post, serve::ListenerExt as _};
use flowtrail::{
    flogo,
    proto::v1::{FlowEvent, HistoryEvent, Phase, StepEvent, history_event::Event},
};
use pbjson_types::Timestamp;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    net::TcpListener,
    process::{Child, Command},
    sync::Semaphore,
};
use tokio_postgres::{Client, Statement};

use crate::connect;

const START: &str = "INSERT INTO flowstate (flowinstanceid, userid, appname, appversion, flowname, hostid, starttime, \
        endtime, status, flowinput, rerunofflowinstanceid, reruncount) \
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 0) \
    ON CONFLICT (flowinstanceid) DO UPDATE SET hostid = EXCLUDED.hostid, flowname = EXCLUDED.flowname, \
        userid = EXCLUDED.userid, status = EXCLUDED.status, flowinput = EXCLUDED.flowinput, \
        reruncount = EXCLUDED.reruncount, starttime = EXCLUDED.starttime, endtime = EXCLUDED.endtime";
const END: &str = "UPDATE flowstate SET endtime = $2, status = $3, flowoutput = $4, \
        executiontime = round(extract(epoch FROM $2 - starttime) * 1000, 3)::text \
    WHERE flowinstanceid = $1";
const STEP: &str = "INSERT INTO steps (flowinstanceid, stepid, taskname, status, starttime, endtime, stepdata, \
        flowname, subflowid, rerun) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) \
    ON CONFLICT (flowinstanceid, stepid) DO UPDATE SET status = EXCLUDED.status, starttime = EXCLUDED.starttime, \
        endtime = EXCLUDED.endtime, stepdata = EXCLUDED.stepdata";

/// A session with its statements.
struct Session {
    client: Client,
    start: Statement,
    end: Statement,
    step: Statement,
}

/// Sessions that requests share, each for one request at a time.
struct Sessions {
    free: Mutex<Vec<Session>>,
    /// As many permits as there are free sessions.
    permits: Semaphore,
}

/// Starts this program again as the service, with so many sessions; gives where it serves.
pub(crate) async fn start(url: &str, sessions: usize) -> anyhow::Result<(Child, SocketAddr)> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["--insert", url, "--insert-sessions", &sessions.to_string()]);
    let mut service = command.stdout(Stdio::piped()).kill_on_drop(true).spawn()?;
    let said = service.stdout.take().context("it has no output")?;
    let line = BufReader::new(said).lines().next_line().await?.context("the service ended at once")?;
    Ok((service, line.parse()?))
}

/// Serves until the process is killed. Its address is the first line that it prints.
pub(crate) async fn run(url: &str, sessions: usize) -> anyhow::Result<()> {
    let mut free = Vec::new();
    for _ in 0..sessions {
        free.push(Session::open(url).await?);
    }
    let sessions = Arc::new(Sessions { free: Mutex::new(free), permits: Semaphore::new(sessions) });
    let router = Router::new()
        .route("/v1/instances/start", post(async |s, b| store(s, b, flogo::start).await))
        .route("/v1/instances/end", post(async |s, b| store(s, b, flogo::end).await))
        .route("/v1/instances/steps", post(async |s, b| store(s, b, flogo::step).await))
        .with_state(sessions);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    writeln!(io::stdout(), "{}", listener.local_addr()?)?;
    let listener = listener.tap_io(|stream| {
        // Without it an answer is late at worst, as the gateway's would be.
        let _ = stream.set_nodelay(true);
    });
    Ok(axum::serve(listener, router).await?)
}

async fn store(
    State(sessions): State<Arc<Sessions>>,
    body: Bytes,
    read: fn(&Bytes) -> Result<HistoryEvent, flogo::Error>,
) -> StatusCode {
    let Ok(event) = read(&body) else { return StatusCode::BAD_REQUEST };
    let Ok(_permit) = sessions.permits.acquire().await else { return StatusCode::SERVICE_UNAVAILABLE };
    let lock = || sessions.free.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(session) = lock().pop() else { return StatusCode::SERVICE_UNAVAILABLE };
    let stored = session.store(&event).await;
    lock().push(session);
    match stored {
        Ok(()) => StatusCode::OK,
        Err(error) => {
            // Who measures sees an answer that is not 200, and should see why.
            let _ = writeln!(io::stderr(), "the row is not stored: {error:?}");
            StatusCode::INTERNAL_SERVER_ERROR
        }
    }
}

impl Session {
    async fn open(url: &str) -> anyhow::Result<Self> {
        let client = connect(url).await?;
        let (start, end) = (client.prepare(START).await?, client.prepare(END).await?);
        let step = client.prepare(STEP).await?;
        Ok(Self { client, start, end, step })
    }

    async fn store(&self, event: &HistoryEvent) -> Result<(), tokio_postgres::Error> {
        match &event.event {
            Some(Event::Flow(flow)) if flow.phase() == Phase::Closed => self.end(flow).await,
            Some(Event::Flow(flow)) => self.start(flow).await,
            Some(Event::Step(step)) => self.step(step).await,
            _ => Ok(()),
        }
    }

    async fn start(&self, flow: &FlowEvent) -> Result<(), tokio_postgres::Error> {
        let start = time(flow.started_at.as_ref());
        let (status, input) = (flow.status().as_str_name(), &flow.input[..]);
        self.client
            .execute(
                &self.start,
                &[
                    &flow.flow_instance_id,
                    &flow.user_id,
                    &flow.app_name,
                    &flow.app_version,
                    &flow.flow_name,
                    &flow.host_id,
                    &start,
                    &start,
                    &status,
                    &input,
                    &flow.rerun_of_flow_instance_id,
                ],
            )
            .await
            .map(drop)
    }

    async fn end(&self, flow: &FlowEvent) -> Result<(), tokio_postgres::Error> {
        let (end, status) = (time(flow.ended_at.as_ref()), flow.status().as_str_name());
        let output = &flow.output[..];
        self.client.execute(&self.end, &[&flow.flow_instance_id, &end, &status, &output]).await.map(drop)
    }

    async fn step(&self, step: &StepEvent) -> Result<(), tokio_postgres::Error> {
        let (start, end) = (time(step.started_at.as_ref()), time(step.ended_at.as_ref()));
        let (status, data) = (step.status().as_str_name(), &step.data[..]);
        self.client
            .execute(
                &self.step,
                &[
                    &step.flow_instance_id,
                    &step.step_id,
                    &step.task_name,
                    &status,
                    &start,
                    &end,
                    &data,
                    &step.flow_name,
                    &step.subflow_id,
                    &step.rerun,
                ],
            )
            .await
            .map(drop)
    }
}

/// Times before 1970 are not in the recording.
fn time(at: Option<&Timestamp>) -> Option<SystemTime> {
    let Timestamp { seconds, nanos } = at?;
    Some(SystemTime::UNIX_EPOCH + Duration::new(u64::try_from(*seconds).ok()?, u32::try_from(*nanos).ok()?))
}
