//! Points in time and spans of time.

use jiff::civil::DateTime;
use jiff::tz::{Offset, TimeZone};
use jiff::{SignedDuration, Timestamp};

use super::{Function, Outcome, no_such_overload};
use crate::error::EvalError;
use crate::value::Value;

const NANOS: i64 = 1_000_000_000;
/// Years 1 to 9999, in seconds.
const MIN_SECOND: i64 = -62_135_596_800;
const MAX_SECOND: i64 = 253_402_300_799;
const EPOCH: DateTime = DateTime::constant(1970, 1, 1, 0, 0, 0, 0);

/// A point in time within the years 1 to 9999: nanoseconds since 1970 in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(i128);

impl Time {
    /// The second since 1970, and the nanoseconds since then; `None` outside the years 1 to 9999.
    #[must_use]
    pub fn new(second: i64, nanosecond: u32) -> Option<Self> {
        let is_within = (MIN_SECOND..=MAX_SECOND).contains(&second);
        is_within.then(|| Self(i128::from(second) * i128::from(NANOS) + i128::from(nanosecond)))
    }

    fn of_nanos(nanos: i128) -> Option<Self> {
        let second = i64::try_from(nanos.div_euclid(i128::from(NANOS))).ok()?;
        let rest = u32::try_from(nanos.rem_euclid(i128::from(NANOS))).ok()?;
        Self::new(second, rest)
    }

    pub(crate) fn second(self) -> i64 {
        i64::try_from(self.0.div_euclid(i128::from(NANOS))).unwrap_or(MAX_SECOND)
    }

    fn nanosecond(self) -> i64 {
        i64::try_from(self.0.rem_euclid(i128::from(NANOS))).unwrap_or(0)
    }

    /// Date and time of day, `offset` seconds east of UTC.
    fn civil(self, offset: i64) -> DateTime {
        let nanos = i32::try_from(self.nanosecond()).unwrap_or(0);
        EPOCH.saturating_add(SignedDuration::new(self.second() + offset, nanos))
    }

    /// RFC 3339: `2006-01-02T15:04:05.999999999Z`.
    fn parse(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        if text.len() < 20 || !matches!(bytes.get(10), Some(b'T' | b't')) {
            return None;
        }
        let zone = text.get(19..)?.find(['Z', 'z', '+', '-'])? + 19;
        let civil: DateTime = text.get(..zone)?.parse().ok()?;
        let offset = match text.get(zone..)? {
            "Z" | "z" => 0,
            signed => {
                let (hours, minutes) = signed.get(1..)?.split_once(':')?;
                if hours.len() != 2 || minutes.len() != 2 {
                    return None;
                }
                let (hours, minutes): (i64, i64) = (hours.parse().ok()?, minutes.parse().ok()?);
                if hours > 23 || minutes > 59 {
                    return None;
                }
                let seconds = hours * 3600 + minutes * 60;
                if signed.starts_with('-') {
                    -seconds
                } else {
                    seconds
                }
            }
        };
        Self::of_civil(civil, offset)
    }

    fn of_civil(civil: DateTime, offset: i64) -> Option<Self> {
        let since = civil.duration_since(EPOCH);
        Self::of_nanos(since.as_nanos() - i128::from(offset) * i128::from(NANOS))
    }
}

impl std::fmt::Display for Time {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}Z", self.civil(0))
    }
}

pub(super) fn function(name: &str) -> Option<Function> {
    Some(match name {
        "getFullYear" => |_, args| field(args, |time| i64::from(time.year())),
        "getMonth" => |_, args| field(args, |time| i64::from(time.month()) - 1),
        "getDayOfYear" => |_, args| field(args, |time| i64::from(time.day_of_year()) - 1),
        "getDayOfMonth" => |_, args| field(args, |time| i64::from(time.day()) - 1),
        "getDate" => |_, args| field(args, |time| i64::from(time.day())),
        "getDayOfWeek" => |_, args| {
            field(args, |time| {
                i64::from(time.weekday().to_sunday_zero_offset())
            })
        },
        "getHours" => |_, args| match args {
            [Value::Duration(nanos)] => Ok(Value::Int(nanos / (3600 * NANOS))),
            _ => field(args, |time| i64::from(time.hour())),
        },
        "getMinutes" => |_, args| match args {
            [Value::Duration(nanos)] => Ok(Value::Int(nanos / (60 * NANOS))),
            _ => field(args, |time| i64::from(time.minute())),
        },
        "getSeconds" => |_, args| match args {
            [Value::Duration(nanos)] => Ok(Value::Int(nanos / NANOS)),
            _ => field(args, |time| i64::from(time.second())),
        },
        "getMilliseconds" => |_, args| match args {
            [Value::Duration(nanos)] => Ok(Value::Int(nanos / 1_000_000)),
            _ => field(args, |time| i64::from(time.subsec_nanosecond() / 1_000_000)),
        },
        _ => return None,
    })
}

