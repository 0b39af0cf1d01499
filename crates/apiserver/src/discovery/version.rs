//! The order of API versions: `v10`, `v2`, `v1`, `v2beta1`, `v1alpha1`, then whatever is named otherwise.

use std::cmp::{Ordering, Reverse};

/// Orders versions of one group, preferred first.
#[must_use]
pub fn compare_versions(a: &str, b: &str) -> Ordering {
    match (parsed(a), parsed(b)) {
        (Some(x), Some(y)) => x.cmp(&y).then_with(|| a.cmp(b)),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => a.cmp(b),
    }
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Stability {
    Stable,
    Beta,
    Alpha,
}

/// `v<major>[(alpha|beta)<minor>]`, both numbers without leading zeros.
fn parsed(version: &str) -> Option<(Stability, Reverse<u64>, Reverse<u64>)> {
    let rest = version.strip_prefix('v')?;
    let end = rest
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(rest.len());
    let (major, rest) = rest.split_at(end);
    let (stability, minor) = match (rest.strip_prefix("alpha"), rest.strip_prefix("beta")) {
        (Some(minor), _) => (Stability::Alpha, number(minor)?),
        (_, Some(minor)) => (Stability::Beta, number(minor)?),
        _ if rest.is_empty() => (Stability::Stable, 0),
        _ => return None,
    };
    Some((stability, Reverse(number(major)?), Reverse(minor)))
}

fn number(digits: &str) -> Option<u64> {
    let is_number = digits.bytes().all(|b| b.is_ascii_digit()) && !digits.starts_with('0');
    is_number.then(|| digits.parse().ok())?
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::compare_versions;

    #[test]
    fn stable_versions_come_first_and_newer_ones_before_older() {
        let sorted = [
            "v10",
            "v2",
            "v1",
            "v11beta2",
            "v10beta3",
            "v3beta1",
            "v12alpha1",
            "v11alpha2",
            "foo1",
            "foo10",
            "v0",
            "v01",
            "v1gamma1",
        ];
        let mut versions = sorted;
        versions.reverse();
        versions.sort_by(|a, b| compare_versions(a, b));
        assert_eq!(versions, sorted);
    }

    proptest! {
        #[test]
        fn the_order_is_total(names in prop::collection::vec("v?[0-3]{0,2}(alpha|beta)?[0-2]{0,1}|\\PC{0,5}", 3)) {
            let order = |a: usize, b: usize| compare_versions(&names[a], &names[b]);
            prop_assert_eq!(order(0, 1), order(1, 0).reverse());
            if order(0, 1).is_lt() && order(1, 2).is_lt() {
                prop_assert!(order(0, 2).is_lt());
            }
            prop_assert_eq!(order(0, 1).is_eq(), names[0] == names[1]);
        }
    }
}
