//! Backups: of one moment, whole or refused, and restored so that nobody goes on as if nothing had happened.

use std::io::Cursor;
use std::time::Instant;

use futures::future::{join, join_all};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::disk::{Disk, Faults};
use super::*;
use crate::store::backup::{self, REVISION_LEAP, RestoreError, Summary};
use crate::store::{Redb, StoreError};

fn on(disk: &Disk) -> Store {
    let disk = disk.clone();
    Store::open(Redb::with_backend(move || Ok(disk.handle())).unwrap()).unwrap()
}

async fn taken(store: &Store) -> Vec<u8> {
    let mut snapshot = store.snapshot().await.unwrap();
    let mut bytes = Vec::new();
    backup::write(&mut *snapshot, &mut bytes).unwrap();
    bytes
}

fn restored(bytes: &[u8]) -> Result<(Store, Summary), RestoreError> {
    let mut log = Memory::new();
    let summary = backup::restore(&mut Cursor::new(bytes), &mut log)?;
    Ok((Store::open(log).unwrap(), summary))
}

fn number(cluster: &ClusterStore, key: &Key) -> u64 {
    cluster
        .get(key)
        .map_or(0, |o| o.value()["data"].as_u64().unwrap())
}

#[tokio::test]
async fn a_backup_is_one_moment_of_all_clusters_while_writes_go_on() {
    let store = on(&Disk::default());
    let mut clusters = Vec::new();
    for id in ["a", "b", "c"] {
        let cluster = store.create_cluster(id, json!({"ca": id}), base()).await;
        clusters.push(cluster.unwrap());
    }
    let counter = key("default", "counter");
    // Counts up, in one cluster after the other, and never waits for the backups.
    let writing = async {
        for n in 1..=150_u64 {
            for cluster in &clusters {
                put(cluster, &counter, n).await;
                put(cluster, &key("default", &format!("o{n}")), "x".repeat(500)).await;
            }
        }
    };
    let backing_up = async {
        let mut backups = Vec::new();
        for _ in 0..8 {
            let at_least = number(&clusters[0], &counter);
            let mut snapshot = store.snapshot().await.unwrap();
            // Read late: what is written in between must not show.
            for _ in 0..50 {
                tokio::task::yield_now().await;
            }
            put(&clusters[2], &key("other", "late"), 1).await;
            let mut bytes = Vec::new();
            let summary = backup::write(&mut *snapshot, &mut bytes).unwrap();
            backups.push((at_least, summary, bytes));
            delete(&clusters[2], &key("other", "late")).await;
        }
        backups
    };
    let ((), backups) = join(writing, backing_up).await;
    let mut seen = Vec::new();
    for (at_least, written, bytes) in backups {
        let (store, summary) = restored(&bytes).unwrap();
        assert_eq!((summary, summary.clusters), (written, 3));
        let mut counts = Vec::new();
        for id in ["a", "b", "c"] {
            let cluster = store.attach_base(id, base()).await.unwrap();
            let n = number(&cluster, &counter);
            // The counter's object and those that came with the counts.
            let objects = cluster.list("configmaps", Some("default")).objects.len() as u64;
            assert!(
                objects == n + u64::from(n > 0) || objects == n,
                "{objects} at {n}"
            );
            assert!(cluster.get(&key("other", "late")).is_none());
            counts.push(n);
        }
        assert!(
            counts[0] >= at_least,
            "{counts:?} misses acknowledged writes"
        );
        assert!(
            counts.is_sorted_by(|a, b| a >= b) && counts[0] <= counts[2] + 1,
            "{counts:?}"
        );
        seen.push(counts[0]);
    }
    println!("{seen:?}");
    assert!(seen.iter().any(|n| (1..150).contains(n)));
    store.close().await;
}

