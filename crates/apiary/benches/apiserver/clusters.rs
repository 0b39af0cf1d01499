//! What empty logical clusters cost in time, memory and file: created in a process of its own, then opened and deleted in
//! another, whose memory was used for nothing else before.

use std::num::NonZeroUsize;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use apiserver::Server;
use apiserver::store::Redb;
use serde_json::{Value, json};

use crate::alone::{config, spec};
use crate::support::{processor, resident};

/// Created before, so that what all share is not counted.
const WARM_UP: usize = 10;
const FILE: &str = "store.redb";

/// Runs this program again to create so many clusters, and once more to open them, and prints what one cost.
pub(crate) fn show(count: NonZeroUsize) {
    let folder = tempfile::tempdir().unwrap();
    let run = |what: &str| -> Value {
        let output = Command::new(std::env::current_exe().unwrap())
            .args([what, &count.to_string(), "--data-here"])
            .arg(folder.path())
            .stderr(Stdio::inherit())
            .output()
            .unwrap();
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let (created, opened) = (run("--create-here"), run("--open-here"));
    let figure = |name: &str| {
        created
            .get(name)
            .or(opened.get(name))
            .unwrap()
            .as_f64()
            .unwrap()
    };
    println!(
        "\n{count} empty logical clusters in one process, API only (aims: 64 KB and 5 ms each; 10,000 in 1 GB)"
    );
    println!(
        "{:<22} {:>9.2} ms each, keys included ({:.2} ms of processor)",
        "created",
        figure("created_ms"),
        figure("created_cpu_ms")
    );
    println!("{:<22} {:>9.1} KB each", "memory", figure("kilobytes"));
    println!(
        "{:<22} {:>9.0} MB for the process",
        "memory in all",
        figure("megabytes")
    );
    println!("{:<22} {:>9.1} KB each", "file", figure("file_kilobytes"));
    println!(
        "{:<22} {:>9.2} ms each",
        "opened again",
        figure("opened_ms")
    );
    println!(
        "{:<22} {:>9.1} KB each",
        "memory opened again",
        figure("opened_kilobytes")
    );
    println!("{:<22} {:>9.2} ms each", "deleted", figure("deleted_ms"));
}

fn id(at: usize) -> String {
    format!("bench/{at}")
}

async fn open(path: &Path) -> Server {
    let store = Redb::open(path).unwrap();
    Server::open(store, config(6443)).await.unwrap()
}

/// Creates clusters in this process, in a file in `folder`.
pub(crate) async fn create(count: NonZeroUsize, folder: &Path) -> Value {
    let (count, path) = (count.get(), folder.join(FILE));
    let length = |path: &Path| std::fs::metadata(path).unwrap().len() as f64;
    let me = std::process::id();
    let each = |all: f64| all / count as f64;
    let server = open(&path).await;
    let create = async |at: usize| {
        let spec = spec(&id(at), &format!("{at}.bench"));
        server.create_cluster(spec).await.unwrap();
    };
    for at in 0..WARM_UP {
        create(at).await;
    }
    let (before, file_before) = (resident(me), length(&path));
    let (begin, cpu) = (Instant::now(), processor(std::process::id()));
    for at in WARM_UP..WARM_UP + count {
        create(at).await;
    }
    let (created, created_cpu) = (begin.elapsed(), processor(std::process::id()) - cpu);
    let (after, file_after) = (resident(me), length(&path));
    server.shut_down().await;
    json!({
        "created_ms": each(created.as_secs_f64() * 1e3), "created_cpu_ms": each(created_cpu * 1e3),
        "kilobytes": each((after - before) * 1024.0), "megabytes": after,
        "file_kilobytes": each((file_after - file_before) / 1024.0),
    })
}

/// Opens the clusters that another process created, and deletes them.
pub(crate) async fn reopen(count: NonZeroUsize, folder: &Path) -> Value {
    let count = count.get();
    let each = |all: f64| all / count as f64;
    let me = std::process::id();
    // What all clusters share is there before.
    let other = open(&folder.join("empty.redb")).await;
    let before = resident(me);
    let begin = Instant::now();
    let server = open(&folder.join(FILE)).await;
    let opened = begin.elapsed();
    let again = resident(me);
    let begin = Instant::now();
    for at in WARM_UP..WARM_UP + count {
        server.drop_cluster(&id(at)).await.unwrap();
    }
    let deleted = begin.elapsed();
    server.shut_down().await;
    other.shut_down().await;
    json!({
        "opened_ms": each(opened.as_secs_f64() * 1e3), "opened_kilobytes": each((again - before) * 1024.0),
        "deleted_ms": each(deleted.as_secs_f64() * 1e3),
    })
}
