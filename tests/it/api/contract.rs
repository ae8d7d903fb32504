//! The contract for programs: held by a file, and explored by a program that made none of it.

use std::{path::Path, process::Stdio};

use serde_json::Value;
use tokio::process::Command;

use super::Serving;

/// Where the contract lies.
const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/openapi.json");

/// A change of the contract is seen where it is made. `UPDATE_OPENAPI=1` writes it.
#[test]
fn the_contract_is_the_one_that_is_written_down() {
    let mut now = serde_json::to_value(flowtrail::api::document()).unwrap();
    // It is the program's, and changes with each.
    now["info"]["version"] = Value::from("1");
    let now = format!("{}\n", serde_json::to_string_pretty(&now).unwrap());
    if std::env::var_os("UPDATE_OPENAPI").is_some() {
        std::fs::write(FILE, &now).unwrap();
    }
    let written = std::fs::read_to_string(FILE).unwrap();
    assert!(
        written == now,
        "docs/openapi.json differs from the code: look at what UPDATE_OPENAPI=1 makes of it"
    );
}

/// Programs that are made of the contract name their functions so.
#[test]
fn every_operation_has_a_name_of_its_own() {
    let document = serde_json::to_value(flowtrail::api::document()).unwrap();
    let operations = document["paths"].as_object().unwrap().values();
    let operations = operations.flat_map(|path| path.as_object().unwrap().values());
    let mut names: Vec<_> = operations.map(|operation| operation["operationId"].as_str().unwrap()).collect();
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count, "{names:?}");
}

/// Every path of the contract is explained.
#[test]
fn the_guide_names_every_path() {
    let guide = std::fs::read_to_string(Path::new(FILE).with_file_name("api.md")).unwrap();
    let document = serde_json::to_value(flowtrail::api::document()).unwrap();
    for path in document["paths"].as_object().unwrap().keys() {
        let short = path.strip_prefix("/api/v1").unwrap();
        assert!(guide.contains(&format!("{short}`")), "docs/api.md does not name {short}");
    }
}

/// Thousands of questions that nobody would think of, none of which the server fails at.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_question_makes_the_server_fail() {
    let Some(program) = std::env::var_os("IT_SCHEMATHESIS") else {
        assert!(std::env::var_os("CI").is_none(), "IT_SCHEMATHESIS does not name the program");
        println!("IT_SCHEMATHESIS names no program to explore the API with");
        return;
    };
    let serving = Serving::recorded("recorded.jsonl").await;
    let contract = format!("http://{}/api/v1/openapi.json", serving.process.address);
    let mut command = Command::new(program);
    command.args(["run", &contract, "--checks", "not_a_server_error", "--max-time", "45", "--workers", "2"]);
    // Its answer never ends.
    command.args([
        "--exclude-path",
        "/api/v1/events",
        "--phases",
        "examples,coverage,fuzzing",
        "--seed",
        "1",
    ]);
    command.args(["--suppress-health-check", "all", "--no-color"]).current_dir(env!("CARGO_TARGET_TMPDIR"));
    let ran = command.stdin(Stdio::null()).kill_on_drop(true).output().await.unwrap();
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success(), "{said}\n{}", String::from_utf8_lossy(&ran.stderr));
}
