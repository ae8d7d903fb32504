//! What a crate wall would hold, were there more than one crate.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::{
    fs,
    path::{Path, PathBuf},
};

fn sources(below: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(below)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                found.push((path, text));
            }
        }
    }
    assert!(!found.is_empty(), "nothing below {below}");
    found
}

/// Text before the tests of a file.
fn code(text: &str) -> &str {
    text.split("#[cfg(test)]").next().unwrap_or(text)
}

#[test]
fn the_pure_modules_know_no_runtime_no_kafka_client_and_no_database_driver() {
    let pure = [
        "api/compare/",
        "api/histogram.rs",
        "api/stats/",
        "api/timeline/",
        "export.rs",
        "model",
        "pipeline/decode",
        "pipeline/merge",
        "pipeline/group.rs",
        "pipeline/letter.rs",
        "pipeline/watermark.rs",
        "flogo",
        "flowable",
        "redaction",
        "retention/policy.rs",
        "retention/archive/event.rs",
    ];
    for (path, text) in sources("src") {
        let name = path.strip_prefix(concat!(env!("CARGO_MANIFEST_DIR"), "/src/")).unwrap().to_str().unwrap();
        if !pure.iter().any(|module| name.starts_with(module)) {
            continue;
        }
        for forbidden in ["tokio", "rdkafka", "tokio_postgres", "std::fs", "std::net", "std::time"] {
            assert!(!code(&text).contains(forbidden), "{name} is to be pure and names {forbidden}");
        }
    }
}

#[test]
fn what_the_doctor_judges_by_is_read_elsewhere() {
    for (path, text) in sources("src/doctor") {
        for forbidden in ["tokio", "rdkafka::", "tokio_postgres", "std::fs", "std::net", "clock::"] {
            let name = path.display();
            assert!(
                !code(&text).contains(forbidden),
                "{name} is a function of what was read and names {forbidden}"
            );
        }
    }
}

#[test]
fn sql_is_written_in_postgres_and_schema_only() {
    for (path, text) in sources("src") {
        let name = path.to_str().unwrap();
        if name.contains("/src/postgres") || name.contains("/src/schema") {
            continue;
        }
        for statement in
            ["\"SELECT ", "\"INSERT INTO", "\"UPDATE ", "\"DELETE FROM", "\"CREATE TABLE", "COPY "]
        {
            assert!(!code(&text).contains(statement), "{name} holds SQL: {statement}");
        }
    }
}

/// Lines that a person at night may have to act on have names that stay, and are explained.
#[test]
fn every_line_that_a_collector_logs_has_a_name_that_the_operators_guide_explains() {
    let guide = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/operations.md")).unwrap();
    let mut names: Vec<String> = Vec::new();
    for (path, text) in sources("src") {
        let path = path.to_str().unwrap();
        // What a person watches while it runs.
        if path.contains("/dev") || path.contains("/publish") {
            continue;
        }
        for level in ["info!(", "warn!(", "error!("] {
            for (_, rest) in code(&text).match_indices(level).map(|(at, _)| code(&text).split_at(at)) {
                let line = rest.split_once(level).unwrap().1.trim_start();
                let name = line.strip_prefix("event = \"").and_then(|rest| rest.split_once('"'));
                let name = name.unwrap_or_else(|| panic!("{path}: a line without a name: {line:.60}")).0;
                assert!(
                    guide.contains(&format!("| `{name}` |")),
                    "docs/operations.md does not explain {name}"
                );
                names.push(name.to_owned());
            }
        }
    }
    let count = names.len();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), count, "a name is used twice");
    let explained = guide.lines().filter(|line| line.starts_with("| `") && line.matches('|').count() == 5);
    // One of them is the heading.
    assert_eq!(explained.count(), count + 1, "docs/operations.md explains a line that nobody logs");
}

#[test]
fn the_oracle_of_the_faults_shares_nothing_with_what_it_judges() {
    let python = ["model", "oracle", "rules", "tables", "wire"];
    let standard = [
        "collections",
        "datetime",
        "decimal",
        "hashlib",
        "json",
        "marshal",
        "os",
        "pathlib",
        "re",
        "struct",
        "sys",
        "traceback",
        "zlib",
    ];
    for folder in ["tests/faults/oracle", "tests/law"] {
        for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_none_or(|extension| extension != "py") {
                continue;
            }
            for line in fs::read_to_string(&path).unwrap().lines().map(str::trim) {
                let imported = line.strip_prefix("import ").or_else(|| line.strip_prefix("from "));
                let Some(imported) =
                    imported.filter(|_| line.starts_with("import ") || line.contains(" import "))
                else {
                    continue;
                };
                let names = imported.split(" import ").next().unwrap_or(imported);
                for name in names.split(", ").map(|name| name.split_whitespace().next().unwrap_or(name)) {
                    let known = python.contains(&name) || standard.contains(&name);
                    assert!(known, "{} imports {name}", path.display());
                }
            }
        }
    }
    for (path, text) in sources("tests/faults") {
        if path.ends_with("oracle.rs") {
            assert!(!text.contains("flowtrail::"), "{} uses what it judges", path.display());
        }
    }
}

#[test]
fn a_file_that_grows_past_500_lines_is_taken_apart() {
    for folder in ["src", "tests", "fuzz/bodies"] {
        for (path, text) in sources(folder) {
            let lines = text.lines().count();
            assert!(lines <= 500, "{} has {lines} lines", path.display());
        }
    }
}
