//! Admission policies: expressions that judge and change what is written, and the match conditions of webhooks.

use apiserver::auth::User;
use expect_test::expect;
use serde_json::{Value, json};

use crate::hook::{MUTATING, VALIDATING, configure, deny, serve, webhook, with};
use crate::world::{Answer, World};

const GROUP: &str = "/apis/admissionregistration.k8s.io/v1";
const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";

fn map(name: &str, data: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data})
}

fn deployment(name: &str, replicas: i64) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": {
        "replicas": replicas, "selector": {"matchLabels": {"a": "b"}},
        "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i:1"}]}},
    }})
}

fn about(group: &str, resource: &str) -> Value {
    json!({"resourceRules": [{"apiGroups": [group], "apiVersions": ["v1"], "resources": [resource],
        "operations": ["CREATE", "UPDATE"]}]})
}

/// The object of a policy kind.
fn object(kind: &str, name: &str, spec: Value) -> Value {
    json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": kind, "metadata": {"name": name}, "spec": spec})
}

/// Creates a policy about ConfigMaps (or what `spec` says) and puts it to use.
async fn validate(world: &World, name: &str, spec: Value, binding: Value) {
    let base = json!({"matchConstraints": about("", "configmaps")});
    let policy = object("ValidatingAdmissionPolicy", name, with(base, spec));
    world
        .post(&format!("{GROUP}/validatingadmissionpolicies"), policy)
        .await
        .ok();
    let base = json!({"policyName": name, "validationActions": ["Deny"]});
    let binding = object(
        "ValidatingAdmissionPolicyBinding",
        name,
        with(base, binding),
    );
    world
        .post(
            &format!("{GROUP}/validatingadmissionpolicybindings"),
            binding,
        )
        .await
        .ok();
}

async fn mutate(world: &World, name: &str, spec: Value, binding: Value) {
    let base = json!({"matchConstraints": about("", "configmaps"), "reinvocationPolicy": "Never"});
    let policy = object("MutatingAdmissionPolicy", name, with(base, spec));
    world
        .post(&format!("{GROUP}/mutatingadmissionpolicies"), policy)
        .await
        .ok();
    let base = json!({"policyName": name});
    let binding = object("MutatingAdmissionPolicyBinding", name, with(base, binding));
    world
        .post(&format!("{GROUP}/mutatingadmissionpolicybindings"), binding)
        .await
        .ok();
}

fn in_words(answer: Answer) -> String {
    if answer.code < 300 {
        "ok".into()
    } else {
        answer.refused()
    }
}

