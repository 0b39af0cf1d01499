//! Who serves which group version: APIServices, read again as a whole when one has changed.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::api::Api;
use super::remote::{Remote, RemoteSpec};
use super::{API_SERVICES, automatic};
use crate::discovery::{Priority, RemoteVersion, priority, version_entry};
use crate::resource::Resource;
use crate::store::ClusterStore;

/// Extension servers of one cluster; of further APIServices it is said that they are too many.
pub(super) const MAX_REMOTES: usize = 128;
/// The port of a reference to a Service that names none.
const DEFAULT_PORT: u16 = 443;

/// One consistent set of routes.
#[derive(Clone, Default)]
pub(crate) struct Routes {
    /// Of the APIServices that this was read from; `None` before it was read, and when it has to be read again.
    pub(super) revision: Option<u64>,
    /// Grows with every change.
    pub(super) generation: u64,
    /// By name of the APIService.
    pub(super) remotes: Vec<Arc<RemoteRoute>>,
    /// Names of APIServices for whose extension servers there is no room.
    pub(super) crowded: Vec<Box<str>>,
    /// Names of APIServices that want others to serve further versions of Kubernetes' own groups.
    pub(super) shadowing: Vec<Box<str>>,
    pub(super) in_process: Vec<(Priority, Arc<dyn Api>)>,
}

/// The way to an extension server.
pub(crate) struct RemoteRoute {
    pub(super) remote: Arc<Remote>,
    pub(super) priority: Priority,
    /// Whether the APIService says that it answers.
    pub(super) is_available: bool,
}

/// Who answers.
#[derive(Clone)]
pub(crate) enum Route {
    InProcess(Arc<dyn Api>),
    Remote(Arc<RemoteRoute>),
}

impl Routes {
    /// Reads the APIServices. Extension servers that were known before, and are the same, are taken over.
    pub(super) fn read(store: &ClusterStore, old: &Self, apis: &[Arc<dyn Api>]) -> Self {
        // Revision first: what changes while the list is read makes the next call read again.
        let revision = Some(store.revision_of(API_SERVICES));
        let mut routes = Self {
            revision,
            generation: old.generation + 1,
            ..Self::default()
        };
        for api in apis.iter().filter(|api| api.is_stand_in()) {
            routes.in_process.push((api.priority(), api.clone()));
        }
        if apis.is_empty() && store.is_shared(API_SERVICES) {
            return routes;
        }
        for object in store.list(API_SERVICES, None).objects {
            let (version, group) = object.header.name.split_once('.').unwrap_or_default();
            if priority::is_builtin(group) {
                let is_known = priority::builtin(group, version).is_some();
                if !is_known && object.value()["spec"]["service"].is_object() {
                    routes.shadowing.push(object.header.name.clone());
                }
                continue;
            }
            let served = apis.iter().rev().find(|api| is_of(&***api, group, version));
            if served.is_some_and(|api| api.is_stand_in()) {
                continue;
            }
            // Those of definitions are kept as they are, so they need not be looked into.
            if served.is_none() && object.header.label(automatic::LABEL) == Some(automatic::ALWAYS)
            {
                continue;
            }
            let value = object.value();
            if let Some(spec) = remote_spec(&object.header.name, &value["spec"]) {
                if routes.remotes.len() == MAX_REMOTES {
                    routes.crowded.push(object.header.name.clone());
                } else {
                    routes.add(spec, &value, old);
                }
            } else if let Some(api) = served {
                (routes.in_process).push((priorities(&value["spec"]), api.clone()));
            }
        }
        routes
    }

    fn add(&mut self, spec: RemoteSpec, value: &Value, old: &Self) {
        let known = old.remotes.iter().find(|r| r.remote.spec == spec);
        let remote = known.map_or_else(|| Arc::new(Remote::new(spec)), |r| r.remote.clone());
        self.remotes.push(Arc::new(RemoteRoute {
            remote,
            priority: priorities(&value["spec"]),
            is_available: is_available(value),
        }));
    }

    /// Who answers for a group version that is none of Kubernetes' own.
    pub(super) fn find(&self, group: &str, version: &str) -> Option<Route> {
        let is_meant = |r: &&Arc<RemoteRoute>| {
            let spec = &r.remote.spec;
            *spec.group == *group && *spec.version == *version
        };
        if let Some(remote) = self.remotes.iter().find(is_meant) {
            return Some(Route::Remote(remote.clone()));
        }
        let mut in_process = self.in_process.iter();
        let found = in_process.find(|(_, api)| is_of(&**api, group, version))?;
        Some(Route::InProcess(found.1.clone()))
    }

    pub(super) fn versions(&self) -> Vec<RemoteVersion> {
        let remotes = self.remotes.iter().map(|route| RemoteVersion {
            group: route.remote.spec.group.clone(),
            version: route.remote.spec.version.clone(),
            priority: route.priority,
            entry: route.remote.entry(route.is_available),
        });
        let in_process = self.in_process.iter().filter_map(|(priority, api)| {
            let mut resources: Vec<&Resource> = api.resources().iter().map(|r| &**r).collect();
            resources.sort_by(|a, b| a.plural.cmp(&b.plural));
            let first = resources.first()?;
            Some(RemoteVersion {
                group: first.group.clone(),
                version: first.version.clone(),
                priority: *priority,
                entry: Some(Arc::new(version_entry(&first.version, &resources))),
            })
        });
        remotes.chain(in_process).collect()
    }

    pub(super) fn resources(&self) -> Vec<Arc<Resource>> {
        let apis = self.in_process.iter();
        apis.flat_map(|(_, api)| api.resources()).cloned().collect()
    }
}

/// Group and version of an API.
pub(super) fn group_version(api: &dyn Api) -> Option<(&str, &str)> {
    let first = api.resources().first()?;
    Some((&first.group, &first.version))
}

fn is_of(api: &dyn Api, group: &str, version: &str) -> bool {
    group_version(api) == Some((group, version))
}

fn priorities(spec: &Value) -> Priority {
    let number = |field: &str| spec[field].as_i64().unwrap_or_default();
    Priority {
        group: number("groupPriorityMinimum"),
        version: number("versionPriority"),
    }
}

fn is_available(value: &Value) -> bool {
    let conditions = value["status"]["conditions"].as_array();
    let mut conditions = conditions.into_iter().flatten();
    conditions.any(|c| c["type"] == "Available" && c["status"] == "True")
}

/// `None` for an APIService that is served here.
fn remote_spec(name: &str, spec: &Value) -> Option<RemoteSpec> {
    let service = &spec["service"];
    if !service.is_object() {
        return None;
    }
    let text = |value: &Value| Box::from(value.as_str().unwrap_or_default());
    let bundle = spec["caBundle"].as_str().unwrap_or_default();
    let port = service["port"].as_u64().and_then(|p| p.try_into().ok());
    Some(RemoteSpec {
        name: name.into(),
        group: spec["group"].as_str().unwrap_or_default().into(),
        version: spec["version"].as_str().unwrap_or_default().into(),
        namespace: text(&service["namespace"]),
        service: text(&service["name"]),
        port: port.unwrap_or(DEFAULT_PORT),
        ca_bundle: STANDARD.decode(bundle).unwrap_or_default().into(),
        skips_verification: spec["insecureSkipTLSVerify"] == true,
    })
}
