//! What the containers of simulated pods use, as far as it is scripted: pure, for whoever serves metrics.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, Pod};

use super::life::State;
use super::life::cast::cast;
use super::quantity;
use super::script::{Profile, Script};

/// Share of the requested cores that a container uses, if nothing is scripted: one in so many.
const CPU_SHARE: u64 = 4;
/// The same of memory.
const MEMORY_SHARE: u64 = 2;
/// What a container uses that asks for nothing: a thousandth of a core, and 16 MiB.
const CPU_LEAST: u64 = 1;
const MEMORY_LEAST: u64 = 16 << 20;

/// What one container uses at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Usage {
    pub container: String,
    /// Billionths of a core.
    pub cpu_nanocores: u64,
    /// Working set.
    pub memory_bytes: u64,
}

/// What the running containers of a pod use; none that is not running. Never more than their limits.
#[must_use]
pub fn of(pod: &Pod, profile: &Profile, now: Timestamp) -> Vec<Usage> {
    let script = Script::of(pod, profile);
    let actors = cast(pod, &script);
    let running = actors.iter().filter_map(|actor| match actor.life.state {
        State::Running { since } => Some((actor, since)),
        State::Waiting(_) | State::BackOff { .. } | State::Ended => None,
    });
    running
        .map(|(actor, since)| {
            let at = |ramp: Option<super::script::Ramp>| ramp.map(|ramp| ramp.at(since, now));
            let container = &actor.container;
            let cpu = at(actor.settings.cpu)
                .unwrap_or_else(|| requested(container, "cpu", CPU_SHARE).max(CPU_LEAST));
            let memory = at(actor.settings.memory).map_or_else(
                || (requested(container, "memory", MEMORY_SHARE) / 1000).max(MEMORY_LEAST),
                |milli| milli / 1000,
            );
            let cpu = cpu.min(limit(container, "cpu"));
            Usage {
                container: container.name.clone(),
                cpu_nanocores: cpu.saturating_mul(1_000_000),
                memory_bytes: memory.min(limit(container, "memory") / 1000),
            }
        })
        .collect()
}

/// A share of what is asked for, in thousandths.
fn requested(container: &Container, resource: &str, share: u64) -> u64 {
    let all = quantity::requests(container.resources.as_ref());
    all.get(resource).copied().unwrap_or(0) / share
}

/// The limit in thousandths.
fn limit(container: &Container, resource: &str) -> u64 {
    let resources = container.resources.as_ref();
    let limits = quantity::amounts(resources.and_then(|all| all.limits.as_ref()));
    limits.get(resource).copied().unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use expect_test::{Expect, expect};
    use serde_json::{Value, json};

    use super::*;

    fn check(annotations: Value, resources: Value, expected: &Expect) {
        let running = |name: &str| {
            json!({"name": name, "image": "i", "imageID": "", "ready": true, "restartCount": 0,
            "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}}})
        };
        let pod = json!({
            "metadata": {"name": "p", "annotations": annotations},
            "spec": {
                "containers": [{"name": "c", "image": "i", "resources": resources}, {"name": "d", "image": "i"}],
                "initContainers": [{"name": "i", "image": "i"}],
            },
            "status": {"containerStatuses": [running("c"), running("d")]},
        });
        let pod: Pod = serde_json::from_value(pod).unwrap();
        let mut text = String::new();
        for seconds in [0, 300, 600] {
            let now = Timestamp::from_second(1_767_225_600 + seconds).unwrap();
            for usage in of(&pod, &Profile::default(), now) {
                let Usage {
                    container,
                    cpu_nanocores,
                    memory_bytes,
                } = usage;
                writeln!(text, "{seconds} {container} {cpu_nanocores} {memory_bytes}").unwrap();
            }
        }
        expected.assert_eq(&text);
    }

    #[test]
    fn a_share_of_the_requests_by_default() {
        check(
            json!({}),
            json!({"requests": {"cpu": "200m", "memory": "128Mi"}}),
            &expect![[r#"
                0 c 50000000 67108864
                0 d 1000000 16777216
                300 c 50000000 67108864
                300 d 1000000 16777216
                600 c 50000000 67108864
                600 d 1000000 16777216
            "#]],
        );
    }

    #[test]
    fn as_scripted_and_within_the_limits() {
        check(
            json!({"c.simulated.apiary.io/memory": "100Mi..200Mi in 10m", "simulated.apiary.io/cpu": "750m"}),
            json!({"limits": {"cpu": "500m", "memory": "180Mi"}}),
            &expect![[r#"
                0 c 500000000 104857600
                0 d 750000000 16777216
                300 c 500000000 157286400
                300 d 750000000 16777216
                600 c 500000000 188743680
                600 d 750000000 16777216
            "#]],
        );
    }
}
