//! What goes wrong in a cluster and how it comes right again, told as its user sees it: by events, conditions and refusals.
//!
//! The same stories are told as text in `scenarios/`; here is what their transcripts would not show.

use jiff::Timestamp;
use runtime::Clock;
use serde_json::{Value, json};

use crate::sets::{daemon_set, stateful_set};
use crate::world::{World, deployment};

const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";
const WEB: &str = "/apis/apps/v1/namespaces/default/deployments/web";
const SETS: &str = "/apis/apps/v1/namespaces/default/replicasets";
const PODS: &str = "/api/v1/namespaces/default/pods";
const EVENTS: &str = "/api/v1/namespaces/default/events";

fn items(list: &Value) -> &[Value] {
    list["items"].as_array().map_or(&[], Vec::as_slice)
}

fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap()
}

/// `True Reason: message` of a condition.
fn says(object: &Value, ty: &str) -> String {
    let conditions = object["status"]["conditions"].as_array();
    let mut conditions = conditions.into_iter().flatten();
    let Some(condition) = conditions.find(|c| c["type"] == ty) else {
        return String::new();
    };
    let text = |key: &str| condition[key].as_str().unwrap_or("-");
    format!("{} {}: {}", text("status"), text("reason"), text("message"))
}

/// Whether the events tell this, as `Type Reason: message` that begins so.
fn tell(events: &Value, kind: &str, wanted: &str) -> bool {
    items(events).iter().any(|event| {
        let text = |key: &str| event[key].as_str().unwrap_or("-");
        let told = format!("{} {}: {}", text("type"), text("reason"), text("message"));
        event["involvedObject"]["kind"] == kind && told.starts_with(wanted)
    })
}

fn available(count: u32) -> impl Fn(&Value) -> bool {
    move |deployment| {
        let status = &deployment["status"];
        status["availableReplicas"] == count
            && status["observedGeneration"] == deployment["metadata"]["generation"]
    }
}

/// Pods on a node that nobody has asked to go.
fn staying_on<'a>(pods: &'a Value, node: &'a str) -> impl Iterator<Item = &'a Value> {
    items(pods).iter().filter(move |pod| {
        pod["spec"]["nodeName"] == node && pod["metadata"]["deletionTimestamp"].is_null()
    })
}

