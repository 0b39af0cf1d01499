//! The server: one store, many logical clusters, each with its own certificate authority, users, kinds and revisions.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, RwLock, RwLockReadGuard};
use std::task::{Context, Poll};

use arc_swap::{ArcSwap, ArcSwapOption};
use bytes::Bytes;
use http::{Request, Response};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::{Mutex, watch};
use tokio::time::Instant;

use crate::admission::quota::ResourceQuota;
use crate::admission::{Admission, Chain, Numbers};
use crate::aggregation::{self, Aggregation, Api};
use crate::audit::Audit;
use crate::auth::authenticate::AuthenticatorError;
use crate::auth::pki::{self, ClusterKeys, PkiError};
use crate::auth::{self, Authentication, Authenticator, Authorizer, User};
use crate::discovery;
use crate::expiry;
use crate::first;
use crate::flow::{self, FlowControl};
use crate::metrics::{self, MoreMetrics};
use crate::openapi::OpenApi;
use crate::places::Places;
use crate::registry::{self, Clock, Naming, Registry, Served, Target};
use crate::rest::{self, Body, BodyError, Peer};
use crate::runner::PodRunner;
use crate::security::Security;
use crate::serve;
use crate::status::Status;
use crate::store::backup::Snapshot;
use crate::store::{Base, ClusterStore, Storage, Store, StoreError};
use crate::webhook::{Caller, Handlers};

/// Requests of one cluster that are answered at a time, by all priority levels together; watches count until they have
/// begun.
const MAX_IN_FLIGHT: usize = 600;
/// The version that OpenAPI documents name.
const OPEN_API_VERSION: &str = "v1.36.0";
/// Keys whose service-account tokens are good, the one that signs among them.
const MAX_TOKEN_KEYS: usize = 3;
/// Whose key it is, in errors.
const TOKEN_SIGNER: &str = "service-account signer";
/// Admission plugins of a cluster, by its id.
pub type MoreAdmission = Arc<dyn Fn(&str) -> Vec<Arc<dyn Admission>> + Send + Sync>;

/// What all clusters of a server share.
#[derive(Clone)]
pub struct Config {
    /// The time of day.
    pub clock: Clock,
    /// Admission beyond Kubernetes' own, by cluster id.
    pub admission: MoreAdmission,
    /// Webhooks that are parts of this process.
    pub handlers: Handlers,
    /// Groups that parts of this process serve in every cluster; for those of one, see [`Cluster::serve_api`].
    pub apis: Vec<Arc<dyn Api>>,
    /// Where clients reach the server: what discovery and the Service `default/kubernetes` name.
    pub address: IpAddr,
    pub port: u16,
    /// What guards the clusters beyond what all of them have.
    pub security: Security,
    /// From what the uids and generated names of new objects follow. `None`, as every server must have it that anybody
    /// trusts, is the randomness of the system; a number is for tests that compare two runs. Keys, certificates and tokens
    /// never follow from it.
    pub seed: Option<u64>,
}

/// One logical cluster as it is remembered over restarts.
#[derive(Clone, Deserialize, Serialize)]
pub struct ClusterSpec {
    /// Unique in the server; also the key of its objects.
    pub id: String,
    /// Names (TLS SNI) under which clients ask for this cluster. The cluster with the name `*` answers for all
    /// connections that name none, or an address, or `localhost`.
    pub server_names: Vec<String>,
    pub keys: ClusterKeys,
    /// IPv4 range of cluster IPs.
    pub service_cidr: String,
    /// Kubernetes version that the cluster reports, e.g. `v1.36.0`.
    pub version: String,
}

/// Why a server or a cluster could not be had.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The store refused.
    #[error("the store of the API server failed")]
    Store(#[from] StoreError),
    /// The cluster's keys cannot be used.
    #[error("the keys of cluster {id}")]
    Keys {
        id: String,
        #[source]
        source: PkiError,
    },
    /// Users cannot be authenticated with the cluster's keys.
    #[error("the keys of cluster {id}")]
    Authenticator {
        id: String,
        #[source]
        source: AuthenticatorError,
    },
    /// TLS cannot be set up from the keys.
    #[error("TLS of cluster {id}")]
    Tls {
        id: String,
        #[source]
        source: rustls::Error,
    },
    /// A field of the spec is wrong.
    #[error("cluster {id}: {why}")]
    Spec { id: String, why: String },
    /// The first objects of a new cluster could not be written.
    #[error("the first objects of cluster {id}")]
    Bootstrap {
        id: String,
        #[source]
        source: Box<Status>,
    },
}

