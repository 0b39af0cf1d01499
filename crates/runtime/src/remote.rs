//! Workload clusters, reached through the kubeconfig Secrets in the management cluster.
//!
//! One connection and one set of caches per cluster, shared by all controllers. Reading them wakes the object on the
//! management side. Nobody ever waits for an unreachable cluster: connecting and probing happen in the background, and
//! who asks is told how things stand.

use std::collections::HashMap;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::Client;
use kube::client::{Body, ClientBuilder};
use kube::config::{KubeConfigOptions, Kubeconfig};
use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::time::timeout;
use tower::BoxError;

use crate::cluster::ClusterOptions;
use crate::{Clock, Cluster, Cx, GatherError, Signal, Tasks, backoff};

/// Makes a client of a cluster's kubeconfig.
#[async_trait]
pub trait Connector: Send + Sync + 'static {
    /// Connects. Need not check that the server answers: that is probed.
    ///
    /// # Errors
    /// If no client can be made of the configuration.
    async fn connect(&self, config: kube::Config) -> Result<Client, ConnectError>;

    /// How the cluster is talked to, if that is not how others are.
    fn options(&self, _config: &kube::Config, others: ClusterOptions) -> ClusterOptions {
        others
    }
}

/// Why no client could be made.
#[derive(Debug, thiserror::Error)]
#[error("connecting to {server}")]
pub struct ConnectError {
    pub server: String,
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

/// Connects through sockets.
#[derive(Clone, Copy, Debug, Default)]
pub struct SocketConnector;

#[async_trait]
impl Connector for SocketConnector {
    async fn connect(&self, mut config: kube::Config) -> Result<Client, ConnectError> {
        config.connect_timeout = Some(Duration::from_secs(5));
        let server = config.cluster_url.to_string();
        let builder = ClientBuilder::try_from(config);
        builder
            .map(|builder| builder.build())
            .map_err(|error| ConnectError {
                server,
                source: Box::new(error),
            })
    }
}

/// How workload clusters are kept in touch with.
#[derive(Clone, Debug)]
pub struct RemoteOptions {
    pub cluster: ClusterOptions,
    /// How often a healthy cluster is probed.
    pub probe_interval: Duration,
    /// The longest a probe, or a connection, may take.
    pub probe_timeout: Duration,
    /// Failed probes in a row until a cluster counts as unreachable.
    pub probe_failures_max: u32,
    /// A cluster that nobody looked at for this long is let go.
    pub idle_max: Duration,
}

impl Default for RemoteOptions {
    fn default() -> Self {
        Self {
            cluster: ClusterOptions {
                request_timeout: Duration::from_secs(10),
                // A slot of a controller is too dear to wait in for a far-away list.
                first_read_timeout: Duration::from_millis(500),
                ..ClusterOptions::default()
            },
            probe_interval: Duration::from_secs(10),
            probe_timeout: Duration::from_secs(5),
            probe_failures_max: 3,
            idle_max: Duration::from_secs(120),
        }
    }
}

/// The workload clusters that somebody looks at.
pub struct Clusters {
    connector: Arc<dyn Connector>,
    clock: Clock,
    options: RemoteOptions,
    links: Mutex<HashMap<Key, Link>>,
}

/// Namespace and name of a kubeconfig Secret, and the key in it.
type Key = (String, String, String);

/// The connection to one cluster.
struct Link {
    /// Of the kubeconfig it was made from.
    fingerprint: u64,
    shared: Arc<Shared>,
    /// Ends the connection with the link.
    _task: Tasks,
}

struct Shared {
    state: Mutex<State>,
    /// Notified when the state changes.
    signal: Signal,
}

#[derive(Clone)]
enum State {
    Connecting,
    Connected {
        cluster: Arc<Cluster>,
        probed: Timestamp,
    },
    Unreachable {
        since: Timestamp,
        message: String,
    },
    /// Nobody looked any more, so nobody keeps it.
    Ended,
}

/// How things stand with a workload cluster.
#[derive(Clone, Debug)]
pub enum Remote {
    /// Healthy when last probed: read it as the management cluster is read.
    Connected {
        cx: Cx,
        /// When it last answered a probe.
        probed: Timestamp,
    },
    /// There is no kubeconfig Secret.
    NoKubeconfig,
    /// The kubeconfig is unusable.
    BadKubeconfig(String),
    /// The first attempt is under way; the object is woken when it ends.
    Connecting,
    /// It does not answer; the object is woken when it does.
    Unreachable { since: Timestamp, message: String },
}

impl Remote {
    /// The context to read it through, if it is connected.
    #[must_use]
    pub fn cx(&self) -> Option<&Cx> {
        match self {
            Self::Connected { cx, .. } => Some(cx),
            Self::NoKubeconfig
            | Self::BadKubeconfig(_)
            | Self::Connecting
            | Self::Unreachable { .. } => None,
        }
    }
}

impl fmt::Display for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connected { .. } => f.write_str("connected"),
            Self::NoKubeconfig => f.write_str("there is no kubeconfig Secret yet"),
            Self::BadKubeconfig(why) => write!(f, "the kubeconfig Secret is unusable: {why}"),
            Self::Connecting => f.write_str("connecting"),
            Self::Unreachable { since, message } => {
                write!(
                    f,
                    "unreachable since {}: {message}",
                    crate::clock::rfc3339(*since)
                )
            }
        }
    }
}

