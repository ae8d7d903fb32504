//! Whether the database keeps what it is given: durability, checksums, vacuum, transaction numbers, disk.

use std::collections::BTreeMap;

use super::{
    Finding,
    database::{many, value},
    judged,
    unit::bytes,
};
use crate::postgres::look::{Disk, Facts, Room, Wraparound};

/// Postgres stops taking writes at about two thousand million; from 1.6 on it drops everything else to vacuum.
const NUMBERS_WARN: i64 = 1_000_000_000;
const NUMBERS_FAIL: i64 = 1_600_000_000;

/// Room below which a disk is about to be full: a part of it, and in any case so much.
const ROOM_WARN_PERCENT: u64 = 15;
const ROOM_FAIL_PERCENT: u64 = 5;
const ROOM_FAIL_BYTES: u64 = 1 << 30;

pub(super) fn judge(facts: &Facts) -> Vec<Finding> {
    let settings = &facts.settings;
    let mut found = vec![
        judged("postgres.durability", settings, durability),
        judged("postgres.synchronous", settings, |settings| synchronous(settings, facts)),
        judged("postgres.checksums", settings, checksums),
        judged("postgres.autovacuum", settings, autovacuum),
        judged("postgres.wraparound", &facts.wraparound, |ages| wraparound(*ages)),
    ];
    found.extend(many("postgres.disk", &facts.disk, disk));
    found
}

fn durability(settings: &BTreeMap<String, String>) -> Finding {
    const CHECK: &str = "postgres.durability";
    let off: Vec<&str> =
        ["fsync", "full_page_writes"].into_iter().filter(|name| value(settings, name) == "off").collect();
    if off.is_empty() {
        return Finding::ok(CHECK, "fsync and full_page_writes are on");
    }
    let off = off.join(" and ");
    let said = format!("{off} off: after a crash of the machine the whole database may be damaged");
    let advice =
        format!("set {off} to on and reload; lanes already commit without waiting for the disk, safely");
    Finding::fail(CHECK, said, advice)
}

fn synchronous(settings: &BTreeMap<String, String>, facts: &Facts) -> Finding {
    const CHECK: &str = "postgres.synchronous";
    let names = value(settings, "synchronous_standby_names");
    if names.is_empty() {
        return Finding::ok(CHECK, "no commit waits for a replica");
    }
    let said = format!("synchronous_standby_names is '{names}'");
    match &facts.replicas {
        Ok(replicas) if replicas.is_empty() => Finding::warn(
            CHECK,
            format!("{said} and no replica is connected: commits that wait for the disk wait for ever"),
            "start a replica of that name, or empty synchronous_standby_names and reload; lanes don't wait, \
             `flowtrail schema` and `flowtrail deadletter` do",
        ),
        _ => Finding::ok(CHECK, said),
    }
}

fn checksums(settings: &BTreeMap<String, String>) -> Finding {
    const CHECK: &str = "postgres.checksums";
    if value(settings, "data_checksums") == "on" {
        return Finding::ok(CHECK, "data checksums are on");
    }
    Finding::warn(
        CHECK,
        "data checksums are off: a disk that returns something else than was written is not noticed",
        "while the server is stopped: pg_checksums --enable -D its data folder",
    )
}

fn autovacuum(settings: &BTreeMap<String, String>) -> Finding {
    const CHECK: &str = "postgres.autovacuum";
    let off: Vec<&str> =
        ["autovacuum", "track_counts"].into_iter().filter(|name| value(settings, name) == "off").collect();
    if off.is_empty() {
        return Finding::ok(CHECK, "autovacuum is on");
    }
    let off = off.join(" and ");
    let said = format!("{off} off: tables grow, and plans are made for tables that were small once");
    Finding::warn(CHECK, said, format!("set {off} to on and reload"))
}

