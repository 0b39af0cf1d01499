//! The verbs of one kind in one place.

use http::Method;
use serde_json::{Value, json};

use crate::world::{Answer, Suite, Watching};

/// One kind, cluster-wide or in one namespace.
#[derive(Clone)]
pub(crate) struct Kind<'a> {
    pub(crate) suite: &'a Suite,
    pub(crate) api_version: String,
    pub(crate) kind: String,
    pub(crate) plural: String,
    namespace: Option<String>,
}

impl<'a> Kind<'a> {
    pub(crate) fn new(
        suite: &'a Suite,
        api_version: &str,
        kind: &str,
        plural: &str,
        namespace: Option<&str>,
    ) -> Self {
        Self {
            suite,
            api_version: api_version.into(),
            kind: kind.into(),
            plural: plural.into(),
            namespace: namespace.map(Into::into),
        }
    }

    /// The same kind in another namespace.
    pub(crate) fn within(&self, namespace: &str) -> Self {
        let namespace = Some(namespace.to_owned());
        Self {
            namespace,
            ..self.clone()
        }
    }

    /// The same kind in all namespaces.
    pub(crate) fn everywhere(&self) -> Self {
        Self {
            namespace: None,
            ..self.clone()
        }
    }

    /// Path of the collection, or of the object `name`, or of its subresource (`name/status`).
    pub(crate) fn path(&self, name: &str) -> String {
        let root = if self.api_version.contains('/') {
            "apis"
        } else {
            "api"
        };
        let place = self.namespace.as_ref();
        let place = place.map_or_else(String::new, |ns| format!("/namespaces/{ns}"));
        let name = if name.is_empty() {
            String::new()
        } else {
            format!("/{name}")
        };
        format!("/{root}/{}{place}/{}{name}", self.api_version, self.plural)
    }

    fn query(&self, query: &str) -> String {
        match query {
            "" => self.path(""),
            query => format!("{}?{query}", self.path("")),
        }
    }

    /// The object with the type that the kind has.
    pub(crate) fn typed(&self, mut object: Value) -> Value {
        let own = [("apiVersion", &self.api_version), ("kind", &self.kind)];
        for (key, value) in own {
            if object[key].is_null() {
                object[key] = json!(value);
            }
        }
        object
    }

    pub(crate) async fn try_create(&self, object: Value) -> Answer {
        let path = format!("{}?fieldValidation=Strict", self.path(""));
        self.suite.post(&path, self.typed(object)).await
    }

    pub(crate) async fn create(&self, object: Value) -> Value {
        self.try_create(object).await.ok()
    }

    pub(crate) async fn try_get(&self, name: &str) -> Answer {
        self.suite.get(&self.path(name)).await
    }

    pub(crate) async fn get(&self, name: &str) -> Value {
        self.try_get(name).await.ok()
    }

    /// There is nothing of this name.
    pub(crate) async fn assert_gone(&self, name: &str) {
        let answer = self.try_get(name).await;
        assert_eq!(answer.code, 404, "{}: {:#}", answer.request, answer.json());
    }

    /// Waits until what has this name is gone.
    pub(crate) async fn until_gone(&self, name: &str) {
        self.until(name, "it goes", Value::is_null).await;
    }

    /// Waits until the object (null: there is none) is as wanted.
    pub(crate) async fn until(
        &self,
        name: &str,
        what: &str,
        is_so: impl Fn(&Value) -> bool,
    ) -> Value {
        self.suite.until(&self.path(name), what, is_so).await
    }

    /// The list, with a query such as `labelSelector=a%3Db`.
    pub(crate) async fn list(&self, query: &str) -> Value {
        let list = self.suite.get(&self.query(query)).await.ok();
        assert_eq!(list["apiVersion"], self.api_version);
        list
    }

    /// How many objects a list has.
    pub(crate) async fn count(&self, query: &str) -> usize {
        self.list(query).await["items"].as_array().unwrap().len()
    }

    pub(crate) async fn watch(&self, query: &str) -> Watching {
        self.suite.watch(&self.query(query)).await
    }

    /// Replaces the object at `name` or its subresource (`name/status`).
    pub(crate) async fn try_put(&self, name: &str, object: Value) -> Answer {
        let body = self.typed(object).to_string();
        let headers = [("content-type", "application/json")];
        let path = format!("{}?fieldValidation=Strict", self.path(name));
        self.suite.send(Method::PUT, &path, &headers, body).await
    }

    pub(crate) async fn put(&self, name: &str, object: Value) -> Value {
        self.try_put(name, object).await.ok()
    }

    /// Reads, changes and writes the object or its subresource, once more after a conflict with a controller.
    pub(crate) async fn update(&self, name: &str, change: impl Fn(&mut Value)) -> Value {
        for _ in 0..5 {
            // Subresources show the object itself, and some can only be written.
            let object_name = name.split('/').next().unwrap();
            let mut object = self.get(object_name).await;
            change(&mut object);
            let answer = self.try_put(name, object).await;
            if answer.code != 409 {
                return answer.ok();
            }
        }
        panic!("{name}: conflicts without end");
    }

    pub(crate) async fn try_patch(&self, name: &str, kind: &str, patch: Value) -> Answer {
        let path = self.path(name);
        self.suite.patch(&path, kind, patch.to_string()).await
    }

    pub(crate) async fn merge(&self, name: &str, patch: Value) -> Value {
        self.try_patch(name, "merge", patch).await.ok()
    }

    pub(crate) async fn strategic(&self, name: &str, patch: Value) -> Value {
        self.try_patch(name, "strategic", patch).await.ok()
    }

    pub(crate) async fn json_patch(&self, name: &str, patch: Value) -> Value {
        self.try_patch(name, "json", patch).await.ok()
    }

    pub(crate) async fn delete(&self, name: &str) -> Value {
        self.delete_with(name, json!({})).await
    }

    pub(crate) async fn delete_with(&self, name: &str, options: Value) -> Value {
        let headers = [("content-type", "application/json")];
        let mut options = options;
        options["kind"] = json!("DeleteOptions");
        options["apiVersion"] = json!("v1");
        let path = self.path(name);
        let sent = self
            .suite
            .send(Method::DELETE, &path, &headers, options.to_string());
        sent.await.ok()
    }

    pub(crate) async fn delete_collection(&self, query: &str) {
        let path = self.query(query);
        let answer = self.suite.send(Method::DELETE, &path, &[], "").await;
        answer.ok();
    }
}
