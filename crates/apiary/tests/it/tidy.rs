//! Rules of the house that neither the compiler nor clippy knows.

use crate::source::{File, code, files};

const MAX_FILE_LINES: usize = 800;
const MAX_FUNCTION_LINES: usize = 80;

/// Files that may be longer, with the reason.
const LONG_FILES: &[(&str, &str)] = &[];

/// Folders of controllers: here the pure files decide.
const CONTROLLERS: &[&str] = &[
    "crates/capi/src/",
    "crates/controlplane/src/",
    "crates/platform/src/",
    "crates/runtime/src/",
];
/// Names of pure files in the folders of controllers.
const PURE_FILES: &[&str] = &[
    "admit", "decide", "order", "plan", "rolling", "rollout", "rules", "status",
];
/// Crates that are pure as a whole, tests and binaries excepted.
const PURE_CRATES: &[&str] = &[
    "crates/api/src/",
    "crates/policy/src/",
    "crates/render/src/",
];
/// Words that pure code has no use for, with what is wrong with them there.
const IMPURE: &[(&str, &str)] = &[
    ("async", "decisions do not wait"),
    (".await", "decisions do not wait"),
    (
        "Client",
        "decisions read nothing: what they need is in the world",
    ),
    ("Clock", "the time is an argument"),
    ("Timestamp::now", "the time is an argument"),
    ("Zoned::now", "the time is an argument"),
    ("Instant::now", "the time is an argument"),
    ("SystemTime", "the time is an argument"),
    ("tokio", "decisions do not wait"),
    (
        "std::env",
        "the environment is read by crates/apiary/src/config.rs",
    ),
    ("reqwest", "decisions read nothing"),
    ("std::fs", "decisions read nothing"),
    ("std::process", "decisions do nothing"),
];
/// What one of the words above is allowed for, with the reason.
const EXCUSED: &[(&str, &str, &str)] = &[];

/// Names that say nothing.
const DRAWERS: &[&str] = &[
    "common", "helper", "helpers", "manager", "misc", "util", "utils",
];

fn sources() -> Vec<File> {
    let mut all = files("crates", "rs");
    all.extend(files("xtask", "rs"));
    all
}

fn report(what: &str, wrong: &[String]) {
    assert!(wrong.is_empty(), "{what}:\n{}", wrong.join("\n"));
}

/// Unit tests live beside the module they test, which says what it is for.
fn is_unit_test(path: &str) -> bool {
    let in_source = path.split_once("/src/").map_or("", |(_, rest)| rest);
    in_source.ends_with("tests.rs")
        || in_source.contains("tests/")
        || in_source.ends_with("testing.rs")
}

#[test]
fn files_are_short() {
    let mut wrong = vec![];
    for file in sources() {
        let lines = file.text.lines().count();
        let is_excused = LONG_FILES.iter().any(|(path, _)| *path == file.path);
        match (lines > MAX_FILE_LINES, is_excused) {
            (true, false) => wrong.push(format!(
                "{}: {lines} lines, at most {MAX_FILE_LINES}",
                file.path
            )),
            (false, true) => wrong.push(format!(
                "{}: {lines} lines, no longer too long: drop the excuse",
                file.path
            )),
            _ => {}
        }
    }
    report("files that do too much", &wrong);
}

#[test]
fn functions_are_short() {
    let mut wrong = vec![];
    for file in sources() {
        for (line, name, length) in long_functions(&file.text) {
            wrong.push(format!(
                "{}:{line}: {name} has {length} lines, at most {MAX_FUNCTION_LINES}",
                file.path
            ));
        }
    }
    report("functions that do too much", &wrong);
}

/// Line, name and length of functions that are too long; lines without code do not count. `#[expect]` with a reason
/// excuses one, as it does for clippy.
fn long_functions(text: &str) -> Vec<(usize, String, usize)> {
    let code = code(text);
    let lines: Vec<&str> = code.lines().collect();
    let mut found = vec![];
    let mut is_expected = false;
    for (at, line) in lines.iter().enumerate() {
        let trimmed = line.trim_start();
        is_expected |= trimmed.contains("clippy::too_many_lines");
        let Some(name) = function_name(trimmed) else {
            continue;
        };
        let (begin, end) = function_body(&lines[at..]);
        let body = &lines[at + begin..at + end];
        let length = body
            .iter()
            .skip(1)
            .filter(|line| !line.trim().is_empty())
            .count();
        if length > MAX_FUNCTION_LINES && !is_expected {
            found.push((at + 1, name.to_owned(), length));
        }
        is_expected = false;
    }
    found
}

fn function_name(line: &str) -> Option<&str> {
    let mut rest = line;
    for word in [
        "pub", "(crate)", "(super)", "(in ", "const", "async", "unsafe",
    ] {
        rest = rest.strip_prefix(word).unwrap_or(rest).trim_start();
    }
    let name = rest.strip_prefix("fn ")?;
    Some(name.split(['(', '<']).next().unwrap_or(name))
}

