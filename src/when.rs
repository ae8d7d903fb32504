//! Points in time as people write them: on the command line, and in a question to the API.

use std::time::Duration;

use jiff::{Timestamp, civil};

/// Reads `2026-11-21T10:00:00Z`, `2026-11-21` (midnight, UTC), or how long ago: `2h`, `-2h`, `1h30m`, `7d`.
pub(crate) fn parse(text: &str, now: Timestamp) -> Result<Timestamp, String> {
    let text = text.trim();
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(time);
    }
    if let Ok(date) = text.parse::<civil::Date>() {
        return date
            .to_zoned(jiff::tz::TimeZone::UTC)
            .map(|zoned| zoned.timestamp())
            .map_err(|error| error.to_string());
    }
    let ago = span(text.strip_prefix('-').unwrap_or(text)).ok_or_else(|| {
        "want a time like 2026-11-21T10:00:00Z or 2026-11-21 (UTC), or how long ago, like 90s, 30m, 2h, 7d".to_owned()
    })?;
    now.checked_sub(ago).map_err(|_| "that is before all times that can be told".to_owned())
}

/// Reads a time as [`parse`] does, or how far ahead: `12h`, `90d`.
pub(crate) fn ahead(text: &str, now: Timestamp) -> Result<Timestamp, String> {
    let text = text.trim();
    match span(text.strip_prefix('+').unwrap_or(text)) {
        Some(span) => {
            now.checked_add(span).map_err(|_| "that is after all times that can be told".to_owned())
        }
        None => parse(text, now),
    }
}

/// Numbers, each with a unit, without a gap.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_timestamp_a_date_or_how_long_ago() {
        let now: Timestamp = "2026-11-21T12:00:00Z".parse().unwrap();
        for (text, wanted) in [
            ("2026-11-21T10:00:00Z", "2026-11-21T10:00:00Z"),
            ("2026-11-21T10:00:00+02:00", "2026-11-21T08:00:00Z"),
            ("2026-11-20", "2026-11-20T00:00:00Z"),
            ("2h", "2026-11-21T10:00:00Z"),
            ("-1h30m", "2026-11-21T10:30:00Z"),
            ("1w", "2026-11-14T12:00:00Z"),
        ] {
            assert_eq!(parse(text, now).unwrap(), wanted.parse().unwrap(), "{text}");
        }
        for bad in ["", "-", "yesterday", "2", "h", "2x", "99999999999999999999d", "--2h"] {
            assert!(parse(bad, now).is_err(), "{bad}");
        }
    }
}
