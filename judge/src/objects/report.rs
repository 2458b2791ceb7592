//! Findings of one judge: each with its operations and its story, and how many of each kind there are.
//!
//! A history can lose a million elements; a verdict tells the first few of each kind and counts the rest.

use crate::history::History;
use crate::value::Value;
use crate::verdict::{Anomaly, Answer, Verdict};

/// How many findings of one name are told in full.
const TOLD_MAX: usize = 8;

#[derive(Debug)]
pub struct Report<'a> {
    history: &'a History,
    algorithm: &'static str,
    anomalies: Vec<Anomaly>,
    /// By name, in the order of the first finding.
    counts: Vec<(&'static str, usize)>,
    unknown: Vec<String>,
    notes: Vec<String>,
}

impl<'a> Report<'a> {
    pub const fn new(history: &'a History, algorithm: &'static str) -> Self {
        Self {
            history,
            algorithm,
            anomalies: Vec::new(),
            counts: Vec::new(),
            unknown: Vec::new(),
            notes: Vec::new(),
        }
    }
    /// A contradiction. `tell` gives the operations and the last sentences of the story; it is not called for
    /// those that are only counted.
    pub fn found(&mut self, name: &'static str, key: Value, tell: impl FnOnce() -> (Vec<usize>, String)) {
        let told = match self.counts.iter_mut().find(|(known, _)| *known == name) {
            Some((_, count)) => {
                *count += 1;
                *count
            }
            None => {
                self.counts.push((name, 1));
                1
            }
        };
        if told > TOLD_MAX {
            return;
        }
        let (ops, last) = tell();
        let mut story: Vec<String> = ops.iter().map(|op| self.history.tell(*op)).collect();
        story.extend(last.lines().map(str::to_owned));
        let key = (!key.is_nil()).then(|| self.history.arena.show(key));
        self.anomalies.push(Anomaly { name: name.into(), key, ops, story });
    }
    pub fn count(&self, name: &str) -> usize {
        self.counts.iter().find(|(known, _)| *known == name).map_or(0, |(_, count)| *count)
    }
    /// Something that cannot be decided.
    pub fn unknown(&mut self, key: Value, why: impl Into<String>) {
        let why = why.into();
        let why = if key.is_nil() { why } else { format!("{}: {why}", self.history.arena.show(key)) };
        if self.unknown.len() < TOLD_MAX && !self.unknown.contains(&why) {
            self.unknown.push(why);
        }
    }
    pub const fn is_undecided(&self) -> bool {
        !self.unknown.is_empty()
    }
    pub fn note(&mut self, note: impl Into<String>) {
        let note = note.into();
        if self.notes.len() < 4 * TOLD_MAX && !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }
    /// Bad before unknown before ok.
    pub fn verdict(self, looked_at: String, kept: &str) -> Verdict {
        let (answer, reason) = if !self.counts.is_empty() {
            let counts: Vec<String> =
                self.counts.iter().map(|(name, count)| format!("{count} {name}")).collect();
            (Answer::Bad, counts.join(", "))
        } else if let Some(first) = self.unknown.first() {
            (Answer::Unknown, first.clone())
        } else {
            (Answer::Ok, kept.to_owned())
        };
        let mut verdict = Verdict::new(answer, self.algorithm, reason).looked_at(looked_at);
        verdict.anomalies = self.anomalies;
        verdict.notes = self.notes;
        let untold = usize::from(answer == Answer::Unknown);
        verdict.notes.extend(self.unknown.into_iter().skip(untold).map(|why| format!("not decided: {why}")));
        verdict
    }
}

/// Values for a note: the first few, and how many more.
pub fn some(history: &History, values: &[Value]) -> String {
    let mut text: Vec<String> =
        values.iter().take(TOLD_MAX).map(|value| history.arena.show(*value)).collect();
    if values.len() > TOLD_MAX {
        text.push(format!("and {} more", values.len() - TOLD_MAX));
    }
    text.join(", ")
}
