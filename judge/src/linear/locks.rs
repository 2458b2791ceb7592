//! Locks: who holds one, how often, and under which fencing token.
//!
//! The rules are those of the models in Jepsen's Hazelcast tests (`hazelcast/src/jepsen/hazelcast.clj` of
//! jepsen-io/jepsen) and of Knossos's `mutex`. A token is a number that grows with every holder, so that what a
//! lock guards can refuse a holder that is late (Kleppmann, "How to do distributed locking", 2016).

use super::{Kind, Op, Spec};

/// What an operation did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Act {
    /// By whom, and the token that it was answered with, if any.
    Acquire(u32, Option<i64>),
    Release(u32),
}

/// Which lock it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Only the holder may release it.
    pub owned: bool,
    /// How often its holder may hold it at once.
    pub holds_max: u8,
    /// Tokens must grow from holder to holder.
    pub fenced: bool,
}

/// Who holds it (any number where it is not known whom it belongs to), how often, under which token, and the
/// highest token so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct State {
    pub owner: Option<u32>,
    pub holds: u8,
    pub token: Option<i64>,
    pub highest: Option<i64>,
}

/// The specification of one lock.
#[derive(Clone, Copy, Debug)]
pub struct Lock {
    rule: Rule,
    initial: State,
}

impl Lock {
    pub const fn new(rule: Rule, held_by: Option<u32>) -> Self {
        let holds = if held_by.is_some() { 1 } else { 0 };
        Self { rule, initial: State { owner: held_by, holds, token: None, highest: None } }
    }
    fn acquire(self, state: State, client: u32, token: Option<i64>) -> Option<State> {
        let token = token.filter(|_| self.rule.fenced);
        let grows = token.is_none_or(|token| state.highest.is_none_or(|highest| token > highest));
        let highest = state.highest.max(token);
        match state.owner {
            None if grows => Some(State { owner: Some(client), holds: 1, token, highest }),
            Some(owner) if owner == client && state.holds < self.rule.holds_max => match (state.token, token)
            {
                // The first token of a holder that was told none before.
                (None, Some(_)) if !grows => None,
                (Some(held), Some(token)) if held != token => None,
                (held, token) => {
                    Some(State { holds: state.holds + 1, token: held.or(token), highest, ..state })
                }
            },
            _ => None,
        }
    }
}

impl Spec for Lock {
    type State = State;
    type Act = Act;

    fn initial(&self) -> State {
        self.initial
    }
    fn step(&mut self, state: State, act: Act) -> Option<State> {
        match act {
            Act::Acquire(client, token) => self.acquire(state, client, token),
            Act::Release(client) => match state.owner {
                Some(owner) if owner == client || !self.rule.owned => Some(if state.holds > 1 {
                    State { holds: state.holds - 1, ..state }
                } else {
                    State { owner: None, holds: 0, token: None, ..state }
                }),
                _ => None,
            },
        }
    }
    fn kind(&self, _act: Act) -> Kind {
        Kind::Partial
    }
}

/// Makes the clients of an unowned lock one, so that its states are two.
pub fn forget_owners(ops: &mut [Op<Act>]) {
    for op in ops {
        op.act = match op.act {
            Act::Acquire(_, token) => Act::Acquire(0, token),
            Act::Release(_) => Act::Release(0),
        };
    }
}
