//! What an App needs next, and what it waits for.

use std::time::Duration;

use api::application::app::{reasons, validate};
use api::application::labels::{APP_PAUSED, CORDON_REASON, CORDON_UNTIL};
use api::application::{App, ObjectKey};
use jiff::{SignedDuration, Timestamp};
use render::release::Status as HelmStatus;
use runtime::{Change, Plan, Wait};

use super::{Act, Lifetime, Target, World, values};
use crate::chart::{Observed, Standing, UNINSTALL, Wanted, is_ours};
use crate::repository::{Fetched, Missing, Version};

/// How often it is looked whether another App has let go of a release.
const OWNER_PERIOD: Duration = Duration::from_secs(30);
/// The first pause before a failed operation is tried again unchanged; it doubles.
const RETRY_MIN: Duration = Duration::from_secs(30);
const RETRY_MAX: Duration = Duration::from_secs(1800);
/// How long somebody else's operation on a release may take until it counts as interrupted.
const OPERATION_MAX: SignedDuration = SignedDuration::from_mins(10);

pub(super) fn plan(world: &World, now: Timestamp) -> Plan<Act> {
    let mut plan = Plan::default();
    if annotation(&world.app, APP_PAUSED) == Some("true") {
        plan.wait(
            reasons::PAUSED,
            format!("annotation {APP_PAUSED} stops all work on it"),
        );
    } else if world.app.metadata.deletion_timestamp.is_some() {
        plan_deletion(world, now, &mut plan);
    } else if let Err(wait) = plan_release(world, now, &mut plan) {
        plan.waits.push(wait);
    }
    plan
}

fn annotation<'a>(app: &'a App, key: &str) -> Option<&'a str> {
    app.metadata
        .annotations
        .as_ref()?
        .get(key)
        .map(String::as_str)
}

fn wait<T>(reason: &'static str, message: impl Into<String>) -> Result<T, Wait> {
    Err(Wait {
        reason,
        message: message.into(),
    })
}

/// What is wanted, or what holds the App back before its cluster is asked: the App itself and what it names.
pub(super) fn wanted(world: &World) -> Result<Wanted, Wait> {
    let errors = validate(&world.app, None);
    if !errors.is_empty() {
        let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
        return wait(reasons::INVALID, texts.join("; "));
    }
    if world.catalog.is_none() {
        return wait(
            reasons::CATALOG_NOT_FOUND,
            format!("catalog `{}` not found", world.app.spec.catalog),
        );
    }
    let merged = values::merge(&world.layers).map_err(|problem| {
        let reason = if problem.is_missing {
            reasons::CONFIG_NOT_FOUND
        } else {
            reasons::CONFIG_INVALID
        };
        Wait {
            reason,
            message: problem.message,
        }
    })?;
    Ok(Wanted::of(&world.app, merged))
}

/// Whether the chart must be looked up: something is to be deployed and nothing else holds it back.
pub(super) fn needs_chart(world: &World) -> bool {
    let is_deleting = world.app.metadata.deletion_timestamp.is_some();
    let Target::Here { observed, .. } = &world.target else {
        return false;
    };
    !is_deleting && wanted(world).is_ok_and(|wanted| !observed.history.is_current(&wanted))
}

