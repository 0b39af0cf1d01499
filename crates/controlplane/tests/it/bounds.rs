//! What bounds workloads and what shows their bounds: quotas, budgets, and the older and timed kinds of workloads.

use apiserver::object::Key;
use controlplane::StoredTexts;
use k8s_openapi::api::core::v1::Pod;
use kube::core::ApiResource;
use runtime::{CacheLimits, Cluster, ClusterOptions, Entry, Selector};
use serde_json::{Value, json};

use crate::world::{World, deployment};

const CORE: &str = "/api/v1/namespaces/default";

fn quota(hard: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "q"}, "spec": {"hard": hard}})
}

#[tokio::test(start_paused = true)]
async fn a_quota_follows_the_life_of_what_it_counts() {
    let world = World::new(1).await;
    let quotas = format!("{CORE}/resourcequotas");
    let path = format!("{quotas}/q");
    let hard =
        json!({"pods": "2", "count/deployments.apps": "5", "services": "2", "requests.cpu": "1"});
    world.post(&quotas, quota(&hard)).await;
    let is_used = |used: Value| {
        move |q: &Value| q["status"]["used"] == used && q["status"]["hard"] == q["spec"]["hard"]
    };
    let nothing =
        json!({"pods": "0", "count/deployments.apps": "0", "services": "1", "requests.cpu": "0"});
    world
        .until(&path, "the quota is counted", is_used(nothing.clone()))
        .await;
    let mut web = deployment("web", 3, "nginx");
    web["spec"]["template"]["spec"]["containers"][0]["resources"] =
        json!({"requests": {"cpu": "250m"}});
    world
        .post("/apis/apps/v1/namespaces/default/deployments", web)
        .await;
    let some = json!({"pods": "2", "count/deployments.apps": "1", "services": "1", "requests.cpu": "500m"});
    world.until(&path, "two pods fit", is_used(some)).await;
    world
        .until(
            "/apis/apps/v1/namespaces/default/replicasets",
            "the third is missed",
            |sets| {
                let condition = &sets["items"][0]["status"]["conditions"][0];
                condition["type"] == "ReplicaFailure"
                    && condition["message"].as_str().is_some_and(|m| {
                        m.contains(
                            "exceeded quota: q, requested: pods=1, used: pods=2, limited: pods=2",
                        )
                    })
            },
        )
        .await;
    let background = json!({"propagationPolicy": "Background"});
    world
        .delete(
            "/apis/apps/v1/namespaces/default/deployments/web",
            background,
        )
        .await;
    world
        .until(&path, "everything is given back", is_used(nothing))
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_replication_controller_scales_lets_go_and_tells_of_quotas() {
    let world = World::new(1).await;
    world
        .post(
            &format!("{CORE}/resourcequotas"),
            quota(&json!({"pods": "2"})),
        )
        .await;
    let is_counted = |q: &Value| q["status"]["used"]["pods"] == "0";
    world
        .until(
            &format!("{CORE}/resourcequotas/q"),
            "the quota is counted",
            is_counted,
        )
        .await;
    let controllers = format!("{CORE}/replicationcontrollers");
    let template = json!({"metadata": {"labels": {"app": "rc"}}, "spec": {"containers": [{"name": "c", "image": "nginx"}]}});
    let object = json!({"apiVersion": "v1", "kind": "ReplicationController", "metadata": {"name": "rc"},
        "spec": {"replicas": 3, "selector": {"app": "rc"}, "template": template}});
    world.post(&controllers, object).await;
    let path = format!("{controllers}/rc");
    world
        .until(&path, "a failure shows", |rc| {
            rc["status"]["conditions"][0]["type"] == "ReplicaFailure"
        })
        .await;
    let scale = world
        .merge(&format!("{path}/scale"), json!({"spec": {"replicas": 2}}))
        .await;
    assert_eq!(scale["status"]["selector"], "app=rc");
    world
        .until(&path, "the failure is over", |rc| {
            rc["status"]["readyReplicas"] == 2
                && rc["status"]["conditions"]
                    .as_array()
                    .is_none_or(Vec::is_empty)
        })
        .await;
    world
        .delete(&format!("{CORE}/resourcequotas/q"), Value::Null)
        .await;
    let pods = world.get(&format!("{CORE}/pods")).await;
    let pod = format!(
        "{CORE}/pods/{}",
        pods["items"][0]["metadata"]["name"].as_str().unwrap()
    );
    world
        .merge(&pod, json!({"metadata": {"labels": {"app": "other"}}}))
        .await;
    world
        .until(&pod, "the pod is let go", |pod| {
            pod["metadata"]["ownerReferences"]
                .as_array()
                .is_none_or(Vec::is_empty)
        })
        .await;
}

fn cron_job(name: &str, policy: &str, command: &[&str]) -> Value {
    json!({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": name}, "spec": {
        "schedule": "*/1 * * * *", "concurrencyPolicy": policy, "successfulJobsHistoryLimit": 1,
        "jobTemplate": {"spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [
            {"name": "c", "image": "busybox", "command": command},
        ]}}}},
    }})
}