/// An API server. Clones are the same server.
#[derive(Clone)]
pub struct Server(Arc<Inner>);

struct Inner {
    store: Store,
    config: Config,
    base: Arc<Base>,
    /// Documents are the same for all clusters that serve the same kinds.
    open_api: Arc<OpenApi>,
    clusters: RwLock<Directory>,
    shutdown: watch::Sender<bool>,
}

/// The clusters that are served.
#[derive(Default)]
struct Directory {
    by_id: HashMap<String, Arc<Cluster>>,
    /// By each of their server names.
    by_name: HashMap<String, Arc<Cluster>>,
}

impl Directory {
    fn insert(&mut self, cluster: Arc<Cluster>) {
        for name in &cluster.spec.server_names {
            self.by_name.insert(name.clone(), cluster.clone());
        }
        self.by_id.insert(cluster.spec.id.clone(), cluster);
    }

    fn remove(&mut self, id: &str) -> Option<Arc<Cluster>> {
        let cluster = self.by_id.remove(id)?;
        for name in &cluster.spec.server_names {
            self.by_name.remove(name);
        }
        Some(cluster)
    }
}

impl Server {
    /// Opens the store and serves every cluster that is in it.
    ///
    /// # Errors
    /// When the store or one of its clusters cannot be read.
    pub async fn open(storage: impl Storage, config: Config) -> Result<Self, ServerError> {
        let store = Store::open(storage)?;
        let base = Arc::new(Base::new(first::base_objects(&config.apis)));
        let server = Self(Arc::new(Inner {
            store,
            config,
            base,
            open_api: Arc::new(OpenApi::new(OPEN_API_VERSION)),
            clusters: RwLock::default(),
            shutdown: watch::Sender::new(false),
        }));
        let deadline = Instant::now() + first::PATIENCE;
        for (id, record) in server.0.store.records() {
            let mut spec: ClusterSpec =
                serde_json::from_value(record).map_err(|error| ServerError::Spec {
                    id: id.clone(),
                    why: format!("its record is unreadable: {error}"),
                })?;
            let store = server
                .0
                .store
                .attach_base(&id, server.0.base.clone())
                .await?;
            if server.0.complete(&mut spec)? {
                server.0.store.update_record(&id, json!(spec)).await?;
            }
            let cluster = server.0.make(spec, store)?;
            cluster.restore_first_objects(deadline).await;
            server.0.insert(cluster);
        }
        Ok(server)
    }

    /// Creates a logical cluster with what every Kubernetes cluster begins with.
    ///
    /// # Errors
    /// When the id is taken, the spec is wrong, or the store fails; then nothing of it remains.
    pub async fn create_cluster(&self, mut spec: ClusterSpec) -> Result<Arc<Cluster>, ServerError> {
        self.0.complete(&mut spec)?;
        let id = spec.id.clone();
        let taken = {
            let clusters = self.0.clusters();
            let mut names = spec.server_names.iter();
            names
                .find(|name| clusters.by_name.contains_key(*name))
                .cloned()
        };
        if let Some(name) = taken {
            return Err(ServerError::Spec {
                id,
                why: format!("the server name {name:?} is taken"),
            });
        }
        let store = self
            .0
            .store
            .create_cluster(&id, json!(spec), self.0.base.clone())
            .await?;
        let made = match self.0.make(spec, store) {
            Ok(cluster) => cluster.write_first_objects().await.map(|()| cluster),
            Err(error) => Err(error),
        };
        match made {
            Ok(cluster) => {
                self.0.insert(cluster.clone());
                Ok(cluster)
            }
            Err(error) => {
                self.0.store.drop_cluster(&id).await?;
                Err(error)
            }
        }
    }

    /// Removes a cluster and everything in it; its connections end.
    ///
    /// # Errors
    /// When there is no such cluster or the store fails.
    pub async fn drop_cluster(&self, id: &str) -> Result<(), ServerError> {
        self.0.store.drop_cluster(id).await?;
        let removed = self
            .0
            .clusters
            .write()
            .unwrap_or_else(|e| e.into_inner())
            .remove(id);
        if let Some(cluster) = removed {
            cluster.closed.send_replace(true);
        }
        Ok(())
    }

