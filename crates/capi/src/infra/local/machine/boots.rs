//! Boots that go on: beside the passes of the controller, so that a machine that takes long, or hangs, holds up no other.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use api::infrastructure::LocalMachine;
use api::infrastructure::local_machine::{PhaseFault, reasons};
use jiff::Timestamp;
use kube::ResourceExt;
use runtime::{Tasks, Wait};
use tokio::sync::watch;

use super::World;
use crate::infra::local::Host;
use crate::infra::local::guest::{self, Disk, Failure, Progress};

/// How often a boot that goes on is looked at.
pub(super) const LOOK: Duration = Duration::from_secs(2);
/// How long a pass waits for a boot: most of them are over by then.
const PATIENCE: Duration = Duration::from_secs(5);

/// Boots by the uid of their machine.
#[derive(Default)]
pub(super) struct Boots {
    going_on: Mutex<BTreeMap<String, Boot>>,
    /// What the last boot of a machine failed with, until one succeeds.
    failed: Mutex<BTreeMap<String, String>>,
}

struct Boot {
    progress: Arc<Progress>,
    ended: watch::Receiver<Option<Result<Disk, Failure>>>,
    task: Tasks,
}

/// How far a boot is.
#[derive(Clone, Debug, Default)]
#[cfg_attr(test, derive(serde::Deserialize), serde(default))]
pub struct Booting {
    /// The phase; empty before the first.
    pub phase: String,
    /// What failed last.
    pub trouble: Option<String>,
    pub console: String,
    /// Well or not, it has come to its end.
    pub is_over: bool,
}

/// What came of a pass that drives a boot.
pub(super) enum Advance {
    Booted(Box<Disk>),
    Failed(Failure),
    GoesOn(Booting),
}

impl Booting {
    /// What is said of a boot that goes on.
    pub(super) fn wait(&self) -> Wait {
        match &self.trouble {
            Some(trouble) => Wait {
                reason: reasons::BOOT_FAILED,
                message: trouble.clone(),
            },
            None => Wait {
                reason: reasons::BOOTING,
                message: format!("The guest is in phase {}", self.phase),
            },
        }
    }
}

impl Boot {
    fn look(&self) -> Booting {
        Booting {
            phase: self
                .progress
                .phase()
                .map(|phase| phase.to_string())
                .unwrap_or_default(),
            trouble: self.progress.trouble(),
            console: self.progress.console(),
            is_over: self.ended.borrow().is_some(),
        }
    }
}

/// What goes wrong in the phases of a machine's boot.
fn faults(local: &LocalMachine) -> &[PhaseFault] {
    let faults = local.spec.faults.as_ref();
    faults.and_then(|f| f.phases.as_deref()).unwrap_or_default()
}

impl Boots {
    fn all(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Boot>> {
        self.going_on.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn failed(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, String>> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How far the boot of a machine is, if one goes on. Tells it what goes wrong by now.
    pub(super) fn look(&self, local: &LocalMachine) -> Option<Booting> {
        let all = self.all();
        let boot = all.get(&local.uid().unwrap_or_default())?;
        boot.progress.set_faults(faults(local));
        Some(boot.look())
    }

    /// Ends a boot, as pulling the plug does: afterwards nothing of it goes on. Returns the name of the node that it got to, if it was
    /// through already.
    pub(super) async fn end(&self, uid: &str) -> Option<String> {
        let boot = self.all().remove(uid);
        self.failed().remove(uid);
        let boot = boot?;
        boot.task.shutdown().await;
        let ended = boot.ended.borrow();
        let disk = ended.as_ref()?.as_ref().ok()?;
        Some(disk.node_name.clone())
    }

    /// Forgets a boot that has come to its end.
    fn forget(&self, uid: &str) {
        self.all().remove(uid);
        self.failed().remove(uid);
    }

    /// Begins a boot if none goes on, waits a little for its end, and says how far it is.
    pub(super) async fn advance(
        &self,
        host: &Arc<dyn Host>,
        world: &World,
        now: Timestamp,
    ) -> Advance {
        let uid = world.local.uid().unwrap_or_default();
        let mut ended = {
            let trouble = self.failed().get(&uid).cloned();
            let mut all = self.all();
            let boot = all
                .entry(uid.clone())
                .or_insert_with(|| begin(host, world, trouble, now));
            boot.ended.clone()
        };
        let end = tokio::time::timeout(PATIENCE, ended.wait_for(Option::is_some)).await;
        match end {
            Ok(Ok(result)) => {
                let result = result.clone();
                self.forget(&uid);
                match result {
                    Some(Ok(disk)) => Advance::Booted(Box::new(disk)),
                    Some(Err(failure)) => {
                        self.failed().insert(uid, failure.to_string());
                        Advance::Failed(failure)
                    }
                    None => Advance::GoesOn(Booting::default()),
                }
            }
            // It went down without a word: the next pass begins anew.
            Ok(Err(_)) => {
                self.forget(&uid);
                Advance::Failed(Failure {
                    message: "the guest stopped".to_owned(),
                    console: String::new(),
                })
            }
            Err(_) => Advance::GoesOn(self.all().get(&uid).map(Boot::look).unwrap_or_default()),
        }
    }
}

fn begin(host: &Arc<dyn Host>, world: &World, trouble: Option<String>, now: Timestamp) -> Boot {
    let seed = world.local.uid().unwrap_or_default();
    let faults = faults(&world.local).to_vec();
    let progress = Arc::new(Progress::new(&seed, faults, trouble));
    let (tell, ended) = watch::channel(None);
    let (host, hardware) = (Arc::clone(host), world.hardware());
    let data = world.bootstrap.clone().unwrap_or_default();
    let seen = Arc::clone(&progress);
    let task = Tasks::new();
    task.spawn("boot", async move {
        let booted = guest::boot(&*host, &hardware, &data, &seen, now).await;
        // Nobody listens any more if the machine is gone.
        _ = tell.send(Some(booted));
    });
    Boot {
        progress,
        ended,
        task,
    }
}
