//! A run as its events tell it, folded into one value. Any prefix of a stream is a story too: that of a run
//! which was killed.

use crate::check::{Judgement, Verdict};
use crate::env::NodeId;
use crate::run::event::{ClusterState, Finished, Phase, Plan, PlannedEvent, RunEvent, Workload};
use crate::run::record::{Applied, Life, LogLine};
use crate::time::Millis;
use std::collections::BTreeMap;

/// How many lines of the nodes' logs a story keeps, the latest; the run folder has them all.
pub const LOG_LINES_MAX: usize = 200;

#[derive(Clone, Debug, Default)]
pub struct Story {
    pub started: Option<Started>,
    pub plan: Option<Plan>,
    pub phase: Option<Phase>,
    /// How long the cluster took to become healthy.
    pub boot_us: i64,
    /// The first and the latest logical time heard.
    pub first_at_us: Option<i64>,
    pub last_at_us: i64,
    pub progress: Option<Progress>,
    /// Every word on the progress since the cluster was healthy, with its time.
    pub load: Vec<(i64, Progress)>,
    /// How many roles were told while the cluster formed, and what is to be taken from their times so that they count
    /// as the rest does.
    pub roles_forming: (usize, i64),
    /// In the order in which they began, with that time; a later word on the same event replaces the earlier.
    pub applied: Vec<(i64, Applied)>,
    /// What began and is not over, by id: since when, and on which nodes.
    pub under_way: BTreeMap<String, (i64, Vec<NodeId>)>,
    /// With the time of the latest word on each: its end, once it has ended.
    pub lives: Vec<(i64, Life)>,
    pub log: Vec<(i64, LogLine)>,
    pub log_left_out: u64,
    pub roles: Vec<(i64, NodeId, String, Option<u16>)>,
    pub stretches: Vec<(i64, Millis, String)>,
    pub looks: Vec<(i64, String, Vec<Judgement>)>,
    pub judgements: Vec<Judgement>,
    pub workload: Option<Workload>,
    pub cluster: Option<ClusterState>,
    pub marks: BTreeMap<String, u64>,
    pub notes: Vec<(i64, String)>,
    pub finished: Option<Finished>,
    /// The command that does it again, from whoever looked into the folder of a run that did not get as far as to
    /// say it.
    pub again: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Started {
    pub format: u32,
    pub version: String,
    pub seed: u64,
    pub name: Option<String>,
    pub target: String,
    pub environment: String,
    pub timeline_hash: String,
    pub shards: u16,
    pub replicas: u16,
    pub run: String,
    pub started_at: String,
    pub server: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    pub operations: u64,
    pub ok: u64,
    pub nodes_up: u16,
    pub nodes: u16,
    pub events_applied: u16,
    pub events: u16,
    pub latency_p50_us: Option<u64>,
    pub latency_p99_us: Option<u64>,
}

impl Story {
    pub fn of<'a>(events: impl IntoIterator<Item = &'a RunEvent>) -> Self {
        let mut story = Self::default();
        events.into_iter().for_each(|event| story.hear(event));
        story
    }

    /// The name of its target; empty where the run did not begin.
    pub fn target(&self) -> &str {
        self.started.as_ref().map_or("", |started| &started.target)
    }

