//! Hooks: what programs elsewhere, runtime extensions, are asked in the life of clusters.
//!
//! An ExtensionConfig says where an extension answers; its status says which hooks it has handlers for. All handlers of a hook are
//! asked, those whose ExtensionConfig selects the namespace of the Cluster; what they say becomes one [`Answer`]. Calls are made by
//! [`Caller`], for the gathering part of controllers: plans read answers. What held back or failed is remembered until it is time to
//! ask again, so that a Cluster whose objects change all the time is no burden to an extension.
//!
//! Handlers that a ClusterClass names, which change what a topology is rendered to, are asked as [`named`] says.
//!
//! Not here: hooks that plan upgrades, and those of updates in place. Extensions may have handlers for them; nobody
//! calls them, and the condition `Discovered` says so.

mod answer;
mod call;
mod discovery;
mod memory;
mod named;
mod place;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use api::cluster::Cluster;
use api::cluster::rules;
use api::runtime::ExtensionConfig;
use api::runtime::extension_config::{FailurePolicy, Handler};
use futures::StreamExt as _;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Namespace;
use kube::ResourceExt as _;
use runtime::{Cx, GatherError, Selector};
use serde_json::{Value, json};

pub use answer::Answer;
pub use discovery::discovered;
pub use named::{FRESH, NamedHook, NamedQuestion, Unanswered};
pub use place::{Extension, Extensions};

use answer::Said;
use memory::Memory;

/// Group and version of hooks.
pub const API_VERSION: &str = "hooks.runtime.cluster.x-k8s.io/v1alpha1";
/// Seconds that a call may take if its handler says nothing.
pub const DEFAULT_TIMEOUT: i32 = 10;
/// Seconds that a call may take at most.
pub const MAX_TIMEOUT: i32 = 30;
/// After this time an extension that could not be asked is asked again.
pub(crate) const RETRY: Duration = Duration::from_secs(30);
/// Handlers that are asked at once about one thing.
const CONCURRENCY: usize = 16;

/// A moment in the life of a Cluster with a topology.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(test, derive(serde::Deserialize))]
pub enum Hook {
    /// Nothing of it is there yet. Holds back.
    BeforeClusterCreate,
    /// Its control plane has answered for the first time.
    AfterControlPlaneInitialized,
    /// It has got another version. Holds back.
    BeforeClusterUpgrade,
    /// Its control plane is about to go to the next version. Holds back.
    BeforeControlPlaneUpgrade,
    /// Its control plane has come to a version. Holds back.
    AfterControlPlaneUpgrade,
    /// Its workers are about to go to the version of the control plane. Holds back.
    BeforeWorkersUpgrade,
    /// Its workers have come to the version of the control plane. Holds back.
    AfterWorkersUpgrade,
    /// All of it has come to its version. Holds back the next upgrade.
    AfterClusterUpgrade,
    /// It is about to be deleted. Holds back.
    BeforeClusterDelete,
}

impl Hook {
    /// Those that are called.
    pub const ALL: [Self; 9] = [
        Self::BeforeClusterCreate,
        Self::AfterControlPlaneInitialized,
        Self::BeforeClusterUpgrade,
        Self::BeforeControlPlaneUpgrade,
        Self::AfterControlPlaneUpgrade,
        Self::BeforeWorkersUpgrade,
        Self::AfterWorkersUpgrade,
        Self::AfterClusterUpgrade,
        Self::BeforeClusterDelete,
    ];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::BeforeClusterCreate => "BeforeClusterCreate",
            Self::AfterControlPlaneInitialized => "AfterControlPlaneInitialized",
            Self::BeforeClusterUpgrade => "BeforeClusterUpgrade",
            Self::BeforeControlPlaneUpgrade => "BeforeControlPlaneUpgrade",
            Self::AfterControlPlaneUpgrade => "AfterControlPlaneUpgrade",
            Self::BeforeWorkersUpgrade => "BeforeWorkersUpgrade",
            Self::AfterWorkersUpgrade => "AfterWorkersUpgrade",
            Self::AfterClusterUpgrade => "AfterClusterUpgrade",
            Self::BeforeClusterDelete => "BeforeClusterDelete",
        }
    }

    /// Whether an extension may ask to wait.
    #[must_use]
    pub fn holds_back(self) -> bool {
        self != Self::AfterControlPlaneInitialized
    }

    fn of(handler: &Handler) -> Option<Self> {
        let is_it = |hook: &Self| hook.name() == handler.request_hook.hook;
        let is_known = handler.request_hook.api_version == API_VERSION;
        Self::ALL.into_iter().find(is_it).filter(|_| is_known)
    }
}

/// A handler that is asked about the Clusters of a namespace.
#[derive(Clone, Debug)]
pub struct Registered {
    config: Arc<ExtensionConfig>,
    handler: Handler,
    /// What it is asked.
    pub hook: Hook,
}

/// What is asked about a Cluster.
#[derive(Clone, Debug, PartialEq)]
pub struct Question {
    pub hook: Hook,
    /// What the request has besides the Cluster and the settings.
    pub about: Value,
}

/// All handlers for the Clusters of a namespace, by name.
///
/// # Errors
/// If ExtensionConfigs or Namespaces can't be read.
pub async fn registered(cx: &Cx, namespace: &str) -> Result<Vec<Registered>, GatherError> {
    let configs: Vec<Arc<ExtensionConfig>> = cx.list(None, &Selector::all()).await?;
    if configs.is_empty() {
        return Ok(vec![]);
    }
    Ok(of_namespace(&configs, &labels_of(cx, namespace).await?))
}

