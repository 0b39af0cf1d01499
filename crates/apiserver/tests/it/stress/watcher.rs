//! A client that lists and watches, gets lost in every way there is, and checks all that it is told.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::ops::AddAssign;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use http::Method;
use rand::Rng;
use rand::rngs::StdRng;
use serde::Deserialize;
use tokio::time::sleep;

use super::log::{COLORS, Changed, Log, RESOURCES};
use crate::world::{Watching, World};

/// How many changes of a resource a server remembers at least, and for how long, when memory is not short.
const REMEMBERED: usize = 8192;
const REMEMBERED_SECONDS: u64 = 600;
/// The age at which a continue token must have expired: five minutes, and for as long as ages are imprecise.
const TOKEN_SECONDS: u64 = 300 + 2 * (30 + super::PAUSE_SECONDS);

/// What a watcher looks at.
#[derive(Clone, Debug)]
pub(super) struct Scope {
    pub(super) resource: usize,
    pub(super) namespace: Option<usize>,
    /// By a label.
    pub(super) color: Option<usize>,
    /// By a field.
    pub(super) name: Option<usize>,
    pub(super) metadata_only: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    Prompt,
    /// Pauses now and then, sometimes for longer than the history lasts.
    Slow,
}

/// What happened to watchers.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) events: u64,
    /// Objects of lists and of initial events.
    pub(super) initial: u64,
    pub(super) bookmarks: u64,
    /// The client went away and came back.
    pub(super) reconnects: u64,
    /// Streams that ended when they should.
    pub(super) timeouts: u64,
    /// Streams that ended early: the client was too slow.
    pub(super) cut_off: u64,
    /// Watches refused because their revision was forgotten.
    pub(super) expired: u64,
    /// Continue tokens refused for the same reason.
    pub(super) pages_expired: u64,
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.events += other.events;
        self.initial += other.initial;
        self.bookmarks += other.bookmarks;
        self.reconnects += other.reconnects;
        self.timeouts += other.timeouts;
        self.cut_off += other.cut_off;
        self.expired += other.expired;
        self.pages_expired += other.pages_expired;
    }
}

impl Scope {
    fn selects(&self, name: usize, color: Option<usize>) -> bool {
        color.is_some_and(|color| self.color.is_none_or(|wanted| wanted == color))
            && self.name.is_none_or(|wanted| wanted == name)
    }

    /// What a watcher must be told of a change; `None` is nothing.
    fn told(&self, changed: &Changed) -> Option<&'static str> {
        let was = self.selects(changed.name, changed.was);
        let is = self.selects(changed.name, changed.is);
        match (was, is) {
            (false, true) => Some("ADDED"),
            (true, true) => Some("MODIFIED"),
            (true, false) => Some("DELETED"),
            (false, false) => None,
        }
    }

    fn path(&self) -> String {
        let namespace = self.namespace.map(|n| format!("namespaces/n{n}/"));
        let mut path = format!(
            "/api/v1/{}{}?",
            namespace.unwrap_or_default(),
            RESOURCES[self.resource].0
        );
        if let Some(color) = self.color {
            write!(path, "labelSelector=color%3D{}&", COLORS[color]).unwrap();
        }
        if let Some(name) = self.name {
            write!(path, "fieldSelector=metadata.name%3Do{name}&").unwrap();
        }
        path
    }
}

#[derive(Deserialize)]
struct Told {
    #[serde(rename = "type")]
    ty: String,
    object: Shown,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Listed {
    #[serde(default)]
    metadata: ListMeta,
    #[serde(default)]
    items: Vec<Shown>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ListMeta {
    resource_version: String,
    #[serde(rename = "continue")]
    next: String,
}

#[derive(Deserialize)]
struct Shown {
    kind: Option<String>,
    code: Option<u16>,
    metadata: Meta,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Meta {
    name: String,
    namespace: String,
    resource_version: String,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
}

impl Meta {
    fn revision(&self) -> u64 {
        self.resource_version.parse().unwrap()
    }

    /// Namespace and name.
    fn key(&self) -> (usize, usize) {
        let number = |text: &str| text[1..].parse().unwrap();
        (number(&self.namespace), number(&self.name))
    }

    fn color(&self) -> usize {
        let color = &self.labels["color"];
        COLORS.iter().position(|c| c == color).unwrap()
    }
}

/// Namespace and name → revision.
type View = BTreeMap<(usize, usize), u64>;

/// How reading a stream ended.
enum End {
    /// The log is over and was seen to its end.
    Finished,
    /// To be resumed from the last revision.
    Broken,
    /// The last revision is forgotten.
    Expired,
}

pub(super) struct Watcher {
    number: u64,
    scope: Scope,
    pace: Pace,
    rng: StdRng,
    world: Arc<World>,
    log: Arc<RwLock<Log>>,
    /// Entries of the log, of the watcher's resource and namespace, that are behind it.
    at: usize,
    /// The revision to resume from.
    seen: u64,
    view: View,
    counts: Counts,
}

impl Watcher {
    pub(super) fn new(
        number: u64,
        scope: Scope,
        pace: Pace,
        rng: StdRng,
        world: Arc<World>,
        log: Arc<RwLock<Log>>,
    ) -> Self {
        Self {
            number,
            scope,
            pace,
            rng,
            world,
            log,
            at: 0,
            seen: 0,
            view: View::new(),
            counts: Counts::default(),
        }
    }

