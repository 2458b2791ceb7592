//! Several registers that are read and written together.

use super::{Kind, Spec};
use rustc_hash::FxHashMap;

/// One step of a transaction: of which register, and the value that was read or is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Micro {
    pub writes: bool,
    pub key: u32,
    pub value: u32,
}

/// The specification. An act is the number of a transaction, a state that of a vector of values.
#[derive(Debug, Default)]
pub struct Registers {
    txns: Vec<Vec<Micro>>,
    numbers: FxHashMap<Vec<Micro>, u32>,
    states: Vec<Box<[u32]>>,
    known: FxHashMap<Box<[u32]>, u32>,
    steps: FxHashMap<(u32, u32), Option<u32>>,
}

impl Registers {
    /// Registers that begin with these values.
    pub fn new(initial: Vec<u32>) -> Self {
        let mut registers = Self::default();
        registers.state(initial.into());
        registers
    }
    /// The act of a transaction, the same for the same.
    pub fn act(&mut self, txn: Vec<Micro>) -> u32 {
        if let Some(number) = self.numbers.get(&txn) {
            return *number;
        }
        let number = self.txns.len() as u32;
        self.txns.push(txn.clone());
        self.numbers.insert(txn, number);
        number
    }
    pub fn values(&self, state: u32) -> &[u32] {
        &self.states[state as usize]
    }
    fn state(&mut self, values: Box<[u32]>) -> u32 {
        if let Some(state) = self.known.get(&values) {
            return *state;
        }
        let state = self.states.len() as u32;
        self.states.push(values.clone());
        self.known.insert(values, state);
        state
    }
}

impl Spec for Registers {
    type State = u32;
    type Act = u32;

    fn initial(&self) -> u32 {
        0
    }
    fn step(&mut self, state: u32, act: u32) -> Option<u32> {
        if let Some(after) = self.steps.get(&(state, act)) {
            return *after;
        }
        let mut values = self.states[state as usize].clone();
        let mut fits = true;
        for micro in &self.txns[act as usize] {
            if micro.writes {
                values[micro.key as usize] = micro.value;
            } else {
                fits &= values[micro.key as usize] == micro.value;
            }
        }
        let after = fits.then(|| self.state(values));
        self.steps.insert((state, act), after);
        after
    }
    fn kind(&self, act: u32) -> Kind {
        let txn = &self.txns[act as usize];
        if txn.iter().all(|micro| !micro.writes) {
            return Kind::Read;
        }
        if txn.iter().any(|micro| !micro.writes) {
            return Kind::Partial;
        }
        let all = (0..self.states[0].len()).all(|key| txn.iter().any(|micro| micro.key as usize == key));
        if all { Kind::Overwrite } else { Kind::Total }
    }
}
