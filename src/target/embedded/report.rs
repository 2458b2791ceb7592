//! What a node says of itself and the cluster, in the words and forms of Redis Cluster, so that the probes and
//! checks that read a real cluster read this one.

use super::client::text;
use super::command::Command;
use super::machine::{SLOTS, slot_of};
use super::node::Node;
use super::placement::ADDRESS;
use super::resp;
use crate::target::operation::StopAfter;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Arc;

impl Node {
    pub(super) fn cluster_command(&mut self, out: &mut Vec<u8>, name: &str, arguments: &[Vec<u8>]) {
        match name {
            "NODES" => resp::bulk(out, self.cluster_nodes().as_bytes()),
            "INFO" => resp::bulk(out, self.cluster_info().as_bytes()),
            "MYID" => resp::bulk(out, self.shape.ids[usize::from(self.id)].as_bytes()),
            "SLOTS" => self.cluster_slots(out),
            "SHARDS" => self.cluster_shards(out),
            "KEYSLOT" => match arguments.get(2) {
                Some(key) => resp::integer(out, i64::from(slot_of(key))),
                None => resp::error(out, "ERR wrong number of arguments for 'cluster|keyslot' command"),
            },
            "COUNTKEYSINSLOT" | "GETKEYSINSLOT" => self.keys_in_slot(out, name, arguments),
            "FAILOVER" => self.failover(out, arguments),
            "MIGRATESLOTS" => self.migrate_slots(out, arguments),
            // The cluster starts formed, and no node ever joins it.
            "MEET" | "SAVECONFIG" => resp::simple(out, "OK"),
            other => {
                resp::error(out, &format!("ERR unknown subcommand '{other}'. This is a model of a cluster."));
            }
        }
    }

    fn cluster_nodes(&self) -> String {
        let mut text = String::with_capacity(128 * self.shape.ids.len());
        for node in 0..self.shape.ids.len() as u16 {
            let place = usize::from(node);
            let shard = self.shape.shard_of(node);
            let entry = &self.map.shards[usize::from(shard)];
            let (id, port) = (&self.shape.ids[place], self.shape.ports[place]);
            let _ = write!(text, "{id} {ADDRESS}:{port}@{} ", u32::from(port) + 10_000);
            if node == self.id {
                text.push_str("myself,");
            }
            let primary = entry.primary == node;
            text.push_str(if primary { "master" } else { "slave" });
            if self.failed >> node & 1 == 1 {
                text.push_str(",fail");
            } else if self.suspects >> node & 1 == 1 {
                text.push_str(",fail?");
            }
            let of = if primary { "-" } else { &self.shape.ids[usize::from(entry.primary)] };
            let connected = node == self.id || self.suspects >> node & 1 == 0;
            let state = if connected { "connected" } else { "disconnected" };
            let _ = write!(text, " {of} 0 {} {} {state}", self.heard[place] / 1000, entry.epoch);
            if primary {
                self.write_slots(&mut text, node, shard);
            }
            text.push('\n');
        }
        text
    }

    fn write_slots(&self, text: &mut String, node: u16, shard: u16) {
        for (first, last) in self.map.ranges(shard) {
            let _ = if first == last { write!(text, " {first}") } else { write!(text, " {first}-{last}") };
        }
        if node != self.id {
            return;
        }
        for slot in &self.still_claimed {
            let _ = write!(text, " {slot}");
        }
        for open in &self.map.migrations {
            let peer = |shard: u16| &self.shape.ids[usize::from(self.map.shards[usize::from(shard)].primary)];
            for slot in open.slots.iter() {
                if open.from == shard {
                    let _ = write!(text, " [{slot}->-{}]", peer(open.to));
                } else if open.to == shard {
                    let _ = write!(text, " [{slot}-<-{}]", peer(open.from));
                }
            }
        }
    }

    fn cluster_info(&self) -> String {
        let state = if self.cluster_ok { "ok" } else { "fail" };
        let flagged = |bits: u64| -> u32 {
            let primaries = self.map.shards.iter().filter(|shard| bits >> shard.primary & 1 == 1);
            primaries.map(|shard| u32::from(shard.slots)).sum()
        };
        let (suspected, failed) = (flagged(self.suspects & !self.failed), flagged(self.failed));
        let mine = &self.map.shards[usize::from(self.shard)];
        format!(
            "cluster_enabled:1\r\ncluster_state:{state}\r\ncluster_slots_assigned:{SLOTS}\r\ncluster_slots_ok:{}\r\n\
             cluster_slots_pfail:{suspected}\r\ncluster_slots_fail:{failed}\r\ncluster_known_nodes:{}\r\n\
             cluster_size:{}\r\ncluster_current_epoch:{}\r\ncluster_my_epoch:{}\r\n",
            u32::from(SLOTS) - suspected - failed,
            self.shape.ids.len(),
            self.map.shards.iter().filter(|shard| shard.slots > 0).count(),
            self.map.epoch,
            mine.epoch,
        )
    }

