//! Histories of linearizable objects: right ones by simulation, wrong ones by planting, small ones at random.
//!
//! A simulated client calls, its operation takes effect on the one object at some later moment, and it
//! returns; a client that gives up leaves an operation that takes effect later still, or never. So the
//! history is linearizable by construction, and nothing but the seed decides it.

use super::Random;
use crate::linear::register::Act;
use crate::linear::{NEVER, Op, locks, strings};

/// What to generate of one register.
#[derive(Clone, Copy, Debug)]
pub struct Registers {
    pub clients: u32,
    pub ops: u32,
    /// How many values there are; `None`: each is written once.
    pub values: Option<u32>,
    /// Of a hundred operations.
    pub reads: u32,
    pub swaps: u32,
    /// Of a hundred operations: those whose clients give up.
    pub unknown: u32,
    /// Whether refused compare-and-sets tell what they did not find; else they are left out.
    pub differs: bool,
}

/// What an open operation is about to do, and whether it did.
#[derive(Clone, Copy)]
enum Step {
    Idle,
    Called(usize),
    Done(usize),
}

/// A linearizable history of one register that begins with 0.
pub fn register(seed: u64, what: Registers) -> Vec<Op<Act>> {
    let mut random = Random::new(seed);
    let mut ops: Vec<Op<Act>> = Vec::with_capacity(what.ops as usize);
    let mut refused: Vec<bool> = Vec::new();
    let mut clients = vec![Step::Idle; what.clients as usize];
    let mut late: Vec<usize> = Vec::new();
    let (mut held, mut fresh, mut time) = (0u32, 0u32, 0u32);
    let mut open = 0;
    while ops.len() < what.ops as usize || open > 0 {
        // What was given up may take effect at any time.
        if !late.is_empty() && random.below(4 * what.clients) == 0 {
            let op = late.swap_remove(random.below(late.len() as u32) as usize);
            match ops[op].act {
                Act::Write(value) => held = value,
                Act::Swap(from, to) if held == from => held = to,
                _ => {}
            }
        }
        let client = random.below(what.clients) as usize;
        match clients[client] {
            Step::Idle if ops.len() < what.ops as usize => {
                let mut value = || match what.values {
                    Some(values) => random.below(values),
                    None => {
                        fresh += 1;
                        fresh
                    }
                };
                let new = value();
                let some = match what.values {
                    Some(values) => random.below(values),
                    None => held,
                };
                let act = match random.below(100) {
                    dice if dice < what.reads => Act::Read(0),
                    dice if dice < what.reads + what.swaps => Act::Swap(some, new),
                    _ => Act::Write(new),
                };
                clients[client] = Step::Called(ops.len());
                ops.push(Op { call: time, ret: NEVER, act });
                refused.push(false);
                open += 1;
                time += 1;
            }
            Step::Idle => {}
            Step::Called(op) if random.below(200) < what.unknown => {
                // Half of them are lost.
                if random.below(2) == 0 {
                    late.push(op);
                }
                clients[client] = Step::Idle;
                open -= 1;
            }
            Step::Called(op) => {
                match &mut ops[op].act {
                    Act::Read(value) => *value = held,
                    Act::Write(value) => held = *value,
                    Act::Swap(from, to) if held == *from => held = *to,
                    Act::Swap(from, _) => {
                        refused[op] = true;
                        ops[op].act = Act::Differs(*from);
                    }
                    Act::Differs(_) => unreachable!("that is an answer"),
                }
                clients[client] = Step::Done(op);
            }
            Step::Done(_) if random.below(200) < what.unknown => {
                clients[client] = Step::Idle;
                open -= 1;
            }
            Step::Done(op) => {
                ops[op].ret = time;
                time += 1;
                clients[client] = Step::Idle;
                open -= 1;
            }
        }
    }
    let told = |op: &Op<Act>| match op.act {
        Act::Read(_) => op.ret != NEVER,
        Act::Differs(_) => op.ret != NEVER && what.differs,
        Act::Write(_) | Act::Swap(..) => true,
    };
    ops.retain(told);
    ops
}

