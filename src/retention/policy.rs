//! Which flows go, and from when on. Pure.
//!
//! Of a flow the first policy that it is under decides, whatever its age: a policy for failures before one for the rest
//! keeps failures longer than the rest.

use sha2::{Digest as _, Sha256};

use crate::{
    config::{RetentionPolicy, Share},
    model::Micros,
    redaction::glob::{self, Glob},
};

/// Why there are no policies to work with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("policy {number}: {why}")]
pub struct PolicyError {
    /// Which policy, counted from 1.
    pub number: usize,
    /// What is wrong, and what would be right.
    pub why: String,
}

/// Policies, ready to be applied.
#[derive(Debug)]
pub struct Policies(Vec<Policy>);

#[derive(Debug)]
struct Policy {
    name: String,
    /// `None`: every app.
    app: Option<Glob>,
    /// `None`: every flow.
    flow: Option<Glob>,
    /// Without regard to case; none: every status.
    statuses: Vec<String>,
    unfinished: bool,
    /// In µs.
    age: i64,
    /// In µs.
    payloads_after: Option<i64>,
    /// Flows whose share, of 2³², lies below this are not under it.
    keeps_below: u64,
}

/// What is to become of a flow by now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It stays as it is.
    Stays,
    /// Its payloads go, its rows stay.
    LosesPayloads,
    /// It goes with all that is its.
    Goes,
}

/// What policies go by, beside the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Traits<'a> {
    /// Its id.
    pub id: &'a str,
    /// App, if it is known.
    pub app: Option<&'a str>,
    /// Flow name, if it is known.
    pub flow: Option<&'a str>,
    /// The runtime's word for the status.
    pub status: Option<&'a str>,
    /// The shown run has ended.
    pub finished: bool,
}

/// What a policy says now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cutoff {
    /// Name of the policy.
    pub policy: String,
    /// Its flows that started before this go.
    pub started_before: Micros,
}

impl Policies {
    /// The policies of a configuration, in its order.
    pub fn compile(policies: &[RetentionPolicy]) -> Result<Self, PolicyError> {
        let compiled = policies
            .iter()
            .zip(1..)
            .map(|(policy, number)| Policy::compile(policy).map_err(|why| PolicyError { number, why }));
        Ok(Self(compiled.collect::<Result<_, _>>()?))
    }

    /// Whether nothing ever goes.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The place of the policy that a flow is under, and what is to become of it by now. A flow is under none if none is for
    /// its app, name and status, or if it has not ended and none is for such.
    pub fn judge(&self, flow: &Traits<'_>, started: Micros, now: Micros) -> Option<(usize, Fate)> {
        let (place, policy) = self.policy_of(flow)?;
        let is_before = |cutoff: Option<Micros>| cutoff.is_some_and(|cutoff| started < cutoff);
        let fate = if is_before(Some(policy.started_before(now))) {
            Fate::Goes
        } else if is_before(policy.payloads_before(now)) {
            Fate::LosesPayloads
        } else {
            Fate::Stays
        };
        Some((place, fate))
    }

    /// What is to become of a flow as soon as it has ended.
    pub fn fate_at_once(&self, flow: &Traits<'_>) -> Fate {
        match self.policy_of(flow) {
            Some((_, Policy { age: 0, .. })) => Fate::Goes,
            Some((_, Policy { payloads_after: Some(0), .. })) => Fate::LosesPayloads,
            _ => Fate::Stays,
        }
    }

    /// Whether any flow goes, or loses its payloads, as soon as it has ended.
    pub fn take_at_once(&self) -> bool {
        self.0.iter().any(|policy| policy.age == 0 || policy.payloads_after == Some(0))
    }

    fn policy_of(&self, flow: &Traits<'_>) -> Option<(usize, &Policy)> {
        let [app, name, status] = [flow.app, flow.flow, flow.status].map(|text| text.map(glob::lower));
        let mut share = None;
        self.0.iter().enumerate().find(|(_, policy)| {
            policy.is_for(flow.finished, app.as_deref(), name.as_deref(), status.as_deref())
                && (policy.keeps_below == 0
                    || *share.get_or_insert_with(|| share_of(flow.id)) >= policy.keeps_below)
        })
    }

    /// What each policy says now, in their order.
    pub fn cutoffs(&self, now: Micros) -> Vec<Cutoff> {
        let cutoff = |policy: &Policy| Cutoff {
            policy: policy.name.clone(),
            started_before: policy.started_before(now),
        };
        self.0.iter().map(cutoff).collect()
    }

    /// Flows that started at this time or later all stay; nothing where there are no policies.
    pub fn latest_cutoff(&self, now: Micros) -> Option<Micros> {
        self.0.iter().map(|policy| policy.started_before(now)).max()
    }

    /// Flows that started at this time or later all keep their payloads, unless they go; nothing where no policy takes
    /// payloads alone.
    pub fn latest_payload_cutoff(&self, now: Micros) -> Option<Micros> {
        self.0.iter().filter_map(|policy| policy.payloads_before(now)).max()
    }

    /// Names of the policies, in their order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|policy| policy.name.as_str())
    }
}

impl Policy {
    fn compile(policy: &RetentionPolicy) -> Result<Self, String> {
        let pattern = |pattern: &str| if pattern == "*" { Ok(None) } else { Glob::new(pattern).map(Some) };
        let bounded = |micros: u128| i64::try_from(micros).unwrap_or(i64::MAX);
        Ok(Self {
            name: policy.name.clone(),
            app: pattern(&policy.app).map_err(|why| format!("app: {why}"))?,
            flow: pattern(&policy.flow).map_err(|why| format!("flow: {why}"))?,
            statuses: policy.statuses.iter().map(|status| glob::lower(status)).collect(),
            unfinished: policy.unfinished,
            age: bounded(policy.age.as_micros()),
            payloads_after: policy.payloads_after.map(|after| bounded(after.as_micros())),
            keeps_below: policy.keep.map_or(0, Share::of_all),
        })
    }

