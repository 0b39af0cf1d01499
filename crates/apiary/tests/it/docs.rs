//! What the documents promise is there: links, the sequence of decisions, and the shape of the files people read first.

use std::collections::BTreeSet;

use crate::source::{File, files, root};

/// The documents of the repository.
fn documents() -> Vec<File> {
    let all = files(".", "md");
    all.into_iter()
        .map(|file| File {
            path: file.path.trim_start_matches("./").to_owned(),
            text: file.text,
        })
        .filter(|file| !file.path.contains("/tests/"))
        .collect()
}

/// Targets of the links in a document, code excepted.
fn links(text: &str) -> Vec<String> {
    let mut found = vec![];
    let mut fenced = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        if fenced || line.starts_with("    ") {
            continue;
        }
        let prose: String = line.split('`').step_by(2).collect::<Vec<_>>().join("``");
        for rest in prose.split("](").skip(1) {
            if let Some((target, _)) = rest.split_once(')') {
                found.push(target.to_owned());
            }
        }
    }
    found
}

/// The anchors that the headings of a document make.
fn anchors(text: &str) -> BTreeSet<String> {
    text.lines()
        .filter(|line| line.starts_with('#'))
        .map(|line| {
            let title = line.trim_start_matches('#').trim().to_lowercase();
            title
                .chars()
                .filter(|c| c.is_alphanumeric() || *c == ' ' || *c == '-' || *c == '_')
                .map(|c| if c == ' ' { '-' } else { c })
                .collect()
        })
        .collect()
}

