//! Registers whose values are written once, after Gibbons and Korach ("Testing shared memories", SIAM J. Comput.
//! 1997, section 4), extended to chains of successful compare-and-sets. O(n log n).
//!
//! In any explaining order the operations of one value, what writes it and the reads of it, stand together. A
//! compare-and-set stands between its two values, so the values that compare-and-sets lead to from one write
//! stand together as well: a *block*, whose inner order is known. Let `low` be the first return and `high` the
//! last call in a block. One block must precede another if its `low` is before the other's `high`, since an
//! operation of it then returned before one of the other was called. There is an order exactly if no two blocks
//! must precede each other and none contradicts its own inner order: in a longer circle without a shorter one
//! each `low` would have to be smaller than the one before it. Blocks with `low` before `high` (forward zones)
//! are in force from one to the other, so they must not overlap; the others (backward zones) only conflict
//! inside a forward one.
//!
//! An operation of unknown outcome took effect exactly if its value was found by one that did; else it may as
//! well not have. The initial value begins the first block, before every call.

use super::register::Act;
use super::{NEVER, Op};

/// What an operation costs in memory, at most: its value, its block, and room to sort.
pub const BYTES_EACH: u64 = (size_of::<Of>() + 2 * size_of::<Block>()) as u64;

/// Its name in verdicts.
pub const NAME: &str = "zones (Gibbons and Korach 1997)";

/// Why no order explains the history, by places of operations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Clash {
    /// It found a value that nobody wrote.
    NeverWritten { reader: usize },
    /// Both found the value that `writer` left (`None`: the initial one) and replaced it.
    ReplacedTwice { writer: Option<usize>, one: usize, other: usize },
    /// Each found what another of them left, in a circle.
    Circle { swaps: Vec<usize> },
    /// `later` must come after `earlier`, by the values that `path` leads along, but returned before
    /// `earlier` was called.
    Backwards { earlier: usize, later: usize, path: Vec<usize> },
    /// Neither of two blocks can come first.
    Overlap { one: Hold, other: Hold },
}

/// A block, by the operations that set its zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// It returned first.
    pub first: usize,
    /// It was called last.
    pub last: usize,
    /// What wrote the values of these two and of those in between. Empty for the initial value alone.
    pub path: Vec<usize>,
}

impl Clash {
    /// All operations that it names, in order, each once.
    pub fn places(&self) -> Vec<usize> {
        let mut places = match self {
            Self::NeverWritten { reader } => vec![*reader],
            Self::ReplacedTwice { writer, one, other } => {
                writer.iter().copied().chain([*one, *other]).collect()
            }
            Self::Circle { swaps } => swaps.clone(),
            Self::Backwards { earlier, later, path } => {
                path.iter().copied().chain([*earlier, *later]).collect()
            }
            Self::Overlap { one, other } => {
                let holds = [one, other].into_iter();
                holds.flat_map(|hold| hold.path.iter().copied().chain([hold.first, hold.last])).collect()
            }
        };
        places.sort_unstable();
        places.dedup();
        places
    }
}

/// What the algorithm answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Zones {
    Linearizable,
    /// Why, and what shows that operations of unknown outcome in it took effect.
    Broken(Clash, Vec<usize>),
    /// A value is written more than once, or a refused compare-and-set tells of one that was written.
    NotUnique,
}

const NOBODY: u32 = u32::MAX;

/// A time and the operation that has it.
#[derive(Clone, Copy, Debug)]
struct Mark {
    time: u64,
    op: u32,
}

/// What is known of one value.
#[derive(Clone, Copy, Debug)]
struct Of {
    /// What writes it.
    writer: u32,
    /// The compare-and-set that replaced it.
    swap: u32,
    /// The first return and the last call of its reads.
    low: Mark,
    high: Mark,
    /// Whether some operation that took effect found it.
    found: bool,
}

const UNREAD: Of = Of {
    writer: NOBODY,
    swap: NOBODY,
    low: Mark { time: u64::MAX, op: NOBODY },
    high: Mark { time: 0, op: NOBODY },
    found: false,
};

