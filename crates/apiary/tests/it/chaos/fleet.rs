//! A fleet of one cluster that is told what to be, and looked at when it should be so.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use apiary::management::{MANAGEMENT, Management, Variation};
use apiary::manifests;
use http::Method;
use runtime::{Clock, Tasks};
use serde_json::{Value, json};

use super::faults::Faults;
use super::monitor::{Bounds, Monitor};
use super::step::{Shape, Step};

/// The most virtual time in which what is wanted comes about.
const PATIENCE: Duration = Duration::from_secs(2 * 3600);
/// What was put off is done then: bootstrap tokens, for example, live for a quarter of an hour.
const SETTLING: Duration = Duration::from_secs(20 * 60);
/// How long nothing may be written after that.
const REST: Duration = Duration::from_secs(10 * 60);
const CORE: &str = "/apis/cluster.x-k8s.io/v1beta2/namespaces/org-acme";
const CONTROL_PLANE: &str =
    "/apis/controlplane.cluster.x-k8s.io/v1beta2/namespaces/org-acme/kubeadmcontrolplanes/hello";
const LOCAL_MACHINES: &str =
    "/apis/infrastructure.cluster.x-k8s.io/v1beta2/namespaces/org-acme/localmachines";
const SECRETS: &str = "/api/v1/namespaces/org-acme/secrets";

pub(super) struct Fleet {
    memory: sim::Memory,
    clock: Clock,
    seed: u64,
    faults: Faults,
    management: Management,
    monitor: Monitor,
    following: Tasks,
    /// Ids of the clusters whose stores are followed.
    followed: Mutex<BTreeSet<String>>,
    shape: Shape,
    /// What the cluster is made of.
    cluster: Vec<Value>,
    checks: manifests::Manifests,
}

/// A look at the fleet found that something is not there yet.
type Missing = String;

impl Fleet {
    pub(super) async fn start(seed: u64, faults: Faults, directory: &Path) -> Self {
        let memory = sim::Memory::new();
        let clock = sim::clock();
        let management = start(&memory, &clock, seed, &faults).await;
        let monitor = Monitor::default();
        let read = |path: &str| manifests::read(&directory.join(path)).unwrap();
        let cluster = directory.join("examples/hello/cluster.yaml");
        let cluster = std::fs::read_to_string(cluster).unwrap();
        let organization = read("examples/hello/organization.yaml");
        manifests::apply_all(management.client(), &organization)
            .await
            .unwrap();
        // Nobody else makes it, so it has to be there before something may go wrong.
        until_namespace(&management).await;
        let fleet = Self {
            memory,
            clock,
            seed,
            faults,
            management,
            monitor,
            following: Tasks::new(),
            followed: Mutex::default(),
            shape: Shape::default(),
            cluster: render::yaml::from_str_multi(&cluster).unwrap(),
            checks: read("crates/apiary/tests/it/scenarios/heal/checks.yaml"),
        };
        fleet.follow();
        fleet
    }

    pub(super) fn shape(&self) -> Shape {
        self.shape
    }

    /// Follows the stores that there are and are not followed yet.
    fn follow(&self) {
        let mut followed = self.followed.lock().unwrap();
        for cluster in self.management.planes.server().clusters() {
            let id = cluster.spec().id.to_string();
            if followed.insert(id.clone()) {
                let store = cluster.registry().store().clone();
                let monitor = self.monitor.clone();
                self.following
                    .spawn("monitor", monitor.follow(store, id == MANAGEMENT));
            }
        }
    }

    /// Another process begins where the last one ended.
    async fn restart(&mut self) {
        self.management.shut_down().await;
        self.following.shutdown().await;
        self.following = Tasks::new();
        self.followed.lock().unwrap().clear();
        self.faults.revive();
        // The uids of a process that started again are others than those it gave before.
        self.seed = self.seed.wrapping_add(1 << 32);
        self.management = start(&self.memory, &self.clock, self.seed, &self.faults).await;
        self.follow();
    }

    async fn get(&self, path: &str) -> Result<Value, kube::Error> {
        let request = http::Request::get(path).body(vec![]).unwrap();
        self.management.client().request(request).await
    }

