//! What one container can be scripted to do.

use std::time::Duration;

use super::value::{Ramp, Share, Window, duration, exit_code, ramp, share, window};

/// The names of all settings, as they are written.
pub(super) const NAMES: [&str; 17] = [
    "start-delay",
    "pull-time",
    "pull-error",
    "ready-delay",
    "run-time",
    "exit-code",
    "failure-rate",
    "oom-after",
    "stop-delay",
    "startup-fails",
    "readiness-fails",
    "liveness-fails",
    "cpu",
    "memory",
    "log",
    "http",
    "missing-config",
];

/// What a container is scripted to do; `None` is what nobody said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Until the pod's containers may run: of a pod, not of one container.
    pub start_delay: Option<Duration>,
    /// How long its image is on its way.
    pub pull_time: Option<Duration>,
    /// Its image never comes; this is the error.
    pub pull_error: Option<String>,
    /// From running to ready.
    pub ready_delay: Option<Duration>,
    /// Until it exits.
    pub run_time: Option<Duration>,
    pub exit_code: Option<i32>,
    /// The share of its runs that fail.
    pub failure_rate: Option<Share>,
    /// Until it has used up its memory.
    pub oom_after: Option<Duration>,
    /// From being told to stop to its end.
    pub stop_delay: Option<Duration>,
    pub startup_fails: Option<Window>,
    pub readiness_fails: Option<Window>,
    pub liveness_fails: Option<Window>,
    /// Thousandths of a core.
    pub cpu: Option<Ramp>,
    /// Thousandths of bytes.
    pub memory: Option<Ramp>,
    /// What it says each time it starts.
    pub log: Option<String>,
    /// What its ports answer.
    pub http: Option<String>,
    /// Whether it starts without the ConfigMaps and Secrets that it names: of a pod, not of one container.
    pub ignores_missing_config: Option<bool>,
}

impl Settings {
    /// Takes in one setting.
    ///
    /// # Errors
    /// What is wrong with it, and what would be right.
    pub(super) fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        match name {
            "start-delay" => self.start_delay = Some(duration(value)?),
            "pull-time" => self.pull_time = Some(duration(value)?),
            "pull-error" => self.pull_error = Some(value.to_owned()),
            "ready-delay" => self.ready_delay = Some(duration(value)?),
            "run-time" => self.run_time = Some(duration(value)?),
            "exit-code" => self.exit_code = Some(exit_code(value)?),
            "failure-rate" => self.failure_rate = Some(share(value)?),
            "oom-after" => self.oom_after = Some(duration(value)?),
            "stop-delay" => self.stop_delay = Some(duration(value)?),
            "startup-fails" => self.startup_fails = Some(window(value)?),
            "readiness-fails" => self.readiness_fails = Some(window(value)?),
            "liveness-fails" => self.liveness_fails = Some(window(value)?),
            "cpu" => self.cpu = Some(ramp(value)?),
            "memory" => self.memory = Some(ramp(value)?),
            "log" => self.log = Some(value.to_owned()),
            "http" => self.http = Some(value.to_owned()),
            "missing-config" => {
                self.ignores_missing_config = Some(match value {
                    "ignore" => true,
                    "wait" => false,
                    _ => return Err(format!("{value:?} is neither ignore nor wait")),
                });
            }
            _ => {
                return Err(format!(
                    "there is no setting {name:?}: the settings are {}",
                    NAMES.join(", ")
                ));
            }
        }
        Ok(())
    }

    /// These, and the others where nothing is said here.
    pub(super) fn or(self, other: &Self) -> Self {
        let other = other.clone();
        Self {
            start_delay: self.start_delay.or(other.start_delay),
            pull_time: self.pull_time.or(other.pull_time),
            pull_error: self.pull_error.or(other.pull_error),
            ready_delay: self.ready_delay.or(other.ready_delay),
            run_time: self.run_time.or(other.run_time),
            exit_code: self.exit_code.or(other.exit_code),
            failure_rate: self.failure_rate.or(other.failure_rate),
            oom_after: self.oom_after.or(other.oom_after),
            stop_delay: self.stop_delay.or(other.stop_delay),
            startup_fails: self.startup_fails.or(other.startup_fails),
            readiness_fails: self.readiness_fails.or(other.readiness_fails),
            liveness_fails: self.liveness_fails.or(other.liveness_fails),
            cpu: self.cpu.or(other.cpu),
            memory: self.memory.or(other.memory),
            log: self.log.or(other.log),
            http: self.http.or(other.http),
            ignores_missing_config: self.ignores_missing_config.or(other.ignores_missing_config),
        }
    }
}
