//! How a person is told that a download goes on: a bar on a terminal, log lines elsewhere.

use std::io::{IsTerminal, stderr};

use indicatif::{ProgressBar, ProgressStyle};
use tracing::info;

/// One download, of one or more files.
#[derive(Debug)]
pub(super) struct Progress {
    what: String,
    bytes: u64,
    bar: Option<ProgressBar>,
}

impl Progress {
    /// Says that `what`, `bytes` long, is being fetched; draws a bar if `draw` and standard error is a terminal.
    pub(super) fn begin(what: &str, bytes: u64, draw: bool) -> Self {
        let bar = (draw && stderr().is_terminal()).then(|| bar(what, bytes));
        if bar.is_none() {
            info!(megabytes = bytes / 1_000_000, "fetching {what}");
        }
        Self { what: what.to_owned(), bytes, bar }
    }

    /// So many bytes more have arrived.
    pub(super) fn add(&self, bytes: u64) {
        if let Some(bar) = &self.bar {
            bar.inc(bytes);
        }
    }

    /// So many bytes count no longer, because their file is fetched again.
    pub(super) fn take_back(&self, bytes: u64) {
        if let Some(bar) = &self.bar {
            bar.dec(bytes);
        }
    }

    /// All is there.
    pub(super) fn done(self) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        } else {
            info!(megabytes = self.bytes / 1_000_000, "fetched {}", self.what);
        }
    }
}

fn bar(what: &str, bytes: u64) -> ProgressBar {
    let bar = ProgressBar::new(bytes);
    // A style that can't be parsed is a bar that looks different, not a reason to fetch nothing.
    if let Ok(style) = ProgressStyle::with_template("{msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec}")
    {
        bar.set_style(style);
    }
    bar.set_message(what.to_owned());
    bar
}
