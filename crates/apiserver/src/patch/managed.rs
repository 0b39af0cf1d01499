//! `metadata.managedFields`: who owns which fields.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::set::Set;

/// Entries of operation `Update` that one object keeps; the oldest of more are merged.
const MAX_UPDATE_ENTRIES: usize = 10;
/// Manager of the merged oldest entries.
const ANCIENT_CHANGES: &str = "ancient-changes";
/// Manager of writes that named none.
const UNKNOWN: &str = "unknown";

/// How a manager came to own its fields. Ordered as the entries are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Operation {
    Apply,
    Update,
}

/// Who an entry belongs to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Owner {
    pub(super) manager: Box<str>,
    pub(super) operation: Operation,
    /// Part of the identity of updates only; see [`Owner::is`].
    pub(super) api_version: Box<str>,
    pub(super) subresource: Box<str>,
}

impl Owner {
    pub(super) fn new(
        manager: &str,
        operation: Operation,
        api_version: &str,
        subresource: &str,
    ) -> Self {
        let manager = if manager.is_empty() { UNKNOWN } else { manager };
        Self {
            manager: manager.into(),
            operation,
            api_version: api_version.into(),
            subresource: subresource.into(),
        }
    }

    /// Whether both are the same owner: one that applies is, whatever version it applies.
    pub(super) fn is(&self, other: &Self) -> bool {
        self.manager == other.manager
            && self.operation == other.operation
            && self.subresource == other.subresource
            && (self.operation == Operation::Apply || self.api_version == other.api_version)
    }
}

/// `"kubectl" with subresource "status" using apps/v1`.
impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.manager)?;
        if !self.subresource.is_empty() {
            write!(f, " with subresource {:?}", self.subresource)?;
        }
        match self.operation {
            Operation::Apply => Ok(()),
            Operation::Update => write!(f, " using {}", self.api_version),
        }
    }
}

/// One owner's fields.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) owner: Owner,
    pub(super) time: Option<Timestamp>,
    fields: Fields,
}

/// Fields as they were stored, until somebody needs to know them.
#[derive(Clone, Debug)]
enum Fields {
    Stored(Value),
    Decoded(Set),
}

impl Entry {
    pub(super) fn new(owner: Owner, time: Option<Timestamp>, set: Set) -> Self {
        Self {
            owner,
            time,
            fields: Fields::Decoded(set),
        }
    }

    /// The fields; none if what was stored cannot be read.
    pub(super) fn set(&self) -> Set {
        match &self.fields {
            Fields::Stored(fields) => Set::parse(fields).unwrap_or_default(),
            Fields::Decoded(set) => set.clone(),
        }
    }

    pub(super) fn replace_set(&mut self, set: Set) {
        self.fields = Fields::Decoded(set);
    }

    /// Whether a change of `set` can concern this entry. May say yes too often, never no.
    pub(super) fn is_touched_by(&self, set: &Set) -> bool {
        match &self.fields {
            Fields::Stored(fields) => set.touches(fields),
            Fields::Decoded(_) => !set.is_empty(),
        }
    }

    /// Owns nothing: not worth an entry.
    fn is_empty(&self) -> bool {
        match &self.fields {
            Fields::Stored(fields) => fields.as_object().is_none_or(Map::is_empty),
            Fields::Decoded(set) => set.is_empty(),
        }
    }

    fn decode(entry: &Value) -> Result<Self, String> {
        let text = |field: &str| entry[field].as_str().unwrap_or_default();
        let operation = match text("operation") {
            "Apply" => Operation::Apply,
            "Update" => Operation::Update,
            _ => return Err("operation must be `Apply` or `Update`".into()),
        };
        if text("apiVersion").is_empty() {
            return Err("apiVersion must not be empty".into());
        }
        if text("fieldsType") != "FieldsV1" {
            return Err(format!(
                "fieldsType must be \"FieldsV1\", not {:?}",
                text("fieldsType")
            ));
        }
        let owner = Owner {
            manager: text("manager").into(),
            operation,
            api_version: text("apiVersion").into(),
            subresource: text("subresource").into(),
        };
        let fields = entry
            .get("fieldsV1")
            .filter(|fields| !fields.is_null())
            .cloned();
        Ok(Self {
            owner,
            time: text("time").parse().ok(),
            fields: Fields::Stored(fields.unwrap_or_else(|| json!({}))),
        })
    }

