//! The cache of one kind: objects as the bytes they came in, and who looked at what.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::hash::{Hash, Hasher};
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use bytes::Bytes;
use kube::core::ApiResource;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use crate::forms::{self, Forms};
use crate::queue::{Dependent, wake_all};
use crate::room::{Held, Room};
use crate::{Selector, Signal};

/// So few objects are looked at one by one, and not found by their labels.
const FEW: usize = 64;
/// Labels that objects of one kind are found by, at most: whose selectors use others look at all of them.
const MAX_INDEXED: usize = 32;

/// The part of an object's metadata that caches need, parsed once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// Empty for cluster-scoped objects.
    pub namespace: String,
    pub name: String,
    pub uid: String,
    pub resource_version: String,
    /// The resource version as a number, if it is one.
    pub revision: Option<u64>,
    pub labels: BTreeMap<String, String>,
    pub owners: Vec<Owner>,
    pub finalizers: Vec<String>,
    /// Has a deletion timestamp.
    pub is_deleting: bool,
}

/// One owner reference.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Owner {
    pub api_version: String,
    pub kind: String,
    pub name: String,
    pub uid: String,
    pub controller: Option<bool>,
    pub block_owner_deletion: Option<bool>,
}

/// Hears of every change of a kind's objects. Called in order and under the cache's lock: it must be quick and must
/// not read the cache.
pub trait Listener: Send + Sync {
    /// An object appeared (`old` is `None`), changed, or went (`new` is `None`).
    fn changed(&self, old: Option<&Header>, new: Option<&Header>);
}

/// An object in the cache.
#[derive(Debug)]
pub struct Entry {
    pub header: Header,
    /// JSON.
    raw: Bytes,
    /// Where in `raw` the value of `metadata.managedFields` is; empty if it has none.
    managed: Range<usize>,
    forms: Forms,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
struct Metadata<'a> {
    namespace: Option<String>,
    name: String,
    uid: Option<String>,
    resource_version: Option<String>,
    labels: Option<BTreeMap<String, String>>,
    owner_references: Option<Vec<Owner>>,
    finalizers: Option<Vec<String>>,
    deletion_timestamp: Option<String>,
    #[serde(borrow)]
    managed_fields: Option<&'a RawValue>,
}

impl Entry {
    /// Takes an object as the API wrote it. If `known` gives the same text, that is kept in the place of a copy.
    ///
    /// # Errors
    /// If it is no object with a name and a resource version.
    pub(crate) fn parse(
        raw: &RawValue,
        known: impl FnOnce(&Header) -> Option<Bytes>,
    ) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Head<'a> {
            #[serde(borrow)]
            metadata: Metadata<'a>,
        }
        let head: Head<'_> = serde_json::from_str(raw.get()).map_err(|error| error.to_string())?;
        let meta = head.metadata;
        let managed = meta.managed_fields.map_or(0..0, |fields| {
            let start = fields.get().as_ptr().addr() - raw.get().as_ptr().addr();
            start..start + fields.get().len()
        });
        let resource_version = meta.resource_version.unwrap_or_default();
        if meta.name.is_empty() || resource_version.is_empty() {
            return Err("metadata.name and metadata.resourceVersion must not be empty".to_owned());
        }
        let header = Header {
            namespace: meta.namespace.unwrap_or_default(),
            name: meta.name,
            uid: meta.uid.unwrap_or_default(),
            revision: resource_version.parse().ok(),
            resource_version,
            labels: meta.labels.unwrap_or_default(),
            owners: meta.owner_references.unwrap_or_default(),
            finalizers: meta.finalizers.unwrap_or_default(),
            is_deleting: meta.deletion_timestamp.is_some(),
        };
        let text = raw.get().as_bytes();
        let raw = known(&header)
            .filter(|known| known == text)
            .unwrap_or_else(|| Bytes::copy_from_slice(text));
        Ok(Self {
            header,
            raw,
            managed,
            forms: Forms::default(),
        })
    }

    /// The object as a type, without `metadata.managedFields`: those are often more than half of it, and no controller looks
    /// at them. Parsed once per type, while it is read.
    ///
    /// # Errors
    /// Why it does not parse.
    pub fn read<K: DeserializeOwned + Send + Sync + 'static>(&self) -> Result<Arc<K>, Arc<str>> {
        self.forms.read(|| {
            serde_json::from_str::<K>(&self.without_managed()).map_err(|error| {
                let Header {
                    namespace, name, ..
                } = &self.header;
                tracing::warn!(namespace, name, %error, "skipping an object that does not parse");
                Arc::from(error.to_string())
            })
        })
    }

    fn without_managed(&self) -> Cow<'_, str> {
        let text = self.json();
        match (text.get(..self.managed.start), text.get(self.managed.end..)) {
            (Some(before), Some(after)) if !self.managed.is_empty() => {
                Cow::Owned([before, after].join("null"))
            }
            _ => Cow::Borrowed(text),
        }
    }

    /// The object as JSON text.
    #[must_use]
    pub fn json(&self) -> &str {
        // It was text when it came.
        std::str::from_utf8(&self.raw).unwrap_or_default()
    }

    /// Its bytes.
    fn size(&self) -> usize {
        self.raw.len()
    }

    fn matches(&self, namespace: Option<&str>, selector: &Selector) -> bool {
        namespace.is_none_or(|ns| ns == self.header.namespace)
            && selector.matches(
                &self.header.labels,
                self.header.owners.iter().map(|o| o.uid.as_str()),
            )
    }
}

