//! Quotas: what they count, what they refuse, and their objects.

use serde_json::{Value, json};

use crate::kind::Kind;
use crate::operations::assert_contains;
use crate::world::{Suite, names, revision};

fn quotas(suite: &Suite) -> Kind<'_> {
    suite.namespaced("v1", "ResourceQuota", "resourcequotas")
}

fn pods(suite: &Suite) -> Kind<'_> {
    suite.namespaced("v1", "Pod", "pods")
}

/// What the quota of most tests allows.
fn hard() -> Value {
    json!({
        "pods": "5", "services": "10", "services.nodeports": "1", "services.loadbalancers": "1",
        "replicationcontrollers": "10", "resourcequotas": "1", "cpu": "1", "memory": "500Mi", "configmaps": "10",
        "secrets": "10", "persistentvolumeclaims": "10", "requests.storage": "10Gi", "ephemeral-storage": "50Gi",
        "gold.storageclass.storage.k8s.io/persistentvolumeclaims": "10",
        "gold.storageclass.storage.k8s.io/requests.storage": "10Gi", "count/replicasets.apps": "5",
        "requests.example.com/dongle": "3",
    })
}

/// Makes `test-quota` with `hard`; it is calculated, and counts itself.
async fn quota_of(suite: &Suite, hard: Value) -> Kind<'_> {
    let kind = quotas(suite);
    kind.create(json!({"metadata": {"name": "test-quota"}, "spec": {"hard": hard}}))
        .await;
    until_used(&kind, "test-quota", json!({"resourcequotas": "1"})).await;
    kind
}

/// Waits until the quota's status says all that its spec says, and that this is used.
async fn until_used(kind: &Kind<'_>, name: &str, used: Value) {
    kind.until(name, &format!("{used} are used"), |quota| {
        let status = &quota["status"];
        let mut amounts = used.as_object().unwrap().iter();
        status["hard"] == quota["spec"]["hard"]
            && amounts.all(|(resource, amount)| status["used"][resource] == *amount)
    })
    .await;
}

fn pod(name: &str, requests: Value, limits: Value) -> Value {
    let container = json!({"name": "pause", "image": "pause", "resources": {"requests": requests, "limits": limits}});
    let selector = json!({"x-test.k8s.io/unsatisfiable": "not-schedulable"});
    json!({"metadata": {"name": name}, "spec": {"nodeSelector": selector, "containers": [container]}})
}

async fn delete_at_once(kind: &Kind<'_>, name: &str) {
    kind.delete_with(name, json!({"gracePeriodSeconds": 0}))
        .await;
}

async fn is_refused(kind: &Kind<'_>, object: Value) {
    let why = kind.try_create(object).await.refused();
    assert!(why.starts_with("403 Forbidden: "), "{why}");
    assert!(why.contains("exceeded quota: test-quota"), "{why}");
}

#[tokio::test(start_paused = true)]
async fn resourcequota_should_create_a_resourcequota_and_ensure_its_status_is_promptly_calculated()
{
    let suite = Suite::new().await;
    quota_of(&suite, hard()).await;
}

#[tokio::test(start_paused = true)]
async fn resourcequota_should_create_a_resourcequota_and_capture_the_life_of_a_service() {
    let suite = Suite::new().await;
    let quotas = quota_of(&suite, hard()).await;
    let kind = suite.namespaced("v1", "Service", "services");
    let service = |name: &str, ty: &str, node_ports: bool| {
        let mut spec = json!({"type": ty, "ports": [{"port": 80, "targetPort": 80}]});
        if ty == "LoadBalancer" {
            spec["allocateLoadBalancerNodePorts"] = json!(node_ports);
        }
        json!({"metadata": {"name": name}, "spec": spec})
    };
    kind.create(service("test-service", "ClusterIP", false))
        .await;
    kind.create(service("test-service-np", "NodePort", false))
        .await;
    is_refused(&kind, service("test-service-lb", "LoadBalancer", true)).await;
    let used = json!({"resourcequotas": "1", "services": "2", "services.nodeports": "1"});
    until_used(&quotas, "test-quota", used).await;
    kind.delete("test-service").await;
    kind.delete("test-service-np").await;
    let used = json!({"services": "0", "services.nodeports": "0"});
    until_used(&quotas, "test-quota", used).await;
}

