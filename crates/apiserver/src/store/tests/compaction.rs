//! The file shrinks, and forgets what was deleted.

use std::path::Path;

use super::*;
use crate::store::{Redb, backup};

const SECRET: &str = "correct horse battery staple";

fn open(path: &Path) -> Store {
    Store::open(Redb::open(path).unwrap()).unwrap()
}

fn contains(path: &Path, needle: &str) -> bool {
    let bytes = std::fs::read(path).unwrap();
    let needle = needle.as_bytes();
    bytes.windows(needle.len()).any(|window| window == needle)
}

fn length(path: &Path) -> u64 {
    std::fs::metadata(path).unwrap().len()
}

/// Compaction is only asked for; an answered operation behind it says that it is over.
async fn compact(store: &Store) {
    store.compact();
    store.snapshot().await.unwrap();
}

#[tokio::test]
async fn nothing_of_a_dropped_cluster_remains_in_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.redb");
    let store = open(&path);
    let keep = store
        .create_cluster("keep", json!({}), base())
        .await
        .unwrap();
    put(&keep, &key("default", "a"), 1).await;
    let gone = store
        .create_cluster("gone/for-good", json!({"key": SECRET}), base())
        .await
        .unwrap();
    for n in 0..50 {
        let key = key("default", &format!("gone-{n}"));
        put(&gone, &key, format!("{SECRET} {}", "x".repeat(3000))).await;
    }
    delete(&gone, &key("kube-system", "base-a")).await;
    store.drop_cluster("gone/for-good").await.unwrap();
    assert!(contains(&path, SECRET), "else the test shows nothing");
    let before = length(&path);
    // A backup of before goes on being readable.
    let mut snapshot = store.snapshot().await.unwrap();
    put(&keep, &key("default", "b"), 1).await;
    compact(&store).await;
    for trace in [SECRET, "gone"] {
        assert!(!contains(&path, trace), "{trace:?} is still there");
    }
    println!("{before} → {} bytes", length(&path));
    assert!(length(&path) < before);
    let mut bytes = Vec::new();
    let summary = backup::write(&mut *snapshot, &mut bytes).unwrap();
    assert_eq!((summary.clusters, summary.rows), (1, 1));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    // It goes on in the new file, which nobody else may have.
    put(&keep, &key("default", "c"), 1).await;
    assert!(Redb::open(&path).is_err());
    store.close().await;
    let store = open(&path);
    let keep = store.attach_base("keep", base()).await.unwrap();
    assert_eq!(keep.list("configmaps", Some("default")).objects.len(), 3);
    store.close().await;
    let files: Vec<_> = std::fs::read_dir(directory.path()).unwrap().collect();
    assert_eq!(files.len(), 1);
}

#[tokio::test]
async fn a_file_that_is_mostly_empty_shrinks_at_its_next_start_or_in_a_quiet_moment() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.redb");
    let fill = async |store: &Store, cluster: &ClusterStore| {
        for n in 0..24 {
            put(
                cluster,
                &key("default", &format!("o{n}")),
                "x".repeat(1_500_000),
            )
            .await;
        }
        let large = length(&path);
        for n in 0..24 {
            delete(cluster, &key("default", &format!("o{n}"))).await;
        }
        compact(store).await;
        large
    };
    let store = open(&path);
    let cluster = store.create_cluster("c", json!({}), base()).await.unwrap();
    put(&cluster, &key("default", "a"), 1).await;
    let large = fill(&store, &cluster).await;
    let small = length(&path);
    println!("{large} → {small} bytes");
    assert!(large > 24 << 20 && small < 4 << 20);
    // Nothing to do: the same file.
    let modified = std::fs::metadata(&path).unwrap().modified().unwrap();
    compact(&store).await;
    assert_eq!(
        std::fs::metadata(&path).unwrap().modified().unwrap(),
        modified
    );
    // While the successor cannot be made, all goes on in the old file.
    let in_the_way = directory.path().join("store.redb.compact");
    std::fs::create_dir(&in_the_way).unwrap();
    fill(&store, &cluster).await;
    assert!(length(&path) > 24 << 20);
    put(&cluster, &key("default", "b"), 1).await;
    // redb cuts off what is unused at the end when it closes a file; something large there leaves the rest to us.
    for n in 0..24 {
        let key = key("default", &format!("o{n:02}"));
        put(&cluster, &key, "x".repeat(1_500_000)).await;
    }
    for n in 0..23 {
        delete(&cluster, &key("default", &format!("o{n:02}"))).await;
    }
    store.close().await;
    println!("{} bytes after the end", length(&path));
    assert!(length(&path) > 24 << 20, "else the test shows nothing");
    std::fs::remove_dir(&in_the_way).unwrap();
    // What a compaction left that was killed.
    std::fs::write(&in_the_way, "half a file").unwrap();
    let store = open(&path);
    println!("{} bytes after the start", length(&path));
    // The large object has a page of 2 MiB.
    assert!(length(&path) < 8 << 20);
    assert!(!in_the_way.exists());
    let cluster = store.attach_base("c", base()).await.unwrap();
    assert_eq!(cluster.list("configmaps", Some("default")).objects.len(), 3);
    store.close().await;
}
