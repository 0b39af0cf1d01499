//! DELETE: grace periods, finalizers, and what happens to dependents.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{Call, ListOptions, MAX_WRITE_TRIES, Registry, Shown, Target, metadata, write_failed};
use crate::admission::Operation;
use crate::status::{Cause, Status};
use crate::store::{Change, Expected, WriteError};

/// Objects of a collection that are deleted at the same time: their writes wait for the disk together.
const TOGETHER: usize = 16;
/// Holds an owner until the garbage collector has deleted its blocking dependents.
const FOREGROUND: &str = "foregroundDeletion";
/// Holds an owner until the garbage collector has freed its dependents.
const ORPHAN: &str = "orphan";
/// A pod's grace period when its spec names none.
const DEFAULT_GRACE_SECONDS: i64 = 30;

/// The body (or query) of a DELETE.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeleteOptions {
    pub grace_period_seconds: Option<i64>,
    /// `Background`, `Foreground` or `Orphan`.
    pub propagation: Option<String>,
    /// The old way to say it.
    pub orphan_dependents: Option<bool>,
    pub uid: Option<String>,
    pub resource_version: Option<String>,
    pub dry_run: bool,
}

/// What a DELETE did.
#[derive(Clone, Debug)]
pub enum Deleted {
    /// The object is still there, with its deletion begun.
    Begun(Shown),
    /// The object is gone; this was its last state.
    Gone(Shown),
}

impl DeleteOptions {
    /// Reads a decoded `DeleteOptions` object.
    ///
    /// # Errors
    /// 422 for an unknown policy, or one said in both ways.
    pub fn parse(value: &Value) -> Result<Self, Status> {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let options = Self {
            grace_period_seconds: value["gracePeriodSeconds"].as_i64(),
            propagation: text(&value["propagationPolicy"]),
            orphan_dependents: value["orphanDependents"].as_bool(),
            uid: text(&value["preconditions"]["uid"]),
            resource_version: text(&value["preconditions"]["resourceVersion"]),
            dry_run: value["dryRun"].as_array().is_some_and(|d| !d.is_empty()),
        };
        let dry_run = value["dryRun"].as_array().map(Vec::as_slice);
        if dry_run.unwrap_or_default().iter().any(|v| v != "All") {
            let cause = Cause::not_supported("dryRun", &value["dryRun"], &["All"]);
            return Err(Status::invalid(
                "meta.k8s.io",
                "DeleteOptions",
                "",
                vec![cause],
            ));
        }
        options.check()?;
        Ok(options)
    }

    /// # Errors
    /// 422 for an unknown policy, or one said in both ways.
    pub fn check(&self) -> Result<(), Status> {
        let mut causes = vec![];
        if self.propagation.is_some() && self.orphan_dependents.is_some() {
            causes.push(Cause::invalid(
                "propagationPolicy",
                &json!(self.propagation),
                "orphanDependents and deletionPropagation cannot be both set",
            ));
        }
        if let Some(policy) = &self.propagation
            && !matches!(policy.as_str(), "Background" | "Foreground" | "Orphan")
        {
            causes.push(Cause::not_supported(
                "propagationPolicy",
                &json!(policy),
                &["Foreground", "Background", "Orphan", "nil"],
            ));
        }
        if causes.is_empty() {
            return Ok(());
        }
        Err(Status::invalid("meta.k8s.io", "DeleteOptions", "", causes))
    }
}

impl Registry {
    /// Deletes an object, or begins to.
    ///
    /// # Errors
    /// 404 if there is none, 409 if a precondition does not hold, and whatever admission says.
    pub async fn delete(
        &self,
        call: &mut Call<'_>,
        target: &Target,
        options: &DeleteOptions,
    ) -> Result<Deleted, Status> {
        self.delete_by(call, target, options, Some(target)).await
    }

