//! The one task of a cluster that keeps APIServices, and what is known about extension servers, as they should be.
//!
//! Its rounds read and write what is here, and wait for nobody outside: whoever is asked is asked beside them, all at once, so
//! that a server that is slow to answer delays what is known about itself, and nothing else.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use tokio::sync::{Notify, Semaphore, watch};
use tokio::time::Instant;

use super::availability::{self, Verdict};
use super::documents::{self, Refreshed};
use super::remote::{Remote, RemoteSpec};
use super::routes::RemoteRoute;
use super::{API_SERVICES, automatic, trust};
use crate::auth::Objects;
use crate::registry::DEFINITIONS;
use crate::server::Cluster;
use crate::status::Status;
use crate::store::{ClusterStore, Cursor, CursorEnd, Event};
use crate::webhook::resolve::SERVICE_LABEL;

/// Every extension server is asked this often whether it answers.
const CHECK_PERIOD: Duration = Duration::from_secs(30);
/// The first pause after it did not, or did not say what it serves; each further one is twice as long, up to the period.
const RETRY: Duration = Duration::from_millis(500);
/// Every extension server is asked this often what it serves.
const REFRESH_PERIOD: Duration = Duration::from_secs(60);
/// The first pause after what extension servers need to know could not be published; each further one is twice as long.
const PUBLISH_RETRY: Duration = Duration::from_secs(10);
const PUBLISH_RETRY_MAX: Duration = Duration::from_secs(600);
/// Extension servers whose discovery is read at the same time, and whose OpenAPI documents are: each may be long.
const READERS: usize = 8;
const OPEN_API_READERS: usize = 4;

/// Where endpoints are.
const ENDPOINTS: [&str; 3] = ["services", "endpointslices.discovery.k8s.io", "endpoints"];

/// Something that repeats, and is not begun again while it is under way.
#[derive(Clone, Copy)]
struct Due {
    at: Option<Instant>,
    is_under_way: bool,
    failures: u32,
}

impl Due {
    fn now() -> Self {
        Self {
            at: Some(Instant::now()),
            is_under_way: false,
            failures: 0,
        }
    }

    /// As soon as it can be.
    fn hurry(&mut self) {
        self.at = Some(Instant::now());
    }

    /// Whether it is to begin, which it does with that.
    fn begins(&mut self, now: Instant) -> bool {
        let begins = !self.is_under_way && self.at.is_some_and(|at| at <= now);
        if begins {
            (self.is_under_way, self.at) = (true, None);
        }
        begins
    }

    /// It is done. Unless somebody has hurried meanwhile, the next time is after a pause.
    fn ends(&mut self, pause: Option<Duration>) {
        self.is_under_way = false;
        let next = pause.map(|pause| Instant::now() + pause);
        self.at = self.at.or(next);
    }

    fn succeeds(&mut self, period: Option<Duration>) {
        self.failures = 0;
        self.ends(period);
    }

    fn fails(&mut self, retry: Duration, max: Duration) {
        let pause = retry.saturating_mul(1 << self.failures.min(10)).min(max);
        self.failures = self.failures.saturating_add(1);
        self.ends(Some(pause));
    }

    /// When it has to begin; `None` while it is under way.
    fn next(&self) -> Option<Instant> {
        self.at.filter(|_| !self.is_under_way)
    }
}

/// What is remembered of an extension server.
struct Tended {
    route: Arc<RemoteRoute>,
    /// What was seen of its Service and endpoints.
    seen: u64,
    /// Whether it answered last time.
    is_available: bool,
    /// Whether it answers.
    check: Due,
    /// What it serves, which is asked together with a check; and its OpenAPI documents, after that.
    resources: Due,
    open_api: Due,
}

impl Tended {
    fn new(route: Arc<RemoteRoute>, seen: u64) -> Self {
        Self {
            route,
            seen,
            is_available: false,
            check: Due::now(),
            resources: Due::now(),
            open_api: Due::now(),
        }
    }