/// [`Clusters`] as one pass sees them.
#[derive(Clone, Copy)]
pub struct RemoteClusters<'a> {
    cx: &'a Cx,
    clusters: &'a Clusters,
}

impl<'a> RemoteClusters<'a> {
    pub(crate) fn new(cx: &'a Cx, clusters: &'a Clusters) -> Self {
        Self { cx, clusters }
    }

    /// The workload cluster of that name, through the Secret `<name>-kubeconfig` (key `value`) in `namespace`. Never
    /// waits for it; the object is woken when the Secret, the connection, or what was read there changes.
    ///
    /// # Errors
    /// If the Secret can't be read.
    pub async fn get(&self, namespace: &str, name: &str) -> Result<Remote, GatherError> {
        self.through(namespace, &format!("{name}-kubeconfig"), &["value"])
            .await
    }

    /// As [`RemoteClusters::get`], through a Secret of any name; the first of `keys` that it has counts.
    ///
    /// # Errors
    /// If the Secret can't be read.
    pub async fn through(
        &self,
        namespace: &str,
        secret_name: &str,
        keys: &[&str],
    ) -> Result<Remote, GatherError> {
        let secret: Option<Arc<Secret>> = self.cx.get(namespace, secret_name).await?;
        let found = secret.as_ref().and_then(|secret| {
            let data = secret.data.as_ref()?;
            keys.iter().find_map(|key| Some((*key, data.get(*key)?)))
        });
        let Some((key, data)) = found else {
            let mut links = self.clusters.links();
            links.retain(|key, _| (&*key.0, &*key.1) != (namespace, secret_name));
            return Ok(Remote::NoKubeconfig);
        };
        let key = (namespace.to_owned(), secret_name.to_owned(), key.to_owned());
        let mut hasher = DefaultHasher::new();
        data.0.hash(&mut hasher);
        let fingerprint = hasher.finish();
        if let Some(shared) = self.clusters.link(&key, fingerprint) {
            // First the signal, then the state: a change in between wakes, and a keeper that sees us stays.
            self.cx.watch(&shared.signal);
            if let Some(remote) = self.seen(&shared) {
                return Ok(remote);
            }
        }
        Ok(match parse(&data.0).await {
            Ok(config) => {
                self.clusters.connect(key, fingerprint, config, self.cx);
                Remote::Connecting
            }
            Err(why) => Remote::BadKubeconfig(why),
        })
    }

    /// How things stand; `None` if the connection has ended.
    fn seen(&self, shared: &Shared) -> Option<Remote> {
        let state = shared.state().clone();
        Some(match state {
            State::Ended => return None,
            State::Connecting => Remote::Connecting,
            State::Connected { cluster, probed } => Remote::Connected {
                cx: self.cx.at(cluster),
                probed,
            },
            State::Unreachable { since, message } => Remote::Unreachable { since, message },
        })
    }
}

impl Clusters {
    /// Workload clusters reached through `connector`.
    #[must_use]
    pub fn new(connector: Arc<dyn Connector>, clock: Clock, options: RemoteOptions) -> Arc<Self> {
        Arc::new(Self {
            connector,
            clock,
            options,
            links: Mutex::default(),
        })
    }

