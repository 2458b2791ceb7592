//! The failure report: what failed with its evidence, the state of every node that is not as it should be, and the
//! log lines that tell of it. It follows the summary of a run that has not passed.

use super::names::{heading, logical, thousands};
use super::story::Story;
use super::text::{errors, head, line, ordered, run, title};
use crate::check::Verdict;
use crate::run::event::NodeState;
use crate::run::record::Status;

/// How many lines of a list it shows before it points to the run folder.
const LINES_MAX: usize = 40;

/// How many lines of the nodes' own logs it shows.
const LOG_TAIL: usize = 20;

pub fn failure(out: &mut String, story: &Story) {
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
