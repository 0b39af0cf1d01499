//! The phase of a pod, from where its containers are: pure.

use super::life::State;
use super::life::cast::Actor;
use super::life::restart::{self, Cause};
use super::script::Role;
use super::stage::Stage;

/// How many containers are where.
#[derive(Default)]
struct Count {
    /// Init containers that are still to end, and sidecars that are still to start.
    pending: usize,
    /// App containers and sidecars.
    waiting: usize,
    running: usize,
    /// App containers.
    stopped: usize,
    succeeded: usize,
    /// App containers that will run again.
    returning: usize,
}

/// The phase as Kubernetes computes it.
pub(super) fn phase(stage: &Stage<'_, '_>) -> &'static str {
    let mut count = Count::default();
    let was_initialized = stage.is_initialized();
    for actor in &stage.actors {
        match actor.role {
            Role::Init => {
                if has_failed(stage, actor) {
                    return "Failed";
                }
                let is_over = actor.life.state == State::Ended;
                count.pending += usize::from(!is_over);
            }
            Role::Sidecar => {
                let waits = !actor.life.has_begun();
                count.pending += usize::from(!was_initialized && !actor.life.is_started);
                count.waiting += usize::from(waits);
                count.running += usize::from(actor.life.is_running());
            }
            Role::App => count.app(actor),
            Role::Ephemeral => {}
        }
    }
    let Count {
        pending,
        waiting,
        running,
        stopped,
        succeeded,
        returning,
    } = count;
    match (running, stopped) {
        _ if pending > 0 || waiting > 0 => "Pending",
        (0, 0) => "Pending",
        (0, _) if returning == 0 && stopped == succeeded => "Succeeded",
        (0, _) if returning == 0 => "Failed",
        _ => "Running",
    }
}

/// An init container ended in a way after which nothing follows.
fn has_failed(stage: &Stage<'_, '_>, actor: &Actor) -> bool {
    let end = actor.life.end.as_ref().map_or(0, |end| end.code);
    let kind = (actor.role, &actor.container);
    actor.life.state == State::Ended
        && end != 0
        && !restart::again(stage.scene.pod, kind, end, Cause::Itself)
}

impl Count {
    fn app(&mut self, actor: &Actor) {
        match actor.life.state {
            State::Waiting(_) => self.waiting += 1,
            State::Running { .. } => self.running += 1,
            State::BackOff { .. } => {
                self.stopped += 1;
                self.returning += 1;
            }
            State::Ended => {
                self.stopped += 1;
                self.succeeded += usize::from(actor.life.has_succeeded());
            }
        }
    }
}
