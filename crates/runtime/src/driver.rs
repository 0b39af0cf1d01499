//! The one driver that runs every controller of a cluster.

use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::core::ApiResource;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::cache::Header;
use crate::cluster::ClusterOptions;
use crate::events::{Counts, Recorder};
use crate::metrics::{Counters, Metrics};
use crate::pass::{Drive, Driven, attend};
use crate::queue::{Dependent, Next, Queue, Root};
use crate::remote::{Clusters, RemoteOptions, SocketConnector};
use crate::tasks::panic_text;
use crate::{Clock, Cluster, Cx, Reconciler, Tasks, backoff};

/// How controllers run.
#[derive(Clone, Debug)]
pub struct Options {
    pub cluster: ClusterOptions,
    /// The most objects that one controller works on at once.
    pub concurrency: usize,
    /// The most objects that are known, over all controllers. Beyond it new ones wait until others go.
    pub queue_max: usize,
    /// Every object is looked at this often even if nothing changes, give or take a tenth.
    pub resync: Duration,
    pub backoff_min: Duration,
    pub backoff_max: Duration,
    /// Back-off is lengthened by up to this part.
    pub jitter: f64,
    /// The longest a pass may take.
    pub pass_timeout: Duration,
    /// Seeds the jitter.
    pub seed: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            cluster: ClusterOptions::default(),
            concurrency: 4,
            queue_max: 100_000,
            resync: Duration::from_secs(600),
            backoff_min: Duration::from_secs(1),
            backoff_max: Duration::from_secs(300),
            jitter: 0.1,
            pass_timeout: Duration::from_secs(300),
            seed: 0,
        }
    }
}

/// The controllers of one cluster.
///
/// Per object passes are serial; per controller a few objects are worked on at once. An idle controller costs nothing
/// but memory.
pub struct Controllers {
    cluster: Arc<Cluster>,
    clusters: Arc<Clusters>,
    options: Options,
    controllers: Vec<Arc<dyn Drive>>,
    tasks: Tasks,
    gauge: Gauge,
}

/// Reads the numbers of running controllers.
#[derive(Clone)]
pub struct Gauge(Arc<Readings>);

struct Readings {
    cluster: Arc<Cluster>,
    running: OnceLock<Running>,
}

struct Running {
    controllers: Vec<(&'static str, Arc<Counters>)>,
    queue: Arc<Queue>,
    events: Arc<Counts>,
}

/// What passes share.
pub(crate) struct Env {
    pub(crate) cluster: Arc<Cluster>,
    pub(crate) clusters: Arc<Clusters>,
    pub(crate) options: Options,
    pub(crate) recorder: Recorder,
    rng: Mutex<StdRng>,
}

/// Passes closer together than this are a hurry.
const HURRY: Duration = Duration::from_millis(100);
/// Hurried passes in a row until an object has to rest for [`HURRY_REST`]: a controller that changes something in each
/// pass must not eat up the machine.
const HURRIES_MAX: u32 = 30;
const HURRY_REST: Duration = Duration::from_secs(1);

impl Controllers {
    /// Controllers that work through `client`. Workload clusters are reached through sockets; see
    /// [`Controllers::with_clusters`].
    #[must_use]
    pub fn new(client: Client, clock: Clock, options: Options) -> Self {
        let clusters = Clusters::new(
            Arc::new(SocketConnector),
            clock.clone(),
            RemoteOptions::default(),
        );
        let cluster = Cluster::new(client, clock, options.cluster.clone());
        let readings = Readings {
            cluster: Arc::clone(&cluster),
            running: OnceLock::new(),
        };
        Self {
            cluster,
            clusters,
            options,
            controllers: vec![],
            tasks: Tasks::new(),
            gauge: Gauge(Arc::new(readings)),
        }
    }

    /// Reaches workload clusters through these connections.
    #[must_use]
    pub fn with_clusters(mut self, clusters: Arc<Clusters>) -> Self {
        self.clusters = clusters;
        self
    }

