//! The ConfigMaps and Secrets that a pod needs before its containers can start, and what is said while they are not there.
//!
//! They are read as the node, which may do so, once when the pod starts; a pod that waits is looked at again after 5 s, and
//! then ever more seldom. Keys are looked for where a pod names them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ConfigMap, Container, Pod, Secret};
use kube::{Api, Client};

use super::life::later;

/// A pod that waits is looked at again after this time, doubled each time up to [`MAX_PAUSE`].
const MIN_PAUSE: Duration = Duration::from_secs(5);
const MAX_PAUSE: Duration = Duration::from_secs(60);

/// Every namespace has it, and every pod mounts it: it is not looked for.
const ROOT_CA: &str = "kube-root-ca.crt";

/// What is not there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Missing {
    /// The first volume that cannot be mounted: what is said, and when to look again.
    pub volume: Option<(String, Timestamp)>,
    /// The same for containers whose environment cannot be made, by name.
    pub environments: BTreeMap<String, (String, Timestamp)>,
}

/// Of what kind an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    ConfigMap,
    Secret,
}

/// Who needs an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum User {
    Volume(String),
    Container(String),
}

/// An object that must be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Need {
    pub user: User,
    pub kind: Kind,
    pub name: String,
    /// Keys that it must have.
    pub keys: Vec<String>,
}

/// The keys of what is there.
pub(super) type There = BTreeMap<(Kind, String), BTreeSet<String>>;

/// How long to wait before looking again.
pub(super) fn pause(tries: u32) -> Duration {
    (MIN_PAUSE * 2_u32.pow(tries.min(8))).min(MAX_PAUSE)
}

/// What the pod needs; what is optional is not needed.
pub(super) fn needs(pod: &Pod) -> Vec<Need> {
    let mut needs = vec![];
    let Some(spec) = &pod.spec else {
        return needs;
    };
    for volume in spec.volumes.iter().flatten() {
        let mut add = |kind, name: Option<&String>, optional: Option<bool>, keys: Vec<String>| {
            let name = name.filter(|name| !name.is_empty() && *name != ROOT_CA);
            if let Some(name) = name.filter(|_| optional != Some(true)) {
                let user = User::Volume(volume.name.clone());
                let name = name.clone();
                needs.push(Need {
                    user,
                    kind,
                    name,
                    keys,
                });
            }
        };
        let keys = |items: Option<&Vec<k8s_openapi::api::core::v1::KeyToPath>>| {
            let items = items.into_iter().flatten();
            items.map(|item| item.key.clone()).collect::<Vec<_>>()
        };
        if let Some(map) = &volume.config_map {
            let name = Some(&map.name);
            add(
                Kind::ConfigMap,
                name,
                map.optional,
                keys(map.items.as_ref()),
            );
        }
        if let Some(secret) = &volume.secret {
            let name = secret.secret_name.as_ref();
            add(
                Kind::Secret,
                name,
                secret.optional,
                keys(secret.items.as_ref()),
            );
        }
        let projected = volume.projected.iter();
        for source in projected.flat_map(|projected| projected.sources.iter().flatten()) {
            if let Some(map) = &source.config_map {
                let name = Some(&map.name);
                add(
                    Kind::ConfigMap,
                    name,
                    map.optional,
                    keys(map.items.as_ref()),
                );
            }
            if let Some(secret) = &source.secret {
                let name = Some(&secret.name);
                add(
                    Kind::Secret,
                    name,
                    secret.optional,
                    keys(secret.items.as_ref()),
                );
            }
        }
    }
    let init = spec.init_containers.iter().flatten();
    for container in init.chain(&spec.containers) {
        of_container(container, &mut needs);
    }
    needs
}

