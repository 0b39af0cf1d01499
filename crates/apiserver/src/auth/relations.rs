//! What is a node's business: its pods, and the Secrets, ConfigMaps, claims, volumes and service accounts that they use.
//!
//! Kept by the revisions of pods and volumes; when one of them changes, only the objects that are new are read again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwapOption;
use serde_json::Value;

use super::Objects;

const PODS: &str = "pods";
const VOLUMES: &str = "persistentvolumes";
const ATTACHMENTS: &str = "volumeattachments.storage.k8s.io";
const SLICES: &str = "resourceslices.resource.k8s.io";

/// A sort of object that can be a node's business.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Secret,
    ConfigMap,
    Claim,
    ServiceAccount,
    ResourceClaim,
    /// By a claim of one of its pods.
    Volume,
    /// One that runs there.
    Pod,
    /// Of a volume to the node.
    Attachment,
    /// Of the node's devices.
    Slice,
}

/// Whose pods use what, in one logical cluster.
#[derive(Debug, Default)]
pub(super) struct Relations {
    snapshot: ArcSwapOption<Snapshot>,
    /// One thread at a time reads.
    reading: Mutex<()>,
}

#[derive(Debug)]
struct Snapshot {
    /// Of pods and volumes.
    revisions: [u64; 2],
    /// With the revision at which each was read.
    pods: HashMap<Place, (u64, Arc<Uses>)>,
    /// The pods of each node.
    nodes: HashMap<Box<str>, Vec<Arc<Uses>>>,
    volumes: HashMap<Box<str>, Volume>,
}

/// Namespace and name.
type Place = (Box<str>, Box<str>);

/// What a pod uses in its namespace.
#[derive(Debug)]
struct Uses {
    node: Box<str>,
    namespace: Box<str>,
    things: Vec<(Kind, Box<str>)>,
}

#[derive(Debug)]
struct Volume {
    /// The claim that it is bound to.
    claim: Place,
    /// The Secrets with which it is mounted.
    secrets: Vec<Place>,
}

impl Relations {
    /// Whether the object is the business of `node`.
    pub(super) fn reach(
        &self,
        objects: &dyn Objects,
        node: &str,
        kind: Kind,
        namespace: &str,
        name: &str,
    ) -> bool {
        let names_node = |resource: &str| {
            let object = objects.get(resource, "", name);
            object.is_some_and(|object| object.value()["spec"]["nodeName"] == node)
        };
        match kind {
            Kind::Attachment => return names_node(ATTACHMENTS),
            Kind::Slice => return names_node(SLICES),
            _ => {}
        }
        let snapshot = self.snapshot(objects);
        match kind {
            Kind::Pod => snapshot.runs(node, namespace, name),
            Kind::Volume => {
                let volume = snapshot.volumes.get(name);
                volume.is_some_and(|volume| snapshot.mounts(node, volume))
            }
            Kind::Secret => {
                snapshot.uses(node, kind, namespace, name)
                    || snapshot.is_secret_of_volume(node, namespace, name)
            }
            _ => snapshot.uses(node, kind, namespace, name),
        }
    }

    fn snapshot(&self, objects: &dyn Objects) -> Arc<Snapshot> {
        // Revisions first: what changes while the lists are read makes the next call read again.
        let current = || [PODS, VOLUMES].map(|resource| objects.revision_of(resource));
        let is_current = |known: &Arc<Snapshot>| known.revisions == current();
        if let Some(known) = self.snapshot.load_full().filter(is_current) {
            return known;
        }
        let _reading = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        let known = self.snapshot.load_full();
        if let Some(known) = known.as_ref().filter(|known| is_current(known)) {
            return known.clone();
        }
        let revisions = current();
        let fresh = Arc::new(Snapshot::read(objects, revisions, known.as_deref()));
        self.snapshot.store(Some(fresh.clone()));
        fresh
    }
}

impl Snapshot {
    fn read(objects: &dyn Objects, revisions: [u64; 2], old: Option<&Self>) -> Self {
        let mut pods = HashMap::new();
        let mut nodes: HashMap<Box<str>, Vec<Arc<Uses>>> = HashMap::new();
        for pod in objects.list(PODS, None) {
            let header = &pod.header;
            let key = (header.namespace.clone(), header.name.clone());
            let known = old
                .and_then(|old| old.pods.get(&key))
                .filter(|(revision, _)| *revision == header.revision);
            let uses = match known {
                Some((_, uses)) => uses.clone(),
                None => Arc::new(Uses::read(&header.namespace, &header.name, &pod.value())),
            };
            if !uses.node.is_empty() {
                nodes
                    .entry(uses.node.clone())
                    .or_default()
                    .push(uses.clone());
            }
            pods.insert(key, (header.revision, uses));
        }
        let volumes = objects.list(VOLUMES, None).into_iter().map(|volume| {
            let read = Volume::read(&volume.value()["spec"]);
            (volume.header.name.clone(), read)
        });
        Self {
            revisions,
            pods,
            nodes,
            volumes: volumes.collect(),
        }
    }

    fn uses(&self, node: &str, kind: Kind, namespace: &str, name: &str) -> bool {
        let pods = self.nodes.get(node).into_iter().flatten();
        pods.filter(|pod| *pod.namespace == *namespace)
            .any(|pod| pod.things.iter().any(|(k, n)| *k == kind && **n == *name))
    }

