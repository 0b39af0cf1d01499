//! What changed in the cluster since the scheduler last looked.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use runtime::{Header, Listener};
use tokio::sync::Notify;

use super::snapshot::Labels;

/// Collects what changed; the listeners of the kinds write into it.
#[derive(Debug, Default)]
pub(super) struct Changes {
    news: Mutex<News>,
    pub(super) notify: Notify,
}

/// Everything that changed, each once.
#[derive(Debug, Default)]
pub(super) struct News {
    /// Namespace and name.
    pub(super) pods: BTreeSet<(String, String)>,
    pub(super) nodes: BTreeSet<String>,
    /// Labels; `None` of one that went.
    pub(super) namespaces: BTreeMap<String, Option<Labels>>,
    /// Volumes, claims or classes.
    pub(super) volumes: bool,
}

impl Changes {
    pub(super) fn take(&self) -> News {
        std::mem::take(&mut *self.news.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Which kind a listener hears of.
#[derive(Clone, Copy, Debug)]
pub(super) enum Of {
    Pods,
    Nodes,
    Namespaces,
    Volumes,
}

/// Hears of the changes of one kind.
#[derive(Debug)]
pub(super) struct Ear(pub(super) Arc<Changes>, pub(super) Of);

impl Listener for Ear {
    fn changed(&self, old: Option<&Header>, new: Option<&Header>) {
        let Some(header) = new.or(old) else { return };
        let mut news = self.0.news.lock().unwrap_or_else(PoisonError::into_inner);
        match self.1 {
            Of::Pods => {
                let key = (header.namespace.clone(), header.name.clone());
                news.pods.insert(key);
            }
            Of::Nodes => _ = news.nodes.insert(header.name.clone()),
            Of::Namespaces => {
                let labels = new.map(|header| header.labels.clone());
                news.namespaces.insert(header.name.clone(), labels);
            }
            Of::Volumes => news.volumes = true,
        }
        drop(news);
        self.0.notify.notify_one();
    }
}
