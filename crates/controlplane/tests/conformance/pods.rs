//! Pods on nodes: their lives, their generations, init containers, and what they mount.

use serde_json::{Value, json};

use crate::kind::Kind;
use crate::world::{Suite, conditions, names, revision};

fn pods(suite: &Suite) -> Kind<'_> {
    suite.namespaced("v1", "Pod", "pods")
}

/// A pod of one container that runs until it is stopped.
fn pause(name: &str, labels: &Value) -> Value {
    let container = json!({"name": "pause", "image": "registry.k8s.io/pause:3.10.1"});
    json!({"metadata": {"name": name, "labels": labels}, "spec": {"containers": [container]}})
}

fn is_running(pod: &Value) -> bool {
    pod["status"]["phase"] == "Running"
}

fn is_ready(pod: &Value) -> bool {
    let found = conditions(pod);
    found.get("Ready").is_some_and(|c| c["status"] == "True")
}

/// Two init containers that come to this, and an app container.
fn initialized(policy: &str, commands: [&str; 2], app: Value) -> Value {
    let init =
        |name: &str, command: &str| json!({"name": name, "image": "busybox", "command": [command]});
    let [first, second] = commands;
    let mut app = app;
    app["name"] = json!("run1");
    json!({
        "metadata": {"name": "pod-init", "labels": {"name": "foo"}},
        "spec": {
            "restartPolicy": policy, "containers": [app],
            "initContainers": [init("init1", first), init("init2", second)],
        },
    })
}

/// What holds for every state of a pod with init containers.
fn assert_initializes_in_order(pod: &Value) {
    let statuses = pod["status"]["initContainerStatuses"].as_array();
    let Some(statuses) = statuses else { return };
    let mut is_complete = true;
    for status in statuses {
        let state = &status["state"];
        assert!(
            is_complete || state["waiting"].is_object(),
            "one after the other: {pod:#}"
        );
        let has_succeeded = state["terminated"]["exitCode"] == 0;
        assert!(!has_succeeded || status["ready"] == true, "{status:#}");
        is_complete &= has_succeeded;
    }
    let condition = &conditions(pod)["Initialized"];
    assert_eq!(condition["status"] == "True", is_complete, "{pod:#}");
    assert!(!condition["lastTransitionTime"].is_null());
    if !is_complete {
        assert_apps_wait(pod);
    }
}

fn assert_apps_wait(pod: &Value) {
    let apps = pod["status"]["containerStatuses"].as_array();
    for app in apps.into_iter().flatten() {
        assert_eq!(
            app["state"]["waiting"]["reason"], "PodInitializing",
            "{pod:#}"
        );
        assert_eq!(app["restartCount"], 0);
    }
}

/// Creates a pod with init containers, and follows it until it is as wanted.
async fn follow(suite: &Suite, pod: Value, is_so: impl Fn(&Value) -> bool) -> Value {
    let kind = pods(suite);
    let mut watching = kind.watch("fieldSelector=metadata.name%3Dpod-init").await;
    kind.create(pod).await;
    watching.expect("ADDED").await;
    loop {
        let pod = watching.expect("MODIFIED").await;
        assert_initializes_in_order(&pod);
        if is_so(&pod) {
            return pod;
        }
    }
}

fn assert_initialized(pod: &Value) {
    assert_eq!(conditions(pod)["Initialized"]["status"], "True");
    let statuses = pod["status"]["initContainerStatuses"].as_array().unwrap();
    assert_eq!(statuses.len(), 2);
    for status in statuses {
        assert_eq!(status["ready"], true);
        assert_eq!(status["state"]["terminated"]["exitCode"], 0);
    }
}

#[tokio::test(start_paused = true)]
async fn initcontainer_should_invoke_init_containers_on_a_restartnever_pod() {
    let suite = Suite::with_nodes(1).await;
    let app = json!({"image": "busybox", "command": ["/bin/true"]});
    let pod = initialized("Never", ["/bin/true"; 2], app);
    let is_over = |pod: &Value| {
        let phase = pod["status"]["phase"].as_str();
        matches!(phase, Some("Succeeded" | "Failed"))
    };
    let pod = follow(&suite, pod, is_over).await;
    assert_eq!(pod["status"]["phase"], "Succeeded");
    assert_initialized(&pod);
}

#[tokio::test(start_paused = true)]
async fn initcontainer_should_invoke_init_containers_on_a_restartalways_pod() {
    let suite = Suite::with_nodes(1).await;
    let app = json!({"image": "pause", "resources": {"limits": {"cpu": "100m"}}});
    let pod = initialized("Always", ["/bin/true"; 2], app);
    assert_initialized(&follow(&suite, pod, is_running).await);
}

