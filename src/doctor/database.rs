//! Whether a collector can work with the database: version, rights, tables, indexes, encoding, pooler.

use std::collections::BTreeMap;

use super::{Finding, clocks, judged, sessions, storage, unit::count};
use crate::{
    config::Config,
    postgres::look::{Facts, Indexes, Missing, WANTED_INDEXES, WantedIndex},
};

pub(super) const REACHABLE: &str = "postgres.reachable";
pub(super) const NOT_REACHED: &str =
    "start it or correct DATABASE_URL; a running collector waits for it and loses nothing";

/// The oldest major version that flowtrail is tested with.
const TESTED_FROM: u32 = 14;
/// The oldest that has what the tables are made of.
const WORKS_FROM: u32 = 11;

/// All findings about the database.
pub(super) fn judge(facts: &Facts, config: &Config) -> Vec<Finding> {
    let settings = &facts.settings;
    let place = |facts: &BTreeMap<String, String>| {
        let (database, user) = (value(facts, "flowtrail.database"), value(facts, "flowtrail.user"));
        Finding::ok(REACHABLE, format!("database {database} answers user {user}"))
    };
    let user =
        settings.as_ref().map_or_else(|_| "USER".to_owned(), |s| value(s, "flowtrail.user").to_owned());
    let mut found = vec![
        judged(REACHABLE, settings, place),
        judged("postgres.version", settings, version),
        judged("postgres.pooler", &facts.keeps_sessions, |keeps| pooler(*keeps)),
        judged("postgres.writable", settings, writable),
        judged("postgres.encoding", settings, encoding),
        judged("postgres.schema", &facts.schema, schema),
        judged("postgres.temp", settings, temp),
    ];
    found.extend(many("postgres.rights", &facts.missing_rights, |missing| rights(missing, &user)));
    let gone = facts.missing_rights.iter().flatten().filter(|missing| missing.rights.is_empty());
    let gone: Vec<&str> = gone.map(|missing| missing.table.as_str()).collect();
    found.extend(many("postgres.indexes", &facts.indexes, |there| indexes(there, &gone)));
    found.extend(sessions::judge(facts, config));
    found.extend(storage::judge(facts));
    found.push(judged("clock.database", &facts.clock, |skew| clocks::database(*skew)));
    found
}

/// As [`judged`], where a thing may have several findings.
pub(super) fn many<T>(
    check: &'static str,
    read: &Result<T, String>,
    judge: impl FnOnce(&T) -> Vec<Finding>,
) -> Vec<Finding> {
    match read {
        Ok(facts) => judge(facts),
        Err(_) => vec![judged(check, read, |_| Finding::ok(check, ""))],
    }
}

/// A setting; empty where the server has none of this name.
pub(super) fn value<'a>(settings: &'a BTreeMap<String, String>, name: &str) -> &'a str {
    settings.get(name).map_or("", String::as_str)
}

fn version(settings: &BTreeMap<String, String>) -> Finding {
    const CHECK: &str = "postgres.version";
    let said = value(settings, "server_version");
    let Some(major) = value(settings, "server_version_num").parse::<u32>().ok().map(|number| number / 10_000)
    else {
        return Finding::skipped(CHECK, format!("the server calls its version \"{said}\""));
    };
    if major < WORKS_FROM {
        let advice = format!("upgrade to Postgres {TESTED_FROM} or newer");
        Finding::fail(CHECK, format!("Postgres {said} lacks what the tables are made of"), advice)
    } else if major < TESTED_FROM {
        let advice = format!("upgrade to Postgres {TESTED_FROM} or newer");
        Finding::warn(
            CHECK,
            format!("Postgres {said} is older than any that flowtrail is tested with"),
            advice,
        )
    } else {
        Finding::ok(CHECK, format!("Postgres {said}"))
    }
}

