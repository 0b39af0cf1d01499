//! One pass of one controller over one object: gather, plan, apply, status.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::Resource;
use kube::core::ApiResource;
use serde_json::{Value, json};
use tracing::Instrument;

use crate::cache::Entry;
use crate::driver::Env;
use crate::metrics::Counters;
use crate::queue::{Dependent, Next};
use crate::status::{ConditionStyle, Facts, INTERNAL_ERROR, TRANSIENT_ERROR, complete, unready};
use crate::tasks::panic_text;
use crate::write::{Failure, Writer};
use crate::{Change, Cx, GatherError, Note, Outcome, Plan, Reconciler, Wait};

/// Conflicts in a row that are answered by looking again at once.
const CONFLICTS_AT_ONCE_MAX: u32 = 5;
/// From this failure in a row on, a user is told of transient ones.
const FAILURES_UNTOLD: u32 = 2;

/// A controller, without its types.
pub(crate) trait Drive: Send + Sync {
    fn name(&self) -> &'static str;
    fn reporter(&self) -> &'static str;
    fn resource(&self) -> ApiResource;
    fn finalizer(&self) -> Option<&'static str>;
    fn style(&self) -> ConditionStyle;
    fn pass<'a>(
        &'a self,
        env: &'a Env,
        cx: &'a Cx,
        subject: &'a Subject<'a>,
    ) -> BoxFuture<'a, Report>;
}

/// What a pass is about.
pub(crate) struct Subject<'a> {
    pub(crate) resource: &'a ApiResource,
    pub(crate) entry: &'a Arc<Entry>,
    pub(crate) counters: &'a Counters,
    /// Failed passes in a row before this one.
    pub(crate) failures: u32,
}

/// How a pass ended.
pub(crate) struct Report {
    end: End,
    again_in: Option<Duration>,
    /// Revisions that the pass itself made and that need no new look.
    own: Vec<u64>,
}

enum End {
    Settled,
    /// The object is of no interest any more.
    Released,
    Failed(Failure),
    Gather(GatherError),
    Malformed(Arc<str>),
}

pub(crate) struct Driven<R>(pub(crate) R);

impl<R: Reconciler> Drive for Driven<R> {
    fn name(&self) -> &'static str {
        R::NAME
    }
    fn reporter(&self) -> &'static str {
        R::REPORTER
    }
    fn resource(&self) -> ApiResource {
        ApiResource::erase::<R::Object>(&())
    }
    fn finalizer(&self) -> Option<&'static str> {
        R::FINALIZER
    }
    fn style(&self) -> ConditionStyle {
        R::CONDITIONS.in_group(&R::Object::group(&()))
    }
    fn pass<'a>(
        &'a self,
        env: &'a Env,
        cx: &'a Cx,
        subject: &'a Subject<'a>,
    ) -> BoxFuture<'a, Report> {
        Box::pin(pass(&self.0, env, cx, subject))
    }
}

async fn pass<R: Reconciler>(reconciler: &R, env: &Env, cx: &Cx, subject: &Subject<'_>) -> Report {
    let object = match subject.entry.read::<R::Object>() {
        Ok(object) => object,
        Err(why) => return Report::of(End::Malformed(why)),
    };
    let world = match reconciler.gather(cx, &object).await {
        Ok(world) => world,
        Err(error) => return Report::of(End::Gather(error)),
    };
    let now = cx.now();
    let plan = R::plan(&world, now);
    tracing::debug!("planned\n{plan}");
    let mut writer = Writer::new(cx, R::NAME).managing_as(R::MANAGER);
    let mut failure = None;
    let mut outcome = Outcome::default();
    for change in &plan.changes {
        let result = match change {
            Change::Act(act) => reconciler.act(cx, &world, act).await.map_err(Failure::Act),
            Change::Apply(object) => writer.apply(object).await,
            Change::ApplyStatus(object) => writer.apply_status(object).await,
            Change::Create(object) => writer.create(object).await,
            Change::Patch {
                target,
                subresource,
                patch,
            } => writer.patch(target, subresource, patch).await,
            Change::Delete { target, uid } => writer.delete(target, uid.as_deref()).await,
        };
        match result {
            Ok(()) => outcome.done += 1,
            Err(why) => {
                outcome.failure = Some(why.wait());
                failure = Some(why);
                break;
            }
        }
    }
    let wanted = R::status(&world, &plan, &outcome, now);
    if matches!(failure, Some(Failure::Rejected { .. })) {
        let note = R::refusal(&world, &plan, &outcome);
        env.recorder.record(
            R::REPORTER,
            &env.reference(subject.resource, &subject.entry.header),
            note,
        );
    }
    let done = outcome.done;
    let sketch = Sketch::of(&plan, outcome, R::FINALIZER, subject);
    for note in plan.notes {
        let has_happened = note.after.map_or(failure.is_none(), |after| done >= after);
        if note.warning || has_happened {
            let object = match &note.about {
                Some(other) => Arc::clone(other),
                None => env.reference(subject.resource, &subject.entry.header),
            };
            env.recorder.record(R::REPORTER, &object, note);
        }
    }
    let style = R::CONDITIONS.in_group(&subject.resource.group);
    finish(
        &mut writer,
        subject,
        (R::FINALIZER, style),
        wanted,
        failure,
        sketch,
    )
    .await
}

