//! The chart of hardened clusters: it renders as in real Helm, and says what is wrong with values that cannot be.

use std::path::{Path, PathBuf};

use serde_json::Value as Json;

use crate::{charts, oracle};

fn chart() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../charts/cluster-local")
}

/// Values, and for those that are refused a part of what is said.
fn cases() -> Vec<(Json, Option<String>)> {
    let cases = render::yaml::from_str(include_str!("cluster_local.yaml")).unwrap();
    let case = |c: &Json| {
        (
            c["values"].clone(),
            c["refused"].as_str().map(str::to_owned),
        )
    };
    cases.as_array().unwrap().iter().map(case).collect()
}

#[test]
fn clusters_render_as_in_helm() {
    let chart = chart();
    let cases: Vec<_> = cases()
        .into_iter()
        .map(|(values, _)| (values.to_string(), chart.as_path(), values))
        .collect();
    charts::compare(&cases);
}

#[test]
fn values_that_cannot_be_are_refused_in_words() {
    let chart = oracle::load(&chart()).unwrap();
    let mut wrong = vec![];
    for (values, refused) in cases() {
        let said = oracle::render(&chart, "demo", "apps", &values).map_err(|e| e.to_string());
        match (said, refused) {
            (Ok(_), None) => {}
            (Err(said), Some(part)) if said.contains(&part) => {}
            (Ok(_), Some(part)) => wrong.push(format!("{values}: accepted, not {part}")),
            (Err(said), _) => wrong.push(format!("{values}: {said}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A template cannot be changed, so what changes in it must change its name, and what does not must not.
#[test]
fn templates_have_new_names_when_they_change() {
    let chart = oracle::load(&chart()).unwrap();
    let names = |values: &str| {
        let values = render::yaml::from_str(values).unwrap();
        let rendered = oracle::render(&chart, "demo", "apps", &values).unwrap();
        let objects = rendered.objects.iter().map(|o| &o.value);
        let templates = objects.filter(|o| o["kind"].as_str().unwrap().ends_with("Template"));
        let mut names: Vec<String> = templates
            .map(|o| format!("{}/{}", o["kind"], o["metadata"]["name"]))
            .collect();
        names.sort();
        names
    };
    let differing = |values: &str| {
        let before = names("{}");
        let after = names(values);
        after.into_iter().filter(|n| !before.contains(n)).count()
    };
    assert_eq!(names("{}").len(), 3);
    for (values, count) in [
        ("{global: {metadata: {labels: {team: a}}}}", 0),
        (
            "{global: {controlPlane: {replicas: 5, audit: {maxAgeDays: 60}}}}",
            0,
        ),
        ("{global: {controlPlane: {cpus: 4}}}", 1),
        ("{internal: {nodePools: {def00: {replicas: 9}}}}", 0),
        ("{internal: {nodePools: {def00: {memoryMiB: 4096}}}}", 1),
        (
            "{internal: {nodePools: {def00: {customNodeLabels: [a=b]}}}}",
            1,
        ),
        (
            "{internal: {advancedConfiguration: {kubelet: {configuration: {maxPods: 50}}}}}",
            1,
        ),
    ] {
        assert_eq!(differing(values), count, "{values}");
    }
}
