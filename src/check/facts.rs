//! What several checks need to know of a run: who was awake when, who owned which slots, what was disturbed.
//!
//! Everything is derived from the record: processes from `lives`, ownership from what nodes claimed *of
//! themselves* in the periodic views (one view of another node proves nothing), disturbances from `applied`.
//! Where the views are silent the last known answer stands, because a dead owner claims nothing.

use crate::catalogue::{Action, Class};
use crate::env::NodeId;
use crate::run::record::{Applied, Life, Record, Status};
use crate::run::view::ClusterView;
use crate::target::consensus;
use crate::target::embedded::placement;
use crate::target::operation::FailoverMode;
use crate::time::{Micros, Millis};
use crate::timeline::Timeline;
use std::collections::{BTreeMap, BTreeSet};

/// The slots of a cluster.
pub const SLOTS: u16 = 16384;

/// One stretch of slots and who owned it last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    pub first: u16,
    pub last: u16,
    pub owner: Option<NodeId>,
}

/// Who owned which slots from a moment on; the spans cover every slot, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owners {
    pub at: Micros,
    pub spans: Vec<Span>,
    /// Owners that came back under a new id and own nothing under that one: the slots are those of a ghost.
    ghosts: BTreeSet<NodeId>,
    /// Those of them whose old id no node gives slots to any more: they count for nothing.
    forgotten: BTreeSet<NodeId>,
}

impl Owners {
    pub fn owner(&self, slot: u16) -> Option<NodeId> {
        let place = self.spans.partition_point(|span| span.last < slot);
        self.spans.get(place)?.owner
    }
    /// The nodes that own at least one slot, as the servers count them: a ghost is one until it is forgotten.
    pub fn nodes(&self) -> BTreeSet<NodeId> {
        let owners = self.spans.iter().filter_map(|span| span.owner);
        owners.filter(|node| !self.forgotten.contains(node)).collect()
    }
    pub fn slots_of(&self, node: NodeId) -> Vec<(u16, u16)> {
        let own = self.spans.iter().filter(|span| span.owner == Some(node));
        own.map(|span| (span.first, span.last)).collect()
    }
}

/// A time in which a process was not there to answer: dead or stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outage {
    pub node: NodeId,
    pub from: Micros,
    /// When it answered again; `None` if it never did.
    pub until: Option<Micros>,
    /// It came back without its identity, so that the node it was never returned.
    pub wiped: bool,
    /// A process ended in it: it was not only stopped.
    pub died: bool,
}

#[derive(Debug)]
pub struct Facts<'a> {
    pub record: &'a Record,
    /// Snapshots in the order of time; never empty.
    owners: Vec<Owners>,
}

impl<'a> Facts<'a> {
    pub fn of(record: &'a Record) -> Self {
        let cluster = &record.timeline.cluster;
        let spans = (0..cluster.shards).map(|shard| {
            let (first, last) = cluster.slots(shard);
            Span { first, last, owner: Some(NodeId(cluster.node(shard, 0))) }
        });
        let (ghosts, forgotten) = (BTreeSet::new(), BTreeSet::new());
        let mut owners = vec![Owners { at: Micros(0), spans: spans.collect(), ghosts, forgotten }];
        let mut ids = Ids::default();
        for view in record.views.iter().chain(record.last.iter().map(|last| &last.view)) {
            let before = owners.last().expect("the beginning is there");
            let spans = claims_over(&before.spans, view);
            let (ghosts, forgotten) = ids.ghosts(record, view);
            if spans != before.spans || ghosts != before.ghosts || forgotten != before.forgotten {
                owners.push(Owners { at: view.at, spans, ghosts, forgotten });
            }
        }
        Self { record, owners }
    }

    /// Whether what is acknowledged is in the log of a majority.
    pub fn consensus(&self) -> bool {
        consensus(&self.record.timeline.target)
    }
    pub fn embedded(&self) -> bool {
        self.record.timeline.target == "embedded"
    }
    pub fn node_timeout(&self) -> Millis {
        self.record.timeline.cluster.node_timeout()
    }

