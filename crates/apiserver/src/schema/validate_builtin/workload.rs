//! Those who make pods: deployments and their like, schedules, autoscalers, budgets.

use serde_json::Value;

use super::{
    Report, amount, int_or_percent, is_empty_selector, items, job, pod, selector, selects, text,
};
use crate::status::Cause;

/// What all workloads with a selector and a template share; `kind` is how their messages call them.
fn selected(spec: &Value, kind: &str, report: &mut Report) {
    report.not_negative("spec.replicas", &spec["replicas"]);
    report.not_negative("spec.minReadySeconds", &spec["minReadySeconds"]);
    report.not_negative("spec.revisionHistoryLimit", &spec["revisionHistoryLimit"]);
    let chosen = &spec["selector"];
    if chosen.is_null() {
        report.required("spec.selector", "");
    } else {
        selector(chosen, "spec.selector", report);
        if is_empty_selector(chosen) {
            let what = format!("empty selector is invalid for {kind}");
            report.invalid("spec.selector", chosen, &what);
        }
    }
    // No selector selects nothing, an empty one everything.
    let labels = &spec["template"]["metadata"]["labels"];
    let is_mismatch = if chosen.is_null() {
        true
    } else {
        !is_empty_selector(chosen) && !selects(chosen, labels)
    };
    if is_mismatch {
        let what = "`selector` does not match template `labels`";
        report.invalid("spec.template.metadata.labels", labels, what);
    }
    let claims: Vec<&str> = items(&spec["volumeClaimTemplates"])
        .map(|(_, claim)| text(&claim["metadata"], "name"))
        .collect();
    pod::template_with(&spec["template"], "spec.template", &claims, report);
    always_restarts(spec, report);
}

fn always_restarts(spec: &Value, report: &mut Report) {
    let policy = &spec["template"]["spec"]["restartPolicy"];
    if policy.is_string() && policy != "Always" {
        report.add(Cause::not_supported(
            "spec.template.spec.restartPolicy",
            policy,
            &["Always"],
        ));
    }
}

fn selector_stays(spec: &Value, old: Option<&Value>, report: &mut Report) {
    if let Some(old) = old {
        report.immutable("spec.selector", &spec["selector"], &old["selector"]);
    }
}

pub(super) fn deployment(spec: &Value, old: Option<&Value>, report: &mut Report) {
    selected(spec, "deployment", report);
    let strategy = &spec["strategy"];
    let rolling = &strategy["rollingUpdate"];
    match text(strategy, "type") {
        "Recreate" if !rolling.is_null() => {
            let what = "may not be specified when strategy `type` is 'Recreate'";
            report.forbidden("spec.strategy.rollingUpdate", what);
        }
        "RollingUpdate" => {
            let at = "spec.strategy.rollingUpdate";
            surge_and_absence(rolling, at, report);
        }
        _ => {}
    }
    let (deadline, ready) = (&spec["progressDeadlineSeconds"], &spec["minReadySeconds"]);
    report.not_negative("spec.progressDeadlineSeconds", deadline);
    if deadline
        .as_i64()
        .is_some_and(|n| n <= ready.as_i64().unwrap_or_default())
    {
        let what = "must be greater than minReadySeconds";
        report.invalid("spec.progressDeadlineSeconds", deadline, what);
    }
    selector_stays(spec, old, report);
}

fn surge_and_absence(rolling: &Value, at: &str, report: &mut Report) {
    let (surge, absent) = (&rolling["maxSurge"], &rolling["maxUnavailable"]);
    amount(surge, &format!("{at}.maxSurge"), report);
    amount(absent, &format!("{at}.maxUnavailable"), report);
    let is_zero = |value: &Value| int_or_percent(value).is_some_and(|(number, _)| number == 0);
    if is_zero(surge) && is_zero(absent) {
        report.invalid(
            format!("{at}.maxUnavailable"),
            absent,
            "may not be 0 when `maxSurge` is 0",
        );
    }
    if int_or_percent(absent).is_some_and(|(number, is_percent)| is_percent && number > 100) {
        report.invalid(
            format!("{at}.maxUnavailable"),
            absent,
            "must not be greater than 100%",
        );
    }
}

pub(super) fn replica_set(spec: &Value, old: Option<&Value>, report: &mut Report) {
    selected(spec, "replicaset", report);
    selector_stays(spec, old, report);
}

pub(super) fn daemon_set(spec: &Value, old: Option<&Value>, report: &mut Report) {
    selected(spec, "daemonset", report);
    if spec["updateStrategy"]["type"] == "RollingUpdate" {
        let rolling = &spec["updateStrategy"]["rollingUpdate"];
        surge_and_absence(rolling, "spec.updateStrategy.rollingUpdate", report);
    }
    selector_stays(spec, old, report);
}

pub(super) fn stateful_set(spec: &Value, old: Option<&Value>, report: &mut Report) {
    selected(spec, "statefulset", report);
    let Some(old) = old else { return };
    const MUTABLE: &[&str] = &[
        "replicas",
        "ordinals",
        "template",
        "updateStrategy",
        "revisionHistoryLimit",
        "persistentVolumeClaimRetentionPolicy",
        "minReadySeconds",
    ];
    let fixed = |spec: &Value| {
        let mut spec = spec.clone();
        if let Some(members) = spec.as_object_mut() {
            members.retain(|name, _| !MUTABLE.contains(&name.as_str()));
        }
        // The status of a claim in a template means nothing.
        for claim in spec
            .get_mut("volumeClaimTemplates")
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten()
        {
            claim["status"] = Value::Null;
        }
        spec
    };
    if fixed(spec) != fixed(old) {
        report.forbidden(
            "spec",
            "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', \
             'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden",
        );
    }
}

