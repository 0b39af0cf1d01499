//! Applying manifests: twice changes nothing, on the client's side and on the server's; diff; custom resources.

use super::world::{Fleet, Kubectl};

/// Objects of many kinds, with fields that the server defaults or rewrites.
const MANIFEST: &str = r#"
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, labels: {app: web}}
data: {key: value, many: "a\nb\n"}
---
apiVersion: v1
kind: Secret
metadata: {name: token}
data: {token: c2VjcmV0}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: web}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  selector: {app: web}
  ports:
    - {name: http, port: 80, targetPort: http}
    - {name: admin, port: 81}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 0
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
        - name: web
          image: nginx:1.27
          ports: [{name: http, containerPort: 80}]
          env: [{name: A, value: "1"}, {name: B, valueFrom: {fieldRef: {fieldPath: metadata.name}}}]
          resources: {requests: {cpu: 100m, memory: 1Gi}, limits: {memory: 1Gi}}
          readinessProbe: {httpGet: {path: /, port: http}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: web}
rules:
  - {apiGroups: [""], resources: [configmaps], verbs: [get]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: web}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: web}
subjects: [{kind: ServiceAccount, name: web}]
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web}
spec:
  podSelector: {matchLabels: {app: web}}
  ingress: [{from: [{namespaceSelector: {}}], ports: [{protocol: TCP, port: 80}]}]
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: web}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}
  minReplicas: 1
  maxReplicas: 3
  metrics: [{type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 80}}}]
---
apiVersion: batch/v1
kind: CronJob
metadata: {name: nightly}
spec:
  schedule: 0 3 * * *
  suspend: true
  jobTemplate:
    spec:
      template:
        spec:
          restartPolicy: Never
          containers: [{name: job, image: busybox, command: ["true"]}]
"#;