    fn runs(&self, node: &str, namespace: &str, name: &str) -> bool {
        let pod = self.pods.get(&(namespace.into(), name.into()));
        pod.is_some_and(|(_, uses)| *uses.node == *node)
    }

    fn is_secret_of_volume(&self, node: &str, namespace: &str, name: &str) -> bool {
        self.volumes.values().any(|volume| {
            let mut secrets = volume.secrets.iter();
            secrets.any(|(n, s)| **n == *namespace && **s == *name) && self.mounts(node, volume)
        })
    }

    fn mounts(&self, node: &str, volume: &Volume) -> bool {
        self.uses(node, Kind::Claim, &volume.claim.0, &volume.claim.1)
    }
}

impl Uses {
    fn read(namespace: &str, name: &str, pod: &Value) -> Self {
        let spec = &pod["spec"];
        let text = |value: &Value| -> Box<str> { value.as_str().unwrap_or_default().into() };
        let mut uses = Self {
            node: text(&spec["nodeName"]),
            namespace: namespace.into(),
            things: vec![],
        };
        // Nodes make these themselves, so they give a node nothing.
        let mirrored = &pod["metadata"]["annotations"]["kubernetes.io/config.mirror"];
        if !mirrored.is_null() {
            return uses;
        }
        uses.add(Kind::ServiceAccount, &spec["serviceAccountName"]);
        for secret in spec["imagePullSecrets"].as_array().into_iter().flatten() {
            uses.add(Kind::Secret, &secret["name"]);
        }
        for list in [
            "containers",
            "initContainers",
            "ephemeralContainers",
            "volumes",
        ] {
            uses.add_all(&spec[list]);
        }
        for volume in spec["volumes"].as_array().into_iter().flatten() {
            if let Some(volume_name) = volume["name"]
                .as_str()
                .filter(|_| !volume["ephemeral"].is_null())
            {
                let claim = format!("{name}-{volume_name}");
                uses.things.push((Kind::Claim, claim.into()));
            }
        }
        uses.add_resource_claims(pod);
        uses
    }

    /// Claims of devices, by their names or as they were made of templates.
    fn add_resource_claims(&mut self, pod: &Value) {
        let status = &pod["status"];
        let made = status["resourceClaimStatuses"].as_array();
        for claim in pod["spec"]["resourceClaims"]
            .as_array()
            .into_iter()
            .flatten()
        {
            self.add(Kind::ResourceClaim, &claim["resourceClaimName"]);
            if claim["resourceClaimTemplateName"].is_null() {
                continue;
            }
            let mut made = made.into_iter().flatten();
            if let Some(made) = made.find(|made| made["name"] == claim["name"]) {
                self.add(Kind::ResourceClaim, &made["resourceClaimName"]);
            }
        }
        let extended = &status["extendedResourceClaimStatus"];
        self.add(Kind::ResourceClaim, &extended["resourceClaimName"]);
    }

    fn add(&mut self, kind: Kind, name: &Value) {
        if let Some(name) = name.as_str().filter(|name| !name.is_empty()) {
            self.things.push((kind, name.into()));
        }
    }

    /// Adds what is named anywhere in containers or volumes, in the ways in which their fields name things.
    fn add_all(&mut self, value: &Value) {
        match value {
            Value::Array(items) => items.iter().for_each(|item| self.add_all(item)),
            Value::Object(fields) => {
                for (field, value) in fields {
                    match field.as_str() {
                        "secretKeyRef" | "secretRef" | "nodePublishSecretRef" => {
                            self.add(Kind::Secret, &value["name"]);
                        }
                        "secret" => {
                            self.add(Kind::Secret, &value["secretName"]);
                            self.add(Kind::Secret, &value["name"]);
                        }
                        "azureFile" => self.add(Kind::Secret, &value["secretName"]),
                        "configMapKeyRef" | "configMapRef" | "configMap" => {
                            self.add(Kind::ConfigMap, &value["name"]);
                        }
                        "persistentVolumeClaim" => self.add(Kind::Claim, &value["claimName"]),
                        _ => self.add_all(value),
                    }
                }
            }
            _ => {}
        }
    }
}

impl Volume {
    fn read(spec: &Value) -> Self {
        let text = |value: &Value| -> Box<str> { value.as_str().unwrap_or_default().into() };
        let claim = &spec["claimRef"];
        let claim = (text(&claim["namespace"]), text(&claim["name"]));
        let mut secrets = vec![];
        for source in spec.as_object().into_iter().flat_map(|spec| spec.values()) {
            if let Some(name) = source["secretName"].as_str() {
                let namespace = source["secretNamespace"].as_str().unwrap_or(&claim.0);
                secrets.push((namespace.into(), name.into()));
            }
            for field in [
                "secretRef",
                "nodePublishSecretRef",
                "nodeStageSecretRef",
                "nodeExpandSecretRef",
            ] {
                let Some(name) = source[field]["name"].as_str() else {
                    continue;
                };
                let namespace = source[field]["namespace"].as_str().unwrap_or(&claim.0);
                secrets.push((namespace.into(), name.into()));
            }
        }
        Self { claim, secrets }
    }
}