/// Times begin at 1: the initial value was written at 0.
const fn called<A>(op: &Op<A>) -> u64 {
    op.call as u64 + 1
}
const fn returned<A>(op: &Op<A>) -> u64 {
    if op.ret == NEVER { u64::MAX } else { op.ret as u64 + 1 }
}

struct Block {
    low: Mark,
    high: Mark,
    /// Its first value.
    root: u32,
}

/// Decides a history of one register.
pub fn decide(initial: u32, ops: &[Op<Act>]) -> Zones {
    let Some(mut values) = written_once(initial, ops) else { return Zones::NotUnique };
    if let Err(clash) = read_all(initial, ops, &mut values) {
        return broken(clash, ops, &values);
    }
    let mut blocks = Vec::new();
    let mut placed = 0;
    let roots = std::iter::once(initial).chain(ops.iter().filter_map(|op| match op.act {
        Act::Write(value) => Some(value),
        _ => None,
    }));
    for root in roots {
        match block(initial, root, ops, &values) {
            Ok(None) => {}
            Ok(Some((block, swaps))) => {
                placed += swaps;
                blocks.push(block);
            }
            Err(clash) => return broken(clash, ops, &values),
        }
    }
    let swaps = values.iter().filter(|value| value.swap != NOBODY).count();
    if placed < swaps {
        return broken(circle(initial, ops, &values), ops, &values);
    }
    match conflict(blocks) {
        None => Zones::Linearizable,
        Some((one, other)) => {
            let hold = |block: &Block| hold(initial, ops, &values, block);
            broken(Clash::Overlap { one: hold(&one), other: hold(&other) }, ops, &values)
        }
    }
}

/// Adds who found what operations of unknown outcome wrote: without, they need not have taken effect.
fn broken(clash: Clash, ops: &[Op<Act>], values: &[Of]) -> Zones {
    let mut known = clash.places();
    let mut witnesses = Vec::new();
    // In a circle each is found by the next; one that is certain makes all so.
    if let Clash::Circle { swaps } = &clash
        && swaps.iter().all(|swap| ops[*swap].ret == NEVER)
    {
        let reads = swaps.iter().filter_map(|swap| ops[*swap].act.leaves());
        let mut reads = reads.map(|value| values[value as usize].low.op).filter(|op| *op != NOBODY);
        witnesses.extend(reads.next().map(|op| op as usize));
        return Zones::Broken(clash, witnesses);
    }
    let mut at = 0;
    while let Some(place) = known.get(at) {
        at += 1;
        let Some(value) = ops[*place].act.leaves().filter(|_| ops[*place].ret == NEVER) else { continue };
        if known.iter().any(|other| ops[*other].act.found() == Some(value)) {
            continue;
        }
        let of = &values[value as usize];
        let finder = if of.low.op == NOBODY { of.swap } else { of.low.op };
        if finder != NOBODY {
            known.push(finder as usize);
            witnesses.push(finder as usize);
        }
    }
    Zones::Broken(clash, witnesses)
}

/// The writers of all values; `None` if that is not what this is for.
fn written_once(initial: u32, ops: &[Op<Act>]) -> Option<Vec<Of>> {
    let mut values = vec![UNREAD; initial as usize + 1];
    for (place, op) in ops.iter().enumerate() {
        let Some(value) = op.act.leaves() else { continue };
        if value as usize >= values.len() {
            values.resize(value as usize + 1, UNREAD);
        }
        if value == initial || values[value as usize].writer != NOBODY {
            return None;
        }
        values[value as usize].writer = place as u32;
    }
    for op in ops {
        if let Act::Differs(value) = op.act
            && (value == initial || values.get(value as usize).is_some_and(|value| value.writer != NOBODY))
        {
            return None;
        }
    }
    Some(values)
}