pub(super) fn replication_controller(spec: &Value, report: &mut Report) {
    report.not_negative("spec.replicas", &spec["replicas"]);
    let labels = &spec["template"]["metadata"]["labels"];
    let wanted = spec["selector"].as_object();
    if wanted.is_none_or(serde_json::Map::is_empty) {
        report.required("spec.selector", "");
    }
    if spec["template"].is_null() {
        report.required("spec.template", "");
        return;
    }
    if wanted
        .into_iter()
        .flatten()
        .any(|(key, value)| labels.get(key) != Some(value))
    {
        let what = "`selector` does not match template `labels`";
        report.invalid("spec.template.metadata.labels", labels, what);
    }
    pod::template(&spec["template"], "spec.template", report);
    always_restarts(spec, report);
}

pub(super) fn cron_job(cron_job: &Value, report: &mut Report) {
    let spec = &cron_job["spec"];
    let name = text(&cron_job["metadata"], "name");
    if name.len() > 52 {
        report.invalid(
            "metadata.name",
            &name.into(),
            "must be no more than 52 characters",
        );
    }
    let schedule = text(spec, "schedule");
    if schedule.is_empty() {
        report.required("spec.schedule", "");
    } else if let Err(what) = cron(schedule) {
        report.invalid("spec.schedule", &schedule.into(), &what);
    }
    if schedule.contains("TZ=") {
        let what = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead";
        report.invalid("spec.schedule", &schedule.into(), what);
    }
    if let Some(zone) = spec["timeZone"].as_str() {
        let what = if zone.is_empty() {
            Some("timeZone must be nil or non-empty string".to_owned())
        } else if zone.eq_ignore_ascii_case("local") {
            let where_to_look = "https://www.iana.org/time-zones";
            Some(format!(
                "timeZone must be an explicit time zone as defined in {where_to_look}"
            ))
        } else if cel::zone(zone).is_none() {
            Some(format!("unknown time zone {zone}"))
        } else {
            None
        };
        if let Some(what) = what {
            report.invalid("spec.timeZone", &zone.into(), &what);
        }
    }
    for name in [
        "startingDeadlineSeconds",
        "successfulJobsHistoryLimit",
        "failedJobsHistoryLimit",
    ] {
        report.not_negative(&format!("spec.{name}"), &spec[name]);
    }
    job::template(
        &spec["jobTemplate"]["spec"],
        "spec.jobTemplate.spec",
        report,
    );
}

/// Reads a schedule of five fields or a word like `@daily`.
fn cron(schedule: &str) -> Result<(), String> {
    const WORDS: &[&str] = &[
        "@yearly",
        "@annually",
        "@monthly",
        "@weekly",
        "@daily",
        "@midnight",
        "@hourly",
    ];
    if WORDS.contains(&schedule) || schedule.starts_with("@every ") {
        return Ok(());
    }
    let fields: Vec<&str> = schedule
        .split_whitespace()
        .filter(|field| !field.contains("TZ="))
        .collect();
    if fields.len() != 5 {
        return Err(format!(
            "expected exactly 5 fields, found {}: [{}]",
            fields.len(),
            fields.join(" ")
        ));
    }
    let bounds = [(0, 59), (0, 23), (1, 31), (1, 12), (0, 7)];
    for (field, (low, high)) in fields.iter().zip(bounds) {
        for part in field.split(',') {
            let (range, step) = part.split_once('/').unwrap_or((part, "1"));
            let is_step = step.parse::<u32>().is_ok_and(|step| step > 0);
            let is_range = range == "*"
                || range == "?"
                || range.split('-').all(|end| in_bounds(end, low, high));
            if !is_step || !is_range || range.split('-').count() > 2 {
                return Err(format!("failed to parse field {field:?}"));
            }
        }
    }
    Ok(())
}

fn in_bounds(end: &str, low: u32, high: u32) -> bool {
    const NAMES: &[&str] = &[
        "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec", "sun",
        "mon", "tue", "wed", "thu", "fri", "sat",
    ];
    let is_name = matches!(high, 7 | 12) && NAMES.contains(&end.to_lowercase().as_str());
    is_name
        || end
            .parse::<u32>()
            .is_ok_and(|number| (low..=high).contains(&number))
}

pub(super) fn autoscaler(spec: &Value, report: &mut Report) {
    for name in ["kind", "name"] {
        if text(&spec["scaleTargetRef"], name).is_empty() {
            report.required(format!("spec.scaleTargetRef.{name}"), "");
        }
    }
    let (min, max) = (
        spec["minReplicas"].as_i64(),
        spec["maxReplicas"].as_i64().unwrap_or_default(),
    );
    if min.is_some_and(|min| min < 1) {
        report.invalid(
            "spec.minReplicas",
            &spec["minReplicas"],
            "must be greater than or equal to 1",
        );
    }
    if max < 1 {
        report.invalid("spec.maxReplicas", &max.into(), "must be greater than 0");
    }
    if min.is_some_and(|min| max < min) {
        report.invalid(
            "spec.maxReplicas",
            &max.into(),
            "must be greater than or equal to `minReplicas`",
        );
    }
}

pub(super) fn disruption_budget(spec: &Value, report: &mut Report) {
    if !spec["minAvailable"].is_null() && !spec["maxUnavailable"].is_null() {
        report.invalid(
            "spec",
            spec,
            "minAvailable and maxUnavailable cannot be both set",
        );
    }
    amount(&spec["minAvailable"], "spec.minAvailable", report);
    amount(&spec["maxUnavailable"], "spec.maxUnavailable", report);
    if !spec["selector"].is_null() {
        selector(&spec["selector"], "spec.selector", report);
    }
}
