//! HorizontalPodAutoscalers are stored as `autoscaling/v2`. `autoscaling/v1` has one metric, the use of the CPU; everything
//! else that it cannot say is in annotations, in the words of a version before both.

use serde_json::{Map, Value, json};

const METRICS: &str = "autoscaling.alpha.kubernetes.io/metrics";
const CURRENT_METRICS: &str = "autoscaling.alpha.kubernetes.io/current-metrics";
const CONDITIONS: &str = "autoscaling.alpha.kubernetes.io/conditions";
const BEHAVIOR: &str = "autoscaling.alpha.kubernetes.io/behavior";

/// Percent of the CPU that `autoscaling/v1` means when nothing is said.
const DEFAULT_UTILIZATION: u32 = 80;

/// The member of a metric that holds it, its member in an annotation, and where that is in `autoscaling/v2`; `*` is `target`
/// in a spec and `current` in a status.
const MEMBERS: &[(&str, &str, &[&str])] = &[
    ("resource", "name", &["name"]),
    (
        "resource",
        "*AverageUtilization",
        &["*", "averageUtilization"],
    ),
    ("resource", "*AverageValue", &["*", "averageValue"]),
    ("containerResource", "name", &["name"]),
    ("containerResource", "container", &["container"]),
    (
        "containerResource",
        "*AverageUtilization",
        &["*", "averageUtilization"],
    ),
    ("containerResource", "*AverageValue", &["*", "averageValue"]),
    ("pods", "metricName", &["metric", "name"]),
    ("pods", "selector", &["metric", "selector"]),
    ("pods", "*AverageValue", &["*", "averageValue"]),
    ("object", "target", &["describedObject"]),
    ("object", "metricName", &["metric", "name"]),
    ("object", "selector", &["metric", "selector"]),
    ("object", "*Value", &["*", "value"]),
    ("object", "averageValue", &["*", "averageValue"]),
    ("external", "metricName", &["metric", "name"]),
    ("external", "metricSelector", &["metric", "selector"]),
    ("external", "*Value", &["*", "value"]),
    ("external", "*AverageValue", &["*", "averageValue"]),
];

/// Turns the members of an object of `autoscaling/v2` into those of `autoscaling/v1`.
pub(super) fn to_v1(object: &mut Map<String, Value>) {
    let mut notes = Map::new();
    if let Some(spec) = object.get_mut("spec").and_then(Value::as_object_mut) {
        let metrics = taken(spec, "metrics");
        let (cpu, others): (Vec<_>, Vec<_>) = metrics
            .into_iter()
            .partition(|m| of_cpu(m, "target").is_some());
        if let Some(percent) = cpu.first().and_then(|m| of_cpu(m, "target")) {
            spec.insert("targetCPUUtilizationPercentage".into(), percent.clone());
        }
        note(
            &mut notes,
            METRICS,
            others.iter().map(|m| to_note(m, "target")).collect(),
        );
        if let Some(behavior) = spec.remove("behavior") {
            notes.insert(
                BEHAVIOR.into(),
                renamed(&behavior, first_upper).to_string().into(),
            );
        }
    }
    if let Some(status) = object.get_mut("status").and_then(Value::as_object_mut) {
        let metrics = taken(status, "currentMetrics");
        if let Some(percent) = metrics.iter().find_map(|m| of_cpu(m, "current")) {
            status.insert("currentCPUUtilizationPercentage".into(), percent.clone());
        }
        note(
            &mut notes,
            CURRENT_METRICS,
            metrics.iter().map(|m| to_note(m, "current")).collect(),
        );
        note(&mut notes, CONDITIONS, taken(status, "conditions"));
    }
    let metadata = object.entry("metadata").or_insert_with(|| json!({}));
    drop_notes(metadata);
    if !notes.is_empty() && metadata.is_object() {
        match metadata["annotations"].as_object_mut() {
            Some(annotations) => annotations.extend(notes),
            None => metadata["annotations"] = notes.into(),
        }
    }
}

