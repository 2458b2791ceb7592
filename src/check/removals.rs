//! `removals`: a container and a node with a time to live are removed when they have to be, and not before.
//!
//! That a node was removed too early is told by its own history: its client asks one thing at a time by one session,
//! to which no server tells an older state. A child that was acknowledged and that nobody asked to delete keeps its
//! parent, whatever the time. A time to live counts from the leader's time of the last change, which is not before the
//! request was sent, so that an answer without the node within that time shows that it went too early. A change that was
//! acknowledged late in that time counts for nothing: the leader first lists what is to be removed and then looks at
//! children only (`ContainerManager`, `PrepRequestProcessor`), so that it may remove what was just changed.
//!
//! That one stays too long is told by how it stands: the leader has to remove what stood so, without children, since
//! an earlier answer, an interval and a time to live later, counted anew from each fault and each change of the leader. Where
//! a clock was moved, no claim that goes by time is made.

use super::ephemerals::Calm;
use super::facts::skipped;
use super::{Check, Judgement, Verdict};
use crate::fault::clock_skew::ClockSkew;
use crate::fault::clock_strobe::ClockStrobe;
use crate::history::{Removable, RemovableAct, RemovableAsk, RemovableSaid, Standing};
use crate::run::record::Record;
use crate::target::CONTAINER_CHECK_MS;
use crate::time::{Micros, Millis};
use std::collections::{BTreeMap, BTreeSet};

crate::record! {
    pub struct Removals {
        /// how much longer a node may be there than its time and the interval at which the leader looks
        pub within: Millis = Millis(2000),
    }
}

impl Removals {
    pub const NAME: &'static str = "removals";
}

/// How long before the end of its time a node must be changed for the leader to know it when that time is over.
const KNOWN: Millis = Millis(500);

/// What was looked at, of nodes with a time to live and of containers.
#[derive(Default)]
struct Counts {
    nodes: [u64; 2],
    /// Answers that showed one which had to be there.
    kept: [u64; 2],
    /// Among these, with a child after the time to live was over.
    outlived: u64,
    /// Changes that made a time to live begin anew.
    renewed: u64,
    in_time: [u64; 2],
    /// Gone at a time that is not known well enough.
    sometime: u64,
    undecided: u64,
    clock_moved: u64,
    open: u64,
}

/// What the run says.
struct Case<'a> {
    record: &'a Record,
    calm: Calm,
    clock_moved: Option<Micros>,
    within: Millis,
}

/// What is known of a node, answer by answer.
struct Node<'a> {
    one: &'a Removable,
    /// Until when it must be there, by the wall clock and by the logical one.
    promised: (Micros, Micros),
    /// A change may have come too late: later ones say nothing.
    too_late: bool,
    /// Children that are surely there, and whether one was ever asked for.
    children: BTreeSet<u32>,
    had: bool,
    gone: Option<&'a RemovableAct>,
    /// When it was first known to stand so: by its last change, and by the last change of its children.
    changed: BTreeMap<i64, Micros>,
    emptied: BTreeMap<i64, Micros>,
    /// From when on the leader has to remove it.
    due: Option<Micros>,
    late: bool,
}

impl<'a> Case<'a> {
    fn of(record: &'a Record, within: Millis) -> Self {
        let moves = |action: &str| matches!(action, ClockSkew::NAME | ClockStrobe::NAME);
        let moved = record.applied.iter().filter(|one| !skipped(one) && moves(&one.action));
        let clock_moved = moved.map(|one| one.started).min();
        Self { record, calm: Calm::of(record), clock_moved, within }
    }

    fn clock_moved(&self, until: Micros) -> bool {
        self.clock_moved.is_some_and(|at| at <= until)
    }

