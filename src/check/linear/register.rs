//! Registers with unique values and without deletes, after Gibbons and Korach ("Testing Shared Memories", 1997).
//!
//! Each value's operations, its write and its reads, must stand together in any explaining order. With `low` the
//! first return and `high` the last call among them, one value must precede another if its `low` comes before
//! the other's `high`. A history is linearizable exactly if no read returned before its write was called and no
//! two values must precede each other; longer circles reduce to pairs. Values whose `low` is before their
//! `high` (forward zones) occupy that time; the others (backward zones) only conflict inside a forward one.

use super::{Act, Answer, Op};
use std::collections::BTreeMap;

/// The operations of one value.
struct Zone {
    low: u64,
    high: u64,
    /// The operations that set `low` and `high`, for the evidence.
    first: usize,
    last: usize,
}

/// Decides a history of writes and reads. Times are shifted by one so that the initial value, written before
/// everything, has time 0.
pub fn decide(ops: &[Op]) -> Answer {
    let mut zones: BTreeMap<Option<u32>, Zone> = BTreeMap::new();
    let mut writes: BTreeMap<u32, usize> = BTreeMap::new();
    for (place, op) in ops.iter().enumerate() {
        if let Act::Write(Some(value)) = op.act {
            writes.insert(value, place);
        }
    }
    for (place, op) in ops.iter().enumerate() {
        let value = match op.act {
            // A write of unknown outcome that nobody read need not have happened.
            Act::Write(Some(value)) => Some(value),
            Act::Read(value) => value,
            _ => unreachable!("deletes and other kinds go to the search"),
        };
        let (call, ret) = (op.call + 1, op.ret.map_or(u64::MAX, |ret| ret + 1));
        if let (Act::Read(Some(value)), ret) = (&op.act, ret) {
            match writes.get(value) {
                None => return Answer::Broken(vec![place]),
                Some(write) if ret < ops[*write].call + 1 => return Answer::Broken(vec![*write, place]),
                Some(_) => {}
            }
        }
        let zone = zones.entry(value).or_insert_with(|| match value {
            // The initial value's write was over before anything was called.
            None => Zone { low: 0, high: 0, first: place, last: place },
            Some(_) => Zone { low: u64::MAX, high: 0, first: place, last: place },
        });
        if ret < zone.low {
            (zone.low, zone.first) = (ret, place);
        }
        if call > zone.high {
            (zone.high, zone.last) = (call, place);
        }
    }
    conflict(zones.into_values().collect())
}

fn conflict(zones: Vec<Zone>) -> Answer {
    let evidence = |one: &Zone, other: &Zone| {
        let mut places = vec![one.first, one.last, other.first, other.last];
        places.sort_unstable();
        places.dedup();
        Answer::Broken(places)
    };
    let (mut forward, backward): (Vec<Zone>, Vec<Zone>) =
        zones.into_iter().partition(|zone| zone.low < zone.high);
    forward.sort_by_key(|zone| (zone.low, zone.high));
    for pair in forward.windows(2) {
        if pair[1].low < pair[0].high {
            return evidence(&pair[0], &pair[1]);
        }
    }
    for zone in &backward {
        // Forward zones do not overlap by now, so the last that begins before this one is the only candidate.
        let place = forward.partition_point(|other| other.low < zone.high);
        if let Some(other) = place.checked_sub(1).map(|place| &forward[place])
            && zone.low < other.high
        {
            return evidence(other, zone);
        }
    }
    Answer::Linearizable
}
