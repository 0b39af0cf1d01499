//! Check tests: a StatefulSet with pods, revisions and claims in YAML → plan and status as text.

use std::fmt::Write as _;

use expect_test::{Expect, expect};
use k8s_openapi::api::apps::v1::ControllerRevision;
use runtime::{Change, Wait};
use serde::Deserialize;
use serde_json::json;

use super::*;

/// What the tests say of a world; everything else is as the API server would have it.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct Scene {
    replicas: i32,
    start: i32,
    policy: Option<String>,
    /// `OnDelete`, or how a rolling update goes.
    on_delete: bool,
    partition: i32,
    max_unavailable: Option<Value>,
    min_ready: i32,
    /// The revision of the present template and the one that the status names: there are `r1` and `r2`.
    template: Option<String>,
    current: Option<String>,
    /// Names of claim templates, and what becomes of claims.
    storage: Vec<String>,
    when_deleted: Option<String>,
    when_scaled: Option<String>,
    pods: Vec<Line>,
    claims: Vec<ClaimLine>,
    taken: BTreeSet<String>,
    is_deleting: bool,
}

/// One pod, which is ready and of `r1` if nothing else is said.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct Line {
    name: String,
    app: String,
    owner: Option<String>,
    revision: String,
    phase: String,
    /// Seconds for which it has been ready.
    ready: Option<i64>,
    is_deleting: bool,
    /// It has the label with its own name.
    knows_itself: bool,
    volumes: Vec<String>,
}

impl Default for Line {
    fn default() -> Self {
        Self {
            name: String::new(),
            app: "web".into(),
            owner: Some("uid-web".into()),
            revision: "r1".into(),
            phase: "Running".into(),
            ready: Some(600),
            is_deleting: false,
            knows_itself: true,
            volumes: vec![],
        }
    }
}

/// One claim.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct ClaimLine {
    name: String,
    /// Its owners as `kind/name/uid`, controllers all.
    owners: Vec<String>,
    is_deleting: bool,
}

fn now() -> Timestamp {
    "2026-01-01T12:00:00Z".parse().unwrap()
}

fn ago(seconds: i64) -> String {
    runtime::rfc3339(now() - jiff::SignedDuration::from_secs(seconds))
}

impl Line {
    fn build(&self) -> Arc<Pod> {
        let owners = self.owner.as_ref().map(
            |uid| json!([{"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "web", "uid": uid, "controller": true}]),
        );
        let ready = self.ready.map(
            |since| json!([{"type": "Ready", "status": "True", "lastTransitionTime": ago(since)}]),
        );
        let mut labels = json!({"app": self.app, "controller-revision-hash": self.revision});
        if self.knows_itself {
            labels["statefulset.kubernetes.io/pod-name"] = json!(self.name);
        }
        let claim = |name: &String| json!({"name": name, "persistentVolumeClaim": {"claimName": format!("{name}-{}", self.name)}});
        let volumes: Vec<Value> = self.volumes.iter().map(claim).collect();
        let pod = json!({
            "metadata": {
                "name": self.name, "namespace": "default", "uid": format!("uid-{}", self.name), "labels": labels,
                "ownerReferences": owners, "deletionTimestamp": self.is_deleting.then(|| ago(1)),
            },
            "spec": {"containers": [], "volumes": volumes},
            "status": {"phase": self.phase, "conditions": ready},
        });
        Arc::new(serde_json::from_value(pod).unwrap())
    }
}

impl ClaimLine {
    fn build(&self) -> (String, Arc<PersistentVolumeClaim>) {
        let owners = self.owners.iter().map(|owner| {
            let parts: Vec<&str> = owner.split('/').collect();
            let version = if parts[0] == "Pod" { "v1" } else { "apps/v1" };
            json!({"apiVersion": version, "kind": parts[0], "name": parts[1], "uid": parts[2], "controller": true})
        });
        let claim = json!({"metadata": {
            "name": self.name, "namespace": "default", "uid": format!("uid-{}", self.name),
            "ownerReferences": owners.collect::<Vec<_>>(), "deletionTimestamp": self.is_deleting.then(|| ago(1)),
        }});
        (
            self.name.clone(),
            Arc::new(serde_json::from_value(claim).unwrap()),
        )
    }
}

fn template(revision: &str) -> Value {
    json!({"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": revision}]}})
}

