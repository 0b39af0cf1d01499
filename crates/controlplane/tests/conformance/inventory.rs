//! The list of conformance tests, and that it says the truth.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The classes of tests that are ours to have, and how many tests each has: A needs an API server and the built-in controllers, B
/// nodes beside them, C (of which these are a part) a server in the cluster.
const CLASSES: [(char, usize); 3] = [('A', 141), ('B', 98), ('C', 20)];

/// A codename of a class and, when there is no test here, why, or which outside test does it.
struct Entry {
    class: char,
    codename: &'static str,
    note: &'static str,
}

fn entries() -> Vec<Entry> {
    let mut entries = vec![];
    let mut class = ' ';
    for line in include_str!("inventory.tsv").lines() {
        if let Some(heading) = line.strip_prefix("# class ") {
            class = heading.chars().next().unwrap();
            continue;
        }
        let (codename, note) = line.split_once('\t').unwrap_or((line, ""));
        entries.push(Entry {
            class,
            codename,
            note,
        });
    }
    entries
}

/// The name of the function for a codename: without what is in brackets, words joined by `_`.
fn slug(codename: &str) -> String {
    let mut depth = 0_usize;
    let mut slug = String::new();
    for c in codename.chars() {
        match c {
            '[' => depth += 1,
            ']' => depth -= 1,
            _ if depth > 0 => {}
            c if c.is_ascii_alphanumeric() => slug.push(c.to_ascii_lowercase()),
            _ if slug.ends_with('_') || slug.is_empty() => {}
            _ => slug.push('_'),
        }
    }
    slug.trim_end_matches('_').to_owned()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The tests of this suite: function and file.
fn tests() -> BTreeMap<String, String> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance");
    let mut tests = BTreeMap::new();
    for file in std::fs::read_dir(directory).unwrap() {
        let file = file.unwrap();
        let name = file.file_name().into_string().unwrap();
        if !name.ends_with(".rs") || name == "inventory.rs" {
            continue;
        }
        let text = std::fs::read_to_string(file.path()).unwrap();
        let mut is_test = false;
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("async fn ").filter(|_| is_test) {
                let function = rest.split('(').next().unwrap();
                tests.insert(function.to_owned(), name.clone());
            }
            is_test = line.starts_with("#[tokio::test");
        }
    }
    tests
}

/// Whether an outside test, named as `file.rs::function` below the outside tests of the binary, is there.
fn is_outside_test(name: &str) -> bool {
    let (file, function) = name.split_once("::").unwrap_or((name, ""));
    let path = root().join("crates/apiary/tests/it/outside").join(file);
    std::fs::read_to_string(path).is_ok_and(|text| text.contains(&format!("fn {function}(")))
}

#[test]
fn every_test_has_a_codename_and_every_codename_is_there_once() {
    for (class, count) in CLASSES {
        let of_class = entries().iter().filter(|e| e.class == class).count();
        assert_eq!(of_class, count, "class {class}");
    }
    let slugs: Vec<String> = entries().iter().map(|e| slug(e.codename)).collect();
    let distinct: BTreeSet<&String> = slugs.iter().collect();
    assert_eq!(distinct.len(), slugs.len());
    for (function, file) in tests() {
        assert!(
            distinct.contains(&function),
            "{file}: {function} is no codename's name"
        );
    }
}

#[test]
fn the_table_in_the_documentation_says_what_is_there() {
    let tests = tests();
    let mut expected = include_str!("conformance.head.md").to_owned();
    for (class, count) in CLASSES {
        let (done, rows) = table(class, &tests);
        let done = format!("{done} of {count}");
        expected = expected.replace(&format!("{{{class}}}"), &done);
        expected += &format!(
            "\n## Class {class}\n\n| Codename | Test | State |\n| --- | --- | --- |\n{rows}"
        );
    }
    let path = root().join("docs/conformance.md");
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(&path, &expected).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == expected,
        "docs/conformance.md is not what the suite says: run it with UPDATE_EXPECT=1"
    );
}

/// How many tests of a class are done, and the rows of its table.
fn table(class: char, tests: &BTreeMap<String, String>) -> (usize, String) {
    let mut done = 0;
    let mut rows = String::new();
    for entry in entries().iter().filter(|entry| entry.class == class) {
        let function = slug(entry.codename);
        let outside = entry.note.strip_prefix("outside ");
        if let Some(outside) = outside {
            assert!(is_outside_test(outside), "{outside} is not there");
        }
        let (test, state) = match (tests.get(&function), outside) {
            (Some(file), Some(outside)) => {
                let state = "done; as requests, and with kubectl itself".to_owned();
                (format!("`{file}`, `outside/{outside}`"), state)
            }
            (None, Some(outside)) => (
                format!("`outside/{outside}`"),
                "done; with kubectl itself".to_owned(),
            ),
            (Some(file), None) => {
                let codename = entry.codename;
                assert!(
                    entry.note.is_empty(),
                    "{codename}: it has a test, so its note is stale"
                );
                (format!("`{file}`"), "done".to_owned())
            }
            (None, None) => {
                assert!(!entry.note.is_empty(), "{}: say why", entry.codename);
                ("—".to_owned(), format!("missing: {}", entry.note))
            }
        };
        done += usize::from(state.starts_with("done"));
        let codename = entry.codename.trim_end_matches(" [Conformance]");
        rows += &format!("| {codename} | {test} | {state} |\n");
    }
    (done, rows)
}
