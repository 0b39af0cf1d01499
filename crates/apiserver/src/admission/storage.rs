//! The class that a claim or an ingress gets when it names none, the finalizers that keep used volumes, and which claims may
//! grow.

use cel::Quantity;
use serde_json::Value;

use super::{Admission, Operation, Request, edit};
use crate::status::Status;

/// Name of the newest class of `resource` that `annotation` marks as the default; of two of one age, the first by name.
fn default_class(request: &Request<'_>, resource: &str, annotation: &str) -> Option<String> {
    let mut classes: Vec<(String, String)> = request
        .objects
        .list(resource, None)
        .iter()
        .map(|class| class.value())
        .filter(|class| class["metadata"]["annotations"][annotation] == "true")
        .map(|class| {
            let text = |field| edit::text(&class["metadata"], field).to_owned();
            (text("creationTimestamp"), text("name"))
        })
        .collect();
    classes.sort_by(|(a_time, a_name), (b_time, b_name)| {
        b_time.cmp(a_time).then_with(|| a_name.cmp(b_name))
    });
    classes.into_iter().next().map(|(_, name)| name)
}

pub(super) struct DefaultStorageClass;

#[async_trait::async_trait]
impl Admission for DefaultStorageClass {
    fn name(&self) -> &'static str {
        "DefaultStorageClass"
    }

    async fn admit(&self, request: &mut Request<'_>, claim: &mut Value) -> Result<(), Status> {
        let is_claim = request.is_for("", "persistentvolumeclaims", "");
        if request.operation != Operation::Create || !is_claim {
            return Ok(());
        }
        let old_way = &claim["metadata"]["annotations"]["volume.beta.kubernetes.io/storage-class"];
        // An empty name means no class at all, and is not the same as none named.
        if claim["spec"]["storageClassName"].is_string() || old_way.is_string() {
            return Ok(());
        }
        let class = default_class(
            request,
            "storageclasses.storage.k8s.io",
            "storageclass.kubernetes.io/is-default-class",
        );
        if let (Some(class), Some(spec)) = (class, edit::map(claim, "spec")) {
            spec.insert("storageClassName".into(), class.into());
        }
        Ok(())
    }
}

pub(super) struct DefaultIngressClass;

#[async_trait::async_trait]
impl Admission for DefaultIngressClass {
    fn name(&self) -> &'static str {
        "DefaultIngressClass"
    }

    async fn admit(&self, request: &mut Request<'_>, ingress: &mut Value) -> Result<(), Status> {
        let is_ingress = request.is_for("networking.k8s.io", "ingresses", "");
        if request.operation != Operation::Create || !is_ingress {
            return Ok(());
        }
        let old_way = &ingress["metadata"]["annotations"]["kubernetes.io/ingress.class"];
        if ingress["spec"]["ingressClassName"].is_string() || old_way.is_string() {
            return Ok(());
        }
        let class = default_class(
            request,
            "ingressclasses.networking.k8s.io",
            "ingressclass.kubernetes.io/is-default-class",
        );
        if let (Some(class), Some(spec)) = (class, edit::map(ingress, "spec")) {
            spec.insert("ingressClassName".into(), class.into());
        }
        Ok(())
    }
}

pub(super) struct StorageObjectInUseProtection;

#[async_trait::async_trait]
impl Admission for StorageObjectInUseProtection {
    fn name(&self) -> &'static str {
        "StorageObjectInUseProtection"
    }

    async fn admit(&self, request: &mut Request<'_>, object: &mut Value) -> Result<(), Status> {
        if request.operation != Operation::Create {
            return Ok(());
        }
        let finalizer = if request.is_for("", "persistentvolumeclaims", "") {
            "kubernetes.io/pvc-protection"
        } else if request.is_for("", "persistentvolumes", "") {
            "kubernetes.io/pv-protection"
        } else {
            return Ok(());
        };
        let Some(finalizers) = object
            .get_mut("metadata")
            .and_then(|metadata| edit::list(metadata, "finalizers"))
        else {
            return Ok(());
        };
        if !finalizers.iter().any(|f| f == finalizer) {
            finalizers.push(finalizer.into());
        }
        Ok(())
    }
}

pub(super) struct PersistentVolumeClaimResize;

#[async_trait::async_trait]
impl Admission for PersistentVolumeClaimResize {
    fn name(&self) -> &'static str {
        "PersistentVolumeClaimResize"
    }

    async fn admit(&self, _: &mut Request<'_>, _: &mut Value) -> Result<(), Status> {
        Ok(())
    }

    async fn validate(&self, request: &mut Request<'_>, claim: &Value) -> Result<(), Status> {
        let is_claim = request.is_for("", "persistentvolumeclaims", "");
        let (Operation::Update, true, Some(old)) = (request.operation, is_claim, request.old)
        else {
            return Ok(());
        };
        let size = |claim: &Value| {
            Quantity::of(&claim["spec"]["resources"]["requests"]["storage"]).unwrap_or_default()
        };
        if size(claim) <= size(old) {
            return Ok(());
        }
        if old["status"]["phase"] != "Bound" {
            return Err(request.forbidden("Only bound persistent volume claims can be expanded"));
        }
        let class = class_of(claim);
        let may_grow = !class.is_empty()
            && class == class_of(old)
            && request
                .objects
                .get("storageclasses.storage.k8s.io", "", class)
                .is_some_and(|class| class.value()["allowVolumeExpansion"] == true);
        if may_grow {
            return Ok(());
        }
        Err(request.forbidden(
            "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize",
        ))
    }
}

/// The class that a claim names, in the new way or the old.
fn class_of(claim: &Value) -> &str {
    let old_way = &claim["metadata"]["annotations"]["volume.beta.kubernetes.io/storage-class"];
    old_way
        .as_str()
        .unwrap_or_else(|| edit::text(&claim["spec"], "storageClassName"))
}
