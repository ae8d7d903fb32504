//! The jar, built once with its tests by the first test that needs it, and the class paths of engines.

use std::{
    env, fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

/// Engine versions that the jar is for, with the version of what they log by: the oldest is compiled against.
pub const ENGINES: [(&str, &str); 3] = [("6.8.1", "1.7.36"), ("7.2.0", "2.0.17"), ("8.0.0", "2.0.17")];

/// What is on the class path of an engine beside what the jar brings itself.
const NOT_OF_THE_JAR: &str = "-Dmdep.excludeGroupIds=org.apache.kafka,com.google.protobuf,org.junit.jupiter";

/// Where the jar's source is.
pub fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("connectors/flowable")
}

/// The Spring Boot app.
pub fn boot() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/flowable/boot")
}

/// The jar; none if this machine has no Maven, no JDK, or none of the artifacts. Blocks while it is built.
pub fn jar() -> Option<&'static Path> {
    static JAR: OnceLock<Option<PathBuf>> = OnceLock::new();
    JAR.get_or_init(|| match fetched() {
        Ok(()) => Some(built()),
        Err(reason) if env::var("CI").is_ok_and(|ci| ci == "true") => panic!("{reason}"),
        Err(reason) => {
            // Past the capture of a test's output: that of a test that passes is not shown.
            let _ = writeln!(io::stderr(), "SKIPPED: there is no jar for Flowable: {reason}");
            None
        }
    })
    .as_deref()
}

/// The class path of an engine with the driver.
pub fn class_path(engine: &str) -> String {
    joined(&[jar().unwrap().to_owned(), source().join("target/test-classes")], &listed(engine))
}

/// The class path of the Spring Boot app.
pub fn boot_class_path() -> String {
    joined(&[jar().unwrap().to_owned(), boot().join("target/classes")], &boot().join("target/classpath"))
}

fn joined(first: &[PathBuf], more: &Path) -> String {
    let mut path: Vec<_> = first.iter().map(|entry| entry.to_str().unwrap().to_owned()).collect();
    path.push(fs::read_to_string(more).unwrap().trim().to_owned());
    path.join(":")
}

fn listed(engine: &str) -> PathBuf {
    source().join(format!("target/classpath-{engine}"))
}

/// Has everything fetched that is not there, and class paths written down.
fn fetched() -> Result<(), String> {
    for (engine, slf4j) in ENGINES {
        let output = format!("-Dmdep.outputFile={}", listed(engine).display());
        let (engine, slf4j) = (format!("-Dflowable.version={engine}"), format!("-Dslf4j.version={slf4j}"));
        maven(&source(), &["dependency:build-classpath", NOT_OF_THE_JAR, &output, &engine, &slf4j])?;
    }
    let output = format!("-Dmdep.outputFile={}", boot().join("target/classpath").display());
    maven(&boot(), &["dependency:build-classpath", &output])
}

fn built() -> PathBuf {
    maven(&source(), &["package"]).unwrap_or_else(|error| panic!("the jar: {error}"));
    maven(&boot(), &["compile"]).unwrap_or_else(|error| panic!("the app: {error}"));
    let built = fs::read_dir(source().join("target")).unwrap().map(|entry| entry.unwrap().path());
    let is_jar = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap();
        name.starts_with("flowtrail-flowable-")
            && path.extension().is_some_and(|extension| extension == "jar")
    };
    built.into_iter().find(is_jar).expect("Maven has built no jar")
}

/// Runs Maven in a folder; what it says if it fails.
pub fn maven(folder: &Path, arguments: &[&str]) -> Result<(), String> {
    let run = Command::new("mvn").args(["-q", "-B"]).args(arguments).current_dir(folder).output();
    let ran = run.map_err(|error| format!("mvn: {error}"))?;
    if ran.status.success() {
        return Ok(());
    }
    Err(format!(
        "mvn {arguments:?}: {}{}",
        String::from_utf8_lossy(&ran.stdout),
        String::from_utf8_lossy(&ran.stderr)
    ))
}