fn field<'a>(args: &[Value<'a>], get: fn(DateTime) -> i64) -> Outcome<'a> {
    let (time, offset) = match args {
        [Value::Timestamp(time)] => (time, 0),
        [Value::Timestamp(time), Value::String(zone)] => {
            let zone = time_zone(zone)?;
            // The first and last hours of what can be are not within what zones know of.
            let at = Timestamp::from_second(time.second()).unwrap_or(Timestamp::MAX);
            (time, i64::from(zone.to_offset(at).seconds()))
        }
        _ => return no_such_overload(),
    };
    Ok(Value::Int(get(time.civil(offset))))
}

/// A zone by name, or an offset such as `-08:00`.
fn time_zone(name: &str) -> Result<TimeZone, EvalError> {
    let unknown = || EvalError::other(format!("unknown time zone {name}"));
    if name == "UTC" || name.is_empty() {
        return Ok(TimeZone::UTC);
    }
    let Some((hours, minutes)) = name.split_once(':') else {
        return crate::zone(name).ok_or_else(unknown);
    };
    let minutes: i32 = minutes.parse().map_err(|_| unknown())?;
    let is_negative = hours.starts_with('-');
    let hours: i32 = hours.parse().map_err(|_| unknown())?;
    if hours.unsigned_abs() > 24 || !(0..60).contains(&minutes) {
        return Err(unknown());
    }
    let minutes = hours * 60 + if is_negative { -minutes } else { minutes };
    let offset = Offset::from_seconds(minutes * 60).map_err(|_| unknown())?;
    Ok(TimeZone::fixed(offset))
}

fn checked_timestamp<'a>(time: Option<Time>) -> Outcome<'a> {
    let overflow = || EvalError::other("timestamp overflow");
    time.map(Value::Timestamp).ok_or_else(overflow)
}

fn checked_duration<'a>(nanos: Option<i64>) -> Outcome<'a> {
    let overflow = || EvalError::other("duration overflow");
    nanos.map(Value::Duration).ok_or_else(overflow)
}

pub(super) fn add<'a>(a: &Value<'a>, b: &Value<'a>) -> Outcome<'a> {
    match (a, b) {
        (Value::Duration(a), Value::Duration(b)) => checked_duration(a.checked_add(*b)),
        (Value::Timestamp(time), Value::Duration(span))
        | (Value::Duration(span), Value::Timestamp(time)) => {
            checked_timestamp(Time::of_nanos(time.0 + i128::from(*span)))
        }
        _ => no_such_overload(),
    }
}

pub(super) fn subtract<'a>(a: &Value<'a>, b: &Value<'a>) -> Outcome<'a> {
    match (a, b) {
        (Value::Duration(a), Value::Duration(b)) => checked_duration(a.checked_sub(*b)),
        (Value::Timestamp(time), Value::Duration(span)) => {
            checked_timestamp(Time::of_nanos(time.0 - i128::from(*span)))
        }
        (Value::Timestamp(a), Value::Timestamp(b)) => {
            checked_duration(i64::try_from(a.0 - b.0).ok())
        }
        _ => no_such_overload(),
    }
}

/// `timestamp(x)`
pub(super) fn timestamp<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [value @ Value::Timestamp(_)] => Ok(value.clone()),
        [Value::Int(second)] => checked_timestamp(Time::new(*second, 0)),
        [Value::String(text)] => parse_time(text),
        _ => no_such_overload(),
    }
}

fn parse_time<'a>(text: &str) -> Outcome<'a> {
    Time::parse(text).map(Value::Timestamp).ok_or_else(|| {
        EvalError::other(format!(
            "parsing time {text:?} as \"2006-01-02T15:04:05Z07:00\": cannot parse"
        ))
    })
}

