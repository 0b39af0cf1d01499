//! Counters and histograms with labels, in the text format of Prometheus.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Mutex, PoisonError};

/// Series of one family. What is more is counted under the labels [`OTHER`], so that names that users choose do not fill
/// the memory.
const SERIES_MAX: usize = 1000;
/// Stands for every label of the series that are too many.
const OTHER: &str = "other";

/// Counters, or histograms, of one name.
#[derive(Debug)]
pub(crate) struct Family {
    name: &'static str,
    help: &'static str,
    labels: &'static [&'static str],
    /// The upper bounds of a histogram's buckets in seconds, ascending; none of a counter.
    bounds: &'static [f64],
    series: Mutex<BTreeMap<Vec<Box<str>>, Series>>,
}

#[derive(Debug, Default)]
struct Series {
    count: u64,
    sum: f64,
    /// As many as there are bounds, each with what is at most its own.
    buckets: Vec<u64>,
}

impl Family {
    /// A family of counters.
    pub(crate) const fn counter(
        name: &'static str,
        help: &'static str,
        labels: &'static [&'static str],
    ) -> Self {
        Self::histogram(name, help, labels, &[])
    }

    /// A family of histograms of seconds.
    pub(crate) const fn histogram(
        name: &'static str,
        help: &'static str,
        labels: &'static [&'static str],
        bounds: &'static [f64],
    ) -> Self {
        Self {
            name,
            help,
            labels,
            bounds,
            series: Mutex::new(BTreeMap::new()),
        }
    }

    /// Counts one more; `values` are those of the labels, in order.
    pub(crate) fn add(&self, values: &[&str]) {
        self.observe(values, 0.0);
    }

    /// Takes in that something took `seconds`.
    pub(crate) fn observe(&self, values: &[&str], seconds: f64) {
        let mut all = self.series.lock().unwrap_or_else(PoisonError::into_inner);
        let mut key: Vec<Box<str>> = values.iter().map(|value| (*value).into()).collect();
        if all.len() >= SERIES_MAX && !all.contains_key(&key) {
            key = self.labels.iter().map(|_| OTHER.into()).collect();
        }
        let series = all.entry(key).or_default();
        series.count += 1;
        series.sum += seconds;
        series.buckets.resize(self.bounds.len(), 0);
        for (bucket, bound) in series.buckets.iter_mut().zip(self.bounds) {
            *bucket += u64::from(seconds <= *bound);
        }
    }

    /// Appends the family to `text`; nothing while nothing was counted, as Kubernetes does it.
    pub(crate) fn write(&self, text: &mut String) {
        let all = self.series.lock().unwrap_or_else(PoisonError::into_inner);
        if all.is_empty() {
            return;
        }
        let (name, is_counter) = (self.name, self.bounds.is_empty());
        let ty = if is_counter { "counter" } else { "histogram" };
        _ = writeln!(text, "# HELP {name} {}", self.help);
        _ = writeln!(text, "# TYPE {name} {ty}");
        for (values, series) in &*all {
            let labels = self.labels.iter().zip(values);
            let labels: Vec<String> = labels
                .map(|(label, value)| format!("{label}=\"{}\"", escaped(value)))
                .collect();
            let labels = labels.join(",");
            if is_counter {
                _ = writeln!(text, "{name}{{{labels}}} {}", series.count);
                continue;
            }
            for (bucket, bound) in series.buckets.iter().zip(self.bounds) {
                _ = writeln!(text, "{name}_bucket{{{labels},le=\"{bound}\"}} {bucket}");
            }
            let count = series.count;
            _ = writeln!(text, "{name}_bucket{{{labels},le=\"+Inf\"}} {count}");
            _ = writeln!(text, "{name}_sum{{{labels}}} {}", series.sum);
            _ = writeln!(text, "{name}_count{{{labels}}} {count}");
        }
    }
}

/// The value of a label as it stands between quotes.
fn escaped(value: &str) -> String {
    value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn check(family: &Family, want: Expect) {
        let mut text = String::new();
        family.write(&mut text);
        want.assert_eq(&text);
    }

    #[test]
    fn what_was_counted_is_written() {
        let family = Family::counter("c_total", "Things.", &["a", "b"]);
        check(&family, expect![[""]]);
        family.add(&["x", "y"]);
        family.add(&["x", "y"]);
        family.add(&["x", "a \"b\"\\\n"]);
        check(
            &family,
            expect![[r##"
            # HELP c_total Things.
            # TYPE c_total counter
            c_total{a="x",b="a \"b\"\\\n"} 1
            c_total{a="x",b="y"} 2
        "##]],
        );
    }

    #[test]
    fn buckets_hold_what_is_below_them_too() {
        let family = Family::histogram("h_seconds", "Time.", &["a"], &[0.1, 1.0]);
        for seconds in [0.1, 0.5, 2.0] {
            family.observe(&["x"], seconds);
        }
        check(
            &family,
            expect![[r##"
            # HELP h_seconds Time.
            # TYPE h_seconds histogram
            h_seconds_bucket{a="x",le="0.1"} 1
            h_seconds_bucket{a="x",le="1"} 2
            h_seconds_bucket{a="x",le="+Inf"} 3
            h_seconds_sum{a="x"} 2.6
            h_seconds_count{a="x"} 3
        "##]],
        );
    }

    #[test]
    fn series_that_are_too_many_are_counted_together() {
        let family = Family::counter("c_total", "Things.", &["a"]);
        for n in 0..2 * SERIES_MAX {
            family.add(&[&n.to_string()]);
        }
        family.add(&["0"]);
        let mut text = String::new();
        family.write(&mut text);
        assert_eq!(text.lines().count(), SERIES_MAX + 3);
        assert!(text.contains("c_total{a=\"0\"} 2\n"));
        assert!(text.contains("c_total{a=\"other\"} 1000\n"));
    }
}
