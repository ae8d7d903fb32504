//! How flows are marked, by retention for what is stored and by collectors for what they do not even store.

/// Marks flows as removed. `$flows` asks for their ids, and above which numbers they are kept; what is greater counts. A deletion
/// that has no number stays what it is.
macro_rules! mark_removed {
    ($flows:expr) => {
        concat!(
            "INSERT INTO ft_tombstone AS t (flowinstanceid, before, removedat) SELECT f.*, now() FROM (",
            $flows,
            ") AS f ON CONFLICT (flowinstanceid) DO UPDATE SET before = GREATEST(t.before, excluded.before), \
             removedat = excluded.removedat WHERE t.before IS NOT NULL RETURNING flowinstanceid"
        )
    };
}

/// Marks flows as kept without payloads, which retention has yet to take. `$flows` asks for their ids, and above which numbers
/// they are kept whole; those that are marked so already are passed over.
macro_rules! mark_bare {
    ($flows:expr) => {
        concat!(
            "INSERT INTO ft_payload_mark AS t (flowinstanceid, before) ",
            $flows,
            " ON CONFLICT (flowinstanceid) DO UPDATE SET before = excluded.before, removedat = NULL \
             WHERE t.before < excluded.before RETURNING flowinstanceid"
        )
    };
}

pub(super) use {mark_bare, mark_removed};
