//! Patches that extensions make, and outcomes that they check: what they are asked about a topology, and what their answers come to. Pure.
//!
//! A patch of a class may name an extension in the place of changes. It is sent all templates as the patches before it have left them, with
//! the values of variables, and answers with changes of their specs. Another one may look at the outcome of all patches and refuse it.
//! Answers are part of the world, so what a topology is rendered to follows from it alone.

use std::cell::RefCell;
use std::collections::BTreeMap;

use api::cluster::ClusterClass;
use api::cluster::cluster_class::ExternalPatch;
use api::cluster::topology::Topology;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use json_patch::{Patch, PatchOperation, merge, patch};
use serde_json::{Value, json};

use super::World;
use super::build::{Stage, collect};
use super::patches::{self, ADDED_MAX};
use super::plan::prepared;
use super::upgrade::upgrade;
use crate::hook::{NamedHook, NamedQuestion, Unanswered};

/// What an extension said about a patch of the class: its changes, for a question that has some.
pub type External = Result<Vec<ItemPatch>, Unanswered>;

/// Answers by hook and name of the patch.
pub type Externals = BTreeMap<(NamedHook, String), External>;

/// A change of one template.
#[derive(Clone, Debug, PartialEq)]
pub struct ItemPatch {
    /// The template, as the request calls it.
    pub uid: String,
    /// What changes.
    pub change: ItemChange,
}

/// What changes in a template.
#[derive(Clone, Debug, PartialEq)]
pub enum ItemChange {
    /// By RFC 6902.
    Json(Patch),
    /// By RFC 7386.
    Merge(Value),
}

/// A template of the topology, as extensions see it.
#[derive(Debug)]
pub(super) struct Item {
    pub uid: String,
    /// Who refers to it, and where.
    pub holder: Value,
    pub object: Value,
    /// All values that its patches see.
    pub values: Value,
}

/// What is to be asked next, if something is.
pub(super) fn question(world: &World) -> Option<(String, NamedQuestion)> {
    let class = world.class.as_ref()?;
    let is_deleting = world.cluster.metadata.deletion_timestamp.is_some();
    let is_asked = class.patches().any(|patch| patch.external.is_some());
    let is_ready = world.is_class_reconciled() && class.has_all_variables();
    if !is_asked || is_deleting || world.is_paused() || !is_ready {
        return None;
    }
    let topology = prepared(world, class).ok()?;
    open(world, class, &topology).ok()?
}

/// The first question without an answer, if there is one.
///
/// # Errors
/// Why it cannot be asked: what comes before it in the class is wrong.
pub(super) fn open(
    world: &World,
    class: &ClusterClass,
    topology: &Topology,
) -> Result<Option<(String, NamedQuestion)>, String> {
    for named in named(class, NamedHook::GeneratePatches) {
        let key = (NamedHook::GeneratePatches, named.patch.to_owned());
        match world.external.get(&key) {
            // What comes after it cannot be known.
            Some(Err(_)) => return Ok(None),
            Some(Ok(_)) => {}
            None => {
                let asked = (named, NamedHook::GeneratePatches);
                return ask(world, class, topology, asked).map(Some);
            }
        }
    }
    let mut checks = named(class, NamedHook::ValidateTopology);
    let is_open = |named: &Named<'_>| {
        let key = (NamedHook::ValidateTopology, named.patch.to_owned());
        !world.external.contains_key(&key)
    };
    let Some(named) = checks.find(is_open) else {
        return Ok(None);
    };
    let asked = (named, NamedHook::ValidateTopology);
    ask(world, class, topology, asked).map(Some)
}

/// A patch that names an extension.
pub(crate) struct Named<'a> {
    pub patch: &'a str,
    pub external: &'a ExternalPatch,
    pub handler: &'a str,
}

/// The patches that name an extension for a hook, in order.
pub(crate) fn named(class: &ClusterClass, hook: NamedHook) -> impl Iterator<Item = Named<'_>> {
    class.patches().filter_map(move |patch| {
        let external = patch.external.as_ref()?;
        let handler = match hook {
            NamedHook::GeneratePatches => external.generate_patches_extension.as_deref(),
            NamedHook::ValidateTopology => external.validate_topology_extension.as_deref(),
            NamedHook::DiscoverVariables => external.discover_variables_extension.as_deref(),
            // The class names it, and no patch.
            NamedHook::GenerateUpgradePlan => None,
        };
        Some(Named {
            patch: &patch.name,
            external,
            handler: handler?,
        })
    })
}

