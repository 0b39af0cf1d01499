//! WebSockets: the handshake of RFC 6455 on the server's side, the subprotocol by which browsers send a bearer token, and
//! watches as messages.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt, Stream, StreamExt};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use http_body::Frame;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

use super::respond::{self, Body, BodyError};
use crate::negotiate::Encoding;
use crate::status::Status;

/// Longest message from a client, in bytes.
const MAX_MESSAGE: usize = 256 * 1024;
/// What may wait to be sent before the sender has to wait, in bytes.
const MAX_WRITE_BUFFER: usize = 4 * 1024 * 1024;
/// Beginning of the subprotocol that carries a bearer token, for clients that cannot set headers.
const BEARER: &str = "base64url.bearer.authorization.k8s.io.";

/// How often the client of a connection that lasts is asked whether it is there.
pub(super) const PING: Duration = Duration::from_secs(30);
/// How long a client may take to close its end.
const LINGER: Duration = Duration::from_secs(5);

/// A connection that speaks WebSocket.
pub(crate) type Socket = WebSocketStream<TokioIo<Upgraded>>;
/// Its sending side.
pub(crate) type Sink = SplitSink<Socket, Message>;
/// Its receiving side.
pub(crate) type Source = SplitStream<Socket>;

/// Whether the request asks to go on as a WebSocket.
pub(super) fn is_upgrade(headers: &HeaderMap) -> bool {
    is_upgrade_to(headers, "websocket")
}

/// Whether the request asks to go on in another protocol.
pub(super) fn is_upgrade_to(headers: &HeaderMap, protocol: &str) -> bool {
    let has = |name: &HeaderName, word: &str| {
        respond::words(headers, name).any(|found| found.eq_ignore_ascii_case(word))
    };
    has(&header::CONNECTION, "upgrade") && has(&header::UPGRADE, protocol)
}

/// What those hear whose connection cannot be taken over.
pub(super) fn not_upgradable() -> Status {
    Status::bad_request("this connection cannot be upgraded: use HTTP/1.1")
}

/// The subprotocols that the client offers, the one with the token left out.
pub(super) fn protocols(headers: &HeaderMap) -> Vec<&str> {
    offered(headers)
        .filter(|protocol| !protocol.starts_with(BEARER))
        .collect()
}

/// The value of `Authorization` that a WebSocket request has in its subprotocols. A real header counts more.
pub(super) fn authorization(headers: &HeaderMap) -> Option<String> {
    if !is_upgrade(headers) {
        return None;
    }
    let token = offered(headers).find_map(|protocol| protocol.strip_prefix(BEARER))?;
    // The token is never answered with, so another protocol must be.
    if protocols(headers).is_empty() {
        return None;
    }
    let token = URL_SAFE_NO_PAD.decode(token).ok()?;
    Some(format!("Bearer {}", String::from_utf8(token).ok()?))
}

/// Takes the bearer token out of the subprotocols.
pub(crate) fn remove_bearer(headers: &mut HeaderMap) {
    let kept = protocols(headers).join(", ");
    let before = headers.remove(header::SEC_WEBSOCKET_PROTOCOL);
    if before.is_some()
        && !kept.is_empty()
        && let Ok(value) = HeaderValue::from_str(&kept)
    {
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, value);
    }
}

fn offered(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    respond::words(headers, &header::SEC_WEBSOCKET_PROTOCOL)
}

/// Answers the handshake; the socket is there once the answer has been sent.
///
/// # Errors
/// 400 for a handshake that breaks the rules, and for connections that cannot be taken over (HTTP/2).
pub(super) fn accept(
    headers: &HeaderMap,
    upgrade: Option<OnUpgrade>,
    protocol: Option<&str>,
) -> Result<
    (
        Response<Body>,
        impl Future<Output = Option<Socket>> + Send + 'static,
    ),
    Status,
> {
    if respond::text(headers, &header::SEC_WEBSOCKET_VERSION) != Some("13") {
        return Err(Status::bad_request("the WebSocket version must be 13"));
    }
    let key = respond::text(headers, &header::SEC_WEBSOCKET_KEY)
        .ok_or_else(|| Status::bad_request("the header Sec-WebSocket-Key is missing"))?;
    let upgrade = upgrade.ok_or_else(not_upgradable)?;
    let mut response = Response::new(respond::full(Bytes::new()));
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let answers = response.headers_mut();
    answers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    answers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    if let Ok(accept) = HeaderValue::from_str(&derive_accept_key(key.as_bytes())) {
        answers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    }
    if let Some(Ok(protocol)) = protocol.map(HeaderValue::from_str) {
        answers.insert(header::SEC_WEBSOCKET_PROTOCOL, protocol);
    }
    let socket = async move {
        let io = match upgrade.await {
            Ok(io) => TokioIo::new(io),
            Err(error) => {
                tracing::debug!(%error, "a connection that was to become a WebSocket");
                return None;
            }
        };
        let mut config = WebSocketConfig::default();
        config.max_message_size = Some(MAX_MESSAGE);
        config.max_frame_size = Some(MAX_MESSAGE);
        config.max_write_buffer_size = MAX_WRITE_BUFFER;
        Some(WebSocketStream::from_raw_socket(io, Role::Server, Some(config)).await)
    };
    Ok((response, socket))
}

