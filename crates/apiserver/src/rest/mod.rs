//! HTTP: from a request to the registry and back. Every refusal is a `Status`; nothing else is ever answered to an
//! API path.
//!
//! Order: who asks (401) → for whom (impersonation) → is it their turn (429) → may they (403) → what shape is wanted (406)
//! → the body (400, 413, 415) → the registry. All of it within the request's deadline, unless it is one that lasts.

mod audit;
mod connect;
mod deadline;
mod delegated;
mod documents;
mod farewell;
mod health;
mod joined;
mod path;
mod query;
mod resources;
pub(crate) mod respond;
mod shape;
mod spdy;
mod watch;
pub(crate) mod websocket;

use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use http::header::{self, HeaderMap};
use http::request::Parts;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::upgrade::OnUpgrade;

pub use respond::{Body, BodyError};

use crate::aggregation::{self, Delegated, Route};
use crate::audit::Notes;
use crate::auth::{self, Attributes, Authorizer, Selectors, User};
use crate::flow::{Permit, Schema};
use crate::select::FieldRequirement;
use crate::server::Cluster;
use crate::status::Status;
use audit::Auditing;
use path::Path;
use query::Query;
use respond::Wish;

/// The largest body that is read, as in Kubernetes.
pub(crate) const MAX_BODY: usize = 3 * 1024 * 1024;

/// A body that takes longer is given up, so that slow clients do not hold the places of others.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// Who is at the other end of the connection.
#[derive(Clone, Debug)]
pub enum Peer {
    /// Somebody on the network.
    Network {
        /// The client certificate (DER) that the TLS handshake proved, if any.
        certificate: Option<Arc<[u8]>>,
        /// Where the connection comes from, if it is one.
        address: Option<IpAddr>,
    },
    /// A part of this process that acts as this user.
    Trusted(Arc<User>),
}

impl Peer {
    fn address(&self) -> Option<IpAddr> {
        match self {
            Self::Network { address, .. } => *address,
            Self::Trusted(_) => None,
        }
    }

    fn certificate(&self) -> Option<Arc<[u8]>> {
        match self {
            Self::Network { certificate, .. } => certificate.clone(),
            Self::Trusted(_) => None,
        }
    }
}

/// What becomes known of a request on its way, for the headers of its answer and the audit log.
struct Course {
    auditing: Auditing,
    verb: &'static str,
    /// How flow control sorted it.
    schema: Option<Arc<Schema>>,
}

/// A request whose user is known and allowed.
pub(crate) struct Admitted {
    pub method: Method,
    pub path: Path,
    pub query: Query,
    pub headers: HeaderMap,
    pub user: User,
    pub verb: &'static str,
    /// Annotations of the request in the audit log, if there is one.
    pub notes: Option<Notes>,
    /// As it was asked, undecoded.
    uri: http::Uri,
    /// The connection, should it be taken over; whoever takes it has it.
    upgrade: Mutex<Option<OnUpgrade>>,
}

impl Admitted {
    pub(crate) fn header(&self, name: &header::HeaderName) -> Option<&str> {
        respond::text(&self.headers, name)
    }

    /// Path and query behind the subresource, as the client wrote them; begins with a slash.
    fn raw_rest(&self) -> String {
        let path = self.uri.path();
        let mut before = self.path.segments.len() - self.path.rest.len();
        let mut at = 0;
        for piece in path.split_inclusive('/') {
            if before == 0 {
                break;
            }
            at += piece.len();
            before -= usize::from(piece != "/");
        }
        let query = self.uri.query().map(|query| format!("?{query}"));
        format!("/{}{}", &path[at..], query.unwrap_or_default())
    }

    /// The connection beneath the request, once; `None` where it cannot be taken over.
    fn take_upgrade(&self) -> Option<OnUpgrade> {
        let mut slot = self.upgrade.lock().unwrap_or_else(|e| e.into_inner());
        slot.take()
    }
}

