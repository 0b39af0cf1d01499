//! What a server serves, asked once per group and forgotten when a definition or an APIService of the group changes.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{APIGroup, APIGroupList, APIResourceList};
use kube::Client;
use kube::core::ApiResource;
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use crate::chain;
use crate::changes::{Changes, Counter};
use crate::cluster::ClusterOptions;
use crate::shared::Shared;

/// How long an answer is believed when nothing changes that says what is served: an extension server may serve other kinds than
/// before, and nobody tells.
const BELIEVED: Duration = Duration::from_secs(600);
/// How long it is believed that a group does not exist.
const BELIEVED_ABSENT: Duration = Duration::from_secs(30);

/// One kind as served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Served {
    pub resource: ApiResource,
    pub is_namespaced: bool,
    pub verbs: Vec<String>,
}

impl Served {
    /// Whether the server offers a verb for this kind.
    #[must_use]
    pub fn has_verb(&self, verb: &str) -> bool {
        self.verbs.iter().any(|v| v == verb)
    }
}

/// What a server serves, as far as it can say.
#[derive(Clone, Debug, Default)]
pub struct AllServed {
    /// Kinds, preferred versions only.
    pub kinds: Vec<Served>,
    /// Groups that could not say what they serve, and why: those of extension servers that don't answer.
    pub failures: Vec<String>,
}

/// When a group was asked for, and its kinds.
type Answer = (Instant, Arc<Vec<Served>>);

pub(crate) struct Discovery {
    client: Client,
    timeout: Duration,
    shared: Option<Shared>,
    groups: Mutex<HashMap<String, Answer>>,
    /// Counts the changes of definitions and APIServices.
    changes: Counter,
    is_following: AtomicBool,
}

impl Discovery {
    pub(crate) fn new(client: Client, options: &ClusterOptions) -> Self {
        Self {
            client,
            timeout: options.request_timeout,
            shared: options.shared.clone(),
            groups: Mutex::default(),
            changes: Counter::default(),
            is_following: AtomicBool::new(false),
        }
    }

    /// Hears of changes of definitions and APIServices.
    pub(crate) fn changes(&self) -> Changes {
        self.changes.subscribe()
    }

    /// Whether the caller is the first, and so has to start to follow definitions.
    pub(crate) fn start_following(&self) -> bool {
        !self.is_following.swap(true, Ordering::AcqRel)
    }

    /// A definition or an APIService of this group changed.
    pub(crate) fn forget(&self, group: &str) {
        let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        groups.remove(group);
        // Counted under the lock, so that nobody keeps an answer from before.
        self.changes.add();
    }

    /// The kinds of a group, in all versions, the preferred version first. Empty if there is no such group.
    pub(crate) async fn group(&self, group: &str) -> Result<Arc<Vec<Served>>, kube::Error> {
        let known = {
            let groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
            groups.get(group).cloned()
        };
        if let Some((asked, served)) = known {
            let age_max = if served.is_empty() {
                BELIEVED_ABSENT
            } else {
                BELIEVED
            };
            if asked.elapsed() < age_max {
                return Ok(served);
            }
        }
        let before = self.changes.count();
        let versions = if group.is_empty() {
            vec!["v1".to_owned()]
        } else {
            let found: Option<APIGroup> = self.get(&format!("/apis/{group}")).await?;
            found.iter().flat_map(versions).collect()
        };
        let mut served = vec![];
        for version in versions {
            let path = if group.is_empty() {
                format!("/api/{version}")
            } else {
                format!("/apis/{version}")
            };
            let list: Option<APIResourceList> = self.get(&path).await?;
            served.extend(list.iter().flat_map(|list| kinds(group, list)));
        }
        let served = match &self.shared {
            Some(shared) => shared.kinds(served),
            None => Arc::new(served),
        };
        let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        // What changed while we asked has to be asked for again.
        if self.changes.count() == before {
            groups.insert(group.to_owned(), (Instant::now(), Arc::clone(&served)));
        }
        drop(groups);
        Ok(served)
    }

