//! The tree of a fleet, and how it is printed. Pure.

use serde::Serialize;
use serde_json::Value;

use super::World;
use crate::object::{is_deleting, name, namespace, plural};
use crate::ui::{Role, Ui};

/// Label and field names that tie the objects together.
const CLUSTER_NAME: &str = "cluster.x-k8s.io/cluster-name";
const CONTROL_PLANE: &str = "cluster.x-k8s.io/control-plane";

/// How something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum State {
    Ready,
    /// On its way, or waiting for something named in the reason.
    Waiting,
    /// It will not become ready without somebody doing something.
    Failed,
}

/// One thing of the fleet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Node {
    pub kind: &'static str,
    pub name: String,
    pub state: State,
    /// A few words about it when all is well.
    pub summary: String,
    /// Why it is not ready; empty if it is.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub children: Vec<Node>,
}

impl Node {
    /// Whether this and everything below is ready.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.state == State::Ready && self.children.iter().all(Node::is_ready)
    }
}

/// The fleet, by organization; clusters and apps outside any organization's namespace come last.
#[must_use]
pub fn tree(world: &World) -> Vec<Node> {
    let mut nodes: Vec<Node> = world
        .organizations
        .iter()
        .map(|organization| organization_node(world, organization))
        .collect();
    let namespaces: Vec<String> = world
        .organizations
        .iter()
        .map(|o| format!("org-{}", name(o)))
        .collect();
    let is_outside = |object: &&Value| !namespaces.contains(&namespace(object).to_owned());
    nodes.extend(
        world
            .clusters
            .iter()
            .filter(is_outside)
            .map(|cluster| cluster_node(world, cluster)),
    );
    nodes.extend(world.apps.iter().filter(is_outside).map(app_node));
    nodes.extend(
        world
            .catalogs
            .iter()
            .map(catalog_node)
            .filter(|node| node.state != State::Ready),
    );
    nodes
}

fn organization_node(world: &World, organization: &Value) -> Node {
    let expected = format!("org-{}", name(organization));
    let is_ready = organization["status"]["namespace"] == expected
        && condition_status(organization, "Ready") != "False"
        && !is_deleting(organization);
    let (reason, message) = condition(organization, "Ready")
        .filter(|_| !is_ready)
        .unwrap_or_default();
    let in_namespace = |object: &&Value| namespace(object) == expected;
    let mut children: Vec<Node> = world
        .clusters
        .iter()
        .filter(in_namespace)
        .map(|c| cluster_node(world, c))
        .collect();
    children.extend(world.apps.iter().filter(in_namespace).map(app_node));
    Node {
        kind: "organization",
        name: name(organization).to_owned(),
        state: if is_ready {
            State::Ready
        } else {
            State::Waiting
        },
        summary: format!("namespace {expected}"),
        reason: match reason.as_str() {
            "" if is_deleting(organization) => "Deleting".into(),
            "" if !is_ready => "NamespaceMissing".into(),
            _ => reason,
        },
        message,
        children,
    }
}

fn cluster_node(world: &World, cluster: &Value) -> Node {
    let is_part = |object: &&Value| {
        namespace(object) == namespace(cluster)
            && (object["spec"]["clusterName"] == name(cluster)
                || object["metadata"]["labels"][CLUSTER_NAME] == name(cluster))
    };
    let mut children = vec![];
    for control_plane in world.control_planes.iter().filter(is_part) {
        let machines: Vec<&Value> = world
            .machines
            .iter()
            .filter(is_part)
            .filter(|m| !m["metadata"]["labels"][CONTROL_PLANE].is_null())
            .collect();
        children.push(replicas_node(
            world,
            "control plane",
            control_plane,
            &machines,
        ));
    }
    let deployments = world.machine_deployments.iter();
    let deployments = deployments.map(|d| (d, "cluster.x-k8s.io/deployment-name"));
    let pools = world.machine_pools.iter();
    let pools = pools.map(|p| (p, "cluster.x-k8s.io/pool-name"));
    for (owner, label) in deployments.chain(pools).filter(|(part, _)| is_part(part)) {
        let is_its = |m: &&Value| m["metadata"]["labels"][label] == name(owner);
        let machines = world.machines.iter().filter(is_part);
        let machines: Vec<&Value> = machines.filter(is_its).collect();
        children.push(replicas_node(world, "workers", owner, &machines));
    }
    // As its parts say it, which are shown below: the cluster's own counts follow theirs.
    let count = |parts: &[Value]| -> i64 {
        let available = parts.iter().filter(is_part);
        available
            .filter_map(|part| part["status"]["availableReplicas"].as_i64())
            .sum()
    };
    let version = world
        .control_planes
        .iter()
        .filter(is_part)
        .find_map(|c| c["spec"]["version"].as_str())
        .unwrap_or_default();
    let summary = format!(
        "{}, {}, kubernetes {version}",
        plural(count(&world.control_planes), "control plane"),
        plural(
            count(&world.machine_deployments) + count(&world.machine_pools),
            "worker"
        )
    );
    let mut node = conditioned("cluster", cluster, "Available", summary);
    if is_deleting(cluster) {
        node.summary = "being deleted".into();
    }
    node.children = children;
    node
}

