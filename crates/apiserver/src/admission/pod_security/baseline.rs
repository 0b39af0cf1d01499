//! The checks of the baseline level: nothing that is known to give a pod power over its node. They are also part of the
//! restricted level.

use std::collections::BTreeSet;

use serde_json::Value;

use super::checks::{Pod, Violation, containers_named, name, quoted, setters, word};
use crate::admission::edit;

/// Annotations from before the field, one per container.
const APP_ARMOR_ANNOTATION: &str = "container.apparmor.security.beta.kubernetes.io/";
const SECCOMP_POD_ANNOTATION: &str = "seccomp.security.alpha.kubernetes.io/pod";
const SECCOMP_ANNOTATION: &str = "container.seccomp.security.alpha.kubernetes.io/";

/// What container runtimes give by default.
const CAPABILITIES: &[&str] = &[
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

/// Kernel settings that end at the pod's namespaces, with the minor in which each came to be allowed.
const SYSCTLS: &[(u32, &str)] = &[
    (0, "kernel.shm_rmid_forced"),
    (0, "net.ipv4.ip_local_port_range"),
    (0, "net.ipv4.tcp_syncookies"),
    (0, "net.ipv4.ping_group_range"),
    (0, "net.ipv4.ip_unprivileged_port_start"),
    (27, "net.ipv4.ip_local_reserved_ports"),
    (29, "net.ipv4.tcp_keepalive_time"),
    (29, "net.ipv4.tcp_fin_timeout"),
    (29, "net.ipv4.tcp_keepalive_intvl"),
    (29, "net.ipv4.tcp_keepalive_probes"),
    (32, "net.ipv4.tcp_rmem"),
    (32, "net.ipv4.tcp_wmem"),
];

const SE_LINUX_TYPES: &[&str] = &["", "container_t", "container_init_t", "container_kvm_t"];

fn context(value: &Value) -> &Value {
    &value["securityContext"]
}

/// Values of `field` that are not allowed, with who sets them: the pod or its containers.
struct Settings<'a> {
    setters: Vec<String>,
    values: BTreeSet<&'a str>,
}

fn bad_types<'a>(pod: &Pod<'a>, field: &str, is_allowed: impl Fn(&str) -> bool) -> Settings<'a> {
    let mut values = BTreeSet::new();
    let mut is_bad = |holder: &'a Value| {
        let profile = &context(holder)[field];
        let kind = edit::text(profile, "type");
        let is_bad = profile.is_object() && !is_allowed(kind);
        if is_bad {
            values.insert(kind);
        }
        is_bad
    };
    let is_pod_bad = is_bad(pod.spec);
    let containers = pod.containers_that(|container| is_bad(container));
    Settings {
        setters: setters(is_pod_bad, &containers),
        values,
    }
}

pub(super) fn app_armor(pod: &Pod<'_>) -> Option<Violation> {
    let bad = bad_types(pod, "appArmorProfile", |kind| {
        matches!(kind, "RuntimeDefault" | "Localhost")
    });
    let mut setters = bad.setters;
    let mut values: Vec<String> = bad.values.into_iter().map(Into::into).collect();
    let is_allowed = |profile: &str| {
        profile.is_empty() || profile == "runtime/default" || profile.starts_with("localhost/")
    };
    let annotations: BTreeSet<String> = pod.metadata["annotations"]
        .as_object()
        .into_iter()
        .flatten()
        .filter_map(|(key, value)| Some((key, value.as_str()?)))
        .filter(|(key, value)| key.starts_with(APP_ARMOR_ANNOTATION) && !is_allowed(value))
        .map(|(key, value)| format!("{key}={value:?}"))
        .collect();
    if !annotations.is_empty() {
        setters.push(word("annotation", "annotations", annotations.len()).into());
        values.extend(annotations);
    }
    if setters.is_empty() {
        return None;
    }
    Violation::new(
        word(
            "forbidden AppArmor profile",
            "forbidden AppArmor profiles",
            values.len(),
        ),
        format!(
            "{} must not set AppArmor profile type to {}",
            setters.join(" and "),
            quoted(&values)
        ),
    )
}

pub(super) fn capabilities(pod: &Pod<'_>) -> Option<Violation> {
    let (containers, added) = adding(pod, |capability| CAPABILITIES.contains(&capability));
    if containers.is_empty() {
        return None;
    }
    Violation::new(
        "non-default capabilities",
        must_not_add(&containers, &added),
    )
}

/// The containers that add capabilities that are not allowed, and those.
pub(super) fn adding<'a>(
    pod: &Pod<'a>,
    is_allowed: impl Fn(&str) -> bool,
) -> (Vec<&'a str>, Vec<&'a str>) {
    let mut added = BTreeSet::new();
    let containers = pod.containers_that(|container| {
        let bad: Vec<&str> = edit::items(&context(container)["capabilities"], "add")
            .filter_map(Value::as_str)
            .filter(|capability| !is_allowed(capability))
            .collect();
        added.extend(bad.iter().copied());
        !bad.is_empty()
    });
    (containers, added.into_iter().collect())
}