/// Answers one request to one logical cluster.
pub(crate) async fn handle<B>(
    cluster: Arc<Cluster>,
    peer: Peer,
    request: Request<B>,
) -> Response<Body>
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BodyError>,
{
    let (parts, body) = request.into_parts();
    let is_head = parts.method == Method::HEAD;
    let query = Query::parse(parts.uri.query());
    let wish = Wish::of_refusal(&parts.headers, query.get("pretty"));
    let mut course = Course {
        auditing: Auditing::new(&cluster, &peer, &parts.headers),
        verb: "",
        schema: None,
    };
    let handling = async {
        let asked = Asked::of(&cluster, &parts, query)?;
        let limit = asked.limit;
        course.verb = asked.verb;
        let answer = answer(&cluster, peer, parts, asked, body, &mut course);
        let Some(limit) = limit else {
            return answer.await;
        };
        let answered = tokio::time::timeout(limit, answer).await;
        answered.unwrap_or_else(|_| Err(deadline::exceeded()))
    };
    // One request that the server fails at must not end the connection of others.
    let outcome = AssertUnwindSafe(handling).catch_unwind().await;
    let Course {
        auditing,
        verb,
        schema,
    } = course;
    let id = auditing.id.clone();
    let mut response = match outcome {
        Ok(Ok(response)) => auditing.answered(Ok(response), verb).await,
        Ok(Err(status)) => {
            auditing.answered(Err(&status), verb).await;
            Some(respond::refusal(&status, &wish))
        }
        Err(_) => {
            let status = failed();
            auditing.panicked(&status);
            Some(respond::refusal(&status, &wish))
        }
    }
    .unwrap_or_else(|| respond::refusal(&failed(), &wish));
    response.headers_mut().insert("audit-id", id);
    if let Some(schema) = schema {
        schema.label(response.headers_mut());
    }
    if is_head {
        *response.body_mut() = respond::full(Bytes::new());
    }
    response
}

/// The server panicked; what it said is in its own log.
fn failed() -> Status {
    Status::new(
        500,
        "InternalError",
        "this request made the server fail: its log says more",
    )
}

/// What is asked, as far as method and URL say it.
struct Asked {
    path: Path,
    query: Query,
    verb: &'static str,
    /// The time that it has; `None` if it may last.
    limit: Option<Duration>,
}

impl Asked {
    fn of(cluster: &Cluster, parts: &Parts, query: Query) -> Result<Self, Status> {
        let path = path::parse(parts.uri.path())
            .ok_or_else(|| Status::bad_request("the path is not valid UTF-8"))?;
        let verb = path::verb(&parts.method, &path, query.is_set("watch"));
        // A watch, a log that is followed, a session in a container, whatever an extension server makes of the connection.
        let may_last = verb == "watch"
            || connect::is_connection(&path.subresource)
            || (path.is_resource
                && aggregation::is_upgrade(&parts.headers)
                && leads_out(cluster, &path));
        let limit = if may_last {
            None
        } else {
            Some(deadline::of(query.get("timeout"))?)
        };
        Ok(Self {
            path,
            query,
            verb,
            limit,
        })
    }
}

/// Whether an extension server answers.
fn leads_out(cluster: &Cluster, path: &Path) -> bool {
    let route = (cluster.aggregation()).route(cluster.registry().store(), &path.segments);
    matches!(route, Some(Route::Remote(_)))
}

async fn answer<B>(
    cluster: &Arc<Cluster>,
    peer: Peer,
    mut parts: Parts,
    asked: Asked,
    body: B,
    course: &mut Course,
) -> Result<Response<Body>, Status>
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BodyError>,
{
    if cluster.is_closed() {
        return Err(Status::new(
            503,
            "ServiceUnavailable",
            "the cluster is gone",
        ));
    }
    let Asked {
        path,
        query,
        verb,
        limit,
    } = asked;
    let auditing = &mut course.auditing;
    let attributes = attributes(&path, &query, verb, parts.uri.path());
    let (certificate, address) = (peer.certificate(), peer.address());
    let is_trusted = matches!(peer, Peer::Trusted(_));
    let user = match authenticate(cluster, peer, &parts).await {
        Ok(user) => user,
        Err(status) => {
            let has_certificate = certificate.is_some();
            auditing.unauthenticated(cluster, &parts, has_certificate, &attributes);
            return Err(status);
        }
    };
    auditing.begin(cluster, &parts, &user, &attributes);
    let user = impersonate(cluster, user, &parts.headers, &attributes, auditing)?;
    let permit = seat(cluster, &path, (&user, &attributes), &mut course.schema).await?;
    let decision = cluster.authorize(&user, &attributes);
    if let Some(trail) = auditing.trail() {
        trail.decided(&decision);
    }
    if !decision.allowed {
        return Err(Authorizer::forbidden(&user, &attributes, &decision.reason));
    }
    if let Some(route) = (cluster.aggregation()).route(cluster.registry().store(), &path.segments) {
        if certificate.is_some_and(|certificate| cluster.is_own_proxy(&certificate)) {
            return Err(loop_detected());
        }
        // How long an extension server takes is not our doing; a part of this process takes of what we have.
        let _seat = permit.filter(|_| matches!(route, Route::InProcess(_)));
        let request = Delegated {
            parts,
            body: respond::streamed(body),
            user,
            verb,
            id: auditing.id.clone(),
            address,
            limit,
            is_trusted,
        };
        // Boxed, so that requests that are answered here carry nothing of it.
        return Box::pin(delegated::answer(cluster, route, (path, query), request)).await;
    }
    let request = Admitted {
        method: parts.method,
        path,
        query,
        headers: parts.headers,
        user,
        verb,
        notes: auditing.notes(),
        uri: parts.uri,
        upgrade: Mutex::new(parts.extensions.remove::<OnUpgrade>()),
    };
    if !request.path.is_resource {
        return documents::answer(cluster, &request).await;
    }
    let bytes = match request.method {
        Method::POST | Method::PUT | Method::PATCH | Method::DELETE => read(body).await?,
        _ => Bytes::new(),
    };
    auditing.read(cluster, &request, &bytes);
    resources::answer(cluster, &request, &bytes).await
}

