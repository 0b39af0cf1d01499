//! What must hold before new machines are made.

use super::super::preflight;
use super::*;

/// What is the case, and how the world differs then.
const CASES: &[(&str, &str)] = &[
    ("stable", "{}"),
    ("no control plane", "control_plane: null"),
    ("provisioning", "control_plane: {status: null}"),
    ("upgrading", "control_plane: {spec: {version: v1.36.1}}"),
    (
        "upgrading, skipped",
        "{control_plane: {spec: {version: v1.36.1}}, set: {metadata: {annotations: {machineset.cluster.x-k8s.io/skip-preflight-checks: 'ControlPlaneIsStable'}}}}",
    ),
    (
        "newer",
        "set: {spec: {template: {spec: {version: v1.37.0}}}}",
    ),
    (
        "newer, all skipped",
        "set: {metadata: {annotations: {machineset.cluster.x-k8s.io/skip-preflight-checks: 'All'}}, spec: {template: {spec: {version: v1.37.0}}}}",
    ),
    (
        "one minor older",
        "set: {spec: {template: {spec: {version: v1.35.0}}}}",
    ),
    (
        "four minors older",
        "set: {spec: {template: {spec: {version: v1.32.0}}}}",
    ),
    (
        "skipped by the bootstrap template",
        "{control_plane: {spec: {version: v1.36.1}}, bootstrap_template: {metadata: {annotations: {machineset.cluster.x-k8s.io/skip-preflight-checks: 'ControlPlaneIsStable'}}}}",
    ),
    (
        "a list is skipped",
        "set: {metadata: {annotations: {machineset.cluster.x-k8s.io/skip-preflight-checks: 'KubeadmVersionSkew, KubernetesVersionSkew'}}, spec: {template: {spec: {version: v1.37.0}}}}",
    ),
    (
        "one of two is skipped",
        "set: {metadata: {annotations: {machineset.cluster.x-k8s.io/skip-preflight-checks: 'KubeadmVersionSkew'}}, spec: {template: {spec: {version: v1.37.0}}}}",
    ),
    (
        "another is skipped",
        "set: {metadata: {annotations: {machineset.cluster.x-k8s.io/skip-preflight-checks: 'Other'}}, spec: {template: {spec: {version: v1.35.0}}}}",
    ),
    (
        "control plane without version",
        "control_plane: {spec: {version: null}}",
    ),
    (
        "status.version alone",
        "control_plane: {status: {versions: null, version: v1.36.0}}",
    ),
    (
        "upgrading by status.version",
        "control_plane: {status: {versions: null, version: v1.35.9}}",
    ),
    (
        "the lowest of several versions counts",
        "control_plane: {status: {versions: [{version: v1.36.0}, {version: v1.35.0}]}}",
    ),
    (
        "from a candidate to the release",
        "control_plane: {status: {versions: [{version: v1.36.0-rc.1}]}}",
    ),
    (
        "to a candidate of the next patch",
        "control_plane: {spec: {version: v1.36.1-rc.0}}",
    ),
    (
        "topology",
        "cluster: {spec: {topology: {classRef: {name: c}, version: v1.36.0}}}",
    ),
    (
        "topology ahead",
        "cluster: {spec: {topology: {classRef: {name: c}, version: v1.36.1}}}",
    ),
    (
        "topology far ahead, this step done",
        "cluster: {metadata: {annotations: {topology.internal.cluster.x-k8s.io/upgrade-step: v1.36.0}}, spec: {topology: {classRef: {name: c}, version: v1.38.0}}}",
    ),
    (
        "topology far ahead, a step pending",
        "cluster: {metadata: {annotations: {topology.internal.cluster.x-k8s.io/upgrade-step: v1.37.0}}, spec: {topology: {classRef: {name: c}, version: v1.38.0}}}",
    ),
    (
        "topology ahead, skipped",
        "{cluster: {spec: {topology: {classRef: {name: c}, version: v1.36.1}}}, set: {metadata: {annotations: {machineset.cluster.x-k8s.io/skip-preflight-checks: 'ControlPlaneIsStable'}}}}",
    ),
    (
        "topology, workers behind by a patch",
        "{cluster: {spec: {topology: {classRef: {name: c}, version: v1.36.0}}}, set: {spec: {template: {spec: {version: v1.36.0-rc.1}}}}}",
    ),
    (
        "topology, workers behind, skipped",
        "{cluster: {spec: {topology: {classRef: {name: c}, version: v1.36.0}}}, set: {metadata: {annotations: {machineset.cluster.x-k8s.io/skip-preflight-checks: 'ControlPlaneVersionSkew'}}, spec: {template: {spec: {version: v1.36.0-rc.1}}}}}",
    ),
    (
        "no topology, workers behind by a patch",
        "set: {spec: {template: {spec: {version: v1.36.0-rc.1}}}}",
    ),
    (
        "three minors older without kubeadm",
        "set: {spec: {template: {spec: {version: v1.33.0, bootstrap: {configRef: {kind: OtherTemplate}}}}}}",
    ),
];

