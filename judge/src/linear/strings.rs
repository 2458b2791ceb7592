//! A string that is put, appended to and read.
//!
//! States are no strings: what no read was answered with, nor begins with, is one state, *lost*, whatever it is,
//! as appending to it never makes it right again. All others are beginnings of answers, and a state is a place
//! in the sorted list of them. So the states of a long string cost no more than the answers themselves, and a
//! wrong order of appends is seen at once.

use super::{Kind, Op, Spec};
use rustc_hash::FxHashMap;

/// What an operation did, by the numbers of its texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Act {
    Put(u32),
    Append(u32),
    Get(u32),
}

/// A beginning of answers: the first answer that begins so, and the length. `LOST`: no answer does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct State(u32, u32);

const LOST: State = State(u32::MAX, u32::MAX);

/// The specification, for the operations of one key.
#[derive(Debug)]
pub struct Strings<'a> {
    texts: &'a [&'a str],
    /// What reads were answered with, sorted, each once.
    answers: Vec<&'a str>,
    /// The state of each answer's text number.
    whole: FxHashMap<u32, State>,
    initial: State,
    /// Steps that were found before.
    steps: FxHashMap<(State, u32), State>,
}

impl<'a> Strings<'a> {
    pub fn new(initial: &'a str, texts: &'a [&'a str], ops: &[Op<Act>]) -> Self {
        let gets = ops.iter().filter_map(|op| match op.act {
            Act::Get(text) => Some(text),
            Act::Put(_) | Act::Append(_) => None,
        });
        let mut numbers: Vec<u32> = gets.collect();
        numbers.sort_unstable();
        numbers.dedup();
        let mut answers: Vec<&str> = numbers.iter().map(|text| texts[*text as usize]).collect();
        answers.sort_unstable();
        answers.dedup();
        let mut strings =
            Self { texts, answers, whole: FxHashMap::default(), initial: LOST, steps: FxHashMap::default() };
        strings.initial = strings.place(0, 0, initial);
        for text in numbers {
            let state = strings.place(0, 0, texts[text as usize]);
            strings.whole.insert(text, state);
        }
        strings
    }
    /// The state of what the answer `first` has up to `len`, continued by `piece`.
    fn place(&self, first: u32, len: u32, piece: &str) -> State {
        let (first, len) = (first as usize, len as usize);
        let Some(start) = self.answers.get(first).map(|answer| &answer.as_bytes()[..len]) else {
            return LOST;
        };
        // Answers with the same beginning stand together, in the order of what follows.
        let follows =
            |answer: &&str| answer.as_bytes().strip_prefix(start).is_some_and(|rest| rest < piece.as_bytes());
        let at = first + self.answers[first..].partition_point(follows);
        match self.answers.get(at) {
            Some(answer)
                if answer
                    .as_bytes()
                    .strip_prefix(start)
                    .is_some_and(|rest| rest.starts_with(piece.as_bytes())) =>
            {
                State(at as u32, (len + piece.len()) as u32)
            }
            _ => LOST,
        }
    }
    fn go(&mut self, from: State, text: u32) -> State {
        if let Some(state) = self.steps.get(&(from, text)) {
            return *state;
        }
        let state = self.place(from.0, from.1, self.texts[text as usize]);
        self.steps.insert((from, text), state);
        state
    }
}

impl Spec for Strings<'_> {
    type State = State;
    type Act = Act;

    fn initial(&self) -> State {
        self.initial
    }
    fn step(&mut self, state: State, act: Act) -> Option<State> {
        match act {
            Act::Put(text) => Some(self.go(State(0, 0), text)),
            Act::Append(_) if state == LOST => Some(LOST),
            Act::Append(text) => Some(self.go(state, text)),
            Act::Get(text) => (self.whole[&text] == state).then_some(state),
        }
    }
    fn kind(&self, act: Act) -> Kind {
        match act {
            Act::Put(_) => Kind::Overwrite,
            Act::Append(_) => Kind::Total,
            Act::Get(_) => Kind::Read,
        }
    }
    /// What no answer contains leads to no answer.
    fn useful_until(&self, act: Act) -> u32 {
        let text = match act {
            Act::Put(text) | Act::Append(text) => self.texts[text as usize],
            Act::Get(_) => return 0,
        };
        if self.answers.iter().any(|answer| answer.contains(text)) { u32::MAX } else { 0 }
    }
    fn droppable(&self, act: Act, others: &[Act]) -> bool {
        let told = |wrote: u32, starts: bool, other: Act| match other {
            Act::Get(answer) => {
                let (answer, wrote) = (self.texts[answer as usize], self.texts[wrote as usize]);
                if starts { answer.starts_with(wrote) } else { answer.contains(wrote) }
            }
            Act::Put(_) | Act::Append(_) => false,
        };
        match act {
            Act::Get(_) => true,
            Act::Put(text) => !others.iter().any(|other| told(text, true, *other)),
            Act::Append(text) => !others.iter().any(|other| told(text, false, *other)),
        }
    }
}
