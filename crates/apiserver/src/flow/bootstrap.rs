//! The flow schemas and priority levels that every cluster has: who is served before whom when there is too much to do.

use std::sync::LazyLock;

use serde_json::{Value, json};

use super::{LEVELS, SCHEMAS};
use crate::object::Key;

/// Says that the server keeps the spec as it is here.
pub(super) const AUTO_UPDATE: &str = "apf.kubernetes.io/autoupdate-spec";
/// The level whose requests never wait.
pub(super) const EXEMPT: &str = "exempt";
/// Of the schema and the level for whatever nothing else fits.
pub(super) const CATCH_ALL: &str = "catch-all";

static OBJECTS: LazyLock<Vec<(Key, Value)>> = LazyLock::new(make);

/// The objects, without uid and creation time.
pub(crate) fn bootstrap_objects() -> &'static [(Key, Value)] {
    &OBJECTS
}

/// The spec that the FlowSchema `name` must have; `None` if it is free.
pub(crate) fn mandatory_schema(name: &str) -> Option<&'static Value> {
    mandatory(SCHEMAS, name)
}

/// The spec that the PriorityLevelConfiguration `name` must have, except `exempt`; `None` if it is free.
pub(crate) fn mandatory_level(name: &str) -> Option<&'static Value> {
    mandatory(LEVELS, name)
}

fn mandatory(resource: &str, name: &str) -> Option<&'static Value> {
    let is_it = |key: &Key| *key.resource == *resource && *key.name == *name;
    let fixed = OBJECTS.iter().find(|(key, _)| is_it(key));
    fixed
        .filter(|_| [EXEMPT, CATCH_ALL].contains(&name))
        .map(|(_, object)| &object["spec"])
}

fn make() -> Vec<(Key, Value)> {
    let levels = [
        ("catch-all", 5, 0, None),
        ("system", 30, 33, Some((64, 6))),
        ("node-high", 40, 25, Some((64, 6))),
        ("leader-election", 10, 0, Some((16, 4))),
        ("workload-high", 40, 50, Some((128, 6))),
        ("workload-low", 100, 90, Some((128, 6))),
        ("global-default", 20, 50, Some((128, 6))),
    ];
    let mut objects: Vec<(Key, Value)> = levels
        .into_iter()
        .map(|(name, shares, lendable, queues)| {
            let response = match queues {
                None => json!({"type": "Reject"}),
                Some((queues, hand)) => json!({
                    "type": "Queue",
                    "queuing": {"queues": queues, "handSize": hand, "queueLengthLimit": 50},
                }),
            };
            level(name, json!({"type": "Limited", "limited": {
                "nominalConcurrencyShares": shares, "lendablePercent": lendable, "limitResponse": response,
            }}))
        })
        .collect();
    let exempt =
        json!({"type": "Exempt", "exempt": {"nominalConcurrencyShares": 0, "lendablePercent": 0}});
    objects.push(level(EXEMPT, exempt));
    objects.extend(schemas());
    objects
}

fn group(name: &str) -> Value {
    json!({"kind": "Group", "group": {"name": name}})
}

fn user(name: &str) -> Value {
    json!({"kind": "User", "user": {"name": name}})
}

fn resources(verbs: &[&str], group: &str, resources: &[&str], has_cluster_scope: bool) -> Value {
    let mut rule =
        json!({"verbs": verbs, "apiGroups": [group], "resources": resources, "namespaces": ["*"]});
    if has_cluster_scope {
        rule["clusterScope"] = true.into();
    }
    rule
}

/// Whatever these do.
fn any(subjects: &[Value]) -> Value {
    json!({
        "subjects": subjects,
        "resourceRules": [resources(&["*"], "*", &["*"], true)],
        "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
    })
}

fn schemas() -> Vec<(Key, Value)> {
    let everybody = [
        group("system:unauthenticated"),
        group("system:authenticated"),
    ];
    let nodes = [group("system:nodes")];
    let manager = [user("system:kube-controller-manager")];
    let scheduler = [user("system:kube-scheduler")];
    let system_accounts = [json!({"kind": "ServiceAccount",
        "serviceAccount": {"name": "*", "namespace": "kube-system"}})];
    let probes = json!({
        "subjects": everybody,
        "nonResourceRules": [{"verbs": ["get"], "nonResourceURLs": ["/healthz", "/readyz", "/livez"]}],
    });
    let leases = "coordination.k8s.io";
    let election = json!({
        "subjects": [manager[0], scheduler[0], system_accounts[0]],
        "resourceRules": [resources(&["get", "create", "update"], leases, &["leases"], false)],
    });
    let node_high = json!({
        "subjects": nodes,
        "resourceRules": [
            resources(&["*"], "", &["nodes", "nodes/status"], true),
            resources(&["*"], leases, &["leases"], false),
        ],
    });
    let accounts = [group("system:serviceaccounts")];
    let high = "workload-high";
    let (user, namespace) = ("ByUser", "ByNamespace");
    let rows: [(&str, &str, u32, &str, Value); 11] = [
        ("exempt", EXEMPT, 1, "", any(&[group("system:masters")])),
        ("probes", EXEMPT, 2, "", probes),
        (
            "system-leader-election",
            "leader-election",
            100,
            user,
            election,
        ),
        ("system-node-high", "node-high", 400, user, node_high),
        ("system-nodes", "system", 500, user, any(&nodes)),
        (
            "kube-controller-manager",
            high,
            800,
            namespace,
            any(&manager),
        ),
        ("kube-scheduler", high, 800, namespace, any(&scheduler)),
        (
            "kube-system-service-accounts",
            high,
            900,
            namespace,
            any(&system_accounts),
        ),
        (
            "service-accounts",
            "workload-low",
            9000,
            user,
            any(&accounts),
        ),
        (
            "global-default",
            "global-default",
            9900,
            user,
            any(&everybody),
        ),
        (CATCH_ALL, CATCH_ALL, 10000, user, any(&everybody)),
    ];
    rows.into_iter().map(schema).collect()
}

fn level(name: &str, spec: Value) -> (Key, Value) {
    let object = json!({
        "apiVersion": "flowcontrol.apiserver.k8s.io/v1", "kind": "PriorityLevelConfiguration",
        "metadata": {"name": name, "generation": 1, "annotations": {AUTO_UPDATE: "true"}},
        "spec": spec, "status": {},
    });
    (Key::new(LEVELS, "", name), object)
}

/// A schema by its name, its level, its precedence, what tells its flows apart, and its only rule.
fn schema(row: (&str, &str, u32, &str, Value)) -> (Key, Value) {
    let (name, level, precedence, distinguisher, rule) = row;
    let mut spec = json!({
        "priorityLevelConfiguration": {"name": level}, "matchingPrecedence": precedence, "rules": [rule],
    });
    if !distinguisher.is_empty() {
        spec["distinguisherMethod"] = json!({"type": distinguisher});
    }
    let object = json!({
        "apiVersion": "flowcontrol.apiserver.k8s.io/v1", "kind": "FlowSchema",
        "metadata": {"name": name, "generation": 1, "annotations": {AUTO_UPDATE: "true"}},
        "spec": spec,
        "status": {"conditions": [super::conditions::dangling(level, true, crate::first::BASE_CREATED)]},
    });
    (Key::new(SCHEMAS, "", name), object)
}
