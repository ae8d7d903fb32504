//! Steps of a flow → bars to draw. Pure; a flow of ten thousand steps takes a few milliseconds.

use std::collections::HashMap;

use jiff::Timestamp;

use super::{
    bars::{Bar, Kind},
    critical, lanes,
};
use crate::{
    model::{RunState, millis},
    postgres::read::{StepLine, Summary},
};

/// A gap of this many microseconds is shown however long the whole is.
const LONG_GAP: i64 = 1_000_000;

/// A gap that is longer than this part of the whole is shown.
const PART_OF_WHOLE: i64 = 20;

/// A flow as it is drawn.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Chart {
    /// What all bars are counted from.
    pub(super) start: Option<Timestamp>,
    /// From there to the last end that is known, in microseconds.
    pub(super) whole: i64,
    /// Something goes on.
    pub(super) is_open: bool,
    /// The bars in the order to draw them.
    pub(super) bars: Vec<Bar>,
    /// Stretches in which nothing ran, from and to, in microseconds.
    pub(super) gaps: Vec<(i64, i64)>,
}

/// Where something lies in time, in microseconds from the start of the flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) start: i64,
    /// Not before the start, even where a clock was set back; nothing while it is open.
    pub(super) end: Option<i64>,
}

/// Something to draw, before it has its place.
struct Piece<'a> {
    span: Span,
    /// The piece that it belongs to, which comes earlier.
    caller: Option<usize>,
    what: What<'a>,
}

