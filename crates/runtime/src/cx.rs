//! What a controller reads through. Reading is watching: what a pass read wakes its object when it changes.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::core::{ApiResource, DynamicObject, TypeMeta};
use serde::de::DeserializeOwned;

use crate::cache::{Entry, KindCache, ReadRef};
use crate::queue::Dependent;
use crate::remote::{Clusters, RemoteClusters};
use crate::{AllServed, Cluster, GatherError, Selector, Signal};

/// What a controller reads through: the caches of one cluster, with a record of who looked at what.
///
/// The first read of a kind starts one watch, shared by all controllers of the cluster. Reads never see less than what
/// this process wrote before.
#[derive(Clone)]
pub struct Cx {
    cluster: Arc<Cluster>,
    clusters: Arc<Clusters>,
    dependent: Option<Dependent>,
    object: Arc<ObjectReference>,
}

impl Cx {
    /// A context outside any pass: reads work and wake nobody.
    #[must_use]
    pub fn detached(cluster: Arc<Cluster>, clusters: Arc<Clusters>) -> Self {
        Self {
            cluster,
            clusters,
            dependent: None,
            object: Arc::default(),
        }
    }

    pub(crate) fn for_pass(
        cluster: Arc<Cluster>,
        clusters: Arc<Clusters>,
        dependent: Dependent,
        object: ObjectReference,
    ) -> Self {
        Self {
            cluster,
            clusters,
            dependent: Some(dependent),
            object: Arc::new(object),
        }
    }

    /// The same pass, reading another cluster.
    pub(crate) fn at(&self, cluster: Arc<Cluster>) -> Self {
        Self {
            cluster,
            ..self.clone()
        }
    }

    /// One object; `namespace` is empty for cluster-scoped kinds. `None` if it is missing or its kind isn't served.
    ///
    /// # Errors
    /// If the kind can't be listed, or the object does not parse.
    pub async fn get<K>(&self, namespace: &str, name: &str) -> Result<Option<Arc<K>>, GatherError>
    where
        K: kube::Resource<DynamicType = ()> + DeserializeOwned + Send + Sync + 'static,
    {
        let resource = ApiResource::erase::<K>(&());
        let Some(entry) = self.entry(&resource, namespace, name).await? else {
            return Ok(None);
        };
        entry
            .read()
            .map(Some)
            .map_err(|why| malformed(&resource, &entry, &why))
    }

    /// The selected objects, ordered by namespace and name; all namespaces if `namespace` is `None`. Objects that do
    /// not parse are left out.
    ///
    /// # Errors
    /// If the kind can't be listed.
    pub async fn list<K>(
        &self,
        namespace: Option<&str>,
        selector: &Selector,
    ) -> Result<Vec<Arc<K>>, GatherError>
    where
        K: kube::Resource<DynamicType = ()> + DeserializeOwned + Send + Sync + 'static,
    {
        let entries = self
            .entries(&ApiResource::erase::<K>(&()), namespace, selector)
            .await?;
        Ok(entries
            .iter()
            .filter_map(|entry| entry.read().ok())
            .collect())
    }

    /// As [`Cx::get`], for a kind known only at run time (see [`Cx::resolve`]).
    ///
    /// # Errors
    /// If the kind can't be listed, or the object does not parse.
    pub async fn get_dynamic(
        &self,
        resource: &ApiResource,
        namespace: &str,
        name: &str,
    ) -> Result<Option<Arc<DynamicObject>>, GatherError> {
        let Some(entry) = self.entry(resource, namespace, name).await? else {
            return Ok(None);
        };
        let object = entry
            .read()
            .map_err(|why| malformed(resource, &entry, &why))?;
        Ok(Some(with_types(object, resource)))
    }

    /// As [`Cx::get_dynamic`], with `metadata.managedFields`, which other reads leave out. It is parsed each time.
    ///
    /// # Errors
    /// If the kind can't be listed, or the object does not parse.
    pub async fn get_whole(
        &self,
        resource: &ApiResource,
        namespace: &str,
        name: &str,
    ) -> Result<Option<Arc<DynamicObject>>, GatherError> {
        let Some(entry) = self.entry(resource, namespace, name).await? else {
            return Ok(None);
        };
        let object = serde_json::from_str::<DynamicObject>(entry.json())
            .map_err(|error| malformed(resource, &entry, &Arc::from(error.to_string())))?;
        Ok(Some(with_types(Arc::new(object), resource)))
    }

