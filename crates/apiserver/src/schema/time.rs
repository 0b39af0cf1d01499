//! Points in time as Kubernetes writes them: RFC 3339, UTC, whole seconds (`Time`) or microseconds (`MicroTime`).

use jiff::Timestamp;
use jiff::fmt::temporal::DateTimeParser;

/// The form of `Time`, e.g. `2026-01-02T03:04:05Z`; `None` when `text` is not RFC 3339.
pub(super) fn seconds(text: &str) -> Option<String> {
    Some(format(parse(text)?, false))
}

/// The form of `MicroTime`, e.g. `2026-01-02T03:04:05.000000Z`; `None` when `text` is not RFC 3339.
pub(super) fn micros(text: &str) -> Option<String> {
    Some(format(parse(text)?, true))
}

/// The JSON form of a protobuf timestamp; `None` when it is out of range (year 0 to 9999).
pub(super) fn from_parts(seconds: i64, nanos: i64, micros: bool) -> Option<String> {
    let nanos = i32::try_from(nanos.clamp(0, 999_999_999)).ok()?;
    let time = Timestamp::new(seconds, nanos).ok()?;
    (time.strftime("%Y").to_string().len() == 4).then(|| format(time, micros))
}

/// Seconds since 1970 and nanoseconds of a time as it is written in JSON; `None` when `text` is not RFC 3339.
pub(super) fn to_parts(text: &str) -> Option<(i64, i32)> {
    let time = parse(text)?;
    // Before 1970 the fraction counts down; on the wire it always counts up.
    let (seconds, nanos) = (time.as_second(), time.subsec_nanosecond());
    Some(if nanos < 0 {
        (seconds - 1, nanos + 1_000_000_000)
    } else {
        (seconds, nanos)
    })
}

fn format(time: Timestamp, micros: bool) -> String {
    let layout = if micros {
        "%Y-%m-%dT%H:%M:%S%.6fZ"
    } else {
        "%Y-%m-%dT%H:%M:%SZ"
    };
    time.strftime(layout).to_string()
}

/// Go's RFC 3339 is stricter than ISO 8601: full date, `T`, full time, zone.
fn parse(text: &str) -> Option<Timestamp> {
    static PARSER: DateTimeParser = DateTimeParser::new();
    let bytes = text.as_bytes();
    let digits = |at: std::ops::Range<usize>| {
        bytes
            .get(at)
            .is_some_and(|part| part.iter().all(u8::is_ascii_digit))
    };
    let byte = |at: usize, expected: u8| bytes.get(at) == Some(&expected);
    let is_shaped = bytes.len() <= 64
        && digits(0..4)
        && byte(4, b'-')
        && digits(5..7)
        && byte(7, b'-')
        && digits(8..10)
        && byte(10, b'T')
        && digits(11..13)
        && byte(13, b':')
        && digits(14..16)
        && byte(16, b':')
        && digits(17..19);
    if !is_shaped {
        return None;
    }
    let zone = text[19..].trim_start_matches(|c: char| c == '.' || c.is_ascii_digit());
    let zone_is_shaped = zone == "Z"
        || (zone.len() == 6 && zone.starts_with(['+', '-']) && zone.as_bytes()[3] == b':');
    if !zone_is_shaped {
        return None;
    }
    PARSER.parse_timestamp(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_cut_to_seconds_or_microseconds_in_utc() {
        for (text, second, micro) in [
            (
                "2026-01-02T03:04:05Z",
                "2026-01-02T03:04:05Z",
                "2026-01-02T03:04:05.000000Z",
            ),
            (
                "2026-01-02T03:04:05.987654321Z",
                "2026-01-02T03:04:05Z",
                "2026-01-02T03:04:05.987654Z",
            ),
            (
                "2026-01-02T03:04:05+02:00",
                "2026-01-02T01:04:05Z",
                "2026-01-02T01:04:05.000000Z",
            ),
        ] {
            assert_eq!(seconds(text).as_deref(), Some(second));
            assert_eq!(micros(text).as_deref(), Some(micro));
        }
        for text in [
            "",
            "2026-01-02",
            "2026-01-02 03:04:05Z",
            "2026-01-02T03:04:05",
            "2026-13-02T03:04:05Z",
            "2026-01-02T03:04:05Z[UTC]",
            "2026-01-02T03:04:05é",
            "x",
        ] {
            assert_eq!(seconds(text), None, "{text}");
        }
        assert_eq!(
            from_parts(0, 5000, true).as_deref(),
            Some("1970-01-01T00:00:00.000005Z")
        );
        assert_eq!(from_parts(i64::MAX, 0, false), None);
    }
}
