//! Check tests: quotas and a write in YAML → what is charged, or the refusal.

use std::sync::Arc;

use expect_test::{Expect, expect};
use serde_json::{Value, json};

use super::charge::{Demand, Quota};
use super::{Amounts, Counter};
use crate::object::Object;

fn now() -> jiff::Timestamp {
    "2026-06-01T12:00:00Z".parse().unwrap()
}

fn read(yaml: &str) -> Value {
    serde_saphyr::from_str(yaml).unwrap()
}

/// A quota: `hard` and `used` are its status, everything else its spec.
fn quota(value: &Value) -> Quota {
    let object = json!({
        "metadata": {"name": value["name"], "namespace": "dev"}, "spec": value,
        "status": {"hard": value["hard"], "used": value["used"]},
    });
    Quota::of(&Arc::new(Object::encode(object, 7)))
}

/// Quotas as a list, then the object that is written (with the one before, if it is there).
fn check(quotas: &str, what: &str, objects: &[&str], expect: Expect) {
    expect.assert_eq(&charged(quotas, what, objects));
}

fn charged(quotas: &str, what: &str, objects: &[&str]) -> String {
    let mut quotas: Vec<Quota> = read(quotas).as_array().unwrap().iter().map(quota).collect();
    let (group, plural) = what.split_once('/').unwrap_or(("", what));
    let (new, old) = match objects {
        [new] => (read(new), None),
        [old, new] => (read(new), Some(read(old))),
        _ => panic!("one or two objects"),
    };
    let demand = Demand {
        group: group.into(),
        plural: plural.into(),
        namespace: "dev".into(),
        name: "x".into(),
        object: new,
        old,
        is_status: false,
        counter: Counter::of(group, plural),
    };
    match demand.fit(&mut quotas, now()) {
        Ok(_) => {
            let changed = quotas.iter().filter(|quota| quota.is_changed);
            let lines: Vec<String> = changed
                .map(|quota| format!("{}: {}", quota.name, quota.used))
                .collect();
            lines.join("\n")
        }
        Err(status) => format!("{} {}", status.code, status.message),
    }
}

/// What one object uses.
fn check_usage(what: &str, object: &str, expect: Expect) {
    let (group, plural) = what.split_once('/').unwrap_or(("", what));
    let used: Amounts = Counter::of(group, plural).usage(&read(object), now());
    expect.assert_eq(&used.to_string());
}

const POD: &str = "{spec: {containers: [{name: a, resources: {requests: {cpu: 100m, memory: 64Mi}, limits: {cpu: 200m}}}]}}";

