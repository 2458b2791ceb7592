//! The summary of a run and, when something failed, the failure report: the sections and fields that scripts
//! of the older tools look for, in their order, and after them what those tools did not say. Readable without
//! colour. The reproduction command is the last line.

use super::names::{
    FINAL, check_status, heading, logical, newer, rank, seconds, sign, status, thousands, told,
};
use super::story::Story;
use super::visible::on_one_line;
use crate::check::{Judgement, Verdict};
use crate::run::record::{Applied, Status};
use std::fmt::Write as _;

/// How much of a hash a passed run shows.
const SHORT: usize = 16;

/// How many notes a passed run shows.
const NOTES_MAX: usize = 5;

/// What a check claims and where the system promises it, by the check's name.
pub type Claims<'a> = &'a dyn Fn(&str) -> Option<(&'static str, &'static str)>;

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
        super::failure::failure(&mut out, story);
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

fn summary(out: &mut String, story: &Story, brief: bool) {
    title(out, "=== seedfault Test Results ===");
    head(out, story);
    counts(out, story);

    if let Some(started) = &story.started {
        let server = if started.server.is_empty() { String::new() } else { format!(", {}", started.server) };
        title(out, "Cluster Configuration:");
        line(out, &format!("- Shards: {}", started.shards));
        line(out, &format!("- Replicas: {} per shard", started.replicas));
        line(
            out,
            &format!("- Total Nodes: {}", u32::from(started.shards) * (1 + u32::from(started.replicas))),
        );
        if brief {
            line(
                out,
                &format!("- Target: {}{server}, in environment {}", started.target, started.environment),
            );
        } else {
            line(out, &format!("- Target: {}{server}", started.target));
            line(out, &format!("- Environment: {}", started.environment));
        }
        if let Some(plan) = &story.plan {
            line(out, &format!("- Load: {}", plan.load));
            if !plan.bugs.is_empty() {
                line(out, &format!("- Bugs switched on: {}", plan.bugs.join(", ")));
            }
        }
    }

    title(out, "Operations Executed:");
    if story.applied.is_empty() {
        line(out, "– none");
    }
    if brief {
        executed_in_brief(out, story);
    } else {
        for (_, applied) in &story.applied {
            let (what, ending) = executed(story, applied);
            line(out, &format!("{what}{ending}"));
        }
    }

    title(out, "Validation Results:");
    for judgement in ordered(story) {
        let looked_at = match judgement.looked_at.as_str() {
            "" => String::new(),
            looked_at => format!("; looked at {looked_at}"),
        };
        line(
            out,
            &format!(
                "{} {}: {}{looked_at}",
                sign(judgement.verdict),
                heading(&judgement.check),
                told(judgement)
            ),
        );
    }
    for check in unheard(story) {
        line(out, &format!("? {}: unknown: the run ended before it was judged", heading(check)));
    }
    if story.judgements.is_empty() && story.plan.as_ref().is_none_or(|plan| plan.checks.is_empty()) {
        line(out, "? no check was on");
    }

    if let Some(load) = story.workload.filter(|load| load.operations > 0) {
        title(out, "Workload Metrics:");
        line(out, &format!("- Operations: {} total", thousands(load.operations)));
        line(out, &format!("- Success Rate: {}%", per_mille(load.ok, load.operations)));
        line(out, &format!("- Average Latency: {}ms", tenths(load.latency_mean_us)));
        let rate = (load.operations * 1000).checked_div(load.span_ms).map_or_else(|| "?".into(), thousands);
        line(out, &format!("- Throughput: {rate} ops/sec"));
        let outcomes = format!(
            "- Outcomes: {} ok, {} refused, {} unknown, {} skipped while their client waited",
            thousands(load.ok),
            thousands(load.fail),
            thousands(load.unknown),
            thousands(load.skipped)
        );
        let (most, all) = (tenths(load.latency_p99_us), tenths(load.latency_max_us));
        if brief {
            line(out, &format!("{outcomes}; 99% within {most}ms, all within {all}ms"));
        } else {
            line(out, &outcomes);
            line(out, &format!("- Slowest: 99% within {most}ms, all within {all}ms"));
        }
    }
}

