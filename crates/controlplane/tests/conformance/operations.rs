//! What every kind must be able to do: the tests that say "should support … API operations" have it in common.

use serde_json::{Value, json};

use crate::kind::Kind;
use crate::world::revision;

/// The objects of such a test are chosen by this label.
const LABEL: &str = "special-label";

/// Everything that can be done with a kind.
pub(crate) struct Operations<'a> {
    pub(crate) kind: Kind<'a>,
    /// Three objects, each with a `metadata` of its own or none: they get a generated name.
    pub(crate) templates: [Value; 3],
    /// What a patch changes beside an annotation.
    pub(crate) patch: Value,
    /// What an update changes beside an annotation.
    pub(crate) update: fn(&mut Value),
    /// The kind has `/status`, whose conditions anybody may set.
    pub(crate) status: bool,
}

impl<'a> Operations<'a> {
    /// The operations of a kind whose three objects are alike.
    pub(crate) fn new(kind: Kind<'a>, template: Value) -> Self {
        Self {
            kind,
            templates: [template.clone(), template.clone(), template],
            patch: json!({}),
            update: |_| (),
            status: false,
        }
    }

    /// Runs all: discovery, create, get, list, watch, patch, update, status, delete, delete a collection.
    pub(crate) async fn run(self) {
        let suite = self.kind.suite;
        let mut resources = vec![self.kind.plural.clone()];
        if self.status {
            resources.push(format!("{}/status", self.kind.plural));
        }
        let resources: Vec<&str> = resources.iter().map(String::as_str).collect();
        suite.discovers(&self.kind.api_version, &resources).await;
        let selector = format!("labelSelector={LABEL}%3Dconformance");
        let created = self.create().await;
        let name = created["metadata"]["name"].as_str().unwrap().to_owned();

        let list = self.kind.list(&selector).await;
        assert_eq!(list["items"].as_array().unwrap().len(), 3);
        assert_eq!(list["kind"], format!("{}List", self.kind.kind));
        assert_eq!(self.kind.everywhere().count(&selector).await, 3);
        let since = format!("{selector}&resourceVersion={}", revision(&list));
        let mut watch = self.kind.watch(&since).await;
        let mut everywhere = self.kind.everywhere().watch(&since).await;

        self.change(&name, &created).await;
        for watch in [&mut watch, &mut everywhere] {
            let seen = watch.expect("MODIFIED").await;
            assert_eq!(seen["kind"], self.kind.kind);
            assert_eq!(seen["metadata"]["annotations"]["patched"], "true");
            let seen = watch.expect("MODIFIED").await;
            assert_eq!(seen["metadata"]["annotations"]["updated"], "true");
        }
        if self.status {
            conditions_can_be_set(&self.kind, &name).await;
        }

        self.kind.delete(&name).await;
        self.kind.assert_gone(&name).await;
        watch.until("DELETED", |_| true).await;
        assert_eq!(self.kind.count(&selector).await, 2);
        self.kind.delete_collection(&selector).await;
        assert_eq!(self.kind.count(&selector).await, 0);
    }

    /// Creates all three; the last one.
    async fn create(&self) -> Value {
        let mut last = Value::Null;
        for template in &self.templates {
            let mut object = template.clone();
            if object["metadata"]["name"].is_null() {
                object["metadata"]["generateName"] = json!("e2e-example-");
            }
            object["metadata"]["labels"][LABEL] = json!("conformance");
            last = self.kind.create(object).await;
        }
        let name = last["metadata"]["name"].as_str().unwrap();
        let read = self.kind.get(name).await;
        assert_eq!(read["metadata"]["uid"], last["metadata"]["uid"]);
        assert_eq!(read["kind"], self.kind.kind);
        revision(&read);
        last
    }

    /// A merge patch, then an update.
    async fn change(&self, name: &str, created: &Value) {
        let mut patch = self.patch.clone();
        patch["metadata"] = json!({"annotations": {"patched": "true"}});
        let patched = self.kind.merge(name, patch.clone()).await;
        assert_eq!(patched["metadata"]["annotations"]["patched"], "true");
        assert_contains(&patched, &patch);
        assert!(revision(&patched) > revision(created));
        let updated = self
            .kind
            .update(name, |object| {
                object["metadata"]["annotations"]["updated"] = json!("true");
                (self.update)(object);
            })
            .await;
        assert_eq!(updated["metadata"]["annotations"]["updated"], "true");
        let mut wanted = updated.clone();
        (self.update)(&mut wanted);
        assert_eq!(updated, wanted, "the update says everything already");
    }
}

/// `/status` can be read, patched and updated.
pub(crate) async fn conditions_can_be_set(kind: &Kind<'_>, name: &str) {
    let path = format!("{name}/status");
    let object = kind.get(name).await;
    let read = kind.get(&path).await;
    assert_eq!(read["kind"], kind.kind);
    assert_eq!(read["apiVersion"], kind.api_version);
    assert_eq!(read["metadata"]["uid"], object["metadata"]["uid"]);

    let condition = |ty: &str| json!({"type": ty, "status": "False", "reason": "E2E", "message": "Set from a test", "lastTransitionTime": "2026-04-22T12:00:00Z"});
    let has = |object: &Value, ty: &str| {
        let all = object["status"]["conditions"].as_array().unwrap();
        all.iter().any(|c| c["type"] == ty && c["reason"] == "E2E")
    };
    let patch = json!({"status": {"conditions": [condition("PatchStatusFailed")]}});
    let patched = kind.merge(&path, patch).await;
    assert!(has(&patched, "PatchStatusFailed"), "{patched:#}");
    let updated = kind
        .update(&path, |object| {
            let all = object["status"]["conditions"].as_array_mut().unwrap();
            all.push(condition("StatusUpdateFailed"));
        })
        .await;
    assert!(has(&updated, "StatusUpdateFailed"), "{updated:#}");
    let read = kind.get(name).await;
    assert!(has(&read, "StatusUpdateFailed"), "{read:#}");
    assert_eq!(read["spec"], object["spec"]);
}

/// Everything that `part` says is in `whole`; lists are compared as a whole.
pub(crate) fn assert_contains(whole: &Value, part: &Value) {
    match part {
        Value::Object(fields) => {
            for (key, value) in fields {
                assert_contains(&whole[key.as_str()], value);
            }
        }
        other => assert_eq!(whole, other),
    }
}
