//! The paths of a resource with their operations.

use serde_json::{Map, Value, json};

use super::Version;
use super::components::{Components, DELETE_OPTIONS, PATCH, STATUS, WATCH_EVENT, kind_component};
use crate::resource::{Resource, Subresource};
use crate::schema::{Schema, Type, builtin};

/// What answers are written in; custom resources only in the first two.
const ANSWER_TYPES: &[&str] = &[
    "application/json",
    "application/yaml",
    "application/vnd.kubernetes.protobuf",
];
/// Lists are also read as streams of events.
const STREAM_TYPES: &[&str] = &[
    "application/json",
    "application/yaml",
    "application/vnd.kubernetes.protobuf",
    "application/json;stream=watch",
    "application/vnd.kubernetes.protobuf;stream=watch",
];
const CUSTOM_TYPES: &[&str] = &["application/json", "application/yaml"];
const PATCH_TYPES: [&str; 3] = [
    "application/apply-patch+yaml",
    "application/json-patch+json",
    "application/merge-patch+json",
];
const STRATEGIC_PATCH: &str = "application/strategic-merge-patch+json";

/// What the id of an operation on a resource in all namespaces ends with, if it watches.
const EVERYWHERE: &str = "ListForAllNamespaces";

/// Query parameters with their types.
type Parameters = &'static [(&'static str, &'static str)];

const LIST: Parameters = &[
    ("allowWatchBookmarks", "boolean"),
    ("continue", "string"),
    ("fieldSelector", "string"),
    ("labelSelector", "string"),
    ("limit", "integer"),
    ("resourceVersion", "string"),
    ("resourceVersionMatch", "string"),
    ("sendInitialEvents", "boolean"),
    ("timeoutSeconds", "integer"),
    ("watch", "boolean"),
];
const WRITE: Parameters = &[
    ("dryRun", "string"),
    ("fieldManager", "string"),
    ("fieldValidation", "string"),
];
const APPLY: Parameters = &[
    ("dryRun", "string"),
    ("fieldManager", "string"),
    ("fieldValidation", "string"),
    ("force", "boolean"),
];
const DELETE: Parameters = &[
    ("dryRun", "string"),
    ("gracePeriodSeconds", "integer"),
    ("orphanDependents", "boolean"),
    ("propagationPolicy", "string"),
];
const DELETE_COLLECTION: Parameters = &[
    ("continue", "string"),
    ("dryRun", "string"),
    ("fieldSelector", "string"),
    ("gracePeriodSeconds", "integer"),
    ("labelSelector", "string"),
    ("limit", "integer"),
    ("orphanDependents", "boolean"),
    ("propagationPolicy", "string"),
    ("resourceVersion", "string"),
    ("resourceVersionMatch", "string"),
    ("sendInitialEvents", "boolean"),
    ("timeoutSeconds", "integer"),
];

/// One operation before it is written.
#[derive(Clone, Copy)]
struct Operation<'a> {
    /// First word of the operation's id.
    word: &'a str,
    /// `x-kubernetes-action`.
    action: &'a str,
    method: &'a str,
    parameters: Parameters,
    body: Option<&'a str>,
    answer: Option<&'a str>,
    /// Group, version and kind.
    kind: (&'a str, &'a str, &'a str),
    /// What the id says behind the kind.
    suffix: &'a str,
}

/// Writes the paths of one resource.
pub(super) struct Paths<'a> {
    /// `/api/v1`, `/apis/apps/v1`.
    pub(super) root: String,
    pub(super) version: Version,
    pub(super) resource: &'a Resource,
    /// Names of the components.
    pub(super) object: String,
    pub(super) list: String,
    pub(super) components: &'a mut Components,
}

