//! What reads of lists tell of the order of appends (Kingsbury and Alvaro, VLDB 2020, sections 4 and 5).
//!
//! A read of a list shows every append that came before it, in order. The longest read of a key is its order of
//! versions, version n being its first n elements; appends that no read shows came later. From it follow ww
//! (the writer of an element to the writer of the next), wr (the writer of the last element to the reader) and rw
//! (the reader of a version to the writer of the next element), and without any graph what is wrong in reads
//! alone: elements that failed transactions or nobody wrote, intermediate versions, orders that do not agree.
//! Operations whose outcome is unknown count as writers, never as readers.
//!
//! Linear: a read is compared to the longest one once, element by element; everything else is arrays.

use super::graph::{Edges, NONE, RW, WR, WW};
use super::mops::{Mops, Words};
use super::report::Explain;
use crate::budget::{Budget, Spent};
use crate::history::History;
use crate::value::Value;

mod anomalies;

/// One append.
#[derive(Clone, Copy, Debug)]
struct Write {
    op: u32,
    /// Its place in the order of its key; [`NONE`] where no read shows it.
    place: u32,
    value: Value,
    /// Whether its transaction appends to the key once more.
    intermediate: bool,
}

/// What is known of a key.
#[derive(Clone, Copy, Debug)]
struct Key {
    /// Its writes are those from here to those of the next key.
    writes: u32,
    /// Its order likewise.
    order: u32,
    longest: Value,
    longest_op: u32,
    /// Whether the longest read shows an element twice.
    repeats: bool,
    /// The least place of an element that a failed transaction wrote, and of one that nobody wrote.
    failed: u32,
    garbage: u32,
    find: Find,
}

/// How the write of an element is found.
#[derive(Clone, Copy, Debug)]
enum Find {
    /// Small numbers close together: by the distance from the least.
    Near { least: i64, slots: u32, len: u32 },
    /// Anything else: by its word, sorted.
    Sorted,
}

/// A version of a key: the first `len` elements of its order, and whether the read was exactly that.
#[derive(Clone, Copy, Debug)]
struct Seen {
    /// [`NONE`]: the last element is not in the order.
    len: u32,
    exact: bool,
}

/// A value that was appended twice: versions cannot be told apart.
#[derive(Debug)]
pub struct Twice {
    pub key: Value,
    pub value: Value,
    pub ops: [u32; 2],
}

/// The orders of all keys.
#[derive(Debug)]
pub struct Appends<'a> {
    history: &'a History,
    mops: Mops,
    writes: Vec<Write>,
    keys: Vec<Key>,
    slots: Vec<u32>,
    sorted: Vec<(u64, u32)>,
    /// The write of each element in order; [`NONE`] for one that nobody wrote.
    order: Vec<u32>,
    /// Readers by version: where they begin, and who they are.
    reader_start: Vec<u32>,
    readers: Vec<u32>,
}

impl<'a> Appends<'a> {
    pub fn new(history: &'a History, mops: Mops, budget: &Budget) -> Result<Result<Self, Box<Twice>>, Spent> {
        budget.hold(mops.all.len() as u64 * 48)?;
        let none = Key {
            writes: 0,
            order: 0,
            longest: Value::NIL,
            longest_op: NONE,
            repeats: false,
            failed: NONE,
            garbage: NONE,
            find: Find::Sorted,
        };
        let mut appends = Self {
            history,
            keys: vec![none; mops.keys.len() + 1],
            mops,
            writes: Vec::new(),
            slots: Vec::new(),
            sorted: Vec::new(),
            order: Vec::new(),
            reader_start: Vec::new(),
            readers: Vec::new(),
        };
        appends.collect_writes();
        if let Some(twice) = appends.index_writes() {
            return Ok(Err(Box::new(twice)));
        }
        appends.find_orders(budget)?;
        appends.collect_readers(budget)?;
        Ok(Ok(appends))
    }

    pub const fn mops(&self) -> &Mops {
        &self.mops
    }

