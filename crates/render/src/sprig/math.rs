//! Arithmetic: integers as `int64`, floats through decimals so that 0.1 + 0.2 is 0.3.

use super::args::{int, string};
use crate::gotemplate::{
    Budget, Function, INT_LIST, List, Result, Runtime, Type, Value, fail, format, number,
};

use Type::{Any, Float, Int, Str};

const A: &[Type] = &[Any];
const AA: &[Type] = &[Any, Any];

pub(super) static FUNCTIONS: &[(&str, Function)] = &[
    (
        "atoi",
        Function::new(&[Str], |_, a| {
            Ok(Value::Int(
                number::parse_int(&string(a, 0), 10).unwrap_or(0),
            ))
        }),
    ),
    (
        "int",
        Function::new(A, |_, a| Ok(Value::Int(to_int(&a[0])))),
    ),
    (
        "int64",
        Function::new(A, |_, a| Ok(Value::Int64(to_int(&a[0])))),
    ),
    (
        "float64",
        Function::new(A, |_, a| Ok(Value::Float(to_float(&a[0])))),
    ),
    (
        "toDecimal",
        Function::new(A, |rt, a| {
            let text = format::print(&mut rt.budget, &a[0])?;
            Ok(Value::Int64(number::parse_int(&text, 8).unwrap_or(0)))
        }),
    ),
    (
        "add1",
        Function::new(A, |_, a| Ok(Value::Int64(to_int(&a[0]).wrapping_add(1)))),
    ),
    (
        "add",
        Function::variadic(A, |_, a| fold(a, i64::wrapping_add)),
    ),
    ("sub", Function::new(AA, |_, a| fold(a, i64::wrapping_sub))),
    (
        "mul",
        Function::variadic(AA, |_, a| fold(a, i64::wrapping_mul)),
    ),
    (
        "div",
        Function::new(AA, |_, a| divide(a, i64::wrapping_div)),
    ),
    (
        "mod",
        Function::new(AA, |_, a| divide(a, i64::wrapping_rem)),
    ),
    ("max", Function::variadic(AA, |_, a| fold(a, i64::max))),
    ("biggest", Function::variadic(AA, |_, a| fold(a, i64::max))),
    ("min", Function::variadic(AA, |_, a| fold(a, i64::min))),
    (
        "maxf",
        Function::variadic(AA, |_, a| Ok(fold_floats(a, f64::max))),
    ),
    (
        "minf",
        Function::variadic(AA, |_, a| Ok(fold_floats(a, f64::min))),
    ),
    (
        "ceil",
        Function::new(A, |_, a| Ok(Value::Float(to_float(&a[0]).ceil()))),
    ),
    (
        "floor",
        Function::new(A, |_, a| Ok(Value::Float(to_float(&a[0]).floor()))),
    ),
    ("round", Function::variadic(&[Any, Int, Float], round)),
    (
        "add1f",
        Function::new(A, |_, a| {
            Ok(decimal(&a[0], &[Value::Int(1)], Decimal::plus, |x, y| {
                x + y
            }))
        }),
    ),
    (
        "addf",
        Function::variadic(A, |_, a| {
            Ok(decimal(&Value::Float(0.0), a, Decimal::plus, |x, y| x + y))
        }),
    ),
    (
        "subf",
        Function::variadic(AA, |_, a| {
            Ok(decimal(&a[0], &a[1..], Decimal::minus, |x, y| x - y))
        }),
    ),
    (
        "mulf",
        Function::variadic(AA, |_, a| {
            Ok(decimal(&a[0], &a[1..], Decimal::times, |x, y| x * y))
        }),
    ),
    (
        "divf",
        Function::variadic(AA, |_, a| {
            if a[1..].iter().any(|v| to_float(v) == 0.0) {
                fail!("decimal division by 0");
            }
            Ok(decimal(&a[0], &a[1..], Decimal::over, |x, y| x / y))
        }),
    ),
    (
        "until",
        Function::new(&[Int], |rt, a| {
            let stop = int(a, 0);
            sequence(&mut rt.budget, 0, stop, if stop < 0 { -1 } else { 1 })
        }),
    ),
    (
        "untilStep",
        Function::new(&[Int, Int, Int], |rt, a| {
            sequence(&mut rt.budget, int(a, 0), int(a, 1), int(a, 2))
        }),
    ),
    ("seq", Function::variadic(&[Int], seq)),
];