    fn checked(&mut self, verdict: &Verdict, resources: Option<Refreshed>) {
        let was_available = std::mem::replace(&mut self.is_available, verdict.is_available());
        if !self.is_available {
            // Whoever answers again may serve something else.
            self.resources = Due::now();
            if verdict.is_of_probe() {
                self.check.fails(RETRY, CHECK_PERIOD);
            } else {
                self.check.succeeds(Some(CHECK_PERIOD));
            }
            return;
        }
        self.check.succeeds(Some(CHECK_PERIOD));
        match resources {
            Some(refreshed) if refreshed.has_failed => {
                self.resources.fails(RETRY, REFRESH_PERIOD);
                self.check.at = self.check.at.min(self.resources.at);
            }
            Some(_) => self.resources.succeeds(Some(REFRESH_PERIOD)),
            None => {}
        }
        if !was_available {
            self.open_api.hurry();
        }
    }

    /// When something of it has to begin.
    fn next(&self) -> Option<Instant> {
        let open_api = self.open_api.next().filter(|_| self.is_available);
        self.check.next().into_iter().chain(open_api).min()
    }
}

/// What was found out beside the rounds.
enum Told {
    Checked {
        remote: Arc<Remote>,
        verdict: Verdict,
        /// Of its resources, if it was asked for them.
        resources: Option<Refreshed>,
    },
    OpenApi(Arc<Remote>, Refreshed),
    Published(Result<(), Status>),
}

