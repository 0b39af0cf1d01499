//! How long a Job waits after failures of its pods before it makes new ones.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;

use super::facts::{all_index_failures, finished_at};

/// After the first failure; doubled with each further one.
const FIRST: Duration = Duration::from_secs(10);
const LONGEST: Duration = Duration::from_secs(600);

/// The failures since the last success.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Failures {
    pub count: u32,
    pub last: Option<Timestamp>,
}

impl Failures {
    /// Those of the pods that have come to an end. What is known is what is there: pods that were removed since are
    /// forgotten, as Kubernetes forgets all of them when its controller restarts.
    pub(super) fn of(succeeded: &[&Pod], failed: &[&Pod]) -> Self {
        let last_success = succeeded.iter().map(|pod| finished_at(pod)).max();
        let later: Vec<Timestamp> = failed
            .iter()
            .map(|pod| finished_at(pod))
            .filter(|at| last_success.is_none_or(|success| *at > success))
            .collect();
        Self {
            count: u32::try_from(later.len()).unwrap_or(u32::MAX),
            last: later.into_iter().max(),
        }
    }

    /// Those of one index, of which this pod failed last.
    pub(super) fn of_index(last: &Pod) -> Self {
        let before = u32::try_from(all_index_failures(last)).unwrap_or(0);
        Self {
            count: before.saturating_add(1),
            last: Some(finished_at(last)),
        }
    }

    /// How much of the pause is left; zero if a new pod may come.
    pub(super) fn left(&self, now: Timestamp) -> Duration {
        let Some(last) = self.last.filter(|_| self.count > 0) else {
            return Duration::ZERO;
        };
        let doublings = (self.count - 1).min(10);
        let pause = (FIRST * 2_u32.pow(doublings)).min(LONGEST);
        let been = Duration::try_from(now.duration_since(last)).unwrap_or_default();
        pause.saturating_sub(been)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_doubles_up_to_ten_minutes() {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let left = |count| {
            Failures {
                count,
                last: Some(now),
            }
            .left(now)
            .as_secs()
        };
        let pauses: Vec<u64> = [0, 1, 2, 3, 6, 7, 50].map(left).into();
        assert_eq!(pauses, [0, 10, 20, 40, 320, 600, 600]);
    }

    #[test]
    fn what_has_passed_of_the_pause_is_subtracted() {
        let last: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let failures = Failures {
            count: 2,
            last: Some(last),
        };
        let after = |seconds| failures.left(last + jiff::SignedDuration::from_secs(seconds));
        assert_eq!(after(5).as_secs(), 15);
        assert_eq!(after(20), Duration::ZERO);
        assert_eq!(after(3600), Duration::ZERO);
    }
}
