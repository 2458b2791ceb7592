//! Which documentation excuses the loss of an acknowledged write, if any does.
//!
//! Each class is a rule with its citation ([`CLASSES`]); the first that fits counts. A loss that none fits is a
//! failure, and so is one that a rule of promise forbids: a write that every replica had confirmed, a hole in
//! one primary's stream.

use super::super::facts::{Facts, Owners, SLOTS, disruptive, fouls_links, in_force, skipped};
use super::super::owed::{detect, last_report, promotion_bound};
use crate::env::NodeId;
use crate::history::{OpKind, Operation, Outcome, Value};
use crate::run::record::{Applied, Life};
use crate::run::view::NodeReport;
use crate::time::{Micros, Millis};
use crate::timeline::Role;
use std::collections::{BTreeMap, BTreeSet};

/// Every excuse: its class, its rule, and where it is documented.
pub const CLASSES: &[(&str, &str, &str)] = &[
    (
        "slot-moved-under-fault",
        "the slot was on the move when something disruptive struck",
        "valkey.io/commands/cluster-setslot: moving is several commands, and ownership changes without consensus",
    ),
    (
        "restarted-stale",
        "an owner of the slot came back empty, wiped or with older data, by the timeline's will",
        "valkey.io/topics/replication, 'Safety of replication when primary has persistence turned off'",
    ),
    (
        "failover-forced",
        "a replica took over by FORCE or TAKEOVER, without the primary's consent",
        "valkey.io/commands/cluster-failover, FORCE and TAKEOVER: the replica does not wait for the primary's data",
    ),
    (
        "epoch-raised",
        "a primary that had been replaced got the slot back by an epoch that it was told to take",
        "valkey.io/commands/cluster-bumpepoch: without consensus it may set aside the rule that the last failover wins",
    ),
    (
        "clock-ran-under-failover",
        "a primary whose clock was moved took writes again before the manual failover that held them back was over",
        "valkey.io/commands/cluster-failover: the primary stops its clients for a time, which it reads off its wall clock",
    ),
    (
        "deposed-primary-window",
        "a primary that had been replaced acknowledged it before it could know",
        "valkey.io/topics/cluster-spec, 'Write safety': a stopped or cut-off primary accepts until the node timeout",
    ),
    (
        "killed-primary-async-window",
        "the owner's process ended after it acknowledged, and a replica took over",
        "valkey.io/topics/cluster-spec, 'Write safety': replication is asynchronous, the last writes may be lost",
    ),
    (
        "paused-primary-async-window",
        "the owner was stopped after it acknowledged, and a replica took over",
        "valkey.io/topics/cluster-spec, 'Write safety': replication is asynchronous, the last writes may be lost",
    ),
    (
        "cut-off-primary-window",
        "the owner was cut off, or a majority of the primaries was, and a replica took over",
        "valkey.io/topics/cluster-spec, 'Write safety': writes to the minority side are lost",
    ),
    (
        "appendfsync-everysec",
        "the owner came back with its data and had acknowledged it in the last seconds before it was killed",
        "valkey.io/topics/persistence: with appendfsync everysec a write may wait up to two seconds",
    ),
    (
        "appendfsync-no",
        "the owner lost its power and came back with what the system had written by itself",
        "valkey.io/topics/persistence: with appendfsync no the data is in the hands of the operating system",
    ),
    (
        "aof-write-error",
        "the owner could not write its append-only file, and ended before it could",
        "aof.c, flushAppendOnlyFile: but for appendfsync always what cannot be written stays in memory",
    ),
    (
        "restarted-from-snapshot",
        "the owner came back with the data of its last save; no append-only file was kept",
        "valkey.io/topics/persistence: snapshots lose what was written since the last one",
    ),
];

/// How long `appendfsync everysec` may hold a write back, and a second for the times of our own records.
const EVERYSEC: Millis = Millis(3000);

/// The periodic views are a second apart, or two when a node was slow to answer.
const LOOKS_APART: Millis = Millis(3000);