    pub(super) fn info(&self) -> String {
        let mine = &self.map.shards[usize::from(self.shard)];
        let offset = self.data().applied;
        let mut text = String::from("# Server\r\nredis_mode:cluster\r\nserver_name:seedfault-embedded\r\n");
        let _ = write!(text, "# Replication\r\nrole:");
        if mine.primary == self.id {
            let replicas: Vec<u16> = self
                .shape
                .nodes_of(self.shard)
                .filter(|node| *node != self.id && self.suspects >> *node & 1 == 0)
                .collect();
            let _ = write!(text, "master\r\nconnected_slaves:{}\r\n", replicas.len());
            for (place, node) in replicas.iter().enumerate() {
                let (port, offset) =
                    (self.shape.ports[usize::from(*node)], self.gossip[usize::from(*node)].offset);
                let _ = write!(
                    text,
                    "slave{place}:ip={ADDRESS},port={port},state=online,offset={offset},lag=0\r\n"
                );
            }
        } else {
            let follows = self.data().leader() == Some((mine.primary, true));
            let heard = self.suspects >> mine.primary & 1 == 0;
            let up = follows && heard;
            let since = (self.now - self.heard[usize::from(mine.primary)]) / 1_000_000;
            let port = self.shape.ports[usize::from(mine.primary)];
            let _ = write!(
                text,
                "slave\r\nmaster_host:{ADDRESS}\r\nmaster_port:{port}\r\nmaster_link_status:{}\r\n\
                 master_last_io_seconds_ago:{}\r\nmaster_sync_in_progress:{}\r\nslave_read_repl_offset:{offset}\r\n\
                 slave_repl_offset:{offset}\r\n",
                if up { "up" } else { "down" },
                if up { since as i64 } else { -1 },
                u8::from(heard && !follows),
            );
            if !up {
                let _ = write!(text, "master_link_down_since_seconds:{since}\r\n");
            }
            text.push_str("slave_read_only:1\r\nconnected_slaves:0\r\n");
        }
        // The history of a shard's log goes on under the next primary; its name is that of the election.
        let id = blake3::hash(format!("{} {}", self.shard, mine.round).as_bytes()).to_hex();
        let _ = write!(text, "master_replid:{}\r\nmaster_repl_offset:{offset}\r\n", &id[..40]);
        text
    }

    fn cluster_slots(&self, out: &mut Vec<u8>) {
        let rows: Vec<(u16, u16, u16)> = (0..self.map.shards.len() as u16)
            .flat_map(|shard| self.map.ranges(shard).iter().map(move |(first, last)| (*first, *last, shard)))
            .collect();
        resp::array(out, rows.len());
        for (first, last, shard) in rows {
            let nodes = self.primary_first(shard);
            resp::array(out, 2 + nodes.len());
            resp::integer(out, i64::from(first));
            resp::integer(out, i64::from(last));
            for node in nodes {
                resp::array(out, 3);
                resp::bulk(out, ADDRESS.as_bytes());
                resp::integer(out, i64::from(self.shape.ports[usize::from(node)]));
                resp::bulk(out, self.shape.ids[usize::from(node)].as_bytes());
            }
        }
    }

    fn primary_first(&self, shard: u16) -> Vec<u16> {
        let primary = self.map.shards[usize::from(shard)].primary;
        let replicas = self.shape.nodes_of(shard).filter(|node| *node != primary);
        std::iter::once(primary).chain(replicas).collect()
    }

    fn cluster_shards(&self, out: &mut Vec<u8>) {
        resp::array(out, self.map.shards.len());
        for shard in 0..self.map.shards.len() as u16 {
            let ranges = self.map.ranges(shard);
            let nodes = self.primary_first(shard);
            resp::array(out, 4);
            resp::bulk(out, b"slots");
            resp::array(out, ranges.len() * 2);
            for (first, last) in ranges {
                resp::integer(out, i64::from(*first));
                resp::integer(out, i64::from(*last));
            }
            resp::bulk(out, b"nodes");
            resp::array(out, nodes.len());
            for (place, node) in nodes.into_iter().enumerate() {
                let port = self.shape.ports[usize::from(node)];
                let health = if self.failed >> node & 1 == 1 { "fail" } else { "online" };
                resp::array(out, 14);
                for (name, value) in [
                    ("id", self.shape.ids[usize::from(node)].as_str()),
                    ("ip", ADDRESS),
                    ("endpoint", ADDRESS),
                    ("role", if place == 0 { "master" } else { "replica" }),
                    ("health", health),
                ] {
                    resp::bulk(out, name.as_bytes());
                    resp::bulk(out, value.as_bytes());
                }
                resp::bulk(out, b"port");
                resp::integer(out, i64::from(port));
                resp::bulk(out, b"replication-offset");
                let offset =
                    if node == self.id { self.own_gossip() } else { self.gossip[usize::from(node)] }.offset;
                resp::integer(out, offset as i64);
            }
        }
    }