    fn follow(&self, one: &'a Removable, counts: &mut Counts, odd: &mut Vec<String>) {
        let Some((create, acts)) = one.acts.split_first() else { return };
        let RemovableSaid::Stands(first) = &create.said else {
            counts.open += 1;
            return;
        };
        let kind = usize::from(one.ttl.is_none());
        counts.nodes[kind] += 1;
        let mut node = Node {
            one,
            promised: until(one, create),
            too_late: false,
            children: BTreeSet::new(),
            had: false,
            gone: None,
            changed: BTreeMap::new(),
            emptied: BTreeMap::new(),
            due: None,
            late: false,
        };
        node.stands(first, create.back.logical);
        for act in acts {
            let wrong = match (act.ask, &act.said) {
                (_, RemovableSaid::Unknown(_)) => {
                    counts.open += 1;
                    None
                }
                (RemovableAsk::DeleteChild(child), RemovableSaid::Gone) => {
                    let there = node.children.contains(&child);
                    there.then(|| format!("its child {child} was gone and nobody had deleted it"))
                }
                (_, RemovableSaid::Gone) => self.missing(&mut node, act, counts),
                (_, RemovableSaid::Done | RemovableSaid::Stands(_)) => self.there(&mut node, act, counts),
            };
            match act.ask {
                RemovableAsk::AddChild(child) => {
                    node.had = true;
                    if act.said == RemovableSaid::Done {
                        node.children.insert(child);
                    }
                }
                // It may be gone from when this was asked on.
                RemovableAsk::DeleteChild(child) => {
                    node.children.remove(&child);
                }
                _ => {}
            }
            if let Some(what) = wrong {
                let at = self.record.when(act.back.logical);
                odd.push(format!("{}: {what}, on {} at {at}", one.title(), act.node));
                return;
            }
        }
    }

    /// It is not there.
    fn missing(&self, node: &mut Node<'a>, act: &'a RemovableAct, counts: &mut Counts) -> Option<String> {
        if node.gone.is_some() {
            return None;
        }
        if let Some(child) = node.children.first() {
            return Some(format!("it was gone though it had child {child}"));
        }
        let Some(ttl) = node.one.ttl else {
            if !node.had {
                return Some("it was gone before it had any child".into());
            }
            node.gone = Some(act);
            self.went(node, act, 1, counts);
            return None;
        };
        if self.clock_moved(act.back.logical) {
            counts.clock_moved += 1;
        } else if act.back.wall < node.promised.0 {
            let early = node.promised.0.since(act.back.wall).millis();
            return Some(format!(
                "it was gone {early} before {ttl} had passed since its last acknowledged change was asked for"
            ));
        }
        node.gone = Some(act);
        self.went(node, act, 0, counts);
        None
    }

    fn went(&self, node: &Node<'_>, act: &RemovableAct, kind: usize, counts: &mut Counts) {
        let bound = Millis(CONTAINER_CHECK_MS).saturating_add(self.within);
        match node.due {
            Some(due) if act.back.logical <= due.plus(bound) => counts.in_time[kind] += 1,
            _ => counts.sometime += 1,
        }
    }

    /// It is there, or one of its children is done something to.
    fn there(&self, node: &mut Node<'a>, act: &'a RemovableAct, counts: &mut Counts) -> Option<String> {
        let kind = usize::from(node.one.ttl.is_none());
        if let Some(gone) = node.gone.filter(|_| !matches!(act.ask, RemovableAsk::DeleteChild(_))) {
            let at = self.record.when(gone.back.logical);
            return Some(format!("it was there again, gone on {} at {at}", gone.node));
        }
        let RemovableSaid::Stands(standing) = &act.said else { return None };
        node.stands(standing, act.back.logical);
        if act.ask == RemovableAsk::Touch {
            self.touched(node, act, counts);
            return None;
        }
        let in_time = node.one.ttl.is_some() && act.back.wall < node.promised.0;
        let never_used = node.one.ttl.is_none() && !node.had;
        counts.kept[kind] += u64::from(in_time || never_used || !node.children.is_empty());
        counts.outlived +=
            u64::from(node.one.ttl.is_some() && !node.children.is_empty() && act.sent.wall > node.promised.0);
        let due = node.due?;
        let bound = Millis(CONTAINER_CHECK_MS).saturating_add(self.within);
        if node.late || act.sent.logical <= due.plus(bound) {
            return None;
        }
        node.late = true;
        let calm = self.calm.since(act.sent.logical);
        if self.clock_moved(act.sent.logical) {
            counts.clock_moved += 1;
            return None;
        }
        if act.sent.logical <= due.max(calm).plus(bound) {
            // It may still be too late for it.
            node.late = false;
            counts.undecided += 1;
            return None;
        }
        let from = self.record.when(due.max(calm));
        Some(format!(
            "it was still there more than {bound} after {from}, when it had to go, with nothing going on"
        ))
    }

