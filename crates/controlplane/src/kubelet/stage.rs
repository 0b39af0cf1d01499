//! A pod at play: its containers in their order, until nothing more happens at this moment. Pure.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use super::life::cast::Actor;
use super::life::probe::{self, Found, Kind};
use super::life::restart::{self, Cause};
use super::life::{Exit, KILLED, STOPPED, State, Why, back_off, later};
use super::pod::{Event, Memory, Scene, Step, Stopping};
use super::script::{self, Role};
use super::status;
use super::words;

/// A pull that failed is shown as such for so long; then it waits for the image to be there.
const PULL_FAILED: Duration = Duration::from_secs(10);

/// A pod with all that happens to it in one step.
pub(super) struct Stage<'s, 'a> {
    pub scene: &'s Scene<'a>,
    pub actors: Vec<Actor>,
    pub memory: Memory,
    events: Vec<Event>,
    again: Option<Timestamp>,
}

impl<'s, 'a> Stage<'s, 'a> {
    pub(super) fn new(scene: &'s Scene<'a>, actors: Vec<Actor>, memory: Memory) -> Self {
        Self {
            scene,
            actors,
            memory,
            events: vec![],
            again: None,
        }
    }

    /// Nothing of the status changes.
    pub(super) fn rest(mut self) -> Step {
        self.memory.looked = Some(self.scene.now);
        Step {
            events: self.events,
            again_at: self.again,
            memory: self.memory,
            ..Step::default()
        }
    }

    /// The status is this.
    pub(super) fn end(self, status: Value, is_over: bool) -> Step {
        let status = status::changes(self.scene.pod, status);
        Step {
            status,
            is_over,
            ..self.rest()
        }
    }

    /// Something happens at this time.
    pub(super) fn wait(&mut self, at: Option<Timestamp>) {
        self.again = self.again.into_iter().chain(at).min();
    }

    /// Says once what is wrong with the script.
    pub(super) fn complain(&mut self) {
        /// Whoever changes the script of a pod again and again is told some things twice.
        const TOLD_MAX: usize = 64;
        if self.memory.complaints.len() > TOLD_MAX {
            self.memory.complaints.clear();
        }
        for complaint in &self.scene.script.complaints {
            if self.memory.complaints.insert(complaint.clone()) {
                self.tell_pod(true, "InvalidScript", complaint.clone());
            }
        }
    }

    pub(super) fn tell_pod(&mut self, is_warning: bool, reason: &'static str, message: String) {
        self.events.push(Event {
            is_warning,
            reason,
            field: String::new(),
            message,
        });
    }

    fn tell(&mut self, at: usize, is_warning: bool, reason: &'static str, message: String) {
        let actor = &self.actors[at];
        self.events.push(Event {
            is_warning,
            reason,
            field: words::field(actor.role, actor.name()),
            message,
        });
    }

    /// The places of the containers of some kind.
    fn places(&self, is_meant: impl Fn(Role) -> bool) -> Vec<usize> {
        let all = self.actors.iter().enumerate();
        all.filter(|(_, actor)| is_meant(actor.role))
            .map(|(at, _)| at)
            .collect()
    }

    /// An app container runs, or ran.
    pub(super) fn is_initialized(&self) -> bool {
        let mut apps = self.actors.iter().filter(|actor| actor.role == Role::App);
        apps.any(|actor| actor.life.has_begun())
    }

    /// Goes on to now.
    pub(super) fn live(&mut self) {
        let delay = self.scene.script.pod.start_delay.unwrap_or_default();
        let start_at = later(self.scene.started, delay);
        if !self.has_begun() && self.scene.now < start_at {
            return self.wait(Some(start_at));
        }
        if let Some((volume, at)) = &self.scene.missing.volume
            && !self.has_begun()
        {
            if self.memory.complaints.insert(volume.clone()) {
                self.tell_pod(true, "FailedMount", volume.clone());
            }
            return self.wait(Some(*at));
        }
        for at in self.places(|role| role == Role::Ephemeral) {
            self.act(at);
        }
        if self.is_initialized() || self.initialize() {
            for at in self.places(|role| role == Role::App) {
                self.act(at);
            }
        }
        if let Some(since) = self.is_done() {
            let deadline = later(since, self.scene.grace());
            self.wind_down(Stopping {
                asked: since,
                deadline,
            });
        } else if self.is_initialized() {
            for at in self.places(|role| role == Role::Sidecar) {
                self.act(at);
            }
        }
    }

