//! API priority and fairness over the wire: sorting, turns, refusals, and the objects that say how.

use apiserver::auth::User;
use apiserver::rest::Body;
use bytes::Bytes;
use expect_test::{Expect, expect};
use futures::future::BoxFuture;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::world::World;

const SCHEMAS: &str = "/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas";
const LEVELS: &str = "/apis/flowcontrol.apiserver.k8s.io/v1/prioritylevelconfigurations";
const MAPS: &str = "/api/v1/namespaces/default/configmaps";

async fn respond(world: &World, path: &str) -> Response<Body> {
    let request = Request::builder()
        .uri(path)
        .body(Full::new(Bytes::new()))
        .unwrap();
    world.service.clone().oneshot(request).await.unwrap()
}

/// Which schema and level a user's request is sorted into, by the headers of the answer.
async fn sorted(world: &World, user: User, path: &str) -> String {
    let name_of = async |collection: &str, uid: Option<String>| {
        let uid = uid.unwrap_or_default();
        let list = world.get(collection).await.ok();
        let items = list["items"].as_array().unwrap();
        let found = items.iter().find(|item| item["metadata"]["uid"] == uid);
        found.map_or("-".to_owned(), |item| {
            item["metadata"]["name"].as_str().unwrap().to_owned()
        })
    };
    let response = respond(&world.seen_by(user), path).await;
    let header = |name: &str| {
        let value = response.headers().get(name)?;
        Some(value.to_str().unwrap().to_owned())
    };
    let schema = name_of(SCHEMAS, header("x-kubernetes-pf-flowschema-uid")).await;
    let level = name_of(LEVELS, header("x-kubernetes-pf-prioritylevel-uid")).await;
    format!("{schema} → {level}")
}

fn schema(name: &str, level: &str, user: &str, precedence: u32) -> Value {
    json!({
        "apiVersion": "flowcontrol.apiserver.k8s.io/v1", "kind": "FlowSchema", "metadata": {"name": name},
        "spec": {
            "priorityLevelConfiguration": {"name": level}, "matchingPrecedence": precedence,
            "distinguisherMethod": {"type": "ByUser"},
            "rules": [{
                "subjects": [{"kind": "Group", "group": {"name": user}}],
                "resourceRules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "namespaces": ["*"],
                    "clusterScope": true}],
            }],
        },
    })
}

fn level(name: &str, response: &Value) -> Value {
    json!({
        "apiVersion": "flowcontrol.apiserver.k8s.io/v1", "kind": "PriorityLevelConfiguration",
        "metadata": {"name": name},
        "spec": {"type": "Limited", "limited": {
            "nominalConcurrencyShares": 0, "borrowingLimitPercent": 0, "limitResponse": response}},
    })
}

