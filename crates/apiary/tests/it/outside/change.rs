//! kubectl's verbs that change objects one by one: create, edit, patch, label, scale, rollout, wait, delete.

use super::world::{Fleet, finish};

#[test]
fn create_makes_objects_of_many_kinds() {
    let Some(fleet) = Fleet::shared() else { return };
    for cluster in fleet.both("change-create") {
        // kubectl posts these as protobuf.
        for (args, name) in [
            (
                &["configmap", "a", "--from-literal=key=value"][..],
                "configmap/a",
            ),
            (
                &["secret", "generic", "a", "--from-literal=key=value"],
                "secret/a",
            ),
            (&["serviceaccount", "a"], "serviceaccount/a"),
            (
                &["deployment", "a", "--image=nginx", "--replicas=0"],
                "deployment.apps/a",
            ),
            (&["service", "clusterip", "a", "--tcp=80"], "service/a"),
            (
                &["role", "a", "--verb=get", "--resource=pods"],
                "role.rbac.authorization.k8s.io/a",
            ),
            (
                &["rolebinding", "a", "--role=a", "--user=jane"],
                "rolebinding.rbac.authorization.k8s.io/a",
            ),
            (&["job", "a", "--image=busybox"], "job.batch/a"),
            (
                &["cronjob", "a", "--image=busybox", "--schedule=0 0 1 1 *"],
                "cronjob.batch/a",
            ),
            (&["quota", "a", "--hard=pods=100"], "resourcequota/a"),
            (
                &[
                    "poddisruptionbudget",
                    "a",
                    "--selector=app=a",
                    "--min-available=1",
                ],
                "poddisruptionbudget.policy/a",
            ),
            (
                &["ingress", "a", "--rule=example.com/=a:80"],
                "ingress.networking.k8s.io/a",
            ),
        ] {
            let command: Vec<&str> = [&["create"], args].concat();
            assert_eq!(cluster.ok(&command), format!("{name} created\n"));
            assert_eq!(cluster.field(name, "/metadata/name"), "a");
        }
        assert_eq!(cluster.field("secret/a", "/data/key"), "dmFsdWU=");
        assert_eq!(
            cluster.refused(&["create", "configmap", "a"]),
            "error: failed to create configmap: configmaps \"a\" already exists\n"
        );
    }
}

#[test]
fn a_dry_run_changes_nothing() {
    let Some(fleet) = Fleet::shared() else { return };
    for cluster in fleet.both("change-dry") {
        let args = [
            "create",
            "configmap",
            "a",
            "--from-literal=key=value",
            "--dry-run=server",
        ];
        assert_eq!(cluster.ok(&args), "configmap/a created (server dry run)\n");
        cluster.refused(&["get", "configmap", "a"]);
    }
}

#[test]
fn an_object_is_edited_and_replaced() {
    let Some(fleet) = Fleet::shared() else { return };
    for cluster in fleet.both("change-edit") {
        cluster.ok(&["create", "configmap", "a", "--from-literal=key=before"]);
        let edit = |editor: &str| {
            let mut command = cluster.command(&["edit", "configmap", "a"]);
            let output = finish(command.env("KUBE_EDITOR", editor), "");
            assert_eq!(output.code, Some(0), "{output:?}");
            output.stdout + &output.stderr
        };
        assert_eq!(edit("sed -i s/before/after/"), "configmap/a edited\n");
        assert_eq!(cluster.field("cm/a", "/data/key"), "after");
        assert_eq!(edit("true"), "Edit cancelled, no changes made.\n");

        let mut object = cluster.object("cm/a");
        object["data"]["key"] = "replaced".into();
        assert_eq!(
            cluster.ok_with(&["replace", "-f", "-"], &object.to_string()),
            "configmap/a replaced\n"
        );
        // The object is of an older revision by now.
        object["data"]["key"] = "again".into();
        let refusal = cluster.refused_with(&["replace", "-f", "-"], &object.to_string());
        assert!(
            refusal.contains("(Conflict)") && refusal.contains("the object has been modified"),
            "{refusal}"
        );
    }
}

