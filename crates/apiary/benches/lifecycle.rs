//! What `cargo xtask bench lifecycle` prints: clusters made and upgraded by Cluster API in a running `apiary up`, from the first
//! manifest that is applied until all of them are available, and what the process costs then and at rest. Every measure has a
//! process and a data directory of its own. Nothing here passes or fails on a number: the aims stand beside what was measured.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a measurement that cannot be made may panic, and talks on its standard output"
)]

mod support;

use std::time::{Duration, Instant};

use apiary::blueprint::{Blueprint, Pool, Provider};
use apiary::manifests::{self, Manifests};
use clap::Parser;
use futures::{StreamExt, TryStreamExt};
use kube::Client;
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::{Value, json};
use support::{Up, machine, peak, processor, resident};

/// The longest that anything may take.
const PATIENCE: Duration = Duration::from_secs(1800);
/// How long what was done is given to come to rest: pods of Nodes that are gone are collected 40 s later.
const SETTLE: Duration = Duration::from_secs(90);
/// Pause between two looks at all clusters: to look must cost little beside what is looked at.
const LOOK: Duration = Duration::from_millis(500);
/// Clusters that are applied at the same time, each object after the other, as a GitOps tool does.
const APPLIERS: usize = 16;
const ORGANIZATION: &str = "acme";
const VERSION: &str = "v1.36.0";
const NEXT_VERSION: &str = "v1.36.1";

/// A fleet that is measured.
#[derive(Debug)]
struct Shape {
    name: &'static str,
    clusters: usize,
    control_plane: u16,
    workers: u16,
    /// Whether all of it is upgraded at once.
    is_upgraded: bool,
    aim: &'static str,
}

const fn shape(
    name: &'static str,
    (clusters, control_plane, workers): (usize, u16, u16),
    is_upgraded: bool,
    aim: &'static str,
) -> Shape {
    Shape {
        name,
        clusters,
        control_plane,
        workers,
        is_upgraded,
        aim,
    }
}

const SHAPES: &[Shape] = &[
    shape("100", (100, 1, 0), false, ""),
    shape("1000", (1000, 1, 0), false, "60 s, 1 GB, 2 % of a core"),
    shape("3+50", (1, 3, 50), false, ""),
    shape("3+500", (1, 3, 500), false, ""),
    shape("upgrades", (100, 1, 1), true, ""),
];

#[derive(Parser)]
struct Args {
    /// Measure only these: 100, 1000, 3+50, 3+500, upgrades
    measures: Vec<String>,
    /// For how long rest is measured, in seconds
    #[arg(long, default_value_t = 60)]
    rest: u64,
    /// What cargo passes
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() {
    let args = Args::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    println!("{}\n", machine());
    let is_chosen = |shape: &Shape| {
        args.measures.is_empty() || args.measures.iter().any(|measure| measure == shape.name)
    };
    for shape in SHAPES.iter().filter(|shape| is_chosen(shape)) {
        runtime.block_on(measure(shape, args.rest));
    }
}

async fn measure(shape: &Shape, rest: u64) {
    let aim = if shape.aim.is_empty() {
        String::new()
    } else {
        format!(" (aim: {})", shape.aim)
    };
    println!(
        "{} × {}+{}{aim}",
        shape.clusters, shape.control_plane, shape.workers
    );
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let up = Up::start(&data, &["--empty"]);
    up.until_ready().await;
    let fleet = Fleet::of(shape, &up, &data.join("kubeconfig")).await;
    fleet.make().await;
    fleet.rest(rest).await;
    if shape.is_upgraded {
        println!("upgraded to {NEXT_VERSION}, all at once");
        fleet.upgrade().await;
        fleet.rest(rest).await;
    }
    println!();
}

/// Clusters of one shape in one process.
struct Fleet<'a> {
    shape: &'a Shape,
    client: Client,
    pid: u32,
}

impl<'a> Fleet<'a> {
    async fn of(shape: &'a Shape, up: &Up, kubeconfig: &std::path::Path) -> Self {
        let kubeconfig = Kubeconfig::read_from(kubeconfig).unwrap();
        let options = KubeConfigOptions::default();
        let config = kube::Config::from_custom_kubeconfig(kubeconfig, &options)
            .await
            .unwrap();
        let fleet = Self {
            shape,
            client: Client::try_from(config).unwrap(),
            pid: up.child.id(),
        };
        let organization = json!({
            "apiVersion": "security.giantswarm.io/v1alpha1", "kind": "Organization",
            "metadata": {"name": ORGANIZATION}, "spec": {},
        });
        fleet.apply(vec![organization]).await;
        fleet
    }

    async fn apply(&self, objects: Vec<Value>) {
        let manifests = Manifests::of(objects, "bench");
        manifests::apply_all(&self.client, &manifests)
            .await
            .unwrap();
    }

    fn blueprint(&self, at: usize) -> Blueprint {
        let pool = |replicas| Pool {
            name: "workers".to_owned(),
            replicas,
        };
        Blueprint {
            name: format!("c{at}"),
            organization: ORGANIZATION.to_owned(),
            provider: Provider::Local,
            version: Some(VERSION.to_owned()),
            control_plane: Some(self.shape.control_plane),
            pools: vec![pool(self.shape.workers)],
            values: json!({}),
        }
    }

