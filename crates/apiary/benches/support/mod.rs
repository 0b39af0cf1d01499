//! What the benches share: a running `apiary up`, and what the machine is.
#![allow(dead_code, reason = "each bench uses its part")]

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::Value;

/// The longest that a server may take for anything.
const PATIENCE: Duration = Duration::from_secs(60);

/// The machine in one line, with its load.
pub(crate) fn machine() -> String {
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
pub(crate) fn resident(pid: u32) -> f64 {
    memory(pid, "VmRSS:")
}

/// The most that it ever was.
pub(crate) fn peak(pid: u32) -> f64 {
    memory(pid, "VmHWM:")
}

fn memory(pid: u32, what: &str) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let mut lines = status.lines();
    let line = lines.find_map(|line| line.strip_prefix(what)).unwrap();
    line.trim().trim_end_matches(" kB").parse::<f64>().unwrap() / 1024.0
}

/// Processor time of a process, user and system, in seconds.
pub(crate) fn processor(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let after_name = stat.rsplit(')').next().unwrap();
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    let ticks: f64 = fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap();
    ticks / 100.0
}

/// A port that nobody listens on.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap().port()
}

/// Waits until `/readyz` answers on a port; how long that took since `begin`.
pub(crate) async fn until_ready(port: u16, begin: Instant) -> Duration {
    let mut config = kube::Config::new(format!("https://127.0.0.1:{port}").parse().unwrap());
    config.accept_invalid_certs = true;
    let client = kube::Client::try_from(config).unwrap();
    loop {
        let request = http::Request::get("/readyz").body(vec![]).unwrap();
        if client
            .request_text(request)
            .await
            .is_ok_and(|text| text == "ok")
        {
            return begin.elapsed();
        }
        assert!(begin.elapsed() < PATIENCE, "not ready within {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// A running `apiary up`, killed when it is dropped.
pub(crate) struct Up {
    pub(crate) child: Child,
    /// What it says, with the time since the process began.
    events: Receiver<(f64, Value)>,
    port: u16,
    begin: Instant,
}

impl Up {
    /// Starts it on a data directory with more arguments, on a free port.
    pub(crate) fn start(data: &Path, args: &[&str]) -> Self {
        let port = free_port();
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
    pub(crate) async fn until_ready(&self) -> Duration {
        until_ready(self.port, self.begin).await
    }

    /// Seconds from exec until each kind of thing was ready for the first time, up to this one.
    pub(crate) fn until(&self, kind: &str) -> HashMap<String, f64> {
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