impl World {
    /// Waits until users are told this about an object of the kind.
    #[track_caller]
    fn tells<'a>(&'a self, kind: &'a str, wanted: &'a str) -> impl Future<Output = Value> + 'a {
        self.until(EVENTS, wanted, move |events| tell(events, kind, wanted))
    }

    async fn refusal(&self, path: &str, body: Value) -> kube::core::Status {
        match self.request(http::Method::POST, path, body).await {
            Err(kube::Error::Api(status)) => *status,
            other => panic!("{path} is not refused: {other:?}"),
        }
    }

    async fn nodes_are_ready(&self, count: usize) {
        let is_ready = |nodes: &Value| {
            let ready = items(nodes)
                .iter()
                .filter(|node| says(node, "Ready").starts_with("True"));
            ready.count() == count
        };
        self.until("/api/v1/nodes", "the nodes are ready", is_ready)
            .await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_has_an_identity_does_not_move_while_its_dead_node_is_there() {
    let world = World::new(2).await;
    world.nodes_are_ready(2).await;
    let mut web = stateful_set(1);
    web["spec"]["template"]["metadata"]["labels"]["app"] = json!("web");
    world
        .post("/apis/apps/v1/namespaces/default/statefulsets", web)
        .await;
    world
        .post("/apis/apps/v1/namespaces/default/daemonsets", daemon_set())
        .await;
    let is_running = |pods: &Value| {
        let running = items(pods)
            .iter()
            .filter(|pod| pod["status"]["phase"] == "Running");
        running.count() == 3
    };
    let pods = world.until(PODS, "all three pods run", is_running).await;
    let dead = items(&pods)
        .iter()
        .find(|pod| name(pod) == "web-0")
        .unwrap();
    let dead = dead["spec"]["nodeName"].as_str().unwrap().to_owned();
    world.planes.stop_kubelet("test", &dead);

    world.tells("Node", "Normal NodeNotReady").await;
    let web = format!("{PODS}/web-0");
    let pod = world
        .until(&web, "it is asked to go", |pod| {
            pod["metadata"]["deletionTimestamp"].is_string()
        })
        .await;
    assert!(
        says(&pod, "DisruptionTarget").starts_with("True DeletionByTaintManager"),
        "{pod:#}"
    );
    world
        .tells(
            "Pod",
            "Normal TaintManagerEviction: Marking for deletion Pod default/web-0",
        )
        .await;
    // Nobody knows whether it has ended: a second one of its name might be one too many.
    tokio::time::sleep(std::time::Duration::from_secs(1800)).await;
    let same = world.get(&web).await;
    assert_eq!(same["metadata"]["uid"], pod["metadata"]["uid"]);
    // The daemon tolerates its node's death. It is not ready, and its set counts it as one too many: nobody would put it
    // onto such a node today.
    let pods = world.get(PODS).await;
    let daemons: Vec<&Value> = staying_on(&pods, &dead).collect();
    assert_eq!(daemons.len(), 1, "{pods:#}");
    assert!(says(daemons[0], "Ready").starts_with("False"), "{pods:#}");
    let log = "/apis/apps/v1/namespaces/default/daemonsets/log";
    let set = world.get(log).await;
    assert_eq!(set["status"]["numberMisscheduled"], 1, "{set:#}");
    assert_eq!(set["status"]["desiredNumberScheduled"], 1, "{set:#}");

    world
        .delete(&format!("/api/v1/nodes/{dead}"), Value::Null)
        .await;
    let moved = |moved: &Value| {
        moved["metadata"]["uid"] != pod["metadata"]["uid"]
            && moved["status"]["phase"] == "Running"
            && moved["spec"]["nodeName"] != *dead
    };
    world.until(&web, "it runs on the other node", moved).await;
    world
        .until(log, "one daemon is wanted", |set| {
            set["status"]["desiredNumberScheduled"] == 1 && set["status"]["numberMisscheduled"] == 0
        })
        .await;
    world
        .until(PODS, "nothing is left of the node", |pods| {
            items(pods).len() == 2
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn an_image_that_never_comes_stops_the_rollout_until_it_is_undone() {
    let world = World::new(1).await;
    let mut web = deployment("web", 4, "nginx:1");
    web["spec"]["progressDeadlineSeconds"] = json!(60);
    world.post(DEPLOYMENTS, web).await;
    world.until(WEB, "it is available", available(4)).await;
    let before = world.get(WEB).await["spec"]["template"].clone();

    let mut broken = before.clone();
    broken["metadata"]["annotations"] =
        json!({"simulated.apiary.io/pull-error": "manifest unknown"});
    broken["spec"]["containers"][0]["image"] = json!("nginx:typo");
    world
        .merge(WEB, json!({"spec": {"template": broken}}))
        .await;
    let stuck = world
        .until(WEB, "the rollout stops", |web| {
            says(web, "Progressing").contains("ProgressDeadlineExceeded")
        })
        .await;
    let pods = world.get(PODS).await;
    let new = items(&pods)
        .iter()
        .find(|pod| pod["spec"]["containers"][0]["image"] == "nginx:typo");
    let new = new.unwrap();
    let set = new["metadata"]["ownerReferences"][0]["name"]
        .as_str()
        .unwrap();
    assert_eq!(
        says(&stuck, "Progressing"),
        format!("False ProgressDeadlineExceeded: ReplicaSet \"{set}\" has timed out progressing.")
    );
    // One old pod of four had to make room; the others serve on.
    assert_eq!(
        says(&stuck, "Available"),
        "True MinimumReplicasAvailable: Deployment has minimum availability."
    );
    assert_eq!(stuck["status"]["availableReplicas"], 3);
    assert_eq!(stuck["status"]["updatedReplicas"], 2);
    // Why it is so is said by the pod.
    let waiting = &new["status"]["containerStatuses"][0]["state"]["waiting"];
    assert_eq!(waiting["reason"], "ImagePullBackOff", "{new:#}");
    let message = waiting["message"].as_str().unwrap();
    assert!(message.contains("manifest unknown"), "{message}");
    world
        .tells(
            "Pod",
            "Warning Failed: Failed to pull image \"nginx:typo\" (simulated): manifest unknown",
        )
        .await;
    world
        .tells("Pod", "Warning Failed: Error: ImagePullBackOff")
        .await;

    // `kubectl rollout undo` writes the template of the revision before; an annotation that only the other has goes.
    let mut undone = before.clone();
    undone["metadata"]["annotations"] = Value::Null;
    world
        .merge(WEB, json!({"spec": {"template": undone}}))
        .await;
    let back = world
        .until(WEB, "it is as before", |web| {
            available(4)(web) && web["status"]["replicas"] == 4
        })
        .await;
    let complete = says(&back, "Progressing");
    assert!(
        complete.starts_with("True NewReplicaSetAvailable"),
        "{complete}"
    );
    assert_eq!(back["status"]["updatedReplicas"], 4);
    world
        .until(SETS, "no pod of the broken template is wanted", |sets| {
            let wanted: Vec<&Value> = items(sets)
                .iter()
                .filter(|set| set["spec"]["replicas"] != 0)
                .collect();
            items(sets).len() == 2 && wanted.len() == 1 && name(wanted[0]) != set
        })
        .await;
    world
        .tells(
            "Deployment",
            &format!("Normal ScalingReplicaSet: Scaled down replica set {set} from 2 to 0"),
        )
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_container_that_crashes_is_given_more_and_more_time_until_it_stays_up() {
    let world = World::new(1).await;
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "app", "annotations": {"simulated.apiary.io/exit-code": "3"}},
        "spec": {"containers": [{"name": "c", "image": "app"}]},
    });
    let pod = world.post(PODS, pod).await;
    let path = format!("{PODS}/app");
    let uid = pod["metadata"]["uid"].as_str().unwrap();
    let mut ended: Vec<Timestamp> = vec![];
    for (restarts, pause) in [
        (1, "10s"),
        (2, "20s"),
        (3, "40s"),
        (4, "1m20s"),
        (5, "2m40s"),
        (6, "5m0s"),
        (7, "5m0s"),
    ] {
        let pod = world
            .until(&path, "it waits for longer", |pod| {
                let status = &pod["status"]["containerStatuses"][0];
                status["restartCount"] == restarts
                    && status["state"]["waiting"]["reason"] == "CrashLoopBackOff"
            })
            .await;
        let status = &pod["status"]["containerStatuses"][0];
        assert_eq!(
            status["state"]["waiting"]["message"],
            format!("back-off {pause} restarting failed container=c pod=app_default({uid})")
        );
        let last = &status["lastState"]["terminated"];
        assert_eq!(last["exitCode"], 3);
        ended.push(last["finishedAt"].as_str().unwrap().parse().unwrap());
        let why = "False ContainersNotReady: containers with unready status: [c]";
        assert_eq!(says(&pod, "Ready"), why);
    }
    let apart: Vec<i64> = ended
        .windows(2)
        .map(|pair| pair[1].duration_since(pair[0]).as_secs())
        .collect();
    assert_eq!(apart, [10, 20, 40, 80, 160, 300]);
    let back_off = format!(
        "Warning BackOff: Back-off restarting failed container c in pod app_default({uid})"
    );
    let events = world.tells("Pod", &back_off).await;
    let counted = |event: &&Value| event["reason"] == "BackOff" && event["count"] == 7;
    assert_eq!(
        items(&events).iter().filter(counted).count(),
        1,
        "{events:#}"
    );

    let well = json!({"metadata": {"annotations": {"simulated.apiary.io/exit-code": null}}});
    world.merge(&path, well).await;
    let pod = world
        .until(&path, "it is ready", |pod| {
            says(pod, "Ready").starts_with("True")
        })
        .await;
    assert_eq!(pod["status"]["containerStatuses"][0]["restartCount"], 8);
    tokio::time::sleep(std::time::Duration::from_secs(3600)).await;
    let later = world.get(&path).await;
    assert_eq!(later["status"], pod["status"], "it stays up");
}

#[tokio::test(start_paused = true)]
async fn a_deployment_without_room_says_so_and_grows_when_there_is_some() {
    let world = World::new(1).await;
    let quotas = "/api/v1/namespaces/default/resourcequotas";
    let quota = json!({
        "apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "few"},
        "spec": {"hard": {"pods": "2"}},
    });
    world.post(quotas, quota).await;
    let quota = format!("{quotas}/few");
    world
        .until(&quota, "it is calculated", |quota| {
            quota["status"]["hard"]["pods"] == "2"
        })
        .await;
    let mut web = deployment("web", 4, "nginx");
    web["spec"]["progressDeadlineSeconds"] = json!(600);
    world.post(DEPLOYMENTS, web).await;
    let says_why = |web: &Value| {
        let failure = says(web, "ReplicaFailure");
        failure.starts_with("True FailedCreate: pods \"web-")
            && failure.ends_with(
                " is forbidden: exceeded quota: few, requested: pods=1, used: pods=2, limited: pods=2",
            )
    };
    let web = world.until(WEB, "it says why", says_why).await;
    assert_eq!(
        says(&web, "Available"),
        "False MinimumReplicasUnavailable: Deployment does not have minimum availability."
    );
    world
        .tells(
            "ReplicaSet",
            "Warning FailedCreate: Error creating: pods \"web-",
        )
        .await;
    world
        .until(WEB, "what has room is there", available(2))
        .await;
    let path = format!("{quotas}/few");
    world
        .merge(&path, json!({"spec": {"hard": {"pods": "5"}}}))
        .await;
    let web = world
        .until(WEB, "all are there", |web| {
            available(4)(web) && says(web, "ReplicaFailure").is_empty()
        })
        .await;
    assert!(says(&web, "Available").starts_with("True"), "{web:#}");
    world
        .until(&quota, "the quota counts them", |quota| {
            quota["status"]["used"]["pods"] == "4"
        })
        .await;
}

/// What `kubectl drain` asks for one pod.
fn eviction(pod: &str) -> (String, Value) {
    let body = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod}});
    (format!("{PODS}/{pod}/eviction"), body)
}

