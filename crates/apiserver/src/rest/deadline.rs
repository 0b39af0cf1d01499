//! How long a request may take: a minute, or what `timeout=` says if that is less.

use std::time::Duration;

use crate::status::Status;

/// The longest that a request is worked on, unless it is one that lasts, like a watch.
const MAX_TIMEOUT: Duration = Duration::from_secs(60);

/// The time that a request has, from the value of its `timeout` parameter.
///
/// # Errors
/// 400 for what is no duration.
pub(super) fn of(parameter: Option<&str>) -> Result<Duration, Status> {
    let Some(text) = parameter.filter(|text| !text.is_empty()) else {
        return Ok(MAX_TIMEOUT);
    };
    let seconds = seconds(text).ok_or_else(|| {
        Status::bad_request(format!(
            "invalid timeout specified in the request URL - time: invalid duration {text:?}"
        ))
    })?;
    // Zero and less are no limit of the client's.
    Ok(if seconds > 0.0 && seconds < MAX_TIMEOUT.as_secs_f64() {
        Duration::from_secs_f64(seconds)
    } else {
        MAX_TIMEOUT
    })
}

/// The refusal of a request that took too long. What it was to change may be changed nevertheless.
pub(super) fn exceeded() -> Status {
    Status::new(
        504,
        "Timeout",
        "Timeout: request did not complete within the allotted timeout",
    )
}

/// A duration as Go writes it (`1m30s`, `250ms`), in seconds.
fn seconds(text: &str) -> Option<f64> {
    let (sign, mut rest) = match text.as_bytes().first()? {
        b'-' => (-1.0, &text[1..]),
        b'+' => (1.0, &text[1..]),
        _ => (1.0, text),
    };
    if rest == "0" {
        return Some(0.0);
    }
    let mut total = 0.0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let unit = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..unit].parse().ok()?;
        rest = &rest[unit..];
        let end = rest
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(rest.len());
        total += number
            * match &rest[..end] {
                "ns" => 1e-9,
                "us" | "µs" | "μs" => 1e-6,
                "ms" => 1e-3,
                "s" => 1.0,
                "m" => 60.0,
                "h" => 3600.0,
                _ => return None,
            };
        rest = &rest[end..];
    }
    Some(sign * total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_those_of_go() {
        for (text, expected) in [
            ("1.5s", Some(1500)),
            ("250ms", Some(250)),
            ("10s500ms", Some(10_500)),
            ("1h", Some(60_000)),
            ("0", Some(60_000)),
            ("-1s", Some(60_000)),
            ("", Some(60_000)),
            ("10", None),
            ("s", None),
            ("1d", None),
            ("-", None),
            ("1..s", None),
        ] {
            let limit = of(Some(text)).ok().map(|limit| limit.as_millis());
            assert_eq!(limit, expected, "{text}");
        }
    }
}
