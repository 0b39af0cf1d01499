//! Which pods a rolling update replaces now. Pure.

use k8s_openapi::api::core::v1::Pod;

use super::look::Look;
use super::node::Fit;
use super::plan::Wanted;

/// The pods that stay on a node: at most one of the present template and one that is older.
struct Pair<'a> {
    new: Option<&'a Pod>,
    old: Option<&'a Pod>,
}

/// What the update does next. It is asked only when every node has what it is to have.
pub(super) fn update<'a>(look: &Look<'a>) -> Wanted<'a> {
    let desired = look.world.nodes.iter();
    let desired: Vec<&str> = desired
        .filter(|(_, node)| look.fit(node) == Fit::Runs)
        .map(|(name, _)| name.as_str())
        .collect();
    let surge = look.max_surge(desired.len());
    if surge == 0 {
        replace(look, &desired)
    } else {
        add_beside(look, &desired, surge)
    }
}

/// The pods of a node; `None` if there are too many.
fn pair<'a>(look: &Look<'a>, node: &str) -> Option<Pair<'a>> {
    let mut pair = Pair {
        new: None,
        old: None,
    };
    let pods = look.on(node).iter().copied();
    for pod in pods.filter(|pod| pod.metadata.deletion_timestamp.is_none()) {
        let place = if look.is_updated(pod) {
            &mut pair.new
        } else {
            &mut pair.old
        };
        if place.replace(pod).is_some() {
            return None;
        }
    }
    Some(pair)
}

/// Deletes old pods: all that are of no use, and others as far as pods may be unavailable.
fn replace<'a>(look: &Look<'a>, desired: &[&str]) -> Wanted<'a> {
    let most = look.max_unavailable(desired.len());
    let vacant = desired.iter().filter(|name| look.on(name).is_empty());
    let mut unavailable = vacant.count();
    let (mut useless, mut candidates) = (vec![], vec![]);
    for node in look.by_node.keys() {
        match pair(look, node) {
            Some(Pair {
                new: Some(new),
                old: None,
            }) if look.is_available(new) => {}
            Some(Pair {
                new: None,
                old: Some(old),
            }) if look.is_available(old) => candidates.push(old),
            Some(Pair {
                new: None,
                old: Some(old),
            }) => {
                useless.push(old);
                unavailable += 1;
            }
            _ => unavailable += 1,
        }
    }
    let room = most.saturating_sub(unavailable);
    useless.extend(candidates.into_iter().take(room));
    Wanted {
        gone: useless,
        new: vec![],
    }
}

/// Creates new pods beside old ones, and deletes old ones whose successor is available.
fn add_beside<'a>(look: &Look<'a>, desired: &[&str], surge: usize) -> Wanted<'a> {
    let mut wanted = Wanted::default();
    let (mut surging, mut available) = (0, 0);
    let (mut misplaced, mut candidates) = (vec![], vec![]);
    for (node, known) in &look.by_node {
        let Some(pair) = pair(look, node) else {
            surging += 1;
            continue;
        };
        let is_available = |pod: &Pod| look.is_available(pod);
        if pair.old.or(pair.new).is_some_and(is_available) {
            available += 1;
        }
        let Some(old) = pair.old else { continue };
        let Some((name, _)) = look.world.nodes.get_key_value(node) else {
            continue;
        };
        let is_desired = desired.contains(&node.as_str()) && !known.is_empty();
        match pair.new {
            Some(new) if is_available(new) => wanted.gone.push(old),
            Some(_) => surging += 1,
            None if !is_desired && is_available(old) => misplaced.push(old),
            None if !is_desired => wanted.gone.push(old),
            None if !is_available(old) => wanted.new.push(name.as_str()),
            None => candidates.push(name.as_str()),
        }
    }
    // Where a pod no longer belongs it goes when there are enough without it.
    let spare = usize::saturating_sub(available, desired.len());
    wanted.gone.extend(misplaced.into_iter().take(spare));
    let room = surge.saturating_sub(surging);
    wanted.new.extend(candidates.into_iter().take(room));
    wanted
}