    /// The process of a node that ran at a moment.
    pub fn life_at(&self, node: NodeId, at: Micros) -> Option<&'a Life> {
        self.record.lives.iter().find(|life| {
            life.node == node && life.started <= at && life.ended.is_none_or(|(ended, _)| ended > at)
        })
    }
    /// A process runs and is not stopped.
    pub fn awake(&self, node: NodeId, at: Micros) -> bool {
        self.life_at(node, at).is_some_and(|life| !paused_at(life, at))
    }

    /// The slot-owning primaries that are awake at a moment, and how many there are. A node that came back under a
    /// new id is awake and no owner.
    pub fn awake_owners(&self, at: Micros) -> (Vec<NodeId>, usize) {
        let owners = self.owners_at(at);
        let nodes = owners.nodes();
        let awake = nodes.iter().filter(|node| self.awake(**node, at) && !owners.ghosts.contains(node));
        (awake.copied().collect(), nodes.len())
    }
    /// Owners of which nobody can say whether the others count them as awake: ghosts. One is marked failed where
    /// it was pinged in vain; where its address answered with another id it has none (`noaddr`), is not pinged any
    /// more, and never fails.
    pub fn ghost_owners(&self, at: Micros) -> usize {
        let owners = self.owners_at(at);
        owners.nodes().intersection(&owners.ghosts).count()
    }
    pub fn owners_at(&self, at: Micros) -> &Owners {
        let place = self.owners.partition_point(|owners| owners.at <= at);
        &self.owners[place.saturating_sub(1)]
    }
    /// The snapshots that hold at some time from one moment to another, both included.
    pub fn owners_between(&self, from: Micros, to: Micros) -> &[Owners] {
        let first = self.owners.partition_point(|owners| owners.at <= from).saturating_sub(1);
        let end = self.owners.partition_point(|owners| owners.at <= to).max(first + 1);
        &self.owners[first..end]
    }

    /// The shard that a node began in; `None` for one that was added later.
    pub fn shard(&self, node: NodeId) -> Option<u16> {
        let cluster = &self.record.timeline.cluster;
        (node.0 < cluster.nodes()).then(|| node.0 / (1 + cluster.replicas))
    }
    /// The nodes that began in a shard.
    pub fn shard_nodes(&self, shard: u16) -> Vec<NodeId> {
        let cluster = &self.record.timeline.cluster;
        (0..=cluster.replicas).map(|replica| NodeId(cluster.node(shard, replica))).collect()
    }

    /// The nodes that decide for a shard: its own, and in the embedded target a witness where there is one.
    pub fn voters(&self, shard: u16) -> Vec<NodeId> {
        if self.embedded() {
            placement::voters(&self.record.timeline.cluster, shard).into_iter().map(NodeId).collect()
        } else {
            self.shard_nodes(shard)
        }
    }
    /// The nodes that decide who serves what, where that is decided by consensus.
    pub fn map_voters(&self) -> Vec<NodeId> {
        if !self.embedded() {
            return self.shard_nodes(0);
        }
        placement::map_voters(&self.record.timeline.cluster).into_iter().map(NodeId).collect()
    }

    /// The last moment that the record speaks of.
    pub fn end(&self) -> Micros {
        let last = self.record.last.as_ref().map(|last| last.view.at);
        let view = self.record.views.last().map(|view| view.at);
        last.max(view).unwrap_or(self.record.healed_at)
    }

    /// When each node was away, from when the cluster was healthy, by node and time.
    pub fn outages(&self) -> Vec<Outage> {
        let nodes: BTreeSet<NodeId> = self.record.lives.iter().map(|life| life.node).collect();
        nodes.into_iter().flat_map(|node| self.outages_of(node)).collect()
    }

    fn outages_of(&self, node: NodeId) -> Vec<Outage> {
        let lives: Vec<&Life> = self.record.lives.iter().filter(|life| life.node == node).collect();
        let mut outages: Vec<Outage> = Vec::new();
        for (index, life) in lives.iter().enumerate() {
            for &(from, until) in &life.paused {
                let until = until.or(life.ended.map(|(ended, _)| ended));
                outages.push(Outage { node, from, until, wiped: false, died: false });
            }
            if let Some((from, _)) = life.ended {
                let next = lives.get(index + 1);
                let wiped = next.is_some_and(|next| next.stale.as_deref() == Some("wiped"));
                outages.push(Outage { node, from, until: next.map(|next| next.started), wiped, died: true });
            }
        }
        outages.sort_by_key(|outage| (outage.from, outage.until.unwrap_or(Micros::MAX)));
        // A process that is killed while it is stopped was away once, not twice.
        let mut merged: Vec<Outage> = Vec::new();
        for outage in outages {
            match merged.last_mut() {
                Some(last) if last.until.is_none_or(|until| until >= outage.from) => {
                    last.until = last.until.zip(outage.until).map(|(a, b)| a.max(b));
                    last.wiped |= outage.wiped;
                    last.died |= outage.died;
                }
                _ => merged.push(outage),
            }
        }
        merged.retain(|outage| outage.until.is_none_or(|until| until > self.record.healthy_at));
        merged
    }

    /// A setting of the servers: what the timeline says, under its present or its former name.
    pub fn setting(&self, name: &str) -> Option<&'a str> {
        let settings = &self.record.timeline.cluster.settings.0;
        let former = name.replace("replica", "slave");
        settings.get(name).or_else(|| settings.get(&former)).map(String::as_str)
    }
    /// Whether an event changed a setting of this name on a running server.
    pub fn setting_changed(&self, name: &str) -> bool {
        let former = name.replace("replica", "slave");
        let word = |text: &str| {
            text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'))
                .any(|word| word == name || word == former)
        };
        self.record
            .applied
            .iter()
            .any(|applied| applied.action == "config_change" && !skipped(applied) && word(&applied.detail))
    }

    /// Replicas may move to shards that have none, and follow slots that are drained.
    pub fn migration(&self) -> bool {
        self.setting("cluster-allow-replica-migration") != Some("no")
            || self.setting_changed("cluster-allow-replica-migration")
    }

    /// The slots that the timeline itself left in two places: open, or in the course of a move that did not
    /// end as planned or that a failover interrupted. Redis 7.0 forgets MIGRATING and IMPORTING at a failover,
    /// so that keys of such a slot are stranded; nothing is said about them.
    pub fn slots_moved(&self) -> BTreeSet<u16> {
        let moved = self.record.applied.iter().filter(|applied| !skipped(applied));
        moved.flat_map(|applied| applied.slots.iter().chain(&applied.slots_left_open).copied()).collect()
    }
    pub fn slots_left_open(&self) -> BTreeSet<u16> {
        let mut open: BTreeSet<u16> = BTreeSet::new();
        for applied in self.record.applied.iter().filter(|applied| !skipped(applied)) {
            open.extend(&applied.slots_left_open);
            if applied.ended.is_none() || matches!(applied.status, Status::Failed(_)) {
                open.extend(&applied.slots);
            }
        }
        open
    }
    /// The slots whose keys may lie on two nodes: left open, or moved while something disruptive happened.
    pub fn slots_unclear(&self) -> BTreeSet<u16> {
        let mut slots = self.slots_left_open();
        let disruptions = disruptive(&self.record.applied, &self.record.timeline);
        for applied in self.record.applied.iter().filter(|applied| !applied.slots.is_empty()) {
            let ended = applied.ended.unwrap_or(Micros::MAX);
            let struck = disruptions
                .iter()
                .any(|other| other.started <= ended && other.ended.is_none_or(|end| end >= applied.started))
                || self.record.applied.iter().any(|other| {
                    other.action == "failover"
                        && !skipped(other)
                        && other.started <= ended
                        && other.ended.is_none_or(|end| end >= applied.started)
                });
            if struck {
                slots.extend(&applied.slots);
            }
        }
        slots
    }

    /// Keys may vanish by eviction: a limit on memory and a policy other than `noeviction`.
    pub fn evicting(&self) -> bool {
        let limited = self.setting("maxmemory").is_some_and(|text| text != "0");
        let policy = self.setting("maxmemory-policy").is_some_and(|policy| policy != "noeviction");
        (limited && policy) || ["maxmemory", "maxmemory-policy"].iter().any(|name| self.setting_changed(name))
    }

    /// Nodes that an event which fouls links, clocks or disks concerned at some time in a window.
    pub fn fouled_between(&self, from: Micros, to: Micros) -> BTreeSet<NodeId> {
        let fouls = |applied: &&Applied| {
            (fouls_links(applied)
                || matches!(
                    applied.action.as_str(),
                    "clock_skew"
                        | "clock_strobe"
                        | "disk_error"
                        | "full_disk"
                        | "slow_disk"
                        | "memory_limit"
                        | "cpu_limit"
                        | "cpu_hog"
                        | "fd_limit"
                        | "use_up_connections"
                ))
                && !skipped(applied)
                && applied.started <= to
                && applied.ended.is_none_or(|ended| ended >= from)
        };
        self.record.applied.iter().filter(fouls).flat_map(|applied| applied.resolved.clone()).collect()
    }

    /// What may still be passing by itself at a moment in the middle of a run: an event under way that is no
    /// lasting state (a dead or stopped node is one), or a change that the cluster had too little time to digest.
    pub fn unrest(&self, at: Micros) -> Option<String> {
        let lasting = |action: &str| matches!(action, "check" | "aim" | "kill" | "pause" | "sabotage");
        let applied = || self.record.applied.iter().filter(|one| !skipped(one));
        if let Some(one) = applied().find(|one| one.ended.is_none() && !lasting(&one.action)) {
            return Some(format!("{} is under way", one.event));
        }
        let pauses = |life: &'a Life| {
            life.paused.iter().flat_map(|(from, until)| [Some(*from), *until].into_iter().flatten())
        };
        let lives = self.record.lives.iter().filter(|life| life.incarnation > 1 || life.ended.is_some());
        let changes = lives
            .flat_map(|life| [Some(life.started), life.ended.map(|(at, _)| at)].into_iter().flatten())
            .chain(self.record.lives.iter().flat_map(pauses))
            .chain(
                applied()
                    .filter(|one| one.action != "check" && one.action != "aim")
                    .filter_map(|one| one.ended),
            );
        let latest = changes.filter(|change| *change <= at).max()?;
        let digest = super::owed::digest(self.node_timeout());
        (at < latest.plus(digest))
            .then(|| format!("the cluster had less than {digest} since the last change"))
    }

    /// The logical clock was held back in this window: a bound inside it proves nothing.
    pub fn stretched(&self, from: Micros, to: Micros) -> bool {
        self.record.stretches.iter().any(|(at, by)| *at <= to && at.plus(*by) >= from)
    }
}

