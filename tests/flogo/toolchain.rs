//! The app as a program: built once, by the first test that needs it.

use std::{
    env,
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use flowtrail::dev;

/// The app's source, which is also where it runs: it reads `flogo.json` there.
pub fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/flogo/app")
}

/// The app's program; none if this machine has no Go and none can be had. Blocks while it is built.
pub fn app() -> Option<&'static Path> {
    static APP: OnceLock<Option<PathBuf>> = OnceLock::new();
    APP.get_or_init(|| match dev::go() {
        Ok(go) => Some(build(&go)),
        Err(reason) if env::var("CI").is_ok_and(|ci| ci == "true") => panic!("{reason}"),
        Err(reason) => {
            // Past the capture of a test's output: that of a test that passes is not shown.
            let _ = writeln!(io::stderr(), "SKIPPED: no Flogo app without Go: {reason}");
            None
        }
    })
    .as_deref()
}

fn build(go: &Path) -> PathBuf {
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join("flogo-app");
    let mut command = Command::new(go);
    // A Go that is found is used as it is, and modules are those that go.sum names.
    command.env("GOTOOLCHAIN", "local").env("GOFLAGS", "-mod=readonly").env_remove("GOROOT");
    let built = command
        .args(["build", "-buildvcs=false", "-o"])
        .arg(&program)
        .arg(".")
        .current_dir(source())
        .output()
        .unwrap();
    assert!(built.status.success(), "the app is not built:\n{}", String::from_utf8_lossy(&built.stderr));
    program
}