    fn links(&self) -> std::sync::MutexGuard<'_, HashMap<Key, Link>> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn link(&self, key: &Key, fingerprint: u64) -> Option<Arc<Shared>> {
        let mut links = self.links();
        let link = links.get(key)?;
        if link.fingerprint != fingerprint {
            links.remove(key);
            return None;
        }
        Some(Arc::clone(&link.shared))
    }

    /// Connects in the background, and wakes the object of `cx` when something comes of it.
    fn connect(&self, key: Key, fingerprint: u64, config: kube::Config, cx: &Cx) {
        let mut links = self.links();
        links.retain(|_, link| !matches!(*link.shared.state(), State::Ended));
        // Another pass may have been quicker.
        if let Some(link) = links
            .get(&key)
            .filter(|link| link.fingerprint == fingerprint)
        {
            cx.watch(&link.shared.signal);
            if !matches!(*link.shared.state(), State::Ended) {
                // What it has found meanwhile is seen in the pass that this causes.
                link.shared.signal.notify();
                return;
            }
        }
        let shared = Arc::new(Shared {
            state: Mutex::new(State::Connecting),
            signal: Signal::new(),
        });
        // Before the keeper begins: it goes when nobody looks.
        cx.watch(&shared.signal);
        // By name, not by what is in the kubeconfig: keys differ from run to run.
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        let keeper = Keeper {
            name: format!("{}/{}", key.0, key.1),
            shared: Arc::clone(&shared),
            connector: Arc::clone(&self.connector),
            config,
            clock: self.clock.clone(),
            options: self.options.clone(),
            rng: StdRng::seed_from_u64(self.options.cluster.seed ^ hasher.finish()),
        };
        let task = Tasks::new();
        task.spawn("remote cluster", keeper.run());
        let link = Link {
            fingerprint,
            shared,
            _task: task,
        };
        links.insert(key, link);
    }

    /// Clusters that are connected, and all that somebody looks at.
    #[must_use]
    pub fn counts(&self) -> (usize, usize) {
        let links = self.links();
        let connected = links
            .values()
            .filter(|l| matches!(*l.shared.state(), State::Connected { .. }))
            .count();
        (connected, links.len())
    }
}

impl fmt::Debug for Clusters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (connected, all) = self.counts();
        write!(f, "Clusters({connected} of {all} connected)")
    }
}

impl Shared {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, state: State) {
        *self.state() = state;
        self.signal.notify();
    }

    /// Ends the connection if nobody looks at it. Decided under the lock of the state: who looks registers first and
    /// then reads the state, so either side sees the other.
    fn let_go(&self) -> bool {
        let mut state = self.state();
        let is_idle = self.signal.readers() == 0;
        if is_idle {
            *state = State::Ended;
        }
        is_idle
    }
}

/// Connects to one cluster and keeps an eye on it.
struct Keeper {
    name: String,
    shared: Arc<Shared>,
    connector: Arc<dyn Connector>,
    config: kube::Config,
    clock: Clock,
    options: RemoteOptions,
    rng: StdRng,
}

impl Keeper {
    async fn run(mut self) {
        let mut failures = 0;
        loop {
            match self.attempt().await {
                Ok(cluster) => {
                    failures = 0;
                    tracing::info!(cluster = self.name, "connected");
                    match self.probe_until_failure(cluster).await {
                        Some(message) => self.unreachable(message),
                        None => break,
                    }
                }
                Err(message) => self.unreachable(message),
            }
            if self.shared.let_go() {
                break;
            }
            failures += 1;
            let (min, max) = (Duration::from_secs(1), Duration::from_secs(60));
            tokio::time::sleep(backoff(failures, min, max, 0.2, &mut self.rng)).await;
        }
        tracing::debug!(
            cluster = self.name,
            "letting go of a cluster that nobody looks at"
        );
    }

    fn unreachable(&self, message: String) {
        let since = match &*self.shared.state() {
            State::Unreachable {
                since,
                message: same,
            } if *same == message => return,
            State::Unreachable { since, .. } => *since,
            State::Connecting | State::Connected { .. } | State::Ended => self.clock.now(),
        };
        tracing::info!(cluster = self.name, message, "unreachable");
        self.shared.set(State::Unreachable { since, message });
    }

