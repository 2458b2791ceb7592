//! What is claimed of a history beyond the name of its model.

use serde_json::Value as Json;

/// What a refused compare-and-set tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FailedCas {
    /// Nothing: it did not happen.
    #[default]
    NoEffect,
    /// That the register held another value than the one expected, at some point between call and return.
    AssertsMismatch,
}

/// What an acknowledged read of null tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NullRead {
    /// That nothing had been written (or that it was deleted).
    #[default]
    AssertsNull,
    /// Nothing: the result was not recorded.
    UnknownRead,
}

/// All options; every model reads those that concern it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// The value that an object begins with, as JSON. `None`: the model's own.
    pub initial: Option<Json>,
    pub failed_cas: FailedCas,
    pub null_read: NullRead,
    /// The claimed consistency models, by Elle's names. `None`: none was named, which means
    /// `strict-serializable`, unless `anomalies` were.
    pub consistency_models: Option<Vec<String>>,
    /// Then only these anomalies, and what they imply, are reported.
    pub anomalies: Option<Vec<String>>,
    /// For `rw-register`: which orders of versions may be inferred.
    pub linearizable_keys: bool,
    pub sequential_keys: bool,
    pub wfr_keys: bool,
    /// For `rw-register`: the order in which transactions took effect, by their values (Elle's `transaction-order`).
    pub transaction_order: Option<Json>,
    /// For `bank`: the sum of all accounts; `None`: what the first read says.
    pub total: Option<i64>,
    /// For `bank`: whether a balance may be below zero.
    pub negative_balances: bool,
    /// For `long-fork`: how many keys a group has; `None`: as many as the first read.
    pub group_size: Option<u32>,
    /// For `set-full`: whether a stale read is a violation (Jepsen's `linearizable?`).
    pub linearizable: bool,
}
