//! Which nodes get a pod, and which pods go.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::apps::v1::ControllerRevision;
use k8s_openapi::api::core::v1::{Node, Pod};
use runtime::{Change, Plan};
use serde_json::json;

use super::look::{Look, claim};
use super::node::Fit;
use super::{Act, World, create, rolling};
use crate::claim::{Claim, delete, target};
use crate::history::{self, REVISION_LABEL};
use crate::pod::{self, Names};

/// Pods created, and deleted, in one pass at most; the next pass goes on.
const BURST: usize = 250;
/// A pass that creates is repeated after this.
const RETRY: Duration = Duration::from_secs(60);
/// A second revision of the present template goes this long after it was made: whoever made it may be at work with it.
const COPY_KEPT: SignedDuration = SignedDuration::from_secs(60);

/// What a look at nodes and pods comes to.
#[derive(Default)]
pub(super) struct Wanted<'a> {
    /// Pods that go.
    pub(super) gone: Vec<&'a Pod>,
    /// Nodes that get a pod.
    pub(super) new: Vec<&'a str>,
}

pub(super) fn plan(world: &World, now: Timestamp) -> Plan<Act> {
    let mut plan = Plan::default();
    let Some(look) = Look::of(world, now) else {
        return plan;
    };
    history::keep(&world.history, &look.owner, &mut plan);
    for pod in &world.pods {
        match claim(&look.owner, pod) {
            Claim::Orphan => plan.changes.push(look.owner.keeper.adopt(&**pod)),
            Claim::Released => plan.changes.push(look.owner.keeper.release(&**pod)),
            Claim::Own | Claim::Foreign => {}
        }
    }
    plan.again_in = look.next_availability();
    let mut wanted = manage(&look, &mut plan);
    if wanted.gone.is_empty() && wanted.new.is_empty() && look.is_rolling() {
        wanted = rolling::update(&look);
    }
    // Pods go first: a quota that refuses new ones is no reason to keep old ones.
    for pod in wanted.gone.into_iter().take(BURST) {
        let name = pod.metadata.name.as_deref().unwrap_or_default();
        let message = format!("Deleted pod: {name}");
        plan.change(delete(pod), "SuccessfulDelete", message);
    }
    merge_copies(&look, &mut plan);
    forget_old(&look, &mut plan);
    add(&look, &wanted.new, &mut plan);
    plan
}

fn add(look: &Look<'_>, nodes: &[&str], plan: &mut Plan<Act>) {
    if nodes.is_empty() {
        return;
    }
    let (meta, pods) = (look.owner.keeper.meta, look.world.pods.iter());
    let mut names = Names::new(meta, look.now, pods.map(|pod| &**pod));
    for node in nodes.iter().take(BURST) {
        let name = names.draw();
        let new = create::pod(look, &name, node);
        let message = format!("Created pod: {}", name.name);
        plan.change(Change::Create(Box::new(new)), "SuccessfulCreate", message);
    }
    // What is refused, for a quota perhaps, is tried again: nothing else would tell that there is room.
    plan.again_in = plan.again_in.into_iter().chain([RETRY]).min();
}

/// One pod for each eligible node, and none that is over or for a node that isn't.
fn manage<'a>(look: &Look<'a>, plan: &mut Plan<Act>) -> Wanted<'a> {
    let mut wanted = Wanted::default();
    for (name, node) in &look.world.nodes {
        manage_node(look, name, node, plan, &mut wanted);
    }
    // Pods on a node that is gone are collected by others, but those on the way to it never get there.
    for (name, pods) in &look.by_node {
        if !look.world.nodes.contains_key(name) {
            let is_unbound = |pod: &&Pod| {
                let node = pod.spec.as_ref().and_then(|s| s.node_name.as_deref());
                pod.metadata.deletion_timestamp.is_none() && node.is_none_or(str::is_empty)
            };
            let lost = pods.iter().map(|pod| &***pod).filter(is_unbound);
            wanted.gone.extend(lost);
        }
    }
    wanted
}

fn manage_node<'a>(
    look: &Look<'a>,
    name: &'a str,
    node: &Node,
    plan: &mut Plan<Act>,
    wanted: &mut Wanted<'a>,
) {
    let fit = look.fit(node);
    let pods = look.on(name);
    if fit == Fit::Runs && pods.is_empty() {
        wanted.new.push(name);
        return;
    }
    let staying = pods
        .iter()
        .copied()
        .filter(|pod| pod.metadata.deletion_timestamp.is_none());
    if fit == Fit::No {
        wanted.gone.extend(staying.map(|pod| &**pod));
        return;
    }
    let mut running = vec![];
    for pod in staying {
        if pod::is_over(pod) {
            if bury(look, name, pod, plan) {
                wanted.gone.push(pod);
            }
        } else {
            running.push(pod);
        }
    }
    if look.max_surge(1) == 0 {
        wanted
            .gone
            .extend(running.iter().skip(1).map(|pod| &***pod));
    } else if running.is_empty() && fit == Fit::Runs {
        wanted.new.push(name);
    } else {
        wanted.gone.extend(superseded(look, &running));
    }
}

