//! The summary of a run and, when something failed, the failure report: the sections and fields that scripts
//! of the older tools look for, in their order, and after them what those tools did not say. Readable without
//! colour. The reproduction command is the last line.

use super::names::{
    FINAL, check_status, heading, logical, newer, rank, seconds, sign, status, thousands, told,
};
use super::story::Story;
use crate::check::{Judgement, Verdict};
use crate::run::event::NodeState;
use crate::run::record::{Applied, Status};
use std::fmt::Write as _;

/// How many lines of a list a failure report shows before it points to the run folder.
const LINES_MAX: usize = 40;

/// How many lines of the nodes' own logs it shows.
const LOG_TAIL: usize = 20;

/// What a check claims and where the system promises it, by the check's name.
pub type Claims<'a> = &'a dyn Fn(&str) -> Option<(&'static str, &'static str)>;

/// How much a report tells of what went well; what went wrong is always told in full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// A line each.
    Lines,
    /// Every step, claim and source.
    Full,
}

/// All there is to say about a run that is over, or was cut short.
pub fn report(story: &Story, claims: Claims<'_>, detail: Detail) -> String {
    let mut out = String::new();
    summary(&mut out, story);
    details(&mut out, story, claims, detail);
    if story.verdict() != Verdict::Pass {
        failure(&mut out, story);
    }
    ending(&mut out, story);
    out
}

fn line(out: &mut String, text: &str) {
    out.push_str(text);
    out.push('\n');
}

fn title(out: &mut String, text: &str) {
    if !out.is_empty() {
        out.push('\n');
    }
    line(out, text);
}