/// Turns the members of an object of `autoscaling/v1` into those of `autoscaling/v2`.
pub(super) fn to_v2(object: &mut Map<String, Value>) {
    let metadata = object.entry("metadata").or_insert_with(|| json!({}));
    let noted = |name: &str| -> Option<Value> {
        let text = metadata.get("annotations")?.get(name)?.as_str()?;
        serde_json::from_str(text).ok()
    };
    let listed = |name: &str, member: &str| -> Option<Vec<Value>> {
        let notes = noted(name)?;
        Some(
            notes
                .as_array()?
                .iter()
                .map(|m| from_note(m, member))
                .collect(),
        )
    };
    let (metrics, current) = (
        listed(METRICS, "target"),
        listed(CURRENT_METRICS, "current"),
    );
    let conditions = noted(CONDITIONS).filter(Value::is_array);
    let behavior = noted(BEHAVIOR).map(|b| renamed(&b, first_lower));
    drop_notes(metadata);
    if let Some(spec) = object.get_mut("spec").and_then(Value::as_object_mut) {
        let percent = spec.remove("targetCPUUtilizationPercentage");
        let mut metrics = metrics.unwrap_or_default();
        if percent.is_some() || metrics.is_empty() {
            let percent = percent.unwrap_or_else(|| DEFAULT_UTILIZATION.into());
            metrics.push(cpu(
                "target",
                json!({"type": "Utilization", "averageUtilization": percent}),
            ));
        }
        spec.insert("metrics".into(), metrics.into());
        if let Some(behavior) = behavior.filter(|b| b.as_object().is_some_and(|b| !b.is_empty())) {
            spec.insert("behavior".into(), behavior);
        }
    }
    if let Some(status) = object.get_mut("status").and_then(Value::as_object_mut) {
        let percent = status.remove("currentCPUUtilizationPercentage");
        // What was noted says more.
        let metrics = match (current, percent) {
            (Some(metrics), _) => metrics,
            (None, Some(percent)) => vec![cpu("current", json!({"averageUtilization": percent}))],
            (None, None) => vec![],
        };
        // Always written, also when there are none.
        status.insert(
            "currentMetrics".into(),
            if metrics.is_empty() {
                Value::Null
            } else {
                metrics.into()
            },
        );
        if let Some(conditions) = conditions {
            status.insert("conditions".into(), conditions);
        }
    }
}

/// The use of the CPU in percent, if the metric is that.
fn of_cpu<'a>(metric: &'a Value, member: &str) -> Option<&'a Value> {
    let is_cpu = metric["type"] == "Resource" && metric["resource"]["name"] == "cpu";
    let percent = metric
        .get("resource")?
        .get(member)?
        .get("averageUtilization")?;
    (is_cpu && !percent.is_null()).then_some(percent)
}

fn cpu(member: &str, value: Value) -> Value {
    let mut resource = json!({"name": "cpu"});
    resource[member] = value;
    json!({"type": "Resource", "resource": resource})
}

fn taken(object: &mut Map<String, Value>, name: &str) -> Vec<Value> {
    match object.remove(name) {
        Some(Value::Array(items)) => items,
        _ => vec![],
    }
}

fn note(notes: &mut Map<String, Value>, name: &str, items: Vec<Value>) {
    if !items.is_empty() {
        notes.insert(name.into(), Value::Array(items).to_string().into());
    }
}

fn drop_notes(metadata: &mut Value) {
    let Some(metadata) = metadata.as_object_mut() else {
        return;
    };
    let Some(annotations) = metadata
        .get_mut("annotations")
        .and_then(Value::as_object_mut)
    else {
        return;
    };
    for name in [METRICS, CURRENT_METRICS, CONDITIONS, BEHAVIOR] {
        annotations.remove(name);
    }
    if annotations.is_empty() {
        metadata.remove("annotations");
    }
}

