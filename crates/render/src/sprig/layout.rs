//! Dates as text, by the layouts of Go: "2006-01-02" and its kind.

use crate::gotemplate::{Error, Result, fail, quote};
use jiff::Zoned;
use jiff::civil::Weekday;
use jiff::tz::TimeZone;

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = [
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
];

pub(super) fn month(z: &Zoned) -> &'static str {
    MONTHS[usize::try_from(z.month() - 1).unwrap_or(0).min(11)]
}

pub(super) fn weekday(z: &Zoned) -> &'static str {
    let day: Weekday = z.weekday();
    DAYS[usize::try_from(day.to_monday_zero_offset())
        .unwrap_or(0)
        .min(6)]
}

/// The elements of a layout, longest first where one begins another.
const ELEMENTS: [&str; 34] = [
    "January",
    "Monday",
    "-07:00:00",
    "Z07:00:00",
    "-070000",
    "Z070000",
    "-07:00",
    "Z07:00",
    "-0700",
    "Z0700",
    "2006",
    "Jan",
    "Mon",
    "MST",
    "-07",
    "Z07",
    "002",
    "__2",
    "01",
    "02",
    "03",
    "04",
    "05",
    "06",
    "15",
    "PM",
    "pm",
    "_2",
    "1",
    "2",
    "3",
    "4",
    "5",
    "",
];

/// Takes the next element off a layout: the text before it, and the element (empty at the end).
fn element<'l>(layout: &mut &'l str) -> (&'l str, &'l str) {
    let all: &'l str = layout;
    for (at, _) in all.char_indices() {
        let rest = &all[at..];
        let fraction = fraction(rest);
        let found = if fraction > 0 {
            &rest[..fraction]
        } else {
            let name = ELEMENTS
                .iter()
                .find(|e| rest.starts_with(**e))
                .copied()
                .unwrap_or_default();
            // "Jan" and "Mon" inside a longer word are no elements.
            let word = matches!(name, "Jan" | "Mon")
                && rest[3..].starts_with(|c: char| c.is_ascii_lowercase());
            // "_2006" is an underscore and a year.
            if word || (name == "_2" && rest.starts_with("_2006")) {
                ""
            } else {
                &rest[..name.len()]
            }
        };
        if !found.is_empty() {
            *layout = &rest[found.len()..];
            return (&all[..at], found);
        }
    }
    *layout = "";
    (all, "")
}

/// Length of a fraction of a second: a point or comma and zeros or nines, not followed by a digit.
fn fraction(s: &str) -> usize {
    let Some(body) = s.strip_prefix(['.', ',']) else {
        return 0;
    };
    let Some(digit) = body.chars().next().filter(|c| matches!(c, '0' | '9')) else {
        return 0;
    };
    let count = body.chars().take_while(|c| *c == digit).count();
    if body[count..].starts_with(|c: char| c.is_ascii_digit()) {
        0
    } else {
        count + 1
    }
}

/// `time.Time.Format`.
pub(super) fn format(z: &Zoned, layout: &str) -> String {
    let mut out = String::new();
    let mut rest = layout;
    loop {
        let (text, element) = element(&mut rest);
        out.push_str(text);
        if element.is_empty() {
            return out;
        }
        out.push_str(&shown_element(z, element));
    }
}

fn shown_element(z: &Zoned, element: &str) -> String {
    let hour12 = match z.hour() % 12 {
        0 => 12,
        h => h,
    };
    match element {
        "2006" => format!("{:04}", z.year()),
        "06" => format!("{:02}", z.year().rem_euclid(100)),
        "January" => month(z).into(),
        "Jan" => month(z)[..3].into(),
        "01" => format!("{:02}", z.month()),
        "1" => z.month().to_string(),
        "Monday" => weekday(z).into(),
        "Mon" => weekday(z)[..3].into(),
        "02" => format!("{:02}", z.day()),
        "_2" => format!("{:2}", z.day()),
        "2" => z.day().to_string(),
        "002" => format!("{:03}", z.day_of_year()),
        "__2" => format!("{:3}", z.day_of_year()),
        "15" => format!("{:02}", z.hour()),
        "03" => format!("{hour12:02}"),
        "3" => hour12.to_string(),
        "04" => format!("{:02}", z.minute()),
        "4" => z.minute().to_string(),
        "05" => format!("{:02}", z.second()),
        "5" => z.second().to_string(),
        "PM" => if z.hour() >= 12 { "PM" } else { "AM" }.into(),
        "pm" => if z.hour() >= 12 { "pm" } else { "am" }.into(),
        "MST" => z.strftime("%Z").to_string(),
        fraction if fraction.starts_with(['.', ',']) => {
            let digits = format!("{:09}", z.subsec_nanosecond());
            let cut = &digits[..(fraction.len() - 1).min(9)];
            let kept = if fraction.ends_with('9') {
                cut.trim_end_matches('0')
            } else {
                cut
            };
            if kept.is_empty() {
                String::new()
            } else {
                format!("{}{kept}", &fraction[..1])
            }
        }
        zone => shown_zone(z.offset().seconds(), zone),
    }
}

