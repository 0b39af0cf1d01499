//! What extensions are asked in the life of a topology, and what waits for their answers.

use expect_test::{Expect, expect};
use serde_json::{Value, json};

use super::{NEW, after, changes, kind, merge, settled, yaml};
use crate::topology::{World, hooks};

/// All hooks have handlers.
const ALL: &str = "hooks: [BeforeClusterCreate, AfterControlPlaneInitialized, BeforeClusterUpgrade, BeforeControlPlaneUpgrade, AfterControlPlaneUpgrade, BeforeWorkersUpgrade, AfterWorkersUpgrade, AfterClusterUpgrade, BeforeClusterDelete]";

fn question(world: &Value) -> Option<(String, String)> {
    let typed: World = serde_json::from_value(world.clone()).unwrap();
    let question = hooks::question(&typed)?;
    Some((question.hook.name().to_owned(), question.about.to_string()))
}

/// What a pass does if nobody has anything against it but, if there is such a thing, what was asked last.
fn pass(mut world: Value, obstacle: Option<&Value>) -> (Value, String) {
    let mut text = String::new();
    world["answers"] = json!({});
    let mut last = None;
    while let Some((hook, about)) = question(&world) {
        text += &format!("ask {hook} {about}\n");
        world["answers"][&hook] = json!("Go");
        last = Some(hook);
    }
    if let (Some(hook), Some(obstacle)) = (last, obstacle) {
        world["answers"][&hook] = obstacle.clone();
    }
    text += &changes(&world);
    (world, text)
}

fn check(world: &Value, obstacle: Option<&Value>, expect: &Expect) -> Value {
    let (world, text) = pass(world.clone(), obstacle);
    expect.assert_eq(&text);
    world
}

fn waiting() -> Value {
    let lines = ["first.ext: the network is not there"];
    json!({"Wait": {"lines": lines, "until": "2026-01-02T03:04:35Z"}})
}

fn failed() -> Value {
    let lines = ["first.ext: no answer within 10 s"];
    json!({"Failed": {"lines": lines, "until": "2026-01-02T03:04:35Z"}})
}

/// A cluster that has come up.
fn old() -> Value {
    let mut world = settled("{}");
    merge(&mut world, yaml(ALL));
    merge(
        &mut world,
        yaml("cluster: {status: {initialization: {controlPlaneInitialized: true}}}"),
    );
    world
}

