//! One flow for people to read.

use std::io::Write;

use crate::{
    cli::output::{Column, Output, OutputError, duration, or_dash, time},
    postgres::read::{Flow, Payload, Run, State, Step, Summary, Value},
};

const STEPS: [Column<Step>; 6] = [
    Column::whole("STEP", |step| step.id.clone()),
    Column::text("TASK", |step| or_dash(step.task.as_ref())),
    Column::text("STATUS", |step| or_dash(step.status.as_ref())),
    Column::whole("STARTED", |step| time(step.started)),
    Column::number("DURATION", |step| duration(step.duration_ms)),
    Column::text("RERUN", |step| if step.rerun { "yes" } else { "" }.to_owned()),
];

const RUNS: [Column<Run>; 6] = [
    Column::whole("RUN", |run| run.run.to_string()),
    Column::text("STATUS", |run| or_dash(run.status.as_ref())),
    Column::whole("STARTED", |run| time(run.started)),
    Column::number("DURATION", |run| duration(run.duration_ms)),
    Column::text("VERSION", |run| or_dash(run.version.as_ref())),
    Column::text("HOST", |run| or_dash(run.host.as_ref())),
];

const RERUNS: [Column<Summary>; 4] = [
    Column::whole("RERUN", |flow| flow.id.clone()),
    Column::text("STATUS", |flow| or_dash(flow.status.as_ref())),
    Column::whole("STARTED", |flow| time(flow.started)),
    Column::number("DURATION", |flow| duration(flow.duration_ms)),
];