fn pooler(keeps: bool) -> Finding {
    const CHECK: &str = "postgres.pooler";
    if keeps {
        return Finding::ok(CHECK, "a session stays the same from one transaction to the next");
    }
    Finding::fail(
        CHECK,
        "a pooler in between pools transactions; a lane keeps temp tables and settings in its session",
        "connect to the server itself, or to a pool with pool_mode = session",
    )
}

fn writable(settings: &BTreeMap<String, String>) -> Finding {
    const CHECK: &str = "postgres.writable";
    if value(settings, "flowtrail.in_recovery") == "true" {
        return Finding::fail(
            CHECK,
            "this server is a replica, or is being restored, and takes no writes",
            "name the primary in DATABASE_URL, or several hosts with target_session_attrs=read-write; \
             if the primary is lost, promote this one",
        );
    }
    if value(settings, "default_transaction_read_only") == "on" {
        let advice = "find who set default_transaction_read_only (server, database or user; some services do when \
                      the disk is nearly full) and put it back to off";
        return Finding::fail(CHECK, "transactions are read-only here by default", advice);
    }
    Finding::ok(CHECK, "it takes writes")
}

fn encoding(settings: &BTreeMap<String, String>) -> Finding {
    const CHECK: &str = "postgres.encoding";
    match value(settings, "server_encoding") {
        "UTF8" => Finding::ok(CHECK, "the database's encoding is UTF8"),
        "SQL_ASCII" => Finding::warn(
            CHECK,
            "the database's encoding is SQL_ASCII: text is kept as it came, and its letters are not known to Postgres",
            "move to a database made with ENCODING 'UTF8'",
        ),
        other => Finding::fail(
            CHECK,
            format!(
                "the database's encoding is {other}: events with letters that it lacks become dead letters"
            ),
            "make a database with ENCODING 'UTF8' TEMPLATE template0, and read the topic into it from the beginning",
        ),
    }
}

fn schema(validated: &Result<(), String>) -> Finding {
    const CHECK: &str = "postgres.schema";
    match validated {
        Ok(()) => Finding::ok(CHECK, "the tables are as this flowtrail wants them"),
        Err(why) => Finding::fail(CHECK, why.clone(), "flowtrail schema status shows each change"),
    }
}

fn temp(settings: &BTreeMap<String, String>) -> Finding {
    const CHECK: &str = "postgres.temp";
    if value(settings, "flowtrail.temp") == "true" {
        return Finding::ok(CHECK, "this user may make temp tables");
    }
    let (database, user) = (value(settings, "flowtrail.database"), value(settings, "flowtrail.user"));
    let advice = format!("GRANT TEMP ON DATABASE {database} TO {user}");
    Finding::fail(CHECK, "this user may not make temp tables, and every lane does", advice)
}

fn rights(missing: &[Missing], user: &str) -> Vec<Finding> {
    const CHECK: &str = "postgres.rights";
    if missing.is_empty() {
        return vec![Finding::ok(CHECK, "this user may do all that a collector does")];
    }
    let judge = |table: &Missing| {
        let finding = if table.rights.is_empty() {
            let advice = "run flowtrail schema update; if the table is there, look at USAGE on its schema and at search_path";
            Finding::fail(
                CHECK,
                format!("there is no table {}, or this user does not see it", table.table),
                advice,
            )
        } else {
            let rights = table.rights.join(", ");
            let advice = format!("GRANT {rights} ON {} TO {user}", table.table);
            Finding::fail(CHECK, format!("{user} lacks {rights} on {}", table.table), advice)
        };
        finding.of(&table.table)
    };
    missing.iter().map(judge).collect()
}

fn indexes(there: &Indexes, gone: &[&str]) -> Vec<Finding> {
    const CHECK: &str = "postgres.indexes";
    if there.there.is_empty() {
        return vec![Finding::skipped(CHECK, "there are no tables yet")];
    }
    // Of a table that is not there the index is the least.
    let wanted = WANTED_INDEXES.iter().filter(|wanted| !gone.contains(&wanted.table));
    let found: Vec<Finding> = wanted.filter_map(|wanted| index(wanted, there)).collect();
    if found.is_empty() { vec![Finding::ok(CHECK, "every index is there and in use")] } else { found }
}

