//! What watches were told: streams of changes by revision, as a client of a store with a log of revisions got them.

use crate::env::NodeId;
use crate::time::Micros;
use serde::{Deserialize, Serialize};

/// One watch of everything, from when it was asked for to when it ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watch {
    /// Who watches, and which of its watches this is, from 0.
    pub watcher: u32,
    pub number: u32,
    pub node: NodeId,
    /// The first revision asked for; 0 stands for what comes from now on.
    pub from: i64,
    /// What `from` was meant as.
    pub meant: String,
    /// It goes on where the last one of this watcher broke off.
    pub resumed: bool,
    pub asked: Micros,
    /// When the server said that it watches, and at which revision it was by then.
    pub created: Option<(Micros, i64)>,
    pub told: Vec<Told>,
    /// When it ended, and why; nothing for one that was open to the last.
    pub ended: Option<(Micros, String)>,
}

/// One message of a watch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    pub at: Micros,
    /// The revision of the store by the message's head.
    pub revision: i64,
    /// Nothing for a notification of progress.
    pub changes: Vec<Change>,
}

/// One change of one key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Change {
    pub revision: i64,
    pub key: String,
    pub deleted: bool,
    /// The revision at which the key came to be; 0 for a deletion.
    pub created: i64,
    /// How often it was put since then; 0 for a deletion.
    pub version: i64,
}