/// How many lines after its first the body of a function begins and ends: at its braces.
fn function_body(lines: &[&str]) -> (usize, usize) {
    let (mut braces, mut brackets) = (0_usize, 0_usize);
    let mut begin = 0;
    for (at, line) in lines.iter().enumerate() {
        for c in line.chars() {
            match c {
                '(' | '[' => brackets += 1,
                ')' | ']' => brackets = brackets.saturating_sub(1),
                '{' => {
                    begin = if braces == 0 { at } else { begin };
                    braces += 1;
                }
                '}' if braces <= 1 => return (begin, at),
                '}' => braces -= 1,
                // A function without a body, in a trait.
                ';' if braces == 0 && brackets == 0 => return (at, at),
                _ => {}
            }
        }
    }
    (begin, lines.len())
}

#[test]
fn modules_say_what_they_are_for() {
    let has_none = |file: &File| {
        let first = file.text.lines().find(|line| !line.trim().is_empty());
        !first.is_some_and(|line| line.starts_with("//!") && line.len() > 10)
    };
    let wrong: Vec<String> = sources()
        .into_iter()
        .filter(|file| !is_unit_test(&file.path) && has_none(file))
        .map(|file| file.path)
        .collect();
    report("modules that do not begin with `//!`", &wrong);
}

#[test]
fn decisions_are_pure() {
    let mut wrong = vec![];
    let mut excused = vec![];
    let pure: Vec<File> = sources()
        .into_iter()
        .filter(|file| !is_unit_test(&file.path) && is_pure(&file.path))
        .collect();
    assert!(!pure.is_empty());
    for file in pure {
        for (at, line) in code(&file.text).lines().enumerate() {
            // Tests at the end of a file may do what they like.
            if line.starts_with("#[cfg(test)]") {
                break;
            }
            for (word, why) in IMPURE.iter().filter(|(word, _)| has_word(line, word)) {
                match EXCUSED
                    .iter()
                    .position(|(path, excuse, _)| *path == file.path && excuse == word)
                {
                    Some(excuse) => excused.push(excuse),
                    None => wrong.push(format!("{}:{}: {word}: {why}", file.path, at + 1)),
                }
            }
        }
    }
    report("pure files that are not", &wrong);
    let stale: Vec<String> = (0..EXCUSED.len())
        .filter(|at| !excused.contains(at))
        .map(|at| format!("{:?}", EXCUSED[at]))
        .collect();
    report("excuses that nothing needs", &stale);
}

fn is_pure(path: &str) -> bool {
    let stem = path
        .rsplit('/')
        .next()
        .and_then(|name| name.strip_suffix(".rs"))
        .unwrap_or_default();
    let is_decision =
        CONTROLLERS.iter().any(|folder| path.starts_with(folder)) && PURE_FILES.contains(&stem);
    is_decision || PURE_CRATES.iter().any(|folder| path.starts_with(folder))
}

fn has_word(line: &str, word: &str) -> bool {
    let is_part = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        (word.starts_with('.') || !is_part(before)) && !is_part(after)
    })
}

#[test]
fn names_say_something() {
    let wrong: Vec<String> = sources()
        .into_iter()
        .map(|file| file.path)
        .filter(|path| {
            path.trim_end_matches(".rs")
                .split('/')
                .any(|part| DRAWERS.contains(&part))
        })
        .collect();
    report("drawers", &wrong);
}

#[test]
fn no_test_is_switched_off() {
    let mut wrong = vec![];
    for file in sources() {
        for (at, line) in code(&file.text).lines().enumerate() {
            if line.contains("#[ignore") {
                wrong.push(format!("{}:{}", file.path, at + 1));
            }
        }
    }
    report("ignored tests: assert what is wrong today instead", &wrong);
}

#[test]
fn long_functions_are_found() {
    let body = "    a();\n".repeat(MAX_FUNCTION_LINES + 1);
    let remarks = "    // a\n\n".repeat(MAX_FUNCTION_LINES);
    let text = format!(
        "trait A {{ fn a(); }}\npub(crate) async fn long<T>() {{\n{body}}}\n\
         #[expect(clippy::too_many_lines, reason = \"a table\")]\nfn table() {{\n{body}}}\nfn short(a: [u8; 2]) {{\n{remarks}}}\n"
    );
    let found = long_functions(&text);
    assert_eq!(found, [(2, "long".to_owned(), MAX_FUNCTION_LINES + 1)]);
}

#[test]
fn words_are_whole_words() {
    assert!(has_word("let c: &Client = x", "Client"));
    assert!(!has_word("ClientSide", "Client"));
    assert!(has_word("x.await?", ".await"));
    assert!(!has_word("asynchronous", "async"));
}
