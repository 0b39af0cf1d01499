//! How many machines each MachineSet should have while the newer one replaces the others. Pure, and knows nothing of objects.

use std::collections::BTreeMap;

/// A MachineSet, as far as a rollout is concerned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Set {
    pub name: String,
    /// It has the wanted template.
    pub is_new: bool,
    /// Machines that it should have.
    pub wanted: i32,
    /// Machines that it has.
    pub replicas: i32,
    /// Machines that are available.
    pub available: i32,
}

/// Bounds of a rollout.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Machines that there should be in all.
    pub replicas: i32,
    /// Machines in excess that there may be.
    pub max_surge: i32,
    /// Machines that may be unavailable.
    pub max_unavailable: i32,
}

/// The machines that each set should have next. `sets` are ordered from the oldest to the newest; one is new.
#[must_use]
pub fn rolling_update(sets: &[Set], bounds: Bounds) -> BTreeMap<String, i32> {
    let mut next: BTreeMap<String, i32> = sets.iter().map(|s| (s.name.clone(), s.wanted)).collect();
    let Some(new) = sets.iter().find(|s| s.is_new) else {
        return next;
    };
    next.insert(new.name.clone(), scale_new(sets, new, bounds));
    scale_old(sets, new, bounds, &mut next);
    unlock(sets, new, bounds, &mut next);
    next
}

/// As much as the bound on the total allows. A set that is to have more than it has counts as if it had it.
fn scale_new(sets: &[Set], new: &Set, bounds: Bounds) -> i32 {
    if new.wanted >= bounds.replicas {
        return bounds.replicas;
    }
    let total: i32 = sets.iter().map(|s| s.wanted.max(s.replicas)).sum();
    let room = (bounds.replicas.saturating_add(bounds.max_surge) - total).max(0);
    new.wanted + room.min(bounds.replicas - new.wanted)
}

/// First those that are unavailable anyway, then as many as availability allows.
fn scale_old(sets: &[Set], new: &Set, bounds: Bounds, next: &mut BTreeMap<String, i32>) {
    let min_available = bounds.replicas - bounds.max_unavailable;
    let total: i32 = sets.iter().map(|s| s.wanted).sum();
    // Machines that are on their way out can't go a second time.
    let leaving: i32 = sets.iter().map(|s| (s.replicas - s.wanted).max(0)).sum();
    let new_unavailable = (new.wanted - new.available).max(0);
    let mut budget = total - min_available - new_unavailable;
    let olds: Vec<_> = sets.iter().filter(|s| !s.is_new && s.wanted > 0).collect();
    for old in &olds {
        let broken = (old.wanted - old.available).clamp(0, old.wanted);
        let step = broken.min(budget.max(0));
        take(next, &old.name, step);
        budget -= step;
    }
    let available: i32 = sets.iter().map(|s| s.available.min(s.wanted)).sum();
    let mut spare = (available - min_available).min(budget).max(0);
    if leaving > 0 {
        // What leaves may still count as available.
        spare = spare.min((available - leaving - min_available).max(0));
    }
    for old in &olds {
        let left = next.get(&old.name).copied().unwrap_or_default();
        let step = left.min(spare);
        take(next, &old.name, step);
        spare -= step;
    }
}

/// When nothing moves, the new set is fine and the old one isn't: the old one gives way.
fn unlock(sets: &[Set], new: &Set, bounds: Bounds, next: &mut BTreeMap<String, i32>) {
    let is_moving = sets
        .iter()
        .any(|s| s.wanted != s.replicas || next.get(&s.name) != Some(&s.wanted));
    let is_new_fine = new.available == new.wanted;
    let broken = sets
        .iter()
        .find(|s| !s.is_new && s.wanted > 0 && s.available < s.wanted);
    if !is_moving
        && is_new_fine
        && new.wanted < bounds.replicas
        && let Some(old) = broken
    {
        take(next, &old.name, 1);
    }
}

fn take(next: &mut BTreeMap<String, i32>, name: &str, step: i32) {
    if let Some(count) = next.get_mut(name) {
        *count -= step;
    }
}

