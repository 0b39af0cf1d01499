//! HTTP to webhooks: connections that are kept for the next call, requests, and what their answers mean.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use serde_json::Value;
use tokio::time::Instant;

use super::verify::Trust;
use super::{CallError, ClientConfig, MAX_ANSWER, Place, connect, posting, resolve, verify};
use crate::auth::Objects;

/// Webhooks whose TLS settings and connections are kept; the one that was unused longest goes.
const MAX_KEPT: usize = 256;
/// Idle connections to one webhook.
const MAX_IDLE: usize = 8;
/// An idle connection that is older is not used again.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// What of an answer that is no success is told.
const MAX_TOLD: usize = 512;

type Sender = SendRequest<Full<Bytes>>;

/// Calls webhooks, and keeps connections to them.
#[derive(Default)]
pub(super) struct Client {
    kept: Mutex<HashMap<ClientConfig, Kept>>,
}

/// What is kept for one `clientConfig`: another certificate bundle is another one.
struct Kept {
    tls: Arc<rustls::ClientConfig>,
    idle: Vec<(Sender, Instant)>,
    used: Instant,
}

impl Client {
    /// Posts a review.
    pub(super) async fn post(
        &self,
        objects: &dyn Objects,
        config: &ClientConfig,
        review: &Value,
        timeout: Duration,
    ) -> Result<Value, CallError> {
        let url = config.url()?;
        let failed = |why: String| posting(config, timeout, why);
        let body = Bytes::from(review.to_string());
        let seconds = timeout.as_millis().div_ceil(1000);
        let request = || {
            let mut target = url.path().to_owned();
            target.push_str(&format!("?timeout={seconds}s"));
            Request::post(target)
                .header(header::HOST, host(config, &url))
                .header(header::CONTENT_TYPE, "application/json")
                .header(header::ACCEPT, "application/json, */*")
                .header(header::USER_AGENT, "kube-apiserver-admission")
                .body(Full::new(body.clone()))
                .map_err(|error| failed(error.to_string()))
        };
        while let Some(mut sender) = self.take(config) {
            if sender.ready().await.is_err() {
                continue;
            }
            // The other side may have closed it while it was idle: then a new one is tried.
            match sender.send_request(request()?).await {
                Ok(response) => return self.finish(config, sender, response, &failed).await,
                Err(error)
                    if error.is_canceled()
                        || error.is_incomplete_message()
                        || error.is_closed() => {}
                Err(error) => return Err(failed(error.to_string())),
            }
        }
        let tls = self.tls(config).map_err(&failed)?;
        let target = match &config.place {
            Place::Service {
                namespace,
                name,
                port,
                ..
            } => resolve::resolve(objects, namespace, name, *port),
            _ => connect::target_of(&url),
        };
        let target = target.map_err(&failed)?;
        let mut sender = connect::open(target, &url, tls).await.map_err(&failed)?;
        let response = sender
            .send_request(request()?)
            .await
            .map_err(|error| failed(error.to_string()))?;
        self.finish(config, sender, response, &failed).await
    }

    async fn finish(
        &self,
        config: &ClientConfig,
        sender: Sender,
        response: Response<Incoming>,
        failed: &(impl Fn(String) -> CallError + Sync),
    ) -> Result<Value, CallError> {
        let code = response.status();
        let body = Limited::new(response.into_body(), MAX_ANSWER);
        let bytes = match body.collect().await {
            Ok(collected) => collected.to_bytes(),
            Err(error) if error.is::<LengthLimitError>() => {
                return Err(CallError::unanswered(format!(
                    "the answer is larger than {MAX_ANSWER} bytes"
                )));
            }
            Err(error) => return Err(failed(format!("reading the answer: {error}"))),
        };
        self.put(config, sender);
        if code != StatusCode::OK {
            return Err(CallError {
                why: unsuccessful(code, &bytes),
                code: code.as_u16(),
            });
        }
        serde_json::from_slice(&bytes).map_err(|error| {
            CallError::unanswered(format!(
                "couldn't get version/kind; json parse error: {error}"
            ))
        })
    }

    fn tls(&self, config: &ClientConfig) -> Result<Arc<rustls::ClientConfig>, String> {
        {
            let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(known) = kept.get(config) {
                return Ok(known.tls.clone());
            }
        }
        let tls = Arc::new(verify::tls(Trust::Bundle(&config.ca_bundle), None)?);
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= MAX_KEPT {
            let oldest = kept
                .iter()
                .min_by_key(|(_, k)| k.used)
                .map(|(c, _)| c.clone());
            if let Some(oldest) = oldest {
                kept.remove(&oldest);
            }
        }
        let known = kept.entry(config.clone()).or_insert_with(|| Kept {
            tls,
            idle: vec![],
            used: Instant::now(),
        });
        Ok(known.tls.clone())
    }

    /// An idle connection that may still work.
    fn take(&self, config: &ClientConfig) -> Option<Sender> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let known = kept.get_mut(config)?;
        let now = Instant::now();
        known.used = now;
        known
            .idle
            .retain(|(sender, since)| !sender.is_closed() && now - *since < IDLE_TIMEOUT);
        known.idle.pop().map(|(sender, _)| sender)
    }

    fn put(&self, config: &ClientConfig, sender: Sender) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = kept.get_mut(config)
            && known.idle.len() < MAX_IDLE
            && !sender.is_closed()
        {
            known.idle.push((sender, Instant::now()));
        }
    }
}

/// The `Host` header: a Service's with its port, a URL's as it is written.
fn host(config: &ClientConfig, url: &url::Url) -> String {
    let host = url.host_str().unwrap_or_default();
    let port = match &config.place {
        Place::Service { port, .. } => Some(*port),
        _ => url.port(),
    };
    match port {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

/// What an answer other than 200 means, in the words of Kubernetes' client.
fn unsuccessful(code: StatusCode, body: &[u8]) -> String {
    // A webhook may answer with a Status of its own.
    if let Ok(status) = serde_json::from_slice::<Value>(body)
        && status["kind"] == "Status"
        && let Some(message) = status["message"].as_str().filter(|m| !m.is_empty())
    {
        return cut(message);
    }
    match code.as_u16() {
        400 | 422 => "the server rejected our request for an unknown reason".into(),
        401 => "the server has asked for the client to provide credentials".into(),
        404 => "the server could not find the requested resource".into(),
        429 => "the server has received too many requests and has asked us to try again later".into(),
        503 => "the server is currently unable to handle the request".into(),
        504 => "the server was unable to return a response in the time allotted, but may still be processing the request".into(),
        500.. => {
            let text = String::from_utf8_lossy(body);
            let text = if text.trim().is_empty() { "unknown" } else { text.trim() };
            format!("an error on the server ({:?}) has prevented the request from succeeding", cut(text))
        }
        code => format!("the server responded with the status code {code} but did not return more information"),
    }
}

fn cut(text: &str) -> String {
    text.chars().take(MAX_TOLD).collect()
}
