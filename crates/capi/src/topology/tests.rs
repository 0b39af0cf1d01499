//! Worlds as text in, plans and statuses as text out.

mod external;
mod hooks;
mod pools;
mod route;
mod versions;

use expect_test::{Expect, expect};
use kube::core::DynamicObject;
use runtime::{Change, Outcome, Reconciler};
use serde_json::{Value, json};

use super::{TopologyController, World};
use crate::testing::{layers, now, show};

/// A class with a variable for each part, and a cluster of it that is not there yet.
const NEW: &str = "
cluster:
  metadata: {name: hello, namespace: acme, uid: u1, generation: 1, resourceVersion: '7'}
  spec:
    topology:
      classRef: {name: standard}
      version: v1.36.0
      controlPlane: {replicas: 3}
      variables: [{name: cpus, value: 2}]
      workers:
        machineDeployments:
        - {class: worker, name: blue, replicas: 2}
class:
  metadata: {name: standard, namespace: acme, generation: 1}
  spec:
    infrastructure:
      templateRef: {apiVersion: infrastructure.cluster.x-k8s.io/v1beta2, kind: LocalClusterTemplate, name: standard}
    controlPlane:
      templateRef: {apiVersion: controlplane.cluster.x-k8s.io/v1beta2, kind: KubeadmControlPlaneTemplate, name: standard}
      machineInfrastructure:
        templateRef: {apiVersion: infrastructure.cluster.x-k8s.io/v1beta2, kind: LocalMachineTemplate, name: masters}
    workers:
      machineDeployments:
      - class: worker
        bootstrap:
          templateRef: {apiVersion: bootstrap.cluster.x-k8s.io/v1beta2, kind: KubeadmConfigTemplate, name: worker}
        infrastructure:
          templateRef: {apiVersion: infrastructure.cluster.x-k8s.io/v1beta2, kind: LocalMachineTemplate, name: worker}
    variables:
    - {name: cpus, required: true, schema: {openAPIV3Schema: {type: integer, maximum: 64}}}
    patches:
    - name: size
      definitions:
      - selector: {apiVersion: infrastructure.cluster.x-k8s.io/v1beta2, kind: LocalMachineTemplate, matchResources: {machineDeploymentClass: {names: [worker]}}}
        jsonPatches: [{op: add, path: /spec/template/spec/cpus, valueFrom: {variable: cpus}}]
  status: {observedGeneration: 1}
templates:
- {apiVersion: infrastructure.cluster.x-k8s.io/v1beta2, kind: LocalClusterTemplate, metadata: {name: standard, namespace: acme}, spec: {template: {metadata: {labels: {from: template}}, spec: {}}}}
- {apiVersion: controlplane.cluster.x-k8s.io/v1beta2, kind: KubeadmControlPlaneTemplate, metadata: {name: standard, namespace: acme}, spec: {template: {spec: {kubeadmConfigSpec: {clusterConfiguration: {imageRepository: example.org}}}}}}
- {apiVersion: infrastructure.cluster.x-k8s.io/v1beta2, kind: LocalMachineTemplate, metadata: {name: masters, namespace: acme}, spec: {template: {spec: {cpus: 4}}}}
- {apiVersion: infrastructure.cluster.x-k8s.io/v1beta2, kind: LocalMachineTemplate, metadata: {name: worker, namespace: acme}, spec: {template: {spec: {}}}}
- {apiVersion: bootstrap.cluster.x-k8s.io/v1beta2, kind: KubeadmConfigTemplate, metadata: {name: worker, namespace: acme}, spec: {template: {spec: {verbosity: 1}}}}
";

/// What a controller of control planes and one of MachineDeployments make of objects that were applied.
fn with_status(kind: &str, spec: &Value, old: Option<&Value>) -> Value {
    let version = match kind {
        "MachineDeployment" | "MachinePool" => &spec["template"]["spec"]["version"],
        _ => &spec["version"],
    };
    let version = old.unwrap_or(version);
    json!({
        "initialization": {"controlPlaneInitialized": true},
        "versions": [{"version": version, "replicas": 1}],
    })
}

