//! A cluster through its days: what pods get, what goes with what, nodes that fall silent, and restarts.

use std::time::Duration;

use apiserver::store::Memory;
use runtime::Clock;
use serde_json::{Value, json};

use crate::world::{World, deployment};

const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";
const SETS: &str = "/apis/apps/v1/namespaces/default/replicasets";
const PODS: &str = "/api/v1/namespaces/default/pods";

fn count(list: &Value) -> usize {
    list["items"].as_array().map_or(0, Vec::len)
}

fn is_complete(deployment: &Value) -> bool {
    let (status, wanted) = (&deployment["status"], &deployment["spec"]["replicas"]);
    status["updatedReplicas"] == *wanted
        && status["availableReplicas"] == *wanted
        && status["replicas"] == *wanted
}

/// A Deployment with its pods.
async fn web(world: &World) {
    world.post(DEPLOYMENTS, deployment("web", 2, "nginx")).await;
    world
        .until(&format!("{DEPLOYMENTS}/web"), "it runs", is_complete)
        .await;
}

#[tokio::test(start_paused = true)]
async fn in_the_background_a_deployment_takes_all_with_it() {
    let world = World::new(1).await;
    web(&world).await;
    world
        .delete(
            &format!("{DEPLOYMENTS}/web"),
            json!({"propagationPolicy": "Background"}),
        )
        .await;
    assert!(
        world.get(&format!("{DEPLOYMENTS}/web")).await.is_null(),
        "it goes first"
    );
    world
        .until(SETS, "the ReplicaSet goes", |sets| count(sets) == 0)
        .await;
    world
        .until(PODS, "the pods go", |pods| count(pods) == 0)
        .await;
}

#[tokio::test(start_paused = true)]
async fn in_the_foreground_a_deployment_goes_last() {
    let world = World::new(1).await;
    web(&world).await;
    let patch = json!({"spec": {"template": {"metadata": {"annotations": {"simulated.apiary.io/stop-delay": "20s"}}}}});
    world.merge(&format!("{DEPLOYMENTS}/web"), patch).await;
    world
        .until(&format!("{DEPLOYMENTS}/web"), "it rolls", is_complete)
        .await;
    world
        .until(PODS, "old pods go", |pods| count(pods) == 2)
        .await;
    world
        .delete(
            &format!("{DEPLOYMENTS}/web"),
            json!({"propagationPolicy": "Foreground"}),
        )
        .await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    let waiting = world.get(&format!("{DEPLOYMENTS}/web")).await;
    assert_eq!(
        waiting["metadata"]["finalizers"],
        json!(["foregroundDeletion"])
    );
    assert_eq!(count(&world.get(PODS).await), 2, "its pods take their time");
    world
        .until(&format!("{DEPLOYMENTS}/web"), "it goes", Value::is_null)
        .await;
    assert_eq!(
        (count(&world.get(SETS).await), count(&world.get(PODS).await)),
        (0, 0)
    );
}

