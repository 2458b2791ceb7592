//! The second part of a report: what the summary has no place for. Of a run that passed that is little; of any other
//! the timeline as applied, with every check that did not hold and what it rests on.

use super::names::{FINAL, check_status, heading, logical, newer, seconds, sign, thousands, told};
use super::story::Story;
use super::text::{Claims, Detail, line, ordered, run, title};
use crate::check::{Judgement, Verdict};
use crate::run::record::{Applied, Status};

/// How many notes a passed run shows.
const NOTES_MAX: usize = 5;

/// What the summary has no place for: the timeline as applied and what was out of order.
pub(super) fn details(out: &mut String, story: &Story, claims: Claims<'_>, detail: Detail) {
    if detail == Detail::Full || story.verdict() != Verdict::Pass {
        lists(out, story);
    }
    title(out, "Timeline as Applied:");
    timeline(out, story, detail);

    let shown: Vec<&Judgement> = ordered(story)
        .into_iter()
        .filter(|judgement| detail == Detail::Full || judgement.verdict >= Verdict::Unknown)
        .collect();
    if !shown.is_empty() {
        title(out, "Checks:");
    }
    for judgement in shown {
        check(out, judgement, story.target(), claims);
    }
    for (at_us, event, judgements) in &story.looks {
        title(out, &format!("Look at {} ({event}):", logical(*at_us)));
        for judgement in judgements {
            line(
                out,
                &format!("{} {}: {}", sign(judgement.verdict), heading(&judgement.check), told(judgement)),
            );
        }
    }
    if !story.marks.is_empty() {
        title(out, "Marks:");
        let marks: Vec<String> =
            story.marks.iter().map(|(mark, count)| format!("{mark} {}", thousands(*count))).collect();
        line(out, &format!("- {}", marks.join(", ")));
    }
    let notes = notes(story);
    if !notes.is_empty() {
        title(out, "Notes:");
    }
    for note in notes {
        line(out, &note);
    }
}

/// What a passed run has beside its summary: the looks in the middle of it, and remarks.
pub(super) fn in_between(out: &mut String, story: &Story) {
    for (at_us, event, judgements) in &story.looks {
        let held = judgements.iter().filter(|judgement| judgement.verdict < Verdict::Unknown).count();
        let other = judgements.iter().filter(|judgement| judgement.verdict >= Verdict::Unknown);
        title(
            out,
            &format!("Look at {} ({event}): {held} of {} checks hold", logical(*at_us), judgements.len()),
        );
        for judgement in other {
            line(
                out,
                &format!("{} {}: {}", sign(judgement.verdict), heading(&judgement.check), told(judgement)),
            );
        }
    }
    let notes = notes(story);
    if !notes.is_empty() {
        title(out, "Notes:");
    }
    for note in notes.iter().take(NOTES_MAX) {
        line(out, note);
    }
    if notes.len() > NOTES_MAX {
        line(out, &format!("- {} more: `fuzz explain --verbose {}`", notes.len() - NOTES_MAX, run(story)));
    }
}

/// What kept the run from its plan, and what is to be known of how it was carried out.
fn notes(story: &Story) -> Vec<String> {
    let held = story.stretches.iter().map(|(at_us, by, why)| {
        format!("- {} the logical clock was held back by {by}: {why}", logical(*at_us))
    });
    held.chain(story.notes.iter().map(|(at_us, text)| format!("- {} {text}", logical(*at_us)))).collect()
}

