//! The same story twice is the same, byte for byte: every change of every object, with its revision, uid and times.
//!
//! One control plane under the simulated clock, with the keys and the seed of the run before, lives through a busy hour. What
//! differs between two runs is a bug that no test of an end state would find: a race, an order that a hash map made up.
//! `APIARY_RUNS=100` compares as many.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use apiserver::auth::ClusterKeys;
use apiserver::store::{ClusterStore, Cursor, EventKind};
use runtime::Tasks;
use serde_json::{Value, json};

use crate::sets::{daemon_set, stateful_set};
use crate::world::{World, deployment};

const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";
const API: &str = "/apis/apps/v1/namespaces/default/deployments/api";
const SETS: &str = "/apis/apps/v1/namespaces/default/statefulsets";
const DAEMONS: &str = "/apis/apps/v1/namespaces/default/daemonsets";
const JOBS: &str = "/apis/batch/v1/namespaces/default/jobs";
const CRON_JOBS: &str = "/apis/batch/v1/namespaces/default/cronjobs";
const PODS: &str = "/api/v1/namespaces/default/pods";

/// Changes by revision and resource.
type Log = Arc<Mutex<BTreeMap<(u64, String), String>>>;

/// Writes down every change from now on.
async fn write_down(store: ClusterStore, log: Log) {
    let mut changes = store.subscribe();
    let begin = store.revision();
    let mut cursors: HashMap<Arc<str>, Cursor> = HashMap::new();
    while let Some(changed) = changes.next().await {
        for (resource, _) in changed {
            let cursor = cursors
                .entry(Arc::clone(&resource))
                .or_insert_with(|| store.watch(&resource, None, begin).unwrap());
            while let Some(event) = cursor.try_next() {
                let event = event.unwrap();
                let verb = match event.kind {
                    EventKind::Added => "added",
                    EventKind::Modified => "modified",
                    EventKind::Deleted => "deleted",
                };
                let (key, content) = (&event.key, String::from_utf8_lossy(&event.object.json));
                let line = format!(
                    "{} {verb} {resource} {}/{} {content}",
                    event.revision, key.namespace, key.name
                );
                log.lock()
                    .unwrap()
                    .insert((event.revision, resource.to_string()), line);
            }
        }
    }
}

fn job(name: &str, script: &str, spec: Value) -> Value {
    let container = json!({"name": "c", "image": "busybox", "command": ["sh", "-c", script]});
    let pod = json!({"restartPolicy": "Never", "containers": [container]});
    let mut job = json!({
        "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name},
        "spec": {"template": {"spec": pod}},
    });
    for (key, value) in spec.as_object().unwrap() {
        job["spec"][key] = value.clone();
    }
    job
}