    fn encode(self) -> Value {
        let fields = match self.fields {
            Fields::Stored(fields) => fields,
            Fields::Decoded(set) => set.to_json(),
        };
        let operation = match self.owner.operation {
            Operation::Apply => "Apply",
            Operation::Update => "Update",
        };
        let mut entry = json!({
            "apiVersion": self.owner.api_version, "fieldsType": "FieldsV1", "fieldsV1": fields, "operation": operation,
        });
        if !self.owner.manager.is_empty() {
            entry["manager"] = Value::from(&*self.owner.manager);
        }
        if !self.owner.subresource.is_empty() {
            entry["subresource"] = Value::from(&*self.owner.subresource);
        }
        if let Some(time) = self.time {
            let seconds = Timestamp::from_second(time.as_second()).unwrap_or(time);
            entry["time"] = seconds.to_string().into();
        }
        entry
    }

    fn seconds(&self) -> i64 {
        self.time.map_or(0, Timestamp::as_second)
    }
}

/// All entries of one object.
#[derive(Clone, Debug, Default)]
pub(super) struct Managed {
    pub(super) entries: Vec<Entry>,
}

impl Managed {
    /// Reads what the server stored; entries that cannot be read are dropped.
    pub(super) fn of_stored(list: Option<&Value>) -> Self {
        let entries = list
            .and_then(Value::as_array)
            .map_or(&[] as &[_], Vec::as_slice);
        Self {
            entries: entries
                .iter()
                .filter_map(|entry| Entry::decode(entry).ok())
                .collect(),
        }
    }

    /// Reads what a client sent, into canonical form.
    ///
    /// # Errors
    /// When any entry cannot be read.
    pub(super) fn of_client(list: &Value) -> Result<Self, String> {
        let mut managed = Self::default();
        for entry in list.as_array().map_or(&[] as &[_], Vec::as_slice) {
            let mut entry = Entry::decode(entry)?;
            if let Fields::Stored(fields) = &entry.fields {
                entry.fields = Fields::Decoded(Set::parse(fields)?);
            }
            managed.put(entry);
        }
        Ok(managed)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn get(&self, owner: &Owner) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.owner.is(owner))
    }

    /// Sets the entry of one owner.
    pub(super) fn put(&mut self, entry: Entry) {
        match self.entries.iter_mut().find(|e| e.owner.is(&entry.owner)) {
            Some(place) => *place = entry,
            None => self.entries.push(entry),
        }
    }

    /// Merges the oldest updates, per version, until few enough are left.
    pub(super) fn cap(&mut self) {
        let mut updates: Vec<usize> = (0..self.entries.len())
            .filter(|at| self.entries[*at].owner.operation == Operation::Update)
            .collect();
        let Some(mut surplus) = updates
            .len()
            .checked_sub(MAX_UPDATE_ENTRIES)
            .filter(|surplus| *surplus > 0)
        else {
            return;
        };
        updates.sort_by_key(|at| (self.entries[*at].seconds(), self.entries[*at].owner.clone()));
        let is_bucket = |at: &usize| &*self.entries[*at].owner.manager == ANCIENT_CHANGES;
        let bucket = |at: usize| (self.entries[at].owner.api_version.clone(), at);
        let mut buckets: BTreeMap<Box<str>, usize> = updates
            .iter()
            .copied()
            .filter(is_bucket)
            .map(bucket)
            .collect();
        let mut merged = Vec::new();
        for at in updates {
            if surplus == 0 {
                break;
            }
            if buckets.values().any(|bucket| *bucket == at) {
                continue;
            }
            let (version, set, time) = {
                let entry = &self.entries[at];
                (entry.owner.api_version.clone(), entry.set(), entry.time)
            };
            let Some(bucket) = buckets.get(&version) else {
                buckets.insert(version, at);
                continue;
            };
            let bucket = &mut self.entries[*bucket];
            bucket.owner = Owner::new(ANCIENT_CHANGES, Operation::Update, &version, "");
            bucket.time = bucket.time.max(time);
            bucket.replace_set(bucket.set().union(&set));
            merged.push(at);
            surplus -= 1;
        }
        let mut at = 0;
        self.entries.retain(|_| {
            at += 1;
            !merged.contains(&(at - 1))
        });
    }

    /// The list as it is stored, in its order; `None` if nobody owns anything.
    pub(super) fn encode(mut self) -> Option<Value> {
        self.entries.retain(|entry| !entry.is_empty());
        self.entries.sort_by(|a, b| {
            let key = |e: &Entry| (e.owner.operation, e.seconds());
            key(a).cmp(&key(b)).then_with(|| a.owner.cmp(&b.owner))
        });
        (!self.entries.is_empty()).then(|| self.entries.into_iter().map(Entry::encode).collect())
    }
}