fn revision(name: &str, number: i64) -> Arc<ControllerRevision> {
    let owner = json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "web", "uid": "uid-web", "controller": true});
    let revision = json!({
        "metadata": {"name": name, "namespace": "default", "uid": name, "labels": {"app": "web"}, "ownerReferences": [owner]},
        "data": {"spec": {"template": template(name)}}, "revision": number,
    });
    Arc::new(serde_json::from_value(revision).unwrap())
}

fn world(yaml: &str) -> World {
    let scene: Scene = serde_saphyr::from_str(yaml).unwrap();
    let present = scene.template.as_deref().unwrap_or("r1");
    let strategy = if scene.on_delete {
        json!({"type": "OnDelete"})
    } else {
        let rolling =
            json!({"partition": scene.partition, "maxUnavailable": scene.max_unavailable});
        json!({"type": "RollingUpdate", "rollingUpdate": rolling})
    };
    let claim = |name: &String| json!({"metadata": {"name": name}, "spec": {"accessModes": ["ReadWriteOnce"]}});
    let set = json!({
        "metadata": {
            "name": "web", "namespace": "default", "uid": "uid-web", "generation": 2,
            "deletionTimestamp": scene.is_deleting.then(|| ago(1)),
        },
        "spec": {
            "replicas": scene.replicas, "ordinals": {"start": scene.start}, "podManagementPolicy": scene.policy,
            "minReadySeconds": scene.min_ready, "selector": {"matchLabels": {"app": "web"}}, "serviceName": "db",
            "template": template(present), "updateStrategy": strategy,
            "volumeClaimTemplates": scene.storage.iter().map(claim).collect::<Vec<_>>(),
            "persistentVolumeClaimRetentionPolicy": {"whenDeleted": scene.when_deleted, "whenScaled": scene.when_scaled},
        },
        "status": {"replicas": 0, "currentRevision": scene.current.as_deref().unwrap_or("r1")},
    });
    let mut revisions = vec![revision("r1", 1)];
    if present == "r2" {
        revisions.push(revision("r2", 2));
    }
    World {
        set: serde_json::from_value(set).unwrap(),
        pods: scene.pods.iter().map(Line::build).collect(),
        history: History {
            revisions,
            ..History::default()
        },
        claims: scene.claims.iter().map(ClaimLine::build).collect(),
        taken: scene.taken,
    }
}

fn show(world: &World) -> String {
    let plan = StatefulSetController::plan(world, now());
    let mut text = plan.to_string();
    let status = StatefulSetController::status(world, &plan, &Outcome::default(), now()).unwrap();
    let counts = [
        "replicas",
        "readyReplicas",
        "availableReplicas",
        "currentReplicas",
        "updatedReplicas",
    ];
    let counts = counts.map(|count| status[count].as_i64().unwrap_or(0));
    let [all, ready, available, current, updated] = counts;
    let names =
        [&status["currentRevision"], &status["updateRevision"]].map(|n| n.as_str().unwrap());
    writeln!(
        text,
        "status {all} ready {ready} available {available} current {current} {} updated {updated} {}",
        names[0], names[1]
    )
    .unwrap();
    text
}

fn check(yaml: &str, expect: &Expect) {
    expect.assert_eq(&show(&world(yaml)));
}

