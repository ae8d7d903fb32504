//! Hostile input: the bodies of the fuzz targets (`fuzz/`) under proptest, on the corpus, and on large input.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

#[path = "../../fuzz/bodies/lib.rs"]
pub mod bodies;
mod giants;
mod json;
mod seeds;

use std::{fs, panic, path::Path};

use proptest::{
    prelude::*,
    sample::Index,
    test_runner::{Config, TestRunner},
};

type Body = fn(&[u8]);

/// Each body by the name of its target, with how many inputs of each kind it is tried on.
const TARGETS: [(&str, Body, u32); 6] = [
    ("decode", bodies::decode, 2000),
    ("framing", bodies::framing, 1000),
    ("flogo", bodies::flogo, 1000),
    ("flowable", bodies::flowable, 1000),
    ("redaction", bodies::redaction, 3000),
    ("config", bodies::config, 300),
];

/// The files of a target's corpus, by name.
fn corpus(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap()))
        .collect();
    files.sort();
    files
}

/// One thing that is done to an input.
#[derive(Debug, Clone)]
enum Change {
    Set(Index, u8),
    Insert(Index, Vec<u8>),
    Remove(Index, usize),
    /// A piece of another file of the corpus, put in.
    Splice(Index, Index, Index, usize),
    /// A piece of itself, so many times.
    Repeat(Index, usize, usize),
}

impl Change {
    fn of(self, input: &mut Vec<u8>, corpus: &[(String, Vec<u8>)]) {
        let place = |at: Index, bytes: &[u8]| at.index(bytes.len() + 1);
        let piece = |from: Index, length: usize, bytes: &[u8]| -> Vec<u8> {
            bytes.iter().skip(place(from, bytes)).take(length).copied().collect()
        };
        match self {
            Self::Set(at, byte) => {
                let at = place(at, input);
                if let Some(place) = input.get_mut(at) {
                    *place = byte;
                }
            }
            Self::Insert(at, bytes) => {
                let at = place(at, input);
                input.splice(at..at, bytes);
            }
            Self::Remove(at, length) => {
                let at = place(at, input);
                input.drain(at..input.len().min(at + length));
            }
            Self::Splice(at, file, from, length) => {
                let at = place(at, input);
                let (_, other) = file.get(corpus);
                input.splice(at..at, piece(from, length, other));
            }
            Self::Repeat(at, length, times) => {
                let repeated = piece(at, length, input).repeat(times);
                let at = place(at, input);
                input.splice(at..at, repeated);
            }
        }
    }
}

fn change() -> impl Strategy<Value = Change> {
    let at = any::<Index>;
    prop_oneof![
        (at(), any::<u8>()).prop_map(|(at, byte)| Change::Set(at, byte)),
        (at(), proptest::collection::vec(any::<u8>(), 1..8))
            .prop_map(|(at, bytes)| Change::Insert(at, bytes)),
        (at(), 1..16_usize).prop_map(|(at, length)| Change::Remove(at, length)),
        (at(), at(), at(), 1..64_usize)
            .prop_map(|(at, file, from, length)| Change::Splice(at, file, from, length)),
        (at(), 1..16_usize, 1..64_usize).prop_map(|(at, length, times)| Change::Repeat(at, length, times)),
    ]
}

fn try_on<S: Strategy>(target: &str, cases: u32, inputs: &S, body: impl Fn(S::Value)) {
    // What was found belongs in the corpus, where everybody runs it.
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let result = TestRunner::new(config).run(inputs, |input| {
        body(input);
        Ok(())
    });
    result.unwrap_or_else(|failure| panic!("{target}: {failure}"));
}

#[test]
fn every_file_of_the_corpus_holds() {
    let mut fell = Vec::new();
    for (target, body, _) in TARGETS {
        let files = corpus(target);
        assert!(!files.is_empty());
        let falls = files.iter().filter(|(_, input)| panic::catch_unwind(|| body(input)).is_err());
        fell.extend(falls.map(|(name, _)| format!("fuzz/corpus/{target}/{name}")));
    }
    assert!(fell.is_empty(), "{fell:#?}");
}

#[test]
fn the_corpus_stays_small() {
    let files: Vec<_> = TARGETS.iter().flat_map(|(target, ..)| corpus(target)).collect();
    let bytes: usize = files.iter().map(|(_, input)| input.len()).sum();
    assert!(files.len() <= 250 && bytes <= 300_000, "{} files, {bytes} bytes", files.len());
}

#[test]
fn random_bytes_hold() {
    for (target, body, cases) in TARGETS {
        try_on(target, cases, &proptest::collection::vec(any::<u8>(), 0..512), |input| body(&input));
    }
}

#[test]
fn changed_files_of_the_corpus_hold() {
    for (target, body, cases) in TARGETS {
        let corpus = corpus(target);
        let changes = proptest::collection::vec(change(), 1..6);
        try_on(target, cases, &(any::<Index>(), changes), |(file, changes)| {
            let mut input = file.get(&corpus).1.clone();
            for change in changes {
                change.of(&mut input, &corpus);
            }
            body(&input);
        });
    }
}
