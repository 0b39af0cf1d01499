//! Cluster API's kinds for clients that speak v1beta1, on a management cluster without controllers' help.

use std::time::Duration;

use apiary::management::Management;
use expect_test::expect;
use futures::{AsyncBufReadExt as _, StreamExt as _};
use http::Method;
use serde_json::{Value, json};

const OLD: &str = "/apis/cluster.x-k8s.io/v1beta1/namespaces/default/machinedeployments";
const NEW: &str = "/apis/cluster.x-k8s.io/v1beta2/namespaces/default/machinedeployments";
const MERGE: &str = "application/merge-patch+json";
const APPLY: &str = "application/apply-patch+yaml";

struct Client(kube::Client);

impl Client {
    async fn send(
        &self,
        (method, path): (Method, &str),
        kind: &str,
        body: Value,
    ) -> Result<Value, String> {
        let body = if body.is_null() {
            vec![]
        } else {
            body.to_string().into_bytes()
        };
        let request = http::Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", kind)
            .body(body)
            .unwrap();
        let answer = self.0.request::<Value>(request).await;
        answer.map_err(|error| match error {
            kube::Error::Api(status) => format!("{} {}", status.code, status.message),
            other => other.to_string(),
        })
    }

    async fn post(&self, path: &str, object: Value) -> Result<Value, String> {
        self.send((Method::POST, path), "application/json", object)
            .await
    }

    async fn get(&self, path: &str) -> Value {
        self.send((Method::GET, path), "application/json", Value::Null)
            .await
            .unwrap()
    }

    async fn merge(&self, path: &str, patch: Value) -> Result<Value, String> {
        self.send((Method::PATCH, path), MERGE, patch).await
    }

    async fn apply(&self, path: &str, object: Value) -> Result<Value, String> {
        self.send((Method::PATCH, path), APPLY, object).await
    }
}

/// A management cluster whose controllers leave the objects of these tests alone: they are paused.
fn told<F: Future<Output = ()>>(story: impl FnOnce(Client) -> F) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async {
        let management = Management::start(sim::Memory::new(), sim::clock(), 6443)
            .await
            .unwrap();
        story(Client(management.client().clone())).await;
        management.shut_down().await;
    });
}

fn old(name: &str, spec: Value) -> Value {
    let mut object = json!({
        "apiVersion": "cluster.x-k8s.io/v1beta1", "kind": "MachineDeployment",
        "metadata": {"name": name, "annotations": {"cluster.x-k8s.io/paused": ""}},
        "spec": {
            "clusterName": "c", "replicas": 2, "selector": {"matchLabels": {"a": "b"}},
            "template": {"metadata": {"labels": {"a": "b"}}, "spec": {
                "clusterName": "c", "bootstrap": {"dataSecretName": "s"}, "infrastructureRef": {
                    "apiVersion": "infrastructure.cluster.x-k8s.io/v1beta2", "kind": "LocalMachineTemplate", "name": "t",
                },
            }},
        },
    });
    for (name, value) in spec.as_object().unwrap() {
        object["spec"][name] = value.clone();
    }
    object
}

/// Who owns which fields of the spec, besides the template.
fn owners(object: &Value) -> String {
    let mut lines = vec![];
    for entry in object["metadata"]["managedFields"]
        .as_array()
        .into_iter()
        .flatten()
    {
        let mut spec = entry["fieldsV1"]["f:spec"].clone();
        if let Some(members) = spec.as_object_mut() {
            members.retain(|name, _| name != "f:template" && name != "f:selector");
        }
        let text = |field: &str| entry[field].as_str().unwrap_or_default().to_owned();
        let (manager, operation) = (text("manager"), text("operation"));
        lines.push(format!(
            "{manager} {operation} {} {spec}",
            text("apiVersion")
        ));
    }
    lines.sort();
    lines.join("\n")
}

