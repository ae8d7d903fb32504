//! Postgres: connecting, batches → rows, and reading them back. All SQL is here and in [`crate::schema`].

pub mod connect;
pub mod look;

mod audit;
mod batch;
mod columns;
mod copy;
mod dead_letter;
mod encode;
mod fault;
pub(crate) mod flowable;
mod found;
mod gap;
mod held;
mod law;
mod left_out;
mod marks;
mod offset;
mod offset_reader;
mod owner;
mod plain;
mod pool;
mod pooler;
pub mod read;
mod rebuild;
mod refusal;
mod replace;
pub(crate) mod retention;
mod session;
mod snapshot;
mod special;
mod stage;
mod store;
mod straight;
mod variable;
mod write;

pub(crate) use self::held::Holdings;
pub use self::{
    audit::{audit, audit_outcome},
    batch::{AtOnce, Batch, Ops, Tally, Ways, Written},
    dead_letter::{DeadLetter, Removal, forget_letters, remove_letters, takes_turn},
    encode::encode,
    fault::{Fault, sentence},
    gap::Gap,
    held::Held,
    offset::{LastRecord, Progress, Stored, forget as forget_offsets, read as read_offsets},
    owner::owners,
    pool::{Pool, PoolError, Reader},
    pooler::keeps_sessions,
    rebuild::{holds_rows, make_list_index, put_off_list_index},
    refusal::{Refusal, WriteError},
    session::Session,
    store::{Database, Store, StoreError, Trouble},
    write::write,
};
