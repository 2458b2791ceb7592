//! The two state machines: a shard's keys, and the map of slots. Pure: the same commands, the same state.

use super::bugs::Bugs;
use super::command::{Bytes, Command, Op};
use super::resp;
use crate::target::operation::StopAfter;
use crate::timeline::Cluster;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub const SLOTS: u16 = 16_384;

/// What a key holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    Text(Bytes),
    Number(i64),
    List(Vec<Bytes>),
    Set(BTreeSet<Bytes>),
}

/// A set of slots.
#[derive(Clone, PartialEq, Eq)]
pub struct SlotSet(Box<[u64; 256]>);

impl std::fmt::Debug for SlotSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SlotSet({})", self.0.iter().map(|word| word.count_ones()).sum::<u32>())
    }
}

impl SlotSet {
    pub fn none() -> Self {
        Self(Box::new([0; 256]))
    }
    pub fn range(first: u16, last: u16) -> Self {
        let mut set = Self::none();
        (first..=last).for_each(|slot| set.insert(slot));
        set
    }
    pub fn contains(&self, slot: u16) -> bool {
        self.0[usize::from(slot / 64)] >> (slot % 64) & 1 == 1
    }
    pub fn insert(&mut self, slot: u16) {
        self.0[usize::from(slot / 64)] |= 1 << (slot % 64);
    }
    pub fn remove(&mut self, slot: u16) {
        self.0[usize::from(slot / 64)] &= !(1 << (slot % 64));
    }
}

/// What came of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    Done,
    /// It was applied before, and its answer is gone.
    Twice,
}

#[derive(Clone, Debug)]
pub enum Machine {
    Shard(Shard),
    Map(Arc<Map>),
}

impl Machine {
    /// Applies a command; the answer to a client is appended to `out`, where someone waits for it.
    pub fn apply(&mut self, command: &Command, bugs: Bugs, out: Option<&mut Vec<u8>>) -> Applied {
        match self {
            Self::Shard(shard) => shard.apply(command, bugs, out),
            Self::Map(map) => {
                Arc::make_mut(map).apply(command);
                Applied::Done
            }
        }
    }
}

/// One shard's part of the data.
#[derive(Clone, Debug)]
pub struct Shard {
    pub owned: SlotSet,
    /// Slots on their way to another shard, with their migration.
    pub frozen: BTreeMap<u16, u64>,
    /// Migrations whose keys were taken in.
    pub installed: BTreeSet<u64>,
    pub keys: BTreeMap<Bytes, Value>,
    /// The last command applied of each connection.
    connections: BTreeMap<u64, u64>,
}

impl Shard {
    pub fn new(cluster: &Cluster, shard: u16) -> Self {
        let (first, last) = cluster.slots(shard);
        Self {
            owned: SlotSet::range(first, last),
            frozen: BTreeMap::new(),
            installed: BTreeSet::new(),
            keys: BTreeMap::new(),
            connections: BTreeMap::new(),
        }
    }

    fn apply(&mut self, command: &Command, bugs: Bugs, out: Option<&mut Vec<u8>>) -> Applied {
        match command {
            Command::Ops { connection, number, ops, transaction } => {
                let last = self.connections.entry(*connection).or_default();
                if *last >= *number && !bugs.apply_twice_on_retry {
                    return Applied::Twice;
                }
                *last = (*last).max(*number);
                self.operate(ops, *transaction, out);
            }
            Command::Freeze { migration, slots } => {
                for slot in slots.iter().filter(|slot| self.owned.contains(**slot)) {
                    self.frozen.entry(*slot).or_insert(*migration);
                }
            }
            Command::Install { migration, slots, keys } => {
                if self.installed.insert(*migration) {
                    slots.iter().for_each(|slot| self.owned.insert(*slot));
                    self.keys.extend(keys.iter().cloned());
                }
            }
            Command::Drop { migration } => {
                let gone: BTreeSet<u16> =
                    self.frozen.iter().filter(|(_, id)| *id == migration).map(|(slot, _)| *slot).collect();
                for slot in &gone {
                    self.frozen.remove(slot);
                    self.owned.remove(*slot);
                }
                if !bugs.leak_keys_after_slot_move {
                    self.keys.retain(|key, _| !gone.contains(&slot_of(key)));
                }
            }
            Command::Promote { .. } | Command::Begin { .. } | Command::Commit { .. } => {}
        }
        Applied::Done
    }

    fn serves(&self, slot: u16) -> bool {
        self.owned.contains(slot) && !self.frozen.contains_key(&slot)
    }

