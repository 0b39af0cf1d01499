//! JSON as Go's `encoding/json` writes it: sorted keys, `<`, `>` and `&` escaped, floats without exponent where possible.

use crate::gotemplate::{Budget, Error, Result, Value, number, text};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::fmt::Write;

/// How to write it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Style {
    /// Escape what HTML gives a meaning to, as `json.Marshal` does.
    pub(crate) html: bool,
    /// Two spaces for each level, as `toPrettyJson`.
    pub(crate) pretty: bool,
}

/// `json.Marshal`.
///
/// # Errors
/// For NaN and infinities, and at the limits of the rendering.
pub(crate) fn encode(budget: &mut Budget, value: &Value, style: Style) -> Result<String> {
    let mut writer = Writer {
        out: String::new(),
        style,
    };
    writer.value(budget, value, 0)?;
    Ok(writer.out)
}

struct Writer {
    out: String,
    style: Style,
}

impl Writer {
    fn value(&mut self, budget: &mut Budget, value: &Value, depth: u32) -> Result<()> {
        budget.nested(depth)?;
        budget.step(1)?;
        let before = self.out.len();
        match value {
            Value::Nil => self.out.push_str("null"),
            Value::Bool(b) => self.out.push_str(if *b { "true" } else { "false" }),
            Value::Int(i) | Value::Int64(i) => self.out.push_str(&i.to_string()),
            Value::Uint64(u) => self.out.push_str(&u.to_string()),
            Value::Float(f) => match number::json(*f) {
                Some(text) => self.out.push_str(&text),
                None => {
                    return Err(Error::new(format!(
                        "json: unsupported value: {}",
                        number::general(*f)
                    )));
                }
            },
            Value::Str(s) => quote(&mut self.out, s, self.style.html),
            Value::Bytes(b) => {
                let _ = write!(self.out, "\"{}\"", STANDARD.encode(b));
            }
            Value::Object(object) => return self.value(budget, &object.data(), depth + 1),
            Value::List(list) if list.is_nil() => self.out.push_str("null"),
            Value::Map(map) if map.is_nil() => self.out.push_str("null"),
            Value::List(list) => {
                self.out.push('[');
                for (i, item) in list.items().iter().enumerate() {
                    self.separate(i, depth + 1);
                    self.value(budget, item, depth + 1)?;
                }
                self.close(list.items().is_empty(), depth, ']');
                return Ok(());
            }
            Value::Map(map) => {
                self.out.push('{');
                for (i, (key, item)) in map.entries().into_iter().enumerate() {
                    self.separate(i, depth + 1);
                    budget.bytes(key.len())?;
                    quote(&mut self.out, &key, self.style.html);
                    self.out
                        .push_str(if self.style.pretty { ": " } else { ":" });
                    self.value(budget, &item, depth + 1)?;
                }
                self.close(map.is_empty(), depth, '}');
                return Ok(());
            }
        }
        budget.bytes(self.out.len() - before)
    }

    fn separate(&mut self, i: usize, depth: u32) {
        if i > 0 {
            self.out.push(',');
        }
        self.line(depth);
    }

    fn line(&mut self, depth: u32) {
        if self.style.pretty {
            self.out.push('\n');
            self.out.extend(std::iter::repeat_n("  ", depth as usize));
        }
    }

    fn close(&mut self, empty: bool, depth: u32, bracket: char) {
        if !empty {
            self.line(depth);
        }
        self.out.push(bracket);
    }
}

fn quote(out: &mut String, s: &str, html: bool) {
    out.push('"');
    for c in s.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\u{2028}' | '\u{2029}' => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            '<' | '>' | '&' if html => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c if u32::from(c) < 0x20 => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c if text::escaped_byte(c).is_some() => out.push_str("\\ufffd"),
            c => out.push(c),
        }
    }
    out.push('"');
}
