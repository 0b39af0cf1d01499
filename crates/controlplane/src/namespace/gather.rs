//! Reads a namespace's content, if it is to be deleted.

use k8s_openapi::api::core::v1::Namespace;
use runtime::{Cx, GatherError, Selector, Served};

use super::{CONTENT, Content, Object, World};

pub(super) async fn gather(cx: &Cx, namespace: &Namespace) -> Result<World, GatherError> {
    let finalizers = namespace
        .spec
        .as_ref()
        .and_then(|spec| spec.finalizers.as_ref());
    let mut world = World {
        name: namespace.metadata.name.clone().unwrap_or_default(),
        is_ours: namespace.metadata.deletion_timestamp.is_some()
            && finalizers.is_some_and(|all| all.iter().any(|f| f == CONTENT)),
        ..World::default()
    };
    if !world.is_ours {
        return Ok(world);
    }
    let served = match cx.served().await {
        Ok(served) => served,
        // The user is to see this in a condition, so it is part of the world.
        Err(error) => {
            world.discovery_failure = Some(runtime::chain(&error));
            return Ok(world);
        }
    };
    if !served.failures.is_empty() {
        world.discovery_failure = Some(served.failures.join("; "));
    }
    for served in served.kinds.into_iter().filter(is_content) {
        let entries = cx
            .entries(&served.resource, Some(&world.name), &Selector::all())
            .await?;
        if !entries.is_empty() {
            let objects = entries.iter().map(|entry| Object {
                name: entry.header.name.clone(),
                uid: entry.header.uid.clone(),
                is_deleting: entry.header.is_deleting,
                finalizers: entry.header.finalizers.clone(),
            });
            world.content.push(Content {
                resource: served.resource.clone(),
                has_delete_collection: served.has_verb("deletecollection"),
                objects: objects.collect(),
            });
        }
        world.kinds.push(served.resource);
    }
    Ok(world)
}

fn is_content(served: &Served) -> bool {
    // Events are served by two groups; once is enough.
    served.is_namespaced
        && ["list", "watch", "delete"]
            .iter()
            .all(|verb| served.has_verb(verb))
        && served.resource.group != "events.k8s.io"
}
