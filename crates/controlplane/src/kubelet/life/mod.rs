//! The life of one container: where it is, read from its status, and how it leaves a run: pure.

pub(super) mod cast;
pub(super) mod probe;
pub(super) mod restart;

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{ContainerState, ContainerStateTerminated, ContainerStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

/// The exit code of a container that was told to stop: SIGTERM.
pub(super) const STOPPED: i32 = 143;
/// The exit code of a container that was killed: SIGKILL.
pub(super) const KILLED: i32 = 137;

/// The second restart waits this long, doubled each time; the first is immediate, as kubelets do.
const FIRST_BACK_OFF: Duration = Duration::from_secs(10);
const MAX_BACK_OFF: Duration = Duration::from_secs(300);
/// After a run that was longer, back-off begins anew.
const LONG_RUN: Duration = Duration::from_secs(600);

/// What a container is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// It never ran.
    Waiting(Why),
    Running {
        since: Timestamp,
    },
    /// Exited, waiting to be started again.
    BackOff {
        exited: Timestamp,
    },
    /// Exited for good; how is in [`Life::end`].
    Ended,
}

/// Why a container has not started yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// Nothing is wrong.
    NotYet,
    /// The pull of its image failed a moment ago.
    PullFailed(String),
    /// And will not be tried again for a while.
    PullBackOff(String),
    /// Its environment cannot be made.
    Config(String),
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Exit {
    pub started: Option<Timestamp>,
    pub finished: Option<Timestamp>,
    pub code: i32,
    pub reason: String,
    pub message: Option<String>,
    /// Of the container that ended.
    pub id: Option<String>,
}

/// A container at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Life {
    pub state: State,
    pub restarts: i32,
    /// How it ended, if it has.
    pub end: Option<Exit>,
    /// How the run before ended.
    pub last: Option<Exit>,
    /// It runs, and its startup probe has succeeded.
    pub is_started: bool,
    pub is_ready: bool,
    /// Of which image it runs; empty if it does not.
    pub image: String,
}

impl Life {
    /// As a status says; a container without one never ran.
    pub(super) fn of(status: Option<&ContainerStatus>) -> Self {
        let empty = ContainerStatus::default();
        let status = status.unwrap_or(&empty);
        let last = status.last_state.as_ref();
        let last = last.and_then(|s| s.terminated.as_ref()).map(Exit::of);
        let end = status.state.as_ref().and_then(|s| s.terminated.as_ref());
        let end = end.map(Exit::of);
        let state = match &status.state {
            Some(state) if end.is_none() => Self::state(state, last.as_ref()),
            Some(_) => State::Ended,
            None => State::Waiting(Why::NotYet),
        };
        let is_running = matches!(state, State::Running { .. });
        Self {
            is_started: is_running && status.started == Some(true),
            is_ready: is_running && status.ready,
            image: if is_running {
                status.image.clone()
            } else {
                String::new()
            },
            state,
            restarts: status.restart_count,
            end,
            last,
        }
    }

    fn state(state: &ContainerState, last: Option<&Exit>) -> State {
        let running = state.running.as_ref();
        if let Some(since) = running.and_then(|running| time(running.started_at.as_ref())) {
            return State::Running { since };
        }
        let waiting = state.waiting.clone().unwrap_or_default();
        let message = waiting.message.unwrap_or_default();
        match waiting.reason.as_deref() {
            Some("CrashLoopBackOff") => State::BackOff {
                exited: last.and_then(|exit| exit.finished).unwrap_or_default(),
            },
            Some("ErrImagePull") => State::Waiting(Why::PullFailed(message)),
            Some("ImagePullBackOff") => State::Waiting(Why::PullBackOff(message)),
            Some("CreateContainerConfigError") => State::Waiting(Why::Config(message)),
            _ => State::Waiting(Why::NotYet),
        }
    }

    /// It runs, or ran.
    pub(super) fn has_begun(&self) -> bool {
        !matches!(self.state, State::Waiting(_))
    }

    pub(super) fn is_running(&self) -> bool {
        matches!(self.state, State::Running { .. })
    }

    /// Ended, and with success.
    pub(super) fn has_succeeded(&self) -> bool {
        self.state == State::Ended && self.end.as_ref().is_some_and(|end| end.code == 0)
    }

    /// Begins to run.
    pub(super) fn begin(&mut self, now: Timestamp) {
        self.state = State::Running { since: now };
        self.is_started = false;
        self.is_ready = false;
        self.image.clear();
    }

    /// Ends, to be made anew from what its spec says now.
    pub(super) fn replace(&mut self, exit: Exit) {
        self.last = Some(exit);
        self.restarts += 1;
        self.state = State::Waiting(Why::NotYet);
        self.is_started = false;
        self.is_ready = false;
    }

    /// Ends for good.
    pub(super) fn finish(&mut self, exit: Exit) {
        self.end = Some(exit);
        self.state = State::Ended;
        self.is_started = false;
        self.is_ready = false;
    }

    /// Ends, to be started again: at once, if back-off lets it. Returns whether it runs.
    pub(super) fn fall(&mut self, exit: Exit, forgiven: &mut i32, now: Timestamp) -> bool {
        let since = exit.started.unwrap_or(now);
        let ran = Duration::try_from(now.duration_since(since)).unwrap_or_default();
        self.last = Some(exit);
        self.is_started = false;
        self.is_ready = false;
        if ran > LONG_RUN {
            *forgiven = self.restarts;
        }
        if self.restarts <= *forgiven {
            self.restarts += 1;
            self.begin(now);
            return true;
        }
        self.state = State::BackOff { exited: now };
        false
    }

    /// What was waiting to be started again has ended for good.
    pub(super) fn give_up(&mut self) {
        if matches!(self.state, State::BackOff { .. }) {
            self.end = self.last.take();
            self.state = State::Ended;
        }
    }
}

impl Exit {
    fn of(terminated: &ContainerStateTerminated) -> Self {
        Self {
            started: time(terminated.started_at.as_ref()),
            finished: time(terminated.finished_at.as_ref()),
            code: terminated.exit_code,
            reason: terminated.reason.clone().unwrap_or_default(),
            message: terminated.message.clone(),
            id: terminated.container_id.clone(),
        }
    }

    /// Of a container that could not be found when its pod ended.
    pub(super) fn unknown() -> Self {
        Self {
            started: None,
            finished: None,
            code: KILLED,
            reason: "ContainerStatusUnknown".into(),
            message: Some("The container could not be located when the pod was terminated".into()),
            id: None,
        }
    }
}

fn time(at: Option<&Time>) -> Option<Timestamp> {
    at.map(|time| time.0)
}

/// How long a container waits after its exit before it is restarted for the next time.
pub(super) fn back_off(restarts: i32) -> Duration {
    let doublings = u32::try_from(restarts.saturating_sub(1))
        .unwrap_or(0)
        .min(8);
    (FIRST_BACK_OFF * 2_u32.pow(doublings)).min(MAX_BACK_OFF)
}

pub(super) fn later(at: Timestamp, by: Duration) -> Timestamp {
    SignedDuration::try_from(by)
        .ok()
        .and_then(|by| at.checked_add(by).ok())
        .unwrap_or(Timestamp::MAX)
}
