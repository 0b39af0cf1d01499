//! What `cargo xtask bench scale` prints: whole control planes with simulated nodes and pods, how long they take until all
//! is as it should be, and what they cost when nothing happens. Each measure is a process of its own, on disk.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a measurement that cannot be made may panic, and talks on its standard output"
)]

mod support;

use std::net::{IpAddr, Ipv4Addr};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

// What is measured has the allocator of the product.
use apiary as _;
use apiserver::auth::ClusterKeys;
use apiserver::store::Redb;
use apiserver::{ClusterSpec, Config, Server};
use clap::Parser;
use controlplane::kubelet::KubeletSpec;
use controlplane::{ControlPlane, ControlPlanes};
use jiff::Timestamp;
use runtime::Clock;
use serde_json::{Value, json};
use support::{machine, processor, resident};

/// The longest that anything may take.
const PATIENCE: Duration = Duration::from_secs(900);
/// How long what was done is given to come to rest.
const SETTLE: Duration = Duration::from_secs(20);
/// Pause between two looks at one object, and at all nodes: to look must cost little beside what is looked at.
const LOOK: Duration = Duration::from_millis(20);
const LOOK_AT_ALL: Duration = Duration::from_millis(250);
/// Pods of one Deployment.
const REPLICAS: usize = 1000;

#[derive(Parser)]
struct Args {
    /// Measure only these: cluster, clusters
    measures: Vec<String>,
    /// Nodes of the one large cluster
    #[arg(long, default_value_t = 1000)]
    nodes: usize,
    /// Pods of the one large cluster
    #[arg(long, default_value_t = 10_000)]
    pods: usize,
    /// How many small clusters
    #[arg(long, default_value_t = 1000)]
    clusters: usize,
    /// Nodes of each small cluster
    #[arg(long, default_value_t = 3)]
    nodes_each: usize,
    /// Pods of each small cluster
    #[arg(long, default_value_t = 20)]
    pods_each: usize,
    /// How long the leases of nodes hold, in seconds, and they are renewed four times in that; 0 leaves it to how many nodes there
    /// are
    #[arg(long, default_value_t = 0)]
    lease: u32,
    /// For how long rest is measured, in seconds; histories are forgotten after ten minutes
    #[arg(long, default_value_t = 60)]
    rest: u64,
    /// What cargo passes
    #[arg(long, hide = true)]
    bench: bool,
    /// Measure this in this process
    #[arg(long, hide = true)]
    here: Option<String>,
}

fn main() {
    let args = Args::parse();
    if let Some(what) = &args.here {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .unwrap();
        let args = &args;
        let found = runtime.block_on(async {
            match what.as_str() {
                "cluster" => cluster(args).await,
                _ => clusters(args).await,
            }
        });
        println!("{found}");
        return;
    }
    println!("{}\n", machine());
    let is_chosen =
        |what: &str| args.measures.is_empty() || args.measures.iter().any(|m| m == what);
    for what in ["cluster", "clusters"]
        .into_iter()
        .filter(|what| is_chosen(what))
    {
        let found = measure(what, &args);
        show(what, &args, &found);
    }
}

/// Runs this program again for one measure.
fn measure(what: &str, args: &Args) -> Value {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--here", what])
        .args(["--nodes", &args.nodes.to_string()])
        .args(["--pods", &args.pods.to_string()])
        .args(["--clusters", &args.clusters.to_string()])
        .args(["--nodes-each", &args.nodes_each.to_string()])
        .args(["--pods-each", &args.pods_each.to_string()])
        .args(["--lease", &args.lease.to_string()])
        .args(["--rest", &args.rest.to_string()])
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    serde_json::from_slice(&output.stdout).unwrap()
}