    fn collect_writes(&mut self) {
        for mop in self.mops.all.iter().filter(|mop| mop.is_write()) {
            self.keys[mop.key() as usize + 1].writes += 1;
        }
        for key in 1..self.keys.len() {
            self.keys[key].writes += self.keys[key - 1].writes;
        }
        let total = self.keys.last().map_or(0, |key| key.writes) as usize;
        let empty = Write { op: NONE, place: NONE, value: Value::NIL, intermediate: false };
        self.writes = vec![empty; total];
        let mut next: Vec<u32> = self.keys.iter().map(|key| key.writes).collect();
        for op in 0..self.history.ops.len() {
            for at in self.mops.range(op) {
                let mop = &mut self.mops.all[at];
                if !mop.is_write() {
                    continue;
                }
                let key = mop.key() as usize;
                let write = next[key] as usize;
                next[key] += 1;
                mop.at = write as u32;
                self.writes[write] = Write { op: op as u32, value: mop.value, ..empty };
                // Appends of one transaction to one key follow each other, as operations come in order.
                if write > self.keys[key].writes as usize && self.writes[write - 1].op == op as u32 {
                    self.writes[write - 1].intermediate = true;
                }
            }
        }
    }

    fn index_writes(&mut self) -> Option<Twice> {
        let mut words = Words::default();
        self.sorted = vec![(0, NONE); self.writes.len()];
        for key in 0..self.keys.len() - 1 {
            let range = self.keys[key].writes as usize..self.keys[key + 1].writes as usize;
            let mut numbers = self.writes[range.clone()].iter().map(|write| write.value.as_int());
            let bounds = numbers.try_fold((i64::MAX, i64::MIN), |(least, most), number| {
                number.map(|number| (least.min(number), most.max(number)))
            });
            if let Some((least, most)) = bounds
                .filter(|(least, most)| least <= most && most.abs_diff(*least) < 4 * range.len() as u64 + 16)
            {
                let (slots, len) = (self.slots.len(), (most - least + 1) as usize);
                self.slots.resize(slots + len, NONE);
                self.keys[key].find = Find::Near { least, slots: slots as u32, len: len as u32 };
                for write in range {
                    let number = self.writes[write].value.as_int().expect("all are numbers");
                    let slot = slots + (number - least) as usize;
                    if self.slots[slot] != NONE {
                        return Some(self.twice(key, self.slots[slot], write as u32));
                    }
                    self.slots[slot] = write as u32;
                }
                continue;
            }
            for write in range.clone() {
                self.sorted[write] = (words.of(&self.history.arena, self.writes[write].value), write as u32);
            }
            let sorted = &mut self.sorted[range];
            sorted.sort_unstable();
            if let Some(pair) = sorted.windows(2).find(|pair| pair[0].0 == pair[1].0) {
                let (first, second) = (pair[0].1, pair[1].1);
                return Some(self.twice(key, first, second));
            }
        }
        None
    }

    fn twice(&self, key: usize, first: u32, second: u32) -> Twice {
        let (first, second) = (self.writes[first as usize], self.writes[second as usize]);
        Twice { key: self.mops.keys[key], value: first.value, ops: [first.op, second.op] }
    }

    /// The write of an element.
    fn find(&self, key: u32, value: Value) -> u32 {
        let known = &self.keys[key as usize];
        match known.find {
            Find::Near { least, slots, len } => match value.as_int() {
                Some(number) if number >= least && number.abs_diff(least) < u64::from(len) => {
                    self.slots[slots as usize + (number - least) as usize]
                }
                _ => NONE,
            },
            Find::Sorted => {
                let range = known.writes as usize..self.keys[key as usize + 1].writes as usize;
                let sorted = &self.sorted[range.clone()];
                if value.as_list().is_some() {
                    let same = |(_, write): &&(u64, u32)| {
                        self.history.arena.equal(self.writes[*write as usize].value, value)
                    };
                    return sorted.iter().find(same).map_or(NONE, |(_, write)| *write);
                }
                let found = sorted.binary_search_by_key(&value.word(), |(word, _)| *word);
                found.map_or(NONE, |at| sorted[at].1)
            }
        }
    }

