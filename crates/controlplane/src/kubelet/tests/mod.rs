//! Check tests: whole lives of simulated pods as tables, and the objects of nodes.

mod admission;
mod nodes;
mod pods;
mod probes;
mod several;

use std::fmt::Write as _;

use jiff::SignedDuration;
use serde_json::Value;

use super::pod::{Memory, Step};
use super::*;

fn start() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

/// A pod from the parts that matter: annotations without their prefix, and `spec`.
fn pod(annotations: &str, spec: &str) -> Pod {
    let annotations: BTreeMap<String, String> = serde_saphyr::from_str(annotations).unwrap();
    let annotations: BTreeMap<String, String> = annotations
        .into_iter()
        .map(|(key, value)| (format!("simulated.apiary.io/{key}"), value))
        .collect();
    let mut spec: Value = serde_saphyr::from_str(spec).unwrap();
    if spec["containers"].is_null() {
        spec["containers"] = json!([{"name": "c", "image": "nginx"}]);
    }
    let meta = json!({"name": "p", "namespace": "default", "uid": "u1", "generation": 1, "annotations": annotations});
    serde_json::from_value(json!({"metadata": meta, "spec": spec, "status": {"phase": "Pending"}}))
        .unwrap()
}

/// Takes a strategic merge patch over.
fn merge_status(pod: &mut Pod, status: Value) {
    let mut value = json!(pod);
    for (key, member) in status.as_object().unwrap() {
        let old = &mut value["status"][key];
        let (Some(new), true) = (member.as_array(), key == "conditions") else {
            *old = member.clone();
            continue;
        };
        let mut all = old.as_array().cloned().unwrap_or_default();
        for condition in new {
            let known = all.iter_mut().find(|c| c["type"] == condition["type"]);
            if condition["$patch"] == "delete" {
                all.retain(|c| c["type"] != condition["type"]);
                continue;
            }
            let Some(known) = known else {
                all.push(condition.clone());
                continue;
            };
            for (key, value) in condition.as_object().unwrap() {
                known[key] = value.clone();
            }
        }
        for condition in &mut all {
            let fields = condition.as_object_mut().unwrap();
            fields.retain(|_, value| !value.is_null());
        }
        *old = all.into();
    }
    *pod = serde_json::from_value(value).unwrap();
}

/// A look at a pod of which nothing is missing.
fn look(pod: &Pod, memory: &Memory, now: Timestamp) -> Step {
    look_at(pod, memory, now, &Missing::default(), &Resize::default())
}

fn look_at(pod: &Pod, memory: &Memory, now: Timestamp, missing: &Missing, resize: &Resize) -> Step {
    let script = Script::of(pod, &Profile::default());
    let ips = ("10.1.0.2", "10.0.0.1");
    let scene = Scene::new((pod, &script), now, ips, (missing, resize));
    pod::step(&scene, memory)
}

fn first_look(pod: &Pod) -> Step {
    look(pod, &Memory::default(), start())
}

/// One member per line, and one line per entry of a list.
fn lines(value: &Value) -> String {
    let mut text = String::new();
    for (key, member) in value.as_object().unwrap() {
        match member
            .as_array()
            .filter(|all| all.iter().all(Value::is_object))
        {
            Some(entries) => entries
                .iter()
                .for_each(|entry| writeln!(text, "{key}: {entry}").unwrap()),
            None => writeln!(text, "{key}: {member}").unwrap(),
        }
    }
    text
}

/// Takes over what a look at the pod changes.
fn go(pod: &mut Pod, memory: &mut Memory, now: Timestamp) {
    let step = look(pod, memory, now);
    *memory = step.memory;
    if let Some(status) = step.status {
        merge_status(pod, status);
    }
}

/// What happens to a pod from outside, after so many seconds.
type Change<'a> = (i64, &'a dyn Fn(&mut Pod));

