//! How a new pod of a DaemonSet looks. Pure.

use kube::core::DynamicObject;
use serde_json::{Value, json};

use super::look::{GENERATION_LABEL, Look};
use crate::history::REVISION_LABEL;
use crate::pod::{self, Name};

/// A new pod for this node.
pub(super) fn pod(look: &Look<'_>, name: &Name, node: &str) -> DynamicObject {
    let keeper = look.owner.keeper;
    let template = Some(look.owner.template);
    let mut pod = pod::from_template(template, name, keeper.namespace(), &keeper.reference());
    let labels = pod.metadata.labels.get_or_insert_default();
    labels.insert(REVISION_LABEL.into(), look.revision.hash.clone());
    if let Some(generation) = look.generation {
        labels.insert(GENERATION_LABEL.into(), generation.clone());
    }
    let spec = &mut pod.data["spec"];
    spec["tolerations"] = json!(look.tolerations);
    bind(spec, node);
    pod
}

/// Makes the affinity name the node, in place of whatever it required of nodes: the node has been checked against that.
fn bind(spec: &mut Value, node: &str) {
    let field = json!({"key": "metadata.name", "operator": "In", "values": [node]});
    let required = json!({"nodeSelectorTerms": [{"matchFields": [field]}]});
    spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"] = required;
}
