//! Round trips of a client of Postgres, counted between the two.
//!
//! A client that speaks again after it was answered has waited for that answer. What it says at once counts once, however
//! many packets it is: only an answer in between begins another round trip. So the count is true where an answer is on its
//! way for longer than the client takes to say what it has to say. Over a connection without any delay the first of
//! several statements may be answered while the last is still being sent, and the count is too high.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The round trips of each transaction that was committed, over all connections of a proxy.
#[derive(Debug, Default)]
pub struct Trips(Mutex<Vec<u32>>);

impl Trips {
    /// Those that were committed since this was asked last, in the order of their commits; of each connection all but the
    /// first, which comes with what is done once in a session.
    ///
    /// A transaction's are all since the commit before it, its own commit included.
    pub fn take(&self) -> Vec<u32> {
        std::mem::take(&mut *locked(&self.0))
    }
}

/// One connection.
#[derive(Debug)]
pub struct Line {
    all: Arc<Trips>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// The client waits for nothing, as far as is known: what it says next begins a round trip.
    answered: bool,
    since_commit: u32,
    has_committed: bool,
}

impl Line {
    /// A connection on which nothing was said yet.
    pub fn of(all: Arc<Trips>) -> Self {
        Self { all, state: Mutex::new(State { answered: true, since_commit: 0, has_committed: false }) }
    }

    /// Bytes came from the client.
    pub fn asked(&self, bytes: &[u8]) {
        let mut state = locked(&self.state);
        if std::mem::take(&mut state.answered) {
            state.since_commit += 1;
        }
        // As text, by itself or behind other statements; nothing is sent behind it before it is answered.
        if bytes.ends_with(b"COMMIT\0") {
            let trips = std::mem::take(&mut state.since_commit);
            if std::mem::replace(&mut state.has_committed, true) {
                locked(&self.all.0).push(trips);
            }
        }
    }

    /// Bytes of the server are handed to the client.
    pub fn answered(&self) {
        locked(&self.state).answered = true;
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
