//! Devices: the kinds of `resource.k8s.io`.

use serde_json::{Value, json};

use crate::kind::Kind;
use crate::operations::assert_contains;
use crate::world::{Suite, names, revision};

const VERSION: &str = "resource.k8s.io/v1";

/// What a test does with a kind: an object, an update, and patches that each change a fresh object as the update does.
struct Crud<'a> {
    kind: Kind<'a>,
    object: Value,
    update: fn(&mut Value),
    patch: Value,
    /// The status that an update and patches of it set.
    status: Option<Value>,
}

impl Crud<'_> {
    async fn run(self) {
        let kind = &self.kind;
        kind.suite.discovers(VERSION, &[&kind.plural]).await;
        let mut watch = kind.watch("").await;
        let created = self.create().await;
        assert_eq!(watch.expect("ADDED").await, created);
        assert_eq!(names(&kind.list("").await), ["test"]);
        assert_eq!(names(&kind.everywhere().list("").await), ["test"]);
        assert_eq!(kind.get("test").await, created);

        let updated = kind.update("test", self.update).await;
        assert!(revision(&updated) > revision(&created));
        assert_eq!(watch.expect("MODIFIED").await, updated);
        if let Some(status) = &self.status {
            let updated = kind
                .update("test/status", |object| object["status"] = status.clone())
                .await;
            assert_contains(&updated["status"], status);
            watch.expect("MODIFIED").await;
        }
        kind.delete("test").await;
        kind.assert_gone("test").await;
        watch.until("DELETED", |_| true).await;

        let ways = ["strategic", "apply", "merge"];
        for way in ways {
            self.create().await;
            let patched = self.patch("test", way, self.patch.clone()).await;
            assert_contains(&patched, &self.patch);
            if let Some(status) = &self.status {
                let patch = json!({"status": status});
                let patched = self.patch("test/status", way, patch.clone()).await;
                assert_contains(&patched, &patch);
            }
            kind.delete_collection("").await;
            assert_eq!(kind.count("").await, 0);
        }
    }

    async fn create(&self) -> Value {
        let mut object = self.object.clone();
        object["metadata"] = json!({"name": "test", "labels": {"made-by": "test"}});
        self.kind.create(object).await
    }

    async fn patch(&self, name: &str, way: &str, patch: Value) -> Value {
        if way != "apply" {
            return self.kind.try_patch(name, way, patch).await.ok();
        }
        let path = format!("{}?fieldManager=test&force=true", self.kind.path(name));
        let body = self.kind.typed(patch).to_string();
        self.kind.suite.patch(&path, "apply", body).await.ok()
    }
}

/// A claim's spec cannot be changed.
fn label(object: &mut Value) {
    object["metadata"]["labels"]["test.dra.example.com"] = json!("test");
}

fn label_patch() -> Value {
    json!({"metadata": {"labels": {"test.dra.example.com": "test"}}})
}

fn claim_spec() -> Value {
    json!({"devices": {"requests": [{"name": "req-0", "exactly": {"deviceClassName": "dra.example.com"}}]}})
}

#[tokio::test(start_paused = true)]
async fn crud_tests_resource_k8s_io_v1_deviceclass() {
    let suite = Suite::new().await;
    let selector =
        |expression: &str| json!({"spec": {"selectors": [{"cel": {"expression": expression}}]}});
    Crud {
        kind: suite.cluster_wide(VERSION, "DeviceClass", "deviceclasses"),
        object: selector("false"),
        update: |object| object["spec"]["selectors"][0]["cel"]["expression"] = json!("1 == 0"),
        patch: selector("1 == 0"),
        status: None,
    }
    .run()
    .await;
}

#[tokio::test(start_paused = true)]
async fn crud_tests_resource_k8s_io_v1_resourceclaim() {
    let suite = Suite::new().await;
    Crud {
        kind: suite.namespaced(VERSION, "ResourceClaim", "resourceclaims"),
        object: json!({"spec": claim_spec()}),
        update: label,
        patch: label_patch(),
        // That nothing is allocated is an allocation.
        status: Some(json!({"allocation": {}})),
    }
    .run()
    .await;
}

#[tokio::test(start_paused = true)]
async fn crud_tests_resource_k8s_io_v1_resourceclaimtemplate() {
    let suite = Suite::new().await;
    Crud {
        kind: suite.namespaced(VERSION, "ResourceClaimTemplate", "resourceclaimtemplates"),
        object: json!({"spec": {"spec": claim_spec()}}),
        update: label,
        patch: label_patch(),
        status: None,
    }
    .run()
    .await;
}

#[tokio::test(start_paused = true)]
async fn crud_tests_resource_k8s_io_v1_resourceslice() {
    let suite = Suite::new().await;
    let pool = json!({"name": "cluster", "generation": 1, "resourceSliceCount": 1});
    Crud {
        kind: suite.cluster_wide(VERSION, "ResourceSlice", "resourceslices"),
        object: json!({"spec": {"driver": "dra.example.com", "pool": pool, "nodeName": "no-such-node"}}),
        update: |object| object["spec"]["devices"] = json!([{"name": "device-0"}]),
        patch: json!({"spec": {"devices": [{"name": "device-0"}]}}),
        status: None,
    }
    .run()
    .await;
}
