//! Flows that are to be erased, in the files of the archive.
//!
//! A file is written anew beside the old one without the lines of these flows, synced, and put in its place; one that would
//! be empty goes. The lines of others stay as they are, byte for byte.

use std::{
    collections::HashSet,
    fs::{self, File},
    io::{self, BufRead as _, BufReader, BufWriter, Write as _},
    path::{Path, PathBuf},
};

use flate2::{Compression, bufread::MultiGzDecoder, write::GzEncoder};

use super::super::RetentionError;
use crate::{
    proto::v1::{HistoryEvent, history_event::Event},
    publish,
};

/// Ends of names of files that hold flows.
const ARCHIVED: &str = ".ndjson.gz";

/// End of the name of a file that is to take another's place.
const ANEW: &str = ".erasing";

/// What an archive holds of flows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Archived {
    /// Files that hold any line of theirs.
    pub(super) files: Vec<PathBuf>,
    /// How many lines those are: each is an event.
    pub(super) events: u64,
    /// Files that whoever wrote them did not finish. Nobody reads them.
    pub(super) unfinished: u64,
}

/// Flows that have a run of a user, by the archive below a folder. A folder that is not there holds nothing.
pub(super) fn of_user(folder: &Path, user: &str) -> Result<HashSet<String>, RetentionError> {
    let mut flows = HashSet::new();
    for file in Listed::below(folder)?.archived {
        each_line(&file, |_, event| {
            if let Some(Event::Flow(run)) = &event.event
                && run.user_id == user
            {
                flows.insert(run.flow_instance_id.clone());
            }
            Ok(())
        })?;
    }
    Ok(flows)
}

/// What the archive below a folder holds of flows. A folder that is not there holds nothing.
pub(super) fn of_flows(folder: &Path, flows: &HashSet<String>) -> Result<Archived, RetentionError> {
    let listed = Listed::below(folder)?;
    let mut found = Archived { unfinished: listed.unfinished, ..Archived::default() };
    for file in listed.archived {
        let mut lines = 0;
        each_line(&file, |_, event| {
            lines += u64::from(flows.contains(&publish::key(event)));
            Ok(())
        })?;
        if lines > 0 {
            found.events += lines;
            found.files.push(file);
        }
    }
    Ok(found)
}

/// Takes the lines of flows out of a file, and says how many those were. It is whole at every moment, with them or without.
pub(super) fn take_out(path: &Path, flows: &HashSet<String>) -> Result<u64, RetentionError> {
    let mut name = path.as_os_str().to_owned();
    name.push(ANEW);
    let anew = PathBuf::from(name);
    // What a killed one left is written over.
    let file = File::create(&anew).map_err(failed(&anew))?;
    let mut file = BufWriter::new(GzEncoder::new(file, Compression::default()));
    let (mut kept, mut gone) = (0_u64, 0);
    each_line(path, |line, event| {
        if flows.contains(&publish::key(event)) {
            gone += 1;
            return Ok(());
        }
        kept += 1;
        file.write_all(line)
    })?;
    let folder = path.parent().unwrap_or(Path::new("."));
    let finished = || -> io::Result<()> {
        file.into_inner().map_err(io::IntoInnerError::into_error)?.finish()?.sync_all()?;
        if kept == 0 {
            fs::remove_file(&anew)?;
            fs::remove_file(path)?;
        } else {
            fs::rename(&anew, path)?;
        }
        File::open(folder)?.sync_all()
    };
    finished().map_err(failed(path)).map(|()| gone)
}

/// Files of an archive.
#[derive(Debug, Default)]
struct Listed {
    /// In the order of their names.
    archived: Vec<PathBuf>,
    unfinished: u64,
}

