//! Worlds of a MachineDeployment: what is planned, and what is shown.

use expect_test::{Expect, expect};

use super::{MachineDeploymentController, World, plan};
use crate::testing::{layers, now, show, world};

const BASE: &str = "
deployment:
  metadata: {name: md-0, namespace: acme, uid: d1, annotations: {team: a, machinedeployment.clusters.x-k8s.io/revision: '1'}, labels: {cluster.x-k8s.io/cluster-name: hello}, ownerReferences: [{apiVersion: cluster.x-k8s.io/v1beta2, kind: Cluster, name: hello, uid: c1}]}
  spec:
    clusterName: hello
    replicas: 3
    selector: {matchLabels: {cluster.x-k8s.io/deployment-name: md-0}}
    template:
      metadata: {labels: {cluster.x-k8s.io/deployment-name: md-0}}
      spec:
        clusterName: hello
        version: v1.36.0
        bootstrap: {configRef: {apiGroup: bootstrap.cluster.x-k8s.io, kind: KubeadmConfigTemplate, name: boot}}
        infrastructureRef: {apiGroup: infrastructure.cluster.x-k8s.io, kind: LocalMachineTemplate, name: small}
cluster: {metadata: {name: hello, namespace: acme, uid: c1}, spec: {}}
";

fn set(name: &str, revision: u32, counts: (i32, i32, i32), more: &str) -> String {
    let (wanted, replicas, available) = counts;
    let base = format!(
        "
metadata: {{name: {name}, namespace: acme, uid: u-{name}, creationTimestamp: '2026-01-01T00:0{revision}:00Z', labels: {{machine-template-hash: h-{name}}}, annotations: {{machinedeployment.clusters.x-k8s.io/revision: '{revision}'}}, ownerReferences: [{{apiVersion: cluster.x-k8s.io/v1beta2, kind: MachineDeployment, name: md-0, uid: d1, controller: true}}]}}
spec:
  clusterName: hello
  replicas: {wanted}
  selector: {{matchLabels: {{machine-template-hash: h-{name}}}}}
  template:
    spec:
      clusterName: hello
      version: v1.36.0
      bootstrap: {{configRef: {{apiGroup: bootstrap.cluster.x-k8s.io, kind: KubeadmConfigTemplate, name: boot}}}}
      infrastructureRef: {{apiGroup: infrastructure.cluster.x-k8s.io, kind: LocalMachineTemplate, name: small}}
status: {{replicas: {replicas}, availableReplicas: {available}}}
"
    );
    let merged: serde_json::Value = world(&base, more);
    merged.to_string()
}

const OLD: &str = "{spec: {template: {spec: {version: v1.35.0}}}}";

fn sets(list: &[String]) -> String {
    format!("sets: [{}]", list.join(", "))
}

/// The plan, with the sizes of sets.
fn sized(overrides: &[&str]) -> String {
    let plan = plan::plan(&layers::<World>(BASE, overrides), now());
    let mut text = String::new();
    for change in &plan.changes {
        text += &match change {
            runtime::Change::ApplyStatus(_) => unreachable!("it says nothing of others"),
            runtime::Change::Apply(set) | runtime::Change::Create(set) => {
                let name = set.metadata.name.clone().unwrap_or_default();
                let revision = set
                    .metadata
                    .annotations
                    .as_ref()
                    .and_then(|a| a.get(api::meta::labels::REVISION).cloned());
                let verb = if matches!(change, runtime::Change::Apply(_)) {
                    "apply"
                } else {
                    "create"
                };
                format!(
                    "{verb} {name}: {} replicas, {}, revision {}\n",
                    set.data["spec"]["replicas"],
                    set.data["spec"]["template"]["spec"]["version"],
                    revision.unwrap_or_default()
                )
            }
            runtime::Change::Delete { target, .. } => format!("delete {target}\n"),
            runtime::Change::Patch { target, patch, .. } => format!("patch {target} {patch}\n"),
            runtime::Change::Act(never) => match *never {},
        };
    }
    if plan.is_finished {
        text += "finished\n";
    }
    for wait in &plan.waits {
        text += &format!("wait {}: {}\n", wait.reason, wait.message);
    }
    if let Some(again) = plan.again_in {
        text += &format!("again in {} h\n", again.as_secs() / 3600);
    }
    text
}

fn check(overrides: &[&str], expect: &Expect) {
    expect.assert_eq(&sized(overrides));
}

