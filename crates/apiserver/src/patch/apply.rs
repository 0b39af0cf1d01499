//! Server-side apply, and the bookkeeping of every other write.

use std::borrow::Cow;
use std::sync::LazyLock;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::managed::{Entry, Managed, Operation, Owner};
use super::path::is_equal;
use super::set::Set;
use super::typed::{self, Delta, Node};
use super::versions::{self, Deltas, Versions};
use super::{MAX_DEPTH, is_deeper_than, too_deep};
use crate::schema::{self, ListType, Schema, Type};
use crate::status::Status;

/// Where `kubectl apply` (client side) keeps what it applied.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// The manager that moves from client-side to server-side apply without conflicts.
const KUBECTL: &str = "kubectl";
/// Owner of the fields that an object had before anybody owned any.
const BEFORE_FIRST_APPLY: &str = "before-first-apply";
/// Bytes of all annotations of one object.
const MAX_ANNOTATION_BYTES: usize = 256 << 10;
/// Fields that nobody owns, beside those of [`SYSTEM_METADATA`].
const SYSTEM_FIELDS: [&str; 3] = ["apiVersion", "kind", "metadata"];
const SYSTEM_METADATA: [&str; 9] = [
    "name",
    "namespace",
    "creationTimestamp",
    "selfLink",
    "uid",
    "clusterName",
    "generation",
    "managedFields",
    "resourceVersion",
];

/// Who writes.
#[derive(Clone, Copy, Debug)]
pub struct Manager<'a> {
    /// The field manager of the request; empty means `unknown`.
    pub name: &'a str,
    /// Version of the request, e.g. `apps/v1`.
    pub api_version: &'a str,
    /// Subresource of the request, e.g. `status`; empty for the object itself.
    pub subresource: &'a str,
    /// The kind has `/status`: nobody owns status through the object itself, and nothing else through `/status`.
    pub has_status: bool,
    /// When; entries keep whole seconds.
    pub now: Timestamp,
    /// Shows the object at the versions of other owners.
    pub versions: &'a dyn Versions,
}

impl Manager<'_> {
    fn owner(&self, operation: Operation) -> Owner {
        Owner::new(self.name, operation, self.api_version, self.subresource)
    }
}

/// Server-side apply: `live` with `config` merged into it, without what the manager applied before and does not any
/// more. `schema` is the whole object's. The result carries `metadata.managedFields`; if nothing changes it is equal
/// to `live`.
///
/// # Errors
/// 400 if `config` is of another version or kind, or brings managed fields; 409 if it sets fields of other managers to
/// other values and `force` is off; 500 (what Kubernetes answers) if it does not follow the schema.
pub fn apply(
    live: Option<&Value>,
    config: &Value,
    schema: &Schema,
    manager: &Manager<'_>,
    force: bool,
) -> Result<Value, Status> {
    check(live, config, manager)?;
    let config = &*without_null_times(config);
    let node = Node::root(schema);
    typed::validate(config, node).map_err(|fault| {
        Status::new(
            500,
            "",
            format!(
                "failed to create typed patch object ({}): {fault}",
                identity(config)
            ),
        )
    })?;
    let reset = Reset::of(manager);
    let mut bare = live.cloned().unwrap_or_else(|| json!({}));
    let stored = take_managed_fields(&mut bare);
    let mut managed = Managed::of_stored(stored.as_ref());
    if managed.is_empty() && live.is_some() {
        managed = before_first_apply(&bare, schema, manager, reset)?;
    }
    for entry in &mut managed.entries {
        let other = manager.versions.show(&bare, &entry.owner.api_version);
        let node = other
            .as_ref()
            .map_or(node, |(_, schema)| Node::root(schema));
        entry.replace_set(typed::reconcile(entry.set(), node));
    }
    let work = Work {
        live: &bare,
        config,
        node,
        manager,
        reset,
    };
    let (mut result, mut managed) = match work.run(managed.clone(), force)? {
        Ok(done) => done,
        Err(conflicts) => {
            let left = work.without_client_side(conflicts.clone());
            if !left.0.is_empty() {
                return Err(left.status());
            }
            work.run(managed, true)?.map_err(|_| conflicts.status())?
        }
    };
    if manager.name == KUBECTL {
        update_last_applied(&mut result, config);
    }
    // Annotations may have changed after the merge.
    let owner = manager.owner(Operation::Apply);
    let is_changed = !is_equal(&bare, &result);
    if let Some(entry) = managed
        .entries
        .iter_mut()
        .find(|entry| entry.owner.is(&owner))
        && is_changed
    {
        entry.time = Some(manager.now);
    }
    put_managed_fields(&mut result, managed.encode());
    Ok(result)
}

