//! What a job's status may become, whoever runs the job. A rule is asked only about what changes, so that a status that
//! breaks it already can still be written.

use std::collections::HashSet;

use serde_json::Value;

use super::super::{Report, items};
use super::{indexes, interval, is_indexed};

/// Whether a condition of the job is true.
pub(super) fn is_true(job: &Value, ty: &str) -> bool {
    has(job, ty, "True")
}

fn has(job: &Value, ty: &str, status: &str) -> bool {
    items(&job["status"]["conditions"]).any(|(_, c)| c["type"] == ty && c["status"] == status)
}

fn number(job: &Value, name: &str) -> i64 {
    job["status"][name].as_i64().unwrap_or(0)
}

/// Texts that are absent are empty.
fn text<'a>(job: &'a Value, name: &str) -> &'a str {
    job["status"][name].as_str().unwrap_or_default()
}

/// What changes.
struct Change<'a> {
    job: &'a Value,
    old: &'a Value,
}

impl Change<'_> {
    fn of(&self, name: &str) -> bool {
        self.job["status"][name] != self.old["status"][name]
    }

    fn of_condition(&self, ty: &str) -> bool {
        is_true(self.job, ty) != is_true(self.old, ty)
    }

    fn of_end(&self) -> bool {
        is_over(self.job) != is_over(self.old)
    }
}

fn is_over(job: &Value) -> bool {
    is_true(job, "Complete") || is_true(job, "Failed")
}

/// A status that replaces that of `old`.
pub(in super::super) fn status(job: &Value, old: &Value, report: &mut Report) {
    let change = Change { job, old };
    numbers(job, report);
    ends(&change, report);
    if is_over(job) {
        over(&change, report);
    }
    index_lists(&change, report);
    if is_over(job)
        && (change.of_end() || change.of("terminating"))
        && number(job, "terminating") > 0
    {
        let what = "terminating>0 is invalid for finished job";
        report.invalid("status.terminating", &job["status"]["terminating"], what);
    }
    if (change.of("ready") || change.of("active")) && number(job, "ready") > number(job, "active") {
        let what = "cannot set more ready pods than active";
        report.invalid("status.ready", &job["status"]["ready"], what);
    }
    contradictions(&change, report);
    steps(&change, report);
}

fn numbers(job: &Value, report: &mut Report) {
    for name in ["active", "succeeded", "failed", "ready", "terminating"] {
        report.not_negative(&format!("status.{name}"), &job["status"][name]);
    }
    let mut seen = HashSet::new();
    for list in ["succeeded", "failed"] {
        for (index, uid) in items(&job["status"]["uncountedTerminatedPods"][list]) {
            let field = format!("status.uncountedTerminatedPods.{list}[{index}]");
            if uid == "" {
                report.invalid(field, uid, "must not be empty");
            } else if !seen.insert(uid.as_str()) {
                report.duplicate(field, uid);
            }
        }
    }
}

/// How a job ends.
fn ends(change: &Change<'_>, report: &mut Report) {
    let job = change.job;
    let (is_complete, has_failed) = (is_true(job, "Complete"), is_true(job, "Failed"));
    let (completes, fails) = (
        change.of_condition("Complete"),
        change.of_condition("Failed"),
    );
    let conditions = "status.conditions";
    if (completes || fails) && is_complete && has_failed {
        let what = "cannot set Complete=True and Failed=true conditions";
        report.wrong(conditions, what);
    }
    let is_target = is_true(job, "FailureTarget");
    if (completes || change.of_condition("FailureTarget")) && is_complete && is_target {
        let what = "cannot set Complete=True and FailureTarget=true conditions";
        report.wrong(conditions, what);
    }
    let (start, end) = (
        &job["status"]["startTime"],
        &job["status"]["completionTime"],
    );
    if completes || change.of("completionTime") {
        if !end.is_null() && !is_complete {
            let what = "cannot set completionTime when there is no Complete=True condition";
            report.invalid("status.completionTime", end, what);
        }
        if end.is_null() && is_complete {
            let what = "completionTime is required for Complete jobs";
            report.required("status.completionTime", what);
        }
    }
    if (change.of("startTime") || change.of("completionTime"))
        && let (Some(start), Some(ended)) = (start.as_str(), end.as_str())
        && ended < start
    {
        let what = "must be equal to or after `startTime`";
        report.invalid("status.completionTime", end, what);
    }
    if (fails || change.of("failedIndexes")) && has_failed && !is_target {
        let what = "cannot set Failed=True condition without the FailureTarget=true condition";
        report.wrong(conditions, what);
    }
    if (completes || change.of_condition("SuccessCriteriaMet"))
        && is_complete
        && !is_true(job, "SuccessCriteriaMet")
    {
        let what =
            "cannot set Complete=True condition without the SuccessCriteriaMet=true condition";
        report.wrong(conditions, what);
    }
}

/// What holds for a job that is over.
fn over(change: &Change<'_>, report: &mut Report) {
    let (job, ends) = (change.job, change.of_end());
    let status = &job["status"];
    if (ends || change.of("active")) && number(job, "active") > 0 {
        let what = "active>0 is invalid for finished job";
        report.invalid("status.active", &status["active"], what);
    }
    let spec = &job["spec"];
    let never_begins = spec["suspend"] == true && spec["completions"] == 0;
    if (ends || change.of("startTime")) && !never_begins && status["startTime"].is_null() {
        let what = "startTime is required for finished job";
        report.required("status.startTime", what);
    }
    let uncounted = &status["uncountedTerminatedPods"];
    let has_some = ["succeeded", "failed"]
        .iter()
        .any(|list| items(&uncounted[*list]).next().is_some());
    if (ends || change.of("uncountedTerminatedPods")) && has_some {
        let what = "must be empty for finished job";
        report.invalid("status.uncountedTerminatedPods", uncounted, what);
    }
}