#[test]
fn links_lead_somewhere() {
    let mut broken = vec![];
    for file in documents() {
        for link in links(&file.text) {
            if link.starts_with("http://") || link.starts_with("https://") {
                continue;
            }
            let (path, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let folder = root().join(&file.path).parent().unwrap().to_owned();
            let target = if path.is_empty() {
                root().join(&file.path)
            } else {
                folder.join(path)
            };
            let is_there = target.exists()
                && (anchor.is_empty()
                    || anchors(&std::fs::read_to_string(&target).unwrap()).contains(anchor));
            if !is_there {
                broken.push(format!("{}: {link}", file.path));
            }
        }
    }
    assert!(
        broken.is_empty(),
        "links to nothing:\n{}",
        broken.join("\n")
    );
}

#[test]
fn decisions_are_numbered_and_complete() {
    let decisions: Vec<File> = documents()
        .into_iter()
        .filter(|file| file.path.starts_with("docs/adr/0"))
        .collect();
    assert!(!decisions.is_empty());
    let index = std::fs::read_to_string(root().join("docs/adr/README.md")).unwrap();
    let mut wrong = vec![];
    for (at, file) in decisions.iter().enumerate() {
        let name = file.path.rsplit('/').next().unwrap();
        if !name.starts_with(&format!("{:04}-", at + 1)) {
            wrong.push(format!("{name} is not number {}", at + 1));
        }
        if !index.contains(&format!("({name})")) {
            wrong.push(format!("{name} is not in docs/adr/README.md"));
        }
        for part in [
            "## Context",
            "## Decision",
            "## Alternatives",
            "## Consequences",
            "## What would change our mind",
        ] {
            if !file.text.contains(part) {
                wrong.push(format!("{name} has no {part:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_first_documents_keep_their_shape() {
    let read = |name: &str| std::fs::read_to_string(root().join(name)).unwrap();
    let architecture = read("ARCHITECTURE.md").lines().count();
    assert!(
        architecture <= 300,
        "ARCHITECTURE.md has {architecture} lines, at most 300 are read"
    );
    assert!(read("CHANGELOG.md").contains("\n## [Unreleased]\n"));
    let readme = read("README.md");
    for command in ["cargo run --release -- up", "cargo xtask ci"] {
        assert!(
            readme.contains(&format!("    {command}\n")),
            "README.md lost `{command}`"
        );
    }
    for (krate, _) in crates() {
        assert!(
            read("ARCHITECTURE.md").contains(&format!("crates/{krate}")),
            "ARCHITECTURE.md does not map crates/{krate}"
        );
    }
}

/// The crates by folder.
fn crates() -> Vec<(String, std::path::PathBuf)> {
    std::fs::read_dir(root().join("crates"))
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().into_string().unwrap(), entry.path()))
        .collect()
}
/// Paths that ARCHITECTURE.md and CONTRIBUTING.md name in code exist.
#[test]
fn maps_name_places_that_exist() {
    let mut missing = vec![];
    for name in ["ARCHITECTURE.md", "CONTRIBUTING.md"] {
        let text = std::fs::read_to_string(root().join(name)).unwrap();
        let places = text.split('`').skip(1).step_by(2).filter(|word| {
            ["crates/", "docs/", "examples/", "xtask/"]
                .iter()
                .any(|start| word.starts_with(start))
                && !word.contains(['<', '*', '{', ' ', '…'])
        });
        for place in places {
            let path = place.split("::").next().unwrap();
            if !root().join(path).exists() {
                missing.push(format!("{name}: {place}"));
            }
        }
    }
    assert!(
        missing.is_empty(),
        "these places do not exist:\n{}",
        missing.join("\n")
    );
}

/// Whether a source has a function `name` that is run as a test.
fn has_test(source: &str, name: &str) -> bool {
    let mut lines = source.lines().map(str::trim);
    let mut before = "";
    lines.any(|line| {
        let is_function = [format!("fn {name}("), format!("async fn {name}(")]
            .iter()
            .any(|start| line.starts_with(start));
        let is_test = before.starts_with("#[test]") || before.starts_with("#[tokio::test");
        before = line;
        is_function && is_test
    })
}

/// Every limit that docs/limits.md shows is a constant, and a test reaches it.
#[test]
fn limits_are_constants_with_tests() {
    let text = std::fs::read_to_string(root().join("docs/limits.md")).unwrap();
    let sources = files("crates", "rs");
    let mut wrong = vec![];
    let mut rows = 0;
    let is_row = |line: &&str| {
        line.starts_with('|') && !line.starts_with("| What |") && !line.starts_with("| --- |")
    };
    for line in text.lines().filter(is_row) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [what, limit, seen, constant, test] = cells.as_slice() else {
            wrong.push(format!("{line}: want five cells"));
            continue;
        };
        rows += 1;
        if [what, limit, seen].iter().any(|cell| cell.is_empty()) {
            wrong.push(format!("{line}: a cell is empty"));
        }
        let words: Vec<&str> = constant
            .split('`')
            .filter(|w| !w.trim().is_empty())
            .collect();
        let [path, name] = words.as_slice() else {
            wrong.push(format!(
                "{constant}: want a file and the name of a constant"
            ));
            continue;
        };
        let path = format!("crates/{path}");
        let is_there = sources
            .iter()
            .any(|file| file.path == path && file.text.contains(&format!("const {name}: ")));
        if !is_there {
            wrong.push(format!("{path} has no constant {name}"));
        }
        let test = test.trim_matches('`');
        if !sources.iter().any(|file| has_test(&file.text, test)) {
            wrong.push(format!("there is no test {test}"));
        }
    }
    assert!(rows > 30, "docs/limits.md has {rows} limits only");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Every row of docs/pain-points.md has a state, and its tests exist.
#[test]
fn pain_points_have_states_and_tests() {
    let text = std::fs::read_to_string(root().join("docs/pain-points.md")).unwrap();
    let sources = files("crates", "rs");
    let mut wrong = vec![];
    let rows: Vec<&str> = text
        .lines()
        .filter(|line| {
            line.starts_with("| ") && !line.starts_with("| Pain") && !line.starts_with("| -")
        })
        .collect();
    for row in &rows {
        let cells: Vec<&str> = row.trim_matches('|').split(" |").map(str::trim).collect();
        let [pain, state, _, tests] = cells.as_slice() else {
            wrong.push(format!("{row}: want four cells"));
            continue;
        };
        if !["fixed", "partly", "open", "not applicable"].contains(state) {
            wrong.push(format!("{pain}: {state:?} is no state"));
        }
        if *state == "fixed" && tests.is_empty() {
            wrong.push(format!("{pain}: no test shows that it is fixed"));
        }
        for test in tests.split('`').skip(1).step_by(2) {
            if !sources.iter().any(|file| has_test(&file.text, test)) {
                wrong.push(format!("{pain}: there is no test {test}"));
            }
        }
    }
    assert_eq!(rows.len(), 20);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