fn wraparound(ages: Wraparound) -> Finding {
    const CHECK: &str = "postgres.wraparound";
    let age = ages.transactions.max(ages.multixacts);
    let said = format!("the oldest transaction number in use is {} million old", age / 1_000_000);
    let advice = "find what holds back vacuum (old transactions, prepared ones, slots), then VACUUM (FREEZE) the \
                  oldest tables";
    if age >= NUMBERS_FAIL {
        Finding::fail(CHECK, format!("{said}: Postgres refuses writes at about 2 100 million"), advice)
    } else if age >= NUMBERS_WARN {
        Finding::warn(CHECK, said, advice)
    } else {
        Finding::ok(CHECK, said)
    }
}

fn disk(disk: &Disk) -> Vec<Finding> {
    const CHECK: &str = "postgres.disk";
    let size = bytes(disk.database_bytes);
    let rooms = match &disk.room {
        Ok(rooms) => rooms,
        Err(why) => {
            let said =
                format!("the database has {size}; the room that is left can't be seen from here: {why}");
            return vec![Finding::skipped(CHECK, said)];
        }
    };
    let judge = |room: &Room| {
        let path = room.path.display().to_string();
        let (free, total) = (bytes(room.free_bytes), bytes(room.total_bytes));
        let said = format!("{free} of {total} are free where {path} lies; the database has {size}");
        let below = |percent| u128::from(room.free_bytes) * 100 < u128::from(room.total_bytes) * percent;
        let advice = "make room or a larger disk; with a full one collectors wait, and nothing is lost while Kafka's \
                      retention lasts";
        let finding = if below(u128::from(ROOM_FAIL_PERCENT)) || room.free_bytes < ROOM_FAIL_BYTES {
            Finding::fail(CHECK, said, advice)
        } else if below(u128::from(ROOM_WARN_PERCENT)) {
            Finding::warn(CHECK, said, advice)
        } else {
            Finding::ok(CHECK, said)
        };
        finding.of(path)
    };
    rooms.iter().map(judge).collect()
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::super::Verdict;
    use super::*;

    #[test]
    fn what_is_switched_off_is_named() {
        let of = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        let on =
            of(&[("fsync", "on"), ("full_page_writes", "on"), ("autovacuum", "on"), ("track_counts", "on")]);
        assert_eq!((durability(&on).verdict, autovacuum(&on).verdict), (Verdict::Ok, Verdict::Ok));
        let off = of(&[
            ("fsync", "on"),
            ("full_page_writes", "off"),
            ("autovacuum", "off"),
            ("track_counts", "on"),
        ]);
        let (durability, autovacuum) = (durability(&off), autovacuum(&off));
        assert!(durability.verdict == Verdict::Fail && durability.said.starts_with("full_page_writes off"));
        assert!(autovacuum.verdict == Verdict::Warn && autovacuum.said.starts_with("autovacuum off"));
        assert_eq!(checksums(&of(&[("data_checksums", "on")])).verdict, Verdict::Ok);
    }

    #[test]
    fn transaction_numbers_are_judged_by_the_older_of_both_kinds() {
        let of = |transactions, multixacts| wraparound(Wraparound { transactions, multixacts }).verdict;
        assert_eq!(of(NUMBERS_WARN - 1, 5), Verdict::Ok);
        assert_eq!(of(5, NUMBERS_WARN), Verdict::Warn);
        assert_eq!(of(NUMBERS_FAIL, 5), Verdict::Fail);
    }

    #[test]
    fn a_disk_is_judged_by_part_and_by_size() {
        let of = |total_bytes, free_bytes| {
            let room = Room { path: PathBuf::from("/data"), total_bytes, free_bytes };
            disk(&Disk { database_bytes: 1, room: Ok(vec![room]) })[0].verdict
        };
        let gib = 1 << 30;
        assert_eq!(of(100 * gib, 15 * gib), Verdict::Ok);
        assert_eq!(of(100 * gib, 15 * gib - 1), Verdict::Warn);
        assert_eq!(of(100 * gib, 5 * gib), Verdict::Warn);
        assert_eq!(of(100 * gib, 5 * gib - 1), Verdict::Fail);
        assert_eq!(of(2 * gib, gib - 1), Verdict::Fail);
        let unseen = disk(&Disk { database_bytes: 1, room: Err("elsewhere".to_owned()) });
        assert_eq!(unseen[0].verdict, Verdict::Skipped);
    }
}
