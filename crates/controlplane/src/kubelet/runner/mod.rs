//! What can be asked of simulated containers: their log, and a few programs.
//!
//! Nothing runs in them. The log is the text of the annotation `simulated.apiary.io/log`, or one line that says that the
//! container is simulated; `exec` knows the programs in [`program`], which see the container's environment and the
//! ConfigMaps that are mounted into it; nothing listens on any port.

mod log;
mod place;
mod program;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Weak};

use apiserver::Cluster;
use apiserver::auth::User;
use apiserver::runner::{
    LogOptions, LogStream, PodRunner, ProxyRequest, ProxyTarget, Session, SessionOptions,
};
use apiserver::status::Status;
use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use serde_json::Value;
use tokio::io::DuplexStream;

use crate::connect::client;

/// Stands for the containers of one cluster's simulated pods.
pub struct SimulatedPods {
    /// The cluster keeps this.
    cluster: Weak<Cluster>,
}

impl SimulatedPods {
    /// For the pods of `cluster`.
    #[must_use]
    pub fn of(cluster: &Arc<Cluster>) -> Self {
        Self {
            cluster: Arc::downgrade(cluster),
        }
    }

    /// Reads what containers see as the node of the pod would.
    fn client(&self, pod: &Value) -> Result<kube::Client, Status> {
        let cluster = self
            .cluster
            .upgrade()
            .ok_or_else(|| unreachable("the cluster is gone"))?;
        let node = pod["spec"]["nodeName"].as_str().unwrap_or_default();
        let user = User::authenticated(format!("system:node:{node}"), ["system:nodes".to_owned()]);
        let namespace = pod["metadata"]["namespace"].as_str().unwrap_or("default");
        Ok(client(cluster.service(user), namespace))
    }
}

fn unreachable(why: &str) -> Status {
    Status::new(503, "ServiceUnavailable", why)
}

#[async_trait]
impl PodRunner for SimulatedPods {
    async fn log(&self, pod: &Value, options: &LogOptions) -> Result<LogStream, Status> {
        let said = log::text(pod, options);
        let now = (!said.is_empty()).then(|| Bytes::from(said));
        let said = futures::stream::iter(now);
        Ok(if options.follow {
            // Simulated containers say nothing more.
            said.chain(futures::stream::pending()).boxed()
        } else {
            said.boxed()
        })
    }

    async fn exec(
        &self,
        pod: &Value,
        options: &SessionOptions,
        session: Session,
    ) -> Result<i32, Status> {
        let place = place::Place::of(&self.client(pod)?, pod, &options.container).await;
        Ok(program::run(&options.command, &place, session).await)
    }

    async fn attach(&self, _: &Value, _: &SessionOptions, session: Session) -> Result<i32, Status> {
        // The main process is silent and never ends by itself. The client's ends must stay open.
        let _held = session;
        std::future::pending().await
    }

    async fn port_forward(&self, pod: &Value, port: u16, _: DuplexStream) -> Result<(), Status> {
        let name = pod["metadata"]["name"].as_str().unwrap_or_default();
        Err(unreachable(&format!(
            "nothing listens on port {port} of pod {name:?}: its containers are simulated"
        )))
    }

    async fn proxy(&self, request: ProxyRequest) -> Result<http::Response<Bytes>, Status> {
        let what = match request.target {
            ProxyTarget::Pod => "pod",
            ProxyTarget::Service => "service",
            ProxyTarget::Node => "node",
        };
        let name = request.object["metadata"]["name"]
            .as_str()
            .unwrap_or_default();
        Err(unreachable(&format!(
            "error trying to reach {what} {name:?}: it is simulated, and nothing listens there"
        )))
    }
}