/// Makes a read stale, or makes it find what was not there yet: it finds a value that no write can have left
/// since one that returned before the read was called. The place of the read; `None` if there is no such read.
pub fn plant(seed: u64, ops: &mut [Op<Act>]) -> Option<usize> {
    let mut random = Random::new(seed);
    let reads: Vec<usize> =
        (0..ops.len()).filter(|at| matches!(ops[*at].act, Act::Read(_)) && ops[*at].ret != NEVER).collect();
    for _ in 0..reads.len() {
        let read = reads[random.below(reads.len() as u32) as usize];
        let at = ops[read];
        let before = ops.iter().filter(|op| matches!(op.act, Act::Write(_)) && op.ret < at.call);
        let Some(since) = before.map(|op| op.call).max() else { continue };
        let possible = |value: u32| {
            ops.iter().any(|op| op.act.leaves() == Some(value) && op.ret >= since && op.call <= at.ret)
        };
        let values: Vec<u32> =
            ops.iter().filter_map(|op| op.act.leaves()).filter(|value| !possible(*value)).collect();
        if !values.is_empty() {
            ops[read].act = Act::Read(values[random.below(values.len() as u32) as usize]);
            return Some(read);
        }
    }
    None
}

/// A few operations on a register that begins with 0, right or wrong as it happens. Of few values, so that all
/// that can go wrong does.
pub fn small(random: &mut Random, unique: bool) -> Vec<Op<Act>> {
    let count = 2 + random.below(6);
    let values = 2 + random.below(3);
    let mut written = 0;
    (0..count)
        .map(|_| {
            let call = random.below(12);
            let known = call + random.below(7);
            let value = random.below(values);
            let mut new = || {
                written += 1;
                if unique { written } else { random.below(values) }
            };
            let new = new();
            let act = match random.below(if unique { 8 } else { 9 }) {
                0..=2 => Act::Write(new),
                3..=5 => Act::Read(value),
                6 | 7 => Act::Swap(value, new),
                _ => Act::Differs(value),
            };
            Op { call, ret: if random.below(6) == 0 { NEVER } else { known }, act }
        })
        .collect()
}

/// A store of strings, the keys apart: a linearizable history of each, and the texts that its acts name. The
/// values are those of Porcupine's tests: who appended, and its how-manieth, so that each is unique.
pub fn strings(seed: u64, clients: u32, keys: u32, ops: u32) -> (Vec<Vec<Op<strings::Act>>>, Vec<String>) {
    let mut random = Random::new(seed);
    let mut texts = vec![String::new()];
    let mut histories: Vec<Vec<Op<strings::Act>>> = vec![Vec::new(); keys as usize];
    let mut held = vec![0u32; keys as usize];
    let mut states = vec![(Step::Idle, 0usize); clients as usize];
    let (mut time, mut called, mut open) = (0, 0, 0);
    while called < ops || open > 0 {
        let client = random.below(clients) as usize;
        let (step, key) = states[client];
        match step {
            Step::Idle if called < ops => {
                let key = random.below(keys) as usize;
                let act = match random.below(10) {
                    0..=4 => strings::Act::Get(0),
                    dice => {
                        texts.push(format!("x {client} {called} y"));
                        let text = texts.len() as u32 - 1;
                        if dice == 9 { strings::Act::Put(text) } else { strings::Act::Append(text) }
                    }
                };
                states[client] = (Step::Called(histories[key].len()), key);
                histories[key].push(Op { call: time, ret: NEVER, act });
                (time, called, open) = (time + 1, called + 1, open + 1);
            }
            Step::Idle => {}
            Step::Called(op) => {
                match &mut histories[key][op].act {
                    strings::Act::Get(text) => *text = held[key],
                    strings::Act::Put(text) => held[key] = *text,
                    strings::Act::Append(text) => {
                        let longer = format!("{}{}", texts[held[key] as usize], texts[*text as usize]);
                        texts.push(longer);
                        held[key] = texts.len() as u32 - 1;
                    }
                }
                states[client] = (Step::Done(op), key);
            }
            Step::Done(op) => {
                histories[key][op].ret = time;
                (time, open) = (time + 1, open - 1);
                states[client] = (Step::Idle, key);
            }
        }
    }
    (histories, texts)
}

