//! Points in time as Postgres keeps them.

use std::fmt;

/// Microseconds since 1970-01-01T00:00:00Z, within the years 1–9999: what a `timestamp` column holds of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Micros(i64);

/// 0001-01-01T00:00:00Z.
const FIRST: i64 = -62_135_596_800_000_000;
/// 9999-12-31T23:59:59.999999Z.
const LAST: i64 = 253_402_300_799_999_999;
/// 2000-01-01T00:00:00Z, where Postgres counts from.
const POSTGRES_EPOCH: i64 = 946_684_800_000_000;

impl Micros {
    /// Takes microseconds since 1970 if they lie within the years 1–9999.
    pub fn new(micros: i64) -> Option<Self> {
        (FIRST..=LAST).contains(&micros).then_some(Self(micros))
    }

    /// Rounds seconds and nanoseconds to the nearest microsecond, ties to even, as Postgres does with text.
    /// `None` outside the years 1–9999 and for nanoseconds that are not within one second.
    pub fn rounded(seconds: i64, nanos: i32) -> Option<Self> {
        if !(0..1_000_000_000).contains(&nanos) {
            return None;
        }
        let (whole, rest) = (nanos / 1000, nanos % 1000);
        let up = rest > 500 || (rest == 500 && whole % 2 == 1);
        let micros = seconds.checked_mul(1_000_000)?.checked_add(i64::from(whole) + i64::from(up))?;
        Self::new(micros)
    }

    /// Microseconds since 1970.
    pub fn get(self) -> i64 {
        self.0
    }

    /// Microseconds since 2000, as the binary format of `timestamp` has it.
    pub(crate) fn to_postgres(self) -> i64 {
        self.0 - POSTGRES_EPOCH
    }

    /// From microseconds since 2000; `None` for `infinity` and what else no event can say.
    pub(crate) fn from_postgres(micros: i64) -> Option<Self> {
        micros.checked_add(POSTGRES_EPOCH).and_then(Self::new)
    }

    /// The milliseconds from `self` to `end` with three decimals: the text of `flowstate.executiontime`.
    pub fn millis_until(self, end: Self) -> String {
        let micros = end.0 - self.0;
        let sign = if micros < 0 { "-" } else { "" };
        let micros = micros.unsigned_abs();
        format!("{sign}{}.{:03}", micros / 1000, micros % 1000)
    }
}

/// Microseconds as milliseconds. Exact for anything below a month; far beyond that a microsecond is nothing.
pub(crate) fn millis(micros: i64) -> f64 {
    jiff::SignedDuration::from_micros(micros).as_secs_f64() * 1_000.0
}

impl fmt::Display for Micros {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_microsecond(self.0) {
            Ok(time) => time.fmt(f),
            Err(_) => write!(f, "{} µs", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rounded(seconds: i64, nanos: i32) -> Option<i64> {
        Micros::rounded(seconds, nanos).map(Micros::get)
    }

    #[test]
    fn nanoseconds_are_rounded_to_even_not_cut() {
        assert_eq!(rounded(0, 499), Some(0));
        assert_eq!(rounded(0, 500), Some(0));
        assert_eq!(rounded(0, 501), Some(1));
        assert_eq!(rounded(0, 1_500), Some(2));
        assert_eq!(rounded(0, 2_500), Some(2));
        assert_eq!(rounded(0, 999_999_600), Some(1_000_000));
        assert_eq!(rounded(-1, 999_999_600), Some(0));
    }

    #[test]
    fn a_time_outside_the_years_1_to_9999_is_none() {
        assert_eq!(rounded(-62_135_596_800, 0), Some(FIRST));
        assert_eq!(rounded(-62_135_596_801, 999_999_000), None);
        assert_eq!(rounded(253_402_300_799, 999_999_000), Some(LAST));
        assert_eq!(rounded(253_402_300_799, 999_999_501), None, "rounds into the year 10000");
        assert_eq!(rounded(i64::MAX, 0), None);
        assert_eq!(rounded(0, -1), None);
        assert_eq!(rounded(0, 1_000_000_000), None);
    }

    #[test]
    fn a_duration_may_be_negative_and_keeps_three_decimals() {
        let at = |micros| Micros::new(micros).unwrap();
        assert_eq!(at(0).millis_until(at(11_267)), "11.267");
        assert_eq!(at(0).millis_until(at(0)), "0.000");
        assert_eq!(at(500).millis_until(at(0)), "-0.500");
        assert_eq!(at(0).millis_until(at(1_000_001)), "1000.001");
    }
}
