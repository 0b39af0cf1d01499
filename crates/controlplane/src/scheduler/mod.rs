//! The scheduler: finds a node for every pod that has none, the most important first.
//!
//! It keeps in mind the nodes and what is on them ([`snapshot`]), hears what changes ([`changes`]), takes pods in turn
//! ([`queue`]), and decides ([`choose`], pure): the filters of Kubernetes' default profile say what is against a node, its
//! scores which of the others is best, and if there is none, whether less important pods can make room ([`preempt`]). A pod
//! that was just bound counts at once. One that fits nowhere waits, at no cost, until something changes that may help it.
//!
//! Reads pods, nodes, labels of namespaces, and if a pod has claims, volumes, claims and classes; budgets if somebody would
//! have to go. Writes bindings, the `PodScheduled` condition and the nominated node of pods that wait, the node that claims
//! are to get their volumes for, and deletes pods that make room. Not here: other profiles and extenders; images that are on
//! a node already; the capacity that storage drivers report; devices (resource claims); gang scheduling.

mod changes;
mod choose;
pub(crate) mod filter;
mod neighbours;
mod preempt;
mod queue;
mod requests;
mod score;
mod snapshot;
#[cfg(test)]
mod tests;
mod volumes;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use k8s_openapi::api::core::v1::{Namespace, Node, PersistentVolume, PersistentVolumeClaim, Pod};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::storage::v1::StorageClass;
use kube::Resource;
use kube::core::ApiResource;
use runtime::{Cluster, GatherError, Note, Recorder, Selector, Tasks};
use tokio::time::Instant;

use changes::{Changes, Ear, News, Of};
use choose::{Choice, Nowhere};
use preempt::{Budget, Preemption};
use queue::{Causes, Queue};
use requests::Waiting;
use snapshot::{PodInfo, Snapshot};
use volumes::Volumes;

/// Pods are this scheduler's unless they name another.
const NAME: &str = "default-scheduler";
const MANAGER: &str = "apiary-scheduler";
/// Requests that are under way at once.
const CONCURRENCY: usize = 64;
/// Pause before what could not be read is read again.
const RETRY: Duration = Duration::from_secs(1);

/// Schedules the pods of a cluster, for ever.
pub async fn run(cluster: Arc<Cluster>) {
    let tasks = Tasks::new();
    let recorder = Recorder::start(Arc::clone(&cluster), &tasks);
    let changes = Arc::new(Changes::default());
    let listen = |resource: ApiResource, of: Of| {
        cluster.listen(&resource, Arc::new(Ear(Arc::clone(&changes), of)));
    };
    listen(ApiResource::erase::<Node>(&()), Of::Nodes);
    listen(ApiResource::erase::<Pod>(&()), Of::Pods);
    listen(ApiResource::erase::<Namespace>(&()), Of::Namespaces);
    // With half of the pods in mind it would take full nodes for empty ones.
    for resource in [
        ApiResource::erase::<Node>(&()),
        ApiResource::erase::<Pod>(&()),
    ] {
        while let Err(error) = cluster.entries(&resource, None, &Selector::all()).await {
            tracing::debug!(error = runtime::chain(&error), "the scheduler waits");
            tokio::time::sleep(RETRY).await;
        }
    }
    let scheduler = Scheduler {
        cluster: Arc::clone(&cluster),
        recorder,
        changes,
        world: Snapshot::default(),
        queue: Queue::default(),
        known: HashMap::new(),
        start: 0,
        hears_of_volumes: false,
        under_way: FuturesUnordered::new(),
    };
    scheduler.work().await;
}

struct Scheduler {
    cluster: Arc<Cluster>,
    recorder: Recorder,
    changes: Arc<Changes>,
    world: Snapshot,
    queue: Queue,
    /// The uid of the pod that has a namespace and name.
    known: HashMap<(String, String), String>,
    /// Where the next search begins.
    start: usize,
    hears_of_volumes: bool,
    under_way: FuturesUnordered<BoxFuture<'static, Done>>,
}

