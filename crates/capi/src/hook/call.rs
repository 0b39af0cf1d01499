//! One call: a request to an extension, and what came back.

use std::time::Duration;

use api::runtime::ExtensionConfig;
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, StatusCode};
use runtime::Cx;
use serde_json::Value;

use super::answer::told;
use super::place::{Place, place};
use super::{API_VERSION, Caller, MAX_TIMEOUT};

/// Bytes of an answer.
const MAX_ANSWER: usize = 4 << 20;
/// Bytes of an answer that is no success; only its beginning is told.
const MAX_REFUSAL: usize = 64 << 10;

impl Caller {
    /// Sends `request` about a hook to a handler (empty for discovery) and returns what came back, a JSON value.
    ///
    /// # Errors
    /// In words, when nobody answers within `seconds`, the other side is not who it should be, or the answer is no success, no JSON or
    /// too large.
    pub(super) async fn call(
        &self,
        cx: &Cx,
        config: &ExtensionConfig,
        (hook, handler): (&str, &str),
        request: Value,
        seconds: i32,
    ) -> Result<Value, String> {
        let seconds = seconds.clamp(1, MAX_TIMEOUT);
        let timeout = Duration::from_secs(u64::from(seconds.unsigned_abs()));
        let service = config.spec.client_config.service.as_ref();
        let inside = service.and_then(|s| self.extensions.find(s));
        let called = async {
            if let Some(extension) = inside {
                return extension.answer(handler, request).await;
            }
            let place = place(cx, config).await?;
            let bundle = config.spec.client_config.ca_bundle.as_ref();
            let bundle = bundle.map_or(&[] as &[u8], |b| &b.0);
            send(&place, bundle, &path(hook, handler), (&request, seconds)).await
        };
        match tokio::time::timeout(timeout, called).await {
            Ok(answer) => answer,
            Err(_) => Err(format!("no answer within {seconds} s")),
        }
    }
}

/// Sends a request to an extension elsewhere, and says what came back.
pub(super) async fn send(
    place: &Place,
    bundle: &[u8],
    path: &str,
    (request, seconds): (&Value, i32),
) -> Result<Value, String> {
    let client = client(place, bundle)?;
    let url = format!("{}/{path}", place.base);
    let sent = post(&client, &format!("{url}?timeout={seconds}s"), request).await;
    sent.map_err(|why| format!("POST {url}: {why}"))
}

/// The path of a handler below the extension's.
pub(super) fn path(hook: &str, handler: &str) -> String {
    let hook = hook.to_lowercase();
    let slash = if handler.is_empty() { "" } else { "/" };
    format!("{API_VERSION}/{hook}{slash}{handler}")
}

/// A client for one call: settings change with the ExtensionConfig, and calls are rare.
fn client(place: &Place, bundle: &[u8]) -> Result<Client, String> {
    let mut builder = Client::builder()
        .https_only(true)
        .http1_only()
        // Where an extension is stands in its ExtensionConfig: neither the extension nor the environment leads elsewhere.
        .redirect(Policy::none())
        .no_proxy()
        .user_agent(concat!("apiary/", env!("CARGO_PKG_VERSION")));
    if !bundle.is_empty() {
        let certificates = Certificate::from_pem_bundle(bundle);
        let certificates = certificates
            .map_err(|e| runtime::chain(&e))
            .and_then(|all| {
                let why = "it has no certificate";
                if all.is_empty() {
                    Err(why.to_owned())
                } else {
                    Ok(all)
                }
            });
        let certificates = certificates
            .map_err(|why| format!("spec.clientConfig.caBundle cannot be used: {why}"))?;
        builder = builder.tls_certs_only(certificates);
    }
    if let Some((host, addresses)) = &place.dialled {
        builder = builder.resolve_to_addrs(host, addresses);
    }
    let failed =
        |error: reqwest::Error| format!("a client cannot be made: {}", runtime::chain(&error));
    builder.build().map_err(failed)
}

async fn post(client: &Client, url: &str, request: &Value) -> Result<Value, String> {
    let failed = |error: reqwest::Error| runtime::chain(&error.without_url());
    let post = client
        .post(url)
        .header("content-type", "application/json")
        .header("accept", "application/json")
        .body(request.to_string());
    let mut response = post.send().await.map_err(failed)?;
    let status = response.status();
    let max = if status == StatusCode::OK {
        MAX_ANSWER
    } else {
        MAX_REFUSAL
    };
    let mut bytes = vec![];
    while let Some(chunk) = response.chunk().await.map_err(failed)? {
        if bytes.len() + chunk.len() > max {
            return Err(format!("the answer, {status}, has more than {max} bytes"));
        }
        bytes.extend_from_slice(&chunk);
    }
    if status.is_redirection() {
        return Err(format!(
            "the answer is {status}, and redirects are not followed; spec.clientConfig must name the place itself"
        ));
    }
    if status != StatusCode::OK {
        let text = told(&String::from_utf8_lossy(&bytes));
        return Err(format!("the answer is {status}, not 200: {text:?}"));
    }
    serde_json::from_slice(&bytes).map_err(|error| format!("the answer is no JSON: {error}"))
}
