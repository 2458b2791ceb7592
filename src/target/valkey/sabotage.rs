//! Harm behind the cluster's back: each must turn the verdict to fail, by the check that is named for it.
//!
//! Nothing is announced, so no check can excuse it; the one exception is the primary's death in
//! `forbid-failover`, which is an ordinary fault: the harm is that nobody may take over. Each harm was tried on
//! redis 7.0.15 and valkey 8.0.1.

use super::hands::{self, Done, Stop, fail, live, skip};
use crate::env::NodeId;
use crate::fault::kill::Signal;
use crate::history::{Key, OpKind};
use crate::run::client::name;
use crate::run::operation::{COMMAND_TIMEOUT, OpIo};
use crate::run::resp::{Reply, slot};
use crate::run::task::CallError;
use crate::target::operation::{Harm, Sabotage};
use crate::time::Millis;
use crate::timeline::Role;
use std::collections::BTreeMap;

/// How long a replica that is to crash at its promotion may take to be promoted.
const PROMOTION_TIMEOUT: Millis = Millis(20_000);
/// Between two claims of a slot. Gossip takes it away within some 10 to 100 ms.
const CLAIM_PERIOD: Millis = Millis(1);
/// Rounds in which every node drops a slot, until no gossip brings it back.
const UNASSIGN_ROUNDS: u32 = 3;

pub async fn run(op: OpIo, fields: Sabotage) -> Done {
    let node = live(&op, &fields.node)?;
    op.resolved(node);
    match fields.harm {
        Harm::DeleteKeys => delete_keys(&op).await,
        Harm::EmptyReplica => empty_replica(&op, node).await,
        Harm::UnassignSlot => unassign_slot(&op, node).await,
        Harm::ClaimSlot => claim_slot(&op, node).await,
        Harm::BreakLink => break_link(&op, node).await,
        Harm::ForbidFailover => forbid_failover(&op, node).await,
        Harm::Crash => crash(&op, node).await,
        Harm::Hang => hang(&op, node).await,
        Harm::RevokeLease | Harm::KeepLeases | Harm::GrantAgain | Harm::RobAccount => {
            skip("there are no leases and no accounts")
        }
    }
}

/// Every fifth key whose last acknowledged write left a value is deleted on its owner.
async fn delete_keys(op: &OpIo) -> Done {
    let keys: Vec<Key> = {
        let world = op.world.borrow();
        let mut last: BTreeMap<Key, OpKind> = BTreeMap::new();
        for operation in world.history.iter().filter(|operation| operation.acknowledged_write()) {
            last.insert(operation.key, operation.kind);
        }
        last.into_iter().filter(|(_, kind)| *kind != OpKind::Delete).map(|(key, _)| key).step_by(5).collect()
    };
    let mut deleted = 0;
    for key in &keys {
        let name = name(key, &op.world.borrow().timeline.load);
        let owner =
            owner(op, slot(name.as_bytes())).ok_or_else(|| format!("nobody owns the slot of {name}"))?;
        match op.tell(owner, &["DEL", &name]).await? {
            Reply::Integer(count) => deleted += count,
            other => return fail(format!("{owner} answered {other:?} to DEL {name}")),
        }
    }
    op.detail(format!("{deleted} of {} keys deleted", keys.len()));
    if deleted == 0 { fail("no key was there to delete") } else { Ok(()) }
}

/// The node that claims a slot by its own word in the latest view.
fn owner(op: &OpIo, slot: u16) -> Option<NodeId> {
    let world = op.world.borrow();
    let view = world.latest.as_ref()?;
    let owns = |ranges: &[(u16, u16)]| ranges.iter().any(|(first, last)| (*first..=*last).contains(&slot));
    view.answered()
        .find(|(node, report)| world.is_live(*node) && owns(report.own_slots()))
        .map(|(node, _)| node)
}

async fn empty_replica(op: &OpIo, node: NodeId) -> Done {
    if hands::replication(op, node).await?.role != Role::Replica {
        return skip(format!("{node} is no replica"));
    }
    op.tell(node, &["CONFIG", "SET", "replica-read-only", "no"]).await?;
    op.tell(node, &["FLUSHALL"]).await?;
    op.tell(node, &["CONFIG", "SET", "replica-read-only", "yes"]).await?;
    op.detail(format!("{node} lost every key"));
    Ok(())
}

/// The owner drops its first slot, then all others do, until none assigns it to anybody.
async fn unassign_slot(op: &OpIo, owner: NodeId) -> Done {
    let slots = super::operations::slots_of(op, owner).await?;
    let Some(slot) = slots.first().map(ToString::to_string) else {
        return skip(format!("{owner} owns no slot"));
    };
    let others = op.world.borrow().live().into_iter().filter(|node| *node != owner);
    let nodes: Vec<NodeId> = std::iter::once(owner).chain(others).collect();
    for _ in 0..UNASSIGN_ROUNDS {
        for node in &nodes {
            // "is already unassigned" is what is wanted.
            if let Err(why) = op.tell(*node, &["CLUSTER", "DELSLOTS", &slot]).await
                && !why.contains("already unassigned")
            {
                return fail(why);
            }
        }
        op.io.sleep(Millis(200)).await;
    }
    op.detail(format!("slot {slot} of {owner} belongs to nobody"));
    Ok(())
}