#[test]
fn the_first_set_gets_all_machines() {
    check(
        &[],
        &expect![[r#"
        create md-0-hzc4x: 3 replicas, "v1.36.0", revision 1
    "#]],
    );
}

#[test]
fn sets_are_like_the_template() {
    let plan = plan::plan(
        &layers::<World>(
            BASE,
            &["deployment: {spec: {template: {spec: {minReadySeconds: 5}}}}"],
        ),
        now(),
    );
    let Some(runtime::Change::Create(set)) = plan.changes.last() else {
        panic!("{plan}");
    };
    expect![[r#"
        apiVersion: cluster.x-k8s.io/v1beta2
        kind: MachineSet
        metadata:
          annotations:
            machinedeployment.clusters.x-k8s.io/desired-replicas: "3"
            machinedeployment.clusters.x-k8s.io/max-replicas: "4"
            machinedeployment.clusters.x-k8s.io/revision: "1"
            team: a
          labels:
            cluster.x-k8s.io/cluster-name: hello
            cluster.x-k8s.io/deployment-name: md-0
            machine-template-hash: 4041452345-hzc4x
          name: md-0-hzc4x
          namespace: acme
          ownerReferences:
          - apiVersion: cluster.x-k8s.io/v1beta2
            blockOwnerDeletion: true
            controller: true
            kind: MachineDeployment
            name: md-0
            uid: d1
        spec:
          clusterName: hello
          replicas: 3
          selector:
            matchLabels:
              cluster.x-k8s.io/deployment-name: md-0
              machine-template-hash: 4041452345-hzc4x
          template:
            metadata:
              labels:
                cluster.x-k8s.io/cluster-name: hello
                cluster.x-k8s.io/deployment-name: md-0
                machine-template-hash: 4041452345-hzc4x
            spec:
              bootstrap:
                configRef:
                  apiGroup: bootstrap.cluster.x-k8s.io
                  kind: KubeadmConfigTemplate
                  name: boot
              clusterName: hello
              infrastructureRef:
                apiGroup: infrastructure.cluster.x-k8s.io
                kind: LocalMachineTemplate
                name: small
              minReadySeconds: 5
              version: v1.36.0
    "#]]
    .assert_eq(&serde_saphyr::to_string(set).unwrap());
}

#[test]
fn a_new_version_makes_a_new_set_that_grows_as_the_old_one_shrinks() {
    check(
        &[&sets(&[set("old", 1, (3, 3, 3), OLD)])],
        &expect![[r#"
        patch MachineDeployment acme/md-0 {"metadata":{"annotations":{"machinedeployment.clusters.x-k8s.io/revision":"2"}}}
        apply old: 3 replicas, "v1.35.0", revision 1
        create md-0-hzc4x: 1 replicas, "v1.36.0", revision 2
    "#]],
    );
    check(
        &[&sets(&[
            set("old", 1, (3, 3, 3), OLD),
            set("new", 2, (1, 1, 1), "{}"),
        ])],
        &expect![[r#"
        patch MachineDeployment acme/md-0 {"metadata":{"annotations":{"machinedeployment.clusters.x-k8s.io/revision":"2"}}}
        apply old: 2 replicas, "v1.35.0", revision 1
        apply new: 1 replicas, "v1.36.0", revision 2
    "#]],
    );
    check(
        &[&sets(&[
            set("old", 1, (2, 2, 2), OLD),
            set("new", 2, (1, 1, 0), "{}"),
        ])],
        &expect![[r#"
        patch MachineDeployment acme/md-0 {"metadata":{"annotations":{"machinedeployment.clusters.x-k8s.io/revision":"2"}}}
        apply old: 2 replicas, "v1.35.0", revision 1
        apply new: 2 replicas, "v1.36.0", revision 2
    "#]],
    );
    check(
        &[&sets(&[
            set("old", 1, (1, 1, 1), OLD),
            set("new", 2, (3, 3, 3), "{}"),
        ])],
        &expect![[r#"
        patch MachineDeployment acme/md-0 {"metadata":{"annotations":{"machinedeployment.clusters.x-k8s.io/revision":"2"}}}
        apply old: 0 replicas, "v1.35.0", revision 1
        apply new: 3 replicas, "v1.36.0", revision 2
    "#]],
    );
}

#[test]
fn finished_rollouts_leave_one_set() {
    check(
        &[&sets(&[
            set("old", 1, (0, 0, 0), OLD),
            set("new", 2, (3, 3, 2), "{}"),
        ])],
        &expect![[r#"
        patch MachineDeployment acme/md-0 {"metadata":{"annotations":{"machinedeployment.clusters.x-k8s.io/revision":"2"}}}
        apply old: 0 replicas, "v1.35.0", revision 1
        apply new: 3 replicas, "v1.36.0", revision 2
    "#]],
    );
    check(
        &[&sets(&[
            set("old", 1, (0, 0, 0), OLD),
            set("new", 2, (3, 3, 3), "{}"),
        ])],
        &expect![[r#"
        patch MachineDeployment acme/md-0 {"metadata":{"annotations":{"machinedeployment.clusters.x-k8s.io/revision":"2"}}}
        delete MachineSet acme/old
        apply new: 3 replicas, "v1.36.0", revision 2
    "#]],
    );
}

#[test]
fn going_back_takes_up_the_older_set_with_a_new_revision() {
    check(
        &[&sets(&[
            set("first", 1, (0, 0, 0), "{}"),
            set("second", 2, (3, 3, 3), OLD),
        ])],
        &expect![[r#"
        patch MachineDeployment acme/md-0 {"metadata":{"annotations":{"machinedeployment.clusters.x-k8s.io/revision":"3"}}}
        apply first: 1 replicas, "v1.36.0", revision 3
        apply second: 3 replicas, "v1.35.0", revision 2
    "#]],
    );
}

#[test]
fn labels_and_timeouts_change_in_place() {
    check(
        &[
            &sets(&[set("only", 1, (3, 3, 3), "{}")]),
            "deployment: {spec: {template: {metadata: {labels: {a: b}}, spec: {minReadySeconds: 9}}}}",
        ],
        &expect![[r#"
            apply only: 3 replicas, "v1.36.0", revision 1
        "#]],
    );
}

#[test]
fn machines_are_replaced_after_a_time() {
    let one = sets(&[set("only", 1, (3, 3, 3), "{}")]);
    check(
        &[
            &one,
            "deployment: {spec: {rollout: {after: '2026-01-02T00:00:00Z'}}}",
        ],
        &expect![[r#"
        patch MachineDeployment acme/md-0 {"metadata":{"annotations":{"machinedeployment.clusters.x-k8s.io/revision":"2"}}}
        apply only: 3 replicas, "v1.36.0", revision 1
        create md-0-hzc4x: 1 replicas, "v1.36.0", revision 2
    "#]],
    );
    check(
        &[
            &one,
            "deployment: {spec: {rollout: {after: '2027-01-02T00:00:00Z'}}}",
        ],
        &expect![[r#"
            apply only: 3 replicas, "v1.36.0", revision 1
            again in 8756 h
        "#]],
    );
}

#[test]
fn paused_deployments_only_scale() {
    check(
        &[
            &sets(&[set("old", 1, (2, 2, 2), OLD)]),
            "deployment: {spec: {paused: true, replicas: 5}}",
        ],
        &expect![[r#"
        apply old: 5 replicas, "v1.35.0", revision 1
    "#]],
    );
}

#[test]
fn on_delete_waits_for_the_user() {
    let on_delete = "deployment: {spec: {rollout: {strategy: {type: OnDelete}}}}";
    check(
        &[&sets(&[set("old", 1, (3, 3, 3), OLD)]), on_delete],
        &expect![[r#"
        patch MachineDeployment acme/md-0 {"metadata":{"annotations":{"machinedeployment.clusters.x-k8s.io/revision":"2"}}}
        apply old: 3 replicas, "v1.35.0", revision 1
        create md-0-hzc4x: 0 replicas, "v1.36.0", revision 2
    "#]],
    );
    check(
        &[
            &sets(&[
                set("old", 1, (3, 2, 2), OLD),
                set("new", 2, (0, 0, 0), "{}"),
            ]),
            on_delete,
        ],
        &expect![[r#"
        patch MachineDeployment acme/md-0 {"metadata":{"annotations":{"machinedeployment.clusters.x-k8s.io/revision":"2"}}}
        apply old: 2 replicas, "v1.35.0", revision 1
        apply new: 1 replicas, "v1.36.0", revision 2
    "#]],
    );
}

#[test]
fn missing_templates_block() {
    check(
        &["missing_templates: [LocalMachineTemplate small]"],
        &expect![[r#"
        wait ScalingUp: LocalMachineTemplate small does not exist
    "#]],
    );
}

#[test]
fn deletion_takes_the_sets() {
    let deleted = "deployment: {metadata: {deletionTimestamp: '2026-01-02T00:00:00Z'}}";
    check(
        &[&sets(&[set("only", 1, (3, 3, 3), "{}")]), deleted],
        &expect![[r#"
        delete MachineSet acme/only
        wait Deleting: Deleting MachineSet only
    "#]],
    );
    check(
        &[deleted],
        &expect![[r#"
        finished
    "#]],
    );
}

#[test]
fn the_status_says_what_is_going_on() {
    let machine = "{metadata: {name: m, namespace: acme, ownerReferences: [{apiVersion: v1, kind: MachineSet, name: old, uid: u-old, controller: true}]}, spec: {clusterName: hello, version: v1.35.0, bootstrap: {}, infrastructureRef: {apiGroup: g, kind: K, name: x}}}";
    let world = layers::<World>(
        BASE,
        &[
            &sets(&[set("old", 1, (1, 1, 0), OLD)]),
            &format!("machines: [{machine}]"),
        ],
    );
    let text = show::<MachineDeploymentController>(&world);
    expect![[r#"
        False NotAvailable 0 available replicas, at least 3 required (spec.replicas = 3, maxUnavailable = 0)
        MachinesReady=Unknown ReadyUnknown * Machine m: Condition Ready not yet reported
        MachinesUpToDate=Unknown UpToDateUnknown * Machine m: Condition UpToDate not yet reported
        RollingOut=True RollingOut Rolling out 1 not up-to-date replicas
            * Version v1.35.0, v1.36.0 required
        ScalingUp=True ScalingUp Scaling up from 1 to 3 replicas
        ScalingDown=False NotScalingDown
        Remediating=False NotRemediating
        Deleting=False NotDeleting
        Paused=False NotPaused
        availableReplicas: 0
        phase: ScalingUp
        readyReplicas: 0
        replicas: 1
        selector: cluster.x-k8s.io/deployment-name=md-0
        upToDateReplicas: 0
        versions:
        - replicas: 1
          version: v1.35.0
    "#]].assert_eq(text.split_once("Available=").map_or(&text, |(_, rest)| rest));
}

#[test]
fn why_machines_are_replaced_is_written_down() {
    let reason = |overrides: &[&str]| {
        let plan = plan::plan(&layers::<World>(BASE, overrides), now());
        let Some(runtime::Change::Create(set)) = plan.changes.last() else {
            panic!("{plan}");
        };
        let annotations = set.metadata.annotations.clone().unwrap_or_default();
        let reason = annotations.get(api::meta::labels::ROLLOUT_REASON).cloned();
        let note = plan.notes.iter().find(|n| n.reason == "RolloutStarted");
        assert_eq!(
            note.map(|n| n.message.clone()),
            reason
                .as_ref()
                .map(|r| format!("Machines are replaced: {r}"))
        );
        reason.unwrap_or_default()
    };
    expect![""].assert_eq(&reason(&[]));
    let old = sets(&[
        set(
            "older",
            1,
            (0, 0, 0),
            "{spec: {template: {spec: {version: v1.34.0}}}}",
        ),
        set("old", 2, (3, 3, 3), OLD),
    ]);
    expect!["version changed from v1.35.0 to v1.36.0"].assert_eq(&reason(&[&old]));
    let large = "deployment: {spec: {template: {spec: {failureDomain: a, infrastructureRef: {name: large}, bootstrap: {configRef: null, dataSecretName: mine}}}}}";
    expect!["version changed from v1.35.0 to v1.36.0, bootstrap data changed from KubeadmConfigTemplate boot to Secret mine, infrastructure changed from LocalMachineTemplate small to LocalMachineTemplate large, failure domain changed from none to a"]
        .assert_eq(&reason(&[&old, large]));
    let same = sets(&[set("only", 1, (3, 3, 3), "{}")]);
    let after = "deployment: {spec: {rollout: {after: '2026-01-02T00:00:00Z'}}}";
    expect!["spec.rollout.after 2026-01-02T00:00:00Z has passed"]
        .assert_eq(&reason(&[&same, after]));
}

/// Lines of what is shown that begin with one of these words.
fn lines(overrides: &[&str], starts: &[&str]) -> String {
    let shown = show::<MachineDeploymentController>(&layers::<World>(BASE, overrides));
    let is_wanted = |line: &&str| starts.iter().any(|start| line.starts_with(start));
    let lines = shown.lines().filter(is_wanted);
    lines.map(|line| format!("{line}\n")).collect()
}

#[test]
fn machines_that_are_replaced_for_their_health_are_told() {
    let set = sets(&[set("md-0-a", 1, (1, 1, 1), "{}")]);
    let sick = "machines: [{metadata: {name: m, ownerReferences: [{apiVersion: a, kind: MachineSet, name: md-0-a, uid: u-md-0-a, controller: true}]}, spec: {clusterName: hello, bootstrap: {}, infrastructureRef: {apiGroup: g, kind: K, name: k}}, status: {conditions: [
        {type: HealthCheckSucceeded, status: 'False', reason: UnhealthyNode, message: '', lastTransitionTime: '2026-01-01T00:00:00Z'},
        {type: OwnerRemediated, status: 'False', reason: WaitingForRemediation, message: waiting, lastTransitionTime: '2026-01-01T00:00:00Z'}]}}]";
    expect![[r#"
        Remediating=True Remediating * Machine m: waiting
    "#]]
    .assert_eq(&lines(&[&set, sick], &["Remediating"]));
    expect![[r#"
        Remediating=False NotRemediating
    "#]]
    .assert_eq(&lines(&[&set], &["Remediating"]));
}

#[test]
fn a_rollout_by_time_says_so() {
    let after = "deployment: {spec: {rollout: {after: '2026-01-02T00:00:00Z'}}}";
    let set = sets(&[set("md-0-a", 1, (1, 1, 1), "{}")]);
    let old = "machines: [{metadata: {name: m, ownerReferences: [{apiVersion: a, kind: MachineSet, name: md-0-a, uid: u-md-0-a, controller: true}]}, spec: {clusterName: hello, bootstrap: {}, infrastructureRef: {apiGroup: g, kind: K, name: k}}}]";
    expect![[r#"
        RollingOut=True RollingOut Rolling out 1 not up-to-date replicas
            * MachineDeployment spec.rollout.after expired
    "#]]
    .assert_eq(&lines(
        &[after, &set, old],
        &["RollingOut", "    * MachineDep"],
    ));
}

#[test]
fn what_a_set_has_not_said_yet_is_no_deletion_by_the_user() {
    let on_delete = "deployment: {spec: {rollout: {strategy: {type: OnDelete}}}}";
    let base = [on_delete];
    let text = |old: String| {
        let both = sets(&[old, set("md-0-new", 2, (0, 0, 0), "{}")]);
        sized(&[&base[..], &[&both]].concat())
    };
    let silent = set(
        "md-0-old",
        1,
        (3, 0, 0),
        "{spec: {template: {spec: {version: v1.35.0}}}, status: null}",
    );
    let late = set(
        "md-0-old",
        1,
        (3, 1, 1),
        "{metadata: {generation: 4}, spec: {template: {spec: {version: v1.35.0}}}, status: {observedGeneration: 3}}",
    );
    let deleted = set(
        "md-0-old",
        1,
        (3, 2, 2),
        "{metadata: {generation: 4}, spec: {template: {spec: {version: v1.35.0}}}, status: {observedGeneration: 4}}",
    );
    expect![[r#"
        patch MachineDeployment acme/md-0 {"metadata":{"annotations":{"machinedeployment.clusters.x-k8s.io/revision":"2"}}}
        apply md-0-old: 3 replicas, "v1.35.0", revision 1
        apply md-0-new: 0 replicas, "v1.36.0", revision 2
    "#]]
    .assert_eq(&text(silent));
    expect![[r#"
        patch MachineDeployment acme/md-0 {"metadata":{"annotations":{"machinedeployment.clusters.x-k8s.io/revision":"2"}}}
        apply md-0-old: 3 replicas, "v1.35.0", revision 1
        apply md-0-new: 0 replicas, "v1.36.0", revision 2
    "#]]
    .assert_eq(&text(late));
    expect![[r#"
        patch MachineDeployment acme/md-0 {"metadata":{"annotations":{"machinedeployment.clusters.x-k8s.io/revision":"2"}}}
        apply md-0-old: 2 replicas, "v1.35.0", revision 1
        apply md-0-new: 1 replicas, "v1.36.0", revision 2
    "#]]
    .assert_eq(&text(deleted));
}

#[test]
fn a_set_that_is_taken_up_again_remembers_its_revisions() {
    let history = |more: &str| {
        let both = sets(&[
            set("md-0-a", 1, (0, 0, 0), more),
            set("md-0-b", 2, (3, 3, 3), OLD),
        ]);
        let plan = plan::plan(&layers::<World>(BASE, &[&both]), now());
        let found = plan.changes.iter().find_map(|change| match change {
            runtime::Change::Apply(set) if set.metadata.name.as_deref() == Some("md-0-a") => {
                let annotations = set.metadata.annotations.clone().unwrap_or_default();
                let of = |key| annotations.get(key).cloned().unwrap_or_default();
                let (now, before) = (
                    api::meta::labels::REVISION,
                    api::meta::labels::REVISION_HISTORY,
                );
                Some(format!("{} after {}", of(now), of(before)))
            }
            _ => None,
        });
        found.unwrap_or_default()
    };
    assert_eq!(history("{}"), "3 after 1");
    let key = "machinedeployment.clusters.x-k8s.io/revision-history";
    let before = format!("{{metadata: {{annotations: {{{key}: '0'}}}}}}");
    assert_eq!(history(&before), "3 after 0,1");
}