fn show(what: &str, args: &Args, found: &Value) {
    let figure = |name: &str| found[name].as_f64().unwrap_or(f64::NAN);
    if what == "cluster" {
        println!(
            "one cluster with {} nodes and {} pods",
            args.nodes, args.pods
        );
        let rate = "(kwok says of itself: about 20 a second)";
        println!(
            "{:<22} {:>9.1} s, {:.0} a second {rate}",
            "nodes ready",
            figure("nodes_s"),
            figure("nodes_rate")
        );
        println!(
            "{:<22} {:>9.1} s, {:.0} a second {rate}",
            "pods available",
            figure("pods_s"),
            figure("pods_rate")
        );
    } else {
        println!(
            "{} clusters, each with {} nodes and {} pods",
            args.clusters, args.nodes_each, args.pods_each
        );
        println!(
            "{:<22} {:>9.1} s, {:.1} clusters a second",
            "all available",
            figure("ready_s"),
            figure("rate")
        );
    }
    println!("{:<22} {:>9.1} s", "processor until then", figure("cpu_s"));
    println!(
        "{:<22} {:>9.0} MB resident, {:.0} MB after {} s at rest",
        "memory",
        figure("megabytes"),
        figure("megabytes_after"),
        args.rest
    );
    println!(
        "{:<22} {:>9.2} % of a core{}\n",
        "at rest",
        figure("rest_percent"),
        if what == "cluster" {
            ""
        } else {
            " (aim: under 1 % for 1,000)"
        }
    );
}

/// Control planes on a file of their own, which goes with the folder.
async fn open() -> (ControlPlanes, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let store = Redb::open(&folder.path().join("store.redb")).unwrap();
    let config = Config {
        clock: Arc::new(Timestamp::now),
        admission: Arc::new(|_| vec![]),
        handlers: apiserver::webhook::Handlers::default(),
        apis: vec![],
        security: apiserver::Security::default(),
        seed: None,
        address: IpAddr::V4(Ipv4Addr::LOCALHOST),
        port: 6443,
    };
    let server = Server::open(store, config).await.unwrap();
    (ControlPlanes::new(server, Clock::system()), folder)
}

async fn start(planes: &ControlPlanes, id: &str) -> Arc<ControlPlane> {
    let spec = ClusterSpec {
        id: id.into(),
        server_names: vec![format!("{id}.local")],
        keys: ClusterKeys::generate(id, Timestamp::now()).unwrap(),
        service_cidr: "10.96.0.0/12".into(),
        version: "v1.36.0".into(),
    };
    planes.start(spec).await.unwrap()
}

fn start_nodes(planes: &ControlPlanes, plane: &ControlPlane, count: usize, lease: u32) {
    for at in 1..=count {
        let spec = KubeletSpec {
            node_name: format!("node-{at}"),
            version: "v1.36.0".into(),
            cpus: 8,
            memory_mib: 32 * 1024,
            internal_ip: format!("10.{}.{}.{}", at >> 16, (at >> 8) & 255, at & 255),
            lease_seconds: lease,
            ..KubeletSpec::default()
        };
        planes.start_kubelet(&plane.cluster.spec().id, spec, plane.client.clone());
    }
}

async fn deploy(plane: &ControlPlane, name: &str, replicas: usize) {
    let container = json!({"name": "c", "image": "nginx", "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}}});
    let template =
        json!({"metadata": {"labels": {"app": name}}, "spec": {"containers": [container]}});
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": template},
    });
    let request = http::Request::post("/apis/apps/v1/namespaces/default/deployments")
        .header("content-type", "application/json")
        .body(deployment.to_string().into_bytes())
        .unwrap();
    plane.client.request::<Value>(request).await.unwrap();
}

/// Waits until what is at a path is as wanted.
async fn until(plane: &ControlPlane, path: &str, pause: Duration, is_so: impl Fn(&Value) -> bool) {
    let begin = Instant::now();
    loop {
        let request = http::Request::get(path).body(vec![]).unwrap();
        let found = plane.client.request::<Value>(request).await.unwrap();
        if is_so(&found) {
            return;
        }
        assert!(
            begin.elapsed() < PATIENCE,
            "{path} within {PATIENCE:?}: {}",
            found["status"]
        );
        tokio::time::sleep(pause).await;
    }
}

