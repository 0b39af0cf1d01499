//! APIServices of what is served here: those of Kubernetes' own group versions, which all clusters share until they change
//! them, and those of the definitions and parts of this process, which come and go with these.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::api::Api;
use super::{API_SERVICES, routes};
use crate::auth::wire_time;
use crate::discovery::Priority;
use crate::discovery::priority::{self, CUSTOM};
use crate::first::{BASE_CREATED, server_user};
use crate::object::{Key, Object};
use crate::registry::{Call, DeleteOptions, Registry, Target, find_builtin};
use crate::status::Status;

/// Says that we made an APIService, and how long we care.
pub(super) const LABEL: &str = "kube-aggregator.kubernetes.io/automanaged";
/// It is put right when the server starts.
const ON_START: &str = "onstart";
/// It is put right whenever it is wrong.
pub(super) const ALWAYS: &str = "true";
const MANAGER: &str = "kube-apiserver";

/// The `spec` of an APIService of what is served here.
fn spec(group: &str, version: &str, priority: Priority) -> Value {
    let mut spec = json!({
        "groupPriorityMinimum": priority.group, "version": version, "versionPriority": priority.version,
    });
    if !group.is_empty() {
        spec["group"] = group.into();
    }
    spec
}

fn object(name: &str, spec: &Value, care: &str) -> Value {
    json!({
        "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
        "metadata": {"name": name, "labels": {LABEL: care}}, "spec": spec,
    })
}

/// What is true of everything that is served here.
pub(crate) fn local_condition(since: &str) -> Value {
    json!({
        "lastTransitionTime": since, "message": "Local APIServices are always available", "reason": "Local",
        "status": "True", "type": "Available",
    })
}

/// Name and `spec` of every APIService that all clusters begin with.
fn shared(apis: &[Arc<dyn Api>]) -> BTreeMap<String, Value> {
    let builtin = priority::all_builtin().map(|(group, version, priority)| {
        (format!("{version}.{group}"), spec(group, version, priority))
    });
    let in_process = apis.iter().filter_map(|api| wanted(&**api));
    builtin.chain(in_process).collect()
}

/// The APIService of a part of this process, if it has one.
fn wanted(api: &dyn Api) -> Option<(String, Value)> {
    if api.is_stand_in() {
        return None;
    }
    let (group, version) = routes::group_version(api)?;
    Some((
        format!("{version}.{group}"),
        spec(group, version, api.priority()),
    ))
}

/// The APIServices that all clusters share; `apis` serve groups of all of them.
pub(crate) fn base_objects(apis: &[Arc<dyn Api>]) -> Vec<(Key, Value)> {
    let shared = shared(apis).into_iter();
    let objects = shared.map(|(name, spec)| {
        let mut object = object(&name, &spec, ON_START);
        object["status"] = json!({"conditions": [local_condition(BASE_CREATED)]});
        (Key::new(API_SERVICES, "", &name), object)
    });
    objects.collect()
}

/// What the server does about one APIService.
#[derive(Debug, PartialEq)]
enum Step {
    Create(String, Value),
    /// Gives it this `spec`.
    Update(String, Value),
    Delete(String),
}

/// What is wrong with the APIServices that we care about. `care` is when we do: those that are put right when the server
/// starts are not looked at later. What somebody else made, or has taken from us by removing the label, is theirs.
fn plan(known: &[Arc<Object>], wanted: BTreeMap<String, Value>, care: &str) -> Vec<Step> {
    let mut steps = vec![];
    let mut missing = wanted;
    for object in known {
        let wanted = missing.remove(&*object.header.name);
        if object.header.label(LABEL) != Some(care) {
            continue;
        }
        let name = || object.header.name.to_string();
        match wanted {
            None => steps.push(Step::Delete(name())),
            Some(spec) if object.value()["spec"] != spec => steps.push(Step::Update(name(), spec)),
            Some(_) => {}
        }
    }
    let created = missing.into_iter();
    steps.extend(created.map(|(name, spec)| Step::Create(name, spec)));
    steps
}

/// Puts the APIServices right that all clusters begin with, if somebody has changed them.
pub(super) async fn at_start(registry: &Registry, apis: &[Arc<dyn Api>]) {
    if registry.store().is_shared(API_SERVICES) {
        return;
    }
    let known = registry.store().list(API_SERVICES, None).objects;
    for step in plan(&known, shared(apis), ON_START) {
        apply(registry, step, ON_START).await;
    }
}

/// Puts the APIServices of definitions and parts of this process right. `shared` are those parts that serve every cluster.
pub(super) async fn always(registry: &Registry, apis: &[Arc<dyn Api>], shared: usize) {
    let served = registry.types().served();
    let custom = served.resources.iter().filter(|r| r.custom.is_some());
    let mut wanted: BTreeMap<String, Value> = custom
        .filter(|r| priority::builtin(&r.group, &r.version).is_none())
        .map(|r| {
            let name = format!("{}.{}", r.version, r.group);
            (name, spec(&r.group, &r.version, CUSTOM))
        })
        .collect();
    wanted.extend(
        apis.iter()
            .skip(shared)
            .filter_map(|api| self::wanted(&**api)),
    );
    if wanted.is_empty() && registry.store().is_shared(API_SERVICES) {
        return;
    }
    let known = registry.store().list(API_SERVICES, None).objects;
    for step in plan(&known, wanted, ALWAYS) {
        apply(registry, step, ALWAYS).await;
    }
}

