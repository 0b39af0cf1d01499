use expect_test::{Expect, expect};
use serde_json::{Value, json};

use super::{World, cluster, now};
use crate::auth::{Authorizer, ReviewContext, User, review};

/// The status of the review, or the refusal. Tokens and ids are not shown.
fn ask(world: &World, user: &User, resource: &str, place: &str, spec: Value) -> (Value, String) {
    let (_, authenticator) = cluster();
    let authorizer = Authorizer::new();
    let (namespace, name) = place.split_once('/').unwrap();
    let cx = ReviewContext {
        authenticator: &authenticator,
        authorizer: &authorizer,
        objects: world,
        user,
        namespace,
        name,
        external: None,
        now: now(),
    };
    match review(resource, &json!({"kind": "X", "spec": spec}), &cx) {
        Ok(answer) => {
            // Only what is made then has a time.
            let is_made = matches!(resource, "serviceaccounts/token" | "selfsubjectreviews");
            let made = answer["metadata"]["creationTimestamp"].as_str();
            assert_eq!(made, is_made.then_some("2026-06-01T12:00:00Z"));
            (answer.clone(), answer["status"].to_string())
        }
        Err(status) => (Value::Null, format!("{} {}", status.code, status.message)),
    }
}

fn check(resource: &str, spec: Value, want: Expect) {
    let mut world = World::bootstrapped();
    world.bind(
        "dev",
        "ClusterRole/view",
        json!([{"kind": "User", "name": "jane"}]),
    );
    let jane = User::authenticated("jane", []);
    want.assert_eq(&ask(&world, &jane, resource, "dev/", spec).1);
}

