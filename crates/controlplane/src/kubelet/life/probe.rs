//! What the probes of a running container have found: pure.
//!
//! A simulated probe succeeds, but for the times that are scripted. So all that it finds follows from when it begins and from
//! these times, and nobody has to look in between: only failures, and what they lead to, are moments of a container's life.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Container, Pod, Probe};

use super::later;
use crate::kubelet::command::{self, Run};
use crate::kubelet::script::{Settings, Window};

/// What a probe is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::kubelet) enum Kind {
    Startup,
    Readiness,
    Liveness,
}

impl Kind {
    /// As events write it.
    pub(in crate::kubelet) const fn word(self) -> &'static str {
        match self {
            Self::Startup => "Startup",
            Self::Readiness => "Readiness",
            Self::Liveness => "Liveness",
        }
    }
}

/// What is known of a running container at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::kubelet) struct Found {
    pub is_started: bool,
    pub is_ready: bool,
    /// When a probe had failed too often, and which.
    pub killed: Option<(Timestamp, Kind)>,
    /// Failures since the last look.
    pub failures: Vec<Kind>,
    /// When something changes next.
    pub next: Option<Timestamp>,
}

/// One probe of one run.
struct Timeline {
    kind: Kind,
    first: Timestamp,
    period: i64,
    failures: i64,
    successes: i64,
    /// When it fails.
    window: (Timestamp, Option<Timestamp>),
}

/// A moment at which a probe is made: so many periods after the first.
type Tick = i64;

/// Looks at the probes of a container that runs since `since`; `looked` is when that was done before.
pub(in crate::kubelet) fn look(
    pod: &Pod,
    (container, settings): (&Container, &Settings),
    since: Timestamp,
    (looked, now): (Option<Timestamp>, Timestamp),
) -> Found {
    let mut found = Found::default();
    let time = |probe: Option<&Probe>, kind, after| {
        Timeline::of(pod, (container, settings), probe, kind, (since, after))
    };
    let mut started = Some(since);
    if let Some(probe) = &container.startup_probe
        && let Some(startup) = time(Some(probe), Kind::Startup, since)
    {
        let (tick, has_succeeded) = startup.start();
        let at = startup.at(tick);
        started = has_succeeded.then_some(at);
        let last = if has_succeeded { tick - 1 } else { tick };
        startup.fail(0, last, (looked, now), &mut found);
        found.wait(at, now);
        if !has_succeeded && at <= now {
            found.killed = Some((at, Kind::Startup));
        }
    }
    let Some(started) = started.filter(|at| *at <= now) else {
        return found;
    };
    found.is_started = true;
    let ready_at = later(since, settings.ready_delay.unwrap_or_default());
    found.is_ready = ready_at <= now;
    found.wait(ready_at, now);
    if let Some(readiness) = time(container.readiness_probe.as_ref(), Kind::Readiness, started) {
        found.is_ready &= readiness.is_ready(now, &mut found);
        if let Some((first, end)) = readiness.failing() {
            let last = end.min(first.saturating_add(readiness.failures)) - 1;
            readiness.fail(first, last, (looked, now), &mut found);
        }
    }
    if let Some(probe) = &container.liveness_probe
        && let Some(liveness) = time(Some(probe), Kind::Liveness, started)
        && let Some((first, end)) = liveness.failing()
    {
        let last = first.saturating_add(liveness.failures) - 1;
        liveness.fail(first, last.min(end - 1), (looked, now), &mut found);
        if last < end {
            let at = liveness.at(last);
            found.wait(at, now);
            if at <= now {
                found.killed = Some((at, Kind::Liveness));
            }
        }
    }
    found
}

impl Found {
    fn wait(&mut self, at: Timestamp, now: Timestamp) {
        if at > now {
            self.next = self.next.into_iter().chain([at]).min();
        }
    }
}

impl Timeline {
    /// The probe of a run; `None` if there is nothing to find. Readiness can be scripted without a probe in the spec.
    fn of(
        pod: &Pod,
        (container, settings): (&Container, &Settings),
        probe: Option<&Probe>,
        kind: Kind,
        (since, after): (Timestamp, Timestamp),
    ) -> Option<Self> {
        let scripted = match kind {
            Kind::Startup => settings.startup_fails,
            Kind::Readiness => settings.readiness_fails,
            Kind::Liveness => settings.liveness_fails,
        };
        let Some(probe) = probe else {
            let window = scripted.filter(|_| kind == Kind::Readiness)?;
            return Some(Self {
                kind,
                first: after,
                period: 1,
                failures: 1,
                successes: 1,
                window: span(since, window),
            });
        };
        let window = scripted.unwrap_or_else(|| by_command(pod, container, probe));
        let at_least = |value: Option<i32>, least: i32, default: i32| {
            i64::from(value.unwrap_or(default).max(least))
        };
        let delay = at_least(probe.initial_delay_seconds, 0, 0);
        let delayed = since.checked_add(SignedDuration::from_secs(delay)).ok()?;
        Some(Self {
            kind,
            first: delayed.max(after),
            period: at_least(probe.period_seconds, 1, 10),
            failures: at_least(probe.failure_threshold, 1, 3),
            successes: at_least(probe.success_threshold, 1, 1),
            window: span(since, window),
        })
    }

