//! Schedules: five fields or a word, in a time zone → times. Pure.

use jiff::civil::{Date, DateTime};
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{SignedDuration, Timestamp};

/// How far the next or last time is looked for; a schedule such as `0 0 30 2 *` has none.
const MAX_DAYS: u32 = 366 * 5;
const MONTHS: &[&str] = &[
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
];
const DAYS: &[&str] = &["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// When something is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Schedule {
    Fields(Fields),
    /// Again and again after this many seconds.
    Every(i64),
}

/// What matches: one bit for each number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fields {
    minutes: u64,
    hours: u64,
    days_of_month: u64,
    months: u64,
    days_of_week: u64,
    /// Neither day is limited, or one of them: then both must match; otherwise either.
    days_are_alternatives: bool,
}

impl Schedule {
    /// Reads a schedule.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let fields = match text.trim() {
            "@yearly" | "@annually" => "0 0 1 1 *",
            "@monthly" => "0 0 1 * *",
            "@weekly" => "0 0 * * 0",
            "@daily" | "@midnight" => "0 0 * * *",
            "@hourly" => "0 * * * *",
            other => match other.strip_prefix("@every ") {
                Some(duration) => return every(duration),
                None => other,
            },
        };
        let parts: Vec<&str> = fields.split_whitespace().collect();
        let [minute, hour, day, month, weekday] = parts.as_slice() else {
            return Err(format!(
                "expected exactly 5 fields, found {}: [{}]",
                parts.len(),
                parts.join(" ")
            ));
        };
        let (days_of_month, any_day) = field(day, 1, 31, &[])?;
        let (days_of_week, any_weekday) = field(weekday, 0, 7, DAYS)?;
        Ok(Self::Fields(Fields {
            minutes: field(minute, 0, 59, &[])?.0,
            hours: field(hour, 0, 23, &[])?.0,
            days_of_month,
            months: field(month, 1, 12, MONTHS)?.0,
            // Sunday has two numbers.
            days_of_week: days_of_week | (days_of_week >> 7 & 1),
            days_are_alternatives: !any_day && !any_weekday,
        }))
    }

    /// The first time after `after`, counted from `since` where a schedule has a beginning.
    pub(super) fn next(
        &self,
        since: Timestamp,
        after: Timestamp,
        zone: &TimeZone,
    ) -> Option<Timestamp> {
        match self {
            Self::Every(seconds) => {
                let passed = after.duration_since(since).as_secs().max(0);
                let steps = (passed / seconds).checked_add(1)?.checked_mul(*seconds)?;
                since.checked_add(SignedDuration::from_secs(steps)).ok()
            }
            Self::Fields(fields) => fields.next(after, zone),
        }
    }

    /// The last time that is later than `since` and not later than `now`.
    pub(super) fn last(
        &self,
        since: Timestamp,
        now: Timestamp,
        zone: &TimeZone,
    ) -> Option<Timestamp> {
        match self {
            Self::Every(seconds) => {
                let steps = now.duration_since(since).as_secs() / seconds;
                let last = since.checked_add(SignedDuration::from_secs(steps * seconds));
                last.ok().filter(|_| steps > 0)
            }
            Self::Fields(fields) => fields.last(now, zone).filter(|last| *last > since),
        }
    }

    /// About how many times are later than `since` and not later than `now`: as many as there would be if all were as far
    /// apart as the first two.
    pub(super) fn missed(&self, since: Timestamp, now: Timestamp, zone: &TimeZone) -> i64 {
        let Some(first) = self.next(since, since, zone).filter(|first| *first <= now) else {
            return 0;
        };
        let Some(second) = self.next(since, first, zone) else {
            return 1;
        };
        let apart = second.duration_since(first).as_secs().max(1);
        now.duration_since(first).as_secs() / apart + 1
    }
}

impl Fields {
    fn is_day(&self, date: Date) -> bool {
        let has = |set: u64, number: i8| set >> number & 1 == 1;
        let by_month = has(self.days_of_month, date.day());
        let by_week = has(self.days_of_week, date.weekday().to_sunday_zero_offset());
        let is_day = if self.days_are_alternatives {
            by_month || by_week
        } else {
            by_month && by_week
        };
        has(self.months, date.month()) && is_day
    }

    fn next(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let mut date = after.to_zoned(zone.clone()).date();
        for _ in 0..MAX_DAYS {
            if self.is_day(date) {
                let mut times = self.times(date, zone);
                times.sort_unstable();
                if let Some(found) = times.into_iter().find(|time| *time > after) {
                    return Some(found);
                }
            }
            date = date.tomorrow().ok()?;
        }
        None
    }

