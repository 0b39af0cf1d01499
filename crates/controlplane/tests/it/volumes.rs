//! Claims, volumes and the pods that use them.

use serde_json::{Value, json};

use crate::world::World;

const CLAIMS: &str = "/api/v1/namespaces/default/persistentvolumeclaims";
const VOLUMES: &str = "/api/v1/persistentvolumes";
const CLASSES: &str = "/apis/storage.k8s.io/v1/storageclasses";
const PODS: &str = "/api/v1/namespaces/default/pods";

fn claim(name: &str, class: Option<&str>) -> Value {
    json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name},
        "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": class, "resources": {"requests": {"storage": "1Gi"}}},
    })
}

fn pod(name: &str, volume: Value) -> Value {
    let mut volume = volume;
    volume["name"] = json!("data");
    let container = json!({"name": "c", "image": "i", "volumeMounts": [{"name": "data", "mountPath": "/data"}]});
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
        "spec": {"terminationGracePeriodSeconds": 0, "containers": [container], "volumes": [volume]},
    })
}

fn is_bound(claim: &Value) -> bool {
    claim["status"]["phase"] == "Bound"
}

fn is_running(pod: &Value) -> bool {
    pod["status"]["phase"] == "Running"
}

/// Why a pod is not scheduled.
fn why(pod: &Value) -> &str {
    pod["status"]["conditions"][0]["message"]
        .as_str()
        .unwrap_or_default()
}

#[tokio::test(start_paused = true)]
async fn a_claim_of_the_default_class_gets_a_volume_when_its_pod_comes() {
    let world = World::new(1).await;
    let has_class = |classes: &Value| classes["items"][0]["metadata"]["name"] == "standard";
    world.until(CLASSES, "there is a class", has_class).await;
    world.post(CLAIMS, claim("data", None)).await;
    let path = format!("{CLAIMS}/data");
    let waits = |claim: &Value| claim["status"]["phase"] == "Pending";
    world.until(&path, "it waits for a pod", waits).await;
    world
        .post(
            PODS,
            pod(
                "user",
                json!({"persistentVolumeClaim": {"claimName": "data"}}),
            ),
        )
        .await;
    let bound = world.until(&path, "it is bound", is_bound).await;
    assert_eq!(bound["status"]["capacity"]["storage"], "1Gi");
    assert_eq!(bound["spec"]["storageClassName"], "standard");
    world
        .until(&format!("{PODS}/user"), "it runs", is_running)
        .await;
    let volume = bound["spec"]["volumeName"].as_str().unwrap();
    let volume = format!("{VOLUMES}/{volume}");
    let phase = |phase: &'static str| move |v: &Value| v["status"]["phase"] == phase;
    let made = world.until(&volume, "it is bound", phase("Bound")).await;
    assert_eq!(made["metadata"]["labels"]["apiary.io/simulated"], "true");
    // It grows with its claim.
    let more = json!({"spec": {"resources": {"requests": {"storage": "2Gi"}}}});
    world.merge(&path, more).await;
    world
        .until(&path, "it is larger", |claim| {
            claim["status"]["capacity"]["storage"] == "2Gi"
        })
        .await;
    // It goes with its claim, which stays as long as the pod needs it.
    world.delete(&path, Value::Null).await;
    let kept = world.get(&path).await;
    assert_eq!(kept["metadata"]["name"], "data", "the pod still uses it");
    world.delete(&format!("{PODS}/user"), Value::Null).await;
    world.until(&path, "the claim goes", Value::is_null).await;
    world
        .until(&volume, "the volume goes", Value::is_null)
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_pod_goes_where_its_volume_is() {
    let world = World::new(2).await;
    let class = json!({
        "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": "local"},
        "provisioner": "kubernetes.io/no-provisioner", "volumeBindingMode": "WaitForFirstConsumer",
    });
    world.post(CLASSES, class).await;
    world.post(CLAIMS, claim("data", Some("local"))).await;
    world
        .post(
            PODS,
            pod(
                "user",
                json!({"persistentVolumeClaim": {"claimName": "data"}}),
            ),
        )
        .await;
    let user = format!("{PODS}/user");
    world
        .until(&user, "there is none", |pod| {
            why(pod).contains("didn't find available persistent volumes to bind")
        })
        .await;
    let expression =
        json!({"key": "kubernetes.io/hostname", "operator": "In", "values": ["node-2"]});
    let volume = json!({
        "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "disk"},
        "spec": {
            "capacity": {"storage": "5Gi"}, "accessModes": ["ReadWriteOnce"], "storageClassName": "local",
            "local": {"path": "/mnt/disk"},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}},
        },
    });
    world.post(VOLUMES, volume).await;
    let pod = world.until(&user, "it runs", is_running).await;
    assert_eq!(pod["spec"]["nodeName"], "node-2");
    let claim = world.get(&format!("{CLAIMS}/data")).await;
    assert_eq!(claim["spec"]["volumeName"], "disk");
    // A volume that is kept is left.
    world.delete(&user, Value::Null).await;
    world.delete(&format!("{CLAIMS}/data"), Value::Null).await;
    world
        .until(&format!("{VOLUMES}/disk"), "it is left", |volume| {
            volume["status"]["phase"] == "Released"
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_pod_without_its_claim_says_so() {
    let world = World::new(1).await;
    world
        .post(
            PODS,
            pod(
                "user",
                json!({"persistentVolumeClaim": {"claimName": "data"}}),
            ),
        )
        .await;
    let user = format!("{PODS}/user");
    world
        .until(&user, "it says what is missing", |pod| {
            why(pod)
                .starts_with("0/1 nodes are available: persistentvolumeclaim \"data\" not found.")
        })
        .await;
    world.post(CLAIMS, claim("data", None)).await;
    world.until(&user, "it runs", is_running).await;
}

#[tokio::test(start_paused = true)]
async fn a_claim_of_one_pod_comes_and_goes_with_it() {
    let world = World::new(1).await;
    let template = json!({"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}});
    world
        .post(
            PODS,
            pod(
                "user",
                json!({"ephemeral": {"volumeClaimTemplate": template}}),
            ),
        )
        .await;
    let (user, own) = (format!("{PODS}/user"), format!("{CLAIMS}/user-data"));
    world.until(&user, "it runs", is_running).await;
    let claim = world.get(&own).await;
    assert_eq!(claim["metadata"]["ownerReferences"][0]["name"], "user");
    world.delete(&user, Value::Null).await;
    world
        .until(&own, "the claim goes too", Value::is_null)
        .await;
}