    /// Changes the Kubernetes version that a cluster reports.
    ///
    /// # Errors
    /// When there is no such cluster or the store fails.
    pub async fn set_version(&self, id: &str, version: &str) -> Result<(), ServerError> {
        let Some(cluster) = self.cluster(id) else {
            return Err(ServerError::Spec {
                id: id.into(),
                why: "there is no such cluster".into(),
            });
        };
        let _changing = cluster.changing.lock().await;
        if cluster.version().as_str() == version {
            return Ok(());
        }
        let spec = ClusterSpec {
            version: version.into(),
            ..cluster.current_spec()
        };
        self.0.store.update_record(id, json!(spec)).await?;
        cluster.version.store(Arc::new(version.to_owned()));
        Ok(())
    }

    /// Signs the service-account tokens of a cluster with a new key from now on. Tokens of the last few keys are still
    /// good, until [`Server::forget_old_token_keys`].
    ///
    /// # Errors
    /// When there is no such cluster or the store fails.
    pub async fn rotate_token_key(&self, id: &str) -> Result<(), ServerError> {
        self.replace_token_keys(id, |keys| {
            pki::rotate_keys(TOKEN_SIGNER, keys, MAX_TOKEN_KEYS)
        })
        .await
    }

    /// Believes service-account tokens of a cluster only if they are of the key that signs.
    ///
    /// # Errors
    /// When there is no such cluster or the store fails.
    pub async fn forget_old_token_keys(&self, id: &str) -> Result<(), ServerError> {
        self.replace_token_keys(id, |keys| pki::first_key(TOKEN_SIGNER, keys))
            .await
    }

    async fn replace_token_keys(
        &self,
        id: &str,
        change: impl FnOnce(&str) -> Result<String, PkiError>,
    ) -> Result<(), ServerError> {
        let Some(cluster) = self.cluster(id) else {
            return Err(ServerError::Spec {
                id: id.into(),
                why: "there is no such cluster".into(),
            });
        };
        let _changing = cluster.changing.lock().await;
        let mut spec = cluster.current_spec();
        let changed = change(&spec.keys.sa_key_pem).map_err(|source| ServerError::Keys {
            id: id.into(),
            source,
        })?;
        spec.keys.sa_key_pem = changed;
        // Durable first: no token is of a key that a restart would forget.
        self.0.store.update_record(id, json!(spec)).await?;
        let replaced = cluster.authenticator.replace_keys(&spec.keys.sa_key_pem);
        replaced.map_err(|source| ServerError::Authenticator {
            id: id.into(),
            source,
        })?;
        cluster.token_keys.store(Arc::new(spec.keys.sa_key_pem));
        Ok(())
    }

    /// Where clients reach the server.
    #[must_use]
    pub fn address(&self) -> IpAddr {
        self.0.config.address
    }

    /// See [`Server::address`].
    #[must_use]
    pub fn port(&self) -> u16 {
        self.0.config.port
    }

    /// A cluster by id.
    #[must_use]
    pub fn cluster(&self, id: &str) -> Option<Arc<Cluster>> {
        self.0.clusters().by_id.get(id).cloned()
    }

    /// All clusters, by id.
    #[must_use]
    pub fn clusters(&self) -> Vec<Arc<Cluster>> {
        let mut all: Vec<_> = self.0.clusters().by_id.values().cloned().collect();
        all.sort_by(|a, b| a.spec.id.cmp(&b.spec.id));
        all
    }

    /// The cluster that a TLS client asks for by SNI; none, an address or `localhost` means the one named `*`.
    #[must_use]
    pub fn cluster_by_name(&self, name: Option<&str>) -> Option<Arc<Cluster>> {
        let name = name.filter(|name| *name != "localhost").unwrap_or("*");
        self.0.clusters().by_name.get(name).cloned()
    }

    /// Serves TLS connections until [`Server::shut_down`].
    ///
    /// # Errors
    /// When the listener breaks.
    pub async fn serve(&self, listener: tokio::net::TcpListener) -> std::io::Result<()> {
        tokio::select! {
            served = serve::run(self, listener, self.ending()) => served,
            () = self.0.store.tend() => Ok(()),
        }
    }

    /// All clusters as they are now, with everything that was acknowledged, for [`crate::store::backup::write`]. The server
    /// goes on meanwhile.
    ///
    /// # Errors
    /// When the store cannot be read or is closed.
    pub async fn snapshot(&self) -> Result<Box<dyn Snapshot>, ServerError> {
        Ok(self.0.store.snapshot().await?)
    }

