//! One API server as controllers see it: a client, one shared cache per kind that anybody reads, and discovery.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kube::Client;
use kube::core::ApiResource;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use crate::cache::{Entry, Header, KindCache, Listener, Origin, Progress};
use crate::changes::Changes;
use crate::discovery::{AllServed, Discovery, Served};
use crate::room::{CacheLimits, Room, is_own};
use crate::{Clock, GatherError, Selector, Shared, Tasks, Texts};

/// How a cluster is talked to.
#[derive(Clone, Debug)]
pub struct ClusterOptions {
    /// The longest one request may take.
    pub request_timeout: Duration,
    /// The longest a reader waits for the first list of a kind. One that gives up is woken when the list is there.
    pub first_read_timeout: Duration,
    /// How long one watch request lasts before it is renewed.
    pub watch_timeout: Duration,
    /// Whether watches ask to be told from time to time how far they are. Not worth it where the server remembers for an idle
    /// watch that nothing has happened, as the embedded one does.
    pub bookmarks: bool,
    /// Seeds the jitter of retries and watch renewals.
    pub seed: u64,
    /// Keeps objects and kinds that are equal in several clusters once. `None` is best for a cluster unlike others.
    pub shared: Option<Shared>,
    /// Where the texts of its objects may be in memory already.
    pub texts: Option<Arc<dyn Texts>>,
    /// How much its caches may hold.
    pub limits: CacheLimits,
}

impl Default for ClusterOptions {
    fn default() -> Self {
        Self {
            request_timeout: Duration::from_secs(15),
            first_read_timeout: Duration::from_secs(15),
            watch_timeout: Duration::from_secs(600),
            bookmarks: true,
            seed: 0,
            shared: None,
            texts: None,
            limits: CacheLimits::default(),
        }
    }
}

/// One API server: its client, the caches of the kinds that somebody reads, and what it serves.
pub struct Cluster {
    client: Client,
    pub(crate) clock: Clock,
    pub(crate) options: ClusterOptions,
    pub(crate) discovery: Arc<Discovery>,
    /// By plural and apiVersion.
    kinds: Mutex<BTreeMap<(String, String), Arc<KindCache>>>,
    room: Arc<Room>,
    tasks: Tasks,
}

/// Numbers about a cluster's caches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheMetrics {
    /// Kinds that are watched.
    pub kinds: usize,
    /// Objects in all caches.
    pub objects: usize,
    /// Records of who reads what.
    pub reads: usize,
    /// Objects skipped because they could not be parsed.
    pub malformed: u64,
    /// Lists made.
    pub lists: u64,
}

impl Cluster {
    /// A cluster reached through `client`. Nothing is requested until somebody reads.
    #[must_use]
    pub fn new(client: Client, clock: Clock, options: ClusterOptions) -> Arc<Self> {
        Arc::new(Self {
            discovery: Arc::new(Discovery::new(client.clone(), &options)),
            client,
            clock,
            room: Room::new(options.limits),
            options,
            kinds: Mutex::default(),
            tasks: Tasks::new(),
        })
    }