/// What became of a request.
enum Done {
    Bound(Arc<PodInfo>, String, Result<(), kube::Error>),
    /// Words were said, or pods told to go.
    Written(Arc<PodInfo>, Result<(), kube::Error>),
}

impl Scheduler {
    async fn work(mut self) {
        loop {
            let news = self.changes.take();
            self.hear(news);
            while self.under_way.len() < CONCURRENCY
                && let Some(pod) = self.queue.next(Instant::now())
            {
                self.attend(&pod).await;
            }
            let due = self.queue.next_due();
            let is_full = self.under_way.len() >= CONCURRENCY;
            tokio::select! {
                // In this order, so that a run can be repeated.
                biased;
                Some(done) = self.under_way.next() => self.finish(done),
                () = self.changes.notify.notified() => {}
                () = sleep_until(due), if !is_full => {}
            }
        }
    }

    /// Takes in what changed, and wakes those that it may help.
    fn hear(&mut self, news: News) {
        let now = Instant::now();
        let mut woken: Option<Causes> = None;
        for (name, labels) in news.namespaces {
            let old = match labels.clone() {
                Some(labels) => self.world.namespaces.insert(name, labels),
                None => self.world.namespaces.remove(&name),
            };
            // Pods choose others by these labels, too.
            if old != labels {
                woken = Some(Causes::MORE.and(Causes::LESS));
            }
        }
        for name in news.nodes {
            if self.hear_of_node(&name) {
                self.queue.wake(Causes::NODE, now);
            }
        }
        for key in news.pods {
            if let Some(cause) = self.hear_of_pod(key) {
                woken = Some(woken.map_or(cause, |causes| causes.and(cause)));
            }
        }
        if news.volumes {
            woken = Some(woken.map_or(Causes::VOLUME, |causes| causes.and(Causes::VOLUME)));
        }
        if let Some(causes) = woken {
            self.queue.wake(causes, now);
        }
    }

    /// Whether the node changed, came or went, so that others than before may fit somewhere.
    fn hear_of_node(&mut self, name: &str) -> bool {
        let node = self.cluster.cached::<Node>("", name);
        let known = self
            .world
            .nodes
            .get(name)
            .and_then(|info| info.node.clone());
        let is_same = match (&known, &node) {
            (Some(old), Some(new)) => {
                let allocatable =
                    |node: &Node| node.status.as_ref().and_then(|s| s.allocatable.clone());
                old.spec == new.spec
                    && old.metadata.labels == new.metadata.labels
                    && allocatable(old) == allocatable(new)
            }
            (None, None) => true,
            _ => false,
        };
        self.world.set_node(name, node);
        !is_same
    }

    /// Takes in a pod; what its change may help with.
    fn hear_of_pod(&mut self, key: (String, String)) -> Option<Causes> {
        let pod = self.cluster.cached::<Pod>(&key.0, &key.1);
        let uid = pod.as_ref().and_then(|pod| pod.metadata.uid.clone());
        let mut cause = None;
        // Another one of its name may have been there.
        if let Some(old) = self.known.get(&key).cloned()
            && Some(&old) != uid.as_ref()
        {
            self.known.remove(&key);
            cause = self.forget(&old);
        }
        let (Some(pod), Some(uid)) = (pod, uid) else {
            return cause;
        };
        if crate::pod::is_over(&pod) {
            return self.forget(&uid).or(cause);
        }
        self.known.insert(key, uid.clone());
        let pod = Arc::new(PodInfo::of(pod));
        let spec = pod.pod.spec.as_ref();
        let node = spec.and_then(|s| s.node_name.clone());
        if let Some(node) = node.filter(|node| !node.is_empty()) {
            self.queue.remove(&uid);
            let news = helps(self.world.placed_as(&uid), &pod);
            self.world.put(&node, pod);
            return match (news, cause) {
                (Some(news), Some(cause)) => Some(news.and(cause)),
                (news, cause) => news.or(cause),
            };
        }
        if pod.is_going() {
            return self.forget(&uid).or(cause);
        }
        let is_ours = spec
            .and_then(|s| s.scheduler_name.as_deref())
            .unwrap_or(NAME)
            == NAME;
        let gates = spec.and_then(|s| s.scheduling_gates.as_ref());
        if !is_ours {
            return cause;
        }
        if gates.is_some_and(|gates| !gates.is_empty()) {
            self.queue.remove(&uid);
            self.write(
                &pod,
                Waiting {
                    reason: "SchedulingGated",
                    message: "Scheduling is blocked due to non-empty scheduling gates".to_owned(),
                    nominated: None,
                },
            );
            return cause;
        }
        // What was assumed of it holds until its binding is seen or fails.
        if self.world.place(&uid).is_none() {
            if let Some(node) = pod.nominated() {
                self.world.nominate(node, Arc::clone(&pod));
            }
            self.queue.put(pod);
        }
        cause
    }

