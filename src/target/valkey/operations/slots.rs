//! Slots that move with their keys: `reshard`, `drain`, and the moves of `scale_out` and `scale_in`.
//!
//! The steps are those of the cluster specification ("Cluster live reconfiguration"): the target imports, the
//! source migrates, keys go by `MIGRATE`, then `SETSLOT NODE` on the target, on the source and on the others.
//! Slots go in batches, each step for the whole batch before the next, because one by one a drain of 4,096 slots
//! would take longer than a run. Only the last slot of a reshard may stop on the way.

use crate::env::NodeId;
use crate::run::operation::{COMMAND_TIMEOUT, OpIo};
use crate::run::resp::Reply;
use crate::run::task::Conn;
use crate::target::operation::{Drain, Reshard, StopAfter};
use crate::target::valkey::hands::{self, Done, fail, live_primary, skip};
use crate::time::{Micros, Millis};

/// Slots that are on the way together.
const BATCH: usize = 128;
/// Connections to each node. valkey 8.0 answers a SETSLOT when the replicas have it, some 15 ms later: a connection
/// waits for that, and others need not.
const LANES: usize = 16;
/// Keys of one `MIGRATE`.
const KEYS: usize = 64;
/// The bound on a whole move.
const MOVE_TIMEOUT: Millis = Millis(60_000);
/// The time given to `MIGRATE` for each of its steps, in milliseconds.
const MIGRATE_MS: &str = "2000";

pub async fn reshard(op: OpIo, fields: Reshard) -> Done {
    let (source, target) = ends(&op, fields.from, fields.to)?;
    turn(&op, source, target).await.map_err(hands::Stop::Skip)?;
    let slots = take(&op, source, usize::from(fields.slots)).await?;
    if slots.is_empty() {
        return skip(format!("{source} owns no slot that could move"));
    }
    op.detail(format!("{} from {source} to {target}, up to {}", spell(&slots), fields.stop_after));
    let mut mover = Mover::new(&op, source, target);
    match fields.stop_after {
        StopAfter::Done => mover.all(&slots).await,
        stop => {
            let (last, before) = slots.split_last().expect("not empty");
            mover.all(before).await?;
            mover.batch(&[*last], stop).await
        }
    }
}

pub async fn drain(op: OpIo, fields: Drain) -> Done {
    let (source, target) = ends(&op, fields.shard, fields.to)?;
    turn(&op, source, target).await.map_err(hands::Stop::Skip)?;
    let slots = take(&op, source, usize::MAX).await?;
    if slots.is_empty() {
        return skip(format!("{source} owns no slot"));
    }
    op.detail(format!("all {} slots of {source} to {target}", slots.len()));
    Mover::new(&op, source, target).all(&slots).await
}

fn ends(op: &OpIo, from: u16, to: u16) -> Result<(NodeId, NodeId), hands::Stop> {
    if from == to {
        return skip(format!("shard {from} cannot give slots to itself"));
    }
    let (source, target) = (live_primary(op, from)?, live_primary(op, to)?);
    op.resolved(source);
    op.resolved(target);
    Ok((source, target))
}

/// Waits until slots can go from one node to another.
///
/// No other operation lets one of the two give and take at once. Taking a slot raises a node's epoch without
/// consensus, and with it all that the node still claims: a slot that it gave, of which it was not told yet, goes
/// back to it on the taker, and is then given away by it, so that nobody owns it (valkey 8.0.1, two reshards in
/// opposite directions). And the taker has heard of the giver's epoch: it raises its own only above those that it
/// knows (`clusterBumpConfigEpochWithoutConsensus` in cluster.c), so that a giver which has just taken a slot would
/// win it back on the taker alone, and nobody would own it (redis 7.0.15, a reshard right after its opposite).
/// `redis-cli --cluster reshard` refuses to begin while any slot is open, and asks every node for its view first.
pub async fn turn(op: &OpIo, source: NodeId, target: NodeId) -> Result<(), String> {
    let deadline = op.io.after(MOVE_TIMEOUT);
    hands::retry(op, deadline, hands::LOOK, async || {
        let free = op.world.borrow_mut().may_move(&op.event, source, target);
        if free { Ok(()) } else { Err(format!("slots of {source} or {target} move the other way")) }
    })
    .await?;
    let id = op.id(source)?;
    hands::retry(op, deadline, hands::LOOK, async || {
        if hands::epoch(op, source, &id).await? <= hands::epoch(op, target, &id).await? {
            Ok(())
        } else {
            Err(format!("{target} has not heard of the epoch of {source}"))
        }
    })
    .await
}

