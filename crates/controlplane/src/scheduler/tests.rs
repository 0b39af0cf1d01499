//! Check tests: a pod, nodes and other pods in YAML → where it goes, or why it goes nowhere.

use expect_test::{Expect, expect};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, Time};
use proptest::prelude::*;
use serde::Deserialize;
use serde_json::{Value, json};

use super::*;

/// What the tests say of a world.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Scene {
    /// `spec` of the pod.
    #[serde(default)]
    pod: Value,
    /// `status` of the pod.
    #[serde(default)]
    status: Value,
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
    name: Option<String>,
    #[serde(default)]
    status: Value,
    /// It is being deleted.
    #[serde(default)]
    going: bool,
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
        spec["containers"] = json!([{"name": "c"}]);
    }
    let meta = json!({"name": name, "namespace": namespace, "uid": format!("uid-{name}"), "labels": labels, "generation": 1});
    serde_json::from_value(json!({"metadata": meta, "spec": spec})).unwrap()
}

/// The pod, and what is known beside it.
fn world(yaml: &str) -> (Snapshot, PodInfo) {
    let scene: Scene = serde_saphyr::from_str(yaml).unwrap();
    let mut world = Snapshot::default();
    for place in scene.nodes {
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
        world.set_node(
            &place.name,
            Some(Arc::new(serde_json::from_value(node).unwrap())),
        );
    }
    for (at, other) in scene.pods.into_iter().enumerate() {
        let namespace = other.namespace.as_deref().unwrap_or("default");
        let name = other.name.unwrap_or_else(|| format!("p{at}"));
        let mut pod = pod(namespace, &name, &other.labels, &other.spec);
        if !other.status.is_null() {
            pod.status = serde_json::from_value(other.status).unwrap();
        }
        if other.going {
            pod.metadata.deletion_timestamp = Some(Time(Timestamp::UNIX_EPOCH));
        }
        world.put(&other.on, Arc::new(PodInfo::of(Arc::new(pod))));
    }
    world.namespaces.insert(
        "other".to_owned(),
        [("team".to_owned(), "b".to_owned())].into(),
    );
    let mut new = pod("default", "new", &json!({"app": "web"}), &scene.pod);
    new.status = serde_json::from_value(scene.status).unwrap_or_default();
    (world, PodInfo::of(Arc::new(new)))
}

fn choice(yaml: &str, budgets: &[Budget]) -> Choice {
    let (world, pod) = world(yaml);
    choose::choose(&world, &pod, &Volumes::default(), budgets, &mut 0)
}

/// Where the pod goes: `node` for short, or the reason without what became of preemption.
fn place(yaml: &str) -> String {
    match choice(yaml, &[]) {
        Choice::On(node) => node,
        Choice::Nowhere(nowhere) => {
            let message = nowhere.message;
            let end = message.find(" preemption: ").unwrap_or(message.len());
            message[..end].to_owned()
        }
    }
}

fn check(yaml: &str, expect: &Expect) {
    expect.assert_eq(&place(yaml));
}

const TWO: &str = "nodes: [{name: n1}, {name: n2}]";

#[test]
fn without_nodes_there_is_nothing_to_choose() {
    check("{}", &expect!["no nodes available to schedule pods"]);
}