/// The newer form's counts.
fn counts(out: &mut String, story: &Story) {
    let kind = |applied: &Applied| story.planned(&applied.event).map_or("", |planned| planned.kind.as_str());
    let operations = story
        .applied
        .iter()
        .filter(|(_, applied)| kind(applied) == "operation" && applied.status == Status::Applied)
        .count();
    let faults = story
        .applied
        .iter()
        .filter(|(_, applied)| kind(applied) == "fault" && !matches!(applied.status, Status::Skipped(_)))
        .map(|(_, applied)| applied.resolved.len().max(1))
        .sum::<usize>();
    line(out, &format!("Operations: {operations}"));
    line(out, &format!("Chaos Events: {faults}"));
    let heaviest = story.judgements.iter().map(|judgement| judgement.verdict).max();
    let validation = heaviest.map_or("UNKNOWN", status);
    line(out, &format!("Final Validation: {validation}"));
    let failed: Vec<&str> = story.failed().map(|judgement| judgement.check.as_str()).collect();
    if !failed.is_empty() {
        line(out, &format!("Failed Checks: {}", failed.join(", ")));
        line(out, &format!("Validation Errors: {}", failed.len()));
    }
    let errors = errors(story);
    // An operation that was refused or cut off is no reason against a run that passed: its own line says it.
    let ended_early = story.finished.as_ref().is_some_and(|finished| finished.error.is_some());
    if !errors.is_empty() && (story.verdict() != Verdict::Pass || ended_early) {
        line(out, &format!("Error: {}", errors.join("; ")));
    }
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

/// The operations and faults of the older form, each with its moment and its nodes, so that the timeline needs no
/// list of its own. What is the same thing again stands on one line with what came before.
fn executed_in_brief(out: &mut String, story: &Story) {
    let mut lines: Vec<(String, Vec<String>)> = Vec::new();
    for (at_us, applied) in &story.applied {
        let (what, ending) = executed(story, applied);
        let nodes: Vec<String> = applied.resolved.iter().map(ToString::to_string).collect();
        let on = if nodes.is_empty() { String::new() } else { format!(" on {}", nodes.join(", ")) };
        let fault = story.planned(&applied.event).is_some_and(|planned| planned.kind == "fault");
        let took = match applied.ended {
            Some(ended) if fault => {
                format!(" for {}s", seconds(ended.since(applied.started).millis().0, 1))
            }
            None if fault && applied.status == Status::Applied => " to the end".into(),
            _ => String::new(),
        };
        let moment = format!("{ending}; {} at {}{on}{took}", applied.event, logical(*at_us));
        match lines.last_mut() {
            Some((last, moments)) if *last == what => moments.push(moment),
            _ => lines.push((what, vec![moment])),
        }
    }
    for (what, moments) in lines {
        // An ending that all of them have is said once: `✓ Pause (node-3) x2 - coordinated; e1 at ...; e2 at ...`.
        let times = if moments.len() > 1 { format!(" x{}", moments.len()) } else { String::new() };
        let first = moments[0].split(';').next().unwrap_or_default().to_string();
        let same = moments.iter().all(|moment| moment.starts_with(&format!("{first};")));
        let rest: Vec<&str> = moments
            .iter()
            .enumerate()
            .map(|(place, moment)| if same && place > 0 { &moment[first.len()..] } else { moment.as_str() })
            .collect();
        line(out, &format!("{what}{times}{}", rest.concat()));
    }
}

/// One operation or fault of the older form: what it was, and how it ended.
fn executed(story: &Story, applied: &Applied) -> (String, String) {
    let sign = match applied.status {
        Status::Applied => "✓",
        Status::Failed(_) => "✗",
        Status::Skipped(_) => "–",
    };
    let planned = story.planned(&applied.event);
    let place = planned.map_or_else(String::new, |planned| place(&planned.action, &planned.fields));
    let place = if place.is_empty() { String::new() } else { format!(" ({place})") };
    let fault = planned.is_some_and(|planned| planned.kind == "fault");
    let ending = match &applied.status {
        Status::Skipped(why) => format!(" - skipped: {why}"),
        Status::Failed(why) => format!(" - failed: {why}"),
        Status::Applied if fault => " - coordinated".into(),
        Status::Applied => match applied.ended {
            Some(ended) => format!(" - {}s", seconds(ended.since(applied.started).millis().0, 1)),
            None => " - not over at the end of the run".into(),
        },
    };
    (format!("{sign} {}{place}", heading(&applied.action)), ending)
}

/// `shard 3, SIGTERM` from the fields of an event as they are written.
fn place(action: &str, fields: &str) -> String {
    let field = |name: &str| {
        fields.split(", ").find_map(|field| field.strip_prefix(name)?.strip_prefix(": ")).map(str::to_string)
    };
    let mut parts = Vec::new();
    if let Some(shard) = field("shard").or_else(|| field("from")) {
        parts.push(format!("shard {shard}"));
    }
    if let Some(to) = field("to").filter(|_| matches!(action, "reshard" | "drain")) {
        parts.push(format!("to shard {to}"));
    }
    if let Some(node) = field("node") {
        parts.push(match node.strip_prefix("shard-").and_then(|rest| rest.split_once('-')) {
            Some((shard, role)) if action == "kill" && role == "primary" => format!("shard {shard}"),
            Some((shard, role)) => format!("shard {shard}, {role}"),
            None => node,
        });
    }
    match action {
        "failover" => parts.push("primary".into()),
        "kill" => parts.push(format!("SIG{}", field("signal").unwrap_or_else(|| "KILL".into()))),
        _ => {}
    }
    parts.join(", ")
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

/// What the summary has no place for: the timeline as applied and what was out of order.
fn details(out: &mut String, story: &Story, claims: Claims<'_>, detail: Detail) {
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
        check(out, judgement, claims);
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
fn in_between(out: &mut String, story: &Story) {
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

fn check(out: &mut String, judgement: &Judgement, claims: Claims<'_>) {
    line(out, &format!("{} {}: {}", sign(judgement.verdict), judgement.check, told(judgement)));
    if let Some((claim, source)) = claims(&judgement.check) {
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

/// A share in per cent with one decimal. Rounded down: 99.96 is not 100.
fn per_mille(part: u64, whole: u64) -> String {
    let mille = part.saturating_mul(1000).checked_div(whole).unwrap_or(0);
    format!("{}.{}", mille / 10, mille % 10)
}

/// Microseconds as milliseconds with one decimal.
fn tenths(us: u64) -> String {
    let tenths = (us + 50) / 100;
    format!("{}.{}", tenths / 10, tenths % 10)
}

/// Writes a line as [`String`] cannot fail to.
pub(super) fn push(out: &mut String, arguments: std::fmt::Arguments<'_>) {
    out.write_fmt(arguments).expect("a string takes everything");
}