const VARIABLES: [Column<Value>; 4] = [
    Column::whole("VARIABLE", |variable| variable.name.clone()),
    Column::text("OF", |variable| variable.scope.clone()),
    Column::text("TYPE", |variable| or_dash(variable.r#type.as_ref())),
    Column::text("VALUE", |variable| variable.value.as_ref().map_or_else(|| "-".to_owned(), first_line)),
];

/// Width of the names before the values.
const NAMES: usize = 10;

pub(super) fn print<W: Write>(
    output: &mut Output<W>,
    flow: &Flow,
    payloads: bool,
) -> Result<(), OutputError> {
    output.heading(&format!("{:NAMES$} {}", "flow", flow.id))?;
    match &flow.state {
        Some(state) => print_state(output, state, flow.original.as_ref())?,
        None => output.line("only parts of it have been seen so far")?,
    }
    if !flow.rerun_by.is_empty() {
        output.line("")?;
        output.table(&flow.rerun_by, &RERUNS)?;
    }
    if !flow.runs.is_empty() {
        output.line("")?;
        output.table(&flow.runs, &RUNS)?;
    }
    output.line("")?;
    if flow.steps.is_empty() {
        output.line("no steps")?;
    }
    output.table(&flow.steps, &STEPS)?;
    match flow.superseded_executions {
        0 => {}
        1 => output.line("and 1 superseded execution of a step")?,
        more => output.line(&format!("and {more} superseded executions of steps"))?,
    }
    if !flow.variables.is_empty() {
        output.line("")?;
        output.table(&flow.variables, &VARIABLES)?;
    }
    if payloads { print_payloads(output, flow) } else { Ok(()) }
}

fn print_state<W: Write>(
    output: &mut Output<W>,
    state: &State,
    original: Option<&Summary>,
) -> Result<(), OutputError> {
    let summary = &state.summary;
    let with = |value: Option<&String>, more: Option<&String>| {
        value.map(|value| more.map_or_else(|| value.clone(), |more| format!("{value} {more}")))
    };
    let rerun_of = summary.rerun_of.as_ref().map(|id| match original {
        Some(original) => format!("{id} ({}, {})", or_dash(original.status.as_ref()), time(original.started)),
        None => format!("{id} (not recorded)"),
    });
    let ended =
        summary.ended.map(|end| format!("{} after {}", time(Some(end)), duration(summary.duration_ms)));
    // A failure says its first line here; all of it is among the payloads.
    let error = state.error.as_ref().map(first_line);
    let facts = [
        ("name", summary.flow.clone()),
        ("app", with(summary.app.as_ref(), summary.version.as_ref())),
        ("status", summary.status.clone()),
        ("started", summary.started.map(|start| time(Some(start)))),
        ("ended", ended),
        ("error", error),
        ("host", summary.host.clone()),
        ("user", summary.user.clone()),
        ("rerun of", rerun_of),
        ("parent", with(summary.parent.as_ref(), summary.parent_flow.as_ref())),
        ("trace", state.trace_id.clone()),
    ];
    facts
        .iter()
        .filter_map(|(name, value)| value.as_ref().map(|value| (name, value)))
        .try_for_each(|(name, value)| output.line(&format!("{name:NAMES$} {value}")))
}

fn first_line(payload: &Payload) -> String {
    const WIDTH: usize = 200;
    let text = std::str::from_utf8(&payload.0).map_or_else(|_| payload.shown(), str::to_owned);
    let line = text.lines().next().unwrap_or_default();
    if line.chars().count() > WIDTH {
        line.chars().take(WIDTH).chain(['…']).collect()
    } else {
        line.to_owned()
    }
}

fn print_payloads<W: Write>(output: &mut Output<W>, flow: &Flow) -> Result<(), OutputError> {
    if let Some(state) = &flow.state {
        let payloads = [
            ("input", &state.input),
            ("output", &state.output),
            ("error", &state.error),
            ("misc", &state.misc),
        ];
        print_each(output, "flow", &payloads)?;
    }
    for run in &flow.runs {
        let payloads = [("input", &run.input), ("output", &run.output), ("error", &run.error)];
        print_each(output, &format!("run {}", run.run), &payloads)?;
    }
    flow.steps.iter().try_for_each(|step| {
        let payloads = [
            ("input", &step.input),
            ("output", &step.output),
            ("error", &step.error),
            ("stepdata", &step.data),
            ("misc", &step.misc),
        ];
        print_each(output, &format!("step {}", step.id), &payloads)
    })
}

fn print_each<W: Write>(
    output: &mut Output<W>,
    owner: &str,
    payloads: &[(&str, &Option<Payload>)],
) -> Result<(), OutputError> {
    for (name, payload) in payloads {
        if let Some(payload) = payload {
            output.line("")?;
            output.heading(&format!("{owner}: {name}"))?;
            output.line(&payload.shown())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::RunState;

    fn flow() -> Flow {
        let summary = Summary {
            id: "f1".to_owned(),
            flow: Some("ship".to_owned()),
            app: Some("orders".to_owned()),
            version: Some("1.0".to_owned()),
            status: Some("Failed".to_owned()),
            started: "2026-11-21T10:00:00Z".parse().ok(),
            ended: "2026-11-21T10:00:01.5Z".parse().ok(),
            duration_ms: Some(1_500.0),
            reruns: 0,
            host: None,
            user: None,
            rerun_of: Some("f0".to_owned()),
            parent: None,
            parent_flow: None,
            state: RunState::Failed,
        };
        let state = State {
            summary,
            run: Some(1),
            phase: Some(2),
            trace_id: None,
            execution_time: None,
            input: Some(Payload(b"{\"a\":1}".to_vec())),
            output: None,
            error: Some(Payload(b"first\nsecond".to_vec())),
            misc: None,
        };
        Flow {
            id: "f1".to_owned(),
            state: Some(state),
            rerun_by: vec![],
            original: None,
            runs: vec![],
            steps: vec![],
            variables: vec![],
            superseded_executions: 1,
        }
    }

    fn printed(flow: &Flow, payloads: bool) -> String {
        let mut output = Output::kept();
        print(&mut output, flow, payloads).unwrap();
        output.text()
    }

    #[test]
    fn a_flow_is_shown_with_what_is_known_of_it() {
        let text = printed(&flow(), false);
        assert!(
            text.starts_with("flow       f1\nname       ship\napp        orders 1.0\nstatus     Failed\n"),
            "{text}"
        );
        assert!(text.contains("ended      2026-11-21T10:00:01.500Z after 1.50 s\n"), "{text}");
        assert!(text.contains("error      first\n") && !text.contains("second"), "{text}");
        assert!(text.contains("rerun of   f0 (not recorded)\n") && text.contains("no steps\n"), "{text}");
        assert!(text.contains("1 superseded execution of a step\n") && !text.contains("host"), "{text}");
    }

    #[test]
    fn variables_are_shown_with_the_first_line_of_their_values() {
        let of = |name: &str, scope: &str, value: Option<&[u8]>| Value {
            scope: scope.to_owned(),
            name: name.to_owned(),
            r#type: Some("string".to_owned()),
            value: value.map(|value| Payload(value.to_vec())),
        };
        let variables = vec![of("total", "", Some(b"41\nmore")), of("none", "task:7", None)];
        let text = printed(&Flow { variables, ..flow() }, false);
        let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert!(lines.contains(&vec!["total", "string", "41"]), "{text}");
        assert!(lines.contains(&vec!["none", "task:7", "string", "-"]), "{text}");
    }

    #[test]
    fn payloads_are_shown_when_they_are_asked_for() {
        let text = printed(&flow(), true);
        assert!(text.contains("flow: input\n{\n  \"a\": 1\n}\n"), "{text}");
        assert!(text.contains("flow: error\nfirst\nsecond\n"), "{text}");
    }
}