/// What is to be deployed, of a world whose chart is at hand.
pub(super) fn chosen(world: &World) -> Result<(Wanted, &Version, &render::Chart), Wait> {
    let wanted = wanted(world)?;
    let (name, catalog, version) = (
        &world.app.spec.name,
        &world.app.spec.catalog,
        &world.app.spec.version,
    );
    let index = match &world.index {
        None | Some(Fetched::Loading) => {
            return wait(
                reasons::CATALOG_NOT_READY,
                format!("catalog `{catalog}` is being read"),
            );
        }
        Some(Fetched::Failed(error)) => {
            return wait(
                reasons::CATALOG_NOT_READY,
                format!("catalog `{catalog}`: {error}"),
            );
        }
        Some(Fetched::Ready { value, .. }) => value,
    };
    let found = match index.find(name, version) {
        Ok(found) => found,
        Err(Missing::Everything) => {
            return wait(
                reasons::CATALOG_EMPTY,
                format!("catalog `{catalog}` has no charts"),
            );
        }
        Err(Missing::Chart) => {
            return wait(
                reasons::APP_NOT_FOUND,
                format!("catalog `{catalog}` has no chart `{name}`"),
            );
        }
        Err(Missing::Version) => {
            let message =
                format!("catalog `{catalog}` has chart `{name}`, but not in version `{version}`");
            return wait(reasons::VERSION_NOT_FOUND, message);
        }
    };
    match &world.chart {
        None | Some(Fetched::Loading) => {
            wait(reasons::CHART_LOADING, format!("fetching {}", found.url))
        }
        Some(Fetched::Failed(error)) => wait(
            reasons::CHART_PULL_FAILED,
            format!("pulling chart `{}` failed: {error}", found.url),
        ),
        Some(Fetched::Ready { value, .. }) => Ok((wanted, found, value)),
    }
}

fn plan_release(world: &World, now: Timestamp, plan: &mut Plan<Act>) -> Result<(), Wait> {
    if world.lifetime == Lifetime::Deleting {
        let cluster = world.app.cluster_name();
        return wait(
            reasons::CLUSTER_DELETING,
            format!("cluster `{cluster}` is being deleted"),
        );
    }
    let wanted = wanted(world)?;
    let observed = match &world.target {
        Target::Away(why) => return Err(why.clone()),
        Target::Here { observed, .. } => observed,
    };
    if let Err(why) = check_owner(&world.app, observed) {
        // It is read past the caches, so nothing tells when it goes.
        plan.again_in = Some(OWNER_PERIOD);
        return Err(why);
    }
    let (busy, doing) = match observed.history.deployed {
        None => (reasons::INSTALLING, "installing"),
        Some(_) => (reasons::UPGRADING, "upgrading"),
    };
    let work = format!(
        "{doing} release `{}` in namespace `{}`",
        wanted.release, wanted.namespace
    );
    if world.standing == Standing::Running {
        return wait(busy, work);
    }
    check_cordon(&world.app, now, plan)?;
    if observed.history.is_current(&wanted) {
        if !observed.is_recorded(&world.app, &wanted) {
            plan.changes.push(Change::Act(Act::Record));
        }
        return Ok(());
    }
    check_foreign_operation(observed, now, plan)?;
    let (wanted, version, _) = chosen(world)?;
    if let Some(why) = recent_failure(world, &wanted.fingerprint(&version.url), now, plan) {
        return Err(why);
    }
    plan.changes.push(Change::Act(Act::Deploy));
    wait(busy, work)
}

/// A Chart that another App wrote is that App's, and so is its release.
fn check_owner(app: &App, observed: &Observed) -> Result<(), Wait> {
    let Some(ObjectKey { name, namespace }) = observed.owner() else {
        return Ok(());
    };
    let meta = &app.metadata;
    if meta.name.as_ref() == Some(&name) && meta.namespace.as_ref() == Some(&namespace) {
        return Ok(());
    }
    let release = app.release_name();
    wait(
        reasons::RELEASE_TAKEN,
        format!("release `{release}` on this cluster belongs to App {namespace}/{name}"),
    )
}

fn check_cordon(app: &App, now: Timestamp, plan: &mut Plan<Act>) -> Result<(), Wait> {
    let Some(until) = annotation(app, CORDON_UNTIL).filter(|until| !until.is_empty()) else {
        return Ok(());
    };
    let why = annotation(app, CORDON_REASON).unwrap_or("no reason given");
    match until.parse::<Timestamp>() {
        Ok(end) if end <= now => Ok(()),
        Ok(end) => {
            plan.again_in = Duration::try_from(end.duration_since(now)).ok();
            wait(reasons::CORDONED, format!("cordoned until {until}: {why}"))
        }
        Err(_) => wait(
            reasons::CORDON_INVALID,
            format!(
                "annotation {CORDON_UNTIL} must be a time such as 2026-01-31T12:00:00Z, not {until:?}"
            ),
        ),
    }
}

