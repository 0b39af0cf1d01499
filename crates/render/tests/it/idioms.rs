//! Small templates, one after the other, against real Helm: the same text, or the same failure.

use crate::oracle;
use serde_json::{Value as Json, json};

/// The templates of `idioms.tpl`: blocks between blank lines; lines that begin with `#` are comments.
fn idioms() -> Vec<String> {
    let text = include_str!("idioms.tpl");
    let blocks = text.split("\n\n").map(|block| {
        let lines: Vec<&str> = block.lines().filter(|l| !l.starts_with("# ")).collect();
        lines.join("\n")
    });
    blocks.filter(|b| !b.trim().is_empty()).collect()
}

fn ours(template: &str, values: &Json) -> Result<String, String> {
    let mut files = oracle::files(&oracle::chart_dir("idioms"));
    files.push(("templates/NOTES.txt".into(), template.as_bytes().to_vec()));
    let chart = render::Chart::from_files(files).map_err(|e| e.to_string())?;
    oracle::render(&chart, "demo", "apps", values)
        .map(|r| r.notes)
        .map_err(|e| e.to_string())
}

#[test]
fn idioms_render_as_in_helm() {
    let idioms = idioms();
    let values = json!({});
    let base = oracle::chart_dir("idioms");
    let cases: Vec<Json> = idioms
        .iter()
        .map(|t| json!({ "chart": base, "template": t, "values": values, "name": "demo", "namespace": "apps" }))
        .collect();
    let Some(theirs) = oracle::run(&cases) else {
        return;
    };
    let mut failures = String::new();
    let mut count = 0;
    for (template, theirs) in idioms.iter().zip(&theirs) {
        let ours = ours(template, &values);
        let same = match (&ours, theirs.get("error")) {
            (Ok(text), None) => theirs["text"] == *text,
            (Err(text), Some(error)) => same_failure(text, error.as_str().unwrap()),
            _ => false,
        };
        if !same {
            count += 1;
            let shown = theirs
                .get("error")
                .or(theirs.get("text"))
                .and_then(Json::as_str)
                .unwrap_or_default();
            failures += &format!(
                "\n{template}\n  helm: {shown:?}\n  ours: {:?}\n",
                ours.unwrap_or_else(|e| e)
            );
        }
    }
    assert!(
        failures.is_empty(),
        "{count} of {} differ:\n{failures}",
        idioms.len()
    );
}

/// The package puts a few words before the failure.
fn same_failure(ours: &str, helm: &str) -> bool {
    helm == ours || helm.ends_with(&format!(": {ours}"))
}