#[tokio::test(start_paused = true)]
async fn initcontainer_should_not_start_app_containers_if_init_containers_fail_on_a_restartalways_pod()
 {
    let suite = Suite::with_nodes(1).await;
    let app = json!({"image": "pause", "resources": {"limits": {"cpu": "100m"}}});
    let pod = initialized("Always", ["/bin/false", "/bin/true"], app);
    let pod = follow(&suite, pod, |pod| {
        let first = &pod["status"]["initContainerStatuses"][0];
        assert_apps_wait(pod);
        first["lastState"]["terminated"].is_object() && first["restartCount"].as_i64() >= Some(3)
    })
    .await;
    assert_eq!(pod["status"]["phase"], "Pending");
    let condition = &conditions(&pod)["Initialized"];
    assert_eq!(condition["status"], "False");
    assert_eq!(condition["reason"], "ContainersNotInitialized");
    assert_eq!(
        condition["message"],
        "containers with incomplete status: [init1 init2]"
    );
}

#[tokio::test(start_paused = true)]
async fn initcontainer_should_not_start_app_containers_and_fail_the_pod_if_init_containers_fail_on_a_restartnever_pod()
 {
    let suite = Suite::with_nodes(1).await;
    let app = json!({"image": "busybox", "command": ["/bin/true"]});
    let pod = initialized("Never", ["/bin/true", "/bin/false"], app);
    let pod = follow(&suite, pod, |pod| pod["status"]["phase"] == "Failed").await;
    let condition = &conditions(&pod)["Initialized"];
    assert_eq!(condition["status"], "False");
    assert_eq!(condition["reason"], "ContainersNotInitialized");
    assert_eq!(
        condition["message"],
        "containers with incomplete status: [init2]"
    );
    let statuses = pod["status"]["initContainerStatuses"].as_array().unwrap();
    assert_eq!(statuses[0]["state"]["terminated"]["exitCode"], 0);
    assert_ne!(statuses[1]["state"]["terminated"]["exitCode"], 0);
    assert_apps_wait(&pod);
}

fn busybox_that_fails(policy: &str) -> Value {
    let container = json!({"name": "bin-false", "image": "busybox", "command": ["/bin/false"]});
    json!({"metadata": {"name": "bin-false"}, "spec": {"restartPolicy": policy, "containers": [container]}})
}