#[test]
fn nothing_is_made_until_extensions_agree() {
    let mut world = yaml(NEW);
    merge(&mut world, yaml(ALL));
    let held = check(
        &world,
        Some(&waiting()),
        &expect![[r#"
        ask BeforeClusterCreate {}
        wait ClusterCreating: BeforeClusterCreate holds back: first.ext: the network is not there
        warn LifecycleHookBlocking: BeforeClusterCreate holds back: first.ext: the network is not there
        again in 30s
        TopologyReconciled=False ClusterCreating BeforeClusterCreate holds back: first.ext: the network is not there
    "#]],
    );
    check(
        &world,
        Some(&failed()),
        &expect![[r#"
        ask BeforeClusterCreate {}
        wait ReconcileFailed: BeforeClusterCreate failed: first.ext: no answer within 10 s
        warn LifecycleHookBlocking: BeforeClusterCreate failed: first.ext: no answer within 10 s
        again in 30s
        TopologyReconciled=False ReconcileFailed BeforeClusterCreate failed: first.ext: no answer within 10 s
    "#]],
    );
    // What was said is not told again.
    let mut told = held;
    told["cluster"]["status"]["conditions"] = json!([{
        "type": "TopologyReconciled", "status": "False", "reason": "ClusterCreating", "lastTransitionTime": "2026-01-02T03:04:05Z",
        "message": "BeforeClusterCreate holds back: first.ext: the network is not there",
    }]);
    assert!(!changes(&told).contains("warn"));
    check(
        &world,
        None,
        &expect![[r#"
        ask BeforeClusterCreate {}
        apply LocalMachineTemplate "hello-nj6xc" {"template":{"spec":{"cpus":4}}}
        apply KubeadmConfigTemplate "hello-blue-h8sch" {"template":{"spec":{"verbosity":1}}}
        apply LocalMachineTemplate "hello-blue-ll7kl" {"template":{"spec":{"cpus":2}}}
        apply KubeadmControlPlane "hello-8ql5b" "v1.36.0" "hello-nj6xc"
        apply MachineDeployment "hello-blue-29zzm" replicas 2 "v1.36.0" "hello-blue-h8sch" "hello-blue-ll7kl"
        patch Cluster acme/hello {"metadata":{"annotations":{"runtime.cluster.x-k8s.io/pending-hooks":"AfterControlPlaneInitialized"},"labels":{"cluster.x-k8s.io/cluster-name":"hello","topology.cluster.x-k8s.io/owned":""},"resourceVersion":"7"},"spec":{"controlPlaneRef":{"apiGroup":"controlplane.cluster.x-k8s.io","kind":"KubeadmControlPlane","name":"hello-8ql5b"},"infrastructureRef":{"apiGroup":"infrastructure.cluster.x-k8s.io","kind":"LocalCluster","name":"hello-wkhrj"}}}
        TopologyReconciled=True ReconcileSucceeded
    "#]],
    );
}

#[test]
fn extensions_are_told_that_a_control_plane_has_answered() {
    let mut world = old();
    world["cluster"]["metadata"]["annotations"] =
        json!({"runtime.cluster.x-k8s.io/pending-hooks": "AfterControlPlaneInitialized"});
    check(
        &world,
        Some(&failed()),
        &expect![[r#"
        ask AfterControlPlaneInitialized {}
        wait ReconcileFailed: AfterControlPlaneInitialized failed: first.ext: no answer within 10 s
        warn LifecycleHookBlocking: AfterControlPlaneInitialized failed: first.ext: no answer within 10 s
        again in 30s
        TopologyReconciled=False ReconcileFailed AfterControlPlaneInitialized failed: first.ext: no answer within 10 s
    "#]],
    );
    check(
        &world,
        None,
        &expect![[r#"
        ask AfterControlPlaneInitialized {}
        patch Cluster acme/hello {"metadata":{"annotations":{"runtime.cluster.x-k8s.io/pending-hooks":null},"resourceVersion":"7"}}
        TopologyReconciled=True ReconcileSucceeded
    "#]],
    );
    world["cluster"]["status"] = json!({});
    check(
        &world,
        None,
        &expect![[r#"
        TopologyReconciled=True ReconcileSucceeded
    "#]],
    );
}

/// All machines have the versions that were applied.
fn done(mut world: Value) -> Value {
    let version = world["control_plane"]["spec"]["version"].clone();
    world["control_plane"]["status"]["versions"] = json!([{"version": version}]);
    for deployment in world["deployments"].as_array_mut().unwrap() {
        assert_eq!(kind(deployment), "MachineDeployment");
        let version = deployment["spec"]["template"]["spec"]["version"].clone();
        deployment["status"]["versions"] = json!([{"version": version}]);
    }
    world
}

#[test]
fn an_upgrade_waits_for_extensions_at_each_step() {
    let mut world = old();
    merge(
        &mut world,
        yaml(
            "{cluster: {spec: {topology: {version: v1.38.0}}}, class: {spec: {kubernetesVersions: [v1.36.0, v1.37.0, v1.38.0]}}}",
        ),
    );
    let mut text = String::new();
    for _ in 0..12 {
        // Each time somebody asks to wait first, and agrees then.
        let (held, told) = pass(world.clone(), Some(&waiting()));
        if told.starts_with("ask") {
            text += &format!("{}\n---\n", told.trim_end());
            assert_eq!(
                after(held.clone(), false)["control_plane"]["spec"],
                world["control_plane"]["spec"]
            );
        }
        let (free, told) = pass(world.clone(), None);
        text += &format!("{}\n---\n", told.trim_end());
        world = done(after(free, false));
    }
    expect_test::expect_file!["hooks.txt"].assert_eq(&text);
}

#[test]
fn nothing_goes_until_extensions_agree() {
    let mut world = old();
    world["cluster"]["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    check(
        &world,
        Some(&waiting()),
        &expect![[r#"
        ask BeforeClusterDelete {}
        wait Deleting: BeforeClusterDelete holds back: first.ext: the network is not there
        warn LifecycleHookBlocking: BeforeClusterDelete holds back: first.ext: the network is not there
        again in 30s
        TopologyReconciled=False Deleting BeforeClusterDelete holds back: first.ext: the network is not there
    "#]],
    );
    check(
        &world,
        Some(&failed()),
        &expect![[r#"
        ask BeforeClusterDelete {}
        wait Deleting: BeforeClusterDelete failed: first.ext: no answer within 10 s
        warn LifecycleHookBlocking: BeforeClusterDelete failed: first.ext: no answer within 10 s
        again in 30s
        TopologyReconciled=False Deleting BeforeClusterDelete failed: first.ext: no answer within 10 s
    "#]],
    );
    let agreed = check(
        &world,
        None,
        &expect![[r#"
        ask BeforeClusterDelete {}
        patch Cluster acme/hello {"metadata":{"annotations":{"runtime.cluster.x-k8s.io/ok-to-delete":""},"resourceVersion":"7"}}
        TopologyReconciled=False Deleting Cluster is deleting
    "#]],
    );
    check(
        &after(agreed, false),
        None,
        &expect![[r#"
        TopologyReconciled=False Deleting Cluster is deleting
    "#]],
    );
    // Whom nobody is asked about goes at once.
    world["hooks"] = json!([]);
    check(
        &world,
        None,
        &expect![[r#"
        patch Cluster acme/hello {"metadata":{"annotations":{"runtime.cluster.x-k8s.io/ok-to-delete":""},"resourceVersion":"7"}}
        TopologyReconciled=False Deleting Cluster is deleting
    "#]],
    );
    world["cluster"]["spec"]["paused"] = json!(true);
    check(
        &world,
        None,
        &expect![[r#"
        wait Paused: Reconciliation is paused
        TopologyReconciled=False Deleting Reconciliation is paused
    "#]],
    );
}

#[test]
fn annotations_hold_back_an_upgrade() {
    let mut world = settled("{}");
    world["cluster"]["spec"]["topology"]["version"] = json!("v1.37.0");
    world["cluster"]["metadata"]["annotations"] = json!({
        "before-upgrade.hook.cluster.cluster.x-k8s.io/backup": "", "before-upgrade.hook.cluster.cluster.x-k8s.io/check": "", "other": "",
    });
    check(
        &world,
        None,
        &expect![[r#"
            patch Cluster acme/hello {"metadata":{"annotations":{"topology.internal.cluster.x-k8s.io/upgrade-step":"v1.36.0"},"resourceVersion":"7"}}
            wait ClusterUpgrading: Cluster is upgrading to v1.37.0
              * KubeadmControlPlane pending upgrade to v1.37.0: it waits for BeforeClusterUpgrade
              * BeforeClusterUpgrade holds back: the Cluster has the annotations before-upgrade.hook.cluster.cluster.x-k8s.io/backup, before-upgrade.hook.cluster.cluster.x-k8s.io/check
              * MachineDeployment hello-blue-29zzm pending upgrade to v1.37.0
            warn LifecycleHookBlocking: BeforeClusterUpgrade holds back: the Cluster has the annotations before-upgrade.hook.cluster.cluster.x-k8s.io/backup, before-upgrade.hook.cluster.cluster.x-k8s.io/check
            TopologyReconciled=False ClusterUpgrading Cluster is upgrading to v1.37.0
                  * KubeadmControlPlane pending upgrade to v1.37.0: it waits for BeforeClusterUpgrade
                  * BeforeClusterUpgrade holds back: the Cluster has the annotations before-upgrade.hook.cluster.cluster.x-k8s.io/backup, before-upgrade.hook.cluster.cluster.x-k8s.io/check
                  * MachineDeployment hello-blue-29zzm pending upgrade to v1.37.0
            controlPlane:
              upgradePlan:
              - version: v1.37.0
            workers:
              upgradePlan:
              - version: v1.37.0
        "#]],
    );
    // Nobody is asked before they are gone.
    merge(&mut world, yaml(ALL));
    assert_eq!(question(&world), None);
    world["cluster"]["metadata"]["annotations"] = json!({"other": ""});
    assert_eq!(question(&world).unwrap().0, "BeforeClusterUpgrade");
}
