//! The tokens that a kubelet asks for: of service accounts of pods that it runs, for audiences that these pods name.

use serde_json::Value;

use super::{Kubelet, Verdict, edit};
use crate::auth::{Attributes, Authorizer};
use crate::status::Status;

/// The CSI drivers to which volumes that were once built in have moved.
const MOVED: &[(&str, &str)] = &[
    ("awsElasticBlockStore", "ebs.csi.aws.com"),
    ("azureDisk", "disk.csi.azure.com"),
    ("azureFile", "file.csi.azure.com"),
    ("cinder", "cinder.csi.openstack.org"),
    ("gcePersistentDisk", "pd.csi.storage.gke.io"),
    ("portworxVolume", "pxd.portworx.com"),
    ("vsphereVolume", "csi.vsphere.vmware.com"),
];

impl Kubelet<'_, '_> {
    pub(super) fn token(&self, ask: &Value, authorizer: &Authorizer) -> Verdict {
        let reference = &ask["spec"]["boundObjectRef"];
        let name = edit::text(reference, "name");
        let uid = edit::text(reference, "uid");
        if reference["apiVersion"] != "v1" || reference["kind"] != "Pod" || name.is_empty() {
            return self.refuse("node requested token not bound to a pod");
        }
        if uid.is_empty() {
            return self.refuse("node requested token with a pod binding without a uid");
        }
        let request = self.request;
        let pod = request.objects.get("pods", request.namespace, name);
        let pod = pod.ok_or_else(|| Status::not_found("", "pods", name))?;
        if *pod.header.uid != *uid {
            return self.refuse(format!(
                "the UID in the bound object reference ({uid}) does not match the UID in record. The object might have been deleted and then recreated"
            ));
        }
        let pod = pod.value();
        if pod["spec"]["nodeName"] != self.node {
            return self
                .refuse("node requested token bound to a pod scheduled on a different node");
        }
        self.audience(ask, &pod, authorizer)
    }

    /// The pod names the audience, or the node may ask for it anyway.
    fn audience(&self, ask: &Value, pod: &Value, authorizer: &Authorizer) -> Verdict {
        let audiences: Vec<&Value> = edit::items(&ask["spec"], "audiences").collect();
        let audience = match audiences.as_slice() {
            [] => "",
            [one] => one.as_str().unwrap_or_default(),
            _ => return self.refuse("node may only request 0 or 1 audiences"),
        };
        match self.names_audience(pod, audience) {
            Ok(true) => return Ok(()),
            Ok(false) => {}
            Err(missing) => {
                return self.refuse(format!("error validating audience {audience:?}: {missing}"));
            }
        }
        let request = self.request;
        let attributes = Attributes {
            verb: "request-serviceaccounts-token-audience".into(),
            version: "v1".into(),
            // Without an audience the question is about every one.
            resource: if audience.is_empty() { "*" } else { audience }.into(),
            namespace: request.namespace.into(),
            name: request.name.into(),
            ..Attributes::default()
        };
        let may = authorizer.authorize(request.objects, request.user, &attributes);
        if may.allowed {
            return Ok(());
        }
        self.refuse(format!(
            "audience {audience:?} not found in pod spec volume, {} is not authorized to request tokens for this audience",
            request.user.name
        ))
    }

    /// Whether a volume of the pod has a token for the audience, by itself or by its driver. The error is what is
    /// missing to tell.
    fn names_audience(&self, pod: &Value, audience: &str) -> Result<bool, String> {
        let mut missing = Vec::new();
        let pod_name = edit::text(&pod["metadata"], "name");
        for volume in edit::items(&pod["spec"], "volumes") {
            let names = edit::items(&volume["projected"], "sources").any(|source| {
                let token = &source["serviceAccountToken"];
                !token.is_null() && edit::text(token, "audience") == audience
            });
            if names {
                return Ok(true);
            }
            let claim = &volume["persistentVolumeClaim"]["claimName"];
            let driver = if !volume["ephemeral"]["volumeClaimTemplate"].is_null() {
                let volume = edit::text(volume, "name");
                self.driver_of_claim(&format!("{pod_name}-{volume}"))
            } else if let Some(claim) = claim.as_str() {
                self.driver_of_claim(claim)
            } else {
                Ok(driver(volume))
            };
            let driver = driver.and_then(|driver| match driver {
                Some(driver) => self.find("csidrivers.storage.k8s.io", "", &driver),
                None => Ok(Value::Null),
            });
            match driver {
                Ok(driver) => {
                    let mut tokens = edit::items(&driver["spec"], "tokenRequests");
                    if tokens.any(|token| edit::text(token, "audience") == audience) {
                        return Ok(true);
                    }
                }
                Err(why) => missing.push(why),
            }
        }
        match missing.as_slice() {
            [] => Ok(false),
            [one] => Err(one.clone()),
            many => Err(format!("[{}]", many.join(", "))),
        }
    }

    fn driver_of_claim(&self, claim: &str) -> Result<Option<String>, String> {
        let namespace = self.request.namespace;
        let claim = self.find("persistentvolumeclaims", namespace, claim)?;
        let volume = edit::text(&claim["spec"], "volumeName");
        let volume = self.find("persistentvolumes", "", volume)?;
        Ok(driver(&volume["spec"]))
    }

    fn find(&self, resource: &str, namespace: &str, name: &str) -> Result<Value, String> {
        let found = self.request.objects.get(resource, namespace, name);
        let found = found.map(|object| object.value());
        found.ok_or_else(|| format!("{resource} {name:?} not found"))
    }
}

/// The CSI driver of a volume of a pod or of a PersistentVolume's spec.
fn driver(volume: &Value) -> Option<String> {
    if let Some(driver) = volume["csi"]["driver"].as_str() {
        return Some(driver.into());
    }
    let moved = MOVED.iter().find(|(field, _)| !volume[*field].is_null());
    moved.map(|(_, driver)| (*driver).into())
}