/// The node takes the first slot of another shard under a higher epoch. The owner, whom gossip would talk out of
/// it, claims it again every few milliseconds until the run ends, so that both say it is theirs.
async fn claim_slot(op: &OpIo, thief: NodeId) -> Done {
    let victim = {
        let world = op.world.borrow();
        let shard = world.shard_of(thief);
        let others = world.primaries.iter().filter(|(other, _)| Some(**other) != shard);
        others.map(|(_, node)| *node).find(|node| world.is_live(*node))
    };
    let Some(victim) = victim else { return skip("there is no other shard to take from") };
    let slots = super::operations::slots_of(op, victim).await?;
    let Some(slot) = slots.first().map(ToString::to_string) else {
        return skip(format!("{victim} owns no slot"));
    };
    op.resolved(victim);
    // A message of the owner between the two gives the slot back to it.
    hands::retry(op, op.io.after(PROMOTION_TIMEOUT), Millis(5), async || {
        match op.tell(thief, &["CLUSTER", "DELSLOTS", &slot]).await {
            Err(why) if !why.contains("already unassigned") => return Err(why),
            _ => {}
        }
        op.tell(thief, &["CLUSTER", "ADDSLOTS", &slot]).await.map(drop)
    })
    .await?;
    op.tell(thief, &["CLUSTER", "BUMPEPOCH"]).await?;
    op.detail(format!("slot {slot} of {victim} is claimed by {thief} too"));
    let again = op.clone();
    op.world.borrow_mut().stays(&op.event, Box::pin(claim_again(again, victim, slot)));
    Ok(())
}

async fn claim_again(op: OpIo, node: NodeId, slot: String) {
    // It ends with the run: the executor drops it.
    loop {
        if let Ok(conn) = op.connect(node).await {
            loop {
                let deadline = op.io.after(COMMAND_TIMEOUT);
                conn.send(&["CLUSTER", "DELSLOTS", &slot]);
                conn.send(&["CLUSTER", "ADDSLOTS", &slot]);
                if conn.reply(deadline).await.is_err() || conn.reply(deadline).await.is_err() {
                    break;
                }
                op.io.sleep(CLAIM_PERIOD).await;
            }
        }
        op.io.sleep(hands::LOOK).await;
    }
}

/// The replica authenticates as somebody whom its primary does not know, from the next link on.
async fn break_link(op: &OpIo, node: NodeId) -> Done {
    if hands::replication(op, node).await?.role != Role::Replica {
        return skip(format!("{node} is no replica"));
    }
    op.tell(node, &["CONFIG", "SET", "masteruser", "nobody", "masterauth", "wrong"]).await?;
    op.tell(node, &["CLIENT", "KILL", "TYPE", "master"]).await?;
    op.detail(format!("{node} can no longer log in to its primary"));
    Ok(())
}

async fn forbid_failover(op: &OpIo, primary: NodeId) -> Done {
    let shard = op.world.borrow().shard_of(primary).ok_or_else(|| format!("{primary} is in no shard"))?;
    let replicas: Vec<NodeId> =
        hands::live_replicas(op, shard).into_iter().filter(|node| *node != primary).collect();
    if replicas.is_empty() {
        return skip(format!("{primary} has no live replica"));
    }
    for replica in &replicas {
        op.tell(*replica, &["CONFIG", "SET", "cluster-replica-no-failover", "yes"]).await?;
    }
    op.signal(primary, Signal::Kill).await.map_err(|error| Stop::Fail(error.to_string()))?;
    if let Some(state) = op.world.borrow_mut().nodes.get_mut(&primary) {
        state.left_dead = true;
    }
    op.detail(format!("{primary} is dead and none of its {} replicas may take over", replicas.len()));
    Ok(())
}

/// The node crashes by itself; a replica whose primary is down does so once it was promoted.
async fn crash(op: &OpIo, node: NodeId) -> Done {
    let primary = {
        let world = op.world.borrow();
        world.shard_of(node).and_then(|shard| world.primary(shard))
    };
    if primary != Some(node) && primary.is_some_and(|primary| !op.world.borrow().is_live(primary)) {
        hands::retry(op, op.io.after(PROMOTION_TIMEOUT), Millis(5), async || {
            match hands::replication(op, node).await?.role {
                Role::Primary => Ok(()),
                Role::Replica => Err(format!("{node} was not promoted")),
            }
        })
        .await?;
        op.step(format!("{node} was promoted"));
    }
    // It dies before it can answer.
    let _ = op.ask(node, &["DEBUG", "SEGFAULT"]).await;
    if !op.gone(node, COMMAND_TIMEOUT).await {
        return fail(format!("{node} did not crash"));
    }
    op.detail(format!("{node} crashed by itself"));
    Ok(())
}

/// The node runs a script without an end. In virtual time that is a turn without one, and the run ends in it; in real
/// time the node answers nobody but with `BUSY`.
async fn hang(op: &OpIo, node: NodeId) -> Done {
    match op.ask(node, &["EVAL", "while true do end", "0"]).await {
        Err(CallError::Timeout) => {
            op.detail(format!("{node} runs a script that does not end"));
            Ok(())
        }
        other => fail(format!("{node} ended the script: {other:?}")),
    }
}
