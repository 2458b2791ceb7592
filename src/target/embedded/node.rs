//! One node: the logs that it keeps, its sessions with the others, its view of the map, its clients.
//!
//! A node is a pure state machine. It is given what happened with the time on its own clock, and answers with
//! [`Out`]s; it has no clock, no thread and no socket. What it promises to others (a vote, an accepted entry)
//! leaves it only when the disk has it: messages of the library that were made while something was unsynced
//! wait for the sync that covers it.
//!
//! The parts: `client` reads and answers commands, `gossip` watches the others and the cluster's state,
//! `moving` carries slots from shard to shard, `report` says what the node sees in the words of Redis Cluster.

use super::client::Client;
use super::command::{Bytes, Command};
use super::disk::Disk;
use super::group::{Group, GroupMessage, Step};
use super::machine::{Machine, Map, Shard, Value};
use super::placement::Shape;
use super::session::{Arrived, Gossip, Packet, Session};
use omnipaxos::messages::sequence_paxos::PaxosMsg;
use omnipaxos::storage::SnapshotType;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

/// The time between two ticks of a node, on its own clock.
pub const TICK_US: u64 = 20_000;
/// A sign of life to every other node, at least so often.
const SIGN_OF_LIFE_US: u64 = 250_000;
/// What is asked of the map's voters is asked again after this.
pub(super) const ASK_AGAIN_US: u64 = 250_000;
/// A client's command that is not decided by then is proposed once more.
const PROPOSE_AGAIN_US: u64 = 300_000;

/// What a node keeps over its death.
#[derive(Debug)]
pub struct Disks {
    /// One for each log, by the log's number; `None` for logs that this node does not keep.
    logs: Vec<Option<Disk>>,
    /// The newest map that it has seen (`nodes.conf`).
    map: Arc<Map>,
}

impl Disks {
    pub fn new(shape: &Shape, node: u16) -> Self {
        let map = Arc::new(Map::new(&shape.cluster));
        let disk = |(log, members): (usize, &Arc<[u16]>)| {
            members.contains(&node).then(|| {
                let machine = if log == usize::from(shape.map_log()) {
                    Machine::Map(map.clone())
                } else {
                    Machine::Shard(Shard::new(&shape.cluster, log as u16))
                };
                Disk::new(machine, shape.bugs)
            })
        };
        Self { logs: shape.logs.iter().enumerate().map(disk).collect(), map }
    }
}

/// What nodes say to each other.
#[derive(Clone, Debug)]
pub enum Body {
    Log {
        log: u16,
        message: GroupMessage,
    },
    /// A witness that was elected asks a data node to lead in its place.
    Lead {
        shard: u16,
    },
    /// For the map's log, from a node that has no vote on it.
    Ask(Arc<Command>),
    Map(Arc<Map>),
    Keys {
        migration: u64,
        slots: Arc<[u16]>,
        keys: Arc<Vec<(Bytes, Value)>>,
    },
    Installed {
        migration: u64,
    },
}

/// What a node does.
#[derive(Debug)]
pub enum Out {
    Packet(u16, Packet),
    Reply(u64, Vec<u8>),
    Close(u64, String),
    Log(String),
    /// Sync the disk, and say when it is done.
    Sync,
    Abort,
}

#[derive(Debug)]
pub struct Node {
    pub(super) shape: Rc<Shape>,
    pub(super) id: u16,
    pub(super) shard: u16,
    pub(super) incarnation: u32,
    pub(super) now: u64,
    /// By log number, the node's own shard first.
    pub(super) groups: Vec<(u16, Group)>,
    pub(super) map: Arc<Map>,
    sessions: Vec<Session>,
    pub(super) heard: Vec<u64>,
    pub(super) gossip: Vec<Gossip>,
    told_map: Vec<u64>,
    pub(super) suspects: u64,
    pub(super) failed: u64,
    pub(super) cluster_ok: bool,
    pub(super) clients: BTreeMap<u64, Client>,
    /// The sync that is under way, and the next to begin.
    syncing: Option<u64>,
    round: u64,
    /// Messages that wait for a sync.
    held: VecDeque<(u64, u16, Body)>,
    tick_at: u64,
    library_tick_at: u64,
    alive_at: u64,
    pub(super) promote_at: u64,
    pub(super) leads_since: Option<u64>,
    pub(super) lead_asked_at: u64,
    pub(super) usurped_at: u64,
    pub(super) requests: VecDeque<Arc<Command>>,
    pub(super) request_next: u64,
    pub(super) request_at: u64,
    pub(super) moves: BTreeMap<u64, (u8, u64)>,
    pub(super) installed_there: BTreeMap<u64, u16>,
    pub(super) stuck: bool,
    /// Slots given away that the bug `two_owners_after_slot_move` goes on claiming.
    pub(super) still_claimed: std::collections::BTreeSet<u16>,
    pub(super) frozen_map: bool,
    pub(super) out: Vec<Out>,
    messages: Vec<GroupMessage>,
    answer: Vec<u8>,
    packets: Vec<Packet>,
}

