//! The YAML writer of Helm's `toYaml`, to the byte: a value goes through JSON first (so whole numbers are integers), then
//! through go-yaml's emitter: sorted keys, lists at the level of their key, quotes only where a plain scalar would read as
//! something else, plain and quoted scalars folded at spaces after column 80.

use crate::gotemplate::{Budget, Error, Result, Value, number, text};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value as Json;
use std::cmp::Ordering;

const WIDTH: usize = 80;
const INDENT: isize = 2;
/// Longer keys are written with a question mark.
const MAX_SIMPLE_KEY: usize = 128;

/// Writes a template's value.
pub(super) fn value(budget: &mut Budget, value: &Value) -> Result<String> {
    let tree = tree(budget, value, Dialect::Compact, 0)?;
    let out = write(&tree);
    budget.bytes(out.len())?;
    Ok(out)
}

/// Writes a template's value in the newer style of go-yaml.
pub(super) fn pretty(budget: &mut Budget, value: &Value) -> Result<String> {
    let tree = tree(budget, value, Dialect::Pretty, 0)?;
    let out = write_in(&tree, Dialect::Pretty);
    budget.bytes(out.len())?;
    Ok(out)
}

/// Writes JSON.
pub(super) fn json(json: &Json) -> String {
    write(&tree_of_json(json))
}

/// What the emitter sees.
enum Tree {
    /// Written as it is: null, booleans, numbers.
    Plain(String),
    Str(String),
    List(Vec<Tree>),
    Map(Vec<(String, Tree)>),
}

/// A JSON number as go-yaml reads and writes it: an integer if it fits, else a float.
fn number_tree(json: String) -> Tree {
    let integer = json.parse::<i64>().is_ok() || json.parse::<u64>().is_ok();
    match json.parse::<f64>() {
        Ok(f) if !integer => Tree::Plain(number::general(f)),
        // "-0" is an integer to go-yaml.
        Ok(0.0) => Tree::Plain("0".into()),
        _ => Tree::Plain(json),
    }
}

fn tree(budget: &mut Budget, value: &Value, dialect: Dialect, depth: u32) -> Result<Tree> {
    budget.nested(depth)?;
    budget.step(1)?;
    Ok(match value {
        Value::Nil => Tree::Plain("null".into()),
        Value::Bool(b) => Tree::Plain(b.to_string()),
        Value::Int(i) | Value::Int64(i) => Tree::Plain(i.to_string()),
        Value::Uint64(u) => Tree::Plain(u.to_string()),
        // Without the way through JSON a float stays a float.
        Value::Float(f) if dialect == Dialect::Pretty => Tree::Plain(number::general(*f)),
        Value::Float(f) => match number::json(*f) {
            Some(text) => number_tree(text),
            None => {
                return Err(Error::new(format!(
                    "json: unsupported value: {}",
                    number::general(*f)
                )));
            }
        },
        Value::Str(s) => {
            budget.bytes(s.len())?;
            Tree::Str(text::lossy(s).into_owned())
        }
        Value::Bytes(b) => {
            budget.bytes(b.len() * 2)?;
            Tree::Str(STANDARD.encode(b))
        }
        Value::Object(object) => return tree(budget, &object.data(), dialect, depth + 1),
        Value::List(list) if list.is_nil() => Tree::Plain("null".into()),
        Value::Map(map) if map.is_nil() => Tree::Plain("null".into()),
        Value::List(list) => {
            let items: Result<_> = list
                .items()
                .iter()
                .map(|item| tree(budget, item, dialect, depth + 1))
                .collect();
            Tree::List(items?)
        }
        Value::Map(map) => {
            let entries: Result<Vec<_>> = map
                .entries()
                .into_iter()
                .map(|(k, v)| {
                    Ok((
                        text::lossy(&k).into_owned(),
                        tree(budget, &v, dialect, depth + 1)?,
                    ))
                })
                .collect();
            sorted(entries?)
        }
    })
}

