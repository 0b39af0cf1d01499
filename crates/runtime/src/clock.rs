//! The time of day, handed in: the wall clock in the product, a clock that follows tokio's (paused) time in tests.

use jiff::Timestamp;
use tokio::time::Instant;

/// Where the time of day comes from. Cheap to clone; all clones agree.
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    System,
    Simulated { start: Timestamp, since: Instant },
}

impl Clock {
    /// The machine's wall clock.
    #[must_use]
    pub fn system() -> Self {
        Self(Source::System)
    }

    /// A clock that shows `start` now and goes on as tokio's clock does: under `tokio::time::pause` it is virtual time.
    #[must_use]
    pub fn simulated(start: Timestamp) -> Self {
        Self(Source::Simulated {
            start,
            since: Instant::now(),
        })
    }

    /// The time of day.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Source::System => Timestamp::now(),
            Source::Simulated { start, since } => {
                start.checked_add(since.elapsed()).unwrap_or(Timestamp::MAX)
            }
        }
    }
}

/// A timestamp as Kubernetes writes it: RFC 3339, whole seconds, `Z`.
#[must_use]
pub fn rfc3339(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn simulated_time_follows_virtual_time() {
        let clock = Clock::simulated("2026-01-02T03:04:05.9Z".parse().unwrap());
        tokio::time::sleep(Duration::from_secs(3600)).await;
        assert_eq!(rfc3339(clock.now()), "2026-01-02T04:04:05Z");
    }
}
