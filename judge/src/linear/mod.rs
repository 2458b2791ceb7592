//! Linearizability: whether the operations on one object have an order that respects real time and explains
//! every answer (Herlihy and Wing, "Linearizability: a correctness condition for concurrent objects", 1990).
//!
//! The deciders work on [`Op`]s, which know no history, only when an operation was called, when it returned and
//! what it did; models make them of a history, and other crates of whatever they recorded. Intervals are closed:
//! one operation precedes another only if it returned strictly before the other was called. An operation that
//! never returned may take effect at any time after its call, or never.
//!
//! `zones` decides registers whose values are unique in O(n log n) steps, `search` every sequential
//! specification ([`Spec`]) within a budget, `every` tiny histories by the definition itself. `smallest` finds
//! the core of a contradiction.

pub mod every;
pub mod judge;
pub mod locks;
pub mod register;
pub mod search;
pub mod sets;
pub mod smallest;
pub mod spec;
mod story;
pub mod strings;
pub mod transactions;
pub mod values;
pub mod zones;

#[cfg(test)]
mod tests;

pub use crate::history::NEVER;
pub use spec::{Kind, Spec};

use crate::budget::Spent;

/// One operation on one object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Op<A> {
    pub call: u32,
    /// [`NEVER`]: its outcome is not known.
    pub ret: u32,
    pub act: A,
}

/// Why no answer was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Gap {
    #[error(transparent)]
    Spent(#[from] Spent),
    #[error("{0} operations are open at once; the search takes {max}", max = search::OPEN_MAX)]
    TooManyOpen(usize),
}

/// What a decider found out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    Linearizable,
    /// The places of operations that contradict each other. From the search it is one: the operation whose
    /// return no order explains, given what came before it.
    Broken(Vec<usize>),
    Unknown(Gap),
}