/// How far a kind's cache has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// The first list is under way.
    Starting,
    /// The first list failed and is tried again.
    Failed(Arc<str>),
    /// It holds all objects.
    Synced,
    /// The server does not serve this kind (yet); as good as empty.
    NotServed,
}

/// How a change reached the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    Watch,
    /// The response to a write of ours, ahead of the watch.
    Write,
}

/// All objects of one kind of one cluster.
pub(crate) struct KindCache {
    pub(crate) resource: ApiResource,
    state: Mutex<State>,
    pub(crate) progress: crate::state::State<Progress>,
    /// Notified when a first list succeeds: for those who did not wait for it.
    pub(crate) arrived: Signal,
    pub(crate) malformed: AtomicU64,
    pub(crate) relists: AtomicU64,
}

#[derive(Default)]
struct State {
    /// By namespace, then name.
    objects: BTreeMap<String, BTreeMap<String, Arc<Entry>>>,
    /// Namespace and name of objects, by the uid of an owner.
    by_owner: HashMap<String, BTreeSet<(String, String)>>,
    /// Objects by labels, as far as lists asked for them: by key, then value.
    by_label: HashMap<String, HashMap<String, Labelled>>,
    /// Deleted by us (uid), but the watch has not said so yet.
    deleted: HashMap<(String, String), String>,
    /// Up to here the watch has told us everything.
    seen: u64,
    held: Held,
    listeners: Vec<Arc<dyn Listener>>,
    by_name: HashMap<(String, String), HashSet<Dependent>>,
    by_list: HashMap<Bucket, HashMap<Selector, HashSet<Dependent>>>,
}

/// Objects with one label, by namespace and name.
type Labelled = BTreeMap<(String, String), Arc<Entry>>;

/// Lists are found again by one cheap necessary condition of their selector.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Bucket {
    namespace: Option<String>,
    by: By,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum By {
    Any,
    Owner(String),
    Label(String, String),
}

/// Something that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Read {
    Name(String, String),
    List(Option<String>, Selector),
}

/// Something that was looked at, and where.
#[derive(Clone)]
pub(crate) enum ReadRef {
    Cache(Weak<KindCache>, Read),
    Signal(Signal),
}

impl PartialEq for ReadRef {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Cache(a, read), Self::Cache(b, other)) => a.ptr_eq(b) && read == other,
            (Self::Signal(a), Self::Signal(b)) => a == b,
            (Self::Cache(..) | Self::Signal(_), _) => false,
        }
    }
}
impl Eq for ReadRef {}
impl Hash for ReadRef {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self {
            Self::Cache(cache, read) => {
                cache.as_ptr().hash(state);
                read.hash(state);
            }
            Self::Signal(signal) => signal.hash(state),
        }
    }
}

