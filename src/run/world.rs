//! What the actors of one run share: the clock's reading, the stamps, what is known of the cluster.
//!
//! One thread owns it all; nothing is held across a wait.

use super::record::{Applied, Last, Life, LogLine, Record};
use super::task::Local;
use super::view::ClusterView;
use super::workload::Intent;
use crate::entropy::Entropy;
use crate::env::{BUS, LinkRule, NodeId, NodeSpec};
use crate::fault::disk::Blow;
use crate::fault::kill::Signal;
use crate::fault::traffic::Traffic;
use crate::history::{
    Audit, Demand, Held, Lease, Operation, Outcome, QueueAct, Removable, Sight, Stamp, Stroke, Transfer,
    Vigil, Watch,
};
use crate::time::{Micros, Millis};
use crate::timeline::{Role, Timeline};
use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::task::Poll;

/// The handle that every actor holds.
pub type Shared = Rc<RefCell<World>>;

/// One node, as the run knows it.
#[derive(Clone, Debug)]
pub struct NodeState {
    pub node: NodeId,
    pub spec: NodeSpec,
    /// Where clients reach it, as the cluster prints it.
    pub address: Option<(String, u16)>,
    /// The shard it is in: where it began, then that of the primary that it follows.
    pub shard: u16,
    pub role: Role,
    pub up: bool,
    pub paused: bool,
    /// Taken out of the cluster on purpose by an operation.
    pub removed: bool,
    /// An event ended it for good.
    pub left_dead: bool,
    /// It came back under a new id and is no member yet.
    pub stranger: bool,
    /// The ids that it had before.
    pub former_ids: BTreeSet<String>,
    /// Its cluster node id, once known.
    pub id: Option<String>,
    pub incarnation: u32,
}

/// The latest revisions of each kind that anybody has heard of.
#[derive(Clone, Copy, Debug, Default)]
pub struct Revisions {
    pub current: i64,
    pub compacted: i64,
    pub last_delete: i64,
}

#[derive(Debug)]
pub struct World {
    pub timeline: Timeline,
    pub key: Entropy,
    pub now: Micros,
    pub wall: Micros,
    next_order: u64,
    pub next_actor: u32,
    /// Logical zero of the timeline, once the cluster was healthy.
    pub healthy_at: Option<Micros>,
    pub nodes: BTreeMap<NodeId, NodeState>,
    /// The primary of each shard, dead or alive, by the latest views.
    pub primaries: BTreeMap<u16, NodeId>,
    pub latest: Option<ClusterView>,
    pub views: Vec<ClusterView>,
    pub history: Vec<Operation>,
    /// Operations that are issued and have not come back, by client and index, as they stand if they never do.
    pub open: BTreeMap<(u32, u64), Vec<Operation>>,
    pub operations_skipped: u64,
    /// What watches were told so far.
    pub watches: Vec<Watch>,
    /// What came of sessions with their nodes, and who saw which of these, so far.
    pub sessions: Vec<Held>,
    pub sights: Vec<Sight>,
    /// Transfers and audits of accounts so far.
    pub transfers: Vec<Transfer>,
    pub audits: Vec<Audit>,
    /// What became of leases so far.
    pub leases: Vec<Lease>,
    /// What was asked that has to be refused or granted, so far.
    pub demands: Vec<Demand>,
    /// What watches on a tree told so far, and what was done to it.
    pub vigils: Vec<Vigil>,
    pub strokes: Vec<Stroke>,
    /// What clients did with a queue so far, and how many of them are not done with it.
    pub queue: Vec<QueueAct>,
    pub queuers: u32,
    /// What became so far of nodes that the system removes by itself.
    pub removables: Vec<Removable>,
    /// Revisions that later requests speak of, where the system has them.
    pub revisions: Revisions,
    /// Operations issued so far by client, for anchors.
    pub issued: BTreeMap<u32, u64>,
    /// Clients issue nothing while this is set.
    pub load_stopped: bool,
    pub lives: Vec<Life>,
    pub log_lines: Vec<LogLine>,
    pub applied: Vec<Applied>,
    pub stretches: Vec<(Micros, Millis)>,
    /// Rules in force on the link from one node to another, by the event that made them.
    pub links: BTreeMap<(NodeId, NodeId), BTreeMap<String, (Traffic, LinkRule)>>,
    /// Events that hold a node paused.
    pub paused_by: BTreeMap<NodeId, BTreeSet<String>>,
    /// How often a node's clock was set.
    pub clocks_set: BTreeMap<NodeId, u64>,
    /// What the run cannot go on with: a fault that is not in force, or not over, though it should be.
    pub broken: Option<String>,
    /// What rules on disks did, by the event that put them there; void once the event has ended.
    pub strikes: BTreeMap<String, Vec<(Micros, String)>>,
    /// Nodes that have said that they serve the others (`Target::starts_apart`).
    pub serving: BTreeSet<NodeId>,
    /// Nodes of whose folder a copy was kept, for an `older` restart.
    pub copied: BTreeSet<NodeId>,
    /// Replicas that were told to follow another shard's primary, with the id of the one that they followed, until they
    /// have been seen with their link to another up.
    pub newcomers: BTreeMap<NodeId, String>,
    /// Which event moves a slot; void once the event has ended.
    moving: BTreeMap<u16, String>,
    /// Between which nodes events move slots, by event; void once the event has ended.
    moves: Vec<(String, NodeId, NodeId)>,
    /// Lines for people, passed on as notes.
    pub notes: Vec<String>,
    /// Extra load that operations asked for: clients still to be started.
    pub bursts: Vec<(crate::target::operation::Burst, String)>,
    /// What an operation leaves running until the run ends, by event.
    stays: Stays,
}

