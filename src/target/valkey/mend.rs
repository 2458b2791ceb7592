//! What an administrator puts right when nodes came back with less than they had: nobody promised that a cluster
//! survives a `nodes.conf` that is lost or older than what its node has told the others.
//!
//! A primary that lost its id leaves slots to a ghost. One that comes back as the replica that it was before its
//! promotion follows a node that follows it: both are replicas, nobody has failed, and nobody is ever elected.
//! `CLUSTER FAILOVER TAKEOVER`, `ADDSLOTSRANGE` and `BUMPEPOCH` need no votes, as `redis-cli --cluster fix` and
//! the tutorials use them. Slots are touched only where one of the shard's nodes came back like that: those that
//! are lost for any other reason are the servers' own affair.

use super::hands;
use super::operations::claims;
use super::rejoin::rejoin;
use crate::env::NodeId;
use crate::fault::kill::Signal;
use crate::fault::restart::RestartData;
use crate::run::operation::OpIo;
use crate::run::view::ClusterView;
use crate::run::world::World;
use crate::time::{Micros, Millis};
use crate::timeline::Role;
use std::collections::{BTreeMap, BTreeSet};

/// How long a node may take to do as it was told.
const TIMEOUT: Millis = Millis(10_000);
/// Between two looks at who has which slots.
const LOOK: Millis = Millis(500);
const SLOTS: u16 = 16384;

/// Brings strangers in, then gives slots that nobody has to who should have them. What it cannot do is a step.
pub async fn mend(op: OpIo) {
    let impostors = impostors(&op.world.borrow());
    for node in impostors {
        op.step(match wipe(&op, node).await {
            Ok(()) => format!("{node}, which came back as another node, was wiped"),
            Err(why) => format!("{node}, which came back as another node, is that still: {why}"),
        });
    }
    let strangers: Vec<NodeId> = {
        let world = op.world.borrow();
        let strange = world.nodes.values().filter(|n| n.stranger && world.is_live(n.node));
        strange.map(|n| n.node).collect()
    };
    for node in strangers {
        op.step(match rejoin(op.clone(), node, None).await {
            Ok(()) => format!("{node}, which came back under a new id, is a member again"),
            Err(why) => format!("{node}, which came back under a new id, is no member yet: {why:?}"),
        });
    }
    if bereft(&op.world.borrow()).is_empty() {
        return;
    }
    raise_epochs(&op).await;
    // An election that is under way comes first.
    let timeout = op.world.borrow().timeline.cluster.node_timeout();
    let deadline = op.io.after(Millis(4 * timeout.0).saturating_add(Millis(10_000)));
    let open = hands::retry(&op, deadline, LOOK, async || {
        let missing = ours(&op, &unclaimed(&op).await?);
        if missing.is_empty() { Ok(()) } else { Err(format!("shards {missing:?} have lost slots")) }
    });
    if open.await.is_err()
        && let Err(why) = give_slots(&op).await
    {
        op.step(why);
    }
    if let Err(why) = idle_primaries(&op).await {
        op.step(why);
    }
}

/// Live nodes that have another's data and identity since their last start.
fn impostors(world: &World) -> Vec<NodeId> {
    let last = |node: &NodeId| world.lives.iter().rev().find(|life| life.node == *node);
    let foreign = |node: &NodeId| last(node).is_some_and(|life| life.stale.as_deref() == Some("foreign"));
    world.live().into_iter().filter(foreign).collect()
}

/// Nobody can tell two nodes of one id apart: the second begins anew.
async fn wipe(op: &OpIo, node: NodeId) -> Result<(), String> {
    op.signal(node, Signal::Kill).await.map_err(|error| error.to_string())?;
    if !op.gone(node, TIMEOUT).await {
        return Err(format!("{node} did not end"));
    }
    op.start(node, RestartData::Wiped).await.map_err(|error| error.to_string())?;
    Ok(())
}

/// A primary that comes back with a claim to slots that have since gone to its shard's new primary, and some of them to
/// another shard, ends as a primary without slots: whoever takes the last of them takes none of the others, and with
/// `cluster-allow-replica-migration no` it follows only whoever took them all (`clusterUpdateSlotsConfigWith` in
/// cluster.c).
async fn idle_primaries(op: &OpIo) -> Result<(), String> {
    let shards = bereft(&op.world.borrow());
    for shard in shards {
        let members = living(&op.world.borrow(), shard);
        let (mut owners, mut idle) = (Vec::new(), false);
        for node in members {
            let nodes = hands::text(op, node, &["CLUSTER", "NODES"]).await?;
            let owns = claims(&nodes).is_some_and(|slots| !slots.is_empty());
            if owns {
                owners.push(node);
            } else {
                idle |= hands::replication(op, node).await?.role == Role::Primary;
            }
        }
        if let ([owner], true) = (&owners[..], idle) {
            followers(op, shard, *owner).await?;
        }
    }
    Ok(())
}