impl ReadRef {
    /// The dependent no longer wants to be woken by this.
    pub(crate) fn forget(&self, dependent: &Dependent) {
        match self {
            Self::Cache(cache, read) => {
                if let Some(cache) = cache.upgrade() {
                    cache.forget(dependent, read);
                }
            }
            Self::Signal(signal) => signal.forget(dependent),
        }
    }
}

impl KindCache {
    /// An empty cache; `room` is what its objects have to share with those of others.
    pub(crate) fn new(resource: ApiResource, room: Option<Arc<Room>>) -> Arc<Self> {
        let state = State {
            held: Held::new(room),
            ..State::default()
        };
        Arc::new(Self {
            resource,
            state: Mutex::new(state),
            progress: crate::state::State::new(Progress::Starting),
            arrived: Signal::new(),
            malformed: AtomicU64::new(0),
            relists: AtomicU64::new(0),
        })
    }

    /// Whether it holds all there is.
    pub(crate) fn has_arrived(&self) -> bool {
        matches!(self.progress.get(), Progress::Synced | Progress::NotServed)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One object, and from now on `dependent` is woken when it changes.
    pub(crate) fn get(
        self: &Arc<Self>,
        dependent: Option<&Dependent>,
        namespace: &str,
        name: &str,
    ) -> Option<Arc<Entry>> {
        let mut state = self.state();
        if let Some(dependent) = dependent {
            let key = (namespace.to_owned(), name.to_owned());
            let read = Read::Name(key.0.clone(), key.1.clone());
            dependent.record(ReadRef::Cache(Arc::downgrade(self), read));
            state
                .by_name
                .entry(key)
                .or_default()
                .insert(dependent.clone());
        }
        state.get(namespace, name).cloned()
    }

    /// The selected objects, by namespace and name, and from now on `dependent` is woken when the answer changes.
    pub(crate) fn list(
        self: &Arc<Self>,
        dependent: Option<&Dependent>,
        namespace: Option<&str>,
        selector: &Selector,
    ) -> Vec<Arc<Entry>> {
        let mut state = self.state();
        if let Some(dependent) = dependent {
            let read = Read::List(namespace.map(str::to_owned), selector.clone());
            dependent.record(ReadRef::Cache(Arc::downgrade(self), read));
            let lists = state
                .by_list
                .entry(Bucket::of(namespace, selector))
                .or_default();
            lists
                .entry(selector.clone())
                .or_default()
                .insert(dependent.clone());
        }
        let is_wanted = |entry: &&Arc<Entry>| entry.matches(namespace, selector);
        if let Some(owner) = &selector.owner {
            let keys = state.by_owner.get(owner).into_iter().flatten();
            let owned = keys.filter_map(|(ns, name)| state.get(ns, name));
            return owned.filter(is_wanted).cloned().collect();
        }
        if let Some((key, value)) = selector.first_label()
            && state.is_indexed(key)
        {
            let labelled = state.by_label.get(key).and_then(|all| all.get(value));
            let from = (namespace.unwrap_or_default().to_owned(), String::new());
            let labelled = labelled
                .into_iter()
                .flat_map(|all| all.range(from.clone()..));
            let here = labelled.take_while(|((ns, _), _)| namespace.is_none_or(|n| n == ns));
            let here = here.map(|(_, entry)| entry);
            return here.filter(is_wanted).cloned().collect();
        }
        match namespace {
            Some(ns) => {
                let objects = state.objects.get(ns).into_iter();
                objects
                    .flat_map(BTreeMap::values)
                    .filter(is_wanted)
                    .cloned()
                    .collect()
            }
            None => {
                let objects = state.objects.values().flat_map(BTreeMap::values);
                objects.filter(is_wanted).cloned().collect()
            }
        }
    }

    fn forget(&self, dependent: &Dependent, read: &Read) {
        let mut state = self.state();
        match read {
            Read::Name(namespace, name) => {
                let key = (namespace.clone(), name.clone());
                if let Some(readers) = state.by_name.get_mut(&key) {
                    readers.remove(dependent);
                    if readers.is_empty() {
                        state.by_name.remove(&key);
                    }
                }
            }
            Read::List(namespace, selector) => {
                let bucket = Bucket::of(namespace.as_deref(), selector);
                let Some(lists) = state.by_list.get_mut(&bucket) else {
                    return;
                };
                if let Some(readers) = lists.get_mut(selector) {
                    readers.remove(dependent);
                    if readers.is_empty() {
                        lists.remove(selector);
                    }
                }
                if lists.is_empty() {
                    state.by_list.remove(&bucket);
                }
            }
        }
    }

    /// Tells `listener` of every object, now and whenever one changes.
    pub(crate) fn listen(&self, listener: Arc<dyn Listener>) {
        let mut state = self.state();
        state.tell_all(&*listener);
        state.listeners.push(listener);
    }

    /// Tells `listener` of every object there is.
    pub(crate) fn tell_all(&self, listener: &dyn Listener) {
        self.state().tell_all(listener);
    }

    /// An object as it is now.
    pub(crate) fn upsert(&self, entry: Arc<Entry>, origin: Origin) {
        forms::forget();
        let mut state = self.state();
        let Header {
            namespace,
            name,
            uid,
            revision,
            ..
        } = &entry.header;
        match (origin, revision) {
            (Origin::Watch, Some(revision)) => state.seen = state.seen.max(*revision),
            (Origin::Write, Some(revision)) if *revision > state.seen => {}
            // The watch has told of this and perhaps of more; without an order only the watch is to be trusted.
            (Origin::Write, _) => return,
            (Origin::Watch, None) => {}
        }
        let key = (namespace.clone(), name.clone());
        match state.deleted.get(&key) {
            Some(gone) if gone == uid => return,
            Some(_) => _ = state.deleted.remove(&key),
            None => {}
        }
        if let Some(old) = state.get(namespace, name)
            && (old.header.resource_version == entry.header.resource_version
                || (revision.is_some() && old.header.revision >= *revision))
        {
            return;
        }
        state.put(entry);
    }

    /// The watch says that an object went.
    pub(crate) fn removed(&self, gone: &Header) {
        let mut state = self.state();
        state.seen = state.seen.max(gone.revision.unwrap_or_default());
        let key = (gone.namespace.clone(), gone.name.clone());
        if state.deleted.get(&key).is_some_and(|uid| *uid == gone.uid) {
            state.deleted.remove(&key);
        }
        state.drop_object(&gone.namespace, &gone.name, &gone.uid);
    }

    /// Our own delete took an object away at once.
    pub(crate) fn deleted(&self, namespace: &str, name: &str, uid: &str) {
        let mut state = self.state();
        if state
            .get(namespace, name)
            .is_some_and(|e| e.header.uid == uid)
        {
            let key = (namespace.to_owned(), name.to_owned());
            state.deleted.insert(key, uid.to_owned());
            state.drop_object(namespace, name, uid);
        }
    }

    /// Everything there was at `version`, after a list.
    pub(crate) fn replace(&self, entries: Vec<Arc<Entry>>, version: Option<u64>) {
        let mut state = self.state();
        let listed: HashMap<(&str, &str), &str> = entries
            .iter()
            .map(|e| {
                (
                    (e.header.namespace.as_str(), e.header.name.as_str()),
                    e.header.uid.as_str(),
                )
            })
            .collect();
        state.deleted.retain(|(ns, name), uid| {
            listed.get(&(ns.as_str(), name.as_str())) == Some(&uid.as_str())
        });
        // A server that was restored from a backup counts from an earlier revision: nothing of ours is newer then.
        let went_back = version.unwrap_or_default() < state.seen;
        let is_newer =
            |entry: &Entry| !went_back && version.is_some() && entry.header.revision > version;
        let gone: Vec<Arc<Entry>> = state
            .objects
            .values()
            .flat_map(BTreeMap::values)
            .filter(|e| {
                went_back
                    || !listed.contains_key(&(e.header.namespace.as_str(), e.header.name.as_str()))
                        && !is_newer(e)
            })
            .cloned()
            .collect();
        for entry in gone {
            let Header {
                namespace,
                name,
                uid,
                ..
            } = &entry.header;
            state.drop_object(namespace, name, uid);
        }
        state.seen = version.unwrap_or_default();
        drop(state);
        for entry in entries {
            self.upsert(entry, Origin::Watch);
        }
        self.relists.fetch_add(1, Ordering::Relaxed);
    }

    /// A count of objects that are not in the cache yet.
    pub(crate) fn counting(&self) -> Held {
        self.state().held.another()
    }

    /// What is too much about the objects in the cache, in words.
    pub(crate) fn excess(&self) -> Option<String> {
        self.state().held.excess()
    }

    /// The watch has told everything up to here.
    pub(crate) fn bookmark(&self, version: Option<u64>) {
        let mut state = self.state();
        state.seen = state.seen.max(version.unwrap_or_default());
    }

    /// How many objects there are, and how many records of who reads what.
    pub(crate) fn sizes(&self) -> (usize, usize) {
        let state = self.state();
        let objects = state.objects.values().map(BTreeMap::len).sum();
        let lists = state
            .by_list
            .values()
            .flat_map(HashMap::values)
            .map(HashSet::len);
        let names = state.by_name.values().map(HashSet::len);
        (objects, lists.sum::<usize>() + names.sum::<usize>())
    }
}

impl State {
    fn get(&self, namespace: &str, name: &str) -> Option<&Arc<Entry>> {
        self.objects.get(namespace)?.get(name)
    }