    async fn attempt(&self) -> Result<Arc<Cluster>, String> {
        let limit = self.options.probe_timeout;
        let connecting = timeout(limit, self.connector.connect(self.config.clone()));
        let client = connecting
            .await
            .map_err(|_| "connecting takes too long".to_owned())?;
        let client = client.map_err(|error| crate::chain(&error))?;
        let client = impatient(client, self.options.cluster.request_timeout);
        probe(&client, limit).await?;
        let others = self.options.cluster.clone();
        let options = self.connector.options(&self.config, others);
        Ok(Cluster::new(client, self.clock.clone(), options))
    }

    /// What the probe said that made it unreachable, or `None` when nobody looked any more and it has let go.
    async fn probe_until_failure(&self, cluster: Arc<Cluster>) -> Option<String> {
        let client = cluster.client().clone();
        self.shared.set(State::Connected {
            cluster: Arc::clone(&cluster),
            probed: self.clock.now(),
        });
        let (mut failures, mut idle) = (0, Duration::ZERO);
        loop {
            tokio::time::sleep(self.options.probe_interval).await;
            match probe(&client, self.options.probe_timeout).await {
                Ok(()) => {
                    failures = 0;
                    // Quietly: that all is well is no news.
                    *self.shared.state() = State::Connected {
                        cluster: Arc::clone(&cluster),
                        probed: self.clock.now(),
                    };
                }
                Err(message) => {
                    failures += 1;
                    if failures >= self.options.probe_failures_max {
                        return Some(message);
                    }
                }
            }
            if self.shared.signal.readers() > 0 {
                idle = Duration::ZERO;
            } else {
                idle += self.options.probe_interval;
                if idle >= self.options.idle_max && self.shared.let_go() {
                    return None;
                }
            }
        }
    }
}

/// A client that gives up when no answer begins in time, whoever uses it for whatever.
fn impatient(client: Client, limit: Duration) -> Client {
    let namespace = client.default_namespace().to_owned();
    let service = tower::service_fn(move |request: http::Request<Body>| {
        let client = client.clone();
        async move {
            timeout(limit, client.send(request))
                .await
                .map_err(BoxError::from)?
                .map_err(BoxError::from)
        }
    });
    Client::new(service, namespace)
}

async fn probe(client: &Client, limit: Duration) -> Result<(), String> {
    match timeout(limit, client.apiserver_version()).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(crate::chain(&error)),
        Err(_) => Err("the server does not answer in time".to_owned()),
    }
}

/// A kubeconfig from a Secret. It comes from the cluster's users, so it must bring all that it needs: nothing in it may
/// run a command or read a file here.
async fn parse(data: &[u8]) -> Result<kube::Config, String> {
    let text = std::str::from_utf8(data).map_err(|_| "it is not UTF-8".to_owned())?;
    // What the parser says about a bad file could quote secrets out of it.
    let kubeconfig =
        Kubeconfig::from_yaml(text).map_err(|_| "it is not a kubeconfig".to_owned())?;
    for auth in kubeconfig
        .auth_infos
        .iter()
        .filter_map(|named| named.auth_info.as_ref())
    {
        let foreign = [
            ("exec", auth.exec.is_some()),
            ("auth-provider", auth.auth_provider.is_some()),
            ("tokenFile", auth.token_file.is_some()),
            ("client-certificate", auth.client_certificate.is_some()),
            ("client-key", auth.client_key.is_some()),
        ];
        if let Some((field, _)) = foreign.iter().find(|(_, is_set)| *is_set) {
            return Err(format!(
                "user field {field:?} is not allowed, only inline data"
            ));
        }
    }
    let clusters = kubeconfig
        .clusters
        .iter()
        .filter_map(|named| named.cluster.as_ref());
    if clusters
        .into_iter()
        .any(|cluster| cluster.certificate_authority.is_some())
    {
        return Err("cluster field \"certificate-authority\" is not allowed, only certificate-authority-data".to_owned());
    }
    let config =
        kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await;
    config.map_err(|_| "its current context is incomplete".to_owned())
}

#[cfg(test)]
mod tests;