/// Without ".0" at the end, as the conversion library sees whole numbers.
fn trim_zero_decimal(s: &str) -> &str {
    match s.split_once('.') {
        Some((whole, zeros)) if !zeros.is_empty() && zeros.bytes().all(|b| b == b'0') => whole,
        _ => s,
    }
}

/// Anything as an integer; 0 for what is none.
pub(super) fn to_int(value: &Value) -> i64 {
    match value {
        Value::Bool(b) => i64::from(*b),
        Value::Int(i) | Value::Int64(i) => *i,
        Value::Uint64(u) => u.cast_signed(),
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a Go conversion cuts the fraction"
        )]
        Value::Float(f) => *f as i64,
        Value::Str(s) => number::parse_int(trim_zero_decimal(s), 0).unwrap_or(0),
        _ => 0,
    }
}

/// Anything as a float; 0 for what is none.
#[expect(clippy::cast_precision_loss, reason = "a Go conversion rounds")]
pub(super) fn to_float(value: &Value) -> f64 {
    match value {
        Value::Bool(b) => f64::from(u8::from(*b)),
        Value::Int(i) | Value::Int64(i) => *i as f64,
        Value::Uint64(u) => *u as f64,
        Value::Float(f) => *f,
        Value::Str(s) => number::parse_float(s).unwrap_or(0.0),
        _ => 0.0,
    }
}

#[expect(clippy::unnecessary_wraps, reason = "the shape of a function body")]
fn fold(a: &[Value], f: fn(i64, i64) -> i64) -> Result<Value> {
    Ok(Value::Int64(a.iter().map(to_int).reduce(f).unwrap_or(0)))
}

fn fold_floats(a: &[Value], f: fn(f64, f64) -> f64) -> Value {
    // NaN wins in Go's math.Max and math.Min.
    let either = |x: f64, y: f64| {
        if x.is_nan() || y.is_nan() {
            f64::NAN
        } else {
            f(x, y)
        }
    };
    Value::Float(a.iter().map(to_float).reduce(either).unwrap_or(0.0))
}

fn divide(a: &[Value], f: fn(i64, i64) -> i64) -> Result<Value> {
    let (x, y) = (to_int(&a[0]), to_int(&a[1]));
    if y == 0 {
        fail!("runtime error: integer divide by zero");
    }
    Ok(Value::Int64(f(x, y)))
}

#[expect(clippy::unnecessary_wraps, reason = "the shape of a function body")]
fn round(_: &mut Runtime<'_>, a: &[Value]) -> Result<Value> {
    let on = a.get(2).map_or(0.5, to_float);
    let places = i32::try_from(int(a, 1)).unwrap_or(0);
    let pow = 10f64.powi(places);
    let digit = pow * to_float(&a[0]);
    let rounded = if digit.fract() >= on {
        digit.ceil()
    } else {
        digit.floor()
    };
    Ok(Value::Float(rounded / pow))
}

fn steps(budget: &mut Budget, start: i64, stop: i64, step: i64) -> Result<Vec<i64>> {
    let forward = stop >= start;
    if step == 0 || forward != (step > 0) {
        return Ok(Vec::new());
    }
    let span = stop.abs_diff(start);
    let count = span.div_ceil(step.unsigned_abs());
    budget.step(count)?;
    budget.bytes(
        usize::try_from(count)
            .unwrap_or(usize::MAX)
            .saturating_mul(size_of::<Value>()),
    )?;
    let mut out = Vec::new();
    let mut at = start;
    for _ in 0..count {
        out.push(at);
        at = at.wrapping_add(step);
    }
    Ok(out)
}

fn sequence(budget: &mut Budget, start: i64, stop: i64, step: i64) -> Result<Value> {
    let items = steps(budget, start, stop, step)?
        .into_iter()
        .map(Value::Int)
        .collect();
    Ok(Value::List(List::new(&INT_LIST, items)))
}

