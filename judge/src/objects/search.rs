//! Linearizability of small collections by search, where values repeat or unknown outcomes leave no other way.
//!
//! Wing and Gong's search (*Testing and verifying concurrent objects*, JPDC 1993) with Lowe's memory of the
//! configurations that led nowhere (*Testing for linearizability*, CCPE 2017): a configuration is the set of
//! operations that took effect and the state. The set is kept as the first operation that did not, and those
//! after it that did; the state as two hashes that are updated with each step. Of equal operations of unknown
//! outcome only the first is tried.

use crate::budget::{Budget, Spent};
use crate::history::NEVER;
use rustc_hash::FxHashSet;
use std::collections::VecDeque;

/// What an operation does to a collection of values, given by numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    Put(u32),
    Take(u32),
    Empty,
    /// Takes something; if it does not, it is left out.
    Any,
}

/// An operation; `ret` is [`NEVER`] where its outcome is unknown, and then it may be left out.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    pub act: Act,
    pub call: u32,
    pub ret: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    Fifo,
    Lifo,
    Bag,
}

/// Two moduli that are prime: a clash of both hashes is as likely as a failure of the machine.
const PRIMES: [u64; 2] = [(1 << 61) - 1, (1 << 61) - 31];
const BASES: [u64; 2] = [0x1234_5678_9abc_def1, 0x0fed_cba9_8765_4321];

fn times(a: u64, b: u64, prime: u64) -> u64 {
    (u128::from(a) * u128::from(b) % u128::from(prime)) as u64
}

/// By Fermat: the power to the prime less two.
fn inverse(base: u64, prime: u64) -> u64 {
    let (mut result, mut power, mut exponent) = (1, base, prime - 2);
    while exponent > 0 {
        if exponent & 1 == 1 {
            result = times(result, power, prime);
        }
        power = times(power, power, prime);
        exponent >>= 1;
    }
    result
}

/// What is in the collection, with its hash: a polynomial of the sequence, for bags a sum over the values.
struct State {
    order: Order,
    values: VecDeque<u32>,
    hash: [u64; 2],
    /// The powers of the bases: as a queue's first value leaves, its term leaves the polynomial.
    powers: Vec<[u64; 2]>,
    /// What undoes a multiplication with a base.
    inverses: [u64; 2],
}

impl State {
    fn new(order: Order) -> Self {
        let inverses = [0, 1].map(|i| inverse(BASES[i] % PRIMES[i], PRIMES[i]));
        Self { order, values: VecDeque::new(), hash: [0; 2], powers: vec![[1; 2]], inverses }
    }
    fn power(&mut self, exponent: usize) -> [u64; 2] {
        while self.powers.len() <= exponent {
            let last = self.powers[self.powers.len() - 1];
            self.powers.push([0, 1].map(|i| times(last[i], BASES[i] % PRIMES[i], PRIMES[i])));
        }
        self.powers[exponent]
    }
    /// The term of a value where the polynomial has its lowest power.
    fn term(value: u32, i: usize) -> u64 {
        times(u64::from(value) + 1, 0x9e37_79b9_7f4a_7c15 % PRIMES[i], PRIMES[i])
    }
    /// For bags: a term that does not depend on the place.
    fn spread(value: u32, i: usize) -> u64 {
        let term = Self::term(value, i);
        times(times(term, term, PRIMES[i]), BASES[i] % PRIMES[i], PRIMES[i])
    }
    fn put_back(&mut self, value: u32) {
        self.values.push_back(value);
        for i in [0, 1] {
            let shifted = match self.order {
                Order::Bag => {
                    self.hash[i] = (self.hash[i] + Self::spread(value, i)) % PRIMES[i];
                    continue;
                }
                _ => times(self.hash[i], BASES[i] % PRIMES[i], PRIMES[i]),
            };
            self.hash[i] = (shifted + Self::term(value, i)) % PRIMES[i];
        }
    }
    fn drop_back(&mut self) {
        let Some(value) = self.values.pop_back() else { return };
        for i in [0, 1] {
            self.hash[i] = match self.order {
                Order::Bag => (self.hash[i] + PRIMES[i] - Self::spread(value, i)) % PRIMES[i],
                _ => {
                    let without = (self.hash[i] + PRIMES[i] - Self::term(value, i)) % PRIMES[i];
                    times(without, self.inverses[i], PRIMES[i])
                }
            };
        }
    }
    fn drop_front(&mut self) {
        let Some(value) = self.values.pop_front() else { return };
        let power = self.power(self.values.len());
        for (i, power) in power.into_iter().enumerate() {
            self.hash[i] =
                (self.hash[i] + PRIMES[i] - times(Self::term(value, i), power, PRIMES[i])) % PRIMES[i];
        }
    }
    fn put_front(&mut self, value: u32) {
        let power = self.power(self.values.len());
        self.values.push_front(value);
        for (i, power) in power.into_iter().enumerate() {
            self.hash[i] = (self.hash[i] + times(Self::term(value, i), power, PRIMES[i])) % PRIMES[i];
        }
    }
}

