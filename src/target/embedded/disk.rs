//! A node's disk, one file per log: what was written and what of it would survive the node's death.
//!
//! The consensus library writes through [`omnipaxos::storage::Storage`]; a write is in memory until a sync that
//! began after it has ended. [`Disk::crash`] brings back what the last such sync left. Syncs are counted in
//! rounds: a write belongs to the round that is open, a sync closes it.
//!
//! A caution about the library (0.2.4): where a follower gets the difference between two snapshots, `sync_log`
//! raises its decided index first and asks the disk for the follower's own snapshot afterwards, so that entries
//! between are counted twice or missed. The disk folds snapshots itself, from its own log up to where the
//! difference begins, and takes no notice of what the library merged.

use super::bugs::Bugs;
use super::command::{Entry, Snapshot};
use super::machine::Machine;
use omnipaxos::ballot_leader_election::Ballot;
use omnipaxos::storage::{StopSign, Storage, StorageOp, StorageResult};
use std::cell::{Ref, RefCell};
use std::rc::Rc;
use std::sync::Arc;

/// A handle on a log's file: the library has one, the node another.
#[derive(Clone, Debug)]
pub struct Disk(Rc<RefCell<File>>);

/// What a sync makes durable.
#[derive(Clone, Copy, Debug, Default)]
struct Marks {
    round: u64,
    length: usize,
    promise: Option<Ballot>,
    accepted: Option<Ballot>,
    decided: usize,
}

/// A snapshot and the entries after it.
#[derive(Clone, Debug)]
struct Content {
    base_index: usize,
    base: Arc<Machine>,
    log: Vec<Entry>,
}

#[derive(Debug)]
struct File {
    content: Content,
    promise: Option<Ballot>,
    accepted: Option<Ballot>,
    decided: usize,
    /// The round that is open.
    round: u64,
    dirty: bool,
    syncing: Option<Marks>,
    durable: Marks,
    /// Content as it was before it was cut or replaced in a round, kept until that round is durable.
    replaced: Vec<(u64, Content)>,
    bugs: Bugs,
}

impl Content {
    fn length(&self) -> usize {
        self.base_index + self.log.len()
    }
}

impl Disk {
    pub fn new(base: Machine, bugs: Bugs) -> Self {
        Self(Rc::new(RefCell::new(File {
            content: Content { base_index: 0, base: Arc::new(base), log: Vec::new() },
            promise: None,
            accepted: None,
            decided: 0,
            round: 1,
            dirty: false,
            syncing: None,
            durable: Marks::default(),
            replaced: Vec::new(),
            bugs,
        })))
    }

    /// Whether something was written since the last sync began.
    pub fn dirty(&self) -> bool {
        self.0.borrow().dirty
    }

    /// Begins a sync of all that was written so far.
    pub fn sync_begin(&self) {
        let mut file = self.0.borrow_mut();
        if file.dirty {
            file.syncing = Some(file.marks());
            file.round += 1;
            file.dirty = false;
        }
    }

    /// The sync that was begun has ended.
    pub fn sync_end(&self) {
        let mut file = self.0.borrow_mut();
        if let Some(marks) = file.syncing.take() {
            file.durable = marks;
            file.replaced.retain(|(round, _)| *round > marks.round);
        }
    }

    /// The node is gone: what was not synced is lost.
    pub fn crash(&self) {
        let mut file = self.0.borrow_mut();
        let marks = file.durable;
        if let Some(at) = file.replaced.iter().position(|(round, _)| *round > marks.round) {
            file.content = file.replaced.swap_remove(at).1;
        }
        assert!(marks.length >= file.content.base_index, "a durable snapshot is within the durable log");
        let keep = marks.length - file.content.base_index;
        file.content.log.truncate(keep);
        (file.promise, file.accepted, file.decided) = (marks.promise, marks.accepted, marks.decided);
        (file.dirty, file.syncing) = (false, None);
        file.replaced.clear();
        if file.bugs.forget_promise_on_restart {
            file.content.log.clear();
            let base = file.content.base_index;
            (file.promise, file.accepted, file.decided) = (None, None, base);
            file.durable = Marks { round: marks.round, length: base, decided: base, ..Marks::default() };
        }
    }

    /// Writes one entry, for a log that has no other member.
    pub fn append_alone(&self, entry: Entry) {
        let mut file = self.0.borrow_mut();
        file.content.log.push(entry);
        file.dirty = true;
    }

    /// What a log without other members has decided: all that is durable.
    pub fn durable_length(&self) -> usize {
        self.0.borrow().durable.length
    }

