//! A collector: the production pipeline between the fakes.

use std::{
    sync::{Arc, mpsc},
    time::Duration,
};

use tokio::{runtime::Handle, task::JoinSet, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{
    broker::{Cluster, FakeConsumer},
    database::FakeDatabase,
};
use crate::{
    collector::{Lanes, Shown, Tasks},
    config::{Config, OnGap},
    http::{Condition, Health},
    kafka::rebalance::Assignment,
    pipeline::{
        Kept,
        consume::{Consume, Setup},
        decode::foreign::Foreign,
        shares::Counting,
    },
};

const LANES: usize = 2;

pub(super) struct Member {
    pub(super) id: u64,
    consume: Consume<FakeConsumer, FakeDatabase>,
    tasks: Tasks,
    stop: CancellationToken,
    frozen_until: Instant,
}

impl Member {
    pub(super) fn start(id: u64, cluster: &Arc<Cluster>, database: &Arc<FakeDatabase>) -> Self {
        let now = Instant::now();
        let mut config = Config::default();
        config.collector.lanes = LANES;
        config.collector.batch_rows = 30;
        config.collector.lane_buffer_bytes = 8 << 10;
        let health =
            Arc::new(Health::new(&Condition::OF_A_COLLECTOR, Duration::from_mins(5), now.into_std()));
        let shown = Shown { health: health.clone(), lag: Arc::default() };
        let assignment = Arc::new(Assignment::new(LANES));
        let (commands, stop) = (mpsc::channel(), CancellationToken::new());
        let mut tasks = JoinSet::new();
        let together = Lanes {
            collector: &config.collector,
            rules: None,
            foreign: Foreign::default(),
            unresolved: Kept::default(),
            shown: &shown,
            store: database,
            mirror: None,
            sparing: None,
            counting: Counting::default(),
            commands: &commands.0,
            tally: &Arc::default(),
            tracer: None,
            stop: &stop,
        };
        let jitter = |lane: usize| id * 10 + u64::try_from(lane).unwrap();
        let lanes = (0..LANES).map(|lane| together.start(lane, jitter(lane), &mut tasks)).collect();
        let consume = Consume::new(
            Setup {
                consumer: FakeConsumer::new(id, cluster.clone(), database.clone(), assignment.clone()),
                assignment,
                store: database.clone(),
                lanes,
                commands,
                lane_buffer_bytes: config.collector.lane_buffer_bytes,
                on_gap: OnGap::Halt,
                group_offset_interval: Duration::from_secs(1),
                lag: shown.lag,
                health,
                runtime: Handle::current(),
            },
            now.into_std(),
        );
        Self { id, consume, tasks, stop, frozen_until: now }
    }

    /// Does nothing for a while; what its lanes have begun goes on.
    pub(super) fn freeze(&mut self, time: Duration) {
        self.frozen_until = Instant::now() + time;
    }

    pub(super) fn turn(&mut self) {
        if let Some(ended) = self.tasks.try_join_next() {
            panic!("a lane of member {} ended: {ended:?}", self.id);
        }
        let now = Instant::now();
        if now >= self.frozen_until {
            self.consume.turn(now.into_std()).unwrap();
        }
    }

    /// Is gone in the middle of whatever it does.
    pub(super) fn kill(mut self) {
        self.tasks.abort_all();
        self.stop.cancel();
    }
}
