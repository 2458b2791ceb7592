//! Agreement of one log over a bad network, seed by seed: with sessions it holds, and without them it does not.
//!
//! Three members, links that lose, double and reorder, cuts and deaths, and a disk that is synced before
//! anything is sent. At the end everything heals, and what the members have applied must be the same.

use super::bugs::Bugs;
use super::command::{Command, Op};
use super::disk::Disk;
use super::group::{Group, GroupMessage};
use super::machine::{Machine, Shard, Value};
use super::node::Body;
use super::session::{Gossip, Packet, Session};
use crate::entropy::{Entropy, Rng, Seed};
use crate::timeline::{Cluster, Formation, Settings};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

const MEMBERS: u16 = 3;
const STEP_US: u64 = 1000;
/// Steps with faults, and steps after they have healed.
const BAD_STEPS: u64 = 6_000;
const GOOD_STEPS: u64 = 8_000;

struct Member {
    disk: Disk,
    group: Group,
    sessions: Vec<Session>,
    incarnation: u32,
}

struct Bench {
    members: Vec<Member>,
    /// Packets under way, by time and order of sending.
    wires: BTreeMap<(u64, u64), (u16, u16, Packet)>,
    sent: u64,
    now: u64,
    bad: bool,
    cut: Option<u16>,
    rng: Rng,
    bugs: Bugs,
}

fn open(disk: &Disk, node: u16, bugs: Bugs) -> Group {
    Group::open((0..MEMBERS).collect(), node, 0, disk.clone(), 1, false, bugs)
}

impl Bench {
    fn new(seed: u64, bugs: Bugs) -> Self {
        let cluster = Cluster {
            shards: 1,
            replicas: 2,
            formation: Formation::Written,
            settings: Settings::default(),
            password: false,
            acl_user: false,
            base_port: None,
        };
        let member = |node: u16| {
            let disk = Disk::new(Machine::Shard(Shard::new(&cluster, 0)), bugs);
            let sessions = (0..MEMBERS).map(|_| Session::new(1)).collect();
            Member { group: open(&disk, node, bugs), disk, sessions, incarnation: 1 }
        };
        Self {
            members: (0..MEMBERS).map(member).collect(),
            wires: BTreeMap::new(),
            sent: 0,
            now: 1_000_000,
            bad: true,
            cut: None,
            rng: Entropy::root(Seed(seed)).child("agreement").rng(),
            bugs,
        }
    }

    fn carry(&mut self, from: u16, to: u16, packet: &Packet) {
        let mut at = self.now + 500 + self.rng.below(1500);
        let cut = self.cut.is_some_and(|node| node == from || node == to);
        if self.bad && (cut || self.rng.ratio(1, 12)) {
            return;
        }
        if self.bad && self.rng.ratio(1, 6) {
            at += self.rng.below(20_000);
        }
        let copies = if self.bad && self.rng.ratio(1, 10) { 2 } else { 1 };
        for copy in 0..copies {
            self.sent += 1;
            self.wires.insert((at + copy * 3000, self.sent), (from, to, packet.clone()));
        }
    }

    /// Syncs, applies and sends all that a member has to send.
    fn flush(&mut self, node: u16) {
        let place = usize::from(node);
        let mut answer = Vec::new();
        let mut messages: Vec<GroupMessage> = Vec::new();
        self.members[place].disk.sync_begin();
        self.members[place].disk.sync_end();
        while self.members[place].group.apply_next(&mut answer, &|_| false).is_some() {}
        self.members[place].group.take_messages(&mut messages);
        for message in messages {
            let to = self.members[place].group.receiver(&message);
            let body = Body::Log { log: 0, message };
            let now = self.now;
            let packet = self.members[place].sessions[usize::from(to)].send(now, Gossip::default(), body);
            if let Some(packet) = packet {
                self.carry(node, to, &packet);
            }
        }
    }