    /// The pod is nowhere any more.
    fn forget(&mut self, uid: &str) -> Option<Causes> {
        let was_waiting = self.queue.contains(uid);
        self.queue.remove(uid);
        let was_there = self.world.take(uid).is_some();
        (was_there || was_waiting).then_some(Causes::LESS)
    }

    /// Decides about one pod, and does it.
    async fn attend(&mut self, pod: &Arc<PodInfo>) {
        let volumes = match self.volumes(pod).await {
            Ok(Ok(volumes)) => volumes,
            Ok(Err(why)) => {
                let total = self.world.present().count();
                let causes = Causes::VOLUME.and(Causes::NODE);
                let nowhere = Nowhere {
                    message: choose::refused(total, &why),
                    ..Nowhere::default()
                };
                return self.give_up(pod, nowhere, causes);
            }
            Err(why) => {
                tracing::debug!(why, pod = pod.name(), "volumes cannot be read");
                return self.queue.again(&pod.uid, Instant::now());
            }
        };
        let choice = choose::choose(&self.world, pod, &volumes, &[], &mut self.start);
        match choice {
            Choice::On(node) => self.place(pod, node, &volumes),
            Choice::Nowhere(mut nowhere) => {
                if nowhere.preemption.is_some() {
                    let budgets = match budgets(&self.cluster).await {
                        Ok(budgets) => budgets,
                        // Without them nobody could say whom they protect.
                        Err(error) => {
                            let why = runtime::chain(&error);
                            tracing::debug!(why, pod = pod.name(), "budgets cannot be read");
                            return self.queue.again(&pod.uid, Instant::now());
                        }
                    };
                    let again =
                        choose::choose(&self.world, pod, &volumes, &budgets, &mut self.start);
                    if let Choice::Nowhere(with_budgets) = again {
                        nowhere = with_budgets;
                    }
                }
                let causes = causes(pod);
                self.give_up(pod, nowhere, causes);
            }
        }
    }

    async fn volumes(&mut self, pod: &PodInfo) -> Result<Result<Volumes, String>, String> {
        if crate::volume::claims(&pod.pod).is_empty() {
            return Ok(Ok(Volumes::default()));
        }
        if !std::mem::replace(&mut self.hears_of_volumes, true) {
            for resource in [
                ApiResource::erase::<PersistentVolume>(&()),
                ApiResource::erase::<PersistentVolumeClaim>(&()),
                ApiResource::erase::<StorageClass>(&()),
            ] {
                let ear = Ear(Arc::clone(&self.changes), Of::Volumes);
                self.cluster.listen(&resource, Arc::new(ear));
            }
        }
        let read = volumes::gather(&self.cluster, &self.world, &pod.pod).await;
        read.map_err(|error| runtime::chain(&error))
    }

