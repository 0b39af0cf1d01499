//! The seats of a priority level, and the queues for them.
//!
//! Without contention a request takes a seat with a few atomic operations. When there is none, it waits in one of the
//! queues that its flow is dealt; freed seats go around the queues, so that a flow with many requests does not keep the
//! others of its level waiting. Seats that a level does not use can be borrowed by others, but for those that it has
//! to itself.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use serde::Deserialize;
use tokio::sync::oneshot;

/// Requests that wait for a seat of one level, whatever its configuration says.
const WAITING_MAX: usize = 10_000;
/// Nobody waits longer for a seat.
const WAIT_MAX: Duration = Duration::from_secs(15);
/// Queues among which a flow is dealt its own.
const HAND_MAX: u32 = 64;

/// The `spec` of a PriorityLevelConfiguration.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct LevelSpec {
    limited: Option<Limited>,
    exempt: Option<Exempt>,
    #[serde(rename = "type")]
    kind: Box<str>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Limited {
    nominal_concurrency_shares: Option<u32>,
    lendable_percent: Option<u32>,
    borrowing_limit_percent: Option<u32>,
    limit_response: LimitResponse,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Exempt {
    nominal_concurrency_shares: Option<u32>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
struct LimitResponse {
    #[serde(rename = "type")]
    kind: Box<str>,
    queuing: Option<Queuing>,
}

/// How requests wait.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Queuing {
    queues: u32,
    hand_size: u32,
    queue_length_limit: usize,
}

impl Default for Queuing {
    fn default() -> Self {
        Self {
            queues: 64,
            hand_size: 8,
            queue_length_limit: 50,
        }
    }
}

impl LevelSpec {
    fn is_exempt(&self) -> bool {
        &*self.kind == "Exempt"
    }

    /// The level's part of all seats, in relation to the parts of the others.
    fn shares(&self) -> usize {
        let shares = if self.is_exempt() {
            let exempt = self.exempt.as_ref();
            exempt
                .and_then(|e| e.nominal_concurrency_shares)
                .unwrap_or(0)
        } else {
            let limited = self.limited.as_ref();
            limited
                .and_then(|l| l.nominal_concurrency_shares)
                .unwrap_or(30)
        };
        usize::try_from(shares).unwrap_or(usize::MAX)
    }

    fn queuing(&self) -> Option<Queuing> {
        let response = &self.limited.as_ref()?.limit_response;
        (&*response.kind == "Queue").then(|| response.queuing.unwrap_or_default())
    }
}

/// Why a request got no seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// Its level lets nobody wait.
    ConcurrencyLimit,
    /// Too many wait already.
    QueueFull,
    /// It waited too long.
    TimeOut,
}

/// The seats of one logical cluster, and the levels that share them.
pub(super) struct Pool {
    total: usize,
    /// Requests that wait, of all levels.
    waiting: AtomicUsize,
    levels: ArcSwap<Vec<Arc<Level>>>,
}

/// One priority level.
pub(super) struct Level {
    pub(super) name: Box<str>,
    pool: Arc<Pool>,
    is_exempt: AtomicBool,
    executing: AtomicUsize,
    waiting: AtomicUsize,
    /// Seats that are the level's while it wants them.
    nominal: AtomicUsize,
    /// Seats that nobody else can borrow.
    reserved: AtomicUsize,
    /// Seats that the level may have with those it borrows.
    ceiling: AtomicUsize,
    queues: Mutex<Queues>,
}

#[derive(Default)]
struct Queues {
    /// None lets nobody wait.
    queuing: Option<Queuing>,
    next_id: u64,
    /// Those in which somebody waits.
    waiting: HashMap<u32, VecDeque<Waiter>>,
    /// The same, in the order in which they are served.
    turns: VecDeque<u32>,
}

struct Waiter {
    id: u64,
    seat: oneshot::Sender<Seat>,
}

/// The right to be worked on; dropping it makes room for the next.
pub(super) struct Seat {
    level: Arc<Level>,
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.level.executing.fetch_sub(1, SeqCst);
        let pool = &self.level.pool;
        if pool.waiting.load(SeqCst) > 0 {
            pool.serve(&self.level);
        }
    }
}

impl Pool {
    pub(super) fn new(total: usize) -> Arc<Self> {
        Arc::new(Self {
            total,
            waiting: AtomicUsize::new(0),
            levels: ArcSwap::default(),
        })
    }