/// Go programs write `creationTimestamp: null` into everything they print; it must not wipe the real one.
fn without_null_times(config: &Value) -> Cow<'_, Value> {
    let has_null = config["metadata"]
        .get("creationTimestamp")
        .is_some_and(Value::is_null);
    let mut config = Cow::Borrowed(config);
    if has_null
        && let Some(meta) = config
            .to_mut()
            .get_mut("metadata")
            .and_then(Value::as_object_mut)
    {
        meta.remove("creationTimestamp");
    }
    config
}

/// What must hold before anything is merged.
fn check(live: Option<&Value>, config: &Value, manager: &Manager<'_>) -> Result<(), Status> {
    if !config.is_object() {
        return Err(Status::bad_request(
            "the applied configuration must be an object",
        ));
    }
    if is_deeper_than(config, MAX_DEPTH) {
        return Err(too_deep("applied configuration"));
    }
    let version = config["apiVersion"].as_str().unwrap_or_default();
    if version != manager.api_version {
        return Err(Status::bad_request(format!(
            "Incorrect version specified in apply patch. Specified patch version: {version}, expected: {}",
            manager.api_version
        )));
    }
    if let Some(kind) = live.and_then(|live| live["kind"].as_str())
        && config["kind"] != *kind
    {
        return Err(Status::bad_request(format!(
            "invalid object type: {}",
            version_and_kind(config)
        )));
    }
    if !config["metadata"]["managedFields"].is_null() {
        return Err(Status::bad_request("metadata.managedFields must be nil"));
    }
    Ok(())
}

/// `ns/name; apps/v1, Kind=Deployment`.
fn identity(object: &Value) -> String {
    let meta = |field: &str| object["metadata"][field].as_str().unwrap_or_default();
    format!(
        "{}/{}; {}",
        meta("namespace"),
        meta("name"),
        version_and_kind(object)
    )
}

/// `apps/v1, Kind=Deployment`, `/v1, Kind=Pod`.
#[must_use]
pub fn version_and_kind(object: &Value) -> String {
    let version = object["apiVersion"].as_str().unwrap_or_default();
    let slash = if version.contains('/') { "" } else { "/" };
    format!(
        "{slash}{version}, Kind={}",
        object["kind"].as_str().unwrap_or_default()
    )
}

/// What a new object is compared with: an object of its kind of which nothing is set. What is always written is in both.
fn nothing(object: &Value, schema: &Schema, manager: &Manager<'_>) -> Value {
    let mut nothing = schema::empty(schema);
    nothing["apiVersion"] = manager.api_version.into();
    nothing["kind"] = object["kind"].clone();
    nothing
}

/// All fields of an object that nobody owns yet become those of one manager.
fn before_first_apply(
    live: &Value,
    schema: &Schema,
    manager: &Manager<'_>,
    reset: Reset,
) -> Result<Managed, Status> {
    let node = Node::root(schema);
    let nothing = nothing(live, schema, manager);
    let delta = typed::compare(&nothing, live, node).map_err(|fault| {
        Status::new(
            500,
            "",
            format!(
                "failed to create typed live object ({}): {fault}",
                identity(live)
            ),
        )
    })?;
    // Empty lists and objects alone are no reason for an entry: applying them owns nothing either.
    let has_fields = !reset.keep(typed::fields(live, node)).is_empty();
    let set = reset.keep(delta.changed);
    let set = if has_fields { set } else { Set::default() };
    let owner = Owner::new(
        BEFORE_FIRST_APPLY,
        Operation::Update,
        manager.api_version,
        manager.subresource,
    );
    Ok(Managed {
        entries: vec![Entry::new(owner, Some(manager.now), set)],
    })
}