    /// As [`Cx::list`], for a kind known only at run time.
    ///
    /// # Errors
    /// If the kind can't be listed.
    pub async fn list_dynamic(
        &self,
        resource: &ApiResource,
        namespace: Option<&str>,
        selector: &Selector,
    ) -> Result<Vec<Arc<DynamicObject>>, GatherError> {
        let entries = self.entries(resource, namespace, selector).await?;
        let objects = entries.iter().filter_map(|entry| entry.read().ok());
        Ok(objects.map(|object| with_types(object, resource)).collect())
    }

    /// How the server serves a kind, in the version it prefers; `None` if it doesn't. Definitions that appear or
    /// change wake the object.
    ///
    /// # Errors
    /// If the server can't be asked.
    pub async fn resolve(
        &self,
        group: &str,
        kind: &str,
    ) -> Result<Option<ApiResource>, GatherError> {
        let definitions = self.cluster.follow_definitions();
        let everything = Selector::all();
        self.entries(&definitions, None, &everything).await?;
        let served = self.cluster.served(group, None, kind).await;
        let served = served.map_err(|error| GatherError::Read {
            what: format!("the kinds of group {group:?}"),
            source: Box::new(error),
        })?;
        Ok(served.map(|served| served.resource))
    }

    /// Every kind that the server serves, in the version it prefers. Definitions that appear or change wake the object. A group
    /// that can't be asked for is no error, but said in the answer.
    ///
    /// # Errors
    /// If the server can't be asked.
    pub async fn served(&self) -> Result<AllServed, GatherError> {
        let definitions = self.cluster.follow_definitions();
        self.entries(&definitions, None, &Selector::all()).await?;
        let served = self.cluster.all_served().await;
        served.map_err(|error| GatherError::Read {
            what: "the kinds that are served".to_owned(),
            source: Box::new(error),
        })
    }

    /// The selected objects as they are in the cache, unparsed: for looks at metadata only.
    ///
    /// # Errors
    /// If the kind can't be listed.
    pub async fn entries(
        &self,
        resource: &ApiResource,
        namespace: Option<&str>,
        selector: &Selector,
    ) -> Result<Vec<Arc<Entry>>, GatherError> {
        let cache = self.ready(resource).await?;
        Ok(cache.list(self.dependent.as_ref(), namespace, selector))
    }

    /// The cache of a kind. If it is not there in time, the object is woken when it is.
    async fn ready(&self, resource: &ApiResource) -> Result<Arc<KindCache>, GatherError> {
        let cache = self.cluster.ready(resource).await;
        if cache.is_err() {
            let late = self.cluster.kind(resource);
            self.watch(&late.arrived);
            // It may have come just before somebody watched.
            if late.has_arrived() {
                return Ok(late);
            }
        }
        cache
    }

    /// The object is woken at the signal's next notification.
    pub fn watch(&self, signal: &Signal) {
        if let Some(dependent) = &self.dependent {
            dependent.record(ReadRef::Signal(signal.clone()));
            signal.add(dependent);
        }
    }

    /// The client of this cluster, for what caches can't answer and for acts.
    #[must_use]
    pub fn client(&self) -> Client {
        self.cluster.client().clone()
    }

    /// The cluster this reads.
    #[must_use]
    pub fn cluster(&self) -> &Arc<Cluster> {
        &self.cluster
    }

    /// The time of day.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.cluster.clock.now()
    }

    /// The workload clusters, reached through their kubeconfig Secrets in this cluster.
    #[must_use]
    pub fn clusters(&self) -> RemoteClusters<'_> {
        RemoteClusters::new(self, &self.clusters)
    }

    /// The object of this pass, as events refer to it. Empty outside a pass.
    #[must_use]
    pub fn event_object(&self) -> &ObjectReference {
        &self.object
    }

    pub(crate) async fn entry(
        &self,
        resource: &ApiResource,
        namespace: &str,
        name: &str,
    ) -> Result<Option<Arc<Entry>>, GatherError> {
        let cache = self.ready(resource).await?;
        Ok(cache.get(self.dependent.as_ref(), namespace, name))
    }
}

impl fmt::Debug for Cx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cx")
            .field("object", &self.object)
            .finish_non_exhaustive()
    }
}

fn malformed(resource: &ApiResource, entry: &Entry, why: &str) -> GatherError {
    let (namespace, name) = (&entry.header.namespace, &entry.header.name);
    GatherError::Malformed {
        what: format!("{} {namespace}/{name}", resource.kind),
        why: why.to_owned(),
    }
}

/// Items of lists of built-in kinds don't say what they are.
fn with_types(object: Arc<DynamicObject>, resource: &ApiResource) -> Arc<DynamicObject> {
    if object.types.is_some() {
        return object;
    }
    let mut object = Arc::unwrap_or_clone(object);
    object.types = Some(TypeMeta {
        api_version: resource.api_version.clone(),
        kind: resource.kind.clone(),
    });
    Arc::new(object)
}
