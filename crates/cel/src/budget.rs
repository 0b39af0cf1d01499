//! What an evaluation may cost, and what it has.

use std::collections::BTreeMap;
use std::sync::Arc;

use regex::Regex;

use crate::error::EvalError;

/// Bytes that evaluations may touch per unit of cost, beside a constant: costs do not count everything.
const WORK_PER_COST: u64 = 16;
const FREE_WORK: u64 = 64 << 20;
/// Largest text or list made by one operation, in bytes or elements.
const MAX_MADE: u64 = 8 << 20;
/// Compiled patterns an evaluation keeps.
const MAX_REGEXES: usize = 64;
/// Work that compiling a pattern counts for, per byte of the pattern.
const REGEX_WORK: u64 = 4096;

/// Cost units that evaluations may still spend. A unit is about 50 ns of Kubernetes' own implementation; what
/// has which cost is the same there and here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Units left for all evaluations.
    pub remaining: u64,
    /// Units that one evaluation may cost.
    pub per_call: u64,
    /// Bytes and elements that may still be looked at or made.
    work: u64,
}

impl Budget {
    /// What Kubernetes lets the rules of one object, or the policies of one request, cost together.
    pub const PER_OBJECT: u64 = 10_000_000;
    /// What Kubernetes lets one evaluation cost.
    pub const PER_CALL: u64 = 1_000_000;
    /// What Kubernetes lets the match conditions of one webhook or policy cost together.
    pub const MATCH_CONDITIONS: u64 = Self::PER_OBJECT / 4;

    /// A budget of `remaining` units, of which one call may spend [`Self::PER_CALL`].
    #[must_use]
    pub fn new(remaining: u64) -> Self {
        Self {
            remaining,
            per_call: Self::PER_CALL,
            work: remaining
                .saturating_mul(WORK_PER_COST)
                .saturating_add(FREE_WORK),
        }
    }

    /// The same, with another limit for one call.
    #[must_use]
    pub fn with_per_call(self, per_call: u64) -> Self {
        Self { per_call, ..self }
    }
}

impl Default for Budget {
    fn default() -> Self {
        Self::new(Self::PER_OBJECT)
    }
}

/// The counters of a running evaluation.
pub(crate) struct Meter {
    pub(crate) cost: u64,
    limit: u64,
    remaining: u64,
    work: u64,
    regexes: BTreeMap<String, Regex>,
    /// Patterns that the running programs compiled beforehand.
    known: Vec<Arc<BTreeMap<String, Regex>>>,
}

impl Meter {
    pub(crate) fn new(budget: &Budget) -> Self {
        Self {
            cost: 0,
            limit: budget.per_call,
            remaining: budget.remaining,
            work: budget.work,
            regexes: BTreeMap::new(),
            known: vec![],
        }
    }

    /// Takes what was spent from the budget.
    pub(crate) fn settle(&self, budget: &mut Budget) {
        budget.remaining = budget.remaining.saturating_sub(self.cost);
        budget.work = self.work;
    }

    /// Adds to the cost.
    pub(crate) fn charge(&mut self, cost: u64) -> Result<(), EvalError> {
        self.cost = self.cost.saturating_add(cost);
        if self.cost > self.limit {
            return Err(EvalError::call_limit());
        }
        if self.cost > self.remaining {
            return Err(EvalError::budget_spent());
        }
        Ok(())
    }

    /// Counts bytes or elements that an operation looks at.
    pub(crate) fn work(&mut self, amount: usize) -> Result<(), EvalError> {
        match self.work.checked_sub(amount as u64) {
            Some(rest) => {
                self.work = rest;
                Ok(())
            }
            None => Err(EvalError::call_limit()),
        }
    }

    /// Counts bytes or elements that an operation is about to make.
    pub(crate) fn make(&mut self, amount: u64) -> Result<(), EvalError> {
        if amount > MAX_MADE {
            return Err(EvalError::call_limit());
        }
        self.work(usize::try_from(amount).unwrap_or(usize::MAX))
    }

    /// Learns the patterns of a program that is about to run.
    pub(crate) fn know(&mut self, regexes: &Arc<BTreeMap<String, Regex>>) {
        if !regexes.is_empty() && !self.known.iter().any(|known| Arc::ptr_eq(known, regexes)) {
            self.known.push(regexes.clone());
        }
    }

    /// A compiled pattern.
    pub(crate) fn regex(&mut self, pattern: &str) -> Result<Regex, EvalError> {
        if let Some(regex) = self.known.iter().find_map(|known| known.get(pattern)) {
            return Ok(regex.clone());
        }
        if let Some(regex) = self.regexes.get(pattern) {
            return Ok(regex.clone());
        }
        let work = (pattern.len() as u64).saturating_mul(REGEX_WORK);
        self.work(usize::try_from(work).unwrap_or(usize::MAX))?;
        let regex = crate::library::regex::compile(pattern).map_err(EvalError::other)?;
        if self.regexes.len() >= MAX_REGEXES {
            self.regexes.clear();
        }
        self.regexes.insert(pattern.to_owned(), regex.clone());
        Ok(regex)
    }
}
