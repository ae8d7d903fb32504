//! The Flogo app as a process: its flows and its re-runs.

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};
use tokio::{net::TcpStream, process::Command};

use crate::{
    asking,
    beside::Beside,
    http::Answer,
    servers::{self, until},
    toolchain,
};

/// The app's version, as `app/flogo.json` has it.
pub const VERSION: &str = "1.4.2";
/// Where it says that it runs.
pub const HOST: &str = "a-host";
const FLOW_ACTION: &str = "github.com/project-flogo/flow";

/// What the engine records; its word in `engine.json`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recording {
    Off,
    Step,
    Debugger,
    Full,
    Snapshot,
}

impl Recording {
    fn word(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Step => "step",
            Self::Debugger => "debugger",
            Self::Full => "full",
            Self::Snapshot => "snapshot",
        }
    }

    /// Whether steps are posted.
    pub fn has_steps(self) -> bool {
        matches!(self, Self::Step | Self::Debugger | Self::Full)
    }

    /// Whether snapshots are posted.
    pub fn has_snapshots(self) -> bool {
        matches!(self, Self::Full | Self::Snapshot)
    }
}

/// How the recorder posts; its word in `engine.json`. `app/recorder/posting.go` says what each means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Posting {
    Synchronous,
    Asynchronous,
    Reversed,
}

impl Posting {
    fn word(self) -> &'static str {
        match self {
            Self::Synchronous => "synchronous",
            Self::Asynchronous => "asynchronous",
            Self::Reversed => "reversed",
        }
    }
}

/// The app, running.
pub struct App {
    /// The name it gives itself, which no other test's has.
    pub name: String,
    process: Beside,
    flows: String,
    control: String,
    tester: String,
}

impl App {
    /// Starts it, to record through the gateway at an address.
    pub async fn start(program: &Path, gateway: &str, recording: Recording, posting: Posting) -> Self {
        let name = servers::unique("app");
        let [flows, control, tester] = free_ports();
        let mut command = Command::new(program);
        command
            .current_dir(toolchain::source())
            .env("FLOGO_ENG_CONFIG_PATH", engine(&name, tester, recording, posting))
            .env("FLOGO_RUNNER_TYPE", "DIRECT")
            .env("FLOGO_FLOW_SM_ENDPOINT", format!("http://{gateway}"))
            .env("FLOGO_HTTP_SERVICE_PORT", control.to_string())
            .env("FLOWS_PORT", flows.to_string())
            .env("FLOGO_APP_NAME", &name)
            .env("FLOGO_APP_USERNAME", asking::USER)
            .env("FLOGO_HOST_NAME", HOST);
        let (process, _) = Beside::start("the app", &mut command, "Engine Started").await;
        // The trigger of the flows says that it listens before it does.
        until("the flows are served", async || {
            TcpStream::connect(("127.0.0.1", flows)).await.map(drop).map_err(|error| error.to_string())
        })
        .await;
        let at = |port: u16| format!("127.0.0.1:{port}");
        Self { name, process, flows: at(flows), control: at(control), tester: at(tester) }
    }

    /// Runs a flow with inputs. Answers when it has ended; what it recorded need not have arrived anywhere by then.
    pub async fn run(&self, flow: &str, inputs: &Value) -> Answer {
        asking::post(&self.flows, &format!("/{flow}"), &inputs.to_string()).await
    }

    /// Makes a gate refuse so many times; then it is open.
    pub async fn close_gate(&self, gate: &str, refusals: u32) {
        let body = json!({"name": gate, "refusals": refusals});
        let answer = asking::post(&self.control, "/gate", &body.to_string()).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }

    /// Runs an instance again from the beginning. Gives the id of the new one.
    pub async fn run_again(&self, instance: &str) -> String {
        self.restart("instance", json!({"flowInstanceId": instance})).await
    }

    /// Runs an instance again from one of its steps, with inputs that win over those of the task. Its id stays.
    pub async fn run_again_from(&self, instance: &str, (step, task): (u32, &str), inputs: Value) {
        let body = json!({
            "flowInstanceId": instance, "taskStepId": step.to_string(), "taskName": task, "inputs": inputs,
        });
        assert_eq!(self.restart("task", body).await, instance);
    }

    /// Lets Flogo's own tester go on from a state. Gives the id of the instance that did, which is a new one.
    pub async fn go_on_from(&self, state: Value) -> String {
        let body = json!({"initialState": state});
        let answer = asking::post(&self.tester, "/flow/restart", &body.to_string()).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()["id"].as_str().unwrap().to_owned()
    }

    async fn restart(&self, what: &str, body: Value) -> String {
        let answer =
            asking::post(&self.control, &format!("/app/state/{what}/restart"), &body.to_string()).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()["id"].as_str().unwrap().to_owned()
    }

    /// Where it is asked for re-runs, as `[rerun.apps]` names it.
    pub fn asked_at(&self) -> String {
        format!("http://{}", self.control)
    }

    /// Where Flogo's own tester is asked.
    pub fn tester_at(&self) -> String {
        format!("tester+http://{}", self.tester)
    }

    /// What its service has refused so far; the app itself does not mind.
    pub async fn refusals(&self) -> Value {
        asking::get(&self.control, "/refusals").await.json()
    }

    /// Ends it when everything has been sent.
    pub async fn end(self) {
        self.process.end().await;
    }
}

/// `app/engine.json` with another mode, another way of posting and another port of the tester; all else is as in the app's
/// folder.
fn engine(name: &str, tester: u16, recording: Recording, posting: Posting) -> PathBuf {
    let text = fs::read_to_string(toolchain::source().join("engine.json")).unwrap();
    let mut engine: Value = serde_json::from_str(&text).unwrap();
    engine["actionSettings"][FLOW_ACTION]["stateRecordingMode"] = recording.word().into();
    engine["services"][0]["settings"]["posting"] = posting.word().into();
    engine["services"][2]["settings"]["port"] = tester.into();
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-engine.json"));
    fs::write(&file, engine.to_string()).unwrap();
    file
}

/// Ports that nobody listens on.
fn free_ports() -> [u16; 3] {
    // All are held until all are known, or two might be one.
    let held = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    held.map(|listener| listener.local_addr().unwrap().port())
}