/// Machines that each set should have when machines are replaced only as their user deletes them: the new set grows by what others lost.
#[must_use]
pub fn on_delete(sets: &[Set], replicas: i32) -> BTreeMap<String, i32> {
    let mut next: BTreeMap<String, i32> = sets.iter().map(|s| (s.name.clone(), s.wanted)).collect();
    let mut old_total = 0;
    for old in sets.iter().filter(|s| !s.is_new) {
        let kept = old.wanted.min(old.replicas);
        next.insert(old.name.clone(), kept);
        old_total += kept;
    }
    if let Some(new) = sets.iter().find(|s| s.is_new) {
        next.insert(new.name.clone(), (replicas - old_total).max(0));
        let mut excess = old_total - replicas;
        for old in sets.iter().filter(|s| !s.is_new) {
            let step = next
                .get(&old.name)
                .copied()
                .unwrap_or_default()
                .min(excess.max(0));
            take(&mut next, &old.name, step);
            excess -= step;
        }
    }
    next
}

/// Machines that each set should have when only the total changes, in proportion to what they have. A rollout that has begun keeps the machines
/// in excess that it may have: some of them may not be available yet.
#[must_use]
pub fn proportional(sets: &[Set], bounds: Bounds) -> BTreeMap<String, i32> {
    let mut next: BTreeMap<String, i32> = sets.iter().map(|s| (s.name.clone(), s.wanted)).collect();
    let total: i32 = sets.iter().map(|s| s.wanted).sum();
    let is_rolling = sets.iter().filter(|s| s.wanted > 0).count() > 1;
    let replicas = if is_rolling && bounds.replicas > 0 {
        total.clamp(
            bounds.replicas,
            bounds.replicas.saturating_add(bounds.max_surge),
        )
    } else {
        bounds.replicas
    };
    if total == 0 {
        if let Some(newest) = sets.iter().find(|s| s.is_new).or(sets.last()) {
            next.insert(newest.name.clone(), replicas);
        }
        return next;
    }
    let mut left = replicas;
    for set in sets {
        let share = i64::from(set.wanted) * i64::from(replicas) / i64::from(total);
        let share = i32::try_from(share).unwrap_or(replicas);
        next.insert(set.name.clone(), share);
        left -= share;
    }
    // What rounding left goes to the largest, the newest of equals.
    if let Some(largest) = sets
        .iter()
        .enumerate()
        .max_by_key(|(i, s)| (s.wanted, *i))
        .map(|(_, s)| s)
        && let Some(count) = next.get_mut(&largest.name)
    {
        *count += left;
    }
    next
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};
    use std::fmt::Write as _;

    /// Runs a rollout to its end: in each round one machine of each set comes or goes, and new ones become available a round later.
    fn simulate(replicas: i32, max_surge: i32, max_unavailable: i32) -> String {
        let bounds = Bounds {
            replicas,
            max_surge,
            max_unavailable,
        };
        let set = |name: &str, is_new, n| Set {
            name: name.to_owned(),
            is_new,
            wanted: n,
            replicas: n,
            available: n,
        };
        let mut sets = vec![set("old", false, replicas), set("new", true, 0)];
        let mut lines = String::new();
        for round in 0..100 {
            let next = rolling_update(&sets, bounds);
            for set in &mut sets {
                set.wanted = next[&set.name];
            }
            let total: i32 = sets.iter().map(|s| s.replicas.max(s.wanted)).sum();
            let available: i32 = sets.iter().map(|s| s.available.min(s.wanted)).sum();
            assert!(total <= replicas + max_surge, "round {round}: {sets:?}");
            assert!(
                available >= replicas - bounds.max_unavailable,
                "round {round}: {sets:?}"
            );
            let show = |s: &Set| format!("{} {}/{}/{}", s.name, s.wanted, s.replicas, s.available);
            let line = sets.iter().map(show).collect::<Vec<_>>().join("  ");
            writeln!(lines, "{line}").unwrap();
            if sets[0].replicas == 0 && sets[1].available == replicas {
                return lines;
            }
            for set in &mut sets {
                set.available = set.replicas.min(set.wanted);
                set.replicas += (set.wanted - set.replicas).signum();
            }
        }
        panic!("never ends:\n{lines}");
    }

    fn check(replicas: i32, max_surge: i32, max_unavailable: i32, expect: &Expect) {
        expect.assert_eq(&simulate(replicas, max_surge, max_unavailable));
    }

    #[test]
    fn surge_replaces_one_by_one() {
        check(
            3,
            1,
            0,
            &expect![[r#"
            old 3/3/3  new 1/0/0
            old 3/3/3  new 1/1/0
            old 2/3/3  new 1/1/1
            old 2/2/2  new 2/1/1
            old 2/2/2  new 2/2/1
            old 1/2/2  new 2/2/2
            old 1/1/1  new 3/2/2
            old 1/1/1  new 3/3/2
            old 0/1/1  new 3/3/3
            old 0/0/0  new 3/3/3
        "#]],
        );
    }

    #[test]
    fn without_surge_machines_go_first() {
        check(
            3,
            0,
            1,
            &expect![[r#"
            old 2/3/3  new 0/0/0
            old 2/2/2  new 1/0/0
            old 2/2/2  new 1/1/0
            old 1/2/2  new 1/1/1
            old 1/1/1  new 2/1/1
            old 1/1/1  new 2/2/1
            old 0/1/1  new 2/2/2
            old 0/0/0  new 3/2/2
            old 0/0/0  new 3/3/2
            old 0/0/0  new 3/3/3
        "#]],
        );
    }

    #[test]
    fn bounds_hold_whatever_they_are() {
        for replicas in 0..8 {
            for surge in 0..12 {
                for unavailable in 0..12 {
                    if surge + unavailable > 0 {
                        simulate(replicas, surge, unavailable);
                    }
                }
            }
        }
    }

    fn sets_of(counts: &[i32]) -> Vec<Set> {
        let last = counts.len() - 1;
        let of = |(i, n): (usize, &i32)| Set {
            name: format!("s{i}"),
            is_new: i == last,
            wanted: *n,
            replicas: *n,
            available: *n,
        };
        counts.iter().enumerate().map(of).collect()
    }

    /// One step: sizes are set, then each set comes one machine nearer, and what came the last time is available.
    fn step(sets: &mut [Set], next: &BTreeMap<String, i32>) {
        for set in sets {
            set.wanted = next[&set.name];
            set.available = set.replicas.min(set.wanted);
            set.replicas += (set.wanted - set.replicas).signum();
        }
    }

    fn is_done(sets: &[Set], replicas: i32) -> bool {
        sets.iter().all(|s| {
            let wanted = if s.is_new { replicas } else { 0 };
            (s.wanted, s.replicas, s.available) == (wanted, wanted, wanted)
        })
    }

    #[test]
    fn rollouts_end_whatever_changes_on_the_way() {
        let bounds = |replicas, max_surge, max_unavailable| Bounds {
            replicas,
            max_surge,
            max_unavailable,
        };
        for (surge, unavailable) in [(1, 0), (0, 1), (3, 1), (1, 3), (10, 0), (0, 10)] {
            for (from, to) in [(6, 6), (6, 12), (12, 6), (3, 3)] {
                for change_at in 0..12 {
                    for has_third in [false, true] {
                        let mut sets = sets_of(&[from, 0]);
                        let mut replicas = from;
                        let mut rounds = 0;
                        while !is_done(&sets, to) || rounds <= change_at {
                            if rounds == change_at {
                                replicas = to;
                                // The template changes once more: the set that was new is an old one now.
                                if has_third {
                                    sets.iter_mut().for_each(|s| s.is_new = false);
                                    let mut third = sets_of(&[0, 0, 0]).remove(2);
                                    third.is_new = true;
                                    sets.push(third);
                                }
                            }
                            let before: i32 = sets.iter().map(|s| s.replicas.max(s.wanted)).sum();
                            let next = rolling_update(&sets, bounds(replicas, surge, unavailable));
                            let total: i32 =
                                sets.iter().map(|s| s.replicas.max(next[&s.name])).sum();
                            let what = format!(
                                "{from}→{to} {surge}/{unavailable} at {change_at}, {has_third}: {sets:?}"
                            );
                            assert!(total <= before.max(replicas + surge), "{what}");
                            step(&mut sets, &next);
                            rounds += 1;
                            assert!(rounds < 200, "{what}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn on_delete_never_deletes_what_is_wanted() {
        for (from, to) in [(3, 3), (6, 9), (12, 6), (6, 6)] {
            let mut sets = sets_of(&[from, 0]);
            let mut rounds = 0;
            while !is_done(&sets, to) {
                let next = on_delete(&sets, to);
                let old = sets[0].clone();
                let excess = (from - to).max(0);
                assert!(
                    next["s0"] >= old.replicas.min(old.wanted) - excess,
                    "{sets:?}"
                );
                step(&mut sets, &next);
                // Each second round the user deletes a machine of the old set.
                if rounds % 2 == 1 && sets[0].replicas > 0 && sets[0].replicas == sets[0].wanted {
                    sets[0].replicas -= 1;
                }
                rounds += 1;
                assert!(rounds < 200, "{from}→{to}: {sets:?}");
            }
        }
    }

    #[test]
    fn broken_machines_go_first() {
        let set = |name: &str, is_new, wanted, available| Set {
            name: name.to_owned(),
            is_new,
            wanted,
            replicas: wanted,
            available,
        };
        let bounds = Bounds {
            replicas: 3,
            max_surge: 1,
            max_unavailable: 0,
        };
        let next = |sets: &[Set]| format!("{:?}\n", rolling_update(sets, bounds));
        let mut text = next(&[
            set("a", false, 2, 1),
            set("b", false, 1, 1),
            set("c", true, 1, 1),
        ]);
        text += &next(&[set("a", false, 3, 0), set("c", true, 1, 1)]);
        text += &next(&[set("a", false, 3, 0), set("c", true, 0, 0)]);
        expect![[r#"
            {"a": 1, "b": 1, "c": 1}
            {"a": 2, "c": 1}
            {"a": 3, "c": 1}
        "#]]
        .assert_eq(&text);
    }

    #[test]
    fn totals_change_in_proportion() {
        let set = |name: &str, is_new, wanted| Set {
            name: name.to_owned(),
            is_new,
            wanted,
            replicas: wanted,
            available: wanted,
        };
        let mut text = String::new();
        for (sets, replicas, max_surge) in [
            (vec![set("a", false, 2), set("b", true, 4)], 9, 0),
            (vec![set("a", false, 2), set("b", true, 4)], 3, 0),
            (vec![set("a", false, 0), set("b", true, 0)], 3, 1),
            // A rollout that has begun keeps its excess, and no more.
            (vec![set("a", false, 2), set("b", true, 2)], 3, 1),
            (vec![set("a", false, 2), set("b", true, 4)], 3, 1),
            (vec![set("a", false, 2), set("b", true, 2)], 0, 1),
            (vec![set("a", false, 0), set("b", true, 4)], 3, 1),
            // As many as there can be are no more than there are.
            (vec![set("a", false, 2), set("b", true, 2)], 3, i32::MAX),
        ] {
            let bounds = Bounds {
                replicas,
                max_surge,
                max_unavailable: 0,
            };
            let next = proportional(&sets, bounds);
            writeln!(text, "{replicas} and {max_surge}: {next:?}").unwrap();
        }
        expect![[r#"
            9 and 0: {"a": 3, "b": 6}
            3 and 0: {"a": 1, "b": 2}
            3 and 1: {"a": 0, "b": 3}
            3 and 1: {"a": 2, "b": 2}
            3 and 1: {"a": 1, "b": 3}
            0 and 1: {"a": 0, "b": 0}
            3 and 1: {"a": 0, "b": 3}
            3 and 2147483647: {"a": 2, "b": 2}
        "#]]
        .assert_eq(&text);
    }

    #[test]
    fn on_delete_follows_the_user() {
        let set = |name: &str, is_new, wanted, replicas| Set {
            name: name.to_owned(),
            is_new,
            wanted,
            replicas,
            available: replicas,
        };
        let mut text = String::new();
        for (sets, replicas) in [
            (vec![set("a", false, 3, 3), set("b", true, 0, 0)], 3),
            (vec![set("a", false, 3, 2), set("b", true, 0, 0)], 3),
            (vec![set("a", false, 3, 3), set("b", true, 0, 0)], 5),
            (vec![set("a", false, 3, 3), set("b", true, 2, 2)], 2),
        ] {
            writeln!(text, "{replicas}: {:?}", on_delete(&sets, replicas)).unwrap();
        }
        expect![[r#"
            3: {"a": 3, "b": 0}
            3: {"a": 2, "b": 1}
            5: {"a": 3, "b": 2}
            2: {"a": 2, "b": 0}
        "#]]
        .assert_eq(&text);
    }
}