    pub fn hear(&mut self, event: &RunEvent) {
        if let Some(at_us) = at(event) {
            self.first_at_us.get_or_insert(at_us);
            if matches!(event, RunEvent::Phase { phase: Phase::Safety, .. }) {
                // Until then times count from the start of the cluster, or backwards from here.
                let first = self.first_at_us.unwrap_or(0);
                self.boot_us = if first < 0 { -first } else { self.last_at_us.max(0) };
                // Times begin anew.
                self.load.clear();
                self.roles_forming = (self.roles.len(), if first < 0 { 0 } else { self.boot_us });
            }
            self.last_at_us = at_us;
        }
        match event.clone() {
            RunEvent::Started {
                format,
                version,
                seed,
                name,
                target,
                environment,
                timeline_hash,
                shards,
                replicas,
                run,
                started_at,
                server,
            } => {
                self.started = Some(Started {
                    format,
                    version,
                    seed,
                    name,
                    target,
                    environment,
                    timeline_hash,
                    shards,
                    replicas,
                    run,
                    started_at,
                    server,
                });
            }
            RunEvent::Plan(plan) => self.plan = Some(*plan),
            RunEvent::Phase { phase, .. } => self.phase = Some(phase),
            RunEvent::Progress {
                at_us,
                operations,
                ok,
                nodes_up,
                nodes,
                events_applied,
                events,
                latency_p50_us,
                latency_p99_us,
            } => {
                let now = Progress {
                    operations,
                    ok,
                    nodes_up,
                    nodes,
                    events_applied,
                    events,
                    latency_p50_us,
                    latency_p99_us,
                };
                self.progress = Some(now);
                self.load.push((at_us, now));
            }
            RunEvent::Began { at_us, began, resolved } => {
                self.under_way.insert(began, (at_us, resolved));
            }
            RunEvent::Applied { at_us, applied } => {
                self.under_way.remove(&applied.event);
                // What is over is told at its end.
                let lasted = applied.ended.map_or(0, |ended| ended.since(applied.started).0 as i64);
                self.applied.retain(|(_, known)| known.event != applied.event);
                self.applied.push((at_us - lasted, *applied));
                self.applied.sort_by(|(_, a), (_, b)| (a.started, &a.event).cmp(&(b.started, &b.event)));
            }
            RunEvent::Life { at_us, life } => {
                let same = |known: &Life| known.node == life.node && known.incarnation == life.incarnation;
                match self.lives.iter_mut().find(|known| same(&known.1)) {
                    Some(known) => *known = (at_us, life),
                    None => self.lives.push((at_us, life)),
                }
            }
            RunEvent::Log { at_us, line } => {
                if self.log.len() == LOG_LINES_MAX {
                    self.log.remove(0);
                    self.log_left_out += 1;
                }
                self.log.push((at_us, line));
            }
            RunEvent::Role { at_us, node, role, shard } => self.roles.push((at_us, node, role, shard)),
            RunEvent::Stretched { at_us, by, why } => self.stretches.push((at_us, by, why)),
            RunEvent::Look { at_us, event_id, judgements } => self.looks.push((at_us, event_id, judgements)),
            RunEvent::Judged { judgement } => {
                self.judgements.retain(|known| known.check != judgement.check);
                self.judgements.push(judgement);
            }
            RunEvent::Workload(workload) => self.workload = Some(workload),
            RunEvent::Cluster(cluster) => self.cluster = Some(*cluster),
            RunEvent::Marks { marks } => self.marks = marks,
            RunEvent::Note { at_us, text } => self.notes.push((at_us, text)),
            RunEvent::Finished(finished) => self.finished = Some(*finished),
        }
    }

    /// The verdict; a run that told none is unknown.
    pub fn verdict(&self) -> Verdict {
        self.finished.as_ref().map_or(Verdict::Unknown, |finished| finished.verdict)
    }
    pub fn planned(&self, id: &str) -> Option<&PlannedEvent> {
        self.plan.as_ref()?.events.iter().find(|event| event.id == id)
    }
    pub fn failed(&self) -> impl Iterator<Item = &Judgement> {
        self.judgements.iter().filter(|judgement| judgement.verdict == Verdict::Fail)
    }
    pub fn judgement(&self, check: &str) -> Option<&Judgement> {
        self.judgements.iter().find(|judgement| judgement.check == check)
    }
    /// What was applied, as the schedule hash takes it, one line per event.
    pub fn schedule(&self) -> Vec<String> {
        self.applied.iter().map(|(_, applied)| crate::run::event::schedule_line(applied)).collect()
    }
}

/// The logical time of an event, if it has one.
pub fn at(event: &RunEvent) -> Option<i64> {
    match event {
        RunEvent::Phase { at_us, .. }
        | RunEvent::Progress { at_us, .. }
        | RunEvent::Began { at_us, .. }
        | RunEvent::Applied { at_us, .. }
        | RunEvent::Life { at_us, .. }
        | RunEvent::Log { at_us, .. }
        | RunEvent::Role { at_us, .. }
        | RunEvent::Stretched { at_us, .. }
        | RunEvent::Look { at_us, .. }
        | RunEvent::Note { at_us, .. } => Some(*at_us),
        RunEvent::Started { .. }
        | RunEvent::Plan(_)
        | RunEvent::Judged { .. }
        | RunEvent::Workload(_)
        | RunEvent::Cluster(_)
        | RunEvent::Marks { .. }
        | RunEvent::Finished(_) => None,
    }
}
