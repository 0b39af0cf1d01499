//! What logical clusters and objects cost: time, memory and file, with durable writes.
//!
//!     cargo run --release -p apiserver --example footprint -- 10000 10000
//!
//! creates so many empty clusters, and so many objects of one KiB in another.
#![expect(clippy::print_stdout, reason = "it prints what it measured")]

use std::error::Error;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use apiserver::auth::ClusterKeys;
use apiserver::object::Key;
use apiserver::store::{Change, Expected, Redb};
use apiserver::webhook::Handlers;
use apiserver::{ClusterSpec, Config, Security, Server};
use futures::future::try_join_all;
use serde_json::json;

type Failure = Box<dyn Error + Send + Sync>;

fn config() -> Config {
    Config {
        clock: Arc::new(jiff::Timestamp::now),
        admission: Arc::new(|_| vec![]),
        handlers: Handlers::default(),
        security: Security::default(),
        address: Ipv4Addr::LOCALHOST.into(),
        port: 6443,
    }
}

fn spec(id: &str) -> Result<ClusterSpec, Failure> {
    Ok(ClusterSpec {
        id: id.into(),
        server_names: vec![format!("{id}.example.com")],
        keys: ClusterKeys::generate(id, jiff::Timestamp::now())?,
        service_cidr: "10.96.0.0/12".into(),
        version: "v1.36.0".into(),
    })
}

/// Resident memory in bytes; 0 where the system does not say.
fn memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    number.unwrap_or_default() * 1024
}

fn length(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |file| file.len())
}

struct Measured {
    name: &'static str,
    count: u64,
    took: Duration,
    memory: u64,
    file: u64,
}

impl Measured {
    fn show(&self) {
        let each = |all: u64| all / self.count.max(1);
        println!(
            "{:<28} {:>8} {:>10.3} ms each {:>9} bytes of memory each {:>9} bytes of file each",
            self.name,
            self.count,
            self.took.as_secs_f64() * 1e3 / self.count.max(1) as f64,
            each(self.memory),
            each(self.file),
        );
    }
}

async fn measured<T>(
    name: &'static str,
    count: u64,
    path: &Path,
    act: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let (memory_before, file_before) = (memory(), length(path));
    let start = Instant::now();
    let done = act.await?;
    Measured {
        name,
        count,
        took: start.elapsed(),
        memory: memory().saturating_sub(memory_before),
        file: length(path).saturating_sub(file_before),
    }
    .show();
    Ok(done)
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let mut counts = std::env::args().skip(1).map(|n| n.parse::<u64>());
    let clusters = counts.next().transpose()?.unwrap_or(1000);
    let objects = counts.next().transpose()?.unwrap_or(10_000);
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("store.redb");
    let server = Server::open(Redb::open(&path)?, config()).await?;
    // What is made once is not counted.
    let first = server.create_cluster(spec("first")?).await?;
    let specs = (0..clusters)
        .map(|n| spec(&format!("c{n}")))
        .collect::<Result<Vec<_>, _>>()?;
    measured("clusters, one after another", clusters, &path, async {
        for spec in specs {
            server.create_cluster(spec).await?;
        }
        Ok(())
    })
    .await?;
    let store = first.registry().store().clone();
    measured("objects of 1 KiB, 64 at a time", objects, &path, async {
        for from in (0..objects).step_by(64) {
            let writes = (from..objects.min(from + 64)).map(|n| {
                let store = store.clone();
                async move {
                    let name = format!("object-{n}");
                    let key = Key::new("configmaps", "default", &name);
                    let object = json!({
                        "apiVersion": "v1", "kind": "ConfigMap", "data": {"k": "x".repeat(800)},
                        "metadata": {"name": name, "namespace": "default", "labels": {"app": "a"},
                            "uid": "d3b07384-d9a0-4c9b-8f3e-000000000000"},
                    });
                    store
                        .write(&key, Expected::Absent, Change::Put(object))
                        .await
                }
            });
            try_join_all(writes).await?;
        }
        Ok(())
    })
    .await?;
    server.shut_down().await;
    drop((server, first, store));
    let server = measured("opened again, clusters", clusters, &path, async {
        Ok(Server::open(Redb::open(&path)?, config()).await?)
    })
    .await?;
    measured("deleted, one after another", clusters, &path, async {
        for n in 0..clusters {
            server.drop_cluster(&format!("c{n}")).await?;
        }
        Ok(())
    })
    .await?;
    println!(
        "{} MiB of memory at the end, {} KiB of file",
        memory() >> 20,
        length(&path) >> 10
    );
    server.shut_down().await;
    Ok(())
}
