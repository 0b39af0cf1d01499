//! Who may view a namespace may view its metrics: the role that says so, in clusters of simulated nodes.

use std::convert::Infallible;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::api::rbac::v1::ClusterRole;
use kube::core::{ApiResource, DynamicObject};
use runtime::{Change, Cx, GatherError, Outcome, Plan, Reconciler};
use serde_json::{Value, json};

use crate::kubelet::is_simulated;

/// As the metrics server calls it.
const ROLE: &str = "system:aggregated-metrics-reader";

/// Keeps the role.
#[derive(Clone, Copy, Debug, Default)]
pub struct MetricsReader;

impl Reconciler for MetricsReader {
    const NAME: &'static str = "metrics-reader";
    type Object = Node;
    /// The role is missing.
    type World = bool;
    type Act = Infallible;

    async fn gather(&self, cx: &Cx, node: &Node) -> Result<bool, GatherError> {
        Ok(is_simulated(node) && cx.get::<ClusterRole>("", ROLE).await?.is_none())
    }

    fn plan(is_missing: &bool, _now: Timestamp) -> Plan<Infallible> {
        let mut plan = Plan::default();
        plan.changes.extend(is_missing.then(role));
        plan
    }

    fn status(_: &bool, _: &Plan<Infallible>, _: &Outcome, _: Timestamp) -> Option<Value> {
        None
    }
}

fn role() -> Change<Infallible> {
    let mut role = DynamicObject::new(ROLE, &ApiResource::erase::<ClusterRole>(&()));
    let to = |role: &str| {
        let label = format!("rbac.authorization.k8s.io/aggregate-to-{role}");
        (label, "true".to_owned())
    };
    role.metadata.labels = Some([to("view"), to("edit"), to("admin")].into());
    role.data = json!({"rules": [
        {"apiGroups": ["metrics.k8s.io"], "resources": ["pods", "nodes"], "verbs": ["get", "list", "watch"]},
    ]});
    Change::Create(Box::new(role))
}