    /// The client, for writes and for what caches can't answer.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The cluster's clock.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The cache of a kind. The first call starts its watch.
    pub(crate) fn kind(&self, resource: &ApiResource) -> Arc<KindCache> {
        // Kinds that users define may appear later; built-in ones are there or never.
        if resource.group.contains('.') && !resource.group.ends_with(".k8s.io") {
            self.follow_definitions();
        }
        let key = (resource.plural.clone(), resource.api_version.clone());
        let mut kinds = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cache) = kinds.get(&key) {
            return Arc::clone(cache);
        }
        let cache = KindCache::new(resource.clone(), self.room.of(&resource.group));
        kinds.insert(key, Arc::clone(&cache));
        let watch = crate::watch::Watch {
            cache: Arc::clone(&cache),
            client: self.client.clone(),
            kinds_changed: self.discovery.changes(),
            request_timeout: self.options.request_timeout,
            watch_timeout: self.options.watch_timeout,
            bookmarks: self.options.bookmarks,
            seed: self.options.seed.wrapping_add(kinds.len() as u64),
            shared: self.options.shared.clone(),
            texts: self.options.texts.clone(),
        };
        self.tasks.spawn("watch", watch.run());
        cache
    }

    /// The cache of a kind if somebody reads it and it holds everything.
    fn synced(&self, resource: &ApiResource) -> Option<Arc<KindCache>> {
        let key = (resource.plural.clone(), resource.api_version.clone());
        let kinds = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        let cache = kinds
            .get(&key)
            .filter(|c| c.progress.get() == Progress::Synced);
        cache.cloned()
    }

    /// One object, if its kind is watched already.
    pub(crate) fn entry_if_synced(
        &self,
        resource: &ApiResource,
        namespace: &str,
        name: &str,
    ) -> Option<Arc<Entry>> {
        self.synced(resource)?.get(None, namespace, name)
    }

    /// The cache of a kind, once it holds everything.
    pub(crate) async fn ready(
        &self,
        resource: &ApiResource,
    ) -> Result<Arc<KindCache>, GatherError> {
        let cache = self.kind(resource);
        let unavailable = |why: &str| GatherError::Unavailable {
            what: resource.plural.clone(),
            why: why.to_owned(),
        };
        let settled = cache
            .progress
            .wait_for(|progress| *progress != Progress::Starting);
        match tokio::time::timeout(self.options.first_read_timeout, settled).await {
            Ok(Progress::Failed(why)) => return Err(unavailable(&why)),
            Ok(Progress::Starting | Progress::Synced | Progress::NotServed) => {}
            Err(_) => return Err(unavailable("the first list is under way")),
        }
        Ok(cache)
    }

    /// Everything of a kind that is in the cache, without being woken by changes.
    ///
    /// # Errors
    /// If the first list of the kind failed or takes too long.
    pub async fn entries(
        &self,
        resource: &ApiResource,
        namespace: Option<&str>,
        selector: &Selector,
    ) -> Result<Vec<Arc<Entry>>, GatherError> {
        let cache = self.ready(resource).await?;
        Ok(cache.list(None, namespace, selector))
    }

    /// One object of the cache, without being woken by changes.
    ///
    /// # Errors
    /// If the first list of the kind failed or takes too long.
    pub async fn entry(
        &self,
        resource: &ApiResource,
        namespace: &str,
        name: &str,
    ) -> Result<Option<Arc<Entry>>, GatherError> {
        let cache = self.ready(resource).await?;
        Ok(cache.get(None, namespace, name))
    }

    /// One object of a kind that is watched already, as the cache has it now.
    #[must_use]
    pub fn cached<K>(&self, namespace: &str, name: &str) -> Option<Arc<K>>
    where
        K: kube::Resource<DynamicType = ()> + DeserializeOwned + Send + Sync + 'static,
    {
        let resource = ApiResource::erase::<K>(&());
        let entry = self.kind(&resource).get(None, namespace, name)?;
        entry.read().ok()
    }

    /// Tells `listener` of all objects of a kind, and of every change from now on.
    pub fn listen(&self, resource: &ApiResource, listener: Arc<dyn Listener>) {
        self.kind(resource).listen(listener);
    }

    /// How a kind is served: the server's preferred version if `version` is `None`.
    ///
    /// # Errors
    /// If the server can't be asked; an unknown kind is `Ok(None)`.
    pub async fn served(
        &self,
        group: &str,
        version: Option<&str>,
        kind: &str,
    ) -> Result<Option<Served>, kube::Error> {
        let served = self.discovery.group(group).await?;
        let found = served
            .iter()
            .find(|s| s.resource.kind == kind && version.is_none_or(|v| v == s.resource.version));
        Ok(found.cloned())
    }

    /// All that the server serves. A group that can't be asked for is no error, but said in the answer.
    ///
    /// # Errors
    /// If the server can't be asked.
    pub async fn all_served(&self) -> Result<AllServed, kube::Error> {
        self.discovery.all().await
    }

    /// Hears when the server may serve other kinds than before.
    #[must_use]
    pub fn kinds_changed(&self) -> Changes {
        self.follow_definitions();
        self.discovery.changes()
    }

    /// All cached objects that name this uid as an owner, of all kinds that are watched.
    #[must_use]
    pub fn owned_by(&self, uid: &str) -> Vec<(ApiResource, Arc<Entry>)> {
        let caches: Vec<Arc<KindCache>> = {
            let kinds = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
            kinds.values().cloned().collect()
        };
        let owner = Selector::owner(uid);
        let mut owned: Vec<(ApiResource, Arc<Entry>)> = vec![];
        for cache in caches {
            for entry in cache.list(None, None, &owner) {
                // A kind may be watched in two versions.
                if !owned.iter().any(|(_, e)| e.header.uid == entry.header.uid) {
                    owned.push((cache.resource.clone(), entry));
                }
            }
        }
        owned
    }

    /// Sends a request, past the caches, and gives up after the cluster's request timeout.
    ///
    /// # Errors
    /// As the client reports them; a request that takes too long is a service error.
    pub async fn request<T: DeserializeOwned>(
        &self,
        request: http::Request<Vec<u8>>,
    ) -> Result<T, kube::Error> {
        self.within(self.client.request(request)).await
    }

    /// One object as the server has it now, past the cache.
    ///
    /// # Errors
    /// As the client reports them; a missing object is `Ok(None)`.
    pub async fn live(
        &self,
        resource: &ApiResource,
        namespace: &str,
        name: &str,
    ) -> Result<Option<Entry>, kube::Error> {
        let request = http::Request::get(path(resource, Some(namespace), Some(name)))
            .body(vec![])
            .map_err(kube::Error::HttpError)?;
        match self
            .within(self.client.request::<Box<RawValue>>(request))
            .await
        {
            Ok(raw) => Ok(self.entry_of(resource, &raw)),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A JSON merge patch; the answer is in the cache at once.
    ///
    /// # Errors
    /// As the client reports them; a request that takes too long is a service error.
    pub async fn merge_patch(
        &self,
        resource: &ApiResource,
        (namespace, name): (&str, &str),
        patch: &serde_json::Value,
        manager: &str,
    ) -> Result<(), kube::Error> {
        let params = kube::api::PatchParams {
            field_manager: Some(manager.to_owned()),
            ..kube::api::PatchParams::default()
        };
        let request = kube::core::Request::new(path(resource, Some(namespace), None))
            .patch(name, &params, &kube::api::Patch::Merge(patch))
            .map_err(kube::Error::BuildRequest)?;
        self.write(resource, request).await.map(drop)
    }

    /// Starts to notice new and changed CustomResourceDefinitions, and the APIServices of extension servers.
    pub(crate) fn follow_definitions(&self) -> ApiResource {
        let definitions = definitions();
        if self.discovery.start_following() {
            let discovery = || Arc::clone(&self.discovery);
            self.listen(&definitions, Arc::new(DefinitionListener(discovery())));
            self.listen(&api_services(), Arc::new(ApiServiceListener(discovery())));
        }
        definitions
    }

    /// Sends a request and takes the object of the answer into the cache, ahead of the watch.
    ///
    /// # Errors
    /// As the client reports them; a request that takes too long is a service error.
    pub(crate) async fn write(
        &self,
        resource: &ApiResource,
        request: http::Request<Vec<u8>>,
    ) -> Result<Option<Header>, kube::Error> {
        let raw: Box<RawValue> = self.within(self.client.request(request)).await?;
        let Some(entry) = self.entry_of(resource, &raw) else {
            return Ok(None);
        };
        let header = entry.header.clone();
        if let Some(cache) = self.synced(resource) {
            cache.upsert(Arc::new(entry), Origin::Write);
        }
        Ok(Some(header))
    }

    /// Sends a delete request; the cache loses the object at once if it went at once.
    ///
    /// # Errors
    /// As the client reports them; a request that takes too long is a service error.
    pub async fn delete(
        &self,
        resource: &ApiResource,
        namespace: &str,
        name: &str,
        params: &kube::api::DeleteParams,
    ) -> Result<Option<Header>, kube::Error> {
        let request = kube::core::Request::new(path(resource, Some(namespace), None))
            .delete(name, params)
            .map_err(kube::Error::BuildRequest)?;
        let raw: Box<RawValue> = self.within(self.client.request(request)).await?;
        let Some(cache) = self.synced(resource) else {
            return Ok(None);
        };
        let Some(entry) = self.entry_of(resource, &raw) else {
            // A Status: it is gone, if it is what the cache shows.
            if let Some(old) = cache.get(None, namespace, name) {
                let uid = params.preconditions.as_ref().and_then(|p| p.uid.as_ref());
                if uid.is_none_or(|uid| *uid == old.header.uid) {
                    cache.deleted(namespace, name, &old.header.uid);
                }
            }
            return Ok(None);
        };
        let header = entry.header.clone();
        if header.is_deleting {
            cache.upsert(Arc::new(entry), Origin::Write);
        } else {
            cache.deleted(namespace, name, &header.uid);
        }
        Ok(Some(header))
    }

    /// What the server has sent, if that is an object.
    fn entry_of(&self, resource: &ApiResource, raw: &RawValue) -> Option<Entry> {
        let texts = self.options.texts.as_ref();
        Entry::parse(raw, |header| texts?.text(resource, header)).ok()
    }

    pub(crate) async fn within<T>(
        &self,
        request: impl Future<Output = Result<T, kube::Error>>,
    ) -> Result<T, kube::Error> {
        let limit = self.options.request_timeout;
        tokio::time::timeout(limit, request)
            .await
            .unwrap_or_else(|elapsed| Err(kube::Error::Service(Box::new(elapsed))))
    }

    /// Numbers about the caches.
    #[must_use]
    pub fn metrics(&self) -> CacheMetrics {
        let kinds = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        let mut metrics = CacheMetrics {
            kinds: kinds.len(),
            ..CacheMetrics::default()
        };
        for cache in kinds.values() {
            let (objects, reads) = cache.sizes();
            metrics.objects += objects;
            metrics.reads += reads;
            metrics.malformed += cache.malformed.load(Ordering::Relaxed);
            metrics.lists += cache.relists.load(Ordering::Relaxed);
        }
        metrics
    }
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster")
            .field("metrics", &self.metrics())
            .finish_non_exhaustive()
    }
}

