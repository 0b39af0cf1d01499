//! What to delete next.

use std::time::Duration;

use runtime::{Change, ObjectRef, Plan};

use super::{Act, Content, World};

/// Objects of one kind without `deletecollection` that are deleted in one pass.
const DELETES_MAX: usize = 500;
/// Nobody tells us when a server comes back.
const DISCOVERY_RETRY: Duration = Duration::from_secs(15);

pub(super) fn plan(world: &World) -> Plan<Act> {
    let mut plan = Plan::default();
    if !world.is_ours {
        return plan;
    }
    // Pods first: while they run they may need their volumes, secrets and network policies.
    let pods: Vec<&Content> = world
        .content
        .iter()
        .filter(|content| is_pods(content))
        .collect();
    let next = if pods.is_empty() {
        world.content.iter().collect()
    } else {
        pods
    };
    for content in next {
        delete(&mut plan, world, content);
    }
    if !world.content.is_empty() {
        plan.wait("SomeResourcesRemain", super::status::remaining(world));
    }
    // What is known goes, but only who knows all kinds can say that nothing is left.
    if let Some(why) = &world.discovery_failure {
        plan.wait("DiscoveryFailed", why);
        plan.again_in = Some(DISCOVERY_RETRY);
    } else if world.content.is_empty() {
        plan.changes.push(Change::Act(Act::Finalize));
    }
    plan
}

fn is_pods(content: &Content) -> bool {
    content.resource.group.is_empty() && content.resource.plural == "pods"
}

fn delete(plan: &mut Plan<Act>, world: &World, content: &Content) {
    let mut living = content
        .objects
        .iter()
        .filter(|object| !object.is_deleting)
        .peekable();
    if living.peek().is_none() {
        return;
    }
    if content.has_delete_collection {
        plan.changes
            .push(Change::Act(Act::DeleteAll(content.resource.clone())));
        return;
    }
    for object in living.take(DELETES_MAX) {
        let target = ObjectRef {
            group: content.resource.group.clone(),
            version: content.resource.version.clone(),
            kind: content.resource.kind.clone(),
            namespace: world.name.clone(),
            name: object.name.clone(),
        };
        let uid = Some(object.uid.clone());
        plan.changes.push(Change::Delete { target, uid });
    }
}
