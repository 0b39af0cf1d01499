//! How long kubelets may keep what they have read of Secrets and ConfigMaps: the longer, the more nodes there are.
//!
//! Reads the number of nodes; writes the annotation `node.alpha.kubernetes.io/ttl` of each, in seconds, when something
//! else happens to the node: that the number of nodes changed is nothing to wake all of them for.

#[cfg(test)]
mod tests;

use std::convert::Infallible;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Node;
use kube::core::ApiResource;
use runtime::{Change, Cx, GatherError, ObjectRef, Outcome, Plan, Reconciler, Selector};
use serde_json::{Value, json};

const ANNOTATION: &str = "node.alpha.kubernetes.io/ttl";

/// From how many nodes, to how many, and the seconds then. They overlap, so that a cluster at an edge does not go to and
/// fro.
const STEPS: [(usize, usize, u32); 5] = [
    (0, 100, 0),
    (90, 500, 15),
    (450, 1000, 30),
    (900, 2000, 60),
    (1800, usize::MAX, 300),
];

/// Writes the annotation.
#[derive(Clone, Copy, Debug, Default)]
pub struct NodeTtlController;

/// One node among the others.
#[derive(Debug)]
pub struct World {
    pub(crate) node: Node,
    /// All nodes of the cluster.
    pub(crate) count: usize,
}

impl Reconciler for NodeTtlController {
    const NAME: &'static str = "nodettl";
    const REPORTER: &'static str = "ttl-controller";
    type Object = Node;
    type World = World;
    type Act = Infallible;

    async fn gather(&self, cx: &Cx, node: &Node) -> Result<World, GatherError> {
        let nodes = ApiResource::erase::<Node>(&());
        let all = cx.cluster().entries(&nodes, None, &Selector::all()).await?;
        Ok(World {
            node: node.clone(),
            count: all.len(),
        })
    }

    fn plan(world: &World, _now: Timestamp) -> Plan<Infallible> {
        plan(world)
    }

    fn status(_: &World, _: &Plan<Infallible>, _: &Outcome, _: Timestamp) -> Option<Value> {
        None
    }
}

fn plan(world: &World) -> Plan<Infallible> {
    let mut plan = Plan::default();
    let meta = &world.node.metadata;
    let known = meta
        .annotations
        .as_ref()
        .and_then(|all| all.get(ANNOTATION));
    let wanted = seconds(known.and_then(|known| known.parse().ok()), world.count).to_string();
    if meta.deletion_timestamp.is_some() || known == Some(&wanted) {
        return plan;
    }
    plan.changes.push(Change::Patch {
        target: ObjectRef {
            group: String::new(),
            version: "v1".into(),
            kind: "Node".into(),
            namespace: String::new(),
            name: meta.name.clone().unwrap_or_default(),
        },
        subresource: "",
        patch: json!({"metadata": {"uid": meta.uid, "annotations": {ANNOTATION: wanted}}}),
    });
    plan
}

/// The seconds with `count` nodes, when they were `known` before.
fn seconds(known: Option<u32>, count: usize) -> u32 {
    let holds = |(from, to, _): &(usize, usize, u32)| (*from..=*to).contains(&count);
    let mut steps = STEPS.iter().filter(|step| holds(step)).map(|step| step.2);
    let found = match known {
        Some(known) if steps.clone().any(|seconds| seconds == known) => return known,
        // From above the higher of two is reached first, and from below the lower one.
        Some(known) if steps.clone().all(|seconds| seconds < known) => steps.next_back(),
        _ => steps.next(),
    };
    found.unwrap_or_default()
}