fn shown_zone(offset: i32, element: &str) -> String {
    if element.starts_with('Z') && offset == 0 {
        return "Z".into();
    }
    let sign = if offset < 0 { '-' } else { '+' };
    let (hours, minutes, seconds) = (
        offset.abs() / 3600,
        offset.abs() / 60 % 60,
        offset.abs() % 60,
    );
    match &element[1..] {
        "07" => format!("{sign}{hours:02}"),
        "0700" => format!("{sign}{hours:02}{minutes:02}"),
        "07:00" => format!("{sign}{hours:02}:{minutes:02}"),
        "070000" => format!("{sign}{hours:02}{minutes:02}{seconds:02}"),
        _ => format!("{sign}{hours:02}:{minutes:02}:{seconds:02}"),
    }
}

/// The parts of a date that is being read.
struct Parts {
    year: i16,
    month: i8,
    day: i8,
    hour: i8,
    minute: i8,
    second: i8,
    nanos: i32,
    afternoon: Option<bool>,
    offset: i32,
}

/// `time.ParseInLocation` in UTC.
pub(super) fn parse(layout: &str, text: &str) -> Result<Zoned> {
    let whole = layout;
    let refuse = |rest: &str, element: &str| {
        let (text, layout) = (quote::quote(text), quote::quote(whole));
        let (rest, element) = (quote::quote(rest), quote::quote(element));
        Error::new(format!(
            "parsing time {text} as {layout}: cannot parse {rest} as {element}"
        ))
    };
    let mut parts = Parts {
        year: 0,
        month: 1,
        day: 1,
        hour: 0,
        minute: 0,
        second: 0,
        nanos: 0,
        afternoon: None,
        offset: 0,
    };
    let (mut rest, mut layout) = (text, layout);
    loop {
        let (before, element) = element(&mut layout);
        rest = rest
            .strip_prefix(before)
            .ok_or_else(|| refuse(rest, before))?;
        if element.is_empty() {
            break;
        }
        rest = parts
            .read(element, rest)
            .ok_or_else(|| refuse(rest, element))?;
        // Go takes a fraction after the seconds that the layout doesn't have.
        if matches!(element, "05" | "5") && fraction(layout) == 0 && rest.starts_with(['.', ',']) {
            rest = parts.read_fraction(rest).unwrap_or(rest);
        }
    }
    if !rest.is_empty() {
        fail!(
            "parsing time {}: extra text: {}",
            quote::quote(text),
            quote::quote(rest)
        );
    }
    parts
        .time()
        .ok_or_else(|| Error::new(format!("parsing time {}: out of range", quote::quote(text))))
}

/// Takes a number of at least and at most so many digits off the front.
fn digits<T: std::str::FromStr>(s: &str, least: usize, most: usize) -> Option<(T, &str)> {
    let count = s.bytes().take(most).take_while(u8::is_ascii_digit).count();
    if count < least {
        return None;
    }
    Some((s[..count].parse().ok()?, &s[count..]))
}

