//! Quotas: what a namespace may hold, counted when it is written.

use expect_test::expect;
use futures::future::join_all;
use serde_json::{Value, json};

use crate::world::World;

const CORE: &str = "/api/v1/namespaces/default";

/// A quota whose status somebody has counted already.
async fn quota(world: &World, name: &str, hard: Value, used: Value) {
    let object = json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": name}, "spec": {"hard": hard}});
    world
        .post(&format!("{CORE}/resourcequotas"), object)
        .await
        .ok();
    let status = json!({"status": {"hard": hard, "used": used}});
    world
        .merge(&format!("{CORE}/resourcequotas/{name}/status"), status)
        .await
        .ok();
}

async fn used(world: &World, name: &str) -> Value {
    let quota = world.get(&format!("{CORE}/resourcequotas/{name}")).await;
    quota.ok()["status"]["used"].take()
}

fn config_map(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}})
}

#[tokio::test]
async fn what_exceeds_a_quota_is_refused_and_not_charged() {
    let world = World::new().await;
    quota(
        &world,
        "q",
        json!({"configmaps": "1"}),
        json!({"configmaps": "0"}),
    )
    .await;
    let maps = format!("{CORE}/configmaps");
    world
        .post(&format!("{maps}?dryRun=All"), config_map("a"))
        .await
        .ok();
    assert_eq!(used(&world, "q").await, json!({"configmaps": "0"}));
    world.post(&maps, config_map("a")).await.ok();
    assert_eq!(used(&world, "q").await, json!({"configmaps": "1"}));
    for path in [maps.clone(), format!("{maps}?dryRun=All")] {
        expect![[r#"403 Forbidden: configmaps "b" is forbidden: exceeded quota: q, requested: configmaps=1, used: configmaps=1, limited: configmaps=1"#]]
            .assert_eq(&world.post(&path, config_map("b")).await.refused());
    }
    // Changing what is there needs no more room, and other namespaces are others' business.
    world
        .merge(&format!("{maps}/a"), json!({"data": {"k": "v"}}))
        .await
        .ok();
    world
        .post("/api/v1/namespaces/kube-public/configmaps", config_map("b"))
        .await
        .ok();
}

#[tokio::test]
async fn nothing_is_let_in_before_a_quota_has_been_counted() {
    let world = World::new().await;
    let object = json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "q"}, "spec": {"hard": {"secrets": "1"}}});
    world
        .post(&format!("{CORE}/resourcequotas"), object)
        .await
        .ok();
    let status = json!({"status": {"hard": {"secrets": "1"}}});
    world
        .merge(&format!("{CORE}/resourcequotas/q/status"), status)
        .await
        .ok();
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}});
    expect![[r#"403 Forbidden: secrets "s" is forbidden: status unknown for quota: q, resources: secrets"#]]
        .assert_eq(&world.post(&format!("{CORE}/secrets"), secret).await.refused());
}

#[tokio::test]
async fn a_crowd_gets_exactly_what_there_is() {
    let world = World::new().await;
    quota(
        &world,
        "few",
        json!({"count/configmaps": "7"}),
        json!({"count/configmaps": "0"}),
    )
    .await;
    quota(
        &world,
        "many",
        json!({"configmaps": "100"}),
        json!({"configmaps": "0"}),
    )
    .await;
    let maps = format!("{CORE}/configmaps");
    let names: Vec<String> = (0..40).map(|number| format!("m-{number}")).collect();
    let codes = join_all(
        names
            .iter()
            .map(|name| async { world.post(&maps, config_map(name)).await.code }),
    )
    .await;
    let made = codes.iter().filter(|code| **code == 201).count();
    assert_eq!(
        (made, codes.iter().filter(|code| **code == 403).count()),
        (7, 33)
    );
    assert_eq!(used(&world, "few").await, json!({"count/configmaps": "7"}));
    assert_eq!(used(&world, "many").await, json!({"configmaps": "7"}));
}

#[tokio::test]
async fn pods_must_say_what_a_quota_counts() {
    let world = World::new().await;
    let account =
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}});
    world
        .post(&format!("{CORE}/serviceaccounts"), account)
        .await
        .ok();
    quota(
        &world,
        "q",
        json!({"requests.cpu": "1", "pods": "5"}),
        json!({"requests.cpu": "0", "pods": "0"}),
    )
    .await;
    let pod = |resources: Value| {
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"},
            "spec": {"containers": [{"name": "c", "image": "i", "resources": resources}]}})
    };
    let pods = format!("{CORE}/pods");
    expect![[
        r#"403 Forbidden: pods "p" is forbidden: failed quota: q: must specify requests.cpu for: c"#
    ]]
    .assert_eq(&world.post(&pods, pod(json!({}))).await.refused());
    expect![[r#"403 Forbidden: pods "p" is forbidden: exceeded quota: q, requested: requests.cpu=1500m, used: requests.cpu=0, limited: requests.cpu=1"#]]
        .assert_eq(&world.post(&pods, pod(json!({"requests": {"cpu": "1500m"}}))).await.refused());
    // A limit is a request as well when no other is named.
    world
        .post(&pods, pod(json!({"limits": {"cpu": "500m"}})))
        .await
        .ok();
    assert_eq!(
        used(&world, "q").await,
        json!({"requests.cpu": "500m", "pods": "1"})
    );
}

#[tokio::test]
async fn services_are_charged_when_they_change_their_type() {
    let world = World::new().await;
    quota(
        &world,
        "q",
        json!({"services.nodeports": "1"}),
        json!({"services.nodeports": "0"}),
    )
    .await;
    let services = format!("{CORE}/services");
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}]}});
    world.post(&services, service).await.ok();
    let path = format!("{services}/s");
    let ports = json!({"spec": {"type": "NodePort", "ports": [{"name": "a", "port": 80}, {"name": "b", "port": 81}]}});
    expect![[r#"403 Forbidden: services "s" is forbidden: exceeded quota: q, requested: services.nodeports=2, used: services.nodeports=0, limited: services.nodeports=1"#]]
        .assert_eq(&world.merge(&path, ports).await.refused());
    world
        .merge(&path, json!({"spec": {"type": "NodePort"}}))
        .await
        .ok();
    assert_eq!(used(&world, "q").await, json!({"services.nodeports": "1"}));
}