#[tokio::test]
async fn a_restored_store_has_everything_and_makes_clients_look_again() {
    let store = Store::open(Memory::new()).unwrap();
    let cluster = store
        .create_cluster("c", json!({"ca": 1}), base())
        .await
        .unwrap();
    store
        .create_cluster("empty", json!({"ca": 2}), base())
        .await
        .unwrap();
    let (a, b) = (key("default", "a"), key("default", "b"));
    put(&cluster, &a, 1).await;
    put(&cluster, &b, 1).await;
    delete(&cluster, &b).await;
    delete(&cluster, &key("kube-system", "base-b")).await;
    let before = cluster.list("configmaps", None);
    let bytes = taken(&store).await;
    // What happens after the backup is lost, but clients have seen it.
    let lost = put(&cluster, &a, 2).await;

    let (store, summary) = restored(&bytes).unwrap();
    assert_eq!((summary.clusters, summary.rows), (2, 2));
    assert_eq!(
        store.records(),
        [
            ("c".into(), json!({"ca": 1})),
            ("empty".into(), json!({"ca": 2}))
        ]
    );
    let cluster = store.attach_base("c", base()).await.unwrap();
    let again = cluster.list("configmaps", None);
    let texts = |listing: &super::super::Listing| -> Vec<String> {
        let objects = listing.objects.iter();
        objects
            .map(|o| String::from_utf8(o.json.to_vec()).unwrap())
            .collect()
    };
    assert_eq!(texts(&again), texts(&before));
    assert_eq!(again.revision, before.revision + REVISION_LEAP);
    // Whatever a client knows is older than all history: from before, from the lost time, from anywhere in between.
    for known in [1000, before.revision, lost, lost + 1_000_000] {
        let expired = cluster.watch("configmaps", None, known).err().unwrap();
        assert_eq!(expired.oldest, again.revision);
        assert!(cluster.list_at("configmaps", None, known).is_err());
    }
    let mut cursor = cluster.watch("configmaps", None, again.revision).unwrap();
    // Nobody who holds the lost state overwrites the restored one by mistake.
    let stale = cluster
        .write(&a, Expected::Revision(lost), Change::Put(object(&a, 3)))
        .await;
    assert!(stale.is_err());
    assert_eq!(put(&cluster, &a, 3).await, again.revision + 1);
    assert_eq!(cursor.next().await.unwrap().revision, again.revision + 1);
    // Once more leaps once more.
    let (store, _) = restored(&taken(&store).await).unwrap();
    let cluster = store.attach_base("c", base()).await.unwrap();
    assert_eq!(cluster.revision(), before.revision + 1 + 2 * REVISION_LEAP);
}

