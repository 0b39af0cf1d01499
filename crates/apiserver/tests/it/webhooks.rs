//! Admission webhooks: whom they are asked about, in which order, and what their answers do.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use apiserver::webhook::Handler;
use expect_test::expect;
use serde_json::{Value, json};
use tokio::sync::Barrier;

use crate::hook::{
    MUTATING, VALIDATING, allow, configure, deny, patch, respond, rule, serve, serve_handler,
    webhook, with,
};
use crate::world::World;

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

fn map(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}})
}

/// A patch that appends `word` to the data `seen` of a ConfigMap.
fn append(request: &Value, word: &str) -> Value {
    let seen = request["object"]["data"]["seen"].as_str().unwrap_or("");
    patch(json!([{"op": "add", "path": "/data", "value": {"seen": format!("{seen}{word} ")}}]))
}

fn serve_word(world: &World, word: &'static str) {
    serve(world, word, move |request| append(request, word));
}

/// What a webhook saw of each request.
fn record(world: &World, name: &str, show: fn(&Value) -> String) -> Arc<Mutex<Vec<String>>> {
    let seen: Arc<Mutex<Vec<String>>> = Arc::default();
    let kept = seen.clone();
    serve(world, name, move |request| {
        kept.lock().unwrap().push(show(request));
        allow()
    });
    seen
}

fn taken(seen: &Mutex<Vec<String>>) -> String {
    std::mem::take(&mut *seen.lock().unwrap()).join("; ")
}

fn in_words(request: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or("").to_owned();
    let object = |value: &Value| match value["kind"].as_str() {
        Some(kind) => format!("{}:{kind}", text(&value["apiVersion"])),
        None => "-".into(),
    };
    let mut resource = text(&request["resource"]["resource"]);
    if let Some(sub) = request["subResource"].as_str() {
        resource = format!("{resource}/{sub}");
    }
    format!(
        "{} {}.{} {}/{} {} <- {} by {} {}",
        text(&request["operation"]),
        resource,
        text(&request["resource"]["version"]),
        text(&request["namespace"]),
        text(&request["name"]),
        object(&request["object"]),
        object(&request["oldObject"]),
        text(&request["userInfo"]["username"]),
        text(&request["options"]["kind"]),
    )
}

#[tokio::test(start_paused = true)]
async fn mutating_webhooks_run_by_name_of_configuration_then_in_order() {
    let world = World::new().await;
    for word in ["b2", "b1", "a"] {
        serve_word(&world, word);
    }
    configure(&world, MUTATING, "b", &[webhook("b2"), webhook("b1")]).await;
    configure(&world, MUTATING, "a", &[webhook("a")]).await;
    let made = world.post(MAPS, map("m")).await.ok();
    assert_eq!(made["data"]["seen"], "a b2 b1 ");
    let changed = world
        .merge(&format!("{MAPS}/m"), json!({"data": {"seen": "x "}}))
        .await
        .ok();
    assert_eq!(changed["data"]["seen"], "x a b2 b1 ");
}

#[tokio::test(start_paused = true)]
async fn who_asked_for_it_is_called_again_after_later_changes() {
    let world = World::new().await;
    for word in ["again", "once", "late"] {
        serve_word(&world, word);
    }
    let again = |name| with(webhook(name), json!({"reinvocationPolicy": "IfNeeded"}));
    configure(
        &world,
        MUTATING,
        "c",
        &[again("again"), webhook("once"), again("late")],
    )
    .await;
    let made = world.post(MAPS, map("m")).await.ok();
    // The last one is called again because the first changed the object in the second pass.
    assert_eq!(made["data"]["seen"], "again once late again late ");
}