fn of_container(container: &Container, needs: &mut Vec<Need>) {
    let mut add = |kind, name: &str, optional: Option<bool>, key: Option<&String>| {
        if optional != Some(true) && !name.is_empty() {
            needs.push(Need {
                user: User::Container(container.name.clone()),
                kind,
                name: name.to_owned(),
                keys: key.into_iter().cloned().collect(),
            });
        }
    };
    for from in container.env_from.iter().flatten() {
        if let Some(map) = &from.config_map_ref {
            add(Kind::ConfigMap, &map.name, map.optional, None);
        }
        if let Some(secret) = &from.secret_ref {
            add(Kind::Secret, &secret.name, secret.optional, None);
        }
    }
    let sources = container.env.iter().flatten();
    for source in sources.filter_map(|variable| variable.value_from.as_ref()) {
        if let Some(map) = &source.config_map_key_ref {
            add(Kind::ConfigMap, &map.name, map.optional, Some(&map.key));
        }
        if let Some(secret) = &source.secret_key_ref {
            add(
                Kind::Secret,
                &secret.name,
                secret.optional,
                Some(&secret.key),
            );
        }
    }
}

/// Reads what is there of what the pod needs. Who may not read an object, or cannot now, takes it to be there.
pub(super) async fn read(client: &Client, namespace: &str, needs: &[Need]) -> There {
    let mut there = There::new();
    let wanted: BTreeSet<(Kind, &str)> = needs.iter().map(|n| (n.kind, &*n.name)).collect();
    for (kind, name) in wanted {
        let keys = match kind {
            Kind::ConfigMap => {
                let maps: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
                maps.get_opt(name).await.map(|map| {
                    map.map(|map| {
                        let texts = map.data.unwrap_or_default().into_keys();
                        texts
                            .chain(map.binary_data.unwrap_or_default().into_keys())
                            .collect()
                    })
                })
            }
            Kind::Secret => {
                let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
                let read = secrets.get_opt(name).await;
                read.map(|secret| {
                    secret.map(|secret| secret.data.unwrap_or_default().into_keys().collect())
                })
            }
        };
        match keys {
            Ok(Some(keys)) => {
                there.insert((kind, name.to_owned()), keys);
            }
            Ok(None) => {}
            Err(error) => {
                tracing::debug!(namespace, name, %error, "reading what a simulated pod needs");
                let needed = needs.iter().filter(|n| n.kind == kind && n.name == name);
                let keys = needed.flat_map(|need| need.keys.iter().cloned()).collect();
                there.insert((kind, name.to_owned()), keys);
            }
        }
    }
    there
}

/// What is missing of the needs; looked at again at `again`.
pub(super) fn missing(namespace: &str, needs: &[Need], there: &There, again: Timestamp) -> Missing {
    let mut missing = Missing::default();
    for need in needs {
        let Some(why) = why(namespace, need, there) else {
            continue;
        };
        match &need.user {
            User::Volume(volume) => {
                let words = format!("MountVolume.SetUp failed for volume \"{volume}\" : {why}");
                missing.volume.get_or_insert((words, again));
            }
            User::Container(name) => {
                let entry = missing.environments.entry(name.clone());
                entry.or_insert((why, again));
            }
        }
    }
    missing
}

/// When to look again.
pub(super) fn again(now: Timestamp, tries: u32) -> Timestamp {
    later(now, pause(tries))
}

fn why(namespace: &str, need: &Need, there: &There) -> Option<String> {
    let Need { user, name, .. } = need;
    let (lower, upper) = match need.kind {
        Kind::ConfigMap => ("configmap", "ConfigMap"),
        Kind::Secret => ("secret", "Secret"),
    };
    let Some(keys) = there.get(&(need.kind, name.clone())) else {
        return Some(format!("{lower} \"{name}\" not found"));
    };
    let key = need.keys.iter().find(|key| !keys.contains(*key))?;
    Some(match user {
        User::Volume(_) => format!("{lower} references non-existent config key: {key}"),
        User::Container(_) => format!("couldn't find key {key} in {upper} {namespace}/{name}"),
    })
}