/// Kind and name, uid, generation and, where no controller writes a status, revision of what the manifest has.
fn versions(cluster: &Kubectl) -> Vec<String> {
    let kinds = "configmap,secret,serviceaccount,service,deployment,role,rolebinding,networkpolicy,hpa,cronjob";
    let list = cluster.ok(&["get", kinds, "-o", "json"]);
    let list: serde_json::Value = serde_json::from_str(&list).unwrap();
    let version = |object: &serde_json::Value| {
        let meta = &object["metadata"];
        let kind = object["kind"].as_str().unwrap();
        let revision = if kind == "Deployment" {
            "-".into()
        } else {
            meta["resourceVersion"].to_string()
        };
        format!(
            "{kind} {} {} {} {revision}",
            meta["name"], meta["uid"], meta["generation"]
        )
    };
    list["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(version)
        .collect()
}

#[test]
fn applying_twice_changes_nothing() {
    let Some(fleet) = Fleet::shared() else { return };
    for cluster in fleet.both("apply-twice") {
        let first = cluster.ok_with(&["apply", "-f", "-"], MANIFEST);
        assert!(
            first.lines().count() == 10 && first.lines().all(|line| line.ends_with(" created")),
            "{first}"
        );
        let before = versions(&cluster);
        let second = cluster.ok_with(&["apply", "-f", "-"], MANIFEST);
        assert!(
            second.lines().all(|line| line.ends_with(" unchanged")),
            "{second}"
        );
        assert_eq!(versions(&cluster), before);
        assert_eq!(cluster.ok_with(&["diff", "-f", "-"], MANIFEST), "");
    }
}

#[test]
fn applying_twice_on_the_server_changes_nothing() {
    let Some(fleet) = Fleet::shared() else { return };
    // What the server writes in another way than it was asked to.
    let manifest = MANIFEST
        .replace("cpu: 100m", "cpu: 0.1")
        .replace("limits: {memory: 1Gi}", "limits: {memory: \"1073741824\"}")
        .replace("{protocol: TCP, port: 80}", "{port: 80}");
    assert_ne!(manifest, MANIFEST);
    for cluster in fleet.both("apply-server-twice") {
        let apply = || cluster.ok_with(&["apply", "--server-side", "-f", "-"], &manifest);
        let first = apply();
        assert!(
            first.lines().count() == 10
                && first
                    .lines()
                    .all(|line| line.ends_with(" serverside-applied")),
            "{first}"
        );
        let before = versions(&cluster);
        apply();
        assert_eq!(versions(&cluster), before);
        assert_eq!(
            cluster.ok_with(&["diff", "--server-side", "-f", "-"], &manifest),
            ""
        );
    }
}

#[test]
fn a_secret_with_plain_text_is_applied_twice() {
    let Some(fleet) = Fleet::shared() else { return };
    for cluster in fleet.both("apply-secret") {
        let manifest =
            "---\n{apiVersion: v1, kind: Secret, metadata: {name: a}, stringData: {key: value}}";
        cluster.ok_with(&["apply", "-f", "-"], manifest);
        let before = cluster.object("secret/a");
        assert_eq!(before["data"]["key"], "dmFsdWU=");
        cluster.ok_with(&["apply", "-f", "-"], manifest);
        assert_eq!(cluster.object("secret/a"), before);
    }
}

#[test]
fn apply_removes_what_the_manifest_lost_and_keeps_what_others_set() {
    let Some(fleet) = Fleet::shared() else { return };
    for cluster in fleet.both("apply-change") {
        for (server_side, name) in [(false, "client"), (true, "server")] {
            let apply = |data: &str| {
                let manifest = format!(
                    "---\n{{apiVersion: v1, kind: ConfigMap, metadata: {{name: {name}}}, data: {data}}}"
                );
                let args: &[&str] = if server_side {
                    &["apply", "--server-side", "-f", "-"]
                } else {
                    &["apply", "-f", "-"]
                };
                cluster.ok_with(args, &manifest)
            };
            apply("{a: one, b: two}");
            cluster.ok(&[
                "patch",
                "configmap",
                name,
                "--type=merge",
                "-p",
                r#"{"data":{"other":"kept"}}"#,
            ]);
            apply("{a: three}");
            let data = cluster.field(&format!("configmap/{name}"), "/data");
            assert_eq!(
                data,
                serde_json::json!({"a": "three", "other": "kept"}),
                "{name}"
            );
        }
    }
}

#[test]
fn managers_that_disagree_are_told() {
    let Some(fleet) = Fleet::shared() else { return };
    for cluster in fleet.both("apply-conflict") {
        let manifest = |value: &str| {
            format!(
                "---\n{{apiVersion: v1, kind: ConfigMap, metadata: {{name: a}}, data: {{key: {value}}}}}"
            )
        };
        cluster.ok_with(
            &["apply", "--server-side", "--field-manager=one", "-f", "-"],
            &manifest("a"),
        );
        let two = ["apply", "--server-side", "--field-manager=two", "-f", "-"];
        let refusal = cluster.refused_with(&two, &manifest("b"));
        assert!(
            refusal.contains("Apply failed with 1 conflict: conflict with \"one\": .data.key"),
            "{refusal}"
        );
        let forced = [&two[..], &["--force-conflicts"]].concat();
        cluster.ok_with(&forced, &manifest("b"));
        assert_eq!(cluster.field("cm/a", "/data/key"), "b");
        let managers = cluster.ok(&[
            "get",
            "cm",
            "a",
            "--show-managed-fields",
            "-o",
            "jsonpath={.metadata.managedFields[*].manager}",
        ]);
        assert_eq!(managers, "two");
    }
}

#[test]
fn diff_shows_what_would_change() {
    let Some(fleet) = Fleet::shared() else { return };
    for cluster in fleet.both("apply-diff") {
        cluster.ok(&["create", "configmap", "a", "--from-literal=key=before"]);
        let manifest =
            "---\n{apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: {key: after}}";
        let output = cluster.run_with(&["diff", "-f", "-"], manifest);
        assert_eq!(output.code, Some(1), "{output:?}");
        assert!(
            output.stdout.contains("-  key: before\n+  key: after\n"),
            "{}",
            output.stdout
        );
        assert_eq!(cluster.field("cm/a", "/data/key"), "before");
    }
}

const DEFINITION: &str = r#"
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.example.org}
spec:
  group: example.org
  scope: Namespaced
  names: {plural: widgets, singular: widget, kind: Widget, shortNames: [wd]}
  versions:
    - name: v1
      served: true
      storage: true
      subresources: {status: {}, scale: {specReplicasPath: .spec.size, statusReplicasPath: .status.size}}
      additionalPrinterColumns: [{name: Size, type: integer, jsonPath: .spec.size}]
      schema:
        openAPIV3Schema:
          type: object
          properties:
            spec:
              type: object
              required: [size]
              properties:
                size: {type: integer, minimum: 1, maximum: 9}
                color: {type: string, default: green, enum: [green, red]}
            status: {type: object, x-kubernetes-preserve-unknown-fields: true}