impl Paths<'_> {
    pub(super) fn write(&mut self) -> Map<String, Value> {
        let resource = self.resource;
        let (group, version) = (&*resource.group, &*resource.version);
        self.components
            .mark(DELETE_OPTIONS, group, version, "DeleteOptions");
        self.components.mark(STATUS, "", "v1", "Status");
        let scope = if resource.namespaced {
            "/namespaces/{namespace}"
        } else {
            ""
        };
        let collection = format!("{}{scope}/{}", self.root, resource.plural);
        let item = format!("{collection}/{{name}}");
        let mut paths = Map::new();
        let mut add = |path: String, operations: Map<String, Value>| {
            if operations.iter().any(|(key, _)| key != "parameters") {
                paths.insert(path, Value::Object(operations));
            }
        };
        add(collection, self.collection());
        add(item.clone(), self.item());
        if resource.namespaced && resource.verbs.contains(&"list") {
            add(
                format!("{}/{}", self.root, resource.plural),
                self.all_namespaces(),
            );
        }
        for sub in &resource.subresources {
            let path = format!("{item}/{}", sub.name);
            if &*sub.name == "proxy" {
                let within = self.subresource(sub, "WithPath");
                add(format!("{path}/{{path}}"), within);
            }
            add(path, self.subresource(sub, ""));
        }
        // The old way to watch, which nobody needs any more, is not published for custom resources.
        if resource.custom.is_none() && resource.verbs.contains(&"watch") {
            let (root, plural) = (&self.root, &resource.plural);
            let collection = format!("{root}/watch{scope}/{plural}");
            let item = format!("{collection}/{{name}}");
            let everywhere = format!("{root}/watch/{plural}");
            add(collection, self.watch("watchlist", "List"));
            add(item, self.watch("watch", ""));
            if resource.namespaced {
                add(everywhere, self.watch("watchlist", EVERYWHERE));
            }
        }
        paths
    }

    /// The operation that only watches; `suffix` says what of the resource.
    fn watch(&mut self, action: &str, suffix: &str) -> Map<String, Value> {
        let own = self.own_kind();
        let operation = Operation {
            word: "watch",
            action,
            method: "get",
            parameters: LIST,
            body: None,
            answer: Some(WATCH_EVENT),
            kind: (&*own.0, &*own.1, &*own.2),
            suffix,
        };
        let path: &[&str] = match (suffix, self.resource.namespaced) {
            ("List", true) => &["namespace"],
            ("", _) => self.item_parameters(),
            _ => &[],
        };
        self.operations(&[("watch", operation)], &["watch"], path, &[])
    }

    fn own_kind(&self) -> (String, String, String) {
        let resource = self.resource;
        (
            resource.group.to_string(),
            resource.version.to_string(),
            resource.kind.to_string(),
        )
    }

    /// Those of the `known` operations (by verb) that `verbs` name, by method, with the parameters they share.
    fn operations(
        &mut self,
        known: &[(&str, Operation<'_>)],
        verbs: &[&str],
        path_parameters: &[&str],
        options: &[(String, &str)],
    ) -> Map<String, Value> {
        let mut operations = Map::new();
        for (verb, operation) in known {
            if verbs.contains(verb) {
                operations.insert(operation.method.to_owned(), self.operation(operation));
            }
        }
        let mut parameters: Vec<Value> = path_parameters
            .iter()
            .map(|name| self.parameter(name, "path", "string"))
            .collect();
        let options = options.iter();
        parameters.extend(options.map(|(name, ty)| self.parameter(name, "query", ty)));
        if !operations
            .values()
            .any(|o| o["x-kubernetes-action"] == "connect")
        {
            parameters.push(self.parameter("pretty", "query", "string"));
        }
        if let [operation] = operations.values_mut().collect::<Vec<_>>().as_mut_slice() {
            hoist(operation, &mut parameters);
        }
        operations.insert("parameters".into(), parameters.into());
        operations
    }

    fn collection(&mut self) -> Map<String, Value> {
        let own = self.own_kind();
        let kind = (&*own.0, &*own.1, &*own.2);
        let (object, list) = (self.object.clone(), self.list.clone());
        let operation = |word, action, method, parameters, body, answer| Operation {
            word,
            action,
            method,
            parameters,
            body,
            answer,
            kind,
            suffix: "",
        };
        let known = [
            (
                "list",
                operation("list", "list", "get", LIST, None, Some(&*list)),
            ),
            (
                "create",
                operation(
                    "create",
                    "post",
                    "post",
                    WRITE,
                    Some(&*object),
                    Some(&*object),
                ),
            ),
            (
                "deletecollection",
                operation(
                    "delete",
                    "deletecollection",
                    "delete",
                    DELETE_COLLECTION,
                    Some(DELETE_OPTIONS),
                    Some(STATUS),
                ),
            ),
        ];
        let path: &[&str] = if self.resource.namespaced {
            &["namespace"]
        } else {
            &[]
        };
        self.operations(&known, &self.resource.verbs, path, &[])
    }

    fn all_namespaces(&mut self) -> Map<String, Value> {
        let own = self.own_kind();
        let list = self.list.clone();
        let known = [(
            "list",
            Operation {
                word: "list",
                action: "list",
                method: "get",
                parameters: LIST,
                body: None,
                answer: Some(&*list),
                kind: (&*own.0, &*own.1, &*own.2),
                suffix: "ForAllNamespaces",
            },
        )];
        self.operations(&known, &["list"], &[], &[])
    }

    fn item(&mut self) -> Map<String, Value> {
        let own = self.own_kind();
        let object = self.object.clone();
        let answer = if self.resource.strategy.delete_returns_object {
            object.clone()
        } else {
            STATUS.to_owned()
        };
        let mut known = on_one((&*own.0, &*own.1, &*own.2), Some(&object), "").to_vec();
        known.push((
            "delete",
            Operation {
                word: "delete",
                action: "delete",
                method: "delete",
                parameters: DELETE,
                body: Some(DELETE_OPTIONS),
                answer: Some(&answer),
                kind: (&*own.0, &*own.1, &*own.2),
                suffix: "",
            },
        ));
        // POST belongs to the collection.
        known.retain(|(verb, _)| *verb != "create");
        self.operations(&known, &self.resource.verbs, self.item_parameters(), &[])
    }

    fn item_parameters(&self) -> &'static [&'static str] {
        if self.resource.namespaced {
            &["name", "namespace"]
        } else {
            &["name"]
        }
    }

    /// The operations on a subresource, or (`WithPath`) on what is below it.
    fn subresource(&mut self, sub: &Subresource, below: &str) -> Map<String, Value> {
        let own = self.own_kind();
        let (group, version) = match &sub.group_version {
            Some((group, version)) => (&**group, &**version),
            None => (&*own.0, &*own.1),
        };
        let component = if *sub.kind == *own.2 && sub.group_version.is_none() {
            Some(self.object.clone())
        } else {
            kind_component(group, version, &sub.kind)
        };
        let kind = (group, version, &*sub.kind);
        let suffix = camel(&sub.name) + below;
        // Connections to containers and nodes speak what they carry, not objects.
        let is_connect = sub.kind.ends_with("Options") || &*sub.name == "log";
        let mut known = if is_connect {
            on_one(kind, None, &suffix).to_vec()
        } else {
            if let Some(component) = &component {
                self.components.mark(component, group, version, &sub.kind);
            }
            on_one(kind, component.as_deref(), &suffix).to_vec()
        };
        if sub.kind.ends_with("Options") {
            known.push((
                "delete",
                Operation {
                    word: "delete",
                    method: "delete",
                    ..known[0].1
                },
            ));
            for (_, operation) in &mut known {
                (operation.word, operation.action, operation.parameters) =
                    ("connect", "connect", &[]);
            }
        }
        let options = match &*sub.name {
            "log" => options("PodLogOptions"),
            _ if is_connect => options(&sub.kind),
            _ => vec![],
        };
        let mut path = self.item_parameters().to_vec();
        if !below.is_empty() {
            path.push("path");
        }
        self.operations(&known, &sub.verbs, &path, &options)
    }

    fn operation(&mut self, operation: &Operation<'_>) -> Value {
        let (group, version, kind) = operation.kind;
        let mut parameters: Vec<Value> = operation
            .parameters
            .iter()
            .map(|(name, ty)| self.parameter(name, "query", ty))
            .collect();
        let mut written = Map::new();
        let body_types: Vec<&str> = match operation.method {
            "patch" if self.resource.custom.is_some() => PATCH_TYPES.to_vec(),
            "patch" => PATCH_TYPES.into_iter().chain([STRATEGIC_PATCH]).collect(),
            _ => vec!["*/*"],
        };
        let body = operation
            .body
            .map(|name| self.components.writer.reference(name));
        let answer = match operation.answer {
            Some(name) => self.components.writer.reference(name),
            None => json!({"type": "string"}),
        };
        let answer_types: &[&str] = match operation {
            Operation { answer: None, .. } => &["*/*"],
            _ if self.resource.custom.is_some() => CUSTOM_TYPES,
            Operation {
                action: "list" | "watch" | "watchlist",
                ..
            } => STREAM_TYPES,
            _ => ANSWER_TYPES,
        };
        match self.version {
            Version::V3 => {
                let content = |types: &[&str], schema: &Value| -> Value {
                    types
                        .iter()
                        .map(|ty| ((*ty).to_owned(), json!({ "schema": schema })))
                        .collect::<Map<_, _>>()
                        .into()
                };
                if let Some(schema) = &body {
                    let mut body = json!({ "content": content(&body_types, schema) });
                    if operation.body != Some(DELETE_OPTIONS) {
                        body["required"] = true.into();
                    }
                    written.insert("requestBody".into(), body);
                }
                let content = content(answer_types, &answer);
                written.insert(
                    "responses".into(),
                    responses(operation, "content", &content),
                );
            }
            Version::V2 => {
                if let Some(schema) = body {
                    let mut body = json!({"name": "body", "in": "body", "schema": schema});
                    if operation.body != Some(DELETE_OPTIONS) {
                        body["required"] = true.into();
                    }
                    parameters.push(body);
                }
                written.insert("consumes".into(), json!(body_types));
                written.insert("produces".into(), json!(answer_types));
                written.insert("schemes".into(), json!(["https"]));
                written.insert("responses".into(), responses(operation, "schema", &answer));
            }
        }
        written.insert("operationId".into(), self.operation_id(operation).into());
        written.insert("tags".into(), json!([self.tag()]));
        if !parameters.is_empty() {
            written.insert("parameters".into(), parameters.into());
        }
        written.insert("x-kubernetes-action".into(), operation.action.into());
        written.insert(
            "x-kubernetes-group-version-kind".into(),
            json!({"group": group, "version": version, "kind": kind}),
        );
        Value::Object(written)
    }

    /// `CoreV1`'s and its like: the group without its common end, in one word.
    fn group_word(&self) -> String {
        match &*self.resource.group {
            "" => camel("core"),
            group => camel(group.strip_suffix(".k8s.io").unwrap_or(group)),
        }
    }

    /// `rbacAuthorization_v1`.
    fn tag(&self) -> String {
        let group = self.group_word();
        let mut chars = group.chars();
        let first = chars.next().map(|c| c.to_ascii_lowercase());
        let group: String = first.into_iter().chain(chars).collect();
        format!("{group}_{}", self.resource.version)
    }

    /// `patchAppsV1NamespacedDeploymentScale`.
    fn operation_id(&self, operation: &Operation<'_>) -> String {
        let resource = self.resource;
        let is_scoped = resource.namespaced && !operation.suffix.ends_with("ForAllNamespaces");
        let scope = if is_scoped { "Namespaced" } else { "" };
        let many = match operation.action {
            "deletecollection" => "Collection".to_owned(),
            "connect" => camel(operation.method),
            _ => String::new(),
        };
        format!(
            "{}{}{}{many}{scope}{}{}",
            operation.word,
            self.group_word(),
            camel(&resource.version),
            resource.kind,
            operation.suffix
        )
    }

    fn parameter(&self, name: &str, place: &str, ty: &str) -> Value {
        let mut parameter = json!({"name": name, "in": place});
        match self.version {
            Version::V3 => parameter["schema"] = json!({"type": ty, "uniqueItems": true}),
            Version::V2 => {
                parameter["type"] = ty.into();
                parameter["uniqueItems"] = true.into();
            }
        }
        if place == "path" {
            parameter["required"] = true.into();
        }
        parameter
    }
}

