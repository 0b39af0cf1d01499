//! Watches under stress: a thousand clients of every habit follow a hundred thousand changes, and each sees exactly the log.
//!
//! One run is one seed, on one thread and on virtual time: the clock moves only when nobody has anything left to do. So a
//! pause costs nothing, and a client that pauses for long really falls behind the history.

use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::task::JoinSet;

use self::log::Log;
use self::watcher::{Counts, Pace, Scope, Watcher};
use crate::world::World;

mod log;
mod threads;
mod watcher;

const BURSTS: usize = 200;
const BURST: usize = 500;
/// Between two bursts, up to this long.
const PAUSE_SECONDS: u64 = 75;
const WATCHERS: u64 = 1000;
const SEED: u64 = 0x0a91_a4f1;

/// Who the watcher with this number is: most look at one namespace, as kubelets and operators do, some at everything.
fn scope(number: u64, rng: &mut StdRng) -> Scope {
    let resource = usize::from(rng.random_bool(0.2));
    let is_wide = number < 4;
    Scope {
        resource,
        namespace: (!is_wide).then(|| rng.random_range(0..log::NAMESPACES)),
        color: (number % 4 == 1).then(|| rng.random_range(0..log::COLORS.len())),
        name: (number % 16 == 2).then(|| rng.random_range(0..log::NAMES)),
        metadata_only: number % 16 == 3,
    }
}

#[tokio::test(start_paused = true)]
async fn the_view_of_every_watcher_equals_the_log() {
    println!("seed {SEED}");
    let mut rng = StdRng::seed_from_u64(SEED);
    let world = Arc::new(World::new().await);
    let store = world.cluster.registry().store().clone();
    let log = Arc::new(std::sync::RwLock::new(Log::new(store.revision())));
    let (finished, at_end) = tokio::sync::watch::channel(false);
    let mut watchers = JoinSet::new();
    for number in 0..WATCHERS {
        let scope = scope(number, &mut rng);
        let pace = if number % 10 == 7 {
            Pace::Slow
        } else {
            Pace::Prompt
        };
        let rng = StdRng::seed_from_u64(rng.random());
        let watcher = Watcher::new(number, scope, pace, rng, world.clone(), log.clone());
        let at_end = at_end.clone();
        watchers.spawn(watcher.follow(at_end));
    }
    for _ in 0..BURSTS {
        for _ in 0..BURST {
            log::change(&store, &log, &mut rng).await;
        }
        // Everybody who is not pausing has caught up when this is over.
        let pause = Duration::from_secs(rng.random_range(1..PAUSE_SECONDS));
        tokio::time::sleep(pause).await;
    }
    finished.send_replace(true);
    let mut counts = Counts::default();
    while let Some(counted) = watchers.join_next().await {
        counts += counted.unwrap();
    }
    println!("{counts:?}");
    assert_eq!(log.read().unwrap().len(), BURSTS * BURST);
    // The run is worth something only if all of this happened, and often.
    assert!(counts.events > 300_000, "{counts:?}");
    assert!(counts.initial > 5_000, "{counts:?}");
    assert!(counts.bookmarks > 10_000, "{counts:?}");
    assert!(counts.reconnects > 2_000, "{counts:?}");
    assert!(counts.timeouts > 1_000, "{counts:?}");
    assert!(counts.cut_off > 10, "{counts:?}");
    assert!(counts.expired > 50, "{counts:?}");
    assert!(counts.pages_expired > 0, "{counts:?}");
}
