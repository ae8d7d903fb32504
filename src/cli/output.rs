//! What commands print: tables for people, JSON for programs; and what becomes of a reader that went away.

use std::{
    borrow::Cow,
    io::{self, BufWriter, IsTerminal as _, StdoutLock, Write},
};

use comfy_table::{Attribute, Cell, CellAlignment, ColumnConstraint, ContentArrangement, Width, presets};
use jiff::Timestamp;
use serde::Serialize;
use thiserror::Error;

/// Columns between columns.
const GAP: u16 = 2;

/// Text is not broken into pieces narrower than this.
const NARROWEST: u16 = 16;

/// How data is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(crate) enum Format {
    /// For people.
    #[default]
    Table,
    /// One JSON document.
    Json,
    /// One JSON object a line.
    Ndjson,
}

/// Why something could not be printed.
#[derive(Debug, Error)]
pub(crate) enum OutputError {
    /// The reader of stdout went away.
    #[error("nobody reads the output any more")]
    Closed,
    /// Something else is wrong with stdout.
    #[error("cannot write to stdout")]
    Write(#[source] io::Error),
    /// A value can't be written as JSON.
    #[error("cannot write JSON")]
    Json(#[source] serde_json::Error),
}

impl From<io::Error> for OutputError {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe { Self::Closed } else { Self::Write(error) }
    }
}

/// Whether a command ended because nobody reads its output any more.
pub(crate) fn is_closed(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| matches!(cause.downcast_ref(), Some(OutputError::Closed)))
}

/// Asks on the terminal whether to go on; `None` where there is nobody to ask.
pub(crate) fn confirmed(question: &str) -> io::Result<Option<bool>> {
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Ok(None);
    }
    write!(io::stderr(), "{question} [y/N] ")?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    Ok(Some(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes")))
}

/// Tells a person what data can't, on stderr.
pub(crate) fn hint(text: &str) {
    // A hint that can't be given is none.
    let _ = writeln!(io::stderr(), "{text}");
}

/// Where data goes. Whoever writes ends with [`Output::finish`], which says whether all of it arrived.
pub(crate) struct Output<W: Write> {
    out: BufWriter<W>,
    terminal: bool,
    colour: bool,
}

impl Output<StdoutLock<'static>> {
    /// Stdout; with colours on a terminal, unless `NO_COLOR` is set.
    pub(crate) fn stdout() -> Self {
        let terminal = io::stdout().is_terminal();
        let colour = terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self { out: BufWriter::new(io::stdout().lock()), terminal, colour }
    }
}

#[cfg(test)]
impl Output<Vec<u8>> {
    /// Keeps what is printed, as a pipe would get it.
    pub(crate) fn kept() -> Self {
        Self { out: BufWriter::new(Vec::new()), terminal: false, colour: false }
    }

    /// What was printed.
    pub(crate) fn text(self) -> String {
        String::from_utf8(self.out.into_inner().unwrap()).unwrap()
    }
}

impl<W: Write> Output<W> {
    /// Items as a table of `columns`, as a JSON array, or as a line of JSON each.
    pub(crate) fn items<T: Serialize>(
        &mut self,
        format: Format,
        items: &[T],
        columns: &[Column<T>],
    ) -> Result<(), OutputError> {
        match format {
            Format::Table => self.table(items, columns),
            Format::Json => self.json(&items),
            Format::Ndjson => items.iter().try_for_each(|item| self.line_of_json(item)),
        }
    }

    /// One JSON document, indented.
    pub(crate) fn json<T: Serialize>(&mut self, value: &T) -> Result<(), OutputError> {
        serde_json::to_writer_pretty(&mut self.out, value).map_err(json_error)?;
        Ok(self.out.write_all(b"\n")?)
    }

    /// One line of JSON.
    pub(crate) fn line_of_json<T: Serialize>(&mut self, value: &T) -> Result<(), OutputError> {
        serde_json::to_writer(&mut self.out, value).map_err(json_error)?;
        Ok(self.out.write_all(b"\n")?)
    }