/// Sees who found what: by reads and swaps that took effect, and by what these make certain.
fn read_all(initial: u32, ops: &[Op<Act>], values: &mut [Of]) -> Result<(), Clash> {
    let mut certain: Vec<u32> = Vec::new();
    for (place, op) in ops.iter().enumerate() {
        if op.ret == NEVER {
            continue;
        }
        match op.act {
            Act::Read(value) => {
                let known = values.get_mut(value as usize);
                let Some(of) = known.filter(|of| of.writer != NOBODY || value == initial) else {
                    return Err(Clash::NeverWritten { reader: place });
                };
                if returned(op) < of.low.time {
                    of.low = Mark { time: returned(op), op: place as u32 };
                }
                if called(op) > of.high.time {
                    of.high = Mark { time: called(op), op: place as u32 };
                }
                if !of.found {
                    of.found = true;
                    certain.push(value);
                }
            }
            Act::Swap(..) => replace(initial, ops, values, place as u32, &mut certain)?,
            Act::Write(_) | Act::Differs(_) => {}
        }
    }
    // A swap of unknown outcome whose value was found took effect, so it found its own.
    while let Some(value) = certain.pop() {
        let writer = values[value as usize].writer;
        if writer != NOBODY
            && let Op { ret: NEVER, act: Act::Swap(..), .. } = ops[writer as usize]
        {
            replace(initial, ops, values, writer, &mut certain)?;
        }
    }
    Ok(())
}

/// A swap that took effect.
fn replace(
    initial: u32,
    ops: &[Op<Act>],
    values: &mut [Of],
    swap: u32,
    certain: &mut Vec<u32>,
) -> Result<(), Clash> {
    let Act::Swap(from, _) = ops[swap as usize].act else { unreachable!("a swap") };
    let known = values.get_mut(from as usize);
    let Some(of) = known.filter(|of| of.writer != NOBODY || from == initial) else {
        return Err(Clash::NeverWritten { reader: swap as usize });
    };
    if of.swap != NOBODY && of.swap != swap {
        let writer = (of.writer != NOBODY).then_some(of.writer as usize);
        return Err(Clash::ReplacedTwice { writer, one: of.swap as usize, other: swap as usize });
    }
    of.swap = swap;
    if !of.found {
        of.found = true;
        certain.push(from);
    }
    Ok(())
}

/// The block that begins with a value, and how many swaps it has; `None` if its write need not have happened.
fn block(initial: u32, root: u32, ops: &[Op<Act>], values: &[Of]) -> Result<Option<(Block, usize)>, Clash> {
    let mut block = if root == initial {
        let start = Mark { time: 0, op: NOBODY };
        Block { low: start, high: start, root }
    } else {
        let of = &values[root as usize];
        if ops[of.writer as usize].ret == NEVER && !of.found {
            return Ok(None);
        }
        Block { low: Mark { time: u64::MAX, op: NOBODY }, high: Mark { time: 0, op: NOBODY }, root }
    };
    let mut add = |low: Mark, high: Mark| {
        // All that is in the block so far comes before.
        if low.time < block.high.time {
            return Err((block.high.op, low.op));
        }
        if low.time < block.low.time {
            block.low = low;
        }
        if high.time > block.high.time {
            block.high = high;
        }
        Ok(())
    };
    let (mut value, mut swaps) = (root, 0);
    loop {
        let of = &values[value as usize];
        let mut both = Ok(());
        if of.writer != NOBODY {
            let op = &ops[of.writer as usize];
            both = add(Mark { time: returned(op), op: of.writer }, Mark { time: called(op), op: of.writer });
        }
        if both.is_ok() && of.low.op != NOBODY {
            both = add(of.low, of.high);
        }
        if let Err((earlier, later)) = both {
            let path = path(ops, values, root, ops[later as usize].act);
            let (earlier, later) = (earlier as usize, later as usize);
            let from = path.iter().position(|writer| serves(ops, *writer, earlier)).unwrap_or(0);
            return Err(Clash::Backwards { earlier, later, path: path[from..].to_vec() });
        }
        if of.swap == NOBODY {
            return Ok(Some((block, swaps)));
        }
        let Act::Swap(_, to) = ops[of.swap as usize].act else { unreachable!("a swap") };
        (value, swaps) = (to, swaps + 1);
    }
}