pub(super) fn must_not_add(containers: &[&str], capabilities: &[&str]) -> String {
    format!(
        "{} must not include {} in securityContext.capabilities.add",
        containers_named(containers),
        quoted(capabilities)
    )
}

pub(super) fn host_namespaces(pod: &Pod<'_>) -> Option<Violation> {
    let shared: Vec<String> = ["hostNetwork", "hostPID", "hostIPC"]
        .into_iter()
        .filter(|field| pod.spec[*field] == true)
        .map(|field| format!("{field}=true"))
        .collect();
    if shared.is_empty() {
        return None;
    }
    Violation::new("host namespaces", shared.join(", "))
}

pub(super) fn host_path_volumes(pod: &Pod<'_>) -> Option<Violation> {
    let volumes: Vec<&str> = edit::items(pod.spec, "volumes")
        .filter(|volume| volume["hostPath"].is_object())
        .map(name)
        .collect();
    if volumes.is_empty() {
        return None;
    }
    let what = word("volume", "volumes", volumes.len());
    Violation::new("hostPath volumes", format!("{what} {}", quoted(&volumes)))
}

pub(super) fn host_ports(pod: &Pod<'_>) -> Option<Violation> {
    let mut ports = BTreeSet::new();
    let containers = pod.containers_that(|container| {
        let own: Vec<String> = edit::items(container, "ports")
            .filter_map(|port| port["hostPort"].as_i64())
            .filter(|port| *port != 0)
            .map(|port| port.to_string())
            .collect();
        let is_bad = !own.is_empty();
        ports.extend(own);
        is_bad
    });
    if containers.is_empty() {
        return None;
    }
    let all: Vec<String> = ports.into_iter().collect();
    Violation::new(
        "hostPort",
        format!(
            "{} {} {} {}",
            containers_named(&containers),
            word("uses", "use", containers.len()),
            word("hostPort", "hostPorts", all.len()),
            all.join(", ")
        ),
    )
}

pub(super) fn host_probes(pod: &Pod<'_>) -> Option<Violation> {
    let mut hosts = BTreeSet::new();
    let containers: BTreeSet<&str> = pod
        .containers_that(|container| {
            let lifecycle = &container["lifecycle"];
            let handlers = [
                &container["livenessProbe"],
                &container["readinessProbe"],
                &container["startupProbe"],
                &lifecycle["postStart"],
                &lifecycle["preStop"],
            ];
            let own: Vec<&str> = handlers
                .into_iter()
                .flat_map(|handler| [&handler["httpGet"], &handler["tcpSocket"]])
                .map(|way| edit::text(way, "host"))
                .filter(|host| !host.is_empty())
                .collect();
            hosts.extend(own.iter().copied());
            !own.is_empty()
        })
        .into_iter()
        .collect();
    if containers.is_empty() {
        return None;
    }
    let containers: Vec<&str> = containers.into_iter().collect();
    let hosts: Vec<&str> = hosts.into_iter().collect();
    Violation::new(
        "probe or lifecycle host",
        format!(
            "{} {} {} {}",
            containers_named(&containers),
            word("uses", "use", containers.len()),
            word(
                "probe or lifecycle host",
                "probe or lifecycle hosts",
                hosts.len()
            ),
            quoted(&hosts)
        ),
    )
}

pub(super) fn privileged(pod: &Pod<'_>) -> Option<Violation> {
    let containers = pod.containers_that(|container| context(container)["privileged"] == true);
    if containers.is_empty() {
        return None;
    }
    let who = containers_named(&containers);
    Violation::new(
        "privileged",
        format!("{who} must not set securityContext.privileged=true"),
    )
}

pub(super) fn proc_mount(pod: &Pod<'_>) -> Option<Violation> {
    let mut kinds = BTreeSet::new();
    let containers = pod.containers_that(|container| {
        let kind = context(container)["procMount"].as_str();
        let bad = kind.filter(|kind| *kind != "Default");
        kinds.extend(bad);
        bad.is_some()
    });
    if containers.is_empty() {
        return None;
    }
    let kinds: Vec<&str> = kinds.into_iter().collect();
    Violation::new(
        "procMount",
        format!(
            "{} must not set securityContext.procMount to {}",
            containers_named(&containers),
            quoted(&kinds)
        ),
    )
}

pub(super) fn proc_mount_of_host_users(pod: &Pod<'_>) -> Option<Violation> {
    if pod.has_own_users() {
        return None;
    }
    proc_mount(pod)
}

pub(super) fn se_linux(pod: &Pod<'_>) -> Option<Violation> {
    se_linux_types(pod, |kind| SE_LINUX_TYPES.contains(&kind))
}

