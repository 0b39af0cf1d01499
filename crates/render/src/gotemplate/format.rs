//! Go's `fmt`: how values print, and the verbs of `printf`.

use super::budget::Budget;
use super::error::Result;
use super::value::Value;
use super::{number, quote, text};
use std::fmt::Write;

/// `fmt.Sprint(v)`.
pub(crate) fn print(budget: &mut Budget, v: &Value) -> Result<String> {
    let mut out = String::new();
    Printer {
        out: &mut out,
        budget,
    }
    .value(&Spec::default(), 'v', v, 0)?;
    Ok(out)
}

/// A scalar as `%v` prints it; of anything nested only its type.
pub(crate) fn plain(v: &Value) -> String {
    match v {
        Value::Nil => "<nil>".into(),
        Value::Bool(b) => b.to_string(),
        Value::Int(i) | Value::Int64(i) => i.to_string(),
        Value::Uint64(u) => u.to_string(),
        Value::Float(f) => number::general(*f),
        Value::Str(s) => s.to_string(),
        other => other.type_name().to_string(),
    }
}

/// `fmt.Sprint(args…)`: a space between two that are no strings.
pub(crate) fn sprint(budget: &mut Budget, args: &[Value]) -> Result<String> {
    let mut out = String::new();
    let mut previous_string = true;
    for (i, arg) in args.iter().enumerate() {
        let string = matches!(arg, Value::Str(_));
        if i > 0 && !string && !previous_string {
            out.push(' ');
        }
        Printer {
            out: &mut out,
            budget,
        }
        .value(&Spec::default(), 'v', arg, 0)?;
        previous_string = string;
    }
    Ok(out)
}

/// `fmt.Sprintln(args…)`.
pub(crate) fn sprintln(budget: &mut Budget, args: &[Value]) -> Result<String> {
    let mut out = String::new();
    for (i, arg) in args.iter().enumerate() {
        out.push_str(if i > 0 { " " } else { "" });
        Printer {
            out: &mut out,
            budget,
        }
        .value(&Spec::default(), 'v', arg, 0)?;
    }
    out.push('\n');
    Ok(out)
}

#[derive(Default, Clone)]
struct Spec {
    plus: bool,
    minus: bool,
    sharp: bool,
    space: bool,
    zero: bool,
    width: Option<usize>,
    precision: Option<usize>,
}

/// Go takes no width or precision above this.
const MAX_WIDTH: usize = 1_000_000;

/// `fmt.Sprintf(format, args…)`.
pub(crate) fn sprintf(budget: &mut Budget, format: &str, args: &[Value]) -> Result<String> {
    let mut out = String::new();
    let mut chars = format.chars().peekable();
    let mut cursor = Cursor {
        args,
        next: 0,
        reordered: false,
        good: true,
    };
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        cursor.good = true;
        let mut spec = Spec::default();
        while let Some(&flag) = chars.peek() {
            match flag {
                '+' => spec.plus = true,
                '-' => spec.minus = true,
                '#' => spec.sharp = true,
                ' ' => spec.space = true,
                '0' => spec.zero = true,
                _ => break,
            }
            chars.next();
        }
        cursor.index(&mut chars);
        let (width, bad) = size(&mut chars, &mut cursor, &mut spec.minus);
        spec.width = width;
        out.push_str(if bad { "%!(BADWIDTH)" } else { "" });
        if chars.peek() == Some(&'.') {
            chars.next();
            cursor.index(&mut chars);
            let (precision, bad) = size(&mut chars, &mut cursor, &mut false);
            spec.precision = Some(precision.unwrap_or(0));
            if bad {
                spec.precision = None;
                out.push_str("%!(BADPREC)");
            }
        }
        cursor.index(&mut chars);
        let Some(verb) = chars.next() else {
            out.push_str("%!(NOVERB)");
            break;
        };
        if verb == '%' {
            out.push('%');
        } else if !cursor.good {
            let _ = write!(out, "%!{verb}(BADINDEX)");
        } else if let Some(arg) = args.get(cursor.next) {
            cursor.next += 1;
            Printer {
                out: &mut out,
                budget,
            }
            .top(&spec, verb, arg)?;
        } else {
            let _ = write!(out, "%!{verb}(MISSING)");
        }
    }
    if !cursor.reordered && cursor.next < args.len() {
        out.push_str("%!(EXTRA ");
        for (i, arg) in args[cursor.next..].iter().enumerate() {
            out.push_str(if i > 0 { ", " } else { "" });
            out.push_str(arg.type_name());
            if !matches!(arg, Value::Nil) {
                out.push('=');
                Printer {
                    out: &mut out,
                    budget,
                }
                .value(&Spec::default(), 'v', arg, 0)?;
            }
        }
        out.push(')');
    }
    budget.bytes(out.len())?;
    Ok(out)
}

