//! kubectl's verbs that only read: get in all its forms, describe, explain, api-resources, watch.

use super::world::Fleet;

#[test]
fn get_prints_what_is_asked_for() {
    let Some(fleet) = Fleet::shared() else { return };
    for cluster in fleet.both("read-get") {
        for (name, tier) in [("a", "front"), ("b", "back")] {
            cluster.ok(&["create", "configmap", name, "--from-literal=key=value"]);
            cluster.ok(&["label", "configmap", name, &format!("tier={tier}")]);
        }
        let table = cluster.ok(&["get", "configmaps", "-l", "tier"]);
        let heads: Vec<&str> = table.lines().next().unwrap().split_whitespace().collect();
        assert_eq!(heads, ["NAME", "DATA", "AGE"]);
        let shown: Vec<&str> = table
            .lines()
            .skip(1)
            .map(|line| line.split_whitespace().next().unwrap())
            .collect();
        assert_eq!(shown, ["a", "b"]);

        assert_eq!(
            cluster.ok(&["get", "cm", "-l", "tier=front", "-o", "name"]),
            "configmap/a\n"
        );
        assert_eq!(
            cluster.ok(&["get", "cm", "-l", "tier notin (front),tier", "-o", "name"]),
            "configmap/b\n"
        );
        assert_eq!(
            cluster.ok(&[
                "get",
                "cm",
                "--field-selector",
                "metadata.name=b",
                "-o",
                "name"
            ]),
            "configmap/b\n"
        );
        assert_eq!(
            cluster.ok(&["get", "cm", "a", "-o", "jsonpath={.data.key}"]),
            "value"
        );
        assert_eq!(
            cluster.ok(&["get", "cm", "a", "-o", "go-template={{.data.key}}"]),
            "value"
        );
        let columns = [
            "get",
            "cm",
            "a",
            "--no-headers",
            "-o",
            "custom-columns=N:.metadata.name,K:.data.key",
        ];
        assert_eq!(
            cluster.ok(&columns).split_whitespace().collect::<Vec<_>>(),
            ["a", "value"]
        );
        let yaml = cluster.ok(&["get", "cm", "a", "-o", "yaml"]);
        assert!(
            yaml.starts_with("apiVersion: v1\ndata:\n  key: value\nkind: ConfigMap\n"),
            "{yaml}"
        );
        let sorted = [
            "get",
            "cm",
            "-l",
            "tier",
            "--sort-by=.metadata.labels.tier",
            "-o",
            "name",
        ];
        assert_eq!(cluster.ok(&sorted), "configmap/b\nconfigmap/a\n");
        assert_eq!(cluster.object("cm/a")["kind"], "ConfigMap");
        // Pages of one object each make the same list.
        assert_eq!(
            cluster.ok(&["get", "cm", "-l", "tier", "--chunk-size=1", "-o", "name"]),
            "configmap/a\nconfigmap/b\n"
        );
        assert!(
            cluster
                .ok(&["get", "all,cm", "--all-namespaces"])
                .contains("service/kubernetes")
        );
    }
}

#[test]
fn what_is_not_there_is_named() {
    let Some(fleet) = Fleet::shared() else { return };
    for cluster in fleet.both("read-missing") {
        assert_eq!(
            cluster.refused(&["get", "configmap", "none"]),
            "Error from server (NotFound): configmaps \"none\" not found\n"
        );
        assert_eq!(
            cluster.refused(&["get", "nonsense"]),
            "error: the server doesn't have a resource type \"nonsense\"\n"
        );
        assert_eq!(
            cluster.run(&["get", "pods"]).stderr,
            "No resources found in read-missing namespace.\n"
        );
    }
}

#[test]
fn describe_shows_objects_of_many_kinds() {
    let Some(fleet) = Fleet::shared() else { return };
    for cluster in fleet.both("read-describe") {
        cluster.ok(&[
            "create",
            "configmap",
            "settings",
            "--from-literal=key=value",
        ]);
        let text = cluster.ok(&["describe", "configmap", "settings"]);
        assert!(text.contains("key:\n----\nvalue\n"), "{text}");
        cluster.ok(&[
            "create",
            "deployment",
            "web",
            "--image=nginx",
            "--replicas=0",
        ]);
        let text = cluster.ok(&["describe", "deployment", "web"]);
        assert!(text.contains("Image:         nginx"), "{text}");
        assert!(text.contains("0 desired"), "{text}");
        cluster.ok(&["create", "service", "clusterip", "web", "--tcp=80:8080"]);
        let text = cluster.ok(&["describe", "service", "web"]);
        assert!(
            text.contains("TargetPort:               8080/TCP"),
            "{text}"
        );
        let text = cluster.ok(&["describe", "namespace", "read-describe"]);
        assert!(text.contains("Status:       Active"), "{text}");
        for what in [
            "serviceaccount",
            "role,rolebinding",
            "clusterrole/admin",
            "clusterrolebinding/cluster-admin",
        ] {
            cluster.ok(&["describe", what]);
        }
    }
}

#[test]
fn nodes_of_the_workload_cluster_are_described_as_simulated() {
    let Some(fleet) = Fleet::shared() else { return };
    let cluster = fleet.hello("read-nodes");
    let nodes = cluster.ok(&["get", "nodes", "-o", "name"]);
    assert_eq!(nodes.lines().count(), 3, "{nodes}");
    for node in nodes.lines() {
        let text = cluster.ok(&["describe", node]).to_lowercase();
        assert!(text.contains("simulated"), "{text}");
        assert!(
            text.contains("kubeletready") || text.contains("ready"),
            "{text}"
        );
    }
}

