//! What of a request and its answer goes into the audit log.

use std::io::Read;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use flate2::read::GzDecoder;
use http::header::{self, HeaderMap};
use http::request::Parts;
use http::{HeaderValue, Response};
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use super::respond::{self, Body, BodyError, Wish};
use super::{Admitted, Peer};
use crate::audit::{Asked, Audit, Notes, Trail};
use crate::auth::{Attributes, User};
use crate::negotiate::{self, ContentType};
use crate::resource::Resource;
use crate::schema::{self, FieldValidation};
use crate::server::Cluster;
use crate::status::Status;

/// Ids that clients give their requests may be this long.
const ID_MAX: usize = 64;
/// Answers to writes that are no longer are looked into for how the request went.
const STATUS_BYTES_MAX: u64 = 4096;
/// Longer bodies are not kept.
const BODY_BYTES_MAX: u64 = 10 << 20;

/// The audit of one request.
pub(super) struct Auditing {
    /// Unique, and in the answer's header `Audit-Id`.
    pub(super) id: HeaderValue,
    recording: Option<Recording>,
    trail: Option<Trail>,
    /// What the request is about, if answers in protobuf have to be read back.
    resource: Option<Arc<Resource>>,
}

/// What is known when there is an audit log.
struct Recording {
    audit: Audit,
    notes: Notes,
    received: Timestamp,
    address: Option<IpAddr>,
}

impl Auditing {
    pub(super) fn new(cluster: &Cluster, peer: &Peer, headers: &HeaderMap) -> Self {
        let given = headers.get("audit-id").filter(|id| {
            let is_plain = id.as_bytes().iter().all(u8::is_ascii_graphic);
            is_plain && (1..=ID_MAX).contains(&id.len())
        });
        let id = given.cloned().unwrap_or_else(|| {
            let mut text = [0; uuid::fmt::Hyphenated::LENGTH];
            let text = uuid::Uuid::new_v4().hyphenated().encode_lower(&mut text);
            HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static("-"))
        });
        let recording = cluster.audit().map(|audit| Recording {
            audit: audit.clone(),
            notes: Notes::default(),
            received: cluster.registry().now(),
            address: peer.address(),
        });
        Self {
            id,
            recording,
            trail: None,
            resource: None,
        }
    }

    /// Where annotations of the request go, if anywhere.
    pub(super) fn notes(&self) -> Option<Notes> {
        self.recording.as_ref().map(|r| r.notes.clone())
    }

    /// The user is known.
    pub(super) fn begin(
        &mut self,
        cluster: &Cluster,
        parts: &Parts,
        user: &User,
        attributes: &Attributes,
    ) {
        self.trail = self.asked(cluster, parts, |audit, asked| {
            audit.begin(&asked, user, attributes)
        });
        if self.trail.as_ref().is_some_and(Trail::wants_response) {
            let types = cluster.registry().types();
            self.resource =
                types.find(&attributes.group, &attributes.version, &attributes.resource);
        }
    }

    /// Nobody is known.
    pub(super) fn unauthenticated(
        &self,
        cluster: &Cluster,
        parts: &Parts,
        has_certificate: bool,
        attributes: &Attributes,
    ) {
        let tried: Vec<&str> = [
            has_certificate.then_some("x509"),
            parts
                .headers
                .contains_key(header::AUTHORIZATION)
                .then_some("bearer"),
        ]
        .into_iter()
        .flatten()
        .collect();
        self.asked(cluster, parts, |audit, asked| {
            audit.unauthenticated(&asked, attributes, &tried.join(", "));
            None::<()>
        });
    }

    fn asked<T>(
        &self,
        cluster: &Cluster,
        parts: &Parts,
        then: impl FnOnce(&Audit, Asked<'_>) -> Option<T>,
    ) -> Option<T> {
        let recording = self.recording.as_ref()?;
        let uri = parts.uri.path_and_query();
        let asked = Asked {
            id: self.id.to_str().unwrap_or_default(),
            uri: uri.map_or("/", http::uri::PathAndQuery::as_str),
            user_agent: respond::text(&parts.headers, &header::USER_AGENT).unwrap_or_default(),
            source_ips: source_ips(&parts.headers, recording.address),
            received: recording.received,
            clock: &cluster.config.clock,
            notes: &recording.notes,
        };
        then(&recording.audit, asked)
    }

    pub(super) fn trail(&mut self) -> Option<&mut Trail> {
        self.trail.as_mut()
    }

    /// The body of the request was read.
    pub(super) fn read(&mut self, cluster: &Cluster, request: &Admitted, body: &[u8]) {
        let Some(trail) = &mut self.trail else {
            return;
        };
        if body.is_empty() {
            return;
        }
        let is_object = matches!(request.verb, "create" | "update");
        if !trail.wants_request() && !is_object {
            return;
        }
        let object = if trail.wants_request() {
            request_object(cluster, request, body)
        } else {
            None
        };
        if is_object && let Some(object_ref) = trail.object_ref() {
            let known = match &object {
                Some(object) => Head::deserialize(object).ok(),
                None => serde_json::from_slice(body).ok(),
            };
            let Head { metadata } = known.unwrap_or_default();
            for (field, value) in [
                (&mut object_ref.name, metadata.name),
                (&mut object_ref.namespace, metadata.namespace),
                (&mut object_ref.uid, metadata.uid),
                (&mut object_ref.resource_version, metadata.resource_version),
            ] {
                if field.is_empty() {
                    *field = value;
                }
            }
        }
        if let Some(object) = object {
            trail.request_object(object);
        }
    }

    /// Writes down how the request went. What takes long keeps the trail for as long as its body lasts.
    pub(super) async fn answered(
        self,
        outcome: Result<Response<Body>, &Status>,
        verb: &str,
    ) -> Option<Response<Body>> {
        let Some(mut trail) = self.trail else {
            return outcome.ok();
        };
        let mut response = match outcome {
            Ok(response) => response,
            Err(status) => {
                trail.refused(status);
                return None;
            }
        };
        let code = response.status().as_u16();
        if verb == "watch" || code == 101 {
            trail.code(code);
            trail.started();
            let body = std::mem::replace(response.body_mut(), respond::full(Bytes::new()));
            *response.body_mut() = Followed {
                body,
                _trail: trail,
            }
            .boxed_unsync();
            return Some(response);
        }
        let length = response.body().size_hint().exact().unwrap_or(u64::MAX);
        let is_write = !matches!(verb, "get" | "list" | "head");
        if (trail.wants_response() && length <= BODY_BYTES_MAX)
            || (is_write && length <= STATUS_BYTES_MAX)
        {
            let body = std::mem::replace(response.body_mut(), respond::full(Bytes::new()));
            // The length is known: our own bodies are in memory, those of extension servers may break off.
            let bytes = match body.collect().await {
                Ok(body) => body.to_bytes(),
                Err(error) => {
                    let status = broken_off(&error);
                    trail.refused(&status);
                    return Some(respond::refusal(&status, &Wish::plain()));
                }
            };
            if let Some(object) =
                response_object(self.resource.as_deref(), response.headers(), &bytes)
            {
                trail.response_object(object);
            }
            *response.body_mut() = respond::full(bytes);
        }
        trail.code(code);
        Some(response)
    }

    /// The server failed.
    pub(super) fn panicked(self, status: &Status) {
        if let Some(trail) = self.trail {
            trail.panicked(status);
        }
    }
}