pub fn paused_at(life: &Life, at: Micros) -> bool {
    life.paused.iter().any(|(from, until)| *from <= at && until.is_none_or(|until| until > at))
}

/// Whether one of these faults held a node at some time in a window.
pub fn in_force(record: &Record, node: NodeId, (from, to): (Micros, Micros), faults: &[&str]) -> bool {
    record.applied.iter().filter(|applied| !skipped(applied)).any(|applied| {
        faults.contains(&applied.action.as_str())
            && applied.resolved.contains(&node)
            && applied.started <= to
            && applied.ended.is_none_or(|ended| from <= ended)
    })
}

pub fn skipped(applied: &Applied) -> bool {
    matches!(applied.status, Status::Skipped(_))
}

/// The events that may cost acknowledged writes or cover, by documentation. A failover is one only when it is
/// forced: the default form pauses the primary until its replica has everything.
pub fn disruptive<'a>(applied: &'a [Applied], timeline: &Timeline) -> Vec<&'a Applied> {
    let weighs = |one: &&Applied| {
        if skipped(one) {
            return false;
        }
        let Some(event) = timeline.event(&one.event) else {
            // Not an event of the timeline: a step of the executor's own, which disturbs nothing.
            return false;
        };
        match &event.action {
            Action::Failover(failover) => failover.mode != FailoverMode::Default,
            action => !matches!(action.class(), Class::Safe),
        }
    };
    applied.iter().filter(weighs).collect()
}