    fn has_begun(&self) -> bool {
        self.actors.iter().any(|actor| actor.life.has_begun())
    }

    /// Goes on with the init containers, one after the other; whether the app containers may start.
    fn initialize(&mut self) -> bool {
        for at in self.places(|role| matches!(role, Role::Init | Role::Sidecar)) {
            self.act(at);
            let actor = &self.actors[at];
            let goes_on = match actor.role {
                Role::Sidecar => actor.life.is_started,
                Role::Init | Role::App | Role::Ephemeral => actor.life.has_succeeded(),
            };
            if !goes_on {
                return false;
            }
        }
        true
    }

    /// Since when nothing is left to be done, if that is so: all app containers have ended for good, or an init
    /// container has.
    fn is_done(&self) -> Option<Timestamp> {
        let lives = |wanted: Role| {
            let all = self.actors.iter();
            all.filter(move |actor| actor.role == wanted)
                .map(|a| &a.life)
        };
        let finished = |life: &super::life::Life| {
            let end = life.end.as_ref().and_then(|end| end.finished);
            end.unwrap_or(self.scene.now)
        };
        let mut inits = lives(Role::Init);
        let failed = inits.find(|life| life.state == State::Ended && !life.has_succeeded());
        if let Some(failed) = failed {
            return Some(finished(failed));
        }
        let is_over = lives(Role::App).all(|life| life.state == State::Ended);
        is_over.then(|| lives(Role::App).map(finished).max())?
    }

    /// Ends what is left when the work is done; sidecars one after the other, the last first.
    fn wind_down(&mut self, stopping: Stopping) -> bool {
        let mut has_stopped = true;
        for at in self.places(|role| role == Role::Ephemeral) {
            has_stopped &= self
                .stop_one(at, stopping.asked, stopping.deadline)
                .is_none();
        }
        let mut asked = stopping.asked;
        for at in self.places(|role| role == Role::Sidecar).into_iter().rev() {
            if self.stop_one(at, asked, stopping.deadline).is_some() {
                return false;
            }
            let end = self.actors[at].life.end.as_ref();
            asked = asked.max(end.and_then(|end| end.finished).unwrap_or(asked));
        }
        has_stopped
    }

    /// Ends the whole pod: first what works, then its sidecars. Returns whether nothing runs any more.
    pub(super) fn stop(&mut self, stopping: Stopping) -> bool {
        let mut has_stopped = true;
        let mut last = stopping.asked;
        for at in self.places(|role| matches!(role, Role::App | Role::Init)) {
            match self.stop_one(at, stopping.asked, stopping.deadline) {
                Some(_) => has_stopped = false,
                None => {
                    let end = self.actors[at].life.end.as_ref();
                    last = last.max(end.and_then(|end| end.finished).unwrap_or(last));
                }
            }
        }
        let sidecars = Stopping {
            asked: last.min(stopping.deadline),
            ..stopping
        };
        has_stopped && self.wind_down(sidecars)
    }