    fn tell_all(&self, listener: &dyn Listener) {
        let all = self.objects.values().flat_map(BTreeMap::values);
        all.for_each(|entry| listener.changed(None, Some(&entry.header)));
    }

    fn put(&mut self, new: Arc<Entry>) {
        let Header {
            namespace, name, ..
        } = &new.header;
        let objects = self.objects.entry(namespace.clone()).or_default();
        let old = objects.insert(name.clone(), Arc::clone(&new));
        self.held.add(new.size());
        old.iter().for_each(|e| self.held.remove(e.size()));
        if old.as_ref().map(|e| &e.header.labels) != Some(&new.header.labels) {
            old.iter().for_each(|e| self.unlink_labels(&e.header));
        }
        for (key, by_value) in &mut self.by_label {
            if let Some(value) = new.header.labels.get(key) {
                let labelled = by_value.entry(value.clone()).or_default();
                let place = (namespace.clone(), name.clone());
                labelled.insert(place, Arc::clone(&new));
            }
        }
        if old.as_ref().map(|e| &e.header.owners) != Some(&new.header.owners) {
            old.iter().for_each(|e| self.unlink_owners(&e.header));
            for owner in &new.header.owners {
                let owned = self.by_owner.entry(owner.uid.clone()).or_default();
                owned.insert((namespace.clone(), name.clone()));
            }
        }
        self.tell(old.as_deref(), Some(&new));
    }

