//! What was answered is there after a crash, whatever else the crash left.

use std::io::Write as _;

use super::*;

fn event(number: usize) -> (String, Bytes) {
    (format!("flow-{number}"), Bytes::from(format!("event {number} \0\u{ff}")))
}

async fn append(spool: &Spool, numbers: std::ops::Range<usize>) {
    for number in numbers {
        let (key, payload) = event(number);
        spool.append(key, payload).await.unwrap();
    }
}

async fn drain(spool: &Spool) -> Vec<(String, Bytes)> {
    let mut all = Vec::new();
    while let Some(waiting) = spool.oldest().await.unwrap() {
        all.extend(waiting.entries.iter().map(|entry| (entry.key.clone(), entry.payload.clone())));
        spool.remove(waiting).await.unwrap();
    }
    all
}

/// The lock goes with the process; within a test it goes when the spool's thread has ended, too.
fn copy_of(folder: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, copy.path().join(path.file_name().unwrap())).unwrap();
    }
    copy
}

fn segments(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|suffix| suffix == "spool"));
    paths.sort();
    paths
}

#[tokio::test]
async fn what_was_answered_is_there_after_a_crash_and_comes_in_its_order() {
    let folder = tempfile::tempdir().unwrap();
    let (spool, found) = Spool::open(folder.path(), 1 << 20).unwrap();
    assert_eq!(found, Found::default());
    append(&spool, 0..50).await;
    // The crash: what another process would find at this moment.
    let copy = copy_of(folder.path());
    let (after, found) = Spool::open(copy.path(), 1 << 20).unwrap();
    assert_eq!((found.bytes, found.torn, found.damaged), (spool.bytes(), 0, 0));
    append(&after, 50..60).await;
    assert_eq!(drain(&after).await, (0..60).map(event).collect::<Vec<_>>());
    assert_eq!(after.bytes(), 0);
    assert!(segments(copy.path()).is_empty());
}

#[tokio::test]
async fn a_write_that_was_cut_off_anywhere_costs_only_itself() {
    let folder = tempfile::tempdir().unwrap();
    let (spool, _) = Spool::open(folder.path(), 1 << 20).unwrap();
    append(&spool, 0..3).await;
    let whole = fs::read(&segments(folder.path())[0]).unwrap();
    let ends: Vec<usize> = (0..3)
        .scan(0, |end, number| {
            let (key, payload) = event(number);
            *end += usize::try_from(Entry { key, payload }.size()).unwrap();
            Some(*end)
        })
        .collect();
    assert_eq!(ends.last(), Some(&whole.len()));
    for length in 0..=whole.len() {
        let torn = tempfile::tempdir().unwrap();
        fs::write(torn.path().join("000000000001.spool"), &whole[..length]).unwrap();
        let (spool, found) = Spool::open(torn.path(), 1 << 20).unwrap();
        let kept = ends.iter().filter(|end| **end <= length).count();
        let kept_bytes = kept.checked_sub(1).map_or(0, |last| ends[last]);
        assert_eq!((found.torn, found.damaged), (segment::count(length - kept_bytes), 0), "{length}");
        // Appending goes on behind it, and nothing of the torn write comes back.
        append(&spool, 7..8).await;
        assert_eq!(drain(&spool).await, (0..kept).chain([7]).map(event).collect::<Vec<_>>(), "{length}");
    }
}

#[tokio::test]
async fn a_damaged_segment_is_kept_aside_and_what_can_be_read_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let (spool, _) = Spool::open(folder.path(), 1 << 20).unwrap();
    append(&spool, 0..3).await;
    let mut bytes = fs::read(&segments(folder.path())[0]).unwrap();
    let damaged = tempfile::tempdir().unwrap();
    fs::write(damaged.path().join("000000000002.spool"), &bytes).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(damaged.path().join("000000000001.spool"), &bytes).unwrap();
    let (spool, found) = Spool::open(damaged.path(), 1 << 20).unwrap();
    assert_eq!((found.torn, found.damaged), (0, 1));
    assert_eq!(drain(&spool).await, [0, 0, 1, 2].map(event));
    assert_eq!(fs::read(damaged.path().join("000000000001.damaged")).unwrap(), bytes);
}

#[tokio::test]
async fn it_holds_no_more_than_its_limit_and_takes_more_when_some_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let (key, payload) = event(0);
    let size = Entry { key, payload }.size();
    let (spool, _) = Spool::open(folder.path(), 3 * size).unwrap();
    append(&spool, 0..3).await;
    let (key, payload) = event(3);
    assert!(matches!(spool.append(key, payload).await, Err(Refused::Full)));
    assert_eq!(spool.bytes(), 3 * size);
    assert_eq!(drain(&spool).await.len(), 3);
    append(&spool, 3..6).await;
    // What is found counts against the limit, too.
    let copy = copy_of(folder.path());
    let (after, _) = Spool::open(copy.path(), 3 * size).unwrap();
    let (key, payload) = event(3);
    assert!(matches!(after.append(key, payload).await, Err(Refused::Full)));
}

#[tokio::test]
async fn what_is_appended_while_a_segment_is_drained_goes_into_another() {
    let folder = tempfile::tempdir().unwrap();
    let (spool, _) = Spool::open(folder.path(), 1 << 20).unwrap();
    append(&spool, 0..2).await;
    let waiting = spool.oldest().await.unwrap().unwrap();
    append(&spool, 2..4).await;
    assert_eq!(segments(folder.path()).len(), 2);
    spool.remove(waiting).await.unwrap();
    assert_eq!(drain(&spool).await, [2, 3].map(event));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_at_once_are_all_kept() {
    let folder = tempfile::tempdir().unwrap();
    let (spool, _) = Spool::open(folder.path(), 1 << 30).unwrap();
    let spool = Arc::new(spool);
    let tasks = (0..2_000).map(|number| {
        let spool = spool.clone();
        tokio::spawn(async move {
            let (key, payload) = event(number);
            spool.append(key, payload).await
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap().unwrap();
    }
    let copy = copy_of(folder.path());
    let (after, _) = Spool::open(copy.path(), 1 << 30).unwrap();
    let mut kept = drain(&after).await;
    kept.sort();
    let mut wanted: Vec<_> = (0..2_000).map(event).collect();
    wanted.sort();
    assert_eq!(kept, wanted);
}

#[tokio::test]
async fn a_folder_has_one_owner() {
    let folder = tempfile::tempdir().unwrap();
    let (_spool, _) = Spool::open(folder.path(), 1 << 20).unwrap();
    let error = Spool::open(folder.path(), 1 << 20).unwrap_err();
    assert!(error.to_string().contains("in use by another process"), "{error}");
    let mut file = File::create(folder.path().join("file")).unwrap();
    file.write_all(b"x").unwrap();
    let error = Spool::open(&folder.path().join("file"), 1).unwrap_err();
    assert!(error.to_string().contains("gateway.spool_dir"), "{error}");
}