    /// Ends one container; when, if it still runs.
    fn stop_one(&mut self, at: usize, asked: Timestamp, deadline: Timestamp) -> Option<Timestamp> {
        let Scene { pod, now, .. } = *self.scene;
        self.actors[at].life.give_up();
        let State::Running { since } = self.actors[at].life.state else {
            return None;
        };
        let name = self.actors[at].name().to_owned();
        if self.memory.stopping.insert(name.clone()) {
            let message = format!("Stopping container {name} (simulated)");
            self.tell(at, false, "Killing", message);
        }
        let asked = asked.max(since);
        let stopped = later(asked, self.actors[at].stop_time(pod));
        let (end, code) = if stopped <= deadline {
            (stopped, STOPPED)
        } else {
            (deadline.max(since), KILLED)
        };
        // It may come to its own end before.
        let actor = &self.actors[at];
        let kind = (actor.role, &actor.container);
        let own = script::end(pod, kind, &actor.settings, actor.life.restarts);
        let own = own.map(|own| (later(since, own.after), own));
        let exit = match own {
            Some((own_end, own)) if own_end < end && own_end <= now => {
                Some(self.exit(at, since, own.code, own.is_oom))
            }
            _ if end <= now => Some(self.exit(at, since, code, false)),
            _ => None,
        };
        if let Some(exit) = exit {
            self.actors[at].life.finish(exit);
            return None;
        }
        self.wait(Some(end));
        self.wait(own.map(|(own_end, _)| own_end));
        Some(end)
    }

    /// Plays one container until nothing more happens to it now.
    fn act(&mut self, at: usize) {
        // A container that always exits at once restarts once at once, and then waits.
        const TURNS_MAX: usize = 8;
        for _ in 0..TURNS_MAX {
            let goes_on = match self.actors[at].life.state.clone() {
                State::Waiting(_) => self.try_start(at),
                State::Running { since } => self.run(at, since),
                State::BackOff { exited } => self.back_off(at, exited),
                State::Ended => false,
            };
            if !goes_on {
                return;
            }
        }
    }

    /// Starts a container whose image and configuration are there.
    fn try_start(&mut self, at: usize) -> bool {
        let now = self.scene.now;
        let name = self.actors[at].name().to_owned();
        let image = self.actors[at].image().to_owned();
        let settings = self.actors[at].settings.clone();
        if let Some(error) = &settings.pull_error {
            self.fail_pull(at, &image, error);
            return false;
        }
        let pull_time = settings.pull_time.unwrap_or_default();
        let is_there = matches!(self.actors[at].life.state, State::Waiting(Why::Config(_)));
        let pulled = if pull_time.is_zero() || is_there {
            words::present(&image)
        } else {
            // A pull that failed is no pull.
            let is_new = self.actors[at].life.state != State::Waiting(Why::NotYet)
                || !self.memory.pulls.contains_key(&name);
            if is_new {
                self.memory.pulls.insert(name.clone(), now);
                self.actors[at].life.state = State::Waiting(Why::NotYet);
                self.tell(
                    at,
                    false,
                    "Pulling",
                    format!("Pulling image \"{image}\" (simulated)"),
                );
            }
            let since = self.memory.pulls.get(&name).copied().unwrap_or(now);
            let there = later(since, pull_time);
            if now < there {
                self.wait(Some(there));
                return false;
            }
            words::pulled(&image, pull_time)
        };
        self.memory.pulls.remove(&name);
        let missing = self.scene.missing.environments.get(&name);
        if let Some((message, again)) = missing {
            if self.memory.complaints.insert(format!("{name}: {message}")) {
                self.tell(at, false, "Pulled", pulled);
                self.tell(at, true, "Failed", format!("Error: {message}"));
            }
            self.actors[at].life.state = State::Waiting(Why::Config(message.clone()));
            self.wait(Some(*again));
            return false;
        }
        self.begin(at, pulled);
        true
    }

    fn begin(&mut self, at: usize, pulled: String) {
        let name = self.actors[at].name().to_owned();
        self.tell(at, false, "Pulled", pulled);
        self.tell(
            at,
            false,
            "Created",
            format!("Created container: {name} (simulated)"),
        );
        self.tell(
            at,
            false,
            "Started",
            format!("Started container {name} (simulated)"),
        );
        self.actors[at].life.begin(self.scene.now);
    }

