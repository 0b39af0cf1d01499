//! ResourceQuota: what a namespace may hold. A write that uses more is charged to the quotas before it is stored, by
//! compare-and-swap of their status; one that does not fit is refused.
//!
//! Requests that wait for the same namespace are charged together, so that a crowd costs one write for each quota. What is
//! charged for an object that then is not stored, or is deleted, is given back by the controller that counts again.

mod amounts;
mod charge;
#[cfg(test)]
mod tests;
mod usage;

pub use amounts::Amounts;
pub use usage::{Counter, stops_counting};

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;
use tokio::sync::oneshot;

use super::{Admission, Request};
use crate::object::{Key, Object};
use crate::registry::Clock;
use crate::status::Status;
use crate::store::{Change, ClusterStore, Expected, WriteError};
use charge::{Demand, Quota};

/// How often a charge is tried against quotas that others change meanwhile.
const MAX_TRIES: usize = 16;
/// Requests charged together at most.
const MAX_BATCH: usize = 256;

/// The plugin of one cluster.
pub(crate) struct ResourceQuota {
    store: ClusterStore,
    clock: Clock,
    desks: Mutex<HashMap<String, Arc<Desk>>>,
}

/// Where the requests of one namespace wait.
#[derive(Default)]
struct Desk {
    waiting: Mutex<Vec<Waiter>>,
    /// Held by who charges.
    turn: tokio::sync::Mutex<()>,
}

struct Waiter {
    demand: Arc<Demand>,
    answer: oneshot::Sender<Result<(), Status>>,
}

/// One request at the desk of its namespace; the last one to leave takes the desk away.
struct Seat<'a> {
    plugin: &'a ResourceQuota,
    namespace: &'a str,
    desk: Arc<Desk>,
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        let mut desks = lock(&self.plugin.desks);
        // The map's and ours.
        if Arc::strong_count(&self.desk) == 2 {
            desks.remove(self.namespace);
        }
    }
}

impl ResourceQuota {
    /// Charges the quotas in `store`.
    pub(crate) fn new(store: ClusterStore, clock: Clock) -> Self {
        Self {
            store,
            clock,
            desks: Mutex::default(),
        }
    }

    /// Waits for a turn, then charges for everybody who waits. Whoever was charged by somebody else has an answer by then.
    async fn charge(&self, demand: Demand) -> Result<(), Status> {
        let namespace = demand.namespace.clone();
        let seat = self.take_seat(&namespace);
        let desk = &seat.desk;
        let demand = Arc::new(demand);
        loop {
            let (answer, mut mine) = oneshot::channel();
            let waiter = Waiter {
                demand: demand.clone(),
                answer,
            };
            lock(&desk.waiting).push(waiter);
            let turn = desk.turn.lock().await;
            let mut answer = mine.try_recv();
            while matches!(answer, Err(oneshot::error::TryRecvError::Empty)) {
                let batch: Vec<Waiter> = {
                    let mut waiting = lock(&desk.waiting);
                    // Nobody waits for what was given up.
                    waiting.retain(|waiter| !waiter.answer.is_closed());
                    let count = waiting.len().min(MAX_BATCH);
                    waiting.drain(..count).collect()
                };
                self.settle(&namespace, batch).await;
                answer = mine.try_recv();
            }
            drop(turn);
            // Who charged for us may have been cut off: then again.
            if let Ok(result) = answer {
                return result;
            }
        }
    }

    fn take_seat<'a>(&'a self, namespace: &'a str) -> Seat<'a> {
        let mut desks = lock(&self.desks);
        let desk = desks.entry(namespace.to_owned()).or_default().clone();
        Seat {
            plugin: self,
            namespace,
            desk,
        }
    }

