mod kubelets;

use expect_test::{Expect, expect};
use serde_json::{Value, json};

use super::{World, request};
use crate::auth::rbac::{Rule, escalation};
use crate::auth::{Attributes, Authorizer, Objects as _, User, kubeadm_objects};

fn user(name: &str, groups: &[&str]) -> User {
    User::authenticated(name, groups.iter().map(|g| (*g).to_owned()))
}

/// `allow` or `deny` for each request, with the reason.
fn table(world: &World, user: &User, requests: &[&str]) -> String {
    let authorizer = Authorizer::new();
    let rows = requests.iter().map(|text| {
        let decision = authorizer.authorize(world, user, &request(text));
        let verdict = if decision.allowed { "allow" } else { "deny " };
        format!("{verdict} {text}   {}", decision.reason)
    });
    rows.collect::<Vec<_>>().join("\n")
}

#[test]
fn rules_match() {
    let check = |rule: Value, text: &str, want: bool| {
        let rule = Rule::from_value(&rule);
        assert_eq!(rule.allows(&request(text)), want, "{rule} {text}");
    };
    let pods = json!({"verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods", "pods/log", "*/scale"]});
    for (text, want) in [
        ("get pods a/b", true),
        ("list pods a/", true),
        ("delete pods a/b", false),
        ("get pods.apps a/b", false),
        ("get pods/log a/b", true),
        ("get pods/exec a/b", false),
        ("get services a/b", false),
        ("get services/scale a/b", true),
        ("get scale a/b", false),
        ("get /pods", false),
    ] {
        check(pods.clone(), text, want);
    }
    // Audiences of tokens are asked for as resources, and are URLs.
    let audience = Attributes {
        verb: "request".into(),
        resource: "https://vault.example.com/a".into(),
        ..Attributes::default()
    };
    for (resource, want) in [
        ("https://vault.example.com/a", true),
        ("*", true),
        ("https:", false),
        ("*//vault.example.com/a", false),
        ("https://vault.example.com", false),
    ] {
        let rule = json!({"verbs": ["request"], "apiGroups": [""], "resources": [resource]});
        assert_eq!(
            Rule::from_value(&rule).allows(&audience),
            want,
            "{resource}"
        );
    }
    let named =
        json!({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "resourceNames": ["web"]});
    for (text, want) in [
        ("get pods a/web", true),
        ("get pods/exec a/web", true),
        ("get pods a/db", false),
        ("list pods a/", false),
        ("create deployments.apps a/", false),
        ("get /healthz", false),
    ] {
        check(named.clone(), text, want);
    }
    let urls = json!({"verbs": ["get"], "nonResourceURLs": ["/healthz", "/apis/*"]});
    for (text, want) in [
        ("get /healthz", true),
        ("get /healthz/ping", false),
        ("get /apis/apps/v1", true),
        ("get /apis/", true),
        ("get /apis", false),
        ("post /apis/x", false),
        ("get healthz", false),
    ] {
        check(urls.clone(), text, want);
    }
}

