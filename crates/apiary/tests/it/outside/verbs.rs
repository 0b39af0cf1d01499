//! That every command of kubectl is run against the real binary, and those that no other file has.
//!
//! | command | where |
//! | --- | --- |
//! | `annotate` `label` | `change.rs`, here with a revision, `--list` and `--all` |
//! | `api-resources` `api-versions` | `read.rs`, `cli.rs`, here with every flag |
//! | `apply` | `apply.rs`, here `-k`, `--prune`, `--applyset`, `--validate` and its three subcommands |
//! | `attach` `cp` `exec` `port-forward` | `streams.rs` |
//! | `auth` | `access.rs`: `can-i`, `whoami`; here `reconcile`, `can-i` of paths and subresources |
//! | `autoscale` `expose` `run` `set` | here, all of `set` |
//! | `certificate` `cordon` `debug` `drain` `taint` `top` `uncordon` | `nodes.rs` |
//! | `cluster-info` | `cli.rs`, `nodes.rs`: `dump` |
//! | `completion` `config` `kustomize` `options` `plugin` | here; but for kustomize they ask no server |
//! | `create` | `change.rs`, here all the other kinds and `token` |
//! | `delete` | `change.rs`, here every cascade, `--now`, `--force`, `--all` |
//! | `describe` `explain` `get` | `read.rs`, here every output and flag of `get` |
//! | `diff` | `apply.rs`, `cli.rs` |
//! | `edit` `patch` `replace` `wait` | `change.rs`, here `--subresource`, `--patch-file`, `--force`, `create` |
//! | `events` `logs` | here |
//! | `kuberc` | asks no server |
//! | `proxy` `version` | `cli.rs` |
//! | `rollout` `scale` | `change.rs`, here `pause`, `resume`, a revision, preconditions |

use std::collections::BTreeSet;

use expect_test::{Expect, expect};
use serde_json::Value;

use super::world::{Fleet, Kubectl, kubectl};

/// The commands of the table above.
fn covered() -> BTreeSet<&'static str> {
    let rows = include_str!("verbs.rs")
        .lines()
        .filter_map(|line| line.strip_prefix("//! | `"))
        .filter_map(|row| row.split('|').next());
    rows.flat_map(|row| row.split('`').map(str::trim))
        .filter(|word| !word.is_empty())
        .collect()
}

