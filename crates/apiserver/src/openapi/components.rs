//! The named schemas of a document: every message that its resources refer to.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::Version;
use super::schema::Writer;
use super::words;
use crate::resource::Resource;
use crate::schema::builtin::{self, META, OBJECT_META};
use crate::schema::{Schema, Type};

pub(super) const TIME: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.Time";
pub(super) const MICRO_TIME: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime";
pub(super) const QUANTITY: &str = "io.k8s.apimachinery.pkg.api.resource.Quantity";
pub(super) const INT_OR_STRING: &str = "io.k8s.apimachinery.pkg.util.intstr.IntOrString";
pub(super) const PATCH: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.Patch";
pub(super) const STATUS: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.Status";
pub(super) const WATCH_EVENT: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.WatchEvent";
pub(super) const DELETE_OPTIONS: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions";

/// Group, version and kind of a component.
type Kind = (String, String, String);

/// Collects components while paths are written.
pub(super) struct Components {
    pub(super) writer: Writer,
    /// Kinds that components stand for.
    kinds: BTreeMap<String, BTreeSet<Kind>>,
    /// Components that no table has: those of custom resources.
    custom: BTreeMap<String, Value>,
}

impl Components {
    pub(super) fn new(version: Version) -> Self {
        Self {
            writer: Writer {
                version,
                is_builtin: true,
                referred: BTreeSet::new(),
            },
            kinds: BTreeMap::new(),
            custom: BTreeMap::new(),
        }
    }

    /// Notes that component `name` is a kind.
    pub(super) fn mark(&mut self, name: &str, group: &str, version: &str, kind: &str) {
        let kinds = self.kinds.entry(name.to_owned()).or_default();
        kinds.insert((group.to_owned(), version.to_owned(), kind.to_owned()));
    }

    /// Adds the components of a resource and of its list; answers their names.
    pub(super) fn add(&mut self, resource: &Resource) -> (String, String) {
        let (name, list_name) = match &resource.schema.ty {
            Type::Ref(name) => (name.to_string(), format!("{name}List")),
            _ => {
                let package = reversed(&resource.group);
                let name = |kind: &str| format!("{package}.{}.{kind}", resource.version);
                let names = (name(&resource.kind), name(&resource.list_kind));
                self.add_custom(resource, &names);
                names
            }
        };
        let (group, version) = (&resource.group, &resource.version);
        self.mark(&name, group, version, &resource.kind);
        self.mark(&list_name, group, version, &resource.list_kind);
        (name, list_name)
    }

    fn add_custom(&mut self, resource: &Resource, (name, list_name): &(String, String)) {
        let is_open = self.writer.version == Version::V2 && resource.schema.preserve_unknown;
        let node = if is_open {
            // kubectl takes the members that version 2 names for all that there are.
            json!({"type": "object"})
        } else {
            self.custom_kind(resource)
        };
        let list_metadata = self.writer.reference(&format!("{META}.ListMeta"));
        let item = self.writer.reference(name);
        let list = json!({
            "type": "object", "required": ["items"],
            "properties": {
                "apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": list_metadata,
                "items": {"type": "array", "items": item},
            },
        });
        self.custom.insert(name.clone(), node);
        self.custom.insert(list_name.clone(), list);
    }

    /// The schema of a custom resource, with the members that every object has.
    fn custom_kind(&mut self, resource: &Resource) -> Value {
        self.writer.is_builtin = false;
        let mut node = self.writer.node(&resource.schema);
        self.writer.is_builtin = true;
        let mut metadata = json!({"description": words::of_object("metadata")});
        let reference = self.writer.reference(OBJECT_META);
        match self.writer.version {
            // Nothing may stand beside a reference.
            Version::V3 => metadata["allOf"] = json!([reference]),
            Version::V2 => metadata["$ref"] = reference["$ref"].clone(),
        }
        node["type"] = "object".into();
        let mut properties = match node["properties"].take() {
            Value::Object(properties) => properties,
            _ => Map::new(),
        };
        for field in ["apiVersion", "kind"] {
            let description = words::of_object(field);
            properties.insert(
                field.into(),
                json!({"description": description, "type": "string"}),
            );
        }
        properties.insert("metadata".into(), metadata);
        node["properties"] = Value::Object(properties);
        node
    }

    /// All components that are referred to, directly or through others.
    pub(super) fn finish(mut self) -> Map<String, Value> {
        let mut done: BTreeMap<String, Value> = BTreeMap::new();
        loop {
            let mut referred = std::mem::take(&mut self.writer.referred);
            referred.retain(|name| !done.contains_key(name));
            if referred.is_empty() {
                break;
            }
            for name in referred {
                let node = self.component(&name);
                done.insert(name, node);
            }
        }
        done.into_iter().collect()
    }

    fn component(&mut self, name: &str) -> Value {
        let mut node = match self.custom.remove(name) {
            Some(node) => node,
            None => self.common(name).unwrap_or_else(|| {
                let message = builtin::message(name);
                message.map_or_else(
                    || json!({"type": "object"}),
                    |message| self.message(message),
                )
            }),
        };
        words::describe(name, &mut node);
        if let Some((group, version, kind)) = builtin::kind_of(name) {
            self.mark(name, group, version, kind);
        }
        if let Some(kinds) = self.kinds.get(name) {
            let kinds = kinds.iter().map(
                |(group, version, kind)| json!({"group": group, "version": version, "kind": kind}),
            );
            node["x-kubernetes-group-version-kind"] = kinds.collect();
        }
        node
    }

    fn message(&mut self, message: &Schema) -> Value {
        let node = self.writer.node(message);
        // Empty messages are objects, too.
        if node["type"].is_null() {
            json!({"type": "object"})
        } else {
            node
        }
    }

    /// The types that are written in a way of their own.
    fn common(&self, name: &str) -> Option<Value> {
        let is_v3 = self.writer.version == Version::V3;
        Some(match name {
            TIME | MICRO_TIME => json!({"type": "string", "format": "date-time"}),
            QUANTITY if is_v3 => json!({"oneOf": [{"type": "string"}, {"type": "number"}]}),
            QUANTITY => json!({"type": "string"}),
            INT_OR_STRING if is_v3 => {
                json!({"format": "int-or-string", "oneOf": [{"type": "integer"}, {"type": "string"}]})
            }
            INT_OR_STRING => json!({"type": "string", "format": "int-or-string"}),
            WATCH_EVENT => json!({
                "description": "One change that a watch tells of.", "type": "object", "required": ["type", "object"],
                "properties": {
                    "type": {"type": "string", "description": "ADDED, MODIFIED, DELETED, BOOKMARK or ERROR."},
                    "object": {"type": "object", "description": "The object as it is now, or was when it was deleted; of an error, a Status."},
                },
            }),
            _ => return None,
        })
    }
}

/// `com.example.stable` of `stable.example.com`.
fn reversed(group: &str) -> String {
    let labels: Vec<&str> = group.rsplit('.').collect();
    labels.join(".")
}

/// The component of a kind of a group version that is not a resource, e.g. `Scale` of `autoscaling/v1`.
pub(super) fn kind_component(group: &str, version: &str, kind: &str) -> Option<String> {
    let first = if group.is_empty() {
        "core"
    } else {
        group.split('.').next().unwrap_or_default()
    };
    let suffix = format!(".{first}.{version}");
    let package = builtin::packages().find(|package| package.ends_with(&suffix))?;
    let name = format!("{package}.{kind}");
    builtin::message(&name).map(|_| name)
}
