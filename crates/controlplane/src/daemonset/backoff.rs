//! For how long failed pods are left alone: twice as long each time, by DaemonSet, generation and node.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

/// After the first failure.
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(15 * 60);
/// After so long without a failure it begins anew.
const REMEMBERED: Duration = Duration::from_secs(30 * 60);

/// The last failure on a node, and the pause after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BackOff {
    pub(crate) since: Timestamp,
    pub(crate) pause: Duration,
}

impl BackOff {
    /// How much of the pause is left; zero if it is over.
    pub(crate) fn left(&self, now: Timestamp) -> Duration {
        self.pause.saturating_sub(self.age(now))
    }

    fn age(&self, now: Timestamp) -> Duration {
        Duration::try_from(now.duration_since(self.since)).unwrap_or_default()
    }
}

/// Uid and generation of a DaemonSet, and a node.
type Key = (String, i64, String);

/// What a controller remembers. It forgets when it starts anew, as Kubernetes' own does.
#[derive(Debug, Default)]
pub(super) struct BackOffs(Mutex<HashMap<Key, BackOff>>);

impl BackOffs {
    /// Those of one DaemonSet, by node.
    pub(super) fn of(&self, daemon_set: &ObjectMeta) -> BTreeMap<String, BackOff> {
        let (uid, generation) = identity(daemon_set);
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let its = known
            .iter()
            .filter(|((of, at, _), _)| *of == uid && *at == generation);
        its.map(|((_, _, node), back_off)| (node.clone(), *back_off))
            .collect()
    }

    /// One more failure. What is long past is forgotten, so that there never are more than failed lately.
    pub(super) fn remember(&self, daemon_set: &ObjectMeta, node: &str, now: Timestamp) {
        let (uid, generation) = identity(daemon_set);
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, back_off| back_off.age(now) <= REMEMBERED);
        let back_off = known.entry((uid, generation, node.to_owned()));
        back_off
            .and_modify(|before| {
                before.pause = (before.pause * 2).min(LONGEST);
                before.since = now;
            })
            .or_insert(BackOff {
                since: now,
                pause: FIRST,
            });
    }
}

fn identity(daemon_set: &ObjectMeta) -> (String, i64) {
    let uid = daemon_set.uid.clone().unwrap_or_default();
    (uid, daemon_set.generation.unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_quarter_of_an_hour_and_begin_anew() {
        let back_offs = BackOffs::default();
        let daemon_set = ObjectMeta {
            uid: Some("uid".into()),
            generation: Some(1),
            ..ObjectMeta::default()
        };
        let mut now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let mut pauses = vec![];
        for _ in 0..12 {
            back_offs.remember(&daemon_set, "n1", now);
            let back_off = back_offs.of(&daemon_set)["n1"];
            pauses.push(back_off.pause.as_secs());
            assert_eq!(back_off.left(now), back_off.pause);
            now += back_off.pause;
            assert_eq!(back_off.left(now), Duration::ZERO);
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900]);
        now += jiff::SignedDuration::from_hours(1);
        back_offs.remember(&daemon_set, "n1", now);
        assert_eq!(back_offs.of(&daemon_set)["n1"].pause, FIRST);
        let changed = ObjectMeta {
            generation: Some(2),
            ..daemon_set
        };
        assert!(back_offs.of(&changed).is_empty());
    }
}