/// A few operations on a lock, right or wrong as it happens.
pub fn small_lock(random: &mut Random) -> Vec<Op<locks::Act>> {
    let count = 2 + random.below(6);
    (0..count)
        .map(|_| {
            let call = random.below(12);
            let known = call + random.below(7);
            let client = random.below(2);
            let act = if random.below(2) == 0 {
                let token = i64::from(random.below(4));
                locks::Act::Acquire(client, (token > 0).then_some(token))
            } else {
                locks::Act::Release(client)
            };
            Op { call, ret: if random.below(6) == 0 { NEVER } else { known }, act }
        })
        .collect()
}

/// A few operations on a string, right or wrong as it happens; the texts that they name.
pub fn small_strings(random: &mut Random) -> (Vec<Op<strings::Act>>, Vec<String>) {
    let texts = ["", "a", "b", "ab", "aba", "ba", "abab"].map(str::to_owned).to_vec();
    let count = 2 + random.below(6);
    let ops = (0..count).map(|_| {
        let call = random.below(12);
        let known = call + random.below(7);
        let act = match random.below(6) {
            0..=1 => strings::Act::Append(random.below(4)),
            2 => strings::Act::Put(random.below(4)),
            _ => strings::Act::Get(random.below(7)),
        };
        Op { call, ret: if random.below(6) == 0 { NEVER } else { known }, act }
    });
    (ops.collect(), texts)
}

/// A history as JSON lines, the keys apart; `f` says of an act its name, its input and its answer, as JSON, and
/// whether it was refused. Operations of unknown outcome have no completion, so each has a process of its own.
pub fn lines<A: Copy>(
    histories: &[Vec<Op<A>>],
    f: impl Fn(A) -> (&'static str, String, String, bool),
) -> String {
    use std::fmt::Write as _;
    let mut events: Vec<(u32, bool, usize, usize)> = Vec::new();
    for (key, ops) in histories.iter().enumerate() {
        for (place, op) in ops.iter().enumerate() {
            events.push((op.call, false, key, place));
            if op.ret != NEVER {
                events.push((op.ret, true, key, place));
            }
        }
    }
    events.sort_unstable();
    let mut text = String::new();
    let (mut idle, mut next) = (Vec::new(), 0u32);
    let mut process: Vec<Vec<u32>> = histories.iter().map(|ops| vec![0; ops.len()]).collect();
    for (index, (_, returns, key, place)) in events.into_iter().enumerate() {
        let (name, input, answer, refused) = f(histories[key][place].act);
        let by = &mut process[key][place];
        if !returns {
            *by = idle.pop().unwrap_or_else(|| {
                next += 1;
                next - 1
            });
        }
        let (kind, value) = match (returns, refused) {
            (false, _) => ("invoke", &input),
            (true, false) => ("ok", &answer),
            (true, true) => ("fail", &input),
        };
        let line = format_args!(
            r#"{{"index":{index},"process":{by},"type":"{kind}","f":"{name}","key":{key},"value":{value}}}"#
        );
        writeln!(text, "{line}").expect("a string takes all");
        if returns {
            idle.push(*by);
        }
    }
    text
}

/// The acts of a register, for `lines`.
pub fn register_line(act: Act) -> (&'static str, String, String, bool) {
    match act {
        Act::Write(value) => ("write", value.to_string(), value.to_string(), false),
        Act::Read(value) => ("read", "null".into(), value.to_string(), false),
        Act::Swap(from, to) => ("cas", format!("[{from},{to}]"), format!("[{from},{to}]"), false),
        Act::Differs(from) => ("cas", format!("[{from},0]"), String::new(), true),
    }
}
