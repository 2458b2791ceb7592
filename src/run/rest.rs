//! A Redis Cluster at rest, by its protocol: what is amiss, what each slot answers, and which node holds what.

use super::client::{read_command, read_value, slot_of};
use super::operation::connect;
use super::record::{KeyDump, SlotAnswer};
use super::resp::{self, Reply};
use super::task::{Conn, Io};
use super::view::ClusterView;
use super::world::{Shared, World};
use crate::env::NodeId;
use crate::history::{Key, Value};
use crate::time::Millis;
use crate::timeline::{Load, Role};
use std::collections::{BTreeMap, BTreeSet};

/// How long a node may take to answer one batch of reads.
const READ_TIMEOUT: Millis = Millis(5000);
/// Commands sent at once to one node.
const BATCH: usize = 512;
/// What keeps a cluster from being as it should be; empty when nothing does.
pub fn amiss(view: &ClusterView, world: &World) -> Vec<String> {
    let mut amiss = Vec::new();
    let live: BTreeSet<NodeId> = world.live().into_iter().collect();
    let mut served = vec![0u8; 16384];
    let mut members_of_first: Option<(NodeId, Vec<_>)> = None;
    for node in &view.nodes {
        if !live.contains(&node.node) {
            continue;
        }
        let report = match &node.report {
            Ok(report) => report,
            Err(why) => {
                amiss.push(format!("{} does not answer: {why}", node.node));
                continue;
            }
        };
        if report.state != "ok" {
            amiss.push(format!("{} says cluster_state:{}", node.node, report.state));
        }
        if !report.replication.link_up {
            amiss.push(format!("{} has no link to its primary", node.node));
        }
        for (first, last) in report.own_slots() {
            for slot in *first..=*last {
                served[usize::from(slot)] = served[usize::from(slot)].saturating_add(1);
            }
        }
        for member in &report.members {
            let alive = member.node.is_some_and(|n| live.contains(&n));
            if member.handshake {
                amiss.push(format!("{} is in handshake with {}", node.node, member.id));
            } else if alive && (member.fail || member.maybe_fail) {
                amiss.push(format!(
                    "{} takes {} for failed",
                    node.node,
                    member.node.map_or_else(String::new, |n| n.to_string())
                ));
            } else if !alive && !member.known_as_failed() && !member.noaddr && member.node.is_some() {
                amiss.push(format!(
                    "{} has not noticed that {} is gone",
                    node.node,
                    member.node.map_or_else(String::new, |n| n.to_string())
                ));
            }
        }
        let members: Vec<_> = report
            .members
            .iter()
            .filter(|m| !m.handshake)
            .map(|m| (m.id.clone(), m.role, m.primary.clone(), m.slots.clone(), m.known_as_failed()))
            .collect();
        match &members_of_first {
            None => members_of_first = Some((node.node, members)),
            Some((first, others)) if *others != members => {
                amiss.push(format!("{first} and {} see different clusters", node.node));
            }
            Some(_) => {}
        }
    }
    let uncovered = served.iter().filter(|count| **count == 0).count();
    let contested = served.iter().filter(|count| **count > 1).count();
    if uncovered > 0 {
        amiss.push(format!("{uncovered} slots without an owner"));
    }
    if contested > 0 {
        amiss.push(format!("{contested} slots with two owners"));
    }
    amiss
}

/// Which node itself claims each slot; the lowest number where several do.
fn owners(view: &ClusterView) -> Vec<Option<NodeId>> {
    let mut owners = vec![None; 16384];
    for (node, report) in view.answered() {
        for (first, last) in report.own_slots() {
            for slot in *first..=*last {
                let owner = &mut owners[usize::from(slot)];
                if owner.is_none() {
                    *owner = Some(node);
                }
            }
        }
    }
    owners
}

/// For every slot, what a read through its owner answers.
pub async fn slots(io: Io, world: Shared, view: ClusterView) -> Vec<SlotAnswer> {
    let owners = owners(&view);
    let mut by_node: BTreeMap<NodeId, Vec<u16>> = BTreeMap::new();
    for (slot, owner) in owners.iter().enumerate() {
        if let Some(node) = owner {
            by_node.entry(*node).or_default().push(slot as u16);
        }
    }
    let keys = keys_of_slots();
    let mut answers: Vec<Result<(), String>> = vec![Err("no node claims it".into()); 16384];
    for (node, slots) in by_node {
        let commands: Vec<Vec<u8>> = slots
            .iter()
            .map(|slot| {
                let mut bytes = Vec::with_capacity(48);
                resp::encode(&["EXISTS", &format!("probe:{{{}}}", keys[usize::from(*slot)])], &mut bytes);
                bytes
            })
            .collect();
        let replies = batch(&io, &world, node, false, commands).await;
        for (slot, reply) in slots.into_iter().zip(replies) {
            answers[usize::from(slot)] = match reply {
                Ok(Reply::Error(error)) => Err(error),
                Ok(_) => Ok(()),
                Err(why) => Err(why),
            };
        }
    }
    let mut ranges: Vec<SlotAnswer> = Vec::new();
    for (slot, answer) in answers.into_iter().enumerate() {
        let owner = owners[slot];
        // An error names the slot; without it neighbours can be told to be alike.
        let answer = answer.map_err(|error| match error.split_once(' ') {
            Some((code @ ("MOVED" | "ASK"), rest)) => {
                format!("{code} {}", rest.split_once(' ').map_or(rest, |(_, to)| to))
            }
            _ => error,
        });
        match ranges.last_mut() {
            Some(range) if range.owner == owner && range.answer == answer => range.last = slot as u16,
            _ => ranges.push(SlotAnswer { first: slot as u16, last: slot as u16, owner, answer }),
        }
    }
    ranges
}

