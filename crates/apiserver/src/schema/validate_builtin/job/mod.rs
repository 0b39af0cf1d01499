//! Jobs: what their spec may say, and what of it may change.

mod policy;
mod status;

pub(super) use status::status;

use serde_json::{Map, Value};

use super::{Report, items, pod, selector, selects, text};
use crate::schema::meta;
use crate::status::Cause;

/// Pods of an indexed job that may run at once.
const PARALLELISM_MAX: i64 = 100_000;
/// Indexes that may fail.
const FAILED_INDEXES_MAX: i64 = 100_000;
/// From this many completions on, a limit per index asks for lower limits of everything else.
const MANY_COMPLETIONS: i64 = 100_000;
/// Those lower limits.
const LIMIT_OF_MANY: i64 = 10_000;
const MANAGER_MAX: usize = 63;

/// A job as a whole; `old` is what it was before.
pub(super) fn job(job: &Value, old: Option<&Value>, report: &mut Report) {
    let spec = &job["spec"];
    generated(job, old, report);
    template(spec, "spec", report);
    if spec["selector"].is_null() {
        report.required("spec.selector", "");
    } else {
        selector(&spec["selector"], "spec.selector", report);
    }
    let labels = labels(spec);
    if spec["selector"].is_null() || !selects(&spec["selector"], &labels) {
        let what = "`selector` does not match template `labels`";
        report.invalid("spec.template.metadata.labels", &labels, what);
    }
    let completions = spec["completions"].as_i64().unwrap_or(0);
    if is_indexed(spec) && completions > 0 {
        let name = text(&job["metadata"], "name");
        let longest = format!("{name}-{}", completions - 1);
        if !meta::label(&longest).is_empty() {
            let what = format!("will not able to create pod with invalid DNS label: {longest}");
            report.invalid("metadata.name", &name.into(), &what);
        }
    }
    if let Some(old) = old {
        update(job, old, report);
    }
}

fn is_indexed(spec: &Value) -> bool {
    spec["completionMode"] == "Indexed"
}

fn labels(spec: &Value) -> Value {
    match &spec["template"]["metadata"]["labels"] {
        Value::Null => Value::Object(Map::new()),
        labels => labels.clone(),
    }
}

/// The selector and labels that the server makes.
fn generated(job: &Value, old: Option<&Value>, report: &mut Report) {
    let spec = &job["spec"];
    let (uid, name) = (
        text(&job["metadata"], "uid"),
        text(&job["metadata"], "name"),
    );
    // Without a uid there was nothing to generate.
    if spec["manualSelector"] == true || spec["selector"].is_null() || uid.is_empty() {
        return;
    }
    let mut expected = vec![("controller-uid", uid), ("job-name", name)];
    let prefixed = [
        ("batch.kubernetes.io/controller-uid", uid),
        ("batch.kubernetes.io/job-name", name),
    ];
    // Jobs from before these labels go without.
    let had = old.is_none_or(|old| {
        let labels = &old["spec"]["template"]["metadata"]["labels"];
        prefixed.iter().all(|(key, _)| !labels[*key].is_null())
    });
    expected.extend(prefixed.iter().filter(|_| had));
    let labels = labels(spec);
    for (key, value) in &expected {
        let field = format!("spec.template.metadata.labels[{key}]");
        let what = format!("must be '{value}'");
        match labels.get(*key) {
            None => report.required(field, &what),
            Some(found) if found != value => report.invalid(field, &labels, &what),
            Some(_) => {}
        }
    }
    let expected: Map<String, Value> = expected
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value.into()))
        .collect();
    if !selects(&spec["selector"], &Value::Object(expected)) {
        let what = "`selector` not auto-generated";
        report.invalid("spec.selector", &spec["selector"], what);
    }
}

