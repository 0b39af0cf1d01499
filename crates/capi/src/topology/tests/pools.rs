//! MachinePools of a topology: what they are made from, how they change, and when they are upgraded.

use expect_test::expect;
use runtime::{Change, Reconciler};
use serde_json::{Value, json};

use super::{NEW, after, changes, check, kind, merge, yaml};
use crate::testing::now;
use crate::topology::{TopologyController, World};

/// A class of pools and a pool of it, beside what there is.
const POOL: &str = "
cluster:
  spec:
    topology:
      workers:
        machinePools:
        - {class: pool, name: big, replicas: 3}
class:
  spec:
    workers:
      machinePools:
      - class: pool
        metadata: {labels: {tier: pool}, annotations: {note: class}}
        failureDomains: [a, b]
        deletion: {nodeDrainTimeoutSeconds: 5}
        minReadySeconds: 2
        bootstrap:
          templateRef: {apiVersion: bootstrap.cluster.x-k8s.io/v1beta2, kind: KubeadmConfigTemplate, name: worker}
        infrastructure:
          templateRef: {apiVersion: infrastructure.cluster.x-k8s.io/v1beta2, kind: LocalMachinePoolTemplate, name: pool}
    patches:
    - name: size
      definitions:
      - selector: {apiVersion: infrastructure.cluster.x-k8s.io/v1beta2, kind: LocalMachinePoolTemplate, matchResources: {machinePoolClass: {names: [pool]}}}
        jsonPatches:
        - {op: add, path: /spec/template/spec/template/spec/cpus, valueFrom: {variable: cpus}}
      - selector: {apiVersion: bootstrap.cluster.x-k8s.io/v1beta2, kind: KubeadmConfigTemplate, matchResources: {machinePoolClass: {names: [pool]}}}
        jsonPatches:
        - {op: add, path: /spec/template/spec/ntp, valueFrom: {template: '{servers: [\"{{ .builtin.machinePool.topologyName }}-{{ .builtin.machinePool.version }}\"]}'}}
";

fn with_pool(text: &str) -> Value {
    let mut world = yaml(text);
    let template = yaml(
        "{apiVersion: infrastructure.cluster.x-k8s.io/v1beta2, kind: LocalMachinePoolTemplate, metadata: {name: pool, namespace: acme}, spec: {template: {spec: {template: {spec: {}}}}}}",
    );
    merge(&mut world, yaml(POOL));
    world["templates"].as_array_mut().unwrap().push(template);
    world
}

/// A cluster that has come up, with a pool.
fn old() -> Value {
    after(after(with_pool(NEW), true), true)
}

/// The objects that a pass applies for pools, as YAML.
fn shown(world: &Value) -> String {
    let typed: World = serde_json::from_value(world.clone()).unwrap();
    let mut shown = vec![];
    for change in TopologyController::plan(&typed, now()).changes {
        let Change::Apply(object) = change else {
            continue;
        };
        let object = serde_json::to_value(object).unwrap();
        if object["metadata"]["labels"]["topology.cluster.x-k8s.io/pool-name"].is_string() {
            shown.push(crate::yaml::render(&object));
        }
    }
    shown.join("---\n")
}