#[test]
fn access_reviews() {
    let pods = |namespace: &str| json!({"namespace": namespace, "verb": "get", "resource": "pods"});
    check(
        "selfsubjectaccessreviews",
        json!({"resourceAttributes": pods("dev")}),
        expect![[
            r#"{"allowed":true,"reason":"RBAC: allowed by RoleBinding \"view-binding/dev\" of ClusterRole \"view\" to User \"jane\""}"#
        ]],
    );
    check(
        "selfsubjectaccessreviews",
        json!({"resourceAttributes": pods("")}),
        expect![[r#"{"allowed":false}"#]],
    );
    check(
        "selfsubjectaccessreviews",
        json!({"nonResourceAttributes": {"path": "/version", "verb": "get"}}),
        expect![[
            r#"{"allowed":true,"reason":"RBAC: allowed by ClusterRoleBinding \"system:discovery\" of ClusterRole \"system:discovery\" to Group \"system:authenticated\""}"#
        ]],
    );
    check(
        "selfsubjectaccessreviews",
        json!({}),
        expect![[
            r#"422 .authorization.k8s.io "" is invalid: spec.resourceAttributes: Invalid value: null: exactly one of nonResourceAttributes or resourceAttributes must be specified"#
        ]],
    );
    check(
        "subjectaccessreviews",
        json!({"user": "eve", "groups": ["system:masters"], "resourceAttributes": pods("dev")}),
        expect![[r#"{"allowed":true}"#]],
    );
    check(
        "subjectaccessreviews",
        json!({"user": "eve", "resourceAttributes": pods("dev")}),
        expect![[r#"{"allowed":false}"#]],
    );
    check(
        "subjectaccessreviews",
        json!({"resourceAttributes": pods("dev")}),
        expect![[
            r#"422 .authorization.k8s.io "" is invalid: spec.user: Invalid value: "": at least one of user or group must be specified"#
        ]],
    );
    check(
        "localsubjectaccessreviews",
        json!({"user": "jane", "resourceAttributes": pods("dev")}),
        expect![[
            r#"{"allowed":true,"reason":"RBAC: allowed by RoleBinding \"view-binding/dev\" of ClusterRole \"view\" to User \"jane\""}"#
        ]],
    );
    check(
        "localsubjectaccessreviews",
        json!({"user": "jane", "resourceAttributes": pods("qa")}),
        expect![[
            r#"422 .authorization.k8s.io "" is invalid: spec.resourceAttributes.namespace: Invalid value: "qa": must match metadata.namespace"#
        ]],
    );
    check(
        "otherreviews",
        json!({}),
        expect!["404 the server could not find the requested resource"],
    );
}

fn ask_of(user: &str, groups: Value, attributes: Value) -> String {
    let mut world = World::bootstrapped();
    world.put(
        "pods",
        json!({"metadata": {"namespace": "dev", "name": "web"}, "spec": {"nodeName": "w1"}}),
    );
    let spec = json!({"user": user, "groups": groups, "resourceAttributes": attributes});
    let root = User::authenticated("root", []);
    ask(&world, &root, "subjectaccessreviews", "/", spec).1
}

fn on(operator: &str, values: Value) -> Value {
    json!({"key": "spec.nodeName", "operator": operator, "values": values})
}

fn all(requirements: Value) -> Value {
    json!({"requirements": requirements})
}

#[test]
fn access_reviews_take_selectors() {
    let kubelet = |fields: Value| {
        let pods = json!({"verb": "list", "resource": "pods", "fieldSelector": fields});
        ask_of("system:node:w1", json!(["system:nodes"]), pods)
    };
    let rows: Vec<String> = [
        json!({"rawSelector": "spec.nodeName=w1"}),
        json!({"rawSelector": "status.phase=Running,spec.nodeName==w1"}),
        json!({"rawSelector": "spec.nodeName=w2"}),
        json!({"rawSelector": "spec.nodeName!=w1"}),
        json!({"rawSelector": "spec.nodeName"}),
        all(json!([on("In", json!(["w1"]))])),
        all(json!([on("NotIn", json!(["w1"]))])),
        all(json!([on("In", json!(["w1", "w2"]))])),
        all(json!([
            on("Within", json!(["w1"])),
            on("In", json!(["w1"]))
        ])),
        all(json!([on("Exists", json!([]))])),
    ]
    .into_iter()
    .map(|fields| format!("{fields} → {}", kubelet(fields.clone())))
    .collect();
    expect![[r#"
        {"rawSelector":"spec.nodeName=w1"} → {"allowed":true}
        {"rawSelector":"status.phase=Running,spec.nodeName==w1"} → {"allowed":true}
        {"rawSelector":"spec.nodeName=w2"} → {"allowed":false,"reason":"can only list/watch pods with spec.nodeName field selector"}
        {"rawSelector":"spec.nodeName!=w1"} → {"allowed":false,"reason":"can only list/watch pods with spec.nodeName field selector"}
        {"rawSelector":"spec.nodeName"} → {"allowed":false,"evaluationError":"spec.resourceAttributes.fieldSelector ignored due to parse error","reason":"can only list/watch pods with spec.nodeName field selector"}
        {"requirements":[{"key":"spec.nodeName","operator":"In","values":["w1"]}]} → {"allowed":true}
        {"requirements":[{"key":"spec.nodeName","operator":"NotIn","values":["w1"]}]} → {"allowed":false,"reason":"can only list/watch pods with spec.nodeName field selector"}
        {"requirements":[{"key":"spec.nodeName","operator":"In","values":["w1","w2"]}]} → {"allowed":false,"evaluationError":"spec.resourceAttributes.fieldSelector ignored due to parse error","reason":"can only list/watch pods with spec.nodeName field selector"}
        {"requirements":[{"key":"spec.nodeName","operator":"Within","values":["w1"]},{"key":"spec.nodeName","operator":"In","values":["w1"]}]} → {"allowed":true,"evaluationError":"spec.resourceAttributes.fieldSelector partially ignored due to parse error"}
        {"requirements":[{"key":"spec.nodeName","operator":"Exists","values":[]}]} → {"allowed":false,"evaluationError":"spec.resourceAttributes.fieldSelector ignored due to parse error","reason":"can only list/watch pods with spec.nodeName field selector"}"#]].assert_eq(&rows.join("\n"));
}

#[test]
fn selectors_of_access_reviews_are_checked() {
    let wrong = |fields: Value, labels: Value| {
        let pods = json!({"verb": "list", "resource": "pods", "fieldSelector": fields, "labelSelector": labels});
        ask_of("jane", json!([]), pods)
    };
    let rows = [
        wrong(json!({}), Value::Null),
        wrong(
            json!({"rawSelector": "a=b", "requirements": [on("In", json!(["w1"]))]}),
            Value::Null,
        ),
        wrong(
            all(json!([{"operator": "In"}, {"key": "a", "operator": "Exists", "values": ["x"]}])),
            Value::Null,
        ),
        wrong(Value::Null, json!({"requirements": []})),
        wrong(
            Value::Null,
            json!({"rawSelector": "a", "requirements": [{"key": "a", "operator": "Exists"}]}),
        ),
        wrong(
            Value::Null,
            all(json!([
                {"key": "a b", "operator": "In"}, {"key": "a", "operator": "DoesNotExist", "values": ["x y"]},
            ])),
        ),
        wrong(Value::Null, json!({"rawSelector": "a in"})),
        wrong(
            json!({"rawSelector": "a"}),
            all(json!([{"key": "a", "operator": "Near"}, {"key": "b", "operator": "Exists"}])),
        ),
    ];
    expect![[r#"
        422 .authorization.k8s.io "" is invalid: spec.resourceAttributes.fieldSelector.requirements: Required value: when spec.resourceAttributes.fieldSelector is specified, requirements or rawSelector is required
        422 .authorization.k8s.io "" is invalid: spec.resourceAttributes.fieldSelector.rawSelector: Invalid value: "a=b": may not specified at the same time as requirements
        422 .authorization.k8s.io "" is invalid: [spec.resourceAttributes.fieldSelector.requirements[0].key: Required value: must be specified, spec.resourceAttributes.fieldSelector.requirements[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn', spec.resourceAttributes.fieldSelector.requirements[1].values: Forbidden: may not be specified when `operator` is 'Exists' or 'DoesNotExist']
        422 .authorization.k8s.io "" is invalid: spec.resourceAttributes.labelSelector.requirements: Required value: when spec.resourceAttributes.labelSelector is specified, requirements or rawSelector is required
        422 .authorization.k8s.io "" is invalid: spec.resourceAttributes.labelSelector.rawSelector: Invalid value: "a": may not specified at the same time as requirements
        422 .authorization.k8s.io "" is invalid: [spec.resourceAttributes.labelSelector.requirements[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn', spec.resourceAttributes.labelSelector.requirements[0].key: Invalid value: "a b": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]'), spec.resourceAttributes.labelSelector.requirements[1].values: Forbidden: may not be specified when `operator` is 'Exists' or 'DoesNotExist', spec.resourceAttributes.labelSelector.requirements[1].values[0]: Invalid value: "x y": a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')]
        {"allowed":false,"evaluationError":"spec.resourceAttributes.labelSelector ignored due to parse error"}
        {"allowed":false,"evaluationError":"spec.resourceAttributes.fieldSelector ignored due to parse error; spec.resourceAttributes.labelSelector partially ignored due to parse error"}"#]].assert_eq(&rows.join("\n"));
}

#[test]
fn reviews_have_no_metadata() {
    let (_, authenticator) = cluster();
    let world = World::bootstrapped();
    let cx = ReviewContext {
        authenticator: &authenticator,
        authorizer: &Authorizer::new(),
        objects: &world,
        user: &User::anonymous(),
        namespace: "dev",
        name: "",
        external: None,
        now: now(),
    };
    let ask = |resource: &str, metadata: Value, spec: Value| {
        let body = json!({"metadata": metadata, "spec": spec});
        match review(resource, &body, &cx) {
            Ok(answer) => answer["status"].to_string(),
            Err(status) => format!("{} {}", status.code, status.message),
        }
    };
    let path = json!({"path": "/x", "verb": "get"});
    let pods = json!({"namespace": "dev", "verb": "get", "resource": "pods"});
    let rows = [
        ask(
            "selfsubjectaccessreviews",
            json!({"name": "x"}),
            json!({"nonResourceAttributes": path}),
        ),
        ask(
            "selfsubjectaccessreviews",
            json!({"labels": {}, "managedFields": [{}]}),
            json!({"nonResourceAttributes": path}),
        ),
        ask(
            "subjectaccessreviews",
            json!({"namespace": "dev"}),
            json!({"user": "a", "nonResourceAttributes": path, "resourceAttributes": pods}),
        ),
        ask(
            "localsubjectaccessreviews",
            json!({"namespace": "dev"}),
            json!({"user": "a", "resourceAttributes": pods}),
        ),
        ask(
            "localsubjectaccessreviews",
            json!({"labels": {"a": "b"}}),
            json!({"user": "a", "nonResourceAttributes": path}),
        ),
    ];
    expect![[r#"
        422 .authorization.k8s.io "" is invalid: metadata: Invalid value: {"name":"x"}: must be empty
        {"allowed":false}
        422 .authorization.k8s.io "" is invalid: [spec.nonResourceAttributes: Invalid value: {"Path":"/x","Verb":"get"}: cannot be specified in combination with resourceAttributes, metadata: Invalid value: {"namespace":"dev"}: must be empty]
        {"allowed":false}
        422 .authorization.k8s.io "" is invalid: [metadata: Invalid value: {"labels":{"a":"b"}}: must be empty except for namespace, spec.nonResourceAttributes: Invalid value: {"Path":"/x","Verb":"get"}: disallowed on this kind of request]"#]].assert_eq(&rows.join("\n"));
}

#[test]
fn rules_reviews() {
    let world = World::bootstrapped();
    let jane = User::authenticated("jane", []);
    let (answer, _) = ask(
        &world,
        &jane,
        "selfsubjectrulesreviews",
        "/",
        json!({"namespace": "dev"}),
    );
    expect![[r#"
        {
          "incomplete": false,
          "nonResourceRules": [
            {
              "nonResourceURLs": [
                "/api",
                "/api/*",
                "/apis",
                "/apis/*",
                "/healthz",
                "/livez",
                "/openapi",
                "/openapi/*",
                "/readyz",
                "/version",
                "/version/"
              ],
              "verbs": [
                "get"
              ]
            },
            {
              "nonResourceURLs": [
                "/healthz",
                "/livez",
                "/readyz",
                "/version",
                "/version/"
              ],
              "verbs": [
                "get"
              ]
            }
          ],
          "resourceRules": [
            {
              "apiGroups": [
                "authorization.k8s.io"
              ],
              "resources": [
                "selfsubjectaccessreviews",
                "selfsubjectrulesreviews"
              ],
              "verbs": [
                "create"
              ]
            },
            {
              "apiGroups": [
                "authentication.k8s.io"
              ],
              "resources": [
                "selfsubjectreviews"
              ],
              "verbs": [
                "create"
              ]
            }
          ]
        }"#]]
    .assert_eq(&format!("{:#}", answer["status"]));
    check(
        "selfsubjectrulesreviews",
        json!({}),
        expect!["400 no namespace on request"],
    );
}

#[test]
fn who_am_i() {
    check(
        "selfsubjectreviews",
        json!({}),
        expect![[r#"{"userInfo":{"groups":["system:authenticated"],"username":"jane"}}"#]],
    );
}

/// A service account with a pod on a node, and somebody else's pod.
fn busy_world() -> World {
    let mut world = World::default();
    world.account("dev", "robot");
    world.put(
        "nodes",
        json!({"metadata": {"name": "w1", "uid": "uid-w1"}}),
    );
    world.put(
        "pods",
        json!({
            "metadata": {"namespace": "dev", "name": "web", "uid": "uid-web"},
            "spec": {"serviceAccountName": "robot", "nodeName": "w1"},
        }),
    );
    world.put(
        "pods",
        json!({
            "metadata": {"namespace": "dev", "name": "db", "uid": "uid-db"},
            "spec": {"serviceAccountName": "default"},
        }),
    );
    world
}

/// What the TokenRequest for `dev/robot` answers: its spec, the expiration and the claims of the token.
fn request_token(spec: Value) -> String {
    let world = busy_world();
    let (answer, status) = ask(
        &world,
        &User::default(),
        "serviceaccounts/token",
        "dev/robot",
        spec,
    );
    let Some(token) = answer["status"]["token"].as_str() else {
        return status;
    };
    use base64::Engine as _;
    let claims = token.split('.').nth(1).unwrap();
    let claims = base64::engine::general_purpose::URL_SAFE_NO_PAD
        .decode(claims)
        .unwrap();
    let mut claims: Value = serde_json::from_slice(&claims).unwrap();
    claims["jti"] = "…".into();
    claims["exp"] = (claims["exp"].as_i64().unwrap() - now().as_second()).into();
    format!(
        "{} until {} {claims}",
        answer["spec"], answer["status"]["expirationTimestamp"]
    )
}

#[test]
fn token_requests() {
    expect![[r#"{"audiences":["https://kubernetes.default.svc.cluster.local"],"boundObjectRef":null,"expirationSeconds":3600} until "2026-06-01T13:00:00Z" {"aud":["https://kubernetes.default.svc.cluster.local"],"exp":3600,"iat":1780315200,"iss":"https://kubernetes.default.svc.cluster.local","jti":"…","kubernetes.io":{"namespace":"dev","serviceaccount":{"name":"robot","uid":"uid-robot"}},"nbf":1780315200,"sub":"system:serviceaccount:dev:robot"}"#]].assert_eq(&request_token(json!({})));
    expect![[r#"{"audiences":["vault"],"boundObjectRef":{"apiVersion":"v1","kind":"Pod","name":"web","uid":"uid-web"},"expirationSeconds":600} until "2026-06-01T12:10:00Z" {"aud":["vault"],"exp":600,"iat":1780315200,"iss":"https://kubernetes.default.svc.cluster.local","jti":"…","kubernetes.io":{"namespace":"dev","node":{"name":"w1","uid":"uid-w1"},"pod":{"name":"web","uid":"uid-web"},"serviceaccount":{"name":"robot","uid":"uid-robot"}},"nbf":1780315200,"sub":"system:serviceaccount:dev:robot"}"#]].assert_eq(&request_token(json!({
        "audiences": ["vault"], "expirationSeconds": 600,
        "boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": "web", "uid": "uid-web"},
    })));
    expect![[r#"{"audiences":["https://kubernetes.default.svc.cluster.local"],"boundObjectRef":{"apiVersion":"v1","kind":"Pod","name":"web"},"expirationSeconds":3607} until "2026-06-01T13:00:07Z" {"aud":["https://kubernetes.default.svc.cluster.local"],"exp":31536000,"iat":1780315200,"iss":"https://kubernetes.default.svc.cluster.local","jti":"…","kubernetes.io":{"namespace":"dev","node":{"name":"w1","uid":"uid-w1"},"pod":{"name":"web","uid":"uid-web"},"serviceaccount":{"name":"robot","uid":"uid-robot"},"warnafter":1780318807},"nbf":1780315200,"sub":"system:serviceaccount:dev:robot"}"#]].assert_eq(&request_token(json!({
        "expirationSeconds": 3607, "boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": "web"},
    })));
    expect![[r#"422 TokenRequest.authentication.k8s.io "" is invalid: spec.expirationSeconds: Invalid value: 599: may not specify a duration less than 10 minutes"#]].assert_eq(&request_token(json!({"expirationSeconds": 599})));
    expect![[r#"422 TokenRequest.authentication.k8s.io "" is invalid: spec.expirationSeconds: Invalid value: 4294967297: may not specify a duration larger than 2^32 seconds"#]].assert_eq(&request_token(json!({"expirationSeconds": 4_294_967_297_i64})));
    expect![[r#"400 cannot bind token for serviceaccount "robot" to pod running with different serviceaccount name."#]].assert_eq(&request_token(
        json!({"boundObjectRef": {"kind": "Pod", "name": "db"}}),
    ));
    expect![[r#"404 pods "gone" not found"#]].assert_eq(&request_token(
        json!({"boundObjectRef": {"kind": "Pod", "name": "gone"}}),
    ));
    expect![[r#"409 Operation cannot be fulfilled on pods "web": the UID in the bound object reference (old) does not match the UID in record. The object might have been deleted and then recreated"#]].assert_eq(&request_token(
        json!({"boundObjectRef": {"kind": "Pod", "name": "web", "uid": "old"}}),
    ));
    expect![
        "400 cannot bind token to object of type v1, Kind=ConfigMap: want a v1 Pod, Node or Secret"
    ]
    .assert_eq(&request_token(
        json!({"boundObjectRef": {"kind": "ConfigMap", "name": "web"}}),
    ));
}

#[test]
fn nothing_for_an_absent_account_or_a_bad_token() {
    let world = busy_world();
    let jane = User::default();
    expect![[r#"404 serviceaccounts "absent" not found"#]].assert_eq(
        &ask(
            &world,
            &jane,
            "serviceaccounts/token",
            "dev/absent",
            json!({}),
        )
        .1,
    );

    expect![[
        r#"{"error":"[invalid bearer token, its signature is not of this cluster]","user":{}}"#
    ]]
    .assert_eq(
        &ask(
            &world,
            &jane,
            "tokenreviews",
            "/",
            json!({"token": "nonsense"}),
        )
        .1,
    );
    expect!["400 token is required for TokenReview in authentication"]
        .assert_eq(&ask(&world, &jane, "tokenreviews", "/", json!({})).1);
}

#[test]
fn a_good_token_is_reviewed_for_its_audience() {
    let (_, authenticator) = cluster();
    let authorizer = Authorizer::new();
    let mut world = World::default();
    world.account("default", "robot");
    let vault = ["vault".to_owned(), "other".to_owned()];
    let token = crate::auth::authenticate::TokenSpec {
        audiences: &vault,
        ..super::authenticate::spec("robot")
    };
    let token = authenticator.issue_token(token, now()).unwrap();
    let cx = ReviewContext {
        authenticator: &authenticator,
        authorizer: &authorizer,
        objects: &world,
        user: &User::anonymous(),
        namespace: "",
        name: "",
        external: None,
        now: now(),
    };
    let ask = |audiences: Value| {
        let body = json!({"spec": {"token": token, "audiences": audiences}});
        let mut status = review("tokenreviews", &body, &cx).unwrap()["status"].take();
        status["user"]["extra"].take();
        status.to_string()
    };
    expect![[r#"{"audiences":["vault"],"authenticated":true,"user":{"extra":null,"groups":["system:serviceaccounts","system:serviceaccounts:default","system:authenticated"],"uid":"uid-robot","username":"system:serviceaccount:default:robot"}}"#]].assert_eq(&ask(json!(["vault", "third"])));
    expect![[r#"{"error":"[invalid bearer token, token audiences [\"vault\" \"other\"] is invalid for the target audiences [\"https://kubernetes.default.svc.cluster.local\"]]","user":{"extra":null}}"#]].assert_eq(&ask(json!([])));
}
