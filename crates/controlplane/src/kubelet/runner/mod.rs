//! What can be asked of simulated containers: their log, a few programs, and their ports.
//!
//! Nothing runs in them. The log is the text of the setting `log` (see [`super::script`]), or one line that says that the
//! container is simulated; `exec` knows the programs in [`program`], which see the container's environment and the
//! ConfigMaps that are mounted into it; on the ports that a container declares [`port`] answers HTTP.

mod log;
mod place;
mod port;
mod program;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
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
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::ListParams;
use serde::Deserialize;
use serde_json::Value;
use tokio::io::DuplexStream;

use self::port::Port;
use super::script::{Script, Settings, Source};
use crate::connect::client;

/// Stands for the containers of one cluster's simulated pods.
pub struct SimulatedPods {
    /// The cluster keeps this.
    cluster: Weak<Cluster>,
    profile: Arc<Source>,
}

impl SimulatedPods {
    /// For the pods of `cluster`, with its profile.
    #[must_use]
    pub fn of(cluster: &Arc<Cluster>, profile: Arc<Source>) -> Self {
        Self {
            cluster: Arc::downgrade(cluster),
            profile,
        }
    }

    /// What a container is scripted to do.
    fn settings(&self, pod: &Value, container: &str) -> Settings {
        let pod = Pod::deserialize(pod).unwrap_or_default();
        Script::of(&pod, &self.profile.now()).container(container)
    }

    /// What the ports of the pod's containers answer, by the names of the containers.
    fn answers(&self, pod: &Value) -> BTreeMap<String, String> {
        let pod = Pod::deserialize(pod).unwrap_or_default();
        let script = Script::of(&pod, &self.profile.now());
        let names = pod.spec.iter().flat_map(|spec| &spec.containers);
        names
            .filter_map(|c| Some((c.name.clone(), script.container(&c.name).http?)))
            .collect()
    }

    /// Reads what containers see as the node of the pod would.
    fn client(&self, pod: &Value) -> Result<kube::Client, Status> {
        let node = pod["spec"]["nodeName"].as_str().unwrap_or_default();
        let user = User::authenticated(format!("system:node:{node}"), ["system:nodes".to_owned()]);
        let namespace = pod["metadata"]["namespace"].as_str().unwrap_or("default");
        self.client_as(user, namespace)
    }

    fn client_as(&self, user: User, namespace: &str) -> Result<kube::Client, Status> {
        let cluster = self
            .cluster
            .upgrade()
            .ok_or_else(|| unreachable("the cluster is gone"))?;
        Ok(client(cluster.service(user), namespace))
    }
}

impl SimulatedPods {
    /// The port of a ready pod behind a port of a service.
    async fn endpoint(&self, service: &Value, wanted: &str) -> Result<Port, Status> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (name, namespace) = (
            text(&service["metadata"]["name"]),
            text(&service["metadata"]["namespace"]),
        );
        let ports = service["spec"]["ports"].as_array();
        let mut ports = ports.into_iter().flatten();
        let number: Option<u64> = wanted.parse().ok();
        let is_it = |port: &&Value| {
            let has_number = number.is_some() && port["port"].as_u64() == number;
            wanted.is_empty() || port["name"] == wanted || has_number
        };
        let port = ports.find(is_it).ok_or_else(|| {
            unreachable(&format!(
                "no service port {wanted:?} found for service {name:?}"
            ))
        })?;
        let target = match &port["targetPort"] {
            Value::String(name) => name.clone(),
            Value::Number(number) => number.to_string(),
            _ => port["port"].to_string(),
        };
        let none = || unreachable(&format!("no endpoints available for service {name:?}"));
        let selector = service["spec"]["selector"].as_object().ok_or_else(none)?;
        let labels: Vec<String> = selector
            .iter()
            .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
            .collect();
        let server = User::authenticated("system:apiserver", ["system:masters".to_owned()]);
        let client = self.client_as(server, &namespace)?;
        let pods: Api<Pod> = Api::namespaced(client, &namespace);
        let params = ListParams::default().labels(&labels.join(","));
        let found = pods.list(&params).await.map_err(|error| {
            Status::internal(format!(
                "the pods of service {name:?} cannot be read: {error}"
            ))
        })?;
        let ready = found.items.iter().find(|pod| crate::pod::is_ready(pod));
        let pod = serde_json::to_value(ready.ok_or_else(none)?).map_err(Status::internal)?;
        Port::of(&pod, &target, &self.answers(&pod))
    }
}

fn unreachable(why: &str) -> Status {
    Status::new(503, "ServiceUnavailable", why)
}

#[async_trait]
impl PodRunner for SimulatedPods {
    async fn log(&self, pod: &Value, options: &LogOptions) -> Result<LogStream, Status> {
        let said = self.settings(pod, &options.container).log;
        let said = log::text(pod, said.as_deref(), options);
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

    async fn attach(
        &self,
        _: &Value,
        _: &SessionOptions,
        mut session: Session,
    ) -> Result<i32, Status> {
        // The main process is silent and never ends by itself, and what it is told is lost on it: input that waits would keep
        // the server from hearing that the client is gone.
        while session.stdin.recv().await.is_some() {}
        std::future::pending().await
    }

    async fn port_forward(
        &self,
        pod: &Value,
        port: u16,
        stream: DuplexStream,
    ) -> Result<(), Status> {
        Port::of(pod, &port.to_string(), &self.answers(pod))?
            .serve(stream)
            .await
    }

    async fn proxy(&self, request: ProxyRequest) -> Result<http::Response<Bytes>, Status> {
        let name = request.object["metadata"]["name"]
            .as_str()
            .unwrap_or_default();
        if request.is_tls {
            return Err(unreachable(&format!(
                "error trying to reach {name:?}: simulated containers speak no TLS"
            )));
        }
        let port = match request.target {
            ProxyTarget::Pod => {
                let pod = &request.object;
                Port::of(pod, &request.port, &self.answers(pod))?
            }
            ProxyTarget::Service => self.endpoint(&request.object, &request.port).await?,
            ProxyTarget::Node => {
                return Err(unreachable(&format!(
                    "error trying to reach node {name:?}: it is simulated, and nothing listens there"
                )));
            }
        };
        Ok(port.answer(&request.method, &request.path))
    }
}
