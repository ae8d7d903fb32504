//! Whether this process is ready for work, and whether it is getting any done.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use serde::Serialize;

/// What has to hold before this process is ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// The tables are as this version wants them.
    Schema,
    /// Postgres answers.
    Database,
    /// Kafka has taken this process into its group.
    Group,
    /// What is to be written is kept: by Kafka, or by a spool while Kafka is away.
    Kafka,
}

impl Condition {
    /// What a collector needs.
    pub const OF_A_COLLECTOR: [Self; 3] = [Self::Schema, Self::Database, Self::Group];

    const fn name(self) -> &'static str {
        match self {
            Self::Schema => "schema",
            Self::Database => "database",
            Self::Group => "group",
            Self::Kafka => "kafka",
        }
    }
}

/// `ok` or `fail`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// All is well.
    Ok,
    /// Something is not.
    Fail,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What was looked at.
    pub name: &'static str,
    /// How it is.
    pub status: Status,
    /// Why, in one sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// All that was looked at: failed as soon as one of it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// How it is on the whole.
    pub status: Status,
    /// Piece by piece.
    pub checks: Vec<Check>,
}

impl Report {
    fn of(checks: Vec<Check>) -> Self {
        let failed = checks.iter().any(|check| check.status == Status::Fail);
        Self { status: if failed { Status::Fail } else { Status::Ok }, checks }
    }
}

/// What the pipeline knows about itself, read by `/livez` and `/readyz`. Shared in an `Arc`.
///
/// Alive is who makes progress or has nothing to do. With records waiting, `stall_after` without any progress is
/// death, unless Postgres is known to be away: that a restart can't mend, and it would cost the membership.
#[derive(Debug)]
pub struct Health {
    stall_after: Duration,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Of each condition that counts: why it does not hold, or nothing where it does.
    conditions: Vec<(Condition, Option<String>)>,
    /// Records that wait; nothing where unknown.
    lag: Option<u64>,
    /// The last progress, or when records began to wait, whichever is later.
    last_progress: Instant,
}

impl Health {
    /// Nothing is known yet: not ready before each of `conditions` holds, and alive until `stall_after` has gone by with
    /// records waiting.
    pub fn new(conditions: &[Condition], stall_after: Duration, now: Instant) -> Self {
        let unknown = |condition: &Condition| (*condition, Some("not looked at yet".to_owned()));
        let conditions = conditions.iter().map(unknown).collect();
        Self { stall_after, state: Mutex::new(State { conditions, lag: None, last_progress: now }) }
    }

    /// The condition holds.
    pub fn met(&self, condition: Condition) {
        self.put(condition, None);
    }

    /// The condition does not hold, for this reason. The reason is shown to whoever asks: no secrets.
    pub fn unmet(&self, condition: Condition, reason: impl Into<String>) {
        self.put(condition, Some(reason.into()));
    }

    /// Something was stored.
    pub fn note_progress(&self, now: Instant) {
        self.lock().last_progress = now;
    }

    /// So many records wait; nothing where that is not known.
    pub fn note_lag(&self, records: Option<u64>, now: Instant) {
        let mut state = self.lock();
        // Who was idle for an hour has not been stuck for an hour when the next record comes.
        if state.lag.unwrap_or(0) == 0 {
            state.last_progress = state.last_progress.max(now);
        }
        state.lag = records;
    }

    /// Whether this process is ready for work.
    pub fn readiness(&self) -> Report {
        let state = self.lock();
        let checks = state.conditions.iter().map(|(condition, unmet)| Check {
            name: condition.name(),
            status: if unmet.is_none() { Status::Ok } else { Status::Fail },
            reason: unmet.clone(),
        });
        Report::of(checks.collect())
    }

