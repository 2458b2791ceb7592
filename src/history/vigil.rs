//! What a client was told by watches on a tree, beside the transactions of its answers, and what was done to that tree.

use super::{Answered, Stamp};
use crate::env::NodeId;
use crate::time::Micros;
use serde::{Deserialize, Serialize};

crate::word! {
    /// What a watch tells of a node.
    pub enum NodeEvent { Created = "created", Changed = "changed", Deleted = "deleted", Children = "children" }
}

crate::word! {
    /// A watch: one that stays, of a node and its children, or of all below it; or one that fires once, of a node's data, of whether
    /// it is there, of its children.
    pub enum WatchedFor {
        Persistent = "persistent", Recursive = "recursive", Data = "data", Exists = "exists", Children = "children",
    }
}

/// What came on one connection, in its order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vigil {
    /// Who watches, and which of its connections this is, from 0.
    pub watcher: u32,
    pub number: u32,
    pub node: NodeId,
    pub heard: Vec<VigilHeard>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VigilHeard {
    /// A watch was set, by an answer as of this transaction.
    Set {
        watch: WatchedFor,
        path: String,
        as_of: i64,
    },
    Told {
        event: NodeEvent,
        path: String,
        at: Micros,
    },
    /// An answer as of this transaction.
    Seen {
        as_of: i64,
        at: Micros,
    },
}

/// One change of the tree that is watched. Nobody else changes that node, and its next change is asked for only when the one
/// before it has been acknowledged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stroke {
    pub watcher: u32,
    pub path: String,
    pub event: NodeEvent,
    pub node: NodeId,
    pub sent: Stamp,
    pub back: Stamp,
    /// By which transaction, where it was done.
    pub said: Answered,
}