/// Numbers as text, as the shell's `seq`.
fn seq(rt: &mut Runtime<'_>, a: &[Value]) -> Result<Value> {
    let toward = |start: i64, end: i64| if end < start { -1 } else { 1 };
    let (start, end, step) = match a.len() {
        1 => (1, int(a, 0), toward(1, int(a, 0))),
        2 => (int(a, 0), int(a, 1), toward(int(a, 0), int(a, 1))),
        3 => (int(a, 0), int(a, 2), int(a, 1)),
        _ => return Ok("".into()),
    };
    if a.len() == 3 && end < start && step > 0 {
        return Ok("".into());
    }
    let stop = end.saturating_add(toward(start, end));
    let text: Vec<String> = steps(&mut rt.budget, start, stop, step)?
        .iter()
        .map(i64::to_string)
        .collect();
    Ok(text.join(" ").into())
}

/// A decimal number: digits times a power of ten.
#[derive(Clone, Copy)]
struct Decimal {
    digits: i128,
    exponent: i32,
}

impl Decimal {
    fn of(f: f64) -> Option<Self> {
        let text = format!("{f:e}");
        let (mantissa, exponent) = text.split_once('e')?;
        let places = mantissa
            .split_once('.')
            .map_or(0, |(_, fraction)| fraction.len());
        let digits = mantissa.replace('.', "").parse().ok()?;
        Some(Self {
            digits,
            exponent: exponent.parse::<i32>().ok()? - i32::try_from(places).ok()?,
        })
    }

    fn at(self, exponent: i32) -> Option<i128> {
        let shift = u32::try_from(self.exponent - exponent).ok()?;
        self.digits.checked_mul(10i128.checked_pow(shift)?)
    }

    fn plus(self, other: Self) -> Option<Self> {
        let exponent = self.exponent.min(other.exponent);
        Some(Self {
            digits: self.at(exponent)?.checked_add(other.at(exponent)?)?,
            exponent,
        })
    }

    fn minus(self, other: Self) -> Option<Self> {
        self.plus(Self {
            digits: -other.digits,
            ..other
        })
    }

    fn times(self, other: Self) -> Option<Self> {
        Some(Self {
            digits: self.digits.checked_mul(other.digits)?,
            exponent: self.exponent.checked_add(other.exponent)?,
        })
    }

    /// Rounded to 16 places after the point.
    fn over(self, other: Self) -> Option<Self> {
        const PLACES: i32 = 16;
        let shift = self
            .exponent
            .checked_sub(other.exponent)?
            .checked_add(PLACES)?;
        let power = 10i128.checked_pow(shift.unsigned_abs())?;
        let (above, below) = if shift >= 0 {
            (self.digits.checked_mul(power)?, other.digits)
        } else {
            (self.digits, other.digits.checked_mul(power)?)
        };
        let (quotient, remainder) = (above.checked_div(below)?, above.checked_rem(below)?);
        let up = remainder.unsigned_abs() * 2 >= below.unsigned_abs();
        let sign = if (above < 0) == (below < 0) { 1 } else { -1 };
        Some(Self {
            digits: quotient + if up { sign } else { 0 },
            exponent: -PLACES,
        })
    }

    fn float(self) -> f64 {
        format!("{}e{}", self.digits, self.exponent)
            .parse()
            .unwrap_or(f64::NAN)
    }
}

/// Combines numbers as decimals, or as floats where the decimals grow too long.
fn decimal(
    first: &Value,
    rest: &[Value],
    exact: fn(Decimal, Decimal) -> Option<Decimal>,
    rough: fn(f64, f64) -> f64,
) -> Value {
    let mut sum = to_float(first);
    let mut sum_exact = Decimal::of(sum);
    for value in rest {
        let value = to_float(value);
        sum_exact = sum_exact.and_then(|s| exact(s, Decimal::of(value)?));
        sum = sum_exact.map_or_else(|| rough(sum, value), Decimal::float);
        sum_exact = sum_exact.or_else(|| Decimal::of(sum));
    }
    Value::Float(sum)
}
