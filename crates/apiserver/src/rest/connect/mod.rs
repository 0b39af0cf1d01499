//! What goes on to whoever runs the pods: logs, sessions in containers, forwarded ports, proxied requests.
//!
//! These answer with what they reach, not with objects, so nothing is negotiated here.

mod channels;
mod log;
mod options;
mod ports;
mod proxy;
mod session;
mod streams;

use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::Shared;
use http::Response;
use serde_json::Value;
use tokio::sync::OwnedSemaphorePermit;

use super::respond::Body;
use super::{Admitted, farewell, spdy, websocket};
use crate::auth::{Attributes, Authorizer};
use crate::registry::{Call, Target};
use crate::runner::PodRunner;
use crate::server::Cluster;
use crate::status::Status;

/// Whether the subresource is one of these.
pub(super) fn is_connection(subresource: &str) -> bool {
    matches!(
        subresource,
        "log" | "exec" | "attach" | "portforward" | "proxy"
    )
}

/// Resolves when there is nothing left to be connected to.
type Over = Shared<Pin<Box<dyn Future<Output = ()> + Send>>>;

/// What all connections begin with.
struct Connection<'a> {
    cluster: &'a Arc<Cluster>,
    request: &'a Admitted,
    target: &'a Target,
}

/// Answers a request to one of these subresources.
pub(super) async fn answer(
    cluster: &Arc<Cluster>,
    request: &Admitted,
    target: &Target,
    body: &[u8],
) -> Result<Response<Body>, Status> {
    let connection = Connection {
        cluster,
        request,
        target,
    };
    let subresource = target.subresource.as_str();
    if subresource == "log" {
        return connection.log().await;
    }
    // Everything here does something somewhere else.
    if request.query.get("dryRun").is_some() {
        return Err(Status::bad_request("dryRun is not supported"));
    }
    connection.admit().await?;
    match subresource {
        "proxy" => connection.proxy(Bytes::copy_from_slice(body)).await,
        "portforward" => connection.port_forward().await,
        _ => connection.session().await,
    }
}

impl Connection<'_> {
    /// The object that is connected to.
    async fn object(&self) -> Result<Value, Status> {
        self.named(&self.target.name).await
    }

    async fn named(&self, name: &str) -> Result<Value, Status> {
        let object = Target {
            name: name.to_owned(),
            subresource: String::new(),
            ..self.target.clone()
        };
        Ok(self.cluster.registry().get(&object).await?.into_value())
    }

    fn runner(&self) -> Result<Arc<dyn PodRunner>, Status> {
        self.cluster.pod_runner().ok_or_else(|| {
            Status::new(
                503,
                "ServiceUnavailable",
                format!(
                    "{} of {:?} is not available: nothing runs the pods of this cluster",
                    self.target.subresource, self.target.name
                ),
            )
        })
    }

    /// Who opens a session by a GET that becomes a WebSocket must be allowed what a POST needs: it is no mere reading.
    fn check_upgrade(&self) -> Result<(), Status> {
        let headers = &self.request.headers;
        if !websocket::is_upgrade(headers) && !spdy::is_upgrade(headers) {
            return Err(Status::bad_request(
                "you must request an upgrade to a WebSocket or to SPDY/3.1",
            ));
        }
        let target = self.target;
        let attributes = Attributes {
            verb: "create".into(),
            group: target.resource.group.to_string(),
            version: target.resource.version.to_string(),
            resource: target.resource.plural.to_string(),
            subresource: target.subresource.clone(),
            namespace: target.namespace.clone(),
            name: target.name.clone(),
            ..Attributes::default()
        };
        let user = &self.request.user;
        let decision = self.cluster.authorize(user, &attributes);
        if decision.allowed {
            Ok(())
        } else {
            Err(Authorizer::forbidden(user, &attributes, &decision.reason))
        }
    }

    /// When the pod or its container (any, if empty) is no longer there to be connected to.
    fn end(&self, pod: &Value, container: &str) -> Over {
        let main = Target {
            subresource: String::new(),
            ..self.target.clone()
        };
        let uid = pod["metadata"]["uid"].clone();
        let over = is_over(self.cluster.clone(), main, uid, container.to_owned());
        over.boxed().shared()
    }

    /// Lets admission look at what is asked.
    async fn admit(&self) -> Result<(), Status> {
        let subresource = self.target.resource.subresource(&self.target.subresource);
        let kind = subresource.map_or("", |subresource| &subresource.kind);
        let options = self.request.query.connect_options(kind);
        let mut call = Call::new(&self.request.user, "");
        let registry = self.cluster.registry();
        registry
            .admit_connection(&mut call, self.target, options)
            .await
    }
}

/// Carries a session or ports in a task of its own, not much longer than there is something to be connected to.
fn carry(
    place: OwnedSemaphorePermit,
    over: Over,
    carried: impl Future<Output = ()> + Send + 'static,
) {
    tokio::spawn(async move {
        let _place = place;
        farewell::carry(carried, over).await;
    });
}

/// Resolves when the pod is gone, or its container (any, if empty) has ended, or the cluster.
async fn is_over(cluster: Arc<Cluster>, target: Target, uid: Value, container: String) {
    let store = cluster.registry().store().clone();
    let key = target.key();
    let Ok(mut changes) = store.watch("pods", Some(&target.namespace), store.revision()) else {
        return;
    };
    loop {
        let Some(pod) = store.get(&key) else { return };
        let pod = pod.value();
        if pod["metadata"]["uid"] != uid || options::has_ended(&pod, &container) {
            return;
        }
        tokio::select! {
            change = changes.next() => if change.is_err() { return },
            () = cluster.closed() => return,
        }
    }
}
