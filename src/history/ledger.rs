//! What came of transfers between accounts, each of which is to be done as a whole or not at all, and what all accounts
//! held at one moment.

use super::Stamp;
use crate::env::NodeId;
use serde::{Deserialize, Serialize};

/// One account as it was read or written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// How often it was written.
    pub version: i32,
    pub balance: i64,
    /// The transfer that wrote it, as [`Transfer::name`]; empty for what it began with.
    pub by: String,
}

/// One transfer: both accounts in one transaction, each only at the version that was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transfer {
    pub teller: u32,
    pub number: u32,
    pub node: NodeId,
    /// Numbers of the accounts, and what they are to hold afterwards, at which version.
    pub from: (u32, Entry),
    pub to: (u32, Entry),
    /// A part that cannot come about was put behind the two: nothing of it may.
    pub spoilt: bool,
    pub sent: Stamp,
    pub back: Stamp,
    pub said: TransferSaid,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TransferSaid {
    Done,
    Refused(String),
    /// It may have been done.
    Unknown(String),
}

crate::word! {
    /// How all accounts were read at one moment: by one request, or one by one and then a transaction that did nothing but
    /// see that none had changed.
    pub enum AuditKind { Together = "together", Checked = "checked" }
}

/// What all accounts held at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Audit {
    pub teller: u32,
    pub kind: AuditKind,
    pub node: NodeId,
    pub sent: Stamp,
    pub back: Stamp,
    /// By the numbers of the accounts.
    pub entries: Vec<Entry>,
}

impl Transfer {
    pub fn name(&self) -> String {
        format!("t{}.{}", self.teller, self.number)
    }
}
