//! Deletes what nobody owns any more.
//!
//! Hears of every change of every kind, and looks at objects with owners, at owners that are being deleted, and at what a
//! deleted object leaves behind. Decisions are pure (`decide.rs`); they are made on the shared caches, guarded by
//! preconditions, and an owner counts as gone only when the server itself says so.
//!
//! An object that has no owner and isn't being deleted costs nothing here: there is no graph, the caches know who owns
//! what.

mod decide;
mod queue;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use kube::api::{DeleteParams, Preconditions, PropagationPolicy};
use kube::core::ApiResource;
use runtime::{Cluster, Entry, Owner, Served};
use serde_json::json;
use tokio::time::Instant;

use decide::{Action, Dependent, FOREGROUND, Facts, ORPHAN, OwnerState, Policy};
use queue::{Absent, KindListener, Queue, Task};

const MANAGER: &str = "apiary-garbage-collector";
/// Objects that are worked on at once.
const CONCURRENCY: usize = 8;
const RETRY_MIN: Duration = Duration::from_millis(250);
const RETRY_MAX: Duration = Duration::from_secs(300);
/// How often a server that can't be asked for its kinds is asked again.
const DISCOVERY_RETRY: Duration = Duration::from_secs(5);

/// Collects garbage in a cluster, for ever.
pub async fn run(cluster: Arc<Cluster>) {
    let collector = Arc::new(Collector {
        queue: Arc::new(Queue::default()),
        absent: Absent::default(),
        cluster,
    });
    let listening = collector.listen_to_all_kinds();
    let working = collector.work();
    tokio::join!(listening, working);
}

struct Collector {
    cluster: Arc<Cluster>,
    queue: Arc<Queue>,
    /// Owners that the server lately said are gone.
    absent: Absent,
}

/// Why an object could not be dealt with now.
#[derive(Debug)]
enum Trouble {
    /// Somebody was quicker.
    Conflict,
    Failed(String),
}

impl From<kube::Error> for Trouble {
    fn from(error: kube::Error) -> Self {
        match &error {
            kube::Error::Api(status) if status.code == 409 => Self::Conflict,
            kube::Error::Api(status) => Self::Failed(status.message.clone()),
            _ => Self::Failed(runtime::chain(&error)),
        }
    }
}

impl Collector {
    async fn listen_to_all_kinds(&self) {
        let mut changes = self.cluster.kinds_changed();
        let mut known: HashSet<(String, String)> = HashSet::new();
        loop {
            changes.mark_unchanged();
            match self.cluster.all_served().await {
                Ok(served) => {
                    let is_partial = !served.failures.is_empty();
                    for served in served.kinds.into_iter().filter(is_collectable) {
                        let resource = served.resource;
                        if known.insert((resource.group.clone(), resource.plural.clone())) {
                            let listener = KindListener {
                                resource: resource.clone(),
                                queue: Arc::clone(&self.queue),
                            };
                            self.cluster.listen(&resource, Arc::new(listener));
                        }
                    }
                    // Nobody tells us when a group can say again what it serves.
                    if is_partial {
                        let limit = tokio::time::timeout(DISCOVERY_RETRY, changes.changed());
                        limit.await.unwrap_or(());
                    } else {
                        changes.changed().await;
                    }
                }
                Err(error) => {
                    tracing::debug!(
                        error = runtime::chain(&error),
                        "can't ask for the kinds that are served"
                    );
                    tokio::time::sleep(DISCOVERY_RETRY).await;
                }
            }
        }
    }

    async fn work(&self) {
        let mut running = FuturesUnordered::new();
        loop {
            while running.len() < CONCURRENCY
                && let Some((task, failures)) = self.queue.take(Instant::now())
            {
                running.push(self.attend(task, failures));
            }
            let due = self.queue.next_due();
            tokio::select! {
                // In this order, so that a run can be repeated.
                biased;
                Some(()) = running.next() => {}
                () = self.queue.changed.notified() => {}
                () = sleep_until(due) => {}
            }
        }
    }

    async fn attend(&self, task: Task, failures: u32) {
        let done = match &task {
            Task::Look {
                resource,
                namespace,
                name,
            } => self.look(resource, namespace, name).await,
            Task::Bereaved { uid } => {
                self.queue_dependents(uid);
                Ok(())
            }
            Task::Owner { namespace, owner } => self.queue_owner(namespace, owner).await,
        };
        match done {
            Ok(()) => self.queue.done(&task),
            Err(Trouble::Conflict) => self.queue.retry(task, failures + 1, RETRY_MIN),
            Err(Trouble::Failed(why)) => {
                tracing::debug!(?task, why, "garbage collection is tried again later");
                let pause = RETRY_MIN
                    .saturating_mul(1 << failures.min(20))
                    .min(RETRY_MAX);
                self.queue.retry(task, failures + 1, pause);
            }
        }
    }

