//! Claims that live with one pod: a volume of a pod may have a template for its claim.
//!
//! Reads pods and their claims; writes the claims, named `<pod>-<volume>`, with the pod as their owner, so that they go
//! with it.

#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, Volume};
use kube::core::{ApiResource, DynamicObject};
use runtime::{Change, Cx, GatherError, Outcome, Plan, Reconciler};
use serde_json::{Value, json};

/// Makes the claims of pods.
#[derive(Clone, Copy, Debug, Default)]
pub struct EphemeralVolumeController;

/// One pod, and the claim of each of its volumes with a template.
#[derive(Debug)]
pub struct World {
    pub(crate) pod: Pod,
    pub(crate) claims: Vec<(Volume, Option<Arc<PersistentVolumeClaim>>)>,
}

impl Reconciler for EphemeralVolumeController {
    const NAME: &'static str = "ephemeral-volume";
    const REPORTER: &'static str = "ephemeral_volume";
    type Object = Pod;
    type World = World;
    type Act = Infallible;

    async fn gather(&self, cx: &Cx, pod: &Pod) -> Result<World, GatherError> {
        let mut claims = vec![];
        if crate::pod::is_active(pod) {
            let volumes = pod
                .spec
                .iter()
                .flat_map(|spec| spec.volumes.iter().flatten());
            for volume in volumes.filter(|volume| volume.ephemeral.is_some()) {
                let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
                let claim = cx.get(namespace, &name(pod, volume)).await?;
                claims.push((volume.clone(), claim));
            }
        }
        Ok(World {
            pod: pod.clone(),
            claims,
        })
    }

    fn plan(world: &World, _now: Timestamp) -> Plan<Infallible> {
        plan(world)
    }

    fn status(_: &World, _: &Plan<Infallible>, _: &Outcome, _: Timestamp) -> Option<Value> {
        None
    }
}

fn name(pod: &Pod, volume: &Volume) -> String {
    let pod = pod.metadata.name.as_deref().unwrap_or_default();
    format!("{pod}-{}", volume.name)
}

fn plan(world: &World) -> Plan<Infallible> {
    let mut plan = Plan::default();
    let meta = &world.pod.metadata;
    for (volume, claim) in &world.claims {
        let Some(claim) = claim else {
            plan.changes.push(create(world, volume));
            continue;
        };
        let owners = claim.metadata.owner_references.iter().flatten();
        if !owners
            .into_iter()
            .any(|owner| Some(&owner.uid) == meta.uid.as_ref())
        {
            let claim = name(&world.pod, volume);
            let why = format!(
                "PVC \"{claim}\" was not created for pod \"{}\" (pod is not owner): volume \"{}\" needs a claim of this name",
                meta.name.as_deref().unwrap_or_default(),
                volume.name
            );
            plan.warn("FailedBinding", why);
        }
    }
    plan
}

fn create(world: &World, volume: &Volume) -> Change<Infallible> {
    let meta = &world.pod.metadata;
    let template = volume
        .ephemeral
        .as_ref()
        .and_then(|e| e.volume_claim_template.as_ref());
    let resource = ApiResource::erase::<PersistentVolumeClaim>(&());
    let namespace = meta.namespace.as_deref().unwrap_or_default();
    let mut claim = DynamicObject::new(&name(&world.pod, volume), &resource).within(namespace);
    claim.metadata.owner_references = serde_json::from_value(json!([{
        "apiVersion": "v1", "kind": "Pod", "name": meta.name, "uid": meta.uid,
        "controller": true, "blockOwnerDeletion": true,
    }]))
    .ok();
    if let Some(template) = template {
        if let Some(own) = &template.metadata {
            claim.metadata.labels = own.labels.clone();
            claim.metadata.annotations = own.annotations.clone();
        }
        claim.data = json!({"spec": template.spec});
    }
    Change::Create(Box::new(claim))
}
