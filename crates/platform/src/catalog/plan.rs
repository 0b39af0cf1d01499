//! Which entries there should be, and what holds them back.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::time::Duration;

use api::application::app_catalog_entry::ChartInfo;
use api::application::catalog::reasons;
use api::application::labels::{CATALOG, CATALOG_TYPE, LATEST, MANAGED_BY};
use api::application::{AppCatalogEntrySpec, ObjectKey};
use kube::ResourceExt;
use kube::core::DynamicObject;
use runtime::{Change, ObjectRef, Plan, rfc3339};
use serde_json::json;

use super::{World, problem, repositories};
use crate::repository::{Fetched, Version};

/// Versions of an app that are listed, besides the latest.
const MAX_VERSIONS: usize = 5;
/// Entries of a catalog; charts beyond it can be installed all the same.
const MAX_ENTRIES: usize = 3_000;
/// Entries written or deleted in one pass; the next pass goes on.
const MAX_CHANGES: usize = 200;
const CONTINUE_IN: Duration = Duration::from_millis(10);

pub(super) fn plan(world: &World) -> Plan<Infallible> {
    let mut plan = Plan::default();
    if world.catalog.metadata.deletion_timestamp.is_some() {
        // The entries go with their owner.
        return plan;
    }
    if let Err(why) = repositories(&world.catalog) {
        plan.wait(reasons::NO_REPOSITORY, why);
        return plan;
    }
    match &world.index {
        Fetched::Loading => plan.wait(reasons::CATALOG_LOADING, "the index is being read"),
        Fetched::Failed(error) => {
            let (reason, message) = problem(error);
            plan.wait(reason, message);
        }
        Fetched::Ready {
            value: index,
            stale,
        } => {
            if let Some(error) = stale {
                let (reason, message) = problem(error);
                plan.wait(
                    reason,
                    format!("{message}; what was read before is used further"),
                );
            } else if index.entries.is_empty() {
                plan.wait(reasons::CATALOG_EMPTY, "the index has no charts");
            }
            let versions = index.newest(MAX_VERSIONS);
            let wanted =
                versions.filter_map(|(version, is_latest)| entry(world, version, is_latest));
            list(world, wanted.take(MAX_ENTRIES).collect(), &mut plan);
        }
    }
    plan
}

/// Entries that differ or are missing are applied, the others deleted.
fn list(world: &World, mut wanted: Vec<DynamicObject>, plan: &mut Plan<Infallible>) {
    if world
        .catalog
        .labels()
        .get(CATALOG_TYPE)
        .is_some_and(|t| t == "community")
    {
        wanted.clear();
    }
    let names: BTreeSet<String> = wanted.iter().map(ResourceExt::name_any).collect();
    let have: BTreeMap<String, _> = world
        .entries
        .iter()
        .map(|entry| (entry.name_any(), entry))
        .collect();
    let is_done = |object: &DynamicObject| {
        have.get(&object.name_any()).is_some_and(|entry| {
            let has_all = |want: &BTreeMap<String, String>, have: &BTreeMap<String, String>| {
                want.iter().all(|(key, value)| have.get(key) == Some(value))
            };
            serde_json::to_value(&entry.spec).is_ok_and(|spec| spec == object.data["spec"])
                && has_all(object.labels(), entry.labels())
                && has_all(object.annotations(), entry.annotations())
        })
    };
    let gone = world
        .entries
        .iter()
        .filter(|entry| !names.contains(&entry.name_any()));
    let deletions = gone.map(|entry| Change::Delete {
        target: ObjectRef {
            group: api::application::GROUP.to_owned(),
            version: api::application::VERSION.to_owned(),
            kind: "AppCatalogEntry".to_owned(),
            namespace: entry.namespace().unwrap_or_default(),
            name: entry.name_any(),
        },
        uid: entry.uid(),
    });
    let applies = wanted
        .iter()
        .filter(|object| !is_done(object))
        .map(|object| Change::Apply(Box::new(object.clone())));
    let mut changes: Vec<Change<Infallible>> = applies.chain(deletions).collect();
    if changes.len() > MAX_CHANGES {
        changes.truncate(MAX_CHANGES);
        plan.again_in = Some(CONTINUE_IN);
    }
    plan.changes = changes;
}

/// The entry of a version; `None` where its name or version cannot be written into an object.
fn entry(world: &World, version: &Version, is_latest: bool) -> Option<DynamicObject> {
    let catalog = &world.catalog;
    let (catalog_name, namespace) = (catalog.name_any(), catalog.namespace().unwrap_or_default());
    let name = object_name(&format!(
        "{catalog_name}-{}-{}",
        version.name, version.version
    ))?;
    let labelled = version.version.replace('+', "_");
    if labelled.len() > 63 || version.name.len() > 63 {
        return None;
    }
    let mut labels = json!({
        "app.kubernetes.io/name": version.name,
        "app.kubernetes.io/version": labelled,
        CATALOG: catalog_name,
        LATEST: if is_latest { "true" } else { "false" },
        MANAGED_BY: "app-operator-unique",
    });
    if let Some(type_) = catalog.labels().get(CATALOG_TYPE) {
        labels[CATALOG_TYPE] = json!(type_);
    }
    let date = version.created.map(rfc3339);
    let spec = AppCatalogEntrySpec {
        app_name: version.name.clone(),
        app_version: version.app_version.clone(),
        version: version.version.clone(),
        catalog: ObjectKey {
            name: catalog_name.clone(),
            namespace: namespace.clone(),
        },
        chart: ChartInfo {
            api_version: version.api_version.clone(),
            description: version.description.clone(),
            home: version.home.clone(),
            icon: version.icon.clone(),
            keywords: Some(version.keywords.clone()).filter(|words| !words.is_empty()),
            upstream_chart_version: version
                .annotations
                .get("application.giantswarm.io/upstreamChartVersion")
                .cloned(),
        },
        date_created: date.clone(),
        date_updated: date,
        restrictions: None,
    };
    let annotations: BTreeMap<_, _> = version
        .annotations
        .iter()
        .filter(|(key, _)| key.starts_with("application.giantswarm.io/"))
        .collect();
    Some(crate::dynamic(json!({
        "apiVersion": "application.giantswarm.io/v1alpha1",
        "kind": "AppCatalogEntry",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": labels,
            "annotations": annotations,
            "ownerReferences": [{
                "apiVersion": "application.giantswarm.io/v1alpha1", "kind": "Catalog", "name": catalog_name,
                "uid": catalog.metadata.uid, "controller": true, "blockOwnerDeletion": true,
            }],
        },
        "spec": spec,
    })))
}

/// Build metadata (`+`) and capitals have no place in a name.
fn object_name(text: &str) -> Option<String> {
    let name: String = text.to_lowercase().replace(['+', '_'], "-");
    let is_edge = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let is_name = name.len() <= 253
        && name.starts_with(is_edge)
        && name.ends_with(is_edge)
        && name.chars().all(|c| is_edge(c) || c == '-' || c == '.');
    is_name.then_some(name)
}
