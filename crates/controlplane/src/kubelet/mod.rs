//! A simulated kubelet: registers its node, keeps its lease, and plays the life of the pods that are bound to it.
//!
//! No container runs. Everything else is as on a real node: the kubelet acts with the node's own credentials, through
//! the API alone. What a pod does is scripted by annotations (see [`script`]); without any, its containers start at
//! once and stay ready, unless their command is one of which the end is known, or they are to come to an end. Nodes and
//! pods say that they are simulated: label `apiary.io/simulated`, container runtime `simulated://1.0`.

mod command;
mod life;
mod node;
mod pod;
mod runner;
pub mod script;
mod status;
mod tell;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Node, Pod, Taint};
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams};
use kube::{Client, ResourceExt};
use runtime::Clock;
use serde_json::json;
use tokio::time::Instant;

use life::later;
pub use runner::SimulatedPods;

/// Marks simulated nodes.
pub const SIMULATED: &str = "apiary.io/simulated";

/// Leases are renewed this often, as real kubelets do.
const LEASE_PERIOD: Duration = Duration::from_secs(10);
/// What a lease says about how long it holds, in seconds.
const LEASE_SECONDS: i32 = 40;
/// A watch of the node's pods lasts this long, in seconds.
const WATCH_SECONDS: u32 = 290;
/// Pause after the API did not answer; doubled each time up to [`MAX_PAUSE`].
const MIN_PAUSE: Duration = Duration::from_millis(500);
const MAX_PAUSE: Duration = Duration::from_secs(30);
/// Pause after the API refused something about one pod.
const REFUSED_PAUSE: Duration = Duration::from_secs(30);

/// One simulated machine as its kubelet sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct KubeletSpec {
    pub node_name: String,
    /// Labels beside those that every node has.
    pub labels: BTreeMap<String, String>,
    pub taints: Vec<Taint>,
    pub provider_id: String,
    /// `v1.36.0`.
    pub version: String,
    pub cpus: u32,
    pub memory_mib: u64,
    /// Address that the node reports.
    pub internal_ip: String,
}

/// A running simulated kubelet.
struct Kubelet {
    spec: KubeletSpec,
    client: Client,
    clock: Clock,
    pods: BTreeMap<(String, String), Arc<Pod>>,
    /// When to look at a pod again.
    alarms: HashMap<(String, String), Timestamp>,
    addresses: HashMap<(String, String), String>,
    /// Pods whose end was told.
    stopping: HashSet<(String, String)>,
    told: tell::Told,
}

/// Runs a kubelet until its future is dropped. `client` acts as the node.
pub async fn run(spec: KubeletSpec, client: Client, clock: Clock) {
    let mut kubelet = Kubelet {
        spec,
        client,
        clock,
        pods: BTreeMap::new(),
        alarms: HashMap::new(),
        addresses: HashMap::new(),
        stopping: HashSet::new(),
        told: tell::Told::default(),
    };
    let mut pause = MIN_PAUSE;
    loop {
        match Box::pin(kubelet.live()).await {
            Ok(()) => pause = MIN_PAUSE,
            Err(error) => {
                tracing::debug!(node = kubelet.spec.node_name, %error, "the kubelet lost its API server");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(MAX_PAUSE);
            }
        }
    }
}