/// Helm marks a release while it works on it. A mark of our own without an operation is left from an earlier process.
fn check_foreign_operation(
    observed: &Observed,
    now: Timestamp,
    plan: &mut Plan<Act>,
) -> Result<(), Wait> {
    let Some(latest) = &observed.history.latest else {
        return Ok(());
    };
    let is_busy = latest.info.status.is_pending() || latest.info.status == HelmStatus::Uninstalling;
    if !is_busy || is_ours(latest) {
        return Ok(());
    }
    let since = latest.info.last_deployed.unwrap_or(now);
    let left = OPERATION_MAX - now.duration_since(since);
    if !left.is_positive() {
        return Ok(());
    }
    plan.again_in = Duration::try_from(left).ok();
    let (name, status) = (&latest.name, latest.info.status.as_str());
    wait(
        reasons::RELEASE_BUSY,
        format!("release `{name}` is {status} by somebody else"),
    )
}

/// The same operation is not tried again at once.
fn recent_failure(
    world: &World,
    fingerprint: &str,
    now: Timestamp,
    plan: &mut Plan<Act>,
) -> Option<Wait> {
    let Standing::Failed {
        fingerprint: failed,
        why,
        failures,
        at,
    } = &world.standing
    else {
        return None;
    };
    let pause = RETRY_MIN
        .saturating_mul(1 << failures.saturating_sub(1).min(10))
        .min(RETRY_MAX);
    let passed = Duration::try_from(now.duration_since(*at)).unwrap_or_default();
    let left = pause.saturating_sub(passed);
    if failed != fingerprint || left.is_zero() {
        return None;
    }
    plan.again_in = Some(left);
    Some(why.clone())
}

fn plan_deletion(world: &World, now: Timestamp, plan: &mut Plan<Act>) {
    let observed = match &world.target {
        Target::Here { observed, .. } => observed,
        Target::Away(why) => {
            // What was on a cluster that goes, goes with it; without Cluster and kubeconfig nothing is left to ask. Any
            // other cluster must be reached first, or releases would be left behind.
            let is_gone = match world.lifetime {
                Lifetime::Deleting => true,
                Lifetime::Unknown => why.reason == reasons::KUBECONFIG_NOT_FOUND,
                Lifetime::Lives => false,
            };
            let has_begun = world.standing != Standing::Idle || was_installed(&world.app);
            if is_gone || !has_begun {
                plan.is_finished = true;
            } else {
                plan.waits.push(why.clone());
            }
            return;
        }
    };
    if check_owner(&world.app, observed).is_err() {
        plan.is_finished = true;
        return;
    }
    let removing = format!("removing release `{}`", world.app.release_name());
    if world.standing == Standing::Running {
        plan.wait(reasons::UNINSTALLING, removing);
    } else if observed.is_installed(&world.app) {
        // The release first: its Chart says to whom it belongs.
        if let Some(why) = recent_failure(world, UNINSTALL, now, plan) {
            plan.waits.push(why);
        } else {
            plan.changes.push(Change::Act(Act::Uninstall));
            plan.wait(reasons::UNINSTALLING, removing);
        }
    } else {
        if observed.has_records() {
            plan.changes.push(Change::Act(Act::Forget));
        }
        plan.is_finished = true;
    }
}

/// Whether a release was ever seen on the App's cluster: while that can't be asked, only the App itself remembers.
fn was_installed(app: &App) -> bool {
    app.status
        .as_ref()
        .is_some_and(|s| !s.version.is_empty() || s.release.last_deployed.is_some())
}