    /// The levels are now these, with their specs; who shares with whom is made anew.
    pub(super) fn configure(&self, levels: &[(Arc<Level>, LevelSpec)]) {
        let all: usize = levels.iter().map(|(_, spec)| spec.shares()).sum();
        for (level, spec) in levels {
            let nominal = (self.total * spec.shares()).div_ceil(all.max(1));
            let percent = |of: Option<u32>| {
                let percent = usize::try_from(of.unwrap_or(0)).unwrap_or(usize::MAX);
                (nominal.saturating_mul(percent) + 50) / 100
            };
            let limited = spec.limited.as_ref();
            let lendable = percent(limited.and_then(|l| l.lendable_percent)).min(nominal);
            let ceiling = match limited.and_then(|l| l.borrowing_limit_percent) {
                None => self.total,
                limit => (nominal + percent(limit)).min(self.total),
            };
            level.is_exempt.store(spec.is_exempt(), SeqCst);
            level.nominal.store(nominal, SeqCst);
            level.reserved.store(nominal - lendable, SeqCst);
            level.ceiling.store(ceiling.max(nominal), SeqCst);
            lock(&level.queues).queuing = spec.queuing();
        }
        let levels: Vec<_> = levels.iter().map(|(level, _)| level.clone()).collect();
        self.levels.store(Arc::new(levels));
        // Somebody may have got more seats.
        if let Some(level) = self.levels.load().first() {
            self.serve(level);
        }
    }

    pub(super) fn levels(&self) -> Arc<Vec<Arc<Level>>> {
        self.levels.load_full()
    }

    /// Whether a seat beyond those that the level has to itself is free.
    fn has_free(&self, level: &Level, executing: usize) -> bool {
        let levels = self.levels.load();
        let is_borrowed = executing >= level.nominal.load(SeqCst);
        let mut taken = 0;
        for other in levels.iter() {
            let others = other.executing.load(SeqCst);
            if other.is_exempt() {
                continue;
            }
            taken += others.max(other.reserved.load(SeqCst));
            // Who waits for what is nominally its own goes before who borrows.
            if is_borrowed && other.waiting.load(SeqCst) > 0 && others < other.nominal.load(SeqCst)
            {
                return false;
            }
        }
        taken < self.total
    }

    /// Gives free seats to those who wait, those of `first` before others.
    fn serve(&self, first: &Arc<Level>) {
        first.serve();
        if self.waiting.load(SeqCst) == 0 {
            return;
        }
        for level in self.levels.load().iter() {
            if !Arc::ptr_eq(level, first) {
                level.serve();
            }
        }
    }
}

impl Level {
    pub(super) fn new(name: &str, pool: &Arc<Pool>) -> Arc<Self> {
        Arc::new(Self {
            name: name.into(),
            pool: pool.clone(),
            is_exempt: AtomicBool::new(false),
            executing: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
            nominal: AtomicUsize::new(0),
            reserved: AtomicUsize::new(0),
            ceiling: AtomicUsize::new(0),
            queues: Mutex::default(),
        })
    }

    pub(super) fn executing(&self) -> usize {
        self.executing.load(SeqCst)
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(SeqCst)
    }

    pub(super) fn nominal(&self) -> usize {
        self.nominal.load(SeqCst)
    }

    pub(super) fn is_exempt(&self) -> bool {
        self.is_exempt.load(SeqCst)
    }

    /// A seat, if one is free and nobody waits for it.
    pub(super) fn try_enter(self: &Arc<Self>) -> Option<Seat> {
        let is_overtaking = self.waiting.load(SeqCst) > 0 && !self.is_exempt();
        (!is_overtaking && self.take()).then(|| Seat {
            level: self.clone(),
        })
    }

    /// A seat; waits for it. `flow` tells apart whose requests are served in turn.
    pub(super) async fn enter(self: &Arc<Self>, flow: u64) -> Result<Seat, Refused> {
        if let Some(seat) = self.try_enter() {
            return Ok(seat);
        }
        let waiting = self.line_up(flow)?;
        // Somebody may have left in between.
        self.serve();
        tokio::time::timeout(WAIT_MAX, waiting.seat())
            .await
            .map_err(|_| Refused::TimeOut)?
    }

