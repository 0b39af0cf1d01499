//! TOML: a writer in the form that Helm's library writes, and a reader of the language's data.

use crate::gotemplate::{Budget, Result, Value, fail, number, text};
use serde_json::{Map as JsonMap, Value as Json};
use std::fmt::Write;
use std::rc::Rc;

/// Writes a map.
pub(super) fn encode(budget: &mut Budget, value: &Value) -> Result<String> {
    let mut writer = Writer { out: String::new() };
    match value {
        Value::Map(map) => writer.table(budget, &[], &map.entries(), 0)?,
        other => writer.inline(budget, other, 0)?,
    }
    budget.bytes(writer.out.len())?;
    Ok(writer.out)
}

struct Writer {
    out: String,
}

fn key(name: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !name.is_empty() && name.chars().all(bare) {
        name.to_string()
    } else {
        basic_string(name)
    }
}

fn basic_string(s: &str) -> String {
    let mut out = String::from("\"");
    for c in text::lossy(s).chars() {
        match c {
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            c if c.is_ascii_control() => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out + "\""
}

/// A list of nothing but maps is written as tables.
fn is_table_list(value: &Value) -> bool {
    match value {
        Value::List(list) => {
            !list.items().is_empty() && list.items().iter().all(|v| matches!(v, Value::Map(_)))
        }
        _ => false,
    }
}

impl Writer {
    fn table(
        &mut self,
        budget: &mut Budget,
        path: &[String],
        entries: &[(Rc<str>, Value)],
        depth: u32,
    ) -> Result<()> {
        budget.nested(depth)?;
        let indent = "  ".repeat(path.len().saturating_sub(1) + usize::from(!path.is_empty()));
        for (name, value) in entries {
            budget.step(1)?;
            if matches!(value, Value::Nil | Value::Map(_)) || is_table_list(value) {
                continue;
            }
            let _ = write!(self.out, "{indent}{} = ", key(name));
            self.inline(budget, value, depth + 1)?;
            self.out.push('\n');
        }
        for (name, value) in entries {
            let path = [path, &[key(name)]].concat();
            let header_indent = "  ".repeat(path.len() - 1);
            match value {
                Value::Map(map) => {
                    if path.len() == 1 && !self.out.is_empty() {
                        self.out.push('\n');
                    }
                    let _ = writeln!(self.out, "{header_indent}[{}]", path.join("."));
                    self.table(budget, &path, &map.entries(), depth + 1)?;
                }
                Value::List(list) if is_table_list(value) => {
                    for item in list.items() {
                        if !self.out.is_empty() {
                            self.out.push('\n');
                        }
                        let _ = writeln!(self.out, "{header_indent}[[{}]]", path.join("."));
                        if let Value::Map(map) = item {
                            self.table(budget, &path, &map.entries(), depth + 1)?;
                        }
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn inline(&mut self, budget: &mut Budget, value: &Value, depth: u32) -> Result<()> {
        budget.nested(depth)?;
        budget.step(1)?;
        let before = self.out.len();
        match value {
            Value::Nil => fail!("toml: cannot encode array with nil element"),
            Value::Bool(b) => self.out.push_str(&b.to_string()),
            Value::Int(i) | Value::Int64(i) => self.out.push_str(&i.to_string()),
            Value::Uint64(u) => self.out.push_str(&u.to_string()),
            Value::Float(f) => self.out.push_str(&float(*f)),
            Value::Str(s) => self.out.push_str(&basic_string(s)),
            Value::Object(object) => return self.inline(budget, &object.data(), depth + 1),
            Value::Bytes(bytes) => {
                let items: Vec<String> = bytes.iter().map(u8::to_string).collect();
                let _ = write!(self.out, "[{}]", items.join(", "));
            }
            Value::List(list) => {
                self.out.push('[');
                for (i, item) in list.items().iter().enumerate() {
                    self.out.push_str(if i > 0 { ", " } else { "" });
                    self.inline(budget, item, depth + 1)?;
                }
                self.out.push(']');
            }
            Value::Map(map) => {
                self.out.push('{');
                for (i, (name, item)) in map.entries().into_iter().enumerate() {
                    let _ = write!(
                        self.out,
                        "{}{} = ",
                        if i > 0 { ", " } else { "" },
                        key(&name)
                    );
                    self.inline(budget, &item, depth + 1)?;
                }
                self.out.push('}');
            }
        }
        budget.bytes(self.out.len() - before)
    }
}

/// A float always has a point or an exponent.
fn float(f: f64) -> String {
    if !f.is_finite() {
        return if f.is_nan() {
            "nan".into()
        } else if f > 0.0 {
            "inf".into()
        } else {
            "-inf".into()
        };
    }
    let exponent = f != 0.0 && !(1e-4..1e16).contains(&f.abs());
    let text = if exponent {
        number::general(f)
    } else {
        number::plain(f)
    };
    if text.contains(['.', 'e']) {
        text
    } else {
        text + ".0"
    }
}

/// Nesting of arrays and inline tables that the reader takes.
const MAX_NESTING: u32 = 100;

/// Reads a document. Dates become text.
pub(super) fn decode(text: &str) -> std::result::Result<Json, String> {
    let mut reader = Reader {
        rest: text,
        line: 1,
        depth: 0,
    };
    reader
        .document()
        .map_err(|e| format!("toml: line {}: {e}", reader.line))
}

type Read<T> = std::result::Result<T, String>;

struct Reader<'a> {
    rest: &'a str,
    line: usize,
    depth: u32,
}

/// The table at a path, made where it is missing; of a list of tables the last.
fn descend<'t>(
    table: &'t mut JsonMap<String, Json>,
    path: &[String],
) -> Read<&'t mut JsonMap<String, Json>> {
    let mut table = table;
    for name in path {
        let next = table
            .entry(name.clone())
            .or_insert_with(|| Json::Object(JsonMap::new()));
        let next = match next {
            Json::Array(items) => items.last_mut().ok_or("a table inside an empty list")?,
            other => other,
        };
        table = next
            .as_object_mut()
            .ok_or_else(|| format!("key {name:?} is no table"))?;
    }
    Ok(table)
}

impl Reader<'_> {
    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.rest = &self.rest[c.len_utf8()..];
        self.line += usize::from(c == '\n');
        Some(c)
    }

    fn take(&mut self, text: &str) -> bool {
        let hit = self.rest.starts_with(text);
        if hit {
            for _ in text.chars() {
                self.next();
            }
        }
        hit
    }

    fn expect(&mut self, text: &str) -> Read<()> {
        if self.take(text) {
            return Ok(());
        }
        Err(match self.peek() {
            Some(c) => format!("expected {text:?} but got {c:?}"),
            None => format!("expected {text:?} but got the end"),
        })
    }

    fn spaces(&mut self) {
        while matches!(self.peek(), Some(' ' | '\t')) {
            self.next();
        }
    }

    /// Spaces, comments and line breaks.
    fn blank(&mut self) {
        loop {
            match self.peek() {
                Some(' ' | '\t' | '\r' | '\n') => {
                    self.next();
                }
                Some('#') => {
                    while self.peek().is_some_and(|c| c != '\n') {
                        self.next();
                    }
                }
                _ => return,
            }
        }
    }

    fn document(&mut self) -> Read<Json> {
        let mut root = JsonMap::new();
        let mut at: Vec<String> = Vec::new();
        loop {
            self.blank();
            if self.rest.is_empty() {
                return Ok(Json::Object(root));
            }
            if self.take("[[") {
                at = self.path()?;
                self.expect("]]")?;
                let (last, parents) = at.split_last().ok_or("an empty name")?;
                let list = descend(&mut root, parents)?
                    .entry(last.clone())
                    .or_insert_with(|| Json::Array(Vec::new()));
                list.as_array_mut()
                    .ok_or_else(|| format!("key {last:?} is no list of tables"))?
                    .push(Json::Object(JsonMap::new()));
            } else if self.take("[") {
                at = self.path()?;
                self.expect("]")?;
                descend(&mut root, &at)?;
            } else {
                self.assignment(descend(&mut root, &at)?)?;
            }
            self.spaces();
            if !matches!(self.peek(), None | Some('\r' | '\n' | '#')) {
                return Err("expected a line break after the value".into());
            }
        }
    }

    fn assignment(&mut self, table: &mut JsonMap<String, Json>) -> Read<()> {
        let path = self.path()?;
        self.expect("=")?;
        self.spaces();
        let value = self.value()?;
        let (last, parents) = path.split_last().ok_or("an empty name")?;
        match descend(table, parents)?.insert(last.clone(), value) {
            None => Ok(()),
            Some(_) => Err(format!("key {last:?} has already been defined")),
        }
    }

    fn path(&mut self) -> Read<Vec<String>> {
        let mut path = Vec::new();
        loop {
            self.spaces();
            path.push(match self.peek() {
                Some('"' | '\'') => self.string()?,
                _ => {
                    let bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
                    let end = self
                        .rest
                        .find(|c: char| !bare(c))
                        .unwrap_or(self.rest.len());
                    if end == 0 {
                        return Err("expected a key".into());
                    }
                    let (name, rest) = self.rest.split_at(end);
                    self.rest = rest;
                    name.to_string()
                }
            });
            self.spaces();
            if !self.take(".") {
                return Ok(path);
            }
            if path.len() > MAX_NESTING as usize {
                return Err("keys are nested too deep".into());
            }
        }
    }

    fn value(&mut self) -> Read<Json> {
        self.depth += 1;
        if self.depth > MAX_NESTING {
            return Err("values are nested too deep".into());
        }
        let value = match self.peek() {
            Some('"' | '\'') => Json::String(self.string()?),
            Some('[') => self.array()?,
            Some('{') => self.inline_table()?,
            _ => self.scalar()?,
        };
        self.depth -= 1;
        Ok(value)
    }

    fn array(&mut self) -> Read<Json> {
        self.next();
        let mut items = Vec::new();
        loop {
            self.blank();
            if self.take("]") {
                return Ok(Json::Array(items));
            }
            items.push(self.value()?);
            self.blank();
            if !self.take(",") {
                self.expect("]")?;
                return Ok(Json::Array(items));
            }
        }
    }

    fn inline_table(&mut self) -> Read<Json> {
        self.next();
        let mut table = JsonMap::new();
        self.blank();
        if self.take("}") {
            return Ok(Json::Object(table));
        }
        loop {
            self.blank();
            self.assignment(&mut table)?;
            self.blank();
            if !self.take(",") {
                self.expect("}")?;
                return Ok(Json::Object(table));
            }
        }
    }

    fn scalar(&mut self) -> Read<Json> {
        let end = self
            .rest
            .find([',', ']', '}', '#', '\r', '\n'])
            .unwrap_or(self.rest.len());
        let (text, rest) = self.rest.split_at(end);
        self.rest = rest;
        let text = text.trim();
        let plain = text.replace('_', "");
        let float = |f: f64| {
            serde_json::Number::from_f64(f)
                .map(Json::Number)
                .ok_or_else(|| "a number is too large".to_string())
        };
        match text {
            "true" => Ok(Json::Bool(true)),
            "false" => Ok(Json::Bool(false)),
            "" => Err("expected a value".into()),
            _ if text.as_bytes().get(4) == Some(&b'-') || text.as_bytes().get(2) == Some(&b':') => {
                Ok(text.into())
            }
            _ => match number::parse_int(&plain, if plain.starts_with('0') { 0 } else { 10 }) {
                Some(int) => Ok(int.into()),
                None => float(
                    number::parse_float(&plain)
                        .ok_or_else(|| format!("expected a value but got {text:?}"))?,
                ),
            },
        }
    }

    fn string(&mut self) -> Read<String> {
        let (mark, multi) = match self.rest {
            r if r.starts_with("\"\"\"") => ('"', true),
            r if r.starts_with("'''") => ('\'', true),
            r => (r.chars().next().unwrap_or('"'), false),
        };
        let fence = mark.to_string().repeat(if multi { 3 } else { 1 });
        self.take(&fence);
        if multi && !self.take("\r\n") {
            self.take("\n");
        }
        let mut out = String::new();
        loop {
            if self.take(&fence) {
                // Up to two quotes may stand right before the fence.
                while multi && self.take(&mark.to_string()) {
                    out.push(mark);
                }
                return Ok(out);
            }
            match self.next() {
                None => return Err("unterminated string".into()),
                Some('\n') if !multi => return Err("strings cannot contain newlines".into()),
                Some('\\') if mark == '"' => self.escape(&mut out, multi)?,
                Some(c) => out.push(c),
            }
        }
    }

    fn escape(&mut self, out: &mut String, multi: bool) -> Read<()> {
        let c = self.next().ok_or("unterminated string")?;
        match c {
            'b' => out.push('\u{8}'),
            't' => out.push('\t'),
            'n' => out.push('\n'),
            'f' => out.push('\u{c}'),
            'r' => out.push('\r'),
            '"' | '\\' => out.push(c),
            'u' | 'U' => {
                let count = if c == 'u' { 4 } else { 8 };
                let code = self
                    .rest
                    .get(..count)
                    .and_then(|h| u32::from_str_radix(h, 16).ok())
                    .and_then(char::from_u32);
                out.push(code.ok_or("invalid escape")?);
                self.rest = &self.rest[count..];
            }
            ' ' | '\t' | '\r' | '\n' if multi => {
                while self.peek().is_some_and(char::is_whitespace) {
                    self.next();
                }
            }
            c => return Err(format!("invalid escape character {c:?}")),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads() {
        let text = "a = 1\nb.c = \"x\\ty\"\n[t]\nf = 1.5 # no\nl = [1, [\"a\", 'b'],\n  {x = true}]\n[[t.list]]\nn = 1\n[[t.list]]\nn = 2\nd = 2020-01-01\nm = \"\"\"\none\n two\"\"\"\n";
        let want = serde_json::json!({
            "a": 1, "b": {"c": "x\ty"},
            "t": {"f": 1.5, "l": [1, ["a", "b"], {"x": true}], "list": [{"n": 1}, {"n": 2, "d": "2020-01-01", "m": "one\n two"}]},
        });
        assert_eq!(decode(text), Ok(want));
        for bad in [
            "a",
            "a = ",
            "a = \"x",
            "[",
            "a = 1\na = 2",
            "a = 1 b = 2",
            &"a = [".repeat(500),
            &format!("a = {}", "[".repeat(5000)),
        ] {
            assert!(decode(bad).is_err(), "{bad}");
        }
    }
}