type Chars<'a> = std::iter::Peekable<std::str::Chars<'a>>;

struct Cursor<'a> {
    args: &'a [Value],
    next: usize,
    reordered: bool,
    good: bool,
}

impl Cursor<'_> {
    /// An explicit argument index, `[n]`.
    fn index(&mut self, chars: &mut Chars<'_>) {
        if chars.peek() != Some(&'[') {
            return;
        }
        self.reordered = true;
        let digits: String = chars.by_ref().skip(1).take_while(|c| *c != ']').collect();
        match digits.parse::<usize>() {
            Ok(n) if (1..=self.args.len()).contains(&n) => self.next = n - 1,
            _ => self.good = false,
        }
    }
}

/// A width or precision, as digits or as `*`; true if it is none that Go takes.
fn size(chars: &mut Chars<'_>, cursor: &mut Cursor<'_>, minus: &mut bool) -> (Option<usize>, bool) {
    if chars.peek() == Some(&'*') {
        chars.next();
        let arg = cursor.args.get(cursor.next);
        cursor.next += usize::from(arg.is_some());
        return match arg {
            Some(Value::Int(n) | Value::Int64(n)) if n.unsigned_abs() <= MAX_WIDTH as u64 => {
                *minus |= *n < 0;
                (usize::try_from(n.unsigned_abs()).ok(), false)
            }
            _ => (None, true),
        };
    }
    let mut n: Option<usize> = None;
    while let Some(digit) = chars.peek().and_then(|c| c.to_digit(10)) {
        chars.next();
        n = Some(
            n.unwrap_or(0)
                .saturating_mul(10)
                .saturating_add(digit as usize),
        );
    }
    match n {
        Some(n) if n > MAX_WIDTH => (None, true),
        n => (n, false),
    }
}

struct Printer<'o, 'b> {
    out: &'o mut String,
    budget: &'b mut Budget,
}

impl Printer<'_, '_> {
    /// An argument of `printf` itself, where nil and `%T` are special.
    fn top(&mut self, spec: &Spec, verb: char, v: &Value) -> Result<()> {
        match (verb, v) {
            ('T', v) => self.pad(spec, v.type_name()),
            ('v', Value::Nil) => self.pad(spec, "<nil>"),
            (verb, Value::Nil) => {
                let _ = write!(self.out, "%!{verb}(<nil>)");
                Ok(())
            }
            _ => self.value(spec, verb, v, 0),
        }
    }

    fn value(&mut self, spec: &Spec, verb: char, v: &Value, depth: u32) -> Result<()> {
        self.budget.nested(depth)?;
        self.budget.step(1)?;
        match v {
            Value::Nil => self.pad(&Spec::default(), "<nil>"),
            Value::Bool(b) if matches!(verb, 't' | 'v') => {
                self.pad(spec, if *b { "true" } else { "false" })
            }
            Value::Int(i) | Value::Int64(i) => {
                self.integer(spec, verb, v, i.unsigned_abs(), *i < 0)
            }
            Value::Uint64(u) => self.integer(spec, verb, v, *u, false),
            Value::Float(f) => self.float(spec, verb, v, *f),
            Value::Str(s) => self.string(spec, verb, v, s),
            Value::Bytes(b) if matches!(verb, 's' | 'q' | 'x' | 'X') => {
                let s = text::decode(b);
                self.string(spec, verb, v, &s)
            }
            Value::Bytes(b) => {
                self.put("[")?;
                for (i, byte) in b.iter().enumerate() {
                    self.put(if i > 0 { " " } else { "" })?;
                    self.value(
                        spec,
                        if verb == 'v' { 'd' } else { verb },
                        &Value::Uint64((*byte).into()),
                        depth + 1,
                    )?;
                }
                self.put("]")
            }
            Value::List(list) => {
                self.put("[")?;
                for (i, item) in list.items().iter().enumerate() {
                    self.put(if i > 0 { " " } else { "" })?;
                    self.value(spec, verb, item, depth + 1)?;
                }
                self.put("]")
            }
            Value::Map(map) => {
                self.put("map[")?;
                for (i, (key, item)) in map.entries().into_iter().enumerate() {
                    self.put(if i > 0 { " " } else { "" })?;
                    self.value(spec, verb, &Value::Str(key), depth + 1)?;
                    self.put(":")?;
                    self.value(spec, verb, &item, depth + 1)?;
                }
                self.put("]")
            }
            Value::Object(object) if matches!(verb, 'v' | 's') => self.pad(spec, &object.text()),
            Value::Object(object) if verb == 'q' => self.pad(spec, &quote::quote(&object.text())),
            Value::Bool(_) | Value::Object(_) => self.bad(verb, v),
        }
    }