    /// Counts a seat as taken, if one is free. Two at once may take one more than there are in all, never more than
    /// the level may have.
    fn take(&self) -> bool {
        if self.is_exempt() {
            self.executing.fetch_add(1, SeqCst);
            return true;
        }
        let mut executing = self.executing.load(SeqCst);
        loop {
            let is_free = executing < self.reserved.load(SeqCst)
                || (executing < self.ceiling.load(SeqCst) && self.pool.has_free(self, executing));
            if !is_free {
                return false;
            }
            match self
                .executing
                .compare_exchange_weak(executing, executing + 1, SeqCst, SeqCst)
            {
                Ok(_) => return true,
                Err(now) => executing = now,
            }
        }
    }

    fn line_up(self: &Arc<Self>, flow: u64) -> Result<Waiting, Refused> {
        let mut queues = lock(&self.queues);
        let Some(queuing) = queues.queuing else {
            return Err(Refused::ConcurrencyLimit);
        };
        if self.waiting.load(SeqCst) >= WAITING_MAX {
            return Err(Refused::QueueFull);
        }
        let length = |queue: &u32| queues.waiting.get(queue).map_or(0, VecDeque::len);
        let hand = deal(flow, queuing.queues, queuing.hand_size);
        let queue = hand.into_iter().min_by_key(length).unwrap_or(0);
        if length(&queue) >= queuing.queue_length_limit {
            return Err(Refused::QueueFull);
        }
        let (sender, seat) = oneshot::channel();
        let id = queues.push(queue, sender);
        self.waiting.fetch_add(1, SeqCst);
        self.pool.waiting.fetch_add(1, SeqCst);
        Ok(Waiting {
            level: self.clone(),
            queue,
            id,
            seat: Some(seat),
        })
    }

    /// Gives free seats to those who wait, a queue after the other.
    fn serve(self: &Arc<Self>) {
        while self.waiting.load(SeqCst) > 0 {
            let mut queues = lock(&self.queues);
            let Some(waiter) = queues.pop_if(|| self.take()) else {
                return;
            };
            self.leave();
            drop(queues);
            // Who went away in between gives the seat back, by dropping it: outside of the lock.
            let seat = Seat {
                level: self.clone(),
            };
            drop(waiter.seat.send(seat));
        }
    }

    fn leave(&self) {
        self.waiting.fetch_sub(1, SeqCst);
        self.pool.waiting.fetch_sub(1, SeqCst);
    }
}

fn lock(queues: &Mutex<Queues>) -> MutexGuard<'_, Queues> {
    // Whole after every step, so a poisoned lock is as good as any.
    queues.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Queues {
    fn push(&mut self, queue: u32, seat: oneshot::Sender<Seat>) -> u64 {
        let line = self.waiting.entry(queue).or_default();
        if line.is_empty() {
            self.turns.push_back(queue);
        }
        let id = self.next_id;
        self.next_id += 1;
        line.push_back(Waiter { id, seat });
        id
    }

    /// The one whose turn it is, if there is a seat.
    fn pop_if(&mut self, has_seat: impl FnOnce() -> bool) -> Option<Waiter> {
        let queue = *self.turns.front()?;
        if !has_seat() {
            return None;
        }
        self.turns.pop_front();
        let line = self.waiting.get_mut(&queue)?;
        let waiter = line.pop_front();
        if line.is_empty() {
            self.waiting.remove(&queue);
        } else {
            self.turns.push_back(queue);
        }
        waiter
    }

    /// Forgets one who waits; false if it is none of them any more.
    fn remove(&mut self, queue: u32, id: u64) -> bool {
        let Some(line) = self.waiting.get_mut(&queue) else {
            return false;
        };
        let before = line.len();
        line.retain(|waiter| waiter.id != id);
        let is_removed = line.len() < before;
        if line.is_empty() {
            self.waiting.remove(&queue);
            self.turns.retain(|turn| *turn != queue);
        }
        is_removed
    }
}

/// A place in a queue.
struct Waiting {
    level: Arc<Level>,
    queue: u32,
    id: u64,
    seat: Option<oneshot::Receiver<Seat>>,
}

