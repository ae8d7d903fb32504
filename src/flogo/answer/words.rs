//! Flogo's numbers of statuses and their words.

/// A status of a task; what is not known is `Created`, as in Flogo.
pub(super) fn of_task(number: i64) -> &'static str {
    match number {
        10 => "Scheduled",
        20 => "Started",
        30 => "Waiting",
        40 => "Completed",
        50 => "Skipped",
        100 => "Failed",
        110 => "Cancelled",
        _ => "Created",
    }
}

/// A status of a flow; what is not known is `Created`, as in Flogo.
pub(super) fn of_flow(number: i64) -> &'static str {
    match number {
        100 => "Started",
        500 => "Completed",
        600 => "Cancelled",
        700 => "Failed",
        _ => "Created",
    }
}

/// A status of a link, with the typing errors of the wire.
pub(super) fn of_link(number: i64) -> &'static str {
    match number {
        1 => "false",
        2 => "ture",
        3 => "skipped",
        _ => "unknow",
    }
}

/// The number of a flow's status. A status that Flogo does not know was stored as its digits; any other word counts as
/// `Created`.
pub fn flow_number(word: &str) -> i64 {
    match word {
        "Started" => 100,
        "Completed" => 500,
        "Cancelled" => 600,
        "Failed" => 700,
        other => other.parse().unwrap_or(0),
    }
}
