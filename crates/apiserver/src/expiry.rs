//! Events are forgotten an hour after they were last written, as in Kubernetes, so that they never fill a store.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tokio::sync::watch;

use crate::object::{Key, Object};
use crate::registry::Clock;
use crate::store::{Change, ClusterStore, Expected};

/// Where the events of both groups are stored.
const EVENTS: &str = "events";
/// How long an event lives after it was last written.
const LIFETIME: SignedDuration = SignedDuration::from_hours(1);
/// Least time between two looks at the events, which deletes those in between together.
const PERIOD: Duration = Duration::from_secs(60);

/// Deletes old events until the cluster is closed. A cluster without events costs a sleeping task and no time.
pub(crate) async fn forget_events(
    store: ClusterStore,
    clock: Clock,
    mut closed: watch::Receiver<bool>,
) {
    let forget = async {
        loop {
            let Ok(mut changes) = store.watch(EVENTS, None, store.revision()) else {
                continue;
            };
            match forget_old(&store, clock()).await {
                Some(left) => tokio::time::sleep(left.max(PERIOD)).await,
                // An end of the cursor is looked into by the next round, or is that of the cluster.
                None => drop(changes.next().await),
            }
        }
    };
    tokio::select! {
        () = forget => {}
        // An error means that the cluster is gone, which is the end as well.
        _ = closed.wait_for(|closed| *closed) => {}
    }
}

/// Deletes what is too old at `now`; answers how long the oldest of the others has left.
async fn forget_old(store: &ClusterStore, now: Timestamp) -> Option<Duration> {
    let mut least = None;
    for object in store.list(EVENTS, None).objects {
        let value = object.value();
        let left = LIFETIME - now.duration_since(last_written(&value, now).unwrap_or(now));
        if left.is_positive() {
            let left = left.unsigned_abs();
            least = Some(least.map_or(left, |least: Duration| least.min(left)));
        } else {
            forget(store, &object, value).await;
        }
    }
    least
}

async fn forget(store: &ClusterStore, object: &Object, value: Value) {
    let header = &object.header;
    let key = Key::new(EVENTS, &header.namespace, &header.name);
    let expected = Expected::Revision(header.revision);
    // Who was written in between is young again; who could not be deleted is tried again with the next one.
    if let Err(error) = store.write(&key, expected, Change::Delete(value)).await {
        tracing::debug!(%error, event = &*header.name, "an old event stays");
    }
}

/// When the server last wrote an event, by what it noted in it; what clients say about times counts for nothing, and
/// nothing is from the future.
fn last_written(event: &Value, now: Timestamp) -> Option<Timestamp> {
    let managers = event["metadata"]["managedFields"].as_array();
    let managed = managers.into_iter().flatten().map(|entry| &entry["time"]);
    [&event["metadata"]["creationTimestamp"]]
        .into_iter()
        .chain(managed)
        .filter_map(|time| time.as_str()?.parse().ok())
        .filter(|time| *time <= now)
        .max()
}
