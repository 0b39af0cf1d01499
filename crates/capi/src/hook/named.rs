//! Handlers that a ClusterClass names: extensions that define variables, that change what a topology is rendered to, that check the
//! outcome, and that say over which versions an upgrade goes.
//!
//! They answer the same to the same request. So an answer is kept for [`FRESH`], unless the request or the ExtensionConfig changes; what
//! failed is asked again after [`RETRY`](super::RETRY).

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use api::runtime::ExtensionConfig;
use api::runtime::extension_config::{FailurePolicy, Handler};
use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt as _;
use kube::core::ObjectMeta;
use runtime::{Cx, GatherError, Selector};
use serde_json::{Value, json};

use super::{API_VERSION, Caller, DEFAULT_TIMEOUT, again, answer, is_for, labels_of};
use crate::names;

/// For so long an answer is good.
pub const FRESH: SignedDuration = SignedDuration::from_mins(10);
/// Bytes of answers that are kept, all together. Beyond it, extensions are asked each time.
const MAX_KEPT: usize = 64 << 20;

/// A hook whose handler a ClusterClass names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NamedHook {
    /// What changes in templates.
    GeneratePatches,
    /// Whether the outcome is good.
    ValidateTopology,
    /// Which variables a ClusterClass has.
    DiscoverVariables,
    /// Over which versions an upgrade goes.
    GenerateUpgradePlan,
}

impl NamedHook {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::GeneratePatches,
        Self::ValidateTopology,
        Self::DiscoverVariables,
        Self::GenerateUpgradePlan,
    ];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::GeneratePatches => "GeneratePatches",
            Self::ValidateTopology => "ValidateTopology",
            Self::DiscoverVariables => "DiscoverVariables",
            Self::GenerateUpgradePlan => "GenerateUpgradePlan",
        }
    }
}

/// What one handler is asked.
#[derive(Clone, Debug, PartialEq)]
pub struct NamedQuestion {
    pub hook: NamedHook,
    /// The patch of the class that names it; empty if something else does.
    pub patch: String,
    /// The handler: `<handler>.<ExtensionConfig>`.
    pub handler: String,
    /// What it is told besides the settings of its ExtensionConfig, and in their place.
    pub settings: BTreeMap<String, String>,
    /// What the request has besides.
    pub about: Value,
    /// What it has further, on which the answer does not depend.
    pub beside: Value,
}

/// Why there is no answer that could be used.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(test, derive(serde::Deserialize))]
pub struct Unanswered {
    /// Who, and why.
    pub why: String,
    /// When they are asked again.
    pub until: Timestamp,
}

impl NamedQuestion {
    /// That the answer cannot be used.
    #[must_use]
    pub fn unanswered(&self, why: &str, now: Timestamp) -> Unanswered {
        Unanswered {
            why: format!("{} {}: {why}", self.hook.name(), self.handler),
            until: again(now),
        }
    }

    fn request(&self, config: &ExtensionConfig) -> Value {
        let mut settings = config.spec.settings.clone().unwrap_or_default();
        settings.extend(self.settings.clone());
        let mut request = json!({
            "apiVersion": API_VERSION,
            "kind": format!("{}Request", self.hook.name()),
        });
        if !settings.is_empty() {
            request["settings"] = json!(settings);
        }
        for (name, value) in self.about.as_object().into_iter().flatten() {
            request[name] = value.clone();
        }
        request
    }

    /// The request as it is sent.
    fn whole(&self, mut request: Value) -> Value {
        for (name, value) in self.beside.as_object().into_iter().flatten() {
            request[name] = value.clone();
        }
        request
    }
}

impl Caller {
    /// What the handler says about an object, a Cluster or a ClusterClass.
    ///
    /// # Errors
    /// If ExtensionConfigs or Namespaces can't be read.
    pub async fn ask_named(
        &self,
        cx: &Cx,
        object: &ObjectMeta,
        question: &NamedQuestion,
    ) -> Result<Result<Value, Unanswered>, GatherError> {
        let failed = |why: &str| question.unanswered(why, cx.now());
        let configs: Vec<Arc<ExtensionConfig>> = cx.list(None, &Selector::all()).await?;
        let namespace = object.namespace.clone().unwrap_or_default();
        let labels = labels_of(cx, &namespace).await?;
        let found = configs.iter().filter(|config| is_for(config, &labels));
        let found = found.filter_map(|config| Some((config, handler(config, question)?)));
        let Some((config, handler)) = found.into_iter().next() else {
            let why = "no ExtensionConfig for this namespace has discovered such a handler";
            return Ok(Err(failed(why)));
        };
        let request = question.request(config);
        let key = Key {
            object: object.uid.clone().unwrap_or_default(),
            hook: question.hook,
            patch: question.patch.clone(),
        };
        let (uid, generation) = (config.uid(), config.metadata.generation);
        let about = json!([uid, generation, handler]).to_string();
        let state = names::hash(&[&about, &request.to_string()]);
        if let Some(kept) = self.named.recall(&key, state, cx.now()) {
            return Ok(kept);
        }
        let suffix = format!(".{}", config.name_any());
        let name = handler.name.strip_suffix(&suffix);
        let path = (question.hook.name(), name.unwrap_or(&handler.name));
        let seconds = handler.timeout_seconds.unwrap_or(DEFAULT_TIMEOUT);
        let request = question.whole(request);
        let answer = match self.call(cx, config, path, request, seconds).await {
            // Without its patches or variables a cluster would be something else; without a check it is what it is.
            Err(why)
                if handler.failure_policy == Some(FailurePolicy::Ignore)
                    && question.hook == NamedHook::ValidateTopology =>
            {
                tracing::info!(handler = handler.name, reason = %why, "going on without an extension");
                // Not kept: it is asked again in the next pass.
                return Ok(Ok(json!({})));
            }
            Err(why) => Err(failed(&why)),
            Ok(answer) => match answer::check(question.hook.name(), &answer) {
                Ok(()) => Ok(answer),
                Err(why) => Err(failed(&why)),
            },
        };
        self.named.keep(key, state, &answer, cx.now());
        Ok(answer)
    }
}