    /// The pod is to be on the node: at once, or when its claims have their volumes.
    fn place(&mut self, pod: &Arc<PodInfo>, node: String, volumes: &Volumes) {
        let claims: Vec<_> = volumes.to_bind().cloned().collect();
        let (cluster, info) = (Arc::clone(&self.cluster), Arc::clone(pod));
        if !claims.is_empty() {
            // Nobody else is to take the place meanwhile.
            self.world.nominate(&node, Arc::clone(pod));
            self.queue.park(&pod.uid, Causes::VOLUME);
            self.under_way.push(Box::pin(async move {
                for claim in &claims {
                    if let Err(error) = requests::choose_node(&cluster, claim, &node).await {
                        return Done::Written(info, Err(error));
                    }
                }
                Done::Written(info, Ok(()))
            }));
            return;
        }
        self.world.put(&node, Arc::clone(pod));
        self.under_way.push(Box::pin(async move {
            let bound = requests::bind(&cluster, &info, &node).await;
            Done::Bound(info, node, bound)
        }));
    }

    /// The pod is nowhere for now: it and its users are told why, and who makes room for it goes.
    fn give_up(&mut self, pod: &Arc<PodInfo>, nowhere: Nowhere, causes: Causes) {
        let Nowhere {
            message,
            preemption,
            is_waiting,
        } = nowhere;
        let note = Note {
            about: None,
            warning: true,
            reason: "FailedScheduling",
            message: message.clone(),
            after: None,
        };
        let reference = Arc::new(pod.pod.object_ref(&()));
        self.recorder.record(NAME, &reference, note);
        self.queue.park(&pod.uid, causes);
        let nominated = match &preemption {
            Some(preemption) => Some(preemption.node.clone()),
            None if is_waiting || pod.nominated().is_none() => None,
            None => {
                self.world.withdraw(&pod.uid);
                Some(String::new())
            }
        };
        self.write(
            pod,
            Waiting {
                reason: "Unschedulable",
                message,
                nominated,
            },
        );
        if let Some(preemption) = preemption {
            self.make_room(pod, &preemption);
        }
    }

    fn make_room(&mut self, pod: &Arc<PodInfo>, preemption: &Preemption) {
        let Some(info) = self.world.nodes.get(&preemption.node) else {
            return;
        };
        let of = |uid: &String| info.pods.get(uid).cloned();
        let victims: Vec<_> = preemption.victims.iter().filter_map(of).collect();
        let lesser = info.nominated.values();
        let lesser: Vec<_> = lesser
            .filter(|other| other.priority < pod.priority && other.uid != pod.uid)
            .cloned()
            .collect();
        self.world.nominate(&preemption.node, Arc::clone(pod));
        // Those for whom room was made there, and who matter less, look for another place.
        for other in lesser {
            self.world.withdraw(&other.uid);
            let cluster = Arc::clone(&self.cluster);
            self.queue.again(&other.uid, Instant::now());
            self.under_way.push(Box::pin(async move {
                let written = requests::withdraw(&cluster, &other).await;
                Done::Written(other, written)
            }));
        }
        for victim in victims.into_iter().filter(|victim| !victim.is_going()) {
            let note = Note {
                about: None,
                warning: false,
                reason: "Preempted",
                message: format!("Preempted by pod {} on node {}", pod.uid, preemption.node),
                after: None,
            };
            let reference = Arc::new(victim.pod.object_ref(&()));
            self.recorder.record(NAME, &reference, note);
            let (cluster, pod) = (Arc::clone(&self.cluster), Arc::clone(pod));
            self.under_way.push(Box::pin(async move {
                let evicted = requests::evict(&cluster, &victim).await;
                Done::Written(pod, evicted)
            }));
        }
    }

    fn write(&mut self, pod: &Arc<PodInfo>, waiting: Waiting) {
        let (cluster, pod) = (Arc::clone(&self.cluster), Arc::clone(pod));
        self.under_way.push(Box::pin(async move {
            let said = requests::say(&cluster, &pod, &waiting).await;
            Done::Written(pod, said)
        }));
    }

