//! What selectors and the finer verbs of impersonation mean to authorization, as clients see it.

use apiserver::auth::User;
use expect_test::expect;
use http::Request;
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::hook::with;
use crate::world::World;

const PODS: &str = "/api/v1/namespaces/default/pods";
const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";
const AUTHORIZATION: &str = "/apis/authorization.k8s.io/v1";

fn kubelet(world: &World, node: &str) -> World {
    let name = format!("system:node:{node}");
    world.seen_by(User::authenticated(name, ["system:nodes".to_owned()]))
}

/// A world with a pod on `w1` and one on `w2`.
async fn world() -> World {
    let world = World::new().await;
    let account =
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}});
    world
        .post("/api/v1/namespaces/default/serviceaccounts", account)
        .await
        .ok();
    for (name, node) in [("a", "w1"), ("b", "w2")] {
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
            "spec": {"nodeName": node, "containers": [{"name": "c", "image": "i"}]}});
        world.post(PODS, pod).await.ok();
    }
    world
}

/// Gives a user a ClusterRole everywhere.
async fn grant(world: &World, user: &str, rules: Value) {
    let name = format!("of-{user}");
    let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
        "metadata": {"name": name}, "rules": rules});
    world.post(&format!("{RBAC}/clusterroles"), role).await.ok();
    let binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
        "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}]});
    world
        .post(&format!("{RBAC}/clusterrolebindings"), binding)
        .await
        .ok();
}

