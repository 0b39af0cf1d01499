//! What the server itself writes of the two kinds: whether a schema leads anywhere, and the objects that must be there.

use std::sync::Weak;

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::bootstrap::{AUTO_UPDATE, CATCH_ALL, EXEMPT};
use super::{LEVELS, SCHEMAS, bootstrap_objects};
use crate::auth::{MASTERS, User, wire_time};
use crate::object::Key;
use crate::registry::{Call, Registry, Target};
use crate::server::Cluster;
use crate::status::Status;
use crate::store::{Change, ClusterStore, CursorEnd, Expected};

const GROUP: &str = "flowcontrol.apiserver.k8s.io";
const MANAGER: &str = "api-priority-and-fairness-config-producer-v1";

/// The condition `Dangling` of a schema that names `level`.
pub(super) fn dangling(level: &str, exists: bool, since: &str) -> Value {
    let (status, reason, and) = if exists {
        ("False", "Found", "and it exists")
    } else {
        ("True", "NotFound", "but there is no such object")
    };
    json!({
        "type": "Dangling", "status": status, "reason": reason, "lastTransitionTime": since,
        "message": format!("This FlowSchema references the PriorityLevelConfiguration object named {level:?} {and}"),
    })
}

/// Keeps the objects of a cluster as they must be until it is closed. While nobody changes them, it sleeps.
pub(crate) async fn maintain(
    store: ClusterStore,
    cluster: Weak<Cluster>,
    mut closed: watch::Receiver<bool>,
) {
    let follow = async {
        // Until somebody changes the objects that all clusters share there is nothing to look into.
        let mut is_new = store.is_shared(SCHEMAS) && store.is_shared(LEVELS);
        loop {
            let revision = store.revision();
            if !std::mem::take(&mut is_new) {
                let Some(cluster) = cluster.upgrade() else {
                    return;
                };
                reconcile(cluster.registry()).await;
            }
            let (Ok(mut schemas), Ok(mut levels)) = (
                store.watch(SCHEMAS, None, revision),
                store.watch(LEVELS, None, revision),
            ) else {
                continue;
            };
            let event = tokio::select! {
                event = schemas.next() => event,
                event = levels.next() => event,
            };
            // Who lagged behind looks again; the other end is that of the cluster.
            if matches!(event, Err(CursorEnd::Closed)) {
                return;
            }
        }
    };
    tokio::select! {
        () = follow => {}
        // An error means that the cluster is gone, which is the end as well.
        _ = closed.wait_for(|closed| *closed) => {}
    }
}

async fn reconcile(registry: &Registry) {
    for (key, wanted) in bootstrap_objects() {
        if let Err(error) = restore(registry, key, wanted).await {
            tracing::debug!(%error, name = &*key.name, "a bootstrap object of flow control stays as it is");
        }
    }
    let store = registry.store();
    for schema in store.list(SCHEMAS, None).objects {
        let mut value = schema.value();
        let level = value["spec"]["priorityLevelConfiguration"]["name"].as_str();
        let level = level.unwrap_or_default().to_owned();
        let exists = store.get(&Key::new(LEVELS, "", &level)).is_some();
        if !observe(&mut value, &level, exists, registry.now()) {
            continue;
        }
        let key = Key::new(SCHEMAS, "", &schema.header.name);
        let expected = Expected::Revision(schema.header.revision);
        // Who was written in between is looked at again because of that.
        if let Err(error) = store.write(&key, expected, Change::Put(value)).await {
            tracing::debug!(%error, name = &*key.name, "the condition of a flow schema stays as it is");
        }
    }
}

/// Writes the condition; false if it says so already.
fn observe(schema: &mut Value, level: &str, exists: bool, now: Timestamp) -> bool {
    let mut wanted = dangling(level, exists, &wire_time(now));
    if !schema["status"].is_object() {
        schema["status"] = json!({});
    }
    if !schema["status"]["conditions"].is_array() {
        schema["status"]["conditions"] = json!([]);
    }
    let Some(conditions) = schema["status"]["conditions"].as_array_mut() else {
        return false;
    };
    let known = conditions.iter_mut().find(|c| c["type"] == "Dangling");
    let Some(known) = known else {
        conditions.push(wanted);
        return true;
    };
    if known["status"] == wanted["status"] {
        wanted["lastTransitionTime"] = known["lastTransitionTime"].clone();
    }
    if *known == wanted {
        return false;
    }
    *known = wanted;
    true
}

/// Brings back an object that is gone, and the spec of one that follows the server's or cannot be changed.
async fn restore(registry: &Registry, key: &Key, wanted: &Value) -> Result<(), Status> {
    let plural = key.resource.split('.').next().unwrap_or_default();
    let types = registry.types();
    let resource = types
        .find(GROUP, "v1", plural)
        .ok_or_else(Status::no_such_resource)?;
    let user = User {
        name: "system:apiserver".into(),
        groups: vec![MASTERS.into()],
        ..User::default()
    };
    let mut call = Call::new(&user, MANAGER);
    let Some(known) = registry.store().get(key) else {
        let target = Target::new(resource, "", "", "");
        let created = registry.create(&mut call, &target, wanted.clone()).await;
        return created.map(drop);
    };
    let mut value = known.value();
    // The exempt level may be given another share of what is lent, nothing else of the two may be changed.
    let is_mandatory = [EXEMPT, CATCH_ALL].contains(&&*key.name);
    let follows = value["metadata"]["annotations"][AUTO_UPDATE] == "true";
    let mut spec = wanted["spec"].clone();
    if &*key.name == EXEMPT && value["spec"]["exempt"].is_object() {
        spec["exempt"] = value["spec"]["exempt"].clone();
    }
    if !(is_mandatory || follows) || value["spec"] == spec {
        return Ok(());
    }
    value["spec"] = spec;
    let target = Target::new(resource, "", &key.name, "");
    let updated = registry.update(&mut call, &target, value).await;
    updated.map(drop)
}