#[tokio::test(start_paused = true)]
async fn orphans_run_on_until_they_are_adopted() {
    let world = World::new(1).await;
    web(&world).await;
    let uids = |pods: &Value| {
        let mut uids: Vec<String> = pods["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|p| p["metadata"]["uid"].to_string())
            .collect();
        uids.sort();
        uids
    };
    let before = uids(&world.get(PODS).await);
    world
        .delete(
            &format!("{DEPLOYMENTS}/web"),
            json!({"propagationPolicy": "Orphan"}),
        )
        .await;
    world
        .until(&format!("{DEPLOYMENTS}/web"), "it goes", Value::is_null)
        .await;
    world
        .until(SETS, "its ReplicaSet is an orphan", |sets| {
            sets["items"][0]["metadata"]["ownerReferences"].is_null()
        })
        .await;
    web(&world).await;
    let sets = world.get(SETS).await;
    assert_eq!(count(&sets), 1, "the new one adopts it: {sets}");
    assert_eq!(uids(&world.get(PODS).await), before, "and nobody noticed");
}

#[tokio::test(start_paused = true)]
async fn a_service_takes_its_endpoints_with_it() {
    let world = World::new(1).await;
    web(&world).await;
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": {"selector": {"app": "web"}, "ports": [{"port": 80}]}});
    world
        .post("/api/v1/namespaces/default/services", service)
        .await;
    let slices = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices?labelSelector=kubernetes.io/service-name=web";
    let endpoints = "/api/v1/namespaces/default/endpoints/web";
    world
        .until(slices, "it has endpoints", |slices| {
            slices["items"][0]["endpoints"]
                .as_array()
                .is_some_and(|e| e.len() == 2)
        })
        .await;
    world
        .until(endpoints, "in the old form too", |endpoints| {
            endpoints["subsets"].is_array()
        })
        .await;
    world
        .delete("/api/v1/namespaces/default/services/web", Value::Null)
        .await;
    world
        .until(slices, "the slices go", |slices| count(slices) == 0)
        .await;
    world
        .until(endpoints, "the Endpoints go", Value::is_null)
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_namespace_with_workloads_goes_when_nothing_holds_it() {
    let world = World::new(1).await;
    world
        .post(
            "/api/v1/namespaces",
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team"}}),
        )
        .await;
    let mut web = deployment("web", 2, "nginx");
    web["metadata"]["namespace"] = "team".into();
    world
        .post("/apis/apps/v1/namespaces/team/deployments", web)
        .await;
    world
        .until(
            "/apis/apps/v1/namespaces/team/deployments/web",
            "it runs",
            is_complete,
        )
        .await;
    let held = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "held", "finalizers": ["example.com/hold"]}});
    world.post("/api/v1/namespaces/team/configmaps", held).await;
    world.delete("/api/v1/namespaces/team", Value::Null).await;
    let says = |namespace: &Value, ty: &str| {
        let conditions = namespace["status"]["conditions"].as_array()?;
        let condition = conditions.iter().find(|c| c["type"] == ty)?;
        Some(format!(
            "{} {}",
            condition["status"].as_str()?,
            condition["message"].as_str()?
        ))
    };
    let only_the_map = |namespace: &Value| {
        says(namespace, "NamespaceContentRemaining").as_deref()
            == Some("True Some resources are remaining: configmaps. has 1 resource instances")
            && says(namespace, "NamespaceFinalizersRemaining").as_deref()
                == Some(
                    "True Some content in the namespace has finalizers remaining: example.com/hold in 1 resource instances",
                )
    };
    world
        .until(
            "/api/v1/namespaces/team",
            "only what is held is left, and named",
            only_the_map,
        )
        .await;
    world
        .merge(
            "/api/v1/namespaces/team/configmaps/held",
            json!({"metadata": {"finalizers": null}}),
        )
        .await;
    world
        .until("/api/v1/namespaces/team", "it goes", Value::is_null)
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_pod_has_an_account_a_token_and_the_authority() {
    let world = World::new(1).await;
    let account = "/api/v1/namespaces/default/serviceaccounts/default";
    world
        .until(account, "the account exists", |account| {
            account["metadata"].is_object()
        })
        .await;
    let authority = world
        .until(
            "/api/v1/namespaces/default/configmaps/kube-root-ca.crt",
            "the certificate is published",
            |map| map["data"].is_object(),
        )
        .await;
    assert_eq!(
        authority["data"]["ca.crt"],
        world.plane.cluster.spec().keys.ca_cert_pem
    );
    let pod = world
        .post(PODS, json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}))
        .await;
    assert_eq!(pod["spec"]["serviceAccountName"], "default");
    let sources = &pod["spec"]["volumes"][0]["projected"]["sources"];
    assert_eq!(sources[0]["serviceAccountToken"]["path"], "token");
    assert_eq!(sources[1]["configMap"]["name"], "kube-root-ca.crt");
    let mount = &pod["spec"]["containers"][0]["volumeMounts"][0];
    assert_eq!(
        mount["mountPath"],
        "/var/run/secrets/kubernetes.io/serviceaccount"
    );
    world
        .until(&format!("{PODS}/p"), "it runs", |pod| {
            pod["status"]["phase"] == "Running"
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn describe_shows_what_happened() {
    let world = World::new(1).await;
    web(&world).await;
    let told = |events: &Value| {
        let mut told: Vec<String> = events["items"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|event| event["involvedObject"]["kind"] != "Node")
            .map(|event| {
                let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
                format!(
                    "{} {} {}",
                    word(&event["involvedObject"]["kind"]),
                    word(&event["source"]["component"]),
                    word(&event["reason"])
                )
            })
            .collect();
        told.sort();
        told.join("\n")
    };
    let expected = "Deployment deployment-controller ScalingReplicaSet\n\
        Pod default-scheduler Scheduled\nPod default-scheduler Scheduled\n\
        Pod kubelet Created\nPod kubelet Created\nPod kubelet Pulled\nPod kubelet Pulled\nPod kubelet Started\nPod kubelet Started\n\
        ReplicaSet replicaset-controller SuccessfulCreate\nReplicaSet replicaset-controller SuccessfulCreate";
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(
        told(&world.get("/api/v1/namespaces/default/events").await),
        expected
    );
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_shown_and_tried_again() {
    let world = World::new(1).await;
    let mut bad = deployment("bad", 1, "nginx");
    bad["spec"]["template"]["spec"]["serviceAccountName"] = "missing".into();
    world.post(DEPLOYMENTS, bad).await;
    let names_it = |deployment: &Value| {
        let conditions = deployment["status"]["conditions"].as_array();
        conditions.is_some_and(|all| {
            all.iter().any(|c| {
                c["type"] == "ReplicaFailure"
                    && c["reason"] == "FailedCreate"
                    && c["message"].as_str().is_some_and(|m| {
                        m.contains("error looking up service account default/missing")
                    })
            })
        })
    };
    world
        .until(
            &format!("{DEPLOYMENTS}/bad"),
            "the refusal is shown",
            names_it,
        )
        .await;
    let account =
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "missing"}});
    world
        .post("/api/v1/namespaces/default/serviceaccounts", account)
        .await;
    world
        .until(
            &format!("{DEPLOYMENTS}/bad"),
            "it is tried again",
            is_complete,
        )
        .await;
}

