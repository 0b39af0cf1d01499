//! A simulated kubelet: registers its node, keeps its lease, and plays the life of the pods that are bound to it.
//!
//! No container runs. Everything else is as on a real node: the kubelet acts with the node's own credentials, through
//! the API alone. What a pod does is scripted by annotations and by a profile of the cluster (see [`script`]); without any,
//! its containers start at once and stay ready, unless their command is one of which the end is known, or they are to come
//! to an end. Nodes and pods say that they are simulated: label `apiary.io/simulated`, container runtime `simulated://1.0`.
//!
//! The decisions are pure: `pod` and `stage` play a pod from what its status says to what it says next, `life` a container,
//! `phase`, `conditions` and `status` write it down, `admit` and `resize` hold a pod against its node. Here and in
//! `register` is what talks to the API.

mod admit;
mod command;
mod conditions;
mod config;
mod life;
mod mirror;
mod node;
mod pace;
mod phase;
mod pod;
mod quantity;
mod register;
mod resize;
mod runner;
pub mod script;
mod stage;
mod status;
mod tell;
#[cfg(test)]
mod tests;
pub mod usage;
mod words;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt, TryStreamExt};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Pod, PodStatus, Taint};
use kube::api::{Api, DeleteParams, Patch, PatchParams, WatchEvent, WatchParams};
use kube::{Client, ResourceExt};
use runtime::Clock;
use serde_json::json;
use tokio::sync::watch;
use tokio::time::Instant;

use admit::{Refusal, Room};
use config::Missing;
use life::later;
pub use pace::{Member, Pace};
use pod::{Event, Memory, Scene};
use resize::Resize;
pub use runner::SimulatedPods;
pub use script::Source;
use script::{Profile, Script};

/// Marks simulated nodes.
pub const SIMULATED: &str = "apiary.io/simulated";

/// Whether the node is a simulated one.
#[must_use]
pub fn is_simulated(node: &Node) -> bool {
    let labels = node.metadata.labels.as_ref();
    labels.and_then(|l| l.get(SIMULATED)).map(String::as_str) == Some("true")
}

/// Leases are not renewed more often than this, however short they are.
const RENEWAL_MIN: Duration = Duration::from_millis(250);
/// A watch of the node's pods lasts this long, in seconds, then the next one goes on from there. In between the node's
/// status may be reported again.
const WATCH_SECONDS: u32 = 290;
/// Pause after the API did not answer; doubled each time up to [`MAX_PAUSE`].
const MIN_PAUSE: Duration = Duration::from_millis(500);
const MAX_PAUSE: Duration = Duration::from_secs(30);
/// A pod that the node does not take is told so this long after it was made. Whoever makes the next one at once, as
/// StatefulSets do, makes one in this time and not as many as the machine can.
const REJECTED_PAUSE: Duration = Duration::from_secs(1);
/// Pause after the API refused something about one pod.
const REFUSED_PAUSE: Duration = Duration::from_secs(30);

/// One simulated machine as its kubelet sees it.
#[derive(Clone, Debug, Default, PartialEq)]
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
    /// Pods that run here whatever the API says; mirror pods show them.
    pub static_pods: Vec<Pod>,
    /// How long its lease holds, as `nodeLeaseDurationSeconds` of a KubeletConfiguration. 0 stands for 40, and for more if there
    /// are more than 200 simulated nodes in the process (640 with 3,000 of them): each renewal is a durable write. A node
    /// that dies is missed after this and a quarter more.
    pub lease_seconds: u32,
    /// Pods that the node takes, as `maxPods` of a KubeletConfiguration. 0 stands for 110.
    pub max_pods: u32,
    /// What of the processors and the memory is not for pods: `kubeReserved`, `systemReserved` and `evictionHard` together.
    pub reserved_millicpus: u32,
    pub reserved_memory_mib: u64,
}

/// Namespace and name.
type Key = (String, String);

