//! The driver against a small API in memory, in virtual time.

use std::sync::atomic::AtomicBool;

use expect_test::expect;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::core::DynamicObject;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::*;
use crate::testing::Api;
use crate::{GatherError, ObjectRef, Outcome, Plan, Selector, Wait};

#[derive(Clone, Debug, Deserialize, Serialize)]
struct Thing {
    metadata: ObjectMeta,
    #[serde(default)]
    spec: Spec,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
struct Spec {
    /// Applies a ConfigMap of this name with this text.
    apply: Option<String>,
    /// Waits for a ConfigMap of this name.
    needs: Option<String>,
    act: bool,
    panic: bool,
    note: Option<String>,
}

impl kube::Resource for Thing {
    type DynamicType = ();
    type Scope = kube::core::NamespaceResourceScope;
    fn kind((): &()) -> std::borrow::Cow<'_, str> {
        "Thing".into()
    }
    fn group((): &()) -> std::borrow::Cow<'_, str> {
        "test.io".into()
    }
    fn version((): &()) -> std::borrow::Cow<'_, str> {
        "v1".into()
    }
    fn plural((): &()) -> std::borrow::Cow<'_, str> {
        "things".into()
    }
    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }
    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

#[derive(Default)]
struct Controller {
    /// When each pass began, in seconds.
    passes: Arc<Mutex<Vec<u64>>>,
    does_act_fail: Arc<AtomicBool>,
    clock: Option<Instant>,
}

struct World {
    thing: Thing,
    needed: Option<Arc<ConfigMap>>,
    pods: usize,
}

impl Reconciler for Controller {
    const NAME: &'static str = "thing";
    const FINALIZER: Option<&'static str> = Some("test.io/thing");
    type Object = Thing;
    type World = World;
    type Act = ();

    async fn gather(&self, cx: &Cx, thing: &Thing) -> Result<World, GatherError> {
        let begun = self.clock.map_or(0, |clock| clock.elapsed().as_secs());
        self.passes.lock().unwrap().push(begun);
        assert!(!thing.spec.panic, "told to panic");
        let ns = thing.metadata.namespace.clone().unwrap();
        let needed = match &thing.spec.needs {
            Some(name) => cx.get(&ns, name).await?,
            None => None,
        };
        let mine = Selector::label("thing", thing.metadata.name.clone().unwrap());
        Ok(World {
            thing: thing.clone(),
            needed,
            pods: cx.list::<Pod>(Some(&ns), &mine).await?.len(),
        })
    }

    fn plan(world: &World, _: jiff::Timestamp) -> Plan<()> {
        let mut plan = Plan::default();
        let Thing { metadata, spec } = &world.thing;
        if metadata.deletion_timestamp.is_some() {
            if world.pods > 0 {
                plan.wait("PodsRemain", format!("{} pods are left", world.pods));
            }
            return plan;
        }
        if let Some(text) = &spec.apply {
            let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"namespace": metadata.namespace, "name": "child"}, "data": {"text": text}});
            plan.apply(serde_json::from_value::<DynamicObject>(object).unwrap());
        }
        if spec.act {
            plan.changes.push(crate::Change::Act(()));
        }
        if let (Some(name), None) = (&spec.needs, &world.needed) {
            plan.wait("NeedsConfigMap", format!("ConfigMap {name} is missing"));
        }
        if let Some(note) = &spec.note {
            plan.note("Noted", note);
        }
        plan
    }

    async fn act(&self, _: &Cx, _: &World, (): &()) -> Result<(), Wait> {
        if self.does_act_fail.load(Ordering::Relaxed) {
            return Err(Wait {
                reason: "ActFailed",
                message: "told to fail".to_owned(),
            });
        }
        Ok(())
    }

    fn status(world: &World, _: &Plan<()>, _: &Outcome, _: jiff::Timestamp) -> Option<Value> {
        Some(json!({"pods": world.pods}))
    }
}

/// A running driver with its API and levers.
struct Env {
    api: Api,
    passes: Arc<Mutex<Vec<u64>>>,
    does_act_fail: Arc<AtomicBool>,
    gauge: Gauge,
    _tasks: Tasks,
}

