//! The audit log as it is on disk, after requests over the wire.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use apiserver::audit::{Audit, Log, LogConfig, Policy};
use apiserver::auth::User;
use apiserver::{InProcess, Security};
use expect_test::{Expect, expect};
use http::Request;
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::extension::{Extension, WIDGETS};
use crate::hook;
use crate::world::World;

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const SECRETS: &str = "/api/v1/namespaces/default/secrets";

struct Audited {
    world: World,
    log: Log,
    path: PathBuf,
    _folder: tempfile::TempDir,
}

/// A world that writes down what `rules` want.
async fn audited(rules: &str) -> Audited {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.log");
    let log = Log::open(LogConfig::new(&path)).unwrap();
    let policy = format!("apiVersion: audit.k8s.io/v1\nkind: Policy\n{rules}");
    let policy = Arc::new(Policy::parse(&policy).unwrap());
    let kept = log.clone();
    let security = Security {
        audit: Some(Arc::new(move |cluster| {
            Some(Audit::new(policy.clone(), log.clone(), cluster))
        })),
        ..Security::default()
    };
    Audited {
        world: World::guarded(security).await,
        log: kept,
        path,
        _folder: folder,
    }
}

impl Audited {
    async fn events(&self) -> Vec<Value> {
        self.log.flush().await;
        read(&self.path)
    }

    /// Stage, verb, object and code of each event.
    async fn check(&self, expected: Expect) {
        let mut text = String::new();
        for event in self.events().await {
            let object = &event["objectRef"];
            let part = |value: &Value| value.as_str().unwrap_or("-").to_owned();
            text += &format!(
                "{} {} {} {}/{} {}\n",
                part(&event["level"]),
                part(&event["stage"]),
                part(&event["verb"]),
                part(&object["resource"]),
                part(&object["name"]),
                event["responseStatus"]["code"]
            );
        }
        expected.assert_eq(&text);
    }
}

fn read(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn config_map(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"a": "b"}})
}

