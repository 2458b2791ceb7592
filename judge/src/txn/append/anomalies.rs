//! What is wrong in the reads of lists without any cycle: aborted, intermediate, garbage and future reads, internal
//! contradictions, orders that do not agree, lost and dirty updates.
//!
//! The names are Elle's (`elle.list-append`); the definitions are those of Adya's thesis, section 3.1 (G1a, G1b),
//! and of Kingsbury and Alvaro, VLDB 2020, sections 4 and 6. An empty list and nil are the same to all of them.

use super::{Appends, Write};
use crate::budget::{Budget, Spent};
use crate::history::Outcome;
use crate::txn::graph::NONE;
use crate::txn::mops::Words;
use crate::txn::report::Cases;
use crate::value::Value;
use rustc_hash::{FxHashMap, FxHasher};
use std::hash::Hasher;

impl Appends<'_> {
    /// What is wrong without a cycle.
    pub fn cases(&self, cases: &mut Cases, budget: &Budget) -> Result<(), Spent> {
        // Who read a version and then wrote: the first to do so.
        let mut updates = vec![NONE; self.order.len() + self.keys.len()];
        let mut odd_updates: FxHashMap<(u32, u64), u32> = FxHashMap::default();
        let mut incompatible = vec![false; self.keys.len()];
        for (op, known) in self.history.ops.iter().enumerate() {
            if !known.may_have_happened() {
                continue;
            }
            let mops = self.mops.of(op);
            let ok = known.is_ok();
            for (at, mop) in mops.iter().enumerate() {
                let key = mop.key();
                if mop.is_write() {
                    if ok && mops.len() > 1 {
                        budget.spend(at as u64 / 8)?;
                        self.future_read(cases, op, at);
                        self.lost_update(cases, op, at, &mut updates, &mut odd_updates);
                    }
                } else if !self.items(mop.value).is_empty() {
                    let odd = mop.at == NONE || !self.is_plain(mop.key(), mop.value, mop.at);
                    if odd {
                        budget.spend(self.items(mop.value).len() as u64)?;
                        self.odd_read(cases, op, key, mop.value, &mut incompatible);
                    }
                    if ok {
                        self.dirty_read(cases, op, key, mop.value, odd, mop.at);
                    }
                }
                if ok && !mop.is_write() && at > 0 {
                    budget.spend(at as u64 / 8)?;
                    self.internal(cases, op, at);
                }
            }
        }
        for key in 0..self.keys.len() as u32 - 1 {
            if self.keys[key as usize].failed != NONE {
                self.dirty_update(cases, key);
            }
            self.own_order(cases, key);
        }
        Ok(())
    }

    /// Appends of one transaction that were read in another order than it made them. No cycle of transactions
    /// shows it.
    fn own_order(&self, cases: &mut Cases, key: u32) {
        let range = self.keys[key as usize].writes as usize..self.keys[key as usize + 1].writes as usize;
        let turned = self.writes[range]
            .windows(2)
            .find(|pair| pair[0].op == pair[1].op && pair[1].place < pair[0].place && pair[0].place != NONE);
        if let Some([first, second]) = turned {
            let reader = self.keys[key as usize].longest_op as usize;
            cases.add("incompatible-order", Some(self.show_key(key)), &[first.op as usize, reader], || {
                let (key, a, b) = (self.show_key(key), self.show(first.value), self.show(second.value));
                vec![format!("T1 appended {a} to {key} and then {b}, but T2 read {b} before {a}")]
            });
        }
    }

    /// Whether a read that has a version is the longest read's beginning.
    fn is_plain(&self, key: u32, value: Value, version: u32) -> bool {
        let known = &self.keys[key as usize];
        let items = self.items(value);
        !known.repeats
            && items.len() as u32 == version - self.version(key, 0)
            && (value == known.longest || items == &self.items(known.longest)[..items.len()])
    }

    /// A read that does not fit the longest, or shows an element twice.
    fn odd_read(&self, cases: &mut Cases, op: usize, key: u32, value: Value, incompatible: &mut [bool]) {
        let known = &self.keys[key as usize];
        let items = self.items(value);
        let mut words = Words::default();
        let mut sorted: Vec<u64> = items.iter().map(|item| words.of(&self.history.arena, *item)).collect();
        sorted.sort_unstable();
        if sorted.windows(2).any(|pair| pair[0] == pair[1]) {
            cases.add("duplicate-elements", Some(self.show_key(key)), &[op], || {
                vec![format!(
                    "T1 read {} as {}, which shows an element twice though each was appended once",
                    self.show_key(key),
                    self.show(value)
                )]
            });
        }
        if !self.seen(key, value).exact && !std::mem::replace(&mut incompatible[key as usize], true) {
            let longest = known.longest_op as usize;
            cases.add("incompatible-order", Some(self.show_key(key)), &[op, longest], || {
                let (key, read) = (self.show_key(key), self.show(value));
                vec![format!(
                    "T1 read {key} as {read}; T2 read it as {}: neither is the beginning of the other",
                    self.show(known.longest)
                )]
            });
        }
    }

    /// G1a, G1b and garbage: a read of what was undone, unfinished or never written.
    fn dirty_read(&self, cases: &mut Cases, op: usize, key: u32, value: Value, odd: bool, at: u32) {
        let items = self.items(value);
        let known = &self.keys[key as usize];
        let len = if odd { NONE } else { at - self.version(key, 0) };
        if odd || len > known.failed {
            let failed = items.iter().find_map(|item| {
                let write = self.writes.get(self.find(key, *item) as usize)?;
                (!self.history.ops[write.op as usize].may_have_happened()).then_some(write)
            });
            if let Some(write) = failed {
                cases.add("G1a", Some(self.show_key(key)), &[op, write.op as usize], || {
                    let (key, read) = (self.show_key(key), self.show(value));
                    let element = self.show(write.value);
                    vec![format!("T1 read {key} as {read}, but T2, which appended {element}, failed")]
                });
            }
        }
        let mut garbage = items.iter().filter(|item| self.find(key, **item) == NONE);
        if (odd || len > known.garbage)
            && let Some(item) = garbage.next()
        {
            cases.add("garbage-read", Some(self.show_key(key)), &[op], || {
                let (key, read) = (self.show_key(key), self.show(value));
                vec![format!("T1 read {key} as {read}, but nobody appended {}", self.show(*item))]
            });
        }
        let last = items.last().map_or(NONE, |last| {
            if odd { self.find(key, *last) } else { self.order[(known.order + len - 1) as usize] }
        });
        if let Some(write) = self.writes.get(last as usize)
            && write.intermediate
            && write.op as usize != op
        {
            cases.add("G1b", Some(self.show_key(key)), &[op, write.op as usize], || {
                let (key, read) = (self.show_key(key), self.show(value));
                let element = self.show(write.value);
                vec![format!("T1 read {key} as {read}, but T2 appended more to it after {element}")]
            });
        }
    }

    /// A read that is not what its own transaction read or appended before.
    fn internal(&self, cases: &mut Cases, op: usize, at: usize) {
        let mops = self.mops.of(op);
        let (key, items) = (mops[at].key(), self.items(mops[at].value));
        let mut appended: Vec<Value> = Vec::new();
        let mut base = None;
        for mop in mops[..at].iter().rev().filter(|mop| mop.key() == key) {
            if !mop.is_write() {
                base = Some(self.items(mop.value));
                break;
            }
            appended.push(mop.value);
        }
        if base.is_none() && appended.is_empty() {
            return;
        }
        appended.reverse();
        let same = |a: &[Value], b: &[Value]| {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| self.history.arena.equal(*a, *b))
        };
        let tail = items.len().checked_sub(appended.len());
        let fits = tail.is_some_and(|tail| {
            same(&items[tail..], &appended) && base.is_none_or(|base| same(&items[..tail], base))
        });
        if !fits {
            cases.add("internal", Some(self.show_key(key)), &[op], || {
                let before = base.map_or_else(|| vec!["...".to_owned()], |base| self.shown(base));
                let expected = [before, self.shown(&appended)].concat().join(", ");
                vec![format!(
                    "T1 read {} as {}, after its own reads and appends left it as [{expected}]",
                    self.show_key(key),
                    self.show(mops[at].value)
                )]
            });
        }
    }
    fn shown(&self, items: &[Value]) -> Vec<String> {
        items.iter().map(|item| self.history.arena.show(*item)).collect()
    }

    /// A read that shows what its own transaction appends only later.
    fn future_read(&self, cases: &mut Cases, op: usize, at: usize) {
        let mops = self.mops.of(op);
        let write = self.writes[mops[at].at as usize];
        let key = mops[at].key();
        for mop in mops[..at].iter().filter(|mop| !mop.is_write() && mop.key() == key) {
            let shows = if mop.at != NONE && self.is_plain(key, mop.value, mop.at) {
                mop.at - self.version(key, 0) > write.place
            } else {
                self.items(mop.value).iter().any(|item| self.history.arena.equal(*item, write.value))
            };
            if shows {
                cases.add("future-read", Some(self.show_key(key)), &[op], || {
                    let (key, read) = (self.show_key(key), self.show(mop.value));
                    vec![format!(
                        "T1 read {key} as {read} before it appended {} itself",
                        self.show(write.value)
                    )]
                });
                return;
            }
        }
    }

    /// Two transactions that read the same version and appended to it.
    fn lost_update(
        &self,
        cases: &mut Cases,
        op: usize,
        at: usize,
        updates: &mut [u32],
        odd_updates: &mut FxHashMap<(u32, u64), u32>,
    ) {
        let mops = self.mops.of(op);
        let key = mops[at].key();
        let mut read = None;
        for mop in mops[..at].iter().filter(|mop| mop.key() == key) {
            if mop.is_write() {
                return;
            }
            read = read.or(Some(mop));
        }
        let Some(read) = read else { return };
        let plain = read.at != NONE && self.is_plain(key, read.value, read.at);
        let first = if plain {
            &mut updates[read.at as usize]
        } else {
            let mut hasher = FxHasher::default();
            let mut words = Words::default();
            for item in self.items(read.value) {
                hasher.write_u64(words.of(&self.history.arena, *item));
            }
            odd_updates.entry((key, hasher.finish())).or_insert(NONE)
        };
        if *first == NONE {
            *first = op as u32;
            return;
        }
        let other = *first as usize;
        let same = self.mops.of(other).iter().find(|mop| mop.key() == key && !mop.is_write());
        if same.is_some_and(|same| {
            self.items(same.value).len() == self.items(read.value).len()
                && (read.value.is_nil()
                    || same.value.is_nil()
                    || self.history.arena.equal(same.value, read.value))
        }) {
            cases.add("lost-update", Some(self.show_key(key)), &[other, op], || {
                let (key, read) = (self.show_key(key), self.show(read.value));
                vec![format!("T1 and T2 both read {key} as {read} and both appended to it")]
            });
        }
    }

    /// An append that was kept on top of one that failed.
    fn dirty_update(&self, cases: &mut Cases, key: u32) {
        let known = &self.keys[key as usize];
        let end = self.keys[key as usize + 1].order;
        let mut failed: Option<Write> = None;
        for write in &self.order[known.order as usize..end as usize] {
            let Some(write) = self.writes.get(*write as usize) else { continue };
            match (self.history.ops[write.op as usize].outcome, failed) {
                (Outcome::Fail, _) => failed = failed.or(Some(*write)),
                (Outcome::Ok, Some(before)) => {
                    let ops = [before.op as usize, write.op as usize];
                    cases.add("dirty-update", Some(self.show_key(key)), &ops, || {
                        let (key, a, b) =
                            (self.show_key(key), self.show(before.value), self.show(write.value));
                        vec![format!(
                            "T1 appended {a} to {key} and failed, yet T2 appended {b} on top of it and was kept"
                        )]
                    });
                    return;
                }
                _ => {}
            }
        }
    }
}