#[test]
fn preflight_checks() {
    let mut table = String::new();
    for (name, overrides) in CASES {
        let world = layers::<World>(BASE, &[overrides]);
        let problems = preflight::problems(&world);
        table += &format!(
            "{name}: {}\n",
            if problems.is_empty() {
                "ok".to_owned()
            } else {
                problems.join("\n  ")
            }
        );
    }
    expect![[r#"
        stable: ok
        no control plane: ok
        provisioning: KubeadmControlPlane is provisioning ("ControlPlaneIsStable" preflight check failed)
        upgrading: KubeadmControlPlane is upgrading ("ControlPlaneIsStable" preflight check failed)
        upgrading, skipped: ok
        newer: MachineSet version (v1.37.0) must not be newer than the control plane version (v1.36.0) ("KubernetesVersionSkew" preflight check failed)
          MachineSet version (v1.37.0) and control plane version (v1.36.0) must have the same minor version, as kubeadm joins no other ("KubeadmVersionSkew" preflight check failed)
        newer, all skipped: ok
        one minor older: MachineSet version (v1.35.0) and control plane version (v1.36.0) must have the same minor version, as kubeadm joins no other ("KubeadmVersionSkew" preflight check failed)
        four minors older: MachineSet version (v1.32.0) is more than 3 minor versions older than the control plane version (v1.36.0) ("KubernetesVersionSkew" preflight check failed)
          MachineSet version (v1.32.0) and control plane version (v1.36.0) must have the same minor version, as kubeadm joins no other ("KubeadmVersionSkew" preflight check failed)
        skipped by the bootstrap template: ok
        a list is skipped: ok
        one of two is skipped: MachineSet version (v1.37.0) must not be newer than the control plane version (v1.36.0) ("KubernetesVersionSkew" preflight check failed)
        another is skipped: MachineSet version (v1.35.0) and control plane version (v1.36.0) must have the same minor version, as kubeadm joins no other ("KubeadmVersionSkew" preflight check failed)
        control plane without version: ok
        status.version alone: ok
        upgrading by status.version: KubeadmControlPlane is upgrading ("ControlPlaneIsStable" preflight check failed)
        the lowest of several versions counts: KubeadmControlPlane is upgrading ("ControlPlaneIsStable" preflight check failed)
        from a candidate to the release: KubeadmControlPlane is upgrading ("ControlPlaneIsStable" preflight check failed)
        to a candidate of the next patch: KubeadmControlPlane is upgrading ("ControlPlaneIsStable" preflight check failed)
        topology: ok
        topology ahead: KubeadmControlPlane has a pending version upgrade to v1.36.1 ("ControlPlaneIsStable" preflight check failed)
        topology far ahead, this step done: ok
        topology far ahead, a step pending: KubeadmControlPlane has a pending version upgrade to v1.37.0 ("ControlPlaneIsStable" preflight check failed)
        topology ahead, skipped: ok
        topology, workers behind by a patch: MachineSet version (v1.36.0-rc.1) must be the control plane version (v1.36.0): machines of another one would be replaced soon ("ControlPlaneVersionSkew" preflight check failed)
        topology, workers behind, skipped: ok
        no topology, workers behind by a patch: ok
        three minors older without kubeadm: ok
    "#]].assert_eq(&table);
}