#[tokio::test(start_paused = true)]
async fn the_second_pass_is_one_of_all_plugins() {
    let world = World::new().await;
    serve(&world, "adds", |request| {
        let containers = request["object"]["spec"]["containers"].as_array().unwrap();
        if containers.len() > 1 {
            return allow();
        }
        patch(json!([
            {"op": "add", "path": "/spec/containers/-", "value": {"name": "side", "image": "side:1"}},
            {"op": "add", "path": "/spec/surprise", "value": true},
        ]))
    });
    let pods = json!({"rules": [rule(&["CREATE"], "", "v1", &["pods"])]});
    configure(&world, MUTATING, "c", &[with(webhook("adds"), pods)]).await;
    let account =
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}});
    world
        .post("/api/v1/namespaces/default/serviceaccounts", account)
        .await
        .ok();
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"},
        "spec": {"containers": [{"name": "main", "image": "main"}]}});
    let made = world
        .post("/api/v1/namespaces/default/pods", pod)
        .await
        .ok();
    let side = &made["spec"]["containers"][1];
    // Defaults and the ServiceAccount plugin know the container; unknown fields are gone.
    assert_eq!(side["imagePullPolicy"], "IfNotPresent");
    assert_eq!(side["terminationMessagePath"], "/dev/termination-log");
    let token = "/var/run/secrets/kubernetes.io/serviceaccount";
    assert_eq!(side["volumeMounts"][0]["mountPath"], token);
    assert!(made["spec"].get("surprise").is_none());
}

