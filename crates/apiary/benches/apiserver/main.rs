//! What `cargo xtask bench apiserver` prints: the API server under load, by the load generator in `../shared/tools/loadgen`,
//! which runs the same against any other server. Load and server share the machine. Writes are durable before they are
//! answered. Nothing here passes or fails on a number: the aims stand beside what was measured.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a measurement that cannot be made may panic, and talks on its standard output"
)]

mod alone;
mod clusters;
#[path = "../support/mod.rs"]
mod support;

use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use alone::Alone;
// What is measured in this program has the allocator of the product.
use apiary as _;
use clap::Parser;
use serde_json::Value;
use support::{Up, machine, resident};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// How long memory is given to settle.
const SETTLE: Duration = Duration::from_secs(3);

#[derive(Parser)]
struct Args {
    /// Measure only these, e.g. create, list-10000, watch, crd, memory, clusters
    measures: Vec<String>,
    /// Seconds that each rate is measured for
    #[arg(long, default_value = "5")]
    seconds: String,
    /// Logical clusters that `clusters` creates
    #[arg(long, default_value = "10000")]
    clusters: NonZeroUsize,
    /// Measure `apiary up`, with its controllers, instead of the API server alone
    #[arg(long, conflicts_with = "kubeconfig")]
    up: bool,
    /// Measure the server of this kubeconfig instead of one of our own
    #[arg(long)]
    kubeconfig: Option<PathBuf>,
    /// The process of that server, for its memory and processor time
    #[arg(long, requires = "kubeconfig")]
    pid: Option<u32>,
    /// What cargo passes
    #[arg(long, hide = true)]
    bench: bool,
    /// Be the server, on this port
    #[arg(long, hide = true, requires = "data_here")]
    serve_here: Option<u16>,
    /// Where that server, or these clusters, are kept
    #[arg(long, hide = true)]
    data_here: Option<PathBuf>,
    /// Create so many logical clusters in this process and print what one costs
    #[arg(long, hide = true, requires = "data_here")]
    create_here: Option<NonZeroUsize>,
    /// Open those, delete them, and print what one costs
    #[arg(long, hide = true, requires = "data_here")]
    open_here: Option<NonZeroUsize>,
}

/// A kind of request: its name here, the generator's mode with arguments, numbers of clients, and the aim at the most.
type Rate = (
    &'static str,
    &'static [&'static str],
    &'static str,
    &'static str,
);

/// The aims come from what kube-apiserver 1.36 with etcd does on two quiet cores: four times its writes and three times its
/// gets at a quarter of the p99, twenty times its lists of 10,000.
const RATES: &[Rate] = &[
    ("create", &["create"], "1,16,64", "9160/s, p99 18 ms"),
    ("get", &["get"], "1,16,64", "12800/s, p99 13 ms"),
    ("update", &["update"], "1,16,64", "6240/s"),
    ("merge-patch", &["patch-merge"], "1,16,64", "6080/s"),
    ("apply", &["patch-ssa"], "1,16,64", "4880/s"),
    ("delete", &["delete"], "64", "10760/s"),
    ("create-custom", &["cr-create"], "1,16,64", "4240/s"),
    ("create-custom-cel", &["cr-create", "--cel"], "64", ""),
    ("list-1000", &["list", "--objects", "1000"], "1,16", ""),
    (
        "list-10000",
        &["list", "--objects", "10000"],
        "1,16",
        "120/s",
    ),
    (
        "list-10000-protobuf",
        &[
            "list",
            "--objects",
            "10000",
            "--accept",
            "application/vnd.kubernetes.protobuf",
        ],
        "1,16",
        "",
    ),
];

fn main() {
    let args = Args::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    if let Some(data) = &args.data_here {
        if let Some(port) = args.serve_here {
            runtime.block_on(alone::serve(data, port));
        } else if let Some(count) = args.create_here {
            println!("{}", runtime.block_on(clusters::create(count, data)));
        } else if let Some(count) = args.open_here {
            println!("{}", runtime.block_on(clusters::reopen(count, data)));
        }
        return;
    }
    let Some(loadgen) = std::env::var_os("APIARY_LOADGEN") else {
        println!("there is no load generator: `cargo xtask bench apiserver` builds it");
        return;
    };
    println!("{}\n", machine());
    let is_foreign = args.kubeconfig.is_some();
    let is_chosen = |name: &str| {
        args.measures.is_empty() || args.measures.iter().any(|measure| measure == name)
    };
    let count = args.clusters;
    let (measures_up, measures_clusters) = (is_chosen("ns-delete"), is_chosen("clusters"));
    let mut load = Load::new(loadgen, args, &runtime);
    // First, while the server has no memory left over from other work that objects could be put into.
    if load.is_chosen("memory") {
        load.memory();
        load.afresh(&runtime);
    }
    load.rates();
    load.watch();
    load.times("crd", &["crd", "--count", "10"]);
    if measures_up {
        // Namespaces are emptied by a controller.
        load.with_controllers(&runtime);
        load.times(
            "ns-delete",
            &["ns-delete", "--count", "10", "--objects", "100"],
        );
    }
    drop(load);
    if measures_clusters && !is_foreign {
        clusters::show(count);
    }
}

