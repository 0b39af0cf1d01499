//! Admission of Cluster API's kinds: fills what was left out, and refuses what cannot work. In the management cluster of this process by
//! [`ClusterApi`], in any other Kubernetes by the server of [`webhook`]: the rules are the same.

mod embedded;
pub mod webhook;

use api::admission::Surroundings;
use api::cluster::cluster_class_rules::class_of;
use api::cluster::{Cluster, ClusterClass};
use api::conversion;
use api::meta::{CLUSTER_GROUP, FieldError, V1BETA1, V1BETA2, labels};
use apiserver::admission::Operation;
use apiserver::status::{Cause, Status};
use serde_json::Value;

pub use embedded::ClusterApi;

/// What is to be written, and how.
struct Review<'a> {
    operation: Operation,
    /// Group, version and kind of the object; those of the object itself if a subresource is written.
    group: &'a str,
    version: &'a str,
    kind: &'a str,
    /// Empty for the object itself.
    subresource: &'a str,
    namespace: &'a str,
    name: &'a str,
    /// The state before.
    old: Option<&'a Value>,
    objects: &'a dyn Objects,
}

/// Other objects that rules are about, in the stored version.
trait Objects: Sync {
    /// The ClusterClass, if it is there.
    fn class(&self, namespace: &str, name: &str) -> Option<Value>;

    /// All Clusters.
    fn clusters(&self) -> Vec<Value>;

    /// The control plane of a Cluster: an object of any kind.
    fn control_plane(&self, group: &str, kind: &str, namespace: &str, name: &str) -> Option<Value>;

    /// The MachineDeployments and MachinePools of a namespace.
    fn workers(&self, namespace: &str) -> Vec<Value>;