#[tokio::test]
async fn requests_are_sorted_by_the_objects_that_every_cluster_has() {
    let world = World::new().await;
    let masters = User::authenticated("admin", ["system:masters".to_owned()]);
    let node = User::authenticated("system:node:n", ["system:nodes".to_owned()]);
    let mut text = String::new();
    let account = User::service_account;
    for (user, path) in [
        (masters, MAPS),
        (User::authenticated("jane", []), "/healthz"),
        (User::authenticated("jane", []), MAPS),
        (User::anonymous(), MAPS),
        (node.clone(), "/api/v1/nodes/n"),
        (node, MAPS),
        (account("kube-system", "job-controller", ""), MAPS),
        (
            account("kube-system", "x", ""),
            "/apis/coordination.k8s.io/v1/namespaces/default/leases/x",
        ),
        (account("default", "default", ""), MAPS),
        (User::authenticated("system:kube-scheduler", []), MAPS),
        (User::default(), MAPS),
    ] {
        let name = user.name.clone();
        text += &format!("{name} {path}: {}\n", sorted(&world, user, path).await);
    }
    expect![[r#"
        admin /api/v1/namespaces/default/configmaps: exempt → exempt
        jane /healthz: probes → exempt
        jane /api/v1/namespaces/default/configmaps: global-default → global-default
        system:anonymous /api/v1/namespaces/default/configmaps: global-default → global-default
        system:node:n /api/v1/nodes/n: system-node-high → node-high
        system:node:n /api/v1/namespaces/default/configmaps: system-nodes → system
        system:serviceaccount:kube-system:job-controller /api/v1/namespaces/default/configmaps: kube-system-service-accounts → workload-high
        system:serviceaccount:kube-system:x /apis/coordination.k8s.io/v1/namespaces/default/leases/x: system-leader-election → leader-election
        system:serviceaccount:default:default /api/v1/namespaces/default/configmaps: service-accounts → workload-low
        system:kube-scheduler /api/v1/namespaces/default/configmaps: kube-scheduler → workload-high
         /api/v1/namespaces/default/configmaps: catch-all → catch-all
    "#]]
    .assert_eq(&text);
    let list = world.get(SCHEMAS).await.ok();
    for item in list["items"].as_array().unwrap() {
        assert_eq!(item["status"]["conditions"][0]["status"], "False", "{item}");
    }
}

#[tokio::test]
async fn changes_of_the_objects_hold_at_once() {
    let world = World::new().await;
    let jane = || User::authenticated("jane", ["testers".to_owned()]);
    let mine = schema("mine", "mine", "testers", 50);
    world.post(SCHEMAS, mine).await.ok();
    let unknown = "global-default → global-default";
    assert_eq!(sorted(&world, jane(), MAPS).await, unknown, "it dangles");
    world
        .post(LEVELS, level("mine", &json!({"type": "Reject"})))
        .await
        .ok();
    assert_eq!(sorted(&world, jane(), MAPS).await, "mine → mine");
    let response = respond(&world.seen_by(jane()), MAPS).await;
    assert_eq!(response.status(), 429);
    assert_eq!(response.headers()["retry-after"], "1");
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body["reason"], "TooManyRequests");
    let mine = format!("{LEVELS}/mine");
    let room = json!({"spec": {"limited": {"nominalConcurrencyShares": 100}}});
    world.merge(&mine, room).await.ok();
    let response = respond(&world.seen_by(jane()), MAPS).await;
    assert_eq!(response.status(), 403);
    world.delete(&format!("{SCHEMAS}/mine")).await.ok();
    world.delete(&mine).await.ok();
    assert_eq!(sorted(&world, jane(), MAPS).await, unknown);
    let metrics = world.get("/metrics").await.ok();
    let metrics = metrics.as_str().unwrap();
    let line = "apiserver_flowcontrol_nominal_limit_seats{priority_level=\"workload-low\"} 245";
    assert!(metrics.contains(line), "{metrics}");
}

async fn check_condition(world: &World, name: &str, expected: Expect) {
    let path = format!("{SCHEMAS}?watch=1&fieldSelector=metadata.name%3D{name}");
    let mut watching = world.watch(&path).await;
    let text = loop {
        let event = watching.next().await.unwrap();
        let condition = &event["object"]["status"]["conditions"][0];
        if condition.is_object() {
            break format!(
                "{}={} {}: {}",
                condition["type"].as_str().unwrap(),
                condition["status"].as_str().unwrap(),
                condition["reason"].as_str().unwrap(),
                condition["message"].as_str().unwrap()
            );
        }
    };
    expected.assert_eq(&text);
}

#[tokio::test(start_paused = true)]
async fn a_schema_says_whether_it_leads_anywhere() {
    let world = World::new().await;
    let mine = schema("mine", "mine", "testers", 50);
    world.post(SCHEMAS, mine).await.ok();
    check_condition(&world, "mine", expect![[r#"Dangling=True NotFound: This FlowSchema references the PriorityLevelConfiguration object named "mine" but there is no such object"#]]).await;
    let mut watching = world
        .watch(&format!(
            "{SCHEMAS}?watch=1&fieldSelector=metadata.name%3Dmine&resourceVersion=0"
        ))
        .await;
    watching.next().await.unwrap();
    world
        .post(LEVELS, level("mine", &json!({"type": "Reject"})))
        .await
        .ok();
    watching.next().await.unwrap();
    check_condition(&world, "mine", expect![[r#"Dangling=False Found: This FlowSchema references the PriorityLevelConfiguration object named "mine" and it exists"#]]).await;
}

#[tokio::test(start_paused = true)]
async fn what_must_be_there_comes_back() {
    let world = World::new().await;
    let catch_all = format!("{LEVELS}/catch-all");
    let mut watching = world
        .watch(&format!(
            "{LEVELS}?watch=1&fieldSelector=metadata.name%3Dcatch-all"
        ))
        .await;
    assert_eq!(watching.line().await, "ADDED catch-all");
    world.delete(&catch_all).await.ok();
    assert_eq!(watching.line().await, "DELETED catch-all");
    assert_eq!(watching.line().await, "ADDED catch-all");
    let shares = json!({"spec": {"limited": {"nominalConcurrencyShares": 77}}});
    assert_eq!(world.merge(&catch_all, shares.clone()).await.code, 422);
    let shares_of = |object: &Value| object["spec"]["limited"]["nominalConcurrencyShares"].clone();
    let high = format!("{LEVELS}?watch=1&fieldSelector=metadata.name%3Dworkload-high");
    let mut seen = world.watch(&high).await;
    assert_eq!(shares_of(&seen.next().await.unwrap()["object"]), 40);
    let path = format!("{LEVELS}/workload-high");
    world.merge(&path, shares.clone()).await.ok();
    assert_eq!(shares_of(&seen.next().await.unwrap()["object"]), 77);
    assert_eq!(shares_of(&seen.next().await.unwrap()["object"]), 40);
    // Whoever says that the spec is theirs keeps it.
    let low = format!("{LEVELS}/workload-low");
    let mut own = shares;
    own["metadata"] = json!({"annotations": {"apf.kubernetes.io/autoupdate-spec": "false"}});
    world.merge(&low, own).await.ok();
    world.delete(&catch_all).await.ok();
    watching.next().await.unwrap();
    assert_eq!(watching.line().await, "ADDED catch-all");
    assert_eq!(shares_of(&world.get(&low).await.ok()), 77);
}

/// A request whose body is sent by hand.
fn slow(world: &World) -> (tokio::sync::oneshot::Sender<()>, BoxFuture<'static, u16>) {
    let (send, sent) = tokio::sync::oneshot::channel::<()>();
    let body = futures::stream::once(async move {
        sent.await.unwrap_or_default();
        Ok::<_, std::convert::Infallible>(http_body::Frame::data(Bytes::from_static(b"{}")))
    });
    let request = Request::builder()
        .method("POST")
        .uri("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews")
        .header("content-type", "application/json")
        .body(http_body_util::StreamBody::new(Box::pin(body)))
        .unwrap();
    let service = world.service.clone();
    let answer = Box::pin(async move { service.oneshot(request).await.unwrap().status().as_u16() });
    (send, answer)
}

#[tokio::test(start_paused = true)]
async fn a_user_with_many_requests_does_not_keep_another_waiting() {
    let world = World::new().await;
    let queue =
        json!({"type": "Queue", "queuing": {"queues": 64, "handSize": 8, "queueLengthLimit": 2}});
    let mut narrow = level("narrow", &queue);
    // One of 246 shares of six hundred seats: three.
    narrow["spec"]["limited"]["nominalConcurrencyShares"] = json!(1);
    world.post(LEVELS, narrow).await.ok();
    world
        .post(SCHEMAS, schema("narrow", "narrow", "testers", 50))
        .await
        .ok();
    let user = |name: &str| world.seen_by(User::authenticated(name, ["testers".to_owned()]));
    let (greedy, modest) = (user("greedy"), user("modest"));
    // Takes every seat there is, and then waits in line until nobody else of the same flow may.
    let mut held: Vec<(tokio::sync::oneshot::Sender<()>, BoxFuture<'static, u16>)> = vec![];
    let mut refused = 0;
    for _ in 0..30 {
        let (send, mut answer) = slow(&greedy);
        match futures::poll!(&mut answer) {
            std::task::Poll::Ready(code) => {
                assert_eq!(code, 429);
                refused += 1;
            }
            std::task::Poll::Pending => held.push((send, answer)),
        }
    }
    assert_eq!((held.len(), refused), (3 + 8 * 2, 11));
    let (send, mut modest_answer) = slow(&modest);
    send.send(()).unwrap();
    assert!(futures::poll!(&mut modest_answer).is_pending());
    // Each of the greedy one's queues has its turn once, then it is that of the other.
    let mut freed = 0;
    for (send, answer) in held {
        send.send(()).unwrap();
        assert_ne!(answer.await, 429);
        freed += 1;
        if futures::poll!(&mut modest_answer).is_ready() {
            break;
        }
    }
    assert_eq!(freed, 9);
}

#[tokio::test(start_paused = true)]
async fn a_cluster_answers_so_many_requests_at_a_time() {
    let world = World::new().await;
    // So many shares that nothing is left for others.
    let mut wide = level("wide", &json!({"type": "Reject"}));
    wide["spec"]["limited"]["nominalConcurrencyShares"] = json!(1_000_000);
    world.post(LEVELS, wide).await.ok();
    world
        .post(SCHEMAS, schema("wide", "wide", "testers", 50))
        .await
        .ok();
    let user = world.seen_by(User::authenticated("many", ["testers".to_owned()]));
    let mut held = vec![];
    let refused = loop {
        let (send, mut answer) = slow(&user);
        match futures::poll!(&mut answer) {
            std::task::Poll::Ready(code) => break code,
            std::task::Poll::Pending => held.push((send, answer)),
        }
    };
    assert_eq!((held.len(), refused), (600, 429));
}
