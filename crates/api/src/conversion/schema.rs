//! v1beta1 as definitions show it. It will never change any more, so it is written down: a table for each kind, with a
//! line for each field, its path and what its schema says besides descriptions. Those are the ones of v1beta2 where
//! the field lives on there.

use serde_json::{Value, json};

use super::Kind;
use super::moves::{How, Move};
use crate::meta::{V1BETA1, V1BETA2};

/// Descriptions of fields that v1beta2 doesn't have, by their last name.
const WORDS: &[(&str, &str)] = &[
    ("dnsDomain", "Not used: the network of the Cluster counts."),
    ("podSubnet", "Not used: the network of the Cluster counts."),
    (
        "remediationStrategy",
        "How unhealthy machines are replaced.",
    ),
    (
        "rolloutBefore",
        "When machines are replaced before something happens.",
    ),
    ("rolloutStrategy", "How machines are replaced."),
    (
        "serviceSubnet",
        "Not used: the network of the Cluster counts.",
    ),
    ("apiVersion", "The group and version of the object."),
    ("bootstrap", "How the machines boot."),
    ("clusterName", "Not used: the name of the Cluster counts."),
    (
        "classNamespace",
        "The namespace of the class. Default: that of the Cluster.",
    ),
    ("definitionFrom", "Not used."),
    ("fieldPath", "Not used."),
    ("infrastructure", "What the machines are made from."),
    ("kind", "The kind of the object."),
    (
        "kubernetesVersion",
        "Not used: the version of the machine counts.",
    ),
    ("name", "The name of the object."),
    (
        "namespace",
        "The namespace of the object: that of the object that refers.",
    ),
    ("networking", "Not used: the network of the Cluster counts."),
    ("progressDeadlineSeconds", "Not used."),
    ("ready", "Whether a replica is ready, or the data is there."),
    ("remediation", "How unhealthy machines are replaced."),
    ("resourceVersion", "Not used."),
    (
        "revisionHistoryLimit",
        "Not used: sets of machines that are not needed any more are deleted.",
    ),
    (
        "rollingUpdate",
        "Bounds of a rolling update, and which machines go first.",
    ),
    (
        "rolloutAfter",
        "Machines that are older than this are replaced, once it has passed.",
    ),
    ("strategy", "How machines are replaced."),
    ("template", "What its objects are made from."),
    (
        "timeoutForControlPlane",
        "How long the API server may take to answer. A duration, such as 4m.",
    ),
    ("uid", "Not used."),
    ("useExperimentalRetryJoin", "Not used."),
    ("v1beta2", "What v1beta2 shows in its status."),
];

/// The version v1beta1 of the definition `crd`, which has v1beta2.
pub(super) fn version(kind: &Kind, crd: &Value) -> Value {
    let v1beta2 = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    let mut schema = json!({});
    let mut version = json!({
        "name": V1BETA1, "served": true, "storage": false, "deprecated": true,
        "deprecationWarning": format!(
            "{}/{V1BETA1} {} is deprecated; use {}/{V1BETA2}", kind.group, kind.kind, kind.group
        ),
    });
    let mut columns = vec![];
    for line in kind.v1beta1.lines() {
        let Some((name, text)) = line.split_once(" {") else {
            continue;
        };
        let fact: Value = serde_json::from_str(&format!("{{{text}")).unwrap_or_default();
        match name {
            "subresources" if fact != json!({}) => version["subresources"] = fact,
            "column" => columns.push(fact),
            _ if name.starts_with('.') => {
                let path = name.trim_start_matches('.');
                let described = described(kind, path, fact, v1beta2);
                put(&mut schema, path, described);
            }
            _ => {}
        }
    }
    version["schema"] = json!({"openAPIV3Schema": schema});
    version["additionalPrinterColumns"] = columns.into();
    version
}

/// A field's schema with what people have to know.
fn described(kind: &Kind, path: &str, mut fact: Value, v1beta2: &Value) -> Value {
    let there = place(kind.moves, path).unwrap_or_else(|| path.to_owned());
    let there = get(v1beta2, &there);
    let is_duration = fact["type"] == "string" && there["type"] == "integer";
    let last = path.rsplit('.').next().unwrap_or_default();
    let words = WORDS.iter().find(|(name, _)| *name == last);
    let words = words.map(|(_, words)| (*words).to_owned());
    let said = there["description"].as_str().map(|said| {
        if is_duration {
            let time = said
                .replace("Seconds that", "How long")
                .replace("Seconds", "Time");
            format!("{time} A duration, such as 1m30s.")
        } else {
            said.to_owned()
        }
    });
    if let Some(description) = said.or(words) {
        fact["description"] = description.into();
    }
    if let Some(rules) = fact["x-kubernetes-validations"].as_array_mut() {
        let known = there["x-kubernetes-validations"].as_array();
        for rule in rules {
            let same = known.and_then(|all| all.iter().find(|other| other["rule"] == *rule));
            *rule = same.cloned().unwrap_or_else(|| json!({"rule": rule}));
        }
    }
    fact
}

/// Where v1beta2 has a field of v1beta1.
fn place(table: &[Move], path: &str) -> Option<String> {
    let fits = |m: &&Move| {
        path.strip_prefix(m.old)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[', '{']))
    };
    let m = table.iter().filter(fits).max_by_key(|m| m.old.len())?;
    let rest = &path[m.old.len()..];
    let inner = |table: &'static [Move], start: &str| {
        let rest = rest.strip_prefix(start)?;
        let place = place(table, rest).unwrap_or_else(|| rest.to_owned());
        Some(format!("{}{start}{place}", m.new))
    };
    let deeper = match m.how {
        How::Inside(table) => inner(table, "."),
        How::Each(table) => inner(table, "[]."),
        How::Domains => Some(format!("{}{}", m.new, rest.replacen("{}", "[]", 1))),
        _ => None,
    };
    Some(deeper.unwrap_or_else(|| format!("{}{rest}", m.new)))
}

/// The names on the way to a field: `a[].b` is `a`, `[]`, `b`.
fn steps(path: &str) -> impl Iterator<Item = &str> {
    path.split('.')
        .flat_map(|part| {
            let end = part.find(['[', '{']).unwrap_or(part.len());
            let (name, marks) = part.split_at(end);
            let marks = (0..marks.len() / 2).map(move |at| &marks[2 * at..2 * at + 2]);
            std::iter::once(name).chain(marks)
        })
        .filter(|step| !step.is_empty())
}

fn get<'v>(schema: &'v Value, path: &str) -> &'v Value {
    steps(path).fold(schema, |schema, step| match step {
        "[]" => &schema["items"],
        "{}" => &schema["additionalProperties"],
        name => &schema["properties"][name],
    })
}

fn put(schema: &mut Value, path: &str, fact: Value) {
    let place = steps(path).fold(schema, |schema, step| match step {
        "[]" => &mut schema["items"],
        "{}" => &mut schema["additionalProperties"],
        name => &mut schema["properties"][name],
    });
    let inner = std::mem::take(place);
    let Value::Object(mut members) = fact else {
        return;
    };
    // Lines are sorted: what is inside comes later.
    members.extend(inner.as_object().cloned().unwrap_or_default());
    *place = Value::Object(members);
}