    fn at(&self, tick: Tick) -> Timestamp {
        let by = SignedDuration::from_secs(self.period.saturating_mul(tick));
        self.first.checked_add(by).unwrap_or(Timestamp::MAX)
    }

    /// The first probe at or after a time.
    fn tick(&self, at: Timestamp) -> Tick {
        let wait = at.duration_since(self.first);
        if wait <= SignedDuration::ZERO {
            return 0;
        }
        let seconds = wait.as_secs() + i64::from(wait.subsec_nanos() > 0);
        seconds.div_euclid(self.period) + i64::from(seconds.rem_euclid(self.period) > 0)
    }

    /// The first probe that fails, and the first after it that does not.
    fn failing(&self) -> Option<(Tick, Tick)> {
        let (from, until) = self.window;
        let first = self.tick(from);
        let end = until.map_or(Tick::MAX, |until| self.tick(until));
        // What fails after the end of time does not fail.
        (first < end && from < Timestamp::MAX).then_some((first, end))
    }

    /// The probe that decides about the start, and whether it succeeds.
    fn start(&self) -> (Tick, bool) {
        match self.failing() {
            Some((0, end)) if end >= self.failures => (self.failures - 1, false),
            Some((0, end)) => (end, true),
            _ => (0, true),
        }
    }

    /// Whether the probes up to now found the container ready.
    fn is_ready(&self, now: Timestamp, found: &mut Found) -> bool {
        let begins = self.successes - 1;
        let mut turns = vec![];
        match self.failing() {
            None => turns.push((begins, true)),
            Some((first, end)) => {
                let was_ready = first > begins;
                if was_ready {
                    turns.push((begins, true));
                }
                let is_lost = end.saturating_sub(first) >= self.failures;
                if is_lost && was_ready {
                    turns.push((first.saturating_add(self.failures) - 1, false));
                }
                if (is_lost || !was_ready) && end < Tick::MAX {
                    turns.push((end.saturating_add(begins), true));
                }
            }
        }
        let mut is_ready = false;
        for (tick, turns_ready) in turns {
            let at = self.at(tick);
            if at <= now {
                is_ready = turns_ready;
            }
            found.wait(at, now);
        }
        is_ready
    }

    /// Notes the failures from `first` to `last` that are new, and when the next is.
    fn fail(
        &self,
        first: Tick,
        last: Tick,
        (looked, now): (Option<Timestamp>, Timestamp),
        found: &mut Found,
    ) {
        let mut tick = first;
        if let Some(looked) = looked {
            // As far as it was seen.
            tick = tick.max(self.tick(looked));
            while tick <= last && self.at(tick) <= looked {
                tick += 1;
            }
        }
        let mut noted = 0;
        while tick <= last && self.at(tick) <= now && noted < self.failures {
            found.failures.push(self.kind);
            tick += 1;
            noted += 1;
        }
        if tick <= last {
            found.wait(self.at(tick), now);
        }
    }
}

fn span(since: Timestamp, window: Window) -> (Timestamp, Option<Timestamp>) {
    (
        later(since, window.from),
        window.until.map(|until| later(since, until)),
    )
}

/// A command that is known to fail, or to take too long, fails always.
fn by_command(pod: &Pod, container: &Container, probe: &Probe) -> Window {
    let command = probe.exec.as_ref().and_then(|exec| exec.command.as_ref());
    let Some(command) = command else {
        return Window::NEVER;
    };
    let timeout = probe.timeout_seconds.unwrap_or(1).max(1).unsigned_abs();
    let timeout = Duration::from_secs(u64::from(timeout));
    match command::beside(pod, container, command) {
        Some(Run::Exits { after, code }) if code == 0 && after <= timeout => Window::NEVER,
        Some(Run::Exits { .. } | Run::Stays) => Window::ALWAYS,
        None => Window::NEVER,
    }
}

/// What a failed probe says, in the words of its kind.
pub(in crate::kubelet) fn output(probe: Option<&Probe>, address: &str) -> String {
    let Some(probe) = probe else {
        return "scripted (simulated)".to_owned();
    };
    if probe.http_get.is_some() {
        return "HTTP probe failed with statuscode: 500 (simulated)".to_owned();
    }
    if let Some(socket) = &probe.tcp_socket {
        use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
        let port = match &socket.port {
            IntOrString::Int(port) => port.to_string(),
            IntOrString::String(name) => name.clone(),
        };
        return format!("dial tcp {address}:{port}: connect: connection refused (simulated)");
    }
    if probe.grpc.is_some() {
        return "service unhealthy (responded with \"NOT_SERVING\") (simulated)".to_owned();
    }
    "command failed (simulated)".to_owned()
}