#[test]
fn what_fits_is_charged_to_every_quota_that_counts_it() {
    check(
        "[{name: a, hard: {pods: 2, requests.cpu: 1}, used: {pods: 1, requests.cpu: 900m}}, \
          {name: b, hard: {count/pods: 9, configmaps: 3}, used: {count/pods: 1, configmaps: 0}}, \
          {name: c, hard: {secrets: 1}, used: {secrets: 1}}]",
        "pods",
        &[POD],
        expect![[r#"
            a: pods=2,requests.cpu=1
            b: configmaps=0,count/pods=2"#]],
    );
    check(
        "[{name: a, hard: {count/deployments.apps: 1, deployments: 1}, used: {count/deployments.apps: 0}}]",
        "apps/deployments",
        &["{}"],
        expect!["a: count/deployments.apps=1"],
    );
    check(
        "[{name: a, hard: {configmaps: 1}, used: {configmaps: 0}}]",
        "secrets",
        &["{}"],
        expect![[""]],
    );
}

#[test]
fn what_does_not_fit_is_refused_whole() {
    check(
        "[{name: a, hard: {pods: 5}, used: {pods: 1}}, {name: q, hard: {pods: 2, requests.cpu: '1', memory: 1Gi}, used: {pods: 2, requests.cpu: 950m, memory: 64Mi}}]",
        "pods",
        &[POD],
        expect![[
            r#"403 pods "x" is forbidden: exceeded quota: q, requested: pods=1,requests.cpu=100m, used: pods=2,requests.cpu=950m, limited: pods=2,requests.cpu=1"#
        ]],
    );
    check(
        "[{name: q, hard: {secrets: 1}, used: {secrets: 1}}]",
        "secrets",
        &["{}"],
        expect![[
            r#"403 secrets "x" is forbidden: exceeded quota: q, requested: secrets=1, used: secrets=1, limited: secrets=1"#
        ]],
    );
}

#[test]
fn who_does_not_say_how_much_is_refused() {
    let limited = "[{name: q, hard: {requests.cpu: 1, limits.memory: 1Gi, pods: 1}, used: {requests.cpu: 0, limits.memory: 0, pods: 0}}]";
    check(
        limited,
        "pods",
        &[
            "{spec: {containers: [{name: b}, {name: a, resources: {requests: {cpu: 1m}}}], initContainers: [{name: i}]}}",
        ],
        expect![[
            r#"403 pods "x" is forbidden: failed quota: q: must specify limits.memory for: a,b,i; requests.cpu for: b,i"#
        ]],
    );
    // What the pod says as a whole will do.
    check(
        limited,
        "pods",
        &[
            "{spec: {resources: {requests: {cpu: 100m}, limits: {memory: 1Mi}}, containers: [{name: b}]}}",
        ],
        expect!["q: limits.memory=1Mi,pods=1,requests.cpu=100m"],
    );
    check(
        "[{name: q, hard: {pods: 1, cpu: 1}, used: {}}]",
        "pods",
        &[POD],
        expect![[r#"403 pods "x" is forbidden: status unknown for quota: q, resources: cpu,pods"#]],
    );
    check(
        "[{name: q, hard: {requests.storage: 1Gi}, used: {requests.storage: 0}}]",
        "persistentvolumeclaims",
        &["{spec: {resources: {requests: {storage: -1}}}}"],
        expect![[
            r#"403 persistentvolumeclaims "x" is forbidden: quota usage is negative for resource(s): requests.storage"#
        ]],
    );
}

#[test]
fn scopes_say_which_pods_count() {
    let scoped = |scope: &str| {
        format!("[{{name: q, scopes: [{scope}], hard: {{pods: 5}}, used: {{pods: 1}}}}]")
    };
    let pod =
        |spec: &str, class: &str| format!("{{spec: {{{spec}}}, status: {{qosClass: {class}}}}}");
    for (scope, spec, class, is_counted) in [
        ("Terminating", "activeDeadlineSeconds: 5", "", true),
        ("Terminating", "", "", false),
        ("NotTerminating", "activeDeadlineSeconds: 5", "", false),
        ("NotTerminating", "", "", true),
        ("BestEffort", "", "BestEffort", true),
        ("BestEffort", "", "Burstable", false),
        ("NotBestEffort", "", "Burstable", true),
        ("NotBestEffort", "", "BestEffort", false),
        (
            "Terminating, BestEffort",
            "activeDeadlineSeconds: 5",
            "Burstable",
            false,
        ),
        ("PriorityClass", "priorityClassName: high", "", true),
        ("PriorityClass", "", "", false),
        ("CrossNamespacePodAffinity", "", "", false),
        (
            "CrossNamespacePodAffinity",
            "affinity: {podAffinity: {requiredDuringSchedulingIgnoredDuringExecution: [{namespaces: [other]}]}}",
            "",
            true,
        ),
        (
            "CrossNamespacePodAffinity",
            "affinity: {podAntiAffinity: {preferredDuringSchedulingIgnoredDuringExecution: [{podAffinityTerm: {namespaceSelector: {}}}]}}",
            "",
            true,
        ),
        ("VolumeAttributesClass", "", "", false),
    ] {
        let expected = if is_counted { "q: pods=2" } else { "" };
        let pod = pod(spec, class);
        let counted = charged(&scoped(scope), "pods", &[&pod]);
        assert_eq!(counted, expected, "{scope} {pod}");
    }
}

#[test]
fn scope_selectors_name_classes() {
    let selected = |operator: &str, values: &str| {
        read(&format!(
            "{{scopeSelector: {{matchExpressions: [{{scopeName: PriorityClass, operator: {operator}, values: [{values}]}}]}}}}"
        ))
    };
    for (operator, values, class, is_counted) in [
        ("In", "low, high", "high", true),
        ("In", "low", "high", false),
        ("In", "low", "''", false),
        ("NotIn", "low", "high", true),
        ("NotIn", "low", "low", false),
        ("NotIn", "low", "''", true),
        ("Exists", "", "low", true),
        ("DoesNotExist", "", "low", false),
        ("DoesNotExist", "", "''", true),
    ] {
        let pod = read(&format!("{{spec: {{priorityClassName: {class}}}}}"));
        let is_in = Counter::Pods.is_in_scope(&selected(operator, values), &pod);
        assert_eq!(is_in, is_counted, "{operator} {values} {class}");
    }
    let claims = read(
        "{scopeSelector: {matchExpressions: [{scopeName: VolumeAttributesClass, operator: In, values: [gold]}]}}",
    );
    for (claim, is_counted) in [
        ("{spec: {volumeAttributesClassName: gold}}", true),
        (
            "{spec: {volumeAttributesClassName: tin}, status: {currentVolumeAttributesClassName: gold}}",
            true,
        ),
        (
            "{status: {modifyVolumeStatus: {targetVolumeAttributesClassName: gold}}}",
            true,
        ),
        ("{spec: {}}", false),
    ] {
        assert_eq!(
            Counter::Claims.is_in_scope(&claims, &read(claim)),
            is_counted,
            "{claim}"
        );
    }
}

#[test]
fn updates_are_charged_what_they_add() {
    let services = "[{name: q, hard: {services: 1, services.nodeports: 3, services.loadbalancers: 0}, used: {services: 1, services.nodeports: 1, services.loadbalancers: 0}}]";
    let service = |kind: &str, ports: &str| format!("{{spec: {{type: {kind}, ports: [{ports}]}}}}");
    let one = service("NodePort", "{port: 1}");
    check(
        services,
        "services",
        &[&one, &service("NodePort", "{port: 1}, {port: 2}")],
        expect!["q: services=1,services.loadbalancers=0,services.nodeports=2"],
    );
    check(
        services,
        "services",
        &[&one, &service("ClusterIP", "{port: 1}")],
        expect![[""]],
    );
    check(
        services,
        "services",
        &[&one, &service("LoadBalancer", "{port: 1}")],
        expect![[
            r#"403 services "x" is forbidden: exceeded quota: q, requested: services.loadbalancers=1, used: services.loadbalancers=0, limited: services.loadbalancers=0"#
        ]],
    );
    // A pod that comes into a scope has not been counted there before.
    let terminating =
        "[{name: q, scopes: [Terminating], hard: {pods: 1, cpu: 1}, used: {pods: 0, cpu: 0}}]";
    let before = POD;
    let after = "{spec: {activeDeadlineSeconds: 9, containers: [{name: a, resources: {requests: {cpu: 100m}}}]}}";
    check(
        terminating,
        "pods",
        &[before, after],
        expect!["q: cpu=100m,pods=1"],
    );
}

#[test]
fn usage_of_pods() {
    check_usage(
        "pods",
        POD,
        expect![
            "count/pods=1,cpu=100m,limits.cpu=200m,memory=64Mi,pods=1,requests.cpu=100m,requests.memory=64Mi"
        ],
    );
    check_usage(
        "pods",
        "{spec: {overhead: {cpu: 10m, memory: 1Mi}, containers: [{name: a, resources: {requests: {cpu: 1, hugepages-2Mi: 4Mi, example.com/gpu: 2, ephemeral-storage: 1G}, limits: {cpu: 2}}}], \
         initContainers: [{name: s, restartPolicy: Always, resources: {requests: {cpu: 1}}}, {name: i, resources: {requests: {cpu: 2500m}}}]}}",
        expect![
            "count/pods=1,cpu=3510m,ephemeral-storage=1G,hugepages-2Mi=4Mi,limits.cpu=2010m,memory=1Mi,pods=1,requests.cpu=3510m,requests.ephemeral-storage=1G,requests.example.com/gpu=2,requests.hugepages-2Mi=4Mi,requests.memory=1Mi"
        ],
    );
    check_usage(
        "pods",
        "{spec: {containers: [{name: a, resources: {requests: {cpu: 1}}}]}, status: {phase: Succeeded}}",
        expect!["count/pods=1"],
    );
    let going = |at: &str| {
        format!(
            "{{metadata: {{deletionTimestamp: '{at}', deletionGracePeriodSeconds: 30}}, spec: {{containers: [{{name: a}}]}}}}"
        )
    };
    check_usage(
        "pods",
        &going("2026-06-01T11:59:31Z"),
        expect!["count/pods=1,pods=1"],
    );
    check_usage(
        "pods",
        &going("2026-06-01T11:59:29Z"),
        expect!["count/pods=1"],
    );
    // What has been given counts until it is given back.
    let resized = "{spec: {containers: [{name: a, resources: {requests: {cpu: 1}, limits: {cpu: 1}}}]}, \
        status: {containerStatuses: [{name: a, resources: {requests: {cpu: 2}, limits: {cpu: 3}}, allocatedResources: {cpu: 4}}]}}";
    check_usage(
        "pods",
        resized,
        expect!["count/pods=1,cpu=4,limits.cpu=3,pods=1,requests.cpu=4"],
    );
    let infeasible = resized.replace(
        "status: {",
        "status: {conditions: [{type: PodResizePending, reason: Infeasible}], ",
    );
    check_usage(
        "pods",
        &infeasible.replace("requests: {cpu: 1}", "requests: {cpu: 9}"),
        expect!["count/pods=1,cpu=4,limits.cpu=3,pods=1,requests.cpu=4"],
    );
}

#[test]
fn usage_of_services_and_claims() {
    check_usage(
        "services",
        "{spec: {ports: [{port: 1}]}}",
        expect!["count/services=1,services=1,services.loadbalancers=0,services.nodeports=0"],
    );
    check_usage(
        "services",
        "{spec: {type: LoadBalancer, ports: [{port: 1}, {port: 2}]}}",
        expect!["count/services=1,services=1,services.loadbalancers=1,services.nodeports=2"],
    );
    check_usage(
        "services",
        "{spec: {type: LoadBalancer, allocateLoadBalancerNodePorts: false, ports: [{port: 1}, {port: 2, nodePort: 30000}]}}",
        expect!["count/services=1,services=1,services.loadbalancers=1,services.nodeports=1"],
    );
    check_usage(
        "persistentvolumeclaims",
        "{spec: {storageClassName: gold, resources: {requests: {storage: 1.5Gi}}}}",
        expect![
            "count/persistentvolumeclaims=1,gold.storageclass.storage.k8s.io/persistentvolumeclaims=1,gold.storageclass.storage.k8s.io/requests.storage=1536Mi,persistentvolumeclaims=1,requests.storage=1536Mi"
        ],
    );
    check_usage(
        "persistentvolumeclaims",
        "{spec: {resources: {requests: {storage: 1}}}, status: {allocatedResources: {storage: 2500m}}}",
        expect!["count/persistentvolumeclaims=1,persistentvolumeclaims=1,requests.storage=3"],
    );
    check_usage(
        "resourcequotas",
        "{}",
        expect!["count/resourcequotas=1,resourcequotas=1"],
    );
    check_usage("batch/jobs", "{}", expect!["count/jobs.batch=1"]);
}

#[test]
fn devices_are_counted_by_class() {
    let of = |yaml: &str| {
        let claim = read(yaml);
        Counter::of("resource.k8s.io", "resourceclaims")
            .usage(&claim, now())
            .to_string()
    };
    let rows = [
        of("{spec: {devices: {}}}"),
        of(
            "{spec: {devices: {requests: [{exactly: {deviceClassName: gpu, allocationMode: ExactCount, count: 2}}]}}}",
        ),
        of("{spec: {devices: {requests: [
            {exactly: {deviceClassName: gpu, allocationMode: ExactCount, count: 2}},
            {exactly: {deviceClassName: gpu, allocationMode: All}},
            {firstAvailable: [
                {deviceClassName: gpu, allocationMode: ExactCount, count: 3},
                {deviceClassName: gpu, allocationMode: ExactCount, count: 1},
                {deviceClassName: nic, allocationMode: ExactCount, count: 1},
                {deviceClassName: odd, allocationMode: Later, count: 9}]}]}}}"),
    ];
    expect![[r#"
        count/resourceclaims.resource.k8s.io=1
        count/resourceclaims.resource.k8s.io=1,gpu.deviceclass.resource.k8s.io/devices=2
        count/resourceclaims.resource.k8s.io=1,gpu.deviceclass.resource.k8s.io/devices=37,nic.deviceclass.resource.k8s.io/devices=1,odd.deviceclass.resource.k8s.io/devices=0"#]].assert_eq(&rows.join("\n"));
    check(
        "[{name: q, hard: {gpu.deviceclass.resource.k8s.io/devices: 3}, used: {gpu.deviceclass.resource.k8s.io/devices: 2}}]",
        "resource.k8s.io/resourceclaims",
        &[
            "{spec: {devices: {requests: [{exactly: {deviceClassName: gpu, allocationMode: ExactCount, count: 2}}]}}}",
        ],
        expect![[
            r#"403 resourceclaims.resource.k8s.io "x" is forbidden: exceeded quota: q, requested: gpu.deviceclass.resource.k8s.io/devices=2, used: gpu.deviceclass.resource.k8s.io/devices=2, limited: gpu.deviceclass.resource.k8s.io/devices=3"#
        ]],
    );
}
