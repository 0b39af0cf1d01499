//! How names of fields that are no identifiers are written in expressions.

use crate::parse::RESERVED;

const WORDS: &[&str] = &["true", "false", "null", "in"];

/// The identifier under which expressions know the field `name`: `a-b` is `a__dash__b`, `in` is `__in__`.
/// `None` when no identifier stands for it.
///
/// ```
/// assert_eq!(cel::escape("x-y.z").as_deref(), Some("x__dash__y__dot__z"));
/// assert_eq!(cel::escape("namespace").as_deref(), Some("__namespace__"));
/// assert_eq!(cel::escape("1a"), None);
/// ```
#[must_use]
pub fn escape(name: &str) -> Option<String> {
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    if WORDS.contains(&name) || RESERVED.contains(&name) {
        return Some(format!("__{name}__"));
    }
    let mut out = String::with_capacity(name.len());
    let mut chars = name.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '_' if chars.next_if_eq(&'_').is_some() => out.push_str("__underscores__"),
            '.' => out.push_str("__dot__"),
            '-' => out.push_str("__dash__"),
            '/' => out.push_str("__slash__"),
            c if c.is_ascii_alphanumeric() || c == '_' => out.push(c),
            _ => return None,
        }
    }
    Some(out)
}

/// The field that an identifier stands for; `None` when it stands for none.
///
/// ```
/// assert_eq!(cel::unescape("x__dash__y").as_deref(), Some("x-y"));
/// assert_eq!(cel::unescape("__other__"), None);
/// ```
#[must_use]
pub fn unescape(name: &str) -> Option<String> {
    let mut out = String::with_capacity(name.len());
    let mut rest = name;
    while let Some(at) = rest.find("__") {
        out.push_str(&rest[..at]);
        let after = &rest[at + 2..];
        let end = after.find('_').unwrap_or(0);
        if end == 0 || !after[end..].starts_with("__") {
            // Not a pair around a word: one underscore is only text.
            out.push('_');
            rest = &rest[at + 1..];
            continue;
        }
        let word = &after[..end];
        match word {
            "underscores" => out.push_str("__"),
            "dot" => out.push('.'),
            "dash" => out.push('-'),
            "slash" => out.push('/'),
            word if WORDS.contains(&word) || RESERVED.contains(&word) => {
                if word.len() + 4 != name.len() {
                    return None;
                }
                out.push_str(word);
            }
            _ => return None,
        }
        rest = &after[end + 2..];
    }
    out.push_str(rest);
    Some(out)
}