impl Node {
    /// Starts a node with what is on its disks.
    pub fn start(shape: Rc<Shape>, disks: &Disks, id: u16, incarnation: u32, now: u64) -> Self {
        let nodes = shape.ids.len();
        let shard = shape.shard_of(id);
        let bugs = shape.bugs;
        let mut groups: Vec<(u16, Group)> = Vec::new();
        for (log, disk) in disks.logs.iter().enumerate() {
            let Some(disk) = disk else { continue };
            let log = log as u16;
            let members = shape.logs[usize::from(log)].clone();
            let is_map = log == shape.map_log();
            let witness = !is_map && log != shard;
            let priority = if members[0] == id { 2 } else { u32::from(!witness) };
            let group = Group::open(members, id, u32::from(log), disk.clone(), priority, witness, bugs);
            groups.push((log, group));
        }
        groups.sort_by_key(|(log, _)| (*log != shard, *log));
        let frozen_map = bugs.stale_slot_map_after_restart && incarnation > 1;
        let map = if frozen_map { Arc::new(Map::new(&shape.cluster)) } else { disks.map.clone() };
        let mut node = Self {
            id,
            shard,
            incarnation,
            now,
            groups,
            map,
            sessions: (0..nodes).map(|_| Session::new(incarnation)).collect(),
            heard: vec![now; nodes],
            gossip: vec![Gossip::default(); nodes],
            told_map: vec![0; nodes],
            suspects: 0,
            failed: 0,
            cluster_ok: true,
            clients: BTreeMap::new(),
            syncing: None,
            round: 1,
            held: VecDeque::new(),
            tick_at: now,
            library_tick_at: now,
            alive_at: now,
            promote_at: 0,
            leads_since: None,
            lead_asked_at: 0,
            usurped_at: 0,
            requests: VecDeque::new(),
            request_next: (u64::from(incarnation) << 24) + 1,
            request_at: 0,
            moves: BTreeMap::new(),
            installed_there: BTreeMap::new(),
            stuck: false,
            still_claimed: std::collections::BTreeSet::new(),
            frozen_map,
            out: Vec::new(),
            messages: Vec::new(),
            answer: Vec::new(),
            packets: Vec::new(),
            shape,
        };
        node.log(format!(
            "Node {} starts, a model of a cluster node that speaks the Redis protocol",
            node.id
        ));
        if incarnation == 1 {
            // The cluster starts formed: who is to lead at first need not wait for an election.
            for (_, group) in &mut node.groups {
                if group.members[0] == id {
                    group.try_to_lead();
                }
            }
        }
        node.log("Ready to accept connections".into());
        node.greet_all();
        node.pump();
        node
    }

    /// What the node has done since the last call.
    pub fn take(&mut self, into: &mut Vec<Out>) {
        into.append(&mut self.out);
    }

    /// Writes down what outlives the process. Called when the process ends; `synced` when it ended in order.
    pub fn end(&mut self, disks: &mut Disks, synced: bool) {
        for (_, group) in &self.groups {
            if synced {
                group.disk.sync_end();
                group.disk.sync_begin();
                group.disk.sync_end();
            }
            group.disk.crash();
        }
        disks.map = self.map.clone();
    }

    pub(super) fn log(&mut self, line: String) {
        self.out.push(Out::Log(line));
    }

