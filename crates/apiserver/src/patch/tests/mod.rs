//! What the patches do, as tables of texts: a story of writes, and what the object and its owners are afterwards.

mod applying;
mod document;
mod kinds;
mod lists;
mod migration;
mod properties;
mod sets;
mod strategic;
mod updates;
mod versions;

use std::fmt::Write as _;
use std::sync::Arc;

use expect_test::Expect;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::managed::{Managed, Operation};
use super::{Manager, apply, is_same, record_update};
use crate::schema::{Field, ListType, Object, PatchStrategy, Schema, Type};
use crate::status::Status;

/// Parses YAML or JSON.
fn yaml(text: &str) -> Value {
    serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// Builds a schema from OpenAPI v3 with Kubernetes' extensions.
fn schema_of(open_api: &Value) -> Schema {
    let flag = |name: &str| open_api[name].as_bool().unwrap_or(false);
    let text = |name: &str| open_api[name].as_str().unwrap_or_default();
    let arc = |value: &Value| Arc::new(schema_of(value));
    let ty = match text("type") {
        _ if flag("x-kubernetes-int-or-string") => Type::IntOrString,
        "string" => Type::String,
        "integer" => Type::Integer,
        "number" => Type::Number,
        "boolean" => Type::Boolean,
        "array" => Type::Array(arc(&open_api["items"])),
        "object" => Type::Object(Object {
            fields: open_api["properties"]
                .as_object()
                .into_iter()
                .flatten()
                .map(|(name, field)| {
                    (
                        name.as_str().into(),
                        Field {
                            schema: arc(field),
                            required: false,
                            proto: None,
                        },
                    )
                })
                .collect(),
            additional: open_api.get("additionalProperties").map(arc),
        }),
        _ => Type::Any,
    };
    let keys = open_api["x-kubernetes-list-map-keys"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str);
    let default_of = |key: &str| open_api["items"]["properties"][key].get("default").cloned();
    let strategy = text("x-kubernetes-patch-strategy");
    Schema {
        ty,
        preserve_unknown: flag("x-kubernetes-preserve-unknown-fields"),
        embedded: flag("x-kubernetes-embedded-resource"),
        list_type: match text("x-kubernetes-list-type") {
            "set" => ListType::Set,
            "map" => ListType::Map(keys.map(|key| (key.into(), default_of(key))).collect()),
            _ => ListType::Atomic,
        },
        atomic_map: text("x-kubernetes-map-type") == "atomic",
        patch: (!strategy.is_empty()).then(|| PatchStrategy {
            merge: strategy.contains("merge"),
            retain_keys: strategy.contains("retainKeys"),
            merge_key: open_api["x-kubernetes-patch-merge-key"]
                .as_str()
                .map(Into::into),
        }),
        ..Schema::default()
    }
}

/// The kind that most stories are about.
fn thing() -> Schema {
    schema_of(&yaml(
        r"
type: object
properties:
  apiVersion: {type: string}
  kind: {type: string}
  metadata:
    type: object
    properties:
      name: {type: string}
      namespace: {type: string}
      uid: {type: string}
      resourceVersion: {type: string}
      creationTimestamp: {}
      labels: {type: object, additionalProperties: {type: string}}
      annotations: {type: object, additionalProperties: {type: string}}
      finalizers: {type: array, items: {type: string}, x-kubernetes-list-type: set, x-kubernetes-patch-strategy: merge}
      managedFields: {type: array, items: {type: object}}
  spec:
    type: object
    properties:
      replicas: {type: integer}
      paused: {type: boolean}
      name: {type: string}
      maxSurge: {x-kubernetes-int-or-string: true}
      args: {type: array, items: {type: string}}
      zones: {type: array, items: {type: string}, x-kubernetes-list-type: set}
      selector:
        type: object
        x-kubernetes-map-type: atomic
        properties:
          matchLabels: {type: object, additionalProperties: {type: string}}
      nested: {type: object, additionalProperties: {type: object, additionalProperties: {type: string}}}
      config: {type: object, x-kubernetes-preserve-unknown-fields: true}
      template: {type: object, x-kubernetes-embedded-resource: true, properties: {spec: {type: object}}}
      containers:
        type: array
        x-kubernetes-list-type: map
        x-kubernetes-list-map-keys: [name]
        x-kubernetes-patch-strategy: merge
        x-kubernetes-patch-merge-key: name
        items:
          type: object
          properties:
            name: {type: string}
            image: {type: string}
            args: {type: array, items: {type: string}}
            env:
              type: array
              x-kubernetes-list-type: map
              x-kubernetes-list-map-keys: [name]
              x-kubernetes-patch-strategy: merge
              x-kubernetes-patch-merge-key: name
              items: {type: object, properties: {name: {type: string}, value: {type: string}}}
            ports:
              type: array
              x-kubernetes-list-type: map
              x-kubernetes-list-map-keys: [containerPort, protocol]
              x-kubernetes-patch-strategy: merge
              x-kubernetes-patch-merge-key: containerPort
              items:
                type: object
                properties:
                  containerPort: {type: integer}
                  protocol: {type: string, default: TCP}
                  name: {type: string}
  status:
    type: object
    properties:
      replicas: {type: integer}
      conditions:
        type: array
        x-kubernetes-list-type: map
        x-kubernetes-list-map-keys: [type]
        items: {type: object, properties: {type: {type: string}, status: {type: string}}}
",
    ))
}

/// One object and what was done to it.
struct Story {
    schema: Schema,
    has_status: bool,
    live: Option<Value>,
    second: i64,
    log: String,
}

impl Story {
    fn new(schema: Schema) -> Self {
        Self {
            schema,
            has_status: true,
            live: None,
            second: 0,
            log: String::new(),
        }
    }

    /// One line: `VERB MANAGER[/SUBRESOURCE][@VERSION]: BODY`.
    fn tell(&mut self, line: &str) {
        self.second += 1;
        let (head, body) = line
            .split_once(':')
            .unwrap_or_else(|| panic!("no colon in {line:?}"));
        let (verb, who) = head
            .split_once(' ')
            .unwrap_or_else(|| panic!("no manager in {line:?}"));
        let (who, version) = who.split_once('@').unwrap_or((who, "v1"));
        let (name, subresource) = who.split_once('/').unwrap_or((who, ""));
        let now = Timestamp::from_second(self.second).unwrap();
        let manager = Manager {
            name,
            api_version: version,
            subresource,
            has_status: self.has_status,
            now,
            versions: &super::OneForm,
        };
        let mut value = yaml(body);
        for (field, text) in [("apiVersion", version), ("kind", "Thing")] {
            if value[field].is_null() {
                value[field] = text.into();
            }
        }
        if value["metadata"]["name"].is_null() {
            value["metadata"]["name"] = "x".into();
        }
        match verb {
            "apply" => self.take(apply(
                self.live.as_ref(),
                &value,
                &self.schema,
                &manager,
                false,
            )),
            "force" => self.take(apply(
                self.live.as_ref(),
                &value,
                &self.schema,
                &manager,
                true,
            )),
            "put" => {
                record_update(self.live.as_ref(), &mut value, &self.schema, &manager);
                self.take(Ok(value));
            }
            "untracked" => self.live = Some(value),
            other => panic!("no verb {other:?}"),
        }
    }

    fn take(&mut self, result: Result<Value, Status>) {
        match result {
            Ok(new) => {
                if self.live.as_ref().is_some_and(|live| is_same(live, &new)) {
                    let _ = writeln!(self.log, "{}: nothing changed", self.second);
                }
                self.live = Some(new);
            }
            Err(status) => {
                let _ = writeln!(
                    self.log,
                    "{}: {} {}",
                    self.second, status.code, status.message
                );
            }
        }
    }

    fn show(mut self) -> String {
        let mut object = self.live.take().unwrap_or_default();
        let meta = object["metadata"]
            .as_object_mut()
            .map(std::mem::take)
            .unwrap_or_default();
        let managed = Managed::of_stored(meta.get("managedFields"));
        let rest: serde_json::Map<_, _> = meta
            .into_iter()
            .filter(|(field, _)| !["name", "managedFields"].contains(&field.as_str()))
            .collect();
        let members = object.as_object_mut().unwrap();
        for field in ["apiVersion", "kind", "metadata"] {
            members.remove(field);
        }
        if !rest.is_empty() {
            members.insert("metadata".into(), rest.into());
        }
        let mut out = self.log;
        let _ = writeln!(out, "{object}");
        for entry in managed.entries {
            let owner = &entry.owner;
            let verb = if owner.operation == Operation::Apply {
                "applied"
            } else {
                "updated"
            };
            let time = entry
                .time
                .map_or("?".into(), |time| time.as_second().to_string());
            let sub = if owner.subresource.is_empty() {
                String::new()
            } else {
                format!("/{}", owner.subresource)
            };
            let _ = write!(
                out,
                "{}{sub} {verb} {} at {time}:",
                owner.manager, owner.api_version
            );
            entry.set().each(&mut |path| {
                let _ = write!(out, " {path}");
            });
            out.push('\n');
        }
        out
    }
}

/// Tells a story about a [`thing`], one write per line.
fn check(story: &str, expected: &Expect) {
    let mut told = Story::new(thing());
    for line in story.lines().map(str::trim).filter(|line| !line.is_empty()) {
        told.tell(line);
    }
    expected.assert_eq(&told.show());
}

/// The object alone, without a story.
fn object(body: &str) -> Value {
    let mut value = yaml(body);
    for (field, text) in [("apiVersion", json!("v1")), ("kind", json!("Thing"))] {
        value[field] = text;
    }
    value["metadata"]["name"] = "x".into();
    value
}