    /// Turns true when the server shuts down.
    pub(crate) fn ending(&self) -> watch::Receiver<bool> {
        self.0.shutdown.subscribe()
    }

    /// Ends all connections and commits what is queued.
    pub async fn shut_down(&self) {
        self.0.shutdown.send_replace(true);
        for cluster in self.clusters() {
            cluster.closed.send_replace(true);
        }
        self.0.store.close().await;
        for cluster in self.clusters() {
            if let Some(audit) = cluster.audit() {
                audit.flush().await;
            }
        }
    }
}

impl Inner {
    /// Makes the keys that a spec lacks; whether there were any.
    fn complete(&self, spec: &mut ClusterSpec) -> Result<bool, ServerError> {
        let made = spec.keys.ensure_front_proxy((self.config.clock)());
        made.map_err(|source| ServerError::Keys {
            id: spec.id.clone(),
            source,
        })
    }

    fn make(&self, spec: ClusterSpec, store: ClusterStore) -> Result<Arc<Cluster>, ServerError> {
        let id = spec.id.clone();
        let cidr = registry::Cidr::parse(&spec.service_cidr).map_err(|why| ServerError::Spec {
            id: id.clone(),
            why,
        })?;
        let authenticator = Authenticator::new(&spec.keys, auth::SERVICE_ACCOUNT_ISSUER, vec![])
            .map_err(|source| ServerError::Authenticator {
                id: id.clone(),
                source,
            })?;
        let authorizer = Arc::new(Authorizer::new());
        let mut chain = Chain::builtin(&authorizer);
        for plugin in (self.config.admission)(&spec.id) {
            chain.push(plugin);
        }
        let caller = Arc::new(Caller::new(&spec.id, self.config.handlers.clone()));
        let numbers = Arc::new(Numbers::new());
        chain.push_judges(&authorizer, &caller, &numbers);
        // Charged last: nothing refuses a write afterwards.
        chain.push_last(Arc::new(ResourceQuota::new(
            store.clone(),
            self.config.clock.clone(),
        )));
        let naming = Naming::new(self.config.seed, &spec.id);
        let clock = self.config.clock.clone();
        let registry = Registry::new(store, chain, caller, clock, naming, cidr);
        Ok(Arc::new_cyclic(|this| Cluster {
            this: this.clone(),
            version: ArcSwap::from_pointee(spec.version.clone()),
            token_keys: ArcSwap::from_pointee(spec.keys.sa_key_pem.clone()),
            changing: Mutex::default(),
            audit: self.config.security.audit(&spec.id),
            authentication: self.config.security.authentication(&spec.id),
            spec,
            config: self.config.clone(),
            registry,
            authenticator,
            authorizer,
            flow: FlowControl::new(MAX_IN_FLIGHT, self.config.seed.is_some()),
            places: Places::new(),
            numbers,
            more_metrics: OnceLock::new(),
            runner: OnceLock::new(),
            closed: watch::Sender::new(false),
            is_cleaning: AtomicBool::new(false),
            open_api: self.open_api.clone(),
            discovery: [ArcSwapOption::empty(), ArcSwapOption::empty()],
            aggregation: Aggregation::new(&self.config.apis),
            tls: OnceLock::new(),
        }))
    }

    fn insert(&self, cluster: Arc<Cluster>) {
        cluster.clean_up_definitions();
        let store = cluster.registry.store().clone();
        let (clock, closed) = (self.config.clock.clone(), cluster.closed.subscribe());
        tokio::spawn(expiry::forget_events(store.clone(), clock, closed));
        let closed = cluster.closed.subscribe();
        tokio::spawn(flow::maintain(
            store.clone(),
            Arc::downgrade(&cluster),
            closed,
        ));
        let (this, woken) = (Arc::downgrade(&cluster), cluster.aggregation.woken());
        let closed = cluster.closed.subscribe();
        tokio::spawn(aggregation::keep(store, this, woken, closed));
        self.clusters
            .write()
            .unwrap_or_else(|e| e.into_inner())
            .insert(cluster);
    }

    fn clusters(&self) -> RwLockReadGuard<'_, Directory> {
        self.clusters.read().unwrap_or_else(|e| e.into_inner())
    }
}