/// A primary that came back with an older `nodes.conf` may hold a lower epoch than it has told the others. Nobody tells
/// it: an epoch travels with its own node's messages alone, and theirs is kept for being higher (`clusterProcessPacket`
/// in cluster.c). It gets a new one, above all.
async fn raise_epochs(op: &OpIo) {
    let older: BTreeSet<NodeId> = {
        let world = op.world.borrow();
        let lives = world.lives.iter().filter(|life| life.stale.as_deref() == Some("older"));
        lives.map(|life| life.node).filter(|node| world.is_live(*node)).collect()
    };
    for node in older {
        let told = async {
            let id = op.id(node)?;
            let own = hands::epoch(op, node, &id).await?;
            let others: Vec<NodeId> = op.world.borrow().live().into_iter().filter(|n| *n != node).collect();
            let mut highest = None;
            for other in others {
                highest = highest.max(hands::epoch(op, other, &id).await?);
            }
            if own.is_some() && own < highest {
                op.tell(node, &["CLUSTER", "BUMPEPOCH"]).await?;
                op.step(format!("{node}, which came back with an older epoch, got a new one"));
            }
            Ok::<(), String>(())
        };
        if let Err(why) = told.await {
            op.step(why);
        }
    }
}

/// The shards in which a node came back as less than the cluster may take it for.
fn bereft(world: &World) -> BTreeSet<u16> {
    let came_back =
        world.lives.iter().filter(|life| matches!(life.stale.as_deref(), Some("wiped" | "older")));
    came_back.filter_map(|life| world.shard_of(life.node)).collect()
}

/// The live nodes of a shard, by number.
fn living(world: &World, shard: u16) -> Vec<NodeId> {
    world.live().into_iter().filter(|node| world.shard_of(*node) == Some(shard)).collect()
}

/// The slots that no live node claims.
async fn unclaimed(op: &OpIo) -> Result<BTreeSet<u16>, String> {
    let mut missing: BTreeSet<u16> = (0..SLOTS).collect();
    let live = op.world.borrow().live();
    for node in live {
        let text = hands::text(op, node, &["CLUSTER", "NODES"]).await?;
        for slot in claims(&text).unwrap_or_default() {
            missing.remove(&slot);
        }
    }
    Ok(missing)
}

/// Of these slots those that we may give away, by the shard of the node that claimed them last.
fn ours(op: &OpIo, missing: &BTreeSet<u16>) -> BTreeMap<u16, Vec<u16>> {
    if missing.is_empty() {
        return BTreeMap::new();
    }
    let world = op.world.borrow();
    let had = last_owners(&world);
    let mut shards: BTreeMap<u16, Vec<u16>> = BTreeMap::new();
    for slot in missing {
        if let Some(shard) = had[usize::from(*slot)].and_then(|node| world.shard_of(node)) {
            shards.entry(shard).or_default().push(*slot);
        }
    }
    let bereft = bereft(&world);
    shards.retain(|shard, _| bereft.contains(shard));
    shards
}

fn last_owners(world: &World) -> Vec<Option<NodeId>> {
    let cluster = &world.timeline.cluster;
    let mut had: Vec<Option<NodeId>> = vec![None; usize::from(SLOTS)];
    let mut give =
        |(first, last): (u16, u16), node| had[usize::from(first)..=usize::from(last)].fill(Some(node));
    for shard in 0..cluster.shards {
        give(cluster.slots(shard), NodeId(cluster.node(shard, 0)));
    }
    for (node, report) in world.views.iter().flat_map(ClusterView::answered) {
        report.own_slots().iter().for_each(|range| give(*range, node));
    }
    had
}

/// Each slot that nobody has goes to a live node of the shard that had it, if one came back with less there.
pub async fn give_slots(op: &OpIo) -> Result<(), String> {
    let missing = ours(op, &unclaimed(op).await?);
    for (shard, slots) in missing {
        let Some(node) = heir(op, shard).await else {
            op.step(format!("shard {shard} has no live node that could have its {} slots", slots.len()));
            continue;
        };
        give(op, shard, node, &slots).await?;
        op.step(format!("{node} got {} slots of shard {shard} that nobody had", slots.len()));
        followers(op, shard, node).await?;
    }
    Ok(())
}