impl Kubelet {
    /// One connection's worth of life: register, list the pods, then follow them until the watch ends.
    async fn live(&mut self) -> Result<(), kube::Error> {
        self.register().await?;
        self.renew_lease().await?;
        let mine = format!("spec.nodeName={}", self.spec.node_name);
        let pods: Api<Pod> = Api::all(self.client.clone());
        let list = pods
            .list(&kube::api::ListParams::default().fields(&mine))
            .await?;
        let revision = list.metadata.resource_version.unwrap_or_default();
        self.pods = list
            .items
            .into_iter()
            .map(|pod| (key(&pod), Arc::new(pod)))
            .collect();
        self.alarms.clear();
        // Pods that went while nobody watched.
        let is_there = |at: &_| self.pods.contains_key(at);
        self.addresses.retain(|at, _| is_there(at));
        self.stopping.retain(is_there);
        self.told.keep(is_there);
        for at in self.pods.keys().cloned().collect::<Vec<_>>() {
            self.advance(&at).await?;
        }
        let params = WatchParams::default().fields(&mine).timeout(WATCH_SECONDS);
        let mut events = pods.watch(&params, &revision).await?.boxed();
        let mut next_renewal = Instant::now() + LEASE_PERIOD;
        loop {
            let next_alarm = self.next_alarm();
            tokio::select! {
                event = events.next() => match event {
                    None => return Ok(()),
                    Some(event) => if !self.follow(event?).await? { return Ok(()) },
                },
                () = tokio::time::sleep_until(next_renewal) => {
                    self.renew_lease().await?;
                    next_renewal = Instant::now() + LEASE_PERIOD;
                }
                () = tokio::time::sleep(next_alarm.unwrap_or(LEASE_PERIOD)), if next_alarm.is_some() => self.ring().await?,
            }
        }
    }

    /// Takes in one event; false if the watch must start again.
    async fn follow(&mut self, event: WatchEvent<Pod>) -> Result<bool, kube::Error> {
        match event {
            WatchEvent::Added(pod) | WatchEvent::Modified(pod) => {
                let at = key(&pod);
                self.pods.insert(at.clone(), Arc::new(pod));
                self.advance(&at).await?;
            }
            WatchEvent::Deleted(pod) => {
                let at = key(&pod);
                self.pods.remove(&at);
                self.alarms.remove(&at);
                self.addresses.remove(&at);
                self.stopping.remove(&at);
                self.told.forget(&at);
            }
            WatchEvent::Bookmark(_) => {}
            WatchEvent::Error(_) => return Ok(false),
        }
        Ok(true)
    }

    fn next_alarm(&self) -> Option<Duration> {
        let first = self.alarms.values().min()?;
        Some(Duration::try_from(first.duration_since(self.clock.now())).unwrap_or_default())
    }

    /// Looks at the pods whose time has come.
    async fn ring(&mut self) -> Result<(), kube::Error> {
        let now = self.clock.now();
        let due: Vec<_> = self
            .alarms
            .iter()
            .filter(|(_, at)| **at <= now)
            .map(|(key, _)| key.clone())
            .collect();
        for at in due {
            self.alarms.remove(&at);
            self.advance(&at).await?;
        }
        Ok(())
    }

    /// Plays the next moment of one pod's life. A pod that the API refuses is tried again later; it is no reason to
    /// let the others wait.
    async fn advance(&mut self, at: &(String, String)) -> Result<(), kube::Error> {
        match self.try_advance(at).await {
            Err(kube::Error::Api(status))
                if (400..500).contains(&status.code) && !matches!(status.code, 401 | 429) =>
            {
                tracing::info!(
                    namespace = at.0,
                    pod = at.1,
                    why = status.message,
                    "the API refuses what a simulated pod does"
                );
                self.alarms
                    .insert(at.clone(), later(self.clock.now(), REFUSED_PAUSE));
                Ok(())
            }
            other => other,
        }
    }

