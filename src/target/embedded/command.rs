//! What stands in the logs: the commands of the two state machines, and the form in which the library moves them.

use super::machine::{Machine, Value};
use crate::target::operation::StopAfter;
use omnipaxos::storage::{Entry as LogEntry, Snapshot as LogSnapshot};
use std::sync::Arc;

/// Text that logs, stores and messages share without copying.
pub type Bytes = Arc<[u8]>;

/// One thing that a client asked of the data.
#[derive(Clone, Debug)]
pub enum Op {
    Get(Bytes),
    Set(Bytes, Bytes),
    Increment(Bytes, i64),
    Append(Bytes, Vec<Bytes>),
    Range(Bytes, i64, i64),
    Add(Bytes, Vec<Bytes>),
    Members(Bytes),
    Delete(Vec<Bytes>),
    Exists(Vec<Bytes>),
    Type(Bytes),
    Length(Bytes),
}

impl Op {
    pub fn writes(&self) -> bool {
        matches!(
            self,
            Self::Set(..) | Self::Increment(..) | Self::Append(..) | Self::Add(..) | Self::Delete(..)
        )
    }
}

/// A log entry.
#[derive(Clone, Debug)]
pub enum Command {
    /// Some commands of one connection, in order; applied once for each (connection, number).
    Ops {
        connection: u64,
        number: u64,
        /// Each with the slot of its keys.
        ops: Vec<(u16, Op)>,
        /// All of them or none, answered as one array.
        transaction: bool,
    },
    /// The giver of a migration serves these slots no more.
    Freeze { migration: u64, slots: Arc<[u16]> },
    /// The taker has the keys of these slots, and may serve them.
    Install { migration: u64, slots: Arc<[u16]>, keys: Arc<Vec<(Bytes, Value)>> },
    /// The giver forgets the slots and their keys.
    Drop { migration: u64 },
    /// A shard has a new primary, which won its election in this round.
    Promote { shard: u16, primary: u16, round: u64 },
    /// A migration of slots begins; it is carried out up to this step.
    Begin { origin: u16, number: u64, slots: Arc<[u16]>, from: u16, to: u16, stop: StopAfter },
    /// The slots of a migration belong to the taker.
    Commit { migration: u64 },
}

/// A command as the library moves it.
#[derive(Clone, Debug)]
pub struct Entry(pub Arc<Command>);

impl LogEntry for Entry {
    type Snapshot = Snapshot;
}

/// A state and what was logged after it, not yet folded into it: folding is the disk's work (`disk`), because
/// the library makes and merges snapshots without saying from which index on.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The state, and how many entries are in it; none where the library made this from entries alone.
    pub base: Option<(usize, Arc<Machine>)>,
    /// Runs of entries, in the order in which they were merged.
    pub segments: Vec<Vec<Entry>>,
}

impl LogSnapshot<Entry> for Snapshot {
    fn create(entries: &[Entry]) -> Self {
        Self { base: None, segments: vec![entries.to_vec()] }
    }
    fn merge(&mut self, delta: Self) {
        self.segments.extend(delta.segments);
    }
    fn use_snapshots() -> bool {
        true
    }
}