    pub fn length(&self) -> usize {
        self.0.borrow().content.length()
    }

    /// The state before the first entry that is still kept, and its index.
    pub fn base(&self) -> (usize, Arc<Machine>) {
        let file = self.0.borrow();
        (file.content.base_index, file.content.base.clone())
    }

    pub fn base_index(&self) -> usize {
        self.0.borrow().content.base_index
    }

    /// The entry at this index, if it is kept.
    pub fn entry(&self, index: usize) -> Option<Entry> {
        let file = self.0.borrow();
        file.content.log.get(index.checked_sub(file.content.base_index)?).cloned()
    }

    /// For a log without other members: folds all entries before this index into the snapshot.
    pub fn compact_alone(&self, index: usize) {
        let mut file = self.0.borrow_mut();
        assert!(index <= file.durable.length, "only what is durable is folded");
        let keep = index - file.content.base_index;
        let folded: Vec<Entry> = file.content.log.drain(..keep).collect();
        let bugs = file.bugs;
        let base = Arc::make_mut(&mut file.content.base);
        fold(base, &folded, bugs);
        file.content.base_index = index;
    }

    fn file(&self) -> Ref<'_, File> {
        self.0.borrow()
    }
}

fn fold(machine: &mut Machine, entries: &[Entry], bugs: Bugs) {
    for entry in entries {
        machine.apply(&entry.0, bugs, None);
    }
    if let (true, Machine::Shard(shard)) = (bugs.snapshot_drops_keys, machine) {
        let mut count = 0u32;
        shard.keys.retain(|_, _| {
            count += 1;
            !count.is_multiple_of(8)
        });
    }
}

impl File {
    fn marks(&self) -> Marks {
        Marks {
            round: self.round,
            length: self.content.length(),
            promise: self.promise,
            accepted: self.accepted,
            decided: self.decided,
        }
    }

    /// Keeps the content as it was, in case the open round never becomes durable.
    fn keep_content(&mut self) {
        if self.replaced.last().is_none_or(|(round, _)| *round < self.round) {
            self.replaced.push((self.round, self.content.clone()));
        }
    }

    /// Replaces all before `index` by a snapshot.
    fn compact(&mut self, index: usize, snapshot: Snapshot) {
        let Snapshot { base, segments } = snapshot;
        let (base_index, base) = base.unwrap_or_else(|| (self.content.base_index, self.content.base.clone()));
        let own = Arc::ptr_eq(&base, &self.content.base);
        // Folding what is durable and decided is a rewrite beside the log that changes no meaning; everything
        // else must be undone if the node dies before the next sync.
        let local = own && index <= self.durable.length && self.syncing.is_none() && !self.dirty;
        if !local {
            self.keep_content();
            self.dirty = true;
        }
        let total = base_index + segments.iter().map(Vec::len).sum::<usize>();
        if total == index {
            // Its own handle goes first, so that a state that nobody else holds is changed in place.
            self.content.base = base;
            let machine = Arc::make_mut(&mut self.content.base);
            segments.iter().for_each(|segment| fold(machine, segment, self.bugs));
        } else {
            let difference = segments.last().map_or(&[][..], Vec::as_slice);
            let start = index - difference.len();
            let own = start - self.content.base_index;
            assert!(own <= self.content.log.len(), "a difference begins within the follower's log");
            drop(base);
            let machine = Arc::make_mut(&mut self.content.base);
            fold(machine, &self.content.log[..own], self.bugs);
            fold(machine, difference, self.bugs);
        }
        let gone = (index - self.content.base_index).min(self.content.log.len());
        self.content.log.drain(..gone);
        self.content.base_index = index;
    }

    fn append_on_prefix(&mut self, from: usize, entries: Vec<Entry>) {
        let keep = from.checked_sub(self.content.base_index).expect("decided entries are never replaced");
        if keep < self.content.log.len() {
            self.keep_content();
            self.content.log.truncate(keep);
        }
        self.content.log.extend(entries);
        self.dirty = true;
    }
}

