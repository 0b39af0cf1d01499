//! The control planes of this process: each a logical cluster with Kubernetes' controllers, and the simulated kubelets
//! that run against them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use apiserver::auth::User;
use apiserver::{Cluster, ClusterSpec, Server, ServerError};
use kube::Client;
use runtime::{CacheLimits, Clock, ClusterOptions, Controllers, Gauge, Options, Shared, Tasks};

use crate::connect::{InProcessConnector, client, in_process};
use crate::kubelet::{self, KubeletSpec, Pace, Source};
use crate::metrics::Metrics;

/// Controllers look at everything again this often, beside when something changes or they said so: it only helps against a
/// mistake of theirs, and a fleet of idle clusters has hundreds of thousands of objects.
const RESYNC: Duration = Duration::from_secs(3 * 3600);

/// All control planes of a process. Clones are the same.
#[derive(Clone)]
pub struct ControlPlanes(Arc<Inner>);

struct Inner {
    server: Server,
    clock: Clock,
    /// All control planes begin with the same objects.
    shared: Shared,
    running: Mutex<HashMap<String, Arc<ControlPlane>>>,
    kubelets: Mutex<HashMap<(String, String), Kubelet>>,
    pace: Pace,
    /// Where the kubelets of a cluster find its profile, by the cluster's id.
    profiles: Mutex<HashMap<String, Arc<Source>>>,
}

struct Kubelet {
    spec: KubeletSpec,
    _tasks: Tasks,
}

/// One running control plane.
pub struct ControlPlane {
    pub cluster: Arc<Cluster>,
    /// Acts as the control plane itself.
    pub client: Client,
    tasks: Tasks,
    gauges: Arc<Gauges>,
    has_metrics: AtomicBool,
}