/// Says of APIServices that have become local that they are available, and of those that a part of this process stands in for.
pub(super) async fn mark_local(registry: &Registry, apis: &[Arc<dyn Api>]) {
    if registry.store().is_shared(API_SERVICES) {
        return;
    }
    for object in registry.store().list(API_SERVICES, None).objects {
        // Those that we made are, from the first.
        if object.header.label(LABEL).is_some() {
            continue;
        }
        let value = object.value();
        if !value["spec"]["service"].is_object() || is_stood_in_for(&object.header.name, apis) {
            let condition = local_condition(&wire_time(registry.now()));
            super::availability::write(registry, &object, condition).await;
        }
    }
}

/// Whether the APIService is of a group version that a part of this process answers for in any case.
pub(super) fn is_stood_in_for(name: &str, apis: &[Arc<dyn Api>]) -> bool {
    apis.iter().filter(|api| api.is_stand_in()).any(|api| {
        let own = routes::group_version(&**api);
        own.is_some_and(|(group, version)| name == format!("{version}.{group}"))
    })
}

async fn apply(registry: &Registry, step: Step, care: &str) {
    let user = server_user();
    let mut call = Call::new(&user, MANAGER);
    let Some(resource) = find_builtin("apiregistration.k8s.io", "v1", "apiservices") else {
        return;
    };
    let target = |name: &str| Target::new(resource.clone(), "", name, "");
    let (name, done) = match step {
        Step::Create(name, spec) => {
            let object = object(&name, &spec, care);
            let created = registry.create(&mut call, &target(""), object).await;
            (name, created.map(drop))
        }
        Step::Update(name, spec) => {
            let updated = update(registry, &mut call, &target(&name), spec).await;
            (name, updated)
        }
        Step::Delete(name) => {
            let options = DeleteOptions::default();
            let deleted = registry.delete(&mut call, &target(&name), &options).await;
            (name, deleted.map(drop))
        }
    };
    // Who was quicker has changed it, so we look again.
    if let Err(error) = done
        && !matches!(error.code, 404 | 409)
    {
        tracing::warn!(name, %error, "an APIService stays as it is");
    }
}

async fn update(
    registry: &Registry,
    call: &mut Call<'_>,
    target: &Target,
    spec: Value,
) -> Result<(), Status> {
    let mut object = registry.get(target).await?.into_value();
    object["spec"] = spec;
    registry.update(call, target, object).await.map(drop)
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    /// `name label groupPriorityMinimum` of each that is there, and `name groupPriorityMinimum` of each that should be.
    fn check(known: &[(&str, &str, i64)], wanted: &[(&str, i64)], care: &str, expected: Expect) {
        let of = |name: &str, priority: i64| {
            let (version, group) = name.split_once('.').unwrap();
            let priority = Priority {
                group: priority,
                version: 100,
            };
            spec(group, version, priority)
        };
        let known: Vec<Arc<Object>> = known
            .iter()
            .map(|(name, label, priority)| {
                Arc::new(Object::encode(object(name, &of(name, *priority), label), 1))
            })
            .collect();
        let wanted = wanted.iter();
        let wanted = wanted.map(|(name, priority)| ((*name).to_owned(), of(name, *priority)));
        let lines: Vec<String> = plan(&known, wanted.collect(), care)
            .into_iter()
            .map(|step| match step {
                Step::Create(name, spec) => {
                    format!("create {name} {}\n", spec["groupPriorityMinimum"])
                }
                Step::Update(name, spec) => {
                    format!("update {name} {}\n", spec["groupPriorityMinimum"])
                }
                Step::Delete(name) => format!("delete {name}\n"),
            })
            .collect();
        expected.assert_eq(&lines.concat());
    }

    #[test]
    fn only_what_we_care_about_is_put_right() {
        let known = [
            ("v1.changed.io", ALWAYS, 5),
            ("v1.gone.io", ALWAYS, 1000),
            ("v1.same.io", ALWAYS, 1000),
            ("v1.start.io", ON_START, 5),
            ("v1.theirs.io", "", 5),
        ];
        let wanted = [
            ("v1.changed.io", 1000),
            ("v1.new.io", 1000),
            ("v1.same.io", 1000),
            ("v1.start.io", 1000),
            ("v1.theirs.io", 1000),
        ];
        check(
            &known,
            &wanted,
            ALWAYS,
            expect![[r#"
                update v1.changed.io 1000
                delete v1.gone.io
                create v1.new.io 1000
            "#]],
        );
        check(
            &known,
            &wanted[3..4],
            ON_START,
            expect![[r#"
                update v1.start.io 1000
            "#]],
        );
    }
}