/// Sends the events of a watch, each as a message, until they or the client end.
pub(super) async fn send_events(
    socket: impl Future<Output = Option<Socket>>,
    events: impl Stream<Item = Result<Frame<Bytes>, BodyError>> + Send,
    encoding: Encoding,
) {
    send(socket, events, move |bytes| message(bytes, encoding)).await;
}

async fn send(
    socket: impl Future<Output = Option<Socket>>,
    events: impl Stream<Item = Result<Frame<Bytes>, BodyError>> + Send,
    message: impl Fn(Bytes) -> Option<Message>,
) {
    let Some(socket) = socket.await else { return };
    let (mut sink, mut source) = socket.split();
    let mut events = std::pin::pin!(events);
    let mut asking = asking();
    loop {
        tokio::select! {
            _ = asking.tick() => if sink.send(ask()).await.is_err() {
                return;
            },
            event = events.next() => {
                let Some(Ok(event)) = event else { break };
                let Ok(bytes) = event.into_data() else { continue };
                let Some(message) = message(bytes) else { break };
                if sink.send(message).await.is_err() {
                    return;
                }
            }
            // What a client says to a watch means nothing, but its end is the end.
            said = source.next() => match said {
                Some(Ok(Message::Close(_)) | Err(_)) | None => break,
                Some(Ok(_)) => {}
            },
        }
    }
    close(sink, source).await;
}

/// When the client is to be asked whether it is there. That no answer comes means nothing, as it may come after what is
/// waiting to be read; but asking a client that is gone fails.
pub(super) fn asking() -> Interval {
    let mut asking = interval_at(Instant::now() + PING, PING);
    asking.set_missed_tick_behavior(MissedTickBehavior::Delay);
    asking
}

/// What it is asked.
pub(super) fn ask() -> Message {
    Message::Ping(Bytes::new())
}

/// The end of a connection in order; clients take any other as a failure.
pub(super) fn end() -> Message {
    Message::Close(Some(CloseFrame {
        code: CloseCode::Normal,
        reason: Utf8Bytes::default(),
    }))
}

/// Ends a connection: says so, and waits for the client's end, because who closes a connection with something unread in it
/// cuts off what the other side has not read yet.
pub(super) async fn close(mut sink: Sink, mut source: Source) {
    let closing = async {
        let said = sink.send(end()).await;
        while said.is_ok() && matches!(source.next().await, Some(Ok(_))) {}
        if let Err(error) = said {
            tracing::debug!(%error, "closing a WebSocket");
        }
    };
    if timeout(LINGER, closing).await.is_err() {
        tracing::debug!("a WebSocket was not closed by its client");
    }
}

/// Sends bytes as they come, as binary messages or as base64 text, until they or the client end.
pub(super) async fn send_bytes(
    socket: impl Future<Output = Option<Socket>>,
    bytes: impl Stream<Item = Bytes> + Send,
    is_text: bool,
) {
    let events = bytes.map(move |bytes| {
        Ok(Frame::data(if is_text {
            STANDARD.encode(bytes).into()
        } else {
            bytes
        }))
    });
    send(socket, events, move |bytes| {
        if is_text {
            Some(Message::Text(bytes.try_into().ok()?))
        } else {
            Some(Message::Binary(bytes))
        }
    })
    .await;
}

/// One event as a message: text, or binary without the length that only streams need.
fn message(event: Bytes, encoding: Encoding) -> Option<Message> {
    match encoding {
        Encoding::Protobuf => Some(Message::Binary(event.slice(4.min(event.len())..))),
        _ => Some(Message::Text(event.try_into().ok()?)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            map.append(*name, value.parse().unwrap());
        }
        map
    }

    #[test]
    fn a_token_in_a_subprotocol_counts_only_beside_another_one() {
        let upgrade = [
            ("connection", "keep-alive, Upgrade"),
            ("upgrade", "WebSocket"),
        ];
        let token = "base64url.bearer.authorization.k8s.io.c2VjcmV0";
        let both = format!("base64.binary.k8s.io, {token}");
        let with = |protocols: &str| {
            let mut all = headers(&upgrade);
            all.insert("sec-websocket-protocol", protocols.parse().unwrap());
            all
        };
        assert_eq!(
            authorization(&with(&both)).as_deref(),
            Some("Bearer secret")
        );
        assert_eq!(protocols(&with(&both)), ["base64.binary.k8s.io"]);
        assert_eq!(authorization(&with(token)), None);
        assert_eq!(
            authorization(&with("a, base64url.bearer.authorization.k8s.io.%%")),
            None
        );
        let mut plain = with(&both);
        plain.remove("upgrade");
        assert_eq!(authorization(&plain), None);
    }
}
