//! Pods and the templates of those who make them.

use serde_json::Value;

use super::{Report, items, resources, text};
use crate::schema::meta;

/// Lists of containers in a pod's spec.
const CONTAINERS: &[&str] = &["containers", "initContainers", "ephemeralContainers"];

pub(super) fn pod(pod: &Value, old: Option<&Value>, subresource: &str, report: &mut Report) {
    spec(&pod["spec"], "spec", &[], report);
    if let (Some(old), "") = (old, subresource) {
        update(&pod["spec"], &old["spec"], report);
    }
}

/// A template at `field`, e.g. `spec.template`.
pub(super) fn template(template: &Value, field: &str, report: &mut Report) {
    template_with(template, field, &[], report);
}

/// A template whose pods get more volumes than it names: those of the claims called `claims`.
pub(super) fn template_with(template: &Value, field: &str, claims: &[&str], report: &mut Report) {
    let mut causes = Vec::new();
    let metadata = &template["metadata"];
    meta::labels(&metadata["labels"], &format!("{field}.labels"), &mut causes);
    meta::annotations(
        &metadata["annotations"],
        &format!("{field}.annotations"),
        &mut causes,
    );
    causes.into_iter().for_each(|cause| report.add(cause));
    spec(&template["spec"], &format!("{field}.spec"), claims, report);
    if items(&template["spec"]["ephemeralContainers"])
        .next()
        .is_some()
    {
        let what = "ephemeral containers not allowed in pod template";
        report.forbidden(format!("{field}.spec.ephemeralContainers"), what);
    }
}

fn spec(spec: &Value, field: &str, claims: &[&str], report: &mut Report) {
    let mut volumes = volumes(spec, field, report);
    volumes.extend(claims);
    if items(&spec["containers"]).next().is_none() {
        report.required(format!("{field}.containers"), "");
    }
    let mut names: Vec<&str> = Vec::new();
    for list in CONTAINERS {
        for (index, container) in items(&spec[*list]) {
            let at = format!("{field}.{list}[{index}]");
            let name = text(container, "name");
            if !name.is_empty() && names.contains(&name) {
                report.duplicate(format!("{at}.name"), &name.into());
            }
            names.push(name);
            self::container(container, &at, &volumes, report);
        }
    }
    for (name, is_label) in [
        ("nodeName", false),
        ("serviceAccountName", false),
        ("hostname", true),
        ("subdomain", true),
    ] {
        let value = text(spec, name);
        if !value.is_empty() {
            let errors = if is_label {
                meta::label(value)
            } else {
                meta::subdomain(value)
            };
            report.all(&format!("{field}.{name}"), &value.into(), errors);
        }
    }
    if spec["activeDeadlineSeconds"]
        .as_i64()
        .is_some_and(|n| n < 1)
    {
        let what = "must be between 1 and 2147483647, inclusive";
        report.invalid(
            format!("{field}.activeDeadlineSeconds"),
            &spec["activeDeadlineSeconds"],
            what,
        );
    }
    report.not_negative(
        &format!("{field}.terminationGracePeriodSeconds"),
        &spec["terminationGracePeriodSeconds"],
    );
    if spec["dnsPolicy"] == "None" && items(&spec["dnsConfig"]["nameservers"]).next().is_none() {
        let what = "must provide at least one DNS nameserver when `dnsPolicy` is None";
        report.required(format!("{field}.dnsConfig.nameservers"), what);
    }
    tolerations(spec, field, report);
    sysctls(spec, &format!("{field}.securityContext.sysctls"), report);
}

