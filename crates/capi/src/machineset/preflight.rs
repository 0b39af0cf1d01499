//! What must hold before new worker machines are made. Pure.

use api::cluster::MachineSet;
use api::cluster::rules::Version;
use api::meta::labels;
use kube::core::DynamicObject;

use crate::contract::Contract;
use crate::object;

/// Minor versions that workers may lag behind the control plane.
const MINOR_SKEW_MAX: u64 = 3;

/// Why no machine may be made now; empty if one may.
#[must_use]
pub(crate) fn problems(set: &MachineSet, control_plane: Option<&DynamicObject>) -> Vec<String> {
    let skipped =
        object::annotation(&set.metadata, labels::SKIP_PREFLIGHT_CHECKS).unwrap_or_default();
    let is_skipped = |check: &str| {
        skipped
            .split(',')
            .map(str::trim)
            .any(|s| s == check || s == "All")
    };
    let Some(control_plane) = control_plane.map(Contract) else {
        return vec![];
    };
    let Some(wanted) = control_plane.version() else {
        return vec![];
    };
    let mut problems = vec![];
    if !is_skipped("ControlPlaneIsStable")
        && let Some(why) = instability(&control_plane, wanted)
    {
        let kind = control_plane.kind();
        problems.push(format!(
            "{kind} {why} (\"ControlPlaneIsStable\" preflight check failed)"
        ));
    }
    let (Some(control), Some(worker)) = (
        Version::parse(wanted),
        set.spec
            .template
            .spec
            .version
            .as_deref()
            .and_then(Version::parse),
    ) else {
        return problems;
    };
    if !is_skipped("KubernetesVersionSkew") {
        let check = "(\"KubernetesVersionSkew\" preflight check failed)";
        if worker.minor > control.minor {
            problems.push(format!(
                "MachineSet version ({}) must not be newer than the control plane version ({wanted}) {check}",
                set.spec.template.spec.version.as_deref().unwrap_or_default()
            ));
        } else if worker.minor + MINOR_SKEW_MAX < control.minor {
            problems.push(format!(
                "MachineSet version ({}) is more than {MINOR_SKEW_MAX} minor versions older than the control plane version ({wanted}) {check}",
                set.spec.template.spec.version.as_deref().unwrap_or_default()
            ));
        }
    }
    let is_kubeadm = set
        .spec
        .template
        .spec
        .bootstrap
        .config_ref
        .as_ref()
        .is_some_and(|r| r.kind == "KubeadmConfigTemplate");
    if is_kubeadm && !is_skipped("KubeadmVersionSkew") && worker.minor != control.minor {
        problems.push(format!(
            "MachineSet version ({}) and control plane version ({wanted}) must have the same minor version, as kubeadm joins no other (\"KubeadmVersionSkew\" preflight check failed)",
            set.spec.template.spec.version.as_deref().unwrap_or_default()
        ));
    }
    problems
}

fn instability(control_plane: &Contract<'_>, wanted: &str) -> Option<String> {
    let versions = control_plane.versions();
    let have: Vec<_> = if versions.is_empty() {
        control_plane
            .status_version()
            .into_iter()
            .map(str::to_owned)
            .collect()
    } else {
        versions.into_iter().map(|v| v.version).collect()
    };
    if have.is_empty() {
        return Some("is provisioning".to_owned());
    }
    let lowest = have.iter().filter_map(|v| Version::parse(v)).min();
    let is_upgrading = lowest
        .zip(Version::parse(wanted))
        .is_some_and(|(lowest, wanted)| wanted > lowest);
    is_upgrading.then(|| "is upgrading".to_owned())
}
