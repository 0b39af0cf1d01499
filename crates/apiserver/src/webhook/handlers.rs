//! Webhooks that are parts of this process.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use serde_json::Value;

/// A webhook inside this process: what an HTTP server behind a Service is elsewhere.
#[async_trait::async_trait]
pub trait Handler: Send + Sync {
    /// Answers a review (`AdmissionReview`, `ConversionReview`) with one of the same kind that has a `response`.
    ///
    /// # Errors
    /// Why there is no answer, in words; the caller sees it as a failed call.
    async fn answer(&self, review: Value) -> Result<Value, String>;
}

/// Converts objects of one kind between its versions, inside this process: what a conversion webhook does elsewhere.
pub trait Converter: Send + Sync {
    /// `object` at `api_version` (`example.com/v2`), which is not the one it has. Kind, name, namespace and uid stay; of
    /// the rest of the metadata, only labels and annotations count.
    ///
    /// # Errors
    /// Why the object cannot be converted, in words.
    fn convert(&self, object: Value, api_version: &str) -> Result<Value, String>;
}

/// Cluster, namespace, name and path of a Service reference.
type Address = (Arc<str>, Arc<str>, Arc<str>, Arc<str>);

/// Cluster, group and kind.
type Kind = (Arc<str>, Arc<str>, Arc<str>);

#[derive(Default)]
struct Registered {
    converters: HashMap<Kind, Arc<dyn Converter>>,
    handlers: HashMap<Address, Arc<dyn Handler>>,
}

/// The webhooks of a server that are parts of its process. Clones are the same; those that are added later count at once.
#[derive(Clone, Default)]
pub struct Handlers(Arc<RwLock<Registered>>);

impl Handlers {
    /// In logical cluster `cluster`, calls to `path` of the Service `namespace`/`name` are answered by `handler`, whether
    /// or not there is such a Service, and without TLS.
    pub fn serve(
        &self,
        cluster: &str,
        (namespace, name, path): (&str, &str, &str),
        handler: Arc<dyn Handler>,
    ) {
        let address = (cluster.into(), namespace.into(), name.into(), path.into());
        let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
        all.handlers.insert(address, handler);
    }

    /// In logical cluster `cluster`, objects of the custom kind `kind` of `group` are converted by `converter`, whatever
    /// the `spec.conversion` of their definition says.
    pub fn convert(&self, cluster: &str, group: &str, kind: &str, converter: Arc<dyn Converter>) {
        let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let kind = (cluster.into(), group.into(), kind.into());
        all.converters.insert(kind, converter);
    }

    pub(super) fn converter(
        &self,
        cluster: &str,
        group: &str,
        kind: &str,
    ) -> Option<Arc<dyn Converter>> {
        let all = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if all.converters.is_empty() {
            return None;
        }
        let kind = (cluster.into(), group.into(), kind.into());
        all.converters.get(&kind).cloned()
    }

    pub(super) fn find(
        &self,
        cluster: &str,
        namespace: &str,
        name: &str,
        path: &str,
    ) -> Option<Arc<dyn Handler>> {
        let all = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if all.handlers.is_empty() {
            return None;
        }
        let address = (cluster.into(), namespace.into(), name.into(), path.into());
        all.handlers.get(&address).cloned()
    }
}

impl fmt::Debug for Handlers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = self.0.read().unwrap_or_else(PoisonError::into_inner);
        f.debug_struct("Handlers")
            .field("handlers", &all.handlers.keys())
            .field("converters", &all.converters.keys())
            .finish()
    }
}