    fn operate(&mut self, ops: &[(u16, Op)], transaction: bool, out: Option<&mut Vec<u8>>) {
        let mut unheard = Vec::new();
        let out = out.unwrap_or(&mut unheard);
        if transaction {
            if !ops.iter().all(|(slot, _)| self.serves(*slot)) {
                return resp::error(out, "TRYAGAIN the slot is on its way to another shard");
            }
            resp::array(out, ops.len());
        }
        for (slot, op) in ops {
            if self.serves(*slot) {
                self.execute(op, out);
            } else {
                resp::error(out, "TRYAGAIN the slot is on its way to another shard");
            }
        }
    }

    /// Carries out one operation. A write of the wrong type is refused and changes nothing.
    pub fn execute(&mut self, op: &Op, out: &mut Vec<u8>) {
        match op {
            Op::Set(key, value) => {
                match self.keys.get_mut(key) {
                    Some(place) => *place = Value::Text(value.clone()),
                    None => drop(self.keys.insert(key.clone(), Value::Text(value.clone()))),
                }
                resp::simple(out, "OK");
            }
            Op::Increment(key, by) => {
                let place = self.keys.entry(key.clone()).or_insert(Value::Number(0));
                let number = match place {
                    Value::Number(number) => Some(*number),
                    Value::Text(text) => std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()),
                    _ => return wrong_type(out),
                };
                match number.and_then(|number: i64| number.checked_add(*by)) {
                    Some(number) => {
                        *place = Value::Number(number);
                        resp::integer(out, number);
                    }
                    None => resp::error(out, "ERR value is not an integer or out of range"),
                }
            }
            Op::Append(key, elements) => {
                match self.keys.entry(key.clone()).or_insert_with(|| Value::List(Vec::new())) {
                    Value::List(list) => {
                        list.extend(elements.iter().cloned());
                        resp::integer(out, list.len() as i64);
                    }
                    _ => wrong_type(out),
                }
            }
            Op::Add(key, members) => {
                match self.keys.entry(key.clone()).or_insert_with(|| Value::Set(BTreeSet::new())) {
                    Value::Set(set) => {
                        let new = members.iter().filter(|member| set.insert((*member).clone())).count();
                        resp::integer(out, new as i64);
                    }
                    _ => wrong_type(out),
                }
            }
            Op::Delete(keys) => {
                let gone = keys.iter().filter(|key| self.keys.remove(*key).is_some()).count();
                resp::integer(out, gone as i64);
            }
            read => self.read(read, out),
        }
    }

    /// Answers an operation that changes nothing.
    pub fn read(&self, op: &Op, out: &mut Vec<u8>) {
        match op {
            Op::Get(key) => match self.keys.get(key) {
                None => resp::null(out),
                Some(Value::Text(text)) => resp::bulk(out, text),
                Some(Value::Number(number)) => resp::bulk(out, number.to_string().as_bytes()),
                Some(_) => wrong_type(out),
            },
            Op::Range(key, from, to) => match self.keys.get(key) {
                None => resp::array(out, 0),
                Some(Value::List(list)) => {
                    let length = list.len() as i64;
                    let place = |index: i64| if index < 0 { index + length } else { index };
                    let (from, to) = (place(*from).max(0), place(*to).min(length - 1));
                    let part = if from > to { &[][..] } else { &list[from as usize..=to as usize] };
                    resp::array(out, part.len());
                    part.iter().for_each(|element| resp::bulk(out, element));
                }
                Some(_) => wrong_type(out),
            },
            Op::Length(key) => match self.keys.get(key) {
                None => resp::integer(out, 0),
                Some(Value::List(list)) => resp::integer(out, list.len() as i64),
                Some(_) => wrong_type(out),
            },
            Op::Members(key) => match self.keys.get(key) {
                None => resp::array(out, 0),
                Some(Value::Set(set)) => {
                    resp::array(out, set.len());
                    set.iter().for_each(|member| resp::bulk(out, member));
                }
                Some(_) => wrong_type(out),
            },
            Op::Exists(keys) => {
                resp::integer(out, keys.iter().filter(|key| self.keys.contains_key(*key)).count() as i64);
            }
            Op::Type(key) => resp::simple(
                out,
                match self.keys.get(key) {
                    None => "none",
                    Some(Value::Text(_) | Value::Number(_)) => "string",
                    Some(Value::List(_)) => "list",
                    Some(Value::Set(_)) => "set",
                },
            ),
            Op::Set(..) | Op::Increment(..) | Op::Append(..) | Op::Add(..) | Op::Delete(..) => {
                unreachable!("a write goes through the log")
            }
        }
    }

    /// The keys of these slots with their values, in order.
    pub fn keys_of(&self, slots: &[u16]) -> Vec<(Bytes, Value)> {
        let slots: BTreeSet<u16> = slots.iter().copied().collect();
        let wanted = |(key, _): &(&Bytes, &Value)| slots.contains(&slot_of(key));
        self.keys.iter().filter(wanted).map(|(key, value)| (key.clone(), value.clone())).collect()
    }
}

