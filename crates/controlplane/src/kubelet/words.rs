//! What is said of pods, in Kubernetes' words.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;

use super::life::probe::Kind;
use super::script::Role;

/// Where in the pod a container is, as events say it.
pub(super) fn field(role: Role, container: &str) -> String {
    let list = match role {
        Role::Init | Role::Sidecar => "initContainers",
        Role::App => "containers",
        Role::Ephemeral => "ephemeralContainers",
    };
    format!("spec.{list}{{{container}}}")
}

/// `name_namespace(uid)`.
pub(super) fn pod(pod: &Pod) -> String {
    let text = |field: &Option<String>| field.clone().unwrap_or_default();
    let meta = &pod.metadata;
    format!(
        "{}_{}({})",
        text(&meta.name),
        text(&meta.namespace),
        text(&meta.uid)
    )
}

/// Of an image that is there.
pub(super) fn present(image: &str) -> String {
    format!("Container image \"{image}\" already present on machine (simulated)")
}

/// Of an image that came.
pub(super) fn pulled(image: &str, time: Duration) -> String {
    let time = go_duration(time);
    format!(
        "Successfully pulled image \"{image}\" in {time} ({time} including waiting). Image size: 0 bytes. (simulated)"
    )
}

/// Of an image that did not come, a while later.
pub(super) fn pull_back_off(image: &str, error: &str) -> String {
    format!("Back-off pulling image \"{image}\": ErrImagePull: {error}")
}

/// Of a container that failed a probe.
pub(super) fn killed(container: &str, kind: Kind, is_again: bool) -> String {
    let probe = kind.word().to_lowercase();
    let then = if is_again { ", will be restarted" } else { "" };
    format!("Container {container} failed {probe} probe{then}")
}

/// What a container that waits to be restarted says.
pub(super) fn back_off(of: &Pod, container: &str, time: Duration) -> String {
    format!(
        "back-off {} restarting failed container={container} pod={}",
        go_duration(time),
        pod(of)
    )
}

/// A duration as Go writes it: `10s`, `1m20s`, `1h0m5s`.
fn go_duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let millis = duration.subsec_millis();
    let rest = if millis == 0 {
        format!("{}s", seconds % 60)
    } else {
        format!("{}.{millis:03}s", seconds % 60)
    };
    match (seconds / 3600, seconds / 60 % 60) {
        (0, 0) if seconds == 0 && millis > 0 => format!("{millis}ms"),
        (0, 0) => rest,
        (0, minutes) => format!("{minutes}m{rest}"),
        (hours, minutes) => format!("{hours}h{minutes}m{rest}"),
    }
}
