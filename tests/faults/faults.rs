//! The faults: what is done, to whom, and how one sees that it is over.

mod collectors;
pub mod disk;
mod kafka;
pub mod poison;
mod postgres;

use std::time::Duration;

use futures_util::future::BoxFuture;

use crate::{
    scene::{Offsets, Scene, Ways, Window},
    stack::Servers,
};

/// Of a step that may be skipped: the sentence says why.
pub type Prepared = anyhow::Result<Option<String>>;
/// How long it took to recover, where that can be said.
pub type Recovered = anyhow::Result<Option<Duration>>;

/// Done before the first collector starts.
type Prepare = for<'a> fn(&'a mut Scene) -> BoxFuture<'a, Prepared>;
/// Done in the middle of the traffic; what was stored just before is given.
type Act = for<'a> fn(&'a mut Scene, Lengths, Offsets) -> BoxFuture<'a, Recovered>;
/// Done at the end, however the round ended.
type Clear = fn(&'static Servers) -> BoxFuture<'static, anyhow::Result<()>>;

/// How long faults last that would last as long as anyone likes.
#[derive(Debug, Clone, Copy)]
pub struct Lengths {
    /// Postgres is stopped, or a connection carries nothing.
    pub hang: Duration,
}

/// Which traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Traffic {
    Plain,
    Poisoned,
}

/// One row of the matrix.
#[derive(Clone, Copy)]
pub struct Fault {
    pub name: &'static str,
    /// What is done, and what happens, for the report. `{hang}` stands for the seconds.
    pub sentence: &'static str,
    pub traffic: Traffic,
    pub ways: Ways,
    /// Where in the traffic it may come, in percent.
    pub window: Window,
    pub prepare: Option<Prepare>,
    pub act: Act,
    pub clear: Option<Clear>,
}

pub const DIRECT: Ways = Ways { kafka_through_proxy: false, postgres_through_proxy: false };
const KAFKA_PROXY: Ways = Ways { kafka_through_proxy: true, ..DIRECT };
pub const POSTGRES_PROXY: Ways = Ways { postgres_through_proxy: true, ..DIRECT };

const PLAIN: Fault = Fault {
    name: "",
    sentence: "",
    traffic: Traffic::Plain,
    ways: DIRECT,
    window: Window(15, 65),
    prepare: None,
    act: |_, _, _| Box::pin(async { Ok(None) }),
    clear: None,
};
/// Faults that may come one after the other while records are being sent; the first of them comes always.
pub fn mixable() -> Vec<&'static Fault> {
    let names = [
        "broker-killed",
        "collector-killed",
        "collector-terminated",
        "collector-zombie",
        "postgres-killed",
        "postgres-restarted",
        "postgres-stopped",
        "postgres-cut",
        "postgres-stalled",
        "table-locked",
        "law-locked",
        "broker-restarted",
        "kafka-cut",
        "kafka-stalled",
    ];
    let all = names.map(|name| FAULTS.iter().find(|fault| fault.name == name).expect("a fault of this name"));
    all.into()
}

/// What comes out of buffers, or is done by the others, takes some of the traffic after the fault has come.
const EARLY: Window = Window(15, 45);

