//! NamespaceLifecycle: nothing is created in a namespace that is absent or going, and some namespaces stay.

use serde_json::{Value, json};

use super::{Admission, Operation, Request};
use crate::status::Status;

const IMMORTAL: &[&str] = &["default", "kube-system", "kube-public"];

pub(super) struct NamespaceLifecycle;

#[async_trait::async_trait]
impl Admission for NamespaceLifecycle {
    fn name(&self) -> &'static str {
        "NamespaceLifecycle"
    }

    async fn admit(&self, request: &mut Request<'_>, _object: &mut Value) -> Result<(), Status> {
        if request.resource.group.is_empty() && &*request.resource.plural == "namespaces" {
            let is_delete = request.operation == Operation::Delete;
            if is_delete && request.subresource.is_empty() && IMMORTAL.contains(&request.name) {
                return Err(request.forbidden("this namespace may not be deleted"));
            }
            return Ok(());
        }
        let is_question = &*request.resource.plural == "localsubjectaccessreviews";
        let is_delete = request.operation == Operation::Delete;
        if request.namespace.is_empty() || is_question || is_delete {
            return Ok(());
        }
        let namespace = request
            .objects
            .get("namespaces", "", request.namespace)
            .ok_or_else(|| Status::not_found("", "namespaces", request.namespace))?;
        if request.operation == Operation::Create && namespace.header.is_deleting {
            return Err(terminating(request));
        }
        Ok(())
    }
}

fn terminating(request: &Request<'_>) -> Status {
    let namespace = request.namespace;
    let mut status = request.forbidden(&format!(
        "unable to create new content in namespace {namespace} because it is being terminated"
    ));
    if let Some(details) = status.details.as_mut().and_then(Value::as_object_mut) {
        let cause = json!([{
            "reason": "NamespaceTerminating",
            "message": format!("namespace {namespace} is being terminated"),
            "field": "metadata.namespace",
        }]);
        details.insert("causes".into(), cause);
    }
    status
}
