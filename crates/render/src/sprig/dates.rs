//! Dates and durations in Go's layouts. The zone "Local" is UTC: charts render the same everywhere.

use super::args::{int, string};
use super::layout::{format, month, parse, weekday};
use crate::gotemplate::{Error, Function, Object, Result, Runtime, Type, Value, fail, quote};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, Zoned};
use std::rc::Rc;

/// Go's name of a point in time.
const TIME: &str = "time.Time";

use Type::{Any, Str};

const T: Type = Type::Object(TIME);

pub(super) static FUNCTIONS: &[(&str, Function)] = &[
    (
        "now",
        Function::new(&[], |rt, _| Ok(time(rt.now.to_zoned(TimeZone::UTC)))),
    ),
    (
        "date",
        Function::new(&[Str, Any], |rt, a| formatted(rt, &string(a, 0), &a[1], "")),
    ),
    (
        "date_in_zone",
        Function::new(&[Str, Any, Str], date_in_zone),
    ),
    ("dateInZone", Function::new(&[Str, Any, Str], date_in_zone)),
    (
        "htmlDate",
        Function::new(&[Any], |rt, a| formatted(rt, "2006-01-02", &a[0], "")),
    ),
    (
        "htmlDateInZone",
        Function::new(&[Any, Str], |rt, a| {
            formatted(rt, "2006-01-02", &a[0], &string(a, 1))
        }),
    ),
    (
        "dateModify",
        Function::new(&[Str, T], |_, a| {
            Ok(modify(a).unwrap_or_else(|_| a[1].clone()))
        }),
    ),
    (
        "date_modify",
        Function::new(&[Str, T], |_, a| {
            Ok(modify(a).unwrap_or_else(|_| a[1].clone()))
        }),
    ),
    ("mustDateModify", Function::new(&[Str, T], |_, a| modify(a))),
    (
        "must_date_modify",
        Function::new(&[Str, T], |_, a| modify(a)),
    ),
    (
        "ago",
        Function::new(&[Any], |rt, a| {
            let since = rt.now.as_second() - instant(rt, &a[0]).as_second();
            Ok(go_duration(SignedDuration::from_secs(since)).into())
        }),
    ),
    (
        "duration",
        Function::new(&[Any], |_, a| {
            let seconds = match &a[0] {
                Value::Str(s) => s.parse().unwrap_or(0),
                Value::Int64(n) => *n,
                _ => 0,
            };
            Ok(go_duration(SignedDuration::from_secs(seconds)).into())
        }),
    ),
    (
        "durationRound",
        Function::new(&[Any], |rt, a| {
            let duration = match &a[0] {
                Value::Str(s) => parse_duration(s).unwrap_or_default(),
                Value::Int64(n) => SignedDuration::from_nanos(*n),
                Value::Object(_) => rt.now.duration_since(instant(rt, &a[0])),
                _ => SignedDuration::ZERO,
            };
            Ok(rounded(duration).into())
        }),
    ),
    (
        "toDate",
        Function::new(&[Str, Str], |_, a| {
            Ok(time(
                parse(&string(a, 0), &string(a, 1)).unwrap_or_else(|_| zero_time()),
            ))
        }),
    ),
    (
        "mustToDate",
        Function::new(&[Str, Str], |_, a| {
            parse(&string(a, 0), &string(a, 1)).map(time)
        }),
    ),
    (
        "unixEpoch",
        Function::new(&[T], |rt, a| {
            Ok(instant(rt, &a[0]).as_second().to_string().into())
        }),
    ),
];

/// A point in time, as templates hold it.
struct Time(Zoned);

fn time(zoned: Zoned) -> Value {
    Value::Object(Rc::new(Time(zoned)))
}

fn zoned(value: &Value) -> Option<&Zoned> {
    match value {
        Value::Object(object) => object.as_any().downcast_ref::<Time>().map(|t| &t.0),
        _ => None,
    }
}

/// Go's zero time, the start of year 1.
fn zero_time() -> Zoned {
    let date = jiff::civil::date(1, 1, 1);
    date.to_zoned(TimeZone::UTC)
        .unwrap_or_else(|_| Timestamp::UNIX_EPOCH.to_zoned(TimeZone::UTC))
}

