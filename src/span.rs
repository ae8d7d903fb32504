//! Spans of time as people write them.

use std::time::Duration;

/// Reads numbers with a unit each, without a gap: `90s`, `1h30m`, `14d`, `2w`.
pub(crate) fn span(text: &str) -> Option<Duration> {
    let mut total = Duration::ZERO;
    let mut rest = text;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, after) = rest.split_at(digits);
        let mut letters = after.chars();
        let seconds: u64 = match letters.next()? {
            's' => 1,
            'm' => 60,
            'h' => 3_600,
            'd' => 86_400,
            'w' => 604_800,
            _ => return None,
        };
        total = total.checked_add(Duration::from_secs(number.parse::<u64>().ok()?.checked_mul(seconds)?))?;
        rest = letters.as_str();
    }
    Some(total)
}

/// A span as [`span`] reads it, in the largest unit that it is a whole number of; below a second there is none.
pub(crate) fn written(span: Duration) -> String {
    let seconds = span.as_secs();
    let units = [(604_800, 'w'), (86_400, 'd'), (3_600, 'h'), (60, 'm')];
    let fits = units.into_iter().find(|(unit, _)| seconds >= *unit && seconds.is_multiple_of(*unit));
    fits.map_or_else(|| format!("{seconds}s"), |(unit, letter)| format!("{}{letter}", seconds / unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_as_the_same() {
        for text in ["90s", "90m", "25h", "30d", "2w", "0s"] {
            assert_eq!(written(span(text).unwrap()), text);
        }
        assert_eq!(written(span("7d").unwrap()), "1w");
        assert_eq!(written(span("1h30m").unwrap()), "90m");
        assert_eq!(span("14"), None);
    }
}