#[derive(Default)]
struct Stays(BTreeMap<String, Local<()>>);

impl std::fmt::Debug for Stays {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// Both, side by side: an event may leave several things running, one per node that it took out.
fn together(one: Local<()>, other: Local<()>) -> Local<()> {
    let mut open = vec![one, other];
    Box::pin(std::future::poll_fn(move |context| {
        open.retain_mut(|future| future.as_mut().poll(context).is_pending());
        if open.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    }))
}

impl World {
    pub fn new(timeline: &Timeline) -> Self {
        Self {
            key: timeline.key(),
            timeline: timeline.clone(),
            now: Micros(0),
            wall: Micros(0),
            next_order: 0,
            next_actor: 1,
            healthy_at: None,
            nodes: BTreeMap::new(),
            primaries: BTreeMap::new(),
            latest: None,
            views: Vec::new(),
            history: Vec::new(),
            operations_skipped: 0,
            watches: Vec::new(),
            sessions: Vec::new(),
            sights: Vec::new(),
            transfers: Vec::new(),
            audits: Vec::new(),
            leases: Vec::new(),
            demands: Vec::new(),
            vigils: Vec::new(),
            strokes: Vec::new(),
            queue: Vec::new(),
            queuers: 0,
            removables: Vec::new(),
            revisions: Revisions::default(),
            issued: BTreeMap::new(),
            open: BTreeMap::new(),
            load_stopped: true,
            lives: Vec::new(),
            log_lines: Vec::new(),
            applied: Vec::new(),
            stretches: Vec::new(),
            links: BTreeMap::new(),
            paused_by: BTreeMap::new(),
            clocks_set: BTreeMap::new(),
            broken: None,
            strikes: BTreeMap::new(),
            serving: BTreeSet::new(),
            copied: BTreeSet::new(),
            moving: BTreeMap::new(),
            newcomers: BTreeMap::new(),
            moves: Vec::new(),
            notes: Vec::new(),
            bursts: Vec::new(),
            stays: Stays::default(),
        }
    }

    /// Leaves something running after the operation has ended, for as long as the run lasts.
    pub fn stays(&mut self, event: &str, future: Local<()>) {
        let both = match self.stays.0.remove(event) {
            Some(other) => together(other, future),
            None => future,
        };
        self.stays.0.insert(event.into(), both);
    }
    /// What an operation left running; the executor's to take.
    pub fn take_stay(&mut self, event: &str) -> Option<Local<()>> {
        self.stays.0.remove(event)
    }