fn tree_of_json(json: &Json) -> Tree {
    match json {
        Json::Null => Tree::Plain("null".into()),
        Json::Bool(b) => Tree::Plain(b.to_string()),
        Json::Number(n) if n.is_f64() => {
            number_tree(number::json(n.as_f64().unwrap_or(0.0)).unwrap_or_default())
        }
        Json::Number(n) => Tree::Plain(n.to_string()),
        Json::String(s) => Tree::Str(s.clone()),
        Json::Array(items) => Tree::List(items.iter().map(tree_of_json).collect()),
        Json::Object(map) => sorted(
            map.iter()
                .map(|(k, v)| (k.clone(), tree_of_json(v)))
                .collect(),
        ),
    }
}

fn sorted(mut entries: Vec<(String, Tree)>) -> Tree {
    entries.sort_by(|(a, _), (b, _)| a.cmp(b));
    Tree::Map(natural_sort(entries))
}

/// Sorts by [`natural_order`], which is no order in the strict sense ("a10" < "a1b" < "a01" < "a10"): the sorts of the
/// standard library may panic on such, this merge sort doesn't.
fn natural_sort(mut entries: Vec<(String, Tree)>) -> Vec<(String, Tree)> {
    if entries.len() < 2 {
        return entries;
    }
    let right = natural_sort(entries.split_off(entries.len() / 2));
    let mut out = Vec::with_capacity(entries.len() + right.len());
    let (mut left, mut right) = (
        natural_sort(entries).into_iter().peekable(),
        right.into_iter().peekable(),
    );
    while let (Some((a, _)), Some((b, _))) = (left.peek(), right.peek()) {
        let next = if natural_order(a, b).is_gt() {
            right.next()
        } else {
            left.next()
        };
        out.extend(next);
    }
    out.extend(left);
    out.extend(right);
    out
}

/// The order of keys: numbers in names count as numbers, letters come after everything else.
fn natural_order(a: &str, b: &str) -> Ordering {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let Some(i) = a.iter().zip(&b).position(|(x, y)| x != y) else {
        return a.len().cmp(&b.len());
    };
    let (x, y) = (a[i], b[i]);
    match (x.is_alphabetic(), y.is_alphabetic()) {
        (true, true) => return x.cmp(&y),
        (true, false) => return Ordering::Greater,
        (false, true) => return Ordering::Less,
        (false, false) => {}
    }
    let digits = |s: &[char]| s.iter().take_while(|c| c.is_numeric()).count();
    // Zeros inside a number count as digits of it, zeros in front don't.
    let inside = (x == '0' || y == '0')
        && a[..i]
            .iter()
            .rev()
            .take_while(|c| c.is_numeric())
            .any(|c| *c != '0');
    let number = |s: &[char]| {
        s.iter()
            .take_while(|c| c.is_numeric())
            .fold(i64::from(inside), |n, c| {
                n.wrapping_mul(10)
                    .wrapping_add(i64::from(u32::from(*c)) - i64::from(u32::from('0')))
            })
    };
    number(&a[i..])
        .cmp(&number(&b[i..]))
        .then(digits(&a[i..]).cmp(&digits(&b[i..])))
        .then(x.cmp(&y))
}

/// The two styles of go-yaml.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Dialect {
    /// Lists at the level of their key; long scalars folded.
    Compact,
    /// Lists indented; nothing folded.
    Pretty,
}

fn write(tree: &Tree) -> String {
    write_in(tree, Dialect::Compact)
}

fn write_in(tree: &Tree, dialect: Dialect) -> String {
    let mut emitter = Emitter {
        out: String::new(),
        column: 0,
        indent: -1,
        whitespace: true,
        indention: true,
        dialect,
    };
    emitter.node(tree, false);
    emitter.indent = -1;
    emitter.line();
    emitter.out
}

struct Emitter {
    out: String,
    column: usize,
    indent: isize,
    whitespace: bool,
    indention: bool,
    dialect: Dialect,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Style {
    Plain,
    Single,
    Double,
    Literal,
}

impl Emitter {
    fn put(&mut self, c: char) {
        self.out.push(c);
        self.column += 1;
    }

    fn beyond_width(&self) -> bool {
        self.dialect == Dialect::Compact && self.column > WIDTH
    }

    fn line_break(&mut self, c: char) {
        self.out.push(c);
        self.column = 0;
    }

