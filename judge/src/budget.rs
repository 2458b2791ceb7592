//! What a verdict may cost. A spent budget ends in `unknown` with the reason, never in a pass.
//!
//! Steps and bytes are counted, so that the same budget gives the same verdict on any machine; a deadline is for
//! people who wait, and makes the verdict depend on the machine: it is asked for by name.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// Why a verdict was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Spent {
    #[error("its {0} steps are spent")]
    Steps(u64),
    #[error("it would need more than {0} MB of memory")]
    Memory(u64),
    #[error("its time is up")]
    Time,
    #[error("it was interrupted")]
    Cancelled,
}

/// A budget, spent as an algorithm goes along. Shared by reference: what one key spends, the next cannot.
#[derive(Debug)]
pub struct Budget {
    steps: u64,
    spent: Cell<u64>,
    bytes: u64,
    deadline: Option<Instant>,
    cancel: Option<Arc<AtomicBool>>,
}

/// How many steps pass between two looks at the clock.
const LOOK: u64 = 4096;

impl Budget {
    /// By steps and bytes alone.
    pub const fn new(steps: u64, bytes: u64) -> Self {
        Self { steps, spent: Cell::new(0), bytes, deadline: None, cancel: None }
    }
    #[must_use]
    pub fn until(mut self, deadline: Instant) -> Self {
        self.deadline = Some(deadline);
        self
    }
    #[must_use]
    pub fn cancelled_by(mut self, cancel: Arc<AtomicBool>) -> Self {
        self.cancel = Some(cancel);
        self
    }
    /// Takes steps from it. A step is one try of an operation on a state, or work alike.
    pub fn spend(&self, steps: u64) -> Result<(), Spent> {
        let before = self.spent.get();
        let after = before + steps;
        self.spent.set(after);
        if after > self.steps {
            return Err(Spent::Steps(self.steps));
        }
        if before / LOOK == after / LOOK { Ok(()) } else { self.look() }
    }
    /// Refuses a structure of this size; called before it grows.
    pub fn hold(&self, bytes: u64) -> Result<(), Spent> {
        if bytes > self.bytes { Err(Spent::Memory(self.bytes >> 20)) } else { Ok(()) }
    }
    /// Looks at the clock and at the switch.
    pub fn look(&self) -> Result<(), Spent> {
        if self.cancel.as_ref().is_some_and(|cancel| cancel.load(Ordering::Relaxed)) {
            return Err(Spent::Cancelled);
        }
        #[expect(clippy::disallowed_methods, reason = "a deadline is asked for by name")]
        if self.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            return Err(Spent::Time);
        }
        Ok(())
    }
    pub fn steps_spent(&self) -> u64 {
        self.spent.get()
    }
}

impl Default for Budget {
    /// A thousand million steps and a gigabyte.
    fn default() -> Self {
        Self::new(1_000_000_000, 1 << 30)
    }
}