    /// All kinds of all groups, each in its preferred version.
    pub(crate) async fn all(&self) -> Result<AllServed, kube::Error> {
        let groups: Option<APIGroupList> = self.get("/apis").await?;
        let names = groups
            .into_iter()
            .flat_map(|list| list.groups)
            .map(|group| group.name);
        let mut all = AllServed::default();
        for group in std::iter::once(String::new()).chain(names) {
            let served = match self.group(&group).await {
                Ok(served) => served,
                // Without the core group the server itself doesn't answer.
                Err(error) if group.is_empty() => return Err(error),
                Err(error) => {
                    all.failures.push(format!("{group}: {}", chain(&error)));
                    continue;
                }
            };
            for served in served.iter() {
                let is_known = |s: &Served| {
                    s.resource.group == group && s.resource.plural == served.resource.plural
                };
                if !all.kinds.iter().any(is_known) {
                    all.kinds.push(served.clone());
                }
            }
        }
        Ok(all)
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<Option<T>, kube::Error> {
        let request = http::Request::get(path)
            .body(vec![])
            .map_err(kube::Error::HttpError)?;
        match tokio::time::timeout(self.timeout, self.client.request(request)).await {
            Ok(Ok(answer)) => Ok(Some(answer)),
            Ok(Err(kube::Error::Api(status))) if status.code == 404 => Ok(None),
            Ok(Err(error)) => Err(error),
            Err(elapsed) => Err(kube::Error::Service(Box::new(elapsed))),
        }
    }
}

/// The group's apiVersions, the preferred one first.
fn versions(group: &APIGroup) -> Vec<String> {
    let preferred = group
        .preferred_version
        .iter()
        .map(|v| v.group_version.clone());
    let mut versions: Vec<String> = preferred.collect();
    for version in &group.versions {
        if !versions.contains(&version.group_version) {
            versions.push(version.group_version.clone());
        }
    }
    versions
}

fn kinds<'a>(group: &'a str, list: &'a APIResourceList) -> impl Iterator<Item = Served> + 'a {
    let version = list.group_version.rsplit('/').next().unwrap_or_default();
    let resources = list.resources.iter().filter(|r| !r.name.contains('/'));
    resources.map(move |r| Served {
        resource: ApiResource {
            group: group.to_owned(),
            version: version.to_owned(),
            api_version: list.group_version.clone(),
            kind: r.kind.clone(),
            plural: r.name.clone(),
        },
        is_namespaced: r.namespaced,
        verbs: r.verbs.clone(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::testing::Api;
    use crate::{Clock, Cluster, ClusterOptions};

    #[tokio::test(start_paused = true)]
    async fn a_group_that_cannot_say_what_it_serves_is_told_of() {
        let api = Api::default();
        let options = ClusterOptions::default();
        let cluster = Cluster::new(api.client(), Clock::system(), options);
        api.hang(Some("/apis/test.io/v1"));
        let served = cluster.all_served().await.unwrap();
        assert_eq!(
            served.failures,
            ["test.io: ServiceError: deadline has elapsed"]
        );
        let kinds: Vec<&str> = served.kinds.iter().map(|s| &*s.resource.plural).collect();
        assert!(
            kinds.contains(&"pods") && !kinds.contains(&"things"),
            "{kinds:?}"
        );
        // It is asked again at once, and not believed to serve nothing.
        api.hang(None);
        let served = cluster.all_served().await.unwrap();
        assert!(served.failures.is_empty());
        assert!(served.kinds.iter().any(|s| s.resource.plural == "things"));
    }

    #[tokio::test(start_paused = true)]
    async fn new_groups_of_extension_servers_are_heard_of() {
        let api = Api::default();
        let options = ClusterOptions::default();
        let cluster = Cluster::new(api.client(), Clock::system(), options);
        api.unserve("things", true);
        let mut changes = cluster.kinds_changed();
        assert_eq!(
            cluster.served("test.io", None, "Thing").await.unwrap(),
            None
        );
        // Those of Kubernetes itself say nothing new.
        let api_services = "apiregistration.k8s.io/v1/apiservices";
        api.put(api_services, json!({"metadata": {"name": "v1.apps"}}));
        api.unserve("things", false);
        api.put(api_services, json!({"metadata": {"name": "v1.test.io"}}));
        changes.changed().await;
        assert!(
            cluster
                .served("test.io", None, "Thing")
                .await
                .unwrap()
                .is_some()
        );
    }
}