#[test]
fn taints_keep_off_who_does_not_tolerate_them() {
    let nodes = "nodes: [{name: n1, taints: [{key: k, value: v, effect: NoSchedule}]}, {name: n2, taints: [{key: down, effect: NoExecute}]}, {name: n3, unschedulable: true}]";
    check(
        nodes,
        &expect![
            "0/3 nodes are available: 1 node(s) were unschedulable, 2 node(s) had untolerated taint(s)."
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
const FULL: &str = "nodes: [{name: n1}, {name: n2}]
pod: {priority: 10, containers: [{name: c, resources: {requests: {cpu: '2'}}}]}
pods:
- {on: n1, name: low, spec: {priority: 1, containers: [{name: c, resources: {requests: {cpu: '2'}}}]}}
- {on: n2, name: mid, spec: {priority: 5, containers: [{name: c, resources: {requests: {cpu: '2'}}}]}}
";

/// What a pod that fits nowhere is told, and who goes for it.
fn preemption(yaml: &str, budgets: &[Budget]) -> String {
    match choice(yaml, budgets) {
        Choice::On(node) => format!("on {node}"),
        Choice::Nowhere(Nowhere {
            message,
            preemption: None,
            ..
        }) => message,
        Choice::Nowhere(Nowhere {
            preemption: Some(Preemption { node, victims }),
            message,
            ..
        }) => format!("{message} {} go from {node}", victims.join(" and ")),
    }
}

#[test]
fn less_important_pods_make_room() {
    expect![[r"0/2 nodes are available: 2 Insufficient cpu. uid-low go from n1"]]
        .assert_eq(&preemption(FULL, &[]));
    expect!["0/2 nodes are available: 2 Insufficient cpu. preemption: 0/2 nodes are available: 2 No preemption victims found for incoming pod."]
        .assert_eq(&preemption(&FULL.replace("priority: 10", "priority: 1"), &[]));
    expect!["0/2 nodes are available: 2 Insufficient cpu. preemption: not eligible due to preemptionPolicy=Never."]
        .assert_eq(&preemption(
            &FULL.replace("priority: 10", "priority: 10, preemptionPolicy: Never"),
            &[],
        ));
    expect!["0/2 nodes are available: 2 Insufficient cpu. preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling."]
        .assert_eq(&preemption(
            &FULL.replacen("cpu: '2'", "cpu: '3'", 1),
            &[],
        ));
}

#[test]
fn no_more_pods_go_than_have_to() {
    let small = |name: &str, priority: i32| {
        format!(
            "- {{on: n1, name: {name}, spec: {{priority: {priority}, containers: [{{name: c, resources: {{requests: {{cpu: 500m}}}}}}]}}}}\n"
        )
    };
    let yaml = format!(
        "nodes: [{{name: n1}}]\npod: {{priority: 10, containers: [{{name: c, resources: {{requests: {{cpu: '1'}}}}}}]}}\npods:\n{}{}{}{}",
        small("a", 4),
        small("b", 2),
        small("c", 20),
        small("d", 3)
    );
    expect!["0/1 nodes are available: 1 Insufficient cpu. uid-d and uid-b go from n1"]
        .assert_eq(&preemption(&yaml, &[]));
}

#[test]
fn a_budget_protects_its_pods_if_others_can_go() {
    let budget = Budget {
        namespace: "default".into(),
        selector: LabelSelector {
            match_labels: Some([("app".to_owned(), "db".to_owned())].into()),
            ..LabelSelector::default()
        },
        ..Budget::default()
    };
    let yaml = FULL.replace("name: low", "name: low, labels: {app: db}");
    let found = preemption(&yaml, std::slice::from_ref(&budget));
    assert!(found.ends_with("uid-mid go from n2"), "{found}");
    let spent = Budget {
        allowed: 1,
        ..budget
    };
    let found = preemption(&yaml, &[spent]);
    assert!(found.ends_with("uid-low go from n1"), "{found}");
}

#[test]
fn room_that_is_being_made_is_waited_for() {
    let status = "status: {conditions: [{type: DisruptionTarget, status: 'True', reason: PreemptionByScheduler}]}";
    let yaml = FULL.replace("name: low", &format!("name: low, going: true, {status}"))
        + "status: {nominatedNodeName: n1}\n";
    expect!["0/2 nodes are available: 2 Insufficient cpu. preemption: not eligible due to a terminating pod on the nominated node."]
        .assert_eq(&preemption(&yaml, &[]));
}

#[test]
fn room_that_was_made_is_not_for_the_less_important() {
    let (mut world, pod) = world(
        "nodes: [{name: n1}]\npod: {priority: 1, containers: [{name: c, resources: {requests: {cpu: '2'}}}]}",
    );
    let spec = json!({"priority": 10, "containers": [{"name": "c", "resources": {"requests": {"cpu": "1"}}}]});
    let other = tests::pod("default", "vip", &Value::Null, &spec);
    world.nominate("n1", Arc::new(PodInfo::of(Arc::new(other))));
    let choose = |pod: &PodInfo| choose::choose(&world, pod, &Volumes::default(), &[], &mut 0);
    assert!(matches!(choose(&pod), Choice::Nowhere(_)));
    let more = json!({"priority": 11, "containers": [{"name": "c", "resources": {"requests": {"cpu": "2"}}}]});
    let more = tests::pod("default", "more", &Value::Null, &more);
    let found = choose(&PodInfo::of(Arc::new(more)));
    assert_eq!(found, Choice::On("n1".into()));
}

#[test]
fn pods_of_a_workload_spread_over_nodes_by_themselves() {
    let owner = json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "rs", "uid": "rs", "controller": true}]);
    let (mut world, mut pod) = world(
        "nodes: [{name: n1}, {name: n2}]\npods: [{on: n2, spec: {containers: [{name: c, resources: {requests: {cpu: 400m}}}]}}]",
    );
    let owned = |name: &str| {
        let mut pod = tests::pod("default", name, &Value::Null, &Value::Null);
        pod.metadata.owner_references = serde_json::from_value(owner.clone()).unwrap();
        PodInfo::of(Arc::new(pod))
    };
    world.put("n1", Arc::new(owned("a")));
    pod = PodInfo {
        pod: owned("b").pod,
        ..pod
    };
    let found = choose::choose(&world, &pod, &Volumes::default(), &[], &mut 0);
    assert_eq!(
        found,
        Choice::On("n2".into()),
        "although there is less room"
    );
}

