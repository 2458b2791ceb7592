//! Lists and sets that only grow, by elements that are added once: what was read says where everything stands.
//!
//! A list's reads must be prefixes of the longest one, a set's must contain one another. An element's place in
//! that chain is the place of its addition; a read stands between the last element that it saw and the next;
//! additions that nobody saw come after everything, in any order, or never where their outcome is unknown.
//! Operations at one place commute, so the history is linearizable exactly if no operation returned before one
//! at an earlier place was called. (The idea of recovering the order of writes from what was read is that of
//! Kingsbury and Alvaro, "Elle", VLDB 2020; for one key, whose order is total, it decides.)

use super::{Act, Answer, Op};
use std::collections::BTreeMap;

/// Decides a history of appends and reads of a list, or of additions and reads of a set.
pub fn decide(ops: &[Op]) -> Answer {
    let reads = |op: &Op| match &op.act {
        Act::ReadList(items) | Act::ReadSet(items) => Some(items.clone()),
        Act::Append(_) | Act::Add(_) => None,
        _ => unreachable!("other kinds go elsewhere"),
    };
    // The chain of what was read, shortest first.
    let mut chain: Vec<(Vec<u32>, usize)> =
        ops.iter().enumerate().filter_map(|(place, op)| Some((reads(op)?, place))).collect();
    chain.sort_by_key(|(items, place)| (items.len(), *place));
    // Where each element stands: with the first read that saw it, and for a list at its index there.
    let mut stands: BTreeMap<u32, usize> = BTreeMap::new();
    let mut before: Option<&(Vec<u32>, usize)> = None;
    for read in &chain {
        let (items, place) = read;
        let list = matches!(ops[*place].act, Act::ReadList(_));
        if let Some((shorter, earlier)) = before {
            let follows = if list {
                items.starts_with(shorter)
            } else {
                shorter.iter().all(|item| items.binary_search(item).is_ok())
            };
            if !follows {
                return Answer::Broken(vec![*earlier, *place]);
            }
        }
        for (index, item) in items.iter().enumerate() {
            let at = if list { index + 1 } else { items.len() };
            let known = *stands.entry(*item).or_insert(at);
            // Twice in one list, though it was appended once.
            if list && known != at {
                return Answer::Broken(vec![*place]);
            }
        }
        before = Some(read);
    }
    // Additions stand at even places, the reads that saw no more than those at the odd ones behind them.
    let last = 2 * chain.last().map_or(0, |(items, _)| items.len()) + 2;
    let mut placed: Vec<(usize, usize)> = Vec::new();
    let mut added: BTreeMap<u32, usize> = BTreeMap::new();
    for (place, op) in ops.iter().enumerate() {
        let at = match &op.act {
            Act::ReadList(items) | Act::ReadSet(items) => 2 * items.len() + 1,
            Act::Append(item) | Act::Add(item) => {
                added.insert(*item, place);
                match stands.get(item) {
                    Some(at) => 2 * at,
                    // Nobody saw it, so it need not have happened.
                    None if op.ret.is_none() => continue,
                    None => last,
                }
            }
            _ => unreachable!("other kinds go elsewhere"),
        };
        placed.push((at, place));
    }
    if let Some((_, reader)) =
        chain.iter().find(|(items, _)| items.iter().any(|item| !added.contains_key(item)))
    {
        return Answer::Broken(vec![*reader]);
    }
    placed.sort_unstable();
    // The latest call among earlier places, against the returns of each place that follows.
    let mut latest: Option<(u64, usize)> = None;
    for same in placed.chunk_by(|one, other| one.0 == other.0) {
        for (_, place) in same {
            let returned = ops[*place].ret;
            if let (Some((call, caller)), Some(ret)) = (latest, returned)
                && ret < call
            {
                return Answer::Broken(vec![*place, caller]);
            }
        }
        for (_, place) in same {
            latest = latest.max(Some((ops[*place].call, *place)));
        }
    }
    Answer::Linearizable
}