    /// Starts a line at the current indent, unless it already stands there.
    fn line(&mut self) {
        let indent = usize::try_from(self.indent).unwrap_or(0);
        if !self.indention || self.column > indent || (self.column == indent && !self.whitespace) {
            self.line_break('\n');
        }
        while self.column < indent {
            self.put(' ');
        }
        self.whitespace = true;
        self.indention = true;
    }

    fn indicator(&mut self, text: &str, space_before: bool, is_space: bool, is_indention: bool) {
        if space_before && !self.whitespace {
            self.put(' ');
        }
        text.chars().for_each(|c| self.put(c));
        self.whitespace = is_space;
        self.indention = self.indention && is_indention;
    }

    fn deeper(&self, flow: bool, same_level: bool) -> isize {
        if self.indent < 0 {
            if flow { INDENT } else { 0 }
        } else if same_level {
            self.indent
        } else {
            self.indent + INDENT
        }
    }

    fn node(&mut self, tree: &Tree, in_mapping: bool) {
        let outer = self.indent;
        match tree {
            Tree::Plain(s) => self.plain_scalar(s),
            Tree::Str(s) => self.scalar(s, false),
            Tree::List(items) if items.is_empty() => {
                self.indicator("[", true, true, false);
                self.indicator("]", false, false, false);
            }
            Tree::Map(entries) if entries.is_empty() => {
                self.indicator("{", true, true, false);
                self.indicator("}", false, false, false);
            }
            Tree::List(items) => {
                self.indent = self.deeper(
                    false,
                    self.dialect == Dialect::Compact && in_mapping && !self.indention,
                );
                for item in items {
                    self.line();
                    self.indicator("-", true, false, true);
                    self.node(item, false);
                }
            }
            Tree::Map(entries) => {
                self.indent = self.deeper(false, false);
                for (key, value) in entries {
                    self.entry(key, value);
                }
            }
        }
        self.indent = outer;
    }

    fn entry(&mut self, key: &str, value: &Tree) {
        self.line();
        if key.contains(is_break) || key.len() > MAX_SIMPLE_KEY {
            self.indicator("?", true, false, true);
            self.scalar(key, false);
            self.line();
            self.indicator(":", true, false, true);
        } else {
            self.scalar(key, true);
            self.indicator(":", false, false, false);
        }
        self.node(value, true);
    }

    fn plain_scalar(&mut self, s: &str) {
        if !self.whitespace {
            self.put(' ');
        }
        s.chars().for_each(|c| self.put(c));
        self.whitespace = false;
        self.indention = false;
    }

    fn scalar(&mut self, s: &str, key: bool) {
        let outer = self.indent;
        self.indent = self.deeper(true, false);
        match style(s, key) {
            Style::Plain => {
                if !self.whitespace {
                    self.put(' ');
                }
                self.folded(s, !key, |_, _| {});
                self.whitespace = false;
                self.indention = false;
            }
            Style::Single => {
                self.indicator("'", true, false, false);
                self.folded(s, !key, |emitter, c| {
                    if c == '\'' {
                        emitter.put('\'');
                    }
                });
                self.indicator("'", false, false, false);
            }
            Style::Double => self.double_quoted(s, !key),
            Style::Literal => self.literal(s),
        }
        self.indent = outer;
    }

    /// Text on one line, or several if it may be broken: a space after the last column becomes a line break.
    fn folded(&mut self, s: &str, may_break: bool, before: fn(&mut Self, char)) {
        let chars: Vec<char> = s.chars().collect();
        let (mut spaces, mut breaks) = (false, false);
        for (i, &c) in chars.iter().enumerate() {
            if c == ' ' {
                let inner = i > 0 && i + 1 < chars.len() && chars[i + 1] != ' ';
                if may_break && !spaces && self.beyond_width() && inner {
                    self.line();
                } else {
                    self.put(c);
                }
                spaces = true;
            } else if is_break(c) {
                if !breaks && c == '\n' {
                    self.line_break('\n');
                }
                self.line_break(c);
                self.indention = true;
                breaks = true;
            } else {
                if breaks {
                    self.line();
                }
                before(self, c);
                self.put(c);
                self.indention = false;
                (spaces, breaks) = (false, false);
            }
        }
    }