    pub(super) fn own_gossip(&self) -> Gossip {
        Gossip {
            map_version: self.map.version,
            suspects: self.suspects,
            offset: self.groups[0].1.applied as u64,
        }
    }

    fn greet_all(&mut self) {
        let gossip = self.own_gossip();
        let me = usize::from(self.id);
        for peer in (0..self.sessions.len()).filter(|peer| *peer != me) {
            self.packets.clear();
            self.sessions[peer].tick(self.now, gossip, &mut self.packets);
            self.out.extend(self.packets.drain(..).map(|packet| Out::Packet(peer as u16, packet)));
        }
    }

    pub(super) fn send(&mut self, to: u16, body: Body) {
        let gossip = self.own_gossip();
        if let Some(packet) = self.sessions[usize::from(to)].send(self.now, gossip, body) {
            self.out.push(Out::Packet(to, packet));
        }
    }

    pub(super) fn data(&self) -> &Group {
        &self.groups[0].1
    }

    pub(super) fn data_state(&self) -> &Shard {
        match &*self.data().machine {
            Machine::Shard(shard) => shard,
            Machine::Map(_) => unreachable!("a node's first log is its shard's"),
        }
    }

    pub(super) fn is_primary(&self) -> bool {
        self.map.shards[usize::from(self.shard)].primary == self.id
    }

    /// Time has passed on the node's clock; it is called about every [`TICK_US`].
    pub fn tick(&mut self, now: u64) {
        self.now = now;
        self.tick_at = now;
        let alive = now >= self.alive_at + SIGN_OF_LIFE_US;
        if alive {
            self.alive_at = now;
        }
        let gossip = self.own_gossip();
        let me = usize::from(self.id);
        for peer in (0..self.sessions.len()).filter(|peer| *peer != me) {
            self.packets.clear();
            let broke = self.sessions[peer].tick(now, gossip, &mut self.packets);
            if alive && self.packets.is_empty() && self.sessions[peer].established() {
                let packet = self.sessions[peer].bare(now, gossip);
                self.packets.push(packet);
            }
            self.out.extend(self.packets.drain(..).map(|packet| Out::Packet(peer as u16, packet)));
            if broke {
                let same_shard = self.shape.shard_of(peer as u16) == self.shard;
                if same_shard && !self.is_primary() {
                    self.log("Connection with master lost.".into());
                }
            }
        }
        let library_tick = self.shape.node_timeout_us.clamp(200_000, 10_000_000) / 10;
        let mut ticks = 0;
        while now >= self.library_tick_at + library_tick && ticks < 50 {
            self.library_tick_at += library_tick;
            ticks += 1;
            for (_, group) in &mut self.groups {
                group.tick();
            }
        }
        if ticks > 0 {
            self.library_tick_at = self.library_tick_at.max(now.saturating_sub(library_tick));
            self.watch();
            self.propose_again();
            self.move_slots();
        }
        self.check_waits();
        self.pump();
    }

    /// A packet came from another node.
    pub fn packet(&mut self, now: u64, from: u16, packet: &Packet) {
        self.now = now;
        let peer = usize::from(from);
        let Arrived { bodies, connected, greet, duplicate } =
            self.sessions[peer].receive(now, packet, self.shape.bugs);
        if duplicate && self.shape.bugs.panic_on_duplicate_message {
            self.log("=== ASSERTION FAILED === a message arrived twice".into());
            self.out.push(Out::Abort);
            return;
        }
        self.heard_from(from, packet.gossip);
        if connected {
            if self.incarnation > 1 || now > 1_000_000 {
                self.stuck |= self.shape.bugs.replica_serves_stale_after_heal && !self.is_primary();
            }
            for (_, group) in &mut self.groups {
                group.reconnected(from);
            }
        }
        if greet {
            let gossip = self.own_gossip();
            let packet = self.sessions[peer].bare(now, gossip);
            self.out.push(Out::Packet(from, packet));
        }
        for body in bodies {
            let body = Rc::try_unwrap(body).unwrap_or_else(|body| (*body).clone());
            self.body(from, body);
        }
        self.pump();
    }

