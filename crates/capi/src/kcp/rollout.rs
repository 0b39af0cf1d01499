//! Whether a control plane machine is what its control plane wants. Pure.
//!
//! The bootstrap configuration isn't compared with the KubeadmConfig of the machine, which gets tokens and defaults over time, but by a
//! hash of the user's wish that the Machine carries from its creation on. So a new version of this program never replaces machines.

use std::sync::Arc;

use api::cluster::Machine;
use api::controlplane::KubeadmControlPlane;
use api::meta::{ContractRef, labels};
use jiff::{SignedDuration, Timestamp};
use kube::core::DynamicObject;
use serde_json::Value;

use crate::{names, object, template};

/// Annotation of Machines: hash of the KubeadmConfigSpec that they were made from. The machine that set up the cluster has two, with a dot
/// between: of what it was made from, and of what it would have joined with.
pub const CONFIG_HASH: &str = "apiary.io/kubeadm-config-hash";

/// Parts of the bootstrap configuration that don't make another machine, or are filled by controllers.
const NEUTRAL: [&[&str]; 5] = [
    &["clusterConfiguration", "controlPlaneEndpoint"],
    &["clusterConfiguration", "dns"],
    &["joinConfiguration", "discovery"],
    &[
        "initConfiguration",
        "timeouts",
        "controlPlaneComponentHealthCheckSeconds",
    ],
    &[
        "joinConfiguration",
        "timeouts",
        "controlPlaneComponentHealthCheckSeconds",
    ],
];

/// The hash of what the user wishes of the bootstrap configuration, without what is at these paths.
fn hash_without(control_plane: &KubeadmControlPlane, paths: &[&[&str]]) -> String {
    let mut spec =
        serde_json::to_value(&control_plane.spec.kubeadm_config_spec).unwrap_or_default();
    for path in paths {
        remove(&mut spec, path);
    }
    format!("{:016x}", names::hash(&[&canonical(&spec)]))
}

/// The parts that did not count before machines that set up a cluster and those that join were told apart: what is written in old
/// machines follows from these, so the list never changes.
const NEUTRAL_ONCE: [&[&str]; 4] = [
    &["clusterConfiguration", "controlPlaneEndpoint"],
    &["clusterConfiguration", "dns"],
    &["joinConfiguration", "discovery"],
    &[
        "initConfiguration",
        "timeouts",
        "controlPlaneComponentHealthCheckSeconds",
    ],
];

fn hash_of(control_plane: &KubeadmControlPlane, other: &'static str) -> String {
    let other = [other];
    let paths: Vec<&[&str]> = NEUTRAL.into_iter().chain([&other[..]]).collect();
    hash_without(control_plane, &paths)
}

/// The hash of what the user wishes of the bootstrap configuration of a machine that joins, or sets up the cluster.
#[must_use]
pub fn config_hash(control_plane: &KubeadmControlPlane, is_first: bool) -> String {
    let join = hash_of(control_plane, "initConfiguration");
    if is_first {
        format!("{}.{join}", hash_of(control_plane, "joinConfiguration"))
    } else {
        join
    }
}

/// Whether a machine with this hash is as the user wishes. The one that set up the cluster is so too if it would have joined alike.
fn is_config_current(control_plane: &KubeadmControlPlane, hash: &str) -> bool {
    let now = config_hash(control_plane, true);
    let (init, join) = now.split_once('.').unwrap_or_default();
    match hash.split_once('.') {
        Some((made, joined)) => made == init || joined == join,
        // Machines from before this was told apart have one for both.
        None => hash == join || hash == hash_without(control_plane, &NEUTRAL_ONCE),
    }
}

fn remove(value: &mut Value, path: &[&str]) {
    let Some(members) = value.as_object_mut() else {
        return;
    };
    match path {
        [last] => {
            members.remove(*last);
        }
        [first, rest @ ..] => {
            if let Some(inner) = members.get_mut(*first) {
                remove(inner, rest);
            }
        }
        [] => {}
    }
}

/// JSON with sorted members, without those that are empty: what the user left out and what is empty means the same.
pub(crate) fn canonical(value: &Value) -> String {
    match value {
        Value::Object(members) => {
            let mut sorted: Vec<_> = members.iter().map(|(k, v)| (k, canonical(v))).collect();
            sorted.retain(|(_, v)| v != "{}" && v != "null");
            sorted.sort();
            let inner: Vec<_> = sorted.iter().map(|(k, v)| format!("{k:?}:{v}")).collect();
            format!("{{{}}}", inner.join(","))
        }
        Value::Array(items) => {
            let inner: Vec<_> = items.iter().map(canonical).collect();
            format!("[{}]", inner.join(","))
        }
        other => other.to_string(),
    }
}

/// When machines get out of date by the clock alone: those times that are set, past ones included.
pub fn times(control_plane: &KubeadmControlPlane, machines: &[Arc<Machine>]) -> Vec<Timestamp> {
    let after = rollout_after(control_plane);
    let renewals = machines.iter().filter_map(|m| renewal(control_plane, m));
    after.into_iter().chain(renewals).collect()
}

/// From when on machines from before are replaced.
fn rollout_after(control_plane: &KubeadmControlPlane) -> Option<Timestamp> {
    Some(control_plane.spec.rollout.as_ref()?.after.as_ref()?.0)
}