    /// Texts come in lower case. One that is not known is met by no pattern but `*`.
    fn is_for(&self, finished: bool, app: Option<&str>, flow: Option<&str>, status: Option<&str>) -> bool {
        let meets = |pattern: &Option<Glob>, text: Option<&str>| {
            pattern.as_ref().is_none_or(|pattern| text.is_some_and(|text| pattern.matches(text)))
        };
        let is_listed = |status: &str| self.statuses.iter().any(|listed| listed == status);
        (finished || self.unfinished)
            && meets(&self.app, app)
            && meets(&self.flow, flow)
            && (self.statuses.is_empty() || status.is_some_and(is_listed))
    }

    fn started_before(&self, now: Micros) -> Micros {
        before(now, self.age)
    }

    fn payloads_before(&self, now: Micros) -> Option<Micros> {
        self.payloads_after.map(|after| before(now, after))
    }
}

/// Where a flow stands among all, of 2³²: the first four bytes of its id's SHA-256. So a sample is the same everywhere, and can
/// be told in SQL.
fn share_of(id: &str) -> u64 {
    let [a, b, c, d, ..] = Sha256::digest(id).0;
    u32::from_be_bytes([a, b, c, d]).into()
}

/// So many µs ago; the first of all times where that would be before it.
fn before(now: Micros, ago: i64) -> Micros {
    now.get().checked_sub(ago).and_then(Micros::new).unwrap_or(Micros::FIRST)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Environment, Flags, load};

    const DAY: i64 = 86_400_000_000;
    const NOW: i64 = 1_000 * DAY;

    fn policies(json: &str) -> Policies {
        let environment: Environment =
            [("FLOWTRAIL_RETENTION__POLICIES".into(), json.into())].into_iter().collect();
        let loaded = load(&Flags::default(), &environment, std::path::Path::new("/nowhere")).unwrap();
        Policies::compile(&loaded.config.retention.policies).unwrap()
    }

    fn judged(policies: &Policies, flow: &Traits<'_>, days_ago: i64) -> Option<(usize, Fate)> {
        policies.judge(flow, Micros::new(NOW - days_ago * DAY).unwrap(), Micros::new(NOW).unwrap())
    }

    const FAILED: Traits<'static> =
        Traits { id: "a", app: Some("Shop-1"), flow: Some("pay"), status: Some("Failed"), finished: true };

    #[test]
    fn the_first_policy_that_a_flow_is_under_decides_whatever_its_age() {
        let policies = policies(
            r#"[{"name":"failures","statuses":["failed","CANCELLED"],"age":"90d"},{"name":"rest","age":"14d"}]"#,
        );
        let completed = Traits { status: Some("Completed"), ..FAILED };
        for (flow, days, wanted) in [
            (FAILED, 91, Some((0, Fate::Goes))),
            // Under the second it would go.
            (FAILED, 90, Some((0, Fate::Stays))),
            (Traits { status: Some("Cancelled"), ..FAILED }, 15, Some((0, Fate::Stays))),
            (completed, 15, Some((1, Fate::Goes))),
            (completed, 14, Some((1, Fate::Stays))),
            (Traits { status: None, ..FAILED }, 15, Some((1, Fate::Goes))),
            (Traits { finished: false, ..completed }, 900, None),
        ] {
            assert_eq!(judged(&policies, &flow, days), wanted, "{flow:?} {days}");
        }
    }

    #[test]
    fn a_pattern_meets_what_is_known_and_a_star_all() {
        let policies = policies(
            r#"[{"name":"shop","app":"shop-*","flow":"PAY","age":"1d"},{"name":"all","age":"1d","unfinished":true}]"#,
        );
        assert_eq!(judged(&policies, &FAILED, 2), Some((0, Fate::Goes)));
        for other in [
            Traits { app: None, ..FAILED },
            Traits { flow: None, ..FAILED },
            Traits { flow: Some("pays"), ..FAILED },
            Traits { app: Some("myshop-1"), ..FAILED },
            Traits { finished: false, ..FAILED },
        ] {
            assert_eq!(judged(&policies, &other, 2), Some((1, Fate::Goes)), "{other:?}");
        }
    }

    #[test]
    fn payloads_go_before_their_flows_and_with_those_that_go() {
        let policies = policies(r#"[{"name":"all","age":"14d","payloads_after":"2d"}]"#);
        for (days, fate) in
            [(2, Fate::Stays), (3, Fate::LosesPayloads), (14, Fate::LosesPayloads), (15, Fate::Goes)]
        {
            assert_eq!(judged(&policies, &FAILED, days), Some((0, fate)), "{days}");
        }
        let now = Micros::new(NOW).unwrap();
        assert_eq!(policies.latest_payload_cutoff(now), Micros::new(NOW - 2 * DAY));
    }

    #[test]
    fn a_cut_off_before_all_times_removes_nothing() {
        let policies = policies(r#"[{"name":"long","age":"9999999999999999s"}]"#);
        let now = Micros::new(NOW).unwrap();
        assert_eq!(policies.cutoffs(now)[0].started_before, Micros::FIRST);
        assert_eq!(judged(&policies, &FAILED, 900), Some((0, Fate::Stays)));
    }
}
