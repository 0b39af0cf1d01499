//! Who is served when there is more to do than can be done at a time: API priority and fairness.
//!
//! FlowSchemas sort requests into priority levels, each of which has its part of the cluster's seats; within a level the
//! flows (users or namespaces) are served in turn. Both kinds are ordinary objects and are followed live. Watches hold a
//! seat only until they have started.

mod bootstrap;
mod conditions;
mod level;
mod matching;

use std::collections::BTreeMap;
use std::collections::hash_map::{DefaultHasher, RandomState};
use std::fmt::Write;
use std::hash::{BuildHasher, BuildHasherDefault};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use arc_swap::ArcSwapOption;
use http::HeaderValue;
use serde::Deserialize;

use bootstrap::{CATCH_ALL, EXEMPT};
pub(crate) use bootstrap::{bootstrap_objects, mandatory_level, mandatory_schema};
pub(crate) use conditions::maintain;
use level::{Level, LevelSpec, Pool, Refused, Seat};
use matching::{Distinguisher, Rule, SchemaSpec};

use crate::auth::{Attributes, Objects, User};
use crate::object::Object;
use crate::status::Status;

/// Where FlowSchemas are stored.
pub(crate) const SCHEMAS: &str = "flowschemas.flowcontrol.apiserver.k8s.io";
/// Where PriorityLevelConfigurations are stored.
pub(crate) const LEVELS: &str = "prioritylevelconfigurations.flowcontrol.apiserver.k8s.io";

/// Seconds after which a client that was refused may come back.
const RETRY_SECONDS: u32 = 1;

/// The seats of one logical cluster.
pub(crate) struct FlowControl {
    pool: Arc<Pool>,
    /// What was read of the objects, and at which revisions.
    snapshot: ArcSwapOption<Snapshot>,
    /// Levels and counters outlive changes of their objects.
    kept: Mutex<Kept>,
    /// Nobody can tell which flows share a queue; `None` where a run is to be like another.
    hashing: Option<RandomState>,
}

#[derive(Default)]
struct Kept {
    levels: BTreeMap<Box<str>, Arc<Level>>,
    counters: BTreeMap<(Box<str>, Box<str>), Arc<Counters>>,
}

/// What became of the requests of one schema.
#[derive(Default)]
struct Counters {
    dispatched: AtomicU64,
    /// By [`Refused`].
    refused: [AtomicU64; 3],
}

struct Snapshot {
    /// Of the schemas and the levels.
    revisions: [u64; 2],
    /// In the order in which they are asked.
    schemas: Vec<Arc<Schema>>,
}

/// A flow schema and the level that it leads to.
pub(crate) struct Schema {
    name: Box<str>,
    precedence: i64,
    /// For the headers of answers; absent if the object is.
    uid: Option<HeaderValue>,
    level_uid: Option<HeaderValue>,
    distinguisher: Option<Distinguisher>,
    rules: Arc<[Rule]>,
    level: Arc<Level>,
    counters: Arc<Counters>,
}

/// A number of a level: its name, what it means, and where it is.
type Gauge = (&'static str, &'static str, fn(&Level) -> usize);

/// The right to be worked on. Dropping it makes room.
pub(crate) struct Permit {
    _seat: Seat,
}

impl FlowControl {
    /// Seats for `total` requests at a time. `is_repeatable` puts the same flow into the same queue every time.
    pub(crate) fn new(total: usize, is_repeatable: bool) -> Self {
        Self {
            pool: Pool::new(total),
            snapshot: ArcSwapOption::empty(),
            kept: Mutex::default(),
            hashing: (!is_repeatable).then(RandomState::new),
        }
    }

    /// The schema of a request.
    pub(crate) fn classify(
        &self,
        objects: &dyn Objects,
        user: &User,
        request: &Attributes,
    ) -> Option<Arc<Schema>> {
        let snapshot = self.snapshot(objects);
        let schemas = &snapshot.schemas;
        let matching = |s: &&Arc<Schema>| s.rules.iter().any(|rule| rule.matches(user, request));
        let found = schemas.iter().find(matching);
        // Parts of this process may act as users without any group.
        found
            .or_else(|| schemas.iter().find(|s| &*s.name == CATCH_ALL))
            .cloned()
    }