/// A hash tag for each slot.
fn keys_of_slots() -> Vec<u32> {
    let mut keys = vec![u32::MAX; 16384];
    let (mut left, mut number) = (16384, 0u32);
    while left > 0 {
        let slot = usize::from(resp::slot(number.to_string().as_bytes()));
        if keys[slot] == u32::MAX {
            keys[slot] = number;
            left -= 1;
        }
        number += 1;
    }
    keys
}

/// Every key that the clients touched, in order, while no node has told what it holds of it.
pub fn untold(world: &Shared, why: &str) -> Vec<KeyDump> {
    let world = world.borrow();
    let touched: BTreeSet<Key> = world.history.iter().map(|operation| operation.key).collect();
    let dump = |key| KeyDump {
        key,
        slot: slot_of(&key),
        value: Err(why.into()),
        replicas: Vec::new(),
        strays: Vec::new(),
    };
    touched.into_iter().map(dump).collect()
}

/// What every node holds of every key that the clients touched.
pub async fn dump(io: Io, world: Shared, view: ClusterView) -> Vec<KeyDump> {
    let owners = owners(&view);
    let ids: BTreeMap<&str, NodeId> =
        view.answered().map(|(node, report)| (report.id.as_str(), node)).collect();
    let mut replicas_of: BTreeMap<NodeId, Vec<NodeId>> = BTreeMap::new();
    let mut all: Vec<(NodeId, Role)> = Vec::new();
    for (node, report) in view.answered() {
        let Some(me) = report.myself() else { continue };
        all.push((node, me.role));
        if let Some(primary) = me.primary.as_deref().and_then(|id| ids.get(id)) {
            replicas_of.entry(*primary).or_default().push(node);
        }
    }
    let (mut dumps, load) = (untold(&world, "no node claims its slot"), world.borrow().timeline.load.clone());
    for (node, _) in &all {
        let wanted: Vec<usize> = (0..dumps.len())
            .filter(|place| {
                let owner = owners[usize::from(dumps[*place].slot)];
                owner == Some(*node)
                    || owner.is_some_and(|o| replicas_of.get(&o).is_some_and(|r| r.contains(node)))
            })
            .collect();
        let commands = wanted
            .iter()
            .map(|place| {
                let mut bytes = Vec::with_capacity(48);
                read_command(&dumps[*place].key, &load, &mut bytes);
                bytes
            })
            .collect();
        let replies = batch(&io, &world, *node, true, commands).await;
        for (place, reply) in wanted.into_iter().zip(replies) {
            let dump = &mut dumps[place];
            let value: Result<Value, String> =
                reply.and_then(|reply| read_value(&dump.key, &reply, load.value_bytes));
            if owners[usize::from(dump.slot)] == Some(*node) {
                dump.value = value;
            } else {
                dump.replicas.push((*node, value));
            }
        }
        for key in strays(&io, &world, *node, &load).await {
            if let Ok(place) = dumps.binary_search_by(|dump| dump.key.cmp(&key)) {
                let owner = owners[usize::from(dumps[place].slot)];
                let belongs = owner == Some(*node)
                    || owner.is_some_and(|o| replicas_of.get(&o).is_some_and(|r| r.contains(node)));
                if !belongs {
                    dumps[place].strays.push(*node);
                }
            }
        }
    }
    dumps
}

/// The keys of the workload that a node holds, whether or not it should.
async fn strays(io: &Io, world: &Shared, node: NodeId, load: &Load) -> Vec<Key> {
    let prefix = &load.key_prefix.0;
    let mut bytes = Vec::new();
    resp::encode(&["KEYS", &format!("{prefix}?:{{*}}")], &mut bytes);
    let replies = batch(io, world, node, true, vec![bytes]).await;
    let Some(Ok(Reply::Array(items))) = replies.into_iter().next() else { return Vec::new() };
    items.iter().filter_map(|item| key_from(item.text()?.strip_prefix(prefix.as_str())?)).collect()
}

/// Reads `r:{17}`.
fn key_from(text: &str) -> Option<Key> {
    let (kind, number) = text.split_once(":{")?;
    Some(Key {
        kind: crate::history::KeyKind::from_text(kind)?,
        number: number.strip_suffix('}')?.parse().ok()?,
    })
}

/// Sends commands to one node, some hundred at once, and gives their answers in order.
async fn batch(
    io: &Io,
    world: &Shared,
    node: NodeId,
    readonly: bool,
    commands: Vec<Vec<u8>>,
) -> Vec<Result<Reply, String>> {
    let mut answers = Vec::with_capacity(commands.len());
    let total = commands.len();
    let conn: Result<Conn, String> = match connect(io, world, node, io.after(READ_TIMEOUT), false).await {
        Ok(conn) if readonly => match conn.call(&["READONLY"], io.after(READ_TIMEOUT)).await {
            Ok(_) => Ok(conn),
            Err(error) => Err(error.to_string()),
        },
        Ok(conn) => Ok(conn),
        Err(error) => Err(error.to_string()),
    };
    let mut broken = conn.as_ref().err().cloned();
    if let Ok(conn) = conn {
        'chunks: for chunk in commands.chunks(BATCH) {
            conn.send_bytes(chunk.concat());
            let deadline = io.after(READ_TIMEOUT);
            for _ in chunk {
                match conn.reply(deadline).await {
                    Ok(reply) => answers.push(Ok(reply)),
                    Err(error) => {
                        broken = Some(error.to_string());
                        break 'chunks;
                    }
                }
            }
        }
    }
    let why = broken.unwrap_or_default();
    answers.resize_with(total, || Err(format!("{node} did not answer: {why}")));
    answers
}