/// What a connection takes: the members of its options, a message of the core group, with their types.
fn options(message: &str) -> Vec<(String, &'static str)> {
    let schema = builtin::message(&format!("io.k8s.api.core.v1.{message}"));
    let Some(Type::Object(object)) = schema.map(|schema| &schema.ty) else {
        return vec![];
    };
    let members = object.fields.iter();
    let members = members.filter(|(name, _)| !matches!(&***name, "apiVersion" | "kind"));
    let member = |schema: &Schema| match schema.resolve().ty {
        Type::Boolean => "boolean",
        Type::Integer => "integer",
        // A list is a parameter that comes several times.
        _ => "string",
    };
    members
        .map(|(name, field)| (name.to_string(), member(&field.schema)))
        .collect()
}

/// The answers by code, each with `schema` under `key`.
fn responses(operation: &Operation<'_>, key: &str, schema: &Value) -> Value {
    let codes: &[(&str, &str)] = match (operation.method, operation.action) {
        (_, "connect" | "deletecollection") => &[("200", "OK")],
        ("post", _) => &[("200", "OK"), ("201", "Created"), ("202", "Accepted")],
        ("put" | "patch", _) => &[("200", "OK"), ("201", "Created")],
        ("delete", _) => &[("200", "OK"), ("202", "Accepted")],
        _ => &[("200", "OK")],
    };
    let mut responses = json!({"401": {"description": "Unauthorized"}});
    for (code, description) in codes {
        responses[*code] = json!({"description": description, key: schema});
    }
    responses
}