    /// Whether this process is worth keeping.
    pub fn liveness(&self, now: Instant) -> Report {
        let state = self.lock();
        let idle_for = now.saturating_duration_since(state.last_progress);
        let database = state.conditions.iter().find(|(condition, _)| *condition == Condition::Database);
        let database_is_away = database.and_then(|(_, unmet)| unmet.as_ref());
        let (status, reason) = match (state.lag.unwrap_or(0), database_is_away) {
            (0, _) => (Status::Ok, None),
            (lag, _) if idle_for <= self.stall_after => (Status::Ok, Some(format!("{lag} records wait"))),
            (lag, Some(why)) => (Status::Ok, Some(format!("{lag} records wait for the database: {why}"))),
            (lag, None) => {
                let seconds = idle_for.as_secs();
                (Status::Fail, Some(format!("{lag} records wait and nothing was stored for {seconds} s")))
            }
        };
        Report::of(vec![Check { name: "progress", status, reason }])
    }

    fn put(&self, condition: Condition, reason: Option<String>) {
        let mut state = self.lock();
        let known = state.conditions.iter_mut().find(|(known, _)| *known == condition);
        // What does not count for this role is not kept.
        if let Some((_, unmet)) = known {
            *unmet = reason;
        }
    }

    /// A panic elsewhere leaves the state whole: every change to it is one call.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_mins(1);

    fn health() -> (Health, Instant) {
        let start = crate::clock::monotonic();
        let health = Health::new(&Condition::OF_A_COLLECTOR, LIMIT, start);
        health.met(Condition::Database);
        (health, start)
    }

    fn second(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    #[test]
    fn idle_is_alive() {
        let (health, start) = health();
        assert_eq!(health.liveness(second(start, 9_999)).status, Status::Ok);
        health.note_lag(Some(0), second(start, 9_999));
        assert_eq!(health.liveness(second(start, 99_999)).status, Status::Ok);
    }

    #[test]
    fn waiting_records_without_progress_are_death() {
        let (health, start) = health();
        health.note_lag(Some(5), second(start, 10));
        assert_eq!(health.liveness(second(start, 70)).status, Status::Ok);
        let report = health.liveness(second(start, 71));
        assert_eq!(report.status, Status::Fail);
        assert_eq!(
            report.checks[0].reason.as_deref(),
            Some("5 records wait and nothing was stored for 61 s")
        );
        health.note_progress(second(start, 72));
        assert_eq!(health.liveness(second(start, 100)).status, Status::Ok);
        // That more come in is no progress.
        health.note_lag(Some(6), second(start, 130));
        assert_eq!(health.liveness(second(start, 133)).status, Status::Fail);
    }

    #[test]
    fn the_clock_starts_when_records_begin_to_wait() {
        let (health, start) = health();
        health.note_lag(Some(0), second(start, 1));
        health.note_lag(Some(1), second(start, 3_600));
        assert_eq!(health.liveness(second(start, 3_601)).status, Status::Ok);
        assert_eq!(health.liveness(second(start, 3_661)).status, Status::Fail);
    }

    #[test]
    fn a_database_that_is_known_to_be_away_is_no_reason_to_be_restarted() {
        let (health, start) = health();
        health.note_lag(Some(1), start);
        health.unmet(Condition::Database, "connection refused");
        let report = health.liveness(second(start, 600));
        assert_eq!(report.status, Status::Ok);
        assert!(report.checks[0].reason.as_deref().unwrap().contains("connection refused"));
    }

    #[test]
    fn only_what_counts_for_a_role_is_looked_at() {
        let health = Health::new(&[Condition::Kafka], LIMIT, crate::clock::monotonic());
        health.unmet(Condition::Database, "away");
        assert_eq!(health.readiness().status, Status::Fail);
        health.met(Condition::Kafka);
        assert_eq!(health.readiness().checks.len(), 1);
        assert_eq!(health.readiness().status, Status::Ok);
    }

    #[test]
    fn ready_is_schema_and_database_and_group() {
        let (health, _) = health();
        health.met(Condition::Schema);
        assert_eq!(health.readiness().status, Status::Fail);
        health.met(Condition::Group);
        assert_eq!(health.readiness().status, Status::Ok);
        health.unmet(Condition::Schema, "version 3, want 4");
        let json = serde_json::to_value(health.readiness()).unwrap();
        assert_eq!(json["status"], "fail");
        assert_eq!(json["checks"][0]["name"], "schema");
        assert_eq!(json["checks"][0]["reason"], "version 3, want 4");
        assert_eq!(json["checks"][1], serde_json::json!({"name": "database", "status": "ok"}));
    }
}
