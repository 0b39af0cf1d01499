//! What `cargo xtask bench` prints: how long things take and how much memory they need, in one run on one machine.
//! Nothing here passes or fails on a number: the aims stand beside what was measured.

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

// What is measured in this program has the allocator of the product.
use apiary as _;
use apiserver::auth::ClusterKeys;
use apiserver::store::Redb;
use apiserver::{ClusterSpec, Config, Server};
use clap::Parser;
use controlplane::ControlPlanes;
use runtime::Clock;
use serde_json::Value;
use support::{Up, machine, resident};

/// Logical clusters that are created to see what one costs.
const CLUSTERS: u32 = 200;
/// Created before, so that what all share is not counted.
const WARM_UP: u32 = 10;
/// How long memory is given to settle.
const SETTLE: Duration = Duration::from_secs(3);

#[derive(Parser)]
struct Args {
    /// Measure only these: start, fleet, clusters
    measures: Vec<String>,
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// What cargo passes
    #[arg(long, hide = true)]
    bench: bool,
    /// Create logical clusters in this process and print what one costs
    #[arg(long, hide = true, value_name = "running|bare")]
    clusters_here: Option<String>,
}

fn main() {
    let args = Args::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    if let Some(how) = &args.clusters_here {
        println!("{}", runtime.block_on(clusters_here(how == "running")));
        return;
    }
    let is_chosen =
        |name: &str| args.measures.is_empty() || args.measures.iter().any(|m| m == name);
    println!(
        "{}; medians of {} runs (least to most)\n",
        machine(),
        args.runs
    );
    println!("{:<52} {:>12} {:>22}   aim", "", "median", "range");
    if is_chosen("start") {
        start(&args, &runtime);
    }
    if is_chosen("fleet") {
        fleet(&args);
    }
    if is_chosen("clusters") {
        clusters(&args);
    }
}

/// One line of the table.
fn row(what: &str, mut values: Vec<f64>, unit: &str, aim: &str) {
    values.sort_by(f64::total_cmp);
    let digits = usize::from(values[0].abs() < 100.0) * 2;
    let show = |value: f64| format!("{value:.digits$}");
    let median = show(values[values.len() / 2]);
    let range = format!("{}–{}", show(values[0]), show(values[values.len() - 1]));
    println!(
        "{what:<52} {:>12} {range:>22}   {aim}",
        format!("{median} {unit}")
    );
}

fn start(args: &Args, runtime: &tokio::runtime::Runtime) {
    let (mut fresh, mut again, mut idle) = (vec![], vec![], vec![]);
    for _ in 0..args.runs {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let up = Up::start(&data, &["--empty"]);
        fresh.push(runtime.block_on(up.until_ready()).as_secs_f64());
        runtime.block_on(async { tokio::time::sleep(SETTLE).await });
        idle.push(resident(up.child.id()));
        drop(up);
        let up = Up::start(&data, &["--empty"]);
        again.push(runtime.block_on(up.until_ready()).as_secs_f64());
    }
    row("exec → ready, new data directory", fresh, "s", "< 0.5 s");
    row("exec → ready, second start", again, "s", "< 0.5 s");
    row(
        "idle memory, empty management cluster",
        idle,
        "MB",
        "< 60 MB",
    );
}

fn fleet(args: &Args) {
    let (mut available, mut deployed, mut complete, mut memory) = (vec![], vec![], vec![], vec![]);
    for _ in 0..args.runs {
        let folder = tempfile::tempdir().unwrap();
        let up = Up::start(&folder.path().join("data"), &[]);
        let times = up.until("fleet");
        let applied = times["management"];
        available.push(times["cluster"] - applied);
        deployed.push(times["app"] - applied);
        complete.push(times["fleet"] - applied);
        memory.push(resident(up.child.id()));
    }
    row(
        "apply → cluster hello Available (1+2 machines)",
        available,
        "s",
        "",
    );
    row("apply → app hello-world deployed", deployed, "s", "");
    row("apply → example fleet complete", complete, "s", "< 10 s");
    row("memory with the example fleet", memory, "MB", "");
}

fn clusters(args: &Args) {
    for (how, what, aim) in [
        (
            "bare",
            "memory per empty logical cluster, API only",
            "< 1 MB",
        ),
        (
            "running",
            "memory per empty logical cluster, controllers running",
            "< 1 MB",
        ),
    ] {
        let measured: Vec<Value> = (0..args.runs)
            .map(|_| {
                let output = Command::new(std::env::current_exe().unwrap())
                    .args(["--clusters-here", how])
                    .stderr(Stdio::inherit())
                    .output()
                    .unwrap();
                serde_json::from_slice(&output.stdout).unwrap()
            })
            .collect();
        let figures = |name: &str| measured.iter().map(|m| m[name].as_f64().unwrap()).collect();
        row(what, figures("megabytes"), "MB", aim);
        if how == "bare" {
            row(
                "time to create an empty logical cluster",
                figures("milliseconds"),
                "ms",
                "",
            );
        }
    }
}

/// Creates clusters in this process, on disk.
async fn clusters_here(running: bool) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let clock = Clock::system();
    let time = clock.clone();
    let config = Config {
        clock: Arc::new(move || time.now()),
        admission: Arc::new(|_| vec![]),
        handlers: apiserver::webhook::Handlers::default(),
        apis: vec![],
        address: IpAddr::V4(Ipv4Addr::LOCALHOST),
        port: 6443,
        security: apiserver::Security::default(),
        seed: None,
    };
    let server = Server::open(Redb::open(&folder.path().join("store")).unwrap(), config)
        .await
        .unwrap();
    let planes = ControlPlanes::new(server.clone(), clock.clone());
    let mut begin = Instant::now();
    let mut before = 0.0;
    for at in 0..WARM_UP + CLUSTERS {
        if at == WARM_UP {
            tokio::time::sleep(SETTLE).await;
            before = resident(std::process::id());
            begin = Instant::now();
        }
        let spec = ClusterSpec {
            id: format!("bench/{at}"),
            server_names: vec![format!("{at}.bench")],
            keys: ClusterKeys::generate(&format!("bench-{at}"), clock.now()).unwrap(),
            service_cidr: "10.96.0.0/12".into(),
            version: "v1.36.0".into(),
        };
        if running {
            planes.start(spec).await.unwrap();
        } else {
            server.create_cluster(spec).await.unwrap();
        }
    }
    let took = begin.elapsed();
    tokio::time::sleep(SETTLE).await;
    let after = resident(std::process::id());
    serde_json::json!({
        "megabytes": (after - before) / f64::from(CLUSTERS),
        "milliseconds": took.as_secs_f64() * 1000.0 / f64::from(CLUSTERS),
    })
}