#[test]
fn the_first_pod_comes_with_its_claims() {
    check(
        "{replicas: 3, storage: [data, logs]}",
        &expect![[r#"
        create PersistentVolumeClaim default/data-web-0
        create PersistentVolumeClaim default/logs-web-0
        create Pod default/web-0
        note SuccessfulCreate: Create Claim data-web-0 Pod web-0 in StatefulSet web success
        note SuccessfulCreate: Create Claim logs-web-0 Pod web-0 in StatefulSet web success
        note SuccessfulCreate: Create Pod web-0 in StatefulSet web successful
        again in 60s
        status 0 ready 0 available 0 current 0 r1 updated 0 r1
    "#]],
    );
}

#[test]
fn new_pods_have_names_labels_and_volumes_of_their_own() {
    let world = world("{replicas: 1, start: 5, storage: [data], whenDeleted: Delete}");
    let plan = StatefulSetController::plan(&world, now());
    let mut text = String::new();
    for change in &plan.changes {
        let Change::Create(object) = change else {
            continue;
        };
        writeln!(text, "{}", json!(object.metadata)).unwrap();
        writeln!(text, "{}", object.data).unwrap();
    }
    expect![[r#"
        {"labels":{"app":"web"},"name":"data-web-5","namespace":"default","ownerReferences":[{"apiVersion":"apps/v1","blockOwnerDeletion":true,"controller":true,"kind":"StatefulSet","name":"web","uid":"uid-web"}]}
        {"spec":{"accessModes":["ReadWriteOnce"]}}
        {"generateName":"web-","labels":{"app":"web","apps.kubernetes.io/pod-index":"5","controller-revision-hash":"r1","statefulset.kubernetes.io/pod-name":"web-5"},"name":"web-5","namespace":"default","ownerReferences":[{"apiVersion":"apps/v1","blockOwnerDeletion":true,"controller":true,"kind":"StatefulSet","name":"web","uid":"uid-web"}]}
        {"spec":{"containers":[{"image":"r1","name":"c"}],"hostname":"web-5","subdomain":"db","volumes":[{"name":"data","persistentVolumeClaim":{"claimName":"data-web-5"}}]}}
    "#]].assert_eq(&text);
}

#[test]
fn the_next_pod_comes_when_all_before_it_are_available() {
    check(
        "{replicas: 3, pods: [{name: web-0}]}",
        &expect![[r#"
        create Pod default/web-1
        note SuccessfulCreate: Create Pod web-1 in StatefulSet web successful
        again in 60s
        status 1 ready 1 available 1 current 1 r1 updated 1 r1
    "#]],
    );
    check(
        "{replicas: 3, pods: [{name: web-0, ready: null}]}",
        &expect![[r#"
            status 1 ready 0 available 0 current 1 r1 updated 1 r1
        "#]],
    );
    check(
        "{replicas: 3, minReady: 10, pods: [{name: web-0, ready: 4}]}",
        &expect![[r#"
            again in 6s
            status 1 ready 1 available 0 current 1 r1 updated 1 r1
        "#]],
    );
    check(
        "{replicas: 3, pods: [{name: web-0}, {name: web-1, isDeleting: true}]}",
        &expect![[r#"
            status 2 ready 2 available 2 current 1 r1 updated 1 r1
        "#]],
    );
    check(
        "{replicas: 3, pods: [{name: web-0, phase: Pending, ready: null}, {name: web-2}]}",
        &expect![[r#"
            status 2 ready 1 available 1 current 2 r1 updated 2 r1
        "#]],
    );
}

#[test]
fn in_parallel_nobody_is_waited_for() {
    check(
        "{replicas: 3, policy: Parallel, pods: [{name: web-1, ready: null}]}",
        &expect![[r#"
            create Pod default/web-0
            create Pod default/web-2
            note SuccessfulCreate: Create Pod web-0 in StatefulSet web successful
            note SuccessfulCreate: Create Pod web-2 in StatefulSet web successful
            again in 60s
            status 1 ready 0 available 0 current 1 r1 updated 1 r1
        "#]],
    );
    check(
        "{replicas: 0, policy: Parallel, pods: [{name: web-0, ready: null}, {name: web-1, isDeleting: true}, {name: web-2}]}",
        &expect![[r#"
            delete Pod default/web-2
            delete Pod default/web-0
            note SuccessfulDelete: Delete Pod web-2 in StatefulSet web successful
            note SuccessfulDelete: Delete Pod web-0 in StatefulSet web successful
            status 3 ready 2 available 2 current 2 r1 updated 2 r1
        "#]],
    );
}

#[test]
fn pods_go_from_the_top_one_by_one() {
    let pods = "pods: [{name: web-0}, {name: web-1}, {name: web-2}]";
    check(
        &format!("{{replicas: 1, {pods}}}"),
        &expect![[r#"
        delete Pod default/web-2
        note SuccessfulDelete: Delete Pod web-2 in StatefulSet web successful
        status 3 ready 3 available 3 current 3 r1 updated 3 r1
    "#]],
    );
    check(
        "{replicas: 1, pods: [{name: web-0}, {name: web-1}, {name: web-2, isDeleting: true}]}",
        &expect![[r#"
            status 3 ready 3 available 3 current 2 r1 updated 2 r1
        "#]],
    );
}

#[test]
fn of_unhealthy_pods_only_the_lowest_goes_and_none_while_one_that_stays_is_unhealthy() {
    check(
        "{replicas: 0, pods: [{name: web-0}, {name: web-1, ready: null}, {name: web-2}, {name: web-3, ready: null}]}",
        &expect![[r#"
            status 4 ready 2 available 2 current 4 r1 updated 4 r1
        "#]],
    );
    check(
        "{replicas: 0, pods: [{name: web-0}, {name: web-1, ready: null}]}",
        &expect![[r#"
            delete Pod default/web-1
            note SuccessfulDelete: Delete Pod web-1 in StatefulSet web successful
            status 2 ready 1 available 1 current 2 r1 updated 2 r1
        "#]],
    );
    check(
        "{replicas: 1, pods: [{name: web-0, ready: null}, {name: web-1}]}",
        &expect![[r#"
            status 2 ready 1 available 1 current 2 r1 updated 2 r1
        "#]],
    );
}

#[test]
fn pods_outside_the_ordinals_go() {
    check(
        "{replicas: 2, start: 2, pods: [{name: web-1}, {name: web-2}, {name: web-3}]}",
        &expect![[r#"
            delete Pod default/web-1
            note SuccessfulDelete: Delete Pod web-1 in StatefulSet web successful
            status 3 ready 3 available 3 current 3 r1 updated 3 r1
        "#]],
    );
}

#[test]
fn pods_that_came_to_an_end_are_made_anew() {
    check(
        "{replicas: 2, pods: [{name: web-0, phase: Failed, ready: null}, {name: web-1, phase: Succeeded, ready: null}]}",
        &expect![[r#"
            delete Pod default/web-0
            warn RecreatingFailedPod: StatefulSet default/web is recreating failed Pod web-0
            note SuccessfulDelete: Delete Pod web-0 in StatefulSet web successful
            status 2 ready 0 available 0 current 2 r1 updated 2 r1
        "#]],
    );
    check(
        "{replicas: 2, policy: Parallel, pods: [{name: web-0, phase: Failed, ready: null}, {name: web-1, phase: Succeeded, ready: null}]}",
        &expect![[r#"
            delete Pod default/web-0
            delete Pod default/web-1
            warn RecreatingFailedPod: StatefulSet default/web is recreating failed Pod web-0
            note SuccessfulDelete: Delete Pod web-0 in StatefulSet web successful
            warn RecreatingTerminatedPod: StatefulSet default/web is recreating terminated Pod web-1
            note SuccessfulDelete: Delete Pod web-1 in StatefulSet web successful
            status 2 ready 0 available 0 current 2 r1 updated 2 r1
        "#]],
    );
}

#[test]
fn updates_go_from_the_top_one_by_one() {
    check(
        "{replicas: 3, template: r2, pods: [{name: web-0}, {name: web-1}, {name: web-2}]}",
        &expect![[r#"
            delete Pod default/web-2
            note SuccessfulDelete: Delete Pod web-2 in StatefulSet web successful
            status 3 ready 3 available 3 current 3 r1 updated 0 r2
        "#]],
    );
    check(
        "{replicas: 3, template: r2, pods: [{name: web-0}, {name: web-1}, {name: web-2, revision: r2}]}",
        &expect![[r#"
            delete Pod default/web-1
            note SuccessfulDelete: Delete Pod web-1 in StatefulSet web successful
            status 3 ready 3 available 3 current 2 r1 updated 1 r2
        "#]],
    );
    check(
        "{replicas: 3, template: r2, pods: [{name: web-0}, {name: web-1}]}",
        &expect![[r#"
            create Pod default/web-2
            note SuccessfulCreate: Create Pod web-2 in StatefulSet web successful
            again in 60s
            status 2 ready 2 available 2 current 2 r1 updated 0 r2
        "#]],
    );
}

#[test]
fn an_update_that_is_complete_makes_its_revision_the_current_one() {
    check(
        "{replicas: 2, template: r2, pods: [{name: web-0, revision: r2}, {name: web-1, revision: r2}]}",
        &expect![[r#"
            status 2 ready 2 available 2 current 2 r2 updated 2 r2
        "#]],
    );
    check(
        "{replicas: 2, template: r2, onDelete: true, pods: [{name: web-0, revision: r2}, {name: web-1, revision: r2}]}",
        &expect![[r#"
            status 2 ready 2 available 2 current 0 r1 updated 2 r2
        "#]],
    );
}

#[test]
fn a_broken_pod_holds_up_an_ordered_update_and_no_parallel_one() {
    let pods = "pods: [{name: web-0}, {name: web-1, ready: null}]";
    check(
        &format!("{{replicas: 2, template: r2, {pods}}}"),
        &expect![[r#"
            status 2 ready 1 available 1 current 2 r1 updated 0 r2
        "#]],
    );
    check(
        &format!("{{replicas: 2, template: r2, policy: Parallel, {pods}}}"),
        &expect![[r#"
            delete Pod default/web-1
            note SuccessfulDelete: Delete Pod web-1 in StatefulSet web successful
            status 2 ready 1 available 1 current 2 r1 updated 0 r2
        "#]],
    );
    check(
        "{replicas: 2, template: r2, policy: Parallel, pods: [{name: web-0}, {name: web-1, revision: r2, ready: null}]}",
        &expect![[r#"
            status 2 ready 1 available 1 current 1 r1 updated 1 r2
        "#]],
    );
}

#[test]
fn pods_below_the_partition_stay_and_come_back_as_they_were() {
    check(
        "{replicas: 3, partition: 2, template: r2, pods: [{name: web-0}, {name: web-1}, {name: web-2}]}",
        &expect![[r#"
            delete Pod default/web-2
            note SuccessfulDelete: Delete Pod web-2 in StatefulSet web successful
            status 3 ready 3 available 3 current 3 r1 updated 0 r2
        "#]],
    );
    check(
        "{replicas: 3, partition: 2, template: r2, pods: [{name: web-0}, {name: web-1}, {name: web-2, revision: r2}]}",
        &expect![[r#"
            status 3 ready 3 available 3 current 2 r1 updated 1 r2
        "#]],
    );
    let made = |yaml: &str| {
        let plan = StatefulSetController::plan(&world(yaml), now());
        let made = plan.changes.iter().find_map(|change| match change {
            Change::Create(pod) => Some(pod.data["spec"]["containers"][0]["image"].clone()),
            _ => None,
        });
        made.unwrap()
    };
    assert_eq!(made("{replicas: 3, partition: 2, template: r2}"), "r1");
    assert_eq!(made("{replicas: 3, template: r2}"), "r2");
    let both = "pods: [{name: web-0}, {name: web-1}]";
    assert_eq!(
        made(&format!(
            "{{replicas: 3, partition: 2, template: r2, {both}}}"
        )),
        "r2"
    );
}

#[test]
fn several_pods_may_be_unavailable_if_the_set_says_so() {
    let pods = "pods: [{name: web-0}, {name: web-1}, {name: web-2}, {name: web-3}]";
    check(
        &format!("{{replicas: 4, maxUnavailable: 2, template: r2, {pods}}}"),
        &expect![[r#"
            delete Pod default/web-3
            delete Pod default/web-2
            note SuccessfulDelete: Delete Pod web-3 in StatefulSet web successful
            note SuccessfulDelete: Delete Pod web-2 in StatefulSet web successful
            status 4 ready 4 available 4 current 4 r1 updated 0 r2
        "#]],
    );
    check(
        &format!("{{replicas: 4, maxUnavailable: 30%, partition: 3, template: r2, {pods}}}"),
        &expect![[r#"
            delete Pod default/web-3
            note SuccessfulDelete: Delete Pod web-3 in StatefulSet web successful
            status 4 ready 4 available 4 current 4 r1 updated 0 r2
        "#]],
    );
    check(
        "{replicas: 4, maxUnavailable: 2, policy: Parallel, template: r2, pods: [{name: web-0}, {name: web-1, ready: null}, {name: web-2}, {name: web-3}]}",
        &expect![[r#"
            delete Pod default/web-3
            note SuccessfulDelete: Delete Pod web-3 in StatefulSet web successful
            status 4 ready 3 available 3 current 4 r1 updated 0 r2
        "#]],
    );
}

#[test]
fn pods_are_adopted_and_released() {
    check(
        "replicas: 2
pods:
- {name: web-0, owner: null}
- {name: web-1, app: db}
- {name: other-0, owner: null}
- {name: web-x, owner: uid-web}
- {name: web-01, owner: null}
taken: [web-1]",
        &expect![[r#"
            patch Pod default/web-0 {"metadata":{"ownerReferences":[{"apiVersion":"apps/v1","blockOwnerDeletion":true,"controller":true,"kind":"StatefulSet","name":"web","uid":"uid-web"}],"uid":"uid-web-0"}}
            patch Pod default/web-1 {"metadata":{"ownerReferences":[],"uid":"uid-web-1"}}
            patch Pod default/web-x {"metadata":{"ownerReferences":[],"uid":"uid-web-x"}}
            warn FailedCreate: Create Pod web-1 in StatefulSet web failed error: pods "web-1" already exists
            again in 60s
            status 1 ready 1 available 1 current 1 r1 updated 1 r1
        "#]],
    );
}

#[test]
fn a_pod_gets_back_its_labels_and_volumes() {
    check(
        "{replicas: 1, pods: [{name: web-0, knowsItself: false}]}",
        &expect![[r#"
            patch Pod default/web-0 {"metadata":{"labels":{"apps.kubernetes.io/pod-index":"0","statefulset.kubernetes.io/pod-name":"web-0"},"uid":"uid-web-0"}}
            note SuccessfulUpdate: Update Pod web-0 in StatefulSet web successful
            status 1 ready 1 available 1 current 1 r1 updated 1 r1
        "#]],
    );
    check(
        "{replicas: 1, storage: [data], pods: [{name: web-0}]}",
        &expect![[r#"
            create PersistentVolumeClaim default/data-web-0
            patch Pod default/web-0 {"metadata":{"uid":"uid-web-0"},"spec":{"volumes":[{"name":"data","persistentVolumeClaim":{"claimName":"data-web-0"}}]}}
            note SuccessfulCreate: Create Claim data-web-0 Pod web-0 in StatefulSet web success
            note SuccessfulUpdate: Update Pod web-0 in StatefulSet web successful
            again in 60s
            status 1 ready 1 available 1 current 1 r1 updated 1 r1
        "#]],
    );
}

#[test]
fn claims_belong_to_the_set_or_to_pods_it_was_scaled_down_by() {
    let check_policy = |policy: &str, owners: &str, expect: &Expect| {
        let pods = "pods: [{name: web-0, volumes: [data]}, {name: web-1, volumes: [data]}]";
        let claim = |name: &str| format!("{{name: {name}, owners: [{owners}]}}");
        let claims = format!("claims: [{}, {}]", claim("data-web-0"), claim("data-web-1"));
        check(
            &format!("{{replicas: 1, storage: [data], {policy}, {claims}, {pods}}}"),
            expect,
        );
    };
    let set = "StatefulSet/web/uid-web";
    check_policy(
        "whenDeleted: Delete",
        "",
        &expect![[r#"
        patch PersistentVolumeClaim default/data-web-0 {"metadata":{"ownerReferences":[{"apiVersion":"apps/v1","blockOwnerDeletion":true,"controller":true,"kind":"StatefulSet","name":"web","uid":"uid-web"}],"uid":"uid-data-web-0"}}
        patch PersistentVolumeClaim default/data-web-1 {"metadata":{"ownerReferences":[{"apiVersion":"apps/v1","blockOwnerDeletion":true,"controller":true,"kind":"StatefulSet","name":"web","uid":"uid-web"}],"uid":"uid-data-web-1"}}
        delete Pod default/web-1
        note SuccessfulUpdate: Update Pod web-0 in StatefulSet web successful
        note SuccessfulDelete: Delete Pod web-1 in StatefulSet web successful
        status 2 ready 2 available 2 current 2 r1 updated 2 r1
    "#]],
    );
    check_policy(
        "whenScaled: Delete",
        "",
        &expect![[r#"
        patch PersistentVolumeClaim default/data-web-1 {"metadata":{"ownerReferences":[{"apiVersion":"v1","blockOwnerDeletion":true,"controller":true,"kind":"Pod","name":"web-1","uid":"uid-web-1"}],"uid":"uid-data-web-1"}}
        delete Pod default/web-1
        note SuccessfulDelete: Delete Pod web-1 in StatefulSet web successful
        status 2 ready 2 available 2 current 2 r1 updated 2 r1
    "#]],
    );
    check_policy(
        "whenDeleted: Delete, whenScaled: Delete",
        set,
        &expect![[r#"
            patch PersistentVolumeClaim default/data-web-1 {"metadata":{"ownerReferences":[{"apiVersion":"v1","blockOwnerDeletion":true,"controller":true,"kind":"Pod","name":"web-1","uid":"uid-web-1"}],"uid":"uid-data-web-1"}}
            delete Pod default/web-1
            note SuccessfulDelete: Delete Pod web-1 in StatefulSet web successful
            status 2 ready 2 available 2 current 2 r1 updated 2 r1
        "#]],
    );
    check_policy(
        "whenDeleted: Retain",
        set,
        &expect![[r#"
        patch PersistentVolumeClaim default/data-web-0 {"metadata":{"ownerReferences":[],"uid":"uid-data-web-0"}}
        patch PersistentVolumeClaim default/data-web-1 {"metadata":{"ownerReferences":[],"uid":"uid-data-web-1"}}
        delete Pod default/web-1
        note SuccessfulUpdate: Update Pod web-0 in StatefulSet web successful
        note SuccessfulDelete: Delete Pod web-1 in StatefulSet web successful
        status 2 ready 2 available 2 current 2 r1 updated 2 r1
    "#]],
    );
}

#[test]
fn claims_of_others_are_left_alone() {
    check(
        "{replicas: 1, storage: [data], whenDeleted: Delete, pods: [{name: web-0, volumes: [data]}], claims: [{name: data-web-0, owners: [Backup/b/uid-b]}]}",
        &expect![[r#"
            status 1 ready 1 available 1 current 1 r1 updated 1 r1
        "#]],
    );
    check(
        "{replicas: 1, storage: [data], whenDeleted: Delete, pods: [{name: web-0, volumes: [data]}], claims: [{name: data-web-0, owners: [Backup/b/uid-b, StatefulSet/web/uid-web]}]}",
        &expect![[r#"
            patch PersistentVolumeClaim default/data-web-0 {"metadata":{"ownerReferences":[{"apiVersion":"apps/v1","controller":true,"kind":"Backup","name":"b","uid":"uid-b"}],"uid":"uid-data-web-0"}}
            warn ConflictingController: PersistentVolumeClaim data-web-0 has a conflicting OwnerReference that acts as a manging controller, the retention policy is ignored for this claim
            note SuccessfulUpdate: Update Pod web-0 in StatefulSet web successful
            status 1 ready 1 available 1 current 1 r1 updated 1 r1
        "#]],
    );
    check(
        "{replicas: 1, storage: [data], whenDeleted: Delete, pods: [{name: web-0, volumes: [data]}], claims: [{name: data-web-0, owners: [StatefulSet/web/uid-before]}]}",
        &expect![[r#"
            status 1 ready 1 available 1 current 1 r1 updated 1 r1
        "#]],
    );
}

#[test]
fn a_pod_waits_until_the_claims_of_its_predecessor_are_gone() {
    check(
        "{replicas: 1, storage: [data], whenScaled: Delete, claims: [{name: data-web-0, owners: [Pod/web-0/uid-before]}]}",
        &expect![[r#"
            status 0 ready 0 available 0 current 0 r1 updated 0 r1
        "#]],
    );
    check(
        "{replicas: 1, storage: [data], claims: [{name: data-web-0, isDeleting: true}]}",
        &expect![[r#"
            warn FailedCreate: Create Pod web-0 in StatefulSet web failed error: pvc data-web-0 is being deleted
            again in 60s
            status 0 ready 0 available 0 current 0 r1 updated 0 r1
        "#]],
    );
}

#[test]
fn a_set_that_is_being_deleted_is_only_counted() {
    check(
        "{replicas: 3, isDeleting: true, pods: [{name: web-0}, {name: web-7}]}",
        &expect![[r#"
            status 2 ready 2 available 2 current 2 r1 updated 2 r1
        "#]],
    );
}

#[test]
fn huge_sets_cost_no_more_than_their_pods() {
    let world = world("{replicas: 2147483647, start: 2147483647, policy: Parallel, template: r2}");
    let (claims, missing) = plan::lookups(&world, now());
    assert_eq!((claims.len(), missing.len()), (0, 500));
    assert_eq!(
        StatefulSetController::plan(&world, now()).changes.len(),
        500
    );
}

#[test]
fn what_the_server_refuses_is_told() {
    let world = world("{replicas: 1, storage: [data]}");
    let plan = StatefulSetController::plan(&world, now());
    let message = |done: usize, what: &str| {
        let why = Wait {
            reason: runtime::APPLY_REJECTED,
            message: format!("{what}: exceeded quota"),
        };
        let outcome = Outcome {
            done,
            failure: Some(why),
        };
        let note = StatefulSetController::refusal(&world, &plan, &outcome);
        format!("{} {}", note.reason, note.message)
    };
    assert_eq!(
        message(0, "PersistentVolumeClaim default/data-web-0"),
        "FailedCreate Create Claim data-web-0 for Pod web-0 in StatefulSet web failed error: exceeded quota"
    );
    assert_eq!(
        message(1, "Pod default/web-0"),
        "FailedCreate Create Pod web-0 in StatefulSet web failed error: exceeded quota"
    );
}
