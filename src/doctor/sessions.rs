//! What goes on in the database: sessions, open transactions, the lock that every batch takes, replicas.

use std::time::Duration;

use super::{
    Finding,
    database::{many, of_most},
    judged,
    unit::{bytes, count, span},
};
use crate::{
    config::{Config, LEAST_SESSIONS},
    postgres::look::{Connections, Facts, Holder, Replica, Slot, Transaction},
};

/// A transaction that waits for its client so long has been forgotten.
const IDLE: Duration = Duration::from_mins(1);
/// A transaction so old holds back vacuum for long enough to be felt.
const LONG: Duration = Duration::from_mins(10);
/// A lane waits for a lock no longer than that before it gives up and tries again.
const LOCK_PATIENCE: Duration = Duration::from_secs(10);
/// Whoever is no lane has no business with the lock; one under another name has it for less than that.
const LOCK_MOMENT: Duration = Duration::from_secs(1);
/// A prepared transaction is over within moments; one so old was forgotten by whoever prepared it.
const PREPARED: Duration = Duration::from_mins(5);
/// What a replica may be behind.
const REPLICA_BEHIND: Duration = Duration::from_mins(1);
const REPLICA_BEHIND_BYTES: u64 = 64 << 20;
/// What the server may keep for a slot that nobody reads from.
const SLOT_KEPT: u64 = 64 << 20;

pub(super) fn judge(facts: &Facts, config: &Config) -> Vec<Finding> {
    let sessions = |sessions: usize| i64::try_from(sessions).unwrap_or(i64::MAX);
    let (collector, server) = (sessions(config.collector.sessions()), sessions(config.gateway.sessions));
    let mut found = vec![
        judged("postgres.connections", &facts.connections, |connections| {
            of_connections(connections, collector)
        }),
        judged("postgres.sessions", &facts.connections, |connections| {
            of_sessions(connections, collector, server)
        }),
    ];
    let hidden = facts.connections.as_ref().map_or(0, |connections| connections.hidden);
    found.extend(many("postgres.transactions", &facts.transactions, |open| transactions(open, hidden)));
    found.extend(many("postgres.prepared", &facts.prepared, |prepared| of_prepared(prepared)));
    found.extend(many("postgres.lock", &facts.holders, |holders| lock(holders)));
    found.extend(many("postgres.replicas", &facts.replicas, |replicas| of_replicas(replicas)));
    found.extend(many("postgres.slots", &facts.slots, |slots| of_slots(slots)));
    found
}

/// The limit that is nearest: how many sessions there may be, how many there are, and what it is called.
fn nearest(connections: &Connections) -> Option<(i64, i64, &'static str)> {
    let limits = [
        (Some((connections.most, connections.used)), "the server's max_connections"),
        (connections.of_user, "this user's limit"),
        (connections.of_database, "this database's limit"),
    ];
    let limits = limits.into_iter().filter_map(|(limit, what)| limit.map(|(most, used)| (most, used, what)));
    limits.min_by_key(|(most, used, _)| most - used)
}

/// Whether one collector and one server find room for all they may open, beside what others have open.
fn of_sessions(connections: &Connections, collector: i64, server: i64) -> Finding {
    const CHECK: &str = "postgres.sessions";
    let Some((most, used, what)) = nearest(connections) else {
        return Finding::skipped(CHECK, "there is no limit to be seen");
    };
    let together = collector.saturating_add(server);
    let others = (used - connections.ours).max(0);
    let said = format!(
        "a collector ({collector}) and a server ({server}) open up to {}; {what} is {most}, and others have {others}",
        count(together, "session")
    );
    if most - others >= together {
        return Finding::ok(CHECK, said);
    }
    let room = usize::try_from(most - others).ok().filter(|room| *room >= LEAST_SESSIONS);
    let lower = room.map_or_else(String::new, |room| format!(", or set postgres.max_sessions = {room}"));
    let advice = format!("raise that limit{lower}");
    Finding::warn(CHECK, said, advice)
}

