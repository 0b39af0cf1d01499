//! What was recommended and done lately, and what follows from it for the next size. Pure.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::autoscaling::v2::{HPAScalingPolicy, HPAScalingRules};

/// Nothing older matters: windows are an hour at most, periods half of that.
const KEPT: SignedDuration = SignedDuration::from_hours(1);
/// How long a smaller size must have been recommended, unless the autoscaler says otherwise.
const DOWN_WINDOW: i32 = 300;

/// Recommendations, and changes of the size, with their times.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct History {
    recommended: Vec<(Timestamp, i32)>,
    /// How many replicas were added, or taken away (negative).
    changed: Vec<(Timestamp, i32)>,
}

/// The size that is chosen, and what kept it from being the recommended one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Limited {
    pub(super) size: i32,
    /// Reason and message of `AbleToScale`.
    pub(super) able: (&'static str, &'static str),
    /// Reason and message of `ScalingLimited`.
    pub(super) limit: (&'static str, &'static str),
    pub(super) is_limited: bool,
}

/// The bounds that the autoscaler gives.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) min: i32,
    pub(super) max: i32,
}

impl History {
    pub(super) fn recommend(&mut self, size: i32, now: Timestamp) {
        self.recommended.push((now, size));
        self.forget(now);
    }

    pub(super) fn scaled(&mut self, from: i32, to: i32, now: Timestamp) {
        self.changed.push((now, to.saturating_sub(from)));
        self.forget(now);
    }

    fn forget(&mut self, now: Timestamp) {
        let is_kept = |at: &Timestamp| now.duration_since(*at) < KEPT;
        self.recommended.retain(|(at, _)| is_kept(at));
        self.changed.retain(|(at, _)| is_kept(at));
    }

    pub(super) fn is_recent(&self, now: Timestamp) -> bool {
        let last = self.recommended.last().max(self.changed.last());
        last.is_some_and(|(at, _)| now.duration_since(*at) < KEPT)
    }

    /// The next size, when the metrics ask for `wanted`.
    pub(super) fn limit(
        &self,
        current: i32,
        wanted: i32,
        bounds: Bounds,
        rules: (Option<&HPAScalingRules>, Option<&HPAScalingRules>),
        now: Timestamp,
    ) -> Limited {
        let (up, down) = rules;
        let steady = self.steady(current, wanted, (up, down), now);
        let able = if steady == wanted {
            ("ReadyForNewScale", "recommended size matches current size")
        } else if wanted >= current {
            (
                "ScaleUpStabilized",
                "recent recommendations were lower than current one, applying the lowest recent recommendation",
            )
        } else {
            (
                "ScaleDownStabilized",
                "recent recommendations were higher than current one, applying the highest recent recommendation",
            )
        };
        let (size, limit) = self.rated(current, steady, bounds, (up, down), now);
        Limited {
            size,
            able,
            limit,
            is_limited: size != steady,
        }
    }

    /// Within the windows, the lowest recommendation counts for growing and the highest for shrinking.
    fn steady(
        &self,
        current: i32,
        wanted: i32,
        (up, down): (Option<&HPAScalingRules>, Option<&HPAScalingRules>),
        now: Timestamp,
    ) -> i32 {
        let window = |rules: Option<&HPAScalingRules>, default: i32| {
            let seconds = rules.and_then(|r| r.stabilization_window_seconds);
            SignedDuration::from_secs(i64::from(seconds.unwrap_or(default)))
        };
        let within = |window: SignedDuration| {
            let recent = self.recommended.iter();
            recent
                .filter(move |(at, _)| now.duration_since(*at) < window)
                .map(|(_, size)| *size)
        };
        let lowest = within(window(up, 0)).chain([wanted]).min();
        let mut highest = within(window(down, DOWN_WINDOW)).chain([wanted]).max();
        if self.recommended.is_empty() {
            // Nobody knows what was recommended before: the present size was.
            highest = highest.max(Some(current));
        }
        current
            .max(lowest.unwrap_or(wanted))
            .min(highest.unwrap_or(wanted))
    }