/// A field of the formats `date-time` and `date`.
pub(crate) fn parse_json_time<'a>(text: &str) -> Outcome<'a> {
    if let Ok(date) = text.parse::<jiff::civil::Date>()
        && text.len() == 10
    {
        return checked_timestamp(Time::of_civil(date.at(0, 0, 0, 0), 0));
    }
    parse_time(text)
        .map_err(|_| EvalError::other(format!("Invalid date-time formatted string {text}")))
}

/// A field of the format `duration`.
pub(crate) fn parse_json_duration<'a>(text: &str) -> Outcome<'a> {
    let nanos = parse_span(text).or_else(|| parse_words(text));
    match nanos {
        Some(nanos) => Ok(Value::Duration(nanos)),
        None => Err(EvalError::other(format!("Invalid duration {text}"))),
    }
}

/// `2 days`, `1 hour`: what the format `duration` reads beside Go's notation.
fn parse_words(text: &str) -> Option<i64> {
    let mut total: i64 = 0;
    let mut rest = text.trim();
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let count: i64 = rest[..digits].parse().ok()?;
        rest = rest[digits..].trim_start();
        let end = rest
            .find(|c: char| !c.is_alphabetic())
            .unwrap_or(rest.len());
        let unit = match rest[..end].to_lowercase().as_str() {
            "ns" | "nano" | "nanos" | "nanosecond" | "nanoseconds" => 1,
            "us" | "µs" | "micro" | "micros" | "microsecond" | "microseconds" => 1_000,
            "ms" | "milli" | "millis" | "millisecond" | "milliseconds" => 1_000_000,
            "s" | "sec" | "secs" | "second" | "seconds" => NANOS,
            "m" | "min" | "mins" | "minute" | "minutes" => 60 * NANOS,
            "h" | "hr" | "hour" | "hours" => 3600 * NANOS,
            "d" | "day" | "days" => 86_400 * NANOS,
            "w" | "wk" | "week" | "weeks" => 7 * 86_400 * NANOS,
            _ => return None,
        };
        total = total.checked_add(count.checked_mul(unit)?)?;
        rest = rest[end..].trim_start_matches([' ', ',']);
    }
    Some(total)
}

/// `duration(x)`
pub(super) fn duration<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [value @ Value::Duration(_)] => Ok(value.clone()),
        [Value::Int(nanos)] => Ok(Value::Duration(*nanos)),
        [Value::String(text)] => parse_span(text)
            .map(Value::Duration)
            .ok_or_else(|| EvalError::other(format!("time: invalid duration {:?}", &**text))),
        _ => no_such_overload(),
    }
}

/// Go's notation: `1h30m`, `-1.5s`, `0`.
fn parse_span(text: &str) -> Option<i64> {
    let (is_negative, mut rest) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total: i128 = 0;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at(end);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') || whole.len() > 19 {
            return None;
        }
        let end = after
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(after.len());
        let (unit, after) = after.split_at(end);
        let unit: i128 = match unit {
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => i128::from(NANOS),
            "m" => 60 * i128::from(NANOS),
            "h" => 3600 * i128::from(NANOS),
            _ => return None,
        };
        let digits = &fraction[..fraction.len().min(18)];
        let power = 10_i128.pow(u32::try_from(digits.len()).ok()?);
        let whole: i128 = if whole.is_empty() {
            0
        } else {
            whole.parse().ok()?
        };
        let part: i128 = if digits.is_empty() {
            0
        } else {
            digits.parse().ok()?
        };
        total = total.checked_add(whole * unit + part * unit / power)?;
        rest = after;
    }
    i64::try_from(if is_negative { -total } else { total }).ok()
}

/// Seconds: `1.5s`.
pub(super) fn duration_text(nanos: i64) -> String {
    let (sign, value) = if nanos < 0 {
        ("-", nanos.unsigned_abs())
    } else {
        ("", nanos.unsigned_abs())
    };
    let (seconds, rest) = (value / 1_000_000_000, value % 1_000_000_000);
    if rest == 0 {
        return format!("{sign}{seconds}s");
    }
    let fraction = format!("{rest:09}");
    format!("{sign}{seconds}.{}s", fraction.trim_end_matches('0'))
}
