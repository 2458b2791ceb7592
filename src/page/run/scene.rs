//! The run as drawings need it: who was what and when, what was done, when it counted as over. Times are microseconds
//! since the cluster was healthy.

use crate::env::NodeId;
use crate::report::story::Story;
use crate::run::record::{Applied, Life, Record, Status};
use crate::run::view::NodeReport;
use crate::target::{self, Words};
use crate::time::Micros;
use crate::timeline::Role;
use std::collections::{BTreeMap, BTreeSet};

/// What a node was, as drawings tell it apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    Primary,
    /// A replica whose link to its primary is up.
    Replica,
    /// A replica whose link is down, or that has not had its first copy.
    Unsynced,
    /// A primary that serves no slot.
    Bare,
    Paused,
    Down,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    pub from: i64,
    pub to: i64,
    pub state: State,
    /// `primary of shard 1, epoch 6`.
    pub text: String,
}

#[derive(Clone, Debug)]
pub struct Lane {
    pub node: NodeId,
    pub shard: Option<u16>,
    pub spans: Vec<Span>,
    /// While a fault that cuts links held it apart.
    pub apart: Vec<(i64, i64)>,
}

/// Something that was done to the cluster.
#[derive(Clone, Debug)]
pub struct Act<'a> {
    pub from: i64,
    /// `None`: in force to the end.
    pub to: Option<i64>,
    pub fault: bool,
    pub applied: &'a Applied,
    /// `kill node-2`.
    pub label: String,
}

#[derive(Clone, Debug)]
pub struct Scene<'a> {
    pub story: &'a Story,
    pub record: Option<&'a Record>,
    pub words: Words,
    pub from: i64,
    pub to: i64,
    pub healed: Option<i64>,
    pub lanes: Vec<Lane>,
    pub acts: Vec<Act<'a>>,
    /// What servers call nodes, and which those are.
    pub ids: Vec<(String, NodeId)>,
    /// The first moment that a failed check names, else the end of what was looked at.
    pub broken: Option<i64>,
}

impl<'a> Scene<'a> {
    pub fn of(story: &'a Story, record: Option<&'a Record>) -> Self {
        let target = story.started.as_ref().map_or("valkey", |started| started.target.as_str());
        let acts = acts(story);
        let first = acts.iter().map(|act| act.from).filter(|from| *from < 0).min().unwrap_or(0);
        let last = record.and_then(|record| Some(since(record, record.last.as_ref()?.view.at)));
        let to =
            last.unwrap_or(story.last_at_us).max(acts.iter().filter_map(|act| act.to).max().unwrap_or(0));
        let to = to.max(1_000_000);
        let mut scene = Self {
            story,
            record,
            words: target::words(target),
            from: first,
            to,
            healed: record.map(|record| since(record, record.healed_at)),
            lanes: Vec::new(),
            acts,
            ids: record.map_or_else(Vec::new, ids),
            broken: None,
        };
        // Who is killed for good is dead until somebody starts it again.
        let lives = scene.lives();
        for act in
            scene.acts.iter_mut().filter(|act| act.fault && ENDING.contains(&act.applied.action.as_str()))
        {
            let lasts = story.planned(&act.applied.event).is_some_and(|planned| planned.lasts.is_some());
            if act.applied.status == Status::Applied && !lasts {
                let again = lives.iter().filter(|life| act.applied.resolved.contains(&life.node));
                let again =
                    again.map(|life| life.started).filter(|started| *started > act.applied.started).min();
                let zero = act.applied.started.0 as i64 - act.from;
                act.to = again.map(|started| started.0 as i64 - zero);
            }
        }
        scene.lanes = lanes(&scene);
        scene.broken = broken(story).filter(|at| (scene.from..=scene.to).contains(at));
        scene
    }

