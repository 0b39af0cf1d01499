//! A cluster in which nothing happens is quiet.

use std::collections::BTreeMap;
use std::time::Duration;

use apiserver::store::EventKind;
use serde_json::json;

use crate::sets::{daemon_set, stateful_set};
use crate::world::{World, deployment};

/// Writes of each resource while an hour passes.
async fn an_hour(world: &World) -> BTreeMap<String, usize> {
    let store = world.plane.cluster.registry().store();
    let mut counts = BTreeMap::new();
    // In steps, because a history does not hold all events of an hour.
    for _ in 0..360 {
        let then = store.revision();
        tokio::time::sleep(Duration::from_secs(10)).await;
        for resource in store.resources() {
            if store.revision_of(&resource) <= then {
                continue;
            }
            let mut cursor = store.watch(&resource, None, then).unwrap();
            while let Some(event) = cursor.try_next() {
                // Events go by themselves when they are old.
                let event = event.unwrap();
                if resource.as_ref() == "events" && event.kind == EventKind::Deleted {
                    continue;
                }
                *counts.entry(resource.to_string()).or_default() += 1;
            }
        }
    }
    counts
}

#[tokio::test(start_paused = true)]
async fn an_empty_cluster_writes_nothing_but_one_lease() {
    let world = World::new(0).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    // The lease by which the server says that it is there.
    let leases = ("leases.coordination.k8s.io".to_owned(), 3);
    assert_eq!(an_hour(&world).await, BTreeMap::from([leases]));
}

#[tokio::test(start_paused = true)]
async fn a_settled_cluster_writes_leases_and_heartbeats() {
    let world = World::new(2).await;
    world
        .post(
            "/apis/apps/v1/namespaces/default/deployments",
            deployment("web", 5, "nginx"),
        )
        .await;
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": {"selector": {"app": "web"}, "ports": [{"port": 80}]}});
    world
        .post("/api/v1/namespaces/default/services", service)
        .await;
    world
        .post(
            "/apis/apps/v1/namespaces/default/statefulsets",
            stateful_set(2),
        )
        .await;
    world
        .post("/apis/apps/v1/namespaces/default/daemonsets", daemon_set())
        .await;
    // A pod that fits nowhere is told of again and again, but not all the time.
    let big = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "big"}, "spec": {"containers": [{"name": "c", "image": "i", "resources": {"requests": {"cpu": "64"}}}]}});
    world.post("/api/v1/namespaces/default/pods", big).await;
    tokio::time::sleep(Duration::from_secs(120)).await;
    let counts = an_hour(&world).await;
    let of = |resource: &str| counts.get(resource).copied().unwrap_or(0);
    let (leases, nodes, events) = (of("leases.coordination.k8s.io"), of("nodes"), of("events"));
    assert!(
        (700..=740).contains(&leases),
        "every ten seconds per node: {counts:?}"
    );
    assert!(
        (20..=28).contains(&nodes),
        "every five minutes per node: {counts:?}"
    );
    assert!(
        events <= 30,
        "a heartbeat may be what it waits for: {counts:?}"
    );
    assert_eq!(
        counts.len(),
        2 + usize::from(events > 0),
        "and nothing else: {counts:?}"
    );
}