impl Parts {
    fn read<'s>(&mut self, element: &str, s: &'s str) -> Option<&'s str> {
        let name = |names: &[&str], length: Option<usize>| {
            names.iter().zip(0i8..).find_map(|(n, i)| {
                let n = &n[..length.unwrap_or(n.len())];
                let head = s.get(..n.len())?;
                head.eq_ignore_ascii_case(n).then(|| (i, &s[n.len()..]))
            })
        };
        let rest;
        match element {
            "2006" => (self.year, rest) = digits(s, 4, 4)?,
            "06" => {
                let (year, after): (i16, _) = digits(s, 2, 2)?;
                (self.year, rest) = (year + if year >= 69 { 1900 } else { 2000 }, after);
            }
            "01" => (self.month, rest) = digits(s, 2, 2)?,
            "1" => (self.month, rest) = digits(s, 1, 2)?,
            "January" | "Jan" => {
                let (month, after) = name(&MONTHS, (element == "Jan").then_some(3))?;
                (self.month, rest) = (month + 1, after);
            }
            "Monday" | "Mon" => (_, rest) = name(&DAYS, (element == "Mon").then_some(3))?,
            "02" => (self.day, rest) = digits(s, 2, 2)?,
            "2" | "_2" => (self.day, rest) = digits(s.trim_start_matches(' '), 1, 2)?,
            "15" => (self.hour, rest) = digits(s, 2, 2)?,
            "03" => (self.hour, rest) = digits(s, 2, 2)?,
            "3" => (self.hour, rest) = digits(s, 1, 2)?,
            "04" => (self.minute, rest) = digits(s, 2, 2)?,
            "4" => (self.minute, rest) = digits(s, 1, 2)?,
            "05" => (self.second, rest) = digits(s, 2, 2)?,
            "5" => (self.second, rest) = digits(s, 1, 2)?,
            "PM" | "pm" => {
                let (afternoon, after) = name(&["AM", "PM"], None)?;
                self.afternoon = Some(afternoon == 1);
                rest = after;
            }
            "MST" => {
                let end = s.find(|c: char| !c.is_ascii_uppercase()).unwrap_or(s.len());
                rest = Some(&s[end..]).filter(|_| end >= 3)?;
            }
            zone if zone.starts_with(['Z', '-']) => rest = self.read_zone(zone, s)?,
            _ => rest = self.read_fraction(s)?,
        }
        Some(rest)
    }

    fn read_fraction<'s>(&mut self, s: &'s str) -> Option<&'s str> {
        let body = s.strip_prefix(['.', ','])?;
        let count = body.bytes().take_while(u8::is_ascii_digit).count();
        let nine = format!("{:0<9}", &body[..count.min(9)]);
        self.nanos = nine.parse().ok()?;
        Some(&body[count..]).filter(|_| count > 0)
    }

    fn read_zone<'s>(&mut self, zone: &str, s: &'s str) -> Option<&'s str> {
        if zone.starts_with('Z')
            && let Some(rest) = s.strip_prefix('Z')
        {
            return Some(rest);
        }
        let negative = s.starts_with('-');
        let s = s.strip_prefix(['+', '-'])?;
        let (hours, s): (i32, _) = digits(s, 2, 2)?;
        let s = if zone.contains(':') {
            s.strip_prefix(':')?
        } else {
            s
        };
        let (minutes, s): (i32, _) = if zone.len() > 3 {
            digits(s, 2, 2)?
        } else {
            (0, s)
        };
        self.offset = (hours * 3600 + minutes * 60) * if negative { -1 } else { 1 };
        Some(s)
    }

    fn time(&self) -> Option<Zoned> {
        let hour = match self.afternoon {
            Some(true) if self.hour < 12 => self.hour + 12,
            Some(false) if self.hour == 12 => 0,
            _ => self.hour,
        };
        let at = jiff::civil::DateTime::new(
            self.year,
            self.month,
            self.day,
            hour,
            self.minute,
            self.second,
            self.nanos,
        );
        let zone = match self.offset {
            0 => TimeZone::UTC,
            seconds => TimeZone::fixed(jiff::tz::Offset::from_seconds(seconds).ok()?),
        };
        at.ok()?.to_zoned(zone).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts() {
        let at: Zoned = "2026-03-07T15:04:05.120+01:00[+01:00]".parse().unwrap();
        for (layout, want) in [
            ("2006-01-02", "2026-03-07"),
            (
                "Mon, 02 Jan 2006 15:04:05 -0700",
                "Sat, 07 Mar 2026 15:04:05 +0100",
            ),
            ("3:04PM", "3:04PM"),
            (
                "2006-01-02T15:04:05.999Z07:00",
                "2026-03-07T15:04:05.12+01:00",
            ),
            ("Monday January 2 .000", "Saturday March 7 .120"),
            ("20060102150405", "20260307150405"),
            ("_2 Jan 06", " 7 Mar 26"),
        ] {
            assert_eq!(format(&at, layout), want);
        }
    }
}