/// What is wrong with one index, if anything is.
fn index(wanted: &WantedIndex, there: &Indexes) -> Option<Finding> {
    const CHECK: &str = "postgres.indexes";
    let (table, columns) = (wanted.table, wanted.columns);
    let mut fitting = there.there.iter().filter(|index| wanted.fits(index)).peekable();
    let broken = fitting.peek().map(|index| index.name.as_str());
    if fitting.any(|index| index.valid) {
        return None;
    }
    let statements = there.mending(wanted).join("; ");
    let (said, advice) = if let Some(name) = broken {
        (
            format!("index {name} on {table} ({columns}) is not valid: its making was broken off"),
            format!("{statements}; if that finds a key twice, take one of the rows out first"),
        )
    } else {
        let effect = if wanted.unique {
            "Postgres refuses every batch"
        } else {
            "what looks for these reads the whole table"
        };
        (format!("{table} has no {}: {effect}", wanted.described()), statements)
    };
    let finding =
        if wanted.unique { Finding::fail(CHECK, said, advice) } else { Finding::warn(CHECK, said, advice) };
    Some(finding.of(table))
}

/// `1 session of 100`.
pub(super) fn of_most(used: i64, most: i64) -> String {
    format!("{} of {most}", count(used, "session"))
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;
    use crate::postgres::look::Index;

    fn settings(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn versions_are_judged_by_what_is_tested_and_by_what_works() {
        for (number, verdict) in [
            ("170011", Verdict::Ok),
            ("140001", Verdict::Ok),
            ("130020", Verdict::Warn),
            ("90624", Verdict::Fail),
        ] {
            assert_eq!(version(&settings(&[("server_version_num", number)])).verdict, verdict, "{number}");
        }
        assert_eq!(version(&settings(&[])).verdict, Verdict::Skipped);
    }

    #[test]
    fn read_only_by_default_is_told_from_a_replica() {
        let replica = writable(&settings(&[("flowtrail.in_recovery", "true")]));
        let read_only = writable(&settings(&[("default_transaction_read_only", "on")]));
        assert_eq!((replica.verdict, read_only.verdict), (Verdict::Fail, Verdict::Fail));
        assert!(replica.said.contains("replica") && read_only.said.contains("read-only"));
        assert_eq!(writable(&settings(&[("flowtrail.in_recovery", "false")])).verdict, Verdict::Ok);
    }

    fn index(table: &str, columns: &str, unique: bool, valid: bool) -> Index {
        let name = format!("{table}_{}", columns.len());
        let (table, columns) = (table.into(), columns.into());
        Index { name, table, columns, rows: None, unique, valid, part_of: None }
    }

    #[test]
    fn an_index_that_is_not_unique_or_not_valid_does_not_do() {
        let of = |there: &[Index]| {
            super::index(&unique_steps(), &Indexes { there: there.to_vec(), ..Indexes::default() })
        };
        assert_eq!(of(&[index("steps", "flowinstanceid, stepid", true, true)]), None);
        let plain = of(&[index("steps", "flowinstanceid, stepid", false, true)]).unwrap();
        assert!(plain.verdict == Verdict::Fail && plain.advice.unwrap().starts_with("CREATE UNIQUE INDEX"));
        let broken = of(&[index("steps", "flowinstanceid, stepid", true, false)]).unwrap();
        assert!(broken.verdict == Verdict::Fail && broken.advice.unwrap().starts_with("REINDEX"));
        // An old one that does is enough, whatever lies beside it.
        let both = [
            index("steps", "flowinstanceid, stepid", true, false),
            index("steps", "flowinstanceid, stepid", true, true),
        ];
        assert_eq!(of(&both), None);
    }

    fn unique_steps() -> WantedIndex {
        WantedIndex { table: "steps", columns: "flowinstanceid, stepid", rows: None, unique: true }
    }
}