#[test]
fn bindings_reach_where_they_are() {
    let mut world = World::bootstrapped();
    world
        .role(
            "dev",
            "reader",
            json!([{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}]),
        )
        .bind(
            "dev",
            "Role/reader",
            json!([{"kind": "User", "name": "jane"}]),
        )
        .bind(
            "qa",
            "ClusterRole/view",
            json!([{"kind": "Group", "name": "testers"}]),
        )
        .bind(
            "prod",
            "Role/absent",
            json!([{"kind": "User", "name": "jane"}]),
        )
        .bind(
            "",
            "ClusterRole/system:monitoring",
            json!([{"kind": "ServiceAccount", "namespace": "obs", "name": "prom"}]),
        );
    let requests = &[
        "get pods dev/web",
        "get pods qa/web",
        "get secrets qa/key",
        "get pods prod/web",
        "list pods /",
        "get nodes /n",
        "get /version",
        "get /metrics",
    ];
    expect![[r#"
        allow get pods dev/web   RBAC: allowed by RoleBinding "reader-binding/dev" of Role "reader" to User "jane"
        allow get pods qa/web   RBAC: allowed by RoleBinding "view-binding/qa" of ClusterRole "view" to Group "testers"
        deny  get secrets qa/key   
        deny  get pods prod/web   RBAC: role.rbac.authorization.k8s.io "absent" not found
        deny  list pods /   
        deny  get nodes /n   
        allow get /version   RBAC: allowed by ClusterRoleBinding "system:discovery" of ClusterRole "system:discovery" to Group "system:authenticated"
        deny  get /metrics   "#]].assert_eq(&table(&world, &user("jane", &["testers"]), requests));
    expect![[r#"
        deny  get pods dev/web   
        deny  get pods qa/web   
        deny  get secrets qa/key   
        deny  get pods prod/web   
        deny  list pods /   
        deny  get nodes /n   
        allow get /version   RBAC: allowed by ClusterRoleBinding "system:discovery" of ClusterRole "system:discovery" to Group "system:authenticated"
        allow get /metrics   RBAC: allowed by ClusterRoleBinding "system:monitoring-binding" of ClusterRole "system:monitoring" to ServiceAccount "prom/obs""#]].assert_eq(&table(
        &world,
        &User::service_account("obs", "prom", "1"),
        requests,
    ));
    expect![[r#"
        deny  get pods dev/web   
        deny  get pods qa/web   
        deny  get secrets qa/key   
        deny  get pods prod/web   
        deny  list pods /   
        deny  get nodes /n   
        allow get /version   RBAC: allowed by ClusterRoleBinding "system:public-info-viewer" of ClusterRole "system:public-info-viewer" to Group "system:unauthenticated"
        deny  get /metrics   "#]].assert_eq(&table(&world, &User::anonymous(), requests));
    expect!["allow delete nodes /n   "].assert_eq(&table(
        &World::default(),
        &user("root", &["system:masters"]),
        &["delete nodes /n"],
    ));
}

#[test]
fn a_change_is_seen_at_once() {
    let mut world = World::default();
    let authorizer = Authorizer::new();
    let jane = user("jane", &[]);
    let ask = |world: &World| {
        authorizer
            .authorize(world, &jane, &request("get pods dev/web"))
            .allowed
    };
    let rules = |verb: &str| json!([{"verbs": [verb], "apiGroups": [""], "resources": ["pods"]}]);
    assert!(!ask(&world));
    world.bind(
        "dev",
        "Role/reader",
        json!([{"kind": "User", "name": "jane"}]),
    );
    assert!(!ask(&world));
    world.role("dev", "reader", rules("get"));
    assert!(ask(&world));
    world.role("dev", "reader", rules("list"));
    assert!(!ask(&world));
    world.role("dev", "reader", rules("get"));
    assert!(ask(&world));
    world.delete(
        "rolebindings.rbac.authorization.k8s.io",
        "dev",
        "reader-binding",
    );
    assert!(!ask(&world));
}

#[test]
fn the_default_roles_do_what_people_expect() {
    let mut world = World::bootstrapped();
    for role in ["view", "edit", "admin"] {
        world.bind(
            "dev",
            &format!("ClusterRole/{role}"),
            json!([{"kind": "User", "name": role}]),
        );
    }
    let mut out = String::new();
    for text in [
        "get pods dev/x",
        "get secrets dev/x",
        "create pods/exec dev/x",
        "create deployments.apps dev/",
        "create serviceaccounts/token dev/x",
        "impersonate serviceaccounts dev/x",
        "create leases.coordination.k8s.io dev/",
        "create roles.rbac.authorization.k8s.io dev/",
        "create localsubjectaccessreviews.authorization.k8s.io dev/",
        "update resourcequotas dev/x",
        "get nodes /x",
        "get pods other/x",
        "create selfsubjectaccessreviews.authorization.k8s.io /",
        "list events.events.k8s.io dev/",
        "create events.events.k8s.io dev/",
    ] {
        let authorizer = Authorizer::new();
        let verdicts = ["view", "edit", "admin"].map(|who| {
            let decision = authorizer.authorize(&world, &user(who, &[]), &request(text));
            if decision.allowed { who } else { "-" }
        });
        out += &format!("{} {text}\n", verdicts.join(" "));
    }
    expect![[r#"
        view edit admin get pods dev/x
        - edit admin get secrets dev/x
        - edit admin create pods/exec dev/x
        - edit admin create deployments.apps dev/
        - edit admin create serviceaccounts/token dev/x
        - edit admin impersonate serviceaccounts dev/x
        - edit admin create leases.coordination.k8s.io dev/
        - - admin create roles.rbac.authorization.k8s.io dev/
        - - admin create localsubjectaccessreviews.authorization.k8s.io dev/
        - - - update resourcequotas dev/x
        - - - get nodes /x
        - - - get pods other/x
        view edit admin create selfsubjectaccessreviews.authorization.k8s.io /
        view edit admin list events.events.k8s.io dev/
        - edit admin create events.events.k8s.io dev/
    "#]]
    .assert_eq(&out);
}

#[test]
fn components_have_the_rules_of_their_roles() {
    let world = World::bootstrapped();
    let table_of = |name: &str, groups: &[&str], requests: &[&str]| {
        let mut lines = table(&world, &user(name, groups), requests);
        // Which binding it is does not matter here.
        lines = lines
            .lines()
            .map(|line| line.split("   ").next().unwrap().to_owned() + "\n")
            .collect();
        format!("{name}\n{lines}")
    };
    let leases = &[
        "update leases.coordination.k8s.io kube-system/any",
        "create leasecandidates.coordination.k8s.io kube-system/",
        "get configmaps kube-system/kube-scheduler",
        "create resourceclaims.resource.k8s.io dev/",
        "patch resourceclaims/binding.resource.k8s.io dev/x",
    ];
    let mut out = table_of("system:kube-scheduler", &[], leases);
    out += &table_of("system:kube-controller-manager", &[], &leases[..3]);
    out += &table_of(
        "system:serviceaccount:kube-system:leader-election-controller",
        &[],
        &leases[..2],
    );
    out += &table_of(
        "probe",
        &["system:monitoring"],
        &[
            "get /metrics/slis",
            "get /flagz",
            "get /statusz",
            "get nodes/metrics /w1",
            "get nodes /w1",
        ],
    );
    out += &table_of(
        "system:serviceaccount:dev:x",
        &["system:serviceaccounts"],
        &[
            "get /.well-known/openid-configuration/",
            "get /openid/v1/jwks/",
        ],
    );
    out += &table_of(
        "system:serviceaccount:kube-system:pvc-protection-controller",
        &[],
        &[
            "update persistentvolumeclaims/status dev/x",
            "get services dev/x",
        ],
    );
    expect![[r#"
        system:kube-scheduler
        allow update leases.coordination.k8s.io kube-system/any
        allow create leasecandidates.coordination.k8s.io kube-system/
        deny  get configmaps kube-system/kube-scheduler
        allow create resourceclaims.resource.k8s.io dev/
        allow patch resourceclaims/binding.resource.k8s.io dev/x
        system:kube-controller-manager
        allow update leases.coordination.k8s.io kube-system/any
        allow create leasecandidates.coordination.k8s.io kube-system/
        allow get configmaps kube-system/kube-scheduler
        system:serviceaccount:kube-system:leader-election-controller
        allow update leases.coordination.k8s.io kube-system/any
        allow create leasecandidates.coordination.k8s.io kube-system/
        probe
        allow get /metrics/slis
        allow get /flagz
        allow get /statusz
        allow get nodes/metrics /w1
        deny  get nodes /w1
        system:serviceaccount:dev:x
        allow get /.well-known/openid-configuration/
        allow get /openid/v1/jwks/
        system:serviceaccount:kube-system:pvc-protection-controller
        allow update persistentvolumeclaims/status dev/x
        deny  get services dev/x
    "#]]
    .assert_eq(&out);
}

/// A pod of `node` that uses one of everything.
fn pod(name: &str, node: &str) -> Value {
    json!({
        "metadata": {"namespace": "dev", "name": name},
        "spec": {
            "nodeName": node, "serviceAccountName": format!("{name}-account"),
            "imagePullSecrets": [{"name": format!("{name}-pull")}],
            "containers": [{"envFrom": [{"secretRef": {"name": format!("{name}-env")}}],
                "env": [{"valueFrom": {"configMapKeyRef": {"name": format!("{name}-key")}}}]}],
            "volumes": [
                {"name": "a", "secret": {"secretName": format!("{name}-secret")}},
                {"name": "b", "projected": {"sources": [{"configMap": {"name": format!("{name}-map")}}]}},
                {"name": "c", "persistentVolumeClaim": {"claimName": format!("{name}-claim")}},
                {"name": "d", "ephemeral": {}},
            ],
            "resourceClaims": [
                {"name": "e", "resourceClaimName": format!("{name}-device")},
                {"name": "f", "resourceClaimTemplateName": "t"},
            ],
        },
        "status": {
            "resourceClaimStatuses": [{"name": "f", "resourceClaimName": format!("{name}-made")}],
            "extendedResourceClaimStatus": {"resourceClaimName": format!("{name}-extended")},
        },
    })
}

/// Pods of two nodes, with volumes.
fn with_pods() -> World {
    let mut world = World::bootstrapped();
    let volume = |name: &str, claim: &str| {
        json!({"metadata": {"name": name}, "spec": {
            "claimRef": {"namespace": "dev", "name": claim},
            "csi": {"nodeStageSecretRef": {"namespace": "storage", "name": format!("{name}-stage")}}}})
    };
    let mut mirror = pod("mirror", "w1");
    mirror["metadata"]["annotations"] = json!({"kubernetes.io/config.mirror": "x"});
    world
        .put("pods", pod("mine", "w1"))
        .put("pods", pod("other", "w2"))
        .put("pods", mirror)
        .put("persistentvolumes", volume("v1", "mine-claim"))
        .put("persistentvolumes", volume("v2", "other-claim"))
        .put(
            "volumeattachments.storage.k8s.io",
            json!({"metadata": {"name": "at1"}, "spec": {"nodeName": "w1"}}),
        )
        .put(
            "volumeattachments.storage.k8s.io",
            json!({"metadata": {"name": "at2"}, "spec": {"nodeName": "w2"}}),
        );
    for (slice, node) in [("s1", "w1"), ("s2", "w2")] {
        world.put(
            "resourceslices.resource.k8s.io",
            json!({"metadata": {"name": slice}, "spec": {"nodeName": node}}),
        );
    }
    world
}

#[test]
fn kubelets_reach_what_their_pods_use_and_nothing_else() {
    let mut world = with_pods();
    let node = user("system:node:w1", &["system:nodes"]);
    let requests = &[
        "get secrets dev/mine-pull",
        "watch secrets dev/mine-env",
        "list secrets dev/mine-secret",
        "get configmaps dev/mine-key",
        "get configmaps dev/mine-map",
        "get persistentvolumeclaims dev/mine-claim",
        "get persistentvolumeclaims dev/mine-d",
        "get persistentvolumes /v1",
        "get secrets storage/v1-stage",
        "get volumeattachments.storage.k8s.io /at1",
        "create serviceaccounts/token dev/mine-account",
        "get secrets dev/other-pull",
        "get secrets ops/mine-pull",
        "get secrets dev/mirror-secret",
        "list secrets dev/",
        "list secrets /",
        "get configmaps dev/other-map",
        "get persistentvolumeclaims dev/other-claim",
        "get persistentvolumes /v2",
        "get secrets storage/v2-stage",
        "get volumeattachments.storage.k8s.io /at2",
        "create serviceaccounts/token dev/other-account",
    ];
    expect![[r#"
        allow get secrets dev/mine-pull   
        allow watch secrets dev/mine-env   
        allow list secrets dev/mine-secret   
        allow get configmaps dev/mine-key   
        allow get configmaps dev/mine-map   
        allow get persistentvolumeclaims dev/mine-claim   
        allow get persistentvolumeclaims dev/mine-d   
        allow get persistentvolumes /v1   
        allow get secrets storage/v1-stage   
        allow get volumeattachments.storage.k8s.io /at1   
        allow create serviceaccounts/token dev/mine-account   
        deny  get secrets dev/other-pull   no relationship found between node 'w1' and this object
        deny  get secrets ops/mine-pull   no relationship found between node 'w1' and this object
        deny  get secrets dev/mirror-secret   no relationship found between node 'w1' and this object
        deny  list secrets dev/   No Object name found
        deny  list secrets /   can only read namespaced object of this type
        deny  get configmaps dev/other-map   no relationship found between node 'w1' and this object
        deny  get persistentvolumeclaims dev/other-claim   no relationship found between node 'w1' and this object
        deny  get persistentvolumes /v2   no relationship found between node 'w1' and this object
        deny  get secrets storage/v2-stage   no relationship found between node 'w1' and this object
        deny  get volumeattachments.storage.k8s.io /at2   no relationship found between node 'w1' and this object
        deny  create serviceaccounts/token dev/other-account   no relationship found between node 'w1' and this object"#]].assert_eq(&table(&world, &node, requests));
    // What is known follows the pods.
    let authorizer = Authorizer::new();
    let may = |world: &World| {
        let request = request("get secrets dev/mine-pull");
        authorizer.authorize(world, &node, &request).allowed
    };
    assert!(may(&world));
    world.delete("pods", "dev", "mine");
    assert!(!may(&world));
    world.put("pods", pod("mine", "w2"));
    assert!(!may(&world));
    world.put("pods", pod("mine", "w1"));
    assert!(may(&world));
}

#[test]
fn refusals_read_like_kubernetes() {
    let jane = user("jane", &[]);
    let check = |text: &str, reason: &str, want: Expect| {
        let status = Authorizer::forbidden(&jane, &request(text), reason);
        want.assert_eq(&format!(
            "{} {}",
            status.message,
            status.details.unwrap_or_default()
        ));
        assert_eq!((status.code, &*status.reason), (403, "Forbidden"));
    };
    check(
        "list pods dev/",
        "",
        expect![[
            r#"pods is forbidden: User "jane" cannot list resource "pods" in API group "" in the namespace "dev" {"kind":"pods"}"#
        ]],
    );
    check(
        "get deployments.apps dev/web",
        "",
        expect![[
            r#"deployments.apps "web" is forbidden: User "jane" cannot get resource "deployments" in API group "apps" in the namespace "dev" {"group":"apps","kind":"deployments","name":"web"}"#
        ]],
    );
    check(
        "create pods/exec dev/web",
        "",
        expect![[
            r#"pods "web" is forbidden: User "jane" cannot create resource "pods/exec" in API group "" in the namespace "dev" {"kind":"pods","name":"web"}"#
        ]],
    );
    check(
        "list nodes /",
        "",
        expect![[
            r#"nodes is forbidden: User "jane" cannot list resource "nodes" in API group "" at the cluster scope {"kind":"nodes"}"#
        ]],
    );
    check(
        "get /metrics",
        "",
        expect![[r#"forbidden: User "jane" cannot get path "/metrics" {}"#]],
    );
    check(
        "get /<b>&",
        "RBAC: role \"<x>\" not found",
        expect![[
            r#"forbidden: User "jane" cannot get path "/&lt;b&gt;&amp;": RBAC: role "<x>" not found {}"#
        ]],
    );
}

#[test]
fn the_bootstrap_policy_is_whole() {
    let objects = super::super::bootstrap_objects();
    let count = |resource: &str| {
        let resource = format!("{resource}.rbac.authorization.k8s.io");
        objects
            .iter()
            .filter(|(key, _)| *key.resource == *resource)
            .count()
    };
    expect!["69 cluster roles, 50 cluster role bindings, 7 roles, 7 role bindings, 15 kubeadm"]
        .assert_eq(&format!(
            "{} cluster roles, {} cluster role bindings, {} roles, {} role bindings, {} kubeadm",
            count("clusterroles"),
            count("clusterrolebindings"),
            count("roles"),
            count("rolebindings"),
            kubeadm_objects().len(),
        ));
    let keys: std::collections::BTreeSet<_> = objects.iter().map(|(key, _)| key).collect();
    assert_eq!(keys.len(), objects.len(), "a name is used twice");
    for (key, value) in &objects {
        assert_eq!(value["metadata"]["name"], *key.name);
        assert_eq!(
            value["metadata"]["labels"]["kubernetes.io/bootstrapping"],
            "rbac-defaults"
        );
        for rule in Rule::list_of(value) {
            assert!(!rule.verbs.is_empty(), "{key:?} {rule}");
            let is_path = rule.resources.is_empty() && rule.api_groups.is_empty();
            assert_ne!(is_path, rule.urls.is_empty(), "{key:?} {rule}");
        }
    }
    // Every binding leads to a role.
    let world = World::bootstrapped();
    for (_, value) in objects
        .iter()
        .filter(|(_, value)| value["roleRef"].is_object())
    {
        let namespace = value["metadata"]["namespace"].as_str().unwrap_or_default();
        let (resource, namespace) = match value["roleRef"]["kind"].as_str() {
            Some("Role") => ("roles.rbac.authorization.k8s.io", namespace),
            _ => ("clusterroles.rbac.authorization.k8s.io", ""),
        };
        let role = value["roleRef"]["name"].as_str().unwrap();
        assert!(world.get(resource, namespace, role).is_some(), "{role}");
    }
    let edit = world
        .get("clusterroles.rbac.authorization.k8s.io", "", "edit")
        .unwrap()
        .value();
    expect![[r#"27 rules, {"kubernetes.io/bootstrapping":"rbac-defaults","rbac.authorization.k8s.io/aggregate-to-admin":"true"} {"clusterRoleSelectors":[{"matchLabels":{"rbac.authorization.k8s.io/aggregate-to-edit":"true"}}]}"#]].assert_eq(&format!(
        "{} rules, {} {}",
        edit["rules"].as_array().unwrap().len(),
        edit["metadata"]["labels"],
        edit["aggregationRule"]
    ));
}

#[test]
fn kubeadm_lets_nodes_join() {
    let mut world = World::bootstrapped();
    for (key, value) in kubeadm_objects() {
        world.put(&key.resource, value);
    }
    let joining = user(
        "system:bootstrap:abcdef",
        &[
            "system:bootstrappers",
            "system:bootstrappers:kubeadm:default-node-token",
        ],
    );
    expect![[r#"
        allow create certificatesigningrequests.certificates.k8s.io /   RBAC: allowed by ClusterRoleBinding "kubeadm:kubelet-bootstrap" of ClusterRole "system:node-bootstrapper" to Group "system:bootstrappers:kubeadm:default-node-token"
        allow create certificatesigningrequests/nodeclient.certificates.k8s.io /   RBAC: allowed by ClusterRoleBinding "kubeadm:node-autoapprove-bootstrap" of ClusterRole "system:certificates.k8s.io:certificatesigningrequests:nodeclient" to Group "system:bootstrappers:kubeadm:default-node-token"
        allow get configmaps kube-system/kubeadm-config   RBAC: allowed by RoleBinding "kubeadm:nodes-kubeadm-config/kube-system" of Role "kubeadm:nodes-kubeadm-config" to Group "system:bootstrappers:kubeadm:default-node-token"
        deny  get configmaps kube-system/other   
        allow get nodes /w1   RBAC: allowed by ClusterRoleBinding "kubeadm:get-nodes" of ClusterRole "kubeadm:get-nodes" to Group "system:bootstrappers:kubeadm:default-node-token"
        deny  list nodes /   "#]].assert_eq(&table(
        &world,
        &joining,
        &[
            "create certificatesigningrequests.certificates.k8s.io /",
            "create certificatesigningrequests/nodeclient.certificates.k8s.io /",
            "get configmaps kube-system/kubeadm-config",
            "get configmaps kube-system/other",
            "get nodes /w1",
            "list nodes /",
        ],
    ));
    expect![[r#"
        allow get configmaps kube-public/cluster-info   RBAC: allowed by RoleBinding "kubeadm:bootstrap-signer-clusterinfo/kube-public" of Role "kubeadm:bootstrap-signer-clusterinfo" to User "system:anonymous"
        deny  get configmaps kube-public/other   "#]].assert_eq(&table(
        &world,
        &User::anonymous(),
        &[
            "get configmaps kube-public/cluster-info",
            "get configmaps kube-public/other",
        ],
    ));
}

/// Whether somebody who holds some rules may grant others.
fn check_grant(held: &Value, wanted: &Value, want: Expect) {
    let rules = |value: &Value| -> Vec<Rule> {
        value
            .as_array()
            .unwrap()
            .iter()
            .map(Rule::from_value)
            .collect()
    };
    let why = escalation(&user("jane", &["devs"]), &rules(held), &rules(wanted), &[]);
    want.assert_eq(why.as_deref().unwrap_or("may"));
}

#[test]
fn nobody_grants_more_than_they_have() {
    let pods = |verbs: &[&str]| json!({"verbs": verbs, "apiGroups": [""], "resources": ["pods"]});
    check_grant(
        &json!([pods(&["get", "list"])]),
        &json!([pods(&["get"])]),
        expect!["may"],
    );
    check_grant(
        &json!([pods(&["get"])]),
        &json!([pods(&["get", "list", "watch"])]),
        expect![[r#"
            user "jane" (groups=["devs" "system:authenticated"]) is attempting to grant RBAC permissions not currently held:
            {APIGroups:[""], Resources:["pods"], Verbs:["list" "watch"]}"#]],
    );
    // Two rules together cover one.
    check_grant(
        &json!([pods(&["get"]), pods(&["list"])]),
        &json!([pods(&["get", "list"])]),
        expect!["may"],
    );
    // A star is only covered by a star.
    check_grant(
        &json!([pods(&[
            "get",
            "list",
            "watch",
            "create",
            "update",
            "patch",
            "delete",
            "deletecollection"
        ])]),
        &json!([pods(&["*"])]),
        expect![[r#"
            user "jane" (groups=["devs" "system:authenticated"]) is attempting to grant RBAC permissions not currently held:
            {APIGroups:[""], Resources:["pods"], Verbs:["*"]}"#]],
    );
    check_grant(
        &json!([{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}]),
        &json!([{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}, {"verbs": ["get"], "nonResourceURLs": ["/metrics"]}]),
        expect![[r#"
            user "jane" (groups=["devs" "system:authenticated"]) is attempting to grant RBAC permissions not currently held:
            {NonResourceURLs:["/metrics"], Verbs:["get"]}"#]],
    );
}

#[test]
fn names_and_subresources_are_granted_as_they_are_held() {
    let named = |names: &[&str]| json!({"verbs": ["get"], "apiGroups": [""], "resources": ["secrets"], "resourceNames": names});
    check_grant(
        &json!([named(&["a"])]),
        &json!([named(&["a", "b"])]),
        expect![[r#"
            user "jane" (groups=["devs" "system:authenticated"]) is attempting to grant RBAC permissions not currently held:
            {APIGroups:[""], Resources:["secrets"], ResourceNames:["b"], Verbs:["get"]}"#]],
    );
    check_grant(
        &json!([named(&["a"])]),
        &json!([named(&[])]),
        expect![[r#"
        user "jane" (groups=["devs" "system:authenticated"]) is attempting to grant RBAC permissions not currently held:
        {APIGroups:[""], Resources:["secrets"], Verbs:["get"]}"#]],
    );
    check_grant(
        &json!([{"verbs": ["get"], "apiGroups": ["apps"], "resources": ["*/scale"]}]),
        &json!([{"verbs": ["get"], "apiGroups": ["apps"], "resources": ["deployments/scale", "deployments"]}]),
        expect![[r#"
            user "jane" (groups=["devs" "system:authenticated"]) is attempting to grant RBAC permissions not currently held:
            {APIGroups:["apps"], Resources:["deployments"], Verbs:["get"]}"#]],
    );
    let many: Vec<String> = (0..400).map(|n| n.to_string()).collect();
    check_grant(
        &json!([]),
        &json!([{"verbs": many, "apiGroups": many, "resources": many}]),
        expect!["the rules stand for more than 20000 permissions: use fewer or wider rules"],
    );
}
