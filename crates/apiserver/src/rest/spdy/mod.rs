//! SPDY/3.1, the protocol of many streams on one connection by which `kubectl exec`, `attach` and `port-forward` speak: on a
//! connection that HTTP/1.1 hands over, or inside the binary messages of a WebSocket.
//!
//! Only what these need is here: streams that the client opens, answered by an empty SYN_REPLY. As Kubernetes' clients
//! neither send nor heed WINDOW_UPDATE, there are no windows: a stream that takes no more makes the whole connection wait,
//! which holds both sides to what the limits of [`connection`] allow.

mod connection;
mod dictionary;
mod frame;
mod headers;
#[cfg(test)]
mod tests;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;

use super::respond::{self, Body};
use super::websocket;
use crate::status::Status;

pub(super) use self::connection::{Connection, Input, Output, Stream};

/// How HTTP names the protocol.
const NAME: &str = "SPDY/3.1";
/// What the client would speak on its streams, and what it is answered.
const PROTOCOL: HeaderName = HeaderName::from_static("x-stream-protocol-version");

/// Whether the request asks to go on as SPDY.
pub(super) fn is_upgrade(headers: &HeaderMap) -> bool {
    websocket::is_upgrade_to(headers, NAME)
}

/// The first protocol that the client offers for its streams and the server knows.
///
/// # Errors
/// 400 if it offers none, 403 if none of them is known.
pub(super) fn protocol<'p>(headers: &HeaderMap, known: &[&'p str]) -> Result<&'p str, Status> {
    let offered: Vec<&str> = respond::words(headers, &PROTOCOL).collect();
    if offered.is_empty() {
        return Err(Status::bad_request(
            "unable to upgrade: the header X-Stream-Protocol-Version is missing",
        ));
    }
    let find = |offered: &&str| known.iter().find(|known| *known == offered);
    offered.iter().find_map(find).copied().ok_or_else(|| {
        let why = format!(
            "unable to upgrade: unable to negotiate protocol: client supports [{}], server accepts [{}]",
            offered.join(" "),
            known.join(" ")
        );
        Status::new(403, "Forbidden", why)
    })
}

/// Answers the request; the connection is there once the answer has been sent.
///
/// # Errors
/// 400 for connections that cannot be taken over (HTTP/2).
pub(super) fn accept(
    upgrade: Option<OnUpgrade>,
    protocol: &'static str,
) -> Result<
    (
        Response<Body>,
        impl Future<Output = Option<Connection>> + Send + 'static,
    ),
    Status,
> {
    let upgrade = upgrade.ok_or_else(websocket::not_upgradable)?;
    let mut response = Response::new(respond::full(Bytes::new()));
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let answers = response.headers_mut();
    answers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    answers.insert(header::UPGRADE, HeaderValue::from_static(NAME));
    answers.insert(PROTOCOL, HeaderValue::from_static(protocol));
    let connection = async move {
        match upgrade.await {
            Ok(io) => Some(Connection::over(TokioIo::new(io))),
            Err(error) => {
                tracing::debug!(%error, "a connection that was to become SPDY");
                None
            }
        }
    };
    Ok((response, connection))
}
