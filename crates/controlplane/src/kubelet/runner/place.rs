//! What a program in a simulated container sees: environment variables and the files of mounted ConfigMaps.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, Client};
use serde_json::Value;

/// Variables of a container, and its files; further ones are left out. A pod may mount one ConfigMap any number of times.
pub(super) const MAX_ENTRIES: usize = 10_000;

/// Surroundings of a program. What came from one key of a ConfigMap is there once, however often it is seen.
#[derive(Debug, Default)]
pub(super) struct Place {
    /// In the order of their names. Variables from Secrets are left out.
    pub env: BTreeMap<String, Bytes>,
    /// Contents by path.
    pub files: BTreeMap<String, Bytes>,
}

/// What a ConfigMap has, by key.
#[derive(Debug, Default)]
pub(super) struct Contents {
    texts: BTreeMap<String, Bytes>,
    binaries: BTreeMap<String, Bytes>,
}

impl Contents {
    pub(super) fn of(map: ConfigMap) -> Self {
        let texts = map.data.unwrap_or_default().into_iter();
        let binaries = map.binary_data.unwrap_or_default().into_iter();
        Self {
            texts: texts.map(|(key, text)| (key, text.into())).collect(),
            binaries: binaries.map(|(key, bytes)| (key, bytes.0.into())).collect(),
        }
    }

    /// What a file of this key has.
    fn file(&self, key: &str) -> Option<&Bytes> {
        self.binaries.get(key).or_else(|| self.texts.get(key))
    }
}

/// The ConfigMaps that were read, by name; those that are not there are empty.
struct Maps {
    api: Api<ConfigMap>,
    known: BTreeMap<String, Arc<Contents>>,
}

impl Maps {
    async fn get(&mut self, name: &str) -> Arc<Contents> {
        if let Some(known) = self.known.get(name) {
            return known.clone();
        }
        let map = match self.api.get_opt(name).await {
            Ok(map) => map.unwrap_or_default(),
            Err(error) => {
                tracing::debug!(name, %error, "a ConfigMap of a simulated container");
                ConfigMap::default()
            }
        };
        let contents = Arc::new(Contents::of(map));
        self.known.insert(name.to_owned(), contents.clone());
        contents
    }
}

impl Place {
    /// The surroundings in `container` of `pod`.
    pub(super) async fn of(client: &Client, pod: &Value, container: &str) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let namespace = text(&pod["metadata"]["namespace"]);
        let mut maps = Maps {
            api: Api::namespaced(client.clone(), &namespace),
            known: BTreeMap::new(),
        };
        let mut place = Self::default();
        let hostname = text(&pod["metadata"]["name"]);
        place.set("HOSTNAME".into(), hostname.into());
        let path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
        place.set("PATH".into(), path.into());
        let spec = &pod["spec"];
        let all = ["containers", "initContainers", "ephemeralContainers"];
        let found = all.iter().flat_map(|list| items(&spec[list]));
        let Some(container) = found.into_iter().find(|c| c["name"] == container) else {
            return place;
        };
        for from in items(&container["envFrom"]) {
            let prefix = text(&from["prefix"]);
            let map = maps.get(&text(&from["configMapRef"]["name"])).await;
            for (key, value) in &map.texts {
                place.set(format!("{prefix}{key}"), value.clone());
            }
        }
        for variable in items(&container["env"]) {
            let from = &variable["valueFrom"];
            let value = if let Some(key) = from["configMapKeyRef"]["key"].as_str() {
                let map = maps.get(&text(&from["configMapKeyRef"]["name"])).await;
                map.texts.get(key).cloned()
            } else if let Some(field) = from["fieldRef"]["fieldPath"].as_str() {
                let value = field.split('.').fold(pod, |value, member| &value[member]);
                value.as_str().map(|value| value.to_owned().into())
            } else if from.is_null() {
                Some(text(&variable["value"]).into())
            } else {
                None
            };
            if let Some(value) = value {
                place.set(text(&variable["name"]), value);
            }
        }
        for mount in items(&container["volumeMounts"]) {
            let volumes = items(&spec["volumes"]);
            let Some(volume) = volumes.iter().find(|v| v["name"] == mount["name"]) else {
                continue;
            };
            let source = &volume["configMap"];
            if source.is_object() {
                let map = maps.get(&text(&source["name"])).await;
                place.mount(&mount, source, &map);
            }
        }
        place
    }

    fn set(&mut self, name: String, value: Bytes) {
        insert(&mut self.env, name, value);
    }

    /// Puts the files of a ConfigMap where they are mounted.
    pub(super) fn mount(&mut self, mount: &Value, source: &Value, map: &Contents) {
        let root = mount["mountPath"]
            .as_str()
            .unwrap_or_default()
            .trim_end_matches('/');
        let only = mount["subPath"].as_str().filter(|path| !path.is_empty());
        let mut put = |path: &str, content: &Bytes| {
            let path = match only {
                Some(only) if only == path => root.to_owned(),
                Some(_) => return,
                None => format!("{root}/{path}"),
            };
            insert(&mut self.files, path, content.clone());
        };
        if let Some(named) = source["items"].as_array().filter(|named| !named.is_empty()) {
            for item in named {
                if let (Some(key), Some(path)) = (item["key"].as_str(), item["path"].as_str())
                    && let Some(content) = map.file(key)
                {
                    put(path, content);
                }
            }
            return;
        }
        for (key, content) in map.texts.iter().chain(&map.binaries) {
            put(key, content);
        }
    }
}

fn insert(all: &mut BTreeMap<String, Bytes>, name: String, value: Bytes) {
    if all.len() < MAX_ENTRIES || all.contains_key(&name) {
        all.insert(name, value);
    }
}

fn items(list: &Value) -> Vec<Value> {
    list.as_array().cloned().unwrap_or_default()
}
