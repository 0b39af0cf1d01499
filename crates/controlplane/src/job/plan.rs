//! Which pods to create, adopt, release and delete, and which to let go.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashSet};
use std::convert::Infallible;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use runtime::{Change, Plan};
use serde_json::{Value, json};

use super::World;
use super::create::{self, owner_reference};
use super::facts::{TRACKING, index, is_tracked, replaces_failed_only};
use super::look::{Claim, Look, ToNote, claim};
use super::status::{Done, conclude};
use crate::pod::{self, Names};

/// Pods created, deleted or let go in one pass at most; the next pass goes on.
pub(super) const MAX_CHANGES: usize = 500;
/// A pass that creates is repeated after this.
const RETRY: Duration = Duration::from_secs(60);

pub(super) fn plan(world: &World, now: Timestamp) -> Plan<Infallible> {
    let mut plan = Plan::default();
    let Some(look) = Look::at(world, now) else {
        return plan;
    };
    claims(world, &look, &mut plan);
    match &look.verdict {
        // It is put on record first.
        Some(verdict) if !verdict.is_recorded => {}
        Some(_) => {
            // Onto the versions that we know, so before the deletion changes them.
            let_go(&look, &mut plan);
            for pod in look.active().take(MAX_CHANGES) {
                delete(pod, &mut plan);
            }
        }
        None => {
            let_go(&look, &mut plan);
            if !look.is_deleting() {
                manage(&look, &mut plan);
            }
            // A deadline that is over has had its verdict.
            plan.again_in = plan.again_in.into_iter().chain(look.time_left()).min();
        }
    }
    let conclusion = conclude(&look, &Done::of(&plan.changes));
    for event in conclusion.events {
        if event.is_warning {
            plan.warn(event.reason, event.message);
        } else {
            plan.note(event.reason, event.message);
        }
    }
    if conclusion.is_unfinished {
        plan.again_in = Some(Duration::ZERO);
    }
    plan
}

/// Adopts what nobody has, releases what no longer matches.
fn claims(world: &World, look: &Look<'_>, plan: &mut Plan<Infallible>) {
    for mine in look.pods.iter().filter(|mine| mine.is_orphan) {
        let meta = &mine.pod.metadata;
        let mut owners = json!(meta.owner_references.clone().unwrap_or_default());
        if let Some(owners) = owners.as_array_mut() {
            owners.push(owner_reference(look));
        }
        let mut finalizers = meta.finalizers.clone().unwrap_or_default();
        if !is_tracked(mine.pod) {
            finalizers.push(TRACKING.into());
        }
        let patch = json!({"metadata": {
            "ownerReferences": owners, "finalizers": finalizers, "uid": meta.uid,
        }});
        plan.changes.push(patch_of(mine.pod, patch));
    }
    let job = &world.job;
    let released = world
        .pods
        .iter()
        .filter(|pod| claim(job, pod) == Claim::Released);
    for pod in released {
        let meta = &pod.metadata;
        let uid = job.metadata.uid.as_deref().unwrap_or_default();
        let mut owners = meta.owner_references.clone().unwrap_or_default();
        owners.retain(|owner| owner.uid != uid);
        let patch = json!({"metadata": {
            "ownerReferences": owners, "finalizers": other_finalizers(pod), "uid": meta.uid,
        }});
        plan.changes.push(patch_of(pod, patch));
    }
}

/// Takes the finalizer from the pods of which everything is on record.
fn let_go(look: &Look<'_>, plan: &mut Plan<Infallible>) {
    let free = look.pods.iter().filter(|mine| {
        !mine.is_orphan && look.is_dispensable(mine) && look.note(mine.pod) == ToNote::Nothing
    });
    for mine in free.take(MAX_CHANGES) {
        plan.changes.push(untrack(mine.pod));
    }
}

/// As many active pods as there should be.
fn manage(look: &Look<'_>, plan: &mut Plan<Infallible>) {
    let active: Vec<&Pod> = look.active().collect();
    let count = i64::try_from(active.len()).unwrap_or(i64::MAX);
    if look.is_suspended() {
        for pod in active.into_iter().take(MAX_CHANGES) {
            remove(pod, plan);
        }
        return;
    }
    let parallelism = i64::from(look.spec.parallelism.unwrap_or(1));
    let wanted = match look.completions() {
        // After the first success nobody is hindered from ending.
        None if look.succeeded > 0 => count,
        None => parallelism,
        Some(completions) => (completions - look.succeeded).clamp(0, parallelism.max(0)),
    };
    let surplus = usize::try_from(count - wanted).unwrap_or(0);
    let going = surplus_pods(look, active, surplus);
    if !going.is_empty() {
        for pod in going.into_iter().take(MAX_CHANGES) {
            remove(pod, plan);
        }
        return;
    }
    let terminating = if replaces_failed_only(look.spec) {
        i64::try_from(look.terminating().count()).unwrap_or(i64::MAX)
    } else {
        0
    };
    let missing = usize::try_from(wanted - terminating - count).unwrap_or(0);
    if missing > 0 {
        make(look, missing.min(MAX_CHANGES), plan);
    }
}