impl Waiting {
    async fn seat(mut self) -> Result<Seat, Refused> {
        match &mut self.seat {
            // An error means that the queues are gone, with their cluster.
            Some(seat) => seat.await.map_err(|_| Refused::TimeOut),
            None => Err(Refused::TimeOut),
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut queues = lock(&self.level.queues);
        if queues.remove(self.queue, self.id) {
            self.level.leave();
        }
        drop(queues);
        // A seat that came meanwhile goes with the channel, outside of the lock.
        self.seat = None;
    }
}

/// The queues of a flow: `hand` different ones of `queues`, the same for the same flow.
fn deal(flow: u64, queues: u32, hand: u32) -> Vec<u32> {
    let queues = queues.max(1);
    let mut left = flow;
    // In order, so that those that are taken can be left out of the count.
    let mut taken: Vec<u32> = Vec::new();
    for dealt in 0..hand.clamp(1, HAND_MAX).min(queues) {
        let choices = u64::from(queues - dealt);
        let mut card = u32::try_from(left % choices).unwrap_or(0);
        left /= choices;
        let mut at = 0;
        while at < taken.len() && taken[at] <= card {
            card += 1;
            at += 1;
        }
        taken.insert(at, card);
    }
    taken
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use serde_json::{Value, json};

    use super::*;

    fn limited(shares: u32, lendable: u32, response: Value) -> LevelSpec {
        serde_json::from_value(json!({"type": "Limited", "limited": {
            "nominalConcurrencyShares": shares, "lendablePercent": lendable, "limitResponse": response}}))
        .unwrap()
    }

    fn queue(queues: u32, length: u32) -> Value {
        json!({"type": "Queue", "queuing": {"queues": queues, "handSize": 1, "queueLengthLimit": length}})
    }

    /// A pool of `total` seats with levels of these specs.
    fn pool(total: usize, specs: Vec<LevelSpec>) -> Vec<Arc<Level>> {
        let pool = Pool::new(total);
        let levels: Vec<_> = specs
            .into_iter()
            .enumerate()
            .map(|(at, spec)| (Level::new(&at.to_string(), &pool), spec))
            .collect();
        pool.configure(&levels);
        levels.into_iter().map(|(level, _)| level).collect()
    }

    #[test]
    fn hands_are_of_different_queues_and_the_same_for_the_same_flow() {
        for flow in (0..2000).map(|n: u64| n.wrapping_mul(0x9e37_79b9_7f4a_7c15)) {
            let hand = deal(flow, 16, 4);
            assert_eq!(hand, deal(flow, 16, 4));
            assert!(hand.windows(2).all(|pair| pair[0] < pair[1]), "{hand:?}");
            assert!(hand.len() == 4 && hand[3] < 16);
            assert_eq!(deal(flow, 3, 8), [0, 1, 2]);
        }
        let all: std::collections::BTreeSet<Vec<u32>> =
            (0..100_000).map(|flow| deal(flow, 8, 2)).collect();
        assert_eq!(all.len(), 28, "every hand is dealt to somebody");
    }

    #[test]
    fn shares_become_seats_and_unused_ones_are_lent() {
        let levels = pool(
            10,
            vec![limited(60, 50, json!({})), limited(40, 0, json!({}))],
        );
        assert_eq!([levels[0].nominal(), levels[1].nominal()], [6, 4]);
        let mut taken: Vec<Seat> = std::iter::from_fn(|| levels[1].try_enter()).collect();
        assert_eq!(
            taken.len(),
            7,
            "its own four and the three that the other lends"
        );
        let others: Vec<Seat> = std::iter::from_fn(|| levels[0].try_enter()).collect();
        assert_eq!(others.len(), 3, "what is reserved is not lent");
        taken.pop();
        assert!(levels[0].try_enter().is_some(), "what is given back");
    }

    #[test]
    fn a_limit_on_borrowing_holds() {
        let mut spec = limited(50, 100, json!({}));
        spec.limited.as_mut().unwrap().borrowing_limit_percent = Some(20);
        let levels = pool(20, vec![spec, limited(50, 100, json!({}))]);
        assert_eq!(
            std::iter::from_fn(|| levels[0].try_enter().map(std::mem::forget)).count(),
            12
        );
    }

    #[test]
    fn exempt_requests_always_enter_and_take_nobodys_seat() {
        let exempt = serde_json::from_value(json!({"type": "Exempt", "exempt": {}})).unwrap();
        let levels = pool(2, vec![exempt, limited(1, 0, json!({"type": "Reject"}))]);
        let many: Vec<Seat> = (0..100).filter_map(|_| levels[0].try_enter()).collect();
        assert_eq!((many.len(), levels[0].executing()), (100, 100));
        let two: Vec<Seat> = std::iter::from_fn(|| levels[1].try_enter()).collect();
        assert_eq!(two.len(), 2);
        let refused = levels[1].enter(0).now_or_never().unwrap().err();
        assert_eq!(refused, Some(Refused::ConcurrencyLimit));
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_is_served_in_turn_of_flows() {
        let levels = pool(1, vec![limited(1, 0, queue(64, 50))]);
        let level = &levels[0];
        let first = level.try_enter().unwrap();
        // Many of flow 1, then one each of flows 2 and 3.
        let mut waiting: Vec<_> = [1, 1, 1, 1, 2, 3]
            .into_iter()
            .map(|flow| {
                let level = level.clone();
                Box::pin(async move { (flow, level.enter(flow).await.unwrap()) })
            })
            .collect();
        for one in &mut waiting {
            assert!(futures::poll!(one.as_mut()).is_pending());
        }
        assert_eq!(level.waiting(), 6);
        let mut served = vec![];
        drop(first);
        while !waiting.is_empty() {
            let ((flow, seat), at, rest) = futures::future::select_all(waiting).await;
            _ = at;
            served.push(flow);
            assert_eq!(level.executing(), 1);
            drop(seat);
            waiting = rest;
        }
        assert_eq!(served, [1, 2, 3, 1, 1, 1]);
        assert_eq!((level.executing(), level.waiting()), (0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn lines_are_bounded_and_waiting_ends() {
        let levels = pool(1, vec![limited(1, 0, queue(1, 2))]);
        let level = levels[0].clone();
        let seat = level.try_enter().unwrap();
        let mut a = Box::pin(level.enter(1));
        let mut b = Box::pin(level.enter(2));
        assert!(futures::poll!(a.as_mut()).is_pending());
        assert!(futures::poll!(b.as_mut()).is_pending());
        assert_eq!(level.enter(3).await.err(), Some(Refused::QueueFull));
        drop(a);
        assert_eq!(level.waiting(), 1, "who goes away leaves the line");
        let start = tokio::time::Instant::now();
        assert_eq!(b.await.err(), Some(Refused::TimeOut));
        assert_eq!(start.elapsed(), WAIT_MAX);
        assert_eq!(level.waiting(), 0);
        drop(seat);
        assert!(level.try_enter().is_some());
    }

    #[test]
    fn no_more_wait_than_there_is_room_for() {
        let levels = pool(1, vec![limited(1, 0, queue(1, u32::MAX))]);
        let level = &levels[0];
        let _seat = level.try_enter().unwrap();
        let mut line: Vec<_> = (0..WAITING_MAX)
            .map(|_| level.line_up(1).unwrap())
            .collect();
        assert_eq!(level.line_up(2).err(), Some(Refused::QueueFull));
        line.pop();
        assert!(level.line_up(2).is_ok());
    }

    #[tokio::test]
    async fn no_seat_and_nobody_is_lost_between_threads() {
        let levels = pool(
            4,
            vec![
                limited(1, 50, queue(8, 1000)),
                limited(1, 50, queue(8, 1000)),
            ],
        );
        let mut tasks = tokio::task::JoinSet::new();
        for n in 0..400_u64 {
            let level = levels[usize::try_from(n % 2).unwrap()].clone();
            tasks.spawn_blocking(move || {
                for _ in 0..20 {
                    let seat = futures::executor::block_on(async {
                        if let Some(seat) = level.try_enter() {
                            return seat;
                        }
                        let waiting = level.line_up(n).unwrap();
                        level.serve();
                        waiting.seat().await.unwrap()
                    });
                    // One too many is possible when two levels look at once, and no more than that.
                    assert!(level.executing() <= 4);
                    drop(seat);
                }
            });
        }
        while let Some(done) = tasks.join_next().await {
            done.unwrap();
        }
        for level in &levels {
            assert_eq!((level.executing(), level.waiting()), (0, 0));
        }
        assert_eq!(levels[0].pool.waiting.load(SeqCst), 0);
    }
}
