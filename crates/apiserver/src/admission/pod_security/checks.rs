//! The checks of the Pod Security Standards: which there are, since which release, and what replaces what.

use serde_json::Value;

use super::policy::{Level, LevelVersion};
use super::{baseline, restricted};
use crate::admission::edit;

/// A pod, or what a template says of one.
#[derive(Clone, Copy)]
pub(super) struct Pod<'a> {
    pub(super) metadata: &'a Value,
    pub(super) spec: &'a Value,
}

/// Why a check does not let a pod pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Violation {
    /// In two or three words.
    pub(super) reason: String,
    /// Which part of the pod does it.
    pub(super) detail: String,
}

impl Violation {
    pub(super) fn new(reason: impl Into<String>, detail: impl Into<String>) -> Option<Self> {
        Some(Self {
            reason: reason.into(),
            detail: detail.into(),
        })
    }
}

/// What is wrong with a pod, if anything.
type Rule = for<'a> fn(&Pod<'a>) -> Option<Violation>;

struct Check {
    id: &'static str,
    level: Level,
    /// The minor from which on each wording of the rule holds, ascending.
    versions: &'static [(u32, Rule)],
    /// A check of the level below that this one includes.
    replaces: &'static str,
}

const fn check(
    level: Level,
    id: &'static str,
    versions: &'static [(u32, Rule)],
    replaces: &'static str,
) -> Check {
    Check {
        id,
        level,
        versions,
        replaces,
    }
}

/// In the order in which they are told.
const CHECKS: &[Check] = {
    use Level::{Baseline, Restricted};
    &[
        check(Baseline, "appArmorProfile", &[(0, baseline::app_armor)], ""),
        check(
            Baseline,
            "capabilities_baseline",
            &[(0, baseline::capabilities)],
            "",
        ),
        check(
            Baseline,
            "hostNamespaces",
            &[(0, baseline::host_namespaces)],
            "",
        ),
        check(
            Baseline,
            "hostPathVolumes",
            &[(0, baseline::host_path_volumes)],
            "",
        ),
        check(Baseline, "hostPorts", &[(0, baseline::host_ports)], ""),
        check(
            Baseline,
            "hostProbesAndHostLifecycle",
            &[(34, baseline::host_probes)],
            "",
        ),
        check(Baseline, "privileged", &[(0, baseline::privileged)], ""),
        check(
            Baseline,
            "procMount",
            &[
                (0, baseline::proc_mount),
                (35, baseline::proc_mount_of_host_users),
            ],
            "",
        ),
        check(
            Baseline,
            "seLinuxOptions",
            &[(0, baseline::se_linux), (31, baseline::se_linux_31)],
            "",
        ),
        check(
            Baseline,
            "seccompProfile_baseline",
            &[
                (0, baseline::seccomp_annotations),
                (19, baseline::seccomp_profile),
            ],
            "",
        ),
        check(
            Baseline,
            "sysctls",
            &[
                (0, baseline::sysctls),
                (27, baseline::sysctls_27),
                (29, baseline::sysctls_29),
                (32, baseline::sysctls_32),
            ],
            "",
        ),
        check(
            Baseline,
            "windowsHostProcess",
            &[(0, baseline::windows_host_process)],
            "",
        ),
        check(
            Restricted,
            "allowPrivilegeEscalation",
            &[
                (8, restricted::privilege_escalation),
                (25, restricted::privilege_escalation_25),
            ],
            "",
        ),
        check(
            Restricted,
            "capabilities_restricted",
            &[
                (22, restricted::capabilities),
                (25, restricted::capabilities_25),
            ],
            "capabilities_baseline",
        ),
        check(
            Restricted,
            "procMount_restricted",
            &[(35, baseline::proc_mount)],
            "procMount",
        ),
        check(
            Restricted,
            "restrictedVolumes",
            &[(0, restricted::volumes)],
            "hostPathVolumes",
        ),
        check(
            Restricted,
            "runAsNonRoot",
            &[
                (0, restricted::run_as_non_root),
                (35, restricted::run_as_non_root_35),
            ],
            "",
        ),
        check(
            Restricted,
            "runAsUser",
            &[
                (23, restricted::run_as_user),
                (35, restricted::run_as_user_35),
            ],
            "",
        ),
        check(
            Restricted,
            "seccompProfile_restricted",
            &[(19, restricted::seccomp), (25, restricted::seccomp_25)],
            "seccompProfile_baseline",
        ),
    ]
};

