//! What `cargo xtask bench` prints: how long things take and how much memory they need, in one run on one machine.
//! Nothing here passes or fails on a number: the aims stand beside what was measured.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a measurement that cannot be made may panic, and talks on its standard output"
)]

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use apiserver::auth::ClusterKeys;
use apiserver::store::Redb;
use apiserver::{ClusterSpec, Config, Server};
use clap::Parser;
use controlplane::ControlPlanes;
use runtime::Clock;
use serde_json::Value;

/// Logical clusters that are created to see what one costs.
const CLUSTERS: u32 = 200;
/// Created before, so that what all share is not counted.
const WARM_UP: u32 = 10;
/// The longest that a server may take for anything.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long memory is given to settle.
const SETTLE: Duration = Duration::from_secs(3);

#[derive(Parser)]
struct Args {
    /// Measure only these: start, fleet, clusters, creates
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
    if is_chosen("creates") {
        creates();
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

fn machine() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let cpuinfo = read("/proc/cpuinfo");
    let model = cpuinfo
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .unwrap_or("unknown processor");
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let memory = read("/proc/meminfo");
    let memory = memory
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))
        .unwrap_or_default();
    let kilobytes: u64 = memory.trim().trim_end_matches(" kB").parse().unwrap_or(0);
    let load = read("/proc/loadavg");
    let load = load.split(' ').next().unwrap_or_default().to_owned();
    let model = model.trim_start_matches([' ', '\t', ':']);
    format!(
        "{cores} cores of {model}, {} GiB, load {load} before",
        kilobytes >> 20
    )
}

/// Resident memory of a process, in megabytes.
fn resident(pid: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .unwrap();
    line.trim().trim_end_matches(" kB").parse::<f64>().unwrap() / 1024.0
}

/// A running `apiary up`, killed when it is dropped.
struct Up {
    child: Child,
    /// What it says, with the time since the process began.
    events: Receiver<(f64, Value)>,
    port: u16,
    begin: Instant,
}

impl Up {
    fn start(data: &Path, args: &[&str]) -> Self {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let begin = Instant::now();
        let mut child = Command::new(env!("CARGO_BIN_EXE_apiary"))
            .args([
                "up",
                "-o",
                "json",
                "--port",
                &port.to_string(),
                "--data-dir",
            ])
            .arg(data)
            .args(args)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (send, events) = channel();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let event = serde_json::from_str(&line).unwrap();
                if send.send((begin.elapsed().as_secs_f64(), event)).is_err() {
                    break;
                }
            }
        });
        Self {
            child,
            events,
            port,
            begin,
        }
    }

    /// Waits until `/readyz` answers; how long that took since the process began.
    async fn until_ready(&self) -> Duration {
        let mut config =
            kube::Config::new(format!("https://127.0.0.1:{}", self.port).parse().unwrap());
        config.accept_invalid_certs = true;
        let client = kube::Client::try_from(config).unwrap();
        loop {
            let request = http::Request::get("/readyz").body(vec![]).unwrap();
            if client
                .request_text(request)
                .await
                .is_ok_and(|text| text == "ok")
            {
                return self.begin.elapsed();
            }
            assert!(
                self.begin.elapsed() < PATIENCE,
                "not ready within {PATIENCE:?}"
            );
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Seconds from exec until each kind of thing was ready for the first time, up to this one.
    fn until(&self, kind: &str) -> HashMap<String, f64> {
        let mut times = HashMap::new();
        while !times.contains_key(kind) {
            let (time, event) = self
                .events
                .recv_timeout(PATIENCE)
                .unwrap_or_else(|error| panic!("no event {kind}: {error}; seen: {times:?}"));
            if event["state"] == "ready" {
                let kind = event["kind"].as_str().unwrap().to_owned();
                times.entry(kind).or_insert(time);
            }
        }
        times
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        if self.child.kill().is_ok() {
            self.child.wait().unwrap();
        }
    }
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
        address: IpAddr::V4(Ipv4Addr::LOCALHOST),
        port: 6443,
        security: apiserver::Security::default(),
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

fn creates() {
    let Some(loadgen) = std::env::var_os("APIARY_LOADGEN") else {
        println!("creates per second are not measured: there is no load generator");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let up = Up::start(&data, &["--empty"]);
    up.until("management");
    let output = Command::new(loadgen)
        .args([
            "create",
            "--workers",
            "1,16,64",
            "--duration",
            "5",
            "--warmup",
            "1",
            "--kubeconfig",
        ])
        .arg(data.join("kubeconfig"))
        .stderr(Stdio::null())
        .output()
        .unwrap();
    println!(
        "\ncreates of 1 KiB ConfigMaps, each durable before its answer; load and server share the machine"
    );
    println!(
        "{:>8} {:>12} {:>10} {:>10} {:>10}   refused",
        "clients", "a second", "p50 ms", "p99 ms", "max ms"
    );
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let m: Value = serde_json::from_str(line).unwrap();
        let figure = |name: &str| m[name].as_f64().unwrap_or_default();
        println!(
            "{:>8} {:>12.0} {:>10.2} {:>10.2} {:>10.1}   {}",
            m["workers"],
            figure("ops_per_s"),
            figure("p50_ms"),
            figure("p99_ms"),
            figure("max_ms"),
            m["bad"]
        );
    }
}