#[test]
fn a_pool_comes_with_what_it_refers_to() {
    let mut world = with_pool(NEW);
    let own = "
- class: pool
  name: big
  replicas: 3
  failureDomains: [c]
  metadata: {labels: {tier: topology}, annotations: {topology.cluster.x-k8s.io/defer-upgrade: ''}}
  deletion: {nodeDeletionTimeoutSeconds: 7}
  variables: {overrides: [{name: cpus, value: 16}]}
";
    world["cluster"]["spec"]["topology"]["workers"]["machinePools"] = yaml(own);
    expect_test::expect_file!["pools.yaml"].assert_eq(&shown(&world));
    check(
        &old(),
        &expect![[r#"
        TopologyReconciled=True ReconcileSucceeded
    "#]],
    );
}

#[test]
fn what_a_pool_refers_to_changes_in_place() {
    let mut world = old();
    world["cluster"]["spec"]["topology"]["variables"][0]["value"] = json!(8);
    check(
        &world,
        &expect![[r#"
        apply LocalMachinePool "hello-big-tltnp" {"template":{"spec":{"cpus":8}}}
        TopologyReconciled=True ReconcileSucceeded
    "#]],
    );
}

#[test]
fn a_pool_is_upgraded_after_machine_deployments_and_changes_once() {
    let mut world = old();
    world["cluster"]["spec"]["topology"]["version"] = json!("v1.37.0");
    world["cluster"]["spec"]["topology"]["variables"][0]["value"] = json!(8);
    let mut text = String::new();
    for _ in 0..5 {
        text += &format!("{}\n---\n", changes(&world).trim_end());
        world = after(world, true);
    }
    expect_test::expect_file!["pools.txt"].assert_eq(&text);
}

#[test]
fn a_pool_that_the_topology_has_no_more_goes() {
    let mut world = old();
    world["cluster"]["spec"]["topology"]["workers"]
        .as_object_mut()
        .unwrap()
        .remove("machinePools");
    check(
        &world,
        &expect![[r#"
        delete MachinePool acme/hello-big-tltnp
        note TopologyDelete: MachinePool hello-big-tltnp is deleted: the topology does not have it any more
        TopologyReconciled=True ReconcileSucceeded
    "#]],
    );
    // Its successor of the same name does not wait for it, and has another name.
    let mut world = old();
    world["pools"][0]["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    check(
        &world,
        &expect![[r#"
        apply KubeadmConfig "hello-big-spjrl" {"ntp":{"servers":["big-v1.36.0"]},"verbosity":1}
        apply LocalMachinePool "hello-big-spjrl" {"template":{"spec":{"cpus":2}}}
        apply MachinePool "hello-big-spjrl" replicas 3 "v1.36.0" "hello-big-spjrl" "hello-big-spjrl"
        TopologyReconciled=True ReconcileSucceeded
    "#]],
    );
    assert_eq!(kind(&world["pools"][0]), "MachinePool");
}

#[test]
fn a_naming_of_the_class_counts() {
    let mut world = with_pool(NEW);
    world["class"]["spec"]["workers"]["machinePools"][0]["naming"] =
        json!({"template": "{{ .cluster.name }}-p-{{ .machinePool.topologyName }}"});
    let shown = changes(&world);
    let named: Vec<&str> = shown.lines().filter(|line| line.contains("-p-")).collect();
    expect![[r#"
        apply KubeadmConfig "hello-p-big" {"ntp":{"servers":["big-v1.36.0"]},"verbosity":1}
        apply LocalMachinePool "hello-p-big" {"template":{"spec":{"cpus":2}}}
        apply MachinePool "hello-p-big" replicas 3 "v1.36.0" "hello-p-big" "hello-p-big""#]]
    .assert_eq(&named.join("\n"));
}

#[test]
fn rules_of_variables_count_for_pools() {
    let mut world = with_pool(NEW);
    world["class"]["spec"]["variables"][0]["schema"]["openAPIV3Schema"]["x-kubernetes-validations"] =
        json!([{"rule": "self < 9"}]);
    world["cluster"]["spec"]["topology"]["workers"]["machinePools"][0]["variables"] =
        json!({"overrides": [{"name": "cpus", "value": 16}]});
    check(
        &world,
        &expect![[r#"
        wait ReconcileFailed: * spec.topology.workers.machinePools[big].variables.overrides[cpus].value: Invalid value: failed rule: self < 9
        TopologyReconciled=False ReconcileFailed * spec.topology.workers.machinePools[big].variables.overrides[cpus].value: Invalid value: failed rule: self < 9
    "#]],
    );
}

#[test]
fn a_deferred_pool_stays_as_it_is() {
    let mut world = old();
    let topology = &mut world["cluster"]["spec"]["topology"];
    topology["version"] = json!("v1.37.0");
    topology["variables"][0]["value"] = json!(8);
    topology["workers"]["machinePools"][0]["metadata"] =
        json!({"annotations": {"topology.cluster.x-k8s.io/defer-upgrade": ""}});
    for _ in 0..4 {
        world = after(world, true);
    }
    let pool = world["pools"][0]["spec"]["template"]["spec"]["version"].clone();
    assert_eq!(pool, "v1.36.0");
    check(
        &world,
        &expect![[r#"
        wait MachineDeploymentsUpgradeDeferred: Cluster is upgrading to v1.37.0
          * MachinePool hello-big-tltnp upgrade to v1.37.0 deferred by the annotation defer-upgrade or hold-upgrade-sequence
        TopologyReconciled=False MachineDeploymentsUpgradeDeferred Cluster is upgrading to v1.37.0
              * MachinePool hello-big-tltnp upgrade to v1.37.0 deferred by the annotation defer-upgrade or hold-upgrade-sequence
        workers:
          upgradePlan:
          - version: v1.37.0
    "#]],
    );
}
