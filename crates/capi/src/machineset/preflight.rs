//! What must hold before new worker machines are made. Pure.

use api::cluster::rules::Version;
use api::cluster::topology::Topology;
use api::meta::labels;

use super::World;
use crate::contract::Contract;
use crate::object;

/// Minor versions that workers may lag behind the control plane.
const MINOR_SKEW_MAX: u64 = 3;

/// Why no machine may be made now; empty if one may.
#[must_use]
pub(crate) fn problems(world: &World) -> Vec<String> {
    let set = &world.set;
    let template = world.bootstrap_template.as_ref().map(|t| &t.metadata);
    let skipped: Vec<_> = [Some(&set.metadata), template]
        .into_iter()
        .flatten()
        .filter_map(|metadata| object::annotation(metadata, labels::SKIP_PREFLIGHT_CHECKS))
        .flat_map(|list| list.split(',').map(str::trim))
        .collect();
    let is_skipped = |check: &str| skipped.contains(&check) || skipped.contains(&"All");
    let Some(control_plane) = world.control_plane.as_deref().map(Contract) else {
        return vec![];
    };
    let Some(wanted) = control_plane.version() else {
        return vec![];
    };
    let mut problems = vec![];
    if !is_skipped("ControlPlaneIsStable")
        && let Some(why) = instability(&control_plane, wanted).or_else(|| pending(world, wanted))
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
    let version = set
        .spec
        .template
        .spec
        .version
        .as_deref()
        .unwrap_or_default();
    if topology(world).is_some() && !is_skipped("ControlPlaneVersionSkew") && version != wanted {
        problems.push(format!(
            "MachineSet version ({version}) must be the control plane version ({wanted}): machines of another one would be replaced soon (\"ControlPlaneVersionSkew\" preflight check failed)"
        ));
    }
    problems
}

fn topology(world: &World) -> Option<&Topology> {
    world.cluster.as_ref()?.spec.topology.as_ref()
}

/// The version that a topology has for the control plane, if the control plane has yet to be told.
fn pending(world: &World, version: &str) -> Option<String> {
    let wanted = topology(world)?.version.as_str();
    let step = object::annotation(
        &world.cluster.as_ref()?.metadata,
        labels::TOPOLOGY_UPGRADE_STEP,
    );
    (wanted != version && step != Some(version)).then(|| {
        format!(
            "has a pending version upgrade to {}",
            step.unwrap_or(wanted)
        )
    })
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