/// Whether a pod that came to its end goes now, and the words about it.
fn bury(look: &Look<'_>, node: &str, pod: &Pod, plan: &mut Plan<Act>) -> bool {
    let (namespace, name) = (
        look.owner.keeper.namespace(),
        pod.metadata.name.as_deref().unwrap_or_default(),
    );
    let phase = pod.status.as_ref().and_then(|s| s.phase.as_deref());
    if phase != Some("Failed") {
        let message = format!(
            "Found succeeded daemon pod {namespace}/{name} on node {node}, will try to delete it"
        );
        plan.note("SucceededDaemonPod", message);
        return true;
    }
    let back_off = look.world.back_offs.get(node);
    let left = back_off.map_or(Duration::ZERO, |back_off| back_off.left(look.now));
    if !left.is_zero() {
        plan.again_in = plan.again_in.into_iter().chain([left]).min();
        return false;
    }
    let message =
        format!("Found failed daemon pod {namespace}/{name} on node {node}, will try to kill it");
    plan.warn("FailedDaemonPod", message);
    plan.changes
        .push(Change::Act(Act::Remember(node.to_owned())));
    true
}

/// With a surge, an old and a new pod share a node until the new one is available or the old one is not ready.
fn superseded<'a>(look: &Look<'a>, running: &[&'a Arc<Pod>]) -> Vec<&'a Pod> {
    let (new, old): (Vec<&Pod>, Vec<&Pod>) = running
        .iter()
        .map(|pod| &***pod)
        .partition(|pod| look.is_updated(pod));
    let mut gone: Vec<&Pod> = new.iter().chain(&old).copied().collect();
    gone.retain(|pod| {
        let is_first = |of: &[&Pod]| of.first().is_some_and(|first| std::ptr::eq(*first, *pod));
        !is_first(&new) && !is_first(&old)
    });
    if let (Some(new), Some(old)) = (new.first(), old.first())
        && (!pod::is_ready(old) || look.is_available(new))
    {
        gone.push(old);
    }
    gone
}

/// Leaves one revision of the present template, and tells the pods of the others.
fn merge_copies(look: &Look<'_>, plan: &mut Plan<Act>) {
    let equal = history::equal(&look.world.history, &look.owner);
    let created = |revision: &ControllerRevision| {
        let created = revision.metadata.creation_timestamp.as_ref();
        created.map_or(look.now, |t| t.0)
    };
    let Some(latest) = equal.iter().map(|revision| created(revision)).max() else {
        return;
    };
    let Some((_, copies)) = equal.split_last().filter(|(_, copies)| !copies.is_empty()) else {
        return;
    };
    let due = latest.saturating_add(COPY_KEPT).unwrap_or(latest);
    if due > look.now {
        plan.again_at(due, look.now);
        return;
    }
    let hash = |labels: Option<&std::collections::BTreeMap<String, String>>| {
        labels
            .and_then(|labels| labels.get(REVISION_LABEL))
            .cloned()
    };
    let hashes: BTreeSet<String> = copies
        .iter()
        .filter_map(|copy| hash(copy.metadata.labels.as_ref()))
        .filter(|hash| *hash != look.revision.hash)
        .collect();
    for pod in look.by_node.values().flatten() {
        if hash(pod.metadata.labels.as_ref()).is_some_and(|hash| hashes.contains(&hash)) {
            let labels = json!({REVISION_LABEL: look.revision.hash});
            plan.changes.push(Change::Patch {
                target: target(&***pod),
                subresource: "",
                patch: json!({"metadata": {"labels": labels, "uid": pod.metadata.uid}}),
            });
        }
    }
    plan.changes
        .extend(copies.iter().map(|copy| delete(&***copy)));
}

/// Revisions beyond the limit go, but for those that pods are of.
fn forget_old(look: &Look<'_>, plan: &mut Plan<Act>) {
    let hash = |labels: Option<&std::collections::BTreeMap<String, String>>| {
        labels
            .and_then(|labels| labels.get(REVISION_LABEL))
            .cloned()
    };
    let pods = look.world.pods.iter();
    let mut live: BTreeSet<String> = pods
        .filter_map(|pod| hash(pod.metadata.labels.as_ref()))
        .collect();
    let equal = history::equal(&look.world.history, &look.owner);
    live.extend(
        equal
            .iter()
            .filter_map(|r| hash(r.metadata.labels.as_ref())),
    );
    let limit = look.spec.revision_history_limit;
    let is_live = |revision: &ControllerRevision| {
        hash(revision.metadata.labels.as_ref()).is_some_and(|hash| live.contains(&hash))
    };
    let old = history::surplus(&look.world.history, &look.owner, limit, true, is_live);
    plan.changes
        .extend(old.into_iter().map(|revision| delete(&**revision)));
}
