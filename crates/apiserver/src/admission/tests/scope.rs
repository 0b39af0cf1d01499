use expect_test::expect;
use serde_json::{Value, json};

use super::{Write, world};
use crate::admission::Chain;
use crate::auth::Authorizer;

#[tokio::test]
async fn nothing_is_created_in_a_namespace_that_is_not_there_to_stay() {
    let mut world = world();
    world.put(
        "namespaces",
        json!({"metadata": {"name": "going", "deletionTimestamp": "2026-06-01T12:00:00Z"}}),
    );
    let map = || json!({"metadata": {"name": "x"}});
    Write::create("configmaps dev/x", map())
        .check(&world, expect!["allowed"])
        .await;
    Write::create("configmaps absent/x", map())
        .check(&world, expect![[r#"404 namespaces "absent" not found"#]])
        .await;
    Write::create("configmaps going/x", map())
        .check(&world, expect![[r#"403 configmaps "x" is forbidden: unable to create new content in namespace going because it is being terminated"#]])
        .await;
    Write::create("deployments.apps going/", map())
        .check(&world, expect!["403 deployments.apps is forbidden: unable to create new content in namespace going because it is being terminated"])
        .await;
    // What is there may still change and go.
    Write::update("configmaps going/x", map(), map())
        .check(&world, expect!["allowed"])
        .await;
    Write::delete("configmaps going/x", map())
        .check(&world, expect!["allowed"])
        .await;
    Write::delete("configmaps absent/x", map())
        .check(&world, expect!["allowed"])
        .await;
    Write::create(
        "localsubjectaccessreviews.authorization.k8s.io absent/",
        json!({}),
    )
    .check(&world, expect!["allowed"])
    .await;
    Write::create("namespaces /new", map())
        .check(&world, expect!["allowed"])
        .await;
    let refused = Write::create("configmaps going/x", map())
        .run(&world)
        .await
        .unwrap_err();
    expect![[r#"{"causes":[{"field":"metadata.namespace","message":"namespace going is being terminated","reason":"NamespaceTerminating"}],"kind":"configmaps","name":"x"}"#]].assert_eq(&refused.details.unwrap().to_string());
}

#[tokio::test]
async fn some_namespaces_stay() {
    let world = world();
    for name in [
        "default",
        "kube-system",
        "kube-public",
        "dev",
        "kube-node-lease",
    ] {
        let what = format!("namespaces /{name}");
        let verdict = Write::delete(&what, Value::Null).verdict(&world).await;
        let is_kept = ["default", "kube-system", "kube-public"].contains(&name);
        let want = if is_kept {
            format!("403 namespaces {name:?} is forbidden: this namespace may not be deleted")
        } else {
            "allowed".into()
        };
        assert_eq!(verdict, want);
    }
}

#[tokio::test]
async fn claims_and_ingresses_get_the_newest_default_class() {
    let mut world = world();
    for (resource, annotation) in [
        (
            "storageclasses.storage.k8s.io",
            "storageclass.kubernetes.io/is-default-class",
        ),
        (
            "ingressclasses.networking.k8s.io",
            "ingressclass.kubernetes.io/is-default-class",
        ),
    ] {
        for (name, day, default) in [
            ("old", 1, "true"),
            ("b", 2, "true"),
            ("a", 2, "true"),
            ("new", 3, "false"),
        ] {
            world.put(
                resource,
                json!({"metadata": {
                    "name": name, "annotations": {annotation: default},
                    "creationTimestamp": format!("2026-06-0{day}T00:00:00Z"),
                }}),
            );
        }
    }
    let claim = |spec: Value| json!({"metadata": {"name": "x"}, "spec": spec});
    let class = async |what: &str, spec: Value, field: &str| {
        let object = Write::create(what, claim(spec)).run(&world).await.unwrap();
        object["spec"][field].to_string()
    };
    let field = "storageClassName";
    let what = "persistentvolumeclaims dev/x";
    assert_eq!(class(what, json!({}), field).await, r#""a""#);
    assert_eq!(class(what, json!({field: ""}), field).await, r#""""#);
    assert_eq!(class(what, json!({field: "old"}), field).await, r#""old""#);
    let what = "ingresses.networking.k8s.io dev/x";
    assert_eq!(class(what, json!({}), "ingressClassName").await, r#""a""#);
    let object = Write::create("persistentvolumeclaims dev/x", claim(json!({})))
        .run(&world)
        .await
        .unwrap();
    assert_eq!(
        object["metadata"]["finalizers"],
        json!(["kubernetes.io/pvc-protection"])
    );
}

#[test]
fn the_order_is_kubernetes_own() {
    let chain = Chain::builtin(&std::sync::Arc::new(Authorizer::new()));
    expect![[r#"
        NamespaceLifecycle
        LimitRanger
        ServiceAccount
        NodeRestriction
        TaintNodesByCondition
        PodSecurity
        Priority
        DefaultTolerationSeconds
        DefaultStorageClass
        StorageObjectInUseProtection
        PersistentVolumeClaimResize
        RuntimeClass
        CertificateRequester
        CertificateApproval
        CertificateSigning
        CertificateSubjectRestriction
        DefaultIngressClass
        PodTopologyLabels
        RBACEscalation"#]]
    .assert_eq(&chain.names().collect::<Vec<_>>().join("\n"));
}

#[tokio::test]
async fn objects_of_any_shape_do_no_harm() {
    let world = world();
    let shapes = [
        json!(null),
        json!([]),
        json!("x"),
        json!({}),
        json!({"spec": [], "metadata": "x", "status": 7, "roleRef": 1, "rules": {}, "subjects": 1}),
        json!({"spec": {
            "containers": {"a": 1}, "volumes": "x", "tolerations": 5, "taints": {}, "initContainers": [1, null],
            "serviceAccountName": 4, "priority": "x", "priorityClassName": [], "runtimeClassName": {},
            "imagePullSecrets": 1, "boundObjectRef": 3, "signerName": {}, "request": 1,
        }}),
        json!({"metadata": {"annotations": [], "labels": 5, "finalizers": {}, "ownerReferences": 1},
            "spec": {"containers": [{"resources": 5, "volumeMounts": {}, "env": 1}, "x"]}}),
    ];
    let what = [
        "pods dev/x",
        "pods/status dev/x",
        "nodes /n",
        "persistentvolumeclaims dev/x",
        "persistentvolumes /x",
        "ingresses.networking.k8s.io dev/x",
        "certificatesigningrequests.certificates.k8s.io /x",
        "certificatesigningrequests/approval.certificates.k8s.io /x",
        "certificatesigningrequests/status.certificates.k8s.io /x",
        "roles.rbac.authorization.k8s.io dev/x",
        "clusterrolebindings.rbac.authorization.k8s.io /x",
        "priorityclasses.scheduling.k8s.io /x",
        "serviceaccounts/token dev/x",
        "limitranges dev/x",
    ];
    for shape in &shapes {
        for what in what {
            for old in &shapes {
                Write::create(what, shape.clone()).verdict(&world).await;
                Write::update(what, old.clone(), shape.clone())
                    .by_node("n")
                    .verdict(&world)
                    .await;
                Write::create(what, shape.clone())
                    .by_node("n")
                    .verdict(&world)
                    .await;
                Write::update(what, old.clone(), shape.clone())
                    .by("jane", &[])
                    .verdict(&world)
                    .await;
            }
        }
    }
}
