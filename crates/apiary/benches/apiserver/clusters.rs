//! What empty logical clusters cost in time, memory and file, created, opened again and deleted in a process of its own.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use apiserver::Server;
use apiserver::store::Redb;
use serde_json::{Value, json};

use crate::alone::{config, spec};
use crate::support::resident;

/// Created before, so that what all share is not counted.
const WARM_UP: usize = 10;

/// Runs this program again to create so many clusters, and prints what one cost.
pub(crate) fn show(count: usize) {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--clusters-here", &count.to_string()])
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    let m: Value = serde_json::from_slice(&output.stdout).unwrap();
    let figure = |name: &str| m[name].as_f64().unwrap();
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

/// Creates clusters in this process, on disk.
pub(crate) async fn measure(count: usize) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let length = |path: &Path| std::fs::metadata(path).unwrap().len() as f64;
    let me = std::process::id();
    let each = |all: f64| all / count as f64;
    let id = |at: usize| format!("bench/{at}");
    let server = Server::open(Redb::open(&path).unwrap(), config(6443))
        .await
        .unwrap();
    let create = async |at: usize| {
        let spec = spec(&id(at), &format!("{at}.bench"));
        server.create_cluster(spec).await.unwrap();
    };
    for at in 0..WARM_UP {
        create(at).await;
    }
    let (before, file_before) = (resident(me), length(&path));
    let (begin, cpu) = (Instant::now(), processor());
    for at in WARM_UP..WARM_UP + count {
        create(at).await;
    }
    let (created, created_cpu) = (begin.elapsed(), processor() - cpu);
    let (after, file_after) = (resident(me), length(&path));
    server.shut_down().await;
    drop(server);
    let closed = resident(me);
    let begin = Instant::now();
    let server = Server::open(Redb::open(&path).unwrap(), config(6443))
        .await
        .unwrap();
    let opened = begin.elapsed();
    let again = resident(me);
    let begin = Instant::now();
    for at in WARM_UP..WARM_UP + count {
        server.drop_cluster(&id(at)).await.unwrap();
    }
    let deleted = begin.elapsed();
    server.shut_down().await;
    json!({
        "created_ms": each(created.as_secs_f64() * 1e3), "created_cpu_ms": each(created_cpu * 1e3),
        "kilobytes": each((after - before) * 1024.0), "megabytes": after,
        "file_kilobytes": each((file_after - file_before) / 1024.0),
        "opened_ms": each(opened.as_secs_f64() * 1e3), "opened_kilobytes": each((again - closed) * 1024.0),
        "deleted_ms": each(deleted.as_secs_f64() * 1e3),
    })
}

/// Processor time of this process so far, in seconds.
fn processor() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat[stat.rfind(')').unwrap() + 2..].split(' ').collect();
    // User and system time in hundredths of a second.
    let ticks = |at: usize| fields[at].parse::<f64>().unwrap();
    (ticks(11) + ticks(12)) / 100.0
}