    fn items(&self, value: Value) -> &'a [Value] {
        self.history.arena.items_of(value).unwrap_or(&[])
    }

    fn find_orders(&mut self, budget: &Budget) -> Result<(), Spent> {
        let mut lengths = vec![0u32; self.keys.len()];
        for (op, known) in self.history.ops.iter().enumerate() {
            if !known.may_have_happened() {
                continue;
            }
            for mop in self.mops.of(op).iter().filter(|mop| !mop.is_write()) {
                let len = mop.value.as_list().map_or(0, |list| list.len);
                let key = mop.key() as usize;
                if len > lengths[key] {
                    lengths[key] = len;
                    self.keys[key].longest = mop.value;
                    self.keys[key].longest_op = op as u32;
                }
            }
        }
        budget.spend(self.mops.all.len() as u64)?;
        for key in 0..self.keys.len() - 1 {
            self.keys[key].order = self.order.len() as u32;
            let items = self.items(self.keys[key].longest);
            budget.spend(items.len() as u64 + 1)?;
            for item in items {
                let write = self.find(key as u32, *item);
                if write == NONE {
                    let place = self.order.len() as u32 - self.keys[key].order;
                    self.keys[key].garbage = self.keys[key].garbage.min(place);
                    self.order.push(NONE);
                } else if self.writes[write as usize].place == NONE {
                    self.place(key, write);
                } else {
                    self.keys[key].repeats = true;
                }
            }
            if items.is_empty() {
                // Without any read, a single append is the whole order.
                let range = self.keys[key].writes..self.keys[key + 1].writes;
                let possible = |write: &u32| {
                    self.history.ops[self.writes[*write as usize].op as usize].may_have_happened()
                };
                let mut possible = range.filter(possible);
                if let (Some(write), None) = (possible.next(), possible.next()) {
                    self.place(key, write);
                }
            }
        }
        let last = self.keys.len() - 1;
        self.keys[last].order = self.order.len() as u32;
        Ok(())
    }

    fn place(&mut self, key: usize, write: u32) {
        let place = self.order.len() as u32 - self.keys[key].order;
        self.order.push(write);
        let known = &mut self.writes[write as usize];
        known.place = place;
        if !self.history.ops[known.op as usize].may_have_happened() {
            self.keys[key].failed = self.keys[key].failed.min(place);
        }
    }

    /// The number of a version among all versions of all keys: each key has one more than elements in order.
    fn version(&self, key: u32, len: u32) -> u32 {
        self.keys[key as usize].order + key + len
    }
    fn order_len(&self, key: u32) -> u32 {
        self.keys[key as usize + 1].order - self.keys[key as usize].order
    }

    /// Which version a read shows.
    fn seen(&self, key: u32, value: Value) -> Seen {
        let items = self.items(value);
        let Some(last) = items.last() else { return Seen { len: 0, exact: true } };
        let known = &self.keys[key as usize];
        let longest = self.items(known.longest);
        let same = |a: &Value, b: &Value| a == b || self.history.arena.equal(*a, *b);
        let exact = items.len() <= longest.len()
            && (items == &longest[..items.len()] || items.iter().zip(longest).all(|(a, b)| same(a, b)));
        if exact && !known.repeats {
            return Seen { len: items.len() as u32, exact };
        }
        let write = self.find(key, *last);
        let place = if write == NONE { NONE } else { self.writes[write as usize].place };
        Seen { len: if place == NONE { NONE } else { place + 1 }, exact }
    }

    fn collect_readers(&mut self, budget: &Budget) -> Result<(), Spent> {
        let versions = self.order.len() + self.keys.len();
        let mut start = vec![0u32; versions + 1];
        for (op, known) in self.history.ops.iter().enumerate() {
            if !known.may_have_happened() {
                continue;
            }
            for at in self.mops.range(op) {
                let mop = self.mops.all[at];
                if mop.is_write() || (mop.value.is_nil() && !known.is_ok()) {
                    continue;
                }
                let seen = self.seen(mop.key(), mop.value);
                budget.spend(1 + mop.value.as_list().map_or(0, |list| u64::from(list.len)) / 4)?;
                if seen.len != NONE {
                    let version = self.version(mop.key(), seen.len);
                    self.mops.all[at].at = version;
                    start[version as usize + 1] += 1;
                }
            }
        }
        for version in 0..versions {
            start[version + 1] += start[version];
        }
        self.readers = vec![NONE; start[versions] as usize];
        let mut next = start.clone();
        for op in 0..self.history.ops.len() {
            for mop in self.mops.of(op).iter().filter(|mop| !mop.is_write() && mop.at != NONE) {
                self.readers[next[mop.at as usize] as usize] = op as u32;
                next[mop.at as usize] += 1;
            }
        }
        self.reader_start = start;
        Ok(())
    }

    /// The version that an append extends: the one before it, or the last known if no read shows it.
    fn extends(&self, key: u32, write: &Write) -> u32 {
        if write.place == NONE { self.order_len(key) } else { write.place }
    }

    /// The writer of the last element of a version, if it may have happened.
    fn writer(&self, key: u32, len: u32) -> Option<u32> {
        let at = self.keys[key as usize].order + len.checked_sub(1)?;
        self.writer_of(self.order[at as usize])
    }
    fn writer_of(&self, write: u32) -> Option<u32> {
        let op = self.writes.get(write as usize)?.op;
        Some(op).filter(|op| self.history.ops[*op as usize].may_have_happened())
    }

    /// The writer whose append a read shows last.
    fn read_from(&self, key: u32, value: Value) -> Option<u32> {
        let last = self.items(value).last()?;
        self.writer_of(self.find(key, *last))
    }

    fn readers_of(&self, version: u32) -> &[u32] {
        let range =
            self.reader_start[version as usize] as usize..self.reader_start[version as usize + 1] as usize;
        &self.readers[range]
    }

    /// All data dependencies.
    pub fn edges(&self, budget: &Budget) -> Result<Edges, Spent> {
        Edges::build(self.history.ops.len(), budget, |emit| {
            for (op, known) in self.history.ops.iter().enumerate() {
                if !known.may_have_happened() {
                    continue;
                }
                let to = op as u32;
                for mop in self.mops.of(op) {
                    if mop.is_write() {
                        let write = &self.writes[mop.at as usize];
                        let len = self.extends(mop.key(), write);
                        if let Some(from) = self.writer(mop.key(), len) {
                            emit(from, to, WW);
                        }
                        let readers = self.readers_of(self.version(mop.key(), len));
                        budget.spend(readers.len() as u64 / 2)?;
                        readers.iter().for_each(|from| emit(*from, to, RW));
                    } else if mop.at != NONE {
                        let len = mop.at - self.version(mop.key(), 0);
                        if let Some(from) = self.writer(mop.key(), len) {
                            emit(from, to, WR);
                        }
                    } else if let Some(from) = self.read_from(mop.key(), mop.value) {
                        emit(from, to, WR);
                    }
                }
                budget.spend(1)?;
            }
            Ok(())
        })
    }

    fn show_key(&self, key: u32) -> String {
        self.history.arena.show(self.mops.keys[key as usize])
    }
    fn show(&self, value: Value) -> String {
        if value.is_nil() { "[]".into() } else { self.history.arena.show(value) }
    }
}

