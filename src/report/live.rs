//! What is seen while a run goes on: one refreshed line on a terminal, a plain log elsewhere.

use super::names::{heading, logical, sign, thousands};
use super::story::{Progress, Story};
use crate::run::event::{Phase, RunEvent};
use crate::run::record::Status;

/// The progress line: phase, logical time, events applied, operations a second, nodes up.
#[derive(Debug, Default)]
pub struct Live {
    last: Option<(i64, Progress)>,
    rate: u64,
}

impl Live {
    /// The line as it should stand now; empty before anything is known.
    pub fn progress(&mut self, story: &Story, width: usize) -> String {
        let Some(phase) = story.phase else { return String::new() };
        let mut text = format!("{phase:<6} {}", logical(story.last_at_us));
        if let Some(now) = story.progress {
            self.measure(story.last_at_us, now);
            text += &format!(
                " | {} of {} events | {} ops/s | {} of {} nodes up",
                now.events_applied,
                now.events,
                thousands(self.rate),
                now.nodes_up,
                now.nodes
            );
        }
        text.chars().take(width.saturating_sub(1)).collect()
    }

    fn measure(&mut self, at_us: i64, now: Progress) {
        match self.last {
            Some((_, last)) if last == now => {}
            Some((then, last)) if at_us > then => {
                let span = (at_us - then) as u64;
                self.rate = now.operations.saturating_sub(last.operations) * 1_000_000 / span;
                self.last = Some((at_us, now));
            }
            Some(_) => {}
            None => self.last = Some((at_us, now)),
        }
    }
}

/// What is as planned in this time stands on one line of a log in brief.
const TOGETHER_US: i64 = 1_000_000;

/// The plain log. In brief, what goes as planned is told a second at a time.
#[derive(Debug, Default)]
pub struct Log {
    /// A line for everything.
    all: bool,
    /// What is to stand on the next line, and since when it has been waiting.
    held: Vec<String>,
    since_us: i64,
}

impl Log {
    pub fn new(all: bool) -> Self {
        Self { all, ..Self::default() }
    }

    /// The lines that an event adds; most add none.
    pub fn lines(&mut self, event: &RunEvent, story: &Story) -> Vec<String> {
        let now = story.last_at_us;
        let mut lines = Vec::new();
        let due = now - self.since_us >= TOGETHER_US || matches!(event, RunEvent::Finished(_));
        if due {
            lines.extend(self.release());
        }
        let text = text(event, story).filter(|_| self.all || worth_a_line(event));
        let Some(text) = text else { return lines };
        if !self.all && as_planned(event) {
            if self.held.is_empty() {
                self.since_us = now;
            }
            self.held.push(text);
            return lines;
        }
        lines.extend(self.release());
        let stamp = if matches!(event, RunEvent::Started { .. }) {
            String::new()
        } else {
            format!("[{}] ", logical(now))
        };
        lines.push(format!("{stamp}{text}"));
        lines
    }

    /// The line that waits for more, for a recording that ends without a last word.
    pub fn release(&mut self) -> Option<String> {
        let held = std::mem::take(&mut self.held);
        (!held.is_empty()).then(|| format!("[{}] {}", logical(self.since_us), held.join("; ")))
    }
}

/// The boot's end and the heal's are told by what comes next.
fn worth_a_line(event: &RunEvent) -> bool {
    !matches!(event, RunEvent::Phase { phase: Phase::Boot | Phase::Settle, .. })
}

/// What the timeline says shall happen, and what follows from it.
fn as_planned(event: &RunEvent) -> bool {
    match event {
        RunEvent::Applied { applied, .. } => applied.status == Status::Applied,
        RunEvent::Life { life, .. } => !life.signalled.is_empty(),
        RunEvent::Role { .. } | RunEvent::Phase { .. } => true,
        _ => false,
    }
}

/// What the plain log says of an event; of most, nothing.
fn text(event: &RunEvent, story: &Story) -> Option<String> {
    let text = match event {
        RunEvent::Started { timeline_hash, target, environment, server, shards, replicas, .. } => {
            let server = if server.is_empty() { String::new() } else { format!(" ({server})") };
            format!(
                "{target}{server} in {environment}: {shards} shards with {replicas} replicas each, timeline {}",
                timeline_hash.get(..16).unwrap_or(timeline_hash)
            )
        }
        RunEvent::Phase { phase, .. } => format!("phase {phase}"),
        RunEvent::Applied { applied, .. } => {
            let nodes: Vec<String> = applied.resolved.iter().map(ToString::to_string).collect();
            let nodes = if nodes.is_empty() { String::new() } else { format!(" on {}", nodes.join(", ")) };
            let outcome = match &applied.status {
                Status::Applied if applied.ended.is_some() => " ended".into(),
                Status::Applied => String::new(),
                Status::Skipped(why) => format!(" skipped: {why}"),
                Status::Failed(why) => format!(" failed: {why}"),
            };
            format!("{} {}{nodes}{outcome}", applied.event, heading(&applied.action))
        }
        RunEvent::Life { life, .. } => match &life.ended {
            Some((_, exit)) => format!("{} is gone: {exit}", life.node),
            None => return None,
        },
        // At the boot every node says what it is; the plan said so before.
        RunEvent::Role { .. } if story.phase == Some(Phase::Boot) => return None,
        RunEvent::Role { node, role, shard, .. } => match shard {
            Some(shard) => format!("{node} is {role} of shard {shard}"),
            None => format!("{node} is {role}"),
        },
        RunEvent::Stretched { by, why, .. } => format!("the logical clock was held back by {by}: {why}"),
        RunEvent::Look { event_id, judgements, .. } => {
            let all: Vec<String> =
                judgements.iter().map(|j| format!("{} {}", sign(j.verdict), j.check)).collect();
            format!("{event_id} looked: {}", all.join(", "))
        }
        RunEvent::Note { text, .. } => text.clone(),
        // The report that follows tells the judgements.
        RunEvent::Plan(_)
        | RunEvent::Judged { .. }
        | RunEvent::Progress { .. }
        // Its end is told.
        | RunEvent::Began { .. }
        | RunEvent::Log { .. }
        | RunEvent::Workload(_)
        | RunEvent::Cluster(_)
        | RunEvent::Marks { .. }
        | RunEvent::Finished(_) => return None,
    };
    Some(text)
}