    /// A line as it is, but for what a terminal would obey.
    pub(crate) fn line(&mut self, text: &str) -> Result<(), OutputError> {
        Ok(writeln!(self.out, "{}", printable(text))?)
    }

    /// A heading.
    pub(crate) fn heading(&mut self, text: &str) -> Result<(), OutputError> {
        let (bold, plain) = if self.colour { ("\u{1b}[1m", "\u{1b}[0m") } else { ("", "") };
        Ok(writeln!(self.out, "{bold}{}{plain}", printable(text))?)
    }

    /// A borderless table; on a terminal it keeps to its width.
    pub(crate) fn table<T>(&mut self, items: &[T], columns: &[Column<T>]) -> Result<(), OutputError> {
        if items.is_empty() {
            return Ok(());
        }
        let mut table = comfy_table::Table::new();
        table.load_style(presets::NOTHING);
        table.set_content_arrangement(if self.terminal {
            ContentArrangement::Dynamic
        } else {
            ContentArrangement::Disabled
        });
        if !self.terminal {
            table.force_no_tty();
        }
        let heading = |column: &Column<T>| {
            let cell = Cell::new(column.name);
            if self.colour { cell.add_attribute(Attribute::Bold) } else { cell }
        };
        table.set_header(columns.iter().map(heading));
        for item in items {
            table.add_row(columns.iter().map(|column| Cell::new(printable(&(column.value)(item)))));
        }
        let widths = table.column_max_content_widths();
        for (number, (column, width)) in columns.iter().zip(widths).enumerate() {
            let Some(shape) = table.column_mut(number) else { continue };
            shape.set_padding((0, GAP));
            if column.number {
                shape.set_cell_alignment(CellAlignment::Right);
            }
            shape.set_constraint(if column.whole {
                ColumnConstraint::ContentWidth
            } else {
                // Where not even this fits, a line that runs over reads better than words cut into syllables.
                ColumnConstraint::LowerBoundary(Width::Fixed(width.min(NARROWEST) + GAP))
            });
        }
        for line in table.lines() {
            writeln!(self.out, "{}", line.trim_end())?;
        }
        Ok(())
    }

    /// Writes out what is still held back.
    pub(crate) fn finish(mut self) -> Result<(), OutputError> {
        Ok(self.out.flush()?)
    }
}

fn json_error(error: serde_json::Error) -> OutputError {
    if error.is_io() { OutputError::from(io::Error::from(error)) } else { OutputError::Json(error) }
}

/// One column of a table of `T`.
pub(crate) struct Column<T> {
    name: &'static str,
    value: fn(&T) -> String,
    number: bool,
    whole: bool,
}

impl<T> Column<T> {
    /// Text; on a narrow terminal it is broken into lines.
    pub(crate) const fn text(name: &'static str, value: fn(&T) -> String) -> Self {
        Self { name, value, number: false, whole: false }
    }

    /// Text that is copied from the terminal: never broken.
    pub(crate) const fn whole(name: &'static str, value: fn(&T) -> String) -> Self {
        Self { name, value, number: false, whole: true }
    }

    /// A number, to the right.
    pub(crate) const fn number(name: &'static str, value: fn(&T) -> String) -> Self {
        Self { name, value, number: true, whole: true }
    }
}

/// Text without what a terminal would obey: names and payloads come from elsewhere.
fn printable(text: &str) -> Cow<'_, str> {
    let is_command = |c: char| c.is_control() && c != '\n' && c != '\t';
    if text.contains(is_command) {
        return Cow::Owned(text.replace(is_command, "\u{fffd}"));
    }
    Cow::Borrowed(text)
}

/// The value, or `-` where there is none.
pub(crate) fn or_dash<T: ToString>(value: Option<&T>) -> String {
    value.map_or_else(|| "-".to_owned(), T::to_string)
}