#[tokio::test(start_paused = true)]
async fn kubelet_when_scheduling_a_busybox_command_that_always_fails_in_a_pod_should_have_an_terminated_reason()
 {
    let suite = Suite::with_nodes(1).await;
    let kind = pods(&suite);
    kind.create(busybox_that_fails("Never")).await;
    kind.until("bin-false", "it says how it ended", |pod| {
        let end = &pod["status"]["containerStatuses"][0]["state"]["terminated"];
        end["exitCode"].as_i64().is_some_and(|code| code != 0) && end["reason"] != ""
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn kubelet_when_scheduling_a_busybox_command_that_always_fails_in_a_pod_should_be_possible_to_delete()
 {
    let suite = Suite::with_nodes(1).await;
    let kind = pods(&suite);
    kind.create(busybox_that_fails("Always")).await;
    kind.delete("bin-false").await;
    kind.until_gone("bin-false").await;
}

#[tokio::test(start_paused = true)]
async fn pods_should_get_a_host_ip() {
    let suite = Suite::with_nodes(1).await;
    let kind = pods(&suite);
    kind.create(pause("pod-hostip", &json!({}))).await;
    let pod = kind
        .until("pod-hostip", "it has a host", |pod| {
            pod["status"]["hostIP"].is_string()
        })
        .await;
    let ip = pod["status"]["hostIP"].as_str().unwrap();
    ip.parse::<std::net::IpAddr>().unwrap();
}

#[tokio::test(start_paused = true)]
async fn pods_should_be_submitted_and_removed() {
    let suite = Suite::with_nodes(1).await;
    let kind = pods(&suite);
    let query = "labelSelector=time%3D1";
    assert_eq!(kind.count(query).await, 0);
    let mut watching = kind.watch(query).await;
    kind.create(pause(
        "pod-submit-remove",
        &json!({"name": "foo", "time": "1"}),
    ))
    .await;
    assert_eq!(kind.count(query).await, 1);
    watching.expect("ADDED").await;
    kind.until("pod-submit-remove", "it runs", is_running).await;
    let grace = json!({"gracePeriodSeconds": 30});
    kind.delete_with("pod-submit-remove", grace).await;
    let last = watching.until("DELETED", |_| true).await;
    assert!(!last["metadata"]["deletionTimestamp"].is_null());
    assert_ne!(last["spec"]["terminationGracePeriodSeconds"], 0);
    assert_eq!(kind.count(query).await, 0);
}

#[tokio::test(start_paused = true)]
async fn pods_should_be_updated() {
    let suite = Suite::with_nodes(1).await;
    let kind = pods(&suite);
    kind.create(pause("pod-update", &json!({"name": "foo", "time": "1"})))
        .await;
    kind.until("pod-update", "it runs", is_ready).await;
    assert_eq!(kind.count("labelSelector=time%3D1").await, 1);
    kind.update("pod-update", |pod| {
        pod["metadata"]["labels"]["time"] = json!("2");
    })
    .await;
    kind.until("pod-update", "it runs", is_running).await;
    let found = kind.list("labelSelector=time%3D2").await;
    assert_eq!(names(&found), ["pod-update"]);
}

#[tokio::test(start_paused = true)]
async fn pods_should_allow_activedeadlineseconds_to_be_updated() {
    let suite = Suite::with_nodes(1).await;
    let kind = pods(&suite);
    kind.create(pause("pod-deadline", &json!({}))).await;
    kind.until("pod-deadline", "it runs", is_ready).await;
    kind.update("pod-deadline", |pod| {
        pod["spec"]["activeDeadlineSeconds"] = json!(5);
    })
    .await;
    kind.until("pod-deadline", "its time is over", |pod| {
        pod["status"]["phase"] == "Failed" && pod["status"]["reason"] == "DeadlineExceeded"
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn pods_should_delete_a_collection_of_pods() {
    let suite = Suite::with_nodes(1).await;
    let kind = pods(&suite);
    let query = "labelSelector=type%3DTesting";
    for at in 1..=3 {
        let mut pod = pause(&format!("test-pod-{at}"), &json!({"type": "Testing"}));
        pod["spec"]["restartPolicy"] = json!("Never");
        pod["spec"]["terminationGracePeriodSeconds"] = json!(1);
        kind.create(pod).await;
    }
    let path = kind.path("");
    suite
        .until(&path, "all run", |list| {
            let items = list["items"].as_array().unwrap();
            items.len() == 3 && items.iter().all(is_ready)
        })
        .await;
    kind.delete_collection(query).await;
    suite
        .until(&format!("{path}?{query}"), "all go", |list| {
            list["items"] == json!([])
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn pods_should_run_through_the_lifecycle_of_pods_and_podstatus() {
    let suite = Suite::with_nodes(1).await;
    let kind = pods(&suite);
    let query = "labelSelector=test-pod-static%3Dtrue";
    let mut watching = kind.watch(query).await;
    let container = |image: &str| json!({"name": "pod-test", "image": image});
    let spec =
        json!({"terminationGracePeriodSeconds": 1, "containers": [container("agnhost:2.52")]});
    kind.create(json!({"metadata": {"name": "pod-test", "labels": {"test-pod-static": "true"}}, "spec": spec}))
        .await;
    watching.until("MODIFIED", is_running).await;
    let read = kind.get("pod-test").await;
    assert!(is_running(&read));
    let patch = json!({"metadata": {"labels": {"test-pod": "patched"}},
        "spec": {"terminationGracePeriodSeconds": 1, "containers": [container("agnhost:2.53")]}});
    kind.strategic("pod-test", patch).await;
    watching.until("MODIFIED", |_| true).await;
    let patched = kind.get("pod-test").await;
    assert_eq!(patched["metadata"]["labels"]["test-pod"], "patched");
    assert_eq!(patched["spec"]["containers"][0]["image"], "agnhost:2.53");
    assert!(revision(&patched) > revision(&read));
    kind.until("pod-test", "it is ready", is_ready).await;
    let updated = kind
        .update("pod-test/status", |pod| {
            let mut count = 0;
            for condition in pod["status"]["conditions"].as_array_mut().unwrap() {
                if condition["type"] == "Ready" || condition["type"] == "ContainersReady" {
                    assert_eq!(condition["status"], "True");
                    condition["status"] = json!("False");
                    count += 1;
                }
            }
            assert_eq!(count, 2);
        })
        .await;
    for ty in ["Ready", "ContainersReady"] {
        assert_eq!(conditions(&updated)[ty]["status"], "False");
    }
    kind.delete_collection(query).await;
    watching.until("DELETED", |_| true).await;
    kind.assert_gone("pod-test").await;
}

#[tokio::test(start_paused = true)]
async fn pods_should_patch_a_pod_status() {
    let suite = Suite::with_nodes(1).await;
    let kind = pods(&suite);
    kind.create(pause("pod-patched", &json!({"e2e": "pod-patched"})))
        .await;
    kind.until("pod-patched", "it runs", is_running).await;
    let patch = json!({"metadata": {"annotations": {"patchedstatus": "true"}},
        "status": {"message": "Patched by e2e test", "reason": "E2E"}});
    let patched = kind.merge("pod-patched/status", patch).await;
    assert_eq!(patched["status"]["message"], "Patched by e2e test");
    assert_eq!(patched["status"]["reason"], "E2E");
}

/// A change of a pod, and whether its generation counts it.
type Change = (bool, fn(&mut Value));

#[tokio::test(start_paused = true)]
async fn pods_extended_pod_generation_pod_generation_pod_generation_should_start_at_1_and_increment_per_update()
 {
    let suite = Suite::with_nodes(1).await;
    let kind = pods(&suite);
    let mut pod = pause("pod-generation", &json!({}));
    pod["spec"]["initContainers"] = json!([{"name": "init-container", "image": "busybox"}]);
    kind.create(pod).await;
    let created = kind.until("pod-generation", "it runs", is_ready).await;
    assert_eq!(created["metadata"]["generation"], 1);
    let changes: [Change; 7] = [
        (false, |_| {}),
        (true, |pod| {
            let toleration =
                json!({"key": "foo", "operator": "Equal", "value": "bar", "effect": "NoSchedule"});
            let all = pod["spec"]["tolerations"].as_array_mut().unwrap();
            all.push(toleration);
        }),
        (true, |pod| {
            pod["spec"]["activeDeadlineSeconds"] = json!(5000);
        }),
        (true, |pod| {
            pod["spec"]["containers"][0]["image"] = json!("nginx");
        }),
        (true, |pod| {
            pod["spec"]["initContainers"][0]["image"] = json!("pause");
        }),
        (false, |pod| {
            pod["metadata"]["annotations"] = json!({"key": "value"});
        }),
        (false, |pod| {
            pod["metadata"]["generation"] = json!(1);
        }),
    ];
    let mut expected = 1;
    for (counts, change) in changes {
        let updated = kind.update("pod-generation", change).await;
        expected += i64::from(counts);
        assert_eq!(updated["metadata"]["generation"], expected);
        kind.until("pod-generation", "it is observed", |pod| {
            pod["status"]["observedGeneration"] == expected
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn pods_extended_pod_generation_pod_generation_custom_set_generation_on_new_pods_and_graceful_delete()
 {
    let suite = Suite::with_nodes(1).await;
    let kind = pods(&suite);
    let mut pod = pause("pod-generation", &json!({"time": "1"}));
    pod["metadata"]["generation"] = json!(100);
    // An application that takes its time to stop, as the one of the test.
    pod["metadata"]["annotations"] = json!({"simulated.apiary.io/stop-delay": "60s"});
    let created = kind.create(pod).await;
    assert_eq!(created["metadata"]["generation"], 1);
    kind.until("pod-generation", "it runs", is_running).await;
    let grace = json!({"gracePeriodSeconds": 60});
    kind.delete_with("pod-generation", grace).await;
    assert_eq!(
        kind.get("pod-generation").await["metadata"]["generation"],
        2
    );
}

#[tokio::test(start_paused = true)]
async fn pods_extended_pod_generation_pod_generation_issue_500_podspec_updates_and_verify_generation_and_observedgeneration_eventually_converge()
 {
    let suite = Suite::with_nodes(1).await;
    let kind = pods(&suite);
    let mut pod = pause("pod-generation", &json!({"time": "1"}));
    pod["spec"]["activeDeadlineSeconds"] = json!(5000);
    kind.create(pod).await;
    kind.until("pod-generation", "it runs", is_ready).await;
    for seconds in (4501..5000).rev() {
        kind.update("pod-generation", |pod| {
            pod["spec"]["activeDeadlineSeconds"] = json!(seconds);
        })
        .await;
    }
    let pod = kind
        .until("pod-generation", "all is observed", |pod| {
            pod["status"]["observedGeneration"] == 500
        })
        .await;
    assert_eq!(pod["metadata"]["generation"], 500);
}

/// A pod of a runtime class, once it is on a node.
async fn scheduled_with_class(suite: &Suite, overhead: Value) -> Value {
    let classes = suite.cluster_wide("node.k8s.io/v1", "RuntimeClass", "runtimeclasses");
    let mut class = json!({"metadata": {"name": "preconfigured"}, "handler": "test-handler"});
    if !overhead.is_null() {
        class["overhead"] = json!({"podFixed": overhead});
    }
    classes.create(class).await;
    let kind = pods(suite);
    let mut pod = pause("test-runtimeclass", &json!({}));
    pod["spec"]["runtimeClassName"] = json!("preconfigured");
    pod["spec"]["automountServiceAccountToken"] = json!(false);
    kind.create(pod).await;
    kind.until("test-runtimeclass", "it has a node", |pod| {
        pod["spec"]["nodeName"].is_string()
    })
    .await
}

#[tokio::test(start_paused = true)]
async fn runtimeclass_should_schedule_a_pod_requesting_a_runtimeclass_and_initialize_its_overhead()
{
    let suite = Suite::with_nodes(1).await;
    let overhead = json!({"cpu": "10m", "memory": "1Mi"});
    let pod = scheduled_with_class(&suite, overhead.clone()).await;
    assert_eq!(pod["spec"]["overhead"], overhead);
}

#[tokio::test(start_paused = true)]
async fn runtimeclass_should_schedule_a_pod_requesting_a_runtimeclass_without_podoverhead() {
    let suite = Suite::with_nodes(1).await;
    let pod = scheduled_with_class(&suite, Value::Null).await;
    assert!(pod["spec"]["overhead"].is_null());
}

#[tokio::test(start_paused = true)]
async fn emptydir_wrapper_volumes_should_not_conflict() {
    let suite = Suite::with_nodes(1).await;
    let (secrets, maps) = (
        suite.namespaced("v1", "Secret", "secrets"),
        suite.namespaced("v1", "ConfigMap", "configmaps"),
    );
    secrets
        .create(json!({"metadata": {"name": "wrapped"}, "data": {"data-1": "dmFsdWUtMQo="}}))
        .await;
    maps.create(json!({"metadata": {"name": "wrapped"}, "data": {"data-1": "value-1"}}))
        .await;
    let mut pod = pause("pod-secrets", &json!({}));
    pod["spec"]["volumes"] = json!([
        {"name": "secret-volume", "secret": {"secretName": "wrapped"}},
        {"name": "configmap-volume", "configMap": {"name": "wrapped"}},
    ]);
    pod["spec"]["containers"][0]["volumeMounts"] = json!([
        {"name": "secret-volume", "mountPath": "/etc/secret-volume", "readOnly": true},
        {"name": "configmap-volume", "mountPath": "/etc/configmap-volume"},
    ]);
    let kind = pods(&suite);
    kind.create(pod).await;
    kind.until("pod-secrets", "it is ready", is_ready).await;
    kind.delete("pod-secrets").await;
    secrets.delete("wrapped").await;
    maps.delete("wrapped").await;
}

#[tokio::test(start_paused = true)]
async fn emptydir_wrapper_volumes_should_not_cause_race_condition_when_used_for_configmaps() {
    let suite = Suite::with_nodes(2).await;
    let maps = suite.namespaced("v1", "ConfigMap", "configmaps");
    let (mut volumes, mut mounts) = (vec![], vec![]);
    for at in 0..50 {
        let name = format!("racey-configmap-{at}");
        maps.create(json!({"metadata": {"name": name}, "data": {"data-1": "value-1"}}))
            .await;
        let items = json!([{"key": "data-1", "path": "data-1"}]);
        volumes.push(json!({"name": name, "configMap": {"name": name, "items": items}}));
        mounts.push(json!({"name": name, "mountPath": format!("/etc/config-{at}")}));
    }
    let controllers = suite.namespaced("v1", "ReplicationController", "replicationcontrollers");
    let path = pods(&suite).path("");
    for round in 0..3 {
        let name = format!("wrapped-volume-race-{round}");
        let container = json!({"name": "test-container", "image": "busybox", "command": ["sleep", "10000"], "volumeMounts": mounts});
        let template = json!({"metadata": {"labels": {"name": name}}, "spec": {"containers": [container], "volumes": volumes}});
        controllers
            .create(json!({"metadata": {"name": name}, "spec": {"replicas": 5, "selector": {"name": name}, "template": template}}))
            .await;
        suite
            .until(&path, "all run", |list| {
                let items = list["items"].as_array().unwrap();
                items.len() == 5 && items.iter().all(is_running)
            })
            .await;
        let background = json!({"propagationPolicy": "Background"});
        controllers.delete_with(&name, background).await;
        suite
            .until(&path, "all go", |list| list["items"] == json!([]))
            .await;
    }
}