    fn drop_object(&mut self, namespace: &str, name: &str, uid: &str) {
        let Some(objects) = self.objects.get_mut(namespace) else {
            return;
        };
        // Not a successor of the same name that a write of ours told of already.
        if objects.get(name).is_none_or(|e| e.header.uid != uid) {
            return;
        }
        let old = objects.remove(name);
        if objects.is_empty() {
            self.objects.remove(namespace);
        }
        if let Some(old) = old {
            self.held.remove(old.size());
            self.unlink_owners(&old.header);
            self.unlink_labels(&old.header);
            self.tell(Some(&old), None);
        }
    }

    fn unlink_owners(&mut self, header: &Header) {
        let key = (header.namespace.clone(), header.name.clone());
        for owner in &header.owners {
            if let Some(owned) = self.by_owner.get_mut(&owner.uid) {
                owned.remove(&key);
                if owned.is_empty() {
                    self.by_owner.remove(&owner.uid);
                }
            }
        }
    }

    fn unlink_labels(&mut self, header: &Header) {
        let place = (header.namespace.clone(), header.name.clone());
        for (key, by_value) in &mut self.by_label {
            let value = header.labels.get(key);
            let Some(labelled) = value.and_then(|value| by_value.get_mut(value)) else {
                continue;
            };
            labelled.remove(&place);
            if labelled.is_empty()
                && let Some(value) = value
            {
                by_value.remove(value);
            }
        }
    }

