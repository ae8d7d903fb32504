//! A plot as SVG: lines over a logarithmic axis, to be read in light and in dark surroundings.

use std::fmt::{self, Write as _};

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 400.0;
/// Where the plotted area begins and ends.
const LEFT: f64 = 76.0;
const RIGHT: f64 = 696.0;
const TOP: f64 = 76.0;
const BOTTOM: f64 = 340.0;
/// About how many lines go across.
const LINES: f64 = 5.0;

/// Colours: the paper is painted, as what the plot lies on need not follow the reader's system. Lines also differ in
/// dashes and marks.
const STYLE: &str = "\
    :root { color-scheme: light dark; }
    .paper { fill: #ffffff; } .grid { stroke: #d8dee4; } .axis { stroke: #56657a; }
    text { font: 13px system-ui, sans-serif; fill: #46535f; }
    .title { font-size: 16px; font-weight: 600; fill: #1d2733; }
    .line { fill: none; stroke-width: 2; } .line.s1 { stroke-dasharray: 7 4; } .spread { stroke-width: 1.5; }
    .s0 { stroke: #0b5cad; } .s1 { stroke: #b3470b; }
    .m0 { fill: #0b5cad; } .m1 { fill: #b3470b; }
    @media (prefers-color-scheme: dark) {
      .paper { fill: #12181f; } .grid { stroke: #2b3640; } .axis { stroke: #8ea0b5; }
      text { fill: #a9b6c3; } .title { fill: #e6edf3; }
      .s0 { stroke: #6cb6ff; } .s1 { stroke: #f0a35e; } .m0 { fill: #6cb6ff; } .m1 { fill: #f0a35e; }
    }";

/// Lines over a logarithmic axis; the other one begins at 0.
#[derive(Debug)]
pub(crate) struct Plot {
    /// What it shows.
    pub(crate) title: &'static str,
    /// What the logarithmic axis counts, with its unit.
    pub(crate) across: &'static str,
    /// What the other axis counts, with its unit.
    pub(crate) up: &'static str,
    /// The lines; two can be told apart.
    pub(crate) series: Vec<Series>,
}

/// A line of a plot.
#[derive(Debug)]
pub(crate) struct Series {
    /// Its name in the legend.
    pub(crate) name: &'static str,
    /// Its points, from left to right.
    pub(crate) points: Vec<Point>,
}

/// A point of a line.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Point {
    /// Above 0.
    pub(crate) across: f64,
    /// The median, or what was measured once.
    pub(crate) up: f64,
    /// Least and greatest.
    pub(crate) spread: Option<(f64, f64)>,
}

/// From values to places on the paper.
struct Scale {
    /// Logarithms at the left and right edge.
    across: (f64, f64),
    /// The value at the upper edge, and from line to line.
    top: f64,
    step: f64,
}

impl Scale {
    fn of(plot: &Plot) -> Self {
        let points = || plot.series.iter().flat_map(|series| &series.points);
        let logarithms = || points().map(|point| point.across.log10());
        let (least, greatest) =
            (logarithms().fold(f64::INFINITY, f64::min), logarithms().fold(f64::NEG_INFINITY, f64::max));
        let margin = ((greatest - least) * 0.08).max(0.1);
        let highest = points().map(|point| point.spread.map_or(point.up, |(_, most)| most.max(point.up)));
        let highest = highest.fold(f64::MIN_POSITIVE, f64::max);
        let step = round_up(highest / LINES);
        let top = (highest / step).ceil() * step;
        Self { across: (least - margin, greatest + margin), top, step }
    }

    fn x(&self, value: f64) -> f64 {
        LEFT + (value.log10() - self.across.0) / (self.across.1 - self.across.0) * (RIGHT - LEFT)
    }

    fn y(&self, value: f64) -> f64 {
        BOTTOM - value / self.top * (BOTTOM - TOP)
    }
}

/// 1, 2 or 5 times a power of ten.
fn round_up(value: f64) -> f64 {
    let power = 10.0_f64.powf(value.log10().floor());
    [1.0, 2.0, 5.0]
        .map(|digit| digit * power)
        .into_iter()
        .find(|round| *round >= value)
        .unwrap_or(10.0 * power)
}

/// As people write it: 50 k, 1.5 M.
fn short(value: f64) -> String {
    let (value, unit) = match value {
        value if value >= 1e6 => (value / 1e6, " M"),
        value if value >= 1e3 => (value / 1e3, " k"),
        value => (value, ""),
    };
    // Enough digits for what a scale shows, none that floating point made.
    let text = format!("{value:.3}");
    format!("{}{unit}", text.trim_end_matches('0').trim_end_matches('.'))
}

impl fmt::Display for Plot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { title, across, up, series } = self;
        let scale = Scale::of(self);
        writeln!(
            f,
            r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{title}; {across}; {up}">"#
        )?;
        writeln!(f, "  <style>\n    {STYLE}\n  </style>")?;
        writeln!(f, r#"  <rect class="paper" width="{WIDTH}" height="{HEIGHT}" rx="8"/>"#)?;
        writeln!(f, r#"  <text class="title" x="{LEFT}" y="28">{title}</text>"#)?;
        self.axes(f, &scale)?;
        for (number, series) in series.iter().enumerate() {
            series.legend(f, number)?;
            series.draw(f, number, &scale)?;
        }
        writeln!(f, "</svg>")
    }
}

impl Plot {
    fn axes(&self, f: &mut fmt::Formatter<'_>, scale: &Scale) -> fmt::Result {
        let mut value = 0.0;
        while value < scale.top + scale.step / 2.0 {
            let (y, label) = (scale.y(value), short(value));
            let class = if value > 0.0 { "grid" } else { "axis" };
            writeln!(f, r#"  <line class="{class}" x1="{LEFT}" x2="{RIGHT}" y1="{y:.1}" y2="{y:.1}"/>"#)?;
            let (x, y) = (LEFT - 8.0, y + 4.5);
            writeln!(f, r#"  <text x="{x}" y="{y:.1}" text-anchor="end">{label}</text>"#)?;
            value += scale.step;
        }
        writeln!(f, r#"  <line class="axis" x1="{LEFT}" x2="{LEFT}" y1="{TOP}" y2="{BOTTOM}"/>"#)?;
        let mut measured: Vec<f64> =
            self.series.iter().flat_map(|series| &series.points).map(|point| point.across).collect();
        measured.sort_by(f64::total_cmp);
        measured.dedup();
        for value in measured {
            let (x, label) = (scale.x(value), short(value));
            let (mark, below) = (BOTTOM + 5.0, BOTTOM + 21.0);
            writeln!(f, r#"  <line class="axis" x1="{x:.1}" x2="{x:.1}" y1="{BOTTOM}" y2="{mark}"/>"#)?;
            writeln!(f, r#"  <text x="{x:.1}" y="{below}" text-anchor="middle">{label}</text>"#)?;
        }
        let (middle, foot, left, above) = (f64::midpoint(LEFT, RIGHT), HEIGHT - 14.0, LEFT - 8.0, TOP - 18.0);
        writeln!(f, r#"  <text x="{middle}" y="{foot}" text-anchor="middle">{}</text>"#, self.across)?;
        writeln!(f, r#"  <text x="{left}" y="{above}" text-anchor="end">{}</text>"#, self.up)
    }
}

impl Series {
    /// In the upper right, below the title.
    fn legend(&self, f: &mut fmt::Formatter<'_>, number: usize) -> fmt::Result {
        let place = f64::from(u32::try_from(number).unwrap_or(u32::MAX));
        let (x, y) = (RIGHT - 300.0 + 150.0 * place, 54.0);
        let (end, text, base) = (x + 34.0, x + 42.0, y + 4.5);
        writeln!(f, r#"  <line class="line s{number}" x1="{x}" x2="{end}" y1="{y}" y2="{y}"/>"#)?;
        mark(f, number, x + 17.0, y)?;
        writeln!(f, r#"  <text x="{text}" y="{base}">{}</text>"#, self.name)
    }

    fn draw(&self, f: &mut fmt::Formatter<'_>, number: usize, scale: &Scale) -> fmt::Result {
        let mut places = String::new();
        for point in &self.points {
            write!(places, "{:.1},{:.1} ", scale.x(point.across), scale.y(point.up))?;
        }
        writeln!(f, r#"  <polyline class="line s{number}" points="{}"/>"#, places.trim_end())?;
        for point in &self.points {
            let (x, y) = (scale.x(point.across), scale.y(point.up));
            if let Some((least, greatest)) = point.spread {
                let (low, high) = (scale.y(least), scale.y(greatest));
                writeln!(
                    f,
                    r#"  <line class="spread s{number}" x1="{x:.1}" x2="{x:.1}" y1="{low:.1}" y2="{high:.1}"/>"#
                )?;
            }
            mark(f, number, x, y)?;
        }
        Ok(())
    }
}

/// A circle for the first line, a square for the second.
fn mark(f: &mut fmt::Formatter<'_>, number: usize, x: f64, y: f64) -> fmt::Result {
    if number == 0 {
        writeln!(f, r#"  <circle class="m0" cx="{x:.1}" cy="{y:.1}" r="4.5"/>"#)
    } else {
        let (left, top) = (x - 4.0, y - 4.0);
        writeln!(f, r#"  <rect class="m{number}" x="{left:.1}" y="{top:.1}" width="8" height="8"/>"#)
    }
}