#[test]
fn one_object_has_two_forms() {
    told(|client| async move {
        let strategy = json!({"rollingUpdate": {"maxSurge": 2, "deletePolicy": "Oldest"}});
        let spec = json!({"strategy": strategy, "minReadySeconds": 5, "rolloutAfter": "2026-05-01T00:00:00Z"});
        let made = client.post(OLD, old("a", spec)).await.unwrap();
        // Defaults and rules are those of the stored version.
        expect![[r#"{"clusterName":"c","minReadySeconds":5,"replicas":2,"rolloutAfter":"2026-05-01T00:00:00Z","selector":{"matchLabels":{"a":"b","cluster.x-k8s.io/cluster-name":"c"}},"strategy":{"rollingUpdate":{"deletePolicy":"Oldest","maxSurge":2,"maxUnavailable":0},"type":"RollingUpdate"},"template":{"metadata":{"labels":{"a":"b","cluster.x-k8s.io/cluster-name":"c"}},"spec":{"bootstrap":{"dataSecretName":"s"},"clusterName":"c","infrastructureRef":{"apiVersion":"infrastructure.cluster.x-k8s.io/v1beta2","kind":"LocalMachineTemplate","name":"t","namespace":"default"}}}}"#]].assert_eq(&made["spec"].to_string());
        let stored = client.get(&format!("{NEW}/a")).await;
        expect![[r#"{"clusterName":"c","deletion":{"order":"Oldest"},"replicas":2,"rollout":{"after":"2026-05-01T00:00:00Z","strategy":{"rollingUpdate":{"maxSurge":2,"maxUnavailable":0},"type":"RollingUpdate"}},"selector":{"matchLabels":{"a":"b","cluster.x-k8s.io/cluster-name":"c"}},"template":{"metadata":{"labels":{"a":"b","cluster.x-k8s.io/cluster-name":"c"}},"spec":{"bootstrap":{"dataSecretName":"s"},"clusterName":"c","infrastructureRef":{"apiGroup":"infrastructure.cluster.x-k8s.io","kind":"LocalMachineTemplate","name":"t"},"minReadySeconds":5}}}"#]].assert_eq(&stored["spec"].to_string());
        assert_eq!(made["metadata"]["uid"], stored["metadata"]["uid"]);
        let list = client.get(OLD).await;
        assert_eq!(list["items"][0]["spec"], made["spec"]);
        assert_eq!(
            list["items"][0]["metadata"].get("annotations"),
            made["metadata"].get("annotations")
        );
        let scale = client
            .merge(&format!("{OLD}/a/scale"), json!({"spec": {"replicas": 4}}))
            .await;
        assert_eq!(scale.unwrap()["spec"]["replicas"], 4);
        assert_eq!(client.get(&format!("{NEW}/a")).await["spec"]["replicas"], 4);
        // A dry run says what would have been kept.
        let dry = client
            .merge(&format!("{OLD}/a?dryRun=All"), json!({"spec": {"strategy": {"rollingUpdate": {"maxSurge": 3}}, "revisionHistoryLimit": 1, "template": {"spec": {"nodeDrainTimeout": "1.5s"}}}}))
            .await
            .unwrap();
        assert_eq!(dry["spec"].get("revisionHistoryLimit"), None);
        assert_eq!(dry["spec"]["template"]["spec"]["nodeDrainTimeout"], "1s");
        assert_eq!(
            client.get(&format!("{OLD}/a")).await["spec"]["strategy"]["rollingUpdate"]["maxSurge"],
            2
        );
    });
}

#[test]
fn what_only_v1beta2_says_survives_a_change_through_v1beta1() {
    told(|client| async move {
        client.post(OLD, old("a", json!({}))).await.unwrap();
        let status = json!({"status": {"replicas": 2, "deprecated": {"v1beta1": {"readyReplicas": 0}}, "readyReplicas": 0}});
        client
            .merge(&format!("{NEW}/a/status"), status)
            .await
            .unwrap();
        let before = client.get(&format!("{NEW}/a")).await;
        let shown = client.get(&format!("{OLD}/a")).await;
        let kept = shown["metadata"]["annotations"]["cluster.x-k8s.io/conversion-data"].as_str();
        assert!(kept.unwrap().contains("deprecated"));
        let changed = client
            .merge(&format!("{OLD}/a"), json!({"spec": {"paused": true}}))
            .await;
        assert_eq!(changed.unwrap()["spec"]["paused"], true);
        // A whole object that was read goes back as it is, too.
        let mut read = client.get(&format!("{OLD}/a")).await;
        read["spec"]["replicas"] = 3.into();
        client
            .send((Method::PUT, &format!("{OLD}/a")), "application/json", read)
            .await
            .unwrap();
        let after = client.get(&format!("{NEW}/a")).await;
        for field in ["deprecated", "readyReplicas", "replicas"] {
            assert_eq!(after["status"][field], before["status"][field]);
        }
        assert_eq!(after["spec"]["paused"], true);
        assert_eq!(after["spec"]["replicas"], 3);
        assert_eq!(
            after["metadata"]["annotations"],
            before["metadata"]["annotations"]
        );
    });
}

#[test]
fn a_manager_may_go_from_one_version_to_the_other() {
    told(|client| async move {
        let at = |path: &str, manager: &str| format!("{path}/a?fieldManager={manager}");
        let spec = json!({"strategy": {"type": "RollingUpdate", "rollingUpdate": {"deletePolicy": "Oldest"}}, "minReadySeconds": 5, "rolloutAfter": "2026-05-01T00:00:00Z"});
        client
            .apply(&at(OLD, "flux"), old("a", spec))
            .await
            .unwrap();
        // Somebody else owns a field at the other version, somebody a field that the first one has.
        let other = json!({
            "apiVersion": "cluster.x-k8s.io/v1beta2", "kind": "MachineDeployment", "metadata": {"name": "a"},
            "spec": {"machineNaming": {"template": "{{ .machineSet.name }}-{{ .random }}"}, "deletion": {"order": "Oldest"}},
        });
        client.apply(&at(NEW, "namer"), other).await.unwrap();
        let conflict = json!({
            "apiVersion": "cluster.x-k8s.io/v1beta2", "kind": "MachineDeployment", "metadata": {"name": "a"},
            "spec": {"deletion": {"order": "Newest"}},
        });
        let refused = client.apply(&at(NEW, "other"), conflict).await.unwrap_err();
        // The same manager applies v1beta2 and no longer says when to roll out, nor which machines go first.
        let mut stored = client.get(&format!("{NEW}/a")).await;
        for field in [
            "managedFields",
            "resourceVersion",
            "uid",
            "creationTimestamp",
            "generation",
        ] {
            stored["metadata"].as_object_mut().unwrap().remove(field);
        }
        let spec = stored["spec"].as_object_mut().unwrap();
        for field in ["deletion", "machineNaming", "remediation"] {
            spec.remove(field);
        }
        spec["rollout"].as_object_mut().unwrap().remove("after");
        stored.as_object_mut().unwrap().remove("status");
        let applied = client
            .apply(&at(NEW, "flux"), stored.clone())
            .await
            .unwrap();
        let spec = &applied["spec"];
        let shown = json!([
            spec["deletion"],
            spec["rollout"].get("after"),
            spec["template"]["spec"]["minReadySeconds"],
            spec["machineNaming"]
        ]);
        let now = owners(&applied);
        // Applied once more, nothing changes.
        let again = client.apply(&at(NEW, "flux"), stored).await.unwrap();
        let generation = |object: &Value| object["metadata"]["generation"].clone();
        assert_eq!(generation(&again), generation(&applied));
        assert_eq!(owners(&again), now);
        // A plain change at v1beta1 takes the field from whoever has it at v1beta2.
        let path = format!("{OLD}/a?fieldManager=hand");
        client
            .merge(&path, json!({"spec": {"minReadySeconds": 9}}))
            .await
            .unwrap();
        let last = owners(&client.get(&format!("{NEW}/a")).await);
        expect![[r#"
            409 Apply failed with 2 conflicts: conflicts with "flux":
            - .spec.strategy.rollingUpdate.deletePolicy
            conflicts with "namer":
            - .spec.deletion.order
            [{"order":"Oldest"},null,5,{"template":"{{ .machineSet.name }}-{{ .random }}"}]
            apiary-machinedeployment Apply cluster.x-k8s.io/v1beta2 null
            apiary-machinedeployment Update cluster.x-k8s.io/v1beta2 null
            flux Apply cluster.x-k8s.io/v1beta2 {"f:clusterName":{},"f:replicas":{},"f:rollout":{"f:strategy":{"f:rollingUpdate":{"f:maxSurge":{},"f:maxUnavailable":{}},"f:type":{}}}}
            namer Apply cluster.x-k8s.io/v1beta2 {"f:deletion":{"f:order":{}},"f:machineNaming":{"f:template":{}}}
            ---
            apiary-machinedeployment Apply cluster.x-k8s.io/v1beta2 null
            apiary-machinedeployment Update cluster.x-k8s.io/v1beta2 null
            flux Apply cluster.x-k8s.io/v1beta2 {"f:clusterName":{},"f:replicas":{},"f:rollout":{"f:strategy":{"f:rollingUpdate":{"f:maxSurge":{},"f:maxUnavailable":{}},"f:type":{}}}}
            hand Update cluster.x-k8s.io/v1beta1 {"f:minReadySeconds":{}}
            namer Apply cluster.x-k8s.io/v1beta2 {"f:deletion":{"f:order":{}},"f:machineNaming":{"f:template":{}}}
        "#]].assert_eq(&format!("{refused}\n{shown}\n{now}\n---\n{last}\n"));
    });
}

#[test]
fn watches_and_refusals_are_in_the_version_of_the_client() {
    told(|client| async move {
        client
            .post(OLD, old("a", json!({"minReadySeconds": 5})))
            .await
            .unwrap();
        let request = http::Request::get(format!("{OLD}?watch=true"))
            .body(vec![])
            .unwrap();
        let mut lines = client.0.request_stream(request).await.unwrap().lines();
        let mut next = async || -> String {
            let line = tokio::time::timeout(Duration::from_secs(60), lines.next()).await;
            let event: Value = serde_json::from_str(&line.unwrap().unwrap().unwrap()).unwrap();
            let object = &event["object"];
            format!(
                "{} {} {}",
                event["type"], object["apiVersion"], object["spec"]["minReadySeconds"]
            )
        };
        let first = next().await;
        client
            .merge(
                &format!("{NEW}/a"),
                json!({"spec": {"template": {"spec": {"minReadySeconds": 7}}}}),
            )
            .await
            .unwrap();
        let second = next().await;
        let refused = |object: Value| {
            let client = &client;
            async move {
                client
                    .post(&format!("{OLD}?fieldValidation=Strict"), object)
                    .await
                    .unwrap_err()
            }
        };
        let mut wrong = old("b", json!({}));
        wrong["spec"]["rollout"] = json!({});
        let unknown = refused(wrong).await;
        let mut wrong = old("b", json!({}));
        wrong["spec"]["template"]["spec"]["nodeDrainTimeout"] = "soon".into();
        let duration = refused(wrong).await;
        let mut wrong = old("b", json!({}));
        wrong["spec"]["template"]["spec"]["infrastructureRef"]["namespace"] = "elsewhere".into();
        let namespace = refused(wrong).await;
        let mut wrong = old("b", json!({}));
        wrong["spec"]["template"]["spec"]["infrastructureRef"]["kind"] = "not a kind".into();
        let stored = refused(wrong).await;
        let wrong = old("b", json!({"replicas": "2"}));
        let kind = refused(wrong).await;
        expect![[r#"
            "ADDED" "cluster.x-k8s.io/v1beta1" 5
            "MODIFIED" "cluster.x-k8s.io/v1beta1" 7
            400 MachineDeployment in version "v1beta1" cannot be handled as a MachineDeployment: strict decoding error: unknown field "spec.rollout"
            422 MachineDeployment.cluster.x-k8s.io "b" is invalid: spec.template.spec.nodeDrainTimeout: Invalid value: "soon" must be a duration such as 90s, 10m or 1h30m: numbers with a unit
            422 MachineDeployment.cluster.x-k8s.io "b" is invalid: spec.template.spec.infrastructureRef.namespace: Invalid value: "elsewhere" must be "default", the namespace of the object that refers
            422 MachineDeployment.cluster.x-k8s.io "b" is invalid: spec.template.spec.infrastructureRef.kind: Invalid value: "not a kind": spec.template.spec.infrastructureRef.kind in body should match '^[a-zA-Z]([-a-zA-Z0-9]*[a-zA-Z0-9])?$' (as v1beta2, which is stored)
            422 MachineDeployment.cluster.x-k8s.io "b" is invalid: spec.replicas: Invalid value: "string": spec.replicas in body must be of type integer: "string""#]]
            .assert_eq(&[first, second, unknown, duration, namespace, stored, kind].join("\n"));
    });
}
