//! Limits of one rendering. Templates are input: nothing they do may hang, grow without bound or overflow the stack.

use super::error::{Error, Result};

/// What one rendering may use. The defaults leave the largest public charts far from every limit.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Nodes walked, functions called and values visited.
    pub steps: u64,
    /// Bytes of text and lists made, over the whole rendering (not what is alive at one time).
    pub bytes: u64,
    /// Nesting of templates, includes, control structures and parentheses while executing.
    pub depth: u32,
    /// Nesting of values when they are printed, compared, copied or encoded.
    pub value_depth: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            steps: 20_000_000,
            bytes: 1 << 30,
            depth: 8_000,
            value_depth: 500,
        }
    }
}

/// What is left of the limits.
#[derive(Debug)]
pub struct Budget {
    limits: Limits,
    steps: u64,
    bytes: u64,
}

impl Budget {
    /// A full budget.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            steps: limits.steps,
            bytes: limits.bytes,
        }
    }

    /// The limits it started from.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Spends steps.
    ///
    /// # Errors
    /// When none are left.
    pub fn step(&mut self, count: u64) -> Result<()> {
        match self.steps.checked_sub(count) {
            Some(left) => {
                self.steps = left;
                Ok(())
            }
            None => Err(Error::limit(format!(
                "rendering took more than {} steps",
                self.limits.steps
            ))),
        }
    }

    /// Spends bytes, before they are allocated.
    ///
    /// # Errors
    /// When none are left.
    pub fn bytes(&mut self, count: usize) -> Result<()> {
        match self.bytes.checked_sub(count as u64) {
            Some(left) => {
                self.bytes = left;
                Ok(())
            }
            None => Err(Error::limit(format!(
                "rendering made more than {} bytes of text and lists",
                self.limits.bytes
            ))),
        }
    }

    /// Checks the nesting of a value.
    ///
    /// # Errors
    /// When it is nested deeper than the limit, as every value is that contains itself.
    pub fn nested(&self, depth: u32) -> Result<()> {
        if depth > self.limits.value_depth {
            let limit = self.limits.value_depth;
            return Err(Error::limit(format!(
                "value is nested deeper than {limit} levels or contains itself"
            )));
        }
        Ok(())
    }
}