    async fn items(&self, path: &str) -> Vec<Value> {
        let list = self.get(path).await.unwrap();
        list["items"].as_array().cloned().unwrap_or_default()
    }

    async fn patch(&self, path: &str, patch: &Value) {
        let request = http::Request::builder()
            .method(Method::PATCH)
            .uri(path)
            .header("content-type", "application/merge-patch+json")
            .body(patch.to_string().into_bytes())
            .unwrap();
        let answer: Result<Value, _> = self.management.client().request(request).await;
        answer.unwrap();
    }

    async fn delete(&self, path: &str) {
        let request = http::Request::delete(path).body(vec![]).unwrap();
        let answer: Result<Value, _> = self.management.client().request(request).await;
        answer.unwrap();
    }

    /// Takes a step, and waits until what is wanted has come about and nothing is written any more.
    pub(super) async fn take(&mut self, step: &Step) -> Result<(), String> {
        let before = self.shape;
        self.shape = step.after(before);
        self.monitor.begin(step.bounds(before));
        self.change(step).await;
        self.arrive(|fleet| Box::pin(fleet.missing())).await?;
        let made = self.monitor.made();
        if made != step.made(before) {
            return Err(format!(
                "{made} machines were made, not {}",
                step.made(before)
            ));
        }
        self.rest().await
    }

    async fn change(&self, step: &Step) {
        let workers = format!("{CORE}/machinedeployments/hello-workers");
        match step {
            Step::Begin { .. } => self.begin().await,
            Step::ScaleWorkers(count) => {
                self.patch(&workers, &json!({"spec": {"replicas": count}}))
                    .await;
            }
            Step::ScaleControlPlane(count) => {
                self.patch(CONTROL_PLANE, &json!({"spec": {"replicas": count}}))
                    .await;
            }
            Step::UpgradeControlPlane => {
                let version = format!("v1.36.{}", self.shape.control_plane_patch);
                self.patch(CONTROL_PLANE, &json!({"spec": {"version": version}}))
                    .await;
            }
            Step::UpgradeWorkers => {
                let version = format!("v1.36.{}", self.shape.workers_patch);
                let template = json!({"spec": {"version": version}});
                self.patch(&workers, &json!({"spec": {"template": template}}))
                    .await;
            }
            Step::RollWorkers => {
                let now = runtime::rfc3339(self.clock.now());
                self.patch(&workers, &json!({"spec": {"rollout": {"after": now}}}))
                    .await;
            }
            Step::WorkerHangs => self.hang(false).await,
            Step::ControlPlaneHangs => self.hang(true).await,
            Step::WorkerIsDeleted => {
                let name = self.some_machine(false);
                self.delete(&format!("{CORE}/machines/{name}")).await;
            }
        }
    }

    /// Makes the cluster in the shape that is wanted; nobody ever sees it in another one.
    async fn begin(&self) {
        let shape = self.shape;
        let mut objects = self.cluster.clone();
        for object in &mut objects {
            match object["kind"].as_str() {
                Some("KubeadmControlPlane") => {
                    object["spec"]["replicas"] = json!(shape.control_plane);
                }
                Some("MachineDeployment") => {
                    object["spec"]["replicas"] = json!(shape.workers);
                    object["spec"]["rollout"]["strategy"] = json!({
                        "type": "RollingUpdate",
                        "rollingUpdate": {"maxSurge": shape.surge, "maxUnavailable": shape.unavailable},
                    });
                }
                _ => {}
            }
        }
        let client = self.management.client();
        let cluster = manifests::Manifests::of(objects, "the cluster");
        manifests::apply_all(client, &cluster).await.unwrap();
        manifests::apply_all(client, &self.checks).await.unwrap();
    }

    fn some_machine(&self, is_control_plane: bool) -> String {
        let control_plane = self.monitor.control_plane();
        let all = self.monitor.names().remove("machines.cluster.x-k8s.io");
        let mut all = all.unwrap_or_default().into_iter();
        all.find(|name| control_plane.contains(name) == is_control_plane)
            .unwrap()
    }

