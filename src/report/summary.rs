//! The first part of a report: what was run, what was done to the cluster, and what each check says of it. Fields and
//! their order are those of the older tools, whose scripts look for them.

use super::names::{heading, logical, seconds, sign, status, thousands, told};
use super::story::Story;
use super::text::{errors, head, line, ordered, title, unheard};
use crate::check::Verdict;
use crate::run::record::{Applied, Status};

/// In brief, what passed is told on fewer lines.
pub(super) fn summary(out: &mut String, story: &Story, brief: bool) {
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
    if let Some(to) = field("to").filter(|_| matches!(action, "reshard" | "drain" | "move_replica")) {
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