fn ready(node: &Value) -> &Value {
    let conditions = node["status"]["conditions"].as_array();
    let ready = conditions
        .into_iter()
        .flatten()
        .find(|c| c["type"] == "Ready");
    ready.map_or(&Value::Null, |c| &c["status"])
}

#[tokio::test(start_paused = true)]
async fn a_node_that_falls_silent_is_unknown_until_it_speaks_again() {
    let world = World::new(1).await;
    web(&world).await;
    let node = "/api/v1/nodes/node-1";
    assert_eq!(ready(&world.get(node).await), "True");
    world.planes.stop_kubelet("test", "node-1");
    let silent = world
        .until(node, "it counts as silent", |node| ready(node) == "Unknown")
        .await;
    let keys: Vec<String> = silent["spec"]["taints"]
        .as_array()
        .unwrap()
        .iter()
        .map(|t| format!("{}:{}", t["key"], t["effect"]))
        .collect();
    assert_eq!(
        keys,
        ["NoSchedule", "NoExecute"]
            .map(|effect| format!("\"node.kubernetes.io/unreachable\":\"{effect}\""))
    );
    let web = format!("{DEPLOYMENTS}/web");
    world
        .until(&web, "its pods count no longer", |web| {
            web["status"]["readyReplicas"].is_null()
        })
        .await;
    world.start_node(1);
    world
        .until(node, "it is back", |node| {
            ready(node) == "True" && node["spec"]["taints"].is_null()
        })
        .await;
    world.until(&web, "and so are its pods", is_complete).await;
}

#[tokio::test(start_paused = true)]
async fn after_a_restart_everything_goes_on() {
    let (store, clock) = (
        Memory::new(),
        Clock::simulated("2026-04-22T12:00:00Z".parse().unwrap()),
    );
    let world = World::on(store.clone(), clock.clone(), 1).await;
    web(&world).await;
    let uids = async |world: &World| {
        let mut uids = vec![];
        for path in [
            DEPLOYMENTS,
            SETS,
            PODS,
            "/api/v1/nodes",
            "/api/v1/namespaces",
            "/api/v1/namespaces/default/configmaps",
        ] {
            for object in world.get(path).await["items"].as_array().unwrap() {
                uids.push(format!(
                    "{path} {} {}",
                    object["metadata"]["name"], object["metadata"]["uid"]
                ));
            }
        }
        uids.sort();
        uids
    };
    let before = uids(&world).await;
    world.planes.shut_down().await;
    let again = World::on(store, clock, 1).await;
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert_eq!(uids(&again).await, before);
    again
        .merge(
            &format!("{DEPLOYMENTS}/web"),
            json!({"spec": {"replicas": 4}}),
        )
        .await;
    again
        .until(&format!("{DEPLOYMENTS}/web"), "it scales", is_complete)
        .await;
}