    fn double_quoted(&mut self, s: &str, may_break: bool) {
        self.indicator("\"", true, false, false);
        let chars: Vec<char> = s.chars().collect();
        let mut spaces = false;
        for (i, &c) in chars.iter().enumerate() {
            if !is_printable(c) || is_break(c) || c == '"' || c == '\\' {
                escape(c).chars().for_each(|c| self.put(c));
                spaces = false;
            } else if c == ' ' {
                if may_break && !spaces && self.beyond_width() && i > 0 && i + 1 < chars.len() {
                    self.line();
                    if chars[i + 1] == ' ' {
                        self.put('\\');
                    }
                } else {
                    self.put(c);
                }
                spaces = true;
            } else {
                self.put(c);
                spaces = false;
            }
        }
        self.indicator("\"", false, false, false);
    }

    fn literal(&mut self, s: &str) {
        self.indicator("|", true, false, false);
        if s.starts_with(|c| c == ' ' || is_break(c)) {
            self.indicator("2", false, false, false);
        }
        let mut last = s.chars().rev();
        match (last.next().is_some_and(is_break), last.next()) {
            (false, _) => self.indicator("-", false, false, false),
            (true, None) => self.indicator("+", false, false, false),
            (true, Some(c)) if is_break(c) => self.indicator("+", false, false, false),
            _ => {}
        }
        self.line_break('\n');
        self.indention = true;
        self.whitespace = true;
        let mut breaks = true;
        for c in s.chars() {
            if is_break(c) {
                self.line_break(c);
                self.indention = true;
                breaks = true;
            } else {
                if breaks {
                    self.line();
                }
                self.put(c);
                self.indention = false;
                breaks = false;
            }
        }
    }
}

fn is_break(c: char) -> bool {
    matches!(c, '\r' | '\n' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

fn is_printable(c: char) -> bool {
    matches!(c, '\n' | ' '..='~' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}')
        && c != '\u{feff}'
}

fn escape(c: char) -> String {
    let short = match c {
        '\0' => '0',
        '\u{7}' => 'a',
        '\u{8}' => 'b',
        '\t' => 't',
        '\n' => 'n',
        '\u{b}' => 'v',
        '\u{c}' => 'f',
        '\r' => 'r',
        '\u{1b}' => 'e',
        '"' => '"',
        '\\' => '\\',
        '\u{85}' => 'N',
        '\u{a0}' => '_',
        '\u{2028}' => 'L',
        '\u{2029}' => 'P',
        c => {
            let code = u32::from(c);
            return match code {
                0..=0xff => format!("\\x{code:02X}"),
                0x100..=0xffff => format!("\\u{code:04X}"),
                _ => format!("\\U{code:08X}"),
            };
        }
    };
    format!("\\{short}")
}

fn style(s: &str, key: bool) -> Style {
    let allowed = Allowed::of(s);
    let wanted = if s.contains('\n') {
        Style::Literal
    } else if reads_as_string(s) {
        Style::Plain
    } else {
        Style::Double
    };
    let wanted = if key && allowed.multiline {
        Style::Double
    } else {
        wanted
    };
    match wanted {
        Style::Plain if allowed.plain && !(s.is_empty() && key) => Style::Plain,
        Style::Plain if allowed.single => Style::Single,
        Style::Literal if allowed.block && !key => Style::Literal,
        _ => Style::Double,
    }
}

/// The styles that can hold a text.
struct Allowed {
    plain: bool,
    single: bool,
    block: bool,
    multiline: bool,
}

impl Allowed {
    fn of(s: &str) -> Self {
        let chars: Vec<char> = s.chars().collect();
        let (Some(&first), Some(&last)) = (chars.first(), chars.last()) else {
            return Self {
                plain: true,
                single: true,
                block: false,
                multiline: false,
            };
        };
        let is_blank = |c: char| c == ' ' || c == '\t';
        let mut indicators = s.starts_with("---") || s.starts_with("...");
        let (mut special, mut breaks, mut break_space, mut space_break) =
            (false, false, false, false);
        for (i, &c) in chars.iter().enumerate() {
            let blank_after = chars.get(i + 1).is_none_or(|c| is_blank(*c));
            let blank_before = i == 0 || is_blank(chars[i - 1]) || is_break(chars[i - 1]);
            indicators |= match c {
                '#' => i == 0 || blank_before,
                ',' | '[' | ']' | '{' | '}' | '&' | '*' | '!' | '|' | '>' | '\'' | '"' | '%'
                | '@' | '`' => i == 0,
                '?' | '-' => i == 0 && blank_after,
                ':' => blank_after,
                _ => false,
            };
            special |= !is_printable(c) && !is_break(c) || c == '\r' || c == '\u{85}';
            breaks |= is_break(c);
            break_space |= i > 0 && c == ' ' && is_break(chars[i - 1]);
            space_break |= i > 0 && is_break(c) && chars[i - 1] == ' ';
        }
        let edge = [first, last].iter().any(|c| *c == ' ' || is_break(*c));
        let awkward = space_break || special;
        Self {
            plain: !(indicators || edge || break_space || awkward || breaks),
            single: !(break_space || awkward),
            block: !(last == ' ' || awkward),
            multiline: breaks,
        }
    }
}

/// True if the plain scalar would be read as a string, by YAML 1.1's rules as go-yaml has them.
fn reads_as_string(s: &str) -> bool {
    let Some(first) = s.bytes().next() else {
        return false;
    };
    match first {
        b'y' | b'Y' | b'n' | b'N' | b't' | b'T' | b'f' | b'F' | b'o' | b'O' | b'~' => !matches!(
            s,
            "y" | "Y"
                | "yes"
                | "Yes"
                | "YES"
                | "true"
                | "True"
                | "TRUE"
                | "on"
                | "On"
                | "ON"
                | "n"
                | "N"
                | "no"
                | "No"
                | "NO"
                | "false"
                | "False"
                | "FALSE"
                | "off"
                | "Off"
                | "OFF"
                | "~"
                | "null"
                | "Null"
                | "NULL"
        ),
        b'.' => {
            !matches!(s, ".nan" | ".NaN" | ".NAN" | ".inf" | ".Inf" | ".INF")
                && number::parse_float(s).is_none()
        }
        b'0'..=b'9' | b'+' | b'-' => !(reads_as_number(s) || is_timestamp(s) || is_base60(s)),
        _ => true,
    }
}

fn reads_as_number(s: &str) -> bool {
    if matches!(s, "+.inf" | "+.Inf" | "+.INF" | "-.inf" | "-.Inf" | "-.INF") {
        return true;
    }
    let plain = s.replace('_', "");
    number::parse_int(&plain, 0).is_some()
        || number::parse_uint(&plain, 0).is_some()
        || is_yaml_float(&plain)
}

/// `[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`, in the range of a float.
fn is_yaml_float(s: &str) -> bool {
    let body = s.strip_prefix(['+', '-']).unwrap_or(s);
    let (mantissa, exponent) = match body.find(['e', 'E']) {
        Some(at) => (&body[..at], Some(&body[at + 1..])),
        None => (body, None),
    };
    let digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
    let mantissa_fits = match mantissa.split_once('.') {
        Some(("", fraction)) => digits(fraction),
        Some((whole, fraction)) => digits(whole) && (fraction.is_empty() || digits(fraction)),
        None => digits(mantissa),
    };
    let exponent_fits = exponent.is_none_or(|e| digits(e.strip_prefix(['+', '-']).unwrap_or(e)));
    mantissa_fits && exponent_fits && number::parse_float(s).is_some()
}

/// `[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?`
fn is_base60(s: &str) -> bool {
    let body = s.strip_prefix(['+', '-']).unwrap_or(s);
    let (body, fraction) = body.split_once('.').unwrap_or((body, ""));
    let numeric = |s: &str| s.bytes().all(|b| b.is_ascii_digit() || b == b'_');
    let mut parts = body.split(':');
    let head = parts.next().unwrap_or_default();
    let mut count = 0;
    let sixty = parts.all(|p| {
        count += 1;
        matches!(p.as_bytes(), [b'0'..=b'9'] | [b'0'..=b'5', b'0'..=b'9'])
    });
    head.starts_with(|c: char| c.is_ascii_digit())
        && numeric(head)
        && sixty
        && count > 0
        && numeric(fraction)
}

/// The forms of timestamp that go-yaml knows.
fn is_timestamp(s: &str) -> bool {
    fn number(
        s: &str,
        widths: std::ops::RangeInclusive<usize>,
        range: std::ops::RangeInclusive<u32>,
    ) -> Option<(&str, u32)> {
        let length = s
            .bytes()
            .take(*widths.end())
            .take_while(u8::is_ascii_digit)
            .count();
        let value = s[..length]
            .parse()
            .ok()
            .filter(|n| widths.contains(&length) && range.contains(n))?;
        Some((&s[length..], value))
    }
    fn clock(s: &str) -> Option<&str> {
        let (s, _) = number(s, 1..=2, 0..=23)?;
        let (s, _) = number(s.strip_prefix(':')?, 1..=2, 0..=59)?;
        let (s, _) = number(s.strip_prefix(':')?, 1..=2, 0..=59)?;
        Some(match s.strip_prefix(['.', ',']) {
            Some(fraction) if fraction.starts_with(|c: char| c.is_ascii_digit()) => {
                fraction.trim_start_matches(|c: char| c.is_ascii_digit())
            }
            _ => s,
        })
    }
    fn zone(s: &str) -> Option<()> {
        if s == "Z" {
            return Some(());
        }
        let (s, _) = number(s.strip_prefix(['+', '-'])?, 2..=2, 0..=24)?;
        let (s, _) = number(s.strip_prefix(':')?, 2..=2, 0..=60)?;
        s.is_empty().then_some(())
    }
    let parse = || {
        let (s, year) = number(s, 4..=4, 0..=9999)?;
        let (s, month) = number(s.strip_prefix('-')?, 1..=2, 1..=12)?;
        let (s, day) = number(s.strip_prefix('-')?, 1..=2, 1..=31)?;
        let (year, month, day) = (
            i16::try_from(year).ok()?,
            i8::try_from(month).ok()?,
            i8::try_from(day).ok()?,
        );
        jiff::civil::Date::new(year, month, day).ok()?;
        match s.chars().next() {
            None => Some(()),
            Some('T' | 't') => zone(clock(&s[1..])?),
            Some(' ') => clock(&s[1..])?.is_empty().then_some(()),
            Some(_) => None,
        }
    };
    parse().is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn writes_as_helm_writes() {
        let value = serde_json::json!({
            "name": "web", "port": 80, "ratio": 0.5, "big": 12345678, "huge": 1e21, "on": "on", "version": "1.10", "date": "2020-01-01",
            "octal": "0755", "empty": "", "none": null, "list": [1, "two", {"a": 1, "b": [2]}, [], {}], "nested": {"deep": {"x": "y: z"}},
            "text": "line one\nline two\n", "keep": "x\n\n", "strip": "a\nb", "indented": "  a\nb", "tab": "a\tb", "quote": "it's", "hash": "a #b",
            "star": "*x", "emoji": "🎉", "time": "12:30:45", "a10": 1, "a2": 2, "space ": " x ", "colon:": 1,
            "long": "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen",
        });
        expect![[r#"
            a2: 2
            a10: 1
            big: 12345678
            'colon:': 1
            date: "2020-01-01"
            emoji: "\U0001F389"
            empty: ""
            hash: 'a #b'
            huge: 1e+21
            indented: |2-
                a
              b
            keep: |+
              x

            list:
            - 1
            - two
            - a: 1
              b:
              - 2
            - []
            - {}
            long: one two three four five six seven eight nine ten eleven twelve thirteen fourteen
              fifteen sixteen
            name: web
            nested:
              deep:
                x: 'y: z'
            none: null
            octal: "0755"
            "on": "on"
            port: 80
            quote: it's
            ratio: 0.5
            'space ': ' x '
            star: '*x'
            strip: |-
              a
              b
            tab: "a\tb"
            text: |
              line one
              line two
            time: "12:30:45"
            version: "1.10"
        "#]]
        .assert_eq(&to(&value));
    }

    fn to(value: &Json) -> String {
        json(value)
    }
}