#[test]
fn patches_of_all_types_are_understood() {
    let Some(fleet) = Fleet::shared() else { return };
    for cluster in fleet.both("change-patch") {
        cluster.ok(&[
            "create",
            "deployment",
            "web",
            "--image=nginx",
            "--replicas=0",
        ]);
        let patch = |kind: &str, patch: &str| {
            cluster.ok(&["patch", "deployment", "web", "--type", kind, "-p", patch])
        };
        assert_eq!(
            patch("merge", r#"{"spec":{"minReadySeconds":3}}"#),
            "deployment.apps/web patched\n"
        );
        assert_eq!(
            patch("merge", r#"{"spec":{"minReadySeconds":3}}"#),
            "deployment.apps/web patched (no change)\n"
        );
        // Lists of containers are merged by name.
        patch(
            "strategic",
            r#"{"spec":{"template":{"spec":{"containers":[{"name":"side","image":"busybox"}]}}}}"#,
        );
        let containers = cluster.ok(&[
            "get",
            "deployment",
            "web",
            "-o",
            "jsonpath={.spec.template.spec.containers[*].name}",
        ]);
        assert_eq!(containers, "side nginx");
        patch(
            "json",
            r#"[{"op":"remove","path":"/spec/template/spec/containers/0"}]"#,
        );
        let containers = cluster.ok(&[
            "get",
            "deployment",
            "web",
            "-o",
            "jsonpath={.spec.template.spec.containers[*].name}",
        ]);
        assert_eq!(containers, "nginx");
        let refusal = cluster.refused(&[
            "patch",
            "deployment",
            "web",
            "--type=json",
            "-p",
            r#"[{"op":"test","path":"/spec/replicas","value":5}]"#,
        ]);
        assert!(refusal.contains("/spec/replicas"), "{refusal}");
        cluster.ok(&["set", "image", "deployment/web", "nginx=nginx:1.27"]);
        assert_eq!(
            cluster.field("deployment/web", "/spec/template/spec/containers/0/image"),
            "nginx:1.27"
        );
    }
}

#[test]
fn labels_and_annotations_come_and_go() {
    let Some(fleet) = Fleet::shared() else { return };
    for cluster in fleet.both("change-label") {
        cluster.ok(&["create", "configmap", "a"]);
        assert_eq!(
            cluster.ok(&["label", "configmap", "a", "tier=front"]),
            "configmap/a labeled\n"
        );
        assert_eq!(
            cluster.ok(&["label", "configmap", "a", "tier=front"]),
            "configmap/a not labeled\n"
        );
        let refusal = cluster.refused(&["label", "configmap", "a", "tier=back"]);
        assert_eq!(
            refusal,
            "error: 'tier' already has a value (front), and --overwrite is false\n"
        );
        cluster.ok(&["label", "configmap", "a", "tier=back", "--overwrite"]);
        assert_eq!(cluster.field("cm/a", "/metadata/labels/tier"), "back");
        assert_eq!(
            cluster.ok(&["label", "configmap", "a", "tier-"]),
            "configmap/a unlabeled\n"
        );
        assert_eq!(
            cluster.ok(&["annotate", "configmap", "a", "why=because"]),
            "configmap/a annotated\n"
        );
        assert_eq!(
            cluster.field("cm/a", "/metadata/annotations/why"),
            "because"
        );
    }
}

#[test]
fn a_deployment_is_scaled_rolled_out_and_rolled_back() {
    let Some(fleet) = Fleet::shared() else { return };
    let cluster = fleet.hello("change-rollout");
    cluster.ok(&[
        "create",
        "deployment",
        "web",
        "--image=nginx:1",
        "--replicas=1",
    ]);
    let status = || cluster.ok(&["rollout", "status", "deployment/web", "--timeout=50s"]);
    assert!(status().ends_with("deployment \"web\" successfully rolled out\n"));
    assert_eq!(
        cluster.ok(&["scale", "deployment/web", "--replicas=3"]),
        "deployment.apps/web scaled\n"
    );
    status();
    assert_eq!(cluster.field("deployment/web", "/status/readyReplicas"), 3);
    let refusal = cluster.refused(&[
        "scale",
        "deployment/web",
        "--current-replicas=7",
        "--replicas=1",
    ]);
    assert!(
        refusal.contains("Expected replicas to be 7, was 3"),
        "{refusal}"
    );
    cluster.ok(&["set", "image", "deployment/web", "nginx=nginx:2"]);
    status();
    let images = [
        "get",
        "pods",
        "-l",
        "app=web",
        "-o",
        "jsonpath={.items[*].spec.containers[*].image}",
    ];
    assert_eq!(
        cluster
            .ok(&[
                "wait",
                "pods",
                "-l",
                "app=web",
                "--for=condition=Ready",
                "--timeout=50s"
            ])
            .lines()
            .count(),
        3
    );
    assert!(!cluster.ok(&images).contains("nginx:1"));
    assert_eq!(
        cluster
            .ok(&["rollout", "history", "deployment/web"])
            .lines()
            .filter(|line| line.starts_with(['1', '2']))
            .count(),
        2
    );
    assert_eq!(
        cluster.ok(&["rollout", "undo", "deployment/web"]),
        "deployment.apps/web rolled back\n"
    );
    status();
    assert_eq!(
        cluster.field("deployment/web", "/spec/template/spec/containers/0/image"),
        "nginx:1"
    );
    assert_eq!(
        cluster.ok(&["rollout", "restart", "deployment/web"]),
        "deployment.apps/web restarted\n"
    );
    status();
}

#[test]
fn machines_of_a_cluster_are_scaled_with_kubectl() {
    let Some(fleet) = Fleet::shared() else { return };
    let management = fleet.both("change-scale")[0].within("org-acme");
    let workers = "machinedeployment/hello-workers";
    let before = management.field(workers, "/spec/replicas");
    assert_eq!(
        management.ok(&["scale", workers, "--replicas=3"]),
        "machinedeployment.cluster.x-k8s.io/hello-workers scaled\n"
    );
    let wait = |replicas: &str| {
        let until = format!("--for=jsonpath={{.status.availableReplicas}}={replicas}");
        management.ok(&["wait", workers, &until, "--timeout=55s"]);
    };
    wait("3");
    management.ok(&["scale", workers, &format!("--replicas={before}")]);
    wait(&before.to_string());
}

#[test]
fn kubectl_waits_for_conditions_fields_and_deletion() {
    let Some(fleet) = Fleet::shared() else { return };
    let cluster = fleet.hello("change-wait");
    cluster.ok(&["run", "one", "--image=nginx"]);
    assert_eq!(
        cluster.ok(&["wait", "pod/one", "--for=condition=Ready", "--timeout=50s"]),
        "pod/one condition met\n"
    );
    cluster.ok(&[
        "wait",
        "pod/one",
        "--for=jsonpath={.status.phase}=Running",
        "--timeout=50s",
    ]);
    cluster.ok(&["delete", "pod", "one", "--wait=false"]);
    cluster.ok(&["wait", "pod/one", "--for=delete", "--timeout=50s"]);
    cluster.refused(&["get", "pod", "one"]);
    let refusal = cluster.refused(&[
        "wait",
        "namespace/change-wait",
        "--for=condition=Never",
        "--timeout=1s",
    ]);
    assert!(
        refusal.contains("timed out waiting for the condition"),
        "{refusal}"
    );
}

#[test]
fn deletion_takes_what_belongs_to_an_object() {
    let Some(fleet) = Fleet::shared() else { return };
    for cluster in fleet.both("change-delete") {
        cluster.ok(&[
            "create",
            "deployment",
            "web",
            "--image=nginx",
            "--replicas=1",
        ]);
        cluster.ok(&[
            "wait",
            "deployment/web",
            "--for=jsonpath={.status.replicas}=1",
            "--timeout=50s",
        ]);
        let text = cluster.ok(&[
            "delete",
            "deployment",
            "web",
            "--cascade=foreground",
            "--timeout=50s",
        ]);
        assert!(
            text.starts_with("deployment.apps \"web\" deleted"),
            "{text}"
        );
        assert_eq!(cluster.ok(&["get", "replicasets,pods", "-o", "name"]), "");

        for name in ["a", "b"] {
            cluster.ok(&["create", "configmap", name]);
            cluster.ok(&["label", "configmap", name, "group=x"]);
        }
        assert_eq!(
            cluster
                .ok(&["delete", "configmap", "-l", "group=x"])
                .lines()
                .count(),
            2
        );
        assert_eq!(
            cluster.ok(&["delete", "configmap", "a", "--ignore-not-found"]),
            ""
        );
        // A namespace goes with everything in it.
        cluster.ok(&["create", "secret", "generic", "left", "--from-literal=a=b"]);
        cluster.ok(&["delete", "namespace", "change-delete", "--timeout=50s"]);
        assert_eq!(
            cluster.refused(&["get", "secret", "left"]),
            "Error from server (NotFound): namespaces \"change-delete\" not found\n"
        );
    }
}