    fn put(&mut self, s: &str) -> Result<()> {
        self.budget.bytes(s.len())?;
        self.out.push_str(s);
        Ok(())
    }

    fn bad(&mut self, verb: char, v: &Value) -> Result<()> {
        let _ = write!(self.out, "%!{verb}({}=", v.type_name());
        self.value(&Spec::default(), 'v', v, 1)?;
        self.put(")")
    }

    fn pad(&mut self, spec: &Spec, s: &str) -> Result<()> {
        let count = s.chars().count();
        let fill = spec.width.unwrap_or(0).saturating_sub(count);
        self.budget.bytes(s.len() + fill)?;
        let spaces = if spec.zero && !spec.minus { "0" } else { " " }.repeat(fill);
        if spec.minus {
            self.out.push_str(s);
            self.out.push_str(&spaces);
        } else {
            self.out.push_str(&spaces);
            self.out.push_str(s);
        }
        Ok(())
    }

    /// Pads a number: zeros go between the sign and the digits.
    fn pad_number(&mut self, spec: &Spec, sign: &str, digits: &str) -> Result<()> {
        let width = spec.width.unwrap_or(0);
        if spec.zero && !spec.minus {
            let fill = width.saturating_sub(sign.len() + digits.len());
            self.budget.bytes(width)?;
            let _ = write!(self.out, "{sign}{}{digits}", "0".repeat(fill));
            return Ok(());
        }
        let spec = Spec {
            zero: false,
            ..spec.clone()
        };
        self.pad(&spec, &format!("{sign}{digits}"))
    }

    fn integer(
        &mut self,
        spec: &Spec,
        verb: char,
        v: &Value,
        magnitude: u64,
        negative: bool,
    ) -> Result<()> {
        let mut sign = String::from(match (negative, spec.plus, spec.space) {
            (true, ..) => "-",
            (false, true, _) => "+",
            (false, false, true) => " ",
            _ => "",
        });
        let mut digits = match verb {
            'v' | 'd' => magnitude.to_string(),
            'b' => format!("{magnitude:b}"),
            'o' | 'O' => format!("{magnitude:o}"),
            'x' => format!("{magnitude:x}"),
            'X' => format!("{magnitude:X}"),
            'c' | 'q' | 'U' => {
                let c = u32::try_from(magnitude)
                    .ok()
                    .and_then(char::from_u32)
                    .filter(|_| !negative);
                let c = c.unwrap_or(char::REPLACEMENT_CHARACTER);
                return match verb {
                    'c' => self.pad(spec, c.encode_utf8(&mut [0; 4])),
                    'q' => self.pad(spec, &quote::quote_rune(c)),
                    _ => self.pad(spec, &format!("U+{:04X}", u32::from(c))),
                };
            }
            _ => return self.bad(verb, v),
        };
        if let Some(precision) = spec.precision {
            self.budget.bytes(precision)?;
            digits = format!(
                "{}{digits}",
                "0".repeat(precision.saturating_sub(digits.len()))
            );
        }
        sign.push_str(match (spec.sharp, verb) {
            (true, 'b') => "0b",
            (true, 'o') => "0",
            (true, 'x') => "0x",
            (true, 'X') => "0X",
            (_, 'O') => "0o",
            _ => "",
        });
        let zero = spec.zero && spec.precision.is_none();
        self.pad_number(
            &Spec {
                zero,
                ..spec.clone()
            },
            &sign,
            &digits,
        )
    }

    fn float(&mut self, spec: &Spec, verb: char, v: &Value, f: f64) -> Result<()> {
        let precision = spec.precision;
        self.budget.bytes(precision.unwrap_or(0))?;
        let abs = f.abs();
        let body = match verb {
            _ if !f.is_finite() => if f.is_nan() { "NaN" } else { "Inf" }.to_string(),
            'v' | 'g' | 'G' => match precision {
                None => number::general(abs),
                Some(p) => general_with(abs, p.max(1)),
            },
            'e' | 'E' => exponential(abs, precision.unwrap_or(6)),
            'f' | 'F' => format!("{abs:.*}", precision.unwrap_or(6)),
            _ => return self.bad(verb, v),
        };
        let body = if matches!(verb, 'E' | 'G') {
            body.to_uppercase()
        } else {
            body
        };
        let sign = match (f.is_sign_negative() && !f.is_nan(), spec.plus, spec.space) {
            (true, ..) => "-",
            (false, true, _) => "+",
            (false, false, true) => " ",
            _ => {
                if f == f64::INFINITY {
                    "+"
                } else {
                    ""
                }
            }
        };
        let zero = spec.zero && f.is_finite();
        self.pad_number(
            &Spec {
                zero,
                ..spec.clone()
            },
            sign,
            &body,
        )
    }