    /// First the pull fails; then the container waits, for as long as there is no other script.
    fn fail_pull(&mut self, at: usize, image: &str, error: &str) {
        let now = self.scene.now;
        let name = self.actors[at].name().to_owned();
        let state = self.actors[at].life.state.clone();
        if let State::Waiting(Why::PullBackOff(_)) = state {
            let message = words::pull_back_off(image, error);
            self.actors[at].life.state = State::Waiting(Why::PullBackOff(message));
            return;
        }
        if !matches!(state, State::Waiting(Why::PullFailed(_))) {
            self.memory.pulls.insert(name.clone(), now);
            self.tell(
                at,
                false,
                "Pulling",
                format!("Pulling image \"{image}\" (simulated)"),
            );
            let message = format!("Failed to pull image \"{image}\" (simulated): {error}");
            self.tell(at, true, "Failed", message);
            self.tell(at, true, "Failed", "Error: ErrImagePull".into());
            self.actors[at].life.state = State::Waiting(Why::PullFailed(error.to_owned()));
        }
        let since = self
            .memory
            .pulls
            .get(&name)
            .copied()
            .unwrap_or(self.scene.started);
        let until = later(since, PULL_FAILED);
        if now < until {
            return self.wait(Some(until));
        }
        self.memory.pulls.remove(&name);
        self.tell(
            at,
            false,
            "BackOff",
            format!("Back-off pulling image \"{image}\""),
        );
        self.tell(at, true, "Failed", "Error: ImagePullBackOff".into());
        let message = words::pull_back_off(image, error);
        self.actors[at].life.state = State::Waiting(Why::PullBackOff(message));
    }

    /// A running container: its probes, and its end.
    fn run(&mut self, at: usize, since: Timestamp) -> bool {
        let Scene { pod, now, .. } = *self.scene;
        let actor = &self.actors[at];
        let is_other = !actor.life.image.is_empty() && actor.life.image != actor.image();
        if is_other && actor.role != Role::Ephemeral {
            let name = actor.name().to_owned();
            let message = format!("Container {name} definition changed, will be restarted");
            self.tell(at, false, "Killing", message);
            let exit = self.exit(at, since, STOPPED, false);
            self.actors[at].life.replace(exit);
            return true;
        }
        let kind = (actor.role, &actor.container);
        let own = script::end(pod, kind, &actor.settings, actor.life.restarts);
        let own_end = own.map(|own| later(since, own.after));
        if self.scene.resize.restarts.contains(actor.name()) {
            return self.restart_for_resize(at, since);
        }
        let killed = self.probe(at, since);
        if let Some((end, code)) = killed
            && end <= now
            && own_end.is_none_or(|own| end <= own)
        {
            let exit = self.exit(at, since, code, false);
            return self.leave(at, exit, Cause::Probe);
        }
        if let (Some(own), Some(end)) = (own, own_end)
            && end <= now
        {
            let exit = self.exit(at, since, own.code, own.is_oom);
            return self.leave(at, exit, Cause::Itself);
        }
        self.wait(own_end);
        self.wait(killed.map(|(end, _)| end));
        false
    }

    /// Looks at the probes; when and how a container ends that failed them.
    fn probe(&mut self, at: usize, since: Timestamp) -> Option<(Timestamp, i32)> {
        let Scene { pod, now, ips, .. } = *self.scene;
        let actor = &self.actors[at];
        if matches!(actor.role, Role::Init | Role::Ephemeral) {
            return None;
        }
        let (container, settings) = (actor.container.clone(), actor.settings.clone());
        let looks = (self.memory.looked, now);
        let Found {
            is_started,
            is_ready,
            killed,
            mut failures,
            next,
        } = probe::look(pod, (&container, &settings), since, looks);
        self.wait(next);
        // What was scripted a moment ago for a time that is over.
        let is_lost = self.actors[at].life.is_ready && !is_ready && is_started;
        if is_lost && !failures.contains(&Kind::Readiness) {
            failures.push(Kind::Readiness);
        }
        let life = &mut self.actors[at].life;
        (life.is_started, life.is_ready) = (is_started, is_ready);
        let restarts = life.restarts;
        let probe_of = |kind: Kind| match kind {
            Kind::Startup => container.startup_probe.as_ref(),
            Kind::Readiness => container.readiness_probe.as_ref(),
            Kind::Liveness => container.liveness_probe.as_ref(),
        };
        for kind in failures {
            let output = probe::output(probe_of(kind), ips.0);
            let message = format!("{} probe failed: {output}", kind.word());
            self.tell(at, true, "Unhealthy", message);
        }
        let (killed_at, kind) = killed?;
        let name = self.actors[at].name().to_owned();
        if self.memory.killing.insert(name, restarts) != Some(restarts) {
            let role = (self.actors[at].role, &container);
            let is_again = restart::again(pod, role, STOPPED, Cause::Probe);
            self.tell(
                at,
                false,
                "Killing",
                words::killed(&container.name, kind, is_again),
            );
        }
        let own = probe_of(kind).and_then(|probe| probe.termination_grace_period_seconds);
        let own = own.map(|grace| Duration::from_secs(grace.max(0).unsigned_abs()));
        let grace = own.unwrap_or_else(|| self.scene.grace());
        let time = self.actors[at].stop_time(pod);
        let code = if time <= grace { STOPPED } else { KILLED };
        Some((later(killed_at, time.min(grace)), code))
    }

