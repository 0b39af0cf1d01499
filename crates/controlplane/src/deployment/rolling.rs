//! How many replicas each ReplicaSet gets in a rolling update: arithmetic on numbers alone.

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

/// What one ReplicaSet has and wants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Set {
    pub name: String,
    /// `spec.replicas`.
    pub wanted: i32,
    /// `status.availableReplicas`.
    pub available: i32,
    /// Seconds since the epoch of its creation: old ones go first.
    pub created: i64,
    /// The most pods that were allowed when it was last scaled.
    pub max_then: Option<i32>,
}

/// The limits of a rolling update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limits {
    pub desired: i32,
    pub max_surge: i32,
    pub max_unavailable: i32,
}

impl Limits {
    /// Percentages of `desired`: surge is rounded up, unavailable down; both zero would never move.
    pub(super) fn new(
        desired: i32,
        surge: Option<&IntOrString>,
        unavailable: Option<&IntOrString>,
    ) -> Self {
        let quarter = IntOrString::String("25%".into());
        let max_surge = share(surge.unwrap_or(&quarter), desired, true);
        let mut max_unavailable = share(unavailable.unwrap_or(&quarter), desired, false);
        if max_surge == 0 && max_unavailable == 0 {
            max_unavailable = 1;
        }
        Self {
            desired,
            max_surge,
            max_unavailable: max_unavailable.min(desired.max(1)),
        }
    }

    pub(super) fn max_pods(self) -> i32 {
        if self.desired == 0 {
            0
        } else {
            self.desired.saturating_add(self.max_surge)
        }
    }

    fn min_available(self) -> i32 {
        self.desired - self.max_unavailable
    }
}

fn share(value: &IntOrString, of: i32, up: bool) -> i32 {
    match value {
        IntOrString::Int(count) => (*count).max(0),
        IntOrString::String(text) => {
            let percent = text
                .trim_end_matches('%')
                .parse::<i64>()
                .unwrap_or(0)
                .max(0);
            let hundredths = i64::from(of).saturating_mul(percent);
            let count = if up {
                (hundredths + 99) / 100
            } else {
                hundredths / 100
            };
            i32::try_from(count).unwrap_or(i32::MAX)
        }
    }
}

/// Replicas that the new ReplicaSet may have now.
pub(super) fn new_replicas(limits: Limits, new: &Set, old: &[Set]) -> i32 {
    if new.wanted > limits.desired {
        return limits.desired;
    }
    let all = new.wanted + old.iter().map(|set| set.wanted).sum::<i32>();
    let room = (limits.max_pods() - all).max(0);
    new.wanted + room.min(limits.desired - new.wanted)
}

/// Old ReplicaSets that shrink now, with their new replicas: unhealthy pods first, then as many healthy ones as may go.
pub(super) fn old_replicas(limits: Limits, new: &Set, old: &[Set]) -> Vec<(String, i32)> {
    let mut sets: Vec<Set> = old.iter().filter(|set| set.wanted > 0).cloned().collect();
    sets.sort_by(|a, b| (a.created, &a.name).cmp(&(b.created, &b.name)));
    let all = new.wanted + sets.iter().map(|set| set.wanted).sum::<i32>();
    let new_unavailable = (new.wanted - new.available).max(0);
    let mut budget = all - limits.min_available() - new_unavailable;
    for set in &mut sets {
        let unhealthy = (set.wanted - set.available).max(0).min(budget.max(0));
        set.wanted -= unhealthy;
        budget -= unhealthy;
    }
    let available = new.available
        + sets
            .iter()
            .map(|set| set.available.min(set.wanted))
            .sum::<i32>();
    let mut spare = (available - limits.min_available()).max(0);
    for set in &mut sets {
        let healthy = set.wanted.min(spare);
        set.wanted -= healthy;
        spare -= healthy;
    }
    let before = |name: &str| {
        old.iter()
            .find(|set| set.name == name)
            .map(|set| set.wanted)
    };
    sets.into_iter()
        .filter(|s| before(&s.name) != Some(s.wanted))
        .map(|s| (s.name, s.wanted))
        .collect()
}

