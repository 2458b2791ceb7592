//! What must hold: one file per check, each a pure function of the record.
//!
//! A judgement is `fail`, `unknown` or `pass`, in that order of weight; a claim that an event voided is
//! `voided`, and one the system never makes for this run is `not_owed`. A check that had nothing to look at
//! says `unknown: nothing observed`. When each may speak is decided by the eligibility model (`owed`).

pub mod acknowledged_loss;
pub mod convergence_time;
pub mod crash;
pub mod data_consistency;
pub mod linearizability;
pub mod log_scan;
pub mod quorum;
pub mod replica_sync;
pub mod replication_lag;
pub mod slot_coverage;
pub mod topology;
pub mod view_agreement;

use crate::run::record::Record;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

crate::word! {
    /// In the order of weight: the heaviest decides.
    pub enum Verdict { Pass = "pass", NotOwed = "not_owed", Voided = "voided", Unknown = "unknown", Fail = "fail" }
}

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Judgement {
    pub check: String,
    pub verdict: Verdict,
    /// One line: what was seen, with the bound where there is one.
    pub reason: String,
    /// What it looked at, in numbers: `16384 slots on 6 nodes`.
    pub looked_at: String,
    /// The particulars of a failure: nodes, slots, keys, operations. At most [`EVIDENCE_MAX`], then a count.
    pub evidence: Vec<String>,
    /// Losses and oddities by class, each class with its rule: counted and reported, never silent.
    pub classes: BTreeMap<String, u64>,
}

pub const EVIDENCE_MAX: usize = 20;

impl Judgement {
    pub fn new(check: &str, verdict: Verdict, reason: impl Into<String>) -> Self {
        Self {
            check: check.into(),
            verdict,
            reason: reason.into(),
            looked_at: String::new(),
            evidence: Vec::new(),
            classes: BTreeMap::new(),
        }
    }
    #[must_use]
    pub fn looked_at(mut self, what: impl Into<String>) -> Self {
        self.looked_at = what.into();
        self
    }
    #[must_use]
    pub fn with_evidence(mut self, evidence: Vec<String>) -> Self {
        let more = evidence.len().saturating_sub(EVIDENCE_MAX);
        self.evidence = evidence;
        self.evidence.truncate(EVIDENCE_MAX);
        if more > 0 {
            self.evidence.push(format!("and {more} more"));
        }
        self
    }
}

/// A claim about a run.
pub trait Check {
    /// What must hold, in one sentence.
    fn claim(&self) -> &'static str;
    /// Where the system promises it.
    fn source(&self) -> &'static str;
    fn judge(&self, record: &Record) -> Judgement;
}