/// Waits until it is the request's turn; sessions in containers and the like take none.
async fn seat(
    cluster: &Cluster,
    path: &Path,
    (user, attributes): (&User, &Attributes),
    sorted: &mut Option<Arc<Schema>>,
) -> Result<Option<Permit>, Status> {
    if connect::is_connection(&path.subresource) {
        return Ok(None);
    }
    let objects = cluster.registry().store();
    let schema = cluster.flow().classify(objects, user, attributes);
    sorted.clone_from(&schema);
    match schema {
        Some(schema) => Ok(Some(cluster.flow().enter(&schema, user, attributes).await?)),
        None => Ok(None),
    }
}

/// A request that we have passed on ourselves has come back.
fn loop_detected() -> Status {
    Status::new(
        508,
        "LoopDetected",
        "the extension API server of this group passes requests back to this server",
    )
}

async fn authenticate(cluster: &Cluster, peer: Peer, parts: &Parts) -> Result<User, Status> {
    match peer {
        Peer::Trusted(user) => Ok((*user).clone()),
        Peer::Network { certificate, .. } => {
            let in_protocol = websocket::authorization(&parts.headers);
            let authorization =
                respond::text(&parts.headers, &header::AUTHORIZATION).or(in_protocol.as_deref());
            cluster
                .authenticate(
                    certificate.as_deref(),
                    authorization,
                    (parts.uri.path(), &parts.headers),
                )
                .await
        }
    }
}

/// Whom the user acts as.
fn impersonate(
    cluster: &Cluster,
    user: User,
    headers: &HeaderMap,
    request: &Attributes,
    auditing: &mut Auditing,
) -> Result<User, Status> {
    if !auth::impersonates(headers) {
        return Ok(user);
    }
    let may = |attributes: &Attributes| cluster.authorize(&user, attributes);
    let Some(impersonated) = auth::impersonate(&user, headers, request, may)? else {
        return Ok(user);
    };
    if let Some(trail) = auditing.trail() {
        trail.impersonated(&impersonated);
    }
    Ok(impersonated.user)
}

/// What authorizers see of the request.
fn attributes(path: &Path, query: &Query, verb: &str, raw_path: &str) -> Attributes {
    if !path.is_resource {
        return Attributes {
            verb: verb.into(),
            path: raw_path.into(),
            ..Attributes::default()
        };
    }
    let mut name = path.name.clone();
    let mut selectors = Selectors::default();
    if matches!(verb, "list" | "watch" | "deletecollection") {
        let text = |name: &str| query.get(name).unwrap_or_default();
        selectors = Selectors::parse(text("fieldSelector"), text("labelSelector"));
        // Reading a collection narrowed to one name is judged like reading that one object.
        let only = FieldRequirement::exact(&selectors.fields, "metadata.name");
        let is_segment = |name: &&str| !matches!(*name, "." | "..") && !name.contains(['/', '%']);
        if let Some(only) = only.filter(is_segment)
            && name.is_empty()
            && verb != "deletecollection"
        {
            name = only.into();
        }
    }
    Attributes {
        verb: verb.into(),
        group: path.group.clone(),
        version: path.version.clone(),
        resource: path.resource.clone(),
        subresource: path.subresource.clone(),
        namespace: path.namespace.clone(),
        name,
        path: String::new(),
        selectors,
    }
}

async fn read<B>(body: B) -> Result<Bytes, Status>
where
    B: http_body::Body<Data = Bytes> + Send,
    B::Error: Into<BodyError>,
{
    let body = Limited::new(body, MAX_BODY).collect();
    let Ok(read) = tokio::time::timeout(BODY_TIMEOUT, body).await else {
        return Err(Status::new(
            504,
            "Timeout",
            format!(
                "the body did not arrive within {} seconds",
                BODY_TIMEOUT.as_secs()
            ),
        ));
    };
    match read {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(Status::too_large(format!(
            "Request entity too large: limit is {MAX_BODY}"
        ))),
        Err(error) => Err(Status::bad_request(format!(
            "the body could not be read: {error}"
        ))),
    }
}

/// 200 or 201.
fn written(created: bool) -> StatusCode {
    if created {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    }
}
