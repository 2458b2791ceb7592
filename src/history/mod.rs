//! What the clients saw: every operation with its call, its return, and how sure we are that it happened.

mod demand;
mod lease;
mod ledger;
mod queue;
mod removal;
mod session;
mod vigil;
mod watch;

use crate::env::{ConnId, NodeId};
use crate::time::Micros;
pub use demand::{Answered, Demand, Must};
pub use lease::{Ending, Lease, LeaseAsk, LeaseCall, LeaseSaid};
pub use ledger::{Audit, AuditKind, Entry, Transfer, TransferSaid};
pub use queue::{QueueAct, QueueAsk, QueueSaid};
pub use removal::{Removable, RemovableAct, RemovableAsk, RemovableSaid, Standing};
use serde::{Deserialize, Serialize};
pub use session::{Guard, Held, HeldAct, HeldAsk, HeldSaid, Sight};
pub use vigil::{NodeEvent, Stroke, Vigil, VigilHeard, WatchedFor};
pub use watch::{Beside, Cancel, Change, Keys, Told, Watch};

crate::word! {
    /// What a client asked for.
    pub enum OpKind {
        /// Read a register, counter, list or set: the key says which.
        Get = "get",
        Set = "set",
        Incr = "incr",
        Append = "append",
        Add = "add",
        Delete = "delete",
    }
}

impl OpKind {
    pub const fn writes(self) -> bool {
        !matches!(self, Self::Get)
    }
}

crate::word! {
    /// What a key holds; the letter that its name begins with.
    pub enum KeyKind { Register = "r", Counter = "c", List = "l", Set = "s" }
}

/// A key of the workload. All kinds of one number share a hash tag, and so a slot: `r:{17}`, `c:{17}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Key {
    pub kind: KeyKind,
    pub number: u32,
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{{{}}}", self.kind, self.number)
    }
}

/// A value as the workload understands it: padding taken off, sets in order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Value {
    /// The key is not there.
    Missing,
    Text(String),
    Number(i64),
    List(Vec<String>),
    Set(Vec<String>),
}

/// When something happened: logical and wall time, and its place in the order of all recorded events.
/// Order is by `order`; equal times are concurrent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Stamp {
    pub order: u64,
    pub logical: Micros,
    pub wall: Micros,
}

/// What came of an operation. Unknown is never "did not happen".
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Acknowledged; a read carries what it read, `incr` the new number, `append` and `add` what they answered.
    Ok(Value),
    /// Refused before it was executed, with the error as sent.
    Fail(String),
    /// A byte was sent and no answer came, or an answer that does not tell.
    Unknown(String),
}

crate::word! {
    /// Where a server sent a client instead.
    pub enum RedirectKind { Moved = "moved", Ask = "ask" }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Redirect {
    pub kind: RedirectKind,
    pub from: NodeId,
    pub to: NodeId,
}

/// One operation of one client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operation {
    pub client: u32,
    /// The client's count, from 0; a burst's clients count on from the load's.
    pub index: u64,
    pub kind: OpKind,
    pub key: Key,
    /// What a write wrote: a unique text.
    pub argument: Option<String>,
    pub invoke: Stamp,
    pub complete: Stamp,
    pub outcome: Outcome,
    /// The node that answered, or that was asked last, and over which connection.
    pub node: Option<NodeId>,
    pub connection: Option<ConnId>,
    pub redirects: Vec<Redirect>,
    /// How many replicas `WAIT` counted right after it, on the same connection.
    pub waited: Option<u32>,
    /// The operations of one `MULTI` share a number.
    pub transaction: Option<u64>,
}

impl Operation {
    pub fn ok(&self) -> bool {
        matches!(self.outcome, Outcome::Ok(_))
    }
    pub fn acknowledged_write(&self) -> bool {
        self.kind.writes() && self.ok()
    }
}
