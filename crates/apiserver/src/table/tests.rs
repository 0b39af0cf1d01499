use std::fmt::Write as _;

use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::*;
use crate::testing::{custom_resource, resource};

fn now() -> Timestamp {
    "2026-05-01T12:00:00Z".parse().expect("a time")
}

/// The table as `kubectl get -o wide` would print it: a line of columns (`*` marks wide ones), a line per object.
fn show(resource: &Resource, objects: &[Value]) -> String {
    let objects: Vec<&Value> = objects.iter().collect();
    let table = render(
        resource,
        &objects,
        json!({}),
        IncludeObject::None,
        true,
        now(),
        "meta.k8s.io/v1",
    );
    let columns: Vec<String> = row::list(&table["columnDefinitions"])
        .iter()
        .map(|column| {
            let wide = if column["priority"] == 0 { "" } else { "*" };
            format!("{}{wide}", row::scalar(&column["name"]))
        })
        .collect();
    let mut text = columns.join(" | ");
    for line in row::list(&table["rows"]) {
        let cells = row::list(&line["cells"]);
        assert_eq!(cells.len(), columns.len(), "a cell per column");
        let cells: Vec<String> = cells.iter().map(row::scalar).collect();
        write!(text, "\n{}", cells.join(" | ")).expect("a string");
    }
    text
}

fn check(group: &str, plural: &str, objects: Vec<Value>, expected: &Expect) {
    let objects: Vec<Value> = objects
        .into_iter()
        .map(|mut object| {
            if object["metadata"]["name"].is_null() {
                object["metadata"]["name"] = "x".into();
            }
            object["metadata"]["creationTimestamp"] = "2026-04-29T09:00:00Z".into();
            object
        })
        .collect();
    expected.assert_eq(&show(&resource(group, "v1", plural, "Kind"), &objects));
}

fn pod(name: &str, status: Value) -> Value {
    json!({"metadata": {"name": name}, "spec": {"nodeName": "n1", "containers": [{"name": "a"}, {"name": "b"}]}, "status": status})
}