proptest! {
    /// Families are counted as pods come, change and go, and always as somebody would count them who looks at every pod.
    #[test]
    fn families_are_counted_right(steps in prop::collection::vec((0..6_usize, 0..4_usize, 0..3_usize, any::<bool>()), 1..60)) {
        let mut world = Snapshot::default();
        for (pod, node, owner, going) in steps {
            let (name, node) = (format!("p{pod}"), format!("n{node}"));
            if node == "n0" {
                world.take(&format!("uid-{name}"));
                // The node comes with the first pod that goes.
                let n1 = json!({"metadata": {"name": "n1"}});
                world.set_node("n1", Some(Arc::new(serde_json::from_value(n1).unwrap())));
                continue;
            }
            let mut pod = tests::pod("default", &name, &Value::Null, &Value::Null);
            let owners = json!([{"apiVersion": "v1", "kind": "X", "name": "x", "uid": format!("o{owner}"), "controller": owner != 0}]);
            pod.metadata.owner_references = serde_json::from_value(owners).unwrap();
            pod.metadata.deletion_timestamp = going.then_some(Time(Timestamp::UNIX_EPOCH));
            world.put(&node, Arc::new(PodInfo::of(Arc::new(pod))));
            for owner in ["o0", "o1", "o2"] {
                let is_meant = |other: &PodInfo| {
                    !other.is_going() && crate::pod::controller(&other.pod).is_some_and(|o| o.uid == owner)
                };
                let counted = world.placed().filter(|(_, pod)| is_meant(pod)).count();
                let known: usize = world.family(owner).map(|(_, count)| count).sum();
                prop_assert_eq!(known, counted, "{}", owner);
            }
        }
    }
}

