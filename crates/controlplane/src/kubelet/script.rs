//! Annotations that script what a simulated pod does.
//!
//! | annotation | meaning | default |
//! | --- | --- | --- |
//! | `simulated.apiary.io/start-delay` | until the containers run, e.g. `5s` | `0s` |
//! | `simulated.apiary.io/ready-delay` | from running to ready | `0s` |
//! | `simulated.apiary.io/run-time` | until the containers exit; without it and `exit-code` they run for ever, or exit at once if the restart policy is not `Always` | |
//! | `simulated.apiary.io/exit-code` | what they exit with | `0` |
//! | `simulated.apiary.io/pull-error` | the images never come; the text is the error | |
//! | `simulated.apiary.io/stop-delay` | from the delete to the end, at most the grace period | `0s` |

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;

const PREFIX: &str = "simulated.apiary.io/";
/// No delay is longer.
const MAX_DELAY: Duration = Duration::from_secs(7 * 24 * 3600);

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
        let runs_for_ever = pod
            .spec
            .as_ref()
            .and_then(|s| s.restart_policy.as_deref())
            .unwrap_or("Always")
            == "Always";
        let exit_code = text("exit-code").and_then(|code| code.parse().ok());
        let default_run_time = (!runs_for_ever || exit_code.is_some()).then_some(Duration::ZERO);
        Self {
            start_delay: delay("start-delay").unwrap_or_default(),
            ready_delay: delay("ready-delay").unwrap_or_default(),
            run_time: delay("run-time").or(default_run_time),
            exit_code: exit_code.unwrap_or(0),
            pull_error: text("pull-error").map(str::to_owned),
            stop_delay: delay("stop-delay").unwrap_or_default(),
        }
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