    fn body(&mut self, from: u16, body: Body) {
        match body {
            Body::Log { log, message } => {
                if let Some((_, group)) = self.groups.iter_mut().find(|(number, _)| *number == log) {
                    group.handle(message);
                }
            }
            Body::Lead { shard } => {
                let led_by = |group: &Group| group.leader().map(|(leader, _)| leader);
                if shard == self.shard && led_by(self.data()) == Some(from) {
                    self.groups[0].1.try_to_lead();
                }
            }
            Body::Ask(command) => self.ask_map(command),
            Body::Map(map) => self.adopt(map),
            Body::Keys { migration, slots, keys } => self.keys_came(from, migration, slots, keys),
            Body::Installed { migration } => {
                self.installed_there.insert(migration, from);
            }
        }
    }

    /// The sync that was under way has ended.
    pub fn synced(&mut self, now: u64) {
        self.now = now;
        let Some(round) = self.syncing.take() else { return };
        for (_, group) in &self.groups {
            group.disk.sync_end();
        }
        while self.held.front().is_some_and(|(needs, ..)| *needs <= round) {
            if let Some((_, to, body)) = self.held.pop_front() {
                self.send(to, body);
            }
        }
        self.pump();
        if self.syncing.is_none() {
            for (_, group) in &mut self.groups {
                group.compact();
            }
        }
    }

    /// Sends what the library wants sent, applies what was decided, and begins a sync where one is needed, until
    /// nothing of that is left to do.
    pub(super) fn pump(&mut self) {
        loop {
            self.collect_messages();
            if !self.apply_decided() {
                break;
            }
        }
        self.notice_leader();
        if self.syncing.is_none() && self.groups.iter().any(|(_, group)| group.disk.dirty()) {
            for (_, group) in &self.groups {
                group.disk.sync_begin();
            }
            self.syncing = Some(self.round);
            self.round += 1;
            self.out.push(Out::Sync);
        }
    }

    fn collect_messages(&mut self) {
        let dirty = self.groups.iter().any(|(_, group)| group.disk.dirty());
        let needs = match (dirty, self.syncing) {
            _ if self.shape.bugs.lose_unsynced_log => None,
            (true, _) => Some(self.round),
            (false, syncing) => syncing,
        };
        let mut messages = std::mem::take(&mut self.messages);
        for place in 0..self.groups.len() {
            self.groups[place].1.take_messages(&mut messages);
            for message in messages.drain(..) {
                let (log, group) = &self.groups[place];
                let (log, to) = (*log, group.receiver(&message));
                // A heartbeat promises nothing.
                let promises = !matches!(message, GroupMessage::BLE(_));
                if log == self.shard && sends_snapshot(&message) {
                    let id = &self.shape.ids[usize::from(to)];
                    self.out.push(Out::Log(format!("Full resync requested by replica {id}")));
                }
                let body = Body::Log { log, message };
                match needs {
                    Some(round) if promises => self.held.push_back((round, to, body)),
                    _ => self.send(to, body),
                }
            }
        }
        self.messages = messages;
    }

    /// True when something was applied.
    fn apply_decided(&mut self) -> bool {
        let mut any = false;
        for place in 0..self.groups.len() {
            if place == 0 && self.stuck {
                continue;
            }
            loop {
                let mut answer = std::mem::take(&mut self.answer);
                let clients = &self.clients;
                let wanted = |command: &Command| match command {
                    Command::Ops { connection, .. } => clients.contains_key(connection),
                    _ => false,
                };
                let step = self.groups[place].1.apply_next(&mut answer, &wanted);
                match step {
                    None => {
                        self.answer = answer;
                        break;
                    }
                    Some(Step::Snapshot) => {
                        if place == 0 {
                            let line = "Full resync from master: the snapshot was loaded, MASTER <-> REPLICA sync: Finished with success";
                            self.log(line.into());
                        }
                    }
                    Some(Step::Command(command, applied)) => self.applied(place, &command, applied, &answer),
                }
                any = true;
                self.answer = answer;
                if let Machine::Map(map) = &*self.groups[place].1.machine {
                    let map = map.clone();
                    self.adopt(map);
                }
            }
        }
        any
    }