/// The lists that the newer form prints when asked for more.
fn lists(out: &mut String, story: &Story) {
    let faults: Vec<&Applied> = story
        .applied
        .iter()
        .map(|(_, applied)| applied)
        .filter(|applied| story.planned(&applied.event).is_some_and(|planned| planned.kind == "fault"))
        .collect();
    if !faults.is_empty() {
        title(out, "Chaos Events:");
    }
    for applied in faults {
        let word = match applied.status {
            Status::Applied => "PASS",
            Status::Failed(_) => "FAIL",
            Status::Skipped(_) => "SKIP",
        };
        let name = if applied.action == "kill" { "process_kill" } else { &applied.action };
        let nodes: Vec<String> = applied.resolved.iter().map(ToString::to_string).collect();
        let nodes = if nodes.is_empty() { "no node".into() } else { nodes.join(", ") };
        let took = applied.ended.map_or_else(
            || "to the end".into(),
            |ended| format!("{}s", seconds(ended.since(applied.started).millis().0, 2)),
        );
        line(out, &format!("  [{word}] {name} on {nodes} ({took})"));
        if let Status::Failed(why) | Status::Skipped(why) = &applied.status {
            line(out, &format!("    Error: {why}"));
        }
    }

    if !story.judgements.is_empty() {
        title(out, "Final Validation Details:");
        for (_, name, ours) in FINAL {
            let judged: Vec<&Judgement> = ours.iter().filter_map(|check| story.judgement(check)).collect();
            let Some(heaviest) = judged.iter().map(|judgement| judgement.verdict).max() else { continue };
            line(out, &format!("  {name}: {}", check_status(heaviest)));
            for judgement in judged.iter().filter(|judgement| judgement.verdict == Verdict::Fail) {
                line(out, &format!("    → {}", judgement.reason));
            }
        }
        if story.failed().next().is_some() {
            line(out, "");
            line(out, "  Validation Error Messages:");
            for judgement in story.failed() {
                line(out, &format!("    → {}: {}", newer_heading(&judgement.check), judgement.reason));
            }
        }
    }
}

fn newer_heading(check: &str) -> &'static str {
    let key = newer(check);
    FINAL.iter().find(|(name, _, _)| *name == key).map_or("Check", |(_, heading, _)| heading)
}

fn timeline(out: &mut String, story: &Story, detail: Detail) {
    if story.applied.is_empty() {
        line(out, "– nothing was applied");
    }
    for (at_us, applied) in &story.applied {
        let planned = story.planned(&applied.event);
        let fields = planned.map_or("", |planned| planned.fields.as_str());
        let nodes: Vec<String> = applied.resolved.iter().map(ToString::to_string).collect();
        let nodes = if nodes.is_empty() { String::new() } else { format!(" -> {}", nodes.join(", ")) };
        let outcome = match &applied.status {
            Status::Applied => match applied.ended {
                Some(ended) => format!("applied, {}s", seconds(ended.since(applied.started).millis().0, 3)),
                None => "applied, in force to the end".into(),
            },
            Status::Skipped(why) => format!("skipped: {why}"),
            Status::Failed(why) => format!("failed: {why}"),
        };
        line(
            out,
            &format!(
                "{:>10}  {}  {} {{{fields}}}{nodes}: {outcome}",
                logical(*at_us),
                applied.event,
                applied.action
            ),
        );
        if detail == Detail::Lines && applied.status == Status::Applied {
            continue;
        }
        if let Some(planned) = planned {
            let lasts = planned.lasts.as_ref().map_or_else(String::new, |lasts| format!(", for {lasts}"));
            line(out, &format!("            planned {}{lasts}", planned.start));
        }
        if !applied.detail.is_empty() {
            line(out, &format!("            {}", applied.detail));
        }
        for (at, step) in &applied.steps {
            // Steps count from the environment's start, as the event itself does.
            let after = at.0 as i64 - applied.started.0 as i64;
            line(out, &format!("            {}  {step}", logical(at_us + after)));
        }
        if !applied.slots_left_open.is_empty() {
            line(out, &format!("            slots left open: {}", list(&applied.slots_left_open)));
        }
    }
    for planned in story.plan.iter().flat_map(|plan| &plan.events) {
        if !story.applied.iter().any(|(_, applied)| applied.event == planned.id) {
            line(
                out,
                &format!(
                    "         –  {}  {} {{{}}}: never told of",
                    planned.id, planned.action, planned.fields
                ),
            );
        }
    }
}

fn list(slots: &[u16]) -> String {
    slots.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn check(out: &mut String, judgement: &Judgement, target: &str, claims: Claims<'_>) {
    line(out, &format!("{} {}: {}", sign(judgement.verdict), judgement.check, told(judgement)));
    if let Some((claim, source)) = claims(&judgement.check, target) {
        line(out, &format!("    claim: {claim} ({source})"));
    }
    let looked_at = if judgement.looked_at.is_empty() { "nothing" } else { &judgement.looked_at };
    line(out, &format!("    looked at: {looked_at}"));
    for evidence in &judgement.evidence {
        line(out, &format!("    - {evidence}"));
    }
    for (class, count) in &judgement.classes {
        line(out, &format!("    counted: {} {class}", thousands(*count)));
    }
}
