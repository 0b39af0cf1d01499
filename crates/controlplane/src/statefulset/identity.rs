//! The names that a pod of a StatefulSet and its claims have, and what else tells it from its siblings. Pure.

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::Pod;
use kube::core::DynamicObject;
use serde_json::{Value, json};

use super::look::{Look, Revision};
use crate::history::REVISION_LABEL;
use crate::pod::{self, Name};

/// On a pod, its own name.
pub(super) const POD_NAME: &str = "statefulset.kubernetes.io/pod-name";
/// On a pod, its ordinal.
pub(super) const POD_INDEX: &str = "apps.kubernetes.io/pod-index";

/// The ordinal of a pod with this name in the set: `<set>-<ordinal>`.
pub(super) fn ordinal(set: &str, pod: &str) -> Option<i64> {
    let digits = pod.strip_prefix(set)?.strip_prefix('-')?;
    let ordinal: i32 = digits.parse().ok()?;
    // `-1`, `+1` and `01` are nobody's.
    (ordinal.to_string() == digits && ordinal >= 0).then_some(i64::from(ordinal))
}

/// The name of the pod with this ordinal.
pub(super) fn pod_name(set: &StatefulSet, ordinal: i64) -> String {
    let set = set.metadata.name.as_deref().unwrap_or_default();
    format!("{set}-{ordinal}")
}

/// The claims of the pod with this ordinal: names of their templates, and their own.
pub(super) fn claim_names(set: &StatefulSet, ordinal: i64) -> Vec<(String, String)> {
    let of = set.metadata.name.as_deref().unwrap_or_default();
    let templates = set
        .spec
        .as_ref()
        .and_then(|s| s.volume_claim_templates.as_ref());
    let names = templates.into_iter().flatten().map(|template| {
        let name = template.metadata.name.clone().unwrap_or_default();
        let claim = format!("{name}-{of}-{ordinal}");
        (name, claim)
    });
    names.collect()
}

/// The revision that a pod is of.
pub(super) fn revision(pod: &Pod) -> &str {
    let labels = pod.metadata.labels.as_ref();
    let revision = labels.and_then(|labels| labels.get(REVISION_LABEL));
    revision.map_or("", String::as_str)
}

/// A new pod of the set.
pub(super) fn new_pod(look: &Look<'_>, revision: &Revision, ordinal: i64) -> DynamicObject {
    let set = look.keeper.name();
    let name = Name {
        base: format!("{set}-"),
        name: pod_name(look.set, ordinal),
    };
    let owner = look.keeper.reference();
    let template = Some(&revision.template);
    let mut pod = pod::from_template(template, &name, look.keeper.namespace(), &owner);
    let labels = pod.metadata.labels.get_or_insert_default();
    labels.insert(POD_NAME.into(), name.name.clone());
    labels.insert(POD_INDEX.into(), ordinal.to_string());
    labels.insert(REVISION_LABEL.into(), revision.name.clone());
    let spec = &mut pod.data["spec"];
    spec["hostname"] = name.name.into();
    match look.spec.service_name.as_deref() {
        Some(service) if !service.is_empty() => spec["subdomain"] = service.into(),
        _ => {
            spec.as_object_mut().map(|spec| spec.remove("subdomain"));
        }
    }
    if let Some(volumes) = volumes(look.set, ordinal, &spec["volumes"]) {
        spec["volumes"] = volumes;
    }
    pod
}

/// The patch that gives a pod the labels and volumes that one of this ordinal has; `None` if it has them.
pub(super) fn correction(set: &StatefulSet, pod: &Pod, ordinal: i64) -> Option<Value> {
    let mut patch = json!({});
    let labels = pod.metadata.labels.as_ref();
    let says = labels.and_then(|labels| labels.get(POD_NAME));
    if says != pod.metadata.name.as_ref() {
        let labels = json!({POD_NAME: pod.metadata.name, POD_INDEX: ordinal.to_string()});
        patch["metadata"]["labels"] = labels;
    }
    if !has_volumes(set, pod, ordinal) {
        let present = json!(pod.spec.as_ref().and_then(|spec| spec.volumes.as_ref()));
        patch["spec"]["volumes"] = json!(volumes(set, ordinal, &present));
    }
    if patch == json!({}) {
        return None;
    }
    patch["metadata"]["uid"] = json!(pod.metadata.uid);
    Some(patch)
}

/// Whether the pod has a volume for each claim.
fn has_volumes(set: &StatefulSet, pod: &Pod, ordinal: i64) -> bool {
    let volumes = pod.spec.as_ref().and_then(|spec| spec.volumes.as_deref());
    let volumes = volumes.unwrap_or_default();
    claim_names(set, ordinal).iter().all(|(name, claim)| {
        let volume = volumes.iter().find(|volume| volume.name == *name);
        let source = volume.and_then(|volume| volume.persistent_volume_claim.as_ref());
        source.is_some_and(|source| source.claim_name == *claim)
    })
}

/// The pod's volumes with those of its claims in place of others of their names; `None` if there are no claims.
fn volumes(set: &StatefulSet, ordinal: i64, present: &Value) -> Option<Value> {
    let claims = claim_names(set, ordinal);
    if claims.is_empty() {
        return None;
    }
    let of_claim = |(name, claim): &(String, String)| json!({"name": name, "persistentVolumeClaim": {"claimName": claim}});
    let mut volumes: Vec<Value> = claims.iter().map(of_claim).collect();
    let others = present.as_array().into_iter().flatten();
    let is_other = |volume: &&Value| !claims.iter().any(|(name, _)| volume["name"] == *name);
    volumes.extend(others.filter(is_other).cloned());
    Some(volumes.into())
}
