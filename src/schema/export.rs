//! The changes as plain SQL, for where only a DBA may change tables.

use super::{
    adopt,
    changes::{CHANGES, Change, last_known},
    holder::LOCK,
    partition::{self, Parts},
    update::BOOKKEEPING,
};
use crate::hex::hex;

/// SQL that makes the tables in a database that has none of ours, the large ones in so many partitions, 0 for none. Then those of
/// the Go service are taken over; parted they can't be.
pub fn create_sql(partitions: usize) -> String {
    script(0, partitions)
}

/// SQL that brings a database from this change to the last one; nothing if there is no such change. `partitions` has to be as the
/// tables were made.
pub fn upgrade_sql(from: i32, partitions: usize) -> Option<String> {
    (1..=last_known()).contains(&from).then(|| script(from, partitions))
}

/// What [`super::update`] does, as text. Every change looks first whether it comes next, so a script that is run twice, or that
/// goes on after an error, does no harm.
fn script(from: i32, partitions: usize) -> String {
    let mut sql = format!(
        "-- flowtrail {}: the tables from schema change {from} to {}. For their owner, as\n\
         -- psql --set ON_ERROR_STOP=1 --file FILE DATABASE\n",
        env!("CARGO_PKG_VERSION"),
        last_known()
    );
    for change in CHANGES.iter().filter(|change| change.number > from) {
        match change.index {
            None => in_a_transaction(&mut sql, change, partitions),
            Some(index) => beside_writers(&mut sql, change, index, partitions),
        }
    }
    sql
}

fn in_a_transaction(sql: &mut String, change: &Change, partitions: usize) {
    let (bookkeeping, adopt) =
        if change.number == adopt::CHANGE { (BOOKKEEPING, adopt::SQL) } else { ("", "") };
    push(
        sql,
        &format!("\n-- change {}: {}\nBEGIN;\n{bookkeeping}{}", change.number, change.name, is_next(change)),
    );
    if change.number == adopt::CHANGE {
        push(sql, &partition::tables(partitions));
    }
    push(sql, adopt);
    push(sql, change.sql);
    push(sql, &format!("{}COMMIT;\n", record(change)));
}

/// An index beside those who write can't be made in a transaction. What an earlier run left behind is made again.
fn beside_writers(sql: &mut String, change: &Change, index: &str, partitions: usize) {
    push(
        sql,
        &format!(
            "\n-- change {}: {}, outside of a transaction\n{}",
            change.number,
            change.name,
            is_next(change)
        ),
    );
    match Parts::of(change).filter(|_| partitions > 0) {
        None => {
            push(sql, &format!("DROP INDEX CONCURRENTLY IF EXISTS {index};\n"));
            push(sql, change.sql);
        }
        Some(parts) => {
            // Of a parted index no part can be dropped beside writers, and while it is not noted nothing needs the whole.
            push(sql, &format!("DROP INDEX IF EXISTS {index};\n{}", parts.whole()));
            for partition in parts.made(partitions) {
                push(sql, &format!("DROP INDEX CONCURRENTLY IF EXISTS {};\n", parts.name(&partition)));
                push(sql, &parts.part(&partition));
                push(sql, &parts.attach(&partition));
            }
        }
    }
    push(
        sql,
        &format!(
            "BEGIN;\n{}DO $check$ BEGIN\n    \
             IF NOT (SELECT indisvalid FROM pg_index WHERE indexrelid = '{index}'::regclass) THEN\n        \
             RAISE EXCEPTION 'index {index} is not valid; run this again';\n    \
             END IF;\nEND $check$;\n{}COMMIT;\n",
            is_next(change),
            record(change)
        ),
    );
}

fn push(sql: &mut String, text: &str) {
    sql.push_str(text);
    if !text.is_empty() && !text.ends_with('\n') {
        sql.push('\n');
    }
}

/// Stops the transaction if another instance applies changes, or if this one does not come next.
fn is_next(change: &Change) -> String {
    let before = change.number - 1;
    format!(
        "DO $check$ BEGIN\n    \
         IF NOT pg_try_advisory_xact_lock({LOCK}) THEN\n        \
         RAISE EXCEPTION 'another instance applies schema changes; wait until it is done';\n    \
         END IF;\n    \
         IF (SELECT COALESCE(max(number), 0) FROM ft_schema_change) <> {before} THEN\n        \
         RAISE EXCEPTION 'this database is not at schema change {before}: see flowtrail schema status';\n    \
         END IF;\nEND $check$;\n"
    )
}

fn record(change: &Change) -> String {
    let checksum = hex(&change.checksum());
    let Change { number, name, needs, .. } = change;
    format!(
        "INSERT INTO ft_schema_change (number, name, checksum, needs)\n    \
         VALUES ({number}, '{name}', decode('{checksum}', 'hex'), {needs});\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upgrade_holds_the_changes_after_the_one_it_is_from() {
        let last = CHANGES.last().unwrap();
        for from in 1..last_known() {
            let sql = upgrade_sql(from, 0).unwrap();
            for change in CHANGES {
                assert_eq!(sql.contains(change.sql.trim()), change.number > from, "{from}: {}", change.name);
            }
        }
        assert!(create_sql(0).contains(CHANGES[0].sql) && create_sql(4).contains(last.sql.trim()));
        assert_eq!((upgrade_sql(0, 0), upgrade_sql(last_known() + 1, 0)), (None, None));
    }
}
