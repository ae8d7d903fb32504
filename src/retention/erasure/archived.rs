//! Flows that are to be erased, in the files of the archive.
//!
//! A file is put once more without the lines of these flows, in the place of the old one; one that would be empty goes. It
//! is whole at every moment, with them or without. The lines of others stay as they are, byte for byte.

use std::{
    collections::HashSet,
    io::{self, Write as _},
};

use flate2::{Compression, write::GzEncoder};

use super::super::{RetentionError, archive::Place};
use crate::{proto::v1::history_event::Event, publish};

/// What an archive holds of flows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Archived {
    /// Files that hold any line of theirs.
    pub(super) files: Vec<String>,
    /// How many lines those are: each is an event.
    pub(super) events: u64,
    /// Files that whoever wrote them did not finish. Nobody reads them.
    pub(super) unfinished: u64,
}

/// Flows that have a run of a user, by the archive. One that is not there holds nothing.
pub(super) fn of_user(place: &Place, user: &str) -> Result<HashSet<String>, RetentionError> {
    let mut flows = HashSet::new();
    for file in place.list().map_err(failed(place, ""))?.archived {
        let looked = place.each_line(&file, |_, event| {
            if let Some(Event::Flow(run)) = &event.event
                && run.user_id == user
            {
                flows.insert(run.flow_instance_id.clone());
            }
            Ok(())
        });
        looked.map_err(failed(place, &file))?;
    }
    Ok(flows)
}

/// What the archive holds of flows. One that is not there holds nothing.
pub(super) fn of_flows(place: &Place, flows: &HashSet<String>) -> Result<Archived, RetentionError> {
    let listed = place.list().map_err(failed(place, ""))?;
    let mut found = Archived { unfinished: listed.unfinished, ..Archived::default() };
    for file in listed.archived {
        let mut lines = 0;
        let looked = place.each_line(&file, |_, event| {
            lines += u64::from(flows.contains(&publish::key(event)));
            Ok(())
        });
        looked.map_err(failed(place, &file))?;
        if lines > 0 {
            found.events += lines;
            found.files.push(file);
        }
    }
    Ok(found)
}

/// Takes the lines of flows out of a file, and says how many those were. What is left of it is held in memory, compressed.
pub(super) fn take_out(place: &Place, file: &str, flows: &HashSet<String>) -> Result<u64, RetentionError> {
    let mut anew = GzEncoder::new(Vec::new(), Compression::default());
    let (mut kept, mut gone) = (0_u64, 0);
    let looked = place.each_line(file, |line, event| {
        if flows.contains(&publish::key(event)) {
            gone += 1;
            return Ok(());
        }
        kept += 1;
        anew.write_all(line)
    });
    let replaced = looked.and_then(|()| match kept {
        0 => place.remove(file),
        _ => place.put(file, anew.finish()?),
    });
    replaced.map_err(failed(place, file)).map(|()| gone)
}

fn failed(place: &Place, file: &str) -> impl Fn(io::Error) -> RetentionError {
    let place = if file.is_empty() { place.to_string() } else { format!("{place}/{file}") };
    move |source| RetentionError::Archived { place: place.clone(), source }
}

#[cfg(test)]
mod tests {
    use std::{
        fs::{self, File},
        io::BufReader,
        path::Path,
    };

    use flate2::bufread::MultiGzDecoder;

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
        let names = ["2026-01-01/a.ndjson.gz", "2026-01-01/b.ndjson.gz", "2026-01-02/c.ndjson.gz"];
        let [both, only, other] = names.map(|name| folder.path().join(name));
        write(&both, &(line("goes", "ann") + &line("stays", "bob") + &line("goes", "")));
        write(&only, &line("goes", "ann"));
        write(&other, &line("stays", "bob"));
        // What a run that was killed left of a file, and one that retention did not finish.
        fs::write(folder.path().join("2026-01-01/a.ndjson.gz.partial"), "torn").unwrap();
        fs::write(folder.path().join("2026-01-02/d.partial"), "torn").unwrap();

        let place = Place::Folder(folder.path().to_owned());
        let flows = of_user(&place, "ann").unwrap();
        assert_eq!(flows, HashSet::from(["goes".to_owned()]));
        let found = of_flows(&place, &flows).unwrap();
        let files = names[..2].iter().map(|&name| name.to_owned()).collect();
        assert_eq!(found, Archived { files, events: 3, unfinished: 2 });
        let gone: Vec<u64> = found.files.iter().map(|file| take_out(&place, file, &flows).unwrap()).collect();
        assert_eq!(gone, [2, 1]);
        assert_eq!(read(&both), line("stays", "bob"));
        assert!(!only.exists() && read(&other) == line("stays", "bob"));
        assert_eq!(fs::read_dir(folder.path().join("2026-01-01")).unwrap().count(), 1);
        assert_eq!(of_flows(&place, &flows).unwrap().events, 0);
    }

    #[test]
    fn a_folder_that_is_not_there_holds_nothing_and_a_torn_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let none = Place::Folder(folder.path().join("none"));
        assert_eq!(of_flows(&none, &HashSet::new()).unwrap(), Archived::default());
        let torn = folder.path().join("2026-01-01/a.ndjson.gz");
        fs::create_dir(torn.parent().unwrap()).unwrap();
        fs::write(&torn, "not gzip").unwrap();
        let place = Place::Folder(folder.path().to_owned());
        let error = of_flows(&place, &HashSet::new()).unwrap_err();
        assert!(error.to_string().contains("a.ndjson.gz"), "{error}");
    }
}
