//! The simulated world that tests, demos and load runs share: clusters in memory on virtual time.
//!
//! Under tokio's paused clock hours pass in milliseconds, and nothing here waits for the machine it runs on: the store is
//! in memory, clients reach servers without sockets.

mod patience;

use jiff::Timestamp;
use runtime::Clock;

pub use apiserver::store::Memory;
pub use patience::{Impatient, until};

/// When simulated worlds begin.
pub const START: &str = "2026-04-22T12:00:00Z";

/// The clock of a simulated world.
#[must_use]
pub fn clock() -> Clock {
    Clock::simulated(START.parse().unwrap_or(Timestamp::UNIX_EPOCH))
}