#[tokio::test(start_paused = true)]
async fn a_budget_holds_up_a_drain_until_another_pod_is_ready() {
    let world = World::new(2).await;
    world.nodes_are_ready(2).await;
    let budgets = "/apis/policy/v1/namespaces/default/poddisruptionbudgets";
    let budget = json!({
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "web"},
        "spec": {"minAvailable": 2, "selector": {"matchLabels": {"app": "web"}}},
    });
    world.post(budgets, budget).await;
    let mut web = deployment("web", 2, "nginx");
    web["spec"]["template"]["metadata"]["annotations"] =
        json!({"simulated.apiary.io/ready-delay": "30s"});
    world.post(DEPLOYMENTS, web).await;
    world.until(WEB, "it is available", available(2)).await;
    let budget = format!("{budgets}/web");
    world
        .until(&budget, "both pods are counted", |budget| {
            budget["status"]["currentHealthy"] == 2
        })
        .await;
    let unschedulable = json!({"spec": {"unschedulable": true}});
    world.merge("/api/v1/nodes/node-1", unschedulable).await;
    let pods = world.get(PODS).await;
    let pod = staying_on(&pods, "node-1").next().unwrap();
    let (path, body) = eviction(name(pod));
    let refused = world.refusal(&path, body.clone()).await;
    assert_eq!(refused.code, 429);
    assert_eq!(
        refused.message,
        "Cannot evict pod as it would violate the pod's disruption budget."
    );
    let causes = refused.details.unwrap().causes;
    assert_eq!(causes[0].reason, "DisruptionBudget");
    assert_eq!(
        causes[0].message,
        "The disruption budget web needs 2 healthy pods and has 2 currently"
    );
    let shown = world.get(&budget).await;
    let condition = says(&shown, "DisruptionAllowed");
    assert!(
        condition.starts_with("False InsufficientPods"),
        "{condition}"
    );

    world.merge(WEB, json!({"spec": {"replicas": 3}})).await;
    world
        .until(PODS, "the third pod runs", |pods| {
            let running = items(pods)
                .iter()
                .filter(|pod| pod["status"]["phase"] == "Running");
            running.count() == 3
        })
        .await;
    // It is there, but it serves nobody yet.
    assert_eq!(world.refusal(&path, body.clone()).await.code, 429);
    let shown = world
        .until(&budget, "one may go", |budget| {
            budget["status"]["disruptionsAllowed"] == 1
        })
        .await;
    let condition = says(&shown, "DisruptionAllowed");
    assert!(condition.starts_with("True SufficientPods"), "{condition}");
    world.post(&path, body).await;
    world
        .until(PODS, "the node is empty", |pods| {
            let on_node = |pod: &Value| pod["spec"]["nodeName"] == "node-1";
            !items(pods).iter().any(on_node)
        })
        .await;
    world.until(WEB, "all are ready again", available(3)).await;
}