    fn applied(&mut self, place: usize, command: &Command, applied: super::machine::Applied, answer: &[u8]) {
        match command {
            Command::Ops { connection, number, .. } if place == 0 => {
                self.answered(*connection, *number, applied, answer);
            }
            Command::Freeze { .. } | Command::Install { .. } | Command::Drop { .. } => self.move_slots(),
            _ => {}
        }
    }

    /// Takes a map that is newer than the node's own.
    pub(super) fn adopt(&mut self, map: Arc<Map>) {
        if map.version <= self.map.version || self.frozen_map {
            return;
        }
        let before = std::mem::replace(&mut self.map, map);
        let (old, new) = (
            before.shards[usize::from(self.shard)].clone(),
            self.map.shards[usize::from(self.shard)].clone(),
        );
        if old.primary != new.primary {
            if new.primary == self.id {
                self.log("Failover election won: I'm the new master.".into());
                self.log(format!("configEpoch set to {} after successful failover", new.epoch));
            } else {
                let primary = self.shape.ids[usize::from(new.primary)].clone();
                self.log(format!(
                    "Configuration change detected. Reconfiguring myself as a replica of {primary}"
                ));
            }
        }
        if self.groups.iter().any(|(log, group)| *log == self.shape.map_log() && group.leads()) {
            let voters = self.shape.logs[usize::from(self.shape.map_log())].clone();
            for peer in (0..self.shape.ids.len() as u16).filter(|peer| !voters.contains(peer)) {
                self.tell_map(peer);
            }
        }
        if self.shape.bugs.two_owners_after_slot_move && self.is_primary() {
            let shard = self.shard;
            let lost = |slot: &u16| before.owner_of(*slot) == shard && self.map.owner_of(*slot) != shard;
            self.still_claimed.extend((0..super::machine::SLOTS).filter(lost));
        }
        self.watch_state();
        self.move_slots();
    }

    /// Sends the map to a node that has an older one, not too often.
    pub(super) fn tell_map(&mut self, peer: u16) {
        let told = &mut self.told_map[usize::from(peer)];
        if *told == 0 || self.now >= *told + ASK_AGAIN_US / 2 {
            *told = self.now;
            self.send(peer, Body::Map(self.map.clone()));
        }
    }

    /// Puts a command into the map's log, itself or through one of the log's voters.
    pub(super) fn ask_map(&mut self, command: Arc<Command>) {
        let map_log = self.shape.map_log();
        if let Some((_, group)) = self.groups.iter_mut().find(|(log, _)| *log == map_log) {
            group.propose(command);
            return;
        }
        let voters = self.shape.logs[usize::from(map_log)].clone();
        let alive = |node: &&u16| self.suspects >> **node & 1 == 0;
        let live: Vec<u16> = voters.iter().filter(alive).copied().collect();
        if !live.is_empty() {
            let turn = (self.now / ASK_AGAIN_US) as usize + usize::from(self.id);
            self.send(live[turn % live.len()], Body::Ask(command));
        }
    }

    fn propose_again(&mut self) {
        let now = self.now;
        let late: Vec<Arc<Command>> = self
            .clients
            .values_mut()
            .filter_map(|client| {
                let flight =
                    client.flight.as_mut().filter(|flight| now >= flight.proposed_at + PROPOSE_AGAIN_US)?;
                flight.proposed_at = now;
                Some(flight.command.clone())
            })
            .collect();
        for command in late {
            self.groups[0].1.propose(command);
        }
        if let Some(request) = self.requests.front().cloned()
            && now >= self.request_at + ASK_AGAIN_US
        {
            self.request_at = now;
            let Command::Begin { origin, number, .. } = &*request else { return };
            if self.map.answered(*origin, *number) {
                self.requests.pop_front();
                self.request_at = 0;
            } else {
                self.ask_map(request);
            }
        }
    }
}

/// Whether this message brings a follower a whole snapshot: its log lacks what the leader has folded away.
fn sends_snapshot(message: &GroupMessage) -> bool {
    match message {
        GroupMessage::SequencePaxos(message) => match &message.msg {
            PaxosMsg::AcceptSync(sync) => {
                matches!(sync.log_sync.decided_snapshot, Some(SnapshotType::Complete(_)))
                    && sync.log_sync.sync_idx > 0
            }
            _ => false,
        },
        GroupMessage::BLE(_) => false,
    }
}