/// Fields that a write through one endpoint cannot change, so that it cannot own them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reset {
    Nothing,
    /// The main endpoint of kinds that have a status.
    Status,
    /// `/status`.
    AllButStatus,
}

impl Reset {
    fn of(manager: &Manager<'_>) -> Self {
        match (manager.subresource, manager.has_status) {
            ("status", _) => Self::AllButStatus,
            ("", true) => Self::Status,
            _ => Self::Nothing,
        }
    }

    /// What can be owned of `set`.
    fn keep(self, set: Set) -> Set {
        let set = match self {
            Self::Nothing => set,
            Self::Status => set.without_trees(&Set::of_fields(&["status"])),
            Self::AllButStatus => set.only_field("status"),
        };
        set.difference(&SYSTEM)
    }

    /// What can be owned of both sets.
    pub(super) fn keep_of(self, delta: Delta) -> Delta {
        Delta {
            changed: self.keep(delta.changed),
            removed: self.keep(delta.removed),
        }
    }
}

/// [`SYSTEM_FIELDS`] and [`SYSTEM_METADATA`].
static SYSTEM: LazyLock<Set> = LazyLock::new(|| {
    let fields = SYSTEM_FIELDS.iter().map(|field| Set::of_fields(&[field]));
    let metadata = SYSTEM_METADATA
        .iter()
        .map(|field| Set::of_fields(&["metadata", field]));
    fields
        .chain(metadata)
        .fold(Set::default(), |all, set| all.union(&set))
});

/// One apply.
struct Work<'a> {
    /// Without managed fields.
    live: &'a Value,
    config: &'a Value,
    node: Node<'a>,
    manager: &'a Manager<'a>,
    reset: Reset,
}

/// Fields that others own and the configuration would change, by owner.
#[derive(Clone)]
struct Conflicts(Vec<(Owner, Set)>);