/// The server under load, and the generator.
struct Load {
    loadgen: OsString,
    args: Args,
    kubeconfig: PathBuf,
    pid: Option<u32>,
    /// Our own server, if it is that; killed with this.
    _alone: Option<Alone>,
    _up: Option<(Up, TempDir)>,
}

impl Load {
    fn new(loadgen: OsString, args: Args, runtime: &Runtime) -> Self {
        let mut load = Self {
            loadgen,
            kubeconfig: args.kubeconfig.clone().unwrap_or_default(),
            pid: args.pid,
            args,
            _alone: None,
            _up: None,
        };
        if load.args.up {
            load.with_controllers(runtime);
        } else {
            load.afresh(runtime);
        }
        load
    }

    /// Puts a new server in the place of our own; others stay.
    fn afresh(&mut self, runtime: &Runtime) {
        if self.args.up {
            self._up = None;
            self.with_controllers(runtime);
        } else if self.args.kubeconfig.is_none() {
            self._alone = None;
            let alone = Alone::start(runtime);
            let (ready, pid) = (alone.ready.as_secs_f64(), alone.child.id());
            println!(
                "API server alone, on disk: exec → ready {ready:.2} s (aim 0.15 s), {:.0} MB idle (aim 31 MB)\n",
                resident(pid)
            );
            self.kubeconfig.clone_from(&alone.kubeconfig);
            self.pid = Some(pid);
            self._alone = Some(alone);
        }
    }

    /// Puts our server with its controllers in the place of the one alone.
    fn with_controllers(&mut self, runtime: &Runtime) {
        if self.args.kubeconfig.is_some() || self._up.is_some() {
            return;
        }
        self._alone = None;
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let up = Up::start(&data, &["--empty"]);
        let ready = runtime.block_on(up.until_ready()).as_secs_f64();
        up.until("management");
        let pid = up.child.id();
        println!(
            "\napiary up --empty: exec → ready {ready:.2} s (aim 0.15 s), {:.0} MB idle\n",
            resident(pid)
        );
        self.kubeconfig = data.join("kubeconfig");
        self.pid = Some(pid);
        self._up = Some((up, folder));
    }

    fn is_chosen(&self, name: &str) -> bool {
        self.args.measures.is_empty() || self.args.measures.iter().any(|measure| measure == name)
    }