fn wrong_type(out: &mut Vec<u8>) {
    resp::error(out, "WRONGTYPE Operation against a key holding the wrong kind of value");
}

/// The slot of a key, by its hash tag if it has one.
pub fn slot_of(key: &[u8]) -> u16 {
    redis_protocol::redis_keyslot(key)
}

/// Who serves what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Map {
    /// How many commands have changed it.
    pub version: u64,
    pub epoch: u64,
    pub shards: Vec<ShardEntry>,
    /// The shard of each slot.
    owner: Vec<u16>,
    /// The same by shard: first and last of each range, in order.
    ranges: Vec<Vec<(u16, u16)>>,
    pub migrations: Vec<Migration>,
    migration_next: u64,
    /// The last request of each node that was granted.
    requests: BTreeMap<u16, u64>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardEntry {
    pub primary: u16,
    pub epoch: u64,
    /// The round in which the primary won its election.
    pub round: u64,
    pub slots: u16,
}

/// Slots on their way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Migration {
    pub id: u64,
    pub from: u16,
    pub to: u16,
    pub slots: Arc<[u16]>,
    /// The last step that is carried out.
    pub stop: StopAfter,
}

impl Map {
    pub fn new(cluster: &Cluster) -> Self {
        let mut owner = vec![0; usize::from(SLOTS)];
        let (mut shards, mut ranges) = (Vec::new(), Vec::new());
        for shard in 0..cluster.shards {
            let (first, last) = cluster.slots(shard);
            ranges.push(vec![(first, last)]);
            owner[usize::from(first)..=usize::from(last)].fill(shard);
            let (primary, epoch) = (cluster.node(shard, 0), u64::from(shard) + 1);
            shards.push(ShardEntry { primary, epoch, round: 0, slots: last - first + 1 });
        }
        Self {
            version: 0,
            epoch: u64::from(cluster.shards),
            shards,
            owner,
            ranges,
            migrations: Vec::new(),
            migration_next: 1,
            requests: BTreeMap::new(),
        }
    }

    pub fn owner_of(&self, slot: u16) -> u16 {
        self.owner[usize::from(slot)]
    }

    /// Whether a request of this node has been granted or refused for good.
    pub fn answered(&self, origin: u16, number: u64) -> bool {
        self.requests.get(&origin).is_some_and(|last| *last >= number)
    }

    /// First and last of each range of slots that a shard owns.
    pub fn ranges(&self, shard: u16) -> &[(u16, u16)] {
        &self.ranges[usize::from(shard)]
    }

    fn find_ranges(&self, shard: u16) -> Vec<(u16, u16)> {
        let mut ranges: Vec<(u16, u16)> = Vec::new();
        for (slot, _) in self.owner.iter().enumerate().filter(|(_, owner)| **owner == shard) {
            let slot = slot as u16;
            match ranges.last_mut() {
                Some((_, last)) if *last + 1 == slot => *last = slot,
                _ => ranges.push((slot, slot)),
            }
        }
        ranges
    }