/// An object of this kind is counted while it lives, beside those that are there already.
async fn counts(kind: Kind<'_>, resource: &str, object: Value) {
    let before = kind.count("").await;
    let used = |count: usize| json!({resource: count.to_string()});
    let mut hard = hard();
    hard[resource] = json!((before + 1).to_string());
    let quotas = quota_of(kind.suite, hard).await;
    until_used(&quotas, "test-quota", used(before)).await;
    kind.create(object.clone()).await;
    until_used(&quotas, "test-quota", used(before + 1)).await;
    let mut other = object;
    other["metadata"]["name"] = json!("test-other");
    is_refused(&kind, other).await;
    // Without this some would leave their dependents, and wait for that.
    kind.delete_with("test", json!({"propagationPolicy": "Background"}))
        .await;
    until_used(&quotas, "test-quota", used(before)).await;
}

#[tokio::test(start_paused = true)]
async fn resourcequota_should_create_a_resourcequota_and_capture_the_life_of_a_secret() {
    let suite = Suite::new().await;
    let object = json!({"metadata": {"name": "test"}, "data": {"data-1": "dmFsdWUtMQo="}});
    counts(
        suite.namespaced("v1", "Secret", "secrets"),
        "secrets",
        object,
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn resourcequota_should_create_a_resourcequota_and_capture_the_life_of_a_configmap() {
    let suite = Suite::new().await;
    let kind = suite.namespaced("v1", "ConfigMap", "configmaps");
    kind.until("kube-root-ca.crt", "it is there", Value::is_object)
        .await;
    counts(
        kind,
        "configmaps",
        json!({"metadata": {"name": "test"}, "data": {"a": "b"}}),
    )
    .await;
}

fn workload(selector: Value) -> Value {
    let template = json!({"metadata": {"labels": {"name": "test"}}, "spec": {"containers": [{"name": "nginx", "image": "nginx"}]}});
    json!({"metadata": {"name": "test"}, "spec": {"replicas": 0, "selector": selector, "template": template}})
}

#[tokio::test(start_paused = true)]
async fn resourcequota_should_create_a_resourcequota_and_capture_the_life_of_a_replication_controller()
 {
    let suite = Suite::new().await;
    let kind = suite.namespaced("v1", "ReplicationController", "replicationcontrollers");
    counts(
        kind,
        "replicationcontrollers",
        workload(json!({"name": "test"})),
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn resourcequota_should_create_a_resourcequota_and_capture_the_life_of_a_replica_set() {
    let suite = Suite::new().await;
    let kind = suite.namespaced("apps/v1", "ReplicaSet", "replicasets");
    let object = workload(json!({"matchLabels": {"name": "test"}}));
    counts(kind, "count/replicasets.apps", object).await;
}

#[tokio::test(start_paused = true)]
async fn resourcequota_should_create_a_resourcequota_and_capture_the_life_of_a_pod() {
    let suite = Suite::new().await;
    let quotas = quota_of(&suite, hard()).await;
    let kind = pods(&suite);
    let dongles = json!({"example.com/dongle": "2"});
    let requests = |cpu: &str, memory: &str| json!({"cpu": cpu, "memory": memory, "ephemeral-storage": "30Gi", "example.com/dongle": "2"});
    let created = kind
        .create(pod("test-pod", requests("500m", "252Mi"), dongles.clone()))
        .await;
    let used = json!({
        "resourcequotas": "1", "pods": "1", "cpu": "500m", "memory": "252Mi", "ephemeral-storage": "30Gi",
        "requests.example.com/dongle": "2",
    });
    until_used(&quotas, "test-quota", used.clone()).await;
    let large = pod(
        "fail-pod",
        json!({"cpu": "600m", "memory": "100Mi"}),
        json!({}),
    );
    assert_eq!(kind.try_create(large).await.code, 403);
    is_refused(&kind, pod("fail-pod", requests("500m", "100Mi"), dongles)).await;
    let mut changed = created;
    changed["spec"]["containers"][0]["resources"]["requests"] =
        json!({"cpu": "100m", "memory": "100Mi", "ephemeral-storage": "10Gi"});
    let why = kind.try_put("test-pod", changed).await.refused();
    assert!(why.starts_with('4'), "{why}");
    until_used(&quotas, "test-quota", used).await;
    delete_at_once(&kind, "test-pod").await;
    let used = json!({"pods": "0", "cpu": "0", "memory": "0", "ephemeral-storage": "0", "requests.example.com/dongle": "0"});
    until_used(&quotas, "test-quota", used).await;
}

/// Makes a quota with a scope, named after it.
async fn scoped(suite: &Suite, scope: &str, hard: Value) -> String {
    let name = format!("quota-{}", scope.to_lowercase());
    let kind = quotas(suite);
    kind.create(json!({"metadata": {"name": name}, "spec": {"hard": hard, "scopes": [scope]}}))
        .await;
    until_used(&kind, &name, json!({"pods": "0"})).await;
    name
}

/// The pod is counted by the first quota while it is there, and never by the second.
async fn is_counted_by(suite: &Suite, object: Value, quota: &str, other: &str, of_pod: Value) {
    let (pods, quotas) = (pods(suite), quotas(suite));
    let mut none = of_pod.clone();
    for amount in none.as_object_mut().unwrap().values_mut() {
        *amount = json!("0");
    }
    let name = object["metadata"]["name"].as_str().unwrap().to_owned();
    pods.create(object).await;
    until_used(&quotas, quota, of_pod).await;
    let mut nothing = none.clone();
    let told = quotas.get(other).await["status"]["used"].clone();
    nothing
        .as_object_mut()
        .unwrap()
        .retain(|resource, _| !told[resource].is_null());
    assert_contains(&told, &nothing);
    delete_at_once(&pods, &name).await;
    until_used(&quotas, quota, none).await;
}

fn amounts(cpu: &str, memory: &str) -> Value {
    json!({"cpu": cpu, "memory": memory})
}

#[tokio::test(start_paused = true)]
async fn resourcequota_should_verify_resourcequota_with_terminating_scopes() {
    let suite = Suite::new().await;
    let hard = json!({"pods": "5", "requests.cpu": "1", "requests.memory": "500Mi", "limits.cpu": "2", "limits.memory": "1Gi"});
    let terminating = scoped(&suite, "Terminating", hard.clone()).await;
    let lasting = scoped(&suite, "NotTerminating", hard).await;
    let used = json!({"pods": "1", "requests.cpu": "500m", "requests.memory": "200Mi", "limits.cpu": "1", "limits.memory": "400Mi"});
    let object = pod("test-pod", amounts("500m", "200Mi"), amounts("1", "400Mi"));
    is_counted_by(&suite, object, &lasting, &terminating, used.clone()).await;
    let mut object = pod(
        "terminating-pod",
        amounts("500m", "200Mi"),
        amounts("1", "400Mi"),
    );
    object["spec"]["activeDeadlineSeconds"] = json!(3600);
    is_counted_by(&suite, object, &terminating, &lasting, used).await;
}

#[tokio::test(start_paused = true)]
async fn resourcequota_should_verify_resourcequota_with_best_effort_scope() {
    let suite = Suite::new().await;
    let best = scoped(&suite, "BestEffort", json!({"pods": "5"})).await;
    let other = scoped(&suite, "NotBestEffort", json!({"pods": "5"})).await;
    let object = pod("test-pod", json!({}), json!({}));
    is_counted_by(&suite, object, &best, &other, json!({"pods": "1"})).await;
    let object = pod(
        "burstable-pod",
        amounts("500m", "200Mi"),
        amounts("1", "400Mi"),
    );
    is_counted_by(&suite, object, &other, &best, json!({"pods": "1"})).await;
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

#[tokio::test(start_paused = true)]
async fn resourcequota_should_apply_changes_to_a_resourcequota_status() {
    let suite = Suite::new().await;
    let kind = quotas(&suite);
    let mut watch = kind.watch("labelSelector=e2e%3Dquota").await;
    let hard = amounts("500m", "500Mi");
    kind.create(
        json!({"metadata": {"name": "quota", "labels": {"e2e": "quota"}}, "spec": {"hard": hard}}),
    )
    .await;
    kind.update("quota/status", |quota| {
        quota["status"] = json!({"hard": hard});
    })
    .await;
    watch
        .until("MODIFIED", |quota| quota["status"]["hard"] == hard)
        .await;
    let hard = amounts("1", "1Gi");
    kind.strategic("quota", json!({"spec": {"hard": hard}}))
        .await;
    kind.strategic("quota/status", json!({"status": {"hard": hard}}))
        .await;
    watch
        .until("MODIFIED", |quota| quota["status"]["hard"] == hard)
        .await;
    assert_eq!(kind.get("quota/status").await["status"]["hard"], hard);
    // The spec is not the status' to change.
    let patch = json!({"spec": {"hard": {"cpu": "7"}}, "status": {"hard": {"cpu": "7"}}});
    let patched = kind.strategic("quota/status", patch).await;
    assert_eq!(patched["spec"]["hard"], hard);
    kind.until("quota", "the status is put right", |quota| {
        quota["status"]["hard"] == hard
    })
    .await;
}