fn replicas_node(world: &World, kind: &'static str, object: &Value, machines: &[&Value]) -> Node {
    let wanted = object["spec"]["replicas"].as_i64().unwrap_or(1);
    let available = object["status"]["availableReplicas"].as_i64().unwrap_or(0);
    let up_to_date = object["status"]["upToDateReplicas"].as_i64().unwrap_or(0);
    let summary = format!("{available}/{wanted} available, {up_to_date} up to date");
    let mut node = conditioned(kind, object, "Available", summary);
    let have = object["status"]["replicas"].as_i64().unwrap_or(0);
    // Pools of some providers have no objects for their machines.
    let seen = if object["kind"] == "MachinePool" && machines.is_empty() {
        have
    } else {
        machines.len() as i64
    };
    // The status may lag behind the machines for a moment, and must have come to rest as they have.
    let is_settled = [available, up_to_date, have, seen]
        .iter()
        .all(|count| *count == wanted);
    if node.state == State::Ready && !is_settled {
        node.state = State::Waiting;
        node.reason = if have.max(seen) > wanted {
            "RollingOut".into()
        } else {
            "ScalingUp".into()
        };
    }
    node.children = machines
        .iter()
        .map(|machine| machine_node(world, machine))
        .collect();
    node
}

fn machine_node(world: &World, machine: &Value) -> Node {
    let version = machine["spec"]["version"].as_str().unwrap_or_default();
    let phase = machine["status"]["phase"].as_str().unwrap_or("Pending");
    let mut node = conditioned(
        "machine",
        machine,
        "Available",
        format!("{} {version}", phase.to_lowercase()),
    );
    // The machine's own provider knows more than the machine.
    let local = world
        .local_machines
        .iter()
        .find(|l| namespace(l) == namespace(machine) && name(l) == name(machine));
    if let Some((reason, message)) = local
        .and_then(failure)
        .filter(|_| node.state != State::Ready)
    {
        node.state = State::Failed;
        (node.reason, node.message) = (reason, message);
    }
    node
}

/// Reason and message of the condition that says that the machine will not come up by itself.
fn failure(local: &Value) -> Option<(String, String)> {
    let conditions = local["status"]["conditions"].as_array()?.iter();
    let failed = |c: &&Value| {
        matches!(
            c["reason"].as_str(),
            Some("BootFailed" | "ProvisioningFault")
        )
    };
    let failed = conditions.filter(|c| c["status"] == "False").find(failed)?;
    condition(local, failed["type"].as_str().unwrap_or_default())
}

