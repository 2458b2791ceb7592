//! What the search asks of a sequential specification.

use std::fmt::Debug;
use std::hash::Hash;

/// How an act depends on the state and changes it. A wrong answer here makes wrong verdicts; `Partial` is
/// always right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Leaves every state as it is.
    Read,
    /// Fits every state, and leaves the same one whatever was before.
    Overwrite,
    /// Fits every state.
    Total,
    /// Fits some states and not others.
    Partial,
}

/// A sequential specification: a state, and what an act with its answer makes of it.
///
/// States are small and copied often: what is large is interned, which is why a step may change the
/// specification's own tables. Equal states must be equal values.
pub trait Spec {
    type State: Copy + Eq + Hash + Debug;
    /// What an operation did, its answer included. Equal acts do the same.
    type Act: Copy + Eq + Hash + Debug;

    fn initial(&self) -> Self::State;
    /// The state afterwards; `None` if the answer does not fit the state.
    fn step(&mut self, state: Self::State, act: Self::Act) -> Option<Self::State>;
    fn kind(&self, act: Self::Act) -> Kind;
    /// For an operation of unknown outcome: the last place at which it can make a difference to an answer.
    /// After it, and if it is before its call, the operation is left out.
    fn useful_until(&self, _act: Self::Act) -> u32 {
        u32::MAX
    }
    /// Whether an order that explains all acts still does so without this one, whatever the order; `others`
    /// are the acts that remain. Only then may a core leave an operation out.
    fn droppable(&self, act: Self::Act, others: &[Self::Act]) -> bool {
        let _ = others;
        self.kind(act) == Kind::Read
    }
}