/// What there is after a pass. With `is_done`, everybody else has done their part as well: all machines have their versions.
fn after(mut world: Value, is_done: bool) -> Value {
    let typed: World = serde_json::from_value(world.clone()).unwrap();
    for change in TopologyController::plan(&typed, now()).changes {
        match change {
            Change::Apply(object) => apply(&mut world, &object, is_done),
            Change::Patch { patch, .. } => merge(&mut world["cluster"], patch),
            Change::Delete { target, .. } => {
                for list in ["copies", "deployments", "pools", "checks"] {
                    if let Some(list) = world.get_mut(list).and_then(Value::as_array_mut) {
                        list.retain(|o| {
                            o["metadata"]["name"] != *target.name || kind(o) != target.kind
                        });
                    }
                }
            }
            other => panic!("{other:?}"),
        }
    }
    if is_done {
        for list in ["deployments", "pools"] {
            let objects = world.get_mut(list).and_then(Value::as_array_mut);
            for object in objects.into_iter().flatten() {
                object["status"] = with_status(&kind(object), &object["spec"], None);
            }
        }
    }
    world
}

fn kind(object: &Value) -> String {
    let kind = object["kind"].as_str().unwrap_or_default();
    kind.to_owned()
}

fn apply(world: &mut Value, object: &DynamicObject, is_done: bool) {
    let mut new = serde_json::to_value(object).unwrap();
    let kind = kind(&new);
    let list = match &*kind {
        "LocalCluster" => return,
        "KubeadmControlPlane" => {
            let old = world["control_plane"]["status"]["versions"][0]["version"].clone();
            let old = Some(&old).filter(|old| !is_done && !old.is_null());
            new["status"] = with_status(&kind, &new["spec"], old);
            world["control_plane"] = new;
            return;
        }
        "MachineDeployment" => "deployments",
        "MachinePool" => "pools",
        "MachineHealthCheck" => "checks",
        _ => "copies",
    };
    if !world[list].is_array() {
        world[list] = json!([]);
    }
    let Some(objects) = world[list].as_array_mut() else {
        return;
    };
    let found = objects
        .iter_mut()
        .find(|o| o["kind"] == new["kind"] && o["metadata"]["name"] == new["metadata"]["name"]);
    match found {
        Some(old) => {
            new["status"] = old["status"].clone();
            *old = new;
        }
        None => {
            if matches!(&*kind, "MachineDeployment" | "MachinePool") {
                new["status"] = with_status(&kind, &new["spec"], None);
            }
            objects.push(new);
        }
    }
}

fn merge(target: &mut Value, patch: Value) {
    match (target, patch) {
        (Value::Object(target), Value::Object(patch)) => {
            for (key, value) in patch {
                if value.is_null() {
                    target.remove(&key);
                } else {
                    merge(target.entry(key).or_insert(Value::Null), value);
                }
            }
        }
        (target, patch) => *target = patch,
    }
}

fn yaml(text: &str) -> Value {
    serde_saphyr::from_str(text).unwrap()
}

/// A cluster that has come up.
fn settled(overrides: &str) -> Value {
    let mut world = yaml(NEW);
    merge(&mut world, yaml(overrides));
    after(after(world, true), true)
}

/// What a pass changes: new, changed and deleted objects with what matters in them.
fn changes(world: &Value) -> String {
    let typed: World = serde_json::from_value(world.clone()).unwrap();
    let plan = TopologyController::plan(&typed, now());
    let mut text = String::new();
    for change in &plan.changes {
        if let Change::Apply(object) = change {
            let new = serde_json::to_value(object).unwrap();
            let is_same = |old: &Value| {
                let mut old = old.clone();
                old.as_object_mut().map(|o| o.remove("status"));
                old == new
            };
            let lists = ["copies", "deployments", "pools", "checks"].map(|list| &world[list]);
            let objects = lists
                .into_iter()
                .flat_map(|list| list.as_array().into_iter().flatten());
            if kind(&new) == "LocalCluster" || objects.chain([&world["control_plane"]]).any(is_same)
            {
                continue;
            }
            let spec = &new["spec"];
            let about = match &*kind(&new) {
                "KubeadmControlPlane" => format!(
                    "{} {}",
                    spec["version"], spec["machineTemplate"]["spec"]["infrastructureRef"]["name"]
                ),
                "MachineDeployment" | "MachinePool" => {
                    let machine = &spec["template"]["spec"];
                    format!(
                        "replicas {} {} {} {}",
                        spec["replicas"],
                        machine["version"],
                        machine["bootstrap"]["configRef"]["name"],
                        machine["infrastructureRef"]["name"]
                    )
                }
                _ => spec.to_string(),
            };
            text += &format!("apply {} {} {about}\n", kind(&new), new["metadata"]["name"]);
        }
    }
    let rest = runtime::Plan {
        changes: plan
            .changes
            .into_iter()
            .filter(|c| !matches!(c, Change::Apply(_)))
            .collect(),
        ..plan
    };
    let status = TopologyController::status(&typed, &rest, &Outcome::default(), now()).unwrap();
    text + &rest.to_string() + &crate::testing::show_status(&status)
}

