//! Whole charts, against real Helm: the same manifest and the same notes, or the same failure.

use crate::oracle;
use serde_json::{Value as Json, json};
use std::path::Path;

/// Charts with the values that each is rendered with.
fn cases() -> Vec<(String, Json)> {
    let cases = render::yaml::from_str(include_str!("charts.yaml")).unwrap();
    let case = |c: &Json| {
        (
            c["chart"].as_str().unwrap().to_string(),
            c["values"].clone(),
        )
    };
    cases.as_array().unwrap().iter().map(case).collect()
}

pub(crate) fn compare(cases: &[(String, &Path, Json)]) {
    let requests: Vec<Json> = cases
        .iter()
        .map(|(_, chart, values)| json!({ "chart": chart, "values": values, "name": "demo", "namespace": "apps" }))
        .collect();
    let Some(theirs) = oracle::run(&requests) else {
        return;
    };
    let mut failures = Vec::new();
    for ((name, chart, values), theirs) in cases.iter().zip(theirs) {
        let ours = match oracle::load(chart) {
            Ok(chart) => oracle::render(&chart, "demo", "apps", values).map_err(|e| e.to_string()),
            Err(error) => Err(error.to_string()),
        };
        let same = match (ours, theirs.get("error").and_then(Json::as_str)) {
            (Ok(ours), None) => {
                let text = |key: &str| theirs[key].as_str().unwrap().to_string();
                similar(&text("manifest"), &ours.manifest)
                    .and_then(|()| similar(&text("notes"), &ours.notes))
            }
            (Err(ours), Some(theirs)) if same_failure(&ours, theirs) => Ok(()),
            (Err(ours), theirs) => Err(format!("helm: {theirs:?}\nours fails: {ours}")),
            (Ok(ours), Some(theirs)) => {
                Err(format!("helm fails: {theirs}\nours: {}", ours.manifest))
            }
        };
        failures.extend(same.err().map(|why| format!("{name}: {why}\n")));
    }
    assert!(
        failures.is_empty(),
        "{} of {} differ:\n{}",
        failures.len(),
        cases.len(),
        failures.join("\n")
    );
}

/// The package may put a few words before the failure. The schema's messages come in any order, and those of the YAML
/// parser are its own.
fn same_failure(ours: &str, helm: &str) -> bool {
    let sorted = |text: &str| {
        let mut lines: Vec<String> = text.lines().map(String::from).collect();
        lines.sort_unstable();
        lines
    };
    match ours.split_once("converting YAML to JSON: yaml: ") {
        Some((ours, _)) => helm.contains(ours),
        None if ours.contains("schema(s)") => sorted(helm) == sorted(ours),
        None => helm.ends_with(ours),
    }
}

fn similar(helm: &str, ours: &str) -> Result<(), String> {
    if helm == ours {
        return Ok(());
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
    Err(format!(
        "line {at} differs\n--- helm\n{}\n--- ours\n{}",
        around(helm),
        around(ours)
    ))
}

#[test]
fn charts_render_as_in_helm() {
    let cases: Vec<_> = cases()
        .into_iter()
        .map(|(name, values)| (oracle::chart_dir(&name), name, values))
        .collect();
    let cases: Vec<_> = cases
        .iter()
        .map(|(dir, name, values)| (format!("{name} {values}"), dir.as_path(), values.clone()))
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

/// What `lookup` is asked, and one answer.
struct OneSecret;

impl render::Lookup for OneSecret {
    fn lookup(
        &self,
        api_version: &str,
        kind: &str,
        namespace: &str,
        name: &str,
    ) -> Result<Option<Json>, String> {
        match (api_version, kind, namespace, name) {
            ("v1", "Secret", "apps", "kept") => Ok(Some(json!({ "data": { "password": "b2xk" } }))),
            ("v1", "Secret", "apps", "hidden") => Err("secrets \"hidden\" is forbidden".into()),
            _ => Ok(None),
        }
    }
}

fn rendered(
    template: &str,
    seed: u8,
    lookup: &dyn render::Lookup,
) -> Result<String, render::Error> {
    let files = [
        ("Chart.yaml", "apiVersion: v2\nname: one\nversion: 1.0.0\n"),
        ("templates/NOTES.txt", template),
    ];
    let chart =
        render::Chart::from_files(files.map(|(n, t)| (n.to_string(), t.as_bytes().to_vec())))
            .unwrap();
    let release = render::ReleaseContext {
        name: "demo".into(),
        namespace: "apps".into(),
        revision: 2,
        is_install: false,
        is_upgrade: true,
        now: "2026-01-02T03:04:05Z".parse().unwrap(),
        seed: [seed; 32],
    };
    render::template(
        &chart,
        &release,
        &json!({}),
        &render::Capabilities::default(),
        lookup,
    )
    .map(|r| r.notes)
}

#[test]
fn a_lookup_keeps_what_the_cluster_has() {
    let template = r#"{{ $old := lookup "v1" "Secret" .Release.Namespace "kept" -}}
        {{ $old.data.password | default (randAlphaNum 8 | b64enc) }} {{ empty (lookup "v1" "Secret" "apps" "gone") }}"#;
    assert_eq!(
        rendered(template, 1, &OneSecret).unwrap().trim(),
        "b2xk true"
    );
    let error = rendered(
        r#"{{ lookup "v1" "Secret" "apps" "hidden" }}"#,
        1,
        &OneSecret,
    )
    .unwrap_err()
    .to_string();
    assert!(
        error.ends_with("error calling lookup: secrets \"hidden\" is forbidden"),
        "{error}"
    );
}

#[test]
fn randomness_comes_from_the_seed_and_time_from_the_caller() {
    let template = r#"{{ randAlphaNum 16 }} {{ uuidv4 }} {{ shuffle "abcdefgh" }} {{ randInt 0 1000000 }} {{ now | date "2006-01-02T15:04:05Z07:00" }}
        {{ (genCA "c" 1).Key }} {{ genPrivateKey "ed25519" }} {{ bcrypt "x" }} {{ encryptAES "k" "v" }}"#;
    let first = rendered(template, 1, &render::NoCluster).unwrap();
    assert_eq!(first, rendered(template, 1, &render::NoCluster).unwrap());
    let second = rendered(template, 2, &render::NoCluster).unwrap();
    let pairs = first.split_whitespace().zip(second.split_whitespace());
    let same: Vec<&str> = pairs
        .filter(|(a, b)| a == b && !a.contains('-') && *a != "KEY")
        .map(|(a, _)| a)
        .collect();
    assert!(
        same.iter().all(|word| ["EC", "PRIVATE"].contains(word)),
        "{same:?}"
    );
    assert!(first.contains("2026-01-02T03:04:05Z"));
}