    /// Follows the log to its end, whatever happens on the way.
    pub(super) async fn follow(mut self, mut at_end: tokio::sync::watch::Receiver<bool>) -> Counts {
        let mut must_list = true;
        loop {
            let stream = if must_list {
                self.begin().await
            } else {
                self.resume().await
            };
            let end = match stream {
                Some(stream) => self.read(stream, &mut at_end).await,
                None => End::Broken,
            };
            match end {
                End::Finished => break,
                End::Broken => must_list = self.seen == 0,
                End::Expired => must_list = true,
            }
            if !*at_end.borrow() {
                self.pause().await;
            }
        }
        let log = self.log.read().unwrap();
        assert_eq!(self.view, self.state(&log, log.revision), "{self:?}");
        self.counts
    }

    /// A pause between two connections.
    async fn pause(&mut self) {
        let seconds = match self.rng.random_range(0..20) {
            0..15 => 0,
            15..19 => self.rng.random_range(1..100),
            _ => self.rng.random_range(1..2000),
        };
        sleep(Duration::from_secs(seconds)).await;
    }

    /// What the watcher must see at a revision.
    fn state(&self, log: &Log, revision: u64) -> View {
        let mut view = View::new();
        for changed in log.of(self.scope.resource, self.scope.namespace) {
            if changed.revision > revision {
                break;
            }
            let key = (changed.namespace, changed.name);
            if self.scope.selects(changed.name, changed.is) {
                view.insert(key, changed.revision);
            } else {
                view.remove(&key);
            }
        }
        view
    }

    /// Takes over a list, which must be the state at its revision.
    fn take(&mut self, revision: u64, items: &[Shown]) {
        self.counts.initial += items.len() as u64;
        let view: View = items
            .iter()
            .map(|item| (item.metadata.key(), item.metadata.revision()))
            .collect();
        assert_eq!(view.len(), items.len(), "{self:?}: an object came twice");
        let log = self.log.read().unwrap();
        assert_eq!(view, self.state(&log, revision), "{self:?} at {revision}");
        let changes = log.of(self.scope.resource, self.scope.namespace);
        let at = changes.partition_point(|changed| changed.revision <= revision);
        drop(log);
        (self.view, self.seen, self.at) = (view, revision, at);
    }

    /// Learns the present by one of the ways that clients have. `None` when that failed.
    async fn begin(&mut self) -> Option<Watching> {
        self.seen = 0;
        match self.rng.random_range(0..3) {
            0 => {
                let listed = self.list("").await.unwrap();
                self.take(
                    listed.metadata.resource_version.parse().unwrap(),
                    &listed.items,
                );
                self.resume().await
            }
            1 => {
                self.pages().await?;
                self.resume().await
            }
            _ => Some(self.initial_events().await),
        }
    }

    async fn list(&self, query: &str) -> Result<Listed, u16> {
        let path = format!("{}{query}", self.scope.path());
        let json = "application/json";
        let answer = self.world.send(Method::GET, &path, json, "").await;
        match answer.code {
            200 => Ok(serde_json::from_value(answer.body).unwrap()),
            code => Err(code),
        }
    }

    /// A list in pages; `None` when it took too long and its revision expired.
    async fn pages(&mut self) -> Option<()> {
        let limit = self.rng.random_range(1..9);
        let limit = limit
            * if self.scope.namespace.is_none() {
                100
            } else {
                1
            };
        let mut page = self.list(&format!("limit={limit}")).await.unwrap();
        let revision = page.metadata.resource_version.clone();
        let mut items = Vec::new();
        loop {
            items.append(&mut page.items);
            if page.metadata.next.is_empty() {
                break;
            }
            if self.rng.random_bool(0.2) {
                let seconds = self.rng.random_range(0..400);
                sleep(Duration::from_secs(seconds)).await;
            }
            let next = page.metadata.next;
            page = match self.list(&format!("limit={limit}&continue={next}")).await {
                Ok(page) => page,
                Err(code) => {
                    assert_eq!(code, 410, "{self:?}");
                    self.counts.pages_expired += 1;
                    return None;
                }
            };
            let age = self.age(revision.parse().unwrap());
            assert!(age.as_secs() < TOKEN_SECONDS, "{self:?}: {age:?}");
            assert_eq!(page.metadata.resource_version, revision, "{self:?}");
        }
        self.take(revision.parse().unwrap(), &items);
        Some(())
    }

    /// For how long `revision` has not been the newest.
    fn age(&self, revision: u64) -> Duration {
        let log = self.log.read().unwrap();
        let all = log.of(self.scope.resource, None);
        let next = all.partition_point(|changed| changed.revision <= revision);
        all.get(next)
            .map_or(Duration::ZERO, |changed| changed.at.elapsed())
    }

