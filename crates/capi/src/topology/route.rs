//! Over which versions an upgrade goes: those that the class lists, or those that an extension names which the class names. Pure.

use api::cluster::ClusterClass;
use api::cluster::rules::Version;
use serde_json::{Value, json};

use super::World;
use super::group::group_of;
use super::upgrade::{is_newer, leaves_behind, path};
use crate::contract::Contract;
use crate::hook::{self, NamedHook, NamedQuestion};

/// Versions that an upgrade goes over, the last one included.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(test, derive(serde::Deserialize), serde(default))]
pub struct Route {
    /// Those of the control plane.
    pub control_plane: Vec<String>,
    /// Those of workers; if there are none, they go along only as far as they must.
    pub workers: Vec<String>,
}

/// Where an upgrade begins and ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Leg {
    pub control_plane: String,
    /// The oldest version of workers, if there are some.
    pub workers: Option<String>,
    pub to: String,
}

impl Leg {
    /// Where the Cluster is and where it goes to; `None` if it is there.
    fn of(world: &World) -> Option<Self> {
        let topology = world.cluster.spec.topology.as_ref()?;
        let control_plane = world.control_plane.as_deref().map(Contract)?;
        let groups = topology.groups();
        let versions = groups.filter_map(|e| Some(group_of(world, e.kind, e.name)?.version));
        let oldest = versions.min_by_key(|v| Version::parse(v).map(|v| v.numbers()));
        let leg = Self {
            control_plane: control_plane.version()?.to_owned(),
            workers: oldest.map(str::to_owned),
            to: topology.version.clone(),
        };
        let is_there = leg.control_plane == leg.to && !leg.has_workers_behind();
        (!is_there).then_some(leg)
    }

    fn has_workers_behind(&self) -> bool {
        self.workers
            .as_ref()
            .is_some_and(|oldest| *oldest != self.to)
    }
}

impl Route {
    /// Whether workers have to move before a control plane of version `at` may go to `next`.
    pub(super) fn is_for_workers_first(&self, at: &str, next: &str, oldest: Option<&str>) -> bool {
        if self.workers.is_empty() {
            return leaves_behind(next, oldest);
        }
        let due = oldest.and_then(|oldest| self.next_of_workers(oldest));
        due.is_some_and(|due| !is_newer(due, at))
    }

    /// The version that workers of this one go to next, if they have a route of their own.
    pub(super) fn next_of_workers(&self, oldest: &str) -> Option<&str> {
        let mut ahead = self.workers.iter().filter(|v| is_newer(v, oldest));
        ahead.next().map(String::as_str)
    }
}

/// What the extension is asked, if there is one and an upgrade to be planned.
pub(super) fn question(world: &World) -> Option<NamedQuestion> {
    let class = world.class.as_ref()?;
    let handler = class.upgrade_plan_extension()?;
    let is_deleting = world.cluster.metadata.deletion_timestamp.is_some();
    if is_deleting || world.is_paused() || !world.is_class_reconciled() {
        return None;
    }
    let leg = Leg::of(world)?;
    let mut about = json!({
        "fromControlPlaneKubernetesVersion": leg.control_plane,
        "toKubernetesVersion": leg.to,
    });
    if let Some(workers) = leg.workers {
        about["fromWorkersKubernetesVersion"] = json!(workers);
    }
    Some(NamedQuestion {
        hook: NamedHook::GenerateUpgradePlan,
        patch: String::new(),
        handler: handler.to_owned(),
        settings: [].into(),
        about,
        beside: json!({"cluster": hook::shown(&world.cluster)}),
    })
}

/// Reads what the extension says, and checks it.
///
/// # Errors
/// What makes no sense: the step, and why.
pub(super) fn read(world: &World, answer: &Value) -> Result<Route, String> {
    let steps = |field: &str| -> Result<Vec<String>, String> {
        let wrong =
            || format!("{field} of the answer must be a list of versions, each with a version");
        let items = match &answer[field] {
            Value::Null => return Ok(vec![]),
            items => items.as_array().ok_or_else(wrong)?,
        };
        let version = |item: &Value| {
            item["version"]
                .as_str()
                .map(str::to_owned)
                .ok_or_else(wrong)
        };
        items.iter().map(version).collect()
    };
    let route = Route {
        control_plane: steps("controlPlaneUpgrades")?,
        workers: steps("workersUpgrades")?,
    };
    match Leg::of(world) {
        Some(leg) => check(&leg, &route).map(|()| route),
        None => Ok(Route::default()),
    }
}

fn check(leg: &Leg, route: &Route) -> Result<(), String> {
    check_steps(
        "controlPlaneUpgrades",
        (&leg.control_plane, &leg.to),
        &route.control_plane,
        1,
    )?;
    let Some(oldest) = leg.workers.as_ref().filter(|_| leg.has_workers_behind()) else {
        return match route.workers.first() {
            None => Ok(()),
            Some(first) => Err(format!(
                "workersUpgrades of the answer begins with {first}, but no workers are behind {}",
                leg.to
            )),
        };
    };
    if route.workers.is_empty() {
        return Ok(());
    }
    let is_known =
        |version: &&String| **version == leg.control_plane || route.control_plane.contains(version);
    if let Some(other) = route.workers.iter().find(|version| !is_known(version)) {
        return Err(format!(
            "workersUpgrades of the answer has {other}, which the control plane neither has nor goes to"
        ));
    }
    check_steps(
        "workersUpgrades",
        (oldest, &leg.to),
        &route.workers,
        super::upgrade::SKEW_MAX,
    )
}

/// Each step must be newer than the one before it by at most so many minor versions, and the last one be the end.
fn check_steps(
    field: &str,
    (from, to): (&str, &str),
    steps: &[String],
    most: u64,
) -> Result<(), String> {
    let mut before = from;
    for (at, step) in steps.iter().enumerate() {
        let wrong = |why: &str| {
            Err(format!(
                "{field}[{at}].version of the answer is {step}, {why}"
            ))
        };
        let (Some(old), Some(new)) = (Version::parse(before), Version::parse(step)) else {
            return wrong("which is no version such as v1.36.0");
        };
        if !is_newer(step, before) {
            return wrong(&format!("which is not newer than {before}"));
        }
        if new.major != old.major || new.minor > old.minor + most {
            let most = match most {
                1 => "one minor version".to_owned(),
                most => format!("{most} minor versions"),
            };
            return wrong(&format!("which is more than {most} after {before}"));
        }
        before = step;
    }
    if before == to {
        return Ok(());
    }
    Err(format!(
        "{field} of the answer ends with {before}, and not with {to}"
    ))
}

/// The route of the Cluster from the version that its control plane has.
///
/// # Errors
/// Why there is none yet.
pub(super) fn route(
    world: &World,
    class: &ClusterClass,
    from: &str,
    to: &str,
) -> Result<Route, String> {
    if class.upgrade_plan_extension().is_none() || Leg::of(world).is_none() {
        return Ok(Route {
            control_plane: path(class, from, to),
            workers: vec![],
        });
    }
    match &world.route {
        Some(Ok(route)) => Ok(route.clone()),
        Some(Err(unanswered)) => Err(unanswered.why.clone()),
        None => Err("the extension that plans it has not been asked yet".to_owned()),
    }
}
