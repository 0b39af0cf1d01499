//! What to do about a Machine. Pure.

use api::meta::labels;
use jiff::Timestamp;
use kube::ResourceExt;
use runtime::Plan;
use serde_json::{Value, json};

use super::{Act, World, delete, node};
use crate::contract::Contract;
use crate::{object, part, pause};

pub(super) fn plan(world: &World, now: Timestamp) -> Plan<Act> {
    if world.is_paused() {
        return pause::plan();
    }
    let mut plan = Plan::default();
    let machine = &world.machine;
    if machine.is_deleting() {
        delete::delete(world, now, &mut plan);
        if let Some(at) = super::status::slow_at(world).filter(|_| !plan.is_finished) {
            plan.again_at(at, now);
        }
        return plan;
    }
    if world.cluster.is_none() {
        let name = &machine.spec.cluster_name;
        plan.wait(
            "ObjectDoesNotExist",
            format!("Cluster {name} does not exist"),
        );
        return plan;
    }
    own_parts(world, &mut plan);
    let spec = spec_changes(world);
    if spec != json!({}) {
        plan.changes.push(object::patch_spec(machine, &spec));
    }
    node::sync(world, &mut plan);
    if machine.node_name().is_none()
        && let Some(node) = world.node()
    {
        plan.note(
            "SuccessfulSetNodeRef",
            format!("The node is {}", node.name_any()),
        );
    }
    plan.again_in = super::status::until_available(world, now);
    if let Some(at) = world.link.lost_at() {
        plan.again_at(at, now);
    }
    let deployment = world.deployment.as_deref();
    if let Some(at) = deployment.and_then(crate::machinedeployment::rollout_after) {
        plan.again_at(at, now);
    }
    plan
}

/// Stand-alone machines belong to the Cluster; bootstrap config and infrastructure belong to the machine.
fn own_parts(world: &World, plan: &mut Plan<Act>) {
    let machine = &world.machine;
    let labels = object::labels([(labels::CLUSTER_NAME, &machine.spec.cluster_name)]);
    let is_alone =
        object::controller_of(&machine.metadata).is_none() && !machine.is_control_plane();
    if is_alone && let Some(cluster) = &world.cluster {
        let owner = object::owner_ref(&**cluster, false);
        plan.changes.extend(object::adopt(
            object::target(machine),
            &machine.metadata,
            &owner,
            &labels,
        ));
    }
    let owner = object::owner_ref(machine, true);
    let parts = [&world.bootstrap, &world.infrastructure];
    for part in parts.into_iter().flatten() {
        plan.changes.extend(part::adopt(part, &owner, &labels));
    }
}

/// What bootstrap and infrastructure report goes into the machine's spec.
fn spec_changes(world: &World) -> Value {
    let mut spec = json!({});
    let machine = &world.machine;
    if machine.spec.bootstrap.data_secret_name.is_none()
        && let Some(bootstrap) = world.bootstrap.as_deref().map(Contract)
        && bootstrap.is_data_secret_created()
        && let Some(name) = bootstrap.data_secret_name()
    {
        spec["bootstrap"] = json!({"dataSecretName": name});
    }
    if let Some(infrastructure) = world.infrastructure.as_deref().map(Contract)
        && infrastructure.is_provisioned()
        && let Some(id) = infrastructure.provider_id()
        && machine.spec.provider_id.as_deref() != Some(id)
    {
        spec["providerID"] = json!(id);
    }
    spec
}
