//! The dependency arrows that ARCHITECTURE.md draws are those of the crates.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

use crate::source::root;

/// Crates that tests may use beyond the arrows: the simulated world exists for them.
const ONLY_FOR_TESTS: &[(&str, &str)] = &[("capi", "sim"), ("platform", "sim")];
/// Rooms of the house that are drawn but not built yet.
const NOT_BUILT: &[&str] = &["policy", "web"];

/// What each crate may use; `None` is everything.
type Arrows = BTreeMap<String, Option<BTreeSet<String>>>;

/// The lines `a, b → c, d` of ARCHITECTURE.md: the first block after the name of this file.
fn drawn() -> Arrows {
    let text = std::fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let mut arrows = Arrows::new();
    let names = |list: &str| -> BTreeSet<String> {
        list.split(',')
            .map(|name| name.trim().to_owned())
            .filter(|name| !name.is_empty())
            .collect()
    };
    let block = text
        .lines()
        .skip_while(|line| !line.contains("tests/it/arrows.rs"))
        .skip_while(|line| !line.starts_with("    "))
        .take_while(|line| line.starts_with("    "));
    for line in block {
        let Some((from, to)) = line.split_once('→') else {
            continue;
        };
        // What follows two spaces is a remark.
        let to = to.trim().split("  ").next().unwrap();
        let to = match to {
            "everything" => None,
            "nothing of ours" => Some(BTreeSet::new()),
            list => Some(names(list)),
        };
        for name in names(from) {
            arrows.insert(name, to.clone());
        }
    }
    arrows
}

/// Each crate with those of ours it uses, and whether only its tests do.
fn built() -> BTreeMap<String, BTreeMap<String, bool>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let name = |value: &Value| value["name"].as_str().unwrap().to_owned();
    let mut crates = BTreeMap::new();
    for package in metadata["packages"].as_array().unwrap() {
        let mut used = BTreeMap::new();
        for dependency in package["dependencies"].as_array().unwrap() {
            if !dependency["path"].is_null() {
                let only_tests = dependency["kind"] == "dev";
                let entry = used.entry(name(dependency)).or_insert(true);
                *entry &= only_tests;
            }
        }
        crates.insert(name(package), used);
    }
    crates
}

#[test]
fn crates_use_only_what_the_arrows_allow() {
    let (drawn, built) = (drawn(), built());
    let mut wrong = vec![];
    for (name, used) in &built {
        let Some(allowed) = drawn.get(name) else {
            wrong.push(format!("{name} has no arrow"));
            continue;
        };
        for (other, only_tests) in used {
            let is_allowed = allowed.as_ref().is_none_or(|set| set.contains(other));
            let is_test_world = *only_tests && ONLY_FOR_TESTS.contains(&(name, other));
            if !is_allowed && !is_test_world {
                wrong.push(format!("{name} → {other}"));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "not drawn in ARCHITECTURE.md (a new arrow needs an ADR): {wrong:?}"
    );
}

#[test]
fn arrows_are_drawn_for_crates_that_exist() {
    let built = built();
    let drawn = drawn();
    let unknown: Vec<_> = drawn
        .iter()
        .flat_map(|(name, to)| to.iter().flatten().chain([name]))
        .filter(|name| !built.contains_key(*name) && !NOT_BUILT.contains(&name.as_str()))
        .collect();
    assert!(unknown.is_empty(), "{unknown:?} are no crates");
    let late: Vec<_> = NOT_BUILT
        .iter()
        .filter(|name| built.contains_key(**name))
        .collect();
    assert!(late.is_empty(), "{late:?} are built: NOT_BUILT is stale");
}

#[test]
fn nobody_uses_the_binary() {
    let users: Vec<_> = built()
        .into_iter()
        .filter(|(name, used)| name != "xtask" && used.contains_key("apiary"))
        .map(|(name, _)| name)
        .collect();
    assert!(
        users.is_empty(),
        "{users:?} use apiary, which knows everyone"
    );
}