/// The handlers for the Clusters of a namespace with these labels, by name.
fn of_namespace(
    configs: &[Arc<ExtensionConfig>],
    labels: &BTreeMap<String, String>,
) -> Vec<Registered> {
    let mut all = vec![];
    for config in configs.iter().filter(|config| is_for(config, labels)) {
        let handlers = config.status.as_ref().and_then(|s| s.handlers.as_ref());
        for handler in handlers.into_iter().flatten() {
            if let Some(hook) = Hook::of(handler) {
                let (config, handler) = (Arc::clone(config), handler.clone());
                all.push(Registered {
                    config,
                    handler,
                    hook,
                });
            }
        }
    }
    all.sort_by(|a, b| a.handler.name.cmp(&b.handler.name));
    all
}

/// Whether an extension is asked about the Clusters of a namespace with these labels.
fn is_for(config: &ExtensionConfig, labels: &BTreeMap<String, String>) -> bool {
    let selector = config.spec.namespace_selector.as_ref();
    let is_here = selector.is_none_or(|s| {
        // A selector that selects by nothing selects all namespaces.
        rules::is_empty_selector(s) || rules::selects(s, labels)
    });
    config.metadata.deletion_timestamp.is_none() && is_here
}

/// The labels of a namespace.
async fn labels_of(cx: &Cx, namespace: &str) -> Result<BTreeMap<String, String>, GatherError> {
    let found: Option<Arc<Namespace>> = cx.get("", namespace).await?;
    let labels = found.and_then(|n| n.metadata.labels.clone());
    Ok(labels.unwrap_or_default())
}

/// Asks extensions.
#[derive(Debug, Default)]
pub struct Caller {
    extensions: Extensions,
    memory: Memory,
    named: named::Kept,
}

impl Caller {
    /// Asks `extensions`, which are parts of this process, and those elsewhere.
    #[must_use]
    pub fn new(extensions: Extensions) -> Self {
        Self {
            extensions,
            memory: Memory::default(),
            named: named::Kept::default(),
        }
    }

    /// What all of `registered` that have to do with it say to a question about a Cluster.
    pub async fn ask(
        &self,
        cx: &Cx,
        cluster: &Cluster,
        registered: &[Registered],
        question: &Question,
    ) -> Answer {
        let asked = registered.iter().filter(|r| r.hook == question.hook);
        let asked: Vec<&Registered> = asked.collect();
        let about = memory::about(cluster, question, &asked);
        if let Some(answer) = self.memory.recall(&about, cx.now()) {
            return answer;
        }
        let mut calls = vec![];
        for handler in asked {
            calls.push(self.ask_one(cx, cluster, handler, question));
        }
        let said = futures::stream::iter(calls).buffered(CONCURRENCY);
        let said: Vec<(String, Result<Said, String>)> = said.collect().await;
        let answer = Answer::of(question.hook, said, cx.now());
        self.memory.keep(about, &answer, cx.now());
        answer
    }

    async fn ask_one(
        &self,
        cx: &Cx,
        cluster: &Cluster,
        registered: &Registered,
        question: &Question,
    ) -> (String, Result<Said, String>) {
        let Registered {
            config, handler, ..
        } = registered;
        let request = request(cluster, config, question);
        let name = question.hook.name();
        let suffix = format!(".{}", config.name_any());
        let path = (
            name,
            handler.name.strip_suffix(&suffix).unwrap_or(&handler.name),
        );
        let seconds = handler.timeout_seconds.unwrap_or(DEFAULT_TIMEOUT);
        let answer = self.call(cx, config, path, request, seconds).await;
        let said = match answer {
            Err(why) if handler.failure_policy == Some(FailurePolicy::Ignore) => {
                tracing::info!(handler = handler.name, reason = %why, "going on without an extension");
                Ok(Said::default())
            }
            Err(why) => Err(why),
            Ok(answer) => Said::read(question.hook, &answer),
        };
        (handler.name.clone(), said)
    }
}

/// When those who could not be asked are asked again.
fn again(now: Timestamp) -> Timestamp {
    now.checked_add(RETRY).unwrap_or(Timestamp::MAX)
}

/// A Cluster as extensions see it.
pub(crate) fn shown(cluster: &Cluster) -> Value {
    let mut cluster = json!(cluster);
    if let Some(metadata) = cluster["metadata"].as_object_mut() {
        // What only the server needs.
        metadata.remove("managedFields");
        if let Some(annotations) = metadata
            .get_mut("annotations")
            .and_then(Value::as_object_mut)
        {
            annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
        }
    }
    cluster
}

fn request(cluster: &Cluster, config: &ExtensionConfig, question: &Question) -> Value {
    let mut request = json!({
        "apiVersion": API_VERSION,
        "kind": format!("{}Request", question.hook.name()),
        "cluster": shown(cluster),
    });
    if let Some(settings) = config.spec.settings.as_ref().filter(|s| !s.is_empty()) {
        request["settings"] = json!(settings);
    }
    for (name, value) in question.about.as_object().into_iter().flatten() {
        request[name] = value.clone();
    }
    request
}
