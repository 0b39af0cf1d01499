//! What a guest writes while it boots: the last part of it, without secrets.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Mutex, PoisonError};

/// Bytes that are kept; older lines go first.
const BYTES_MAX: usize = 64 << 10;
/// Bytes of one line.
const LINE_MAX: usize = 2048;
/// Shorter texts are no secrets worth the name, and would be found everywhere.
const SECRET_MIN: usize = 12;
/// In place of a secret.
const REDACTED: &str = "[redacted]";

/// A console. Several may write to it.
#[derive(Debug, Default)]
pub(crate) struct Console(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    text: String,
    /// Texts that are never shown, the longest first.
    secrets: Vec<String>,
}

impl Console {
    /// Writes one line, or several.
    pub(crate) fn line(&self, text: impl fmt::Display) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let text = state.redacted(&text.to_string());
        for line in text.lines() {
            let end = line.floor_char_boundary(LINE_MAX);
            state.text.push_str(&line[..end]);
            if end < line.len() {
                state.text.push('…');
            }
            state.text.push('\n');
        }
        while state.text.len() > BYTES_MAX {
            let first = state.text.find('\n').map_or(state.text.len(), |at| at + 1);
            state.text.drain(..first);
        }
    }

    /// All that is kept.
    pub(crate) fn text(&self) -> String {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.text.clone()
    }

    /// Texts that are never shown from now on: the words of a file with a secret, for example.
    pub(crate) fn hide<'a>(&self, texts: impl Iterator<Item = &'a str>) {
        let long = texts.map(str::trim).filter(|t| t.len() >= SECRET_MIN);
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = std::mem::take(&mut state.secrets);
        let all: BTreeSet<String> = known.into_iter().chain(long.map(str::to_owned)).collect();
        state.secrets = all.into_iter().collect();
        state.secrets.sort_by_key(|s| std::cmp::Reverse(s.len()));
    }

    /// A text without what is secret in it, for messages that leave the machine.
    pub(crate) fn redact(&self, text: &str) -> String {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.redacted(text)
    }
}

impl State {
    fn redacted(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for secret in self.secrets.iter().filter(|s| !s.is_empty()) {
            if text.contains(secret.as_str()) {
                text = text.replace(secret.as_str(), REDACTED);
            }
        }
        redact(&text)
    }
}

/// Leaves out what looks like a secret: bootstrap tokens, web tokens, private keys, and values that their names give away.
fn redact(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut is_in_key = false;
    for line in text.split_inclusive('\n') {
        if line.contains("-----BEGIN ") && line.contains("PRIVATE KEY-----") {
            is_in_key = true;
            out.push_str(REDACTED);
            out.push('\n');
        }
        if is_in_key {
            is_in_key = !line.contains("-----END ");
            continue;
        }
        redact_line(line, &mut out);
    }
    out
}

/// Characters that end a word here.
fn is_between(c: char) -> bool {
    c.is_whitespace()
        || matches!(
            c,
            '"' | '\'' | '=' | ',' | ';' | '(' | ')' | '[' | ']' | '{' | '}'
        )
}

fn redact_line(line: &str, out: &mut String) {
    let mut is_named = false;
    let mut rest = line;
    while !rest.is_empty() {
        let end = rest.find(is_between).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        // What follows the name of a secret is one, whatever stands between.
        if word.chars().all(|c| c.is_ascii_punctuation()) {
            let width = after.chars().next().map_or(0, char::len_utf8);
            out.push_str(word);
            out.push_str(&after[..width]);
            rest = &after[width..];
            continue;
        }
        let (name, value) = word.split_once(':').unwrap_or((word, ""));
        let is_value = value.chars().any(|c| !c.is_ascii_punctuation());
        if is_named || is_token(word) || is_web_token(word) {
            out.push_str(REDACTED);
            is_named = false;
        } else if is_value && names_a_secret(&format!("{name}:")) {
            out.push_str(name);
            out.push(':');
            out.push_str(REDACTED);
        } else {
            out.push_str(word);
            let has_value = after.starts_with('=') || after.starts_with("\":");
            is_named = names_a_secret(word) || (has_value && is_secret_name(word));
        }
        rest = after;
    }
}

/// `--token`, `password:` and their like.
fn names_a_secret(word: &str) -> bool {
    let name = word.strip_suffix(':');
    match name.or(word.starts_with("--").then_some(word)) {
        Some(name) => is_secret_name(name),
        None => matches!(word.to_ascii_lowercase().as_str(), "password" | "passwd"),
    }
}

/// A name whose value is secret, as a flag, a field or a variable.
fn is_secret_name(name: &str) -> bool {
    let name = name.trim_start_matches('-').to_ascii_lowercase();
    ["token", "password", "passwd", "secret", "certificate-key"]
        .iter()
        .any(|s| name == *s || name.ends_with(&format!("-{s}")) || name.ends_with(&format!("_{s}")))
}

/// A bootstrap token: six characters, a dot, sixteen characters.
fn is_token(word: &str) -> bool {
    let is_plain = |s: &str| {
        s.bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
    };
    let word = word.trim_end_matches(['.', ':', ';']);
    word.split_once('.')
        .is_some_and(|(id, key)| id.len() == 6 && key.len() == 16 && is_plain(id) && is_plain(key))
}

fn is_web_token(word: &str) -> bool {
    word.starts_with("eyJ") && word.split('.').count() == 3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_left_out() {
        let console = Console::default();
        console.hide(["c2VjcmV0LWtleS1vZi1ldGNk", "short"].into_iter());
        for line in [
            "kubeadm join --token abcdef.0123456789abcdef --v 5",
            "token=abcdef.0123456789abcdef",
            "+ echo c2VjcmV0LWtleS1vZi1ldGNk > /etc/key",
            "curl -H 'Authorization: Bearer eyJhbGciOi.eyJzdWIi.c2ln'",
            "useradd --password hunter2 me",
            "client_secret: topsecret",
            r#"{"password":"hunter2","user":"me"}"#,
            "export DB_PASSWORD=hunter2; API_TOKEN=hunter2 run",
            "password:hunter2 and https://example.com:443",
            "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEE\n-----END EC PRIVATE KEY-----\nafter",
            "a short word stays, and so does v1.36.0 and 10.64.0.1",
        ] {
            console.line(line);
        }
        expect_test::expect![[r#"
            kubeadm join --token [redacted] --v 5
            token=[redacted]
            + echo [redacted] > /etc/key
            curl -H 'Authorization: Bearer [redacted]'
            useradd --password [redacted] me
            client_secret: [redacted]
            {"password":"[redacted]","user":"me"}
            export DB_PASSWORD=[redacted]; API_TOKEN=[redacted] run
            password:[redacted] and https://example.com:443
            [redacted]
            after
            a short word stays, and so does v1.36.0 and 10.64.0.1
        "#]]
        .assert_eq(&console.text());
    }

    #[test]
    fn old_lines_go() {
        let console = Console::default();
        for i in 0..3000 {
            console.line(format_args!("line {i} {}", "x".repeat(40)));
        }
        console.line("y".repeat(3 * LINE_MAX));
        let text = console.text();
        assert!(text.len() <= BYTES_MAX, "{}", text.len());
        assert!(!text.contains("line 1 "));
        assert!(text.contains("line 2999 "));
        assert!(text.lines().all(|line| line.len() <= LINE_MAX + 4));
    }
}