#[tokio::test(start_paused = true)]
async fn a_policy_judges_what_its_binding_puts_it_to() {
    let world = World::new().await;
    let spec = json!({
        "matchConstraints": about("apps", "deployments"),
        "variables": [
            {"name": "replicas", "expression": "object.spec.replicas"},
            {"name": "isOdd", "expression": "variables.replicas % 2 == 1"},
        ],
        "validations": [
            {"expression": "variables.replicas > 1"},
            {"expression": "!variables.isOdd", "message": "odd", "reason": "Forbidden"},
            {"expression": "variables.replicas < 10", "messageExpression": "'got ' + string(variables.replicas)"},
        ],
    });
    validate(&world, "even", spec, json!({})).await;
    let mut said = vec![];
    for replicas in [1, 2, 3, 12] {
        let name = format!("d{replicas}");
        said.push(in_words(
            world.post(DEPLOYMENTS, deployment(&name, replicas)).await,
        ));
    }
    said.push(in_words(world.post(MAPS, map("m", json!({}))).await));
    expect![[r#"
        422 Invalid: deployments.apps "d1" is forbidden: ValidatingAdmissionPolicy 'even' with binding 'even' denied request: failed expression: variables.replicas > 1
        ok
        403 Forbidden: deployments.apps "d3" is forbidden: ValidatingAdmissionPolicy 'even' with binding 'even' denied request: odd
        422 Invalid: deployments.apps "d12" is forbidden: ValidatingAdmissionPolicy 'even' with binding 'even' denied request: got 12
        ok"#]].assert_eq(&said.join("\n"));
    // Without its binding, a policy does nothing.
    world
        .delete(&format!("{GROUP}/validatingadmissionpolicybindings/even"))
        .await
        .ok();
    world.post(DEPLOYMENTS, deployment("d1", 1)).await.ok();
}

#[tokio::test(start_paused = true)]
async fn bindings_say_what_follows() {
    let world = World::new().await;
    let spec = json!({
        "validations": [{"expression": "object.data.?color.orValue('') != 'red'"}],
        "auditAnnotations": [{"key": "color", "valueExpression": "string(object.data.?color.orValue(''))"}],
    });
    validate(
        &world,
        "p",
        spec,
        json!({"validationActions": ["Warn", "Audit"]}),
    )
    .await;
    let answer = world.post(MAPS, map("m", json!({"color": "red"}))).await;
    assert_eq!(
        answer.warnings,
        [
            "299 - \"Validation failed for ValidatingAdmissionPolicy 'p' with binding 'p': failed expression: \
          object.data.?color.orValue('') != 'red'\""
        ]
    );
    answer.ok();
}

#[tokio::test(start_paused = true)]
async fn the_request_its_namespace_and_the_authorizer_can_be_asked() {
    let world = World::new().await;
    let spec = json!({"validations": [
        {"expression": "request.operation == 'CREATE' && request.resource.resource == 'configmaps'"},
        {"expression": "request.userInfo.username == 'admin'", "message": "only admin"},
        {"expression": "namespaceObject.metadata.name == 'default'"},
        {"expression": "authorizer.group('').resource('pods').namespace('default').check('get').allowed()"},
        {"expression": "authorizer.requestResource.check('create').allowed()"},
        {"expression": "oldObject == null"},
    ]});
    validate(&world, "p", spec, json!({})).await;
    world.post(MAPS, map("m", json!({}))).await.ok();
    let other = world.seen_by(User::authenticated("other", ["system:masters".to_owned()]));
    let refused = other.post(MAPS, map("n", json!({}))).await.refused();
    assert!(refused.ends_with("denied request: only admin"), "{refused}");
}

#[tokio::test(start_paused = true)]
async fn expressions_that_fail_are_heeded_as_the_policy_says() {
    let world = World::new().await;
    let failing = json!({"validations": [{"expression": "object.spec.x == 1"}]});
    validate(&world, "fails", failing.clone(), json!({})).await;
    expect![[r#"422 Invalid: configmaps "m" is forbidden: ValidatingAdmissionPolicy 'fails' with binding 'fails' denied request: expression 'object.spec.x == 1' resulted in error: no such key: spec"#]].assert_eq(&in_words(world.post(MAPS, map("m", json!({}))).await));
    let path = format!("{GROUP}/validatingadmissionpolicies/fails");
    world
        .merge(&path, json!({"spec": {"failurePolicy": "Ignore"}}))
        .await
        .ok();
    world.post(MAPS, map("m", json!({}))).await.ok();
    // A condition that does not hold is enough to leave the rest alone.
    let conditions = json!({"failurePolicy": "Fail", "matchConditions": [
        {"name": "broken", "expression": "object.spec.x == 1"}, {"name": "never", "expression": "false"},
    ]});
    world.merge(&path, json!({"spec": conditions})).await.ok();
    world.post(MAPS, map("n", json!({}))).await.ok();
}

#[tokio::test(start_paused = true)]
async fn parameters_come_from_objects() {
    let world = World::new().await;
    let spec = json!({
        "matchConstraints": about("apps", "deployments"),
        "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"},
        "validations": [{
            "expression": "object.spec.replicas <= int(params.data.max)",
            "messageExpression": "'at most ' + params.data.max",
        }],
    });
    let by_name = json!({"paramRef": {"name": "limit", "parameterNotFoundAction": "Deny"}});
    validate(&world, "limit", spec, by_name).await;
    let mut said = vec![in_words(world.post(DEPLOYMENTS, deployment("d", 3)).await)];
    world
        .post(MAPS, map("limit", json!({"max": "2"})))
        .await
        .ok();
    said.push(in_words(world.post(DEPLOYMENTS, deployment("d", 3)).await));
    let binding = format!("{GROUP}/validatingadmissionpolicybindings/limit");
    let by_label = json!({"spec": {"paramRef": {
        "name": null, "selector": {"matchLabels": {"limit": "yes"}}, "parameterNotFoundAction": "Allow",
    }}});
    world.merge(&binding, by_label).await.ok();
    said.push(in_words(world.post(DEPLOYMENTS, deployment("d", 3)).await));
    let labels = json!({"metadata": {"labels": {"limit": "yes"}}});
    world.merge(&format!("{MAPS}/limit"), labels).await.ok();
    said.push(in_words(world.post(DEPLOYMENTS, deployment("e", 3)).await));
    expect![[r#"
        422 Invalid: deployments.apps "d" is forbidden: ValidatingAdmissionPolicy 'limit' with binding 'limit' denied request: failed to configure binding: no params found for policy binding with `Deny` parameterNotFoundAction
        422 Invalid: deployments.apps "d" is forbidden: ValidatingAdmissionPolicy 'limit' with binding 'limit' denied request: at most 2
        ok
        422 Invalid: deployments.apps "e" is forbidden: ValidatingAdmissionPolicy 'limit' with binding 'limit' denied request: at most 2"#]].assert_eq(&said.join("\n"));
}

#[tokio::test(start_paused = true)]
async fn rules_and_selectors_choose_the_requests() {
    let world = World::new().await;
    let never = json!([{"expression": "false", "message": "never"}]);
    let constraints = with(
        about("", "configmaps"),
        json!({"excludeResourceRules": [{
            "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"], "operations": ["*"],
            "resourceNames": ["spared"],
        }]}),
    );
    validate(
        &world,
        "p",
        json!({"matchConstraints": constraints, "validations": never}),
        json!({"matchResources": {"objectSelector": {"matchLabels": {"judged": "yes"}}}}),
    )
    .await;
    let judged = |name: &str| {
        let mut map = map(name, json!({}));
        map["metadata"]["labels"] = json!({"judged": "yes"});
        map
    };
    world.post(MAPS, map("free", json!({}))).await.ok();
    world.post(MAPS, judged("spared")).await.ok();
    assert!(
        world
            .post(MAPS, judged("m"))
            .await
            .refused()
            .ends_with("never")
    );
    // Policies are no business of policies.
    let all = json!({"resourceRules": [{"apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*"], "operations": ["*"]}]});
    validate(
        &world,
        "q",
        json!({"matchConstraints": all, "validations": never}),
        json!({}),
    )
    .await;
    for kind in [
        "validatingadmissionpolicybindings",
        "validatingadmissionpolicies",
    ] {
        world.delete(&format!("{GROUP}/{kind}/q")).await.ok();
    }
}

#[tokio::test(start_paused = true)]
async fn mutations_make_configurations_and_patches() {
    let world = World::new().await;
    let spec = json!({
        "matchConstraints": about("apps", "deployments"),
        "variables": [{"name": "sidecar", "expression": "'side'"}],
        "mutations": [
            {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression":
                "Object{metadata: Object.metadata{annotations: {'made/by': request.userInfo.username}}, \
                 spec: Object.spec{template: Object.spec.template{spec: Object.spec.template.spec{\
                 containers: [Object.spec.template.spec.containers{name: variables.sidecar, image: 'side:1'}]}}}}"}},
            {"patchType": "JSONPatch", "jsonPatch": {"expression":
                "[JSONPatch{op: 'test', path: '/spec/replicas', value: 1}, \
                  JSONPatch{op: 'replace', path: '/spec/replicas', value: object.spec.replicas + 1}, \
                  JSONPatch{op: 'add', path: '/metadata/annotations/' + jsonpatch.escapeKey('a/b'), value: 'c'}]"}},
        ],
    });
    mutate(&world, "m", spec, json!({})).await;
    let made = world.post(DEPLOYMENTS, deployment("d", 1)).await.ok();
    let containers = &made["spec"]["template"]["spec"]["containers"];
    assert_eq!(made["spec"]["replicas"], 2);
    assert_eq!(
        made["metadata"]["annotations"],
        json!({"made/by": "admin", "a/b": "c"})
    );
    let names: Vec<&str> = containers
        .as_array()
        .unwrap()
        .iter()
        .map(|c| c["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["c", "side"]);
    // What a policy adds has defaults.
    assert_eq!(containers[1]["imagePullPolicy"], "IfNotPresent");
    // A patch whose test fails does nothing.
    let three = world.post(DEPLOYMENTS, deployment("e", 3)).await.ok();
    assert_eq!(
        (
            &three["spec"]["replicas"],
            &three["metadata"]["annotations"]["a/b"]
        ),
        (&json!(3), &Value::Null)
    );
}

#[tokio::test(start_paused = true)]
async fn mutations_that_cannot_be_are_refused() {
    let world = World::new().await;
    let configuration = |expression: &str| json!({"mutations": [{"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": expression}}]});
    mutate(
        &world,
        "a",
        configuration("Object{data: Object.data{x: object.nothing}}"),
        json!({}),
    )
    .await;
    let mut said = vec![in_words(world.post(MAPS, map("m", json!({}))).await)];
    let path = format!("{GROUP}/mutatingadmissionpolicies/a");
    for expression in [
        "Object{wrong: 1}",
        "Object{immutable: 'yes'}",
        "Object{metadata: Object.metadata{ownerReferences: [Object.metadata.ownerReferences{uid: 'u'}]}}",
    ] {
        world
            .merge(&path, json!({"spec": configuration(expression)}))
            .await
            .ok();
        said.push(in_words(world.post(MAPS, map("m", json!({}))).await));
        world.delete(&format!("{MAPS}/m")).await;
    }
    let selects = "Object{spec: Object.spec{selector: Object.spec.selector{a: 'b'}}}";
    let services = with(
        configuration(selects),
        json!({"matchConstraints": about("", "services")}),
    );
    mutate(&world, "b", services, json!({})).await;
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "spec": {"ports": [{"port": 1}]}});
    let made = world
        .post("/api/v1/namespaces/default/services", service)
        .await;
    said.push(in_words(made));
    world
        .merge(&path, json!({"spec": {"failurePolicy": "Ignore"}}))
        .await
        .ok();
    world.post(MAPS, map("m", json!({}))).await.ok();
    expect![[r#"
        403 Invalid: policy 'a' with binding 'a' denied request: expression 'Object{data: Object.data{x: object.nothing}}' resulted in error: no such key: nothing
        403 Invalid: policy 'a' with binding 'a' denied request: error applying patch: failed to convert patch object to typed object: .wrong: field not declared in schema
        403 Invalid: policy 'a' with binding 'a' denied request: error applying patch: failed to convert patch object to typed object: .immutable: expected boolean, got &{yes}
        403 Invalid: policy 'a' with binding 'a' denied request: error applying patch: invalid ApplyConfiguration: may not mutate atomic arrays, maps or structs: .metadata.ownerReferences[0]
        403 Invalid: policy 'b' with binding 'b' denied request: error applying patch: invalid ApplyConfiguration: may not mutate atomic arrays, maps or structs: .spec.selector"#]].assert_eq(&said.join("\n"));
}

#[tokio::test(start_paused = true)]
async fn a_mutation_sees_what_webhooks_after_it_did_if_it_wants_to() {
    let world = World::new().await;
    let append = json!({
        "reinvocationPolicy": "IfNeeded",
        "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression":
            "[JSONPatch{op: 'replace', path: '/data/seen', value: object.data.seen + 'policy '}]"}}],
    });
    mutate(&world, "m", append, json!({})).await;
    serve(&world, "hook", |request| {
        let seen = request["object"]["data"]["seen"].as_str().unwrap();
        crate::hook::patch(
            json!([{"op": "replace", "path": "/data/seen", "value": format!("{seen}hook ")}]),
        )
    });
    configure(&world, MUTATING, "c", &[webhook("hook")]).await;
    let made = world.post(MAPS, map("m", json!({"seen": ""}))).await.ok();
    assert_eq!(made["data"]["seen"], "policy hook policy ");
}

