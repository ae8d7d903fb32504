//! From what is stored of an instance to a question that its app can be asked; and asking it, with a note in the audit.

use serde_json::{Value, json};
use thiserror::Error;
use tokio_postgres::Client;

use super::{From, PATIENCE, Question, Runtime, Wish, ask, question};
use crate::{
    config,
    flogo::answer::{self, Unreadable},
    postgres::{
        audit, audit_outcome,
        read::{
            self, Flow,
            flogo::{self, ReadError},
        },
    },
};

/// Where a re-run is to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// At the start, as an instance of its own.
    Beginning,
    /// With this step, under the same id.
    Step(i64),
    /// With the last step of the main flow that failed, under the same id.
    LastFailure,
}

/// What somebody asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// Where to begin.
    pub start: Start,
    /// Input instead of what was recorded. JSON.
    pub input: Option<Value>,
    /// Who asks.
    pub by: String,
}

/// Why nobody can be asked.
#[derive(Debug, Error)]
pub enum OrderError {
    /// What is stored of the instance does not allow it.
    #[error("{0}")]
    Stored(String),
    /// The runtime takes no such question.
    #[error("{0}")]
    Refused(String),
    /// The database did not say what is stored.
    #[error(transparent)]
    Postgres(#[from] tokio_postgres::Error),
    /// The database did not say what its steps were.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Its steps are none of Flogo's.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// Its recorded state is no JSON.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
}

/// Why it is not known to have been asked.
#[derive(Debug, Error)]
pub enum PlaceError {
    /// The note in the audit can't be written. Before it nobody is asked.
    #[error(transparent)]
    Postgres(#[from] tokio_postgres::Error),
    /// The runtime did not take the question.
    #[error(transparent)]
    Ask(#[from] ask::Error),
}

/// A question, ready to be asked.
#[derive(Debug)]
pub struct Order {
    /// What is wished for.
    pub wish: Wish,
    /// Who is asked.
    pub runtime: Runtime,
    /// What is asked.
    pub question: Question,
}

impl Order {
    /// Makes the question from what is stored. Asks nobody.
    pub async fn prepare(
        client: &mut Client,
        flow: &Flow,
        runtime: Runtime,
        request: Request,
    ) -> Result<Self, OrderError> {
        let from = from(request.start, flow).map_err(OrderError::Stored)?;
        let state = if runtime.is_told_the_state() {
            state_before(client, &flow.id, from.as_ref()).await?
        } else {
            None
        };
        let wish = Wish { flow: flow.id.clone(), from, input: request.input, by: request.by };
        let question = question(&runtime, &wish, state.as_ref()).map_err(OrderError::Refused)?;
        Ok(Self { wish, runtime, question })
    }

    /// Notes who asks for what, asks, and notes what came of it. Gives the id of the instance that runs, where the answer
    /// tells one. Waits for the runtime as long as [`PATIENCE`].
    pub async fn place(&self, client: &Client, kafka: &config::Kafka) -> Result<Option<String>, PlaceError> {
        let Wish { flow, from, input, by } = &self.wish;
        let from = from.as_ref().map(|from| from.step);
        let detail = json!({ "app": self.runtime.to_string(), "from": from, "input": input });
        let note = audit(client, by, "rerun", flow, &detail).await?;
        let asked = ask::ask(&self.question, kafka, PATIENCE).await;
        let came = match &asked {
            Ok(instance) => json!({ "instance": instance }),
            Err(error) => json!({ "error": error.to_string() }),
        };
        audit_outcome(client, note, &came).await?;
        Ok(asked?)
    }
}

/// The step to begin with, if there is to be one, by what is stored of the flow.
fn from(start: Start, flow: &Flow) -> Result<Option<From>, String> {
    let id = &flow.id;
    let is_main = |step: &&read::Step| step.subflow.as_deref().is_none_or(|subflow| subflow == "0");
    let step = match start {
        Start::Beginning => return Ok(None),
        Start::Step(number) => {
            let wanted = number.to_string();
            let found = flow.steps.iter().find(|step| step.id == wanted);
            found.ok_or_else(|| format!("{id} has no step {number}; see flowtrail flow show {id}"))?
        }
        Start::LastFailure => {
            let mut steps = flow.steps.iter().filter(is_main);
            let failed = |step: &&read::Step| step.status.as_deref() == Some("Failed");
            steps.rfind(failed).ok_or_else(|| format!("no step of the main flow of {id} has failed"))?
        }
    };
    if !is_main(&step) {
        return Err(format!(
            "step {} ran in a subflow, and a re-run begins with a task of the main flow",
            step.id
        ));
    }
    let number = step.id.parse().map_err(|error| format!("step {} is no number: {error}", step.id))?;
    let task = step.task.clone().ok_or_else(|| format!("no task ended in step {}", step.id))?;
    Ok(Some(From { step: number, task }))
}

/// The recorded state before a step, or after the first.
async fn state_before(
    client: &mut Client,
    flow: &str,
    from: Option<&From>,
) -> Result<Option<Value>, OrderError> {
    let moment = client.build_transaction().read_only(true).start().await?;
    let steps = flogo::steps(&moment, flow).await?;
    let superseded = flogo::superseded(&moment, flow).await?;
    if steps.is_empty() {
        return Ok(None);
    }
    let until = from.map_or(0, |from| from.step.saturating_sub(1));
    let state = answer::snapshot(flow, &steps, &superseded, Some(until))?;
    Ok(Some(serde_json::to_value(&state)?))
}