/// The first slots of a node that this operation moves. Two operations never move the same slot at once: `SETSLOT`
/// asks for no consensus, so two administrators who do that to one slot leave it without an owner on some nodes,
/// and `redis-cli --cluster` refuses to begin. Commands that fight are what `admin` is for.
pub async fn take(op: &OpIo, node: NodeId, count: usize) -> Result<Vec<u16>, String> {
    let mut slots = owned(op, node).await?;
    let mut world = op.world.borrow_mut();
    slots.retain(|slot| !world.is_moving(*slot));
    slots.truncate(count);
    world.move_slots(&op.event, &slots);
    Ok(slots)
}

/// The slots that a node itself claims and that are not on the way already, in order.
pub async fn owned(op: &OpIo, node: NodeId) -> Result<Vec<u16>, String> {
    let text = hands::text(op, node, &["CLUSTER", "NODES"]).await?;
    own_slots(&text).ok_or_else(|| format!("{node} does not say which slots it owns"))
}

/// The slots on the `myself` line of CLUSTER NODES, without open ones.
fn own_slots(nodes: &str) -> Option<Vec<u16>> {
    slots_on(own_line(nodes)?, false)
}

/// The slots on the `myself` line of CLUSTER NODES, with those that are on their way elsewhere.
pub fn claims(nodes: &str) -> Option<Vec<u16>> {
    slots_on(own_line(nodes)?, true)
}

fn own_line(nodes: &str) -> Option<&str> {
    nodes.lines().find(|line| {
        line.split_ascii_whitespace().nth(2).is_some_and(|flags| flags.split(',').any(|f| f == "myself"))
    })
}

/// The slots that an answer to CLUSTER NODES gives to an id; `None` if it does not list it.
pub fn slots_of_id(nodes: &str, id: &str) -> Option<Vec<u16>> {
    let line = nodes.lines().find(|line| line.split_ascii_whitespace().next() == Some(id))?;
    slots_on(line, true)
}

/// The slots on a line of CLUSTER NODES, with or without open ones.
pub fn slots_on(line: &str, with_open: bool) -> Option<Vec<u16>> {
    let (mut slots, mut open) = (Vec::new(), Vec::new());
    for word in line.split_ascii_whitespace().skip(8) {
        if let Some(way) = word.strip_prefix('[') {
            let digits = way.split_once('-')?.0;
            open.push(digits.parse::<u16>().ok()?);
        } else if let Some((first, last)) = word.split_once('-') {
            slots.extend(first.parse::<u16>().ok()?..=last.parse().ok()?);
        } else {
            slots.push(word.parse().ok()?);
        }
    }
    slots.retain(|slot| with_open || !open.contains(slot));
    slots.sort_unstable();
    Some(slots)
}

/// Moves slots from one node to another over connections that it keeps.
#[derive(Debug)]
pub struct Mover<'a> {
    op: &'a OpIo,
    source: NodeId,
    target: NodeId,
    connections: Vec<Conn>,
    deadline: Micros,
}

impl<'a> Mover<'a> {
    pub fn new(op: &'a OpIo, source: NodeId, target: NodeId) -> Self {
        Self { op, source, target, connections: Vec::new(), deadline: op.io.after(MOVE_TIMEOUT) }
    }

    /// Moves slots to the end.
    pub async fn all(&mut self, slots: &[u16]) -> Done {
        for batch in slots.chunks(BATCH) {
            self.batch(batch, StopAfter::Done).await?;
        }
        Ok(())
    }

