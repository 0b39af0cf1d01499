//! Groups that others serve: extension servers behind Services, and parts of this process. APIServices say who serves what.
//!
//! `routes` reads them, `automatic` keeps those of what is served here, `availability` finds out whether an extension
//! server answers, `documents` fetches what it says about itself, `resources` reads what it serves, `proxy` passes requests on over `remote`'s connections,
//! and `trust` publishes how it recognizes us. `keep` is the one task of a cluster that does all of this; while nobody
//! changes anything and there is no extension server, it sleeps.
//!
//! Kubernetes' own groups are always answered here, whatever their APIServices say: controllers rely on them.

mod api;
mod automatic;
mod availability;
mod documents;
mod keep;
mod proxy;
mod remote;
mod resources;
mod routes;
mod trust;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

pub use api::{Api, ApiAnswer, ApiRequest, declare};
pub(crate) use automatic::{base_objects, local_condition};
pub(crate) use keep::keep;
pub(crate) use proxy::Delegated;
pub(crate) use proxy::is_upgrade;
pub(crate) use routes::Route;
use routes::Routes;
pub(crate) use trust::ensure as ensure_trust;

use crate::discovery::{RemoteVersion, priority};
use crate::openapi::{Merged, Part};
use crate::resource::Resource;
use crate::serve::CERTIFICATE_LIFETIME;
use crate::server::Cluster;
use crate::status::Status;
use crate::store::ClusterStore;
use crate::webhook::verify::Identity;
use remote::Dialer;

/// Where APIServices are stored.
pub(crate) const API_SERVICES: &str = "apiservices.apiregistration.k8s.io";
/// Who we are to extension servers, and who other proxies are to us.
pub(crate) const PROXY_NAME: &str = "front-proxy-client";
/// Requests of one cluster to extension servers at a time, those that last included.
const MAX_PROXIED: usize = 1_000;

/// What a cluster knows about the groups that others serve.
pub(crate) struct Aggregation {
    routes: ArcSwap<Routes>,
    /// Parts of this process that serve a group of this cluster.
    apis: ArcSwap<Vec<Arc<dyn Api>>>,
    /// Counts what extension servers said anew about themselves.
    said: AtomicU64,
    places: Arc<Semaphore>,
    /// For what extension servers say about themselves.
    room: documents::Room,
    merged: Merged,
    identity: OnceLock<Option<Identity>>,
    /// Wakes the task that keeps all this.
    woken: Arc<Notify>,
}

impl Aggregation {
    /// Nothing known yet; `apis` serve groups of every cluster.
    pub(crate) fn new(apis: &[Arc<dyn Api>]) -> Self {
        Self {
            routes: ArcSwap::from_pointee(Routes::default()),
            apis: ArcSwap::from_pointee(apis.to_vec()),
            said: AtomicU64::new(0),
            places: Arc::new(Semaphore::new(MAX_PROXIED)),
            room: documents::Room::new(),
            merged: Merged::default(),
            identity: OnceLock::new(),
            woken: Arc::default(),
        }
    }

    /// Who serves what now.
    pub(crate) fn routes(&self, store: &ClusterStore) -> Arc<Routes> {
        let routes = self.routes.load_full();
        if routes.revision == Some(store.revision_of(API_SERVICES)) {
            return routes;
        }
        self.routes.rcu(|old| {
            if old.revision == Some(store.revision_of(API_SERVICES)) {
                return old.clone();
            }
            Arc::new(Routes::read(store, old, &self.apis.load()))
        });
        self.routes.load_full()
    }

    /// Who answers a request to this path, if not we ourselves.
    pub(crate) fn route(&self, store: &ClusterStore, segments: &[String]) -> Option<Route> {
        let segments: Vec<&str> = segments.iter().take(6).map(String::as_str).collect();
        let (group, version, is_open_api) = match *segments {
            ["apis", group, version, ..] => (group, version, false),
            ["openapi", "v3", "apis", group, version] => (group, version, true),
            _ => return None,
        };
        if priority::is_builtin(group) {
            return None;
        }
        let route = self.routes(store).find(group, version)?;
        match &route {
            Route::Remote(remote) if is_open_api => remote.remote.has_open_api().then_some(route),
            // What it serves is known here.
            Route::InProcess(_) if is_open_api || segments.len() == 3 => None,
            _ => Some(route),
        }
    }

    /// Grows whenever anything that documents are made of has changed.
    pub(crate) fn generation(&self, store: &ClusterStore) -> u64 {
        self.routes(store).generation + self.said.load(Ordering::Acquire)
    }