    async fn hang(&self, is_control_plane: bool) {
        let name = self.some_machine(is_control_plane);
        let patch = json!({"spec": {"faults": {"kubeletStopped": true}}});
        self.patch(&format!("{LOCAL_MACHINES}/{name}"), &patch)
            .await;
    }

    /// Waits until nothing is missing, through all that goes wrong.
    async fn arrive<'a>(
        &'a mut self,
        missing: impl for<'b> Fn(&'b Self) -> futures::future::BoxFuture<'b, Option<Missing>>,
    ) -> Result<(), String> {
        let end = tokio::time::Instant::now() + PATIENCE;
        loop {
            let left = missing(self).await;
            let violations = self.monitor.violations();
            if !violations.is_empty() {
                return Err(violations.join("\n"));
            }
            let Some(left) = left else {
                // A process that ends later does so in the next step.
                self.faults.arm(0, 0, None);
                return Ok(());
            };
            if tokio::time::Instant::now() >= end {
                return Err(format!("not within {PATIENCE:?}: {left}"));
            }
            let faults = self.faults.clone();
            tokio::select! {
                biased;
                () = faults.crashed() => self.restart().await,
                () = tokio::time::sleep(Duration::from_secs(10)) => {
                    // Workload clusters appear.
                    self.follow();
                }
            }
        }
    }

    /// Nothing may be written any more.
    async fn rest(&self) -> Result<(), String> {
        tokio::time::sleep(SETTLING).await;
        self.monitor.changes();
        tokio::time::sleep(REST).await;
        let changes = self.monitor.changes();
        if changes.is_empty() {
            return Ok(());
        }
        Err(format!(
            "something is written although all is well: {changes:?}"
        ))
    }

    /// What is not yet as wanted.
    async fn missing(&self) -> Option<Missing> {
        let cluster = self.get(&format!("{CORE}/clusters/hello")).await.ok()?;
        if !is_true(&cluster, "Available") {
            return Some(format!(
                "the cluster is not available: {}",
                cluster["status"]["conditions"]
            ));
        }
        let shape = self.shape;
        let control_plane = self.get(CONTROL_PLANE).await.ok()?;
        if let Some(missing) = uneven(&control_plane, shape.control_plane) {
            return Some(missing);
        }
        let workers = self
            .get(&format!("{CORE}/machinedeployments/hello-workers"))
            .await
            .ok()?;
        if let Some(missing) = uneven(&workers, shape.workers) {
            return Some(missing);
        }
        let machines = self.items(&format!("{CORE}/machines")).await;
        for machine in &machines {
            let name = &machine["metadata"]["name"];
            if !machine["metadata"]["deletionTimestamp"].is_null() {
                return Some(format!("machine {name} is still leaving"));
            }
            let is_control_plane =
                machine["metadata"]["labels"]["cluster.x-k8s.io/control-plane"].is_string();
            let patch = if is_control_plane {
                shape.control_plane_patch
            } else {
                shape.workers_patch
            };
            if machine["spec"]["version"] != format!("v1.36.{patch}") {
                return Some(format!(
                    "machine {name} has version {}",
                    machine["spec"]["version"]
                ));
            }
        }
        if machines.len() != shape.control_plane + shape.workers {
            return Some(format!("there are {} machines", machines.len()));
        }
        let local = self.items(LOCAL_MACHINES).await;
        if local
            .iter()
            .any(|m| m["spec"]["faults"]["kubeletStopped"] == true)
        {
            return Some("a machine that hangs is still there".to_owned());
        }
        let sets = self.items(&format!("{CORE}/machinesets")).await;
        if sets.len() > 1 {
            return Some(format!("there are {} machine sets", sets.len()));
        }
        self.left_over(&machines).await
    }

    /// What belongs to no machine, or is missing for one.
    async fn left_over(&self, machines: &[Value]) -> Option<Missing> {
        let name = |object: &Value| object["metadata"]["name"].as_str().unwrap().to_owned();
        let wanted: BTreeSet<String> = machines.iter().map(name).collect();
        let secrets = self.items(SECRETS).await;
        let owned =
            |secret: &&Value| secret["metadata"]["ownerReferences"][0]["kind"] == "KubeadmConfig";
        let secrets: BTreeSet<String> = secrets.iter().filter(owned).map(name).collect();
        let nodes = match self.management.planes.running("org-acme/hello") {
            Some(plane) => {
                let request = http::Request::get("/api/v1/nodes").body(vec![]).unwrap();
                let list: Value = plane.client.request(request).await.ok()?;
                list["items"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .map(name)
                    .collect()
            }
            None => BTreeSet::new(),
        };
        let known = self.monitor.names();
        let known = known
            .into_iter()
            .filter(|(resource, _)| !resource.starts_with("machinesets"));
        let mut all: Vec<_> = known.collect();
        all.extend([("secrets", secrets), ("nodes", nodes)]);
        for (resource, names) in all {
            if names != wanted {
                return Some(format!("{resource} are {names:?}, machines are {wanted:?}"));
            }
        }
        let (voters, control_plane) = (self.monitor.voters(), self.monitor.control_plane());
        (voters != control_plane)
            .then(|| format!("etcd's members are {voters:?}, not {control_plane:?}"))
    }

    /// Deletes the cluster, and waits until nothing is left.
    pub(super) async fn end(&mut self) -> Result<(), String> {
        self.monitor.begin(Bounds::default());
        self.delete(&format!("{CORE}/clusters/hello")).await;
        self.arrive(|fleet| Box::pin(fleet.remaining())).await?;
        if self.management.planes.running("org-acme/hello").is_some() {
            return Err("the cluster still runs".to_owned());
        }
        self.rest().await?;
        self.management.shut_down().await;
        Ok(())
    }

    async fn remaining(&self) -> Option<Missing> {
        if self.get(&format!("{CORE}/clusters/hello")).await.is_ok() {
            return Some("the cluster is still there".to_owned());
        }
        if let Some((resource, names)) = self
            .monitor
            .names()
            .into_iter()
            .find(|(_, n)| !n.is_empty())
        {
            return Some(format!("{resource} {names:?} are still there"));
        }
        let secrets = self
            .items(&format!(
                "{SECRETS}?labelSelector=cluster.x-k8s.io/cluster-name"
            ))
            .await;
        let about = |secret: &Value| {
            let meta = &secret["metadata"];
            format!(
                "{} since {}, owned by {}",
                meta["name"], meta["creationTimestamp"], meta["ownerReferences"]
            )
        };
        let left: Vec<String> = secrets.iter().map(about).collect();
        (!left.is_empty()).then(|| format!("secrets are still there: {}", left.join("; ")))
    }
}