fn make(look: &Look<'_>, count: usize, plan: &mut Plan<Infallible>) {
    let wanted = create::wanted(look, count);
    plan.again_in = wanted.again_in;
    if wanted.pods.is_empty() {
        return;
    }
    let taken = look.pods.iter().map(|mine| mine.pod);
    let mut names = Names::new(&look.job.metadata, look.now, taken);
    for index in wanted.pods {
        let name = create::name(look, &mut names, index);
        let pod = create::pod(look, &name, index);
        let message = format!("Created pod: {}", name.name);
        plan.change(Change::Create(Box::new(pod)), "SuccessfulCreate", message);
    }
    // What is refused, for a quota perhaps, is tried again: nothing else would tell that there is room.
    plan.again_in = plan.again_in.into_iter().chain([RETRY]).min();
}

/// The active pods that have to go: those without an index that the Job has, all but one of each index, and as many
/// more as there are too many.
fn surplus_pods<'a>(look: &Look<'a>, active: Vec<&'a Pod>, surplus: usize) -> Vec<&'a Pod> {
    let (mut going, mut staying) = (vec![], active);
    if let Some(indexed) = &look.indexed {
        let mut by_index: BTreeMap<Option<u32>, Vec<&Pod>> = BTreeMap::new();
        for pod in staying {
            let slot = index(pod).filter(|index| *index < indexed.completions);
            by_index.entry(slot).or_default().push(pod);
        }
        staying = vec![];
        for (slot, mut pods) in by_index {
            if slot.is_some() {
                pods.sort_by_cached_key(|pod| rank(pod, look.now));
                staying.extend(pods.pop());
            }
            going.extend(pods);
        }
    }
    if going.len() < surplus {
        staying.sort_by_cached_key(|pod| rank(pod, look.now));
        let more = surplus - going.len();
        going.extend(staying.into_iter().take(more));
    }
    going
}

/// The rank of an active pod: those not yet on a node go first, then those not yet running, not ready, ready for a short
/// time, restarted often, young.
fn rank(pod: &Pod, now: Timestamp) -> impl Ord + use<> {
    let status = pod.status.as_ref();
    let is_bound = pod
        .spec
        .as_ref()
        .is_some_and(|spec| spec.node_name.is_some());
    let phase = match status.and_then(|s| s.phase.as_deref()) {
        Some("Running") => 2,
        Some("Unknown") => 1,
        _ => 0,
    };
    let ready_since = pod::ready_since(pod);
    let containers = status
        .iter()
        .flat_map(|s| s.container_statuses.iter().flatten());
    let restarts = containers.map(|c| c.restart_count).max();
    let created = pod.metadata.creation_timestamp.as_ref();
    let created = created.map_or(now, |t| t.0);
    (
        (is_bound, phase, ready_since.is_some()),
        (
            Reverse(ready_since),
            Reverse(restarts.unwrap_or(0)),
            Reverse(created),
        ),
        pod.metadata.uid.clone(),
    )
}

/// Deletes a pod that is not to count.
fn remove(pod: &Pod, plan: &mut Plan<Infallible>) {
    if is_tracked(pod) {
        plan.changes.push(untrack(pod));
    }
    delete(pod, plan);
}

fn delete(pod: &Pod, plan: &mut Plan<Infallible>) {
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    let message = format!("Deleted pod: {name}");
    plan.change(pod::delete(pod), "SuccessfulDelete", message);
}

/// Takes the tracking finalizer from a pod, onto the version that we know: the list is written as a whole.
pub(super) fn untrack<A>(pod: &Pod) -> Change<A> {
    let meta = &pod.metadata;
    let patch = json!({"metadata": {
        "finalizers": other_finalizers(pod), "resourceVersion": meta.resource_version, "uid": meta.uid,
    }});
    patch_of(pod, patch)
}

fn other_finalizers(pod: &Pod) -> Vec<&String> {
    let finalizers = pod.metadata.finalizers.iter().flatten();
    finalizers.filter(|f| *f != TRACKING).collect()
}

/// The pods that these changes create, delete and untrack.
pub(super) fn done(changes: &[Change<Infallible>]) -> (usize, HashSet<&str>, HashSet<&str>) {
    let mut created = 0;
    let (mut deleted, mut untracked) = (HashSet::new(), HashSet::new());
    for change in changes {
        match change {
            Change::Create(_) => created += 1,
            Change::Delete { target, .. } => {
                deleted.insert(target.name.as_str());
            }
            Change::Patch { target, patch, .. }
                if patch["metadata"]["ownerReferences"].is_null() =>
            {
                untracked.insert(target.name.as_str());
            }
            Change::Apply(_) | Change::ApplyStatus(_) | Change::Patch { .. } => {}
            Change::Act(never) => match *never {},
        }
    }
    (created, deleted, untracked)
}

fn patch_of<A>(pod: &Pod, patch: Value) -> Change<A> {
    Change::Patch {
        target: pod::reference(pod),
        subresource: "",
        patch,
    }
}
