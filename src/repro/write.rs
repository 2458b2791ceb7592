//! A repro as text.

use super::{Cut, FORMAT, Rate, Repro, often};
use crate::env::in_real_time;
use crate::yaml::fields::{Field, quote};
use std::fmt::Write as _;

/// How many findings the file tells, and how much of each, in letters: the whole must stay below what is read of
/// a file, and the run folder has them in full.
const FINDINGS_MAX: usize = 100;
const FINDING_MAX: usize = 2000;

impl Repro {
    /// What broke and how to bring it back for people, then the timeline and the facts for `fuzz replay`.
    pub fn to_yaml(&self) -> String {
        let (timeline, facts) = (&self.timeline, &self.facts);
        let findings: Vec<String> =
            facts.findings.iter().take(FINDINGS_MAX).map(|finding| printable(&clipped(finding))).collect();
        let mut out = String::new();
        let mut comment = |text: &str| {
            for line in text.lines() {
                writeln!(out, "# {}", printable(line)).expect("a string takes all");
            }
        };
        comment(&format!("{}: {}", facts.verdict, facts.checks.join(", ")));
        findings.iter().for_each(|finding| comment(&format!("  {finding}")));
        comment(&format!(
            "Seed {} on {} in {}{}.",
            timeline.seed,
            timeline.target,
            timeline.environment,
            if facts.server.is_empty() { String::new() } else { format!(", {}", facts.server) }
        ));
        comment(&format!(
            "Made by seedfault {}, generator {}, catalogue {}, profile {}.",
            facts.tool, timeline.generator, timeline.catalogue, timeline.profile
        ));
        let exact = !in_real_time(&timeline.environment);
        facts.shrunk.iter().flat_map(|cut| told(cut, exact)).for_each(|line| comment(&line));
        comment("`fuzz replay` of this file runs it again and compares; `fuzz run` of it just runs it.");
        out.push_str(&timeline.to_yaml());
        out.push_str("repro:\n");
        let mut line =
            |key: &str, value: String| writeln!(out, "  {key}: {value}").expect("a string takes all");
        line("format", FORMAT.to_string());
        line("verdict", facts.verdict.write());
        line("checks", facts.checks.write());
        line("findings", findings.write());
        line("timeline_hash", quoted(&facts.timeline_hash));
        line("schedule_hash", quoted(&facts.schedule_hash));
        line("history_hash", quoted(&facts.history_hash));
        if let Some(hash) = &facts.trace_hash {
            line("trace_hash", quoted(hash));
        }
        if let Some(image) = &facts.image {
            let [server, libc, kernel] = [&image.server, &image.libc, &image.kernel].map(|text| quoted(text));
            line("image", format!("{{server: {server}, libc: {libc}, kernel: {kernel}}}"));
        }
        line("tool", quote(&facts.tool));
        line("server", quote(&facts.server));
        if let Some(pins) = &facts.drawn {
            let pin = |name: &str, value: Option<u16>| value.map(|value| format!("{name}: {value}"));
            let fields: Vec<String> =
                [pin("shards", pins.shards), pin("replicas", pins.replicas)].into_iter().flatten().collect();
            line("drawn", format!("{{{}}}", fields.join(", ")));
        }
        if let Some(cut) = &facts.shrunk {
            line("shrunk", fields(cut));
        }
        if facts.schedule.is_empty() {
            line("schedule", "[]".into());
        } else {
            out.push_str("  schedule:\n");
            for entry in &facts.schedule {
                writeln!(out, "    - {}", quoted(entry)).expect("a string takes all");
            }
        }
        out
    }
}

/// What is known of a shrunk timeline, in words. Where execution is exact an interval says nothing.
fn told(cut: &Cut, exact: bool) -> Vec<String> {
    let minimal = if cut.minimal { "; without any of these events it passes" } else { "" };
    let mut lines = vec![format!(
        "Shrunk from {} events on {} nodes in {} runs{minimal}.",
        cut.events, cut.nodes, cut.runs
    )];
    for (when, rate) in [("Before, it failed", cut.before), ("It fails", cut.again)] {
        if let Some(Rate { failed, runs }) = rate {
            lines.push(format!("{when} in {}.", often(failed, runs, exact)));
        }
    }
    lines
}

fn fields(cut: &Cut) -> String {
    let rate = |name: &str, rate: Option<Rate>| {
        rate.map_or_else(String::new, |rate| {
            format!(", {name}: {{failed: {}, runs: {}}}", rate.failed, rate.runs)
        })
    };
    format!(
        "{{from: {}, events: {}, nodes: {}, runs: {}, minimal: {}{}{}{}}}",
        quoted(&cut.from),
        cut.events,
        cut.nodes,
        cut.runs,
        cut.minimal,
        rate("before", cut.before),
        rate("again", cut.again),
        cut.token.as_ref().map_or_else(String::new, |token| format!(", token: {}", quoted(token))),
    )
}

/// Always in quotes: a hash of digits alone would read as a number.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn clipped(text: &str) -> String {
    match text.char_indices().nth(FINDING_MAX) {
        Some((end, _)) => format!("{} ...", &text[..end]),
        None => text.into(),
    }
}

/// Without control characters, which a comment cannot hold.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
