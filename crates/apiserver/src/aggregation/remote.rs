//! One extension server: how it is reached, the connections that are kept to it, and what it said about itself.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body::Body as _;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use serde_json::Value;
use tokio::time::Instant;
use url::Url;

use super::documents::Documents;
use crate::auth::Objects;
use crate::openapi::Part;
use crate::rest::respond::{self, Outgoing};
use crate::webhook::resolve::Target;
use crate::webhook::verify::{self, Identity, Trust};
use crate::webhook::{connect, resolve};

/// Idle connections to one extension server.
const MAX_IDLE: usize = 8;
/// An idle connection that is older is not used again.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// The longest answer that is read as a whole, in bytes.
const MAX_DOCUMENT: usize = 16 * 1024 * 1024;

/// What an APIService says about an extension server; another one is another server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RemoteSpec {
    /// Of the APIService.
    pub name: Box<str>,
    pub group: Arc<str>,
    pub version: Arc<str>,
    pub namespace: Box<str>,
    pub service: Box<str>,
    pub port: u16,
    /// PEM; empty for the authorities that the machine trusts.
    pub ca_bundle: Arc<[u8]>,
    pub skips_verification: bool,
}

/// What is needed to reach extension servers.
#[derive(Clone, Copy)]
pub(super) struct Dialer<'a> {
    pub objects: &'a dyn Objects,
    pub identity: Option<&'a Identity>,
    /// Where this server itself listens: a request must not come back.
    pub own: SocketAddr,
}

/// A connection that can send one request at a time.
pub(super) type Sender = SendRequest<Outgoing>;

fn no_body() -> Outgoing {
    respond::outgoing(respond::full(Bytes::new()))
}