    /// Charges a batch and answers each of it.
    async fn settle(&self, namespace: &str, mut batch: Vec<Waiter>) {
        let mut only: Option<BTreeSet<String>> = None;
        for _ in 0..MAX_TRIES {
            let mut quotas = self.quotas(namespace, only.as_ref());
            batch = charge::fit(batch, &mut quotas, (self.clock)());
            let changed: Vec<Quota> = quotas.into_iter().filter(|q| q.is_changed).collect();
            let results = futures::future::join_all(changed.iter().map(|q| self.write(q))).await;
            let mut failed = BTreeSet::new();
            for (quota, result) in changed.iter().zip(results) {
                match result {
                    Ok(()) => {}
                    Err(WriteError::Conflict { .. }) => {
                        failed.insert(quota.name.clone());
                    }
                    Err(error) => {
                        let status = Status::internal(format!(
                            "resource quota {} could not be charged: {error}",
                            quota.name
                        ));
                        return answer_all(batch, &Err(status));
                    }
                }
            }
            if failed.is_empty() {
                return answer_all(batch, &Ok(()));
            }
            // The others are charged already.
            only = Some(failed);
        }
        let name = only.into_iter().flatten().next().unwrap_or_default();
        answer_all(batch, &Err(Status::modified("", "resourcequotas", &name)));
    }

    /// The newest quotas of a namespace; only those of these names.
    fn quotas(&self, namespace: &str, only: Option<&BTreeSet<String>>) -> Vec<Quota> {
        let listed = self.store.list("resourcequotas", Some(namespace)).objects;
        let named = listed
            .iter()
            .filter(|object| only.is_none_or(|only| only.contains(&*object.header.name)));
        named
            .filter_map(|object| self.newest(object))
            .map(|object| Quota::of(&object))
            .collect()
    }

    /// Others may have charged it since it was listed.
    fn newest(&self, object: &Object) -> Option<Arc<Object>> {
        let header = &object.header;
        let key = Key::new("resourcequotas", &header.namespace, &header.name);
        self.store.newest(&key)
    }

    async fn write(&self, quota: &Quota) -> Result<(), WriteError> {
        let key = Key::new("resourcequotas", &quota.namespace, &quota.name);
        let expected = Expected::Revision(quota.revision);
        let mut value = quota.object.clone();
        value["status"]["used"] = quota.used.to_value();
        self.store
            .write(&key, expected, Change::Put(value))
            .await
            .map(drop)
    }
}

fn answer_all(batch: Vec<Waiter>, result: &Result<(), Status>) {
    for waiter in batch {
        // Whoever does not wait any more does not want to know.
        _ = waiter.answer.send(result.clone());
    }
}

// Nothing is left half done when a panic poisons these locks.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[async_trait::async_trait]
impl Admission for ResourceQuota {
    fn name(&self) -> &'static str {
        "ResourceQuota"
    }

    async fn admit(&self, _: &mut Request<'_>, _: &mut Value) -> Result<(), Status> {
        Ok(())
    }

    async fn validate(&self, request: &mut Request<'_>, object: &Value) -> Result<(), Status> {
        let resource = request.resource;
        if request.namespace.is_empty() {
            return Ok(());
        }
        let counter = Counter::of(&resource.group, &resource.plural);
        if !counter.handles(request.operation, request.subresource, request.old, object) {
            return Ok(());
        }
        let quotas = request
            .objects
            .list("resourcequotas", Some(request.namespace));
        if quotas.is_empty() {
            return Ok(());
        }
        let demand = Demand {
            group: resource.group.to_string(),
            plural: resource.plural.to_string(),
            namespace: request.namespace.to_owned(),
            name: request.name.to_owned(),
            object: object.clone(),
            old: request.old.cloned(),
            is_status: request.subresource == "status",
            counter,
        };
        // What concerns no quota, and what is not to be charged, need not wait.
        let mut quotas: Vec<Quota> = quotas.iter().map(|object| Quota::of(object)).collect();
        let is_changed = demand.fit(&mut quotas, (self.clock)());
        match is_changed {
            Ok(false) => Ok(()),
            Ok(true) | Err(_) if !request.dry_run => self.charge(demand).await,
            other => other.map(drop),
        }
    }
}