/// What the kubelet knows of one pod beside the pod.
#[derive(Default)]
struct Known {
    uid: Option<String>,
    /// There was room for it.
    is_admitted: bool,
    /// All that its containers need is there, or they run.
    is_configured: bool,
    /// How often something was missing.
    tries: u32,
    memory: Memory,
}

/// A running simulated kubelet.
struct Kubelet {
    spec: KubeletSpec,
    client: Client,
    clock: Clock,
    pace: Member,
    /// Until when its lease holds, if it ever had one.
    lease: Option<Timestamp>,
    pods: BTreeMap<Key, Arc<Pod>>,
    known: HashMap<Key, Known>,
    /// When to look at a pod again.
    alarms: HashMap<Key, Timestamp>,
    addresses: HashMap<Key, String>,
    told: tell::Told,
    profile: watch::Receiver<Arc<Profile>>,
    /// How static pods were whose mirrors are gone for the moment.
    unmirrored: HashMap<Key, PodStatus>,
}

/// Runs a kubelet until its future is dropped. `client` acts as the node.
pub async fn run(
    spec: KubeletSpec,
    client: Client,
    clock: Clock,
    pace: Member,
    profile: watch::Receiver<Arc<Profile>>,
) {
    let mut kubelet = Kubelet::new(spec, client, clock, pace, profile);
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
    fn new(
        spec: KubeletSpec,
        client: Client,
        clock: Clock,
        pace: Member,
        profile: watch::Receiver<Arc<Profile>>,
    ) -> Self {
        Self {
            spec,
            client,
            clock,
            pace,
            lease: None,
            pods: BTreeMap::new(),
            known: HashMap::new(),
            alarms: HashMap::new(),
            addresses: HashMap::new(),
            told: tell::Told::default(),
            profile,
            unmirrored: HashMap::new(),
        }
    }

    /// One connection's worth of life: register, list the pods, then follow them until that is not possible any more.
    async fn live(&mut self) -> Result<(), kube::Error> {
        let mine = format!("spec.nodeName={}", self.spec.node_name);
        let pods: Api<Pod> = Api::all(self.client.clone());
        // What does not last is boxed: most of the time the kubelet waits, and a fleet has thousands of them.
        let mut seen = Box::pin(self.begin(&pods, &mine)).await?;
        // Without bookmarks: while it is open, a watch of one node's pods misses nothing of them. The next one may have to list
        // them again, if much happened elsewhere.
        let params = WatchParams::default().fields(&mine).timeout(WATCH_SECONDS);
        let params = params.disable_bookmarks();
        let mut next_renewal = Instant::now() + self.until_renewal();
        let mut reported = Instant::now();
        loop {
            let events = Box::pin(pods.watch(&params, &seen)).await?;
            let events = events.map_ok(Box::new).boxed();
            let end = self.follow_all(events, &mut seen, &mut next_renewal);
            if !end.await? {
                return Ok(());
            }
            // What has not changed is said again at the last occasion before it is due.
            let next_occasion = reported.elapsed() + Duration::from_secs(WATCH_SECONDS.into());
            if next_occasion > self.pace.report() {
                Box::pin(self.heartbeat()).await?;
                reported = Instant::now();
            }
        }
    }

    /// Registers the node, and looks at the pods that are there; from which revision on they are to be followed.
    async fn begin(&mut self, pods: &Api<Pod>, mine: &str) -> Result<String, kube::Error> {
        self.register().await?;
        self.renew_lease().await?;
        let params = kube::api::ListParams::default().fields(mine);
        let list = pods.list(&params).await?;
        self.pods = list
            .items
            .into_iter()
            .map(|pod| (key(&pod), kept(pod)))
            .collect();
        self.alarms.clear();
        // Pods that went while nobody watched.
        let is_there = |at: &_| self.pods.contains_key(at);
        self.addresses.retain(|at, _| is_there(at));
        self.known.retain(|at, _| is_there(at));
        self.told.keep(is_there);
        self.advance_all().await?;
        self.mirror().await?;
        Ok(list.metadata.resource_version.unwrap_or_default())
    }

    /// Follows the pods until the watch ends; `seen` is the revision from which the next one goes on. False if the pods
    /// must be listed anew.
    async fn follow_all(
        &mut self,
        mut events: impl Stream<Item = Result<Box<WatchEvent<Pod>>, kube::Error>> + Unpin,
        seen: &mut String,
        next_renewal: &mut Instant,
    ) -> Result<bool, kube::Error> {
        loop {
            let next_alarm = self.next_alarm();
            tokio::select! {
                // In this order, so that a run can be repeated: an alarm may be due again and again, and must not
                // keep what happens from being heard.
                biased;
                () = tokio::time::sleep_until(*next_renewal) => {
                    Box::pin(self.keep_lease()).await?;
                    *next_renewal = Instant::now() + self.until_renewal();
                }
                Ok(()) = self.profile.changed() => Box::pin(self.advance_all()).await?,
                event = events.next() => match event {
                    None => return Ok(true),
                    Some(event) => if !Box::pin(self.follow(*event?, seen)).await? { return Ok(false) },
                },
                () = tokio::time::sleep(next_alarm.unwrap_or_default()), if next_alarm.is_some() => {
                    Box::pin(self.ring()).await?;
                }
            }
        }
    }

    /// How long from now to the next renewal of the lease. They are at full seconds, so that those of many nodes become
    /// durable together.
    fn until_renewal(&self) -> Duration {
        let past = self.clock.now().subsec_nanosecond().unsigned_abs();
        let past = Duration::from_nanos(past.into());
        let pause = self.pace.renewal().saturating_sub(past);
        pause.max(RENEWAL_MIN)
    }

    /// Renews the lease. After one that ran out, the node may count as one that does not answer, or be gone: how it is is said
    /// at once.
    async fn keep_lease(&mut self) -> Result<(), kube::Error> {
        let is_late = self.lease.is_some_and(|until| until < self.clock.now());
        self.renew_lease().await?;
        if is_late {
            self.heartbeat().await?;
        }
        Ok(())
    }

    /// Looks at every pod, the oldest first.
    async fn advance_all(&mut self) -> Result<(), kube::Error> {
        let mut all: Vec<_> = self.pods.iter().collect();
        all.sort_by_key(|(_, pod)| pod.metadata.creation_timestamp.as_ref().map(|at| at.0));
        let all: Vec<Key> = all.into_iter().map(|(at, _)| at.clone()).collect();
        for at in all {
            self.advance(&at).await?;
        }
        Ok(())
    }

    /// Takes in one event; false if the watch must start again.
    async fn follow(
        &mut self,
        event: WatchEvent<Pod>,
        seen: &mut String,
    ) -> Result<bool, kube::Error> {
        match event {
            WatchEvent::Added(pod) | WatchEvent::Modified(pod) => {
                *seen = pod.resource_version().unwrap_or_default();
                let at = key(&pod);
                self.pods.insert(at.clone(), kept(pod));
                self.advance(&at).await?;
            }
            WatchEvent::Deleted(pod) => {
                *seen = pod.resource_version().unwrap_or_default();
                let at = key(&pod);
                self.pods.remove(&at);
                self.alarms.remove(&at);
                self.addresses.remove(&at);
                self.known.remove(&at);
                self.told.forget(&at);
                if mirror::is_mirror(&pod) {
                    self.lose(&at, pod);
                    self.mirror().await?;
                }
                self.retry_resizes().await?;
            }
            WatchEvent::Bookmark(mark) => *seen = mark.metadata.resource_version,
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
        let mut due: Vec<_> = self
            .alarms
            .iter()
            .filter(|(_, at)| **at <= now)
            .map(|(key, _)| key.clone())
            .collect();
        due.sort_unstable();
        for at in due {
            self.alarms.remove(&at);
            if at == mirror::ALARM {
                self.mirror().await?;
            } else {
                self.advance(&at).await?;
            }
        }
        Ok(())
    }

    /// There may be room now for what had to wait.
    async fn retry_resizes(&mut self) -> Result<(), kube::Error> {
        let waits = |pod: &Pod| {
            let pending = conditions::known(pod, "PodResizePending");
            pending.is_some_and(|condition| condition.reason.as_deref() == Some("Deferred"))
        };
        let waiting: Vec<Key> = self
            .pods
            .iter()
            .filter(|(_, pod)| waits(pod))
            .map(|(at, _)| at.clone())
            .collect();
        for at in waiting {
            self.advance(&at).await?;
        }
        Ok(())
    }

    /// Plays the next moment of one pod's life. A pod that the API refuses is tried again later; it is no reason to
    /// let the others wait.
    async fn advance(&mut self, at: &Key) -> Result<(), kube::Error> {
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

    async fn try_advance(&mut self, at: &Key) -> Result<(), kube::Error> {
        let Some(pod) = self.pods.get(at).cloned() else {
            return Ok(());
        };
        self.alarms.remove(at);
        let known = self.known.entry(at.clone()).or_default();
        if known.uid != pod.uid() {
            *known = Known {
                uid: pod.uid(),
                ..Known::default()
            };
        }
        let status = pod.status.as_ref();
        known.is_admitted |= status.is_some_and(|status| status.start_time.is_some());
        let is_new = !known.is_admitted && crate::pod::is_active(&pod);
        if is_new {
            if let Some(lost) = self
                .unmirrored
                .remove(at)
                .filter(|_| mirror::is_mirror(&pod))
            {
                return self.write_status(at, &pod, &json!(lost)).await;
            }
            if let Some(refusal) = self.refusal(at, &pod).await? {
                let created = pod.metadata.creation_timestamp.as_ref();
                let due = created.map(|created| later(created.0, REJECTED_PAUSE));
                if let Some(due) = due.filter(|due| *due > self.clock.now()) {
                    self.alarms.insert(at.clone(), due);
                    return Ok(());
                }
                return self.reject(at, &pod, refusal).await;
            }
        }
        let script = Script::of(&pod, &self.profile.borrow());
        let missing = self.missing(at, &pod, &script).await;
        let resize = Resize::of(&pod, || Room::of(&self.spec, self.others(at)));
        let address = self.address(at, &pod);
        let now = self.clock.now();
        let ips = (address.as_str(), self.spec.internal_ip.as_str());
        let scene = Scene::new((&pod, &script), now, ips, (&missing, &resize));
        let known = self.known.entry(at.clone()).or_default();
        known.is_admitted = true;
        let step = pod::step(&scene, &known.memory);
        known.memory = step.memory;
        if let Some(alarm) = step.again_at {
            self.alarms.insert(at.clone(), alarm);
        }
        if let Some(status) = &step.status {
            self.write_status(at, &pod, status).await?;
        }
        for event in resize.events.iter().chain(&step.events) {
            self.tell(&pod, event).await;
        }
        if step.is_over {
            self.remove(at, &pod).await?;
        }
        Ok(())
    }

    async fn tell(&mut self, pod: &Pod, event: &Event) {
        let now = self.clock.now();
        self.told
            .tell(&self.client, (&self.spec.node_name, pod), event, now)
            .await;
    }

    /// The other pods that take something of the node.
    fn others<'k>(&'k self, at: &'k Key) -> impl Iterator<Item = &'k Pod> {
        let counts = move |other: &Key, pod: &Pod| {
            let known = self.known.get(other);
            other != at && !crate::pod::is_over(pod) && known.is_some_and(|k| k.is_admitted)
        };
        let all = self.pods.iter();
        all.filter(move |(other, pod)| counts(other, pod))
            .map(|(_, pod)| &**pod)
    }

    /// Why the node does not take a new pod.
    async fn refusal(&self, at: &Key, pod: &Pod) -> Result<Option<Refusal>, kube::Error> {
        let others: Vec<&Pod> = self.others(at).collect();
        let node = node::object(&self.spec, self.clock.now());
        let node: Node = serde_json::from_value(node).map_err(kube::Error::SerdeError)?;
        let refusal = admit::against(&self.spec, &node, pod, &others);
        if !matches!(refusal, Some(("NodeAffinity", _))) {
            return Ok(refusal);
        }
        // Somebody may have labelled the node since it registered.
        let nodes: Api<Node> = Api::all(self.client.clone());
        let node = nodes.get(&self.spec.node_name).await?;
        Ok(admit::against(&self.spec, &node, pod, &others))
    }

    async fn reject(
        &mut self,
        at: &Key,
        pod: &Pod,
        (reason, message): Refusal,
    ) -> Result<(), kube::Error> {
        let status = json!({
            "phase": "Failed", "reason": reason, "message": format!("Pod was rejected: {message}"),
            "startTime": runtime::rfc3339(self.clock.now()), "observedGeneration": pod.metadata.generation,
        });
        self.write_status(at, pod, &status).await?;
        let event = Event {
            is_warning: true,
            reason,
            field: String::new(),
            message,
        };
        self.tell(pod, &event).await;
        Ok(())
    }

    /// What the containers of a pod that starts need and is not there.
    async fn missing(&mut self, at: &Key, pod: &Pod, script: &Script) -> Missing {
        let now = self.clock.now();
        let Some(known) = self.known.get_mut(at) else {
            return Missing::default();
        };
        let status = pod.status.iter();
        let mut apps = status.flat_map(|status| status.container_statuses.iter().flatten());
        let is_settled = !crate::pod::is_active(pod)
            || script.pod.ignores_missing_config == Some(true)
            || apps.any(|app| app.container_id.is_some());
        if known.is_configured || is_settled {
            return Missing::default();
        }
        let needs = config::needs(pod);
        let there = config::read(&self.client, &at.0, &needs).await;
        let again = config::again(now, known.tries);
        let missing = config::missing(&at.0, &needs, &there, again);
        known.is_configured = missing == Missing::default();
        known.tries += 1;
        missing
    }

    async fn write_status(
        &self,
        at: &Key,
        pod: &Pod,
        status: &impl serde::Serialize,
    ) -> Result<(), kube::Error> {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &at.0);
        let patch = Patch::Strategic(json!({"metadata": {"uid": pod.uid()}, "status": status}));
        let params = PatchParams {
            field_manager: Some("kubelet".into()),
            ..PatchParams::default()
        };
        gone_is_fine(pods.patch_status(&at.1, &params, &patch).await)
    }

    /// Removes a pod that has ended.
    async fn remove(&self, at: &Key, pod: &Pod) -> Result<(), kube::Error> {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &at.0);
        let params = DeleteParams {
            grace_period_seconds: Some(0),
            preconditions: Some(kube::api::Preconditions {
                uid: pod.uid(),
                resource_version: None,
            }),
            ..DeleteParams::default()
        };
        gone_is_fine(pods.delete(&at.1, &params).await.map(drop))
    }

    /// The pod's address: the one it has, or a free one of this node.
    fn address(&mut self, at: &Key, pod: &Pod) -> String {
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
}

/// The pod without what nobody here reads, which is often more than half of it.
fn kept(mut pod: Pod) -> Arc<Pod> {
    pod.metadata.managed_fields = None;
    Arc::new(pod)
}

fn key(pod: &Pod) -> Key {
    (pod.namespace().unwrap_or_default(), pod.name_any())
}

/// The pod may be gone, or another one of its name may have come.
fn gone_is_fine<T>(result: Result<T, kube::Error>) -> Result<(), kube::Error> {
    match result {
        Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => Ok(()),
        other => other.map(drop),
    }
}
