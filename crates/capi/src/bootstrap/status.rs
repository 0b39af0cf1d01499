//! What a KubeadmConfig shows. Pure.

use api::bootstrap::kubeadm_config::conditions;
use kube::ResourceExt;
use runtime::{Change, Outcome, Plan};
use serde_json::{Value, json};

use super::{Act, World};
use crate::condition::{self, Condition, Part, summary};
use crate::object;

pub(super) fn status(world: &World, plan: &Plan<Act>, outcome: &Outcome) -> Value {
    let mut status = object::status_of(world.config.status.as_ref());
    if world.is_paused() {
        return condition::paused_status(status);
    }
    if let Some(name) = data_secret_name(world, plan, outcome) {
        status["dataSecretName"] = json!(name);
        status["initialization"] = json!({"dataSecretCreated": true});
    }
    let is_done = status["initialization"]["dataSecretCreated"] == true;
    let data = match (&outcome.failure, plan.waits.first()) {
        _ if is_done => Condition::yes(conditions::DATA_SECRET_AVAILABLE, "Available"),
        (Some(failure), _) => Condition::no(
            conditions::DATA_SECRET_AVAILABLE,
            failure.reason,
            failure.message.clone(),
        ),
        (None, Some(wait)) => Condition::no(
            conditions::DATA_SECRET_AVAILABLE,
            wait.reason,
            wait.message.clone(),
        ),
        (None, None) => Condition::no(conditions::DATA_SECRET_AVAILABLE, "NotAvailable", ""),
    };
    let missing = world.authorities.missing();
    let certificates = if is_done || missing.is_empty() {
        Condition::yes(conditions::CERTIFICATES_AVAILABLE, "Available")
    } else {
        let cluster = world
            .cluster
            .as_ref()
            .map(|c| c.name_any())
            .unwrap_or_default();
        let names: Vec<_> = missing.iter().map(|p| p.secret_name(&cluster)).collect();
        Condition::no(
            conditions::CERTIFICATES_AVAILABLE,
            "NotAvailable",
            format!("Secrets {} do not exist yet", names.join(", ")),
        )
    };
    let part = |type_, condition| Part {
        type_,
        condition: Some(condition),
        is_negative: false,
        is_optional: false,
    };
    let ready = if is_done {
        summary(
            conditions::READY,
            &[part(conditions::DATA_SECRET_AVAILABLE, &data)],
        )
    } else {
        summary(
            conditions::READY,
            &[
                part(conditions::DATA_SECRET_AVAILABLE, &data),
                part(conditions::CERTIFICATES_AVAILABLE, &certificates),
            ],
        )
    };
    status["conditions"] =
        condition::to_json(&[ready, data, certificates, condition::paused(false)]);
    if let Some(status) = status.as_object_mut() {
        status.remove("observedGeneration");
    }
    status
}

/// The Secret with the data, once it is written.
fn data_secret_name(world: &World, plan: &Plan<Act>, outcome: &Outcome) -> Option<String> {
    // What an earlier config of the pool has written is that one's.
    if world.is_done() && world.is_for_pool {
        return Some(world.config.name_any());
    }
    if world.is_done() {
        let known = world
            .config
            .status
            .as_ref()
            .and_then(|s| s.data_secret_name.clone());
        return known.or_else(|| {
            world
                .machine
                .as_ref()?
                .spec
                .bootstrap
                .data_secret_name
                .clone()
        });
    }
    let name = world.config.name_any();
    let is_written = plan.changes.iter().any(|change| match change {
        Change::Apply(object) => {
            object.types.as_ref().is_some_and(|t| t.kind == "Secret") && object.name_any() == name
        }
        _ => false,
    });
    (is_written && outcome.failure.is_none()).then_some(name)
}
