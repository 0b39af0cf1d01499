//! Cluster API's kinds between v1beta2, which is stored, and v1beta1, which existing manifests and tools speak. Pure.
//!
//! What the versions call differently is a table per kind ([`Kind::moves`]), read in both directions. What one version
//! has and the other has not is decided by their schemas: fields that the target doesn't know are left out, empty values
//! that it would refuse as well, and required ones that are missing become zero.
//!
//! Nothing of v1beta2 is lost on the way down and up again: `kept` puts it into an annotation. What only v1beta1
//! can say is not stored; [`lost`] says so to whoever writes it.
//!
//! Not here: the kinds of the local provider, which never had a v1beta1.

mod kept;
mod legacy;
pub mod moves;
mod review;
mod schema;
mod shape;
#[cfg(test)]
mod tests;
mod values;

use std::sync::LazyLock;

use serde_json::{Map, Value, json};

pub use kept::ANNOTATION;
pub use legacy::Legacy;
pub use moves::{How, Move};
pub use review::review;

use crate::addons::v1beta1::{cluster_resource_set, cluster_resource_set_binding};
use crate::bootstrap::v1beta1::{kubeadm_config, kubeadm_config_template};
use crate::cluster::v1beta1::{
    cluster, cluster_class, machine, machine_deployment, machine_drain_rule, machine_health_check,
    machine_pool, machine_set,
};
use crate::controlplane::v1beta1::{kubeadm_control_plane, kubeadm_control_plane_template};
use crate::ipam::v1beta1::{ip_address, ip_address_claim};
use crate::meta::{FieldError, V1BETA1, V1BETA2};

/// A kind that is served as v1beta1 too.
pub struct Kind {
    /// Its API group.
    pub group: &'static str,
    /// Its name.
    pub kind: &'static str,
    /// Fields that v1beta2 calls or writes differently.
    pub moves: &'static [Move],
    /// Fields of the v1beta1 status that follow from the v1beta2 status.
    pub legacy: Legacy,
    /// v1beta1 as a table: a line for each field, then names, scope, subresources and columns.
    pub v1beta1: &'static str,
    /// The definition with v1beta2 alone.
    pub v1beta2: fn() -> Value,
}

/// All of them. A kind is a row here, a file beside its type, and its v1beta1 in `crds/v1beta1`.
pub static KINDS: &[&Kind] = &[
    &cluster::KIND,
    &cluster_class::KIND,
    &machine::KIND,
    &machine_set::KIND,
    &machine_deployment::KIND,
    &machine_pool::KIND,
    &machine_health_check::KIND,
    &machine_drain_rule::KIND,
    &cluster_resource_set::KIND,
    &cluster_resource_set_binding::KIND,
    &ip_address::KIND,
    &ip_address_claim::KIND,
    &kubeadm_config::KIND,
    &kubeadm_config_template::KIND,
    &kubeadm_control_plane::KIND,
    &kubeadm_control_plane_template::KIND,
];

/// The kind called `kind` in `group`, if it is served as v1beta1 too.
#[must_use]
pub fn find(group: &str, kind: &str) -> Option<&'static Kind> {
    let mut all = KINDS.iter().copied();
    all.find(|k| k.group == group && k.kind == kind)
}

/// What conversion looks up of the schemas of a kind.
struct Schemas {
    kind: &'static Kind,
    v1beta1: Value,
    v1beta2: Value,
}

impl Schemas {
    fn of(kind: &'static Kind) -> Option<&'static Self> {
        static ALL: LazyLock<Vec<Schemas>> = LazyLock::new(|| {
            let schemas = |kind: &&'static Kind| {
                let crd = (kind.v1beta2)();
                Schemas {
                    kind,
                    v1beta2: crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone(),
                    v1beta1: schema::version(kind, &crd)["schema"]["openAPIV3Schema"].clone(),
                }
            };
            KINDS.iter().map(schemas).collect()
        });
        ALL.iter().find(|schemas| std::ptr::eq(schemas.kind, kind))
    }
}

/// The definition `crd` with v1beta1 beside v1beta2, if the kind has one.
#[must_use]
pub fn serve(mut crd: Value) -> Value {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let group = text(&crd["spec"]["group"]);
    let Some(kind) = find(&group, &text(&crd["spec"]["names"]["kind"])) else {
        return crd;
    };
    let version = schema::version(kind, &crd);
    if let Some(versions) = crd["spec"]["versions"].as_array_mut() {
        versions.push(version);
    }
    crd["metadata"]["labels"][format!("cluster.x-k8s.io/{V1BETA1}")] = V1BETA1.into();
    crd
}