enum What<'a> {
    Step(&'a StepLine),
    Flow(&'a Summary),
}

/// Draws the steps of a flow, in their order, and the flows that it called. Steps whose start is not known are left out.
pub(super) fn draw(flow: Option<&Summary>, steps: &[StepLine], children: &[Summary]) -> Chart {
    let starts = steps.iter().filter_map(|step| step.started);
    let start = flow.and_then(|flow| flow.started).or_else(|| starts.min());
    let Some(start) = start else {
        return Chart { start, whole: 0, is_open: false, bars: Vec::new(), gaps: Vec::new() };
    };
    let pieces = pieces(start, steps, children);
    let order = order(&pieces);
    let depths = depths(&pieces);
    let spans: Vec<Span> = pieces.iter().map(|piece| piece.span).collect();
    let lanes = lanes::lanes(&spans, &depths);
    let critical = critical::path(&spans, &wrappers(&pieces));
    let end = flow.and_then(|flow| flow.ended).map(|end| offset(start, end));
    let whole = spans.iter().filter_map(|span| span.end).chain(end).max().unwrap_or(0).max(0);
    let bars = order.into_iter().filter_map(|index| {
        let piece = pieces.get(index)?;
        let caller = piece.caller.and_then(|caller| pieces.get(caller));
        let mut bar = bar(piece, caller);
        bar.depth = *depths.get(index)?;
        bar.lane = *lanes.get(index)?;
        bar.critical = *critical.get(index)?;
        Some(bar)
    });
    Chart {
        start: Some(start),
        whole,
        is_open: flow.is_some_and(|flow| flow.ended.is_none()) || spans.iter().any(|span| span.end.is_none()),
        bars: bars.collect(),
        gaps: gaps(&spans, whole),
    }
}

fn offset(from: Timestamp, to: Timestamp) -> i64 {
    to.as_microsecond().saturating_sub(from.as_microsecond())
}

fn pieces<'a>(start: Timestamp, steps: &'a [StepLine], children: &'a [Summary]) -> Vec<Piece<'a>> {
    let span = |started: Timestamp, ended: Option<Timestamp>, is_open: bool| {
        let begin = offset(start, started);
        // What is closed without an end was a moment.
        let end = ended.map(|end| offset(start, end).max(begin)).or((!is_open).then_some(begin));
        Span { start: begin, end }
    };
    let mut pieces: Vec<Piece<'a>> = Vec::with_capacity(steps.len() + children.len());
    let mut callers = Callers::default();
    for step in steps {
        let Some(started) = step.started else { continue };
        let is_open = step.phase.is_some_and(|phase| phase < 2);
        let caller = callers.of(step, pieces.len());
        pieces.push(Piece { span: span(started, step.ended, is_open), caller, what: What::Step(step) });
    }
    let mut begun: Vec<(i64, usize)> =
        pieces.iter().enumerate().map(|(index, piece)| (piece.span.start, index)).collect();
    begun.sort_unstable();
    for child in children {
        let Some(started) = child.started else { continue };
        let is_open = matches!(child.state, RunState::Running | RunState::Waiting);
        let span = span(started, child.ended, is_open);
        // No step says that it called an instance: the one that began last before it is taken.
        let before = begun.partition_point(|(start, _)| *start <= span.start);
        let caller = before.checked_sub(1).and_then(|last| begun.get(last)).map(|(_, index)| *index);
        pieces.push(Piece { span, caller, what: What::Flow(child) });
    }
    pieces
}

/// Finds the step that a step belongs to, as steps come by in their order.
#[derive(Default)]
struct Callers<'a> {
    /// Places of the steps so far, by id.
    places: HashMap<&'a str, usize>,
    /// By subflow the step that called it.
    of_subflow: HashMap<&'a str, Option<usize>>,
    /// Steps that wait and of which no subflow is known yet, with their subflow.
    waiting: Vec<(&'a str, usize)>,
    last: Option<(&'a str, usize)>,
}

impl<'a> Callers<'a> {
    /// The step that it names; in a subflow, the one that called the subflow: of those that waited when its first step came and
    /// have called none yet the latest, or else the one that came before.
    fn of(&mut self, step: &'a StepLine, place: usize) -> Option<usize> {
        let subflow = step.subflow.as_deref().unwrap_or("0");
        let named = step.parent.as_deref().and_then(|parent| self.places.get(parent)).copied();
        let caller = named.or_else(|| self.of_subflow(subflow));
        self.places.insert(&step.id, place);
        self.last = Some((subflow, place));
        if step.state == RunState::Waiting {
            self.waiting.push((subflow, place));
        }
        caller
    }

    fn of_subflow(&mut self, subflow: &'a str) -> Option<usize> {
        // Flogo's number of the main flow.
        if subflow == "0" {
            return None;
        }
        if let Some(known) = self.of_subflow.get(subflow) {
            return *known;
        }
        let waits = self.waiting.iter().rposition(|(of, _)| *of != subflow);
        let caller = match waits {
            Some(place) => Some(self.waiting.remove(place).1),
            None => self.last.map(|(_, place)| place),
        };
        self.of_subflow.insert(subflow, caller);
        caller
    }
}

/// The pieces in the order to draw them: each before what it called.
fn order(pieces: &[Piece<'_>]) -> Vec<usize> {
    let mut called: Vec<Vec<usize>> = vec![Vec::new(); pieces.len()];
    let mut waiting: Vec<usize> = Vec::new();
    for (index, piece) in pieces.iter().enumerate().rev() {
        match piece.caller.and_then(|caller| called.get_mut(caller)) {
            Some(called) => called.push(index),
            None => waiting.push(index),
        }
    }
    // The last of the list comes next, so everything is in it in reverse.
    let mut order = Vec::with_capacity(pieces.len());
    while let Some(index) = waiting.pop() {
        order.push(index);
        waiting.extend(called.get(index).into_iter().flatten());
    }
    order
}

fn depths(pieces: &[Piece<'_>]) -> Vec<u32> {
    let mut depths: Vec<u32> = Vec::with_capacity(pieces.len());
    for piece in pieces {
        // A caller comes earlier, so its depth is known.
        let caller = piece.caller.and_then(|caller| depths.get(caller)).copied();
        depths.push(caller.map_or(0, |depth| depth + 1));
    }
    depths
}

/// By piece, whether it only lies around what it called.
fn wrappers(pieces: &[Piece<'_>]) -> Vec<bool> {
    let mut wraps = vec![false; pieces.len()];
    for piece in pieces {
        let Some((index, caller)) = piece.caller.and_then(|index| Some((index, pieces.get(index)?))) else {
            continue;
        };
        let holds_end = match (caller.span.end, piece.span.end) {
            (None, _) => true,
            (Some(end), Some(of_piece)) => end >= of_piece && end > caller.span.start,
            (Some(_), None) => false,
        };
        if let Some(wraps) = wraps.get_mut(index) {
            *wraps |= holds_end && caller.span.start <= piece.span.start;
        }
    }
    wraps
}

/// Stretches in which no bar lies.
fn gaps(spans: &[Span], whole: i64) -> Vec<(i64, i64)> {
    let mut sorted: Vec<(i64, i64)> =
        spans.iter().map(|span| (span.start, span.end.unwrap_or(i64::MAX))).collect();
    sorted.sort_unstable();
    let (mut gaps, mut reached) = (Vec::new(), 0);
    for (start, end) in sorted.into_iter().chain([(whole, whole)]) {
        let gap = start.saturating_sub(reached);
        if gap > LONG_GAP || gap > whole / PART_OF_WHOLE && gap > 0 {
            gaps.push((reached, start));
        }
        reached = reached.max(end);
    }
    gaps
}

fn bar(piece: &Piece<'_>, caller: Option<&Piece<'_>>) -> Bar {
    let Span { start, end } = piece.span;
    let parent = match caller.map(|caller| &caller.what) {
        Some(What::Step(step)) => Some(step.id.clone()),
        _ => None,
    };
    let blank = Bar {
        kind: Kind::Step,
        id: String::new(),
        task: None,
        flow: None,
        subflow: None,
        parent,
        depth: 0,
        lane: 0,
        status: None,
        state: RunState::Other,
        start_ms: millis(start),
        end_ms: end.map(millis),
        critical: false,
        rerun: false,
    };
    match piece.what {
        What::Step(step) => Bar {
            id: step.id.clone(),
            task: step.task.clone(),
            flow: step.flow.clone(),
            subflow: step.subflow.clone(),
            status: step.status.clone(),
            state: step.state,
            rerun: step.rerun,
            ..blank
        },
        What::Flow(flow) => Bar {
            kind: Kind::Flow,
            id: flow.id.clone(),
            flow: flow.flow.clone(),
            status: flow.status.clone(),
            state: flow.state,
            ..blank
        },
    }
}

#[cfg(test)]
mod tests;