    /// The object whose size is changed.
    fn scaled(&self, review: &Review<'_>) -> Option<Value>;
}

/// Why something is not written.
#[derive(Debug, PartialEq, Eq)]
enum Refusal {
    Invalid(Vec<FieldError>),
    Forbidden(String),
}

/// Whether the object itself is written, not its status or scale.
fn is_write(review: &Review<'_>) -> bool {
    let is_write = matches!(review.operation, Operation::Create | Operation::Update);
    is_write && review.subresource.is_empty()
}

fn is_of(review: &Review<'_>, kind: &str) -> bool {
    review.group == CLUSTER_GROUP && review.kind == kind
}

/// The ClusterClass of a Cluster, as far as the Cluster may see it.
fn class(review: &Review<'_>, cluster: &Value) -> Option<Value> {
    let (namespace, name) = class_of(cluster)?;
    let class = review.objects.class(&namespace, &name)?;
    let is_own = cluster["metadata"]["namespace"] == *namespace;
    let is_shared = class["metadata"]["annotations"][capi::topology::SHARED] == "true";
    (is_own || is_shared).then_some(class)
}

/// Whether a write of a Cluster says something new about its topology: everything else has nothing to do with the class.
fn is_about_topology(cluster: &Value, old: Option<&Value>) -> bool {
    let topology = &cluster["spec"]["topology"];
    let was = old.map(|old| &old["spec"]["topology"]);
    !topology.is_null() && was != Some(topology)
}

fn surroundings(review: &Review<'_>, cluster: &Value, old: Option<&Value>) -> Surroundings {
    let namespace = review.namespace;
    let reference = &cluster["spec"]["controlPlaneRef"];
    let text = |field: &str| reference[field].as_str().unwrap_or_default();
    let control_plane =
        review
            .objects
            .control_plane(text("apiGroup"), text("kind"), namespace, text("name"));
    let is_ours = |group: &Value| {
        let has = &group["metadata"]["labels"];
        has[labels::CLUSTER_NAME] == *review.name && !has[labels::TOPOLOGY_OWNED].is_null()
    };
    let workers = review.objects.workers(namespace);
    Surroundings {
        class: class(review, cluster),
        old_class: old.and_then(|old| class(review, old)),
        control_plane,
        workers: workers.into_iter().filter(is_ours).collect(),
    }
}

fn check_cluster(review: &Review<'_>, cluster: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let around = surroundings(review, cluster, old);
    let found = api::admission::validate_for_class(cluster, old, &around);
    if !found.is_empty() {
        return found;
    }
    let typed: Option<Cluster> = serde_json::from_value(cluster.clone()).ok();
    let class = around.class.map(serde_json::from_value::<ClusterClass>);
    match (typed.and_then(|c| c.spec.topology), class) {
        (Some(topology), Some(Ok(class))) => capi::topology::check_values(&topology, &class),
        _ => vec![],
    }
}

/// The Clusters of a ClusterClass: those that may be made of it, whatever others say.
fn clusters_of(review: &Review<'_>) -> Vec<Value> {
    let clusters = review.objects.clusters().into_iter();
    let class = (review.namespace.to_owned(), review.name.to_owned());
    clusters
        .filter(|c| class_of(c).as_ref() == Some(&class) && self::class(review, c).is_some())
        .collect()
}

fn check_class(review: &Review<'_>, class: &Value) -> Vec<FieldError> {
    let typed = serde_json::from_value::<ClusterClass>(class.clone());
    let mut found = typed.map_or_else(|_| vec![], |c| capi::topology::check_expressions(&c));
    if let Some(old) = review.old.filter(|old| old["spec"] != class["spec"]) {
        found.extend(api::admission::validate_in_use(
            class,
            old,
            &clusters_of(review),
        ));
    }
    found
}

/// A ClusterClass goes after the Clusters that are made of it.
fn check_deletion(review: &Review<'_>) -> Result<(), Refusal> {
    let clusters = clusters_of(review);
    let Some(first) = clusters.first() else {
        return Ok(());
    };
    let text = |field: &str| first["metadata"][field].as_str().unwrap_or_default();
    let more = match clusters.len() - 1 {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Err(Refusal::Forbidden(format!(
        "ClusterClass {} cannot be deleted: Cluster {}/{}{more} is made of it",
        review.name,
        text("namespace"),
        text("name")
    )))
}

/// Fills what was left out of an object in the stored version.
fn fill_stored(review: &Review<'_>, version: &str, object: &mut Value, old: Option<&Value>) {
    api::admission::default(review.group, version, review.kind, object, old);
    if is_of(review, "Cluster")
        && is_about_topology(object, old)
        && let Some(class) = class(review, object)
    {
        api::admission::default_for_class(object, &class);
    }
}

/// What is wrong with an object in the stored version.
fn check_stored(
    review: &Review<'_>,
    version: &str,
    object: &Value,
    old: Option<&Value>,
) -> Vec<FieldError> {
    let mut found = api::admission::validate(review.group, version, review.kind, object, old);
    if found.is_empty() && is_of(review, "Cluster") && is_about_topology(object, old) {
        found = check_cluster(review, object, old);
    }
    if found.is_empty() && is_of(review, "ClusterClass") {
        found = check_class(review, object);
    }
    found
}

/// What a new size would make wrong about the object, as the stored version has it. What is wrong with it anyway, by rules that are newer
/// than it, is no reason to keep its size.
fn check_scale(review: &Review<'_>, scale: &Value) -> Vec<FieldError> {
    let Some(old) = review.objects.scaled(review) else {
        return vec![];
    };
    let mut new = old.clone();
    // A Scale leaves out a 0.
    new["spec"]["replicas"] = scale["spec"]["replicas"].as_i64().unwrap_or(0).into();
    let version = old["apiVersion"].as_str().unwrap_or_default();
    let version = version.rsplit('/').next().unwrap_or_default();
    let found = |object: &Value| {
        api::admission::validate(review.group, version, review.kind, object, Some(&old))
    };
    let known = found(&old);
    let mut new = found(&new);
    new.retain(|error| !known.contains(error));
    new
}

/// The stored version of objects that are written as v1beta1: the rules are about that one.
fn stored(review: &Review<'_>) -> Option<String> {
    let is_converted =
        review.version == V1BETA1 && conversion::find(review.group, review.kind).is_some();
    is_converted.then(|| format!("{}/{V1BETA2}", review.group))
}

/// Fills what was left out of `object`; the answer is what is worth a warning.
fn admit(review: &Review<'_>, object: &mut Value) -> Result<Vec<String>, Refusal> {
    if !is_write(review) {
        return Ok(vec![]);
    }
    let Some(version) = stored(review) else {
        fill_stored(review, review.version, object, review.old);
        return Ok(vec![]);
    };
    let warnings = conversion::lost(object);
    let invalid = |error| Refusal::Invalid(vec![error]);
    let converted = conversion::convert(object.clone(), &version).map_err(invalid)?;
    let old = review
        .old
        .and_then(|old| conversion::convert(old.clone(), &version).ok());
    let mut filled = converted.clone();
    fill_stored(review, V1BETA2, &mut filled, old.as_ref());
    if filled != converted {
        let shown = format!("{}/{}", review.group, review.version);
        *object = conversion::convert(filled, &shown).map_err(invalid)?;
    }
    Ok(warnings)
}

/// Says why `object` must not be written, if so.
fn check(review: &Review<'_>, object: &Value) -> Result<(), Refusal> {
    if review.operation == Operation::Delete && is_of(review, "ClusterClass") {
        return check_deletion(review);
    }
    let refuse = |found: Vec<FieldError>| {
        if found.is_empty() {
            Ok(())
        } else {
            Err(Refusal::Invalid(found))
        }
    };
    if review.operation == Operation::Update && review.subresource == "scale" {
        return refuse(check_scale(review, object));
    }
    // An object on its way out must be able to lose its finalizers, whatever it looks like.
    if !is_write(review) || !object["metadata"]["deletionTimestamp"].is_null() {
        return Ok(());
    }
    let Some(version) = stored(review) else {
        return refuse(check_stored(review, review.version, object, review.old));
    };
    let as_stored = |object: &Value| conversion::convert(object.clone(), &version);
    let new = as_stored(object).map_err(|error| Refusal::Invalid(vec![error]))?;
    let old = review.old.and_then(|old| as_stored(old).ok());
    let mut found = check_stored(review, V1BETA2, &new, old.as_ref());
    for error in &mut found {
        error.detail = format!("{} (as {V1BETA2}, which is stored)", error.detail);
    }
    refuse(found)
}

impl Refusal {
    /// As the API server says it of the object `name`.
    fn status(self, group: &str, kind: &str, name: &str) -> Status {
        match self {
            Self::Invalid(found) => {
                let causes = found.into_iter().map(|error| Cause {
                    reason: error.kind.cause(),
                    message: error.message(),
                    field: error.path,
                });
                Status::invalid(group, kind, name, causes.collect())
            }
            Self::Forbidden(why) => Status::new(403, "Forbidden", why),
        }
    }
}