fn of_connections(connections: &Connections, needed: i64) -> Finding {
    const CHECK: &str = "postgres.connections";
    // Our own two are over in a moment.
    let Some((most, used, what)) = nearest(connections) else {
        return Finding::skipped(CHECK, "there is no limit to be seen");
    };
    let taken = format!("{}, by {what}", of_most(used, most));
    if most - used >= needed {
        let said = format!("{taken}; a collector needs {}", count(needed, "session"));
        return Finding::ok(CHECK, said);
    }
    let left = most - used;
    let said = format!("{taken}: a collector needs {needed} and {left} are left");
    let advice = "raise that limit, end sessions that nobody needs, or set fewer collector.lanes";
    if connections.collecting > 0 {
        // What runs has its sessions; what is wanting is room for another.
        return Finding::warn(CHECK, said, advice);
    }
    Finding::fail(CHECK, said, advice)
}

fn transactions(open: &[Transaction], hidden: i64) -> Vec<Finding> {
    const CHECK: &str = "postgres.transactions";
    let judge = |transaction: &Transaction| {
        let Transaction { pid, who, age, idle } = transaction;
        let said = match idle {
            Some(idle) if *idle >= IDLE => {
                format!("session {pid} ({who}) has been idle in a transaction for {}", span(*idle))
            }
            _ if *age >= LONG => {
                format!("session {pid} ({who}) has had a transaction open for {}", span(*age))
            }
            _ => return None,
        };
        let advice =
            format!("vacuum can clear nothing newer: ask its owner, or SELECT pg_terminate_backend({pid})");
        Some(Finding::warn(CHECK, said, advice).of(pid.to_string()))
    };
    let found: Vec<Finding> = open.iter().filter_map(judge).collect();
    if !found.is_empty() {
        return found;
    }
    let oldest =
        open.first().map_or_else(String::new, |oldest| format!(", the oldest for {}", span(oldest.age)));
    let said = format!("{} open{oldest}", count(i64::try_from(open.len()).unwrap_or(0), "transaction"));
    if hidden > 0 {
        let sessions = count(hidden, "session");
        let why = "this user is not shown: GRANT pg_read_all_stats lets it see";
        return vec![Finding::skipped(CHECK, format!("{said}; what {sessions} of other users do {why}"))];
    }
    vec![Finding::ok(CHECK, said)]
}

fn of_prepared(prepared: &[(String, Duration)]) -> Vec<Finding> {
    const CHECK: &str = "postgres.prepared";
    let judge = |(name, age): &(String, Duration)| {
        let said = format!("transaction '{name}' was prepared {} ago and never ended", span(*age));
        let advice = format!("ask who prepared it, then COMMIT PREPARED or ROLLBACK PREPARED '{name}'");
        Finding::warn(CHECK, said, advice).of(name)
    };
    let found: Vec<Finding> = prepared.iter().filter(|(_, age)| *age >= PREPARED).map(judge).collect();
    if found.is_empty() { vec![Finding::ok(CHECK, "no prepared transaction was left behind")] } else { found }
}

fn lock(holders: &[Holder]) -> Vec<Finding> {
    const CHECK: &str = "postgres.lock";
    // Of sessions whose age is not shown, that somebody waits has to do.
    let somebody_waits = holders.iter().any(|holder| !holder.granted);
    let judge = |holder: &Holder| {
        let Holder { pid, who, lane, exclusive, age, .. } = holder;
        let lasts = |limit: Duration| age.map_or(somebody_waits, |age| age >= limit);
        let since = age.map_or_else(String::new, |age| format!(" for {}", span(age)));
        let effect = if !lane && *exclusive && lasts(LOCK_MOMENT) {
            "and nothing is stored meanwhile"
        } else if lasts(LOCK_PATIENCE) {
            "and re-runs and deletions wait for it"
        } else {
            return None;
        };
        let said = format!("session {pid} ({who}) has held the lock that every batch takes{since}, {effect}");
        let advice = format!(
            "ask its owner, or SELECT pg_terminate_backend({pid}); collectors go on by themselves then"
        );
        let finding =
            if *exclusive { Finding::fail(CHECK, said, advice) } else { Finding::warn(CHECK, said, advice) };
        Some(finding.of(pid.to_string()))
    };
    let found: Vec<Finding> = holders.iter().filter(|holder| holder.granted).filter_map(judge).collect();
    if !found.is_empty() {
        return found;
    }
    vec![Finding::ok(CHECK, "nobody keeps the lock that every batch takes")]
}

