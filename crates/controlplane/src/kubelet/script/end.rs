//! How one run of a container ends by itself: pure.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, Pod};
use sha2::{Digest, Sha256};

use super::{Role, Settings};
use crate::kubelet::command::{self, Run};

/// How long a Job's container runs if nothing else is known.
const MOMENT: Duration = Duration::from_secs(1);

/// The end of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::kubelet) struct End {
    /// Counted from the start of the run.
    pub after: Duration,
    pub code: i32,
    pub is_oom: bool,
}

/// How the run after so many restarts ends; `None` if it does not end by itself.
pub(in crate::kubelet) fn end(
    pod: &Pod,
    (role, container): (Role, &Container),
    settings: &Settings,
    restarts: i32,
) -> Option<End> {
    let by_command = match command::run(pod, container, restarts) {
        Some(Run::Exits { after, code }) => Some((after, code)),
        Some(Run::Stays) => None,
        None => unknown(pod, role, container).map(|after| (after, 0)),
    };
    let exit_code = settings
        .exit_code
        .filter(|_| settings.failure_rate.is_none());
    let by_itself = match (settings.run_time, exit_code) {
        (None, None) => by_command,
        (after, Some(code)) => Some((after.unwrap_or_default(), code)),
        (Some(after), None) => Some((after, by_command.map_or(0, |(_, code)| code))),
    };
    let fails = settings
        .failure_rate
        .is_some_and(|rate| draw(pod, container, restarts) < rate.0);
    let by_itself = if fails {
        let after = by_itself.map_or(MOMENT, |(after, _)| after);
        let code = settings.exit_code.filter(|code| *code != 0);
        Some((after, code.unwrap_or(1)))
    } else {
        by_itself
    };
    let by_itself = by_itself.map(|(after, code)| End {
        after,
        code,
        is_oom: false,
    });
    let by_memory = settings.oom_after.map(|after| End {
        after,
        code: 137,
        is_oom: true,
    });
    by_memory
        .into_iter()
        .chain(by_itself)
        .min_by_key(|end| end.after)
}

/// How long containers run of whose commands nothing is known.
fn unknown(pod: &Pod, role: Role, container: &Container) -> Option<Duration> {
    let spec = pod.spec.as_ref();
    let policy = container
        .restart_policy
        .as_deref()
        .or_else(|| spec.and_then(|spec| spec.restart_policy.as_deref()));
    let is_job = || crate::pod::controller(pod).is_some_and(|owner| owner.kind == "Job");
    match role {
        Role::Init => Some(Duration::ZERO),
        Role::Sidecar | Role::Ephemeral => None,
        Role::App if policy.unwrap_or("Always") == "Always" => None,
        Role::App if is_job() => Some(MOMENT),
        Role::App => Some(Duration::ZERO),
    }
}

/// A number below a million that is as good as random, and the same for the same run.
fn draw(pod: &Pod, container: &Container, restarts: i32) -> u32 {
    let uid = pod.metadata.uid.as_deref().unwrap_or_default();
    let digest = Sha256::digest(format!("{uid}/{}/{restarts}", container.name));
    let number = digest
        .iter()
        .take(8)
        .fold(0_u64, |number, byte| (number << 8) | u64::from(*byte));
    u32::try_from(number % 1_000_000).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::{Profile, Script};
    use super::*;

    fn pod(uid: &str, annotations: serde_json::Value) -> Pod {
        let container = json!({"name": "c", "image": "nginx"});
        let pod = json!({
            "metadata": {"name": "p", "uid": uid, "annotations": annotations},
            "spec": {"containers": [container]},
        });
        serde_json::from_value(pod).unwrap()
    }

    fn ends(pod: &Pod, restarts: i32) -> Option<End> {
        let script = Script::of(pod, &Profile::default());
        assert_eq!(script.complaints, [""; 0]);
        let container = &pod.spec.as_ref().unwrap().containers[0];
        end(
            pod,
            (Role::App, container),
            &script.container("c"),
            restarts,
        )
    }

    #[test]
    fn failures_are_as_frequent_as_scripted_and_always_the_same() {
        let rate = json!({"simulated.apiary.io/failure-rate": "20%", "simulated.apiary.io/exit-code": "7"});
        let fails = |at: i32| ends(&pod(&format!("u{at}"), rate.clone()), 0);
        let failed: Vec<End> = (0..1000).filter_map(fails).collect();
        assert!((150..250).contains(&failed.len()), "{}", failed.len());
        assert!(failed.iter().all(|end| end.code == 7));
        let again: Vec<End> = (0..1000).filter_map(fails).collect();
        assert_eq!(failed, again);
        // Each run is for itself.
        let one = pod("u", rate.clone());
        let runs = (0..1000).filter(|run| ends(&one, *run).is_some()).count();
        assert!((150..250).contains(&runs), "{runs}");
    }

    #[test]
    fn memory_is_used_up_if_the_run_does_not_end_before() {
        let oom = |run: &str| {
            let annotations = json!({"simulated.apiary.io/oom-after": "30s", "simulated.apiary.io/run-time": run});
            ends(&pod("u", annotations), 0).unwrap()
        };
        assert_eq!((oom("10s").code, oom("10s").is_oom), (0, false));
        assert_eq!((oom("1h").code, oom("1h").is_oom), (137, true));
    }
}