    fn apply(&mut self, command: &Command) {
        match command {
            Command::Promote { shard, primary, round } => {
                let entry = &mut self.shards[usize::from(*shard)];
                if *round <= entry.round {
                    return;
                }
                entry.round = *round;
                if entry.primary != *primary {
                    self.epoch += 1;
                    (entry.primary, entry.epoch) = (*primary, self.epoch);
                }
                self.version += 1;
            }
            Command::Begin { origin, number, slots, from, to, stop } => {
                let last = self.requests.entry(*origin).or_default();
                if *last >= *number {
                    return;
                }
                *last = *number;
                self.version += 1;
                let mut asked = SlotSet::none();
                slots.iter().for_each(|slot| asked.insert(*slot));
                for open in &mut self.migrations {
                    let mut again = false;
                    for slot in open.slots.iter().copied() {
                        again |= asked.contains(slot);
                        asked.remove(slot);
                    }
                    if again && open.from == *from && open.to == *to {
                        open.stop = *stop;
                    }
                }
                let moves = |slot: &u16| asked.contains(*slot) && self.owner[usize::from(*slot)] == *from;
                let slots: Arc<[u16]> = slots.iter().copied().filter(moves).collect();
                if !slots.is_empty() {
                    let id = self.migration_next;
                    self.migration_next += 1;
                    self.migrations.push(Migration { id, from: *from, to: *to, slots, stop: *stop });
                }
            }
            Command::Commit { migration } => {
                let Some(place) = self.migrations.iter().position(|open| open.id == *migration) else {
                    return;
                };
                let done = self.migrations.remove(place);
                for slot in done.slots.iter() {
                    self.owner[usize::from(*slot)] = done.to;
                }
                self.shards[usize::from(done.from)].slots -= done.slots.len() as u16;
                self.epoch += 1;
                let taker = &mut self.shards[usize::from(done.to)];
                taker.slots += done.slots.len() as u16;
                taker.epoch = self.epoch;
                for shard in [done.from, done.to] {
                    self.ranges[usize::from(shard)] = self.find_ranges(shard);
                }
                self.version += 1;
            }
            Command::Ops { .. } | Command::Freeze { .. } | Command::Install { .. } | Command::Drop { .. } => {
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timeline::{Formation, Settings};

    fn cluster() -> Cluster {
        Cluster {
            shards: 3,
            replicas: 1,
            formation: Formation::Written,
            settings: Settings::default(),
            password: false,
            acl_user: false,
            base_port: None,
        }
    }

    fn ops(number: u64, slot: u16, op: Op) -> Command {
        Command::Ops { connection: 9, number, ops: vec![(slot, op)], transaction: false }
    }

    #[test]
    fn a_command_is_applied_once() {
        let mut shard = Shard::new(&cluster(), 0);
        let add_one = ops(1, 0, Op::Increment(Arc::from(&b"c"[..]), 1));
        let mut out = Vec::new();
        assert_eq!(shard.apply(&add_one, Bugs::default(), Some(&mut out)), Applied::Done);
        assert_eq!(shard.apply(&add_one, Bugs::default(), Some(&mut out)), Applied::Twice);
        assert_eq!(out, b":1\r\n");
        let bugs = Bugs { apply_twice_on_retry: true, ..Bugs::default() };
        shard.apply(&add_one, bugs, Some(&mut out));
        assert_eq!(out, b":1\r\n:2\r\n");
    }

    #[test]
    fn a_frozen_slot_is_served_no_more_and_its_keys_go_with_it() {
        let (mut giver, mut taker) = (Shard::new(&cluster(), 0), Shard::new(&cluster(), 1));
        let key: Bytes = Arc::from(&b"r:{1}"[..]);
        let slot = slot_of(&key);
        giver.owned.insert(slot);
        taker.owned.remove(slot);
        let set = |number| ops(number, slot, Op::Set(key.clone(), key.clone()));
        let mut out = Vec::new();
        giver.apply(&set(1), Bugs::default(), Some(&mut out));
        let slots: Arc<[u16]> = Arc::from([slot]);
        giver.apply(&Command::Freeze { migration: 1, slots: slots.clone() }, Bugs::default(), None);
        giver.apply(&set(2), Bugs::default(), Some(&mut out));
        assert!(out.starts_with(b"+OK\r\n-TRYAGAIN"));
        let keys = Arc::new(giver.keys_of(&slots));
        taker.apply(&Command::Install { migration: 1, slots, keys }, Bugs::default(), None);
        giver.apply(&Command::Drop { migration: 1 }, Bugs::default(), None);
        assert!(giver.keys.is_empty());
        assert!(taker.keys.contains_key(&key));
        assert!(taker.serves(slot));
    }

    #[test]
    fn a_committed_migration_moves_slots_and_raises_the_epoch() {
        let mut map = Map::new(&cluster());
        let slots: Arc<[u16]> = Arc::from([0, 1]);
        let begin = Command::Begin { origin: 0, number: 1, slots, from: 0, to: 2, stop: StopAfter::Done };
        map.apply(&begin);
        map.apply(&begin);
        assert_eq!(map.migrations.len(), 1);
        map.apply(&Command::Commit { migration: 1 });
        assert_eq!((map.owner_of(1), map.owner_of(2)), (2, 0));
        assert_eq!(map.shards[2].epoch, 4);
        assert_eq!(map.ranges(2), [(0, 1), (10_922, 16_383)]);
    }

    #[test]
    fn an_older_election_does_not_undo_a_newer_one() {
        let mut map = Map::new(&cluster());
        map.apply(&Command::Promote { shard: 0, primary: 1, round: 5 });
        map.apply(&Command::Promote { shard: 0, primary: 0, round: 4 });
        assert_eq!(map.shards[0].primary, 1);
        assert_eq!(map.epoch, 4);
    }
}
