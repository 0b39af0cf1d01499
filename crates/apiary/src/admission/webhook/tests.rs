//! Reviews as text in, answers as text out.

use apiserver::status::Status;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use expect_test::{Expect, expect};
use serde_json::{Value, json};

use super::manifests::{Place, manifests};
use super::objects::{Fetched, is_name};
use super::review::{Answer, Asked};
use super::{mutate, validate};

fn review(request: Value) -> Value {
    json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request})
}

fn write(resource: &str, kind: &str, object: Value) -> Value {
    json!({
        "uid": "u1", "operation": "CREATE", "namespace": "acme",
        "kind": {"group": "cluster.x-k8s.io", "version": "v1beta2", "kind": kind},
        "resource": {"group": "cluster.x-k8s.io", "version": "v1beta2", "resource": resource},
        "object": object,
    })
}

type Decide = fn(&Asked, &Fetched) -> Result<Answer, Status>;

/// The answer; a patch in the clear.
fn answer(decide: Decide, request: Value, objects: &Fetched) -> String {
    let asked = Asked::parse(review(request)).unwrap();
    let mut answer = asked.answer(decide(&asked, objects));
    if let Some(patch) = answer["response"]["patch"].as_str() {
        let patch = STANDARD.decode(patch).unwrap();
        answer["response"]["patch"] = serde_json::from_slice(&patch).unwrap();
    }
    serde_json::to_string_pretty(&answer["response"]).unwrap()
}

fn check(decide: Decide, request: Value, expect: &Expect) {
    expect.assert_eq(&answer(decide, request, &Fetched::default()));
}

fn set(replicas: i64) -> Value {
    json!({
        "apiVersion": "cluster.x-k8s.io/v1beta2", "kind": "MachineSet", "metadata": {"name": "a", "namespace": "acme"},
        "spec": {"clusterName": "hello", "replicas": replicas, "selector": {}, "template": {"spec": {
            "clusterName": "hello", "version": "1.36.0", "bootstrap": {"dataSecretName": "given"},
            "infrastructureRef": {"apiGroup": "g", "kind": "K", "name": "n"},
        }}},
    })
}