#[derive(Debug)]
pub struct Excuses<'a, 'b> {
    pub facts: &'b Facts<'a>,
    disruptive: Vec<&'a Applied>,
    moved: BTreeSet<u16>,
}

impl<'a, 'b> Excuses<'a, 'b> {
    pub fn of(facts: &'b Facts<'a>) -> Self {
        let disruptive = disruptive(&facts.record.applied, &facts.record.timeline);
        Self { facts, disruptive, moved: facts.slots_moved() }
    }

    /// The class of a loss, or why it is a failure.
    pub fn class(&self, write: &Operation, slot: u16) -> Result<&'static str, String> {
        if self.facts.consensus() {
            return Err("the target acknowledges only what a majority of its log holds".into());
        }
        if self.disruptive.is_empty() {
            return Err("no disruptive event happened in this run".into());
        }
        if let Some(by) = self.confirmed(write, slot) {
            return Err(format!(
                "every replica that could be promoted had confirmed it by {}",
                self.facts.record.when(by)
            ));
        }
        if self.moved.contains(&slot) {
            return Ok("slot-moved-under-fault");
        }
        let owners = self.owners_since(write, slot);
        self.excuse(write, slot, &owners).ok_or_else(|| "no rule of the documentation covers it".into())
    }

    /// Who acknowledged it and who owned the slot from then on.
    fn owners_since(&self, write: &Operation, slot: u16) -> Vec<NodeId> {
        let mut owners: Vec<NodeId> = write.node.into_iter().collect();
        for snapshot in self.facts.owners_between(write.invoke.logical, self.facts.end()) {
            owners.extend(snapshot.owner(slot).filter(|owner| owners.last() != Some(owner)));
        }
        owners
    }

    fn excuse(&self, write: &Operation, slot: u16, owners: &[NodeId]) -> Option<&'static str> {
        let from = write.invoke.logical;
        let facts = self.facts;
        let lives = || facts.record.lives.iter().filter(|life| owners.contains(&life.node));
        if lives().any(|life| life.stale.is_some() && life.started >= from) {
            return Some("restarted-stale");
        }
        let concerns = |one: &&&Applied| {
            let shards: BTreeSet<_> = owners.iter().filter_map(|node| facts.shard(*node)).collect();
            one.ended.is_none_or(|ended| ended.plus(detect(facts.node_timeout())) >= from)
                && one.resolved.iter().any(|node| {
                    owners.contains(node) || facts.shard(*node).is_some_and(|shard| shards.contains(&shard))
                })
        };
        if self.disruptive.iter().filter(concerns).any(|one| one.action == "failover") {
            return Some("failover-forced");
        }
        let raised = |one: &&&Applied| {
            one.action == "bump_epoch" && one.resolved.iter().any(|node| owners.contains(node))
        };
        if owners.len() > 1 && self.disruptive.iter().filter(concerns).any(|one| raised(&one)) {
            return Some("epoch-raised");
        }
        if self.clock_ran_under_failover(write, owners) {
            return Some("clock-ran-under-failover");
        }
        // Replaced: another node owned the slot at some time after this one was struck.
        let replaced = |node: NodeId, struck: Micros| {
            let later = facts.owners_between(struck, facts.end());
            later.iter().any(|snapshot| snapshot.owner(slot).is_some_and(|owner| owner != node))
        };
        if let Some(node) = write.node {
            // A new owner acknowledges before the next view shows it, so the views just after count as well.
            let around = facts.owners_between(from, write.complete.logical.plus(LOOKS_APART));
            let elsewhere = |snapshot: &Owners| snapshot.owner(slot).is_some_and(|owner| owner != node);
            let grace = detect(facts.node_timeout());
            let just_back = lives().filter(|life| life.node == node).any(|life| {
                let back = life.paused.iter().filter_map(|(_, until)| *until);
                back.clone().any(|at| at <= write.complete.logical && from <= at.plus(grace))
                    || (life.started <= write.complete.logical && from <= life.started.plus(grace))
            });
            // The election that its absence began may end after it is back: then views just before the write still
            // show it as the owner.
            if just_back && around.iter().any(elsewhere) {
                return Some("deposed-primary-window");
            }
            if around.iter().all(elsewhere) {
                let stopped = facts.life_at(node, from).is_some_and(|life| {
                    life.paused.iter().any(|(_, until)| until.is_none_or(|until| until >= from))
                });
                // Its links were bad a moment ago: what it was told of the election may still be on its way.
                let unreached = self.disruptive.iter().filter(concerns).any(|one| {
                    fouls_links(one) && one.resolved.contains(&node) && one.started <= write.complete.logical
                });
                return (stopped || unreached).then_some("deposed-primary-window");
            }
        }
        for life in lives() {
            if let Some((ended, _)) = life.ended.filter(|(ended, _)| *ended >= from)
                && replaced(life.node, ended)
            {
                return Some("killed-primary-async-window");
            }
        }
        for life in lives() {
            let mut stops = life.paused.iter().filter(|(_, until)| until.is_none_or(|until| until >= from));
            if stops.any(|(at, _)| replaced(life.node, *at)) {
                return Some("paused-primary-async-window");
            }
        }
        let struck = self.disruptive.iter().filter(concerns).any(|one| fouls_links(one));
        if struck || self.majority_fouled(from) {
            return Some("cut-off-primary-window");
        }
        lives().find_map(|life| self.reloaded(write, life))
    }

    /// A clock that jumps or runs away in the middle of a manual failover ends the pause of its primary's clients, and
    /// the failover's own time-out (`manualFailoverCheckTimeout` in cluster.c), while its replica goes on to be elected.
    fn clock_ran_under_failover(&self, write: &Operation, owners: &[NodeId]) -> bool {
        let (from, facts) = (write.invoke.logical, self.facts);
        let meets = |one: &Applied, other: &Applied| {
            let before = |a: &Applied, b: &Applied| a.ended.is_none_or(|ended| ended >= b.started);
            before(one, other) && before(other, one)
        };
        let clocks = self.disruptive.iter().filter(|one| {
            matches!(one.action.as_str(), "clock_skew" | "clock_strobe")
                && one.resolved.iter().any(|node| owners.contains(node))
        });
        let failovers =
            || facts.record.applied.iter().filter(|one| one.action == "failover" && !skipped(one));
        clocks.into_iter().any(|clock| {
            failovers().any(|one| {
                let here = one.resolved.iter().any(|node| owners.contains(node));
                let late = one.ended.is_none_or(|ended| ended.plus(detect(facts.node_timeout())) >= from);
                here && late && one.started <= write.complete.logical && meets(one, clock)
            })
        })
    }

    /// The links of a majority of the slot-owning primaries were bad, so late that the elections that follow may end
    /// now: together they take any other for failed, and replace it, though nothing struck it.
    fn majority_fouled(&self, at: Micros) -> bool {
        let facts = self.facts;
        let late = promotion_bound(facts.node_timeout(), facts.record.timeline.cluster.replicas, 0);
        let since = Micros(at.0.saturating_sub(late.0 * 1000));
        let links = |one: &&&Applied| {
            let until = at.plus(detect(facts.node_timeout()));
            fouls_links(one) && one.started <= until && one.ended.is_none_or(|ended| ended >= since)
        };
        let fouled = self.disruptive.iter().filter(links).flat_map(|one| &one.resolved);
        let fouled: BTreeSet<NodeId> = fouled.copied().collect();
        facts.owners_between(since, at).iter().any(|snapshot| {
            let owners = snapshot.nodes();
            owners.intersection(&fouled).count() * 2 > owners.len()
        })
    }

    /// The owner was killed, was not replaced, and came back with what its disk held.
    fn reloaded(&self, write: &Operation, life: &Life) -> Option<&'static str> {
        let (ended, _) = life.ended.filter(|(ended, _)| *ended >= write.invoke.logical)?;
        let back = |next: &&Life| next.node == life.node && next.incarnation > life.incarnation;
        self.facts.record.lives.iter().find(back)?;
        if self.facts.setting("appendonly") != Some("yes") {
            return Some("restarted-from-snapshot");
        }
        let always = self.facts.setting("appendfsync") == Some("always");
        let recent = ended.since(write.complete.logical).millis() <= EVERYSEC;
        if always {
            return None;
        }
        if recent {
            return Some("appendfsync-everysec");
        }
        let window = (write.invoke.logical, ended);
        let held = |faults: &[&str]| in_force(self.facts.record, life.node, window, faults);
        if self.facts.setting("appendfsync") == Some("no") && held(&["power_loss", "strike_at"]) {
            return Some("appendfsync-no");
        }
        held(&["disk_error", "full_disk"]).then_some("aof-write-error")
    }

    /// When every replica that could take over certainly had the write, with nothing since that could void it.
    fn confirmed(&self, write: &Operation, slot: u16) -> Option<Micros> {
        let facts = self.facts;
        let primary = write.node?;
        let incarnation = facts.life_at(primary, write.complete.logical)?.incarnation;
        // Whose answer it was is not known: one that lies in the connection is read when the process that gave it is gone
        // (tcp(7): what has arrived stays to be read), and its place may be taken already.
        let between = |at: Micros| write.invoke.logical <= at && at <= write.complete.logical;
        let gone = |life: &Life| life.node == primary && life.ended.is_some_and(|(ended, _)| between(ended));
        if self.moved.contains(&slot) || facts.evicting() || facts.record.lives.iter().any(gone) {
            return None;
        }
        let (by, replicas) = self.confirmed_by_wait(write, primary).or_else(|| {
            // The write is within the primary's offset of the second view after its return: the first answer
            // may have been on its way when the write was executed.
            let own = |(at, _): &(Micros, &NodeReport)| {
                facts.life_at(primary, *at).is_some_and(|life| life.incarnation == incarnation)
            };
            let mut seen = reports_after(facts, primary, write.complete.logical)
                .filter(own)
                .take_while(|(_, report)| report.replication.role == Role::Primary);
            seen.next()?;
            let (at, report) = seen.next()?;
            let replicas = replicas_of(facts, at, &report.id);
            let mut by = at;
            for replica in &replicas {
                by = by.max(caught_up(facts, *replica, at, report)?);
            }
            (!replicas.is_empty()).then_some((by, replicas))
        })?;
        let mut holders: BTreeMap<NodeId, u32> = BTreeMap::from([(primary, incarnation)]);
        for replica in replicas {
            holders.insert(replica, facts.life_at(replica, by)?.incarnation);
        }
        // Void if the slot was ever owned by a node, or a process, that was not among the holders.
        let owners: BTreeSet<NodeId> =
            facts.owners_between(by, facts.end()).iter().filter_map(|one| one.owner(slot)).collect();
        if !owners.iter().all(|owner| holders.contains_key(owner)) {
            return None;
        }
        let forced = self
            .disruptive
            .iter()
            .any(|one| matches!(one.action.as_str(), "failover" | "bump_epoch") && one.started >= by);
        let reborn_as_owner = facts.record.lives.iter().any(|life| {
            holders.get(&life.node).is_some_and(|held| life.incarnation > *held)
                && (facts.owners_at(life.started).owner(slot) == Some(life.node)
                    || facts.owners_at(facts.end()).owner(slot) == Some(life.node))
        });
        (!forced && !reborn_as_owner).then_some(by)
    }

    fn confirmed_by_wait(&self, write: &Operation, primary: NodeId) -> Option<(Micros, Vec<NodeId>)> {
        // What found nothing to delete is no write: `WAIT` answers at once, whatever was written before has come or not
        // (valkey.io/commands/wait).
        if write.kind == OpKind::Delete && write.outcome == Outcome::Ok(Value::Number(0)) {
            return None;
        }
        let facts = self.facts;
        let waited = write.waited? as usize;
        let (before, report) = last_report(facts, primary, write.invoke.logical)?;
        let replicas = replicas_of(facts, before, &report.id);
        let (after, _) = reports_after(facts, primary, write.complete.logical).next()?;
        let same = replicas_of(facts, after, &report.id) == replicas;
        (same && !replicas.is_empty() && waited >= replicas.len()).then_some((after, replicas))
    }

    /// The reign in which a primary acknowledged a write: node, process and configuration epoch. A node that was
    /// replaced and promoted again has a higher epoch, so equal reigns are one stretch of one stream.
    pub fn reign(&self, write: &Operation) -> Option<(NodeId, u32, u64)> {
        let facts = self.facts;
        let node = write.node?;
        let life = facts.life_at(node, write.invoke.logical)?;
        let (seen, report) = last_report(facts, node, write.invoke.logical)?;
        let me = report.myself().filter(|me| me.role == Role::Primary && seen >= life.started)?;
        if life.ended.is_some_and(|(ended, _)| ended <= write.complete.logical) {
            return None;
        }
        if let Some((at, next)) = reports_after(facts, node, write.complete.logical).next()
            && facts.life_at(node, at).is_some_and(|later| later.incarnation == life.incarnation)
            && next.myself().is_none_or(|later| later.config_epoch != me.config_epoch)
        {
            return None;
        }
        let taken_over = facts.record.applied.iter().any(|one| {
            one.action == "failover"
                && !skipped(one)
                && one.started <= write.complete.logical
                && one.ended.is_none_or(|ended| ended >= seen)
        });
        (!taken_over).then_some((node, life.incarnation, me.config_epoch))
    }

    /// Whether a later owner of the slot may have come from a disk instead of the stream, or from elsewhere.
    pub fn stream_broken(&self, write: &Operation, slot: u16) -> bool {
        let facts = self.facts;
        let from = write.complete.logical;
        let reborn = facts.record.lives.iter().any(|life| {
            life.incarnation > 1
                && life.started > from
                && facts
                    .owners_between(life.started, facts.end())
                    .iter()
                    .any(|snapshot| snapshot.owner(slot) == Some(life.node))
        });
        reborn || self.moved.contains(&slot) || slot >= SLOTS || facts.evicting()
    }
}

