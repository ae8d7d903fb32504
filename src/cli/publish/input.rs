//! The records that the command line asks for, in the order that it asks for.

use std::{
    cell::RefCell,
    fs::File,
    io::{self, BufRead, BufReader},
    path::Path,
    rc::Rc,
};

use anyhow::{Context as _, bail};
use secrecy::SecretString;
use tokio::runtime::Handle;

use super::{Args, Order};
use crate::{
    config::Postgres,
    flowable::DEFAULT_SOURCE,
    publish::{
        Record, Synthetic, SyntheticOptions,
        database::Database,
        disorder,
        flowable::Source,
        source::{self, Format},
    },
    retention::archive,
};

type Records = Box<dyn Iterator<Item = Record>>;

/// All records, and what was wrong with the input so far.
pub(super) struct Input {
    records: Records,
    trouble: Rc<RefCell<Trouble>>,
}

#[derive(Default)]
struct Trouble {
    /// Pieces of input that were passed over.
    bad: u64,
    /// The piece of input that ended it.
    end: Option<source::Error>,
}

impl Input {
    /// Opens the source. `partitions` is how many the topic has.
    pub(super) fn open(args: &Args, partitions: i32) -> anyhow::Result<Self> {
        let trouble = Rc::default();
        let records: Records = match (args.synthetic, args.from, &args.file) {
            (Some(count), ..) => Box::new(Synthetic::new(traffic(args)).take(count)),
            (None, Some(Format::FlowableDatabase), Some(url)) => {
                Box::new(good(database(url, args)?, args.skip_bad, Rc::clone(&trouble)))
            }
            (None, Some(format), Some(file)) => {
                let (name, input) = open(file)?;
                Box::new(good(
                    source::read(format, name, input, &engine(args)),
                    args.skip_bad,
                    Rc::clone(&trouble),
                ))
            }
            _ => bail!("nothing to publish: give --from FORMAT FILE or --synthetic N"),
        };
        let mut records = in_order(records, &args.order);
        if let Some(flow) = args.target.spread_flow.clone() {
            records = Box::new(spread(records, flow, partitions));
        }
        Ok(Self { records, trouble })
    }

    /// How many pieces of input were passed over.
    pub(super) fn bad(&self) -> u64 {
        self.trouble.borrow().bad
    }

    /// How the input ended: an error names the piece that ended it early.
    pub(super) fn end(self) -> Result<(), source::Error> {
        self.trouble.borrow_mut().end.take().map_or(Ok(()), Err)
    }
}

impl Iterator for Input {
    type Item = Record;

    fn next(&mut self) -> Option<Record> {
        self.records.next()
    }
}

fn engine(args: &Args) -> Source {
    let named = args.engine.source.clone();
    Source {
        name: named.unwrap_or_else(|| DEFAULT_SOURCE.to_owned()),
        sequence_flows: args.engine.sequence_flows,
    }
}

/// The tables of an engine. Blocks.
fn database(url: &Path, args: &Args) -> anyhow::Result<Database> {
    // Text that is no UTF-8 is no address, which is said below.
    let url = SecretString::from(url.to_string_lossy().into_owned());
    let postgres = Postgres { url: Some(url), ..Postgres::default() };
    let opening = Database::open(&postgres, &args.engine.time_zone, engine(args));
    Ok(Handle::current().block_on(opening)?)
}

fn traffic(args: &Args) -> SyntheticOptions {
    let traffic = &args.traffic;
    let mut options = SyntheticOptions {
        seed: args.order.seed,
        steps_per_flow: traffic.steps_per_flow,
        payload_bytes: traffic.payload_bytes,
        failed_percent: traffic.failed_percent,
        rerun_percent: traffic.rerun_percent,
        ..SyntheticOptions::default()
    };
    options.start = traffic.start_time.unwrap_or(options.start);
    if args.order.rate > 0 { options.paced(args.order.rate) } else { options }
}

fn open(file: &Path) -> anyhow::Result<(String, Box<dyn BufRead>)> {
    if file == Path::new("-") {
        return Ok(("standard input".to_owned(), Box::new(BufReader::new(io::stdin()))));
    }
    let name = file.display().to_string();
    if archive::is_url(&name) {
        let lines = archive::open(&name).with_context(|| format!("cannot read {name}"))?;
        return Ok((name, lines));
    }
    let file = File::open(file).with_context(|| format!("cannot open {name}"))?;
    Ok((name, Box::new(BufReader::new(file))))
}

/// The good records up to the first bad piece of input or, with `skip_bad`, all of them.
fn good(
    mut pieces: impl Iterator<Item = Result<Record, source::Error>>,
    skip_bad: bool,
    trouble: Rc<RefCell<Trouble>>,
) -> impl Iterator<Item = Record> {
    std::iter::from_fn(move || {
        let mut trouble = trouble.borrow_mut();
        while trouble.end.is_none() {
            match pieces.next()? {
                Ok(record) => return Some(record),
                Err(error) if skip_bad && !error.is_the_end() => {
                    trouble.bad += 1;
                    tracing::warn!("passed over {:#}", anyhow::Error::from(error));
                }
                Err(error) => trouble.end = Some(error),
            }
        }
        None
    })
}

fn in_order(mut records: Records, order: &Order) -> Records {
    if order.duplicate_percent > 0.0 {
        records = Box::new(disorder::duplicate(records, order.duplicate_percent, order.seed));
    }
    match (order.shuffle, order.shuffle_window) {
        (false, _) => records,
        (true, None) => Box::new(disorder::shuffle(records, order.seed)),
        (true, Some(window)) => {
            let window = usize::try_from(window).unwrap_or(usize::MAX);
            Box::new(disorder::shuffle_window(records, window, order.seed))
        }
    }
}

/// Gives the records of one flow to all partitions in turn.
fn spread(records: Records, flow: String, partitions: i32) -> impl Iterator<Item = Record> {
    let mut turns = (0..partitions).cycle();
    records.map(move |mut record| {
        if record.key == flow {
            record.partition = turns.next();
        }
        record
    })
}