#[tokio::test(start_paused = true)]
async fn webhooks_have_conditions() {
    let world = World::new().await;
    serve(&world, "hook", |_| deny("asked"));
    let conditions = json!({"matchConditions": [
        {"name": "not-me", "expression": "object.metadata.name != 'skip-me'"},
        {"name": "has-data", "expression": "object.data.size() > 0"},
    ]});
    let webhook = with(webhook("hook"), conditions);
    configure(&world, VALIDATING, "c", std::slice::from_ref(&webhook)).await;
    configure(&world, MUTATING, "c", &[webhook]).await;
    let mut said = vec![];
    for (name, data) in [
        ("skip-me", json!({})),
        ("m", json!({"a": "b"})),
        ("n", json!({})),
    ] {
        said.push(in_words(world.post(MAPS, map(name, data)).await));
    }
    expect![[r#"
        ok
        400 -: admission webhook "hook.example.com" denied the request: asked
        403 Forbidden: configmaps "n" is forbidden: expression 'object.data.size() > 0' resulted in error: no such key: data"#]].assert_eq(&said.join("\n"));
}

/// The causes of a refusal.
fn lines(answer: Answer) -> Vec<String> {
    let causes = answer.body["details"]["causes"].as_array().unwrap().clone();
    let text = |cause: &Value, field: &str| cause[field].as_str().unwrap().to_owned();
    let line = |c: &Value| format!("{}: {}", text(c, "field"), text(c, "message"));
    causes.iter().map(line).collect()
}

#[tokio::test(start_paused = true)]
async fn expressions_are_checked_when_they_are_written() {
    let world = World::new().await;
    let policies = format!("{GROUP}/validatingadmissionpolicies");
    let spec = json!({
        "matchConstraints": about("", "configmaps"), "paramKind": {"apiVersion": "a/b/c", "kind": ""},
        "matchConditions": [{"name": "x", "expression": "object."}, {"name": "x", "expression": "1"}],
        "variables": [{"name": "in", "expression": "1"}, {"name": "v", "expression": "nothing"}],
        "validations": [
            {"expression": "request.nothing == 1"}, {"expression": "'a'", "reason": "Because"},
            {"expression": "true", "message": "a\nb", "messageExpression": "1"}, {"expression": " "},
        ],
        "auditAnnotations": [{"key": "a b", "valueExpression": "1"}],
    });
    let policy = object("ValidatingAdmissionPolicy", "p", spec);
    let refused = world.post(&policies, policy).await;
    expect![[r#"
        spec.paramKind.apiVersion: Invalid value: "a/b/c": unexpected GroupVersion string: a/b/c
        spec.paramKind.kind: Required value
        spec.matchConditions[0].expression: Invalid value: "object.": compilation failed: ERROR: <input>:1:8: Syntax error: mismatched input '<EOF>' expecting IDENTIFIER
         | object.
         | .......^
        spec.matchConditions[1].expression: Invalid value: "1": must evaluate to bool but got int
        spec.matchConditions[1].name: Duplicate value: "x"
        spec.variables[0].name: Invalid value: "in": must be a valid CEL identifier
        spec.variables[1].expression: Invalid value: "nothing": compilation failed: ERROR: <input>:1:1: undeclared reference to 'nothing' (in container '')
         | nothing
         | ^
        spec.validations[0].expression: Invalid value: "request.nothing == 1": compilation failed: ERROR: <input>:1:8: undefined field 'nothing'
         | request.nothing == 1
         | .......^
        spec.validations[1].expression: Invalid value: "'a'": must evaluate to bool but got string
        spec.validations[1].reason: Unsupported value: "Because": supported values: "Forbidden", "Invalid", "RequestEntityTooLarge", "Unauthorized"
        spec.validations[2].messageExpression: Invalid value: "1": must evaluate to string but got int
        spec.validations[2].message: Invalid value: "a\nb": must not contain line breaks
        spec.validations[3].expression: Required value: expression is not specified
        spec.auditAnnotations[0].key: Invalid value: "p/a b": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')
        spec.auditAnnotations[0].valueExpression: Invalid value: "1": must evaluate to one of [string null_type] but got int"#]].assert_eq(&lines(refused).join("\n"));
}

#[tokio::test(start_paused = true)]
async fn mutations_bindings_and_conditions_are_checked_as_well() {
    let world = World::new().await;
    let mut said = vec![];
    let spec = json!({
        "matchConstraints": {"resourceRules": [{"apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"],
            "operations": ["DELETE"]}]},
        "mutations": [
            {"patchType": "JSONPatch", "applyConfiguration": {"expression": "Object{}"}},
            {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": "[JSONPatch{op: 'add'}]"}},
        ],
    });
    let policy = object("MutatingAdmissionPolicy", "p", spec);
    said.extend(lines(
        world
            .post(&format!("{GROUP}/mutatingadmissionpolicies"), policy)
            .await,
    ));
    let spec =
        json!({"validationActions": ["Deny", "Warn"], "paramRef": {"name": "a", "selector": {}}});
    let binding = object("ValidatingAdmissionPolicyBinding", "p", spec);
    said.extend(lines(
        world
            .post(
                &format!("{GROUP}/validatingadmissionpolicybindings"),
                binding,
            )
            .await,
    ));
    let wrong = with(
        webhook("w"),
        json!({"matchConditions": [{"name": "a", "expression": "... [] bad expression"}]}),
    );
    let configuration = json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": "c"}, "webhooks": [wrong]});
    said.extend(lines(world.post(MUTATING, configuration).await));
    expect![[r#"
        spec.matchConstraints.resourceRules.operations: Unsupported value: "DELETE": supported values: "CREATE", "UPDATE"
        spec.mutations[0].jsonPatch: Required value: must be specified when patchType is JSONPatch
        spec.mutations[0].applyConfiguration: Invalid value: "{applyConfiguration}": must not be specified when patchType is JSONPatch
        spec.mutations[1].applyConfiguration.expression: Invalid value: "[JSONPatch{op: 'add'}]": must evaluate to Object but got list(JSONPatch)
        spec.reinvocationPolicy: Required value
        spec.policyName: Required value
        spec.paramRef.name: Forbidden: name and selector are mutually exclusive
        spec.paramRef.selector: Forbidden: name and selector are mutually exclusive
        spec.paramRef.parameterNotFoundAction: Required value
        spec.validationActions: Invalid value: ["Deny","Warn"]: must not contain both Deny and Warn (repeating the same validation failure information in the API response and headers serves no purpose)
        webhooks[0].matchConditions[0].expression: Invalid value: "... [] bad expression": compilation failed: ERROR: <input>:1:2: Syntax error: mismatched input '.' expecting {'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}
         | ... [] bad expression
         | .^"#]].assert_eq(&said.join("\n"));
}

#[tokio::test(start_paused = true)]
async fn the_status_says_what_types_say() {
    let world = World::new().await;
    let policies = format!("{GROUP}/validatingadmissionpolicies");
    let spec = |expression: &str, message: &str| {
        json!({"matchConstraints": about("apps", "deployments"),
            "validations": [{"expression": expression, "messageExpression": message}]})
    };
    let right = object(
        "ValidatingAdmissionPolicy",
        "right",
        spec("object.spec.replicas > 1", "'no'"),
    );
    let made = world.post(&policies, right).await.ok();
    assert_eq!(
        made["status"],
        json!({"observedGeneration": 1, "typeChecking": {}})
    );
    let confused = spec(
        "object.spec.replicas > '1'",
        "'wants more than ' + object.spec.replicas",
    );
    let changed = world
        .merge(&format!("{policies}/right"), json!({"spec": confused}))
        .await
        .ok();
    assert_eq!(changed["status"]["observedGeneration"], 2);
    let warnings = changed["status"]["typeChecking"]["expressionWarnings"]
        .as_array()
        .unwrap();
    let shown: Vec<String> = warnings
        .iter()
        .map(|w| {
            format!(
                "{}: {}",
                w["fieldRef"].as_str().unwrap(),
                w["warning"].as_str().unwrap()
            )
        })
        .collect();
    expect![[r#"
        spec.validations[0].expression: apps/v1, Kind=Deployment: ERROR: <input>:1:22: found no matching overload for '_>_' applied to '(int, string)'
         | object.spec.replicas > '1'
         | .....................^
        spec.validations[0].messageExpression: apps/v1, Kind=Deployment: ERROR: <input>:1:20: found no matching overload for '_+_' applied to '(string, int)'
         | 'wants more than ' + object.spec.replicas
         | ...................^
    "#]].assert_eq(&shown.join(""));
}

#[tokio::test(start_paused = true)]
async fn checks_are_counted() {
    let world = World::new().await;
    let spec = json!({"validations": [
        {"expression": "object.metadata.name != 'bad'"},
        {"expression": "object.metadata.name != 'broken' || object.none == ''"},
    ]});
    let actions = json!({"validationActions": ["Deny", "Audit"]});
    validate(&world, "strict", spec.clone(), actions).await;
    let conditions = json!([{"name": "not-odd", "expression": "object.metadata.name != 'odd'"}]);
    let forgiving = with(
        spec,
        json!({"failurePolicy": "Ignore", "matchConditions": conditions}),
    );
    validate(
        &world,
        "mild",
        forgiving,
        json!({"validationActions": ["Warn"]}),
    )
    .await;
    let stamp = "Object{data: {'stamp': object.metadata.name == 'odd' ? object.none : 'x'}}";
    let spec = json!({"failurePolicy": "Ignore", "mutations": [
        {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": stamp}},
    ]});
    mutate(&world, "stamp", spec, json!({})).await;
    for (name, code) in [("ok", 201), ("bad", 422), ("broken", 422), ("odd", 201)] {
        let answer = world.post(MAPS, map(name, json!({}))).await;
        assert_eq!(answer.code, code, "{name}: {}", answer.body);
    }
    let metrics = world.get("/metrics").await.body;
    let lines = metrics.as_str().unwrap().lines();
    let counts = lines.filter(|line| {
        let is_condition = line.contains("_match_condition_") && !line.starts_with('#');
        line.contains("_admission_policy_check_total")
            || (is_condition && !line.contains("_bucket") && !line.contains("_sum"))
    });
    expect![[r#"
        apiserver_admission_match_condition_exclusions_total{name="mild",kind="policy",type="validate",operation="CREATE"} 1
        apiserver_admission_match_condition_evaluation_seconds_count{name="mild",kind="policy",type="validate",operation="CREATE"} 4
        # HELP apiserver_validating_admission_policy_check_total Checks by validating admission policies, by policy, binding, kind of error and action.
        # TYPE apiserver_validating_admission_policy_check_total counter
        apiserver_validating_admission_policy_check_total{policy="mild",policy_binding="mild",error_type="invalid_error",enforcement_action="allow"} 1
        apiserver_validating_admission_policy_check_total{policy="mild",policy_binding="mild",error_type="invalid_error",enforcement_action="warn"} 1
        apiserver_validating_admission_policy_check_total{policy="strict",policy_binding="strict",error_type="invalid_error",enforcement_action="audit"} 2
        apiserver_validating_admission_policy_check_total{policy="strict",policy_binding="strict",error_type="invalid_error",enforcement_action="deny"} 2
        # HELP apiserver_mutating_admission_policy_check_total Checks by mutating admission policies, by policy, binding and kind of error.
        # TYPE apiserver_mutating_admission_policy_check_total counter
        apiserver_mutating_admission_policy_check_total{policy="stamp",policy_binding="stamp",error_type="invalid_error"} 1
        apiserver_mutating_admission_policy_check_total{policy="stamp",policy_binding="stamp",error_type="no_error"} 3"#]].assert_eq(&counts.collect::<Vec<_>>().join("\n"));
}
