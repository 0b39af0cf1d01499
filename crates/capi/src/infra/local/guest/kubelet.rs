//! The kubelet's configuration, as kubeadm puts it together on a machine: that of the cluster, then the patches on the disk, then the
//! arguments. Pure.

use serde_json::Value;

use super::config::{self, Registration};
use super::document::Files;
use crate::infra::local::KubeletSettings;

/// What kubeadm calls the kubelet's configuration in the names of patches.
const TARGET: &str = "kubeletconfiguration";
/// Other things that kubeadm patches: pods that nobody runs here.
const OTHER_TARGETS: [&str; 5] = [
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "etcd",
    "corednsdeployment",
];

/// A configuration, and the patches that were laid over it.
#[derive(Debug)]
pub(super) struct Configured {
    pub(super) configuration: Value,
    /// Paths of patches that were applied, and of such that are for what isn't run here.
    pub(super) applied: Vec<String>,
    pub(super) skipped: Vec<String>,
}

/// Lays the patches of a folder over a configuration, in the order of their names.
///
/// # Errors
/// Which file is wrong, and what would be right.
pub(super) fn patched(
    mut configuration: Value,
    directory: Option<&str>,
    files: &Files,
) -> Result<Configured, String> {
    let (mut applied, mut skipped) = (vec![], vec![]);
    let prefix = directory.map(|d| format!("{}/", d.trim_end_matches('/')));
    let paths = prefix.iter().flat_map(|prefix| files.below(prefix));
    for path in paths {
        let name = path.rsplit('/').next().unwrap_or_default();
        let Some((stem, "yaml" | "json")) = name.rsplit_once('.') else {
            return Err(format!(
                "[patches] {path}: the name must end in .yaml or .json"
            ));
        };
        let (stem, kind) = stem.split_once('+').unwrap_or((stem, "strategic"));
        if OTHER_TARGETS.iter().any(|t| stem.starts_with(t)) {
            skipped.push(path.to_owned());
            continue;
        }
        if !stem.starts_with(TARGET) {
            return Err(format!(
                "[patches] {path}: the name must begin with {TARGET} or {}",
                OTHER_TARGETS.join(", ")
            ));
        }
        let text = files.text(path).unwrap_or_default();
        let patch = crate::yaml::parse(text).map_err(|why| format!("[patches] {path} is {why}"))?;
        match kind {
            // No list of this kind is merged by a key, so the two come to the same.
            "merge" | "strategic" => merge(&mut configuration, patch),
            other => {
                return Err(format!(
                    "[patches] {path}: a simulated machine knows patches of the kinds merge and strategic, not {other:?}"
                ));
            }
        }
        applied.push(path.to_owned());
    }
    Ok(Configured {
        configuration,
        applied,
        skipped,
    })
}

/// JSON merge patch.
fn merge(target: &mut Value, patch: Value) {
    match patch {
        Value::Object(members) => {
            if !target.is_object() {
                *target = Value::Object(serde_json::Map::new());
            }
            for (key, value) in members {
                if value.is_null() {
                    target.as_object_mut().and_then(|t| t.remove(&key));
                } else {
                    merge(&mut target[key.as_str()], value);
                }
            }
        }
        other => *target = other,
    }
}