    /// Adds a controller.
    #[must_use]
    #[expect(
        clippy::should_implement_trait,
        reason = "it adds a controller, not a number"
    )]
    pub fn add<R: Reconciler>(mut self, reconciler: R) -> Self {
        self.controllers.push(Arc::new(Driven(reconciler)));
        self
    }

    /// Adds what is no controller of one kind: a task with the cluster's caches. It ends with the controllers; if it
    /// panics, it is started anew after a pause.
    #[must_use]
    pub fn add_task<F>(
        self,
        name: &'static str,
        task: impl Fn(Arc<Cluster>) -> F + Send + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let cluster = Arc::clone(&self.cluster);
        let (min, max) = (self.options.backoff_min, self.options.backoff_max);
        let mut rng = StdRng::seed_from_u64(self.options.seed);
        self.tasks.spawn(name, async move {
            let mut panics = 0;
            while let Err(panic) = AssertUnwindSafe(task(Arc::clone(&cluster)))
                .catch_unwind()
                .await
            {
                panics += 1;
                tracing::error!(
                    task = name,
                    panic = panic_text(&*panic),
                    "starting a task anew"
                );
                tokio::time::sleep(backoff(panics, min, max, 0.1, &mut rng)).await;
            }
        });
        self
    }

    /// The cluster that they work on.
    #[must_use]
    pub fn cluster(&self) -> &Arc<Cluster> {
        &self.cluster
    }

    /// Reads the controllers' numbers, also while they run.
    #[must_use]
    pub fn gauge(&self) -> Gauge {
        self.gauge.clone()
    }

    /// Runs all controllers until `shutdown` resolves. Passes under way are then cancelled: every step of a pass is
    /// safe to repeat.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let Self {
            cluster,
            clusters,
            options,
            controllers,
            tasks,
            gauge,
        } = self;
        let recorder = Recorder::start(Arc::clone(&cluster), &tasks);
        let queue = Queue::new(controllers.len(), options.queue_max, options.concurrency);
        // Also when this future is dropped. Not when the queue is: that may happen to whoever wakes it, under the lock
        // of what it has read.
        let _closing = Closing(Arc::clone(&queue));
        let counters: Vec<Arc<Counters>> = controllers.iter().map(|_| Arc::default()).collect();
        let names = controllers.iter().map(|controller| controller.name());
        let running = Running {
            controllers: names.zip(counters.iter().cloned()).collect(),
            queue: Arc::clone(&queue),
            events: Arc::clone(&recorder.counts),
        };
        // A second run is impossible: `run` takes the only one.
        _ = gauge.0.running.set(running);
        for (index, controller) in controllers.iter().enumerate() {
            let root = Root {
                queue: Arc::downgrade(&queue),
                controller: index,
            };
            cluster.listen(&controller.resource(), Arc::new(root));
        }
        let env = Arc::new(Env {
            rng: Mutex::new(StdRng::seed_from_u64(options.seed)),
            cluster,
            clusters,
            options,
            recorder,
        });
        let mut passes = JoinSet::new();
        tokio::pin!(shutdown);
        loop {
            for dependent in queue.take(Instant::now()) {
                let (env, queue) = (Arc::clone(&env), Arc::clone(&queue));
                let controller = Arc::clone(&controllers[dependent.controller]);
                let counters = Arc::clone(&counters[dependent.controller]);
                passes.spawn(async move {
                    serve(&env, &queue, &*controller, &counters, &dependent).await;
                });
            }
            if queue.take_overflow() {
                rescan(&env.cluster, &queue, &controllers);
            }
            let due = queue.next_due();
            tokio::select! {
                // In this order, so that a run can be repeated.
                biased;
                () = &mut shutdown => break,
                () = queue.changed.notified() => {}
                Some(_) = passes.join_next(), if !passes.is_empty() => {}
                () = sleep_until(due) => {}
            }
        }
        passes.shutdown().await;
        tasks.shutdown().await;
    }
}

/// Closes a queue at the end of a scope.
struct Closing(Arc<Queue>);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.close();
    }
}

async fn sleep_until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}

/// There is room in the queue again: looks for the objects that were turned away.
fn rescan(cluster: &Cluster, queue: &Arc<Queue>, controllers: &[Arc<dyn Drive>]) {
    for (index, controller) in controllers.iter().enumerate() {
        let root = Root {
            queue: Arc::downgrade(queue),
            controller: index,
        };
        cluster.kind(&controller.resource()).tell_all(&root);
    }
}

async fn serve(
    env: &Env,
    queue: &Queue,
    controller: &dyn Drive,
    counters: &Counters,
    dependent: &Dependent,
) {
    let started = Instant::now();
    let (next, own) = attend(env, controller, counters, dependent).await;
    counters.pass(started.elapsed());
    queue.finish(dependent, next, &own, Instant::now());
}

impl Env {
    /// When to look again at an object with which all is well: at the resync, or before if the plan said so, and never
    /// in a mad rush.
    pub(crate) fn settle(&self, dependent: &Dependent, again_in: Option<Duration>) -> Next {
        if dependent.hurry(HURRY) > HURRIES_MAX {
            return Next::NotBefore(HURRY_REST);
        }
        let factor = self.rng().random_range(0.9..1.1);
        let resync = self.options.resync.mul_f64(factor);
        Next::After(again_in.map_or(resync, |again| again.min(resync)))
    }

    /// When to try again after a failure.
    pub(crate) fn back_off(&self, dependent: &Dependent) -> Next {
        let failures = dependent.failures.fetch_add(1, Ordering::Relaxed) + 1;
        let Options {
            backoff_min,
            backoff_max,
            jitter,
            ..
        } = self.options;
        let pause = backoff(failures, backoff_min, backoff_max, jitter, &mut *self.rng());
        if dependent.hurry(HURRY) > HURRIES_MAX {
            return Next::NotBefore(pause);
        }
        Next::After(pause)
    }

    fn rng(&self) -> std::sync::MutexGuard<'_, StdRng> {
        self.rng.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn detached(&self) -> Cx {
        Cx::detached(Arc::clone(&self.cluster), Arc::clone(&self.clusters))
    }

    /// An object as events refer to it.
    pub(crate) fn reference(
        &self,
        resource: &ApiResource,
        header: &Header,
    ) -> Arc<ObjectReference> {
        let some = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        Arc::new(ObjectReference {
            api_version: some(&resource.api_version),
            kind: some(&resource.kind),
            namespace: some(&header.namespace),
            name: some(&header.name),
            uid: some(&header.uid),
            resource_version: some(&header.resource_version),
            field_path: None,
        })
    }
}

impl Gauge {
    /// The numbers now; nothing before the controllers run.
    #[must_use]
    pub fn read(&self) -> Metrics {
        let caches = self.0.cluster.metrics();
        let Some(running) = self.0.running.get() else {
            return Metrics {
                caches,
                ..Metrics::default()
            };
        };
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let controllers = running.controllers.iter().enumerate();
        Metrics {
            controllers: controllers
                .map(|(index, (name, counters))| {
                    counters.snapshot(name, running.queue.lengths(index))
                })
                .collect(),
            caches,
            events_written: get(&running.events.written),
            events_dropped: get(&running.events.dropped),
            queue_overflows: get(&running.queue.overflows),
        }
    }
}

#[cfg(test)]
mod tests;