    /// How many events and processes have begun and ended.
    pub fn happened(&self) -> usize {
        let healed = self.applied.iter().filter(|applied| applied.ended.is_some()).count();
        let gone = self.lives.iter().filter(|life| life.ended.is_some()).count();
        self.applied.len() + healed + self.lives.len() + gone
    }

    /// The next place in the order of recorded events, with the times.
    pub fn stamp(&mut self) -> Stamp {
        self.next_order += 1;
        Stamp { order: self.next_order, logical: self.now, wall: self.wall }
    }

    /// Counts an operation that a client issues now.
    pub fn issue(&mut self, client: u32) -> Stamp {
        *self.issued.entry(client).or_default() += 1;
        self.stamp()
    }

    /// A client issues one operation to a node: as it stands in the history if nobody ever answers.
    pub fn begin(&mut self, client: u32, intent: &Intent, node: NodeId) -> (u32, u64) {
        let invoke = self.issue(client);
        let open = Operation {
            client,
            index: intent.index,
            kind: intent.kind,
            key: intent.key,
            argument: intent.argument.clone(),
            invoke,
            complete: invoke,
            outcome: Outcome::Unknown("no answer".into()),
            node: Some(node),
            connection: None,
            redirects: Vec::new(),
            waited: None,
            transaction: None,
        };
        let place = (client, intent.index);
        self.open.insert(place, vec![open]);
        place
    }

    /// Writes an operation into the history as it came back, part by part, unless its client was given up before.
    pub fn close(&mut self, place: (u32, u64), came_back: impl Fn(usize, &mut Operation)) {
        for (part, mut operation) in self.open.remove(&place).into_iter().flatten().enumerate() {
            operation.complete = self.stamp();
            came_back(part, &mut operation);
            self.history.push(operation);
        }
    }

    /// Gives up what has not come back: what was sent may still be seen, so it stands in the history.
    pub fn close_all(&mut self) {
        while let Some((place, _)) = self.open.first_key_value() {
            self.close(*place, |_, _| {});
        }
    }

    /// A number for a new actor, unique in the run.
    pub fn actor_number(&mut self) -> u32 {
        self.next_actor += 1;
        self.next_actor - 1
    }

    /// The number that the next new node gets.
    pub fn next_node(&self) -> NodeId {
        NodeId(self.nodes.keys().next_back().map_or(0, |last| last.0 + 1))
    }

    /// Adds a node that begins in `shard`.
    pub fn add_node(&mut self, spec: NodeSpec, shard: u16, role: Role) -> NodeId {
        let node = self.next_node();
        let state = NodeState {
            node,
            spec,
            address: None,
            shard,
            role,
            up: false,
            paused: false,
            removed: false,
            left_dead: false,
            stranger: false,
            former_ids: BTreeSet::new(),
            id: None,
            incarnation: 0,
        };
        self.nodes.insert(node, state);
        node
    }

    /// Notes that an event is about to send a signal.
    pub fn announce(&mut self, node: NodeId, event: &str, signal: Signal) {
        if let Some(life) = self.lives.iter_mut().rev().find(|life| life.node == node && life.ended.is_none())
        {
            life.signalled.push((event.into(), signal.number()));
        }
    }

    /// A rule that an event put on a node's disk struck. A blow is that event's doing: the end that follows is no
    /// crash, and a stop is one of its own.
    pub fn struck(&mut self, node: NodeId, event: &str, blow: Option<Blow>, what: String) {
        self.strikes.entry(event.into()).or_default().push((self.now, what));
        match blow {
            None => {}
            Some(Blow::Pause) => self.pause(node, event),
            Some(Blow::Kill | Blow::Torn | Blow::Power) => self.announce(node, event, Signal::Kill),
        }
    }

