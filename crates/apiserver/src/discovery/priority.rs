//! Which groups and versions clients look at first: the priorities that Kubernetes gives its own, and everybody else's.

use std::cmp::{Ordering, Reverse};

use super::compare_versions;

/// Priorities of a group version, as an APIService has them: `groupPriorityMinimum` and `versionPriority`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Priority {
    /// Higher is earlier; that of a group is the highest among its versions.
    pub group: i64,
    /// Higher is earlier.
    pub version: i64,
}

/// What definitions of custom resources get.
pub(crate) const CUSTOM: Priority = Priority {
    group: 1000,
    version: 100,
};

/// The group of APIServices themselves comes before all others, which may have up to 20000.
const FIRST: Priority = Priority {
    group: 20_001,
    version: 0,
};

/// Group, its priority, and its versions with theirs.
type Row = (&'static str, i64, &'static [(&'static str, i64)]);

const BUILTIN: &[Row] = &[
    ("", 18_000, &[("v1", 1)]),
    ("apps", 17_800, &[("v1", 15)]),
    ("events.k8s.io", 17_750, &[("v1", 15)]),
    ("authentication.k8s.io", 17_700, &[("v1", 15)]),
    ("authorization.k8s.io", 17_600, &[("v1", 15)]),
    ("autoscaling", 17_500, &[("v2", 30), ("v1", 15)]),
    ("batch", 17_400, &[("v1", 15)]),
    ("certificates.k8s.io", 17_300, &[("v1", 15)]),
    ("networking.k8s.io", 17_200, &[("v1", 15)]),
    ("policy", 17_100, &[("v1", 15)]),
    ("rbac.authorization.k8s.io", 17_000, &[("v1", 15)]),
    ("storage.k8s.io", 16_800, &[("v1", 15)]),
    ("admissionregistration.k8s.io", 16_700, &[("v1", 15)]),
    ("apiextensions.k8s.io", 16_700, &[("v1", 15)]),
    ("scheduling.k8s.io", 16_600, &[("v1", 15)]),
    ("coordination.k8s.io", 16_500, &[("v1", 15)]),
    ("node.k8s.io", 16_300, &[("v1", 15)]),
    ("discovery.k8s.io", 16_200, &[("v1", 15)]),
    ("resource.k8s.io", 16_200, &[("v1", 21)]),
    ("flowcontrol.apiserver.k8s.io", 16_100, &[("v1", 21)]),
];

/// Whether a group is one of Kubernetes' own, in whatever version.
#[must_use]
pub(crate) fn is_builtin(group: &str) -> bool {
    group == "apiregistration.k8s.io" || BUILTIN.iter().any(|(name, ..)| *name == group)
}

/// The priorities of one of Kubernetes' own group versions.
#[must_use]
pub(crate) fn builtin(group: &str, version: &str) -> Option<Priority> {
    if group == "apiregistration.k8s.io" {
        return Some(FIRST);
    }
    let (_, priority, versions) = BUILTIN.iter().find(|(name, ..)| *name == group)?;
    let (_, of_version) = versions.iter().find(|(name, _)| *name == version)?;
    Some(Priority {
        group: *priority,
        version: *of_version,
    })
}

/// Kubernetes' own group versions that have an APIService: all but the group of APIServices.
pub(crate) fn all_builtin() -> impl Iterator<Item = (&'static str, &'static str, Priority)> {
    BUILTIN.iter().flat_map(|(group, priority, versions)| {
        versions.iter().map(|(version, of_version)| {
            let priority = Priority {
                group: *priority,
                version: *of_version,
            };
            (*group, *version, priority)
        })
    })
}

/// The order of groups in all documents, as far as only their names are known.
#[must_use]
pub fn compare_groups(a: &str, b: &str) -> Ordering {
    let rank = |group: &str| {
        let row = BUILTIN.iter().find(|(name, ..)| *name == group);
        match row {
            // The core group is in documents of its own, where there is no other.
            _ if group.is_empty() => i64::MAX,
            _ if group == "apiregistration.k8s.io" => FIRST.group,
            Some((_, priority, _)) => *priority,
            None => CUSTOM.group,
        }
    };
    let key = |group| Reverse(rank(group));
    key(a).cmp(&key(b)).then_with(|| a.cmp(b))
}

/// The order of versions within a group.
pub(super) fn compare(a: (Priority, &str), b: (Priority, &str)) -> Ordering {
    let by_priority = Reverse(a.0.version).cmp(&Reverse(b.0.version));
    by_priority.then_with(|| compare_versions(a.1, b.1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource;

    #[test]
    fn every_group_version_of_kubernetes_has_its_priorities() {
        let mut served: Vec<(&str, &str)> = resource::builtin()
            .iter()
            .map(|r| (&*r.group, &*r.version))
            .filter(|(group, _)| *group != "apiregistration.k8s.io")
            .collect();
        served.sort_unstable();
        served.dedup();
        let mut known: Vec<(&str, &str)> = all_builtin().map(|(g, v, _)| (g, v)).collect();
        known.sort_unstable();
        assert_eq!(served, known);
    }
}
