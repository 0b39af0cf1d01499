//! Check tests: what is changed of a hardened pod → what each level says of it.

use expect_test::{Expect, expect};
use serde_json::{Value, json};

use super::checks::{Pod, details, violations};
use super::policy::{Level, LevelVersion, Policy, Version};
use crate::patch;

fn at(level: Level, version: Version) -> LevelVersion {
    LevelVersion { level, version }
}

/// A pod that the restricted level lets pass, with these changes in YAML: `pod` to its spec, `a` and `b` to its container
/// and its init container (which is there only if it is changed), `annotations`.
fn pod(changes: &str) -> Value {
    let changes: Value = serde_saphyr::from_str(changes).unwrap();
    let container = |name: &str| {
        let hardened = json!({"name": name, "securityContext": {
            "allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]},
        }});
        match &changes[name] {
            Value::Null => hardened,
            change => patch::merge(&hardened, change),
        }
    };
    let mut spec = json!({
        "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container("a")],
    });
    if !changes["b"].is_null() {
        spec["initContainers"] = json!([container("b")]);
    }
    if !changes["pod"].is_null() {
        spec = patch::merge(&spec, &changes["pod"]);
    }
    json!({"metadata": {"annotations": changes["annotations"]}, "spec": spec})
}

fn said(pod: &Value, level: LevelVersion) -> String {
    let pod = Pod {
        metadata: &pod["metadata"],
        spec: &pod["spec"],
    };
    match details(&violations(level, &pod)).as_str() {
        "" => "fine".into(),
        text => text.into(),
    }
}

/// What both levels say, as of the newest version.
fn check(changes: &str, expect: Expect) {
    let pod = pod(changes);
    let baseline = said(&pod, at(Level::Baseline, Version::Latest));
    let restricted = said(&pod, at(Level::Restricted, Version::Latest));
    expect.assert_eq(&format!("baseline: {baseline}\nrestricted: {restricted}"));
}

/// What one level says as of several versions.
fn check_versions(level: Level, changes: &str, minors: &[u32], expect: Expect) {
    let pod = pod(changes);
    let lines: Vec<String> = minors
        .iter()
        .map(|minor| {
            format!(
                "1.{minor} {}",
                said(&pod, at(level, Version::Minor(*minor)))
            )
        })
        .collect();
    expect.assert_eq(&lines.join("\n"));
}