    /// A node is stopped in an event's name.
    pub fn pause(&mut self, node: NodeId, event: &str) {
        self.paused_by.entry(node).or_default().insert(event.into());
        let now = self.now;
        if let Some(state) = self.nodes.get_mut(&node) {
            state.paused = true;
        }
        if let Some(life) = self.lives.iter_mut().rev().find(|life| life.node == node) {
            life.paused.push((now, None));
        }
    }

    /// An event holds a node no longer. Whether no other does: it is to go on.
    pub fn release(&mut self, node: NodeId, event: &str) -> bool {
        let holders = self.paused_by.entry(node).or_default();
        holders.remove(event) && holders.is_empty()
    }

    /// A node goes on.
    pub fn resume(&mut self, node: NodeId) {
        let now = self.now;
        if let Some(state) = self.nodes.get_mut(&node) {
            state.paused = false;
        }
        if let Some(life) = self.lives.iter_mut().rev().find(|life| life.node == node) {
            life.paused.iter_mut().filter(|(_, end)| end.is_none()).for_each(|(_, end)| *end = Some(now));
        }
    }

    /// Whether an event that is under way moves this slot.
    pub fn is_moving(&self, slot: u16) -> bool {
        let under_way = |event: &String| self.applied.iter().any(|a| a.event == *event && a.ended.is_none());
        self.moving.get(&slot).is_some_and(under_way)
    }
    /// Says that an event moves these slots from now on.
    pub fn move_slots(&mut self, event: &str, slots: &[u16]) {
        self.moving.extend(slots.iter().map(|slot| (*slot, event.to_string())));
    }

    /// Whether an event under way moves slots from this node or to it.
    pub fn gives_or_takes(&self, node: NodeId) -> bool {
        let under_way = |event: &String| self.applied.iter().any(|a| a.event == *event && a.ended.is_none());
        self.moves.iter().any(|(event, from, to)| (*from == node || *to == node) && under_way(event))
    }

    /// Lets an event move slots from one node to another, unless one of them both gave and took then.
    pub fn may_move(&mut self, event: &str, from: NodeId, to: NodeId) -> bool {
        let applied = &self.applied;
        self.moves.retain(|(other, _, _)| applied.iter().any(|a| a.event == *other && a.ended.is_none()));
        let free = self.moves.iter().all(|(_, giver, taker)| *giver != to && *taker != from);
        if free {
            self.moves.push((event.into(), from, to));
        }
        free
    }

    /// Nodes that belong to the cluster, by number, dead or alive.
    pub fn members(&self) -> Vec<NodeId> {
        self.nodes.values().filter(|n| !n.removed).map(|n| n.node).collect()
    }
    /// Nodes that run, are not paused and belong to the cluster, by number.
    pub fn live(&self) -> Vec<NodeId> {
        self.nodes.values().filter(|n| n.up && !n.paused && !n.removed).map(|n| n.node).collect()
    }
    pub fn is_live(&self, node: NodeId) -> bool {
        self.nodes.get(&node).is_some_and(|n| n.up && !n.paused && !n.removed)
    }
    pub fn primary(&self, shard: u16) -> Option<NodeId> {
        self.primaries.get(&shard).copied()
    }
    /// The nodes of a shard other than its primary, by number, dead or alive.
    pub fn replicas(&self, shard: u16) -> Vec<NodeId> {
        let primary = self.primary(shard);
        let members =
            self.nodes.values().filter(|n| n.shard == shard && !n.removed && Some(n.node) != primary);
        members.map(|n| n.node).collect()
    }
    pub fn shard_of(&self, node: NodeId) -> Option<u16> {
        self.nodes.get(&node).map(|n| n.shard)
    }
    pub fn node_at(&self, address: &str, port: u16) -> Option<NodeId> {
        let at = |n: &&NodeState| {
            n.address.as_ref().is_some_and(|(a, p)| *p == port && (a == address || address.is_empty()))
        };
        self.nodes.values().find(at).map(|n| n.node)
    }
    /// Where its peers reach a node.
    pub fn bus_of(&self, node: NodeId) -> Option<(String, u16)> {
        let (address, port) = self.nodes.get(&node)?.address.clone()?;
        Some((address, port.checked_add(BUS)?))
    }
    /// The node whose peers reach it there.
    pub fn node_with_bus(&self, address: &str, port: u16) -> Option<NodeId> {
        self.node_at(address, port.checked_sub(BUS)?)
    }
    /// A node by its cluster node id, as it last said.
    pub fn node_of_id(&self, id: &str) -> Option<NodeId> {
        self.nodes.values().find(|n| n.id.as_deref() == Some(id)).map(|n| n.node)
    }
    /// Logical time since the cluster was healthy.
    pub fn elapsed(&self) -> Millis {
        self.healthy_at.map_or(Millis(0), |zero| self.now.since(zero).millis())
    }
    pub fn password(&self) -> Option<&'static str> {
        self.timeline.cluster.password.then_some(PASSWORD)
    }

