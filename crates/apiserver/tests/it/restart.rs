//! What a server finds when it starts again: whatever users made of their clusters, all of them are served.

use apiserver::store::Memory;
use serde_json::json;

use crate::aggregation::event;
use crate::extension::{APIS, settled};
use crate::world::World;

const ADMISSION: &str = "/apis/admissionregistration.k8s.io/v1";
const SERVICES: &str = "/api/v1/namespaces/default/services";
const MAPS: &str = "/api/v1/namespaces/kube-system/configmaps";
const TRUST: &str = "extension-apiserver-authentication";

/// The world after a restart.
async fn again(world: World, storage: &Memory) -> World {
    world.server.shut_down().await;
    drop(world);
    World::stored_in(storage.clone()).await
}

/// Nobody creates Services any more.
async fn forbid_services(world: &World) {
    let policy = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": "no-services"},
        "spec": {
            "matchConstraints": {"resourceRules": [{"apiGroups": [""], "apiVersions": ["v1"],
                "resources": ["services"], "operations": ["CREATE"]}]},
            "validations": [{"expression": "false"}],
        },
    });
    let policies = format!("{ADMISSION}/validatingadmissionpolicies");
    world.post(&policies, policy).await.ok();
    let binding = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": "no-services"},
        "spec": {"policyName": "no-services", "validationActions": ["Deny"]},
    });
    let bindings = format!("{ADMISSION}/validatingadmissionpolicybindings");
    world.post(&bindings, binding).await.ok();
}

#[tokio::test(start_paused = true)]
async fn users_of_a_cluster_cannot_keep_the_server_from_starting() {
    let storage = Memory::new();
    let world = World::stored_in(storage.clone()).await;
    let frozen = json!({"immutable": true, "data": {"client-ca-file": "ours"}});
    world.merge(&format!("{MAPS}/{TRUST}"), frozen).await.ok();
    let service = format!("{SERVICES}/kubernetes");
    forbid_services(&world).await;
    world.delete(&service).await.ok();

    let world = again(world, &storage).await;
    let map = world.get(&format!("{MAPS}/{TRUST}")).await.ok();
    assert_eq!(map["data"]["client-ca-file"], "ours");
    assert_eq!(world.get(&service).await.code, 404);

    // What could not be written is made up for.
    let mut services = world
        .watch(&format!("{SERVICES}?watch=true&resourceVersion=0"))
        .await;
    let binding = format!("{ADMISSION}/validatingadmissionpolicybindings/no-services");
    world.delete(&binding).await.ok();
    assert_eq!(services.line().await, "ADDED kubernetes");
    let mut maps = world.watch(&format!("{MAPS}?watch=true")).await;
    world.delete(&format!("{MAPS}/{TRUST}")).await.ok();
    while maps.line().await != format!("DELETED {TRUST}") {}
    while maps.line().await != format!("ADDED {TRUST}") {}
}

#[tokio::test(start_paused = true)]
async fn api_services_of_kubernetes_are_put_right_by_a_restart() {
    let storage = Memory::new();
    let world = World::stored_in(storage.clone()).await;
    let apps = format!("{APIS}/v1.apps");
    let mine = json!({"spec": {"versionPriority": 7}});
    world.merge(&apps, mine).await.ok();
    world.delete(&format!("{APIS}/v1.batch")).await.ok();
    // While the server runs they are the users'.
    let theirs = json!({
        "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": {"name": "v1.example.com"},
        "spec": {"group": "example.com", "version": "v1", "groupPriorityMinimum": 1, "versionPriority": 1},
    });
    world.post(APIS, theirs).await.ok();
    settled(&world, "v1.example.com", "Local").await;
    assert_eq!(world.get(&apps).await.ok()["spec"]["versionPriority"], 7);

    let world = again(world, &storage).await;
    event(&world, "v1.batch", |e| e["type"] == "ADDED").await;
    event(&world, "v1.apps", |e| {
        e["object"]["spec"]["versionPriority"] == 15
    })
    .await;
    let theirs = world.get(&format!("{APIS}/v1.example.com")).await.ok();
    assert_eq!(theirs["spec"]["versionPriority"], 1);
}
