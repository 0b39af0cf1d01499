//! The one task of a cluster that keeps APIServices, and what is known about extension servers, as they should be.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures::StreamExt;
use futures::stream;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::availability::{self, Verdict};
use super::remote::RemoteSpec;
use super::routes::RemoteRoute;
use super::{API_SERVICES, automatic, documents, trust};
use crate::auth::Objects;
use crate::registry::DEFINITIONS;
use crate::server::Cluster;
use crate::store::{ClusterStore, Cursor, CursorEnd, Event};
use crate::webhook::resolve::SERVICE_LABEL;

/// Every extension server is asked this often whether it answers.
const CHECK_PERIOD: Duration = Duration::from_secs(30);
/// The first pause after it did not; each further one is twice as long, up to the period.
const RETRY: Duration = Duration::from_millis(500);
/// Every extension server is asked this often what it serves.
const REFRESH_PERIOD: Duration = Duration::from_secs(60);
/// The first pause after what extension servers need to know could not be published; each further one is twice as long.
const PUBLISH_RETRY: Duration = Duration::from_secs(10);
const PUBLISH_RETRY_MAX: Duration = Duration::from_secs(600);
/// Extension servers that are asked at the same time.
const CONCURRENCY: usize = 8;

/// Where endpoints are.
const ENDPOINTS: [&str; 3] = ["services", "endpointslices.discovery.k8s.io", "endpoints"];

/// What is remembered of an extension server from one round to the next.
struct Tended {
    route: Arc<RemoteRoute>,
    /// What was seen of its Service and endpoints.
    seen: u64,
    /// When it is asked again whether it answers, and what it serves.
    check_at: Instant,
    refresh_at: Instant,
    failures: u32,
}

/// The state of what extension servers need to know.
#[derive(Default)]
struct Published {
    failures: u32,
    /// When it is to be written again, should nothing else happen before.
    again_at: Option<Instant>,
}

impl Published {
    /// Publishes it if need be. Users of the cluster can make that impossible for as long as they like.
    async fn ensure(&mut self, cluster: &Cluster) {
        let Err(error) = trust::ensure(cluster.registry(), &cluster.spec().keys).await else {
            *self = Self::default();
            return;
        };
        let cluster = &*cluster.spec().id;
        if self.failures == 0 {
            tracing::warn!(cluster, %error, "what extension API servers need to know is not published");
        } else {
            tracing::debug!(cluster, %error, "what extension API servers need to know is still not published");
        }
        let pause = PUBLISH_RETRY.saturating_mul(1 << self.failures.min(10));
        self.again_at = Some(Instant::now() + pause.min(PUBLISH_RETRY_MAX));
        self.failures = self.failures.saturating_add(1);
    }
}

/// Keeps them for as long as the cluster lives.
pub(crate) async fn keep(
    store: ClusterStore,
    cluster: Weak<Cluster>,
    woken: Arc<Notify>,
    mut closed: watch::Receiver<bool>,
) {
    let follow = async {
        let mut tended: HashMap<Box<str>, Tended> = HashMap::new();
        let mut published = Published::default();
        let mut is_first = true;
        loop {
            let revision = store.revision();
            {
                let Some(cluster) = cluster.upgrade() else {
                    return;
                };
                if std::mem::take(&mut is_first) {
                    automatic::at_start(cluster.registry(), &cluster.config.apis).await;
                }
                published.ensure(&cluster).await;
                round(&cluster, &mut tended).await;
            }
            let checks = tended.values().map(|t| t.check_at);
            let due = checks.chain(published.again_at).min();
            let ends = wait(&store, revision, (!tended.is_empty(), due), &woken).await;
            if ends == Err(CursorEnd::Closed) {
                return;
            }
        }
    };
    tokio::select! {
        () = follow => {}
        // An error means that the cluster is gone, which is the end as well.
        _ = closed.wait_for(|closed| *closed) => {}
    }
}

