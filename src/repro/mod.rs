//! One file that brings a finding back: the materialised timeline in the native form, so that `fuzz run` reads
//! it too, and under the key `repro` what came of it. Pure; `fuzz replay` does the running.
//!
//! A repro may come from a stranger's bug report. It names no command, path or address, and the reader sees to
//! that: what a file may make a server do is what a timeline may.

mod compare;
mod read;
mod wilson;
mod write;

pub use compare::{Agreement, compare};
pub use read::{ReadError, read};
pub use wilson::{often, wilson};

use crate::check::Verdict;
use crate::env::Image;
use crate::timeline::Timeline;

/// The version of the `repro` mapping.
pub const FORMAT: u64 = 1;

/// A finding with what brings it back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repro {
    pub timeline: Timeline,
    pub facts: Facts,
}

/// What came of the timeline when it was run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    pub verdict: Verdict,
    /// The checks that failed, in the order in which they spoke.
    pub checks: Vec<String>,
    /// What they said, a line each; a comment in the file.
    pub findings: Vec<String>,
    pub timeline_hash: String,
    pub schedule_hash: String,
    pub history_hash: String,
    /// Over all that the environment decided, and what that rests on, where execution is exact.
    pub trace_hash: Option<String>,
    pub image: Option<Image>,
    /// The schedule in words, so that the first divergence can be named.
    pub schedule: Vec<String>,
    /// The version of this tool.
    pub tool: String,
    /// What the server said of its version; empty for the embedded target.
    pub server: String,
    /// The shape that flags pinned, when the timeline was drawn from the built-in scenario: seed and pins give
    /// it again as long as the generator means the same by them. `None` for a timeline from a file.
    pub drawn: Option<Pins>,
    /// What it was shrunk from, if it was.
    pub shrunk: Option<Cut>,
}

/// What a shrunk timeline came from, and what is known of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The hash of the timeline before, and how much of it there was.
    pub from: String,
    pub events: u64,
    pub nodes: u16,
    /// How many runs it took.
    pub runs: u64,
    /// No event can be left out.
    pub minimal: bool,
    /// How often the first one failed, where that was measured.
    pub before: Option<Rate>,
    /// How often this one fails.
    pub again: Option<Rate>,
    /// The seed with events left out that fails too, as a word.
    pub token: Option<String>,
}

/// In how many of so many runs it failed in the same way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    pub failed: u32,
    pub runs: u32,
}

/// The flags that say what the built-in scenario leaves to the seed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pins {
    pub shards: Option<u16>,
    pub replicas: Option<u16>,
}

impl Repro {
    /// The name of the file: `slot_coverage-valkey-1009.yaml`.
    pub fn file_name(&self) -> String {
        let check = self.facts.checks.first().map_or(self.facts.verdict.as_str(), String::as_str);
        let plain = |text: &str| -> String {
            text.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' }).collect()
        };
        format!("{}-{}-{}.yaml", plain(check), plain(&self.timeline.target), self.timeline.seed)
    }
}

#[cfg(test)]
mod tests;
