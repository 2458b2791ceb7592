//! What came of sessions and of the nodes that end with them, as those saw it who held them, and what others saw meanwhile.

use super::Stamp;
use crate::env::{ConnId, NodeId};
use crate::time::Millis;
use serde::{Deserialize, Serialize};

/// One session and its one ephemeral node, whose name is a place in a queue for a lock. Its holder asks one thing at a time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// Who holds it, and which of its sessions this is, from 0.
    pub holder: u32,
    pub number: u32,
    /// As the server gave it; 0 before.
    pub id: i64,
    /// As it was negotiated.
    pub timeout: Millis,
    /// What the node's name begins with, which no other's does.
    pub name: String,
    /// The number at the end of its name, and the transaction that made it: the fence of its lock.
    pub place: Option<(u64, i64)>,
    /// In the order in which they were sent.
    pub acts: Vec<HeldAct>,
    /// The watches that it set, each on the one before it in the queue.
    pub guards: Vec<Guard>,
}

/// One question of a holder, and what came back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldAct {
    pub ask: HeldAsk,
    pub node: NodeId,
    pub sent: Stamp,
    /// When its answer was there, or it was given up.
    pub back: Stamp,
    pub said: HeldSaid,
}

crate::word! {
    /// What a holder does: `keep` writes its own node; `guarded` writes what the lock guards, if its own node is there;
    /// `move` goes to another server; `leave` says nothing from then on; `revive` goes on with a session that it was told
    /// to be no more, and writes.
    pub enum HeldAsk {
        Open = "open", Create = "create", Keep = "keep", Guarded = "guarded", Move = "move", Delete = "delete",
        Close = "close", Leave = "leave", Revive = "revive",
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HeldSaid {
    /// It is done; a write says by which transaction, where it is told.
    Done(i64),
    /// Its own node is not there.
    Gone,
    /// The session is no more.
    Expired,
    Refused(String),
    /// It may have been done.
    Unknown(String),
}

/// A watch that fires once, on a node that is to go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Guard {
    pub path: String,
    /// Nothing for one that nobody set.
    pub set: Option<Stamp>,
    pub fired: Vec<Stamp>,
    /// When the node was first missing in an answer on the connection on which the watch was set.
    pub missed: Option<Stamp>,
    pub on: Option<ConnId>,
}

/// Which of the nodes were there, by a read that was fresh as far as anybody could know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sight {
    /// Who looked.
    pub holder: u32,
    pub node: NodeId,
    pub sent: Stamp,
    pub back: Stamp,
    /// Names as in [`Held::name`].
    pub names: Vec<String>,
}

impl Held {
    /// For a human: who held it, and which of its sessions it was.
    pub fn title(&self) -> String {
        format!("session {} of holder {} ({:#x}, {})", self.number, self.holder, self.id, self.timeout)
    }
}

impl HeldAct {
    pub fn done(&self) -> bool {
        matches!(self.said, HeldSaid::Done(_))
    }
    /// A write that was acknowledged: the session lived when it was carried out.
    pub fn proves_life(&self) -> bool {
        self.done()
            && matches!(self.ask, HeldAsk::Create | HeldAsk::Keep | HeldAsk::Guarded | HeldAsk::Delete)
    }
}
