//! The weld: random sets of events go through the reference model (Python, the whole set at once), through the Rust
//! fold, and through Postgres in random batches over lanes that run at the same time. Every column must agree.

mod dump;
mod generate;
mod oracle;

use std::{
    io::Write as _,
    sync::Arc,
    time::{Duration, Instant},
};

use flowtrail::{
    model::{Offset, Partition},
    pipeline::{
        decode::decode,
        merge::{Fold, Tables},
    },
    postgres::{self, Batch, Fault, LastRecord, Progress, Session, Written},
};
use rand::{RngExt, SeedableRng, rngs::StdRng, seq::SliceRandom};

pub use self::{
    dump::{assert_same, of_database, of_fold},
    generate::{Case, Record as CaseRecord},
    oracle::{Oracle, Rules},
};
use crate::servers;

const LANES: usize = 3;

/// How long the random test runs, in seconds; `.ci/long` gives it more.
fn budget() -> Duration {
    let seconds = std::env::var("IT_LAW_SECONDS").ok().and_then(|text| text.parse().ok());
    Duration::from_secs(seconds.unwrap_or(20))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn postgres_and_the_rust_fold_agree_with_the_reference_model_in_any_order() {
    let Some(mut oracle) = Oracle::start() else {
        eprintln!(
            "SKIPPED: python3 is not installed, so the reference model can't run; install the package python3"
        );
        return;
    };
    let url = servers::database().await;
    let client = servers::connect(&url).await;
    let mut sessions = Vec::new();
    for _ in 0..LANES {
        let session = servers::session(&url).await;
        // Batches here are small, and rows of small ones that change take another way than those of large ones.
        sessions.push(if sessions.len().is_multiple_of(2) { session } else { session.staging_all() });
    }
    let first: u64 = std::env::var("IT_LAW_SEED").ok().map_or(1, |seed| seed.parse().unwrap());
    let (until, mut seed, mut rules) = (Instant::now() + budget(), first, Rules::new());
    while Instant::now() < until || seed < first + 20 {
        let case = Case::generate(seed);
        let (expected, used) = oracle.answer(&case);
        for (rule, times) in used {
            *rules.entry(rule).or_default() += times;
        }
        keep(&case, &expected);

        let tables = fold(&case).settle();
        dump::assert_same(
            &dump::of_fold(&tables),
            &expected,
            &format!("seed {seed}, Rust fold"),
            &case.events,
        );

        sessions = deliver(sessions, &case, seed).await;
        let stored = dump::of_database(&client, &case.prefix()).await;
        dump::assert_same(&stored, &expected, &format!("seed {seed}, Postgres"), &case.events);
        seed += 1;
    }
    println!(
        "{} sets of events from seed {first} agree; how often each rule was put to use: {rules:#?}",
        seed - first
    );
    assert!(
        !rules.is_empty() && rules.values().all(|times| *times > 0),
        "a rule was never put to use: {rules:#?}"
    );
}

/// Adds a set and the model's answer to the corpus, when asked to make it anew.
fn keep(case: &Case, expected: &serde_json::Value) {
    let Ok(corpus) = std::env::var("IT_LAW_CORPUS") else { return };
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(corpus).unwrap();
    writeln!(file, "{}", serde_json::json!({"events": case.events, "tables": expected})).unwrap();
}

fn fold(case: &Case) -> Fold {
    let mut fold = Fold::default();
    for record in &case.records {
        fold.extend(decode(Some(&record.key), Some(&record.value), 1 << 20, None).unwrap().events);
    }
    fold
}

/// Delivers every event once or more, shuffled, in small batches, over lanes at the same time.
async fn deliver(sessions: Vec<Session>, case: &Case, seed: u64) -> Vec<Session> {
    let mut random = StdRng::seed_from_u64(seed ^ 0x5eed);
    let mut order: Vec<usize> = (0..case.records.len()).collect();
    order.extend((0..case.records.len()).filter(|_| random.random_bool(0.3)).collect::<Vec<_>>());
    order.shuffle(&mut random);
    let mut lanes: Vec<Vec<Fold>> = (0..LANES).map(|_| Vec::new()).collect();
    while !order.is_empty() {
        let rest = order.split_off(random.random_range(1..=5).min(order.len()));
        let mut fold = Fold::default();
        for index in std::mem::replace(&mut order, rest) {
            let record = &case.records[index];
            fold.extend(decode(Some(&record.key), Some(&record.value), 1 << 20, None).unwrap().events);
        }
        lanes[random.random_range(0..LANES)].push(fold);
    }
    let topic: Arc<str> = case.prefix().into();
    let work = sessions.into_iter().zip(lanes).enumerate().map(|(lane, (session, folds))| {
        let partition = Partition { topic: topic.clone(), number: i32::try_from(lane).unwrap() };
        tokio::spawn(write_all(session, partition, folds))
    });
    let mut back = Vec::new();
    for lane in work.collect::<Vec<_>>() {
        back.push(lane.await.unwrap());
    }
    back
}

async fn write_all(mut session: Session, partition: Partition, folds: Vec<Fold>) -> Session {
    for (number, fold) in (0..).zip(folds) {
        let progress = Progress {
            partition: partition.clone(),
            from: (number > 0).then_some(Offset(number)),
            next: Offset(number + 1),
            last: Some(LastRecord { offset: Offset(number), time: None, hash: [0; 16] }),
        };
        let batch = Batch { fold, progress: vec![progress], ..Batch::default() };
        loop {
            match postgres::write(&mut session, "law", &batch).await {
                Ok(Written::Stored(_)) => break,
                Ok(elsewhere) => panic!("{elsewhere:?}"),
                // A collision of lanes leaves the session as it was.
                Err(error) if error.fault() == Fault::Retry && !session.is_closed() => {}
                Err(error) => panic!("{}", postgres::sentence(&error.error)),
            }
        }
    }
    session
}

/// What the model says of a few sets, kept so that the fold is held to it where there is no Python.
#[test]
fn the_rust_fold_agrees_with_what_the_model_said() {
    let corpus = include_str!("../law/corpus.jsonl");
    let mut cases = 0;
    for line in corpus.lines() {
        let kept: serde_json::Value = serde_json::from_str(line).unwrap();
        let case = Case::of_events(kept["events"].as_array().unwrap());
        let tables: Tables = fold(&case).settle();
        dump::assert_same(&dump::of_fold(&tables), &kept["tables"], "Rust fold", &case.events);
        cases += 1;
    }
    assert!(cases >= 50, "{cases} cases");
}
