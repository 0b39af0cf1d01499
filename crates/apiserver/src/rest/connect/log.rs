//! `pods/<pod>/log`: text as it comes.

use std::convert::Infallible;

use bytes::Bytes;
use futures::{Stream, StreamExt};
use http::{Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use tokio::sync::OwnedSemaphorePermit;

use super::{Connection, Over, options};
use crate::rest::respond::{self, Body};
use crate::rest::{farewell, websocket};
use crate::runner::LogStream;
use crate::status::Status;

/// Subprotocols of logs: as bytes, or as base64 for clients that know only text.
const BINARY: &str = "binary.k8s.io";
const BASE64: &str = "base64.binary.k8s.io";

/// A log on its way.
struct Running {
    log: LogStream,
    /// What ends a log that is followed.
    over: Over,
    _place: OwnedSemaphorePermit,
}

impl Connection<'_> {
    pub(super) async fn log(&self) -> Result<Response<Body>, Status> {
        let pod = self.object().await?;
        let now = self.cluster.registry().now();
        let options = options::log(&self.request.query, &pod, now)?;
        // A pod without a node has no log, which is not wrong.
        let has_node = pod["spec"]["nodeName"]
            .as_str()
            .is_some_and(|node| !node.is_empty());
        let log: LogStream = if has_node {
            let runner = self.runner()?;
            options::check_log(&pod, &options)?;
            runner.log(&pod, &options).await?
        } else {
            futures::stream::empty().boxed()
        };
        let over = self.end(&pod, &options.container);
        let events = ending(Running {
            log,
            over: over.clone(),
            _place: self.cluster.places().watch()?,
        });
        let headers = &self.request.headers;
        if websocket::is_upgrade(headers) {
            let offered = websocket::protocols(headers);
            let protocol = [BINARY, BASE64]
                .into_iter()
                .find(|known| offered.contains(known));
            let (response, socket) =
                websocket::accept(headers, self.request.take_upgrade(), protocol)?;
            let is_text = protocol == Some(BASE64);
            let sending = websocket::send_bytes(socket, events, is_text);
            tokio::spawn(farewell::carry(sending, over));
            return Ok(response);
        }
        let mut response = respond::raw(StatusCode::OK, "text/plain", Bytes::new());
        let frames = events.map(|bytes| Ok::<_, Infallible>(Frame::data(bytes)));
        let body = StreamBody::new(frames).map_err(|never| match never {});
        *response.body_mut() = body.boxed_unsync();
        Ok(response)
    }
}

/// The log until it, its container or the pod ends. What is there already is sent in any case.
fn ending(running: Running) -> impl Stream<Item = Bytes> + Send + 'static {
    futures::stream::unfold(running, |mut running| async move {
        let next = tokio::select! {
            biased;
            next = running.log.next() => next?,
            () = &mut running.over => return None,
        };
        Some((next, running))
    })
}