    fn string(&mut self, spec: &Spec, verb: char, v: &Value, s: &str) -> Result<()> {
        let cut: String;
        let s = match spec.precision {
            Some(p) if !matches!(verb, 'x' | 'X') => {
                cut = s.chars().take(p).collect();
                &cut
            }
            _ => s,
        };
        match verb {
            'v' if spec.sharp => self.pad(spec, &quote::quote(s)),
            'v' | 's' => self.pad(spec, s),
            'q' if spec.sharp
                && !s.contains('`')
                && s.chars().all(|c| c == '\t' || quote::is_print(c)) =>
            {
                self.pad(spec, &format!("`{s}`"))
            }
            'q' => self.pad(spec, &quote::quote_with(s, '"', spec.plus)),
            'x' | 'X' => {
                let bytes = text::encode(s);
                self.budget.bytes(bytes.len() * 3)?;
                let separator = if spec.space { " " } else { "" };
                let parts: Vec<String> = bytes
                    .iter()
                    .map(|b| {
                        if verb == 'x' {
                            format!("{b:02x}")
                        } else {
                            format!("{b:02X}")
                        }
                    })
                    .collect();
                self.pad(spec, &parts.join(separator))
            }
            _ => self.bad(verb, v),
        }
    }
}

/// `%e`: the exponent has a sign and at least two digits.
fn exponential(abs: f64, precision: usize) -> String {
    let text = format!("{abs:.precision$e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    format!(
        "{mantissa}e{}{:02}",
        if exponent < 0 { '-' } else { '+' },
        exponent.abs()
    )
}

/// `%.*g`: that many significant digits, without zeros at the end.
fn general_with(abs: f64, digits: usize) -> String {
    let text = exponential(abs, digits - 1);
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "+00"));
    let exponent_value: i64 = exponent.parse().unwrap_or(0);
    let trimmed = |s: &str| {
        if s.contains('.') {
            s.trim_end_matches('0').trim_end_matches('.').to_string()
        } else {
            s.to_string()
        }
    };
    if exponent_value < -4 || exponent_value >= i64::try_from(digits).unwrap_or(i64::MAX) {
        return format!("{}e{exponent}", trimmed(mantissa));
    }
    let places =
        usize::try_from(i64::try_from(digits).unwrap_or(0) - 1 - exponent_value).unwrap_or(0);
    trimmed(&format!("{abs:.places$}"))
}

#[cfg(test)]
mod tests {
    use super::super::budget::Limits;
    use super::*;

    fn check(format: &str, args: &[Value], want: &str) {
        let mut budget = Budget::new(Limits::default());
        assert_eq!(
            sprintf(&mut budget, format, args).unwrap(),
            want,
            "{format}"
        );
    }

    #[test]
    fn verbs() {
        let list = Value::strings(["a", "b"]);
        check("%s-%d", &["x".into(), Value::Int(3)], "x-3");
        check(
            "%05d|%-5d|%5d|%+d",
            &[
                Value::Int(42),
                Value::Int(42),
                Value::Int(42),
                Value::Int(42),
            ],
            "00042|42   |   42|+42",
        );
        check(
            "%.2f %8.3f %e %g",
            &[
                Value::Float(3.14259),
                Value::Float(2.5),
                Value::Float(1e6),
                Value::Float(1e6),
            ],
            "3.14    2.500 1.000000e+06 1e+06",
        );
        check(
            "%q %v %s",
            &[list.clone(), list.clone(), list],
            r#"["a" "b"] [a b] [a b]"#,
        );
        check("%d", &[Value::Float(1.0)], "%!d(float64=1)");
        check("%s %s", &["a".into()], "a %!s(MISSING)");
        check("%s", &["a".into(), Value::Int(1)], "a%!(EXTRA int=1)");
        check(
            "%s|%v|%T",
            &[Value::Nil, Value::Nil, Value::Nil],
            "%!s(<nil>)|<nil>|<nil>",
        );
        check(
            "%x %X %t %%",
            &["hi".into(), Value::Int(255), true.into()],
            "6869 FF true %",
        );
        check("%[2]s %[1]s", &["a".into(), "b".into()], "b a");
        check(
            "%6.2f%%|%-8s|%8s|%.3s",
            &[
                Value::Float(12.345),
                "ab".into(),
                "ab".into(),
                "abcdef".into(),
            ],
            " 12.35%|ab      |      ab|abc",
        );
        check("%!", &[], "%!!(MISSING)");
        check("%*d", &[Value::Int(5), Value::Int(7)], "    7");
        check(
            "%c %U %q",
            &[Value::Int(65), Value::Int(65), Value::Int(65)],
            "A U+0041 'A'",
        );
        check(
            "%.3g %.10g",
            &[Value::Float(1234.5), Value::Float(1234.5)],
            "1.23e+03 1234.5",
        );
    }
}
