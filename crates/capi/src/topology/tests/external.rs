//! Patches by extensions: what they are asked, and what comes of their answers.

use std::convert::Infallible;

use expect_test::expect;
use kube::core::DynamicObject;
use runtime::{Change, Plan, Reconciler};
use serde_json::{Value, json};

use super::{NEW, after, merge, yaml};
use crate::hook::{NamedHook, Unanswered};
use crate::testing::now;
use crate::topology::{External, TopologyController, World, external};

/// A class with a patch by an extension between two others, which another one checks.
const ASKED: &str = "
class:
  spec:
    patches:
    - name: first
      definitions:
      - selector: {apiVersion: infrastructure.cluster.x-k8s.io/v1beta2, kind: LocalMachineTemplate, matchResources: {machineDeploymentClass: {names: [worker]}}}
        jsonPatches: [{op: add, path: /spec/template/spec/cpus, valueFrom: {variable: cpus}}]
    - name: second
      external: {generatePatchesExtension: gen.ext, validateTopologyExtension: check.ext, settings: {mode: strict}}
    - name: third
      definitions:
      - selector: {apiVersion: infrastructure.cluster.x-k8s.io/v1beta2, kind: LocalMachineTemplate, matchResources: {machineDeploymentClass: {names: [worker]}}}
        jsonPatches: [{op: replace, path: /spec/template/spec/memoryMiB, value: 3072}]
cluster:
  spec:
    topology:
      workers:
        machineDeployments:
        - {class: worker, name: blue, replicas: 2, variables: {overrides: [{name: cpus, value: 4}]}}
";

fn world() -> World {
    let mut world = yaml(NEW);
    merge(&mut world, yaml(ASKED));
    serde_json::from_value(world).unwrap()
}

fn base64(patch: &Value) -> String {
    use base64::Engine as _;
    base64::prelude::BASE64_STANDARD.encode(patch.to_string())
}

const MACHINES: &str = "MachineDeployment/blue/spec.template.spec.infrastructureRef";

fn answer(items: &Value) -> External {
    external::read(&json!({"status": "Success", "items": items})).map_err(|why| unanswered(&why))
}

fn unanswered(why: &str) -> Unanswered {
    Unanswered {
        why: why.to_owned(),
        until: now(),
    }
}

fn generated(world: &mut World, answer: External) {
    let key = (NamedHook::GeneratePatches, "second".to_owned());
    world.external.insert(key, answer);
}

/// What is applied, with what is in it.
fn changes_of(plan: &Plan<Infallible>) -> String {
    let applied = plan.changes.iter().filter_map(|change| match change {
        Change::Apply(object) => Some(object),
        _ => None,
    });
    let kind = |object: &DynamicObject| object.types.clone().unwrap_or_default().kind;
    let lines = applied.map(|object| format!("{} {}", kind(object), object.data["spec"]));
    lines.collect::<Vec<_>>().join("\n")
}

fn said(world: &World) -> String {
    let plan = TopologyController::plan(world, now());
    let shown = Plan {
        changes: vec![],
        ..plan
    };
    shown.to_string()
}