impl Work<'_> {
    /// The merged object and who owns what, or the conflicts. The applier's time is the old one.
    fn run(
        &self,
        mut managed: Managed,
        force: bool,
    ) -> Result<Result<(Value, Managed), Conflicts>, Status> {
        let merged = typed::combine(self.live, self.config, self.node)
            .map_err(|fault| self.failed("merge config", &fault))?;
        let owner = self.manager.owner(Operation::Apply);
        let set = self.reset.keep(typed::fields(self.config, self.node));
        let last = managed
            .get(&owner)
            .map(|entry| (entry.set(), entry.time, entry.owner.clone()));
        let is_as_before = last
            .as_ref()
            .is_some_and(|(before, _, by)| *before == set && *by == owner);
        let time = last
            .as_ref()
            .and_then(|(_, time, _)| *time)
            .filter(|_| is_as_before);
        managed.put(Entry::new(
            owner.clone(),
            time.or(Some(self.manager.now)),
            set,
        ));
        let result = match &last {
            Some((last, _, by)) => self.prune(merged, (last, &by.api_version), &managed),
            None => merged,
        };
        let delta = typed::compare(self.live, &result, self.node)
            .map_err(|fault| self.failed("compare objects", &fault))?;
        let versions = (self.manager.versions, self.manager.api_version);
        let deltas = Deltas::of(delta, (self.live, &result), &managed, versions, self.reset);
        let mut conflicts = Vec::new();
        for entry in managed
            .entries
            .iter_mut()
            .filter(|entry| !entry.owner.is(&owner))
        {
            let set = entry.set();
            let delta = deltas.at(&entry.owner.api_version);
            let conflicting = set.clone().intersection(&delta.changed);
            entry.replace_set(set.difference(&conflicting).difference(&delta.removed));
            if !conflicting.is_empty() {
                conflicts.push((entry.owner.clone(), conflicting));
            }
        }
        if conflicts.is_empty() || force {
            return Ok(Ok((result, managed)));
        }
        conflicts.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(Err(Conflicts(conflicts)))
    }

    /// `merged` without what the manager owned and does not name any more, unless others own it or something below it
    /// that nobody asked to remove.
    fn prune(&self, merged: Value, (last, at): (&Set, &str), managed: &Managed) -> Value {
        let versions = (self.manager.versions, self.manager.api_version);
        let is_other = |entry: &Entry| *entry.owner.api_version != *self.manager.api_version;
        if at != self.manager.api_version || managed.entries.iter().any(is_other) {
            let pruned = versions::prune(&merged, (last, at), managed, versions, &SYSTEM);
            if let Some(pruned) = pruned {
                return pruned;
            }
        }
        let owned = managed
            .entries
            .iter()
            .fold(Set::default(), |all, entry| all.union(&entry.set()));
        if last.clone().difference(&owned).is_empty() {
            return merged;
        }
        let named = |set: &Set| typed::with_named_fields(set, self.node);
        let without = |set: &Set| typed::remove(&merged, set, self.node);
        let fields_of = |value: &Value| named(&typed::fields(value, self.node));
        let (last, all) = (named(last), fields_of(&merged));
        let pruned = without(&last);
        let owned = named(&owned).union(&SYSTEM);
        let given_back = fields_of(&pruned).union(&owned);
        let pruned = without(&all.clone().difference(&given_back));
        let gone = all.difference(&fields_of(&pruned)).difference(&owned);
        without(&gone.intersection(&last))
    }

    /// The conflicts that a move from client-side apply does not explain: fields that `kubectl` applied itself and that
    /// still have the values it gave them are its own.
    fn without_client_side(&self, conflicts: Conflicts) -> Conflicts {
        let own = if self.manager.name == KUBECTL {
            self.last_applied()
        } else {
            None
        };
        match own {
            None => conflicts,
            Some(own) => {
                let left = conflicts
                    .0
                    .into_iter()
                    .map(|(owner, set)| (owner, set.difference(&own)));
                Conflicts(left.filter(|(_, set)| !set.is_empty()).collect())
            }
        }
    }

    /// The fields of the last client-side apply that nobody changed since.
    fn last_applied(&self) -> Option<Set> {
        let text = self.live["metadata"]["annotations"][LAST_APPLIED].as_str()?;
        let last: Value = serde_json::from_str(text).ok()?;
        if last["apiVersion"] != self.manager.api_version
            || typed::validate(&last, self.node).is_err()
        {
            return None;
        }
        let delta = typed::compare(&last, self.live, self.node).ok()?;
        Some(
            typed::fields(&last, self.node)
                .difference(&delta.changed)
                .difference(&delta.removed),
        )
    }

    fn failed(&self, what: &str, fault: &str) -> Status {
        Status::new(
            500,
            "",
            format!("failed to {what} ({}): {fault}", identity(self.config)),
        )
    }
}

impl Conflicts {
    fn status(&self) -> Status {
        let mut causes = Vec::new();
        let mut lines = Vec::new();
        for (owner, set) in &self.0 {
            lines.push(format!("conflicts with {owner}:"));
            set.each(&mut |path| {
                lines.push(format!("- {path}"));
                causes.push(json!({
                    "reason": "FieldManagerConflict", "message": format!("conflict with {owner}"), "field": path,
                }));
            });
        }
        let message = match causes.as_slice() {
            [only] => {
                let text = |field: &str| only[field].as_str().unwrap_or_default();
                format!(
                    "Apply failed with 1 conflict: {}: {}",
                    text("message"),
                    text("field")
                )
            }
            _ => format!(
                "Apply failed with {} conflicts: {}",
                causes.len(),
                lines.join("\n")
            ),
        };
        Status::new(409, "Conflict", message).with_details(json!({"causes": causes}))
    }
}

/// Objects that client-side apply has annotated keep an annotation of what was applied last.
fn update_last_applied(result: &mut Value, config: &Value) {
    let Some(annotations) = result
        .pointer_mut("/metadata/annotations")
        .and_then(Value::as_object_mut)
    else {
        return;
    };
    if annotations
        .get(LAST_APPLIED)
        .and_then(Value::as_str)
        .is_none_or(str::is_empty)
    {
        return;
    }
    let mut applied = config.clone();
    if let Some(own) = applied
        .pointer_mut("/metadata/annotations")
        .and_then(Value::as_object_mut)
    {
        own.remove(LAST_APPLIED);
    }
    annotations.insert(LAST_APPLIED.into(), format!("{applied}\n").into());
    let bytes: usize = annotations
        .iter()
        .map(|(key, value)| key.len() + value.as_str().map_or(0, str::len))
        .sum();
    if bytes > MAX_ANNOTATION_BYTES {
        annotations.remove(LAST_APPLIED);
    }
}

