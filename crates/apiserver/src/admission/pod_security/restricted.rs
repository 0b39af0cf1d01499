//! The checks that the restricted level adds to those of the baseline: pods are hardened, and say so.

use std::collections::BTreeSet;

use serde_json::Value;

use super::baseline::{self, adding, must_not_add};
use super::checks::{Pod, Violation, containers_named, name, quoted, setters, word};
use crate::admission::edit;

/// Where a pod may keep data.
const VOLUMES: &[&str] = &[
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "image",
    "persistentVolumeClaim",
    "projected",
    "secret",
];

/// All other kinds of volumes.
const OTHER_VOLUMES: &[&str] = &[
    "hostPath",
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "gitRepo",
    "nfs",
    "iscsi",
    "glusterfs",
    "rbd",
    "flexVolume",
    "cinder",
    "cephfs",
    "flocker",
    "fc",
    "azureFile",
    "vsphereVolume",
    "quobyte",
    "azureDisk",
    "photonPersistentDisk",
    "portworxVolume",
    "scaleIO",
    "storageos",
];

fn context(value: &Value) -> &Value {
    &value["securityContext"]
}

pub(super) fn privilege_escalation(pod: &Pod<'_>) -> Option<Violation> {
    let containers =
        pod.containers_that(|container| context(container)["allowPrivilegeEscalation"] != false);
    if containers.is_empty() {
        return None;
    }
    let who = containers_named(&containers);
    Violation::new(
        "allowPrivilegeEscalation != false",
        format!("{who} must set securityContext.allowPrivilegeEscalation=false"),
    )
}

pub(super) fn privilege_escalation_25(pod: &Pod<'_>) -> Option<Violation> {
    if pod.is_windows() {
        return None;
    }
    privilege_escalation(pod)
}

pub(super) fn capabilities(pod: &Pod<'_>) -> Option<Violation> {
    let keeping = pod.containers_that(|container| {
        !edit::items(&context(container)["capabilities"], "drop").any(|c| c == "ALL")
    });
    let (containers, added) = adding(pod, |capability| capability == "NET_BIND_SERVICE");
    let mut details = Vec::new();
    if !keeping.is_empty() {
        let who = containers_named(&keeping);
        details.push(format!(
            "{who} must set securityContext.capabilities.drop=[\"ALL\"]"
        ));
    }
    if !containers.is_empty() {
        details.push(must_not_add(&containers, &added));
    }
    if details.is_empty() {
        return None;
    }
    Violation::new("unrestricted capabilities", details.join("; "))
}

pub(super) fn capabilities_25(pod: &Pod<'_>) -> Option<Violation> {
    if pod.is_windows() {
        return None;
    }
    capabilities(pod)
}

pub(super) fn volumes(pod: &Pod<'_>) -> Option<Violation> {
    let has = |volume: &Value, kinds: &[&'static str]| {
        kinds
            .iter()
            .find(|kind| volume[**kind].is_object())
            .copied()
    };
    let (mut volumes, mut kinds) = (Vec::new(), BTreeSet::new());
    for volume in edit::items(pod.spec, "volumes") {
        if has(volume, VOLUMES).is_none() {
            volumes.push(name(volume));
            kinds.insert(has(volume, OTHER_VOLUMES).unwrap_or("unknown"));
        }
    }
    if volumes.is_empty() {
        return None;
    }
    let kinds: Vec<&str> = kinds.into_iter().collect();
    Violation::new(
        "restricted volume types",
        format!(
            "{} {} {} {} {}",
            word("volume", "volumes", volumes.len()),
            quoted(&volumes),
            word("uses", "use", volumes.len()),
            word(
                "restricted volume type",
                "restricted volume types",
                kinds.len()
            ),
            quoted(&kinds)
        ),
    )
}

pub(super) fn run_as_non_root(pod: &Pod<'_>) -> Option<Violation> {
    const REASON: &str = "runAsNonRoot != true";
    let of_pod = &context(pod.spec)["runAsNonRoot"];
    let of = |container: &Value| context(container)["runAsNonRoot"].as_bool();
    let explicit = pod.containers_that(|container| of(container) == Some(false));
    let setters = setters(*of_pod == false, &explicit);
    if !setters.is_empty() {
        let who = setters.join(" and ");
        return Violation::new(
            REASON,
            format!("{who} must not set securityContext.runAsNonRoot=false"),
        );
    }
    let implicit = pod.containers_that(|container| of(container).is_none() && *of_pod != true);
    if implicit.is_empty() {
        return None;
    }
    let who = containers_named(&implicit);
    Violation::new(
        REASON,
        format!("pod or {who} must set securityContext.runAsNonRoot=true"),
    )
}

pub(super) fn run_as_non_root_35(pod: &Pod<'_>) -> Option<Violation> {
    if pod.has_own_users() {
        return None;
    }
    run_as_non_root(pod)
}

pub(super) fn run_as_user(pod: &Pod<'_>) -> Option<Violation> {
    let is_root = |holder: &Value| context(holder)["runAsUser"].as_i64() == Some(0);
    let containers = pod.containers_that(|container| is_root(container));
    let setters = setters(is_root(pod.spec), &containers);
    if setters.is_empty() {
        return None;
    }
    let who = setters.join(" and ");
    Violation::new("runAsUser=0", format!("{who} must not set runAsUser=0"))
}

pub(super) fn run_as_user_35(pod: &Pod<'_>) -> Option<Violation> {
    if pod.has_own_users() {
        return None;
    }
    run_as_user(pod)
}

pub(super) fn seccomp(pod: &Pod<'_>) -> Option<Violation> {
    let explicit = baseline::seccomp_profile(pod);
    if explicit.is_some() {
        return explicit;
    }
    let is_set = |holder: &Value| context(holder)["seccompProfile"].is_object();
    let implicit = pod.containers_that(|container| !is_set(container) && !is_set(pod.spec));
    if implicit.is_empty() {
        return None;
    }
    let who = containers_named(&implicit);
    Violation::new(
        "seccompProfile",
        format!(
            "pod or {who} must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\""
        ),
    )
}

pub(super) fn seccomp_25(pod: &Pod<'_>) -> Option<Violation> {
    if pod.is_windows() {
        return None;
    }
    seccomp(pod)
}
