//! Upgrades over the versions that an extension names.

use expect_test::{Expect, expect};
use serde_json::{Value, json};

use super::{changes, merge, pass, settled, yaml};
use crate::topology::route::{question, read};
use crate::topology::{Route, World};

const CLASS: &str = "
class: {spec: {upgrade: {external: {generateUpgradePlanExtension: plan.ext}}}}
cluster: {spec: {topology: {workers: {machineDeployments: [{class: worker, name: blue, replicas: 1}]}}}}
";

/// A cluster of v1.36.0 that is to have `version`.
fn behind(version: &str) -> Value {
    let mut world = settled(CLASS);
    let wanted = format!("cluster: {{spec: {{topology: {{version: {version}}}}}}}");
    merge(&mut world, yaml(&wanted));
    world
}

fn typed(world: &Value) -> World {
    serde_json::from_value(world.clone()).unwrap()
}

fn answer(control_plane: &[&str], workers: &[&str]) -> Value {
    let steps = |all: &[&str]| -> Value { all.iter().map(|v| json!({"version": v})).collect() };
    json!({"controlPlaneUpgrades": steps(control_plane), "workersUpgrades": steps(workers)})
}

#[test]
fn an_extension_is_asked_while_something_is_behind() {
    assert_eq!(question(&typed(&settled(CLASS))), None);
    let asked = question(&typed(&behind("v1.39.0"))).unwrap();
    expect![[r#"plan.ext {"fromControlPlaneKubernetesVersion":"v1.36.0","fromWorkersKubernetesVersion":"v1.36.0","toKubernetesVersion":"v1.39.0"}"#]].assert_eq(&format!("{} {}", asked.handler, asked.about));
    assert_eq!(asked.beside["cluster"]["metadata"]["name"], "hello");
    let mut none = behind("v1.39.0");
    none["class"]["spec"]["upgrade"] = Value::Null;
    assert_eq!(question(&typed(&none)), None);
}

#[test]
fn plans_make_sense() {
    let world = typed(&behind("v1.39.0"));
    let all = ["v1.37.0", "v1.38.1", "v1.39.0"];
    let answers = [
        answer(&all, &[]),
        answer(&all, &["v1.38.1", "v1.39.0"]),
        answer(&["v1.37.0", "v1.39.0"], &[]),
        answer(&["v1.37.0", "v1.36.0"], &[]),
        answer(&["v1.37.0", "v1.38.1"], &[]),
        answer(&["newest"], &[]),
        answer(&[], &[]),
        answer(&all, &["v1.38.0", "v1.39.0"]),
        answer(&all, &["v1.38.1"]),
        answer(&all, &["v1.39.0", "v1.38.1"]),
        json!({"controlPlaneUpgrades": {}}),
        json!({"controlPlaneUpgrades": [{"version": 1}]}),
        json!({}),
    ];
    let told = answers.iter().map(|answer| match read(&world, answer) {
        Ok(route) => format!("{route:?}"),
        Err(why) => why,
    });
    expect![[r#"
        Route { control_plane: ["v1.37.0", "v1.38.1", "v1.39.0"], workers: [] }
        Route { control_plane: ["v1.37.0", "v1.38.1", "v1.39.0"], workers: ["v1.38.1", "v1.39.0"] }
        controlPlaneUpgrades[1].version of the answer is v1.39.0, which is more than one minor version after v1.37.0
        controlPlaneUpgrades[1].version of the answer is v1.36.0, which is not newer than v1.37.0
        controlPlaneUpgrades of the answer ends with v1.38.1, and not with v1.39.0
        controlPlaneUpgrades[0].version of the answer is newest, which is no version such as v1.36.0
        controlPlaneUpgrades of the answer ends with v1.36.0, and not with v1.39.0
        workersUpgrades of the answer has v1.38.0, which the control plane neither has nor goes to
        workersUpgrades of the answer ends with v1.38.1, and not with v1.39.0
        workersUpgrades[1].version of the answer is v1.38.1, which is not newer than v1.39.0
        controlPlaneUpgrades of the answer must be a list of versions, each with a version
        controlPlaneUpgrades of the answer must be a list of versions, each with a version
        controlPlaneUpgrades of the answer ends with v1.36.0, and not with v1.39.0"#]].assert_eq(&told.collect::<Vec<_>>().join("\n"));
}

/// What happens in each pass while the extension answers with what is left of these versions.
fn story(control_plane: &[&str], workers: &[&str]) -> String {
    let mut world = behind("v1.39.0");
    let mut text = String::new();
    for _ in 0..20 {
        world["route"] = Value::Null;
        if let Some(question) = question(&typed(&world)) {
            let left = |field: &str, all: &[&str]| -> Vec<String> {
                let from = question.about[field].as_str().unwrap_or("v9");
                let newer = all.iter().filter(|version| **version > from);
                newer.map(|version| (*version).to_owned()).collect()
            };
            let control_plane = left("fromControlPlaneKubernetesVersion", control_plane);
            let workers = left("fromWorkersKubernetesVersion", workers);
            world["route"] = json!({"Ok": {"control_plane": control_plane, "workers": workers}});
        }
        let said = changes(&world);
        let lines = said
            .lines()
            .filter(|line| line.starts_with("apply") || line.starts_with("  *"));
        text += &lines.map(|line| format!("{line}\n")).collect::<String>();
        let is_still;
        (world, is_still) = pass(world);
        if is_still && question(&typed(&world)).is_none() {
            return text;
        }
        text += "---\n";
    }
    text + "it goes on\n"
}

#[test]
fn workers_go_along_as_far_as_they_must() {
    expect![[r#"
        apply KubeadmControlPlane "hello-8ql5b" "v1.37.0" "hello-nj6xc"
          * KubeadmControlPlane upgrading to v1.37.0, then to v1.38.1, v1.39.0
          * MachineDeployment hello-blue-29zzm pending upgrade to v1.39.0
        ---
        apply KubeadmControlPlane "hello-8ql5b" "v1.38.1" "hello-nj6xc"
          * KubeadmControlPlane upgrading to v1.38.1, then to v1.39.0
          * MachineDeployment hello-blue-29zzm pending upgrade to v1.39.0
        ---
        apply KubeadmControlPlane "hello-8ql5b" "v1.39.0" "hello-nj6xc"
          * KubeadmControlPlane upgrading to v1.39.0
          * MachineDeployment hello-blue-29zzm pending upgrade to v1.39.0
        ---
        apply MachineDeployment "hello-blue-29zzm" replicas 1 "v1.39.0" "hello-blue-h8sch" "hello-blue-ll7kl"
          * MachineDeployment hello-blue-29zzm upgrading to v1.39.0
        ---
        ---
    "#]].assert_eq(&story(&["v1.37.0", "v1.38.1", "v1.39.0"], &[]));
}

#[test]
fn workers_go_over_what_is_said_of_them() {
    expect![[r#"
        apply KubeadmControlPlane "hello-8ql5b" "v1.37.0" "hello-nj6xc"
          * KubeadmControlPlane upgrading to v1.37.0, then to v1.38.1, v1.39.0
          * MachineDeployment hello-blue-29zzm pending upgrade to v1.37.0, v1.39.0
        ---
        apply MachineDeployment "hello-blue-29zzm" replicas 1 "v1.37.0" "hello-blue-h8sch" "hello-blue-ll7kl"
          * KubeadmControlPlane pending upgrade to v1.38.1, v1.39.0: it waits for workers
          * MachineDeployment hello-blue-29zzm upgrading to v1.37.0
        ---
        apply KubeadmControlPlane "hello-8ql5b" "v1.38.1" "hello-nj6xc"
          * KubeadmControlPlane upgrading to v1.38.1, then to v1.39.0
          * MachineDeployment hello-blue-29zzm pending upgrade to v1.39.0
        ---
        apply KubeadmControlPlane "hello-8ql5b" "v1.39.0" "hello-nj6xc"
          * KubeadmControlPlane upgrading to v1.39.0
          * MachineDeployment hello-blue-29zzm pending upgrade to v1.39.0
        ---
        apply MachineDeployment "hello-blue-29zzm" replicas 1 "v1.39.0" "hello-blue-h8sch" "hello-blue-ll7kl"
          * MachineDeployment hello-blue-29zzm upgrading to v1.39.0
        ---
        ---
    "#]].assert_eq(&story(
        &["v1.37.0", "v1.38.1", "v1.39.0"],
        &["v1.37.0", "v1.39.0"],
    ));
}

fn check(route: &Value, expect: &Expect) {
    let mut world = behind("v1.39.0");
    world["route"] = route.clone();
    expect.assert_eq(&changes(&world));
}

#[test]
fn without_a_plan_nothing_moves_and_that_is_said() {
    let why = "GenerateUpgradePlan plan.ext: no answer within 10 s";
    let failed = json!({"Err": {"why": why, "until": "2026-01-02T03:04:35Z"}});
    check(
        &failed,
        &expect![[r#"
        patch Cluster acme/hello {"metadata":{"annotations":{"topology.internal.cluster.x-k8s.io/upgrade-step":"v1.36.0"},"resourceVersion":"7"}}
        wait ClusterUpgrading: Cluster is upgrading to v1.39.0
          * KubeadmControlPlane pending upgrade to v1.39.0: it waits for its plan
          * it is not known how to upgrade to v1.39.0: GenerateUpgradePlan plan.ext: no answer within 10 s
          * MachineDeployment hello-blue-29zzm pending upgrade to v1.39.0
        again in 30s
        TopologyReconciled=False ClusterUpgrading Cluster is upgrading to v1.39.0
              * KubeadmControlPlane pending upgrade to v1.39.0: it waits for its plan
              * it is not known how to upgrade to v1.39.0: GenerateUpgradePlan plan.ext: no answer within 10 s
              * MachineDeployment hello-blue-29zzm pending upgrade to v1.39.0
        workers:
          upgradePlan:
          - version: v1.39.0
    "#]],
    );
    check(
        &Value::Null,
        &expect![[r#"
        patch Cluster acme/hello {"metadata":{"annotations":{"topology.internal.cluster.x-k8s.io/upgrade-step":"v1.36.0"},"resourceVersion":"7"}}
        wait ClusterUpgrading: Cluster is upgrading to v1.39.0
          * KubeadmControlPlane pending upgrade to v1.39.0: it waits for its plan
          * it is not known how to upgrade to v1.39.0: the extension that plans it has not been asked yet
          * MachineDeployment hello-blue-29zzm pending upgrade to v1.39.0
        TopologyReconciled=False ClusterUpgrading Cluster is upgrading to v1.39.0
              * KubeadmControlPlane pending upgrade to v1.39.0: it waits for its plan
              * it is not known how to upgrade to v1.39.0: the extension that plans it has not been asked yet
              * MachineDeployment hello-blue-29zzm pending upgrade to v1.39.0
        workers:
          upgradePlan:
          - version: v1.39.0
    "#]],
    );
    assert_eq!(Route::default().next_of_workers("v1.36.0"), None);
}