/// The member of a metric that holds it.
fn source(metric: &Value) -> Option<&'static str> {
    let names = [
        "resource",
        "containerResource",
        "pods",
        "object",
        "external",
    ];
    names.into_iter().find(|name| metric[*name].is_object())
}

/// A metric as it is in an annotation.
fn to_note(metric: &Value, member: &str) -> Value {
    let mut noted = json!({"type": metric["type"]});
    let Some(source) = source(metric) else {
        return noted;
    };
    for (_, name, path) in MEMBERS.iter().filter(|(of, ..)| *of == source) {
        let value = path.iter().fold(&metric[source], |value, step| {
            &value[step.replace('*', member)]
        });
        if !value.is_null() {
            noted[source][name.replace('*', member)] = value.clone();
        }
    }
    // These cannot be left out there.
    let required = match (source, member) {
        ("object", _) => Some(format!("{member}Value")),
        ("external", "current") => Some("currentValue".to_owned()),
        ("external", _) | ("resource" | "containerResource", "target") => None,
        _ => Some(format!("{member}AverageValue")),
    };
    if let Some(name) = required.filter(|name| noted[source][name].is_null()) {
        noted[source][name] = "0".into();
    }
    noted
}

/// A metric from its note in an annotation.
fn from_note(noted: &Value, member: &str) -> Value {
    let mut metric = json!({"type": noted["type"]});
    let Some(source) = source(noted) else {
        return metric;
    };
    for (_, name, path) in MEMBERS.iter().filter(|(of, ..)| *of == source) {
        let value = &noted[source][name.replace('*', member)];
        if value.is_null() {
            continue;
        }
        let mut place = &mut metric[source];
        for step in *path {
            place = &mut place[step.replace('*', member)];
        }
        *place = value.clone();
    }
    let value = &mut metric[source][member];
    if member == "target" && value.is_object() {
        let is_set = |name: &str| value.get(name).is_some();
        let ty = match source {
            _ if is_set("averageUtilization") => "Utilization",
            "external" if is_set("value") => "Value",
            _ if is_set("averageValue") => "AverageValue",
            _ => "Value",
        };
        if source == "object" && ty == "AverageValue" && value["value"] == "0" {
            // It could not be left out.
            if let Some(value) = value.as_object_mut() {
                value.remove("value");
            }
        }
        value["type"] = ty.into();
    }
    metric
}

/// The same with other names of its members, at every depth. What is null is left out.
fn renamed(value: &Value, name: fn(&str) -> String) -> Value {
    match value {
        Value::Object(members) => {
            let members = members.iter().filter(|(_, value)| !value.is_null());
            Value::Object(
                members
                    .map(|(key, value)| (name(key), renamed(value, name)))
                    .collect(),
            )
        }
        Value::Array(items) => items.iter().map(|item| renamed(item, name)).collect(),
        other => other.clone(),
    }
}

fn first_upper(name: &str) -> String {
    let (first, rest) = name.split_at(name.len().min(1));
    first.to_ascii_uppercase() + rest
}