    /// As [`Registry::delete`], `asked` being what admission sees of the path; nothing if it saw already what the
    /// deletion comes from.
    pub(super) async fn delete_by(
        &self,
        call: &mut Call<'_>,
        target: &Target,
        options: &DeleteOptions,
        asked: Option<&Target>,
    ) -> Result<Deleted, Status> {
        call.dry_run |= options.dry_run;
        for _ in 0..MAX_WRITE_TRIES {
            let Some(object) = self.store.newest(&target.key()) else {
                return Err(target.not_found());
            };
            let shown = self.shown_one(&target.resource, &object).await?;
            let old = self.present(&target.resource, &shown);
            check_preconditions(target, &old, options)?;
            if let Some(asked) = asked {
                let mut nothing = Value::Null;
                self.admit(call, asked, Operation::Delete, Some(&old), &mut nothing)
                    .await?;
                self.judge(call, asked, Operation::Delete, Some(&old), &nothing)
                    .await?;
            }
            let mut next = old.clone();
            let is_gone = begin(target, &mut next, options, self.now());
            if call.dry_run {
                let next = Shown::Made(next);
                return Ok(if is_gone {
                    Deleted::Gone(next)
                } else {
                    Deleted::Begun(next)
                });
            }
            if !is_gone && next == old {
                self.store
                    .durable(object.header.revision)
                    .await
                    .map_err(|error| write_failed(target, &error))?;
                // Or it was given up, or replaced.
                if !self.is_current(target, &object) {
                    continue;
                }
                return Ok(Deleted::Begun(Shown::Made(old)));
            }
            let stored = self.to_storage(next, &target.resource).await?;
            let change = if is_gone {
                Change::Delete(stored)
            } else {
                Change::Put(stored)
            };
            match self
                .store
                .write(
                    &target.key(),
                    Expected::Revision(object.header.revision),
                    change,
                )
                .await
            {
                Ok(written) => {
                    let shown = self.show(&target.resource, &written).await?;
                    return Ok(if is_gone {
                        Deleted::Gone(shown)
                    } else {
                        Deleted::Begun(shown)
                    });
                }
                Err(WriteError::Conflict { .. }) => {}
                Err(error) => return Err(write_failed(target, &error)),
            }
        }
        Err(target.modified())
    }

    /// Deletes all objects that the options select, a few at a time; answers with what was deleted. After a refusal no
    /// more are begun. Admission sees
    /// each of them, but no name in the path.
    ///
    /// # Errors
    /// The first refusal that is not about an object that went away in between.
    pub async fn delete_collection(
        &self,
        call: &mut Call<'_>,
        target: &Target,
        list: &ListOptions,
        options: &DeleteOptions,
    ) -> Result<Vec<Value>, Status> {
        let mut deleted = vec![];
        for objects in self.list(target, list).await?.objects.chunks(TOGETHER) {
            let deletions = objects.iter().map(|object| {
                let one = Target {
                    namespace: object.header.namespace.to_string(),
                    name: object.header.name.to_string(),
                    ..target.clone()
                };
                let mut part = call.part();
                async move {
                    let result = self.delete_by(&mut part, &one, options, Some(target)).await;
                    (part, result)
                }
            });
            let mut refusal = None;
            for (part, result) in futures::future::join_all(deletions).await {
                call.join(part);
                match result {
                    Ok(Deleted::Begun(value) | Deleted::Gone(value)) => {
                        deleted.push(value.into_value());
                    }
                    Err(status) if status.code == 404 => {}
                    Err(status) => refusal = refusal.or(Some(status)),
                }
            }
            if let Some(status) = refusal {
                return Err(status);
            }
        }
        Ok(deleted)
    }
}

