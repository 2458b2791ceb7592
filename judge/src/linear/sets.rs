//! Counters and sets, as objects whose every answer must fit one order.

use super::{Kind, Spec};
use rustc_hash::FxHashMap;

/// What an operation on a counter did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Count {
    /// How much was added, and what it then was, if that was answered.
    Add(i64, Option<i64>),
    Read(i64),
}

/// The specification of a counter.
#[derive(Clone, Copy, Debug)]
pub struct Counter(pub i64);

impl Spec for Counter {
    type State = i64;
    type Act = Count;

    fn initial(&self) -> i64 {
        self.0
    }
    fn step(&mut self, state: i64, act: Count) -> Option<i64> {
        match act {
            Count::Add(by, answer) => {
                let after = state.wrapping_add(by);
                answer.is_none_or(|answer| answer == after).then_some(after)
            }
            Count::Read(value) => (state == value).then_some(state),
        }
    }
    fn kind(&self, act: Count) -> Kind {
        match act {
            Count::Read(_) => Kind::Read,
            Count::Add(_, None) => Kind::Total,
            Count::Add(_, Some(_)) => Kind::Partial,
        }
    }
}

/// What an operation on a set did. Elements are numbers, and so are the sets that were read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Change {
    Add(u32),
    Remove(u32),
    Contains(u32, bool),
    Read(u32),
}

/// The specification of a set that begins empty. States are numbers of sets.
#[derive(Debug)]
pub struct Set {
    sets: Vec<Box<[u32]>>,
    known: FxHashMap<Box<[u32]>, u32>,
    steps: FxHashMap<(u32, Change), u32>,
}

impl Default for Set {
    fn default() -> Self {
        let mut set = Self { sets: Vec::new(), known: FxHashMap::default(), steps: FxHashMap::default() };
        set.number(Vec::new());
        set
    }
}

impl Set {
    /// The number of a set of these elements.
    pub fn number(&mut self, mut elements: Vec<u32>) -> u32 {
        elements.sort_unstable();
        elements.dedup();
        if let Some(number) = self.known.get(elements.as_slice()) {
            return *number;
        }
        let number = self.sets.len() as u32;
        let elements: Box<[u32]> = elements.into();
        self.sets.push(elements.clone());
        self.known.insert(elements, number);
        number
    }
    pub fn elements(&self, state: u32) -> &[u32] {
        &self.sets[state as usize]
    }
}

impl Spec for Set {
    type State = u32;
    type Act = Change;

    fn initial(&self) -> u32 {
        0
    }
    fn step(&mut self, state: u32, act: Change) -> Option<u32> {
        let has = |element: u32| self.sets[state as usize].binary_search(&element);
        match act {
            Change::Contains(element, answer) => (has(element).is_ok() == answer).then_some(state),
            Change::Read(set) => (set == state).then_some(state),
            Change::Add(element) | Change::Remove(element) => {
                let adds = matches!(act, Change::Add(_));
                if has(element).is_ok() == adds {
                    return Some(state);
                }
                if let Some(after) = self.steps.get(&(state, act)) {
                    return Some(*after);
                }
                let mut elements = self.sets[state as usize].to_vec();
                if adds {
                    elements.push(element);
                } else {
                    elements.retain(|other| *other != element);
                }
                let after = self.number(elements);
                self.steps.insert((state, act), after);
                Some(after)
            }
        }
    }
    fn kind(&self, act: Change) -> Kind {
        match act {
            Change::Contains(..) | Change::Read(_) => Kind::Read,
            Change::Add(_) | Change::Remove(_) => Kind::Total,
        }
    }
}