#[test]
fn preferred_neighbours_count() {
    let zones = "nodes: [{name: n1, labels: {zone: a}}, {name: n2, labels: {zone: b}}]\npods: [{on: n2, labels: {app: db}}]\n";
    let wish = |kind: &str| {
        format!(
            "pod: {{affinity: {{{kind}: {{preferredDuringSchedulingIgnoredDuringExecution: [{{weight: 50, podAffinityTerm: {{topologyKey: zone, labelSelector: {{matchLabels: {{app: db}}}}}}}}]}}}}}}\n{zones}"
        )
    };
    assert_eq!(place(&wish("podAffinity")), "n2");
    assert_eq!(place(&wish("podAntiAffinity")), "n1");
    let shy = zones.replace(
        "labels: {app: db}",
        "spec: {affinity: {podAffinity: {preferredDuringSchedulingIgnoredDuringExecution: [{weight: 50, podAffinityTerm: {topologyKey: zone, labelSelector: {matchLabels: {app: web}}}}]}}}",
    );
    assert_eq!(place(&shy), "n2", "others' wishes count too");
}

#[test]
fn in_a_large_cluster_a_part_of_the_nodes_is_looked_at_in_turn() {
    let nodes: Vec<String> = (0..1000).map(|at| format!("{{name: n{at:04}}}")).collect();
    let (world, pod) = world(&format!("nodes: [{}]", nodes.join(", ")));
    let mut start = 0;
    let first = choose::choose(&world, &pod, &Volumes::default(), &[], &mut start);
    assert_eq!((first, start), (Choice::On("n0000".into()), 420));
    let second = choose::choose(&world, &pod, &Volumes::default(), &[], &mut start);
    assert_eq!((second, start), (Choice::On("n0420".into()), 840));
    let third = choose::choose(&world, &pod, &Volumes::default(), &[], &mut start);
    assert_eq!((third, start), (Choice::On("n0000".into()), 260));
}

/// A pod that waits for a node.
fn pending(name: &str, priority: i32) -> Arc<PodInfo> {
    let spec = json!({"priority": priority});
    let pod = pod("default", name, &Value::Null, &spec);
    Arc::new(PodInfo::of(Arc::new(pod)))
}

#[tokio::test(start_paused = true)]
async fn of_pods_that_are_due_at_once_the_first_to_wait_is_first() {
    let mut queue = Queue::default();
    for name in ["z", "a"] {
        queue.put(pending(name, 0));
        queue.next(Instant::now());
    }
    for uid in ["uid-z", "uid-a"] {
        queue.again(uid, Instant::now());
    }
    tokio::time::advance(Duration::from_secs(1)).await;
    let next = || queue.next(Instant::now()).map(|pod| pod.name().to_owned());
    let order: Vec<_> = std::iter::from_fn(next).collect();
    assert_eq!(order, ["z", "a"]);
}

#[tokio::test(start_paused = true)]
async fn the_queue_has_an_order_and_pauses() {
    let mut queue = Queue::default();
    for (name, priority) in [("a", 0), ("b", 5), ("c", 0)] {
        queue.put(pending(name, priority));
    }
    let next = |queue: &mut Queue| queue.next(Instant::now()).map(|pod| pod.name().to_owned());
    let order: Vec<_> = std::iter::from_fn(|| next(&mut queue)).collect();
    assert_eq!(order, ["b", "a", "c"]);
    queue.park("uid-b", Causes::NODE);
    queue.park("uid-a", Causes::NODE.and(Causes::LESS));
    queue.remove("uid-c");
    queue.wake(Causes::MORE, Instant::now());
    assert_eq!(queue.next_due(), None, "nothing that helps");
    queue.put(pending("b", 5));
    assert_eq!(next(&mut queue), None, "nothing new of it");
    queue.wake(Causes::LESS, Instant::now());
    let due = queue.next_due().expect("it waits for a moment");
    assert_eq!(due - Instant::now(), Duration::from_secs(1));
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(next(&mut queue).as_deref(), Some("a"));
    queue.again("uid-a", Instant::now());
    let due = queue.next_due().expect("it waits again");
    assert_eq!(due - Instant::now(), Duration::from_secs(2));
}