/// The managers that run on a cluster, and where their numbers are read.
#[derive(Default)]
struct Gauges(Mutex<Vec<(&'static str, Gauge)>>);

impl ControlPlane {
    /// The cluster's `/metrics` shows the numbers of these controllers as well.
    pub fn show_metrics(&self, manager: &'static str, gauge: Gauge) {
        self.gauges.add(manager, gauge);
    }
}

impl Gauges {
    fn add(&self, manager: &'static str, gauge: Gauge) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.push((manager, gauge));
    }

    fn render(&self) -> String {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let numbers: Vec<_> = all
            .iter()
            .map(|(manager, gauge)| (*manager, gauge.read()))
            .collect();
        runtime::render_metrics(&numbers)
    }
}

impl ControlPlanes {
    /// Control planes on the clusters of `server`; nothing runs yet.
    #[must_use]
    pub fn new(server: Server, clock: Clock) -> Self {
        Self(Arc::new(Inner {
            server,
            clock,
            shared: Shared::default(),
            running: Mutex::default(),
            kubelets: Mutex::default(),
            pace: Pace::default(),
            profiles: Mutex::default(),
        }))
    }

    /// The API server underneath.
    #[must_use]
    pub fn server(&self) -> &Server {
        &self.0.server
    }

    /// The clock of everything here.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.0.clock
    }

    /// How to reach the clusters here, and all others.
    #[must_use]
    pub fn connector(&self) -> InProcessConnector {
        InProcessConnector::new(self.0.server.clone())
    }

    /// Starts the control plane of a workload cluster that the server has already, or creates it. A running one stays as it
    /// is.
    ///
    /// # Errors
    /// When the cluster cannot be created.
    pub async fn start(&self, spec: ClusterSpec) -> Result<Arc<ControlPlane>, ServerError> {
        self.start_within(spec, CacheLimits::of_one_of_many()).await
    }

    /// As [`ControlPlanes::start`], with other limits of what its controllers keep of kinds that are not Kubernetes' own: the
    /// management cluster has the objects of the whole fleet, and only its administrators let others answer for a group.
    ///
    /// # Errors
    /// When the cluster cannot be created.
    pub async fn start_within(
        &self,
        spec: ClusterSpec,
        limits: CacheLimits,
    ) -> Result<Arc<ControlPlane>, ServerError> {
        if let Some(running) = self.running(&spec.id) {
            return Ok(running);
        }
        let cluster = match self.0.server.cluster(&spec.id) {
            Some(cluster) => cluster,
            None => self.0.server.create_cluster(spec).await?,
        };
        let plane = Arc::new(self.run(cluster, limits)?);
        let mut running = self
            .0
            .running
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        Ok(running
            .entry(plane.cluster.spec().id.clone())
            .or_insert(plane)
            .clone())
    }

    /// The control plane of this cluster, if it runs.
    #[must_use]
    pub fn running(&self, id: &str) -> Option<Arc<ControlPlane>> {
        self.0
            .running
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(id)
            .cloned()
    }

    /// Stops a control plane and removes its cluster with everything in it. None is fine.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn remove(&self, id: &str) -> Result<(), ServerError> {
        let plane = self
            .0
            .running
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(id);
        if let Some(plane) = plane {
            plane.tasks.shutdown().await;
        }
        self.0
            .kubelets
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|(cluster, _), _| cluster != id);
        self.0
            .profiles
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(id);
        if self.0.server.cluster(id).is_some() {
            self.0.server.drop_cluster(id).await?;
        }
        Ok(())
    }

    /// Where the settings for many simulated pods of cluster `id` are found.
    #[must_use]
    pub fn profile(&self, id: &str) -> Arc<Source> {
        let mut all = self
            .0
            .profiles
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        all.entry(id.to_owned()).or_default().clone()
    }

    /// Runs a simulated kubelet of cluster `id`, acting through `client`. One that runs with the same spec goes on.
    pub fn start_kubelet(&self, id: &str, spec: KubeletSpec, client: Client) {
        let mut kubelets = self
            .0
            .kubelets
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let key = (id.to_owned(), spec.node_name.clone());
        if kubelets
            .get(&key)
            .is_some_and(|running| running.spec == spec)
        {
            return;
        }
        if !kubelets.keys().any(|(cluster, _)| cluster == id) {
            self.serve_metrics(id);
        }
        let tasks = Tasks::new();
        let profile = self.profile(id).want();
        let clock = self.0.clock.clone();
        let member = self.0.pace.join(spec.lease_seconds);
        let running = kubelet::run(spec.clone(), client, clock, member, profile);
        tasks.spawn("kubelet", running);
        kubelets.insert(
            key,
            Kubelet {
                spec,
                _tasks: tasks,
            },
        );
    }

    /// What the pods of a cluster use is known while it has simulated nodes.
    fn serve_metrics(&self, id: &str) {
        let Some(plane) = self.running(id) else {
            return;
        };
        if plane.has_metrics.swap(true, Ordering::AcqRel) {
            return;
        }
        let metrics = Metrics::of(&plane.cluster, self.profile(id), self.0.clock.clone());
        plane.cluster.serve_api(Arc::new(metrics));
    }

    /// Whether a simulated kubelet runs for this node.
    #[must_use]
    pub fn has_kubelet(&self, id: &str, node_name: &str) -> bool {
        let kubelets = self
            .0
            .kubelets
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        kubelets.contains_key(&(id.to_owned(), node_name.to_owned()))
    }

    /// Stops a simulated kubelet, as pulling the plug does. None is fine.
    pub fn stop_kubelet(&self, id: &str, node_name: &str) {
        let mut kubelets = self
            .0
            .kubelets
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        kubelets.remove(&(id.to_owned(), node_name.to_owned()));
    }

    /// Stops all control planes and kubelets; the clusters stay.
    pub async fn shut_down(&self) {
        self.0
            .kubelets
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
        let running: Vec<_> = self
            .0
            .running
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .drain()
            .collect();
        for (_, plane) in running {
            plane.tasks.shutdown().await;
        }
        self.0.server.shut_down().await;
    }

    fn run(&self, cluster: Arc<Cluster>, limits: CacheLimits) -> Result<ControlPlane, ServerError> {
        let user = User {
            name: "system:kube-controller-manager".into(),
            groups: vec!["system:masters".into(), "system:authenticated".into()],
            ..User::default()
        };
        let client = client(cluster.service(user), "default");
        let tasks = Tasks::new();
        let options = Options {
            cluster: ClusterOptions {
                shared: Some(self.0.shared.clone()),
                limits,
                ..in_process(&cluster, ClusterOptions::default())
            },
            resync: RESYNC,
            ..Options::default()
        };
        let controllers = Controllers::new(client.clone(), self.0.clock.clone(), options);
        let keys = &cluster.spec().keys;
        let id = cluster.spec().id.clone();
        let signer = keys
            .authority()
            .map_err(|source| ServerError::Keys { id, source })?;
        let (signer, issuer) = (Arc::new(signer), cluster.clone());
        let controllers = crate::add_housekeeping(controllers, signer, issuer, &keys.ca_cert_pem);
        let controllers = crate::add_workloads(controllers);
        let gauges = Arc::new(Gauges::default());
        gauges.add("kubernetes", controllers.gauge());
        // The gauges hold a client of the cluster.
        let shown = Arc::downgrade(&gauges);
        cluster.add_metrics(move || shown.upgrade().map_or_else(String::new, |g| g.render()));
        let profile = self.profile(&cluster.spec().id);
        let pods = kubelet::SimulatedPods::of(&cluster, profile.clone());
        cluster.run_pods(Arc::new(pods));
        let (reader, clock) = (client.clone(), self.0.clock.clone());
        tasks.spawn("profile of simulated pods", async move {
            profile.follow(reader, clock).await;
        });
        tasks.spawn("controllers", controllers.run(std::future::pending()));
        Ok(ControlPlane {
            cluster,
            client,
            tasks,
            gauges,
            has_metrics: AtomicBool::new(false),
        })
    }
}