fn first_lower(name: &str) -> String {
    let (first, rest) = name.split_at(name.len().min(1));
    first.to_ascii_lowercase() + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    fn everything() -> Map<String, Value> {
        let selector = json!({"matchLabels": {"a": "b"}});
        let value = json!({
            "metadata": {"name": "a", "annotations": {"mine": "1"}},
            "spec": {
                "minReplicas": 1, "maxReplicas": 3,
                "metrics": [
                    {"type": "Object", "object": {"describedObject": {"kind": "Service", "name": "s"}, "metric": {"name": "hits", "selector": selector}, "target": {"type": "AverageValue", "averageValue": "5"}}},
                    {"type": "Pods", "pods": {"metric": {"name": "hits"}, "target": {"type": "AverageValue", "averageValue": "5"}}},
                    {"type": "External", "external": {"metric": {"name": "q", "selector": selector}, "target": {"type": "Value", "value": "30"}}},
                    {"type": "Resource", "resource": {"name": "memory", "target": {"type": "AverageValue", "averageValue": "1Gi"}}},
                    {"type": "ContainerResource", "containerResource": {"name": "cpu", "container": "c", "target": {"type": "Utilization", "averageUtilization": 70}}},
                    {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 60}}},
                ],
                "behavior": {"scaleUp": {"policies": [{"type": "Pods", "value": 4, "periodSeconds": 60}]}},
            },
            "status": {
                "conditions": [{"type": "AbleToScale", "status": "True"}],
                "currentMetrics": [{"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": 40, "averageValue": "200m"}}}],
            },
        });
        value.as_object().unwrap().clone()
    }

    #[test]
    fn the_first_version_says_the_cpu_and_notes_the_rest() {
        let mut object = everything();
        to_v1(&mut object);
        expect![[r#"{"maxReplicas":3,"minReplicas":1,"targetCPUUtilizationPercentage":60}"#]]
            .assert_eq(&object["spec"].to_string());
        expect![[r#"{"currentCPUUtilizationPercentage":40}"#]]
            .assert_eq(&object["status"].to_string());
        let notes = object["metadata"]["annotations"].as_object().unwrap();
        let notes: String = notes
            .iter()
            .map(|(k, v)| format!("{k} {}\n", v.as_str().unwrap()))
            .collect();
        expect![[r#"
            autoscaling.alpha.kubernetes.io/behavior {"ScaleUp":{"Policies":[{"PeriodSeconds":60,"Type":"Pods","Value":4}]}}
            autoscaling.alpha.kubernetes.io/conditions [{"status":"True","type":"AbleToScale"}]
            autoscaling.alpha.kubernetes.io/current-metrics [{"resource":{"currentAverageUtilization":40,"currentAverageValue":"200m","name":"cpu"},"type":"Resource"}]
            autoscaling.alpha.kubernetes.io/metrics [{"object":{"averageValue":"5","metricName":"hits","selector":{"matchLabels":{"a":"b"}},"target":{"kind":"Service","name":"s"},"targetValue":"0"},"type":"Object"},{"pods":{"metricName":"hits","targetAverageValue":"5"},"type":"Pods"},{"external":{"metricName":"q","metricSelector":{"matchLabels":{"a":"b"}},"targetValue":"30"},"type":"External"},{"resource":{"name":"memory","targetAverageValue":"1Gi"},"type":"Resource"},{"containerResource":{"container":"c","name":"cpu","targetAverageUtilization":70},"type":"ContainerResource"}]
            mine 1
        "#]]
        .assert_eq(&notes);
    }

    #[test]
    fn nothing_is_lost_on_the_way_there_and_back() {
        let mut object = everything();
        to_v1(&mut object);
        to_v2(&mut object);
        assert_eq!(Value::Object(object), Value::Object(everything()));
    }

    #[test]
    fn the_first_version_means_eighty_percent() {
        let spec = json!({"spec": {"maxReplicas": 3}, "status": {}});
        let mut object = spec.as_object().unwrap().clone();
        to_v2(&mut object);
        expect![[r#"{"maxReplicas":3,"metrics":[{"resource":{"name":"cpu","target":{"averageUtilization":80,"type":"Utilization"}},"type":"Resource"}]} {"currentMetrics":null}"#]]
            .assert_eq(&format!("{} {}", object["spec"], object["status"]));
    }

    #[test]
    fn notes_that_are_none_are_passed_over() {
        let notes = json!({METRICS: "[3", CURRENT_METRICS: "{}", CONDITIONS: "7", BEHAVIOR: "[]"});
        let value = json!({"metadata": {"annotations": notes}, "spec": {"targetCPUUtilizationPercentage": 5}});
        let mut object = value.as_object().unwrap().clone();
        to_v2(&mut object);
        expect![[r#"{"metadata":{},"spec":{"metrics":[{"resource":{"name":"cpu","target":{"averageUtilization":5,"type":"Utilization"}},"type":"Resource"}]}}"#]]
            .assert_eq(&Value::Object(object).to_string());
    }
}