/// Under which id each node claimed slots last, and which nodes have another since.
#[derive(Debug, Default)]
struct Ids {
    claimed: BTreeMap<NodeId, (Micros, String)>,
}

impl Ids {
    /// The nodes that lost the id of their last claim by this view, and those of them whose id nobody gives slots
    /// to any more.
    fn ghosts(&mut self, record: &Record, view: &ClusterView) -> (BTreeSet<NodeId>, BTreeSet<NodeId>) {
        for (node, report) in view.answered().filter(|(_, report)| !report.own_slots().is_empty()) {
            self.claimed.insert(node, (view.at, report.id.clone()));
        }
        let lost = |node: NodeId, at: Micros, id: &str| {
            let wiped = |life: &Life| {
                life.node == node
                    && life.stale.as_deref() == Some("wiped")
                    && (at..=view.at).contains(&life.started)
            };
            view.report(node).is_some_and(|report| report.id != id) || record.lives.iter().any(wiped)
        };
        let ghosts: BTreeMap<NodeId, &str> = self
            .claimed
            .iter()
            .filter(|(node, (at, id))| lost(**node, *at, id))
            .map(|(node, (_, id))| (*node, id.as_str()))
            .collect();
        let listed = |id: &str| {
            let mut members = view.answered().flat_map(|(_, report)| &report.members);
            members.any(|member| member.id == id && !member.slots.is_empty())
        };
        let forgotten = ghosts.iter().filter(|(_, id)| !listed(id)).map(|(node, _)| *node).collect();
        (ghosts.into_keys().collect(), forgotten)
    }
}