    /// Its time begins anew, if that was in time and in peace.
    fn touched(&self, node: &mut Node<'_>, act: &RemovableAct, counts: &mut Counts) {
        let (wall, logical) = node.promised;
        let in_time = act.back.wall.plus(KNOWN) < wall && self.calm.since(logical) < act.sent.logical;
        if in_time && !node.too_late {
            node.promised = until(node.one, act);
            counts.renewed += 1;
        } else {
            node.too_late = true;
        }
    }
}

/// Until when a node must be there that was created or changed so.
fn until(one: &Removable, act: &RemovableAct) -> (Micros, Micros) {
    let ttl = one.ttl.unwrap_or(Millis(0));
    (act.sent.wall.plus(ttl), act.sent.logical.plus(ttl))
}

impl Node<'_> {
    /// Takes down how it stands, and from when on it has to be removed.
    fn stands(&mut self, standing: &Standing, at: Micros) {
        let changed = *self.changed.entry(standing.modified_zxid).or_insert(at);
        self.due = None;
        if standing.children > 0 {
            return;
        }
        let emptied = *self.emptied.entry(standing.children_zxid).or_insert(at);
        self.due = match self.one.ttl {
            Some(ttl) => Some(emptied.max(changed.plus(ttl))),
            // One that never had a child is left.
            None => (standing.children_version > 0).then_some(emptied),
        };
    }
}

impl Check for Removals {
    fn claim(&self) -> &'static str {
        "a node with a time to live, or a container that had children, is removed in time, and none while it has a child, is in use or was not used yet"
    }
    fn source(&self) -> &'static str {
        "zookeeper.apache.org/doc/r3.8.0: Programmer's Guide, 'Container Nodes', 'TTL Nodes'; Administrator's Guide, 'znode.container.checkIntervalMs', 'znode.container.maxPerMinute'; `ContainerManager`"
    }

    fn judge(&self, record: &Record) -> Judgement {
        if record.timeline.load.containers == 0 {
            let why = "nobody makes nodes that go by themselves in this timeline";
            return Judgement::new(Self::NAME, Verdict::NotOwed, why);
        }
        let case = Case::of(record, self.within);
        let (mut counts, mut odd) = (Counts::default(), Vec::new());
        for one in &record.removables {
            case.follow(one, &mut counts, &mut odd);
        }
        let looked_at = format!(
            "{} nodes with a time to live: {} looks while they had to be there, {} of these with a child after that time, {} changes \
             by which it began anew, {} went in time; {} containers: {} looks while they had to be there, {} went in time",
            counts.nodes[0],
            counts.kept[0],
            counts.outlived,
            counts.renewed,
            counts.in_time[0],
            counts.nodes[1],
            counts.kept[1],
            counts.in_time[1],
        );
        let seen = counts.kept.iter().chain(&counts.in_time).all(|count| *count > 0);
        let (verdict, reason) = match odd.len() {
            0 if !seen => {
                let what = "nothing observed: not both kinds of nodes were seen to be kept and to go in time";
                (Verdict::Unknown, what.to_string())
            }
            0 => (Verdict::Pass, "every node was there and went as it had to".to_string()),
            count => (Verdict::Fail, format!("{count} node(s) were not there or did not go as they had to")),
        };
        let mut judgement =
            Judgement::new(Self::NAME, verdict, reason).looked_at(looked_at).with_evidence(odd);
        judgement.classes = BTreeMap::from([
            ("clock-moved-under-node".to_string(), counts.clock_moved),
            ("looks while faults went on".to_string(), counts.undecided),
            ("gone at a time that is not known".to_string(), counts.sometime),
            ("without an answer that tells".to_string(), counts.open),
        ]);
        judgement.classes.retain(|_, count| *count > 0);
        judgement
    }
}

#[cfg(test)]
#[path = "removals_tests.rs"]
mod tests;
