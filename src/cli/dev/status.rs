//! The status line of `dev`: on a terminal one line that is drawn again, elsewhere a log line now and then.

use std::{
    io::{self, IsTerminal as _},
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};

use crate::{
    clock,
    metrics::{DEAD_LETTERS, EVENTS_CONSUMED, Exposition, Metric, ROWS_WRITTEN},
};

/// How often a log line is written where there is no terminal.
const LOG_EVERY: Duration = Duration::from_secs(30);

/// Totals since the start.
#[derive(Debug, Clone, Copy, Default)]
struct Totals {
    events: f64,
    rows: f64,
    dead_letters: f64,
}

/// What was shown last, to tell how fast it goes.
pub(super) struct Status {
    exposition: Exposition,
    line: ProgressBar,
    terminal: bool,
    last: (Instant, Totals),
}

impl Status {
    pub(super) fn new(exposition: Exposition) -> Self {
        let terminal = io::stderr().is_terminal();
        let line = if terminal { ProgressBar::new_spinner() } else { ProgressBar::hidden() };
        line.set_style(ProgressStyle::with_template("{spinner} {msg}").expect("the template is a constant"));
        Self { exposition, line, terminal, last: (clock::monotonic(), Totals::default()) }
    }

    /// Brings the line up to date. On a terminal call it about twice a second.
    pub(super) fn show(&mut self) {
        let now = clock::monotonic();
        let passed = now.duration_since(self.last.0);
        if !self.terminal && passed < LOG_EVERY {
            return;
        }
        let totals = totals(&self.exposition.render());
        let per_second = |now: f64, before: f64| (now - before) / passed.as_secs_f64().max(0.001);
        let (events, rows) =
            (per_second(totals.events, self.last.1.events), per_second(totals.rows, self.last.1.rows));
        let lag = self.exposition.lag().total_records().map_or("-".to_owned(), |lag| lag.to_string());
        let dead = totals.dead_letters;
        if self.terminal {
            self.line.set_message(format!(
                "{events:.0} events/s  {rows:.0} rows/s  lag {lag}  dead letters {dead:.0}  (Ctrl-C stops)"
            ));
            self.line.tick();
        } else {
            let (events_per_s, rows_per_s) = (events.round(), rows.round());
            tracing::info!(events_per_s, rows_per_s, lag, dead_letters = dead, "running");
        }
        self.last = (now, totals);
    }

    /// Takes the line away.
    pub(super) fn clear(&self) {
        self.line.finish_and_clear();
    }
}

/// Sums of the series in an exposition. The recorder gives no other way to read what it holds.
fn totals(text: &str) -> Totals {
    let sum = |metric: &Metric| -> f64 {
        let of_it =
            |line: &&str| line.strip_prefix(metric.name).is_some_and(|rest| rest.starts_with(['{', ' ']));
        let counts = |line: &&str| of_it(line) && !line.contains("op=\"unchanged\"");
        let values =
            text.lines().filter(counts).filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
        // The sum of nothing is -0.
        values.sum::<f64>() + 0.0
    };
    Totals { events: sum(&EVENTS_CONSUMED), rows: sum(&ROWS_WRITTEN), dead_letters: sum(&DEAD_LETTERS) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_are_sums_over_series_and_rows_that_did_not_change_do_not_count() {
        let text = "# TYPE flowtrail_rows_total counter\n\
            flowtrail_rows_total{table=\"steps\",op=\"insert\"} 5\n\
            flowtrail_rows_total{table=\"steps\",op=\"unchanged\"} 100\n\
            flowtrail_rows_total{table=\"flowstate\",op=\"update\"} 2\n\
            flowtrail_events_consumed_total 12\n\
            flowtrail_dead_letters_total{reason=\"empty\"} 1\n\
            flowtrail_dead_letters_total{reason=\"no_id\"} 3\n";
        let totals = totals(text);
        assert!((totals.rows - 7.0).abs() < f64::EPSILON);
        assert!((totals.events - 12.0).abs() < f64::EPSILON);
        assert!((totals.dead_letters - 4.0).abs() < f64::EPSILON);
    }
}
