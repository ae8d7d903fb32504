//! Spans of time and sizes in words.

use std::time::Duration;

/// `45 s`, `12 min`, `3 h 20 min`, `5 d 3 h`: the two greatest units.
pub(super) fn span(span: Duration) -> String {
    let seconds = span.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    let two = |great: u64, unit: &str, small: u64, below: &str| match small {
        0 => format!("{great} {unit}"),
        _ => format!("{great} {unit} {small} {below}"),
    };
    if days > 0 {
        two(days, "d", hours % 24, "h")
    } else if hours > 0 {
        two(hours, "h", minutes % 60, "min")
    } else if minutes > 0 {
        two(minutes, "min", seconds % 60, "s")
    } else if seconds > 0 {
        format!("{seconds} s")
    } else if span.as_millis() > 0 {
        format!("{} ms", span.as_millis())
    } else {
        format!("{} µs", span.as_micros())
    }
}

/// `17 MiB`, `1.5 GiB`.
pub(super) fn bytes(bytes: u64) -> String {
    let units = [(1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    for (size, unit) in units {
        if bytes >= size {
            let tenths = bytes / (size / 10);
            return match tenths % 10 {
                0 => format!("{} {unit}", tenths / 10),
                rest => format!("{}.{rest} {unit}", tenths / 10),
            };
        }
    }
    format!("{bytes} bytes")
}

/// `1 record`, `2 records`.
pub(super) fn count(number: impl Into<i128>, what: &str) -> String {
    let number = number.into();
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_told_in_their_two_greatest_units() {
        for (seconds, said) in [
            (0, "0 µs"),
            (59, "59 s"),
            (60, "1 min"),
            (12_000, "3 h 20 min"),
            (442_800, "5 d 3 h"),
            (604_800, "7 d"),
        ] {
            assert_eq!(span(Duration::from_secs(seconds)), said);
        }
        assert_eq!(span(Duration::from_millis(250)), "250 ms");
    }

    #[test]
    fn sizes_are_told_to_a_tenth() {
        for (size, said) in [
            (999, "999 bytes"),
            (1 << 20, "1 MiB"),
            (3 << 29, "1.5 GiB"),
            (1_048_588, "1 MiB"),
            (5 << 40, "5 TiB"),
        ] {
            assert_eq!(bytes(size), said);
        }
    }

    #[test]
    fn one_is_singular() {
        assert_eq!((count(1, "record"), count(0, "record")), ("1 record".to_owned(), "0 records".to_owned()));
    }
}
