//! Check tests: a pod, nodes and other pods in YAML → where it goes, or why it goes nowhere.

use expect_test::{Expect, expect};
use serde::Deserialize;

use super::*;

/// What the tests say of a world.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Scene {
    /// `spec` of the pod.
    #[serde(default)]
    pod: Value,
    #[serde(default)]
    nodes: Vec<Place>,
    /// Pods that are on nodes, with `on`.
    #[serde(default)]
    pods: Vec<Neighbour>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Place {
    name: String,
    #[serde(default)]
    labels: Value,
    #[serde(default)]
    taints: Value,
    #[serde(default)]
    unschedulable: bool,
    #[serde(default)]
    allocatable: Value,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Neighbour {
    on: String,
    #[serde(default)]
    labels: Value,
    #[serde(default)]
    namespace: Option<String>,
    #[serde(default)]
    spec: Value,
}

fn pod(namespace: &str, name: &str, labels: &Value, spec: &Value) -> Pod {
    let mut spec = spec.clone();
    if spec["containers"].is_null() {
        spec["containers"] = json!([]);
    }
    let meta = json!({"name": name, "namespace": namespace, "uid": format!("uid-{name}"), "labels": labels, "generation": 1});
    serde_json::from_value(json!({"metadata": meta, "spec": spec})).unwrap()
}

fn world(yaml: &str) -> World {
    let scene: Scene = serde_saphyr::from_str(yaml).unwrap();
    let node = |place: Place| {
        let mut allocatable = json!({"cpu": "2", "memory": "4Gi", "pods": "110"});
        allocatable
            .as_object_mut()
            .unwrap()
            .extend(place.allocatable.as_object().cloned().unwrap_or_default());
        let mut labels = json!({"kubernetes.io/hostname": place.name});
        labels
            .as_object_mut()
            .unwrap()
            .extend(place.labels.as_object().cloned().unwrap_or_default());
        let node = json!({"metadata": {"name": place.name, "labels": labels},
            "spec": {"taints": place.taints, "unschedulable": place.unschedulable}, "status": {"allocatable": allocatable}});
        Arc::new(serde_json::from_value(node).unwrap())
    };
    let neighbour = |(at, other): (usize, Neighbour)| {
        let namespace = other.namespace.as_deref().unwrap_or("default");
        (
            other.on.clone(),
            Arc::new(pod(
                namespace,
                &format!("p{at}"),
                &other.labels,
                &other.spec,
            )),
        )
    };
    World {
        pod: pod("default", "new", &json!({"app": "web"}), &scene.pod),
        nodes: scene.nodes.into_iter().map(node).collect(),
        bound: scene.pods.into_iter().enumerate().map(neighbour).collect(),
        namespaces: [(
            "other".to_owned(),
            [("team".to_owned(), "b".to_owned())].into(),
        )]
        .into(),
        is_settled: false,
    }
}

/// Where the pod goes: `node` for short, or the reason.
fn place(yaml: &str) -> String {
    match filter::choose(&world(yaml)) {
        super::Place::On(node) => node,
        super::Place::Nowhere(why) => why,
    }
}

fn check(yaml: &str, expect: &Expect) {
    expect.assert_eq(&place(yaml));
}

const TWO: &str = "nodes: [{name: n1}, {name: n2}]";

#[test]
fn a_pod_is_bound_and_the_user_is_told() {
    let plan = Scheduler::plan(&world(TWO), Timestamp::UNIX_EPOCH);
    expect![[r#"
        act Bind("n1")
        note Scheduled: Successfully assigned default/new to n1
    "#]]
    .assert_eq(&plan.to_string());
}

#[test]
fn a_pod_that_fits_nowhere_says_so_in_event_and_condition() {
    let world = world("pod: {nodeSelector: {disk: ssd}}\nnodes: [{name: n1}]");
    let plan = Scheduler::plan(&world, Timestamp::UNIX_EPOCH);
    let status =
        Scheduler::status(&world, &plan, &Outcome::default(), Timestamp::UNIX_EPOCH).unwrap();
    expect![[r#"
        wait Unschedulable: 0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector.
        warn FailedScheduling: 0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector.
        {
          "conditions": [
            {
              "message": "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector.",
              "observedGeneration": 1,
              "reason": "Unschedulable",
              "status": "False",
              "type": "PodScheduled"
            }
          ]
        }"#]].assert_eq(&format!("{plan}{status:#}"));
}

#[test]
fn without_nodes_there_is_nothing_to_choose() {
    check("{}", &expect!["no nodes available to schedule pods"]);
}

#[test]
fn settled_pods_are_left_alone() {
    let world = World {
        is_settled: true,
        ..world(TWO)
    };
    assert_eq!(
        Scheduler::plan(&world, Timestamp::UNIX_EPOCH),
        Plan::default()
    );
}

#[test]
fn taints_keep_off_who_does_not_tolerate_them() {
    let nodes = "nodes: [{name: n1, taints: [{key: k, value: v, effect: NoSchedule}]}, {name: n2, taints: [{key: down, effect: NoExecute}]}, {name: n3, unschedulable: true}]";
    check(
        nodes,
        &expect![
            "0/3 nodes are available: 1 node(s) had untolerated taint {down: }, 1 node(s) had untolerated taint {k: v}, 1 node(s) were unschedulable."
        ],
    );
    for (toleration, expected) in [
        ("{key: k, operator: Equal, value: v}", "n1"),
        ("{key: k, value: v, effect: NoSchedule}", "n1"),
        ("{key: k, operator: Exists}", "n1"),
        ("{key: down, operator: Exists, effect: NoExecute}", "n2"),
        (
            "{key: node.kubernetes.io/unschedulable, operator: Exists}",
            "n3",
        ),
        ("{operator: Exists}", "n1"),
    ] {
        assert_eq!(
            place(&format!("pod: {{tolerations: [{toleration}]}}\n{nodes}")),
            expected,
            "{toleration}"
        );
    }
    for toleration in [
        "{key: k, value: w}",
        "{key: k, operator: Exists, effect: NoExecute}",
        "{key: '', value: v}",
    ] {
        assert!(
            place(&format!("pod: {{tolerations: [{toleration}]}}\n{nodes}")).starts_with("0/3"),
            "{toleration}"
        );
    }
}

#[test]
fn soft_taints_are_avoided_if_possible() {
    let soft = "taints: [{key: k, effect: PreferNoSchedule}]";
    assert_eq!(
        place(&format!("nodes: [{{name: n1, {soft}}}, {{name: n2}}]")),
        "n2"
    );
    assert_eq!(place(&format!("nodes: [{{name: n1, {soft}}}]")), "n1");
}

#[test]
fn node_selectors_and_affinities_choose() {
    let nodes = "nodes: [{name: n1, labels: {zone: a, cores: '4'}}, {name: n2, labels: {zone: b, cores: '8'}}]";
    let with = |required: &str| {
        format!(
            "pod: {{affinity: {{nodeAffinity: {{requiredDuringSchedulingIgnoredDuringExecution: {{nodeSelectorTerms: [{required}]}}}}}}}}\n{nodes}"
        )
    };
    assert_eq!(
        place(&format!("pod: {{nodeSelector: {{zone: b}}}}\n{nodes}")),
        "n2"
    );
    for (term, expected) in [
        (
            "{matchExpressions: [{key: zone, operator: In, values: [b, c]}]}",
            "n2",
        ),
        (
            "{matchExpressions: [{key: zone, operator: NotIn, values: [a]}]}",
            "n2",
        ),
        (
            "{matchExpressions: [{key: cores, operator: Gt, values: ['4']}]}",
            "n2",
        ),
        (
            "{matchExpressions: [{key: cores, operator: Lt, values: ['8']}]}",
            "n1",
        ),
        (
            "{matchExpressions: [{key: gpu, operator: DoesNotExist}]}",
            "n1",
        ),
        (
            "{matchFields: [{key: metadata.name, operator: In, values: [n2]}]}",
            "n2",
        ),
        (
            "{matchExpressions: [{key: gpu, operator: Exists}]}, {matchExpressions: [{key: zone, operator: In, values: [b]}]}",
            "n2",
        ),
    ] {
        assert_eq!(place(&with(term)), expected, "{term}");
    }
    // An empty term means no node; both expressions of a term must hold.
    check(
        &with("{}"),
        &expect!["0/2 nodes are available: 2 node(s) didn't match Pod's node affinity/selector."],
    );
    check(
        &with("{matchExpressions: [{key: zone, operator: Exists}, {key: gpu, operator: Exists}]}"),
        &expect!["0/2 nodes are available: 2 node(s) didn't match Pod's node affinity/selector."],
    );
    let preferred = "{preferredDuringSchedulingIgnoredDuringExecution: [{weight: 5, preference: {matchExpressions: [{key: zone, operator: In, values: [b]}]}}]}";
    assert_eq!(
        place(&format!(
            "pod: {{affinity: {{nodeAffinity: {preferred}}}}}\n{nodes}"
        )),
        "n2"
    );
}

#[test]
fn resources_must_be_free() {
    let asks = |requests: &str| {
        format!("pod: {{containers: [{{name: c, resources: {{requests: {requests}}}}}]}}\n")
    };
    let used = "pods: [{on: n1, spec: {containers: [{name: c, resources: {requests: {cpu: 1500m, memory: 1Gi}}}]}}]";
    assert_eq!(place(&format!("{}{TWO}\n{used}", asks("{cpu: 1}"))), "n2");
    assert_eq!(
        place(&format!(
            "{}nodes: [{{name: n1}}]\n{used}",
            asks("{cpu: 500m}")
        )),
        "n1"
    );
    check(
        &format!(
            "{}{TWO}\n{used}",
            asks("{cpu: 3, memory: 3.5Gi, example.com/gpu: 1}")
        ),
        &expect![
            "0/2 nodes are available: 1 Insufficient memory, 2 Insufficient cpu, 2 Insufficient example.com/gpu."
        ],
    );
    check(
        &format!("nodes: [{{name: n1, allocatable: {{pods: '1'}}}}]\n{used}"),
        &expect!["0/1 nodes are available: 1 Too many pods."],
    );
}

#[test]
fn init_containers_and_overhead_count_as_they_run() {
    let nodes = "nodes: [{name: n1}]";
    let init = |cpu: &str, policy: &str| {
        format!(
            "pod: {{containers: [{{name: c, resources: {{requests: {{cpu: '1'}}}}}}], initContainers: [{{name: i, {policy} resources: {{requests: {{cpu: '{cpu}'}}}}}}]}}\n{nodes}"
        )
    };
    assert_eq!(place(&init("2", "")), "n1");
    assert_eq!(place(&init("1", "restartPolicy: Always,")), "n1");
    check(
        &init("2", "restartPolicy: Always,"),
        &expect!["0/1 nodes are available: 1 Insufficient cpu."],
    );
    check(
        &init("3", ""),
        &expect!["0/1 nodes are available: 1 Insufficient cpu."],
    );
    check(
        &format!("pod: {{overhead: {{cpu: '3'}}}}\n{nodes}"),
        &expect!["0/1 nodes are available: 1 Insufficient cpu."],
    );
}

#[test]
fn host_ports_are_given_once() {
    let wants =
        |port: &str| format!("containers: [{{name: c, ports: [{{containerPort: 1, {port}}}]}}]");
    let world = |new: &str, old: &str| {
        place(&format!(
            "pod: {{{}}}\nnodes: [{{name: n1}}]\npods: [{{on: n1, spec: {{{}}}}}]",
            wants(new),
            wants(old)
        ))
    };
    expect![
        "0/1 nodes are available: 1 node(s) didn't have free ports for the requested pod ports."
    ]
    .assert_eq(&world("hostPort: 80", "hostPort: 80"));
    assert!(world("hostPort: 80, hostIP: 10.0.0.1", "hostPort: 80").starts_with("0/1"));
    assert_eq!(world("hostPort: 80, protocol: UDP", "hostPort: 80"), "n1");
    assert_eq!(
        world(
            "hostPort: 80, hostIP: 10.0.0.1",
            "hostPort: 80, hostIP: 10.0.0.2"
        ),
        "n1"
    );
    assert_eq!(world("hostPort: 0", "hostPort: 0"), "n1");
}

#[test]
fn pods_choose_their_neighbours() {
    let zones = "nodes: [{name: n1, labels: {zone: a}}, {name: n2, labels: {zone: b}}]";
    let term = |app: &str| {
        format!(
            "requiredDuringSchedulingIgnoredDuringExecution: [{{topologyKey: zone, labelSelector: {{matchLabels: {{app: {app}}}}}}}]"
        )
    };
    let near = |app: &str| {
        format!(
            "pod: {{affinity: {{podAffinity: {{{}}}}}}}\n{zones}\n",
            term(app)
        )
    };
    let far = |app: &str| {
        format!(
            "pod: {{affinity: {{podAntiAffinity: {{{}}}}}}}\n{zones}\n",
            term(app)
        )
    };
    let db = "pods: [{on: n2, labels: {app: db}}]";
    assert_eq!(place(&format!("{}{db}", near("db"))), "n2");
    assert_eq!(place(&format!("{}{db}", far("db"))), "n1");
    assert_eq!(place(&near("web")), "n1", "the first of its kind");
    check(
        &near("db"),
        &expect!["0/2 nodes are available: 2 node(s) didn't match pod affinity rules."],
    );
    check(
        &format!(
            "{}pods: [{{on: n1, labels: {{app: db}}}}, {{on: n2, labels: {{app: db}}}}]",
            far("db")
        ),
        &expect!["0/2 nodes are available: 2 node(s) didn't match pod anti-affinity rules."],
    );
    // In another namespace nobody is meant, unless the term says so.
    check(
        &format!(
            "{}pods: [{{on: n2, labels: {{app: db}}, namespace: other}}]",
            near("db")
        ),
        &expect!["0/2 nodes are available: 2 node(s) didn't match pod affinity rules."],
    );
    let everywhere = near("db").replace(
        "topologyKey",
        "namespaceSelector: {matchLabels: {team: b}}, topologyKey",
    );
    assert_eq!(
        place(&format!(
            "{everywhere}pods: [{{on: n2, labels: {{app: db}}, namespace: other}}]"
        )),
        "n2"
    );
    // Others' dislikes count too.
    let shy = format!(
        "pods: [{{on: n1, spec: {{affinity: {{podAntiAffinity: {{{}}}}}}}}}]",
        term("web")
    );
    assert_eq!(place(&format!("{zones}\n{shy}")), "n2");
    check(
        &format!("nodes: [{{name: n1, labels: {{zone: a}}}}]\n{shy}"),
        &expect![
            "0/1 nodes are available: 1 node(s) didn't satisfy existing pods anti-affinity rules."
        ],
    );
}

#[test]
fn pods_spread_over_domains() {
    let spread = |more: &str| {
        format!(
            "pod: {{topologySpreadConstraints: [{{maxSkew: 1, topologyKey: zone, whenUnsatisfiable: DoNotSchedule, labelSelector: {{matchLabels: {{app: web}}}}{more}}}]}}\n"
        )
    };
    let zones = "nodes: [{name: n1, labels: {zone: a}}, {name: n2, labels: {zone: b}}, {name: n3}]";
    let one = "pods: [{on: n1, labels: {app: web}}]";
    assert_eq!(place(&format!("{}{zones}\n{one}", spread(""))), "n2");
    check(
        &format!(
            "{}nodes: [{{name: n1, labels: {{zone: a}}}}, {{name: n2, labels: {{zone: b}}, unschedulable: true}}, {{name: n3}}]\n{one}",
            spread("")
        ),
        &expect![
            "0/3 nodes are available: 1 node(s) didn't match pod topology spread constraints, 1 node(s) didn't match pod topology spread constraints (missing required label), 1 node(s) were unschedulable."
        ],
    );
    check(
        &format!(
            "{}nodes: [{{name: n1, labels: {{zone: a}}}}]\n{one}",
            spread(", minDomains: 2")
        ),
        &expect![
            "0/1 nodes are available: 1 node(s) didn't match pod topology spread constraints."
        ],
    );
    let soft = spread("").replace("DoNotSchedule", "ScheduleAnyway");
    assert_eq!(place(&format!("{soft}nodes: [{{name: n1}}]\n{one}")), "n1");
}

#[test]
fn the_emptiest_node_wins_and_then_the_first_by_name() {
    assert_eq!(place("nodes: [{name: b}, {name: a}]"), "a");
    assert_eq!(place("nodes: [{name: a}, {name: b}]\npods: [{on: a}]"), "b");
    assert_eq!(
        place(
            "nodes: [{name: a}, {name: b, allocatable: {cpu: '64'}}]\npod: {containers: [{name: c, resources: {requests: {cpu: '1'}}}]}"
        ),
        "b"
    );
}

#[test]
fn what_was_bound_a_moment_ago_counts_until_the_caches_know() {
    let scheduler = Scheduler::default();
    let new = pod("default", "a", &Value::Null, &Value::Null);
    scheduler.assume("uid-a", "n1", &new);
    let bound = scheduler.bound(&[Arc::new(new.clone())]);
    assert_eq!(bound[0].0, "n1");
    let there = pod("default", "a", &Value::Null, &json!({"nodeName": "n1"}));
    assert_eq!(
        scheduler.bound(&[Arc::new(there)]).len(),
        1,
        "known, and counted once"
    );
    assert!(
        scheduler.bound(&[Arc::new(new)]).is_empty(),
        "no assumption is left"
    );
}