/// What a node said after a moment, in order.
fn reports_after<'a>(
    facts: &Facts<'a>,
    node: NodeId,
    after: Micros,
) -> impl Iterator<Item = (Micros, &'a NodeReport)> {
    let views = facts.record.views.iter().filter(move |view| view.at > after);
    views.filter_map(move |view| Some((view.at, view.report(node)?)))
}

/// The nodes that called themselves replicas of this primary in the view of a moment.
fn replicas_of(facts: &Facts<'_>, at: Micros, primary: &str) -> Vec<NodeId> {
    let Some(view) = facts.record.views.iter().find(|view| view.at == at) else { return Vec::new() };
    let follows = |report: &NodeReport| {
        report.replication.role == Role::Replica
            && report.myself().and_then(|me| me.primary.as_deref()) == Some(primary)
    };
    view.answered().filter(|(_, report)| follows(report)).map(|(node, _)| node).collect()
}

/// When a replica was first seen at the primary's offset in the same stream.
fn caught_up(facts: &Facts<'_>, replica: NodeId, at: Micros, primary: &NodeReport) -> Option<Micros> {
    let views = facts.record.views.iter().filter(|view| view.at >= at);
    let mut reached = views.filter(|view| {
        view.report(replica).is_some_and(|report| {
            report.replication.role == Role::Replica
                && report.replication.replication_id == primary.replication.replication_id
                && report.replication.offset >= primary.replication.offset
        })
    });
    reached.next().map(|view| view.at)
}
