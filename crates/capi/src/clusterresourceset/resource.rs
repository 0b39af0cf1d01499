//! A ConfigMap or Secret that objects for clusters are written in, and the objects. Beside the reads, pure.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use api::addons::cluster_resource_set::{ResourceKind, ResourceRef, SECRET_TYPE};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::core::DynamicObject;
use runtime::{Cx, GatherError, ObjectRef};
use serde_json::Value;
use sha2::{Digest, Sha256};

/// A ConfigMap or Secret. What is written in it may be secret and is not shown.
#[derive(Clone)]
#[cfg_attr(test, derive(serde::Deserialize))]
pub struct Resource {
    pub reference: ResourceRef,
    #[cfg_attr(test, serde(default))]
    pub metadata: ObjectMeta,
    /// The type, of a Secret.
    #[cfg_attr(test, serde(default))]
    pub type_: Option<String>,
    /// By key, what is written.
    #[cfg_attr(test, serde(default))]
    pub data: BTreeMap<String, String>,
    /// Keys whose value is no text.
    #[cfg_attr(test, serde(default))]
    pub binary: Vec<String>,
}

impl fmt::Debug for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.reference)
    }
}

/// Reads what a set names; `None` if it is not there.
pub(crate) async fn get(
    cx: &Cx,
    namespace: &str,
    reference: &ResourceRef,
) -> Result<Option<Resource>, GatherError> {
    let mut resource = Resource {
        reference: reference.clone(),
        metadata: ObjectMeta::default(),
        type_: None,
        data: BTreeMap::new(),
        binary: vec![],
    };
    match reference.kind {
        ResourceKind::ConfigMap => {
            let Some(map): Option<Arc<ConfigMap>> = cx.get(namespace, &reference.name).await?
            else {
                return Ok(None);
            };
            resource.metadata = map.metadata.clone();
            resource.data = map.data.clone().unwrap_or_default();
            for (key, value) in map.binary_data.iter().flatten() {
                resource.insert(key, &value.0);
            }
        }
        ResourceKind::Secret => {
            let Some(secret): Option<Arc<Secret>> = cx.get(namespace, &reference.name).await?
            else {
                return Ok(None);
            };
            resource.metadata = secret.metadata.clone();
            resource.type_.clone_from(&secret.type_);
            for (key, value) in secret.data.iter().flatten() {
                resource.insert(key, &value.0);
            }
        }
    }
    Ok(Some(resource))
}

impl Resource {
    fn insert(&mut self, key: &str, value: &[u8]) {
        match std::str::from_utf8(value) {
            Ok(text) => drop(self.data.insert(key.to_owned(), text.to_owned())),
            Err(_) => self.binary.push(key.to_owned()),
        }
    }

    /// Why nothing is taken from it, whatever is written in it.
    pub(crate) fn wrong_type(&self) -> Option<String> {
        let is_wrong = self.reference.kind == ResourceKind::Secret
            && self.type_.as_deref() != Some(SECRET_TYPE);
        is_wrong.then(|| {
            format!(
                "{} must be of type {SECRET_TYPE} and not {}",
                self.reference,
                self.type_.as_deref().unwrap_or("Opaque")
            )
        })
    }

    /// What is written, as `sha256:` and the digest.
    pub(crate) fn hash(&self) -> String {
        let mut digest = Sha256::new();
        for (key, value) in &self.data {
            for part in [key, value] {
                digest.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
                digest.update(part);
            }
        }
        for key in &self.binary {
            digest.update(key);
        }
        format!("sha256:{}", hex::encode(digest.finalize()))
    }

    /// Where it is, for changes.
    pub(crate) fn target(&self, namespace: &str) -> ObjectRef {
        ObjectRef {
            group: String::new(),
            version: "v1".to_owned(),
            kind: format!("{:?}", self.reference.kind),
            namespace: namespace.to_owned(),
            name: self.reference.name.clone(),
        }
    }

    /// The objects that are written, in the order in which they can be made.
    ///
    /// # Errors
    /// If something is no object. The error says where and quotes nothing.
    pub(crate) fn objects(&self) -> Result<Vec<DynamicObject>, String> {
        if let Some(key) = self.binary.first() {
            return Err(format!("{}: data[{key}] is no text", self.reference));
        }
        let mut objects = vec![];
        for (key, text) in &self.data {
            let at = |why: String| format!("{}: data[{key}]: {why}", self.reference);
            let documents = crate::yaml::documents(text).map_err(at)?;
            for (index, document) in documents.into_iter().enumerate() {
                let at = |why: &str| at(format!("document {}: {why}", index + 1));
                collect(document, &at, &mut objects)?;
            }
        }
        objects.sort_by_key(order);
        Ok(objects)
    }
}

/// Adds the object, or those of a List.
fn collect(
    document: Value,
    at: &dyn Fn(&str) -> String,
    objects: &mut Vec<DynamicObject>,
) -> Result<(), String> {
    if document.is_null() {
        return Ok(());
    }
    let kind = document["kind"].as_str().unwrap_or_default().to_owned();
    if kind.is_empty() || document["apiVersion"].as_str().is_none_or(str::is_empty) {
        return Err(at("must be an object with apiVersion and kind"));
    }
    if let (true, Value::Array(items)) = (kind.ends_with("List"), &document["items"]) {
        for item in items {
            collect(item.clone(), at, objects)?;
        }
        return Ok(());
    }
    if document["metadata"]["name"]
        .as_str()
        .is_none_or(str::is_empty)
    {
        return Err(at(&format!("the {kind} must have metadata.name")));
    }
    let object = serde_json::from_value(document)
        .map_err(|_| at(&format!("the {kind} has metadata of the wrong shape")))?;
    objects.push(object);
    Ok(())
}

/// What others need comes first.
fn order(object: &DynamicObject) -> usize {
    const FIRST: &[&str] = &[
        "Namespace",
        "CustomResourceDefinition",
        "ResourceQuota",
        "StorageClass",
        "ServiceAccount",
        "PodSecurityPolicy",
        "Secret",
        "ConfigMap",
        "ClusterRole",
        "ClusterRoleBinding",
        "Role",
        "RoleBinding",
        "Service",
        "LimitRange",
        "PriorityClass",
    ];
    let kind = object.types.as_ref().map_or("", |t| t.kind.as_str());
    FIRST
        .iter()
        .position(|first| *first == kind)
        .unwrap_or(FIRST.len())
}