pub(super) fn se_linux_31(pod: &Pod<'_>) -> Option<Violation> {
    se_linux_types(pod, |kind| {
        SE_LINUX_TYPES.contains(&kind) || kind == "container_engine_t"
    })
}

fn se_linux_types(pod: &Pod<'_>, is_allowed: impl Fn(&str) -> bool) -> Option<Violation> {
    let (mut kinds, mut sets_user, mut sets_role) = (BTreeSet::new(), false, false);
    let mut is_bad = |holder: &Value| {
        let options = &context(holder)["seLinuxOptions"];
        let kind = edit::text(options, "type");
        let has = |field| !edit::text(options, field).is_empty();
        let is_kind_bad = !is_allowed(kind);
        if is_kind_bad {
            kinds.insert(kind.to_owned());
        }
        sets_user |= has("user");
        sets_role |= has("role");
        is_kind_bad || has("user") || has("role")
    };
    let is_pod_bad = is_bad(pod.spec);
    let containers = pod.containers_that(|container| is_bad(container));
    let setters = setters(is_pod_bad, &containers);
    if setters.is_empty() {
        return None;
    }
    let kinds: Vec<String> = kinds.into_iter().collect();
    let mut what = Vec::new();
    if !kinds.is_empty() {
        let noun = word("type", "types", kinds.len());
        what.push(format!("{noun} {}", quoted(&kinds)));
    }
    if sets_user {
        what.push("user may not be set".into());
    }
    if sets_role {
        what.push("role may not be set".into());
    }
    Violation::new(
        "seLinuxOptions",
        format!(
            "{} set forbidden securityContext.seLinuxOptions: {}",
            setters.join(" and "),
            what.join("; ")
        ),
    )
}

/// Before the field there were annotations.
pub(super) fn seccomp_annotations(pod: &Pod<'_>) -> Option<Violation> {
    let annotations = &pod.metadata["annotations"];
    let of_containers = pod
        .containers()
        .map(|container| format!("{SECCOMP_ANNOTATION}{}", name(container)));
    let bad: BTreeSet<String> = std::iter::once(SECCOMP_POD_ANNOTATION.to_owned())
        .chain(of_containers)
        .filter_map(|key| {
            let value = annotations[&key].as_str()?;
            let is_allowed = matches!(value, "runtime/default" | "docker/default")
                || value.starts_with("localhost/");
            (!is_allowed).then(|| format!("{key}={value:?}"))
        })
        .collect();
    if bad.is_empty() {
        return None;
    }
    let bad: Vec<String> = bad.into_iter().collect();
    let noun = word("annotation", "annotations", bad.len());
    Violation::new(
        "seccompProfile",
        format!("forbidden {noun} {}", bad.join(", ")),
    )
}

pub(super) fn is_seccomp_allowed(kind: &str) -> bool {
    matches!(kind, "Localhost" | "RuntimeDefault")
}

pub(super) fn seccomp_profile(pod: &Pod<'_>) -> Option<Violation> {
    let bad = bad_types(pod, "seccompProfile", is_seccomp_allowed);
    if bad.setters.is_empty() {
        return None;
    }
    let values: Vec<&str> = bad.values.into_iter().collect();
    Violation::new(
        "seccompProfile",
        format!(
            "{} must not set securityContext.seccompProfile.type to {}",
            bad.setters.join(" and "),
            quoted(&values)
        ),
    )
}

pub(super) fn sysctls(pod: &Pod<'_>) -> Option<Violation> {
    sysctls_since(pod, 0)
}

pub(super) fn sysctls_27(pod: &Pod<'_>) -> Option<Violation> {
    sysctls_since(pod, 27)
}

pub(super) fn sysctls_29(pod: &Pod<'_>) -> Option<Violation> {
    sysctls_since(pod, 29)
}

pub(super) fn sysctls_32(pod: &Pod<'_>) -> Option<Violation> {
    sysctls_since(pod, 32)
}

fn sysctls_since(pod: &Pod<'_>, minor: u32) -> Option<Violation> {
    let is_allowed = |sysctl: &str| {
        SYSCTLS
            .iter()
            .any(|(since, known)| *since <= minor && *known == sysctl)
    };
    let bad: Vec<&str> = edit::items(context(pod.spec), "sysctls")
        .map(name)
        .filter(|sysctl| !is_allowed(sysctl))
        .collect();
    if bad.is_empty() {
        return None;
    }
    Violation::new("forbidden sysctls", bad.join(", "))
}

pub(super) fn windows_host_process(pod: &Pod<'_>) -> Option<Violation> {
    let is_host = |holder: &Value| context(holder)["windowsOptions"]["hostProcess"] == true;
    let containers = pod.containers_that(|container| is_host(container));
    let setters = setters(is_host(pod.spec), &containers);
    if setters.is_empty() {
        return None;
    }
    let who = setters.join(" and ");
    Violation::new(
        "hostProcess",
        format!("{who} must not set securityContext.windowsOptions.hostProcess=true"),
    )
}