/// UTC to the millisecond, or `-`.
pub(crate) fn time(time: Option<Timestamp>) -> String {
    time.map_or_else(|| "-".to_owned(), |time| format!("{time:.3}"))
}

/// A duration in the unit that suits it, or `-`.
pub(crate) fn duration(milliseconds: Option<f64>) -> String {
    let Some(milliseconds) = milliseconds else { return "-".to_owned() };
    let sign = if milliseconds < 0.0 { "-" } else { "" };
    let size = milliseconds.abs();
    // What rounds to the next unit is shown in it: 59 999.9 ms are a minute, not 60.00 s.
    if size < 999.95 {
        return format!("{sign}{size:.1} ms");
    }
    if size < 59_995.0 {
        return format!("{sign}{:.2} s", size / 1_000.0);
    }
    let total = (size / 1_000.0).round();
    let (hours, minutes, seconds) =
        ((total / 3_600.0).floor(), (total % 3_600.0 / 60.0).floor(), total % 60.0);
    if hours > 0.0 {
        format!("{sign}{hours:.0} h {minutes:02.0} m {seconds:02.0} s")
    } else {
        format!("{sign}{minutes:.0} m {seconds:02.0} s")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [Column<(String, u32)>; 2] =
        [Column::whole("NAME", |item| item.0.clone()), Column::number("COUNT", |item| item.1.to_string())];

    #[test]
    fn the_same_items_are_a_table_json_or_lines_of_json() {
        let items = [("a".to_owned(), 1), ("long name".to_owned(), 22)];
        let of = |format| {
            let mut output = Output::kept();
            output.items(format, &items, &COLUMNS).unwrap();
            output.text()
        };
        assert_eq!(of(Format::Table), "NAME       COUNT\na              1\nlong name     22\n");
        assert_eq!(of(Format::Ndjson), "[\"a\",1]\n[\"long name\",22]\n");
        let json: serde_json::Value = serde_json::from_str(&of(Format::Json)).unwrap();
        assert_eq!(json, serde_json::json!([["a", 1], ["long name", 22]]));
    }

    #[test]
    fn a_terminal_obeys_nothing_that_comes_from_elsewhere() {
        let mut output = Output::kept();
        output.table(&[("\u{1b}]0;x\u{7}name".to_owned(), 1)], &COLUMNS).unwrap();
        output.line("a\u{1b}[2Jb").unwrap();
        assert!(!output.text().contains(['\u{1b}', '\u{7}']));
    }

    #[test]
    fn a_reader_that_went_away_is_told_from_a_full_disk() {
        struct Failing(io::ErrorKind);
        impl Write for Failing {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(self.0.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let error = |kind| {
            let mut output =
                Output { out: BufWriter::with_capacity(0, Failing(kind)), terminal: false, colour: false };
            anyhow::Error::from(output.json(&1).and_then(|()| output.finish()).unwrap_err())
        };
        assert!(is_closed(&error(io::ErrorKind::BrokenPipe)));
        assert!(!is_closed(&error(io::ErrorKind::StorageFull)));
        // Of a socket, a broken pipe is an error like any other.
        assert!(!is_closed(&anyhow::Error::from(io::Error::from(io::ErrorKind::BrokenPipe))));
    }

    #[test]
    fn durations_are_shown_in_the_unit_that_suits_them() {
        for (milliseconds, shown) in [
            (Some(0.25), "0.2 ms"),
            (Some(999.99), "1.00 s"),
            (Some(1_234.0), "1.23 s"),
            (Some(59_999.0), "1 m 00 s"),
            (Some(3_725_000.0), "1 h 02 m 05 s"),
            (Some(-5.0), "-5.0 ms"),
            (None, "-"),
        ] {
            assert_eq!(duration(milliseconds), shown, "{milliseconds:?}");
        }
    }
}