/// What a simulated kubelet follows of a configuration; `cpus` and `memory_mib` are what the machine has.
///
/// # Errors
/// Which field is wrong, as the kubelet would refuse to start.
pub(super) fn settings(
    configuration: &Value,
    registration: &Registration,
    (cpus, memory_mib): (i32, i32),
) -> Result<KubeletSettings, String> {
    let wrong = |field: &str, wanted: &str| format!("[kubelet-start] {field} must be {wanted}");
    let kind = configuration["kind"].as_str();
    if kind.is_some_and(|k| k != "KubeletConfiguration") {
        return Err(wrong("kind", "KubeletConfiguration"));
    }
    let number = |field: &str, argument: &str| -> Result<Option<u32>, String> {
        if let Some(text) = registration.args.get(argument) {
            let number = text.parse::<u32>().ok().filter(|n| *n > 0);
            return number
                .map(Some)
                .ok_or_else(|| wrong(&format!("--{argument}"), "a positive number"));
        }
        match &configuration[field] {
            Value::Null => Ok(None),
            value => value
                .as_u64()
                .and_then(|n| u32::try_from(n).ok())
                .filter(|n| *n > 0)
                .map(Some)
                .ok_or_else(|| wrong(field, "a positive number")),
        }
    };
    let lease_seconds = number("nodeLeaseDurationSeconds", "")?;
    let max_pods = number("maxPods", "max-pods")?;
    let capacity_millicpus = u64::from(cpus.unsigned_abs()) * 1000;
    let capacity_bytes = u64::from(memory_mib.unsigned_abs()) << 20;
    let (mut millicpus, mut bytes) = (0_u64, 0_u64);
    for field in ["kubeReserved", "systemReserved"] {
        let amount = |resource: &str| match &configuration[field][resource] {
            Value::Null => Ok(0),
            value => thousandths(value).ok_or_else(|| {
                wrong(
                    &format!("{field}.{resource}"),
                    "a quantity such as 500m or 1Gi",
                )
            }),
        };
        millicpus += amount("cpu")?;
        bytes += amount("memory")? / 1000;
    }
    if let Some(signal) = configuration["evictionHard"]["memory.available"].as_str() {
        let share = signal.strip_suffix('%').map(|p| p.parse::<u64>().ok());
        let kept = match share {
            Some(percent) => percent
                .filter(|p| *p < 100)
                .map(|p| capacity_bytes * p / 100),
            None => thousandths(&Value::from(signal)).map(|t| t / 1000),
        };
        bytes += kept.ok_or_else(|| {
            wrong(
                "evictionHard.memory.available",
                "a quantity such as 200Mi, or a share such as 5%",
            )
        })?;
    }
    if millicpus >= capacity_millicpus || bytes >= capacity_bytes {
        return Err(format!(
            "[kubelet-start] kubeReserved, systemReserved and evictionHard come to {millicpus}m of cpu and {}Mi of memory: they must leave some of the machine's {cpus} and {memory_mib}Mi",
            bytes >> 20
        ));
    }
    Ok(KubeletSettings {
        lease_seconds: lease_seconds.unwrap_or_default(),
        max_pods: max_pods.unwrap_or_default(),
        reserved_millicpus: u32::try_from(millicpus).unwrap_or(u32::MAX),
        reserved_memory_mib: bytes.div_ceil(1 << 20),
    })
}

/// A quantity of Kubernetes in thousandths; `None` if it is none, or negative.
fn thousandths(value: &Value) -> Option<u64> {
    let text = match value {
        Value::String(text) => text.trim().to_owned(),
        Value::Number(number) => number.to_string(),
        _ => return None,
    };
    let split = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (digits, suffix) = text.split_at(split);
    let factor: u64 = match suffix {
        "m" => 1,
        "" => 1000,
        "k" => 1_000_000,
        "M" => 1_000_000_000,
        "G" => 1_000_000_000_000,
        "Ki" => 1000 << 10,
        "Mi" => 1000 << 20,
        "Gi" => 1000 << 30,
        _ => return None,
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let whole = whole.parse::<u64>().ok()?.checked_mul(factor)?;
    if fraction.is_empty() {
        return Some(whole);
    }
    let scale = 10_u64.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let part = fraction.parse::<u64>().ok()?.checked_mul(factor)? / scale;
    whole.checked_add(part)
}

/// Taints that the kubelet's own settings ask for, as in `a=b:NoSchedule,c:NoExecute`.
///
/// # Errors
/// Which one is no taint.
pub(super) fn taints(
    configuration: &Value,
    registration: &Registration,
) -> Result<Vec<k8s_openapi::api::core::v1::Taint>, String> {
    let mut taints = match &configuration["registerWithTaints"] {
        Value::Null => vec![],
        list => serde_json::from_value(list.clone()).map_err(|_| {
            "[kubelet-start] registerWithTaints must be a list of taints".to_owned()
        })?,
    };
    let argument = registration.args.get("register-with-taints");
    let listed = argument.into_iter().flat_map(|a| a.split(','));
    for text in listed.filter(|t| !t.is_empty()) {
        taints.push(config::taint(text).ok_or_else(|| {
            format!("[kubelet-start] --register-with-taints has {text:?}: a taint looks like key=value:NoSchedule")
        })?);
    }
    Ok(taints)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_read() {
        let read = |text: &str| thousandths(&Value::from(text));
        assert_eq!(read("250m"), Some(250));
        assert_eq!(read("1.5"), Some(1500));
        assert_eq!(read("1Gi"), Some(1000 << 30));
        assert_eq!(read("0.5Ki"), Some(512_000));
        assert_eq!(read("2G"), Some(2_000_000_000_000));
        for wrong in ["", "m", "-1", "1X", "1.2.3", "99999999999999999999"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