/// What holds for the spec of a job, also of one that a schedule makes.
pub(super) fn template(spec: &Value, at: &str, report: &mut Report) {
    for name in [
        "parallelism",
        "completions",
        "activeDeadlineSeconds",
        "backoffLimit",
        "ttlSecondsAfterFinished",
        "backoffLimitPerIndex",
        "maxFailedIndexes",
    ] {
        report.not_negative(&format!("{at}.{name}"), &spec[name]);
    }
    if !spec["maxFailedIndexes"].is_null() && spec["backoffLimitPerIndex"].is_null() {
        let what = "when maxFailedIndexes is specified";
        report.required(format!("{at}.backoffLimitPerIndex"), what);
    }
    manager(&spec["managedBy"], &format!("{at}.managedBy"), report);
    if is_indexed(spec) {
        indexed(spec, at, report);
    } else {
        for name in ["backoffLimitPerIndex", "maxFailedIndexes"] {
            if !spec[name].is_null() {
                let what = "requires indexed completion mode";
                report.invalid(format!("{at}.{name}"), &spec[name], what);
            }
        }
    }
    if !spec["podFailurePolicy"].is_null() {
        policy::failure(spec, &format!("{at}.podFailurePolicy"), report);
    }
    if !spec["successPolicy"].is_null() {
        let at = format!("{at}.successPolicy");
        if is_indexed(spec) {
            policy::success(spec, &at, report);
        } else {
            let what = "requires indexed completion mode";
            report.invalid(at, &spec["successPolicy"], what);
        }
    }
    if !spec["podFailurePolicy"].is_null() && spec["podReplacementPolicy"] == "TerminatingOrFailed"
    {
        report.add(Cause::not_supported(
            format!("{at}.podReplacementPolicy"),
            &spec["podReplacementPolicy"],
            &["Failed"],
        ));
    }
    pod::template(&spec["template"], &format!("{at}.template"), report);
    restarts(spec, &format!("{at}.template.spec.restartPolicy"), report);
}

fn restarts(spec: &Value, at: &str, report: &mut Report) {
    let policy = &spec["template"]["spec"]["restartPolicy"];
    if policy == "Always" || policy.is_null() {
        report.required(at, "valid values: \"OnFailure\", \"Never\"");
    } else if policy == "OnFailure" && !spec["podFailurePolicy"].is_null() {
        let what = "only \"Never\" is supported when podFailurePolicy is specified";
        report.invalid(at, policy, what);
    }
}

/// Who runs the job, as `domain/path`.
fn manager(value: &Value, at: &str, report: &mut Report) {
    let Some(manager) = value.as_str() else {
        return;
    };
    if manager.is_empty() {
        report.required(at, "");
    } else if let Some((host, path)) = manager
        .split_once('/')
        .filter(|(host, path)| !host.is_empty() && !path.is_empty())
    {
        report.all(at, &host.into(), meta::subdomain(host));
        let is_allowed = |c: char| c.is_ascii_alphanumeric() || "/-._~%!$&'()*+,;=:".contains(c);
        if !path.chars().all(is_allowed) {
            let what =
                "Invalid path (regex used for validation is '[A-Za-z0-9/\\-._~%!$&'()*+,;=:]+')";
            report.invalid(at, &path.into(), what);
        }
    } else {
        let what = "must be a domain-prefixed path (such as \"acme.io/foo\")";
        report.invalid(at, value, what);
    }
    if manager.len() > MANAGER_MAX {
        report.add(Cause::too_long(at, MANAGER_MAX));
    }
}

fn indexed(spec: &Value, at: &str, report: &mut Report) {
    let number = |name: &str| spec[name].as_i64();
    let field = |name: &str| format!("{at}.{name}");
    let at_most = |name: &str, most: i64, why: &str, report: &mut Report| {
        if number(name).is_some_and(|number| number > most) {
            let what = format!("must be less than or equal to {most}{why}");
            report.invalid(field(name), &spec[name], &what);
        }
    };
    if spec["completions"].is_null() {
        report.required(field("completions"), "when completion mode is Indexed");
    }
    let why = " when completion mode is Indexed";
    at_most("parallelism", PARALLELISM_MAX, why, report);
    if let (Some(completions), Some(failed)) = (number("completions"), number("maxFailedIndexes"))
        && failed > completions
    {
        let what = "must be less than or equal to completions";
        report.invalid(field("maxFailedIndexes"), &spec["maxFailedIndexes"], what);
    }
    at_most("maxFailedIndexes", FAILED_INDEXES_MAX, "", report);
    let is_many = number("completions").is_some_and(|number| number > MANY_COMPLETIONS);
    if is_many && !spec["backoffLimitPerIndex"].is_null() {
        if spec["maxFailedIndexes"].is_null() {
            let what = format!("must be specified when completions is above {MANY_COMPLETIONS}");
            report.required(field("maxFailedIndexes"), &what);
        }
        let why = format!(
            " when completions are above {MANY_COMPLETIONS} and used with backoff limit per index"
        );
        at_most("parallelism", LIMIT_OF_MANY, &why, report);
        at_most("maxFailedIndexes", LIMIT_OF_MANY, &why, report);
    }
}