/// `object` at `api_version` (`cluster.x-k8s.io/v1beta1`).
///
/// # Errors
/// When the object or the version isn't one of [`KINDS`], or a value cannot be read. The field is that of `object`.
pub fn convert(object: Value, api_version: &str) -> Result<Value, FieldError> {
    let text = |field: &str| object[field].as_str().unwrap_or_default().to_owned();
    let (from, name) = (text("apiVersion"), text("kind"));
    let (group, version) = from.split_once('/').unwrap_or_default();
    let Some(schemas) = find(group, &name).and_then(Schemas::of) else {
        let detail = format!("{name:?} of {from:?} is no kind that has several versions");
        return Err(FieldError::invalid("kind", detail));
    };
    let wanted = api_version
        .strip_prefix(group)
        .and_then(|v| v.strip_prefix('/'));
    match (version, wanted) {
        (_, Some(wanted)) if wanted == version => Ok(object),
        (V1BETA1, Some(V1BETA2)) => kept::up(schemas, object),
        (V1BETA2, Some(V1BETA1)) => kept::down(schemas, object),
        _ => {
            let detail = format!(
                "{from} cannot become {api_version}: the versions of {name} are {group}/{V1BETA1} and {group}/{V1BETA2}"
            );
            Err(FieldError::invalid("apiVersion", detail))
        }
    }
}

/// What a v1beta1 object says in its spec that will not be there when it is read again, in words for whoever writes it.
/// Empty for objects of other versions, and for those that cannot be converted.
#[must_use]
pub fn lost(object: &Value) -> Vec<String> {
    let api_version = object["apiVersion"].as_str().unwrap_or_default();
    let Some((group, V1BETA1)) = api_version.split_once('/') else {
        return vec![];
    };
    let kind = object["kind"].as_str().unwrap_or_default();
    let Some(schemas) = find(group, kind).and_then(Schemas::of) else {
        return vec![];
    };
    let mut said = object.clone();
    shape::prune(&schemas.v1beta1, &mut said);
    let Ok(there) = raise(schemas, said.clone()) else {
        return vec![];
    };
    let back = lower(schemas, there);
    let mut found = vec![];
    shape::missing(&said["spec"], &back["spec"], "spec", &mut found);
    found
}

/// Paths of an object in one of the two versions that this version doesn't have: they would be left out.
#[must_use]
pub fn unknown(object: &Value) -> Vec<String> {
    let api_version = object["apiVersion"].as_str().unwrap_or_default();
    let (group, version) = api_version.split_once('/').unwrap_or_default();
    let kind = object["kind"].as_str().unwrap_or_default();
    let Some(schemas) = find(group, kind).and_then(Schemas::of) else {
        return vec![];
    };
    let schema = match version {
        V1BETA1 => &schemas.v1beta1,
        _ => &schemas.v1beta2,
    };
    let mut found = vec![];
    shape::unknown(
        &schema["properties"]["spec"],
        &object["spec"],
        "spec",
        &mut found,
    );
    found
}

/// v1beta1 to v1beta2, without what is kept.
fn raise(schemas: &Schemas, mut object: Value) -> Result<Value, FieldError> {
    shape::prune(&schemas.v1beta1, &mut object);
    let namespace = namespace(&object);
    moves::up(schemas.kind.moves, &mut object, "", &namespace)?;
    object["apiVersion"] = format!("{}/{V1BETA2}", schemas.kind.group).into();
    schemas.kind.legacy.drop(&mut object);
    shape::prune(&schemas.v1beta2, &mut object);
    shape::elide(&schemas.v1beta2, &mut object);
    Ok(object)
}

/// v1beta2 to v1beta1, without keeping anything.
fn lower(schemas: &Schemas, mut object: Value) -> Value {
    shape::prune(&schemas.v1beta2, &mut object);
    let namespace = namespace(&object);
    let legacy = schemas.kind.legacy.derive(&object["status"]);
    moves::down(schemas.kind.moves, &mut object, &namespace);
    legacy::fill(&mut object, legacy);
    object["apiVersion"] = format!("{}/{V1BETA1}", schemas.kind.group).into();
    shape::prune(&schemas.v1beta1, &mut object);
    shape::fill(&schemas.v1beta1, &mut object);
    object
}

fn namespace(object: &Value) -> String {
    let namespace = &object["metadata"]["namespace"];
    namespace.as_str().unwrap_or_default().to_owned()
}

/// The members of an object, besides those that every version has.
fn content(object: &Value) -> Map<String, Value> {
    let mut content = object.as_object().cloned().unwrap_or_default();
    for member in ["apiVersion", "kind", "metadata"] {
        content.remove(member);
    }
    content
}

/// The `apiVersion` of a kind of which only the group is known: the one that its v1beta1 users wrote.
fn api_version(group: &str, kind: &str) -> String {
    let is_local = crate::infrastructure::KINDS.contains(&kind);
    if is_local && group == crate::meta::INFRASTRUCTURE_GROUP {
        format!("{group}/{V1BETA2}")
    } else {
        format!("{group}/{V1BETA1}")
    }
}

/// An object of `kind` with nothing in it but `content` and the namespace that references are relative to.
fn bare(kind: &Kind, version: &str, namespace: &str, content: Map<String, Value>) -> Value {
    let mut object = json!({
        "apiVersion": format!("{}/{version}", kind.group), "kind": kind.kind, "metadata": {"namespace": namespace},
    });
    for (member, value) in content {
        object[member] = value;
    }
    object
}
