//! What a judge says: ok, bad or unknown, with the evidence.

use crate::budget::Spent;
use crate::history::History;
use serde::Serialize;
use std::collections::BTreeSet;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    Ok,
    /// Not decided; the reason says why.
    Unknown,
    Bad,
}

impl Answer {
    pub const fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Unknown => "unknown",
            Self::Bad => "bad",
        }
    }
}

/// One way in which a history contradicts its model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Anomaly {
    /// Elle's name where there is one: `G1c`, `lost-update`; else the model's own: `nonlinearizable`.
    pub name: String,
    /// The object it was seen on, as JSON, where there is one.
    pub key: Option<String>,
    /// The operations that it consists of, by their places in the history.
    pub ops: Vec<usize>,
    /// The contradiction in sentences, one step a line.
    pub story: Vec<String>,
}

/// A verdict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verdict {
    pub answer: Answer,
    /// One line.
    pub reason: String,
    /// How it was found out, by the algorithm's name, with its source.
    pub algorithm: String,
    /// What it looked at, in numbers: `4,120 operations on 5 keys`.
    pub looked_at: String,
    /// In the order of weight.
    pub anomalies: Vec<Anomaly>,
    /// What is no contradiction, but worth knowing: assumptions, counts, what was left out.
    pub notes: Vec<String>,
    /// For models of transactions: the weakest consistency models that this rules out, by Elle's names.
    pub not: Vec<String>,
}

impl Verdict {
    pub fn new(answer: Answer, algorithm: impl Into<String>, reason: impl Into<String>) -> Self {
        Self {
            answer,
            reason: reason.into(),
            algorithm: algorithm.into(),
            looked_at: String::new(),
            anomalies: Vec::new(),
            notes: Vec::new(),
            not: Vec::new(),
        }
    }
    pub fn spent(algorithm: impl Into<String>, why: Spent) -> Self {
        Self::new(Answer::Unknown, algorithm, why.to_string())
    }
    /// Bad by this anomaly.
    pub fn bad(algorithm: impl Into<String>, reason: impl Into<String>, anomaly: Anomaly) -> Self {
        let mut verdict = Self::new(Answer::Bad, algorithm, reason);
        verdict.anomalies.push(anomaly);
        verdict
    }
    #[must_use]
    pub fn looked_at(mut self, what: impl Into<String>) -> Self {
        self.looked_at = what.into();
        self
    }
    /// The names of the anomalies, each once, in order.
    pub fn names(&self) -> BTreeSet<&str> {
        self.anomalies.iter().map(|anomaly| anomaly.name.as_str()).collect()
    }
}

/// An anomaly told by its operations alone.
pub fn anomaly(history: &History, name: &str, ops: Vec<usize>) -> Anomaly {
    let story = ops.iter().map(|op| history.tell(*op)).collect();
    let key = ops.first().map(|op| history.ops[*op].key).filter(|key| !key.is_nil());
    Anomaly { name: name.into(), key: key.map(|key| history.arena.show(key)), ops, story }
}