    /// No faster than the policies allow, and within the bounds.
    fn rated(
        &self,
        current: i32,
        wanted: i32,
        bounds: Bounds,
        (up, down): (Option<&HPAScalingRules>, Option<&HPAScalingRules>),
        now: Timestamp,
    ) -> (i32, (&'static str, &'static str)) {
        if wanted > current {
            let limit = self.up_limit(current, up, now).max(current);
            if wanted > limit.min(bounds.max) {
                return if limit < bounds.max {
                    let why = "the desired replica count is increasing faster than the maximum scale rate";
                    (limit, ("ScaleUpLimit", why))
                } else {
                    let why = "the desired replica count is more than the maximum replica count";
                    (bounds.max, ("TooManyReplicas", why))
                };
            }
        } else if wanted < current {
            let limit = self.down_limit(current, down, now).min(current);
            if wanted < limit.max(bounds.min) {
                return if limit > bounds.min {
                    let why = "the desired replica count is decreasing faster than the maximum scale rate";
                    (limit, ("ScaleDownLimit", why))
                } else {
                    let why = "the desired replica count is less than the minimum replica count";
                    (bounds.min, ("TooFewReplicas", why))
                };
            }
        }
        let why = "the desired count is within the acceptable range";
        (wanted, ("DesiredWithinRange", why))
    }

    fn up_limit(&self, current: i32, rules: Option<&HPAScalingRules>, now: Timestamp) -> i32 {
        let usual = [policy("Pods", 4), policy("Percent", 100)];
        let (select, policies) = policies(rules, &usual);
        let proposals = policies.iter().map(|policy| {
            let start = self.start(current, policy, now);
            match policy.type_.as_str() {
                "Pods" => start.saturating_add(policy.value),
                _ => share(start, 100 + i64::from(policy.value), true),
            }
        });
        let chosen = match select {
            "Disabled" => Some(current),
            "Min" => proposals.min(),
            _ => proposals.max(),
        };
        chosen.unwrap_or(current)
    }

    fn down_limit(&self, current: i32, rules: Option<&HPAScalingRules>, now: Timestamp) -> i32 {
        let usual = [policy("Percent", 100)];
        let (select, policies) = policies(rules, &usual);
        let proposals = policies.iter().map(|policy| {
            let start = self.start(current, policy, now);
            match policy.type_.as_str() {
                "Pods" => start.saturating_sub(policy.value),
                _ => share(start, 100 - i64::from(policy.value), false),
            }
        });
        let chosen = match select {
            "Disabled" => Some(current),
            "Min" => proposals.max(),
            _ => proposals.min(),
        };
        chosen.unwrap_or(current)
    }

    /// The size at the beginning of the policy's period.
    fn start(&self, current: i32, policy: &HPAScalingPolicy, now: Timestamp) -> i32 {
        let period = SignedDuration::from_secs(i64::from(policy.period_seconds));
        let recent = self.changed.iter();
        let recent = recent.filter(|(at, _)| now.duration_since(*at) < period);
        recent.fold(current, |size, (_, change)| size.saturating_sub(*change))
    }
}

fn policy(ty: &str, value: i32) -> HPAScalingPolicy {
    HPAScalingPolicy {
        type_: ty.to_owned(),
        value,
        period_seconds: 15,
    }
}

/// How to choose, and from what.
fn policies<'a>(
    rules: Option<&'a HPAScalingRules>,
    usual: &'a [HPAScalingPolicy],
) -> (&'a str, &'a [HPAScalingPolicy]) {
    let select = rules.and_then(|r| r.select_policy.as_deref());
    let own = rules.and_then(|r| r.policies.as_deref());
    (
        select.unwrap_or("Max"),
        own.filter(|own| !own.is_empty()).unwrap_or(usual),
    )
}

/// So many percent of a size.
fn share(size: i32, percent: i64, up: bool) -> i32 {
    let hundredths = i64::from(size).saturating_mul(percent);
    let rounded = if up {
        hundredths.saturating_add(99).div_euclid(100)
    } else {
        hundredths.div_euclid(100)
    };
    i32::try_from(rounded.max(0)).unwrap_or(i32::MAX)
}
