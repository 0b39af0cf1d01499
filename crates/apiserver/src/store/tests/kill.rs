//! A process of its own that is killed while it writes.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use futures::future::{join, join_all};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::*;
use crate::store::Redb;

const CHILD: &str = "APISERVER_TEST_STORE_TO_WRITE";
const WRITERS: u64 = 6;

/// Writes for ever, and says on stdout what was acknowledged: `ack NAME N REVISION`.
async fn write_for_ever(path: &Path) {
    let store = Store::open(Redb::open(path).unwrap()).unwrap();
    for (id, _) in store.records() {
        if id != "c" {
            store.drop_cluster(&id).await.unwrap();
        }
    }
    let cluster = if store.records().is_empty() {
        store.create_cluster("c", json!({}), base()).await.unwrap()
    } else {
        store.attach_base("c", base()).await.unwrap()
    };
    let writer = |w: u64| {
        let cluster = cluster.clone();
        async move {
            let key = key("default", &format!("o{w}"));
            let start = data(&cluster, &key).map_or(0, |n| n + 1);
            for n in start.. {
                let value = object(&key, json!({"n": n, "padding": "p".repeat(3000)}));
                let expected = expected(&cluster, &key);
                let written = cluster.write(&key, expected, Change::Put(value)).await;
                println!("ack o{w} {n} {}", written.unwrap().header.revision);
            }
        }
    };
    // All the while clusters come and go, and the file is put in order after them.
    let churning = async {
        for n in 0_u64.. {
            let id = format!("passing-{n}");
            let passing = store.create_cluster(&id, json!({}), base()).await.unwrap();
            put(&passing, &key("default", "a"), "p".repeat(9000)).await;
            store.drop_cluster(&id).await.unwrap();
            store.compact();
        }
    };
    join(join_all((0..WRITERS).map(writer)), churning).await;
}

fn data(cluster: &ClusterStore, key: &Key) -> Option<u64> {
    cluster.get(key)?.value()["data"]["n"].as_u64()
}

#[test]
fn acknowledged_writes_survive_kill_9() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    if let Some(path) = std::env::var_os(CHILD) {
        runtime.block_on(write_for_ever(Path::new(&path)));
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.redb");
    let mut acknowledged: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    for seed in 0..8 {
        let lines = StdRng::seed_from_u64(seed).random_range(1..300);
        println!("seed {seed}: kill after {lines} acknowledgements");
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "--nocapture",
                "store::tests::kill::acknowledged_writes_survive_kill_9",
            ])
            .env(CHILD, &path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let mut seen = 0;
        for line in output.lines().map_while(Result::ok) {
            let words: Vec<&str> = line.split(' ').collect();
            if let ["ack", name, n, revision] = words[..]
                && let (Ok(n), Ok(revision)) = (n.parse(), revision.parse())
            {
                acknowledged.insert(name.to_owned(), (n, revision));
                seen += 1;
                if seen == lines {
                    child.kill().unwrap(); // SIGKILL; what it said until then is still read
                }
            }
        }
        child.wait().unwrap();
        assert!(
            seen >= lines,
            "the writing process ended early, after {seen} acknowledgements"
        );
        runtime.block_on(async {
            let store = Store::open(Redb::open(&path).unwrap()).unwrap();
            let cluster = store.attach_base("c", base()).await.unwrap();
            // The one that came or went, if any.
            assert!(store.records().len() <= 2);
            let newest = acknowledged.values().map(|(_, revision)| *revision).max();
            assert!(cluster.revision() >= newest.unwrap());
            for (name, (n, _)) in &acknowledged {
                let found = data(&cluster, &key("default", name)).unwrap();
                // One write of each writer can be under way, durable, and not yet acknowledged.
                assert!(
                    (*n..=n + 1).contains(&found),
                    "{name} is {found}, acknowledged was {n}"
                );
            }
            store.close().await;
        });
    }
}