async fn available(plane: &ControlPlane, name: &str, replicas: usize) {
    let path = format!("/apis/apps/v1/namespaces/default/deployments/{name}");
    let is_available = |d: &Value| d["status"]["availableReplicas"] == replicas;
    until(plane, &path, LOOK, is_available).await;
}

/// What the process costs when nothing happens, in percent of a core.
async fn rest(args: &Args) -> f64 {
    tokio::time::sleep(SETTLE).await;
    let (before, begin) = (processor(std::process::id()), Instant::now());
    tokio::time::sleep(Duration::from_secs(args.rest)).await;
    (processor(std::process::id()) - before) / begin.elapsed().as_secs_f64() * 100.0
}

async fn cluster(args: &Args) -> Value {
    let (nodes, pods) = (args.nodes, args.pods);
    let (planes, _folder) = open().await;
    let plane = start(&planes, "large").await;
    let begin = Instant::now();
    start_nodes(&planes, &plane, nodes, args.lease);
    let is_ready = |node: &&Value| {
        let conditions = node["status"]["conditions"].as_array();
        let mut conditions = conditions.into_iter().flatten();
        let is_ready = conditions.any(|c| c["type"] == "Ready" && c["status"] == "True");
        is_ready && node["spec"]["taints"].is_null()
    };
    until(&plane, "/api/v1/nodes", LOOK_AT_ALL, |list| {
        let ready = list["items"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(is_ready);
        ready.count() == nodes
    })
    .await;
    let nodes_s = begin.elapsed().as_secs_f64();
    let begin = Instant::now();
    let sizes: Vec<usize> = (0..pods)
        .step_by(REPLICAS)
        .map(|at| REPLICAS.min(pods - at))
        .collect();
    for (at, size) in sizes.iter().enumerate() {
        deploy(&plane, &format!("web-{at}"), *size).await;
    }
    for (at, size) in sizes.iter().enumerate() {
        available(&plane, &format!("web-{at}"), *size).await;
    }
    let pods_s = begin.elapsed().as_secs_f64();
    let cpu_s = processor(std::process::id());
    #[expect(clippy::cast_precision_loss, reason = "counts are small")]
    let rates = (nodes as f64 / nodes_s, pods as f64 / pods_s);
    let megabytes = resident(std::process::id());
    let rest_percent = rest(args).await;
    json!({
        "nodes_s": nodes_s, "nodes_rate": rates.0, "pods_s": pods_s, "pods_rate": rates.1, "cpu_s": cpu_s,
        "megabytes": megabytes, "megabytes_after": resident(std::process::id()), "rest_percent": rest_percent,
    })
}

async fn clusters(args: &Args) -> Value {
    let count = args.clusters;
    let (planes, _folder) = open().await;
    let begin = Instant::now();
    let mut all = vec![];
    for at in 0..count {
        let plane = start(&planes, &format!("small-{at}")).await;
        start_nodes(&planes, &plane, args.nodes_each, args.lease);
        if args.pods_each > 0 {
            deploy(&plane, "web", args.pods_each).await;
        }
        all.push(plane);
    }
    for plane in all.iter().filter(|_| args.pods_each > 0) {
        available(plane, "web", args.pods_each).await;
    }
    let ready_s = begin.elapsed().as_secs_f64();
    let cpu_s = processor(std::process::id());
    #[expect(clippy::cast_precision_loss, reason = "counts are small")]
    let rate = count as f64 / ready_s;
    let megabytes = resident(std::process::id());
    let rest_percent = rest(args).await;
    json!({
        "ready_s": ready_s, "rate": rate, "cpu_s": cpu_s, "megabytes": megabytes,
        "megabytes_after": resident(std::process::id()), "rest_percent": rest_percent,
    })
}
