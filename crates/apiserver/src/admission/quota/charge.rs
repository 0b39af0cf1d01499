//! Whether a write fits into the quotas of its namespace, and what they are afterwards. Pure.

use jiff::Timestamp;
use serde_json::Value;

use super::Waiter;
use super::amounts::Amounts;
use super::usage::Counter;
use crate::object::Object;
use crate::status::Status;

/// A quota as it is, and as it is going to be.
pub(super) struct Quota {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) revision: u64,
    pub(super) object: Value,
    hard: Amounts,
    pub(super) used: Amounts,
    /// `used` is no longer what the object says.
    pub(super) is_changed: bool,
}

impl Quota {
    pub(super) fn of(object: &Object) -> Self {
        let value = object.value();
        let status = &value["status"];
        Self {
            namespace: object.header.namespace.to_string(),
            name: object.header.name.to_string(),
            revision: object.header.revision,
            hard: Amounts::of(&status["hard"]),
            used: Amounts::of(&status["used"]),
            object: value,
            is_changed: false,
        }
    }
}

/// A write that uses something.
pub(super) struct Demand {
    pub(super) group: String,
    pub(super) plural: String,
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) object: Value,
    pub(super) old: Option<Value>,
    pub(super) is_status: bool,
    pub(super) counter: Counter,
}

impl Demand {
    fn forbidden(&self, why: &str) -> Status {
        Status::forbidden(&self.group, &self.plural, &self.name, why)
    }

    /// Charges the quotas for this write. Tells whether that changed any.
    ///
    /// # Errors
    /// 403 if it does not fit, does not say how much it needs, or a quota has not been counted yet; then nothing is charged.
    pub(super) fn fit(&self, quotas: &mut [Quota], now: Timestamp) -> Result<bool, Status> {
        let meant = self.concerned(quotas)?;
        let used = self.counter.usage(&self.object, now);
        let negative = used.only(|_, amount| amount.is_negative());
        if !negative.is_empty() {
            return Err(self.forbidden(&format!(
                "quota usage is negative for resource(s): {}",
                joined(negative.names())
            )));
        }
        let before = self.old.as_ref().map(|old| self.counter.usage(old, now));
        let more = before.as_ref().map(|before| used.beyond(before));
        let mut charged = Vec::new();
        for &index in &meant {
            let quota = &quotas[index];
            let was_counted = self
                .old
                .as_ref()
                .is_some_and(|old| self.counter.is_in_scope(&quota.object["spec"], old));
            let delta = match &more {
                Some(more) if was_counted => more,
                _ => &used,
            };
            let delta =
                delta.only(|name, amount| !amount.is_zero() && quota.hard.get(name).is_some());
            if delta.is_empty() {
                continue;
            }
            let mut after = quota.used.clone();
            after.add(&delta);
            self.check(quota, &delta, &after)?;
            charged.push((index, after));
        }
        let is_changed = !charged.is_empty();
        for (index, after) in charged {
            quotas[index].used = after;
            quotas[index].is_changed = true;
        }
        Ok(is_changed)
    }

    /// The quotas that count this object, by their index.
    fn concerned(&self, quotas: &[Quota]) -> Result<Vec<usize>, Status> {
        let mut meant = Vec::new();
        for (index, quota) in quotas.iter().enumerate() {
            let limited: Vec<&str> = quota
                .hard
                .names()
                .filter(|name| self.counter.covers(name))
                .collect();
            let spec = &quota.object["spec"];
            if limited.is_empty() || !self.counter.is_in_scope(spec, &self.object) {
                continue;
            }
            if let Some(missing) = self.counter.missing(&self.object, &limited) {
                let name = &quota.name;
                return Err(self.forbidden(&format!("failed quota: {name}: {missing}")));
            }
            if limited.iter().any(|name| quota.used.get(name).is_none()) {
                return Err(self.forbidden(&format!(
                    "status unknown for quota: {}, resources: {}",
                    quota.name,
                    joined(limited.into_iter())
                )));
            }
            meant.push(index);
        }
        Ok(meant)
    }

    fn check(&self, quota: &Quota, delta: &Amounts, after: &Amounts) -> Result<(), Status> {
        // A status tells what has happened already.
        if self.is_status {
            return Ok(());
        }
        let is_exceeded = |name: &str| {
            delta.get(name).is_some()
                && matches!((after.get(name), quota.hard.get(name)), (Some(after), Some(hard)) if after > hard)
        };
        let requested = delta.only(|name, _| is_exceeded(name));
        if requested.is_empty() {
            return Ok(());
        }
        Err(self.forbidden(&format!(
            "exceeded quota: {}, requested: {requested}, used: {}, limited: {}",
            quota.name,
            quota.used.only(|name, _| is_exceeded(name)),
            quota.hard.only(|name, _| is_exceeded(name)),
        )))
    }
}

/// Charges the quotas for all of a batch, one after the other, and answers those that need no write. The others wait for
/// the quotas to be written.
pub(super) fn fit(batch: Vec<Waiter>, quotas: &mut [Quota], now: Timestamp) -> Vec<Waiter> {
    let mut left = Vec::new();
    for waiter in batch {
        let result = waiter.demand.fit(quotas, now);
        match result {
            Ok(true) => left.push(waiter),
            // Whoever does not wait any more does not want to know.
            other => _ = waiter.answer.send(other.map(drop)),
        }
    }
    left
}

fn joined<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let mut names: Vec<&str> = names.collect();
    names.sort_unstable();
    names.join(",")
}