#[test]
fn a_pods_status_says_what_its_containers_do() {
    let running = json!({"ready": true, "restartCount": 0, "state": {"running": {}}});
    let crashing = json!({
        "restartCount": 3, "state": {"waiting": {"reason": "CrashLoopBackOff"}},
        "lastState": {"terminated": {"finishedAt": "2026-05-01T11:55:00Z"}},
    });
    let ended = |reason: &str, code: i64| json!({"state": {"terminated": {"reason": reason, "exitCode": code}}});
    let mut deleted = pod(
        "deleted",
        json!({"phase": "Running", "containerStatuses": [running, running]}),
    );
    deleted["metadata"]["deletionTimestamp"] = "2026-05-01T11:59:00Z".into();
    let mut lost = deleted.clone();
    lost["metadata"]["name"] = "lost".into();
    lost["status"]["reason"] = "NodeLost".into();
    let mut gated = pod(
        "gates",
        json!({"phase": "Running", "conditions": [{"type": "lb", "status": "True"}]}),
    );
    gated["spec"]["readinessGates"] = json!([{"conditionType": "lb"}, {"conditionType": "dns"}]);
    check(
        "",
        "pods",
        vec![
            pod("new", json!({"phase": "Pending"})),
            pod(
                "running",
                json!({"phase": "Running", "podIPs": [{"ip": "10.0.0.1"}], "containerStatuses": [running, running]}),
            ),
            pod(
                "crashing",
                json!({"phase": "Running", "containerStatuses": [running, crashing]}),
            ),
            pod(
                "completed",
                json!({"phase": "Succeeded", "containerStatuses": [ended("Completed", 0), ended("Completed", 0)]}),
            ),
            pod(
                "half",
                json!({"phase": "Running", "containerStatuses": [ended("Completed", 0), running]}),
            ),
            pod(
                "error",
                json!({"phase": "Failed", "containerStatuses": [ended("Error", 1), ended("Completed", 0)]}),
            ),
            pod(
                "code",
                json!({"phase": "Failed", "containerStatuses": [ended("", 7)]}),
            ),
            pod("evicted", json!({"phase": "Failed", "reason": "Evicted"})),
            pod(
                "scheduling",
                json!({"phase": "Pending", "conditions": [{"type": "PodScheduled", "reason": "SchedulingGated"}]}),
            ),
            deleted,
            lost,
            gated,
        ],
        &expect![[r#"
            Name | Ready | Status | Restarts | Age | IP* | Node* | Nominated Node* | Readiness Gates*
            new | 0/2 | Pending | 0 | 2d3h | <none> | n1 | <none> | <none>
            running | 2/2 | Running | 0 | 2d3h | 10.0.0.1 | n1 | <none> | <none>
            crashing | 1/2 | CrashLoopBackOff | 3 (5m ago) | 2d3h | <none> | n1 | <none> | <none>
            completed | 0/2 | Completed | 0 | 2d3h | <none> | n1 | <none> | <none>
            half | 1/2 | NotReady | 0 | 2d3h | <none> | n1 | <none> | <none>
            error | 0/2 | Error | 0 | 2d3h | <none> | n1 | <none> | <none>
            code | 0/2 | ExitCode:7 | 0 | 2d3h | <none> | n1 | <none> | <none>
            evicted | 0/2 | Evicted | 0 | 2d3h | <none> | n1 | <none> | <none>
            scheduling | 0/2 | SchedulingGated | 0 | 2d3h | <none> | n1 | <none> | <none>
            deleted | 2/2 | Terminating | 0 | 2d3h | <none> | n1 | <none> | <none>
            lost | 2/2 | Unknown | 0 | 2d3h | <none> | n1 | <none> | <none>
            gates | 0/2 | Running | 0 | 2d3h | <none> | n1 | <none> | 1/2"#]],
    );
}

#[test]
fn a_pods_status_says_which_init_container_it_waits_for() {
    let with_init = |name: &str, statuses: Value| {
        let mut pod = pod(
            name,
            json!({"phase": "Pending", "initContainerStatuses": statuses}),
        );
        pod["spec"]["initContainers"] =
            json!([{"name": "first"}, {"name": "side", "restartPolicy": "Always"}]);
        pod
    };
    let done = json!({"name": "first", "state": {"terminated": {"exitCode": 0}}});
    let mut serving = with_init(
        "serving",
        json!([done, {"name": "side", "started": true, "ready": true, "restartCount": 2, "state": {"running": {}}}]),
    );
    serving["status"]["phase"] = "Running".into();
    serving["status"]["containerStatuses"] = json!([{"ready": true, "state": {"running": {}}}]);
    check(
        "",
        "pods",
        vec![
            with_init(
                "starting",
                json!([{"name": "first", "state": {"waiting": {"reason": "PodInitializing"}}}]),
            ),
            with_init(
                "pulling",
                json!([{"name": "first", "state": {"waiting": {"reason": "ErrImagePull"}}}]),
            ),
            with_init(
                "failed",
                json!([{"name": "first", "restartCount": 1, "state": {"terminated": {"exitCode": 2}}}]),
            ),
            with_init(
                "killed",
                json!([{"name": "first", "state": {"terminated": {"exitCode": 137, "signal": 9}}}]),
            ),
            with_init(
                "second",
                json!([done, {"name": "side", "state": {"running": {}}}]),
            ),
            serving,
        ],
        &expect![[r#"
            Name | Ready | Status | Restarts | Age | IP* | Node* | Nominated Node* | Readiness Gates*
            starting | 0/3 | Init:0/2 | 0 | 2d3h | <none> | n1 | <none> | <none>
            pulling | 0/3 | Init:ErrImagePull | 0 | 2d3h | <none> | n1 | <none> | <none>
            failed | 0/3 | Init:ExitCode:2 | 1 | 2d3h | <none> | n1 | <none> | <none>
            killed | 0/3 | Init:Signal:9 | 0 | 2d3h | <none> | n1 | <none> | <none>
            second | 0/3 | Init:1/2 | 0 | 2d3h | <none> | n1 | <none> | <none>
            serving | 2/3 | Running | 2 | 2d3h | <none> | n1 | <none> | <none>"#]],
    );
}

#[test]
fn finished_pods_are_marked() {
    let pod = pod("done", json!({"phase": "Succeeded"}));
    let pods = resource("", "v1", "pods", "Pod");
    let table = render(
        &pods,
        &[&pod],
        json!({}),
        IncludeObject::None,
        false,
        now(),
        "meta.k8s.io/v1",
    );
    expect![[r#"{"apiVersion":"meta.k8s.io/v1","columnDefinitions":null,"kind":"Table","metadata":{},"rows":[{"cells":["done","0/2","Succeeded","0","<unknown>","<none>","n1","<none>","<none>"],"conditions":[{"message":"The pod has completed successfully.","reason":"Succeeded","status":"True","type":"Completed"}],"object":null}]}"#]].assert_eq(&table.to_string());
}

#[test]
fn workloads() {
    let template = json!({"spec": {"containers": [{"name": "a", "image": "i:1"}, {"name": "b", "image": "j:2"}], "nodeSelector": {"os": "linux"}}});
    let selector = json!({"matchLabels": {"app": "web"}, "matchExpressions": [{"key": "a", "operator": "In", "values": ["y", "x"]}, {"key": "z", "operator": "DoesNotExist"}]});
    let spec = json!({"replicas": 3, "template": template, "selector": selector});
    let status =
        json!({"replicas": 2, "readyReplicas": 1, "updatedReplicas": 2, "availableReplicas": 1});
    let object = json!({"spec": spec, "status": status});
    check(
        "apps",
        "deployments",
        vec![object.clone(), json!({})],
        &expect![[r#"
            Name | Ready | Up-to-date | Available | Age | Containers* | Images* | Selector*
            x | 1/3 | 2 | 1 | 2d3h | a,b | i:1,j:2 | a in (x,y),app=web,!z
            x | 0/1 | 0 | 0 | 2d3h |  |  | <none>"#]],
    );
    check(
        "apps",
        "replicasets",
        vec![object.clone()],
        &expect![[r#"
        Name | Desired | Current | Ready | Age | Containers* | Images* | Selector*
        x | 3 | 2 | 1 | 2d3h | a,b | i:1,j:2 | a in (x,y),app=web,!z"#]],
    );
    check(
        "apps",
        "statefulsets",
        vec![object],
        &expect![[r#"
        Name | Ready | Age | Containers* | Images*
        x | 1/3 | 2d3h | a,b | i:1,j:2"#]],
    );
    check(
        "apps",
        "daemonsets",
        vec![json!({"spec": spec, "status": {"desiredNumberScheduled": 5, "numberReady": 4}})],
        &expect![[r#"
            Name | Desired | Current | Ready | Up-to-date | Available | Node Selector | Age | Containers* | Images* | Selector*
            x | 5 | 0 | 4 | 0 | 0 | os=linux | 2d3h | a,b | i:1,j:2 | a in (x,y),app=web,!z"#]],
    );
    check(
        "",
        "replicationcontrollers",
        vec![json!({"spec": {"selector": {"app": "web"}, "template": template}})],
        &expect![[r#"
            Name | Desired | Current | Ready | Age | Containers* | Images* | Selector*
            x | 1 | 0 | 0 | 2d3h | a,b | i:1,j:2 | app=web"#]],
    );
    let owner = json!([{"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "web", "controller": true}]);
    check(
        "apps",
        "controllerrevisions",
        vec![json!({"metadata": {"ownerReferences": owner}, "revision": 2})],
        &expect![[r#"
            Name | Controller | Revision | Age
            x | statefulset.apps/web | 2 | 2d3h"#]],
    );
    check(
        "policy",
        "poddisruptionbudgets",
        vec![
            json!({"spec": {"minAvailable": "50%"}}),
            json!({"spec": {"maxUnavailable": 1}, "status": {"disruptionsAllowed": 1}}),
        ],
        &expect![[r#"
            Name | Min Available | Max Unavailable | Allowed Disruptions | Age
            x | 50% | N/A | 0 | 2d3h
            x | N/A | 1 | 1 | 2d3h"#]],
    );
    check(
        "",
        "podtemplates",
        vec![json!({"template": template})],
        &expect![[r#"
            Name | Containers | Images | Pod Labels
            x | a,b | i:1,j:2 | <none>"#]],
    );
}

#[test]
fn a_scale_has_columns_of_its_own() {
    let scale = json!({"kind": "Scale", "apiVersion": "autoscaling/v1", "spec": {"replicas": 3}, "status": {"replicas": 2}});
    check(
        "apps",
        "deployments",
        vec![scale],
        &expect![[r#"
        Name | Desired | Available | Age
        x | 3 | 2 | 2d3h"#]],
    );
}

#[test]
fn jobs_tell_how_far_they_are() {
    let condition = |ty: &str| json!([{"type": ty, "status": "True"}]);
    check(
        "batch",
        "jobs",
        vec![
            json!({"spec": {"completions": 3}, "status": {"succeeded": 3, "startTime": "2026-05-01T11:00:00Z", "completionTime": "2026-05-01T11:03:20Z", "conditions": condition("Complete")}}),
            json!({"spec": {"parallelism": 4}, "status": {"startTime": "2026-05-01T11:59:30Z"}}),
            json!({"spec": {"suspend": true}, "status": {"conditions": condition("Suspended")}}),
            json!({"status": {"conditions": condition("Failed")}}),
        ],
        &expect![[r#"
            Name | Status | Completions | Duration | Age | Containers* | Images* | Selector*
            x | Complete | 3/3 | 3m20s | 2d3h |  |  | <none>
            x | Running | 0/1 of 4 | 30s | 2d3h |  |  | <none>
            x | Suspended | 0/1 |  | 2d3h |  |  | <none>
            x | Failed | 0/1 |  | 2d3h |  |  | <none>"#]],
    );
    let spec = json!({"schedule": "*/5 * * * *", "suspend": false, "jobTemplate": {"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "d"}]}}}}});
    check(
        "batch",
        "cronjobs",
        vec![
            json!({"spec": spec, "status": {"active": [{}], "lastScheduleTime": "2026-05-01T11:55:00Z"}}),
            json!({}),
        ],
        &expect![[r#"
            Name | Schedule | Timezone | Suspend | Active | Last Schedule | Age | Containers* | Images* | Selector*
            x | */5 * * * * | <none> | False | 1 | 5m | 2d3h | c | d | <none>
            x |  | <none> | <unset> | 0 | <none> | 2d3h |  |  | <none>"#]],
    );
}

#[test]
fn autoscalers_show_what_they_measure() {
    let resource =
        |target: Value| json!({"type": "Resource", "resource": {"name": "cpu", "target": target}});
    let target = json!({"kind": "Deployment", "name": "web"});
    check(
        "autoscaling",
        "horizontalpodautoscalers",
        vec![
            json!({"spec": {"scaleTargetRef": target, "maxReplicas": 5, "minReplicas": 1, "metrics": [resource(json!({"averageUtilization": 80}))]},
                "status": {"currentReplicas": 2, "currentMetrics": [{"resource": {"current": {"averageUtilization": 30}}}]}}),
            json!({"spec": {"scaleTargetRef": target, "targetCPUUtilizationPercentage": 50}}),
            json!({"spec": {"metrics": [
                {"type": "Pods", "pods": {"target": {"averageValue": "1k"}}},
                {"type": "External", "external": {"target": {"averageValue": "10"}}},
                {"type": "Object", "object": {"target": {"value": "5"}}},
                {"type": "New"},
            ]}}),
            json!({}),
        ],
        &expect![[r#"
            Name | Reference | Targets | MinPods | MaxPods | Replicas | Age
            x | Deployment/web | cpu: 30%/80% | 1 | 5 | 2 | 2d3h
            x | Deployment/web | cpu: <unknown>/50% | <unset> | 0 | 0 | 2d3h
            x | / | <unknown>/1k, <unknown>/10 (avg) + 2 more... | <unset> | 0 | 0 | 2d3h
            x | / | <none> | <unset> | 0 | 0 | 2d3h"#]],
    );
}

#[test]
fn services_and_their_endpoints() {
    check(
        "",
        "services",
        vec![
            json!({"spec": {"type": "ClusterIP", "clusterIPs": ["10.0.0.1"], "ports": [{"port": 80, "protocol": "TCP"}], "selector": {"b": "2", "a": "1"}}}),
            json!({"spec": {"type": "ClusterIP", "clusterIP": "None"}}),
            json!({"spec": {"type": "NodePort", "ports": [{"port": 80, "nodePort": 30080, "protocol": "TCP"}, {"port": 53, "protocol": "UDP"}]}}),
            json!({"spec": {"type": "LoadBalancer"}}),
            json!({"spec": {"type": "LoadBalancer", "externalIPs": ["192.0.2.9"]}, "status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}, {"hostname": "lb.example.com"}]}}}),
            json!({"spec": {"type": "ExternalName", "externalName": "example.com"}}),
        ],
        &expect![[r#"
            Name | Type | Cluster-IP | External-IP | Port(s) | Age | Selector*
            x | ClusterIP | 10.0.0.1 | <none> | 80/TCP | 2d3h | a=1,b=2
            x | ClusterIP | None | <none> | <none> | 2d3h | <none>
            x | NodePort | <none> | <none> | 80:30080/TCP,53/UDP | 2d3h | <none>
            x | LoadBalancer | <none> | <pending> | <none> | 2d3h | <none>
            x | LoadBalancer | <none> | 192.0.2.1,lb.example.com,192.0.2.9 | <none> | 2d3h | <none>
            x | ExternalName | <none> | example.com | <none> | 2d3h | <none>"#]],
    );
    let addresses = json!([{"ip": "10.1.0.1"}, {"ip": "10.1.0.2"}]);
    check(
        "",
        "endpoints",
        vec![
            json!({"subsets": [{"addresses": addresses, "ports": [{"port": 80}, {"port": 443}]}]}),
            json!({"subsets": [{"addresses": [{"ip": "fd00::1"}], "ports": [{"port": 80}]}, {"addresses": addresses}]}),
            json!({}),
        ],
        &expect![[r#"
            Name | Endpoints | Age
            x | 10.1.0.1:80,10.1.0.2:80,10.1.0.1:443 + 1 more... | 2d3h
            x | [fd00::1]:80,10.1.0.1,10.1.0.2 | 2d3h
            x | <none> | 2d3h"#]],
    );
    let slice = json!({"addressType": "IPv4", "ports": [{"port": 80}, {"name": "any"}, {}], "endpoints": [{"addresses": ["10.0.0.1"]}, {"addresses": ["10.0.0.2"]}]});
    check(
        "discovery.k8s.io",
        "endpointslices",
        vec![slice, json!({})],
        &expect![[r#"
            Name | AddressType | Ports | Endpoints | Age
            x | IPv4 | 80,any,* | 10.0.0.1,10.0.0.2 | 2d3h
            x |  | <unset> | <unset> | 2d3h"#]],
    );
}

#[test]
fn ingresses_and_policies() {
    check(
        "networking.k8s.io",
        "ingresses",
        vec![
            json!({"spec": {"ingressClassName": "nginx", "rules": [{"host": "a"}, {"host": "b"}, {"host": "c"}, {"host": "d"}], "tls": [{}]}, "status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}}}),
            json!({"spec": {"rules": [{}]}}),
        ],
        &expect![[r#"
            Name | Class | Hosts | Address | Ports | Age
            x | nginx | a,b,c + 1 more... | 192.0.2.1 | 80, 443 | 2d3h
            x | <none> | * |  | 80 | 2d3h"#]],
    );
    check(
        "networking.k8s.io",
        "ingressclasses",
        vec![
            json!({"spec": {"controller": "c", "parameters": {"apiGroup": "g", "kind": "K", "name": "n"}}}),
        ],
        &expect![[r#"
            Name | Controller | Parameters | Age
            x | c | K.g/n | 2d3h"#]],
    );
    check(
        "networking.k8s.io",
        "networkpolicies",
        vec![json!({"spec": {"podSelector": {}}})],
        &expect![[r#"
            Name | Pod-Selector | Age
            x | <none> | 2d3h"#]],
    );
    check(
        "networking.k8s.io",
        "ipaddresses",
        vec![
            json!({"spec": {"parentRef": {"resource": "services", "namespace": "default", "name": "web"}}}),
        ],
        &expect![[r#"
            Name | ParentRef | Age
            x | services/default/web | 2d3h"#]],
    );
}

#[test]
fn the_cluster_itself() {
    check(
        "",
        "nodes",
        vec![
            json!({
                "metadata": {"labels": {"node-role.kubernetes.io/control-plane": "", "kubernetes.io/role": "extra"}}, "spec": {"unschedulable": true},
                "status": {"conditions": [{"type": "Ready", "status": "True"}], "addresses": [{"type": "InternalIP", "address": "10.0.0.1"}],
                    "nodeInfo": {"kubeletVersion": "v1.36.0", "osImage": "Debian"}},
            }),
            json!({"status": {"conditions": [{"type": "Ready", "status": "Unknown"}]}}),
            json!({}),
        ],
        &expect![[r#"
            Name | Status | Roles | Age | Version | Internal-IP* | External-IP* | OS-Image* | Kernel-Version* | Container-Runtime*
            x | Ready,SchedulingDisabled | control-plane,extra | 2d3h | v1.36.0 | 10.0.0.1 | <none> | Debian | <unknown> | <unknown>
            x | NotReady | <none> | 2d3h |  | <none> | <none> | <unknown> | <unknown> | <unknown>
            x | Unknown | <none> | 2d3h |  | <none> | <none> | <unknown> | <unknown> | <unknown>"#]],
    );
    check(
        "",
        "namespaces",
        vec![json!({"status": {"phase": "Active"}})],
        &expect![[r#"
            Name | Status | Age
            x | Active | 2d3h"#]],
    );
    check(
        "",
        "secrets",
        vec![json!({"type": "Opaque", "data": {"a": "", "b": ""}})],
        &expect![[r#"
            Name | Type | Data | Age
            x | Opaque | 2 | 2d3h"#]],
    );
    check(
        "",
        "configmaps",
        vec![json!({"data": {"a": ""}, "binaryData": {"b": ""}})],
        &expect![[r#"
            Name | Data | Age
            x | 2 | 2d3h"#]],
    );
    check(
        "",
        "events",
        vec![
            json!({"type": "Normal", "reason": "Started", "message": " done\n", "involvedObject": {"kind": "Pod", "name": "web", "fieldPath": "spec"}, "count": 4,
                "source": {"component": "kubelet", "host": "n1"}, "firstTimestamp": "2026-05-01T11:00:00Z", "lastTimestamp": "2026-05-01T11:59:00Z"}),
            json!({"reason": "New", "eventTime": "2026-05-01T11:58:00.000000Z", "reportingComponent": "c", "involvedObject": {"kind": "Node"}}),
        ],
        &expect![[r#"
            Last Seen | Type | Reason | Object | Subobject* | Source* | Message | First Seen* | Count* | Name*
            60s | Normal | Started | pod/web | spec | kubelet, n1 | done | 60m | 4 | x
            2m |  | New | node |  | c |  | 2m | 1 | x"#]],
    );
    check(
        "events.k8s.io",
        "events",
        vec![
            json!({"note": "n", "regarding": {"kind": "Pod", "name": "p"}, "reportingController": "c", "eventTime": "2026-05-01T11:00:00.000000Z",
            "series": {"count": 9, "lastObservedTime": "2026-05-01T11:59:50.000000Z"}}),
        ],
        &expect![[r#"
            Last Seen | Type | Reason | Object | Subobject* | Source* | Message | First Seen* | Count* | Name*
            10s |  |  | pod/p |  | c | n | 60m | 9 | x"#]],
    );
}

#[test]
fn access_and_certificates() {
    let subjects = json!([{"kind": "User", "name": "u"}, {"kind": "User", "name": "v"}, {"kind": "Group", "name": "g"}, {"kind": "ServiceAccount", "namespace": "n", "name": "s"}]);
    check(
        "rbac.authorization.k8s.io",
        "rolebindings",
        vec![json!({"roleRef": {"kind": "Role", "name": "r"}, "subjects": subjects})],
        &expect![[r#"
            Name | Role | Age | Users* | Groups* | ServiceAccounts*
            x | Role/r | 2d3h | u, v | g | n/s"#]],
    );
    check(
        "rbac.authorization.k8s.io",
        "clusterroles",
        vec![json!({})],
        &expect![[r#"
            Name | Created At
            x | 2026-04-29T09:00:00Z"#]],
    );
    check(
        "certificates.k8s.io",
        "certificatesigningrequests",
        vec![
            json!({"spec": {"signerName": "s", "username": "u", "expirationSeconds": 600}, "status": {"certificate": "Y2E=", "conditions": [{"type": "Approved"}]}}),
            json!({}),
        ],
        &expect![[r#"
            Name | Age | SignerName | Requestor | RequestedDuration | Condition
            x | 2d3h | s | u | 10m | Approved,Issued
            x | 2d3h | <none> |  | <none> | Pending"#]],
    );
    check(
        "coordination.k8s.io",
        "leases",
        vec![json!({"spec": {"holderIdentity": "h"}})],
        &expect![[r#"
            Name | Holder | Age
            x | h | 2d3h"#]],
    );
    check(
        "admissionregistration.k8s.io",
        "validatingadmissionpolicybindings",
        vec![
            json!({"spec": {"policyName": "p", "paramRef": {"name": "n"}}}),
            json!({}),
        ],
        &expect![[r#"
            Name | PolicyName | ParamRef | Age
            x | p | */n | 2d3h
            x |  | <unset> | 2d3h"#]],
    );
    check(
        "admissionregistration.k8s.io",
        "validatingadmissionpolicies",
        vec![
            json!({"spec": {"validations": [{}], "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"}}}),
        ],
        &expect![[r#"
            Name | Validations | ParamKind | Age
            x | 1 | v1/ConfigMap | 2d3h"#]],
    );
    check(
        "apiregistration.k8s.io",
        "apiservices",
        vec![
            json!({"status": {"conditions": [{"type": "Available", "status": "True"}]}}),
            json!({"spec": {"service": {"namespace": "n", "name": "s"}}, "status": {"conditions": [{"type": "Available", "status": "False", "reason": "MissingEndpoints"}]}}),
        ],
        &expect![[r#"
            Name | Service | Available | Age
            x | Local | True | 2d3h
            x | n/s | False (MissingEndpoints) | 2d3h"#]],
    );
}

#[test]
fn volumes_and_quotas() {
    check(
        "",
        "persistentvolumes",
        vec![
            json!({"spec": {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteMany", "ReadWriteOnce"], "claimRef": {"namespace": "n", "name": "c"}, "storageClassName": "fast"}, "status": {"phase": "Bound"}}),
        ],
        &expect![[r#"
            Name | Capacity | Access Modes | Reclaim Policy | Status | Claim | StorageClass | VolumeAttributesClass | Reason | Age | VolumeMode*
            x | 1Gi | RWO,RWX |  | Bound | n/c | fast | <unset> |  | 2d3h | <unset>"#]],
    );
    check(
        "",
        "persistentvolumeclaims",
        vec![
            json!({"spec": {"volumeName": "v", "storageClassName": "fast", "volumeMode": "Filesystem"}, "status": {"phase": "Bound", "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"]}}),
            json!({"status": {"phase": "Pending"}}),
        ],
        &expect![[r#"
            Name | Status | Volume | Capacity | Access Modes | StorageClass | VolumeAttributesClass | Age | VolumeMode*
            x | Bound | v | 1Gi | RWO | fast | <unset> | 2d3h | Filesystem
            x | Pending |  |  |  |  | <unset> | 2d3h | <unset>"#]],
    );
    check(
        "storage.k8s.io",
        "storageclasses",
        vec![
            json!({"metadata": {"annotations": {"storageclass.kubernetes.io/is-default-class": "true"}}, "provisioner": "p"}),
        ],
        &expect![[r#"
            Name | Provisioner | ReclaimPolicy | VolumeBindingMode | AllowVolumeExpansion | Age
            x (default) | p | Delete | Immediate | false | 2d3h"#]],
    );
    check(
        "",
        "resourcequotas",
        vec![
            json!({"status": {"hard": {"cpu": "2", "limits.memory": "4Gi", "pods": "10"}, "used": {"cpu": "1"}}}),
        ],
        &expect![[r#"
            Name | Request | Limit | Age
            x | cpu: 1/2, pods: 0/10 | limits.memory: 0/4Gi | 2d3h"#]],
    );
    check(
        "resource.k8s.io",
        "resourceclaims",
        vec![
            json!({}),
            json!({"status": {"allocation": {}, "reservedFor": [{}]}}),
        ],
        &expect![[r#"
            Name | State | Age
            x | pending | 2d3h
            x | allocated,reserved | 2d3h"#]],
    );
    check(
        "storage.k8s.io",
        "csidrivers",
        vec![json!({"spec": {"tokenRequests": [{"audience": "a"}]}})],
        &expect![[r#"
            Name | AttachRequired | PodInfoOnMount | StorageCapacity | TokenRequests | RequiresRepublish | Modes | Age
            x | true | false | false | a | false | <none> | 2d3h"#]],
    );
    check(
        "",
        "limitranges",
        vec![json!({})],
        &expect![[r#"
        Name | Created At
        x | 2026-04-29T09:00:00Z"#]],
    );
}

#[test]
fn custom_resources_bring_their_columns() {
    let column = |name: &str, ty: &str, path: &str, priority| Column {
        name: name.into(),
        ty: ty.into(),
        format: "".into(),
        description: "".into(),
        priority,
        json_path: path.into(),
    };
    let mut shirts = custom_resource("example.com", "v1", "shirts", "Shirt", &[]);
    let object = json!({
        "metadata": {"name": "s", "creationTimestamp": "2026-04-29T09:00:00Z"},
        "spec": {"color": "blue", "size": 3, "price": 1.5, "sold": true, "tags": ["a", "b"], "none": null},
        "status": {"conditions": [{"type": "Ready", "status": "True"}], "washed": "2026-05-01T11:00:00Z"},
    });
    expect![[r#"
        Name | Age
        s | 2d3h"#]]
    .assert_eq(&show(&shirts, std::slice::from_ref(&object)));
    shirts.columns = vec![
        column("Color", "string", ".spec.color", 0),
        column("Size", "integer", ".spec.size", 0),
        column("Truncated", "integer", ".spec.price", 0),
        column("Price", "number", ".spec.price", 0),
        column("Sold", "boolean", ".spec.sold", 0),
        column("Tags", "string", ".spec.tags", 1),
        column("First", "string", ".spec.tags[*]", 0),
        column(
            "Ready",
            "string",
            ".status.conditions[?(@.type==\"Ready\")].status",
            0,
        ),
        column("Washed", "date", ".status.washed", 0),
        column("NoDate", "date", ".spec.color", 0),
        column("NoInteger", "integer", ".spec.color", 0),
        column("Missing", "string", ".spec.shape", 0),
        column("Null", "string", ".spec.none", 0),
        column("Broken", "string", ".spec[", 0),
        column("Age", "date", ".metadata.creationTimestamp", 0),
    ];
    expect![[r#"
        Name | Color | Size | Truncated | Price | Sold | Tags* | First | Ready | Washed | NoDate | NoInteger | Missing | Null | Broken | Age
        s | blue | 3 | 1 | 1.5 | true | ["a","b"] | a | True | 60m | <invalid> |  |  |  |  | 2d3h"#]].assert_eq(&show(&shirts, &[object]));
}

#[test]
fn rows_carry_as_much_of_the_object_as_is_asked_for() {
    let object = json!({"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "c"}, "data": {"a": "b"}});
    let maps = resource("", "v1", "configmaps", "ConfigMap");
    let shown = |include: Option<&str>| {
        let include = IncludeObject::parse(include).expect("known");
        let meta = json!({"resourceVersion": "7"});
        let table = render(
            &maps,
            &[&object],
            meta,
            include,
            false,
            now(),
            "meta.k8s.io/v1beta1",
        );
        table.to_string()
    };
    let tables = [Some("None"), None, Some("Object")].map(shown).join("\n");
    expect![[r#"
        {"apiVersion":"meta.k8s.io/v1beta1","columnDefinitions":null,"kind":"Table","metadata":{"resourceVersion":"7"},"rows":[{"cells":["c",1,"<unknown>"],"object":null}]}
        {"apiVersion":"meta.k8s.io/v1beta1","columnDefinitions":null,"kind":"Table","metadata":{"resourceVersion":"7"},"rows":[{"cells":["c",1,"<unknown>"],"object":{"apiVersion":"meta.k8s.io/v1beta1","kind":"PartialObjectMetadata","metadata":{"name":"c"}}}]}
        {"apiVersion":"meta.k8s.io/v1beta1","columnDefinitions":null,"kind":"Table","metadata":{"resourceVersion":"7"},"rows":[{"cells":["c",1,"<unknown>"],"object":{"apiVersion":"v1","data":{"a":"b"},"kind":"ConfigMap","metadata":{"name":"c"}}}]}"#]].assert_eq(&tables);
    let refusal = IncludeObject::parse(Some("All")).expect_err("unknown");
    expect![[r#"400 Unable to convert to Table as requested: includeObject: Invalid value: "All": must be 'Metadata', 'Object', 'None', or empty"#]].assert_eq(&format!("{} {}", refusal.code, refusal.message));
}

#[test]
fn metadata_alone() {
    let object = json!({"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "c"}, "data": {"a": "b"}});
    let list = partial_list(
        &[&object],
        json!({"resourceVersion": "7"}),
        "meta.k8s.io/v1",
    );
    expect![[r#"{"apiVersion":"meta.k8s.io/v1","items":[{"apiVersion":"meta.k8s.io/v1","kind":"PartialObjectMetadata","metadata":{"name":"c"}}],"kind":"PartialObjectMetadataList","metadata":{"resourceVersion":"7"}}"#]].assert_eq(&list.to_string());
}

proptest! {
    #[test]
    fn no_object_panics(text in "[{}\\[\\]\":,a-z0-9]{0,60}", place in 0_usize..6) {
        let value: Value = serde_json::from_str(&text).unwrap_or(Value::String(text));
        let fields = ["metadata", "spec", "status", "template", "subsets", "involvedObject"];
        let object = json!({ fields[place]: value });
        for (group, plural) in [
            ("", "pods"), ("", "nodes"), ("", "services"), ("", "events"), ("", "endpoints"), ("apps", "deployments"),
            ("autoscaling", "horizontalpodautoscalers"), ("batch", "jobs"), ("networking.k8s.io", "ingresses"),
        ] {
            show(&resource(group, "v1", plural, "Kind"), std::slice::from_ref(&object));
        }
    }
}
