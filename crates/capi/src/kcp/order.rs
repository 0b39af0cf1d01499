//! Which machine of a control plane goes first. Pure.

use std::cmp::Reverse;

use jiff::Timestamp;

/// What counts when one machine must go.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rank {
    /// A user marked it.
    pub is_marked: bool,
    /// It isn't what is wanted.
    pub is_outdated: bool,
    /// A component of it does not work.
    pub is_unhealthy: bool,
    /// Its failure domain is none that the infrastructure knows.
    pub is_misplaced: bool,
    /// Machines in its failure domain.
    pub crowd: usize,
    /// When it was made.
    pub age: Timestamp,
}

impl Rank {
    /// The machine with the greatest key goes first: outdated and marked, any marked, outdated and unhealthy, outdated, unhealthy (which
    /// would hold up the going of another one), all; among those the misplaced, then the one in the largest crowd, then the oldest.
    #[must_use]
    pub(super) fn key(&self) -> (u8, bool, usize, Reverse<Timestamp>) {
        let class = match (self.is_marked, self.is_outdated, self.is_unhealthy) {
            (true, true, _) => 5,
            (true, false, _) => 4,
            (false, true, true) => 3,
            (false, true, false) => 2,
            (false, false, true) => 1,
            (false, false, false) => 0,
        };
        (class, self.is_misplaced, self.crowd, Reverse(self.age))
    }
}