/// For which CronJob and time Jobs were made, as the clocks of its zone show them.
fn scheduled(jobs: &Value) -> Vec<String> {
    let at = "batch.kubernetes.io/cronjob-scheduled-timestamp";
    let mut all: Vec<String> = items(jobs)
        .iter()
        .map(|job| {
            let (labels, annotations) =
                (&job["metadata"]["labels"], &job["metadata"]["annotations"]);
            let by = labels["by"].as_str().unwrap();
            format!("{by} {}", annotations[at].as_str().unwrap())
        })
        .collect();
    all.sort_unstable();
    all
}

/// The times for which two CronJobs in Berlin made Jobs within five hours from a time on.
async fn scheduled_from(start: &str) -> Vec<String> {
    let clock = Clock::simulated(start.parse().unwrap());
    let world = World::on(apiserver::store::Memory::new(), clock, 1).await;
    for (name, schedule) in [("hourly", "30 * * * *"), ("nightly", "30 2 * * *")] {
        let container = json!({"name": "c", "image": "busybox", "command": ["true"]});
        let pod = json!({"restartPolicy": "Never", "containers": [container]});
        let cron_job = json!({
            "apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": name},
            "spec": {
                "schedule": schedule, "timeZone": "Europe/Berlin", "successfulJobsHistoryLimit": 100,
                "jobTemplate": {
                    "metadata": {"labels": {"by": name}}, "spec": {"template": {"spec": pod}},
                },
            },
        });
        let path = "/apis/batch/v1/namespaces/default/cronjobs";
        world.post(path, cron_job).await;
    }
    tokio::time::sleep(std::time::Duration::from_secs(5 * 3600)).await;
    // Nothing to complain of in any night.
    let events = world.get(EVENTS).await;
    assert!(!tell(&events, "CronJob", "Warning"), "{events:#}");
    for told in [
        "Normal SuccessfulCreate: Created job hourly-",
        "Normal SawCompletedJob: Saw completed job: hourly-",
    ] {
        assert!(tell(&events, "CronJob", told), "{events:#}");
    }
    let jobs = world.get("/apis/batch/v1/namespaces/default/jobs").await;
    for job in items(&jobs) {
        assert_eq!(job["status"]["succeeded"], 1, "{job:#}");
    }
    scheduled(&jobs)
}

