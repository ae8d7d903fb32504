//! Postgres: batches → rows. All SQL of the tables is here and in [`crate::schema`].

mod copy;
mod dead_letter;
mod fault;
mod law;
mod offset;
mod plain;
mod session;
mod special;
mod stage;
mod write;

pub use self::{
    dead_letter::DeadLetter,
    fault::{Fault, sentence},
    offset::{LastRecord, Progress, read as read_offsets},
    session::Session,
    write::{Batch, Ops, Tally, Written, write},
};