/// A step that was made, to be unmade.
enum Done {
    Put,
    Front(u32),
    Back(u32),
    /// Of a bag: what was at this place, which the last value fills.
    From(usize, u32),
    Nothing,
}

impl State {
    /// Takes the step; `None`: it is not possible. For [`Act::Any`] of a bag, `choice` says which value.
    fn apply(&mut self, act: Act, choice: usize) -> Option<Done> {
        let wanted = match act {
            Act::Put(value) => {
                self.put_back(value);
                return Some(Done::Put);
            }
            Act::Empty => return self.values.is_empty().then_some(Done::Nothing),
            Act::Take(value) => Some(value),
            Act::Any => None,
        };
        match self.order {
            Order::Fifo => {
                let first = *self.values.front()?;
                if wanted.is_some_and(|wanted| wanted != first) {
                    return None;
                }
                self.drop_front();
                Some(Done::Front(first))
            }
            Order::Lifo => {
                let last = *self.values.back()?;
                if wanted.is_some_and(|wanted| wanted != last) {
                    return None;
                }
                self.drop_back();
                Some(Done::Back(last))
            }
            Order::Bag => {
                let at = match wanted {
                    Some(wanted) => self.values.iter().position(|value| *value == wanted)?,
                    None => (choice < self.values.len()).then_some(choice)?,
                };
                let value = self.values.swap_remove_back(at)?;
                for i in [0, 1] {
                    self.hash[i] = (self.hash[i] + PRIMES[i] - Self::spread(value, i)) % PRIMES[i];
                }
                Some(Done::From(at, value))
            }
        }
    }
    fn undo(&mut self, done: &Done) {
        match *done {
            Done::Put => self.drop_back(),
            Done::Front(value) => self.put_front(value),
            Done::Back(value) => self.put_back(value),
            Done::From(at, value) => {
                self.put_back(value);
                let last = self.values.len() - 1;
                self.values.swap(at, last);
            }
            Done::Nothing => {}
        }
    }
}

/// What the search is at: one operation made, and which to try next.
struct Frame {
    /// The operation that led here, and how to unmake it; none for the first.
    made: Option<(u32, Done)>,
    candidates: Vec<(u32, u32)>,
    next: usize,
}

/// How many steps one search may take, whatever the budget: a search that is not done by then has lost its way
/// among orders of operations at the same time, and more steps rarely bring it back.
pub const STEPS_MAX: u64 = 5_000_000;

/// Whether the calls, given in the order of their calls, can be put into an order that the collection allows.
pub fn possible(calls: &[Call], order: Order, budget: &Budget) -> Result<bool, Spent> {
    let mut search = Search {
        calls,
        made: vec![false; calls.len()],
        base: 0,
        left: calls.iter().filter(|call| call.ret != NEVER).count(),
        opens: (0..calls.len()).filter(|call| calls[*call].ret == NEVER).collect(),
        state: State::new(order),
    };
    let mut seen: FxHashSet<Box<[u64]>> = FxHashSet::default();
    let mut held = 0u64;
    let mut steps = 0;
    let mut frames = vec![Frame { made: None, candidates: search.candidates(), next: 0 }];
    loop {
        if search.left == 0 {
            return Ok(true);
        }
        let Some(frame) = frames.last_mut() else { return Ok(false) };
        let Some((call, choice)) = frame.candidates.get(frame.next).copied() else {
            let frame = frames.pop();
            if let Some((call, done)) = frame.and_then(|frame| frame.made) {
                search.unmake(call, &done);
            }
            continue;
        };
        frame.next += 1;
        budget.spend(1)?;
        steps += 1;
        if steps > STEPS_MAX {
            return Err(Spent::Steps(STEPS_MAX));
        }
        let Some(done) = search.state.apply(calls[call as usize].act, choice as usize) else { continue };
        search.make(call);
        let key = search.key();
        // The key, its pointer and its share of the table.
        let bytes = key.len() as u64 * 8 + 32;
        if !seen.insert(key) {
            search.unmake(call, &done);
            continue;
        }
        held += bytes;
        budget.hold(held + frames.len() as u64 * 64)?;
        let candidates = search.candidates();
        frames.push(Frame { made: Some((call, done)), candidates, next: 0 });
    }
}