fn of_replicas(replicas: &[Replica]) -> Vec<Finding> {
    const CHECK: &str = "postgres.replicas";
    let judge = |replica: &Replica| {
        let name = &replica.name;
        let how_far = match (replica.behind, replica.behind_bytes) {
            (Some(behind), Some(size)) => format!("{} and {} behind", span(behind), bytes(size)),
            (None, Some(size)) => format!("{} behind", bytes(size)),
            (Some(behind), None) => format!("{} behind", span(behind)),
            (None, None) => {
                let why = "its state is shown to members of pg_monitor only";
                return Finding::skipped(CHECK, format!("replica {name}: {why}")).of(name);
            }
        };
        let late = replica.behind.is_some_and(|behind| behind >= REPLICA_BEHIND)
            || replica.behind_bytes.is_some_and(|size| size >= REPLICA_BEHIND_BYTES);
        let state = replica.state.as_deref().unwrap_or("connected");
        let said = format!("replica {name} is {state}, {how_far}");
        let finding = if late {
            let advice = "what is read there is old, and a failover now loses the difference (flowtrail reads it again \
                          from Kafka): look at its disk, its queries and the network";
            Finding::warn(CHECK, said, advice)
        } else {
            Finding::ok(CHECK, said)
        };
        finding.of(name)
    };
    if replicas.is_empty() {
        return vec![Finding::ok(CHECK, "no replica is connected")];
    }
    replicas.iter().map(judge).collect()
}

