//! Approve, sign, refuse, or clear away.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::certificates::v1::{
    CertificateSigningRequest, CertificateSigningRequestCondition,
};
use runtime::{Change, ObjectRef, Plan, rfc3339};
use serde_json::{Value, json};

use super::rules::{SIGNER_VALIDATION_FAILURE, is_ours, violation};
use super::{Act, World};

/// How long a decided request is kept for its requester to look.
const DECIDED: SignedDuration = SignedDuration::from_hours(1);
/// How long a request may wait for a decision.
const PENDING: SignedDuration = SignedDuration::from_hours(24);

pub(super) fn plan(world: &World, now: Timestamp) -> Plan<Act> {
    let mut plan = Plan::default();
    let csr = &world.csr;
    if csr.metadata.deletion_timestamp.is_some() {
        return plan;
    }
    if let Some(end) = end(world) {
        if end <= now {
            let uid = csr.metadata.uid.clone();
            plan.changes.push(Change::Delete {
                target: target(csr),
                uid,
            });
            return plan;
        }
        plan.again_in = Duration::try_from(end.duration_since(now)).ok();
    }
    let is_signed = csr
        .status
        .as_ref()
        .is_some_and(|status| status.certificate.is_some());
    if is_undecided(csr) {
        if let Some(message) = world.approval {
            add_condition(
                &mut plan,
                csr,
                "approval",
                ("Approved", "AutoApproved", message),
                now,
            );
        }
    } else if has(csr, "Approved")
        && !has(csr, "Denied")
        && !has(csr, "Failed")
        && !is_signed
        && is_ours(&csr.spec.signer_name)
    {
        let trouble = match &world.request {
            Ok(request) => violation(csr, request),
            Err(why) => Some(why.clone()),
        };
        match trouble {
            Some(why) => add_condition(
                &mut plan,
                csr,
                "status",
                ("Failed", SIGNER_VALIDATION_FAILURE, &why),
                now,
            ),
            None => plan.changes.push(Change::Act(Act::Sign)),
        }
    }
    plan
}

/// Nobody has approved or denied it.
pub(super) fn is_undecided(csr: &CertificateSigningRequest) -> bool {
    !has(csr, "Approved") && !has(csr, "Denied") && !has(csr, "Failed")
}

fn has(csr: &CertificateSigningRequest, kind: &str) -> bool {
    conditions(csr).any(|condition| condition.type_ == kind)
}

fn conditions(
    csr: &CertificateSigningRequest,
) -> impl Iterator<Item = &CertificateSigningRequestCondition> {
    csr.status
        .iter()
        .flat_map(|status| status.conditions.iter().flatten())
}

/// When it is to be cleared away.
fn end(world: &World) -> Option<Timestamp> {
    let csr = &world.csr;
    let decided = conditions(csr)
        .filter_map(|condition| condition.last_update_time.as_ref())
        .map(|time| time.0)
        .max();
    let created = csr.metadata.creation_timestamp.as_ref().map(|time| time.0);
    let end = match (decided, created) {
        (Some(decided), _) => decided.checked_add(DECIDED).ok(),
        (None, Some(created)) => created.checked_add(PENDING).ok(),
        (None, None) => None,
    };
    [end, world.expires].into_iter().flatten().min()
}

fn add_condition(
    plan: &mut Plan<Act>,
    csr: &CertificateSigningRequest,
    subresource: &'static str,
    (kind, reason, message): (&str, &str, &str),
    now: Timestamp,
) {
    let mut all: Vec<Value> = conditions(csr).map(|condition| json!(condition)).collect();
    let now = rfc3339(now);
    all.push(json!({
        "type": kind, "status": "True", "reason": reason, "message": message,
        "lastUpdateTime": now, "lastTransitionTime": now,
    }));
    // The list is replaced as a whole, so it must be the list that we saw.
    let seen = &csr.metadata.resource_version;
    let patch = json!({"metadata": {"resourceVersion": seen}, "status": {"conditions": all}});
    plan.changes.push(Change::Patch {
        target: target(csr),
        subresource,
        patch,
    });
}

fn target(csr: &CertificateSigningRequest) -> ObjectRef {
    ObjectRef {
        group: "certificates.k8s.io".to_owned(),
        version: "v1".to_owned(),
        kind: "CertificateSigningRequest".to_owned(),
        namespace: String::new(),
        name: csr.metadata.name.clone().unwrap_or_default(),
    }
}