/// What of a job may change.
fn update(job: &Value, old: &Value, report: &mut Report) {
    let (spec, before) = (&job["spec"], &old["spec"]);
    if !is_indexed(spec) {
        report.immutable(
            "spec.completions",
            &spec["completions"],
            &before["completions"],
        );
    } else if spec["completions"] != before["completions"]
        && !spec["completions"].is_null()
        && spec["completions"] != spec["parallelism"]
    {
        let what = "can only be modified in tandem with spec.parallelism";
        report.invalid("spec.completions", &spec["completions"], what);
    }
    report.immutable("spec.selector", &spec["selector"], &before["selector"]);
    changed_template(spec, old, report);
    for name in [
        "completionMode",
        "podFailurePolicy",
        "backoffLimitPerIndex",
        "managedBy",
        "successPolicy",
    ] {
        report.immutable(&format!("spec.{name}"), &spec[name], &before[name]);
    }
}

/// The template stays, but for where its pods go and what they ask for while the job rests and has no pods.
fn changed_template(spec: &Value, old: &Value, report: &mut Report) {
    let (template, mut before) = (&spec["template"], old["spec"]["template"].clone());
    let rests = old["spec"]["suspend"] == true;
    let is_idle = old["status"]["startTime"].is_null() || status::is_true(old, "Suspended");
    let has_active = old["status"]["active"].as_i64().unwrap_or(0) > 0;
    if !rests || !is_idle || has_active {
        report.immutable("spec.template", template, &before);
        return;
    }
    for name in ["annotations", "labels"] {
        put(&mut before["metadata"], name, &template["metadata"][name]);
    }
    let (new, old) = (&template["spec"], &mut before["spec"]);
    for name in ["nodeSelector", "tolerations", "schedulingGates"] {
        put(old, name, &new[name]);
    }
    put(
        &mut old["affinity"],
        "nodeAffinity",
        &new["affinity"]["nodeAffinity"],
    );
    let is_bare = |affinity: &Value| affinity.as_object().is_none_or(Map::is_empty);
    if is_bare(&old["affinity"]) && is_bare(&new["affinity"]) {
        let affinity = new["affinity"].clone();
        put(old, "affinity", &affinity);
    }
    for list in ["containers", "initContainers"] {
        let same = items(&new[list]).count() == items(&old[list]).count();
        let containers = old.get_mut(list).and_then(Value::as_array_mut);
        for (at, container) in containers.into_iter().flatten().enumerate() {
            if same && container["name"] == new[list][at]["name"] {
                put(container, "resources", &new[list][at]["resources"]);
            }
        }
    }
    report.immutable("spec.template.spec", new, old);
}

/// Sets or removes a member.
fn put(target: &mut Value, name: &str, value: &Value) {
    if !value.is_null() {
        target[name] = value.clone();
    } else if let Some(members) = target.as_object_mut() {
        members.remove(name);
    }
}

/// How many indexes `1,3-5` names, if it is well-formed and they are below `completions`.
fn indexes(text: &str, completions: i64) -> Result<i64, String> {
    let (mut total, mut last) = (0, None);
    for part in text.split(',').filter(|_| !text.is_empty()) {
        let (first, end) = interval(part, completions)?;
        if let Some(last) = last.filter(|last| *last >= first) {
            return Err(format!(
                "non-increasing order, previous: {last}, current: {first}"
            ));
        }
        total += end - first + 1;
        last = Some(end);
    }
    Ok(total)
}

fn interval(part: &str, completions: i64) -> Result<(i64, i64), String> {
    let ends: Vec<&str> = part.split('-').collect();
    let index = |text: &str| {
        let index: i64 = text
            .parse()
            .map_err(|_| format!("cannot convert string to integer for index: {text:?}"))?;
        if index >= completions {
            return Err(format!("too large index: {text:?}"));
        }
        Ok(index)
    };
    match ends.as_slice() {
        [only] => index(only).map(|index| (index, index)),
        [first, last] => {
            let (first, last) = (index(first)?, index(last)?);
            if first >= last {
                return Err(format!(
                    "non-increasing order, previous: {first}, current: {last}"
                ));
            }
            Ok((first, last))
        }
        _ => Err(format!(
            "the fragment {part:?} violates the requirement that an index interval can have at most two parts separated by '-'"
        )),
    }
}
