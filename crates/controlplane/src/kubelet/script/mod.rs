//! Annotations that script what a simulated pod does.
//!
//! | annotation | meaning | default |
//! | --- | --- | --- |
//! | `simulated.apiary.io/start-delay` | until the containers run, e.g. `5s` | `0s` |
//! | `simulated.apiary.io/ready-delay` | from running to ready | `0s` |
//! | `simulated.apiary.io/run-time` | until the containers exit | what their commands come to |
//! | `simulated.apiary.io/exit-code` | what they exit with; at once, without `run-time` | what their commands come to |
//! | `simulated.apiary.io/pull-error` | the images never come; the text is the error | |
//! | `simulated.apiary.io/log` | the log of each container | one line that says that it is simulated |
//! | `simulated.apiary.io/http` | what the ports of its containers answer | one line that says that it is simulated |
//! | `simulated.apiary.io/stop-delay` | from the delete to the end, at most the grace period | `0s` |
//!
//! Of a few commands, `exit 1` in a shell say, it is known how they end (see [`super::command`]). With any other command
//! the containers of a Job's pod succeed after a second, those of other pods that are not always restarted succeed at
//! once, and all others run for ever.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;

use super::command::{self, Run};

const PREFIX: &str = "simulated.apiary.io/";
/// No delay is longer.
const MAX_DELAY: Duration = Duration::from_secs(7 * 24 * 3600);
/// How long a Job's pod runs if nothing else is known.
const MOMENT: Duration = Duration::from_secs(1);

/// What a pod is scripted to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Script {
    pub start_delay: Duration,
    pub ready_delay: Duration,
    /// When the containers exit; `None` for never.
    pub run_time: Option<Duration>,
    pub exit_code: i32,
    pub pull_error: Option<String>,
    pub stop_delay: Duration,
}

impl Script {
    /// Reads the annotations of a pod; what does not parse counts as absent.
    #[must_use]
    pub fn of(pod: &Pod) -> Self {
        let empty = BTreeMap::new();
        let annotations = pod.metadata.annotations.as_ref().unwrap_or(&empty);
        let text = |name: &str| {
            annotations
                .get(&format!("{PREFIX}{name}"))
                .map(String::as_str)
        };
        let delay = |name: &str| text(name).and_then(duration);
        let exit_code = text("exit-code").and_then(|code| code.parse().ok());
        let (run_time, code) = match command::of(pod) {
            _ if exit_code.is_some() => (Some(Duration::ZERO), 0),
            Some(Run::Exits { after, code }) => (Some(after), code),
            Some(Run::Stays) => (None, 0),
            None => (unknown(pod), 0),
        };
        Self {
            start_delay: delay("start-delay").unwrap_or_default(),
            ready_delay: delay("ready-delay").unwrap_or_default(),
            run_time: delay("run-time").or(run_time),
            exit_code: exit_code.unwrap_or(code),
            pull_error: text("pull-error").map(str::to_owned),
            stop_delay: delay("stop-delay").unwrap_or_default(),
        }
    }
}

/// How long containers run of whose commands nothing is known.
fn unknown(pod: &Pod) -> Option<Duration> {
    let spec = pod.spec.as_ref();
    let policy = spec.and_then(|spec| spec.restart_policy.as_deref());
    let is_job = crate::pod::controller(pod).is_some_and(|owner| owner.kind == "Job");
    match policy.unwrap_or("Always") {
        "Always" => None,
        _ if is_job => Some(MOMENT),
        _ => Some(Duration::ZERO),
    }
}

/// `1h2m3s`, `500ms`.
fn duration(text: &str) -> Option<Duration> {
    let mut total = Duration::ZERO;
    let mut rest = text.trim();
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: u64 = rest[..digits].parse().ok()?;
        let tail = &rest[digits..];
        let end = tail
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(tail.len());
        let part = match &tail[..end] {
            "ms" => Duration::from_millis(number),
            "s" => Duration::from_secs(number),
            "m" => Duration::from_secs(number.checked_mul(60)?),
            "h" => Duration::from_secs(number.checked_mul(3600)?),
            _ => return None,
        };
        total = total.checked_add(part)?;
        rest = &tail[end..];
    }
    Some(total.min(MAX_DELAY))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_go_writes_them() {
        for (text, expected) in [
            ("5s", Some(Duration::from_secs(5))),
            ("1m30s", Some(Duration::from_secs(90))),
            ("500ms", Some(Duration::from_millis(500))),
            ("99999999999999999999s", None),
            ("", None),
            ("5", None),
            ("s", None),
            ("5 s", None),
        ] {
            assert_eq!(duration(text), expected, "{text:?}");
        }
        assert_eq!(duration("9999h"), Some(MAX_DELAY));
    }
}