#[tokio::test(start_paused = true)]
async fn rules_say_which_operations_and_resources_are_seen() {
    let world = World::new().await;
    let seen = record(&world, "sees", in_words);
    let everything = json!({"rules": [
        {"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*/*"]},
    ]});
    configure(
        &world,
        VALIDATING,
        "c",
        &[with(webhook("sees"), everything)],
    )
    .await;
    let deployment = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "spec": {
        "selector": {"matchLabels": {"a": "b"}},
        "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}},
    }});
    let deployments = "/apis/apps/v1/namespaces/default/deployments";
    world.post(deployments, deployment).await.ok();
    let path = format!("{deployments}/d");
    world
        .merge(&format!("{path}/scale"), json!({"spec": {"replicas": 3}}))
        .await
        .ok();
    world
        .merge(
            &format!("{path}/status"),
            json!({"status": {"replicas": 3}}),
        )
        .await
        .ok();
    world.apply(&format!("{MAPS}/m"), map("m")).await.ok();
    world.delete(&path).await.ok();
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n"}});
    world.post("/api/v1/namespaces", namespace).await.ok();
    let review = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": {"verb": "get", "resource": "pods"}}});
    world
        .post(
            "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
            review,
        )
        .await
        .ok();
    expect![[r#"
        CREATE deployments.v1 default/d apps/v1:Deployment <- - by admin CreateOptions
        UPDATE deployments/scale.v1 default/d autoscaling/v1:Scale <- autoscaling/v1:Scale by admin PatchOptions
        UPDATE deployments/status.v1 default/d apps/v1:Deployment <- apps/v1:Deployment by admin PatchOptions
        CREATE configmaps.v1 default/m v1:ConfigMap <- - by admin CreateOptions
        DELETE deployments.v1 default/d - <- apps/v1:Deployment by admin DeleteOptions
        CREATE namespaces.v1 n/n v1:Namespace <- - by admin CreateOptions
        CREATE selfsubjectaccessreviews.v1 / authorization.k8s.io/v1:SelfSubjectAccessReview <- - by admin CreateOptions"#]]
    .assert_eq(&taken(&seen).replace("; ", "\n"));
}

#[tokio::test(start_paused = true)]
async fn each_object_of_a_collection_that_is_deleted_is_seen_without_a_name() {
    let world = World::new().await;
    for name in ["a", "b"] {
        world.post(MAPS, map(name)).await.ok();
    }
    let show = |request: &Value| {
        let old = &request["oldObject"]["metadata"]["name"];
        format!("{} old {old}", in_words(request))
    };
    let changes = record(&world, "changes", show);
    let judges = record(&world, "judges", show);
    configure(&world, MUTATING, "m", &[webhook("changes")]).await;
    configure(&world, VALIDATING, "v", &[webhook("judges")]).await;
    world.delete(MAPS).await.ok();
    let mut lines = vec![taken(&changes), taken(&judges)];
    world.post(MAPS, map("c")).await.ok();
    taken(&changes);
    taken(&judges);
    world.delete(&format!("{MAPS}/c")).await.ok();
    lines.extend([taken(&changes), taken(&judges)]);
    let lines = lines.join("\n");
    expect![[r#"
        DELETE configmaps.v1 default/ - <- v1:ConfigMap by admin DeleteOptions old "a"
        DELETE configmaps.v1 default/ - <- v1:ConfigMap by admin DeleteOptions old "b"
        DELETE configmaps.v1 default/ - <- v1:ConfigMap by admin DeleteOptions old "a"
        DELETE configmaps.v1 default/ - <- v1:ConfigMap by admin DeleteOptions old "b"
        DELETE configmaps.v1 default/c - <- v1:ConfigMap by admin DeleteOptions old "c"
        DELETE configmaps.v1 default/c - <- v1:ConfigMap by admin DeleteOptions old "c""#]]
    .assert_eq(&lines.replace("; ", "\n"));
}

#[tokio::test(start_paused = true)]
async fn bindings_evictions_and_connections_are_seen_as_such() {
    let world = World::new().await;
    let account =
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}});
    let accounts = "/api/v1/namespaces/default/serviceaccounts";
    world.post(accounts, account).await.ok();
    let pods = "/api/v1/namespaces/default/pods";
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"},
        "spec": {"containers": [{"name": "c", "image": "i"}]}});
    world.post(pods, pod).await.ok();
    let seen = record(&world, "sees", in_words);
    let subresources = json!({"rules": [rule(&["*"], "", "v1", &["pods/*"])]});
    configure(
        &world,
        VALIDATING,
        "c",
        &[with(webhook("sees"), subresources)],
    )
    .await;
    let binding = json!({"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "p"},
        "target": {"kind": "Node", "name": "n"}});
    world.post(&format!("{pods}/p/binding"), binding).await.ok();
    assert_eq!(
        world.get(&format!("{pods}/p")).await.ok()["spec"]["nodeName"],
        "n"
    );
    let exec = format!("{pods}/p/exec?command=ls&stdout=true");
    assert_eq!(world.post(&exec, Value::Null).await.code, 400);
    let eviction =
        json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "p"}});
    world
        .post(&format!("{pods}/p/eviction"), eviction)
        .await
        .ok();
    // What an eviction deletes is not admitted as a deletion.
    let lines = taken(&seen).replace("; ", "\n");
    expect![[r#"
        CREATE pods/binding.v1 default/p v1:Binding <- - by admin CreateOptions
        CONNECT pods/exec.v1 default/p v1:PodExecOptions <- - by admin 
        CREATE pods/eviction.v1 default/p policy/v1:Eviction <- - by admin CreateOptions"#]]
    .assert_eq(&lines);
    serve(&world, "sees", |_| deny("no shells"));
    assert_eq!(
        world.post(&exec, Value::Null).await.refused(),
        "400 -: admission webhook \"sees.example.com\" denied the request: no shells"
    );
}

#[tokio::test(start_paused = true)]
async fn selectors_look_at_namespaces_and_at_old_and_new_objects() {
    let world = World::new().await;
    let by_namespace = record(&world, "namespace", in_words);
    let by_object = record(&world, "object", in_words);
    let cluster_rules = json!([
        rule(&["*"], "", "v1", &["configmaps", "namespaces"]),
        rule(&["*"], "rbac.authorization.k8s.io", "v1", &["clusterroles"]),
    ]);
    let blue = json!({"matchLabels": {"color": "blue"}});
    configure(
        &world,
        VALIDATING,
        "c",
        &[
            with(
                webhook("namespace"),
                json!({"namespaceSelector": blue, "rules": cluster_rules}),
            ),
            with(
                webhook("object"),
                json!({"objectSelector": blue, "rules": cluster_rules}),
            ),
        ],
    )
    .await;
    let namespace = |name: &str, color: &str| json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": {"color": color}}});
    world
        .post("/api/v1/namespaces", namespace("sky", "blue"))
        .await
        .ok();
    world
        .post("/api/v1/namespaces", namespace("grass", "green"))
        .await
        .ok();
    for name in ["sky", "grass"] {
        world
            .post(&format!("/api/v1/namespaces/{name}/configmaps"), map("m"))
            .await
            .ok();
    }
    let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "r"}});
    world
        .post("/apis/rbac.authorization.k8s.io/v1/clusterroles", role)
        .await
        .ok();
    let names = |lines: String| -> Vec<String> {
        let word = |line: &str| line.split(' ').take(3).collect::<Vec<_>>().join(" ");
        lines.split("; ").map(word).collect()
    };
    assert_eq!(
        names(taken(&by_namespace)),
        [
            "CREATE namespaces.v1 sky/sky",
            "CREATE configmaps.v1 sky/m",
            "CREATE clusterroles.v1 /r"
        ]
    );
    assert_eq!(names(taken(&by_object)), ["CREATE namespaces.v1 sky/sky"]);
    let path = format!("{MAPS}/m");
    world.post(MAPS, map("m")).await.ok();
    for color in ["blue", "green", "red"] {
        let labels = json!({"metadata": {"labels": {"color": color}}});
        world.merge(&path, labels).await.ok();
    }
    // To blue, and away from it.
    assert_eq!(names(taken(&by_object)).len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_is_for_those_without_side_effects() {
    let world = World::new().await;
    serve_word(&world, "word");
    configure(&world, MUTATING, "c", &[webhook("word")]).await;
    let path = format!("{MAPS}?dryRun=All");
    assert_eq!(
        world.post(&path, map("m")).await.ok()["data"]["seen"],
        "word "
    );
    assert_eq!(world.get(&format!("{MAPS}/m")).await.code, 404);
    // Only old configurations have side effects: new ones are refused.
    let wrong = json!({"webhooks": [with(webhook("word"), json!({"sideEffects": "Some"}))]});
    assert_eq!(
        world.merge(&format!("{MUTATING}/c"), wrong).await.refused(),
        "422 Invalid: MutatingWebhookConfiguration.admissionregistration.k8s.io \"c\" is invalid: \
         webhooks[0].sideEffects: Unsupported value: \"Some\": supported values: \"None\", \"NoneOnDryRun\""
    );
}

/// Never answers.
struct Silent;

#[async_trait::async_trait]
impl Handler for Silent {
    async fn answer(&self, _: Value) -> Result<Value, String> {
        std::future::pending().await
    }
}

#[tokio::test(start_paused = true)]
async fn the_failure_policy_decides_about_those_that_do_not_answer() {
    let world = World::new().await;
    serve_handler(&world, "silent", Arc::new(Silent));
    let short = with(webhook("silent"), json!({"timeoutSeconds": 1}));
    for path in [MUTATING, VALIDATING] {
        configure(&world, path, "c", std::slice::from_ref(&short)).await;
        let begun = tokio::time::Instant::now();
        assert_eq!(
            world.post(MAPS, map("m")).await.refused(),
            "500 InternalError: Internal error occurred: failed calling webhook \"silent.example.com\": failed to call \
             webhook: Post \"https://hooks.hooks.svc:443/silent?timeout=1s\": context deadline exceeded"
        );
        assert_eq!(begun.elapsed().as_secs(), 1);
        world.delete(&format!("{path}/c")).await.ok();
    }
    let lenient = with(short, json!({"failurePolicy": "Ignore"}));
    for path in [MUTATING, VALIDATING] {
        configure(&world, path, "c", std::slice::from_ref(&lenient)).await;
    }
    world.post(MAPS, map("m")).await.ok();
}

/// Two webhooks that never answer, and are forgiven that after half a minute each.
fn two_silent(world: &World) -> [Value; 2] {
    serve_handler(world, "silent", Arc::new(Silent));
    let slow = json!({"timeoutSeconds": 30, "failurePolicy": "Ignore"});
    ["a", "b"].map(|name| {
        let named = json!({"name": format!("{name}.example.com")});
        with(with(webhook("silent"), slow.clone()), named)
    })
}

#[tokio::test(start_paused = true)]
async fn many_slow_webhooks_share_the_time_of_the_request() {
    let world = World::new().await;
    let two = two_silent(&world);
    configure(&world, MUTATING, "c", &two).await;
    let begun = tokio::time::Instant::now();
    world.post(MAPS, map("m")).await.ok();
    assert_eq!(begun.elapsed().as_secs(), 34);
}

#[tokio::test(start_paused = true)]
async fn a_request_is_worked_on_for_a_minute() {
    let world = World::new().await;
    let two = two_silent(&world);
    for path in [MUTATING, VALIDATING] {
        configure(&world, path, "c", &two).await;
    }
    for wish in ["", "?timeout=1h"] {
        let begun = tokio::time::Instant::now();
        assert_eq!(
            world
                .post(&format!("{MAPS}{wish}"), map("m"))
                .await
                .refused(),
            "504 Timeout: Timeout: request did not complete within the allotted timeout"
        );
        assert_eq!(begun.elapsed().as_secs(), 60);
    }
}

/// Allows everything, after a second.
struct Slow;

#[async_trait::async_trait]
impl Handler for Slow {
    async fn answer(&self, review: Value) -> Result<Value, String> {
        tokio::time::sleep(Duration::from_secs(1)).await;
        Ok(respond(&review, allow()))
    }
}

#[tokio::test(start_paused = true)]
async fn objects_of_a_collection_are_deleted_a_few_at_a_time() {
    let world = World::new().await;
    for n in 0..40 {
        world.post(MAPS, map(&format!("m-{n}"))).await.ok();
    }
    serve_handler(&world, "slow", Arc::new(Slow));
    let rules = json!({"rules": [rule(&["DELETE"], "", "v1", &["configmaps"])]});
    configure(&world, VALIDATING, "c", &[with(webhook("slow"), rules)]).await;
    let begun = tokio::time::Instant::now();
    let deleted = world.delete(MAPS).await.ok();
    assert_eq!(deleted["items"].as_array().unwrap().len(), 40);
    assert_eq!(begun.elapsed().as_secs(), 3);
    let left = world.get(MAPS).await.ok();
    assert_eq!(left["items"], json!([]));
}

/// Answers when as many are asked as the barrier waits for.
struct Together(Arc<Barrier>);

#[async_trait::async_trait]
impl Handler for Together {
    async fn answer(&self, review: Value) -> Result<Value, String> {
        self.0.wait().await;
        Ok(respond(&review, allow()))
    }
}

#[tokio::test(start_paused = true)]
async fn validating_webhooks_are_asked_at_once() {
    let world = World::new().await;
    let barrier = Arc::new(Barrier::new(3));
    let names = ["a", "b", "c"];
    for name in names {
        serve_handler(&world, name, Arc::new(Together(barrier.clone())));
    }
    configure(&world, VALIDATING, "c", &names.map(webhook)).await;
    world.post(MAPS, map("m")).await.ok();
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_the_webhooks_status() {
    let world = World::new().await;
    configure(&world, VALIDATING, "c", &[webhook("says")]).await;
    let answers = [
        json!({"allowed": false}),
        deny("too blue"),
        json!({"allowed": false, "status": {"reason": "TooBlue", "code": 200}}),
        json!({"allowed": false, "status": {"reason": "Forbidden", "message": "no", "code": 403,
            "details": {"causes": [{"field": "data"}]}}}),
    ];
    let mut said = vec![];
    for answer in answers {
        serve(&world, "says", move |_| answer.clone());
        said.push(world.post(MAPS, map("m")).await.refused());
    }
    expect![[r#"
        400 -: admission webhook "says.example.com" denied the request without explanation
        400 -: admission webhook "says.example.com" denied the request: too blue
        400 TooBlue: admission webhook "says.example.com" denied the request: TooBlue
        403 Forbidden: admission webhook "says.example.com" denied the request: no"#]]
    .assert_eq(&said.join("\n"));
    serve(
        &world,
        "says",
        |_| json!({"allowed": true, "warnings": ["think twice"]}),
    );
    let answer = world.post(MAPS, map("m")).await;
    assert_eq!(answer.warnings, ["299 - \"think twice\""]);
    serve(&world, "says", |request| {
        assert!(request["object"].is_null() && request["oldObject"]["metadata"]["name"] == "m");
        deny("stays")
    });
    let refused = world.delete(&format!("{MAPS}/m")).await.refused();
    assert!(refused.ends_with("denied the request: stays"), "{refused}");
}

#[tokio::test(start_paused = true)]
async fn answers_that_are_none_are_failures() {
    let world = World::new().await;
    configure(&world, MUTATING, "c", &[webhook("says")]).await;
    let patched = |operations: &str| {
        json!({"allowed": true, "patchType": "JSONPatch",
            "patch": base64::Engine::encode(&base64::engine::general_purpose::STANDARD, operations)})
    };
    let answers = [
        json!({"allowed": true, "patch": "W10="}),
        json!({"allowed": true, "patchType": "JSONPatch"}),
        json!({"allowed": true, "patch": "W10=", "patchType": "Merge"}),
        patched("nonsense"),
        patched(r#"[{"op": "remove", "path": "/data/absent"}]"#),
        patched(r#"[{"op": "add", "path": "/data", "value": "text"}]"#),
    ];
    let mut said = vec![];
    for answer in answers {
        serve(&world, "says", move |_| answer.clone());
        let answer = world.post(MAPS, map("m")).await;
        said.push(if answer.code < 300 {
            "ok".into()
        } else {
            answer.refused()
        });
    }
    expect![[r#"
        500 InternalError: Internal error occurred: failed calling webhook "says.example.com": received invalid webhook response: webhook returned response.patch but not response.patchType
        500 InternalError: Internal error occurred: failed calling webhook "says.example.com": received invalid webhook response: webhook returned response.patchType but not response.patch
        ok
        500 InternalError: Internal error occurred: failed calling webhook "says.example.com": received undecodable patch in webhook response: invalid character 'o' in literal null (expecting 'u')
        500 InternalError: Internal error occurred: operation 0 of the JSON Patch at path "/data/absent": path is invalid
        500 InternalError: Internal error occurred: ConfigMap in version "v1" cannot be handled as a ConfigMap: json: cannot unmarshal string into Go struct field ConfigMap.data of type map[string]string"#]].assert_eq(&said.join("\n"));
}

#[tokio::test(start_paused = true)]
async fn what_steers_admission_is_not_admitted_by_it() {
    let world = World::new().await;
    serve(&world, "never", |_| deny("never"));
    let everything = json!({"rules": [
        {"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*"]},
    ]});
    let never = with(webhook("never"), everything);
    configure(&world, VALIDATING, "c", std::slice::from_ref(&never)).await;
    configure(&world, MUTATING, "c", std::slice::from_ref(&never)).await;
    assert_eq!(world.post(MAPS, map("m")).await.code, 400);
    for path in [MUTATING, VALIDATING] {
        world.delete(&format!("{path}/c")).await.ok();
    }
    world.post(MAPS, map("m")).await.ok();
}

#[tokio::test(start_paused = true)]
async fn broken_managed_fields_are_put_back() {
    let world = World::new().await;
    serve(&world, "breaks", |_| {
        patch(
            json!([{"op": "add", "path": "/metadata/managedFields", "value": [{"manager": "x", "operation": "?"}]}]),
        )
    });
    configure(&world, MUTATING, "c", &[webhook("breaks")]).await;
    let mut full = map("m");
    full["data"] = json!({"a": "b"});
    let answer = world.post(MAPS, full).await;
    assert!(
        answer.warnings[0]
            .contains(".metadata.managedFields was in an invalid state after admission"),
        "{:?}",
        answer.warnings
    );
    assert_eq!(
        answer.ok()["metadata"]["managedFields"][0]["manager"],
        "tests"
    );
}

#[tokio::test(start_paused = true)]
async fn v1beta1_is_spoken_with_those_that_know_nothing_else() {
    let world = World::new().await;
    serve_word(&world, "old");
    let old = with(
        webhook("old"),
        json!({"admissionReviewVersions": ["v9", "v1beta1"]}),
    );
    configure(&world, MUTATING, "c", &[old]).await;
    assert_eq!(
        world.post(MAPS, map("m")).await.ok()["data"]["seen"],
        "old "
    );
}

#[tokio::test(start_paused = true)]
async fn other_versions_of_a_kind_match_if_they_are_equivalent() {
    let world = World::new().await;
    let version = |name: &str| {
        json!({
            "name": name, "served": true, "storage": name == "v2",
            "schema": {"openAPIV3Schema": {"type": "object", "properties": {
                "wings": {"type": "integer"}, "sting": {"type": "boolean", "default": true},
            }}},
        })
    };
    let versions = [version("v1"), version("v2")];
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "bees.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced", "names": {"plural": "bees", "kind": "Bee"},
            "versions": versions,
        },
    });
    let definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    world.post(definitions, definition).await.ok();
    serve(&world, "bees", |request| {
        assert_eq!(request["requestResource"]["version"], "v2");
        assert_eq!(
            request["requestKind"],
            json!({"group": "example.com", "version": "v2", "kind": "Bee"})
        );
        assert_eq!(request["object"]["apiVersion"], "example.com/v1");
        patch(json!([
            {"op": "add", "path": "/wings", "value": 4},
            {"op": "remove", "path": "/sting"},
            {"op": "add", "path": "/unknown", "value": 1},
        ]))
    });
    serve(&world, "exact", |_| deny("never asked"));
    let rules = json!({"rules": [rule(&["*"], "example.com", "v1", &["bees"])]});
    let exact = with(
        with(webhook("exact"), rules.clone()),
        json!({"matchPolicy": "Exact"}),
    );
    configure(
        &world,
        MUTATING,
        "c",
        &[with(webhook("bees"), rules), exact],
    )
    .await;
    let bee = json!({"apiVersion": "example.com/v2", "kind": "Bee", "metadata": {"name": "maja"}});
    let made = world
        .post("/apis/example.com/v2/namespaces/default/bees", bee)
        .await
        .ok();
    assert_eq!(
        (
            &made["apiVersion"],
            &made["wings"],
            &made["sting"],
            made.get("unknown")
        ),
        (&json!("example.com/v2"), &json!(4), &json!(true), None)
    );
}

#[tokio::test(start_paused = true)]
async fn calls_are_counted() {
    let world = World::new().await;
    serve(&world, "fine", |_| allow());
    serve(&world, "strict", |request| match request["name"].as_str() {
        Some("bad") => deny("no"),
        Some("wild") => json!({"allowed": false, "status": {"code": 9999}}),
        _ => allow(),
    });
    let conditions = json!([
        {"name": "not-skipped", "expression": "object.metadata.name != 'skipped'"},
        {"name": "fails", "expression": "object.metadata.name != 'broken' || object.none == ''"},
    ]);
    let forgiving = json!({"failurePolicy": "Ignore"});
    configure(
        &world,
        MUTATING,
        "m",
        &[
            with(webhook("fine"), json!({"matchConditions": conditions})),
            with(webhook("absent"), forgiving),
        ],
    )
    .await;
    configure(&world, VALIDATING, "v", &[webhook("strict")]).await;
    for (name, code) in [
        ("ok", 201),
        ("bad", 400),
        ("wild", 400),
        ("skipped", 201),
        ("broken", 403),
    ] {
        assert_eq!(world.post(MAPS, map(name)).await.code, code, "{name}");
    }
    let metrics = world.get("/metrics").await.body;
    let lines = metrics.as_str().unwrap().lines();
    let counts = lines.filter(|line| {
        line.starts_with("apiserver_admission_")
            && !line.contains("_bucket")
            && !line.contains("_sum")
    });
    expect![[r#"
        apiserver_admission_webhook_admission_duration_seconds_count{name="absent.example.com",type="admit",operation="CREATE",rejected="false"} 4
        apiserver_admission_webhook_admission_duration_seconds_count{name="fine.example.com",type="admit",operation="CREATE",rejected="false"} 3
        apiserver_admission_webhook_admission_duration_seconds_count{name="strict.example.com",type="validating",operation="CREATE",rejected="false"} 2
        apiserver_admission_webhook_admission_duration_seconds_count{name="strict.example.com",type="validating",operation="CREATE",rejected="true"} 2
        apiserver_admission_webhook_request_total{name="absent.example.com",type="admit",operation="CREATE",code="503",rejected="false"} 4
        apiserver_admission_webhook_request_total{name="fine.example.com",type="admit",operation="CREATE",code="200",rejected="false"} 3
        apiserver_admission_webhook_request_total{name="strict.example.com",type="validating",operation="CREATE",code="200",rejected="false"} 2
        apiserver_admission_webhook_request_total{name="strict.example.com",type="validating",operation="CREATE",code="400",rejected="true"} 2
        apiserver_admission_webhook_rejection_count{name="strict.example.com",type="validating",operation="CREATE",error_type="no_error",rejection_code="400"} 2
        apiserver_admission_webhook_fail_open_count{name="absent.example.com",type="admit"} 4
        apiserver_admission_match_condition_evaluation_errors_total{name="fine.example.com",kind="webhook",type="admit",operation="CREATE"} 1
        apiserver_admission_match_condition_exclusions_total{name="fine.example.com",kind="webhook",type="admit",operation="CREATE"} 1
        apiserver_admission_match_condition_evaluation_seconds_count{name="fine.example.com",kind="webhook",type="admit",operation="CREATE"} 5"#]].assert_eq(&counts.collect::<Vec<_>>().join("\n"));
}