/// Until something changes that counts, or an extension server has to be asked again.
async fn wait(
    store: &ClusterStore,
    revision: u64,
    (has_remotes, due): (bool, Option<Instant>),
    woken: &Notify,
) -> Result<(), CursorEnd> {
    let watch = |resource: &str, namespace| store.watch(resource, namespace, revision).ok();
    let mut cursors = vec![
        watch(DEFINITIONS, None),
        watch(API_SERVICES, None),
        watch("configmaps", Some(trust::NAMESPACE)),
    ];
    if has_remotes {
        cursors.extend(ENDPOINTS.map(|resource| watch(resource, None)));
    }
    let Some(cursors) = cursors.into_iter().collect::<Option<Vec<Cursor>>>() else {
        // Too much has happened meanwhile: look again.
        tokio::task::yield_now().await;
        return Ok(());
    };
    tokio::select! {
        event = next(cursors) => event.map(drop),
        () = woken.notified() => Ok(()),
        () = sleep_until(due) => Ok(()),
    }
}

async fn next(mut cursors: Vec<Cursor>) -> Result<Arc<Event>, CursorEnd> {
    let waiting = cursors.iter_mut().map(|cursor| Box::pin(cursor.next()));
    futures::future::select_all(waiting).await.0
}

async fn sleep_until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}

async fn round(cluster: &Cluster, tended: &mut HashMap<Box<str>, Tended>) {
    let (registry, aggregation) = (cluster.registry(), cluster.aggregation());
    let apis = aggregation.apis.load_full();
    automatic::always(registry, &apis, cluster.config.apis.len()).await;
    automatic::mark_local(registry).await;
    let routes = aggregation.routes(registry.store());
    for name in &routes.crowded {
        availability::report(registry, name, &Verdict::crowded()).await;
    }
    for name in &routes.shadowing {
        availability::report(registry, name, &Verdict::shadowing()).await;
    }
    tended.retain(|name, _| routes.remotes.iter().any(|r| r.remote.spec.name == *name));
    let now = Instant::now();
    for route in &routes.remotes {
        let spec = &route.remote.spec;
        let seen = seen(spec, registry.store());
        let known = tended.get_mut(&spec.name);
        match known.filter(|t| Arc::ptr_eq(&t.route.remote, &route.remote)) {
            Some(known) => {
                if known.seen != seen {
                    (known.seen, known.check_at) = (seen, now);
                }
                known.route = route.clone();
            }
            None => {
                let new = Tended {
                    route: route.clone(),
                    seen,
                    check_at: now,
                    refresh_at: now,
                    failures: 0,
                };
                tended.insert(spec.name.clone(), new);
            }
        }
    }
    let due = tended.values_mut().filter(|t| t.check_at <= now);
    stream::iter(due)
        .for_each_concurrent(CONCURRENCY, |tended| tend(cluster, tended))
        .await;
}

/// Asks one extension server whether it answers, and perhaps what it serves.
async fn tend(cluster: &Cluster, tended: &mut Tended) {
    let remote = &tended.route.remote;
    let verdict = availability::check(remote, cluster.dialer()).await;
    let now = Instant::now();
    tended.check_at = now + CHECK_PERIOD;
    if verdict.is_available() {
        let has_recovered = tended.failures > 0 || !tended.route.is_available;
        tended.failures = 0;
        // Before it is said to be available, so that who waits for that finds its resources.
        if has_recovered || tended.refresh_at <= now {
            tended.refresh_at = now + REFRESH_PERIOD;
            if documents::refresh(remote, cluster.dialer(), &cluster.aggregation().room).await {
                cluster.aggregation().heard();
            }
        }
    } else if verdict.is_of_probe() {
        tended.check_at = now
            + RETRY
                .saturating_mul(1 << tended.failures.min(10))
                .min(CHECK_PERIOD);
        tended.failures = tended.failures.saturating_add(1);
    }
    availability::report(cluster.registry(), &remote.spec.name, &verdict).await;
}

/// A number that is another one when the Service or its endpoints have changed.
fn seen(spec: &RemoteSpec, objects: &dyn Objects) -> u64 {
    let service = objects.get("services", &spec.namespace, &spec.service);
    let endpoints = objects.get("endpoints", &spec.namespace, &spec.service);
    let mut slices = objects.list("endpointslices.discovery.k8s.io", Some(&spec.namespace));
    slices.retain(|slice| slice.header.label(SERVICE_LABEL) == Some(&spec.service));
    let mut hash = DefaultHasher::new();
    for object in slices.iter().chain(&service).chain(&endpoints) {
        object.header.revision.hash(&mut hash);
    }
    hash.finish()
}
