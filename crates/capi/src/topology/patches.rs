//! Patches of a ClusterClass: which templates they change, and to what, for one cluster's variables. Pure.

use api::cluster::cluster_class::{ClassPatch, JsonPatch, PatchSelector};
use api::cluster::cluster_class_rules::is_selected;
use api::cluster::topology::{Topology, Variable};
use api::cluster::variables::BUILTIN;
use api::cluster::{Cluster, ClusterClass, WorkersKind};
use api::meta::ContractRef;
use json_patch::{Patch, patch};
use kube::ResourceExt;
use serde_json::{Map, Value, json};

use super::external::{self, Externals};
use crate::hook::NamedHook;

/// What a template is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role<'a> {
    Infrastructure,
    ControlPlane,
    ControlPlaneMachines,
    /// How the machines of a class of workers boot.
    Bootstrap(WorkersKind, &'a str),
    /// What the machines of a class of workers are made from.
    Machines(WorkersKind, &'a str),
}

/// Where a template is used.
#[derive(Clone, Debug)]
pub(super) struct Place<'a> {
    pub role: Role<'a>,
    /// The object that refers to what is made from it.
    pub holder: ContractRef,
    /// API version of the holder.
    pub api_version: String,
    /// The entry of the topology, for workers.
    pub entry: Option<(WorkersKind, &'a str)>,
}

impl Place<'_> {
    /// What requests call the template: the same each time.
    pub(super) fn uid(&self) -> String {
        let field = self.field();
        match self.entry {
            Some((kind, entry)) => format!("{}/{entry}/{field}", kind.name()),
            None => format!("{}/{field}", self.holder.kind),
        }
    }

    /// Where the holder refers to it.
    fn field(&self) -> &'static str {
        match self.role {
            Role::Infrastructure => "spec.infrastructureRef",
            Role::ControlPlane => "spec.controlPlaneRef",
            Role::ControlPlaneMachines => "spec.machineTemplate.spec.infrastructureRef",
            Role::Bootstrap(..) => "spec.template.spec.bootstrap.configRef",
            Role::Machines(..) => "spec.template.spec.infrastructureRef",
        }
    }

    /// The same as extensions see it.
    pub(super) fn reference(&self, namespace: &str) -> Value {
        json!({
            "apiVersion": self.api_version, "kind": self.holder.kind, "namespace": namespace,
            "name": self.holder.name, "fieldPath": self.field(),
        })
    }
}

/// The values that templates of one part see: the cluster's, those that the part overrides, and what is known anyway.
pub(super) fn values(topology: &Topology, overrides: Option<&[Variable]>, builtin: Value) -> Value {
    let mut all = Map::new();
    let global = topology.variables.iter().flatten();
    for variable in global.chain(overrides.unwrap_or_default()) {
        all.insert(variable.name.clone(), variable.value.clone());
    }
    all.insert(BUILTIN.to_owned(), builtin);
    Value::Object(all)
}

/// `builtin.cluster`, as every part has it.
pub(super) fn builtin(cluster: &Cluster, topology: &Topology) -> Value {
    let (class_namespace, class) = cluster.class().unwrap_or_default();
    let network = cluster.spec.cluster_network.as_ref();
    let mut about = json!({
        "name": cluster.name_any(),
        "namespace": cluster.namespace().unwrap_or_default(),
        "uid": cluster.uid().unwrap_or_default(),
        "topology": {
            "version": topology.version,
            "class": class,
            "classNamespace": class_namespace,
            "classRef": {"name": class, "namespace": class_namespace},
        },
    });
    let mut known = Map::new();
    if let Some(domain) = network.and_then(|n| n.service_domain.as_ref()) {
        known.insert("serviceDomain".to_owned(), json!(domain));
    }
    let ranges = [
        ("services", network.and_then(|n| n.services.as_ref())),
        ("pods", network.and_then(|n| n.pods.as_ref())),
    ];
    for (name, ranges) in ranges {
        if let Some(ranges) = ranges {
            known.insert(name.to_owned(), json!(ranges.cidr_blocks));
        }
    }
    if !known.is_empty() {
        about["network"] = Value::Object(known);
    }
    let metadata = &cluster.metadata;
    let described = metadata.labels.is_some() || metadata.annotations.is_some();
    if described {
        let mut annotations = metadata.annotations.clone().unwrap_or_default();
        annotations.retain(|key, _| !IGNORED.contains(&key.as_str()));
        about["metadata"] = json!({
            "labels": metadata.labels.clone().unwrap_or_default(),
            "annotations": annotations,
        });
    }
    json!({ "cluster": about })
}

/// Annotations that clients and this controller write; a template that shows them would change by itself.
const IGNORED: [&str; 3] = [
    "kubectl.kubernetes.io/last-applied-configuration",
    "cluster.x-k8s.io/conversion-data",
    api::meta::labels::TOPOLOGY_UPGRADE_STEP,
];

/// What patches may put into one template, in bytes of JSON: a larger object could not be stored.
pub(super) const ADDED_MAX: usize = 1_500_000;

