//! Admission of Cluster API's kinds in the management cluster: what their webhooks do elsewhere, without the network.

use apiserver::admission::{Admission, Operation, Request};
use apiserver::status::{Cause, Status};
use async_trait::async_trait;
use serde_json::Value;

/// Fills what was left out of objects of Cluster API, and refuses those that cannot work.
pub struct ClusterApi;

/// Whether the object itself is written, not its status or scale.
fn is_write(request: &Request<'_>) -> bool {
    let is_write = matches!(request.operation, Operation::Create | Operation::Update);
    is_write && request.subresource.is_empty()
}

#[async_trait]
impl Admission for ClusterApi {
    fn name(&self) -> &'static str {
        "ClusterAPI"
    }

    async fn admit(&self, request: &mut Request<'_>, object: &mut Value) -> Result<(), Status> {
        if is_write(request) {
            let resource = request.resource;
            let (group, version, kind) = (&resource.group, &resource.version, &resource.kind);
            api::admission::default(group, version, kind, object, request.old);
        }
        Ok(())
    }

    async fn validate(&self, request: &mut Request<'_>, object: &Value) -> Result<(), Status> {
        // An object on its way out must be able to lose its finalizers, whatever it looks like.
        if !is_write(request) || !object["metadata"]["deletionTimestamp"].is_null() {
            return Ok(());
        }
        let resource = request.resource;
        let (group, version, kind) = (&resource.group, &resource.version, &resource.kind);
        let found = api::admission::validate(group, version, kind, object, request.old);
        if found.is_empty() {
            return Ok(());
        }
        let causes = found.into_iter().map(|error| Cause {
            reason: error.kind.cause(),
            message: error.message(),
            field: error.path,
        });
        Err(Status::invalid(group, kind, request.name, causes.collect()))
    }
}
