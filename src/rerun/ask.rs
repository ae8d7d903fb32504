//! Sends a question and says what came back.

use std::{io::Read as _, time::Duration};

use prost::Message as _;
use serde_json::Value;
use tokio::task::spawn_blocking;
use ureq::Agent;

use super::Question;
use crate::{
    config,
    kafka::{
        client,
        confirmed::{ConfirmedProducer, Unconfirmed},
    },
    sentence::{quotable, with_causes},
};

/// As much of an answer as is read.
const MOST: u64 = 64 << 10;

/// Why a runtime did not take a question.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody answers there, or not in time.
    #[error("cannot ask {url}: {why}")]
    Away {
        /// Where.
        url: String,
        /// Why.
        why: String,
    },
    /// The app says no.
    #[error("{url} answered {status}: {said}")]
    Refused {
        /// Where.
        url: String,
        /// Status.
        status: u16,
        /// Its own words.
        said: String,
    },
    /// The Kafka client can't be made.
    #[error(transparent)]
    Client(#[from] client::Error),
    /// The request is not on the topic, or perhaps not.
    #[error("the request is not on topic {topic}: {source}")]
    NotOnTopic {
        /// The topic.
        topic: String,
        /// Why.
        #[source]
        source: Unconfirmed,
    },
}

/// Asks, within `patience`, and gives the id of the instance that runs, where the answer tells one.
pub async fn ask(
    question: &Question,
    kafka: &config::Kafka,
    patience: Duration,
) -> Result<Option<String>, Error> {
    match question {
        Question::Http { url, body } => {
            let (asked, body) = (url.clone(), body.to_string());
            let answer = spawn_blocking(move || post(&asked, &body, patience)).await;
            let answer = answer.unwrap_or_else(|_| Err("it was given up".to_owned()));
            let (status, said) = answer.map_err(|why| Error::Away { url: url.clone(), why })?;
            if !(200..300).contains(&status) {
                return Err(Error::Refused {
                    url: url.clone(),
                    status,
                    said: quotable(said.trim()).into_owned(),
                });
            }
            Ok(id_of(&said))
        }
        Question::Record { topic, request } => {
            let producer = ConfirmedProducer::new(kafka, topic, patience)?;
            let sent = producer.send(&request.flow_instance_id, &request.encode_to_vec()).await;
            sent.map_err(|source| Error::NotOnTopic { topic: topic.clone(), source })?;
            Ok(None)
        }
    }
}

fn post(url: &str, body: &str, patience: Duration) -> Result<(u16, String), String> {
    let config = Agent::config_builder().timeout_global(Some(patience)).http_status_as_error(false).build();
    let asked = Agent::new_with_config(config).post(url).content_type("application/json").send(body);
    let answer = asked.map_err(|error| with_causes(&error))?;
    let status = answer.status().as_u16();
    let mut said = Vec::new();
    answer.into_body().into_reader().take(MOST).read_to_end(&mut said).map_err(|error| error.to_string())?;
    Ok((status, String::from_utf8_lossy(&said).into_owned()))
}

/// `{"id": "…"}`
fn id_of(answer: &str) -> Option<String> {
    let answer: Value = serde_json::from_str(answer).ok()?;
    answer.get("id")?.as_str().filter(|id| !id.is_empty()).map(str::to_owned)
}
