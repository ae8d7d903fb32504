//! `ft_variable`: variables as they were last set or removed, and the law by which the last one is chosen.
//!
//! A variable stands alone, so it is stored under the shared lock as under the exclusive one. There is one statement: rows that
//! were deleted, or that are stored as late or later, are left out before they meet the table; the conflict clause is for what
//! another transaction stores meanwhile.

use std::sync::LazyLock;

use tokio_postgres::Error;

use super::{
    batch::Ops,
    columns::{Columns, unfolded},
    copy::Encoder,
    session::Session,
    stage::qualified,
};
use crate::{
    model::{FlowId, VariableRow},
    pipeline::merge::{FlowFold, VariableKey},
};

/// Columns but the key, in the order in which the law compares them, which is that of [`VariableRow`].
const COLUMNS: &str = "run, revision, removed, type, value, variableid, createdat, updatedat, misc";

/// Types of the key and of [`COLUMNS`].
const TYPES: &str =
    "text, text, text, bigint, bigint, boolean, text, bytea, text, timestamp, timestamp, bytea";

/// Each row is new, or is later than the stored one. Below a mark the payload is not kept, so it is not compared either.
static PUT: LazyLock<String> = LazyLock::new(|| {
    format!(
        "WITH put AS (INSERT INTO ft_variable AS t (flowinstanceid, scope, name, {COLUMNS}) \
         SELECT s.* FROM {} AS r (flowinstanceid, scope, name, {COLUMNS}) CROSS JOIN LATERAL \
            (SELECT (SELECT true FROM ft_payload_mark m \
                WHERE m.flowinstanceid = r.flowinstanceid AND r.run < m.before LIMIT 1) AS bare OFFSET 0) m \
         CROSS JOIN LATERAL (SELECT r.flowinstanceid, r.scope, r.name, r.run, r.revision, r.removed, r.type, \
            CASE WHEN m.bare IS NULL THEN r.value END AS value, r.variableid, r.createdat, r.updatedat, \
            CASE WHEN m.bare IS NULL THEN r.misc END AS misc) s \
         WHERE (SELECT true FROM ft_tombstone d WHERE d.flowinstanceid = s.flowinstanceid \
                AND (d.before IS NULL OR s.run < d.before) LIMIT 1) IS NULL \
            AND (SELECT {} FROM ft_variable t WHERE t.flowinstanceid = s.flowinstanceid \
                AND t.scope = s.scope AND t.name = s.name LIMIT 1) IS NOT FALSE \
         ON CONFLICT (flowinstanceid, scope, name) DO UPDATE SET ({COLUMNS}) = ROW ({}) WHERE {} \
         RETURNING t.xmax = 0 AS fresh) SELECT count(*), count(*) FILTER (WHERE fresh) FROM put",
        unfolded(TYPES),
        is_later("t", "s"),
        qualified("excluded", COLUMNS),
        is_later("t", "excluded"),
    )
});

/// Whether `s` is later than `t`. Nothing empty is stored, so empty stands for null; columns are looked at until two differ.
fn is_later(t: &str, s: &str) -> String {
    let order = |row: &str| {
        let column = |name: &str| match name {
            "run" | "revision" | "removed" => format!("{row}.{name}"),
            "createdat" | "updatedat" => format!("COALESCE({row}.{name}, '-infinity')"),
            "type" | "variableid" => format!(r#"COALESCE({row}.{name}, '') COLLATE "C""#),
            name => format!("COALESCE({row}.{name}, '')"),
        };
        COLUMNS.split(", ").map(column).collect::<Vec<_>>().join(", ")
    };
    format!("({}) > ({})", order(s), order(t))
}

/// Writes the variables of flows, which come sorted by id, in the transaction that is open; says what became of them.
pub(super) async fn put<'a>(
    session: &Session,
    flows: impl Iterator<Item = (&'a FlowId, &'a FlowFold)>,
) -> Result<Ops, Error> {
    let (mut rows, mut count) = (Columns::of(TYPES), 0);
    for (flow, fold) in flows {
        for (key, row) in &fold.variables {
            rows.push(|to| put_row(to, flow, key, row));
            count += 1;
        }
    }
    let Some(row) = rows.send(session, &PUT).await?.pop() else { return Ok(Ops::default()) };
    let [put, insert] = [row.try_get::<_, i64>(0)?, row.try_get(1)?].map(i64::unsigned_abs);
    Ok(Ops { insert, update: put - insert, unchanged: count - put, ..Ops::default() })
}

/// In the order of [`TYPES`].
fn put_row(to: &mut Encoder, flow: &FlowId, (scope, name): &VariableKey, row: &VariableRow) {
    to.text(Some(flow.as_str()));
    to.text(Some(scope));
    to.text(Some(name));
    to.int8(row.run);
    to.int8(row.revision);
    to.bool(row.removed);
    to.text(row.kind.as_deref());
    to.bytes(row.value.as_deref());
    to.text(row.id.as_deref());
    to.time(row.created);
    to.time(row.updated);
    to.bytes(row.misc.as_deref());
}