/// Spreads a change of `desired` in the middle of an update over the ReplicaSets in proportion to their size.
pub(super) fn proportional(limits: Limits, sets: &[Set]) -> Vec<(String, i32)> {
    let all: i32 = sets.iter().map(|set| set.wanted).sum();
    let to_add = limits.max_pods() - all;
    if to_add == 0 {
        return vec![];
    }
    let mut sets = sets.to_vec();
    // Larger ones first; among equals the newer grows first and the older shrinks first.
    sets.sort_by_key(|set| {
        (
            -set.wanted,
            if to_add > 0 {
                -set.created
            } else {
                set.created
            },
        )
    });
    let mut left = to_add;
    let mut scaled: Vec<(String, i32)> = sets
        .iter()
        .map(|set| {
            let before = set.max_then.unwrap_or(all).max(1);
            let exact = f64::from(set.wanted) * f64::from(limits.max_pods()) / f64::from(before);
            #[expect(
                clippy::cast_possible_truncation,
                reason = "a share of i32 replicas fits, and `as` saturates"
            )]
            let part = exact.round() as i32 - set.wanted;
            let part = if to_add > 0 {
                part.clamp(0, left)
            } else {
                part.clamp(left, 0)
            };
            left -= part;
            (set.name.clone(), (set.wanted + part).max(0))
        })
        .collect();
    if let Some((_, replicas)) = scaled.first_mut() {
        *replicas = (*replicas + left).max(0);
    }
    scaled
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(name: &str, wanted: i32, available: i32) -> Set {
        Set {
            name: name.into(),
            wanted,
            available,
            created: 0,
            max_then: None,
        }
    }

    /// Runs an update to its end with pods that become available at once, and checks the limits at every step.
    #[test]
    fn an_update_keeps_its_limits_and_ends() {
        for desired in 0..12 {
            for (surge, unavailable) in [(1, 0), (0, 1), (1, 1), (3, 2), (0, 0)] {
                let limits = Limits::new(
                    desired,
                    Some(&IntOrString::Int(surge)),
                    Some(&IntOrString::Int(unavailable)),
                );
                let (mut new, mut old) = (set("new", 0, 0), vec![set("old", desired, desired)]);
                for step in 0.. {
                    assert!(step < 100, "no end with {limits:?}");
                    new.wanted = new_replicas(limits, &new, &old);
                    assert!(new.wanted + old[0].wanted <= limits.max_pods().max(desired));
                    for (_, replicas) in old_replicas(limits, &new, &old.clone()) {
                        old[0].wanted = replicas;
                        old[0].available = old[0].available.min(replicas);
                    }
                    assert!(new.available + old[0].available >= limits.min_available());
                    new.available = new.wanted;
                    if new.wanted == desired && old[0].wanted == 0 {
                        break;
                    }
                }
            }
        }
    }

    #[test]
    fn unhealthy_old_pods_go_first() {
        let limits = Limits {
            desired: 10,
            max_surge: 0,
            max_unavailable: 2,
        };
        let old = [set("sick", 4, 0), set("well", 4, 4)];
        assert_eq!(
            old_replicas(limits, &set("new", 2, 2), &old),
            vec![("sick".to_owned(), 2)]
        );
    }

    #[test]
    fn a_change_of_size_in_an_update_is_shared() {
        let limits = Limits {
            desired: 20,
            max_surge: 5,
            max_unavailable: 0,
        };
        let mut sets = [set("a", 10, 10), set("b", 5, 5)];
        sets.iter_mut().for_each(|s| s.max_then = Some(15));
        assert_eq!(
            proportional(limits, &sets),
            vec![("a".to_owned(), 17), ("b".to_owned(), 8)]
        );
    }

    #[test]
    fn percentages_round_for_safety() {
        let limits = Limits::new(3, None, None);
        assert_eq!((limits.max_surge, limits.max_unavailable), (1, 0));
    }
}
