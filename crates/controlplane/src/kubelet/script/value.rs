//! The values of settings: how they are written, and what is said of those that are not.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::kubelet::quantity;

/// No delay is longer.
pub(super) const MAX_DELAY: Duration = Duration::from_secs(7 * 24 * 3600);

/// A share of all cases, in millionths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share(pub u32);

/// When something fails, counted from the start of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    pub from: Duration,
    /// `None` for ever.
    pub until: Option<Duration>,
}

/// An amount of a resource that goes evenly from one value to another, and stays there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ramp {
    /// In thousandths, as everything here.
    pub from: u64,
    pub to: u64,
    /// Counted from the start of the container.
    pub over: Duration,
}

impl Window {
    /// It never fails.
    pub(in crate::kubelet) const NEVER: Self = Self {
        from: Duration::MAX,
        until: None,
    };
    /// It always fails.
    pub(in crate::kubelet) const ALWAYS: Self = Self {
        from: Duration::ZERO,
        until: None,
    };
}

impl Ramp {
    /// The amount at a time after the start.
    pub(in crate::kubelet) fn at(&self, since: Timestamp, now: Timestamp) -> u64 {
        let passed = now.duration_since(since).max(SignedDuration::ZERO);
        let (passed, over) = (passed.as_millis().unsigned_abs(), self.over.as_millis());
        if passed >= over {
            return self.to;
        }
        let way = u128::from(self.from.abs_diff(self.to)) * passed / over.max(1);
        let way = u64::try_from(way).unwrap_or(u64::MAX);
        if self.to >= self.from {
            self.from.saturating_add(way)
        } else {
            self.from.saturating_sub(way)
        }
    }
}

/// `1h2m3s`, `500ms`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    read_duration(text).ok_or_else(|| {
        format!("{text:?} is no duration: write numbers with units, such as 5s, 1m30s or 500ms")
    })
}

fn read_duration(text: &str) -> Option<Duration> {
    let mut total = Duration::ZERO;
    let mut rest = text.trim();
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: u64 = rest[..digits].parse().ok()?;
        let tail = &rest[digits..];
        let end = tail
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(tail.len());
        let part = match &tail[..end] {
            "ms" => Duration::from_millis(number),
            "s" => Duration::from_secs(number),
            "m" => Duration::from_secs(number.checked_mul(60)?),
            "h" => Duration::from_secs(number.checked_mul(3600)?),
            _ => return None,
        };
        total = total.checked_add(part)?;
        rest = &tail[end..];
    }
    Some(total.min(MAX_DELAY))
}

/// 0 to 255.
pub(super) fn exit_code(text: &str) -> Result<i32, String> {
    let code = text.trim().parse::<u8>().map(i32::from);
    code.map_err(|_| format!("{text:?} is no exit code: write a number from 0 to 255"))
}

/// `5%`, `0.05`.
pub(super) fn share(text: &str) -> Result<Share, String> {
    let wrong = || format!("{text:?} is no share: write one from 0% to 100%, such as 5% or 0.05");
    let trimmed = text.trim();
    let (number, whole) = match trimmed.strip_suffix('%') {
        Some(number) => (number, 10_000.0),
        None => (trimmed, 1_000_000.0),
    };
    let number: f64 = number.trim().parse().map_err(|_| wrong())?;
    let millionths = (number * whole).round();
    if !(0.0..=1_000_000.0).contains(&millionths) {
        return Err(wrong());
    }
    // In this range every whole number is exact.
    format!("{millionths:.0}")
        .parse()
        .map(Share)
        .map_err(|_| wrong())
}

/// `always`, `never`, `from 10s`, `until 1m`, `from 10s until 1m`, `from 10s for 5s`.
pub(super) fn window(text: &str) -> Result<Window, String> {
    let wrong = || {
        format!(
            "{text:?} is no time of failure: write always, never, or from 10s, until 1m, from 10s until 1m, from 10s for 50s"
        )
    };
    let words: Vec<&str> = text.split_whitespace().collect();
    match words.as_slice() {
        ["always"] => return Ok(Window::ALWAYS),
        ["never"] => return Ok(Window::NEVER),
        [] => return Err(wrong()),
        _ => {}
    }
    let mut window = Window::ALWAYS;
    for pair in words.chunks(2) {
        let [word, time] = pair else {
            return Err(wrong());
        };
        let time = duration(time)?;
        match *word {
            "from" => window.from = time,
            "until" => window.until = Some(time),
            "for" => window.until = Some(window.from.saturating_add(time)),
            _ => return Err(wrong()),
        }
    }
    if window.until.is_some_and(|until| until <= window.from) {
        return Err(format!("{text:?} ends before it begins"));
    }
    Ok(window)
}

/// `250m`, `100Mi..400Mi in 10m`.
pub(super) fn ramp(text: &str) -> Result<Ramp, String> {
    let wrong = || {
        format!(
            "{text:?} is no amount: write one such as 250m or 64Mi, or one that changes from the start on, such as 64Mi..1Gi in 10m"
        )
    };
    let amount = |text: &str| quantity::milli(text).ok_or_else(wrong);
    let Some((from, rest)) = text.split_once("..") else {
        let amount = amount(text)?;
        return Ok(Ramp {
            from: amount,
            to: amount,
            over: Duration::ZERO,
        });
    };
    let (to, over) = rest.split_once(" in ").ok_or_else(wrong)?;
    Ok(Ramp {
        from: amount(from)?,
        to: amount(to)?,
        over: duration(over)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn durations_are_read_as_go_writes_them() {
        for (text, expected) in [
            ("5s", Some(seconds(5))),
            ("1m30s", Some(seconds(90))),
            ("500ms", Some(Duration::from_millis(500))),
            ("99999999999999999999s", None),
            ("", None),
            ("5", None),
            ("s", None),
            ("5 s", None),
        ] {
            assert_eq!(read_duration(text), expected, "{text:?}");
        }
        assert_eq!(read_duration("9999h"), Some(MAX_DELAY));
    }

    #[test]
    fn shares_windows_and_amounts() {
        assert_eq!(share("5%"), Ok(Share(50_000)));
        assert_eq!(share("0.05"), Ok(Share(50_000)));
        assert_eq!(share("100 %"), Ok(Share(1_000_000)));
        assert!(share("101%").is_err() && share("-1%").is_err() && share("NaN").is_err());
        let of = |from, until| {
            Ok(Window {
                from: seconds(from),
                until,
            })
        };
        assert_eq!(window("always"), of(0, None));
        assert_eq!(window("from 10s"), of(10, None));
        assert_eq!(window("until 1m"), of(0, Some(seconds(60))));
        assert_eq!(window("from 10s for 5s"), of(10, Some(seconds(15))));
        assert!(window("from 10s until 5s").is_err());
        assert!(window("sometimes").is_err() && window("").is_err() && window("from").is_err());
        let start: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let later = |by: i64| start + SignedDuration::from_secs(by);
        let rising = ramp("100m..200m in 10s").unwrap();
        let values = [-5, 0, 5, 10, 99].map(|by| rising.at(start, later(by)));
        assert_eq!(values, [100, 100, 150, 200, 200]);
        assert_eq!(ramp("1Ki").unwrap().at(start, later(7)), 1_024_000);
        assert!(ramp("1..2").is_err() && ramp("lots").is_err());
    }
}
