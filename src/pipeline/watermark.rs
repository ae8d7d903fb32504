//! What is stored → the offset from which a batch may move on. Pure.

use std::collections::HashMap;

use crate::{
    kafka::Lease,
    model::{Offset, Partition},
    postgres::Progress,
};

/// A lane's account of what `ft_offset` says of its partitions.
#[derive(Debug, Default)]
pub struct Ledger {
    /// By partition: generation of the lease it is about, and the stored offset.
    stored: HashMap<Partition, (u64, Option<Offset>)>,
}

impl Ledger {
    /// What `ft_offset` has to say for a batch under this lease to be the next one.
    pub fn expected(&self, lease: &Lease) -> Option<Offset> {
        match self.stored.get(&lease.partition) {
            Some((generation, stored)) if *generation == lease.generation => *stored,
            _ => lease.start.base,
        }
    }

    /// A batch under this lease was stored up to `next`.
    pub fn advance(&mut self, lease: &Lease, next: Offset) {
        self.stored.insert(lease.partition.clone(), (lease.generation, Some(next)));
    }
}

/// What it means that a batch found other offsets than it expected.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// They are those of the batch itself: its commit got through, only the answer did not.
    Stored,
    /// The batch is not stored. These partitions begin again from what is stored (`None`: from the beginning).
    Elsewhere(Vec<Found>),
}

/// Where a partition is, beside where it was expected to be.
#[derive(Debug, PartialEq, Eq)]
pub struct Found {
    /// The partition.
    pub partition: Partition,
    /// What was expected.
    pub expected: Option<Offset>,
    /// What is stored. Lower than expected: the database lost transactions. Higher: another member stored the slice.
    pub stored: Option<Offset>,
}

/// Judges the offsets that a batch found.
pub fn judge(progress: &[Progress], found: &[(Partition, Offset)]) -> Verdict {
    let stored =
        |wanted: &Partition| found.iter().find(|(partition, _)| partition == wanted).map(|(_, at)| *at);
    if progress.iter().all(|p| stored(&p.partition) == Some(p.next)) {
        return Verdict::Stored;
    }
    let elsewhere = progress.iter().map(|p| Found {
        partition: p.partition.clone(),
        expected: p.from,
        stored: stored(&p.partition),
    });
    Verdict::Elsewhere(elsewhere.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{kafka::Start, postgres::LastRecord};

    fn partition(number: i32) -> Partition {
        Partition { topic: "t".into(), number }
    }

    fn progress(number: i32, from: Option<i64>, next: i64) -> Progress {
        let last = LastRecord { offset: Offset(next - 1), time: None, hash: [0; 16] };
        Progress {
            partition: partition(number),
            from: from.map(Offset),
            next: Offset(next),
            last: Some(last),
        }
    }

    #[test]
    fn a_lease_begins_at_its_base_and_goes_on_from_what_was_stored() {
        let mut ledger = Ledger::default();
        let first = Lease::new(partition(0), 1, 0, Start::at(None));
        assert_eq!(ledger.expected(&first), None);
        ledger.advance(&first, Offset(7));
        assert_eq!(ledger.expected(&first), Some(Offset(7)));
        let again = Lease::new(partition(0), 2, 0, Start::at(Some(Offset(5))));
        assert_eq!(ledger.expected(&again), Some(Offset(5)), "an earlier lease says nothing of a later one");
    }

    #[test]
    fn the_batchs_own_offsets_mean_that_its_commit_got_through() {
        let batch = [progress(0, Some(3), 7), progress(1, None, 2)];
        let found = [(partition(0), Offset(7)), (partition(1), Offset(2))];
        assert_eq!(judge(&batch, &found), Verdict::Stored);
    }

    #[test]
    fn other_offsets_send_every_partition_of_the_batch_back_to_what_is_stored() {
        let batch = [progress(0, Some(3), 7), progress(1, Some(4), 9)];
        let behind = |stored| Found { partition: partition(0), expected: Some(Offset(3)), stored };
        let Verdict::Elsewhere(lost) = judge(&batch, &[(partition(1), Offset(4))]) else { panic!() };
        assert_eq!(lost[0], behind(None));
        let Verdict::Elsewhere(ahead) =
            judge(&batch, &[(partition(0), Offset(7)), (partition(1), Offset(4))])
        else {
            panic!()
        };
        assert_eq!(ahead[0], behind(Some(Offset(7))));
        assert_eq!(ahead[1].stored, Some(Offset(4)));
    }
}