    fn finish(&mut self, done: Done) {
        match done {
            Done::Bound(pod, node, Ok(())) => {
                self.queue.remove(&pod.uid);
                let (namespace, name) = (pod.namespace(), pod.name());
                let note = Note {
                    about: None,
                    warning: false,
                    reason: "Scheduled",
                    message: format!("Successfully assigned {namespace}/{name} to {node}"),
                    after: None,
                };
                let reference = Arc::new(pod.pod.object_ref(&()));
                self.recorder.record(NAME, &reference, note);
            }
            Done::Bound(pod, node, Err(error)) => {
                // Somebody else may have bound it, which its own change tells.
                let is_assumed = self.queue.contains(&pod.uid);
                if is_assumed {
                    self.world.take(&pod.uid);
                    self.queue.wake(Causes::LESS, Instant::now());
                    self.queue.again(&pod.uid, Instant::now());
                    let why = runtime::chain(&error);
                    let note = Note {
                        about: None,
                        warning: true,
                        reason: "FailedScheduling",
                        message: format!("binding to node {node} was refused: {why}"),
                        after: None,
                    };
                    let reference = Arc::new(pod.pod.object_ref(&()));
                    self.recorder.record(NAME, &reference, note);
                }
            }
            Done::Written(_, Ok(())) => {}
            Done::Written(pod, Err(error)) => {
                tracing::debug!(
                    pod = pod.name(),
                    error = runtime::chain(&error),
                    "the scheduler could not write"
                );
                self.queue.again(&pod.uid, Instant::now());
            }
        }
    }
}

/// The budgets that protect pods.
async fn budgets(cluster: &Cluster) -> Result<Vec<Budget>, GatherError> {
    let resource = ApiResource::erase::<PodDisruptionBudget>(&());
    let entries = cluster.entries(&resource, None, &Selector::all()).await?;
    let budgets = entries
        .iter()
        .filter_map(|entry| entry.read::<PodDisruptionBudget>().ok());
    let budgets = budgets
        .map(|budget| {
            let status = budget.status.clone().unwrap_or_default();
            let disrupted = status.disrupted_pods.unwrap_or_default();
            Budget {
                namespace: budget.metadata.namespace.clone().unwrap_or_default(),
                selector: budget
                    .spec
                    .as_ref()
                    .and_then(|s| s.selector.clone())
                    .unwrap_or_default(),
                allowed: status.disruptions_allowed.unwrap_or(0),
                disrupted: disrupted.into_keys().collect(),
            }
        })
        .collect();
    Ok(budgets)
}

/// What it may help with that a pod on a node is as it is now, and was as `old` before; what was only assumed of it counts
/// when it is so.
fn helps(old: Option<&PodInfo>, new: &PodInfo) -> Option<Causes> {
    let is_bound = |pod: &PodInfo| {
        let spec = pod.pod.spec.as_ref();
        spec.and_then(|s| s.node_name.as_deref())
            .is_some_and(|node| !node.is_empty())
    };
    let Some(old) = old.filter(|old| is_bound(old)) else {
        return Some(Causes::MORE);
    };
    if old.labels() != new.labels() {
        return Some(Causes::MORE.and(Causes::LESS));
    }
    let is_less = old.requests != new.requests || old.is_going() != new.is_going();
    is_less.then_some(Causes::LESS)
}

/// What may help a pod that fits nowhere.
fn causes(pod: &PodInfo) -> Causes {
    let mut causes = Causes::NODE.and(Causes::LESS);
    let spec = pod.pod.spec.as_ref();
    let spreads = spec.and_then(|s| s.topology_spread_constraints.as_ref());
    if spreads.is_some_and(|s| !s.is_empty()) || !pod.required_affinity().is_empty() {
        causes = causes.and(Causes::MORE);
    }
    if !crate::volume::claims(&pod.pod).is_empty() {
        causes = causes.and(Causes::VOLUME);
    }
    causes
}

/// For ever, if there is nothing to wait for.
async fn sleep_until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}
