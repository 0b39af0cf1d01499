//! A small API server in memory for the driver's own tests: list, watch, create, merge patch, apply, delete, and
//! faults on demand. It keeps just enough of the API's rules to tell a right request from a wrong one.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use futures::StreamExt;
use http::{Method, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use tokio::sync::mpsc;

type Answer = Response<UnsyncBoxBody<Bytes, Infallible>>;

type Interjection = Box<dyn FnOnce(&mut Inner) + Send>;

/// The server; clones share it.
#[derive(Clone, Default)]
pub(crate) struct Api(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    revision: u64,
    uids: u64,
    /// By collection (`v1/pods`), then namespace and name.
    objects: BTreeMap<String, BTreeMap<(String, String), Value>>,
    watchers: Vec<(String, mpsc::Sender<String>)>,
    /// Writes, as `METHOD path`.
    writes: Vec<String>,
    reads: Vec<String>,
    /// Answers to the next writes whose log line contains the text.
    faults: VecDeque<(String, u16)>,
    /// What somebody else does just before the next write whose log line contains the text.
    interjections: Vec<(String, Interjection)>,
    /// Kinds that are not served.
    unserved: Vec<String>,
    /// Requests whose path contains this are never answered.
    hung: Option<String>,
}

const KINDS: &[(&str, &str, &str, bool)] = &[
    ("v1", "pods", "Pod", true),
    ("v1", "configmaps", "ConfigMap", true),
    ("v1", "secrets", "Secret", true),
    ("v1", "events", "Event", true),
    ("v1", "namespaces", "Namespace", false),
    ("test.io/v1", "things", "Thing", true),
    (
        "apiregistration.k8s.io/v1",
        "apiservices",
        "APIService",
        false,
    ),
    (
        "apiextensions.k8s.io/v1",
        "customresourcedefinitions",
        "CustomResourceDefinition",
        false,
    ),
];

impl Api {
    pub(crate) fn client(&self) -> Client {
        let api = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let api = api.clone();
            async move { Ok::<_, Infallible>(api.answer(request).await) }
        });
        Client::new(service, "default")
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap()
    }

    /// Writes that arrived so far, forgotten by asking.
    pub(crate) fn take_writes(&self) -> Vec<String> {
        std::mem::take(&mut self.inner().writes)
    }

    pub(crate) fn take_reads(&self) -> Vec<String> {
        std::mem::take(&mut self.inner().reads)
    }

    /// The next write whose log line contains `what` is answered with `code`.
    pub(crate) fn fail(&self, what: &str, code: u16) {
        self.inner().faults.push_back((what.to_owned(), code));
    }

    /// Somebody else changes an object just before the next write whose log line contains `what`.
    pub(crate) fn edit_before(
        &self,
        what: &str,
        (collection, namespace, name): (&'static str, &'static str, &'static str),
        edit: impl FnOnce(&mut Value) + Send + 'static,
    ) {
        let interjection = move |inner: &mut Inner| {
            let key = (namespace.to_owned(), name.to_owned());
            let mut object = inner.objects[collection][&key].clone();
            edit(&mut object);
            inner.put(collection, object);
        };
        self.inner()
            .interjections
            .push((what.to_owned(), Box::new(interjection)));
    }

    /// From now on requests whose path contains `what` are never answered.
    pub(crate) fn hang(&self, what: Option<&str>) {
        self.inner().hung = what.map(str::to_owned);
    }

    pub(crate) fn unserve(&self, plural: &str, is_unserved: bool) {
        let mut inner = self.inner();
        inner.unserved.retain(|p| p != plural);
        if is_unserved {
            inner.unserved.push(plural.to_owned());
        }
    }

    /// Ends all watches.
    pub(crate) fn drop_watches(&self) {
        self.inner().watchers.clear();
    }

    /// Sends an object down the watches of its kind without keeping it.
    pub(crate) fn send(&self, collection: &str, event: &Value) {
        self.inner().send(collection, event);
    }

    pub(crate) fn get(&self, collection: &str, namespace: &str, name: &str) -> Option<Value> {
        let key = (namespace.to_owned(), name.to_owned());
        self.inner().objects.get(collection)?.get(&key).cloned()
    }

    pub(crate) fn list(&self, collection: &str) -> Vec<Value> {
        let inner = self.inner();
        inner
            .objects
            .get(collection)
            .into_iter()
            .flat_map(BTreeMap::values)
            .cloned()
            .collect()
    }

    /// Somebody else writes an object: it is created or replaced.
    pub(crate) fn put(&self, collection: &str, object: Value) {
        self.inner().put(collection, object);
    }

    /// Somebody else changes an object.
    pub(crate) fn edit(
        &self,
        collection: &str,
        namespace: &str,
        name: &str,
        edit: impl FnOnce(&mut Value),
    ) {
        let mut object = self.get(collection, namespace, name).unwrap();
        edit(&mut object);
        self.inner().put(collection, object);
    }

    /// Somebody else deletes an object.
    pub(crate) fn delete(&self, collection: &str, namespace: &str, name: &str) {
        self.inner().delete(collection, namespace, name);
    }

    async fn answer(&self, request: Request<Body>) -> Answer {
        let hung = self.inner().hung.clone();
        if hung.is_some_and(|what| request.uri().path().contains(&what)) {
            std::future::pending::<()>().await;
        }
        let (parts, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        let path = parts.uri.path().to_owned();
        let query = parts.uri.query().unwrap_or_default().to_owned();
        let kind = parts
            .headers
            .get("content-type")
            .map(|v| v.to_str().unwrap().to_owned())
            .unwrap_or_default();
        let mut inner = self.inner();
        if parts.method == Method::GET {
            let line = if query.contains("watch=true") {
                format!("WATCH {path}")
            } else {
                format!("GET {path}")
            };
            inner.reads.push(line);
        } else {
            let line = format!(
                "{} {path}",
                if kind.contains("apply") {
                    "APPLY"
                } else {
                    parts.method.as_str()
                }
            );
            inner.writes.push(line.clone());
            if let Some(at) = inner
                .faults
                .iter()
                .position(|(what, _)| line.contains(what))
            {
                let code = inner.faults.remove(at).unwrap().1;
                return status(code, "told to fail");
            }
            if let Some(at) = inner
                .interjections
                .iter()
                .position(|(what, _)| line.contains(what))
            {
                let (_, interject) = inner.interjections.remove(at);
                interject(&mut inner);
            }
        }
        inner.route(&parts.method, &path, &query, &kind, body)
    }
}

impl Inner {
    fn route(
        &mut self,
        method: &Method,
        path: &str,
        query: &str,
        kind: &str,
        body: Value,
    ) -> Answer {
        let mut parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        if parts == ["version"] {
            return json_answer(
                &json!({"major": "1", "minor": "36", "gitVersion": "v1.36.0", "gitCommit": "", "gitTreeState": "",
                "buildDate": "", "goVersion": "", "compiler": "", "platform": ""}),
            );
        }
        let version = if parts.remove(0) == "api" {
            parts.remove(0).to_owned()
        } else {
            if parts.is_empty() {
                return json_answer(
                    &json!({"groups": [group("test.io"), group("apiextensions.k8s.io")]}),
                );
            }
            let name = parts.remove(0);
            if parts.is_empty() {
                let is_known = KINDS.iter().any(|k| k.0.starts_with(name));
                return if is_known {
                    json_answer(&group(name))
                } else {
                    status(404, "no such group")
                };
            }
            format!("{name}/{}", parts.remove(0))
        };
        if parts.is_empty() {
            return self.discovery(&version);
        }
        let namespace = if parts[0] == "namespaces" && parts.len() > 2 {
            let namespace = parts[1].to_owned();
            parts.drain(..2);
            namespace
        } else {
            String::new()
        };
        let collection = format!("{version}/{}", parts[0]);
        if self.unserved.iter().any(|p| p == parts[0])
            || !KINDS.iter().any(|k| k.0 == version && k.1 == parts[0])
        {
            return status(404, "the server could not find the requested resource");
        }
        let name = parts.get(1).copied().unwrap_or_default().to_owned();
        let subresource = parts.get(2).copied().unwrap_or_default();
        match (method.as_str(), name.is_empty()) {
            ("GET", true) if query.contains("watch=true") => self.watch(&collection, query),
            ("GET", true) => {
                let items: Vec<&Value> = self
                    .objects
                    .get(&collection)
                    .into_iter()
                    .flat_map(BTreeMap::values)
                    .collect();
                json_answer(
                    &json!({"metadata": {"resourceVersion": self.revision.to_string()}, "items": items}),
                )
            }
            ("POST", true) => self.create(&collection, &namespace, body),
            ("PATCH", false) => self.patch(
                &collection,
                (namespace, name),
                subresource,
                query,
                kind,
                body,
            ),
            ("DELETE", false) => self.delete_request(&collection, &(namespace, name), &body),
            _ => status(405, "not allowed"),
        }
    }

    fn delete_request(&mut self, collection: &str, key: &(String, String), body: &Value) -> Answer {
        let uid = &body["preconditions"]["uid"];
        match self
            .objects
            .get(collection)
            .and_then(|objects| objects.get(key))
        {
            None => return status(404, "not found"),
            Some(object) if !uid.is_null() && object["metadata"]["uid"] != *uid => {
                return status(409, "uid mismatch");
            }
            Some(_) => {}
        }
        match self.delete(collection, &key.0, &key.1) {
            Some(object) => json_answer(&object),
            None => {
                json_answer(&json!({"kind": "Status", "apiVersion": "v1", "status": "Success"}))
            }
        }
    }

    fn discovery(&self, version: &str) -> Answer {
        let served = KINDS
            .iter()
            .filter(|k| k.0 == version && !self.unserved.iter().any(|p| p == k.1));
        let resources: Vec<Value> = served
            .map(|(_, plural, kind, namespaced)| {
                json!({"name": plural, "singularName": "", "kind": kind, "namespaced": namespaced, "verbs": ["list"]})
            })
            .collect();
        json_answer(&json!({"groupVersion": version, "resources": resources}))
    }

    fn watch(&mut self, collection: &str, query: &str) -> Answer {
        let (send, receive) = mpsc::channel::<String>(10_000);
        let from = query
            .split('&')
            .find_map(|pair| pair.strip_prefix("resourceVersion="))
            .unwrap();
        let from: u64 = from.parse().unwrap();
        for object in self
            .objects
            .get(collection)
            .into_iter()
            .flat_map(BTreeMap::values)
        {
            if revision_of(object) > from {
                send.try_send(format!(
                    "{}\n",
                    json!({"type": "MODIFIED", "object": object})
                ))
                .unwrap();
            }
        }
        self.watchers.push((collection.to_owned(), send));
        let lines = futures::stream::unfold(receive, |mut receive| async move {
            let line = receive.recv().await?;
            Some((Ok(Frame::data(Bytes::from(line))), receive))
        });
        Response::new(StreamBody::new(lines.boxed()).boxed_unsync())
    }

    fn create(&mut self, collection: &str, namespace: &str, mut object: Value) -> Answer {
        let name = object["metadata"]["name"].as_str().unwrap().to_owned();
        if !namespace.is_empty() {
            object["metadata"]["namespace"] = json!(namespace);
        }
        let objects = self.objects.entry(collection.to_owned()).or_default();
        if objects.contains_key(&(namespace.to_owned(), name)) {
            return status(409, "already exists");
        }
        json_answer(&self.put(collection, object))
    }

    fn patch(
        &mut self,
        collection: &str,
        key: (String, String),
        subresource: &str,
        query: &str,
        kind: &str,
        patch: Value,
    ) -> Answer {
        let old = self
            .objects
            .get(collection)
            .and_then(|objects| objects.get(&key))
            .cloned();
        let is_apply = kind.contains("apply");
        let Some(old) = old.or_else(|| (is_apply && subresource.is_empty()).then(|| patch.clone()))
        else {
            return status(404, "not found");
        };
        let demanded = &patch["metadata"]["resourceVersion"];
        if !demanded.is_null() && *demanded != old["metadata"]["resourceVersion"] {
            return status(409, "the object has been modified");
        }
        let mut new = old.clone();
        if is_apply {
            let manager = query
                .split('&')
                .find_map(|pair| pair.strip_prefix("fieldManager="))
                .unwrap();
            apply(&mut new, &patch, manager, subresource);
        } else {
            merge(&mut new, &patch);
        }
        let exists = self
            .objects
            .get(collection)
            .is_some_and(|objects| objects.contains_key(&key));
        if new == old && exists {
            return json_answer(&old);
        }
        json_answer(&self.put(collection, new))
    }

    fn put(&mut self, collection: &str, mut object: Value) -> Value {
        self.revision += 1;
        let metadata = &mut object["metadata"];
        metadata["resourceVersion"] = json!(self.revision.to_string());
        if metadata["uid"].is_null() {
            self.uids += 1;
            metadata["uid"] = json!(format!("uid-{}", self.uids));
        }
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let key = (text(&metadata["namespace"]), text(&metadata["name"]));
        let is_gone = !metadata["deletionTimestamp"].is_null()
            && metadata["finalizers"].as_array().is_none_or(Vec::is_empty);
        let objects = self.objects.entry(collection.to_owned()).or_default();
        let what = if is_gone {
            objects.remove(&key);
            "DELETED"
        } else if objects.insert(key, object.clone()).is_some() {
            "MODIFIED"
        } else {
            "ADDED"
        };
        self.send(collection, &json!({"type": what, "object": object}));
        object
    }

    /// The object as it is if finalizers hold it.
    fn delete(&mut self, collection: &str, namespace: &str, name: &str) -> Option<Value> {
        let key = (namespace.to_owned(), name.to_owned());
        let mut object = self.objects.get_mut(collection)?.get(&key)?.clone();
        if object["metadata"]["finalizers"]
            .as_array()
            .is_none_or(Vec::is_empty)
        {
            self.objects.get_mut(collection)?.remove(&key);
            self.revision += 1;
            object["metadata"]["resourceVersion"] = json!(self.revision.to_string());
            self.send(collection, &json!({"type": "DELETED", "object": object}));
            return None;
        }
        object["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        Some(self.put(collection, object))
    }

    fn send(&mut self, collection: &str, event: &Value) {
        let line = format!("{event}\n");
        self.watchers
            .retain(|(c, watcher)| c != collection || watcher.try_send(line.clone()).is_ok());
    }
}

fn revision_of(object: &Value) -> u64 {
    object["metadata"]["resourceVersion"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap()
}

fn group(name: &str) -> Value {
    let version = json!({"groupVersion": format!("{name}/v1"), "version": "v1"});
    json!({"name": name, "versions": [version], "preferredVersion": version})
}

fn apply(object: &mut Value, config: &Value, manager: &str, subresource: &str) {
    let mut fields = json!({});
    let keep = |key: &str| {
        if subresource.is_empty() {
            key == "spec" || key == "data"
        } else {
            key == subresource
        }
    };
    for (key, value) in config
        .as_object()
        .unwrap()
        .iter()
        .filter(|(key, _)| keep(key))
    {
        fields[format!("f:{key}")] = owned(value);
        // What the manager said before and says no more goes; in these tests nobody else owns it.
        object[key] = value.clone();
    }
    for key in ["labels", "ownerReferences"]
        .into_iter()
        .filter(|_| subresource.is_empty())
    {
        if let Some(value) = config["metadata"].get(key) {
            fields["f:metadata"][format!("f:{key}")] = owned(value);
            object["metadata"][key] = value.clone();
        }
    }
    let entry = json!({"manager": manager, "operation": "Apply", "apiVersion": config["apiVersion"],
        "subresource": subresource, "fieldsType": "FieldsV1", "fieldsV1": fields});
    let mut entries = object["metadata"]["managedFields"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    entries.retain(|e| e["manager"] != manager || e["subresource"] != subresource);
    entries.push(entry);
    object["metadata"]["managedFields"] = json!(entries);
}

fn owned(value: &Value) -> Value {
    match value {
        Value::Object(map) => map
            .iter()
            .map(|(key, value)| (format!("f:{key}"), owned(value)))
            .collect(),
        _ => json!({}),
    }
}

fn merge(target: &mut Value, patch: &Value) {
    match patch {
        Value::Object(patch) => {
            for (key, value) in patch {
                if value.is_null() {
                    target.as_object_mut().unwrap().remove(key);
                } else {
                    merge(&mut target[key], value);
                }
            }
        }
        _ => *target = patch.clone(),
    }
}

fn json_answer(value: &Value) -> Answer {
    Response::new(Full::new(Bytes::from(value.to_string())).boxed_unsync())
}

fn status(code: u16, message: &str) -> Answer {
    let reason = if code == 409 { "Conflict" } else { "Test" };
    let body = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": message});
    let mut answer = json_answer(&body);
    *answer.status_mut() = StatusCode::from_u16(code).unwrap();
    answer
}
