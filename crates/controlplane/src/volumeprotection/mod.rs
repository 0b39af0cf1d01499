//! Volumes and claims that are deleted stay until nobody uses them: a claim until no pod on a node does, a volume until it
//! is not bound.
//!
//! Reads PersistentVolumeClaims with their pods, and PersistentVolumes; takes the finalizers away that admission gave them.

use std::convert::Infallible;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use runtime::{Change, Cx, GatherError, ObjectRef, Outcome, Plan, Reconciler, Selector};
use serde_json::{Value, json};

use crate::pod;

const CLAIM_FINALIZER: &str = "kubernetes.io/pvc-protection";
const VOLUME_FINALIZER: &str = "kubernetes.io/pv-protection";

/// Lets go of deleted claims.
#[derive(Clone, Copy, Debug, Default)]
pub struct ClaimProtection;

/// Lets go of deleted volumes.
#[derive(Clone, Copy, Debug, Default)]
pub struct VolumeProtection;

/// One claim or volume.
#[derive(Debug)]
pub struct World {
    target: ObjectRef,
    revision: String,
    finalizers: Vec<String>,
    /// The one that keeps it.
    finalizer: &'static str,
    is_deleting: bool,
    is_used: bool,
}

impl World {
    fn of<K: Resource<DynamicType = ()>>(object: &K, finalizer: &'static str) -> Self {
        let metadata: &ObjectMeta = object.meta();
        Self {
            target: ObjectRef {
                group: K::group(&()).into_owned(),
                version: K::version(&()).into_owned(),
                kind: K::kind(&()).into_owned(),
                namespace: metadata.namespace.clone().unwrap_or_default(),
                name: metadata.name.clone().unwrap_or_default(),
            },
            revision: metadata.resource_version.clone().unwrap_or_default(),
            finalizers: metadata.finalizers.clone().unwrap_or_default(),
            finalizer,
            is_deleting: metadata.deletion_timestamp.is_some(),
            is_used: false,
        }
    }

    /// Only what is being deleted and held is looked at closer.
    fn is_held(&self) -> bool {
        self.is_deleting && self.finalizers.iter().any(|f| f == self.finalizer)
    }
}

impl Reconciler for ClaimProtection {
    const NAME: &'static str = "pvc-protection";
    type Object = PersistentVolumeClaim;
    type World = World;
    type Act = Infallible;

    async fn gather(&self, cx: &Cx, claim: &PersistentVolumeClaim) -> Result<World, GatherError> {
        let mut world = World::of(claim, CLAIM_FINALIZER);
        if world.is_held() {
            let namespace = world.target.namespace.clone();
            let pods = cx.list(Some(&namespace), &Selector::all()).await?;
            world.is_used = pods.iter().any(|pod| uses(pod, &world.target.name));
        }
        Ok(world)
    }

    fn plan(world: &World, _now: Timestamp) -> Plan<Infallible> {
        plan(world)
    }

    fn status(
        _world: &World,
        _plan: &Plan<Infallible>,
        _outcome: &Outcome,
        _now: Timestamp,
    ) -> Option<Value> {
        None
    }
}

impl Reconciler for VolumeProtection {
    const NAME: &'static str = "pv-protection";
    type Object = PersistentVolume;
    type World = World;
    type Act = Infallible;

    async fn gather(&self, _cx: &Cx, volume: &PersistentVolume) -> Result<World, GatherError> {
        let status = volume.status.as_ref();
        let is_used = status.and_then(|s| s.phase.as_deref()) == Some("Bound");
        Ok(World {
            is_used,
            ..World::of(volume, VOLUME_FINALIZER)
        })
    }

    fn plan(world: &World, _now: Timestamp) -> Plan<Infallible> {
        plan(world)
    }

    fn status(
        _world: &World,
        _plan: &Plan<Infallible>,
        _outcome: &Outcome,
        _now: Timestamp,
    ) -> Option<Value> {
        None
    }
}

/// Whether the pod runs with the claim: it is on a node, where pods with deleted claims are not started, and not over.
fn uses(pod: &Pod, claim: &str) -> bool {
    let spec = pod.spec.as_ref();
    let is_on_node = spec.is_some_and(|s| s.node_name.as_ref().is_some_and(|n| !n.is_empty()));
    let mut volumes = spec.into_iter().flat_map(|s| s.volumes.iter().flatten());
    is_on_node
        && !pod::is_over(pod)
        && volumes.any(|volume| {
            let source = volume.persistent_volume_claim.as_ref();
            // The claim of an ephemeral volume is named after both.
            let own = || {
                let name = pod.metadata.name.as_deref().unwrap_or_default();
                volume.ephemeral.is_some() && format!("{name}-{}", volume.name) == claim
            };
            source.is_some_and(|source| source.claim_name == claim) || own()
        })
}

fn plan(world: &World) -> Plan<Infallible> {
    let mut plan = Plan::default();
    if world.is_held() && !world.is_used {
        let mut finalizers = world.finalizers.clone();
        finalizers.retain(|finalizer| finalizer != world.finalizer);
        plan.changes.push(Change::Patch {
            target: world.target.clone(),
            subresource: "",
            // At that state only: others have finalizers, too.
            patch: json!({"metadata": {"resourceVersion": world.revision, "finalizers": finalizers}}),
        });
    }
    plan
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    fn check(is_deleting: bool, is_used: bool, expect: &Expect) {
        let mut metadata = json!({"name": "data", "namespace": "team", "resourceVersion": "7", "finalizers": ["other", CLAIM_FINALIZER]});
        if is_deleting {
            metadata["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        }
        let claim: PersistentVolumeClaim =
            serde_json::from_value(json!({"metadata": metadata})).unwrap();
        let world = World {
            is_used,
            ..World::of(&claim, CLAIM_FINALIZER)
        };
        expect.assert_eq(&format!("{:?}", plan(&world).changes));
    }

    #[test]
    fn what_is_deleted_and_unused_is_let_go() {
        check(false, false, &expect!["[]"]);
        check(true, true, &expect!["[]"]);
        check(
            true,
            false,
            &expect![[
                r#"[Patch { target: ObjectRef { group: "", version: "v1", kind: "PersistentVolumeClaim", namespace: "team", name: "data" }, subresource: "", patch: Object {"metadata": Object {"finalizers": Array [String("other")], "resourceVersion": String("7")}} }]"#
            ]],
        );
    }

    #[test]
    fn pods_on_nodes_use_their_claims_until_they_are_over() {
        let pod = |node: &str, phase: &str| -> Pod {
            let volumes = json!([{"name": "a", "persistentVolumeClaim": {"claimName": "data"}}, {"name": "own", "ephemeral": {}}]);
            let pod = json!({"metadata": {"name": "web"}, "spec": {"nodeName": node, "containers": [], "volumes": volumes}, "status": {"phase": phase}});
            serde_json::from_value(pod).unwrap()
        };
        assert!(uses(&pod("n", "Running"), "data"));
        assert!(uses(&pod("n", "Pending"), "web-own"));
        assert!(!uses(&pod("n", "Running"), "other"));
        assert!(!uses(&pod("", "Pending"), "data"));
        assert!(!uses(&pod("n", "Succeeded"), "data"));
    }
}
