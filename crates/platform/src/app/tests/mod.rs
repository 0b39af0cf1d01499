//! Decisions about Apps: a small world in YAML, and what is planned and shown.

mod merge;

use std::collections::BTreeMap;
use std::sync::Arc;

use api::application::app::reasons;
use api::application::{App, ObjectKey};
use expect_test::{Expect, expect};
use render::Chart;
use render::release::{Info, Release, Status};
use runtime::{Outcome, Reconciler, Wait};
use serde_json::{Value, json};

use super::values::{self, Kind, Layer};
use super::{AppController, Lifetime, Target, World};
use crate::chart::{History, Observed, Standing, UNINSTALL, Wanted};
use crate::repository::{FetchError, Fetched, Index};

const NOW: &str = "2026-01-01T00:00:00Z";
const INDEX: &str = "entries: {hello: [{version: 1.0.0, urls: [hello-1.0.0.tgz]}]}";

fn app(extra: &Value) -> App {
    let mut app = json!({
        "apiVersion": "application.giantswarm.io/v1alpha1", "kind": "App",
        "metadata": {"name": "prod-hello", "namespace": "org-acme", "uid": "a1", "labels": {"giantswarm.io/cluster": "prod"}},
        "spec": {
            "catalog": "acme", "name": "hello", "version": "v1.0.0", "namespace": "hello", "kubeConfig": {"inCluster": false},
        },
    });
    merge(&mut app, extra);
    serde_json::from_value(app).unwrap()
}

fn merge(into: &mut Value, extra: &Value) {
    *into = render::values::merge(into, extra);
}

fn catalog() -> Arc<api::application::Catalog> {
    let catalog = json!({
        "apiVersion": "application.giantswarm.io/v1alpha1", "kind": "Catalog",
        "metadata": {"name": "acme", "namespace": "default"},
        "spec": {"title": "", "description": "", "storage": {"type": "helm", "URL": "https://charts.acme.example"}},
    });
    Arc::new(serde_json::from_value(catalog).unwrap())
}

fn ready<T>(value: T) -> Option<Fetched<T>> {
    Some(Fetched::Ready {
        value: Arc::new(value),
        stale: None,
    })
}

fn chart(version: &str) -> Chart {
    let metadata = format!("apiVersion: v2\nname: hello\nversion: {version}\nappVersion: '9'\n");
    Chart::from_files([("Chart.yaml".to_owned(), metadata.into_bytes())]).unwrap()
}

/// A world in which all is there and nothing is installed.
fn world() -> World {
    World {
        app: app(&json!({})),
        catalog: Some(catalog()),
        layers: vec![],
        lifetime: Lifetime::Lives,
        target: here(History::default(), None),
        index: ready(Index::parse(INDEX, "https://charts.acme.example").unwrap()),
        chart: ready(chart("1.0.0")),
        standing: Standing::Idle,
    }
}

fn here(history: History, owner: Option<(&str, &str)>) -> Target {
    let chart = owner.map(|(namespace, name)| {
        let chart = json!({
            "apiVersion": "application.giantswarm.io/v1alpha1", "kind": "Chart",
            "metadata": {"name": "hello", "annotations": {
                "chart-operator.giantswarm.io/app-name": name, "chart-operator.giantswarm.io/app-namespace": namespace,
            }},
            "spec": {"name": "hello", "namespace": "hello", "tarballURL": "", "version": ""},
        });
        serde_json::from_value(chart).unwrap()
    });
    Target::Here {
        observed: Box::new(Observed {
            chart,
            history,
            ..Observed::default()
        }),
        site: None,
    }
}

fn away(reason: &'static str) -> Target {
    Target::Away(Wait {
        reason,
        message: "cluster `prod`: unreachable since noon".to_owned(),
    })
}

fn history(version: &str, status: Status, is_ours: bool) -> History {
    let release = Release {
        name: "hello".to_owned(),
        chart: chart(version),
        info: Info {
            status,
            last_deployed: Some("2025-12-31T23:55:00Z".parse().unwrap()),
            description: "what happened".to_owned(),
            ..Info::default()
        },
        version: 1,
        labels: is_ours
            .then(|| ("apiary.io/app-uid".to_owned(), "a1".to_owned()))
            .into_iter()
            .collect(),
        ..Release::default()
    };
    History {
        revisions: vec![(1, "sh.helm.release.v1.hello.v1".to_owned())],
        deployed: (status == Status::Deployed).then(|| release.clone()),
        latest: Some(release),
    }
}