"#;

#[test]
fn custom_resources_are_resources_like_any_other() {
    let Some(fleet) = Fleet::shared() else { return };
    for cluster in fleet.both("apply-custom") {
        cluster.ok_with(&["apply", "-f", "-"], DEFINITION);
        cluster.ok(&[
            "wait",
            "crd/widgets.example.org",
            "--for=condition=Established",
            "--timeout=50s",
        ]);
        assert!(
            cluster
                .ok_with(&["apply", "-f", "-"], DEFINITION)
                .ends_with(" unchanged\n")
        );
        let widget = |spec: &str| {
            format!(
                "---\n{{apiVersion: example.org/v1, kind: Widget, metadata: {{name: a}}, spec: {spec}}}"
            )
        };
        assert_eq!(
            cluster.ok_with(&["apply", "-f", "-"], &widget("{size: 3}")),
            "widget.example.org/a created\n"
        );
        assert_eq!(
            cluster.ok_with(&["apply", "-f", "-"], &widget("{size: 3}")),
            "widget.example.org/a unchanged\n"
        );
        assert_eq!(cluster.field("wd/a", "/spec/color"), "green");
        let row = cluster.ok(&["get", "widgets", "--no-headers"]);
        assert_eq!(
            row.split_whitespace().take(2).collect::<Vec<_>>(),
            ["a", "3"]
        );
        for (spec, why) in [
            (
                "{size: 12}",
                "spec.size: Invalid value: 12: spec.size in body should be less than or equal to 9",
            ),
            (
                "{size: 3, color: blue}",
                "spec.color: Unsupported value: \"blue\": supported values: \"green\", \"red\"",
            ),
            (
                "{size: big}",
                "spec.size: Invalid value: \"string\": spec.size in body must be of type integer: \"string\"",
            ),
            ("{}", "spec.size: Required value"),
        ] {
            let refusal =
                cluster.refused_with(&["apply", "--validate=false", "-f", "-"], &widget(spec));
            assert!(refusal.contains(why), "{spec}: {refusal}");
        }
        let refusal = cluster.refused_with(&["apply", "-f", "-"], &widget("{size: 3, weight: 1}"));
        assert!(
            refusal.contains("unknown field \"spec.weight\""),
            "{refusal}"
        );
        assert_eq!(
            cluster.ok(&["scale", "widget/a", "--replicas=5"]),
            "widget.example.org/a scaled\n"
        );
        assert_eq!(cluster.field("widget/a", "/spec/size"), 5);
        let status = [
            "patch",
            "widget",
            "a",
            "--subresource=status",
            "--type=merge",
            "-p",
            r#"{"status":{"size":5}}"#,
        ];
        cluster.ok(&status);
        assert_eq!(cluster.field("widget/a", "/status/size"), 5);
        cluster.ok(&["delete", "crd", "widgets.example.org", "--timeout=50s"]);
        let refusal = cluster.refused(&["get", "widgets.example.org"]);
        assert!(
            refusal.contains("the server doesn't have a resource type"),
            "{refusal}"
        );
    }
}
