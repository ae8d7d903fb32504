//! Times as Flogo writes them: RFC 3339 with up to nine digits.

use jiff::Timestamp;
use pbjson_types::Timestamp as Proto;

use super::Error;

/// Go's zero time, which an engine writes where it has none.
const GO_ZERO: &str = "0001-01-01T00:00:00Z";

/// A time of a body; nothing for a missing, an empty and Go's zero time.
pub(super) fn parse(field: &'static str, text: Option<&str>) -> Result<Option<Timestamp>, Error> {
    match text {
        None | Some("" | GO_ZERO) => Ok(None),
        Some(text) => match text.parse() {
            Ok(time) => Ok(Some(time)),
            Err(source) => Err(Error::Time { field, value: text.to_owned(), source }),
        },
    }
}

/// The number of the run or execution that began then: µs since 1970, half to even; 0 without a time.
pub(super) fn number(time: Option<Timestamp>) -> i64 {
    let Some(time) = time else { return 0 };
    let nanos = time.as_nanosecond();
    let (micros, rest) = (nanos.div_euclid(1000), nanos.rem_euclid(1000));
    let up = rest > 500 || (rest == 500 && micros % 2 != 0);
    i64::try_from(micros + i128::from(up)).expect("a Timestamp lies within the years -9999 to 9999")
}

/// The same time, all nine digits of it.
pub(super) fn to_proto(time: Timestamp) -> Proto {
    let nanos = time.as_nanosecond();
    let seconds = i64::try_from(nanos.div_euclid(1_000_000_000));
    let rest = i32::try_from(nanos.rem_euclid(1_000_000_000));
    Proto {
        seconds: seconds.expect("a Timestamp lies within the years -9999 to 9999"),
        nanos: rest.expect("less than a second"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn micros(text: &str) -> i64 {
        number(parse("t", Some(text)).unwrap())
    }

    #[test]
    fn the_number_is_rounded_half_to_even() {
        assert_eq!(micros("1970-01-01T00:00:00.000001499Z"), 1);
        assert_eq!(micros("1970-01-01T00:00:00.0000015Z"), 2);
        assert_eq!(micros("1970-01-01T00:00:00.0000025Z"), 2);
        assert_eq!(micros("1970-01-01T00:00:00.000002501Z"), 3);
        assert_eq!(micros("1970-01-01T00:00:00.9999996Z"), 1_000_000);
        assert_eq!(micros("1969-12-31T23:59:59.9999985Z"), -2);
    }

    #[test]
    fn an_offset_is_honoured() {
        assert_eq!(micros("1970-01-01T02:00:01+02:00"), 1_000_000);
        assert_eq!(micros("1969-12-31T19:00:00.25-05:00"), 250_000);
    }

    #[test]
    fn no_time_is_number_zero() {
        for none in [None, Some(""), Some(GO_ZERO)] {
            assert_eq!(number(parse("t", none).unwrap()), 0);
        }
    }

    #[test]
    fn a_bad_time_names_its_field() {
        let error = parse("start_time", Some("yesterday")).unwrap_err();
        assert_eq!(error.to_string(), "`start_time` is not an RFC 3339 time: \"yesterday\"");
    }
}
