//! Check tests: a DaemonSet with nodes, pods and revisions in YAML → plan and status as text.

use std::fmt::Write as _;
use std::time::Duration;

use expect_test::{Expect, expect};
use k8s_openapi::api::apps::v1::ControllerRevision;
use runtime::Change;
use serde::Deserialize;
use serde_json::json;

use super::*;

/// What the tests say of a world; everything else is as the API server would have it.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct Scene {
    /// The spec of its pods.
    spec: Value,
    on_delete: bool,
    max_unavailable: Option<Value>,
    max_surge: Option<Value>,
    min_ready: i32,
    /// The revision of the present template: there are `r1` and `r2`.
    template: Option<String>,
    nodes: Vec<NodeLine>,
    pods: Vec<Line>,
    /// More revisions: of which template, and how many seconds ago.
    copies: Vec<(String, i64)>,
    /// Nodes where a pod failed so many seconds ago, with the pause.
    back_offs: BTreeMap<String, (i64, u64)>,
}

/// One node.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct NodeLine {
    name: String,
    labels: BTreeMap<String, String>,
    /// `key:Effect`.
    taints: Vec<String>,
    is_cordoned: bool,
}

/// One pod, which is ready and of `r1` if nothing else is said.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct Line {
    name: String,
    node: String,
    /// It has been bound to its node.
    is_bound: bool,
    app: String,
    owner: Option<String>,
    hash: String,
    phase: String,
    /// Seconds for which it has been ready.
    ready: Option<i64>,
    /// Seconds since its creation.
    age: i64,
    is_deleting: bool,
}

impl Default for Line {
    fn default() -> Self {
        Self {
            name: String::new(),
            node: "n1".into(),
            is_bound: true,
            app: "log".into(),
            owner: Some("uid-log".into()),
            hash: "h-r1".into(),
            phase: "Running".into(),
            ready: Some(600),
            age: 1000,
            is_deleting: false,
        }
    }
}

fn now() -> Timestamp {
    "2026-01-01T12:00:00Z".parse().unwrap()
}

fn ago(seconds: i64) -> String {
    runtime::rfc3339(now() - jiff::SignedDuration::from_secs(seconds))
}

impl NodeLine {
    fn build(&self) -> (String, Arc<Node>) {
        let taints = self.taints.iter().map(|taint| {
            let (key, effect) = taint.split_once(':').unwrap();
            json!({"key": key, "effect": effect})
        });
        let node = json!({
            "metadata": {"name": self.name, "labels": self.labels},
            "spec": {"taints": taints.collect::<Vec<_>>(), "unschedulable": self.is_cordoned},
        });
        (
            self.name.clone(),
            Arc::new(serde_json::from_value(node).unwrap()),
        )
    }
}

impl Line {
    fn build(&self) -> Arc<Pod> {
        let owners = self.owner.as_ref().map(
            |uid| json!([{"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "log", "uid": uid, "controller": true}]),
        );
        let ready = self.ready.map(
            |since| json!([{"type": "Ready", "status": "True", "lastTransitionTime": ago(since)}]),
        );
        let field = json!({"key": "metadata.name", "operator": "In", "values": [self.node]});
        let required = json!({"nodeSelectorTerms": [{"matchFields": [field]}]});
        let affinity =
            json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}});
        let pod = json!({
            "metadata": {
                "name": self.name, "namespace": "default", "uid": format!("uid-{}", self.name),
                "labels": {"app": self.app, "controller-revision-hash": self.hash},
                "ownerReferences": owners, "creationTimestamp": ago(self.age),
                "deletionTimestamp": self.is_deleting.then(|| ago(1)),
            },
            "spec": {"containers": [], "affinity": affinity, "nodeName": self.is_bound.then_some(&self.node)},
            "status": {"phase": self.phase, "conditions": ready},
        });
        Arc::new(serde_json::from_value(pod).unwrap())
    }
}

