//! Admission of Cluster API's kinds in the management cluster: what their webhooks do elsewhere, without the network.

use api::admission::Surroundings;
use api::cluster::cluster_class_rules::class_of;
use api::cluster::{Cluster, ClusterClass};
use api::conversion;
use api::meta::{CLUSTER_GROUP, FieldError, V1BETA1, V1BETA2, labels};
use apiserver::admission::{Admission, Operation, Request};
use apiserver::status::{Cause, Status};
use async_trait::async_trait;
use serde_json::Value;

const CLASSES: &str = "clusterclasses.cluster.x-k8s.io";
const CLUSTERS: &str = "clusters.cluster.x-k8s.io";
const DEPLOYMENTS: &str = "machinedeployments.cluster.x-k8s.io";

/// Fills what was left out of objects of Cluster API, and refuses those that cannot work.
pub struct ClusterApi;

/// Whether the object itself is written, not its status or scale.
fn is_write(request: &Request<'_>) -> bool {
    let is_write = matches!(request.operation, Operation::Create | Operation::Update);
    is_write && request.subresource.is_empty()
}

fn is_of(request: &Request<'_>, kind: &str) -> bool {
    let resource = request.resource;
    *resource.group == *CLUSTER_GROUP && *resource.kind == *kind
}

/// The ClusterClass of a Cluster, as far as the Cluster may see it.
fn class(request: &Request<'_>, cluster: &Value) -> Option<Value> {
    let (namespace, name) = class_of(cluster)?;
    let class = request.objects.get(CLASSES, &namespace, &name)?.value();
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

fn surroundings(request: &Request<'_>, cluster: &Value, old: Option<&Value>) -> Surroundings {
    let namespace = request.namespace;
    let reference = &cluster["spec"]["controlPlaneRef"];
    let text = |field: &str| reference[field].as_str().unwrap_or_default();
    // Which version it is read in does not matter for where it is kept.
    let api_version = format!("{}/{V1BETA2}", text("apiGroup"));
    let kind = request.kinds.of_kind(&api_version, text("kind"));
    let control_plane = kind.and_then(|kind| {
        let resource = format!("{}.{}", kind.plural, kind.group);
        request.objects.get(&resource, namespace, text("name"))
    });
    let is_ours = |deployment: &Value| {
        let has = &deployment["metadata"]["labels"];
        has[labels::CLUSTER_NAME] == *request.name && !has[labels::TOPOLOGY_OWNED].is_null()
    };
    let deployments = request.objects.list(DEPLOYMENTS, Some(namespace));
    let deployments = deployments.iter().map(|d| d.value());
    Surroundings {
        class: class(request, cluster),
        old_class: old.and_then(|old| class(request, old)),
        control_plane: control_plane.map(|found| found.value()),
        deployments: deployments.filter(is_ours).collect(),
    }
}

fn check_cluster(request: &Request<'_>, cluster: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let around = surroundings(request, cluster, old);
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
fn clusters_of(request: &Request<'_>) -> Vec<Value> {
    let clusters = request.objects.list(CLUSTERS, None);
    let clusters = clusters.iter().map(|cluster| cluster.value());
    let class = (request.namespace.to_owned(), request.name.to_owned());
    clusters
        .filter(|c| class_of(c).as_ref() == Some(&class) && self::class(request, c).is_some())
        .collect()
}

fn check_class(request: &Request<'_>, class: &Value) -> Vec<FieldError> {
    let typed = serde_json::from_value::<ClusterClass>(class.clone());
    let mut found = typed.map_or_else(|_| vec![], |c| capi::topology::check_expressions(&c));
    if let Some(old) = request.old.filter(|old| old["spec"] != class["spec"]) {
        found.extend(api::admission::validate_in_use(
            class,
            old,
            &clusters_of(request),
        ));
    }
    found
}

/// A ClusterClass goes after the Clusters that are made of it.
fn check_deletion(request: &Request<'_>) -> Result<(), Status> {
    let clusters = clusters_of(request);
    let Some(first) = clusters.first() else {
        return Ok(());
    };
    let text = |field: &str| first["metadata"][field].as_str().unwrap_or_default();
    let more = match clusters.len() - 1 {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Err(request.forbidden(&format!(
        "ClusterClass {} cannot be deleted: Cluster {}/{}{more} is made of it",
        request.name,
        text("namespace"),
        text("name")
    )))
}

/// Fills what was left out of an object in the stored version.
fn fill(request: &Request<'_>, version: &str, object: &mut Value, old: Option<&Value>) {
    let (group, kind) = (&request.resource.group, &request.resource.kind);
    api::admission::default(group, version, kind, object, old);
    if is_of(request, "Cluster")
        && is_about_topology(object, old)
        && let Some(class) = class(request, object)
    {
        api::admission::default_for_class(object, &class);
    }
}

/// What is wrong with an object in the stored version.
fn check(
    request: &Request<'_>,
    version: &str,
    object: &Value,
    old: Option<&Value>,
) -> Vec<FieldError> {
    let (group, kind) = (&request.resource.group, &request.resource.kind);
    let mut found = api::admission::validate(group, version, kind, object, old);
    if found.is_empty() && is_of(request, "Cluster") && is_about_topology(object, old) {
        found = check_cluster(request, object, old);
    }
    if found.is_empty() && is_of(request, "ClusterClass") {
        found = check_class(request, object);
    }
    found
}

/// What a new size would make wrong about the object, as the stored version has it. What is wrong with it anyway, by rules that are newer
/// than it, is no reason to keep its size.
fn check_scale(request: &Request<'_>, scale: &Value) -> Vec<FieldError> {
    let resource = request.resource;
    let storage = format!("{}.{}", resource.plural, resource.group);
    let Some(old) = request
        .objects
        .get(&storage, request.namespace, request.name)
    else {
        return vec![];
    };
    let old = old.value();
    let mut new = old.clone();
    // A Scale leaves out a 0.
    new["spec"]["replicas"] = scale["spec"]["replicas"].as_i64().unwrap_or(0).into();
    let version = old["apiVersion"].as_str().unwrap_or_default();
    let version = version.rsplit('/').next().unwrap_or_default();
    let found = |object: &Value| {
        let (group, kind) = (&resource.group, &resource.kind);
        api::admission::validate(group, version, kind, object, Some(&old))
    };
    let known = found(&old);
    let mut new = found(&new);
    new.retain(|error| !known.contains(error));
    new
}

#[async_trait]
impl Admission for ClusterApi {
    fn name(&self) -> &'static str {
        "ClusterAPI"
    }

    async fn admit(&self, request: &mut Request<'_>, object: &mut Value) -> Result<(), Status> {
        if !is_write(request) {
            return Ok(());
        }
        let resource = request.resource;
        let Some(version) = stored(request) else {
            fill(request, &resource.version, object, request.old);
            return Ok(());
        };
        request.warnings.extend(conversion::lost(object));
        let converted = conversion::convert(object.clone(), &version);
        let converted = converted.map_err(|error| invalid(request, vec![error]))?;
        let old = request
            .old
            .and_then(|old| conversion::convert(old.clone(), &version).ok());
        let mut filled = converted.clone();
        fill(request, V1BETA2, &mut filled, old.as_ref());
        if filled != converted {
            let shown = conversion::convert(filled, &resource.api_version());
            *object = shown.map_err(|error| invalid(request, vec![error]))?;
        }
        Ok(())
    }

    async fn validate(&self, request: &mut Request<'_>, object: &Value) -> Result<(), Status> {
        if request.operation == Operation::Delete && is_of(request, "ClusterClass") {
            return check_deletion(request);
        }
        if request.operation == Operation::Update && request.subresource == "scale" {
            let found = check_scale(request, object);
            return if found.is_empty() {
                Ok(())
            } else {
                Err(invalid(request, found))
            };
        }
        // An object on its way out must be able to lose its finalizers, whatever it looks like.
        if !is_write(request) || !object["metadata"]["deletionTimestamp"].is_null() {
            return Ok(());
        }
        let resource = request.resource;
        let found = match stored(request) {
            None => check(request, &resource.version, object, request.old),
            Some(version) => {
                let as_stored = |object: &Value| conversion::convert(object.clone(), &version);
                let new = as_stored(object).map_err(|error| invalid(request, vec![error]))?;
                let old = request.old.and_then(|old| as_stored(old).ok());
                let mut found = check(request, V1BETA2, &new, old.as_ref());
                for error in &mut found {
                    error.detail = format!("{} (as {V1BETA2}, which is stored)", error.detail);
                }
                found
            }
        };
        if found.is_empty() {
            return Ok(());
        }
        Err(invalid(request, found))
    }
}

/// The stored version of objects that are written as v1beta1: the rules are about that one.
fn stored(request: &Request<'_>) -> Option<String> {
    let resource = request.resource;
    let is_converted = &*resource.version == V1BETA1
        && conversion::find(&resource.group, &resource.kind).is_some();
    is_converted.then(|| format!("{}/{V1BETA2}", resource.group))
}

fn invalid(request: &Request<'_>, found: Vec<FieldError>) -> Status {
    let causes = found.into_iter().map(|error| Cause {
        reason: error.kind.cause(),
        message: error.message(),
        field: error.path,
    });
    let resource = request.resource;
    Status::invalid(
        &resource.group,
        &resource.kind,
        request.name,
        causes.collect(),
    )
}
