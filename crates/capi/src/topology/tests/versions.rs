//! Classes that name templates of an older version, whose patches are written for that one.

use expect_test::{Expect, expect};
use runtime::{Change, Reconciler};
use serde_json::Value;

use super::super::{TopologyController, World};
use super::{NEW, yaml};
use crate::testing::now;

/// What becomes of the specs of control plane and bootstrap template, or why nothing does.
fn check(edits: &[(&str, &str)], patch: &str, expected: &Expect) {
    let mut text = NEW.to_owned();
    for (from, to) in edits {
        assert!(text.contains(from), "{from}");
        text = text.replace(from, to);
    }
    let mut world = yaml(&text);
    world["class"]["spec"]["patches"] = yaml(patch);
    let world: World = serde_json::from_value(world).unwrap();
    let plan = TopologyController::plan(&world, now());
    let mut made = String::new();
    for change in &plan.changes {
        let Change::Apply(object) = change else {
            continue;
        };
        let types = object.types.clone().unwrap();
        let spec: &Value = match types.kind.as_str() {
            "KubeadmControlPlane" => &object.data["spec"],
            "KubeadmConfigTemplate" => &object.data["spec"]["template"]["spec"],
            _ => continue,
        };
        made += &format!("{} {}\n", types.api_version, types.kind);
        made += &crate::yaml::render(spec);
    }
    if made.is_empty() {
        made = plan.to_string();
    }
    expected.assert_eq(&made);
}

/// As [`NEW`] has it, and as v1beta1 has it.
const NAMED: [(&str, &str); 2] = [
    (
        "{apiVersion: controlplane.cluster.x-k8s.io/v1beta2, kind: KubeadmControlPlaneTemplate, name: standard}",
        "{apiVersion: controlplane.cluster.x-k8s.io/v1beta1, kind: KubeadmControlPlaneTemplate, name: standard}",
    ),
    (
        "{apiVersion: bootstrap.cluster.x-k8s.io/v1beta2, kind: KubeadmConfigTemplate, name: worker}",
        "{apiVersion: bootstrap.cluster.x-k8s.io/v1beta1, kind: KubeadmConfigTemplate, name: worker}",
    ),
];