    pub fn lives(&self) -> Vec<&'a Life> {
        match self.record {
            Some(record) => record.lives.iter().collect(),
            None => self.story.lives.iter().map(|(_, life)| life).collect(),
        }
    }

    /// A moment of the environment's clock.
    pub fn since(&self, at: Micros) -> i64 {
        match self.record {
            Some(record) => since(record, at),
            None => at.0 as i64 - self.story.boot_us,
        }
    }

    pub fn lane(&self, node: NodeId) -> Option<&Lane> {
        self.lanes.iter().find(|lane| lane.node == node)
    }

    /// What a node was at a moment.
    pub fn at(&self, node: NodeId, at: i64) -> Option<&Span> {
        self.lane(node)?.spans.iter().rev().find(|span| span.from <= at)
    }

    /// A text with the names of nodes for what servers call them.
    pub fn in_names(&self, text: &str) -> String {
        self.ids.iter().fold(text.to_string(), |text, (id, node)| {
            if text.contains(id.as_str()) { text.replace(id.as_str(), &node.to_string()) } else { text }
        })
    }

    /// Nodes that a sentence names, in the order of their numbers.
    pub fn named(&self, text: &str) -> BTreeSet<NodeId> {
        let number = |(at, _): (usize, &str)| {
            let digits = text[at + 5..].chars().take_while(char::is_ascii_digit).collect::<String>();
            digits.parse().ok().map(NodeId)
        };
        text.match_indices("node-").filter_map(number).filter(|node| self.lane(*node).is_some()).collect()
    }

    /// Nodes that what was done and what was broken speak of.
    pub fn involved(&self) -> BTreeSet<NodeId> {
        let done = self.acts.iter().flat_map(|act| act.applied.resolved.iter().copied());
        let told = self.story.failed().flat_map(|judged| {
            let texts = std::iter::once(&judged.reason).chain(judged.evidence.iter().take(4));
            texts.flat_map(|text| self.named(text)).collect::<Vec<_>>()
        });
        done.chain(told).collect()
    }
}

fn ids(record: &Record) -> Vec<(String, NodeId)> {
    let mut ids: BTreeSet<(String, NodeId)> = BTreeSet::new();
    for view in &record.views {
        // One that is short may be part of any word.
        let long = view.answered().filter(|(_, report)| report.id.len() >= 8);
        ids.extend(long.map(|(node, report)| (report.id.clone(), node)));
    }
    ids.into_iter().collect()
}

fn since(record: &Record, at: Micros) -> i64 {
    at.0 as i64 - record.healthy_at.0 as i64
}

/// The first moment that what failed names: `+3.797s`.
fn broken(story: &Story) -> Option<i64> {
    let texts = story.failed().flat_map(|judged| std::iter::once(&judged.reason).chain(&judged.evidence));
    texts.flat_map(|text| moments(text)).min()
}

/// The moments in a text, as checks write them.
pub fn moments(text: &str) -> Vec<i64> {
    let read = |(at, _): (usize, &str)| {
        let rest = &text[at + 1..];
        let end = rest.find('s')?;
        let (whole, part) = rest[..end].split_once('.')?;
        if part.len() != 3 {
            return None;
        }
        Some(whole.parse::<i64>().ok()? * 1_000_000 + part.parse::<i64>().ok()? * 1_000)
    };
    text.match_indices('+').filter_map(read).collect()
}

fn acts(story: &Story) -> Vec<Act<'_>> {
    let act = |(at, applied): &'_ (i64, Applied)| {
        (*at, applied.ended.map(|end| at + end.since(applied.started).0 as i64))
    };
    let mut acts: Vec<Act<'_>> = story
        .applied
        .iter()
        .filter(|(_, applied)| !matches!(applied.status, Status::Skipped(_)))
        // A look does nothing to the cluster.
        .filter(|(_, applied)| story.planned(&applied.event).is_none_or(|planned| planned.kind != "check"))
        .map(|entry| {
            let ((from, to), applied) = (act(entry), &entry.1);
            let planned = story.planned(&applied.event);
            let fault = planned.is_none_or(|planned| planned.kind != "operation");
            Act { from, to, fault, applied, label: label(applied) }
        })
        .collect();
    acts.sort_by(|a, b| (a.from, &a.applied.event).cmp(&(b.from, &b.applied.event)));
    acts
}

