//! `postgres.max_sessions`: what a collector and a server together may take of the database.

use super::{
    error::{Origin, Problem},
    load::Loaded,
};

/// A collector's sessions beside its lanes: one for stored offsets, and two more for moments when it starts.
const BESIDE_LANES: usize = 3;

/// What one collector or one server takes at least.
const LEAST: usize = 1 + BESIDE_LANES;

/// The least that a limit for both may be.
pub const LEAST_SESSIONS: usize = 2 * LEAST;

const KEY: &str = "postgres.max_sessions";

/// The most sessions that a collector with so many lanes has at a time.
pub(super) fn of_collector(lanes: usize) -> usize {
    lanes.saturating_add(BESIDE_LANES)
}

/// Gives each of the two one half, and lowers what is configured beyond it. 0 is no limit.
pub(super) fn bound(loaded: &mut Loaded) -> Result<(), Problem> {
    let most = loaded.config.postgres.max_sessions;
    if most == 0 {
        return Ok(());
    }
    let half = most / 2;
    if half < LEAST {
        let message = format!(
            "{most} sessions are too few: want {LEAST_SESSIONS} or more, or 0 for no limit; a collector takes {LEAST}, and half \
             of them are the server's"
        );
        return Err(Problem { key: KEY.to_owned(), message, origin: loaded.origin(KEY).clone() });
    }
    let lanes = lower(&mut loaded.config.collector.lanes, half - BESIDE_LANES);
    let sessions = lower(&mut loaded.config.gateway.sessions, half);
    for (key, was) in [("collector.lanes", lanes), ("gateway.sessions", sessions)] {
        if let Some(was) = was {
            let before = Box::new(loaded.origin(key).clone());
            loaded.origins.insert(key.to_owned(), Origin::Lowered { was, before, by: KEY });
        }
    }
    Ok(())
}

/// Says what it was, if it was more.
fn lower(count: &mut usize, most: usize) -> Option<usize> {
    (*count > most).then(|| std::mem::replace(count, most))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::{Environment, Flags, load};
    use super::*;

    fn loaded(most: &str, lanes: &str) -> Result<Loaded, String> {
        let environment: Environment = [
            ("FLOWTRAIL_POSTGRES__MAX_SESSIONS", most),
            ("FLOWTRAIL_COLLECTOR__LANES", lanes),
            ("FLOWTRAIL_GATEWAY__SESSIONS", "20"),
        ]
        .map(|(name, value)| (name.into(), value.into()))
        .into();
        load(&Flags::default(), &environment, Path::new("/nowhere")).map_err(|error| error.to_string())
    }

    #[test]
    fn collector_and_server_together_stay_within_the_limit() {
        for most in 8..120_usize {
            for lanes in ["1", "2", "64"] {
                let config = loaded(&most.to_string(), lanes).unwrap().config;
                let (collector, server) = (config.collector.sessions(), config.gateway.sessions);
                assert!(collector <= most / 2 && server <= most / 2, "{most}: {collector} and {server}");
                assert!(config.collector.lanes >= 1 && server >= 1);
            }
        }
    }

    #[test]
    fn what_fits_stays_and_what_is_lowered_says_so() {
        let fits = loaded("50", "4").unwrap();
        assert_eq!((fits.config.collector.lanes, fits.config.gateway.sessions), (4, 20));
        let lowered = loaded("10", "4").unwrap();
        assert_eq!((lowered.config.collector.lanes, lowered.config.gateway.sessions), (2, 5));
        assert_eq!(
            lowered.origin("collector.lanes").to_string(),
            "environment FLOWTRAIL_COLLECTOR__LANES, lowered from 4 by postgres.max_sessions"
        );
        let without = loaded("0", "64").unwrap();
        assert_eq!((without.config.collector.lanes, without.config.gateway.sessions), (64, 20));
    }

    #[test]
    fn fewer_than_both_need_are_refused() {
        for few in ["1", "7"] {
            let error = loaded(few, "1").unwrap_err();
            assert!(error.contains("MAX_SESSIONS") && error.contains("want 8 or more"), "{error}");
        }
    }
}