    /// The group versions that others serve, for discovery.
    pub(crate) fn versions(&self, store: &ClusterStore) -> Vec<RemoteVersion> {
        self.routes(store).versions()
    }

    /// The resources that parts of this process serve, for documents.
    pub(crate) fn resources(&self, store: &ClusterStore) -> Vec<Arc<Resource>> {
        self.routes(store).resources()
    }

    /// What extension servers say in version 2 of OpenAPI, each cut down to what is asked of it.
    pub(crate) fn open_api_v2(&self, store: &ClusterStore) -> Vec<Part> {
        let routes = self.routes(store);
        let remotes = routes.remotes.iter();
        remotes.filter_map(|r| r.remote.open_api_v2()).collect()
    }

    /// Where the documents are kept that this is merged into.
    pub(crate) fn merged(&self) -> &Merged {
        &self.merged
    }

    /// Where extension servers have their documents of version 3: key and address in the index.
    pub(crate) fn open_api_v3(&self, store: &ClusterStore) -> Vec<(String, String)> {
        let routes = self.routes(store);
        let remotes = routes.remotes.iter();
        remotes.filter_map(|r| r.remote.open_api_v3()).collect()
    }

    /// Wakes the task that keeps all this.
    pub(crate) fn woken(&self) -> Arc<Notify> {
        self.woken.clone()
    }

    fn heard(&self) {
        self.said.fetch_add(1, Ordering::AcqRel);
    }

    /// One of the places for requests to extension servers, held as long as the request lasts.
    fn place(&self) -> Result<OwnedSemaphorePermit, Status> {
        let place = Arc::clone(&self.places).try_acquire_owned();
        place.map_err(|_| {
            Status::too_many_requests(
                "too many requests to extension API servers, please try again later",
                1,
            )
        })
    }
}

impl Cluster {
    /// Serves a group version of this cluster by a part of this process, from now on and for as long as the cluster runs
    /// in it. The APIService of the group version says so, and is kept that way. The cluster keeps `api`, so that must not
    /// keep the cluster.
    pub fn serve_api(&self, api: Arc<dyn Api>) {
        let aggregation = self.aggregation();
        aggregation.apis.rcu(|known| {
            let mut apis = (**known).clone();
            apis.push(api.clone());
            apis
        });
        aggregation.routes.rcu(|old| Routes {
            revision: None,
            ..(**old).clone()
        });
        aggregation.woken.notify_one();
    }

    /// What is needed to reach extension servers.
    fn dialer(&self) -> Dialer<'_> {
        Dialer {
            objects: self.registry().store(),
            identity: self.proxy_identity(),
            own: SocketAddr::new(self.config.address, self.config.port),
        }
    }

    /// The certificate by which extension servers know us; a new one with each process.
    fn proxy_identity(&self) -> Option<&Identity> {
        let made = self.aggregation().identity.get_or_init(|| {
            let authority = self.spec().keys.front_proxy_authority();
            let issued = authority.and_then(|authority| {
                authority.issue_client(PROXY_NAME, &[], self.registry().now(), CERTIFICATE_LIFETIME)
            });
            let issued = match issued {
                Ok(issued) => issued,
                Err(error) => {
                    tracing::warn!(%error, "no certificate towards extension API servers");
                    return None;
                }
            };
            let chain = CertificateDer::pem_slice_iter(issued.cert_pem.as_bytes());
            Some(Identity {
                chain: chain.collect::<Result<_, _>>().ok()?,
                key: PrivateKeyDer::from_pem_slice(issued.key_pem.as_bytes()).ok()?,
            })
        });
        made.as_ref()
    }

    /// Whether a client certificate is the one by which we ask extension servers: then the request is one of our own that
    /// has come back.
    pub(crate) fn is_own_proxy(&self, certificate: &[u8]) -> bool {
        let identity = self.aggregation().identity.get().and_then(Option::as_ref);
        identity.is_some_and(|identity| identity.chain.first().is_some_and(|c| **c == *certificate))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_to_extension_servers_have_so_many_places() {
        let aggregation = Aggregation::new(&[]);
        let places: Vec<_> = (0..MAX_PROXIED)
            .map(|_| aggregation.place().unwrap())
            .collect();
        let refused = aggregation.place().unwrap_err();
        assert_eq!(
            (refused.code, refused.retry_after_seconds()),
            (429, Some(1))
        );
        drop(places);
        assert!(aggregation.place().is_ok());
    }
}