/// The handler of an extension that is asked, if it has it.
fn handler<'a>(config: &'a ExtensionConfig, question: &NamedQuestion) -> Option<&'a Handler> {
    let handlers = config.status.as_ref().and_then(|s| s.handlers.as_ref());
    handlers.into_iter().flatten().find(|handler| {
        let hook = &handler.request_hook;
        handler.name == question.handler
            && hook.hook == question.hook.name()
            && hook.api_version == API_VERSION
    })
}

/// What is asked about an object.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    object: String,
    hook: NamedHook,
    /// Of the class, each has its own settings.
    patch: String,
}

/// An answer, and what it is about.
#[derive(Debug)]
struct Entry {
    /// Hash of the request, of the handler and of where it is.
    state: u64,
    until: Timestamp,
    answer: Result<Value, Unanswered>,
    bytes: usize,
}

/// Answers that are still good.
#[derive(Debug, Default)]
pub(super) struct Kept(Mutex<HashMap<Key, Entry>>);

impl Kept {
    fn recall(&self, key: &Key, state: u64, now: Timestamp) -> Option<Result<Value, Unanswered>> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = kept.get(key)?;
        (entry.state == state && now < entry.until).then(|| entry.answer.clone())
    }

    fn keep(&self, key: Key, state: u64, answer: &Result<Value, Unanswered>, now: Timestamp) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|_, entry| now < entry.until);
        kept.remove(&key);
        let (until, bytes) = match answer {
            Ok(value) => {
                let until = now.checked_add(FRESH).unwrap_or(Timestamp::MAX);
                (until, value.to_string().len())
            }
            Err(unanswered) => (unanswered.until, unanswered.why.len()),
        };
        let all: usize = kept.values().map(|entry| entry.bytes).sum();
        if all + bytes <= MAX_KEPT {
            let entry = Entry {
                state,
                until,
                answer: answer.clone(),
                bytes,
            };
            kept.insert(key, entry);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_kept_while_they_are_good() {
        let kept = Kept::default();
        let key = |patch: &str| Key {
            object: "u1".to_owned(),
            hook: NamedHook::GeneratePatches,
            patch: patch.to_owned(),
        };
        let begin = Timestamp::UNIX_EPOCH;
        let (answer, second) = (Ok(json!({"items": []})), SignedDuration::from_secs(1));
        kept.keep(key("a"), 1, &answer, begin);
        assert_eq!(
            kept.recall(&key("a"), 1, begin + FRESH - second),
            Some(answer)
        );
        assert_eq!(kept.recall(&key("a"), 2, begin), None);
        assert_eq!(kept.recall(&key("b"), 1, begin), None);
        assert_eq!(kept.recall(&key("a"), 1, begin + FRESH), None);
        // What failed is asked again sooner.
        let until = again(begin);
        let why = "no answer".to_owned();
        kept.keep(key("a"), 1, &Err(Unanswered { why, until }), begin);
        assert!(
            kept.recall(&key("a"), 1, until - second)
                .is_some_and(|a| a.is_err())
        );
        assert_eq!(kept.recall(&key("a"), 1, until), None);
        // What has no room is asked for again, and what is too old makes room.
        let large = Ok(json!({"items": "x".repeat(MAX_KEPT / 2)}));
        kept.keep(key("b"), 1, &large, begin);
        kept.keep(key("c"), 1, &large, begin);
        assert!(kept.recall(&key("b"), 1, begin).is_some());
        assert_eq!(kept.recall(&key("c"), 1, begin), None);
        kept.keep(key("c"), 1, &large, begin + FRESH);
        assert!(kept.recall(&key("c"), 1, begin + FRESH).is_some());
    }
}
