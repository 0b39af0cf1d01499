//! Worlds of a cluster and the sets that select it: what is applied, and what the binding says.

use expect_test::{Expect, expect};

use super::{World, plan};
use crate::testing::layers;

const BASE: &str = r#"
cluster: {metadata: {name: a, namespace: acme, uid: c1}, spec: {}}
link: Up
known: [base, other]
sets:
- - {metadata: {name: base}, spec: {clusterSelector: {}, strategy: ApplyOnce, resources: [{kind: ConfigMap, name: cni}, {kind: ConfigMap, name: gone}]}}
  - - {reference: {kind: ConfigMap, name: cni}, data: {a: "{apiVersion: v1, kind: Namespace, metadata: {name: base}}"}}
    - null
- - {metadata: {name: other}, spec: {clusterSelector: {}, strategy: Reconcile, resources: [{kind: Secret, name: keys}]}}
  - - {reference: {kind: Secret, name: keys}, type_: addons.cluster.x-k8s.io/resource-set, data: {a: "{apiVersion: v1, kind: Secret, metadata: {name: s}, stringData: {password: hidden}}"}}
"#;

/// Hash of what Secret keys holds.
fn hash() -> String {
    let world: World = layers(BASE, &[]);
    world.sets[1].1[0].as_ref().unwrap().hash()
}

fn bound(applied: bool, hash: &str) -> String {
    format!(
        "binding:
  metadata: {{name: a, namespace: acme}}
  spec:
    clusterName: a
    bindings:
    - {{clusterResourceSetName: base, resources: [{{kind: ConfigMap, name: cni, applied: true, hash: other}}, {{kind: ConfigMap, name: gone, applied: false}}]}}
    - {{clusterResourceSetName: other, resources: [{{kind: Secret, name: keys, applied: {applied}, hash: '{hash}'}}]}}"
    )
}

fn check(overrides: &[&str], expect: &Expect) {
    expect.assert_eq(&plan::plan(&layers::<World>(BASE, overrides)).to_string());
}

#[test]
fn a_cluster_gets_everything_once() {
    check(
        &[],
        &expect![[r#"
        act make ConfigMap cni of base: Namespace base; apply Secret keys of other: Secret s
    "#]],
    );
    check(&[&bound(true, &hash())], &expect![[r#""#]]);
}

#[test]
fn only_who_reconciles_follows_what_is_written() {
    check(
        &[&bound(true, "sha256:older")],
        &expect![[r#"
        act apply Secret keys of other: Secret s
    "#]],
    );
    check(
        &[&bound(false, &hash())],
        &expect![[r#"
        act apply Secret keys of other: Secret s
    "#]],
    );
}

#[test]
fn who_cannot_be_reached_waits_and_says_so() {
    check(
        &["link: {Down: {since: '2026-01-02T03:00:00Z', message: refused}}"],
        &expect![[r#"
            apply ClusterResourceSetBinding acme/a
            wait NotApplied: Connection down since 2026-01-02T03:00:00Z: refused
        "#]],
    );
}

#[test]
fn what_became_of_sets_that_are_gone_is_forgotten() {
    let gone = "{sets: [], known: [other]}";
    check(
        &[&bound(true, &hash()), gone],
        &expect![[r#"
        apply ClusterResourceSetBinding acme/a
    "#]],
    );
    check(
        &[&bound(true, &hash()), "{sets: [], known: []}"],
        &expect![[r#"
            delete ClusterResourceSetBinding acme/a
        "#]],
    );
}

#[test]
fn nothing_is_done_for_a_cluster_that_goes_or_is_paused() {
    check(
        &["cluster: {metadata: {deletionTimestamp: '2026-01-02T03:00:00Z'}}"],
        &expect![[r#""#]],
    );
    check(&["cluster: {spec: {paused: true}}"], &expect![[r#""#]]);
    check(&["{sets: [], known: []}"], &expect![[r#""#]]);
}
