//! Nonsense from outside: nothing panics, hangs, or is answered as if the server were at fault.
//!
//! Each target takes bytes to one place that reads what clients send. Its seeds are in `tests/fuzz/<target>`, one file each;
//! they and what came of them are changed at random, from a fixed seed and for a fixed number of runs, so that the test is
//! the same each time. For longer:
//!
//!     APISERVER_FUZZ_SECONDS=600 cargo test -p apiserver --test it fuzz -- --nocapture
//!
//! runs every target for so long, from another seed each time. An input that fails is written beside the seeds, and so is
//! part of every run from then on: also one that hangs without ever giving the thread back, or ends the whole process. What was under way when a run was
//! stopped by hand is left there, too, and is to be removed.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use futures::FutureExt;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use self::targets::{Fixture, TARGETS, Target};

mod mutate;
mod targets;

/// Changed inputs of each target in an ordinary run.
const RUNS: u32 = 150;
/// The longest that one input may take: an unoptimized build on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);
/// Inputs that answered in a new way are changed further; so many are kept.
const MAX_KEPT: usize = 400;
/// The most memory that the process may have needed at the end, in KiB. Other tests run in it as well.
const MAX_MEMORY_KIB: u64 = 4 << 20;

fn folder(target: &Target) -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz");
    tests.join(target.name)
}

/// The inputs that are kept in the repository, by name.
fn corpus(target: &Target) -> Vec<(String, Vec<u8>)> {
    let mut corpus: Vec<_> = std::fs::read_dir(folder(target))
        .unwrap_or_else(|error| unreachable!("{} has no seeds: {error}", target.name))
        .map(|entry| {
            let entry = entry.unwrap();
            let name = entry.file_name().to_string_lossy().into_owned();
            (name, std::fs::read(entry.path()).unwrap())
        })
        .collect();
    corpus.sort();
    corpus
}

/// Watches over inputs from a thread of its own: one that ends neither by itself nor by a timeout of the runtime keeps the
/// only thread that could say so.
struct Guard(Sender<Option<PathBuf>>);

impl Guard {
    #[expect(
        clippy::print_stderr,
        reason = "the process ends at once, and nothing else could say why"
    )]
    fn new() -> Self {
        let (sender, inputs) = channel::<Option<PathBuf>>();
        std::thread::spawn(move || {
            let mut under_way: Option<PathBuf> = None;
            loop {
                // A little later than the runtime's own timeout, which says more.
                match inputs.recv_timeout(LIMIT + LIMIT / 4) {
                    Ok(next) => under_way = next,
                    Err(RecvTimeoutError::Timeout) => {
                        if let Some(path) = &under_way {
                            eprintln!("{} does not end", path.display());
                            std::process::abort();
                        }
                    }
                    Err(RecvTimeoutError::Disconnected) => return,
                }
            }
        });
        Self(sender)
    }

    fn begin(&self, path: &Path) {
        self.0.send(Some(path.to_owned())).unwrap();
    }

    fn end(&self) {
        self.0.send(None).unwrap();
    }
}

/// Runs one input. The answer tells how it was answered, roughly; failures are kept.
async fn run(target: &Target, fixture: &Fixture, guard: &Guard, name: &str, input: &[u8]) -> u64 {
    let path = folder(target).join(name);
    let is_new = !path.exists();
    // Written before it is run: what ends the process is not written after.
    if is_new {
        std::fs::write(&path, input).unwrap();
    }
    guard.begin(&path);
    let start = Instant::now();
    let running = tokio::time::timeout(LIMIT, (target.run)(fixture, input));
    let ended = std::panic::AssertUnwindSafe(running).catch_unwind().await;
    guard.end();
    let problem = match ended {
        Ok(Ok(Ok(answer))) if start.elapsed() < LIMIT => {
            if is_new {
                std::fs::remove_file(&path).unwrap();
            }
            return answer;
        }
        Ok(Ok(Ok(_))) | Ok(Err(_)) => format!("took {:?}", start.elapsed()),
        Ok(Ok(Err(problem))) => problem,
        Err(_) => "panicked".into(),
    };
    unreachable!("{}: {} {problem}", target.name, path.display())
}

/// Runs the seeds and what comes of them.
async fn fuzz(target: &Target, seed: u64, until: Option<Instant>) -> String {
    let fixture = Fixture::new().await;
    let guard = Guard::new();
    let mut rng = StdRng::seed_from_u64(seed);
    let seeds = corpus(target);
    assert!(!seeds.is_empty(), "{} has no seeds", target.name);
    let mut seen = std::collections::BTreeSet::new();
    let mut kept = Vec::new();
    for (name, input) in &seeds {
        seen.insert(run(target, &fixture, &guard, name, input).await);
        kept.push(input.clone());
    }
    let mut runs = 0;
    loop {
        match until {
            Some(end) if Instant::now() >= end => break,
            None if runs >= RUNS => break,
            _ => runs += 1,
        }
        let one = &kept[rng.random_range(0..kept.len())];
        let other = &kept[rng.random_range(0..kept.len())];
        let input = mutate::mutated(one, other, &mut rng);
        let name = format!("found-{seed:x}-{runs}");
        let is_new = seen.insert(run(target, &fixture, &guard, &name, &input).await);
        if is_new && kept.len() < MAX_KEPT {
            kept.push(input);
        }
    }
    assert!(seen.len() > 1, "{}: always the same answer", target.name);
    let kinds = seen.len();
    format!("{}: {runs} inputs, {kinds} kinds of answers", target.name)
}

/// The most memory that this process ever had, in KiB; where the system says so.
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().trim_end_matches(" kB").parse().ok()
}

#[tokio::test]
async fn whatever_clients_send_is_answered_in_time_and_never_as_a_failure() {
    let seconds = std::env::var("APISERVER_FUZZ_SECONDS").ok();
    let long = seconds.map(|seconds| Duration::from_secs(seconds.parse().unwrap()));
    let seed = if long.is_some() {
        rand::rng().random()
    } else {
        20_260_422
    };
    println!("seed {seed}");
    for target in TARGETS {
        let until = long.map(|long| Instant::now() + long);
        println!("{}", fuzz(target, seed, until).await);
    }
    let peak = peak_memory();
    println!("peak memory: {peak:?} KiB");
    assert!(peak.is_none_or(|peak| peak < MAX_MEMORY_KIB));
}
