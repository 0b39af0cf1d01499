//! `'%s is %d'.format([…])`

use super::Outcome;
use super::convert::{display, double_text};
use super::strings::quote;
use crate::budget::Meter;
use crate::error::EvalError;
use crate::value::{Key, List, Map, Value};

const DEFAULT_PRECISION: usize = 6;
const MAX_PRECISION: usize = 100;
/// Largest text that is made.
const MAX_LENGTH: usize = 8 << 20;

fn failed<T>(message: impl Into<String>) -> Result<T, EvalError> {
    Err(EvalError::other(message.into()))
}

/// Replaces the verbs `%s %d %f %e %b %x %X %o` by arguments, and `%%` by `%`.
pub(super) fn format<'a>(meter: &mut Meter, text: &str, args: &List<'a>) -> Outcome<'a> {
    let mut out = String::new();
    let mut chars = text.chars().peekable();
    let mut next = 0;
    while let Some(c) = chars.next() {
        meter.work(1)?;
        if c != '%' {
            out.push(c);
            continue;
        }
        if chars.next_if_eq(&'%').is_some() {
            out.push('%');
            continue;
        }
        let mut precision = None;
        if chars.next_if_eq(&'.').is_some() {
            let mut digits = String::new();
            while let Some(digit) = chars.next_if(char::is_ascii_digit) {
                digits.push(digit);
            }
            match digits.parse() {
                Ok(value) if value <= MAX_PRECISION => precision = Some(value),
                _ => return failed("could not parse formatting clause: precision is out of range"),
            }
        }
        let Some(verb) = chars.next() else {
            return failed("unexpected end of string");
        };
        let Some(arg) = args.get(next)? else {
            return failed(format!("index {next} out of range"));
        };
        next += 1;
        let part = match verb {
            's' => show(meter, &arg, 0)?,
            'd' => decimal(&arg)?,
            'f' => fixed(&arg, precision.unwrap_or(DEFAULT_PRECISION))?,
            'e' => scientific(&arg, precision.unwrap_or(DEFAULT_PRECISION))?,
            'b' => binary(&arg)?,
            'x' | 'X' => hex(meter, &arg, verb == 'X')?,
            'o' => octal(&arg)?,
            other => return failed(format!("unrecognized formatting clause \"{other}\"")),
        };
        meter.work(part.len())?;
        out.push_str(&part);
        if out.len() > MAX_LENGTH {
            return Err(EvalError::call_limit());
        }
    }
    Ok(Value::text(out))
}

fn wrong(verb: &str, value: &Value<'_>) -> EvalError {
    EvalError::other(format!(
        "error during formatting: {verb} was given {}",
        value.type_of().name()
    ))
}

/// `%s`; text inside lists and maps is quoted.
fn show(meter: &mut Meter, value: &Value<'_>, depth: usize) -> Result<String, EvalError> {
    meter.work(1)?;
    let is_inner = depth > 0;
    Ok(match value {
        Value::String(text) if is_inner => quote(text),
        Value::Bytes(bytes) if is_inner => format!("b{}", quote(&String::from_utf8_lossy(bytes))),
        Value::Timestamp(_) if is_inner => format!("timestamp({})", quote(&display(value))),
        Value::Duration(_) if is_inner => format!("duration({})", quote(&display(value))),
        Value::Double(number) if is_inner => {
            if number.is_finite() {
                format!("{number:.DEFAULT_PRECISION$}")
            } else {
                quote(&double_text(*number))
            }
        }
        Value::List(list) => {
            let mut parts = vec![];
            let mut length = 0;
            for element in list.iter() {
                let part = show(meter, &element?, depth + 1)?;
                length += part.len();
                meter.make(length as u64)?;
                parts.push(part);
            }
            format!("[{}]", parts.join(", "))
        }
        Value::Map(map) => show_map(meter, map, depth)?,
        Value::Null
        | Value::Bool(_)
        | Value::Int(_)
        | Value::Uint(_)
        | Value::Double(_)
        | Value::String(_)
        | Value::Bytes(_)
        | Value::Timestamp(_)
        | Value::Duration(_)
        | Value::Type(_) => display(value),
        other => {
            return failed(format!(
                "no formatting function for {}",
                other.type_of().name()
            ));
        }
    })
}

