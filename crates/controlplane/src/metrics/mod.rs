//! `metrics.k8s.io`: what simulated pods and their nodes use, for `kubectl top` and autoscalers.
//!
//! A part of the process that serves the group in clusters with simulated nodes, through the aggregation layer. It keeps
//! nothing: each answer is computed from the pods as they are, and what they are scripted to use ([`crate::kubelet::usage`]).

mod figures;
mod reader;
#[cfg(test)]
mod tests;

use std::sync::{Arc, OnceLock, Weak};

use apiserver::Cluster;
use apiserver::aggregation::{Api, ApiAnswer, ApiRequest, declare};
use apiserver::auth::User;
use apiserver::resource::Resource;
use apiserver::status::Status;
use async_trait::async_trait;
use http::StatusCode;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::ListParams;
use kube::{Api as Objects, Client};
use runtime::Clock;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

pub use reader::MetricsReader;

use crate::connect::client;
use crate::kubelet::script::Source;

const GROUP: &str = "metrics.k8s.io";
const VERSION: &str = "metrics.k8s.io/v1beta1";

/// Serves the metrics of one cluster.
pub struct Metrics {
    /// The cluster keeps this.
    cluster: Weak<Cluster>,
    profile: Arc<Source>,
    clock: Clock,
}

impl Metrics {
    /// For the simulated pods of `cluster`, with its profile.
    #[must_use]
    pub fn of(cluster: &Arc<Cluster>, profile: Arc<Source>, clock: Clock) -> Self {
        Self {
            cluster: Arc::downgrade(cluster),
            profile,
            clock,
        }
    }

    /// Reads as the server itself: that the user may see metrics has been decided.
    fn client(&self) -> Result<Client, Status> {
        let gone = || Status::new(503, "ServiceUnavailable", "the cluster is gone");
        let cluster = self.cluster.upgrade().ok_or_else(gone)?;
        let user = User::authenticated("system:apiserver", ["system:masters".to_owned()]);
        Ok(client(cluster.service(user), "default"))
    }

    async fn pods(&self, request: &ApiRequest) -> Result<ApiAnswer, Status> {
        let client = self.client()?;
        let pods = if request.namespace.is_empty() {
            Objects::<Pod>::all(client)
        } else {
            Objects::<Pod>::namespaced(client, &request.namespace)
        };
        let (now, profile) = (self.clock.now(), self.profile.now());
        let of = |pod: &Pod| figures::of_pod(pod, &profile, now);
        if request.name.is_empty() {
            let found = list(&pods, request).await?;
            let items = found.iter().filter_map(of).collect();
            return Ok(answer("PodMetricsList", items));
        }
        let found = pods.get_opt(&request.name).await.map_err(refused)?;
        let found = found.as_ref().and_then(of);
        one(found, "pods", &request.name)
    }

    async fn nodes(&self, request: &ApiRequest) -> Result<ApiAnswer, Status> {
        let client = self.client()?;
        let nodes = Objects::<Node>::all(client.clone());
        let pods = Objects::<Pod>::all(client);
        let (now, profile) = (self.clock.now(), self.profile.now());
        if request.name.is_empty() {
            let found = list(&nodes, request).await?;
            let pods = pods.list(&ListParams::default()).await.map_err(refused)?;
            let used = figures::by_node(&pods.items, &profile, now);
            let items = found
                .iter()
                .filter_map(|node| figures::of_node(node, &used, now));
            return Ok(answer("NodeMetricsList", items.collect()));
        }
        let found = nodes.get_opt(&request.name).await.map_err(refused)?;
        let mine = format!("spec.nodeName={}", request.name);
        let pods = pods.list(&ListParams::default().fields(&mine)).await;
        let used = figures::by_node(&pods.map_err(refused)?.items, &profile, now);
        let found = found.and_then(|node| figures::of_node(&node, &used, now));
        one(found, "nodes", &request.name)
    }
}

/// The objects that the request selects.
async fn list<K>(objects: &Objects<K>, request: &ApiRequest) -> Result<Vec<K>, Status>
where
    K: Clone + DeserializeOwned + std::fmt::Debug,
{
    let params = ListParams {
        label_selector: request.query("labelSelector"),
        field_selector: request.query("fieldSelector"),
        ..ListParams::default()
    };
    let list = objects.list(&params).await.map_err(refused)?;
    Ok(list.items)
}

fn answer(kind: &str, items: Vec<Value>) -> ApiAnswer {
    let list = json!({"apiVersion": VERSION, "kind": kind, "metadata": {}, "items": items});
    ApiAnswer::Object(StatusCode::OK, list)
}

fn one(found: Option<Value>, plural: &str, name: &str) -> Result<ApiAnswer, Status> {
    match found {
        Some(found) => Ok(ApiAnswer::Object(StatusCode::OK, found)),
        None => Err(Status::not_found(GROUP, plural, name)),
    }
}

fn refused(error: kube::Error) -> Status {
    match error {
        kube::Error::Api(status) => {
            Status::new(status.code, status.reason.clone(), status.message.clone())
        }
        other => Status::internal(runtime::chain(&other)),
    }
}

#[async_trait]
impl Api for Metrics {
    fn resources(&self) -> &[Arc<Resource>] {
        static RESOURCES: OnceLock<Vec<Arc<Resource>>> = OnceLock::new();
        RESOURCES.get_or_init(|| {
            let pods = declare(&figures::definition("PodMetrics", "pods"), &["get", "list"]);
            let nodes = declare(
                &figures::definition("NodeMetrics", "nodes"),
                &["get", "list"],
            );
            // That they are valid is tested.
            let mut all = pods.unwrap_or_default();
            all.extend(nodes.unwrap_or_default());
            all
        })
    }

    /// A metrics server that somebody installs has nothing to measure here.
    fn is_stand_in(&self) -> bool {
        true
    }

    async fn answer(&self, request: ApiRequest) -> Result<ApiAnswer, Status> {
        match request.resource.as_str() {
            "pods" => self.pods(&request).await,
            _ => self.nodes(&request).await,
        }
    }
}