/// Whether an operation's own value, or the one that it read, is what `writer` wrote.
fn serves(ops: &[Op<Act>], writer: usize, op: usize) -> bool {
    let act = ops[op].act;
    act.leaves().or(act.found()) == ops[writer].act.leaves()
}

/// What wrote the values of a block, from its root to the value of an act.
fn path(ops: &[Op<Act>], values: &[Of], root: u32, act: Act) -> Vec<usize> {
    let end = act.leaves().or(act.found()).expect("no refusal here");
    let (mut value, mut path) = (root, Vec::new());
    loop {
        let of = &values[value as usize];
        if of.writer != NOBODY {
            path.push(of.writer as usize);
        }
        if value == end || of.swap == NOBODY {
            return path;
        }
        let Act::Swap(_, to) = ops[of.swap as usize].act else { unreachable!("a swap") };
        value = to;
    }
}

/// Swaps of a circle that no write leads to.
fn circle(initial: u32, ops: &[Op<Act>], values: &[Of]) -> Clash {
    let mut rooted = vec![false; values.len()];
    let writes = values.iter().enumerate().filter(|(value, of)| {
        *value as u32 == initial
            || of.writer != NOBODY && matches!(ops[of.writer as usize].act, Act::Write(_))
    });
    let to = |swap: u32| match ops[swap as usize].act {
        Act::Swap(_, to) => to as usize,
        _ => unreachable!("a swap"),
    };
    for (root, _) in writes {
        let mut value = root;
        while !std::mem::replace(&mut rooted[value], true) && values[value].swap != NOBODY {
            value = to(values[value].swap);
        }
    }
    let start = (0..values.len()).find(|value| values[*value].swap != NOBODY && !rooted[*value]);
    let start = start.expect("a swap that no root leads to");
    let mut swaps = Vec::new();
    let mut value = start;
    loop {
        let swap = values[value].swap;
        swaps.push(swap as usize);
        value = to(swap);
        if value == start {
            return Clash::Circle { swaps };
        }
    }
}

/// Two blocks that must precede each other.
fn conflict(blocks: Vec<Block>) -> Option<(Block, Block)> {
    let (mut forward, backward): (Vec<Block>, Vec<Block>) =
        blocks.into_iter().partition(|block| block.low.time < block.high.time);
    forward.sort_unstable_by_key(|block| (block.low.time, block.high.time, block.root));
    if let Some(at) = forward.windows(2).position(|pair| pair[1].low.time < pair[0].high.time) {
        let mut pair = forward.drain(at..at + 2);
        return pair.next().zip(pair.next());
    }
    for block in backward {
        // Forward zones do not overlap by now: the last that begins before this one is the only candidate.
        let at = forward.partition_point(|other| other.low.time < block.high.time);
        if at > 0 && block.low.time < forward[at - 1].high.time {
            return Some((forward.swap_remove(at - 1), block));
        }
    }
    None
}

fn hold(initial: u32, ops: &[Op<Act>], values: &[Of], block: &Block) -> Hold {
    // The initial value's write is no operation; its last call stands for it.
    let last = block.high.op as usize;
    let first = if block.low.op == NOBODY { last } else { block.low.op as usize };
    let of = |op: usize| ops[op].act.leaves().or(ops[op].act.found());
    let far = path(ops, values, block.root, ops[last].act);
    let near = path(ops, values, block.root, ops[first].act);
    let (longer, shorter) = if far.len() >= near.len() { (far, near) } else { (near, far) };
    // From the writer of the earlier of the two values on; for the initial value from its first swap.
    let initial = block.root == initial && (of(first) == Some(initial) || block.low.op == NOBODY);
    let from = if initial { 0 } else { shorter.len().saturating_sub(1) };
    Hold { first, last, path: longer[from..].to_vec() }
}
