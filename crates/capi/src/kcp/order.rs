//! Which machine of a control plane goes first. Pure.

use std::cmp::Reverse;

use jiff::Timestamp;

/// How much reason a machine has to go when one must: outdated and marked by a user, marked, outdated and with a component that does not
/// work, outdated, unhealthy (which would hold up the going of another one), none.
#[must_use]
pub(super) fn class(is_marked: bool, is_outdated: bool, is_unhealthy: bool) -> u8 {
    match (is_marked, is_outdated, is_unhealthy) {
        (true, true, _) => 5,
        (true, false, _) => 4,
        (false, true, true) => 3,
        (false, true, false) => 2,
        (false, false, true) => 1,
        (false, false, false) => 0,
    }
}

/// What counts among machines of one class.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rank {
    /// Its failure domain is none that the infrastructure knows.
    pub is_misplaced: bool,
    /// Machines of the class in its failure domain, then all machines there.
    pub crowd: (usize, usize),
    /// When it was made.
    pub age: Timestamp,
}

impl Rank {
    /// The machine with the greatest key goes first: the misplaced, then the one in the largest crowd, then the oldest.
    #[must_use]
    pub(super) fn key(&self) -> (bool, (usize, usize), Reverse<Timestamp>) {
        (self.is_misplaced, self.crowd, Reverse(self.age))
    }
}