    /// A watch that begins with the state.
    async fn initial_events(&mut self) -> Watching {
        let query = "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&resourceVersion=";
        let mut stream = self.watch(query).await;
        let mut items = Vec::new();
        loop {
            let told: Told = serde_json::from_slice(&stream.bytes().await.unwrap()).unwrap();
            if told.ty == "BOOKMARK" {
                let annotations = &told.object.metadata.annotations;
                assert_eq!(annotations["k8s.io/initial-events-end"], "true");
                self.take(told.object.metadata.revision(), &items);
                return stream;
            }
            assert_eq!(told.ty, "ADDED");
            items.push(told.object);
        }
    }

    async fn resume(&mut self) -> Option<Watching> {
        let query = format!("resourceVersion={}", self.seen);
        Some(self.watch(&query).await)
    }

    async fn watch(&mut self, query: &str) -> Watching {
        let timeout = self.rng.random_range(20..1500);
        let path = self.scope.path();
        let path =
            format!("{path}watch=1&allowWatchBookmarks=true&timeoutSeconds={timeout}&{query}");
        let accept = if self.scope.metadata_only {
            "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
        } else {
            "application/json"
        };
        self.world.watch_as(&path, accept).await
    }

    /// Reads until the stream ends or the client has enough of it.
    async fn read(
        &mut self,
        mut stream: Watching,
        at_end: &mut tokio::sync::watch::Receiver<bool>,
    ) -> End {
        loop {
            if *at_end.borrow() {
                let log = self.log.read().unwrap();
                let changes = log.of(self.scope.resource, self.scope.namespace);
                let mut rest = changes[self.at..].iter();
                if rest.all(|changed| self.scope.told(changed).is_none()) {
                    return End::Finished;
                }
            } else if self.rng.random_bool(0.004) {
                self.counts.reconnects += 1;
                return End::Broken;
            } else if self.pace == Pace::Slow && self.rng.random_bool(0.05) {
                let seconds = self.rng.random_range(0..1500);
                sleep(Duration::from_secs(seconds)).await;
            }
            let line = if *at_end.borrow() {
                stream.bytes().await
            } else {
                tokio::select! {
                    line = stream.bytes() => line,
                    _ = at_end.changed() => continue,
                }
            };
            let Some(line) = line else {
                if self.is_behind() {
                    self.counts.cut_off += 1;
                } else {
                    self.counts.timeouts += 1;
                }
                return End::Broken;
            };
            if self.see(&line) {
                return End::Expired;
            }
        }
    }

    /// Whether a change that the watcher did not see yet may be forgotten.
    fn is_behind(&self) -> bool {
        let log = self.log.read().unwrap();
        let all = log.of(self.scope.resource, None);
        let next = all.partition_point(|changed| changed.revision <= self.seen);
        let ahead = all.len() - next;
        drop(log);
        ahead > REMEMBERED || self.age(self.seen).as_secs() >= REMEMBERED_SECONDS
    }

    /// Compares an event with the log. The answer is whether it says that the watch's revision is forgotten.
    fn see(&mut self, line: &[u8]) -> bool {
        let told: Told = serde_json::from_slice(line).unwrap();
        if told.ty == "ERROR" {
            assert_eq!(told.object.code, Some(410), "{self:?}");
            assert!(self.is_behind(), "{self:?} expired too early");
            self.counts.expired += 1;
            return true;
        }
        let meta = &told.object.metadata;
        let revision = meta.revision();
        let log = self.log.clone();
        let log = log.read().unwrap();
        let changes = log.of(self.scope.resource, self.scope.namespace);
        let rest = changes[self.at..].iter();
        let next = rest
            .enumerate()
            .find_map(|(n, changed)| Some((n, changed, self.scope.told(changed)?)));
        if told.ty == "BOOKMARK" {
            self.counts.bookmarks += 1;
            assert!(revision >= self.seen, "{self:?}: back to {revision}");
            assert!(
                next.is_none_or(|(_, changed, _)| changed.revision > revision),
                "{self:?}: a bookmark at {revision} is ahead of {next:?}"
            );
            self.seen = revision;
            return false;
        }
        self.counts.events += 1;
        let Some((passed, changed, ty)) = next else {
            unreachable!("{self:?}: {} {revision} never happened", told.ty);
        };
        let is_metadata = told.object.kind.as_deref() == Some("PartialObjectMetadata");
        assert_eq!(is_metadata, self.scope.metadata_only);
        assert_eq!(
            (told.ty.as_str(), revision, meta.key()),
            (ty, changed.revision, (changed.namespace, changed.name)),
            "{self:?}"
        );
        if ty == "DELETED" {
            // The last state that the watcher was to see.
            assert_eq!(Some(meta.color()), changed.was, "{self:?}");
            self.view.remove(&meta.key());
        } else {
            assert_eq!(Some(meta.color()), changed.is, "{self:?}");
            self.view.insert(meta.key(), revision);
        }
        self.seen = revision;
        self.at += passed + 1;
        false
    }
}

impl std::fmt::Debug for Watcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watcher")
            .field("number", &self.number)
            .field("scope", &self.scope)
            .field("at", &self.at)
            .field("seen", &self.seen)
            .finish_non_exhaustive()
    }
}
