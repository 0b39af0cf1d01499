//! The rules as a part of this process's API server.

use api::meta::V1BETA2;
use apiserver::admission::{Admission, Request};
use apiserver::status::Status;
use async_trait::async_trait;
use serde_json::Value;

use super::{Objects, Refusal, Review};

const CLASSES: &str = "clusterclasses.cluster.x-k8s.io";
const CLUSTERS: &str = "clusters.cluster.x-k8s.io";
const DEPLOYMENTS: &str = "machinedeployments.cluster.x-k8s.io";
const POOLS: &str = "machinepools.cluster.x-k8s.io";

/// Fills what was left out of objects of Cluster API, and refuses those that cannot work.
pub struct ClusterApi;

/// The objects beside the one that is written.
struct Beside<'a> {
    objects: &'a dyn apiserver::auth::Objects,
    kinds: &'a dyn apiserver::admission::Kinds,
    /// Where the object itself is kept.
    storage: String,
}

impl<'a> Beside<'a> {
    fn of(request: &Request<'a>) -> Self {
        let resource = request.resource;
        Self {
            objects: request.objects,
            kinds: request.kinds,
            storage: format!("{}.{}", resource.plural, resource.group),
        }
    }
}

impl Objects for Beside<'_> {
    fn class(&self, namespace: &str, name: &str) -> Option<Value> {
        Some(self.objects.get(CLASSES, namespace, name)?.value())
    }

    fn clusters(&self) -> Vec<Value> {
        let clusters = self.objects.list(CLUSTERS, None);
        clusters.iter().map(|cluster| cluster.value()).collect()
    }

    fn control_plane(&self, group: &str, kind: &str, namespace: &str, name: &str) -> Option<Value> {
        // Which version it is read in does not matter for where it is kept.
        let kind = self.kinds.of_kind(&format!("{group}/{V1BETA2}"), kind)?;
        let storage = format!("{}.{}", kind.plural, kind.group);
        Some(self.objects.get(&storage, namespace, name)?.value())
    }

    fn workers(&self, namespace: &str) -> Vec<Value> {
        let list = |storage| self.objects.list(storage, Some(namespace));
        let workers = [DEPLOYMENTS, POOLS].into_iter().flat_map(list);
        workers.map(|group| group.value()).collect()
    }

    fn scaled(&self, review: &Review<'_>) -> Option<Value> {
        let found = self
            .objects
            .get(&self.storage, review.namespace, review.name)?;
        Some(found.value())
    }
}

fn review<'a>(request: &'a Request<'_>, objects: &'a Beside<'a>) -> Review<'a> {
    let resource = request.resource;
    Review {
        operation: request.operation,
        group: &resource.group,
        version: &resource.version,
        kind: &resource.kind,
        subresource: request.subresource,
        namespace: request.namespace,
        name: request.name,
        old: request.old,
        objects,
    }
}

fn refused(request: &Request<'_>, refusal: Refusal) -> Status {
    match refusal {
        // The object's resource is named in it.
        Refusal::Forbidden(why) => request.forbidden(&why),
        Refusal::Invalid(_) => {
            let resource = request.resource;
            refusal.status(&resource.group, &resource.kind, request.name)
        }
    }
}

#[async_trait]
impl Admission for ClusterApi {
    fn name(&self) -> &'static str {
        "ClusterAPI"
    }

    async fn admit(&self, request: &mut Request<'_>, object: &mut Value) -> Result<(), Status> {
        let beside = Beside::of(request);
        let admitted = super::admit(&review(request, &beside), object);
        let warnings = admitted.map_err(|refusal| refused(request, refusal))?;
        request.warnings.extend(warnings);
        Ok(())
    }

    async fn validate(&self, request: &mut Request<'_>, object: &Value) -> Result<(), Status> {
        let beside = Beside::of(request);
        let checked = super::check(&review(request, &beside), object);
        checked.map_err(|refusal| refused(request, refusal))
    }
}
