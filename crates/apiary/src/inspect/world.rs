//! A cluster with everything that belongs to it, and what refers to what. Pure.

use std::collections::BTreeMap;

use api::meta::labels;
use serde_json::Value;

use crate::object::{group, kind, label, name};

/// Group of Cluster API's own kinds.
pub const CLUSTER_GROUP: &str = "cluster.x-k8s.io";

/// Names an object within the namespace of its cluster.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    pub group: String,
    pub kind: String,
    pub name: String,
}

impl Key {
    #[must_use]
    pub fn of(object: &Value) -> Self {
        Self {
            group: group(object).to_owned(),
            kind: kind(object).to_owned(),
            name: name(object).to_owned(),
        }
    }
}

/// A field that names another object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// Where it is, e.g. `spec.infrastructureRef`.
    pub field: &'static str,
    pub to: Key,
    /// Where the other object is, if not in the same namespace.
    pub namespace: Option<String>,
}

/// Why there is nothing behind a reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// Its kind is served, but there is no such object.
    Object,
    /// Its kind is not served: its provider is not installed.
    Kind,
}

/// What is known of a cluster.
#[derive(Clone, Debug, Default)]
pub struct World {
    /// The Cluster; null if only its parts are there.
    pub cluster: Value,
    /// Everything else.
    pub objects: BTreeMap<Key, Value>,
    /// What is referred to and is not there.
    pub missing: BTreeMap<Key, Missing>,
}

impl World {
    /// Objects of a kind, by name.
    pub fn of_kind<'a>(&'a self, wanted: &'a str) -> impl Iterator<Item = &'a Value> + 'a {
        self.objects
            .values()
            .filter(move |object| kind(object) == wanted)
    }

    #[must_use]
    pub fn get(&self, key: &Key) -> Option<&Value> {
        if !self.cluster.is_null() && Key::of(&self.cluster) == *key {
            return Some(&self.cluster);
        }
        self.objects.get(key)
    }

    /// What a field of an object refers to.
    #[must_use]
    pub fn referred(&self, object: &Value, field: &str) -> Option<&Value> {
        let found = references(object).into_iter().find(|r| r.field == field)?;
        self.get(&found.to)
    }

    /// References of an object that lead to nothing.
    #[must_use]
    pub fn dangling(&self, object: &Value) -> Vec<(Reference, Missing)> {
        let all = references(object).into_iter();
        all.filter_map(|reference| {
            let missing = *self.missing.get(&reference.to)?;
            Some((reference, missing))
        })
        .collect()
    }

    #[must_use]
    pub fn control_plane(&self) -> Option<&Value> {
        self.referred(&self.cluster, "spec.controlPlaneRef")
    }

    #[must_use]
    pub fn infrastructure(&self) -> Option<&Value> {
        self.referred(&self.cluster, "spec.infrastructureRef")
    }

    /// Node pools: MachineDeployments, then MachinePools.
    pub fn pools(&self) -> impl Iterator<Item = &Value> {
        self.of_kind("MachineDeployment")
            .chain(self.of_kind("MachinePool"))
    }

    /// Machines of the control plane.
    pub fn control_plane_machines(&self) -> impl Iterator<Item = &Value> {
        self.of_kind("Machine").filter(|m| is_control_plane(m))
    }

    /// Machines of a node pool or set, by the label that their owners give them or by ownership.
    pub fn machines_of<'a>(&'a self, owner: &'a Value) -> impl Iterator<Item = &'a Value> + 'a {
        let by_label = match kind(owner) {
            "MachineDeployment" => labels::DEPLOYMENT_NAME,
            "MachineSet" => labels::SET_NAME,
            _ => labels::POOL_NAME,
        };
        self.of_kind("Machine").filter(move |machine| {
            label(machine, by_label) == Some(name(owner)) || is_controlled_by(machine, owner)
        })
    }

    /// Sets of a MachineDeployment.
    pub fn sets_of<'a>(&'a self, deployment: &'a Value) -> impl Iterator<Item = &'a Value> + 'a {
        self.of_kind("MachineSet")
            .filter(move |set| is_controlled_by(set, deployment))
    }
}

/// Whether a machine runs the control plane.
#[must_use]
pub fn is_control_plane(machine: &Value) -> bool {
    label(machine, labels::CONTROL_PLANE).is_some()
}

/// Whether the one object manages the other.
#[must_use]
pub fn is_controlled_by(object: &Value, owner: &Value) -> bool {
    crate::object::controller(object) == Some((kind(owner), name(owner)))
}

/// Fields of Cluster API's objects that name other objects.
const FIELDS: &[&str] = &[
    "spec.infrastructureRef",
    "spec.controlPlaneRef",
    "spec.topology.classRef",
    "spec.bootstrap.configRef",
    "spec.template.spec.bootstrap.configRef",
    "spec.template.spec.infrastructureRef",
    "spec.machineTemplate.spec.infrastructureRef",
    "spec.machineTemplate.infrastructureRef",
    "spec.remediation.templateRef",
];

/// What an object refers to.
#[must_use]
pub fn references(object: &Value) -> Vec<Reference> {
    let all = FIELDS.iter().filter_map(|field| {
        let value = field.split('.').fold(object, |value, part| &value[part]);
        let text = |part: &str| value[part].as_str().filter(|text| !text.is_empty());
        // A class is named alone; other references have a kind, with a group or, in older versions, group and version.
        let is_class = *field == "spec.topology.classRef";
        let kind = text("kind").or_else(|| is_class.then_some("ClusterClass"))?;
        let group = text("apiGroup")
            .or_else(|| Some(text("apiVersion")?.split_once('/')?.0))
            .unwrap_or(CLUSTER_GROUP);
        Some(Reference {
            field,
            to: Key {
                group: group.to_owned(),
                kind: kind.to_owned(),
                name: text("name")?.to_owned(),
            },
            namespace: text("namespace").filter(|_| is_class).map(str::to_owned),
        })
    });
    all.collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn references_are_read_in_all_their_shapes() {
        let cluster = json!({"spec": {
            "infrastructureRef": {"apiGroup": "infra.x", "kind": "XCluster", "name": "a"},
            "controlPlaneRef": {"apiVersion": "control.x/v1", "kind": "XPlane", "name": "b"},
            "topology": {"classRef": {"name": "c", "namespace": "classes"}},
            "bootstrap": {"configRef": {"name": "kind is missing"}},
        }});
        let found: Vec<String> = references(&cluster)
            .iter()
            .map(|r| format!("{} {} {} {}", r.field, r.to.group, r.to.kind, r.to.name))
            .collect();
        assert_eq!(
            found,
            [
                "spec.infrastructureRef infra.x XCluster a",
                "spec.controlPlaneRef control.x XPlane b",
                "spec.topology.classRef cluster.x-k8s.io ClusterClass c",
            ]
        );
    }
}
