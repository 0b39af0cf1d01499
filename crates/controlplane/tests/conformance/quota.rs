//! Quotas: what they count, what they refuse, and their objects.

use serde_json::{Value, json};

use crate::kind::Kind;
use crate::world::{Suite, names, revision};

fn quotas(suite: &Suite) -> Kind<'_> {
    suite.namespaced("v1", "ResourceQuota", "resourcequotas")
}

fn amounts(cpu: &str, memory: &str) -> Value {
    json!({"cpu": cpu, "memory": memory})
}

#[tokio::test(start_paused = true)]
async fn resourcequota_should_be_able_to_update_and_delete_resourcequota() {
    let suite = Suite::new().await;
    let kind = quotas(&suite);
    let object = |cpu: &str, memory: &str| json!({"metadata": {"name": "test-quota"}, "spec": {"hard": amounts(cpu, memory)}});
    kind.create(object("1", "500Mi")).await;
    assert_eq!(
        kind.get("test-quota").await["spec"]["hard"],
        amounts("1", "500Mi")
    );
    kind.put("test-quota", object("2", "1Gi")).await;
    assert_eq!(
        kind.get("test-quota").await["spec"]["hard"],
        amounts("2", "1Gi")
    );
    kind.delete("test-quota").await;
    kind.assert_gone("test-quota").await;
}

#[tokio::test(start_paused = true)]
async fn resourcequota_should_manage_the_lifecycle_of_a_resourcequota() {
    let suite = Suite::new().await;
    let kind = quotas(&suite);
    let labels = json!({"e2e-rq": "e2e-quota"});
    let object = json!({"metadata": {"name": "e2e-quota", "labels": labels}, "spec": {"hard": amounts("1", "500Mi")}});
    let created = kind.create(object).await;
    assert_eq!(
        kind.get("e2e-quota").await["spec"]["hard"],
        amounts("1", "500Mi")
    );
    let query = "labelSelector=e2e-rq%3De2e-quota";
    assert_eq!(names(&kind.everywhere().list(query).await), ["e2e-quota"]);
    let patch = json!({"metadata": {"labels": {"e2e-quota": "patched"}}, "spec": {"hard": {"memory": "750Mi"}}});
    let patched = kind.strategic("e2e-quota", patch).await;
    assert_eq!(patched["spec"]["hard"], amounts("1", "750Mi"));
    assert!(revision(&patched) > revision(&created));
    let query = "labelSelector=e2e-quota%3Dpatched";
    kind.delete_collection(query).await;
    assert_eq!(kind.everywhere().count(query).await, 0);
    kind.assert_gone("e2e-quota").await;
}
