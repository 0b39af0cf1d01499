//! Whole charts, against real Helm: the same manifest and the same notes, or the same failure.

use crate::oracle;
use serde_json::{Value as Json, json};
use std::path::Path;

/// Charts with the values that each is rendered with.
fn cases() -> Vec<(&'static str, Json)> {
    vec![
        ("web", json!({})),
        (
            "web",
            json!({
                "replicaCount": 3, "nameOverride": "other", "image": {"tag": "1.2"}, "ingress": {"enabled": true,
                "className": "nginx", "annotations": {"a/b": "c"}, "hosts": [{"host": "x.example", "paths": [{"path": "/", "pathType": "Prefix"}]}],
                "tls": [{"secretName": "t", "hosts": ["x.example"]}]}, "autoscaling": {"enabled": true, "minReplicas": 2},
                "resources": {"limits": {"cpu": "100m", "memory": "1Gi"}}, "nodeSelector": {"disk": "ssd"},
                "tolerations": [{"key": "k", "operator": "Exists"}], "serviceAccount": {"create": false}, "podAnnotations": {"x": "1"},
            }),
        ),
    ]
}

fn compare(cases: &[(String, &Path, Json)]) {
    let requests: Vec<Json> = cases
        .iter()
        .map(|(_, chart, values)| json!({ "chart": chart, "values": values, "name": "demo", "namespace": "apps" }))
        .collect();
    let Some(theirs) = oracle::run(&requests) else {
        return;
    };
    for ((name, chart, values), theirs) in cases.iter().zip(theirs) {
        let ours = match oracle::load(chart) {
            Ok(chart) => oracle::render(&chart, "demo", "apps", values).map_err(|e| e.to_string()),
            Err(error) => Err(error.to_string()),
        };
        match (ours, theirs.get("error").and_then(Json::as_str)) {
            (Ok(ours), None) => {
                similar(name, theirs["manifest"].as_str().unwrap(), &ours.manifest);
                similar(name, theirs["notes"].as_str().unwrap(), &ours.notes);
            }
            (Err(ours), Some(theirs)) => assert!(
                theirs.ends_with(&ours),
                "{name}:\nhelm: {theirs}\nours: {ours}"
            ),
            (Ok(ours), Some(theirs)) => {
                panic!("{name}: helm fails: {theirs}\nours: {}", ours.manifest)
            }
            (Err(ours), None) => panic!("{name}: ours fails: {ours}"),
        }
    }
}

fn similar(name: &str, helm: &str, ours: &str) {
    if helm == ours {
        return;
    }
    let differs = helm.lines().zip(ours.lines()).position(|(a, b)| a != b);
    let at = differs.unwrap_or_else(|| helm.lines().count().min(ours.lines().count()));
    let around = |text: &str| {
        text.lines()
            .skip(at.saturating_sub(3))
            .take(8)
            .collect::<Vec<_>>()
            .join("\n")
    };
    panic!(
        "{name}: line {at} differs\n--- helm\n{}\n--- ours\n{}\n",
        around(helm),
        around(ours)
    );
}

#[test]
fn charts_render_as_in_helm() {
    let cases: Vec<_> = cases()
        .into_iter()
        .map(|(name, values)| (name, oracle::chart_dir(name), values))
        .collect();
    let cases: Vec<_> = cases
        .iter()
        .map(|(name, dir, values)| (format!("{name} {values}"), dir.as_path(), values.clone()))
        .collect();
    compare(&cases);
}

#[test]
fn the_chart_that_helm_creates_renders_as_in_helm() {
    let parent = tempfile::tempdir().unwrap();
    let Some(_) = oracle::run(&[json!({ "create": parent.path() })]) else {
        return;
    };
    let chart = parent.path().join("created");
    let values = [
        json!({}),
        json!({"ingress": {"enabled": true, "className": "nginx"}, "autoscaling": {"enabled": true}}),
        json!({"httpRoute": {"enabled": true}, "service": {"type": "NodePort"}, "volumes": [{"name": "v", "emptyDir": {}}]}),
        json!({"service": {"type": "LoadBalancer"}, "fullnameOverride": "x"}),
        json!({"image": null}),
    ];
    let cases: Vec<_> = values
        .into_iter()
        .map(|v| (format!("created {v}"), chart.as_path(), v))
        .collect();
    compare(&cases);
}