    /// The generator's measurements, one for each number of clients; `None` when it failed, after what it said is shown.
    fn run(&self, mode: &[&str], workers: &str) -> Option<Vec<Value>> {
        let mut command = Command::new(&self.loadgen);
        command
            .args(mode)
            .args(["--workers", workers, "--warmup", "1"])
            .args(["--duration", &self.args.seconds])
            .arg("--kubeconfig")
            .arg(&self.kubeconfig);
        if let Some(pid) = self.pid {
            command.args(["--pids", &pid.to_string()]);
        }
        let output = command.output().unwrap();
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            let last = said.trim().lines().last().unwrap_or("it said nothing");
            println!(
                "{}: not measured, {}: {last}",
                mode.join(" "),
                output.status
            );
            return None;
        }
        let text = String::from_utf8_lossy(&output.stdout);
        let measured = text
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok());
        Some(measured.collect())
    }

    fn rates(&self) {
        println!(
            "{:<22} {:>7} {:>10} {:>9} {:>9} {:>9} {:>11}   {:<9} aim",
            "requests",
            "clients",
            "a second",
            "p50 ms",
            "p99 ms",
            "max ms",
            "CPU µs each",
            "refused"
        );
        for (name, mode, workers, aim) in RATES.iter().filter(|rate| self.is_chosen(rate.0)) {
            let measured = self.run(mode, workers).unwrap_or_default();
            let last = measured.len().saturating_sub(1);
            for (index, m) in measured.iter().enumerate() {
                println!(
                    "{name:<22} {:>7} {:>10.0} {:>9.2} {:>9.2} {:>9.1} {:>11.0}   {:<9} {}",
                    m["workers"],
                    figure(m, "ops_per_s"),
                    figure(m, "p50_ms"),
                    figure(m, "p99_ms"),
                    figure(m, "max_ms"),
                    figure(m, "server_cpu_ms_per_op") * 1000.0,
                    refused(m),
                    if index == last { aim } else { "" }
                );
            }
        }
    }

    /// Watchers of one namespace while clients write as fast as they can, and at a rate that leaves room.
    fn watch(&self) {
        if !self.is_chosen("watch") {
            return;
        }
        println!(
            "\n{:<22} {:>8} {:>9} {:>14} {:>10} {:>10} {:>12}   aim",
            "watch", "watchers", "writes/s", "deliveries/s", "p50 ms", "p99 ms", "CPU µs each"
        );
        for (watchers, rate, aim) in [
            ("1", "0", ""),
            ("100", "0", "345000/s"),
            ("1000", "0", ""),
            ("100", "500", ""),
        ] {
            let mode = ["watch", "--watchers", watchers, "--rate", rate];
            for m in self.run(&mode, "16").into_iter().flatten() {
                println!(
                    "{:<22} {watchers:>8} {:>9.0} {:>14.0} {:>10.2} {:>10.2} {:>12.1}   {aim}",
                    if rate == "0" {
                        "at full speed"
                    } else {
                        "at 500 writes/s"
                    },
                    figure(&m, "ops_per_s"),
                    figure(&m, "deliveries_per_s"),
                    figure(&m["ack_to_delivery_ms"], "p50"),
                    figure(&m["ack_to_delivery_ms"], "p99"),
                    figure(&m, "server_cpu_us_per_delivery"),
                );
            }
        }
    }

    /// How long something takes from request to effect.
    fn times(&self, name: &str, mode: &[&str]) {
        if !self.is_chosen(name) {
            return;
        }
        for m in self.run(mode, "1").into_iter().flatten() {
            if name == "crd" {
                println!(
                    "\ndefinitions, milliseconds from their creation (p50 / p99; aim: first object < 50)"
                );
                for step in [
                    "create_ack_ms",
                    "served_ms",
                    "established_ms",
                    "in_discovery_ms",
                    "first_cr_ms",
                    "deleted_ms",
                ] {
                    println!(
                        "{step:<22} {:>9.1} {:>9.1}",
                        figure(&m[step], "p50"),
                        figure(&m[step], "p99")
                    );
                }
            } else {
                println!(
                    "\nnamespaces with 100 objects, milliseconds from DELETE to 404 (p50 / max; aim < 50)"
                );
                println!(
                    "{name:<22} {:>9.1} {:>9.1}",
                    figure(&m, "p50_ms"),
                    figure(&m, "max_ms")
                );
            }
        }
    }

    /// What objects and definitions cost in memory.
    fn memory(&self) {
        let Some(pid) = self.pid else {
            println!("memory: not measured, the process is not known (--pid)");
            return;
        };
        println!("resident memory (aims: a tenth of 6–12 KiB for each 1 KiB object)");
        for (what, mode, count) in [
            (
                "object of 1 KiB",
                ["seed", "--objects", "10000", "--namespace", "memory"],
                10_000.0,
            ),
            (
                "definition",
                ["crd-many", "--count", "100", "--namespace", "memory"],
                100.0,
            ),
        ] {
            settle();
            let before = resident(pid);
            if self.run(&mode, "16").is_none() {
                // Memory that nothing was put into says nothing.
                println!("{what:<22} not measured");
                continue;
            }
            settle();
            let after = resident(pid);
            let each = (after - before) * 1024.0 / count;
            println!("{what:<22} {each:>9.2} KiB each   ({before:.0} → {after:.0} MB)");
        }
        println!();
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "memory has no event to wait for when it has come to rest"
)]
fn settle() {
    std::thread::sleep(SETTLE);
}

fn figure(measurement: &Value, name: &str) -> f64 {
    measurement[name].as_f64().unwrap_or_default()
}

/// How many requests were not answered as they should, by why.
fn refused(measurement: &Value) -> String {
    let bad = measurement["bad"].as_object();
    let total: u64 = bad
        .into_iter()
        .flatten()
        .filter_map(|(_, n)| n.as_u64())
        .sum();
    if total == 0 {
        "-".into()
    } else {
        total.to_string()
    }
}