#[tokio::test]
async fn a_damaged_backup_is_refused_and_named() {
    let store = Store::open(Memory::new()).unwrap();
    let cluster = store.create_cluster("c", json!({}), base()).await.unwrap();
    for n in 0..30_u64 {
        put(&cluster, &key("default", &format!("o{n}")), n).await;
    }
    let good = taken(&store).await;
    assert!(backup::verify(&mut Cursor::new(&good)).is_ok());
    let mut rng = StdRng::seed_from_u64(3);
    let refused = |bytes: &[u8]| {
        let mut log = Memory::new();
        let error = backup::restore(&mut Cursor::new(bytes), &mut log).unwrap_err();
        assert!(Store::open(log).unwrap().records().is_empty());
        error.to_string()
    };
    let mut texts = std::collections::BTreeSet::new();
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 1 << rng.random_range(0..8);
        texts.insert(refused(&bad));
        texts.insert(refused(&good[..at]));
    }
    // Whatever newer format the flipped bits spell.
    texts.retain(|text| !text.starts_with("it was written by a newer version"));
    expect_test::expect![[r#"
        it is incomplete or damaged: it is too short; use another backup
        it is incomplete or damaged: its checksum is not that of its content; use another backup
        it is no backup of Apiary"#]]
    .assert_eq(&texts.into_iter().collect::<Vec<_>>().join("\n"));
    let mut newer = good.clone();
    newer[17] = 2;
    expect_test::expect![
        "it was written by a newer version (format 2, this version reads up to 1); use that version"
    ]
    .assert_eq(&refused(&newer));
    // A good checksum over nonsense: what a broken writer would make.
    for (nonsense, expected) in [
        (&b"R"[..], "a record is of kind 82"),
        (b"X", "a record is of kind 88"),
        (b"C\xff\xff\xff\xff", "a field has 4294967295 bytes"),
        (b"C\x00\x00\x10\x00abc", "it ends in a field"),
        (b"C\x00\x00\x00\x01\xff", "a name is no text"),
        (
            b"E\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\0",
            "it holds Summary { clusters: 0, rows: 0 } and says Summary { clusters: 1, rows: 0 }",
        ),
        (b"", "failed to fill whole buffer"),
    ] {
        let text = refused(&signed(nonsense));
        assert_eq!(
            text,
            format!("it is incomplete or damaged: {expected}; use another backup")
        );
    }
    let mut log = Memory::new();
    let taken = Store::open(log.clone()).unwrap();
    taken.create_cluster("d", json!({}), base()).await.unwrap();
    let error = backup::restore(&mut Cursor::new(&good), &mut log).unwrap_err();
    assert!(matches!(error, RestoreError::NotEmpty));
}

/// A backup file with these records.
fn signed(records: &[u8]) -> Vec<u8> {
    use sha2::Digest;
    use std::io::Write;
    let head = b"apiary backup\n\0\0\0\x01".to_vec();
    let mut zip = flate2::write::GzEncoder::new(head, flate2::Compression::fast());
    zip.write_all(records).unwrap();
    let mut bytes = zip.finish().unwrap();
    let digest = sha2::Sha256::digest(&bytes);
    bytes.extend_from_slice(&digest);
    bytes
}

#[tokio::test]
async fn thousands_of_clusters_go_into_one_file_and_come_back() {
    let store = Store::open(Memory::new()).unwrap();
    let clusters = join_all((0..3000).map(|n| {
        let store = store.clone();
        async move {
            let id = format!("org-{}/{n}", n % 7);
            let cluster = store.create_cluster(&id, json!({"n": n}), base()).await;
            put(&cluster.unwrap(), &key("default", "a"), n).await;
        }
    }));
    clusters.await;
    let start = Instant::now();
    let bytes = taken(&store).await;
    let took = start.elapsed();
    let (again, summary) = restored(&bytes).unwrap();
    println!(
        "{} bytes in {took:?}, restored in {:?}",
        bytes.len(),
        start.elapsed() - took
    );
    assert_eq!((summary.clusters, summary.rows), (3000, 3000));
    assert_eq!(again.records(), store.records());
    let cluster = again.attach_base("org-3/38", base()).await.unwrap();
    assert_eq!(number(&cluster, &key("default", "a")), 38);
}

#[tokio::test]
async fn a_snapshot_that_cannot_be_had_is_an_error() {
    let disk = Disk::default();
    let store = on(&disk);
    let cluster = store.create_cluster("c", json!({}), base()).await.unwrap();
    put(&cluster, &key("default", "a"), 1).await;
    // The disk fails after the snapshot was taken.
    let mut snapshot = store.snapshot().await.unwrap();
    disk.set_faults(Faults {
        power_loss_at: Some(0),
        ..Faults::default()
    });
    let lost = cluster
        .write(
            &key("default", "b"),
            Expected::Absent,
            Change::Put(object(&key("default", "b"), 1)),
        )
        .await;
    assert!(lost.is_err());
    // In doubt, the log is put right first, which fails as well.
    assert!(matches!(
        store.snapshot().await,
        Err(StoreError::Storage(_))
    ));
    let mut bytes = Vec::new();
    // What is in redb's cache is still readable; either it is all there, or it says so.
    match backup::write(&mut *snapshot, &mut bytes) {
        Ok(_) => assert_eq!(restored(&bytes).unwrap().1.rows, 1),
        Err(error) => println!("{error}"),
    }
    store.close().await;
    assert!(matches!(store.snapshot().await, Err(StoreError::Closed)));
    // And a destination that is full.
    let store = Store::open(Memory::new()).unwrap();
    store.create_cluster("c", json!({}), base()).await.unwrap();
    let mut snapshot = store.snapshot().await.unwrap();
    let mut full = [0_u8; 20];
    let error = backup::write(&mut *snapshot, &mut full[..]).unwrap_err();
    assert_eq!(error.to_string(), "writing the backup failed");
    let mut full = [0_u8; 10];
    let error = backup::write(&mut *snapshot, &mut full[..]).unwrap_err();
    assert_eq!(error.to_string(), "writing the backup failed");
}
