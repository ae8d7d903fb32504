//! What is counted by reason and the like, before it first happens.

use super::{
    DEAD_LETTERS, EVENTS_SANITIZED, GAPS, GATEWAY_ALSO, HTTP_REFUSED, Metric, POSTGRES_ERRORS, REBALANCES,
    RETENTION_REMOVED, UNRESOLVED, WAYS,
};

/// Label values that are there from the start at zero: a series that begins with its first event hides that event from
/// `increase()`.
pub(super) const KNOWN: &[(Metric, &[&str])] = &[
    (
        DEAD_LETTERS,
        &[
            "empty",
            "id_too_long",
            "no_id",
            "oversized",
            "refused",
            "undecodable",
            "unknown_event",
            "unresolved",
        ],
    ),
    (
        EVENTS_SANITIZED,
        &[
            "empty_key",
            "id_from_key",
            "key_mismatch",
            "not_kept",
            "nul",
            "oversized",
            "phase",
            "time",
            "unreadable",
        ],
    ),
    (UNRESOLVED, &["given_up", "held", "resolved"]),
    (REBALANCES, &["assign", "lost", "revoke"]),
    (POSTGRES_ERRORS, &["halt", "reject", "retry"]),
    (GAPS, &["recreated", "retention"]),
    (RETENTION_REMOVED, &["flows", "payloads", "steps"]),
    (GATEWAY_ALSO, &["dropped", "failed", "refused", "sent"]),
    (HTTP_REFUSED, &["401", "403", "429"]),
    (WAYS, &["conflict", "exclusive", "replaced", "staged", "straight"]),
];