/// The first fields of both reports.
fn head(out: &mut String, story: &Story) {
    if let Some(started) = &story.started {
        let when: String =
            started.started_at.chars().filter(char::is_ascii_digit).take(14).collect::<String>();
        let (day, time) = when.split_at(when.len().min(8));
        line(out, &format!("Scenario ID: test_{day}_{time}_seed_{}", started.seed));
        line(out, &format!("Scenario: {}", started.name.clone().unwrap_or_else(|| started.seed.to_string())));
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

fn summary(out: &mut String, story: &Story) {
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
        line(out, &format!("- Target: {}{server}", started.target));
        line(out, &format!("- Environment: {}", started.environment));
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
    for (_, applied) in &story.applied {
        line(out, &executed(story, applied));
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
        line(
            out,
            &format!(
                "- Outcomes: {} ok, {} refused, {} unknown, {} skipped while their client waited",
                thousands(load.ok),
                thousands(load.fail),
                thousands(load.unknown),
                thousands(load.skipped)
            ),
        );
        line(
            out,
            &format!(
                "- Slowest: 99% within {}ms, all within {}ms",
                tenths(load.latency_p99_us),
                tenths(load.latency_max_us)
            ),
        );
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

/// One operation or fault of the older form.
fn executed(story: &Story, applied: &Applied) -> String {
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
    format!("{sign} {}{place}{ending}", heading(&applied.action))
}

/// `shard 3, SIGTERM` from the fields of an event as they are written.
fn place(action: &str, fields: &str) -> String {
    let field = |name: &str| {
        fields.split(", ").find_map(|field| field.strip_prefix(name)?.strip_prefix(": ")).map(str::to_string)
    };
    let mut parts = Vec::new();
    if let Some(shard) = field("shard") {
        parts.push(format!("shard {shard}"));
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
    if !story.stretches.is_empty() || !story.notes.is_empty() {
        title(out, "Notes:");
        for (at_us, by, why) in &story.stretches {
            line(out, &format!("- {} the logical clock was held back by {by}: {why}", logical(*at_us)));
        }
        for (at_us, text) in &story.notes {
            line(out, &format!("- {} {text}", logical(*at_us)));
        }
    }
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

fn failure(out: &mut String, story: &Story) {
    // What could not be decided is no failure, and scripts that look for failures do not find it.
    let failed = story.verdict() == Verdict::Fail;
    title(out, if failed { "=== Test Failure Report ===" } else { "=== Undecided Test Report ===" });
    head(out, story);

    title(out, "Failure Details:");
    for judgement in ordered(story).into_iter().filter(|judgement| judgement.verdict == Verdict::Fail) {
        line(out, &format!("✗ {}: {}", heading(&judgement.check), judgement.reason));
        for evidence in &judgement.evidence {
            line(out, &format!("    {evidence}"));
        }
    }
    for judgement in ordered(story).into_iter().filter(|judgement| judgement.verdict == Verdict::Unknown) {
        line(out, &format!("? {}: {}", heading(&judgement.check), judgement.reason));
    }
    if story.failed().next().is_none() {
        for error in errors(story) {
            line(out, &format!("? Run: {error}"));
        }
    }

    title(out, "Cluster State at Failure:");
    match &story.cluster {
        None => line(out, "? the run did not get as far as to look"),
        Some(cluster) => {
            for node in cluster.nodes.iter().filter(|node| node.state != "CONNECTED") {
                line(out, &state(node));
            }
            let well: Vec<String> = cluster
                .nodes
                .iter()
                .filter(|node| node.state == "CONNECTED")
                .map(|node| format!("{} ({})", node.node, role(node)))
                .collect();
            if !well.is_empty() {
                line(out, &format!("- As they should be: {}", well.join(", ")));
            }
            for moving in cluster.slots_moving.iter().take(LINES_MAX) {
                line(out, &format!("- Moving {moving}"));
            }
            if !cluster.slots_unowned.is_empty() {
                let ranges: Vec<String> = cluster.slots_unowned.iter().map(range).collect();
                line(out, &format!("- Slots without an owner: {}", ranges.join(", ")));
            }
            line(
                out,
                &match cluster.settled_at_us {
                    Some(at_us) => format!("- Settled at {}", logical(at_us)),
                    None => "- Never settled within its bound".into(),
                },
            );
        }
    }

    title(out, "Error Log:");
    let log = error_log(story);
    if log.is_empty() {
        line(out, "(empty)");
    }
    for entry in log.iter().take(LINES_MAX) {
        line(out, entry);
    }
    if log.len() > LINES_MAX {
        line(out, &format!("({} more in {}/events.jsonl)", log.len() - LINES_MAX, run(story)));
    }
    if !story.log.is_empty() {
        title(out, "Node Logs (the last lines that mean something):");
        for (_, log) in story.log.iter().skip(story.log.len().saturating_sub(LOG_TAIL)) {
            line(out, &format!("{}: {}", log.node, log.line));
        }
        let more = story.log.len().saturating_sub(LOG_TAIL) as u64 + story.log_left_out;
        if more > 0 {
            line(out, &format!("({} before them in {}/events.jsonl)", thousands(more), run(story)));
        }
    }
}

fn role(node: &NodeState) -> String {
    match node.shard {
        Some(shard) => format!("{}, shard {shard}", node.role),
        None => node.role.clone(),
    }
}

fn state(node: &NodeState) -> String {
    let why = if node.why.is_empty() { String::new() } else { format!(" - {}", node.why) };
    format!("- Node {} ({}): {}{why}", node.node, role(node), node.state)
}

fn range((first, last): &(u16, u16)) -> String {
    if first == last { first.to_string() } else { format!("{first}-{last}") }
}

fn run(story: &Story) -> String {
    story.started.as_ref().map_or_else(|| "the run folder".into(), |started| started.run.clone())
}

/// What went wrong on the way, in time order, with the time of day: the start plus the run's own clock.
fn error_log(story: &Story) -> Vec<String> {
    let mut entries: Vec<(i64, String)> = Vec::new();
    for (at_us, applied) in &story.applied {
        match &applied.status {
            Status::Failed(why) => {
                entries.push((*at_us, format!("ERROR: {} {}: {why}", applied.event, applied.action)));
            }
            Status::Skipped(why) => {
                entries
                    .push((*at_us, format!("WARNING: {} {} skipped: {why}", applied.event, applied.action)));
            }
            Status::Applied => {}
        }
    }
    for (at_us, life) in &story.lives {
        if let Some((_, exit)) = &life.ended
            && life.signalled.is_empty()
        {
            entries.push((*at_us, format!("ERROR: {} ended by itself: {exit}", life.node)));
        }
    }
    for (at_us, _, judgements) in &story.looks {
        for judgement in judgements.iter().filter(|judgement| judgement.verdict == Verdict::Fail) {
            entries.push((*at_us, format!("ERROR: {}: {}", judgement.check, judgement.reason)));
        }
    }
    for judgement in story.failed() {
        entries.push((story.last_at_us, format!("ERROR: {}: {}", judgement.check, judgement.reason)));
    }
    if let Some(error) = story.finished.as_ref().and_then(|finished| finished.error.clone()) {
        entries.push((story.last_at_us, format!("ERROR: {error}")));
    }
    entries.sort_by_key(|(at_us, _)| *at_us);
    let zero = clock_zero(story);
    entries.into_iter().map(|(at_us, text)| format!("[{}] {text}", time_of_day(zero, at_us))).collect()
}

/// Seconds of the day at which logical time was 0.
fn clock_zero(story: &Story) -> i64 {
    let Some(started) = &story.started else { return 0 };
    let time = started.started_at.split('T').nth(1).unwrap_or("");
    let part = |from: usize| time.get(from..from + 2).and_then(|text| text.parse::<i64>().ok()).unwrap_or(0);
    part(0) * 3600 + part(3) * 60 + part(6) + story.boot_us / 1_000_000
}

fn time_of_day(zero: i64, at_us: i64) -> String {
    let second = (zero + at_us.div_euclid(1_000_000)).rem_euclid(86_400);
    format!("{:02}:{:02}:{:02}", second / 3600, second / 60 % 60, second % 60)
}

/// Hashes, the run folder, and the command that does it again, which is the last line.
fn ending(out: &mut String, story: &Story) {
    let Some(finished) = &story.finished else {
        title(out, "Reproduction Command:");
        line(out, "? the run did not get as far as to say it; `fuzz run` of timeline.yaml in the run folder");
        return;
    };
    title(out, "Reproducibility:");
    line(out, &format!("- Timeline: {}", finished.timeline_hash));
    line(out, &format!("- Schedule: {}", or_unknown(&finished.schedule_hash)));
    line(out, &format!("- History: {}", or_unknown(&finished.history_hash)));
    line(out, &format!("- Logical time: {}s", seconds(finished.virtual_ms, 3)));
    line(out, &format!("- Run: {}", finished.run));
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
