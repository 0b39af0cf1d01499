//! The repository's own files, as tests read them.

use std::path::{Path, PathBuf};

/// Where the workspace is.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .unwrap()
}

/// One file of the repository.
pub(crate) struct File {
    /// Relative to the root, with `/`.
    pub(crate) path: String,
    pub(crate) text: String,
}

/// All files below `folder` with the extension, by path. Build output and hidden folders are not looked at.
pub(crate) fn files(folder: &str, extension: &str) -> Vec<File> {
    let root = root();
    let mut paths = vec![];
    find(&root.join(folder), extension, &mut paths);
    paths.sort();
    let read = |path: PathBuf| File {
        path: path.strip_prefix(&root).unwrap().to_str().unwrap().into(),
        text: std::fs::read_to_string(&path).unwrap(),
    };
    paths.into_iter().map(read).collect()
}

fn find(folder: &Path, extension: &str, paths: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if path.is_dir() {
            if name != "target" && name != "node_modules" && !name.starts_with('.') {
                find(&path, extension, paths);
            }
        } else if path.extension().is_some_and(|e| e == extension) {
            paths.push(path);
        }
    }
}

/// Rust without comments, texts and characters: what remains has the same lines, so that words and braces can be
/// looked for.
pub(crate) fn code(text: &str) -> String {
    let bytes: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < bytes.len() {
        let end = literal_end(&bytes, at);
        if end == at {
            out.push(bytes[at]);
            at += 1;
        } else {
            out.extend(
                bytes[at..end]
                    .iter()
                    .map(|c| if *c == '\n' { '\n' } else { ' ' }),
            );
            at = end;
        }
    }
    out
}

/// Where the comment, text or character ends that begins at `at`; `at` if none does.
fn literal_end(text: &[char], at: usize) -> usize {
    let rest = &text[at..];
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let in_word = at > 0 && is_word(text[at - 1]);
    match rest {
        ['/', '/', ..] => at + rest.iter().position(|c| *c == '\n').unwrap_or(rest.len()),
        ['/', '*', ..] => at + block_comment(rest),
        ['"', ..] => at + quoted(rest, '"'),
        ['b' | 'c', '"', ..] if !in_word => at + 1 + quoted(&rest[1..], '"'),
        ['r', '"' | '#', ..] if !in_word => at + raw(rest),
        ['b' | 'c', 'r', '"' | '#', ..] if !in_word => at + 1 + raw(&rest[1..]),
        ['\'', '\\', ..] => at + quoted(rest, '\''),
        ['\'', _, '\'', ..] => at + 3,
        _ => at,
    }
}

fn block_comment(rest: &[char]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at + 1 < rest.len() {
        match (rest[at], rest[at + 1]) {
            ('/', '*') => (depth, at) = (depth + 1, at + 2),
            ('*', '/') => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    rest.len()
}

fn quoted(rest: &[char], quote: char) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            '\\' => at += 2,
            c if c == quote => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// A raw text, from its `r`; 0 if it is a raw identifier.
fn raw(rest: &[char]) -> usize {
    let hashes = rest[1..].iter().take_while(|c| **c == '#').count();
    if rest.get(1 + hashes) != Some(&'"') {
        return 0;
    }
    let mut end = vec!['"'];
    end.extend(std::iter::repeat_n('#', hashes));
    let body = 2 + hashes;
    let found = rest[body..]
        .windows(end.len())
        .position(|window| window == end);
    found.map_or(rest.len(), |found| body + found + end.len())
}

#[test]
fn literals_and_comments_are_no_code() {
    let text = r###"fn a<'x>(b: &'x str) { /* { /* nested */ } */ let c = '{'; let d = '\''; // }
        let e = "async {\" }"; let f = r#"{ " "#; let r#g = br"\"; h('a', "b") }"###;
    let code = code(text);
    let words: Vec<&str> = code.split_whitespace().collect();
    expect_test::expect![
        "fn a<'x>(b: &'x str) { let c = ; let d = ; let e = ; let f = ; let r#g = ; h( , ) }"
    ]
    .assert_eq(&words.join(" "));
    assert_eq!(code.lines().count(), text.lines().count());
}