    fn last(&self, now: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let mut date = now.to_zoned(zone.clone()).date();
        for _ in 0..MAX_DAYS {
            if self.is_day(date) {
                let times = self.times(date, zone);
                if let Some(found) = times.into_iter().filter(|time| *time <= now).max() {
                    return Some(found);
                }
            }
            date = date.yesterday().ok()?;
        }
        None
    }

    /// The times of one day. What the clock skips when it is put forward is left out; what it shows twice when it is put
    /// back is due twice, so that what is due every hour is due in both. Kubernetes does the same.
    fn times(&self, date: Date, zone: &TimeZone) -> Vec<Timestamp> {
        let hours = (0..24).filter(|hour| self.hours >> hour & 1 == 1);
        let all = hours.flat_map(|hour| {
            (0..60)
                .filter(|minute| self.minutes >> minute & 1 == 1)
                .map(move |minute| (hour, minute))
        });
        all.flat_map(|(hour, minute)| at(date.at(hour, minute, 0, 0), zone))
            .collect()
    }
}

/// When the clocks of a zone show this: never, once or twice.
fn at(civil: DateTime, zone: &TimeZone) -> impl Iterator<Item = Timestamp> {
    let ambiguous = zone.to_ambiguous_timestamp(civil);
    let offsets = match ambiguous.offset() {
        AmbiguousOffset::Gap { .. } => [None, None],
        AmbiguousOffset::Unambiguous { offset } => [Some(offset), None],
        AmbiguousOffset::Fold { before, after } => [Some(before), Some(after)],
    };
    let times = offsets.into_iter().flatten();
    times.filter_map(move |offset| offset.to_timestamp(civil).ok())
}

/// `@every 1h30m`: whole seconds, at least one.
fn every(text: &str) -> Result<Schedule, String> {
    let wrong = || format!("failed to parse duration @every {text}: expected e.g. 1h30m");
    let (mut seconds, mut rest) = (0_f64, text.trim());
    if rest.is_empty() {
        return Err(wrong());
    }
    while !rest.is_empty() {
        let end = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .ok_or_else(wrong)?;
        let number: f64 = rest[..end].parse().map_err(|_| wrong())?;
        rest = &rest[end..];
        let end = rest
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(rest.len());
        let unit = match &rest[..end] {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "µs" => 1e-6,
            "ns" => 1e-9,
            _ => return Err(wrong()),
        };
        seconds += number * unit;
        rest = &rest[end..];
    }
    if seconds.is_nan() || seconds >= 1e10 {
        return Err(wrong());
    }
    let whole = SignedDuration::try_from_secs_f64(seconds).map_err(|_| wrong())?;
    Ok(Schedule::Every(whole.as_secs().max(1)))
}

/// One field: `*`, numbers, names, ranges and steps, separated by commas. Tells also whether everything matches.
fn field(text: &str, low: u32, high: u32, names: &[&str]) -> Result<(u64, bool), String> {
    let (mut set, mut is_any) = (0, false);
    for part in text.split(',') {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, Some(number(step, &[])?)),
            None => (part, None),
        };
        let (from, to) = match range.split_once('-') {
            _ if matches!(range, "*" | "?") => {
                is_any |= step.is_none_or(|step| step == 1);
                (low, if names.len() == 7 { 6 } else { high })
            }
            Some((from, to)) => (number(from, names)?, number(to, names)?),
            None => {
                let from = number(range, names)?;
                // `3/5` goes on to the end.
                (from, if step.is_some() { high } else { from })
            }
        };
        if from < low || to > high {
            let bound = if from < low { from } else { to };
            return Err(format!("{bound} is outside of {low} to {high}: {part}"));
        }
        if from > to {
            return Err(format!(
                "beginning of range ({from}) beyond end of range ({to}): {part}"
            ));
        }
        let step = step.unwrap_or(1);
        if step == 0 {
            return Err(format!("step of range should be a positive number: {part}"));
        }
        let mut at = from;
        while at <= to {
            set |= 1 << at;
            at += step;
        }
    }
    Ok((set, is_any))
}

/// A number, or a name that stands for one.
fn number(text: &str, names: &[&str]) -> Result<u32, String> {
    let lower = text.to_ascii_lowercase();
    if let Some(at) = names.iter().position(|name| *name == lower) {
        // Months begin with one, days of the week with zero.
        let first = u32::from(names.len() == 12);
        return Ok(u32::try_from(at).unwrap_or(0) + first);
    }
    text.parse()
        .map_err(|_| format!("failed to parse number: {text:?}"))
}

