//! What extensions answered lately, so that they are not asked again before it is time.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use api::cluster::Cluster;
use jiff::Timestamp;
use kube::ResourceExt as _;
use serde_json::json;

use super::{Answer, Hook, Question, Registered};

/// Answers that are remembered. Beyond it, what is asked is not remembered.
const MAX: usize = 10_000;

/// What an answer is about: when something of it changes, there is a reason to ask again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct About {
    cluster: String,
    hook: Hook,
    /// The Cluster's generation, what is asked besides, and the handlers and their generations.
    state: String,
}

/// What [`Caller::ask`](super::Caller::ask) is about.
pub(super) fn about(cluster: &Cluster, question: &Question, asked: &[&Registered]) -> About {
    let handlers = asked.iter().map(|r| {
        let uid = r.config.uid();
        json!([uid, r.config.metadata.generation, r.handler])
    });
    let handlers: Vec<_> = handlers.collect();
    let generation = cluster.metadata.generation;
    About {
        cluster: cluster.uid().unwrap_or_default(),
        hook: question.hook,
        state: json!([generation, question.about, handlers]).to_string(),
    }
}

#[derive(Debug, Default)]
pub(super) struct Memory(Mutex<HashMap<(String, Hook), (String, Answer)>>);

impl Memory {
    /// What was answered, if it is not yet time to ask again.
    pub(super) fn recall(&self, about: &About, now: Timestamp) -> Option<Answer> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (state, answer) = kept.get(&(about.cluster.clone(), about.hook))?;
        let (_, until) = answer.obstacle()?;
        (*state == about.state && now < until).then(|| answer.clone())
    }

    /// Keeps an answer that is good for some time; forgets those whose time is over.
    pub(super) fn keep(&self, about: About, answer: &Answer, now: Timestamp) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|_, (_, answer)| answer.obstacle().is_some_and(|(_, until)| now < until));
        let key = (about.cluster, about.hook);
        if answer.obstacle().is_some() && kept.len() < MAX {
            kept.insert(key, (about.state, answer.clone()));
        } else {
            kept.remove(&key);
        }
    }
}