async fn until_namespace(management: &Management) {
    let path = "/api/v1/namespaces/org-acme";
    loop {
        let request = http::Request::get(path).body(vec![]).unwrap();
        let found: Result<Value, _> = management.client().request(request).await;
        match found {
            Ok(_) => return,
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            Err(error) => panic!("{path}: {error}"),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn start(memory: &sim::Memory, clock: &Clock, seed: u64, faults: &Faults) -> Management {
    let variation = Variation {
        seed: Some(seed),
        through: Some(faults.through()),
        ..Variation::default()
    };
    Management::start_varied(memory.clone(), clock.clone(), 6443, variation)
        .await
        .unwrap()
}

fn is_true(object: &Value, type_: &str) -> bool {
    let conditions = object["status"]["conditions"]
        .as_array()
        .into_iter()
        .flatten();
    let mut conditions = conditions.filter(|c| c["type"] == type_);
    conditions.any(|c| c["status"] == "True")
}

/// Whether a scalable object has not got all replicas that it wants, up to date and available.
fn uneven(object: &Value, wanted: usize) -> Option<Missing> {
    let status = &object["status"];
    let is_seen = status["observedGeneration"] == object["metadata"]["generation"];
    let counters = [
        "replicas",
        "readyReplicas",
        "availableReplicas",
        "upToDateReplicas",
    ];
    let is_even = counters
        .iter()
        .all(|c| status[*c].as_u64().unwrap_or(0) == wanted as u64);
    (!is_seen || !is_even).then(|| {
        let counts: Vec<_> = counters
            .iter()
            .map(|c| format!("{c} {}", status[*c]))
            .collect();
        format!(
            "{} wants {wanted} replicas: {}",
            object["kind"],
            counts.join(", ")
        )
    })
}