fn label(applied: &Applied) -> String {
    let nodes: Vec<String> = applied.resolved.iter().map(ToString::to_string).collect();
    let nodes = match nodes.len() {
        0 => String::new(),
        1..=3 => format!(" {}", nodes.join(", ")),
        more => format!(" {} and {} more", nodes[0], more - 1),
    };
    let failed = if matches!(applied.status, Status::Failed(_)) { " (failed)" } else { "" };
    format!("{}{nodes}{failed}", applied.action.replace('_', " "))
}

/// What a node says it is, at a look.
struct Seen {
    at: i64,
    state: State,
    text: String,
}

fn lanes(scene: &Scene<'_>) -> Vec<Lane> {
    let mut shards: BTreeMap<NodeId, u16> = BTreeMap::new();
    for (_, node, _, shard) in &scene.story.roles {
        if let Some(shard) = shard {
            shards.insert(*node, *shard);
        }
    }
    let mut nodes: BTreeSet<NodeId> = scene.lives().iter().map(|life| life.node).collect();
    nodes.extend(shards.keys());
    let mut lanes: Vec<Lane> = nodes
        .into_iter()
        .map(|node| Lane {
            node,
            shard: shards.get(&node).copied(),
            spans: spans(scene, node, shards.get(&node).copied()),
            apart: apart(scene, node),
        })
        .collect();
    lanes.sort_by_key(|lane| (lane.shard.unwrap_or(u16::MAX), lane.node));
    lanes
}

/// Faults that end a process.
const ENDING: &[&str] = &["kill", "power_loss"];

/// Faults that keep a node from others.
const CUTTING: &[&str] = &["cut", "flap", "half_open"];

fn apart(scene: &Scene<'_>, node: NodeId) -> Vec<(i64, i64)> {
    let cuts = scene.acts.iter().filter(|act| {
        CUTTING.contains(&act.applied.action.as_str())
            && act.applied.status == Status::Applied
            && act.applied.resolved.first() == Some(&node)
    });
    cuts.map(|act| (act.from, act.to.unwrap_or(scene.to))).collect()
}

fn seen(scene: &Scene<'_>, node: NodeId, shard: Option<u16>) -> Vec<Seen> {
    let of_shard =
        shard.filter(|_| !scene.words.group).map_or(String::new(), |shard| format!(" of shard {shard}"));
    let Some(record) = scene.record else {
        let roles = scene.story.roles.iter().filter(|(_, one, _, _)| *one == node);
        return roles
            .map(|(at, _, role, _)| {
                let primary = role == Role::Primary.as_str();
                let word = if primary { scene.words.primary } else { scene.words.replica };
                let state = if primary { State::Primary } else { State::Replica };
                Seen { at: *at, state, text: format!("{word}{of_shard}") }
            })
            .collect();
    };
    let views = record.views.iter().chain(record.last.iter().map(|last| &last.view));
    let mut ids: BTreeMap<&str, NodeId> = BTreeMap::new();
    let mut out = Vec::new();
    for view in views {
        ids.extend(view.answered().map(|(node, report)| (report.id.as_str(), node)));
        let Some(report) = view.report(node) else { continue };
        let (state, text) = what(scene.words, report, &of_shard, &ids);
        out.push(Seen { at: since(record, view.at), state, text });
    }
    out
}

