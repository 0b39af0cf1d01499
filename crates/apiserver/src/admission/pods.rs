//! Priority, DefaultTolerationSeconds and PodTopologyLabels: what a pod leaves unsaid about scheduling, eviction and its place.

use serde_json::{Value, json};

use super::{Admission, Operation, Request, edit};
use crate::status::Status;

const CLASSES: &str = "priorityclasses.scheduling.k8s.io";

pub(super) struct Priority;

/// What a class gives to its pods.
struct Class {
    name: String,
    value: i64,
    preemption: String,
}

impl Class {
    fn of(object: &Value) -> Self {
        let preemption = edit::text(object, "preemptionPolicy");
        Self {
            name: edit::text(&object["metadata"], "name").to_owned(),
            value: object["value"].as_i64().unwrap_or_default(),
            preemption: if preemption.is_empty() {
                "PreemptLowerPriority".into()
            } else {
                preemption.into()
            },
        }
    }
}

#[async_trait::async_trait]
impl Admission for Priority {
    fn name(&self) -> &'static str {
        "Priority"
    }

    async fn admit(&self, request: &mut Request<'_>, pod: &mut Value) -> Result<(), Status> {
        if !request.is_for("", "pods", "") || !pod["spec"].is_object() {
            return Ok(());
        }
        match request.operation {
            Operation::Create => prioritize(request, &mut pod["spec"]),
            Operation::Update => {
                keep_priority(request, &mut pod["spec"]);
                Ok(())
            }
            Operation::Delete | Operation::Connect => Ok(()),
        }
    }

    async fn validate(&self, request: &mut Request<'_>, class: &Value) -> Result<(), Status> {
        let is_write = matches!(request.operation, Operation::Create | Operation::Update);
        let is_class = request.is_for("scheduling.k8s.io", "priorityclasses", "");
        if !is_write || !is_class || class["globalDefault"] != true {
            return Ok(());
        }
        let name = edit::text(&class["metadata"], "name");
        match default_class(request) {
            Some(other) if other.name != name => Err(request.forbidden(&format!(
                "PriorityClass {} is already marked as globalDefault",
                other.name
            ))),
            _ => Ok(()),
        }
    }
}

fn prioritize(request: &Request<'_>, spec: &mut Value) -> Result<(), Status> {
    let wanted = edit::text(spec, "priorityClassName");
    let class = if wanted.is_empty() {
        default_class(request).unwrap_or(Class {
            name: String::new(),
            value: 0,
            preemption: "PreemptLowerPriority".into(),
        })
    } else {
        find_class(request, wanted).ok_or_else(|| {
            request.forbidden(&format!("no PriorityClass with name {wanted} was found"))
        })?
    };
    if let Some(given) = spec["priority"].as_i64()
        && given != class.value
    {
        return Err(request.forbidden(&format!(
            "the integer value of priority ({given}) must not be provided in pod spec; priority admission controller computed {} from the given PriorityClass name",
            class.value
        )));
    }
    let given = edit::text(spec, "preemptionPolicy");
    if !given.is_empty() && given != class.preemption {
        return Err(request.forbidden(&format!(
            "the string value of PreemptionPolicy ({given}) must not be provided in pod spec; priority admission controller computed {} from the given PriorityClass name",
            class.preemption
        )));
    }
    edit::set(spec, "priority", class.value);
    edit::set(spec, "preemptionPolicy", class.preemption);
    if !class.name.is_empty() {
        edit::set(spec, "priorityClassName", class.name);
    }
    Ok(())
}

/// A client that sends a pod back without the fields that we set does not mean to unset them.
fn keep_priority(request: &Request<'_>, spec: &mut Value) {
    let Some(old) = request.old else { return };
    for field in ["priority", "preemptionPolicy"] {
        if spec[field].is_null() && !old["spec"][field].is_null() {
            edit::set(spec, field, old["spec"][field].clone());
        }
    }
}

fn find_class(request: &Request<'_>, name: &str) -> Option<Class> {
    if let Some(class) = request.objects.get(CLASSES, "", name) {
        return Some(Class::of(&class.value()));
    }
    // These two hold before anybody has created their objects.
    let value = match name {
        "system-node-critical" => 2_000_001_000,
        "system-cluster-critical" => 2_000_000_000,
        _ => return None,
    };
    Some(Class::of(
        &json!({"metadata": {"name": name}, "value": value}),
    ))
}

/// The lowest of the classes that say they are the default.
fn default_class(request: &Request<'_>) -> Option<Class> {
    request
        .objects
        .list(CLASSES, None)
        .iter()
        .map(|class| class.value())
        .filter(|class| class["globalDefault"] == true)
        .map(|class| Class::of(&class))
        .min_by_key(|class| class.value)
}

pub(super) struct DefaultTolerationSeconds;

#[async_trait::async_trait]
impl Admission for DefaultTolerationSeconds {
    fn name(&self) -> &'static str {
        "DefaultTolerationSeconds"
    }

    async fn admit(&self, request: &mut Request<'_>, pod: &mut Value) -> Result<(), Status> {
        let is_write = matches!(request.operation, Operation::Create | Operation::Update);
        if !is_write || !request.is_for("", "pods", "") || !pod["spec"].is_object() {
            return Ok(());
        }
        let spec = &mut pod["spec"];
        for key in [
            "node.kubernetes.io/not-ready",
            "node.kubernetes.io/unreachable",
        ] {
            let is_tolerated = edit::items(spec, "tolerations").any(|toleration| {
                let own = edit::text(toleration, "key");
                let effect = edit::text(toleration, "effect");
                (own.is_empty() || own == key) && (effect.is_empty() || effect == "NoExecute")
            });
            if is_tolerated {
                continue;
            }
            if let Some(tolerations) = edit::list(spec, "tolerations") {
                tolerations.push(json!({
                    "key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300,
                }));
            }
        }
        Ok(())
    }
}

/// Labels that a pod gets from its node.
const TOPOLOGY: &[&str] = &[
    "topology.kubernetes.io/zone",
    "topology.kubernetes.io/region",
];

pub(super) struct PodTopologyLabels;

#[async_trait::async_trait]
impl Admission for PodTopologyLabels {
    fn name(&self) -> &'static str {
        "PodTopologyLabels"
    }

    /// The pod at its creation, and the pod as its binding makes it.
    async fn admit(&self, request: &mut Request<'_>, pod: &mut Value) -> Result<(), Status> {
        let is_new = request.operation == Operation::Create && request.is_for("", "pods", "");
        let is_bound =
            request.operation == Operation::Update && request.is_for("", "pods", "binding");
        let node = edit::text(&pod["spec"], "nodeName");
        if !(is_new || is_bound) || node.is_empty() {
            return Ok(());
        }
        let Some(node) = request.objects.get("nodes", "", node) else {
            return Ok(());
        };
        for key in TOPOLOGY {
            let Some(value) = node.header.label(key) else {
                continue;
            };
            let labels = pod
                .get_mut("metadata")
                .and_then(|metadata| edit::map(metadata, "labels"));
            if let Some(labels) = labels {
                labels.insert((*key).into(), value.into());
            }
        }
        Ok(())
    }
}