/// After an Update-type write (POST, PUT, every PATCH but apply): attributes the changes from `live` to `new` to
/// `manager` and writes `metadata.managedFields` of `new`. What `new` brings there counts: `[{}]` clears the list,
/// absent or empty keeps that of `live`, anything readable replaces it (but not through a subresource).
pub fn record_update(
    live: Option<&Value>,
    new: &mut Value,
    schema: &Schema,
    manager: &Manager<'_>,
) {
    if !new.get("metadata").is_some_and(Value::is_object) {
        return;
    }
    let sent = take_managed_fields(new);
    let stored = live.and_then(|live| live.get("metadata")?.get("managedFields"));
    let managed = match sent {
        Some(sent) if manager.subresource.is_empty() && Some(&sent) != stored => {
            of_request(&sent, stored)
        }
        _ => Managed::of_stored(stored),
    };
    if managed.is_empty() && live.is_some() {
        // Nobody has tracked this object so far: its fields would all become this manager's.
        return;
    }
    let node = Node::root(schema);
    let before = match live {
        Some(live) => Cow::Borrowed(live),
        None => Cow::Owned(nothing(new, schema, manager)),
    };
    match typed::compare(&before, new, node) {
        Ok(delta) => {
            let versions = (manager.versions, manager.api_version);
            let reset = Reset::of(manager);
            let deltas = Deltas::of(delta, (&*before, &*new), &managed, versions, reset);
            let managed = attribute(managed, &deltas, node, manager);
            put_managed_fields(new, managed.encode());
        }
        // Parts without a name cannot be tracked; what is known stays known.
        Err(_) => put_managed_fields(new, stored.cloned()),
    }
}

/// Lays an apply configuration over an object, without owners. Whoever names one member of an atomic list or map would
/// remove the others by accident, so that is refused.
///
/// # Errors
/// In words, when the configuration does not fit the schema or touches something atomic.
pub fn lay_over(live: &Value, configuration: &Value, schema: &Schema) -> Result<Value, String> {
    let node = Node::root(schema);
    typed::validate(configuration, node)
        .map_err(|why| format!("failed to convert patch object to typed object: {why}"))?;
    let mut atomic = Vec::new();
    atomics(configuration, schema, &mut String::new(), &mut atomic);
    if !atomic.is_empty() {
        return Err(format!(
            "invalid ApplyConfiguration: may not mutate atomic arrays, maps or structs: {}",
            atomic.join(", ")
        ));
    }
    typed::combine(live, configuration, node).map_err(|why| format!("failed to merge patch: {why}"))
}

/// The places of atomic lists, maps and structures in `value`.
fn atomics(value: &Value, schema: &Schema, path: &mut String, found: &mut Vec<String>) {
    let resolved = schema.resolve();
    let length = path.len();
    match (value, &resolved.ty) {
        (Value::Object(members), Type::Object(_)) => {
            if schema.atomic_map || resolved.atomic_map {
                found.push(path.clone());
            }
            for (name, member) in members {
                if let Some(schema) = resolved.member(name) {
                    path.push('.');
                    path.push_str(name);
                    atomics(member, schema, path, found);
                    path.truncate(length);
                }
            }
        }
        (Value::Array(items), Type::Array(item)) => {
            if schema.list_type == ListType::Atomic && resolved.list_type == ListType::Atomic {
                found.push(path.clone());
            }
            for (index, member) in items.iter().enumerate() {
                path.push_str(&format!("[{index}]"));
                atomics(member, item, path, found);
                path.truncate(length);
            }
        }
        _ => {}
    }
}

/// Whether the managed fields of `object`, if they are others than `before`, can be read.
///
/// # Errors
/// What is wrong with them.
pub fn check_managed_fields(object: &Value, before: &Value) -> Result<(), String> {
    match object["metadata"].get("managedFields") {
        Some(now) if now != before => Managed::of_client(now).map(drop),
        _ => Ok(()),
    }
}