    async fn try_advance(&mut self, at: &(String, String)) -> Result<(), kube::Error> {
        let Some(pod) = self.pods.get(at).cloned() else {
            return Ok(());
        };
        let address = self.address(at, &pod);
        let now = self.clock.now();
        let step = pod::step(&pod, now, &address, &self.spec.internal_ip);
        self.alarms.remove(at);
        if let Some(alarm) = step.again_at {
            self.alarms.insert(at.clone(), alarm);
        }
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &at.0);
        if let Some(status) = &step.status {
            let patch = json!({"metadata": {"uid": pod.uid()}, "status": status});
            let params = PatchParams {
                field_manager: Some("kubelet".into()),
                ..PatchParams::default()
            };
            gone_is_fine(
                pods.patch_status(&at.1, &params, &Patch::Merge(&patch))
                    .await,
            )?;
        }
        // That a container is being stopped is told once, however often we look.
        let is_news = pod.metadata.deletion_timestamp.is_none() || self.stopping.insert(at.clone());
        for event in step.events.iter().filter(|_| is_news) {
            self.told
                .tell(&self.client, (&self.spec.node_name, &pod), event, now)
                .await;
        }
        if step.is_over {
            let params = DeleteParams {
                grace_period_seconds: Some(0),
                preconditions: Some(kube::api::Preconditions {
                    uid: pod.uid(),
                    resource_version: None,
                }),
                ..DeleteParams::default()
            };
            gone_is_fine(pods.delete(&at.1, &params).await.map(drop))?;
        }
        Ok(())
    }

    /// The pod's address: the one it has, or a free one of this node.
    fn address(&mut self, at: &(String, String), pod: &Pod) -> String {
        if pod.spec.as_ref().and_then(|s| s.host_network) == Some(true) {
            return self.spec.internal_ip.clone();
        }
        if let Some(known) = pod.status.as_ref().and_then(|s| s.pod_ip.clone()) {
            self.addresses.insert(at.clone(), known.clone());
            return known;
        }
        if let Some(given) = self.addresses.get(at) {
            return given.clone();
        }
        let taken: HashSet<&String> = self.addresses.values().collect();
        let free = node::addresses(&self.spec.node_name)
            .find(|ip| !taken.contains(ip))
            .unwrap_or_default();
        self.addresses.insert(at.clone(), free.clone());
        free
    }

    /// Creates the node, or makes an existing one of this name ours again.
    async fn register(&self) -> Result<(), kube::Error> {
        let nodes: Api<Node> = Api::all(self.client.clone());
        let now = self.clock.now();
        let node: Node = serde_json::from_value(node::object(&self.spec, now))
            .map_err(kube::Error::SerdeError)?;
        match nodes.create(&PostParams::default(), &node).await {
            Err(kube::Error::Api(status)) if status.is_already_exists() => {}
            other => return other.map(drop),
        }
        let known = nodes.get(&self.spec.node_name).await?;
        let status = node::status(&self.spec, now, Some(&known));
        let patch = json!({"status": status});
        nodes
            .patch_status(
                &self.spec.node_name,
                &PatchParams::default(),
                &Patch::Merge(&patch),
            )
            .await
            .map(drop)
    }

    async fn renew_lease(&self) -> Result<(), kube::Error> {
        let leases: Api<Lease> = Api::namespaced(self.client.clone(), "kube-node-lease");
        let now = micro_time(self.clock.now());
        let name = &self.spec.node_name;
        let patch = json!({"spec": {"renewTime": now}});
        match leases
            .patch(name, &PatchParams::default(), &Patch::Merge(&patch))
            .await
        {
            Err(kube::Error::Api(status)) if status.is_not_found() => {}
            other => return other.map(drop),
        }
        // The lease goes with its node; for a node that is gone there is none to make.
        let nodes: Api<Node> = Api::all(self.client.clone());
        let Some(node) = nodes.get_opt(name).await? else {
            return Ok(());
        };
        let owner = json!({"apiVersion": "v1", "kind": "Node", "name": name, "uid": node.uid()});
        let lease = json!({
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
            "metadata": {"name": name, "namespace": "kube-node-lease", "ownerReferences": [owner]},
            "spec": {"holderIdentity": name, "leaseDurationSeconds": LEASE_SECONDS, "renewTime": now},
        });
        let lease: Lease = serde_json::from_value(lease).map_err(kube::Error::SerdeError)?;
        leases
            .create(&PostParams::default(), &lease)
            .await
            .map(drop)
    }
}

fn key(pod: &Pod) -> (String, String) {
    (pod.namespace().unwrap_or_default(), pod.name_any())
}

/// The pod may be gone, or another one of its name may have come.
fn gone_is_fine<T>(result: Result<T, kube::Error>) -> Result<(), kube::Error> {
    match result {
        Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => Ok(()),
        other => other.map(drop),
    }
}

/// RFC 3339 with microseconds, as leases have it.
fn micro_time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
}