/// An answer of somebody else ended in the middle.
fn broken_off(error: &BodyError) -> Status {
    let message = format!("error trying to reach service: reading its answer: {error}");
    Status::new(503, "ServiceUnavailable", message)
}

/// What of an object says which one it is.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Head {
    metadata: Metadata,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Metadata {
    name: String,
    namespace: String,
    uid: String,
    resource_version: String,
}

fn request_object(cluster: &Cluster, request: &Admitted, body: &[u8]) -> Option<Value> {
    let content_type = request.header(&header::CONTENT_TYPE);
    if request.verb == "patch" {
        return if content_type.is_some_and(|ty| ty.contains("yaml")) {
            schema::decode_document(body).ok()
        } else {
            serde_json::from_slice(body).ok()
        };
    }
    match negotiate::content_type(content_type).ok()? {
        ContentType::Json => serde_json::from_slice(body).ok(),
        ContentType::Yaml => schema::decode_document(body).ok(),
        content_type @ ContentType::Protobuf => {
            let path = &request.path;
            let types = cluster.registry().types();
            let resource = types.find(&path.group, &path.version, &path.resource)?;
            let decoded = schema::decode(&resource, content_type, body, FieldValidation::Ignore);
            decoded.ok().map(|decoded| decoded.value)
        }
    }
}

/// The object in an answer; nothing of protobuf that is no single object of the resource.
fn response_object(
    resource: Option<&Resource>,
    headers: &HeaderMap,
    bytes: &Bytes,
) -> Option<Value> {
    let media_type = respond::text(headers, &header::CONTENT_TYPE)?;
    let unpacked;
    let bytes = if headers.contains_key(header::CONTENT_ENCODING) {
        let mut all = Vec::new();
        let mut decoder = GzDecoder::new(bytes.as_ref()).take(BODY_BYTES_MAX);
        decoder.read_to_end(&mut all).ok()?;
        unpacked = all;
        unpacked.as_slice()
    } else {
        bytes.as_ref()
    };
    if media_type.starts_with("application/json") {
        serde_json::from_slice(bytes).ok()
    } else if media_type.starts_with("application/yaml") {
        schema::decode_document(bytes).ok()
    } else if media_type.starts_with("application/vnd.kubernetes.protobuf") {
        let content_type = ContentType::Protobuf;
        let decoded = schema::decode(resource?, content_type, bytes, FieldValidation::Ignore);
        decoded.ok().map(|decoded| decoded.value)
    } else {
        None
    }
}

/// The client, as proxies and the connection name it.
fn source_ips(headers: &HeaderMap, address: Option<IpAddr>) -> Vec<String> {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let mut ips: Vec<IpAddr> = header("x-forwarded-for")
        .unwrap_or_default()
        .split(',')
        .filter_map(|ip| ip.trim().parse().ok())
        .collect();
    let real = header("x-real-ip").and_then(|ip| ip.trim().parse().ok());
    for ip in [real, address].into_iter().flatten() {
        if !ips.contains(&ip) {
            ips.push(ip);
        }
    }
    ips.iter().map(ToString::to_string).collect()
}

/// A body whose end, or whose client's end, is that of the request.
struct Followed {
    body: Body,
    _trail: Trail,
}

impl http_body::Body for Followed {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