fn template(revision: &str, spec: &Value) -> Value {
    let mut spec = if spec.is_null() {
        json!({})
    } else {
        spec.clone()
    };
    spec["containers"] = json!([{"name": "c", "image": revision}]);
    json!({"metadata": {"labels": {"app": "log"}}, "spec": spec})
}

fn revision(name: &str, template: &Value, number: i64, age: i64) -> Arc<ControllerRevision> {
    let owner = json!({"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "log", "uid": "uid-log", "controller": true});
    let revision = json!({
        "metadata": {
            "name": name, "namespace": "default", "uid": name, "ownerReferences": [owner], "creationTimestamp": ago(age),
            "labels": {"app": "log", "controller-revision-hash": format!("h-{name}")},
        },
        "data": {"spec": {"template": template}}, "revision": number,
    });
    Arc::new(serde_json::from_value(revision).unwrap())
}

fn world(yaml: &str) -> World {
    let scene: Scene = serde_saphyr::from_str(yaml).unwrap();
    let present = scene.template.as_deref().unwrap_or("r1");
    let strategy = if scene.on_delete {
        json!({"type": "OnDelete"})
    } else {
        let rolling = json!({"maxUnavailable": scene.max_unavailable, "maxSurge": scene.max_surge});
        json!({"type": "RollingUpdate", "rollingUpdate": rolling})
    };
    let daemon_set = json!({
        "metadata": {"name": "log", "namespace": "default", "uid": "uid-log", "generation": 2, "resourceVersion": "7"},
        "spec": {
            "minReadySeconds": scene.min_ready, "selector": {"matchLabels": {"app": "log"}},
            "template": template(present, &scene.spec), "updateStrategy": strategy,
        },
    });
    let mut revisions = vec![revision("r1", &template("r1", &scene.spec), 1, 1000)];
    if present == "r2" {
        revisions.push(revision("r2", &template("r2", &scene.spec), 2, 900));
    }
    for (of, age) in &scene.copies {
        let number = i64::try_from(revisions.len()).unwrap() + 1;
        let name = format!("copy{number}");
        revisions.push(revision(&name, &template(of, &scene.spec), number, *age));
    }
    let back_offs = scene.back_offs.iter().map(|(node, (age, pause))| {
        let back_off = BackOff {
            since: now() - jiff::SignedDuration::from_secs(*age),
            pause: Duration::from_secs(*pause),
        };
        (node.clone(), back_off)
    });
    World {
        daemon_set: serde_json::from_value(daemon_set).unwrap(),
        nodes: scene.nodes.iter().map(NodeLine::build).collect(),
        pods: scene.pods.iter().map(Line::build).collect(),
        history: History {
            revisions,
            ..History::default()
        },
        back_offs: back_offs.collect(),
    }
}

fn check(yaml: &str, expect: &Expect) {
    let world = world(yaml);
    let plan = DaemonSetController::plan(&world, now());
    let mut text = plan.to_string();
    for change in &plan.changes {
        if let Change::Create(pod) = change {
            let required = &pod.data["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"];
            let node = &required["nodeSelectorTerms"][0]["matchFields"][0]["values"][0];
            let hash = &pod.metadata.labels.as_ref().unwrap()["controller-revision-hash"];
            writeln!(text, "for {} of {hash}", node.as_str().unwrap()).unwrap();
        }
    }
    let status = DaemonSetController::status(&world, &plan, &Outcome::default(), now()).unwrap();
    let count = |name: &str| status[name].as_i64().unwrap_or(0);
    writeln!(
        text,
        "status {} desired {} current {} misscheduled {} ready {} updated {} available {} unavailable",
        count("desiredNumberScheduled"),
        count("currentNumberScheduled"),
        count("numberMisscheduled"),
        count("numberReady"),
        count("updatedNumberScheduled"),
        count("numberAvailable"),
        count("numberUnavailable")
    )
    .unwrap();
    expect.assert_eq(&text);
}

#[test]
fn every_node_gets_a_pod() {
    check(
        "nodes: [{name: n1}, {name: n2}]",
        &expect![[r#"
        create Pod default/log-5kwpg
        create Pod default/log-p7wjp
        note SuccessfulCreate: Created pod: log-5kwpg
        note SuccessfulCreate: Created pod: log-p7wjp
        again in 60s
        for n1 of h-r1
        for n2 of h-r1
        status 2 desired 0 current 0 misscheduled 0 ready 0 updated 0 available 2 unavailable
    "#]],
    );
    check(
        "{nodes: [{name: n1}, {name: n2}], pods: [{name: a}, {name: b, node: n2, isBound: false, phase: Pending, ready: null}]}",
        &expect![[r#"
            status 2 desired 2 current 0 misscheduled 1 ready 2 updated 1 available 1 unavailable
        "#]],
    );
}

#[test]
fn new_pods_bear_the_troubles_of_nodes() {
    let world = world(
        "{nodes: [{name: n1}], spec: {hostNetwork: true, affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: [{key: gpu, operator: DoesNotExist}]}]}}}, tolerations: [{key: node.kubernetes.io/not-ready, operator: Exists, effect: NoExecute, tolerationSeconds: 5}]}}",
    );
    let plan = DaemonSetController::plan(&world, now());
    let Some(Change::Create(pod)) = plan.changes.last() else {
        panic!("{plan}");
    };
    expect![[r#"
        {
          "affinity": {
            "nodeAffinity": {
              "requiredDuringSchedulingIgnoredDuringExecution": {
                "nodeSelectorTerms": [
                  {
                    "matchFields": [
                      {
                        "key": "metadata.name",
                        "operator": "In",
                        "values": [
                          "n1"
                        ]
                      }
                    ]
                  }
                ]
              }
            }
          },
          "containers": [
            {
              "image": "r1",
              "name": "c"
            }
          ],
          "hostNetwork": true,
          "tolerations": [
            {
              "effect": "NoExecute",
              "key": "node.kubernetes.io/not-ready",
              "operator": "Exists"
            },
            {
              "effect": "NoExecute",
              "key": "node.kubernetes.io/unreachable",
              "operator": "Exists"
            },
            {
              "effect": "NoSchedule",
              "key": "node.kubernetes.io/disk-pressure",
              "operator": "Exists"
            },
            {
              "effect": "NoSchedule",
              "key": "node.kubernetes.io/memory-pressure",
              "operator": "Exists"
            },
            {
              "effect": "NoSchedule",
              "key": "node.kubernetes.io/pid-pressure",
              "operator": "Exists"
            },
            {
              "effect": "NoSchedule",
              "key": "node.kubernetes.io/unschedulable",
              "operator": "Exists"
            },
            {
              "effect": "NoSchedule",
              "key": "node.kubernetes.io/network-unavailable",
              "operator": "Exists"
            }
          ]
        }"#]]
    .assert_eq(&serde_json::to_string_pretty(&pod.data["spec"]).unwrap());
}

#[test]
fn selectors_taints_and_cordons_decide() {
    check(
        "spec: {nodeSelector: {color: blue}}
nodes:
- {name: n1, labels: {color: blue}}
- {name: n2, labels: {color: green}}
- {name: n3, labels: {color: blue}, taints: ['gpu:NoSchedule']}
- {name: n4, labels: {color: blue}, isCordoned: true}
- {name: n5, labels: {color: blue}, taints: ['node.kubernetes.io/unreachable:NoExecute', 'node.kubernetes.io/disk-pressure:NoSchedule']}",
        &expect![[r#"
            create Pod default/log-5kwpg
            create Pod default/log-p7wjp
            create Pod default/log-xwzb4
            note SuccessfulCreate: Created pod: log-5kwpg
            note SuccessfulCreate: Created pod: log-p7wjp
            note SuccessfulCreate: Created pod: log-xwzb4
            again in 60s
            for n1 of h-r1
            for n4 of h-r1
            for n5 of h-r1
            status 3 desired 0 current 0 misscheduled 0 ready 0 updated 0 available 3 unavailable
        "#]],
    );
    check(
        "{spec: {nodeName: n2}, nodes: [{name: n1}, {name: n2}]}",
        &expect![[r#"
            create Pod default/log-5kwpg
            note SuccessfulCreate: Created pod: log-5kwpg
            again in 60s
            for n2 of h-r1
            status 1 desired 0 current 0 misscheduled 0 ready 0 updated 0 available 1 unavailable
        "#]],
    );
}

#[test]
fn a_pod_stays_unless_its_node_evicts_it_or_is_no_longer_meant() {
    check(
        "spec: {nodeSelector: {color: blue}}
nodes:
- {name: n1, labels: {color: blue}, taints: ['gpu:NoSchedule']}
- {name: n2, labels: {color: blue}, taints: ['gpu:NoExecute']}
- {name: n3, labels: {color: green}}
pods: [{name: a}, {name: b, node: n2}, {name: c, node: n3}]",
        &expect![[r#"
            delete Pod default/b
            delete Pod default/c
            note SuccessfulDelete: Deleted pod: b
            note SuccessfulDelete: Deleted pod: c
            status 0 desired 0 current 3 misscheduled 0 ready 0 updated 0 available 0 unavailable
        "#]],
    );
}

#[test]
fn of_two_pods_on_a_node_the_older_stays() {
    check(
        "{nodes: [{name: n1}], pods: [{name: young, age: 10}, {name: old, age: 20}, {name: unbound, age: 30, isBound: false}]}",
        &expect![[r#"
            delete Pod default/young
            delete Pod default/unbound
            note SuccessfulDelete: Deleted pod: young
            note SuccessfulDelete: Deleted pod: unbound
            status 1 desired 1 current 0 misscheduled 1 ready 1 updated 1 available 0 unavailable
        "#]],
    );
}

#[test]
fn pods_that_came_to_an_end_make_way() {
    check(
        "{nodes: [{name: n1}, {name: n2}], pods: [{name: a, phase: Failed, ready: null}, {name: b, node: n2, phase: Succeeded, ready: null}]}",
        &expect![[r#"
            act Remember("n1")
            delete Pod default/a
            delete Pod default/b
            warn FailedDaemonPod: Found failed daemon pod default/a on node n1, will try to kill it
            note SucceededDaemonPod: Found succeeded daemon pod default/b on node n2, will try to delete it
            note SuccessfulDelete: Deleted pod: a
            note SuccessfulDelete: Deleted pod: b
            status 2 desired 2 current 0 misscheduled 0 ready 2 updated 0 available 2 unavailable
        "#]],
    );
    check(
        "{nodes: [{name: n1}], pods: [{name: a, phase: Failed, ready: null}], backOffs: {n1: [3, 8]}}",
        &expect![[r#"
            again in 5s
            status 1 desired 1 current 0 misscheduled 0 ready 1 updated 0 available 1 unavailable
        "#]],
    );
    check(
        "{nodes: [{name: n1}], pods: [{name: a, phase: Failed, ready: null}], backOffs: {n1: [8, 8]}}",
        &expect![[r#"
            act Remember("n1")
            delete Pod default/a
            warn FailedDaemonPod: Found failed daemon pod default/a on node n1, will try to kill it
            note SuccessfulDelete: Deleted pod: a
            status 1 desired 1 current 0 misscheduled 0 ready 1 updated 0 available 1 unavailable
        "#]],
    );
    check(
        "{nodes: [{name: n1}], pods: [{name: a, phase: Failed, ready: null, isDeleting: true}]}",
        &expect![[r#"
            create Pod default/log-5kwpg
            note SuccessfulCreate: Created pod: log-5kwpg
            again in 60s
            for n1 of h-r1
            status 1 desired 0 current 0 misscheduled 0 ready 0 updated 0 available 1 unavailable
        "#]],
    );
}

#[test]
fn pods_on_their_way_to_a_node_that_is_gone_go() {
    check(
        "{pods: [{name: a, isBound: false, phase: Pending, ready: null}, {name: b, node: n2}]}",
        &expect![[r#"
            delete Pod default/a
            note SuccessfulDelete: Deleted pod: a
            status 0 desired 0 current 0 misscheduled 0 ready 0 updated 0 available 0 unavailable
        "#]],
    );
}

#[test]
fn pods_are_adopted_and_released() {
    check(
        "{nodes: [{name: n1}, {name: n2}], pods: [{name: a, owner: null}, {name: b, node: n2, app: db}, {name: c, node: n2, owner: somebody}]}",
        &expect![[r#"
            patch Pod default/a {"metadata":{"ownerReferences":[{"apiVersion":"apps/v1","blockOwnerDeletion":true,"controller":true,"kind":"DaemonSet","name":"log","uid":"uid-log"}],"uid":"uid-a"}}
            patch Pod default/b {"metadata":{"ownerReferences":[],"uid":"uid-b"}}
            create Pod default/log-5kwpg
            note SuccessfulCreate: Created pod: log-5kwpg
            again in 60s
            for n2 of h-r1
            status 2 desired 1 current 0 misscheduled 1 ready 1 updated 1 available 1 unavailable
        "#]],
    );
}

#[test]
fn an_update_replaces_as_many_as_may_be_unavailable() {
    let nodes = "nodes: [{name: n1}, {name: n2}, {name: n3}, {name: n4}]";
    let pods = "pods: [{name: a}, {name: b, node: n2}, {name: c, node: n3}, {name: d, node: n4}]";
    check(
        &format!("{{template: r2, {nodes}, {pods}}}"),
        &expect![[r#"
            delete Pod default/a
            note SuccessfulDelete: Deleted pod: a
            status 4 desired 4 current 0 misscheduled 4 ready 0 updated 4 available 0 unavailable
        "#]],
    );
    check(
        &format!("{{template: r2, maxUnavailable: 30%, {nodes}, {pods}}}"),
        &expect![[r#"
            delete Pod default/a
            delete Pod default/b
            note SuccessfulDelete: Deleted pod: a
            note SuccessfulDelete: Deleted pod: b
            status 4 desired 4 current 0 misscheduled 4 ready 0 updated 4 available 0 unavailable
        "#]],
    );
    check(
        &format!("{{template: r2, onDelete: true, {nodes}, {pods}}}"),
        &expect![[r#"
            status 4 desired 4 current 0 misscheduled 4 ready 0 updated 4 available 0 unavailable
        "#]],
    );
    check(
        &format!(
            "{{template: r2, {nodes}, pods: [{{name: a, hash: h-r2, ready: null}}, {{name: b, node: n2, ready: null}}, {{name: c, node: n3}}, {{name: d, node: n4}}]}}"
        ),
        &expect![[r#"
            delete Pod default/b
            note SuccessfulDelete: Deleted pod: b
            status 4 desired 4 current 0 misscheduled 2 ready 1 updated 2 available 2 unavailable
        "#]],
    );
    check(
        &format!(
            "{{template: r2, {nodes}, pods: [{{name: a, isDeleting: true}}, {{name: b, node: n2}}, {{name: c, node: n3}}, {{name: d, node: n4}}]}}"
        ),
        &expect![[r#"
            status 4 desired 4 current 0 misscheduled 4 ready 0 updated 4 available 0 unavailable
        "#]],
    );
}

#[test]
fn with_a_surge_the_new_pod_comes_before_the_old_one_goes() {
    let how = "template: r2, maxSurge: 1, maxUnavailable: 0, nodes: [{name: n1}, {name: n2}]";
    check(
        &format!("{{{how}, pods: [{{name: a}}, {{name: b, node: n2}}]}}"),
        &expect![[r#"
            create Pod default/log-5kwpg
            note SuccessfulCreate: Created pod: log-5kwpg
            again in 60s
            for n1 of h-r2
            status 2 desired 2 current 0 misscheduled 2 ready 0 updated 2 available 0 unavailable
        "#]],
    );
    check(
        &format!(
            "{{{how}, pods: [{{name: a}}, {{name: a2, hash: h-r2, ready: null}}, {{name: b, node: n2}}]}}"
        ),
        &expect![[r#"
            status 2 desired 2 current 0 misscheduled 2 ready 0 updated 2 available 0 unavailable
        "#]],
    );
    check(
        &format!("{{{how}, pods: [{{name: a}}, {{name: a2, hash: h-r2}}, {{name: b, node: n2}}]}}"),
        &expect![[r#"
            delete Pod default/a
            note SuccessfulDelete: Deleted pod: a
            status 2 desired 2 current 0 misscheduled 2 ready 0 updated 2 available 0 unavailable
        "#]],
    );
    check(
        &format!("{{{how}, pods: [{{name: a, ready: null}}, {{name: b, node: n2}}]}}"),
        &expect![[r#"
            create Pod default/log-5kwpg
            create Pod default/log-p7wjp
            note SuccessfulCreate: Created pod: log-5kwpg
            note SuccessfulCreate: Created pod: log-p7wjp
            again in 60s
            for n1 of h-r2
            for n2 of h-r2
            status 2 desired 2 current 0 misscheduled 1 ready 0 updated 1 available 1 unavailable
        "#]],
    );
}

#[test]
fn readiness_has_to_last() {
    check(
        "{minReady: 30, nodes: [{name: n1}, {name: n2}], pods: [{name: a, ready: 10}, {name: b, node: n2, ready: 40}]}",
        &expect![[r#"
            again in 20s
            status 2 desired 2 current 0 misscheduled 2 ready 2 updated 1 available 1 unavailable
        "#]],
    );
}

#[test]
fn a_copy_of_the_present_revision_is_left_alone_for_a_while() {
    check(
        "{nodes: [{name: n1}], pods: [{name: a}], copies: [[r1, 20]]}",
        &expect![[r#"
            again in 40s
            status 1 desired 1 current 0 misscheduled 1 ready 1 updated 1 available 0 unavailable
        "#]],
    );
    check(
        "{nodes: [{name: n1}], pods: [{name: a}], copies: [[r1, 60]]}",
        &expect![[r#"
            patch Pod default/a {"metadata":{"labels":{"controller-revision-hash":"h-copy2"},"uid":"uid-a"}}
            delete ControllerRevision default/r1
            status 1 desired 1 current 0 misscheduled 1 ready 1 updated 1 available 0 unavailable
        "#]],
    );
}

#[test]
fn the_generation_of_the_template_tells_pods_apart_as_well() {
    let mut world = world("{template: r2, nodes: [{name: n1}], pods: [{name: a, hash: strange}]}");
    let generation = "deprecated.daemonset.template.generation";
    let annotations = world
        .daemon_set
        .metadata
        .annotations
        .get_or_insert_default();
    annotations.insert(generation.into(), "7".into());
    let mut pod = Pod::clone(&world.pods[0]);
    let labels = pod.metadata.labels.get_or_insert_default();
    labels.insert("pod-template-generation".into(), "7".into());
    world.pods = vec![Arc::new(pod)];
    let plan = DaemonSetController::plan(&world, now());
    assert_eq!(plan.to_string(), "");
    let outcome = Outcome::default();
    let status = DaemonSetController::status(&world, &plan, &outcome, now()).unwrap();
    assert_eq!(status["updatedNumberScheduled"], 1);
}