/// A request for something that is read as a whole.
pub(super) struct Ask<'a> {
    pub path: &'a str,
    pub accept: &'a str,
    /// The tag of what is known.
    pub etag: Option<&'a str>,
    /// Whom it is asked for.
    pub user: (&'a str, &'a [&'a str]),
    pub timeout: Duration,
}

/// An extension server.
pub(super) struct Remote {
    pub(super) spec: RemoteSpec,
    tls: OnceLock<Result<Arc<rustls::ClientConfig>, String>>,
    idle: Mutex<Vec<(Sender, Instant)>>,
    /// Connections go to the addresses in turn.
    turn: AtomicUsize,
    pub(super) documents: ArcSwap<Documents>,
}

impl Remote {
    pub(super) fn new(spec: RemoteSpec) -> Self {
        Self {
            spec,
            tls: OnceLock::new(),
            idle: Mutex::default(),
            turn: AtomicUsize::new(0),
            documents: ArcSwap::default(),
        }
    }

    /// `name.namespace.svc:port`.
    pub(super) fn host(&self) -> String {
        let RemoteSpec {
            namespace,
            service,
            port,
            ..
        } = &self.spec;
        format!("{service}.{namespace}.svc:{port}")
    }

    fn url(&self) -> Result<Url, String> {
        Url::parse(&format!("https://{}", self.host())).map_err(|error| error.to_string())
    }

    fn tls(&self, dialer: Dialer<'_>) -> Result<Arc<rustls::ClientConfig>, String> {
        let made = self.tls.get_or_init(|| {
            let trust = if self.spec.skips_verification {
                Trust::Anybody
            } else {
                Trust::Bundle(&self.spec.ca_bundle)
            };
            verify::tls(trust, dialer.identity).map(Arc::new)
        });
        made.clone()
    }

    /// Where it is, the next one in turn first.
    ///
    /// # Errors
    /// In words.
    pub(super) async fn addresses(&self, dialer: Dialer<'_>) -> Result<Vec<SocketAddr>, String> {
        let RemoteSpec {
            namespace,
            service,
            port,
            ..
        } = &self.spec;
        let target = resolve::resolve(dialer.objects, namespace, service, *port)?;
        let mut addresses = connect::addresses(target).await?;
        addresses.retain(|address| !is_same(*address, dialer.own));
        if addresses.is_empty() {
            return Err(format!("service {service:?} leads back to this API server"));
        }
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % addresses.len();
        addresses.rotate_left(turn);
        Ok(addresses)
    }

    /// A new connection to one of these addresses.
    ///
    /// # Errors
    /// In words.
    pub(super) async fn open(
        &self,
        dialer: Dialer<'_>,
        addresses: Vec<SocketAddr>,
    ) -> Result<Sender, String> {
        let tls = self.tls(dialer)?;
        connect::open(Target::Addresses(addresses), &self.url()?, tls).await
    }

    /// Sends a request over a connection that was kept, or a new one; `is_upgrade` if the connection is to become something
    /// else. The answer comes with its connection, to be given back ([`Remote::keep`]) once the body has been read.
    ///
    /// # Errors
    /// In words.
    pub(super) async fn send(
        &self,
        dialer: Dialer<'_>,
        mut request: Request<Outgoing>,
        is_upgrade: bool,
    ) -> Result<(Response<Incoming>, Sender), String> {
        loop {
            let kept = if is_upgrade { None } else { self.take() };
            let is_kept = kept.is_some();
            let mut sender = match kept {
                Some(sender) => sender,
                None => {
                    let addresses = self.addresses(dialer).await?;
                    self.open(dialer, addresses).await?
                }
            };
            if let Err(error) = sender.ready().await {
                if is_kept {
                    continue;
                }
                return Err(error.to_string());
            }
            // The other side may close a connection while it is idle. What it has not seen, or what changes nothing, is sent
            // again.
            let again = repeatable(&request);
            let mut error = match sender.try_send_request(request).await {
                Ok(response) => return Ok((response, sender)),
                Err(error) => error,
            };
            let unsent = error.take_message();
            let error = error.into_error();
            let is_gone = error.is_canceled() || error.is_incomplete_message() || error.is_closed();
            request = match unsent.or(again.filter(|_| is_gone)) {
                Some(request) if is_kept => request,
                _ => return Err(error.to_string()),
            };
        }
    }

    /// The answer to a request as a whole.
    ///
    /// # Errors
    /// In words.
    pub(super) async fn fetch(
        &self,
        dialer: Dialer<'_>,
        ask: &Ask<'_>,
    ) -> Result<(http::response::Parts, Bytes), String> {
        let asked = async {
            let (response, sender) = self.send(dialer, self.request(ask)?, false).await?;
            let (parts, body) = response.into_parts();
            let read = Limited::new(body, MAX_DOCUMENT).collect().await;
            let bytes = match read {
                Ok(collected) => collected.to_bytes(),
                Err(error) if error.is::<LengthLimitError>() => {
                    return Err(format!("the answer is larger than {MAX_DOCUMENT} bytes"));
                }
                Err(error) => return Err(format!("reading the answer: {error}")),
            };
            self.keep(sender);
            Ok((parts, bytes))
        };
        let answered = tokio::time::timeout(ask.timeout, asked).await;
        answered.unwrap_or_else(|_| Err("context deadline exceeded".into()))
    }

    /// The code of the answer of one address, over a connection of its own.
    ///
    /// # Errors
    /// In words.
    pub(super) async fn probe(
        &self,
        dialer: Dialer<'_>,
        address: SocketAddr,
        ask: &Ask<'_>,
    ) -> Result<StatusCode, String> {
        let asked = async {
            let mut sender = self.open(dialer, vec![address]).await?;
            let sent = sender.send_request(self.request(ask)?).await;
            let response = sent.map_err(|error| error.to_string())?;
            Ok(response.status())
        };
        let answered = tokio::time::timeout(ask.timeout, asked).await;
        answered.unwrap_or_else(|_| Err("context deadline exceeded".into()))
    }

    fn request(&self, ask: &Ask<'_>) -> Result<Request<Outgoing>, String> {
        let (name, groups) = ask.user;
        let mut request = Request::get(ask.path)
            .header(header::HOST, self.host())
            .header(header::ACCEPT, ask.accept)
            .header(header::USER_AGENT, "kube-aggregator")
            .header("x-remote-user", name);
        for group in groups {
            request = request.header("x-remote-group", *group);
        }
        if let Some(etag) = ask.etag.and_then(|etag| HeaderValue::from_str(etag).ok()) {
            request = request.header(header::IF_NONE_MATCH, etag);
        }
        let request = request.body(no_body());
        request.map_err(|error| error.to_string())
    }

    /// A connection that is idle. One that was given back may still be sending somebody's body, to a server that answered
    /// before it had read that: whoever took it would wait for them.
    fn take(&self) -> Option<Sender> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        idle.retain(|(sender, since)| !sender.is_closed() && now - *since < IDLE_TIMEOUT);
        let at = idle.iter().rposition(|(sender, _)| sender.is_ready())?;
        Some(idle.remove(at).0)
    }

    /// Keeps a connection for the next request.
    pub(super) fn keep(&self, sender: Sender) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < MAX_IDLE && !sender.is_closed() {
            idle.push((sender, Instant::now()));
        }
    }

    /// Its entry in aggregated discovery.
    pub(super) fn entry(&self, is_available: bool) -> Option<Arc<Value>> {
        self.documents.load().entry(&self.spec, is_available)
    }

    /// See [`super::Aggregation::open_api_v2`].
    pub(super) fn open_api_v2(&self) -> Option<Part> {
        let documents = self.documents.load();
        documents.v2.as_ref().map(|kept| kept.value.clone())
    }

    /// See [`super::Aggregation::open_api_v3`].
    pub(super) fn open_api_v3(&self) -> Option<(String, String)> {
        let documents = self.documents.load();
        let url = documents.v3.as_ref()?;
        let RemoteSpec { group, version, .. } = &self.spec;
        Some((format!("apis/{group}/{version}"), url.to_string()))
    }

    /// Whether it has a document of version 3.
    pub(super) fn has_open_api(&self) -> bool {
        self.documents.load().v3.is_some()
    }
}

/// Whether `address` is where this server itself listens.
fn is_same(address: SocketAddr, own: SocketAddr) -> bool {
    let ip = address.ip().to_canonical();
    address.port() == own.port()
        && (ip == own.ip().to_canonical() || ip.is_loopback() || ip.is_unspecified())
}

/// The same request once more, if it changes nothing and has no body.
fn repeatable(request: &Request<Outgoing>) -> Option<Request<Outgoing>> {
    if !request.method().is_safe() || !request.body().is_end_stream() {
        return None;
    }
    let mut again = Request::new(no_body());
    *again.method_mut() = request.method().clone();
    *again.uri_mut() = request.uri().clone();
    *again.headers_mut() = request.headers().clone();
    Some(again)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_knows_its_own_addresses() {
        let own: SocketAddr = "192.0.2.1:6443".parse().unwrap();
        for (address, expected) in [
            ("192.0.2.1:6443", true),
            ("127.0.0.1:6443", true),
            ("127.8.8.8:6443", true),
            ("0.0.0.0:6443", true),
            ("[::1]:6443", true),
            ("[::ffff:127.0.0.1]:6443", true),
            ("192.0.2.1:443", false),
            ("192.0.2.2:6443", false),
        ] {
            assert_eq!(
                is_same(address.parse().unwrap(), own),
                expected,
                "{address}"
            );
        }
    }
}
