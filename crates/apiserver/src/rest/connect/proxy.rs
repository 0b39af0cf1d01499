//! `…/proxy/<path>`: a request to what a pod, a service or a node serves.

use bytes::Bytes;
use http::{HeaderMap, Response, header};

use super::Connection;
use crate::rest::respond::{self, Body};
use crate::runner::{ProxyRequest, ProxyTarget};
use crate::status::Status;

/// Headers that are between the client and this server.
const OURS: [header::HeaderName; 7] = [
    header::AUTHORIZATION,
    header::CONNECTION,
    header::HOST,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::TE,
    header::CONTENT_LENGTH,
];

impl Connection<'_> {
    pub(super) async fn proxy(&self, body: Bytes) -> Result<Response<Body>, Status> {
        let (is_tls, name, port) = endpoint(&self.target.name)?;
        let object = self.named(name).await?;
        let runner = self.runner()?;
        let target = match &*self.target.resource.plural {
            "services" => ProxyTarget::Service,
            "nodes" => ProxyTarget::Node,
            _ => ProxyTarget::Pod,
        };
        let answer = runner.proxy(ProxyRequest {
            target,
            object,
            is_tls,
            port: port.to_owned(),
            method: self.request.method.clone(),
            path: self.request.raw_rest(),
            headers: without_ours(&self.request.headers),
            body,
        });
        let (parts, bytes) = answer.await?.into_parts();
        let mut response = Response::new(respond::full(bytes));
        *response.status_mut() = parts.status;
        *response.headers_mut() = without_ours(&parts.headers);
        Ok(response)
    }
}

/// `[https:]name[:port]`.
fn endpoint(text: &str) -> Result<(bool, &str, &str), Status> {
    let parts: Vec<&str> = text.split(':').collect();
    match *parts.as_slice() {
        [name] => Ok((false, name, "")),
        [scheme @ ("http" | "https"), name, port] => Ok((scheme == "https", name, port)),
        [name, port] => Ok((false, name, port)),
        _ => Err(Status::bad_request(format!(
            "invalid request {text:?}: it must be a name, or name:port, or https:name:port"
        ))),
    }
}

fn without_ours(headers: &HeaderMap) -> HeaderMap {
    let mut kept = headers.clone();
    for name in &OURS {
        kept.remove(name);
    }
    kept
}