/// Names of kernel parameters: segments of small letters, digits, `-` and `_`, with dots or slashes between them.
fn sysctls(spec: &Value, field: &str, report: &mut Report) {
    const WHAT: &str = "must have at most 253 characters and match regex ^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$";
    let is_segment = |segment: &str| {
        let is_end =
            |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        let bytes = segment.as_bytes();
        let is_inner = |b: &u8| is_end(Some(b)) || matches!(b, b'-' | b'_');
        is_end(bytes.first()) && is_end(bytes.last()) && bytes.iter().all(is_inner)
    };
    let mut names: Vec<&str> = Vec::new();
    for (index, sysctl) in items(&spec["securityContext"]["sysctls"]) {
        let (at, name) = (format!("{field}[{index}].name"), text(sysctl, "name"));
        if name.is_empty() {
            report.required(at, "");
        } else if name.len() > 253 || !name.split(['.', '/']).all(is_segment) {
            report.invalid(at, &name.into(), WHAT);
        } else if names.contains(&name) {
            report.duplicate(at, &name.into());
        }
        names.push(name);
    }
}

/// Checks the volumes; their names are what containers may mount.
fn volumes<'a>(spec: &'a Value, field: &str, report: &mut Report) -> Vec<&'a str> {
    let mut names: Vec<&str> = Vec::new();
    for (index, volume) in items(&spec["volumes"]) {
        let at = format!("{field}.volumes[{index}]");
        let name = text(volume, "name");
        if name.is_empty() {
            report.required(format!("{at}.name"), "");
        } else if names.contains(&name) {
            report.duplicate(format!("{at}.name"), &name.into());
        } else {
            report.all(&format!("{at}.name"), &name.into(), meta::label(name));
        }
        names.push(name);
        let sources: Vec<&String> = volume
            .as_object()
            .into_iter()
            .flat_map(|members| members.keys())
            .filter(|key| *key != "name")
            .collect();
        match sources.as_slice() {
            [] => report.required(at.clone(), "must specify a volume type"),
            [_] => {}
            [_, rest @ ..] => {
                for source in rest {
                    report.forbidden(
                        format!("{at}.{source}"),
                        "may not specify more than 1 volume type",
                    );
                }
            }
        }
        for (source, member) in [
            ("secret", "secretName"),
            ("configMap", "name"),
            ("hostPath", "path"),
            ("persistentVolumeClaim", "claimName"),
            ("csi", "driver"),
            ("nfs", "server"),
            ("nfs", "path"),
        ] {
            if volume[source].is_object() && text(&volume[source], member).is_empty() {
                report.required(format!("{at}.{source}.{member}"), "");
            }
        }
        mode(&volume["secret"], &format!("{at}.secret"), report);
        mode(&volume["configMap"], &format!("{at}.configMap"), report);
        mode(&volume["projected"], &format!("{at}.projected"), report);
    }
    names
}

fn mode(source: &Value, at: &str, report: &mut Report) {
    if source["defaultMode"]
        .as_i64()
        .is_some_and(|mode| !(0..=0o777).contains(&mode))
    {
        let what = "must be a number between 0 and 0777 (octal), both inclusive";
        report.invalid(format!("{at}.defaultMode"), &source["defaultMode"], what);
    }
}

fn container(container: &Value, at: &str, volumes: &[&str], report: &mut Report) {
    let name = text(container, "name");
    if name.is_empty() {
        report.required(format!("{at}.name"), "");
    } else {
        report.all(&format!("{at}.name"), &name.into(), meta::label(name));
    }
    let image = text(container, "image");
    if image.is_empty() {
        report.required(format!("{at}.image"), "");
    } else if image.trim() != image {
        let what = "must not have leading or trailing whitespace";
        report.invalid(format!("{at}.image"), &image.into(), what);
    }
    ports(container, at, report);
    env(container, at, report);
    mounts(container, at, volumes, report);
    resources(&container["resources"], &format!("{at}.resources"), report);
    for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
        self::probe(&container[probe], &format!("{at}.{probe}"), report);
    }
}

fn ports(container: &Value, at: &str, report: &mut Report) {
    let mut names: Vec<&str> = Vec::new();
    for (index, port) in items(&container["ports"]) {
        let at = format!("{at}.ports[{index}]");
        let name = text(port, "name");
        if !name.is_empty() {
            report.all(&format!("{at}.name"), &name.into(), port_name(name));
            if names.contains(&name) {
                report.duplicate(format!("{at}.name"), &name.into());
            }
            names.push(name);
        }
        match port["containerPort"].as_i64() {
            None | Some(0) => report.required(format!("{at}.containerPort"), ""),
            Some(_) => report.port(&format!("{at}.containerPort"), &port["containerPort"]),
        }
        if !port["hostPort"].is_null() {
            report.port(&format!("{at}.hostPort"), &port["hostPort"]);
        }
    }
}

