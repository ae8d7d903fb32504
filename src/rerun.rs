//! Asking a runtime to run an instance again, from its start or from a step. What it then does it records itself.
//!
//! [`Runtime`] says how an app is asked, [`question()`] what it is asked; [`ask`] asks it. [`order`] does all of it
//! for an instance that is stored, and notes it in the audit.

use std::time::Duration;

use serde_json::{Value, json};

use crate::proto::v1::RerunRequest;

pub mod ask;
pub mod order;
mod runtime;
#[cfg(test)]
mod tests;

pub use self::runtime::Runtime;

/// Flogo's status of a flow that runs, and of a task that is ready to run (project-flogo/flow, `model/status.go`).
const ACTIVE: u16 = 100;
const READY: u16 = 20;

/// How long an app may take to answer by default. Some answer when the re-run has ended.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// Which instance is to run again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    /// Flow instance.
    pub flow: String,
    /// Where to begin; nothing: at the start, as an instance of its own.
    pub from: Option<From>,
    /// Input instead of what was recorded: of the flow, or of the task that it begins with. JSON.
    pub input: Option<Value>,
    /// Who asks.
    pub by: String,
}

/// A step to begin with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct From {
    /// Its number.
    pub step: i64,
    /// The task that ended in it.
    pub task: String,
}

/// What is sent.
#[derive(Debug, Clone, PartialEq)]
pub enum Question {
    /// `POST` of JSON.
    Http {
        /// Where.
        url: String,
        /// What.
        body: Value,
    },
    /// A record on a topic.
    Record {
        /// The topic.
        topic: String,
        /// What is on it; its key is the flow instance.
        request: RerunRequest,
    },
}

/// What a runtime is asked for a wish, or why it can't be.
///
/// `state` is the recorded state to begin with, as the state service's snapshot gives it: after the step before `from`, or
/// after step 0. Only the open-source tester is told it; other runtimes know or ask.
pub fn question(runtime: &Runtime, wish: &Wish, state: Option<&Value>) -> Result<Question, String> {
    match runtime {
        Runtime::Flogo(base) => flogo(base, wish),
        Runtime::Tester(base) => tester(base, wish, state.ok_or("nothing of its state is recorded")?),
        Runtime::Topic(topic) => Ok(Question::Record { topic: topic.clone(), request: request(wish) }),
    }
}

/// The vendor's app: its own endpoints, which ask the state service for what they need.
fn flogo(base: &str, wish: &Wish) -> Result<Question, String> {
    let (path, body) = match (&wish.from, &wish.input) {
        (None, None) => ("/app/state/instance/restart", json!({ "flowInstanceId": wish.flow })),
        (None, Some(_)) => {
            return Err("a Flogo app runs an instance again with its recorded input and takes no other; \
                        with --from-step a task can be given one"
                .to_owned());
        }
        (Some(from), input) => {
            let inputs = input.clone().unwrap_or_else(|| json!({}));
            let body = json!({
                "flowInstanceId": wish.flow,
                "taskStepId": from.step.to_string(),
                "taskName": from.task,
                "inputs": inputs,
            });
            ("/app/state/task/restart", body)
        }
    };
    Ok(Question::Http { url: format!("{base}{path}"), body })
}

/// The tester of the open-source engine: it is told the whole state, and starts an instance of its own.
fn tester(base: &str, wish: &Wish, state: &Value) -> Result<Question, String> {
    let mut attrs = state.get("attrs").and_then(Value::as_object).cloned().unwrap_or_default();
    let task = match (&wish.from, &wish.input) {
        (Some(_), Some(_)) => {
            return Err("the tester of the open-source engine can't give a task another input: \
                        its engine fails on what that takes"
                .to_owned());
        }
        (Some(from), None) => from.task.as_str(),
        (None, input) => {
            // After step 0 the attributes are the flow's input.
            attrs.extend(input.as_ref().and_then(Value::as_object).cloned().unwrap_or_default());
            let first = state.pointer("/tasks/0/id").and_then(Value::as_str);
            first.ok_or("the task that it began with is not recorded")?
        }
    };
    // As the vendor's app begins: one task that is ready, and one item of work.
    let initial = json!({
        "id": wish.flow,
        "status": ACTIVE,
        "flowUri": state.get("flowURI"),
        "attrs": attrs,
        "tasks": [{ "id": task, "status": READY }],
        "workQueue": [{ "id": 1, "subFlowId": 0, "taskID": task }],
    });
    Ok(Question::Http { url: format!("{base}/flow/restart"), body: json!({ "initialState": initial }) })
}

fn request(wish: &Wish) -> RerunRequest {
    let (from_step, task_name) =
        wish.from.clone().map_or((None, String::new()), |from| (Some(from.step), from.task));
    RerunRequest {
        flow_instance_id: wish.flow.clone(),
        from_step,
        task_name,
        input: wish.input.as_ref().map_or_else(bytes::Bytes::new, |input| input.to_string().into()),
        requested_by: wish.by.clone(),
    }
}