/// Keeps them for as long as the cluster lives.
pub(crate) async fn keep(
    store: ClusterStore,
    cluster: Weak<Cluster>,
    woken: Arc<Notify>,
    mut closed: watch::Receiver<bool>,
) {
    let follow = async {
        let mut keeper = Keeper::new();
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
                keeper.round(&cluster).await;
            }
            let changed = changed(&store, revision, !keeper.tended.is_empty(), &woken);
            if keeper.attend(&cluster, changed).await == Err(CursorEnd::Closed) {
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

/// Until something changes that counts.
async fn changed(
    store: &ClusterStore,
    revision: u64,
    has_remotes: bool,
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

/// All that is remembered.
struct Keeper {
    tended: HashMap<Box<str>, Tended>,
    /// What extension servers need to know. Users of the cluster can make it impossible to publish that, for as long as they
    /// like.
    publishing: Due,
    asking: FuturesUnordered<BoxFuture<'static, Told>>,
    readers: Arc<Semaphore>,
    open_api_readers: Arc<Semaphore>,
}

impl Keeper {
    fn new() -> Self {
        Self {
            tended: HashMap::new(),
            publishing: Due::now(),
            asking: FuturesUnordered::new(),
            readers: Arc::new(Semaphore::new(READERS)),
            open_api_readers: Arc::new(Semaphore::new(OPEN_API_READERS)),
        }
    }

    /// Puts right what is here, and sees who is to be asked.
    async fn round(&mut self, cluster: &Cluster) {
        let (registry, aggregation) = (cluster.registry(), cluster.aggregation());
        let apis = aggregation.apis.load_full();
        automatic::always(registry, &apis, cluster.config.apis.len()).await;
        automatic::mark_local(registry, &apis).await;
        self.publishing.hurry();
        let routes = aggregation.routes(registry.store());
        for name in &routes.crowded {
            availability::report(registry, name, &Verdict::crowded()).await;
        }
        for name in &routes.shadowing {
            availability::report(registry, name, &Verdict::shadowing()).await;
        }
        let is_there = |name: &str| routes.remotes.iter().any(|r| *r.remote.spec.name == *name);
        self.tended.retain(|name, _| is_there(name));
        for route in &routes.remotes {
            let spec = &route.remote.spec;
            let seen = seen(spec, registry.store());
            let known = self.tended.get_mut(&spec.name);
            match known.filter(|t| Arc::ptr_eq(&t.route.remote, &route.remote)) {
                Some(known) => {
                    if std::mem::replace(&mut known.seen, seen) != seen {
                        known.check.hurry();
                    }
                    known.route = route.clone();
                }
                None => {
                    let new = Tended::new(route.clone(), seen);
                    self.tended.insert(spec.name.clone(), new);
                }
            }
        }
    }

    /// Asks whoever is to be asked, and notes what they say, until something has changed.
    async fn attend(
        &mut self,
        cluster: &Weak<Cluster>,
        changed: impl Future<Output = Result<(), CursorEnd>>,
    ) -> Result<(), CursorEnd> {
        tokio::pin!(changed);
        loop {
            {
                let Some(cluster) = cluster.upgrade() else {
                    return Err(CursorEnd::Closed);
                };
                self.begin(&cluster);
            }
            let tended = self.tended.values().filter_map(Tended::next);
            let due = tended.chain(self.publishing.next()).min();
            tokio::select! {
                ends = &mut changed => return ends,
                Some(told) = self.asking.next(), if !self.asking.is_empty() => {
                    let Some(cluster) = cluster.upgrade() else {
                        return Err(CursorEnd::Closed);
                    };
                    self.note(&cluster, told).await;
                }
                () = sleep_until(due) => {}
            }
        }
    }

    /// Begins what is due.
    fn begin(&mut self, cluster: &Arc<Cluster>) {
        let now = Instant::now();
        if self.publishing.begins(now) {
            let cluster = cluster.clone();
            self.asking.push(Box::pin(async move {
                Told::Published(trust::ensure(cluster.registry(), &cluster.spec().keys).await)
            }));
        }
        for tended in self.tended.values_mut() {
            let remote = &tended.route.remote;
            if tended.check.begins(now) {
                let readers = tended.resources.begins(now).then(|| self.readers.clone());
                let checked = check(cluster.clone(), remote.clone(), readers);
                self.asking.push(Box::pin(checked));
            }
            if tended.is_available && tended.open_api.begins(now) {
                let readers = self.open_api_readers.clone();
                let read = read_open_api(cluster.clone(), remote.clone(), readers);
                self.asking.push(Box::pin(read));
            }
        }
    }

    async fn note(&mut self, cluster: &Cluster, told: Told) {
        let heard = |refreshed: Option<Refreshed>| {
            if refreshed.is_some_and(|refreshed| refreshed.is_new) {
                cluster.aggregation().heard();
            }
        };
        match told {
            Told::Checked {
                remote,
                verdict,
                resources,
            } => {
                if let Some(tended) = self.tended_of(&remote) {
                    tended.checked(&verdict, resources);
                    heard(resources);
                    availability::report(cluster.registry(), &remote.spec.name, &verdict).await;
                }
            }
            Told::OpenApi(remote, refreshed) => {
                if let Some(tended) = self.tended_of(&remote) {
                    if refreshed.has_failed {
                        tended.open_api.fails(RETRY, REFRESH_PERIOD);
                    } else {
                        tended.open_api.succeeds(Some(REFRESH_PERIOD));
                    }
                    heard(Some(refreshed));
                }
            }
            Told::Published(Ok(())) => self.publishing.succeeds(None),
            Told::Published(Err(error)) => {
                let cluster = &*cluster.spec().id;
                let what = "what extension API servers need to know is not published";
                if self.publishing.failures == 0 {
                    tracing::warn!(cluster, %error, "{what}");
                } else {
                    tracing::debug!(cluster, %error, "{what}");
                }
                self.publishing.fails(PUBLISH_RETRY, PUBLISH_RETRY_MAX);
            }
        }
    }

    /// `None` for a server that is another one, or gone, by now.
    fn tended_of(&mut self, remote: &Arc<Remote>) -> Option<&mut Tended> {
        let tended = self.tended.get_mut(&remote.spec.name);
        tended.filter(|tended| Arc::ptr_eq(&tended.route.remote, remote))
    }
}

/// Asks an extension server whether it answers and, with `readers`, what it serves. Both are known before it is said to be
/// available, so that who waits for that finds its resources.
async fn check(
    cluster: Arc<Cluster>,
    remote: Arc<Remote>,
    readers: Option<Arc<Semaphore>>,
) -> Told {
    let verdict = availability::check(&remote, cluster.dialer()).await;
    let mut resources = None;
    if let Some(readers) = readers.filter(|_| verdict.is_available()) {
        let _reader = readers.acquire().await;
        let room = &cluster.aggregation().room;
        resources = Some(documents::refresh_resources(&remote, cluster.dialer(), room).await);
    }
    Told::Checked {
        remote,
        verdict,
        resources,
    }
}

async fn read_open_api(
    cluster: Arc<Cluster>,
    remote: Arc<Remote>,
    readers: Arc<Semaphore>,
) -> Told {
    let _reader = readers.acquire().await;
    let room = &cluster.aggregation().room;
    let refreshed = documents::refresh_open_api(&remote, cluster.dialer(), room).await;
    Told::OpenApi(remote, refreshed)
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