#[test]
fn what_is_left_out_is_filled_by_a_patch() {
    check(
        mutate,
        write("machinesets", "MachineSet", set(1)),
        &expect![[r#"
            {
              "allowed": true,
              "patch": [
                {
                  "op": "add",
                  "path": "/metadata/labels",
                  "value": {
                    "cluster.x-k8s.io/cluster-name": "hello"
                  }
                },
                {
                  "op": "add",
                  "path": "/spec",
                  "value": {
                    "clusterName": "hello",
                    "replicas": 1,
                    "selector": {
                      "matchLabels": {
                        "cluster.x-k8s.io/set-name": "a"
                      }
                    },
                    "template": {
                      "metadata": {
                        "labels": {
                          "cluster.x-k8s.io/set-name": "a"
                        }
                      },
                      "spec": {
                        "bootstrap": {
                          "dataSecretName": "given"
                        },
                        "clusterName": "hello",
                        "infrastructureRef": {
                          "apiGroup": "g",
                          "kind": "K",
                          "name": "n"
                        },
                        "version": "v1.36.0"
                      }
                    }
                  }
                }
              ],
              "patchType": "JSONPatch",
              "uid": "u1"
            }"#]],
    );
    let status = json!({"subResource": "status"});
    let mut request = write("machinesets", "MachineSet", set(1));
    request["subResource"] = status["subResource"].clone();
    check(
        mutate,
        request,
        &expect![[r#"
        {
          "allowed": true,
          "uid": "u1"
        }"#]],
    );
}

#[test]
fn what_cannot_work_is_refused_with_its_fields() {
    check(
        validate,
        write("machinesets", "MachineSet", set(-1)),
        &expect![[r#"
            {
              "allowed": false,
              "status": {
                "apiVersion": "v1",
                "code": 422,
                "details": {
                  "causes": [
                    {
                      "field": "spec.template.spec.version",
                      "message": "Invalid value: \"1.36.0\" must be a version such as v1.36.0",
                      "reason": "FieldValueInvalid"
                    },
                    {
                      "field": "spec.replicas",
                      "message": "Invalid value: must be 0 or more",
                      "reason": "FieldValueInvalid"
                    }
                  ],
                  "group": "cluster.x-k8s.io",
                  "kind": "MachineSet",
                  "name": "a"
                },
                "kind": "Status",
                "message": "MachineSet.cluster.x-k8s.io \"a\" is invalid: [spec.template.spec.version: Invalid value: \"1.36.0\" must be a version such as v1.36.0, spec.replicas: Invalid value: must be 0 or more]",
                "metadata": {},
                "reason": "Invalid",
                "status": "Failure"
              },
              "uid": "u1"
            }"#]],
    );
}

#[test]
fn sizes_are_checked_against_the_object() {
    let mut request = write("machinesets", "Scale", json!({"spec": {"replicas": -1}}));
    request["kind"] = json!({"group": "autoscaling", "version": "v1", "kind": "Scale"});
    request["operation"] = json!("UPDATE");
    request["subResource"] = json!("scale");
    request["name"] = json!("a");
    let objects = Fetched {
        scaled: Some(set(1)),
        ..Fetched::default()
    };
    expect![[r#"
        {
          "allowed": false,
          "status": {
            "apiVersion": "v1",
            "code": 422,
            "details": {
              "causes": [
                {
                  "field": "spec.replicas",
                  "message": "Invalid value: must be 0 or more",
                  "reason": "FieldValueInvalid"
                }
              ],
              "group": "cluster.x-k8s.io",
              "kind": "MachineSet",
              "name": "a"
            },
            "kind": "Status",
            "message": "MachineSet.cluster.x-k8s.io \"a\" is invalid: spec.replicas: Invalid value: must be 0 or more",
            "metadata": {},
            "reason": "Invalid",
            "status": "Failure"
          },
          "uid": "u1"
        }"#]].assert_eq(&answer(validate, request, &objects));
}

#[test]
fn a_class_in_use_stays() {
    let mut request = write("clusterclasses", "ClusterClass", Value::Null);
    request["operation"] = json!("DELETE");
    request["name"] = json!("standard");
    let class = json!({"metadata": {"name": "standard", "namespace": "acme"}});
    let cluster = json!({
        "metadata": {"name": "hello", "namespace": "acme"},
        "spec": {"topology": {"classRef": {"name": "standard"}, "version": "v1.36.0"}},
    });
    let mut objects = Fetched {
        clusters: vec![cluster],
        ..Fetched::default()
    };
    let key = ("acme".to_owned(), "standard".to_owned());
    objects.classes.insert(key, class);
    expect![[r#"
        {
          "allowed": false,
          "status": {
            "apiVersion": "v1",
            "code": 403,
            "kind": "Status",
            "message": "ClusterClass standard cannot be deleted: Cluster acme/hello is made of it",
            "metadata": {},
            "reason": "Forbidden",
            "status": "Failure"
          },
          "uid": "u1"
        }"#]]
    .assert_eq(&answer(validate, request, &objects));
}

#[test]
fn where_many_are_deleted_each_is_named_by_its_state() {
    let request = json!({
        "uid": "u1", "operation": "DELETE", "resource": {"group": "cluster.x-k8s.io", "resource": "clusterclasses"},
        "oldObject": {"metadata": {"name": "standard", "namespace": "acme"}},
    });
    let asked = Asked::parse(review(request)).unwrap();
    assert_eq!((&*asked.namespace, &*asked.name), ("acme", "standard"));
}

#[test]
fn what_is_no_name_is_not_looked_for() {
    for good in ["a", "a-b.c", "0"] {
        assert!(is_name(good), "{good}");
    }
    for bad in ["", "a b", "a/b", "x?watch=true", "A", "é", &"a".repeat(254)] {
        assert!(!is_name(bad), "{bad}");
    }
}

#[test]
fn what_is_no_review_is_told() {
    let errors = [
        json!({}),
        review(json!({"operation": "CONNECT"})),
        review(json!({"operation": "CREATE", "uid": "u"})),
        review(json!({"operation": "CREATE", "resource": {"resource": "machines"}})),
    ];
    let errors = errors.map(|review| Asked::parse(review).unwrap_err());
    expect![[r#"
        an AdmissionReview of admission.k8s.io/v1 was expected
        request.operation is "CONNECT" and must be CREATE, UPDATE or DELETE
        request.resource.resource must not be empty
        request.uid must not be empty"#]]
    .assert_eq(&errors.join("\n"));
}

#[test]
fn places_are_addresses_or_services() {
    for good in ["https://a:9443", "https://10.0.0.1"] {
        assert!(Place::parse_url(good).is_ok(), "{good}");
    }
    for bad in ["http://a", "https://a/b", "a:1", "https://a?x=1", ""] {
        assert!(Place::parse_url(bad).is_err(), "{bad}");
    }
    for good in ["a/b", "a/b:8443"] {
        assert!(Place::parse_service(good).is_ok(), "{good}");
    }
    for bad in ["a", "/b", "a/", "a/b:0", "a/b:x", "a/b/c"] {
        assert!(Place::parse_service(bad).is_err(), "{bad}");
    }
}

#[test]
fn manifests_lead_to_the_place() {
    let place = Place::parse_service("apiary/webhooks").unwrap();
    let all = manifests(&place, "PEM");
    let machines = all
        .iter()
        .find(|m| m["metadata"]["name"] == "machines.cluster.x-k8s.io");
    let conversion = &machines.unwrap()["spec"]["conversion"];
    let checks = all
        .iter()
        .find(|m| m["kind"] == "ValidatingWebhookConfiguration");
    let webhook = &checks.unwrap()["webhooks"][0];
    let shown = format!(
        "{}\n{}\n{}",
        serde_json::to_string_pretty(conversion).unwrap(),
        webhook["clientConfig"]["service"],
        webhook["rules"]
            .as_array()
            .unwrap()
            .iter()
            .map(|r| format!("{r}\n"))
            .collect::<String>(),
    );
    expect![[r#"
        {
          "strategy": "Webhook",
          "webhook": {
            "clientConfig": {
              "caBundle": "UEVN",
              "service": {
                "name": "webhooks",
                "namespace": "apiary",
                "path": "/convert",
                "port": 443
              }
            },
            "conversionReviewVersions": [
              "v1"
            ]
          }
        }
        {"name":"webhooks","namespace":"apiary","path":"/validate","port":443}
        {"apiGroups":["cluster.x-k8s.io"],"apiVersions":["v1beta2"],"operations":["CREATE","UPDATE"],"resources":["clusters","machines","machinesets","machinedeployments","machinepools","machinehealthchecks","machinedrainrules","clusterclasses"],"scope":"*"}
        {"apiGroups":["addons.cluster.x-k8s.io"],"apiVersions":["v1beta2"],"operations":["CREATE","UPDATE"],"resources":["clusterresourcesets","clusterresourcesetbindings"],"scope":"*"}
        {"apiGroups":["bootstrap.cluster.x-k8s.io"],"apiVersions":["v1beta2"],"operations":["CREATE","UPDATE"],"resources":["kubeadmconfigs","kubeadmconfigtemplates"],"scope":"*"}
        {"apiGroups":["controlplane.cluster.x-k8s.io"],"apiVersions":["v1beta2"],"operations":["CREATE","UPDATE"],"resources":["kubeadmcontrolplanes","kubeadmcontrolplanetemplates"],"scope":"*"}
        {"apiGroups":["ipam.cluster.x-k8s.io"],"apiVersions":["v1beta2"],"operations":["CREATE","UPDATE"],"resources":["ipaddresses","ipaddressclaims"],"scope":"*"}
        {"apiGroups":["runtime.cluster.x-k8s.io"],"apiVersions":["v1beta2"],"operations":["CREATE","UPDATE"],"resources":["extensionconfigs"],"scope":"*"}
        {"apiGroups":["infrastructure.cluster.x-k8s.io"],"apiVersions":["v1beta2"],"operations":["CREATE","UPDATE"],"resources":["localclusters","localclustertemplates","localmachines","localmachinetemplates","localmachinepools","localmachinepooltemplates"],"scope":"*"}
        {"apiGroups":["cluster.x-k8s.io"],"apiVersions":["v1beta2"],"operations":["UPDATE"],"resources":["machinesets/scale","machinedeployments/scale","machinepools/scale"],"scope":"*"}
        {"apiGroups":["controlplane.cluster.x-k8s.io"],"apiVersions":["v1beta2"],"operations":["UPDATE"],"resources":["kubeadmcontrolplanes/scale"],"scope":"*"}
        {"apiGroups":["cluster.x-k8s.io"],"apiVersions":["v1beta2"],"operations":["DELETE"],"resources":["clusterclasses"],"scope":"*"}
    "#]].assert_eq(&shown);
}