    fn step(&mut self, number: u64) {
        self.now += STEP_US;
        while let Some((at, _)) = self.wires.first_key_value().map(|(key, _)| *key) {
            if at > self.now {
                break;
            }
            let Some((_, (from, to, packet))) = self.wires.pop_first() else { break };
            let (now, bugs) = (self.now, self.bugs);
            let member = &mut self.members[usize::from(to)];
            let arrived = member.sessions[usize::from(from)].receive(now, &packet, bugs);
            if arrived.connected {
                member.group.reconnected(from);
            }
            for body in arrived.bodies {
                if let Body::Log { message, .. } = Rc::unwrap_or_clone(body) {
                    member.group.handle(message);
                }
            }
            if arrived.greet {
                let packet = member.sessions[usize::from(from)].bare(now, Gossip::default());
                self.carry(to, from, &packet);
            }
            self.flush(to);
        }
        for node in 0..MEMBERS {
            if (number + u64::from(node)).is_multiple_of(20) {
                for peer in (0..MEMBERS).filter(|peer| *peer != node) {
                    let mut packets = Vec::new();
                    let now = self.now;
                    let session = &mut self.members[usize::from(node)].sessions[usize::from(peer)];
                    session.tick(now, Gossip::default(), &mut packets);
                    packets.iter().for_each(|packet| self.carry(node, peer, packet));
                }
            }
            if (number + u64::from(node)).is_multiple_of(40) {
                self.members[usize::from(node)].group.tick();
                self.flush(node);
            }
        }
    }

    fn disturb(&mut self, number: u64) {
        if self.rng.ratio(1, 10) {
            let node = self.rng.below(u64::from(MEMBERS)) as u16;
            let element: Arc<[u8]> = Arc::from(number.to_string().into_bytes());
            let op = Op::Append(Arc::from(&b"l"[..]), vec![element]);
            let command =
                Command::Ops { connection: number, number: 1, ops: vec![(0, op)], transaction: false };
            self.members[usize::from(node)].group.propose(Arc::new(command));
            self.flush(node);
        }
        if self.rng.ratio(1, 600) {
            self.cut =
                if self.cut.is_some() { None } else { Some(self.rng.below(u64::from(MEMBERS)) as u16) };
        }
        if self.rng.ratio(1, 900) {
            let node = self.rng.below(u64::from(MEMBERS)) as u16;
            let member = &mut self.members[usize::from(node)];
            member.disk.crash();
            member.incarnation += 1;
            member.sessions = (0..MEMBERS).map(|_| Session::new(member.incarnation)).collect();
            member.group = open(&member.disk, node, self.bugs);
        }
        if self.rng.ratio(1, 300) {
            let node = self.rng.below(u64::from(MEMBERS)) as u16;
            self.members[usize::from(node)].group.compact();
        }
    }

    fn list(&self, node: u16) -> Vec<Arc<[u8]>> {
        match &*self.members[usize::from(node)].group.machine {
            Machine::Shard(shard) => match shard.keys.get(&b"l"[..]) {
                Some(Value::List(list)) => list.clone(),
                _ => Vec::new(),
            },
            Machine::Map(_) => unreachable!("the log is a shard's"),
        }
    }

    /// What the members have in the end.
    fn run(seed: u64, bugs: Bugs) -> Vec<Vec<Arc<[u8]>>> {
        let mut bench = Self::new(seed, bugs);
        for number in 0..BAD_STEPS {
            bench.disturb(number);
            bench.step(number);
        }
        (bench.bad, bench.cut) = (false, None);
        for number in BAD_STEPS..BAD_STEPS + GOOD_STEPS {
            bench.step(number);
            if number > BAD_STEPS + 1000 && number.is_multiple_of(200) {
                let lists: Vec<_> = (0..MEMBERS).map(|node| bench.list(node).len()).collect();
                let decided: Vec<_> = bench.members.iter().map(|member| member.group.applied).collect();
                if lists.windows(2).all(|two| two[0] == two[1])
                    && decided.windows(2).all(|two| two[0] == two[1])
                {
                    break;
                }
            }
        }
        (0..MEMBERS).map(|node| bench.list(node)).collect()
    }
}

fn seeds(default: u64) -> u64 {
    std::env::var("SEEDFAULT_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[test]
fn members_agree_over_a_network_that_loses_doubles_and_reorders() {
    for seed in 0..seeds(40) {
        let lists = Bench::run(seed, Bugs::default());
        assert!(!lists[0].is_empty(), "seed {seed}: nothing was decided");
        for (node, list) in lists.iter().enumerate() {
            let mut sorted = list.clone();
            sorted.sort();
            sorted.dedup();
            assert_eq!(sorted.len(), list.len(), "seed {seed}: node {node} applied a command twice");
            assert_eq!(list, &lists[0], "seed {seed}: node {node} differs");
        }
    }
}

#[test]
fn without_sessions_they_do_not() {
    let bugs = Bugs { lost_session_reorder: true, ..Bugs::default() };
    let diverged = (0..seeds(40)).filter(|seed| {
        let ran = std::panic::catch_unwind(|| Bench::run(*seed, bugs));
        ran.map_or(true, |lists| lists.windows(2).any(|two| two[0] != two[1]))
    });
    assert!(diverged.count() > 0, "sessions would not be needed");
}