#[test]
fn every_command_of_kubectl_is_in_the_table() {
    let Some(kubectl) = kubectl() else { return };
    let help = std::process::Command::new(kubectl).arg("--help").output();
    let help = String::from_utf8(help.unwrap().stdout).unwrap();
    let commands: BTreeSet<&str> = help
        .lines()
        .filter_map(|line| line.strip_prefix("  "))
        .filter(|line| line.starts_with(|c: char| c.is_ascii_lowercase()) && line.contains("  "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|command| *command != "kubectl")
        .collect();
    assert!(commands.len() > 35, "{help}");
    let covered = covered();
    let missing: Vec<&&str> = commands.difference(&covered).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[track_caller]
fn check(cluster: &Kubectl, lines: &[&str], expected: &Expect) {
    let said: String = lines.iter().map(|line| cluster.does(line)).collect();
    expected.assert_eq(&said);
}

#[test]
fn create_knows_all_the_other_kinds() {
    let Some(fleet) = Fleet::shared() else { return };
    for cluster in fleet.both("verbs-create") {
        check(
            &cluster,
            &[
                "create clusterrole verbs-create --verb=get --resource=nodes",
                "create clusterrolebinding verbs-create --clusterrole=verbs-create --user=jane",
                "create priorityclass verbs-create --value=7",
                "create secret docker-registry pull --docker-username=a --docker-password=b",
                "create service nodeport open --tcp=80",
                "create service loadbalancer balanced --tcp=80",
                "create service externalname elsewhere --external-name=example.com",
                "create cronjob tick --image=busybox --schedule=@yearly -- date",
                "create job once --from=cronjob/tick",
                "create namespace verbs-create-more",
                "create serviceaccount robot",
                "delete clusterrole/verbs-create clusterrolebinding/verbs-create priorityclass/verbs-create namespace/verbs-create-more --wait=false",
            ],
            &expect![[r#"
                clusterrole.rbac.authorization.k8s.io/verbs-create created
                clusterrolebinding.rbac.authorization.k8s.io/verbs-create created
                priorityclass.scheduling.k8s.io/verbs-create created
                secret/pull created
                service/open created
                service/balanced created
                service/elsewhere created
                cronjob.batch/tick created
                job.batch/once created
                namespace/verbs-create-more created
                serviceaccount/robot created
                clusterrole.rbac.authorization.k8s.io "verbs-create" deleted
                clusterrolebinding.rbac.authorization.k8s.io "verbs-create" deleted
                priorityclass.scheduling.k8s.io "verbs-create" deleted
                namespace "verbs-create-more" deleted
            "#]],
        );
        assert_eq!(
            cluster.field("job/once", "/metadata/ownerReferences/0/name"),
            "tick"
        );
        assert!(
            cluster
                .field("service/open", "/spec/ports/0/nodePort")
                .is_number()
        );
        // A token that is bound to an object and has a lifetime and an audience of its own.
        let token = cluster.does("create token robot --duration=1h --audience=there --bound-object-kind=Secret --bound-object-name=pull");
        let claims = token.split('.').nth(1).unwrap();
        use base64::Engine;
        let claims = base64::engine::general_purpose::URL_SAFE_NO_PAD
            .decode(claims)
            .unwrap();
        let claims: Value = serde_json::from_slice(&claims).unwrap();
        assert_eq!(claims["aud"][0], "there");
        assert_eq!(claims["kubernetes.io"]["secret"]["name"], "pull");
        let lifetime = claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap();
        assert_eq!(lifetime, 3600);
        let pair = rcgen::generate_simple_self_signed(["example.com".to_owned()]).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, pem: String| {
            let path = folder.path().join(name);
            std::fs::write(&path, pem).unwrap();
            path.to_str().unwrap().to_owned()
        };
        let (cert, key) = (
            file("tls.crt", pair.cert.pem()),
            file("tls.key", pair.signing_key.serialize_pem()),
        );
        cluster.does(&format!("create secret tls pair --cert={cert} --key={key}"));
        assert_eq!(cluster.field("secret/pair", "/type"), "kubernetes.io/tls");
    }
}

#[test]
fn a_workload_is_run_exposed_set_and_scaled() {
    let Some(fleet) = Fleet::shared() else { return };
    let cluster = fleet.hello("verbs-set");
    check(
        &cluster,
        &[
            "create deployment web --image=nginx:1 --replicas=1 --port=80",
            "run one --image=nginx --labels=app=one --env=A=B --port=80",
            "run two --image=busybox --restart=Never --dry-run=server -o name -- sleep 1",
            "expose deployment web --port=8080 --target-port=80",
            "expose pod one --port=80 --name=single",
            "autoscale deployment web --min=1 --max=3 --cpu-percent=50",
            "rollout pause deployment/web",
            "set image deployment/web nginx=nginx:2",
            "set env deployment/web GREETING=hello",
            "set env deployment/web --list",
            "set resources deployment/web --limits=cpu=1,memory=1Gi",
            "create serviceaccount robot",
            "set serviceaccount deployment web robot",
            "set selector service single app=other",
            "create rolebinding readers --clusterrole=view --user=jane",
            "set subject rolebinding readers --serviceaccount=verbs-set:robot",
            "rollout resume deployment/web",
        ],
        &expect![[r#"
            deployment.apps/web created
            pod/one created
            pod/two
            service/web exposed
            service/single exposed
            horizontalpodautoscaler.autoscaling/web autoscaled
            deployment.apps/web paused
            deployment.apps/web image updated
            deployment.apps/web env updated
            # Deployment web, container nginx
            GREETING=hello
            deployment.apps/web resource requirements updated
            serviceaccount/robot created
            deployment.apps/web serviceaccount updated
            service/single selector updated
            rolebinding.rbac.authorization.k8s.io/readers created
            rolebinding.rbac.authorization.k8s.io/readers subjects updated
            deployment.apps/web resumed
        "#]],
    );
    // All that was set while it was paused is one revision.
    cluster.does("rollout status deployment/web --timeout=50s");
    let spec = cluster.field("deployment/web", "/spec/template/spec");
    assert_eq!(spec["containers"][0]["image"], "nginx:2");
    assert_eq!(
        spec["containers"][0]["resources"]["limits"]["memory"],
        "1Gi"
    );
    assert_eq!(spec["serviceAccountName"], "robot");
    assert!(
        cluster
            .does("rollout history deployment/web --revision=2")
            .contains("nginx:2")
    );
    cluster.does("rollout undo deployment/web --to-revision=1");
    cluster.does("rollout status deployment/web --timeout=50s");
    assert_eq!(
        cluster.field("deployment/web", "/spec/template/spec/containers/0/image"),
        "nginx:1"
    );
    let stale = [
        "scale",
        "deployment/web",
        "--replicas=2",
        "--resource-version=1",
    ];
    assert!(
        cluster
            .refused(&stale)
            .contains("Expected resource version to be 1, was")
    );
    cluster.does("scale deployment/web --replicas=2 --current-replicas=1 --timeout=50s");
    assert_eq!(cluster.field("hpa/web", "/spec/maxReplicas"), 3);
}

#[test]
fn logs_and_events_tell_what_happened() {
    let Some(fleet) = Fleet::shared() else { return };
    let cluster = fleet.hello("verbs-logs");
    cluster.ok(&[
        "run",
        "one",
        "--image=nginx",
        "--annotations=simulated.apiary.io/log=first\nsecond",
    ]);
    cluster.does("wait pod/one --for=condition=Ready --timeout=50s");
    check(
        &cluster,
        &[
            "logs one",
            "logs one --tail=1",
            "logs one -c one --limit-bytes=3",
            "logs -l run=one --prefix",
            "logs pod/one --all-containers --since=1h",
        ],
        &expect![[r#"
            first
            second
            second
            fir[pod/one/one] first
            [pod/one/one] second
            first
            second
        "#]],
    );
    assert!(
        cluster
            .does("logs one --timestamps --tail=1")
            .ends_with("Z second\n")
    );
    let follow = cluster.start(&["logs", "-f", "one"]);
    assert_eq!(
        (follow.line(), follow.line()),
        ("first".into(), "second".into())
    );
    cluster.does("delete pod one --now");
    assert_eq!(follow.ended(), Some(0));
    let events = cluster.does("events --for=pod/one --types=Normal");
    for reason in ["Scheduled", "Pulled", "Created", "Started", "Killing"] {
        assert!(events.contains(reason), "{reason} is missing of\n{events}");
    }
    let refusal = cluster.refused(&["logs", "one"]);
    assert!(refusal.contains("pods \"one\" not found"), "{refusal}");
}

#[test]
fn roles_are_reconciled() {
    let Some(fleet) = Fleet::shared() else { return };
    let role = |verbs: &str| {
        format!(
            "---\n{{apiVersion: rbac.authorization.k8s.io/v1, kind: Role, metadata: {{name: r, namespace: verbs-auth}}, rules: [{{apiGroups: [\"\"], resources: [pods], verbs: [{verbs}]}}]}}"
        )
    };
    for cluster in fleet.both("verbs-auth") {
        let reconcile = |args: &[&str], verbs: &str| {
            let args = [&["auth", "reconcile", "-f", "-"], args].concat();
            cluster.ok_with(&args, &role(verbs));
            cluster.field("role/r", "/rules").to_string()
        };
        assert!(reconcile(&[], "get").contains(r#""verbs":["get"]"#));
        // What is there is kept, unless it is said to go.
        let both = reconcile(&[], "list");
        assert!(both.contains("get") && both.contains("list"), "{both}");
        let one = reconcile(&["--remove-extra-permissions"], "list");
        assert!(!one.contains("get") && one.contains("list"), "{one}");
        for line in [
            "auth can-i create pods --subresource=exec",
            "auth can-i get /healthz",
            "auth can-i * *",
            "auth can-i list deployments.apps --all-namespaces",
        ] {
            assert_eq!(cluster.does(line), "yes\n", "{line}");
        }
        let who: Value = serde_json::from_str(&cluster.does("auth whoami -o json")).unwrap();
        assert_eq!(who["kind"], "SelfSubjectReview");
    }
}

/// Two config maps with labels.
fn two_maps(cluster: &Kubectl) {
    for (name, app) in [("a", "x"), ("b", "y")] {
        cluster.does(&format!("create configmap {name} --from-literal=k={name}"));
        cluster.does(&format!("label configmap {name} app={app}"));
    }
}

/// What kubectl prints of them, with one space between words.
fn maps(cluster: &Kubectl, args: &str) -> String {
    let said = cluster.does(&format!("get configmaps -l app {args}"));
    let lines = said.lines().map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        words.join(" ") + "\n"
    });
    lines.collect()
}

#[test]
fn get_has_an_output_for_everybody() {
    let Some(fleet) = Fleet::shared() else { return };
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let template = file("template", "{{range .items}}{{.metadata.name}},{{end}}");
    let path = file("path", "{.items[*].metadata.name}");
    let columns = file(
        "columns",
        "NAME    APP\n.metadata.name .metadata.labels.app\n",
    );
    for cluster in fleet.both("verbs-get") {
        two_maps(&cluster);
        let said: String = [
            "-o name".to_owned(),
            "-o custom-columns=N:.metadata.name --no-headers".to_owned(),
            format!("-o custom-columns-file={columns}"),
            "-o go-template={{.kind}}".to_owned(),
            format!("-o go-template-file={template}"),
            format!("-o jsonpath-file={path}"),
            "-o jsonpath-as-json={.items[*].data.k}".to_owned(),
            "-o jsonpath={.items[?(@.metadata.name==\"b\")].data.k}".to_owned(),
            "-o template --template={{.kind}}".to_owned(),
            "--sort-by=.metadata.labels.app -o name --chunk-size=1".to_owned(),
            "--field-selector=metadata.name!=a -o name".to_owned(),
        ]
        .iter()
        .map(|args| maps(&cluster, args).trim_end().to_owned() + "\n")
        .collect();
        expect![[r#"
            configmap/a
            configmap/b
            a
            b
            NAME APP
            a x
            b y
            List
            a,b,
            a b
            [
            "a",
            "b"
            ]
            b
            List
            configmap/a
            configmap/b
            configmap/b
        "#]]
        .assert_eq(&said);
    }
}

#[test]
fn get_shows_what_is_asked_for() {
    let Some(fleet) = Fleet::shared() else { return };
    for cluster in fleet.both("verbs-shown") {
        two_maps(&cluster);
        let get = |args: &str| maps(&cluster, args);
        let head = |args: &str| get(args).lines().next().unwrap().to_owned();
        assert_eq!(head("-o wide"), "NAME DATA AGE");
        assert_eq!(head("-L app --show-labels"), "NAME DATA AGE APP LABELS");
        assert_eq!(head("--server-print=false"), "NAME AGE");
        assert_eq!(
            head("--label-columns=app --no-headers").split(' ').next(),
            Some("a")
        );
        assert!(get("--show-kind").contains("configmap/a 1 "));
        assert!(get("-A").contains("verbs-shown a 1 "));
        for output in ["json", "yaml"] {
            let text = get(&format!("-o {output} --show-managed-fields"));
            assert!(text.contains("managedFields"), "{text}");
        }
        assert_eq!(cluster.does("get configmap none --ignore-not-found"), "");
        assert!(
            cluster
                .does("get --raw /api/v1/namespaces/verbs-shown/configmaps?limit=1")
                .contains("continue")
        );
        cluster.does("create deployment web --image=nginx --replicas=0");
        assert_eq!(
            cluster.does("get deployment web --subresource=scale -o jsonpath={.kind}"),
            "Scale"
        );
        assert_eq!(
            cluster.does("get deployment web --subresource=status -o name"),
            "deployment.apps/web\n"
        );
        assert!(
            cluster
                .does("describe deployment -l app=web --show-events=false")
                .contains("Name:")
        );
    }
}

#[test]
fn resources_are_told_as_asked() {
    let Some(fleet) = Fleet::shared() else { return };
    for cluster in fleet.both("verbs-resources") {
        let names = |args: &str| {
            let said = cluster.does(&format!("api-resources -o name {args}"));
            said.lines().map(str::to_owned).collect::<Vec<_>>()
        };
        let global = names("--namespaced=false --verbs=list,create");
        assert!(global.iter().any(|name| name == "namespaces"), "{global:?}");
        assert!(!global.iter().any(|name| name == "pods"), "{global:?}");
        let all = names("--categories=all");
        assert!(
            all.iter().any(|name| name == "statefulsets.apps"),
            "{all:?}"
        );
        assert_eq!(
            names("--api-group=scheduling.k8s.io")[0],
            "priorityclasses.scheduling.k8s.io"
        );
        let sorted = cluster.does("api-resources --sort-by=kind --no-headers --cached");
        let kinds: Vec<&str> = sorted
            .lines()
            .filter_map(|line| line.split_whitespace().last())
            .collect();
        assert!(kinds.is_sorted(), "{kinds:?}");
        assert!(cluster.does("api-resources -o wide").contains("VERBS"));
        let fields = cluster.does("explain pods --recursive");
        assert!(
            fields.contains("terminationGracePeriodSeconds\t<integer>"),
            "{fields}"
        );
        assert!(
            cluster
                .does("explain hpa --api-version=autoscaling/v2")
                .contains("VERSION:    v2")
        );
        let old = cluster.does("explain deployments.spec.strategy --output=plaintext-openapiv2");
        assert!(old.contains("rollingUpdate\t<Object>"), "{old}");
    }
}

#[test]
fn deletion_goes_as_far_as_it_is_told() {
    let Some(fleet) = Fleet::shared() else { return };
    let cluster = fleet.hello("verbs-delete");
    let web = |name: &str| {
        cluster.does(&format!(
            "create deployment {name} --image=nginx --replicas=1"
        ));
        cluster.does(&format!("rollout status deployment/{name} --timeout=50s"));
    };
    web("orphaned");
    cluster.does("delete deployment orphaned --cascade=orphan");
    assert_eq!(
        cluster
            .does("get replicasets -l app=orphaned -o name")
            .lines()
            .count(),
        1
    );
    cluster.does("delete replicasets -l app=orphaned --cascade=background");
    cluster.does("wait pods -l app=orphaned --for=delete --timeout=50s");
    web("all");
    cluster.does("delete deployment all --cascade=foreground --wait=true --timeout=50s");
    assert_eq!(cluster.does("get pods -o name"), "");
    for name in ["now", "forced", "slow"] {
        cluster.does(&format!("run {name} --image=nginx"));
    }
    cluster.does("delete pod now --now");
    cluster.does("delete pod forced --grace-period=0 --force");
    assert_eq!(cluster.does("get pods -o name"), "pod/slow\n");
    assert_eq!(
        cluster.does("delete pods --all --dry-run=server -o name"),
        "pod/slow\n"
    );
    cluster.does("delete pods --field-selector=metadata.name=slow --wait=false");
    cluster.does("wait pod/slow --for=delete --timeout=50s");
    // What is made while it is waited for.
    let waiting = cluster.start(&["wait", "configmap/late", "--for=create", "--timeout=50s"]);
    cluster.does("create configmap late");
    assert_eq!(waiting.line(), "configmap/late condition met");
    cluster.does("delete --raw /api/v1/namespaces/verbs-delete/configmaps/late");
    cluster.refused(&["get", "configmap", "late"]);
}

#[test]
fn single_fields_are_written_by_subresource_and_revision() {
    let Some(fleet) = Fleet::shared() else { return };
    let folder = tempfile::tempdir().unwrap();
    let patch = folder.path().join("patch.yaml");
    std::fs::write(&patch, "data: {from: file}\n").unwrap();
    for cluster in fleet.both("verbs-fields") {
        cluster.does("create configmap a --from-literal=k=v");
        let label = |revision: &str| format!("label configmap a x=y --resource-version={revision}");
        let stale = label("1");
        let stale: Vec<&str> = stale.split(' ').collect();
        assert!(
            cluster
                .refused(&stale)
                .contains("the object has been modified")
        );
        let revision = cluster.does("get configmap a -o jsonpath={.metadata.resourceVersion}");
        assert_eq!(cluster.does(&label(&revision)), "configmap/a labeled\n");
        check(
            &cluster,
            &[
                "label configmap a --list",
                "label configmaps -l x=y z=1 --dry-run=server",
                "annotate configmap a why=because",
                "annotate configmap a --list",
            ],
            &expect![[r#"
                x=y
                configmap/a labeled (server dry run)
                configmap/a annotated
                why=because
            "#]],
        );
        cluster.does(&format!(
            "patch configmap a --patch-file={}",
            patch.display()
        ));
        assert_eq!(cluster.field("cm/a", "/data/from"), "file");
        cluster.does("create deployment web --image=nginx --replicas=0");
        cluster.does(
            r#"patch deployment web --subresource=scale --type=merge -p {"spec":{"replicas":2}}"#,
        );
        assert_eq!(cluster.field("deployment/web", "/spec/replicas"), 2);
        cluster.does(r#"patch deployment web --subresource=status --type=json -p [{"op":"add","path":"/status/collisionCount","value":3}]"#);
        assert_eq!(cluster.field("deployment/web", "/status/collisionCount"), 3);
        // Replacing by force makes another object of that name.
        let before = cluster.field("cm/a", "/metadata/uid");
        let manifest = "---\n{apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: {k: w}}";
        assert_eq!(
            cluster.ok_with(&["replace", "--force", "-f", "-"], manifest),
            "configmap \"a\" deleted\nconfigmap/a replaced\n"
        );
        assert_ne!(cluster.field("cm/a", "/metadata/uid"), before);
    }
}

const KUSTOMIZATION: [(&str, &str); 2] = [
    (
        "kustomization.yaml",
        "resources: [map.yaml]\nnamePrefix: made-\ncommonAnnotations: {by: kustomize}\nconfigMapGenerator: [{name: more, literals: [a=b]}]\n",
    ),
    (
        "map.yaml",
        "{apiVersion: v1, kind: ConfigMap, metadata: {name: one}, data: {k: v}}\n",
    ),
];

#[test]
fn apply_knows_what_it_applied() {
    let Some(fleet) = Fleet::shared() else { return };
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in KUSTOMIZATION {
        std::fs::write(folder.path().join(name), content).unwrap();
    }
    let base = folder.path().to_str().unwrap();
    let map = |name: &str| {
        format!(
            "---\n{{apiVersion: v1, kind: ConfigMap, metadata: {{name: {name}, labels: {{set: s}}}}}}\n"
        )
    };
    for cluster in fleet.both("verbs-apply") {
        let built = cluster.does(&format!("kustomize {base}"));
        assert!(built.contains("name: made-one"), "{built}");
        let applied = cluster.does(&format!("apply -k {base}"));
        assert!(applied.contains("configmap/made-one created"), "{applied}");
        assert_eq!(
            cluster.field("cm/made-one", "/metadata/annotations/by"),
            "kustomize"
        );
        cluster.does(&format!("delete -k {base}"));

        cluster.ok_with(&["apply", "-f", "-"], &(map("a") + &map("b")));
        let shown = cluster.does("apply view-last-applied configmap/a");
        assert!(shown.contains("set: s"), "{shown}");
        let another = map("a").replace("set: s", "set: s, more: x");
        cluster.ok_with(&["apply", "set-last-applied", "-f", "-"], &another);
        assert!(
            cluster
                .does("apply view-last-applied configmap/a")
                .contains("more: x")
        );
        let editor = [("KUBE_EDITOR", "sed -i s/more:/less:/")];
        cluster
            .with_env(&editor)
            .does("apply edit-last-applied configmap/a");
        assert!(
            cluster
                .does("apply view-last-applied configmap/a")
                .contains("less: x")
        );

        // What is not in the manifest any more goes, of those with the label.
        let prune = [
            "apply",
            "--prune",
            "-l",
            "set=s",
            "--prune-allowlist=core/v1/ConfigMap",
            "-f",
            "-",
        ];
        let pruned = cluster.ok_with(&prune, &map("a"));
        assert!(pruned.contains("configmap/b pruned"), "{pruned}");
        // The same by a set, which is an object of its own.
        let set = cluster.with_env(&[("KUBECTL_APPLYSET", "true")]);
        let args = [
            "apply",
            "--server-side",
            "--force-conflicts",
            "--prune",
            "--applyset=configmap/members",
            "-f",
            "-",
        ];
        set.does("create configmap members");
        let refusal = set.refused_with(&args, &map("c"));
        assert!(refusal.contains("members"), "{refusal}");
        set.does("delete configmap members");
        let args = args.map(|arg| arg.replace("configmap/", ""));
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        set.ok_with(&args, &(map("c") + &map("d")));
        let pruned = set.ok_with(&args, &map("c"));
        assert!(pruned.contains("configmap/d pruned"), "{pruned}");
    }
}

#[test]
fn manifests_are_checked_as_strictly_as_asked() {
    let Some(fleet) = Fleet::shared() else { return };
    let manifest =
        "---\n{apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: {k: v}, nonsense: 1}";
    for cluster in fleet.both("verbs-validate") {
        let refusal = cluster.refused_with(&["create", "-f", "-"], manifest);
        assert!(refusal.contains("unknown field \"nonsense\""), "{refusal}");
        for validate in ["strict", "true"] {
            let args = ["apply", "-f", "-", &format!("--validate={validate}")];
            assert!(
                cluster
                    .refused_with(&args, manifest)
                    .contains("unknown field \"nonsense\"")
            );
        }
        let args = ["apply", "-f", "-", "--validate=warn"];
        let said = cluster.run_with(&args, manifest);
        assert_eq!(said.code, Some(0), "{said:?}");
        assert!(
            said.stderr.contains("Warning: unknown field \"nonsense\""),
            "{said:?}"
        );
        let said = cluster.run_with(&["apply", "-f", "-", "--validate=ignore"], manifest);
        assert_eq!((said.code, &*said.stderr), (Some(0), ""), "{said:?}");
    }
}

#[test]
fn commands_that_ask_no_server_work_with_our_kubeconfigs() {
    let Some(fleet) = Fleet::shared() else { return };
    for cluster in fleet.both("verbs-local") {
        let context = cluster.does("config current-context");
        let contexts = cluster.does("config get-contexts -o name");
        assert_eq!(contexts, context);
        assert!(
            cluster
                .does("config view --minify")
                .contains("certificate-authority-data: DATA+OMITTED")
        );
        assert!(cluster.does("completion bash").contains("__start_kubectl"));
        assert!(cluster.does("options").contains("--kubeconfig"));
        assert!(
            cluster
                .refused(&["plugin", "list"])
                .contains("kubectl plugins")
        );
    }
}