const THINGS: &str = "test.io/v1/things";

impl Env {
    fn start() -> Self {
        Self::start_with(Api::default())
    }

    fn start_with(api: Api) -> Self {
        let controller = Controller {
            clock: Some(Instant::now()),
            ..Controller::default()
        };
        let (passes, does_act_fail) = (
            Arc::clone(&controller.passes),
            Arc::clone(&controller.does_act_fail),
        );
        let clock = Clock::simulated("2026-01-01T00:00:00Z".parse().unwrap());
        let options = Options {
            jitter: 0.0,
            ..Options::default()
        };
        let controllers = Controllers::new(api.client(), clock, options).add(controller);
        let gauge = controllers.gauge();
        let tasks = Tasks::new();
        tasks.spawn("controllers", controllers.run(std::future::pending()));
        Self {
            api,
            passes,
            does_act_fail,
            gauge,
            _tasks: tasks,
        }
    }

    fn thing(&self, name: &str, spec: Value) {
        self.api.put(
            THINGS,
            json!({"apiVersion": "test.io/v1", "kind": "Thing",
            "metadata": {"namespace": "ns", "name": name, "generation": 1}, "spec": spec}),
        );
    }

    /// Lets virtual time pass.
    async fn advance(&self, seconds: u64) {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
    }

    fn take_passes(&self) -> Vec<u64> {
        std::mem::take(&mut *self.passes.lock().unwrap())
    }