/// Turns the state into the one that the deletion leaves; tells whether the object goes at once.
fn begin(target: &Target, value: &mut Value, options: &DeleteOptions, now: Timestamp) -> bool {
    set_dependents_finalizers(target, value, options);
    let grace = if target.resource.strategy.graceful_delete {
        grace_seconds(value, options)
    } else {
        0
    };
    let was_deleting = metadata::is_deleting(value);
    let held = !metadata::finalizers(value).is_empty()
        || (&*target.resource.storage == "namespaces"
            && value["spec"]["finalizers"]
                .as_array()
                .is_some_and(|f| !f.is_empty()));
    if was_deleting {
        let left = value["metadata"]["deletionGracePeriodSeconds"]
            .as_i64()
            .unwrap_or(0);
        // A deletion under way can only be made quicker, and only by who says so.
        if grace >= left || (options.grace_period_seconds.is_none() && grace > 0) {
            return left == 0 && !held;
        }
    } else if grace == 0 && !held {
        return true;
    }
    let deadline = now
        .checked_add(SignedDuration::from_secs(grace))
        .unwrap_or(now);
    let meta = metadata::of(value);
    meta.insert(
        "deletionTimestamp".into(),
        metadata::timestamp(deadline).into(),
    );
    if &*target.resource.storage != "namespaces" {
        meta.insert("deletionGracePeriodSeconds".into(), json!(grace));
    }
    if let Some(generation) = meta.get("generation").and_then(Value::as_i64)
        && !was_deleting
    {
        meta.insert("generation".into(), json!(generation.saturating_add(1)));
    }
    if &*target.resource.storage == "namespaces" {
        value["status"]["phase"] = "Terminating".into();
    }
    grace == 0 && !held
}

/// How long the kubelet has; 0 if nobody would have to do anything.
fn grace_seconds(pod: &Value, options: &DeleteOptions) -> i64 {
    let is_unbound = pod["spec"]["nodeName"]
        .as_str()
        .unwrap_or_default()
        .is_empty();
    if is_unbound
        || matches!(
            pod["status"]["phase"].as_str(),
            Some("Succeeded" | "Failed")
        )
    {
        return 0;
    }
    let asked = options
        .grace_period_seconds
        .or_else(|| pod["spec"]["terminationGracePeriodSeconds"].as_i64());
    match asked.unwrap_or(DEFAULT_GRACE_SECONDS) {
        seconds if seconds < 0 => 1,
        seconds => seconds,
    }
}

/// The garbage collector works through finalizers; the policy chooses which.
fn set_dependents_finalizers(target: &Target, value: &mut Value, options: &DeleteOptions) {
    let had: Vec<String> = metadata::finalizers(value)
        .into_iter()
        .map(str::to_owned)
        .collect();
    let policy = match (&options.propagation, options.orphan_dependents) {
        (Some(policy), _) => policy.as_str(),
        (None, Some(true)) => "Orphan",
        (None, Some(false)) => "Background",
        (None, None) if had.iter().any(|f| f == ORPHAN) => "Orphan",
        (None, None) if had.iter().any(|f| f == FOREGROUND) => "Foreground",
        (None, None) if target.resource.strategy.orphan_by_default => "Orphan",
        (None, None) => "Background",
    };
    let mut finalizers: Vec<String> = had
        .iter()
        .filter(|f| *f != ORPHAN && *f != FOREGROUND)
        .cloned()
        .collect();
    match policy {
        "Orphan" => finalizers.push(ORPHAN.into()),
        "Foreground" => finalizers.push(FOREGROUND.into()),
        _ => {}
    }
    if finalizers == had {
        return;
    }
    let meta = metadata::of(value);
    if finalizers.is_empty() {
        meta.remove("finalizers");
    } else {
        meta.insert("finalizers".into(), json!(finalizers));
    }
}

pub(super) fn check_preconditions(
    target: &Target,
    old: &Value,
    options: &DeleteOptions,
) -> Result<(), Status> {
    let (group, kind) = (&target.resource.group, &target.resource.kind);
    let conflict = |why: String| Err(Status::conflict(group, kind, &target.name, &why));
    let is = metadata::text(old, "uid");
    if let Some(uid) = options.uid.as_deref().filter(|uid| *uid != is) {
        return conflict(format!(
            "the UID in the precondition ({uid}) does not match the UID in record ({is}). The object might have been \
             deleted and then recreated"
        ));
    }
    let is = metadata::text(old, "resourceVersion");
    if let Some(revision) = options
        .resource_version
        .as_deref()
        .filter(|revision| *revision != is)
    {
        return conflict(format!(
            "the ResourceVersion in the precondition ({revision}) does not match the ResourceVersion in record ({is}). \
             The object might have been modified"
        ));
    }
    Ok(())
}