/// One logical cluster.
pub struct Cluster {
    this: std::sync::Weak<Self>,
    spec: ClusterSpec,
    version: ArcSwap<String>,
    /// What `spec.keys.sa_key_pem` has become.
    token_keys: ArcSwap<String>,
    /// Held from reading the spec until it is written: each change writes all of it.
    changing: Mutex<()>,
    pub(crate) config: Config,
    registry: Registry,
    pub(crate) authenticator: Authenticator,
    pub(crate) authorizer: Arc<Authorizer>,
    /// Whose tokens are believed beside the cluster's own.
    pub(crate) authentication: Option<Arc<Authentication>>,
    audit: Option<Audit>,
    flow: FlowControl,
    places: Places,
    /// Of admission.
    numbers: Arc<Numbers>,
    /// Writes the numbers of what works on this cluster in this process.
    more_metrics: OnceLock<MoreMetrics>,
    runner: OnceLock<Arc<dyn PodRunner>>,
    closed: watch::Sender<bool>,
    /// One task at a time works off dying definitions.
    is_cleaning: AtomicBool,
    open_api: Arc<OpenApi>,
    /// Aggregated discovery of `/api` and `/apis`, with the generation of what it was made from.
    discovery: [ArcSwapOption<(u64, discovery::Document)>; 2],
    aggregation: Aggregation,
    tls: OnceLock<Arc<rustls::ServerConfig>>,
}

impl Cluster {
    /// What the cluster would be made from now.
    fn current_spec(&self) -> ClusterSpec {
        let mut spec = self.spec.clone();
        spec.version = self.version().to_string();
        spec.keys.sa_key_pem = self.token_keys.load().to_string();
        spec
    }

    /// What the cluster was made from; its version and the keys of its tokens may have changed since.
    #[must_use]
    pub fn spec(&self) -> &ClusterSpec {
        &self.spec
    }

    /// All verbs.
    #[must_use]
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The Kubernetes version that the cluster reports.
    #[must_use]
    pub fn version(&self) -> Arc<String> {
        self.version.load_full()
    }

    /// A client transport inside this process that acts as `user`, without a socket.
    #[must_use]
    pub fn service(self: &Arc<Self>, user: User) -> InProcess {
        InProcess {
            cluster: self.clone(),
            peer: Peer::Trusted(Arc::new(user)),
        }
    }

    /// A client transport inside this process for somebody who authenticates as over the network: with the leaf
    /// certificate (DER) whose key the caller has proved to own, or with what the requests' headers say.
    #[must_use]
    pub fn network_service(self: &Arc<Self>, certificate: Option<Vec<u8>>) -> InProcess {
        InProcess {
            cluster: self.clone(),
            peer: Peer::Network {
                certificate: certificate.map(Into::into),
                address: None,
            },
        }
    }

    /// As [`Cluster::network_service`], for a connection from `address`.
    pub(crate) fn connection_service(
        self: &Arc<Self>,
        certificate: Option<Vec<u8>>,
        address: Option<IpAddr>,
    ) -> InProcess {
        InProcess {
            cluster: self.clone(),
            peer: Peer::Network {
                certificate: certificate.map(Into::into),
                address,
            },
        }
    }

    /// Who writes down what is asked of the cluster.
    pub(crate) fn audit(&self) -> Option<&Audit> {
        self.audit.as_ref()
    }

    /// Resolves when the cluster is removed or the server shuts down.
    pub async fn closed(&self) {
        let mut closed = self.closed.subscribe();
        // An error means that the sender is gone, which is the end as well.
        let _ended = closed.wait_for(|closed| *closed).await;
    }

    /// Turns true when the cluster is removed or the server shuts down.
    pub(crate) fn ending(&self) -> watch::Receiver<bool> {
        self.closed.subscribe()
    }

    pub(crate) fn is_closed(&self) -> bool {
        *self.closed.borrow()
    }

    /// Who is served first.
    pub(crate) fn flow(&self) -> &FlowControl {
        &self.flow
    }

    /// Room for what lasts.
    pub(crate) fn places(&self) -> &Places {
        &self.places
    }

    /// Who else serves groups of the cluster.
    pub(crate) fn aggregation(&self) -> &Aggregation {
        &self.aggregation
    }

    pub(crate) fn open_api(&self) -> &OpenApi {
        &self.open_api
    }

