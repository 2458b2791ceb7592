//! What was asked of which it is known beforehand whether it has to be refused, and what came of it.

use super::Stamp;
use crate::env::NodeId;
use serde::{Deserialize, Serialize};

/// One such request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Demand {
    /// Who asked: an event, or a client and as whom.
    pub by: String,
    pub what: String,
    pub must: Must,
    /// The server's words for a refusal of this kind.
    pub words: Vec<String>,
    /// The transaction from which on it must be so: what was answered by an older state says nothing.
    pub since: i64,
    pub node: NodeId,
    pub sent: Stamp,
    pub back: Stamp,
    pub said: Answered,
}

crate::word! {
    pub enum Must { Refuse = "refuse", Grant = "grant" }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answered {
    /// It was done or answered, by the state as of this transaction.
    Done(i64),
    /// By the server's own word.
    Refused(String),
    /// It may have been done.
    Unknown(String),
}
