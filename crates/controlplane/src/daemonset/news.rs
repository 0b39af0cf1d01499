//! Tells DaemonSets when a node comes, goes, or changes in what they ask of nodes. A heartbeat, or other news of a node's
//! status, wakes none of them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::mem;
use std::sync::{Arc, Mutex, PoisonError};

use k8s_openapi::api::core::v1::{Node, Taint};
use kube::core::ApiResource;
use runtime::{Cluster, Header, Listener, Signal};
use tokio::sync::Notify;

/// News of the nodes of one cluster. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct NodeNews(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    signal: Signal,
    /// Names of nodes of which something was heard: never more than there are, or were a moment ago.
    heard: Mutex<BTreeSet<String>>,
    ring: Notify,
}

/// What DaemonSets ask of a node.
#[derive(Debug, PartialEq)]
struct Facts {
    labels: BTreeMap<String, String>,
    taints: Vec<Taint>,
    is_cordoned: bool,
}

impl Facts {
    fn of(node: &Node) -> Self {
        let spec = node.spec.as_ref();
        Self {
            labels: node.metadata.labels.clone().unwrap_or_default(),
            taints: spec.and_then(|s| s.taints.clone()).unwrap_or_default(),
            is_cordoned: spec.and_then(|s| s.unschedulable) == Some(true),
        }
    }
}

impl Listener for Inner {
    fn changed(&self, old: Option<&Header>, new: Option<&Header>) {
        let Some(header) = new.or(old) else { return };
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.insert(header.name.clone());
        self.ring.notify_one();
    }
}

impl NodeNews {
    /// Notified when there is something to look at.
    pub(super) fn signal(&self) -> &Signal {
        &self.0.signal
    }

    /// Follows the nodes of the cluster, for ever.
    pub async fn run(self, cluster: Arc<Cluster>) {
        let resource = ApiResource::erase::<Node>(&());
        cluster.listen(&resource, Arc::<Inner>::clone(&self.0));
        let mut known: HashMap<String, Facts> = HashMap::new();
        loop {
            self.0.ring.notified().await;
            let heard = {
                let mut heard = self.0.heard.lock().unwrap_or_else(PoisonError::into_inner);
                mem::take(&mut *heard)
            };
            let mut is_news = false;
            for name in heard {
                let node = cluster.entry(&resource, "", &name).await;
                let node = node
                    .ok()
                    .flatten()
                    .and_then(|node| node.read::<Node>().ok());
                let facts = node.map(|node| Facts::of(&node));
                is_news |= known.get(&name) != facts.as_ref();
                match facts {
                    Some(facts) => known.insert(name, facts),
                    None => known.remove(&name),
                };
            }
            if is_news {
                self.0.signal.notify();
            }
        }
    }
}