#[tokio::test]
async fn each_request_is_written_down_as_far_as_the_policy_wants_it() {
    let audited = audited(
        "
rules:
- {level: None, verbs: [list]}
- {level: RequestResponse, omitManagedFields: true, omitStages: [RequestReceived], resources: [{group: '', resources: [configmaps]}]}
- {level: Metadata}
",
    )
    .await;
    let world = &audited.world;
    world.post(MAPS, config_map("a")).await.ok();
    world.get(MAPS).await.ok();
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"p": "hidden"}});
    world.post(SECRETS, secret).await.ok();
    world.delete(&format!("{SECRETS}/s")).await.ok();
    assert_eq!(world.get(&format!("{MAPS}/b")).await.code, 404);
    world.get("/version").await.ok();
    audited
        .check(expect![[r#"
            RequestResponse ResponseComplete create configmaps/a 201
            Metadata RequestReceived create secrets/- null
            Metadata ResponseComplete create secrets/s 201
            Metadata RequestReceived delete secrets/s null
            Metadata ResponseComplete delete secrets/s 200
            RequestResponse ResponseComplete get configmaps/b 404
            Metadata RequestReceived get -/- null
            Metadata ResponseComplete get -/- 200
        "#]])
        .await;
    let text = std::fs::read_to_string(&audited.path).unwrap();
    assert!(!text.contains("hidden") && !text.contains("aGlkZGVu"));
    let events = audited.events().await;
    assert_eq!(events[0]["requestObject"]["data"], json!({"a": "b"}));
    let answer = &events[0]["responseObject"]["metadata"];
    assert!(answer["uid"].is_string() && answer["managedFields"].is_null());
    assert_eq!(events[4]["responseStatus"]["status"], "Success");
    assert_eq!(
        events[5]["responseStatus"],
        json!({"metadata": {}, "status": "Failure", "code": 404, "reason": "NotFound",
            "message": "configmaps \"b\" not found", "details": {"name": "b", "kind": "configmaps"}})
    );
    let metrics = world.get("/metrics").await.ok();
    let metrics = metrics.as_str().unwrap();
    for line in [
        "apiserver_audit_event_total 9",
        "apiserver_audit_level_total{level=\"None\"} 1",
        "apiserver_audit_error_total{plugin=\"log\",reason=\"queue-full\"} 0",
    ] {
        assert!(metrics.contains(line), "{line} is not in {metrics}");
    }
}

#[tokio::test]
async fn an_event_has_all_fields() {
    let audited = audited("rules: [{level: Metadata, omitStages: [RequestReceived]}]").await;
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "jane"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "jane"}],
    });
    let bindings = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings";
    audited.world.post(bindings, binding).await.ok();
    let request = Request::builder()
        .uri(format!("{MAPS}/kube-root-ca.crt?pretty=1"))
        .header("audit-id", "chosen")
        .header("user-agent", "x".repeat(2000))
        .header("impersonate-user", "jane")
        .header("x-forwarded-for", "192.0.2.1, nonsense, 192.0.2.2")
        .body(Full::new(bytes::Bytes::new()))
        .unwrap();
    let service = audited.world.service.clone();
    let response = service.oneshot(request).await.unwrap();
    assert_eq!(response.headers()["audit-id"], "chosen");
    let mut event = audited.events().await.pop().unwrap();
    let agent = event["userAgent"].take();
    assert!(agent.as_str().unwrap().ends_with("xx...TRUNCATED"));
    expect![[r#"
        {
          "annotations": {
            "apiserver/logical-cluster": "test",
            "authorization.k8s.io/decision": "allow",
            "authorization.k8s.io/reason": "RBAC: allowed by ClusterRoleBinding \"jane\" of ClusterRole \"view\" to User \"jane\""
          },
          "apiVersion": "audit.k8s.io/v1",
          "auditID": "chosen",
          "authenticationMetadata": {
            "impersonationConstraint": "impersonate:user-info"
          },
          "impersonatedUser": {
            "groups": [
              "system:authenticated"
            ],
            "username": "jane"
          },
          "kind": "Event",
          "level": "Metadata",
          "objectRef": {
            "apiVersion": "v1",
            "name": "kube-root-ca.crt",
            "namespace": "default",
            "resource": "configmaps"
          },
          "requestReceivedTimestamp": "2026-04-22T12:00:00.000000Z",
          "requestURI": "/api/v1/namespaces/default/configmaps/kube-root-ca.crt?pretty=1",
          "responseStatus": {
            "code": 404,
            "details": {
              "kind": "configmaps",
              "name": "kube-root-ca.crt"
            },
            "message": "configmaps \"kube-root-ca.crt\" not found",
            "metadata": {},
            "reason": "NotFound",
            "status": "Failure"
          },
          "sourceIPs": [
            "192.0.2.1",
            "192.0.2.2"
          ],
          "stage": "ResponseComplete",
          "stageTimestamp": "2026-04-22T12:00:00.000000Z",
          "user": {
            "groups": [
              "system:masters",
              "system:authenticated"
            ],
            "username": "admin"
          },
          "userAgent": null,
          "verb": "get"
        }"#]]
    .assert_eq(&serde_json::to_string_pretty(&event).unwrap());
}

#[tokio::test]
async fn refusals_are_written_down_with_their_reasons() {
    let audited = audited("rules: [{level: RequestResponse}]").await;
    let jane = audited.world.seen_by(User::authenticated("jane", []));
    assert_eq!(jane.get(SECRETS).await.code, 403);
    let event = audited.events().await.pop().unwrap();
    assert_eq!(
        event["annotations"]["authorization.k8s.io/decision"],
        "forbid"
    );
    assert_eq!(event["responseStatus"]["code"], 403);
    assert!(event["responseObject"].is_null(), "of Secrets nothing more");
    let stranger = World {
        service: audited.world.cluster.network_service(Some(vec![1, 2, 3])),
        ..jane
    };
    assert_eq!(stranger.get(MAPS).await.code, 401);
    let event = audited.events().await.pop().unwrap();
    assert_eq!(event["stage"], "ResponseStarted");
    assert_eq!(
        event["responseStatus"]["message"],
        "Authentication failed, attempted: x509"
    );
    assert_eq!(event["user"], json!({}));
}

#[tokio::test]
async fn who_acts_as_somebody_else_is_written_down_with_the_verb_that_allowed_it() {
    let audited = audited("rules: [{level: Metadata, omitStages: [RequestReceived]}]").await;
    let act = async |world: &World| {
        let request = Request::builder()
            .uri(MAPS)
            .header("impersonate-user", "jane")
            .body(Full::new(bytes::Bytes::new()))
            .unwrap();
        world.service.clone().oneshot(request).await.unwrap();
        let event = audited.events().await.pop().unwrap();
        format!(
            "{} as {} by {}",
            event["user"]["username"],
            event["impersonatedUser"]["username"],
            event["authenticationMetadata"]
        )
    };
    let rbac = "/apis/rbac.authorization.k8s.io/v1";
    let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "r"},
    "rules": [
        {"verbs": ["impersonate:user-info"], "apiGroups": ["authentication.k8s.io"], "resources": ["users"]},
        {"verbs": ["impersonate-on:user-info:list"], "apiGroups": [""], "resources": ["configmaps"]},
    ]});
    let group = "rbac.authorization.k8s.io";
    let binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "r"},
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": "r"},
        "subjects": [{"apiGroup": group, "kind": "User", "name": "robot"}]});
    let world = &audited.world;
    world.post(&format!("{rbac}/clusterroles"), role).await.ok();
    world
        .post(&format!("{rbac}/clusterrolebindings"), binding)
        .await
        .ok();
    let robot = world.seen_by(User::authenticated("robot", []));
    // system:masters have every verb, the finer ones too.
    assert_eq!(
        act(world).await,
        r#""admin" as "jane" by {"impersonationConstraint":"impersonate:user-info"}"#
    );
    assert_eq!(
        act(&robot).await,
        r#""robot" as "jane" by {"impersonationConstraint":"impersonate:user-info"}"#
    );
}