#[test]
fn a_hardened_pod_passes_everything() {
    check(
        "{}",
        expect![[r#"
        baseline: fine
        restricted: fine"#]],
    );
    let plain = json!({"spec": {"hostNetwork": true}});
    assert_eq!(said(&plain, at(Level::Privileged, Version::Latest)), "fine");
}

#[test]
fn a_plain_pod_is_told_all_that_it_lacks() {
    let plain = "{pod: {securityContext: null, containers: [{name: a}, {name: b}], ephemeralContainers: [{name: c}]}}";
    check(
        plain,
        expect![[r#"
        baseline: fine
        restricted: allowPrivilegeEscalation != false (containers "a", "b", "c" must set securityContext.allowPrivilegeEscalation=false), unrestricted capabilities (containers "a", "b", "c" must set securityContext.capabilities.drop=["ALL"]), runAsNonRoot != true (pod or containers "a", "b", "c" must set securityContext.runAsNonRoot=true), seccompProfile (pod or containers "a", "b", "c" must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost")"#]],
    );
    check_versions(
        Level::Restricted,
        plain,
        &[0, 8, 19, 22, 23, 25],
        expect![[r#"
            1.0 runAsNonRoot != true (pod or containers "a", "b", "c" must set securityContext.runAsNonRoot=true)
            1.8 allowPrivilegeEscalation != false (containers "a", "b", "c" must set securityContext.allowPrivilegeEscalation=false), runAsNonRoot != true (pod or containers "a", "b", "c" must set securityContext.runAsNonRoot=true)
            1.19 allowPrivilegeEscalation != false (containers "a", "b", "c" must set securityContext.allowPrivilegeEscalation=false), runAsNonRoot != true (pod or containers "a", "b", "c" must set securityContext.runAsNonRoot=true), seccompProfile (pod or containers "a", "b", "c" must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost")
            1.22 allowPrivilegeEscalation != false (containers "a", "b", "c" must set securityContext.allowPrivilegeEscalation=false), unrestricted capabilities (containers "a", "b", "c" must set securityContext.capabilities.drop=["ALL"]), runAsNonRoot != true (pod or containers "a", "b", "c" must set securityContext.runAsNonRoot=true), seccompProfile (pod or containers "a", "b", "c" must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost")
            1.23 allowPrivilegeEscalation != false (containers "a", "b", "c" must set securityContext.allowPrivilegeEscalation=false), unrestricted capabilities (containers "a", "b", "c" must set securityContext.capabilities.drop=["ALL"]), runAsNonRoot != true (pod or containers "a", "b", "c" must set securityContext.runAsNonRoot=true), seccompProfile (pod or containers "a", "b", "c" must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost")
            1.25 allowPrivilegeEscalation != false (containers "a", "b", "c" must set securityContext.allowPrivilegeEscalation=false), unrestricted capabilities (containers "a", "b", "c" must set securityContext.capabilities.drop=["ALL"]), runAsNonRoot != true (pod or containers "a", "b", "c" must set securityContext.runAsNonRoot=true), seccompProfile (pod or containers "a", "b", "c" must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost")"#]],
    );
}

#[test]
fn profiles() {
    check(
        "{pod: {securityContext: {appArmorProfile: {type: Unconfined}}}, a: {securityContext: {appArmorProfile: {type: ''}}}, \
         annotations: {container.apparmor.security.beta.kubernetes.io/a: unconfined, container.apparmor.security.beta.kubernetes.io/b: localhost/x}}",
        expect![[r#"
            baseline: forbidden AppArmor profiles (pod and container "a" and annotation must not set AppArmor profile type to "", "Unconfined", "container.apparmor.security.beta.kubernetes.io/a="unconfined"")
            restricted: forbidden AppArmor profiles (pod and container "a" and annotation must not set AppArmor profile type to "", "Unconfined", "container.apparmor.security.beta.kubernetes.io/a="unconfined"")"#]],
    );
    check(
        "{pod: {securityContext: {appArmorProfile: {type: Localhost}}}, b: {securityContext: {appArmorProfile: {type: Unconfined}}}}",
        expect![[r#"
            baseline: forbidden AppArmor profile (container "b" must not set AppArmor profile type to "Unconfined")
            restricted: forbidden AppArmor profile (container "b" must not set AppArmor profile type to "Unconfined")"#]],
    );
    check(
        "{b: {securityContext: {seccompProfile: {type: Unconfined}}}}",
        expect![[r#"
            baseline: seccompProfile (container "b" must not set securityContext.seccompProfile.type to "Unconfined")
            restricted: seccompProfile (container "b" must not set securityContext.seccompProfile.type to "Unconfined")"#]],
    );
    check(
        "{pod: {securityContext: {seccompProfile: null}}, b: {securityContext: {seccompProfile: {type: Localhost}}}}",
        expect![[r#"
            baseline: fine
            restricted: seccompProfile (pod or container "a" must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost")"#]],
    );
    check(
        "{pod: {securityContext: {seccompProfile: {type: Unconfined}}}}",
        expect![[r#"
            baseline: seccompProfile (pod must not set securityContext.seccompProfile.type to "Unconfined")
            restricted: seccompProfile (pod must not set securityContext.seccompProfile.type to "Unconfined")"#]],
    );
    let annotated = "{annotations: {seccomp.security.alpha.kubernetes.io/pod: unconfined, \
        container.seccomp.security.alpha.kubernetes.io/a: unconfined, container.seccomp.security.alpha.kubernetes.io/b: unconfined}}";
    check_versions(
        Level::Baseline,
        annotated,
        &[18, 19],
        expect![[r#"
        1.18 seccompProfile (forbidden annotations container.seccomp.security.alpha.kubernetes.io/a="unconfined", seccomp.security.alpha.kubernetes.io/pod="unconfined")
        1.19 fine"#]],
    );
    check(
        "{pod: {securityContext: {seLinuxOptions: {type: bad_t, user: u}}}, a: {securityContext: {seLinuxOptions: {role: r}}}, b: {securityContext: {seLinuxOptions: {type: container_t}}}}",
        expect![[r#"
            baseline: seLinuxOptions (pod and container "a" set forbidden securityContext.seLinuxOptions: type "bad_t"; user may not be set; role may not be set)
            restricted: seLinuxOptions (pod and container "a" set forbidden securityContext.seLinuxOptions: type "bad_t"; user may not be set; role may not be set)"#]],
    );
    let engine = "{a: {securityContext: {seLinuxOptions: {type: container_engine_t}}}}";
    check_versions(
        Level::Baseline,
        engine,
        &[30, 31],
        expect![[r#"
        1.30 seLinuxOptions (container "a" set forbidden securityContext.seLinuxOptions: type "container_engine_t")
        1.31 fine"#]],
    );
}

#[test]
fn capabilities() {
    check(
        "{a: {securityContext: {capabilities: {add: [CHOWN]}}}}",
        expect![[r#"
            baseline: fine
            restricted: unrestricted capabilities (container "a" must not include "CHOWN" in securityContext.capabilities.add)"#]],
    );
    check(
        "{a: {securityContext: {capabilities: {add: [SYS_ADMIN, NET_BIND_SERVICE]}}}, b: {securityContext: {capabilities: {drop: [KILL], add: [BPF]}}}}",
        expect![[r#"
            baseline: non-default capabilities (containers "b", "a" must not include "BPF", "SYS_ADMIN" in securityContext.capabilities.add)
            restricted: unrestricted capabilities (container "b" must set securityContext.capabilities.drop=["ALL"]; containers "b", "a" must not include "BPF", "SYS_ADMIN" in securityContext.capabilities.add)"#]],
    );
    check(
        "{a: {securityContext: {capabilities: {add: [NET_BIND_SERVICE]}}}}",
        expect![[r#"
            baseline: fine
            restricted: fine"#]],
    );
}

#[test]
fn what_belongs_to_the_host() {
    check(
        "{pod: {hostNetwork: true, hostPID: true, hostIPC: true, volumes: [{name: v, hostPath: {path: /}}, {name: w, emptyDir: {}}]}}",
        expect![[r#"
            baseline: host namespaces (hostNetwork=true, hostPID=true, hostIPC=true), hostPath volumes (volume "v")
            restricted: host namespaces (hostNetwork=true, hostPID=true, hostIPC=true), restricted volume types (volume "v" uses restricted volume type "hostPath")"#]],
    );
    check(
        "{pod: {volumes: [{name: u, nfs: {}}, {name: v, rbd: {}}, {name: w, nfs: {}}, {name: x, future: {}}, {name: y, secret: {}}]}}",
        expect![[r#"
            baseline: fine
            restricted: restricted volume types (volumes "u", "v", "w", "x" use restricted volume types "nfs", "rbd", "unknown")"#]],
    );
    check(
        "{a: {ports: [{hostPort: 80}, {hostPort: 0}, {containerPort: 1}]}, b: {ports: [{hostPort: 443}]}}",
        expect![[r#"
            baseline: hostPort (containers "b", "a" use hostPorts 443, 80)
            restricted: hostPort (containers "b", "a" use hostPorts 443, 80)"#]],
    );
    check(
        "{a: {ports: [{hostPort: 80}]}}",
        expect![[r#"
        baseline: hostPort (container "a" uses hostPort 80)
        restricted: hostPort (container "a" uses hostPort 80)"#]],
    );
    let probes = "{a: {livenessProbe: {httpGet: {host: 10.0.0.1}}, lifecycle: {preStop: {tcpSocket: {host: node}}}}}";
    check(
        probes,
        expect![[r#"
        baseline: probe or lifecycle host (container "a" uses probe or lifecycle hosts "10.0.0.1", "node")
        restricted: probe or lifecycle host (container "a" uses probe or lifecycle hosts "10.0.0.1", "node")"#]],
    );
    check_versions(
        Level::Baseline,
        probes,
        &[33, 34],
        expect![[r#"
        1.33 fine
        1.34 probe or lifecycle host (container "a" uses probe or lifecycle hosts "10.0.0.1", "node")"#]],
    );
    check(
        "{a: {securityContext: {privileged: true, windowsOptions: {hostProcess: true}}}, pod: {securityContext: {windowsOptions: {hostProcess: true}}}}",
        expect![[r#"
            baseline: privileged (container "a" must not set securityContext.privileged=true), hostProcess (pod and container "a" must not set securityContext.windowsOptions.hostProcess=true)
            restricted: privileged (container "a" must not set securityContext.privileged=true), hostProcess (pod and container "a" must not set securityContext.windowsOptions.hostProcess=true)"#]],
    );
}

#[test]
fn kernel_settings() {
    let sysctls = "{pod: {securityContext: {sysctls: [{name: kernel.msgmax}, {name: net.ipv4.tcp_rmem}, \
        {name: net.ipv4.tcp_fin_timeout}, {name: net.ipv4.ip_local_reserved_ports}, {name: kernel.shm_rmid_forced}]}}}";
    check_versions(
        Level::Baseline,
        sysctls,
        &[26, 27, 29, 32],
        expect![[r#"
        1.26 forbidden sysctls (kernel.msgmax, net.ipv4.tcp_rmem, net.ipv4.tcp_fin_timeout, net.ipv4.ip_local_reserved_ports)
        1.27 forbidden sysctls (kernel.msgmax, net.ipv4.tcp_rmem, net.ipv4.tcp_fin_timeout)
        1.29 forbidden sysctls (kernel.msgmax, net.ipv4.tcp_rmem)
        1.32 forbidden sysctls (kernel.msgmax)"#]],
    );
    let proc = "{a: {securityContext: {procMount: Unmasked}}}";
    check(
        proc,
        expect![[r#"
        baseline: procMount (container "a" must not set securityContext.procMount to "Unmasked")
        restricted: procMount (container "a" must not set securityContext.procMount to "Unmasked")"#]],
    );
    let own_users = "{a: {securityContext: {procMount: Unmasked, runAsUser: 0, runAsNonRoot: false}}, pod: {hostUsers: false}}";
    check_versions(
        Level::Baseline,
        own_users,
        &[34, 35],
        expect![[r#"
        1.34 procMount (container "a" must not set securityContext.procMount to "Unmasked")
        1.35 fine"#]],
    );
    check_versions(
        Level::Restricted,
        own_users,
        &[22, 34, 35],
        expect![[r#"
        1.22 procMount (container "a" must not set securityContext.procMount to "Unmasked"), runAsNonRoot != true (container "a" must not set securityContext.runAsNonRoot=false)
        1.34 procMount (container "a" must not set securityContext.procMount to "Unmasked"), runAsNonRoot != true (container "a" must not set securityContext.runAsNonRoot=false), runAsUser=0 (container "a" must not set runAsUser=0)
        1.35 procMount (container "a" must not set securityContext.procMount to "Unmasked")"#]],
    );
}

#[test]
fn users() {
    check(
        "{pod: {securityContext: {runAsNonRoot: false, runAsUser: 0}}, a: {securityContext: {runAsUser: 0}}, b: {securityContext: {runAsNonRoot: false, runAsUser: 1}}}",
        expect![[r#"
            baseline: fine
            restricted: runAsNonRoot != true (pod and container "b" must not set securityContext.runAsNonRoot=false), runAsUser=0 (pod and container "a" must not set runAsUser=0)"#]],
    );
    check(
        "{pod: {securityContext: {runAsNonRoot: null}}, b: {securityContext: {runAsNonRoot: true}}}",
        expect![[r#"
            baseline: fine
            restricted: runAsNonRoot != true (pod or container "a" must set securityContext.runAsNonRoot=true)"#]],
    );
}

#[test]
fn windows_has_none_of_linux_settings() {
    let windows = "{pod: {os: {name: windows}, securityContext: {seccompProfile: null}}, a: {securityContext: {allowPrivilegeEscalation: null, capabilities: null}}}";
    check_versions(
        Level::Restricted,
        windows,
        &[24, 25],
        expect![[r#"
        1.24 allowPrivilegeEscalation != false (container "a" must set securityContext.allowPrivilegeEscalation=false), unrestricted capabilities (container "a" must set securityContext.capabilities.drop=["ALL"]), seccompProfile (pod or container "a" must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost")
        1.25 fine"#]],
    );
}

/// What labels, named without their prefix, ask for.
fn check_labels(labels: &str, expect: Expect) {
    let labels: Value = serde_saphyr::from_str(labels).unwrap();
    let labels: serde_json::Map<String, Value> = labels
        .as_object()
        .unwrap()
        .iter()
        .map(|(key, value)| (format!("pod-security.kubernetes.io/{key}"), value.clone()))
        .collect();
    let (policy, causes) = Policy::of(&labels.into());
    let mut lines = vec![format!(
        "enforce {} audit {} warn {}",
        policy.enforce, policy.audit, policy.warn
    )];
    lines.extend(causes.iter().map(|c| format!("{}: {}", c.field, c.message)));
    expect.assert_eq(&lines.join("\n"));
}

#[test]
fn labels_say_the_levels() {
    check_labels(
        "{}",
        expect!["enforce privileged:latest audit privileged:latest warn privileged:latest"],
    );
    check_labels(
        "{enforce: baseline}",
        expect!["enforce baseline:latest audit privileged:latest warn baseline:latest"],
    );
    check_labels(
        "{enforce: baseline, enforce-version: v1.20}",
        expect!["enforce baseline:v1.20 audit privileged:latest warn baseline:v1.20"],
    );
    check_labels(
        "{enforce: baseline, enforce-version: v1.20, warn-version: v1.30}",
        expect!["enforce baseline:v1.20 audit privileged:latest warn baseline:v1.30"],
    );
    check_labels(
        "{enforce: baseline, warn: privileged, audit: restricted, audit-version: v1.0}",
        expect!["enforce baseline:latest audit restricted:v1.0 warn privileged:latest"],
    );
    check_labels(
        "{enforce: Baseline, audit: x, warn: y, enforce-version: v2.0, audit-version: v1.07, warn-version: '1.2'}",
        expect![[r#"
            enforce restricted:latest audit privileged:latest warn privileged:latest
            metadata.labels[pod-security.kubernetes.io/enforce]: Invalid value: "Baseline": must be one of privileged, baseline, restricted
            metadata.labels[pod-security.kubernetes.io/enforce-version]: Invalid value: "v2.0": must be "latest" or "v1.x"
            metadata.labels[pod-security.kubernetes.io/audit]: Invalid value: "x": must be one of privileged, baseline, restricted
            metadata.labels[pod-security.kubernetes.io/audit-version]: Invalid value: "v1.07": must be "latest" or "v1.x"
            metadata.labels[pod-security.kubernetes.io/warn-version]: Invalid value: "1.2": must be "latest" or "v1.x""#]],
    );
}

#[test]
fn only_a_tighter_level_looks_at_pods() {
    let policy = |level: &str, version: &str| {
        let labels = json!({
            "pod-security.kubernetes.io/enforce": level, "pod-security.kubernetes.io/enforce-version": version,
        });
        Policy::of(&labels).0
    };
    for (old, new, is_tighter) in [
        (("baseline", "latest"), ("restricted", "latest"), true),
        (("restricted", "latest"), ("baseline", "latest"), false),
        (("baseline", "latest"), ("baseline", "latest"), false),
        (("restricted", "v1.20"), ("baseline", "v1.21"), true),
        (("restricted", "v1.20"), ("privileged", "v1.21"), false),
    ] {
        let tightens = policy(new.0, new.1).tightens(&policy(old.0, old.1));
        assert_eq!(tightens, is_tighter, "{old:?} → {new:?}");
    }
}