#[tokio::test]
async fn a_kubelet_lists_the_pods_of_its_node() {
    let world = world().await;
    let w1 = kubelet(&world, "w1");
    let names = |list: Value| -> Vec<String> {
        let items = list["items"].as_array().unwrap().iter();
        items
            .map(|pod| pod["metadata"]["name"].as_str().unwrap().to_owned())
            .collect()
    };
    let own = "/api/v1/pods?fieldSelector=spec.nodeName%3Dw1";
    assert_eq!(names(w1.get(own).await.ok()), ["a"]);
    let refused = [
        w1.get("/api/v1/pods").await.refused(),
        w1.get("/api/v1/pods?fieldSelector=spec.nodeName%3Dw2")
            .await
            .refused(),
        w1.get("/api/v1/pods?fieldSelector=spec.nodeName%21%3Dw1")
            .await
            .refused(),
        // A selector that nobody understands selects nothing that would be allowed.
        w1.get("/api/v1/pods?fieldSelector=spec.nodeName")
            .await
            .refused(),
        w1.get(&format!("{PODS}/b")).await.refused(),
    ];
    expect![[r#"
        403 Forbidden: pods is forbidden: User "system:node:w1" cannot list resource "pods" in API group "" at the cluster scope: can only list/watch pods with spec.nodeName field selector
        403 Forbidden: pods is forbidden: User "system:node:w1" cannot list resource "pods" in API group "" at the cluster scope: can only list/watch pods with spec.nodeName field selector
        403 Forbidden: pods is forbidden: User "system:node:w1" cannot list resource "pods" in API group "" at the cluster scope: can only list/watch pods with spec.nodeName field selector
        403 Forbidden: pods is forbidden: User "system:node:w1" cannot list resource "pods" in API group "" at the cluster scope: can only list/watch pods with spec.nodeName field selector
        403 Forbidden: pods "b" is forbidden: User "system:node:w1" cannot get resource "pods" in API group "" in the namespace "default": no relationship found between node 'w1' and this object"#]].assert_eq(&refused.join("\n"));
    w1.get(&format!("{PODS}/a")).await.ok();
    // One pod is watched as it is read.
    let one = format!("{PODS}?fieldSelector=metadata.name%3Da");
    assert_eq!(names(w1.get(&one).await.ok()), ["a"]);
}

#[tokio::test]
async fn a_name_in_a_selector_names_what_is_read_but_not_what_is_deleted() {
    let world = world().await;
    let rules = json!([{"verbs": ["list", "watch", "deletecollection"], "apiGroups": [""],
        "resources": ["pods"], "resourceNames": ["a"]}]);
    grant(&world, "jane", rules).await;
    let jane = world.seen_by(User::authenticated("jane", []));
    let one = format!("{PODS}?fieldSelector=metadata.name%3Da");
    jane.get(&one).await.ok();
    assert_eq!(jane.get(PODS).await.code, 403);
    assert_eq!(jane.delete(&one).await.code, 403);
    world.get(&format!("{PODS}/a")).await.ok();
}

#[tokio::test]
async fn reviews_are_answered_with_their_selectors() {
    let world = world().await;
    let pods = json!({"verb": "list", "resource": "pods"});
    let ask = async |resource: &str, kind: &str, world: &World, spec: Value| {
        let body = json!({"apiVersion": "authorization.k8s.io/v1", "kind": kind, "spec": spec});
        let answer = world
            .post(&format!("{AUTHORIZATION}/{resource}"), body)
            .await;
        if answer.code == 201 {
            answer.ok()["status"].to_string()
        } else {
            answer.refused()
        }
    };
    let own = json!({"fieldSelector": {"requirements": [{"key": "spec.nodeName", "operator": "In", "values": ["w1"]}]}});
    let raw = json!({"fieldSelector": {"rawSelector": "spec.nodeName=w1"}, "labelSelector": {"rawSelector": "a in"}});
    let about = |more: Value| json!({"resourceAttributes": with(pods.clone(), more)});
    let of_node = |more: Value| {
        with(
            about(more),
            json!({"user": "system:node:w1", "groups": ["system:nodes"]}),
        )
    };
    const SELF: (&str, &str) = ("selfsubjectaccessreviews", "SelfSubjectAccessReview");
    const SUBJECT: (&str, &str) = ("subjectaccessreviews", "SubjectAccessReview");
    const LOCAL: (&str, &str) = (
        "namespaces/default/localsubjectaccessreviews",
        "LocalSubjectAccessReview",
    );
    let w1 = kubelet(&world, "w1");
    let local = with(
        of_node(own.clone()),
        json!({"resourceAttributes": with(with(pods.clone(), own.clone()), json!({"namespace": "default"}))}),
    );
    let rows = [
        ask(SUBJECT.0, SUBJECT.1, &world, of_node(own.clone())).await,
        ask(SUBJECT.0, SUBJECT.1, &world, of_node(raw)).await,
        ask(SUBJECT.0, SUBJECT.1, &world, of_node(json!({}))).await,
        ask(SELF.0, SELF.1, &w1, about(own)).await,
        ask(LOCAL.0, LOCAL.1, &world, local).await,
        ask(
            SUBJECT.0,
            SUBJECT.1,
            &world,
            of_node(json!({"labelSelector": {}})),
        )
        .await,
    ];
    expect![[r#"
        {"allowed":true}
        {"allowed":true,"evaluationError":"spec.resourceAttributes.labelSelector ignored due to parse error"}
        {"allowed":false,"reason":"can only list/watch pods with spec.nodeName field selector"}
        {"allowed":true}
        {"allowed":true}
        422 Invalid: .authorization.k8s.io "" is invalid: spec.resourceAttributes.labelSelector.requirements: Required value: when spec.resourceAttributes.labelSelector is specified, requirements or rawSelector is required"#]].assert_eq(&rows.join("\n"));
}

#[tokio::test]
async fn who_may_act_as_others_for_one_thing_acts_for_nothing_else() {
    let world = world().await;
    let rules = json!([
        {"verbs": ["impersonate:user-info"], "apiGroups": ["authentication.k8s.io"], "resources": ["users"],
            "resourceNames": ["jane"]},
        {"verbs": ["impersonate-on:user-info:list"], "apiGroups": [""], "resources": ["pods"]},
        {"verbs": ["impersonate-on:user-info:get"], "nonResourceURLs": ["/version"]},
    ]);
    grant(&world, "robot", rules).await;
    let reads = json!([{"verbs": ["list", "delete"], "apiGroups": [""], "resources": ["pods"]}]);
    grant(&world, "jane", reads).await;
    let robot = world.seen_by(User::authenticated("robot", []));
    let ask = async |method: &str, path: &str, user: &str| {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("impersonate-user", user)
            .body(Full::new(bytes::Bytes::new()))
            .unwrap();
        let response = robot.service.clone().oneshot(request).await.unwrap();
        let code = response.status().as_u16();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        let body: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        let message = body["message"].as_str().unwrap_or("ok").to_owned();
        format!("{method} {path} as {user}: {code} {message}")
    };
    let pod = format!("{PODS}/a");
    let rows = [
        ask("GET", PODS, "jane").await,
        ask("GET", "/version", "jane").await,
        ask("DELETE", &pod, "jane").await,
        ask("GET", PODS, "root").await,
        ask("GET", "/api/v1/secrets", "jane").await,
        ask("GET", PODS, "system:node:w1").await,
    ];
    expect![[r#"
        GET /api/v1/namespaces/default/pods as jane: 200 ok
        GET /version as jane: 200 ok
        DELETE /api/v1/namespaces/default/pods/a as jane: 403 pods "a" is forbidden: User "robot" cannot impersonate-on:user-info:delete resource "pods" in API group "" in the namespace "default"
        GET /api/v1/namespaces/default/pods as root: 403 users.authentication.k8s.io "root" is forbidden: User "robot" cannot impersonate:user-info resource "users" in API group "authentication.k8s.io" at the cluster scope
        GET /api/v1/secrets as jane: 403 secrets is forbidden: User "robot" cannot impersonate-on:user-info:list resource "secrets" in API group "" at the cluster scope
        GET /api/v1/namespaces/default/pods as system:node:w1: 403 pods is forbidden: User "robot" cannot impersonate-on:arbitrary-node:list resource "pods" in API group "" in the namespace "default""#]].assert_eq(&rows.join("\n"));
}

#[tokio::test]
async fn policies_ask_with_selectors() {
    const GROUP: &str = "/apis/admissionregistration.k8s.io/v1";
    let world = world().await;
    let asks = |selector: &str| {
        format!(
            "authorizer.group('').resource('pods').namespace('').fieldSelector('{selector}').check('list').allowed()"
        )
    };
    let object = |kind: &str, spec: Value| json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": kind, "metadata": {"name": "p"}, "spec": spec});
    let policy = json!({
        "matchConstraints": {"resourceRules": [{"apiGroups": [""], "apiVersions": ["v1"], "resources": ["events"], "operations": ["CREATE"]}]},
        "validations": [
            {"expression": asks("spec.nodeName=w1"), "message": "own pods"},
            {"expression": format!("!{}", asks("spec.nodeName=w2")), "message": "pods of others"},
            {"expression": format!("!{}", asks("spec.nodeName")), "message": "nonsense"},
        ],
    });
    let policies = format!("{GROUP}/validatingadmissionpolicies");
    let bindings = format!("{GROUP}/validatingadmissionpolicybindings");
    world
        .post(&policies, object("ValidatingAdmissionPolicy", policy))
        .await
        .ok();
    let binding = json!({"policyName": "p", "validationActions": ["Deny"]});
    world
        .post(
            &bindings,
            object("ValidatingAdmissionPolicyBinding", binding),
        )
        .await
        .ok();
    let event = |name: &str| {
        json!({"apiVersion": "v1", "kind": "Event", "metadata": {"name": name},
        "involvedObject": {"kind": "Pod", "namespace": "default", "name": "a"}})
    };
    let events = "/api/v1/namespaces/default/events";
    kubelet(&world, "w1").post(events, event("e")).await.ok();
    expect![[r#"422 Invalid: events "f" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'p' denied request: own pods"#]].assert_eq(
        &kubelet(&world, "w2")
            .post(events, event("f"))
            .await
            .refused(),
    );
}