    pub(crate) fn discovery(
        &self,
        served: &Served,
        legacy: bool,
    ) -> Arc<(u64, discovery::Document)> {
        let slot = &self.discovery[usize::from(legacy)];
        let store = self.registry.store();
        // Both only grow, so their sum is another one when one of them is.
        let generation = served.generation + self.aggregation.generation(store);
        if let Some(known) = slot.load_full().filter(|known| known.0 == generation) {
            return known;
        }
        let remote = self.aggregation.versions(store);
        let made = Arc::new((
            generation,
            discovery::aggregated(&served.resources, &remote, legacy),
        ));
        slot.store(Some(made.clone()));
        made
    }

    pub(crate) fn address(&self) -> String {
        format!("{}:{}", self.config.address, self.config.port)
    }

    pub(crate) fn issuer_document(&self) -> Value {
        self.authenticator
            .discovery(&format!("https://{}/openid/v1/jwks", self.address()))
    }

    pub(crate) fn issuer_keys(&self) -> Value {
        self.authenticator.key_set()
    }

    /// Says who runs the pods of the cluster; without anybody there are no logs and no sessions. Only the first call
    /// counts. The cluster keeps `runner` as long as it lives, so that must not keep the cluster.
    pub fn run_pods(&self, runner: Arc<dyn PodRunner>) {
        _ = self.runner.set(runner);
    }

    pub(crate) fn pod_runner(&self) -> Option<Arc<dyn PodRunner>> {
        self.runner.get().cloned()
    }

    /// What [`Cluster::metrics`] shows beside the server's own numbers; only the first call counts. The cluster keeps
    /// `source` as long as it lives, so that must not keep the cluster.
    pub fn add_metrics(&self, source: impl Fn() -> String + Send + Sync + 'static) {
        _ = self.more_metrics.set(Box::new(source));
    }

    /// Counters in the text format of Prometheus.
    pub(crate) fn metrics(&self) -> String {
        let mut text = metrics::of_server(&metrics::Numbers {
            store: self.registry.store(),
            in_flight: self.flow.executing(),
            taken: self.places.taken(),
        });
        self.flow.metrics(&mut text);
        if let Some(authentication) = &self.authentication {
            authentication.metrics(&mut text);
        }
        if let Some(audit) = &self.audit {
            audit.metrics(&mut text);
        }
        self.numbers.write(&mut text);
        if let Some(more) = self.more_metrics.get() {
            text.push_str(&more());
        }
        text
    }

    pub(crate) fn storage_health(&self) -> Result<(), String> {
        self.registry.store().health()
    }

    /// What must follow a deletion that was answered.
    pub(crate) fn after_delete(&self, target: &Target) {
        if &*target.resource.plural == "customresourcedefinitions" {
            self.clean_up_definitions();
        }
    }

    /// Starts the task that works off dying definitions, if there are any and it isn't at work.
    fn clean_up_definitions(&self) {
        if self.is_closed()
            || !registry::has_dying_definitions(self.registry.store())
            || self.is_cleaning.swap(true, Ordering::AcqRel)
        {
            return;
        }
        let Some(cluster) = self.this.upgrade() else {
            return;
        };
        tokio::spawn(async move {
            let mut changes = cluster.registry.store().subscribe();
            loop {
                cluster.registry.clean_up_definitions().await;
                if !registry::has_dying_definitions(cluster.registry.store()) {
                    break;
                }
                tokio::select! {
                    change = changes.next() => if change.is_none() { break },
                    () = cluster.closed() => break,
                }
            }
            cluster.is_cleaning.store(false, Ordering::Release);
            // A definition may have begun to die between the last look and the flag.
            cluster.clean_up_definitions();
        });
    }

    /// The TLS side of the cluster, with a serving certificate of its own authority.
    pub(crate) fn tls(&self) -> Result<Arc<rustls::ServerConfig>, ServerError> {
        if let Some(config) = self.tls.get() {
            return Ok(config.clone());
        }
        let config = Arc::new(serve::tls_config(
            &self.spec,
            self.config.address,
            self.registry.now(),
        )?);
        Ok(self.tls.get_or_init(|| config).clone())
    }
}

/// A client transport inside this process: hand it to a Kubernetes client in place of a connection.
#[derive(Clone)]
pub struct InProcess {
    cluster: Arc<Cluster>,
    peer: Peer,
}

impl<B> tower::Service<Request<B>> for InProcess
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BodyError>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (cluster, peer) = (self.cluster.clone(), self.peer.clone());
        Box::pin(async move { Ok(rest::handle(cluster, peer, request).await) })
    }
}
