//! Transactions as flat arrays of reads and writes.
//!
//! `[["append", "x", 1], ["r", "x", [1]]]` becomes two records of sixteen bytes, with keys numbered from 0. Both
//! workloads read their transactions here: what differs is the name of a write.

use crate::budget::{Budget, Spent};
use crate::history::{History, Op};
use crate::model::Unfit;
use crate::value::{Arena, Shape, Value};
use rustc_hash::FxHashMap;

/// One read or write.
#[derive(Clone, Copy, Debug)]
pub struct Mop {
    key: u32,
    /// What the checker makes of it: the number of a write or of a version.
    pub at: u32,
    pub value: Value,
}

const WRITE: u32 = 1 << 31;

impl Mop {
    pub const fn key(&self) -> u32 {
        self.key & !WRITE
    }
    pub const fn is_write(&self) -> bool {
        self.key & WRITE != 0
    }
}

/// All reads and writes of a history.
#[derive(Debug, Default)]
pub struct Mops {
    pub all: Vec<Mop>,
    /// Where those of each operation begin, and at last the end.
    start: Vec<u32>,
    pub keys: Vec<Value>,
}

/// Why transactions could not be read.
#[derive(Debug)]
pub enum Unread {
    Unfit(Unfit),
    Spent(Spent),
}

impl From<Spent> for Unread {
    fn from(spent: Spent) -> Self {
        Self::Spent(spent)
    }
}

impl Mops {
    pub fn read(history: &History, write: &str, budget: &Budget) -> Result<Self, Unread> {
        let arena = &history.arena;
        let mut words = Words::default();
        let mut keys: FxHashMap<u64, u32> = FxHashMap::default();
        let mut mops = Self { start: Vec::with_capacity(history.ops.len() + 1), ..Self::default() };
        // The texts of the names, as they are met: a history has two.
        let mut names: [Option<(u32, bool)>; 4] = [None; 4];
        for op in &history.ops {
            mops.start.push(mops.all.len() as u32);
            let value = op.value();
            if value.is_nil() {
                continue;
            }
            let unfit = || Unread::Unfit(Unfit(shape(history, op, write)));
            let items = arena.items_of(value).ok_or_else(unfit)?;
            for item in items {
                let Some([f, key, value]) = arena.items_of(*item) else {
                    return Err(unfit());
                };
                let Shape::Text(text) = f.shape() else { return Err(unfit()) };
                let known = names.iter().flatten().find(|(name, _)| *name == text);
                let is_write = match known {
                    Some((_, is_write)) => *is_write,
                    None => {
                        let name = arena.str(text).trim_start_matches(':');
                        let is_write = name == write;
                        if !is_write && name != "r" {
                            return Err(unfit());
                        }
                        if let Some(free) = names.iter_mut().find(|slot| slot.is_none()) {
                            *free = Some((text, is_write));
                        }
                        is_write
                    }
                };
                let next = keys.len() as u32;
                let id = *keys.entry(words.of(arena, *key)).or_insert_with(|| {
                    mops.keys.push(*key);
                    next
                });
                let key = if is_write { id | WRITE } else { id };
                mops.all.push(Mop { key, at: super::graph::NONE, value: *value });
            }
            budget.spend(1 + items.len() as u64)?;
            budget.hold(mops.all.len() as u64 * 16)?;
        }
        mops.start.push(mops.all.len() as u32);
        Ok(mops)
    }
    pub fn range(&self, op: usize) -> std::ops::Range<usize> {
        self.start[op] as usize..self.start[op + 1] as usize
    }
    pub fn of(&self, op: usize) -> &[Mop] {
        &self.all[self.range(op)]
    }
    /// The operation that a read or write belongs to.
    pub fn op_of(&self, mop: usize) -> usize {
        self.start.partition_point(|start| *start as usize <= mop) - 1
    }
}

fn shape(history: &History, op: &Op, write: &str) -> String {
    format!(
        "the operation with index {} is no list of [\"r\", key, value] and [\"{write}\", key, value]: {}",
        op.index,
        history.arena.show(op.value())
    )
}

/// Words that are equal for equal values, lists too.
#[derive(Debug, Default)]
pub struct Words {
    lists: FxHashMap<String, u64>,
}

/// A tag that no value has.
const LIST_WORD: u64 = 7;

impl Words {
    pub fn of(&mut self, arena: &Arena, value: Value) -> u64 {
        if value.as_list().is_none() {
            return value.word();
        }
        let next = (self.lists.len() as u64) << 3 | LIST_WORD;
        *self.lists.entry(arena.show(value)).or_insert(next)
    }
}
