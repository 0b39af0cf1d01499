//! Reads from the API server what rules have to know of other objects.

use std::collections::BTreeMap;

use api::cluster::cluster_class_rules::class_of;
use api::meta::{CLUSTER_GROUP, V1BETA2, labels};
use apiserver::admission::Operation;
use kube::{Client, discovery};
use serde_json::Value;

use super::review::Asked;
use crate::admission::{Objects, Review, is_about_topology};

/// What was read.
#[derive(Debug, Default)]
pub(super) struct Fetched {
    /// By namespace and name.
    pub(super) classes: BTreeMap<(String, String), Value>,
    pub(super) clusters: Vec<Value>,
    pub(super) control_plane: Option<Value>,
    pub(super) workers: Vec<Value>,
    pub(super) scaled: Option<Value>,
}

impl Objects for Fetched {
    fn class(&self, namespace: &str, name: &str) -> Option<Value> {
        let key = (namespace.to_owned(), name.to_owned());
        self.classes.get(&key).cloned()
    }

    fn clusters(&self) -> Vec<Value> {
        self.clusters.clone()
    }

    fn control_plane(&self, _: &str, _: &str, _: &str, _: &str) -> Option<Value> {
        self.control_plane.clone()
    }

    fn workers(&self, _: &str) -> Vec<Value> {
        self.workers.clone()
    }

    fn scaled(&self, _: &Review<'_>) -> Option<Value> {
        self.scaled.clone()
    }
}

impl Fetched {
    /// Reads what the rules for this request need: nothing for most. What is only filled needs less than what is checked.
    ///
    /// # Errors
    /// What could not be read.
    pub(super) async fn read(
        client: &Client,
        asked: &Asked,
        is_check: bool,
    ) -> Result<Self, String> {
        let mut found = Self::default();
        if is_check && asked.operation == Operation::Update && asked.subresource == "scale" {
            let path = format!(
                "/apis/{}/{V1BETA2}/namespaces/{}/{}/{}",
                asked.group, asked.namespace, asked.plural, asked.name
            );
            found.scaled = get(client, &path).await?;
        }
        if !asked.subresource.is_empty() || asked.group != CLUSTER_GROUP {
            return Ok(found);
        }
        match asked.kind.as_str() {
            "Cluster" if is_about_topology(&asked.object, asked.old.as_ref()) => {
                found.read_classes(client, asked).await?;
                if is_check {
                    found.read_parts(client, asked).await?;
                }
            }
            "ClusterClass" if is_check && asked.is_gone_or_changed() => {
                let path = format!("/apis/{CLUSTER_GROUP}/{V1BETA2}/clusters");
                found.clusters = list(client, &path).await?;
                let key = (asked.namespace.clone(), asked.name.clone());
                let class = asked.old.clone().unwrap_or_else(|| asked.object.clone());
                found.classes.insert(key, class);
            }
            _ => {}
        }
        Ok(found)
    }

    /// The class of a Cluster, and the one that it had.
    async fn read_classes(&mut self, client: &Client, asked: &Asked) -> Result<(), String> {
        let core = format!("/apis/{CLUSTER_GROUP}/{V1BETA2}/namespaces");
        let clusters = [Some(&asked.object), asked.old.as_ref()];
        for cluster in clusters.into_iter().flatten() {
            // One that is no name is not looked for: that it is wrong is said of its field.
            let class = class_of(cluster);
            let class = class.filter(|(namespace, name)| is_name(namespace) && is_name(name));
            if let Some((namespace, name)) = class {
                let path = format!("{core}/{namespace}/clusterclasses/{name}");
                if let Some(class) = get(client, &path).await? {
                    self.classes.insert((namespace, name), class);
                }
            }
        }
        Ok(())
    }

    /// What there is of a Cluster already.
    async fn read_parts(&mut self, client: &Client, asked: &Asked) -> Result<(), String> {
        let core = format!("/apis/{CLUSTER_GROUP}/{V1BETA2}/namespaces");
        let Some(old) = &asked.old else {
            return Ok(());
        };
        let label = format!("{}%3D{}", labels::CLUSTER_NAME, asked.name);
        for plural in ["machinedeployments", "machinepools"] {
            let namespace = &asked.namespace;
            let path = format!("{core}/{namespace}/{plural}?labelSelector={label}");
            self.workers.extend(list(client, &path).await?);
        }
        let reference = &old["spec"]["controlPlaneRef"];
        let text = |field: &str| reference[field].as_str().unwrap_or_default();
        if !is_name(text("name")) || !is_name(text("apiGroup")) {
            return Ok(());
        }
        let (group, kind) = (text("apiGroup"), text("kind"));
        let served = match discovery::group(client, group).await {
            Ok(served) => served,
            // A group that is not served has no control planes.
            Err(kube::Error::Discovery(_)) => return Ok(()),
            Err(error) => {
                let why = runtime::chain(&error);
                return Err(format!("reading the kinds of {group}: {why}"));
            }
        };
        if let Some((resource, _)) = served.recommended_kind(kind) {
            let path = format!(
                "/apis/{}/namespaces/{}/{}/{}",
                resource.api_version,
                asked.namespace,
                resource.plural,
                text("name")
            );
            self.control_plane = get(client, &path).await?;
        }
        Ok(())
    }
}

/// Whether this can be a part of a path.
pub(super) fn is_name(text: &str) -> bool {
    let is_plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.".contains(&b);
    !text.is_empty() && text.len() <= 253 && text.bytes().all(is_plain)
}

/// `None` if it isn't there.
async fn get(client: &Client, path: &str) -> Result<Option<Value>, String> {
    let request = http::Request::get(path).body(vec![]);
    let request = request.map_err(|error| format!("reading {path}: {error}"))?;
    match client.request::<Value>(request).await {
        Ok(object) => Ok(Some(object)),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
        Err(error) => Err(format!("reading {path}: {}", runtime::chain(&error))),
    }
}

async fn list(client: &Client, path: &str) -> Result<Vec<Value>, String> {
    let found = get(client, path).await?;
    let items = found.map(|mut list| list["items"].take());
    match items {
        Some(Value::Array(items)) => Ok(items),
        _ => Ok(vec![]),
    }
}