const CRON_JOBS: &str = "/apis/batch/v1/namespaces/default/cronjobs";
const JOBS: &str = "/apis/batch/v1/namespaces/default/jobs";

#[tokio::test(start_paused = true)]
async fn a_cron_job_makes_jobs_and_keeps_their_history() {
    let world = World::new(1).await;
    world
        .post(CRON_JOBS, cron_job("tick", "Allow", &["true"]))
        .await;
    let first = world
        .until(JOBS, "a job is done", |jobs| {
            jobs["items"][0]["status"]["succeeded"] == 1
        })
        .await;
    let job = &first["items"][0];
    assert_eq!(
        job["metadata"]["annotations"]["batch.kubernetes.io/cronjob-scheduled-timestamp"],
        "2026-04-22T12:01:00Z"
    );
    let name = job["metadata"]["name"].clone();
    world
        .until(JOBS, "the first job is forgotten", |jobs| {
            let all = jobs["items"].as_array().unwrap();
            !all.is_empty() && all.iter().all(|job| job["metadata"]["name"] != name)
        })
        .await;
    let shown = world.get(&format!("{CRON_JOBS}/tick")).await;
    assert!(shown["status"]["lastSuccessfulTime"].is_string(), "{shown}");
    world
        .merge(
            &format!("{CRON_JOBS}/tick"),
            json!({"spec": {"suspend": true}}),
        )
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_cron_job_replaces_what_is_under_way() {
    let world = World::new(1).await;
    world
        .post(CRON_JOBS, cron_job("tick", "Replace", &["sleep", "100000"]))
        .await;
    let is_active = |c: &Value| {
        c["status"]["active"]
            .as_array()
            .is_some_and(|a| a.len() == 1)
    };
    let path = format!("{CRON_JOBS}/tick");
    let before = world.until(&path, "a job is active", is_active).await;
    let name = before["status"]["active"][0]["name"].clone();
    world
        .until(&path, "another one is", |c| {
            is_active(c) && c["status"]["active"][0]["name"] != name
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn endpoints_kept_by_hand_are_mirrored() {
    let world = World::new(0).await;
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "db"}, "spec": {"ports": [{"port": 5432}]}});
    world.post(&format!("{CORE}/services"), service).await;
    let endpoints = json!({"apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": "db"},
        "subsets": [{"addresses": [{"ip": "192.0.2.7"}], "ports": [{"port": 5432}]}]});
    world.post(&format!("{CORE}/endpoints"), endpoints).await;
    let slices = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices?labelSelector=kubernetes.io/service-name=db";
    let has = |ip: &'static str| {
        move |list: &Value| list["items"][0]["endpoints"][0]["addresses"] == json!([ip])
    };
    world
        .until(slices, "there is a slice", has("192.0.2.7"))
        .await;
    let other =
        json!({"subsets": [{"addresses": [{"ip": "192.0.2.8"}], "ports": [{"port": 5432}]}]});
    world.merge(&format!("{CORE}/endpoints/db"), other).await;
    world
        .until(slices, "the slice follows", has("192.0.2.8"))
        .await;
    world
        .delete(&format!("{CORE}/endpoints/db"), Value::Null)
        .await;
    let is_empty = |list: &Value| list["items"].as_array().is_some_and(Vec::is_empty);
    world.until(slices, "the slice goes", is_empty).await;
}