/// What sprig takes for a date: a time or seconds since 1970; everything else is now.
fn instant(rt: &Runtime<'_>, value: &Value) -> Timestamp {
    match value {
        Value::Int(n) | Value::Int64(n) => Timestamp::from_second(*n).unwrap_or(rt.now),
        other => zoned(other).map_or(rt.now, Zoned::timestamp),
    }
}

fn date_in_zone(rt: &mut Runtime<'_>, a: &[Value]) -> Result<Value> {
    formatted(rt, &string(a, 0), &a[1], &string(a, 2))
}

#[expect(clippy::unnecessary_wraps, reason = "the shape of a function body")]
fn formatted(rt: &Runtime<'_>, layout: &str, value: &Value, zone: &str) -> Result<Value> {
    let zone = match zone {
        "" | "UTC" | "Local" => TimeZone::UTC,
        name => TimeZone::get(name).unwrap_or(TimeZone::UTC),
    };
    Ok(format(&instant(rt, value).to_zoned(zone), layout).into())
}

fn modify(a: &[Value]) -> Result<Value> {
    let Some(at) = zoned(&a[1]) else {
        fail!("no time")
    };
    let duration = parse_duration(&string(a, 0))?;
    at.checked_add(duration)
        .map(time)
        .map_err(|e| Error::new(e.to_string()))
}

static METHODS: &[(&str, Function)] = &[
    (
        "Unix",
        Function::new(&[], |_, a| {
            Ok(Value::Int64(
                zoned(&a[0]).map_or(0, |z| z.timestamp().as_second()),
            ))
        }),
    ),
    (
        "UnixNano",
        Function::new(&[], |_, a| {
            let nanos = zoned(&a[0]).map_or(0, |z| z.timestamp().as_nanosecond());
            Ok(Value::Int64(i64::try_from(nanos).unwrap_or(0)))
        }),
    ),
    (
        "Year",
        Function::new(&[], |_, a| {
            Ok(Value::Int(zoned(&a[0]).map_or(0, |z| z.year().into())))
        }),
    ),
    (
        "Day",
        Function::new(&[], |_, a| {
            Ok(Value::Int(zoned(&a[0]).map_or(0, |z| z.day().into())))
        }),
    ),
    (
        "YearDay",
        Function::new(&[], |_, a| {
            Ok(Value::Int(
                zoned(&a[0]).map_or(0, |z| z.day_of_year().into()),
            ))
        }),
    ),
    (
        "Hour",
        Function::new(&[], |_, a| {
            Ok(Value::Int(zoned(&a[0]).map_or(0, |z| z.hour().into())))
        }),
    ),
    (
        "Minute",
        Function::new(&[], |_, a| {
            Ok(Value::Int(zoned(&a[0]).map_or(0, |z| z.minute().into())))
        }),
    ),
    (
        "Second",
        Function::new(&[], |_, a| {
            Ok(Value::Int(zoned(&a[0]).map_or(0, |z| z.second().into())))
        }),
    ),
    (
        "Month",
        Function::new(&[], |_, a| Ok(zoned(&a[0]).map_or("", |z| month(z)).into())),
    ),
    (
        "Weekday",
        Function::new(&[], |_, a| {
            Ok(zoned(&a[0]).map_or("", |z| weekday(z)).into())
        }),
    ),
    (
        "IsZero",
        Function::new(&[], |_, a| {
            Ok(zoned(&a[0]).is_some_and(|z| *z == zero_time()).into())
        }),
    ),
    (
        "UTC",
        Function::new(&[], |_, a| {
            Ok(zoned(&a[0]).map_or(Value::Nil, |z| time(z.with_time_zone(TimeZone::UTC))))
        }),
    ),
    (
        "String",
        Function::new(&[], |_, a| {
            Ok(zoned(&a[0]).map_or(String::new(), shown).into())
        }),
    ),
    (
        "Format",
        Function::new(&[Str], |_, a| {
            let layout = string(a, 1);
            Ok(zoned(&a[0])
                .map_or(String::new(), |z| format(z, &layout))
                .into())
        }),
    ),
    (
        "Before",
        Function::new(&[Type::Object(TIME)], |_, a| {
            Ok((zoned(&a[0]) < zoned(&a[1])).into())
        }),
    ),
    (
        "After",
        Function::new(&[Type::Object(TIME)], |_, a| {
            Ok((zoned(&a[0]) > zoned(&a[1])).into())
        }),
    ),
    (
        "Equal",
        Function::new(&[Type::Object(TIME)], |_, a| {
            Ok((zoned(&a[0]) == zoned(&a[1])).into())
        }),
    ),
    (
        "AddDate",
        Function::new(&[Type::Int, Type::Int, Type::Int], |_, a| {
            let Some(z) = zoned(&a[0]) else {
                return Ok(Value::Nil);
            };
            let span = jiff::Span::new()
                .try_years(int(a, 1))
                .and_then(|s| s.try_months(int(a, 2)))
                .and_then(|s| s.try_days(int(a, 3)));
            span.and_then(|s| z.checked_add(s))
                .map(time)
                .map_err(|e| Error::new(e.to_string()))
        }),
    ),
];

