//! Forwarded ports of a pod.

use std::sync::Arc;

use http::Response;
use serde_json::Value;

use super::channels::{self, Channels};
use super::{Connection, Over, carry, options, streams};
use crate::rest::respond::Body;
use crate::rest::{spdy, websocket};
use crate::runner::PodRunner;
use crate::status::Status;

/// Ports of one request.
const MAX_PORTS: usize = 16;
/// Bytes that wait between the client and a port, in each direction; a client may have more than a hundred.
pub(super) const BUFFER: usize = 16 * 1024;
/// What is spoken on SPDY's streams.
const PROTOCOL: &str = "portforward.k8s.io";
/// SPDY in the messages of a WebSocket, as its subprotocol.
const TUNNEL: &str = "SPDY/3.1+portforward.k8s.io";

/// A pod whose ports are connected with.
#[derive(Clone)]
pub(super) struct Pod {
    pub(super) runner: Arc<dyn PodRunner>,
    pub(super) object: Arc<Value>,
}

impl Connection<'_> {
    /// Connects with ports of a pod.
    pub(super) async fn port_forward(&self) -> Result<Response<Body>, Status> {
        let pod = self.object().await?;
        self.check_upgrade()?;
        let runner = self.runner()?;
        options::check_running(&pod, "")?;
        let place = self.cluster.places().session()?;
        let over = self.end(&pod, "");
        let pod = Pod {
            runner,
            object: Arc::new(pod),
        };
        let headers = &self.request.headers;
        let upgrade = self.request.take_upgrade();
        if spdy::is_upgrade(headers) {
            let protocol = spdy::protocol(headers, &[PROTOCOL])?;
            let (response, connection) = spdy::accept(upgrade, protocol)?;
            carry(place, over.clone(), async move {
                if let Some(connection) = connection.await {
                    forward(connection, pod, over).await;
                }
            });
            return Ok(response);
        }
        if websocket::protocols(headers).contains(&TUNNEL) {
            let (response, socket) = websocket::accept(headers, upgrade, Some(TUNNEL))?;
            carry(place, over.clone(), async move {
                if let Some(socket) = socket.await {
                    forward(spdy::Connection::in_tunnel(socket), pod, over).await;
                }
            });
            return Ok(response);
        }
        let ports = self.ports()?;
        let channels = Channels::of_ports(headers)?;
        let (response, socket) = websocket::accept(headers, upgrade, channels.protocol())?;
        carry(place, over.clone(), async move {
            let Some(socket) = socket.await else { return };
            tokio::select! {
                () = channels::ports(socket, channels, &pod, ports) => {}
                () = over => {}
            }
        });
        Ok(response)
    }

    /// The ports that the request names, where streams do not.
    fn ports(&self) -> Result<Vec<u16>, Status> {
        let all = self.request.query.all("ports");
        let ports: Result<Vec<u16>, Status> = all
            .flat_map(|ports| ports.split(','))
            .filter(|port| !port.is_empty())
            .map(|port| {
                port.parse().ok().filter(|port| *port > 0).ok_or_else(|| {
                    Status::bad_request(format!(
                        "invalid port {port:?}: it must be a number from 1 to 65535"
                    ))
                })
            })
            .collect();
        let ports = ports?;
        if ports.is_empty() || ports.len() > MAX_PORTS {
            return Err(Status::bad_request(format!(
                "the query parameter ports must name 1 to {MAX_PORTS} ports"
            )));
        }
        Ok(ports)
    }
}

async fn forward(connection: spdy::Connection, pod: Pod, over: Over) {
    let serve = connection.serve(async |opened| {
        tokio::select! {
            () = streams::ports(opened, &pod) => {}
            () = over => {}
        }
    });
    serve.await;
}

impl Pod {
    /// What the client hears of a port that could not be connected with.
    pub(super) fn failure(&self, port: u16, status: &Status) -> String {
        let text = |field: &str| self.object["metadata"][field].as_str().unwrap_or_default();
        format!(
            "error forwarding port {port} to pod {}, uid {}: {}",
            text("name"),
            text("uid"),
            status.message
        )
    }
}
