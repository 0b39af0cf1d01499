//! How far a boot is, as others see it while it goes on, and what goes wrong with it on purpose.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use api::infrastructure::local_machine::{BootPhase, PhaseFault};
use tokio::sync::watch;

use super::console::Console;
use crate::names;

/// A boot, seen from outside.
#[derive(Debug)]
pub struct Progress {
    pub(super) console: Console,
    state: Mutex<State>,
    /// What goes wrong in each phase; it may change while a boot goes on.
    faults: watch::Sender<Vec<PhaseFault>>,
    requests: AtomicU64,
    /// Makes what is lost differ between machines, and the same for one.
    seed: String,
}

#[derive(Debug, Default)]
struct State {
    phase: Option<BootPhase>,
    /// What failed last, and what comes of it.
    trouble: Option<String>,
    /// How often a phase was made to fail.
    failures: BTreeMap<BootPhase, i32>,
}

impl Progress {
    /// A boot that has not begun. `trouble` is what failed before it, if anything did.
    #[must_use]
    pub fn new(seed: &str, faults: Vec<PhaseFault>, trouble: Option<String>) -> Self {
        Self {
            console: Console::default(),
            state: Mutex::new(State {
                trouble,
                ..State::default()
            }),
            faults: watch::Sender::new(faults),
            requests: AtomicU64::new(0),
            seed: seed.to_owned(),
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where the boot is; `None` before it begins.
    #[must_use]
    pub fn phase(&self) -> Option<BootPhase> {
        self.state().phase
    }

    /// What failed last.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        self.state().trouble.clone()
    }

    /// What was written to the console.
    #[must_use]
    pub fn console(&self) -> String {
        self.console.text()
    }

    /// Says anew what goes wrong.
    pub fn set_faults(&self, faults: &[PhaseFault]) {
        self.faults.send_if_modified(|known| {
            let is_new = known != faults;
            if is_new {
                faults.clone_into(known);
            }
            is_new
        });
    }

    pub(super) fn set_trouble(&self, trouble: String) {
        let trouble = self.console.redact(&trouble);
        self.state().trouble = Some(trouble);
    }

    fn fault(&self, phase: BootPhase) -> Option<PhaseFault> {
        let faults = self.faults.borrow();
        faults.iter().find(|f| f.phase == phase).cloned()
    }

    /// Begins a phase, with what is to go wrong in it.
    ///
    /// # Errors
    /// The failure that was asked for.
    pub(super) async fn enter(&self, phase: BootPhase) -> Result<(), String> {
        self.state().phase = Some(phase);
        let Some(fault) = self.fault(phase) else {
            return Ok(());
        };
        if let Some(seconds) = fault.delay_seconds.filter(|s| *s > 0) {
            self.console.line(format_args!(
                "injected fault: {phase} takes {seconds}s longer"
            ));
            tokio::time::sleep(Duration::from_secs(seconds.unsigned_abs().into())).await;
        }
        if fault.hangs == Some(true) {
            self.console
                .line(format_args!("injected fault: {phase} hangs"));
            let mut faults = self.faults.subscribe();
            let goes_on = |faults: &Vec<PhaseFault>| {
                !faults
                    .iter()
                    .any(|f| f.phase == phase && f.hangs == Some(true))
            };
            // The sender lives as long as this.
            _ = faults.wait_for(goes_on).await;
            self.console.line(format_args!("{phase} goes on"));
        }
        let Some(message) = self.fault(phase).and_then(|f| f.failure) else {
            return Ok(());
        };
        let limit = fault.failures.unwrap_or(i32::MAX);
        let mut state = self.state();
        let count = state.failures.entry(phase).or_default();
        if *count >= limit {
            return Ok(());
        }
        *count += 1;
        Err(format!("injected fault: {message}"))
    }

    /// Whether a request gets no answer. Which ones do not follows from the machine and their number.
    pub(super) fn is_lost(&self) -> bool {
        let share = self
            .phase()
            .and_then(|phase| self.fault(phase))
            .and_then(|fault| fault.loss_percent);
        let Some(share) = share.filter(|s| *s > 0) else {
            return false;
        };
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        let chance = names::hash(&[&self.seed, &number.to_string(), "loss"]) >> 16;
        chance % 100 < u64::from(share.unsigned_abs())
    }
}