fn failed(fingerprint: String, ago: i64) -> Standing {
    let now: jiff::Timestamp = NOW.parse().unwrap();
    let why = Wait {
        reason: reasons::RENDER_FAILED,
        message: "hello/templates/a.yaml:3:5: no such value".to_owned(),
    };
    Standing::Failed {
        fingerprint,
        why,
        failures: 2,
        at: now - jiff::SignedDuration::from_secs(ago),
    }
}

fn fingerprint(world: &World) -> String {
    let merged = values::merge(&world.layers).unwrap();
    Wanted::of(&world.app, merged).fingerprint("https://charts.acme.example/hello-1.0.0.tgz")
}

fn check(world: &World, expect: &Expect) {
    let now = NOW.parse().unwrap();
    let plan = AppController::plan(world, now);
    let outcome = Outcome {
        done: plan.changes.len(),
        failure: None,
    };
    let status = AppController::status(world, &plan, &outcome, now).unwrap();
    expect.assert_eq(&format!("{plan}status {status}\n"));
}

#[test]
fn a_new_app_is_installed() {
    check(
        &world(),
        &expect![[r#"
        act Deploy
        wait Installing: installing release `hello` in namespace `hello`
        status {"appVersion":"","release":{"reason":"installing release `hello` in namespace `hello`","status":"not-installed"},"version":""}
    "#]],
    );
}

#[test]
fn a_current_release_needs_no_repository() {
    let target = here(
        history("1.0.0", Status::Deployed, true),
        Some(("org-acme", "prod-hello")),
    );
    check(
        &World {
            target,
            index: None,
            chart: None,
            ..world()
        },
        &expect![[r#"
        act Record
        status {"appVersion":"9","release":{"lastDeployed":"2025-12-31T23:55:00Z","reason":null,"status":"deployed"},"version":"1.0.0"}
    "#]],
    );
}

#[test]
fn another_version_or_other_values_are_an_upgrade() {
    let target = || here(history("0.9.0", Status::Deployed, true), None);
    check(
        &World {
            target: target(),
            ..world()
        },
        &expect![[r#"
        act Deploy
        wait Upgrading: upgrading release `hello` in namespace `hello`
        status {"appVersion":"9","release":{"lastDeployed":"2025-12-31T23:55:00Z","reason":"upgrading release `hello` in namespace `hello`","status":"deployed"},"version":"0.9.0"}
    "#]],
    );
    let target = here(history("1.0.0", Status::Deployed, true), None);
    let layers = vec![layer(Kind::ConfigMap, "v", Some("a: 1"))];
    check(
        &World {
            target,
            layers,
            ..world()
        },
        &expect![[r#"
        act Deploy
        wait Upgrading: upgrading release `hello` in namespace `hello`
        status {"appVersion":"9","release":{"lastDeployed":"2025-12-31T23:55:00Z","reason":"upgrading release `hello` in namespace `hello`","status":"deployed"},"version":"1.0.0"}
    "#]],
    );
}

#[test]
fn what_an_app_names_must_exist() {
    check(
        &World {
            catalog: None,
            ..world()
        },
        &expect![[r#"
        wait CatalogNotFound: catalog `acme` not found
        status {"appVersion":"","release":{"reason":"catalog `acme` not found","status":"resource-not-found"},"version":""}
    "#]],
    );
    let layers = vec![layer(Kind::ConfigMap, "user", None)];
    check(
        &World { layers, ..world() },
        &expect![[r#"
        wait ConfigNotFound: configmap `user` in namespace `org-acme` not found
        status {"appVersion":"","release":{"reason":"configmap `user` in namespace `org-acme` not found","status":"configmap-merge-failed"},"version":""}
    "#]],
    );
    let layers = vec![layer(Kind::Secret, "user", Some("a: {"))];
    check(
        &World { layers, ..world() },
        &expect![[r#"
        wait ConfigInvalid: secret `user` in namespace `org-acme`: values are not YAML
        status {"appVersion":"","release":{"reason":"secret `user` in namespace `org-acme`: values are not YAML","status":"secret-merge-failed"},"version":""}
    "#]],
    );
    let invalid = app(&json!({"metadata": {"labels": null}}));
    check(
        &World {
            app: invalid,
            ..world()
        },
        &expect![[r#"
        wait Invalid: metadata.labels: Required value: label `giantswarm.io/cluster` not found
        status {"appVersion":"","release":{"reason":"metadata.labels: Required value: label `giantswarm.io/cluster` not found","status":"resource-not-found"},"version":""}
    "#]],
    );
}

#[test]
fn catalogs_that_do_not_have_it_are_told_apart() {
    check(
        &World {
            index: Some(Fetched::Loading),
            ..world()
        },
        &expect![[r#"
        wait CatalogNotReady: catalog `acme` is being read
        status {"appVersion":"","release":{"reason":"catalog `acme` is being read","status":"index-not-found"},"version":""}
    "#]],
    );
    let error =
        FetchError::Unreachable("GET https://charts.acme.example/index.yaml: refused".to_owned());
    check(
        &World {
            index: Some(Fetched::Failed(error)),
            ..world()
        },
        &expect![[r#"
        wait CatalogNotReady: catalog `acme`: GET https://charts.acme.example/index.yaml: refused
        status {"appVersion":"","release":{"reason":"catalog `acme`: GET https://charts.acme.example/index.yaml: refused","status":"index-not-found"},"version":""}
    "#]],
    );
    check(
        &World {
            index: ready(Index::default()),
            ..world()
        },
        &expect![[r#"
        wait CatalogEmpty: catalog `acme` has no charts
        status {"appVersion":"","release":{"reason":"catalog `acme` has no charts","status":"catalog-empty"},"version":""}
    "#]],
    );
    for spec in [json!({"name": "other"}), json!({"version": "3.0.0"})] {
        let app = app(&json!({"spec": spec}));
        let expect = if spec["name"].is_null() {
            expect![[r#"
            wait VersionNotFound: catalog `acme` has chart `hello`, but not in version `3.0.0`
            status {"appVersion":"","release":{"reason":"catalog `acme` has chart `hello`, but not in version `3.0.0`","status":"app-version-not-found"},"version":""}
        "#]]
        } else {
            expect![[r#"
            wait AppNotFound: catalog `acme` has no chart `other`
            status {"appVersion":"","release":{"reason":"catalog `acme` has no chart `other`","status":"app-not-found"},"version":""}
        "#]]
        };
        check(&World { app, ..world() }, &expect);
    }
    check(
        &World {
            chart: Some(Fetched::Loading),
            ..world()
        },
        &expect![[r#"
        wait ChartLoading: fetching https://charts.acme.example/hello-1.0.0.tgz
        status {"appVersion":"","release":{"reason":"fetching https://charts.acme.example/hello-1.0.0.tgz","status":"not-installed"},"version":""}
    "#]],
    );
    let error = FetchError::NotFound("not found".to_owned());
    check(
        &World {
            chart: Some(Fetched::Failed(error)),
            ..world()
        },
        &expect![[r#"
        wait ChartPullFailed: pulling chart `https://charts.acme.example/hello-1.0.0.tgz` failed: not found
        status {"appVersion":"","release":{"reason":"pulling chart `https://charts.acme.example/hello-1.0.0.tgz` failed: not found","status":"chart-pull-failed"},"version":""}
    "#]],
    );
}

#[test]
fn a_cluster_out_of_reach_keeps_what_was_known() {
    let app = app(
        &json!({"status": {"version": "0.9.0", "appVersion": "8", "release": {"status": "deployed"}}}),
    );
    let target = away(reasons::CLUSTER_UNREACHABLE);
    check(
        &World {
            app,
            target,
            ..world()
        },
        &expect![[r#"
        wait ClusterUnreachable: cluster `prod`: unreachable since noon
        status {"appVersion":"8","release":{"lastDeployed":null,"reason":"cluster `prod`: unreachable since noon","status":"deployed"},"version":"0.9.0"}
    "#]],
    );
    check(
        &World {
            lifetime: Lifetime::Deleting,
            target: away(reasons::CLUSTER_DELETING),
            ..world()
        },
        &expect![[r#"
        wait ClusterDeleting: cluster `prod` is being deleted
        status {"appVersion":"","release":{"lastDeployed":null,"reason":"cluster `prod` is being deleted","status":"not-installed"},"version":""}
    "#]],
    );
}

#[test]
fn a_release_of_another_app_is_left_alone() {
    let target = here(
        history("1.0.0", Status::Deployed, true),
        Some(("org-other", "prod-hello")),
    );
    check(
        &World { target, ..world() },
        &expect![[r#"
            wait ReleaseTaken: release `hello` on this cluster belongs to App org-other/prod-hello
            again in 30s
            status {"appVersion":"9","release":{"lastDeployed":"2025-12-31T23:55:00Z","reason":"release `hello` on this cluster belongs to App org-other/prod-hello","status":"already-exists"},"version":"1.0.0"}
        "#]],
    );
}

#[test]
fn a_running_operation_is_waited_for() {
    check(
        &World {
            standing: Standing::Running,
            ..world()
        },
        &expect![[r#"
        wait Installing: installing release `hello` in namespace `hello`
        status {"appVersion":"","release":{"reason":"installing release `hello` in namespace `hello`","status":"not-installed"},"version":""}
    "#]],
    );
    let theirs = here(history("1.0.0", Status::PendingUpgrade, false), None);
    check(
        &World {
            target: theirs,
            ..world()
        },
        &expect![[r#"
        wait ReleaseBusy: release `hello` is pending-upgrade by somebody else
        again in 300s
        status {"appVersion":"9","release":{"lastDeployed":"2025-12-31T23:55:00Z","reason":"release `hello` is pending-upgrade by somebody else","status":"pending-upgrade"},"version":"1.0.0"}
    "#]],
    );
    let interrupted = here(history("1.0.0", Status::PendingInstall, true), None);
    check(
        &World {
            target: interrupted,
            ..world()
        },
        &expect![[r#"
        act Deploy
        wait Installing: installing release `hello` in namespace `hello`
        status {"appVersion":"9","release":{"lastDeployed":"2025-12-31T23:55:00Z","reason":"installing release `hello` in namespace `hello`","status":"pending-install"},"version":"1.0.0"}
    "#]],
    );
}

#[test]
fn a_failure_is_not_repeated_at_once() {
    let mut world = world();
    let same = fingerprint(&world);
    world.standing = failed(same.clone(), 20);
    check(
        &world,
        &expect![[r#"
        wait RenderFailed: hello/templates/a.yaml:3:5: no such value
        again in 40s
        status {"appVersion":"","release":{"reason":"hello/templates/a.yaml:3:5: no such value","status":"invalid-manifest"},"version":""}
    "#]],
    );
    world.standing = failed(same, 61);
    check(
        &world,
        &expect![[r#"
        act Deploy
        wait Installing: installing release `hello` in namespace `hello`
        status {"appVersion":"","release":{"reason":"installing release `hello` in namespace `hello`","status":"not-installed"},"version":""}
    "#]],
    );
    world.standing = failed("other values".to_owned(), 20);
    check(
        &world,
        &expect![[r#"
        act Deploy
        wait Installing: installing release `hello` in namespace `hello`
        status {"appVersion":"","release":{"reason":"installing release `hello` in namespace `hello`","status":"not-installed"},"version":""}
    "#]],
    );
}

#[test]
fn annotations_hold_back_changes() {
    let annotated =
        |key: &str, value: &str| app(&json!({"metadata": {"annotations": {key: value}}}));
    let until = "app-operator.giantswarm.io/cordon-until";
    check(
        &World {
            app: annotated(until, "2026-01-01T00:01:00Z"),
            ..world()
        },
        &expect![[r#"
        wait Cordoned: cordoned until 2026-01-01T00:01:00Z: no reason given
        again in 60s
        status {"appVersion":"","release":{"reason":"cordoned until 2026-01-01T00:01:00Z: no reason given","status":"cordoned"},"version":""}
    "#]],
    );
    check(
        &World {
            app: annotated(until, "soon"),
            ..world()
        },
        &expect![[r#"
        wait CordonInvalid: annotation app-operator.giantswarm.io/cordon-until must be a time such as 2026-01-31T12:00:00Z, not "soon"
        status {"appVersion":"","release":{"reason":"annotation app-operator.giantswarm.io/cordon-until must be a time such as 2026-01-31T12:00:00Z, not \"soon\"","status":"cordon-failed"},"version":""}
    "#]],
    );
    check(
        &World {
            app: annotated("app-operator.giantswarm.io/paused", "true"),
            ..world()
        },
        &expect![[r#"
        wait Paused: annotation app-operator.giantswarm.io/paused stops all work on it
        status {"appVersion":"","release":{"reason":"annotation app-operator.giantswarm.io/paused stops all work on it","status":"not-installed"},"version":""}
    "#]],
    );
}

fn deleting(target: Target) -> World {
    let app = app(&json!({
        "metadata": {"deletionTimestamp": NOW},
        "status": {"version": "1.0.0", "appVersion": "", "release": {"status": "deployed"}},
    }));
    World {
        app,
        catalog: None,
        index: None,
        chart: None,
        target,
        ..world()
    }
}

#[test]
fn deletion_removes_the_release_first() {
    let installed = || {
        here(
            history("1.0.0", Status::Deployed, true),
            Some(("org-acme", "prod-hello")),
        )
    };
    check(
        &deleting(installed()),
        &expect![[r#"
        act Uninstall
        wait Uninstalling: removing release `hello`
        status {"appVersion":"9","release":{"lastDeployed":"2025-12-31T23:55:00Z","reason":"removing release `hello`","status":"deployed"},"version":"1.0.0"}
    "#]],
    );
    check(
        &World {
            standing: Standing::Running,
            ..deleting(installed())
        },
        &expect![[r#"
        wait Uninstalling: removing release `hello`
        status {"appVersion":"9","release":{"lastDeployed":"2025-12-31T23:55:00Z","reason":"removing release `hello`","status":"deployed"},"version":"1.0.0"}
    "#]],
    );
    check(
        &World {
            standing: failed(UNINSTALL.to_owned(), 5),
            ..deleting(installed())
        },
        &expect![[r#"
        wait RenderFailed: hello/templates/a.yaml:3:5: no such value
        again in 55s
        status {"appVersion":"9","release":{"lastDeployed":"2025-12-31T23:55:00Z","reason":"hello/templates/a.yaml:3:5: no such value","status":"invalid-manifest"},"version":"1.0.0"}
    "#]],
    );
    check(
        &deleting(here(History::default(), Some(("org-acme", "prod-hello")))),
        &expect![[r#"
        act Forget
        finished
        status {"appVersion":"","release":{"status":"not-installed"},"version":""}
    "#]],
    );
    check(
        &deleting(here(History::default(), None)),
        &expect![[r#"
        finished
        status {"appVersion":"","release":{"status":"not-installed"},"version":""}
    "#]],
    );
}

#[test]
fn deletion_leaves_what_is_not_ours() {
    let theirs = here(
        history("1.0.0", Status::Deployed, true),
        Some(("org-other", "x")),
    );
    check(
        &deleting(theirs),
        &expect![[r#"
        finished
        status {"appVersion":"9","release":{"lastDeployed":"2025-12-31T23:55:00Z","reason":null,"status":"deployed"},"version":"1.0.0"}
    "#]],
    );
    check(
        &deleting(here(history("1.0.0", Status::Deployed, false), None)),
        &expect![[r#"
        finished
        status {"appVersion":"9","release":{"lastDeployed":"2025-12-31T23:55:00Z","reason":null,"status":"deployed"},"version":"1.0.0"}
    "#]],
    );
}

#[test]
fn deletion_waits_only_for_clusters_that_live() {
    let gone = || deleting(away(reasons::CLUSTER_UNREACHABLE));
    check(
        &gone(),
        &expect![[r#"
        wait ClusterUnreachable: cluster `prod`: unreachable since noon
        status {"appVersion":"","release":{"lastDeployed":null,"reason":"cluster `prod`: unreachable since noon","status":"deployed"},"version":"1.0.0"}
    "#]],
    );
    check(
        &World {
            lifetime: Lifetime::Deleting,
            ..gone()
        },
        &expect![[r#"
        finished
        status {"appVersion":"","release":{"lastDeployed":null,"status":"deployed"},"version":"1.0.0"}
    "#]],
    );
    check(
        &World {
            lifetime: Lifetime::Unknown,
            ..gone()
        },
        &expect![[r#"
            wait ClusterUnreachable: cluster `prod`: unreachable since noon
            status {"appVersion":"","release":{"lastDeployed":null,"reason":"cluster `prod`: unreachable since noon","status":"deployed"},"version":"1.0.0"}
        "#]],
    );
    let target = away(reasons::KUBECONFIG_NOT_FOUND);
    check(
        &World {
            lifetime: Lifetime::Unknown,
            ..deleting(target)
        },
        &expect![[r#"
            finished
            status {"appVersion":"","release":{"lastDeployed":null,"status":"deployed"},"version":"1.0.0"}
        "#]],
    );
    let never = app(&json!({"metadata": {"deletionTimestamp": NOW}}));
    check(
        &World {
            app: never,
            ..gone()
        },
        &expect![[r#"
        finished
        status {"appVersion":"","release":{"lastDeployed":null,"status":"not-installed"},"version":""}
    "#]],
    );
}

fn layer(kind: Kind, name: &str, yaml: Option<&str>) -> Layer {
    let key = ObjectKey {
        name: name.to_owned(),
        namespace: "org-acme".to_owned(),
    };
    let data = yaml.map(|yaml| BTreeMap::from([("values".to_owned(), yaml.as_bytes().to_vec())]));
    Layer { kind, key, data }
}
