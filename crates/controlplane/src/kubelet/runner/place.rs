//! What a program in a simulated container sees: environment variables and the files of mounted ConfigMaps.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, Client};
use serde_json::Value;

/// Surroundings of a program.
#[derive(Debug, Default)]
pub(super) struct Place {
    /// In the order of their names. Variables from Secrets are left out.
    pub env: BTreeMap<String, String>,
    /// Contents by path.
    pub files: BTreeMap<String, Vec<u8>>,
}

/// The ConfigMaps that were read, by name; those that are not there are empty.
struct Maps {
    api: Api<ConfigMap>,
    known: BTreeMap<String, ConfigMap>,
}

impl Maps {
    async fn get(&mut self, name: &str) -> ConfigMap {
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
        self.known.insert(name.to_owned(), map.clone());
        map
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
        place
            .env
            .insert("HOSTNAME".into(), text(&pod["metadata"]["name"]));
        let path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
        place.env.insert("PATH".into(), path.into());
        let spec = &pod["spec"];
        let all = ["containers", "initContainers", "ephemeralContainers"];
        let found = all.iter().flat_map(|list| items(&spec[list]));
        let Some(container) = found.into_iter().find(|c| c["name"] == container) else {
            return place;
        };
        for from in items(&container["envFrom"]) {
            let prefix = text(&from["prefix"]);
            let map = maps.get(&text(&from["configMapRef"]["name"])).await;
            for (key, value) in map.data.unwrap_or_default() {
                place.env.insert(format!("{prefix}{key}"), value);
            }
        }
        for variable in items(&container["env"]) {
            let from = &variable["valueFrom"];
            let value = if let Some(key) = from["configMapKeyRef"]["key"].as_str() {
                let map = maps.get(&text(&from["configMapKeyRef"]["name"])).await;
                map.data.unwrap_or_default().remove(key)
            } else if let Some(field) = from["fieldRef"]["fieldPath"].as_str() {
                let value = field.split('.').fold(pod, |value, member| &value[member]);
                value.as_str().map(str::to_owned)
            } else if from.is_null() {
                Some(text(&variable["value"]))
            } else {
                None
            };
            if let Some(value) = value {
                place.env.insert(text(&variable["name"]), value);
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
                place.mount(&mount, source, map);
            }
        }
        place
    }

    fn mount(&mut self, mount: &Value, source: &Value, map: ConfigMap) {
        let mut content: BTreeMap<String, Vec<u8>> = BTreeMap::new();
        content.extend(
            map.data
                .unwrap_or_default()
                .into_iter()
                .map(|(k, v)| (k, v.into_bytes())),
        );
        content.extend(
            map.binary_data
                .unwrap_or_default()
                .into_iter()
                .map(|(k, v)| (k, v.0)),
        );
        let named = items(&source["items"]);
        let files: Vec<(String, Vec<u8>)> = if named.is_empty() {
            content.into_iter().collect()
        } else {
            let one = |item: &Value| {
                let content = content.get(item["key"].as_str()?)?;
                Some((item["path"].as_str()?.to_owned(), content.clone()))
            };
            named.iter().filter_map(one).collect()
        };
        let root = mount["mountPath"]
            .as_str()
            .unwrap_or_default()
            .trim_end_matches('/');
        let only = mount["subPath"].as_str().filter(|path| !path.is_empty());
        for (path, content) in files {
            match only {
                Some(only) if only == path => self.files.insert(root.to_owned(), content),
                Some(_) => None,
                None => self.files.insert(format!("{root}/{path}"), content),
            };
        }
    }
}

fn items(list: &Value) -> Vec<Value> {
    list.as_array().cloned().unwrap_or_default()
}
