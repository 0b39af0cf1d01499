//! When the namespace is made, and when it may go.

use std::convert::Infallible;

use api::application::labels::MANAGED_BY;
use api::organization::organization::{ORGANIZATION_LABEL, reasons, validate};
use runtime::{Change, ObjectRef, Plan};
use serde_json::json;

use super::World;

/// Inhabitants that a message names; the rest are counted.
const MAX_NAMED: usize = 5;

/// Whose the namespace is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Namespace {
    Missing,
    /// Ours, or nobody's.
    Ours,
    /// Ours, and on its way out.
    Terminating,
    Foreign,
}

fn namespace(world: &World) -> Namespace {
    let Some(namespace) = &world.namespace else {
        return Namespace::Missing;
    };
    let owner = namespace
        .metadata
        .labels
        .as_ref()
        .and_then(|labels| labels.get(ORGANIZATION_LABEL));
    match owner {
        Some(owner) if Some(owner) != world.organization.metadata.name.as_ref() => {
            Namespace::Foreign
        }
        _ if namespace.metadata.deletion_timestamp.is_some() => Namespace::Terminating,
        _ => Namespace::Ours,
    }
}

pub(super) fn plan(world: &World) -> Plan<Infallible> {
    if world.organization.metadata.deletion_timestamp.is_some() {
        return plan_deletion(world);
    }
    let mut plan = Plan::default();
    let name = world.organization.namespace_name();
    if let Some(error) = validate(&world.organization).first() {
        plan.wait(reasons::NAME_REFUSED, error.to_string());
        return plan;
    }
    match namespace(world) {
        Namespace::Missing | Namespace::Ours => plan.changes.push(apply(world)),
        Namespace::Terminating => plan.wait(
            reasons::NAMESPACE_TERMINATING,
            format!("namespace {name} of an earlier organization is still being removed"),
        ),
        Namespace::Foreign => plan.wait(
            reasons::NAMESPACE_TAKEN,
            format!(
                "namespace {name} belongs to another organization by its label {ORGANIZATION_LABEL}"
            ),
        ),
    }
    plan
}

fn plan_deletion(world: &World) -> Plan<Infallible> {
    let mut plan = Plan::default();
    let name = world.organization.namespace_name();
    match namespace(world) {
        Namespace::Missing | Namespace::Foreign => plan.is_finished = true,
        // Clusters first: what only their namespace's end would delete, would leave machines behind.
        Namespace::Ours if !world.inhabitants.is_empty() => {
            let named = world
                .inhabitants
                .iter()
                .take(MAX_NAMED)
                .cloned()
                .collect::<Vec<_>>()
                .join(", ");
            let more = world.inhabitants.len().saturating_sub(MAX_NAMED);
            let more = if more == 0 {
                String::new()
            } else {
                format!(" and {more} more")
            };
            plan.wait(
                reasons::NAMESPACE_IN_USE,
                format!("delete first what is in namespace {name}: {named}{more}"),
            );
        }
        Namespace::Ours => {
            let target = ObjectRef {
                group: String::new(),
                version: "v1".to_owned(),
                kind: "Namespace".to_owned(),
                namespace: String::new(),
                name: name.clone(),
            };
            let uid = world
                .namespace
                .as_ref()
                .and_then(|namespace| namespace.metadata.uid.clone());
            plan.changes.push(Change::Delete { target, uid });
            plan.wait(
                reasons::NAMESPACE_DELETING,
                format!("namespace {name} is being removed"),
            );
        }
        Namespace::Terminating => {
            let held = world.inhabitants.join(", ");
            let held = if held.is_empty() {
                String::new()
            } else {
                format!("; still in it: {held}")
            };
            plan.wait(
                reasons::NAMESPACE_DELETING,
                format!("namespace {name} is being removed{held}"),
            );
        }
    }
    plan
}

fn apply(world: &World) -> Change<Infallible> {
    let organization = world
        .organization
        .metadata
        .name
        .as_deref()
        .unwrap_or_default();
    let namespace = crate::dynamic(json!({
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {
            "name": world.organization.namespace_name(),
            "labels": {ORGANIZATION_LABEL: organization, MANAGED_BY: "organization-operator"},
        },
    }));
    Change::Apply(Box::new(namespace))
}