struct Search<'a> {
    calls: &'a [Call],
    made: Vec<bool>,
    /// All before it were made, or may be left out.
    base: usize,
    /// How many must still be made.
    left: usize,
    /// Those of unknown outcome.
    opens: Vec<usize>,
    state: State,
}

impl Search<'_> {
    fn make(&mut self, call: u32) {
        self.made[call as usize] = true;
        self.left -= usize::from(self.calls[call as usize].ret != NEVER);
        while self.base < self.calls.len() && (self.made[self.base] || self.calls[self.base].ret == NEVER) {
            self.base += 1;
        }
    }
    fn unmake(&mut self, call: u32, done: &Done) {
        self.state.undo(done);
        self.made[call as usize] = false;
        self.left += usize::from(self.calls[call as usize].ret != NEVER);
        if self.calls[call as usize].ret != NEVER {
            self.base = self.base.min(call as usize);
        }
    }
    /// The operations that may be next, and for takes of anything from a bag, of what.
    fn candidates(&self) -> Vec<(u32, u32)> {
        let mut next = Vec::new();
        // Nothing may be made before what returned before it began.
        let mut first_ret = NEVER;
        let mut until = self.base;
        while until < self.calls.len() && self.calls[until].call < first_ret {
            if !self.made[until] {
                first_ret = first_ret.min(self.calls[until].ret);
            }
            until += 1;
        }
        let mut any = false;
        let open = self.opens.iter().copied().take_while(|call| *call < self.base);
        for call in (self.base..until).chain(open) {
            if self.made[call] || self.calls[call].call >= first_ret {
                continue;
            }
            if self.calls[call].act == Act::Any {
                if !any {
                    let choices = if self.state.order == Order::Bag { self.state.values.len() } else { 1 };
                    next.extend((0..choices as u32).map(|choice| (call as u32, choice)));
                }
                any = true;
            } else {
                next.push((call as u32, 0));
            }
        }
        // What is checked, and then what returns first, is the likeliest.
        next.sort_by_key(|(call, _)| {
            let call = &self.calls[*call as usize];
            (matches!(call.act, Act::Any), matches!(call.act, Act::Put(_)), call.ret, call.call)
        });
        next
    }
    fn key(&self) -> Box<[u64]> {
        let open = self.opens.iter().copied().take_while(|call| *call < self.base);
        let open = open.filter(|call| self.made[*call]);
        let later = (self.base..self.calls.len())
            .take_while(|call| self.calls[*call].call < self.horizon())
            .filter(|call| self.made[*call]);
        let mut key = vec![self.base as u64, self.state.hash[0], self.state.hash[1]];
        key.extend(open.chain(later).map(|call| call as u64));
        key.into_boxed_slice()
    }
    /// No operation that began after this was made.
    fn horizon(&self) -> u32 {
        self.calls.get(self.base).map_or(NEVER, |call| call.ret)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_depend_on_the_state_and_not_on_the_way_to_it() {
        for order in [Order::Fifo, Order::Lifo, Order::Bag] {
            let mut state = State::new(order);
            for value in [1, 2, 3] {
                state.apply(Act::Put(value), 0).expect("a put is always possible");
            }
            let hash = state.hash;
            let act = Act::Take(if order == Order::Lifo { 3 } else { 1 });
            let done = state.apply(act, 0).expect("it is there");
            let other = state.hash;
            assert_ne!(hash, other);
            state.undo(&done);
            assert_eq!(state.hash, hash);
            let done = state.apply(Act::Any, 0).expect("something is there");
            assert_eq!(state.hash, other);
            state.undo(&done);
            let put = state.apply(Act::Put(9), 0).expect("a put is always possible");
            state.undo(&put);
            assert_eq!(state.hash, hash);
        }
    }
}