    /// Waits for a seat.
    ///
    /// # Errors
    /// 429 when there are too many requests like this one.
    pub(crate) async fn enter(
        &self,
        schema: &Schema,
        user: &User,
        request: &Attributes,
    ) -> Result<Permit, Status> {
        let entered = match schema.level.try_enter() {
            Some(seat) => Ok(seat),
            None => {
                let flow = match schema.distinguisher {
                    Some(Distinguisher::ByUser) => user.name.as_str(),
                    Some(Distinguisher::ByNamespace) => request.namespace.as_str(),
                    _ => "",
                };
                let flow = (&schema.name, flow);
                let flow = match &self.hashing {
                    Some(random) => random.hash_one(flow),
                    None => BuildHasherDefault::<DefaultHasher>::default().hash_one(flow),
                };
                schema.level.enter(flow).await
            }
        };
        match entered {
            Ok(seat) => {
                schema.counters.dispatched.fetch_add(1, Ordering::Relaxed);
                Ok(Permit { _seat: seat })
            }
            Err(why) => {
                schema.counters.refused[why as usize].fetch_add(1, Ordering::Relaxed);
                Err(Status::too_many_requests(
                    "too many requests, please try again later",
                    RETRY_SECONDS,
                ))
            }
        }
    }

    /// Requests under way.
    pub(crate) fn executing(&self) -> usize {
        self.pool
            .levels()
            .iter()
            .map(|level| level.executing())
            .sum()
    }

    fn snapshot(&self, objects: &dyn Objects) -> Arc<Snapshot> {
        // Revisions first: what changes while the lists are read makes the next call read again.
        let revisions = [SCHEMAS, LEVELS].map(|resource| objects.revision_of(resource));
        let known = self.snapshot.load_full();
        if let Some(known) = known.filter(|known| known.revisions == revisions) {
            return known;
        }
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        // Somebody else may have been quicker.
        let known = self.snapshot.load_full();
        if let Some(known) = known.filter(|known| known.revisions >= revisions) {
            return known;
        }
        let schemas = self.read(objects, &mut kept);
        let fresh = Arc::new(Snapshot { revisions, schemas });
        self.snapshot.store(Some(fresh.clone()));
        fresh
    }

    fn level(&self, kept: &mut Kept, name: &str) -> Arc<Level> {
        let level = kept.levels.entry(name.into());
        level
            .or_insert_with(|| Level::new(name, &self.pool))
            .clone()
    }

    /// Reads the objects and gives the levels their seats.
    fn read(&self, objects: &dyn Objects, kept: &mut Kept) -> Vec<Arc<Schema>> {
        let mut levels = vec![];
        let mut uids: BTreeMap<Box<str>, Option<HeaderValue>> = BTreeMap::new();
        for object in objects.list(LEVELS, None) {
            let spec = LevelSpec::deserialize(&object.value()["spec"]).unwrap_or_default();
            levels.push((self.level(kept, &object.header.name), spec));
            uids.insert(object.header.name.clone(), uid(&object));
        }
        let mut specs: Vec<(Box<str>, Option<HeaderValue>, SchemaSpec)> = objects
            .list(SCHEMAS, None)
            .into_iter()
            .map(|object| {
                let spec = SchemaSpec::deserialize(&object.value()["spec"]).unwrap_or_default();
                (object.header.name.clone(), uid(&object), spec)
            })
            .collect();
        // Two of each kind are always there, as if nobody could delete them.
        for (key, value) in bootstrap_objects() {
            let name = &*key.name;
            if name != EXEMPT && name != CATCH_ALL {
                continue;
            }
            if &*key.resource == LEVELS && !uids.contains_key(name) {
                let spec = LevelSpec::deserialize(&value["spec"]).unwrap_or_default();
                levels.push((self.level(kept, name), spec));
                uids.insert(name.into(), None);
            } else if &*key.resource == SCHEMAS && !specs.iter().any(|(n, ..)| **n == *name) {
                let spec = SchemaSpec::deserialize(&value["spec"]).unwrap_or_default();
                specs.push((name.into(), None, spec));
            }
        }
        self.pool.configure(&levels);
        let is_level = |name: &str| uids.contains_key(name);
        kept.levels.retain(|name, _| is_level(name));
        let mut schemas: Vec<Arc<Schema>> = vec![];
        for (name, uid, spec) in specs {
            let level_name = &spec.priority_level_configuration.name;
            // Who leads nowhere is passed over.
            let Some(level) = kept.levels.get(level_name) else {
                continue;
            };
            let counted = (name.clone(), level_name.clone());
            schemas.push(Arc::new(Schema {
                precedence: spec.matching_precedence,
                uid,
                level_uid: uids.get(level_name).cloned().flatten(),
                distinguisher: spec.distinguisher_method.map(|method| method.by),
                rules: shared(&name, spec.rules),
                level: level.clone(),
                counters: kept.counters.entry(counted).or_default().clone(),
                name,
            }));
        }
        schemas.sort_by(|a, b| (a.precedence, &a.name).cmp(&(b.precedence, &b.name)));
        let is_schema = |name: &str| schemas.iter().any(|s| *s.name == *name);
        kept.counters.retain(|(name, _), _| is_schema(name));
        schemas
    }

