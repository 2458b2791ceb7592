//! The whole report: the summary of a run (`summary`), its details (`details`), when something failed the failure
//! report (`failure`), and what the run can be found and done again by. Sections and fields that scripts of the
//! older tools look for stand in their order, and after them what those tools did not say. Readable without colour.
//! The reproduction command is the last line.
//!
//! What several parts say stands here too: the first fields, the reasons, the order of the checks.

use super::details::{details, in_between};
use super::failure::failure;
use super::names::{rank, seconds, status};
use super::story::Story;
use super::summary::summary;
use super::visible::on_one_line;
use crate::check::{Judgement, Verdict};
use crate::run::record::Status;
use std::fmt::Write as _;

/// How much of a hash a passed run shows.
const SHORT: usize = 16;

/// What a check claims of a target and where that is promised, by their names.
pub type Claims<'a> = &'a dyn Fn(&str, &str) -> Option<(&'static str, &'static str)>;

/// How much a report tells of what went well; what went wrong is always told in full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// What must be known of a run that passed, on a screen or two; a line each of any other.
    Lines,
    /// Every step, claim and source.
    Full,
}

/// All there is to say about a run that is over, or was cut short.
pub fn report(story: &Story, claims: Claims<'_>, detail: Detail) -> String {
    let mut out = String::new();
    let brief = detail == Detail::Lines && story.verdict() == Verdict::Pass;
    summary(&mut out, story, brief);
    if brief {
        in_between(&mut out, story);
    } else {
        details(&mut out, story, claims, detail);
    }
    if story.verdict() != Verdict::Pass {
        failure(&mut out, story);
    }
    ending(&mut out, story, brief);
    out
}

pub(super) fn line(out: &mut String, text: &str) {
    out.push_str(text);
    out.push('\n');
}

pub(super) fn title(out: &mut String, text: &str) {
    if !out.is_empty() {
        out.push('\n');
    }
    line(out, text);
}

/// The first fields of both reports.
pub(super) fn head(out: &mut String, story: &Story) {
    if let Some(started) = &story.started {
        let when: String =
            started.started_at.chars().filter(char::is_ascii_digit).take(14).collect::<String>();
        let (day, time) = when.split_at(when.len().min(8));
        line(out, &format!("Scenario ID: test_{day}_{time}_seed_{}", started.seed));
        let name = started.name.clone().unwrap_or_else(|| started.seed.to_string());
        line(out, &format!("Scenario: {}", on_one_line(&name)));
        line(out, &format!("Seed: {}", started.seed));
    }
    if let (None, Some(finished)) = (&story.started, &story.finished) {
        // The run died before it said a word of its own.
        line(out, &format!("Seed: {}", finished.seed));
    }
    match &story.finished {
        Some(finished) => line(out, &format!("Duration: {}s", seconds(finished.wall_ms, 1))),
        None => line(out, "Duration: ? (the run did not get to its end)"),
    }
    line(out, &format!("Status: {}", status(story.verdict())));
}

/// The reasons for which a run is not passed, in the newer form's order.
pub fn errors(story: &Story) -> Vec<String> {
    let mut errors = Vec::new();
    for (kind, word) in [("operation", "operation(s) failed"), ("fault", "chaos injection(s) failed")] {
        let failed = story
            .applied
            .iter()
            .filter(|(_, applied)| matches!(applied.status, Status::Failed(_)))
            .filter(|(_, applied)| story.planned(&applied.event).is_some_and(|planned| planned.kind == kind))
            .count();
        if failed > 0 {
            errors.push(format!("{failed} {word}"));
        }
    }
    let waves = story
        .looks
        .iter()
        .filter(|(_, _, judgements)| judgements.iter().any(|judgement| judgement.verdict == Verdict::Fail))
        .count();
    if waves > 0 {
        errors.push(format!("{waves} check(s) in the middle of the run failed"));
    }
    let failed: Vec<&str> = story.failed().map(|judgement| judgement.check.as_str()).collect();
    if !failed.is_empty() {
        errors.push(format!("final validation failed ({})", failed.join(", ")));
    }
    match &story.finished {
        Some(finished) => errors.extend(finished.error.clone()),
        None => errors.push("the run did not get to its end".into()),
    }
    errors
}

/// The judgements in the order of the summary.
pub fn ordered(story: &Story) -> Vec<&Judgement> {
    let mut judgements: Vec<&Judgement> = story.judgements.iter().collect();
    judgements.sort_by_key(|judgement| rank(&judgement.check));
    judgements
}

/// The checks that were on and did not speak.
pub fn unheard(story: &Story) -> Vec<&str> {
    let Some(plan) = &story.plan else { return Vec::new() };
    plan.checks.iter().map(String::as_str).filter(|check| story.judgement(check).is_none()).collect()
}

/// The run folder, as it is called.
pub(super) fn run(story: &Story) -> String {
    story.started.as_ref().map_or_else(|| "the run folder".into(), |started| started.run.clone())
}

/// Hashes, the run folder, and the command that does it again, which is the last line.
fn ending(out: &mut String, story: &Story, brief: bool) {
    let Some(finished) = &story.finished else {
        title(out, "Reproduction Command:");
        match &story.again {
            Some(command) => line(out, command),
            None => {
                line(out, "? the run did not get as far as to say it, and its timeline.yaml is not there");
            }
        }
        return;
    };
    title(out, "Reproducibility:");
    let hashes = [
        ("Timeline", &finished.timeline_hash),
        ("Schedule", &finished.schedule_hash),
        ("History", &finished.history_hash),
    ];
    if brief {
        // What tells two runs apart at a glance; the folder has all of it.
        let short = |hash: &str| or_unknown(hash.get(..SHORT).unwrap_or(hash)).to_string();
        let hashes: Vec<String> =
            hashes.iter().map(|(name, hash)| format!("{name}: {}", short(hash))).collect();
        line(out, &format!("- {}", hashes.join(", ")));
        line(out, &format!("- Run: {}, which `fuzz explain --verbose` retells in full", finished.run));
    } else {
        for (name, hash) in hashes {
            line(out, &format!("- {name}: {}", or_unknown(hash)));
        }
        line(out, &format!("- Logical time: {}s", seconds(finished.virtual_ms, 3)));
        line(out, &format!("- Run: {}", finished.run));
    }
    if let Some(repro) = &finished.repro {
        line(out, &format!("- Repro: {repro}"));
    }
    title(out, "Reproduction Command:");
    line(out, &finished.reproduce);
}

fn or_unknown(text: &str) -> &str {
    if text.is_empty() { "?" } else { text }
}

/// Writes a line as [`String`] cannot fail to.
pub(super) fn push(out: &mut String, arguments: std::fmt::Arguments<'_>) {
    out.write_fmt(arguments).expect("a string takes everything");
}