    /// The record of all that has been seen so far.
    pub fn record(&self, last: Option<Last>) -> Record {
        Record {
            timeline: self.timeline.clone(),
            healthy_at: self.healthy_at.unwrap_or(self.now),
            healed_at: self.now,
            load_stopped_at: self
                .history
                .iter()
                .map(|operation| operation.complete.logical)
                .max()
                .unwrap_or(self.now),
            applied: self.applied.clone(),
            history: self.history.clone(),
            operations_skipped: self.operations_skipped,
            views: self.views.clone(),
            last,
            lives: self.lives.clone(),
            log_lines: self.log_lines.clone(),
            stretches: self.stretches.clone(),
            watches: self.watches.clone(),
            sessions: self.sessions.clone(),
            sights: self.sights.clone(),
            transfers: self.transfers.clone(),
            audits: self.audits.clone(),
            leases: self.leases.clone(),
            demands: self.demands.clone(),
            vigils: self.vigils.clone(),
            strokes: self.strokes.clone(),
            queue: self.queue.clone(),
            removables: self.removables.clone(),
            ended_early: None,
            said: Vec::new(),
            messages: Vec::new(),
        }
    }

    /// Takes a new view in: ids, roles, shards and primaries follow it.
    pub fn learn(&mut self, view: ClusterView) {
        // By shard: the claim with slots before one without, then the higher epoch, then the lower number.
        let mut best: BTreeMap<u16, (bool, u64, Reverse<NodeId>)> = BTreeMap::new();
        let mut follows: Vec<(NodeId, String)> = Vec::new();
        for (node, report) in view.answered() {
            let Some(state) = self.nodes.get_mut(&node) else { continue };
            state.id = Some(report.id.clone());
            state.role = report.replication.role;
            let Some(me) = report.myself() else { continue };
            let followed = me.primary.as_ref().filter(|_| report.replication.link_up);
            if followed
                .is_some_and(|primary| self.newcomers.get(&node).is_some_and(|former| former != primary))
            {
                self.newcomers.remove(&node);
            }
            match (&me.primary, me.role) {
                (Some(primary), Role::Replica) => follows.push((node, primary.clone())),
                (_, Role::Primary) if !state.removed => {
                    let claim = (!me.slots.is_empty(), me.config_epoch, Reverse(node));
                    let held = best.entry(state.shard).or_insert(claim);
                    *held = (*held).max(claim);
                }
                _ => {}
            }
        }
        for (shard, (has_slots, _, Reverse(node))) in best {
            // A node without slots does not displace the last known primary of the shard.
            if has_slots || !self.primaries.contains_key(&shard) {
                self.primaries.insert(shard, node);
            }
        }
        for (node, primary) in follows {
            if let Some(shard) = self.node_of_id(&primary).and_then(|p| self.shard_of(p))
                && let Some(state) = self.nodes.get_mut(&node)
            {
                state.shard = shard;
            }
        }
        self.latest = Some(view);
    }
}

/// What clients and nodes authenticate by where the timeline asks for a password. It guards nothing: the
/// servers listen on the loopback interface of one run.
pub const PASSWORD: &str = "seedfault";
/// The ACL user that clients take where the timeline asks for one.
pub const ACL_USER: &str = "fuzz";
