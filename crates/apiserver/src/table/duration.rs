//! Durations as people read them in tables: two units at most, coarser the longer they are.

/// `5s`, `3m20s`, `4h7m`, `2d3h`, `1y20d`; `<invalid>` for what lies in the future by more than a clock's inaccuracy.
#[must_use]
pub fn human_duration(seconds: i64) -> String {
    let two = |big: i64, big_unit: &str, small: i64, small_unit: &str| match small {
        0 => format!("{big}{big_unit}"),
        _ => format!("{big}{big_unit}{small}{small_unit}"),
    };
    let (minutes, hours) = (seconds / 60, seconds / 3600);
    let days = hours / 24;
    match seconds {
        ..-1 => "<invalid>".to_owned(),
        -1 => "0s".to_owned(),
        0..120 => format!("{seconds}s"),
        _ if minutes < 10 => two(minutes, "m", seconds % 60, "s"),
        _ if minutes < 3 * 60 => format!("{minutes}m"),
        _ if hours < 8 => two(hours, "h", minutes % 60, "m"),
        _ if hours < 48 => format!("{hours}h"),
        _ if days < 8 => two(days, "d", hours % 24, "h"),
        _ if days < 2 * 365 => format!("{days}d"),
        _ if days < 8 * 365 => two(days / 365, "y", days % 365, "d"),
        _ => format!("{}y", days / 365),
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use proptest::prelude::*;

    use super::human_duration;

    #[test]
    fn durations_get_coarser() {
        let (minute, hour, day) = (60, 3600, 86400);
        let shown: Vec<String> = [
            -2,
            -1,
            0,
            119,
            2 * minute,
            3 * minute + 20,
            10 * minute + 1,
            179 * minute,
            3 * hour,
            7 * hour + 59 * minute,
            8 * hour + minute,
            47 * hour,
            2 * day,
            2 * day + 3 * hour,
            8 * day + hour,
            729 * day,
            730 * day,
            1000 * day,
            2919 * day,
            2921 * day,
            i64::MAX,
        ]
        .into_iter()
        .map(human_duration)
        .collect();
        expect!["<invalid> 0s 0s 119s 2m 3m20s 10m 179m 3h 7h59m 8h 47h 2d 2d3h 8d 729d 2y 2y270d 7y364d 8y 292471208677y"].assert_eq(&shown.join(" "));
    }

    proptest! {
        #[test]
        fn no_duration_panics(seconds in any::<i64>()) {
            prop_assert!(!human_duration(seconds).is_empty());
        }
    }
}
