//! Stored objects: canonical JSON bytes plus the few facts that the server looks at without decoding them.

use std::cell::RefCell;
use std::sync::Arc;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

/// Where an object lives in one logical cluster.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// Storage name of the resource, `<plural>.<group>` or `<plural>` for the core group; see `Resource::storage`.
    pub resource: Arc<str>,
    /// Empty for cluster-scoped objects.
    pub namespace: Arc<str>,
    pub name: Arc<str>,
}

impl Key {
    /// A key from its three parts; `namespace` is empty for cluster-scoped objects.
    #[must_use]
    pub fn new(resource: &str, namespace: &str, name: &str) -> Self {
        Self {
            resource: resource.into(),
            namespace: namespace.into(),
            name: name.into(),
        }
    }
}

/// What the server reads of an object without decoding it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Header {
    pub namespace: Box<str>,
    pub name: Box<str>,
    pub uid: Box<str>,
    /// The revision that wrote this state; `metadata.resourceVersion` in the bytes says the same.
    pub revision: u64,
    /// Sorted by key.
    pub labels: Box<[(Box<str>, Box<str>)]>,
    pub has_finalizers: bool,
    pub is_deleting: bool,
    /// The node that a pod is bound to; `None` for everything else. Kubelets each watch their own node's pods.
    pub node: Option<Arc<str>>,
}

/// Whether an object of this kind is bound to a node.
fn is_bindable(api_version: &Value, kind: &Value) -> bool {
    api_version == "v1" && kind == "Pod"
}

impl Header {
    /// Reads the header from a decoded object whose revision is `revision`.
    #[must_use]
    pub fn of(value: &Value, revision: u64) -> Self {
        let meta = &value["metadata"];
        let text = |field: &str| meta[field].as_str().unwrap_or_default().into();
        let mut labels: Vec<(Box<str>, Box<str>)> = meta["labels"]
            .as_object()
            .map(|labels| {
                labels
                    .iter()
                    .filter_map(|(k, v)| Some((k.as_str().into(), v.as_str()?.into())))
                    .collect()
            })
            .unwrap_or_default();
        labels.sort();
        let node = is_bindable(&value["apiVersion"], &value["kind"])
            .then(|| value["spec"]["nodeName"].as_str())
            .flatten();
        Self {
            namespace: text("namespace"),
            name: text("name"),
            uid: text("uid"),
            revision,
            labels: labels.into(),
            has_finalizers: meta["finalizers"].as_array().is_some_and(|f| !f.is_empty()),
            is_deleting: !meta["deletionTimestamp"].is_null(),
            node: node.filter(|node| !node.is_empty()).map(Into::into),
        }
    }

    /// The value of label `key`.
    #[must_use]
    pub fn label(&self, key: &str) -> Option<&str> {
        self.labels
            .binary_search_by(|(k, _)| (**k).cmp(key))
            .ok()
            .map(|at| &*self.labels[at].1)
    }
}

/// The deepest nesting of arrays and objects in a stored object. Readers of JSON stop at 127, and lists and watches add
/// levels around it.
pub const MAX_OBJECT_DEPTH: usize = 120;

/// Whether arrays and objects are nested deeper than [`MAX_OBJECT_DEPTH`].
#[must_use]
pub fn is_too_deep(value: &Value) -> bool {
    fn exceeds(value: &Value, left: usize) -> bool {
        match value {
            Value::Array(items) => left == 0 || items.iter().any(|item| exceeds(item, left - 1)),
            Value::Object(fields) => {
                left == 0 || fields.values().any(|item| exceeds(item, left - 1))
            }
            _ => false,
        }
    }
    exceeds(value, MAX_OBJECT_DEPTH)
}

/// Compact JSON in exactly the memory that it needs, as it is kept for long: a text that grows while it is written has
/// room for up to twice as much.
fn encoded(value: &Value) -> Bytes {
    /// What of the memory to write in is kept.
    const KEPT: usize = 256 << 10;
    thread_local! {
        static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    }
    BUFFER.with_borrow_mut(|buffer| {
        let json = match serde_json::to_writer(&mut *buffer, value) {
            Ok(()) => Bytes::copy_from_slice(buffer),
            // Values have no keys that are no texts, and memory takes everything.
            Err(_) => value.to_string().into(),
        };
        buffer.clear();
        buffer.shrink_to(KEPT);
        json
    })
}

/// One immutable state of one object, shared by the store, lists and watchers.
#[derive(Clone, Debug)]
pub struct Object {
    pub header: Header,
    /// Canonical compact JSON of the whole object at its storage version: `apiVersion`, `kind` and
    /// `metadata.resourceVersion` included.
    pub json: Bytes,
}

impl Object {
    /// Encodes `value` as the state written by `revision`, setting `metadata.resourceVersion`.
    #[must_use]
    pub fn encode(mut value: Value, revision: u64) -> Self {
        if let Some(meta) = value.get_mut("metadata").and_then(Value::as_object_mut) {
            meta.insert(
                "resourceVersion".into(),
                Value::String(revision.to_string()),
            );
        }
        let header = Header::of(&value, revision);
        let json = encoded(&value);
        Self { header, json }
    }

    /// Reads a stored state back, of which only the metadata is looked at.
    ///
    /// # Errors
    /// When the bytes are not JSON, which only a damaged store can cause.
    pub fn from_json(json: Bytes, revision: u64) -> Result<Self, serde_json::Error> {
        #[derive(Default, Deserialize)]
        #[serde(default, rename_all = "camelCase")]
        struct Stored<'a> {
            api_version: Value,
            kind: Value,
            metadata: Metadata,
            #[serde(borrow)]
            spec: Option<&'a RawValue>,
        }
        #[derive(Default, Deserialize)]
        #[serde(default, rename_all = "camelCase")]
        struct Metadata {
            namespace: Value,
            name: Value,
            uid: Value,
            labels: Value,
            finalizers: Value,
            deletion_timestamp: Value,
        }
        #[derive(Default, Deserialize)]
        #[serde(default, rename_all = "camelCase")]
        struct Spec {
            node_name: Value,
        }
        let Stored {
            api_version,
            kind,
            metadata,
            spec,
        } = serde_json::from_slice(&json)?;
        let spec: Spec = match spec {
            Some(spec) if is_bindable(&api_version, &kind) => serde_json::from_str(spec.get())?,
            _ => Spec::default(),
        };
        let metadata = json!({
            "namespace": metadata.namespace, "name": metadata.name, "uid": metadata.uid, "labels": metadata.labels,
            "finalizers": metadata.finalizers, "deletionTimestamp": metadata.deletion_timestamp,
        });
        let value = json!({
            "apiVersion": api_version, "kind": kind, "metadata": metadata, "spec": {"nodeName": spec.node_name},
        });
        Ok(Self {
            header: Header::of(&value, revision),
            json,
        })
    }

    /// The decoded object.
    #[must_use]
    pub fn value(&self) -> Value {
        serde_json::from_slice(&self.json).unwrap_or_default()
    }
}