    fn queue_dependents(&self, uid: &str) {
        for (resource, entry) in self.cluster.owned_by(uid) {
            self.queue.push(Task::look(&resource, &entry.header));
        }
    }

    /// A dependent went: an owner that waits for its dependents may be able to go.
    async fn queue_owner(&self, namespace: &str, owner: &Owner) -> Result<(), Trouble> {
        if let Some(served) = self.served(owner).await? {
            let namespace = if served.is_namespaced { namespace } else { "" };
            let (resource, name) = (served.resource, owner.name.clone());
            self.queue.push(Task::Look {
                resource,
                namespace: namespace.to_owned(),
                name,
            });
        }
        Ok(())
    }

    async fn served(&self, owner: &Owner) -> Result<Option<Served>, Trouble> {
        let (group, _) = owner.api_version.rsplit_once('/').unwrap_or_default();
        // Any served version will do: it is the same object.
        Ok(self.cluster.served(group, None, &owner.kind).await?)
    }

    async fn look(
        &self,
        resource: &ApiResource,
        namespace: &str,
        name: &str,
    ) -> Result<(), Trouble> {
        let entry = self.cluster.entry(resource, namespace, name).await;
        let entry = entry.map_err(|error| Trouble::Failed(runtime::chain(&error)))?;
        let Some(entry) = entry else { return Ok(()) };
        let header = &entry.header;
        let mut facts = Facts {
            is_deleting: header.is_deleting,
            waits_for_dependents: header.finalizers.iter().any(|f| f == FOREGROUND),
            orphans_dependents: header.finalizers.iter().any(|f| f == ORPHAN),
            owners: vec![],
            dependents: vec![],
        };
        if !facts.is_deleting {
            for owner in &header.owners {
                facts.owners.push(self.owner_state(namespace, owner).await?);
            }
        }
        let dependents = self.cluster.owned_by(&header.uid);
        facts.dependents = dependents
            .iter()
            .map(|(_, entry)| dependent(entry, &header.uid))
            .collect();
        self.carry_out(resource, &entry, &dependents, decide::decide(&facts))
            .await
    }

    async fn owner_state(&self, namespace: &str, owner: &Owner) -> Result<OwnerState, Trouble> {
        let Some(served) = self.served(owner).await? else {
            return Ok(OwnerState::Unknown);
        };
        if served.is_namespaced && namespace.is_empty() {
            // A cluster-scoped object can't be owned from inside a namespace: nobody can say which.
            return Ok(OwnerState::Unknown);
        }
        let namespace = if served.is_namespaced { namespace } else { "" };
        let cached = self
            .cluster
            .entry(&served.resource, namespace, &owner.name)
            .await;
        let cached = cached.map_err(|error| Trouble::Failed(runtime::chain(&error)))?;
        if let Some(entry) = cached.filter(|entry| entry.header.uid == owner.uid) {
            return Ok(state_of(&entry));
        }
        if self.absent.contains(&owner.uid) {
            return Ok(OwnerState::Gone);
        }
        // The cache may be behind; what is deleted now stays deleted.
        match self
            .cluster
            .live(&served.resource, namespace, &owner.name)
            .await?
        {
            Some(entry) if entry.header.uid == owner.uid => Ok(state_of(&entry)),
            _ => {
                self.absent.insert(&owner.uid);
                Ok(OwnerState::Gone)
            }
        }
    }

    async fn carry_out(
        &self,
        resource: &ApiResource,
        entry: &Arc<Entry>,
        dependents: &[(ApiResource, Arc<Entry>)],
        action: Action,
    ) -> Result<(), Trouble> {
        let header = &entry.header;
        match action {
            Action::Nothing => Ok(()),
            Action::NotYet => Err(Trouble::Failed("an owner's kind is not served".to_owned())),
            Action::LookAtDependents => {
                self.queue_dependents(&header.uid);
                Ok(())
            }
            Action::Delete(policy) => self.delete(resource, entry, policy).await,
            Action::UnblockAndDelete => {
                let owners = header.owners.iter().cloned().map(|owner| Owner {
                    block_owner_deletion: Some(false),
                    ..owner
                });
                self.set_owners(resource, entry, &owners.collect::<Vec<_>>())
                    .await?;
                // By what the patch made of it.
                let (namespace, name) = (header.namespace.clone(), header.name.clone());
                let entry = self.cluster.live(resource, &namespace, &name).await?;
                match entry {
                    Some(entry) => {
                        self.delete(resource, &Arc::new(entry), Policy::Foreground)
                            .await
                    }
                    None => Ok(()),
                }
            }
            Action::DropOwners(indexes) => {
                let owners = header
                    .owners
                    .iter()
                    .enumerate()
                    .filter(|(index, _)| !indexes.contains(index));
                let owners: Vec<Owner> = owners.map(|(_, owner)| owner.clone()).collect();
                self.set_owners(resource, entry, &owners).await
            }
            Action::RemoveFinalizer(finalizer) => {
                self.remove_finalizer(resource, entry, finalizer).await
            }
            Action::Orphan => {
                for (resource, dependent) in dependents {
                    let owners = dependent
                        .header
                        .owners
                        .iter()
                        .filter(|owner| owner.uid != header.uid);
                    let owners: Vec<Owner> = owners.cloned().collect();
                    self.set_owners(resource, dependent, &owners).await?;
                }
                self.remove_finalizer(resource, entry, ORPHAN).await
            }
        }
    }