/// From when on the machine is replaced because its certificates expire.
fn renewal(control_plane: &KubeadmControlPlane, machine: &Machine) -> Option<Timestamp> {
    let before = control_plane.spec.rollout.as_ref()?.before.as_ref()?;
    let days = before.certificates_expiry_days?;
    let status = machine.status.as_ref()?;
    let expiry = status.certificates_expiry_date.as_ref()?.0;
    expiry
        .checked_sub(SignedDuration::from_hours(i64::from(days) * 24))
        .ok()
}

/// In what the machine differs from what the control plane wants; empty if it need not be replaced. What can't be compared counts as equal.
#[must_use]
pub fn differences(
    control_plane: &KubeadmControlPlane,
    machine: &Machine,
    infrastructure: Option<&DynamicObject>,
    now: Timestamp,
) -> Vec<String> {
    let mut found = vec![];
    let spec = &control_plane.spec;
    if let Some(version) = machine
        .spec
        .version
        .as_ref()
        .filter(|v| **v != spec.version)
    {
        found.push(format!("Version {version}, {} required", spec.version));
    }
    if let Some(after) = rollout_after(control_plane) {
        let created = machine.metadata.creation_timestamp.as_ref().map(|t| t.0);
        if after <= now && created.is_some_and(|c| c < after) {
            found.push("KubeadmControlPlane spec.rollout.after expired".to_owned());
        }
    }
    if renewal(control_plane, machine).is_some_and(|at| now >= at) {
        found.push("Certificates will expire soon, rollout.before expired".to_owned());
    }
    let hash = object::annotation(&machine.metadata, CONFIG_HASH);
    if hash.is_some_and(|h| !is_config_current(control_plane, h)) {
        found.push("KubeadmConfig is not up-to-date".to_owned());
    }
    let wanted = &spec.machine_template.spec.infrastructure_ref;
    if infrastructure.is_some_and(|i| !is_made_from(i, wanted)) {
        found.push(format!(
            "{} is not up-to-date",
            template::object_kind(&wanted.kind)
        ));
    }
    found
}

fn is_made_from(object: &DynamicObject, template: &ContractRef) -> bool {
    let name = object::annotation(&object.metadata, labels::CLONED_FROM_NAME);
    let group_kind = object::annotation(&object.metadata, labels::CLONED_FROM_GROUP_KIND);
    let wanted = format!("{}.{}", template.kind, template.api_group);
    name.is_none_or(|n| n == template.name) && group_kind.is_none_or(|g| g == wanted)
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use expect_test::expect;

    use super::*;

    fn control_plane(config: &str) -> KubeadmControlPlane {
        serde_saphyr::from_str(&format!(
            "{{metadata: {{name: hello}}, spec: {{version: v1.36.0, kubeadmConfigSpec: {config}, \
             machineTemplate: {{spec: {{infrastructureRef: {{apiGroup: g, kind: KTemplate, name: t}}}}}}}}}}"
        ))
        .unwrap()
    }

    #[test]
    fn the_hash_follows_what_makes_another_machine() {
        let hash = |config| config_hash(&control_plane(config), false);
        let plain = hash("{preKubeadmCommands: [date]}");
        assert_eq!(
            plain,
            hash(
                "{preKubeadmCommands: [date], clusterConfiguration: {dns: {imageTag: x}, controlPlaneEndpoint: e}}"
            )
        );
        assert_eq!(
            plain,
            hash(
                "{preKubeadmCommands: [date], joinConfiguration: {discovery: {tlsBootstrapToken: t}}}"
            )
        );
        assert_ne!(plain, hash("{preKubeadmCommands: [date, date]}"));
        assert_ne!(
            plain,
            hash("{preKubeadmCommands: [date], clusterConfiguration: {featureGates: {A: true}}}")
        );
    }

    #[test]
    fn a_change_rolls_machines_that_it_is_about() {
        let before = "{initConfiguration: {skipPhases: [a]}, joinConfiguration: {skipPhases: [b]}}";
        let old = control_plane(before);
        let hashes = [
            ("init", config_hash(&old, true)),
            ("join", config_hash(&old, false)),
            ("old", hash_without(&old, &NEUTRAL_ONCE)),
        ];
        let mut table = String::new();
        for (what, after) in [
            ("nothing", before),
            (
                "init",
                "{initConfiguration: {skipPhases: [c]}, joinConfiguration: {skipPhases: [b]}}",
            ),
            (
                "join",
                "{initConfiguration: {skipPhases: [a]}, joinConfiguration: {skipPhases: [c]}}",
            ),
            (
                "both",
                "{initConfiguration: {skipPhases: [c]}, joinConfiguration: {skipPhases: [c]}}",
            ),
            (
                "files",
                "{files: [{path: /a, content: b}], initConfiguration: {skipPhases: [a]}, joinConfiguration: {skipPhases: [b]}}",
            ),
            (
                "health checks",
                "{initConfiguration: {skipPhases: [a], timeouts: {controlPlaneComponentHealthCheckSeconds: 9}}, joinConfiguration: {skipPhases: [b], timeouts: {controlPlaneComponentHealthCheckSeconds: 9}}}",
            ),
        ] {
            let new = control_plane(after);
            let rolls: Vec<_> = hashes
                .iter()
                .filter(|(_, hash)| !is_config_current(&new, hash))
                .map(|(made, _)| *made)
                .collect();
            writeln!(table, "{what}: {rolls:?}").unwrap();
        }
        expect![[r#"
            nothing: []
            init: ["old"]
            join: ["join", "old"]
            both: ["init", "join", "old"]
            files: ["init", "join", "old"]
            health checks: ["old"]
        "#]]
        .assert_eq(&table);
    }
}