/// One line per look at the pod: when, what it shows, what is told.
fn live(pod: Pod, changes: &[Change<'_>], until: i64, line: impl Fn(&Value) -> String) -> String {
    let (mut pod, mut memory, mut now, mut text) = (pod, Memory::default(), start(), String::new());
    let at = |seconds: i64| start() + SignedDuration::from_secs(seconds);
    loop {
        for (_, change) in changes.iter().filter(|(when, _)| at(*when) == now) {
            change(&mut pod);
        }
        let step = look(&pod, &memory, now);
        memory = step.memory;
        write!(text, "{:<5} ", now.duration_since(start()).as_secs()).unwrap();
        match step.status {
            Some(status) => {
                merge_status(&mut pod, status);
                text.push_str(&line(&json!(pod.status)));
            }
            None => text.push_str("no change"),
        }
        let told: Vec<String> = step
            .events
            .iter()
            .map(|event| event.reason.to_owned())
            .collect();
        write!(text, " [{}]", told.join(" ")).unwrap();
        text.push_str(if step.is_over { " over\n" } else { "\n" });
        assert!(text.lines().count() < 40, "no end:\n{text}");
        // Looking again at once changes nothing.
        let again = look(&pod, &memory, now);
        assert_eq!((again.status, again.events), (None, vec![]), "{text}");
        let later = changes.iter().map(|(when, _)| at(*when));
        let next = step
            .again_at
            .into_iter()
            .chain(later.filter(|when| *when > now));
        match next
            .min()
            .filter(|next| *next <= at(until) && !step.is_over)
        {
            Some(next) => {
                assert!(next > now, "looking again at once:\n{text}");
                now = next;
            }
            None => return text,
        }
    }
}

/// Somebody deletes the pod now, with a grace period.
fn delete(pod: &mut Pod, after: i64, grace: i64) {
    pod.metadata.deletion_grace_period_seconds = Some(grace);
    let deadline = start() + SignedDuration::from_secs(after + grace);
    pod.metadata.deletion_timestamp = Some(serde_json::from_value(json!(deadline)).unwrap());
}

/// One part per container: its name, restarts, state and reason, `+` if it is ready, and how it ended before.
fn parts(status: &Value) -> String {
    let lists = [
        "initContainerStatuses",
        "containerStatuses",
        "ephemeralContainerStatuses",
    ];
    let all = lists.iter().filter_map(|list| status[list].as_array());
    let mut text = status["phase"].as_str().unwrap().to_owned();
    for container in all.flatten() {
        let (state, detail) = container["state"]
            .as_object()
            .unwrap()
            .iter()
            .next()
            .unwrap();
        let what = detail["reason"].as_str().unwrap_or(state);
        let ready = if container["ready"] == true { "+" } else { "" };
        write!(
            text,
            " | {}{ready} {what}",
            container["name"].as_str().unwrap()
        )
        .unwrap();
        if container["restartCount"] != 0 {
            write!(text, " {}x", container["restartCount"]).unwrap();
        }
        let code = &container["state"]["terminated"]["exitCode"];
        if !code.is_null() && *code != 0 {
            write!(text, " {code}").unwrap();
        }
        let last = &container["lastState"]["terminated"];
        if !last.is_null() {
            write!(
                text,
                " last {} {}",
                last["reason"].as_str().unwrap(),
                last["exitCode"]
            )
            .unwrap();
        }
    }
    text
}

/// The events of a step as `kubectl describe` shows them.
fn told(step: &Step) -> String {
    let mut text = String::new();
    for event in &step.events {
        let kind = if event.is_warning {
            "Warning"
        } else {
            "Normal"
        };
        writeln!(
            text,
            "{kind} {} {}: {}",
            event.reason, event.field, event.message
        )
        .unwrap();
    }
    text
}

fn line(status: &Value) -> String {
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let ready = status["conditions"]
        .as_array()
        .unwrap()
        .iter()
        .find(|c| c["type"] == "Ready")
        .unwrap();
    let container = &status["containerStatuses"][0];
    let (state, detail) = container["state"]
        .as_object()
        .unwrap()
        .iter()
        .next()
        .unwrap();
    let reason = if detail["reason"].is_null() {
        String::new()
    } else {
        format!(" {}", word(&detail["reason"]))
    };
    let last = &container["lastState"]["terminated"]["exitCode"];
    let last = if last.is_null() {
        String::new()
    } else {
        format!(" last {last}")
    };
    format!(
        "{} ready={} restarts={} {state}{reason}{last}",
        word(&status["phase"]),
        word(&ready["status"]),
        container["restartCount"]
    )
}