    /// The numbers in the text format of Prometheus; the names are those of Kubernetes.
    pub(crate) fn metrics(&self, text: &mut String) {
        let levels = self.pool.levels();
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let by_level: [Gauge; 3] = [
            (
                "apiserver_flowcontrol_nominal_limit_seats",
                "Seats of the priority level.",
                Level::nominal,
            ),
            (
                "apiserver_flowcontrol_current_executing_seats",
                "Seats of the priority level that are taken.",
                Level::executing,
            ),
            (
                "apiserver_flowcontrol_current_inqueue_seats",
                "Requests that wait for a seat of the priority level.",
                Level::waiting,
            ),
        ];
        for (name, help, value) in by_level {
            _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge");
            for level in levels.iter() {
                let (label, value) = (&level.name, value(level));
                _ = writeln!(text, "{name}{{priority_level=\"{label}\"}} {value}");
            }
        }
        let name = "apiserver_flowcontrol_dispatched_requests_total";
        _ = writeln!(
            text,
            "# HELP {name} Requests that got a seat.\n# TYPE {name} counter"
        );
        for ((schema, level), counters) in &kept.counters {
            let count = counters.dispatched.load(Ordering::Relaxed);
            _ = writeln!(
                text,
                "{name}{{flow_schema=\"{schema}\",priority_level=\"{level}\"}} {count}"
            );
        }
        let name = "apiserver_flowcontrol_rejected_requests_total";
        _ = writeln!(
            text,
            "# HELP {name} Requests that got no seat.\n# TYPE {name} counter"
        );
        for ((schema, level), counters) in &kept.counters {
            for why in [
                Refused::ConcurrencyLimit,
                Refused::QueueFull,
                Refused::TimeOut,
            ] {
                let count = counters.refused[why as usize].load(Ordering::Relaxed);
                if count > 0 {
                    let reason = why.reason();
                    _ = writeln!(
                        text,
                        "{name}{{flow_schema=\"{schema}\",priority_level=\"{level}\",reason=\"{reason}\"}} {count}"
                    );
                }
            }
        }
    }
}

impl Refused {
    fn reason(self) -> &'static str {
        match self {
            Self::ConcurrencyLimit => "concurrency-limit",
            Self::QueueFull => "queue-full",
            Self::TimeOut => "time-out",
        }
    }
}

impl Schema {
    /// Says in an answer how its request was sorted.
    pub(crate) fn label(&self, headers: &mut http::HeaderMap) {
        for (name, uid) in [
            ("x-kubernetes-pf-flowschema-uid", &self.uid),
            ("x-kubernetes-pf-prioritylevel-uid", &self.level_uid),
        ] {
            if let Some(uid) = uid {
                headers.insert(name, uid.clone());
            }
        }
    }
}

fn uid(object: &Object) -> Option<HeaderValue> {
    HeaderValue::from_str(&object.header.uid).ok()
}

/// The rules of a schema, or those that all clusters begin with if they are the same: these exist once.
fn shared(name: &str, rules: Vec<Rule>) -> Arc<[Rule]> {
    static RULES: LazyLock<BTreeMap<Box<str>, Arc<[Rule]>>> = LazyLock::new(|| {
        let schemas = bootstrap_objects().iter();
        schemas
            .filter(|(key, _)| &*key.resource == SCHEMAS)
            .map(|(key, value)| {
                let spec = SchemaSpec::deserialize(&value["spec"]).unwrap_or_default();
                (Box::from(&*key.name), spec.rules.into())
            })
            .collect()
    });
    match RULES.get(name) {
        Some(known) if **known == *rules => known.clone(),
        _ => rules.into(),
    }
}