fn app_node(app: &Value) -> Node {
    let status = app["status"]["release"]["status"]
        .as_str()
        .unwrap_or_default();
    let version = app["status"]["version"]
        .as_str()
        .or_else(|| app["spec"]["version"].as_str())
        .unwrap_or_default();
    let is_current = version.trim_start_matches('v')
        == app["spec"]["version"]
            .as_str()
            .unwrap_or_default()
            .trim_start_matches('v');
    let state = match status {
        "deployed" if is_current && !is_deleting(app) => State::Ready,
        "" | "deployed" | "pending-install" | "pending-upgrade" | "unknown" => State::Waiting,
        _ => State::Failed,
    };
    let reason = match (state, status) {
        (State::Ready, _) => String::new(),
        (_, "deployed") if is_deleting(app) => {
            condition(app, "Ready").map_or_else(|| "Deleting".into(), |(reason, _)| reason)
        }
        (_, "") => {
            condition(app, "Ready").map_or_else(|| "NotReconciledYet".into(), |(reason, _)| reason)
        }
        (_, status) => status.to_owned(),
    };
    let message = app["status"]["release"]["reason"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    let message = if message.is_empty() {
        condition(app, "Ready").map(|(_, m)| m).unwrap_or_default()
    } else {
        message
    };
    let target = app["spec"]["kubeConfig"]["context"]["name"]
        .as_str()
        .or_else(|| app["metadata"]["labels"]["giantswarm.io/cluster"].as_str());
    let on = target.map_or_else(
        || "the management cluster".to_owned(),
        |cluster| format!("cluster {cluster}"),
    );
    Node {
        kind: "app",
        name: name(app).to_owned(),
        state,
        summary: format!(
            "{} {version} on {on}",
            if status.is_empty() { "waiting" } else { status }
        ),
        message: if state == State::Ready {
            String::new()
        } else {
            message
        },
        reason,
        children: vec![],
    }
}

fn catalog_node(catalog: &Value) -> Node {
    match condition(catalog, "Ready") {
        Some((reason, message)) if condition_status(catalog, "Ready") == "False" => Node {
            kind: "catalog",
            name: name(catalog).to_owned(),
            state: State::Failed,
            summary: String::new(),
            reason,
            message,
            children: vec![],
        },
        _ => conditionless("catalog", catalog),
    }
}

fn conditionless(kind: &'static str, object: &Value) -> Node {
    let name = name(object).to_owned();
    Node {
        kind,
        name,
        state: State::Ready,
        summary: String::new(),
        reason: String::new(),
        message: String::new(),
        children: vec![],
    }
}

/// A node whose state is a condition of its object.
fn conditioned(kind: &'static str, object: &Value, ty: &str, summary: String) -> Node {
    let is_true = condition_status(object, ty) == "True";
    let (reason, message) =
        condition(object, ty).unwrap_or_else(|| ("NotReconciledYet".into(), String::new()));
    let is_current = object["status"]["observedGeneration"].is_null()
        || object["status"]["observedGeneration"] == object["metadata"]["generation"];
    let (state, reason, message) = match (is_true, is_current) {
        (true, true) => (State::Ready, String::new(), String::new()),
        (true, false) => (State::Waiting, "NotReconciledYet".into(), String::new()),
        (false, _) => (State::Waiting, reason, message),
    };
    let state = if is_deleting(object) {
        State::Waiting
    } else {
        state
    };
    let (reason, message) = match condition(object, "Deleting").filter(|_| is_deleting(object)) {
        Some(deleting) => deleting,
        None => (reason, message),
    };
    Node {
        kind,
        name: name(object).to_owned(),
        state,
        summary,
        reason,
        message,
        children: vec![],
    }
}

fn condition<'a>(object: &'a Value, ty: &str) -> Option<(String, String)> {
    let text = |c: &'a Value, field: &str| c[field].as_str().unwrap_or_default().to_owned();
    let condition = object["status"]["conditions"]
        .as_array()?
        .iter()
        .find(|c| c["type"] == ty)?;
    Some((text(condition, "reason"), text(condition, "message")))
}

fn condition_status<'a>(object: &'a Value, ty: &str) -> &'a str {
    let conditions = object["status"]["conditions"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    conditions
        .iter()
        .find(|c| c["type"] == ty)
        .and_then(|c| c["status"].as_str())
        .unwrap_or_default()
}

/// The tree as lines: ready things in one line each, machines only where they matter or `all` is asked for.
#[must_use]
pub fn text(nodes: &[Node], ui: &Ui, all: bool) -> String {
    let mut lines = vec![];
    for node in nodes {
        print(node, "", "", ui, all, &mut lines);
    }
    lines.join("\n")
}

fn print(node: &Node, lead: &str, below: &str, ui: &Ui, all: bool, lines: &mut Vec<String>) {
    let (mark, role) = match node.state {
        State::Ready => ("✓", Role::Good),
        State::Waiting => ("…", Role::Waiting),
        State::Failed => ("✗", Role::Bad),
    };
    let mut line = format!("{lead}{} {} {}", ui.paint(role, mark), node.kind, node.name);
    if !node.summary.is_empty() {
        line.push_str(&format!("  {}", ui.paint(Role::Faint, &node.summary)));
    }
    lines.push(line);
    let shown: Vec<&Node> = node
        .children
        .iter()
        .filter(|child| all || child.kind != "machine" || !child.is_ready())
        .collect();
    if !node.reason.is_empty() {
        let bar = if shown.is_empty() { "   " } else { "│  " };
        let why = if node.message.is_empty() {
            node.reason.clone()
        } else {
            format!("{}: {}", node.reason, node.message)
        };
        for part in why.lines() {
            lines.push(format!("{below}{bar}{}", ui.paint(role, part)));
        }
    }
    for (at, child) in shown.iter().enumerate() {
        let is_last = at + 1 == shown.len();
        let (branch, trunk) = if is_last {
            ("└─ ", "   ")
        } else {
            ("├─ ", "│  ")
        };
        print(
            child,
            &format!("{below}{branch}"),
            &format!("{below}{trunk}"),
            ui,
            all,
            lines,
        );
    }
}