impl Check {
    /// The wording that holds for this level and version, if the check does at all.
    fn rule(&self, asked: LevelVersion) -> Option<Rule> {
        if self.level > asked.level {
            return None;
        }
        let mut newest_first = self.versions.iter().rev();
        newest_first
            .find(|(minor, _)| asked.version.has(*minor))
            .map(|(_, rule)| *rule)
    }
}

/// What keeps a pod from this level; nothing when it fits.
pub(super) fn violations(asked: LevelVersion, pod: &Pod<'_>) -> Vec<Violation> {
    let is_replaced = |id: &str| {
        CHECKS
            .iter()
            .any(|check| check.replaces == id && check.rule(asked).is_some())
    };
    CHECKS
        .iter()
        .filter(|check| !is_replaced(check.id))
        .filter_map(|check| check.rule(asked)?(pod))
        .collect()
}

/// All violations with their details, as refusals and warnings say them.
pub(super) fn details(violations: &[Violation]) -> String {
    let all: Vec<String> = violations
        .iter()
        .map(|v| match v.detail.as_str() {
            "" => v.reason.clone(),
            detail => format!("{} ({detail})", v.reason),
        })
        .collect();
    all.join(", ")
}

/// All violations in short.
pub(super) fn reasons(violations: &[Violation]) -> String {
    let all: Vec<&str> = violations.iter().map(|v| v.reason.as_str()).collect();
    all.join(", ")
}

impl<'a> Pod<'a> {
    /// Containers of all kinds, those that start first at first.
    pub(super) fn containers(&self) -> impl Iterator<Item = &'a Value> + use<'a> {
        let spec = self.spec;
        ["initContainers", "containers", "ephemeralContainers"]
            .into_iter()
            .flat_map(move |list| edit::items(spec, list))
    }

    /// Names of the containers of which this holds.
    pub(super) fn containers_that(&self, holds: impl FnMut(&&'a Value) -> bool) -> Vec<&'a str> {
        self.containers().filter(holds).map(name).collect()
    }

    /// Whether the pod says it is for Windows, where Linux' settings do not exist.
    pub(super) fn is_windows(&self) -> bool {
        self.spec["os"]["name"] == "windows"
    }

    /// Whether the pod's root is not the node's.
    pub(super) fn has_own_users(&self) -> bool {
        self.spec["hostUsers"] == false
    }
}

pub(super) fn name(container: &Value) -> &str {
    edit::text(container, "name")
}

/// `"a", "b"`.
pub(super) fn quoted<T: AsRef<str>>(items: &[T]) -> String {
    let all: Vec<String> = items
        .iter()
        .map(|item| format!("\"{}\"", item.as_ref()))
        .collect();
    all.join(", ")
}

/// The word for this many.
pub(super) fn word(one: &'static str, many: &'static str, count: usize) -> &'static str {
    if count == 1 { one } else { many }
}

/// `container "a"`, `containers "a", "b"`.
pub(super) fn containers_named(names: &[&str]) -> String {
    format!(
        "{} {}",
        word("container", "containers", names.len()),
        quoted(names)
    )
}

/// Who sets something: the pod, some of its containers, or both; nothing if nobody does.
pub(super) fn setters(does_pod: bool, containers: &[&str]) -> Vec<String> {
    let mut all = Vec::new();
    if does_pod {
        all.push("pod".to_owned());
    }
    if !containers.is_empty() {
        all.push(containers_named(containers));
    }
    all
}