impl Storage<Entry> for Disk {
    fn write_atomically(&mut self, ops: Vec<StorageOp<Entry>>) -> StorageResult<()> {
        let mut file = self.0.borrow_mut();
        let mut trim = None;
        for op in ops {
            match op {
                StorageOp::AppendEntry(entry) => {
                    file.content.log.push(entry);
                    file.dirty = true;
                }
                StorageOp::AppendEntries(entries) => {
                    file.content.log.extend(entries);
                    file.dirty = true;
                }
                StorageOp::AppendOnPrefix(from, entries) => file.append_on_prefix(from, entries),
                StorageOp::SetPromise(ballot) => {
                    file.promise = Some(ballot);
                    file.dirty = true;
                }
                StorageOp::SetAcceptedRound(ballot) => {
                    file.accepted = Some(ballot);
                    file.dirty = true;
                }
                StorageOp::SetDecidedIndex(index) => file.decided = index,
                StorageOp::Trim(index) | StorageOp::SetCompactedIdx(index) => trim = Some(index),
                StorageOp::SetSnapshot(Some(snapshot)) => {
                    let index = trim.expect("a snapshot comes with the index that it replaces");
                    file.compact(index, snapshot);
                }
                // The logs' members never change, and a snapshot is never taken back.
                StorageOp::SetStopsign(_) | StorageOp::SetSnapshot(None) => {}
            }
        }
        Ok(())
    }

    fn append_entry(&mut self, entry: Entry) -> StorageResult<()> {
        self.write_atomically(vec![StorageOp::AppendEntry(entry)])
    }
    fn append_entries(&mut self, entries: Vec<Entry>) -> StorageResult<()> {
        let mut file = self.0.borrow_mut();
        if !entries.is_empty() {
            file.content.log.extend(entries);
            file.dirty = true;
        }
        Ok(())
    }
    fn append_on_prefix(&mut self, from: usize, entries: Vec<Entry>) -> StorageResult<()> {
        self.0.borrow_mut().append_on_prefix(from, entries);
        Ok(())
    }
    fn set_promise(&mut self, promise: Ballot) -> StorageResult<()> {
        let mut file = self.0.borrow_mut();
        // A node that never promised says so by `None`: the library's placeholder is no promise.
        let promise = (promise != Ballot::default()).then_some(promise);
        if file.promise != promise {
            file.promise = promise;
            file.dirty = true;
        }
        Ok(())
    }
    fn set_decided_idx(&mut self, index: usize) -> StorageResult<()> {
        // Not worth a sync: what was decided is found again by the next round's leader.
        self.0.borrow_mut().decided = index;
        Ok(())
    }
    fn get_decided_idx(&self) -> StorageResult<usize> {
        Ok(self.file().decided)
    }
    fn set_accepted_round(&mut self, accepted: Ballot) -> StorageResult<()> {
        self.write_atomically(vec![StorageOp::SetAcceptedRound(accepted)])
    }
    fn get_accepted_round(&self) -> StorageResult<Option<Ballot>> {
        Ok(self.file().accepted)
    }
    fn get_entries(&self, from: usize, to: usize) -> StorageResult<Vec<Entry>> {
        let file = self.file();
        let base = file.content.base_index;
        let within = from.checked_sub(base).zip(to.checked_sub(base));
        Ok(within.and_then(|(from, to)| file.content.log.get(from..to)).unwrap_or(&[]).to_vec())
    }
    fn get_log_len(&self) -> StorageResult<usize> {
        Ok(self.file().content.log.len())
    }
    fn get_suffix(&self, from: usize) -> StorageResult<Vec<Entry>> {
        let file = self.file();
        let within = from.checked_sub(file.content.base_index);
        Ok(within.and_then(|from| file.content.log.get(from..)).unwrap_or(&[]).to_vec())
    }
    fn get_promise(&self) -> StorageResult<Option<Ballot>> {
        Ok(self.file().promise)
    }
    fn set_stopsign(&mut self, _: Option<StopSign>) -> StorageResult<()> {
        Ok(())
    }
    fn get_stopsign(&self) -> StorageResult<Option<StopSign>> {
        Ok(None)
    }
    fn trim(&mut self, _: usize) -> StorageResult<()> {
        Err("the log is only shortened together with a snapshot".into())
    }
    fn set_compacted_idx(&mut self, _: usize) -> StorageResult<()> {
        Err("the log is only shortened together with a snapshot".into())
    }
    fn get_compacted_idx(&self) -> StorageResult<usize> {
        Ok(self.file().content.base_index)
    }
    fn set_snapshot(&mut self, _: Option<Snapshot>) -> StorageResult<()> {
        Err("a snapshot is only set together with the index that it replaces".into())
    }
    fn get_snapshot(&self) -> StorageResult<Option<Snapshot>> {
        let (base_index, base) = self.base();
        Ok(Some(Snapshot { base: Some((base_index, base)), segments: Vec::new() }))
    }
}