impl Object for Time {
    fn type_name(&self) -> &'static str {
        TIME
    }

    fn field(&self, _name: &str) -> Option<Value> {
        None
    }

    fn method(&self, name: &str) -> Option<&'static Function> {
        METHODS.iter().find(|(n, _)| *n == name).map(|(_, f)| f)
    }

    fn text(&self) -> String {
        shown(&self.0)
    }

    fn data(&self) -> Value {
        format(&self.0, "2006-01-02T15:04:05.999999999Z07:00").into()
    }

    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
}

fn shown(z: &Zoned) -> String {
    format(z, "2006-01-02 15:04:05.999999999 -0700 MST")
}

/// `time.ParseDuration`.
fn parse_duration(text: &str) -> Result<SignedDuration> {
    let refuse = |why: &str| Error::new(format!("time: {why}{}", quote::quote(text)));
    let invalid = || refuse("invalid duration ");
    let (negative, mut rest) = match text.strip_prefix(['+', '-']) {
        Some(rest) => (text.starts_with('-'), rest),
        None => (false, text),
    };
    if rest == "0" {
        return Ok(SignedDuration::ZERO);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut nanos = 0f64;
    while !rest.is_empty() {
        let end = rest
            .find(|c: char| !(c.is_ascii_digit() || c == '.'))
            .unwrap_or(rest.len());
        let number: f64 = rest[..end].parse().map_err(|_| invalid())?;
        rest = &rest[end..];
        let end = rest
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(rest.len());
        let unit = match &rest[..end] {
            "ns" => 1.0,
            "us" | "µs" | "μs" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "m" => 60e9,
            "h" => 3600e9,
            "" => return Err(refuse("missing unit in duration ")),
            unit => fail!(
                "time: unknown unit {} in duration {}",
                quote::quote(unit),
                quote::quote(text)
            ),
        };
        nanos += number * unit;
        rest = &rest[end..];
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "checked against the range of a duration"
    )]
    let whole = if nanos < 9.2e18 {
        nanos.round() as i64
    } else {
        return Err(invalid());
    };
    Ok(SignedDuration::from_nanos(if negative {
        -whole
    } else {
        whole
    }))
}

/// `time.Duration.String` of whole seconds.
fn go_duration(duration: SignedDuration) -> String {
    let seconds = duration.as_secs();
    let sign = if seconds < 0 { "-" } else { "" };
    let total = seconds.unsigned_abs();
    let (hours, minutes, seconds) = (total / 3600, total / 60 % 60, total % 60);
    match (hours, minutes) {
        (0, 0) => format!("{sign}{seconds}s"),
        (0, _) => format!("{sign}{minutes}m{seconds}s"),
        _ => format!("{sign}{hours}h{minutes}m{seconds}s"),
    }
}

/// The largest unit of a duration only.
fn rounded(duration: SignedDuration) -> String {
    let nanos = duration.as_nanos().unsigned_abs();
    const SECOND: u128 = 1_000_000_000;
    const DAY: u128 = 86_400 * SECOND;
    for (unit, name) in [
        (365 * DAY, "y"),
        (30 * DAY, "mo"),
        (DAY, "d"),
        (3600 * SECOND, "h"),
        (60 * SECOND, "m"),
        (SECOND, "s"),
    ] {
        if nanos > unit {
            return format!("{}{name}", nanos / unit);
        }
    }
    "0s".into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        assert_eq!(go_duration(parse_duration("1h30m5s").unwrap()), "1h30m5s");
        assert_eq!(go_duration(parse_duration("-90s").unwrap()), "-1m30s");
        assert_eq!(rounded(parse_duration("2400h").unwrap()), "3mo");
        assert!(
            parse_duration("5").is_err()
                && parse_duration("x").is_err()
                && parse_duration("").is_err()
        );
    }
}
