//! The one place that reads a clock; everything else is handed the time.

use std::time::Instant;

use jiff::Timestamp;

/// The wall clock, in UTC.
#[expect(clippy::disallowed_methods, reason = "this is the place")]
pub fn now() -> Timestamp {
    Timestamp::now()
}

/// A clock that never goes back, for measuring how long something took.
#[expect(clippy::disallowed_methods, reason = "this is the place")]
pub fn monotonic() -> Instant {
    Instant::now()
}