    /// Moves slots together, up to a step.
    pub async fn batch(&mut self, slots: &[u16], stop_after: StopAfter) -> Done {
        if self.op.io.now() >= self.deadline {
            return fail(format!("the move took longer than {MOVE_TIMEOUT}"));
        }
        let (source_id, target_id) = (self.op.id(self.source)?, self.op.id(self.target)?);
        {
            let mut report = self.op.report.borrow_mut();
            report.slots.extend(slots);
            report.slots_left_open.extend(slots);
        }
        let left = |op: &OpIo, keys: usize| {
            op.step(format!("{} left after the step: {stop_after}, {keys} keys moved", spell(slots)));
            Ok(())
        };
        self.set(self.target, slots, &["IMPORTING", &source_id]).await?;
        if stop_after == StopAfter::Importing {
            return left(self.op, 0);
        }
        self.set(self.source, slots, &["MIGRATING", &target_id]).await?;
        if stop_after == StopAfter::Migrating {
            return left(self.op, 0);
        }
        let keys = self.move_keys(slots, stop_after == StopAfter::SomeKeys).await?;
        if matches!(stop_after, StopAfter::SomeKeys | StopAfter::AllKeys) {
            return left(self.op, keys);
        }
        self.set(self.target, slots, &["NODE", &target_id]).await?;
        if stop_after == StopAfter::TargetOwns {
            return left(self.op, keys);
        }
        match self.set(self.source, slots, &["NODE", &target_id]).await {
            // With its last slot gone, which gossip may tell it first, it has become a replica of the taker.
            Err(why) if why.contains("only with masters") || why.contains("only with primaries") => {
                self.op.step(format!("{} has no slot left and is a replica already", self.source));
            }
            other => other?,
        }
        self.op.report.borrow_mut().slots_left_open.retain(|slot| !slots.contains(slot));
        self.tell_others(slots, &target_id).await;
        self.op.step(format!("{} with {keys} keys: {} to {}", spell(slots), self.source, self.target));
        Ok(())
    }

    /// `CLUSTER SETSLOT` for each of the slots; the first error ends the move.
    async fn set(&mut self, node: NodeId, slots: &[u16], how: &[&str]) -> Result<(), String> {
        let replies = self.setslots(node, slots, how).await?;
        let refused = replies.into_iter().zip(slots).find_map(|(reply, slot)| Some((reply.err()?, slot)));
        match refused {
            Some((error, slot)) => Err(format!("{node}, SETSLOT {slot} {}: {error}", how[0])),
            None => Ok(()),
        }
    }

    async fn setslots(
        &mut self,
        node: NodeId,
        slots: &[u16],
        how: &[&str],
    ) -> Result<Vec<Result<Reply, String>>, String> {
        let command = |slot: &u16| {
            let words = ["CLUSTER".into(), "SETSLOT".into(), slot.to_string()];
            words.into_iter().chain(how.iter().map(ToString::to_string)).collect()
        };
        let commands: Vec<Vec<String>> = slots.iter().map(command).collect();
        self.pipeline(node, &commands).await
    }

    /// The primaries that neither give nor take learn it by gossip anyway: what they answer is no matter.
    async fn tell_others(&mut self, slots: &[u16], target_id: &str) {
        let others: Vec<NodeId> = {
            let world = self.op.world.borrow();
            let bystanders = world.primaries.values().copied();
            bystanders.filter(|n| *n != self.source && *n != self.target && world.is_live(*n)).collect()
        };
        for node in others {
            if let Err(why) = self.setslots(node, slots, &["NODE", target_id]).await {
                self.op.step(format!("{node} was not told: {why}"));
            }
        }
    }

    /// Moves the keys of the slots; with `some`, half of those in each slot, at least one. How many went.
    async fn move_keys(&mut self, slots: &[u16], some: bool) -> Result<usize, String> {
        let count = |slot: &u16| vec!["CLUSTER".into(), "COUNTKEYSINSLOT".into(), slot.to_string()];
        let commands: Vec<Vec<String>> = slots.iter().map(count).collect();
        let counts = self.pipeline(self.source, &commands).await?;
        let mut moved = 0;
        for (slot, count) in slots.iter().zip(counts) {
            let there = count?.integer().unwrap_or_default().max(0) as usize;
            let wanted = if some { there.div_ceil(2) } else { usize::MAX };
            if there > 0 {
                moved += self.move_slot_keys(*slot, wanted).await?;
            }
        }
        Ok(moved)
    }

