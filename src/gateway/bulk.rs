//! `POST /v1/instances/events`: many of the other requests' bodies in one, each on a line of its own.
//!
//! A line is told by its fields: `flowId` is a step's, `flow_instance_id` a flow's (an end, unless `flow_stats` is
//! `Created` or `Started`), and what has neither is a snapshot. The lines are kept side by side, in any order.
//!
//! The answer is `{"kept":n,"refused":[{"line":n,"message":"…"}]}`: 200 (or 202) if every line is kept, otherwise the
//! status of the first that is not. Sending all of it again changes nothing for the lines that were kept.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    http::{StatusCode, header},
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use serde::{Deserialize, Serialize};

use super::{Gateway, also::Repeat, answer, caller::Scope, whole};
use crate::{flogo, proto::v1::HistoryEvent, publish, sentence::with_causes};

/// Lines of one body that are on their way to Kafka at once.
const AT_ONCE: usize = 256;

/// Lines that are named in an answer; of more only the number is told.
const MOST_NAMED: usize = 100;

#[derive(Serialize)]
struct Answer {
    kept: usize,
    refused: Vec<Line>,
    #[serde(skip_serializing_if = "is_zero")]
    refused_more: usize,
}

#[derive(Serialize)]
struct Line {
    line: usize,
    message: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
fn is_zero(number: &usize) -> bool {
    *number == 0
}

pub(super) async fn record(State(gateway): State<Arc<Gateway>>, scope: Scope, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = match whole(body, gateway.limits.body_bytes).await {
        Ok(body) => body,
        Err(refusal) => return refusal,
    };
    let lines = lines(&body).map(|(number, line)| {
        let (gateway, scope) = (&gateway, &scope);
        async move { (number, record_line(gateway, scope, line).await) }
    });
    let mut outcomes: Vec<_> = stream::iter(lines).buffer_unordered(AT_ONCE).collect().await;
    outcomes.sort_by_key(|(number, _)| *number);
    let total = outcomes.len();
    if let Some(also) = gateway.also_for(&parts.headers) {
        // By itself each line is a request that the other service knows.
        for Passable { name, path, line } in
            outcomes.iter_mut().filter_map(|(_, kept)| kept.as_mut().ok()?.take())
        {
            also.pass_on(&name, Repeat::posted(path, &parts.headers, line));
        }
    }
    let mut refused: Vec<_> = outcomes
        .into_iter()
        .filter_map(|(line, outcome)| outcome.err().map(|(code, message)| (code, Line { line, message })))
        .collect();
    let kept = total - refused.len();
    let accepted = if answer::is_async(&parts.headers) { StatusCode::ACCEPTED } else { StatusCode::OK };
    let code = refused.first().map_or(accepted, |(code, _)| *code);
    let refused_more = refused.len().saturating_sub(MOST_NAMED);
    refused.truncate(MOST_NAMED);
    let refused = refused.into_iter().map(|(_, line)| line).collect();
    let body = serde_json::json!(Answer { kept, refused, refused_more }).to_string();
    (code, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}

/// Lines that are not empty, with their numbers from 1.
fn lines(body: &Bytes) -> impl Iterator<Item = (usize, Bytes)> {
    body.split(|byte| *byte == b'\n')
        .zip(1..)
        .filter(|(line, _)| !line.trim_ascii().is_empty())
        .map(|(line, number)| (number, body.slice_ref(line)))
}

/// A line that is kept, as the request that it could have been.
struct Passable {
    /// Of the instance.
    name: String,
    path: &'static str,
    line: Bytes,
}

async fn record_line(
    gateway: &Gateway,
    scope: &Scope,
    line: Bytes,
) -> Result<Option<Passable>, (StatusCode, String)> {
    let (path, event) = read(&line).map_err(|why| (StatusCode::BAD_REQUEST, with_causes(&why)))?;
    if !scope.allows(&event) {
        return Err((StatusCode::FORBIDDEN, answer::OF_ANOTHER_USER.to_owned()));
    }
    let name = gateway.also.is_some().then(|| publish::key(&event));
    let is_kept = gateway.keep(event).await.map_err(|why| (answer::code_of(&why), why.to_string()))?;
    Ok(name.filter(|_| is_kept).map(|name| Passable { name, path, line }))
}

/// What tells the bodies apart.
#[derive(Deserialize)]
struct Kind<'a> {
    #[serde(borrow, rename = "flowId")]
    step_of: Option<&'a serde_json::value::RawValue>,
    #[serde(borrow, rename = "flow_instance_id")]
    flow: Option<&'a serde_json::value::RawValue>,
    flow_stats: Option<String>,
}

/// The event of a line, and the path that the line by itself is posted to.
fn read(line: &Bytes) -> Result<(&'static str, HistoryEvent), flogo::Error> {
    let kind: Kind<'_> = serde_json::from_slice(line)
        .map_err(|source| flogo::Error::Body { what: "start, end, step or snapshot", source })?;
    let (path, event) = match (kind.step_of, kind.flow, kind.flow_stats.as_deref()) {
        (Some(_), ..) => ("/v1/instances/steps", flogo::step(line)),
        (None, Some(_), Some("Created" | "Started")) => ("/v1/instances/start", flogo::start(line)),
        (None, Some(_), _) => ("/v1/instances/end", flogo::end(line)),
        (None, None, _) => ("/v1/instances/snapshot", flogo::snapshot(line)),
    };
    Ok((path, event?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::v1::{Phase, history_event::Event};

    #[test]
    fn a_line_is_told_by_its_fields() {
        let event = |line: &str| read(&Bytes::copy_from_slice(line.as_bytes())).unwrap().1.event.unwrap();
        let phase = |line: &str| if let Event::Flow(flow) = event(line) { flow.phase() } else { panic!() };
        assert_eq!(phase(r#"{"flow_instance_id":"f","flow_stats":"Created"}"#), Phase::Opened);
        assert_eq!(phase(r#"{"flow_instance_id":"f","flow_stats":"Started"}"#), Phase::Opened);
        assert_eq!(phase(r#"{"flow_instance_id":"f","flow_stats":"Failed"}"#), Phase::Closed);
        assert!(matches!(event(r#"{"flowId":"f","id":3,"flowChanges":{}}"#), Event::Step(_)));
        assert!(matches!(event(r#"{"id":"f","flowURI":"res://flow:x","status":100}"#), Event::Snapshot(_)));
        assert!(read(&Bytes::from_static(b"[1]")).is_err());
    }

    #[test]
    fn empty_lines_are_counted_and_passed_over() {
        let body = Bytes::from_static(b"\n{\"a\":1}\r\n\n {\"b\":2}");
        let found: Vec<_> = lines(&body).map(|(number, _)| number).collect();
        assert_eq!(found, [2, 4]);
    }
}
