//! Who lives, who leads, and whether the cluster can be used: a node's watch over the others.
//!
//! As in Redis Cluster, a node that was not heard for the node timeout is suspected (`fail?`), it has failed
//! when a majority of the primaries with slots suspect it, and a node that does not reach such a majority
//! refuses commands. Unlike there, elections belong to the consensus library; what this file adds is to make
//! its outcome known: the elected leader of a shard asks the map to name it primary.

use super::command::Command;
use super::node::{ASK_AGAIN_US, Body, Node, Out};
use super::session::Gossip;
use std::sync::Arc;

/// How often a replica takes the lead under the bug `usurping_replica`.
const USURP_EVERY_US: u64 = 3_000_000;
/// How long a replica waits under the bug `sleepy_election`.
const SLEEPY_US: u64 = 300_000_000;

impl Node {
    /// Something came from that node: it lives.
    pub(super) fn heard_from(&mut self, from: u16, gossip: Gossip) {
        let peer = usize::from(from);
        self.heard[peer] = self.now;
        self.gossip[peer] = gossip;
        if self.suspects >> from & 1 == 1 {
            self.suspects &= !(1 << from);
            if self.failed >> from & 1 == 1 {
                self.failed &= !(1 << from);
                let id = self.shape.ids[peer].clone();
                self.log(format!("Clear FAIL state for node {id}: is reachable again."));
            }
            self.watch_state();
        }
        if gossip.map_version < self.map.version {
            self.tell_map(from);
        }
    }

    /// The primaries that own slots, by this node's map.
    fn voting_primaries(&self) -> impl Iterator<Item = u16> + '_ {
        self.map.shards.iter().filter(|shard| shard.slots > 0).map(|shard| shard.primary)
    }

    /// Looks at what has changed: suspicions, failures, the cluster's state, leadership.
    pub(super) fn watch(&mut self) {
        let me = self.id;
        for peer in (0..self.heard.len() as u16).filter(|peer| *peer != me) {
            let silent = self.now > self.heard[usize::from(peer)] + self.shape.node_timeout_us;
            if silent && self.suspects >> peer & 1 == 0 {
                self.suspects |= 1 << peer;
                if self.map.shards[usize::from(self.shard)].primary == peer {
                    let offset = self.data().applied;
                    self.log(format!(
                        "Start of election delayed for 0 milliseconds (rank #0, offset {offset})."
                    ));
                }
            }
        }
        let mut new = self.suspects & !self.failed;
        while new != 0 {
            let peer = new.trailing_zeros() as u16;
            new &= new - 1;
            let size = self.voting_primaries().count();
            let reports = self.voting_primaries().filter(|primary| {
                *primary == self.id
                    || self.suspects >> *primary & 1 == 0
                        && self.gossip[usize::from(*primary)].suspects >> peer & 1 == 1
            });
            if reports.count() > size / 2 {
                self.failed |= 1 << peer;
                let id = self.shape.ids[usize::from(peer)].clone();
                self.log(format!("Marking node {id} as failing (quorum reached)."));
            }
        }
        self.watch_state();
        self.lead_or_hand_over();
    }

    /// The cluster can be used while a majority of the primaries with slots is within reach.
    pub(super) fn watch_state(&mut self) {
        let size = self.voting_primaries().count();
        let reached = self
            .voting_primaries()
            .filter(|node| *node == self.id || self.suspects >> *node & 1 == 0)
            .count();
        let ok = reached > size / 2;
        if ok != self.cluster_ok {
            self.cluster_ok = ok;
            self.log(format!("Cluster state changed: {}", if ok { "ok" } else { "fail" }));
        }
    }

    /// Whether a majority of the log's members was heard within the node timeout.
    pub(super) fn hears_majority(&self) -> bool {
        let members = &self.data().members;
        let heard =
            members.iter().filter(|node| **node == self.id || self.suspects >> **node & 1 == 0).count();
        heard > members.len() / 2
    }

    /// An elected leader asks to be named primary; an elected witness asks a data node to lead.
    pub(super) fn lead_or_hand_over(&mut self) {
        for place in 0..self.groups.len() {
            let (log, group) = &self.groups[place];
            let witness = *log != self.shard && *log != self.shape.map_log();
            if !witness || !group.leads() || self.now < self.lead_asked_at + ASK_AGAIN_US {
                continue;
            }
            let (log, members) = (*log, group.members.clone());
            let live = members.iter().filter(|node| **node != self.id && self.suspects >> **node & 1 == 0);
            let best =
                live.max_by_key(|node| (self.gossip[usize::from(**node)].offset, std::cmp::Reverse(**node)));
            if let Some(best) = best.copied() {
                self.lead_asked_at = self.now;
                self.send(best, Body::Lead { shard: log });
            }
        }
        let bugs = self.shape.bugs;
        if bugs.usurping_replica && !self.is_primary() && self.now >= self.usurped_at + USURP_EVERY_US {
            self.usurped_at = self.now;
            self.groups[0].1.try_to_lead();
        }
        let Some(since) = self.leads_since else { return };
        if !self.data().leads() || self.is_primary() || bugs.never_fails_over {
            return;
        }
        if bugs.sleepy_election && self.now < since + SLEEPY_US {
            return;
        }
        if self.promote_at == 0 || self.now >= self.promote_at + ASK_AGAIN_US {
            self.promote_at = self.now;
            let round = self.data().round();
            self.ask_map(Arc::new(Command::Promote { shard: self.shard, primary: self.id, round }));
        }
    }

    /// Notes a change of its shard's leader, for the log and for the request to be named primary.
    pub(super) fn notice_leader(&mut self) {
        for place in 0..self.groups.len() {
            let (log, group) = &mut self.groups[place];
            let leader = group.leader().map(|(leader, _)| leader);
            if leader != group.leader_seen && *log != self.shape.map_log() {
                let followed = group.leader_seen.is_some();
                let log = *log;
                if log != self.shard {
                    group.leader_seen = leader;
                }
                if let Some(leader) = leader.filter(|leader| followed && *leader != self.id) {
                    let (id, epoch) = (&self.shape.ids[usize::from(leader)], self.map.epoch + 1);
                    self.out.push(Out::Log(format!("Failover auth granted to {id} for epoch {epoch}")));
                }
            }
        }
        let (leader, accepts) = match self.data().leader() {
            Some((leader, accepts)) => (Some(leader), accepts),
            None => (None, false),
        };
        if leader != self.data().leader_seen {
            self.groups[0].1.leader_seen = leader;
            self.leads_since = None;
            self.promote_at = 0;
            if leader == Some(self.id) && !self.is_primary() {
                let epoch = self.map.epoch + 1;
                self.log(format!("Starting a failover election for epoch {epoch}."));
            } else if leader.is_some() && leader != Some(self.id) {
                self.log("MASTER <-> REPLICA sync started".into());
            }
        }
        if leader == Some(self.id) && accepts && self.leads_since.is_none() {
            self.leads_since = Some(self.now);
            self.lead_or_hand_over();
        }
    }
}
