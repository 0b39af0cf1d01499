use expect_test::expect;
use serde_json::{Value, json};

use super::{Write, world};
use crate::auth::tests::World;

const ROLE: &str = "roles.rbac.authorization.k8s.io dev/r";
const CLUSTER_ROLE: &str = "clusterroles.rbac.authorization.k8s.io /r";
const BINDING: &str = "rolebindings.rbac.authorization.k8s.io dev/b";
const CLUSTER_BINDING: &str = "clusterrolebindings.rbac.authorization.k8s.io /b";

/// Jane is admin of dev.
fn with_admin() -> World {
    let mut world = world();
    world.bind(
        "dev",
        "ClusterRole/admin",
        json!([{"kind": "User", "name": "jane"}]),
    );
    world
}

fn role(rules: Value) -> Value {
    json!({"kind": "Role", "metadata": {"name": "r"}, "rules": rules})
}

fn binding(kind: &str, name: &str, subject: &str) -> Value {
    json!({
        "kind": "RoleBinding", "metadata": {"name": "b"}, "roleRef": {"kind": kind, "name": name},
        "subjects": [{"kind": "User", "name": subject}],
    })
}

fn pods(verbs: &[&str]) -> Value {
    json!([{"verbs": verbs, "apiGroups": [""], "resources": ["pods"]}])
}

fn nodes() -> Value {
    json!([{"verbs": ["get"], "apiGroups": [""], "resources": ["nodes"]}])
}

