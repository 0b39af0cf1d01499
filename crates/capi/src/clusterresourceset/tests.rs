//! Worlds of a ClusterResourceSet: what is planned, and what is shown. What ConfigMaps and Secrets hold.

use expect_test::{Expect, expect};

use super::resource::Resource;
use super::{ClusterResourceSetController, World};
use crate::testing::{layers, show};

const BASE: &str = "
set:
  metadata: {name: base, namespace: acme, uid: s1}
  spec:
    clusterSelector: {matchLabels: {cni: cilium}}
    resources: [{kind: ConfigMap, name: cni}, {kind: Secret, name: keys}]
resources:
- {reference: {kind: ConfigMap, name: cni}, metadata: {ownerReferences: [{apiVersion: addons.cluster.x-k8s.io/v1beta2, kind: ClusterResourceSet, name: base, uid: s1}]}}
- {reference: {kind: Secret, name: keys}, type_: addons.cluster.x-k8s.io/resource-set, metadata: {ownerReferences: [{apiVersion: addons.cluster.x-k8s.io/v1beta2, kind: ClusterResourceSet, name: base, uid: s1}]}}
clusters:
- {metadata: {name: a}, spec: {}}
- {metadata: {name: b}, spec: {}}
";

const BOUND: &str = "
bindings:
- metadata: {name: a}
  spec:
    clusterName: a
    bindings: [{clusterResourceSetName: base, resources: [{kind: ConfigMap, name: cni, applied: true}, {kind: Secret, name: keys, applied: true}]}]
- metadata:
    name: b
    annotations: {apiary.io/not-applied: \"base: Secret keys: Deployment x: Invalid: spec.replicas\\nother: ConfigMap y: no\"}
  spec:
    clusterName: b
    bindings: [{clusterResourceSetName: base, resources: [{kind: ConfigMap, name: cni, applied: true}, {kind: Secret, name: keys, applied: false}]}]
";

fn check(overrides: &[&str], expect: &Expect) {
    expect.assert_eq(&show::<ClusterResourceSetController>(&layers::<World>(
        BASE, overrides,
    )));
}

#[test]
fn clusters_that_lack_something_are_named_with_the_reason() {
    check(
        &[],
        &expect![[r#"
        ResourcesApplied=False NotApplied * Clusters a, b: not applied yet
        Paused=False NotPaused
    "#]],
    );
    check(
        &[BOUND],
        &expect![[r#"
        ResourcesApplied=False NotApplied * Cluster b: Secret keys: Deployment x: Invalid: spec.replicas
        Paused=False NotPaused
    "#]],
    );
    check(
        &[BOUND, "clusters: [{metadata: {name: a}, spec: {}}]"],
        &expect![[r#"
            ResourcesApplied=True Applied
            Paused=False NotPaused
        "#]],
    );
    check(
        &["clusters: []"],
        &expect![[r#"
        ResourcesApplied=True Applied
        Paused=False NotPaused
    "#]],
    );
}

#[test]
fn what_is_named_must_be_there_and_of_the_right_type() {
    check(
        &[
            BOUND,
            "resources: [null, {reference: {kind: Secret, name: keys}, type_: addons.cluster.x-k8s.io/resource-set}]",
        ],
        &expect![[r#"
            patch Secret acme/keys {"metadata":{"labels":{},"ownerReferences":[{"apiVersion":"addons.cluster.x-k8s.io/v1beta2","kind":"ClusterResourceSet","name":"base","uid":"s1"}],"resourceVersion":null}}
            wait NotApplied: * ConfigMap cni does not exist
            ResourcesApplied=False NotApplied * ConfigMap cni does not exist
            Paused=False NotPaused
        "#]],
    );
    check(
        &["resources: [null, {reference: {kind: Secret, name: keys}, type_: Opaque}]"],
        &expect![[r#"
            wait WrongSecretType: Secret keys must be of type addons.cluster.x-k8s.io/resource-set and not Opaque
            ResourcesApplied=False WrongSecretType Secret keys must be of type addons.cluster.x-k8s.io/resource-set and not Opaque
            Paused=False NotPaused
        "#]],
    );
}

#[test]
fn a_paused_set_is_left_alone() {
    check(
        &[
            "set: {metadata: {annotations: {cluster.x-k8s.io/paused: ''}}}",
            "resources: [null, null]",
        ],
        &expect![[r#"
            Paused=True Paused
        "#]],
    );
}

fn check_objects(data: &str, expect: &Expect) {
    let resource: Resource = serde_saphyr::from_str(&format!(
        "{{reference: {{kind: ConfigMap, name: x}}, {data}}}"
    ))
    .unwrap();
    let text = match resource.objects() {
        Ok(objects) => objects
            .iter()
            .map(|o| {
                format!(
                    "{} {}",
                    o.types.as_ref().unwrap().kind,
                    o.metadata.name.as_ref().unwrap()
                )
            })
            .collect::<Vec<_>>()
            .join(", "),
        Err(why) => why,
    };
    expect.assert_eq(&text);
}

#[test]
fn objects_come_in_the_order_in_which_they_can_be_made() {
    check_objects(
        r#"data: {a: "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\n---\n---\napiVersion: v1\nkind: Namespace\nmetadata: {name: base}\n", b: '{"apiVersion": "v1", "kind": "List", "items": [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}}]}'}"#,
        &expect!["Namespace base, ConfigMap c, Deployment d"],
    );
}

#[test]
fn what_is_no_object_is_named_and_not_quoted() {
    check_objects(
        "data: {a: 'secret: {'}",
        &expect!["ConfigMap x: data[a]: not YAML, see line 1"],
    );
    check_objects(
        "data: {a: 'secret'}",
        &expect!["ConfigMap x: data[a]: document 1: must be an object with apiVersion and kind"],
    );
    check_objects(
        r#"data: {a: "{apiVersion: v1, kind: A, metadata: {name: a}}\n---\n{apiVersion: v1, kind: B}"}"#,
        &expect!["ConfigMap x: data[a]: document 2: the B must have metadata.name"],
    );
    check_objects(
        "data: {a: '{apiVersion: v1, kind: A, metadata: {name: a, labels: 3}}'}",
        &expect!["ConfigMap x: data[a]: document 1: the A has metadata of the wrong shape"],
    );
    check_objects("binary: [b]", &expect!["ConfigMap x: data[b] is no text"]);
    check_objects("data: {a: ''}", &expect![[r#""#]]);
}

#[test]
fn hashes_tell_contents_apart() {
    let hash = |data: &str| {
        let yaml = format!("{{reference: {{kind: ConfigMap, name: x}}, data: {data}}}");
        serde_saphyr::from_str::<Resource>(&yaml).unwrap().hash()
    };
    assert_eq!(hash("{a: b, c: d}"), hash("{c: d, a: b}"));
    assert_ne!(hash("{a: bc}"), hash("{ab: c}"));
    assert_ne!(hash("{a: b}"), hash("{a: b, c: ''}"));
}
