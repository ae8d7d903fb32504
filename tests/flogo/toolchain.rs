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

/// The app's program; none if this machine has no Go or no modules and they can't be had. Blocks while it is built.
pub fn app() -> Option<&'static Path> {
    static APP: OnceLock<Option<PathBuf>> = OnceLock::new();
    APP.get_or_init(|| match go_with_modules() {
        Ok(go) => Some(build(&go)),
        Err(reason) if env::var("CI").is_ok_and(|ci| ci == "true") => panic!("{reason}"),
        Err(reason) => {
            // Past the capture of a test's output: that of a test that passes is not shown.
            let _ = writeln!(io::stderr(), "SKIPPED: there is no Flogo app: {reason}");
            None
        }
    })
    .as_deref()
}

/// A Go that has the modules of `go.sum`, or why there is none.
fn go_with_modules() -> Result<PathBuf, String> {
    let go = dev::go().map_err(|error| error.to_string())?;
    let fetched = command(&go).args(["mod", "download"]).output().unwrap();
    if !fetched.status.success() {
        return Err(format!("its modules can't be fetched: {}", String::from_utf8_lossy(&fetched.stderr)));
    }
    Ok(go)
}

fn build(go: &Path) -> PathBuf {
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join("flogo-app");
    let built = command(go).args(["build", "-buildvcs=false", "-o"]).arg(&program).arg(".").output().unwrap();
    assert!(built.status.success(), "the app is not built:\n{}", String::from_utf8_lossy(&built.stderr));
    program
}

/// Go in the app's folder. It is used as it is, and changes nothing there.
fn command(go: &Path) -> Command {
    let mut command = Command::new(go);
    command.env("GOTOOLCHAIN", "local").env("GOFLAGS", "-mod=readonly").env_remove("GOROOT");
    command.current_dir(source());
    command
}