async fn begin(world: &World) {
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "api"},
        "spec": {"selector": {"app": "api"}, "ports": [{"port": 80, "targetPort": "http"}]},
    });
    let quota = json!({
        "apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "all"},
        "spec": {"hard": {"pods": "40", "count/jobs.batch": "20"}},
    });
    let budget = json!({
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "api"},
        "spec": {"minAvailable": "50%", "selector": {"matchLabels": {"app": "api"}}},
    });
    let mut set = stateful_set(2);
    let claim = json!({
        "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    });
    set["spec"]["volumeClaimTemplates"] = json!([claim]);
    let odd = "exit $(expr $JOB_COMPLETION_INDEX % 2)";
    let indexed = json!({"completionMode": "Indexed", "completions": 4, "parallelism": 3, "backoffLimitPerIndex": 1});
    let every_minute = json!({
        "apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "tick"},
        "spec": {
            "schedule": "*/2 * * * *", "successfulJobsHistoryLimit": 1,
            "jobTemplate": {"spec": job("", "sleep 5", json!({}))["spec"]},
        },
    });
    for (path, object) in [
        ("/api/v1/namespaces/default/services", service),
        ("/api/v1/namespaces/default/resourcequotas", quota),
        (
            "/apis/policy/v1/namespaces/default/poddisruptionbudgets",
            budget,
        ),
        (DEPLOYMENTS, deployment("api", 3, "api:1")),
        (SETS, set),
        (DAEMONS, daemon_set()),
        (JOBS, job("indexed", odd, indexed)),
        (JOBS, job("fails", "exit 3", json!({"backoffLimit": 2}))),
        (CRON_JOBS, every_minute),
    ] {
        world.post(path, object).await;
    }
}

fn has_available(count: u32) -> impl Fn(&Value) -> bool {
    move |object| {
        object["status"]["availableReplicas"] == count
            && object["status"]["updatedReplicas"] == count
            && object["status"]["observedGeneration"] == object["metadata"]["generation"]
    }
}

async fn live(world: &World) {
    begin(world).await;
    let set = format!("{SETS}/web");
    world.until(API, "it is available", has_available(3)).await;
    world.until(&set, "it is available", has_available(2)).await;
    let container = json!({"name": "api", "image": "api:2"});
    let template = json!({"spec": {"containers": [container]}});
    world
        .merge(API, json!({"spec": {"template": template}}))
        .await;
    world.until(API, "it is rolled out", has_available(3)).await;
    world.merge(API, json!({"spec": {"replicas": 5}})).await;
    world.until(API, "it has grown", has_available(5)).await;
    world.merge(API, json!({"spec": {"replicas": 4}})).await;
    world.until(API, "it has shrunk", has_available(4)).await;
    world.planes.stop_kubelet("test", "node-3");
    let moved = |pods: &Value| {
        let pods = pods["items"].as_array().unwrap().iter();
        let mut old = pods.filter(|pod| {
            let app = &pod["metadata"]["labels"]["app"];
            pod["spec"]["nodeName"] == "node-3" && (app == "api" || app == "web")
        });
        old.all(|pod| pod["metadata"]["deletionTimestamp"].is_string())
    };
    world.until(PODS, "its pods are to go", moved).await;
    world.delete("/api/v1/nodes/node-3", Value::Null).await;
    world.until(API, "it has moved", has_available(4)).await;
    world.until(&set, "it has moved", has_available(2)).await;
    let foreground = json!({"propagationPolicy": "Foreground"});
    let background = json!({"propagationPolicy": "Background"});
    world.delete(API, foreground.clone()).await;
    world.delete(&set, background.clone()).await;
    for name in ["indexed", "fails"] {
        world
            .delete(&format!("{JOBS}/{name}"), background.clone())
            .await;
    }
    world.delete(&format!("{CRON_JOBS}/tick"), foreground).await;
    world.delete(&format!("{DAEMONS}/log"), background).await;
    world
        .until(PODS, "all are gone", |pods| pods["items"] == json!([]))
        .await;
    tokio::time::sleep(Duration::from_secs(60)).await;
}

/// The log of one run.
fn run(keys: &ClusterKeys, seed: u64) -> String {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    let log = Log::default();
    runtime.block_on(async {
        let world = World::seeded(keys.clone(), seed, 3).await;
        let tasks = Tasks::new();
        let store = world.plane.cluster.registry().store().clone();
        tasks.spawn("log", write_down(store, Arc::clone(&log)));
        live(&world).await;
    });
    let log = log.lock().unwrap();
    log.values().fold(String::new(), |mut text, line| {
        writeln!(text, "{line}").unwrap();
        text
    })
}

/// The first line in which two logs differ.
fn difference(one: &str, other: &str) -> String {
    let mut lines = one.lines().zip(other.lines());
    match lines.find(|(a, b)| a != b) {
        Some((a, b)) => format!("{a}\n{b}"),
        None => format!("{} and {} bytes", one.len(), other.len()),
    }
}

/// Two at a time, as many as there are cores to count on.
const THREADS: usize = 2;

#[test]
fn the_same_story_is_the_same_byte_for_byte() {
    let keys = ClusterKeys::generate("test", "2026-04-22T12:00:00Z".parse().unwrap()).unwrap();
    let runs = std::env::var("APIARY_RUNS").map_or(6, |runs| runs.parse().unwrap());
    let first = run(&keys, 7);
    assert!(first.lines().count() > 500, "a busy story");
    let left = AtomicUsize::new(runs - 1);
    let is_left = || {
        let take = |left: usize| left.checked_sub(1);
        left.fetch_update(Relaxed, Relaxed, take).is_ok()
    };
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while is_left() {
                    let next = run(&keys, 7);
                    assert!(first == next, "{}", difference(&first, &next));
                }
            });
        }
    });
    assert!(run(&keys, 8) != first, "another seed gives other uids");
}