#[tokio::test]
async fn roles_hold_what_their_writer_holds() {
    let mut world = with_admin();
    let create =
        |what: &'static str, rules: Value| Write::create(what, role(rules)).by("jane", &[]);
    create(ROLE, pods(&["get", "create"]))
        .check(&world, expect!["allowed"])
        .await;
    create(ROLE, nodes()).check(&world, expect![[r#"
        403 roles.rbac.authorization.k8s.io "r" is forbidden: user "jane" (groups=["system:authenticated"]) is attempting to grant RBAC permissions not currently held:
        {APIGroups:[""], Resources:["nodes"], Verbs:["get"]}"#]]).await;
    create(ROLE, pods(&["*"]))
        .check(&world, expect![[r#"
            403 roles.rbac.authorization.k8s.io "r" is forbidden: user "jane" (groups=["system:authenticated"]) is attempting to grant RBAC permissions not currently held:
            {APIGroups:[""], Resources:["pods"], Verbs:["*"]}"#]])
        .await;
    // An admin of one namespace is nobody outside.
    create(CLUSTER_ROLE, pods(&["get"]))
        .check(&world, expect![[r#"
            403 clusterroles.rbac.authorization.k8s.io "r" is forbidden: user "jane" (groups=["system:authenticated"]) is attempting to grant RBAC permissions not currently held:
            {APIGroups:[""], Resources:["pods"], Verbs:["get"]}"#]])
        .await;
    // What was there before may stay for the garbage collector, but for nobody else.
    let mut owned = role(nodes());
    owned["metadata"]["ownerReferences"] = json!([{"name": "o"}]);
    owned["metadata"]["finalizers"] = json!(["f"]);
    Write::update(ROLE, role(nodes()), owned)
        .by("jane", &[])
        .check(&world, expect!["allowed"])
        .await;
    let mut labelled = role(nodes());
    labelled["metadata"]["labels"] = json!({"a": "b"});
    Write::update(ROLE, role(nodes()), labelled)
        .by("jane", &[])
        .check(&world, expect![[r#"
            403 roles.rbac.authorization.k8s.io "r" is forbidden: user "jane" (groups=["system:authenticated"]) is attempting to grant RBAC permissions not currently held:
            {APIGroups:[""], Resources:["nodes"], Verbs:["get"]}"#]])
        .await;
    Write::update(ROLE, role(pods(&["get"])), role(nodes()))
        .by("jane", &[])
        .check(&world, expect![[r#"
            403 roles.rbac.authorization.k8s.io "r" is forbidden: user "jane" (groups=["system:authenticated"]) is attempting to grant RBAC permissions not currently held:
            {APIGroups:[""], Resources:["nodes"], Verbs:["get"]}"#]])
        .await;
    world
        .role("", "escalator", json!([{
            "verbs": ["escalate"], "apiGroups": ["rbac.authorization.k8s.io"], "resources": ["roles"],
        }]))
        .bind("dev", "ClusterRole/escalator", json!([{"kind": "User", "name": "jane"}]));
    create(ROLE, nodes())
        .check(&world, expect!["allowed"])
        .await;
}

#[tokio::test]
async fn who_may_escalate_one_role_names_it_in_the_path() {
    let mut world = with_admin();
    world
        .role("dev", "escalator", json!([{
            "verbs": ["escalate"], "apiGroups": ["rbac.authorization.k8s.io"], "resources": ["roles"],
            "resourceNames": ["r"],
        }]))
        .bind("dev", "Role/escalator", json!([{"kind": "User", "name": "jane"}]));
    Write::update(ROLE, role(pods(&["get"])), role(nodes()))
        .by("jane", &[])
        .check(&world, expect!["allowed"])
        .await;
    Write::create(ROLE, role(nodes()))
        .by("jane", &[])
        .check(&world, expect![[r#"
            403 roles.rbac.authorization.k8s.io "r" is forbidden: user "jane" (groups=["system:authenticated"]) is attempting to grant RBAC permissions not currently held:
            {APIGroups:[""], Resources:["nodes"], Verbs:["get"]}"#]])
        .await;
}

#[tokio::test]
async fn only_who_has_everything_makes_an_aggregated_role() {
    let mut world = world();
    world.bind(
        "",
        "ClusterRole/cluster-admin",
        json!([{"kind": "User", "name": "root"}]),
    );
    let selectors = |selectors: Value| json!({"metadata": {"name": "r"}, "aggregationRule": {"clusterRoleSelectors": selectors}});
    let aggregated = || selectors(json!([{"matchLabels": {"a": "b"}}]));
    let plain = || json!({"metadata": {"name": "r"}});
    Write::create(CLUSTER_ROLE, aggregated())
        .by("jane", &[])
        .check(&world, expect![[r#"403 clusterroles.rbac.authorization.k8s.io "r" is forbidden: must have cluster-admin privileges to use the aggregationRule"#]])
        .await;
    Write::update(CLUSTER_ROLE, aggregated(), plain())
        .by("jane", &[])
        .check(&world, expect![[r#"403 clusterroles.rbac.authorization.k8s.io "r" is forbidden: must have cluster-admin privileges to use the aggregationRule"#]])
        .await;
    Write::create(CLUSTER_ROLE, selectors(json!([])))
        .by("jane", &[])
        .check(&world, expect!["allowed"])
        .await;
    Write::create(CLUSTER_ROLE, aggregated())
        .by("root", &[])
        .check(&world, expect!["allowed"])
        .await;
}

#[tokio::test]
async fn bindings_give_what_their_writer_holds() {
    let mut world = with_admin();
    world
        .role("dev", "local", pods(&["get"]))
        .role("dev", "wide", nodes());
    let create =
        |kind: &str, name: &str| Write::create(BINDING, binding(kind, name, "bob")).by("jane", &[]);
    create("Role", "local")
        .check(&world, expect!["allowed"])
        .await;
    create("ClusterRole", "view")
        .check(&world, expect!["allowed"])
        .await;
    create("Role", "wide").check(&world, expect![[r#"
        403 rolebindings.rbac.authorization.k8s.io "b" is forbidden: user "jane" (groups=["system:authenticated"]) is attempting to grant RBAC permissions not currently held:
        {APIGroups:[""], Resources:["nodes"], Verbs:["get"]}"#]]).await;
    create("ClusterRole", "cluster-admin")
        .check(&world, expect![[r#"
            403 rolebindings.rbac.authorization.k8s.io "b" is forbidden: user "jane" (groups=["system:authenticated"]) is attempting to grant RBAC permissions not currently held:
            {APIGroups:["*"], Resources:["*"], Verbs:["*"]}
            {NonResourceURLs:["*"], Verbs:["*"]}"#]])
        .await;
    create("Role", "absent")
        .check(
            &world,
            expect![[r#"404 roles.rbac.authorization.k8s.io "absent" not found"#]],
        )
        .await;
    Write::create(BINDING, binding("Role", "absent", "bob"))
        .check(&world, expect!["allowed"])
        .await;
}

#[tokio::test]
async fn the_verb_bind_gives_one_role_away() {
    let mut world = with_admin();
    let create =
        |kind: &str, name: &str| Write::create(BINDING, binding(kind, name, "bob")).by("jane", &[]);
    world
        .role("", "binder", json!([{
            "verbs": ["bind"], "apiGroups": ["rbac.authorization.k8s.io"], "resources": ["clusterroles"],
            "resourceNames": ["cluster-admin"],
        }]))
        .bind("dev", "ClusterRole/binder", json!([{"kind": "User", "name": "jane"}]));
    create("ClusterRole", "cluster-admin")
        .check(&world, expect!["allowed"])
        .await;
    let other = create("ClusterRole", "system:node-bootstrapper");
    other.check(&world, expect![[r#"
        403 rolebindings.rbac.authorization.k8s.io "b" is forbidden: user "jane" (groups=["system:authenticated"]) is attempting to grant RBAC permissions not currently held:
        {APIGroups:["certificates.k8s.io"], Resources:["certificatesigningrequests"], Verbs:["create" "get" "list" "watch"]}"#]]).await;
    // In a namespace one may give what one has there, but not everywhere.
    let everywhere = Write::create(
        CLUSTER_BINDING,
        binding("ClusterRole", "system:kube-dns", "bob"),
    );
    everywhere
        .by("jane", &[])
        .check(&world, expect![[r#"
            403 clusterrolebindings.rbac.authorization.k8s.io "b" is forbidden: user "jane" (groups=["system:authenticated"]) is attempting to grant RBAC permissions not currently held:
            {APIGroups:[""], Resources:["endpoints"], Verbs:["list" "watch"]}
            {APIGroups:[""], Resources:["services"], Verbs:["list" "watch"]}"#]])
        .await;
}

#[tokio::test]
async fn a_binding_that_changes_is_given_again() {
    let world = with_admin();
    let old = || binding("ClusterRole", "cluster-admin", "bob");
    let mut labelled = old();
    labelled["metadata"]["labels"] = json!({"a": "b"});
    Write::update(BINDING, old(), labelled)
        .by("jane", &[])
        .check(&world, expect![[r#"
            403 rolebindings.rbac.authorization.k8s.io "b" is forbidden: user "jane" (groups=["system:authenticated"]) is attempting to grant RBAC permissions not currently held:
            {APIGroups:["*"], Resources:["*"], Verbs:["*"]}
            {NonResourceURLs:["*"], Verbs:["*"]}"#]])
        .await;
    let mut released = old();
    released["metadata"]["finalizers"] = json!([]);
    Write::update(BINDING, old(), released)
        .by("jane", &[])
        .check(&world, expect!["allowed"])
        .await;
}