/// What the only operation of a path takes is said of the path; a body stays with it.
fn hoist(operation: &mut Value, shared: &mut Vec<Value>) {
    let Some(Value::Array(own)) = operation
        .as_object_mut()
        .and_then(|operation| operation.remove("parameters"))
    else {
        return;
    };
    let (bodies, rest): (Vec<Value>, Vec<Value>) = own
        .into_iter()
        .partition(|parameter| parameter["in"] == "body");
    if !bodies.is_empty() {
        operation["parameters"] = bodies.into();
    }
    shared.extend(rest);
    // Those of the path first, and each by name.
    shared.sort_by_key(|parameter| {
        let name = parameter["name"].as_str().unwrap_or_default().to_owned();
        (parameter["in"] != "path", name)
    });
}

/// The operations on one object or one of its subresources, by verb.
fn on_one<'a>(
    kind: (&'a str, &'a str, &'a str),
    component: Option<&'a str>,
    suffix: &'a str,
) -> [(&'static str, Operation<'a>); 4] {
    let operation = |word, action, method, parameters, body| Operation {
        word,
        action,
        method,
        parameters,
        body,
        answer: component,
        kind,
        suffix,
    };
    let patch = component.map(|_| PATCH);
    [
        ("get", operation("read", "get", "get", &[], None)),
        (
            "update",
            operation("replace", "put", "put", WRITE, component),
        ),
        ("patch", operation("patch", "patch", "patch", APPLY, patch)),
        (
            "create",
            operation("create", "post", "post", WRITE, component),
        ),
    ]
}

/// `rbac.authorization` → `RbacAuthorization`.
fn camel(text: &str) -> String {
    text.split(['.', '-', '_'])
        .map(|word| {
            let mut chars = word.chars();
            let first = chars.next().map(|c| c.to_ascii_uppercase());
            first.into_iter().chain(chars).collect::<String>()
        })
        .collect()
}