    fn keys_in_slot(&self, out: &mut Vec<u8>, name: &str, arguments: &[Vec<u8>]) {
        let number =
            |place: usize| arguments.get(place).and_then(|argument| text(argument).parse::<usize>().ok());
        let Some(slot) = number(2).filter(|slot| *slot < usize::from(SLOTS)) else {
            return resp::error(out, "ERR Invalid slot");
        };
        let keys = self.data_state().keys_of(&[slot as u16]);
        if name == "COUNTKEYSINSLOT" {
            return resp::integer(out, keys.len() as i64);
        }
        let most = number(3).unwrap_or(0).min(keys.len());
        resp::array(out, most);
        keys[..most].iter().for_each(|(key, _)| resp::bulk(out, key));
    }

    /// `CLUSTER FAILOVER [FORCE|TAKEOVER]`: the replica stands for election at once. The three forms differ in
    /// Redis by whose consent they need; here a majority of the log's members must consent to each.
    fn failover(&mut self, out: &mut Vec<u8>, arguments: &[Vec<u8>]) {
        let primary = self.map.shards[usize::from(self.shard)].primary;
        if primary == self.id {
            return resp::error(out, "ERR You should send CLUSTER FAILOVER to a replica");
        }
        if arguments.len() == 2 && self.suspects >> primary & 1 == 1 {
            return resp::error(out, "ERR Master is down or failed, please use CLUSTER FAILOVER FORCE");
        }
        self.log("Manual failover user request accepted.".into());
        self.groups[0].1.try_to_lead();
        resp::simple(out, "OK");
    }

    /// `CLUSTER MIGRATESLOTS slot [slot ...] NODE id [STOP step]`, our own: answers `OK` when it is taken on; it
    /// has ended when `CLUSTER NODES` shows the taker as the owner, or, with a step to stop at, when nothing
    /// moves any more. The step counts for the last slot alone; the others are moved to the end. Given again for
    /// open slots, it carries them on.
    fn migrate_slots(&mut self, out: &mut Vec<u8>, arguments: &[Vec<u8>]) {
        match self.migration_of(arguments) {
            Err(why) => resp::error(out, &format!("ERR {why}")),
            Ok((slots, from, to, stop)) => {
                let (last, others) = slots.split_last().expect("at least one slot was read");
                let whole = [(others, StopAfter::Done), (std::slice::from_ref(last), stop)];
                for (slots, stop) in whole.into_iter().filter(|(slots, _)| !slots.is_empty()) {
                    let number = self.request_next;
                    self.request_next += 1;
                    let slots: Arc<[u16]> = Arc::from(slots);
                    self.requests.push_back(Arc::new(Command::Begin {
                        origin: self.id,
                        number,
                        slots,
                        from,
                        to,
                        stop,
                    }));
                }
                if let Some(first) = self.requests.front().cloned() {
                    self.request_at = self.now;
                    self.ask_map(first);
                }
                resp::simple(out, "OK");
            }
        }
    }

    fn migration_of(&self, arguments: &[Vec<u8>]) -> Result<(Vec<u16>, u16, u16, StopAfter), String> {
        let words: Vec<&str> = arguments[2..].iter().map(|argument| text(argument)).collect();
        let at = words
            .iter()
            .position(|word| word.eq_ignore_ascii_case("NODE"))
            .ok_or("NODE and its id are missing")?;
        let slots: Option<BTreeSet<u16>> =
            words[..at].iter().map(|word| word.parse().ok().filter(|slot| *slot < SLOTS)).collect();
        let slots: Vec<u16> = slots.ok_or("Invalid or out of range slot")?.into_iter().collect();
        let first = *slots.first().ok_or("no slot was given")?;
        let id = words.get(at + 1).ok_or("NODE and its id are missing")?;
        let node = self.shape.ids.iter().position(|known| known == id).ok_or(format!("Unknown node {id}"))?;
        let to = self.shape.shard_of(node as u16);
        let from = self.map.owner_of(first);
        if slots.iter().any(|slot| self.map.owner_of(*slot) != from) {
            return Err("the slots have several owners".into());
        }
        if from == to {
            return Err("the taker owns the slots already".into());
        }
        let elsewhere = |slot: &u16| self.map.migrations.iter().any(|m| m.to != to && m.slots.contains(slot));
        if slots.iter().any(elsewhere) {
            return Err("a slot is on its way to another node".into());
        }
        let stop = match words.get(at + 2..) {
            None | Some([]) => StopAfter::Done,
            Some([stop, step]) if stop.eq_ignore_ascii_case("STOP") => {
                let known = StopAfter::ALL.iter().find(|known| known.to_string() == **step);
                *known.ok_or(format!("no step is called {step}"))?
            }
            Some(_) => return Err("syntax error".into()),
        };
        Ok((slots, from, to, stop))
    }
}