#[cfg(test)]
mod tests {
    use jiff::ToSpan as _;

    use super::*;

    fn times(schedule: &str, zone: &TimeZone, after: &str, count: usize) -> Vec<String> {
        let schedule = Schedule::parse(schedule).unwrap();
        let since: Timestamp = after.parse().unwrap();
        let mut at = since;
        let mut all = vec![];
        for _ in 0..count {
            let Some(next) = schedule.next(since, at, zone) else {
                break;
            };
            // What comes next is what was last then, and not a moment before.
            assert_eq!(schedule.last(since, next, zone), Some(next));
            assert_ne!(schedule.last(since, next - 1.second(), zone), Some(next));
            all.push(next.to_string());
            at = next;
        }
        all
    }

    #[test]
    fn fields_say_when() {
        for (schedule, expected) in [
            ("*/15 * * * *", "2026-01-01T10:15:00Z 2026-01-01T10:30:00Z"),
            ("@hourly", "2026-01-01T11:00:00Z 2026-01-01T12:00:00Z"),
            (
                "5/20 9-17 * * *",
                "2026-01-01T10:05:00Z 2026-01-01T10:25:00Z",
            ),
            (
                "0 0 * * MON-FRI",
                "2026-01-02T00:00:00Z 2026-01-05T00:00:00Z",
            ),
            ("0 0 * * 7", "2026-01-04T00:00:00Z 2026-01-11T00:00:00Z"),
            ("0 0 13 * FRI", "2026-01-02T00:00:00Z 2026-01-09T00:00:00Z"),
            ("0 0 29 feb *", "2028-02-29T00:00:00Z"),
            (
                "0 12 1,15 */3 ?",
                "2026-01-01T12:00:00Z 2026-01-15T12:00:00Z",
            ),
            ("0 0 30 2 *", ""),
            ("@every 1h30m", "2026-01-01T11:30:00Z 2026-01-01T13:00:00Z"),
            ("@every 10ms", "2026-01-01T10:00:01Z 2026-01-01T10:00:02Z"),
        ] {
            let count = if schedule.contains("feb") { 1 } else { 2 };
            let all = times(schedule, &TimeZone::UTC, "2026-01-01T10:00:00Z", count);
            assert_eq!(all.join(" "), expected, "{schedule}");
        }
    }

    #[test]
    fn clocks_are_put_forward_and_back() {
        let zone = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        let berlin = |schedule, after| times(schedule, &zone, after, 2).join(" ");
        // There is no half past two on the 29th of March.
        assert_eq!(
            berlin("30 2 * * *", "2026-03-28T12:00:00Z"),
            "2026-03-30T00:30:00Z 2026-03-31T00:30:00Z"
        );
        // There are two of them on the 25th of October.
        assert_eq!(
            berlin("30 2 * * *", "2026-10-24T12:00:00Z"),
            "2026-10-25T00:30:00Z 2026-10-25T01:30:00Z"
        );
        // No hour goes by without what is due in each.
        assert_eq!(
            berlin("@hourly", "2026-10-25T00:00:00Z"),
            "2026-10-25T01:00:00Z 2026-10-25T02:00:00Z"
        );
        assert_eq!(
            berlin("@hourly", "2026-03-29T00:00:00Z"),
            "2026-03-29T01:00:00Z 2026-03-29T02:00:00Z"
        );
        // What goes through both hours is due every time.
        assert_eq!(
            berlin("*/30 * * * *", "2026-10-25T00:40:00Z"),
            "2026-10-25T01:00:00Z 2026-10-25T01:30:00Z"
        );
    }

    #[test]
    fn nonsense_is_refused() {
        for (schedule, why) in [
            ("* * * *", "expected exactly 5 fields, found 4: [* * * *]"),
            ("60 * * * *", "60 is outside of 0 to 59: 60"),
            ("* * 0 * *", "0 is outside of 1 to 31: 0"),
            (
                "5-1 * * * *",
                "beginning of range (5) beyond end of range (1): 5-1",
            ),
            (
                "*/0 * * * *",
                "step of range should be a positive number: */0",
            ),
            ("x * * * *", "failed to parse number: \"x\""),
            (
                "@every x",
                "failed to parse duration @every x: expected e.g. 1h30m",
            ),
            (
                "@every 5",
                "failed to parse duration @every 5: expected e.g. 1h30m",
            ),
        ] {
            assert_eq!(Schedule::parse(schedule), Err(why.to_owned()), "{schedule}");
        }
    }
}
