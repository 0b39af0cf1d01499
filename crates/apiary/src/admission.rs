//! Admission of Cluster API's kinds in the management cluster: what their webhooks do elsewhere, without the network.

use api::conversion;
use api::meta::{FieldError, V1BETA1, V1BETA2};
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
        if !is_write(request) {
            return Ok(());
        }
        let resource = request.resource;
        let (group, kind) = (&resource.group, &resource.kind);
        let Some(version) = stored(request) else {
            let version = &resource.version;
            api::admission::default(group, version, kind, object, request.old);
            return Ok(());
        };
        request.warnings.extend(conversion::lost(object));
        let converted = conversion::convert(object.clone(), &version);
        let converted = converted.map_err(|error| invalid(request, vec![error]))?;
        let old = request
            .old
            .and_then(|old| conversion::convert(old.clone(), &version).ok());
        let mut filled = converted.clone();
        api::admission::default(group, V1BETA2, kind, &mut filled, old.as_ref());
        if filled != converted {
            let shown = conversion::convert(filled, &resource.api_version());
            *object = shown.map_err(|error| invalid(request, vec![error]))?;
        }
        Ok(())
    }

    async fn validate(&self, request: &mut Request<'_>, object: &Value) -> Result<(), Status> {
        // An object on its way out must be able to lose its finalizers, whatever it looks like.
        if !is_write(request) || !object["metadata"]["deletionTimestamp"].is_null() {
            return Ok(());
        }
        let resource = request.resource;
        let (group, kind) = (&resource.group, &resource.kind);
        let found = match stored(request) {
            None => api::admission::validate(group, &resource.version, kind, object, request.old),
            Some(version) => {
                let as_stored = |object: &Value| conversion::convert(object.clone(), &version);
                let new = as_stored(object).map_err(|error| invalid(request, vec![error]))?;
                let old = request.old.and_then(|old| as_stored(old).ok());
                let mut found = api::admission::validate(group, V1BETA2, kind, &new, old.as_ref());
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