#[test]
fn patches_see_the_version_that_the_class_names() {
    let patch = "
- name: arguments
  definitions:
  - selector: {apiVersion: controlplane.cluster.x-k8s.io/v1beta1, kind: KubeadmControlPlaneTemplate, matchResources: {controlPlane: true}}
    jsonPatches:
    - {op: add, path: /spec/template/spec/kubeadmConfigSpec/clusterConfiguration/apiServer, value: {extraArgs: {v: '4'}, timeoutForControlPlane: 4m}}
    - {op: add, path: /spec/template/spec/rolloutBefore, value: {certificatesExpiryDays: 21}}
  - selector: {apiVersion: bootstrap.cluster.x-k8s.io/v1beta1, kind: KubeadmConfigTemplate, matchResources: {machineDeploymentClass: {names: [worker]}}}
    jsonPatches:
    - {op: add, path: /spec/template/spec/joinConfiguration, value: {nodeRegistration: {kubeletExtraArgs: {max-pods: '110'}}}}
";
    check(
        &NAMED,
        patch,
        &expect![[r#"
        bootstrap.cluster.x-k8s.io/v1beta2 KubeadmConfigTemplate
        joinConfiguration:
          nodeRegistration:
            kubeletExtraArgs:
            - name: max-pods
              value: "110"
        verbosity: 1
        controlplane.cluster.x-k8s.io/v1beta2 KubeadmControlPlane
        kubeadmConfigSpec:
          clusterConfiguration:
            apiServer:
              extraArgs:
              - name: v
                value: "4"
            imageRepository: example.org
          initConfiguration:
            timeouts:
              controlPlaneComponentHealthCheckSeconds: 240
          joinConfiguration:
            timeouts:
              controlPlaneComponentHealthCheckSeconds: 240
        machineTemplate:
          metadata:
            labels:
              cluster.x-k8s.io/cluster-name: hello
              topology.cluster.x-k8s.io/owned: ""
          spec:
            infrastructureRef:
              apiGroup: infrastructure.cluster.x-k8s.io
              kind: LocalMachineTemplate
              name: hello-nj6xc
        replicas: 3
        rollout:
          before:
            certificatesExpiryDays: 21
        version: v1.36.0
    "#]],
    );
}

#[test]
fn what_a_patch_makes_must_be_of_that_version() {
    let patch = "
- name: arguments
  definitions:
  - selector: {apiVersion: controlplane.cluster.x-k8s.io/v1beta1, kind: KubeadmControlPlaneTemplate, matchResources: {controlPlane: true}}
    jsonPatches:
    - {op: add, path: /spec/template/spec/machineTemplate, value: {nodeDrainTimeout: soon}}
";
    check(
        &NAMED,
        patch,
        &expect![[r#"
        wait ReconcileFailed: KubeadmControlPlaneTemplate standard: spec.template.spec.machineTemplate.nodeDrainTimeout: Invalid value: "soon" must be a duration such as 90s, 10m or 1h30m: numbers with a unit
    "#]],
    );
}

#[test]
fn what_that_version_does_not_have_is_refused() {
    let patch = "
- name: arguments
  definitions:
  - selector: {apiVersion: controlplane.cluster.x-k8s.io/v1beta1, kind: KubeadmControlPlaneTemplate, matchResources: {controlPlane: true}}
    jsonPatches:
    - {op: add, path: /spec/template/spec/kubeadmConfigSpec/preKubeadmComands, value: [date]}
    - {op: add, path: /spec/template/spec/rollout, value: {before: {certificatesExpiryDays: 21}}}
";
    check(
        &NAMED,
        patch,
        &expect![[r#"
        wait ReconcileFailed: KubeadmControlPlaneTemplate standard: controlplane.cluster.x-k8s.io/v1beta1 has no spec.template.spec.kubeadmConfigSpec.preKubeadmComands, spec.template.spec.rollout
    "#]],
    );
}

/// A template that says nothing has a place for what patches say.
#[test]
fn templates_that_say_nothing_can_be_patched() {
    let patch = "
- name: arguments
  definitions:
  - selector: {apiVersion: bootstrap.cluster.x-k8s.io/v1beta1, kind: KubeadmConfigTemplate, matchResources: {machineDeploymentClass: {names: [worker]}}}
    jsonPatches:
    - {op: add, path: /spec/template/spec/joinConfiguration, value: {nodeRegistration: {kubeletExtraArgs: {max-pods: '110'}}}}
";
    let nothing = (
        "metadata: {name: worker, namespace: acme}, spec: {template: {spec: {verbosity: 1}}}}",
        "metadata: {name: worker, namespace: acme}}",
    );
    let edits = [NAMED[0], NAMED[1], nothing];
    check(
        &edits,
        patch,
        &expect![[r#"
        bootstrap.cluster.x-k8s.io/v1beta2 KubeadmConfigTemplate
        joinConfiguration:
          nodeRegistration:
            kubeletExtraArgs:
            - name: max-pods
              value: "110"
        controlplane.cluster.x-k8s.io/v1beta2 KubeadmControlPlane
        kubeadmConfigSpec:
          clusterConfiguration:
            imageRepository: example.org
        machineTemplate:
          metadata:
            labels:
              cluster.x-k8s.io/cluster-name: hello
              topology.cluster.x-k8s.io/owned: ""
          spec:
            infrastructureRef:
              apiGroup: infrastructure.cluster.x-k8s.io
              kind: LocalMachineTemplate
              name: hello-nj6xc
        replicas: 3
        version: v1.36.0
    "#]],
    );
}

/// Other providers' kinds are read in one version only.
#[test]
fn patches_of_a_version_that_is_not_read_are_refused() {
    let named = [(
        "templateRef: {apiVersion: infrastructure.cluster.x-k8s.io/v1beta2, kind: LocalMachineTemplate, name: worker}",
        "templateRef: {apiVersion: infrastructure.cluster.x-k8s.io/v1beta1, kind: LocalMachineTemplate, name: worker}",
    )];
    let patch = "
- name: size
  definitions:
  - selector: {apiVersion: infrastructure.cluster.x-k8s.io/v1beta1, kind: LocalMachineTemplate, matchResources: {machineDeploymentClass: {names: [worker]}}}
    jsonPatches: [{op: add, path: /spec/template/spec/cpus, value: 2}]
";
    check(
        &named,
        patch,
        &expect![[r#"
        wait ReconcileFailed: LocalMachineTemplate worker: the class names infrastructure.cluster.x-k8s.io/v1beta1, which its patches are written for, and this kind is read as infrastructure.cluster.x-k8s.io/v1beta2: name that, and write them for it
    "#]],
    );
    check(
        &named,
        "[]",
        &expect![[r#"
        bootstrap.cluster.x-k8s.io/v1beta2 KubeadmConfigTemplate
        verbosity: 1
        controlplane.cluster.x-k8s.io/v1beta2 KubeadmControlPlane
        kubeadmConfigSpec:
          clusterConfiguration:
            imageRepository: example.org
        machineTemplate:
          metadata:
            labels:
              cluster.x-k8s.io/cluster-name: hello
              topology.cluster.x-k8s.io/owned: ""
          spec:
            infrastructureRef:
              apiGroup: infrastructure.cluster.x-k8s.io
              kind: LocalMachineTemplate
              name: hello-nj6xc
        replicas: 3
        version: v1.36.0
    "#]],
    );
}
