//! ReplicationControllers keep a number of pods alive, as ReplicaSets do.
//!
//! Reads ReplicationControllers and the pods of their namespace; writes pods (creates, adopts, releases, deletes) and the
//! status. A ReplicationController is planned for as the ReplicaSet that it would be: they differ in how they select and in
//! who they say they are.

#[cfg(test)]
mod tests;

use std::convert::Infallible;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{ReplicaSet, ReplicaSetSpec};
use k8s_openapi::api::core::v1::ReplicationController;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use runtime::{Cx, GatherError, Note, Outcome, Plan, Reconciler};
use serde_json::Value;

use crate::replicaset::{self, Kind, World};

/// Keeps the pods of ReplicationControllers.
#[derive(Debug, Default)]
pub struct ReplicationManager;

impl Reconciler for ReplicationManager {
    const NAME: &'static str = "replicationcontroller";
    const REPORTER: &'static str = "replication-controller";
    type Object = ReplicationController;
    type World = World;
    type Act = Infallible;

    async fn gather(&self, cx: &Cx, object: &ReplicationController) -> Result<World, GatherError> {
        let kind = Kind("v1", "ReplicationController");
        World::read(cx, kind, as_replica_set(object)).await
    }

    fn plan(world: &World, now: Timestamp) -> Plan<Infallible> {
        replicaset::plan::plan(world, now)
    }

    fn status(
        world: &World,
        plan: &Plan<Infallible>,
        outcome: &Outcome,
        now: Timestamp,
    ) -> Option<Value> {
        let mut status = replicaset::status::status(world, plan, outcome, now);
        // Only ReplicaSets tell of pods that go.
        if let Some(members) = status.as_object_mut() {
            members.remove("terminatingReplicas");
        }
        Some(status)
    }

    fn refusal(_: &World, plan: &Plan<Infallible>, outcome: &Outcome) -> Note {
        replicaset::status::refusal(plan, outcome)
    }
}

fn as_replica_set(object: &ReplicationController) -> ReplicaSet {
    let spec = object.spec.as_ref().map(|spec| ReplicaSetSpec {
        replicas: spec.replicas,
        min_ready_seconds: spec.min_ready_seconds,
        selector: LabelSelector {
            match_labels: spec.selector.clone(),
            match_expressions: None,
        },
        template: spec.template.clone(),
    });
    ReplicaSet {
        metadata: object.metadata.clone(),
        spec,
        status: None,
    }
}
