//! Calls to webhooks: where they are (a URL, a Service, a part of this process), how they are reached, and what is read
//! of their answers. What is asked is the business of those who call: admission and the conversion of custom resources.

mod client;
pub(crate) mod connect;
mod handlers;
pub(crate) mod resolve;
pub(crate) mod verify;

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use url::Url;

pub use handlers::{Converter, Handler, Handlers};

use crate::auth::Objects;
use client::Client;

/// The largest answer that is read, in bytes.
const MAX_ANSWER: usize = 16 * 1024 * 1024;
/// The port of a Service reference that names none.
const DEFAULT_PORT: u16 = 443;

/// Where a webhook is: the `clientConfig` of configurations and definitions.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ClientConfig {
    place: Place,
    /// PEM; empty for the authorities that the machine trusts.
    ca_bundle: Arc<[u8]>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Place {
    Url(String),
    Service {
        namespace: String,
        name: String,
        port: u16,
        path: String,
    },
    /// Neither, or what validation would refuse.
    Nowhere,
}

/// Why a webhook could not be asked; in the words of Kubernetes' client.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub(crate) struct CallError {
    pub why: String,
    /// The HTTP status that it answered with, else that of a service that is not there.
    pub code: u16,
}

impl CallError {
    /// It did not answer, or with what is no answer.
    pub(crate) fn unanswered(why: impl Into<String>) -> Self {
        Self {
            why: why.into(),
            code: 503,
        }
    }
}

impl ClientConfig {
    /// Reads a decoded `clientConfig`.
    pub(crate) fn of(config: &Value) -> Self {
        let service = &config["service"];
        let text = |field: &str| service[field].as_str().unwrap_or_default().to_owned();
        let place = match config["url"].as_str() {
            Some(url) => Place::Url(url.into()),
            None if service.is_object() => Place::Service {
                namespace: text("namespace"),
                name: text("name"),
                port: service["port"]
                    .as_u64()
                    .and_then(|port| port.try_into().ok())
                    .unwrap_or(DEFAULT_PORT),
                path: text("path"),
            },
            None => Place::Nowhere,
        };
        let bundle = config["caBundle"].as_str().unwrap_or_default();
        Self {
            place,
            ca_bundle: STANDARD.decode(bundle).unwrap_or_default().into(),
        }
    }

    /// The URL that is called, without the timeout; also the name of the webhook in errors.
    fn url(&self) -> Result<Url, CallError> {
        let text = match &self.place {
            Place::Url(url) => url.clone(),
            Place::Service {
                namespace,
                name,
                port,
                path,
            } => {
                let slash = if path.starts_with('/') || path.is_empty() {
                    ""
                } else {
                    "/"
                };
                format!("https://{name}.{namespace}.svc:{port}{slash}{path}")
            }
            Place::Nowhere => {
                return Err(CallError::unanswered(
                    "webhook configuration must have either service or URL",
                ));
            }
        };
        let url = Url::parse(&text)
            .map_err(|error| CallError::unanswered(format!("Unparsable URL: {error}")))?;
        if url.scheme() != "https" || url.host().is_none() {
            return Err(CallError::unanswered(format!(
                "the URL of a webhook must be https://host[/path], not {text:?}"
            )));
        }
        Ok(url)
    }

    /// The URL as errors show it: with the port that a Service reference names, even if it is the default.
    fn shown(&self, timeout: Duration) -> String {
        let seconds = timeout.as_millis().div_ceil(1000);
        let base = match &self.place {
            Place::Service {
                namespace,
                name,
                port,
                path,
            } => format!("https://{name}.{namespace}.svc:{port}{path}"),
            Place::Url(url) => url.clone(),
            Place::Nowhere => String::new(),
        };
        format!("{base}?timeout={seconds}s")
    }
}

/// Calls the webhooks of one logical cluster.
pub(crate) struct Caller {
    cluster: Arc<str>,
    handlers: Handlers,
    client: Client,
}

impl Caller {
    pub(crate) fn new(cluster: &str, handlers: Handlers) -> Self {
        Self {
            cluster: cluster.into(),
            handlers,
            client: Client::default(),
        }
    }

    /// The part of this process that converts objects of a kind, if there is one.
    pub(crate) fn converter(&self, group: &str, kind: &str) -> Option<Arc<dyn Converter>> {
        self.handlers.converter(&self.cluster, group, kind)
    }

    /// Sends `review` and returns what came back.
    ///
    /// # Errors
    /// When nobody answers in time, the other side is not who it should be, or the answer is no success, no JSON or too
    /// large.
    pub(crate) async fn call(
        &self,
        objects: &dyn Objects,
        config: &ClientConfig,
        review: Value,
        timeout: Duration,
    ) -> Result<Value, CallError> {
        let asked = async {
            if let Place::Service {
                namespace,
                name,
                path,
                ..
            } = &config.place
                && let Some(handler) = self.handlers.find(&self.cluster, namespace, name, path)
            {
                return handler.answer(review).await.map_err(CallError::unanswered);
            }
            self.client.post(objects, config, &review, timeout).await
        };
        match tokio::time::timeout(timeout, asked).await {
            Ok(answer) => answer,
            Err(_) => Err(posting(config, timeout, "context deadline exceeded")),
        }
    }
}

/// `Post "https://…": why`.
fn posting(config: &ClientConfig, timeout: Duration, why: impl std::fmt::Display) -> CallError {
    CallError::unanswered(format!("Post {:?}: {why}", config.shown(timeout)))
}