#[test]
fn discovery_is_complete_enough_for_kubectl() {
    let Some(fleet) = Fleet::shared() else { return };
    for cluster in fleet.both("read-discovery") {
        let resources = cluster.ok(&["api-resources", "-o", "name"]);
        for name in [
            "configmaps",
            "deployments.apps",
            "roles.rbac.authorization.k8s.io",
            "leases.coordination.k8s.io",
        ] {
            assert!(
                resources.lines().any(|line| line == name),
                "{name} is missing of\n{resources}"
            );
        }
        let verbs = cluster.ok(&[
            "api-resources",
            "--api-group=apps",
            "-o",
            "wide",
            "--no-headers",
        ]);
        let deployments = verbs
            .lines()
            .find(|line| line.starts_with("deployments"))
            .unwrap();
        assert!(
            deployments.contains("create,delete,deletecollection,get,list,patch,update,watch"),
            "{deployments}"
        );
        assert!(
            cluster
                .ok(&["api-versions"])
                .lines()
                .any(|line| line == "apps/v1")
        );
        assert!(cluster.ok(&["version"]).contains("Server Version: v1.36"));
        assert_eq!(cluster.ok(&["get", "--raw", "/readyz"]), "ok");
        let text = cluster.ok(&["explain", "deployment.spec.strategy.rollingUpdate"]);
        assert!(text.contains("maxSurge"), "{text}");
        assert!(!text.contains("<no description>"), "{text}");
        let metrics = cluster.ok(&["get", "--raw", "/metrics"]);
        for line in [
            "apiserver_storage_objects{resource=\"namespaces\"} ",
            "apiary_controller_passes_total{manager=\"kubernetes\",controller=\"deployment\"} ",
        ] {
            assert!(metrics.contains(line), "{line} is missing of\n{metrics}");
        }
        assert!(cluster.ok(&["cluster-info"]).contains("is running at"));
    }
    let management = &fleet.both("read-discovery-capi")[0];
    let resources = management.ok(&["api-resources", "-o", "name"]);
    for name in [
        "clusters.cluster.x-k8s.io",
        "kubeadmcontrolplanes.controlplane.cluster.x-k8s.io",
        "apps.application.giantswarm.io",
    ] {
        assert!(
            resources.lines().any(|line| line == name),
            "{name} is missing of\n{resources}"
        );
    }
    let text = management.ok(&[
        "explain",
        "machinedeployment.spec.replicas",
        "--api-version=cluster.x-k8s.io/v1beta2",
    ]);
    assert!(text.contains("replicas <integer>"), "{text}");
    // The same from the document of version 2, which kubectl reads as protobuf.
    let text = management.ok(&[
        "explain",
        "cluster.spec.paused",
        "--api-version=cluster.x-k8s.io/v1beta2",
        "--output=plaintext-openapiv2",
    ]);
    assert!(text.contains("paused <boolean>"), "{text}");
}

#[test]
fn every_kind_is_explained_to_its_last_field() {
    let Some(fleet) = Fleet::shared() else { return };
    let cluster = &fleet.both("read-explain")[0];
    let resources = cluster.ok(&["api-resources", "--no-headers"]);
    let mut kinds = 0;
    for line in resources.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [name, .., version, _, kind] = words.as_slice() else {
            panic!("api-resources says {line:?}")
        };
        let version = format!("--api-version={version}");
        let text = cluster.ok(&["explain", "--recursive", name, &version]);
        assert!(text.contains(&format!("KIND:       {kind}\n")), "{text}");
        // Every object has a kind, and each field a type.
        assert!(text.contains("  kind\t<string>"), "{name}: {text}");
        let fields = text.lines().skip_while(|line| *line != "FIELDS:").skip(1);
        for field in fields.filter(|line| !line.trim().is_empty()) {
            let is_typed = field.contains("\t<") || field.trim_start().starts_with("enum: ");
            assert!(is_typed, "{name}: {field:?} in\n{text}");
        }
        kinds += 1;
    }
    assert!(kinds > 60, "{resources}");
}

#[test]
fn a_watch_shows_every_change() {
    let Some(fleet) = Fleet::shared() else { return };
    for cluster in fleet.both("read-watch") {
        let create = |name: &str| {
            let manifest = format!(
                "---\n{{apiVersion: v1, kind: ConfigMap, metadata: {{name: {name}, labels: {{seen: yes!}}}}}}"
            );
            cluster.ok_with(&["create", "-f", "-"], &manifest.replace("yes!", "\"yes\""));
        };
        create("first");
        let args = [
            "get",
            "configmaps",
            "-l",
            "seen=yes",
            "-w",
            "--output-watch-events",
            "--no-headers",
        ];
        let watch = cluster.start(&args);
        let next = || {
            let line = watch.line();
            let columns: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
            columns
        };
        assert_eq!(next()[..3], ["ADDED", "first", "0"]);
        create("second");
        assert_eq!(next()[..3], ["ADDED", "second", "0"]);
        cluster.ok(&[
            "patch",
            "configmap",
            "first",
            "--type=merge",
            "-p",
            r#"{"data":{"key":"value"}}"#,
        ]);
        assert_eq!(next()[..3], ["MODIFIED", "first", "1"]);
        // What leaves the selection is deleted to this watcher.
        cluster.ok(&["label", "configmap", "second", "seen-"]);
        assert_eq!(next()[..3], ["DELETED", "second", "0"]);
        cluster.ok(&["delete", "configmap", "first"]);
        assert_eq!(next()[..3], ["DELETED", "first", "1"]);
    }
}