/// Forgets what was discovered of a group when one of its definitions changes.
struct DefinitionListener(Arc<Discovery>);

impl Listener for DefinitionListener {
    fn changed(&self, old: Option<&Header>, new: Option<&Header>) {
        // A definition's name is `<plural>.<group>`.
        if let Some((_, group)) = new.or(old).and_then(|header| header.name.split_once('.')) {
            self.0.forget(group);
        }
    }
}

/// The same for APIServices, which extension servers have. Those of Kubernetes itself are there from the first.
struct ApiServiceListener(Arc<Discovery>);

impl Listener for ApiServiceListener {
    fn changed(&self, old: Option<&Header>, new: Option<&Header>) {
        // Its name is `<version>.<group>`.
        if let Some((_, group)) = new.or(old).and_then(|header| header.name.split_once('.'))
            && !is_own(group)
        {
            self.0.forget(group);
        }
    }
}

fn api_services() -> ApiResource {
    ApiResource {
        group: "apiregistration.k8s.io".to_owned(),
        version: "v1".to_owned(),
        api_version: "apiregistration.k8s.io/v1".to_owned(),
        kind: "APIService".to_owned(),
        plural: "apiservices".to_owned(),
    }
}

fn definitions() -> ApiResource {
    ApiResource {
        group: "apiextensions.k8s.io".to_owned(),
        version: "v1".to_owned(),
        api_version: "apiextensions.k8s.io/v1".to_owned(),
        kind: "CustomResourceDefinition".to_owned(),
        plural: "customresourcedefinitions".to_owned(),
    }
}

/// The URL path of a collection or, with a name, of an object.
pub(crate) fn path(resource: &ApiResource, namespace: Option<&str>, name: Option<&str>) -> String {
    let root = if resource.group.is_empty() {
        "api"
    } else {
        "apis"
    };
    let mut path = format!("/{root}/{}", resource.api_version);
    if let Some(namespace) = namespace.filter(|ns| !ns.is_empty()) {
        path.push_str("/namespaces/");
        path.push_str(namespace);
    }
    path.push('/');
    path.push_str(&resource.plural);
    if let Some(name) = name {
        path.push('/');
        path.push_str(name);
    }
    path
}
