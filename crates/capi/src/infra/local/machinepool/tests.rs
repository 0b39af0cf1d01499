//! Worlds of LocalMachinePools, and what is planned and shown for them.

use std::convert::Infallible;
use std::fmt::Write as _;

use expect_test::{Expect, expect};
use kube::ResourceExt;
use runtime::{Change, Plan, Reconciler};
use serde_json::{Value, json};

use super::{LocalMachinePoolController, World, plan};
use crate::testing::{layers, now, show};

const BASE: &str = "
local:
  metadata: {name: pool, namespace: acme, uid: l1, resourceVersion: '4', ownerReferences: [{apiVersion: cluster.x-k8s.io/v1beta2, kind: MachinePool, name: pool, uid: p1, controller: true}]}
  spec: {template: {metadata: {labels: {size: small}}, spec: {cpus: 2}}}
pool:
  metadata: {name: pool, namespace: acme, uid: p1}
  spec:
    clusterName: hello
    replicas: 2
    failureDomains: [a, b]
    template:
      metadata: {labels: {team: x}}
      spec: {clusterName: hello, version: v1.36.0, bootstrap: {dataSecretName: pool}, infrastructureRef: {apiGroup: g, kind: LocalMachinePool, name: pool}}
cluster:
  metadata: {name: hello, namespace: acme}
  spec: {}
  status: {initialization: {infrastructureProvisioned: true}}
";

fn check(overrides: &[&str], expect: &Expect) {
    expect.assert_eq(&show::<LocalMachinePoolController>(&layers::<World>(
        BASE, overrides,
    )));
}

