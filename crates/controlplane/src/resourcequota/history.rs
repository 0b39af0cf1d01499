//! What a quota was charged for nothing, over time: only what was too much all the while is given back.

use std::collections::{HashMap, VecDeque};

use apiserver::admission::quota::Amounts;
use jiff::{SignedDuration, Timestamp};

/// How long an object that was charged may take until it is there.
pub(super) const WINDOW: SignedDuration = SignedDuration::from_millis(500);
/// Looks remembered for one quota; of more, neighbours are put together.
const MAX_LOOKS: usize = 64;
/// What nobody looked at for this long belongs to a quota that is gone.
const FORGOTTEN: SignedDuration = SignedDuration::from_secs(60);

/// The looks at one quota, oldest first: when, and what was too much.
#[derive(Debug, Default)]
pub(super) struct History(VecDeque<(Timestamp, Amounts)>);

/// Notes what is too much now. Answers what has been so for long enough, and when to look again for the rest.
pub(super) fn note(
    all: &mut HashMap<String, History>,
    uid: String,
    surplus: Amounts,
    now: Timestamp,
) -> (Amounts, Option<Timestamp>) {
    if surplus.is_empty() {
        all.remove(&uid);
        return (Amounts::default(), None);
    }
    let is_fresh = |history: &History| {
        let last = history.0.back();
        last.is_some_and(|(at, _)| now.duration_since(*at) < FORGOTTEN)
    };
    all.retain(|other, history| *other == uid || is_fresh(history));
    let history = all.entry(uid.clone()).or_default();
    history.add(surplus, now);
    let ripe = history.ripe(now);
    let is_any = ripe.iter().any(|(_, amount)| !amount.is_zero());
    if is_any {
        // What is left is looked at from the beginning.
        all.remove(&uid);
        return (ripe, Some(saturating(now)));
    }
    let oldest = history.0.front().map_or(now, |(at, _)| *at);
    (
        Amounts::default(),
        Some(saturating(oldest.max(now - WINDOW))),
    )
}

fn saturating(at: Timestamp) -> Timestamp {
    at.checked_add(WINDOW).unwrap_or(Timestamp::MAX)
}

impl History {
    fn add(&mut self, surplus: Amounts, now: Timestamp) {
        self.0.push_back((now, surplus));
        // The look that held when the window began is kept, everything before it is not.
        while self
            .0
            .get(1)
            .is_some_and(|(at, _)| now.duration_since(*at) >= WINDOW)
        {
            self.0.pop_front();
        }
        if self.0.len() > MAX_LOOKS
            && let (Some((at, first)), Some((_, second))) = (self.0.pop_front(), self.0.pop_front())
        {
            self.0.push_front((at, least(&first, &second)));
        }
    }

    /// What was too much at every look, if the looks go back far enough.
    fn ripe(&self, now: Timestamp) -> Amounts {
        let mut looks = self.0.iter();
        match looks.next() {
            Some((at, first)) if now.duration_since(*at) >= WINDOW => looks
                .fold(first.clone(), |least_yet, (_, look)| {
                    least(&least_yet, look)
                }),
            _ => Amounts::default(),
        }
    }
}

/// The smaller amount of each thing that both list.
fn least(one: &Amounts, other: &Amounts) -> Amounts {
    let mut least = one.only(|name, _| other.get(name).is_some());
    for (name, amount) in one.iter() {
        if let Some(second) = other.get(name) {
            least.set(name, amount.min(second));
        }
    }
    least
}