/// The managed fields that a client sent, unless it meant none.
fn of_request(sent: &Value, stored: Option<&Value>) -> Managed {
    if let Some([only]) = sent.as_array().map(Vec::as_slice)
        && only.as_object().is_some_and(serde_json::Map::is_empty)
    {
        return Managed::default();
    }
    match Managed::of_client(sent) {
        Ok(managed) if !managed.is_empty() => managed,
        _ => Managed::of_stored(stored),
    }
}

/// Moves changed fields to the writing manager and forgets removed ones.
fn attribute(
    mut managed: Managed,
    deltas: &Deltas,
    node: Node<'_>,
    manager: &Manager<'_>,
) -> Managed {
    let Delta { changed, removed } = deltas.own();
    if changed.is_empty() && removed.is_empty() {
        return managed;
    }
    // The owners of a scale are those of the replicas: while there are none, nobody becomes one by an update.
    let is_touched = |entry: &Entry| {
        let delta = deltas.at(&entry.owner.api_version);
        entry.is_touched_by(&delta.changed)
    };
    if manager.subresource == "scale" && !managed.entries.iter().any(is_touched) {
        return managed;
    }
    let owner = manager.owner(Operation::Update);
    for entry in &mut managed.entries {
        let version = &entry.owner.api_version;
        let delta = deltas.at(version);
        let loses = if entry.owner.is(&owner) {
            Cow::Borrowed(&delta.removed)
        } else {
            Cow::Owned(delta.changed.clone().union(&delta.removed))
        };
        if entry.is_touched_by(&loses) {
            let set = typed::reconcile(entry.set(), deltas.node(version, node));
            entry.replace_set(set.difference(&loses));
        }
    }
    if !changed.is_empty() {
        let own = managed
            .get(&owner)
            .map(Entry::set)
            .unwrap_or_default()
            .union(changed);
        managed.put(Entry::new(owner, Some(manager.now), own));
    }
    managed.cap();
    managed
}

/// Whether a write changes nothing: the states are equal but for the times of managed fields.
#[must_use]
pub fn is_same(live: &Value, new: &Value) -> bool {
    let (Value::Object(live), Value::Object(new)) = (live, new) else {
        return live == new;
    };
    live.len() == new.len()
        && live
            .iter()
            .all(|(name, value)| match (name.as_str(), new.get(name)) {
                (_, None) => false,
                ("metadata", Some(other)) => is_same_metadata(value, other),
                (_, Some(other)) => value == other,
            })
}

fn is_same_metadata(live: &Value, new: &Value) -> bool {
    let (Value::Object(live), Value::Object(new)) = (live, new) else {
        return live == new;
    };
    live.len() == new.len()
        && live
            .iter()
            .all(|(name, value)| match (name.as_str(), new.get(name)) {
                (_, None) => false,
                ("managedFields", Some(other)) => value == other || are_same_entries(value, other),
                (_, Some(other)) => value == other,
            })
}

/// Equal lists, times aside; their order depends on the times.
fn are_same_entries(live: &Value, new: &Value) -> bool {
    let (Value::Array(live), Value::Array(new)) = (live, new) else {
        return false;
    };
    let timeless = |entry: &Value| {
        let mut entry = entry.clone();
        if let Some(members) = entry.as_object_mut() {
            members.remove("time");
        }
        entry
    };
    let mut rest: Vec<Value> = new.iter().map(timeless).collect();
    live.len() == new.len()
        && live.iter().all(|entry| {
            let entry = timeless(entry);
            rest.iter()
                .position(|other| *other == entry)
                .map(|at| rest.swap_remove(at))
                .is_some()
        })
}

/// Removes and returns `metadata.managedFields`; null is none.
fn take_managed_fields(object: &mut Value) -> Option<Value> {
    let list = object
        .get_mut("metadata")?
        .as_object_mut()?
        .remove("managedFields")?;
    (!list.is_null()).then_some(list)
}

fn put_managed_fields(object: &mut Value, list: Option<Value>) {
    if let (Some(list), Some(meta)) = (
        list,
        object.get_mut("metadata").and_then(Value::as_object_mut),
    ) {
        meta.insert("managedFields".into(), list);
    }
}
