//! What a machine on its way out still gets from its owner: how long each step may take, and what its readiness depends on. Pure.

use api::cluster::Machine;
use kube::core::DynamicObject;
use runtime::Change;
use serde_json::{Map, Value, json};

use crate::machine::NODE_DELETION_SECONDS;
use crate::object;

/// Fields of the spec that change as a whole.
const FIELDS: [&str; 3] = ["readinessGates", "minReadySeconds", "taints"];
const TIMES: [&str; 3] = [
    "nodeDrainTimeoutSeconds",
    "nodeVolumeDetachTimeoutSeconds",
    "nodeDeletionTimeoutSeconds",
];

/// The fields in which the machine differs from `wanted`, the machine as its owner wants it; nothing else of it changes any more.
#[must_use]
pub(crate) fn follow<A>(machine: &Machine, wanted: &DynamicObject) -> Option<Change<A>> {
    let have = serde_json::to_value(&machine.spec).unwrap_or_default();
    let want = &wanted.data["spec"];
    let mut patch = changed(&FIELDS, &have, want);
    let mut times = changed(&TIMES, &have["deletion"], &want["deletion"]);
    // Every Machine has this one: what its owner left out is filled.
    if have["deletion"][TIMES[2]] == NODE_DELETION_SECONDS {
        times.retain(|field, value| field != TIMES[2] || !value.is_null());
    }
    if !times.is_empty() {
        patch.insert("deletion".to_owned(), Value::Object(times));
    }
    (!patch.is_empty()).then(|| Change::Patch {
        target: object::target(machine),
        subresource: "",
        patch: json!({"spec": patch}),
    })
}

/// What to merge into `have` so that these fields are as in `want`.
fn changed(fields: &[&str], have: &Value, want: &Value) -> Map<String, Value> {
    let is_empty = |value: &Value| value.is_null() || value.as_array().is_some_and(Vec::is_empty);
    fields
        .iter()
        .map(|field| (*field, &have[*field], &want[*field]))
        .filter(|(_, have, want)| have != want && !(is_empty(have) && is_empty(want)))
        .map(|(field, _, want)| (field.to_owned(), want.clone()))
        .collect()
}