impl Listed {
    /// An archive has a folder for each day, and files in that.
    fn below(folder: &Path) -> Result<Self, RetentionError> {
        let mut listed = Self::default();
        for day in entries(folder)? {
            if !day.is_dir() {
                continue;
            }
            for file in entries(&day)? {
                let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
                listed.unfinished += u64::from(name.ends_with(".partial"));
                if name.ends_with(ARCHIVED) {
                    listed.archived.push(file);
                }
            }
        }
        Ok(listed)
    }
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, RetentionError> {
    let listed = match fs::read_dir(folder) {
        Ok(entries) => entries.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<Vec<_>>>(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => Err(error),
    };
    let mut listed = listed.map_err(failed(folder))?;
    listed.sort_unstable();
    Ok(listed)
}

/// Reads a file line by line; a line comes with its end.
fn each_line(
    path: &Path,
    mut see: impl FnMut(&[u8], &HistoryEvent) -> io::Result<()>,
) -> Result<(), RetentionError> {
    let mut read = || -> io::Result<()> {
        let mut lines = BufReader::new(MultiGzDecoder::new(BufReader::new(File::open(path)?)));
        let mut line = Vec::new();
        while lines.read_until(b'\n', &mut line)? > 0 {
            see(&line, &serde_json::from_slice(&line)?)?;
            line.clear();
        }
        Ok(())
    };
    read().map_err(failed(path))
}

fn failed(path: &Path) -> impl Fn(io::Error) -> RetentionError {
    |source| RetentionError::Archived { path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(flow: &str, user: &str) -> String {
        // Spaced by hand: what stays is to stay as it was written.
        format!("{{ \"flow\": {{\"flowInstanceId\":\"{flow}\", \"userId\": \"{user}\"}} }}\n")
    }

    fn write(path: &Path, lines: &str) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mut file = GzEncoder::new(File::create(path).unwrap(), Compression::fast());
        file.write_all(lines.as_bytes()).unwrap();
        file.finish().unwrap();
    }

    fn read(path: &Path) -> String {
        let mut text = String::new();
        io::Read::read_to_string(
            &mut MultiGzDecoder::new(BufReader::new(File::open(path).unwrap())),
            &mut text,
        )
        .unwrap();
        text
    }

    #[test]
    fn lines_of_others_stay_byte_for_byte_and_a_file_of_nobody_else_goes() {
        let folder = tempfile::tempdir().unwrap();
        let [both, only, other] =
            ["2026-01-01/a.ndjson.gz", "2026-01-01/b.ndjson.gz", "2026-01-02/c.ndjson.gz"]
                .map(|name| folder.path().join(name));
        write(&both, &(line("goes", "ann") + &line("stays", "bob") + &line("goes", "")));
        write(&only, &line("goes", "ann"));
        write(&other, &line("stays", "bob"));
        // What a run that was killed left of a file, and one that retention did not finish.
        fs::write(folder.path().join("2026-01-01/a.ndjson.gz.erasing"), "torn").unwrap();
        fs::write(folder.path().join("2026-01-02/d.partial"), "torn").unwrap();

        let flows = of_user(folder.path(), "ann").unwrap();
        assert_eq!(flows, HashSet::from(["goes".to_owned()]));
        let found = of_flows(folder.path(), &flows).unwrap();
        assert_eq!(found, Archived { files: vec![both.clone(), only.clone()], events: 3, unfinished: 1 });
        let gone: Vec<u64> = found.files.iter().map(|file| take_out(file, &flows).unwrap()).collect();
        assert_eq!(gone, [2, 1]);
        assert_eq!(read(&both), line("stays", "bob"));
        assert!(!only.exists() && read(&other) == line("stays", "bob"));
        assert_eq!(fs::read_dir(folder.path().join("2026-01-01")).unwrap().count(), 1);
        assert_eq!(of_flows(folder.path(), &flows).unwrap().events, 0);
    }

    #[test]
    fn a_folder_that_is_not_there_holds_nothing_and_a_torn_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(of_flows(&folder.path().join("none"), &HashSet::new()).unwrap(), Archived::default());
        let torn = folder.path().join("2026-01-01/a.ndjson.gz");
        fs::create_dir(torn.parent().unwrap()).unwrap();
        fs::write(&torn, "not gzip").unwrap();
        let error = of_flows(folder.path(), &HashSet::new()).unwrap_err();
        assert!(error.to_string().contains("a.ndjson.gz"), "{error}");
    }
}
