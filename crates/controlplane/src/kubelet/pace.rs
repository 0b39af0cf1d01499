//! How often kubelets say that they live: very many of them in one process must not take the machine up with it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// How long a lease holds, in seconds, as those of real kubelets.
const LEASE_SECONDS: u32 = 40;
/// A lease is renewed so often in the time that it holds.
const RENEWALS: u32 = 4;
/// How often a kubelet reports its node's status though nothing has changed, as real ones do.
const REPORT: Duration = Duration::from_secs(300);
/// So many kubelets keep the pace of real ones, which is twenty renewals a second, each a durable write. With more of them
/// each renews half as often, a quarter, and so on, so that it stays at that. By halves also because a tenant sees the duration
/// of its leases, and is not to count the nodes of others by it.
const FULL_PACE: u32 = 200;
/// Leases are not stretched any more beyond this many times that of a real kubelet, three quarters of an hour: with more than
/// 12,800 kubelets there are more renewals again.
const STRETCH_MAX: u32 = 64;

/// The kubelets of one process. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Pace(Arc<AtomicU32>);

/// One kubelet among them, for as long as it runs.
#[derive(Debug)]
pub struct Member {
    pace: Pace,
    /// Seconds of the lease, whatever the others do; 0 leaves it to the pace.
    lease: u32,
}

impl Pace {
    /// One kubelet more. `lease_seconds` as in [`KubeletSpec::lease_seconds`](super::KubeletSpec::lease_seconds).
    #[must_use]
    pub fn join(&self, lease_seconds: u32) -> Member {
        self.0.fetch_add(1, Ordering::Relaxed);
        Member {
            pace: self.clone(),
            lease: lease_seconds,
        }
    }

    fn stretch(&self) -> u32 {
        let count = self.0.load(Ordering::Relaxed);
        count
            .div_ceil(FULL_PACE)
            .next_power_of_two()
            .clamp(1, STRETCH_MAX)
    }
}

impl Member {
    /// How long a lease that is renewed now holds.
    pub(super) fn lease(&self) -> Duration {
        let seconds = match self.lease {
            0 => LEASE_SECONDS * self.pace.stretch(),
            seconds => seconds,
        };
        Duration::from_secs(seconds.into())
    }

    /// How long after that it is renewed again.
    pub(super) fn renewal(&self) -> Duration {
        self.lease() / RENEWALS
    }

    /// How often the node's status is reported though nothing has changed.
    pub(super) fn report(&self) -> Duration {
        REPORT * self.pace.stretch()
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.pace.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn very_many_kubelets_renew_no_more_than_many() {
        let pace = Pace::default();
        let mut members: Vec<Member> = (0..200).map(|_| pace.join(0)).collect();
        let seconds = |member: &Member| {
            let all = [member.lease(), member.renewal(), member.report()];
            all.map(|duration| duration.as_secs())
        };
        assert_eq!(seconds(&members[0]), [40, 10, 300]);
        members.push(pace.join(0));
        assert_eq!(seconds(&members[0]), [80, 20, 600]);
        members.extend((members.len()..3000).map(|_| pace.join(0)));
        assert_eq!(seconds(&members[0]), [640, 160, 4800]);
        let exact = pace.join(40);
        assert_eq!(exact.lease().as_secs(), 40);
        members.extend((members.len()..100_000).map(|_| pace.join(0)));
        assert_eq!(seconds(&members[0]), [2560, 640, 19_200]);
        members.truncate(10);
        assert_eq!(seconds(&members[0]), [40, 10, 300]);
    }
}