/// Changes a template as the class says, by all patches or by those before `until`.
///
/// # Errors
/// Which patch cannot be applied, and why.
pub(super) fn apply(
    class: &ClusterClass,
    place: &Place<'_>,
    template: &mut Value,
    values: &Value,
    (externals, until): (&Externals, Option<&str>),
) -> Result<(), String> {
    let mut room = ADDED_MAX;
    for patch in class.patches() {
        if until == Some(&patch.name) {
            break;
        }
        let applied = match &patch.external {
            Some(external) if external.generate_patches_extension.is_some() => {
                let key = (NamedHook::GeneratePatches, patch.name.clone());
                external::apply(externals.get(&key), &place.uid(), template)
            }
            Some(_) => Ok(()),
            None => apply_one(patch, place.role, (&mut *template, &mut room), values),
        };
        applied.map_err(|why| format!("patch {:?} of the ClusterClass: {why}", patch.name))?;
    }
    Ok(())
}

fn apply_one(
    patch: &ClassPatch,
    role: Role<'_>,
    (template, room): (&mut Value, &mut usize),
    values: &Value,
) -> Result<(), String> {
    let definitions = patch.definitions.iter().flatten();
    let mut definitions = definitions
        .filter(|d| is_meant(&d.selector, role, template))
        .peekable();
    if definitions.peek().is_none() || !is_enabled(patch, values)? {
        return Ok(());
    }
    let definitions: Vec<_> = definitions.collect();
    for definition in definitions {
        for change in &definition.json_patches {
            change_template(change, (&mut *template, &mut *room), values)
                .map_err(|why| format!("{} {}: {why}", change.op, change.path))?;
        }
    }
    Ok(())
}

fn is_meant(selector: &PatchSelector, role: Role<'_>, template: &Value) -> bool {
    let matches = &selector.match_resources;
    let is_kind =
        template["apiVersion"] == selector.api_version && template["kind"] == selector.kind;
    is_kind
        && match role {
            Role::Infrastructure => matches.infrastructure_cluster == Some(true),
            Role::ControlPlane | Role::ControlPlaneMachines => matches.control_plane == Some(true),
            Role::Bootstrap(kind, class) | Role::Machines(kind, class) => {
                is_selected(matches.workers_class(kind), class)
            }
        }
}

fn is_enabled(patch: &ClassPatch, values: &Value) -> Result<bool, String> {
    let Some(template) = &patch.enabled_if else {
        return Ok(true);
    };
    let value = expand(template, values).map_err(|why| format!("enabledIf: {why}"))?;
    Ok(value == true)
}

/// The YAML that a Go template gives.
fn expand(template: &str, values: &Value) -> Result<Value, String> {
    let text = render::expand(template, values)?;
    render::yaml::from_str(&text).map_err(|error| {
        let begin: String = text.chars().take(200).collect();
        format!("{begin:?} is no YAML: {error}")
    })
}

fn change_template(
    change: &JsonPatch,
    (template, room): (&mut Value, &mut usize),
    values: &Value,
) -> Result<(), String> {
    let mut operation = json!({"op": change.op, "path": change.path});
    if change.op != "remove" {
        operation["value"] = value_of(change, values)?;
        let added = operation["value"].to_string().len();
        *room = room.checked_sub(added).ok_or_else(|| {
            format!("patches may not add more than {ADDED_MAX} bytes to a template")
        })?;
    }
    let operations: Patch =
        serde_json::from_value(json!([operation])).map_err(|error| error.to_string())?;
    patch(template, &operations).map_err(|error| error.kind.to_string())
}

fn value_of(change: &JsonPatch, values: &Value) -> Result<Value, String> {
    if let Some(value) = &change.value {
        return Ok(value.clone());
    }
    let from = change.value_from.clone().unwrap_or_default();
    match (from.variable, from.template) {
        (Some(variable), None) => look_up(values, &variable)
            .cloned()
            .ok_or_else(|| format!("the variable {variable:?} has no value here")),
        (None, Some(template)) => expand(&template, values),
        _ => Err(
            "exactly one of value, valueFrom.variable and valueFrom.template must be set"
                .to_owned(),
        ),
    }
}

/// The part of `values` at a path such as `a.b[0].c`.
fn look_up<'v>(values: &'v Value, path: &str) -> Option<&'v Value> {
    path.split('.').try_fold(values, |value, part| {
        let (name, indexes) = part.split_at(part.find('[').unwrap_or(part.len()));
        if !indexes.is_empty() && !indexes.ends_with(']') {
            return None;
        }
        let value = value.get(name)?;
        indexes
            .split_terminator(']')
            .try_fold(value, |value, index| {
                let index: usize = index.strip_prefix('[')?.parse().ok()?;
                value.get(index)
            })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_into_variables() {
        let values = json!({"a": {"b": [{"c": 1}, {"c": 2}]}, "l": [[1, 2]], "n": null});
        let found = |path| look_up(&values, path).cloned();
        assert_eq!(found("a.b[1].c"), Some(json!(2)));
        assert_eq!(found("l[0][1]"), Some(json!(2)));
        assert_eq!(found("n"), Some(Value::Null));
        for missing in ["a.b[2]", "a.x", "x", "a.b[one]", "l[0", "l0]", "", "."] {
            assert_eq!(found(missing), None, "{missing}");
        }
    }
}
