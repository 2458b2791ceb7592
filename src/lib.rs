//! seedfault: a deterministic, seed-driven fuzzer for clustered systems. This page is the map of the code.
//!
//! ```text
//!  u64      text                                    cluster                            violation
//!  Seed ──> Spec ──────> Timeline ──────> Run ──────> Record ──────> Verdict ──────> Repro ──────> Report
//!       spec::parse  timeline::generate  run::execute       check::*                     report::*
//! ```
//!
//! `shrink` goes round the line: it asks of ever smaller timelines whether they still fail. `campaign` does too: from what
//! runs reached it chooses the next timeline.
//!
//! `report` tells a run in text, of its events alone; `page` draws it, and a campaign, and a run in progress, for a browser.
//!
//! Data flows one way: each stage's output type lives in the stage's module, and a stage imports from its left.

pub mod campaign;
pub mod canary;
pub mod catalogue;
pub mod check;
#[cfg(feature = "cli")]
pub mod cli;
pub mod entropy;
pub mod env;
pub mod fault;
pub mod history;
pub mod page;
pub mod report;
pub mod repro;
pub mod run;
pub mod shrink;
pub mod spec;
pub mod target;
pub mod time;
pub mod timeline;
pub mod yaml;