/// Applies what live nodes claim of themselves over what was known. Of several claimants the one with the
/// highest configuration epoch owns a slot, as the servers decide it; then the lowest number.
fn claims_over(before: &[Span], view: &ClusterView) -> Vec<Span> {
    struct Claim {
        node: NodeId,
        epoch: u64,
        first: u16,
        last: u16,
    }
    let mut claims: Vec<Claim> = Vec::new();
    for (node, report) in view.answered() {
        let epoch = report.myself().map_or(0, |me| me.config_epoch);
        claims.extend(report.own_slots().iter().map(|&(first, last)| Claim { node, epoch, first, last }));
    }
    // Best claim last, so that it overwrites the others.
    claims.sort_by_key(|claim| (claim.epoch, std::cmp::Reverse(claim.node)));
    let mut cuts: BTreeSet<u32> = before.iter().map(|span| u32::from(span.first)).collect();
    for claim in &claims {
        cuts.insert(u32::from(claim.first));
        cuts.insert(u32::from(claim.last) + 1);
    }
    cuts.insert(0);
    cuts.insert(u32::from(SLOTS));
    let cuts: Vec<u32> = cuts.into_iter().filter(|cut| *cut <= u32::from(SLOTS)).collect();
    let mut owners: Vec<Option<NodeId>> = cuts
        .iter()
        .map(|cut| {
            let place = before.partition_point(|span| u32::from(span.last) < *cut);
            before.get(place).and_then(|span| span.owner)
        })
        .collect();
    for claim in &claims {
        let first = cuts.partition_point(|cut| *cut < u32::from(claim.first));
        let end = cuts.partition_point(|cut| *cut <= u32::from(claim.last));
        owners[first..end].fill(Some(claim.node));
    }
    let mut spans: Vec<Span> = Vec::new();
    for (pair, owner) in cuts.windows(2).zip(owners) {
        let (first, last) = (pair[0] as u16, (pair[1] - 1) as u16);
        match spans.last_mut() {
            Some(span) if span.owner == owner => span.last = last,
            _ => spans.push(Span { first, last, owner }),
        }
    }
    spans
}

/// Whether an event makes links bad.
pub fn fouls_links(applied: &Applied) -> bool {
    matches!(applied.action.as_str(), "cut" | "lossy" | "slow")
}

/// How many ranges a sentence names before it counts the rest.
const RANGES_MAX: usize = 12;

/// `3`, or `3-7`; several joined by commas, in order, those that touch or overlap as one.
pub fn ranges(slots: &[(u16, u16)]) -> String {
    let mut sorted = slots.to_vec();
    sorted.sort_unstable();
    let mut merged: Vec<(u16, u16)> = Vec::new();
    for (first, last) in sorted {
        match merged.last_mut() {
            Some(open) if first <= open.1.saturating_add(1) => open.1 = open.1.max(last),
            _ => merged.push((first, last)),
        }
    }
    let one = |(first, last): &(u16, u16)| {
        if first == last { first.to_string() } else { format!("{first}-{last}") }
    };
    let named = merged.iter().take(RANGES_MAX).map(one).collect::<Vec<_>>().join(",");
    match merged.len().saturating_sub(RANGES_MAX) {
        0 => named,
        more => format!("{named} and {more} more ranges"),
    }
}

/// `node-1, node-4`.
pub fn names<'a>(nodes: impl IntoIterator<Item = &'a NodeId>) -> String {
    nodes.into_iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
