//! What became of nodes that the system removes by itself, as the client that made them saw it.

use super::Stamp;
use crate::env::NodeId;
use crate::time::Millis;
use serde::{Deserialize, Serialize};

/// One such node. Its client asks one thing at a time, by one session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Removable {
    pub client: u32,
    pub path: String,
    /// Its time to live, or nothing for a container.
    pub ttl: Option<Millis>,
    /// In the order in which they were sent.
    pub acts: Vec<RemovableAct>,
}

/// One request, and what came back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemovableAct {
    pub ask: RemovableAsk,
    pub node: NodeId,
    pub sent: Stamp,
    pub back: Stamp,
    pub said: RemovableSaid,
}

/// What is asked of the node itself, or of one of its children by number. A look is a read behind a `sync`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RemovableAsk {
    Create,
    Touch,
    Look,
    AddChild(u32),
    DeleteChild(u32),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RemovableSaid {
    /// Of a request for the node itself: how it stands, as of that transaction.
    Stands(Standing),
    /// Of a request for a child.
    Done,
    /// There is no such node: the node itself, or the child that was to be deleted.
    Gone,
    /// It may have been done, or by its answer nothing can be told.
    Unknown(String),
}

/// What a node is told of itself. Its time is that of the leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    pub as_of: i64,
    pub modified_zxid: i64,
    pub modified_ms: i64,
    /// The newest change of its children, and how many changes there were.
    pub children_zxid: i64,
    pub children_version: i32,
    pub children: i32,
}

impl Removable {
    /// For a human.
    pub fn title(&self) -> String {
        match self.ttl {
            Some(ttl) => format!("{} (time to live {ttl})", self.path),
            None => format!("{} (container)", self.path),
        }
    }
}