#[tokio::test(start_paused = true)]
async fn services_whose_selector_matches_nothing_have_empty_endpoints_until_they_go() {
    let world = World::new(0).await;
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "none"},
        "spec": {"selector": {"no": "pod"}, "ports": [{"port": 80}]}});
    world.post(&format!("{CORE}/services"), service).await;
    let slices = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices?labelSelector=kubernetes.io/service-name=none";
    let count = |list: &Value| list["items"].as_array().map_or(0, Vec::len);
    world
        .until(slices, "there is one slice", |list| count(list) == 1)
        .await;
    let endpoints = format!("{CORE}/endpoints/none");
    world
        .until(&endpoints, "there are endpoints", |e| {
            e["metadata"]["name"] == "none"
        })
        .await;
    world
        .delete(&format!("{CORE}/services/none"), Value::Null)
        .await;
    world
        .until(slices, "the slice goes", |list| count(list) == 0)
        .await;
    world
        .until(&endpoints, "the endpoints go", Value::is_null)
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_budget_shows_what_may_be_evicted() {
    let world = World::new(1).await;
    let budgets = "/apis/policy/v1/namespaces/default/poddisruptionbudgets";
    let budget = json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "b"},
        "spec": {"maxUnavailable": "34%", "selector": {"matchLabels": {"app": "web"}}}});
    world.post(budgets, budget).await;
    world
        .post(
            "/apis/apps/v1/namespaces/default/deployments",
            deployment("web", 3, "nginx"),
        )
        .await;
    let path = format!("{budgets}/b");
    let shown = world
        .until(&path, "two may go", |b| {
            b["status"]["disruptionsAllowed"] == 2
        })
        .await;
    assert_eq!(shown["status"]["desiredHealthy"], 1);
    let pods = world.get(&format!("{CORE}/pods")).await;
    let name = pods["items"][0]["metadata"]["name"]
        .as_str()
        .unwrap()
        .to_owned();
    let eviction =
        json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}});
    world
        .post(&format!("{CORE}/pods/{name}/eviction"), eviction)
        .await;
    world
        .until(&path, "the pod is replaced and forgotten", |b| {
            b["status"]["disruptionsAllowed"] == 2
                && b["status"]["disruptedPods"]
                    .as_object()
                    .is_none_or(serde_json::Map::is_empty)
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn garbage_of_a_kind_stays_while_it_is_more_than_is_kept() {
    let world = World::new(0).await;
    let few = CacheLimits {
        objects: 1,
        ..CacheLimits::default()
    };
    for (id, limits, left) in [
        ("few.test", few, 2),
        ("many.test", CacheLimits::default(), 0),
    ] {
        let world = world.within(id, limits).await;
        let version = json!({"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {"type": "object"}}});
        world
            .post(
                "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
                json!({
                    "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
                    "metadata": {"name": "bees.example.com"},
                    "spec": {"group": "example.com", "scope": "Namespaced", "versions": [version],
                        "names": {"plural": "bees", "kind": "Bee"}},
                }),
            )
            .await;
        let (maps, bees) = (
            format!("{CORE}/configmaps"),
            "/apis/example.com/v1/namespaces/default/bees",
        );
        let owner = world
            .post(&maps, json!({"metadata": {"name": "owner"}}))
            .await;
        let owned = |name: &str| {
            let owner = json!([{"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner["metadata"]["uid"]}]);
            json!({"metadata": {"name": name, "ownerReferences": owner}})
        };
        for name in ["maja", "willi"] {
            let mut bee = owned(name);
            (bee["apiVersion"], bee["kind"]) = (json!("example.com/v1"), json!("Bee"));
            world.post(bees, bee).await;
        }
        world.post(&maps, owned("dependent")).await;
        world.delete(&format!("{maps}/owner"), json!({})).await;
        let dependent = format!("{maps}/dependent");
        let is_gone = |map: &Value| map.is_null();
        world.until(&dependent, "it is garbage", is_gone).await;
        tokio::time::sleep(std::time::Duration::from_secs(60)).await;
        let bees = world.get(bees).await;
        assert_eq!(bees["items"].as_array().unwrap().len(), left, "{id}");
    }
}

/// What a controller keeps of objects is what the store keeps, whichever way they came: in a list, a watch, or an answer.
#[tokio::test(start_paused = true)]
async fn caches_hold_no_copies_of_what_the_store_has() {
    let world = World::new(1).await;
    world
        .post(
            "/apis/apps/v1/namespaces/default/deployments",
            deployment("web", 2, "nginx"),
        )
        .await;
    world
        .until(
            "/apis/apps/v1/namespaces/default/deployments/web",
            "both run",
            |web| web["status"]["availableReplicas"] == 2,
        )
        .await;
    let cluster = &world.plane.cluster;
    let options = ClusterOptions {
        texts: Some(StoredTexts::of(cluster)),
        ..ClusterOptions::default()
    };
    let cache = Cluster::new(world.plane.client.clone(), world.clock.clone(), options);
    let store = cluster.registry().store();
    let pods = ApiResource::erase::<Pod>(&());
    let everything = Selector::all();
    let listed = cache.entries(&pods, Some("default"), &everything);
    let listed = listed.await.unwrap();
    assert_eq!(listed.len(), 2);
    let is_shared = |entry: &Entry| {
        let key = Key::new("pods", "default", &entry.header.name);
        let stored = store.get(&key).unwrap();
        stored.json.as_ptr() == entry.json().as_ptr()
    };
    assert!(listed.iter().all(|entry| is_shared(entry)));
    let name = listed[0].header.name.clone();
    let patch = json!({"metadata": {"labels": {"seen": "yes"}}});
    cache
        .merge_patch(&pods, ("default", &name), &patch, "test")
        .await
        .unwrap();
    let answered = cache.entry(&pods, "default", &name).await.unwrap().unwrap();
    assert!(answered.header.labels.contains_key("seen") && is_shared(&answered));
    let other = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "other"},
        "spec": {"containers": [{"name": "a", "image": "nginx"}]},
    });
    world.post("/api/v1/namespaces/default/pods", other).await;
    let watched = loop {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        if let Some(entry) = cache.entry(&pods, "default", "other").await.unwrap() {
            break entry;
        }
    };
    assert!(is_shared(&watched));
}