    async fn make(&self) {
        // Rendering charts is not what is measured.
        let clusters: Vec<Vec<Value>> = (0..self.shape.clusters)
            .map(|at| self.blueprint(at).objects().unwrap())
            .collect();
        let before = self.now().await;
        futures::stream::iter(clusters)
            .for_each_concurrent(APPLIERS, |objects| self.apply(objects))
            .await;
        println!(
            "  {:<12} {:>9.1} s",
            "applied",
            before.time.elapsed().as_secs_f64()
        );
        self.until(VERSION, &before).await;
        self.tell("available", &before).await;
    }

    async fn upgrade(&self) {
        let before = self.now().await;
        let version = json!({"spec": {"version": NEXT_VERSION}});
        let of_workers = json!({"spec": {"template": {"spec": {"version": NEXT_VERSION}}}});
        let kinds = [
            (
                "controlplane.cluster.x-k8s.io",
                "kubeadmcontrolplanes",
                version,
            ),
            ("cluster.x-k8s.io", "machinedeployments", of_workers),
        ];
        for (group, plural, patch) in &kinds {
            let names: Vec<String> = self
                .list(group, plural)
                .await
                .iter()
                .map(|object| object["metadata"]["name"].as_str().unwrap().to_owned())
                .collect();
            futures::stream::iter(names.into_iter().map(Ok::<_, kube::Error>))
                .try_for_each_concurrent(APPLIERS, |name| async move {
                    let request = http::Request::patch(format!("{}/{name}", path(group, plural)))
                        .header("content-type", "application/merge-patch+json")
                        .body(patch.to_string().into_bytes())
                        .unwrap();
                    self.client.request::<Value>(request).await.map(|_| ())
                })
                .await
                .unwrap();
        }
        self.until(NEXT_VERSION, &before).await;
        self.tell("upgraded", &before).await;
    }

    /// Waits until every cluster is available and every machine runs and has this version.
    async fn until(&self, version: &str, before: &Moment) {
        let machines = self.shape.clusters
            * (usize::from(self.shape.control_plane) + usize::from(self.shape.workers));
        let is_true = |object: &Value, kind: &str| {
            let conditions = object["status"]["conditions"].as_array();
            let mut conditions = conditions.into_iter().flatten();
            conditions.any(|c| c["type"] == kind && c["status"] == "True")
        };
        let mut seen = (0, 0);
        while before.time.elapsed() < PATIENCE {
            let clusters = self.list("cluster.x-k8s.io", "clusters").await;
            seen.0 = clusters.iter().filter(|c| is_true(c, "Available")).count();
            if seen.0 == self.shape.clusters {
                let all = self.list("cluster.x-k8s.io", "machines").await;
                let is_done = |machine: &&Value| {
                    is_true(machine, "Available") && machine["spec"]["version"] == version
                };
                seen.1 = all.iter().filter(is_done).count();
                if seen.1 == machines && all.len() == machines {
                    return;
                }
            }
            tokio::time::sleep(LOOK).await;
        }
        panic!(
            "within {PATIENCE:?}: {} clusters are available, {} machines at {version}",
            seen.0, seen.1
        );
    }

    async fn list(&self, group: &str, plural: &str) -> Vec<Value> {
        let request = http::Request::get(path(group, plural))
            .body(vec![])
            .unwrap();
        let mut list: Value = self.client.request(request).await.unwrap();
        serde_json::from_value(list["items"].take()).unwrap()
    }

    async fn now(&self) -> Moment {
        let request = http::Request::get("/api/v1/nodes?limit=1")
            .body(vec![])
            .unwrap();
        let list: Value = self.client.request(request).await.unwrap();
        let revision = list["metadata"]["resourceVersion"].as_str().unwrap();
        Moment {
            time: Instant::now(),
            processor: processor(self.pid),
            revision: revision.parse().unwrap(),
        }
    }

    /// What it took since then. Every write of the management cluster counts its revision up by one.
    async fn tell(&self, what: &str, before: &Moment) {
        let now = self.now().await;
        let took = now.time.duration_since(before.time).as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "counts are small")]
        let clusters = self.shape.clusters as f64;
        println!(
            "  {what:<12} {took:>9.1} s, {:.1} clusters a second",
            clusters / took
        );
        let used = now.processor - before.processor;
        println!(
            "  {:<12} {used:>9.1} s, {:.0} ms for each cluster",
            "processor",
            used * 1000.0 / clusters
        );
        println!(
            "  {:<12} {:>9.0} MB resident, {:.0} MB at the most",
            "memory",
            resident(self.pid),
            peak(self.pid)
        );
        println!(
            "  {:<12} {:>9.1} for each cluster, in the management cluster",
            "writes",
            (now.revision - before.revision) / clusters
        );
    }

    /// What the process costs when nothing happens.
    async fn rest(&self, seconds: u64) {
        tokio::time::sleep(SETTLE).await;
        let before = self.now().await;
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        let now = self.now().await;
        let took = now.time.duration_since(before.time).as_secs_f64();
        println!(
            "  {:<12} {:>9.2} % of a core, {:.0} MB, {:.0} writes in {took:.0} s",
            "at rest",
            (now.processor - before.processor) / took * 100.0,
            resident(self.pid),
            now.revision - before.revision
        );
    }
}

/// A point in time, and what was used until then.
struct Moment {
    time: Instant,
    /// Seconds of processor time of the process.
    processor: f64,
    revision: f64,
}

fn path(group: &str, plural: &str) -> String {
    format!("/apis/{group}/v1beta2/namespaces/org-{ORGANIZATION}/{plural}")
}