fn ask(
    world: &World,
    class: &ClusterClass,
    topology: &Topology,
    (named, hook): (Named<'_>, NamedHook),
) -> Result<(String, NamedQuestion), String> {
    let upgrade = upgrade(world, class);
    let items = RefCell::new(vec![]);
    let until = (hook == NamedHook::GeneratePatches).then_some(named.patch);
    let stage = Stage::Until {
        patch: until,
        items: &items,
    };
    collect(world, class, topology, &upgrade, stage)?;
    let global = patches::values(topology, None, patches::builtin(&world.cluster, topology));
    let items: Vec<Value> = items
        .into_inner()
        .into_iter()
        .map(|item| {
            let mut value = json!({"holderReference": item.holder, "object": item.object});
            let own = variables(&item.values, Some(&global));
            if !own.is_empty() {
                value["variables"] = json!(own);
            }
            if hook == NamedHook::GeneratePatches {
                value["uid"] = json!(item.uid);
            }
            value
        })
        .collect();
    let question = NamedQuestion {
        hook,
        patch: named.patch.to_owned(),
        handler: named.handler.to_owned(),
        settings: named.external.settings.clone().unwrap_or_default(),
        about: json!({"variables": variables(&global, None), "items": items}),
        beside: Value::Null,
    };
    Ok((named.patch.to_owned(), question))
}

/// Values as requests have them, without those that are the same in `known`.
fn variables(values: &Value, known: Option<&Value>) -> Vec<Value> {
    let all = values.as_object().into_iter().flatten();
    let new = all.filter(|(name, value)| known.is_none_or(|known| known.get(name) != Some(value)));
    new.map(|(name, value)| json!({"name": name, "value": value}))
        .collect()
}

/// Reads the changes in an answer. Its errors name the field.
///
/// # Errors
/// What makes no sense.
pub(super) fn read(answer: &Value) -> Result<Vec<ItemPatch>, String> {
    let items = match &answer["items"] {
        Value::Null => return Ok(vec![]),
        Value::Array(items) => items,
        _ => return Err("items of the answer must be a list".to_owned()),
    };
    let mut found = vec![];
    for (index, item) in items.iter().enumerate() {
        let wrong = |field: &str, why: &str| format!("items[{index}].{field} of the answer {why}");
        let Some(uid) = item["uid"].as_str().filter(|uid| !uid.is_empty()) else {
            return Err(wrong("uid", "must be the uid of an item of the request"));
        };
        let bytes = item["patch"]
            .as_str()
            .map(|text| BASE64_STANDARD.decode(text));
        let Some(Ok(bytes)) = bytes else {
            return Err(wrong("patch", "must be base64"));
        };
        let no_json =
            |error: serde_json::Error| wrong("patch", &format!("cannot be used: {error}"));
        let change = match item["patchType"].as_str() {
            Some("JSONPatch") => ItemChange::Json(serde_json::from_slice(&bytes).map_err(no_json)?),
            Some("JSONMergePatch") => {
                ItemChange::Merge(serde_json::from_slice(&bytes).map_err(no_json)?)
            }
            _ => {
                let why = "must be JSONPatch or JSONMergePatch";
                return Err(wrong("patchType", why));
            }
        };
        found.push(ItemPatch {
            uid: uid.to_owned(),
            change,
        });
    }
    Ok(found)
}

/// Changes the spec of a template as an extension says; what else it says is not looked at.
///
/// # Errors
/// Why that cannot be.
pub(super) fn apply(
    answer: Option<&External>,
    uid: &str,
    template: &mut Value,
) -> Result<(), String> {
    let changes = match answer {
        None => return Err("its extension has not been asked yet".to_owned()),
        Some(Err(unanswered)) => return Err(unanswered.why.clone()),
        Some(Ok(changes)) => changes,
    };
    for change in changes.iter().filter(|change| change.uid == uid) {
        let mut changed = template.clone();
        match &change.change {
            ItemChange::Json(operations) => {
                for operation in &operations.0 {
                    patch(&mut changed, std::slice::from_ref(operation))
                        .map_err(|error| format!("what its extension answered: {error}"))?;
                    // Everything else adds at most what is in the answer.
                    if matches!(operation, PatchOperation::Copy(_)) {
                        check_size(&changed)?;
                    }
                }
            }
            ItemChange::Merge(document) => merge(&mut changed, document),
        }
        check_size(&changed)?;
        let spec = changed.get_mut("spec").map(Value::take);
        let Some(spec) = spec.filter(Value::is_object) else {
            return Err("what its extension answered leaves no spec that is an object".to_owned());
        };
        template["spec"] = spec;
    }
    Ok(())
}

fn check_size(template: &Value) -> Result<(), String> {
    if template.to_string().len() > ADDED_MAX {
        return Err(format!(
            "what its extension answered makes a template larger than {ADDED_MAX} bytes"
        ));
    }
    Ok(())
}

/// Whether extensions agree with the outcome.
///
/// # Errors
/// Who does not, and why.
pub(super) fn check(world: &World, class: &ClusterClass) -> Result<(), String> {
    for named in named(class, NamedHook::ValidateTopology) {
        let key = (NamedHook::ValidateTopology, named.patch.to_owned());
        let why = match world.external.get(&key) {
            Some(Ok(_)) => continue,
            Some(Err(unanswered)) => unanswered.why.as_str(),
            None => "its extension has not been asked yet",
        };
        return Err(format!(
            "patch {:?} of the ClusterClass: {why}",
            named.patch
        ));
    }
    Ok(())
}
