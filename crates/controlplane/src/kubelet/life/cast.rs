//! All containers of a pod with their lives and scripts, and how long each takes to stop: pure.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, ContainerStatus, Pod};

use super::Life;
use crate::kubelet::command::{self, Run};
use crate::kubelet::script::{self, Role, Script, Settings};

/// One container of a pod.
pub(in crate::kubelet) struct Actor {
    pub role: Role,
    pub container: Container,
    pub settings: Settings,
    pub life: Life,
}

impl Actor {
    pub(in crate::kubelet) fn name(&self) -> &str {
        &self.container.name
    }

    pub(in crate::kubelet) fn image(&self) -> &str {
        self.container.image.as_deref().unwrap_or_default()
    }

    /// How long it takes from being told to stop to its end, if nobody loses patience: its hook, then what is scripted.
    pub(in crate::kubelet) fn stop_time(&self, pod: &Pod) -> Duration {
        let lifecycle = self.container.lifecycle.as_ref();
        let hook = lifecycle.and_then(|lifecycle| lifecycle.pre_stop.as_ref());
        let hook = hook.map_or(Duration::ZERO, |hook| {
            if let Some(sleep) = &hook.sleep {
                return Duration::from_secs(sleep.seconds.unsigned_abs());
            }
            let command = hook.exec.as_ref().and_then(|exec| exec.command.as_ref());
            match command.and_then(|command| command::beside(pod, &self.container, command)) {
                Some(Run::Exits { after, .. }) => after,
                Some(Run::Stays) => Duration::MAX,
                None => Duration::ZERO,
            }
        });
        hook.saturating_add(self.settings.stop_delay.unwrap_or_default())
    }
}

/// The containers of a pod, in the order of their lists.
pub(in crate::kubelet) fn cast(pod: &Pod, script: &Script) -> Vec<Actor> {
    let status = pod.status.as_ref();
    let find = |role: Role, name: &str| -> Option<&ContainerStatus> {
        let status = status?;
        let list = match role {
            Role::Init | Role::Sidecar => status.init_container_statuses.as_ref(),
            Role::App => status.container_statuses.as_ref(),
            Role::Ephemeral => status.ephemeral_container_statuses.as_ref(),
        };
        list?.iter().find(|status| status.name == name)
    };
    let all = script::containers(pod).into_iter();
    all.map(|(role, container)| Actor {
        life: Life::of(find(role, &container.name)),
        settings: script.container(&container.name),
        role,
        container,
    })
    .collect()
}
