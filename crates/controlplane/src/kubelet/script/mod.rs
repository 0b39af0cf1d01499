//! What simulated pods are scripted to do: by annotations, and by the [`profile`] of their cluster.
//!
//! An annotation `simulated.apiary.io/<setting>` is for all app containers of a pod, and
//! `<container>.simulated.apiary.io/<setting>` for one container of any kind; the second counts before the first.
//!
//! | setting | meaning | default |
//! | --- | --- | --- |
//! | `start-delay` | until the pod's containers may run, e.g. `5s` | `0s` |
//! | `pull-time` | how long the image is on its way | it is there |
//! | `pull-error` | the image never comes; the text is the error | none, but for tags such as `404` |
//! | `ready-delay` | from running to ready | `0s` |
//! | `run-time` | until the container exits | what its command comes to |
//! | `exit-code` | what it exits with; at once, without `run-time` | what its command comes to |
//! | `failure-rate` | the share of its runs that fail, e.g. `5%`; which ones follows from the pod's uid | none |
//! | `oom-after` | until it has used up its memory | never |
//! | `stop-delay` | from being told to stop to its end | `0s` |
//! | `startup-fails`, `readiness-fails`, `liveness-fails` | when the probe fails, from the start on: `always`, `from 10s until 1m` | never, but for exec probes whose command is known to fail |
//! | `cpu`, `memory` | what it uses: `250m`, or `64Mi..1Gi in 10m` | a share of its requests |
//! | `log` | what it says each time it starts | one line that says that it is simulated |
//! | `http` | what its ports answer | one line that says that it is simulated |
//! | `missing-config` | `ignore`: it starts without the ConfigMaps and Secrets that it names | `wait` |
//!
//! Of a few commands, `exit 1` in a shell say, it is known how they end (see [`super::command`]). With any other command
//! init containers succeed at once, app containers of a Job's pod succeed after a second, those of other pods that are not
//! always restarted succeed at once, and all other containers run for ever.

mod end;
mod image;
pub mod profile;
mod settings;
mod source;
mod value;

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, Pod};

pub(super) use end::end;
pub use profile::Profile;
pub use settings::Settings;
pub use source::Source;
pub use value::{Ramp, Share, Window};

/// What scripting annotations are called, before their setting.
const DOMAIN: &str = "simulated.apiary.io";

/// Complaints about one pod; further ones are left out.
const MAX_COMPLAINTS: usize = 8;

/// What a container is to its pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Init,
    /// An init container that always restarts.
    Sidecar,
    App,
    Ephemeral,
}

/// What a pod is scripted to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Script {
    /// Settings of the pod as such.
    pub pod: Settings,
    containers: BTreeMap<String, Settings>,
    /// What is wrong with its annotations.
    pub complaints: Vec<String>,
}

impl Script {
    /// Reads what the pod and the profile say.
    #[must_use]
    pub fn of(pod: &Pod, profile: &Profile) -> Self {
        let mut script = Self::default();
        let all = containers(pod);
        let mut own: BTreeMap<String, Settings> = BTreeMap::new();
        let mut common = Settings::default();
        for (key, value) in pod.metadata.annotations.iter().flatten() {
            let Some((prefix, setting)) = key.split_once('/') else {
                continue;
            };
            let container = match prefix.strip_suffix(DOMAIN) {
                Some("") => None,
                Some(named) => match named.strip_suffix('.') {
                    Some(container) => Some(container),
                    None => continue,
                },
                None => continue,
            };
            let result = match container {
                None => common.set(setting, value),
                Some(name) if all.iter().any(|(_, c)| c.name == name) => {
                    own.entry(name.to_owned()).or_default().set(setting, value)
                }
                Some(name) => Err(format!("the pod has no container {name:?}")),
            };
            if let Err(why) = result
                && script.complaints.len() < MAX_COMPLAINTS
            {
                script.complaints.push(format!("annotation {key:?}: {why}"));
            }
        }
        for (role, container) in &all {
            let is_app = *role == Role::App;
            let mut settings = own.remove(&container.name).unwrap_or_default();
            if is_app {
                settings = settings.or(&common);
            }
            if let Some(more) = profile.settings(pod, container, is_app) {
                settings = settings.or(more);
            }
            if settings.pull_error.is_none() {
                let image = container.image.as_deref().unwrap_or_default();
                settings.pull_error = image::absent(image);
            }
            if is_app {
                // The first app container speaks for the pod where the pod's own annotations do not.
                common = common.or(&Settings {
                    start_delay: settings.start_delay,
                    ignores_missing_config: settings.ignores_missing_config,
                    ..Settings::default()
                });
            }
            script.containers.insert(container.name.clone(), settings);
        }
        script.pod = common;
        script
    }

    /// What a container is scripted to do.
    #[must_use]
    pub fn container(&self, name: &str) -> Settings {
        self.containers.get(name).cloned().unwrap_or_default()
    }
}

/// All containers of a pod, in the order of their lists.
pub(super) fn containers(pod: &Pod) -> Vec<(Role, Container)> {
    let Some(spec) = &pod.spec else {
        return vec![];
    };
    let init = spec.init_containers.iter().flatten().map(|container| {
        let is_sidecar = container.restart_policy.as_deref() == Some("Always");
        let role = if is_sidecar {
            Role::Sidecar
        } else {
            Role::Init
        };
        (role, container.clone())
    });
    let apps = spec.containers.iter().map(|c| (Role::App, c.clone()));
    let added = spec.ephemeral_containers.iter().flatten();
    // They have all fields of a container, and one more.
    let added = added.filter_map(|added| {
        let container = serde_json::to_value(added).ok()?;
        Some((Role::Ephemeral, serde_json::from_value(container).ok()?))
    });
    init.chain(apps).chain(added).collect()
}