    /// Whether objects can be found by a label. The first that asks for a key pays for looking at all, unless there are few.
    fn is_indexed(&mut self, key: &str) -> bool {
        if self.by_label.contains_key(key) {
            return true;
        }
        let count: usize = self.objects.values().map(BTreeMap::len).sum();
        if count < FEW || self.by_label.len() >= MAX_INDEXED {
            return false;
        }
        let mut by_value: HashMap<String, Labelled> = HashMap::new();
        for entry in self.objects.values().flat_map(BTreeMap::values) {
            let header = &entry.header;
            if let Some(value) = header.labels.get(key) {
                let place = (header.namespace.clone(), header.name.clone());
                let labelled = by_value.entry(value.clone()).or_default();
                labelled.insert(place, Arc::clone(entry));
            }
        }
        self.by_label.insert(key.to_owned(), by_value);
        true
    }

    /// Wakes whoever looked at this object or at a list with it.
    fn tell(&self, old: Option<&Entry>, new: Option<&Arc<Entry>>) {
        let new = new.map(|e| &**e);
        let Some(any) = new.or(old) else { return };
        let (namespace, revision) = (&any.header.namespace, new.and_then(|e| e.header.revision));
        let key = (namespace.clone(), any.header.name.clone());
        let by_name = self.by_name.get(&key);
        let mut readers: Vec<&Dependent> = by_name.into_iter().flatten().collect();
        if !self.by_list.is_empty() {
            let buckets: HashSet<Bucket> = [old, new]
                .into_iter()
                .flatten()
                .flat_map(|entry| Bucket::all_with(&entry.header))
                .collect();
            for bucket in &buckets {
                for (selector, of_list) in self.by_list.get(bucket).into_iter().flatten() {
                    let is_hit =
                        |entry: &Entry| entry.matches(bucket.namespace.as_deref(), selector);
                    if old.is_some_and(is_hit) || new.is_some_and(is_hit) {
                        readers.extend(of_list);
                    }
                }
            }
        }
        wake_all(readers.into_iter(), revision);
        for listener in &self.listeners {
            listener.changed(old.map(|e| &e.header), new.map(|e| &e.header));
        }
    }
}

impl Bucket {
    fn of(namespace: Option<&str>, selector: &Selector) -> Self {
        let label = selector.first_label();
        let label = label.map(|(key, value)| By::Label(key.to_owned(), value.to_owned()));
        let owner = selector.owner.clone().map(By::Owner);
        Self {
            namespace: namespace.map(str::to_owned),
            by: owner.or(label).unwrap_or(By::Any),
        }
    }

    /// Every bucket whose lists could hold this object.
    fn all_with(header: &Header) -> impl Iterator<Item = Self> {
        let owners = header
            .owners
            .iter()
            .map(|owner| By::Owner(owner.uid.clone()));
        let labels = header
            .labels
            .iter()
            .map(|(k, v)| By::Label(k.clone(), v.clone()));
        let by = std::iter::once(By::Any).chain(owners).chain(labels);
        by.flat_map(|by| {
            let everywhere = Self {
                namespace: None,
                by: by.clone(),
            };
            let here = Self {
                namespace: Some(header.namespace.clone()),
                by,
            };
            [everywhere, here]
        })
    }
}

#[cfg(test)]
mod tests;