#[tokio::test]
async fn a_watch_starts_and_completes() {
    let audited = audited(
        "rules: [{level: RequestResponse, resources: [{group: '', resources: [configmaps]}]}]",
    )
    .await;
    let path = format!("{MAPS}?watch=1&resourceVersion=100000");
    let watching = audited.world.watch(&path).await;
    audited
        .check(expect![[r#"
            RequestResponse RequestReceived watch configmaps/- null
            RequestResponse ResponseStarted watch configmaps/- 200
        "#]])
        .await;
    drop(watching);
    audited
        .check(expect![[r#"
            RequestResponse RequestReceived watch configmaps/- null
            RequestResponse ResponseStarted watch configmaps/- 200
            RequestResponse ResponseComplete watch configmaps/- 200
        "#]])
        .await;
}

#[tokio::test]
async fn a_client_that_goes_away_leaves_an_end() {
    let audited = audited("rules: [{level: Metadata, omitStages: [RequestReceived]}]").await;
    let request = Request::builder()
        .method("POST")
        .uri(MAPS)
        .header("content-type", "application/json")
        .body(http_body_util::combinators::UnsyncBoxBody::new(Never))
        .unwrap();
    let service: InProcess = audited.world.service.clone();
    let mut answer = Box::pin(service.oneshot(request));
    assert!(futures::poll!(answer.as_mut()).is_pending());
    drop(answer);
    let event = audited.events().await.pop().unwrap();
    assert_eq!(event["stage"], "ResponseComplete");
    assert_eq!(
        event["responseStatus"]["message"],
        "the client went away before it was answered"
    );
}

/// A body that never comes.
struct Never;

impl http_body::Body for Never {
    type Data = bytes::Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<bytes::Bytes>, Self::Error>>> {
        std::task::Poll::Pending
    }
}

/// Annotates, or fails, what is created under these names.
struct Plugin;

#[async_trait::async_trait]
impl apiserver::admission::Admission for Plugin {
    fn name(&self) -> &'static str {
        "Plugin"
    }

    async fn admit(
        &self,
        request: &mut apiserver::admission::Request<'_>,
        object: &mut Value,
    ) -> Result<(), apiserver::status::Status> {
        let seen = request.resource.plural.to_string();
        request.audit.insert("plugin.example.com/seen".into(), seen);
        assert_ne!(object["metadata"]["name"], "fatal");
        Ok(())
    }
}

#[tokio::test]
async fn admission_annotates_and_a_failing_server_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.log");
    let log = Log::open(LogConfig::new(&path)).unwrap();
    let policy = "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: Metadata, omitStages: [RequestReceived]}]";
    let policy = Arc::new(Policy::parse(policy).unwrap());
    let kept = log.clone();
    let security = Security {
        audit: Some(Arc::new(move |cluster| {
            Some(Audit::new(policy.clone(), log.clone(), cluster))
        })),
        ..Security::default()
    };
    let world = World::admitting(security, Arc::new(|_| vec![Arc::new(Plugin)])).await;
    world.post(MAPS, config_map("a")).await.ok();
    let refused = world.post(MAPS, config_map("fatal")).await.refused();
    assert_eq!(
        refused,
        "500 InternalError: this request made the server fail: its log says more"
    );
    world.get(MAPS).await.ok();
    kept.flush().await;
    let events = read(&path);
    let note = |at: usize| events[at]["annotations"]["plugin.example.com/seen"].clone();
    assert_eq!(note(0), "configmaps");
    assert_eq!(events[1]["stage"], "Panic");
    assert_eq!(events[1]["responseStatus"]["code"], 500);
    assert_eq!(events[2]["responseStatus"]["code"], 200);
}

/// The annotations of the request that created the ConfigMap `name`, one a line.
async fn annotations(audited: &Audited, name: &str) -> String {
    let events = audited.events().await;
    let event = events
        .iter()
        .find(|event| event["objectRef"]["name"] == name && event["verb"] == "create");
    let notes = event.unwrap()["annotations"].as_object().unwrap().clone();
    let lines = notes.iter().filter(|(key, _)| {
        !key.starts_with("authorization.k8s.io/") && !key.starts_with("apiserver/")
    });
    let lines: Vec<String> = lines
        .map(|(key, value)| format!("{key}: {value}"))
        .collect();
    lines.join("\n")
}

#[tokio::test(start_paused = true)]
async fn webhooks_and_policies_annotate_what_they_saw() {
    const GROUP: &str = "/apis/admissionregistration.k8s.io/v1";
    let audited = audited(
        "
omitStages: [RequestReceived]
rules:
- {level: Metadata, namespaces: [kube-system]}
- {level: Request}
",
    )
    .await;
    let world = &audited.world;
    hook::serve(world, "changes", |_| {
        let mut answer = hook::patch(json!([{"op": "add", "path": "/data/b", "value": "c"}]));
        answer["auditAnnotations"] = json!({"why": "because"});
        answer
    });
    hook::serve(
        world,
        "judges",
        |_| json!({"allowed": true, "auditAnnotations": {"seen": "yes"}}),
    );
    let absent = hook::with(hook::webhook("absent"), json!({"failurePolicy": "Ignore"}));
    let mutating = [hook::webhook("changes"), absent.clone()];
    hook::configure(world, hook::MUTATING, "m", &mutating).await;
    let validating = [hook::webhook("judges"), absent];
    hook::configure(world, hook::VALIDATING, "v", &validating).await;
    let object = |kind: &str, name: &str, spec: Value| json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": kind, "metadata": {"name": name}, "spec": spec});
    for name in ["first", "second"] {
        let policy = json!({
            "matchConstraints": {"resourceRules": [{"apiGroups": [""], "apiVersions": ["v1"],
                "resources": ["configmaps"], "operations": ["CREATE"]}]},
            "validations": [{"expression": "'x' in object.data", "message": format!("{name} wants x")}],
            "auditAnnotations": [
                {"key": "b", "valueExpression": "'b is ' + object.data.b"},
                {"key": "nothing", "valueExpression": "null"},
            ],
        });
        let policy = object("ValidatingAdmissionPolicy", name, policy);
        world
            .post(&format!("{GROUP}/validatingadmissionpolicies"), policy)
            .await
            .ok();
        let binding = json!({"policyName": name, "validationActions": ["Audit"]});
        let binding = object("ValidatingAdmissionPolicyBinding", name, binding);
        world
            .post(
                &format!("{GROUP}/validatingadmissionpolicybindings"),
                binding,
            )
            .await
            .ok();
    }
    world.post(MAPS, config_map("loud")).await.ok();
    let quiet = "/api/v1/namespaces/kube-system/configmaps";
    world.post(quiet, config_map("quiet")).await.ok();
    expect![[r#"
        changes.example.com/why: "because"
        failed-open.mutation.webhook.admission.k8s.io/round_0_index_1: "absent.example.com"
        failed-open.validating.webhook.admission.k8s.io/round_0_index_1: "absent.example.com"
        first/b: "b is c"
        judges.example.com/seen: "yes"
        mutation.webhook.admission.k8s.io/round_0_index_0: "{\"configuration\":\"m\",\"mutated\":true,\"webhook\":\"changes.example.com\"}"
        mutation.webhook.admission.k8s.io/round_0_index_1: "{\"configuration\":\"m\",\"mutated\":false,\"webhook\":\"absent.example.com\"}"
        patch.webhook.admission.k8s.io/round_0_index_0: "{\"configuration\":\"m\",\"patch\":[{\"op\":\"add\",\"path\":\"/data/b\",\"value\":\"c\"}],\"patchType\":\"JSONPatch\",\"webhook\":\"changes.example.com\"}"
        second/b: "b is c"
        validation.policy.admission.k8s.io/validation_failure: "[{\"binding\":\"first\",\"expressionIndex\":0,\"message\":\"first wants x\",\"policy\":\"first\",\"validationActions\":[\"Audit\"]}]""#]].assert_eq(&annotations(&audited, "loud").await);
    // A patch is part of a body.
    expect![[r#"
        changes.example.com/why: "because"
        failed-open.mutation.webhook.admission.k8s.io/round_0_index_1: "absent.example.com"
        failed-open.validating.webhook.admission.k8s.io/round_0_index_1: "absent.example.com"
        first/b: "b is c"
        judges.example.com/seen: "yes"
        mutation.webhook.admission.k8s.io/round_0_index_0: "{\"configuration\":\"m\",\"mutated\":true,\"webhook\":\"changes.example.com\"}"
        mutation.webhook.admission.k8s.io/round_0_index_1: "{\"configuration\":\"m\",\"mutated\":false,\"webhook\":\"absent.example.com\"}"
        second/b: "b is c"
        validation.policy.admission.k8s.io/validation_failure: "[{\"binding\":\"first\",\"expressionIndex\":0,\"message\":\"first wants x\",\"policy\":\"first\",\"validationActions\":[\"Audit\"]}]""#]].assert_eq(&annotations(&audited, "quiet").await);
}

#[tokio::test]
async fn answers_are_written_down_however_they_are_encoded() {
    let audited = audited("rules: [{level: RequestResponse, omitStages: [RequestReceived]}]").await;
    let mut map = config_map("big");
    map["data"] = json!({"a": "x".repeat(200_000)});
    audited.world.post(MAPS, map).await.ok();
    for (header, value) in [
        ("accept-encoding", "gzip"),
        ("accept", "application/yaml"),
        ("accept", "application/vnd.kubernetes.protobuf"),
    ] {
        let request = Request::builder()
            .uri(format!("{MAPS}/big"))
            .header(header, value)
            .body(Full::new(bytes::Bytes::new()))
            .unwrap();
        let response = audited
            .world
            .service
            .clone()
            .oneshot(request)
            .await
            .unwrap();
        assert_eq!(response.status(), 200);
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert!(!body.is_empty());
        let event = audited.events().await.pop().unwrap();
        let kept = event["responseObject"]["data"]["a"].as_str().unwrap();
        assert_eq!(kept.len(), 200_000, "{header}: {value}");
    }
}

#[tokio::test]
async fn an_answer_of_an_extension_server_that_breaks_off_is_no_success() {
    let audited = audited(
        "
rules:
- {level: RequestResponse, omitStages: [RequestReceived], resources: [{group: ext.example.com}]}
",
    )
    .await;
    let extension = Extension::start(&audited.world).await;
    extension.register(&audited.world).await;
    let answer = audited
        .world
        .post(&format!("{WIDGETS}/a/broken"), json!({}))
        .await;
    let refused = answer.refused();
    let text = "503 ServiceUnavailable: error trying to reach service: reading its answer: ";
    assert!(refused.starts_with(text), "{refused}");
    audited
        .check(expect![[r#"
            RequestResponse ResponseComplete create widgets/a 503
        "#]])
        .await;
}
