//! Fleets that live through what goes wrong: seeded stories with refused and lost requests, late and ended watches, dead machines and
//! the end of the process at any write. Whatever happens, etcd keeps its majority, no more machines are gone or too many than
//! allowed, none is made twice, nothing is left over, what is wanted comes about, and then nothing is written any more.
//!
//! What happens in a story follows from its seed, which a failure names: `APIARY_SEED=7 cargo test -p apiary --test it chaos::fleets` plays it
//! again, request for request; `APIARY_TRACE=file` has those of the last one written down. `APIARY_RUNS=1000` plays as many, from that seed on;
//! `cargo xtask chaos` does both.

mod faults;
mod fleet;
mod monitor;
mod step;

use std::fmt::Write as _;
use std::path::Path;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use faults::Faults;
use fleet::Fleet;
use step::Step;

/// The story that every test run plays twice.
const TWICE: u64 = 1;
/// Stories that every test run plays besides, those after it.
const STORIES: u64 = 1;
/// Steps of a story, after the fleet has come up and before it goes.
const STEPS: std::ops::RangeInclusive<usize> = 2..=4;

fn number(variable: &str, default: u64) -> u64 {
    let text = std::env::var(variable).ok();
    text.map_or(default, |text| {
        text.parse()
            .unwrap_or_else(|_| panic!("{variable}={text} is no number"))
    })
}

/// One story; what happened, and why it failed if it did.
fn play(seed: u64) -> (String, Result<(), String>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    let mut told = format!("seed {seed}\n");
    let ended = runtime.block_on(tell(seed, &mut told));
    (told, ended)
}

async fn tell(seed: u64, told: &mut String) -> Result<(), String> {
    let mut rng = StdRng::seed_from_u64(seed);
    let faults = Faults::new(rng.random());
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut fleet = Fleet::start(seed, faults.clone(), &directory).await;
    let mut steps = vec![Step::Begin {
        control_plane: if rng.random_bool(0.5) { 3 } else { 1 },
        workers: rng.random_range(0..4),
        surge: rng.random_range(0..3),
        unavailable: rng.random_range(0..2),
    }];
    let count = rng.random_range(STEPS);
    for index in 0..=count {
        let step = match steps.pop() {
            Some(step) => step,
            None => Step::random(&mut rng, fleet.shape()),
        };
        let crash = rng.random_bool(0.6).then(|| rng.random_range(0..80));
        faults.arm(rng.random_range(0..150), rng.random_range(1..15), crash);
        writeln!(told, "{index}: {step:?}, crash {crash:?}").unwrap();
        fleet
            .take(&step)
            .await
            .map_err(|why| format!("{step:?}: {why}"))?;
    }
    faults.arm(100, 5, Some(rng.random_range(0..30)));
    writeln!(told, "end").unwrap();
    fleet.end().await.map_err(|why| format!("the end: {why}"))?;
    writeln!(told, "{}", faults.summary()).unwrap();
    Ok(())
}

#[test]
fn a_story_is_the_same_each_time_it_is_told() {
    let (told, ended) = play(TWICE);
    assert_eq!(ended, Ok(()), "{told}");
    let (again, _) = play(TWICE);
    assert_eq!(told, again);
}

#[test]
fn fleets_live_through_what_goes_wrong() {
    let first = number("APIARY_SEED", TWICE + 1);
    let is_chosen = std::env::var("APIARY_SEED").is_ok();
    let runs = number("APIARY_RUNS", if is_chosen { 1 } else { STORIES });
    let mut failed = vec![];
    for seed in first..first + runs {
        let (told, ended) = play(seed);
        if runs == 1 || ended.is_err() {
            eprintln!("{told}");
        } else if is_chosen {
            eprintln!("seed {seed}: as it should be");
        }
        if let Err(why) = ended {
            eprintln!("APIARY_SEED={seed}: {why}\n");
            failed.push(seed);
        }
    }
    assert!(
        failed.is_empty(),
        "of {runs} stories, these failed: {failed:?}"
    );
}
