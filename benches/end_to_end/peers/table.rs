//! The collector and its rivals, a line for each.

use std::fmt;

use comfy_table::{CellAlignment, Table, presets};

use super::{Peer, Race};
use crate::report::Round;

const MEGABYTE: f64 = 1e6;
const HEADER: [&str; 10] = [
    "",
    "events/s",
    "least",
    "greatest",
    "÷ raw COPY",
    "flowtrail ÷ it",
    "CPU s/million",
    "Postgres CPU s/million",
    "peak MB",
    "rows wrong",
];

/// What one of them did in one round.
struct Figures {
    events_per_second: f64,
    /// Of its rows.
    of_copy: f64,
    flowtrail: f64,
    cpu: f64,
    postgres_cpu: f64,
    peak: f64,
    wrong: usize,
}

/// Medians over the rounds, if there were rivals.
pub(crate) fn table(rounds: &[Round], events: u64) -> Option<Table> {
    let peers: Vec<Peer> = rounds.first()?.races.iter().map(|race| race.peer).collect();
    if peers.is_empty() {
        return None;
    }
    let millions = f64::from(u32::try_from(events).unwrap_or(u32::MAX)) / 1e6;
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN).set_header(HEADER);
    table.add_row(line(
        "flowtrail",
        &rounds.iter().map(|round| of_collector(round, millions)).collect::<Vec<_>>(),
    ));
    for peer in peers {
        let of_peer = |round: &Round| {
            let race = round.races.iter().find(|race| race.peer == peer)?;
            Some(of_race(round, race, millions))
        };
        table.add_row(line(peer.name(), &rounds.iter().filter_map(of_peer).collect::<Vec<_>>()));
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    Some(table)
}

fn of_collector(round: &Round, millions: f64) -> Figures {
    let drain = &round.drain;
    Figures {
        events_per_second: drain.events_per_second,
        of_copy: drain.rows_per_second / round.copy.rows_per_second,
        flowtrail: 1.0,
        cpu: drain.collector_cpu_seconds / millions,
        postgres_cpu: drain.postgres.cpu_seconds / millions,
        peak: drain.collector_peak_bytes / MEGABYTE,
        wrong: 0,
    }
}

fn of_race(round: &Round, race: &Race, millions: f64) -> Figures {
    Figures {
        events_per_second: race.events_per_second,
        of_copy: race.rows_per_second / round.copy.rows_per_second,
        flowtrail: round.drain.events_per_second / race.events_per_second,
        cpu: race.cpu_seconds / millions,
        postgres_cpu: race.postgres.cpu_seconds / millions,
        peak: race.peak_bytes / MEGABYTE,
        wrong: race.wrong.rows(),
    }
}

fn line(name: &str, rounds: &[Figures]) -> [String; 10] {
    let sorted = |of: &dyn Fn(&Figures) -> f64| {
        let mut values: Vec<f64> = rounds.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        values
    };
    let median = |of: &dyn Fn(&Figures) -> f64, digits: usize| {
        let values = sorted(of);
        let last = values.len().saturating_sub(1);
        let at = |index: usize| values.get(index).copied().unwrap_or(f64::NAN);
        format!("{:.digits$}", f64::midpoint(at(last / 2), at(last.div_ceil(2))))
    };
    let speed = sorted(&|figures| figures.events_per_second);
    let shown = |speed: Option<&f64>| speed.map_or_else(String::new, |speed| format!("{speed:.0}"));
    [
        name.to_owned(),
        median(&|figures| figures.events_per_second, 0),
        shown(speed.first()),
        shown(speed.last()),
        median(&|figures| figures.of_copy, 3),
        median(&|figures| figures.flowtrail, 2),
        median(&|figures| figures.cpu, 2),
        median(&|figures| figures.postgres_cpu, 2),
        median(&|figures| figures.peak, 0),
        rounds.iter().map(|figures| figures.wrong).max().unwrap_or_default().to_string(),
    ]
}

impl fmt::Display for Race {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, wrong) = (self.peer.name(), self.wrong.rows());
        write!(f, "{name} {:.2} s, {:.0} rows/s, {wrong} rows wrong", self.seconds, self.rows_per_second)
    }
}
