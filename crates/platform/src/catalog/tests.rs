//! Decisions about entries of catalogs.

use std::sync::Arc;

use expect_test::{Expect, expect};
use runtime::{Change, Outcome, Reconciler};
use serde_json::json;

use super::{CatalogController, World};
use crate::repository::{FetchError, Fetched, Index};

fn index(yaml: &str) -> Fetched<Index> {
    let value = Arc::new(Index::parse(yaml, "https://charts.acme.example/x").unwrap());
    Fetched::Ready { value, stale: None }
}

fn check_spec(
    namespace: &str,
    repository: &str,
    index: Fetched<Index>,
    entries: &[&str],
    expect: &Expect,
) {
    let catalog = json!({
        "apiVersion": "application.giantswarm.io/v1alpha1", "kind": "Catalog",
        "metadata": {"name": "acme", "namespace": namespace, "uid": "c1"},
        "spec": {"title": "", "description": "", "repositories": [{"type": "helm", "URL": repository}]},
    });
    let entries = entries.iter().map(|name| {
        let entry = json!({
            "apiVersion": "application.giantswarm.io/v1alpha1", "kind": "AppCatalogEntry",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"appName": "x", "appVersion": "", "version": "1", "catalog": {}, "chart": {"apiVersion": "v1"}},
        });
        Arc::new(serde_json::from_value(entry).unwrap())
    });
    let world = World {
        catalog: serde_json::from_value(catalog).unwrap(),
        index,
        entries: entries.collect(),
    };
    let now = "2026-01-01T00:00:00Z".parse().unwrap();
    let plan = CatalogController::plan(&world, now);
    let status = CatalogController::status(&world, &plan, &Outcome::default(), now).unwrap();
    let latest = plan.changes.iter().filter_map(|change| match change {
        Change::Apply(object) => {
            let labels = object.metadata.labels.as_ref().unwrap();
            Some(format!(
                "{} latest={}\n",
                object.metadata.name.as_ref().unwrap(),
                labels["latest"]
            ))
        }
        _ => None,
    });
    let latest: String = latest.collect();
    expect.assert_eq(&format!("{plan}{latest}status {status}\n"));
}

fn check(index: Fetched<Index>, entries: &[&str], expect: &Expect) {
    check_spec(
        "default",
        "https://charts.acme.example/x",
        index,
        entries,
        expect,
    );
}

#[test]
fn the_newest_versions_and_the_latest_are_listed() {
    let mut yaml = "entries:\n  hello:\n".to_owned();
    for (version, day) in [
        ("2.0.0-rc.1", 1),
        ("1.9.0", 2),
        ("1.0.1", 3),
        ("1.0.2", 4),
        ("1.0.3", 5),
        ("1.0.4", 6),
        ("1.0.5", 7),
    ] {
        yaml += &format!(
            "  - {{name: hello, version: {version}, created: '2026-01-0{day}T00:00:00Z', urls: [h-{version}.tgz]}}\n"
        );
    }
    check(
        index(&yaml),
        &["acme-hello-0.9.0"],
        &expect![[r#"
        apply AppCatalogEntry default/acme-hello-1.0.5
        apply AppCatalogEntry default/acme-hello-1.0.4
        apply AppCatalogEntry default/acme-hello-1.0.3
        apply AppCatalogEntry default/acme-hello-1.0.2
        apply AppCatalogEntry default/acme-hello-1.0.1
        apply AppCatalogEntry default/acme-hello-2.0.0-rc.1
        delete AppCatalogEntry default/acme-hello-0.9.0
        acme-hello-1.0.5 latest=false
        acme-hello-1.0.4 latest=false
        acme-hello-1.0.3 latest=false
        acme-hello-1.0.2 latest=false
        acme-hello-1.0.1 latest=false
        acme-hello-2.0.0-rc.1 latest=true
        status {"apps":1}
    "#]],
    );
}

#[test]
fn what_cannot_be_an_object_is_left_out() {
    let yaml = "entries: {hello: [{version: 1.0.0+b1, urls: [a.tgz]}, {version: '1.0.0 x', urls: [b.tgz]}, {version: 1.2.0}]}";
    check(
        index(yaml),
        &[],
        &expect![[r#"
        apply AppCatalogEntry default/acme-hello-1.0.0-b1
        acme-hello-1.0.0-b1 latest=true
        status {"apps":1}
    "#]],
    );
}

#[test]
fn an_index_that_cannot_be_read_leaves_the_entries() {
    let entries = &["acme-hello-1.0.0"];
    check(
        Fetched::Loading,
        entries,
        &expect![[r#"
        wait CatalogLoading: the index is being read
        status {"apps":null}
    "#]],
    );
    let error = FetchError::Unreachable(
        "GET https://charts.acme.example/x/index.yaml: connection refused".to_owned(),
    );
    check(
        Fetched::Failed(error),
        entries,
        &expect![[r#"
        wait CatalogUnreachable: GET https://charts.acme.example/x/index.yaml: connection refused
        status {"apps":null}
    "#]],
    );
    let error =
        FetchError::Invalid("https://charts.acme.example/x/index.yaml: no entries".to_owned());
    check(
        Fetched::Failed(error.clone()),
        entries,
        &expect![[r#"
        wait IndexInvalid: https://charts.acme.example/x/index.yaml: no entries
        status {"apps":null}
    "#]],
    );
    let value = Arc::new(
        Index::parse(
            "entries: {a: [{version: 1.0.0, urls: [a.tgz]}]}",
            "https://a.example",
        )
        .unwrap(),
    );
    check(
        Fetched::Ready {
            value,
            stale: Some(error),
        },
        &[],
        &expect![[r#"
        apply AppCatalogEntry default/acme-a-1.0.0
        wait IndexInvalid: https://charts.acme.example/x/index.yaml: no entries; what was read before is used further
        acme-a-1.0.0 latest=true
        status {"apps":1}
    "#]],
    );
}

#[test]
fn an_empty_index_is_said() {
    check(
        index("entries: {}"),
        &["acme-hello-1.0.0"],
        &expect![[r#"
        delete AppCatalogEntry default/acme-hello-1.0.0
        wait CatalogEmpty: the index has no charts
        status {"apps":0}
    "#]],
    );
}

#[test]
fn directories_are_for_the_platforms_own_catalogs() {
    check_spec(
        "org-acme",
        "file:///etc",
        Fetched::Loading,
        &[],
        &expect![[r#"
        wait NoRepository: only Catalogs in namespaces default and giantswarm may name directories
        status {"apps":null}
    "#]],
    );
}