    fn ready(&self, name: &str) -> String {
        let thing = self.api.get(THINGS, "ns", name).unwrap();
        let conditions = thing["status"]["conditions"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let ready = conditions
            .iter()
            .find(|c| c["type"] == "Ready")
            .cloned()
            .unwrap_or_default();
        let text = |key: &str| ready[key].as_str().unwrap_or_default().to_owned();
        format!(
            "{} {} {} since {}",
            text("status"),
            text("reason"),
            text("message"),
            text("lastTransitionTime")
        )
    }
}

#[tokio::test(start_paused = true)]
async fn a_thing_is_finalized_applied_and_its_status_written_once() {
    let env = Env::start();
    env.thing("t", json!({"apply": "hello"}));
    env.advance(1).await;
    expect![[r#"
        [
            "PATCH /apis/test.io/v1/namespaces/ns/things/t",
            "APPLY /api/v1/namespaces/ns/configmaps/child",
            "APPLY /apis/test.io/v1/namespaces/ns/things/t/status",
        ]
    "#]]
    .assert_debug_eq(&env.api.take_writes());
    expect![[r#"{"conditions":[{"lastTransitionTime":"2026-01-01T00:00:00Z","message":"","observedGeneration":1,"reason":"Ready","status":"True","type":"Ready"}],"observedGeneration":1,"pods":0}"#]]
        .assert_eq(&env.api.get(THINGS, "ns", "t").unwrap()["status"].to_string());
    // A day of resyncs writes nothing.
    env.advance(86_400).await;
    assert_eq!(env.api.take_writes(), Vec::<String>::new());
    let passes = env.take_passes().len();
    assert!((130..160).contains(&passes), "{passes} passes");
}

#[tokio::test(start_paused = true)]
async fn whatever_was_read_wakes_also_if_it_was_missing() {
    let env = Env::start();
    env.thing("t", json!({"needs": "it"}));
    env.advance(5).await;
    assert_eq!(
        env.ready("t"),
        "False NeedsConfigMap ConfigMap it is missing since 2026-01-01T00:00:00Z"
    );
    env.take_passes();
    env.api.put(
        "v1/configmaps",
        json!({"metadata": {"namespace": "ns", "name": "other"}}),
    );
    env.api.put(
        "v1/pods",
        json!({"metadata": {"namespace": "ns", "name": "p", "labels": {"thing": "another"}}}),
    );
    env.advance(1).await;
    assert_eq!(env.take_passes(), Vec::<u64>::new(), "nothing that it read");
    env.api.put(
        "v1/configmaps",
        json!({"metadata": {"namespace": "ns", "name": "it"}}),
    );
    env.advance(1).await;
    assert_eq!(env.take_passes(), [6]);
    assert_eq!(env.ready("t"), "True Ready  since 2026-01-01T00:00:06Z");
    env.api.put(
        "v1/pods",
        json!({"metadata": {"namespace": "ns", "name": "mine", "labels": {"thing": "t"}}}),
    );
    env.advance(1).await;
    assert_eq!(env.take_passes(), [7]);
    // It stops to match: that is a change of the list too.
    env.api.edit("v1/pods", "ns", "mine", |pod| {
        pod["metadata"]["labels"] = json!({});
    });
    env.advance(1).await;
    assert_eq!(env.take_passes(), [8]);
    assert_eq!(env.api.get(THINGS, "ns", "t").unwrap()["status"]["pods"], 0);
}

#[tokio::test(start_paused = true)]
async fn what_it_no_longer_reads_no_longer_wakes() {
    let env = Env::start();
    env.thing("t", json!({"needs": "it"}));
    env.advance(1).await;
    env.api
        .edit(THINGS, "ns", "t", |thing| thing["spec"] = json!({}));
    env.advance(1).await;
    env.take_passes();
    env.api.put(
        "v1/configmaps",
        json!({"metadata": {"namespace": "ns", "name": "it"}}),
    );
    env.advance(1).await;
    assert_eq!(env.take_passes(), Vec::<u64>::new());
    env.api.edit(THINGS, "ns", "t", |thing| {
        thing["metadata"]["finalizers"] = json!([]);
    });
    env.api.delete(THINGS, "ns", "t");
    env.advance(1).await;
    assert_eq!(
        env.gauge.read().caches.reads,
        0,
        "nothing is kept of what is gone"
    );
}

#[tokio::test(start_paused = true)]
async fn a_failing_act_is_retried_at_doubling_gaps_and_shown() {
    let env = Env::start();
    env.does_act_fail.store(true, Ordering::Relaxed);
    env.thing("t", json!({"act": true}));
    env.advance(70).await;
    assert_eq!(env.take_passes(), [0, 1, 3, 7, 15, 31, 63]);
    assert_eq!(
        env.ready("t"),
        "False ActFailed told to fail since 2026-01-01T00:00:00Z"
    );
    env.advance(3600).await;
    let passes = env.take_passes();
    let gaps: Vec<u64> = passes.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert_eq!(gaps[..3], [128, 256, 300], "up to five minutes");
    env.does_act_fail.store(false, Ordering::Relaxed);
    env.advance(300).await;
    assert!(env.ready("t").starts_with("True Ready"));
    env.advance(3600).await;
    env.take_passes();
    env.does_act_fail.store(true, Ordering::Relaxed);
    env.api.edit(THINGS, "ns", "t", |thing| {
        thing["spec"]["note"] = json!("again");
    });
    env.advance(4).await;
    assert_eq!(env.take_passes().len(), 3, "success starts the count anew");
}

#[tokio::test(start_paused = true)]
async fn a_server_error_is_shown_after_the_third_failure() {
    let env = Env::start();
    for _ in 0..4 {
        env.api.fail("configmaps/child", 503);
    }
    env.thing("t", json!({"apply": "x"}));
    env.advance(2).await;
    assert_eq!(env.take_passes(), [0, 1]);
    assert_eq!(env.ready("t"), "   since ");
    env.advance(2).await;
    assert_eq!(
        env.ready("t"),
        "Unknown TransientError ConfigMap ns/child: told to fail since 2026-01-01T00:00:03Z"
    );
    env.advance(20).await;
    assert!(
        env.ready("t").starts_with("True Ready"),
        "{}",
        env.ready("t")
    );
}

#[tokio::test(start_paused = true)]
async fn a_refused_change_is_shown_and_not_tried_in_a_loop() {
    let env = Env::start();
    env.api.fail("configmaps/child", 422);
    env.thing("t", json!({"apply": "x"}));
    env.advance(500).await;
    assert_eq!(env.take_passes(), [0]);
    assert_eq!(
        env.ready("t"),
        "False ApplyRejected ConfigMap ns/child: told to fail since 2026-01-01T00:00:00Z"
    );
    let events = env.api.list("v1/events");
    assert_eq!(events.len(), 1);
    assert_eq!(events[0]["reason"], "ApplyRejected");
    env.advance(200).await;
    assert!(
        env.ready("t").starts_with("True Ready"),
        "the resync tries again"
    );
}

#[tokio::test(start_paused = true)]
async fn a_conflict_is_retried_at_once_and_not_shown() {
    let env = Env::start();
    env.api.fail("configmaps/child", 409);
    env.api.fail("configmaps/child", 409);
    env.thing("t", json!({"apply": "x"}));
    env.advance(0).await;
    tokio::time::sleep(Duration::from_millis(10)).await;
    assert_eq!(env.ready("t"), "True Ready  since 2026-01-01T00:00:00Z");
    assert_eq!(env.gauge.read().controllers[0].conflicts, 2);
    assert_eq!(env.gauge.read().controllers[0].transient_failures, 0);
}

/// The answer to the status write holds the other change too, and reaches the cache before the watch tells of either.
#[tokio::test(start_paused = true)]
async fn a_change_just_before_the_own_status_write_is_not_missed() {
    let env = Env::start();
    env.api
        .edit_before("things/t/status", (THINGS, "ns", "t"), |thing| {
            thing["spec"]["apply"] = json!("hello");
        });
    env.thing("t", json!({}));
    env.advance(1).await;
    assert!(env.api.get("v1/configmaps", "ns", "child").is_some());
    assert_eq!(env.ready("t"), "True Ready  since 2026-01-01T00:00:00Z");
}

/// As above, where a pass changes another object and is then refused something.
#[tokio::test(start_paused = true)]
async fn a_change_just_before_a_write_of_a_refused_pass_is_not_missed() {
    let env = Env::start();
    env.api.put(
        "v1/configmaps",
        json!({"metadata": {"namespace": "ns", "name": "child"}, "data": {"text": "old"}}),
    );
    env.api.edit_before(
        "configmaps/child",
        ("v1/configmaps", "ns", "child"),
        |map| {
            map["metadata"]["labels"] = json!({"seen": "true"});
        },
    );
    env.api.fail("things/t/status", 422);
    env.thing("t", json!({"apply": "new", "needs": "child"}));
    env.advance(1).await;
    assert_eq!(env.take_passes().len(), 2, "one for the other's change");
}

#[tokio::test(start_paused = true)]
async fn the_finalizer_goes_when_nothing_is_left_to_do() {
    let env = Env::start();
    env.api.put(
        "v1/pods",
        json!({"metadata": {"namespace": "ns", "name": "p", "labels": {"thing": "t"}}}),
    );
    env.thing("t", json!({}));
    env.advance(1).await;
    env.api.delete(THINGS, "ns", "t");
    env.advance(100).await;
    assert!(
        env.ready("t")
            .starts_with("False PodsRemain 1 pods are left"),
        "{}",
        env.ready("t")
    );
    env.api.delete("v1/pods", "ns", "p");
    env.advance(1).await;
    assert_eq!(env.api.get(THINGS, "ns", "t"), None);
    assert_eq!(env.gauge.read().controllers[0].objects, 0);
}

#[tokio::test(start_paused = true)]
async fn a_panic_hits_one_object_and_nothing_else() {
    let env = Env::start();
    env.thing("bad", json!({"panic": true}));
    env.thing("good", json!({}));
    env.advance(2).await;
    assert!(env.ready("good").starts_with("True Ready"));
    assert!(
        env.ready("bad").starts_with("False InternalError"),
        "{}",
        env.ready("bad")
    );
    assert_eq!(env.gauge.read().controllers[0].panics, 2);
    env.api.edit(THINGS, "ns", "bad", |thing| {
        thing["spec"]["panic"] = json!(false);
    });
    env.advance(1).await;
    assert!(env.ready("bad").starts_with("True Ready"));
}

#[tokio::test(start_paused = true)]
async fn an_event_is_written_once_and_counted_up() {
    let env = Env::start();
    env.thing("t", json!({"note": "hello"}));
    env.advance(1).await;
    for turn in 0..9 {
        env.api.edit(THINGS, "ns", "t", |thing| {
            thing["metadata"]["labels"] = json!({"turn": turn.to_string()});
        });
        env.advance(30).await;
    }
    let events = env.api.list("v1/events");
    let shown: Vec<String> = events
        .iter()
        .map(|e| {
            format!(
                "{} {} {} {}",
                e["type"], e["reason"], e["message"], e["count"]
            )
        })
        .collect();
    expect![[r#"
        [
            "\"Normal\" \"Noted\" \"hello\" 8",
        ]
    "#]]
    .assert_debug_eq(&shown);
    assert_eq!(env.gauge.read().events_written, 3);
}

#[tokio::test(start_paused = true)]
async fn an_object_that_does_not_parse_is_skipped_and_the_watch_lives_on() {
    let env = Env::start();
    env.thing("bad", json!({"act": "no boolean"}));
    env.advance(1).await;
    env.api.send(
        THINGS,
        &json!({"type": "ADDED", "object": {"metadata": {"labels": 7}}}),
    );
    env.thing("good", json!({}));
    env.advance(1).await;
    assert!(env.ready("good").starts_with("True Ready"));
    let metrics = env.gauge.read();
    assert_eq!(
        (metrics.controllers[0].malformed, metrics.caches.malformed),
        (1, 1)
    );
}

#[tokio::test(start_paused = true)]
async fn a_lost_watch_is_resumed_and_an_expired_one_listed_anew() {
    let env = Env::start();
    env.thing("a", json!({}));
    env.advance(5).await;
    env.api.drop_watches();
    env.thing("b", json!({}));
    env.advance(60).await;
    assert!(env.ready("b").starts_with("True Ready"));
    assert_eq!(
        env.gauge.read().caches.lists,
        4,
        "CRDs, APIServices, things and pods once each"
    );
    let gone = json!({"kind": "Status", "code": 410, "message": "too old", "reason": "Expired", "status": "Failure"});
    env.api
        .send(THINGS, &json!({"type": "ERROR", "object": gone}));
    env.advance(60).await;
    env.thing("c", json!({}));
    env.advance(1).await;
    assert!(env.ready("c").starts_with("True Ready"));
    assert_eq!(env.gauge.read().caches.lists, 5);
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_is_answered_with_an_error_is_listed_anew_without_haste() {
    let env = Env::start();
    env.thing("t", json!({}));
    env.advance(1).await;
    env.api.take_reads();
    let error =
        json!({"type": "ERROR", "object": {"kind": "Status", "code": 500, "message": "told to"}});
    env.api.send(THINGS, &error);
    // What happened while nobody watched is seen.
    env.api.drop_watches();
    env.api.edit(THINGS, "ns", "t", |thing| {
        thing["spec"]["apply"] = json!("hello");
    });
    env.advance(5).await;
    assert!(env.api.get("v1/configmaps", "ns", "child").is_some());
    let lists = |reads: Vec<String>| {
        reads
            .iter()
            .filter(|read| read.ends_with("/things"))
            .count()
    };
    assert_eq!(lists(env.api.take_reads()), 2, "a list and a watch");
}

#[tokio::test(start_paused = true)]
async fn a_kind_that_appears_later_is_picked_up_when_its_definition_does() {
    let api = Api::default();
    api.unserve("things", true);
    let env = Env::start_with(api);
    env.thing("t", json!({}));
    env.advance(3000).await;
    assert_eq!(env.take_passes(), Vec::<u64>::new());
    env.api.unserve("things", false);
    env.api.put(
        "apiextensions.k8s.io/v1/customresourcedefinitions",
        json!({"metadata": {"name": "things.test.io"}}),
    );
    env.advance(1).await;
    assert!(
        env.ready("t").starts_with("True Ready"),
        "without waiting for the back-off"
    );
}

#[tokio::test(start_paused = true)]
async fn an_apply_repairs_what_others_changed_or_deleted() {
    let env = Env::start();
    env.thing("t", json!({"apply": "x"}));
    env.advance(1).await;
    env.api.edit("v1/configmaps", "ns", "child", |child| {
        child["data"]["text"] = json!("vandalism");
    });
    env.advance(1).await;
    assert_eq!(
        env.api.get("v1/configmaps", "ns", "child").unwrap()["data"]["text"],
        "x"
    );
    env.api.delete("v1/configmaps", "ns", "child");
    env.advance(1).await;
    assert_eq!(
        env.api.get("v1/configmaps", "ns", "child").unwrap()["data"]["text"],
        "x"
    );
}

#[tokio::test(start_paused = true)]
async fn idle_controllers_send_nothing() {
    let env = Env::start();
    env.thing("t", json!({"apply": "x"}));
    env.advance(10).await;
    env.api.take_reads();
    env.advance(500).await;
    assert_eq!(env.api.take_reads(), Vec::<String>::new());
}

/// Writes in every pass.
struct Restless;

impl Reconciler for Restless {
    const NAME: &'static str = "restless";
    type Object = Thing;
    type World = Thing;
    type Act = std::convert::Infallible;

    async fn gather(&self, cx: &Cx, thing: &Thing) -> Result<Thing, GatherError> {
        let _: Option<Arc<ConfigMap>> = cx.get("ns", "counter").await?;
        Ok(thing.clone())
    }
    fn plan(_: &Thing, _: jiff::Timestamp) -> Plan<Self::Act> {
        static TURNS: AtomicU64 = AtomicU64::new(0);
        let patch = json!({"data": {"turn": TURNS.fetch_add(1, Ordering::Relaxed).to_string()}});
        let target = ObjectRef {
            group: String::new(),
            version: "v1".to_owned(),
            kind: "ConfigMap".to_owned(),
            namespace: "ns".to_owned(),
            name: "counter".to_owned(),
        };
        Plan {
            changes: vec![crate::Change::Patch {
                target,
                subresource: "",
                patch,
            }],
            ..Plan::default()
        }
    }
    fn status(_: &Thing, _: &Plan<Self::Act>, _: &Outcome, _: jiff::Timestamp) -> Option<Value> {
        None
    }
}

#[tokio::test(start_paused = true)]
async fn a_controller_that_never_rests_is_made_to() {
    let api = Api::default();
    api.put(
        "v1/configmaps",
        json!({"metadata": {"namespace": "ns", "name": "counter"}, "data": {}}),
    );
    api.put(
        THINGS,
        json!({"metadata": {"namespace": "ns", "name": "t"}}),
    );
    let clock = Clock::simulated("2026-01-01T00:00:00Z".parse().unwrap());
    let controllers = Controllers::new(api.client(), clock, Options::default()).add(Restless);
    let gauge = controllers.gauge();
    let tasks = Tasks::new();
    tasks.spawn("controllers", controllers.run(std::future::pending()));
    tokio::time::sleep(Duration::from_secs(10)).await;
    let passes = gauge.read().controllers[0].passes;
    assert!((20..400).contains(&passes), "{passes} passes");
    let text = crate::render_metrics(&[("m", gauge.read()), ("n", gauge.read())]);
    for line in [
        "apiary_controller_passes_total{manager=\"m\",controller=\"restless\"} ",
        "apiary_controller_passes_total{manager=\"n\",controller=\"restless\"} ",
        "apiary_runtime_cache_objects{manager=\"m\"} ",
    ] {
        assert!(text.contains(line), "{line} is missing of {text}");
    }
    let mut heads: Vec<&str> = text.lines().filter(|line| line.starts_with('#')).collect();
    let all = heads.len();
    heads.dedup();
    assert_eq!(heads.len(), all, "each family has one head");
}

#[tokio::test(start_paused = true)]
async fn a_task_that_panics_is_started_anew() {
    let starts = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&starts);
    let clock = Clock::simulated("2026-01-01T00:00:00Z".parse().unwrap());
    let controllers = Controllers::new(Api::default().client(), clock, Options::default());
    let controllers = controllers.add_task("shaky", move |_| {
        let start = counter.fetch_add(1, Ordering::Relaxed);
        async move { assert!(start >= 3, "told to panic") }
    });
    let stop = tokio::time::sleep(Duration::from_secs(3600));
    controllers.run(stop).await;
    assert_eq!(starts.load(Ordering::Relaxed), 4);
}
