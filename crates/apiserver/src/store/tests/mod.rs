//! What the store promises, on both logs of record.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Base, Change, ClusterStore, Expected, Memory, Store};
use crate::object::Key;

mod backup;
mod basics;
mod compaction;
mod crash;
mod disk;
mod failure;
mod format;
mod kill;
mod model;
mod replacement;

/// What `future` gives, which it must do without further events from outside.
async fn soon<T>(future: impl Future<Output = T>) -> T {
    let patience = std::time::Duration::from_secs(20);
    let given = tokio::time::timeout(patience, future).await;
    given.expect("this must not wait for ever")
}

/// A key of a namespaced resource.
fn key(namespace: &str, name: &str) -> Key {
    Key::new("configmaps", namespace, name)
}

/// An object for `key` that says `data`.
fn object(key: &Key, data: impl Into<Value>) -> Value {
    let data: Value = data.into();
    json!({
        "apiVersion": "v1", "kind": "ConfigMap", "data": data,
        "metadata": {"namespace": &*key.namespace, "name": &*key.name},
    })
}

/// A base of two config maps and a namespace.
fn base() -> Arc<Base> {
    let keys = [
        key("kube-system", "base-a"),
        key("kube-system", "base-b"),
        Key::new("namespaces", "", "kube-system"),
    ];
    let objects = keys.map(|key| {
        let value = object(&key, "from the base");
        (key, value)
    });
    Arc::new(Base::new(objects.into()))
}

/// A cluster in memory.
async fn memory() -> ClusterStore {
    let store = Store::open(Memory::new()).unwrap();
    store.create_cluster("c", json!({}), base()).await.unwrap()
}

/// Puts `data` at the key, whatever is there.
async fn put(cluster: &ClusterStore, key: &Key, data: impl Into<Value>) -> u64 {
    let written = cluster
        .write(key, expected(cluster, key), Change::Put(object(key, data)))
        .await;
    written.unwrap().header.revision
}

/// Deletes the object at the key.
async fn delete(cluster: &ClusterStore, key: &Key) -> u64 {
    let last = cluster.newest(key).unwrap().value();
    let deleted = cluster
        .write(key, expected(cluster, key), Change::Delete(last))
        .await;
    deleted.unwrap().header.revision
}

fn expected(cluster: &ClusterStore, key: &Key) -> Expected {
    cluster.newest(key).map_or(Expected::Absent, |object| {
        Expected::Revision(object.header.revision)
    })
}

/// A listing as text: `revision: namespace/name=data@revision …`.
fn shown(listing: &super::Listing) -> String {
    let objects = listing.objects.iter().map(|object| {
        let header = &object.header;
        let value = object.value();
        assert_eq!(
            value["metadata"]["resourceVersion"],
            header.revision.to_string()
        );
        format!(
            " {}/{}={}@{}",
            header.namespace, header.name, value["data"], header.revision
        )
    });
    format!("{}:{}", listing.revision, objects.collect::<String>())
}