#[test]
fn extensions_see_what_earlier_patches_left() {
    let mut world = world();
    let (patch, question) = external::question(&world).unwrap();
    assert_eq!(
        (patch.as_str(), question.handler.as_str()),
        ("second", "gen.ext")
    );
    assert_eq!(question.settings["mode"], "strict");
    expect_test::expect_file!["external.yaml"].assert_eq(&crate::yaml::render(&question.about));

    let patch = json!([{"op": "add", "path": "/spec/template/spec/memoryMiB", "value": 2048}]);
    let items = json!([
        {"uid": MACHINES, "patchType": "JSONPatch", "patch": base64(&patch)},
        {"uid": "Cluster/spec.infrastructureRef", "patchType": "JSONMergePatch", "patch": base64(&json!({
            "kind": "Other", "spec": {"template": {"spec": {"failureDomains": [{"name": "a", "controlPlane": true}]}}},
        }))},
        {"uid": "of another request", "patchType": "JSONMergePatch", "patch": base64(&json!({"spec": null}))},
    ]);
    generated(&mut world, answer(&items));
    // The one that checks sees the outcome of all patches.
    let (_, question) = external::question(&world).unwrap();
    assert_eq!(question.hook, NamedHook::ValidateTopology);
    let items = question.about["items"].as_array().unwrap();
    let shown: Vec<String> = items
        .iter()
        .map(|item| {
            let (object, holder) = (&item["object"], &item["holderReference"]);
            format!(
                "{} {}: {}",
                holder["kind"], holder["fieldPath"], object["spec"]
            )
        })
        .collect();
    expect![[r#"
        "Cluster" "spec.infrastructureRef": {"template":{"metadata":{"labels":{"from":"template"}},"spec":{"failureDomains":[{"controlPlane":true,"name":"a"}]}}}
        "Cluster" "spec.controlPlaneRef": {"template":{"spec":{"kubeadmConfigSpec":{"clusterConfiguration":{"imageRepository":"example.org"}}}}}
        "KubeadmControlPlane" "spec.machineTemplate.spec.infrastructureRef": {"template":{"spec":{"cpus":4}}}
        "MachineDeployment" "spec.template.spec.bootstrap.configRef": {"template":{"spec":{"verbosity":1}}}
        "MachineDeployment" "spec.template.spec.infrastructureRef": {"template":{"spec":{"cpus":4,"memoryMiB":3072}}}"#]].assert_eq(&shown.join("\n"));
    expect![[r#"
        wait ReconcileFailed: patch "second" of the ClusterClass: its extension has not been asked yet
    "#]].assert_eq(&said(&world));

    let key = (NamedHook::ValidateTopology, "second".to_owned());
    world.external.insert(key.clone(), Ok(vec![]));
    assert_eq!(external::question(&world), None);
    let applied = changes_of(&TopologyController::plan(&world, now()));
    expect![[r#"
        LocalMachineTemplate {"template":{"spec":{"cpus":4}}}
        KubeadmConfigTemplate {"template":{"spec":{"verbosity":1}}}
        LocalMachineTemplate {"template":{"spec":{"cpus":4,"memoryMiB":3072}}}
        LocalCluster {"failureDomains":[{"controlPlane":true,"name":"a"}]}
        KubeadmControlPlane {"kubeadmConfigSpec":{"clusterConfiguration":{"imageRepository":"example.org"}},"machineTemplate":{"metadata":{"labels":{"cluster.x-k8s.io/cluster-name":"hello","topology.cluster.x-k8s.io/owned":""}},"spec":{"infrastructureRef":{"apiGroup":"infrastructure.cluster.x-k8s.io","kind":"LocalMachineTemplate","name":"hello-nj6xc"}}},"replicas":3,"version":"v1.36.0"}
        MachineDeployment {"clusterName":"hello","replicas":2,"selector":{"matchLabels":{"cluster.x-k8s.io/cluster-name":"hello","topology.cluster.x-k8s.io/deployment-name":"blue","topology.cluster.x-k8s.io/owned":""}},"template":{"metadata":{"labels":{"cluster.x-k8s.io/cluster-name":"hello","topology.cluster.x-k8s.io/deployment-name":"blue","topology.cluster.x-k8s.io/owned":""}},"spec":{"bootstrap":{"configRef":{"apiGroup":"bootstrap.cluster.x-k8s.io","kind":"KubeadmConfigTemplate","name":"hello-blue-h8sch"}},"clusterName":"hello","infrastructureRef":{"apiGroup":"infrastructure.cluster.x-k8s.io","kind":"LocalMachineTemplate","name":"hello-blue-j5fgn"},"version":"v1.36.0"}}}"#]].assert_eq(&applied);
    world
        .external
        .insert(key, Err(unanswered("ValidateTopology check.ext: no")));
    expect![[r#"
        wait ReconcileFailed: patch "second" of the ClusterClass: ValidateTopology check.ext: no
    "#]]
    .assert_eq(&said(&world));
}

#[test]
fn nothing_changes_until_extensions_have_answered() {
    let mut world = world();
    expect![[r#"
        wait ReconcileFailed: LocalClusterTemplate standard: patch "second" of the ClusterClass: its extension has not been asked yet
    "#]].assert_eq(&said(&world));
    generated(
        &mut world,
        Err(unanswered("GeneratePatches gen.ext: no answer within 10 s")),
    );
    assert_eq!(external::question(&world), None);
    expect![[r#"
        wait ReconcileFailed: LocalClusterTemplate standard: patch "second" of the ClusterClass: GeneratePatches gen.ext: no answer within 10 s
    "#]].assert_eq(&said(&world));
    let patch = base64(&json!([{"op": "remove", "path": "/spec/none"}]));
    let items = json!([{"uid": MACHINES, "patchType": "JSONPatch", "patch": patch}]);
    generated(&mut world, answer(&items));
    expect![[r#"
        wait ReconcileFailed: LocalMachineTemplate worker: patch "second" of the ClusterClass: what its extension answered: operation '/0' failed at path '/spec/none': path is invalid
    "#]].assert_eq(&said(&world));
    let large = json!({"spec": {"large": "x".repeat(1_500_000)}});
    let items = json!([{"uid": MACHINES, "patchType": "JSONMergePatch", "patch": base64(&large)}]);
    generated(&mut world, answer(&items));
    expect![[r#"
        wait ReconcileFailed: LocalMachineTemplate worker: patch "second" of the ClusterClass: what its extension answered makes a template larger than 1500000 bytes
    "#]].assert_eq(&said(&world));
}

/// What is wrong with an earlier patch is said, also if it is not about the first template.
#[test]
fn what_keeps_an_extension_from_being_asked_is_said() {
    let mut world = yaml(NEW);
    merge(&mut world, yaml(ASKED));
    let first = &mut world["class"]["spec"]["patches"][0]["definitions"][0];
    first["jsonPatches"] = json!([{"op": "remove", "path": "/spec/template/spec/none"}]);
    let world: World = serde_json::from_value(world).unwrap();
    assert_eq!(external::question(&world), None);
    expect![[r#"
        wait ReconcileFailed: LocalMachineTemplate worker: patch "first" of the ClusterClass: remove /spec/template/spec/none: path is invalid
    "#]]
    .assert_eq(&said(&world));
}

#[test]
fn answers_that_make_no_sense_name_the_field() {
    let good = base64(&json!({}));
    let mut text = String::new();
    for items in [
        json!({}),
        json!([{}]),
        json!([{"uid": "a", "patch": "%"}]),
        json!([{"uid": "a", "patch": good}]),
        json!([{"uid": "a", "patch": good, "patchType": "JSONPatch"}]),
        json!([{"uid": "a", "patch": "e30=", "patchType": "Other"}]),
        json!([{"uid": "a", "patch": "", "patchType": "JSONMergePatch"}]),
    ] {
        let read = answer(&items).map_err(|unanswered| unanswered.why);
        text += &format!("{}\n", read.unwrap_err());
    }
    assert_eq!(answer(&Value::Null), Ok(vec![]));
    expect![[r#"
        items of the answer must be a list
        items[0].uid of the answer must be the uid of an item of the request
        items[0].patch of the answer must be base64
        items[0].patchType of the answer must be JSONPatch or JSONMergePatch
        items[0].patch of the answer cannot be used: invalid type: map, expected a sequence at line 1 column 0
        items[0].patchType of the answer must be JSONPatch or JSONMergePatch
        items[0].patch of the answer cannot be used: EOF while parsing a value at line 1 column 0
    "#]].assert_eq(&text);
}

#[test]
fn what_is_no_object_or_doubles_itself_is_refused() {
    let mut world = world();
    let copy = |i| json!({"op": "copy", "from": "/spec", "path": format!("/spec/a{i}")});
    let copies: Vec<Value> = (0..60).map(copy).collect();
    let mut text = String::new();
    for (kind, patch) in [
        ("JSONMergePatch", json!([])),
        ("JSONMergePatch", json!({"spec": null})),
        (
            "JSONPatch",
            json!([{"op": "replace", "path": "", "value": []}]),
        ),
        (
            "JSONPatch",
            json!([{"op": "replace", "path": "/spec", "value": "text"}]),
        ),
        ("JSONPatch", json!(copies)),
    ] {
        let items = json!([{"uid": MACHINES, "patchType": kind, "patch": base64(&patch)}]);
        generated(&mut world, answer(&items));
        text += &said(&world);
    }
    expect![[r#"
        wait ReconcileFailed: LocalMachineTemplate worker: patch "second" of the ClusterClass: what its extension answered leaves no spec that is an object
        wait ReconcileFailed: LocalMachineTemplate worker: patch "second" of the ClusterClass: what its extension answered leaves no spec that is an object
        wait ReconcileFailed: LocalMachineTemplate worker: patch "second" of the ClusterClass: what its extension answered leaves no spec that is an object
        wait ReconcileFailed: LocalMachineTemplate worker: patch "second" of the ClusterClass: what its extension answered leaves no spec that is an object
        wait ReconcileFailed: LocalMachineTemplate worker: patch "second" of the ClusterClass: what its extension answered makes a template larger than 1500000 bytes
    "#]].assert_eq(&text);
}

/// An extension sees the whole topology, also what waits for its upgrade.
#[test]
fn what_waits_is_shown_to_extensions() {
    let mut world = yaml(NEW);
    merge(&mut world, yaml("class: {spec: {patches: []}}"));
    let mut world = after(after(world, true), true);
    merge(&mut world, yaml(ASKED));
    world["cluster"]["spec"]["topology"]["version"] = json!("v1.37.0");
    world["hooks"] = json!(["BeforeClusterUpgrade"]);
    let world: World = serde_json::from_value(world).unwrap();
    let (_, question) = external::question(&world).unwrap();
    let items = question.about["items"].as_array().unwrap();
    let uids: Vec<&str> = items.iter().filter_map(|i| i["uid"].as_str()).collect();
    expect![[r#"
        Cluster/spec.infrastructureRef
        Cluster/spec.controlPlaneRef
        KubeadmControlPlane/spec.machineTemplate.spec.infrastructureRef
        MachineDeployment/blue/spec.template.spec.bootstrap.configRef
        MachineDeployment/blue/spec.template.spec.infrastructureRef"#]]
    .assert_eq(&uids.join("\n"));
}