fn index_lists(change: &Change<'_>, report: &mut Report) {
    let job = change.job;
    let completions = job["spec"]["completions"].as_i64();
    let has_limit = !job["spec"]["backoffLimitPerIndex"].is_null();
    let (completed, failed) = (text(job, "completedIndexes"), text(job, "failedIndexes"));
    let completes = completed != text(change.old, "completedIndexes");
    let fails = change.of("failedIndexes");
    let has_failed = !job["status"]["failedIndexes"].is_null();
    let mut parse = |name: &str, value: &str| {
        if let Err(why) = indexes(value, completions.unwrap_or(0)) {
            let what = format!("error parsing {name}: {why}");
            report.invalid(format!("status.{name}"), &value.into(), &what);
        }
    };
    if completes && completions.is_some() {
        parse("completedIndexes", completed);
    }
    if fails && completions.is_some() && has_limit {
        parse("failedIndexes", failed);
    }
    if completes && !completed.is_empty() && !is_indexed(&job["spec"]) {
        let what = "cannot set non-empty completedIndexes when non-indexed completion mode";
        report.invalid("status.completedIndexes", &completed.into(), what);
    }
    if fails && has_failed && !has_limit {
        let what = "cannot set non-null failedIndexes when backoffLimitPerIndex is null";
        report.invalid("status.failedIndexes", &failed.into(), what);
    }
    if (fails || completes)
        && let Some(index) = overlap(completed, failed, completions.unwrap_or(0))
    {
        let what = format!("failedIndexes and completedIndexes overlap at index: {index}");
        report.invalid("status.failedIndexes", &failed.into(), &what);
    }
}

/// The first index that is in both lists.
fn overlap(one: &str, other: &str, completions: i64) -> Option<i64> {
    let read = |text: &str| -> Vec<(i64, i64)> {
        let parts = text.split(',');
        parts
            .filter_map(|part| interval(part, completions).ok())
            .collect()
    };
    let (one, other) = (read(one), read(other));
    let (mut ours, mut theirs) = (one.iter().peekable(), other.iter().peekable());
    while let (Some((a, b)), Some((c, d))) = (ours.peek(), theirs.peek()) {
        if a <= d && c <= b {
            return Some(*a.max(c));
        }
        if b < d {
            ours.next()
        } else {
            theirs.next()
        };
    }
    None
}

fn contradictions(change: &Change<'_>, report: &mut Report) {
    let job = change.job;
    if !is_true(job, "SuccessCriteriaMet") {
        if !job["spec"]["successPolicy"].is_null() && is_true(job, "Complete") {
            let what = "cannot set Complete=True for Job with SuccessPolicy unless SuccessCriteriaMet=True";
            report.wrong("status.conditions", what);
        }
        return;
    }
    if is_true(job, "Failed") {
        let what = "cannot set SuccessCriteriaMet=True and Failed=true conditions";
        report.wrong("status.conditions", what);
    }
    if is_true(job, "FailureTarget") {
        let what = "cannot set SuccessCriteriaMet=True and FailureTarget=true conditions";
        report.wrong("status.conditions", what);
    }
}

/// What may not be taken back.
fn steps(change: &Change<'_>, report: &mut Report) {
    let Change { job, old } = *change;
    for ty in ["Failed", "Complete", "FailureTarget"] {
        if is_true(old, ty) && !is_true(job, ty) {
            let what = format!("cannot disable the terminal {ty}=True condition");
            report.wrong("status.conditions", &what);
        }
    }
    let spec = &job["spec"];
    // An indexed job can be made smaller.
    let may_shrink = is_indexed(spec) && spec["completions"] == spec["parallelism"];
    for name in ["failed", "succeeded"] {
        let may_shrink = name == "succeeded" && may_shrink;
        if !may_shrink && number(job, name) < number(old, name) {
            let what = format!("cannot decrease the {name} counter");
            report.invalid(format!("status.{name}"), &number(job, name).into(), &what);
        }
    }
    let times = |name: &str| (&job["status"][name], &old["status"][name]);
    let (end, before) = times("completionTime");
    if !end.is_null() && !before.is_null() {
        report.immutable("status.completionTime", end, before);
    }
    let (start, before) = times("startTime");
    let resumes = has(old, "Suspended", "True") && has(job, "Suspended", "False");
    if !resumes && !before.is_null() && start != before && spec["suspend"] != true {
        let what = "field is immutable for unsuspended job once set";
        report.invalid("status.startTime", start, what);
    }
    let (was_met, is_met) = (
        is_true(old, "SuccessCriteriaMet"),
        is_true(job, "SuccessCriteriaMet"),
    );
    if was_met && !is_met {
        let what = "cannot disable the SuccessCriteriaMet=True condition";
        report.wrong("status.conditions", what);
    }
    if is_true(old, "Complete") && !was_met && is_met {
        let what =
            "cannot set SuccessCriteriaMet=True for Job already has Complete=true conditions";
        report.wrong("status.conditions", what);
    }
}