fn of_slots(slots: &[Slot]) -> Vec<Finding> {
    const CHECK: &str = "postgres.slots";
    let judge = |slot: &Slot| {
        if slot.active || slot.kept_bytes < SLOT_KEPT {
            return None;
        }
        let Slot { name, kept_bytes, .. } = slot;
        let said =
            format!("nobody reads from slot {name}, for which {} of the log are kept", bytes(*kept_bytes));
        let advice =
            format!("it fills the disk: start its reader, or SELECT pg_drop_replication_slot('{name}')");
        Some(Finding::warn(CHECK, said, advice).of(name))
    };
    let found: Vec<Finding> = slots.iter().filter_map(judge).collect();
    if found.is_empty() { vec![Finding::ok(CHECK, "no slot keeps much of the log")] } else { found }
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    fn verdicts(found: &[Finding]) -> Vec<Verdict> {
        found.iter().map(|finding| finding.verdict).collect()
    }

    #[test]
    fn the_nearest_limit_counts_and_a_running_collector_has_its_sessions() {
        let far = Connections { most: 100, used: 3, ..Connections::default() };
        assert_eq!(of_connections(&far, 5).verdict, Verdict::Ok);
        let user = Connections { of_user: Some((6, 2)), ..far.clone() };
        let found = of_connections(&user, 5);
        assert!(found.verdict == Verdict::Fail && found.said.contains("this user's limit"), "{found:?}");
        assert_eq!(of_connections(&Connections { collecting: 2, ..user }, 5).verdict, Verdict::Warn);
        assert_eq!(of_connections(&Connections { of_user: Some((6, 1)), ..far }, 5).verdict, Verdict::Ok);
    }

    #[test]
    fn a_collector_and_a_server_count_together_and_their_own_sessions_are_no_others() {
        let full = Connections { most: 20, used: 17, ours: 10, ..Connections::default() };
        assert_eq!(of_sessions(&full, 5, 8).verdict, Verdict::Ok);
        let found = of_sessions(&full, 6, 8);
        assert_eq!(found.verdict, Verdict::Warn);
        assert!(found.said.contains("14 sessions") && found.said.contains("others have 7"), "{found:?}");
        assert!(found.advice.unwrap().contains("max_sessions = 13"));
        let user = Connections { of_user: Some((12, 10)), ..full };
        assert!(of_sessions(&user, 5, 8).said.contains("this user's limit is 12"));
    }

    #[test]
    fn a_forgotten_transaction_is_told_by_how_long_it_is_idle_and_a_long_one_by_its_age() {
        let of = |age, idle: Option<u64>| Transaction {
            pid: 7,
            who: "ann by psql".to_owned(),
            age: Duration::from_secs(age),
            idle: idle.map(Duration::from_secs),
        };
        assert_eq!(verdicts(&transactions(&[], 0)), [Verdict::Ok]);
        assert_eq!(verdicts(&transactions(&[of(599, None), of(599, Some(59))], 0)), [Verdict::Ok]);
        assert_eq!(verdicts(&transactions(&[], 3)), [Verdict::Skipped]);
        let found = transactions(&[of(600, None), of(61, Some(60)), of(1, None)], 3);
        assert_eq!(verdicts(&found), [Verdict::Warn, Verdict::Warn]);
        assert!(found[0].said.contains("for 10 min") && found[1].said.contains("idle"), "{found:?}");
    }

    #[test]
    fn who_keeps_all_batches_waiting_is_told_from_a_lane_at_work() {
        let of = |lane, granted, exclusive, age| Holder {
            pid: 7,
            who: "ann".to_owned(),
            lane,
            granted,
            exclusive,
            age: Some(Duration::from_secs(age)),
        };
        let busy = [of(true, true, true, 9), of(true, false, false, 30), of(false, true, false, 9)];
        assert_eq!(verdicts(&lock(&busy)), [Verdict::Ok]);
        assert_eq!(verdicts(&lock(&[of(false, true, true, 0)])), [Verdict::Ok]);
        assert_eq!(verdicts(&lock(&[of(false, true, true, 1)])), [Verdict::Fail]);
        // Where ages are not shown.
        let hidden = Holder { age: None, ..of(false, true, true, 0) };
        assert_eq!(verdicts(&lock(std::slice::from_ref(&hidden))), [Verdict::Ok]);
        assert_eq!(verdicts(&lock(&[hidden, of(true, false, false, 0)])), [Verdict::Fail]);
        assert_eq!(verdicts(&lock(&[of(true, true, true, 10)])), [Verdict::Fail]);
        assert_eq!(verdicts(&lock(&[of(false, true, false, 10)])), [Verdict::Warn]);
    }

    #[test]
    fn a_replica_is_late_by_time_or_by_size() {
        let of = |seconds: Option<u64>, size| Replica {
            name: "r".to_owned(),
            state: None,
            behind_bytes: size,
            behind: seconds.map(Duration::from_secs),
        };
        let found = of_replicas(&[
            of(Some(59), Some(0)),
            of(Some(60), Some(0)),
            of(None, Some(64 << 20)),
            of(None, None),
        ]);
        assert_eq!(verdicts(&found), [Verdict::Ok, Verdict::Warn, Verdict::Warn, Verdict::Skipped]);
    }

    #[test]
    fn a_slot_is_a_trouble_if_nobody_reads_from_it_and_much_is_kept() {
        let of = |active, kept_bytes| Slot { name: "s".to_owned(), active, kept_bytes };
        assert_eq!(verdicts(&of_slots(&[of(true, u64::MAX), of(false, SLOT_KEPT - 1)])), [Verdict::Ok]);
        assert_eq!(verdicts(&of_slots(&[of(false, SLOT_KEPT)])), [Verdict::Warn]);
    }

    #[test]
    fn a_prepared_transaction_is_forgotten_after_a_while() {
        assert_eq!(verdicts(&of_prepared(&[("x".to_owned(), PREPARED)])), [Verdict::Warn]);
        assert_eq!(verdicts(&of_prepared(&[("x".to_owned(), Duration::ZERO)])), [Verdict::Ok]);
    }
}