    async fn move_slot_keys(&mut self, slot: u16, wanted: usize) -> Result<usize, String> {
        let (ip, port) = self.op.address(self.target)?;
        let password = self.op.world.borrow().password();
        let mut moved = 0;
        // A key may be written while its slot moves, so the count is asked for again and again until none is left.
        while moved < wanted {
            if self.op.io.now() >= self.deadline {
                return Err(format!("the keys of slot {slot} took longer than {MOVE_TIMEOUT}"));
            }
            let batch = KEYS.min(wanted - moved);
            let ask = ["CLUSTER".into(), "GETKEYSINSLOT".into(), slot.to_string(), batch.to_string()];
            let keys = match self.pipeline(self.source, &[ask.to_vec()]).await?.remove(0)? {
                Reply::Array(keys) => {
                    keys.iter().filter_map(|k| Some(k.text()?.to_string())).collect::<Vec<_>>()
                }
                other => return Err(format!("GETKEYSINSLOT answered {other:?}")),
            };
            if keys.is_empty() {
                break;
            }
            // The source holds what counts until the slot changes hands: a copy that an earlier MIGRATE left
            // behind when its answer was lost is replaced.
            let mut migrate: Vec<String> =
                ["MIGRATE", &ip, &port.to_string(), "", "0", MIGRATE_MS, "REPLACE"].map(Into::into).into();
            if let Some(password) = password {
                migrate.extend(["AUTH".into(), password.into()]);
            }
            migrate.push("KEYS".into());
            let count = keys.len();
            migrate.extend(keys);
            self.pipeline(self.source, &[migrate]).await?.remove(0).map_err(|e| format!("MIGRATE: {e}"))?;
            moved += count;
        }
        Ok(moved)
    }

    async fn pipeline(
        &mut self,
        node: NodeId,
        commands: &[Vec<String>],
    ) -> Result<Vec<Result<Reply, String>>, String> {
        self.connections.retain(|conn| !conn.is_closed());
        let wanted = commands.len().min(LANES);
        let here = self.connections.iter().filter(|conn| conn.node == node).count();
        for _ in here..wanted {
            let conn = self.op.connect(node).await.map_err(|error| format!("{node}: {error}"))?;
            self.connections.push(conn);
        }
        let lanes: Vec<&Conn> =
            self.connections.iter().filter(|conn| conn.node == node).take(wanted).collect();
        // Each SETSLOT of valkey waits for the replicas, and may take its own timeout of 2 s to say so.
        let deadline = self.op.io.after(COMMAND_TIMEOUT.saturating_add(Millis(20 * commands.len() as u64)));
        let answers = hands::pipeline(&lanes, commands, deadline).await;
        if answers.is_err() {
            // Answers that come late must not be taken for those of later commands.
            self.connections.retain(|conn| conn.node != node);
        }
        answers
    }
}

/// `slot 7`, `slots 0-3`, `5 slots from 0 to 9`.
fn spell(slots: &[u16]) -> String {
    match slots {
        [] => "no slot".into(),
        [slot] => format!("slot {slot}"),
        [first, .., last] if usize::from(last - first) + 1 == slots.len() => format!("slots {first}-{last}"),
        [first, .., last] => format!("{} slots from {first} to {last}", slots.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_slots_leave_out_those_on_the_way() {
        let nodes = "aa 127.0.0.1:7000@17000 master - 0 0 1 connected 0-1\n\
                     bb 127.0.0.1:7001@17001 myself,master - 0 0 2 connected 5 7-9 [8->-aa] [3-<-aa]\n";
        assert_eq!(own_slots(nodes), Some(vec![5, 7, 9]));
        assert_eq!(own_slots("cc 127.0.0.1:7002@17002 myself,slave aa 0 0 1 connected\n"), Some(vec![]));
        assert_eq!(own_slots(""), None);
        assert_eq!(claims(nodes), Some(vec![5, 7, 8, 9]));
        assert_eq!(slots_of_id(nodes, "aa"), Some(vec![0, 1]));
        assert_eq!(slots_of_id(nodes, "cc"), None);
    }

    #[test]
    fn slots_are_spelled_as_ranges() {
        assert_eq!(spell(&[4]), "slot 4");
        assert_eq!(spell(&[4, 5, 6]), "slots 4-6");
        assert_eq!(spell(&[4, 9]), "2 slots from 4 to 9");
    }
}