    fn restart_for_resize(&mut self, at: usize, since: Timestamp) -> bool {
        let (now, name) = (self.scene.now, self.actors[at].name().to_owned());
        let message = format!("Container {name} resize requires restart");
        self.tell(at, false, "Killing", message);
        let exit = self.exit(at, since, STOPPED, false);
        let life = &mut self.actors[at].life;
        life.last = Some(exit);
        life.restarts += 1;
        let pulled = words::present(self.actors[at].image());
        self.begin(at, pulled);
        // Not again with the next turn.
        self.probe(at, now);
        false
    }

    /// How a run ends now.
    fn exit(&self, at: usize, since: Timestamp, code: i32, is_oom: bool) -> Exit {
        let actor = &self.actors[at];
        let reason = match code {
            _ if is_oom => "OOMKilled",
            0 => "Completed",
            _ => "Error",
        };
        Exit {
            started: Some(since),
            finished: Some(self.scene.now),
            code,
            reason: reason.into(),
            message: None,
            id: Some(status::container_id(
                self.scene.pod,
                actor.name(),
                actor.life.restarts,
            )),
        }
    }

    /// What follows from the end of a run: whether something more may happen now.
    fn leave(&mut self, at: usize, exit: Exit, cause: Cause) -> bool {
        let Scene { pod, now, .. } = *self.scene;
        let actor = &mut self.actors[at];
        let code = exit.code;
        if !restart::again(pod, (actor.role, &actor.container), code, cause) {
            actor.life.finish(exit);
            return false;
        }
        let name = actor.name().to_owned();
        let forgiven = self.memory.forgiven.entry(name.clone()).or_default();
        if self.actors[at].life.fall(exit, forgiven, now) {
            let pulled = words::present(self.actors[at].image());
            self.begin(at, pulled);
            return true;
        }
        let message = format!(
            "Back-off restarting failed container {name} in pod {}",
            words::pod(pod)
        );
        self.tell(at, true, "BackOff", message);
        true
    }

    fn back_off(&mut self, at: usize, exited: Timestamp) -> bool {
        let up_at = later(exited, self.back_off_of(at));
        if self.scene.now < up_at {
            self.wait(Some(up_at));
            return false;
        }
        self.actors[at].life.restarts += 1;
        let pulled = words::present(self.actors[at].image());
        self.begin(at, pulled);
        true
    }

    /// How long the container waits to be started again.
    pub(super) fn back_off_of(&self, at: usize) -> Duration {
        let actor = &self.actors[at];
        let forgiven = self.memory.forgiven.get(actor.name()).copied();
        back_off(actor.life.restarts - forgiven.unwrap_or(0))
    }

    /// The phase of a pod that was stopped; what never ran has failed with it.
    pub(super) fn final_phase(&self) -> &'static str {
        let mut apps = self.actors.iter().filter(|actor| actor.role == Role::App);
        if apps.all(|actor| actor.life.has_succeeded()) {
            "Succeeded"
        } else {
            "Failed"
        }
    }
}
