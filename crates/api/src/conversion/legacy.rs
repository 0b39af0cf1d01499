//! The part of a v1beta1 status that v1beta2 only has under `status.deprecated.v1beta1`, for objects that came from there.
//! Where that says nothing, it follows from what v1beta2 says instead, so that tools for v1beta1 see the state of today.

use serde_json::{Map, Value, json};

/// Where fields of `status.deprecated.v1beta1` can be read in the rest of the status.
pub struct Legacy {
    /// Types of v1beta1 conditions, and of those that say the same in v1beta2.
    pub conditions: &'static [(&'static str, &'static str)],
    /// Counters of v1beta1, and those of v1beta2.
    pub counters: &'static [(&'static str, &'static str)],
    /// Whether v1beta1 counts unavailable replicas.
    pub unavailable: bool,
    /// Whether v1beta1 has a `ready`, which is true as soon as a replica is ready.
    pub ready: bool,
}

impl Legacy {
    /// Nothing.
    pub const NONE: Self = Self {
        conditions: &[],
        counters: &[],
        unavailable: false,
        ready: false,
    };

    /// What follows from a v1beta2 status, as members of the v1beta1 status.
    pub(super) fn derive(&self, status: &Value) -> Map<String, Value> {
        let said = &status["deprecated"]["v1beta1"];
        let mut derived = Map::new();
        if said["conditions"].is_null() {
            let conditions = self.conditions(&status["conditions"]);
            if !conditions.is_empty() {
                derived.insert("conditions".into(), conditions.into());
            }
        }
        for (old, new) in self.counters {
            if said[*old].is_null() && status[*new].is_number() {
                derived.insert((*old).into(), status[*new].clone());
            }
        }
        let count = |name: &str| status[name].as_i64();
        if self.unavailable
            && said["unavailableReplicas"].is_null()
            && let (Some(all), Some(available)) = (count("replicas"), count("availableReplicas"))
        {
            let missing = all.saturating_sub(available).max(0);
            derived.insert("unavailableReplicas".into(), missing.into());
        }
        if self.ready {
            let ready = derived
                .get("readyReplicas")
                .unwrap_or(&said["readyReplicas"]);
            let is_ready = ready.as_i64().is_some_and(|ready| ready > 0);
            if status.is_object() {
                derived.insert("ready".into(), is_ready.into());
            }
        }
        derived
    }

    /// Removes from a v1beta2 object what follows anyway.
    pub(super) fn drop(&self, object: &mut Value) {
        let Some(status) = object.get_mut("status") else {
            return;
        };
        let mut plain = status.clone();
        let said = |status: &mut Value, names: &mut dyn Iterator<Item = String>| {
            let Some(deprecated) = status.get_mut("deprecated").and_then(Value::as_object_mut)
            else {
                return;
            };
            let Some(said) = deprecated.get_mut("v1beta1").and_then(Value::as_object_mut) else {
                return;
            };
            for name in names {
                said.remove(&name);
            }
            if said.is_empty() {
                deprecated.remove("v1beta1");
            }
            if deprecated.is_empty()
                && let Some(status) = status.as_object_mut()
            {
                status.remove("deprecated");
            }
        };
        let names = ["conditions", "unavailableReplicas"].into_iter();
        let counters = self.counters.iter().map(|(old, _)| *old);
        said(&mut plain, &mut names.chain(counters).map(str::to_owned));
        let derived = self.derive(&plain);
        let is_same =
            |(name, value): &(String, Value)| status["deprecated"]["v1beta1"][name] == *value;
        let same: Vec<(String, Value)> = derived.into_iter().filter(is_same).collect();
        said(status, &mut same.into_iter().map(|(name, _)| name));
    }

    fn conditions(&self, conditions: &Value) -> Vec<Value> {
        let find = |type_: &str| {
            let mut all = conditions.as_array().into_iter().flatten();
            all.find(|condition| condition["type"] == type_)
        };
        let all = self.conditions.iter();
        all.filter_map(|(old, new)| Some(condition(old, find(new)?)))
            .collect()
    }
}

/// A condition of v1beta1 that says what `condition` of v1beta2 says.
fn condition(type_: &str, condition: &Value) -> Value {
    let mut old = json!({
        "type": type_, "status": condition["status"], "lastTransitionTime": condition["lastTransitionTime"],
    });
    if condition["status"] == "False" {
        old["severity"] = "Info".into();
    }
    // v1beta1 has texts only where there is something to say.
    if condition["status"] != "True" {
        for text in ["reason", "message"] {
            if condition[text]
                .as_str()
                .is_some_and(|text| !text.is_empty())
            {
                old[text] = condition[text].clone();
            }
        }
    }
    old
}

/// Adds `legacy` to the status of a v1beta1 object.
pub(super) fn fill(object: &mut Value, legacy: Map<String, Value>) {
    let Some(status) = object.get_mut("status").and_then(Value::as_object_mut) else {
        return;
    };
    for (name, value) in legacy {
        status.entry(name).or_insert(value);
    }
}