/// What is wrong with the name of a port (an IANA service name).
pub(super) fn port_name(name: &str) -> Vec<String> {
    let mut errors: Vec<String> = Vec::new();
    let mut rule = |is_broken: bool, what: &str| {
        if is_broken {
            errors.push(what.into());
        }
    };
    rule(name.len() > 15, "must be no more than 15 bytes");
    let is_allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    rule(
        !name.bytes().all(is_allowed),
        "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)",
    );
    rule(
        !name.bytes().any(|b| b.is_ascii_lowercase()),
        "must contain at least one letter (a-z)",
    );
    rule(name.contains("--"), "must not contain consecutive hyphens");
    rule(
        name.starts_with('-') || name.ends_with('-'),
        "must not begin or end with a hyphen",
    );
    errors
}

fn env(container: &Value, at: &str, report: &mut Report) {
    for (index, variable) in items(&container["env"]) {
        let at = format!("{at}.env[{index}]");
        let name = text(variable, "name");
        if name.is_empty() {
            report.required(format!("{at}.name"), "");
        } else if !name
            .bytes()
            .all(|b| (b' '..=b'~').contains(&b) && b != b'=')
        {
            let what = "a valid environment variable name must consist only of printable ASCII characters other than '='";
            report.invalid(format!("{at}.name"), &name.into(), what);
        }
        let from = &variable["valueFrom"];
        let Some(sources) = from.as_object() else {
            continue;
        };
        let at = format!("{at}.valueFrom");
        if !text(variable, "value").is_empty() {
            report.invalid(
                at.clone(),
                &"".into(),
                "may not be specified when `value` is not empty",
            );
        }
        if sources.is_empty() {
            let what = "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`";
            report.invalid(at.clone(), &"".into(), what);
        } else if sources.len() > 1 {
            report.invalid(
                at.clone(),
                &"".into(),
                "may not have more than one field specified at a time",
            );
        }
        for source in ["configMapKeyRef", "secretKeyRef"] {
            for member in ["name", "key"] {
                if from[source].is_object() && text(&from[source], member).is_empty() {
                    report.required(format!("{at}.{source}.{member}"), "");
                }
            }
        }
    }
    for (index, from) in items(&container["envFrom"]) {
        for source in ["configMapRef", "secretRef"] {
            if from[source].is_object() && text(&from[source], "name").is_empty() {
                report.required(format!("{at}.envFrom[{index}].{source}.name"), "");
            }
        }
    }
}

fn mounts(container: &Value, at: &str, volumes: &[&str], report: &mut Report) {
    let mut paths: Vec<&str> = Vec::new();
    for (index, mount) in items(&container["volumeMounts"]) {
        let at = format!("{at}.volumeMounts[{index}]");
        let (name, path) = (text(mount, "name"), text(mount, "mountPath"));
        if name.is_empty() {
            report.required(format!("{at}.name"), "");
        } else if !volumes.contains(&name) {
            report.not_found(format!("{at}.name"), &name.into());
        }
        if path.is_empty() {
            report.required(format!("{at}.mountPath"), "");
        } else if paths.contains(&path) {
            report.invalid(format!("{at}.mountPath"), &path.into(), "must be unique");
        }
        paths.push(path);
        let sub_path = text(mount, "subPath");
        if sub_path.starts_with('/') {
            report.invalid(
                format!("{at}.subPath"),
                &sub_path.into(),
                "must be a relative path",
            );
        } else if sub_path.split('/').any(|part| part == "..") {
            report.invalid(
                format!("{at}.subPath"),
                &sub_path.into(),
                "must not contain '..'",
            );
        }
    }
    for (index, device) in items(&container["volumeDevices"]) {
        let name = text(device, "name");
        if !volumes.contains(&name) {
            report.not_found(format!("{at}.volumeDevices[{index}].name"), &name.into());
        }
    }
}

