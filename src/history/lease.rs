//! What leases came to: each from the request for it to its end, as the client that held it saw it.

use crate::env::NodeId;
use crate::time::{Micros, Millis};
use serde::{Deserialize, Serialize};

crate::word! {
    /// How its holder lets go of a lease.
    pub enum Ending { Revoke = "revoke", Abandon = "abandon" }
}

/// One lease, with keys that are to live as long as it does. Its holder asks one thing at a time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// Who holds it, and which of its leases this is, from 0.
    pub holder: u32,
    pub number: u32,
    /// By which it is known; the holder chose it.
    pub id: i64,
    /// What all its keys begin with, and how many there are.
    pub prefix: String,
    pub keys: u32,
    pub ending: Ending,
    /// In the order in which they were sent.
    pub calls: Vec<LeaseCall>,
}

/// One question of a holder, and what came back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseCall {
    pub ask: LeaseAsk,
    pub node: NodeId,
    pub sent: Micros,
    /// When its answer was there, or it was given up.
    pub back: Micros,
    pub said: LeaseSaid,
}

crate::word! {
    /// What is asked of a lease: `attach` puts all its keys, `read` counts them.
    pub enum LeaseAsk {
        Grant = "grant", Attach = "attach", KeepAlive = "keep_alive", Left = "left", Revoke = "revoke", Read = "read",
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LeaseSaid {
    /// Granted or renewed for so long, or so much is left.
    For(Millis),
    /// There is no such lease.
    NoLease,
    /// The keys are put, or the lease is revoked.
    Done,
    /// So many of its keys are there.
    Keys(u32),
    /// The server did nothing.
    Refused(String),
    /// It may have been done.
    Unknown(String),
}

impl Lease {
    /// For a human: who held it, and which of its leases it was.
    pub fn title(&self) -> String {
        format!("lease {} of holder {}", self.number, self.holder)
    }
    /// Whether one of its calls of this kind was answered so.
    pub fn has(&self, ask: LeaseAsk, said: impl Fn(&LeaseSaid) -> bool) -> bool {
        self.calls.iter().any(|call| call.ask == ask && said(&call.said))
    }
}
