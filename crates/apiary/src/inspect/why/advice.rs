//! What to do about a cause. Only where the cause says it plainly; else nothing is advised. Pure.

use api::meta::labels;
use serde_json::Value;

use crate::object::{self, annotation, kind, name, namespace};

/// The advice for what an object says, or for a fact about it.
pub(super) fn advice(object: &Value, reason: &str, message: &str) -> Option<String> {
    let (kind, name) = (kind(object), name(object));
    let what = format!("{} {name}", kind.to_lowercase());
    let kubectl = format!("kubectl -n {}", namespace(object));
    Some(match reason {
        "Paused" if annotation(object, labels::PAUSED).is_some() => format!(
            "remove the annotation when it may go on: {kubectl} annotate {what} {}-",
            labels::PAUSED
        ),
        "Paused" => format!(
            "when it may go on: {kubectl} patch {what} --type merge -p '{{\"spec\":{{\"paused\":false}}}}'"
        ),
        "ReferenceNotFound" => {
            "create what is named, or correct the field; it goes on by itself then".to_owned()
        }
        "KindNotServed" => {
            "install the provider that serves this kind, or correct the field".to_owned()
        }
        "BootFailed" => boot_failed(object, &kubectl, &what),
        "ProvisioningFault" => format!(
            "the fault is there on purpose (spec.faults.provisioning); take it away: {kubectl} patch {what} --type merge -p '{{\"spec\":{{\"faults\":null}}}}'"
        ),
        "DrainingNode" => format!(
            "see to the pods that are named (a PodDisruptionBudget may keep them), or do without draining: {kubectl} annotate {what} {}=",
            labels::EXCLUDE_NODE_DRAINING
        ),
        "WaitingForPreDrainHook" | "WaitingForPreTerminateHook" => {
            "who set the annotation removes it when it is done; if it is gone for good, remove the annotation".to_owned()
        }
        "WaitingForVolumeDetach" => {
            "see to the pods that still use the volumes".to_owned()
        }
        "TooManyUnhealthy" => format!(
            "heal machines by hand (annotation {} has one replaced), or allow more in spec.remediation.triggerIf",
            labels::REMEDIATE_MACHINE
        ),
        "ProbeFailed" | "ConnectionDown" => {
            "see whether the API server of the cluster answers at its endpoint; its machines go on without the management cluster".to_owned()
        }
        "ScalingUp" | "RollingOut" if message.contains("preflight check failed") => {
            preflight(message)?
        }
        _ => return None,
    })
}

fn boot_failed(object: &Value, kubectl: &str, what: &str) -> String {
    if object["spec"]["faults"]["boot"].is_string() {
        return format!(
            "the fault is there on purpose (spec.faults.boot); take it away: {kubectl} patch {what} --type merge -p '{{\"spec\":{{\"faults\":null}}}}'"
        );
    }
    let machine = object::controller(object).map_or(name(object), |(_, machine)| machine);
    format!(
        "it is tried again by itself. If its bootstrap configuration is wrong, correct the template that it is made from, and have the machine replaced: {kubectl} delete machine {machine}"
    )
}

fn preflight(message: &str) -> Option<String> {
    let cluster_wide = "bring the version of the node pool into line with its control plane: `apiary cluster upgrade`";
    if message.contains("VersionSkew") {
        Some(cluster_wide.to_owned())
    } else if message.contains("ControlPlaneIsStable") {
        Some("nothing: it goes on when the control plane is through".to_owned())
    } else {
        None
    }
}

/// For a machine whose node is in a bad way while no health check looks at it.
pub(super) fn unchecked(machine: &Value) -> String {
    format!(
        "no MachineHealthCheck looks at the machine. To have it replaced: kubectl -n {} delete machine {}",
        namespace(machine),
        name(machine)
    )
}