#[test]
fn machines_are_made_over_the_failure_domains() {
    check(
        &[],
        &expect![[r#"
            create LocalMachine acme/pool-wlkw5
            create LocalMachine acme/pool-rmvsk
            note SuccessfulCreate: Created machine pool-wlkw5
            note SuccessfulCreate: Created machine pool-rmvsk
            Ready=False ScalingUp Scaling up from 0 to 2 machines
            RollingOut=False NotRollingOut
            Paused=False NotPaused
            infrastructureMachineKind: LocalMachine
            replicas: 0
        "#]],
    );
}

#[test]
fn machines_have_what_the_pool_says() {
    let world: World = layers(BASE, &[]);
    let plan = LocalMachinePoolController::plan(&world, now());
    let made = plan.changes.iter().filter_map(|change| match change {
        Change::Create(object) => Some(serde_saphyr::to_string(object).unwrap()),
        _ => None,
    });
    expect![[r#"
        apiVersion: infrastructure.cluster.x-k8s.io/v1beta2
        kind: LocalMachine
        metadata:
          annotations:
            infrastructure.cluster.x-k8s.io/pool-revision: xbbvx
          labels:
            cluster.x-k8s.io/cluster-name: hello
            cluster.x-k8s.io/pool-name: pool
            size: small
            team: x
          name: pool-wlkw5
          namespace: acme
          ownerReferences:
          - apiVersion: infrastructure.cluster.x-k8s.io/v1beta2
            kind: LocalMachinePool
            name: pool
            uid: l1
        spec:
          cpus: 2
          failureDomain: a
          kubernetesVersion: v1.36.0
        ---
        apiVersion: infrastructure.cluster.x-k8s.io/v1beta2
        kind: LocalMachine
        metadata:
          annotations:
            infrastructure.cluster.x-k8s.io/pool-revision: xbbvx
          labels:
            cluster.x-k8s.io/cluster-name: hello
            cluster.x-k8s.io/pool-name: pool
            size: small
            team: x
          name: pool-rmvsk
          namespace: acme
          ownerReferences:
          - apiVersion: infrastructure.cluster.x-k8s.io/v1beta2
            kind: LocalMachinePool
            name: pool
            uid: l1
        spec:
          cpus: 2
          failureDomain: b
          kubernetesVersion: v1.36.0
    "#]]
    .assert_eq(&made.collect::<Vec<_>>().join("---\n"));
}

#[test]
fn another_config_counts_when_its_data_is_there() {
    let revision = |more: &str| {
        let world: World = layers(BASE, &[more]);
        plan::revision(&world, world.pool.as_ref().unwrap())
    };
    let config = "pool: {spec: {template: {spec: {bootstrap: {configRef: {apiGroup: g, kind: KubeadmConfig, name: new}}}}}}";
    let data = "pool: {spec: {template: {spec: {bootstrap: {dataSecretName: new}}}}}";
    assert_eq!(revision(config), revision("{}"));
    assert_ne!(revision(data), revision("{}"));
}

#[test]
fn what_is_waited_for_is_said() {
    check(
        &["pool: null"],
        &expect![[r#"
            wait WaitingForOwner: Waiting for a MachinePool of an existing Cluster to own this object
            Ready=False WaitingForOwner Waiting for a MachinePool of an existing Cluster to own this object
            RollingOut=False NotRollingOut
            Paused=False NotPaused
            infrastructureMachineKind: LocalMachine
            replicas: 0
        "#]],
    );
    check(
        &["cluster: {status: null}"],
        &expect![[r#"
            wait WaitingForClusterInfrastructureReady: Waiting for the cluster's infrastructure
            Ready=False WaitingForClusterInfrastructureReady Waiting for the cluster's infrastructure
            RollingOut=False NotRollingOut
            Paused=False NotPaused
            infrastructureMachineKind: LocalMachine
            replicas: 0
        "#]],
    );
    check(
        &[
            "pool: {spec: {template: {spec: {bootstrap: {dataSecretName: null, configRef: {apiGroup: g, kind: KubeadmConfig, name: pool}}}}}}",
        ],
        &expect![[r#"
            wait WaitingForBootstrapData: Waiting for spec.template.spec.bootstrap.dataSecretName of MachinePool pool
            Ready=False WaitingForBootstrapData Waiting for spec.template.spec.bootstrap.dataSecretName of MachinePool pool
            RollingOut=False NotRollingOut
            Paused=False NotPaused
            infrastructureMachineKind: LocalMachine
            replicas: 0
        "#]],
    );
}

#[test]
fn deletion_goes_by_machines() {
    let deleting = "
local: {metadata: {deletionTimestamp: '2026-01-02T03:04:00Z'}}
instances:
- {metadata: {name: pool-a, namespace: acme, uid: i1}, spec: {}}
- {metadata: {name: pool-b, namespace: acme, uid: i2}, spec: {}}
machines:
  pool-a: {metadata: {name: pool-a, namespace: acme, uid: m1}, spec: {clusterName: hello, bootstrap: {}, infrastructureRef: {apiGroup: g, kind: LocalMachine, name: pool-a}}}
";
    check(
        &[deleting],
        &expect![[r#"
            delete Machine acme/pool-a
            delete LocalMachine acme/pool-b
            wait Deleting: Waiting for LocalMachines pool-a, pool-b to be deleted
            Ready=False Deleting Waiting for LocalMachines pool-a, pool-b to be deleted
            RollingOut=True RollingOut 2 of 2 machines are not made from what is wanted now
            Paused=False NotPaused
            infrastructureMachineKind: LocalMachine
            replicas: 2
        "#]],
    );
    let world: World = layers(BASE, &[deleting, "{instances: [], machines: {}}"]);
    assert!(LocalMachinePoolController::plan(&world, now()).is_finished);
}

/// A machine in a [`Game`].
struct Player {
    name: String,
    revision: String,
    is_available: bool,
    is_going: bool,
}

/// Plays a pool: machines that are made become available a step later, those that are deleted are gone a step later.
struct Game {
    world: Value,
    machines: Vec<Player>,
    seconds: i64,
    story: String,
}

impl Game {
    fn new(replicas: usize, rollout: &Value) -> Self {
        let mut world: Value = serde_saphyr::from_str(BASE).unwrap();
        world["pool"]["spec"]["replicas"] = json!(replicas);
        if !rollout.is_null() {
            world["local"]["spec"]["rollout"] = rollout.clone();
        }
        Self {
            world,
            machines: vec![],
            seconds: 0,
            story: String::new(),
        }
    }

    fn world(&self) -> World {
        let mut value = self.world.clone();
        for Player {
            name,
            revision,
            is_available,
            is_going,
        } in &self.machines
        {
            let mut metadata = json!({
                "name": name, "namespace": "acme", "uid": name,
                "annotations": {"infrastructure.cluster.x-k8s.io/pool-revision": revision},
            });
            if *is_going {
                metadata["deletionTimestamp"] = json!("2026-01-02T03:04:05Z");
            }
            let status = if *is_available { "True" } else { "False" };
            let condition = json!({
                "type": "Available", "status": status, "reason": "x", "message": "",
                "lastTransitionTime": "2026-01-02T03:04:05Z",
            });
            let machine = json!({
                "metadata": metadata,
                "spec": {"clusterName": "hello", "bootstrap": {}, "infrastructureRef": {"apiGroup": "g", "kind": "LocalMachine", "name": name}},
                "status": {"conditions": [condition]},
            });
            value["machines"][name.as_str()] = machine;
            if value["instances"].is_null() {
                value["instances"] = json!([]);
            }
            let instance = json!({"metadata": metadata, "spec": {}});
            value["instances"].as_array_mut().unwrap().push(instance);
        }
        serde_json::from_value(value).unwrap()
    }

    fn revision(&self) -> String {
        let world = self.world();
        plan::revision(&world, world.pool.as_ref().unwrap())
    }

    fn plan(&mut self) -> Plan<Infallible> {
        self.seconds += 1;
        let at = now() + jiff::SignedDuration::from_secs(self.seconds);
        LocalMachinePoolController::plan(&self.world(), at)
    }

    /// Time goes by, and then the changes are made.
    fn step(&mut self, plan: Plan<Infallible>) {
        let revision = self.revision();
        self.machines.retain(|m| !m.is_going);
        for machine in &mut self.machines {
            machine.is_available = true;
        }
        for change in plan.changes {
            match change {
                Change::Create(object) => self.machines.push(Player {
                    name: object.name_any(),
                    revision: revision.clone(),
                    is_available: false,
                    is_going: false,
                }),
                Change::Delete { target, .. } => {
                    let mut all = self.machines.iter_mut();
                    let machine = all.find(|m| m.name == target.name).unwrap();
                    machine.is_going = true;
                    machine.is_available = false;
                }
                other => panic!("{other:?}"),
            }
        }
        let count = |f: &dyn Fn(&Player) -> bool| self.machines.iter().filter(|m| f(m)).count();
        let (old, new) = (
            count(&|m| m.revision != revision && !m.is_going),
            count(&|m| m.revision == revision && !m.is_going),
        );
        let going = count(&|m| m.is_going);
        writeln!(self.story, "{old} old, {new} new, {going} going").unwrap();
    }

    /// Until nothing more is planned.
    fn settle(&mut self) {
        for _ in 0..50 {
            let plan = self.plan();
            let is_calm = plan.changes.is_empty() && self.machines.iter().all(|m| m.is_available);
            if is_calm {
                return;
            }
            self.step(plan);
        }
        panic!("it does not settle:\n{}", self.story);
    }
}

#[test]
fn a_rollout_reads_as_a_story() {
    let mut stories = String::new();
    for rollout in [
        Value::Null,
        json!({"maxSurge": 0, "maxUnavailable": 1}),
        json!({"maxSurge": "50%", "maxUnavailable": "50%"}),
    ] {
        let mut game = Game::new(3, &rollout);
        game.settle();
        game.world["pool"]["spec"]["template"]["spec"]["version"] = json!("v1.36.1");
        writeln!(game.story, "new version").unwrap();
        game.settle();
        game.world["pool"]["spec"]["replicas"] = json!(1);
        writeln!(game.story, "one is enough").unwrap();
        game.settle();
        write!(stories, "rollout {rollout}\n{}", game.story).unwrap();
    }
    expect![[r#"
        rollout null
        0 old, 3 new, 0 going
        0 old, 3 new, 0 going
        new version
        3 old, 1 new, 0 going
        3 old, 1 new, 0 going
        2 old, 1 new, 1 going
        2 old, 1 new, 0 going
        2 old, 2 new, 0 going
        2 old, 2 new, 0 going
        1 old, 2 new, 1 going
        1 old, 2 new, 0 going
        1 old, 3 new, 0 going
        1 old, 3 new, 0 going
        0 old, 3 new, 1 going
        0 old, 3 new, 0 going
        one is enough
        0 old, 1 new, 2 going
        0 old, 1 new, 0 going
        rollout {"maxSurge":0,"maxUnavailable":1}
        0 old, 3 new, 0 going
        0 old, 3 new, 0 going
        new version
        2 old, 0 new, 1 going
        2 old, 0 new, 0 going
        2 old, 1 new, 0 going
        2 old, 1 new, 0 going
        1 old, 1 new, 1 going
        1 old, 1 new, 0 going
        1 old, 2 new, 0 going
        1 old, 2 new, 0 going
        0 old, 2 new, 1 going
        0 old, 2 new, 0 going
        0 old, 3 new, 0 going
        0 old, 3 new, 0 going
        one is enough
        0 old, 1 new, 2 going
        0 old, 1 new, 0 going
        rollout {"maxSurge":"50%","maxUnavailable":"50%"}
        0 old, 3 new, 0 going
        0 old, 3 new, 0 going
        new version
        2 old, 2 new, 1 going
        2 old, 2 new, 0 going
        0 old, 3 new, 2 going
        0 old, 3 new, 0 going
        one is enough
        0 old, 1 new, 2 going
        0 old, 1 new, 0 going
    "#]]
    .assert_eq(&stories);
}

#[test]
fn enough_stay_available_in_every_rollout() {
    let bounds = (0..4i32).flat_map(|surge| (0..4i32).map(move |gone| (surge, gone)));
    let bounds: Vec<_> = bounds.filter(|bounds| *bounds != (0, 0)).collect();
    for (replicas, (surge, unavailable)) in
        (1..6usize).flat_map(|replicas| bounds.iter().map(move |b| (replicas, *b)))
    {
        let rollout = json!({"maxSurge": surge, "maxUnavailable": unavailable});
        let mut game = Game::new(replicas, &rollout);
        game.settle();
        game.world["local"]["spec"]["template"]["spec"]["cpus"] = json!(8);
        let least = replicas.saturating_sub(usize::try_from(unavailable).unwrap());
        let most = replicas + usize::try_from(surge).unwrap();
        for _ in 0..40 {
            let plan = game.plan();
            let goes = |name: &str| {
                let mut changes = plan.changes.iter();
                changes.any(|c| matches!(c, Change::Delete { target, .. } if target.name == name))
            };
            let machines = game.machines.iter();
            let left = machines.filter(|m| m.is_available && !goes(&m.name));
            assert!(
                left.count() >= least,
                "{rollout} of {replicas}:\n{}",
                game.story
            );
            game.step(plan);
            assert!(
                game.machines.len() <= most,
                "{rollout} of {replicas}:\n{}",
                game.story
            );
        }
        let revision = game.revision();
        let all = game.machines.iter();
        assert!(
            all.into_iter()
                .all(|m| m.revision == revision && m.is_available)
        );
        assert_eq!(game.machines.len(), replicas);
    }
}

#[test]
fn rollouts_and_machines_that_do_not_start_are_told() {
    let old = "
instances:
- {metadata: {name: pool-a, namespace: acme, uid: i1, annotations: {infrastructure.cluster.x-k8s.io/pool-revision: old}}, spec: {providerID: 'local:///acme/pool-a', failureDomain: a}, status: {conditions: [{type: Ready, status: 'True', reason: Ready, message: '', lastTransitionTime: '2026-01-02T03:04:05Z'}]}}
- {metadata: {name: pool-b, namespace: acme, uid: i2, annotations: {infrastructure.cluster.x-k8s.io/pool-revision: old}}, spec: {failureDomain: b}, status: {conditions: [{type: Ready, status: 'False', reason: NotReady, message: no room, lastTransitionTime: '2026-01-02T03:04:05Z'}]}}
";
    check(
        &[old],
        &expect![[r#"
        patch LocalMachinePool acme/pool {"metadata":{"resourceVersion":"4"},"spec":{"providerIDList":["local:///acme/pool-a"]}}
        delete LocalMachine acme/pool-a
        delete LocalMachine acme/pool-b
        create LocalMachine acme/pool-wlkw5
        note SuccessfulDelete: Deleted machine pool-a: the pool's template, version or bootstrap config has changed
        note SuccessfulDelete: Deleted machine pool-b: the pool's template, version or bootstrap config has changed
        note SuccessfulCreate: Created machine pool-wlkw5
        Ready=False NotReady * LocalMachine pool-b: no room
        RollingOut=True RollingOut 2 of 2 machines are not made from what is wanted now
        Paused=False NotPaused
        infrastructureMachineKind: LocalMachine
        initialization:
          provisioned: true
        replicas: 2
    "#]],
    );
}
