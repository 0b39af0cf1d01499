//! Where a simulated pod is in its life, read from its status, and how it goes on: pure.
//!
//! All containers of a pod do the same, so the first one's state stands for all.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};

use super::script::Script;

/// The second restart waits this long, doubled each time; the first is immediate, as kubelets do.
const FIRST_BACK_OFF: Duration = Duration::from_secs(10);
const MAX_BACK_OFF: Duration = Duration::from_secs(300);
/// A container that ran for longer is restarted at once again.
const LONG_RUN: Duration = Duration::from_secs(600);

/// What the containers are doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Never started.
    New,
    Running {
        since: Timestamp,
    },
    /// Crashed, waiting to be started again.
    BackOff {
        exited: Timestamp,
    },
    /// Exited for good.
    Ended,
}

/// The last exit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Exit {
    pub started: Timestamp,
    pub finished: Timestamp,
    pub code: i32,
    /// Restarts before the run that ended.
    pub restarts: i32,
}

/// A pod's containers at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Life {
    pub state: State,
    pub restarts: i32,
    pub last_exit: Option<Exit>,
}

/// Something that users are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Happening {
    Started,
    BackedOff,
}

impl Life {
    /// As the pod's status says.
    pub(super) fn of(pod: &Pod) -> Self {
        let none = Self {
            state: State::New,
            restarts: 0,
            last_exit: None,
        };
        let Some(first) = first_container(pod) else {
            return none;
        };
        let state = first.state.as_ref();
        let last = first
            .last_state
            .as_ref()
            .and_then(|s| s.terminated.as_ref());
        let time =
            |at: Option<&k8s_openapi::apimachinery::pkg::apis::meta::v1::Time>| at.map(|t| t.0);
        let last_exit = last.and_then(|exit| {
            let finished = time(exit.finished_at.as_ref())?;
            Some(Exit {
                started: time(exit.started_at.as_ref()).unwrap_or(finished),
                finished,
                code: exit.exit_code,
                restarts: (first.restart_count - 1).max(0),
            })
        });
        let running = state.and_then(|s| s.running.as_ref());
        let waiting = state.and_then(|s| s.waiting.as_ref());
        let is_looping = waiting.and_then(|w| w.reason.as_deref()) == Some("CrashLoopBackOff");
        let state = match (running, last_exit) {
            (Some(running), _) => match time(running.started_at.as_ref()) {
                Some(since) => State::Running { since },
                None => State::New,
            },
            (None, Some(exit)) if is_looping => State::BackOff {
                exited: exit.finished,
            },
            _ if state.is_some_and(|s| s.terminated.is_some()) => State::Ended,
            _ => State::New,
        };
        Self {
            state,
            restarts: first.restart_count,
            last_exit,
        }
    }

    /// Goes on to `now`. Returns what happened, and when to look again.
    pub(super) fn go_on(
        &mut self,
        pod: &Pod,
        script: &Script,
        now: Timestamp,
    ) -> (Vec<Happening>, Option<Timestamp>) {
        let mut happened = vec![];
        loop {
            match self.state {
                State::New => {
                    happened.push(Happening::Started);
                    self.state = State::Running { since: now };
                }
                State::Running { since } => {
                    let Some(exit_at) = script.run_time.map(|time| later(since, time)) else {
                        return (happened, None);
                    };
                    if now < exit_at {
                        return (happened, Some(exit_at));
                    }
                    self.exit(pod, script.exit_code, since, now);
                    if matches!(self.state, State::BackOff { .. }) {
                        happened.push(Happening::BackedOff);
                    } else if matches!(self.state, State::Running { .. }) {
                        happened.push(Happening::Started);
                    }
                }
                State::BackOff { exited } => {
                    let up_at = later(exited, back_off(self.restarts));
                    if now < up_at {
                        return (happened, Some(up_at));
                    }
                    self.restarts += 1;
                    happened.push(Happening::Started);
                    self.state = State::Running { since: now };
                }
                State::Ended => return (happened, None),
            }
        }
    }

    /// The containers exit now: what follows is the restart policy's.
    pub(super) fn exit(&mut self, pod: &Pod, code: i32, since: Timestamp, now: Timestamp) {
        self.last_exit = Some(Exit {
            started: since,
            finished: now,
            code,
            restarts: self.restarts,
        });
        let spec = pod.spec.as_ref();
        let policy = spec.and_then(|s| s.restart_policy.as_deref());
        let ran_long = Duration::try_from(now.duration_since(since)).unwrap_or_default() > LONG_RUN;
        self.state = match policy.unwrap_or("Always") {
            "Never" => State::Ended,
            "OnFailure" if code == 0 => State::Ended,
            _ if self.restarts == 0 || ran_long => {
                self.restarts += 1;
                State::Running { since: now }
            }
            _ => State::BackOff { exited: now },
        };
    }
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

fn first_container(pod: &Pod) -> Option<&ContainerStatus> {
    pod.status.as_ref()?.container_statuses.as_ref()?.first()
}
