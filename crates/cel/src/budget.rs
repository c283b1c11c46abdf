//! The limits of an evaluation.

use std::time::Instant;

use regex::Regex;

use crate::error::EvalError;

/// The most that one evaluation may cost, as upstream sets it.
pub const PER_CALL_LIMIT: u64 = 1_000_000;
/// The most that all expressions of one object or of one policy may cost together (upstream's
/// `RuntimeCELCostBudget`).
pub const TOTAL_LIMIT: u64 = 10_000_000;
/// The most bytes that one evaluation allocates, unless told otherwise.
const MEMORY: usize = 256 * 1024 * 1024;
/// The deadline is looked at once in so many steps of folds, as upstream does.
const CHECK_EVERY: u32 = 100;

/// The limits of an evaluation, and how much of them it used.
#[derive(Debug, Clone)]
pub struct Budget {
    limit: u64,
    cost: u64,
    memory: usize,
    deadline: Option<Instant>,
    steps: u32,
    /// The last pattern that was compiled.
    pattern: Option<(String, Regex)>,
}

impl Budget {
    /// At most this cost.
    pub fn new(limit: u64) -> Budget {
        Budget { limit, cost: 0, memory: MEMORY, deadline: None, steps: 0, pattern: None }
    }

    pub(crate) fn unlimited() -> Budget {
        Budget::new(u64::MAX)
    }

    /// Stops at this time.
    pub fn with_deadline(mut self, deadline: Instant) -> Budget {
        self.deadline = Some(deadline);
        self
    }

    /// Allocates at most this many bytes, all that are freed again included.
    pub fn with_memory(mut self, bytes: usize) -> Budget {
        self.memory = bytes;
        self
    }

    /// The cost until now, in cel-go's units.
    pub fn cost(&self) -> u64 {
        self.cost
    }

    pub(crate) fn charge(&mut self, cost: u64) -> Result<(), EvalError> {
        self.cost = self.cost.saturating_add(cost);
        if self.cost > self.limit { Err(EvalError::COST) } else { Ok(()) }
    }

    /// Fails if more than is left would be charged, before anything is done that costs so much.
    pub(crate) fn allows(&self, cost: u64) -> Result<(), EvalError> {
        if self.cost.saturating_add(cost) > self.limit { Err(EvalError::COST) } else { Ok(()) }
    }

    pub(crate) fn allocate(&mut self, bytes: usize) -> Result<(), EvalError> {
        self.memory = self.memory.checked_sub(bytes).ok_or(EvalError::MEMORY)?;
        Ok(())
    }

    /// A pattern that was just compiled.
    pub(crate) fn pattern(&self, pattern: &str) -> Option<Regex> {
        self.pattern.as_ref().filter(|(known, _)| known == pattern).map(|(_, regex)| regex.clone())
    }

    pub(crate) fn remember(&mut self, pattern: &str, regex: &Regex) {
        self.pattern = Some((pattern.to_owned(), regex.clone()));
    }

    /// One step of a fold.
    pub(crate) fn step(&mut self) -> Result<(), EvalError> {
        self.steps += 1;
        if self.steps < CHECK_EVERY {
            return Ok(());
        }
        self.steps = 0;
        match self.deadline {
            Some(deadline) if Instant::now() >= deadline => Err(EvalError::DEADLINE),
            _ => Ok(()),
        }
    }
}

/// As much as upstream allows one call.
impl Default for Budget {
    fn default() -> Budget {
        Budget::new(PER_CALL_LIMIT)
    }
}