/// All of them, in the order in which they are done.
pub static FAULTS: [Fault; 18] = [
    Fault {
        name: "collector-killed",
        sentence: "SIGKILL, and another collector is started: its partitions are given to the other one after the \
            session time-out (6 s here), which reads on from `ft_offset`.",
        act: |scene, _, _| Box::pin(collectors::killed(scene)),
        ..PLAIN
    },
    Fault {
        name: "collector-terminated",
        sentence: "SIGTERM, and another one is started: what is being written is finished, the group is left at once.",
        act: |scene, _, _| Box::pin(collectors::terminated(scene)),
        ..PLAIN
    },
    Fault {
        name: "collector-zombie",
        sentence: "SIGSTOP until another collector has all partitions, then SIGCONT: what it still writes finds that the \
            offsets are not what it expects, and is rolled back.",
        window: EARLY,
        act: |scene, _, before| Box::pin(collectors::zombie(scene, before)),
        ..PLAIN
    },
    Fault {
        name: "collectors-1-3-1",
        sentence: "Two more collectors join, and the first two leave once all three have partitions. Batches are small and take \
            20 ms longer until then.",
        window: Window(15, 30),
        prepare: Some(|scene| Box::pin(collectors::slow_down(scene))),
        act: |scene, _, _| Box::pin(collectors::one_three_one(scene)),
        ..PLAIN
    },
    Fault {
        name: "postgres-killed",
        sentence: "SIGKILL to all of its processes, and a start: transactions that were answered but not on disk are lost \
            with their offsets, and read again.",
        act: |scene, _, before| Box::pin(postgres::killed(scene, before)),
        ..PLAIN
    },
    Fault {
        name: "postgres-restarted",
        sentence: "A fast shutdown and a start: the batch is kept and written once Postgres answers.",
        act: |scene, _, before| Box::pin(postgres::restarted(scene, before)),
        ..PLAIN
    },
    Fault {
        name: "postgres-stopped",
        sentence: "SIGSTOP to all of its processes for {hang} s, then SIGCONT: reading stops when the buffers are full, the \
            membership stays.",
        act: |scene, lengths, before| Box::pin(postgres::stopped(scene, lengths.hang, before)),
        ..PLAIN
    },
    Fault {
        name: "postgres-cut",
        sentence: "All connections to Postgres are cut and new ones refused until nothing is stored any more.",
        ways: POSTGRES_PROXY,
        act: |scene, _, _| Box::pin(postgres::cut(scene)),
        ..PLAIN
    },
    Fault {
        name: "postgres-stalled",
        sentence: "Connections to Postgres stay open and carry nothing for {hang} s.",
        ways: POSTGRES_PROXY,
        act: |scene, lengths, _| Box::pin(postgres::stalled(scene, lengths.hang)),
        ..PLAIN
    },
    Fault {
        name: "postgres-slow",
        sentence: "Everything to and from Postgres arrives 10 ms later from then on: slower, nothing else.",
        ways: POSTGRES_PROXY,
        window: Window(78, 88),
        act: |scene, _, before| Box::pin(postgres::slow(scene, before)),
        ..PLAIN
    },
    Fault {
        name: "table-locked",
        sentence: "`LOCK TABLE steps IN ACCESS EXCLUSIVE MODE` is held until a batch has given up to wait (10 s): it is \
            written again until it gets through.",
        act: |scene, _, _| Box::pin(postgres::table_locked(scene)),
        ..PLAIN
    },
    Fault {
        name: "law-locked",
        sentence: "The advisory lock that every writing transaction takes first is held exclusively.",
        act: |scene, _, _| Box::pin(postgres::law_locked(scene)),
        ..PLAIN
    },
    Fault {
        name: "disk-full",
        sentence: "The tables lie on a small tmpfs that is filled up until Postgres says 53100, then made larger: nothing \
            becomes a dead letter.",
        window: Window(15, 50),
        prepare: Some(|scene| Box::pin(disk::prepare(scene))),
        act: |scene, _, _| Box::pin(disk::full(scene)),
        clear: Some(|servers| Box::pin(disk::clear(servers))),
        ..PLAIN
    },
    Fault {
        name: "poison",
        sentence: "One message in a hundred can't be decoded, or (one in eight of them) is refused by a constraint: exactly these \
            become dead letters.",
        traffic: Traffic::Poisoned,
        prepare: Some(|scene| Box::pin(poison::prepare(scene))),
        act: |scene, _, _| Box::pin(poison::is_there(scene)),
        ..PLAIN
    },
    Fault {
        name: "broker-killed",
        sentence: "SIGKILL until nothing is stored any more, and a start; the time is from when it answers again.",
        window: EARLY,
        act: |scene, _, _| Box::pin(kafka::killed(scene)),
        ..PLAIN
    },
    Fault {
        name: "broker-restarted",
        sentence: "An orderly stop until nothing is stored any more, and a start; the time is from when it answers again.",
        window: EARLY,
        act: |scene, _, _| Box::pin(kafka::restarted(scene)),
        ..PLAIN
    },
    Fault {
        name: "kafka-cut",
        sentence: "All connections to Kafka are cut and new ones refused until nothing is stored any more.",
        ways: KAFKA_PROXY,
        window: EARLY,
        act: |scene, _, _| Box::pin(kafka::cut(scene)),
        ..PLAIN
    },
    Fault {
        name: "kafka-stalled",
        sentence: "Connections to Kafka stay open and carry nothing for {hang} s, which is longer than the session \
            time-out: the member is taken for dead and joins again.",
        ways: KAFKA_PROXY,
        window: EARLY,
        act: |scene, lengths, _| Box::pin(kafka::stalled(scene, lengths.hang)),
        ..PLAIN
    },
];