    async fn delete(
        &self,
        resource: &ApiResource,
        entry: &Arc<Entry>,
        policy: Policy,
    ) -> Result<(), Trouble> {
        let header = &entry.header;
        let params = DeleteParams {
            propagation_policy: Some(match policy {
                Policy::Background => PropagationPolicy::Background,
                Policy::Foreground => PropagationPolicy::Foreground,
                Policy::Orphan => PropagationPolicy::Orphan,
            }),
            // If its owners changed meanwhile, it is another case.
            preconditions: Some(Preconditions {
                uid: Some(header.uid.clone()),
                resource_version: Some(header.resource_version.clone()),
            }),
            ..DeleteParams::default()
        };
        tracing::debug!(
            kind = resource.kind,
            namespace = header.namespace,
            name = header.name,
            ?policy,
            "deleting an object without owners"
        );
        match self
            .cluster
            .delete(resource, &header.namespace, &header.name, &params)
            .await
        {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    async fn set_owners(
        &self,
        resource: &ApiResource,
        entry: &Entry,
        owners: &[Owner],
    ) -> Result<(), Trouble> {
        let owners: Vec<_> = owners.iter().map(owner_json).collect();
        self.patch_metadata(resource, entry, "ownerReferences", json!(owners))
            .await
    }

    async fn remove_finalizer(
        &self,
        resource: &ApiResource,
        entry: &Entry,
        finalizer: &str,
    ) -> Result<(), Trouble> {
        let rest = entry.header.finalizers.iter().filter(|f| *f != finalizer);
        let rest: Vec<&String> = rest.collect();
        self.patch_metadata(resource, entry, "finalizers", json!(rest))
            .await
    }

    async fn patch_metadata(
        &self,
        resource: &ApiResource,
        entry: &Entry,
        field: &str,
        value: serde_json::Value,
    ) -> Result<(), Trouble> {
        let header = &entry.header;
        let patch = json!({"metadata": {
            "uid": header.uid,
            "resourceVersion": header.resource_version,
            field: value,
        }});
        let object = (header.namespace.as_str(), header.name.as_str());
        match self
            .cluster
            .merge_patch(resource, object, &patch, MANAGER)
            .await
        {
            Ok(()) => Ok(()),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// Events are many, short-lived, and owned by nobody.
fn is_collectable(served: &Served) -> bool {
    ["list", "watch", "delete"]
        .iter()
        .all(|verb| served.has_verb(verb))
        && served.resource.kind != "Event"
}

fn state_of(owner: &Entry) -> OwnerState {
    let header = &owner.header;
    if header.is_deleting && header.finalizers.iter().any(|f| f == FOREGROUND) {
        OwnerState::Waiting
    } else {
        OwnerState::Solid
    }
}

fn dependent(entry: &Entry, owner: &str) -> Dependent {
    let header = &entry.header;
    let is_blocking = |o: &&Owner| o.uid == owner && o.block_owner_deletion == Some(true);
    Dependent {
        is_blocking: header.owners.iter().find(is_blocking).is_some(),
        is_deleting: header.is_deleting,
        waits_for_dependents: header.is_deleting
            && header.finalizers.iter().any(|f| f == FOREGROUND),
    }
}

fn owner_json(owner: &Owner) -> serde_json::Value {
    let Owner {
        api_version,
        kind,
        name,
        uid,
        controller,
        block_owner_deletion,
    } = owner;
    let mut json = json!({"apiVersion": api_version, "kind": kind, "name": name, "uid": uid});
    if let Some(controller) = controller {
        json["controller"] = json!(controller);
    }
    if let Some(block) = block_owner_deletion {
        json["blockOwnerDeletion"] = json!(block);
    }
    json
}

async fn sleep_until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}