fn what(words: Words, report: &NodeReport, of_shard: &str, ids: &BTreeMap<&str, NodeId>) -> (State, String) {
    let epoch = report.myself().map_or(report.current_epoch, |me| me.config_epoch);
    let epoch = if words.group { report.current_epoch } else { epoch };
    match report.replication.role {
        Role::Primary if report.own_slots().is_empty() => {
            (State::Bare, format!("{} without slots", words.primary))
        }
        Role::Primary => (State::Primary, format!("{}{of_shard}, {} {epoch}", words.primary, words.epoch)),
        Role::Replica => {
            let primary = report.myself().and_then(|me| me.primary.as_deref()).and_then(|id| ids.get(id));
            let of = primary.map_or_else(String::new, |node| format!(" of {node}"));
            if report.replication.link_up && !report.replication.sync_in_progress {
                (State::Replica, format!("{}{of}", words.replica))
            } else {
                let doing =
                    if report.replication.sync_in_progress { "while it copied" } else { "without a link" };
                (State::Unsynced, format!("{}{of} {doing}", words.replica))
            }
        }
    }
}

fn spans(scene: &Scene<'_>, node: NodeId, shard: Option<u16>) -> Vec<Span> {
    let mut lives: Vec<&Life> = scene.lives().into_iter().filter(|life| life.node == node).collect();
    lives.sort_by_key(|life| (life.started, life.incarnation));
    let seen = seen(scene, node, shard);
    let mut spans = Vec::new();
    let mut last: Option<(State, String)> = None;
    for (number, life) in lives.iter().enumerate() {
        let from = scene.since(life.started);
        let to = life.ended.as_ref().map_or(scene.to, |(at, _)| scene.since(*at));
        // A process that has not said anything yet is what the node was.
        let mut begun = from;
        for one in seen.iter().filter(|one| one.at >= from && one.at < to) {
            let said = (one.state, one.text.clone());
            if last.as_ref() == Some(&said) {
                continue;
            }
            if let Some((state, text)) = last.replace(said) {
                push(&mut spans, begun, one.at, state, text);
                begun = one.at;
            }
        }
        if let Some((state, text)) = last.clone() {
            push(&mut spans, begun, to, state, text);
        }
        if let Some((_, exit)) = &life.ended {
            let back = lives.get(number + 1).map_or(scene.to, |next| scene.since(next.started));
            push(&mut spans, to, back, State::Down, format!("down: {exit}"));
        }
    }
    for life in &lives {
        for (from, until) in &life.paused {
            let until = until.map_or(scene.to, |until| scene.since(until));
            over(&mut spans, scene.since(*from), until, State::Paused, "paused");
        }
    }
    for span in &mut spans {
        span.from = span.from.max(scene.from);
        span.to = span.to.min(scene.to);
    }
    spans.retain(|span| span.from < span.to);
    spans
}

fn push(spans: &mut Vec<Span>, from: i64, to: i64, state: State, text: String) {
    if from >= to {
        return;
    }
    match spans.last_mut() {
        Some(last) if last.state == state && last.text == text && last.to == from => last.to = to,
        _ => spans.push(Span { from, to, state, text }),
    }
}

/// Puts one thing over what was there.
fn over(spans: &mut Vec<Span>, from: i64, to: i64, state: State, text: &str) {
    let mut out = Vec::new();
    for span in spans.drain(..) {
        if span.to <= from || span.from >= to {
            out.push(span);
            continue;
        }
        if span.from < from {
            out.push(Span { to: from, ..span.clone() });
        }
        if span.to > to {
            out.push(Span { from: to, ..span });
        }
    }
    out.push(Span { from, to, state, text: text.into() });
    out.sort_by_key(|span| span.from);
    *spans = out;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_as_checks_write_them() {
        assert_eq!(moments("took over by +3.797s, not 4.000s, at +12.001s"), [3_797_000, 12_001_000]);
        assert_eq!(moments("1 + 2 = 3.5s +x"), Vec::<i64>::new());
    }

    #[test]
    fn what_lies_over_something_leaves_both_its_ends() {
        let mut spans = vec![Span { from: 0, to: 10, state: State::Primary, text: "p".into() }];
        over(&mut spans, 3, 5, State::Paused, "paused");
        let told: Vec<_> = spans.iter().map(|span| (span.from, span.to, span.state)).collect();
        assert_eq!(told, [(0, 3, State::Primary), (3, 5, State::Paused), (5, 10, State::Primary)]);
    }
}