fn probe(probe: &Value, at: &str, report: &mut Report) {
    if !probe.is_object() {
        return;
    }
    let handlers: Vec<&str> = ["exec", "httpGet", "tcpSocket", "grpc"]
        .into_iter()
        .filter(|handler| probe[*handler].is_object())
        .collect();
    match handlers.as_slice() {
        [] => report.required(at, "must specify a handler type"),
        [_] => {}
        [_, rest @ ..] => {
            for handler in rest {
                report.forbidden(
                    format!("{at}.{handler}"),
                    "may not specify more than 1 handler type",
                );
            }
        }
    }
    for member in [
        "initialDelaySeconds",
        "timeoutSeconds",
        "periodSeconds",
        "successThreshold",
        "failureThreshold",
    ] {
        report.not_negative(&format!("{at}.{member}"), &probe[member]);
    }
    for handler in ["httpGet", "tcpSocket"] {
        let port = &probe[handler]["port"];
        match port {
            Value::Number(_) => report.port(&format!("{at}.{handler}.port"), port),
            Value::String(name) => {
                report.all(&format!("{at}.{handler}.port"), port, port_name(name));
            }
            _ => {}
        }
    }
}

fn tolerations(spec: &Value, field: &str, report: &mut Report) {
    for (index, toleration) in items(&spec["tolerations"]) {
        let at = format!("{field}.tolerations[{index}]");
        let (key, operator) = (text(toleration, "key"), text(toleration, "operator"));
        if key.is_empty() && operator != "Exists" {
            let what = "operator must be Exists when `key` is empty, which means \"match all values and all keys\"";
            report.invalid(format!("{at}.operator"), &operator.into(), what);
        }
        if operator == "Exists" && !text(toleration, "value").is_empty() {
            let what = "value must be empty when `operator` is 'Exists'";
            report.invalid(format!("{at}.operator"), toleration, what);
        }
        if !toleration["tolerationSeconds"].is_null() && text(toleration, "effect") != "NoExecute" {
            let what = "effect must be 'NoExecute' when `tolerationSeconds` is set";
            report.invalid(format!("{at}.effect"), &toleration["effect"], what);
        }
    }
}

/// Most of a pod's spec stays as it was made.
fn update(new: &Value, old: &Value, report: &mut Report) {
    let old_tolerations: Vec<&Value> = items(&old["tolerations"]).map(|(_, t)| t).collect();
    let new_tolerations: Vec<&Value> = items(&new["tolerations"]).map(|(_, t)| t).collect();
    let keeps_tolerations = old_tolerations
        .iter()
        .all(|old| new_tolerations.contains(old));
    let gates = |spec: &Value| -> Vec<String> {
        items(&spec["schedulingGates"])
            .map(|(_, gate)| text(gate, "name").to_owned())
            .collect()
    };
    let adds_gates = gates(new).iter().any(|gate| !gates(old).contains(gate));
    if adds_gates {
        let what = "only deletion is allowed, but found new scheduling gates";
        report.forbidden("spec.schedulingGates", what);
        return;
    }
    let is_gated = !gates(old).is_empty();
    if masked(new, is_gated) != masked(old, is_gated) || !keeps_tolerations {
        report.forbidden(
            "spec",
            "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,\
             `spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),\
             `spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)",
        );
    }
}

/// The spec without what may change.
fn masked(spec: &Value, is_gated: bool) -> Value {
    let mut spec = spec.clone();
    for list in ["containers", "initContainers"] {
        for container in spec
            .get_mut(list)
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten()
        {
            container["image"] = Value::Null;
        }
    }
    if let Some(members) = spec.as_object_mut() {
        for name in [
            "activeDeadlineSeconds",
            "tolerations",
            "terminationGracePeriodSeconds",
            "schedulingGates",
        ] {
            members.remove(name);
        }
        // A pod that waits at a gate may still be steered.
        if is_gated {
            members.remove("nodeSelector");
            members.remove("affinity");
        }
    }
    spec
}