impl Explain for Appends<'_> {
    fn step(&self, from: u32, to: u32, kind: u8, names: (&str, &str)) -> Option<String> {
        let (a, b) = names;
        for mop in self.mops.of(to as usize) {
            let key = mop.key();
            if !mop.is_write() {
                if kind == WR && self.read_from(key, mop.value) == Some(from) {
                    let last = self.items(mop.value).last()?;
                    let (key, read) = (self.show_key(key), self.show(mop.value));
                    let element = self.show(*last);
                    return Some(format!(
                        "{b} read {key} as {read}, whose last element {element} {a} appended"
                    ));
                }
                continue;
            }
            let write = &self.writes[mop.at as usize];
            let len = self.extends(key, write);
            let (name, value) = (self.show_key(key), self.show(write.value));
            if kind == WW && self.writer(key, len) == Some(from) {
                let before = self.order[(self.keys[key as usize].order + len - 1) as usize];
                let before = self.show(self.writes[before as usize].value);
                let how = if write.place == NONE {
                    format!("{value}, which no read shows and so came later")
                } else {
                    format!("{value} next")
                };
                return Some(format!("{a} appended {before} to {name}, {b} appended {how}"));
            }
            if kind == RW {
                let version = self.version(key, len);
                let read = self
                    .mops
                    .of(from as usize)
                    .iter()
                    .find(|mop| !mop.is_write() && mop.key() == key && mop.at == version);
                if let Some(read) = read {
                    let read = self.show(read.value);
                    return Some(format!("{a} read {name} as {read}, without {value}, which {b} appended"));
                }
            }
        }
        None
    }
}