fn check(world: &Value, expect: &Expect) {
    expect.assert_eq(&changes(world));
}

#[test]
fn a_cluster_comes_up_at_once() {
    check(
        &yaml(NEW),
        &expect![[r#"
        apply LocalMachineTemplate "hello-nj6xc" {"template":{"spec":{"cpus":4}}}
        apply KubeadmConfigTemplate "hello-blue-h8sch" {"template":{"spec":{"verbosity":1}}}
        apply LocalMachineTemplate "hello-blue-ll7kl" {"template":{"spec":{"cpus":2}}}
        apply KubeadmControlPlane "hello-8ql5b" "v1.36.0" "hello-nj6xc"
        apply MachineDeployment "hello-blue-29zzm" replicas 2 "v1.36.0" "hello-blue-h8sch" "hello-blue-ll7kl"
        patch Cluster acme/hello {"metadata":{"labels":{"cluster.x-k8s.io/cluster-name":"hello","topology.cluster.x-k8s.io/owned":""},"resourceVersion":"7"},"spec":{"controlPlaneRef":{"apiGroup":"controlplane.cluster.x-k8s.io","kind":"KubeadmControlPlane","name":"hello-8ql5b"},"infrastructureRef":{"apiGroup":"infrastructure.cluster.x-k8s.io","kind":"LocalCluster","name":"hello-wkhrj"}}}
        TopologyReconciled=True ReconcileSucceeded
    "#]],
    );
}

#[test]
fn parts_have_what_class_and_topology_say() {
    let overrides = "
cluster:
  spec:
    topology:
      controlPlane:
        metadata: {labels: {a: topology}, annotations: {n: topology}}
        deletion: {nodeDrainTimeoutSeconds: 5}
        rollout: {after: 2026-01-01T00:00:00Z}
        healthCheck: {enabled: true}
      workers:
        machineDeployments:
        - class: worker
          name: blue
          failureDomain: d1
          metadata: {labels: {a: topology}, annotations: {topology.cluster.x-k8s.io/defer-upgrade: ''}}
          deletion: {order: Oldest, nodeDeletionTimeoutSeconds: 7}
          minReadySeconds: 3
          rollout: {strategy: {type: OnDelete}}
          healthCheck: {checks: {nodeStartupTimeoutSeconds: 100}, remediation: {maxInFlight: 1}}
class:
  spec:
    controlPlane:
      metadata: {labels: {a: class, b: class}}
      deletion: {nodeDrainTimeoutSeconds: 1, nodeVolumeDetachTimeoutSeconds: 2}
      taints: [{key: k, effect: NoSchedule, propagation: Always}]
      readinessGates: [{conditionType: Gate}]
      naming: {template: 'cp-{{ .cluster.name }}'}
      healthCheck: {checks: {nodeStartupTimeoutSeconds: 300}}
";
    let world: World = layers(NEW, &[overrides]);
    let plan = TopologyController::plan(&world, now());
    let shown: Vec<String> = plan
        .changes
        .iter()
        .filter_map(|change| match change {
            Change::Apply(object) => {
                Some(crate::yaml::render(&serde_json::to_value(object).unwrap()))
            }
            _ => None,
        })
        .collect();
    expect_test::expect_file!["tests/parts.yaml"].assert_eq(&shown.join("---\n"));
}

#[test]
fn a_settled_cluster_is_left_alone() {
    check(
        &settled("{}"),
        &expect![[r#"
        TopologyReconciled=True ReconcileSucceeded
    "#]],
    );
}

#[test]
fn a_variable_changes_what_it_is_about() {
    let mut world = settled("{}");
    merge(
        &mut world,
        yaml("cluster: {spec: {topology: {variables: [{name: cpus, value: 8}]}}}"),
    );
    check(
        &world,
        &expect![[r#"
        apply LocalMachineTemplate "hello-blue-vn7s7" {"template":{"spec":{"cpus":8}}}
        apply MachineDeployment "hello-blue-29zzm" replicas 2 "v1.36.0" "hello-blue-h8sch" "hello-blue-vn7s7"
        TopologyReconciled=True ReconcileSucceeded
    "#]],
    );
    // The template before goes when nobody refers to it any more.
    let mut world = after(world, true);
    check(
        &world,
        &expect![[r#"
        delete LocalMachineTemplate acme/hello-blue-ll7kl
        TopologyReconciled=True ReconcileSucceeded
    "#]],
    );
    // Back again: the same name as at first, since it is the same.
    merge(
        &mut world,
        yaml("cluster: {spec: {topology: {variables: [{name: cpus, value: 2}]}}}"),
    );
    check(
        &after(after(world, true), true),
        &expect![[r#"
        TopologyReconciled=True ReconcileSucceeded
    "#]],
    );
}

#[test]
fn a_template_on_its_way_out_is_not_used_again() {
    let mut world = settled("{}");
    for copy in world["copies"].as_array_mut().unwrap() {
        if copy["metadata"]["labels"]["topology.cluster.x-k8s.io/deployment-name"] == "blue" {
            copy["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        }
    }
    check(
        &world,
        &expect![[r#"
        apply KubeadmConfigTemplate "hello-blue-rbpf5" {"template":{"spec":{"verbosity":1}}}
        apply LocalMachineTemplate "hello-blue-pmsww" {"template":{"spec":{"cpus":2}}}
        apply MachineDeployment "hello-blue-29zzm" replicas 2 "v1.36.0" "hello-blue-rbpf5" "hello-blue-pmsww"
        TopologyReconciled=True ReconcileSucceeded
    "#]],
    );
}

#[test]
fn templates_of_another_maker_are_kept() {
    let mut world = settled("{}");
    for copy in world["copies"].as_array_mut().unwrap() {
        copy["metadata"]["annotations"] = json!({});
        copy["spec"]["template"]["spec"]["startDelaySeconds"] = json!(0);
    }
    check(
        &world,
        &expect![[r#"
        apply LocalMachineTemplate "hello-nj6xc" {"template":{"spec":{"cpus":4}}}
        apply KubeadmConfigTemplate "hello-blue-h8sch" {"template":{"spec":{"verbosity":1}}}
        apply LocalMachineTemplate "hello-blue-ll7kl" {"template":{"spec":{"cpus":2}}}
        TopologyReconciled=True ReconcileSucceeded
    "#]],
    );
}

#[test]
fn pools_come_and_go() {
    let mut world = settled("{}");
    let entries = "[{class: worker, name: green, replicas: 1}]";
    merge(
        &mut world,
        yaml(&format!(
            "cluster: {{spec: {{topology: {{workers: {{machineDeployments: {entries}}}}}}}}}"
        )),
    );
    check(
        &world,
        &expect![[r#"
        apply KubeadmConfigTemplate "hello-green-54jsf" {"template":{"spec":{"verbosity":1}}}
        apply LocalMachineTemplate "hello-green-mftmr" {"template":{"spec":{"cpus":2}}}
        apply MachineDeployment "hello-green-tkpws" replicas 1 "v1.36.0" "hello-green-54jsf" "hello-green-mftmr"
        delete MachineDeployment acme/hello-blue-29zzm
        note TopologyDelete: MachineDeployment hello-blue-29zzm is deleted: the topology does not have it any more
        TopologyReconciled=True ReconcileSucceeded
    "#]],
    );
}

#[test]
fn the_number_of_machines_is_somebody_elses_if_the_topology_has_none() {
    let mut world = settled("{}");
    merge(
        &mut world,
        yaml(
            "cluster: {spec: {topology: {controlPlane: null, workers: {machineDeployments: [{class: worker, name: blue}]}}}}",
        ),
    );
    let typed: World = serde_json::from_value(world).unwrap();
    for change in TopologyController::plan(&typed, now()).changes {
        if let Change::Apply(object) = change {
            assert_eq!(object.data["spec"]["replicas"], Value::Null);
        }
    }
}

/// A cluster with three pools.
const POOLS: &str = "
cluster:
  spec:
    topology:
      workers:
        machineDeployments:
        - {class: worker, name: blue, replicas: 1}
        - {class: worker, name: green, replicas: 1}
        - {class: worker, name: red, replicas: 1}
";

/// The world after a pass, and whether that changed nothing. Others go on: what was applied in this pass is done in the next.
fn pass(world: Value) -> (Value, bool) {
    let moved = after(world.clone(), false);
    let is_still = moved == world;
    let mut world = if is_still { after(world, true) } else { moved };
    if moved_on(&world) {
        let version = world["control_plane"]["spec"]["version"].clone();
        world["control_plane"]["status"]["versions"] = json!([{"version": version}]);
        for deployment in world["deployments"].as_array_mut().unwrap() {
            let version = deployment["spec"]["template"]["spec"]["version"].clone();
            deployment["status"]["versions"] = json!([{"version": version}]);
        }
    }
    (world, is_still)
}

#[test]
fn an_upgrade_goes_from_the_control_plane_to_the_pools() {
    let mut world = settled(POOLS);
    merge(
        &mut world,
        yaml("cluster: {spec: {topology: {version: v1.37.0}}}"),
    );
    let mut text = String::new();
    for _ in 0..12 {
        text += &format!("{}\n", changes(&world).trim_end());
        (world, _) = pass(world);
        text += "---\n";
    }
    expect_test::expect_file!["tests/upgrade.txt"].assert_eq(&text);
}

/// Whether the world has seen what was applied: each second pass.
fn moved_on(world: &Value) -> bool {
    let is_behind =
        |object: &Value, version: &Value| object["status"]["versions"][0]["version"] != *version;
    let control_plane = &world["control_plane"];
    is_behind(control_plane, &control_plane["spec"]["version"])
        || world["deployments"]
            .as_array()
            .into_iter()
            .flatten()
            .any(|d| is_behind(d, &d["spec"]["template"]["spec"]["version"]))
}

#[test]
fn pools_are_deferred_by_annotations() {
    let mut world = settled(POOLS);
    let entry = |name: &str, annotation: &str| json!({"class": "worker", "name": name, "replicas": 1, "metadata": {"annotations": {(annotation): ""}}});
    let entries = json!([
        entry("blue", "topology.cluster.x-k8s.io/defer-upgrade"),
        entry("green", "x"),
        entry("red", "topology.cluster.x-k8s.io/hold-upgrade-sequence"),
    ]);
    world["cluster"]["spec"]["topology"]["version"] = json!("v1.37.0");
    world["cluster"]["spec"]["topology"]["workers"]["machineDeployments"] = entries;
    for _ in 0..6 {
        world = after(world, true);
    }
    check(
        &world,
        &expect![[r#"
        wait MachineDeploymentsUpgradeDeferred: Cluster is upgrading to v1.37.0
          * MachineDeployments hello-blue-29zzm, hello-red-w2j2k upgrade to v1.37.0 deferred by the annotation defer-upgrade or hold-upgrade-sequence
        TopologyReconciled=False MachineDeploymentsUpgradeDeferred Cluster is upgrading to v1.37.0
              * MachineDeployments hello-blue-29zzm, hello-red-w2j2k upgrade to v1.37.0 deferred by the annotation defer-upgrade or hold-upgrade-sequence
        workers:
          upgradePlan:
          - version: v1.37.0
    "#]],
    );
}

#[test]
fn several_pools_at_once_if_the_user_says_so() {
    let mut world = settled(POOLS);
    world["cluster"]["spec"]["topology"]["version"] = json!("v1.37.0");
    world["cluster"]["metadata"]["annotations"] =
        json!({"topology.cluster.x-k8s.io/upgrade-concurrency": "2"});
    let world = after(world, true);
    check(
        &world,
        &expect![[r#"
        apply MachineDeployment "hello-blue-29zzm" replicas 1 "v1.37.0" "hello-blue-h8sch" "hello-blue-ll7kl"
        apply MachineDeployment "hello-green-tkpws" replicas 1 "v1.37.0" "hello-green-54jsf" "hello-green-mftmr"
        wait ClusterUpgrading: Cluster is upgrading to v1.37.0
          * MachineDeployments hello-blue-29zzm, hello-green-tkpws upgrading to v1.37.0
          * MachineDeployment hello-red-w2j2k pending upgrade to v1.37.0
        TopologyReconciled=False ClusterUpgrading Cluster is upgrading to v1.37.0
              * MachineDeployments hello-blue-29zzm, hello-green-tkpws upgrading to v1.37.0
              * MachineDeployment hello-red-w2j2k pending upgrade to v1.37.0
        workers:
          upgradePlan:
          - version: v1.37.0
    "#]],
    );
}

#[test]
fn what_waits_for_its_upgrade_changes_once() {
    let mut world = settled(POOLS);
    world["cluster"]["spec"]["topology"]["version"] = json!("v1.37.0");
    world["cluster"]["spec"]["topology"]["variables"][0]["value"] = json!(8);
    check(
        &world,
        &expect![[r#"
        apply KubeadmControlPlane "hello-8ql5b" "v1.37.0" "hello-nj6xc"
        patch Cluster acme/hello {"metadata":{"annotations":{"topology.internal.cluster.x-k8s.io/upgrade-step":"v1.37.0"},"resourceVersion":"7"}}
        wait ClusterUpgrading: Cluster is upgrading to v1.37.0
          * KubeadmControlPlane upgrading to v1.37.0
          * MachineDeployments hello-blue-29zzm, hello-green-tkpws, hello-red-w2j2k pending upgrade to v1.37.0
        TopologyReconciled=False ClusterUpgrading Cluster is upgrading to v1.37.0
              * KubeadmControlPlane upgrading to v1.37.0
              * MachineDeployments hello-blue-29zzm, hello-green-tkpws, hello-red-w2j2k pending upgrade to v1.37.0
        workers:
          upgradePlan:
          - version: v1.37.0
    "#]],
    );
}

#[test]
fn an_upgrade_goes_over_the_versions_of_the_class() {
    let versions = "class: {spec: {kubernetesVersions: [v1.36.0, v1.37.0, v1.37.1, v1.38.0, v1.39.0, v1.40.0, v1.41.0]}}";
    let mut world = settled(versions);
    world["cluster"]["spec"]["topology"]["version"] = json!("v1.41.0");
    let mut text = String::new();
    for _ in 0..10 {
        world = after(world, true);
        let deployment = &world["deployments"][0]["spec"]["template"]["spec"]["version"];
        text += &format!(
            "{} {deployment}\n",
            world["control_plane"]["spec"]["version"]
        );
    }
    expect![[r#"
        "v1.37.1" "v1.36.0"
        "v1.38.0" "v1.36.0"
        "v1.39.0" "v1.36.0"
        "v1.39.0" "v1.39.0"
        "v1.40.0" "v1.39.0"
        "v1.41.0" "v1.39.0"
        "v1.41.0" "v1.41.0"
        "v1.41.0" "v1.41.0"
        "v1.41.0" "v1.41.0"
        "v1.41.0" "v1.41.0"
    "#]]
    .assert_eq(&text);
}

#[test]
fn new_pools_wait_for_the_control_plane() {
    let mut world = settled("{}");
    world["cluster"]["spec"]["topology"]["version"] = json!("v1.37.0");
    merge(
        &mut world,
        yaml(
            "cluster: {spec: {topology: {workers: {machineDeployments: [{class: worker, name: blue, replicas: 2}, {class: worker, name: new}]}}}}",
        ),
    );
    check(
        &world,
        &expect![[r#"
        apply KubeadmControlPlane "hello-8ql5b" "v1.37.0" "hello-nj6xc"
        patch Cluster acme/hello {"metadata":{"annotations":{"topology.internal.cluster.x-k8s.io/upgrade-step":"v1.37.0"},"resourceVersion":"7"}}
        wait ClusterUpgrading: Cluster is upgrading to v1.37.0
          * KubeadmControlPlane upgrading to v1.37.0
          * MachineDeployment hello-blue-29zzm pending upgrade to v1.37.0
          * MachineDeployment new creation deferred while the control plane upgrade is in progress
        TopologyReconciled=False ClusterUpgrading Cluster is upgrading to v1.37.0
              * KubeadmControlPlane upgrading to v1.37.0
              * MachineDeployment hello-blue-29zzm pending upgrade to v1.37.0
              * MachineDeployment new creation deferred while the control plane upgrade is in progress
        workers:
          upgradePlan:
          - version: v1.37.0
    "#]],
    );
}

fn say(overrides: &str, expect: &Expect) {
    let world: World = layers(NEW, &[overrides]);
    expect.assert_eq(&show::<TopologyController>(&world));
}

#[test]
fn what_is_missing_is_said() {
    say(
        "class: null",
        &expect![[r#"
        wait ClusterClassNotReconciled: ClusterClass acme/standard does not exist
        TopologyReconciled=False ClusterClassNotReconciled ClusterClass acme/standard does not exist
    "#]],
    );
    say(
        "cluster: {spec: {topology: {classRef: {namespace: other}}}}\nclass: null",
        &expect![[r#"
            wait ClusterClassNotReconciled: ClusterClass other/standard does not exist, or its owner does not share it with other namespaces by the annotation topology.apiary.io/shared: "true"
            TopologyReconciled=False ClusterClassNotReconciled ClusterClass other/standard does not exist, or its owner does not share it with other namespaces by the annotation topology.apiary.io/shared: "true"
        "#]],
    );
    say(
        "class: {metadata: {generation: 2}}",
        &expect![[r#"
        wait ClusterClassNotReconciled: ClusterClass acme/standard has changed, and its controller has not looked at it yet
        TopologyReconciled=False ClusterClassNotReconciled ClusterClass acme/standard has changed, and its controller has not looked at it yet
    "#]],
    );
    say(
        "templates: []",
        &expect![[r#"
        wait ReconcileFailed: ClusterClass acme/standard: LocalClusterTemplate standard, KubeadmControlPlaneTemplate standard, LocalMachineTemplate masters, KubeadmConfigTemplate worker, LocalMachineTemplate worker do not exist
        TopologyReconciled=False ReconcileFailed ClusterClass acme/standard: LocalClusterTemplate standard, KubeadmControlPlaneTemplate standard, LocalMachineTemplate masters, KubeadmConfigTemplate worker, LocalMachineTemplate worker do not exist
    "#]],
    );
}

#[test]
fn what_is_wrong_is_said() {
    say(
        "cluster: {spec: {topology: {variables: [{name: cpus, value: 100}, {name: more, value: 1}]}}}",
        &expect![[r#"
            wait ReconcileFailed: * spec.topology.variables[cpus].value: Invalid value: 100 must be at most 64
            * spec.topology.variables[more]: Invalid value: "more" is no variable of the ClusterClass
            TopologyReconciled=False ReconcileFailed * spec.topology.variables[cpus].value: Invalid value: 100 must be at most 64
                * spec.topology.variables[more]: Invalid value: "more" is no variable of the ClusterClass
        "#]],
    );
    say(
        "class: {spec: {patches: [{name: size, definitions: [{selector: {apiVersion: infrastructure.cluster.x-k8s.io/v1beta2, kind: LocalMachineTemplate, matchResources: {controlPlane: true}}, jsonPatches: [{op: replace, path: /spec/template/spec/none, value: 1}]}]}]}}",
        &expect![[r#"
            wait ReconcileFailed: LocalMachineTemplate masters: patch "size" of the ClusterClass: replace /spec/template/spec/none: path is invalid
            TopologyReconciled=False ReconcileFailed LocalMachineTemplate masters: patch "size" of the ClusterClass: replace /spec/template/spec/none: path is invalid
        "#]],
    );
    say(
        "class: {spec: {patches: [{name: x, external: {generatePatchesExtension: ext}}]}}",
        &expect![[r#"
            wait ReconcileFailed: LocalClusterTemplate standard: patch "x" of the ClusterClass: its extension has not been asked yet
            TopologyReconciled=False ReconcileFailed LocalClusterTemplate standard: patch "x" of the ClusterClass: its extension has not been asked yet
        "#]],
    );
    say(
        "cluster: {spec: {paused: true}}",
        &expect![[r#"
        wait Paused: Reconciliation is paused
        TopologyReconciled=False Paused Reconciliation is paused, by spec.paused or the annotation cluster.x-k8s.io/paused
    "#]],
    );
    say(
        "cluster: {metadata: {deletionTimestamp: 2026-01-01T00:00:00Z}}",
        &expect![[r#"
            patch Cluster acme/hello {"metadata":{"annotations":{"runtime.cluster.x-k8s.io/ok-to-delete":""},"resourceVersion":"7"}}
            TopologyReconciled=False Deleting Cluster is deleting
        "#]],
    );
    say(
        "class: {spec: {variables: [{name: cpus, required: true, schema: {openAPIV3Schema: {type: integer, x-kubernetes-validations: [{rule: self % 4 == 0, message: must be divisible by 4}]}}}]}}",
        &expect![[r#"
            wait ReconcileFailed: * spec.topology.variables[cpus].value: Invalid value: must be divisible by 4
            TopologyReconciled=False ReconcileFailed * spec.topology.variables[cpus].value: Invalid value: must be divisible by 4
        "#]],
    );
}

/// Conditions and changes of patches.
const PATCHES: &[(&str, &str)] = &[
    (
        "",
        "{op: add, path: /spec/template/spec/ntp, value: {enabled: true}}",
    ),
    (
        "",
        "{op: replace, path: /spec/template/spec/verbosity, valueFrom: {variable: cpus}}",
    ),
    ("", "{op: remove, path: /spec/template/spec/verbosity}"),
    ("", "{op: remove, path: /spec/template/spec/none}"),
    (
        "",
        "{op: add, path: /spec/template/spec/x, valueFrom: {variable: builtin.machineDeployment}}",
    ),
    (
        "",
        "{op: add, path: /spec/template/spec/x, valueFrom: {variable: builtin.cluster.topology}}",
    ),
    (
        "",
        "{op: add, path: /spec/template/spec/x, valueFrom: {template: '{{ .builtin.machineDeployment.name | upper }} {{ add .cpus 1 }}'}}",
    ),
    (
        "",
        "{op: add, path: /spec/template/spec/x, valueFrom: {template: '[{{ .cpus }}, \"{{ .cpus }}\"]'}}",
    ),
    (
        "",
        "{op: add, path: /spec/template/spec/x, valueFrom: {template: '{{ fail \"no\" }}'}}",
    ),
    (
        "",
        "{op: add, path: /spec/template/spec/x, valueFrom: {template: '{{ randAlpha 5 }}'}}",
    ),
    (
        "",
        "{op: add, path: /spec/template/spec/x, valueFrom: {variable: builtin.controlPlane.name}}",
    ),
    (
        "enabledIf: '{{ eq .cpus 2.0 }}',",
        "{op: add, path: /spec/template/spec/x, value: 1}",
    ),
    (
        "enabledIf: '{{ if gt .cpus 2.0 }}true{{ end }}',",
        "{op: add, path: /spec/template/spec/x, value: 1}",
    ),
    (
        "enabledIf: '{{ .none.more }}',",
        "{op: add, path: /spec/template/spec/x, value: 1}",
    ),
];

/// A patch and what it makes of the templates that it is meant for.
#[test]
fn patches_make_values() {
    let made = |patch: &str| {
        let base = yaml(NEW);
        let mut world = base;
        world["class"]["spec"]["patches"] = yaml(patch);
        let world: World = serde_json::from_value(world).unwrap();
        let plan = TopologyController::plan(&world, now());
        let copy = plan.changes.iter().find_map(|change| match change {
            Change::Apply(object)
                if object
                    .types
                    .as_ref()
                    .is_some_and(|t| t.kind == "KubeadmConfigTemplate") =>
            {
                Some(object.data["spec"]["template"]["spec"].to_string())
            }
            _ => None,
        });
        copy.unwrap_or_else(|| plan.to_string())
    };
    let definition = |enabled: &str, change: &str| {
        format!(
            "[{{name: p, {enabled} definitions: [{{selector: {{apiVersion: bootstrap.cluster.x-k8s.io/v1beta2, kind: KubeadmConfigTemplate, matchResources: {{machineDeploymentClass: {{names: ['w*']}}}}}}, jsonPatches: [{change}]}}]}}]"
        )
    };
    let mut text = String::new();
    for (enabled, change) in PATCHES {
        let patch = definition(enabled, change);
        text += &format!(
            "{enabled}{change}\n    {}\n",
            made(&patch).trim_end().replace('\n', "\n    ")
        );
    }
    expect_test::expect_file!["tests/patches.txt"].assert_eq(&text);
}