#[tokio::test(start_paused = true)]
async fn clocks_that_are_put_forward_leave_out_an_hour_and_its_jobs() {
    assert_eq!(
        scheduled_from("2026-03-28T23:00:00Z").await,
        [
            "hourly 2026-03-29T00:30:00+01:00",
            "hourly 2026-03-29T01:30:00+01:00",
            "hourly 2026-03-29T03:30:00+02:00",
            "hourly 2026-03-29T04:30:00+02:00",
            "hourly 2026-03-29T05:30:00+02:00",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn clocks_that_are_put_back_show_an_hour_twice_and_so_are_its_jobs_due() {
    assert_eq!(
        scheduled_from("2026-10-24T22:00:00Z").await,
        [
            "hourly 2026-10-25T00:30:00+02:00",
            "hourly 2026-10-25T01:30:00+02:00",
            "hourly 2026-10-25T02:30:00+01:00",
            "hourly 2026-10-25T02:30:00+02:00",
            "hourly 2026-10-25T03:30:00+01:00",
            "nightly 2026-10-25T02:30:00+01:00",
            "nightly 2026-10-25T02:30:00+02:00",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_namespace_that_does_not_go_names_what_holds_it() {
    let world = World::new(1).await;
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team"}});
    world.post("/api/v1/namespaces", namespace).await;
    let mut web = deployment("web", 1, "nginx");
    web["metadata"]["namespace"] = json!("team");
    web["metadata"]["finalizers"] = json!(["example.com/backup"]);
    world
        .post("/apis/apps/v1/namespaces/team/deployments", web)
        .await;
    let team = "/api/v1/namespaces/team";
    world.delete(team, Value::Null).await;
    let stuck = world
        .until(team, "only what is held is left", |team| {
            says(team, "NamespaceContentRemaining").ends_with(
                ": Some resources are remaining: deployments.apps has 1 resource instances",
            )
        })
        .await;
    assert_eq!(stuck["status"]["phase"], "Terminating");
    assert_eq!(
        says(&stuck, "NamespaceFinalizersRemaining"),
        "True SomeFinalizersRemain: Some content in the namespace has finalizers remaining: example.com/backup in 1 resource instances"
    );
    assert!(says(&stuck, "NamespaceDeletionContentFailure").starts_with("False ContentDeleted"));
    // Nothing new comes in meanwhile, and whoever tries is told why.
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "late"}});
    let refused = world
        .refusal("/api/v1/namespaces/team/configmaps", map)
        .await;
    assert_eq!(refused.code, 403);
    assert!(
        refused.message.ends_with(
            "unable to create new content in namespace team because it is being terminated"
        ),
        "{}",
        refused.message
    );
    tokio::time::sleep(std::time::Duration::from_secs(3600)).await;
    assert_eq!(world.get(team).await["status"]["phase"], "Terminating");
    world
        .merge(
            "/apis/apps/v1/namespaces/team/deployments/web",
            json!({"metadata": {"finalizers": null}}),
        )
        .await;
    world.until(team, "it goes", Value::is_null).await;
}
