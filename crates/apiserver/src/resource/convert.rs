//! Conversion between versions of one resource. Built-in kinds have one version each but HorizontalPodAutoscalers, and
//! events, which the core group and `events.k8s.io` show under different names; custom kinds differ in `apiVersion` alone.

use serde_json::Value;

use super::{Resource, autoscaler};

/// Member of a core event, member of the same content in `events.k8s.io`.
const RENAMED: &[(&str, &str)] = &[
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("reportingComponent", "reportingController"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
];

/// Turns an object of `from` into one of `to`, which share storage: what is not renamed stays, and `apiVersion` and `kind` are
/// those of `to`.
#[must_use]
pub fn convert(mut value: Value, from: &Resource, to: &Resource) -> Value {
    let Some(members) = value.as_object_mut() else {
        return value;
    };
    if from.group != to.group && &*from.storage == "events" && &*to.storage == "events" {
        let to_core = to.group.is_empty();
        for (core, new) in RENAMED {
            let (old_name, new_name) = if to_core { (new, core) } else { (core, new) };
            if let Some(member) = members.remove(*old_name) {
                members.insert((*new_name).into(), member);
            }
        }
        // Both structs always write these.
        if to_core {
            for name in ["involvedObject", "source"] {
                members
                    .entry(name)
                    .or_insert_with(|| Value::Object(serde_json::Map::new()));
            }
            for name in ["reportingComponent", "reportingInstance"] {
                members.entry(name).or_insert_with(|| "".into());
            }
            for name in ["eventTime", "firstTimestamp", "lastTimestamp"] {
                members.entry(name).or_insert(Value::Null);
            }
        } else {
            for name in ["reportingController", "reportingInstance"] {
                if members.get(name).is_some_and(|text| text == "") {
                    members.remove(name);
                }
            }
        }
    }
    if &*from.storage == "horizontalpodautoscalers.autoscaling" {
        match (&*from.version, &*to.version) {
            ("v2", "v1") => autoscaler::to_v1(members),
            ("v1", "v2") => autoscaler::to_v2(members),
            _ => {}
        }
    }
    members.insert("apiVersion".into(), to.api_version().into());
    members.insert("kind".into(), to.kind.to_string().into());
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn events_go_both_ways() {
        let both: Vec<_> = super::super::builtin()
            .iter()
            .filter(|r| &*r.plural == "events")
            .collect();
        let core = json!({
            "apiVersion": "v1", "kind": "Event", "metadata": {"name": "a"}, "involvedObject": {"kind": "Pod"},
            "message": "hello", "reason": "Started", "count": 2, "source": {"component": "kubelet"},
            "reportingComponent": "kubelet", "reportingInstance": "", "eventTime": null,
            "firstTimestamp": "2026-01-01T00:00:00Z", "lastTimestamp": "2026-01-01T00:00:00Z", "type": "Normal",
        });
        let new = convert(core.clone(), both[0], both[1]);
        assert_eq!(
            new,
            json!({
                "apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"name": "a"}, "regarding": {"kind": "Pod"},
                "note": "hello", "reason": "Started", "deprecatedCount": 2, "deprecatedSource": {"component": "kubelet"},
                "reportingController": "kubelet", "eventTime": null,
                "deprecatedFirstTimestamp": "2026-01-01T00:00:00Z", "deprecatedLastTimestamp": "2026-01-01T00:00:00Z",
                "type": "Normal",
            })
        );
        assert_eq!(convert(new, both[1], both[0]), core);
    }
}