/// What is left of a plan when its changes are made.
struct Sketch {
    waits: Vec<Wait>,
    outcome: Outcome,
    again_in: Option<Duration>,
    /// The finalizer may go.
    is_finished: bool,
}

impl Sketch {
    fn of<A>(
        plan: &Plan<A>,
        outcome: Outcome,
        finalizer: Option<&str>,
        subject: &Subject<'_>,
    ) -> Self {
        let is_empty = plan.changes.is_empty() && plan.waits.is_empty();
        let is_deleting = subject.entry.header.is_deleting;
        Self {
            waits: plan.waits.clone(),
            again_in: plan.again_in,
            is_finished: finalizer.is_some()
                && is_deleting
                && outcome.failure.is_none()
                && (plan.is_finished || is_empty),
            outcome,
        }
    }
}

/// The part of a pass after its changes that does not depend on the controller's types.
async fn finish(
    writer: &mut Writer<'_>,
    subject: &Subject<'_>,
    controller: (Option<&'static str>, ConditionStyle),
    wanted: Option<Value>,
    mut failure: Option<Failure>,
    sketch: Sketch,
) -> Report {
    let (finalizer, style) = controller;
    let made = writer.revisions.len();
    let is_told = match &failure {
        Some(Failure::Conflict(_)) => false,
        Some(Failure::Transient(_)) => subject.failures >= FAILURES_UNTOLD,
        Some(Failure::Rejected { .. } | Failure::Act(_)) | None => true,
    };
    if sketch.is_finished {
        let finalizers = &subject.entry.header.finalizers;
        let rest: Vec<&String> = finalizers
            .iter()
            .filter(|f| Some(f.as_str()) != finalizer)
            .collect();
        let patch = json!({"metadata": {"finalizers": rest, "resourceVersion": subject.entry.header.resource_version}});
        // The object may have moved on since: then the conflict brings us back with the newest.
        let dropped = writer
            .patch_self(subject.resource, subject.entry, "", &patch)
            .await;
        failure = dropped.err();
    } else if let Some(wanted) = wanted.filter(|_| is_told) {
        // Many passes have no status to write, so only those that have one read the object as a tree.
        let object: Value = serde_json::from_str(subject.entry.json()).unwrap_or_default();
        let facts = Facts {
            style,
            old: &object["status"],
            generation: object["metadata"]["generation"].as_i64(),
            is_deleting: subject.entry.header.is_deleting,
            waits: &sketch.waits,
            outcome: &sketch.outcome,
            now: writer.cx.now(),
        };
        let status = complete(wanted, &facts);
        let written = writer.status(subject.resource, &object, status).await;
        failure = failure.or(written.err());
    }
    subject
        .counters
        .sent
        .fetch_add(writer.sent, Ordering::Relaxed);
    subject
        .counters
        .saved
        .fetch_add(writer.saved, Ordering::Relaxed);
    // Only the last write, of the status or the finalizers, is made onto a known version. The answers to the others may
    // hold changes that this pass has not seen, so those wake the object as anybody's would. What is tried again anyway
    // is not to be tried before its back-off.
    let own = match &failure {
        Some(failure) if failure.is_retried() => 0,
        Some(_) | None => made,
    };
    Report {
        own: writer.revisions.split_off(own),
        again_in: sketch.again_in,
        end: match failure {
            Some(failure) => End::Failed(failure),
            None if sketch.is_finished => End::Released,
            None => End::Settled,
        },
    }
}

impl Report {
    fn of(end: End) -> Self {
        Self {
            end,
            again_in: None,
            own: vec![],
        }
    }
}

/// One pass over one object, whatever happens in it. Returns when to look again, and the pass's own revisions.
pub(crate) async fn attend(
    env: &Env,
    controller: &dyn Drive,
    counters: &Counters,
    dependent: &Dependent,
) -> (Next, Vec<u64>) {
    let resource = controller.resource();
    let cache = env.cluster.kind(&resource);
    let Some(mut entry) = cache.get(None, &dependent.namespace, &dependent.name) else {
        return (Next::Gone, vec![]);
    };
    let failures = dependent.failures.load(Ordering::Relaxed);
    let span = tracing::info_span!(
        "pass",
        controller = controller.name(),
        kind = resource.kind,
        namespace = dependent.namespace,
        name = dependent.name,
        attempt = failures + 1
    );
    dependent.begin_pass();
    let guarded = async {
        let mut own = vec![];
        if let Some(finalizer) = controller.finalizer() {
            let has = entry.header.finalizers.iter().any(|f| f == finalizer);
            if entry.header.is_deleting && !has {
                return Report::of(End::Released);
            }
            if !has {
                match add_finalizer(env, controller.name(), &resource, &entry, finalizer).await {
                    Ok(revision) => own.extend(revision),
                    Err(failure) => return Report::of(End::Failed(failure)),
                }
                // What the server made of it is in the cache, ahead of the watch.
                let now = cache.get(None, &dependent.namespace, &dependent.name);
                entry = now.unwrap_or(entry);
            }
        }
        let subject = Subject {
            resource: &resource,
            entry: &entry,
            counters,
            failures,
        };
        let cx = Cx::for_pass(
            Arc::clone(&env.cluster),
            Arc::clone(&env.clusters),
            dependent.clone(),
            ObjectReference::clone(&env.reference(subject.resource, &subject.entry.header)),
        );
        let mut report = controller.pass(env, &cx, &subject).await;
        report.own.extend(own);
        report
    };
    let guarded = tokio::time::timeout(env.options.pass_timeout, guarded.instrument(span.clone()));
    let report = match AssertUnwindSafe(guarded).catch_unwind().await {
        Ok(Ok(report)) => report,
        Ok(Err(_)) => Report::of(End::Failed(Failure::Transient(
            "the pass took too long".to_owned(),
        ))),
        Err(panic) => {
            let message = panic_text(&*panic).to_owned();
            span.in_scope(|| tracing::error!(panic = message, "the controller panicked"));
            counters.panics.fetch_add(1, Ordering::Relaxed);
            dependent.end_pass(false);
            let ready = (
                "False",
                INTERNAL_ERROR,
                "the controller failed, see the server's log",
            );
            let own = tell(env, controller, &resource, dependent, ready).await;
            return (env.back_off(dependent), own);
        }
    };
    dependent.end_pass(matches!(
        report.end,
        End::Settled | End::Released | End::Failed(_)
    ));
    span.in_scope(|| log(&report));
    conclude(env, controller, counters, dependent, report).await
}

/// Decides when to look again: the only retry policy there is.
async fn conclude(
    env: &Env,
    controller: &dyn Drive,
    counters: &Counters,
    dependent: &Dependent,
    report: Report,
) -> (Next, Vec<u64>) {
    let count =
        |counter: &std::sync::atomic::AtomicU64| _ = counter.fetch_add(1, Ordering::Relaxed);
    let mut own = report.own;
    if !matches!(report.end, End::Failed(Failure::Conflict(_))) {
        dependent.conflicts.store(0, Ordering::Relaxed);
    }
    let next = match report.end {
        End::Settled | End::Released => {
            dependent.failures.store(0, Ordering::Relaxed);
            env.settle(dependent, report.again_in)
        }
        End::Malformed(_) => {
            count(&counters.malformed);
            env.settle(dependent, None)
        }
        End::Failed(Failure::Rejected {
            is_missing: false, ..
        }) => {
            count(&counters.rejected);
            dependent.failures.store(0, Ordering::Relaxed);
            env.settle(dependent, report.again_in)
        }
        End::Failed(Failure::Rejected {
            is_missing: true, ..
        }) => {
            count(&counters.rejected);
            env.back_off(dependent)
        }
        End::Failed(Failure::Conflict(_)) => {
            count(&counters.conflicts);
            if dependent.conflicts.fetch_add(1, Ordering::Relaxed) < CONFLICTS_AT_ONCE_MAX {
                Next::Now
            } else {
                env.back_off(dependent)
            }
        }
        End::Failed(Failure::Transient(_)) => {
            count(&counters.transient);
            env.back_off(dependent)
        }
        End::Failed(Failure::Act(_)) => {
            count(&counters.acts);
            // The plan may know better when it is worth another try.
            match (env.back_off(dependent), report.again_in) {
                (Next::After(pause), Some(again)) => Next::After(pause.min(again)),
                (next, _) => next,
            }
        }
        End::Gather(error) => {
            count(&counters.transient);
            if dependent.failures.load(Ordering::Relaxed) >= FAILURES_UNTOLD {
                let message = crate::chain(&error);
                let ready = ("Unknown", TRANSIENT_ERROR, message.as_str());
                own.extend(tell(env, controller, &controller.resource(), dependent, ready).await);
            }
            env.back_off(dependent)
        }
    };
    (next, own)
}

fn log(report: &Report) {
    match &report.end {
        End::Settled | End::Released => {}
        End::Failed(Failure::Conflict(why)) => tracing::debug!(why, "conflict, looking again"),
        End::Failed(failure) => {
            let Wait { reason, message } = failure.wait();
            tracing::info!(reason, message, "the pass failed");
        }
        End::Gather(error) => tracing::info!(error = crate::chain(error), "gathering failed"),
        End::Malformed(why) => tracing::warn!(why = &**why, "the object does not parse"),
    }
}

async fn add_finalizer(
    env: &Env,
    controller: &str,
    resource: &ApiResource,
    entry: &Arc<Entry>,
    finalizer: &str,
) -> Result<Option<u64>, Failure> {
    let mut finalizers = entry.header.finalizers.clone();
    finalizers.push(finalizer.to_owned());
    let patch = json!({"metadata": {"finalizers": finalizers, "resourceVersion": entry.header.resource_version}});
    let cx = env.detached();
    Writer::new(&cx, controller)
        .patch_self(resource, entry, "", &patch)
        .await
}

/// Says in an event, and in `Ready` if the kind has it, why no status of the controller's own came about. Best effort: it
/// is about a failure already.
async fn tell(
    env: &Env,
    controller: &dyn Drive,
    resource: &ApiResource,
    dependent: &Dependent,
    ready: (&str, &'static str, &str),
) -> Vec<u64> {
    let entry = env
        .cluster
        .entry_if_synced(resource, &dependent.namespace, &dependent.name);
    let Some(entry) = entry else { return vec![] };
    let note = Note {
        about: None,
        warning: true,
        reason: ready.1,
        message: ready.2.to_owned(),
        after: None,
    };
    let object = env.reference(resource, &entry.header);
    env.recorder.record(controller.reporter(), &object, note);
    if controller.style() != ConditionStyle::Ready {
        return vec![];
    }
    let object: Value = serde_json::from_str(entry.json()).unwrap_or_default();
    let generation = object["metadata"]["generation"].as_i64();
    let status = unready(
        &object["status"],
        generation,
        ready,
        env.cluster.clock.now(),
    );
    if status["conditions"] == object["status"]["conditions"] {
        return vec![];
    }
    let patch =
        json!({"metadata": {"resourceVersion": entry.header.resource_version}, "status": status});
    let cx = env.detached();
    let written = Writer::new(&cx, controller.name())
        .patch_self(resource, &entry, "status", &patch)
        .await;
    match written {
        Ok(revision) => revision.into_iter().collect(),
        Err(failure) => {
            tracing::debug!(?failure, "the failure could not be shown in the status");
            vec![]
        }
    }
}
