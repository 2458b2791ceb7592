//! What clients did with a queue whose elements have numbers of the server's, and as of which transaction it answered.

use super::Stamp;
use crate::env::NodeId;
use serde::{Deserialize, Serialize};

/// One request and what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueAct {
    pub queuer: u32,
    /// Which round of the client's work it belongs to: it takes what it saw in the same round.
    pub round: u32,
    pub node: NodeId,
    pub ask: QueueAsk,
    pub sent: Stamp,
    pub back: Stamp,
    pub said: QueueSaid,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QueueAsk {
    /// Adds an element of this value, which no other has.
    Put(String),
    /// Which elements there are.
    List,
    /// The same behind a write of the same client, when there is no more load: whatever was acknowledged before, this
    /// must know.
    Rest,
    /// What an element holds.
    Read(u64),
    /// Deletes an element.
    Take(u64),
}

/// Elements by their numbers, moments by transactions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QueueSaid {
    Put {
        element: u64,
        by: i64,
    },
    Listed {
        as_of: i64,
        elements: Vec<u64>,
    },
    Holds {
        as_of: i64,
        value: String,
        put_by: i64,
    },
    Taken {
        by: i64,
    },
    /// There is no such element.
    Nothing {
        as_of: i64,
    },
    /// It was surely not done.
    Refused(String),
    /// It may have been done.
    Unknown(String),
    /// An answer that fits no request of this kind.
    Odd(String),
}