fn show_map(meter: &mut Meter, map: &Map<'_>, depth: usize) -> Result<String, EvalError> {
    let mut parts = vec![];
    let mut length = 0;
    for key in map.keys() {
        let shown = match &key {
            Key::String(text) => quote(text),
            other => display(&other.value()),
        };
        let value = map.get(&key)?.unwrap_or(Value::Null);
        let part = format!("{shown}:{}", show(meter, &value, depth + 1)?);
        length += part.len();
        meter.make(length as u64)?;
        parts.push(part);
    }
    parts.sort_unstable();
    Ok(format!("{{{}}}", parts.join(", ")))
}

fn decimal(value: &Value<'_>) -> Result<String, EvalError> {
    match value {
        Value::Int(_) | Value::Uint(_) => Ok(display(value)),
        other => Err(wrong("decimal clause", other)),
    }
}

/// The double an argument is; those that are no numbers may be text.
#[allow(clippy::cast_precision_loss, reason = "that is what a double is")]
fn double(value: &Value<'_>) -> Result<f64, EvalError> {
    match value {
        Value::Double(value) => Ok(*value),
        Value::Int(value) => Ok(*value as f64),
        Value::Uint(value) => Ok(*value as f64),
        Value::String(text) => match &**text {
            "NaN" => Ok(f64::NAN),
            "Infinity" => Ok(f64::INFINITY),
            "-Infinity" => Ok(f64::NEG_INFINITY),
            _ => Err(wrong("fixed-point clause", value)),
        },
        other => Err(wrong("fixed-point clause", other)),
    }
}

fn special(value: f64) -> Option<String> {
    if value.is_nan() {
        return Some("NaN".into());
    }
    value
        .is_infinite()
        .then(|| if value > 0.0 { "∞" } else { "-∞" }.into())
}

fn fixed(value: &Value<'_>, precision: usize) -> Result<String, EvalError> {
    let value = double(value)?;
    Ok(special(value).unwrap_or_else(|| format!("{value:.precision$}")))
}

fn scientific(value: &Value<'_>, precision: usize) -> Result<String, EvalError> {
    let value = double(value)?;
    Ok(special(value).unwrap_or_else(|| {
        let text = format!("{value:.precision$e}");
        let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let (sign, digits) = match exponent.strip_prefix('-') {
            Some(digits) => ('\u{2212}', digits),
            None => ('+', exponent),
        };
        format!("{mantissa}×10{}", superscript(sign, digits))
    }))
}

/// The exponent in small digits.
fn superscript(sign: char, digits: &str) -> String {
    let small = ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'];
    let mut out = String::new();
    if sign != '+' {
        out.push('⁻');
    }
    let padded = format!("{digits:0>2}");
    for digit in padded.chars().filter_map(|c| c.to_digit(10)) {
        out.push(small[digit as usize % 10]);
    }
    out
}

fn signed(value: &Value<'_>, verb: &str, digits: fn(u64) -> String) -> Result<String, EvalError> {
    match value {
        Value::Int(value) if *value < 0 => Ok(format!("-{}", digits(value.unsigned_abs()))),
        Value::Int(value) => Ok(digits(value.unsigned_abs())),
        Value::Uint(value) => Ok(digits(*value)),
        other => Err(wrong(verb, other)),
    }
}

fn binary(value: &Value<'_>) -> Result<String, EvalError> {
    match value {
        Value::Bool(value) => Ok(u8::from(*value).to_string()),
        other => signed(other, "binary clause", |value| format!("{value:b}")),
    }
}

fn octal(value: &Value<'_>) -> Result<String, EvalError> {
    signed(value, "octal clause", |value| format!("{value:o}"))
}

fn hex(meter: &mut Meter, value: &Value<'_>, is_upper: bool) -> Result<String, EvalError> {
    let bytes = match value {
        Value::String(text) => text.as_bytes(),
        Value::Bytes(bytes) => bytes,
        other => {
            let text = signed(other, "hex clause", |value| format!("{value:x}"))?;
            return Ok(if is_upper { text.to_uppercase() } else { text });
        }
    };
    meter.make(bytes.len() as u64 * 2)?;
    let mut out = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        out.push_str(&if is_upper {
            format!("{byte:02X}")
        } else {
            format!("{byte:02x}")
        });
    }
    Ok(out)
}