/// The live node of a shard that has most of its data: one that never came back with less, and is furthest.
async fn heir(op: &OpIo, shard: u16) -> Option<NodeId> {
    let live: Vec<(NodeId, bool)> = {
        let world = op.world.borrow();
        let stale = |node| world.lives.iter().any(|life| life.node == node && life.stale.is_some());
        living(&world, shard).into_iter().map(|node| (node, stale(node))).collect()
    };
    let mut best: Option<((bool, u64), NodeId)> = None;
    for (node, stale) in live {
        let Ok(info) = hands::text(op, node, &["INFO", "replication"]).await else { continue };
        let offset = ["slave_repl_offset", "master_repl_offset"]
            .iter()
            .find_map(|name| hands::field(&info, name)?.parse().ok())
            .unwrap_or(0);
        let rank = (!stale, offset);
        if best.is_none_or(|(held, _)| rank > held) {
            best = Some((rank, node));
        }
    }
    best.map(|(_, node)| node)
}

/// Makes a node the owner of slots that no live node claims, whatever it thinks of them itself.
async fn give(op: &OpIo, shard: u16, node: NodeId, slots: &[u16]) -> Result<(), String> {
    if hands::replication(op, node).await?.role == Role::Replica {
        take_over(op, shard, node).await?;
    }
    let text = hands::text(op, node, &["CLUSTER", "NODES"]).await?;
    let own: BTreeSet<u16> = claims(&text).unwrap_or_default().into_iter().collect();
    let wanted: BTreeSet<u16> = slots.iter().copied().filter(|slot| !own.contains(slot)).collect();
    let elsewhere: BTreeSet<u16> = text
        .lines()
        .filter_map(|line| super::operations::slots_on(line, true))
        .flatten()
        .filter(|slot| wanted.contains(slot))
        .collect();
    for (command, slots) in [("DELSLOTSRANGE", &elsewhere), ("ADDSLOTSRANGE", &wanted)] {
        let ranges = ranges(slots);
        if !ranges.is_empty() {
            let mut words = vec!["CLUSTER".to_string(), command.to_string()];
            words.extend(ranges.into_iter().flat_map(|(first, last)| [first.to_string(), last.to_string()]));
            op.tell(node, &words).await?;
        }
    }
    // Who is away may hold an older claim with a higher epoch than this node's.
    op.tell(node, &["CLUSTER", "BUMPEPOCH"]).await?;
    op.world.borrow_mut().primaries.insert(shard, node);
    Ok(())
}

/// What is left of the shard follows its primary: a node that took itself for the primary does not by itself.
async fn followers(op: &OpIo, shard: u16, primary: NodeId) -> Result<(), String> {
    let id = op.id(primary)?;
    let others: Vec<NodeId> = {
        let world = op.world.borrow();
        let members = living(&world, shard).into_iter();
        members.filter(|node| *node != primary && !world.nodes[node].stranger).collect()
    };
    for node in others {
        let deadline = op.io.after(TIMEOUT);
        hands::retry(op, deadline, LOOK, async || {
            let owned = claims(&hands::text(op, node, &["CLUSTER", "NODES"]).await?).unwrap_or_default();
            if !owned.is_empty() {
                return Ok(());
            }
            match op.tell(node, &["CLUSTER", "REPLICATE", &id]).await {
                // What it has belongs to slots that are elsewhere.
                Err(why) if why.contains("must be empty") => {
                    op.tell(node, &["FLUSHALL"]).await?;
                    op.step(format!("{node}, which had keys and no slots, was emptied"));
                    op.tell(node, &["CLUSTER", "REPLICATE", &id]).await.map(drop)
                }
                told => told.map(drop),
            }
        })
        .await?;
    }
    Ok(())
}

/// Makes a replica the primary without asking anybody.
pub async fn take_over(op: &OpIo, shard: u16, node: NodeId) -> Result<(), String> {
    op.tell(node, &["CLUSTER", "FAILOVER", "TAKEOVER"]).await?;
    let deadline: Micros = op.io.after(TIMEOUT);
    hands::retry(op, deadline, hands::LOOK, async || match hands::replication(op, node).await?.role {
        Role::Primary => Ok(()),
        Role::Replica => Err(format!("{node} is still a replica")),
    })
    .await?;
    op.step(format!("{node} took shard {shard} over, which nobody was elected for"));
    op.world.borrow_mut().primaries.insert(shard, node);
    Ok(())
}

/// First and last of each run of neighbours.
fn ranges(slots: &BTreeSet<u16>) -> Vec<(u16, u16)> {
    let mut ranges: Vec<(u16, u16)> = Vec::new();
    for slot in slots {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == *slot => *last = *slot,
            _ => ranges.push((*slot, *slot)),
        }
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_become_ranges() {
        let of = |slots: &[u16]| ranges(&slots.iter().copied().collect());
        assert_eq!(of(&[]), []);
        assert_eq!(of(&[3, 1, 2, 7, 16383]), [(1, 3), (7, 7), (16383, 16383)]);
    }
}
