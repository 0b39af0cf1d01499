//! Writers and watchers on real threads over a real file: what each watcher saw, put together from all its connections,
//! is the log.

use std::collections::BTreeMap;
use std::sync::Arc;

use apiserver::object::Key;
use apiserver::store::{Change, Expected, Redb, WriteError};
use futures::future::join_all;
use http::Method;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};

use crate::world::World;

const WRITERS: u64 = 8;
/// Changes by each writer.
const CHANGES: u64 = 300;
const WATCHERS: u64 = 48;
const SEED: u64 = 11;

/// Revision, name, and the number that was written; no number is a deletion.
type Seen = (u64, String, Option<u64>);

/// Changes a few objects that the other writers change as well. The answer is what was acknowledged.
async fn write(world: Arc<World>, writer: u64) -> Vec<Seen> {
    let store = world.cluster.registry().store();
    let mut rng = StdRng::seed_from_u64(SEED + writer);
    let mut written = Vec::new();
    for n in 0..CHANGES {
        let name = format!("o{}", rng.random_range(0..24));
        let key = Key::new("configmaps", "default", &name);
        let number = writer * CHANGES + n;
        // Somebody else may be quicker.
        loop {
            let current = store.newest(&key);
            let is_deletion = current.is_some() && rng.random_bool(0.2);
            let object = json!({
                "apiVersion": "v1", "kind": "ConfigMap", "data": {"n": number.to_string()},
                "metadata": {"name": name, "namespace": "default", "uid": name},
            });
            let expected =
                current.map_or(Expected::Absent, |o| Expected::Revision(o.header.revision));
            let change = if is_deletion {
                Change::Delete(object)
            } else {
                Change::Put(object)
            };
            match store.write(&key, expected, change).await {
                Ok(object) => {
                    let number = (!is_deletion).then_some(number);
                    written.push((object.header.revision, name, number));
                    break;
                }
                Err(WriteError::Conflict { .. }) => tokio::task::yield_now().await,
                Err(other) => unreachable!("{other}"),
            }
        }
    }
    written
}

fn seen(object: &Value, is_there: bool) -> Seen {
    let meta = &object["metadata"];
    let revision = meta["resourceVersion"].as_str().unwrap().parse().unwrap();
    let number = object["data"]["n"].as_str().map(|n| n.parse().unwrap());
    let name = meta["name"].as_str().unwrap_or_default().to_owned();
    (revision, name, number.filter(|_| is_there))
}

/// Lists once and then watches, over many connections, until `last` was written. The answer is the list's revision and
/// objects, and the events since.
async fn watch(
    world: Arc<World>,
    watcher: u64,
    mut last: tokio::sync::watch::Receiver<Option<u64>>,
) -> (u64, Vec<Seen>, Vec<Seen>) {
    let mut rng = StdRng::seed_from_u64(SEED + 1000 + watcher);
    let path = "/api/v1/namespaces/default/configmaps";
    for _ in 0..rng.random_range(0..200) {
        tokio::task::yield_now().await;
    }
    let listed = world
        .send(Method::GET, path, "application/json", "")
        .await
        .ok();
    let items = listed["items"].as_array().unwrap();
    let list: Vec<Seen> = items.iter().map(|item| seen(item, true)).collect();
    let (listed_at, ..) = seen(&listed, true);
    let mut at = listed_at;
    let mut events = Vec::new();
    loop {
        let query = format!("watch=1&allowWatchBookmarks=true&resourceVersion={at}");
        let mut stream = world.watch(&format!("{path}?{query}")).await;
        loop {
            if last.borrow().is_some_and(|last| at >= last) {
                return (listed_at, list, events);
            }
            if rng.random_bool(0.01) {
                break; // And comes back.
            }
            let event = tokio::select! {
                event = stream.next() => event.unwrap(),
                _ = last.changed() => continue,
            };
            let ty = event["type"].as_str().unwrap();
            assert_ne!(ty, "ERROR", "{event}");
            let event = seen(&event["object"], ty != "DELETED");
            assert!(event.0 > at, "{event:?} after {at}");
            at = event.0;
            if ty != "BOOKMARK" {
                events.push(event);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_watchers_on_many_threads_see_is_the_log() {
    println!("seed {SEED}");
    let directory = tempfile::tempdir().unwrap();
    let log = Redb::open(&directory.path().join("store.redb")).unwrap();
    let world = Arc::new(World::stored_in(log).await);
    let (finished, last) = tokio::sync::watch::channel(None);
    let watchers: Vec<_> = (0..WATCHERS)
        .map(|n| tokio::spawn(watch(world.clone(), n, last.clone())))
        .collect();
    let writers = (0..WRITERS).map(|n| tokio::spawn(write(world.clone(), n)));
    let mut log: Vec<Seen> = Vec::new();
    for written in join_all(writers).await {
        log.extend(written.unwrap());
    }
    log.sort();
    assert!(log.windows(2).all(|two| two[0].0 < two[1].0));
    finished.send_replace(log.last().map(|(revision, ..)| *revision));
    for watcher in join_all(watchers).await {
        let (listed_at, list, events) = watcher.unwrap();
        let (before, after) = log.split_at(log.partition_point(|(r, ..)| *r <= listed_at));
        let mut state = BTreeMap::new();
        for (revision, name, number) in before {
            match number {
                Some(number) => state.insert(name, (revision, number)),
                None => state.remove(name),
            };
        }
        let mut state: Vec<Seen> = state
            .into_iter()
            .map(|(name, (revision, number))| (*revision, name.clone(), Some(*number)))
            .collect();
        state.sort();
        let mut list: Vec<Seen> = list
            .into_iter()
            .filter(|(_, name, _)| name != "kube-root-ca.crt")
            .collect();
        list.sort();
        assert_eq!(list, state);
        assert_eq!(events, after);
    }
    world.server.shut_down().await;
}
